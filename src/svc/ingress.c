/*
 * The ingress's life: its listeners, the time limits of all connections, and what it
 * is made of. It listens from the start, with or without Ingresses; a port that some
 * other program has is told once (in the log and by an event on the Node) and tried
 * again, less and less often.
 */
#include "svc/ingress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/time.h"

#define ING_CONNECTIONS 20000 /* of clients, at most; and a third of the descriptors */
#define ING_BURST 64 /* accepted in one turn */
#define LISTEN_AGAIN_MS 2000
#define LISTEN_AGAIN_MAX_MS 60000
#define SWEEP_MIN_MS 100

/* --- time limits --- */

void ing_sweep_by(struct ing *g, int64_t at_ms)
{
	int64_t now;

	if (g->sweep_at_ms && at_ms >= g->sweep_at_ms)
		return;
	now = loop_now_ms(g->loop);
	g->sweep_at_ms = at_ms > now + SWEEP_MIN_MS ? at_ms : now + SWEEP_MIN_MS;
	loop_timer_set(g->sweep, g->sweep_at_ms - now);
}

static void sweep_idle_ups(struct ing *g, int64_t now)
{
	struct ing_up *u;

	while ((u = TAILQ_FIRST(&g->idle_ups)) && now - u->idle_ms >= ING_UP_IDLE_MS)
		ing_up_cut(u);
	if (u)
		ing_sweep_by(g, u->idle_ms + ING_UP_IDLE_MS);
}

static void sweep_run(void *arg)
{
	struct ing *g = arg;
	int64_t now = loop_now_ms(g->loop), first = INT64_MAX;
	struct ing_conn *c, *next;

	g->sweep_at_ms = 0;
	for (c = TAILQ_FIRST(&g->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->deadline_ms <= now)
			ing_conn_expire(c);
		else if (c->deadline_ms < first)
			first = c->deadline_ms;
	}
	if (first != INT64_MAX)
		ing_sweep_by(g, first);
	sweep_idle_ups(g, now);
}

/* --- listeners --- */

/* Who waits longest for nothing makes room. */
static bool listener_has_room(struct ing *g)
{
	if (g->n_conns >= g->max_conns && TAILQ_FIRST(&g->idle))
		ing_conn_cut(TAILQ_FIRST(&g->idle));
	return g->n_conns < g->max_conns;
}

static void listener_on_accept(void *arg, int what UNUSED)
{
	struct ing_listener *l = arg;

	for (int i = 0; i < ING_BURST; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0 && listener_has_room(l->ing)) {
			ing_conn_new(l->ing, fd, &sa, l->port, l->tls);
		} else if (fd >= 0) {
			close_fd(fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			loop_fd_set(l->watch, 0);
			loop_timer_set(l->again, LISTEN_AGAIN_MS / 4);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static int listener_bind(struct ing_listener *l)
{
	const char *text = l->ing->svc->cfg.ingress_address;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)l->port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)l->port) };
	bool is_six = strchr(text, ':');
	_cleanup_close_ int fd = -1;
	int on = 1, off = 0;

	if (inet_pton(is_six ? AF_INET6 : AF_INET, text, is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr) != 1)
		return -EINVAL;
	fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (is_six)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, is_six ? (void *)&six : (void *)&four, is_six ? sizeof(six) : sizeof(four)) < 0 || listen(fd, 4096) < 0)
		return -errno;
	l->fd = take_fd(&fd);
	return 0;
}

static void listener_tell(struct ing_listener *l, int error)
{
	const struct svc_config *cfg = &l->ing->svc->cfg;
	struct obj *node = informer_find(l->ing->nodes, "", cfg->node_name);

	if (!l->logged)
		log_warn("the ingress can't listen; it will try again", LS("address", cfg->ingress_address), LI("port", l->port),
			 LS("error", strerror(error)));
	l->logged = true;
	if (node && !l->told) {
		client_event(l->ing->client, node, NULL, ING_COMPONENT, cfg->node_name, "Warning", "IngressPortUnavailable",
			     "the ingress can't listen on %s port %d: %s", cfg->ingress_address, l->port, strerror(error));
		l->told = true;
	}
}

