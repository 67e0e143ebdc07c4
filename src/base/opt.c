/*
 * Options. One table of rows is read by the parser, by --help and by the man
 * pages. Four sources are applied, later ones win: the rows' defaults, the
 * configuration file, the environment, argv. A list is replaced as a whole by
 * the first value of a later source and grows by the others of the same one.
 *
 * argv follows getopt_long: --name=value, --name value, -nvalue, -n value, -abc
 * for flags, options and positional arguments in any order, "--" ends options.
 * A bool also takes --name=false and --no-name.
 *
 * To add an option, add a row to the table of its subcommand; to add a type, a
 * case in opt_store, opt_zero and opt_release.
 */
#include "base/opt.h"

#include <errno.h>
#include <stdio.h>

#include "base/vec.h"

#define OPT_HELP_COLUMN_MAX 34
#define OPT_HELP_WIDTH 100

static bool opt_is_real(const struct opt *o)
{
	return o->type != OPT_HEADING && o->type != OPT_END;
}

const struct opt *opt_find(const struct opt *table, struct str name)
{
	for (const struct opt *o = table; o->type != OPT_END; o++) {
		if (opt_is_real(o) && str_eqc(name, o->name))
			return o;
	}
	return NULL;
}

static const struct opt *opt_find_letter(const struct opt *table, char letter)
{
	for (const struct opt *o = table; o->type != OPT_END; o++) {
		if (opt_is_real(o) && o->letter == letter)
			return o;
	}
	return NULL;
}

/* --- the nearest name --- */

#define OPT_NAME_MAX 63

int opt_distance(const char *a, const char *b)
{
	/* Damerau's: insertions, deletions, replacements and swapped neighbours; three rows of it. */
	int rows[3][OPT_NAME_MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > OPT_NAME_MAX || nb > OPT_NAME_MAX)
		return 1000;
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= na; i++) {
		int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = (int)i;
		for (size_t j = 1; j <= nb; j++) {
			int best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
				best = above2[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[na % 3][nb];
}

/* A name counts as near when at most a third of it has to change. */
static int opt_near_limit(const char *got)
{
	size_t n = strlen(got) / 3;

	return n < 1 ? 1 : n > 4 ? 4 : (int)n;
}

const char *opt_nearest(const char *got, const char *const *names, size_t n)
{
	int best = opt_near_limit(got) + 1;
	const char *ret = NULL;

	for (size_t i = 0; i < n; i++) {
		int d = opt_distance(got, names[i]);

		if (d < best) {
			best = d;
			ret = names[i];
		}
	}
	return ret;
}

static const char *opt_nearest_in_table(const struct opt *table, const char *got)
{
	VEC(const char *) names = VEC_INIT;
	const char *ret;

	for (const struct opt *o = table; o->type != OPT_END; o++) {
		if (opt_is_real(o) && !o->hidden)
			VEC_PUSH(&names, o->name);
	}
	ret = opt_nearest(got, names.v, names.n);
	VEC_RELEASE(&names);
	return ret;
}

/* dashes: "--" on the command line, "" in the file. */
static int opt_unknown(const struct opt *table, const char *dashes, const char *name, struct err *e)
{
	const char *near = opt_nearest_in_table(table, name);

	if (near)
		return err_set(e, ERR_BAD_REQUEST, "unknown option '%s%s' (did you mean '%s%s'?)", dashes, name,
			       dashes, near);
	return err_set(e, ERR_BAD_REQUEST, "unknown option '%s%s'", dashes, name);
}

/* --- storing values --- */

static void *opt_member(const struct opt *o, void *into)
{
	return (char *)into + o->offset;
}

static void opt_list_clear(struct opt_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct opt_list){ 0 };
}

static void opt_list_push(struct opt_list *l, struct str value)
{
	l->v = xreallocarray(l->v, l->n + 2, sizeof(*l->v));
	l->v[l->n++] = str_dup(value);
	l->v[l->n] = NULL;
}

static int opt_store_bool(const struct opt *o, bool *to, const char *value, struct err *e)
{
	static const char *const yes[] = { "true", "1", "t", "yes", "on" };
	static const char *const no[] = { "false", "0", "f", "no", "off" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
			*to = strcasecmp(value, yes[i]) == 0;
			return 0;
		}
	}
	return err_set(e, ERR_BAD_REQUEST, "option '%s': '%s' is neither true nor false", o->name, value);
}

