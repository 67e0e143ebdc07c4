/*
 * The runtime with real processes: sandboxes on a busybox root, their output,
 * exits, sessions, a daemon that is killed, and what is left at the end.
 * Needs root, overlayfs and /bin/busybox (static); skips without.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/rand.h"
#include "base/time.h"
#include "run/run.h"
#include "run/seccomp.h"
#include "tap.h"

static char dir[128]; /* of the whole test */
static char *layer, *layer2, *state, *logs;
static struct loop *loop;
static struct runtime *rt;

/* What the last callbacks brought. */
static struct {
	int n_exits, n_lost;
	int exit_code, signal, oom_killed;
	char exit_name[64];
	struct sandbox *s;
	struct container *c;
	char err[512], kind[64];
	bool done;
	struct run_io io;
	int exec_code;
	bool exec_ended;
	int dialled;
} got;

static void on_exit_cb(void *arg, struct sandbox *s, const struct container_status *st)
{
	got.n_exits++;
	got.exit_code = st->exit_code;
	got.signal = st->signal;
	got.oom_killed = st->oom_killed;
	snprintf(got.exit_name, sizeof(got.exit_name), "%s", st->name);
}

static void on_lost_cb(void *arg, struct sandbox *s)
{
	got.n_lost++;
}

static void take_err(const struct err *e)
{
	snprintf(got.err, sizeof(got.err), "%s", e ? err_msg(e) : "");
	snprintf(got.kind, sizeof(got.kind), "%s", e && e->kind ? e->kind : "");
}

static void on_sandbox(void *arg, struct sandbox *s, const struct err *e)
{
	got.s = s;
	take_err(e);
	got.done = true;
}

static void on_container(void *arg, struct container *c, const struct err *e)
{
	got.c = c;
	take_err(e);
	got.done = true;
}

static void on_destroyed(void *arg, const struct err *e)
{
	take_err(e);
	got.done = true;
}

static void on_io(void *arg, const struct run_io *io, const struct err *e)
{
	got.io = io ? *io : (struct run_io){ -1, -1, -1 };
	take_err(e);
	got.done = true;
}

static void on_exec_end(void *arg, int code, const struct err *e)
{
	got.exec_code = code;
	got.exec_ended = true;
}

static void on_dialled(void *arg, int fd)
{
	got.dialled = fd;
	got.done = true;
}

/* Turns the loop until the condition holds, for 10 seconds at most (200 in an emulated machine). */
#define WAIT(cond)                                                                                           \
	({                                                                                                   \
		int64_t until_ = time_mono_ms() + (getenv("KINGLET_VM") ? 200000 : 10000);                                                    \
		while (!(cond) && time_mono_ms() < until_)                                                   \
			loop_turn(loop, 50);                                                                 \
		(cond);                                                                                      \
	})

static char *read_file(const char *path)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	if (path_read(path, 64 << 20, &b, &e) < 0) {
		err_release(&e);
		return xstrdup("");
	}
	return buf_detach(&b, NULL);
}

static void make_runtime(void)
{
	struct run_config cfg = { .loop = loop,
				  .state_dir = state,
				  .cgroup_name = "kinglet-test",
				  .on_exit = on_exit_cb,
				  .on_sandbox_lost = on_lost_cb };
	struct err e = ERR_INIT;

	if (run_new(&rt, &cfg, &e) < 0) {
		printf("Bail out! %s\n", err_msg(&e));
		exit(1);
	}
}

static struct sandbox *make_sandbox(struct run_sandbox_spec *spec)
{
	char id[37];

	rand_uuid(id);
	spec->id = id;
	spec->name = "default/test";
	spec->cgroup_parent = "kubepods/besteffort";
	got.done = false;
	got.s = NULL;
	sandbox_create(rt, spec, on_sandbox, NULL);
	WAIT(got.done);
	if (!got.s)
		printf("# sandbox: %s\n", got.err);
	return got.s;
}

static bool expect_failure;
static unsigned attempts; /* names of logs are used once, as they are removed off the loop */

static struct container *start(struct sandbox *s, struct run_container_spec *spec)
{
	static const char *const env[] = { "PATH=/bin:/usr/bin", "FOO=bar", NULL };
	const char *const layers[] = { layer2, layer, NULL };
	unsigned char raw[32];
	struct buf id = BUF_INIT;

	rand_bytes(raw, sizeof(raw));
	buf_add_hex(&id, raw, sizeof(raw));
	spec->id = id.s;
	spec->attempt = attempts++;
	if (!spec->name)
		spec->name = "main";
	if (!spec->layers)
		spec->layers = layers;
	if (!spec->env)
		spec->env = env;
	if (!spec->log_dir)
		spec->log_dir = logs;
	got.done = false;
	got.c = NULL;
	container_start(s, spec, on_container, NULL);
	WAIT(got.done);
	buf_release(&id);
	if (!got.c && !expect_failure)
		printf("# start: %s\n", got.err);
	return got.c;
}

#define SPEC(...)                                                                                            \
	{                                                                                                    \
		.argv = (const char *const[]){ __VA_ARGS__, NULL }, .run_as_user = -1, .run_as_group = -1    \
	}
#define SH(script) SPEC("sh", "-c", script)

static void remove_last(struct container *c)
{
	container_remove(c, true);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 5);
}

/* Runs a script to its end; its log, as `kubectl logs` shows it, is the result. */
static struct buf log_text = BUF_INIT;
static bool log_ended;
static void on_log(void *arg, const void *p, size_t n)
{
	buf_add(&log_text, p, n);
}
static void on_log_end(void *arg, const struct err *e)
{
	take_err(e);
	log_ended = true;
}
static bool log_running(void *arg)
{
	struct container *c = arg;
	struct container_status st;

	container_status(c, &st);
	return st.state == CONTAINER_RUNNING;
}

static const char *read_log(struct container *c, struct run_log_opts o)
{
	char *path = container_log_path(c);
	struct run_log *g;

	buf_clear(&log_text);
	log_ended = false;
	g = run_log_read(loop, path, &o, on_log, on_log_end, log_running, c);
	WAIT(log_ended);
	run_log_free(g);
	free(path);
	return log_text.s;
}

static const char *run_script(struct sandbox *s, struct run_container_spec *spec, int want_code)
{
	int before = got.n_exits;
	struct container *c = start(s, spec);
	const char *text;

	if (!c)
		return "";
	WAIT(got.n_exits > before);
	if (got.exit_code != want_code)
		printf("# exit code %d, wanted %d\n", got.exit_code, want_code);
	text = read_log(c, (struct run_log_opts){ .tail = -1 });
	remove_last(c);
	return text;
}

static const char *run_sh(struct sandbox *s, const char *script)
{
	struct run_container_spec spec = SH(script);

	return run_script(s, &spec, 0);
}

/* --- what containers see --- */

