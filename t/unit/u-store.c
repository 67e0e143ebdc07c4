/*
 * The store: order, preconditions, lists of now and then, watches, what a
 * restart keeps, and what a full disk does not lose.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "base/vec.h"
#include "store/store.h"
#include "tap.h"

static const struct resource res_maps = { "", "v1", "configmaps", "configmap", "ConfigMap", "ConfigMapList", true,
					  "/registry/configmaps/", "v1" };
static const struct resource res_nodes = { "", "v1", "nodes", "node", "Node", "NodeList", false, "/registry/minions/",
					   "v1" };
static const struct resource res_leases = { "coordination.k8s.io", "v1", "leases", "lease", "Lease", "LeaseList", true,
					    "/registry/leases/", "coordination.k8s.io/v1" };
static const struct resource *const all[] = { &res_maps, &res_nodes, &res_leases };

static struct loop *loop;
static struct store *st;

static bool is_volatile(const struct resource *r)
{
	return r == &res_leases;
}

static bool reopen(const char *path)
{
	struct store_config cfg = { .loop = loop, .path = path, .resources = all, .n_resources = 3,
				    .is_volatile = is_volatile };
	struct err e = ERR_INIT;
	bool good;

	st = store_close(st);
	good = store_open(&st, &cfg, &e) == 0;
	if (!good)
		printf("# %s\n", err_msg(&e));
	err_release(&e);
	return good;
}

/* --- one write, waited for --- */
struct wr {
	struct store_write w;
	const char *value; /* NULL: delete */
	int64_t must_rv; /* 0: any; -1: must not exist */
	bool over;
	int64_t rv;
	enum err_reason reason;
	bool failed;
	char *seen; /* value of cur when it was our turn */
};

static const char *value_of(struct obj *o)
{
	return node_cstr(node_getc(node_get(obj_node(o), F_data), "v"));
}

static struct doc *make(const char *ns, const char *name, const char *value)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;

	doc_set_root(d, root);
	node_sets(d, root, F_kind, "ConfigMap");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, name);
	if (ns && *ns)
		node_sets(d, meta, F_namespace, ns);
	node_setk(d, node_need_object(d, root, F_data), STR_LIT("v"), node_new_cstr(d, value));
	return d;
}

static int apply(struct store_write *w, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	struct wr *x = (struct wr *)w;

	x->seen = cur ? xstrdup(value_of(cur)) : NULL;
	if (x->must_rv == -1 && cur)
		return err_set(e, ERR_ALREADY_EXISTS, "exists");
	if (x->must_rv > 0 && (!cur || cur->rv != x->must_rv))
		return err_set(e, ERR_CONFLICT, "conflict");
	if (!x->value) {
		if (!cur)
			return err_set(e, ERR_NOT_FOUND, "not found");
		*remove = true;
		return 0;
	}
	if (cur && strcmp(value_of(cur), x->value) == 0)
		return 0; /* nothing to do */
	*out = make(w->ns, w->name, x->value);
	return 0;
}

static void done(struct store_write *w, struct obj *o, const struct err *err)
{
	struct wr *x = (struct wr *)w;

	x->over = true;
	x->rv = o ? o->rv : 0;
	x->failed = err != NULL;
	x->reason = err ? err->reason : ERR_UNKNOWN;
}

static void start(struct wr *x, const struct resource *r, const char *ns, const char *name, const char *value,
		  int64_t must_rv)
{
	*x = (struct wr){ .w = { .res = r, .ns = ns, .name = name, .apply = apply, .done = done }, .value = value,
			  .must_rv = must_rv };
	store_submit(st, &x->w);
}

static int64_t put(const struct resource *r, const char *ns, const char *name, const char *value)
{
	struct wr x;

	start(&x, r, ns, name, value, 0);
	for (int i = 0; i < 1000 && !x.over; i++)
		loop_turn(loop, 100);
	free(x.seen);
	return x.failed ? -1 : x.rv;
}

static const char *get(const struct resource *r, const char *ns, const char *name)
{
	struct obj *o = store_get(st, r, ns, name);

	return o ? value_of(o) : NULL;
}

static char *names(struct store_list *l)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < l->n; i++)
		buf_addf(&b, "%s%s/%s=%s", i ? " " : "", l->objs[i]->ns, l->objs[i]->name, value_of(l->objs[i]));
	return buf_detach(&b, NULL);
}

static bool list_is(struct store_list *l, const char *want, const char *what)
{
	struct err e = ERR_INIT;
	char *got;
	bool good;

	if (store_list(st, l, &e) < 0) {
		printf("# %s\n", err_msg(&e));
		err_release(&e);
		return ok(false, what);
	}
	got = names(l);
	good = is_str(got, want, what);
	free(got);
	return good;
}

/* --- watches --- */
static struct buf seen;

