/*
 * Admission of pods: whom they run as (ServiceAccount).
 *
 * A new pod without an account gets "default". Unless the pod or its account
 * say no, every container sees a token of the account, the cluster's certificate
 * authority and the namespace below /var/run/secrets/kubernetes.io/serviceaccount:
 * a projected volume, which the node agent fills. The account's imagePullSecrets
 * are the pod's when it has none. An account with the annotation
 * kubernetes.io/enforce-mountable-secrets lets its pods see the Secrets that it
 * names and no others. A mirror pod, which a node shows of what it runs anyway,
 * may have none of this.
 *
 * A namespace's "default" account is made by a controller, a moment after the
 * namespace: a pod that comes before it waits (account_wait), as long as
 * kube-apiserver would.
 */
#include "api/admit.h"

#include "base/hash.h"

#define ACCOUNT_TRIES 10
#define ACCOUNT_WAIT_MS 150
#define TOKEN_MOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_VOLUME "kube-api-access-"
#define TOKEN_SECONDS 3607
#define TOKEN_SUFFIX 5
#define MIRROR "kubernetes.io/config.mirror"

static const struct {
	enum field list;
	const char *what;
} account_lists[] = {
	{ F_initContainers, "init container" },
	{ F_containers, "container" },
	{ F_ephemeralContainers, "ephemeral container" },
};

static const char *account_name(const struct node *spec)
{
	const char *name = node_gets(spec, F_serviceAccountName);

	if (!*name)
		name = node_gets(spec, F_serviceAccount);
	return *name ? name : "default";
}

static struct obj *account_of(const struct req *r, const char *name)
{
	return store_get(r->api->store, &r->api->service_accounts->r, r->at.ns, name);
}

static int account_missing(const struct admission *a, const char *name, struct err *e)
{
	return admit_forbid(a, e, "error looking up service account %s/%s: serviceaccount \"%s\" not found", a->r->at.ns,
			    name, name);
}

/* --- waiting for "default" --- */

static void account_waited(void *arg)
{
	struct req *r = arg;

	r->on_gone = NULL;
	r->wait = loop_timer_free(r->wait);
	req_run(r); /* the same phase again */
}

static void account_gone(struct req *r)
{
	r->on_gone = NULL;
	r->wait = loop_timer_free(r->wait);
	err_set(&r->err, ERR_SERVER_TIMEOUT, "the client has left");
	req_finish(r);
}

bool account_wait(struct req *r)
{
	const struct node *root = doc_root(r->body);
	struct obj *ns = store_get(r->api->store, &r->api->namespaces->r, "", r->at.ns);

	if (r->st != r->api->pods || *r->at.subresource || !ns || meta_is_deleting(obj_node(ns)) ||
	    r->tries >= ACCOUNT_TRIES || (*r->at.name && store_get(r->api->store, &r->st->r, r->at.ns, r->at.name)) || meta_annotation(root, MIRROR) ||
	    !streq(account_name(node_get(root, F_spec)), "default") || account_of(r, "default")) {
		r->tries = 0; /* somebody else counts with it from now on */
		return false;
	}
	r->tries++;
	r->on_gone = account_gone;
	r->wait = loop_timer_new(r->api->loop, account_waited, r);
	loop_timer_set(r->wait, ACCOUNT_WAIT_MS);
	return true;
}

/* --- the token --- */

static struct node *projection(struct admission *a, struct node *sources, enum field kind)
{
	struct node *source = node_append(sources, node_new(a->d, DOC_OBJECT));

	return node_need_object(a->d, source, kind);
}

static void token_volume(struct admission *a, struct node *spec, const char *name)
{
	struct node *volume = node_append(node_need_array(a->d, spec, F_volumes), node_new(a->d, DOC_OBJECT));
	struct node *projected, *sources, *n, *item;

	node_sets(a->d, volume, F_name, name);
	projected = node_need_object(a->d, volume, F_projected);
	sources = node_need_array(a->d, projected, F_sources);
	n = projection(a, sources, F_serviceAccountToken);
	node_seti(a->d, n, F_expirationSeconds, TOKEN_SECONDS);
	node_sets(a->d, n, F_path, "token");
	n = projection(a, sources, F_configMap);
	item = node_append(node_need_array(a->d, n, F_items), node_new(a->d, DOC_OBJECT));
	node_sets(a->d, item, F_key, "ca.crt");
	node_sets(a->d, item, F_path, "ca.crt");
	node_sets(a->d, n, F_name, "kube-root-ca.crt");
	n = projection(a, sources, F_downwardAPI);
	item = node_append(node_need_array(a->d, n, F_items), node_new(a->d, DOC_OBJECT));
	n = node_need_object(a->d, item, F_fieldRef);
	node_sets(a->d, n, F_apiVersion, "v1");
	node_sets(a->d, n, F_fieldPath, "metadata.namespace");
	node_sets(a->d, item, F_path, "namespace");
	node_seti(a->d, projected, F_defaultMode, 0644);
}

