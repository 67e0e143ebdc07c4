/*
 * Eviction thresholds: "memory.available<100Mi", "nodefs.available<5%", what
 * follows when they are met, and in which order pods go. Pure. Mirrors
 * pkg/kubelet/eviction/helpers.go; the defaults are the kubelet's for memory and
 * inodes, and k3s' for the disk (5 %, until 10 % more are free): a tenth of a
 * small machine's only disk is too much to leave empty.
 */
#include <math.h>

#include "node/pressure.h"

static const struct signal_row {
	const char *name;
	enum evict_resource resource;
	enum pressure pressure;
} signal_rows[SIGNALS] = {
	[SIGNAL_MEMORY] = {"memory.available", EVICT_MEMORY, PRESSURE_MEMORY},
	[SIGNAL_ALLOCATABLE] = {"allocatableMemory.available", EVICT_MEMORY, PRESSURE_MEMORY},
	[SIGNAL_NODEFS] = {"nodefs.available", EVICT_STORAGE, PRESSURE_DISK},
	[SIGNAL_NODEFS_INODES] = {"nodefs.inodesFree", EVICT_INODES, PRESSURE_DISK},
	[SIGNAL_IMAGEFS] = {"imagefs.available", EVICT_STORAGE, PRESSURE_DISK},
	[SIGNAL_IMAGEFS_INODES] = {"imagefs.inodesFree", EVICT_INODES, PRESSURE_DISK},
	[SIGNAL_CONTAINERFS] = {"containerfs.available", EVICT_STORAGE, PRESSURE_DISK},
	[SIGNAL_CONTAINERFS_INODES] = {"containerfs.inodesFree", EVICT_INODES, PRESSURE_DISK},
	[SIGNAL_PID] = {"pid.available", EVICT_PIDS, PRESSURE_PID},
};

#define HARD_DEFAULT "memory.available<100Mi,nodefs.available<5%,imagefs.available<5%,nodefs.inodesFree<5%,imagefs.inodesFree<5%"
#define RECLAIM_DEFAULT "nodefs.available=10%,imagefs.available=10%"
#define TRANSITION_MS 300000

enum evict_resource signal_resource(enum evict_signal s)
{
	return signal_rows[s].resource;
}

const char *evict_resource_name(enum evict_resource r)
{
	static const char *const names[] = {"memory", "ephemeral-storage", "inodes", "pids"};

	return names[r];
}

/* --- settings --- */

static int signal_find(struct str name, struct err *e)
{
	for (size_t i = 0; i < SIGNALS; i++)
		if (str_eqc(name, signal_rows[i].name))
			return (int)i;
	return err_set(e, ERR_BAD_REQUEST, "unsupported eviction signal %" STR_FMT, STR_ARG(name));
}

/* "10%" or a quantity. False: neither. */
static bool amount_parse(struct evict_amount *a, struct str text)
{
	_cleanup_free_ char *copy = str_dup(text);
	struct quantity q;
	char *end;

	*a = (struct evict_amount){.set = true};
	if (str_ends(text, STR_LIT("%"))) {
		a->share = strtod(copy, &end) / 100;
		return end != copy && streq(end, "%") && isfinite(a->share) && a->share >= 0 && a->share <= 1;
	}
	if (!quantity_parse(&q, text) || quantity_value(&q) < 0)
		return false;
	a->value = quantity_value(&q);
	a->format = q.format;
	return true;
}

int64_t amount_of(const struct evict_amount *a, int64_t capacity)
{
	return !a->set ? 0 : a->share > 0 ? (int64_t)(a->share * (double)capacity) : a->value;
}

/* Calls set for each "signal<sep>value" of a list. */
static int list_each(struct thresholds *t, const char *list, char sep,
		     int (*set)(struct thresholds *t, bool soft, int signal, struct str value, struct err *e), bool soft,
		     struct err *e)
{
	struct str rest = str_of(list);

	while (rest.p) {
		struct str value = str_trim(str_cut(&rest, ',')), name;
		int signal;

		if (!value.n)
			continue;
		name = str_trim(str_cut(&value, sep));
		signal = signal_find(name, e);
		if (signal < 0)
			return -e->code;
		if (!value.p)
			return err_set(e, ERR_BAD_REQUEST, "%" STR_FMT " is not followed by '%c' and a value",
				       STR_ARG(name), sep);
		if (set(t, soft, signal, str_trim(value), e) < 0)
			return -e->code;
	}
	return 0;
}

