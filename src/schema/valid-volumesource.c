/*
 * Validation of volume sources that pods and PersistentVolumes share: host paths,
 * network file systems, disks of providers, CSI. Where the two differ (a secret's
 * namespace) the persistent one has more members, so the same rules serve both.
 * What the type tables say already (required members) is not repeated.
 *
 * To add one: its function, its row in SOURCES.
 */
#include "schema/valid.h"

static void v_host_path(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate",
					     "File", "FileOrCreate", "Socket", NULL };
	struct str path = v_str(n, F_path);

	if (path.n == 0)
		v_required(v, VP(p, "path"), NULL);
	else
		v_no_backsteps(v, VP(p, "path"), path);
	if (v_str(n, F_type).n > 0)
		v_one_of(v, VP(p, "type"), node_get(n, F_type), TYPES);
}

static void v_nfs(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str path = v_str(n, F_path);

	v_need(v, p, n, F_server, NULL);
	v_need(v, p, n, F_path, NULL);
	if (path.n == 0 || path.p[0] != '/')
		v_invalid(v, VP(p, "path"), path, "must be an absolute path");
}

static void v_partition(struct valid *v, const struct vpath *p, const struct node *n)
{
	int64_t partition = node_int(node_get(n, F_partition), 0);

	if (partition < 0 || partition > 255)
		v_invalid_int(v, VP(p, "partition"), partition, "must be between 1 and 255, inclusive");
}

static void v_gce_disk(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need(v, p, n, F_pdName, NULL);
	v_partition(v, p, n);
}

static void v_aws_disk(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need(v, p, n, F_volumeID, NULL);
	v_partition(v, p, n);
}

static void v_glusterfs(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *ns = node_get(n, F_endpointsNamespace);

	v_need(v, p, n, F_endpoints, NULL);
	v_need(v, p, n, F_path, NULL);
	if (ns && node_str(ns).n == 0)
		v_invalid(v, VP(p, "endpointsNamespace"), STR_LIT(""),
			  "if the endpointnamespace is set, it must be a valid namespace name");
	else if (ns)
		v_name(v, VP(p, "endpointsNamespace"), node_str(ns), NF_DNS_LABEL);
}

static void v_flocker(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str name = v_str(n, F_datasetName), uuid = v_str(n, F_datasetUUID);

	if (name.n == 0 && uuid.n == 0)
		v_required(v, p, "one of datasetName and datasetUUID is required");
	if (name.n > 0 && uuid.n > 0)
		v_invalid(v, p, STR_LIT("resource"),
			  "datasetName and datasetUUID can not be specified simultaneously");
	if (str_find(name, '/') >= 0)
		v_invalid(v, VP(p, "datasetName"), name, "must not contain '/'");
}

static void v_quobyte(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char PAIRS[] = "must be a host:port pair or multiple pairs separated by commas";
	struct str registry = v_str(n, F_registry);

	if (registry.n == 0)
		v_required(v, VP(p, "registry"), PAIRS);
	else if (v_str(n, F_tenant).n >= 65)
		v_required(v, VP(p, "tenant"), "must be a UUID and may not exceed a length of 64 characters");
	for (struct str rest = registry; rest.p && registry.n > 0;) {
		if (str_find(str_cut(&rest, ','), ':') < 0)
			v_invalid(v, VP(p, "registry"), registry, PAIRS);
	}
	v_need(v, p, n, F_volume, NULL);
}

/* --- iSCSI, FC --- */

static bool is_alnums(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
			return false;
	}
	return true;
}

static bool is_iqn(struct str s) /* iqn.2001-04.com.example:more */
{
	ssize_t colon = str_find(s, ':');

	if (s.n < 14 || s.p[3] != '.' || s.p[8] != '-' || s.p[11] != '.' || colon < 13 || (size_t)colon + 1 == s.n)
		return false;
	for (size_t i = colon + 1; i < s.n; i++) {
		if (!s.p[i] || strchr(",;*&$| \t\n\r\f", s.p[i]))
			return false;
	}
	return true;
}

static void v_initiator(struct valid *v, const struct vpath *p, struct str s)
{
	bool iqn = str_starts(s, STR_LIT("iqn")), eui = str_starts(s, STR_LIT("eui"));
	bool naa = str_starts(s, STR_LIT("naa"));

	if (!iqn && !eui && !naa)
		v_invalid(v, p, s, "must be valid format starting with iqn, eui, or naa");
	else if (iqn ? !is_iqn(s) : s.n != (eui ? 20 : 36) || !is_alnums(str_sub(s, 4, s.n)))
		v_invalid(v, p, s, "must be valid format");
}

static void v_lun(struct valid *v, const struct vpath *p, const struct node *n)
{
	int64_t lun = node_int(n, 0);

	if (lun < 0 || lun > 255)
		v_invalid_int(v, p, lun, "must be between 0 and 255, inclusive");
}

static void v_secret_ref(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (node_get(n, F_secretRef))
		v_need(v, VP(p, "secretRef"), node_get(n, F_secretRef), F_name, NULL);
}

static void v_iscsi(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need(v, p, n, F_targetPortal, NULL);
	if (v_str(n, F_iqn).n == 0)
		v_required(v, VP(p, "iqn"), NULL);
	else
		v_initiator(v, VP(p, "iqn"), v_str(n, F_iqn));
	v_lun(v, VP(p, "lun"), node_get(n, F_lun));
	if ((node_bool(node_get(n, F_chapAuthDiscovery), false) || node_bool(node_get(n, F_chapAuthSession), false)) &&
	    !node_get(n, F_secretRef))
		v_required(v, VP(p, "secretRef"), NULL);
	v_secret_ref(v, p, n);
	if (node_get(n, F_initiatorName))
		v_initiator(v, VP(p, "initiatorname"), v_str(n, F_initiatorName));
}

