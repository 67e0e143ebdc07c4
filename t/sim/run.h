/*
 * Scenarios: what controllers and scheduler do with a cluster of played nodes, in
 * virtual time. t/sim/README says how they are written.
 */
#ifndef T_SIM_RUN_H
#define T_SIM_RUN_H

#include "api/api.h"
#include "base/time.h"
#include "base/vec.h"
#include "ctl/ctl.h"
#include "sched/sched.h"
#include "schema/schema.h"
#include "sim/sim.h"

#define WORDS_MAX 64

/* --- script.c: files, templates, rows --- */
struct var {
	char *name, *value;
};
struct vars {
	VEC(struct var) of;
	const struct vars *outer; /* asked for what is not here; may be NULL */
};
void vars_set(struct vars *v, struct str name, const char *value);
const char *vars_get(const struct vars *v, const char *name);
void vars_release(struct vars *v);

struct script {
	char *path;
	VEC(char *) lines;
};
struct scenario {
	const struct script *script;
	size_t first, end; /* its lines */
	char *name;
	struct vars vars;
};
struct scenarios {
	VEC(struct script *) scripts;
	VEC(struct scenario) of;
};
/* False: said on stdout what is wrong. */
bool scenarios_read(struct scenarios *all, const char *path);
void scenarios_release(struct scenarios *all);

bool is_block(const char *line); /* a line that belongs to the step above */
/* line with ${name}, ${name+1-other} replaced. NULL: *bad (the caller's) says which is not known. */
char *expand(const char *line, const struct vars *vars, char **bad);
/* Splits in place: blanks separate, "..." and {...} hold together. */
size_t split_words(char *line, char **words);
/* The body of a template of script, and its defaults into vars. False: there is none. */
bool template_find(const struct script *s, const char *name, struct vars *defaults, struct buf *body);

/* --- cluster.c: an API server with a store in memory, controllers, scheduler, played nodes --- */
struct pod_mark { /* one that came, or went */
	struct obj *obj;
	bool gone;
};

struct limit {
	char *text, *word;
	struct selector *sel;
	bool most;
	size_t n;
	char *ns;
};

struct world {
	struct loop *loop;
	struct store *store;
	struct api *api;
	struct client *client;
	struct ctl *ctl;
	struct sched *sched;
	struct sim *sim;
	struct sim_config play;
	struct call_feed feed;
	struct loop_hook *hook;
	VEC(struct pod_mark) marks;
	VEC(struct limit) limits;
	bool changed, pods_changed;
	int n_nodes;
	int64_t begin_ms;

	const struct scenario *at;
	size_t line;
	char *step; /* as it is run, expanded */
	struct vars vars;
	char *ns;
	struct buf failure; /* empty: none so far */
};
void world_open(struct world *w);
void world_close(struct world *w);
/* One turn of at most so many ms; then the limits. */
void world_turn(struct world *w, int64_t most_ms);
void world_idle(struct world *w); /* until nothing is to be done now */
int64_t world_now(const struct world *w); /* ms */
bool world_failed(const struct world *w);
void world_fail(struct world *w, const char *fmt, ...) ATTR_PRINTF(2, 3);
void world_describe(struct world *w, struct buf *out); /* pods, and what happened last */
/* Waits for the answer. c->done, c->arg are set here. The answer is the caller's to unref; NULL and e: refused. */
bool world_call(struct world *w, struct call *c, struct obj **ret, struct err *e);
const struct resource *world_kind(struct world *w, const char *word); /* "deployment", "deployments", "deploy" */
/* Those of ns ("": all) that sel (NULL: all) matches, in order of names; each borrowed until the next turn. */
struct objs {
	struct store_list list;
};
void world_list(struct world *w, const struct resource *r, const char *ns, const struct selector *sel, struct objs *out);
void objs_release(struct objs *o);
bool pod_counts_as(struct obj *o, const char *word, bool *known);

/* --- steps.c and expect.c --- */
void run_scenario(struct world *w, const struct scenario *s);
void step_expect(struct world *w, char **v, size_t n);
void step_never(struct world *w, char **v, size_t n);
bool duration_ms(const char *text, int64_t *ret); /* "5s"; may be negative */
/* The value at ".status.conditions[Ready].status", as text; "absent". */
void value_at(const struct node *root, const char *path, struct buf *out);
/* "kind/name" */
struct obj *object_of(struct world *w, const char *word);
struct selector *selector_of(struct world *w, const char *text); /* NULL for "all", and when it is malformed: failed */
size_t count_pods(struct world *w, const char *ns, const struct selector *sel, const char *word);

#endif
