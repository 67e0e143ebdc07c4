/*
 * The steps of a scenario, one table.
 */
#include <stdio.h>

#include "t/sim/run.h"

/* --- writes --- */

static bool is_refused(struct world *w, bool ok, const struct err *e, const char *refused)
{
	if (!refused) {
		if (!ok)
			world_fail(w, "refused: %s", err_msg(e));
		return ok;
	}
	if (ok)
		world_fail(w, "it was not refused");
	else if (!strstr(err_msg(e), refused))
		world_fail(w, "refused, but: %s", err_msg(e));
	return false;
}

static void write_doc(struct world *w, struct doc *d, bool apply, const char *refused)
{
	const struct node *root = doc_root(d);
	const struct schema_res *r = schema_find_api(node_str(node_get(root, F_apiVersion)), node_str(node_get(root, F_kind)));
	_cleanup_err_ struct err e = ERR_INIT;
	struct call c = { .body = d };
	struct obj *o = NULL;

	if (!r) {
		world_fail(w, "no kind \"%s\" of \"%s\"", node_gets(root, F_kind), node_gets(root, F_apiVersion));
		return;
	}
	apply &= *meta_name(root) != '\0';
	c.verb = apply ? VERB_PATCH : VERB_CREATE;
	c.res = &r->r;
	c.ns = !r->r.namespaced ? NULL : *meta_ns(root) ? meta_ns(root) : w->ns;
	c.name = apply ? meta_name(root) : NULL;
	c.opts.field_manager = "test";
	if (apply) {
		c.opts.patch_type = PATCH_APPLY;
		c.opts.force = true;
	}
	is_refused(w, world_call(w, &c, &o, &e), &e, refused);
	obj_unref(o);
}

static void write_yaml(struct world *w, struct str text, bool apply, const char *refused)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc **docs;
	size_t n;

	if (doc_parse_yaml(&docs, &n, text, NULL, &e) < 0) {
		world_fail(w, "%s", err_msg(&e));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!world_failed(w))
			write_doc(w, docs[i], apply, refused);
		doc_unref(docs[i]);
	}
	free(docs);
}

/* All lines of text, expanded. */
static bool expand_text(struct world *w, const char *text, const struct vars *vars, struct buf *out)
{
	char *bad = NULL, *s = expand(text, vars, &bad);

	if (!s) {
		world_fail(w, "there is no \"%s\"", bad);
		free(bad);
		return false;
	}
	buf_adds(out, s);
	free(s);
	return true;
}

/* The lines below a step. */
static void block_of(struct world *w, struct buf *out)
{
	const struct script *s = w->at->script;

	for (size_t i = w->line + 1; i < w->at->end && (is_block(s->lines.v[i]) || !*s->lines.v[i]); i++) {
		buf_addf(out, "%s\n", s->lines.v[i] + (*s->lines.v[i] == '\t'));
	}
}

static void write_template(struct world *w, char **v, size_t n, bool apply, const char *refused)
{
	struct vars vars = { .outer = &w->vars }, given = { 0 };
	_cleanup_buf_ struct buf body = BUF_INIT, text = BUF_INIT;

	if (!template_find(w->at->script, v[0], &vars, &body)) {
		world_fail(w, "there is no template \"%s\"", v[0]);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct str value = str_of(v[i]), key = str_cut(&value, '=');

		vars_set(&given, key, value.p ? value.p : "");
	}
	for (size_t i = 0; i < given.of.n; i++)
		vars_set(&vars, str_of(given.of.v[i].name), given.of.v[i].value);
	if (expand_text(w, body.s, &vars, &text))
		write_yaml(w, buf_str(&text), apply, refused);
	vars_release(&given);
	vars_release(&vars);
}

/* [TEMPLATE k=v...] [refused TEXT] */
static void write_step(struct world *w, char **v, size_t n, bool apply)
{
	_cleanup_buf_ struct buf raw = BUF_INIT, text = BUF_INIT;
	const char *refused = NULL;

	if (n >= 2 && streq(v[n - 2], "refused")) {
		refused = v[n - 1];
		n -= 2;
	}
	if (n) {
		write_template(w, v, n, apply, refused);
		return;
	}
	block_of(w, &raw);
	if (expand_text(w, raw.s, &w->vars, &text))
		write_yaml(w, buf_str(&text), apply, refused);
}

