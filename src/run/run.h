/*
 * The container runtime: sandboxes (a pod's namespaces), containers in them,
 * their output, their exit codes. It knows paths, ids and limits, not Pods.
 *
 * Each sandbox has a keeper: a tiny process that is the parent of the sandbox's
 * containers, copies their output to CRI log files, and holds what must outlive
 * this process. The daemon can be killed and started again while every pod runs
 * on: run_recover finds the keepers by their sockets in the state directory,
 * and learns from them (or from their state files) what ended meanwhile.
 *
 * All requests are asynchronous; callbacks run on the loop.
 */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "base/err.h"
#include "base/loop.h"
#include "base/opt.h"

struct runtime;
struct sandbox;
struct container;

/* --- what a pod asks for, in neutral terms --- */
#define RUN_IDS 65536 /* users and groups in a user namespace */
#define RUN_UNLIMITED (-1)
#define RUN_HUGETLB_MAX 8
struct run_hugetlb {
	uint64_t page_bytes;
	int64_t max_bytes;
};
struct run_limits { /* 0: not set, stays as it is; RUN_UNLIMITED takes a limit away */
	uint64_t cpu_weight; /* 1..10000 */
	int64_t cpu_quota_us, cpu_period_us;
	int64_t memory_max, memory_min, memory_swap_max; /* bytes */
	int64_t pids_max;
	bool hugetlb_set; /* those of the list; 0 for every other page size of this machine */
	struct run_hugetlb hugetlb[RUN_HUGETLB_MAX];
	size_t n_hugetlb;
};

struct run_sandbox_spec {
	const char *id; /* pod UID: file and cgroup name */
	const char *name; /* "ns/pod", for messages and process titles */
	const char *hostname;
	bool host_network, host_pid, host_ipc, share_pid;
	uint32_t id_base; /* 0: the host's users; else a user namespace whose ids 0.. are id_base.. on the host */
	const char *cgroup_parent; /* "kubepods/burstable" below the runtime's root */
	struct run_limits limits;
	const char *const *sysctls; /* "net.ipv4.x=1"; NULL-terminated or NULL */
	int64_t shm_bytes; /* 0: 64 MiB */
};

enum run_mount_type { RUN_MOUNT_BIND, RUN_MOUNT_TMPFS };
struct run_mount {
	enum run_mount_type type;
	const char *name; /* the volume's, for messages; may be NULL */
	const char *source; /* bind: path on the host */
	const char *subpath; /* resolved below source with RESOLVE_IN_ROOT, made when missing; NULL: none */
	const char *target; /* absolute, in the container */
	dev_t device; /* bind: source is this block device, which the container may use; 0: it is something else */
	bool read_only, recursive_read_only;
	char propagation; /* 0 private, 'h' HostToContainer, 'b' Bidirectional */
	int64_t size_bytes; /* tmpfs */
};

enum run_seccomp { RUN_SECCOMP_DEFAULT, RUN_SECCOMP_UNCONFINED, RUN_SECCOMP_FILE };

struct run_container_spec {
	const char *id; /* 64 hex characters, unique: made by the caller (rand) */
	const char *name; /* container's name in the pod */
	unsigned attempt; /* restart count: part of the log file's name */
	const char *const *layers; /* directories, uppermost first; NULL-terminated */
	const char *const *argv, *const *env; /* complete; NULL-terminated */
	const char *cwd; /* made when missing */
	/* User: numbers when numeric; else names looked up in the image's /etc/passwd and /etc/group. */
	const char *user; /* "1000", "1000:1000", "nobody"; NULL or "": root */
	int64_t run_as_user, run_as_group; /* override user; -1: not given */
	const int64_t *groups; /* supplementary */
	size_t n_groups;
	bool strict_groups; /* only those; else those of /etc/group, too */
	bool run_as_non_root; /* refuse uid 0: CreateContainerConfigError with Kubernetes' text */
	bool privileged, read_only_root, no_new_privs;
	const char *const *cap_add, *const *cap_drop; /* "NET_ADMIN", "ALL"; NULL-terminated or NULL */
	enum run_seccomp seccomp;
	const char *seccomp_file;
	const char *apparmor; /* a profile that the kernel has; NULL: none */
	bool unmask_proc;
	const struct run_mount *mounts; /* in order; the runtime itself adds /proc, /dev, /sys, /dev/shm */
	size_t n_mounts;
	struct run_limits limits;
	int oom_score_adj;
	bool tty, stdin_open, stdin_once;
	const char *log_dir; /* the log is log_dir/<name>/<attempt>.log as the CRI has it */
	struct container *pid_of; /* it is born in this one's PID namespace; NULL: in one of its own, or the pod's */
	const char *stop_signal; /* "SIGTERM"; NULL: SIGTERM */
	int64_t log_max_bytes; /* 0: LIMIT_LOG_FILE_BYTES */
	int log_max_files; /* 0: LIMIT_LOG_FILES */
};