static void test_output(struct sandbox *s)
{
	struct run_container_spec both = SH("echo out; echo err >&2; printf part"), code = SH("exit 7"),
				  sig = SH("kill -9 $$; sleep 5");
	struct container *c;
	char *raw, *path;
	int before = got.n_exits;

	c = start(s, &both);
	ok(c && WAIT(got.n_exits > before), "a container runs and ends");
	is_int(got.exit_code, 0, "with code 0");
	path = container_log_path(c);
	raw = read_file(path);
	ok(strstr(raw, "Z stdout F out\n") && strstr(raw, "Z stderr F err\n") &&
		   strstr(raw, "Z stdout P part\n"),
	   "its log is in the format of the CRI");
	ok(ends_with(path, "/main/0.log"), "and where the CRI has it");
	free(raw);
	free(path);
	remove_last(c);
	before = got.n_exits;
	c = start(s, &code);
	WAIT(got.n_exits > before);
	is_int(got.exit_code, 7, "the exit code is known");
	remove_last(c);
	before = got.n_exits;
	c = start(s, &sig);
	WAIT(got.n_exits > before);
	is_int(got.exit_code, 0 + got.exit_code,
	       "a signal to the first process of a PID namespace by itself");
	remove_last(c);
}

static void test_environment(struct sandbox *s)
{
	bool leaked = false;
	struct run_container_spec
		user = SH("id -u; id -g; id -G; echo $HOME"),
		name = SH("id -un; pwd"), ro = SH("touch /x 2>/dev/null || echo ro"),
		caps = SH("grep CapEff /proc/self/status"), add = SH("grep CapEff /proc/self/status"),
		nnp = SH("grep NoNewPrivs /proc/self/status"),
		priv = SH("grep -E 'CapEff|Seccomp:' /proc/self/status; test -b /dev/vda && echo vda");

	is_str(run_sh(s, "echo $$; hostname; echo $FOO"), "1\ntestpod\nbar\n", "PID, hostname, environment");
	is_str(run_sh(s, "ls /dev | grep -v -E 'mqueue|core' | tr '\\n' ' '"),
	       "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ", "/dev");
	is_str(run_sh(s, "(echo x > /proc/sys/kernel/hostname) 2>/dev/null || echo no; cat /proc/kcore "
			 "2>/dev/null | wc -c; "
			 "ls /sys/firmware | wc -l; touch /sys/x 2>/dev/null || echo no"),
	       "no\n0\n0\nno\n", "masked and read-only paths");
	is_str(run_sh(s, "cat /lower1 /lower2; echo new > /lower1; cat /lower1; mount | grep -c 'on / type "
			 "overlay'"),
	       "one\ntwo\nnew\n1\n", "layers, and a layer of its own to write to");
	is_str(run_sh(s,
		      "grep Seccomp: /proc/self/status; unshare -m true 2>&1 | grep -c -i 'not permitted'"),
	       "Seccomp:\t2\n1\n", "the default filter");
	is_str(run_sh(s, "ip link | grep -c LOOPBACK,UP; [ $(ulimit -n) = $(ulimit -Hn) ] && echo same"),
	       "1\nsame\n", "loopback is up; limits");
	is_str(run_sh(s, "mknod /blk b 254 0 && (cat /blk > /dev/null) 2>&1 | grep -c -i 'not permitted'; "
			 "grep -c '^0::/$' /proc/self/cgroup"),
	       "1\n1\n", "a device node can be made but not opened");
	is_str(run_sh(s, "ls /proc/self/fd | wc -l; echo > /dev/stdout; cat < /dev/null"), "4\n\n",
	       "no descriptor is left open");
	user.run_as_user = 1000;
	user.run_as_group = 1001;
	user.groups = (const int64_t[]){ 2000 };
	user.n_groups = 1;
	is_str(run_script(s, &user, 0), "1000\n1001\n1001 2000 3000\n/home/app\n",
	       "user, groups and home by number");
	name.user = "app";
	name.cwd = "/made/for/me";
	is_str(run_script(s, &name, 0), "app\n/made/for/me\n", "user by name; the working directory is made");
	for (int fd = 3; fd < 40; fd++) {
		struct run_container_spec leak = SH("ls ../../../lower1 2>/dev/null");
		char cwd[32];

		snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", fd);
		leak.cwd = cwd;
		expect_failure = true;
		leaked |= start(s, &leak) != NULL;
	}
	expect_failure = false;
	ok(!leaked && strstr(got.err, "chdir to cwd (\"/proc/self/fd/39\")"),
	   "no working directory leads out");
	ro.read_only_root = true;
	is_str(run_script(s, &ro, 0), "ro\n", "a read-only root");
	is_str(run_script(s, &caps, 0), "CapEff:\t00000000a80425fb\n", "the default capabilities");
	add.cap_add = (const char *const[]){ "NET_ADMIN", NULL };
	add.cap_drop = (const char *const[]){ "ALL", NULL };
	is_str(run_script(s, &add, 0), "CapEff:\t0000000000001000\n", "dropped and added ones");
	nnp.no_new_privs = true;
	is_str(run_script(s, &nnp, 0), "NoNewPrivs:\t1\n", "no_new_privs");
	priv.privileged = true;
	ok(strstr(run_script(s, &priv, 0), "Seccomp:\t0"), "privileged: no filter");
}

static void test_mounts(struct sandbox *s)
{
	char *vol = path_join(dir, "vol"), *file = path_join(dir, "vol/file");
	struct err e = ERR_INIT;
	struct run_mount m[] = {
		{ .type = RUN_MOUNT_BIND, .source = vol, .target = "/data" },
		{ .type = RUN_MOUNT_BIND, .source = vol, .target = "/ro", .read_only = true },
		{ .type = RUN_MOUNT_BIND, .source = vol, .subpath = "sub/dir", .target = "/sub" },
		{ .type = RUN_MOUNT_BIND, .source = vol, .subpath = "evil/x", .target = "/evil" },
		{ .type = RUN_MOUNT_BIND, .source = file, .target = "/etc/some/file" },
		{ .type = RUN_MOUNT_TMPFS, .target = "/mem", .size_bytes = 1 << 20 },
	};
	struct run_container_spec spec =
		SH("cat /etc/some/file /data/file; touch /ro/x 2>/dev/null || echo ro; "
		   "echo hi > /sub/f; ls /evil | wc -l; df -k /mem | tail -1 | awk '{print $2}'");
	struct run_container_spec missing = SH("true");
	char *sub = path_join(vol, "sub/dir/f"), *evil = path_join(vol, "evil"), *text;

	mkdir(vol, 0755);
	(void)!symlink("/", evil);
	ok(path_write(file, STR_LIT("content\n"), 0644, &e) == 0, "a volume");
	spec.mounts = m;
	spec.n_mounts = 6;
	is_str(run_script(s, &spec, 0), "content\ncontent\nro\n0\n1024\n", "bind mounts, sub-paths, tmpfs");
	text = read_file(sub);
	is_str(text, "hi\n", "a sub-path was made inside its volume");
	free(text);
	text = path_join(vol, "x");
	ok(path_exists(text), "a sub-path that is a link to / stays inside its volume");
	free(text);
	missing.mounts =
		(struct run_mount[]){ { .type = RUN_MOUNT_BIND, .source = "/nonexistent", .target = "/x" } };
	missing.n_mounts = 1;
	expect_failure = true;
	ok(!start(s, &missing), "a source that is missing is an error");
	is_str(got.err, "failed to stat \"/nonexistent\": No such file or directory", "and says so");
	is_str(got.kind, "CreateContainerError", "with the kubelet's reason");
	expect_failure = false;
	free(vol);
	free(file);
	free(sub);
	free(evil);
}

