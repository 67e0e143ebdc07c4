/*
 * A watch's events over WebSocket. Private to api.
 */
#ifndef API_WATCH_WS_H
#define API_WATCH_WS_H

#include "api/internal.h"

struct watch_ws;

bool watch_ws_wanted(const struct req *r);
/* Answers 101; r->http and r->head are gone then. NULL and e: it is no proper handshake, and nothing was answered.
 * on_gone may free the watch_ws. Neither is called inside of this. */
struct watch_ws *watch_ws_open(struct req *r, void (*on_drain)(void *arg), void (*on_gone)(void *arg), void *arg,
			       struct err *e);
void watch_ws_send(struct watch_ws *ws, struct str text); /* one message; copied */
size_t watch_ws_queued(const struct watch_ws *ws);
struct watch_ws *watch_ws_close(struct watch_ws *ws, bool orderly); /* NULL accepted; no callback follows */

#endif
