/*
 * What a scenario expects: a condition that is to hold within some time, or for
 * some time; and limits that hold from then on.
 */
#include <stdio.h>

#include "t/sim/run.h"

#define WITHIN_MS 10000

bool duration_ms(const char *text, int64_t *ret)
{
	int64_t ns;

	if (!time_parse_go_duration(str_of(text), &ns))
		return false;
	*ret = ns / 1000000;
	return true;
}

struct selector *selector_of(struct world *w, const char *text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct selector *s = NULL;

	if (streq(text, "all"))
		return NULL;
	if (selector_parse(&s, str_of(text), &e) < 0)
		world_fail(w, "%s", err_msg(&e));
	return s;
}

/* --- values --- */

static const struct node *element(const struct node *n, struct str key)
{
	int64_t i;

	if (!node_is(n, DOC_ARRAY))
		return node_getk(n, key);
	if (str_to_i64(key, &i))
		return i < 0 ? node_at(n, node_count(n) + (size_t)i) : node_at(n, (size_t)i);
	NODE_FOREACH(c, n)
		if (str_eq(node_str(node_get(c, F_name)), key) || str_eq(node_str(node_get(c, F_type)), key))
			return c;
	return NULL;
}

void value_at(const struct node *root, const char *path, struct buf *out)
{
	const struct node *n = root;

	for (const char *p = path; *p && n;) {
		bool bracket = *p == '[';
		size_t len;

		p++;
		len = strcspn(p, bracket ? "]" : ".[");
		n = element(n, str_n(p, len));
		p += len + (bracket && p[len]);
	}
	if (!n)
		buf_adds(out, "absent");
	else if (node_is(n, DOC_STRING))
		buf_addstr(out, node_str(n));
	else
		doc_print_json(out, n, DOC_PRINT_COMPACT);
}

struct obj *object_of(struct world *w, const char *word)
{
	struct str name = str_of(word), kind = str_cut(&name, '/');
	_cleanup_free_ char *k = str_dup(kind);
	const struct resource *r = world_kind(w, k);
	_cleanup_free_ char *n = str_dup(str_sub(name, 0, name.n));

	if (!r)
		return NULL;
	return store_get(w->store, &schema_storage((const struct schema_res *)r)->r, r->namespaced ? w->ns : "", n);
}

/* "5", ">=3", "<=4", "~text" (has it), "!5". What is absent counts as 0: the API leaves zeroes out. */
static bool compares(const char *have, const char *want)
{
	int64_t a, b;

	if (streq(have, "absent") && (streq(want, "0") || starts_with(want, "<=")))
		return true;
	if (*want == '~')
		return strstr(have, want + 1) != NULL;
	if (*want == '!')
		return !streq(have, want + 1);
	if ((*want == '>' || *want == '<') && want[1] == '=')
		return str_to_i64(str_of(have), &a) && str_to_i64(str_of(want + 2), &b) && (*want == '>' ? a >= b : a <= b);
	return streq(have, want);
}

/* --- conditions: each says whether it holds, and what is there --- */

typedef bool (*check_fn)(struct world *w, char **v, size_t n, struct buf *there);

static bool number_is(size_t have, const char *want)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", have);
	return compares(text, want);
}

/* pods SELECTOR (WORD N)... */
static bool check_pods(struct world *w, char **v, size_t n, struct buf *there)
{
	struct selector *sel = selector_of(w, v[0]);
	struct objs pods;
	bool all = true;

	world_list(w, schema_res("", "pods"), w->ns, sel, &pods);
	for (size_t i = 1; i + 1 < n; i += 2) {
		size_t have = 0;
		bool known = true;

		for (size_t k = 0; k < pods.list.n; k++)
			have += pod_counts_as(pods.list.objs[k], v[i], &known);
		if (!known)
			world_fail(w, "pods are not counted by \"%s\"", v[i]);
		all &= number_is(have, v[i + 1]);
		buf_addf(there, "%s %zu ", v[i], have);
	}
	objs_release(&pods);
	selector_free(sel);
	return all;
}

