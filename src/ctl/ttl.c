/*
 * Removes Jobs with what they own when spec.ttlSecondsAfterFinished have passed
 * since they finished. What the clock says is read when the time has come, so
 * one that was set meanwhile does no harm.
 */
#include "ctl/internal.h"

#include "base/time.h"

void ttl_key(struct obj *o, struct buf *out)
{
	if (obj_json_has(o, "\"ttlSecondsAfterFinished\":"))
		ctl_key_self(o, out);
}

/* Unix seconds; 0: it has not finished. */
static int64_t ttl_finished_s(const struct node *root)
{
	NODE_FOREACH(c, node_path(root, F_status, F_conditions))
	{
		int64_t ns;

		if ((node_streq(node_get(c, F_type), "Complete") || node_streq(node_get(c, F_type), "Failed")) &&
		    node_streq(node_get(c, F_status), "True") &&
		    time_parse_rfc3339(node_str(node_get(c, F_lastTransitionTime)), &ns))
			return ns / SEC_NS;
	}
	return 0;
}

int64_t ttl_due_s(const struct node *root)
{
	const struct node *ttl = node_path(root, F_spec, F_ttlSecondsAfterFinished);
	int64_t finished = ttl ? ttl_finished_s(root) : 0;

	return finished ? finished + node_int(ttl, 0) : 0;
}

int ttl_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	_cleanup_free_ char *ns = str_dup(str_sub(str_of(key), 0, strcspn(key, "/")));
	struct obj *o = informer_find(v->of[0], ns, key + strlen(ns) + 1);
	int64_t due = o && !meta_is_deleting(obj_node(o)) ? ttl_due_s(obj_node(o)) : 0, now = time_wall_s();

	if (!due)
		return 0;
	if (due > now)
		out->again_ms = (due - now) * SEC_MS;
	else
		plan_delete_as(out, o->res, o->ns, o->name, o->uid, "Foreground");
	return 0;
}
