/*
 * /var/log/containers: one link for each container's log, whose name says all
 * that a log shipper wants to know of it. See logs.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "node/container.h"
#include "node/logs.h"

static char *links_dir(const struct node_agent *n)
{
	return xasprintf("%.*scontainers", (int)(path_base(n->pod_logs_dir) - n->pod_logs_dir), n->pod_logs_dir);
}

void log_link(struct ctr *c)
{
	struct pod *p = c->pod;
	_cleanup_free_ char *dir = links_dir(p->agent), *log = ctr_log_file(c, c->attempt);
	_cleanup_free_ char *link = xasprintf("%s/%s_%s_%s-%s.log", dir, p->name, p->ns, c->name, c->id);
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_mkdirs(dir, 0755, &e) < 0 || (symlink(log, link) < 0 && errno != EEXIST))
		log_warn("cannot link a log, ignoring", LS("link", link), LS("error", strerror(errno)));
}

/* Ours, and its log is gone. */
static bool link_is_dead(const struct node_agent *n, int dirfd, const char *name)
{
	char to[PATH_MAX];
	ssize_t len = readlinkat(dirfd, name, to, sizeof(to) - 1);
	size_t ours = strlen(n->pod_logs_dir);

	if (len <= 0)
		return false;
	to[len] = '\0';
	return strncmp(to, n->pod_logs_dir, ours) == 0 && to[ours] == '/' && access(to, F_OK) < 0 && errno == ENOENT;
}

void log_links_sweep(struct node_agent *n)
{
	_cleanup_free_ char *path = links_dir(n);
	DIR *dir = opendir(path);
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (link_is_dead(n, dirfd(dir), d->d_name))
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
}
