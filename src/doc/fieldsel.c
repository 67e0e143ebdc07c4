/*
 * Field selectors ("metadata.name=a,status.phase!=Running"), as fields.Parse has
 * them: terms joined by commas, all must hold; in values a backslash stands
 * before a comma, an equals sign and itself. Which fields may be selected is the
 * schema's business.
 */
#include "doc/internal.h"

#include <stdio.h>

#include "base/limits.h"

struct fieldsel *fieldsel_free(struct fieldsel *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++) {
		free(s->terms[i].path);
		free(s->terms[i].value);
	}
	free(s->terms);
	free(s);
	return NULL;
}

static void fieldsel_freep(struct fieldsel **s)
{
	*s = fieldsel_free(*s);
}

/* Cuts the text up to the next comma that has no backslash before it. */
static struct str fieldsel_cut(struct str *rest)
{
	struct str term;
	size_t i;

	for (i = 0; i < rest->n && rest->p[i] != ','; i++) {
		if (rest->p[i] == '\\' && i + 1 < rest->n)
			i++;
	}
	term = str_sub(*rest, 0, i);
	*rest = i < rest->n ? str_sub(*rest, i + 1, rest->n) : STR_NONE;
	return term;
}

static int fieldsel_unescape(struct str s, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == ',' || c == '=')
			return err_set(e, ERR_BAD_REQUEST,
				       "invalid field selector: unescaped character in value: %d", c);
		if (c != '\\') {
			buf_addch(out, c);
			continue;
		}
		if (++i == s.n)
			return err_set(e, ERR_BAD_REQUEST,
				       "invalid field selector: invalid escape sequence: \\");
		c = s.p[i];
		if (c != '\\' && c != ',' && c != '=')
			return err_set(e, ERR_BAD_REQUEST,
				       "invalid field selector: invalid escape sequence: \\%c", c);
		buf_addch(out, c);
	}
	return 0;
}

static int fieldsel_add(struct fieldsel *s, struct str text, struct str term, struct err *e)
{
	_cleanup_buf_ struct buf value = BUF_INIT;
	size_t i = 0, len = 1;
	bool negate;

	while (i < term.n && term.p[i] != '=' &&
	       !(term.p[i] == '!' && i + 1 < term.n && term.p[i + 1] == '='))
		i++;
	if (i == term.n)
		return err_set(e, ERR_BAD_REQUEST,
			       "invalid selector: '%" STR_FMT "'; can't understand '%" STR_FMT "'",
			       STR_ARG(text), STR_ARG(term));
	negate = term.p[i] == '!';
	if (negate || (i + 1 < term.n && term.p[i + 1] == '='))
		len = 2;
	if (fieldsel_unescape(str_sub(term, i + len, term.n), &value, e) < 0)
		return -e->code;
	s->terms = xreallocarray(s->terms, s->n + 1, sizeof(*s->terms));
	s->terms[s->n++] = (struct fieldsel_term){
		.path = str_dup(str_sub(term, 0, i)),
		.negate = negate,
		.value = buf_detach(&value, NULL),
	};
	return 0;
}

int fieldsel_parse(struct fieldsel **ret, struct str text, struct err *e)
{
	_cleanup_(fieldsel_freep) struct fieldsel *s = xcalloc(1, sizeof(*s));
	struct str rest = text;

	if (text.n > LIMIT_SELECTOR_BYTES)
		return err_set(e, ERR_BAD_REQUEST, "the field selector is longer than %u bytes",
			       LIMIT_SELECTOR_BYTES);
	while (rest.p) {
		struct str term = fieldsel_cut(&rest);

		if (term.n && fieldsel_add(s, text, term, e) < 0)
			return -e->code;
	}
	*ret = take_ptr(&s);
	return 0;
}

struct str node_dotted(const struct node *n, const char *path, struct buf *scratch)
{
	struct str rest = str_of(path);

	while (n && rest.p)
		n = node_getk(n, str_cut(&rest, '.'));
	switch (node_type(n)) {
	case DOC_STRING:
		return node_str(n);
	case DOC_FLOAT:
		return str_n(n->u.s, n->len);
	case DOC_INT:
		buf_clear(scratch);
		buf_addf(scratch, "%lld", (long long)n->u.i);
		return buf_str(scratch);
	case DOC_BOOL:
		return str_of(n->u.b ? "true" : "false");
	default:
		return str_of("");
	}
}