static void step_apply(struct world *w, char **v, size_t n)
{
	write_step(w, v, n, true);
}

static void step_create(struct world *w, char **v, size_t n)
{
	write_step(w, v, n, false);
}

static struct doc *parse_one(struct world *w, const char *text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc **docs, *d = NULL;
	size_t n;

	if (doc_parse_yaml(&docs, &n, str_of(text), NULL, &e) < 0) {
		world_fail(w, "%s", err_msg(&e));
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (i == 0)
			d = docs[i];
		else
			doc_unref(docs[i]);
	free(docs);
	if (!d)
		world_fail(w, "an empty patch");
	return d;
}

/* word: KIND/NAME[/SUBRESOURCE] */
static void patch(struct world *w, const char *word, const char *text, const char *refused)
{
	_cleanup_free_ char *copy = xstrdup(word);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = parse_one(w, text);
	char *name = strchr(copy, '/'), *sub = name ? strchr(name + 1, '/') : NULL;
	struct call c = { .verb = VERB_PATCH, .body = d };
	struct obj *o = NULL;

	if (!name || !d) {
		world_fail(w, "patch KIND/NAME[/SUBRESOURCE] {...}");
		return;
	}
	*name++ = '\0';
	if (sub)
		*sub++ = '\0';
	c.res = world_kind(w, copy);
	if (!c.res)
		return;
	c.ns = c.res->namespaced ? w->ns : NULL;
	c.name = name;
	c.subresource = sub;
	c.opts.patch_type = PATCH_MERGE;
	c.opts.field_manager = "test";
	is_refused(w, world_call(w, &c, &o, &e), &e, refused);
	obj_unref(o);
}

static void step_patch(struct world *w, char **v, size_t n)
{
	if (n == 2 || (n == 4 && streq(v[2], "refused")))
		patch(w, v[0], v[1], n == 4 ? v[3] : NULL);
	else
		world_fail(w, "patch KIND/NAME[/SUBRESOURCE] {...} [refused TEXT]");
}

static void step_scale(struct world *w, char **v, size_t n UNUSED)
{
	_cleanup_free_ char *text = xasprintf("{spec: {replicas: %s}}", v[1]);

	patch(w, v[0], text, NULL);
}

/* --- some of the pods --- */

/* Copies, as what is done to one may change the list. */
/* staying: not those that are to go already. */
static size_t some_names(struct world *w, const struct resource *r, const char *selector, bool staying, size_t most,
			 char ***ret)
{
	struct selector *sel = selector_of(w, selector);
	VEC(char *) out = VEC_INIT;
	struct objs objs;

	world_list(w, r, w->ns, sel, &objs);
	for (size_t i = 0; i < objs.list.n && out.n < most; i++)
		if (!staying || !meta_is_deleting(obj_node(objs.list.objs[i])))
			VEC_PUSH(&out, xstrdup(objs.list.objs[i]->name));
	objs_release(&objs);
	selector_free(sel);
	*ret = out.v;
	return out.n;
}

static void names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* "2 pods app=x" or "pods app=x": how many, and what is left. */
static size_t how_many(char ***v, size_t *n)
{
	int64_t most;

	if (*n && str_to_i64(str_of((*v)[0]), &most) && most >= 0) {
		(*v)++;
		(*n)--;
		return (size_t)most;
	}
	return SIZE_MAX;
}

/* [N] pods SELECTOR what=text...: "simulate.kinglet.io/" stands before; "what=" takes it away */
static void step_tell(struct world *w, char **v, size_t n)
{
	size_t most = how_many(&v, &n), count;
	_cleanup_buf_ struct buf b = BUF_INIT;
	char **names;

	if (n < 3 || !streq(v[0], "pods")) {
		world_fail(w, "tell [N] pods SELECTOR what=text...");
		return;
	}
	for (size_t i = 2; i < n; i++) {
		struct str value = str_of(v[i]), key = str_cut(&value, '=');

		buf_addf(&b, "%s\"" SIM_ANNOTATION "%" STR_FMT "\": ", i > 2 ? ", " : "", STR_ARG(key));
		if (value.n)
			buf_add_json_string(&b, value);
		else
			buf_adds(&b, "null");
	}
	count = some_names(w, schema_res("", "pods"), v[1], false, most, &names);
	if (!count)
		world_fail(w, "there is no such pod");
	for (size_t i = 0; i < count && !world_failed(w); i++) {
		_cleanup_free_ char *who = xasprintf("pod/%s", names[i]);
		_cleanup_free_ char *text = xasprintf("{metadata: {annotations: {%s}}}", b.s);

		patch(w, who, text, NULL);
	}
	names_free(names, count);
}

struct deletion {
	const char *propagation, *refused;
	int64_t grace; /* -1: the object's own */
};

static void delete_one(struct world *w, const struct resource *r, const char *name, const struct deletion *how)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct call c = { .verb = VERB_DELETE, .res = r, .ns = r->namespaced ? w->ns : NULL, .name = name };
	struct obj *o = NULL;

	c.opts.has_grace = how->grace >= 0;
	c.opts.grace_s = how->grace >= 0 ? how->grace : 0;
	c.opts.propagation = how->propagation;
	is_refused(w, world_call(w, &c, &o, &e), &e, how->refused);
	obj_unref(o);
}

