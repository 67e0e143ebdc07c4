/*
 * What the controllers that make pods have in common: whose a pod is, which go
 * first, and how one is made from a template (Kubernetes' pkg/controller).
 */
#include "ctl/pods.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/time.h"

#define PODS_BATCH_MAX 64 /* created in one turn of the loop */

/* --- claiming --- */

struct doc *pod_patch(const struct kid *c, struct node **ret_meta)
{
	struct doc *d = doc_new();

	doc_set_root(d, node_new(d, DOC_OBJECT));
	*ret_meta = node_need_object(d, doc_root(d), F_metadata);
	node_sets(d, *ret_meta, F_uid, c->obj->uid);
	return d;
}

static void kid_set_controller(struct doc *d, struct node *ref, struct obj *owner)
{
	node_sets(d, ref, F_apiVersion, owner->res->api_version);
	node_sets(d, ref, F_kind, owner->res->kind);
	node_sets(d, ref, F_name, owner->name);
	node_sets(d, ref, F_uid, owner->uid);
	node_setb(d, ref, F_controller, true);
	node_setb(d, ref, F_blockOwnerDeletion, true);
}

void pod_set_controller(struct doc *d, struct node *meta, struct obj *owner)
{
	kid_set_controller(d, node_append(node_need_array(d, meta, F_ownerReferences), node_new(d, DOC_OBJECT)), owner);
}

/* Jobs count their pods by a finalizer (job.h). */
static bool kid_owner_tracks(struct obj *owner)
{
	return streq(owner->res->kind, "Job");
}

void pod_patch_untrack(struct doc *d, struct node *meta)
{
	struct node *gone = node_setk(d, meta, STR_LIT("$deleteFromPrimitiveList/finalizers"), node_new(d, DOC_ARRAY));

	node_append(gone, node_new_cstr(d, KIDS_TRACKING));
}

static void kid_adopt(struct plan *p, struct obj *owner, const struct kid *c)
{
	struct node *meta;
	struct doc *d = pod_patch(c, &meta);

	pod_set_controller(d, meta, owner);
	if (kid_owner_tracks(owner))
		node_append(node_need_array(d, meta, F_finalizers), node_new_cstr(d, KIDS_TRACKING));
	plan_patch(p, c->obj->res, c->obj->ns, c->obj->name, PATCH_STRATEGIC, d);
}

static void kid_release(struct plan *p, struct obj *owner, const struct kid *c)
{
	struct node *meta, *ref;
	struct doc *d = pod_patch(c, &meta);

	ref = node_append(node_need_array(d, meta, F_ownerReferences), node_new(d, DOC_OBJECT));
	node_setk(d, ref, STR_LIT("$patch"), node_new_cstr(d, "delete"));
	node_sets(d, ref, F_uid, owner->uid);
	if (kid_owner_tracks(owner))
		pod_patch_untrack(d, meta);
	plan_patch(p, c->obj->res, c->obj->ns, c->obj->name, PATCH_STRATEGIC, d);
}

static bool kid_matches(const struct selector *s, const struct kid *c)
{
	return s && selector_match(s, c->labels->set);
}

void kids_claim(const struct kids *k, struct obj *owner, const struct selector *s,
		bool (*wanted)(const struct kid *c), struct plan *p, kid_vec *out)
{
	const struct kid_owner *own = kids_of(k, owner->ns, owner->uid), *orphans = kids_of(k, owner->ns, "");
	bool deleting = meta_is_deleting(obj_node(owner)), asked = false;
	struct kid *c;

	if (own)
		TAILQ_FOREACH(c, &own->list, link) {
			if (wanted && !wanted(c))
				continue;
			if (kid_matches(s, c))
				VEC_PUSH(out, c);
			else if (!deleting && p)
				kid_release(p, owner, c);
		}
	if (!orphans || deleting)
		return;
	TAILQ_FOREACH(c, &orphans->list, link) {
		if (c->terminating || (wanted && !wanted(c)) || !kid_matches(s, c))
			continue;
		if (!p)
			continue;
		if (!asked)
			plan_alive(p, owner);
		asked = true;
		kid_adopt(p, owner, c);
		VEC_PUSH(out, c);
	}
}

