/*
 * The tree of a document: its life, look-ups, building, comparison.
 *
 * Children are a singly linked list with a pointer to the last, because nearly
 * all use is "append while reading" and "walk in order"; objects of Kubernetes
 * have few members, so a look-up compares small integers along the list. Where
 * a user can make the list long and the look-ups many (duplicate keys, merging,
 * comparing), an index is built first: nothing here is quadratic in input.
 *
 * Invariants: a node is in at most one container; a member's name is F_x
 * exactly when its key is that known text (so two keys are equal when their
 * names are, or both are F_NONE and the texts are); strings, float texts and
 * keys are followed by a NUL.
 */
#include "doc/internal.h"

#include <stdio.h>

#include "doc/names.h"

struct doc {
	struct arena *arena;
	struct node *root;
	unsigned refs;
	bool frozen;
};

/* --- life --- */

struct doc *doc_new(void)
{
	struct arena *a = arena_new();
	struct doc *d = arena_zalloc(a, sizeof(*d));

	d->arena = a;
	d->refs = 1;
	return d;
}

struct doc *doc_ref(struct doc *d)
{
	if (d)
		d->refs++;
	return d;
}

struct doc *doc_unref(struct doc *d)
{
	if (!d)
		return NULL;
	BUG_ON(d->refs == 0);
	if (--d->refs == 0) {
		wide_forget();
		arena_free(d->arena);
	}
	return NULL;
}

void doc_unrefp(struct doc **d)
{
	*d = doc_unref(*d);
}

void doc_freeze(struct doc *d)
{
	d->frozen = true;
}

bool doc_is_frozen(const struct doc *d)
{
	return d->frozen;
}

struct node *doc_root(const struct doc *d)
{
	return d ? d->root : NULL;
}

void doc_set_root(struct doc *d, struct node *n)
{
	BUG_ON(d->frozen);
	if (n) {
		n->next = NULL;
		n->name = F_NONE;
		n->key = NULL;
		n->key_len = 0;
	}
	d->root = n;
}

struct doc *doc_clone(const struct doc *d)
{
	struct doc *c = doc_new();

	if (d && d->root)
		c->root = node_copy(c, d->root);
	return c;
}

size_t doc_memory(const struct doc *d)
{
	return d ? arena_size(d->arena) : 0;
}

struct arena *doc_arena(struct doc *d)
{
	return d->arena;
}

/* --- known names --- */

enum field doc_field(struct str name)
{
	uint32_t h = 2166136261u, mask = names_slots - 1;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (uint8_t)name.p[i]) * 16777619u;
	for (uint32_t slot = h & mask; names_hash[slot]; slot = (slot + 1) & mask) {
		const struct name_text *t = &names_text[names_hash[slot]];

		if (t->len == name.n && memcmp(t->s, name.p, name.n) == 0)
			return (enum field)names_hash[slot];
	}
	return F_NONE;
}

const char *doc_field_name(enum field f)
{
	return (unsigned)f < F_MAX ? names_text[f].s : "";
}

/* --- reading --- */

struct node *node_get(const struct node *n, enum field f)
{
	if (!node_is(n, DOC_OBJECT) || f == F_NONE)
		return NULL;
	NODE_FOREACH (c, n) {
		if (c->name == f)
			return c;
	}
	return NULL;
}

static struct node *node_get_unknown(const struct node *n, struct str key)
{
	if (n->len > WIDE_FROM)
		return wide_get(n, key);
	NODE_FOREACH (c, n) {
		if (c->name == F_NONE && c->key_len == key.n && memcmp(c->key, key.p, key.n) == 0)
			return c;
	}
	return NULL;
}

struct node *node_getk(const struct node *n, struct str key)
{
	enum field f;

	if (!node_is(n, DOC_OBJECT) || !key.p)
		return NULL;
	f = doc_field(key);
	return f != F_NONE ? node_get(n, f) : node_get_unknown(n, key);
}

struct node *node_getc(const struct node *n, const char *key)
{
	return node_getk(n, str_of(key));
}

struct node *node_path_(const struct node *n, const enum field *path)
{
	for (; n && *path != F_NONE; path++)
		n = node_get(n, *path);
	return (struct node *)n;
}

struct node *node_at(const struct node *n, size_t i)
{
	struct node *c;

	if (i >= node_count(n))
		return NULL;
	if (i == n->len - 1u)
		return n->last;
	for (c = n->u.first; i > 0; i--)
		c = c->next;
	return c;
}

const char *node_cstr(const struct node *n)
{
	return node_is(n, DOC_STRING) ? n->u.s : NULL;
}

