/*
 * kinglet server: a whole cluster in this process.
 *
 * The one place that wires the parts together: store, API, controllers,
 * scheduler, and (unless told otherwise) the node agent with its runtime, images
 * and network. Start is ordered; the end is the same backwards, and leaves every
 * pod running.
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>

#include "api/api.h"
#include "base/log.h"
#include "base/path.h"
#include "base/time.h"
#include "base/vec.h"
#include "cli/cli.h"
#include "cli/server.h"
#include "client/client.h"
#include "ctl/ctl.h"
#include "image/image.h"
#include "net/net.h"
#include "node/local-dirs.h"
#include "node/node.h"
#include "run/run.h"
#include "sched/sched.h"
#include "schema/schema.h"
#include "store/store.h"
#include "svc/svc.h"

struct server {
	const struct server_opts *opts;
	int64_t started_ms;
	struct loop *loop;
	int lock;
	char *node_name, node_ip[NET_ADDR_TEXT], node_ip2[NET_ADDR_TEXT], *server_dir, *agent_dir, *local_storage;
	struct cluster_net net_plan; /* --cluster-cidr and what follows from it */
	int port;
	struct pki pki;
	struct store *store;
	struct api *api;
	struct tls *tls;
	struct http_server *http;
	struct client *client;
	struct ctl *ctl;
	struct sched *sched;
	struct runtime *runtime;
	struct image_store *images;
	struct net *net;
	struct node_agent *agent;
	struct svc *svc;
	struct local_dirs *local_dirs;
	struct loop_signal *sigterm, *sigint, *sighup, *sigpipe;
	struct loop_hook *trim;
	struct loop_timer *release;
	unsigned turns; /* of the loop since memory was given back */
	int64_t turn_ms; /* when the last one began */
	struct ctl_lb_port taken[5]; /* ports of every node that this program has itself */
	VEC(const struct resource *) resources;
	VEC(const char *) node_labels, node_taints, kubelet_args, controller_args, issuers, audiences; /* NULL-terminated */
	char *issuer; /* the default one */
};

#define SERVER_BUSY_TURNS 200 /* after so many turns of the loop and then */
#define SERVER_QUIET_MS 2000 /* so long without one, freed memory is given back to the system */
#define SERVER_TREE_BYTES (512u << 10) /* parsed trees of objects that stay between turns */
#define SERVER_BUSY_TREE_BYTES (8u << 20) /* while one turn follows the other: an object's way goes through many */
#define SERVER_BUSY_MS 100 /* so soon */

/* --- addresses --- */

