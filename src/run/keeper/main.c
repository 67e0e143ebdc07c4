/*
 * The keeper's start, its epoll loop, and the reaping of children.
 *
 * Started as: /proc/self/fd/3 TITLE, with fd 3 this program and fd 4 the
 * daemon's end of a socket, over which FRAME_SETUP comes. A keeper whose daemon
 * goes away before that ends at once; later it stays whatever happens.
 */
#include "run/keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

struct keeper keeper = {
	.epoll_fd = -1,
	.signal_fd = -1,
	.dir_fd = -1,
	.host_mnt_fd = -1,
	.own_pid_fd = -1,
	.net_fd = -1,
	.user_fd = -1,
	.listener.fd = -1,
};

void watch_set(struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int op = !w->events ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	if (events == w->events)
		return;
	BUG_ON(epoll_ctl(keeper.epoll_fd, op, w->fd, &ev) < 0 && op != EPOLL_CTL_DEL);
	w->events = events;
}

void watch_add(struct watch *w, int fd, uint32_t events, void (*cb)(struct watch *w, uint32_t events))
{
	w->fd = fd;
	w->events = 0;
	w->cb = cb;
	watch_set(w, events);
}

void watch_close(struct watch *w)
{
	if (w->fd < 0)
		return;
	watch_set(w, 0);
	close(w->fd);
	w->fd = -1;
}

int64_t keeper_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int64_t keeper_wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

pid_t keeper_fork(uint64_t flags, int cgroup_fd, int *ret_pidfd)
{
	int pidfd = -1;
	struct clone_args a = { .flags = flags, .exit_signal = SIGCHLD };
	long pid;

	if (ret_pidfd) {
		a.flags |= CLONE_PIDFD;
		a.pidfd = (uintptr_t)&pidfd;
	}
	if (cgroup_fd >= 0) {
		a.flags |= CLONE_INTO_CGROUP;
		a.cgroup = cgroup_fd;
	}
	pid = syscall(SYS_clone3, &a, sizeof(a));
	if (pid > 0 && ret_pidfd)
		*ret_pidfd = pidfd;
	return pid < 0 ? -errno : pid;
}

/* Every child that ended, ours by birth or adopted as their subreaper. */
static void keeper_reap(struct watch *w, uint32_t events)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;

	while (read(w->fd, &si, sizeof(si)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (container_reaped(pid, status) || exec_reaped(pid, status))
			continue;
		if (pid == keeper.pod_init)
			keeper.pod_init = 0;
	}
	sandbox_check_end();
}

/* ps shows "kinglet-keeper ns/pod": the title, given as second argument, moves over the first. */
static char *title_start, *title_end;

void keeper_set_title(const char *comm, const char *title)
{
	size_t room = title_end - title_start, n = strlen(title);

	prctl(PR_SET_NAME, comm);
	if (!room)
		return;
	n = n < room ? n : room - 1;
	memmove(title_start, title, n);
	memset(title_start + n, 0, room - n);
}

static void keeper_init(void)
{
	sigset_t all;

	setsid();
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	keeper.signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	keeper.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	BUG_ON(keeper.signal_fd < 0 || keeper.epoll_fd < 0);
	/* What containers may see of us and our children before they execute their programs: nothing. */
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	TAILQ_INIT(&keeper.conns);
	TAILQ_INIT(&keeper.containers);
	TAILQ_INIT(&keeper.sessions);
	watch_add(&keeper.signals, keeper.signal_fd, EPOLLIN, keeper_reap);
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1] > argv[0]) {
		title_start = argv[0];
		title_end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
		keeper_set_title("kinglet-keeper", argv[1]);
	}
	close(3);
	if (fcntl(4, F_SETFD, FD_CLOEXEC) < 0)
		return 2; /* not started by a daemon */
	keeper_init();
	conn_add(4);
	for (;;) {
		struct epoll_event ev;
		int n = epoll_wait(keeper.epoll_fd, &ev, 1, container_timeout_ms());

		if (n == 1) {
			struct watch *w = ev.data.ptr;

			w->cb(w, ev.events);
		}
		container_run_deadlines();
		if (!keeper.is_set_up && TAILQ_EMPTY(&keeper.conns))
			return 0;
	}
}
