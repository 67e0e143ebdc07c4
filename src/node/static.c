/*
 * Static pods: the directory, and the mirror pods.
 *
 * As the kubelet has them: what lies in the directory runs, whatever the API says.
 * The API is shown a mirror pod of the same name, with the hash of the manifest in
 * its annotation kubernetes.io/config.mirror; deleting it there changes nothing,
 * it comes back. A manifest that changes is another pod: the old one ends first.
 * One that cannot be read as a pod is as good as none.
 *
 * The directory is followed by inotify. Symbolic links in it are followed, but a
 * change of what they point to is seen only with the next event there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "node/static.h"

#define SETTLE_MS 100	     /* from an event to the look: what is changed together is seen together */
#define FRESH_MS 1000	     /* a bad manifest that is younger may be half written: looked at again */
#define MIRROR_FIRST_MS 1000 /* a mirror that went, or that the API does not take: again, with a back-off */
#define MIRROR_MAX_MS 60000

struct statics {
	struct node_agent *agent;
	char *dir;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	struct map *files; /* path -> struct obj, as last read */
	struct map *told;  /* path -> the error that was logged last */
};

static void obj_drop(void *o)
{
	obj_unref(o);
}

static void statics_look(void *arg);

struct statics *statics_new(struct node_agent *n, const char *dir)
{
	struct statics *s;

	if (str_empty(dir))
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->agent = n;
	s->dir = xstrdup(dir);
	s->fd = -1;
	s->files = map_new(obj_drop);
	s->told = map_new(free);
	s->timer = loop_timer_new(n->loop, statics_look, s);
	return s;
}

struct statics *statics_free(struct statics *s)
{
	if (!s)
		return NULL;
	loop_fd_free(s->watch);
	close_fd(s->fd);
	loop_timer_free(s->timer);
	map_free(s->files);
	map_free(s->told);
	free(s->dir);
	free(s);
	return NULL;
}

/* --- reading the directory --- */

/* An error is told once, until it is another. */
static void tell(struct statics *s, const char *path, const struct err *e)
{
	const char *old = map_getc(s->told, path);

	if (old && streq(old, err_msg(e)))
		return;
	map_set(s->told, str_of(path), xstrdup(err_msg(e)));
	log_warn("can't process manifest file", LS("path", path), LE(e));
}

/* 1: a pod; 0: none; -EAGAIN: bad, but perhaps only not yet written to its end. */
static int read_one(struct statics *s, const char *path, struct obj **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_errno(&e, errno, "open");
	} else if (!S_ISREG(st.st_mode)) {
		err_set(&e, ERR_BAD_REQUEST, "it is no regular file");
	} else {
		text = xmalloc(LIMIT_OBJECT_BYTES + 1);
		n = fd_read_all(fd, text, LIMIT_OBJECT_BYTES + 1);
		if (n > (ssize_t)LIMIT_OBJECT_BYTES)
			err_set(&e, ERR_BAD_REQUEST, "it is larger than %u bytes", LIMIT_OBJECT_BYTES);
		else if (static_parse(s->agent->name, path, str_n(text, n > 0 ? (size_t)n : 0), ret, &e) == 0)
			return 1;
		if ((time_wall_ns() - (st.st_mtim.tv_sec * SEC_NS + st.st_mtim.tv_nsec)) / 1000000 < FRESH_MS)
			return -EAGAIN;
	}
	tell(s, path, &e);
	return 0;
}

static int visible(const struct dirent *de)
{
	return de->d_name[0] != '.';
}

static bool name_taken(struct map *files, struct obj *o)
{
	struct map_iter it = {0};

	while (map_next(files, &it)) {
		struct obj *other = it.value;

		if (streq(other->ns, o->ns) && streq(other->name, o->name))
			return true;
	}
	return false;
}

