/*
 * The audit log's file: lines go to one worker thread in batches, so that a slow
 * disk delays the log and nobody else. What Kubernetes calls the mode `batch`: a
 * request is answered before its line is written, the queue is bounded, and when
 * the disk is full or hangs, lines are lost, counted (apiserver_audit_error_total)
 * and the log says so once each time that it begins and ends. `-` is stdout.
 *
 * A file that would grow over its size is renamed with the time (as lumberjack
 * names it: audit-2026-11-28T04-12-05.123.log, UTC), compressed if that is wanted,
 * and the oldest ones are removed by number and age. A line that was written only
 * in part is taken back.
 */
#include "api/audit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/job.h"
#include "base/log.h"
#include "base/path.h"
#include "base/time.h"

#define AUDIT_MB (1 << 20)
#define BACKUP_STAMP_LEN 23 /* 2006-01-02T15-04-05.000 */
#define BACKUPS_MAX 10000

struct audit_log {
	struct audit_config cfg;
	char *path; /* NULL: stdout */
	struct job_queue *jobs;
	struct buf pending; /* whole lines */
	size_t n_pending;
	uint64_t lost;
	bool running, failing, closing;
	/* the worker's while a job runs */
	struct buf batch;
	size_t n_batch;
	int fd;
	int64_t size;
	int error; /* of the last batch */
	size_t n_failed;
};

