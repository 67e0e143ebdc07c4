/*
 * Admission: LimitRanger. What a namespace's LimitRanges give to containers that
 * do not say, and what they hold containers, pods and claims to. All that is
 * wrong is said at once, as Kubernetes' plug-in says it.
 */
#include "api/admit.h"

#include "schema/usage.h"

#define NANO 1000000000

static bool limits_of(struct admission *a, struct store_list *ret)
{
	return admit_list(a->r->api, schema_res("", "limitranges"), a->r->at.ns, ret);
}

/* --- defaults --- */

/* What of `from` the container lacks in its list; their names go to `set`, in order. */
static void limits_fill(struct admission *a, struct node *container, enum field list, const struct node *from,
			struct buf *set)
{
	VEC(const struct node *) added = VEC_INIT;
	struct node *to;

	NODE_FOREACH(q, from) {
		size_t at = 0;

		if (node_getc(node_path(container, F_resources, list), q->key))
			continue;
		to = node_need_object(a->d, node_need_object(a->d, container, F_resources), list);
		node_setk(a->d, to, node_key(q), node_copy(a->d, q));
		while (at < added.n && strcmp(added.v[at]->key, q->key) < 0)
			at++;
		VEC_PUSH(&added, q);
		memmove(&added.v[at + 1], &added.v[at], (added.n - 1 - at) * sizeof(*added.v));
		added.v[at] = q;
	}
	for (size_t i = 0; i < added.n; i++)
		buf_addf(set, "%s%s", i ? ", " : "", added.v[i]->key);
	VEC_RELEASE(&added);
}

static void limits_note(struct buf *note, const struct buf *set, const char *what, const char *kind, const char *name)
{
	if (set->len)
		buf_addf(note, "%s%s %s for %s %s", note->len ? "; " : "LimitRanger plugin set: ", set->s, what, kind, name);
}

static void limits_default(struct admission *a, const struct node *item, struct buf *note)
{
	static const struct {
		enum field list;
		const char *kind;
	} lists[] = { { F_containers, "container" }, { F_initContainers, "init container" } };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		NODE_FOREACH(c, node_path(a->root, F_spec, lists[i].list)) {
			_cleanup_buf_ struct buf requests = BUF_INIT, limits = BUF_INIT;

			limits_fill(a, c, F_limits, node_get(item, F_default), &limits);
			limits_fill(a, c, F_requests, node_get(item, F_defaultRequest), &requests);
			limits_note(note, &requests, "request", lists[i].kind, node_gets(c, F_name));
			limits_note(note, &limits, "limit", lists[i].kind, node_gets(c, F_name));
		}
}

int admit_limits_mutate(struct admission *a, struct err *e)
{
	struct store_list l;

	if (!admit_new_pod(a) || !limits_of(a, &l))
		return 0;
	for (size_t i = 0; i < l.n; i++) {
		_cleanup_buf_ struct buf note = BUF_INIT;
		struct node *meta = node_need_object(a->d, a->root, F_metadata);

		NODE_FOREACH(item, node_path(obj_node(l.objs[i]), F_spec, F_limits))
			if (streq(node_gets(item, F_type), "Container"))
				limits_default(a, item, &note);
		if (note.len)
			node_setk(a->d, node_need_object(a->d, meta, F_annotations), STR_LIT("kubernetes.io/limit-ranger"),
				  node_new_cstr(a->d, note.s));
	}
	store_list_release(&l);
	return 0;
}

/* --- bounds --- */

struct amount {
	bool given;
	struct quantity q;
};

struct bound { /* one line of a LimitRange, for one resource of one container, pod or claim */
	const char *type, *name;
	struct quantity q;
	struct amount request, limit;
	struct buf *out;
};

static void bound_text(const struct quantity *q, struct buf *out)
{
	quantity_print(q, out);
}

/* fmt's %s: the bound; %s at the end: what was found, when given. */
static void bound_say(struct bound *b, const char *how, const struct quantity *found)
{
	if (b->out->len)
		buf_addch(b->out, '\n'); /* one line each, put together at the end */
	buf_addf(b->out, "%s usage per %s is ", b->name, b->type);
	bound_text(&b->q, b->out);
	buf_adds(b->out, how);
	if (found)
		bound_text(found, b->out);
}

static void bound_line(struct bound *b, const char *start, const char *how, const struct quantity *found)
{
	size_t at = b->out->len;

	bound_say(b, how, found);
	at += at != 0;
	buf_insert(b->out, at, start, strlen(start));
}

static void bound_min(struct bound *b)
{
	if (!b->request.given)
		bound_line(b, "minimum ", ".  No request is specified", NULL);
	else if (quantity_cmp(&b->request.q, &b->q) < 0)
		bound_line(b, "minimum ", ", but request is ", &b->request.q);
	else if (b->limit.given && quantity_cmp(&b->limit.q, &b->q) < 0)
		bound_line(b, "minimum ", ", but limit is ", &b->limit.q);
}

static void bound_max(struct bound *b)
{
	if (!b->limit.given)
		bound_line(b, "maximum ", ".  No limit is specified", NULL);
	else if (quantity_cmp(&b->limit.q, &b->q) > 0)
		bound_line(b, "maximum ", ", but limit is ", &b->limit.q);
	else if (b->request.given && quantity_cmp(&b->request.q, &b->q) > 0)
		bound_line(b, "maximum ", ", but request is ", &b->request.q);
}

/* Of a claim: it has no limits. */
static void bound_max_request(struct bound *b)
{
	if (!b->request.given)
		bound_line(b, "maximum ", ".  No request is specified", NULL);
	else if (quantity_cmp(&b->request.q, &b->q) > 0)
		bound_line(b, "maximum ", ", but request is ", &b->request.q);
}

