/*
 * Field sets: path elements, their order, sets as sorted trees, FieldsV1.
 *
 * The order of elements and the meaning of the operations are those of
 * structured-merge-diff's fieldpath. FieldsV1 has a member for each element:
 * "f:NAME", "k:{...}" (keys of a list's item), "v:VALUE" (item of a set) and
 * "i:INDEX", with an object below it; an element that is a member itself beside
 * having a set below has "." in it.
 *
 * Sets are built by adding items in any order and sealing, which sorts once: a
 * document of 100,000 keys must not cost their square.
 */
#include "schema/fieldset.h"

#include <stdio.h>
#include <stdlib.h>

void fsx_init(struct fsx *x)
{
	x->arena = arena_new();
	x->scratch = NULL;
}

void fsx_release(struct fsx *x)
{
	doc_unref(x->scratch);
	arena_free(x->arena);
	*x = (struct fsx){ NULL, NULL };
}

static struct doc *fsx_doc(struct fsx *x)
{
	if (!x->scratch)
		x->scratch = doc_new();
	return x->scratch;
}

/* --- elements --- */

static int value_rank(const struct node *v)
{
	static const int ranks[] = { [DOC_INT] = 0, [DOC_FLOAT] = 0, [DOC_STRING] = 1, [DOC_BOOL] = 2,
				     [DOC_ARRAY] = 3, [DOC_OBJECT] = 4, [DOC_NULL] = 5 };

	return ranks[node_type(v)];
}

static int value_cmp_numbers(const struct node *a, const struct node *b)
{
	double x, y;

	if (node_type(a) == DOC_INT && node_type(b) == DOC_INT)
		return (a->u.i > b->u.i) - (a->u.i < b->u.i);
	x = node_double(a, 0);
	y = node_double(b, 0);
	return (x > y) - (x < y);
}

static int value_cmp_whole(const struct node *a, const struct node *b)
{
	_cleanup_buf_ struct buf x = BUF_INIT, y = BUF_INIT;

	doc_print_json(&x, a, DOC_PRINT_COMPACT);
	doc_print_json(&y, b, DOC_PRINT_COMPACT);
	return str_cmp(buf_str(&x), buf_str(&y));
}

static int value_cmp(const struct node *a, const struct node *b)
{
	int ra = value_rank(a), rb = value_rank(b);

	if (ra != rb)
		return ra - rb;
	switch (ra) {
	case 0:
		return value_cmp_numbers(a, b);
	case 1:
		return str_cmp(node_str(a), node_str(b));
	case 2:
		return (int)node_bool(a, false) - (int)node_bool(b, false);
	case 5:
		return 0;
	default:
		return value_cmp_whole(a, b);
	}
}

static int fe_cmp_keys(const struct fe *a, const struct fe *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		int c = str_cmp(a->u.keys[i].name, b->u.keys[i].name);

		if (c == 0)
			c = value_cmp(a->u.keys[i].value, b->u.keys[i].value);
		if (c)
			return c;
	}
	return (a->n > b->n) - (a->n < b->n);
}

int fe_cmp(const struct fe *a, const struct fe *b)
{
	if (a->kind != b->kind)
		return (int)a->kind - (int)b->kind;
	switch ((enum fe_kind)a->kind) {
	case FE_FIELD:
		return str_cmp(a->u.name, b->u.name);
	case FE_KEY:
		return fe_cmp_keys(a, b);
	case FE_VALUE:
		return value_cmp(a->u.value, b->u.value);
	case FE_INDEX:
		break;
	}
	return (a->u.index > b->u.index) - (a->u.index < b->u.index);
}

void fe_print(struct buf *out, const struct fe *e)
{
	switch ((enum fe_kind)e->kind) {
	case FE_FIELD:
		buf_addf(out, ".%" STR_FMT, STR_ARG(e->u.name));
		return;
	case FE_KEY:
		for (size_t i = 0; i < e->n; i++) {
			buf_addf(out, "%s%" STR_FMT "=", i ? "," : "[", STR_ARG(e->u.keys[i].name));
			doc_print_json(out, e->u.keys[i].value, DOC_PRINT_COMPACT);
		}
		buf_adds(out, e->n ? "]" : "[]");
		return;
	case FE_VALUE:
		buf_adds(out, "[=");
		doc_print_json(out, e->u.value, DOC_PRINT_COMPACT);
		buf_addch(out, ']');
		return;
	case FE_INDEX:
		buf_addf(out, "[%lld]", (long long)e->u.index);
		return;
	}
}

/* --- building --- */

struct fset *fset_add(struct fsx *x, struct fset *s, struct fe e, bool member, struct fset *sub)
{
	if (!s)
		s = arena_zalloc(x->arena, sizeof(*s));
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 4;
		struct fset_item *v = arena_alloc(x->arena, cap * sizeof(*v));

