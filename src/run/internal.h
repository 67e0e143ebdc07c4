/*
 * The runtime's own structures: what its files share.
 *
 *   runtime.c   the runtime, recovery          sandbox.c   a pod's life
 *   peer.c      requests to and events from a keeper
 *   container.c start, stop, remove            exec.c      exec, attach, dial
 *   cgroup.c    cgroup v2                      machine.c   what the machine offers
 *   seccomp.c, seccomp-file.c, caps.c          log-read.c, kill-all.c
 *
 * A sandbox object mirrors its keeper: what it knows came in a reply or an event
 * and is never guessed. Callbacks run from the loop, never from inside the call
 * that asked.
 */
#ifndef RUN_INTERNAL_H
#define RUN_INTERNAL_H

#include "base/buf.h"
#include "base/job.h"
#include "base/map.h"
#include "base/tree.h"
#include "run/frame.h"
#include "run/run.h"
#include "run/seccomp.h"

#define RUN_SETUP_MS 30000 /* for a keeper to make a sandbox */
#define RUN_RECOVER_MS 5000 /* for a keeper to answer a new daemon */
#define RUN_DIAL_MS 10000
#define RUN_DESTROY_MS 10000 /* then the keeper itself is killed */

/* --- cgroup.c: paths are below the root of the unified hierarchy --- */
enum { CGROUP_CPU = 1, CGROUP_MEMORY = 2, CGROUP_PIDS = 4, CGROUP_HUGETLB = 8 };
int cgroup_open_root(void); /* directory fd or -errno */
unsigned cgroup_controllers(int dirfd, const char *file); /* CGROUP_ bits */
/* Makes each level and hands the controllers down to it; fd or negative. */
int cgroup_make(int root, const char *path, struct err *e) MUST_CHECK;
void cgroup_delegate(int dirfd); /* lets children have the controllers */
int cgroup_set_limits(int dirfd, const struct run_limits *l, struct err *e) MUST_CHECK;
/* The same for one container, which has rules of its own. */
/* As set_limits, for a group that is in use. */
int cgroup_change_limits(int root, const char *path, const struct run_limits *l, struct err *e) MUST_CHECK;
int cgroup_set_container(int dirfd, const struct run_limits *l, struct err *e) MUST_CHECK;
/* In place: memory is not set below its present use. what: for the message, "pod" or "container \"x\"". */
int cgroup_update(int root, const char *path, const struct run_limits *l, const char *what, struct err *e) MUST_CHECK;
void cgroup_kill(int root, const char *path);
/* Blocking: waits until it is empty (up to wait_ms), removes it and what is below. */
void cgroup_remove(int root, const char *path, int wait_ms);

/* --- devices.c: the device filter of unprivileged containers --- */
int devices_load(const struct run_mount *mounts, size_t n); /* the program, with theirs; fd or -errno */
int devices_attach(int program, int dirfd); /* to a cgroup; 0 or -errno */

void apparmor_load(void); /* apparmor.c */
extern const unsigned char apparmor_policy[]; /* apparmor-policy.c */
extern const size_t apparmor_policy_len;

/* --- the runtime --- */
struct runtime {
	struct loop *loop;
	char *state_dir, *pods_dir, *cgroup_name;
	void (*on_exit)(void *arg, struct sandbox *s, const struct container_status *st);
	void (*on_sandbox_lost)(void *arg, struct sandbox *s);
	void *arg;
	int cgroup_root; /* of the unified hierarchy; -1: none */
	int keepers_cgroup; /* fd; -1 */
	int keeper_fd; /* the sealed program */
	int devices; /* the device filter; negative: none */
	struct run_machine machine;
	struct seccomp_cache *seccomp;
	struct job_queue *disk;
	TAILQ_HEAD(, sandbox) sandboxes;
	/* recovery */
	bool closing;
	void (*rec_found)(void *arg, struct sandbox *s);
	void (*rec_done)(void *arg);
	void *rec_arg;
	size_t rec_pending;
	struct loop_task rec_task;
};
void machine_probe(struct runtime *r);
extern const unsigned char keeper_blob[], keeper_blob_end[];