static void delete_words(struct world *w, char **v, size_t n, struct deletion *how)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		if (streq(v[i], "grace"))
			str_to_i64(str_of(v[i + 1]), &how->grace);
		else if (streq(v[i], "propagation"))
			how->propagation = v[i + 1];
		else if (streq(v[i], "refused"))
			how->refused = v[i + 1];
		else
			world_fail(w, "delete knows no \"%s\"", v[i]);
}

/* KIND/NAME, or [N] KINDS SELECTOR; then grace N, propagation WORD, refused TEXT */
static void step_delete(struct world *w, char **v, size_t n)
{
	struct deletion how = { .grace = -1 };
	size_t most = how_many(&v, &n), count;
	const struct resource *r;
	char **names, *name = n ? strchr(v[0], '/') : NULL;

	if (name)
		*name++ = '\0';
	if (n < 1 || (!name && n < 2) || !(r = world_kind(w, v[0]))) {
		world_fail(w, "delete KIND/NAME, or [N] KINDS SELECTOR");
		return;
	}
	delete_words(w, v + (name ? 1 : 2), n - (name ? 1 : 2), &how);
	if (name) {
		delete_one(w, r, name, &how);
		return;
	}
	count = some_names(w, r, v[1], false, most, &names);
	for (size_t i = 0; i < count && !world_failed(w); i++)
		delete_one(w, r, names[i], &how);
	names_free(names, count);
}

static void evict_one(struct world *w, const char *name, const char *refused)
{
	_cleanup_free_ char *text =
		xasprintf("{apiVersion: policy/v1, kind: Eviction, metadata: {name: %s, namespace: %s}}", name, w->ns);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = parse_one(w, text);
	struct call c = { .verb = VERB_CREATE, .res = schema_res("", "pods"), .ns = w->ns, .name = name,
			  .subresource = "eviction", .body = d };
	struct obj *o = NULL;

	is_refused(w, world_call(w, &c, &o, &e), &e, refused);
	obj_unref(o);
}

/* [N] pods SELECTOR [refused TEXT] */
static void step_evict(struct world *w, char **v, size_t n)
{
	size_t most = how_many(&v, &n), count;
	char **names;

	if ((n != 2 && n != 4) || !streq(v[0], "pods")) {
		world_fail(w, "evict [N] pods SELECTOR [refused TEXT]");
		return;
	}
	count = some_names(w, schema_res("", "pods"), v[1], true, most, &names);
	if (!count)
		world_fail(w, "there is no such pod");
	for (size_t i = 0; i < count && !world_failed(w); i++)
		evict_one(w, names[i], n == 4 ? v[3] : NULL);
	names_free(names, count);
}

/* --- nodes --- */

/* start=2s ready=1s stop=1s */
static void step_play(struct world *w, char **v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct str value = str_of(v[i]), key = str_cut(&value, '=');
		int64_t *to = str_eqc(key, "start") ? &w->play.start_ms : str_eqc(key, "ready") ? &w->play.ready_ms
				: str_eqc(key, "stop") ? &w->play.stop_ms : NULL;

		if (w->sim || !to || !value.p || !(streq(value.p, "never") || duration_ms(value.p, to)))
			world_fail(w, "play start=TIME ready=TIME stop=TIME, before there are nodes");
		else if (streq(value.p, "never"))
			*to = SIM_NEVER;
	}
}

