/*
 * The machinery below nodes and pods: one timer for all that is due, one line of
 * those that want to write, and the two informers.
 */
#include "sim/internal.h"

#include <stdio.h>

#include "base/log.h"

#define SIM_CALLS 100
#define SIM_NODES_MAX 65536 /* as many as there are addresses for them */

struct sim_call {
	TAILQ_ENTRY(sim_call) link;
	struct sim *sim; /* NULL: freed meanwhile */
	struct sim_actor *actor; /* NULL: gone meanwhile */
};

static int sim_due_cmp(struct sim_actor *a, struct sim_actor *b)
{
	if (a->due_ms != b->due_ms)
		return a->due_ms < b->due_ms ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

RB_GENERATE_INTERNAL(sim_due, sim_actor, due_link, sim_due_cmp, static UNUSED)

int64_t sim_now(const struct sim *s)
{
	return loop_now_ms(s->loop);
}

/* --- what is due --- */

static void sim_arm(struct sim *s)
{
	struct sim_actor *a = RB_MIN(sim_due, &s->due);

	if (a)
		loop_timer_set(s->timer, a->due_ms - sim_now(s));
	else
		loop_timer_clear(s->timer);
}

void sim_wake_at(struct sim_actor *a, int64_t ms)
{
	struct sim *s = a->sim;

	if (a->due_ms)
		RB_REMOVE(sim_due, &s->due, a);
	a->due_ms = 0;
	if (ms != SIM_FOR_EVER) {
		a->due_ms = ms > 0 ? ms : 1;
		a->number = ++s->n_set;
		RB_INSERT(sim_due, &s->due, a);
	}
	loop_defer(s->loop, &s->task);
}

static void sim_timer(void *arg)
{
	struct sim *s = arg;
	int64_t now = sim_now(s);
	struct sim_actor *a;

	while ((a = RB_MIN(sim_due, &s->due)) && a->due_ms <= now) {
		RB_REMOVE(sim_due, &s->due, a);
		a->due_ms = 0;
		a->role->wake(a);
	}
	sim_arm(s);
}

/* --- calls --- */

struct sim_call *sim_call(struct sim_actor *a)
{
	struct sim_call *c = xcalloc(1, sizeof(*c));

	BUG_ON(a->call);
	c->sim = a->sim;
	c->actor = a;
	a->call = c;
	a->sim->n_under_way++;
	a->sim->n_calls++;
	TAILQ_INSERT_TAIL(&a->sim->calls, c, link);
	return c;
}

void sim_called(void *arg, struct obj *o, const struct err *err)
{
	struct sim_call *c = arg;
	struct sim_actor *a = c->actor;
	struct sim *s = c->sim;

	if (s) {
		TAILQ_REMOVE(&s->calls, c, link);
		s->n_under_way--;
		s->n_failed += err != NULL;
		loop_defer(s->loop, &s->task);
	}
	free(c);
	if (a) {
		a->call = NULL;
		a->role->sent(a, o, err);
	}
}

void sim_want(struct sim_actor *a, bool first)
{
	struct sim *s = a->sim;

	if (a->in_line)
		return;
	a->in_line = true;
	s->n_line++;
	if (first)
		TAILQ_INSERT_HEAD(&s->line, a, line_link);
	else
		TAILQ_INSERT_TAIL(&s->line, a, line_link);
	loop_defer(s->loop, &s->task);
}

static void sim_unwant(struct sim_actor *a)
{
	if (!a->in_line)
		return;
	a->in_line = false;
	a->sim->n_line--;
	TAILQ_REMOVE(&a->sim->line, a, line_link);
}

/* Who has a call under way asks again when it is done. */
static void sim_task(struct loop_task *t)
{
	struct sim *s = CONTAINER_OF(t, struct sim, task);
	struct sim_actor *a;

	while (s->n_under_way < (size_t)s->cfg.max_calls && (a = TAILQ_FIRST(&s->line))) {
		sim_unwant(a);
		if (!a->call)
			a->role->send(a);
	}
	sim_arm(s);
}

void sim_actor_init(struct sim *s, struct sim_actor *a, const struct sim_role *role)
{
	a->sim = s;
	a->role = role;
}

void sim_actor_end(struct sim_actor *a)
{
	sim_unwant(a);
	if (a->due_ms)
		RB_REMOVE(sim_due, &a->sim->due, a);
	a->due_ms = 0;
	if (a->call)
		a->call->actor = NULL;
	a->call = NULL;
}

/* --- what is seen --- */

static void sim_on_pod(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	if (t == WATCH_DELETED)
		sim_pod_gone(arg, o);
	else
		sim_pod_seen(arg, o);
}

static void sim_on_node(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct sim_node *n = map_getc(((struct sim *)arg)->nodes, o->name);

	if (n)
		sim_node_seen(n, t == WATCH_DELETED ? NULL : o);
}

static const struct informer_ops sim_pods_ops = { sim_on_pod, NULL }, sim_nodes_ops = { sim_on_node, NULL };

struct sim *sim_new(const struct sim_config *cfg)
{
	struct sim *s = xcalloc(1, sizeof(*s));

	s->cfg = *cfg;
	s->version = xstrdup(cfg->version);
	if (s->cfg.max_calls <= 0)
		s->cfg.max_calls = SIM_CALLS;
	s->loop = client_loop(cfg->client);
	s->r_pods = schema_res("", "pods");
	s->r_nodes = schema_res("", "nodes");
	s->r_leases = schema_res("coordination.k8s.io", "leases");
	s->nodes = map_new(sim_node_free);
	s->pods = map_new(sim_pod_free);
	RB_INIT(&s->due);
	TAILQ_INIT(&s->line);
	TAILQ_INIT(&s->calls);
	s->timer = loop_timer_new(s->loop, sim_timer, s);
	s->task.run = sim_task;
	s->nodes_of = informer_get(cfg->client, s->r_nodes, NULL);
	s->pods_of = informer_get(cfg->client, s->r_pods, NULL);
	informer_subscribe(s->nodes_of, &sim_nodes_ops, s);
	informer_subscribe(s->pods_of, &sim_pods_ops, s);
	return s;
}

struct sim *sim_free(struct sim *s)
{
	struct sim_call *c;

	if (!s)
		return NULL;
	informer_unsubscribe(s->pods_of, s);
	informer_unsubscribe(s->nodes_of, s);
	map_free(s->pods);
	map_free(s->nodes);
	VEC_RELEASE(&s->list);
	TAILQ_FOREACH(c, &s->calls, link)
		c->sim = NULL;
	loop_undefer(s->loop, &s->task);
	loop_timer_free(s->timer);
	free(s->version);
	free(s);
	return NULL;
}

/* The pods of a node that is new here have been seen already. */
static void sim_adopt(struct sim *s)
{
	for (struct obj *o = NULL; (o = informer_next(s->pods_of, NULL, o));)
		sim_pod_seen(s, o);
}

int sim_add(struct sim *s, const struct sim_nodes *nodes, struct err *e)
{
	if (nodes->n < 0 || s->list.n + (size_t)nodes->n > SIM_NODES_MAX)
		return err_set(e, ERR_BAD_REQUEST, "at most %d nodes can be simulated", SIM_NODES_MAX);
	for (int i = 0; i < nodes->n; i++) {
		_cleanup_free_ char *name = xasprintf("%s-%d", nodes->prefix, nodes->first + i);

		if (map_getc(s->nodes, name))
			return err_set(e, ERR_ALREADY_EXISTS, "node \"%s\" is simulated already", name);
	}
	for (int i = 0; i < nodes->n; i++) {
		struct sim_node *n = sim_node_new(s, nodes, i);

		map_set(s->nodes, str_of(n->name), n);
		VEC_PUSH(&s->list, n);
	}
	sim_adopt(s);
	return 0;
}

bool sim_cut(struct sim *s, const char *node)
{
	struct sim_node *n = map_getc(s->nodes, node);

	if (n)
		n->cut = true;
	return n != NULL;
}

bool sim_join(struct sim *s, const char *node)
{
	struct sim_node *n = map_getc(s->nodes, node);
	struct sim_pod *p, *next;

	if (!n || !n->cut)
		return n != NULL;
	n->cut = false;
	sim_node_joined(n);
	TAILQ_FOREACH_SAFE(p, &n->pods, link, next)
		sim_pod_go(p);
	return true;
}

static void sim_count_pod(const struct sim_pod *p, struct sim_counts *out)
{
	size_t ready = 0;

	out->pods++;
	if (p->untold)
		return;
	for (size_t i = 0; i < p->n_ctrs; i++)
		ready += p->ctrs[i].ready;
	out->over += p->over;
	out->running += streq(sim_phase(p), "Running");
	out->ready += !p->over && p->n_ctrs && ready == p->n_ctrs;
}

void sim_counts(const struct sim *s, struct sim_counts *out)
{
	*out = (struct sim_counts){ .nodes = s->list.n, .calls = s->n_calls, .failed = s->n_failed,
				    .waiting = s->n_line + s->n_under_way };
	for (size_t i = 0; i < s->list.n; i++) {
		struct sim_node *n = s->list.v[i];
		struct sim_pod *p;

		out->cut += n->cut;
		out->registered += n->registered && !n->cut;
		TAILQ_FOREACH(p, &n->pods, link)
			sim_count_pod(p, out);
	}
}
