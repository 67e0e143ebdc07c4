/*
 * watch: a list's future, one event for each change.
 *
 * A watch begins at a revision (then events from the store's history come first)
 * or, with none given or sendInitialEvents, with the present objects as ADDED.
 * With a selector, an object that comes to match is ADDED and one that ceases to
 * is DELETED (its former state, at the revision of the change), as Kubernetes'
 * watch cache has it. Bookmarks: after the initial events when those were asked
 * for, then about once a minute while revisions move (nothing ticks in an idle
 * server), and at the end. A revision too old is an ERROR event with a 410
 * Status in a stream that begins with 200.
 *
 * A watcher's line `{"type":...,"object":...}` is encoded once for each event
 * and form, and shared by all watchers of that turn (struct lines); a watcher
 * that does not read is cut off when LIMIT_WATCH_BACKLOG_BYTES wait for it. The
 * initial objects go out as fast as the client reads; following the store begins
 * behind them, and ends in that 410 when the history has moved past by then.
 *
 * A watch goes out as a chunked answer, or over WebSocket (watch-ws.c) when the
 * client asks to be upgraded: a message for each event.
 *
 * Parts of this process get the objects themselves. They may cancel inside their
 * event callback; `gone` tells us that the watch went away under our hands.
 */
#include "api/watch-ws.h"

#include <stdio.h>

#include "base/rand.h"
#include "base/time.h"
#include "http/http.h"
#include "schema/custom.h"

#define WATCH_BOOKMARK_MS 60000
#define WATCH_MIN_TIMEOUT_S 1800 /* without timeoutSeconds: this to twice this, spread out */
#define WATCH_BLOCK_BYTES (64u << 10)
#define WATCH_MAX_LATE 10000 /* events that wait for a conversion webhook */
#define LINES_KEPT 16

struct line {
	unsigned refs;
	size_t len;
	char text[];
};

struct line_slot {
	struct line *line;
	struct obj *obj; /* referenced; with type and view the key */
	enum watch_type type;
	struct view view;
};
struct lines {
	struct line_slot v[LINES_KEPT];
	size_t next;
	struct loop_task forget;
	struct api *api;
};

struct watch_late { /* an event that waits for a webhook's conversion, or behind one that does */
	TAILQ_ENTRY(watch_late) link;
	enum watch_type type;
	struct obj *obj; /* as it is to be shown, in the stored version */
};

struct watch {
	TAILQ_ENTRY(watch) link;
	TAILQ_HEAD(, watch_late) late;
	size_t n_late;
	struct convert_call *converting; /* the first of them */
	struct req *r;
	struct store_watch *sw; /* NULL while what is there is still being sent */
	struct loop_timer *timer;
	struct view view;
	int64_t rv; /* the newest revision that this watcher knows of */
	bool bookmarks;
	struct metric_watch *metric;
	bool *gone;
	struct watch_ws *ws; /* the way out when it is not r->http */
};

/* --- lines --- */

static struct line *line_unref(struct line *l)
{
	if (l && --l->refs == 0)
		free(l);
	return NULL;
}

static void line_release(const void *p, size_t n, void *arg)
{
	line_unref(arg);
}

static struct line *line_make(enum watch_type t, const struct view *v, struct obj *o)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct line *l;

	buf_reserve(&b, o->json_len + 64);
	buf_addf(&b, "{\"type\":\"%s\",\"object\":", watch_type_name(t));
	respond_object(v, o, &b);
	buf_adds(&b, "}\n");
	l = xmalloc(sizeof(*l) + b.len);
	l->refs = 1;
	l->len = b.len;
	memcpy(l->text, b.s, b.len);
	return l;
}

static bool view_same(const struct view *a, const struct view *b)
{
	return a->res == b->res && a->shape == b->shape && a->include == b->include && a->columns == b->columns &&
	       a->v1beta1 == b->v1beta1;
}