static int opt_store_int(const struct opt *o, int64_t *to, const char *value, struct err *e)
{
	struct str s = str_of(value);
	bool fits = true;
	int64_t v = 0;

	if (!str_to_i64(s, &v)) {
		bool digits = s.n > 0;

		for (size_t i = s.n && s.p[0] == '-'; i < s.n; i++)
			digits = digits && s.p[i] >= '0' && s.p[i] <= '9';
		if (!digits || str_eq(s, STR_LIT("-")))
			return err_set(e, ERR_BAD_REQUEST, "option '%s': '%s' is not a number", o->name, value);
		if (o->min >= o->max)
			return err_set(e, ERR_BAD_REQUEST, "option '%s': '%s' is out of range", o->name, value);
		fits = false;
	}
	if (o->min < o->max && (!fits || v < o->min || v > o->max))
		return err_set(e, ERR_BAD_REQUEST, "option '%s': '%s' is out of range (%lld to %lld)", o->name, value,
			       (long long)o->min, (long long)o->max);
	*to = v;
	return 0;
}

/* first: the first value from this source, which replaces a list. */
static int opt_store(const struct opt *o, void *into, const char *value, bool first, struct err *e)
{
	void *to = opt_member(o, into);
	struct str rest = str_of(value);

	switch (o->type) {
	case OPT_BOOL:
		return opt_store_bool(o, to, value, e);
	case OPT_INT:
		return opt_store_int(o, to, value, e);
	case OPT_STRING:
		free(*(char **)to);
		*(char **)to = xstrdup(value);
		return 0;
	case OPT_LIST:
		if (first)
			opt_list_clear(to);
		while (rest.p) {
			struct str part = str_trim(str_cut(&rest, o->whole ? '\0' : ','));

			if (part.n)
				opt_list_push(to, part);
		}
		return 0;
	default:
		BUG_ON(true);
		return 0;
	}
}

int opt_set(const struct opt *table, void *into, const char *name, const char *value, struct err *e)
{
	const struct opt *o = opt_find(table, str_of(name));

	if (!o)
		return opt_unknown(table, "", name, e);
	return opt_store(o, into, value, true, e);
}

static void opt_zero(const struct opt *o, void *into)
{
	void *to = opt_member(o, into);

	switch (o->type) {
	case OPT_BOOL:
		*(bool *)to = false;
		break;
	case OPT_INT:
		*(int64_t *)to = 0;
		break;
	case OPT_STRING:
		*(char **)to = NULL;
		break;
	case OPT_LIST:
		*(struct opt_list *)to = (struct opt_list){ 0 };
		break;
	default:
		break;
	}
}

void opt_release(const struct opt *table, void *into)
{
	for (const struct opt *o = table; o->type != OPT_END; o++) {
		if (o->type == OPT_STRING)
			free(*(char **)opt_member(o, into));
		else if (o->type == OPT_LIST)
			opt_list_clear(opt_member(o, into));
		opt_zero(o, into);
	}
}

/* --- the sources --- */

static void opt_apply_defaults(const struct opt *table, void *into)
{
	for (const struct opt *o = table; o->type != OPT_END; o++)
		opt_zero(o, into);
	for (const struct opt *o = table; o->type != OPT_END; o++) {
		_cleanup_err_ struct err e = ERR_INIT;

		if (opt_is_real(o) && o->dflt)
			BUG_ON(opt_store(o, into, o->dflt, true, &e) < 0);
	}
}