static void listener_open(void *arg)
{
	struct ing_listener *l = arg;
	int r;

	if (l->watch) {
		loop_fd_set(l->watch, LOOP_READ);
		return;
	}
	r = listener_bind(l);
	if (r < 0) {
		listener_tell(l, -r);
		l->backoff_ms = !l->backoff_ms ? LISTEN_AGAIN_MS :
				l->backoff_ms * 2 < LISTEN_AGAIN_MAX_MS ? l->backoff_ms * 2 : LISTEN_AGAIN_MAX_MS;
		loop_timer_set(l->again, l->backoff_ms);
		return;
	}
	if (l->logged)
		log_info("the ingress listens", LI("port", l->port));
	l->watch = loop_fd_new(l->ing->loop, l->fd, LOOP_READ, listener_on_accept, l);
}

static void listener_start(struct ing *g, size_t i, int port, bool tls)
{
	struct ing_listener *l = &g->listeners[i];

	*l = (struct ing_listener){ .ing = g, .fd = -1, .port = port, .tls = tls };
	if (!port)
		return;
	l->again = loop_timer_new(g->loop, listener_open, l);
	listener_open(l);
}

static void listener_stop(struct ing_listener *l)
{
	l->watch = loop_fd_free(l->watch);
	l->again = loop_timer_free(l->again);
	close_fd(l->fd);
}

/* --- the part --- */

static void ing_slices_changed(void *arg, const char *ns, const char *service)
{
	ing_backends_changed(arg, ns, service);
}

static void ing_slices_synced(void *arg)
{
	ing_backends_changed(arg, NULL, NULL);
}

static size_t ing_max_connections(void)
{
	struct rlimit r;
	size_t n = ING_CONNECTIONS;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur != RLIM_INFINITY && r.rlim_cur / 3 < n)
		n = (size_t)r.rlim_cur / 3;
	return n ? n : 1;
}

static void ing_watch(struct ing *g)
{
	g->slices = (struct svc_slices_watch){ .changed = ing_slices_changed, .synced = ing_slices_synced, .arg = g };
	svc_slices_follow(g->svc->slices, &g->slices);
	g->nodes = informer_get(g->client, schema_res("", "nodes"), NULL);
	ing_objects_new(g);
}

int ingress_open(void **ret, struct svc *s, struct err *e)
{
	struct ing *g = xcalloc(1, sizeof(*g));
	_cleanup_err_ struct err minor = ERR_INIT;

	g->svc = s;
	g->loop = s->cfg.loop;
	g->client = s->cfg.client;
	g->max_conns = ing_max_connections();
	TAILQ_INIT(&g->conns);
	TAILQ_INIT(&g->idle);
	TAILQ_INIT(&g->idle_ups);
	buf_init(&g->scratch);
	buf_init(&g->head);
	g->backends = map_new(NULL);
	g->jobs = job_queue_new(g->loop, "ingress-names", 2, 256);
	g->sweep = loop_timer_new(g->loop, sweep_run, g);
	if (ing_key_open(g, e) < 0 || ing_certs_open(g, e) < 0) {
		ingress_close(g);
		return -e->code;
	}
	ing_table_build(&g->table, NULL, 0, NULL, NULL);
	g->log = ing_log_open(g->loop, s->cfg.ingress_access_log);
	ing_watch(g);
	if (ing_stats_open(g, &minor) < 0)
		log_warn("the ingress's counters can't be served", LE(&minor));
	listener_start(g, 0, s->cfg.ingress_http_port, false);
	listener_start(g, 1, s->cfg.ingress_https_port, true);
	*ret = g;
	return 0;
}

void ingress_close(void *part)
{
	struct ing *g = part;
	struct ing_conn *c;

	listener_stop(&g->listeners[0]);
	listener_stop(&g->listeners[1]);
	ing_stats_close(g);
	while ((c = TAILQ_FIRST(&g->conns)))
		ing_conn_cut(c);
	if (g->objects) {
		svc_slices_unfollow(g->svc->slices, &g->slices);
		ing_table_release(&g->table);
		g->objects = ing_objects_free(g->objects);
	}
	job_queue_free(g->jobs);
	map_free(g->backends);
	ing_certs_close(g);
	ing_log_close(g->log);
	loop_timer_free(g->sweep);
	ing_pool_release(&g->pool);
	buf_release(&g->scratch);
	buf_release(&g->head);
	free(g);
}
