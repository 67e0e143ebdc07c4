/*
 * kinglet killall: stops every pod and removes what kinglet made on this
 * machine, whether or not a server runs. Stored objects and images stay.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/path.h"
#include "base/time.h"
#include "cli/cli.h"
#include "cli/server.h"
#include "net/net.h"
#include "run/run.h"

struct killall_opts {
	char *data_dir, *bridge, *cgroup;
};

static const struct opt killall_opts[] = {
	{ OPT_STRING, "data-dir", 'd', offsetof(struct killall_opts, data_dir), "DIR", "KINGLET_DATA_DIR",
	  KINGLET_DATA_DIR, .help = "the data directory of the server to clean up after" },
	{ OPT_STRING, "bridge", 0, offsetof(struct killall_opts, bridge), "NAME", "KINGLET_BRIDGE", KINGLET_BRIDGE,
	  .help = "the bridge that its pods are attached to" },
	{ OPT_STRING, "cgroup", 0, offsetof(struct killall_opts, cgroup), "NAME", NULL, NULL,
	  .help = "the cgroup that its pods run below, when the server was given one" },
	{ .type = OPT_END },
};

#define KILLALL_WAIT_MS 10000

/* The server's lock file holds its pid; it is ended first, so that it makes nothing anew. */
static int killall_server(const char *data_dir, struct buf *report, struct err *e)
{
	_cleanup_free_ char *path = path_join(data_dir, "kinglet.lock");
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err none = ERR_INIT;
	int lock = path_exists(path) ? path_lock(path) : -ENOENT;
	int64_t pid, until;

	if (lock != -EWOULDBLOCK) {
		close_fd(lock < 0 ? -1 : lock);
		return 0;
	}
	if (path_read(path, 64, &text, &none) < 0 || !str_to_i64(str_trim(buf_str(&text)), &pid) || pid <= 1)
		return err_set(e, ERR_UNKNOWN, "a server holds '%s' but its process can't be told; stop it first", path);
	kill((pid_t)pid, SIGTERM);
	for (until = time_mono_ms() + KILLALL_WAIT_MS; time_mono_ms() < until; usleep(20000)) {
		lock = path_lock(path);
		if (lock >= 0) {
			close_fd(lock);
			buf_addf(report, "stopped the server (process %lld)\n", (long long)pid);
			return 0;
		}
	}
	return err_set(e, ERR_UNKNOWN, "the server (process %lld) does not stop; kill it and try again",
		       (long long)pid);
}

char *server_cgroup(const char *given, const char *data_dir)
{
	if (!str_empty(given))
		return xstrdup(given);
	if (streq(data_dir, KINGLET_DATA_DIR))
		return xstrdup(KINGLET_CGROUP);
	return xasprintf(KINGLET_CGROUP "-%08x", hash_fnv32a(str_of(data_dir)));
}

const char *server_table(const char *bridge)
{
	return streq(bridge, KINGLET_BRIDGE) ? "kinglet" : bridge;
}

static int killall_run(void *opts, int argc, char **argv, struct err *e)
{
	struct killall_opts *o = opts;
	_cleanup_buf_ struct buf report = BUF_INIT;
	_cleanup_free_ char *agent = path_join(o->data_dir, "agent");
	_cleanup_free_ char *cgroup = server_cgroup(o->cgroup, o->data_dir);
	int rc;

	rc = killall_server(o->data_dir, &report, e);
	if (rc == 0)
		rc = run_kill_all(agent, cgroup, &report, e);
	if (rc == 0)
		rc = net_kill_all(o->bridge, server_table(o->bridge), &report, e);
	fputs(report.len || rc < 0 ? report.s : "nothing to clean up\n", stdout);
	return rc;
}

const struct cmd cmd_killall = {
	.name = "killall",
	.args = "",
	.summary = "stop every pod and remove what kinglet made on this machine",
	.text = "Stops the server of this data directory if it runs, ends every pod, and removes the\n"
		"interfaces, rules, mounts and cgroups that kinglet made. Stored objects and images stay:\n"
		"the next `kinglet server` starts the pods again.",
	.opts = killall_opts,
	.opts_size = sizeof(struct killall_opts),
	.flags = CMD_ROOT,
	.run = killall_run,
};