static char **split_list(char *text)
{
	VEC(char *) out = VEC_INIT;

	for (char *p = text; p && *p;) {
		VEC_PUSH(&out, p);
		p = strchr(p, ',');
		if (p)
			*p++ = '\0';
	}
	VEC_PUSH(&out, NULL);
	return out.v;
}

static void wait_nodes(struct world *w)
{
	int64_t end = world_now(w) + 60000;
	struct sim_counts counts;

	do {
		world_turn(w, 100);
		sim_counts(w->sim, &counts);
	} while ((counts.registered < counts.nodes || counts.waiting) && world_now(w) < end);
	if (counts.registered < counts.nodes)
		world_fail(w, "of %zu nodes %zu are there", counts.nodes, counts.registered);
	world_idle(w);
}

/* N [prefix=node] [cpu=4] [memory=8Gi] [pods=110] [zones=3] [labels=a=b,c=d] [taints=k=v:NoSchedule] */
static void step_nodes(struct world *w, char **v, size_t n)
{
	struct sim_nodes nodes = { .prefix = "node", .first = w->n_nodes };
	_cleanup_free_ char **labels = NULL, **taints = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	int64_t number = 0;

	if (!n || !str_to_i64(str_of(v[0]), &number))
		world_fail(w, "how many nodes?");
	nodes.n = (int)number;
	for (size_t i = 1; i < n; i++) {
		char *value = strchr(v[i], '=');

		if (value)
			*value++ = '\0';
		if (!value)
			world_fail(w, "\"%s\" has no value", v[i]);
		else if (streq(v[i], "prefix"))
			nodes.prefix = value;
		else if (streq(v[i], "cpu"))
			nodes.cpu = value;
		else if (streq(v[i], "memory"))
			nodes.memory = value;
		else if (streq(v[i], "pods"))
			nodes.pods = value;
		else if (streq(v[i], "zones"))
			nodes.zones = atoi(value);
		else if (streq(v[i], "labels") && !labels)
			nodes.labels = (const char *const *)(labels = split_list(value));
		else if (streq(v[i], "taints") && !taints)
			nodes.taints = (const char *const *)(taints = split_list(value));
		else
			world_fail(w, "nodes have no \"%s\"", v[i]);
	}
	if (world_failed(w))
		return;
	if (!w->sim)
		w->sim = sim_new(&w->play);
	if (sim_add(w->sim, &nodes, &e) < 0)
		world_fail(w, "%s", err_msg(&e));
	w->n_nodes += nodes.n;
	wait_nodes(w);
}

static void step_cut(struct world *w, char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!w->sim || !sim_cut(w->sim, v[i]))
			world_fail(w, "there is no node \"%s\"", v[i]);
}

static void step_join(struct world *w, char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!w->sim || !sim_join(w->sim, v[i]))
			world_fail(w, "there is no node \"%s\"", v[i]);
}

/* --- time, and the rest --- */

static void step_after(struct world *w, char **v, size_t n UNUSED)
{
	int64_t ms, end;

	if (!duration_ms(v[0], &ms) || ms < 0) {
		world_fail(w, "\"%s\" is no time", v[0]);
		return;
	}
	for (end = world_now(w) + ms; world_now(w) < end && !world_failed(w);)
		world_turn(w, end - world_now(w));
}

/* Until a moment of the wall clock: 2026-03-01T00:00:00Z */
static void step_until(struct world *w, char **v, size_t n UNUSED)
{
	int64_t ns, now;

	if (!time_parse_rfc3339(str_of(v[0]), &ns)) {
		world_fail(w, "\"%s\" is no time", v[0]);
		return;
	}
	while ((now = time_wall_ns()) < ns && !world_failed(w))
		world_turn(w, (ns - now + 999999) / 1000000);
}

static void step_jump(struct world *w, char **v, size_t n UNUSED)
{
	int64_t ms;

	if (duration_ms(v[0], &ms))
		loop_wall_jump(w->loop, ms / 1000);
	else
		world_fail(w, "\"%s\" is no time", v[0]);
}

static void step_in(struct world *w, char **v, size_t n UNUSED)
{
	free(w->ns);
	w->ns = xstrdup(v[0]);
}