const char *node_cstr_or(const struct node *n, const char *dflt)
{
	return node_is(n, DOC_STRING) ? n->u.s : dflt;
}

int64_t node_int(const struct node *n, int64_t dflt)
{
	return node_is(n, DOC_INT) ? n->u.i : dflt;
}

bool node_bool(const struct node *n, bool dflt)
{
	return node_is(n, DOC_BOOL) ? n->u.b : dflt;
}

double node_double(const struct node *n, double dflt)
{
	if (node_is(n, DOC_INT))
		return (double)n->u.i;
	return node_is(n, DOC_FLOAT) ? strtod(n->u.s, NULL) : dflt;
}

bool node_streq(const struct node *n, const char *s)
{
	return node_is(n, DOC_STRING) && str_eqc(node_str(n), s);
}

const char *node_gets(const struct node *n, enum field f)
{
	return node_cstr_or(node_get(n, f), "");
}

struct map *node_index(const struct node *obj)
{
	struct map *m = map_new(NULL);

	NODE_FOREACH (c, obj)
		map_set(m, node_key(c), c);
	return m;
}

unsigned node_depth(const struct node *n)
{
	unsigned deepest = 0;

	if (!node_is(n, DOC_ARRAY) && !node_is(n, DOC_OBJECT))
		return 0;
	NODE_FOREACH (c, n) {
		unsigned depth = node_depth(c);

		if (depth > deepest)
			deepest = depth;
	}
	return deepest + 1;
}

/* --- comparison --- */

/* Numbers are equal by value; texts that no double holds exactly are compared as texts. */
static bool node_equal_number(const struct node *a, const struct node *b)
{
	const int64_t exact = (int64_t)1 << 53;

	if (a->type == DOC_INT && b->type == DOC_INT)
		return a->u.i == b->u.i;
	if (a->type == DOC_FLOAT && b->type == DOC_FLOAT && a->len == b->len &&
	    memcmp(a->u.s, b->u.s, a->len) == 0)
		return true;
	double x = node_double(a, 0), y = node_double(b, 0);

	return x == y && x > (double)-exact && x < (double)exact;
}

static bool node_equal_object(const struct node *a, const struct node *b)
{
	struct map *index = NULL;
	const struct node *hint = b->u.first, *other;
	bool equal = true;

	if (a->len > NODE_INDEX_FROM)
		index = node_index(b);
	NODE_FOREACH (c, a) {
		if (hint && node_same_key(c, hint))
			other = hint;
		else if (index)
			other = map_get(index, node_key(c));
		else
			other = c->name ? node_get(b, c->name) : node_get_unknown(b, node_key(c));
		if (!other || !node_equal(c, other)) {
			equal = false;
			break;
		}
		hint = other->next;
	}
	map_free(index);
	return equal;
}

bool node_equal(const struct node *a, const struct node *b)
{
	if (a == b)
		return true;
	if (!a || !b)
		return false;
	if ((a->type == DOC_INT || a->type == DOC_FLOAT) && (b->type == DOC_INT || b->type == DOC_FLOAT))
		return node_equal_number(a, b);
	if (a->type != b->type)
		return false;
	switch ((enum doc_type)a->type) {
	case DOC_BOOL:
		return a->u.b == b->u.b;
	case DOC_STRING:
		return a->len == b->len && memcmp(a->u.s, b->u.s, a->len) == 0;
	case DOC_ARRAY:
		if (a->len != b->len)
			return false;
		for (const struct node *x = node_first(a), *y = node_first(b); x; x = x->next, y = y->next) {
			if (!node_equal(x, y))
				return false;
		}
		return true;
	case DOC_OBJECT:
		return a->len == b->len && (a->len == 0 || node_equal_object(a, b));
	default:
		return true;
	}
}

/* --- building --- */

struct node *node_alloc(struct doc *d, enum doc_type t)
{
	struct node *n = arena_alloc(d->arena, sizeof(*n));

	*n = (struct node){.type = (uint8_t)t};
	return n;
}

void node_name(struct doc *d, struct node *n, struct str key, bool copy)
{
	enum field f = doc_field(key);

	n->name = (uint16_t)f;
	n->key_len = (uint32_t)key.n;
	if (f != F_NONE)
		n->key = names_text[f].s;
	else
		n->key = copy ? arena_memdupz(d->arena, key.p, key.n) : key.p;
}

static void node_name_known(struct node *n, enum field f)
{
	n->name = (uint16_t)f;
	n->key = names_text[f].s;
	n->key_len = names_text[f].len;
}

