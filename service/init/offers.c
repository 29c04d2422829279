/* offers.c: the Endpoints by which services call each other. */
#include "init.h"

#include <lib/string.h>

enum { OFFERS_MOST = 48 };

static struct offer {
    char name[MANIFEST_WORD_SIZE];
    const struct service *by;
    handle endpoint; /* 0: nobody has used it yet */
} offers[OFFERS_MOST];
static unsigned offer_count;

static struct offer *find(const char *name)
{
    for (unsigned i = 0; i < offer_count; i++)
        if (strcmp(offers[i].name, name) == 0)
            return &offers[i];
    return NULL;
}

bool offer_add(const char *name, const struct service *by)
{
    if (offer_count == OFFERS_MOST || find(name) != NULL)
        return false;
    struct offer *offer = &offers[offer_count++];
    memcpy(offer->name, name, sizeof offer->name);
    offer->by = by;
    return true;
}

bool offer_exists(const char *name)
{
    return find(name) != NULL;
}

handle offer_endpoint(const char *name)
{
    struct offer *offer = find(name);

    if (offer != NULL && offer->endpoint == 0 && vmos_endpoint_create(&offer->endpoint) != STATUS_OK)
        offer->endpoint = 0;
    return offer != NULL ? offer->endpoint : 0;
}

/* Ours is the last handle that can receive: calls in the queue end with it. */
void offers_end(const struct service *by)
{
    for (unsigned i = 0; i < offer_count; i++)
        if (offers[i].by == by && offers[i].endpoint != 0) {
            vmos_handle_close(offers[i].endpoint);
            offers[i].endpoint = 0;
        }
}
