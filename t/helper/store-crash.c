/*
 * store-crash: a writer is killed with SIGKILL at a random moment, again and
 * again; what it had acknowledged must be there, what it had not may be.
 *
 * The writer keeps 16 writes under way on 64 keys; each value is a counter that
 * only rises. It reports each write when it hands it over and when it is
 * acknowledged through a pipe. The parent kills it, opens the store, and checks
 * every key: the value is at least the last acknowledged and at most the last
 * handed over, and revisions never went back.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "store/store.h"
#include "test-tool.h"

#define KEYS 64
#define FLIGHT 16

static const struct resource crash_res = { "", "v1", "configmaps", "configmap", "ConfigMap", "ConfigMapList", true,
					   "/registry/configmaps/", "v1" };
static const struct resource *const crash_all[] = { &crash_res };

struct crash_report {
	char type; /* 's' or 'a' */
	int key;
	int64_t value, rv;
};

struct crash_write {
	struct store_write w;
	char name[16];
	int key;
	int64_t value;
};

static struct store *crash_store;
static int crash_pipe;
static int64_t crash_next[KEYS];
static bool crash_busy[KEYS];

static void crash_start(struct crash_write *x);

static void crash_say(char type, const struct crash_write *x, int64_t rv)
{
	struct crash_report r = { type, x->key, x->value, rv };

	if (write(crash_pipe, &r, sizeof(r)) != sizeof(r))
		_exit(3);
}

static int crash_apply(struct store_write *w, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	struct crash_write *x = (struct crash_write *)w;
	struct node *root, *meta;

	*out = doc_new();
	root = node_new(*out, DOC_OBJECT);
	doc_set_root(*out, root);
	meta = node_need_object(*out, root, F_metadata);
	node_sets(*out, meta, F_name, x->name);
	node_sets(*out, meta, F_namespace, "ns");
	node_setk(*out, node_need_object(*out, root, F_data), STR_LIT("v"), node_new_int(*out, x->value));
	return 0;
}

static void crash_done(struct store_write *w, struct obj *o, const struct err *err)
{
	struct crash_write *x = (struct crash_write *)w;

	if (err)
		_exit(4);
	crash_say('a', x, o->rv);
	crash_busy[x->key] = false;
	crash_start(x);
}

static void crash_start(struct crash_write *x)
{
	do
		x->key = rand() % KEYS;
	while (crash_busy[x->key]);
	crash_busy[x->key] = true;
	x->value = ++crash_next[x->key];
	snprintf(x->name, sizeof(x->name), "k%d", x->key);
	x->w = (struct store_write){ .res = &crash_res, .ns = "ns", .name = x->name, .apply = crash_apply,
				     .done = crash_done };
	crash_say('s', x, 0);
	store_submit(crash_store, &x->w);
}

static int64_t crash_value(int key)
{
	char name[16];
	struct obj *o;

	snprintf(name, sizeof(name), "k%d", key);
	o = store_get(crash_store, &crash_res, "ns", name);
	return o ? node_int(node_getc(node_get(obj_node(o), F_data), "v"), -1) : 0;
}

static void crash_open(struct loop *l, const char *path)
{
	struct store_config cfg = { .loop = l, .path = path, .resources = crash_all, .n_resources = 1 };
	struct err e = ERR_INIT;

	if (store_open(&crash_store, &cfg, &e) < 0) {
		fprintf(stderr, "store-crash: %s\n", err_msg(&e));
		exit(1);
	}
}

static void crash_writer(const char *path, unsigned seed)
{
	struct loop *l = loop_new();
	static struct crash_write flight[FLIGHT];

	srand(seed);
	crash_open(l, path);
	for (int k = 0; k < KEYS; k++)
		crash_next[k] = crash_value(k);
	for (int i = 0; i < FLIGHT; i++)
		crash_start(&flight[i]);
	loop_run(l);
	_exit(5);
}

struct crash_bounds {
	int64_t low[KEYS], high[KEYS]; /* acknowledged; handed over */
	int64_t rv, acknowledged;
};

static bool crash_next_report(int fd, struct crash_bounds *b)
{
	struct crash_report r;

	if (fd_read_all(fd, &r, sizeof(r)) != sizeof(r))
		return false;
	if (r.type == 's') {
		b->high[r.key] = r.value;
		return true;
	}
	b->low[r.key] = r.value;
	b->rv = r.rv > b->rv ? r.rv : b->rv;
	b->acknowledged++;
	return true;
}

/* One life of the writer. */
static void crash_round(const char *path, unsigned seed, struct crash_bounds *b)
{
	int p[2], status;
	pid_t pid;

	if (pipe(p) < 0)
		exit(1);
	pid = fork();
	if (pid == 0) {
		close(p[0]);
		crash_pipe = p[1];
		crash_writer(path, seed);
	}
	close(p[1]);
	/* Killed by how many reports came, not by the clock: every moment is hit on any machine. */
	for (int left = 1 + rand() % 400; left > 0 && crash_next_report(p[0], b); left--)
		;
	kill(pid, SIGKILL);
	while (crash_next_report(p[0], b))
		;
	close(p[0]);
	waitpid(pid, &status, 0);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		fprintf(stderr, "store-crash: the writer ended by itself (status %d)\n", status);
		exit(1);
	}
}

static bool crash_check(int round, struct crash_bounds *b)
{
	if (store_revision(crash_store) < b->rv) {
		printf("round %d: the revision went back from %lld to %lld\n", round, (long long)b->rv,
		       (long long)store_revision(crash_store));
		return false;
	}
	for (int k = 0; k < KEYS; k++) {
		int64_t v = crash_value(k);

		if (v < b->low[k] || v > b->high[k]) {
			printf("round %d: key %d holds %lld, acknowledged %lld, handed over %lld\n", round, k,
			       (long long)v, (long long)b->low[k], (long long)b->high[k]);
			return false;
		}
		b->low[k] = b->high[k] = v;
	}
	return true;
}

int tool_store_crash(int argc, char **argv)
{
	static struct crash_bounds b;
	int rounds = argc > 2 ? atoi(argv[2]) : 100;
	bool good = true;

	if (argc < 2)
		return 2;
	srand(argc > 3 ? (unsigned)atoi(argv[3]) : 1);
	for (int i = 0; i < rounds && good; i++) {
		struct loop *l;

		crash_round(argv[1], (unsigned)rand(), &b);
		l = loop_new();
		crash_open(l, argv[1]);
		good = crash_check(i, &b);
		crash_store = store_close(crash_store);
		obj_trim(0);
		loop_free(l);
	}
	if (good)
		printf("%d crashes, %lld acknowledged writes, none lost\n", rounds, (long long)b.acknowledged);
	return good ? 0 : 1;
}
