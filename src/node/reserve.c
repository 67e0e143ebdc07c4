/*
 * What this node has, what it keeps for itself (kube-reserved, system-reserved
 * and the hard eviction thresholds), and what is left for pods. Mirrors
 * pkg/kubelet/cm's node_container_manager and nodestatus.MachineInfo.
 */
#include <dirent.h>

#include "node/pressure.h"

int reserve_parse(struct reserve *r, const char *list, struct err *e)
{
	struct str rest = str_of(list);

	*r = (struct reserve){0};
	while (rest.p) {
		struct str value = str_trim(str_cut(&rest, ',')), name;
		struct quantity q;

		if (!value.n)
			continue;
		name = str_trim(str_cut(&value, '='));
		if (!value.p || !quantity_parse(&q, str_trim(value)))
			return err_set(e, ERR_BAD_REQUEST, "failed to parse quantity for \"%" STR_FMT "\" resource", STR_ARG(name));
		if (q.nano < 0)
			return err_set(e, ERR_BAD_REQUEST, "resource quantity for \"%" STR_FMT "\" cannot be negative: %" STR_FMT,
				       STR_ARG(name), STR_ARG(value));
		if (str_eqc(name, "cpu"))
			r->cpu_milli = quantity_milli(&q);
		else if (str_eqc(name, "memory"))
			r->memory = quantity_value(&q);
		else if (str_eqc(name, "ephemeral-storage"))
			r->storage = quantity_value(&q);
		else if (str_eqc(name, "pid"))
			r->pids = quantity_value(&q);
		else
			return err_set(e, ERR_BAD_REQUEST, "cannot reserve \"%" STR_FMT "\" resource", STR_ARG(name));
	}
	return 0;
}

struct settings *settings_new(void)
{
	struct settings *s = xcalloc(1, sizeof(*s));

	s->enforce = true;
	s->images_max = 50;
	thresholds_default(&s->thresholds);
	reserve_measure(s);
	return s;
}

/* --- what there is --- */

/* "hugepages-2048kB": its pages, and how many of them are set aside. */
static void measure_size(struct settings *s, const char *dir)
{
	_cleanup_free_ char *path = xasprintf("/sys/kernel/mm/hugepages/%s/nr_hugepages", dir), *size = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct hugepages *h = &s->huge[s->n_huge];
	long long kb;
	int64_t n;

	if (s->n_huge == HUGEPAGES_MAX || sscanf(dir, "hugepages-%lldkB", &kb) != 1 || kb <= 0 || kb > 1LL << 30 ||
	    path_read(path, 64, &b, &e) < 0 || !str_to_i64(str_trim(buf_str(&b)), &n))
		return;
	size = evict_quantity(kb << 10, 'b');
	snprintf(h->name, sizeof(h->name), "hugepages-%s", size);
	h->bytes = n * (kb << 10);
	s->n_huge++;
}

static int huge_cmp(const void *a, const void *b)
{
	return strcmp(((const struct hugepages *)a)->name, ((const struct hugepages *)b)->name);
}

void reserve_measure(struct settings *s)
{
	DIR *d = opendir("/sys/kernel/mm/hugepages");

	s->n_huge = 0;
	for (struct dirent *x = d ? readdir(d) : NULL; x; x = readdir(d))
		measure_size(s, x->d_name);
	if (d)
		closedir(d);
	if (s->n_huge)
		qsort(s->huge, s->n_huge, sizeof(s->huge[0]), huge_cmp);
}

static int64_t huge_capacity(const struct node_agent *n, const char *resource)
{
	for (size_t i = 0; i < n->settings->n_huge; i++)
		if (streq(resource, n->settings->huge[i].name))
			return n->settings->huge[i].bytes;
	return 0;
}

int64_t node_capacity(const struct node_agent *n, const char *resource)
{
	if (streq(resource, "cpu"))
		return n->cpu_milli;
	if (streq(resource, "memory"))
		return n->memory_bytes;
	if (streq(resource, "ephemeral-storage"))
		return n->disk_bytes;
	if (streq(resource, "pods"))
		return n->max_pods;
	return huge_capacity(n, resource);
}

/* --- what is left for pods --- */

static int64_t all_huge(const struct settings *s)
{
	int64_t sum = 0;

	for (size_t i = 0; i < s->n_huge; i++)
		sum += s->huge[i].bytes;
	return sum;
}

static int64_t kept(const struct node_agent *n, const char *resource)
{
	const struct settings *s = n->settings;
	const struct threshold *hard = s->thresholds.hard;

	if (streq(resource, "cpu"))
		return s->kube.cpu_milli + s->system.cpu_milli;
	if (streq(resource, "memory"))
		return s->kube.memory + s->system.memory + amount_of(&hard[SIGNAL_MEMORY].at, n->memory_bytes) + all_huge(s);
	if (streq(resource, "ephemeral-storage"))
		return s->kube.storage + s->system.storage + amount_of(&hard[SIGNAL_NODEFS].at, n->disk_bytes);
	return 0;
}

int64_t node_allocatable(const struct node_agent *n, const char *resource)
{
	return max_i64(node_capacity(n, resource) - kept(n, resource), 0);
}

/* Without the threshold: it is there to be noticed before the limit is hit. */
int64_t reserve_pods_memory(const struct node_agent *n)
{
	const struct settings *s = n->settings;
	int64_t left = n->memory_bytes - s->kube.memory - s->system.memory;

	return s->enforce && left > 0 ? left : 0;
}

const char *out_of(const char *resource)
{
	static const char *const reasons[] = {
		"OutOfcpu",	      "OutOfmemory",	    "OutOfephemeral-storage", "OutOfpods", "OutOfhugepages-2Mi",
		"OutOfhugepages-1Gi", "OutOfhugepages-64Ki", "OutOfhugepages-32Mi",
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (streq(reasons[i] + strlen("OutOf"), resource))
			return reasons[i];
	return NULL;
}

/* --- the Node's status --- */

static void put_amount(const struct node_agent *n, struct doc *d, struct node *list, const char *resource, bool left)
{
	bool cpu = streq(resource, "cpu"), plain = cpu || streq(resource, "pods");
	int64_t v = left ? node_allocatable(n, resource) : node_capacity(n, resource);
	_cleanup_free_ char *text = NULL;

	if (cpu && v % 1000)
		text = xasprintf("%lldm", (long long)v);
	else
		text = evict_quantity(cpu ? v / 1000 : v, plain ? 'd' : 'b');
	node_setk(d, list, str_of(resource), node_new_cstr(d, text));
}

void reserve_put(struct node_agent *n, struct doc *d, struct node *status)
{
	static const char *const names[] = {"cpu", "ephemeral-storage", "memory", "pods"};

	for (int left = 0; left < 2; left++) {
		struct node *list = node_need_object(d, status, left ? F_allocatable : F_capacity);

		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			put_amount(n, d, list, names[i], left);
		for (size_t i = 0; i < n->settings->n_huge; i++)
			put_amount(n, d, list, n->settings->huge[i].name, left);
	}
}
