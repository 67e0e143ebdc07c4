/*
 * What the daemon and a keeper say to each other, and what a keeper writes to
 * its state file: frames of tagged fields.
 *
 * One frame is one datagram of a SOCK_SEQPACKET unix socket: a head, then
 * fields, each padded to four bytes, in the byte order of the machine. A frame
 * that is too large for a datagram travels as a memfd (FRAME_IN_FD) that holds
 * the whole of it. File descriptors go along with the datagram; a field F_ROLES
 * has one byte for each that says what it is.
 *
 * A keeper lives as long as its pod, so a daemon meets keepers that are years
 * older than itself: a number in the enums below is never used again for
 * anything else, a field never changes its meaning, an unknown field is
 * skipped, and an unknown request is answered with ENOSYS. To say something
 * new, add a number at the end.
 */
#ifndef RUN_FRAME_H
#define RUN_FRAME_H

#include "base/buf.h"

#define FRAME_VERSION 1
#define FRAME_INLINE_MAX 12288 /* bytes of one datagram */
#define FRAME_SOCKET_BUFFER (512 << 10) /* what may wait to be read: all exec sessions of a pod may end at once */
#define FRAME_MAX (8u << 20) /* bytes of a frame in a memfd: arguments and environment of a container */
#define FRAME_FDS 8 /* with one datagram */

enum { FRAME_IN_FD = 1 }; /* flags */

struct frame_head {
	uint8_t version, type;
	uint16_t flags;
	uint32_t seq; /* a reply carries its request's; events have 0 */
};

enum frame_type {
	FRAME_REPLY = 1, /* F_ERROR... when it failed */
	FRAME_SETUP = 2, /* make the sandbox; reply: F_FD netns */
	FRAME_STATE = 3, /* reply: all that the keeper knows; events come from then on */
	/* fds: spec, seccomp, log directory, cgroup; reply when it runs: F_PID, F_STARTED, F_UID, F_GID, F_GROUP */
	FRAME_START = 4,
	FRAME_SIGNAL = 5,
	FRAME_STOP = 6,
	FRAME_REMOVE = 7, /* forget an exited container */
	FRAME_EXEC = 8, /* fds: stdio; reply when it runs: F_EXEC, the terminal's master */
	FRAME_EXEC_KILL = 9, /* no reply */
	FRAME_ATTACH = 10, /* fds: stdio */
	FRAME_RESIZE = 11, /* of the container's terminal */
	FRAME_DIAL = 12, /* reply: a socket that connects */
	FRAME_DESTROY = 13, /* kill all; reply when all are dead; the keeper ends */
	FRAME_ACK = 14, /* the exit of a container was taken note of; no reply */
	FRAME_EXITED = 32, /* event: F_CONTAINER */
	FRAME_EXEC_EXITED = 33, /* event: F_EXEC, F_EXIT_CODE */
};

enum field_tag {
	F_ERROR = 1, /* an errno */
	F_ERROR_TEXT = 2,
	F_ERROR_KIND = 3, /* the kubelet's reason: RunContainerError, ... */
	F_ROLES = 4,
	/* sandbox */
	F_ID = 16,
	F_NAME = 17,
	F_DIR = 18, /* pods/<id>, absolute */
	F_HOSTNAME = 19,
	F_SHARE = 20, /* SHARE_ bits */
	F_SYSCTL = 21, /* repeated: "name=value" */
	F_SHM_BYTES = 22,
	F_PID = 23,
	F_CONTAINER = 24, /* nested */
	F_CGROUP = 25, /* the pod's, below the root of the hierarchy: for the daemon's own use */
	F_ID_BASE = 26, /* the pod has a user namespace of its own; the first of its ids on the host */
	F_ID_COUNT = 27, /* and how many */
	/* container: what the keeper keeps in memory */
	F_CID = 32,
	F_CNAME = 33,
	F_ATTEMPT = 34,
	F_STATE = 35, /* enum container_state */
	F_EXIT_CODE = 36,
	F_SIGNAL = 37,
	F_OOM = 38,
	F_STARTED = 39, /* ns */
	F_FINISHED = 40, /* ns */
	F_ACKED = 41,
	F_TTY = 42,
	F_STDIN = 43, /* 1: open, 2: close after the first attach */
	F_LOG_MAX = 44,
	F_LOG_FILES = 45,
	F_STOP_SIGNAL = 46,
	F_GRACE_MS = 47,
	F_LOG_DIR = 48, /* the pod's log directory, for the daemon's own use */
	F_PID_OF = 49, /* id of the container in whose PID namespace it is born */
	/* container: what its first process needs (the spec file) */
	F_LAYER = 64, /* repeated, uppermost first */
	F_ARG = 65,
	F_ENV = 66,
	F_CWD = 67,
	F_USER = 68,
	F_UID = 69,
	F_GID = 70,
	F_GROUP = 71, /* repeated */
	F_FLAGS = 72, /* SPEC_ bits */
	F_CAPS = 73, /* bit mask */
	F_MOUNT = 74, /* nested */
	F_OOM_ADJ = 75,
	F_APPARMOR = 76, /* the profile that the program is executed under */
	F_MOUNT_TYPE = 80,
	F_SOURCE = 81,
	F_SUBPATH = 82,
	F_TARGET = 83,
	F_MOUNT_FLAGS = 84, /* MOUNT_ bits */
	F_SIZE = 85,
	/* exec, attach, ports */
	F_EXEC = 96,
	F_ROWS = 97,
	F_COLS = 98,
	F_PORT = 99,
	F_FAMILY = 100, /* 4 or 6 */
	/* notes of the daemon (its own file) */
	F_NOTE_KEY = 112,
	F_NOTE_VALUE = 113,
};

