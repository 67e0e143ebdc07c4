/*
 * Validation of a pod's volumes: exactly one source each, and what that source
 * needs. Sources that have no row in SOURCES are left to the type tables
 * (required fields). Those that a PersistentVolume has, too, are in
 * valid-volumesource.c.
 */
#include "schema/valid.h"

static void v_file_mode(struct valid *v, const struct vpath *p, const struct node *n)
{
	int64_t mode = node_int(n, 0);

	if (mode < 0 || mode > 0777)
		v_invalid_int(v, p, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

/* A path inside a volume: relative, no "..", and not beginning with "..". */
static void v_inner_path(struct valid *v, const struct vpath *p, struct str s)
{
	if (s.n == 0) {
		v_required(v, p, NULL);
		return;
	}
	v_local_path(v, p, s);
	if (str_starts(s, STR_LIT("..")) && !str_starts(s, STR_LIT("../")) && s.n > 2)
		v_invalid(v, p, s, "must not start with '..'");
}

static void v_key_to_path(struct valid *v, const struct vpath *p, const struct node *items)
{
	size_t i = 0;

	NODE_FOREACH(c, items) {
		const struct vpath *at = VPI(p, i++);

		if (v_str(c, F_key).n == 0)
			v_required(v, VP(at, "key"), NULL);
		v_inner_path(v, VP(at, "path"), v_str(c, F_path));
		v_file_mode(v, VP(at, "mode"), node_get(c, F_mode));
	}
}

static void v_empty_dir(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct quantity q;

	if (quantity_from_node(&q, node_get(n, F_sizeLimit)) && q.nano < 0)
		v_forbidden(v, VP(p, "sizeLimit"), "SizeLimit field must be a valid resource quantity");
}

static void v_secret_volume(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (v_str(n, F_secretName).n == 0)
		v_required(v, VP(p, "secretName"), NULL);
	v_file_mode(v, VP(p, "defaultMode"), node_get(n, F_defaultMode));
	v_key_to_path(v, VP(p, "items"), node_get(n, F_items));
}

static void v_config_map_volume(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (v_str(n, F_name).n == 0)
		v_required(v, VP(p, "name"), NULL);
	v_file_mode(v, VP(p, "defaultMode"), node_get(n, F_defaultMode));
	v_key_to_path(v, VP(p, "items"), node_get(n, F_items));
}

static void v_claim_volume(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (v_str(n, F_claimName).n == 0)
		v_required(v, VP(p, "claimName"), NULL);
}

static void v_volume_resource_ref(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (v_str(n, F_containerName).n == 0)
		v_required(v, VP(p, "containerName"), NULL);
	else if (v_str(n, F_resource).n == 0)
		v_required(v, VP(p, "resource"), NULL);
	else
		v_resource_ref(v, p, n);
}

static void v_downward_items(struct valid *v, const struct vpath *p, const struct node *items)
{
	size_t i = 0;

	NODE_FOREACH(c, items) {
		const struct vpath *at = VPI(p, i++);
		const struct node *field = node_get(c, F_fieldRef), *res = node_get(c, F_resourceFieldRef);

		v_inner_path(v, VP(at, "path"), v_str(c, F_path));
		if (field)
			v_field_ref(v, VP(at, "fieldRef"), field, true);
		else if (res)
			v_volume_resource_ref(v, VP(at, "resourceFieldRef"), res);
		if (field && res)
			v_invalid(v, at, STR_LIT("resource"),
				  "fieldRef and resourceFieldRef can not be specified simultaneously");
		else if (!field && !res)
			v_required(v, at, "one of fieldRef and resourceFieldRef is required");
		v_file_mode(v, VP(at, "mode"), node_get(c, F_mode));
	}
}

static void v_downward_volume(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_file_mode(v, VP(p, "defaultMode"), node_get(n, F_defaultMode));
	v_downward_items(v, VP(p, "items"), node_get(n, F_items));
}

static void v_token_projection(struct valid *v, const struct vpath *p, const struct node *n)
{
	int64_t seconds = node_int(node_get(n, F_expirationSeconds), 3600);

	if (seconds < 600)
		v_invalid_int(v, VP(p, "expirationSeconds"), seconds,
			      "may not specify a duration less than 10 minutes");
	if (seconds > 1LL << 32)
		v_invalid_int(v, VP(p, "expirationSeconds"), seconds,
			      "may not specify a duration larger than 2^32 seconds");
	v_inner_path(v, VP(p, "path"), v_str(n, F_path));
}

static void v_projection(struct valid *v, const struct vpath *p, const struct node *n)
{
	unsigned sources = 0;

	NODE_FOREACH(c, n) {
		const struct vpath *at = VP(p, doc_field_name((enum field)c->name));

		if (sources++ > 0) {
			v_forbidden(v, at, "may not specify more than 1 volume type");
			continue;
		}
		if (c->name == F_configMap || c->name == F_secret) {
			if (v_str(c, F_name).n == 0)
				v_required(v, VP(at, "name"), NULL);
			v_key_to_path(v, VP(at, "items"), node_get(c, F_items));
		} else if (c->name == F_downwardAPI) {
			v_downward_items(v, VP(at, "items"), node_get(c, F_items));
		} else if (c->name == F_serviceAccountToken) {
			v_token_projection(v, at, c);
		}
	}
	if (sources == 0)
		v_required(v, p, "must specify a volume type");
}

static void v_projected_volume(struct valid *v, const struct vpath *p, const struct node *n)
{
	size_t i = 0;

	v_file_mode(v, VP(p, "defaultMode"), node_get(n, F_defaultMode));
	NODE_FOREACH(c, node_get(n, F_sources))
		v_projection(v, VPI(VP(p, "sources"), i++), c);
}

static void v_ephemeral_volume(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (v_empty(node_get(n, F_volumeClaimTemplate)))
		v_required(v, VP(p, "volumeClaimTemplate"), NULL);
	else
		v_claim_template(v, VP(p, "volumeClaimTemplate"), node_get(n, F_volumeClaimTemplate));
}

static void v_git_repo(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_local_path(v, VP(p, "directory"), v_str(n, F_directory));
}

static void v_image_volume(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const PULL[] = { "Always", "IfNotPresent", "Never", NULL };

	v_need(v, p, n, F_reference, NULL);
	if (v_str(n, F_pullPolicy).n > 0)
		v_may_be(v, p, n, F_pullPolicy, PULL);
}

static const struct {
	enum field field;
	void (*check)(struct valid *v, const struct vpath *p, const struct node *n);
} SOURCES[] = {
	{ F_emptyDir, v_empty_dir },
	{ F_gitRepo, v_git_repo },
	{ F_secret, v_secret_volume },
	{ F_configMap, v_config_map_volume },
	{ F_persistentVolumeClaim, v_claim_volume },
	{ F_downwardAPI, v_downward_volume },
	{ F_projected, v_projected_volume },
	{ F_ephemeral, v_ephemeral_volume },
	{ F_image, v_image_volume },
};

static void v_volume_source(struct valid *v, const struct vpath *p, const struct node *volume)
{
	unsigned sources = 0;

	NODE_FOREACH(c, volume) {
		const struct vpath *at = VP(p, doc_field_name((enum field)c->name));

		if (c->name == F_name || node_is(c, DOC_NULL))
			continue;
		if (sources++ > 0) {
			v_forbidden(v, at, "may not specify more than 1 volume type");
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(SOURCES); i++) {
			if (SOURCES[i].field == c->name)
				SOURCES[i].check(v, at, c);
		}
		v_named_source(v, at, c, (enum field)c->name);
	}
	if (sources == 0)
		v_required(v, p, "must specify a volume type");
}

void v_volumes(struct valid *v, const struct vpath *p, const struct node *volumes)
{
	size_t i = 0;

	NODE_FOREACH(c, volumes) {
		const struct vpath *at = VPI(p, i++);
		struct str name = v_str(c, F_name);
		unsigned before = v->n;

		v_volume_source(v, at, c);
		if (name.n == 0)
			v_required(v, VP(at, "name"), NULL);
		else
			v_name(v, VP(at, "name"), name, NF_DNS_LABEL);
		if (name.n == 0 || v->n > before)
			continue;
		NODE_FOREACH(other, volumes) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_name), name)) {
				v_duplicate_str(v, VP(at, "name"), name);
				break;
			}
		}
	}
}
