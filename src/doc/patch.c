/*
 * JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386).
 *
 * JSON Patch follows the library that kube-apiserver uses where it goes beyond
 * the RFC: negative indices count from the end ("-1" removes the last element,
 * and adds behind it), testing for null passes where nothing is. The Status is
 * the one apiserver makes: 400 for a patch that does not decode, 413 for too
 * many operations, and for one that does not apply 422 with the text "the server
 * rejected our request due to an error in our request"; the reason in detail
 * goes to the debug log only, as nothing in that Status has a place for it.
 *
 * Bounded: the number of operations, the bytes that "copy" makes, the depth of
 * the result, and the steps of all walks along lists together.
 */
#include "doc/internal.h"

#include "base/limits.h"
#include "base/log.h"

#define PATCH_STEPS_MAX 10000000u

struct patch_run {
	struct doc *d;
	struct err *e; /* why the operation does not apply */
	size_t steps, copied;
	struct buf scratch;
};

/* A place named by a pointer: a member or element of parent, or the root. */
struct patch_place {
	struct node *parent; /* NULL: the whole document */
	struct node *node;   /* what is there; NULL: nothing */
	struct str key;	     /* unescaped; in parent, an object */
	size_t index;	     /* in parent, an array */
	unsigned depth;	     /* of the place: containers around it */
};

static int patch_missing(struct patch_run *p, struct str path)
{
	return err_set(p->e, ERR_INVALID, "doc is missing path: \"%" STR_FMT "\": missing value",
		       STR_ARG(path));
}

static int patch_walked(struct patch_run *p, const struct node *container)
{
	p->steps += node_count(container);
	if (p->steps > PATCH_STEPS_MAX)
		return err_set(p->e, ERR_INVALID, "the operations walk over too many values");
	return 0;
}

/* ~1 is a slash, ~0 a tilde. Without a tilde the token is its own text. */
static int patch_unescape(struct patch_run *p, struct str token, struct str *ret)
{
	if (str_find(token, '~') < 0) {
		*ret = token;
		return 0;
	}
	buf_clear(&p->scratch);
	for (size_t i = 0; i < token.n; i++) {
		char c = token.p[i];

		if (c == '~') {
			char next = ++i < token.n ? token.p[i] : 0;

			if (next != '0' && next != '1')
				return err_set(p->e, ERR_INVALID,
					       "invalid escape in JSON pointer token '%" STR_FMT "'",
					       STR_ARG(token));
			c = next == '0' ? '~' : '/';
		}
		buf_addch(&p->scratch, c);
	}
	*ret = str_n(arena_memdupz(doc_arena(p->d), p->scratch.s, p->scratch.len), p->scratch.len);
	return 0;
}

/* An index of an array with len places; "-" is the one behind the last element. */
static int patch_index(struct patch_run *p, struct str token, size_t len, size_t *ret)
{
	struct str digits = token;
	bool negative;
	int64_t i = 0;

	if (str_eqc(token, "-")) {
		*ret = len;
		return 0;
	}
	negative = token.n > 1 && token.p[0] == '-';
	if (negative)
		digits = str_sub(token, 1, token.n);
	if (digits.n == 0 || digits.n > 9 || (digits.n > 1 && digits.p[0] == '0'))
		goto bad;
	for (size_t k = 0; k < digits.n; k++) {
		if (digits.p[k] < '0' || digits.p[k] > '9')
			goto bad;
		i = i * 10 + (digits.p[k] - '0');
	}
	if (negative)
		i = (int64_t)len - i;
	if (i < 0)
		return err_set(p->e, ERR_INVALID,
			       "Unable to access invalid index: %" STR_FMT ": invalid index referenced",
			       STR_ARG(token));
	*ret = (size_t)i;
	return 0;
bad:
	return err_set(p->e, ERR_INVALID, "value '%" STR_FMT "' is no array index", STR_ARG(token));
}

/* Follows one token down from at->node. adding: indices count the place behind the last too. */
static int patch_step(struct patch_run *p, struct patch_place *at, struct str token, bool adding,
		      struct str path)
{
	struct node *parent = at->node;

	if (!node_is(parent, DOC_OBJECT) && !node_is(parent, DOC_ARRAY))
		return patch_missing(p, path);
	if (patch_walked(p, parent) < 0 || patch_unescape(p, token, &at->key) < 0)
		return -p->e->code;
	at->parent = parent;
	at->depth++;
	if (parent->type == DOC_OBJECT) {
		at->node = node_getk(parent, at->key);
		return 0;
	}
	if (patch_index(p, at->key, parent->len + (adding && str_starts(token, str_of("-")) && token.n > 1),
			&at->index) < 0)
		return -p->e->code;
	at->node = node_at(parent, at->index);
	return 0;
}

static int patch_find(struct patch_run *p, struct str path, bool adding, struct patch_place *at)
{
	struct str rest = path;

	*at = (struct patch_place){.node = doc_root(p->d)};
	if (path.n == 0)
		return 0;
	if (path.p[0] != '/')
		return patch_missing(p, path);
	rest = str_sub(path, 1, path.n);
	while (rest.p) {
		struct str token = str_cut(&rest, '/');

		if (patch_step(p, at, token, adding && !rest.p, path) < 0)
			return -p->e->code;
	}
	return 0;
}

