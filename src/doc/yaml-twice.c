/*
 * Keys that a YAML mapping has twice, with their lines, as go-yaml's strict mode
 * finds them. The reader proper takes the last one; this runs over a text that it
 * has read, when somebody must be told where.
 */
#include <yaml.h>

#include "base/map.h"
#include "base/vec.h"
#include "doc/internal.h"

struct twice_frame { /* a container that is open */
	bool mapping, value; /* ... whose next node is a value */
	struct map *seen; /* its keys */
	char *again; /* the key at hand, when it was there before */
};

struct twice {
	VEC(struct twice_frame) open;
	void (*tell)(void *arg, size_t line, const char *key);
	void *arg;
};

static void twice_key(struct twice_frame *f, const yaml_event_t *ev)
{
	const char *key = ev->type == YAML_SCALAR_EVENT ? (const char *)ev->data.scalar.value : NULL;

	if (!key)
		return;
	if (map_getc(f->seen, key))
		f->again = xstrdup(key);
	else
		map_set(f->seen, str_of(key), f);
}

/* A node begins: it is a key, a value, or an item. */
static void twice_node(struct twice *t, const yaml_event_t *ev)
{
	struct twice_frame *f = t->open.n ? &t->open.v[t->open.n - 1] : NULL;

	if (!f || !f->mapping)
		return;
	if (!f->value) {
		twice_key(f, ev);
	} else if (f->again) {
		t->tell(t->arg, ev->start_mark.line + 1, f->again);
		free(take_ptr(&f->again));
	}
	f->value = !f->value;
}

static void twice_close(struct twice *t)
{
	struct twice_frame *f = &t->open.v[--t->open.n];

	map_free(f->seen);
	free(f->again);
}

/* False at the end. */
static bool twice_event(struct twice *t, const yaml_event_t *ev)
{
	struct twice_frame f = { .mapping = ev->type == YAML_MAPPING_START_EVENT };

	switch (ev->type) {
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		twice_node(t, ev);
		f.seen = map_new(NULL);
		VEC_PUSH(&t->open, f);
		return true;
	case YAML_SCALAR_EVENT:
	case YAML_ALIAS_EVENT:
		twice_node(t, ev);
		return true;
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		twice_close(t);
		return true;
	default:
		return ev->type != YAML_STREAM_END_EVENT;
	}
}

void doc_yaml_twice(struct str text, void (*tell)(void *arg, size_t line, const char *key), void *arg)
{
	struct twice t = { .tell = tell, .arg = arg };
	yaml_parser_t p;
	yaml_event_t ev;
	bool more = true;

	if (!yaml_parser_initialize(&p))
		return;
	yaml_parser_set_input_string(&p, (const unsigned char *)text.p, text.n);
	while (more && yaml_parser_parse(&p, &ev)) {
		more = twice_event(&t, &ev);
		yaml_event_delete(&ev);
	}
	while (t.open.n)
		twice_close(&t);
	VEC_RELEASE(&t.open);
	yaml_parser_delete(&p);
}
