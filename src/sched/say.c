/*
 * What users read: why a pod is not scheduled, in kube-scheduler's words.
 */
#include "sched/internal.h"

static int say_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* " 1 Insufficient cpu, 2 node(s) were unschedulable", sorted as texts. A reason that is about no node has no number. */
static void say_reasons(const struct sched_trial *t, struct buf *out)
{
	VEC(char *) lines = VEC_INIT;

	for (size_t i = 0; i < t->reasons.n; i++) {
		const struct sched_reason *r = &t->reasons.v[i];

		VEC_PUSH(&lines, r->nodes ? xasprintf("%lld %s", (long long)r->nodes, r->text) : xstrdup(r->text));
	}
	if (lines.n)
		qsort(lines.v, lines.n, sizeof(char *), say_cmp);
	for (size_t i = 0; i < lines.n; i++) {
		buf_addf(out, "%s%s", i ? ", " : " ", lines.v[i]);
		free(lines.v[i]);
	}
	VEC_RELEASE(&lines);
}

char *say_message(const struct sched_trial *t, const char *preemption)
{
	struct buf b = BUF_INIT;

	if (!t->nodes)
		return xstrdup("no nodes available to schedule pods");
	buf_addf(&b, "0/%lld nodes are available:", (long long)t->nodes);
	say_reasons(t, &b);
	buf_adds(&b, ".");
	if (preemption)
		buf_addf(&b, " no new claims to deallocate, preemption: %s", preemption);
	return buf_detach(&b, NULL);
}

void say_unschedulable(struct sched *s, struct sched_pod *p, const char *reason, const char *message)
{
	const char *nominated = p->nominated ? p->nominated->name : NULL;
	const struct node *status = node_get(obj_node(p->obj), F_status);
	struct doc *d;
	struct node *root, *st;

	if (!streq(reason, "SchedulingGated"))
		client_event(s->client, p->obj, NULL, s->name, NULL, "Warning", "FailedScheduling", "%s", message);
	if (p->said && streq(p->said, message) &&
	    streq(node_gets(status, F_nominatedNodeName), nominated ? nominated : ""))
		return;
	free(p->said);
	p->said = xstrdup(message);
	d = doc_new();
	root = node_new(d, DOC_OBJECT);
	doc_set_root(d, root);
	st = node_need_object(d, root, F_status);
	cond_set(d, node_need_array(d, st, F_conditions), "PodScheduled", "False", reason, message);
	if (nominated)
		node_sets(d, st, F_nominatedNodeName, nominated);
	else if (*node_gets(status, F_nominatedNodeName))
		node_set(d, st, F_nominatedNodeName, node_new(d, DOC_NULL));
	client_patch(s->client, schema_res("", "pods"), p->obj->ns, p->obj->name, "status", PATCH_STRATEGIC, d, NULL, NULL);
}
