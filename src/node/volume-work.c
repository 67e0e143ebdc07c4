/*
 * What the children of volume-child.h do: one function for each kind of work. They
 * run by themselves, as root at first, may block, and say what is wrong on standard
 * error.
 *
 *	volume nfs SERVER PATH DIR FLAGS OPTIONS    mount by the kernel's client
 *	volume git REPOSITORY REVISION DIRECTORY DIR GID    a clone, made by git as nobody
 *	volume host PATH TYPE BYTES                 see to a hostPath (volume-work-host.c)
 *	volume local PATH GID always|root MARK      see to a local volume, once give it to a group
 *	volume block PATH NODE                      the same of a block device: NODE becomes another name of it
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "node/volume-child.h"
#include "node/volume-work.h"

#define WORK_NOBODY 65534
#define WORK_FILE_MAX (4ll << 30) /* of a cloned file */

int work_fail(const char *what, const char *of, int error)
{
	fprintf(stderr, "%s %s: %s\n", what, of, strerror(error));
	return 1;
}

/* --- nfs --- */

static int work_address(const char *server, char *out, size_t size)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int r = getaddrinfo(server, NULL, &hints, &list);

	if (r == 0)
		r = getnameinfo(list->ai_addr, list->ai_addrlen, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
	freeaddrinfo(list);
	if (r == 0)
		return 0;
	fprintf(stderr, "can't find the address of the NFS server %s: %s\n", server, gai_strerror(r));
	return -1;
}

static int work_nfs_mount(const char *source, const char *dir, unsigned long flags, const char *address,
			  const char *version, const char *options)
{
	char text[2048];
	int n = snprintf(text, sizeof(text), "addr=%s%s%s%s%s", address, *version ? ",vers=" : "", version,
			 *options ? "," : "", options);

	if (n < 0 || (size_t)n >= sizeof(text))
		return E2BIG;
	return mount(source, dir, "nfs", flags, text) < 0 ? errno : 0;
}

/* Newest version first, as mount.nfs does it, unless the options name one. Version 3 without its lock daemon: who needs
 * locks there mounts with options of his own. */
static int work_nfs(char **arg)
{
	static const char *const versions[] = {"4.2", "4.1", "4.0", "3"};
	const char *server = arg[0], *path = arg[1], *dir = arg[2], *options = arg[4];
	unsigned long flags = MS_NOSUID | MS_NODEV | (strchr(arg[3], 'r') ? MS_RDONLY : 0);
	bool given = strstr(options, "vers=") != NULL;
	char address[64], source[2048], three[1024];
	int error = EPROTONOSUPPORT;

	if (work_address(server, address, sizeof(address)) < 0)
		return 1;
	if ((size_t)snprintf(source, sizeof(source), strchr(server, ':') ? "[%s]:%s" : "%s:%s", server, path) >= sizeof(source))
		return work_fail("mount", path, ENAMETOOLONG);
	snprintf(three, sizeof(three), "nolock%s%s", *options ? "," : "", options);
	if (given)
		error = work_nfs_mount(source, dir, flags, address, "", options);
	for (size_t i = 0; !given && i < 4; i++) {
		error = work_nfs_mount(source, dir, flags, address, versions[i], i == 3 ? three : options);
		if (error != EPROTONOSUPPORT && error != EINVAL && error != ECONNREFUSED && error != EOPNOTSUPP)
			break;
	}
	return error ? work_fail("mount", source, error) : 0;
}

/* --- git --- */

/* Drops everything that a clone does not need. Hooks, submodules, local repositories, helpers and questions are off. */
static void work_git_exec(const char *dir, const char *const *args)
{
	static char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "GIT_TERMINAL_PROMPT=0",
				    "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
				    "GIT_ALLOW_PROTOCOL=https:http:git", "GIT_ASKPASS=/bin/false", "LC_ALL=C", NULL};
	struct rlimit files = {WORK_FILE_MAX, WORK_FILE_MAX};
	const char *argv[24] = {"git", "-c", "core.hooksPath=/dev/null", "-c", "submodule.recurse=false",
				"-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit"};
	size_t n = 9;

	for (size_t i = 0; args[i] && n < 23; i++)
		argv[n++] = args[i];
	umask(022);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_FSIZE, &files) < 0 || setgroups(0, NULL) < 0 || setgid(WORK_NOBODY) < 0 ||
	    setuid(WORK_NOBODY) < 0 || chdir(dir) < 0)
		_exit(work_fail("prepare git in", dir, errno));
	execvpe("git", (char *const *)argv, env);
	_exit(errno == ENOENT ? (fprintf(stderr, "gitRepo volumes need git on the node: it is not installed\n"), 1)
			      : work_fail("run", "git", errno));
}