static int server_names(struct server *s, struct err *e)
{
	struct utsname u;
	const char *problem;

	if (!str_empty(s->opts->node_name)) {
		s->node_name = xstrdup(s->opts->node_name);
	} else {
		uname(&u);
		s->node_name = xstrdup(u.nodename);
	}
	for (char *p = s->node_name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	problem = schema_check_dns_subdomain(str_of(s->node_name));
	if (problem)
		return err_set(e, ERR_BAD_REQUEST, "the node's name '%s' can't be used, choose one with --node-name: %s",
			       s->node_name, problem);
	if (cluster_net_read(&s->net_plan, s->opts, e) < 0)
		return -e->code;
	snprintf(s->node_ip, sizeof(s->node_ip), "%s", s->net_plan.node_ips[0]);
	snprintf(s->node_ip2, sizeof(s->node_ip2), "%s", s->net_plan.node_ips[1]);
	return 0;
}

/* --- the data directory --- */

#define LOCK_TRIES 30
#define LOCK_TRY_MS 100

static int server_lock(struct server *s, struct err *e)
{
	_cleanup_free_ char *path = path_join(s->opts->data_dir, "kinglet.lock");
	_cleanup_free_ char *pid = xasprintf("%d\n", (int)getpid());

	if (path_mkdirs(s->opts->data_dir, 0755, e) < 0 || path_mkdirs(s->server_dir, 0700, e) < 0)
		return err_wrap(e, "make the data directory");
	/* A server that was killed this moment may still hold it, or a child of its that has not come to its exec. */
	for (int left = LOCK_TRIES; (s->lock = path_lock(path)) == -EWOULDBLOCK && left > 0; left--)
		poll(NULL, 0, LOCK_TRY_MS);
	if (s->lock == -EWOULDBLOCK)
		return err_set(e, ERR_CONFLICT,
			       "another kinglet server is using the data directory '%s'; stop it (kinglet killall "
			       "--data-dir %s), or choose another --data-dir",
			       s->opts->data_dir, s->opts->data_dir);
	if (s->lock < 0)
		return err_errno(e, -s->lock, "lock '%s'", path);
	if (ftruncate(s->lock, 0) < 0 || pwrite(s->lock, pid, strlen(pid), 0) < 0)
		return err_errno(e, errno, "write '%s'", path);
	return 0;
}

static int server_certificates(struct server *s, struct err *e)
{
	_cleanup_free_ char *dir = path_join(s->server_dir, "tls");
	_cleanup_free_ char *svc = xasprintf("kubernetes.default.svc.%s", s->opts->cluster_domain);
	VEC(const char *) sans = VEC_INIT;
	int rc;

	VEC_PUSH(&sans, "localhost");
	VEC_PUSH(&sans, "127.0.0.1");
	VEC_PUSH(&sans, "::1");
	VEC_PUSH(&sans, s->node_name);
	VEC_PUSH(&sans, s->node_ip);
	VEC_PUSH(&sans, "kubernetes");
	VEC_PUSH(&sans, "kubernetes.default");
	VEC_PUSH(&sans, "kubernetes.default.svc");
	VEC_PUSH(&sans, svc);
	for (size_t i = 0; i < s->net_plan.n; i++)
		VEC_PUSH(&sans, s->net_plan.first_ips[i]);
	if (*s->node_ip2)
		VEC_PUSH(&sans, s->node_ip2);
	if (!str_empty(s->opts->advertise_address))
		VEC_PUSH(&sans, s->opts->advertise_address);
	if (!streq(s->opts->bind_address, "0.0.0.0") && !streq(s->opts->bind_address, "::"))
		VEC_PUSH(&sans, s->opts->bind_address);
	for (size_t i = 0; i < s->opts->tls_sans.n; i++)
		VEC_PUSH(&sans, s->opts->tls_sans.v[i]);
	VEC_PUSH(&sans, NULL);
	rc = pki_load(&s->pki, dir, sans.v, s->node_name, s->node_ip, e);
	VEC_RELEASE(&sans);
	return rc;
}

/* --- the parts --- */

static bool server_is_volatile(const struct resource *r)
{
	return ((const struct schema_res *)r)->volatile_tier;
}

static int64_t server_event_ttl_s;

static int server_event_ttl(const char *text, struct err *e)
{
	int64_t ns;

	if (!time_parse_go_duration(str_of(text), &ns) || ns < SEC_NS)
		return err_set(e, ERR_BAD_REQUEST, "--event-ttl '%s' is no time of a second or more, such as 1h30m", text);
	server_event_ttl_s = ns / SEC_NS;
	return 0;
}

static int64_t server_ttl_s(const struct resource *r)
{
	return streq(r->kind, "Event") ? server_event_ttl_s : 0;
}

static int server_open_store(struct server *s, struct err *e)
{
	_cleanup_free_ char *path = path_join(s->server_dir, "state.db");
	struct store_config cfg = { .loop = s->loop, .path = path, .is_volatile = server_is_volatile,
				    .ttl_s = server_ttl_s };

	if (server_event_ttl(s->opts->event_ttl, e) < 0)
		return -e->code;
	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r))
		if (!r->is_virtual && schema_storage(r) == r)
			VEC_PUSH(&s->resources, &r->r);
	cfg.resources = s->resources.v;
	cfg.n_resources = s->resources.n;
	return store_open(&s->store, &cfg, e);
}

static void server_on_request(void *arg, struct http_req *r)
{
	api_on_request(((struct server *)arg)->api, r);
}

static int server_dial_node(void *arg, const char *node)
{
	struct server *s = arg;

	if (!s->agent || !streq(node, s->node_name))
		return -EHOSTUNREACH;
	return agent_dial(s->agent);
}

static const char *server_address(const struct server *s)
{
	if (!str_empty(s->opts->advertise_address))
		return s->opts->advertise_address;
	return s->node_ip;
}

