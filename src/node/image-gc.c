/*
 * The garbage collector of images has its turn when the disk got fuller (an image
 * was pulled) and with the node's status, which is sent every five minutes: the
 * kubelet's ImageGCPeriod. No timer is its own; a look at the disk is one statvfs.
 */
#include "node/pull.h"

#define GC_AFTER_PULL_MS 10000 /* not more often */

static void gc_done(void *arg, const struct image_gc_result *r)
{
	struct node_agent *n = arg;

	if (n->ending)
		return;
	if (r->capacity && !r->wanted)
		return;
	if (r->freed >= r->wanted) {
		log_info("collected images", LI("freed", r->freed), LI("removed", r->removed));
		return;
	}
	log_warn("cannot free as much of the disk as wanted", LI("wanted", r->wanted), LI("freed", r->freed));
	if (n->node)
		client_event(n->client, n->node, NULL, NODE_COMPONENT, n->name, "Warning", "FreeDiskSpaceFailed",
			     "Failed to garbage collect required amount of images. Attempted to free %lld bytes, but "
			     "only found %lld bytes eligible to free.",
			     (long long)r->wanted, (long long)r->freed);
}

void image_gc_due(struct node_agent *n, bool pulled)
{
	int64_t now = time_mono_ms();

	if (n->ending || (pulled && n->gc_ms && now - n->gc_ms < GC_AFTER_PULL_MS))
		return;
	n->gc_ms = now;
	image_gc(n->images, &n->gc_policy, gc_done, n);
}
