/*
 * Labels in a compact form, and counts for each value of a topology key.
 */
#include "sched/internal.h"

/* Of each label: how long key and value are (with their NULs), key, value. Kubernetes' longest is 317 bytes. */
struct label_len {
	uint16_t key, value;
};

static size_t label_len(const char *s)
{
	size_t n = strlen(s) + 1;

	BUG_ON(n > UINT16_MAX);
	return n;
}

void labels_read(struct labels *l, const struct node *labels)
{
	size_t len = 0;
	char *at;

	labels_release(l);
	NODE_FOREACH(n, labels)
		len += sizeof(struct label_len) + label_len(n->key) + label_len(node_cstr_or(n, ""));
	if (!len)
		return;
	at = l->text = xmalloc(len);
	NODE_FOREACH(n, labels)
	{
		const char *value = node_cstr_or(n, "");
		struct label_len k = { (uint16_t)label_len(n->key), (uint16_t)label_len(value) };

		memcpy(at, &k, sizeof(k));
		at += sizeof(k);
		memcpy(at, n->key, k.key);
		memcpy(at + k.key, value, k.value);
		at += k.key + k.value;
		l->n++;
	}
}

const char *labels_get(const struct labels *l, const char *key)
{
	const char *at = l->text;
	size_t n = strlen(key) + 1;

	for (size_t i = 0; i < l->n; i++) {
		struct label_len k;

		memcpy(&k, at, sizeof(k));
		at += sizeof(k);
		if (k.key == n && memcmp(at, key, n) == 0)
			return at + k.key;
		at += k.key + k.value;
	}
	return NULL;
}

const char *labels_get_any(const void *labels, const char *key)
{
	return labels_get(labels, key);
}

bool labels_match(const struct labels *l, const struct selector *s)
{
	return s && selector_match_by(s, labels_get_any, l);
}

void labels_release(struct labels *l)
{
	free(l->text);
	*l = (struct labels){ NULL, 0 };
}

/* --- counts --- */

struct count {
	char *key;
	int64_t n;
};
struct counts {
	struct map *of; /* struct count, by "key\nvalue" */
	struct buf name;
	const char *min_of; /* the key whose minimum is known; NULL: none */
	int64_t min;
	size_t domains;
};

static void count_free(void *v)
{
	struct count *c = v;

	free(c->key);
	free(c);
}

static struct str counts_name(struct counts *c, const char *key, const char *value)
{
	buf_clear(&c->name);
	buf_adds(&c->name, key);
	buf_addch(&c->name, '\n');
	buf_adds(&c->name, value);
	return buf_str(&c->name);
}

void counts_add(struct counts **c, const char *key, const char *value, int64_t n)
{
	struct count *e;
	struct str name;

	if (!*c) {
		*c = xcalloc(1, sizeof(**c));
		(*c)->of = map_new(count_free);
	}
	name = counts_name(*c, key, value);
	e = map_get((*c)->of, name);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->key = xstrdup(key);
		map_set((*c)->of, name, e);
	}
	e->n += n;
	(*c)->min_of = NULL;
}

int64_t counts_get(const struct counts *c, const char *key, const char *value)
{
	const struct count *e = c ? map_get(c->of, counts_name((struct counts *)c, key, value)) : NULL;

	return e ? e->n : 0;
}

int64_t counts_min(struct counts *c, const char *key, size_t *domains)
{
	struct map_iter it = { 0 };

	*domains = 0;
	if (!c)
		return 0;
	if (c->min_of && streq(c->min_of, key)) {
		*domains = c->domains;
		return c->min;
	}
	c->min = INT64_MAX;
	while (map_next(c->of, &it)) {
		const struct count *e = it.value;

		if (!streq(e->key, key))
			continue;
		++*domains;
		c->min = e->n < c->min ? e->n : c->min;
		c->min_of = e->key;
	}
	c->domains = *domains;
	return c->min;
}

bool counts_all_zero(const struct counts *c)
{
	struct map_iter it = { 0 };

	while (c && map_next(c->of, &it))
		if (((const struct count *)it.value)->n > 0)
			return false;
	return true;
}

struct counts *counts_free(struct counts *c)
{
	if (c) {
		map_free(c->of);
		buf_release(&c->name);
		free(c);
	}
	return NULL;
}
