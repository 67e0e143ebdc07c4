/*
 * bench/run: how long a container takes, by kinglet's runtime and by others.
 *
 *	run DIR COUNT NAME=COMMAND...
 *
 * DIR/root is the container's root file system. COUNT times in turn, so that all
 * see the same machine: kinglet's runtime (linked in, as the server has it) makes
 * a sandbox and runs /bin/true in it; another container in a sandbox that is
 * there; and each COMMAND, by sh, until it ends. Times are from the request to
 * the news of the exit; what is cleaned up afterwards is outside, as far as a
 * command lets it. Medians, and the fastest. To be run by bench/containers.sh.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/path.h"
#include "base/rand.h"
#include "base/time.h"
#include "run/run.h"

extern char **environ;

static struct loop *loop;
static struct runtime *rt;
static char *layer, *logs;
static struct sandbox *made;
static struct container *started;
static bool answered, ended, destroyed;

static void fail(const char *what, const struct err *e)
{
	fprintf(stderr, "bench/run: %s: %s\n", what, e ? err_msg(e) : "");
	exit(1);
}

static void on_exit_cb(void *arg, struct sandbox *s, const struct container_status *st)
{
	if (st->exit_code != 0)
		fail("the container's exit code is not 0", NULL);
	ended = true;
}

static void on_sandbox(void *arg, struct sandbox *s, const struct err *e)
{
	if (!s)
		fail("sandbox", e);
	made = s;
	answered = true;
}

static void on_container(void *arg, struct container *c, const struct err *e)
{
	if (!c)
		fail("container", e);
	started = c;
	answered = true;
}

static void on_destroyed(void *arg, const struct err *e)
{
	destroyed = true;
}

static void wait_until(bool *flag)
{
	while (!*flag)
		loop_turn(loop, 1000);
	*flag = false;
}

static struct sandbox *sandbox_make(void)
{
	char id[37];
	struct run_sandbox_spec spec = { .id = id, .name = "bench/bench", .hostname = "bench", .cgroup_parent = "kubepods" };

	rand_uuid(id);
	sandbox_create(rt, &spec, on_sandbox, NULL);
	wait_until(&answered);
	return made;
}

static void sandbox_end(struct sandbox *s)
{
	sandbox_destroy(s, on_destroyed, NULL);
	wait_until(&destroyed);
}

/* Until its exit is known; *running: until it was started. */
static void container_run(struct sandbox *s, int64_t *running)
{
	static const char *const argv[] = { "/bin/true", NULL }, *const env[] = { "PATH=/bin", NULL };
	static unsigned attempt;
	_cleanup_buf_ struct buf id = BUF_INIT;
	const char *const layers[] = { layer, NULL };
	struct run_container_spec spec = { .name = "c", .attempt = attempt++, .layers = layers, .argv = argv, .env = env,
					   .run_as_user = -1, .run_as_group = -1, .log_dir = logs };
	unsigned char raw[32];
	int64_t t = time_mono_us();

	rand_bytes(raw, sizeof(raw));
	buf_add_hex(&id, raw, sizeof(raw));
	spec.id = id.s;
	container_start(s, &spec, on_container, NULL);
	wait_until(&answered);
	*running = time_mono_us() - t;
	wait_until(&ended);
}

static int64_t command_run(const char *command)
{
	char *argv[] = { "sh", "-c", (char *)command, NULL };
	int64_t t = time_mono_us();
	int status;
	pid_t pid;

	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		fail(command, NULL);
	return time_mono_us() - t;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void figure(const char *name, int64_t *us, int n)
{
	qsort(us, (size_t)n, sizeof(*us), compare);
	printf("%-44s %9.2f ms median %9.2f ms fastest\n", name, (double)us[n / 2] / 1e3, (double)us[0] / 1e3);
}

int main(int argc, char **argv)
{
	struct run_config cfg = { .cgroup_name = "kinglet-bench", .on_exit = on_exit_cb };
	int n = argc > 2 ? atoi(argv[2]) : 0, rest = argc - 3;
	struct err e = ERR_INIT;
	struct sandbox *standing;
	int64_t *us;

	if (n < 1)
		fail("usage: run DIR COUNT NAME=COMMAND...", NULL);
	us = calloc((size_t)n * (size_t)(3 + rest), sizeof(*us));
	layer = path_join(argv[1], "root");
	logs = path_join(argv[1], "logs");
	cfg.state_dir = path_join(argv[1], "agent");
	cfg.loop = loop = loop_new();
	if (path_mkdirs(logs, 0700, &e) < 0 || path_mkdirs(cfg.state_dir, 0700, &e) < 0 || run_new(&rt, &cfg, &e) < 0)
		fail("start", &e);
	standing = sandbox_make();
	for (int i = 0; i < n; i++) {
		int64_t t = time_mono_us(), ignored;
		struct sandbox *s = sandbox_make();

		container_run(s, &ignored);
		us[i] = time_mono_us() - t;
		sandbox_end(s);
		t = time_mono_us();
		container_run(standing, &us[2 * n + i]);
		us[n + i] = time_mono_us() - t;
		container_remove(started, true);
		for (int k = 0; k < rest; k++)
			us[(3 + k) * n + i] = command_run(strchr(argv[3 + k], '=') + 1);
	}
	sandbox_end(standing);
	figure("kinglet: sandbox and container, to its exit", us, n);
	figure("kinglet: container in a sandbox, to its exit", us + n, n);
	figure("kinglet: container in a sandbox, to running", us + 2 * n, n);
	for (int k = 0; k < rest; k++) {
		*strchr(argv[3 + k], '=') = '\0';
		figure(argv[3 + k], us + (3 + k) * n, n);
	}
	run_free(rt);
	return 0;
}