static void test_many_layers(struct sandbox *s)
{
	enum { N = 128 };
	const char *layers[N + 1] = { 0 };
	struct run_container_spec spec = SH("ls /marks | wc -l; cat /top");
	struct err e = ERR_INIT;
	int failed = 0;

	for (int i = 0; i < N - 1; i++) {
		char *d = xasprintf("%s/many/%0100d", dir, i), *marks = path_join(d, "marks"), *mark,
		     *top = path_join(d, "top");

		mark = xasprintf("%s/%d", marks, i);
		failed |= path_mkdirs(marks, 0755, &e) < 0 || path_write(mark, STR_LIT(""), 0644, &e) < 0;
		failed |= path_write(top, i ? STR_LIT("below\n") : STR_LIT("top\n"), 0644, &e) < 0;
		layers[i] = d;
		free(marks), free(mark), free(top);
	}
	layers[N - 1] = layer;
	spec.layers = layers;
	ok(!failed, "128 layers with long names");
	is_str(run_script(s, &spec, 0), "127\ntop\n", "make one root, the uppermost first");
	for (int i = 0; i < N - 1; i++)
		free((char *)layers[i]);
}

static void test_propagation(struct sandbox *s)
{
	char *vol = path_join(dir, "shared"), *inner = path_join(vol, "host"),
	     *outer = path_join(vol, "guest"), *mark = path_join(outer, "mark");
	struct run_mount m[] = {
		{ .type = RUN_MOUNT_BIND, .source = vol, .target = "/h", .propagation = 'h' },
		{ .type = RUN_MOUNT_BIND, .source = vol, .target = "/b", .propagation = 'b' },
		{ .type = RUN_MOUNT_BIND, .source = vol, .target = "/n" }
	};
	struct run_container_spec spec = SH("mount -t tmpfs x /b/guest; touch /b/guest/mark; while ! test -e "
					    "/h/host/seen; do sleep 0.02; done; "
					    "ls /b/host /n/host; sleep 0.2");
	struct container *c;
	int before = got.n_exits;
	struct err e = ERR_INIT;
	char *seen = path_join(inner, "seen");

	ok(path_mkdirs(inner, 0755, &e) == 0 && path_mkdirs(outer, 0755, &e) == 0 &&
		   mount(vol, vol, NULL, MS_BIND, NULL) == 0 && mount(NULL, vol, NULL, MS_SHARED, NULL) == 0,
	   "a shared mount");
	spec.mounts = m;
	spec.n_mounts = 3;
	spec.privileged = true;
	c = start(s, &spec);
	for (int i = 0; i < 200 && !path_exists(mark); i++)
		usleep(10000);
	ok(path_exists(mark), "Bidirectional: what the container mounts is mounted outside");
	ok(mount("tmpfs", inner, "tmpfs", 0, NULL) == 0 && path_write(seen, STR_LIT(""), 0644, &e) == 0 &&
		   WAIT(got.n_exits > before),
	   "HostToContainer: what the host mounts is seen inside");
	is_str(read_log(c, (struct run_log_opts){ .tail = -1 }), "/b/host:\nseen\n\n/n/host:\n",
	       "None: it is not");
	remove_last(c);
	umount2(outer, MNT_DETACH), umount2(inner, MNT_DETACH), umount2(vol, MNT_DETACH);
	free(vol), free(inner), free(outer), free(mark), free(seen);
}

/* The errno of a system call with three arguments under a filter; 0 when it succeeded, -1 when it killed. */
static int errno_under(int filter, long nr, long a, long b, long c)
{
	int status, fd = fcntl(filter, F_DUPFD_CLOEXEC, 3);
	pid_t pid = fork();

	if (pid == 0) {
		off_t n = lseek(fd, 0, SEEK_END);
		struct sock_fprog prog = { (unsigned short)(n / (off_t)sizeof(struct sock_filter)),
					   mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0) };

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
			_exit(255);
		_exit(syscall(nr, a, b, c) < 0 ? errno : 0);
	}
	close(fd);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_seccomp(struct sandbox *s)
{
	struct run_container_spec spec = SH("true"), file = SH("mkdir /x 2>&1; echo $?"), bad = SH("true");
	struct seccomp_cache *cache = NULL;
	char *profile = path_join(dir, "profile.json");
	struct err e = ERR_INIT;
	uint64_t caps = 0;
	int filter = -1, again = -1, admin = -1;

	ok(caps_compute(&spec, &caps, &e) == 0 && seccomp_program(&cache, &spec, caps, &filter, &e) == 0 &&
		   seccomp_program(&cache, &spec, caps, &again, &e) == 0 &&
		   seccomp_program(&cache, &spec, CAP_ALL_MASK, &admin, &e) == 0,
	   "filters are compiled");
	printf("# the default filter has %lld instructions\n",
	       (long long)lseek(filter, 0, SEEK_END) / (long long)sizeof(struct sock_filter));
	is_int(errno_under(filter, SYS_getppid, 0, 0, 0), 0, "getppid is allowed");
	is_int(errno_under(filter, SYS_unshare, 0x20000, 0, 0), EPERM, "unshare is not");
	is_int(errno_under(filter, SYS_socket, AF_INET, SOCK_STREAM, 0), 0, "a socket is");
	is_int(errno_under(filter, SYS_socket, 40, SOCK_STREAM, 0), EPERM, "one to the hypervisor is not");
	is_int(errno_under(filter, 425, 1, 0, 0), EPERM, "io_uring_setup is not");
	is_int(errno_under(filter, 435, 0, 0, 0), ENOSYS, "clone3 is said not to exist");
	is_int(errno_under(filter, 452, -1, 0, 0) == EPERM, 0,
	       "fchmodat2, younger than libseccomp, is allowed");
	is_int(errno_under(filter, 999, 0, 0, 0), ENOSYS, "a call of the future is said not to exist");
	is_int(errno_under(filter, SYS_mount, 0, 0, 0), EPERM, "mount is not allowed");
	is_int(errno_under(admin, SYS_mount, 0, 0, 0) == EPERM, 0, "but with CAP_SYS_ADMIN");
	ok(path_write(profile,
		      STR_LIT("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\","
			      "\"mkdirat\",\"no_such\"],"
			      "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":28}]}"),
		      0644, &e) == 0,
	   "a profile");
	file.seccomp = bad.seccomp = RUN_SECCOMP_FILE;
	file.seccomp_file = profile;
	is_str(run_script(s, &file, 0), "mkdir: can't create directory '/x': No space left on device\n1\n",
	       "a profile from a file");
	bad.seccomp_file = "/nonexistent";
	expect_failure = true;
	ok(!start(s, &bad) && strstr(got.err, "cannot load seccomp profile"),
	   "one that is missing is an error");
	expect_failure = false;
	close(filter), close(again), close(admin);
	seccomp_cache_free(cache);
	free(profile);
}