		if (s->n)
			memcpy(v, s->v, s->n * sizeof(*v));
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = (struct fset_item){ e, member, sub };
	return s;
}

static int item_cmp(const void *a, const void *b)
{
	const struct fset_item *x = a, *y = b;

	return fe_cmp(&x->e, &y->e);
}

static bool fset_is_sorted(const struct fset *s)
{
	for (size_t i = 1; i < s->n; i++)
		if (fe_cmp(&s->v[i - 1].e, &s->v[i].e) >= 0)
			return false;
	return true;
}

struct fset *fset_seal(struct fsx *x, struct fset *s)
{
	size_t n = 0;

	if (!s || !s->n)
		return NULL;
	if (fset_is_sorted(s))
		return s;
	qsort(s->v, s->n, sizeof(*s->v), item_cmp);
	for (size_t i = 0; i < s->n; i++) {
		if (!n || fe_cmp(&s->v[n - 1].e, &s->v[i].e) != 0) {
			s->v[n++] = s->v[i];
			continue;
		}
		s->v[n - 1].member |= s->v[i].member;
		s->v[n - 1].sub = fset_union(x, s->v[n - 1].sub, s->v[i].sub);
	}
	s->n = n;
	return s;
}

const struct fset_item *fset_find(const struct fset *s, const struct fe *e)
{
	size_t lo = 0, hi = s ? s->n : 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = fe_cmp(e, &s->v[mid].e);

		if (c == 0)
			return &s->v[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/* --- operations: one walk along both --- */

bool fset_is_empty(const struct fset *s)
{
	return !s || !s->n;
}

size_t fset_size(const struct fset *s)
{
	size_t n = 0;

	for (size_t i = 0; s && i < s->n; i++)
		n += s->v[i].member + fset_size(s->v[i].sub);
	return n;
}

bool fset_equal(const struct fset *a, const struct fset *b)
{
	if (a == b)
		return true;
	if (fset_is_empty(a) || fset_is_empty(b))
		return fset_is_empty(a) && fset_is_empty(b);
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].member != b->v[i].member || fe_cmp(&a->v[i].e, &b->v[i].e) != 0 ||
		    !fset_equal(a->v[i].sub, b->v[i].sub))
			return false;
	return true;
}

struct fset *fset_union(struct fsx *x, struct fset *a, struct fset *b)
{
	struct fset *out = NULL;
	size_t i = 0, j = 0;

	if (fset_is_empty(a) || fset_is_empty(b) || a == b)
		return fset_is_empty(a) ? b : a;
	while (i < a->n || j < b->n) {
		int c = i == a->n ? 1 : j == b->n ? -1 : fe_cmp(&a->v[i].e, &b->v[j].e);
		const struct fset_item *p = c <= 0 ? &a->v[i] : &b->v[j];

		if (c == 0)
			out = fset_add(x, out, p->e, a->v[i].member || b->v[j].member,
				       fset_union(x, a->v[i].sub, b->v[j].sub));
		else
			out = fset_add(x, out, p->e, p->member, p->sub);
		i += c <= 0;
		j += c >= 0;
	}
	return out;
}

struct fset *fset_intersection(struct fsx *x, struct fset *a, struct fset *b)
{
	struct fset *out = NULL;
	size_t i = 0, j = 0;

	while (a && b && i < a->n && j < b->n) {
		int c = fe_cmp(&a->v[i].e, &b->v[j].e);

		if (c == 0) {
			struct fset *sub = fset_intersection(x, a->v[i].sub, b->v[j].sub);
			bool member = a->v[i].member && b->v[j].member;

			if (sub || member)
				out = fset_add(x, out, a->v[i].e, member, sub);
		}
		i += c <= 0;
		j += c >= 0;
	}
	return out;
}

struct fset *fset_difference(struct fsx *x, struct fset *a, struct fset *b, bool deep)
{
	struct fset *out = NULL;
	size_t j = 0;

	if (fset_is_empty(a) || fset_is_empty(b))
		return fset_is_empty(a) ? NULL : a;
	for (size_t i = 0; i < a->n; i++) {
		const struct fset_item *p = &a->v[i], *q = NULL;
		struct fset *sub = p->sub;
		bool member = p->member;

		while (j < b->n && fe_cmp(&b->v[j].e, &p->e) < 0)
			j++;
		if (j < b->n && fe_cmp(&b->v[j].e, &p->e) == 0)
			q = &b->v[j];
		if (q && deep && q->member)
			continue;
		if (q) {
			member = member && !q->member;
			sub = fset_difference(x, sub, q->sub, deep);
		}
		if (member || sub)
			out = fset_add(x, out, p->e, member, sub);
	}
	return out;
}

