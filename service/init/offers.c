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

const char *offers_refused(const struct manifest_list *offer)
{
    for (unsigned i = 0; i < offer->count; i++) {
        if (offer_count + i >= OFFERS_MOST || find(offer->words[i]) != NULL || start_handle(offer->words[i]) != 0)
            return offer->words[i];
        for (unsigned before = 0; before < i; before++)
            if (strcmp(offer->words[before], offer->words[i]) == 0)
                return offer->words[i];
    }
    return NULL;
}

void offers_add(const struct manifest_list *offer, const struct service *by)
{
    for (unsigned i = 0; i < offer->count; i++) {
        memcpy(offers[offer_count].name, offer->words[i], sizeof offers[offer_count].name);
        offers[offer_count++].by = by;
    }
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