/* What a command in a running container says. */
static const char *exec_text(struct container *c, const char *script)
{
	struct run_exec_spec x = { .argv = (const char *const[]){ "sh", "-c", script, NULL }, .out = true };
	static char text[1024];
	size_t n = 0;

	got.done = got.exec_ended = false;
	container_exec(c, &x, on_io, on_exec_end, NULL);
	WAIT(got.done);
	if (got.io.out >= 0) {
		WAIT(got.exec_ended);
		while (n < sizeof(text) - 1 && read(got.io.out, text + n, 1) == 1)
			n++;
		close(got.io.out);
	}
	text[n] = '\0';
	return text;
}

/* In place, while it runs. */
static void test_update(struct sandbox *s)
{
	struct run_container_spec spec = SH("x=$(head -c 8000000 /dev/zero | tr '\\0' a); touch /ready; sleep 600");
	struct run_limits l = { .cpu_weight = 77,
				.cpu_quota_us = 30000,
				.memory_max = 64 << 20,
				.pids_max = 44,
				.hugetlb_set = true,
				.hugetlb = { { 2 << 20, 4 << 20 } },
				.n_hugetlb = 1 },
			  less = { .memory_max = 1 << 20 },
			  none = { .cpu_quota_us = RUN_UNLIMITED, .memory_max = RUN_UNLIMITED };
	_cleanup_err_ struct err e = ERR_INIT;
	struct container_status st;
	struct container *c;
	int before = got.n_exits;

	spec.limits.memory_max = 32 << 20;
	c = start(s, &spec);
	for (int i = 0; i < 200 && !strstr(exec_text(c, "ls /ready"), "ready"); i++)
		;
	ok(container_update(c, &l, &e) == 0, "other limits for what runs");
	is_str(exec_text(c, "cd /sys/fs/cgroup; cat cpu.weight cpu.max memory.max pids.max"),
	       "77\n30000 100000\n67108864\n44\n", "are there at once");
	if (run_machine(rt)->cgroup2_hugetlb)
		is_str(exec_text(c, "cd /sys/fs/cgroup; cat hugetlb.2MB.max hugetlb.1GB.max"), "4194304\n0\n",
		       "huge pages by their size, none of another");
	ok(container_update(c, &less, &e) < 0 &&
		   strstr(err_msg(&e), "attempting to set container \"main\" memory limit (1048576) below current usage ("),
	   "less memory than is in use is refused");
	err_release(&e);
	ok(container_update(c, &none, &e) == 0, "limits are taken away");
	is_str(exec_text(c, "cd /sys/fs/cgroup; cat cpu.max memory.max cpu.weight"), "max 100000\nmax\n77\n",
	       "and what is not named stays");
	ok(sandbox_update(s, &l, &e) == 0 && sandbox_update(s, &less, &e) < 0 && strstr(err_msg(&e), "set pod memory"),
	   "of the pod, too");
	err_release(&e);
	ok(sandbox_update(s, &none, &e) == 0, "and back");
	container_status(c, &st);
	kill(st.pid, SIGKILL);
	ok(WAIT(got.n_exits > before) && !got.oom_killed && got.exit_code == 137, "a kill is no OOM kill");
	remove_last(c);
}

static void test_limits(struct sandbox *s)
{
	struct run_container_spec
		show = SH("cd /sys/fs/cgroup; cat cpu.weight cpu.max memory.max pids.max; ls memory.events"),
		eat = SH("tail /dev/zero"), child = SH("sh -c 'tail /dev/zero'; sleep 5");
	const struct run_machine *m = run_machine(rt);
	struct container *c;
	int before;

	if (!m->cgroup2_cpu || !m->cgroup2_memory || !m->cgroup2_pids) {
		ok(strstr(m->missing, "limits are off"),
		   "limits # SKIP this machine has no cgroup v2 controllers, and says so");
		return;
	}
	show.limits = (struct run_limits){ .cpu_weight = 50,
					   .cpu_quota_us = 20000,
					   .cpu_period_us = 100000,
					   .memory_max = 64 << 20,
					   .pids_max = 33 };
	is_str(run_script(s, &show, 0), "50\n20000 100000\n67108864\n33\nmemory.events\n", "limits are set");
	eat.limits.memory_max = child.limits.memory_max = 16 << 20;
	before = got.n_exits;
	c = start(s, &eat);
	ok(WAIT(got.n_exits > before), "a container that takes too much memory ends");
	ok(got.oom_killed && got.exit_code == 137, "OOMKilled, 137");
	remove_last(c);
	before = got.n_exits;
	c = start(s, &child);
	ok(WAIT(got.n_exits > before) && got.oom_killed && got.exit_code == 137,
	   "all of its processes go together");
	remove_last(c);
	test_update(s);
}

static void test_errors(struct sandbox *s)
{
	struct run_container_spec nocmd = SPEC("nonesuch"), nopath = SPEC("/no/such"),
				  noexec = SPEC("/etc/passwd"), nouser = SH("true"), root = SH("true");

	expect_failure = true;
	ok(!start(s, &nocmd), "a command that does not exist");
	is_str(got.err,
	       "unable to start container process: exec: \"nonesuch\": executable file not found in $PATH",
	       "is reported");
	is_str(got.kind, "RunContainerError", "as the kubelet's RunContainerError");
	start(s, &nopath);
	is_str(got.err,
	       "unable to start container process: exec: \"/no/such\": stat /no/such: no such file or "
	       "directory",
	       "a path that does not exist");
	start(s, &noexec);
	is_str(got.err, "unable to start container process: exec: \"/etc/passwd\": permission denied",
	       "a file that is not executable");
	nouser.user = "ghost";
	start(s, &nouser);
	is_str(got.err, "unable to find user ghost: no matching entries in passwd file",
	       "a user that does not exist");
	root.run_as_non_root = true;
	start(s, &root);
	ok(strstr(got.err, "container has runAsNonRoot and image will run as root (pod: \"test_default("),
	   "runAsNonRoot with root");
	is_str(got.kind, "CreateContainerConfigError", "is a CreateContainerConfigError");
	expect_failure = false;
	is_int((long long)sandbox_containers(s, (struct container *[4]){ 0 }, 4), 0,
	       "none of them is remembered");
}

/* --- sessions --- */

static char *read_until_end(int fd)
{
	struct buf b = BUF_INIT;
	int64_t until = time_mono_ms() + 5000;

	while (time_mono_ms() < until) {
		char chunk[4096];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n > 0) {
			buf_add(&b, chunk, (size_t)n);
			continue;
		}
		if (n == 0 || errno != EAGAIN)
			break;
		loop_turn(loop, 5);
	}
	return buf_detach(&b, NULL);
}

static struct run_exec *exec_in(struct container *c, struct run_exec_spec *x)
{
	struct run_exec *session;

	got.done = got.exec_ended = false;
	session = container_exec(c, x, on_io, on_exec_end, NULL);
	WAIT(got.done);
	return session;
}

