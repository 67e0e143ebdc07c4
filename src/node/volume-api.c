/*
 * Volumes that show objects of the API as files: configMap, secret, downwardAPI,
 * and projected, which mixes these and serviceAccountToken. They follow changes.
 *
 * Secrets and everything that may hold a token live on the node's tmpfs.
 */
#include <errno.h>

#include "node/internal.h"

#define TOKEN_SECONDS 3600

struct fill {
	struct volume_ctx *v;
	struct payload out;
	mode_t dflt;
	int64_t uid, gid;
};

static void fill_release(struct fill *f)
{
	payload_release(&f->out);
}

static void fill_init(struct fill *f, struct volume_ctx *v)
{
	*f = (struct fill){.v = v, .uid = -1, .gid = pod_fs_group(v->pod)};
	f->dflt = (mode_t)node_int(node_get(v->src, F_defaultMode), 0644) & 0777;
}

/* The group must be able to read what it owns. */
static mode_t fill_mode(const struct fill *f, const struct node *mode)
{
	mode_t m = mode ? (mode_t)node_int(mode, f->dflt) & 0777 : f->dflt;

	return f->gid >= 0 ? m | 0040 : m;
}

static void fill_value(struct fill *f, const char *path, bool base64, const struct node *value, mode_t mode)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct str s = node_str(value);

	if (!base64)
		payload_add(&f->out, path, s.p, s.n, mode);
	else if (buf_add_base64_decoded(&b, s, false))
		payload_add(&f->out, path, b.s, b.len, mode);
}

static const struct node *object_value(const struct node *root, const char *key, bool secret, bool *base64)
{
	const struct node *v = node_getc(node_get(root, F_data), key);

	*base64 = secret;
	if (!v && !secret && (v = node_getc(node_get(root, F_binaryData), key)))
		*base64 = true;
	return v;
}

static int fill_items(struct fill *f, const struct node *root, const struct node *items, bool secret,
		      bool optional, struct err *e)
{
	bool base64;

	NODE_FOREACH (i, items) {
		const char *key = node_gets(i, F_key);
		const struct node *v = object_value(root, key, secret, &base64);

		if (v)
			fill_value(f, node_gets(i, F_path), base64, v, fill_mode(f, node_get(i, F_mode)));
		else if (!optional)
			return err_set(e, ERR_NOT_FOUND, "references non-existent %s key: %s",
				       secret ? "secret" : "config", key);
	}
	return 0;
}

static void fill_all(struct fill *f, const struct node *root, bool secret)
{
	NODE_FOREACH (v, node_get(root, F_data))
		fill_value(f, v->key, secret, v, fill_mode(f, NULL));
	if (!secret)
		NODE_FOREACH (v, node_get(root, F_binaryData))
			fill_value(f, v->key, true, v, fill_mode(f, NULL));
}

/* 0, -EAGAIN without an error, or an error. */
static int fill_object(struct fill *f, const struct node *src, enum agent_ref kind, const char *name,
		       struct err *e)
{
	struct pod *p = f->v->pod;
	bool secret = kind == REF_SECRET, optional = node_bool(node_get(src, F_optional), false);
	const struct node *items = node_get(src, F_items);
	struct obj *o;
	int r = agent_ref(p->agent, kind, p->ns, name, &o);

	if (r < 0)
		return r;
	if (r == 0)
		return optional ? 0
				: err_set(e, ERR_NOT_FOUND, "%s \"%s\" not found",
					  secret ? "secret" : "configmap", name);
	if (node_count(items))
		return fill_items(f, obj_node(o), items, secret, optional, e);
	fill_all(f, obj_node(o), secret);
	return 0;
}

