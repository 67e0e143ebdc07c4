/*
 * A watch over HTTP: lines {"type":...,"object":...}, decoded as they come.
 *
 * A watch does not end because a connection does. Once it has come somewhere (a
 * revision was given, or all initial events were there) it goes on from there, after a
 * back-off with some chance in it, so that many clients of a server that comes back
 * do not all come at once. It ends when the server has nothing left to go on from
 * (410), refuses it, or says what makes no sense; its owner then begins with all
 * that is there.
 */
#include "client/remote.h"

#include <errno.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/rand.h"

#define WATCH_BACKOFF_MS 100
#define WATCH_BACKOFF_MAX_MS 30000
#define WATCH_REFUSAL_BYTES (64u << 10)

/* --- events --- */

static const char initial_end[] = "k8s.io/initial-events-end";

static int watch_object(struct remote_call *rc, enum watch_type t, struct str json, struct err *e)
{
	struct call *c = rc->call;
	_cleanup_obj_ struct obj *o = obj_from_json(c->res, json, e);

	if (!o)
		return err_wrap(e, "an event of %s", c->res->plural);
	if (rc->rv && o->rv > rc->rv)
		rc->rv = o->rv;
	c->list_rv = o->rv;
	c->event(c, t, o);
	return 0;
}

static int watch_bookmark(struct remote_call *rc, const struct node *o, struct err *e)
{
	struct call *c = rc->call;
	int64_t rv;

	if (!str_to_i64(node_str(node_path(o, F_metadata, F_resourceVersion)), &rv) || rv <= 0)
		return err_set(e, ERR_INTERNAL, "a bookmark of %s without a revision", c->res->plural);
	rc->rv = rv;
	if (node_streq(node_getc(node_path(o, F_metadata, F_annotations), initial_end), "true"))
		c->initial_done = true;
	c->list_rv = rv;
	if (c->opts.allow_bookmarks)
		c->event(c, WATCH_BOOKMARK, NULL);
	return 0;
}

/* The form that all servers write; what is different is read as any other document. */
static bool line_split(struct str line, enum watch_type *t, struct str *object)
{
	static const char head[] = "{\"type\":\"", middle[] = "\",\"object\":";

	if (!str_starts(line, STR_LIT("{\"type\":\"")) || !line.n || line.p[line.n - 1] != '}')
		return false;
	line = str_sub(line, sizeof(head) - 1, line.n - 1);
	for (*t = WATCH_ADDED; *t <= WATCH_DELETED; (*t)++) {
		struct str name = str_of(watch_type_name(*t));

		if (str_starts(line, name) && str_starts(str_sub(line, name.n, line.n), STR_LIT("\",\"object\":"))) {
			*object = str_sub(line, name.n + sizeof(middle) - 1, line.n);
			return true;
		}
	}
	return false;
}

static int watch_document(struct remote_call *rc, struct str line, struct err *e)
{
	struct doc_json_opts opts = { .max_bytes = LIMIT_WATCH_LINE_BYTES };
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *o;
	const char *type;

	if (doc_parse_json(&d, line, &opts, e) < 0)
		return err_wrap(e, "an event of %s", rc->call->res->plural);
	type = node_gets(doc_root(d), F_type);
	o = node_get(doc_root(d), F_object);
	if (streq(type, "BOOKMARK"))
		return watch_bookmark(rc, o, e);
	if (streq(type, "ERROR"))
		return remote_status_err(o, (int)node_int(node_get(o, F_code), 500), e);
	for (enum watch_type t = WATCH_ADDED; t <= WATCH_DELETED; t++) {
		_cleanup_buf_ struct buf json = BUF_INIT;

		if (!streq(type, watch_type_name(t)))
			continue;
		if (o)
			doc_print_json(&json, o, DOC_PRINT_COMPACT);
		return watch_object(rc, t, buf_str(&json), e);
	}
	return err_set(e, ERR_INTERNAL, "an event of %s of an unknown type", rc->call->res->plural);
}