/* Whose tokens are taken, and for what. */
static int server_issuers(struct server *s, struct err *e)
{
	const struct opt_list *given = &s->opts->sa_issuers;

	s->issuer = xasprintf("https://kubernetes.default.svc.%s", s->opts->cluster_domain);
	for (size_t i = 0; i < given->n; i++) {
		if (strchr(given->v[i], ':') && !starts_with(given->v[i], "https://"))
			return err_set(e, ERR_BAD_REQUEST,
				       "--service-account-issuer '%s' holds a colon but is no https:// URL", given->v[i]);
		VEC_PUSH(&s->issuers, given->v[i]);
	}
	if (!given->n)
		VEC_PUSH(&s->issuers, s->issuer);
	VEC_PUSH(&s->issuers, NULL);
	for (size_t i = 0; i < s->opts->api_audiences.n; i++)
		VEC_PUSH(&s->audiences, s->opts->api_audiences.v[i]);
	if (s->audiences.n)
		VEC_PUSH(&s->audiences, NULL);
	if (!str_empty(s->opts->jwks_uri) && !starts_with(s->opts->jwks_uri, "https://"))
		return err_set(e, ERR_BAD_REQUEST, "--service-account-jwks-uri '%s' is no https:// URL", s->opts->jwks_uri);
	return 0;
}

/* Parts that k3s' --disable names too, as far as they are here. */
static const struct server_part {
	const char *name, *alias; /* what k3s runs for it */
} server_parts[] = {
	{ "local-storage", NULL },
	{ "dns", "coredns" },
	{ "servicelb", NULL },
	{ "ingress", "traefik" },
};

static bool server_part_is(const struct server_part *p, const char *name)
{
	return streq(p->name, name) || streq_null(p->alias, name);
}

static bool server_disabled(const struct server *s, const char *part)
{
	for (size_t k = 0; k < ARRAY_SIZE(server_parts); k++)
		for (size_t i = 0; i < s->opts->disabled.n && streq(server_parts[k].name, part); i++)
			if (server_part_is(&server_parts[k], s->opts->disabled.v[i]))
				return true;
	return false;
}

static int server_check_parts(const struct server *s, struct err *e)
{
	for (size_t i = 0; i < s->opts->disabled.n; i++) {
		bool known = false;

		for (size_t k = 0; k < ARRAY_SIZE(server_parts); k++)
			known = known || server_part_is(&server_parts[k], s->opts->disabled.v[i]);
		if (!known)
			return err_set(e, ERR_BAD_REQUEST, "--disable %s: there is no such part", s->opts->disabled.v[i]);
	}
	return 0;
}

static int server_open_api(struct server *s, struct err *e)
{
	struct tls_config tls = { .cert_pem = s->pki.server_cert, .key_pem = s->pki.server_key,
				  .ca_pem = s->pki.ca_cert, .ask_client_cert = true };
	struct http_server_config http = { .loop = s->loop, .on_request = server_on_request, .arg = s };
	struct api_config cfg = { .loop = s->loop, .store = s->store, .version = KINGLET_KUBERNETES,
				  .admin_token = s->opts->token, .token_file = s->opts->token_file,
				  .sa_key_pem = s->pki.sa_key, .ca_pem = s->pki.ca_cert,
				  .service_cidr = s->opts->service_cidr, .anonymous = s->opts->anonymous_auth,
				  .jwks_uri = s->opts->jwks_uri, .slow_ms = s->opts->slow_ms,
				  .audit = { s->opts->audit_policy, s->opts->audit_log, s->opts->audit_mb,
					     s->opts->audit_days, s->opts->audit_backups, s->opts->audit_compress },
				  .admission_on = s->opts->admission_on, .admission_off = s->opts->admission_off,
				  .admission_config_file = s->opts->admission_config,
				  .local_storage = !server_disabled(s, "local-storage"),
				  .ingress = !server_disabled(s, "ingress"),
				  .cluster_dns = server_disabled(s, "dns") ? NULL : s->net_plan.dns, .dial_node = server_dial_node, .arg = s };
	_cleanup_free_ char *address = NULL;

	if (server_issuers(s, e) < 0)
		return -e->code;
	cfg.sa_issuers = s->issuers.v;
	if (s->audiences.n)
		cfg.api_audiences = s->audiences.v;
	if (sscanf(s->opts->node_port_range, "%d-%d", &cfg.node_port_min, &cfg.node_port_max) != 2 ||
	    cfg.node_port_min < 1 || cfg.node_port_max > 65535 || cfg.node_port_min > cfg.node_port_max)
		return err_set(e, ERR_BAD_REQUEST, "--service-node-port-range '%s' is no range such as 30000-32767",
			       s->opts->node_port_range);
	if (tls_new(&s->tls, &tls, true, e) < 0)
		return -e->code;
	http.tls = s->tls;
	/* The API needs its own address, the listener needs the API: listen first, serve from the next turn on. */
	s->http = http_server_new(&http);
	if (http_server_listen(s->http, s->opts->bind_address, (int)s->opts->port, &s->port, e) < 0)
		return err_wrap(e, "the API's listener");
	address = xasprintf(strchr(server_address(s), ':') ? "[%s]:%d" : "%s:%d", server_address(s), s->port);
	cfg.server_address = address;
	if (api_new(&s->api, &cfg, e) < 0)
		return -e->code;
	return 0;
}

