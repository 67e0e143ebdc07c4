/*
 * Texts that are kept once: a chained hash table that grows and shrinks with its
 * content.
 */
#include "obj/shared.h"

#include "base/hash.h"

#define SLOTS_MIN 64

static struct shared **slots;
static size_t n_slots, n_texts;

static void shared_resize(size_t want)
{
	struct shared **now = xcalloc(want, sizeof(*now));

	for (size_t i = 0; i < n_slots; i++) {
		struct shared *next;

		for (struct shared *t = slots[i]; t; t = next) {
			next = t->next;
			t->next = now[t->hash % want];
			now[t->hash % want] = t;
		}
	}
	free(slots);
	slots = now;
	n_slots = want;
}

struct shared *shared_get(struct str s)
{
	uint64_t hash = hash_sip(s);
	struct shared *t;

	if (n_texts >= n_slots)
		shared_resize(n_slots ? n_slots * 2 : SLOTS_MIN);
	for (t = slots[hash % n_slots]; t; t = t->next) {
		if (t->hash == hash && t->len == s.n && memcmp(t->s, s.p, s.n) == 0) {
			t->refs++;
			return t;
		}
	}
	t = xmalloc(sizeof(*t) + s.n);
	*t = (struct shared){ .next = slots[hash % n_slots], .hash = hash, .refs = 1, .len = (uint32_t)s.n };
	memcpy(t->s, s.p, s.n);
	slots[hash % n_slots] = t;
	n_texts++;
	return t;
}

struct shared *shared_unref(struct shared *t)
{
	struct shared **at;

	if (--t->refs)
		return NULL;
	for (at = &slots[t->hash % n_slots]; *at != t; at = &(*at)->next)
		;
	*at = t->next;
	free(t);
	n_texts--;
	if (!n_texts) { /* nothing stays behind */
		free(slots);
		slots = NULL;
		n_slots = 0;
	} else if (n_slots > SLOTS_MIN && n_texts < n_slots / 4) {
		shared_resize(n_slots / 2);
	}
	return NULL;
}

size_t shared_count(void)
{
	return n_texts;
}
