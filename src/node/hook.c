/*
 * Lifecycle hooks of containers: postStart and preStop with exec, httpGet and
 * sleep. One at a time for each container, in the background.
 *
 * As in the kubelet: any answer to an httpGet is a success, a tcpSocket (which
 * the API still accepts) always fails, a preStop hook that takes longer than the
 * grace is left behind without a word, and a postStart hook has no limit: it is
 * ended with its container.
 */
#include "node/internal.h"

struct hook {
	struct ctr *ctr;
	void (*done)(struct ctr *c, const char *failure);
	struct run_exec *exec;
	struct probe_try *http;
	struct loop_timer *timer; /* end of a sleep, or of the time that is left */
	const char *failure;	  /* static: what the timer's end says; NULL: success */
};

static void hook_free(struct hook *h)
{
	if (h->exec)
		run_exec_kill(h->exec);
	probe_try_cancel(h->http);
	loop_timer_free(h->timer);
	free(h);
}

void hook_cancel(struct ctr *c)
{
	struct hook *h = c->hook;

	if (!h)
		return;
	c->hook = NULL;
	hook_free(h);
}

static void hook_finish(struct hook *h, const char *failure)
{
	struct ctr *c = h->ctr;
	void (*done)(struct ctr *, const char *) = h->done;
	char *text = xstrdup_null(failure);

	c->hook = NULL;
	hook_free(h);
	if (text)
		log_info("lifecycle hook failed", LS("pod", c->pod->name), LS("ns", c->pod->ns),
			 LS("container", c->name), LS("error", text));
	done(c, text);
	free(text);
}

static void hook_timer(void *arg)
{
	struct hook *h = arg;

	hook_finish(h, h->failure);
}

static void hook_exec_started(void *arg, const struct run_io *io UNUSED, const struct err *err)
{
	struct hook *h = arg;

	if (err) {
		h->exec = NULL;
		hook_finish(h, err_msg(err));
	}
}

static void hook_exec_ended(void *arg, int exit_code, const struct err *err)
{
	struct hook *h = arg;
	char text[64];

	h->exec = NULL;
	snprintf(text, sizeof(text), "command terminated with exit code %d", exit_code);
	hook_finish(h, err ? err_msg(err) : exit_code ? text : NULL);
}

static void hook_http_done(void *arg, enum probe_result result, const char *text)
{
	struct hook *h = arg;

	h->http = NULL;
	hook_finish(h, result == PROBE_OK ? NULL : text);
}

static bool hook_exec(struct hook *h, const struct node *command)
{
	const char **argv = xcalloc(node_count(command) + 1, sizeof(*argv));
	struct container *rc = ctr_run(h->ctr);
	struct run_exec_spec spec = {.argv = argv};
	size_t n = 0;

	NODE_FOREACH (s, command)
		argv[n++] = node_cstr_or(s, "");
	if (rc && n)
		h->exec = container_exec(rc, &spec, hook_exec_started, hook_exec_ended, h);
	free(argv);
	return h->exec;
}

/* What cannot even be begun fails on the next turn, as everything else does. */
static void hook_fail(struct hook *h, const char *text)
{
	h->failure = text;
	loop_timer_set(h->timer, 0);
}

bool hook_run(struct ctr *c, bool pre_stop, int64_t timeout_ms,
	      void (*done)(struct ctr *c, const char *failure))
{
	const struct node *spec =
		node_get(node_get(ctr_spec(c), F_lifecycle), pre_stop ? F_preStop : F_postStart);
	const struct node *exec = node_get(spec, F_exec), *http = node_get(spec, F_httpGet),
			  *sleep = node_get(spec, F_sleep);
	int64_t ms = node_int(node_get(sleep, F_seconds), 0) * SEC_MS;
	struct hook *h;

	if ((!exec && !http && !sleep && !node_get(spec, F_tcpSocket)) || c->hook)
		return false;
	h = xcalloc(1, sizeof(*h));
	h->ctr = c;
	h->done = done;
	h->timer = loop_timer_new(c->pod->agent->loop, hook_timer, h);
	c->hook = h;
	if (sleep) {
		loop_timer_set(h->timer, timeout_ms > 0 ? min_i64(ms, timeout_ms) : ms);
		return true;
	}
	if (timeout_ms > 0)
		loop_timer_set(h->timer, timeout_ms);
	if (exec && !hook_exec(h, node_get(exec, F_command)))
		hook_fail(h, "container not running");
	else if (!exec && http)
		h->http = probe_http_once(c, http, timeout_ms, hook_http_done, h);
	else if (!exec)
		hook_fail(h, "invalid handler");
	return true;
}
