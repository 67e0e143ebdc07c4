/*
 * Answers: content negotiation, and objects, lists, Tables, metadata-only forms
 * and Statuses as bytes.
 *
 * An object's JSON is what the store keeps: it is handed to the connection by
 * reference and never encoded again. Small objects of a list are gathered into
 * blocks instead (a TLS record of its own for each would cost more than the
 * copy); a long list goes out in blocks as the client reads them, so its size in
 * memory is bounded.
 *
 * Forms, by Accept: application/json, application/yaml, and of either
 * ;as=Table, ;as=PartialObjectMetadata, ;as=PartialObjectMetadataList with
 * ;g=meta.k8s.io;v=v1 (or v1beta1). The first that can be served wins. Protobuf
 * is none of them: a client that takes nothing else gets 406.
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

/* --- negotiation --- */

struct accept { /* one media range */
	struct str type, as, group, version;
	bool refused; /* q=0 */
};

static struct accept accept_parse(struct str range)
{
	struct accept a = { 0 };

	a.type = str_trim(str_cut(&range, ';'));
	while (range.p) {
		struct str value = str_cut(&range, ';');
		struct str key = str_trim(str_cut(&value, '='));

		value = str_trim(value);
		if (str_eqc(key, "as"))
			a.as = value;
		else if (str_eqc(key, "g"))
			a.group = value;
		else if (str_eqc(key, "v"))
			a.version = value;
		else if (str_eqc(key, "q"))
			a.refused = str_eqc(value, "0") || str_eqc(value, "0.0");
	}
	return a;
}

static bool accept_format(const struct accept *a, enum format *ret)
{
	if (str_ieq(a->type, STR_LIT("application/json")) || str_eqc(a->type, "*/*") || str_eqc(a->type, "application/*"))
		*ret = FORMAT_JSON;
	else if (str_ieq(a->type, STR_LIT("application/yaml")))
		*ret = FORMAT_YAML;
	else
		return false;
	return !a->refused;
}

static bool accept_shape(const struct accept *a, enum shape *ret)
{
	if (!a->as.n) {
		*ret = SHAPE_OBJECT;
		return true;
	}
	if (!str_eqc(a->group, "meta.k8s.io") || (!str_eqc(a->version, "v1") && !str_eqc(a->version, "v1beta1")))
		return false;
	if (str_eqc(a->as, "Table"))
		*ret = SHAPE_TABLE;
	else if (str_eqc(a->as, "PartialObjectMetadata") || str_eqc(a->as, "PartialObjectMetadataList"))
		*ret = SHAPE_PARTIAL;
	else
		return false;
	return true;
}

static void respond_include(struct req *r)
{
	const char *v = r->shape == SHAPE_TABLE ? req_query(r, "includeObject") : NULL;

	if (v && streq(v, "Object"))
		r->include = INCLUDE_OBJECT;
	else if (v && streq(v, "None"))
		r->include = INCLUDE_NONE;
}

int respond_negotiate(struct req *r, struct err *e)
{
	struct str rest = http_head_get(r->head, "Accept");

	if (r->at.path || r->handler->plain || !str_trim(rest).n)
		return STEP_NEXT;
	while (rest.p) {
		struct accept a = accept_parse(str_cut(&rest, ','));

		if (accept_format(&a, &r->format) && accept_shape(&a, &r->shape)) {
			respond_include(r);
			return STEP_NEXT;
		}
	}
	r->format = FORMAT_JSON;
	r->shape = SHAPE_OBJECT;
	return err_set(e, ERR_NOT_ACCEPTABLE,
		       "only the following media types are accepted: application/json, application/yaml");
}

struct view req_view(const struct req *r)
{
	return (struct view){ r->obj_res ? r->obj_res : r->res, r->shape, r->include, true };
}

/* --- one object --- */

