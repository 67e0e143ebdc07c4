/*
 * ControllerRevisions: the templates that a DaemonSet or StatefulSet had, for
 * `kubectl rollout history` and `undo`.
 */
#ifndef CTL_HISTORY_H
#define CTL_HISTORY_H

#include "ctl/pods.h"

#define HISTORY_POD_LABEL "controller-revision-hash"

struct history {
	kid_vec revs; /* those that o owns, oldest first */
	struct obj *now; /* of today's template; NULL: there is none yet */
	char *name, *hash; /* that it has, or would get */
};

void history_load(struct history *h, const struct ctl_view *v, struct obj *o, const struct selector *s, struct plan *p);
void history_release(struct history *h);
/* Plans to make today's, or to number it as the newest. hash_label: where it says its hash. False: it is not there yet. */
bool history_write(struct history *h, const struct ctl_view *v, struct obj *o, const char *hash_label, struct plan *p);
/* Plans to remove the oldest beyond spec.revisionHistoryLimit, but those that is_live. */
void history_trim(const struct history *h, struct obj *o, bool (*is_live)(void *arg, struct obj *rev), void *arg,
		  struct plan *p);
struct obj *history_find(const struct history *h, const char *name);
const struct node *history_template(struct obj *rev); /* of its data */

#endif
