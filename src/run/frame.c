/*
 * Frames of tagged fields (frame.h). Pure but for send and receive.
 */
#include "run/frame.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FIELD_HEAD 8

void frame_begin(struct buf *b, enum frame_type type, uint32_t seq)
{
	struct frame_head h = { .version = FRAME_VERSION, .type = type, .seq = seq };

	buf_clear(b);
	buf_add(b, &h, sizeof(h));
}

static void field_head_add(struct buf *b, uint16_t tag, uint32_t n)
{
	unsigned char head[FIELD_HEAD] = { 0 };

	memcpy(head, &tag, 2);
	memcpy(head + 4, &n, 4);
	buf_add(b, head, sizeof(head));
}

void frame_add(struct buf *b, uint16_t tag, const void *p, size_t n)
{
	static const char zero[4];

	field_head_add(b, tag, n);
	buf_add(b, p, n);
	buf_add(b, zero, -n & 3);
}

void frame_add_str(struct buf *b, uint16_t tag, const char *s)
{
	if (s)
		frame_add(b, tag, s, strlen(s) + 1);
}

void frame_add_int(struct buf *b, uint16_t tag, int64_t v)
{
	frame_add(b, tag, &v, sizeof(v));
}

size_t frame_nest(struct buf *b, uint16_t tag)
{
	field_head_add(b, tag, 0);
	return b->len;
}

void frame_nest_end(struct buf *b, size_t at)
{
	uint32_t n = b->len - at;

	memcpy(b->s + at - 4, &n, 4);
}

bool fields_next(struct fields *f, struct field *out)
{
	uint32_t n;
	size_t whole;

	if (f->n < FIELD_HEAD)
		return false;
	memcpy(&out->tag, f->p, 2);
	memcpy(&n, f->p + 4, 4);
	if (n > f->n - FIELD_HEAD)
		return false;
	out->p = f->p + FIELD_HEAD;
	out->n = n;
	whole = FIELD_HEAD + (size_t)n + (-(size_t)n & 3);
	if (whole > f->n)
		whole = f->n;
	f->p += whole;
	f->n -= whole;
	return true;
}

const char *field_str(const struct field *f)
{
	const char *s = f->p;

	return f->n && memchr(s, 0, f->n) == s + f->n - 1 ? s : "";
}

int64_t field_int(const struct field *f)
{
	int64_t v = 0;

	if (f->n == sizeof(v))
		memcpy(&v, f->p, sizeof(v));
	return v;
}

struct fields field_nested(const struct field *f)
{
	return (struct fields){ f->p, f->n };
}

const char *fields_str(struct fields f, uint16_t tag)
{
	struct field x;

	while (fields_next(&f, &x))
		if (x.tag == tag)
			return field_str(&x);
	return NULL;
}

int64_t fields_int(struct fields f, uint16_t tag, int64_t dflt)
{
	struct field x;

	while (fields_next(&f, &x))
		if (x.tag == tag)
			return field_int(&x);
	return dflt;
}

static int frame_to_memfd(const struct buf *b)
{
	int fd = memfd_create("frame", MFD_CLOEXEC);
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < b->len) {
		ssize_t n = write(fd, b->s + done, b->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int eno = n ? errno : EIO;

			close(fd);
			return -eno;
		}
		done += n;
	}
	return fd;
}

int frame_send(int sock, const struct buf *b, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FRAME_FDS)];
	} control;
	struct frame_head h;
	struct iovec iov = { b->s, b->len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	_cleanup_close_ int memfd = -1;
	ssize_t n;

	BUG_ON(n_fds > FRAME_FDS - 1);
	if (b->len > FRAME_INLINE_MAX) {
		if (b->len > FRAME_MAX)
			return -E2BIG;
		memfd = frame_to_memfd(b);
		if (memfd < 0)
			return memfd;
		memcpy(&h, b->s, sizeof(h));
		h.flags |= FRAME_IN_FD;
		iov = (struct iovec){ &h, sizeof(h) };
	}
	if (n_fds || memfd >= 0) {
		struct cmsghdr *c = &control.align;
		size_t count = n_fds + (memfd >= 0);

		memset(&control, 0, sizeof(control));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		if (n_fds)
			memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
		if (memfd >= 0)
			memcpy(CMSG_DATA(c) + sizeof(int) * n_fds, &memfd, sizeof(int));
	}
	do
		n = sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static void frame_collect_fds(struct msghdr *m, struct frame *f)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (f->n_fds < FRAME_FDS)
				f->fds[f->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

/* The frame's bytes are in the last fd. */
static int frame_map(struct frame *f)
{
	struct stat st;
	void *p;
	int fd;

	if (!f->n_fds)
		return -EPROTO;
	fd = f->fds[--f->n_fds];
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(f->head) || st.st_size > FRAME_MAX) {
		close(fd);
		return -EPROTO;
	}
	p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return -ENOMEM;
	f->map = p;
	f->map_len = st.st_size;
	f->body = (struct fields){ (unsigned char *)p + sizeof(f->head), f->map_len - sizeof(f->head) };
	return 0;
}

int frame_recv(int sock, void *data, struct frame *f)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FRAME_FDS)];
	} control;
	struct iovec iov = { data, FRAME_INLINE_MAX };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t n;
	int r = 0;

	memset(f, 0, sizeof(*f));
	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	frame_collect_fds(&m, f);
	if (n == 0 && !f->n_fds)
		return 0;
	if (n < (ssize_t)sizeof(f->head) || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		r = -EPROTO;
	if (r == 0) {
		memcpy(&f->head, data, sizeof(f->head));
		f->body = (struct fields){ (unsigned char *)data + sizeof(f->head), n - sizeof(f->head) };
		if (f->head.version != FRAME_VERSION)
			r = -EPROTO;
		else if (f->head.flags & FRAME_IN_FD)
			r = frame_map(f);
	}
	if (r < 0) {
		frame_release(f);
		return r;
	}
	return 1;
}

int frame_take(struct frame *f, enum fd_role role)
{
	struct fields it = f->body;
	struct field x;

	while (fields_next(&it, &x)) {
		if (x.tag != F_ROLES)
			continue;
		for (size_t i = 0; i < x.n && i < f->n_fds; i++)
			if (((const char *)x.p)[i] == role && f->fds[i] >= 0)
				return take_fd(&f->fds[i]);
	}
	return -1;
}

void frame_release(struct frame *f)
{
	for (size_t i = 0; i < f->n_fds; i++)
		if (f->fds[i] >= 0)
			close(f->fds[i]);
	f->n_fds = 0;
	if (f->map)
		munmap(f->map, f->map_len);
	f->map = NULL;
}
