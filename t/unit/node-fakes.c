/*
 * A cluster, a runtime and an image store that live in this test: the agent is
 * linked against these in place of client, run, image and net. Answers come
 * from the loop, as from the real ones.
 */
#include "base/log.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/vec.h"
#include "http/remote.h"
#include "schema/schema.h"
#include "t/unit/node-fakes.h"

struct fake fake;

/* --- deferred calls --- */

struct later {
	struct loop_task task;
	void (*run)(struct later *l);
	void *a, *b;
	struct obj *obj;
	struct err err;
	char *text;
	int64_t n;
	struct container_status st;
};

static void later_run(struct loop_task *t)
{
	struct later *l = CONTAINER_OF(t, struct later, task);

	l->run(l);
	obj_unref(l->obj);
	err_release(&l->err);
	free(l->text);
	free(l);
}

static struct later *later(void (*run)(struct later *l), void *a, void *b)
{
	struct later *l = xcalloc(1, sizeof(*l));

	l->task.run = later_run;
	l->run = run;
	l->a = a;
	l->b = b;
	loop_defer(fake.loop, &l->task);
	return l;
}

/* --- the cluster --- */

struct informer {
	const struct resource *res;
	struct informer_ops ops;
	void *arg;
	bool synced;
};

static VEC(struct obj *) objs;
static VEC(struct informer *) informers;
static int64_t revision = 100;

struct obj *fake_get(const struct resource *r, const char *ns, const char *name)
{
	for (size_t i = 0; i < objs.n; i++)
		if (objs.v[i]->res == r && streq(objs.v[i]->ns, ns ? ns : "") && streq(objs.v[i]->name, name))
			return objs.v[i];
	return NULL;
}

static void tell(struct later *l)
{
	struct informer *i = l->a;

	if (i->arg)
		i->ops.on_event(i->arg, (enum watch_type)l->n, l->obj, NULL);
}

static void publish(enum watch_type t, struct obj *o)
{
	for (size_t i = 0; i < informers.n; i++) {
		struct later *l;

		if (informers.v[i]->res != o->res)
			continue;
		l = later(tell, informers.v[i], NULL);
		l->n = t;
		l->obj = obj_ref(o);
	}
}

static struct obj *put(const struct resource *r, struct doc *d, struct obj *old)
{
	struct obj *o;

	node_set(d, node_need_object(d, doc_root(d), F_metadata), F_resourceVersion,
		 node_new_fmt(d, "%lld", (long long)++revision));
	o = obj_new(r, d, revision);
	doc_unref(d);
	if (old) {
		for (size_t i = 0; i < objs.n; i++)
			if (objs.v[i] == old)
				objs.v[i] = o;
		obj_unref(old);
	} else {
		VEC_PUSH(&objs, o);
	}
	publish(old ? WATCH_MODIFIED : WATCH_ADDED, o);
	return o;
}

struct obj *fake_create(const struct resource *r, const char *json)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *d;
	char uid[37];

	if (doc_parse_json(&d, str_of(json), NULL, &e) < 0) {
		printf("Bail out! %s\n", err_msg(&e));
		exit(1);
	}
	rand_uuid(uid);
	node_sets(d, node_need_object(d, doc_root(d), F_metadata), F_uid, uid);
	return put(r, d, NULL);
}

void fake_change(struct obj *o, const char *merge_patch)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *d = doc_clone(obj_doc(o)), *p = NULL;

	if (doc_parse_json(&p, str_of(merge_patch), NULL, &e) < 0)
		abort();
	doc_patch_merge(d, doc_root(p));
	doc_unref(p);
	put(o->res, d, o);
}

void fake_remove(struct obj *o)
{
	for (size_t i = 0; i < objs.n; i++)
		if (objs.v[i] == o) {
			VEC_REMOVE(&objs, i);
			break;
		}
	o->rv = ++revision;
	publish(WATCH_DELETED, o);
	obj_unref(o);
}