static int opt_apply_file(const struct opt *table, void *into,
			  int (*file)(void *ctx, const char *name, struct opt_list *values), void *ctx,
			  struct err *e)
{
	for (const struct opt *o = table; o->type != OPT_END; o++) {
		struct opt_list values = { 0 };
		int r = 0;

		if (!opt_is_real(o) || file(ctx, o->name, &values) <= 0)
			continue;
		for (size_t i = 0; i < values.n && r == 0; i++)
			r = opt_store(o, into, values.v[i], i == 0, e);
		if (r == 0 && values.n == 0 && o->type == OPT_LIST)
			opt_list_clear(opt_member(o, into));
		opt_list_clear(&values);
		if (r < 0)
			return err_wrap(e, "configuration file");
	}
	return 0;
}

static int opt_apply_env(const struct opt *table, void *into, struct err *e)
{
	for (const struct opt *o = table; o->type != OPT_END; o++) {
		const char *value = opt_is_real(o) && o->env ? getenv(o->env) : NULL;

		if (!str_empty(value) && opt_store(o, into, value, true, e) < 0)
			return err_wrap(e, "environment variable %s", o->env);
	}
	return 0;
}

struct opt_parser {
	const struct opt *table;
	void *into;
	char **argv;
	int argc, at; /* at: the argument that is being read */
	bool *given; /* for each row: argv has had it */
	struct err *e;
};

static int opt_take(struct opt_parser *p, const struct opt *o, const char *value)
{
	size_t row = o - p->table;
	bool first = !p->given[row];

	p->given[row] = true;
	return opt_store(o, p->into, value, first, p->e);
}

/* The value behind an option that has none attached. */
static const char *opt_next_value(struct opt_parser *p)
{
	return p->at + 1 < p->argc ? p->argv[++p->at] : NULL;
}

static int opt_missing(const struct opt *o, struct err *e)
{
	return err_set(e, ERR_BAD_REQUEST, "option '--%s' needs a value%s%s", o->name, o->arg ? ": " : "",
		       o->arg ? o->arg : "");
}

static int opt_parse_long(struct opt_parser *p, const char *text)
{
	struct str rest = str_of(text), name = str_cut(&rest, '=');
	const struct opt *o = opt_find(p->table, name);
	_cleanup_free_ char *word = NULL;
	const char *value = rest.p;

	if (!o && !value && starts_with(text, "no-")) {
		o = opt_find(p->table, str_of(text + 3));
		if (o && o->type == OPT_BOOL)
			return opt_take(p, o, "false");
		o = NULL;
	}
	if (!o) {
		word = str_dup(name);
		return opt_unknown(p->table, "--", word, p->e);
	}
	if (!value)
		value = o->type == OPT_BOOL ? "true" : opt_next_value(p);
	return value ? opt_take(p, o, value) : opt_missing(o, p->e);
}

static int opt_parse_letters(struct opt_parser *p, const char *text)
{
	for (; *text; text++) {
		const struct opt *o = opt_find_letter(p->table, *text);
		const char *value;

		if (!o)
			return err_set(p->e, ERR_BAD_REQUEST, "unknown option '-%c'", *text);
		if (o->type != OPT_BOOL) {
			value = text[1] ? text + 1 + (text[1] == '=') : opt_next_value(p);
			return value ? opt_take(p, o, value) : opt_missing(o, p->e);
		}
		if (opt_take(p, o, "true") < 0)
			return -p->e->code;
	}
	return 0;
}

static int opt_apply_argv(struct opt_parser *p, int *argc)
{
	int kept = 1, r = 0;

	for (p->at = 1; p->at < p->argc && r == 0; p->at++) {
		char *word = p->argv[p->at];

		if (streq(word, "--")) {
			while (++p->at < p->argc)
				p->argv[kept++] = p->argv[p->at];
			break;
		}
		if (word[0] != '-' || !word[1])
			p->argv[kept++] = word;
		else if (word[1] == '-')
			r = opt_parse_long(p, word + 2);
		else
			r = opt_parse_letters(p, word + 1);
	}
	if (r == 0) {
		if (kept < p->argc)
			p->argv[kept] = NULL;
		*argc = kept < p->argc ? kept : p->argc;
	}
	return r;
}

