/*
 * Reads: single objects, and lists of the present or of a past revision.
 *
 * A list at a past revision (the later pages of a chunked one) is the present
 * table with the history undone: for each key that changed since, the state
 * before its first change after that revision stands in.
 */
#include "store/internal.h"

#include <stdio.h>

/* How a key looked at the list's revision. */
struct store_undo {
	struct obj *key; /* borrowed from the history: names the key */
	struct obj *state; /* NULL: was not there */
};
struct store_reader {
	struct store_table *table;
	struct store_list *l;
	const char *ns;
	char *start_ns, *start_name; /* go on behind this key; NULL: from the beginning */
	VEC(struct store_undo) undo; /* ordered by key */
	VEC(struct obj *) out;
	size_t counted; /* objects seen after the page was full */
	bool full;
};

struct obj *store_get(struct store *s, const struct resource *r, const char *ns, const char *name)
{
	struct store_entry *e = store_entry_find(store_table_of(s, r), ns, name);

	return e ? e->obj : NULL;
}

size_t store_count(struct store *s, const struct resource *r, const char *ns)
{
	struct store_table *t = store_table_of(s, r);
	struct store_entry *e;
	size_t n = 0;

	if (str_empty(ns))
		return t->count;
	RB_FOREACH(e, store_tree, &t->tree)
		n += streq(e->obj->ns, ns);
	return n;
}

/* --- continue tokens: base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"ns/name"} --- */

static char *store_token_make(int64_t rv, const struct obj *last)
{
	struct buf json = BUF_INIT, key = BUF_INIT, out = BUF_INIT;

	obj_key_print(&key, last->ns, last->name);
	buf_addf(&json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)rv);
	buf_add_json_string(&json, buf_str(&key));
	buf_addch(&json, '}');
	buf_add_base64(&out, json.s, json.len, true);
	buf_release(&json);
	buf_release(&key);
	return buf_detach(&out, NULL);
}

static int store_token_read(struct store_reader *rd, int64_t *rv, struct err *e)
{
	_cleanup_buf_ struct buf json = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_err_ struct err ignored = ERR_INIT;
	struct str start;

	if (!buf_add_base64_decoded(&json, str_of(rd->l->continue_token), true) ||
	    doc_parse_json(&d, buf_str(&json), NULL, &ignored) < 0 ||
	    !node_streq(node_getc(doc_root(d), "v"), "meta.k8s.io/v1") ||
	    !(start = node_str(node_getc(doc_root(d), "start"))).n)
		return err_set(e, ERR_BAD_REQUEST,
			       "invalid continue token: continue key is not valid: it was not made by this server");
	*rv = node_int(node_getc(doc_root(d), "rv"), 0);
	rd->start_ns = rd->table->res->namespaced ? str_dup(str_cut(&start, '/')) : xstrdup("");
	rd->start_name = str_dup(start);
	return 0;
}

/* --- the past --- */

static int store_undo_cmp(const void *a, const void *b)
{
	const struct store_undo *x = a, *y = b;

	return store_key_cmp(x->key->ns, x->key->name, y->key->ns, y->key->name);
}

static void store_undo_gather(struct store_reader *rd, int64_t rv)
{
	struct store_table *t = rd->table;
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct map *seen = map_new(NULL);

	for (uint64_t q = t->first_seq; q < t->next_seq; q++) {
		const struct store_event *ev = &store_past_at(t, q)->ev;
		struct store_undo u = { ev->obj, ev->old };

		if (ev->rv <= rv)
			continue;
		buf_clear(&key);
		obj_key_print(&key, ev->obj->ns, ev->obj->name);
		if (map_get(seen, buf_str(&key)))
			continue;
		map_set(seen, buf_str(&key), rd);
		VEC_PUSH(&rd->undo, u);
	}
	map_free(seen);
	if (rd->undo.n)
		qsort(rd->undo.v, rd->undo.n, sizeof(rd->undo.v[0]), store_undo_cmp);
}

/* --- walking --- */

static void store_reader_take(struct store_reader *rd, struct obj *o)
{
	struct store_list *l = rd->l;

	if (*rd->ns && !streq(o->ns, rd->ns))
		return;
	if (rd->start_name && store_key_cmp(o->ns, o->name, rd->start_ns, rd->start_name) <= 0)
		return;
	if (rd->full && !l->match) {
		rd->counted++;
		return;
	}
	if (l->match && !l->match(l->arg, o))
		return;
	if (rd->full) {
		rd->counted++;
		return;
	}
	VEC_PUSH(&rd->out, obj_ref(o));
	rd->full = l->limit > 0 && rd->out.n == (size_t)l->limit;
}

