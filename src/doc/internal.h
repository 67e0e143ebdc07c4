/*
 * What the files of this folder share and nobody else sees.
 */
#ifndef DOC_INTERNAL_H
#define DOC_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "doc/doc.h"

/* A node without a value, from d's arena. */
struct node *node_alloc(struct doc *d, enum doc_type t);
/* Gives n its key; the text of unknown names is copied when copy is set. */
void node_name(struct doc *d, struct node *n, struct str key, bool copy);
/* Appends a child that has its key already, without a look for duplicates. */
static inline void node_link(struct node *container, struct node *child)
{
	child->next = NULL;
	if (container->len++)
		container->last->next = child;
	else
		container->u.first = child;
	container->last = child;
}
/* n takes over the value of v, which must not be used any more. */
static inline void node_take_value(struct node *n, const struct node *v)
{
	n->type = v->type;
	n->len = v->len;
	n->u = v->u;
	n->last = v->last;
}
static inline bool node_same_key(const struct node *a, const struct node *b)
{
	return a->name == b->name && a->key_len == b->key_len &&
	       (a->name != F_NONE || memcmp(a->key, b->key, a->key_len) == 0);
}

/* Objects with more members than this are searched through an index where many look-ups follow. */
#define NODE_INDEX_FROM 24
/* key -> struct node *; map_free when done. */
struct map *node_index(const struct node *obj);

/* wide.c: objects with more members than this are looked up in there. */
#define WIDE_FROM 256
struct node *wide_get(const struct node *obj, struct str key);
/* Around a change of obj's members: whether it has an index, before; if it has, what changed, behind it. */
bool wide_begin(const struct node *obj);
void wide_set(const struct node *obj, struct node *child);
void wide_removed(const struct node *obj, struct str key);
/* A document's memory goes. */
void wide_forget(void);

/* Depth of the tree below n: 0 for a scalar, 1 for [], 2 for [[]]. */
unsigned node_depth(const struct node *n);

/* Duplicate keys that a reader found, told to the caller when the text proved to be good. Bounded. */
#define DUPS_MAX 100
#define DUPS_PATH_MAX 1024
struct dups {
	char *path[DUPS_MAX];
	size_t n;
};
/* stack: the containers from the root to the object that holds the key twice. */
void dups_add(struct dups *dups, struct node *const *stack, size_t depth, const struct node *twice);
void dups_tell(struct dups *dups, const struct doc_json_opts *opts);
void dups_release(struct dups *dups);
/* Makes the members of obj unique, in place of the first with the value of the last. */
void node_dedup(struct node *obj, struct node *const *stack, size_t depth, struct dups *dups);

/* A text of JSON values one behind the other; -1 when it is none (YAML is tried then). */
int json_read_stream(struct doc ***ret, size_t *ret_n, struct str text, struct dups *dups);

/* The error of a text that could not be read; refused: why a limit stopped it, or NULL. */
int json_explain(struct str text, bool prefix, const char *refused, struct err *e);
void doc_line_column(struct str text, size_t at, size_t *line, size_t *column);
int doc_check_size(struct str text, const struct doc_json_opts *opts, struct err *e);

/* A double as Go's encoding/json prints it: shortest text that reads back, exponents from 1e21 and 1e-7. */
void doc_print_double(struct buf *out, double v);

/* YAML 1.1's reading of a plain scalar (yaml-resolve.c), as go-yaml v2 does it. */
enum yaml_kind {
	YAML_K_STR,
	YAML_K_NULL,
	YAML_K_BOOL,
	YAML_K_INT,
	YAML_K_BIG,
	YAML_K_FLOAT,
	YAML_K_TIME,
	YAML_K_MERGE
};
struct yaml_value {
	enum yaml_kind kind;
	bool b;
	int64_t i;    /* YAML_K_INT */
	double f;     /* YAML_K_FLOAT; may be an infinity or no number */
	uint64_t big; /* YAML_K_BIG: beyond int64 */
};
void yaml_resolve(struct str s, struct yaml_value *v);

#endif