static void answer(struct later *l)
{
	client_done done = (client_done)l->b;

	if (done)
		done(l->a, err_is_set(&l->err) ? NULL : l->obj, err_is_set(&l->err) ? &l->err : NULL);
}

static struct later *answer_later(client_done done, void *arg, struct obj *o)
{
	struct later *l = later(answer, arg, (void *)done);

	l->obj = o ? obj_ref(o) : NULL;
	return l;
}

void client_create(struct client *c UNUSED, const struct resource *r, const char *ns, struct doc *body,
		   client_done done, void *arg)
{
	struct obj *o = fake_get(r, ns, meta_name(doc_root(body)));
	char uid[37];

	if (o) {
		struct later *l = answer_later(done, arg, NULL);

		err_set(&l->err, ERR_ALREADY_EXISTS, "exists");
		doc_unref(body);
		return;
	}
	rand_uuid(uid);
	node_sets(body, node_need_object(body, doc_root(body), F_metadata), F_uid, uid);
	answer_later(done, arg, put(r, body, NULL));
}

void client_patch(struct client *c UNUSED, const struct resource *r, const char *ns, const char *name,
		  const char *sub UNUSED, enum patch_type t UNUSED, struct doc *patch, client_done done,
		  void *arg)
{
	struct obj *o = fake_get(r, ns, name);
	struct node *status = node_get(doc_root(patch), F_status);
	struct doc *d;

	if (!o) {
		struct later *l = answer_later(done, arg, NULL);

		err_set(&l->err, ERR_NOT_FOUND, "not found");
		doc_unref(patch);
		return;
	}
	if (r == fake.pods)
		fake.pod_patches++;
	node_removek(status, STR_LIT("$setElementOrder/conditions"));
	NODE_FOREACH (k, node_get(status, F_conditions)) {
		if (node_is(node_get(k, F_reason), DOC_NULL))
			node_remove(k, F_reason);
		if (node_is(node_get(k, F_message), DOC_NULL))
			node_remove(k, F_message);
	}
	d = doc_clone(obj_doc(o));
	doc_patch_merge(d, doc_root(patch));
	doc_unref(patch);
	answer_later(done, arg, put(r, d, o));
}

void client_delete(struct client *c UNUSED, const struct resource *r, const char *ns, const char *name,
		   const char *uid, int64_t grace_s UNUSED, client_done done, void *arg)
{
	struct obj *o = fake_get(r, ns, name);

	answer_later(done, arg, NULL);
	if (o && streq(o->uid, uid))
		fake_remove(o);
}

/* Only the HTTPS port asks so, which the fake node has not. */
void client_submit(struct client *c UNUSED, struct call *call UNUSED)
{
	BUG_ON(true);
}

void client_cancel(struct client *c UNUSED, struct call *call UNUSED)
{
	BUG_ON(true);
}

void client_create_sub(struct client *c UNUSED, const struct resource *r, const char *ns UNUSED,
		       const char *name UNUSED, const char *sub UNUSED, struct doc *body, client_done done,
		       void *arg)
{
	struct obj *o;

	node_sets(body, node_need_object(body, doc_root(body), F_status), F_token, "t0ken");
	o = obj_new(r, body, 1);
	doc_unref(body);
	answer_later(done, arg, o);
	obj_unref(o);
}

static void synced(struct later *l)
{
	struct informer *i = l->a;

	i->synced = true;
	if (i->arg && i->ops.on_synced)
		i->ops.on_synced(i->arg);
}

