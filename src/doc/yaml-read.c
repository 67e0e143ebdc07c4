/*
 * YAML in, through libyaml's events (included only here), into the same trees as
 * JSON makes. The reading is that of sigs.k8s.io/yaml: see yaml-resolve.c for
 * plain scalars; keys that are no strings become strings; timestamps stay
 * strings; << merges (explicit keys win, earlier sources win over later ones);
 * .inf and .nan are refused because JSON has no such numbers.
 *
 * A text that begins with { or [ is tried as JSON first (one value or several),
 * as Kubernetes' decoders do: JSON's \u pairs are no YAML.
 *
 * libyaml leaves to its caller: the depth, the number of directives, anchors and their expansion, and
 * duplicate keys. An alias becomes a copy of the node; the copy's nodes and bytes
 * are counted before it is made, so that ten lines can't become a gigabyte.
 */
#include "doc/internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include <yaml.h>

#include "base/limits.h"
#include "base/vec.h"

#define YAML_TAG "tag:yaml.org,2002:"

struct yaml_reader {
	yaml_parser_t parser;
	struct str text;
	struct doc *d;
	struct node *stack[LIMIT_JSON_DEPTH + 1]; /* open containers; one more for what << brings */
	size_t depth;
	size_t nodes, expanded; /* over all documents of the stream */
	struct map *anchors;	/* name -> node; yaml_pending while it is being read */
	struct node *root;
	struct node key; /* only its name and key: of the value that comes next */
	bool tag_error;
	struct dups *dups;
	struct err *e;
};

static struct node yaml_pending;

static int yaml_fail_at(struct yaml_reader *r, yaml_mark_t mark, const char *fmt, ...) ATTR_PRINTF(3, 4);
static int yaml_fail_at(struct yaml_reader *r, yaml_mark_t mark, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	return err_set(r->e, ERR_BAD_REQUEST, "error converting YAML to JSON: yaml: line %zu, column %zu: %s",
		       mark.line + 1, mark.column + 1, b.s);
}

static int yaml_next(struct yaml_reader *r, yaml_event_t *ev)
{
	yaml_parser_t *p = &r->parser;
	size_t line, column;

	if (yaml_parser_parse(p, ev))
		return 0;
	if (p->error == YAML_READER_ERROR) {
		doc_line_column(r->text, p->problem_offset, &line, &column);
		return err_set(r->e, ERR_BAD_REQUEST,
			       "error converting YAML to JSON: yaml: line %zu, column %zu: %s", line, column,
			       p->problem);
	}
	if (p->context)
		return yaml_fail_at(r, p->problem_mark, "%s %s", p->problem, p->context);
	return yaml_fail_at(r, p->problem_mark, "%s", p->problem ? p->problem : "malformed text");
}

/* --- placing values --- */

static int yaml_count(struct yaml_reader *r, size_t nodes, size_t bytes, yaml_mark_t mark)
{
	r->nodes += nodes;
	r->expanded += bytes;
	if (r->nodes > LIMIT_DOC_NODES || r->expanded > LIMIT_YAML_EXPANDED)
		return yaml_fail_at(r, mark, "document contains excessive aliasing or too many values");
	return 0;
}

static void yaml_link(struct yaml_reader *r, struct node *n)
{
	struct node *parent;

	if (r->depth == 0) {
		r->root = n;
		return;
	}
	parent = r->stack[r->depth - 1];
	n->name = F_NONE;
	n->key = NULL;
	n->key_len = 0;
	if (parent->type == DOC_OBJECT) {
		n->name = r->key.name;
		n->key = r->key.key;
		n->key_len = r->key.key_len;
	}
	node_link(parent, n);
}

