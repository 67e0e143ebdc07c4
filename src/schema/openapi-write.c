/*
 * Writing an OpenAPI document as JSON or as gnostic's protobuf.
 *
 * Protobuf messages are prefixed with their length, which is known when they
 * are closed: the content is written first and the length is put before it
 * then. A document is some ten levels deep, so each byte moves few times.
 */
#include "schema/openapi.h"

static bool oa_proto(const struct oa *w)
{
	return w->form == OA_V2_PROTO;
}

/* --- JSON --- */
static void oa_comma(struct oa *w)
{
	char last = w->out->len ? w->out->s[w->out->len - 1] : '{';

	if (last != '{' && last != '[' && last != ':')
		buf_addch(w->out, ',');
}

static void oa_key(struct oa *w, const char *key)
{
	oa_comma(w);
	buf_addch(w->out, '"');
	buf_adds(w->out, key);
	buf_adds(w->out, "\":");
}

/* --- protobuf --- */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

static size_t oa_varint_text(uint64_t v, char out[10])
{
	size_t n = 0;

	while (v >= 0x80) {
		out[n++] = (char)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (char)v;
	return n;
}

static void oa_varint(struct oa *w, uint64_t v)
{
	char text[10];

	buf_add(w->out, text, oa_varint_text(v, text));
}

static void oa_tag(struct oa *w, unsigned n, unsigned wire)
{
	oa_varint(w, n << 3 | wire);
}

static void oa_bytes(struct oa *w, unsigned n, struct str s)
{
	oa_tag(w, n, WIRE_BYTES);
	oa_varint(w, s.n);
	buf_addstr(w->out, s);
}

static size_t oa_message(struct oa *w, unsigned n)
{
	oa_tag(w, n, WIRE_BYTES);
	return w->out->len;
}

static void oa_message_end(struct oa *w, size_t at)
{
	char text[10];

	buf_insert(w->out, at, text, oa_varint_text(w->out->len - at, text));
}

/* --- levels --- */
/* Begins messages one in the other; one oa_close ends all of a level. */
static void oa_nest(struct oa *w, const uint8_t *numbers)
{
	unsigned d = w->depth - 1;

	for (; oa_proto(w) && numbers && *numbers; numbers++) {
		BUG_ON(w->level[d].n == OA_NESTED);
		w->level[d].at[w->level[d].n++] = oa_message(w, *numbers);
	}
}

static void oa_push(struct oa *w)
{
	BUG_ON(w->depth == OA_DEPTH);
	w->level[w->depth++].n = 0;
}

void oa_begin(struct oa *w, enum oa_form form, struct buf *out)
{
	memset(w, 0, sizeof(*w));
	w->out = out;
	w->form = form;
	buf_init(&w->text);
	w->wanted = xcalloc(schema_n_types, 1);
	if (!oa_proto(w))
		buf_addch(out, '{');
}

void oa_end(struct oa *w)
{
	BUG_ON(w->depth);
	if (!oa_proto(w))
		buf_adds(w->out, "}\n");
	buf_release(&w->text);
	free(w->wanted);
}

void oa_open(struct oa *w, const char *key, const uint8_t *numbers)
{
	if (!oa_proto(w)) {
		oa_key(w, key);
		buf_addch(w->out, '{');
	}
	oa_push(w);
	oa_nest(w, numbers);
}

void oa_open_element(struct oa *w, const uint8_t *numbers)
{
	if (!oa_proto(w)) {
		oa_comma(w);
		buf_addch(w->out, '{');
	}
	oa_push(w);
	oa_nest(w, numbers);
}

void oa_open_entry(struct oa *w, const char *name, unsigned n, const uint8_t *numbers)
{
	if (!oa_proto(w)) {
		oa_open(w, name, NULL);
		return;
	}
	oa_push(w);
	oa_nest(w, OA_N(n));
	oa_bytes(w, 1, str_of(name));
	oa_nest(w, OA_N(2));
	oa_nest(w, numbers);
}

void oa_close(struct oa *w)
{
	BUG_ON(!w->depth);
	w->depth--;
	if (!oa_proto(w))
		buf_addch(w->out, '}');
	for (unsigned i = w->level[w->depth].n; i > 0; i--)
		oa_message_end(w, w->level[w->depth].at[i - 1]);
}

void oa_open_list(struct oa *w, const char *key)
{
	if (oa_proto(w))
		return;
	oa_key(w, key);
	buf_addch(w->out, '[');
}

void oa_close_list(struct oa *w)
{
	if (!oa_proto(w))
		buf_addch(w->out, ']');
}

/* --- members --- */
void oa_text(struct oa *w, const char *key, unsigned n, const char *s)
{
	if (!*s)
		return;
	if (oa_proto(w)) {
		oa_bytes(w, n, str_of(s));
		return;
	}
	oa_key(w, key);
	buf_add_json_string(w->out, str_of(s));
}

void oa_true(struct oa *w, const char *key, unsigned n)
{
	if (oa_proto(w)) {
		oa_tag(w, n, WIRE_VARINT);
		oa_varint(w, 1);
		return;
	}
	oa_key(w, key);
	buf_adds(w->out, "true");
}

void oa_string(struct oa *w, unsigned n, const char *s)
{
	if (oa_proto(w)) {
		oa_bytes(w, n, str_of(s));
		return;
	}
	oa_comma(w);
	buf_add_json_string(w->out, str_of(s));
}

/* JSON is YAML too; a line end makes it a document. */
static void oa_yaml(struct oa *w, const char *json)
{
	size_t at = oa_message(w, 2);

	buf_adds(w->out, json);
	buf_addch(w->out, '\n');
	oa_message_end(w, at);
}

void oa_any(struct oa *w, const char *key, unsigned n, const char *json)
{
	size_t at;

	if (!oa_proto(w)) {
		oa_key(w, key);
		buf_adds(w->out, json);
		return;
	}
	at = oa_message(w, n);
	oa_yaml(w, json);
	oa_message_end(w, at);
}

void oa_number(struct oa *w, const char *key, unsigned n, const char *json, bool whole)
{
	double d = strtod(json, NULL);
	uint64_t bits;
	char le[8];

	if (!oa_proto(w)) {
		oa_any(w, key, n, json);
		return;
	}
	oa_tag(w, n, whole ? WIRE_VARINT : WIRE_FIXED64);
	if (whole) {
		oa_varint(w, streq(json, "true") ? 1 : (uint64_t)strtoll(json, NULL, 10));
		return;
	}
	memcpy(&bits, &d, sizeof(bits));
	for (size_t i = 0; i < sizeof(le); i++)
		le[i] = (char)(bits >> (8 * i));
	buf_add(w->out, le, sizeof(le));
}

void oa_ext(struct oa *w, unsigned n, const char *key, const char *json)
{
	size_t entry, value;

	if (!oa_proto(w)) {
		oa_any(w, key, n, json);
		return;
	}
	entry = oa_message(w, n);
	oa_bytes(w, 1, str_of(key));
	value = oa_message(w, 2);
	oa_yaml(w, json);
	oa_message_end(w, value);
	oa_message_end(w, entry);
}

void oa_type(struct oa *w, const char *s)
{
	size_t at;

	if (!oa_proto(w)) {
		oa_text(w, "type", 0, s);
		return;
	}
	at = oa_message(w, S_TYPE);
	oa_bytes(w, 1, str_of(s));
	oa_message_end(w, at);
}
