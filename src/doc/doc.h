/*
 * Documents: JSON values as immutable, counted trees.
 *
 * A `struct doc` owns an arena with a tree of `struct node`. While it is being
 * built (parsed, defaulted, patched) one owner may change it; doc_freeze ends
 * that, and from then on it is shared by reference count and never changes.
 * Nodes are borrowed: they live as long as their doc.
 *
 * Field names that the Kubernetes types know are small integers (enum field,
 * names.gen.h, generated from the type tables): node_get(n, F_replicas) compares
 * integers and a misspelt name does not compile. All other keys (labels, data,
 * what a user made up) have name F_NONE and stay strings, so users can never
 * make the table grow.
 *
 * Numbers: an integer that fits int64 is DOC_INT; any other keeps its text
 * (DOC_FLOAT), so 1.10 prints as 1.10 and 1e400 is not an infinity.
 *
 * Every reader accepts NULL and the wrong type and answers "absent", so a chain
 * node_string(node_path(n, F_spec, F_nodeName)) needs no checks between.
 */
#ifndef DOC_DOC_H
#define DOC_DOC_H

#include "base/buf.h"
#include "base/err.h"
#include "doc/names.gen.h" /* enum field { F_NONE = 0, F_apiVersion, ... F_MAX } */

enum doc_type { DOC_NULL, DOC_BOOL, DOC_INT, DOC_FLOAT, DOC_STRING, DOC_ARRAY, DOC_OBJECT };

/* Private; use the functions. */
struct node {
	uint8_t type;
	uint8_t flags;
	uint16_t name; /* enum field, or F_NONE: see key */
	uint32_t len; /* string: bytes; container: children */
	struct node *next; /* sibling; of the last: NULL */
	union {
		int64_t i;
		bool b;
		const char *s; /* string, or a float's text (len bytes); NUL-terminated */
		struct node *first;
	} u;
	struct node *last; /* containers */
	const char *key; /* as text, also for known names; NULL in arrays */
	uint32_t key_len;
};

struct doc;

/* --- life --- */
struct doc *doc_new(void); /* root NULL until doc_set_root */
struct doc *doc_ref(struct doc *d);
struct doc *doc_unref(struct doc *d); /* NULL accepted; returns NULL */
void doc_unrefp(struct doc **d);
#define _cleanup_doc_ __attribute__((cleanup(doc_unrefp)))
void doc_freeze(struct doc *d);
bool doc_is_frozen(const struct doc *d);
struct node *doc_root(const struct doc *d); /* must not be changed when frozen */
void doc_set_root(struct doc *d, struct node *n);
struct doc *doc_clone(const struct doc *d); /* a changeable deep copy */
size_t doc_memory(const struct doc *d);
struct arena *doc_arena(struct doc *d); /* for strings that live as long as d */

/* --- known names --- */
enum field doc_field(struct str name); /* F_NONE when not known */
const char *doc_field_name(enum field f);

/* --- reading --- */
static inline enum doc_type node_type(const struct node *n)
{
	return n ? (enum doc_type)n->type : DOC_NULL;
}
static inline bool node_is(const struct node *n, enum doc_type t)
{
	return n && n->type == t;
}
struct node *node_get(const struct node *n, enum field f);
struct node *node_getk(const struct node *n, struct str key);
struct node *node_getc(const struct node *n, const char *key);
/* node_path(n, F_spec, F_template, F_spec) */
#define node_path(n, ...) node_path_((n), (const enum field[]){ __VA_ARGS__, F_NONE })
struct node *node_path_(const struct node *n, const enum field *path);
struct node *node_at(const struct node *n, size_t i); /* i-th child of a container */
static inline size_t node_count(const struct node *n)
{
	return n && (n->type == DOC_ARRAY || n->type == DOC_OBJECT) ? n->len : 0;
}
/* The children of an array or object, in order. Removing c inside is not allowed. */
#define NODE_FOREACH(c, n) for (struct node *c = node_first(n); c; c = c->next)
static inline struct node *node_first(const struct node *n)
{
	return node_count(n) ? n->u.first : NULL;
}
static inline struct str node_key(const struct node *n)
{
	return (struct str){ n->key, n->key_len };
}
/* {NULL,0} when it is no string. Terminated by NUL. */
static inline struct str node_str(const struct node *n)
{
	return node_is(n, DOC_STRING) ? (struct str){ n->u.s, n->len } : (struct str){ NULL, 0 };
}
const char *node_cstr(const struct node *n); /* NULL when it is no string */
const char *node_cstr_or(const struct node *n, const char *dflt);
int64_t node_int(const struct node *n, int64_t dflt);
bool node_bool(const struct node *n, bool dflt);
double node_double(const struct node *n, double dflt);
bool node_streq(const struct node *n, const char *s);
bool node_equal(const struct node *a, const struct node *b); /* order of object keys is of no account */
/* Short forms for a string below: node_gets(n, F_name) -> "" when absent */
const char *node_gets(const struct node *n, enum field f);

