/*
 * One container of a pod: what it is, what it waits for, how an attempt ends and
 * whether another follows.
 */
#include "node/container.h"

const struct node *node_named(const struct node *list, const char *name)
{
	NODE_FOREACH (c, list)
		if (node_streq(node_get(c, F_name), name))
			return c;
	return NULL;
}

struct ctr *ctr_new(struct pod *p, const char *name, enum ctr_kind kind)
{
	struct ctr *c = xcalloc(1, sizeof(*c));

	c->pod = p;
	c->kind = kind;
	c->name = xstrdup(name);
	c->image_name = xstrdup("");
	c->image_id = xstrdup("");
	return c;
}

void ctr_end_clear(struct ctr_end *e)
{
	free(e->message);
	*e = (struct ctr_end){0};
}

struct ctr *ctr_free(struct ctr *c)
{
	if (!c)
		return NULL;
	probes_stop(c);
	hook_cancel(c);
	ctr_end_clear(&c->end);
	ctr_end_clear(&c->last);
	free(c->name);
	free(c->image);
	free(c->image_name);
	free(c->image_id);
	free(c->message);
	free(c->resources);
	free(c->pull_error);
	free(c);
	return NULL;
}

static enum field kind_field(enum ctr_kind k)
{
	return k == CTR_MAIN ? F_containers : k == CTR_EPHEMERAL ? F_ephemeralContainers : F_initContainers;
}

const struct node *ctr_spec(struct ctr *c)
{
	return node_named(node_get(pod_spec(c->pod), kind_field(c->kind)), c->name);
}

char *ctr_field_path(const struct ctr *c)
{
	return xasprintf("spec.%s{%s}", doc_field_name(kind_field(c->kind)), c->name);
}

struct ctr *pod_ctr(struct pod *p, const char *name)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (streq(p->ctrs[i]->name, name))
			return p->ctrs[i];
	return NULL;
}

static void make_kind(struct pod *p, const struct node *list, enum ctr_kind kind)
{
	NODE_FOREACH (s, list) {
		const char *name = node_gets(s, F_name);
		bool sidecar = kind == CTR_INIT && node_streq(node_get(s, F_restartPolicy), "Always");

		if (pod_ctr(p, name))
			continue;
		p->ctrs = xreallocarray(p->ctrs, p->n_ctrs + 1, sizeof(*p->ctrs));
		p->ctrs[p->n_ctrs++] = ctr_new(p, name, sidecar ? CTR_SIDECAR : kind);
	}
}

void pod_make_ctrs(struct pod *p)
{
	const struct node *spec = pod_spec(p);

	make_kind(p, node_get(spec, F_initContainers), CTR_INIT);
	make_kind(p, node_get(spec, F_containers), CTR_MAIN);
	make_kind(p, node_get(spec, F_ephemeralContainers), CTR_EPHEMERAL);
}

struct container *ctr_run(struct ctr *c)
{
	return c->pod->sandbox ? sandbox_container(c->pod->sandbox, c->name) : NULL;
}

bool ctr_alive(const struct ctr *c)
{
	return c->state == CTR_STARTING || c->state == CTR_UP;
}

void ctr_wait(struct ctr *c, const char *reason, const char *message)
{
	c->reason = reason;
	set_str(&c->message, message);
}

void ctr_event(struct ctr *c, const char *type, const char *reason, const char *text)
{
	char *path = ctr_field_path(c);

	pod_event(c->pod, path, type, reason, "%s", text);
	free(path);
}

static const char *pod_policy(struct pod *p)
{
	return node_cstr_or(node_get(pod_spec(p), F_restartPolicy), "Always");
}

bool ctr_will_restart(struct ctr *c)
{
	bool wanted = restart_by_spec(ctr_spec(c), pod_policy(c->pod), c->restart_asked, c->end.exit_code);

	switch (c->kind) {
	case CTR_SIDECAR:
		return true;
	case CTR_INIT:
		return c->end.exit_code != 0 && wanted;
	case CTR_EPHEMERAL:
		return false;
	case CTR_MAIN:
		break;
	}
	return wanted;
}

char *ctr_log_file(struct ctr *c, unsigned attempt)
{
	_cleanup_free_ char *dir = pod_log_dir(c->pod->agent, c->pod->ns, c->pod->name, c->pod->uid);

	return xasprintf("%s/%s/%u.log", dir, c->name, attempt);
}

/* --- the end of an attempt --- */

void ctr_down(struct ctr *c)
{
	probes_stop(c);
	hook_cancel(c);
	c->state = CTR_DOWN;
	c->ready = c->started = c->stopping = c->pulled = c->post_start = false;
	c->retry_ms = 0;
	ctr_wait(c, NULL, NULL);
	pod_kick(c->pod);
}

void ctr_ended(struct ctr *c, const struct container_status *st)
{
	if (!streq(c->id, st->id) || c->state == CTR_DOWN)
		return;
	ctr_end_clear(&c->end);
	c->end.set = true;
	c->end.exit_code = st->exit_code;
	c->end.reason = st->oom_killed ? "OOMKilled" : st->exit_code == 0 ? "Completed" : "Error";
	c->end.message = ctr_message(c, st->exit_code);
	c->end.started_s = st->started_ns / SEC_NS;
	c->end.finished_s = st->finished_ns / SEC_NS;
	snprintf(c->end.id, sizeof(c->end.id), "%s", st->id);
	/* The end may have been long ago, while the daemon was away. */
	c->end_ms = time_mono_ms() - max_i64(0, (time_wall_ns() - st->finished_ns) / 1000000);
	log_info("container ended", LS("pod", c->pod->name), LS("ns", c->pod->ns), LS("container", c->name),
		 LI("exit", st->exit_code));
	ctr_down(c);
}

void ctr_end_make(struct ctr *c, int exit_code, const char *reason)
{
	ctr_end_clear(&c->end);
	c->end.set = true;
	c->end.exit_code = exit_code;
	c->end.reason = reason;
	c->end.finished_s = time_wall_s();
	snprintf(c->end.id, sizeof(c->end.id), "%s", c->id);
	c->end_ms = time_mono_ms();
}

void ctr_lost(struct ctr *c)
{
	if (!ctr_alive(c))
		return;
	ctr_end_make(c, 255, "Unknown");
	c->end.started_s = c->started_s;
	ctr_down(c);
}