/* Takes over the object of the same manifest that is known already, so that what runs stays what it is. */
static void look_at(struct statics *s, struct map *files, const char *path)
{
	struct obj *known = map_getc(s->files, path), *o = NULL;
	int r = read_one(s, path, &o);
	_cleanup_err_ struct err e = ERR_INIT;

	if (r == -EAGAIN) {
		loop_timer_set(s->timer, FRESH_MS);
		o = known ? obj_ref(known) : NULL;
	} else if (r > 0 && known && streq(known->uid, o->uid)) {
		obj_unref(o);
		o = obj_ref(known);
	}
	if (o && name_taken(files, o)) {
		err_set(&e, ERR_ALREADY_EXISTS, "another manifest has a pod \"%s\" in namespace \"%s\"", o->name, o->ns);
		tell(s, path, &e);
		o = obj_unref(o);
	}
	if (o) {
		map_set(files, str_of(path), o);
		if (r > 0)
			map_del(s->told, str_of(path));
	}
}

static void scan(struct statics *s)
{
	struct map *files = map_new(obj_drop);
	struct dirent **list = NULL;
	int n = scandir(s->dir, &list, visible, alphasort);

	if (n < 0)
		log_warn("cannot read the directory of static pods", LS("path", s->dir),
			 LS("error", strerror(errno)));
	if (n > LIMIT_STATIC_PODS)
		log_warn("too many manifests, the rest is left out", LS("path", s->dir), LI("read", LIMIT_STATIC_PODS));
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = path_join(s->dir, list[i]->d_name);

		if (i < LIMIT_STATIC_PODS)
			look_at(s, files, path);
		free(list[i]);
	}
	free(list);
	map_free(s->files);
	s->files = files;
}

static void statics_event(void *arg, int what UNUSED)
{
	struct statics *s = arg;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(s->fd, buf, sizeof(buf)) > 0)
		;
	if (!loop_timer_is_set(s->timer))
		loop_timer_set(s->timer, SETTLE_MS);
}

void statics_start(struct statics *s)
{
	_cleanup_err_ struct err e = ERR_INIT;
	const unsigned events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ATTRIB |
				IN_ONLYDIR;

	if (!s)
		return;
	if (path_mkdirs(s->dir, 0755, &e) < 0) {
		log_warn("no static pods", LE(&e));
		return;
	}
	s->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->fd < 0 || inotify_add_watch(s->fd, s->dir, events) < 0)
		log_warn("changes of static pods are not noticed", LS("path", s->dir), LS("error", strerror(errno)));
	else
		s->watch = loop_fd_new(s->agent->loop, s->fd, LOOP_READ, statics_event, s);
	scan(s);
	statics_run(s);
}

/* --- workers --- */

static bool wanted(struct statics *s, const char *uid)
{
	struct map_iter it = {0};

	while (map_next(s->files, &it))
		if (streq(((struct obj *)it.value)->uid, uid))
			return true;
	return false;
}

/* A worker of that name, of a former manifest, is still there. */
static bool still_there(struct node_agent *n, const struct obj *o)
{
	struct map_iter it = {0};

	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		if (p->is_static && streq(p->ns, o->ns) && streq(p->name, o->name) && !streq(p->uid, o->uid))
			return true;
	}
	return false;
}

void statics_run(struct statics *s)
{
	struct map_iter it = {0};

	while (s && map_next(s->files, &it)) {
		struct obj *o = it.value;
		struct pod *p = map_getc(s->agent->by_uid, o->uid);

		if (!p && !still_there(s->agent, o))
			agent_add(s->agent, o);
	}
}

void statics_kick(struct statics *s)
{
	struct map_iter it = {0};

	while (s && map_next(s->agent->by_uid, &it))
		if (((struct pod *)it.value)->is_static)
			pod_kick(it.value);
}

static void statics_look(void *arg)
{
	struct statics *s = arg;
	struct map_iter it = {0};

	scan(s);
	while (map_next(s->agent->by_uid, &it)) {
		struct pod *p = it.value;

		if (p->is_static && !p->gone && !wanted(s, p->uid))
			pod_object_gone(p, p->obj);
	}
	statics_run(s);
}

/* --- mirror pods --- */

const char *static_mirror_hash(struct obj *o)
{
	return meta_annotation(obj_node(o), STATIC_MIRROR);
}

static struct pod *static_of(struct node_agent *n, const char *ns, const char *name)
{
	struct pod *p = agent_pod(n, ns, name);

	return p && p->is_static ? p : NULL;
}