static void bound_ratio(struct bound *b)
{
	double ratio, most = (double)b->q.nano / NANO;
	const char *lacks = NULL;

	if (!b->request.given || !b->request.q.nano)
		lacks = "no request is specified or request is 0";
	else if (!b->limit.given || !b->limit.q.nano)
		lacks = "no limit is specified or limit is 0";
	ratio = lacks ? 0 : (double)b->limit.q.nano / (double)b->request.q.nano;
	if (!lacks && ratio <= most)
		return;
	if (b->out->len)
		buf_addch(b->out, '\n');
	buf_addf(b->out, "%s max limit to request ratio per %s is ", b->name, b->type);
	bound_text(&b->q, b->out);
	if (lacks)
		buf_addf(b->out, ", but %s", lacks);
	else
		buf_addf(b->out, ", but provided ratio is %f", ratio);
}

static void amount_of(struct amount *a, const struct node *owner, enum field list, const char *name)
{
	a->given = quantity_from_node(&a->q, node_getc(node_path(owner, F_resources, list), name));
}

/* All bounds of one kind in a line; owner: the container or claim, NULL: the pod with this spec. */
static void limits_hold(const struct node *item, enum field which, void (*check)(struct bound *b),
			const struct node *owner, const struct node *spec, struct buf *out)
{
	NODE_FOREACH(n, node_get(item, which)) {
		struct bound b = { .type = node_gets(item, F_type), .name = n->key, .out = out };

		if (!quantity_from_node(&b.q, n))
			continue;
		if (owner) {
			amount_of(&b.request, owner, F_requests, n->key);
			amount_of(&b.limit, owner, F_limits, n->key);
		} else {
			b.request.given = usage_pod_sum(spec, F_requests, n->key, false, &b.request.q);
			b.limit.given = usage_pod_sum(spec, F_limits, n->key, false, &b.limit.q);
		}
		check(&b);
	}
}

static void limits_check(const struct node *item, const struct node *owner, const struct node *spec, struct buf *out)
{
	limits_hold(item, F_min, bound_min, owner, spec, out);
	limits_hold(item, F_max, bound_max, owner, spec, out);
	limits_hold(item, F_maxLimitRequestRatio, bound_ratio, owner, spec, out);
}

static void limits_check_item(struct admission *a, const struct node *item, bool pod, struct buf *out)
{
	const struct node *spec = node_get(a->root, F_spec);
	const char *type = node_gets(item, F_type);

	if (pod && streq(type, "Container")) {
		NODE_FOREACH(c, node_get(spec, F_containers))
			limits_check(item, c, NULL, out);
		NODE_FOREACH(c, node_get(spec, F_initContainers))
			limits_check(item, c, NULL, out);
	} else if (pod && streq(type, "Pod")) {
		limits_check(item, NULL, spec, out);
	} else if (!pod && streq(type, "PersistentVolumeClaim")) {
		limits_hold(item, F_min, bound_min, spec, NULL, out);
		limits_hold(item, F_max, bound_max_request, spec, NULL, out);
	}
}

/* One message as it is, several in brackets, each once: Go's aggregate of errors. */
static int limits_refuse(struct admission *a, const struct buf *lines, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct str rest = buf_str(lines);
	bool many = memchr(lines->s, '\n', lines->len) != NULL;
	size_t n = 0;

	while (rest.p) {
		struct str line = str_cut(&rest, '\n'), before = str_n(lines->s, (size_t)(line.p - lines->s));
		bool seen = false;

		while (before.n && !seen)
			seen = str_eq(str_cut(&before, '\n'), line);
		if (seen)
			continue;
		buf_addf(&text, "%s%" STR_FMT, n++ ? ", " : "", STR_ARG(line));
	}
	if (many && n > 1)
		return admit_forbid(a, e, "[%s]", text.s);
	return admit_forbid(a, e, "%s", text.s);
}

/* Every pod of the namespace is held against all of it. */
static int limits_check_range(const struct admission *a, struct err *e)
{
	static const enum field lists[] = { F_default, F_defaultRequest, F_min, F_max, F_maxLimitRequestRatio };
	size_t n = 0;

	NODE_FOREACH(item, node_path(a->root, F_spec, F_limits))
		for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
			n += node_count(node_get(item, lists[i]));
	return n <= LIMIT_RANGE_NAMES ? 0 :
					err_invalid(e, NULL, "LimitRange", a->r->at.name, "FieldValueTooMany", "spec.limits",
						    "%zu: must have at most %d items", n, LIMIT_RANGE_NAMES);
}

int admit_limits_validate(struct admission *a, struct err *e)
{
	_cleanup_buf_ struct buf lines = BUF_INIT;
	bool claim = admit_is(a, "", "persistentvolumeclaims") && admit_sub(a, "");
	bool resize = a->old && admit_is(a, "", "pods") && admit_sub(a, "resize");
	struct store_list l;

	if (admit_is(a, "", "limitranges"))
		return limits_check_range(a, e);
	if ((!claim && !resize && !admit_new_pod(a)) || !limits_of(a, &l))
		return 0;
	for (size_t i = 0; i < l.n && !lines.len; i++) /* Kubernetes stops at the first LimitRange that says no */
		NODE_FOREACH(item, node_path(obj_node(l.objs[i]), F_spec, F_limits))
			limits_check_item(a, item, !claim, &lines);
	store_list_release(&l);
	return lines.len ? limits_refuse(a, &lines, e) : 0;
}