/* --- building; only before doc_freeze --- */
struct node *node_new(struct doc *d, enum doc_type t); /* DOC_NULL, _ARRAY, _OBJECT */
struct node *node_new_str(struct doc *d, struct str s); /* copied */
struct node *node_new_cstr(struct doc *d, const char *s);
struct node *node_new_fmt(struct doc *d, const char *fmt, ...) ATTR_PRINTF(2, 3);
struct node *node_new_int(struct doc *d, int64_t i);
struct node *node_new_bool(struct doc *d, bool b);
struct node *node_new_float_text(struct doc *d, struct str text);
struct node *node_copy(struct doc *d, const struct node *n); /* deep, without key */
/* Sets or replaces (in place) a member; returns value, which must not be in a container. */
struct node *node_set(struct doc *d, struct node *obj, enum field f, struct node *value);
struct node *node_setk(struct doc *d, struct node *obj, struct str key, struct node *value);
/* The same for a key that obj is known not to have: no search. */
struct node *node_addk(struct doc *d, struct node *obj, struct str key, struct node *value);
void node_sets(struct doc *d, struct node *obj, enum field f, const char *s); /* a string member */
void node_seti(struct doc *d, struct node *obj, enum field f, int64_t i);
void node_setb(struct doc *d, struct node *obj, enum field f, bool b);
/* The member as an object (array), made when absent, replaced when of another type. */
struct node *node_need_object(struct doc *d, struct node *obj, enum field f);
struct node *node_need_array(struct doc *d, struct node *obj, enum field f);
struct node *node_append(struct node *arr, struct node *value);
void node_insert(struct node *arr, size_t at, struct node *value);
bool node_remove(struct node *obj, enum field f);
bool node_removek(struct node *obj, struct str key);
#define NODE_MARK 1 /* in flags: to be cut out by node_cut_marked */
void node_cut_marked(struct node *container);
void node_remove_child(struct node *container, struct node *child);
/* These, former children or new ones (of an object: with their keys), and no others, are the children from now on. */
void node_set_children(struct node *container, struct node *const *v, size_t n);
/* *n becomes a deep copy of v's value and keeps its own key and place. */
void node_assign(struct doc *d, struct node *n, const struct node *v);

/* --- JSON text --- */
struct doc_json_opts {
	/* Called for each duplicate key with its path; parsing goes on, the last wins. */
	void (*duplicate)(void *arg, const char *path);
	void *arg;
	bool trailing_ok; /* white space only, unless set */
	size_t max_bytes; /* 0: LIMIT_BODY_BYTES */
};
/* opts may be NULL. Depth and size are limited; errors carry line and column. The doc is not frozen. */
int doc_parse_json(struct doc **ret, struct str text, const struct doc_json_opts *opts,
		   struct err *e) MUST_CHECK;