static void orphan_deleted(void *arg UNUSED, struct obj *o UNUSED, const struct err *err)
{
	if (err && err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT)
		log_warn("cannot delete a mirror pod without a manifest, ignoring", LE(err));
}

void static_mirror_seen(struct node_agent *n, struct obj *o, bool gone)
{
	struct pod *p = static_of(n, o->ns, o->name);

	if (!p && !gone) {
		client_delete(n->client, n->r_pods, o->ns, o->name, o->uid, 0, orphan_deleted, NULL);
		return;
	}
	if (!p || o->rv <= p->mirror_rv) /* an answer that was overtaken by the watch, or the other way round */
		return;
	p->mirror_rv = o->rv;
	if (!gone || (p->mirror && streq(p->mirror->uid, o->uid))) {
		obj_unref(p->mirror);
		p->mirror = gone ? NULL : obj_ref(o);
	}
	/* Who waits for the end of the deleted one (kubectl delete) must have a chance to see it. */
	p->mirror_retry_ms = gone ? time_mono_ms() + MIRROR_FIRST_MS : 0;
	pod_kick(p);
}

static void mirror_made(void *arg, struct obj *o, const struct err *err)
{
	struct pod *p = arg;
	int64_t now = time_mono_ms();

	p->mirror_busy = false;
	if (!err) {
		p->mirror_backoff = (struct backoff){0};
		static_mirror_seen(p->agent, o, false);
	} else {
		backoff_next(&p->mirror_backoff, now, MIRROR_FIRST_MS, MIRROR_MAX_MS);
		p->mirror_retry_ms = now + p->mirror_backoff.delay_ms;
		log_warn("cannot show a static pod, trying again", LS("pod", p->name), LS("ns", p->ns), LE(err));
	}
	pod_put(p);
}

/* The watch tells that it went; what is left to do is done then. */
static void mirror_gone(void *arg, struct obj *o UNUSED, const struct err *err)
{
	struct pod *p = arg;

	p->mirror_busy = false;
	p->mirror_retry_ms = time_mono_ms() + MIRROR_FIRST_MS;
	if (err && err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT)
		log_warn("cannot delete a mirror pod, trying again", LS("pod", p->name), LS("ns", p->ns), LE(err));
	pod_put(p);
}

static void mirror_create(struct pod *p)
{
	struct doc *d = doc_clone(obj_doc(p->obj));
	struct node *meta = node_need_object(d, doc_root(d), F_metadata), *o;

	node_remove(doc_root(d), F_status);
	node_remove(meta, F_uid);
	node_remove(meta, F_resourceVersion);
	node_setk(d, node_need_object(d, meta, F_annotations), STR_LIT(STATIC_MIRROR),
		  node_new_str(d, str_of(p->uid)));
	if (p->agent->node) {
		o = node_append(node_need_array(d, meta, F_ownerReferences), node_new(d, DOC_OBJECT));
		node_sets(d, o, F_apiVersion, "v1");
		node_sets(d, o, F_kind, "Node");
		node_sets(d, o, F_name, p->agent->name);
		node_sets(d, o, F_uid, p->agent->node->uid);
		node_setb(d, o, F_controller, true);
	}
	p->mirror_busy = true;
	p->pending++;
	client_create(p->agent->client, p->agent->r_pods, p->ns, d, mirror_made, p);
}

static void mirror_delete(struct pod *p)
{
	p->mirror_busy = true;
	p->pending++;
	client_delete(p->agent->client, p->agent->r_pods, p->ns, p->name, p->mirror->uid, 0, mirror_gone, p);
}

bool static_mirror_run(struct pod *p)
{
	bool over = p->gone && p->state == POD_OVER;
	const char *hash = p->mirror ? static_mirror_hash(p->mirror) : NULL;

	if (p->mirror_busy || p->mirror_retry_ms > time_mono_ms())
		return false;
	p->mirror_retry_ms = 0;
	if (!p->mirror) {
		if (over)
			return true;
		if (!p->gone && p->agent->node)
			mirror_create(p);
		return false;
	}
	if (over || !hash || !streq(hash, p->uid) || meta_is_deleting(obj_node(p->mirror)))
		mirror_delete(p);
	return false;
}