static int fill_downward(struct fill *f, const struct node *items, struct err *e)
{
	struct arena *a = arena_new();
	int r = 0;

	NODE_FOREACH (i, items) {
		const struct node *field = node_get(i, F_fieldRef), *res = node_get(i, F_resourceFieldRef);
		const char *v = "";

		if (field)
			r = env_field_ref(f->v->pod, node_gets(field, F_fieldPath), a, &v, e);
		else if (res)
			r = env_resource_ref(f->v->pod, NULL, res, a, &v, e);
		if (r < 0)
			break;
		payload_add(&f->out, node_gets(i, F_path), v, strlen(v), fill_mode(f, node_get(i, F_mode)));
	}
	arena_free(a);
	return r;
}

static int fill_write(struct fill *f, struct err *e)
{
	return writer_write(f->v->dir, &f->out, f->uid, f->gid, e);
}

/* --- tokens --- */

struct token_call {
	struct pod *pod;
	char *volume, *path;
};

static struct pod_token *token_find(struct pod *p, const char *volume, const char *path)
{
	for (size_t i = 0; i < p->n_tokens; i++)
		if (streq(p->tokens[i].volume, volume) && streq(p->tokens[i].path, path))
			return &p->tokens[i];
	p->tokens = xreallocarray(p->tokens, p->n_tokens + 1, sizeof(*p->tokens));
	p->tokens[p->n_tokens] = (struct pod_token){.volume = xstrdup(volume), .path = xstrdup(path)};
	return &p->tokens[p->n_tokens++];
}

static void token_done(void *arg, struct obj *o, const struct err *err)
{
	struct token_call *call = arg;
	struct pod *p = call->pod;
	struct pod_token *t = token_find(p, call->volume, call->path);
	const struct node *st = o ? node_get(obj_node(o), F_status) : NULL;
	int64_t now = time_wall_s(), exp;

	t->busy = false;
	t->error = free_null(t->error);
	if (!node_get(st, F_token)) {
		t->error =
			xasprintf("failed to fetch token: %s", err ? err_msg(err) : "the answer holds none");
		t->refresh_s = now + 10;
	} else {
		set_str(&t->token, node_gets(st, F_token));
		if (!time_parse_rfc3339(node_str(node_get(st, F_expirationTimestamp)), &exp))
			exp = (now + TOKEN_SECONDS) * SEC_NS;
		/* At 80 % of its life, and at least once a day, as the kubelet. */
		t->refresh_s = now + min_i64((exp / SEC_NS - now) * 8 / 10, 24 * 3600);
	}
	free(call->volume);
	free(call->path);
	free(call);
	p->refs_changed = true;
	pod_put(p);
}

static void token_ask(struct pod *p, struct pod_token *t, const struct node *src)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *spec, *ref;
	struct token_call *call = xcalloc(1, sizeof(*call));
	const char *account = node_gets(pod_spec(p), F_serviceAccountName);

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "authentication.k8s.io/v1");
	node_sets(d, root, F_kind, "TokenRequest");
	spec = node_need_object(d, root, F_spec);
	node_seti(d, spec, F_expirationSeconds, node_int(node_get(src, F_expirationSeconds), TOKEN_SECONDS));
	if (*node_gets(src, F_audience))
		node_append(node_need_array(d, spec, F_audiences),
			    node_new_cstr(d, node_gets(src, F_audience)));
	else
		node_need_array(d, spec, F_audiences);
	ref = node_need_object(d, spec, F_boundObjectRef);
	node_sets(d, ref, F_apiVersion, "v1");
	node_sets(d, ref, F_kind, "Pod");
	node_sets(d, ref, F_name, p->name);
	node_sets(d, ref, F_uid, p->uid);
	*call = (struct token_call){p, xstrdup(t->volume), xstrdup(t->path)};
	t->busy = true;
	p->pending++;
	client_create_sub(p->agent->client, p->agent->r_accounts, p->ns, *account ? account : "default",
			  "token", d, token_done, call);
}