struct informer *informer_get(struct client *c UNUSED, const struct resource *r,
			      const char *field_selector UNUSED)
{
	for (size_t i = 0; i < informers.n; i++)
		if (informers.v[i]->res == r) {
			if (!informers.v[i]->synced)
				later(synced, informers.v[i], NULL);
			return informers.v[i];
		}
	struct informer *i = xcalloc(1, sizeof(*i));
	i->res = r;
	VEC_PUSH(&informers, i);
	later(synced, i, NULL);
	return i;
}
void informer_subscribe(struct informer *i, const struct informer_ops *ops, void *arg)
{
	i->ops = *ops;
	i->arg = arg;
}
void informer_unsubscribe(struct informer *i, void *arg UNUSED)
{
	i->arg = NULL;
	i->synced = false;
}
bool informer_synced(const struct informer *i)
{
	return i->synced;
}
struct obj *informer_find(struct informer *i, const char *ns, const char *name)
{
	return fake_get(i->res, ns, name);
}
struct obj *informer_next(struct informer *i, const char *ns, struct obj *prev)
{
	bool seen = !prev;

	for (size_t k = 0; k < objs.n; k++) {
		struct obj *o = objs.v[k];

		if (o->res != i->res || (ns && !streq(o->ns, ns)))
			continue;
		if (seen)
			return o;
		seen = o == prev;
	}
	return NULL;
}

void client_event(struct client *c UNUSED, struct obj *about, const char *field_path,
		  const char *component UNUSED, const char *host UNUSED, const char *type, const char *reason,
		  const char *fmt, ...)
{
	va_list ap;

	buf_addf(&fake.events, "%s %s %s %s: ", type, about->name, field_path ? field_path : "-", reason);
	va_start(ap, fmt);
	buf_addvf(&fake.events, fmt, ap);
	va_end(ap);
	buf_addch(&fake.events, '\n');
}

/* --- the runtime --- */

struct container {
	struct sandbox *sandbox;
	struct container_status st;
	char id[65], name[64];
};
struct sandbox {
	char id[64], ip[64];
	VEC(struct container *) ctrs;
	bool dead;
};
static VEC(struct sandbox *) sandboxes;

static struct sandbox *sandbox_of(const char *id)
{
	for (size_t i = 0; i < sandboxes.n; i++)
		if (streq(sandboxes.v[i]->id, id))
			return sandboxes.v[i];
	return NULL;
}

size_t fake_sandboxes(void)
{
	return sandboxes.n;
}

static void sandbox_answer(struct later *l)
{
	void (*done)(void *, struct sandbox *, const struct err *) =
		(void (*)(void *, struct sandbox *, const struct err *))l->b;
	struct sandbox *s = xcalloc(1, sizeof(*s));

	snprintf(s->id, sizeof(s->id), "%s", l->text);
	VEC_PUSH(&sandboxes, s);
	done(l->a, s, NULL);
}
void sandbox_create(struct runtime *r UNUSED, const struct run_sandbox_spec *spec,
		    void (*done)(void *arg, struct sandbox *s, const struct err *err), void *arg)
{
	struct later *l = later(sandbox_answer, arg, (void *)done);

	l->text = xstrdup(spec->id);
	snprintf(fake.cgroup, sizeof(fake.cgroup), "%s", spec->cgroup_parent);
}
const char *sandbox_id(const struct sandbox *s)
{
	return s->id;
}
pid_t sandbox_pid(const struct sandbox *s)
{
	return s->dead ? 0 : 1234;
}
int sandbox_netns(struct sandbox *s UNUSED)
{
	return -1;
}
int sandbox_set_note(struct sandbox *s, const char *key UNUSED, const char *value, struct err *e UNUSED)
{
	snprintf(s->ip, sizeof(s->ip), "%s", value);
	return 0;
}
const char *sandbox_note(const struct sandbox *s, const char *key)
{
	return streq(key, "ip") && *s->ip ? s->ip : NULL;
}
struct container *sandbox_container(struct sandbox *s, const char *name)
{
	for (size_t i = s->ctrs.n; i-- > 0;)
		if (streq(s->ctrs.v[i]->name, name))
			return s->ctrs.v[i];
	return NULL;
}
size_t sandbox_containers(struct sandbox *s, struct container **out, size_t max)
{
	size_t n = s->ctrs.n < max ? s->ctrs.n : max;

	memcpy(out, s->ctrs.v, n * sizeof(*out));
	return n;
}
static void destroy_answer(struct later *l)
{
	void (*done)(void *, const struct err *) = (void (*)(void *, const struct err *))l->b;
	struct sandbox *s = sandbox_of(l->text);

	for (size_t i = 0; i < sandboxes.n; i++)
		if (sandboxes.v[i] == s) {
			VEC_REMOVE(&sandboxes, i);
			break;
		}
	for (size_t i = 0; i < s->ctrs.n; i++)
		free(s->ctrs.v[i]);
	VEC_RELEASE(&s->ctrs);
	free(s);
	done(l->a, NULL);
}
void sandbox_destroy(struct sandbox *s, void (*done)(void *arg, const struct err *err), void *arg)
{
	struct later *l = later(destroy_answer, arg, (void *)done);

	l->text = xstrdup(s->id);
}

