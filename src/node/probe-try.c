/*
 * One asking: its time, its end.
 */
#include "node/container.h"
#include "node/probe.h"

static void try_free(struct probe_try *t)
{
	loop_undefer(t->ctr->pod->agent->loop, &t->task);
	loop_timer_free(t->timer);
	if (t->impl)
		t->impl_free(t->impl);
	free(t->text);
	free(t->timeout_text);
	free(t);
}

void probe_try_cancel(struct probe_try *t)
{
	if (t)
		try_free(t);
}

static void try_report(struct loop_task *task)
{
	struct probe_try *t = CONTAINER_OF(task, struct probe_try, task);
	void (*done)(void *, enum probe_result, const char *) = t->done;
	void *arg = t->arg;
	_cleanup_free_ char *text = message_utf8(str_of(t->text ? t->text : ""));
	enum probe_result r = t->result;

	try_free(t);
	done(arg, r, text);
}

void try_end(struct probe_try *t, enum probe_result r, const char *fmt, ...)
{
	va_list ap;

	if (t->ended)
		return;
	t->ended = true;
	t->result = r;
	va_start(ap, fmt);
	t->text = xvasprintf(fmt, ap);
	va_end(ap);
	loop_timer_clear(t->timer);
	loop_defer(t->ctr->pod->agent->loop, &t->task);
}

static void try_timeout(void *arg)
{
	struct probe_try *t = arg;

	try_end(t, PROBE_FAILED, "%s", t->timeout_text ? t->timeout_text : "timed out");
}

void try_timeout_text(struct probe_try *t, const char *fmt, ...)
{
	va_list ap;

	free(t->timeout_text);
	va_start(ap, fmt);
	t->timeout_text = xvasprintf(fmt, ap);
	va_end(ap);
}

struct probe_try *try_new(struct ctr *c, int64_t timeout_ms, void (*done)(void *, enum probe_result, const char *),
			  void *arg)
{
	struct probe_try *t = xcalloc(1, sizeof(*t));

	t->ctr = c;
	t->timeout_ms = timeout_ms;
	t->done = done;
	t->arg = arg;
	t->task.run = try_report;
	t->timer = loop_timer_new(c->pod->agent->loop, try_timeout, t);
	if (timeout_ms > 0)
		loop_timer_set(t->timer, timeout_ms);
	return t;
}

const char *probe_host(struct ctr *c, const struct node *action)
{
	const char *host = node_gets(action, F_host);

	if (*host)
		return host;
	return pod_host_network(c->pod) ? c->pod->agent->ip : c->pod->ip;
}

int probe_port(struct ctr *c, const struct node *port)
{
	int64_t v;

	if (node_is(port, DOC_INT))
		v = node_int(port, 0);
	else if (!str_to_i64(node_str(port), &v))
		v = node_int(node_get(node_named(node_get(ctr_spec(c), F_ports), node_cstr_or(port, "")),
				      F_containerPort),
			     0);
	return v > 0 && v < 65536 ? (int)v : -1;
}
