/*
 * Scenario files: lines, templates, rows of parameters, ${variables}.
 */
#include <ctype.h>
#include <stdio.h>

#include "base/path.h"
#include "t/sim/run.h"

#define SCRIPT_MAX (4 << 20)

/* --- variables --- */

void vars_set(struct vars *v, struct str name, const char *value)
{
	for (size_t i = 0; i < v->of.n; i++)
		if (str_eqc(name, v->of.v[i].name)) {
			char *copy = xstrdup(value);

			free(v->of.v[i].value);
			v->of.v[i].value = copy;
			return;
		}
	VEC_PUSH(&v->of, ((struct var){ str_dup(name), xstrdup(value) }));
}

const char *vars_get(const struct vars *v, const char *name)
{
	for (; v; v = v->outer)
		for (size_t i = 0; i < v->of.n; i++)
			if (streq(v->of.v[i].name, name))
				return v->of.v[i].value;
	return NULL;
}

void vars_release(struct vars *v)
{
	for (size_t i = 0; i < v->of.n; i++) {
		free(v->of.v[i].name);
		free(v->of.v[i].value);
	}
	VEC_RELEASE(&v->of);
}

/* A number, or a variable that is one. */
static bool term(struct str t, const struct vars *vars, int64_t *ret)
{
	_cleanup_free_ char *name = str_dup(str_trim(t));
	const char *value;

	if (str_to_i64(str_of(name), ret))
		return true;
	value = vars_get(vars, name);
	return value && str_to_i64(str_of(value), ret);
}

/* a+b-c*2, from left to right. */
static bool compute(struct str text, const struct vars *vars, int64_t *ret)
{
	char op = '+';
	int64_t sum = 0, x;

	for (size_t from = 0, i = 0; i <= text.n; i++) {
		if (i < text.n && !strchr("+-*/", text.p[i]))
			continue;
		if (!term(str_sub(text, from, i), vars, &x) || (op == '/' && x == 0))
			return false;
		sum = op == '+' ? sum + x : op == '-' ? sum - x : op == '*' ? sum * x : sum / x;
		op = i < text.n ? text.p[i] : op;
		from = i + 1;
	}
	*ret = sum;
	return true;
}

char *expand(const char *line, const struct vars *vars, char **bad)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	for (const char *p = line; *p;) {
		const char *end = p[0] == '$' && p[1] == '{' ? strchr(p, '}') : NULL;
		struct str name;
		int64_t number;

		if (!end) {
			buf_addch(&out, *p++);
			continue;
		}
		name = str_n(p + 2, (size_t)(end - p) - 2);
		p = end + 1;
		{
			_cleanup_free_ char *plain = str_dup(name);
			const char *value = vars_get(vars, plain);

			if (value) {
				buf_adds(&out, value);
			} else if (compute(name, vars, &number)) {
				buf_addf(&out, "%lld", (long long)number);
			} else {
				*bad = take_ptr(&plain);
				return NULL;
			}
		}
	}
	return buf_detach(&out, NULL);
}

/* --- lines --- */

bool is_block(const char *line)
{
	return *line == '\t' || *line == ' ';
}

/* One word from *p, written to its beginning; *p goes behind it. */
static char *one_word(char **p)
{
	char *start = *p, *to = *p, *from = *p;
	int depth = 0;
	bool quoted = false;

	for (; *from && (quoted || depth || !isspace((unsigned char)*from)); from++) {
		if (*from == '"' && !depth) {
			quoted = !quoted;
			continue;
		}
		depth += !quoted && *from == '{';
		depth -= !quoted && *from == '}' && depth > 0;
		*to++ = *from;
	}
	*p = *from ? from + 1 : from;
	*to = '\0';
	return start;
}

size_t split_words(char *line, char **words)
{
	size_t n = 0;

	for (char *p = line; n < WORDS_MAX;) {
		while (isspace((unsigned char)*p))
			p++;
		if (!*p)
			break;
		words[n++] = one_word(&p);
	}
	return n;
}

static bool begins(const char *line, const char *word)
{
	size_t n = strlen(word);

	return strncmp(line, word, n) == 0 && (line[n] == ' ' || !line[n]);
}

bool template_find(const struct script *s, const char *name, struct vars *defaults, struct buf *body)
{
	for (size_t i = 0; i < s->lines.n; i++) {
		_cleanup_free_ char *line = xstrdup(s->lines.v[i]);
		char *w[WORDS_MAX];
		size_t n;

		if (!begins(line, "template") || (n = split_words(line, w)) < 2 || !streq(w[1], name))
			continue;
		for (size_t k = 2; k < n; k++) {
			struct str value = str_of(w[k]), key = str_cut(&value, '=');

			vars_set(defaults, key, value.p ? value.p : "");
		}
		while (++i < s->lines.n && (is_block(s->lines.v[i]) || !*s->lines.v[i]))
			buf_addf(body, "%s\n", s->lines.v[i] + (*s->lines.v[i] == '\t'));
		return true;
	}
	return false;
}

/* --- scenarios --- */

struct heads { /* of one scenario */
	const char *title;
	VEC(struct vars) rows; /* each of them gives a scenario */
};

static void copy_vars(struct vars *to, const struct vars *from)
{
	for (size_t i = 0; i < from->of.n; i++)
		vars_set(to, str_of(from->of.v[i].name), from->of.v[i].value);
}

