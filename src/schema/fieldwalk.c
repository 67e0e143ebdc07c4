/*
 * Walks along documents by their types: the set of a document's fields, what differs
 * between two, merging a configuration, removing a set, checking a configuration.
 *
 * The rules are structured-merge-diff's (its package typed): what is atomic is one
 * leaf; an empty or null container is one too, where nothing is on the other side;
 * items of lists are found by their keys or values, not by their places, and of
 * those that occur twice only that they do is known.
 */
#include <stdlib.h>

#include "schema/fieldset.h"

#define SMALL 16 /* members up to which a search is a scan */
#define CHECK_MAX_ERRORS 50

static const struct fs_type deduced = { NULL, NULL, 0 };

/* --- types --- */

static enum fs_kind kind_of(struct fs_type t, const struct node *v)
{
	if (t.ops)
		return t.ops->kind(t, v);
	return node_is(v, DOC_OBJECT) ? FS_MAP : node_is(v, DOC_ARRAY) ? FS_LIST_ATOMIC : FS_SCALAR;
}

static bool kind_is_list(enum fs_kind k)
{
	return k == FS_LIST_MAP || k == FS_LIST_SET;
}

/* False: it is not declared. */
static bool type_member(struct fs_type t, struct str key, struct fs_type *ret, bool *named)
{
	*ret = deduced;
	*named = false;
	return t.ops ? t.ops->member(t, key, ret, named) : true;
}

static struct fs_type type_item(struct fs_type t)
{
	return t.ops ? t.ops->item(t) : deduced;
}

/* The type of what is at e. */
static struct fs_type type_at(struct fs_type t, const struct fe *e, bool *named)
{
	enum fs_kind k = kind_of(t, NULL);
	struct fs_type sub = deduced;

	*named = false;
	if (!t.ops)
		return deduced;
	if (e->kind == FE_FIELD && (k == FS_MAP || k == FS_MAP_ATOMIC)) {
		if (!type_member(t, e->u.name, &sub, named))
			*named = false;
		return sub;
	}
	return e->kind == FE_KEY && k == FS_LIST_MAP ? type_item(t) : deduced;
}

/* --- items of lists --- */

static const struct node *item_default(struct fsx *x, struct fs_type t, const char *key)
{
	struct str json = t.ops->key_default ? t.ops->key_default(t, key) : STR_NONE;
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_err_ struct err e = ERR_INIT;

	if (!json.p || doc_parse_json(&d, json, NULL, &e) < 0)
		return NULL;
	if (!x->scratch)
		x->scratch = doc_new();
	return node_copy(x->scratch, doc_root(d));
}

static const char *item_by_keys(struct fsx *x, struct fs_type t, const struct node *n, struct fe *ret)
{
	struct fe_key *keys;
	size_t n_keys = 0, at = 0;

	if (!node_is(n, DOC_OBJECT))
		return node_is(n, DOC_NULL) ? "associative list with keys may not have a null element" :
					      "associative list with keys may not have non-map elements";
	while (t.ops->key(t, n_keys))
		n_keys++;
	keys = arena_alloc(x->arena, (n_keys + 1) * sizeof(*keys));
	for (size_t i = 0; i < n_keys; i++) {
		const char *name = t.ops->key(t, i);
		const struct node *v = node_getc(n, name);
		size_t j = at;

		if (!v)
			v = item_default(x, t, name);
		if (!v)
			continue;
		for (; j && str_cmp(keys[j - 1].name, str_of(name)) > 0; j--)
			keys[j] = keys[j - 1];
		keys[j] = (struct fe_key){ str_of(name), v };
		at++;
	}
	*ret = (struct fe){ .kind = FE_KEY, .n = (uint32_t)at, .u.keys = keys };
	return at ? NULL : "";
}