static bool token_is_mounted(const struct node *container)
{
	NODE_FOREACH(m, node_get(container, F_volumeMounts))
		if (streq(node_gets(m, F_mountPath), TOKEN_MOUNT))
			return true;
	return false;
}

/* By chance, but the same when admission runs again for the same request. */
static void token_suffix(const struct req *r, char *out)
{
	static const char letters[] = "bcdfghjklmnpqrstvwxz2456789"; /* generateName's */
	uint64_t h = hash_fnv64a(str_of(r->uid));

	for (int i = 0; i < TOKEN_SUFFIX; i++, h /= sizeof(letters) - 1)
		out[i] = letters[h % (sizeof(letters) - 1)];
	out[TOKEN_SUFFIX] = '\0';
}

static void token_mount(struct admission *a, struct node *spec)
{
	const char *have = NULL;
	char name[sizeof(TOKEN_VOLUME) + TOKEN_SUFFIX] = TOKEN_VOLUME;
	bool mounted = false;

	NODE_FOREACH(v, node_get(spec, F_volumes))
		if (!have && starts_with(node_gets(v, F_name), TOKEN_VOLUME))
			have = node_gets(v, F_name);
	token_suffix(a->r, name + strlen(TOKEN_VOLUME));
	for (size_t i = 0; i < 2; i++)
		NODE_FOREACH(c, node_get(spec, account_lists[i].list)) {
			struct node *m;

			if (token_is_mounted(c))
				continue;
			m = node_append(node_need_array(a->d, c, F_volumeMounts), node_new(a->d, DOC_OBJECT));
			node_sets(a->d, m, F_mountPath, TOKEN_MOUNT);
			node_sets(a->d, m, F_name, have ? have : name);
			node_setb(a->d, m, F_readOnly, true);
			mounted = true;
		}
	if (mounted && !have)
		token_volume(a, spec, name);
}

static bool token_wanted(const struct node *spec, const struct node *account)
{
	const struct node *own = node_get(spec, F_automountServiceAccountToken);

	return node_bool(own ? own : node_get(account, F_automountServiceAccountToken), true);
}

int admit_account_mutate(struct admission *a, struct err *e)
{
	const struct node *account, *secrets;
	struct node *spec, *list;
	struct obj *sa;
	const char *name;

	if (!admit_new_pod(a) || meta_annotation(a->root, MIRROR))
		return 0;
	spec = node_need_object(a->d, a->root, F_spec);
	name = account_name(spec);
	node_sets(a->d, spec, F_serviceAccountName, name);
	node_sets(a->d, spec, F_serviceAccount, node_gets(spec, F_serviceAccountName));
	sa = account_of(a->r, name);
	if (!sa)
		return account_missing(a, node_gets(spec, F_serviceAccountName), e);
	account = obj_node(sa);
	if (token_wanted(spec, account))
		token_mount(a, spec);
	secrets = node_get(account, F_imagePullSecrets);
	if (node_count(node_get(spec, F_imagePullSecrets)) || !node_count(secrets))
		return 0;
	list = node_need_array(a->d, spec, F_imagePullSecrets);
	NODE_FOREACH(s, secrets)
		node_sets(a->d, node_append(list, node_new(a->d, DOC_OBJECT)), F_name, node_gets(s, F_name));
	return 0;
}

/* --- what may be seen --- */

static bool refers(const struct node *list, const char *name)
{
	NODE_FOREACH(s, list)
		if (streq(node_gets(s, F_name), name))
			return true;
	return false;
}

static int secret_not_referenced(const struct admission *a, struct obj *sa, struct err *e, const char *fmt, ...)
	ATTR_PRINTF(4, 5);
static int secret_not_referenced(const struct admission *a, struct obj *sa, struct err *e, const char *fmt, ...)
{
	_cleanup_free_ char *who = NULL;
	va_list ap;

	va_start(ap, fmt);
	who = xvasprintf(fmt, ap);
	va_end(ap);
	return admit_forbid(a, e, "%s is not allowed because service account %s does not reference that secret", who,
			    sa->name);
}

