/*
 * See dial.h. getaddrinfo(3) blocks, for seconds when a name server is away, so
 * it runs as a job; numeric addresses never leave the loop.
 */
#include "http/dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/job.h"

#define DIAL_JOBS 64

/* Belongs to the job while that runs; `owner` is cut when the dial is cancelled. */
struct dial_lookup {
	struct dial *owner;
	char *host;
	char port[16];
	int rc;
	struct addrinfo *found;
};

struct dial {
	struct loop *loop;
	struct dial_lookup *lookup;
	struct addrinfo *addrs, *next;
	struct loop_fd *watch;
	struct loop_timer *timer;
	struct loop_task fail; /* an error found at once is told from the loop */
	char *where; /* "host:port" */
	int fd;
	struct err last;
	void (*done)(void *arg, int fd, const struct err *e);
	void *arg;
};

static struct dial_names {
	struct loop *loop;
	struct job_queue *queue;
	int holders;
	struct dial_names *next;
} *dial_names;

static struct dial_names *dial_names_of(struct loop *l)
{
	struct dial_names *n = dial_names;

	while (n && n->loop != l)
		n = n->next;
	return n;
}

void dial_hold(struct loop *l)
{
	struct dial_names *n = dial_names_of(l);

	if (!n) {
		n = xcalloc(1, sizeof(*n));
		n->loop = l;
		n->queue = job_queue_new(l, "resolver", 1, DIAL_JOBS);
		n->next = dial_names;
		dial_names = n;
	}
	n->holders++;
}

void dial_release(struct loop *l)
{
	struct dial_names **p = &dial_names, *n;

	while (*p && (*p)->loop != l)
		p = &(*p)->next;
	n = *p;
	if (!n || --n->holders)
		return;
	*p = n->next;
	job_queue_free(n->queue);
	free(n);
}

struct dial *dial_cancel(struct dial *d)
{
	if (!d)
		return NULL;
	loop_undefer(d->loop, &d->fail);
	if (d->lookup)
		d->lookup->owner = NULL;
	loop_fd_free(d->watch);
	loop_timer_free(d->timer);
	close_fd(d->fd);
	if (d->addrs)
		freeaddrinfo(d->addrs);
	err_release(&d->last);
	free(d->where);
	free(d);
	return NULL;
}

static void dial_finish(struct dial *d)
{
	_cleanup_err_ struct err e = ERR_INIT;
	void (*done)(void *arg, int fd, const struct err *err) = d->done;
	void *arg = d->arg;
	int fd = take_fd(&d->fd);

	err_move(&e, &d->last);
	dial_cancel(d);
	done(arg, fd, fd < 0 ? &e : NULL);
}

static void dial_failed(struct loop_task *t)
{
	dial_finish(CONTAINER_OF(t, struct dial, fail));
}

/* In the words that users of Go programs know: "dial tcp 10.0.0.1:80: connect: connection refused". */
static void dial_error(struct dial *d, int eno)
{
	char *why;

	err_errno(&d->last, eno, "dial tcp %s: connect", d->where);
	why = strrchr(d->last.msg, ':') + 2;
	if (why[0] >= 'A' && why[0] <= 'Z')
		why[0] = (char)(why[0] + ('a' - 'A'));
}

static void dial_next(struct dial *d);

static void dial_writable(void *arg, int what)
{
	struct dial *d = arg;
	int eno = 0;
	socklen_t len = sizeof(eno);

	getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &eno, &len);
	d->watch = loop_fd_free(d->watch);
	if (eno == 0) {
		dial_finish(d);
		return;
	}
	dial_error(d, eno);
	d->fd = close_fd(d->fd);
	dial_next(d);
}

/* Starts on the next address; when none is left the task tells. */
static void dial_next(struct dial *d)
{
	while (d->next) {
		struct addrinfo *ai = d->next;

		d->next = ai->ai_next;
		d->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (d->fd >= 0 && (connect(d->fd, ai->ai_addr, ai->ai_addrlen) == 0 || errno == EINPROGRESS)) {
			d->watch = loop_fd_new(d->loop, d->fd, LOOP_WRITE, dial_writable, d);
			return;
		}
		dial_error(d, errno);
		d->fd = close_fd(d->fd);
	}
	if (!err_is_set(&d->last))
		dial_error(d, EHOSTUNREACH);
	loop_defer(d->loop, &d->fail);
}

static void dial_timeout(void *arg)
{
	struct dial *d = arg;

	d->watch = loop_fd_free(d->watch);
	d->fd = close_fd(d->fd);
	err_errno(&d->last, ETIMEDOUT, "dial tcp %s: i/o timeout", d->where);
	*strrchr(d->last.msg, ':') = '\0'; /* that says it */
	dial_finish(d);
}

static void dial_resolve(void *arg)
{
	struct dial_lookup *q = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };

	q->rc = getaddrinfo(q->host, q->port, &hints, &q->found);
}

static void dial_resolved(void *arg)
{
	struct dial_lookup *q = arg;
	struct dial *d = q->owner;

	if (d) {
		d->lookup = NULL;
		d->addrs = d->next = take_ptr(&q->found);
		if (q->rc)
			err_set(&d->last, ERR_UNKNOWN, "dial tcp: lookup %s: %s", q->host,
				q->rc == EAI_NONAME ? "no such host" : gai_strerror(q->rc));
		dial_next(d);
	}
	if (q->found)
		freeaddrinfo(q->found);
	free(q->host);
	free(q);
}

static void dial_look_up(struct dial *d, const char *host, int port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct dial_lookup *q = xcalloc(1, sizeof(*q));

	q->host = xstrdup(host);
	q->owner = d;
	snprintf(q->port, sizeof(q->port), "%d", port);
	d->lookup = q;
	q->rc = getaddrinfo(q->host, q->port, &hints, &q->found);
	if (q->rc == 0) {
		dial_resolved(q);
		return;
	}
	q->found = NULL;
	if (job_submit(dial_names_of(d->loop)->queue, dial_resolve, dial_resolved, q) < 0) {
		q->rc = EAI_AGAIN;
		dial_resolved(q);
	}
}

struct dial *dial_start(struct loop *l, const char *host, int port, int timeout_ms,
			void (*done)(void *arg, int fd_take, const struct err *e), void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d));

	d->loop = l;
	d->fd = -1;
	d->fail.run = dial_failed;
	d->done = done;
	d->arg = arg;
	d->where = strchr(host, ':') ? xasprintf("[%s]:%d", host, port) : xasprintf("%s:%d", host, port);
	d->timer = loop_timer_new(l, dial_timeout, d);
	loop_timer_set(d->timer, timeout_ms);
	dial_look_up(d, host, port);
	return d;
}