/* The element of an item; else why it has none ("": it lacks all keys). */
static const char *item_element(struct fsx *x, struct fs_type t, enum fs_kind k, const struct node *n, struct fe *ret)
{
	if (k == FS_LIST_MAP)
		return item_by_keys(x, t, n, ret);
	if (node_is(n, DOC_OBJECT))
		return "associative list without keys has an element that's a map type";
	if (node_is(n, DOC_ARRAY))
		return "not supported: associative list with lists as elements";
	if (node_is(n, DOC_NULL))
		return "associative list without keys has an element that's an explicit null";
	*ret = (struct fe){ .kind = FE_VALUE, .u.value = n };
	return NULL;
}

struct item {
	struct fe e;
	struct node *n;
	size_t at; /* its place in the list */
	size_t same; /* how many have the same element, at the first of them in `sorted` */
	bool merged; /* ... its place was taken by the configuration's */
};
struct items {
	struct item *v; /* in the list's order */
	struct item **sorted; /* by element, then place */
	size_t n;
};

static int item_sort(const void *a, const void *b)
{
	const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
	int c = fe_cmp(&x->e, &y->e);

	return c ? c : (x->at > y->at) - (x->at < y->at);
}

/* Items that have no element are left out. */
static struct items items_of(struct fsx *x, struct fs_type t, enum fs_kind k, const struct node *list)
{
	size_t n = node_is(list, DOC_ARRAY) ? node_count(list) : 0;
	struct items is = { arena_zalloc(x->arena, (n + 1) * sizeof(struct item)),
			    arena_zalloc(x->arena, (n + 1) * sizeof(struct item *)), 0 };

	for (struct node *c = n ? node_first(list) : NULL; c; c = c->next) {
		struct item *i = &is.v[is.n];

		if (item_element(x, t, k, c, &i->e))
			continue;
		i->n = c;
		i->at = is.n;
		is.sorted[is.n++] = i;
	}
	qsort(is.sorted, is.n, sizeof(*is.sorted), item_sort);
	for (size_t i = 0, first = 0; i < is.n; i++) {
		if (fe_cmp(&is.sorted[first]->e, &is.sorted[i]->e) != 0)
			first = i;
		is.sorted[first]->same++;
	}
	return is;
}

/* The first with this element; NULL: none. */
static struct item *items_find(const struct items *is, const struct fe *e)
{
	size_t lo = 0, hi = is->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (fe_cmp(&is->sorted[mid]->e, e) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < is->n && fe_cmp(&is->sorted[lo]->e, e) == 0 ? is->sorted[lo] : NULL;
}

/* --- members of objects --- */

struct kids {
	const struct node *n;
	const struct node **sorted; /* NULL: few */
};

static int kid_sort(const void *a, const void *b)
{
	return str_cmp(node_key(*(const struct node *const *)a), node_key(*(const struct node *const *)b));
}

static struct kids kids_of(struct fsx *x, const struct node *n)
{
	struct kids k = { node_is(n, DOC_OBJECT) ? n : NULL, NULL };
	size_t i = 0;

	if (node_count(k.n) <= SMALL)
		return k;
	k.sorted = arena_alloc(x->arena, node_count(n) * sizeof(*k.sorted));
	NODE_FOREACH(c, n)
		k.sorted[i++] = c;
	qsort(k.sorted, i, sizeof(*k.sorted), kid_sort);
	return k;
}

static struct node *kids_find(const struct kids *k, const struct node *like)
{
	const struct node **p;

	if (!k->sorted)
		return like->name ? node_get(k->n, (enum field)like->name) : node_getk(k->n, node_key(like));
	p = bsearch(&like, k->sorted, node_count(k->n), sizeof(*k->sorted), kid_sort);
	return p ? (struct node *)*p : NULL;
}

/* --- the fields of a document --- */

static struct fset *fields_below(struct fsx *x, struct fs_type t, enum fs_kind k, const struct node *v);

static struct fset *fields_add(struct fsx *x, struct fset *s, struct fs_type t, struct fe e, const struct node *v,
			       bool member)
{
	enum fs_kind k = kind_of(t, v);
	struct fset *sub;

	if (k != FS_MAP && !kind_is_list(k))
		return fset_add(x, s, e, true, NULL);
	sub = fields_below(x, t, k, v);
	return sub || member ? fset_add(x, s, e, member, sub) : s;
}

static struct fset *fields_of_list(struct fsx *x, struct fs_type t, enum fs_kind k, const struct node *v)
{
	struct items is = items_of(x, t, k, v);
	struct fset *s = NULL;