static int work_git_run(const char *dir, const char *const *args)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		work_git_exec(dir, args);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return work_fail("run", "git", errno);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Where the clone went: the directory that was asked for, or the only one there is. */
static int work_git_where(const char *dir, const char *sub, char **ret)
{
	DIR *d;
	struct dirent *ent;

	*ret = NULL;
	if (*sub) {
		*ret = path_join(dir, sub);
		return 0;
	}
	d = opendir(dir);
	while (d && (ent = readdir(d)) != NULL)
		if (ent->d_name[0] != '.' && !*ret)
			*ret = path_join(dir, ent->d_name);
	if (d)
		closedir(d);
	return *ret ? 0 : work_fail("find the clone in", dir, ENOENT);
}

static int work_git(char **arg)
{
	const char *repository = arg[0], *revision = arg[1], *sub = arg[2], *dir = arg[3];
	const char *clone[] = {"clone", "--no-recurse-submodules", "--", repository, *sub ? sub : NULL, NULL};
	const char *checkout[] = {"checkout", "--quiet", revision, "--", NULL}, *reset[] = {"reset", "--hard", "--quiet", NULL};
	char *where = NULL;
	const char *group = arg[4];
	int r;

	/* what an attempt that was cut off has left is in the way */
	if (rmdir(dir) < 0 && errno == ENOTEMPTY) {
		struct err e = ERR_INIT;

		if (path_remove_tree(dir, &e) < 0)
			return work_fail("empty", dir, e.code);
	}
	if (mkdir(dir, 0755) < 0 || chown(dir, WORK_NOBODY, WORK_NOBODY) < 0)
		return work_fail("make", dir, errno);
	r = work_git_run(dir, clone);
	if (r == 0 && *revision) {
		if (work_git_where(dir, sub, &where) < 0)
			return 1;
		r = work_git_run(where, checkout);
		if (r == 0)
			r = work_git_run(where, reset);
		free(where);
	}
	if (r == 0)
		r = work_tree(AT_FDCWD, dir, 0, 0, false);
	if (r == 0 && chmod(dir, 0777) < 0)
		r = work_fail("change the mode of", dir, errno);
	if (r == 0 && *group != '-')
		r = work_tree(AT_FDCWD, dir, (uid_t)-1, (gid_t)strtoul(group, NULL, 10), true);
	return r;
}

/* --- ownership --- */

/* As the kubelet's SetVolumeOwnership: owner and group, and (share) group's rights. fd is what was looked at: a container
 * that uses the volume meanwhile can put another thing, or a link, under the name. */
static int work_one(int fd, const char *name, uid_t uid, gid_t gid, bool share, const struct stat *st)
{
	mode_t more = S_ISDIR(st->st_mode) ? 02770 : 0660;
	char self[64];

	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		return work_fail("give away", name, errno);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (share && !S_ISLNK(st->st_mode) && chmod(self, (st->st_mode & 07777) | more) < 0)
		return work_fail("change the mode of", name, errno);
	return 0;
}

int work_tree(int dirfd, const char *name, uid_t uid, gid_t gid, bool share)
{
	int path = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd = -1, r;
	struct dirent *ent;
	struct stat st;
	DIR *d;

	if (path < 0)
		return errno == ENOENT ? 0 : work_fail("look at", name, errno);
	if (fstat(path, &st) < 0)
		r = work_fail("look at", name, errno);
	else
		r = work_one(path, name, uid, gid, share, &st);
	if (r == 0 && S_ISDIR(st.st_mode)) {
		fd = openat(path, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			r = work_fail("open", name, errno);
	}
	close(path);
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d && r == 0 && (ent = readdir(d)) != NULL)
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			r = work_tree(fd, ent->d_name, uid, gid, share);
	if (d)
		closedir(d);
	return r;
}

static const struct work {
	const char *name;
	int args;
	int (*run)(char **arg);
} works[] = {{"nfs", 5, work_nfs}, {"git", 5, work_git}, {"host", 3, work_host}, {"local", 4, work_local}, {"block", 2, work_block}};

int volume_child_main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(works); i++)
		if (!strcmp(argv[1], works[i].name) && argc - 2 == works[i].args)
			return works[i].run(argv + 2);
	fprintf(stderr, "usage: see src/node/volume-work.c\n");
	return 2;
}