/* count KIND SELECTOR N */
static bool check_count(struct world *w, char **v, size_t n UNUSED, struct buf *there)
{
	const struct resource *r = world_kind(w, v[0]);
	struct selector *sel = selector_of(w, v[1]);
	struct objs objs;
	bool is;

	if (!r)
		return false;
	world_list(w, r, w->ns, sel, &objs);
	is = number_is(objs.list.n, v[2]);
	buf_addf(there, "%zu", objs.list.n);
	objs_release(&objs);
	selector_free(sel);
	return is;
}

/* names KIND SELECTOR NAME... */
static bool check_names(struct world *w, char **v, size_t n, struct buf *there)
{
	const struct resource *r = world_kind(w, v[0]);
	struct selector *sel = selector_of(w, v[1]);
	struct objs objs;
	bool all;

	if (!r)
		return false;
	world_list(w, r, w->ns, sel, &objs);
	all = objs.list.n == n - 2;
	for (size_t i = 0; i < objs.list.n; i++) {
		all = all && streq(objs.list.objs[i]->name, v[i + 2]);
		buf_addf(there, "%s ", objs.list.objs[i]->name);
	}
	objs_release(&objs);
	selector_free(sel);
	return all;
}

/* created|gone SELECTOR NAME...: those that came (went), in this order, since the scenario began */
static bool check_marks(struct world *w, bool gone, char **v, size_t n, struct buf *there)
{
	struct selector *sel = selector_of(w, v[0]);
	size_t at = 1;
	bool all = true;

	for (size_t i = 0; i < w->marks.n; i++) {
		struct pod_mark *m = &w->marks.v[i];

		if (m->gone != gone || (sel && !selector_match(sel, meta_labels(obj_node(m->obj)))))
			continue;
		all = all && at < n && streq(v[at], m->obj->name);
		at++;
		buf_addf(there, "%s ", m->obj->name);
	}
	selector_free(sel);
	return all && at == n;
}

static bool check_created(struct world *w, char **v, size_t n, struct buf *there)
{
	return check_marks(w, false, v, n, there);
}

static bool check_gone_in_order(struct world *w, char **v, size_t n, struct buf *there)
{
	return check_marks(w, true, v, n, there);
}

static int64_t event_times(struct obj *o, const char *reason, const char *about, const char *text)
{
	const struct node *root = obj_node(o), *who = node_get(root, F_involvedObject);

	if (!node_streq(node_get(root, F_reason), reason) || (about && !node_streq(node_get(who, F_name), about)))
		return 0;
	if (text && !strstr(node_gets(root, F_message), text))
		return 0;
	return node_int(node_get(root, F_count), 1);
}

/* event REASON [on NAME] [saying TEXT] [times N] */
static bool check_event(struct world *w, char **v, size_t n, struct buf *there)
{
	const char *about = NULL, *text = NULL, *times = ">=1";
	struct objs events;
	int64_t have = 0;

	for (size_t i = 1; i + 1 < n; i += 2)
		if (streq(v[i], "on"))
			about = v[i + 1];
		else if (streq(v[i], "saying"))
			text = v[i + 1];
		else if (streq(v[i], "times"))
			times = v[i + 1];
		else
			world_fail(w, "an event has no \"%s\"", v[i]);
	world_list(w, schema_res("", "events"), "", NULL, &events);
	for (size_t i = 0; i < events.list.n; i++) {
		have += event_times(events.list.objs[i], v[0], about, text);
		if (event_times(events.list.objs[i], v[0], NULL, NULL))
			buf_addf(there, "\"%s\" ", node_gets(obj_node(events.list.objs[i]), F_message));
	}
	buf_addf(there, "%lld times", (long long)have);
	objs_release(&events);
	return number_is((size_t)have, times);
}


