/*
 * kinglet simulate: nodes without machines, for trying out and measuring clusters.
 *
 * First one call shows whether the server can be reached and lets us in; from then on
 * nothing but a signal ends it. A server that goes away is waited for.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/time.h"
#include "base/vec.h"
#include "cli/cli.h"
#include "cli/kubeconfig.h"
#include "client/client.h"
#include "schema/schema.h"
#include "sim/sim.h"

#define SIMULATE_TREE_BYTES (512u << 10) /* parsed trees of objects that stay between turns */
#define SIMULATE_LOOK_MS 100 /* whether all nodes are there */
#define SIMULATE_TELL_MS 10000 /* when they are not */
#define SIMULATE_END_MS 60000 /* for removing the nodes */

struct simulate_opts {
	int64_t nodes, first, zones;
	char *kubeconfig, *server, *token, *prefix, *cpu, *memory, *pods, *start, *ready, *stop, *log_level;
	struct opt_list labels, taints;
	bool keep;
};

#define O(m) offsetof(struct simulate_opts, m)
static const struct opt simulate_opts[] = {
	{ OPT_HEADING, .help = "Server" },
	{ OPT_STRING, "kubeconfig", 0, O(kubeconfig), "FILE", "KUBECONFIG", KINGLET_KUBECONFIG,
	  .help = "where the server is and who we are" },
	{ OPT_STRING, "server", 's', O(server), "URL", NULL, NULL, .help = "the server, instead of the kubeconfig's" },
	{ OPT_STRING, "token", 't', O(token), "TOKEN", "KINGLET_TOKEN",
	  .help = "bearer token, instead of the kubeconfig's credentials" },
	{ OPT_HEADING, .help = "Nodes" },
	{ OPT_INT, "nodes", 'n', O(nodes), "N", NULL, "1", 1, 65536, .help = "how many" },
	{ OPT_STRING, "name-prefix", 0, O(prefix), "NAME", NULL, "sim",
	  .help = "they are called NAME-0, NAME-1 and so on; each simulator beside others needs its own" },
	{ OPT_INT, "first", 0, O(first), "I", NULL, "0", 0, 1000000000, .help = "number of the first one" },
	{ OPT_STRING, "cpu", 0, O(cpu), "AMOUNT", NULL, "32", .help = "processors of each" },
	{ OPT_STRING, "memory", 0, O(memory), "AMOUNT", NULL, "256Gi", .help = "memory of each" },
	{ OPT_STRING, "pods", 0, O(pods), "N", NULL, "110", .help = "most pods on each" },
	{ OPT_LIST, "node-label", 0, O(labels), "KEY=VALUE", NULL, .help = "label for the nodes" },
	{ OPT_LIST, "node-taint", 0, O(taints), "KEY=VALUE:EFFECT", NULL, .help = "taint for the nodes" },
	{ OPT_INT, "zones", 0, O(zones), "N", NULL, "0", 0, 10000,
	  .help = "spread them over so many zones by topology.kubernetes.io/zone; 0: none" },
	{ OPT_BOOL, "keep", 0, O(keep), NULL, NULL, .help = "leave the Nodes in place at the end" },
	{ OPT_HEADING, .help = "Pods" },
	{ OPT_STRING, "start-delay", 0, O(start), "TIME", NULL, "0s", .help = "from bound to containers running" },
	{ OPT_STRING, "ready-delay", 0, O(ready), "TIME", NULL, "0s", .help = "from running to ready" },
	{ OPT_STRING, "stop-delay", 0, O(stop), "TIME", NULL, "0s", .help = "from being told to stop to stopped" },
	{ OPT_HEADING, .help = "Logging" },
	{ OPT_STRING, "log-level", 'l', O(log_level), "LEVEL", "KINGLET_LOG_LEVEL", "info",
	  .help = "trace, debug, info, warn or error" },
	{ .type = OPT_END },
};
#undef O

struct simulate {
	const struct simulate_opts *opts;
	struct loop *loop;
	struct client *client;
	struct sim *sim;
	struct loop_hook *trim;
	struct loop_signal *signals[4];
	struct loop_timer *look;
	int64_t told_ms; /* when it was last said how many nodes there are not */
	struct call probe;
	struct err failed;
	bool ending;
	size_t left, lost; /* nodes to be removed, those that can't be */
};

static void simulate_trim(void *arg UNUSED)
{
	obj_trim(SIMULATE_TREE_BYTES);
}

/* --- the end: the nodes go --- */