static void lines_forget(struct loop_task *t)
{
	struct lines *ls = CONTAINER_OF(t, struct lines, forget);

	for (size_t i = 0; i < LINES_KEPT; i++) {
		ls->v[i].line = line_unref(ls->v[i].line);
		ls->v[i].obj = obj_unref(ls->v[i].obj);
	}
}

static struct line_slot *lines_find(struct lines *ls, enum watch_type t, const struct view *v, const struct obj *o)
{
	for (size_t i = 0; i < LINES_KEPT; i++)
		if (ls->v[i].obj == o && ls->v[i].type == t && view_same(&ls->v[i].view, v))
			return &ls->v[i];
	return NULL;
}

/* key is what watchers of the same event share; o what the line shows. Borrowed. */
static struct line *lines_get(struct api *a, enum watch_type t, const struct view *v, struct obj *key,
			      struct obj *(*make)(struct obj *key, int64_t rv), int64_t rv)
{
	struct lines *ls = a->lines;
	struct line_slot *s = lines_find(ls, t, v, key);
	_cleanup_obj_ struct obj *made = NULL;

	if (s)
		return s->line;
	made = make ? make(key, rv) : NULL;
	s = &ls->v[ls->next++ % LINES_KEPT];
	line_unref(s->line);
	obj_unref(s->obj);
	*s = (struct line_slot){ line_make(t, v, made ? made : key), obj_ref(key), t, *v };
	loop_defer(a->loop, &ls->forget);
	return s->line;
}

/* --- sending --- */

static bool watch_is_outside(const struct watch *w)
{
	return w->r->http || w->ws;
}

static size_t watch_queued(const struct watch *w)
{
	return w->ws ? watch_ws_queued(w->ws) : http_req_queued(w->r->http);
}

/* One or several lines; over WebSocket it must be one. */
static void watch_send(struct watch *w, struct str text)
{
	if (w->ws)
		watch_ws_send(w->ws, text);
	else
		http_chunk(w->r->http, text);
}

/* The whole of it was sent, or (orderly false) the client does not read it. */
static void watch_end(struct watch *w, bool orderly)
{
	struct req *r = w->r;

	w->ws = watch_ws_close(w->ws, orderly);
	if (r->http) {
		http_req_on_gone(r->http, NULL, NULL);
		http_req_on_drain(r->http, NULL, NULL);
		if (orderly)
			http_end(take_ptr(&r->http));
		else
			http_abort(take_ptr(&r->http));
	}
	r->on_gone = NULL;
	req_finish(r);
}

static void watch_client_gone(struct req *r)
{
	r->on_gone = NULL;
	req_finish(r);
}

static void watch_ws_gone(void *arg)
{
	struct watch *w = arg;

	watch_client_gone(w->r);
}

static void watch_check_backlog(struct watch *w)
{
	if (watch_queued(w) > LIMIT_WATCH_BACKLOG_BYTES)
		watch_end(w, false);
}

static void watch_send_line(struct watch *w, struct line *l)
{
	metrics_watch_event(w->metric, l->len);
	w->view.columns = false; /* a Table's columns come once */
	if (w->ws) {
		watch_ws_send(w->ws, (struct str){ l->text, l->len });
	} else {
		l->refs++;
		respond_chunk_ref(w->r, l->text, l->len, line_release, l);
	}
	watch_check_backlog(w);
}

/* Tells a part of this process; false: it has cancelled. */
static bool watch_tell(struct watch *w, enum watch_type t, struct obj *o)
{
	struct call *c = w->r->call;
	bool gone = false;
	bool *outer = w->gone;

	w->gone = &gone;
	c->event(c, t, o);
	if (gone) {
		if (outer)
			*outer = true;
		return false;
	}
	w->gone = outer;
	return true;
}

/* The old state with the revision at which it ceased to match. */
static struct obj *watch_restamp(struct obj *old, int64_t rv)
{
	struct doc *d = doc_clone(obj_doc(old));
	char text[24];
	struct obj *o;