static void tally_add(struct vars *t, const char *where, int by)
{
	const char *have = vars_get(t, where);
	int64_t n = 0;
	char text[24];

	if (have)
		str_to_i64(str_of(have), &n);
	snprintf(text, sizeof(text), "%lld", (long long)n + by);
	vars_set(t, str_of(where), text);
}

/* Where key's value of the node is a pod's place; "node" for the node's own name. */
static void tally_pods(struct world *w, const char *selector, const char *key, struct vars *t)
{
	struct selector *sel = selector_of(w, selector);
	struct objs pods, nodes;
	bool known;

	world_list(w, schema_res("", "nodes"), "", NULL, &nodes);
	for (size_t i = 0; i < nodes.list.n; i++) {
		struct obj *o = nodes.list.objs[i];
		const char *where = streq(key, "node") ? o->name : meta_label(obj_node(o), key);

		if (where)
			tally_add(t, where, 0);
	}
	world_list(w, schema_res("", "pods"), w->ns, sel, &pods);
	for (size_t i = 0; i < pods.list.n; i++) {
		struct obj *o = pods.list.objs[i];
		const char *name = node_gets(node_get(obj_node(o), F_spec), F_nodeName);
		struct obj *node = *name ? store_get(w->store, schema_res("", "nodes"), "", name) : NULL;
		const char *where = !node ? NULL : streq(key, "node") ? name : meta_label(obj_node(node), key);

		if (where && pod_counts_as(o, "active", &known))
			tally_add(t, where, 1);
	}
	objs_release(&pods);
	objs_release(&nodes);
	selector_free(sel);
}

/* spread SELECTOR by KEY|node skew N */
static bool check_spread(struct world *w, char **v, size_t n UNUSED, struct buf *there)
{
	int64_t least = INT64_MAX, most = 0, x = 0;
	struct vars t = { 0 };

	tally_pods(w, v[0], v[2], &t);
	for (size_t i = 0; i < t.of.n; i++) {
		str_to_i64(str_of(t.of.v[i].value), &x);
		least = x < least ? x : least;
		most = x > most ? x : most;
		buf_addf(there, "%s:%lld ", t.of.v[i].name, (long long)x);
	}
	vars_release(&t);
	return least != INT64_MAX && number_is((size_t)(most - least), v[4]);
}

/* placed SELECTOR node-0:2 node-1:>=1 */
static bool check_placed(struct world *w, char **v, size_t n, struct buf *there)
{
	struct vars t = { 0 };
	bool all = true;

	tally_pods(w, v[0], "node", &t);
	for (size_t i = 0; i < t.of.n; i++)
		buf_addf(there, "%s:%s ", t.of.v[i].name, t.of.v[i].value);
	for (size_t i = 1; i < n; i++) {
		struct str want = str_of(v[i]), node = str_cut(&want, ':');
		_cleanup_free_ char *name = str_dup(node);
		const char *have = vars_get(&t, name);

		all &= compares(have ? have : "0", want.p ? want.p : ">=1");
	}
	vars_release(&t);
	return all;
}

/* KIND/NAME (PATH VALUE)... | KIND/NAME gone | KIND/NAME there */
static bool check_object(struct world *w, char **v, size_t n, struct buf *there)
{
	struct obj *o = object_of(w, v[0]);
	bool all = true;

	if (n == 2) {
		buf_adds(there, o ? "it is there" : "it is not there");
		if (!streq(v[1], "gone") && !streq(v[1], "there"))
			world_fail(w, "an object is \"there\" or \"gone\"");
		return (o != NULL) == streq(v[1], "there");
	}
	if (!o)
		buf_adds(there, "it is not there");
	for (size_t i = 1; o && i + 1 < n; i += 2) {
		_cleanup_buf_ struct buf have = BUF_INIT;

		value_at(obj_node(o), v[i], &have);
		all &= compares(have.s, v[i + 1]);
		buf_addf(there, "%s %s ", v[i], have.s);
	}
	return o && all;
}

