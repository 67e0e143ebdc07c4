/*
 * The keeper: the process that stands behind a pod while daemons come and go.
 *
 * It makes the pod's namespaces by entering them, is the parent (and subreaper)
 * of the pod's containers and exec sessions, copies their output to CRI log
 * files, remembers how they ended, and answers a daemon on a unix socket with
 * the frames of run/frame.h. One thread, one epoll loop, no timers but the
 * deadlines of stops. It ignores SIGTERM and SIGHUP: only FRAME_DESTROY or
 * SIGKILL end it, and with it every process of the pod.
 *
 * It is a program of its own, static and small, because each pod has one: it
 * links the C library and a few objects of base, nothing else. Its memory is
 * what counts here, so buffers are few and shared, and what only a new process
 * needs (arguments, mounts, the seccomp program) stays in memfds that only the
 * child maps.
 *
 * Files:  main.c       start, epoll, reaping      conn.c    the socket
 *         sandbox.c    namespaces, end, state     output.c  logs, attach
 *         container.c  start, stop, exit          exec.c    sessions, ports
 *         child.c, user.c, rootfs.c, spec.c       what runs in the child
 * To answer a new request, add its number to frame.h and a row to conn.c.
 */
#ifndef RUN_KEEPER_KEEPER_H
#define RUN_KEEPER_KEEPER_H

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/tree.h"
#include "run/frame.h"

/* An fd on the epoll set. The callback may delete and free its watch. */
struct watch {
	int fd; /* -1: none */
	uint32_t events; /* 0: not on the set */
	void (*cb)(struct watch *w, uint32_t events);
};

struct conn {
	TAILQ_ENTRY(conn) link;
	struct watch w;
	uint32_t gen; /* names it in requests that are answered later */
	bool subscribed; /* wants events */
};

/* Who waits for an answer. */
struct asker {
	uint32_t gen, seq;
};

struct container;

/* One direction of a container's output. */
struct stream {
	struct watch w; /* read end */
	struct container *c;
	const char *name; /* "stdout" */
};

/* A reader of a container's output and writer of its input. */
struct attach {
	TAILQ_ENTRY(attach) link;
	struct container *c;
	struct watch in; /* read end of what the client types; -1: none */
	struct watch out, err; /* write ends, never waited for; watched for the reader's going */
	char *pending; /* input that the container did not take yet */
	size_t pending_at, pending_n;
	bool in_ended;
};

/* From 0 on as enum container_state. */
enum container_phase { PHASE_STARTING = -1, PHASE_CREATED, PHASE_RUNNING, PHASE_EXITED };

struct container {
	TAILQ_ENTRY(container) link;
	char *id, *name, *log_dir;
	unsigned attempt;
	enum container_phase phase;
	pid_t pid;
	int pidfd;
	int spec_fd, seccomp_fd, cgroup_fd, log_dir_fd, log_fd;
	bool tty, stdin_open, stdin_once;
	bool joined; /* born in the PID namespace of another container */
	struct watch sync; /* what the child says until it executes its program */
	bool ready; /* the child said that all is set up */
	bool failed; /* the child said why not, and this was passed on */
	struct asker asker; /* of FRAME_START */
	struct stream out, err; /* with a terminal only out: its master */
	struct watch in; /* write end of stdin; on the set only while input waits for room */
	TAILQ_HEAD(, attach) attaches;
	int stop_signal;
	int64_t kill_at_ms; /* monotonic; 0: no stop under way */
	int exit_code, signal;
	bool oom_killed, acked;
	int64_t started_ns, finished_ns;
	int64_t log_size, log_max;
	int log_files;
	uint32_t uid, gid, *groups; /* who it was started as */
	unsigned n_groups;
	bool log_broken; /* the last line of the log has no end: the disk was full */
};

/* An exec session. */
struct session {
	TAILQ_ENTRY(session) link;
	struct container *c; /* NULL when the container is forgotten */
	uint32_t id; /* the daemon's name for it */
	struct asker asker;
	struct watch sync;
	bool ready, started, failed;
	pid_t pid;
	int master; /* of the terminal, until it is handed over */
};

