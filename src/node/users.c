/*
 * Users of their own for pods with hostUsers: false: each gets a range of ids of
 * the host that no other pod has, and keeps it as long as it is on this node. The
 * number is a file in the pod's directory, so it outlives the daemon and goes with
 * the pod. Mirrors pkg/kubelet/userns.
 */
#include <dirent.h>

#include "base/hash.h"
#include "node/isolate.h"

#define USERS_FILE "users"
#define USERS_FIRST 16 /* ranges: below are the host's own users and its subordinate ids */
#define USERS_END 32768 /* ids from 2^31 on are not safe everywhere */

static bool users_read(const char *path, uint64_t *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	return path_read(path, 32, &b, &e) == 0 && str_to_u64(str_trim(buf_str(&b)), ret) && *ret % RUN_IDS == 0 &&
	       *ret / RUN_IDS >= USERS_FIRST && *ret / RUN_IDS < USERS_END;
}

/* taken: one bit for each range. */
static void users_scan(struct node_agent *n, uint8_t *taken)
{
	_cleanup_free_ char *dir = path_join(n->state_dir, "files");
	DIR *d = opendir(dir);

	for (struct dirent *de = d ? readdir(d) : NULL; de; de = readdir(d)) {
		_cleanup_free_ char *path = xasprintf("%s/%s/" USERS_FILE, dir, de->d_name);
		uint64_t base;

		if (de->d_name[0] != '.' && users_read(path, &base))
			taken[base / RUN_IDS / 8] |= 1 << base / RUN_IDS % 8;
	}
	if (d)
		closedir(d);
}

/* Begins where the uid says, so that the ids of a pod that is gone are not given out again at once. */
static uint64_t users_find(struct node_agent *n, const char *uid)
{
	_cleanup_free_ uint8_t *taken = xcalloc(1, USERS_END / 8);
	uint64_t slots = USERS_END - USERS_FIRST, at = hash_fnv64a(str_of(uid)) % slots;

	users_scan(n, taken);
	for (uint64_t i = 0; i < slots; i++, at = (at + 1) % slots) {
		uint64_t slot = at + USERS_FIRST;

		if (!(taken[slot / 8] & 1 << slot % 8))
			return slot * RUN_IDS;
	}
	return 0;
}

int users_take(struct pod *p, uint32_t *ret, struct err *e)
{
	_cleanup_free_ char *dir = pod_dir(p), *path = path_join(dir, USERS_FILE), *text = NULL;
	uint64_t base;

	*ret = 0;
	if (node_bool(node_get(pod_spec(p), F_hostUsers), true))
		return 0;
	if (!run_machine(p->agent->runtime)->user_ns)
		return err_set(e, ERR_INVALID,
			       "can't set `spec.hostUsers: false`, runtime does not support user namespaces: this machine has "
			       "none (user.max_user_namespaces)");
	if (!users_read(path, &base)) {
		base = users_find(p->agent, p->uid);
		if (!base)
			return err_set(e, ERR_INTERNAL,
				       "create user namespace: could not find an empty slot to allocate a user namespace");
		text = xasprintf("%llu\n", (unsigned long long)base);
		if (path_mkdirs(dir, 0755, e) < 0 || path_write(path, str_of(text), 0600, e) < 0)
			return -e->code;
	}
	*ret = (uint32_t)base;
	return 0;
}