char *audit_log_backup_name(const char *path, int64_t unix_ms)
{
	time_t s = (time_t)(unix_ms / 1000);
	const char *base = path_base(path), *dot = strrchr(base, '.');
	char stamp[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H-%M-%S", &tm);
	if (!dot)
		dot = base + strlen(base);
	return xasprintf("%.*s-%s.%03d%s", (int)(dot - path), path, stamp, (int)(unix_ms % 1000), dot);
}

/* --- old files; in the worker --- */

/* The time in name, when it is one of our backups; it sorts as text. */
static bool backup_stamp(const char *path, const char *name, char stamp[BACKUP_STAMP_LEN + 1])
{
	const char *base = path_base(path), *dot = strrchr(base, '.'), *ext;
	size_t n = dot ? (size_t)(dot - base) : strlen(base);

	if (strncmp(name, base, n) != 0 || name[n] != '-' || strlen(name) < n + 1 + BACKUP_STAMP_LEN)
		return false;
	memcpy(stamp, name + n + 1, BACKUP_STAMP_LEN);
	stamp[BACKUP_STAMP_LEN] = '\0';
	ext = name + n + 1 + BACKUP_STAMP_LEN;
	if (strncmp(ext, dot ? dot : "", dot ? strlen(dot) : 0) != 0)
		return false;
	ext += dot ? strlen(dot) : 0;
	return (!*ext || streq(ext, ".gz")) && stamp[4] == '-' && stamp[10] == 'T' && stamp[19] == '.';
}

struct backup {
	char stamp[BACKUP_STAMP_LEN + 1];
	char *name;
};

static int backup_newest_first(const void *a, const void *b)
{
	return strcmp(((const struct backup *)b)->stamp, ((const struct backup *)a)->stamp);
}

static char *log_dir(const char *path)
{
	const char *base = path_base(path);

	return base == path ? xstrdup(".") : base == path + 1 ? xstrdup("/") : xmemdupz(path, (size_t)(base - path - 1));
}

static void backups_remove_old(const struct audit_log *l, const char *dir, const struct backup *v, size_t n)
{
	char *limit = audit_log_backup_name("x", time_wall_ns() / 1000000 - l->cfg.max_days * 86400000); /* x-STAMP */

	for (size_t i = 0; i < n; i++) {
		bool old = l->cfg.max_days > 0 && strcmp(v[i].stamp, limit + 2) < 0;

		if (old || (l->cfg.max_backups > 0 && (int64_t)i >= l->cfg.max_backups)) {
			_cleanup_free_ char *file = path_join(dir, v[i].name);

			unlink(file);
		}
	}
	free(limit);
}

static void backups_trim(const struct audit_log *l)
{
	_cleanup_free_ char *dir = log_dir(l->path);
	VEC(struct backup) v = VEC_INIT;
	DIR *d = opendir(dir);
	struct dirent *ent;

	while (d && (ent = readdir(d)) && v.n < BACKUPS_MAX) {
		struct backup b;

		if (!backup_stamp(l->path, ent->d_name, b.stamp))
			continue;
		b.name = xstrdup(ent->d_name);
		VEC_PUSH(&v, b);
	}
	if (d)
		closedir(d);
	if (v.n)
		qsort(v.v, v.n, sizeof(*v.v), backup_newest_first);
	backups_remove_old(l, dir, v.v, v.n);
	for (size_t i = 0; i < v.n; i++)
		free(v.v[i].name);
	VEC_RELEASE(&v);
}

/* FILE becomes FILE.gz; what fails leaves it as it is. */
static void backup_compress(const char *file)
{
	_cleanup_free_ char *packed = xasprintf("%s.gz", file);
	char block[32768];
	int in = open(file, O_RDONLY | O_CLOEXEC), out = open(packed, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	gzFile gz = out >= 0 ? gzdopen(out, "wb6") : NULL;
	ssize_t n = -1;
	bool fine = in >= 0 && gz;

	while (fine && (n = read(in, block, sizeof(block))) > 0)
		fine = gzwrite(gz, block, (unsigned)n) == (int)n;
	if (gz)
		fine = gzclose(gz) == Z_OK && fine && n == 0;
	else if (out >= 0)
		close(out);
	if (in >= 0)
		close(in);
	unlink(fine ? file : packed);
}

/* --- writing; in the worker --- */

static int log_open(struct audit_log *l)
{
	struct stat st;

	if (l->fd >= 0)
		return 0;
	l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (l->fd < 0 && errno == ENOENT) {
		_cleanup_free_ char *dir = log_dir(l->path);
		_cleanup_err_ struct err e = ERR_INIT;

		if (path_mkdirs(dir, 0755, &e) < 0)
			return -e.code;
		l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	}
	if (l->fd < 0)
		return -errno;
	l->size = fstat(l->fd, &st) == 0 ? (int64_t)st.st_size : 0;
	return 0;
}

static int log_rotate(struct audit_log *l)
{
	_cleanup_free_ char *backup = audit_log_backup_name(l->path, time_wall_ns() / 1000000);

	l->fd = close_fd(l->fd);
	if (rename(l->path, backup) < 0 && errno != ENOENT)
		return -errno;
	if (l->cfg.compress)
		backup_compress(backup);
	backups_trim(l);
	return log_open(l);
}

/* Whole lines, all of them or none. */
static int log_write_piece(struct audit_log *l, struct str piece)
{
	int rc = fd_write_all(l->fd, piece.p, piece.n);

	if (rc == 0) {
		l->size += (int64_t)piece.n;
		return 0;
	}
	if (l->path && ftruncate(l->fd, l->size) < 0)
		l->fd = close_fd(l->fd);
	return rc;
}

/* As many lines as fit into the file. */
static struct str log_piece(const struct audit_log *l, struct str *rest)
{
	int64_t room = l->cfg.max_mb * AUDIT_MB - l->size;
	size_t n = 0;

	if (!l->path || l->cfg.max_mb <= 0 || (int64_t)rest->n <= room) {
		n = rest->n;
	} else {
		while (n < rest->n) {
			size_t line = (size_t)(str_find(str_sub(*rest, n, rest->n), '\n') + 1);

			if ((int64_t)(n + line) > room && (n || l->size))
				break;
			n += line;
		}
	}
	*rest = str_n(rest->p + n, rest->n - n);
	return str_n(rest->p - n, n);
}

static size_t count_lines(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

static void log_run(void *arg)
{
	struct audit_log *l = arg;
	struct str rest = buf_str(&l->batch);

	l->error = l->path ? log_open(l) : 0;
	while (l->error == 0 && rest.n) {
		struct str piece = log_piece(l, &rest);

		l->error = piece.n ? log_write_piece(l, piece) : 0;
		if (l->error)
			rest = str_n(piece.p, piece.n + rest.n);
		else if (rest.n)
			l->error = log_rotate(l);
	}
	l->n_failed = l->error ? count_lines(rest) : 0;
}

/* --- on the loop --- */

static void log_done(void *arg);

static void log_submit(struct audit_log *l)
{
	struct buf swap = l->batch;

	if (l->running || l->closing || !l->pending.len)
		return;
	buf_clear(&swap);
	l->batch = l->pending;
	l->pending = swap;
	l->n_batch = l->n_pending;
	l->n_pending = 0;
	l->running = job_submit(l->jobs, log_run, log_done, l) == 0;
	if (!l->running) {
		l->lost += l->n_batch;
		buf_clear(&l->batch);
	}
}

static void log_done(void *arg)
{
	struct audit_log *l = arg;

	l->running = false;
	l->lost += l->n_failed;
	if (l->error && !l->failing) {
		log_error("the audit log can't be written, lines are lost", LS("path", l->path), LS("error", strerror(-l->error)));
		l->failing = true;
	} else if (!l->error && l->failing) {
		log_info("the audit log is written again", LS("path", l->path), LI("lost", l->lost));
		l->failing = false;
	}
	if (l->batch.cap > AUDIT_MB)
		buf_release(&l->batch);
	log_submit(l);
}

void audit_log_add(struct audit_log *l, struct str line)
{
	if (l->pending.len + line.n > LIMIT_AUDIT_QUEUE_BYTES) {
		l->lost++;
		return;
	}
	buf_addstr(&l->pending, line);
	buf_addch(&l->pending, '\n');
	l->n_pending++;
	log_submit(l);
}

uint64_t audit_log_lost(const struct audit_log *l)
{
	return l->lost;
}

struct audit_log *audit_log_new(struct loop *loop, const struct audit_config *cfg)
{
	struct audit_log *l = xcalloc(1, sizeof(*l));

	l->cfg = *cfg;
	l->path = streq(cfg->log_path, "-") ? NULL : xstrdup(cfg->log_path);
	l->fd = l->path ? -1 : 1;
	buf_init(&l->pending);
	buf_init(&l->batch);
	l->jobs = job_queue_new(loop, "audit", 1, 1);
	return l;
}

struct audit_log *audit_log_free(struct audit_log *l)
{
	if (!l)
		return NULL;
	l->closing = true;
	job_queue_free(l->jobs); /* writes what it has */
	if (l->pending.len) {
		buf_clear(&l->batch);
		buf_addstr(&l->batch, buf_str(&l->pending));
		log_run(l);
	}
	if (l->path)
		close_fd(l->fd);
	buf_release(&l->pending);
	buf_release(&l->batch);
	free(l->path);
	free(l);
	return NULL;
}