struct keeper {
	int epoll_fd, signal_fd;
	struct watch listener, signals;
	TAILQ_HEAD(, conn) conns;
	TAILQ_HEAD(, container) containers;
	TAILQ_HEAD(, session) sessions;
	uint32_t last_gen;
	char *id, *name, *dir, *cgroup;
	unsigned share; /* SHARE_ bits */
	int dir_fd; /* pods/<id> */
	int host_mnt_fd; /* the mount namespace that the daemon lives in */
	int own_pid_fd; /* for getting back after starting a session elsewhere */
	int net_fd;
	int user_fd; /* the pod's user namespace; -1: the host's */
	uint32_t id_base, id_count; /* its first id on the host, and how many there are */
	pid_t pod_init; /* of a shared PID namespace; 0: none */
	bool is_set_up, ending;
	struct asker destroyer;
};
extern struct keeper keeper;

/* main.c */
void watch_add(struct watch *w, int fd, uint32_t events, void (*cb)(struct watch *w, uint32_t events));
void watch_set(struct watch *w, uint32_t events);
void watch_close(struct watch *w); /* off the set, and the fd is closed */
void keeper_set_title(const char *comm, const char *title); /* what ps shows */
int64_t keeper_now_ms(void);
int64_t keeper_wall_ns(void);
/* A child that is a copy of this process. flags: CLONE_NEW...; cgroup_fd -1: none. */
pid_t keeper_fork(uint64_t flags, int cgroup_fd, int *ret_pidfd);

/* conn.c */
int conn_listen(void);
struct conn *conn_add(int fd);
void conn_reply(struct asker a, const struct buf *b, const int *fds, size_t n_fds);
void conn_fail(struct asker a, int eno, const char *kind, const char *text);
void conn_event(const struct buf *b);
struct buf *conn_buf(void); /* the shared buffer for building frames */

/* sandbox.c */
void sandbox_on_setup(struct asker a, struct frame *f);
void sandbox_on_state(struct asker a, struct frame *f);
void sandbox_on_destroy(struct asker a, struct frame *f);
void sandbox_save(void);
void sandbox_check_end(void); /* answers FRAME_DESTROY and exits when nothing is left */
void sandbox_put_container(struct buf *b, const struct container *c);

/* container.c */
struct container *container_find(struct fields f);
void container_put_user(struct buf *b, const struct container *c);
void container_on_start(struct asker a, struct frame *f);
void container_on_signal(struct asker a, struct frame *f);
void container_on_stop(struct asker a, struct frame *f);
void container_on_remove(struct asker a, struct frame *f);
void container_on_resize(struct asker a, struct frame *f);
void container_on_ack(struct asker a, struct frame *f);
void container_kill(struct container *c); /* all of its processes */
bool container_reaped(pid_t pid, int status); /* false: not a container's */
int container_timeout_ms(void); /* until the next deadline; -1: none */
void container_run_deadlines(void);
int exit_code_of(int status);

/* output.c */
int output_open(struct container *c);
void output_read(struct watch *w, uint32_t events); /* a stream's callback */
void output_drain(struct container *c); /* what is there now, then closes */
void output_close(struct container *c);
void attach_on(struct asker a, struct frame *f);

/* exec.c */
void exec_on(struct asker a, struct frame *f);
void exec_on_kill(struct asker a, struct frame *f);
void exec_kill_all(void);
void exec_forget(struct container *c);
bool exec_reaped(pid_t pid, int status);
void dial_on(struct asker a, struct frame *f);

/* child.c: never returns. std: the ends for 0, 1, 2; -1: none. */
struct child_start {
	const struct container *c;
	int sync;
	int std[3];
	bool is_exec;
	struct fields exec; /* F_ARG, F_TTY, F_ROWS, F_COLS */
};
NORETURN void child_main(const struct child_start *s);

/* What a child sends before it executes its program: one byte of type, then for
 * SYNC_ERROR an errno (4 bytes), the kind, a NUL, the text; for SYNC_READY its user,
 * group and further groups (4 bytes each). SYNC_TTY has an fd. */
enum sync_type { SYNC_TTY = 'T', SYNC_READY = 'R', SYNC_ERROR = 'E' };
#define SYNC_MAX 1024
struct sync_msg {
	enum sync_type type;
	int eno, fd;
	char buf[SYNC_MAX];
	const char *kind, *text; /* in buf */
	size_t n; /* bytes in buf */
};
/* 1: a message, 0: the end, -EAGAIN. */
int sync_recv(int fd, struct sync_msg *m);

#endif
