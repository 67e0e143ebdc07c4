/*
 * The cluster, runtime and images that u-node runs the agent against.
 */
#ifndef T_UNIT_NODE_FAKES_H
#define T_UNIT_NODE_FAKES_H

#include <stdio.h>

#include "base/time.h"
#include "node/node.h"

struct fake {
	struct loop *loop;
	struct node_agent *agent;
	const struct resource *pods;
	struct buf events, spec,
		stops; /* lines: what was recorded; the newest container's spec; who was stopped */
	char cgroup[64], next_id[65];
	unsigned started, pod_patches;
	const char *start_error, *start_kind; /* container_start fails with this */
	void (*images_changed)(void *arg);
	const char *pod_ip; /* NULL: 10.42.0.5 */
	const char *credential_source, *credential_hash; /* what image_keyring_each tells; NULL: nothing */
	bool stubborn; /* containers do not end when told */
	void (*found)(void *arg, struct sandbox *s);
};
extern struct fake fake;

struct obj *fake_get(const struct resource *r, const char *ns, const char *name);
struct obj *fake_create(const struct resource *r, const char *json);
void fake_change(struct obj *o, const char *merge_patch);
void fake_remove(struct obj *o);
void fake_exit(const char *uid, const char *name, int code);
void fake_lose(const char *uid);
size_t fake_sandboxes(void);
void fake_settle(int ms);
void fake_end(void);

#endif