/* NAME KIND/NAME PATH, or NAME KINDS SELECTOR INDEX: the name of one of them */
static void step_let(struct world *w, char **v, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct resource *r;
	int64_t index;
	char **names;
	size_t count;

	world_idle(w);
	if (n == 3) {
		struct obj *o = object_of(w, v[1]);

		if (!o)
			world_fail(w, "there is no %s", v[1]);
		else
			value_at(obj_node(o), v[2], &b);
	} else if (n == 4 && str_to_i64(str_of(v[3]), &index) && (r = world_kind(w, v[1]))) {
		count = some_names(w, r, v[2], false, SIZE_MAX, &names);
		if (index < 0 || (size_t)index >= count)
			world_fail(w, "there are %zu", count);
		else
			buf_adds(&b, names[index]);
		names_free(names, count);
	} else {
		world_fail(w, "let NAME KIND/NAME PATH, or NAME KINDS SELECTOR INDEX");
	}
	vars_set(&w->vars, str_of(v[0]), b.s);
}

static void run_line(struct world *w, const char *line);

/* N every TIME STEP..., with ${i} from 0 on */
static void step_repeat(struct world *w, char **v, size_t n UNUSED)
{
	const char *line = w->at->script->lines.v[w->line], *rest = line;
	int64_t times, ms;

	if (!str_to_i64(str_of(v[0]), &times) || !streq(v[1], "every") || !duration_ms(v[2], &ms)) {
		world_fail(w, "repeat N every TIME STEP");
		return;
	}
	for (int i = 0; i < 4; i++) {
		rest += strcspn(rest, " ");
		rest += strspn(rest, " ");
	}
	for (int64_t i = 0; i < times && !world_failed(w); i++) {
		int64_t end = world_now(w) + ms;
		char number[24];

		snprintf(number, sizeof(number), "%lld", (long long)i);
		vars_set(&w->vars, STR_LIT("i"), number);
		run_line(w, rest);
		while (world_now(w) < end && !world_failed(w))
			world_turn(w, end - world_now(w));
	}
}

static const struct {
	const char *word;
	void (*run)(struct world *w, char **v, size_t n);
	size_t least; /* words behind it */
} steps[] = {
	{ "after", step_after, 1 },   { "apply", step_apply, 0 },   { "create", step_create, 0 },
	{ "cut", step_cut, 1 },	      { "delete", step_delete, 1 }, { "evict", step_evict, 2 },
	{ "expect", step_expect, 2 }, { "in", step_in, 1 },	    { "join", step_join, 1 },
	{ "jump", step_jump, 1 },     { "let", step_let, 3 },	    { "never", step_never, 1 },
	{ "nodes", step_nodes, 1 },   { "patch", step_patch, 2 },   { "play", step_play, 1 },
	{ "repeat", step_repeat, 4 }, { "scale", step_scale, 2 },   { "tell", step_tell, 3 },
	{ "until", step_until, 1 },
};

static void run_line(struct world *w, const char *line)
{
	char *v[WORDS_MAX], *bad = NULL, *text, *words;
	size_t n, i;

	if (starts_with(line, "repeat ")) /* what it repeats is expanded each time */
		vars_set(&w->vars, STR_LIT("i"), "0");
	text = expand(line, &w->vars, &bad);
	free(w->step);
	w->step = text ? text : xstrdup(line);
	if (!text) {
		world_fail(w, "there is no \"%s\"", bad);
		free(bad);
		return;
	}
	words = xstrdup(text);
	n = split_words(words, v);
	for (i = 0; i < ARRAY_SIZE(steps) && !streq(v[0], steps[i].word); i++)
		;
	if (i == ARRAY_SIZE(steps))
		world_fail(w, "there is no step \"%s\"", v[0]);
	else if (n - 1 < steps[i].least)
		world_fail(w, "\"%s\" wants more words", v[0]);
	else
		steps[i].run(w, v + 1, n - 1);
	free(words);
}

/* A scenario that does not begin with nodes has three. */
void run_scenario(struct world *w, const struct scenario *s)
{
	bool nodes = false;

	w->at = s;
	for (size_t i = 0; i < s->vars.of.n; i++)
		vars_set(&w->vars, str_of(s->vars.of.v[i].name), s->vars.of.v[i].value);
	for (size_t i = s->first; i < s->end && !world_failed(w); i++) {
		const char *line = s->script->lines.v[i];

		if (!*line || is_block(line))
			continue;
		w->line = i;
		if (!nodes && !starts_with(line, "play ")) {
			nodes = true;
			if (!starts_with(line, "nodes "))
				run_line(w, "nodes 3");
		}
		run_line(w, line);
	}
}
