/*
 * ImageLocality: nodes that have the pod's images already, by size, less so when
 * few nodes have them (or all pods would go there): 23 MB count for nothing,
 * 1000 MB for each container for all.
 */
#include "base/hash.h"
#include "sched/internal.h"

#define IMAGE_MIN (23ll << 20)
#define IMAGE_MAX (1000ll << 20)

SCHED_SCORE_PREPARE(score_image_prepare)
{
	for (size_t i = 0; i < n; i++)
		if (fit[i]->images.n)
			return map_count(c->s->image_nodes) > 0;
	return false;
}

static int64_t image_size(const struct sched_node *n, uint64_t hash)
{
	size_t lo = 0, hi = n->images.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (n->images.v[mid].hash == hash)
			return n->images.v[mid].size;
		if (n->images.v[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return 0;
}

/* "busybox" is on nodes as "docker.io/library/busybox:latest". */
static void image_full_name(const char *image, struct buf *out)
{
	const char *slash = strchr(image, '/'), *last = strrchr(image, '/');
	size_t first = slash ? (size_t)(slash - image) : 0;
	bool registry = slash && (memchr(image, '.', first) || memchr(image, ':', first) ||
				  (first == 9 && !strncmp(image, "localhost", 9)));

	buf_clear(out);
	if (!registry)
		buf_adds(out, slash ? "docker.io/" : "docker.io/library/");
	buf_adds(out, image);
	if (!strchr(last ? last : image, ':'))
		buf_adds(out, ":latest");
}

SCHED_SCORE(score_image)
{
	int64_t sum = 0, containers = 0;

	for (int k = 0; k < 2; k++)
		NODE_FOREACH(ctr, node_get(c->spec, k ? F_initContainers : F_containers))
		{
			uint64_t hash;
			int64_t size;

			containers++;
			image_full_name(node_gets(ctr, F_image), &c->scratch);
			hash = hash_sip(buf_str(&c->scratch));
			size = image_size(n, hash);
			if (size)
				sum += size * (intptr_t)map_get(c->s->image_nodes, (struct str){ (char *)&hash, sizeof(hash) }) /
				       (int64_t)c->s->nodes.n;
		}
	if (sum < IMAGE_MIN)
		return 0;
	if (sum > IMAGE_MAX * containers)
		sum = IMAGE_MAX * containers;
	return (sum - IMAGE_MIN) * 100 / (IMAGE_MAX * containers - IMAGE_MIN);
}