static void on_event(void *arg, const struct store_event *ev)
{
	buf_addf(&seen, "%s%s:%s=%s", seen.len ? " " : "", watch_type_name(ev->type), ev->obj->name, value_of(ev->obj));
}

static void test_writes(void)
{
	struct wr a, b, c;
	int64_t rv = put(&res_maps, "ns", "a", "1"), rv2 = put(&res_maps, "ns", "a", "2");

	ok(rv > 0 && rv2 > rv, "revisions rise");
	is_str(get(&res_maps, "ns", "a"), "2", "the newest state is read");
	is_int(put(&res_maps, "ns", "a", "2"), rv2, "the same again writes nothing");
	start(&a, &res_maps, "ns", "b", "1", -1);
	start(&b, &res_maps, "ns", "b", "2", -1);
	start(&c, &res_maps, "ns", "b", "3", 0);
	ok(!a.over && !b.over && !c.over, "done does not run inside submit");
	while (!c.over)
		loop_turn(loop, 100);
	ok(!a.failed && b.failed && b.reason == ERR_ALREADY_EXISTS, "the second create is told that it exists");
	is_str(c.seen, "1", "a write sees what was written before it on its key");
	free(b.seen);
	free(c.seen);
	start(&a, &res_maps, "ns", "b", "4", rv);
	while (!a.over)
		loop_turn(loop, 100);
	ok(a.reason == ERR_CONFLICT, "a precondition that does not hold");
	free(a.seen);
	ok(put(&res_maps, "ns", "b", NULL) > 0 && !get(&res_maps, "ns", "b"), "delete");
	is_int(put(&res_maps, "ns", "b", NULL), -1, "delete of nothing fails");
}

static void test_lists(void)
{
	struct store_list l = { .res = &res_maps };
	struct store_list page = { .res = &res_maps, .limit = 2 }, next = { .res = &res_maps, .limit = 2 };
	char *token;
	int64_t rv;

	put(&res_maps, "ns-b", "x", "1");
	put(&res_maps, "ns", "z", "1");
	put(&res_maps, "aa", "y", "1");
	put(&res_nodes, "", "n1", "1");
	list_is(&l, "aa/y=1 ns-b/x=1 ns/a=2 ns/z=1", "all namespaces, in order of the key's text");
	store_list_release(&l);
	l.ns = "ns";
	list_is(&l, "ns/a=2 ns/z=1", "one namespace");
	rv = l.rv;
	store_list_release(&l);
	list_is(&page, "aa/y=1 ns-b/x=1", "a first page");
	is_int(page.remaining, 2, "how many remain");
	token = xstrdup(page.continue_out);
	store_list_release(&page);
	put(&res_maps, "ns", "a", "3");
	put(&res_maps, "ns", "z", NULL);
	put(&res_maps, "ns", "b", "new");
	next.continue_token = token;
	list_is(&next, "ns/a=2 ns/z=1", "the next page shows the first one's revision");
	ok(!next.continue_out, "and is the last");
	is_int(next.rv, rv, "at its revision");
	store_list_release(&next);
	free(token);
	l = (struct store_list){ .res = &res_maps, .ns = "ns", .at_rv = rv };
	list_is(&l, "ns/a=2 ns/z=1", "an exact revision of the past");
	store_list_release(&l);
	l = (struct store_list){ .res = &res_maps, .ns = "ns" };
	list_is(&l, "ns/a=3 ns/b=new", "and now");
	store_list_release(&l);
	is_int((long long)store_count(st, &res_maps, "ns"), 2, "count");
}

static void test_bad_tokens(void)
{
	static const char *const bad[] = { "x", "e30", "AAAA", "%%", "eyJ2IjoieCJ9" };
	int refused = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct store_list l = { .res = &res_maps, .continue_token = bad[i] };
		struct err e = ERR_INIT;

		refused += store_list(st, &l, &e) < 0 && e.reason == ERR_BAD_REQUEST;
		err_release(&e);
		store_list_release(&l);
	}
	is_int(refused, ARRAY_SIZE(bad), "continue tokens that we did not make are refused");
}