	for (size_t i = 0; i < is.n; i += is.sorted[i]->same) {
		const struct item *it = is.sorted[i];

		s = it->same > 1 ? fset_add(x, s, it->e, true, NULL) :
				   fields_add(x, s, type_item(t), it->e, it->n, true);
	}
	return s;
}

static struct fset *fields_below(struct fsx *x, struct fs_type t, enum fs_kind k, const struct node *v)
{
	struct fset *s = NULL;

	if (kind_is_list(k))
		return fset_seal(x, fields_of_list(x, t, k, v));
	if (!node_is(v, DOC_OBJECT))
		return NULL;
	NODE_FOREACH(c, v) {
		bool empty = node_is(c, DOC_NULL) || (node_is(c, DOC_OBJECT) && !node_count(c)), named;
		struct fs_type sub;

		type_member(t, node_key(c), &sub, &named);
		s = fields_add(x, s, sub, fe_field(node_key(c)), c, empty || !named);
	}
	return fset_seal(x, s);
}

struct fset *fs_fields(struct fsx *x, struct fs_type t, const struct node *v)
{
	enum fs_kind k = kind_of(t, v);

	return k == FS_MAP || kind_is_list(k) ? fields_below(x, t, k, v) : NULL;
}

/* --- what differs --- */

static void compare_value(struct fsx *x, struct fs_type t, struct fe e, const struct node *a, const struct node *b,
			  struct fs_diff *up);

static void compare_leaf(struct fsx *x, struct fe e, const struct node *a, const struct node *b, struct fs_diff *up)
{
	if (!a)
		up->added = fset_add(x, up->added, e, true, NULL);
	else if (!b)
		up->removed = fset_add(x, up->removed, e, true, NULL);
	else if (!node_equal(a, b))
		up->modified = fset_add(x, up->modified, e, true, NULL);
}

static void compare_seal(struct fsx *x, struct fs_diff *d)
{
	d->added = fset_seal(x, d->added);
	d->modified = fset_seal(x, d->modified);
	d->removed = fset_seal(x, d->removed);
}

static void compare_map(struct fsx *x, struct fs_type t, const struct node *a, const struct node *b,
			struct fs_diff *out)
{
	struct kids ka = kids_of(x, a), kb = kids_of(x, b);
	struct fs_type sub;
	bool named;

	NODE_FOREACH(c, ka.n) {
		type_member(t, node_key(c), &sub, &named);
		compare_value(x, sub, fe_field(node_key(c)), c, kids_find(&kb, c), out);
	}
	NODE_FOREACH(c, kb.n) {
		if (kids_find(&ka, c))
			continue;
		type_member(t, node_key(c), &sub, &named);
		compare_value(x, sub, fe_field(node_key(c)), NULL, c, out);
	}
}

static bool items_equal(const struct items *a, size_t i, const struct items *b, size_t j)
{
	size_t n = a->sorted[i]->same;

	if (n != b->sorted[j]->same)
		return false;
	for (size_t k = 0; k < n; k++)
		if (!node_equal(a->sorted[i + k]->n, b->sorted[j + k]->n))
			return false;
	return true;
}

/* One element; na and nb say how many items have it on either side. */
static void compare_items(struct fsx *x, struct fs_type t, const struct items *a, size_t i, size_t na,
			  const struct items *b, size_t j, size_t nb, struct fs_diff *out)
{
	struct fe e = na ? a->sorted[i]->e : b->sorted[j]->e;
	const struct node *va = na ? a->sorted[i]->n : NULL, *vb = nb ? b->sorted[j]->n : NULL;

	if (na <= 1 && nb <= 1) {
		compare_value(x, type_item(t), e, va, vb, out);
	} else if (na > 1 && nb > 1) {
		if (!items_equal(a, i, b, j))
			out->modified = fset_add(x, out->modified, e, true, NULL);
	} else if (na > 1) {
		if (nb)
			compare_value(x, type_item(t), e, NULL, vb, out);
		out->removed = fset_add(x, out->removed, e, true, NULL);
	} else {
		if (na)
			compare_value(x, type_item(t), e, va, NULL, out);
		out->added = fset_add(x, out->added, e, true, NULL);
	}
}

static void compare_list(struct fsx *x, struct fs_type t, enum fs_kind k, const struct node *a, const struct node *b,
			 struct fs_diff *out)
{
	struct items ia = items_of(x, t, k, a), ib = items_of(x, t, k, b);
	size_t i = 0, j = 0;