static void start_answer(struct later *l)
{
	void (*done)(void *, struct container *, const struct err *) =
		(void (*)(void *, struct container *, const struct err *))l->b;
	struct sandbox *s = sandbox_of(l->text);
	struct container *c = xcalloc(1, sizeof(*c));

	*c = (struct container){.sandbox = s, .st = l->st};
	snprintf(c->id, sizeof(c->id), "%s", fake.next_id);
	if (fake.start_error) {
		struct err e = ERR_INIT;

		err_set(&e, ERR_UNKNOWN, "%s", fake.start_error);
		e.kind = xstrdup(fake.start_kind);
		done(l->a, NULL, &e);
		err_release(&e);
		free(c);
		return;
	}
	snprintf(c->name, sizeof(c->name), "%s", (const char *)(l->text + strlen(l->text) + 1));
	snprintf(c->id, sizeof(c->id), "%s", (const char *)(l->text + strlen(l->text) + 2 + strlen(c->name)));
	c->st.id = c->id;
	c->st.name = c->name;
	c->st.state = CONTAINER_RUNNING;
	c->st.started_ns = time_wall_ns();
	VEC_PUSH(&s->ctrs, c);
	done(l->a, c, NULL);
}
void container_start(struct sandbox *s, const struct run_container_spec *spec,
		     void (*done)(void *arg, struct container *c, const struct err *err), void *arg)
{
	struct later *l = later(start_answer, arg, (void *)done);
	struct buf b = BUF_INIT;

	buf_add(&b, s->id, strlen(s->id) + 1);
	buf_add(&b, spec->name, strlen(spec->name) + 1);
	buf_add(&b, spec->id, strlen(spec->id) + 1);
	l->text = buf_detach(&b, NULL);
	l->st.attempt = spec->attempt;
	fake.started++;
	buf_clear(&fake.spec);
	for (size_t i = 0; spec->argv[i]; i++)
		buf_addf(&fake.spec, "argv %s\n", spec->argv[i]);
	for (size_t i = 0; spec->env[i]; i++)
		buf_addf(&fake.spec, "env %s\n", spec->env[i]);
	for (size_t i = 0; i < spec->n_mounts; i++)
		buf_addf(&fake.spec, "mount %s %s%s\n", spec->mounts[i].target, spec->mounts[i].source,
			 spec->mounts[i].read_only ? " ro" : "");
	buf_addf(&fake.spec, "user %lld oom %d cwd %s\n", (long long)spec->run_as_user, spec->oom_score_adj,
		 spec->cwd);
}
char *container_log_path(const struct container *c)
{
	return xasprintf("/nowhere/%s.log", c->id);
}

