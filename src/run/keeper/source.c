/*
 * Sources of bind mounts: the host's path, and the subPath below it, which pods
 * choose and in which containers can put links while this looks. It is resolved by
 * the kernel in one go, never outside of the volume (RESOLVE_IN_ROOT), and what is
 * mounted is the file that was opened, not its name. Messages are the kubelet's,
 * which say nothing about the host.
 */
#include "run/keeper/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

#define RACES 16 /* somebody else makes the same directories, or takes them away */

/* mkdir -p with the mode of the volume's root, whatever the umask is. */
static int subpath_make(int root, const char *sub, mode_t mode)
{
	size_t n = strlen(sub);

	for (size_t i = 1; i <= n; i++) {
		char self[32], *part;
		int fd;

		if (sub[i] && sub[i] != '/')
			continue;
		part = xmemdupz(sub, i);
		fd = path_open_in_root(root, part, O_PATH, 0);
		if (fd == -ENOENT) {
			fd = path_mkdirs_in_root(root, part, mode);
			snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
			if (fd >= 0)
				(void)!chmod(self, mode);
		}
		free(part);
		if (fd < 0)
			return fd;
		close(fd);
	}
	return path_open_in_root(root, sub, O_PATH, 0);
}

static int subpath_open(const struct child *ch, const struct spec_mount *m, int root)
{
	int fd = -ENOENT;
	struct stat st;

	for (int i = 0; i < RACES && (fd == -EAGAIN || fd == -ENOENT); i++)
		fd = path_open_in_root(root, m->subpath, O_PATH, 0);
	if (fd != -ENOENT)
		return fd;
	if (fstat(root, &st) < 0)
		return -errno;
	for (int i = 0; i < RACES && (fd == -EAGAIN || fd == -ENOENT); i++)
		fd = subpath_make(root, m->subpath, st.st_mode & 07777);
	if (fd < 0)
		child_fail(ch, -EINVAL, KIND_CONFIG, "failed to create subPath directory for volumeMount \"%s\" of container \"%s\"",
			   m->name ? m->name : "", ch->start->c->name);
	return fd;
}

int source_open(const struct child *ch, const struct spec_mount *m)
{
	int fd = open(m->source, O_PATH | O_CLOEXEC), sub;

	if (fd < 0)
		child_fail(ch, errno, KIND_CREATE, "failed to stat \"%s\"", m->source);
	if (!m->subpath || !*m->subpath)
		return fd;
	sub = subpath_open(ch, m, fd);
	if (sub < 0)
		child_fail(ch, -EINVAL, KIND_CONFIG, "failed to prepare subPath for volumeMount \"%s\" of container \"%s\"",
			   m->name ? m->name : "", ch->start->c->name);
	close(fd);
	return sub;
}

/* --- propagation needs a mount of the host that takes part in it --- */

static uint64_t mount_id_of(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) == 0 && stx.stx_mask & STATX_MNT_ID
		       ? stx.stx_mnt_id
		       : 0;
}

/* "36 35 98:0 /root /place options shared:1 master:2 - ..." */
static bool mountinfo_says(const char *line, const char *what, char place[256])
{
	const char *end = strstr(line, " - "), *at;

	sscanf(line, "%*s %*s %*s %*s %255s", place);
	at = strstr(line, what);
	return at && end && at < end;
}

void source_check_shared(const struct child *ch, const struct spec_mount *m, int fd)
{
	uint64_t want = mount_id_of(fd), id;
	bool found = false, shared = false, slave = false;
	char *line = NULL, place[256] = "";
	size_t cap = 0;
	FILE *f;

	if (!want || !(m->flags & (MOUNT_SHARED | MOUNT_SLAVE)))
		return;
	f = fopen("/proc/self/mountinfo", "re");
	while (f && !found && getline(&line, &cap, f) > 0) {
		found = sscanf(line, "%llu", (unsigned long long *)&id) == 1 && id == want;
		shared = found && mountinfo_says(line, " shared:", place);
		slave = found && mountinfo_says(line, " master:", place);
	}
	free(line);
	if (f)
		fclose(f);
	if (found && m->flags & MOUNT_SHARED && !shared)
		child_fail(ch, -EINVAL, KIND_CREATE, "path \"%s\" is mounted on \"%s\" but it is not a shared mount", m->source,
			   place);
	if (found && m->flags & MOUNT_SLAVE && !shared && !slave)
		child_fail(ch, -EINVAL, KIND_CREATE, "path \"%s\" is mounted on \"%s\" but it is not a shared or slave mount",
			   m->source, place);
}