static int set_at(struct thresholds *t, bool soft, int signal, struct str value, struct err *e)
{
	struct evict_amount *a = soft ? &t->soft[signal].at : &t->hard[signal].at;

	if (!amount_parse(a, value))
		return err_set(e, ERR_BAD_REQUEST, "eviction threshold %s: '%" STR_FMT "' is neither a quantity nor a percentage",
			       signal_rows[signal].name, STR_ARG(value));
	if (str_ends(value, STR_LIT("%"))) { /* none and all are no thresholds */
		a->set = a->share > 0 && a->share < 1;
		return 0;
	}
	if (!a->value)
		return err_set(e, ERR_BAD_REQUEST, "eviction threshold %s must be positive: %" STR_FMT,
			       signal_rows[signal].name, STR_ARG(value));
	return 0;
}

static int set_grace(struct thresholds *t, bool soft UNUSED, int signal, struct str value, struct err *e)
{
	int64_t ns;

	if (!time_parse_go_duration(value, &ns) || ns < 0)
		return err_set(e, ERR_BAD_REQUEST, "invalid eviction grace period specified: %" STR_FMT
			       ", must be a positive value", STR_ARG(value));
	t->soft[signal].grace_ms = max_i64(ns / 1000000, 1);
	return 0;
}

static int set_reclaim(struct thresholds *t, bool soft UNUSED, int signal, struct str value, struct err *e)
{
	struct evict_amount a;

	if (!amount_parse(&a, value))
		return err_set(e, ERR_BAD_REQUEST, "eviction minimum reclaim %s: '%" STR_FMT
			       "' is neither a quantity nor a percentage", signal_rows[signal].name, STR_ARG(value));
	t->hard[signal].reclaim = t->soft[signal].reclaim = a;
	return 0;
}

int thresholds_parse(struct thresholds *t, bool soft, const char *list, struct err *e)
{
	for (size_t i = 0; i < SIGNALS; i++)
		(soft ? t->soft : t->hard)[i].at = (struct evict_amount){0};
	return list_each(t, list, '<', set_at, soft, e);
}

int thresholds_parse_grace(struct thresholds *t, const char *list, struct err *e)
{
	return list_each(t, list, '=', set_grace, true, e);
}

int thresholds_parse_reclaim(struct thresholds *t, const char *list, struct err *e)
{
	for (size_t i = 0; i < SIGNALS; i++)
		t->hard[i].reclaim = t->soft[i].reclaim = (struct evict_amount){0};
	return list_each(t, list, '=', set_reclaim, false, e);
}

void thresholds_default(struct thresholds *t)
{
	_cleanup_err_ struct err e = ERR_INIT;

	memset(t, 0, sizeof(*t));
	t->transition_ms = TRANSITION_MS;
	if (thresholds_parse(t, false, HARD_DEFAULT, &e) < 0 || thresholds_parse_reclaim(t, RECLAIM_DEFAULT, &e) < 0)
		BUG_ON(true);
}

int thresholds_finish(struct thresholds *t, struct err *e)
{
	for (size_t i = 0; i < SIGNALS; i++)
		if (t->soft[i].at.set && !t->soft[i].grace_ms)
			return err_set(e, ERR_BAD_REQUEST, "grace period must be specified for the soft eviction threshold %s",
				       signal_rows[i].name);
	t->hard[SIGNAL_ALLOCATABLE] = t->hard[SIGNAL_MEMORY];
	return 0;
}

/* --- what follows from what is seen --- */

static bool met(const struct threshold *t, const struct observation *o, bool reclaim)
{
	int64_t at = amount_of(&t->at, o->capacity);

	if (!t->at.set || !o->known)
		return false;
	return at + (reclaim ? amount_of(&t->reclaim, o->capacity) : 0) > o->available;
}