void container_status(const struct container *c, struct container_status *out)
{
	*out = c->st;
}
static void exit_later(struct later *l)
{
	struct container *c = l->a;

	if (c->st.state == CONTAINER_EXITED)
		return;
	c->st.state = CONTAINER_EXITED;
	c->st.exit_code = (int)l->n;
	c->st.finished_ns = time_wall_ns();
	agent_on_exit(fake.agent, c->sandbox, &c->st);
}
void fake_exit(const char *uid, const char *name, int code)
{
	struct sandbox *s = sandbox_of(uid);
	struct container *c = s ? sandbox_container(s, name) : NULL;

	if (c)
		later(exit_later, c, NULL)->n = code;
}
void fake_lose(const char *uid)
{
	struct sandbox *s = sandbox_of(uid);

	s->dead = true;
	agent_on_sandbox_lost(fake.agent, s);
}
int container_set_limits(struct container *c, const struct run_limits *l, struct err *e)
{
	if (l->memory_max == 13)
		return err_set(e, ERR_INVALID, "attempting to set memory limit (13) below current usage (14)");
	buf_addf(&fake.stops, "limits %s %lld\n", c->name, (long long)l->cpu_quota_us);
	return 0;
}
int sandbox_set_limits(struct sandbox *s UNUSED, const struct run_limits *l UNUSED, struct err *e UNUSED)
{
	return 0;
}
int container_signal(struct container *c UNUSED, int signo UNUSED)
{
	return 0;
}
void container_stop(struct container *c, int64_t grace_ms)
{
	buf_addf(&fake.stops, "%s %lld\n", c->name, (long long)((grace_ms + 500) / 1000));
	if (!fake.stubborn)
		later(exit_later, c, NULL)->n = 143;
}
void container_remove(struct container *c, bool remove_log UNUSED)
{
	struct sandbox *s = c->sandbox;

	for (size_t i = 0; i < s->ctrs.n; i++)
		if (s->ctrs.v[i] == c) {
			VEC_REMOVE(&s->ctrs, i);
			break;
		}
	free(c);
}
static void recovered(struct later *l)
{
	void (*done)(void *) = (void (*)(void *))l->b;

	for (size_t i = 0; i < sandboxes.n; i++)
		fake.found(l->a, sandboxes.v[i]);
	done(l->a);
}
void run_recover(struct runtime *r UNUSED, void (*found)(void *arg, struct sandbox *s),
		 void (*done)(void *arg), void *arg)
{
	fake.found = found;
	later(recovered, arg, (void *)done);
}
bool container_usage(const struct container *c UNUSED, struct run_usage *u UNUSED)
{
	return false;
}

bool sandbox_usage(const struct sandbox *s UNUSED, struct run_usage *u UNUSED)
{
	return false;
}

size_t sandbox_net_usage(const struct sandbox *s UNUSED, struct run_net_usage *v UNUSED, size_t max UNUSED)
{
	return 0;
}

char *container_upper(const struct container *c UNUSED)
{
	return NULL;
}

bool run_apparmor_has(const char *profile UNUSED)
{
	return false;
}

int run_group_limits(struct runtime *r UNUSED, const char *path UNUSED, const struct run_limits *l UNUSED,
		     struct err *e UNUSED)
{
	return 0;
}

const struct run_machine *run_machine(const struct runtime *r UNUSED)
{
	static const struct run_machine m = {.missing = ""};

	return &m;
}
struct run_exec *container_exec(struct container *c UNUSED, const struct run_exec_spec *spec UNUSED,
				void (*started)(void *arg, const struct run_io *io, const struct err *err)
					UNUSED,
				void (*ended)(void *arg, int exit_code, const struct err *err) UNUSED,
				void *arg UNUSED)
{
	return NULL;
}
void run_exec_resize(struct run_exec *x UNUSED, uint16_t rows UNUSED, uint16_t cols UNUSED)
{
}
void run_exec_kill(struct run_exec *x UNUSED)
{
}
void container_attach(struct container *c UNUSED, bool in UNUSED, bool out UNUSED, bool err UNUSED,
		      void (*started)(void *arg, const struct run_io *io, const struct err *err) UNUSED,
		      void *arg UNUSED)
{
}
void container_resize(struct container *c UNUSED, uint16_t rows UNUSED, uint16_t cols UNUSED)
{
}
void sandbox_dial(struct sandbox *s UNUSED, int port UNUSED, void (*done)(void *arg, int fd) UNUSED,
		  void *arg UNUSED)
{
}
struct run_log *run_log_read(struct loop *l UNUSED, const char *path UNUSED,
			     const struct run_log_opts *o UNUSED,
			     void (*data)(void *arg, const void *p, size_t n) UNUSED,
			     void (*end)(void *arg, const struct err *err) UNUSED,
			     bool (*running)(void *arg) UNUSED, void *arg UNUSED)
{
	return NULL;
}
void run_log_pause(struct run_log *g UNUSED, bool paused UNUSED)
{
}
struct run_log *run_log_free(struct run_log *g UNUSED)
{
	return NULL;
}