/* Counts an aliased tree, giving up when it is over the limits. */
static int yaml_measure(struct yaml_reader *r, const struct node *n, size_t depth, yaml_mark_t mark)
{
	bool container = n->type == DOC_ARRAY || n->type == DOC_OBJECT;

	if (yaml_count(r, 1, n->key_len + (container ? 0 : n->len), mark) < 0)
		return -r->e->code;
	if (!container)
		return 0;
	if (depth >= LIMIT_JSON_DEPTH)
		return yaml_fail_at(r, mark, "nested too deeply");
	NODE_FOREACH (c, n) {
		if (yaml_measure(r, c, depth + 1, mark) < 0)
			return -r->e->code;
	}
	return 0;
}

static void yaml_set_anchor(struct yaml_reader *r, const yaml_char_t *anchor, struct node *n)
{
	if (anchor)
		map_set(r->anchors, str_of((const char *)anchor), n);
}

static struct node *yaml_anchor(struct yaml_reader *r, const yaml_event_t *ev)
{
	const char *name = (const char *)ev->data.alias.anchor;
	struct node *n = map_getc(r->anchors, name);

	if (!n)
		yaml_fail_at(r, ev->start_mark, "unknown anchor '%s' referenced", name);
	else if (n == &yaml_pending)
		yaml_fail_at(r, ev->start_mark, "anchor '%s' value contains itself", name);
	return n == &yaml_pending ? NULL : n;
}

static int yaml_alias(struct yaml_reader *r, const yaml_event_t *ev)
{
	struct node *n = yaml_anchor(r, ev);

	if (!n || yaml_measure(r, n, r->depth, ev->start_mark) < 0)
		return -r->e->code;
	yaml_link(r, node_copy(r->d, n));
	return 0;
}

/* --- scalars --- */

/* "int" of !!int; NULL: no tag; "!" for what is a string by its tag. */
static const char *yaml_tag(const yaml_event_t *ev)
{
	const char *tag = (const char *)ev->data.scalar.tag;

	if (!tag)
		return NULL;
	return starts_with(tag, YAML_TAG) ? tag + strlen(YAML_TAG) : "!";
}

static struct node *yaml_number(struct yaml_reader *r, const struct yaml_value *v)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int64_t i;

	if (v->kind == YAML_K_INT)
		return node_new_int(r->d, v->i);
	if (v->kind == YAML_K_BIG)
		buf_addf(&b, "%llu", (unsigned long long)v->big);
	else
		doc_print_double(&b, v->f);
	if (str_to_i64(buf_str(&b), &i))
		return node_new_int(r->d, i);
	return node_new_float_text(r->d, buf_str(&b));
}

static struct node *yaml_typed(struct yaml_reader *r, const yaml_event_t *ev, struct str s,
			       const struct yaml_value *v)
{
	switch (v->kind) {
	case YAML_K_NULL:
		return node_new(r->d, DOC_NULL);
	case YAML_K_BOOL:
		return node_new_bool(r->d, v->b);
	case YAML_K_FLOAT:
		if (!isfinite(v->f)) {
			yaml_fail_at(r, ev->start_mark, "json: unsupported value: %s",
				     isnan(v->f) ? "NaN"
				     : v->f > 0	 ? "+Inf"
						 : "-Inf");
			return NULL;
		}
		return yaml_number(r, v);
	case YAML_K_INT:
	case YAML_K_BIG:
		return yaml_number(r, v);
	default:
		return node_new_str(r->d, s);
	}
}

/* Does a value of this kind suit its explicit tag? */
static bool yaml_suits(const char *tag, const struct yaml_value *v)
{
	switch (v->kind) {
	case YAML_K_NULL:
		return streq(tag, "null");
	case YAML_K_BOOL:
		return streq(tag, "bool");
	case YAML_K_INT:
		return streq(tag, "int") || streq(tag, "float");
	case YAML_K_BIG:
		return streq(tag, "int");
	case YAML_K_FLOAT:
		return streq(tag, "float");
	case YAML_K_TIME:
		return streq(tag, "timestamp");
	case YAML_K_MERGE:
		return streq(tag, "merge");
	default:
		return false;
	}
}

