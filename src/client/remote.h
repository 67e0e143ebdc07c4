/*
 * The remote client's own structures: a call on its way over HTTP (remote.c), what
 * is asked (remote-ask.c), what comes back (remote-answer.c), and watches
 * (remote-watch.c).
 */
#ifndef CLIENT_REMOTE_H
#define CLIENT_REMOTE_H

#include "base/tree.h"
#include "base/vec.h"
#include "client/client.h"
#include "http/http.h"

#define REMOTE_HEADERS 5

enum remote_state {
	REMOTE_WAITS, /* in remote.waiting: for a connection, or (a watch) for its next try */
	REMOTE_SENT, /* the exchange is under way */
	REMOTE_CAME, /* it is over; the task goes on from there */
};

struct remote_call {
	TAILQ_ENTRY(remote_call) link;
	struct remote *remote;
	struct call *call; /* NULL: cancelled, or answered */
	unsigned refs;
	enum remote_state state;
	struct http_exchange x;
	struct http_header headers[REMOTE_HEADERS];
	char *target;
	struct buf body;
	struct loop_task came;
	struct loop_timer *timer; /* the answer's time, or a watch's next try */
	struct err err; /* of the exchange */
	/* list: what came so far */
	VEC(struct obj *) items;
	char *cont; /* where the next page begins */
	int64_t list_rv;
	int restarts;
	/* watch */
	struct buf line; /* not complete yet; or the body of a refusal */
	int64_t rv; /* up to where it has come; 0: nowhere */
	int64_t backoff_ms;
	bool progress; /* something came over this connection */
};
TAILQ_HEAD(remote_calls, remote_call);

struct remote {
	struct call_server server;
	struct loop *loop;
	struct http_client *http;
	struct tls *tls;
	char *url, *base; /* as it was given; the path before "/api" */
	char *authorization, *agent;
	int max_busy, timeout_ms;
	int busy; /* calls on connections, without watches */
	struct remote_calls waiting, others;
};

/* --- remote.c --- */
void remote_call_send(struct remote_call *rc);
/* The call's end: tells done, and gives up rc. o, err: one of them, or neither. */
void remote_call_end(struct remote_call *rc, struct obj *o, const struct err *err);
void remote_call_unref(struct remote_call *rc);

/* --- remote-ask.c: fills method, target, headers and body of rc->x --- */
int remote_ask(struct remote_call *rc, struct err *e) MUST_CHECK;

/* --- remote-answer.c --- */
/* The error that an answer with this status is. what: the request, for an answer that says nothing itself. */
int remote_refusal(const struct remote_call *rc, int status, struct str body, struct err *e);
int remote_status_err(const struct node *status, int http, struct err *e);
/* An answer that is an object; NULL in *ret for a Status. */
int remote_read_object(const struct remote_call *rc, struct str body, struct obj **ret, struct err *e);
/* One page, appended to rc->items; rc->cont says whether there are more. */
int remote_read_list(struct remote_call *rc, struct str body, struct err *e);

/* --- remote-watch.c --- */
void remote_watch_head(struct http_exchange *x, const struct http_head *h);
void remote_watch_data(struct http_exchange *x, struct str data);
void remote_watch_came(struct remote_call *rc);

#endif