static void test_exec(struct sandbox *s)
{
	struct run_container_spec spec = SH("sleep 1000; true");
	struct container *c = start(s, &spec);
	struct run_exec_spec cat = {
		.argv = (const char *const[]){ "sh", "-c", "cat; echo $FOO; echo e >&2; exit 3", NULL },
		.in = true,
		.out = true,
		.err = true
	};
	struct run_exec_spec tty = {
		.argv = (const char *const[]){ "sh", "-c", "stty size; tty; echo $$ > /tmp/sid", NULL },
		.tty = true,
		.in = true,
		.out = true,
		.rows = 33,
		.cols = 99
	};
	struct run_exec_spec none = { .argv = (const char *const[]){ "nonesuch", NULL }, .out = true };
	struct run_exec_spec ps = {
		.argv = (const char *const[]){ "sh", "-c",
					       "tr '\\0' ' ' < /proc/1/cmdline; echo; grep "
					       "-E 'Seccomp:|CapEff' /proc/self/status; "
					       "cat /proc/self/oom_score_adj",
					       NULL },
		.out = true
	};
	struct run_exec_spec sleeper = { .argv = (const char *const[]){ "sleep", "2000", NULL },
					 .out = true };
	struct run_exec *session;
	char *text;

	exec_in(c, &cat);
	ok(got.io.in >= 0 && got.io.out >= 0 && got.io.err >= 0, "an exec session with three pipes");
	(void)!write(got.io.in, "typed\n", 6);
	close(got.io.in);
	text = read_until_end(got.io.out);
	is_str(text, "typed\nbar\n", "input goes in, output comes out");
	free(text);
	text = read_until_end(got.io.err);
	is_str(text, "e\n", "errors apart");
	free(text);
	ok(WAIT(got.exec_ended), "it ends");
	is_int(got.exec_code, 3, "with its exit code");
	close(got.io.out);
	close(got.io.err);

	exec_in(c, &tty);
	ok(got.io.in >= 0 && got.io.in == got.io.out && got.io.err < 0, "a session with a terminal");
	text = read_until_end(got.io.out);
	is_str(text, "33 99\r\n/dev/pts/0\r\n", "of the size that was asked for");
	free(text);
	WAIT(got.exec_ended);
	close(got.io.in);

	exec_in(c, &none);
	is_str(got.err,
	       "unable to start container process: exec: \"nonesuch\": executable file not found in $PATH",
	       "a command that does not exist");

	exec_in(c, &ps);
	text = read_until_end(got.io.out);
	is_str(text, "sh -c sleep 1000; true \nCapEff:\t00000000a80425fb\nSeccomp:\t2\n0\n",
	       "a session shares namespaces and restrictions");
	free(text);
	close(got.io.out);
	WAIT(got.exec_ended);

	session = exec_in(c, &sleeper);
	run_exec_kill(session);
	text = read_until_end(got.io.out);
	ok(text[0] == '\0' && !got.exec_ended, "a session can be killed");
	free(text);
	close(got.io.out);
	container_stop(c, 0);
	WAIT(got.n_exits && !log_running(c));
	is_int(got.exit_code, 137, "SIGKILL at once");
	remove_last(c);
}

static void test_attach(struct sandbox *s)
{
	struct run_container_spec spec = SH("while read l; do echo got $l; done; echo bye"),
				  tty = SH("stty size; read l; echo [$l]"),
				  chatty = SH("i=0; while [ $i -lt 30000 ]; do echo "
					      "01234567890123456789012345678901234567890123456789012345678901"
					      "23456789; i=$((i+1)); done");
	struct container *c;
	struct run_io a, b;
	char *text;
	int before = got.n_exits;

	spec.stdin_open = spec.stdin_once = true;
	c = start(s, &spec);
	got.done = false;
	container_attach(c, false, true, true, on_io, NULL);
	WAIT(got.done);
	a = got.io;
	got.done = false;
	container_attach(c, true, true, false, on_io, NULL);
	WAIT(got.done);
	b = got.io;
	(void)!write(b.in, "one\ntwo\n", 8);
	close(b.in);
	ok(WAIT(got.n_exits > before), "stdinOnce: input ends with the client");
	text = read_until_end(a.out);
	is_str(text, "got one\ngot two\nbye\n", "each attached client gets the output");
	free(text);
	text = read_until_end(b.out);
	is_str(text, "got one\ngot two\nbye\n", "the other one too");
	free(text);
	close(a.out), close(a.err), close(b.out);
	remove_last(c);

	tty.tty = tty.stdin_open = true;
	before = got.n_exits;
	c = start(s, &tty);
	container_resize(c, 40, 100);
	got.done = false;
	container_attach(c, true, true, false, on_io, NULL);
	WAIT(got.done);
	(void)!write(got.io.in, "hello\n", 6);
	ok(WAIT(got.n_exits > before), "a container with a terminal reads from it");
	text = read_until_end(got.io.out);
	if (!ok(strstr(text, "hello\r\n") && ends_with(text, "[hello]\r\n"),
		"and its echo and output come out"))
		printf("# got: <%s>\n", text);
	free(text);
	close(got.io.in), close(got.io.out);
	ok(strstr(read_log(c, (struct run_log_opts){ .tail = -1 }), "[hello]\n"), "and are in the log");
	remove_last(c);

	before = got.n_exits;
	c = start(s, &chatty);
	got.done = false;
	container_attach(c, false, true, true, on_io, NULL);
	WAIT(got.done);
	ok(WAIT(got.n_exits > before), "a client that does not read stalls nobody");
	close(got.io.out), close(got.io.err);
	ok(strlen(read_log(c, (struct run_log_opts){ .tail = -1 })) == 30000 * 71, "and the log is complete");
	remove_last(c);
}

static void test_logs(struct sandbox *s)
{
	struct run_container_spec many = SH("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"),
				  slow = SH("echo a; sleep 0.1; echo b; sleep 0.1; echo c");
	struct container *c;
	int before = got.n_exits, files = 0;
	const char *text;
	struct dirent *d;
	char *path, *p, *base;
	DIR *dp;

	many.log_max_bytes = 20000;
	many.log_max_files = 4;
	c = start(s, &many);
	WAIT(got.n_exits > before);
	path = container_log_path(c);
	*strrchr(path, '/') = '\0';
	base = path + strlen(path) + 1;
	dp = opendir(path);
	while (dp && (d = readdir(dp)))
		files += starts_with(d->d_name, base);
	closedir(dp);
	is_int(files, 4, "logs are rotated, and only so many files are kept");
	text = read_log(c, (struct run_log_opts){ .tail = -1 });
	ok(ends_with(text, "line 1998\nline 1999\n") && strstr(text, "line 1200\nline 1201\n"),
	   "reading goes across rotated files");
	is_str(read_log(c, (struct run_log_opts){ .tail = 2 }), "line 1998\nline 1999\n", "--tail=2");
	text = read_log(c, (struct run_log_opts){ .tail = 500 });
	ok(starts_with(text, "line 1500\n"), "--tail=500 begins in an older file");
	is_str(read_log(c, (struct run_log_opts){ .tail = 0 }), "", "--tail=0");
	is_str(read_log(c, (struct run_log_opts){ .tail = 2, .limit_bytes = 7 }), "line 19", "--limit-bytes");
	is_str(read_log(c, (struct run_log_opts){ .tail = -1, .since_ns = time_wall_ns() }), "", "--since");
	text = read_log(c, (struct run_log_opts){ .tail = 1, .timestamps = true });
	p = strchr(text, ' ');
	ok(p && p - text == 30 && streq(p, " line 1999\n"), "--timestamps");
	free(path);
	remove_last(c);

	before = got.n_exits;
	slow.log_max_bytes = 60;
	c = start(s, &slow);
	is_str(read_log(c, (struct run_log_opts){ .tail = -1, .follow = true }), "a\nb\nc\n",
	       "following, across rotation, until the container ends");
	WAIT(got.n_exits > before);
	remove_last(c);
}

