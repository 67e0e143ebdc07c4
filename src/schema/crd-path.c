/*
 * JSONPath as client-go's util/jsonpath knows it, for printer columns:
 *
 *	.a.b  ['a']  ['a','b']  [0] [-1] [1:3] [::2]  [*] .*  ..a
 *	[?(@.type=="Ready")]  with == != < <= > >=, or existence
 *
 * `\.` in a name is a dot. A path finds any number of values; what is missing is
 * no error.
 */
#include "schema/crd.h"

#include <stdlib.h>

#include "base/vec.h"

#define PATH_MAX_STEPS 64
#define PATH_MAX_DEPTH 4 /* filters in filters */
#define PATH_MAX_VISITS 100000

enum path_kind { PK_FIELD, PK_SLICE, PK_WILD, PK_DEEP, PK_FILTER, PK_UNION };
enum path_op { PO_EXISTS, PO_EQ, PO_NE, PO_LT, PO_LE, PO_GT, PO_GE };

struct path_step {
	enum path_kind kind;
	char *name; /* PK_FIELD */
	bool has_from, has_to;
	int64_t from, to, by;
	struct jsonpath *left, *right; /* PK_FILTER, PK_UNION: branches joined by left/right */
	enum path_op op;
	struct doc *literal; /* PK_FILTER: instead of right */
};
struct jsonpath {
	VEC(struct path_step) steps;
};

struct path_parse {
	const char *p, *end;
	struct str all;
	unsigned depth;
	struct err *e;
};

static struct jsonpath *path_steps(struct path_parse *x, const char *stop);

struct jsonpath *jsonpath_free(struct jsonpath *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->steps.n; i++) {
		struct path_step *s = &p->steps.v[i];

		free(s->name);
		jsonpath_free(s->left);
		jsonpath_free(s->right);
		doc_unref(s->literal);
	}
	VEC_RELEASE(&p->steps);
	free(p);
	return NULL;
}

static bool path_bad(struct path_parse *x, const char *what)
{
	if (!err_is_set(x->e))
		err_set(x->e, ERR_BAD_REQUEST, "%s in '%" STR_FMT "'", what, STR_ARG(x->all));
	return false;
}

static void path_blank(struct path_parse *x)
{
	while (x->p < x->end && (*x->p == ' ' || *x->p == '\t'))
		x->p++;
}

static bool path_eat(struct path_parse *x, char c)
{
	if (x->p == x->end || *x->p != c)
		return false;
	x->p++;
	return true;
}

/* --- parsing --- */

static bool path_name(struct path_parse *x, struct path_step *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	while (x->p < x->end && !strchr(".[]()=!<> ,'\"", *x->p)) {
		if (*x->p == '\\' && x->p + 1 < x->end)
			x->p++;
		buf_addch(&b, *x->p++);
	}
	if (!b.len)
		return path_bad(x, "a name is missing");
	s->kind = streq(b.s, "*") ? PK_WILD : PK_FIELD;
	s->name = buf_detach(&b, NULL);
	return true;
}

static bool path_quoted(struct path_parse *x, struct buf *b)
{
	char quote = *x->p++;

	while (x->p < x->end && *x->p != quote) {
		if (*x->p == '\\' && x->p + 1 < x->end)
			x->p++;
		buf_addch(b, *x->p++);
	}
	return path_eat(x, quote) || path_bad(x, "unterminated quoted string");
}

static bool path_int(struct path_parse *x, int64_t *ret)
{
	const char *from = x->p;

	path_eat(x, '-');
	while (x->p < x->end && *x->p >= '0' && *x->p <= '9')
		x->p++;
	return x->p > from && x->p - from < 12 && str_to_i64(str_n(from, (size_t)(x->p - from)), ret);
}

/* 1  1:  :2  1:2  ::2 */
static bool path_slice(struct path_parse *x, struct path_step *s)
{
	s->kind = PK_SLICE;
	s->by = 1;
	s->has_from = path_int(x, &s->from);
	if (!path_eat(x, ':')) {
		s->has_to = false;
		s->by = 0; /* one item */
		return s->has_from || path_bad(x, "invalid array index");
	}
	s->has_to = path_int(x, &s->to);
	if (path_eat(x, ':') && !path_int(x, &s->by))
		return path_bad(x, "invalid array index");
	return s->by > 0 || path_bad(x, "the step must be positive");
}

