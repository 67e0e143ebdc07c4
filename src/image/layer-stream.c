/*
 * A layer's bytes: one thread reads, decompresses and hashes, the other makes
 * files of what comes. They pass blocks round a small ring; nothing else is
 * shared. On a machine of two processors this halves the time of a layer.
 */
#include <errno.h>
#include <pthread.h>

#include "base/digest.h"
#include "image/layer.h"
#include "image/libarchive.h"

#define STREAM_BLOCKS 8
#define STREAM_STACK (256 << 10)

struct layer_stream {
	struct archive *raw;
	struct digest *digest;
	int64_t left, *ret_left;
	pthread_t thread;
	bool running;
	char *error; /* what the thread died of: valid once `ended` was seen */

	pthread_mutex_t lock;
	pthread_cond_t moved;
	char *block[STREAM_BLOCKS];
	size_t n[STREAM_BLOCKS];
	unsigned filled, taken; /* blocks ever; taken: the reader is done with those before */
	bool holding; /* the reader looks at block `taken` */
	bool ended, stop;
};

/* --- the thread --- */

/* The next free block, or NULL when nobody wants any more. */
static char *stream_wait_free(struct layer_stream *s)
{
	char *block;

	pthread_mutex_lock(&s->lock);
	while (s->filled - s->taken == STREAM_BLOCKS && !s->stop)
		pthread_cond_wait(&s->moved, &s->lock);
	block = s->stop ? NULL : s->block[s->filled % STREAM_BLOCKS];
	pthread_mutex_unlock(&s->lock);
	return block;
}

static void stream_give(struct layer_stream *s, size_t n)
{
	pthread_mutex_lock(&s->lock);
	if (n)
		s->n[s->filled++ % STREAM_BLOCKS] = n;
	else
		s->ended = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static size_t stream_fill(struct layer_stream *s, char *block)
{
	la_ssize_t n = la.archive_read_data(s->raw, block, LAYER_BLOCK);
	const char *text;

	if (n < 0) {
		text = la.archive_error_string(s->raw);
		s->error = xstrdup(text ? text : "damaged archive");
		return 0;
	}
	s->left -= n;
	if (s->left < 0) {
		s->error = xasprintf("its content is larger than the limit of %llu GiB", LIMIT_IMAGE_UNPACKED_BYTES >> 30);
		return 0;
	}
	digest_update(s->digest, block, (size_t)n);
	return (size_t)n;
}

static void *stream_run(void *arg)
{
	struct layer_stream *s = arg;
	char *block;
	size_t n;

	do {
		block = stream_wait_free(s);
		n = block ? stream_fill(s, block) : 0;
		stream_give(s, n);
	} while (n);
	return NULL;
}

/* --- its owner --- */

static void stream_start(struct layer_stream *s)
{
	pthread_attr_t attr;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STREAM_STACK);
	r = pthread_create(&s->thread, &attr, stream_run, s);
	pthread_attr_destroy(&attr);
	s->running = r == 0;
	if (r != 0) {
		s->error = xasprintf("no thread for it: %s", strerror(r));
		s->ended = true;
	}
}

static void stream_open_archive(struct layer_stream *s, int fd)
{
	struct archive_entry *entry;
	const char *text;

	la.archive_read_support_filter_gzip(s->raw);
	la.archive_read_support_filter_zstd(s->raw);
	la.archive_read_support_format_raw(s->raw);
	la.archive_read_support_format_empty(s->raw);
	if (la.archive_read_open_fd(s->raw, fd, LAYER_BLOCK) == ARCHIVE_OK &&
	    la.archive_read_next_header(s->raw, &entry) == ARCHIVE_OK)
		return;
	text = la.archive_error_string(s->raw);
	s->error = xstrdup(text ? text : "damaged archive");
	s->ended = true;
}

struct layer_stream *layer_stream_open(int fd, int64_t *left)
{
	struct layer_stream *s = xcalloc(1, sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->moved, NULL);
	s->raw = la.archive_read_new();
	s->digest = digest_new();
	s->left = *left;
	s->ret_left = left;
	for (size_t i = 0; i < STREAM_BLOCKS; i++)
		s->block[i] = xmalloc(LAYER_BLOCK);
	stream_open_archive(s, fd);
	if (!s->ended)
		stream_start(s);
	return s;
}

ssize_t layer_stream_read(struct layer_stream *s, const void **ret_bytes)
{
	ssize_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (s->holding) {
		s->holding = false;
		s->taken++;
		pthread_cond_broadcast(&s->moved);
	}
	while (s->taken == s->filled && !s->ended)
		pthread_cond_wait(&s->moved, &s->lock);
	if (s->taken != s->filled) {
		*ret_bytes = s->block[s->taken % STREAM_BLOCKS];
		n = (ssize_t)s->n[s->taken % STREAM_BLOCKS];
		s->holding = true;
	}
	pthread_mutex_unlock(&s->lock);
	return n ? n : s->error ? -EIO : 0;
}

const char *layer_stream_error(const struct layer_stream *s)
{
	return s->ended ? s->error : NULL;
}

void layer_stream_digest(struct layer_stream *s, char out[DIGEST_TEXT_LEN + 1])
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	uint8_t sum[DIGEST_SHA256_LEN];

	digest_final(s->digest, sum);
	buf_adds(&text, "sha256:");
	buf_add_hex(&text, sum, sizeof(sum));
	memcpy(out, text.s, text.len + 1);
}

struct layer_stream *layer_stream_close(struct layer_stream *s)
{
	if (!s)
		return NULL;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	*s->ret_left = s->left;
	la.archive_read_free(s->raw);
	digest_free(s->digest);
	for (size_t i = 0; i < STREAM_BLOCKS; i++)
		free(s->block[i]);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->moved);
	free(s->error);
	free(s);
	return NULL;
}