	snprintf(text, sizeof(text), "%lld", (long long)rv);
	node_sets(d, node_need_object(d, doc_root(d), F_metadata), F_resourceVersion, text);
	o = obj_new(old->res, d, rv);
	doc_unref(d);
	return o;
}

/* --- versions that a webhook converts: one event after the other --- */

static void watch_late_next(struct watch *w);

static void watch_late_drop(struct watch *w)
{
	struct watch_late *l = TAILQ_FIRST(&w->late);

	TAILQ_REMOVE(&w->late, l, link);
	w->n_late--;
	obj_unref(l->obj);
	free(l);
}

static void watch_late_done(void *arg, struct obj *o, const struct err *err)
{
	struct watch *w = arg;
	struct api *a = w->r->api;
	enum watch_type type = TAILQ_FIRST(&w->late)->type;
	bool gone = false;

	w->converting = NULL;
	if (err) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		buf_adds(&b, "{\"type\":\"ERROR\",\"object\":");
		status_from_err(err, &b);
		buf_adds(&b, "}\n");
		watch_send(w, buf_str(&b));
		watch_end(w, true);
		return;
	}
	watch_late_drop(w);
	w->gone = &gone;
	watch_send_line(w, lines_get(a, type, &w->view, o, NULL, 0));
	if (gone)
		return; /* it did not read, and was cut off */
	w->gone = NULL;
	watch_late_next(w);
}

static void watch_late_next(struct watch *w)
{
	struct watch_late *l = TAILQ_FIRST(&w->late);

	if (l && !w->converting)
		w->converting = convert_send(w->r->api, l->obj, w->view.res, watch_late_done, w);
}

/* True: the event is taken, it comes later. */
static bool watch_later(struct watch *w, enum watch_type t, struct obj *o, bool restamp, int64_t rv)
{
	struct watch_late *l;

	if (!watch_is_outside(w) || !convert_needs_hook(o, w->view.res))
		return false;
	if (w->n_late >= WATCH_MAX_LATE) {
		watch_end(w, true); /* the webhook is too slow for it: the client begins anew */
		return true;
	}
	l = xcalloc(1, sizeof(*l));
	l->type = t;
	l->obj = restamp ? watch_restamp(o, rv) : obj_ref(o);
	TAILQ_INSERT_TAIL(&w->late, l, link);
	w->n_late++;
	watch_late_next(w);
	return true;
}

static void watch_deliver(struct watch *w, enum watch_type t, struct obj *o, bool restamp, int64_t rv)
{
	struct req *r = w->r;

	w->rv = rv;
	if (watch_later(w, t, o, restamp, rv))
		return;
	if (r->call) {
		_cleanup_obj_ struct obj *as = restamp ? watch_restamp(o, rv) : convert_obj(o, w->view.res);

		(void)watch_tell(w, t, as);
	} else if (watch_is_outside(w)) {
		watch_send_line(w, lines_get(r->api, t, &w->view, o, restamp ? watch_restamp : NULL, rv));
	}
}

static void watch_on_event(void *arg, const struct store_event *ev)
{
	struct watch *w = arg;
	const struct filter *f = &w->r->filter;
	bool now, before;

	if (f->everything || ev->type == WATCH_DELETED) {
		if (f->everything || filter_match(f, ev->obj))
			watch_deliver(w, ev->type, ev->obj, false, ev->rv);
		return;
	}
	now = filter_match(f, ev->obj);
	before = ev->old && filter_match(f, ev->old);
	if (now)
		watch_deliver(w, before ? WATCH_MODIFIED : WATCH_ADDED, ev->obj, false, ev->rv);
	else if (before)
		watch_deliver(w, WATCH_DELETED, ev->old, true, ev->rv);
}

/* --- bookmarks --- */

/* An object of nothing but its kind and metadata: what a bookmark shows in each form. */
static struct obj *bookmark_obj(const struct watch *w, bool initial_end)
{
	const struct resource *res = &w->view.res->r;
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;
	struct obj *o;