/* --- images: everything is there but names with "missing"; names with "BAD" are no names --- */

int image_ref_parse(struct image_ref *r, const char *text, struct err *e)
{
	memset(r, 0, sizeof(*r));
	if (strstr(text, "BAD"))
		return err_set(e, ERR_INVALID, "invalid reference format");
	r->repository = xstrdup(text);
	return 0;
}
void image_ref_release(struct image_ref *r)
{
	free(r->repository);
	r->repository = NULL;
}
char *image_ref_print(const struct image_ref *r)
{
	return xasprintf("docker.io/library/%s", r->repository);
}
static char *words[] = {"/bin/app", NULL}, *none[] = {NULL}, *image_env[] = {"PATH=/bin", "IMG=1", NULL};
static struct image the_image = {.refs = 1,
				 .id = "sha256:abc",
				 .names = none,
				 .repo_digest = "",
				 .layers = none,
				 .entrypoint = words,
				 .cmd = none,
				 .env = image_env,
				 .user = "",
				 .working_dir = "/w",
				 .stop_signal = "",
				 .volumes = none};
struct image *image_find(struct image_store *s UNUSED, const char *ref)
{
	return strstr(ref, "missing") ? NULL : &the_image;
}
struct image *image_ref_image(struct image *i)
{
	return i;
}
struct image *image_unref(struct image *i UNUSED)
{
	return NULL;
}
int image_hold(struct image_store *s UNUSED, const struct image *i UNUSED, const char *holder UNUSED,
	       struct err *e UNUSED)
{
	return 0;
}

void image_unhold_if(struct image_store *s UNUSED, bool (*drop)(void *arg, const char *holder) UNUSED,
		     void *arg UNUSED)
{
}

void image_each(struct image_store *s UNUSED, void (*f)(void *arg, struct image *i), void *arg)
{
	f(arg, &the_image);
}
static void pull_answer(struct later *l)
{
	void (*done)(void *, struct image *, const struct image_pulled *, const struct err *) =
		(void (*)(void *, struct image *, const struct image_pulled *, const struct err *))l->b;
	const struct image_pulled info = {0};
	struct err e = ERR_INIT;

	err_set(&e, ERR_NOT_FOUND, "no such host");
	done(l->a, NULL, &info, &e);
	err_release(&e);
}
void image_pull(struct image_store *s UNUSED, const char *ref UNUSED,
		const struct image_pull_opts *opts UNUSED,
		void (*done)(void *arg, struct image *i, const struct image_pulled *info, const struct err *err),
		void *arg)
{
	later(pull_answer, arg, (void *)done);
}

void image_gc(struct image_store *s UNUSED, const struct image_gc_policy *policy UNUSED,
	      void (*done)(void *arg, const struct image_gc_result *r) UNUSED, void *arg UNUSED)
{
}
void image_folder_start(struct image_store *s UNUSED)
{
}
struct image_keyring *image_keyring_new(void)
{
	return NULL;
}
struct image_keyring *image_keyring_unref(struct image_keyring *k UNUSED)
{
	return NULL;
}
int image_keyring_add(struct image_keyring *k UNUSED, struct str json UNUSED, bool wrapped UNUSED,
		      const char *source UNUSED, struct err *e UNUSED)
{
	return 0;
}
void image_keyring_each(const struct image_keyring *k UNUSED, const char *ref UNUSED,
			void (*f)(void *arg, const char *source, const char *hash), void *arg)
{
	if (fake.credential_hash)
		f(arg, fake.credential_source, fake.credential_hash);
}