struct node *node_new(struct doc *d, enum doc_type t)
{
	BUG_ON(t != DOC_NULL && t != DOC_ARRAY && t != DOC_OBJECT);
	return node_alloc(d, t);
}

static struct node *node_new_text(struct doc *d, enum doc_type t, struct str s)
{
	struct node *n = node_alloc(d, t);

	BUG_ON(s.n > UINT32_MAX);
	n->len = (uint32_t)s.n;
	n->u.s = s.n ? arena_memdupz(d->arena, s.p, s.n) : "";
	return n;
}

struct node *node_new_str(struct doc *d, struct str s)
{
	return node_new_text(d, DOC_STRING, s);
}

struct node *node_new_cstr(struct doc *d, const char *s)
{
	return node_new_str(d, str_of(s));
}

struct node *node_new_fmt(struct doc *d, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	return node_new_str(d, buf_str(&b));
}

struct node *node_new_int(struct doc *d, int64_t i)
{
	struct node *n = node_alloc(d, DOC_INT);

	n->u.i = i;
	return n;
}

struct node *node_new_bool(struct doc *d, bool b)
{
	struct node *n = node_alloc(d, DOC_BOOL);

	n->u.b = b;
	return n;
}

struct node *node_new_float_text(struct doc *d, struct str text)
{
	return node_new_text(d, DOC_FLOAT, text);
}

struct node *node_copy(struct doc *d, const struct node *n)
{
	struct node *c = node_alloc(d, node_type(n));

	if (!n)
		return c;
	switch ((enum doc_type)n->type) {
	case DOC_STRING:
	case DOC_FLOAT:
		c->len = n->len;
		c->u.s = n->len ? arena_memdupz(d->arena, n->u.s, n->len) : "";
		break;
	case DOC_ARRAY:
	case DOC_OBJECT:
		NODE_FOREACH (child, n) {
			struct node *cc = node_copy(d, child);

			cc->name = child->name;
			cc->key_len = child->key_len;
			cc->key = child->name || !child->key
					  ? child->key
					  : arena_memdupz(d->arena, child->key, child->key_len);
			node_link(c, cc);
		}
		break;
	default:
		c->u = n->u;
		break;
	}
	return c;
}

/* Puts value where old is. */
static void node_swap_in(struct node *container, struct node *old, struct node *value)
{
	struct node **at = &container->u.first;

	while (*at != old)
		at = &(*at)->next;
	value->next = old->next;
	*at = value;
	if (container->last == old)
		container->last = value;
	old->next = NULL;
}

struct node *node_set(struct doc *d, struct node *obj, enum field f, struct node *value)
{
	struct node *old = node_get(obj, f);

	BUG_ON(d->frozen || obj->type != DOC_OBJECT || f == F_NONE);
	if (old == value)
		return value;
	node_name_known(value, f);
	if (old)
		node_swap_in(obj, old, value);
	else
		node_link(obj, value);
	return value;
}

struct node *node_setk(struct doc *d, struct node *obj, struct str key, struct node *value)
{
	enum field f = doc_field(key);
	struct node *old;
	bool wide;

	if (f != F_NONE)
		return node_set(d, obj, f, value);
	BUG_ON(d->frozen || obj->type != DOC_OBJECT);
	old = node_get_unknown(obj, key);
	if (old == value && value)
		return value;
	node_name(d, value, key, true);
	wide = wide_begin(obj);
	if (old)
		node_swap_in(obj, old, value);
	else
		node_link(obj, value);
	if (wide)
		wide_set(obj, value);
	return value;
}

struct node *node_addk(struct doc *d, struct node *obj, struct str key, struct node *value)
{
	BUG_ON(d->frozen || obj->type != DOC_OBJECT);
	node_name(d, value, key, true);
	node_link(obj, value);
	return value;
}

void node_set_children(struct node *container, struct node *const *v, size_t n)
{
	BUG_ON(container->type != DOC_OBJECT && container->type != DOC_ARRAY);
	wide_forget();
	container->len = 0;
	container->u.first = container->last = NULL;
	for (size_t i = 0; i < n; i++)
		node_link(container, v[i]);
}

void node_sets(struct doc *d, struct node *obj, enum field f, const char *s)
{
	node_set(d, obj, f, node_new_cstr(d, s));
}

void node_seti(struct doc *d, struct node *obj, enum field f, int64_t i)
{
	node_set(d, obj, f, node_new_int(d, i));
}

void node_setb(struct doc *d, struct node *obj, enum field f, bool b)
{
	node_set(d, obj, f, node_new_bool(d, b));
}

static struct node *node_need(struct doc *d, struct node *obj, enum field f, enum doc_type t)
{
	struct node *n = node_get(obj, f);

