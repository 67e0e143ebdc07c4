/*
 * Look-ups in objects with very many members. Members are a list, which is the
 * best there is for the objects that people write; but who looks up each of
 * 60,000 keys walks 60,000 times. An object that much was walked over gets an
 * index on the side, one of a few; the functions of tree.c that change members
 * keep it, and one that changed otherwise is noticed by its length and end.
 */
#include "doc/internal.h"

#define WIDE_SLOTS 4
#define WIDE_WALKS 4 /* over all members, before an index is made */

struct wide {
	const struct node *obj, *last;
	uint32_t len;
	size_t walked;
	struct map *index;
};

static _Thread_local struct wide wide_slots[WIDE_SLOTS];
static _Thread_local unsigned wide_turn, wide_used;

static void wide_clear(struct wide *w)
{
	wide_used -= w->obj != NULL;
	map_free(w->index);
	*w = (struct wide){ 0 };
}

static struct wide *wide_of(const struct node *obj)
{
	for (size_t i = 0; wide_used && i < WIDE_SLOTS; i++)
		if (wide_slots[i].obj == obj)
			return &wide_slots[i];
	return NULL;
}

static bool wide_is_true(const struct wide *w)
{
	return w->index && w->len == w->obj->len && w->last == w->obj->last;
}

static void wide_note(struct wide *w)
{
	w->len = w->obj->len;
	w->last = w->obj->last;
}

static struct wide *wide_need(const struct node *obj)
{
	struct wide *w = wide_of(obj);

	if (w)
		return w;
	w = &wide_slots[wide_turn++ % WIDE_SLOTS];
	wide_clear(w);
	w->obj = obj;
	wide_used++;
	return w;
}

static struct node *wide_walk(struct wide *w, struct str key)
{
	NODE_FOREACH (c, w->obj) {
		w->walked++;
		if (c->key_len == key.n && memcmp(c->key, key.p, key.n) == 0)
			return c;
	}
	return NULL;
}

struct node *wide_get(const struct node *obj, struct str key)
{
	struct wide *w = wide_need(obj);

	if (wide_is_true(w))
		return map_get(w->index, key);
	w->index = map_free(w->index);
	if (w->walked < (size_t)WIDE_WALKS * obj->len)
		return wide_walk(w, key);
	w->walked = 0;
	w->index = node_index(obj);
	wide_note(w);
	return map_get(w->index, key);
}

bool wide_begin(const struct node *obj)
{
	const struct wide *w = wide_of(obj);

	return w && wide_is_true(w);
}

void wide_set(const struct node *obj, struct node *child)
{
	struct wide *w = wide_of(obj);

	map_set(w->index, node_key(child), child);
	wide_note(w);
}

void wide_removed(const struct node *obj, struct str key)
{
	struct wide *w = wide_of(obj);

	map_del(w->index, key);
	wide_note(w);
}

void wide_forget(void)
{
	for (size_t i = 0; wide_used && i < WIDE_SLOTS; i++)
		wide_clear(&wide_slots[i]);
}