/* --- states --- */

bool pod_is_active(const struct kid *c)
{
	return c->phase < POD_SUCCEEDED && !c->terminating;
}

bool pod_is_terminating(const struct kid *c)
{
	return c->phase < POD_SUCCEEDED && c->terminating;
}

bool pod_is_available(const struct kid *c, int64_t min_ready_s, int64_t now_s)
{
	return c->ready && (min_ready_s <= 0 || (c->ready_s && c->ready_s + min_ready_s <= now_s));
}

int64_t pods_next_available_ms(const kid_vec *pods, int64_t min_ready_s, int64_t now_s)
{
	int64_t next = 0;

	for (size_t i = 0; i < pods->n; i++) {
		const struct kid *c = pods->v[i];
		int64_t in = c->ready_s + min_ready_s - now_s;

		if (c->ready && c->ready_s && in > 0 && min_ready_s > 0 && (!next || in < next))
			next = in;
	}
	return next * SEC_MS;
}

/* --- the order of deletion --- */

/* -1: a before b. Zero counts as later than all. */
static int pod_later_first(int64_t a, int64_t b)
{
	if (a == b)
		return 0;
	if (!a || !b)
		return a ? 1 : -1;
	return a > b ? -1 : 1;
}

static int pod_log2(int64_t seconds)
{
	int n = -1;

	for (double d = (double)seconds * (double)SEC_NS; d >= 1; d /= 2)
		n++;
	return n;
}

/* The later first, in powers of two of the age, so that which of many of one age go is a matter of chance. */
static int pod_age_cmp(const struct kid *a, int64_t ta, const struct kid *b, int64_t tb, int64_t now_s)
{
	int d;

	if (!ta || !tb || !now_s)
		return pod_later_first(ta, tb);
	d = pod_log2(now_s - ta) - pod_log2(now_s - tb);
	return d ? d : strcmp(a->obj->uid, b->obj->uid);
}

int pod_rank_cmp(const struct pod_rank *ra, const struct pod_rank *rb, int64_t now_s)
{
	const struct kid *a = ra->pod, *b = rb->pod;

	if (!a->node != !b->node)
		return a->node ? 1 : -1;
	if (a->phase != b->phase)
		return a->phase - b->phase;
	if (a->ready != b->ready)
		return a->ready ? 1 : -1;
	if (a->cost != b->cost)
		return a->cost < b->cost ? -1 : 1;
	if (ra->crowd != rb->crowd)
		return ra->crowd > rb->crowd ? -1 : 1;
	if (a->ready && a->ready_s != b->ready_s)
		return pod_age_cmp(a, a->ready_s, b, b->ready_s, now_s);
	if (a->restarts != b->restarts)
		return a->restarts > b->restarts ? -1 : 1;
	if (a->sidecar_restarts != b->sidecar_restarts)
		return a->sidecar_restarts > b->sidecar_restarts ? -1 : 1;
	if (a->created_s != b->created_s)
		return pod_age_cmp(a, a->created_s, b, b->created_s, now_s);
	return 0;
}

static int pod_rank_order(const void *a, const void *b, void *now_s)
{
	return pod_rank_cmp(a, b, *(int64_t *)now_s);
}

static int pod_node_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* How often node is in the sorted nodes. */
static size_t pods_on_node(const uint64_t *nodes, size_t n, uint64_t node)
{
	size_t lo = 0, hi = n, count = 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (nodes[mid] < node)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && nodes[lo] == node; lo++)
		count++;
	return count;
}

