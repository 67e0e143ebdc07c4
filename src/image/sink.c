/*
 * Two buffers: one fills on the loop while the other is hashed and written by a
 * job. When the first is full before the job is over, the source has to wait.
 */
#include "image/sink.h"

#include <errno.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/path.h"

#define SINK_BLOCK (128u << 10)

struct sink {
	struct job_queue *jobs;
	const struct sink_ops *ops;
	void *arg;
	struct buf in, out; /* out is the job's while busy */
	struct digest *digest;
	int fd, eno;
	bool busy, load, wanted, finishing, freed;
};

struct sink *sink_new(struct job_queue *q, int fd_take, const struct sink_ops *ops, void *arg)
{
	struct sink *s = xcalloc(1, sizeof(*s));

	s->jobs = q;
	s->fd = fd_take;
	s->ops = ops;
	s->arg = arg;
	s->digest = digest_new();
	buf_init(&s->in);
	buf_init(&s->out);
	return s;
}

static void sink_destroy(struct sink *s)
{
	digest_free(s->digest);
	buf_release(&s->in);
	buf_release(&s->out);
	close_fd(s->fd);
	free(s);
}

/* --- in the job's thread --- */

static int sink_run_load(struct sink *s)
{
	_cleanup_free_ char *block = xmalloc(SINK_BLOCK);
	ssize_t n;

	if (lseek(s->fd, 0, SEEK_SET) < 0)
		return errno;
	while ((n = fd_read_all(s->fd, block, SINK_BLOCK)) > 0)
		digest_update(s->digest, block, (size_t)n);
	return n < 0 ? (int)-n : 0;
}

static void sink_run(void *arg)
{
	struct sink *s = arg;

	if (s->load) {
		s->eno = sink_run_load(s);
		return;
	}
	digest_update(s->digest, s->out.s, s->out.len);
	s->eno = -fd_write_all(s->fd, s->out.s, s->out.len);
}

/* --- on the loop --- */

static void sink_pump(struct sink *s);

static void sink_end(struct sink *s)
{
	uint8_t sum[DIGEST_SHA256_LEN];
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	if (s->eno) {
		err_errno(&e, s->eno, "write what comes to the disk");
		if (s->finishing)
			s->ops->done(s->arg, NULL, &e);
		else
			s->ops->ready(s->arg, &e);
		return;
	}
	digest_final(s->digest, sum);
	buf_adds(&text, "sha256:");
	buf_add_hex(&text, sum, sizeof(sum));
	s->ops->done(s->arg, text.s, NULL);
}

static void sink_over(void *arg)
{
	struct sink *s = arg;
	bool wanted;

	s->busy = s->load = false;
	buf_clear(&s->out);
	if (s->freed) {
		sink_destroy(s);
		return;
	}
	wanted = s->wanted;
	if (s->eno || (s->finishing && !s->in.len)) {
		sink_end(s);
		return;
	}
	sink_pump(s);
	if (wanted && !s->finishing) {
		s->wanted = false;
		s->ops->ready(s->arg, NULL);
	}
}

static void sink_submit(struct sink *s)
{
	s->busy = true;
	if (job_submit(s->jobs, sink_run, sink_over, s) < 0) { /* the queue is as long as there may be transfers */
		sink_run(s);
		sink_over(s);
	}
}

static void sink_pump(struct sink *s)
{
	struct buf swap = s->out;

	if (s->busy || (s->in.len < SINK_BLOCK && !s->finishing))
		return;
	s->out = s->in;
	s->in = swap;
	sink_submit(s);
}

void sink_load(struct sink *s)
{
	s->load = s->wanted = true;
	sink_submit(s);
}

bool sink_add(struct sink *s, struct str data)
{
	buf_addstr(&s->in, data);
	sink_pump(s);
	s->wanted = s->busy && s->in.len >= SINK_BLOCK;
	return !s->wanted;
}

void sink_finish(struct sink *s)
{
	s->finishing = true;
	sink_pump(s);
}

void sink_free(struct sink *s)
{
	if (!s)
		return;
	s->freed = true;
	if (!s->busy)
		sink_destroy(s);
}