static void respond_partial(struct obj *o, struct buf *out)
{
	buf_adds(out, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
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
	buf_adds(out, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",");
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
		respond_partial(o, out);
	buf_addch(out, '}');
}

/* o is in the view's version. */
static void respond_object_as(const struct view *v, struct obj *o, struct buf *out)
{
	if (v->shape == SHAPE_PARTIAL) {
		respond_partial(o, out);
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
	if (r->etag)
		heads_add(h, "ETag", str_of(r->etag));
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
		buf_adds(&o->b, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",");
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
		respond_partial(obj, &o->b);
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

/* Fills the connection's queue; goes on when it has drained. */
static void list_stream(void *arg)
{
	struct req *r = arg;
	struct out o = { evbuffer_new(), BUF_INIT };
	bool all = false;

	if (!r->list_at) {
		out_block(&o);
		list_open(r, &o);
	}
	while (!all && http_req_queued(r->http) < RESPOND_QUEUE_BYTES) {
		out_block(&o);
		all = list_items(r, &o, RESPOND_BLOCK_BYTES);
		out_flush(&o);
		r->sent += evbuffer_get_length(o.eb);
		http_chunk_evbuffer(r->http, o.eb);
	}
	evbuffer_free(o.eb);
	if (o.b.cap == RESPOND_BLOCK_CAP)
		block_put(o.b.s);
	else
		buf_release(&o.b);
	if (!all)
		return;
	http_req_on_drain(r->http, NULL, NULL);
	http_req_on_gone(r->http, NULL, NULL);
	http_end(take_ptr(&r->http));
	list_stream_over(r);
}

int respond_list_start(struct req *r)
{
	size_t bytes = 0;

	for (size_t i = 0; i < r->list.n; i++)
		bytes += r->list.objs[i]->json_len;
	if (!r->http || bytes < RESPOND_STREAM_BYTES || r->opts.pretty || r->format == FORMAT_YAML)
		return STEP_DONE;
	list_streams++;
	r->on_gone = list_stream_over;
	respond_begin(r, "application/json");
	http_req_on_drain(r->http, list_stream, r);
	list_stream(r);
	return STEP_WAIT;
}

/* --- pretty and YAML --- */

static void pretty_newline(struct buf *out, int depth)
{
	buf_addch(out, '\n');
	for (int i = 0; i < depth; i++)
		buf_adds(out, "  ");
}

/* Our own compact JSON with two spaces of indent, as kube-apiserver's; the text is not looked into. */
void json_pretty(struct str in, struct buf *out)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (in_string) {
			buf_addch(out, c);
			if (c == '\\' && i + 1 < in.n)
				buf_addch(out, in.p[++i]);
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '}' || c == ']')
			pretty_newline(out, --depth);
		buf_addch(out, c);
		if (c == '"')
			in_string = true;
		else if (c == ':')
			buf_addch(out, ' ');
		else if (c == ',')
			pretty_newline(out, depth);
		else if ((c == '{' || c == '[') && i + 1 < in.n && (in.p[i + 1] == '}' || in.p[i + 1] == ']'))
			buf_addch(out, in.p[++i]);
		else if (c == '{' || c == '[')
			pretty_newline(out, ++depth);
	}
}

static void respond_reshape(struct req *r, struct buf *b)
{
	_cleanup_buf_ struct buf in = *b;
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc_json_opts opts = { .max_bytes = SIZE_MAX };
	_cleanup_doc_ struct doc *d = NULL;

	buf_init(b);
	if (r->format != FORMAT_YAML) {
		json_pretty(str_trim(buf_str(&in)), b);
		buf_addch(b, '\n');
	} else if (doc_parse_json(&d, buf_str(&in), &opts, &e) < 0) {
		buf_addf(b, "# %s\n", err_msg(&e));
	} else {
		doc_print_yaml(b, doc_root(d));
	}
}

/* --- the answer --- */

void answer_text(struct req *r, int status, const char *type)
{
	r->status = status;
	r->text_type = type;
}

static bool wants_pretty(const struct req *r)
{
	return r->opts.pretty || r->format == FORMAT_YAML;
}

static void respond_body(struct req *r, struct out *o)
{
	struct view v;

	if (err_is_set(&r->err)) {
		status_from_err(&r->err, &o->b);
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
static void respond_flatten(struct req *r, struct out *o)
{
	struct buf all = BUF_INIT;
	size_t n;

	out_flush(o);
	n = evbuffer_get_length(o->eb);
	buf_reserve(&all, n);
	evbuffer_remove(o->eb, all.s, n);
	all.len = n;
	all.s[n] = '\0';
	respond_reshape(r, &all);
	o->b = all;
}

void respond(struct req *r)
{
	struct out o = { evbuffer_new(), BUF_INIT };
	const char *type = r->text_type;

	if (type && !err_is_set(&r->err)) {
		o.b = r->text;
		buf_init(&r->text);
	} else {
		type = r->format == FORMAT_YAML ? "application/yaml" : "application/json";
		respond_body(r, &o);
		if (wants_pretty(r))
			respond_flatten(r, &o);
	}
	out_flush(&o);
	respond_send(r, type, o.eb);
	evbuffer_free(o.eb);
	buf_release(&o.b);
}
