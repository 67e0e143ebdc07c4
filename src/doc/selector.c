/*
 * Label selectors: the text form ("a=b,c in (d,e),!f", labels.Parse) and the
 * object form (metav1.LabelSelector), with Kubernetes' grammar and error texts.
 *
 *	selector    = [ requirement { "," requirement } ]
 *	requirement = "!" KEY | KEY | KEY op VALUE | KEY ("in"|"notin") "(" [VALUE {"," VALUE}] ")"
 *	op          = "=" | "==" | "!=" | ">" | "<"
 *
 * Parsed in two steps as there (tokens, then a descent over them), because the
 * error texts name the token found. "in" and "notin" are words only where an
 * operator is due; elsewhere they are identifiers.
 */
#include "doc/internal.h"

#include "base/limits.h"
#include "base/vec.h"

enum sel_op { SEL_EXISTS, SEL_ABSENT, SEL_EQ, SEL_EQ2, SEL_NE, SEL_IN, SEL_NOTIN, SEL_GT, SEL_LT };

struct sel_req {
	char *key;
	enum field field; /* of the key */
	enum sel_op op;
	struct {
		char **v;
		size_t n, cap;
	} values;
};

struct selector {
	struct {
		struct sel_req *v;
		size_t n, cap;
	} reqs;
	bool nothing;
};

static void sel_req_release(struct sel_req *r)
{
	free(r->key);
	for (size_t i = 0; i < r->values.n; i++)
		free(r->values.v[i]);
	VEC_RELEASE(&r->values);
}

struct selector *selector_free(struct selector *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->reqs.n; i++)
		sel_req_release(&s->reqs.v[i]);
	VEC_RELEASE(&s->reqs);
	free(s);
	return NULL;
}

static void selector_freep(struct selector **s)
{
	*s = selector_free(*s);
}

static struct sel_req *selector_add(struct selector *s, struct str key, enum sel_op op)
{
	VEC_PUSH(&s->reqs, ((struct sel_req){.key = str_dup(key), .field = doc_field(key), .op = op}));
	return &s->reqs.v[s->reqs.n - 1];
}

static void sel_req_add(struct sel_req *r, struct str value)
{
	VEC_PUSH(&r->values, str_dup(value));
}

/* --- the rules for keys and values (validation.IsQualifiedName, IsValidLabelValue) --- */

static bool sel_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9] */
static bool sel_is_name(struct str s)
{
	if (s.n == 0 || !sel_is_alnum(s.p[0]) || !sel_is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!sel_is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	}
	return true;
}

/* [a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)* */
static bool sel_is_subdomain(struct str s)
{
	while (s.p) {
		struct str label = str_cut(&s, '.');

		if (label.n == 0 || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++) {
			char c = label.p[i];

			if (c != '-' && !(sel_is_alnum(c) && !(c >= 'A' && c <= 'Z')))
				return false;
		}
	}
	return true;
}

#define NAME_RULE                                                                                            \
	"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "          \
	"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation "    \
	"is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

static void sel_rule(struct buf *out, const char *part, const char *rule)
{
	buf_addf(out, "%s%s%s", out->len ? "; " : "", part, rule);
}