enum container_state { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED };
struct container_status {
	enum container_state state;
	const char *id, *name; /* borrowed */
	unsigned attempt;
	pid_t pid;
	int exit_code; /* 128 + n for signal n */
	int signal;
	bool oom_killed;
	int64_t started_ns, finished_ns; /* unix */
	bool user_known; /* who its first process was started as */
	uint32_t uid, gid;
	const uint32_t *groups; /* borrowed */
	size_t n_groups;
};

struct run_config {
	struct loop *loop;
	const char *state_dir; /* <data-dir>/agent: pods/<id>/... below */
	const char *cgroup_name; /* the root cgroup's name, "kinglet" */
	/* A container ended. Also called from run_recover for exits that fell in between. */
	void (*on_exit)(void *arg, struct sandbox *s, const struct container_status *st);
	/* The keeper is gone: all of the sandbox's containers are dead. */
	void (*on_sandbox_lost)(void *arg, struct sandbox *s);
	void *arg;
};
int run_new(struct runtime **ret, const struct run_config *cfg, struct err *e) MUST_CHECK;
struct runtime *run_free(struct runtime *r); /* leaves pods running */

/* What this machine offers; one text for each thing that lacks, with the remedy ("" when nothing). */
struct run_machine {
	bool cgroup2_cpu, cgroup2_memory, cgroup2_pids, cgroup2_hugetlb; /* usable on the unified hierarchy */
	bool overlayfs, seccomp, cgroup_kill, user_ns, apparmor;
	char *missing; /* lines; owned by the runtime */
};
const struct run_machine *run_machine(const struct runtime *r);
#define RUN_APPARMOR_DEFAULT "kinglet-default" /* loaded at start where there is AppArmor */
bool run_apparmor_has(const char *profile); /* does the kernel? */

/* Limits of a group of pods: "kubepods/burstable" below the runtime's root, which is made when missing. */
int run_group_limits(struct runtime *r, const char *path, const struct run_limits *l, struct err *e) MUST_CHECK;

/* Finds sandboxes of a former life: found(arg, s) for each that lives (or whose end must
 * still be told), then done. */
void run_recover(struct runtime *r, void (*found)(void *arg, struct sandbox *s),
		 void (*done)(void *arg), void *arg);

/* done(arg, s, NULL) with the sandbox up and its namespaces made, or err. */
void sandbox_create(struct runtime *r, const struct run_sandbox_spec *spec,
		    void (*done)(void *arg, struct sandbox *s, const struct err *err), void *arg);
const char *sandbox_id(const struct sandbox *s);
pid_t sandbox_pid(const struct sandbox *s); /* the keeper's */
int sandbox_netns(struct sandbox *s); /* fd of the network namespace, borrowed; -1: the host's */
/* Opaque text kept with the sandbox across restarts (the node's own notes: IP, ...). */
int sandbox_set_note(struct sandbox *s, const char *key, const char *value, struct err *e) MUST_CHECK;
const char *sandbox_note(const struct sandbox *s, const char *key); /* NULL when absent */
struct container *sandbox_container(struct sandbox *s, const char *name); /* newest attempt, or NULL */
/* All that are remembered. */
size_t sandbox_containers(struct sandbox *s, struct container **out, size_t max);
/* Other limits for the pod as a whole, at once. Memory below what is in use is refused (ERR_CONFLICT), as the
 * kernel would kill. */
int sandbox_update(struct sandbox *s, const struct run_limits *l, struct err *e) MUST_CHECK;
/* Kills what runs, unmounts everything, removes cgroups and state; done when nothing is left. */
void sandbox_destroy(struct sandbox *s, void (*done)(void *arg, const struct err *err), void *arg);

/* Makes and starts. err reasons follow the kubelet: code ENOENT etc; err->kind "CreateContainerError",
 * "CreateContainerConfigError", "RunContainerError" for the state's reason. */
void container_start(struct sandbox *s, const struct run_container_spec *spec,
		     void (*done)(void *arg, struct container *c, const struct err *err), void *arg);