static int server_write_kubeconfig(struct server *s, struct err *e)
{
	const char *bind = s->opts->bind_address;
	const char *host = streq(bind, "0.0.0.0") || streq(bind, "::") ? "127.0.0.1" : bind;
	_cleanup_free_ char *url = xasprintf(strchr(host, ':') ? "https://[%s]:%d" : "https://%s:%d", host, s->port);
	mode_t mode = (mode_t)strtoul(s->opts->write_kubeconfig_mode, NULL, 8);

	return kubeconfig_write(s->opts->write_kubeconfig, mode ? mode : 0600, url, &s->pki, e);
}

static void server_on_exit(void *arg, struct sandbox *sb, const struct container_status *st)
{
	agent_on_exit(((struct server *)arg)->agent, sb, st);
}

static void server_on_sandbox_lost(void *arg, struct sandbox *sb)
{
	agent_on_sandbox_lost(((struct server *)arg)->agent, sb);
}

/* What the node registers with: this one carries the control plane, as k3s labels it. */
static void server_node_marks(struct server *s)
{
	VEC_PUSH(&s->node_labels, "node-role.kubernetes.io/control-plane=true");
	for (size_t i = 0; i < s->opts->node_labels.n; i++)
		VEC_PUSH(&s->node_labels, s->opts->node_labels.v[i]);
	VEC_PUSH(&s->node_labels, NULL);
	for (size_t i = 0; i < s->opts->node_taints.n; i++)
		VEC_PUSH(&s->node_taints, s->opts->node_taints.v[i]);
	VEC_PUSH(&s->node_taints, NULL);
	for (size_t i = 0; i < s->opts->kubelet_args.n; i++)
		VEC_PUSH(&s->kubelet_args, s->opts->kubelet_args.v[i]);
	VEC_PUSH(&s->kubelet_args, NULL);
}

static int server_duration(const char *option, const char *text, int64_t *ret_ns, struct err *e)
{
	if (time_parse_go_duration(str_of(text), ret_ns) && *ret_ns >= 0)
		return 0;
	return err_set(e, ERR_BAD_REQUEST, "--%s: '%s' is no time such as 1m30s", option, text);
}

static int server_image_gc(const struct server_opts *o, struct image_gc_policy *p, struct err *e)
{
	int64_t min_ns = 0, max_ns = 0;

	if (server_duration("minimum-image-ttl-duration", o->gc_min_age, &min_ns, e) < 0 ||
	    server_duration("image-maximum-gc-age", o->gc_max_age, &max_ns, e) < 0)
		return -e->code;
	if (o->gc_low >= o->gc_high)
		return err_set(e, ERR_BAD_REQUEST, "--image-gc-low-threshold has to be below --image-gc-high-threshold");
	if (max_ns && max_ns <= min_ns)
		return err_set(e, ERR_BAD_REQUEST, "--image-maximum-gc-age has to be above --minimum-image-ttl-duration");
	*p = (struct image_gc_policy){ (int)o->gc_high, (int)o->gc_low, min_ns / SEC_NS, max_ns / SEC_NS };
	return 0;
}

static int server_open_images(struct server *s, struct err *e)
{
	_cleanup_free_ char *dir = path_join(s->agent_dir, "images");
	struct image_limits l = IMAGE_LIMITS_DEFAULT;
	int64_t ns;

	if (!time_parse_go_duration(str_of(s->opts->pull_deadline), &ns) || ns < SEC_NS / 10 || ns > DAY_S * SEC_NS)
		return err_set(e, ERR_BAD_REQUEST, "--image-pull-progress-deadline: '%s' is no time such as 1m30s",
			       s->opts->pull_deadline);
	if (image_store_open(&s->images, s->loop, dir, e) < 0 ||
	    image_store_set_registries(s->images, s->opts->registries, e) < 0)
		return -e->code;
	l.pulls = (int)s->opts->parallel_pulls;
	l.progress_ms = (int)(ns / 1000000);
	l.no_default_endpoint = s->opts->no_default_endpoint;
	image_store_set_limits(s->images, &l);
	return 0;
}

