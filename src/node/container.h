/*
 * What the files about containers offer each other: what a container is
 * (container.c), its start (container-start.c), its end (container-stop.c,
 * container-message.c), what is remembered of it (container-recall.c), the order
 * among all containers of a pod (order.c).
 */
#ifndef NODE_CONTAINER_H
#define NODE_CONTAINER_H

#include "node/internal.h"

/* container.c */
void ctr_event(struct ctr *c, const char *type, const char *reason, const char *text);
/* Its newest attempt is over: end, end_ms are set. */
void ctr_down(struct ctr *c);
/* An end that no runtime told of; the caller sets what else it knows. */
void ctr_end_make(struct ctr *c, int exit_code, const char *reason);
char *ctr_log_file(struct ctr *c, unsigned attempt); /* owned by the caller */

/* container-stop.c: as ctr_stop, but the signal waits until it is this one's turn; may be told again. */
void ctr_stop_in_turn(struct ctr *c, int64_t grace_ms, bool turn);

/* container-start.c */
void ctr_start(struct ctr *c);

/* container-message.c */
char *ctr_message(struct ctr *c, int exit_code); /* owned by the caller; NULL: none */
char *message_utf8(struct str s); /* what is no UTF-8, and NUL, becomes U+FFFD; owned by the caller */

#endif
