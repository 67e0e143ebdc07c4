/*
 * A directory of files that change all at once, as the kubelet's atomic writer
 * lays it out:
 *
 *	dir/..2026_11_22_10_00_00.123456789/   one state of the payload
 *	dir/..data -> ..2026_11_22_10_00_00.123456789
 *	dir/key -> ..data/key                  one link for each first component
 *
 * A change writes a new state beside the old one and renames ..data over; who
 * reads through the links sees the old or the new files, never a mixture.
 * Nothing is written when the payload is what is there already.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "node/internal.h"

#define WRITER_FILE_MAX (2u << 20)

void payload_add(struct payload *p, const char *path, const void *data, size_t len, mode_t mode)
{
	for (size_t i = 0; i < p->n; i++)
		if (streq(p->v[i].path, path)) { /* the last source of a projected volume wins */
			free(p->v[i].data);
			p->v[i].data = xmemdupz(data, len);
			p->v[i].len = len;
			p->v[i].mode = mode;
			return;
		}
	VEC_PUSH(p, ((struct payload_file){xstrdup(path), xmemdupz(data, len), len, mode}));
}

void payload_release(struct payload *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].path);
		if (p->v[i].data)
			explicit_bzero(p->v[i].data, p->v[i].len);
		free(p->v[i].data);
	}
	VEC_RELEASE(p);
}

/* Relative, without "..", and not one of the writer's own names. */
static bool path_allowed(const char *path)
{
	struct str rest = str_of(path);

	if (!*path || *path == '/' || strlen(path) > 4096 || starts_with(path, ".."))
		return false;
	while (rest.p) {
		struct str part = str_cut(&rest, '/');

		if (str_eqc(part, "..") || part.n > 255)
			return false;
	}
	return true;
}

static bool file_same(const char *dir, const struct payload_file *f)
{
	_cleanup_free_ char *path = xasprintf("%s/..data/%s", dir, f->path);
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct stat st;

	if (stat(path, &st) < 0 || (st.st_mode & 07777) != f->mode || (size_t)st.st_size != f->len)
		return false;
	return path_read(path, WRITER_FILE_MAX, &b, &e) == 0 && str_eq(buf_str(&b), str_n(f->data, f->len));
}

/* How many files a state holds, to notice keys that went. */
static size_t count_files(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	for (struct dirent *de = d ? readdir(d) : NULL; de; de = readdir(d)) {
		_cleanup_free_ char *sub = NULL;

		if (streq(de->d_name, ".") || streq(de->d_name, ".."))
			continue;
		if (de->d_type != DT_DIR) {
			n++;
			continue;
		}
		sub = path_join(dir, de->d_name);
		n += count_files(sub);
	}
	if (d)
		closedir(d);
	return n;
}

static bool payload_same(const char *dir, const struct payload *p)
{
	_cleanup_free_ char *data = path_join(dir, "..data");

	if (!path_exists(data) || count_files(data) != p->n)
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (!file_same(dir, &p->v[i]))
			return false;
	return true;
}

static int write_file(const char *base, const struct payload_file *f, int64_t uid, int64_t gid, struct err *e)
{
	_cleanup_free_ char *path = path_join(base, f->path);
	_cleanup_close_ int fd = -1;
	char *slash = strrchr(path, '/');
	int r;

	*slash = '\0';
	r = path_mkdirs(path, 0755, e);
	*slash = '/';
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(e, errno, "create '%s'", path);
	r = fd_write_all(fd, f->data, f->len);
	if (r < 0)
		return err_errno(e, -r, "write '%s'", path);
	if ((uid >= 0 || gid >= 0) && fchown(fd, (uid_t)uid, (gid_t)gid) < 0)
		return err_errno(e, errno, "change the owner of '%s'", path);
	if (fchmod(fd, f->mode) < 0) /* past the umask */
		return err_errno(e, errno, "change the mode of '%s'", path);
	return 0;
}

static char *state_name(void)
{
	int64_t ns = time_wall_ns();
	time_t s = (time_t)(ns / SEC_NS);
	char stamp[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(stamp, sizeof(stamp), "..%Y_%m_%d_%H_%M_%S", &tm);
	return xasprintf("%s.%09lld", stamp, (long long)(ns % SEC_NS));
}

static struct str first_part(const char *path)
{
	return str_n(path, strcspn(path, "/"));
}

static int link_files(const char *dir, const struct payload *p, struct err *e)
{
	for (size_t i = 0; i < p->n; i++) {
		struct str part = first_part(p->v[i].path);
		_cleanup_free_ char *at = xasprintf("%s/%" STR_FMT, dir, STR_ARG(part));
		_cleanup_free_ char *to = xasprintf("..data/%" STR_FMT, STR_ARG(part));

		if (symlink(to, at) < 0 && errno != EEXIST)
			return err_errno(e, errno, "link '%s'", at);
	}
	return 0;
}

static bool wanted(const struct payload *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (str_eqc(first_part(p->v[i].path), name))
			return true;
	return false;
}

/* Links to keys that went, and states of earlier lives. */
static void sweep(const char *dir, const struct payload *p, const char *keep)
{
	DIR *d = opendir(dir);

	for (struct dirent *de = d ? readdir(d) : NULL; de; de = readdir(d)) {
		_cleanup_free_ char *path = path_join(dir, de->d_name);
		_cleanup_err_ struct err e = ERR_INIT;

		if (streq(de->d_name, ".") || streq(de->d_name, "..") || streq(de->d_name, "..data"))
			continue;
		if (starts_with(de->d_name, "..")) {
			if (!streq(de->d_name, keep))
				(void)!path_remove_tree(path, &e);
		} else if (!wanted(p, de->d_name)) {
			unlink(path);
		}
	}
	if (d)
		closedir(d);
}

static int switch_to(const char *dir, const char *state, struct err *e)
{
	_cleanup_free_ char *tmp = path_join(dir, "..data_tmp"), *data = path_join(dir, "..data");

	unlink(tmp);
	if (symlink(state, tmp) < 0)
		return err_errno(e, errno, "link '%s'", tmp);
	if (rename(tmp, data) < 0)
		return err_errno(e, errno, "rename '%s'", tmp);
	return 0;
}

int writer_write(const char *dir, const struct payload *p, int64_t uid, int64_t gid, struct err *e)
{
	_cleanup_free_ char *state = NULL, *base = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (!path_allowed(p->v[i].path))
			return err_set(e, ERR_INVALID, "invalid path '%s'", p->v[i].path);
	if (path_mkdirs(dir, 0755, e) < 0)
		return -e->code;
	if (payload_same(dir, p))
		return 0;
	state = state_name();
	base = path_join(dir, state);
	if (mkdir(base, 0755) < 0 || chmod(base, 0755) < 0)
		return err_errno(e, errno, "create '%s'", base);
	for (size_t i = 0; i < p->n; i++)
		if (write_file(base, &p->v[i], uid, gid, e) < 0)
			return -e->code;
	if (switch_to(dir, state, e) < 0 || link_files(dir, p, e) < 0)
		return -e->code;
	sweep(dir, p, state);
	return 0;
}