/* The machine's directory belongs to its one cluster; others keep theirs with their data. */
static const char *server_pod_logs_dir(const struct server_opts *o)
{
	if (!str_empty(o->pod_logs_dir))
		return o->pod_logs_dir;
	return streq(o->data_dir, KINGLET_DATA_DIR) ? "/var/log/pods" : NULL;
}

static int server_open_agent(struct server *s, struct err *e)
{
	_cleanup_free_ char *cgroup = server_cgroup(s->opts->cgroup, s->opts->data_dir);
	_cleanup_free_ char *allocations = path_join(s->agent_dir, "addresses");
	_cleanup_free_ char *manifests = path_join(s->agent_dir, "pod-manifests");
	struct run_config run = { .loop = s->loop, .state_dir = s->agent_dir, .cgroup_name = cgroup,
				  .on_exit = server_on_exit, .on_sandbox_lost = server_on_sandbox_lost, .arg = s };
	struct net_config net = { .bridge = s->opts->bridge, .table = server_table(s->opts->bridge), .pod_cidr = s->net_plan.pod_cidr,
				  .cluster_cidr = s->opts->cluster_cidr, .state_file = allocations };
	struct node_config node = { .loop = s->loop, .client = client_named(s->client, "kubelet"),
				    .name = s->node_name, .ip = s->node_ip, .ip2 = s->node_ip2, .pod_cidr = s->net_plan.pod_cidr, .external_ip = s->opts->node_external_ip, .state_dir = s->agent_dir, .version = KINGLET_KUBERNETES,
				    .labels = s->node_labels.v, .taints = s->node_taints.v,
				    .cluster_dns = s->net_plan.dns, .cluster_domain = s->opts->cluster_domain,
				    .resolv_conf = s->opts->resolv_conf, .service_host = s->net_plan.first_ips[0],
				    .service_port = 443, .max_pods = (int)s->opts->max_pods,
				    .manifest_dir = str_empty(s->opts->manifest_dir) ? manifests : s->opts->manifest_dir,
				    .kubelet_args = s->kubelet_args.v };

	node.pod_logs_dir = server_pod_logs_dir(s->opts);
	if (s->opts->kubelet_port)
		node.listen = (struct node_listen){ s->opts->bind_address, (int)s->opts->kubelet_port,
						    s->pki.kubelet_cert, s->pki.kubelet_key, s->pki.ca_cert };
	if (agent_check_args(node.kubelet_args, e) < 0)
		return -e->code;
	if (path_mkdirs(s->agent_dir, 0711, e) < 0)
		return -e->code;
	cluster_net_warn(s->opts);
	if (server_image_gc(s->opts, &node.image_gc, e) < 0 || server_open_images(s, e) < 0 || net_open(&s->net, &net, e) < 0)
		return -e->code;
	node.images = s->images;
	node.net = s->net;
	if (run_new(&s->runtime, &run, e) < 0)
		return -e->code;
	node.runtime = s->runtime;
	if (agent_new(&s->agent, &node, e) < 0)
		return -e->code;
	agent_start(s->agent);
	s->local_dirs = local_dirs_new(node.client, s->node_name, s->local_storage);
	return 0;
}

/* What this machine does for Services, policies and names. */
static int server_open_services(struct server *s, struct err *e)
{
	const struct server_opts *o = s->opts;
	struct svc_config cfg = { .loop = s->loop, .client = client_named(s->client, "kinglet-services"), .net = s->net,
				  .node_name = s->node_name, .node_ip = s->node_ip, .state_dir = s->agent_dir,
				  .cluster_cidr = o->cluster_cidr, .service_cidr = o->service_cidr,
				  .cluster_dns = s->net_plan.dns, .cluster_domain = o->cluster_domain,
				  .resolv_conf = o->resolv_conf, .lb_pool = o->lb_pool,
				  .ingress_address = o->ingress_address, .ingress_http_port = (int)o->ingress_http,
				  .ingress_https_port = (int)o->ingress_https, .ingress_access_log = o->ingress_log,
				  .no_proxy = o->disable_proxy, .no_policy = o->disable_policy };

	cfg.no_dns = server_disabled(s, "dns");
	cfg.no_lb = server_disabled(s, "servicelb");
	cfg.no_ingress = server_disabled(s, "ingress");
	return svc_new(&s->svc, &cfg, e);
}

