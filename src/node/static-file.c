/*
 * One manifest of a static pod: read as the API reads a pod (decoded, defaulted,
 * validated), then made this node's as the kubelet does it (pkg/kubelet/config):
 * the node's name behind its own, bound to the node, a hash for its uid, the
 * config annotations, and a toleration of every NoExecute taint.
 */
#include "base/digest.h"
#include "node/static.h"

/* Objects of the API that a pod may refer to; a static pod may not. */
static const struct {
	enum field field;
	const char *what;
} references[] = {
	{F_serviceAccountName, "serviceaccounts"}, {F_imagePullSecrets, "secrets"},
	{F_secret, "secrets"},			   {F_secretRef, "secrets"},
	{F_secretKeyRef, "secrets"},		   {F_configMap, "configmaps"},
	{F_configMapRef, "configmaps"},		   {F_configMapKeyRef, "configmaps"},
	{F_persistentVolumeClaim, "persistentvolumeclaims"},
	{F_resourceClaims, "resourceclaims"},	   {F_serviceAccountToken, "serviceaccounts"},
};

static const char *find_reference(const struct node *n)
{
	const char *found = NULL;

	NODE_FOREACH (c, n) {
		for (size_t i = 0; i < ARRAY_SIZE(references); i++)
			if (c->name == references[i].field && (node_count(c) || *node_cstr_or(c, "")))
				return references[i].what;
		if (node_is(c, DOC_OBJECT) || node_is(c, DOC_ARRAY))
			found = find_reference(c);
		if (found)
			return found;
	}
	return NULL;
}

static void add_toleration(struct doc *d)
{
	struct node *list = node_need_array(d, node_need_object(d, doc_root(d), F_spec), F_tolerations), *t;

	NODE_FOREACH (have, list)
		if (!*node_gets(have, F_key) && node_streq(node_get(have, F_operator), "Exists") &&
		    (!*node_gets(have, F_effect) || node_streq(node_get(have, F_effect), "NoExecute")))
			return;
	t = node_append(list, node_new(d, DOC_OBJECT));
	node_sets(d, t, F_operator, "Exists");
	node_sets(d, t, F_effect, "NoExecute");
}

static void hash_make(char out[33], const char *node_name, const char *path, const struct doc *d)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char hex[DIGEST_SHA256_HEX];

	buf_addf(&b, "host:%s\nfile:%s\n", node_name, path);
	doc_print_json(&b, doc_root(d), DOC_PRINT_COMPACT);
	digest_sha256_hex(buf_str(&b), hex);
	snprintf(out, 33, "%.32s", hex);
}

static void own(struct doc *d, const char *node_name, const char *path)
{
	struct node *meta = node_need_object(d, doc_root(d), F_metadata), *notes, *status;
	char hash[33], seen[TIME_NANO_LEN];

	hash_make(hash, node_name, path, d);
	node_sets(d, meta, F_uid, hash);
	node_set(d, meta, F_name, node_new_fmt(d, "%s-%s", node_gets(meta, F_name), node_name));
	if (!*node_gets(meta, F_namespace))
		node_sets(d, meta, F_namespace, "default");
	notes = node_need_object(d, meta, F_annotations);
	node_removek(notes, STR_LIT(STATIC_MIRROR));
	node_setk(d, notes, STR_LIT(STATIC_HASH), node_new_str(d, str_of(hash)));
	node_setk(d, notes, STR_LIT(STATIC_SEEN), node_new_str(d, str_of(time_fmt_nano(seen, time_wall_ns()))));
	node_setk(d, notes, STR_LIT(STATIC_SOURCE), node_new_str(d, STR_LIT("file")));
	node_sets(d, node_need_object(d, doc_root(d), F_spec), F_nodeName, node_name);
	add_toleration(d);
	node_remove(doc_root(d), F_status);
	status = node_need_object(d, doc_root(d), F_status);
	node_sets(d, status, F_phase, "Pending");
}

static int one_document(struct doc **ret, struct str text, struct err *e)
{
	struct doc **docs = NULL;
	size_t n = 0;

	if (doc_parse_yaml(&docs, &n, text, NULL, e) < 0)
		return -e->code;
	if (n == 1)
		*ret = doc_ref(docs[0]);
	for (size_t i = 0; i < n; i++)
		doc_unref(docs[i]);
	free(docs);
	if (n != 1)
		return err_set(e, ERR_BAD_REQUEST, "it holds %zu documents; a manifest is one Pod", n);
	return 0;
}

int static_parse(const char *node_name, const char *path, struct str text, struct obj **ret, struct err *e)
{
	const struct schema_res *r = schema_find(STR_LIT(""), STR_LIT("v1"), STR_LIT("pods"));
	_cleanup_doc_ struct doc *d = NULL;
	struct node *root;
	const char *what;

	if (one_document(&d, text, e) < 0)
		return -e->code;
	root = doc_root(d);
	if (!node_streq(node_get(root, F_kind), "Pod") || !node_streq(node_get(root, F_apiVersion), "v1"))
		return err_set(e, ERR_BAD_REQUEST, "couldn't parse as pod: it is no v1 Pod");
	if (schema_decode(r, d, NULL, e) < 0)
		return -e->code;
	schema_default(r, d);
	own(d, node_name, path);
	what = find_reference(node_get(root, F_spec));
	if (what)
		return err_set(e, ERR_INVALID, "static pods may not reference %s", what);
	if (node_count(node_get(node_get(root, F_spec), F_ephemeralContainers)))
		return err_set(e, ERR_INVALID, "static pods may not have ephemeral containers");
	if (schema_validate(r, root, NULL, "", e) < 0)
		return -e->code;
	*ret = obj_new(&r->r, d, 1);
	return 0;
}