	doc_set_root(d, root);
	node_sets(d, root, F_kind, res->kind);
	node_sets(d, root, F_apiVersion, res->api_version);
	meta = node_need_object(d, root, F_metadata);
	node_set(d, meta, F_resourceVersion, node_new_fmt(d, "%lld", (long long)w->rv));
	node_set(d, meta, F_creationTimestamp, node_new(d, DOC_NULL));
	if (initial_end)
		node_setk(d, node_need_object(d, meta, F_annotations), STR_LIT("k8s.io/initial-events-end"),
			  node_new_cstr(d, "true"));
	o = obj_new(res, d, w->rv);
	doc_unref(d);
	return o;
}

static void bookmark_text(const struct watch *w, bool initial_end, struct buf *b)
{
	_cleanup_obj_ struct obj *o = bookmark_obj(w, initial_end);

	buf_adds(b, "{\"type\":\"BOOKMARK\",\"object\":");
	respond_object(&w->view, o, b);
	buf_adds(b, "}\n");
}

/* False: the watch went away. */
static bool watch_bookmark(struct watch *w, bool initial_end)
{
	struct req *r = w->r;

	if (r->call) {
		r->call->list_rv = w->rv;
		r->call->initial_done = initial_end;
		return watch_tell(w, WATCH_BOOKMARK, NULL);
	}
	if (watch_is_outside(w)) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		bookmark_text(w, initial_end, &b);
		w->view.columns = false;
		watch_send(w, buf_str(&b));
	}
	return true;
}

static void watch_bookmark_round(void *arg)
{
	struct api *a = arg;
	struct watch *w, *next;

	TAILQ_FOREACH_SAFE(w, &a->watches, link, next) {
		int64_t rv = w->sw ? store_watch_rv(w->sw) : 0;

		if (!w->bookmarks || !watch_is_outside(w) || rv <= w->rv || w->n_late)
			continue;
		w->rv = rv;
		watch_bookmark(w, false);
	}
}

void watch_note_write(struct api *a)
{
	if (a->n_bookmarked && !loop_timer_is_set(a->bookmark_timer))
		loop_timer_set(a->bookmark_timer, WATCH_BOOKMARK_MS);
}

/* --- beginning and end --- */

static void watch_timeout(void *arg)
{
	struct watch *w = arg;
	int64_t rv = w->sw ? store_watch_rv(w->sw) : 0;

	if (w->bookmarks && watch_is_outside(w) && rv > w->rv && !w->n_late) {
		w->rv = rv;
		watch_bookmark(w, false);
	}
	watch_end(w, true);
}

static void watch_arm_timeout(struct watch *w)
{
	int64_t s = w->r->opts.timeout_s;

	if (s <= 0) {
		if (w->r->call)
			return;
		s = WATCH_MIN_TIMEOUT_S + (int64_t)rand_below(WATCH_MIN_TIMEOUT_S);
	}
	w->timer = loop_timer_new(w->r->api->loop, watch_timeout, w);
	loop_timer_set(w->timer, s * SEC_MS);
}

void watch_free(struct watch *w)
{
	struct api *a;

	if (!w)
		return;
	a = w->r->api;
	if (w->gone)
		*w->gone = true;
	convert_abort(w->converting);
	while (!TAILQ_EMPTY(&w->late))
		watch_late_drop(w);
	store_watch_stop(w->sw);
	watch_ws_close(w->ws, false);
	loop_timer_free(w->timer);
	TAILQ_REMOVE(&a->watches, w, link);
	a->n_watches--;
	a->n_bookmarked -= w->bookmarks;
	w->r->watch = NULL;
	free(w);
}

static void watch_flush(struct watch *w, struct buf *b)
{
	if (!b->len)
		return;
	watch_send(w, buf_str(b));
	buf_clear(b);
}

static int watch_follow(struct watch *w, struct err *e)
{
	struct req *r = w->r;

	return store_watch(&w->sw, r->api->store, &r->st->r, r->st->r.namespaced ? r->at.ns : "", w->rv, watch_on_event, w,
			   e);
}