static bool path_operator(struct path_parse *x, enum path_op *op)
{
	static const struct {
		const char *text;
		enum path_op op;
	} ops[] = { { "==", PO_EQ }, { "!=", PO_NE }, { "<=", PO_LE }, { ">=", PO_GE }, { "<", PO_LT }, { ">", PO_GT } };

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		size_t n = strlen(ops[i].text);

		if ((size_t)(x->end - x->p) < n || memcmp(x->p, ops[i].text, n) != 0)
			continue;
		x->p += n;
		*op = ops[i].op;
		return true;
	}
	return false;
}

static bool path_literal(struct path_parse *x, struct path_step *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err ignored = ERR_INIT;

	s->literal = doc_new();
	if (*x->p == '"' || *x->p == '\'') {
		if (!path_quoted(x, &b))
			return false;
		doc_set_root(s->literal, node_new_str(s->literal, buf_str(&b)));
		return true;
	}
	while (x->p < x->end && !strchr(") ", *x->p))
		buf_addch(&b, *x->p++);
	s->literal = doc_unref(s->literal);
	return doc_parse_json(&s->literal, buf_str(&b), NULL, &ignored) == 0 || path_bad(x, "unrecognized value");
}

/* Behind "[?(". */
static bool path_filter(struct path_parse *x, struct path_step *s)
{
	s->kind = PK_FILTER;
	if (++x->depth > PATH_MAX_DEPTH)
		return path_bad(x, "too many filters");
	path_blank(x);
	if (!path_eat(x, '@'))
		return path_bad(x, "a filter must begin with @");
	s->left = path_steps(x, "=!<>) ");
	path_blank(x);
	if (s->left && path_operator(x, &s->op)) {
		path_blank(x);
		if (x->p == x->end)
			return path_bad(x, "unterminated filter");
		if (path_eat(x, '@'))
			s->right = path_steps(x, ") ");
		else if (!path_literal(x, s))
			return false;
		path_blank(x);
	}
	x->depth--;
	return s->left && (path_eat(x, ')') || path_bad(x, "unterminated filter"));
}

static bool path_quoted_names(struct path_parse *x, struct path_step *s)
{
	struct jsonpath *left;
	struct path_step one = { 0 };
	struct buf b = BUF_INIT;

	if (!path_quoted(x, &b)) {
		buf_release(&b);
		return false;
	}
	s->kind = PK_FIELD;
	s->name = buf_detach(&b, NULL);
	path_blank(x);
	if (!path_eat(x, ','))
		return true;
	path_blank(x);
	if (++x->depth > PATH_MAX_STEPS || x->p == x->end || (*x->p != '\'' && *x->p != '"'))
		return path_bad(x, "invalid union");
	left = xcalloc(1, sizeof(*left));
	one.kind = PK_FIELD;
	one.name = take_ptr(&s->name);
	VEC_PUSH(&left->steps, one);
	s->kind = PK_UNION;
	s->left = left;
	s->right = xcalloc(1, sizeof(*s->right));
	one = (struct path_step){ 0 };
	if (!path_quoted_names(x, &one)) {
		VEC_PUSH(&s->right->steps, one);
		return false;
	}
	VEC_PUSH(&s->right->steps, one);
	return true;
}

static bool path_bracket(struct path_parse *x, struct path_step *s)
{
	bool ok;

	path_blank(x);
	if (x->p == x->end)
		return path_bad(x, "unterminated array");
	if (*x->p == '*') {
		x->p++;
		s->kind = PK_WILD;
		ok = true;
	} else if (*x->p == '\'' || *x->p == '"') {
		ok = path_quoted_names(x, s);
	} else if (x->end - x->p > 1 && x->p[0] == '?' && x->p[1] == '(') {
		x->p += 2;
		ok = path_filter(x, s);
	} else {
		ok = path_slice(x, s);
	}
	path_blank(x);
	return ok && (path_eat(x, ']') || path_bad(x, "unterminated array"));
}

/* Steps up to the end, or to one of the characters in stop. */
static struct jsonpath *path_steps(struct path_parse *x, const char *stop)
{
	struct jsonpath *p = xcalloc(1, sizeof(*p));

	while (x->p < x->end && !strchr(stop, *x->p)) {
		struct path_step s = { 0 };
		bool ok;

		if (path_eat(x, '[')) {
			ok = path_bracket(x, &s);
		} else if (path_eat(x, '.')) {
			if (path_eat(x, '.')) {
				struct path_step deep = { .kind = PK_DEEP };

				VEC_PUSH(&p->steps, deep);
			} else if (x->p == x->end && !p->steps.n) {
				return p; /* "." is the object */
			}
			if (x->p < x->end && *x->p == '[')
				continue;
			ok = path_name(x, &s);
		} else {
			ok = path_bad(x, "unexpected text");
		}
		VEC_PUSH(&p->steps, s);
		if (!ok || p->steps.n > PATH_MAX_STEPS) {
			path_bad(x, "too many steps");
			return jsonpath_free(p);
		}
	}
	return p;
}

