/*
 * Objects that pods refer to: each kind is watched from the first need on, and the
 * pods that wait for one of its objects, or show it, are told when it changes.
 */
#include <errno.h>

#include "node/internal.h"

static const struct {
	const char *group, *plural;
} ref_kinds[REF_KINDS] = {
	[REF_CONFIGMAP] = {"", "configmaps"},
	[REF_SECRET] = {"", "secrets"},
	[REF_SERVICE] = {"", "services"},
	[REF_CLAIM] = {"", "persistentvolumeclaims"},
	[REF_VOLUME] = {"", "persistentvolumes"},
};

static bool waits_for_config(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->state == CTR_WAIT && p->ctrs[i]->reason &&
		    streq(p->ctrs[i]->reason, "CreateContainerConfigError"))
			return true;
	return false;
}

/* o NULL: all of the kind are known now. */
static void ref_changed(struct node_agent *n, enum agent_ref kind, struct obj *o)
{
	struct map_iter it = {0};

	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		if (o && *o->ns && !streq(p->ns, o->ns))
			continue;
		if (p->state > POD_RUN)
			continue;
		if (!o || p->state == POD_SETUP || waits_for_config(p) || volumes_refer(p, kind, o->name)) {
			p->refs_changed = true;
			pod_kick(p);
		}
	}
}

static void on_ref(void *arg, enum watch_type t UNUSED, struct obj *o, struct obj *old UNUSED)
{
	struct ref_follow *f = arg;
	enum agent_ref kind = (enum agent_ref)(f - f->agent->refs);

	if (kind != REF_SERVICE && f->informer && informer_synced(f->informer))
		ref_changed(f->agent, kind, o);
}

static void on_refs_synced(void *arg)
{
	struct ref_follow *f = arg;

	ref_changed(f->agent, REF_CONFIGMAP, NULL);
}

static const struct informer_ops ref_ops = {.on_event = on_ref, .on_synced = on_refs_synced};

static struct informer *agent_refs(struct node_agent *n, enum agent_ref kind)
{
	struct ref_follow *f = &n->refs[kind];

	if (!f->informer) {
		f->agent = n;
		f->informer =
			informer_get(n->client, schema_res(ref_kinds[kind].group, ref_kinds[kind].plural), NULL);
		informer_subscribe(f->informer, &ref_ops, f);
	}
	return f->informer;
}

int agent_ref(struct node_agent *n, enum agent_ref kind, const char *ns, const char *name, struct obj **ret)
{
	struct informer *i = agent_refs(n, kind);

	*ret = informer_find(i, ns, name);
	if (*ret)
		return 1;
	return informer_synced(i) ? 0 : -EAGAIN;
}

struct informer *agent_services(struct node_agent *n)
{
	struct informer *i = agent_refs(n, REF_SERVICE);

	return informer_synced(i) ? i : NULL;
}

void agent_refs_free(struct node_agent *n)
{
	for (size_t k = 0; k < REF_KINDS; k++)
		if (n->refs[k].informer)
			informer_unsubscribe(n->refs[k].informer, &n->refs[k]);
}