/* Appends what is wrong with a key, parts joined by "; ". */
static void sel_check_key(struct str key, struct buf *out)
{
	struct str name = key, prefix = str_cut(&name, '/');

	if (!name.p) {
		name = prefix;
	} else if (str_find(name, '/') >= 0) {
		sel_rule(out, "a qualified name ",
			 NAME_RULE
			 " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
		return;
	} else if (prefix.n == 0) {
		sel_rule(out, "prefix part ", "must be non-empty");
	} else {
		if (prefix.n > 253)
			sel_rule(out, "prefix part ", "must be no more than 253 bytes");
		if (!sel_is_subdomain(prefix))
			sel_rule(out, "prefix part ",
				 "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
				 "characters, '-' or '.', and must start and end with an alphanumeric "
				 "character "
				 "(e.g. 'example.com', regex used for validation is "
				 "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
	}
	if (name.n == 0)
		sel_rule(out, "name part ", "must be non-empty");
	else if (name.n > 63)
		sel_rule(out, "name part ", "must be no more than 63 bytes");
	if (!sel_is_name(name))
		sel_rule(out, "name part ", NAME_RULE);
}

static void sel_check_value(struct str value, struct buf *out)
{
	if (value.n > 63)
		sel_rule(out, "", "must be no more than 63 bytes");
	if (value.n && !sel_is_name(value))
		sel_rule(out, "a valid label ",
			 "must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
			 "and must "
			 "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
			 "'12345', regex used for validation is "
			 "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
}

/* field.Invalid(path, value, detail); several in one requirement are listed in brackets. */
struct sel_errors {
	struct buf text;
	size_t n;
};

static void sel_invalid(struct sel_errors *errs, const char *path, struct str value, const char *detail)
{
	if (errs->n++)
		buf_adds(&errs->text, ", ");
	buf_addf(&errs->text, "%s: Invalid value: ", path);
	buf_add_json_string(&errs->text, value);
	buf_addf(&errs->text, ": %s", detail);
}

static int sel_errors_finish(struct sel_errors *errs, struct err *e)
{
	int r = 0;

	if (errs->n)
		r = err_set(e, ERR_BAD_REQUEST, errs->n > 1 ? "[%s]" : "%s", errs->text.s);
	buf_release(&errs->text);
	return r;
}

static void sel_check_values(const struct sel_req *r, struct sel_errors *errs)
{
	_cleanup_buf_ struct buf path = BUF_INIT, detail = BUF_INIT;
	int64_t number;

	for (size_t i = 0; (r->op == SEL_GT || r->op == SEL_LT) && i < r->values.n; i++) {
		if (str_to_i64(str_of(r->values.v[i]), &number))
			continue;
		buf_clear(&path);
		buf_addf(&path, "values[%zu]", i);
		sel_invalid(errs, path.s, str_of(r->values.v[i]),
			    "for 'Gt', 'Lt' operators, the value must be an integer");
	}
	for (size_t i = 0; i < r->values.n; i++) {
		buf_clear(&detail);
		sel_check_value(str_of(r->values.v[i]), &detail);
		if (!detail.len)
			continue;
		buf_clear(&path);
		buf_addf(&path, "values[%zu][%s]", i, r->key);
		sel_invalid(errs, path.s, str_of(r->values.v[i]), detail.s);
	}
}

/* labels.NewRequirement: what it refuses. */
static int sel_check(const struct sel_req *r, struct err *e)
{
	struct sel_errors errs = {.text = BUF_INIT};
	_cleanup_buf_ struct buf detail = BUF_INIT;

	sel_check_key(str_of(r->key), &detail);
	if (detail.len)
		sel_invalid(&errs, "key", str_of(r->key), detail.s);
	if ((r->op == SEL_IN || r->op == SEL_NOTIN) && r->values.n == 0) {
		errs.n++;
		buf_addf(
			&errs.text,
			"%svalues: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
			errs.n > 1 ? ", " : "");
	}
	if ((r->op == SEL_EXISTS || r->op == SEL_ABSENT) && r->values.n) {
		buf_addf(&errs.text, "%svalues: Invalid value: [", errs.n++ ? ", " : "");
		for (size_t i = 0; i < r->values.n; i++) {
			buf_adds(&errs.text, i ? "," : "");
			buf_add_json_string(&errs.text, str_of(r->values.v[i]));
		}
		buf_adds(&errs.text, "]: values set must be empty for exists and does not exist");
	}
	sel_check_values(r, &errs);
	return sel_errors_finish(&errs, e);
}

/* --- text --- */

enum sel_tok {
	TOK_END,
	TOK_ID,
	TOK_IN,
	TOK_NOTIN,
	TOK_NOT,
	TOK_EQ,
	TOK_EQ2,
	TOK_NE,
	TOK_GT,
	TOK_LT,
	TOK_OPEN,
	TOK_CLOSE,
	TOK_COMMA
};

struct sel_parser {
	struct str rest;
	enum sel_tok tok; /* the next one, already read */
	struct str lit;
	struct selector *s;
	struct err *e;
};

static bool sel_is_special(char c)
{
	return c && strchr("=!(),><", c);
}

static bool sel_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum sel_tok sel_special(struct str *rest, size_t *len)
{
	char c = rest->p[0], next = rest->n > 1 ? rest->p[1] : 0;

	*len = 1;
	if ((c == '=' || c == '!') && next == '=') {
		*len = 2;
		return c == '=' ? TOK_EQ2 : TOK_NE;
	}
	switch (c) {
	case '=':
		return TOK_EQ;
	case '!':
		return TOK_NOT;
	case '>':
		return TOK_GT;
	case '<':
		return TOK_LT;
	case '(':
		return TOK_OPEN;
	case ')':
		return TOK_CLOSE;
	default:
		return TOK_COMMA;
	}
}

static void sel_next(struct sel_parser *p)
{
	size_t len = 0;

	while (p->rest.n && sel_is_blank(*p->rest.p))
		p->rest = str_sub(p->rest, 1, p->rest.n);
	if (p->rest.n == 0 || *p->rest.p == '\0') {
		p->tok = TOK_END;
		p->rest.n = 0;
		p->lit = str_of("");
		return;
	}
	if (sel_is_special(*p->rest.p)) {
		p->tok = sel_special(&p->rest, &len);
		p->lit = str_sub(p->rest, 0, len);
	} else {
		while (len < p->rest.n && p->rest.p[len] && !sel_is_special(p->rest.p[len]) &&
		       !sel_is_blank(p->rest.p[len]))
			len++;
		p->lit = str_sub(p->rest, 0, len);
		p->tok = str_eqc(p->lit, "in") ? TOK_IN : str_eqc(p->lit, "notin") ? TOK_NOTIN : TOK_ID;
	}
	p->rest = str_sub(p->rest, len, p->rest.n);
}

/* The next token where "in" and "notin" are mere words. */
static enum sel_tok sel_word(const struct sel_parser *p)
{
	return p->tok == TOK_IN || p->tok == TOK_NOTIN ? TOK_ID : p->tok;
}

static int sel_found(struct sel_parser *p, const char *expected)
{
	return err_set(p->e, ERR_BAD_REQUEST, "found '%" STR_FMT "'%s", STR_ARG(p->lit), expected);
}

static int sel_cmp_string(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Values are a set: in order, each once. */
static void sel_req_sort(struct sel_req *r)
{
	size_t n = 0;

	qsort(r->values.v, r->values.n, sizeof(*r->values.v), sel_cmp_string);
	for (size_t i = 0; i < r->values.n; i++) {
		if (n && streq(r->values.v[n - 1], r->values.v[i]))
			free(r->values.v[i]);
		else
			r->values.v[n++] = r->values.v[i];
	}
	r->values.n = n;
}

static int sel_parse_list(struct sel_parser *p, struct sel_req *r)
{
	for (;;) {
		enum sel_tok tok = sel_word(p);

		if (tok == TOK_ID) {
			sel_req_add(r, p->lit);
			sel_next(p);
			if (sel_word(p) == TOK_CLOSE)
				return 0;
			if (sel_word(p) != TOK_COMMA)
				return sel_found(p, ", expected: ',' or ')'");
			continue;
		}
		if (tok != TOK_COMMA)
			return sel_found(p, ", expected: ',', or identifier");
		/* An empty value stands before a first comma, between two and behind the last. */
		if (r->values.n == 0)
			sel_req_add(r, str_of(""));
		sel_next(p);
		if (sel_word(p) == TOK_CLOSE || sel_word(p) == TOK_COMMA)
			sel_req_add(r, str_of(""));
		if (sel_word(p) == TOK_CLOSE)
			return 0;
		if (sel_word(p) == TOK_COMMA)
			sel_next(p);
	}
}

static int sel_parse_set(struct sel_parser *p, struct sel_req *r)
{
	if (sel_word(p) != TOK_OPEN)
		return sel_found(p, " expected: '('");
	sel_next(p);
	switch (sel_word(p)) {
	case TOK_ID:
	case TOK_COMMA:
		if (sel_parse_list(p, r) < 0)
			return -p->e->code;
		break;
	case TOK_CLOSE:
		sel_req_add(r, str_of(""));
		break;
	default:
		return sel_found(p, ", expected: ',', ')' or identifier");
	}
	sel_next(p);
	sel_req_sort(r);
	return 0;
}

static int sel_parse_operator(struct sel_parser *p, enum sel_op *op)
{
	static const struct {
		enum sel_tok tok;
		enum sel_op op;
	} ops[] = {{TOK_IN, SEL_IN}, {TOK_NOTIN, SEL_NOTIN}, {TOK_EQ, SEL_EQ}, {TOK_EQ2, SEL_EQ2},
		   {TOK_NE, SEL_NE}, {TOK_GT, SEL_GT},	     {TOK_LT, SEL_LT}};

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (p->tok == ops[i].tok) {
			*op = ops[i].op;
			sel_next(p);
			return 0;
		}
	}
	return sel_found(p, ", expected: in, notin, =, ==, !=, gt, lt");
}

static int sel_parse_value(struct sel_parser *p, struct sel_req *r)
{
	if (r->op == SEL_IN || r->op == SEL_NOTIN)
		return sel_parse_set(p, r);
	if (sel_word(p) == TOK_END || sel_word(p) == TOK_COMMA) {
		sel_req_add(r, str_of(""));
		return 0;
	}
	if (sel_word(p) != TOK_ID)
		return sel_found(p, ", expected: identifier");
	sel_req_add(r, p->lit);
	sel_next(p);
	return 0;
}

static int sel_parse_requirement(struct sel_parser *p)
{
	_cleanup_buf_ struct buf detail = BUF_INIT;
	struct sel_errors errs = {.text = BUF_INIT};
	bool negated = p->tok == TOK_NOT;
	struct sel_req *r;

	if (negated)
		sel_next(p);
	if (sel_word(p) != TOK_ID)
		return sel_found(p, ", expected: identifier");
	sel_check_key(p->lit, &detail);
	if (detail.len) {
		sel_invalid(&errs, "<nil>", p->lit, detail.s);
		return sel_errors_finish(&errs, p->e);
	}
	r = selector_add(p->s, p->lit, negated ? SEL_ABSENT : SEL_EXISTS);
	sel_next(p);
	if (negated || p->tok == TOK_END || p->tok == TOK_COMMA)
		return 0;
	if (sel_parse_operator(p, &r->op) < 0 || sel_parse_value(p, r) < 0)
		return -p->e->code;
	return sel_check(r, p->e);
}

static int sel_parse_all(struct sel_parser *p)
{
	for (;;) {
		if (sel_word(p) == TOK_END)
			return 0;
		if (sel_word(p) != TOK_ID && p->tok != TOK_NOT)
			return sel_found(p, ", expected: !, identifier, or 'end of string'");
		if (sel_parse_requirement(p) < 0)
			return err_wrap(p->e, "unable to parse requirement");
		if (p->tok == TOK_END)
			return 0;
		if (p->tok != TOK_COMMA)
			return sel_found(p, ", expected: ',' or 'end of string'");
		sel_next(p);
		if (sel_word(p) != TOK_ID && p->tok != TOK_NOT)
			return sel_found(p, ", expected: identifier after ','");
	}
}

static int sel_cmp_req(const void *a, const void *b)
{
	const struct sel_req *x = a, *y = b;

	return strcmp(x->key, y->key);
}

/* By key, as Kubernetes has them; a merge sort keeps the order of equal keys. */
static void selector_sort(struct selector *s)
{
	if (s->reqs.n > 1)
		qsort(s->reqs.v, s->reqs.n, sizeof(*s->reqs.v), sel_cmp_req);
}

int selector_parse(struct selector **ret, struct str text, struct err *e)
{
	_cleanup_(selector_freep) struct selector *s = xcalloc(1, sizeof(*s));
	struct sel_parser p = {.rest = text, .s = s, .e = e};

	if (text.n > LIMIT_SELECTOR_BYTES)
		return err_set(e, ERR_BAD_REQUEST, "the label selector is longer than %u bytes",
			       LIMIT_SELECTOR_BYTES);
	sel_next(&p);
	if (sel_parse_all(&p) < 0)
		return -e->code;
	selector_sort(s);
	*ret = take_ptr(&s);
	return 0;
}

/* --- objects --- */

static int sel_add_expression(struct selector *s, const struct node *x, struct err *e)
{
	static const struct {
		const char *name;
		enum sel_op op;
	} ops[] = {
		{"In", SEL_IN}, {"NotIn", SEL_NOTIN}, {"Exists", SEL_EXISTS}, {"DoesNotExist", SEL_ABSENT}};
	const char *name = node_gets(x, F_operator);
	struct sel_req *r = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (streq(name, ops[i].name))
			r = selector_add(s, str_of(node_gets(x, F_key)), ops[i].op);
	}
	if (!r)
		return err_set(e, ERR_BAD_REQUEST, "\"%s\" is not a valid label selector operator", name);
	NODE_FOREACH (v, node_get(x, F_values))
		sel_req_add(r, str_of(node_cstr_or(v, "")));
	return sel_check(r, e);
}

int selector_from_node(struct selector **ret, const struct node *n, struct err *e)
{
	_cleanup_(selector_freep) struct selector *s = xcalloc(1, sizeof(*s));

	s->nothing = !node_is(n, DOC_OBJECT);
	NODE_FOREACH (c, node_get(n, F_matchLabels)) {
		struct sel_req *r = selector_add(s, node_key(c), SEL_EQ);

		sel_req_add(r, str_of(node_cstr_or(c, "")));
		if (sel_check(r, e) < 0)
			return -e->code;
	}
	NODE_FOREACH (c, node_get(n, F_matchExpressions)) {
		if (sel_add_expression(s, c, e) < 0)
			return -e->code;
	}
	selector_sort(s);
	*ret = take_ptr(&s);
	return 0;
}

struct selector *selector_from_map(const struct node *labels)
{
	struct selector *s = xcalloc(1, sizeof(*s));

	s->nothing = node_count(labels) == 0;
	NODE_FOREACH (c, labels) {
		if (c->key)
			sel_req_add(selector_add(s, node_key(c), SEL_EQ), str_of(node_cstr_or(c, "")));
	}
	selector_sort(s);
	return s;
}

/* --- use --- */

static bool sel_has_value(const struct sel_req *r, struct str value)
{
	for (size_t i = 0; i < r->values.n; i++) {
		if (str_eqc(value, r->values.v[i]))
			return true;
	}
	return false;
}

static bool sel_req_match(const struct sel_req *r, struct str have_value)
{
	bool there = have_value.p != NULL;
	int64_t have, want;

	switch (r->op) {
	case SEL_EXISTS:
		return there;
	case SEL_ABSENT:
		return !there;
	case SEL_EQ:
	case SEL_EQ2:
	case SEL_IN:
		return there && sel_has_value(r, have_value);
	case SEL_NE:
	case SEL_NOTIN:
		return !there || !sel_has_value(r, have_value);
	default:
		if (!there || r->values.n != 1 || !str_to_i64(have_value, &have) ||
		    !str_to_i64(str_of(r->values.v[0]), &want))
			return false;
		return r->op == SEL_GT ? have > want : have < want;
	}
}

/* The label's value; absent: p NULL. A label that is no string (nothing valid has one) is there, and empty. */
static struct str sel_label(const struct sel_req *r, const struct node *labels)
{
	const struct node *n = r->field ? node_get(labels, r->field) : node_getc(labels, r->key);

	return !n ? STR_NONE : node_is(n, DOC_STRING) ? node_str(n) : str_of("");
}

bool selector_match(const struct selector *s, const struct node *labels)
{
	if (s->nothing)
		return false;
	for (size_t i = 0; i < s->reqs.n; i++) {
		if (!sel_req_match(&s->reqs.v[i], sel_label(&s->reqs.v[i], labels)))
			return false;
	}
	return true;
}

bool selector_match_by(const struct selector *s, const char *(*get)(const void *labels, const char *key),
		       const void *labels)
{
	if (s->nothing)
		return false;
	for (size_t i = 0; i < s->reqs.n; i++) {
		const char *value = get(labels, s->reqs.v[i].key);

		if (!sel_req_match(&s->reqs.v[i], value ? str_of(value) : STR_NONE))
			return false;
	}
	return true;
}

bool selector_is_everything(const struct selector *s)
{
	return !s->nothing && s->reqs.n == 0;
}

static void sel_req_print(const struct sel_req *r, struct buf *out)
{
	static const char *const ops[] = {
		[SEL_EQ] = "=",		  [SEL_EQ2] = "==", [SEL_NE] = "!=", [SEL_IN] = " in (",
		[SEL_NOTIN] = " notin (", [SEL_GT] = ">",   [SEL_LT] = "<"};
	_cleanup_free_ char **sorted = NULL;

	buf_addf(out, "%s%s", r->op == SEL_ABSENT ? "!" : "", r->key);
	if (r->op == SEL_EXISTS || r->op == SEL_ABSENT)
		return;
	buf_adds(out, ops[r->op]);
	sorted = xmemdup(r->values.v, r->values.n * sizeof(*sorted));
	if (r->values.n > 1)
		qsort(sorted, r->values.n, sizeof(*sorted), sel_cmp_string);
	for (size_t i = 0; i < r->values.n; i++)
		buf_addf(out, "%s%s", i ? "," : "", sorted[i]);
	if (r->op == SEL_IN || r->op == SEL_NOTIN)
		buf_addch(out, ')');
}

void selector_print(const struct selector *s, struct buf *out)
{
	for (size_t i = 0; i < s->reqs.n; i++) {
		if (i)
			buf_addch(out, ',');
		sel_req_print(&s->reqs.v[i], out);
	}
}