static struct node *yaml_binary(struct yaml_reader *r, const yaml_event_t *ev, struct str s)
{
	_cleanup_buf_ struct buf raw = BUF_INIT, packed = BUF_INIT;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\n' && s.p[i] != ' ')
			buf_addch(&packed, s.p[i]);
	}
	if (!buf_add_base64_decoded(&raw, buf_str(&packed), false) || !str_is_utf8(buf_str(&raw))) {
		yaml_fail_at(r, ev->start_mark, "!!binary value contains invalid base64 data");
		return NULL;
	}
	return node_new_str(r->d, buf_str(&raw));
}

static struct node *yaml_scalar(struct yaml_reader *r, const yaml_event_t *ev)
{
	struct str s = str_n((const char *)ev->data.scalar.value, ev->data.scalar.length);
	const char *tag = yaml_tag(ev);
	struct yaml_value v;

	if (!tag && ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return node_new_str(r->d, s);
	if (tag && streq(tag, "binary"))
		return yaml_binary(r, ev, s);
	if (tag && !streq(tag, "int") && !streq(tag, "float") && !streq(tag, "bool") && !streq(tag, "null") &&
	    !streq(tag, "timestamp"))
		return node_new_str(r->d, s);
	yaml_resolve(s, &v);
	if (tag && !yaml_suits(tag, &v)) {
		yaml_fail_at(r, ev->start_mark, "cannot decode `%s` as a !!%s", s.p, tag);
		return NULL;
	}
	return yaml_typed(r, ev, s, &v);
}

/* --- containers --- */

static int yaml_value(struct yaml_reader *r, yaml_event_t *ev);

static bool yaml_is_merge(const yaml_event_t *ev)
{
	const char *tag;

	if (ev->type != YAML_SCALAR_EVENT || !streq((const char *)ev->data.scalar.value, "<<"))
		return false;
	tag = yaml_tag(ev);
	return tag ? streq(tag, "merge") : ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* A scalar as the text of a key, into r->key. */
static int yaml_set_key(struct yaml_reader *r, const yaml_event_t *ev, const struct node *n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	switch (node_type(n)) {
	case DOC_STRING:
	case DOC_FLOAT:
		node_name(r->d, &r->key, str_n(n->u.s, n->len), true);
		return 0;
	case DOC_INT:
	case DOC_BOOL:
		doc_print_json(&b, n, DOC_PRINT_COMPACT);
		node_name(r->d, &r->key, buf_str(&b), true);
		return 0;
	default:
		return yaml_fail_at(r, ev->start_mark, "unsupported map key of type %s",
				    node_type(n) == DOC_NULL	? "null"
				    : node_type(n) == DOC_ARRAY ? "array"
								: "object");
	}
}

static int yaml_key(struct yaml_reader *r, const yaml_event_t *ev)
{
	struct node *n;

	if (ev->type == YAML_ALIAS_EVENT) {
		n = yaml_anchor(r, ev);
		if (!n || yaml_count(r, 0, n->len, ev->start_mark) < 0)
			return -r->e->code;
	} else if (ev->type == YAML_SCALAR_EVENT) {
		n = yaml_scalar(r, ev);
		if (!n)
			return -r->e->code;
		yaml_set_anchor(r, ev->data.scalar.anchor, n);
	} else {
		return yaml_fail_at(r, ev->start_mark, "a mapping or sequence is used as a key");
	}
	return yaml_set_key(r, ev, n);
}

/* The members of src that obj lacks. */
static int yaml_merge_one(struct yaml_reader *r, struct node *obj, struct map *have, const struct node *src,
			  yaml_mark_t mark)
{
	if (!node_is(src, DOC_OBJECT))
		return yaml_fail_at(r, mark, "map merge requires map or sequence of maps as the value");
	if (yaml_count(r, src->len, 0, mark) < 0)
		return -r->e->code;
	NODE_FOREACH (c, src) {
		struct node *copy;

		if (map_get(have, node_key(c)))
			continue;
		if (yaml_measure(r, c, r->depth, mark) < 0)
			return -r->e->code;
		copy = node_copy(r->d, c);
		copy->name = c->name;
		copy->key = c->key;
		copy->key_len = c->key_len;
		node_link(obj, copy);
		map_set(have, node_key(copy), copy);
	}
	return 0;
}

static int yaml_merge(struct yaml_reader *r, struct node *obj, const struct node *sources, yaml_mark_t mark)
{
	struct map *have;
	int ret = 0;

	if (!sources->len)
		return 0;
	have = node_index(obj);
	NODE_FOREACH (s, sources) {
		if (node_is(s, DOC_ARRAY)) {
			NODE_FOREACH (c, s) {
				if (ret == 0)
					ret = yaml_merge_one(r, obj, have, c, mark);
			}
		} else if (ret == 0) {
			ret = yaml_merge_one(r, obj, have, s, mark);
		}
	}
	map_free(have);
	return ret;
}

/* The value of <<, read into the list `sources` instead of the mapping. */
static int yaml_merge_value(struct yaml_reader *r, struct node *sources)
{
	yaml_event_t ev;
	int ret;

	if (yaml_next(r, &ev) < 0)
		return -r->e->code;
	r->stack[r->depth++] = sources;
	ret = yaml_value(r, &ev);
	r->depth--;
	yaml_event_delete(&ev);
	return ret;
}

static int yaml_pair(struct yaml_reader *r, const yaml_event_t *key, struct node *sources)
{
	yaml_event_t ev;
	int ret;

	if (yaml_is_merge(key))
		return yaml_merge_value(r, sources);
	if (yaml_key(r, key) < 0 || yaml_next(r, &ev) < 0)
		return -r->e->code;
	ret = yaml_value(r, &ev);
	yaml_event_delete(&ev);
	return ret;
}

/* The inside of an open container, up to its end event. */
static int yaml_inside(struct yaml_reader *r, struct node *n, struct node *sources)
{
	yaml_event_type_t end = n->type == DOC_OBJECT ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;

	for (;;) {
		yaml_event_t ev;
		int ret;

		if (yaml_next(r, &ev) < 0)
			return -r->e->code;
		if (ev.type == end) {
			yaml_event_delete(&ev);
			return 0;
		}
		ret = n->type == DOC_OBJECT ? yaml_pair(r, &ev, sources) : yaml_value(r, &ev);
		yaml_event_delete(&ev);
		if (ret < 0)
			return ret;
	}
}

static int yaml_container(struct yaml_reader *r, const yaml_event_t *ev, enum doc_type t,
			  const yaml_char_t *anchor)
{
	struct node sources = {.type = DOC_ARRAY};
	struct node *n;

	if (r->depth >= LIMIT_JSON_DEPTH)
		return yaml_fail_at(r, ev->start_mark, "nested too deeply");
	n = node_alloc(r->d, t);
	yaml_link(r, n);
	yaml_set_anchor(r, anchor, &yaml_pending);
	r->stack[r->depth++] = n;
	if (yaml_inside(r, n, &sources) < 0)
		return -r->e->code;
	if (t == DOC_OBJECT) {
		node_dedup(n, r->stack, r->depth, r->dups);
		if (yaml_merge(r, n, &sources, ev->start_mark) < 0)
			return -r->e->code;
	}
	r->depth--;
	yaml_set_anchor(r, anchor, n);
	return 0;
}

static int yaml_value(struct yaml_reader *r, yaml_event_t *ev)
{
	struct node *n;

	if (yaml_count(r, 1, 0, ev->start_mark) < 0)
		return -r->e->code;
	switch (ev->type) {
	case YAML_ALIAS_EVENT:
		return yaml_alias(r, ev);
	case YAML_SCALAR_EVENT:
		n = yaml_scalar(r, ev);
		if (!n)
			return -r->e->code;
		yaml_link(r, n);
		yaml_set_anchor(r, ev->data.scalar.anchor, n);
		return 0;
	case YAML_SEQUENCE_START_EVENT:
		return yaml_container(r, ev, DOC_ARRAY, ev->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return yaml_container(r, ev, DOC_OBJECT, ev->data.mapping_start.anchor);
	default:
		return yaml_fail_at(r, ev->start_mark, "unexpected end of the document");
	}
}

/* --- the stream --- */

typedef VEC(struct doc *) yaml_docs;

static bool yaml_is_empty(const yaml_event_t *ev)
{
	return ev->type == YAML_SCALAR_EVENT && ev->data.scalar.length == 0 && !ev->data.scalar.tag &&
	       !ev->data.scalar.anchor && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int yaml_document(struct yaml_reader *r, yaml_docs *docs)
{
	_cleanup_doc_ struct doc *d = doc_new();
	yaml_event_t ev;
	bool empty;
	int ret = 0;

	if (yaml_next(r, &ev) < 0)
		return -r->e->code;
	r->d = d;
	r->root = NULL;
	r->depth = 0;
	map_clear(r->anchors);
	empty = yaml_is_empty(&ev);
	if (!empty)
		ret = yaml_value(r, &ev);
	if (ret == 0 && docs->n == LIMIT_YAML_DOCS)
		ret = yaml_fail_at(r, ev.start_mark, "more than %d documents", LIMIT_YAML_DOCS);
	yaml_event_delete(&ev);
	if (ret < 0 || empty)
		return ret;
	doc_set_root(d, r->root);
	VEC_PUSH(docs, take_ptr(&d));
	return 0;
}

static int yaml_stream(struct yaml_reader *r, yaml_docs *docs)
{
	for (;;) {
		yaml_event_t ev;
		yaml_event_type_t type;

		if (yaml_next(r, &ev) < 0)
			return -r->e->code;
		type = ev.type;
		yaml_event_delete(&ev);
		if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT)
			return 0;
		if (type == YAML_DOCUMENT_START_EVENT && yaml_document(r, docs) < 0)
			return -r->e->code;
	}
}

/* libyaml compares each %TAG directive with all before it: no more of them than anybody needs. */
static int yaml_check_directives(struct str text, struct err *e)
{
	const char *p = text.p, *end = text.p + text.n;
	size_t n = 0;

	while (p < end && n <= LIMIT_YAML_DIRECTIVES) {
		n += *p == '%';
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			break;
		p++;
	}
	if (n > LIMIT_YAML_DIRECTIVES)
		return err_set(e, ERR_BAD_REQUEST,
			       "error converting YAML to JSON: yaml: more than %d directives",
			       LIMIT_YAML_DIRECTIVES);
	return 0;
}

static int yaml_read(yaml_docs *docs, struct str text, struct dups *dups, struct err *e)
{
	struct yaml_reader r = {.text = text, .dups = dups, .e = e};
	int ret;

	if (yaml_check_directives(text, e) < 0)
		return -e->code;
	if (!yaml_parser_initialize(&r.parser))
		return err_errno(e, ENOMEM, "start the YAML parser");
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	r.anchors = map_new(NULL);
	ret = yaml_stream(&r, docs);
	map_free(r.anchors);
	yaml_parser_delete(&r.parser);
	if (ret < 0) {
		for (size_t i = 0; i < docs->n; i++)
			doc_unref(docs->v[i]);
		VEC_RELEASE(docs);
	}
	return ret;
}

int doc_parse_yaml(struct doc ***ret_docs, size_t *ret_n, struct str text, const struct doc_json_opts *opts,
		   struct err *e)
{
	struct dups dups = {.n = 0};
	yaml_docs docs = VEC_INIT;
	struct str begin = str_trim(text);
	int ret = -1;

	if (doc_check_size(text, opts, e) < 0)
		return -e->code;
	if (text.n && str_is_utf8(text) && begin.n && (*begin.p == '{' || *begin.p == '['))
		ret = json_read_stream(&docs.v, &docs.n, text, &dups);
	if (ret < 0) {
		dups_release(&dups);
		ret = yaml_read(&docs, text, &dups, e);
	}
	if (ret == 0) {
		dups_tell(&dups, opts);
		*ret_docs = docs.v;
		*ret_n = docs.n;
	}
	dups_release(&dups);
	return ret;
}