/* New limits for one that runs; a limit of memory below what is in use is refused. Limits that are not set stay. */
int container_set_limits(struct container *c, const struct run_limits *l, struct err *e) MUST_CHECK;
int sandbox_set_limits(struct sandbox *s, const struct run_limits *l, struct err *e) MUST_CHECK;
void container_status(const struct container *c, struct container_status *out);
/* Other limits for a container that runs, at once; as sandbox_update. Where the limits are raised the pod's come
 * first, where they are lowered the container's. */
int container_update(struct container *c, const struct run_limits *l, struct err *e) MUST_CHECK;
int container_signal(struct container *c, int signo); /* its first process; 0 or -errno */
/* The stop signal, then SIGKILL for all; on_exit tells. */
void container_stop(struct container *c, int64_t grace_ms);
/* Frees what an exited container holds (root, cgroup); its log stays unless remove_log. */
void container_remove(struct container *c, bool remove_log);
char *container_log_path(const struct container *c); /* owned by the caller */

/* --- what is used: read from the kernel now, a few small files; 0 for what cannot be known --- */
struct run_usage {
	int64_t cpu_ns, cpu_user_ns, cpu_system_ns;
	int64_t throttle_periods, throttled_periods, throttled_ns;
	int64_t memory, working_set, rss, cache, swap; /* bytes; without the memory controller what the processes map */
	int64_t page_faults, major_faults;
	int64_t processes;
};
struct run_net_usage { /* of one interface */
	char name[16];
	int64_t rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped;
};
bool container_usage(const struct container *c, struct run_usage *u); /* false: it does not run */
bool sandbox_usage(const struct sandbox *s, struct run_usage *u); /* all of its containers, and the keeper */
/* Interfaces but lo; how many. 0 on the host's network. */
size_t sandbox_net_usage(const struct sandbox *s, struct run_net_usage *v, size_t max);
char *container_upper(const struct container *c); /* the directory of what it has written; owned by the caller */

/* --- exec, attach, ports: fds that the caller owns --- */
struct run_io {
	/* Pipes; for exec with a terminal in = out = its master; -1 where not asked for. Non-blocking. */
	int in, out, err;
};
struct run_exec; /* an exec session in the keeper */
struct run_exec_spec {
	const char *const *argv;
	bool tty, in, out, err;
	bool err_to_out; /* out is both; without err and tty */
	uint16_t rows, cols; /* 0: 24x80 */
};
/* started: the fds, or an error (executable not found: code ENOENT). ended: exit code as a shell has it. */
struct run_exec *container_exec(struct container *c, const struct run_exec_spec *spec,
				void (*started)(void *arg, const struct run_io *io, const struct err *err),
				void (*ended)(void *arg, int exit_code, const struct err *err), void *arg);
void run_exec_resize(struct run_exec *x, uint16_t rows, uint16_t cols);
void run_exec_kill(struct run_exec *x); /* the session's processes get SIGKILL; ended is not called */
/* A copy of the container's output from now on, and its stdin. */
void container_attach(struct container *c, bool in, bool out, bool err,
		      void (*started)(void *arg, const struct run_io *io, const struct err *err), void *arg);
void container_resize(struct container *c, uint16_t rows, uint16_t cols);
/* A TCP connection to 127.0.0.1:port (or [::1]) inside the sandbox's network. fd or -errno. */
void sandbox_dial(struct sandbox *s, int port, void (*done)(void *arg, int fd), void *arg);

/* --- logs: reads CRI files across rotations --- */
struct run_log;
struct run_log_opts {
	bool follow, timestamps;
	int64_t tail; /* -1: all */
	int64_t since_ns; /* unix; 0: all */
	int64_t limit_bytes; /* 0: none */
	const char *stream; /* "stdout" or "stderr" alone (static); NULL: both */
};
/* Pieces of text as `kubectl logs` shows them; data may pause with run_log_pause. end: once, err or NULL.
 * running(arg): whether more may come (follow ends when it says no). */
struct run_log *run_log_read(struct loop *l, const char *path, const struct run_log_opts *o,
			     void (*data)(void *arg, const void *p, size_t n),
			     void (*end)(void *arg, const struct err *err), bool (*running)(void *arg),
			     void *arg);
void run_log_pause(struct run_log *g, bool paused);
struct run_log *run_log_free(struct run_log *g);

/* For `kinglet killall`: without a daemon, blocking. Ends every keeper found under state_dir,
 * unmounts, removes cgroups. */
int run_kill_all(const char *state_dir, const char *cgroup_name, struct buf *report,
		 struct err *e) MUST_CHECK;

#endif
