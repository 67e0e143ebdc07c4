/*
 * Child processes of the main process: only by exec (the process has threads),
 * watched by pidfd, so that an exit is an event of the loop.
 *
 * Children that eat hostile input or change process state are this same binary
 * under an internal name: proc_self("internal", "unpack", ...).
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"

struct proc;

struct proc_opts {
	const char *const *argv; /* NULL-terminated; argv[0] is the program's path unless self */
	bool self; /* execute this very binary (argv[0] is only its name) */
	const char *const *env; /* NULL: inherit */
	/* fds handed to the child as 3, 4, ... (0, 1, 2 by the three below; -1: /dev/null) */
	const int *fds;
	size_t n_fds; /* at most 64 */
	int in, out, err; /* -1: /dev/null, except err: inherited */
	bool new_session; /* setsid */
	bool die_with_parent; /* PR_SET_PDEATHSIG SIGKILL */
	int cgroup_fd; /* start in this cgroup v2 directory; 0: no */
};

/* on_exit: wait status as of waitpid(2); the proc is freed after it returns. May be NULL. */
struct proc *proc_spawn(struct loop *l, const struct proc_opts *o,
			void (*on_exit)(void *arg, int status), void *arg, struct err *e) MUST_CHECK;
/* Blocking variant for commands and job threads: waits; status in *ret_status. */
int proc_run(const struct proc_opts *o, int *ret_status, struct err *e) MUST_CHECK;
pid_t proc_pid(const struct proc *p);
int proc_kill(struct proc *p, int signo);
/* Forget it: on_exit will not be called; the child goes on (it is reaped when it ends). */
void proc_abandon(struct proc *p);

int pidfd_open_(pid_t pid); /* fd (CLOEXEC) or -errno */
int pidfd_signal(int pidfd, int signo); /* 0 or -errno */
/* A sealed memory copy of this binary, made once; fd or -errno. Containers can't reach the file. */
int proc_self_fd(void);

#endif
