/*
 * A conversation with one registry about one repository: requests with
 * credentials, tokens that are fetched and renewed, redirects, retries, and
 * limits on how slow, long and contrary the answers may be. Pulls, blob transfers
 * and pushes send their requests through it, several at once.
 */
#ifndef IMAGE_REMOTE_H
#define IMAGE_REMOTE_H

#include "base/loop.h"
#include "base/tree.h"
#include "http/http.h"
#include "image/registries.h"

struct remote;

struct remote_config {
	struct loop *loop;
	const struct registry_place *place; /* copied, but for its config, which has to live on */
	const struct registry_auth *auth; /* copied; NULL: those of the place's config, if any */
	bool push; /* the token has to allow it */
	int stall_ms; /* an answer that brings nearly nothing for so long is given up */
};
struct remote *remote_new(const struct remote_config *cfg);
struct remote *remote_free(struct remote *r); /* its calls are cancelled */
const struct registry_place *remote_place(const struct remote *r);

struct remote_call {
	/* What is asked; stays as it is until on_done. */
	const char *method; /* GET and HEAD follow redirects and are tried again */
	const char *accept, *content_type; /* NULL: none */
	int64_t from; /* > 0: Range: bytes=FROM- */
	int64_t part_at; /* >= 0: Content-Range of the body; set to -1 for none */
	struct str body; /* borrowed */
	size_t max_answer; /* bytes kept in answer when on_data is NULL; more is an error */
	void (*on_head)(struct remote_call *c, const struct http_head *h); /* of a 2xx answer; may be NULL */
	/* The body of a 2xx answer; NULL: it is kept. Cancelling the call is allowed. */
	void (*on_data)(struct remote_call *c, struct str data);
	/* Once, from the loop, never within remote_send. err: there is no answer; else status says what it is. */
	void (*on_done)(struct remote_call *c, const struct err *err);
	void *arg;

	/* The answer. */
	int status;
	struct buf answer;
	char *location; /* of a 2xx or 3xx one, or NULL */
	char *digest; /* Docker-Content-Digest, or NULL */

	/* private */
	LIST_ENTRY(remote_call) link;
	struct remote *remote;
	struct http_exchange x;
	struct http_header headers[8];
	char *texts[4];
	struct url want, at;
	struct loop_task step;
	struct loop_timer *timer;
	struct err err;
	struct challenge challenge;
	const char *basic; /* a token request: its own credentials, base64 */
	bool active, waits, bare, final, paused, cut;
	int redirects, auth_rounds, tries, retry_after_s;
	unsigned token_gen;
	int64_t window_bytes;
};
/* path: below the repository, "manifests/latest". */
void remote_send(struct remote *r, struct remote_call *c, const char *path);
/* Another place that the registry has named (an upload's). */
void remote_send_to(struct remote *r, struct remote_call *c, const char *location);
void remote_cancel(struct remote_call *c); /* on_done will not be called; also after it: releases what the call holds */
void remote_pause(struct remote_call *c, bool paused);
/* Makes an error of an answer that is none of those that were hoped for. what: the thing that was asked for. */
void remote_refused(const struct remote_call *c, const char *what, struct err *e);

#endif