static int fill_token(struct fill *f, const struct node *src, struct err *e)
{
	struct pod *p = f->v->pod;
	struct pod_token *t = token_find(p, node_gets(f->v->vol, F_name), node_gets(src, F_path));
	mode_t mode = pod_fs_group(p) >= 0 ? 0640 : 0600;

	if (!t->busy && (!t->token || time_wall_s() >= t->refresh_s) &&
	    !(t->error && time_wall_s() < t->refresh_s))
		token_ask(p, t, src);
	if (!t->token)
		return t->error ? err_set(e, ERR_INTERNAL, "%s", t->error) : -EAGAIN;
	/* Without fsGroup the token belongs to the user of the containers when they agree on one. */
	if (f->gid < 0) {
		f->uid = node_int(node_path(pod_spec(p), F_securityContext, F_runAsUser), -1);
		mode = f->uid > 0 ? 0600 : f->dflt;
	}
	payload_add(&f->out, t->path, t->token, strlen(t->token), mode);
	return 0;
}

int64_t volumes_next_due(struct pod *p)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < p->n_tokens; i++)
		if (!p->tokens[i].busy && p->tokens[i].refresh_s)
			due = min_i64(due,
				      time_mono_ms() +
					      max_i64(p->tokens[i].refresh_s - time_wall_s(), 1) * SEC_MS);
	return due;
}

void volume_tokens_free(struct pod *p)
{
	for (size_t i = 0; i < p->n_tokens; i++) {
		free(p->tokens[i].volume);
		free(p->tokens[i].path);
		free(p->tokens[i].token);
		free(p->tokens[i].error);
	}
	p->tokens = free_null(p->tokens);
	p->n_tokens = 0;
}

/* --- the types --- */

static int config_map_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	_cleanup_(fill_release) struct fill f;
	int r;

	fill_init(&f, v);
	r = fill_object(&f, v->src, REF_CONFIGMAP, node_gets(v->src, F_name), e);
	return r < 0 ? r : fill_write(&f, e);
}

static int secret_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	_cleanup_(fill_release) struct fill f;
	int r;

	fill_init(&f, v);
	r = fill_object(&f, v->src, REF_SECRET, node_gets(v->src, F_secretName), e);
	return r < 0 ? r : fill_write(&f, e);
}

static int downward_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	_cleanup_(fill_release) struct fill f;
	int r;

	fill_init(&f, v);
	r = fill_downward(&f, node_get(v->src, F_items), e);
	return r < 0 ? r : fill_write(&f, e);
}

static int projected_source(struct fill *f, const struct node *s, struct err *e)
{
	const struct node *n;

	if ((n = node_get(s, F_configMap)))
		return fill_object(f, n, REF_CONFIGMAP, node_gets(n, F_name), e);
	if ((n = node_get(s, F_secret)))
		return fill_object(f, n, REF_SECRET, node_gets(n, F_name), e);
	if ((n = node_get(s, F_downwardAPI)))
		return fill_downward(f, node_get(n, F_items), e);
	if ((n = node_get(s, F_serviceAccountToken)))
		return fill_token(f, n, e);
	return err_set(e, ERR_INVALID, "a projected source is of a type that this node does not know");
}

static int projected_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	_cleanup_(fill_release) struct fill f;
	bool wait = false;

	fill_init(&f, v);
	NODE_FOREACH (s, node_get(v->src, F_sources)) {
		int r = projected_source(&f, s, e);

		if (r == -EAGAIN && !err_is_set(e))
			wait = true;
		else if (r < 0)
			return r;
	}
	return wait ? -EAGAIN : fill_write(&f, e);
}

const struct volume_type volume_config_map = {
	.field = F_configMap,
	.plugin = "kubernetes.io~configmap",
	.up = config_map_up,
	.refreshed = true,
};
const struct volume_type volume_secret = {
	.field = F_secret,
	.plugin = "kubernetes.io~secret",
	.in_memory = true,
	.up = secret_up,
	.refreshed = true,
};
const struct volume_type volume_projected = {
	.field = F_projected,
	.plugin = "kubernetes.io~projected",
	.in_memory = true,
	.up = projected_up,
	.refreshed = true,
};
const struct volume_type volume_downward_api = {
	.field = F_downwardAPI,
	.plugin = "kubernetes.io~downward-api",
	.up = downward_up,
	.refreshed = true,
};