	while (i < ia.n || j < ib.n) {
		int c = i == ia.n ? 1 : j == ib.n ? -1 : fe_cmp(&ia.sorted[i]->e, &ib.sorted[j]->e);
		size_t na = c <= 0 ? ia.sorted[i]->same : 0, nb = c >= 0 ? ib.sorted[j]->same : 0;

		compare_items(x, t, &ia, i, na, &ib, j, nb, out);
		i += na;
		j += nb;
	}
}

static void compare_attach(struct fsx *x, struct fset **up, struct fe e, bool member, struct fset *sub)
{
	if (member || sub)
		*up = fset_add(x, *up, e, member, sub);
}

static void compare_as(struct fsx *x, struct fs_type t, enum fs_kind k, struct fe e, const struct node *a,
		       const struct node *b, struct fs_diff *up)
{
	enum doc_type want = kind_is_list(k) ? DOC_ARRAY : DOC_OBJECT;
	size_t na = node_is(a, want) ? node_count(a) : 0, nb = node_is(b, want) ? node_count(b) : 0;
	struct fs_diff sub = { NULL, NULL, NULL };

	if ((k != FS_MAP && !kind_is_list(k)) || (!na && !nb)) {
		compare_leaf(x, e, a, b, up);
		return;
	}
	if (k == FS_MAP)
		compare_map(x, t, a, b, &sub);
	else
		compare_list(x, t, k, a, b, &sub);
	compare_seal(x, &sub);
	compare_attach(x, &up->added, e, !a, sub.added);
	compare_attach(x, &up->modified, e, false, sub.modified);
	compare_attach(x, &up->removed, e, !b, sub.removed);
}

static void compare_value(struct fsx *x, struct fs_type t, struct fe e, const struct node *a, const struct node *b,
			  struct fs_diff *up)
{
	const struct node *va = node_is(a, DOC_NULL) ? NULL : a, *vb = node_is(b, DOC_NULL) ? NULL : b;
	enum fs_kind ka = kind_of(t, va ? va : vb), kb = kind_of(t, vb ? vb : va);

