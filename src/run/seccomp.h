/*
 * Capabilities and system call filters. (Apart from internal.h because profiles
 * are JSON documents, and doc.h and frame.h both speak of fields.)
 */
#ifndef RUN_SECCOMP_H
#define RUN_SECCOMP_H

#include "base/err.h"
#include "run/run.h"

/* --- caps.c --- */
#define CAP_ALL_MASK ((1ull << 41) - 1)
/* The container's set: containerd's default, or all; then drop, then add. Negative for an unknown name. */
int caps_compute(const struct run_container_spec *spec, uint64_t *ret, struct err *e) MUST_CHECK;
int caps_number(const char *name); /* "NET_ADMIN" or "CAP_NET_ADMIN"; -1 */

/* --- seccomp.c --- */
struct seccomp_cache;
struct seccomp_cache *seccomp_cache_free(struct seccomp_cache *c);
/* The program in a sealed memfd that the caller closes; -1 in *ret_fd: none is wanted. */
int seccomp_program(struct seccomp_cache **c, const struct run_container_spec *spec, uint64_t caps,
		    int *ret_fd, struct err *e) MUST_CHECK;
int seccomp_seal(const void *p, size_t n, const char *name); /* a sealed memfd or -errno */

/* --- seccomp-file.c: a profile in the JSON of the OCI runtime specification --- */
int seccomp_program_from_file(const char *path, int *ret_fd, struct err *e) MUST_CHECK;
/* For seccomp-file.c: seccomp_export of a finished filter (a scmp_filter_ctx). */
int seccomp_finish(void *filter, bool with_newer, int *ret_fd, struct err *e) MUST_CHECK;
void *seccomp_begin(uint32_t default_action, struct err *e); /* for this machine's architectures; NULL: e */

#endif
