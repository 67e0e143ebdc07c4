/*
 * Volumes whose making may block, or runs a foreign program: a child process does
 * it ("kinglet internal volume ..."), which can be killed, while the node goes on.
 */
#ifndef NODE_VOLUME_CHILD_H
#define NODE_VOLUME_CHILD_H

#include <stdbool.h>

#include "base/err.h"

struct pod;
struct volume_ctx;

/* Does the work for v->dir once; a mark beside it remembers that across restarts of the daemon. 0: it is done;
 * -EAGAIN: it is under way, the pod is kicked when it ends; else what the child said. args: behind "volume", and
 * NULL-terminated. mark: false for work that leaves its own trace, such as a mount. */
int volume_child(struct volume_ctx *v, const char *const *args, int64_t limit_ms, bool mark, struct err *e) MUST_CHECK;
/* Kills what is under way for the pod, and forgets it. */
void volume_children_end(struct pod *p);
/* The child's side; returns its exit status, its complaint is on standard error. */
int volume_child_main(int argc, char **argv);

#endif