	if (a == b)
		return;
	if (ka != kb)
		compare_as(x, t, ka, e, a, b, up);
	compare_as(x, t, kb, e, a, b, up);
}

void fs_compare(struct fsx *x, struct fs_type t, const struct node *a, const struct node *b, struct fs_diff *ret)
{
	*ret = (struct fs_diff){ NULL, NULL, NULL };
	if (kind_of(t, b ? b : a) == FS_MAP)
		compare_map(x, t, a, b, ret);
	compare_seal(x, ret);
}

/* --- merging --- */

struct merge {
	struct fsx *x;
	struct doc *d;
};

static void merge_value(struct merge *m, struct fs_type t, struct node *to, const struct node *from);

static void merge_map(struct merge *m, struct fs_type t, struct node *to, const struct node *from)
{
	struct kids k = kids_of(m->x, to);
	struct fs_type sub;
	bool named;

	NODE_FOREACH(c, from) {
		struct node *have = kids_find(&k, c);

		if (!have) {
			node_addk(m->d, to, node_key(c), node_copy(m->d, c));
			continue;
		}
		type_member(t, node_key(c), &sub, &named);
		merge_value(m, sub, have, c);
	}
}

struct merge_list { /* the two orders, walked together */
	struct merge *m;
	struct fs_type item;
	struct items live, want;
	size_t l, w;
	struct item **shared; /* those of want that live has, too */
	size_t n_shared, next_shared;
	struct node **out;
	size_t n_out;
};

static const struct item *merge_next_shared(const struct merge_list *s)
{
	return s->next_shared < s->n_shared ? s->shared[s->next_shared] : NULL;
}

/* The configuration's item, merged into the live one where there is exactly one. */
static void merge_take_want(struct merge_list *s)
{
	struct item *w = &s->want.v[s->w++], *l = items_find(&s->live, &w->e);
	struct node *n;

	if (merge_next_shared(s) == w)
		s->next_shared++;
	if (l && l->same == 1) {
		n = l->n;
		merge_value(s->m, s->item, n, w->n);
	} else {
		n = node_copy(s->m->d, w->n);
	}
	w->merged = true;
	s->out[s->n_out++] = n;
}

/* One step; how items that both have and those of one side alone are interleaved. */
static void merge_step(struct merge_list *s)
{
	struct item *l = s->l < s->live.n ? &s->live.v[s->l] : NULL;
	struct item *w = s->w < s->want.n ? &s->want.v[s->w] : NULL, *same = l ? items_find(&s->want, &l->e) : NULL;
	const struct item *next = merge_next_shared(s);

	if (l && w && same == w) {
		s->l++;
		merge_take_want(s);
		return;
	}
	if (l && w && same && next && fe_cmp(&next->e, &l->e) != 0) { /* another one's turn */
		s->l++;
		return;
	}
	if (l && !same) {
		s->l++;
		s->out[s->n_out++] = l->n;
		return;
	}
	if (l && same->merged)
		s->l++;
	if (w)
		merge_take_want(s);
}

static void merge_list(struct merge *m, struct fs_type t, enum fs_kind k, struct node *to, const struct node *from)
{
	struct merge_list s = { .m = m, .item = type_item(t), .live = items_of(m->x, t, k, to),
				.want = items_of(m->x, t, k, from) };

	s.shared = arena_alloc(m->x->arena, (s.want.n + 1) * sizeof(*s.shared));
	s.out = arena_alloc(m->x->arena, (s.live.n + s.want.n + 1) * sizeof(*s.out));
	for (size_t i = 0; i < s.want.n; i++)
		if (items_find(&s.live, &s.want.v[i].e))
			s.shared[s.n_shared++] = &s.want.v[i];
	while (s.l < s.live.n || s.w < s.want.n)
		merge_step(&s);
	node_set_children(to, s.out, s.n_out);
}

static void merge_value(struct merge *m, struct fs_type t, struct node *to, const struct node *from)
{
	enum fs_kind k = kind_of(t, from);
	enum doc_type want = kind_is_list(k) ? DOC_ARRAY : DOC_OBJECT;
	size_t have = node_is(to, want) ? node_count(to) : 0;

	if ((k == FS_MAP || kind_is_list(k) || (!t.ops && node_is(from, DOC_NULL) && node_is(to, DOC_OBJECT))) && have) {
		if (!node_is(from, want) || !node_count(from))
			return; /* nothing is said about what is there */
		if (k == FS_MAP)
			merge_map(m, t, to, from);
		else
			merge_list(m, t, k, to, from);
		return;
	}
	node_assign(m->d, to, from);
}

void fs_merge(struct fsx *x, struct fs_type t, struct doc *d, const struct node *config)
{
	struct merge m = { x, d };

	if (!doc_root(d))
		doc_set_root(d, node_copy(d, config));
	else
		merge_value(&m, t, doc_root(d), config);
}

/* --- removing --- */

static void remove_in(struct fsx *x, struct fs_type t, struct doc *d, struct node *v, const struct fset *s);

/* Whether c stays, less what s has below e. */
static bool remove_child(struct fsx *x, struct fs_type t, struct doc *d, struct node *c, struct fe e,
			 const struct fset *s)
{
	const struct fset_item *p = fset_find(s, &e);

	if (p && p->member)
		return false;
	if (p && p->sub)
		remove_in(x, t, d, c, p->sub);
	return true;
}

static void remove_in(struct fsx *x, struct fs_type t, struct doc *d, struct node *v, const struct fset *s)
{
	enum fs_kind k = kind_of(t, v);
	size_t count = node_count(v), n = 0;
	struct node **keep;

	if (k == FS_SCALAR)
		return;
	keep = arena_alloc(x->arena, (count + 1) * sizeof(*keep));
	if (k == FS_MAP && node_is(v, DOC_OBJECT)) {
		NODE_FOREACH(c, v) {
			struct fs_type sub;
			bool named;

			type_member(t, node_key(c), &sub, &named);
			if (remove_child(x, sub, d, c, fe_field(node_key(c)), s))
				keep[n++] = c;
		}
	} else if (kind_is_list(k) && node_is(v, DOC_ARRAY)) {
		NODE_FOREACH(c, v) {
			struct fe e;

			if (item_element(x, t, k, c, &e) || remove_child(x, type_item(t), d, c, e, s))
				keep[n++] = c;
		}
	}
	if (n)
		node_set_children(v, keep, n);
	else
		node_assign(d, v, node_new(d, DOC_NULL));
}

void fs_remove(struct fsx *x, struct fs_type t, struct doc *d, const struct fset *s)
{
	if (!fset_is_empty(s) && kind_of(t, doc_root(d)) == FS_MAP)
		remove_in(x, t, d, doc_root(d), s);
}

/* --- sets by their types --- */

struct fset *fs_with_named(struct fsx *x, struct fs_type t, struct fset *s)
{
	struct fset *out = NULL;

