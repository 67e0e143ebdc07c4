/*
 * RuntimeClass: which handler a pod's class names. There is one runtime here, and
 * it answers to the names that classes for the usual ones have. Mirrors
 * pkg/kubelet/runtimeclass; the texts are the kubelet's and containerd's.
 */
#include <errno.h>

#include "node/isolate.h"

static const char *const handlers[] = {"", "runc", "crun", "kinglet"};

/* Pods that wait for their class try again. */
static void on_class(void *arg, enum watch_type t UNUSED, struct obj *o UNUSED, struct obj *old UNUSED)
{
	struct node_agent *n = arg;
	struct map_iter it = {0};

	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		if (p->state != POD_SETUP || !node_get(pod_spec(p), F_runtimeClassName))
			continue;
		p->step_retry_ms = 0;
		pod_kick(p);
	}
}

static void on_classes(void *arg)
{
	on_class(arg, WATCH_ADDED, NULL, NULL);
}

static const struct informer_ops class_ops = {.on_event = on_class, .on_synced = on_classes};

int handler_check(struct pod *p, struct err *e)
{
	const char *name = node_cstr(node_get(pod_spec(p), F_runtimeClassName)), *handler;
	struct node_agent *n = p->agent;
	struct obj *class;

	if (!name || !*name)
		return 0;
	if (!n->classes) {
		n->classes = informer_get(n->client, schema_res("node.k8s.io", "runtimeclasses"), NULL);
		informer_subscribe(n->classes, &class_ops, n);
	}
	class = informer_find(n->classes, "", name);
	if (!class && !informer_synced(n->classes))
		return -EAGAIN;
	if (!class)
		return err_set(e, ERR_NOT_FOUND, "runtimeclass.node.k8s.io \"%s\" not found", name);
	handler = node_gets(obj_node(class), F_handler);
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		if (streq(handler, handlers[i]))
			return 0;
	return err_set(e, ERR_INVALID, "failed to get sandbox runtime: no runtime for \"%s\" is configured", handler);
}

void handler_release(struct node_agent *n)
{
	if (n->classes)
		informer_unsubscribe(n->classes, n);
}

void handler_put(struct node_agent *n, struct doc *d, struct node *status)
{
	struct node *list = node_need_array(d, status, F_runtimeHandlers);
	const struct run_machine *m = run_machine(n->runtime);

	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
		struct node *o = node_append(list, node_new(d, DOC_OBJECT)), *f;

		node_sets(d, o, F_name, handlers[i]);
		f = node_need_object(d, o, F_features);
		node_setb(d, f, F_recursiveReadOnlyMounts, true);
		node_setb(d, f, F_userNamespaces, m->user_ns);
	}
	node_setb(d, node_need_object(d, status, F_features), F_supplementalGroupsPolicy, true);
}
