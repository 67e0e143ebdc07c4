/*
 * Garbage collection by the disk's thresholds, as the kubelet's image manager
 * does it (pkg/kubelet/images/image_gc_manager.go): when the disk is fuller than
 * the high mark, what nobody uses goes, the longest unused first, until it is
 * down to the low mark; and what was not used for longer than the maximum age goes
 * anyway.
 *
 * Never touched: what is pinned (imported from a file), what somebody holds, what
 * came less than the minimum age ago. Compressed layers that are kept for export
 * go before any image does.
 *
 * Sizes in the index say little of what an image's removal brings (layers are
 * shared, and larger unpacked), so the disk is looked at again after each removal,
 * which a job does: a turn of the collector costs the loop one statvfs, and one for
 * each image that goes. When an image was used last, the time of used/<id> says, which
 * its last holder leaves.
 */
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/path.h"
#include "base/time.h"
#include "image/internal.h"
#include "image/manifest.h"

struct gc {
	struct image_store *store;
	struct image_gc_policy policy;
	struct image_gc_result result;
	int64_t first_free; /* bytes */
	VEC(char *) left; /* ids of candidates, the next one last */
	bool listed, blobs_dropped, wanted;
	struct loop_task task;
	void (*done)(void *arg, const struct image_gc_result *r);
	void *arg;
};

struct gc_candidate {
	struct image *image;
	int64_t used_s;
};

struct gc_candidates {
	struct gc *gc;
	int64_t now_s;
	struct map *held; /* ids */
	VEC(struct gc_candidate) list;
};

static int64_t gc_last_used(struct image_store *s, const struct image *i)
{
	_cleanup_free_ char *path = image_path(s, "used", digest_hex(i->id));
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mtim.tv_sec : 0;
}

static void gc_consider(void *arg, struct image *i)
{
	struct gc_candidates *all = arg;
	struct image_store *s = all->gc->store;
	struct gc_candidate c = { .used_s = gc_last_used(s, i) };

	if (i->pinned || all->now_s - i->added_s < all->gc->policy.min_age_s || map_getc(all->held, i->id))
		return;
	c.image = image_ref_image(i);
	VEC_PUSH(&all->list, c);
}

/* The last one goes first: unused for the longest time, here for the longest time. */
static int gc_candidate_cmp(const void *a, const void *b)
{
	const struct gc_candidate *x = a, *y = b;

	if (x->used_s != y->used_s)
		return x->used_s < y->used_s ? 1 : -1;
	if (x->image->added_s != y->image->added_s)
		return x->image->added_s < y->image->added_s ? 1 : -1;
	return strcmp(x->image->id, y->image->id);
}

static bool gc_too_old(const struct gc *g, const struct gc_candidate *c, int64_t now_s)
{
	int64_t since = c->used_s > c->image->added_s ? c->used_s : c->image->added_s;

	return g->policy.max_age_s > 0 && now_s - since > g->policy.max_age_s;
}

/* Somebody may have come to use it since it was listed. */
static void gc_remove(struct gc *g, const char *id, const char *why)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (image_held(g->store, id, NULL))
		return;
	if (image_remove(g->store, id, NULL, &e) < 0) {
		log_warn("an unused image can't be removed, ignoring", LS("image", id), LE(&e));
		return;
	}
	log_info("removed an unused image", LS("image", id), LS("why", why));
	g->result.removed++;
}

/* What is too old goes at once; the others, when there is need, one by one. */
static void gc_list(struct gc *g)
{
	struct gc_candidates all = { .gc = g, .now_s = time_wall_s(), .held = image_held_ids(g->store) };

	g->listed = true;
	image_each(g->store, gc_consider, &all);
	map_free(all.held);
	if (all.list.n)
		qsort(all.list.v, all.list.n, sizeof(*all.list.v), gc_candidate_cmp);
	for (size_t k = 0; k < all.list.n; k++) {
		struct gc_candidate *c = &all.list.v[k];

		if (gc_too_old(g, c, all.now_s))
			gc_remove(g, c->image->id, "age");
		else
			VEC_PUSH(&g->left, xstrdup(c->image->id));
		image_unref(c->image);
	}
	VEC_RELEASE(&all.list);
}

static bool gc_look(struct gc *g, int64_t *capacity, int64_t *available)
{
	struct statvfs st;

	if (statvfs(g->store->dir, &st) < 0)
		return false;
	*capacity = (int64_t)st.f_blocks * (int64_t)st.f_frsize;
	*available = (int64_t)st.f_bavail * (int64_t)st.f_frsize;
	return *capacity > 0;
}

static void gc_end(struct gc *g)
{
	struct image_store *s = g->store;

	for (size_t k = 0; k < g->left.n; k++)
		free(g->left.v[k]);
	VEC_RELEASE(&g->left);
	s->gc = NULL;
	if (!s->closing)
		g->done(g->arg, &g->result);
	free(g);
}

static void gc_nothing(void *arg UNUSED)
{
}

static void gc_step(void *arg)
{
	struct gc *g = arg;
	int64_t capacity, available, goal;
	_cleanup_err_ struct err e = ERR_INIT;

	if (g->store->closing || !gc_look(g, &capacity, &available)) {
		gc_end(g);
		return;
	}
	if (!g->listed && g->policy.max_age_s > 0)
		gc_list(g);
	goal = capacity / 100 * (100 - g->policy.low_percent);
	if (!g->wanted) {
		g->first_free = available;
		g->result.capacity = capacity;
		g->result.available = available;
		if (100 - available * 100 / capacity < g->policy.high_percent) {
			gc_end(g);
			return;
		}
		g->wanted = true;
		g->result.wanted = goal - available;
	}
	g->result.freed = available > g->first_free ? available - g->first_free : 0; /* others write, too */
	if (available >= goal) {
		gc_end(g);
		return;
	}
	if (!g->listed)
		gc_list(g);
	if (!g->blobs_dropped) {
		g->blobs_dropped = true;
		fetch_sweep(g->store, true);
		if (image_drop_blobs(g->store, NULL, &e) < 0)
			log_warn("compressed layers can't be removed, ignoring", LE(&e));
	} else if (g->left.n) {
		_cleanup_free_ char *id = g->left.v[--g->left.n];

		gc_remove(g, id, "disk");
	} else {
		gc_end(g);
		return;
	}
	/* Behind the removal itself, which that queue does. */
	if (job_submit(g->store->jobs, gc_nothing, gc_step, g) < 0)
		gc_end(g);
}

static void gc_task(struct loop_task *t)
{
	gc_step(CONTAINER_OF(t, struct gc, task));
}

void image_gc(struct image_store *s, const struct image_gc_policy *policy,
	      void (*done)(void *arg, const struct image_gc_result *r), void *arg)
{
	struct gc *g;

	if (s->gc)
		return;
	g = xcalloc(1, sizeof(*g));
	g->store = s;
	g->policy = *policy;
	g->done = done;
	g->arg = arg;
	g->task.run = gc_task;
	s->gc = g;
	loop_defer(s->loop, &g->task);
}

void image_gc_close(struct image_store *s)
{
	struct gc *g = s->gc;

	if (!g || !g->task.queued)
		return;
	loop_undefer(s->loop, &g->task);
	gc_end(g);
}