static void test_watches(void)
{
	struct store_watch *w = NULL, *old = NULL;
	struct err e = ERR_INIT;
	int64_t rv = store_revision(st);

	buf_init(&seen);
	ok(store_watch(&w, st, &res_maps, "ns", rv, on_event, NULL, &e) == 0, "watch from now");
	put(&res_maps, "ns", "w", "1");
	put(&res_maps, "other", "w", "1");
	put(&res_maps, "ns", "w", "2");
	put(&res_maps, "ns", "w", NULL);
	loop_turn(loop, 0);
	is_str(seen.s, "ADDED:w=1 MODIFIED:w=2 DELETED:w=2", "each event once, of this namespace");
	buf_clear(&seen);
	ok(store_watch(&old, st, &res_maps, "ns", rv, on_event, NULL, &e) == 0, "watch from the past");
	loop_turn(loop, 0);
	is_str(seen.s, "ADDED:w=1 MODIFIED:w=2 DELETED:w=2", "it gets the same");
	ok(store_watch_rv(w) == store_revision(st), "the progress mark");
	store_watch_stop(w);
	store_watch_stop(old);
	w = NULL;
	ok(store_watch(&w, st, &res_maps, "", 0, on_event, NULL, &e) < 0 && e.reason == ERR_EXPIRED, "too old");
	ok(strncmp(err_msg(&e), "too old resource version: 0 (", 29) == 0, "in Kubernetes' words");
	err_release(&e);
	for (int i = 0; i < 5000; i++) {
		char v[16];

		snprintf(v, sizeof(v), "%d", i);
		put(&res_leases, "ns", "l", v);
	}
	ok(store_watch(&w, st, &res_leases, "", rv, on_event, NULL, &e) < 0 && e.reason == ERR_EXPIRED,
	   "history is bounded");
	err_release(&e);
	buf_release(&seen);
}

static void test_restart(const char *path)
{
	int64_t rv = store_revision(st);

	put(&res_leases, "ns", "lease", "last");
	ok(reopen(path), "open again");
	is_str(get(&res_maps, "ns", "a"), "3", "durable objects are back");
	is_str(get(&res_nodes, "", "n1"), "1", "cluster-scoped ones too");
	is_str(get(&res_leases, "ns", "lease"), "last", "a clean end keeps the volatile tier");
	ok(!get(&res_maps, "ns", "w") && !get(&res_maps, "ns", "z"), "deleted ones are not");
	ok(store_revision(st) >= rv, "the revision does not go back");
	ok(put(&res_maps, "ns", "a", "4") > rv, "and rises");
}

static void test_second(const char *path)
{
	struct store_config cfg = { .loop = loop, .path = path, .resources = all, .n_resources = 3 };
	struct store *two = NULL;
	struct err e = ERR_INIT;

	ok(store_open(&two, &cfg, &e) < 0, "a second opener is refused");
	ok(strstr(err_msg(&e), "another kinglet server") != NULL, "and told why");
	err_release(&e);
}

/* A file-size limit stands in for a full disk. */
static void test_full(const char *path)
{
	struct rlimit old, small = { 400000, RLIM_INFINITY };
	char *big = xmalloc(300001);
	int refused = 0;

	memset(big, 'x', 300000);
	big[300000] = '\0';
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	ok(put(&res_maps, "ns", "small", "kept") > 0, "a write before");
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 6; i++) {
		char name[16];

		snprintf(name, sizeof(name), "big%d", i);
		refused += put(&res_maps, "ns", name, big) < 0;
	}
	ok(refused > 0, "writes are refused while the disk is full");
	is_str(get(&res_maps, "ns", "small"), "kept", "reads go on");
	setrlimit(RLIMIT_FSIZE, &old);
	ok(put(&res_maps, "ns", "after", "1") > 0, "and writes again when there is room");
	ok(reopen(path), "open again");
	is_str(get(&res_maps, "ns", "small"), "kept", "nothing was lost");
	is_str(get(&res_maps, "ns", "after"), "1", "the later one neither");
	free(big);
}

static void test_damaged(const char *path)
{
	struct store_config cfg = { .loop = loop, .path = path, .resources = all, .n_resources = 3 };
	struct err e = ERR_INIT;
	struct store *s = NULL;
	int fd;

	st = store_close(st);
	fd = open(path, O_WRONLY | O_TRUNC);
	ok(fd >= 0 && write(fd, "this is no database at all, it is a text", 40) == 40, "damage the file");
	close(fd);
	ok(store_open(&s, &cfg, &e) < 0, "it is refused");
	ok(strstr(err_msg(&e), "damaged") != NULL, "and said to be damaged");
	err_release(&e);
}

static void test_memory(void)
{
	st = store_close(st);
	ok(reopen(NULL), "a store in memory");
	ok(put(&res_maps, "ns", "m", "1") > 0, "write");
	is_str(get(&res_maps, "ns", "m"), "1", "read");
	st = store_close(st);
}

int main(void)
{
	const char *path = "u-store.db";

	unlink(path);
	unlink("u-store.db-wal");
	loop = loop_new();
	ok(reopen(path), "open a new store");
	test_writes();
	test_lists();
	test_bad_tokens();
	test_watches();
	test_restart(path);
	test_second(path);
	test_full(path);
	test_damaged(path);
	test_memory();
	obj_trim(0);
	loop_free(loop);
	unlink(path);
	unlink("u-store.db-wal");
	return done_testing();
}
