/*
 * kinglet check: what this kernel and machine offer and lack, each thing tried
 * out rather than guessed from a version, with the remedy for what lacks.
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/path.h"
#include "cli/cli.h"
#include "cli/server.h"
#include "net/net.h"
#include "run/run.h"

struct check_opts {
	char *data_dir, *cluster_cidr, *service_cidr;
};

static const struct opt check_opts[] = {
	{ OPT_STRING, "data-dir", 'd', offsetof(struct check_opts, data_dir), "DIR", "KINGLET_DATA_DIR", KINGLET_DATA_DIR,
	  .help = "where a server would keep everything: its disk is looked at" },
	{ OPT_STRING, "cluster-cidr", 0, offsetof(struct check_opts, cluster_cidr), "CIDR", "KINGLET_CLUSTER_CIDR", "10.42.0.0/16",
	  .help = "addresses that a server would have for pods" },
	{ OPT_STRING, "service-cidr", 0, offsetof(struct check_opts, service_cidr), "CIDR", "KINGLET_SERVICE_CIDR", "10.43.0.0/16",
	  .help = "addresses that a server would have for services" },
	{ .type = OPT_END },
};

#define CHECK_DISK_MIN (1ull << 30)

struct check {
	int lacking; /* things that limit what works */
	bool fatal; /* pods can't run at all */
};

static void check_line(struct check *c, bool good, const char *what, const char *detail)
{
	printf("%-8s %-22s %s\n", good ? "ok" : "missing", what, detail);
	c->lacking += !good;
}

/* Texts of several lines, each "what: remedy". */
static void check_lines(struct check *c, const char *text)
{
	struct str rest = str_of(text);

	while (rest.n) {
		struct str line = str_cut(&rest, '\n');

		if (!line.n)
			continue;
		printf("%-8s %" STR_FMT "\n", "missing", STR_ARG(line));
		c->lacking++;
	}
}

/* What lacks is told by the runtime, with the remedy; what is there is said here. */
static void check_machine(struct check *c, const struct run_machine *m)
{
	const struct {
		bool good;
		const char *what, *detail;
	} all[] = {
		{ m->overlayfs, "overlayfs", "the containers' file systems" },
		{ m->seccomp, "seccomp", "filters for system calls" },
		{ m->cgroup2_cpu, "cpu limits", "cgroup v2 controller cpu" },
		{ m->cgroup2_memory, "memory limits", "cgroup v2 controller memory" },
		{ m->cgroup2_pids, "process limits", "cgroup v2 controller pids" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].good)
			check_line(c, true, all[i].what, all[i].detail);
	check_lines(c, m->missing);
	c->fatal |= !m->overlayfs;
}

static int check_runtime(struct check *c, const char *dir, struct err *e)
{
	_cleanup_buf_ struct buf report = BUF_INIT;
	struct loop *l = loop_new();
	_cleanup_free_ char *cgroup = xasprintf("kinglet-check-%d", getpid());
	struct run_config cfg = { .loop = l, .state_dir = dir, .cgroup_name = cgroup };
	struct runtime *r = NULL;
	int rc = run_new(&r, &cfg, e);

	if (rc == 0) {
		check_machine(c, run_machine(r));
		run_free(r);
		rc = run_kill_all(dir, cgroup, &report, e);
	}
	loop_free(l);
	return rc;
}

/* A bridge and our table, in a network namespace that ends with this process. */
static void check_network(struct check *c, const char *dir)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *state = path_join(dir, "addresses");
	struct net_config cfg = { .bridge = KINGLET_BRIDGE, .table = server_table(KINGLET_BRIDGE), .pod_cidr = "10.42.0.0/24",
				  .cluster_cidr = "10.42.0.0/16", .state_file = state, .mtu = 1500 };
	struct net *n = NULL;

	if (unshare(CLONE_NEWNET) < 0) {
		check_line(c, false, "network namespaces", "the kernel needs CONFIG_NET_NS");
		c->fatal = true;
		return;
	}
	check_line(c, true, "network namespaces", "a network for each pod");
	if (net_open(&n, &cfg, &e) < 0) {
		check_line(c, false, "bridge", err_msg(&e));
		c->fatal = true;
		return;
	}
	check_line(c, true, "bridge", "pods reach each other");
	if (*net_missing(n))
		check_lines(c, net_missing(n));
	else
		check_line(c, true, "nf_tables", "pods reach other networks");
	net_close(n);
}

/* Asked before this process leaves the machine's network. */
static void check_addresses(struct check *c, const char *option, const char *networks)
{
	char what[NET_ADDR_TEXT + 32];
	_cleanup_free_ char *text = NULL;
	bool clash = net_conflict(KINGLET_BRIDGE, networks, what);

	if (clash)
		text = xasprintf("%s overlaps with %s, which pods can't reach then: choose another one", networks, what);
	check_line(c, !clash, option, clash ? text : networks);
}

static void check_disk(struct check *c, const char *data_dir)
{
	_cleanup_free_ char *dir = xstrdup(data_dir), *text = NULL;
	struct statvfs v;
	uint64_t available;
	char *slash;

	while (statvfs(dir, &v) < 0 && (slash = strrchr(dir, '/')) && slash != dir)
		*slash = '\0';
	if (statvfs(dir, &v) < 0 && statvfs("/", &v) < 0)
		return;
	available = (uint64_t)v.f_bavail * v.f_frsize;
	text = xasprintf("%.1f GiB free below %s", (double)available / (1 << 30), data_dir);
	check_line(c, available >= CHECK_DISK_MIN, "disk", text);
}

static int check_run(void *opts, int argc, char **argv, struct err *e)
{
	struct check_opts *o = opts;
	char dir[] = "/tmp/kinglet-check-XXXXXX";
	struct check c = { 0 };
	struct utsname u;
	int rc;

	if (!mkdtemp(dir))
		return err_errno(e, errno, "make a temporary directory");
	uname(&u);
	printf("%-8s %-22s %s %s\n", "", "kernel", u.release, u.machine);
	check_disk(&c, o->data_dir);
	check_addresses(&c, "cluster-cidr", o->cluster_cidr);
	check_addresses(&c, "service-cidr", o->service_cidr);
	check_network(&c, dir);
	rc = check_runtime(&c, dir, e);
	if (path_remove_tree(dir, e) < 0)
		rc = -e->code;
	if (rc < 0)
		return rc;
	if (c.fatal)
		printf("\nPods can't run on this machine as it is.\n");
	else if (c.lacking)
		printf("\nPods can run; what is missing is done without.\n");
	else
		printf("\nNothing is missing.\n");
	return c.fatal ? 1 : 0;
}

const struct cmd cmd_check = {
	.name = "check",
	.args = "",
	.summary = "what this kernel and machine offer and lack, with remedies",
	.text = "Tries out what kinglet needs of the kernel (namespaces, overlayfs, cgroups, seccomp, bridge,\n"
		"nf_tables) and of the disk, and says how to get what is missing. Exits with 1 when pods could\n"
		"not run at all. Nothing is left behind.",
	.opts = check_opts,
	.opts_size = sizeof(struct check_opts),
	.flags = CMD_ROOT,
	.run = check_run,
};