static const struct {
	const char *word;
	check_fn check;
	size_t least; /* words behind it */
} checks[] = {
	{ "pods", check_pods, 3 },	 { "count", check_count, 3 },	{ "names", check_names, 2 },
	{ "created", check_created, 1 }, { "gone", check_gone_in_order, 1 }, { "event", check_event, 1 },
	{ "spread", check_spread, 5 },	 { "placed", check_placed, 2 },
};

static check_fn find_check(struct world *w, char ***v, size_t *n)
{
	for (size_t i = 0; *n && i < ARRAY_SIZE(checks); i++)
		if (streq((*v)[0], checks[i].word)) {
			(*v)++;
			(*n)--;
			if (*n >= checks[i].least)
				return checks[i].check;
			world_fail(w, "\"%s\" wants more words", checks[i].word);
			return NULL;
		}
	if (*n >= 2 && strchr((*v)[0], '/'))
		return check_object;
	world_fail(w, "nothing that can be expected");
	return NULL;
}

/* --- waiting for them --- */

static void wait_until(struct world *w, check_fn check, char **v, size_t n, int64_t ms)
{
	int64_t end = world_now(w) + ms;
	_cleanup_buf_ struct buf there = BUF_INIT;

	for (int turns = 0; !world_failed(w); turns++) {
		if (turns == 0 || w->changed || world_now(w) >= end) {
			w->changed = false;
			buf_clear(&there);
			if (check(w, v, n, &there) || world_failed(w))
				return;
		}
		if (world_now(w) >= end)
			world_fail(w, "there was instead: %s", there.s);
		else
			world_turn(w, end - world_now(w));
	}
}

static void wait_throughout(struct world *w, check_fn check, char **v, size_t n, int64_t ms)
{
	_cleanup_buf_ struct buf there = BUF_INIT;
	int64_t end;

	wait_until(w, check, v, n, WITHIN_MS);
	end = world_now(w) + ms;
	for (bool first = true; !world_failed(w); first = false) {
		if (first || w->changed) {
			w->changed = false;
			buf_clear(&there);
			if (!check(w, v, n, &there))
				world_fail(w, "it did not stay so: %s", there.s);
		}
		if (world_now(w) >= end)
			return;
		world_turn(w, end - world_now(w));
	}
}

void step_expect(struct world *w, char **v, size_t n)
{
	bool throughout = n >= 2 && streq(v[n - 2], "for");
	int64_t ms = WITHIN_MS;
	check_fn check;

	if (throughout || (n >= 2 && streq(v[n - 2], "within"))) {
		if (!duration_ms(v[n - 1], &ms)) {
			world_fail(w, "\"%s\" is no time", v[n - 1]);
			return;
		}
		n -= 2;
	}
	check = find_check(w, &v, &n);
	if (!check)
		return;
	if (throughout)
		wait_throughout(w, check, v, n, ms);
	else
		wait_until(w, check, v, n, ms);
}

/* more|fewer than N pods SELECTOR [WORD]; end */
void step_never(struct world *w, char **v, size_t n)
{
	struct limit l = { 0 };
	int64_t number;

	if (n == 1 && streq(v[0], "end")) {
		for (size_t i = 0; i < w->limits.n; i++) {
			free(w->limits.v[i].text);
			free(w->limits.v[i].word);
			free(w->limits.v[i].ns);
			selector_free(w->limits.v[i].sel);
		}
		w->limits.n = 0;
		return;
	}
	if (n < 5 || !streq(v[1], "than") || !streq(v[3], "pods") || !str_to_i64(str_of(v[2]), &number)) {
		world_fail(w, "never more (fewer) than N pods SELECTOR [WORD]");
		return;
	}
	l.most = streq(v[0], "more");
	l.n = number > 0 ? (size_t)number : 0;
	l.sel = selector_of(w, v[4]);
	l.word = xstrdup(n > 5 ? v[5] : "active");
	l.ns = xstrdup(w->ns);
	l.text = xstrdup(w->step);
	VEC_PUSH(&w->limits, l);
	w->pods_changed = true;
}