	if (!s || !t.ops)
		return s;
	for (size_t i = 0; i < s->n; i++) {
		struct fset_item p = s->v[i];
		struct fs_type sub;
		bool named;

		if (p.sub) {
			sub = type_at(t, &p.e, &named);
			p.member |= named;
			p.sub = fs_with_named(x, sub, p.sub);
		}
		out = fset_add(x, out, p.e, p.member, p.sub);
	}
	return out;
}

struct fset *fs_reconcile(struct fsx *x, struct fs_type t, struct fset *s)
{
	struct fset *out = NULL;

	if (!s || !t.ops)
		return s;
	for (size_t i = 0; i < s->n; i++) {
		struct fset_item p = s->v[i];
		struct fs_type sub;
		enum fs_kind k;
		bool named;

		if (p.sub) {
			sub = type_at(t, &p.e, &named);
			k = kind_of(sub, NULL);
			if (sub.ops && (k == FS_LIST_ATOMIC || k == FS_MAP_ATOMIC)) {
				p.member = true;
				p.sub = NULL;
			} else {
				p.sub = fs_reconcile(x, sub, p.sub);
			}
		}
		out = fset_add(x, out, p.e, p.member, p.sub);
	}
	return out;
}

/* --- checking a configuration --- */

struct check {
	struct fsx *x;
	struct buf path, text;
	size_t n;
};

static void check_value(struct check *c, struct fs_type t, const struct node *v);

static void check_add(struct check *c, const char *fmt, ...) ATTR_PRINTF(2, 3);
static void check_add(struct check *c, const char *fmt, ...)
{
	va_list ap;

	if (++c->n > CHECK_MAX_ERRORS)
		return;
	buf_addf(&c->text, "\n  %s%s", c->path.s, c->path.len ? ": " : "");
	va_start(ap, fmt);
	buf_addvf(&c->text, fmt, ap);
	va_end(ap);
}

static void check_go_syntax(struct buf *out, const struct node *v)
{
	if (node_is(v, DOC_STRING))
		buf_add_json_string(out, node_str(v));
	else
		doc_print_go(out, v);
}

static const char *check_go_type(const struct node *v)
{
	static const char *const names[] = { "nil", "bool", "int64", "float64", "string", "[]interface {}",
					     "map[string]interface {}" };

	return names[node_type(v)];
}

static void check_scalar(struct check *c, struct fs_type t, const struct node *v)
{
	enum fs_scalar want = t.ops ? t.ops->scalar(t) : FS_ANY;
	enum doc_type have = node_type(v);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (want == FS_NUMBER && have != DOC_INT && have != DOC_FLOAT) {
		check_add(c, "expected numeric (int or float), got %s", check_go_type(v));
	} else if (want == FS_STRING && have != DOC_STRING) {
		check_go_syntax(&b, v);
		check_add(c, "expected string, got &value.valueUnstructured{Value:%s}", b.s);
	} else if (want == FS_BOOL && have != DOC_BOOL) {
		doc_print_go(&b, v);
		check_add(c, "expected boolean, got &{%s}", b.s);
	} else if (have == DOC_ARRAY || have == DOC_OBJECT) {
		doc_print_go(&b, v);
		check_add(c, "expected any scalar, got &{%s}", b.s);
	}
}

static void check_item_refused(struct check *c, struct fs_type t, size_t at, const char *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (*why) {
		check_add(c, "element %zu: %s", at, why);
		return;
	}
	for (size_t i = 0; t.ops->key(t, i); i++)
		buf_addf(&b, "%s\"%s\"", i ? " " : "", t.ops->key(t, i));
	check_add(c,
		  "element %zu: associative list with keys has an element that omits all key fields [%s] (and doesn't "
		  "have default values for any key fields)",
		  at, b.s);
}

static void check_list(struct check *c, struct fs_type t, enum fs_kind k, const struct node *v)
{
	struct items is = items_of(c->x, t, k, k == FS_LIST_ATOMIC ? NULL : v);
	size_t len = c->path.len, at = 0;

	NODE_FOREACH(n, v) {
		struct fe e = { .kind = FE_INDEX, .u.index = (int64_t)at };
		const char *why = k == FS_LIST_ATOMIC ? NULL : item_element(c->x, t, k, n, &e);
		_cleanup_buf_ struct buf b = BUF_INIT;

		if (why) {
			check_item_refused(c, t, at, why);
			return;
		}
		fe_print(&b, &e);
		if (k != FS_LIST_ATOMIC && items_find(&is, &e)->n != n)
			check_add(c, "duplicate entries for key %s", b.s);
		buf_addstr(&c->path, buf_str(&b));
		check_value(c, type_item(t), n);
		buf_truncate(&c->path, len);
		at++;
	}
}

static void check_map(struct check *c, struct fs_type t, const struct node *v)
{
	size_t len = c->path.len;

	NODE_FOREACH(n, v) {
		struct fs_type sub;
		bool named, known = type_member(t, node_key(n), &sub, &named);

		buf_addf(&c->path, ".%" STR_FMT, STR_ARG(node_key(n)));
		if (known)
			check_value(c, sub, n);
		else
			check_add(c, "field not declared in schema");
		buf_truncate(&c->path, len);
		if (!known)
			return;
	}
}

static void check_value(struct check *c, struct fs_type t, const struct node *v)
{
	enum fs_kind k = kind_of(t, v);
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool list = k == FS_LIST_ATOMIC || kind_is_list(k);

	if (node_is(v, DOC_NULL) || c->n > CHECK_MAX_ERRORS)
		return;
	if (k == FS_SCALAR) {
		check_scalar(c, t, v);
	} else if (!node_is(v, list ? DOC_ARRAY : DOC_OBJECT)) {
		doc_print_go(&b, v);
		check_add(c, "expected %s, got &{%s}", list ? "list" : "map", b.s);
	} else if (list) {
		check_list(c, t, k, v);
	} else {
		check_map(c, t, v);
	}
}

int fs_check(struct fsx *x, struct fs_type t, const struct node *v, struct err *e)
{
	struct check c = { x, BUF_INIT, BUF_INIT, 0 };

	check_value(&c, t, v);
	if (c.n)
		err_set(e, ERR_UNKNOWN, "%s%s", c.n > 1 ? "errors:" : "", c.text.s + (c.n > 1 ? 0 : strlen("\n  ")));
	buf_release(&c.path);
	buf_release(&c.text);
	return c.n ? -e->code : 0;
}