/* Puts value at the place; add: array elements move up, else they are replaced. */
static int patch_put(struct patch_run *p, struct patch_place *at, struct node *value, bool add)
{
	if (at->depth + node_depth(value) > LIMIT_JSON_DEPTH)
		return err_set(p->e, ERR_INVALID, "the result would be nested too deeply");
	if (!at->parent) {
		doc_set_root(p->d, value);
	} else if (at->parent->type == DOC_OBJECT) {
		node_setk(p->d, at->parent, at->key, value);
	} else if (add) {
		if (at->index > at->parent->len)
			return err_set(p->e, ERR_INVALID,
				       "Unable to access invalid index: %zu: invalid index referenced",
				       at->index);
		node_insert(at->parent, at->index, value);
	} else {
		node_take_value(at->node, value);
	}
	return 0;
}

static void patch_cut(struct patch_run *p, struct patch_place *at)
{
	if (at->parent)
		node_remove_child(at->parent, at->node);
	else
		doc_set_root(p->d, node_new(p->d, DOC_NULL));
}

static int patch_op_add(struct patch_run *p, const struct node *op, struct str path)
{
	struct patch_place at;

	if (patch_find(p, path, true, &at) < 0)
		return -p->e->code;
	return patch_put(p, &at, node_copy(p->d, node_get(op, F_value)), true);
}

static int patch_op_remove(struct patch_run *p, const struct node *op, struct str path)
{
	struct patch_place at;

	if (patch_find(p, path, false, &at) < 0)
		return -p->e->code;
	if (!at.node)
		return patch_missing(p, path);
	patch_cut(p, &at);
	return 0;
}

static int patch_op_replace(struct patch_run *p, const struct node *op, struct str path)
{
	struct patch_place at;

	if (patch_find(p, path, false, &at) < 0)
		return -p->e->code;
	if (!at.node)
		return patch_missing(p, path);
	return patch_put(p, &at, node_copy(p->d, node_get(op, F_value)), false);
}

static int patch_op_test(struct patch_run *p, const struct node *op, struct str path)
{
	const struct node *want = node_get(op, F_value);
	struct patch_place at;

	if (patch_find(p, path, false, &at) < 0)
		return -p->e->code;
	if ((!at.node || at.node->type == DOC_NULL) && node_type(want) == DOC_NULL)
		return 0;
	if (!at.node)
		return patch_missing(p, path);
	if (!node_equal(at.node, want))
		return err_set(p->e, ERR_INVALID, "testing value %" STR_FMT " failed: test failed",
			       STR_ARG(path));
	return 0;
}

static int patch_from(struct patch_run *p, const struct node *op, struct patch_place *at)
{
	struct str from = node_str(node_get(op, F_from));

	if (!from.p)
		return err_set(p->e, ERR_INVALID, "unable to decode from: missing value");
	if (patch_find(p, from, false, at) < 0)
		return -p->e->code;
	return at->node ? 0 : patch_missing(p, from);
}

static int patch_op_copy(struct patch_run *p, const struct node *op, struct str path)
{
	struct patch_place from, at;

	if (patch_from(p, op, &from) < 0)
		return -p->e->code;
	buf_clear(&p->scratch);
	doc_print_json(&p->scratch, from.node, DOC_PRINT_COMPACT);
	p->copied += p->scratch.len;
	if (p->copied > LIMIT_BODY_BYTES)
		return err_set(p->e, ERR_INVALID,
			       "Unable to complete the copy, the accumulated size increase of copy is %zu, "
			       "exceeding the limit %u",
			       p->copied, LIMIT_BODY_BYTES);
	struct node *value = node_copy(p->d, from.node);

	if (patch_find(p, path, true, &at) < 0)
		return -p->e->code;
	return patch_put(p, &at, value, true);
}

static int patch_op_move(struct patch_run *p, const struct node *op, struct str path)
{
	struct patch_place from, at;
	struct str source = node_str(node_get(op, F_from));

	if (patch_from(p, op, &from) < 0)
		return -p->e->code;
	if (str_eq(source, path))
		return 0;
	if (str_starts(path, source) && (source.n == path.n || path.p[source.n] == '/'))
		return err_set(p->e, ERR_INVALID, "'%" STR_FMT "' cannot move into its own child",
			       STR_ARG(source));
	patch_cut(p, &from);
	if (patch_find(p, path, true, &at) < 0)
		return -p->e->code;
	return patch_put(p, &at, from.node, true);
}

static const struct patch_kind {
	const char *name;
	int (*run)(struct patch_run *p, const struct node *op, struct str path);
	bool value; /* the operation needs a member "value" */
} patch_kinds[] = {
	{"add", patch_op_add, true},	     {"remove", patch_op_remove, false},
	{"replace", patch_op_replace, true}, {"move", patch_op_move, false},
	{"copy", patch_op_copy, false},	     {"test", patch_op_test, false},
};