static void simulate_removed(void *arg, struct obj *o UNUSED, const struct err *err)
{
	struct simulate *s = arg;

	if (err && err->reason != ERR_NOT_FOUND) {
		s->lost++;
		err_copy(&s->failed, err);
	}
	if (--s->left == 0)
		loop_stop(s->loop);
}

static void simulate_late(void *arg)
{
	struct simulate *s = arg;

	s->lost += s->left;
	if (!err_is_set(&s->failed))
		err_set(&s->failed, ERR_TIMEOUT, "the server does not answer in time");
	loop_stop(s->loop);
}

static void simulate_end(struct simulate *s)
{
	s->ending = true;
	s->sim = sim_free(s->sim);
	s->look = loop_timer_free(s->look);
	if (s->opts->keep || s->probe.impl) {
		loop_stop(s->loop);
		return;
	}
	s->look = loop_timer_new(s->loop, simulate_late, s);
	loop_timer_set(s->look, SIMULATE_END_MS);
	s->left = (size_t)s->opts->nodes;
	for (int64_t i = 0; i < s->opts->nodes; i++) {
		_cleanup_free_ char *name = xasprintf("%s-%lld", s->opts->prefix, (long long)(s->opts->first + i));

		client_delete(s->client, schema_res("", "nodes"), NULL, name, NULL, -1, simulate_removed, s);
	}
}

/* The second signal does not wait for the nodes to go. */
static void simulate_on_signal(void *arg, int signo)
{
	struct simulate *s = arg;

	if (signo == SIGPIPE || signo == SIGHUP)
		return;
	if (s->ending)
		loop_stop(s->loop);
	else
		simulate_end(s);
}

/* --- the start --- */

static void simulate_look(void *arg)
{
	struct simulate *s = arg;
	struct sim_counts n;

	sim_counts(s->sim, &n);
	if (n.registered == n.nodes) {
		printf("%zu nodes registered\n", n.nodes);
		fflush(stdout);
		return;
	}
	if (loop_now_ms(s->loop) - s->told_ms >= SIMULATE_TELL_MS) {
		s->told_ms = loop_now_ms(s->loop);
		log_warn("nodes are still to be registered", LI("registered", n.registered), LI("nodes", n.nodes),
			 LI("calls", n.calls), LI("failed", n.failed));
	}
	loop_timer_set(s->look, SIMULATE_LOOK_MS);
}

static int simulate_delay(const char *option, const char *text, int64_t *ret_ms, struct err *e)
{
	int64_t ns;

	if (streq(text, "never")) {
		*ret_ms = SIM_NEVER;
		return 0;
	}
	if (!time_parse_go_duration(str_of(text), &ns) || ns < 0)
		return err_set(e, ERR_BAD_REQUEST, "--%s: '%s' is no time such as 1m30s, nor \"never\"", option, text);
	*ret_ms = ns / (SEC_NS / 1000);
	return 0;
}

static int simulate_amount(const char *option, const char *text, struct err *e)
{
	struct quantity q;

	if (quantity_parse(&q, str_of(text)) && q.nano >= 0)
		return 0;
	return err_set(e, ERR_BAD_REQUEST, "--%s: '%s' is no amount such as 16 or 64Gi", option, text);
}

static int simulate_config(const struct simulate_opts *o, struct sim_config *cfg, struct err *e)
{
	_cleanup_free_ char *name = xasprintf("%s-0", o->prefix);
	const char *problem = schema_check_dns_subdomain(str_of(name));

	if (problem)
		return err_set(e, ERR_BAD_REQUEST, "--name-prefix '%s' makes no names: %s", o->prefix, problem);
	if (simulate_amount("cpu", o->cpu, e) < 0 || simulate_amount("memory", o->memory, e) < 0 ||
	    simulate_amount("pods", o->pods, e) < 0 || simulate_delay("start-delay", o->start, &cfg->start_ms, e) < 0 ||
	    simulate_delay("ready-delay", o->ready, &cfg->ready_ms, e) < 0 ||
	    simulate_delay("stop-delay", o->stop, &cfg->stop_ms, e) < 0)
		return -e->code;
	cfg->version = KINGLET_KUBERNETES;
	return 0;
}

static const char **simulate_strings(const struct opt_list *list)
{
	VEC(const char *) v = VEC_INIT;

	for (size_t i = 0; i < list->n; i++)
		VEC_PUSH(&v, list->v[i]);
	VEC_PUSH(&v, NULL);
	return v.v;
}