enum { SHARE_NET = 1, SHARE_PID_HOST = 2, SHARE_IPC = 4, SHARE_PID_POD = 8 };
enum {
	SPEC_PRIVILEGED = 1,
	SPEC_READ_ONLY = 2,
	SPEC_NO_NEW_PRIVS = 4,
	SPEC_UNMASK_PROC = 8,
	SPEC_CGROUPNS = 16, /* it has a cgroup of its own to be the root of its view */
	SPEC_STRICT_GROUPS = 32, /* only the groups that are given, not those of /etc/group */
};
enum { MOUNT_READ_ONLY = 1, MOUNT_READ_ONLY_REC = 2, MOUNT_SLAVE = 4, MOUNT_SHARED = 8, MOUNT_TMPFS = 16 };

enum fd_role {
	ROLE_SPEC = 's',
	ROLE_SECCOMP = 'b',
	ROLE_LOG_DIR = 'l',
	ROLE_CGROUP = 'g',
	ROLE_NETNS = 'n',
	ROLE_IN = '0',
	ROLE_OUT = '1',
	ROLE_ERR = '2',
	ROLE_TTY = 't',
	ROLE_SOCKET = 'k',
};

struct field {
	uint16_t tag;
	const void *p;
	size_t n;
};
struct fields {
	const unsigned char *p;
	size_t n;
};

void frame_begin(struct buf *b, enum frame_type type, uint32_t seq); /* b is cleared */
void frame_add(struct buf *b, uint16_t tag, const void *p, size_t n);
void frame_add_str(struct buf *b, uint16_t tag, const char *s); /* with its NUL; NULL adds nothing */
void frame_add_int(struct buf *b, uint16_t tag, int64_t v);
/* A nested field: at = frame_nest(b, tag); ... frame_nest_end(b, at); */
size_t frame_nest(struct buf *b, uint16_t tag);
void frame_nest_end(struct buf *b, size_t at);

/* False at the end, and when the rest is malformed. */
bool fields_next(struct fields *f, struct field *out);
/* "" unless it is a NUL-terminated string without a NUL inside. */
const char *field_str(const struct field *f);
int64_t field_int(const struct field *f);
struct fields field_nested(const struct field *f);
/* The first of that tag; dflt or NULL when absent. */
const char *fields_str(struct fields f, uint16_t tag);
int64_t fields_int(struct fields f, uint16_t tag, int64_t dflt);

/* One frame with its fds. 0, or -EAGAIN, -EPIPE, ... */
int frame_send(int sock, const struct buf *b, const int *fds, size_t n_fds);

struct frame {
	struct frame_head head;
	struct fields body;
	int fds[FRAME_FDS]; /* owned by whoever received; -1 when taken */
	size_t n_fds;
	void *map; /* of a frame in a memfd */
	size_t map_len;
};
/* data holds FRAME_INLINE_MAX bytes, body points into it. 1: a frame; 0: end; -EAGAIN; -EPROTO. */
int frame_recv(int sock, void *data, struct frame *f);
/* Takes the fd with that role; -1 when there is none. */
int frame_take(struct frame *f, enum fd_role role);
void frame_release(struct frame *f);

#endif