/* Every row so far with every new one. */
static void multiply(struct heads *h, struct vars *new, size_t n)
{
	VEC(struct vars) out = VEC_INIT;

	for (size_t i = 0; i < h->rows.n; i++)
		for (size_t k = 0; k < n; k++) {
			struct vars v = { 0 };

			copy_vars(&v, &h->rows.v[i]);
			copy_vars(&v, &new[k]);
			VEC_PUSH(&out, v);
		}
	for (size_t i = 0; i < h->rows.n; i++)
		vars_release(&h->rows.v[i]);
	for (size_t k = 0; k < n; k++)
		vars_release(&new[k]);
	VEC_RELEASE(&h->rows);
	h->rows.v = out.v;
	h->rows.n = out.n;
	h->rows.cap = out.cap;
}

/* "rows a b c" and the lines below it; "each a 1 2 3". Returns the first line that is not part of it; 0: malformed. */
static size_t read_head(const struct script *s, size_t i, struct heads *h)
{
	_cleanup_free_ char *line = xstrdup(s->lines.v[i]);
	char *names[WORDS_MAX], *w[WORDS_MAX];
	size_t n = split_words(line, names);
	VEC(struct vars) new = VEC_INIT;

	if (streq(names[0], "each")) {
		for (size_t k = 2; k < n; k++) {
			struct vars v = { 0 };

			vars_set(&v, str_of(names[1]), names[k]);
			VEC_PUSH(&new, v);
		}
		i++;
	} else {
		while (++i < s->lines.n && is_block(s->lines.v[i])) {
			_cleanup_free_ char *row = xstrdup(s->lines.v[i]);
			struct vars v = { 0 };

			if (split_words(row, w) != n - 1)
				return 0;
			for (size_t k = 1; k < n; k++)
				vars_set(&v, str_of(names[k]), w[k - 1]);
			VEC_PUSH(&new, v);
		}
	}
	if (!new.n)
		return 0;
	multiply(h, new.v, new.n);
	VEC_RELEASE(&new);
	return i;
}

/* Those of its parameters that the title does not show stand behind it. */
static char *full_name(const char *title, const struct vars *vars)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char *bad = NULL;

	buf_adds(&b, title);
	for (size_t i = 0; i < vars->of.n; i++) {
		_cleanup_free_ char *use = xasprintf("${%s}", vars->of.v[i].name);

		if (!strstr(title, use) && strlen(vars->of.v[i].value) < 40)
			buf_addf(&b, " %s=%s", vars->of.v[i].name, vars->of.v[i].value);
	}
	{
		char *name = expand(b.s, vars, &bad);

		free(bad);
		return name ? name : buf_detach(&b, NULL);
	}
}

static bool read_scenario(struct scenarios *all, const struct script *s, size_t *at)
{
	struct heads h = { .title = s->lines.v[*at] + strlen("scenario"), .rows = VEC_INIT };
	size_t i = *at + 1, first;

	h.title += strspn(h.title, " ");
	VEC_PUSH(&h.rows, ((struct vars){ 0 }));
	while (i < s->lines.n && (begins(s->lines.v[i], "rows") || begins(s->lines.v[i], "each"))) {
		size_t next = read_head(s, i, &h);

		if (!next) {
			printf("Bail out! %s:%zu: not as many words as there are names\n", s->path, i + 1);
			return false;
		}
		i = next;
	}
	first = i;
	while (i < s->lines.n && !begins(s->lines.v[i], "scenario") && !begins(s->lines.v[i], "template"))
		i++;
	for (size_t k = 0; k < h.rows.n; k++) {
		struct scenario one = { .script = s, .first = first, .end = i, .vars = h.rows.v[k] };

		one.name = full_name(h.title, &one.vars);
		VEC_PUSH(&all->of, one);
	}
	VEC_RELEASE(&h.rows);
	*at = i;
	return true;
}

static void read_lines(struct script *s, struct str text)
{
	while (text.p && text.n) {
		struct str line = str_cut(&text, '\n');

		while (line.n && isspace((unsigned char)line.p[line.n - 1]))
			line.n--;
		if (line.n && line.p[0] == '#')
			line.n = 0;
		VEC_PUSH(&s->lines, str_dup(line));
	}
}

bool scenarios_read(struct scenarios *all, const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct script *s = xcalloc(1, sizeof(*s));

	s->path = xstrdup(path);
	VEC_PUSH(&all->scripts, s);
	if (path_read(path, SCRIPT_MAX, &text, &e) < 0) {
		printf("Bail out! %s\n", err_msg(&e));
		return false;
	}
	read_lines(s, buf_str(&text));
	for (size_t i = 0; i < s->lines.n;) {
		const char *line = s->lines.v[i];

		if (begins(line, "scenario")) {
			if (!read_scenario(all, s, &i))
				return false;
		} else if (begins(line, "template") || is_block(line) || !*line) {
			i++;
		} else {
			printf("Bail out! %s:%zu: neither a template nor a scenario: %s\n", path, i + 1, line);
			return false;
		}
	}
	return true;
}

void scenarios_release(struct scenarios *all)
{
	for (size_t i = 0; i < all->of.n; i++) {
		free(all->of.v[i].name);
		vars_release(&all->of.v[i].vars);
	}
	VEC_RELEASE(&all->of);
	for (size_t i = 0; i < all->scripts.n; i++) {
		struct script *s = all->scripts.v[i];

		for (size_t k = 0; k < s->lines.n; k++)
			free(s->lines.v[k]);
		VEC_RELEASE(&s->lines);
		free(s->path);
		free(s);
	}
	VEC_RELEASE(&all->scripts);
}