static void watch_error_text(struct err *why, struct buf *b)
{
	buf_adds(b, "{\"type\":\"ERROR\",\"object\":");
	status_from_err(why, b);
	buf_adds(b, "}\n");
	err_release(why);
}

/* The objects that are there were sent: on with what came after, if the history still has it. */
static void watch_poured(struct watch *w)
{
	struct req *r = w->r;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	if (r->http)
		http_req_on_drain(r->http, NULL, NULL);
	store_list_release(&r->list);
	r->list_held = false;
	if (watch_follow(w, &e) < 0) {
		watch_error_text(&e, &b);
		watch_send(w, buf_str(&b));
		watch_end(w, true);
	} else if (r->opts.send_initial_events && w->bookmarks) {
		(void)watch_bookmark(w, true);
	}
}

/* The objects that are there, in blocks, no faster than the client reads them. */
static void watch_pour(void *arg)
{
	struct watch *w = arg;
	struct req *r = w->r;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!r->list_held) /* all of them were sent */
		return;
	while (r->list_at < r->list.n && watch_queued(w) < RESPOND_QUEUE_BYTES) {
		buf_adds(&b, "{\"type\":\"ADDED\",\"object\":");
		respond_object(&w->view, r->list.objs[r->list_at++], &b);
		buf_adds(&b, "}\n");
		metrics_watch_event(w->metric, r->list.objs[r->list_at - 1]->json_len);
		w->view.columns = false;
		if (w->ws || b.len >= WATCH_BLOCK_BYTES)
			watch_flush(w, &b);
	}
	watch_flush(w, &b);
	if (r->list_at == r->list.n)
		watch_poured(w);
}

static bool watch_tell_initial(struct watch *w, const struct store_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		_cleanup_obj_ struct obj *as = convert_obj(l->objs[i], w->view.res);

		if (!watch_tell(w, WATCH_ADDED, as))
			return false;
	}
	return true;
}

static bool watch_match_cb(void *arg, struct obj *o)
{
	return filter_match(arg, o);
}

static int watch_initial(struct watch *w, struct err *e)
{
	struct req *r = w->r;
	struct store_list l = {
		.res = &r->st->r,
		.ns = r->st->r.namespaced ? r->at.ns : "",
		.match = r->filter.everything ? NULL : watch_match_cb,
		.arg = &r->filter,
	};
	bool there;

	if (r->list_held)
		l = r->list; /* watch_convert_initial made it */
	else if (store_list(r->api->store, &l, e) < 0)
		return -e->code;
	w->rv = l.rv;
	if (watch_is_outside(w)) {
		r->list = l;
		r->list_held = true;
		if (r->http)
			http_req_on_drain(r->http, watch_pour, w);
		watch_pour(w);
		return 0;
	}
	if (watch_follow(w, e) < 0) {
		store_list_release(&l);
		return -e->code;
	}
	there = watch_tell_initial(w, &l); /* it may cancel: then w is gone */
	store_list_release(&l);
	if (there && r->opts.send_initial_events)
		(void)watch_bookmark(w, true);
	return 0;
}

/* Where to begin: at a revision, or (*initial) with what is there. */
static int watch_begin_rv(struct req *r, int64_t *rv, bool *initial, struct err *e)
{
	bool given = r->head && req_query(r, "sendInitialEvents");

	*rv = parse_rv(r->opts.resource_version);
	if (*rv < 0)
		return check_rv_reached(r, *rv, e);
	if (r->opts.send_initial_events)
		*initial = true;
	else
		*initial = *rv == 0 && !given;
	if (*initial && check_rv_reached(r, *rv, e) < 0)
		return -e->code;
	if (*initial || *rv == 0)
		*rv = store_revision(r->api->store);
	return 0;
}

static int watch_open(struct watch *w, struct err *e);