static void v_fc(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *targets = node_get(n, F_targetWWNs), *lun = node_get(n, F_lun);

	if (node_count(targets) == 0 && node_count(node_get(n, F_wwids)) == 0)
		v_required(v, VP(p, "targetWWNs"), "must specify either targetWWNs or wwids, but not both");
	if (node_count(targets) > 0 && node_count(node_get(n, F_wwids)) > 0)
		v_invalid_node(v, VP(p, "targetWWNs"), targets,
			       "targetWWNs and wwids can not be specified simultaneously");
	if (node_count(targets) > 0 && !lun)
		v_required(v, VP(p, "lun"), "lun is required if targetWWNs is specified");
	else if (node_count(targets) > 0)
		v_lun(v, VP(p, "lun"), lun);
}

/* --- drivers --- */

static void v_flex(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need(v, p, n, F_driver, NULL);
	NODE_FOREACH(c, node_get(n, F_options)) {
		struct str space = node_key(c);
		_cleanup_free_ char *dotted = NULL;

		if (str_find(space, '/') >= 0)
			space = str_sub(space, 0, str_find(space, '/'));
		dotted = xasprintf(".%" STR_FMT, STR_ARG(space));
		for (char *s = dotted; *s; s++)
			*s = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
		if (str_ends(str_of(dotted), STR_LIT(".kubernetes.io")) ||
		    str_ends(str_of(dotted), STR_LIT(".k8s.io")))
			v_invalid(v, VPK(VP(p, "options"), node_key(c)), node_key(c),
				  "kubernetes.io and k8s.io namespaces are reserved");
	}
}

static void v_azure_file(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *ns = node_get(n, F_secretNamespace);

	v_need(v, p, n, F_secretName, NULL);
	v_need(v, p, n, F_shareName, NULL);
	if (ns && node_str(ns).n == 0)
		v_required(v, VP(p, "secretNamespace"), NULL);
}

static void v_azure_disk(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const CACHING[] = { "None", "ReadOnly", "ReadWrite", NULL };
	static const char *const KINDS[] = { "Dedicated", "Managed", "Shared", NULL };
	static const char *const MANAGED[] = { "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/"
					       "microsoft.compute/disks/{disk-id}",
					       NULL };
	static const char *const BLOB[] = { "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}."
					    "vhd",
					    NULL };
	bool managed = node_streq(node_get(n, F_kind), "Managed");
	struct str uri = v_str(n, F_diskURI);

	v_need(v, p, n, F_diskName, NULL);
	v_need(v, p, n, F_diskURI, NULL);
	v_may_be(v, p, n, F_cachingMode, CACHING);
	v_may_be(v, p, n, F_kind, KINDS);
	if (managed && !str_starts(uri, STR_LIT("/subscriptions/")))
		v_unsupported(v, VP(p, "diskURI"), uri, MANAGED);
	else if (node_get(n, F_kind) && !managed && !str_starts(uri, STR_LIT("https://")))
		v_unsupported(v, VP(p, "diskURI"), uri, BLOB);
}

static void v_local_volume(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need(v, p, n, F_path, NULL);
	v_no_backsteps(v, VP(p, "path"), v_str(n, F_path));
}

static void v_storage_os(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need_name(v, p, n, F_volumeName, NF_DNS_LABEL);
	v_may_name(v, p, n, F_volumeNamespace, NF_DNS_LABEL);
	v_secret_ref(v, p, n);
}

static void v_csi(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const enum field SECRETS[] = { F_controllerPublishSecretRef, F_controllerExpandSecretRef,
					      F_nodePublishSecretRef, F_nodeExpandSecretRef };
	bool persistent = node_get(n, F_volumeHandle) != NULL;

	v_csi_driver_name(v, VP(p, "driver"), v_str(n, F_driver));
	for (size_t i = 0; i < ARRAY_SIZE(SECRETS); i++) {
		const struct node *ref = node_get(n, SECRETS[i]);
		const struct vpath *at = VP(p, doc_field_name(SECRETS[i]));

		if (!ref)
			continue;
		v_need_name(v, at, ref, F_name, NF_DNS_SUBDOMAIN);
		if (persistent)
			v_need_name(v, at, ref, F_namespace, NF_DNS_LABEL);
	}
}

static const struct {
	enum field field;
	v_rule *check;
} SOURCES[] = {
	{ F_hostPath, v_host_path },
	{ F_gcePersistentDisk, v_gce_disk },
	{ F_awsElasticBlockStore, v_aws_disk },
	{ F_glusterfs, v_glusterfs },
	{ F_flocker, v_flocker },
	{ F_nfs, v_nfs },
	{ F_quobyte, v_quobyte },
	{ F_iscsi, v_iscsi },
	{ F_cinder, v_secret_ref },
	{ F_fc, v_fc },
	{ F_flexVolume, v_flex },
	{ F_azureFile, v_azure_file },
	{ F_azureDisk, v_azure_disk },
	{ F_local, v_local_volume },
	{ F_storageos, v_storage_os },
	{ F_csi, v_csi },
};

void v_named_source(struct valid *v, const struct vpath *p, const struct node *n, enum field source)
{
	for (size_t i = 0; i < ARRAY_SIZE(SOURCES); i++) {
		if (SOURCES[i].field == source)
			SOURCES[i].check(v, p, n);
	}
}
