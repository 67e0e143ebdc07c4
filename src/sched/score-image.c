/*
 * ImageLocality: nodes that have the pod's images already, by size: 23 MB count
 * for nothing, 1000 MB for each container for all.
 */
#include "sched/internal.h"

#define IMAGE_MIN (23ll << 20)
#define IMAGE_MAX (1000ll << 20)

static bool image_named(const struct node *image, struct str want)
{
	NODE_FOREACH(name, node_get(image, F_names))
	{
		struct str s = node_str(name);

		if (str_eq(s, want) || (str_ends(s, want) && s.p[s.n - want.n - 1] == '/'))
			return true;
		if (s.n > want.n && s.p[want.n] == ':' && str_starts(s, want))
			return true;
	}
	return false;
}

int64_t score_image(const struct sched_pod *p, const struct sched_node *n)
{
	const struct node *containers = node_path(obj_node(p->obj), F_spec, F_containers);
	int64_t sum = 0, most = IMAGE_MAX * (int64_t)node_count(containers);

	NODE_FOREACH(c, containers)
		NODE_FOREACH(image, node_path(obj_node(n->obj), F_status, F_images))
			if (image_named(image, node_str(node_get(c, F_image)))) {
				sum += node_int(node_get(image, F_sizeBytes), 0);
				break;
			}
	if (sum < IMAGE_MIN || most <= IMAGE_MIN)
		return 0;
	return (sum > most ? most - IMAGE_MIN : sum - IMAGE_MIN) * 100 / (most - IMAGE_MIN);
}