void pods_sort_for_deletion(kid_vec *pods, const kid_vec *related, int64_t now_s)
{
	_cleanup_free_ uint64_t *nodes = xcalloc(related->n + 1, sizeof(*nodes));
	_cleanup_free_ struct pod_rank *ranks = xcalloc(pods->n + 1, sizeof(*ranks));
	size_t n = 0, last = 0;

	for (size_t i = 0; i < related->n; i++)
		if (pod_is_active(related->v[i]))
			nodes[n++] = related->v[i]->node;
	qsort(nodes, n, sizeof(*nodes), pod_node_order);
	for (size_t i = 0; i < pods->n; i++) {
		ranks[i].pod = pods->v[i];
		if (i && pods->v[i]->node == pods->v[last]->node)
			ranks[i].crowd = ranks[last].crowd;
		else
			ranks[i].crowd = pods_on_node(nodes, n, pods->v[i]->node);
		last = i;
	}
	qsort_r(ranks, pods->n, sizeof(*ranks), pod_rank_order, &now_s);
	for (size_t i = 0; i < pods->n; i++)
		pods->v[i] = ranks[i].pod;
}

/* --- making and removing them --- */

static void pod_copy_member(struct doc *d, struct node *to, const struct node *from, enum field f)
{
	if (node_count(node_get(from, f)))
		node_set(d, to, f, node_copy(d, node_get(from, f)));
}

struct doc *pod_from_template(struct obj *owner, const struct node *tmpl)
{
	const struct node *from = node_get(tmpl, F_metadata), *spec = node_get(tmpl, F_spec);
	_cleanup_free_ char *prefix = xasprintf("%s-", owner->name);
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "v1");
	node_sets(d, root, F_kind, "Pod");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_generateName, schema_check_dns_subdomain(str_of(owner->name)) ? owner->name : prefix);
	pod_copy_member(d, meta, from, F_labels);
	pod_copy_member(d, meta, from, F_annotations);
	pod_copy_member(d, meta, from, F_finalizers);
	pod_set_controller(d, meta, owner);
	if (spec)
		node_set(d, root, F_spec, node_copy(d, spec));
	return d;
}

void pods_create_one(struct plan *p, struct obj *owner, struct doc *pod_take)
{
	plan_create(p, schema_res("", "pods"), owner->ns, pod_take);
	plan_say(p, owner, "SuccessfulCreate", "Created pod: ", "FailedCreate", "Error creating: ");
}

void pods_batch_next(struct plan *p, struct pods_batch *b)
{
	if (b->filled < b->size) {
		b->filled++;
		return;
	}
	plan_then(p);
	b->filled = 1;
	b->size = !b->size ? 1 : b->size * 2 < PODS_BATCH_MAX ? b->size * 2 : PODS_BATCH_MAX;
}

void pods_create(struct plan *p, struct obj *owner, const struct node *tmpl, size_t n)
{
	struct pods_batch batch = { 0 };

	for (size_t i = 0; i < n; i++) {
		pods_batch_next(p, &batch);
		pods_create_one(p, owner, pod_from_template(owner, tmpl));
	}
	plan_then(p);
}

void pods_delete_one(struct plan *p, struct obj *owner, const struct kid *c)
{
	_cleanup_free_ char *text = xasprintf("Deleted pod: %s", c->obj->name);

	plan_delete(p, c->obj->res, c->obj->ns, c->obj->name, c->obj->uid);
	plan_say(p, owner, "SuccessfulDelete", text, "FailedDelete", "Error deleting: ");
}

char *pod_hash(struct str text)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	char *out = xasprintf("%u", (unsigned)hash_fnv32a(text));

	for (char *c = out; *c; c++)
		*c = alphabet[(unsigned char)*c % (sizeof(alphabet) - 1)];
	return out;
}

int64_t intstr_of(const struct node *n, int64_t total, bool up, int64_t dflt)
{
	struct str s = node_str(n);
	int64_t percent;

	if (node_is(n, DOC_INT))
		return node_int(n, 0);
	if (!s.n || s.p[s.n - 1] != '%' || !str_to_i64(str_sub(s, 0, s.n - 1), &percent))
		return dflt;
	return (percent * total + (up ? 99 : 0)) / 100;
}