struct container {
	TAILQ_ENTRY(container) link;
	struct sandbox *s;
	char *id, *name, *log_dir;
	unsigned attempt;
	enum container_state state;
	pid_t pid;
	int exit_code, signal;
	bool oom_killed, acked, tty;
	int64_t started_ns, finished_ns;
	bool user_known;
	uint32_t uid, gid, *groups;
	size_t n_groups;
};

/* A question to a keeper. done gets the answer, or an error. */
struct request {
	TAILQ_ENTRY(request) link;
	uint32_t seq;
	void (*done)(void *arg, struct frame *f, const struct err *e);
	void *arg;
	struct err failed; /* answered by ourselves */
};

struct sandbox {
	TAILQ_ENTRY(sandbox) link;
	struct runtime *r;
	char *id, *name, *dir, *cgroup;
	unsigned share;
	int sock, netns, pidfd;
	pid_t pid;
	struct loop_fd *sock_watch, *pid_watch;
	struct loop_timer *timer;
	uint32_t last_seq;
	TAILQ_HEAD(, request) requests; /* asked */
	TAILQ_HEAD(, request) failed; /* to be told from the loop */
	struct loop_task failed_task;
	TAILQ_HEAD(container_list, container) containers; /* newest first */
	TAILQ_HEAD(, run_exec) execs;
	struct map *notes; /* of char * */
	bool made, up, lost, destroying, finishing, recovering;
	int refs; /* 1 of its own, and one for each callback under way */
	void (*created)(void *arg, struct sandbox *s, const struct err *err);
	void *created_arg;
	void (*destroyed)(void *arg, const struct err *err);
	void *destroyed_arg;
};

/* sandbox.c */
struct sandbox *sandbox_new(struct runtime *r, const char *id);
struct sandbox *sandbox_free(struct sandbox *s); /* the pod runs on */
void sandbox_read_state(struct sandbox *s, struct fields f);
void sandbox_load(struct sandbox *s); /* from the state file of a dead keeper */
void sandbox_tell_exits(struct sandbox *s);
void sandbox_lose(struct sandbox *s); /* the keeper is gone */
void sandbox_load_notes(struct sandbox *s);
void sandbox_watch_keeper(struct sandbox *s); /* by its pid */
void sandbox_timed_out(void *arg);
extern const char *const sandbox_files[]; /* ours in the pod's directory; NULL-terminated */

/* link.c */
int peer_open(struct sandbox *s, int sock); /* takes sock; watches */
int peer_connect(struct sandbox *s); /* to keeper.sock; 0 or -errno */
void peer_close(struct sandbox *s);
/* b is a frame begun with peer_begin. */
void peer_begin(struct sandbox *s, struct buf *b, enum frame_type type);
void peer_ask(struct sandbox *s, struct buf *b, const int *fds, size_t n_fds,
	      void (*done)(void *arg, struct frame *f, const struct err *e), void *arg);
void peer_tell(struct sandbox *s, struct buf *b); /* without an answer */
/* done(arg, NULL, e) from the loop; e is emptied. */
void peer_fail(struct sandbox *s, void (*done)(void *arg, struct frame *f, const struct err *e), void *arg,
	       struct err *e);
void peer_fail_all(struct sandbox *s, int eno, const char *text);

/* container.c */
struct container *container_by_id(struct sandbox *s, const char *id);
struct container *container_apply(struct sandbox *s, struct fields f);
void container_on_exited(struct sandbox *s, struct fields f);
struct container *container_free_(struct container *c);
char *container_cgroup(const struct sandbox *s, const char *cid); /* NULL when there are none */

/* exec.c */
void exec_on_exited(struct sandbox *s, struct fields f);
void exec_lost(struct sandbox *s);
void exec_abandon_all(struct sandbox *s);

/* Removes files and cgroups off the loop. done may be NULL. */
struct cleanup;
struct cleanup *cleanup_new(struct runtime *r);
void cleanup_add_tree(struct cleanup *c, char *path_take);
void cleanup_add_dir(struct cleanup *c, char *path_take); /* removed when empty, after the trees */
void cleanup_set_cgroup(struct cleanup *c, char *path_take);
void cleanup_run(struct cleanup *c, void (*done)(void *arg), void *arg);

#endif