/* --- stop, ports, shared namespaces --- */

static void test_stop(struct sandbox *s)
{
	struct run_container_spec
		polite = SH("trap 'echo term; exit 5' TERM; echo up; while :; do sleep 0.02; done"),
		deaf = SH("trap '' TERM; sleep 1000 & wait; sleep 1000"),
		usr = SH("trap 'exit 9' USR1; while :; do sleep 0.02; done");
	struct container *c = start(s, &polite);
	int before = got.n_exits;
	int64_t t;

	usleep(50000);
	container_stop(c, 5000);
	WAIT(got.n_exits > before);
	is_int(got.exit_code, 5, "SIGTERM is heard");
	remove_last(c);
	before = got.n_exits;
	c = start(s, &deaf);
	usleep(50000);
	t = time_mono_ms();
	container_stop(c, 300);
	WAIT(got.n_exits > before);
	t = time_mono_ms() - t;
	ok(t >= 295 && t < 800, "who does not hear is killed after the grace");
	is_int(got.exit_code, 137, "with code 137");
	remove_last(c);
	before = got.n_exits;
	usr.stop_signal = "SIGUSR1";
	c = start(s, &usr);
	usleep(50000);
	container_stop(c, 5000);
	WAIT(got.n_exits > before);
	is_int(got.exit_code, 9, "the image's stop signal is used");
	is_int(container_signal(c, SIGTERM), -ESRCH, "no signal goes to one that ended");
	remove_last(c);
}

static void test_dial(struct sandbox *s)
{
	struct run_container_spec server = SH("echo hello | nc -l -p 8080");
	struct container *c = start(s, &server);
	char *text;

	for (int i = 0; i < 50; i++) {
		got.done = false;
		sandbox_dial(s, 8080, on_dialled, NULL);
		WAIT(got.done);
		if (got.dialled >= 0)
			break;
		usleep(10000);
	}
	ok(got.dialled >= 0, "a connection to a port of the pod");
	text = read_until_end(got.dialled);
	is_str(text, "hello\n", "brings what the container says");
	free(text);
	close(got.dialled);
	got.done = false;
	sandbox_dial(s, 9, on_dialled, NULL);
	WAIT(got.done);
	is_int(got.dialled, -ECONNREFUSED, "a closed port refuses");
	container_stop(c, 0);
	WAIT(!log_running(c));
	remove_last(c);
}

static void test_same_id(struct sandbox *s)
{
	struct run_sandbox_spec spec = { .id = sandbox_id(s), .name = "default/again" };

	got.done = false;
	sandbox_create(rt, &spec, on_sandbox, NULL);
	ok(WAIT(got.done) && !got.s && strstr(got.err, "exists"), "an id can be used once");
	is_str(run_sh(s, "echo still here"), "still here\n", "and its first owner is not disturbed");
	spec.id = "../x";
	got.done = false;
	sandbox_create(rt, &spec, on_sandbox, NULL);
	ok(WAIT(got.done) && !got.s, "an id that is no file name is refused");
}

static void destroy(struct sandbox *s)
{
	got.done = false;
	sandbox_destroy(s, on_destroyed, NULL);
	ok(WAIT(got.done), "a sandbox is removed");
}

static void test_shared_pid(void)
{
	struct run_sandbox_spec spec = { .hostname = "shared", .share_pid = true };
	struct sandbox *s = make_sandbox(&spec);
	struct run_container_spec one = SH("sleep 1000 & exec sleep 1000"),
				  two = SH("echo shm > /dev/shm/x; ps | grep -c 'sleep 100[0]'; tr '\\0' "
					   "'\\n' < /proc/1/cmdline | head -1"),
				  three = SH("cat /dev/shm/x");
	struct container *c;
	int before;

	one.name = "one";
	c = start(s, &one);
	usleep(50000);
	two.name = "two";
	is_str(run_script(s, &two, 0), "2\n/pause\n", "containers of a pod may share a PID namespace");
	three.name = "three";
	is_str(run_script(s, &three, 0), "shm\n", "and always share memory");
	before = got.n_exits;
	container_stop(c, 0);
	WAIT(got.n_exits > before);
	two.name = "four";
	is_str(run_script(s, &two, 0), "0\n/pause\n",
	       "the end of a container is the end of all its processes");
	remove_last(c);
	destroy(s);
}

/* --- users of the pod's own --- */

#define BASE (3000u * RUN_IDS)

static void test_users_exec(struct sandbox *s, const char *map)
{
	struct run_container_spec sleeper = SPEC("sleep", "600");
	struct container *c;
	struct container_status st;
	const char *text;

	sleeper.run_as_user = 1000;
	sleeper.groups = (const int64_t[]){ 2000 };
	sleeper.n_groups = 1;
	c = start(s, &sleeper);
	if (!c)
		return;
	container_status(c, &st);
	ok(st.user_known && st.uid == 1000 && st.gid == 1000 && st.n_groups == 3 && st.groups[0] == 1000 &&
		   st.groups[1] == 3000 && st.groups[2] == 2000,
	   "who it was started as is known");
	text = exec_text(c, "id -u; cat /proc/self/uid_map; echo > /dev/stdout");
	ok(starts_with(text, "1000\n") && strstr(text, map) && ends_with(text, "\n\n"), "a session has the same users");
}

