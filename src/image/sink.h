/*
 * A file that is written and hashed as its bytes come, off the loop: blocks go to
 * a job thread one after the other.
 */
#ifndef IMAGE_SINK_H
#define IMAGE_SINK_H

#include "base/job.h"
#include "base/str.h"

struct sink;

/* ready: after sink_add said so, there is room again; after sink_load, all is hashed. done: after sink_finish. Both
 * from the loop; err: the file can't be read or written, nothing more comes. */
struct sink_ops {
	void (*ready)(void *arg, const struct err *err);
	void (*done)(void *arg, const char *digest, const struct err *err); /* "sha256:..." */
};
struct sink *sink_new(struct job_queue *q, int fd_take, const struct sink_ops *ops, void *arg);
/* Begins with the bytes that the file has already. */
void sink_load(struct sink *s);
/* False: that is enough, wait for ready. */
bool sink_add(struct sink *s, struct str data);
void sink_finish(struct sink *s);
void sink_free(struct sink *s); /* callbacks no more; the file is closed as soon as may be */

#endif
