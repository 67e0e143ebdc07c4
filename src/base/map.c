/*
 * The hash map: chains in a table of a power of two, doubled when there are as
 * many entries as slots and never shrunk while it lives (so that removal cannot
 * move anything under an iteration). An entry is one allocation with its key
 * behind it. The iterator remembers the entry after the current one, which is
 * why the current one may go.
 */
#include "base/map.h"

#include "base/hash.h"

#define MAP_MIN_SLOTS 8

struct map_entry {
	struct map_entry *next;
	uint64_t hash;
	void *value;
	size_t key_len;
	char key[];
};

struct map {
	struct map_entry **slots;
	size_t n_slots, count;
	void (*free_value)(void *);
};

struct map *map_new(void (*free_value)(void *))
{
	struct map *m = xcalloc(1, sizeof(*m));

	m->free_value = free_value;
	return m;
}

static void map_free_entry(struct map *m, struct map_entry *e)
{
	void *value = e->value;

	free(e);
	if (m->free_value && value)
		m->free_value(value);
}

void map_clear(struct map *m)
{
	struct map_entry **slots;
	size_t n;

	if (!m)
		return;
	/* The map is empty before the first destructor runs. */
	slots = m->slots;
	n = m->n_slots;
	m->slots = NULL;
	m->n_slots = m->count = 0;
	for (size_t i = 0; i < n; i++) {
		while (slots[i]) {
			struct map_entry *e = slots[i];

			slots[i] = e->next;
			map_free_entry(m, e);
		}
	}
	free(slots);
}

struct map *map_free(struct map *m)
{
	map_clear(m);
	free(m);
	return NULL;
}

/* Where the pointer to the entry is, or would be; NULL when there is no table yet. */
static struct map_entry **map_find(const struct map *m, struct str key, uint64_t hash)
{
	struct map_entry **at;

	if (!m->n_slots)
		return NULL;
	for (at = &m->slots[hash & (m->n_slots - 1)]; *at; at = &(*at)->next) {
		if ((*at)->hash == hash && str_eq(str_n((*at)->key, (*at)->key_len), key))
			break;
	}
	return at;
}

void *map_get(const struct map *m, struct str key)
{
	struct map_entry **at;

	if (!m || !m->count)
		return NULL;
	at = map_find(m, key, hash_sip(key));
	return *at ? (*at)->value : NULL;
}

void *map_getc(const struct map *m, const char *key)
{
	return map_get(m, str_of(key));
}

static void map_grow(struct map *m)
{
	size_t n = m->n_slots ? m->n_slots * 2 : MAP_MIN_SLOTS;
	struct map_entry **slots = xcalloc(n, sizeof(*slots));

	for (size_t i = 0; i < m->n_slots; i++) {
		while (m->slots[i]) {
			struct map_entry *e = m->slots[i];

			m->slots[i] = e->next;
			e->next = slots[e->hash & (n - 1)];
			slots[e->hash & (n - 1)] = e;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->n_slots = n;
}

static void map_replace(struct map *m, struct map_entry *e, void *value)
{
	void *old = e->value;

	e->value = value;
	if (m->free_value && old && old != value)
		m->free_value(old);
}

void map_set(struct map *m, struct str key, void *value)
{
	uint64_t hash = hash_sip(key);
	struct map_entry **at = map_find(m, key, hash), *e;

	if (at && *at) {
		map_replace(m, *at, value);
		return;
	}
	if (m->count >= m->n_slots)
		map_grow(m);
	e = xmalloc(sizeof(*e) + key.n + 1);
	e->hash = hash;
	e->value = value;
	e->key_len = key.n;
	if (key.n)
		memcpy(e->key, key.p, key.n);
	e->key[key.n] = '\0';
	e->next = m->slots[hash & (m->n_slots - 1)];
	m->slots[hash & (m->n_slots - 1)] = e;
	m->count++;
}

static struct map_entry *map_unlink(struct map *m, struct str key)
{
	struct map_entry **at, *e;

	if (!m || !m->count)
		return NULL;
	at = map_find(m, key, hash_sip(key));
	e = *at;
	if (e) {
		*at = e->next;
		m->count--;
	}
	return e;
}

bool map_del(struct map *m, struct str key)
{
	struct map_entry *e = map_unlink(m, key);

	if (e)
		map_free_entry(m, e);
	return e != NULL;
}

void *map_take(struct map *m, struct str key)
{
	struct map_entry *e = map_unlink(m, key);
	void *value = e ? e->value : NULL;

	free(e);
	return value;
}

size_t map_count(const struct map *m)
{
	return m ? m->count : 0;
}

bool map_next(const struct map *m, struct map_iter *it)
{
	struct map_entry *e = it->next_;

	if (!m)
		return false;
	while (!e && it->slot_ < m->n_slots)
		e = m->slots[it->slot_++];
	if (!e)
		return false;
	it->key = str_n(e->key, e->key_len);
	it->value = e->value;
	it->next_ = e->next;
	return true;
}