int image_store_watch(struct image_store *s UNUSED, void (*changed)(void *arg), void *arg UNUSED,
		      struct err *e UNUSED)
{
	fake.images_changed = changed;
	return 0;
}
void image_store_unwatch(struct image_store *s UNUSED)
{
}

/* --- net --- */

int net_attach(struct net *n UNUSED, const char *id UNUSED, int netns_fd UNUSED, struct net_attachment *out,
	       struct err *e UNUSED)
{
	*out = (struct net_attachment){ 0 };
	snprintf(out->ip[0], sizeof(out->ip[0]), "%s", fake.pod_ip ? fake.pod_ip : "10.42.0.5");
	return 0;
}
int net_set_ports(struct net *n UNUSED, const char *id UNUSED, const struct net_port *v UNUSED, size_t count UNUSED,
		  struct err *e UNUSED)
{
	return 0;
}

int net_detach(struct net *n UNUSED, const char *id UNUSED, struct err *e UNUSED)
{
	return 0;
}
void net_reconcile(struct net *n UNUSED, const char *const *keep UNUSED, size_t n_keep UNUSED)
{
}
const char *net_missing(const struct net *n UNUSED)
{
	return "";
}

/* --- streams: nobody asks for any --- */

int remote_want_parse(struct remote_want *ret UNUSED, struct str query UNUSED, struct err *e)
{
	return err_set(e, ERR_BAD_REQUEST, "no streams here");
}
struct remote *remote_accept(struct http_req *r UNUSED, struct remote_want want UNUSED,
			     const struct remote_ops *ops UNUSED, void *arg UNUSED)
{
	return NULL;
}
bool remote_write(struct remote *s UNUSED, enum remote_channel c UNUSED, struct str data UNUSED)
{
	return true;
}
void remote_ready(struct remote *s UNUSED)
{
}
void remote_exit(struct remote *s UNUSED, int exit_code UNUSED)
{
}
void remote_fail(struct remote *s UNUSED, const struct err *e UNUSED)
{
}
void remote_abort(struct remote *s UNUSED)
{
}
void portfwd_limit_idle(struct portfwd *p UNUSED, int64_t ms UNUSED)
{
}

struct portfwd *portfwd_accept(struct http_req *r UNUSED, const char *what UNUSED,
			       const struct portfwd_ops *ops UNUSED, void *arg UNUSED)
{
	return NULL;
}
void portfwd_close(struct portfwd *p UNUSED)
{
}
void portfwd_join(struct portfwd_conn *c UNUSED, int fd_take UNUSED)
{
}
void portfwd_end(struct portfwd_conn *c UNUSED, const struct err *e UNUSED)
{
}

/* --- the test's own --- */

void fake_settle(int ms)
{
	int64_t end = time_mono_ms() + ms;

	do
		loop_turn(fake.loop, 5);
	while (time_mono_ms() < end);
}

void fake_end(void)
{
	for (size_t i = 0; i < objs.n; i++)
		obj_unref(objs.v[i]);
	VEC_RELEASE(&objs);
	for (size_t i = 0; i < informers.n; i++)
		free(informers.v[i]);
	VEC_RELEASE(&informers);
	while (sandboxes.n) {
		struct sandbox *s = sandboxes.v[--sandboxes.n];

		for (size_t i = 0; i < s->ctrs.n; i++)
			free(s->ctrs.v[i]);
		VEC_RELEASE(&s->ctrs);
		free(s);
	}
	VEC_RELEASE(&sandboxes);
	buf_release(&fake.events);
	buf_release(&fake.spec);
	buf_release(&fake.stops);
}
