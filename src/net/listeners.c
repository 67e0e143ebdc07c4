/*
 * /proc/net/tcp, tcp6, udp, udp6, of the network namespace of the calling thread, and
 * /proc/PID/fd for the names.
 */
#include "net/listeners.h"

#include <ctype.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/path.h"

#define STATE_CLOSE 0x07 /* as linux/tcp_states.h: a UDP socket that is not connected */
#define STATE_LISTEN 0x0a

static const struct listeners_file {
	const char *path;
	int family, protocol;
	unsigned state;
} listeners_files[] = {
	{ "/proc/thread-self/net/tcp", AF_INET, IPPROTO_TCP, STATE_LISTEN },
	{ "/proc/thread-self/net/tcp6", AF_INET6, IPPROTO_TCP, STATE_LISTEN },
	{ "/proc/thread-self/net/udp", AF_INET, IPPROTO_UDP, STATE_CLOSE },
	{ "/proc/thread-self/net/udp6", AF_INET6, IPPROTO_UDP, STATE_CLOSE },
};

/* Words of the machine's own order, as memory has them. */
static struct net_addr listeners_addr(int family, const char *hex)
{
	struct net_addr a = { .family = family };

	for (size_t i = 0; i < net_addr_len(&a) / 4 && strlen(hex) >= 8 * (i + 1); i++) {
		char word[9] = "";
		uint32_t w;

		memcpy(word, hex + 8 * i, 8);
		w = (uint32_t)strtoul(word, NULL, 16);
		memcpy(a.b + 4 * i, &w, 4);
	}
	return a;
}

/* Of any address, also of IPv4's form in IPv6, or of one of ours. */
static bool listeners_counts(const struct net_addr *a, const struct net_addr *own, size_t n_own)
{
	struct net_addr any = { .family = a->family }, four = { .family = AF_INET };

	if (net_addr_equal(a, &any))
		return true;
	memcpy(four.b, a->b + 12, 4);
	for (size_t i = 0; i < n_own; i++)
		if (net_addr_equal(a, &own[i]) ||
		    (a->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)a->b) &&
		     net_addr_equal(&four, &own[i])))
			return true;
	return false;
}

/* False: what follows are connections. */
static bool listeners_line(const struct listeners_file *f, const char *line, struct listener *v, size_t n,
			   const struct net_addr *own, size_t n_own)
{
	char local[33] = "";
	unsigned port, state;
	unsigned long long inode;
	struct net_addr a;

	if (sscanf(line, "%*s %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %llu", local, &port, &state, &inode) != 4)
		return true; /* the heading */
	if (state != f->state)
		return f->state != STATE_LISTEN;
	a = listeners_addr(f->family, local);
	for (size_t i = 0; i < n; i++)
		if (v[i].protocol == f->protocol && v[i].port == port && !v[i].held && listeners_counts(&a, own, n_own)) {
			v[i].held = true;
			v[i].inode = inode;
		}
	return true;
}

static void listeners_read(const struct listeners_file *f, struct listener *v, size_t n, const struct net_addr *own,
			   size_t n_own)
{
	FILE *in = fopen(f->path, "re");
	char line[512];

	while (in && fgets(line, sizeof(line), in) && listeners_line(f, line, v, n, own, n_own))
		;
	if (in)
		fclose(in);
}

/* --- names --- */

static void listeners_name(const char *pid, struct listener *l)
{
	_cleanup_free_ char *path = xasprintf("/proc/%s/comm", pid);
	_cleanup_buf_ struct buf name = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct str s;

	if (path_read(path, 64, &name, &e) < 0)
		return;
	s = str_trim(buf_str(&name));
	snprintf(l->name, sizeof(l->name), "%" STR_FMT, STR_ARG(s));
	for (char *c = l->name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-:", *c))
			*c = '_';
}

static void listeners_process(const char *pid, struct listener *v, size_t n)
{
	_cleanup_free_ char *path = xasprintf("/proc/%s/fd", pid);
	DIR *d = opendir(path);
	struct dirent *fd;

	while (d && (fd = readdir(d))) {
		char link[64] = "";
		unsigned long long inode;

		if (readlinkat(dirfd(d), fd->d_name, link, sizeof(link) - 1) < 0 || sscanf(link, "socket:[%llu]", &inode) != 1)
			continue;
		for (size_t i = 0; i < n; i++)
			if (v[i].held && v[i].inode == inode && !*v[i].name)
				listeners_name(pid, &v[i]);
	}
	if (d)
		closedir(d);
}

static bool listeners_nameless(const struct listener *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].held && v[i].inode && !*v[i].name)
			return true;
	return false;
}

void listeners_look(struct listener *v, size_t n, const struct net_addr *own, size_t n_own)
{
	struct dirent *p;
	DIR *proc;

	for (size_t i = 0; i < n; i++) {
		v[i].held = false;
		v[i].inode = 0;
		v[i].name[0] = '\0';
	}
	for (size_t i = 0; i < ARRAY_SIZE(listeners_files); i++)
		listeners_read(&listeners_files[i], v, n, own, n_own);
	proc = listeners_nameless(v, n) ? opendir("/proc") : NULL;
	while (proc && listeners_nameless(v, n) && (p = readdir(proc)))
		if (isdigit((unsigned char)p->d_name[0]))
			listeners_process(p->d_name, v, n);
	if (proc)
		closedir(proc);
}