	return node_is(n, t) ? n : node_set(d, obj, f, node_new(d, t));
}

struct node *node_need_object(struct doc *d, struct node *obj, enum field f)
{
	return node_need(d, obj, f, DOC_OBJECT);
}

struct node *node_need_array(struct doc *d, struct node *obj, enum field f)
{
	return node_need(d, obj, f, DOC_ARRAY);
}

static void node_unname(struct node *n)
{
	n->name = F_NONE;
	n->key = NULL;
	n->key_len = 0;
}

struct node *node_append(struct node *arr, struct node *value)
{
	BUG_ON(arr->type != DOC_ARRAY);
	node_unname(value);
	node_link(arr, value);
	return value;
}

void node_insert(struct node *arr, size_t at, struct node *value)
{
	struct node **p;

	BUG_ON(arr->type != DOC_ARRAY || at > arr->len);
	if (at == arr->len) {
		node_append(arr, value);
		return;
	}
	node_unname(value);
	for (p = &arr->u.first; at > 0; at--)
		p = &(*p)->next;
	value->next = *p;
	*p = value;
	arr->len++;
}

void node_remove_child(struct node *container, struct node *child)
{
	struct node **p = &container->u.first, *before = NULL;
	bool wide = wide_begin(container);

	while (*p != child) {
		before = *p;
		BUG_ON(!before);
		p = &before->next;
	}
	*p = child->next;
	if (container->last == child)
		container->last = before;
	child->next = NULL;
	if (--container->len == 0)
		container->u.first = container->last = NULL;
	if (wide)
		wide_removed(container, node_key(child));
}

bool node_remove(struct node *obj, enum field f)
{
	struct node *n = node_get(obj, f);

	if (n)
		node_remove_child(obj, n);
	return n != NULL;
}

bool node_removek(struct node *obj, struct str key)
{
	struct node *n = node_getk(obj, key);

	if (n)
		node_remove_child(obj, n);
	return n != NULL;
}

void node_assign(struct doc *d, struct node *n, const struct node *v)
{
	BUG_ON(d->frozen);
	if (n != v)
		node_take_value(n, node_copy(d, v));
}

void node_cut_marked(struct node *container)
{
	struct node **at = &container->u.first, *before = NULL;

	while (*at) {
		if ((*at)->flags & NODE_MARK) {
			*at = (*at)->next;
			container->len--;
			continue;
		}
		before = *at;
		at = &before->next;
	}
	container->last = before;
}

/* --- duplicate keys --- */

void dups_add(struct dups *dups, struct node *const *stack, size_t depth, const struct node *twice)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!dups || dups->n == DUPS_MAX)
		return;
	for (size_t i = 1; i <= depth && b.len < DUPS_PATH_MAX; i++) {
		const struct node *n = i < depth ? stack[i] : twice;

		if (node_is(stack[i - 1], DOC_ARRAY))
			buf_addf(&b, "[%zu]", node_count(stack[i - 1]) - 1);
		else
			buf_addf(&b, "%s%" STR_FMT, i > 1 ? "." : "",
				 STR_ARG(str_sub(node_key(n), 0, DUPS_PATH_MAX)));
	}
	dups->path[dups->n++] = buf_detach(&b, NULL);
}

void dups_tell(struct dups *dups, const struct doc_json_opts *opts)
{
	for (size_t i = 0; i < dups->n; i++) {
		if (opts && opts->duplicate)
			opts->duplicate(opts->arg, dups->path[i]);
	}
}

void dups_release(struct dups *dups)
{
	for (size_t i = 0; i < dups->n; i++)
		free(dups->path[i]);
	dups->n = 0;
}

static struct node *node_find_before(const struct node *obj, const struct node *c)
{
	for (struct node *n = obj->u.first; n != c; n = n->next) {
		if (node_same_key(n, c))
			return n;
	}
	return NULL;
}

void node_dedup(struct node *obj, struct node *const *stack, size_t depth, struct dups *dups)
{
	struct map *seen = obj->len > NODE_INDEX_FROM ? map_new(NULL) : NULL;
	struct node *before = NULL, *next;

	for (struct node *c = node_first(obj); c; c = next) {
		struct node *first = seen ? map_get(seen, node_key(c)) : node_find_before(obj, c);

		next = c->next;
		if (!first) {
			if (seen)
				map_set(seen, node_key(c), c);
			before = c;
			continue;
		}
		dups_add(dups, stack, depth, c);
		node_take_value(first, c);
		before->next = next;
		if (!next)
			obj->last = before;
		obj->len--;
	}
	map_free(seen);
}
