/*
 * Answers: objects, lists, Tables, metadata-only forms and Statuses as bytes, in
 * the form that was negotiated (negotiate.c).
 *
 * An object's JSON is what the store keeps: it is handed to the connection by
 * reference and never encoded again. Small objects of a list are gathered into
 * blocks instead (a TLS record of its own for each would cost more than the
 * copy); a long list goes out in blocks as the client reads them, so its size in
 * memory is bounded.
 */
#include "api/internal.h"

#include <event2/buffer.h>
#include <stdio.h>

#include "base/time.h"
#include "http/http.h"

#define RESPOND_REF_BYTES 8192 /* pieces of objects from here on are referenced, smaller ones copied */
#define RESPOND_BLOCK_BYTES (120u << 10)
#define RESPOND_BLOCK_CAP (RESPOND_BLOCK_BYTES + RESPOND_REF_BYTES)
#define RESPOND_STREAM_BYTES (256u << 10) /* lists from here on are streamed */
#define RESPOND_ENCODED_BLOCKS 4 /* of one list in a turn of the loop */
#define RESPOND_GZIP_BYTES (128u << 10) /* more than this is compressed */

struct view req_view(const struct req *r)
{
	return (struct view){ r->obj_res ? r->obj_res : r->res, r->shape, r->include, true, r->shape_v1beta1 };
}

/* --- one object --- */

/* Opens an object of meta.k8s.io, in the version asked for. */
static void respond_open(const struct view *v, const char *kind, struct buf *out)
{
	buf_addf(out, "{\"kind\":\"%s\",\"apiVersion\":\"meta.k8s.io/%s\",", kind, v->v1beta1 ? "v1beta1" : "v1");
}

static void respond_partial(const struct view *v, struct obj *o, struct buf *out)
{
	respond_open(v, "PartialObjectMetadata", out);
	buf_adds(out, "\"metadata\":");
	doc_print_json(out, meta_of(obj_node(o)), DOC_PRINT_COMPACT);
	buf_addch(out, '}');
}

static void respond_meta(struct buf *out, int64_t rv, const char *cont, int64_t remaining)
{
	buf_addf(out, "\"metadata\":{\"resourceVersion\":\"%lld\"", (long long)rv);
	if (!str_empty(cont)) {
		buf_adds(out, ",\"continue\":");
		buf_add_json_string(out, str_of(cont));
	}
	if (remaining > 0)
		buf_addf(out, ",\"remainingItemCount\":%lld", (long long)remaining);
	buf_adds(out, "},");
}

static void respond_table_open(const struct view *v, int64_t rv, const char *cont, int64_t remaining, struct buf *out)
{
	respond_open(v, "Table", out);
	respond_meta(out, rv, cont, remaining);
	if (v->columns)
		schema_table_columns(v->res, out);
	else
		buf_adds(out, "\"columnDefinitions\":null");
	buf_adds(out, ",\"rows\":[");
}

static void respond_row(const struct view *v, struct obj *o, struct buf *out)
{
	buf_addch(out, '{');
	schema_table_cells(v->res, obj_node(o), time_wall_s(), out);
	buf_adds(out, ",\"object\":");
	if (v->include == INCLUDE_OBJECT)
		obj_json_add(o, out);
	else if (v->include == INCLUDE_NONE)
		buf_adds(out, "null");
	else
		respond_partial(v, o, out);
	buf_addch(out, '}');
}

/* o is in the view's version. */
static void respond_object_as(const struct view *v, struct obj *o, struct buf *out)
{
	if (v->shape == SHAPE_PARTIAL) {
		respond_partial(v, o, out);
	} else if (v->shape == SHAPE_TABLE) {
		respond_table_open(v, o->rv, NULL, 0, out);
		respond_row(v, o, out);
		buf_adds(out, "]}");
	} else {
		obj_json_add(o, out);
	}
}

void respond_object(const struct view *v, struct obj *o, struct buf *out)
{
	_cleanup_obj_ struct obj *as = convert_obj(o, v->res);

	respond_object_as(v, as, out);
}

/* --- heads --- */

#define RESPOND_HEADERS 24
struct heads {
	struct http_header v[RESPOND_HEADERS];
	size_t n;
};