static const struct fset_item *below_match(const struct fset *b, const struct fe *e)
{
	static const struct fe any = { .kind = FE_FIELD, .u.name = { "*", 1 } };
	const struct fset_item *q = fset_find(b, e);

	return q ? q : fset_find(b, &any);
}

struct fset *fset_below(struct fsx *x, struct fset *a, struct fset *b)
{
	struct fset *out = NULL;

	for (size_t i = 0; a && i < a->n; i++) {
		const struct fset_item *p = &a->v[i], *q = below_match(b, &p->e);
		struct fset *sub = q && !q->member ? fset_below(x, p->sub, q->sub) : NULL;

		if (q && q->member)
			out = fset_add(x, out, p->e, p->member, p->sub);
		else if (sub)
			out = fset_add(x, out, p->e, false, sub);
	}
	return out;
}

static struct fset *fset_of_path(struct fsx *x, struct str path)
{
	struct str name = str_cut(&path, '.');
	struct fset *sub = path.p ? fset_of_path(x, path) : NULL;

	return fset_add(x, NULL, fe_field(name), !sub, sub);
}

struct fset *fset_of_paths(struct fsx *x, const char *const *paths, size_t n)
{
	struct fset *out = NULL;

	for (size_t i = 0; i < n; i++)
		out = fset_union(x, out, fset_of_path(x, str_of(paths[i])));
	return out;
}

bool fset_has(const struct fset *s, const char *path)
{
	struct str rest = str_of(path);

	while (rest.p) {
		struct fe e = fe_field(str_cut(&rest, '.'));
		const struct fset_item *p = fset_find(s, &e);

		if (!p)
			return false;
		if (!rest.p)
			return p->member;
		s = p->sub;
	}
	return false;
}

/* --- FieldsV1 --- */

static int key_cmp(const void *a, const void *b)
{
	const struct fe_key *x = a, *y = b;

	return str_cmp(x->name, y->name);
}

static int fe_parse_keys(struct fsx *x, const struct node *n, struct fe *ret)
{
	struct fe_key *keys = arena_alloc(x->arena, (node_count(n) + 1) * sizeof(*keys));

	*ret = (struct fe){ .kind = FE_KEY, .u.keys = keys };
	NODE_FOREACH(c, n)
		keys[ret->n++] = (struct fe_key){ node_key(c), c };
	qsort(keys, ret->n, sizeof(*keys), key_cmp);
	return 0;
}

static int fe_bad(struct str text, struct err *e)
{
	return err_set(e, ERR_BAD_REQUEST, "managed fields: '%" STR_FMT "' is no path element",
		       STR_ARG(str_sub(text, 0, 100)));
}

/* What is behind "k:" and "v:" is JSON: its values are kept in the scratch document. */
static int fe_parse_json(struct fsx *x, struct str text, bool keys, struct fe *ret, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_err_ struct err why = ERR_INIT;
	struct str json = str_sub(text, 2, text.n);
	struct node *n;

	if (doc_parse_json(&d, json, NULL, &why) < 0)
		return fe_bad(text, e);
	n = node_copy(fsx_doc(x), doc_root(d));
	if (keys)
		return node_is(n, DOC_OBJECT) ? fe_parse_keys(x, n, ret) : fe_bad(text, e);
	*ret = (struct fe){ .kind = FE_VALUE, .u.value = n };
	return 0;
}

/* The common case without a parser: a string without escapes, a small number. */
static const struct node *fe_parse_scalar(struct fsx *x, struct str v)
{
	int64_t i;

	if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"') {
		struct str inner = str_sub(v, 1, v.n - 1);

		if (memchr(inner.p, '"', inner.n) || memchr(inner.p, '\\', inner.n))
			return NULL;
		return node_new_str(fsx_doc(x), inner);
	}
	return v.n && v.n < 10 && v.p[0] != '+' && (v.p[0] != '0' || v.n == 1) && str_to_i64(v, &i) ?
		       node_new_int(fsx_doc(x), i) :
		       NULL;
}

/* `k:{"name":"x"}`; false: something less simple. */
static bool fe_parse_one_key(struct fsx *x, struct str text, struct fe *ret)
{
	struct str rest = str_sub(text, 3, text.n - 1), name;
	struct fe_key *key;

	if (text.n < 8 || text.p[2] != '{' || text.p[text.n - 1] != '}' || rest.p[0] != '"')
		return false;
	rest = str_sub(rest, 1, rest.n);
	name = str_cut(&rest, '"');
	if (!rest.p || rest.n < 2 || rest.p[0] != ':' || memchr(name.p, '\\', name.n))
		return false;
	key = arena_alloc(x->arena, sizeof(*key));
	key->name = name;
	key->value = fe_parse_scalar(x, str_sub(rest, 1, rest.n));
	*ret = (struct fe){ .kind = FE_KEY, .n = 1, .u.keys = key };
	return key->value;
}