/* --- life --- */

static void server_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	size_t n = path ? strlen(path) : 0;

	if (!n || n >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

static void server_ready(void *arg)
{
	struct server *s = arg;

	log_info("ready", LI("port", s->port), LI("ms", time_mono_ms() - s->started_ms),
		 LS("kubeconfig", s->opts->write_kubeconfig));
	server_notify("READY=1");
	s->turns = SERVER_BUSY_TURNS;
}

static void server_on_signal(void *arg, int signo)
{
	struct server *s = arg;

	if (signo == SIGHUP || signo == SIGPIPE)
		return;
	log_info("stopping; pods run on", LS("signal", strsignal(signo)));
	server_notify("STOPPING=1");
	loop_stop(s->loop);
}

/* Work is over for now: what it took goes back to the system. */
static void server_release(void *arg)
{
	((struct server *)arg)->turns = 0;
	obj_trim(SERVER_TREE_BYTES);
	malloc_trim(0);
}

static void server_trim(void *arg)
{
	struct server *s = arg;
	int64_t now = loop_now_ms(s->loop);

	obj_trim(now - s->turn_ms <= SERVER_BUSY_MS ? SERVER_BUSY_TREE_BYTES : SERVER_TREE_BYTES);
	s->turn_ms = now;
	if (++s->turns >= SERVER_BUSY_TURNS)
		loop_timer_set(s->release, SERVER_QUIET_MS);
}

static void server_raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r);
}

/* --- certificate requests, for the controllers --- */

static int server_csr_read(struct csr_facts *ret, struct str pem, struct err *e)
{
	struct tls_csr c;

	if (tls_csr_read(&c, pem, e) < 0)
		return -e->code;
	*ret = (struct csr_facts){ c.common_name, c.organizations, c.n_dns, c.n_ips, c.n_emails, c.n_uris };
	return 0;
}

static int server_csr_sign(void *arg, struct str pem, const struct csr_terms *t, struct buf *ret_pem, struct err *e)
{
	struct server *s = arg;
	struct tls_csr_terms terms = { t->backdate_s, t->ttl_s, t->key_usage, t->ext_key_usage };
	_cleanup_free_ char *cert = NULL;

	if (tls_csr_sign(&cert, pem, &terms, s->pki.ca_cert, s->pki.ca_key, e) < 0)
		return -e->code;
	buf_adds(ret_pem, cert);
	return 0;
}

static int server_check_controllers(struct server *s, struct err *e)
{
	for (size_t i = 0; i < s->opts->controller_args.n; i++)
		VEC_PUSH(&s->controller_args, s->opts->controller_args.v[i]);
	VEC_PUSH(&s->controller_args, NULL);
	return ctl_check_args(s->controller_args.v, e);
}

/* LoadBalancer Services: what they can have, and what they can't. */
static struct ctl_lb server_balancer(struct server *s)
{
	const struct server_opts *o = s->opts;
	struct ctl_lb lb = { .off = server_disabled(s, "servicelb"), .pool = o->lb_pool, .taken = s->taken };
	bool ingress = !server_disabled(s, "ingress") && !o->disable_agent;
	const struct ctl_lb_port all[] = { { "the API server", "TCP", s->port, NULL },
					   { "the node's agent", "TCP", o->disable_agent ? 0 : (int)o->kubelet_port, NULL },
					   { "the ingress", "TCP", ingress ? (int)o->ingress_http : 0, o->ingress_address },
					   { "the ingress", "TCP", ingress ? (int)o->ingress_https : 0, o->ingress_address } };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].port)
			s->taken[n++] = all[i];
	for (size_t i = 0; i < n; i++)
		if (streq_null(s->taken[i].address, "0.0.0.0") || streq_null(s->taken[i].address, "::"))
			s->taken[i].address = NULL;
	return lb;
}