static void heads_add(struct heads *h, const char *name, struct str value)
{
	if (h->n < RESPOND_HEADERS)
		h->v[h->n++] = (struct http_header){ str_of(name), value };
}

/* 299 - "text", quoted as RFC 7234 has it. */
static struct str heads_warning(struct req *r, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "299 - \"");
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_addch(&b, '\\');
		buf_addch(&b, (unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p);
	}
	buf_addch(&b, '"');
	return arena_str(r->arena, buf_str(&b));
}

static void heads_make(struct req *r, struct heads *h)
{
	h->n = 0;
	if (r->id)
		heads_add(h, "Audit-Id", str_of(r->id));
	heads_add(h, "Cache-Control", str_of(r->cache_control ? r->cache_control : "no-cache, private"));
	if (r->expires)
		heads_add(h, "Expires", str_of(r->expires));
	if (r->location)
		heads_add(h, "Location", str_of(r->location));
	if (r->vary_accept)
		heads_add(h, "Vary", STR_LIT("Accept"));
	if (r->etag)
		heads_add(h, "ETag", str_of(r->etag));
	if (encoder_is_gzip(r->encoder)) {
		heads_add(h, "Content-Encoding", STR_LIT("gzip"));
		heads_add(h, "Vary", STR_LIT("Accept-Encoding"));
	}
	if (r->err.retry_after_s)
		heads_add(h, "Retry-After", str_of(arena_printf(r->arena, "%d", r->err.retry_after_s)));
	for (size_t i = 0; i < r->warnings.n; i++)
		heads_add(h, "Warning", heads_warning(r, r->warnings.v[i]));
}

void respond_begin(struct req *r, const char *type)
{
	struct heads h;
	struct http_resp resp = { .status = 200, .content_type = type };

	audit_started(r);
	r->spent.answer_us = time_mono_us();
	heads_make(r, &h);
	resp.headers = h.v;
	resp.n_headers = h.n;
	http_begin(r->http, &resp);
}

static void respond_send(struct req *r, const char *type, struct evbuffer *body)
{
	struct heads h;
	struct http_resp resp = { .status = r->status, .content_type = type };

	heads_make(r, &h);
	resp.headers = h.v;
	resp.n_headers = h.n;
	r->sent = evbuffer_get_length(body);
	http_req_on_gone(r->http, NULL, NULL);
	http_reply_evbuffer(take_ptr(&r->http), &resp, body);
}

/* --- bytes to the connection --- */

struct out { /* what is small gathers in b, what is large is referenced */
	struct evbuffer *eb;
	struct buf b;
};

/* Blocks of streamed lists go round while any is being streamed: fresh memory for each would cost more than
 * filling it. */
struct block {
	struct block *next;
};
static struct block *blocks;
static size_t list_streams;

static void block_put(void *p)
{
	struct block *b = p;

	if (!list_streams) {
		free(p);
		return;
	}
	b->next = blocks;
	blocks = b;
}

static void blocks_drop(void)
{
	while (blocks) {
		struct block *b = blocks;

		blocks = b->next;
		free(b);
	}
}

static void out_block(struct out *o)
{
	if (o->b.cap)
		return;
	if (blocks) {
		struct block *b = blocks;

		blocks = b->next;
		o->b = (struct buf){ (char *)b, 0, RESPOND_BLOCK_CAP };
		o->b.s[0] = '\0';
	} else {
		o->b = (struct buf){ xmalloc(RESPOND_BLOCK_CAP), 0, RESPOND_BLOCK_CAP };
	}
}

static void out_free_text(const void *p, size_t n, void *arg)
{
	free(arg);
}

static void out_free_block(const void *p, size_t n, void *arg)
{
	block_put(arg);
}

static void out_unref_obj(const void *p, size_t n, void *arg)
{
	obj_unref(arg);
}

static void out_flush(struct out *o)
{
	bool block = o->b.cap == RESPOND_BLOCK_CAP;
	size_t n;
	char *s;

	if (!o->b.len)
		return;
	s = buf_detach(&o->b, &n);
	evbuffer_add_reference(o->eb, s, n, block ? out_free_block : out_free_text, s);
}