static int patch_run_op(struct patch_run *p, const struct node *op)
{
	const char *name = node_cstr_or(node_get(op, F_op), "unknown");
	struct str path = node_str(node_get(op, F_path));

	for (size_t i = 0; i < ARRAY_SIZE(patch_kinds); i++) {
		const struct patch_kind *k = &patch_kinds[i];

		if (!streq(name, k->name))
			continue;
		if (!path.p)
			return err_set(p->e, ERR_INVALID, "%s operation failed to decode path: missing value",
				       name);
		if (k->value && !node_get(op, F_value))
			return err_set(p->e, ERR_INVALID, "%s operation has no value", name);
		if (k->run(p, op, path) < 0)
			return err_wrap(p->e, "%s operation does not apply", name);
		return 0;
	}
	return err_set(p->e, ERR_INVALID, "Unexpected kind: %s", name);
}

static const char *patch_go_type(const struct node *n)
{
	static const char *const names[] = {"null", "bool", "number", "number", "string", "array", "object"};

	return names[node_type(n)];
}

/* What decoding into []jsonPatchOp refuses. */
static int patch_check(const struct node *patch, struct err *e)
{
	static const enum field strings[] = {F_op, F_path, F_from};

	if (!node_is(patch, DOC_ARRAY))
		return err_set(e, ERR_BAD_REQUEST,
			       "error decoding patch: json: cannot unmarshal %s into Go value of type "
			       "[]handlers.jsonPatchOp",
			       patch_go_type(patch));
	if (patch->len > LIMIT_PATCH_OPS)
		return err_set(e, ERR_TOO_LARGE,
			       "Request entity too large: The allowed maximum operations in a JSON patch is "
			       "%d, got %u",
			       LIMIT_PATCH_OPS, patch->len);
	NODE_FOREACH (op, patch) {
		if (op->type != DOC_OBJECT && op->type != DOC_NULL)
			return err_set(
				e, ERR_BAD_REQUEST,
				"error decoding patch: json: cannot unmarshal %s into Go value of type "
				"handlers.jsonPatchOp",
				patch_go_type(op));
		for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
			const struct node *s = node_get(op, strings[i]);

			if (s && s->type != DOC_STRING && s->type != DOC_NULL)
				return err_set(e, ERR_BAD_REQUEST,
					       "error decoding patch: json: cannot unmarshal %s into Go "
					       "struct field "
					       "jsonPatchOp.%s of type string",
					       patch_go_type(s), doc_field_name(strings[i]));
		}
	}
	return 0;
}

int doc_patch_json(struct doc *d, const struct node *patch, struct err *e)
{
	_cleanup_err_ struct err why = ERR_INIT;
	struct patch_run p = {.d = d, .e = &why, .scratch = BUF_INIT};
	size_t i = 0;
	int r = 0;

	BUG_ON(doc_is_frozen(d));
	if (patch_check(patch, e) < 0)
		return -e->code;
	NODE_FOREACH (op, patch) {
		r = patch_run_op(&p, op);
		if (r < 0)
			break;
		i++;
	}
	buf_release(&p.scratch);
	if (r == 0)
		return 0;
	log_debug("JSON patch does not apply", LI("operation", i), LE(&why));
	return err_set(e, ERR_INVALID, "the server rejected our request due to an error in our request");
}

/* --- RFC 7386 --- */

/* A copy of a patch's value for a place where nothing was: without its nulls. */
static struct node *merge_fresh(struct doc *d, const struct node *patch)
{
	struct node *n;

	if (!node_is(patch, DOC_OBJECT))
		return node_copy(d, patch);
	n = node_new(d, DOC_OBJECT);
	NODE_FOREACH (c, patch) {
		struct node *value;

		if (c->type == DOC_NULL)
			continue;
		value = merge_fresh(d, c);
		node_name(d, value, node_key(c), true);
		node_link(n, value);
	}
	return n;
}

static void merge_object(struct doc *d, struct node *target, const struct node *patch)
{
	struct map *index = NULL;
	size_t removed = 0;

	if (target->len > NODE_INDEX_FROM && patch->len > NODE_INDEX_FROM)
		index = node_index(target);
	NODE_FOREACH (c, patch) {
		struct node *old = index ? map_get(index, node_key(c)) : node_getk(target, node_key(c));

		if (c->type == DOC_NULL) {
			/* Marked only: cutting them out one by one would be quadratic. */
			if (old)
				old->flags |= NODE_MARK;
			removed += old != NULL;
		} else if (old && old->type == DOC_OBJECT && c->type == DOC_OBJECT) {
			merge_object(d, old, c);
		} else if (old) {
			node_take_value(old, merge_fresh(d, c));
		} else {
			struct node *value = merge_fresh(d, c);

			node_name(d, value, node_key(c), true);
			node_link(target, value);
		}
	}
	map_free(index);
	if (removed)
		node_cut_marked(target);
}

void doc_patch_merge(struct doc *d, const struct node *patch)
{
	struct node *root = doc_root(d);

	BUG_ON(doc_is_frozen(d));
	if (node_is(root, DOC_OBJECT) && node_is(patch, DOC_OBJECT))
		merge_object(d, root, patch);
	else
		doc_set_root(d, merge_fresh(d, patch));
}
