/*
 * tcpSocket: a connection that comes about is a success.
 */
#include <unistd.h>

#include "http/dial.h"
#include "node/probe.h"

struct tcp {
	struct probe_try *try;
	struct loop *loop;
	struct dial *dial;
};

static void tcp_free(void *impl)
{
	struct tcp *x = impl;

	dial_cancel(x->dial);
	dial_release(x->loop);
	free(x);
}

static void tcp_done(void *arg, int fd_take, const struct err *e)
{
	struct tcp *x = arg;

	x->dial = NULL;
	close_fd(fd_take);
	try_end(x->try, e ? PROBE_FAILED : PROBE_OK, "%s", e ? err_msg(e) : "");
}

void try_tcp(struct probe_try *t, const struct node *action)
{
	const char *host = probe_host(t->ctr, action);
	int port = probe_port(t->ctr, node_get(action, F_port));
	struct tcp *x;

	if (port < 0) {
		try_end(t, PROBE_ERROR, "couldn't find port: %s", node_cstr_or(node_get(action, F_port), ""));
		return;
	}
	try_timeout_text(t, "dial tcp %s:%d: i/o timeout", host, port);
	x = xcalloc(1, sizeof(*x));
	x->try = t;
	x->loop = t->ctr->pod->agent->loop;
	t->impl = x;
	t->impl_free = tcp_free;
	dial_hold(x->loop);
	x->dial = dial_start(x->loop, host, port, (int)t->timeout_ms, tcp_done, x);
}