static bool threshold_see(struct threshold *t, const struct observation *o, int64_t now)
{
	if (!met(t, o, t->due)) {
		t->since_ms = 0;
		t->due = false;
		return false;
	}
	if (!t->since_ms)
		t->since_ms = now;
	t->due = now - t->since_ms >= t->grace_ms;
	return true;
}

void thresholds_see(struct thresholds *t, const struct observation o[SIGNALS], int64_t now)
{
	for (size_t i = 0; i < SIGNALS; i++) {
		bool hard = threshold_see(&t->hard[i], &o[i], now), soft = threshold_see(&t->soft[i], &o[i], now);

		if (hard || soft)
			t->seen_ms[signal_rows[i].pressure] = now;
	}
}

const struct threshold *thresholds_due(const struct thresholds *t, enum evict_signal *signal)
{
	for (size_t i = 0; i < SIGNALS; i++) {
		*signal = (enum evict_signal)i;
		if (t->hard[i].due)
			return &t->hard[i];
		if (t->soft[i].due)
			return &t->soft[i];
	}
	return NULL;
}

bool thresholds_short(const struct thresholds *t, const struct observation o[SIGNALS])
{
	for (size_t i = 0; i < SIGNALS; i++)
		if (met(&t->hard[i], &o[i], true) || met(&t->soft[i], &o[i], true))
			return true;
	return false;
}

bool thresholds_pressure(const struct thresholds *t, enum pressure p, int64_t now)
{
	return t->seen_ms[p] && now - t->seen_ms[p] < max_i64(t->transition_ms, 1);
}

/* --- who goes first --- */

static int cmp_i64(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/* Those that use more than they asked for; of these the least important; of these the one that is furthest above. */
static int candidate_cmp(const void *a, const void *b)
{
	const struct evict_candidate *x = a, *y = b;
	bool xe = x->used > x->request, ye = y->used > y->request;

	if (!x->known || !y->known) {
		if (x->known != y->known)
			return x->known ? 1 : -1;
		return cmp_i64(x->priority, y->priority);
	}
	if (xe != ye)
		return xe ? -1 : 1;
	if (x->priority != y->priority)
		return cmp_i64(x->priority, y->priority);
	return cmp_i64(y->used - y->request, x->used - x->request);
}

/* Nobody asks for processes. */
static int candidate_cmp_pids(const void *a, const void *b)
{
	const struct evict_candidate *x = a, *y = b;

	if (x->priority != y->priority)
		return cmp_i64(x->priority, y->priority);
	if (x->known != y->known)
		return x->known ? 1 : -1;
	return cmp_i64(y->used, x->used);
}

void evict_rank(struct evict_candidate *v, size_t n, enum evict_resource r)
{
	if (n)
		qsort(v, n, sizeof(*v), r == EVICT_PIDS ? candidate_cmp_pids : candidate_cmp);
}

/* --- texts --- */

char *evict_quantity(int64_t v, char format)
{
	struct quantity q = {.nano = (__int128)v * 1000000000, .format = format ? format : 'b'};
	struct buf b = BUF_INIT;

	quantity_print(&q, &b);
	return buf_detach(&b, NULL);
}

void evict_message(struct buf *out, const struct threshold *t, enum evict_signal s, const struct observation *o)
{
	enum evict_resource r = signal_resource(s);
	_cleanup_free_ char *at = evict_quantity(amount_of(&t->at, o->capacity), t->at.share > 0 ? 'b' : t->at.format);
	_cleanup_free_ char *left = evict_quantity(o->available, r == EVICT_MEMORY || r == EVICT_STORAGE ? 'b' : 'd');

	buf_addf(out, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ", evict_resource_name(r), at,
		 left);
}

void evict_message_container(struct buf *out, const char *name, int64_t used, const struct node *resources,
			     enum evict_resource r)
{
	const char *resource = evict_resource_name(r);
	struct quantity q = {.format = 'd'};
	_cleanup_free_ char *text = evict_quantity(used, 'b');
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (r != EVICT_MEMORY && r != EVICT_STORAGE)
		return;
	(void)quantity_from_node(&q, node_getc(node_get(resources, F_requests), resource));
	if (used <= quantity_value(&q))
		return;
	quantity_print(&q, &b);
	buf_addf(out, "Container %s was using %s, request is %s, has larger consumption of %s. ", name, text, b.s, resource);
}
