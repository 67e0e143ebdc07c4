/*
 * In-place resize: the resources of running containers follow the pod's spec
 * (subresource resize), without a restart unless the container's resizePolicy wants
 * one.
 *
 * What a container runs with is kept as text (struct ctr.resources) and shown in its
 * status; where the spec differs, the node decides as the kubelet does
 * (pkg/kubelet/allocation): more than the node can ever give is Infeasible, more than
 * it can give now is Deferred, until pods or the spec change. Both are told by the
 * condition PodResizePending; PodResizeInProgress is true while a container has yet
 * to be restarted, or with the reason Error when the kernel or what is in use
 * forbids it.
 */
#include "node/container.h"
#include "node/pressure.h"

static char *resources_text(const struct node *resources)
{
	struct buf b = BUF_INIT;

	if (resources)
		doc_print_json(&b, resources, DOC_PRINT_COMPACT);
	else
		buf_adds(&b, "{}");
	return buf_detach(&b, NULL);
}

void resize_note(struct ctr *c, const struct node *resources)
{
	char *text = resources_text(resources);

	free(c->resources);
	c->resources = text;
}

static bool may_change(const struct ctr *c)
{
	return (c->kind == CTR_MAIN || c->kind == CTR_SIDECAR) && c->state == CTR_UP && c->resources;
}

static bool differs(struct ctr *c)
{
	_cleanup_free_ char *want = NULL;

	if (!may_change(c))
		return false;
	want = resources_text(node_get(ctr_spec(c), F_resources));
	return !streq(want, c->resources);
}

/* --- the decision --- */

static bool fits_one(struct pod *p, const char *name, int64_t capacity)
{
	long long want = qos_pod_request(pod_spec(p), name), used = pod_used_by_others(p, name);

	free(p->resize_message);
	p->resize_message = NULL;
	if (want > capacity) {
		p->resize_reason = "Infeasible";
		p->resize_message = xasprintf("Node didn't have enough capacity: %s, requested: %lld, capacity: %lld",
					      name, want, (long long)capacity);
		return false;
	}
	if (want + used > capacity) {
		p->resize_reason = "Deferred";
		p->resize_message =
			xasprintf("Node didn't have enough resource: %s, requested: %lld, used: %lld, capacity: %lld",
				  name, want, used, (long long)capacity);
		return false;
	}
	p->resize_reason = NULL;
	return true;
}

static bool fits(struct pod *p)
{
	return fits_one(p, "cpu", node_allocatable(p->agent, "cpu")) &&
	       fits_one(p, "memory", node_allocatable(p->agent, "memory"));
}

/* --- what is done --- */

static bool quantity_same(const struct node *a, const struct node *b, const char *name)
{
	struct quantity x = {0}, y = {0};

	quantity_from_node(&x, node_getc(a, name));
	quantity_from_node(&y, node_getc(b, name));
	return x.nano == y.nano;
}

/* A resource that changed is one whose policy is RestartContainer. */
static bool wants_restart(struct ctr *c, const struct node *old)
{
	const struct node *spec = ctr_spec(c), *now = node_get(spec, F_resources);

	NODE_FOREACH (rule, node_get(spec, F_resizePolicy)) {
		const char *name = node_gets(rule, F_resourceName);

		if (!node_streq(node_get(rule, F_restartPolicy), "RestartContainer"))
			continue;
		if (!quantity_same(node_get(old, F_requests), node_get(now, F_requests), name) ||
		    !quantity_same(node_get(old, F_limits), node_get(now, F_limits), name))
			return true;
	}
	return false;
}

static int change(struct ctr *c, struct err *e)
{
	const struct node *res = node_get(ctr_spec(c), F_resources);
	_cleanup_free_ char *text = NULL;
	_cleanup_doc_ struct doc *old = NULL;
	struct run_limits l;

	if (doc_parse_json(&old, str_of(c->resources), NULL, e) < 0)
		return -e->code;
	if (wants_restart(c, doc_root(old))) {
		if (c->stopping)
			return 0;
		text = xasprintf("Container %s resize requires restart", c->name);
		c->restart_asked = true;
		ctr_stop(c, node_int(node_get(pod_spec(c->pod), F_terminationGracePeriodSeconds), 30) * SEC_MS, text);
		return 0;
	}
	qos_container_limits(pod_spec(c->pod), ctr_spec(c), &l);
	if (container_set_limits(ctr_run(c), &l, e) < 0)
		return -e->code;
	resize_note(c, res);
	return 0;
}

static void resize_event(struct pod *p, const char *type, const char *reason, const char *what)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	NODE_FOREACH (c, node_get(pod_spec(p), F_containers)) {
		_cleanup_free_ char *res = resources_text(node_get(c, F_resources));

		buf_addf(&b, "%s{\"name\":\"%s\",\"resources\":%s}", b.len ? "," : "", node_gets(c, F_name), res);
	}
	pod_event(p, NULL, type, reason, "Pod resize %s: {\"containers\":[%s],\"generation\":%lld%s%s%s}", what, b.s,
		  (long long)node_int(node_get(meta_of(obj_node(p->obj)), F_generation), 0),
		  p->resize_message ? ",\"error\":\"" : "", p->resize_message ? p->resize_message : "",
		  p->resize_message ? "\"" : "");
}

static void apply(struct pod *p)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct run_limits l;
	int r;

	if (!p->resize_going)
		resize_event(p, "Normal", "ResizeStarted", "started");
	p->resize_going = true;
	qos_pod_limits(pod_spec(p), &l);
	r = sandbox_set_limits(p->sandbox, &l, &e);
	for (size_t i = 0; i < p->n_ctrs && r == 0; i++)
		if (differs(p->ctrs[i]))
			r = change(p->ctrs[i], &e);
	if (r < 0) {
		p->resize_reason = "Error";
		set_str(&p->resize_message, err_msg(&e));
	}
}

void resize_run(struct pod *p)
{
	const char *before = p->resize_reason;
	bool due = false;

	for (size_t i = 0; i < p->n_ctrs && !due; i++)
		due = differs(p->ctrs[i]);
	if (!due) {
		p->resize_reason = NULL;
		set_str(&p->resize_message, NULL);
	} else if (fits(p)) {
		apply(p);
	} else if (!before || !streq(before, p->resize_reason)) {
		resize_event(p, "Warning", streq(p->resize_reason, "Deferred") ? "ResizeDeferred" : "ResizeInfeasible",
			     p->resize_reason);
	}
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (differs(p->ctrs[i]) || (p->ctrs[i]->restart_asked && p->ctrs[i]->stopping))
			return;
	if (p->resize_going)
		resize_event(p, "Normal", "ResizeCompleted", "completed");
	p->resize_going = false;
}