static int limit_container(const struct admission *a, struct obj *sa, const struct node *c, const char *what,
			   struct err *e)
{
	const struct node *allowed = node_get(obj_node(sa), F_secrets);

	NODE_FOREACH(v, node_get(c, F_env)) {
		const struct node *ref = node_path(v, F_valueFrom, F_secretKeyRef);

		if (ref && !refers(allowed, node_gets(ref, F_name)))
			return secret_not_referenced(a, sa, e, "%s %s with envVar %s referencing secret.secretName=\"%s\"",
						     what, node_gets(c, F_name), node_gets(v, F_name),
						     node_gets(ref, F_name));
	}
	NODE_FOREACH(v, node_get(c, F_envFrom)) {
		const struct node *ref = node_get(v, F_secretRef);

		if (ref && !refers(allowed, node_gets(ref, F_name)))
			return secret_not_referenced(a, sa, e, "%s %s with envFrom referencing secret.secretName=\"%s\"",
						     what, node_gets(c, F_name), node_gets(ref, F_name));
	}
	return 0;
}

static int limit_containers(const struct admission *a, struct obj *sa, size_t from, size_t to, struct err *e)
{
	for (size_t i = from; i < to; i++)
		NODE_FOREACH(c, node_path(a->root, F_spec, account_lists[i].list))
			if (limit_container(a, sa, c, account_lists[i].what, e) < 0)
				return -e->code;
	return 0;
}

static int limit_secrets(const struct admission *a, struct obj *sa, struct err *e)
{
	const struct node *spec = node_get(a->root, F_spec), *account = obj_node(sa);
	size_t i = 0;

	NODE_FOREACH(v, node_get(spec, F_volumes)) {
		const struct node *s = node_get(v, F_secret);

		if (s && !refers(node_get(account, F_secrets), node_gets(s, F_secretName)))
			return secret_not_referenced(a, sa, e, "volume with secret.secretName=\"%s\"",
						     node_gets(s, F_secretName));
	}
	if (limit_containers(a, sa, 0, 2, e) < 0)
		return -e->code;
	NODE_FOREACH(s, node_get(spec, F_imagePullSecrets)) {
		if (!refers(node_get(account, F_imagePullSecrets), node_gets(s, F_name)))
			return admit_forbid(a, e,
					    "imagePullSecrets[%zu].name=\"%s\" is not allowed because service account %s "
					    "does not reference that imagePullSecret",
					    i, node_gets(s, F_name), sa->name);
		i++;
	}
	return 0;
}

/* As Go's strconv.ParseBool. */
static bool account_enforces(struct obj *sa)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	const char *text = meta_annotation(obj_node(sa), "kubernetes.io/enforce-mountable-secrets");

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (streq_null(text, yes[i]))
			return true;
	return false;
}

/* Below this, does anything name a Secret? */
static bool names_secret(const struct node *n)
{
	NODE_FOREACH(c, n) {
		if (c->name == F_secret || c->name == F_secretRef || c->name == F_secretKeyRef || c->name == F_imagePullSecrets)
			return true;
		if ((node_is(c, DOC_OBJECT) || node_is(c, DOC_ARRAY)) && names_secret(c))
			return true;
	}
	return false;
}

static int mirror_check(const struct admission *a, struct err *e)
{
	const struct node *spec = node_get(a->root, F_spec);

	if (*node_gets(spec, F_serviceAccountName))
		return admit_forbid(a, e, "a mirror pod may not reference service accounts");
	if (names_secret(spec))
		return admit_forbid(a, e, "a mirror pod may not reference secrets");
	NODE_FOREACH(v, node_get(spec, F_volumes))
		NODE_FOREACH(s, node_path(v, F_projected, F_sources))
			if (node_get(s, F_serviceAccountToken))
				return admit_forbid(a, e, "a mirror pod may not use ServiceAccountToken volume projections");
	return 0;
}

int admit_account_validate(struct admission *a, struct err *e)
{
	bool ephemeral = a->old && admit_is(a, "", "pods") && admit_sub(a, "ephemeralcontainers");
	const char *name = account_name(node_get(a->root, F_spec));
	struct obj *sa;

	if (!ephemeral && !admit_new_pod(a))
		return 0;
	if (!ephemeral && meta_annotation(a->root, MIRROR))
		return mirror_check(a, e);
	sa = account_of(a->r, name);
	if (!sa)
		return account_missing(a, name, e);
	if (!account_enforces(sa))
		return 0;
	return ephemeral ? limit_containers(a, sa, 2, 3, e) : limit_secrets(a, sa, e);
}