static struct store_entry *store_reader_first(struct store_reader *rd)
{
	struct store_entry *e = RB_ROOT(&rd->table->tree), *best = NULL;
	const char *ns = rd->start_name ? rd->start_ns : rd->ns;
	const char *name = rd->start_name ? rd->start_name : "";

	while (e) {
		if (store_key_cmp(e->obj->ns, e->obj->name, ns, name) >= 0) {
			best = e;
			e = RB_LEFT(e, link);
		} else {
			e = RB_RIGHT(e, link);
		}
	}
	return best;
}

/* Behind the wanted namespace, or (with a selector) a page and one more: enough was seen. */
static bool store_reader_over(const struct store_reader *rd, const struct obj *o)
{
	if (*rd->ns && !streq(o->ns, rd->ns))
		return store_key_cmp(o->ns, "", rd->ns, "") > 0;
	return rd->l->match && rd->full && rd->counted;
}

static void store_reader_walk(struct store_reader *rd)
{
	struct store_entry *e = store_reader_first(rd);
	size_t u = 0;

	while (e || u < rd->undo.n) {
		int c = !e ? 1 : u == rd->undo.n ? -1
						 : store_key_cmp(e->obj->ns, e->obj->name, rd->undo.v[u].key->ns,
								 rd->undo.v[u].key->name);
		struct obj *o = c < 0 ? e->obj : rd->undo.v[u].state;

		if (o)
			store_reader_take(rd, o);
		if (store_reader_over(rd, c < 0 ? e->obj : rd->undo.v[u].key) && c <= 0)
			break;
		if (c >= 0)
			u++;
		if (c <= 0)
			e = RB_NEXT(store_tree, &rd->table->tree, e);
	}
}

static int store_list_revision(struct store_reader *rd, struct store *s, struct err *e)
{
	struct store_list *l = rd->l;
	int64_t token_rv = 0;

	l->rv = s->revision;
	if (!str_empty(l->continue_token)) {
		if (store_token_read(rd, &token_rv, e) < 0)
			return -e->code;
	} else if (l->at_rv > 0) {
		token_rv = l->at_rv;
	}
	if (token_rv <= 0) /* newest (-1: an inconsistent continuation) */
		return 0;
	if (token_rv > s->revision)
		return err_set(e, ERR_TIMEOUT, "Too large resource version: %lld, current: %lld", (long long)token_rv,
			       (long long)s->revision);
	store_history_trim(rd->table);
	if (token_rv < rd->table->floor_rv) {
		if (rd->start_name) {
			struct obj last = { .ns = rd->start_ns, .name = rd->start_name };

			l->continue_out = store_token_make(-1, &last);
			return err_set(e, ERR_EXPIRED,
				       "The provided continue parameter is too old to display a consistent list "
				       "result. You can start a new list without the continue parameter, or use "
				       "the continue token in this response to retrieve the remainder of the "
				       "results. Continuing with the provided token results in an inconsistent "
				       "list - objects that were created, modified, or deleted between the time "
				       "the first chunk was returned and now may show up in the list.");
		}
		return err_set(e, ERR_EXPIRED, "The resourceVersion for the provided list is too old.");
	}
	l->rv = token_rv;
	store_undo_gather(rd, token_rv);
	return 0;
}

int store_list(struct store *s, struct store_list *l, struct err *e)
{
	struct store_reader rd = { .table = store_table_of(s, l->res), .l = l, .ns = l->ns ? l->ns : "" };
	int rc;

	l->objs = NULL;
	l->n = 0;
	l->continue_out = NULL;
	l->remaining = -1;
	rc = store_list_revision(&rd, s, e);
	if (rc == 0) {
		store_reader_walk(&rd);
		l->objs = rd.out.v;
		l->n = rd.out.n;
		if (rd.full && rd.counted) {
			l->continue_out = store_token_make(l->rv, l->objs[l->n - 1]);
			if (!l->match)
				l->remaining = (int64_t)rd.counted;
		}
	}
	VEC_RELEASE(&rd.undo);
	free(rd.start_ns);
	free(rd.start_name);
	return rc;
}

void store_list_release(struct store_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		obj_unref(l->objs[i]);
	free(l->objs);
	free(l->continue_out);
	l->objs = NULL;
	l->continue_out = NULL;
	l->n = 0;
}