enum { DOC_PRINT_COMPACT = 0, DOC_PRINT_INDENT = 1 /* four spaces */, DOC_PRINT_SORTED = 2 };
void doc_print_json(struct buf *out, const struct node *n, int flags);
/* As Go's %v prints a map[string]interface{} and what is in it: map[a:1 b:[x y] c:<nil>]. */
void doc_print_go(struct buf *out, const struct node *n);

/* --- YAML, as sigs.k8s.io/yaml reads it (YAML 1.1) --- */
/* One doc per document of the stream; empty documents are left out. ret_docs: array of n, owned
 * by the caller (free each with doc_unref, then the array). */
int doc_parse_yaml(struct doc ***ret_docs, size_t *ret_n, struct str text,
		   const struct doc_json_opts *opts, struct err *e) MUST_CHECK;
/* Each key that a mapping of text, which doc_parse_yaml has read, has already, and the line of its value. */
void doc_yaml_twice(struct str text, void (*tell)(void *arg, size_t line, const char *key), void *arg);
void doc_print_yaml(struct buf *out, const struct node *n);

/* --- patches; `d` is changed in place and must not be frozen; on failure it is half changed: drop it --- */
int doc_patch_json(struct doc *d, const struct node *patch, struct err *e) MUST_CHECK; /* RFC 6902 */
void doc_patch_merge(struct doc *d, const struct node *patch); /* RFC 7386 */
/* (strategic merge patch needs the schema: schema/schema.h) */

/* --- selectors --- */
struct selector; /* labels.Selector: "a=b,c!=d,e in (f,g),h,!i" */
int selector_parse(struct selector **ret, struct str text, struct err *e) MUST_CHECK;
/* metav1.LabelSelector {matchLabels, matchExpressions}; an empty object matches all, NULL nothing. */
int selector_from_node(struct selector **ret, const struct node *n, struct err *e) MUST_CHECK;
/* {"a":"b"} as a ReplicationController has it; absent or empty matches nothing. */
struct selector *selector_from_map(const struct node *labels);
bool selector_match(const struct selector *s, const struct node *labels); /* labels: object or NULL */
/* The same for labels that stand elsewhere: get gives a key's value, NULL when there is none. */
bool selector_match_by(const struct selector *s, const char *(*get)(const void *labels, const char *key),
		       const void *labels);
bool selector_is_everything(const struct selector *s);
void selector_print(const struct selector *s, struct buf *out); /* canonical text */
struct selector *selector_free(struct selector *s);

/* fields.Selector: "metadata.name=a,status.phase!=Running". Terms are ANDed. */
struct fieldsel_term {
	char *path; /* "metadata.name" */
	bool negate;
	char *value;
};
struct fieldsel {
	struct fieldsel_term *terms;
	size_t n;
};
int fieldsel_parse(struct fieldsel **ret, struct str text, struct err *e) MUST_CHECK;
struct fieldsel *fieldsel_free(struct fieldsel *s);
/* The value at a dotted path ("spec.nodeName") as text in a scratch buffer; "" when absent. */
struct str node_dotted(const struct node *n, const char *path, struct buf *scratch);

/* --- quantities: resource.Quantity --- */
/* value = mant * 10^-9, exact in 128 bits ("9E" and "1n" both fit). */
struct quantity {
	__int128 nano;
	char format; /* 'd' decimal SI, 'b' binary SI, 'e' decimal exponent */
};
bool quantity_parse(struct quantity *q, struct str s);
bool quantity_from_node(struct quantity *q, const struct node *n); /* string or number */
void quantity_print(const struct quantity *q, struct buf *out); /* Kubernetes' canonical form */
int64_t quantity_value(const struct quantity *q); /* rounded up, saturating */
int64_t quantity_milli(const struct quantity *q); /* rounded up, saturating */
int quantity_cmp(const struct quantity *a, const struct quantity *b);
void quantity_add(struct quantity *a, const struct quantity *b); /* keeps a's format unless a is 0 */
void quantity_sub(struct quantity *a, const struct quantity *b);
void quantity_round_up(struct quantity *q, int64_t nano); /* to a multiple of nano, saturating */

#endif