/* 200 and an ERROR event: what reflectors expect of a revision that is gone. */
static int watch_refuse(struct req *r, struct err *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	watch_error_text(why, &b);
	if (watch_ws_wanted(r)) {
		if (watch_open(r->watch, why) < 0)
			return -why->code;
		watch_send(r->watch, buf_str(&b));
		watch_end(r->watch, true);
		return STEP_WAIT;
	}
	buf_addstr(&r->text, buf_str(&b));
	answer_text(r, 200, "application/json");
	return STEP_DONE;
}

static struct watch *watch_new(struct req *r, int64_t rv)
{
	struct watch *w = xcalloc(1, sizeof(*w));
	struct api *a = r->api;

	TAILQ_INIT(&w->late);
	w->r = r;
	w->rv = rv;
	w->view = req_view(r);
	w->bookmarks = r->opts.allow_bookmarks;
	w->metric = r->http ? metrics_watch(a, &r->res->r) : NULL;
	TAILQ_INSERT_TAIL(&a->watches, w, link);
	a->n_watches++;
	a->n_bookmarked += w->bookmarks;
	r->watch = w;
	return w;
}

/* What is there is asked for in a version that a webhook makes: it is listed and converted before the answer begins. */
static int watch_convert_initial(struct req *r, struct err *e)
{
	if (!r->http || !r->res->custom || !r->res->custom->webhook)
		return 0;
	r->list = (struct store_list){ .res = &r->st->r, .ns = r->st->r.namespaced ? r->at.ns : "",
				       .match = r->filter.everything ? NULL : watch_match_cb, .arg = &r->filter };
	if (store_list(r->api->store, &r->list, e) < 0)
		return -e->code;
	r->list_held = true;
	return convert_req_list(r, r->list.objs, r->list.n, r->res, e);
}

/* The answer's head is sent. */
static int watch_open(struct watch *w, struct err *e)
{
	struct req *r = w->r;

	r->on_gone = watch_client_gone;
	if (watch_ws_wanted(r)) {
		w->ws = watch_ws_open(r, watch_pour, watch_ws_gone, w, e);
		r->on_gone = w->ws ? watch_client_gone : NULL;
		return w->ws ? 0 : -e->code;
	}
	respond_begin(r, "application/json");
	return 0;
}

int act_watch(struct req *r, struct err *e)
{
	const struct call_opts *o = &r->opts;
	struct watch *w;
	int64_t rv = 0;
	bool initial = false;

	if (filter_init(&r->filter, r->res, o->label_selector, o->field_selector, e) < 0 ||
	    watch_begin_rv(r, &rv, &initial, e) < 0 || (initial && watch_convert_initial(r, e) < 0))
		return -e->code;
	w = watch_new(r, rv);
	if (!initial && watch_follow(w, e) < 0)
		return r->http && e->reason == ERR_EXPIRED ? watch_refuse(r, e) : -e->code;
	if (r->http && watch_open(w, e) < 0)
		return -e->code;
	watch_arm_timeout(w);
	if (initial && watch_initial(w, e) < 0)
		BUG_ON(true); /* the newest state can always be listed */
	return STEP_WAIT;
}

void watch_end_of(struct api *a, const struct schema_res *r)
{
	struct watch *w, *next;

	TAILQ_FOREACH_SAFE(w, &a->watches, link, next)
		if (w->view.res == r || w->r->st == r)
			watch_end(w, true);
}

void watch_api_init(struct api *a)
{
	TAILQ_INIT(&a->watches);
	a->lines = xcalloc(1, sizeof(*a->lines));
	a->lines->api = a;
	a->lines->forget.run = lines_forget;
	a->bookmark_timer = loop_timer_new(a->loop, watch_bookmark_round, a);
}

void watch_api_release(struct api *a)
{
	if (!a->lines)
		return;
	loop_undefer(a->loop, &a->lines->forget);
	lines_forget(&a->lines->forget);
	free(a->lines);
	a->lines = NULL;
	a->bookmark_timer = loop_timer_free(a->bookmark_timer);
}
