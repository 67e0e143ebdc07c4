/*
 * What form an answer shall have: content negotiation as kube-apiserver's.
 *
 * Forms, by Accept: application/json, application/yaml, and of either
 * ;as=Table, ;as=PartialObjectMetadata, ;as=PartialObjectMetadataList with
 * ;g=meta.k8s.io;v=v1 (or v1beta1). The media ranges are tried by q, the highest
 * first, names before wildcards, else in the client's order; the first that can be
 * served wins. Protobuf and CBOR are none of them: a client that takes nothing
 * else gets 406. A watch has no YAML form, and what can only be created (reviews,
 * bindings, evictions, tokens) is no Table.
 *
 * JSON is indented when ?pretty says so, or ;pretty=1, or when the client is one
 * that people look at (curl, Wget, browsers) and ?pretty does not say no. Bodies
 * are compressed when Accept-Encoding names gzip (encode.c says which).
 */
#include "api/internal.h"

#include "http/http.h"

#define NEGOTIATE_RANGES 32 /* those beyond it are not looked at */

struct accept { /* one media range */
	struct str type, as, group, version, stream;
	bool pretty, converts;
	int q; /* in thousandths */
};

/* "0.5" -> 500; what is no number is 1, as goautoneg has it. */
static int accept_q(struct str s)
{
	int q = 0, unit = 1000;
	bool point = false;

	for (size_t i = 0; i < s.n && unit; i++) {
		if (s.p[i] == '.' && !point) {
			point = true;
			unit = 100;
		} else if (s.p[i] >= '0' && s.p[i] <= '9') {
			q += (s.p[i] - '0') * unit;
			unit = point ? unit / 10 : unit;
		} else {
			return 1000;
		}
	}
	return s.n && q < 1000 ? q : 1000;
}

static struct accept accept_parse(struct str range)
{
	struct accept a = { .q = 1000 };

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
		else if (str_eqc(key, "stream"))
			a.stream = value;
		else if (str_eqc(key, "pretty"))
			a.pretty = str_eqc(value, "1");
		else if (str_eqc(key, "q"))
			a.q = accept_q(value);
		a.converts |= str_eqc(key, "as") || str_eqc(key, "g") || str_eqc(key, "v");
	}
	return a;
}

static bool accept_format(const struct req *r, const struct accept *a, enum format *ret)
{
	if (str_ieq(a->type, STR_LIT("application/json")) || str_eqc(a->type, "*/*") || str_eqc(a->type, "application/*"))
		*ret = FORMAT_JSON;
	else if (str_ieq(a->type, STR_LIT("application/yaml")) && r->verb != VERB_WATCH)
		*ret = FORMAT_YAML;
	else
		return false;
	return !a->stream.n || (str_eqc(a->stream, "watch") && *ret == FORMAT_JSON);
}

static bool is_only_created(const struct req *r)
{
	return r->res && (r->sub ? r->sub->verbs : r->res->verbs) == SV_CREATE;
}

static bool accept_shape(const struct req *r, const struct accept *a, enum shape *ret)
{
	if (!a->converts) {
		*ret = SHAPE_OBJECT;
		return true;
	}
	if (!str_eqc(a->group, "meta.k8s.io") || (!str_eqc(a->version, "v1") && !str_eqc(a->version, "v1beta1")))
		return false;
	if (str_eqc(a->as, "Table") && !is_only_created(r))
		*ret = SHAPE_TABLE;
	else if (str_eqc(a->as, "PartialObjectMetadata") || str_eqc(a->as, "PartialObjectMetadataList"))
		*ret = SHAPE_PARTIAL;
	else
		return false;
	return true;
}

/* The higher, the earlier. */
static int accept_rank(const struct accept *a)
{
	int wild = str_starts(a->type, STR_LIT("*/")) ? 2 : str_ends(a->type, STR_LIT("/*")) ? 1 : 0;

	return a->q * 3 + 2 - wild;
}

/* The ranges of the header in the order in which they are tried; their number. */
static size_t accept_sorted(struct str header, struct accept v[NEGOTIATE_RANGES])
{
	size_t n = 0;

	while (header.p && n < NEGOTIATE_RANGES) {
		struct accept a = accept_parse(str_cut(&header, ','));
		size_t at = n;

		if (!a.type.n || !a.q)
			continue;
		for (; at > 0 && accept_rank(&v[at - 1]) < accept_rank(&a); at--)
			v[at] = v[at - 1];
		v[at] = a;
		n++;
	}
	return n;
}

static bool is_for_people(const struct req *r)
{
	static const char *const names[] = { "curl", "Wget", "Mozilla/5.0" };
	struct str agent = http_head_get(r->head, "User-Agent");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_starts(agent, str_of(names[i])))
			return true;
	return false;
}

/* strconv.ParseBool */
static bool is_true(const char *s)
{
	static const char *const words[] = { "1", "t", "T", "true", "TRUE", "True" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (streq(s, words[i]))
			return true;
	return false;
}

static bool wants_gzip(const struct req *r)
{
	struct str rest = http_head_get(r->head, "Accept-Encoding");

	while (rest.p) {
		struct str one = str_cut(&rest, ',');

		if (str_eqc(accept_parse(one).type, "gzip"))
			return accept_parse(one).q > 0;
	}
	return false;
}

static void negotiate_include(struct req *r)
{
	const char *v = r->shape == SHAPE_TABLE ? req_query(r, "includeObject") : NULL;

	if (v && streq(v, "Object"))
		r->include = INCLUDE_OBJECT;
	else if (v && streq(v, "None"))
		r->include = INCLUDE_NONE;
}

static int negotiate_refuse(struct req *r, struct err *e)
{
	if (r->verb == VERB_WATCH)
		return err_set(e, ERR_NOT_ACCEPTABLE,
			       "only the following media types are accepted: application/json;stream=watch");
	return err_set(e, ERR_NOT_ACCEPTABLE,
		       "only the following media types are accepted: application/json, application/yaml");
}

int respond_negotiate(struct req *r, struct err *e)
{
	struct str header = http_head_get(r->head, "Accept");
	const char *pretty = req_query(r, "pretty");
	struct accept v[NEGOTIATE_RANGES];
	size_t n;

	r->opts.pretty = str_empty(pretty) ? is_for_people(r) : is_true(pretty);
	r->gzip = wants_gzip(r);
	if (r->at.path || r->handler->plain || !str_trim(header).n)
		return STEP_NEXT;
	n = accept_sorted(header, v);
	for (size_t i = 0; i < n; i++) {
		enum format format;
		enum shape shape;

		if (!accept_format(r, &v[i], &format) || !accept_shape(r, &v[i], &shape))
			continue;
		r->format = format;
		r->shape = shape;
		r->shape_v1beta1 = shape != SHAPE_OBJECT && str_eqc(v[i].version, "v1beta1");
		r->opts.pretty |= v[i].pretty;
		negotiate_include(r);
		return STEP_NEXT;
	}
	return negotiate_refuse(r, e);
}