/* 1: an element of a form that is not known, to be left out. */
static int fe_parse(struct fsx *x, struct str text, struct fe *ret, struct err *e)
{
	if (text.n < 2 || text.p[1] != ':')
		return fe_bad(text, e);
	switch (text.p[0]) {
	case 'f':
		*ret = fe_field(str_sub(text, 2, text.n));
		return 0;
	case 'k':
		return fe_parse_one_key(x, text, ret) ? 0 : fe_parse_json(x, text, true, ret, e);
	case 'v':
		*ret = (struct fe){ .kind = FE_VALUE, .u.value = fe_parse_scalar(x, str_sub(text, 2, text.n)) };
		return ret->u.value ? 0 : fe_parse_json(x, text, false, ret, e);
	case 'i':
		*ret = (struct fe){ .kind = FE_INDEX };
		return str_to_i64(str_sub(text, 2, text.n), &ret->u.index) ? 0 : fe_bad(text, e);
	default:
		return 1;
	}
}

/* *self: what "." says of the parent, or that nothing is below it. */
static int fset_parse_level(struct fsx *x, const struct node *n, struct fset **ret, bool *self, struct err *e)
{
	struct fset *s = NULL;

	*self = false;
	NODE_FOREACH(c, n) {
		struct fset *sub;
		struct fe el;
		bool member;
		int rc;

		if (str_eqc(node_key(c), ".")) {
			*self = true;
			continue;
		}
		rc = fe_parse(x, node_key(c), &el, e);
		if (rc < 0 || (rc == 0 && fset_parse_level(x, c, &sub, &member, e) < 0))
			return -e->code;
		if (rc == 0)
			s = fset_add(x, s, el, member, sub);
	}
	*ret = fset_seal(x, s);
	*self |= !*ret;
	return 0;
}

int fset_parse(struct fsx *x, const struct node *fields_v1, struct fset **ret, struct err *e)
{
	bool self;

	if (fields_v1 && !node_is(fields_v1, DOC_OBJECT) && !node_is(fields_v1, DOC_NULL))
		return err_set(e, ERR_BAD_REQUEST, "managed fields: fieldsV1 is no object");
	return fset_parse_level(x, fields_v1, ret, &self, e);
}

static void fe_print_v1(struct buf *out, const struct fe *e)
{
	switch ((enum fe_kind)e->kind) {
	case FE_FIELD:
		buf_adds(out, "f:");
		buf_addstr(out, e->u.name);
		return;
	case FE_KEY:
		buf_adds(out, "k:{");
		for (size_t i = 0; i < e->n; i++) {
			buf_adds(out, i ? "," : "");
			buf_add_json_string(out, e->u.keys[i].name);
			buf_addch(out, ':');
			doc_print_json(out, e->u.keys[i].value, DOC_PRINT_COMPACT);
		}
		buf_addch(out, '}');
		return;
	case FE_VALUE:
		buf_adds(out, "v:");
		doc_print_json(out, e->u.value, DOC_PRINT_COMPACT);
		return;
	case FE_INDEX:
		buf_addf(out, "i:%lld", (long long)e->u.index);
		return;
	}
}

static struct node *fset_print_level(const struct fset *s, bool self, struct doc *d, struct buf *scratch)
{
	struct node *n = node_new(d, DOC_OBJECT);

	if (self && s)
		node_addk(d, n, STR_LIT("."), node_new(d, DOC_OBJECT));
	for (size_t i = 0; s && i < s->n; i++) {
		struct node *sub = fset_print_level(s->v[i].sub, s->v[i].member, d, scratch);

		buf_clear(scratch);
		fe_print_v1(scratch, &s->v[i].e);
		node_addk(d, n, buf_str(scratch), sub);
	}
	return n;
}

struct node *fset_print(const struct fset *s, struct doc *d)
{
	_cleanup_buf_ struct buf scratch = BUF_INIT;

	return fset_print_level(s, false, d, &scratch);
}

/* --- paths --- */

static void fset_each_level(const struct fset *s, struct buf *path, void (*f)(void *arg, const char *path), void *arg)
{
	size_t len = path->len;

	for (int subs = 0; subs < 2; subs++) { /* members of a level come before what is below */
		for (size_t i = 0; s && i < s->n; i++) {
			if (subs ? !s->v[i].sub : !s->v[i].member)
				continue;
			fe_print(path, &s->v[i].e);
			if (subs)
				fset_each_level(s->v[i].sub, path, f, arg);
			else
				f(arg, path->s);
			buf_truncate(path, len);
		}
	}
}

void fset_each(const struct fset *s, void (*f)(void *arg, const char *path), void *arg)
{
	_cleanup_buf_ struct buf path = BUF_INIT;

	fset_each_level(s, &path, f, arg);
}
