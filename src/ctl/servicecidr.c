/*
 * ServiceCIDRs, as Kubernetes' service-cidr-controller: each gets a finalizer and the
 * condition Ready. One that is to go stays as long as an address of a Service is in it
 * and in no other; it says so in its condition, and the API gives no more addresses of
 * it meanwhile. When it is free of them it goes, after a while in which every server
 * has seen that it is to go.
 */
#include "base/ip.h"
#include "base/time.h"
#include "ctl/internal.h"

enum { OF_CIDRS, OF_ADDRESSES };

#define CIDR_FINALIZER "networking.k8s.io/service-cidr-finalizer"
#define CIDR_GRACE_S 10
#define CIDR_GOING "*" /* the key for all that are to go */

static bool cidr_has(struct obj *o, const struct ip_addr *a)
{
	struct ip_prefix p;

	NODE_FOREACH(c, node_path(obj_node(o), F_spec, F_cidrs))
		if (ip_prefix_parse(&p, node_str(c)) && ip_prefix_has(&p, a))
			return true;
	return false;
}

static bool cidr_covers(struct obj *o, const struct ip_prefix *q)
{
	struct ip_prefix p;

	NODE_FOREACH(c, node_path(obj_node(o), F_spec, F_cidrs))
		if (ip_prefix_parse(&p, node_str(c)) && ip_prefix_covers(&p, q))
			return true;
	return false;
}

/* Is all of it in others that stay? */
static bool cidr_has_parents(const struct ctl_view *v, struct obj *o)
{
	NODE_FOREACH(c, node_path(obj_node(o), F_spec, F_cidrs)) {
		struct ip_prefix p;
		bool found = !ip_prefix_parse(&p, node_str(c));

		for (struct obj *b = NULL; !found && (b = informer_next(v->of[OF_CIDRS], NULL, b));)
			found = b != o && !meta_is_deleting(obj_node(b)) && cidr_covers(b, &p);
		if (!found)
			return false;
	}
	return true;
}

static bool address_has_other(const struct ctl_view *v, struct obj *o, const struct ip_addr *a)
{
	for (struct obj *b = NULL; (b = informer_next(v->of[OF_CIDRS], NULL, b));)
		if (b != o && !meta_is_deleting(obj_node(b)) && cidr_has(b, a))
			return true;
	return false;
}

static bool cidr_is_in_use(const struct ctl_view *v, struct obj *o)
{
	struct ip_addr a;

	if (cidr_has_parents(v, o))
		return false;
	for (struct obj *i = NULL; (i = informer_next(v->of[OF_ADDRESSES], NULL, i));)
		if (ipaddress_is_managed(obj_node(i)) && ip_parse(&a, str_of(i->name)) && cidr_has(o, &a) &&
		    !address_has_other(v, o, &a))
			return true;
	return false;
}

static struct node *cidr_finalizer(const struct node *root)
{
	NODE_FOREACH(f, node_get(meta_of(root), F_finalizers))
		if (node_streq(f, CIDR_FINALIZER))
			return f;
	return NULL;
}

static void cidr_say(struct obj *o, bool ready, const char *reason, const char *text, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(o));
	struct node *conditions = node_need_array(d, node_need_object(d, doc_root(d), F_status), F_conditions);

	if (cond_set(d, conditions, "Ready", ready ? "True" : "False", reason, text))
		plan_update(out, o->res, NULL, o->name, "status", d);
	else
		doc_unref(d);
}

static int64_t cidr_deleted_s(struct obj *o)
{
	int64_t ns;

	if (!time_parse_rfc3339(node_str(node_get(meta_of(obj_node(o)), F_deletionTimestamp)), &ns))
		return 0;
	return ns / 1000000000;
}

static void cidr_end(const struct ctl_view *v, struct obj *o, struct plan *out)
{
	int64_t left_s;
	struct doc *d;

	if (!cidr_finalizer(obj_node(o)))
		return;
	if (cidr_is_in_use(v, o)) {
		cidr_say(o, false, "Terminating",
			 "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
			 out);
		return;
	}
	left_s = cidr_deleted_s(o) + CIDR_GRACE_S - time_wall_s();
	if (left_s > 0) {
		plan_again(out, left_s * 1000);
		return;
	}
	d = doc_clone(obj_doc(o));
	node_remove_child(node_get(node_get(doc_root(d), F_metadata), F_finalizers), cidr_finalizer(doc_root(d)));
	plan_update(out, o->res, NULL, o->name, NULL, d);
}

static void cidr_begin(struct obj *o, struct plan *out)
{
	struct doc *d;

	if (!cidr_finalizer(obj_node(o))) {
		d = doc_clone(obj_doc(o));
		node_append(node_need_array(d, node_need_object(d, doc_root(d), F_metadata), F_finalizers),
			    node_new_cstr(d, CIDR_FINALIZER));
		plan_update(out, o->res, NULL, o->name, NULL, d);
		return; /* it is looked at again as it is then */
	}
	cidr_say(o, true, "", "Kubernetes Service CIDR is ready", out);
}

void servicecidr_key_of_address(struct obj *o, struct buf *out)
{
	if (ipaddress_is_managed(obj_node(o)))
		buf_adds(out, CIDR_GOING);
}

/* Another one, or an address less, may be what one that is to go has waited for. */
int servicecidr_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct obj *o = streq(key, CIDR_GOING) ? NULL : informer_find(v->of[OF_CIDRS], "", key);

	if (o && !meta_is_deleting(obj_node(o)))
		cidr_begin(o, out);
	for (struct obj *i = NULL; (i = informer_next(v->of[OF_CIDRS], NULL, i));)
		if (meta_is_deleting(obj_node(i)))
			cidr_end(v, i, out);
	return 0;
}
