/*
 * Users and groups by the files of the container, as containerd looks them up:
 * a number needs no entry (its group is then 0), a name does; the user's groups
 * in /etc/group join the supplementary ones, as does the primary group.
 */
#include "run/keeper/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define USER_FILE_MAX (1 << 20)
#define GROUPS_LIMIT 1024

struct passwd_entry {
	struct str name, home;
	int64_t uid, gid;
};

/* The whole file, NULL when there is none. A fifo or device of that name is not waited for. */
static char *user_file(const char *path, size_t *ret_n)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *p;
	size_t n = 0;
	ssize_t r;

	if (fd < 0)
		return NULL;
	p = xmalloc(USER_FILE_MAX); /* pages that are not touched are not there */
	while (n < USER_FILE_MAX && (r = read(fd, p + n, USER_FILE_MAX - n)) > 0)
		n += r;
	*ret_n = n;
	return p;
}

static bool passwd_parse(struct str line, struct passwd_entry *e)
{
	e->name = str_cut(&line, ':');
	str_cut(&line, ':');
	if (!str_to_i64(str_cut(&line, ':'), &e->uid) || !str_to_i64(str_cut(&line, ':'), &e->gid))
		return false;
	str_cut(&line, ':');
	e->home = str_cut(&line, ':');
	return true;
}

/* By name, or by uid when name is NULL. */
static bool passwd_find(struct str file, const struct str *name, int64_t uid, struct passwd_entry *e)
{
	while (file.p) {
		struct str line = str_cut(&file, '\n');

		if (passwd_parse(line, e) && (name ? str_eq(e->name, *name) : e->uid == uid))
			return true;
	}
	return false;
}

static bool group_find(struct str file, struct str name, int64_t *ret_gid)
{
	while (file.p) {
		struct str line = str_cut(&file, '\n'), got = str_cut(&line, ':');

		str_cut(&line, ':');
		if (str_eq(got, name) && str_to_i64(str_cut(&line, ':'), ret_gid))
			return true;
	}
	return false;
}

static void group_add(struct child *ch, gid_t gid)
{
	for (size_t i = 0; i < ch->groups.n; i++)
		if (ch->groups.v[i] == gid)
			return;
	if (ch->groups.n < GROUPS_LIMIT)
		VEC_PUSH(&ch->groups, gid);
}

static void group_add_of(struct child *ch, struct str file, struct str user)
{
	while (file.p) {
		struct str line = str_cut(&file, '\n');
		int64_t gid;

		str_cut(&line, ':');
		str_cut(&line, ':');
		if (!str_to_i64(str_cut(&line, ':'), &gid))
			continue;
		while (line.p)
			if (str_eq(str_trim(str_cut(&line, ',')), user))
				group_add(ch, gid);
	}
}

static bool user_id_ok(int64_t id)
{
	return id >= 0 && id <= 0xfffffffeLL;
}

void user_resolve(struct child *ch)
{
	const struct spec *s = &ch->spec;
	struct str want = str_of(s->user ? s->user : ""), user = str_cut(&want, ':'), group = want;
	struct passwd_entry e = { .name = STR_NONE };
	size_t np = 0, ng = 0;
	char *p = user_file("/etc/passwd", &np), *g = user_file("/etc/group", &ng);
	struct str passwd = str_n(p, np), groups = str_n(g, ng);
	int64_t uid = s->uid, gid;
	bool found;

	if (uid < 0 && user.n && !str_to_i64(user, &uid)) {
		if (!passwd_find(passwd, &user, 0, &e))
			child_fail(ch, -ENOENT, KIND_CREATE,
				   "unable to find user %" STR_FMT ": no matching entries in passwd file",
				   STR_ARG(user));
		uid = e.uid;
		found = true;
	} else {
		uid = uid < 0 ? 0 : uid;
		found = passwd_find(passwd, NULL, uid, &e);
	}
	gid = found ? e.gid : 0;
	if (s->gid >= 0)
		gid = s->gid;
	else if (s->uid < 0 && group.n && !str_to_i64(group, &gid) && !group_find(groups, group, &gid))
		child_fail(ch, -ENOENT, KIND_CREATE,
			   "unable to find group %" STR_FMT ": no matching entries in group file",
			   STR_ARG(group));
	if (!user_id_ok(uid) || !user_id_ok(gid))
		child_fail(ch, -EINVAL, KIND_CREATE, "user %lld or group %lld is out of range",
			   (long long)uid, (long long)gid);
	ch->uid = uid;
	ch->gid = gid;
	ch->home = found && e.home.n ? str_dup(e.home) : "/";
	group_add(ch, gid);
	if (found && !(s->flags & SPEC_STRICT_GROUPS))
		group_add_of(ch, groups, e.name);
	for (size_t i = 0; i < s->groups.n; i++)
		group_add(ch, s->groups.v[i]);
	free(p);
	free(g);
}

/* Capabilities as runc sets them: bounding, permitted and effective are the
 * container's, inheritable and ambient are empty. For others than root the
 * kernel empties permitted and effective as the user changes. */
void user_become(const struct child *ch)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { { 0 } };
	uint64_t caps = ch->spec.caps;

	for (int c = 0; c < 64 && prctl(PR_CAPBSET_READ, c) >= 0; c++)
		if (!(caps >> c & 1) && prctl(PR_CAPBSET_DROP, c) < 0)
			child_fail(ch, errno, KIND_RUN, "drop capability %d", c);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (setgroups(ch->groups.n, ch->groups.v) < 0 || setresgid(ch->gid, ch->gid, ch->gid) < 0 ||
	    setresuid(ch->uid, ch->uid, ch->uid) < 0)
		child_fail(ch, errno, KIND_RUN, "become user %u, group %u", ch->uid, ch->gid);
	if (syscall(SYS_capget, &h, d) < 0)
		child_fail(ch, errno, KIND_RUN, "read capabilities");
	for (int i = 0; i < 2; i++) {
		d[i].permitted &= caps >> (32 * i);
		d[i].effective = d[i].permitted;
		d[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &h, d) < 0)
		child_fail(ch, errno, KIND_RUN, "set capabilities");
}