int jsonpath_parse(struct jsonpath **ret, struct str text, struct err *e)
{
	struct path_parse x = { .p = text.p, .end = text.p + text.n, .all = text, .e = e };

	*ret = path_steps(&x, "");
	return *ret ? 0 : -e->code;
}

/* --- evaluating --- */

struct path_eval {
	bool (*found)(void *arg, const struct node *n);
	void *arg;
	size_t visits;
};

/* False: enough. */
static bool path_walk(struct path_eval *x, const struct jsonpath *p, size_t at, const struct node *n);

static bool path_first(void *arg, const struct node *n)
{
	*(const struct node **)arg = n;
	return false;
}

static bool path_holds(const struct path_step *s, const struct node *n)
{
	const struct node *left = NULL, *right = s->literal ? doc_root(s->literal) : NULL;
	double a, b;
	int c;

	jsonpath_eval(s->left, n, path_first, &left);
	if (s->op == PO_EXISTS)
		return left != NULL;
	if (s->right)
		jsonpath_eval(s->right, n, path_first, &right);
	if (!left || !right)
		return false;
	if (s->op == PO_EQ || s->op == PO_NE)
		return node_equal(left, right) == (s->op == PO_EQ);
	if (node_is(left, DOC_STRING) && node_is(right, DOC_STRING)) {
		c = str_cmp(node_str(left), node_str(right));
	} else {
		a = node_double(left, 0);
		b = node_double(right, 0);
		c = a < b ? -1 : a > b;
	}
	return s->op == PO_LT ? c < 0 : s->op == PO_LE ? c <= 0 : s->op == PO_GT ? c > 0 : c >= 0;
}

static bool path_walk_slice(struct path_eval *x, const struct jsonpath *p, size_t at, const struct node *n)
{
	const struct path_step *s = &p->steps.v[at];
	int64_t len = (int64_t)node_count(n), from = s->has_from ? s->from : 0, to = s->has_to ? s->to : len;

	if (!node_is(n, DOC_ARRAY))
		return true;
	from += from < 0 ? len : 0;
	to += to < 0 ? len : 0;
	if (!s->by)
		to = from + 1;
	for (int64_t i = from < 0 ? len : from; i < to && i < len; i += s->by ? s->by : 1)
		if (!path_walk(x, p, at + 1, node_at(n, (size_t)i)))
			return false;
	return true;
}

static bool path_walk_deep(struct path_eval *x, const struct jsonpath *p, size_t at, const struct node *n)
{
	if (!path_walk(x, p, at + 1, n))
		return false;
	NODE_FOREACH(c, n)
		if (!path_walk_deep(x, p, at, c))
			return false;
	return x->visits > 0;
}

struct path_branch {
	struct path_eval *x;
	const struct jsonpath *p;
	size_t at;
};

static bool path_branch_found(void *arg, const struct node *n)
{
	struct path_branch *b = arg;

	return path_walk(b->x, b->p, b->at, n);
}

static bool path_walk(struct path_eval *x, const struct jsonpath *p, size_t at, const struct node *n)
{
	const struct path_step *s;
	struct path_branch branch = { x, p, at + 1 };

	if (!n)
		return true;
	if (!x->visits || !--x->visits)
		return false;
	if (at == p->steps.n)
		return x->found(x->arg, n);
	s = &p->steps.v[at];
	switch (s->kind) {
	case PK_FIELD:
		return path_walk(x, p, at + 1, node_getc(n, s->name));
	case PK_SLICE:
		return path_walk_slice(x, p, at, n);
	case PK_DEEP:
		return path_walk_deep(x, p, at, n);
	case PK_UNION:
		jsonpath_eval(s->left, n, path_branch_found, &branch);
		jsonpath_eval(s->right, n, path_branch_found, &branch);
		return true;
	case PK_WILD:
	case PK_FILTER:
		NODE_FOREACH(c, n)
			if ((s->kind == PK_WILD || path_holds(s, c)) && !path_walk(x, p, at + 1, c))
				return false;
		return true;
	}
	return true;
}

void jsonpath_eval(const struct jsonpath *p, const struct node *root, bool (*found)(void *arg, const struct node *n),
		   void *arg)
{
	struct path_eval x = { found, arg, PATH_MAX_VISITS };

	path_walk(&x, p, 0, root);
}