static int simulate_play(struct simulate *s, struct err *e)
{
	const struct simulate_opts *o = s->opts;
	_cleanup_free_ const char **labels = simulate_strings(&o->labels), **taints = simulate_strings(&o->taints);
	struct sim_nodes nodes = { .prefix = o->prefix, .first = (int)o->first, .n = (int)o->nodes, .cpu = o->cpu,
				   .memory = o->memory, .pods = o->pods, .labels = labels, .taints = taints,
				   .zones = (int)o->zones };
	struct sim_config cfg = { .client = s->client };

	if (simulate_config(o, &cfg, e) < 0)
		return -e->code;
	s->sim = sim_new(&cfg);
	s->told_ms = loop_now_ms(s->loop);
	s->look = loop_timer_new(s->loop, simulate_look, s);
	loop_timer_set(s->look, SIMULATE_LOOK_MS);
	return sim_add(s->sim, &nodes, e);
}

static void simulate_probed(struct call *c, const struct err *err)
{
	struct simulate *s = c->arg;

	if (err)
		err_copy(&s->failed, err);
	else
		(void)simulate_play(s, &s->failed);
	if (err_is_set(&s->failed))
		loop_stop(s->loop);
}

static int simulate_connect(struct simulate *s, struct err *e)
{
	const struct simulate_opts *o = s->opts;
	struct kubeconfig k;
	struct client_remote_config cfg = { .loop = s->loop, .user_agent = "kinglet-simulate/" KINGLET_VERSION };
	int rc = kubeconfig_read(&k, o->kubeconfig, e);

	if (rc == 0) {
		cfg.server = str_empty(o->server) ? k.server : o->server;
		cfg.ca_pem = k.ca_pem;
		cfg.insecure = k.insecure;
		cfg.token = str_empty(o->token) ? k.token : o->token;
		cfg.cert_pem = str_empty(o->token) ? k.cert_pem : NULL;
		cfg.key_pem = str_empty(o->token) ? k.key_pem : NULL;
		rc = client_new_remote(&s->client, &cfg, e);
	}
	if (rc == 0) {
		s->probe = (struct call){ .verb = VERB_LIST, .res = schema_res("", "nodes"), .opts = { .limit = 1 },
					  .done = simulate_probed, .arg = s };
		client_submit(s->client, &s->probe);
		s->failed = (struct err)ERR_INIT;
	}
	kubeconfig_release(&k);
	return rc;
}

static void simulate_stop(struct simulate *s)
{
	loop_timer_free(s->look);
	sim_free(s->sim);
	if (s->client && s->probe.impl)
		client_cancel(s->client, &s->probe);
	client_free(s->client);
	loop_hook_free(s->trim);
	for (size_t i = 0; i < ARRAY_SIZE(s->signals); i++)
		loop_signal_free(s->signals[i]);
	obj_trim(0);
	loop_free(s->loop);
}

static int simulate_result(struct simulate *s, struct err *e)
{
	if (!err_is_set(&s->failed))
		return 0;
	err_move(e, &s->failed);
	if (s->lost)
		return err_wrap(e, "%zu nodes could not be removed", s->lost);
	return -e->code;
}

static int simulate_run(void *opts, int argc UNUSED, char **argv UNUSED, struct err *e)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	struct simulate s = { .opts = opts };
	struct sim_config checked = { 0 };
	int rc;

	if (!log_level_parse(s.opts->log_level, &log_threshold))
		return err_set(e, ERR_BAD_REQUEST, "--log-level '%s': choose trace, debug, info, warn or error",
			       s.opts->log_level);
	if (simulate_config(s.opts, &checked, e) < 0)
		return -e->code;
	s.loop = loop_new();
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		s.signals[i] = loop_signal_new(s.loop, signals[i], simulate_on_signal, &s);
	s.trim = loop_before_sleep(s.loop, simulate_trim, &s);
	rc = simulate_connect(&s, e);
	if (rc == 0) {
		loop_run(s.loop);
		rc = simulate_result(&s, e);
	}
	simulate_stop(&s);
	err_release(&s.failed);
	return rc;
}

const struct cmd cmd_simulate = {
	.name = "simulate",
	.args = "",
	.summary = "play nodes that are not there, for tests and measurements",
	.text = "Registers nodes at a server and plays their life and that of the pods that are bound to\n"
		"them, without containers, over the API that real nodes use. It stays in the foreground;\n"
		"SIGTERM ends it and removes the nodes.",
	.opts = simulate_opts,
	.opts_size = sizeof(struct simulate_opts),
	.run = simulate_run,
};