static int watch_line(struct remote_call *rc, struct str line, struct err *e)
{
	enum watch_type t;
	struct str json;

	line = str_trim(line);
	if (!line.n)
		return 0;
	rc->progress = true;
	return line_split(line, &t, &json) ? watch_object(rc, t, json, e) : watch_document(rc, line, e);
}

/* --- the stream --- */

void remote_watch_head(struct http_exchange *x, const struct http_head *h UNUSED)
{
	struct remote_call *rc = x->arg;

	buf_clear(&rc->line);
	rc->progress = false;
}

/* The stream is given up; the task says what comes then. */
static void watch_break(struct remote_call *rc)
{
	http_client_cancel(&rc->x);
	rc->x.on_done(&rc->x, NULL);
}

static void watch_lines(struct remote_call *rc, size_t searched)
{
	size_t from = 0;
	const char *nl;

	while (rc->call && (nl = memchr(rc->line.s + searched, '\n', rc->line.len - searched))) {
		size_t at = (size_t)(nl - rc->line.s);

		if (watch_line(rc, str_sub(buf_str(&rc->line), from, at), &rc->err) < 0 && rc->call) {
			watch_break(rc);
			return;
		}
		from = searched = at + 1;
	}
	buf_remove(&rc->line, 0, from);
}

void remote_watch_data(struct http_exchange *x, struct str data)
{
	struct remote_call *rc = x->arg;
	size_t had = rc->line.len;

	if (x->status != 200) {
		buf_addstr(&rc->line, str_sub(data, 0, WATCH_REFUSAL_BYTES - had));
		return;
	}
	rc->refs++;
	buf_addstr(&rc->line, data);
	watch_lines(rc, had);
	if (rc->call && rc->state == REMOTE_SENT && rc->line.len > LIMIT_WATCH_LINE_BYTES) {
		err_set(&rc->err, ERR_TOO_LARGE, "an event of %s is too large", rc->call->res->plural);
		watch_break(rc);
	}
	remote_call_unref(rc);
}

/* --- its end, or not --- */

static void watch_again(void *arg)
{
	struct remote_call *rc = arg;

	rc->timer = loop_timer_free(rc->timer);
	remote_call_send(rc);
}

/* What a connection or a server that goes away looks like; all else is a reason to end. */
static bool is_passing(const struct err *e)
{
	int http = e->http_code ? e->http_code : err_reason_http(e->reason);

	if (e->reason == ERR_UNKNOWN && !e->http_code)
		return true;
	return http == 429 || http == 502 || http == 503 || http == 504 || e->reason == ERR_SERVER_TIMEOUT ||
	       e->reason == ERR_TIMEOUT;
}

static void watch_resume(struct remote_call *rc, const struct err *e)
{
	if (rc->progress || rc->backoff_ms < WATCH_BACKOFF_MS)
		rc->backoff_ms = WATCH_BACKOFF_MS;
	log_debug("a watch goes on over another connection", LS("resource", rc->call->res->plural),
		  LI("resourceVersion", rc->rv), LE(e));
	rc->timer = loop_timer_new(rc->remote->loop, watch_again, rc);
	loop_timer_set(rc->timer, rc->backoff_ms / 2 + (int64_t)rand_below((uint64_t)rc->backoff_ms));
	rc->backoff_ms = rc->backoff_ms * 2 < WATCH_BACKOFF_MAX_MS ? rc->backoff_ms * 2 : WATCH_BACKOFF_MAX_MS;
}

void remote_watch_came(struct remote_call *rc)
{
	bool forever = rc->call->opts.timeout_s == 0;
	_cleanup_err_ struct err e = ERR_INIT;

	if (err_is_set(&rc->err))
		err_move(&e, &rc->err);
	else if (rc->x.status && rc->x.status != 200)
		(void)remote_refusal(rc, rc->x.status, buf_str(&rc->line), &e);
	if (forever && rc->rv && (!err_is_set(&e) || is_passing(&e))) {
		watch_resume(rc, &e);
		return;
	}
	if (forever && !err_is_set(&e))
		err_set(&e, ERR_UNKNOWN, "the server ended the watch of %s", rc->call->res->plural);
	remote_call_end(rc, NULL, err_is_set(&e) ? &e : NULL);
}