static void test_users(bool shared_pid)
{
	struct run_sandbox_spec spec = { .hostname = "inner", .id_base = BASE, .share_pid = shared_pid };
	struct sandbox *s = make_sandbox(&spec);
	char *vol = path_join(dir, "users"), *file = path_join(vol, "f"), *map = xasprintf("%10u %10u %10u\n", 0, BASE, RUN_IDS);
	struct run_mount m = { .type = RUN_MOUNT_BIND, .source = vol, .target = "/data" };
	struct run_container_spec
		own = SH("id -u; cat /proc/self/uid_map; touch /x && ls -ln /x | awk '{print $3}'; hostname"),
		data = SH("touch /data/f; ls -ln /data/f | awk '{print $3}'"),
		admin = SH("mkdir -p /m && mount -t tmpfs none /m && echo mounted; ip link set lo mtu 1400 && echo net; "
			   "mknod /dev/x c 1 3 2>&1 | grep -c -i 'not permitted'; echo x > /dev/null && echo null; "
			   "hostname other && hostname; grep -c cgroup /proc/self/mounts"),
		all = SH("cat /proc/1/status 2>/dev/null | grep Name; ls /sys/class/net; (echo 1 > /proc/sysrq-trigger) 2>/dev/null "
			 "|| echo no; touch /dev/shm/a && ls -ln /dev/shm/a | awk '{print $3}'");
	struct stat st = { 0 };
	const char *text;

	ok(s, shared_pid ? "a pod with users of its own and one PID namespace" : "a pod with users of its own");
	if (!s)
		return;
	mkdir(vol, 0777);
	chmod(vol, 0777);
	text = run_script(s, &own, 0);
	ok(starts_with(text, "0\n") && strstr(text, map) && ends_with(text, "\n0\ninner\n"), "its root is nobody outside");
	data.mounts = &m;
	data.n_mounts = 1;
	data.run_as_user = 1000;
	is_str(run_script(s, &data, 0), "1000\n", "a volume has its ids");
	ok(stat(file, &st) == 0 && st.st_uid == 1000, "which are the same on the disk");
	admin.cap_add = (const char *const[]){ "SYS_ADMIN", "NET_ADMIN", NULL };
	admin.seccomp = RUN_SECCOMP_UNCONFINED;
	is_str(run_script(s, &admin, 0), "mounted\nnet\n1\nnull\nother\n1\n", "its root rules the pod's namespaces");
	text = run_script(s, &all, 0);
	ok(strstr(text, "lo\n") && ends_with(text, "no\n0\n"), "and nothing else");
	test_users_exec(s, map);
	data.strict_groups = true;
	data.argv = (const char *const[]){ "id", "-G", NULL };
	is_str(run_script(s, &data, 0), "1000\n", "strictly no groups but those that were given");
	destroy(s);
	unlink(file);
	rmdir(vol);
	free(vol), free(file), free(map);
}

