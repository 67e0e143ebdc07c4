/*
 * What a name stands for in an image as far as it is unpacked: the layer that is
 * being made and those below it, looked at as overlayfs will show them. A layer's
 * tar may name a hard link's target, a directory or a link that only a lower
 * layer has, and take something away that is in none.
 *
 * Everything happens below the layers' own directories: components are opened
 * one by one and never through links; those of a directory's path are followed
 * by layer_resolve, within the image.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include "base/path.h"
#include "image/layer.h"

#define RESOLVE_LINKS_MAX 40
#define XATTR_LIST_MAX 4096
#define XATTR_VALUE_MAX (64 << 10)

bool layer_stat_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

bool layer_xattr_wanted(const char *name)
{
	return starts_with(name, "user.") || streq(name, "security.capability");
}

void layer_xattrs_copy(int from, int to)
{
	_cleanup_free_ char *value = NULL;
	char names[XATTR_LIST_MAX];
	ssize_t n = flistxattr(from, names, sizeof(names));

	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t len;

		if (!layer_xattr_wanted(p))
			continue;
		value = value ? value : xmalloc(XATTR_VALUE_MAX);
		len = fgetxattr(from, p, value, XATTR_VALUE_MAX);
		if (len >= 0)
			(void)!fsetxattr(to, p, value, (size_t)len, 0);
	}
}

/* --- one layer --- */

enum { LOOK_FOUND, LOOK_THROUGH /* the layers below decide */, LOOK_HIDDEN /* it is in none of them either */ };

static bool look_is_opaque(int dir)
{
	char value[4];

	return fgetxattr(dir, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

/* dir: taken over. LOOK_FOUND fills *ret. */
static int look_in(int dir, const char *path, struct layer_place *ret)
{
	struct str rest = str_of(path);
	bool opaque = false;

	while (dir >= 0) {
		struct str part = str_cut(&rest, '/');
		_cleanup_free_ char *name = xmemdupz(part.p, part.n);
		int next;

		if (fstatat(dir, name, &ret->st, AT_SYMLINK_NOFOLLOW) < 0) {
			bool missing = errno == ENOENT;

			close(dir);
			return !missing ? -errno : opaque ? LOOK_HIDDEN : LOOK_THROUGH;
		}
		if (layer_stat_is_whiteout(&ret->st) || (rest.p && !S_ISDIR(ret->st.st_mode))) {
			close(dir);
			return LOOK_HIDDEN;
		}
		if (!rest.p) {
			ret->parent = dir;
			ret->base = part.p;
			return LOOK_FOUND;
		}
		next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(dir);
		dir = next;
		opaque |= dir >= 0 && look_is_opaque(dir);
	}
	return -errno;
}

/* --- all of them --- */

int layer_find(const struct layer_view *v, const char *path, struct layer_place *ret)
{
	int r = LOOK_THROUGH;

	ret->parent = -1;
	for (size_t i = v->below->n + (v->own >= 0); i > 0 && r == LOOK_THROUGH; i--) {
		int fd = i == v->below->n + 1 ? v->own : v->below->fds[i - 1];

		fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : look_in(fd, path, ret);
	}
	return r < 0 ? r : r == LOOK_FOUND ? 0 : -ENOENT;
}

void layer_place_release(struct layer_place *p)
{
	p->parent = close_fd(p->parent);
}

static void resolve_up(struct buf *out)
{
	char *slash = strrchr(out->s, '/');

	buf_truncate(out, slash ? (size_t)(slash - out->s) : 0);
}

/* The link at out: its target and what was still to come are the new rest. */
static int resolve_link(const struct layer_place *p, struct str rest, struct buf *out, struct buf *todo)
{
	_cleanup_buf_ struct buf next = BUF_INIT;
	char target[LAYER_NAME_MAX];
	ssize_t n = readlinkat(p->parent, p->base, target, sizeof(target));

	if (n < 0)
		return -errno;
	if ((size_t)n + rest.n >= LAYER_NAME_MAX)
		return -ENAMETOOLONG;
	buf_add(&next, target, (size_t)n);
	if (rest.p)
		buf_addf(&next, "/%" STR_FMT, STR_ARG(rest));
	if (n && target[0] == '/')
		buf_clear(out);
	else
		resolve_up(out);
	buf_clear(todo);
	buf_add(todo, next.s, next.len);
	return 0;
}

int layer_resolve(const struct layer_view *v, const char *path, struct buf *out)
{
	_cleanup_buf_ struct buf todo = BUF_INIT;
	int links = 0, r;

	buf_clear(out);
	buf_adds(&todo, path);
	for (struct str rest = buf_str(&todo); rest.p;) {
		_cleanup_(layer_place_release) struct layer_place p = { .parent = -1 };
		struct str part = str_cut(&rest, '/');

		if (!part.n || str_eqc(part, "."))
			continue;
		if (str_eqc(part, "..")) {
			resolve_up(out);
			continue;
		}
		if (out->len + part.n >= LAYER_NAME_MAX)
			return -ENAMETOOLONG;
		if (out->len)
			buf_addch(out, '/');
		buf_addstr(out, part);
		r = layer_find(v, out->s, &p);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == -ENOENT || S_ISDIR(p.st.st_mode))
			continue;
		if (!S_ISLNK(p.st.st_mode))
			return -ENOTDIR;
		if (++links > RESOLVE_LINKS_MAX)
			return -ELOOP;
		r = resolve_link(&p, rest, out, &todo);
		if (r < 0)
			return r;
		rest = buf_str(&todo);
	}
	return 0;
}
