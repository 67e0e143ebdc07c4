/*
 * Lists of environment variables, and $(NAME) in commands, arguments and values,
 * as k8s.io/kubernetes/third_party/forked/golang/expansion has it. Pure.
 */
#include "node/internal.h"

void env_set(struct env_list *l, const char *name, const char *value)
{
	for (size_t i = 0; i < l->n; i++)
		if (streq(l->v[i].name, name)) {
			l->v[i].value = value;
			return;
		}
	VEC_PUSH(l, ((struct env_var){name, value}));
}

const char *env_get(const struct env_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (streq(l->v[i].name, name))
			return l->v[i].value;
	return NULL;
}

void env_release(struct env_list *l)
{
	VEC_RELEASE(l);
}

static const char *expand_look(struct str name, const struct env_list *const *lists, size_t n)
{
	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < lists[k]->n; i++)
			if (str_eqc(name, lists[k]->v[i].name))
				return lists[k]->v[i].value;
	return NULL;
}

char *expand_vars(struct arena *a, const char *text, const struct env_list *const *lists, size_t n)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	const char *s = text;

	while (*s) {
		const char *end, *v;

		if (*s != '$') {
			size_t plain = strcspn(s, "$");

			buf_add(&out, s, plain);
			s += plain;
		} else if (s[1] == '$') { /* $$(NAME) is the text $(NAME) */
			buf_addch(&out, '$');
			s += 2;
		} else if (s[1] == '(' && (end = strchr(s + 2, ')'))) {
			struct str name = {s + 2, (size_t)(end - s - 2)};

			v = expand_look(name, lists, n);
			if (v)
				buf_adds(&out, v);
			else
				buf_add(&out, s, (size_t)(end + 1 - s));
			s = end + 1;
		} else {
			buf_addch(&out, '$');
			s++;
		}
	}
	return arena_memdupz(a, out.s, out.len);
}