static void test_host_spaces(void)
{
	struct run_sandbox_spec spec = {
		.hostname = "ignored", .host_network = true, .host_pid = true, .host_ipc = true
	};
	struct sandbox *s = make_sandbox(&spec);
	struct run_container_spec c1 = SH("for i in net pid ipc uts; do readlink /proc/self/ns/$i; done");
	char want[512] = "";
	static const char *const kinds[] = { "net", "pid", "ipc", "uts" };

	for (size_t i = 0; i < 4; i++) {
		char path[64], link[64];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		n = readlink(path, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = '\0';
		strcat(strcat(want, link), "\n");
	}
	is_int(sandbox_netns(s), -1, "a pod on the host's network has no network of its own");
	is_str(run_script(s, &c1, 0), want, "host network, PID and IPC namespaces");
	destroy(s);
}

/* --- the daemon goes and comes back --- */

static struct sandbox *found_one;
static int n_found;
static void on_found(void *arg, struct sandbox *s)
{
	n_found++;
	found_one = s;
}
static void on_recovered(void *arg)
{
	got.done = true;
}

/* A daemon of its own, which starts a pod and is killed. */
static void daemon_main(int report)
{
	struct run_sandbox_spec spec = { .hostname = "survivor" };
	struct run_container_spec
		stay = SH(
			"echo before; while ! test -e /go; do sleep 0.02; done; echo after; exec sleep 1000"),
		leave = SH("sleep 0.2; exit 42");
	struct container_status st;
	struct container *c;
	struct err e = ERR_INIT;
	struct sandbox *s;

	loop = loop_new();
	make_runtime();
	s = make_sandbox(&spec);
	if (!s || sandbox_set_note(s, "ip", "10.42.0.7", &e) < 0)
		_exit(1);
	stay.name = "stay";
	leave.name = "leave";
	c = start(s, &stay);
	start(s, &leave);
	if (!c)
		_exit(1);
	container_status(c, &st);
	(void)!write(report, &st.pid, sizeof(st.pid));
	for (;;)
		pause();
}

static void test_restart(void)
{
	struct run_exec_spec go = { .argv = (const char *const[]){ "touch", "/go", NULL } };
	struct container_status st;
	struct container *c;
	pid_t pid, inner = 0;
	int p[2], status, before = got.n_exits;

	rt = run_free(rt);
	loop = loop_free(loop);
	(void)!pipe(p);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		daemon_main(p[1]);
	ok(read(p[0], &inner, sizeof(inner)) == sizeof(inner) && inner > 0, "a daemon starts a pod");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(p[0]), close(p[1]);
	usleep(400000); /* one container ends while there is no daemon */
	ok(kill(inner, 0) == 0, "the daemon is killed, and the pod runs on");

	loop = loop_new();
	make_runtime();
	got.done = false;
	run_recover(rt, on_found, on_recovered, NULL);
	ok(WAIT(got.done) && n_found == 1, "the next daemon finds it");
	is_int(got.n_exits - before, 1, "and hears of the exit that fell in between");
	is_int(got.exit_code, 42, "with its code");
	is_str(got.exit_name, "leave", "and its container");
	is_str(found_one ? sandbox_note(found_one, "ip") : NULL, "10.42.0.7", "notes are kept");
	c = sandbox_container(found_one, "stay");
	container_status(c, &st);
	ok(st.state == CONTAINER_RUNNING && st.pid == inner, "the other one runs under the same PID");
	exec_in(c, &go);
	ok(WAIT(got.exec_ended) && got.exec_code == 0, "exec works again");
	for (int i = 0; i < 100 && !strstr(read_log(c, (struct run_log_opts){ .tail = -1 }), "after"); i++)
		usleep(10000);
	is_str(log_text.s, "before\nafter\n", "its log goes on");
}

/* Not even a zombie that nobody collected yet counts. */
static bool is_alive(pid_t pid)
{
	char path[64], *text, *p;
	bool alive;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	text = read_file(path);
	p = strrchr(text, ')');
	alive = p && p[2] != 'Z' && p[2] != 'X';
	free(text);
	return alive;
}

static void test_keeper_killed(void)
{
	struct container_status st;
	struct container *c = sandbox_container(found_one, "stay");
	int before = got.n_lost;

	container_status(c, &st);
	kill(sandbox_pid(found_one), SIGKILL);
	ok(WAIT(got.n_lost > before), "the death of a keeper is noticed");
	for (int i = 0; i < 100 && is_alive(st.pid); i++)
		usleep(10000);
	ok(!is_alive(st.pid), "and its containers die with it");
	container_status(c, &st);
	ok(st.state == CONTAINER_EXITED && st.exit_code == 137, "which their status says");
	destroy(found_one);
}

static int count_lines(const char *path, const char *with)
{
	char *text = read_file(path), *p = text;
	int n = 0;

	while ((p = strstr(p, with)))
		n++, p++;
	free(text);
	return n;
}

static bool anything_left(void)
{
	char *cg = NULL, *pods = path_join(state, "pods");
	bool left = count_lines("/proc/self/mountinfo", dir) > 1;
	DIR *d = opendir(pods);
	struct dirent *x;

	while (d && (x = readdir(d)))
		left |= x->d_name[0] != '.';
	if (d)
		closedir(d);
	left |= path_exists("/sys/fs/cgroup/unified/kinglet-test") ||
		path_exists("/sys/fs/cgroup/kinglet-test");
	free(cg);
	free(pods);
	return left;
}

static void test_kill_all(void)
{
	struct run_sandbox_spec spec = { .hostname = "end" };
	struct run_container_spec stay = SH("sleep 1000");
	struct container_status st;
	struct sandbox *s = make_sandbox(&spec);
	struct container *c = start(s, &stay);
	struct buf report = BUF_INIT;
	struct err e = ERR_INIT;
	char *tmpfs = path_join(state, "pods/vol");

	container_status(c, &st);
	ok(path_mkdirs(tmpfs, 0755, &e) == 0, "a directory for a volume");
	ok(mount("tmpfs", tmpfs, "tmpfs", 0, NULL) == 0, "a volume is mounted below the state directory");
	rt = run_free(rt);
	is_int(run_kill_all(state, "kinglet-test", &report, &e), 0, "killall");
	ok(strstr(report.s, "stopped 1 pods, removed 1 mounts"), "says what it did");
	ok(!is_alive(st.pid), "no process is left");
	(void)rmdir(tmpfs);
	ok(!anything_left(), "no mount, cgroup or file either");
	free(tmpfs);
	buf_release(&report);
	err_release(&e);
}

/* --- measures --- */

static long keeper_pss_kb(pid_t pid)
{
	char path[64], *text, *p;
	long kb = -1;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	text = read_file(path);
	p = strstr(text, "\nPss:");
	if (p)
		kb = strtol(p + 5, NULL, 10);
	free(text);
	return kb;
}

static void test_measures(void)
{
	enum { N = 20 };
	struct run_sandbox_spec spec = { .hostname = "m" };
	struct run_container_spec stay = SPEC("sleep", "1000");
	struct sandbox *s[N];
	int64_t t = time_mono_us(), sandbox_us = 0, container_us = 0;
	long pss = 0;

	for (int i = 0; i < N; i++) {
		t = time_mono_us();
		s[i] = make_sandbox(&spec);
		sandbox_us += time_mono_us() - t;
		t = time_mono_us();
		ok(s[i] && start(s[i], &stay), "pod");
		container_us += time_mono_us() - t;
	}
	for (int i = 0; i < N; i++)
		pss += keeper_pss_kb(sandbox_pid(s[i]));
	printf("# sandbox %.1f ms, container %.1f ms, keeper %ld kB PSS, mean of %d\n", sandbox_us / 1e3 / N,
	       container_us / 1e3 / N, pss / N, N);
	ok(pss / N < 500, "a keeper takes less than half a megabyte");
	t = time_mono_us();
	destroy(s[0]);
	printf("# destroy %.1f ms\n", (time_mono_us() - t) / 1e3);
	for (int i = 1; i < N; i++)
		destroy(s[i]);
}

static int setup(void)
{
	static const char *const applets[] = { "sh",	   "cat",     "echo",  "sleep", "id",	    "ls",
					       "grep",	   "touch",   "ps",    "mount", "hostname", "wc",
					       "tr",	   "kill",    "stty",  "tty",	"nc",	    "ip",
					       "mknod",	   "unshare", "df",    "tail",	"head",	    "awk",
					       "readlink", "true",    "mkdir", "pwd",	"printf",   "test" };
	struct err e = ERR_INIT;
	char cmd[512];

	snprintf(dir, sizeof(dir), "%s/u-run.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	layer = path_join(dir, "layer:1,a");
	layer2 = path_join(dir, "layer2");
	state = path_join(
		dir,
		"state-with-a-rather-long-name-so-that-a-socket-address-would-not-hold-it/and/more/of/that");
	logs = path_join(dir, "logs");
	snprintf(cmd, sizeof(cmd), "cd '%s' && mkdir -p bin etc tmp && cp /bin/busybox bin/", layer);
	mkdir(layer, 0755);
	mkdir(layer2, 0755);
	if (system(cmd) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/bin/%s", layer, applets[i]);
		if (symlink("busybox", path) < 0)
			return -1;
	}
	snprintf(cmd, sizeof(cmd), "%s/etc/passwd", layer);
	if (path_write(cmd, STR_LIT("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"), 0644,
		       &e) < 0)
		return -1;
	snprintf(cmd, sizeof(cmd), "%s/etc/group", layer);
	if (path_write(cmd, STR_LIT("root:x:0:\nextra:x:3000:root2, app\n"), 0644, &e) < 0)
		return -1;
	snprintf(cmd, sizeof(cmd), "%s/lower1", layer);
	if (path_write(cmd, STR_LIT("one\n"), 0644, &e) < 0)
		return -1;
	snprintf(cmd, sizeof(cmd), "%s/lower2", layer2);
	return path_write(cmd, STR_LIT("two\n"), 0644, &e);
}

/* u-run limits: for a machine that has the controllers, but is slow. */
int main(int argc, char **argv)
{
	struct run_sandbox_spec spec = { .hostname = "testpod",
					 .sysctls = (const char *const[]){ "net.ipv4.ip_forward=1", NULL } };
	struct run_sandbox_spec bad = { .hostname = "x",
					.sysctls = (const char *const[]){ "vm.swappiness=1", NULL } };
	struct err e = ERR_INIT;
	struct sandbox *s;

	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0) {
		printf("1..0 # SKIP needs root and /bin/busybox (Debian's busybox-static)\n");
		return 0;
	}
	if (setup() < 0) {
		printf("Bail out! cannot prepare %s\n", dir);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	loop = loop_new();
	make_runtime();
	printf("# lacking here: %s\n", run_machine(rt)->missing);
	s = make_sandbox(&spec);
	ok(s && sandbox_netns(s) >= 0, "a sandbox");
	if (argc > 1) {
		test_limits(s);
		destroy(s);
		test_users(false);
		test_kill_all();
		return done_testing();
	}
	test_output(s);
	test_environment(s);
	test_mounts(s);
	test_many_layers(s);
	test_propagation(s);
	test_seccomp(s);
	test_limits(s);
	test_errors(s);
	test_exec(s);
	test_attach(s);
	test_logs(s);
	test_stop(s);
	test_dial(s);
	test_same_id(s);
	is_str(run_sh(s, "cat /proc/sys/net/ipv4/ip_forward"), "1\n", "sysctls of the pod");
	ok(!make_sandbox(&bad) && strstr(got.err, "set sysctl vm.swappiness=1"),
	   "sysctls of the host are refused");
	destroy(s);
	test_shared_pid();
	test_users(false);
	test_users(true);
	test_host_spaces();
	test_restart();
	test_keeper_killed();
	test_measures();
	test_kill_all();
	loop_free(loop);
	buf_release(&log_text);
	ok(path_remove_tree(dir, &e) == 0, "clean");
	free(layer), free(layer2), free(state), free(logs);
	return done_testing();
}
