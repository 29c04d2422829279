/* init.h: what the files of init share. */
#ifndef INIT_H
#define INIT_H

#include <lib/manifest.h>
#include <vmos/service.h>

/* A bit of init's notification for each; the last one is the alarm's. */
enum { SERVICES_MOST = 48 };
#define ALARM_BIT (UINT64_C(1) << 63)

/*
 * idle -> running -> idle          it has ended, or never began
 *            |  ^
 *            v  |
 *          waiting                 it has crashed and is started again when its back-off is over
 */
enum service_state { SERVICE_IDLE, SERVICE_RUNNING, SERVICE_WAITING };

struct service {
    struct manifest_service wanted;
    enum service_state state;
    handle process;
    uint64_t process_id;
    bool stopped;         /* we have ended it, or `kill` has: no policy starts it again */
    bool again;           /* and it is to be started at once when it has gone */
    uint64_t retry_at_ns; /* waiting: until then */
    uint64_t backoff_ns;  /* the next one */
    uint64_t window_ns;   /* when the crashes that count began; 0: none does */
    uint64_t restarts;    /* since then */
    char arguments[32];   /* instead of the manifest's; empty: none */
};

extern struct service *services[SERVICES_MOST];
extern unsigned service_count;
extern handle notification;

/* ---- service.c ----------------------------------------------------------------------------------------------------
 */

/* NULL, and *why: there is no room for another. */
struct service *service_add(const struct manifest_service *wanted);
struct service *service_find(const char *name);
/* A file of the initial ramdisk; false: there is none. */
bool ramdisk_file(const char *name, const void **data, size_t *size);
/* *why is a phrase when it fails. */
enum status service_start(struct service *service, const char **why);
/* Ends it and does not start it again; or, `again`, does so when it has gone. */
void service_stop(struct service *service, bool again);
/* Bits of `notification`. */
void services_look(uint64_t bits);

/* ---- offers.c -----------------------------------------------------------------------------------------------------
 */

/* What services offer each other: an Endpoint for each name, which stays when the service is started again. */

/* The first that is taken, by something that init gives too, or stands there twice, or has no room; NULL: they can all
 * be added. */
const char *offers_refused(const struct manifest_list *offer);
void offers_add(const struct manifest_list *offer, const struct service *by);
bool offer_exists(const char *name);
/* The Endpoint, made at the first use; 0: it cannot be. */
handle offer_endpoint(const char *name);
/* Nobody will answer any more: whoever has a handle of it is told. */
void offers_end(const struct service *by);

/* ---- control.c ----------------------------------------------------------------------------------------------------
 */

uint64_t control_answer_call(struct server *server, struct request *request, struct message_buffer *buffer);

#endif