int opt_parse(const struct opt *table, void *into, int *argc, char **argv,
	      int (*file)(void *ctx, const char *name, struct opt_list *values), void *ctx, struct err *e)
{
	struct opt_parser p = { .table = table, .into = into, .argv = argv, .argc = *argc, .e = e };
	size_t rows = 0;
	int r;

	opt_apply_defaults(table, into);
	if (file && opt_apply_file(table, into, file, ctx, e) < 0)
		return -e->code;
	if (opt_apply_env(table, into, e) < 0)
		return -e->code;
	while (table[rows].type != OPT_END)
		rows++;
	p.given = xcalloc(rows, sizeof(*p.given));
	r = opt_apply_argv(&p, argc);
	free(p.given);
	return r;
}

const char *opt_peek(const struct opt *table, int argc, char **argv, const char *name)
{
	const struct opt *o = opt_find(table, str_of(name));
	const char *env = o && o->env ? getenv(o->env) : NULL;
	const char *found = str_empty(env) ? (o ? o->dflt : NULL) : env;

	for (int i = 1; o && i < argc && !streq(argv[i], "--"); i++) {
		const struct opt *other;
		struct str rest, word;

		if (argv[i][0] == '-' && argv[i][1] && argv[i][1] != '-') {
			other = opt_find_letter(table, argv[i][1]);
			if (!other || other->type == OPT_BOOL)
				continue;
			rest = argv[i][2] ? str_of(argv[i] + 2 + (argv[i][2] == '=')) : STR_NONE;
		} else if (starts_with(argv[i], "--")) {
			rest = str_of(argv[i] + 2);
			word = str_cut(&rest, '=');
			other = opt_find(table, word);
			if (!other || other->type == OPT_BOOL)
				continue;
		} else {
			continue;
		}
		if (!rest.p && i + 1 < argc)
			rest = str_of(argv[++i]);
		if (other == o && rest.p)
			found = rest.p;
	}
	return found;
}

/* --- help --- */

static void opt_help_left(const struct opt *o, struct buf *b)
{
	if (o->letter)
		buf_addf(b, "  -%c, --%s", o->letter, o->name);
	else
		buf_addf(b, "      --%s", o->name);
	if (o->type != OPT_BOOL)
		buf_addf(b, " %s", o->arg ? o->arg : o->type == OPT_INT ? "N" : "VALUE");
}

static void opt_help_right(const struct opt *o, struct buf *b)
{
	buf_adds(b, o->help ? o->help : "");
	if (!str_empty(o->dflt) && !(o->type == OPT_BOOL && streq(o->dflt, "false")))
		buf_addf(b, " (default: %s)", o->dflt);
	if (o->env)
		buf_addf(b, " [$%s]", o->env);
}

/* Words of text, in lines from column `indent` on; the cursor is there already. */
static void opt_help_wrap(struct buf *out, struct str text, size_t indent)
{
	size_t at = indent;

	while (text.p) {
		struct str word = str_cut(&text, ' ');

		if (!word.n)
			continue;
		if (at > indent && at + 1 + word.n > OPT_HELP_WIDTH) {
			buf_addf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			buf_addch(out, ' ');
			at++;
		}
		buf_addstr(out, word);
		at += word.n;
	}
	buf_addch(out, '\n');
}

static size_t opt_help_column(const struct opt *table)
{
	_cleanup_buf_ struct buf left = BUF_INIT;
	size_t column = 0;

	for (const struct opt *o = table; o->type != OPT_END; o++) {
		if (!opt_is_real(o) || o->hidden)
			continue;
		buf_clear(&left);
		opt_help_left(o, &left);
		if (left.len + 2 > column && left.len + 2 <= OPT_HELP_COLUMN_MAX)
			column = left.len + 2;
	}
	return column ? column : OPT_HELP_COLUMN_MAX;
}