static int server_start(struct server *s, struct err *e)
{
	static const char *const groups[] = { "system:masters", NULL };

	s->server_dir = path_join(s->opts->data_dir, "server");
	s->agent_dir = path_join(s->opts->data_dir, "agent");
	s->local_storage = s->opts->local_storage ? xstrdup(s->opts->local_storage) : path_join(s->opts->data_dir, "storage");
	if (server_check_parts(s, e) < 0 || ctl_check_lb_pool(s->opts->lb_pool, e) < 0 || server_check_controllers(s, e) < 0 || server_names(s, e) < 0 ||
	    server_lock(s, e) < 0)
		return -e->code;
	s->loop = loop_new();
	s->sigterm = loop_signal_new(s->loop, SIGTERM, server_on_signal, s);
	s->sigint = loop_signal_new(s->loop, SIGINT, server_on_signal, s);
	s->sighup = loop_signal_new(s->loop, SIGHUP, server_on_signal, s);
	s->sigpipe = loop_signal_new(s->loop, SIGPIPE, server_on_signal, s);
	if (server_open_store(s, e) < 0 || server_certificates(s, e) < 0 || server_open_api(s, e) < 0 ||
	    server_write_kubeconfig(s, e) < 0)
		return -e->code;
	s->trim = loop_before_sleep(s->loop, server_trim, s);
	s->release = loop_timer_new(s->loop, server_release, s);
	s->client = client_new_local(s->loop, api_call_server(s->api, "system:kinglet", groups), "system:kinglet");
	api_start(s->api, server_ready, s);
	s->ctl = ctl_new(&(struct ctl_config){ .args = s->controller_args.v, .client = client_named(s->client, "kube-controller-manager"),
					       .root_ca_pem = s->pki.ca_cert, .csr_read = server_csr_read,
					       .csr_sign = server_csr_sign, .csr_arg = s, .lb = server_balancer(s),
					       .local_storage = server_disabled(s, "local-storage") ? NULL : s->local_storage });
	s->sched = sched_new(client_named(s->client, "kube-scheduler"), "default-scheduler");
	server_node_marks(s);
	if (s->opts->disable_agent)
		return 0;
	return server_open_agent(s, e) < 0 || server_open_services(s, e) < 0 ? -e->code : 0;
}

static void server_stop(struct server *s)
{
	if (s->http)
		http_server_drain(s->http);
	svc_free(s->svc);
	local_dirs_free(s->local_dirs);
	agent_free(s->agent);
	sched_free(s->sched);
	ctl_free(s->ctl);
	client_free(s->client);
	run_free(s->runtime);
	net_close(s->net);
	image_store_close(s->images);
	http_server_free(s->http);
	api_free(s->api);
	store_close(s->store);
	tls_free(s->tls);
	loop_hook_free(s->trim);
	loop_timer_free(s->release);
	loop_signal_free(s->sigterm);
	loop_signal_free(s->sigint);
	loop_signal_free(s->sighup);
	loop_signal_free(s->sigpipe);
	obj_trim(0);
	if (s->loop)
		loop_free(s->loop);
	pki_release(&s->pki);
	VEC_RELEASE(&s->resources);
	VEC_RELEASE(&s->node_labels);
	VEC_RELEASE(&s->node_taints);
	VEC_RELEASE(&s->kubelet_args);
	VEC_RELEASE(&s->controller_args);
	VEC_RELEASE(&s->issuers);
	VEC_RELEASE(&s->audiences);
	free(s->issuer);
	free(s->node_name);
	free(s->server_dir);
	free(s->agent_dir);
	free(s->local_storage);
	if (s->lock >= 0)
		close_fd(s->lock);
}

static int server_run(void *opts, int argc, char **argv, struct err *e)
{
	struct server s = { .opts = opts, .lock = -1, .started_ms = time_mono_ms() };
	int rc;

	if (!log_level_parse(s.opts->log_level, &log_threshold))
		return err_set(e, ERR_BAD_REQUEST, "--log-level '%s': choose trace, debug, info, warn or error",
			       s.opts->log_level);
	server_raise_limits();
	rc = server_start(&s, e);
	if (rc == 0)
		loop_run(s.loop);
	server_stop(&s);
	return rc;
}

const struct cmd cmd_server = {
	.name = "server",
	.args = "",
	.summary = "run a cluster on this machine",
	.text = "Runs a whole Kubernetes cluster in this process: API, datastore, scheduler, controllers, and\n"
		"a node that runs pods on this machine. It stays in the foreground; SIGTERM ends it and leaves\n"
		"the pods running, the next start finds them again. Every option may stand in the\n"
		"configuration file under its name, and in the environment as shown in kinglet-server(8).",
	.opts = server_options,
	.opts_size = sizeof(struct server_opts),
	.flags = CMD_ROOT,
	.config_file = KINGLET_CONFIG,
	.run = server_run,
};