static void out_obj(struct out *o, struct obj *obj)
{
	for (size_t i = 0, n = obj_n_pieces(obj); i < n; i++) {
		struct str p = obj_piece(obj, i);

		if (p.n < RESPOND_REF_BYTES) {
			buf_addstr(&o->b, p);
			continue;
		}
		out_flush(o);
		evbuffer_add_reference(o->eb, p.p, p.n, out_unref_obj, obj_ref(obj));
	}
}

void respond_chunk_ref(struct req *r, const char *p, size_t n, void (*release)(const void *p, size_t n, void *arg),
		       void *arg)
{
	struct evbuffer *eb = evbuffer_new();

	evbuffer_add_reference(eb, p, n, release, arg);
	http_chunk_evbuffer(r->http, eb);
	evbuffer_free(eb);
}

/* --- lists --- */

static void list_open(struct req *r, struct out *o)
{
	const struct store_list *l = &r->list;
	struct view v = req_view(r);

	if (v.shape == SHAPE_TABLE) {
		respond_table_open(&v, l->rv, l->continue_out, l->remaining, &o->b);
		return;
	}
	if (v.shape == SHAPE_PARTIAL)
		respond_open(&v, "PartialObjectMetadataList", &o->b);
	else
		buf_addf(&o->b, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", v.res->r.list_kind, v.res->r.api_version);
	respond_meta(&o->b, l->rv, l->continue_out, l->remaining);
	buf_adds(&o->b, "\"items\":[");
}

static void list_item(const struct view *v, struct obj *stored, struct out *o)
{
	_cleanup_obj_ struct obj *obj = convert_obj(stored, v->res);

	if (v->shape == SHAPE_TABLE)
		respond_row(v, obj, &o->b);
	else if (v->shape == SHAPE_PARTIAL)
		respond_partial(v, obj, &o->b);
	else
		out_obj(o, obj);
}

/* Items until about `limit` bytes are there; true when that was all of the list. */
static bool list_items(struct req *r, struct out *o, size_t limit)
{
	struct view v = req_view(r);

	while (r->list_at < r->list.n) {
		if (o->b.len + evbuffer_get_length(o->eb) >= limit)
			return false;
		if (r->list_at)
			buf_addch(&o->b, ',');
		list_item(&v, r->list.objs[r->list_at++], o);
		if (o->b.len >= RESPOND_BLOCK_BYTES)
			out_flush(o);
	}
	buf_adds(&o->b, "]}\n");
	return true;
}

static void list_stream_over(struct req *r)
{
	r->on_gone = NULL;
	if (--list_streams == 0)
		blocks_drop();
	req_finish(r);
}

static void list_stream_end(struct req *r)
{
	http_req_on_drain(r->http, NULL, NULL);
	http_req_on_gone(r->http, NULL, NULL);
	http_end(take_ptr(&r->http));
	list_stream_over(r);
}

/* One block, as it is or encoded; true when it was the last. */
static bool list_stream_block(struct req *r, struct out *o)
{
	struct evbuffer *coded;
	bool all;

	out_block(o);
	if (!r->list_at)
		list_open(r, o);
	all = list_items(r, o, RESPOND_BLOCK_BYTES);
	out_flush(o);
	r->sent += evbuffer_get_length(o->eb);
	if (!r->encoder) {
		http_chunk_evbuffer(r->http, o->eb);
		return all;
	}
	coded = evbuffer_new();
	encoder_run(r->encoder, o->eb, all, coded);
	http_chunk_evbuffer(r->http, coded);
	evbuffer_free(coded);
	return all;
}

static void list_stream(void *arg);

static void list_stream_again(struct loop_task *t)
{
	list_stream(CONTAINER_OF(t, struct req, task));
}

/* Fills the connection's queue; goes on when it has drained. Encoding takes time: the others have their turn in
 * between. */
static void list_stream(void *arg)
{
	struct req *r = arg;
	struct out o = { evbuffer_new(), BUF_INIT };
	unsigned done = 0;
	bool all = false;

	loop_undefer(r->api->loop, &r->task);
	while (!all && (!r->encoder || done++ < RESPOND_ENCODED_BLOCKS) && http_req_queued(r->http) < RESPOND_QUEUE_BYTES)
		all = list_stream_block(r, &o);
	evbuffer_free(o.eb);
	if (o.b.cap == RESPOND_BLOCK_CAP)
		block_put(o.b.s);
	else
		buf_release(&o.b);
	if (all) {
		list_stream_end(r);
	} else if (http_req_queued(r->http) < RESPOND_QUEUE_BYTES) {
		r->task.run = list_stream_again;
		loop_defer(r->api->loop, &r->task);
	}
}

int respond_list_start(struct req *r)
{
	size_t bytes = 0;

	for (size_t i = 0; i < r->list.n; i++)
		bytes += r->list.objs[i]->json_len;
	if (!r->http || bytes < RESPOND_STREAM_BYTES || r->format == FORMAT_YAML)
		return STEP_DONE;
	list_streams++;
	r->encoder = encoder_new(r->opts.pretty, r->gzip);
	r->on_gone = list_stream_over;
	respond_begin(r, "application/json");
	http_req_on_drain(r->http, list_stream, r);
	list_stream(r);
	return STEP_WAIT;
}

/* --- YAML --- */

static void respond_yaml(struct buf *b)
{
	_cleanup_buf_ struct buf in = *b;
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc_json_opts opts = { .max_bytes = SIZE_MAX };
	_cleanup_doc_ struct doc *d = NULL;

	buf_init(b);
	if (doc_parse_json(&d, buf_str(&in), &opts, &e) < 0)
		buf_addf(b, "# %s\n", err_msg(&e));
	else
		doc_print_yaml(b, doc_root(d));
}

/* --- the answer --- */

void answer_text(struct req *r, int status, const char *type)
{
	r->status = status;
	r->text_type = type;
}

static void respond_body(struct req *r, struct out *o)
{
	struct view v;

	if (err_is_set(&r->err)) {
		status_from_err_continue(&r->err, r->list_held ? r->list.continue_out : NULL, &o->b);
		buf_addch(&o->b, '\n');
	} else if (r->is_list) {
		r->list_at = 0;
		list_open(r, o);
		list_items(r, o, SIZE_MAX);
	} else if (r->obj && !r->success_status) {
		_cleanup_obj_ struct obj *as = NULL;

		v = req_view(r);
		as = convert_obj(r->obj, v.res);
		if (v.shape == SHAPE_OBJECT)
			out_obj(o, as);
		else
			respond_object_as(&v, as, &o->b);
		buf_addch(&o->b, '\n');
	} else {
		status_success(r, &o->b);
		buf_addch(&o->b, '\n');
	}
}

/* The whole body as one text, for those who want it in another form. */
static void respond_flatten(struct out *o)
{
	struct buf all = BUF_INIT;
	size_t n;

	out_flush(o);
	n = evbuffer_get_length(o->eb);
	buf_reserve(&all, n);
	evbuffer_remove(o->eb, all.s, n);
	all.len = n;
	all.s[n] = '\0';
	respond_yaml(&all);
	o->b = all;
}

static void respond_encode(struct req *r, struct out *o, bool pretty)
{
	size_t over = r->gzip_over ? r->gzip_over : RESPOND_GZIP_BYTES;
	struct evbuffer *coded;

	r->encoder = encoder_new(pretty, r->gzip && evbuffer_get_length(o->eb) > over);
	if (!r->encoder)
		return;
	coded = evbuffer_new();
	encoder_run(r->encoder, o->eb, true, coded);
	evbuffer_free(o->eb);
	o->eb = coded;
}

void respond(struct req *r)
{
	struct out o = { evbuffer_new(), BUF_INIT };
	const char *type = r->text_type;
	bool text = type && !err_is_set(&r->err);

	if (text) {
		o.b = r->text;
		buf_init(&r->text);
	} else {
		type = r->format == FORMAT_YAML ? "application/yaml" : "application/json";
		respond_body(r, &o);
		if (r->format == FORMAT_YAML)
			respond_flatten(&o);
	}
	out_flush(&o);
	if (evbuffer_get_length(o.eb))
		respond_encode(r, &o, r->opts.pretty && r->format == FORMAT_JSON && (!text || r->text_pretty));
	respond_send(r, type, o.eb);
	evbuffer_free(o.eb);
	buf_release(&o.b);
}