void opt_print_help(const struct opt *table, struct buf *out)
{
	_cleanup_buf_ struct buf left = BUF_INIT, right = BUF_INIT;
	size_t column = opt_help_column(table);
	bool begun = false;

	for (const struct opt *o = table; o->type != OPT_END; o++) {
		if (o->hidden)
			continue;
		if (o->type == OPT_HEADING) {
			buf_addf(out, "%s%s:\n", begun ? "\n" : "", o->help);
			begun = true;
			continue;
		}
		begun = true;
		buf_clear(&left);
		buf_clear(&right);
		opt_help_left(o, &left);
		opt_help_right(o, &right);
		buf_addstr(out, buf_str(&left));
		if (left.len + 2 > column)
			buf_addf(out, "\n%*s", (int)column, "");
		else
			buf_addf(out, "%*s", (int)(column - left.len), "");
		opt_help_wrap(out, buf_str(&right), column);
	}
}

/* --- man pages --- */

/* Backslashes are roff's escapes; a point or a quote that begins a line would be a request. */
static void opt_mdoc_text(struct buf *out, struct str text)
{
	bool line_start = true;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (line_start && (c == '.' || c == '\''))
			buf_adds(out, "\\&");
		line_start = false;
		if (c == '\\') {
			buf_adds(out, "\\e");
		} else if (c == ' ' && i > 0 && strchr(".!?", text.p[i - 1]) && i + 1 < text.n &&
			   text.p[i + 1] >= 'A' && text.p[i + 1] <= 'Z') {
			buf_addch(out, '\n'); /* each sentence starts its own line */
			line_start = true;
		} else {
			buf_addch(out, c);
		}
	}
}

/* A word of a macro's line: quoted, as it may be empty or the name of another macro. */
static void opt_mdoc_arg(struct buf *out, const char *word)
{
	buf_addch(out, '"');
	for (; *word; word++) {
		if (*word == '"')
			buf_adds(out, "\"\"");
		else if (*word == '\\')
			buf_adds(out, "\\e");
		else
			buf_addch(out, *word);
	}
	buf_addch(out, '"');
}

static void opt_mdoc_item(const struct opt *o, struct buf *out)
{
	const char *arg = o->arg ? o->arg : o->type == OPT_INT ? "N" : "VALUE";

	buf_adds(out, ".It ");
	if (o->letter)
		buf_addf(out, "Fl %c , ", o->letter);
	buf_addf(out, "Fl -%s", o->name);
	if (o->type != OPT_BOOL)
		buf_addf(out, " Ar %s", arg);
	buf_addch(out, '\n');
	if (o->help) {
		opt_mdoc_text(out, str_of(o->help));
		if (!ends_with(o->help, "."))
			buf_addch(out, '.');
		buf_addch(out, '\n');
	}
	if (!str_empty(o->dflt) && !(o->type == OPT_BOOL && streq(o->dflt, "false"))) {
		buf_adds(out, "The default is\n.Ql ");
		opt_mdoc_arg(out, o->dflt);
		buf_adds(out, " .\n");
	}
	if (o->env)
		buf_addf(out, "Environment:\n.Ev %s .\n", o->env);
}

void opt_print_mdoc(const struct opt *table, struct buf *out)
{
	bool open = false;

	for (const struct opt *o = table; o->type != OPT_END; o++) {
		if (o->hidden)
			continue;
		if (o->type == OPT_HEADING) {
			if (open)
				buf_adds(out, ".El\n");
			open = false;
			buf_addf(out, ".Ss %s\n", o->help);
			continue;
		}
		if (!open)
			buf_adds(out, ".Bl -tag -width Ds\n");
		open = true;
		opt_mdoc_item(o, out);
	}
	if (open)
		buf_adds(out, ".El\n");
}
