/*
 * Validation of containers: regular, init and ephemeral. What the three share is
 * v_container; their differences stand in v_regular, v_init and v_ephemeral.
 */
#include "schema/valid.h"

#include "base/limits.h"

static const char *const PROTOCOLS[] = { "SCTP", "TCP", "UDP", NULL };
static const char *const NOT_MORE = "may not have more than one field specified at a time";

/* --- environment --- */

void v_field_ref(struct valid *v, const struct vpath *p, const struct node *n, bool in_volume)
{
	static const char *const KNOWN[] = { "metadata.annotations", "metadata.labels", "metadata.name",
					     "metadata.namespace", "metadata.uid", "spec.nodeName",
					     "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
					     "status.hostIP", "status.hostIPs", "status.phase", "status.podIP",
					     "status.podIPs", NULL };
	static const char *const IN_VOLUME[] = { "metadata.annotations", "metadata.labels", "metadata.name",
						 "metadata.namespace", "metadata.uid", NULL };
	static const char *const IN_ENV[] = { "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
					      "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
					      "status.podIP", "status.podIPs", NULL };
	const char *const *allowed = in_volume ? IN_VOLUME : IN_ENV;
	struct str path = v_str(n, F_fieldPath);
	ssize_t open = str_find(path, '[');

	if (v_str(n, F_apiVersion).n == 0) {
		v_required(v, VP(p, "apiVersion"), NULL);
	} else if (path.n == 0) {
		v_required(v, VP(p, "fieldPath"), NULL);
	} else if (open > 0 && path.p[path.n - 1] == ']') {
		struct str base = str_sub(path, 0, open);

		if (!str_eqc(base, "metadata.annotations") && !str_eqc(base, "metadata.labels"))
			v_invalidf(v, VP(p, "fieldPath"), node_get(n, F_fieldPath),
				   "error converting fieldPath: field label does not support subscript");
	} else if (!v_is_one_of(path, KNOWN)) {
		v_invalidf(v, VP(p, "fieldPath"), node_get(n, F_fieldPath),
			   "error converting fieldPath: field label not supported: %" STR_FMT, STR_ARG(path));
	} else if (!v_is_one_of(path, allowed)) {
		v_unsupported(v, VP(p, "fieldPath"), path, allowed);
	}
}

void v_resource_ref(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const NAMES[] = { "limits.cpu", "limits.ephemeral-storage", "limits.memory",
					     "requests.cpu", "requests.ephemeral-storage", "requests.memory", NULL };
	struct str name = v_str(n, F_resource);

	if (!str_starts(name, STR_LIT("requests.hugepages-")) && !str_starts(name, STR_LIT("limits.hugepages-")))
		v_one_of(v, VP(p, "resource"), node_get(n, F_resource), NAMES);
	v_divisor(v, p, n);
}

static void v_key_ref(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_name(v, VP(p, "name"), v_str(n, F_name), NF_DNS_SUBDOMAIN);
	if (v_str(n, F_key).n == 0)
		v_required(v, VP(p, "key"), NULL);
	else
		v_name(v, VP(p, "key"), v_str(n, F_key), NF_CONFIG_KEY);
}

static void v_file_key(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need_name(v, p, n, F_key, NF_ENV);
	v_need_name(v, p, n, F_volumeName, NF_DNS_LABEL);
	v_need(v, p, n, F_path, NULL);
	v_no_backsteps(v, VP(p, "path"), v_str(n, F_path));
}

static void v_value_from(struct valid *v, const struct vpath *p, const struct node *env)
{
	const struct node *from = node_get(env, F_valueFrom);
	unsigned sources = 0;

	if (!from)
		return;
	NODE_FOREACH(c, from) {
		const struct vpath *at = VP(p, doc_field_name((enum field)c->name));

		sources++;
		if (c->name == F_fieldRef)
			v_field_ref(v, at, c, false);
		else if (c->name == F_resourceFieldRef)
			v_resource_ref(v, at, c);
		else if (c->name == F_configMapKeyRef || c->name == F_secretKeyRef)
			v_key_ref(v, at, c);
		else if (c->name == F_fileKeyRef)
			v_file_key(v, at, c);
	}
	if (sources == 0)
		v_invalid(v, p, STR_LIT(""),
			  "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
			  "`secretKeyRef` or `fileKeyRef`");
	if (v_str(env, F_value).n > 0 && sources > 0)
		v_invalid(v, p, STR_LIT(""), "may not be specified when `value` is not empty");
	else if (sources > 1)
		v_invalid(v, p, STR_LIT(""), NOT_MORE);
}

static void v_env(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		if (v_str(c, F_name).n == 0)
			v_required(v, VP(at, "name"), NULL);
		else
			v_name(v, VP(at, "name"), v_str(c, F_name), NF_ENV);
		v_value_from(v, VP(at, "valueFrom"), c);
	}
}

static void v_env_from(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);
		const struct node *map = node_get(c, F_configMapRef), *secret = node_get(c, F_secretRef);

		if (v_str(c, F_prefix).n > 0)
			v_name(v, VP(at, "prefix"), v_str(c, F_prefix), NF_ENV);
		if (map && v_str(map, F_name).n == 0)
			v_required(v, VP(VP(at, "configMapRef"), "name"), NULL);
		if (secret && v_str(secret, F_name).n == 0)
			v_required(v, VP(VP(at, "secretRef"), "name"), NULL);
		if (!map && !secret)
			v_invalid(v, at, STR_LIT(""), "must specify one of: `configMapRef` or `secretRef`");
		else if (map && secret)
			v_invalid(v, at, STR_LIT(""), NOT_MORE);
	}
}

/* --- ports --- */

static void v_container_ports(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);
		struct str name = v_str(c, F_name);

		if (name.n > 0) {
			unsigned before = v->n;

			v_name(v, VP(at, "name"), name, NF_PORT_NAME);
			NODE_FOREACH(other, list) {
				if (other == c || v->n > before)
					break;
				if (str_eq(v_str(other, F_name), name))
					v_duplicate_str(v, VP(at, "name"), name);
			}
		}
		if (node_int(node_get(c, F_containerPort), 0) == 0)
			v_required(v, VP(at, "containerPort"), NULL);
		else
			v_port_number(v, VP(at, "containerPort"), node_get(c, F_containerPort));
		if (node_int(node_get(c, F_hostPort), 0) != 0)
			v_port_number(v, VP(at, "hostPort"), node_get(c, F_hostPort));
		v_one_of(v, VP(at, "protocol"), node_get(c, F_protocol), PROTOCOLS);
	}
}

static bool v_same_host_port(const struct node *a, const struct node *b)
{
	return node_int(node_get(a, F_hostPort), 0) == node_int(node_get(b, F_hostPort), 0) &&
	       str_eq(v_str(a, F_protocol), v_str(b, F_protocol)) && str_eq(v_str(a, F_hostIP), v_str(b, F_hostIP));
}

/* Whether a port that stands before `port` in the containers takes the same port of the host. */
static bool v_host_port_taken(const struct node *containers, const struct node *port)
{
	NODE_FOREACH(c, containers) {
		NODE_FOREACH(other, node_get(c, F_ports)) {
			if (other == port)
				return false;
			if (v_same_host_port(other, port))
				return true;
		}
	}
	return false;
}

void v_host_port_conflicts(struct valid *v, const struct vpath *p, const struct node *containers)
{
	size_t i = 0, total = 0;

	NODE_FOREACH(c, containers)
		total += node_count(node_get(c, F_ports));
	if (total > LIMIT_HOST_PORTS) {
		v_too_many(v, p, total, LIMIT_HOST_PORTS);
		return;
	}
	NODE_FOREACH(c, containers) {
		const struct vpath *at = VP(VPI(p, i++), "ports");
		size_t k = 0;

		NODE_FOREACH(port, node_get(c, F_ports)) {
			int64_t number = node_int(node_get(port, F_hostPort), 0);
			const struct vpath *here = VP(VPI(at, k++), "hostPort");
			_cleanup_buf_ struct buf b = BUF_INIT;

			if (number == 0 || !v_host_port_taken(containers, port))
				continue;
			buf_addf(&b, "%s/%s/%lld", node_gets(port, F_protocol), node_gets(port, F_hostIP),
				 (long long)number);
			v_duplicate_str(v, here, buf_str(&b));
		}
	}
}

/* --- resources --- */

static void v_resource(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_container_resource_name(v, p, node_key(n));
	v_quantity_of(v, p, node_key(n), n);
	v_hugepages(v, p, n);
}

static void v_request(struct valid *v, const struct vpath *p, const struct node *n, const struct node *limits)
{
	struct str name = node_key(n);
	const struct node *limit = node_getk(limits, name);
	struct quantity request, max;

	if (!limit && !v_may_overcommit(name))
		v_required(v, VP(p->up, "limits"), "Limit must be set for non overcommitable resources");
	if (!quantity_from_node(&request, n) || !quantity_from_node(&max, limit))
		return;
	int c = quantity_cmp(&request, &max);

	if (c != 0 && !v_may_overcommit(name))
		v_invalidf(v, p, n, "must be equal to %" STR_FMT " limit of %s", STR_ARG(name), node_cstr(limit));
	else if (c > 0)
		v_invalidf(v, p, n, "must be less than or equal to %" STR_FMT " limit of %s", STR_ARG(name),
			   node_cstr(limit));
}

void v_resources(struct valid *v, const struct vpath *p, const struct node *n, const struct node *claims)
{
	const struct node *limits = node_get(n, F_limits), *requests = node_get(n, F_requests);
	bool basic = false, huge = false;
	size_t i = 0;

	NODE_FOREACH(c, limits) {
		v_resource(v, VPK(VP(p, "limits"), node_key(c)), c);
		basic = basic || str_eqc(node_key(c), "cpu") || str_eqc(node_key(c), "memory");
		huge = huge || v_is_hugepages(node_key(c));
	}
	NODE_FOREACH(c, requests) {
		v_resource(v, VPK(VP(p, "requests"), node_key(c)), c);
		v_request(v, VP(p, "requests"), c, limits);
		basic = basic || str_eqc(node_key(c), "cpu") || str_eqc(node_key(c), "memory");
		huge = huge || v_is_hugepages(node_key(c));
	}
	if (huge && !basic)
		v_forbidden(v, p, "HugePages require cpu or memory");
	NODE_FOREACH(c, node_get(n, F_claims)) {
		const struct vpath *at = VPI(VP(p, "claims"), i++);
		bool found = false;

		NODE_FOREACH(claim, claims)
			found = found || str_eq(v_str(claim, F_name), v_str(c, F_name));
		if (v_str(c, F_name).n == 0)
			v_required(v, at, NULL);
		else if (!found)
			v_not_found(v, at, v_str(c, F_name));
	}
}

/* --- mounts --- */

static const struct node *v_named(const struct node *list, struct str name)
{
	NODE_FOREACH(c, list) {
		if (str_eq(v_str(c, F_name), name))
			return c;
	}
	return NULL;
}

static void v_mount_propagation(struct valid *v, const struct vpath *p, const struct node *n, const struct node *ctr)
{
	static const char *const MODES[] = { "Bidirectional", "HostToContainer", "None", NULL };
	bool privileged = node_bool(node_path(ctr, F_securityContext, F_privileged), false);

	if (!n)
		return;
	v_one_of(v, p, n, MODES);
	if (node_streq(n, "Bidirectional") && !privileged)
		v_forbidden(v, p, "Bidirectional mount propagation is available only to privileged containers");
}

static void v_mount(struct valid *v, const struct vpath *p, const struct node *n, const struct node *ctr,
		    const struct node *volumes)
{
	struct str name = v_str(n, F_name), path = v_str(n, F_mountPath);
	struct str sub = v_str(n, F_subPath), expr = v_str(n, F_subPathExpr);

	if (name.n == 0)
		v_required(v, VP(p, "name"), NULL);
	if (!v_named(volumes, name))
		v_not_found(v, VP(p, "name"), name);
	if (path.n == 0)
		v_required(v, VP(p, "mountPath"), NULL);
	NODE_FOREACH(other, node_get(ctr, F_volumeMounts)) {
		if (other == n)
			break;
		if (str_eq(v_str(other, F_mountPath), path)) {
			v_invalid(v, VP(p, "mountPath"), path, "must be unique");
			break;
		}
	}
	if (v_named(node_get(ctr, F_volumeDevices), name))
		v_invalid(v, VP(p, "name"), name, "must not already exist in volumeDevices");
	if (sub.n > 0)
		v_local_path(v, VP(p->up, "subPath"), sub);
	if (expr.n > 0 && sub.n > 0)
		v_invalid(v, VP(p, "subPathExpr"), expr, "subPathExpr and subPath are mutually exclusive");
	if (expr.n > 0)
		v_local_path(v, VP(p->up, "subPathExpr"), expr);
	v_mount_propagation(v, VP(p->up, "mountPropagation"), node_get(n, F_mountPropagation), ctr);
	v_read_only_mount(v, VP(p->up, "recursiveReadOnly"), n);
}

static void v_device(struct valid *v, const struct vpath *p, const struct node *n, const struct node *volumes)
{
	struct str name = v_str(n, F_name);
	const struct node *volume = v_named(volumes, name);

	if (name.n == 0)
		v_required(v, VP(p, "name"), NULL);
	if (!volume)
		v_not_found(v, VP(p, "name"), name);
	else if (!node_get(volume, F_persistentVolumeClaim) && !node_get(volume, F_ephemeral))
		v_invalid(v, VP(p, "name"), name,
			  "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
	if (v_str(n, F_devicePath).n == 0)
		v_required(v, VP(p, "devicePath"), NULL);
}

/* --- security context --- */

static void v_capabilities(struct valid *v, const struct vpath *p, const struct node *sc)
{
	const struct node *escalate = node_get(sc, F_allowPrivilegeEscalation);

	if (!node_is(escalate, DOC_BOOL) || escalate->u.b)
		return;
	if (node_bool(node_get(sc, F_privileged), false))
		v_invalid_node(v, p, sc, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
	NODE_FOREACH(c, node_path(sc, F_capabilities, F_add)) {
		if (node_streq(c, "CAP_SYS_ADMIN"))
			v_invalid_node(v, p, sc,
				       "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
				       "CAP_SYS_ADMIN");
	}
}

static void v_security_context(struct valid *v, const struct vpath *p, const struct node *sc, bool host_users)
{
	static const char *const PROC[] = { "Default", "Unmasked", NULL };
	const struct node *proc = node_get(sc, F_procMount);

	if (!sc)
		return;
	v_range(v, VP(p, "runAsUser"), node_get(sc, F_runAsUser), 0, INT32_MAX);
	v_range(v, VP(p, "runAsGroup"), node_get(sc, F_runAsGroup), 0, INT32_MAX);
	if (proc) {
		v_one_of(v, VP(p, "procMount"), proc, PROC);
		if (host_users && node_streq(proc, "Unmasked"))
			v_invalid_node(v, VP(p, "procMount"), proc, "`hostUsers` must be false to use `Unmasked`");
	}
	v_seccomp(v, VP(p, "seccompProfile"), node_get(sc, F_seccompProfile));
	v_capabilities(v, p, sc);
	v_apparmor(v, VP(p, "appArmorProfile"), node_get(sc, F_appArmorProfile));
}

/* --- probes and hooks --- */

static void v_http_get(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const SCHEMES[] = { "HTTP", "HTTPS", NULL };

	if (v_str(n, F_path).n == 0)
		v_required(v, VP(p, "path"), NULL);
	v_port(v, VP(p, "port"), node_get(n, F_port));
	v_one_of(v, VP(p, "scheme"), node_get(n, F_scheme), SCHEMES);
	NODE_FOREACH(c, node_get(n, F_httpHeaders))
		v_name(v, VP(p, "httpHeaders"), v_str(c, F_name), NF_HTTP_HEADER);
}

static void v_sleep(struct valid *v, const struct vpath *p, const struct node *n, const struct node *grace)
{
	int64_t seconds = node_int(node_get(n, F_seconds), 0), max = node_int(grace, INT64_MAX);

	if (seconds < 0 || seconds > max) {
		char *text = xasprintf("must be non-negative and less than terminationGracePeriodSeconds (%lld)",
				       (long long)max);

		v_invalid_int(v, p, seconds, text);
		free(text);
	}
}

static void v_handler(struct valid *v, const struct vpath *p, const struct node *n, const struct node *grace)
{
	static const enum field HANDLERS[] = { F_exec, F_httpGet, F_tcpSocket, F_grpc, F_sleep };
	unsigned found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(HANDLERS); i++) {
		enum field f = HANDLERS[i];
		const struct node *h = node_get(n, f);
		const struct vpath *at = VP(p, doc_field_name(f));

		if (!h)
			continue;
		if (found++ > 0)
			v_forbidden(v, at, "may not specify more than 1 handler type");
		else if (f == F_exec && node_count(node_get(h, F_command)) == 0)
			v_required(v, VP(at, "command"), NULL);
		else if (f == F_httpGet)
			v_http_get(v, at, h);
		else if (f == F_tcpSocket)
			v_port(v, VP(at, "port"), node_get(h, F_port));
		else if (f == F_grpc)
			v_port_number(v, VP(at, "port"), node_get(h, F_port));
		else if (f == F_sleep)
			v_sleep(v, at, h, grace);
	}
	if (found == 0)
		v_required(v, p, "must specify a handler type");
}

static void v_probe(struct valid *v, const struct vpath *p, const struct node *n, enum field kind,
		    const struct node *grace)
{
	static const enum field COUNTS[] = { F_initialDelaySeconds, F_timeoutSeconds, F_periodSeconds,
					     F_successThreshold, F_failureThreshold };
	const struct node *own = node_get(n, F_terminationGracePeriodSeconds);

	if (!n)
		return;
	v_handler(v, p, n, grace);
	for (size_t i = 0; i < ARRAY_SIZE(COUNTS); i++)
		v_nonnegative(v, VP(p, doc_field_name(COUNTS[i])), node_get(n, COUNTS[i]));
	if (own && node_int(own, 0) <= 0)
		v_invalid_node(v, VP(p, "terminationGracePeriodSeconds"), own, "must be greater than 0");
	if (kind == F_readinessProbe) {
		if (own)
			v_invalid_node(v, VP(p, "terminationGracePeriodSeconds"), own,
				       "must not be set for readinessProbes");
	} else if (node_int(node_get(n, F_successThreshold), 1) != 1) {
		v_invalid_node(v, VP(p, "successThreshold"), node_get(n, F_successThreshold), "must be 1");
	}
}

static void v_hooks(struct valid *v, const struct vpath *p, const struct node *ctr, const struct node *grace)
{
	const struct node *life = node_get(ctr, F_lifecycle);

	if (node_get(life, F_postStart))
		v_handler(v, VP(VP(p, "lifecycle"), "postStart"), node_get(life, F_postStart), grace);
	if (node_get(life, F_preStop))
		v_handler(v, VP(VP(p, "lifecycle"), "preStop"), node_get(life, F_preStop), grace);
	v_probe(v, VP(p, "livenessProbe"), node_get(ctr, F_livenessProbe), F_livenessProbe, grace);
	v_probe(v, VP(p, "readinessProbe"), node_get(ctr, F_readinessProbe), F_readinessProbe, grace);
	v_probe(v, VP(p, "startupProbe"), node_get(ctr, F_startupProbe), F_startupProbe, grace);
}

static void v_stop_signal(struct valid *v, const struct vpath *p, const struct node *ctr, const struct node *spec)
{
	static const char *const WINDOWS[] = { "SIGKILL", "SIGTERM", NULL };
	const struct node *signal = node_path(ctr, F_lifecycle, F_stopSignal);
	const struct vpath *at = VP(VP(p, "lifecycle"), "stopSignal");

	if (!signal)
		return;
	if (!node_get(spec, F_os))
		v_forbidden(v, at, "may not be set for containers with empty `spec.os.name`");
	else if (node_streq(node_path(spec, F_os, F_name), "windows") && !v_is_one_of(node_str(signal), WINDOWS))
		v_unsupported(v, at, node_str(signal), WINDOWS);
}

/* --- one container --- */

static void v_resize_policy(struct valid *v, const struct vpath *p, const struct node *list, struct str restart)
{
	static const char *const RESOURCES[] = { "cpu", "memory", NULL };
	static const char *const POLICIES[] = { "NotRequired", "RestartContainer", NULL };

	NODE_FOREACH(c, list) {
		v_one_of(v, p, node_get(c, F_resourceName), RESOURCES);
		v_one_of(v, p, node_get(c, F_restartPolicy), POLICIES);
		if (str_eqc(restart, "Never") && !node_streq(node_get(c, F_restartPolicy), "NotRequired"))
			v_invalid_node(v, p, node_get(c, F_restartPolicy),
				       "must be 'NotRequired' when `restartPolicy` is 'Never'");
	}
}

static void v_image(struct valid *v, const struct vpath *p, const struct node *ctr, bool is_pod)
{
	struct str image = v_str(ctr, F_image);

	if (image.n == 0)
		v_required(v, VP(p, "image"), NULL);
	else if (is_pod && str_trim(image).n != image.n)
		v_invalid(v, VP(p, "image"), image, "must not have leading or trailing whitespace");
}

static void v_container(struct valid *v, const struct vpath *p, const struct node *ctr, const struct vpod *pod)
{
	static const char *const MESSAGES[] = { "File", "FallbackToLogsOnError", NULL };
	static const char *const PULL[] = { "Always", "IfNotPresent", "Never", NULL };
	const struct node *volumes = node_get(pod->spec, F_volumes);
	size_t i = 0;

	if (v_str(ctr, F_name).n == 0)
		v_required(v, VP(p, "name"), NULL);
	else
		v_name(v, VP(p, "name"), v_str(ctr, F_name), NF_DNS_LABEL);
	v_image(v, p, ctr, pod->is_pod);
	v_one_of(v, VP(p, "terminationMessagePolicy"), node_get(ctr, F_terminationMessagePolicy), MESSAGES);
	v_container_ports(v, VP(p, "ports"), node_get(ctr, F_ports));
	v_env(v, VP(p, "env"), node_get(ctr, F_env));
	v_env_from(v, VP(p, "envFrom"), node_get(ctr, F_envFrom));
	NODE_FOREACH(c, node_get(ctr, F_volumeMounts))
		v_mount(v, VPI(VP(p, "volumeMounts"), i++), c, ctr, volumes);
	i = 0;
	NODE_FOREACH(c, node_get(ctr, F_volumeDevices))
		v_device(v, VPI(VP(p, "volumeDevices"), i++), c, volumes);
	v_one_of(v, VP(p, "imagePullPolicy"), node_get(ctr, F_imagePullPolicy), PULL);
	v_resources(v, VP(p, "resources"), node_get(ctr, F_resources), node_get(pod->spec, F_resourceClaims));
	v_resize_policy(v, VP(p, "resizePolicy"), node_get(ctr, F_resizePolicy), v_str(pod->spec, F_restartPolicy));
	v_security_context(v, VP(p, "securityContext"), node_get(ctr, F_securityContext), pod->host_users);
}

/* A name that a container of `lists` before ctr has already. */
static bool v_name_taken(const struct node *ctr, const struct node *const *lists, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		NODE_FOREACH(other, lists[i]) {
			if (other == ctr)
				return false;
			if (str_eq(v_str(other, F_name), v_str(ctr, F_name)))
				return true;
		}
	}
	return false;
}

static void v_unique_name(struct valid *v, const struct vpath *p, const struct node *ctr,
			  const struct node *const *lists, size_t n)
{
	if (v_str(ctr, F_name).n > 0 && v_name_taken(ctr, lists, n))
		v_duplicate_str(v, VP(p, "name"), v_str(ctr, F_name));
}

static void v_init(struct valid *v, const struct vpath *p, const struct node *ctr, const struct node *grace)
{
	static const enum field FORBIDDEN[] = { F_lifecycle, F_livenessProbe, F_readinessProbe, F_startupProbe };
	const struct node *policy = node_get(ctr, F_restartPolicy);

	if (node_streq(policy, "Always") && node_count(node_get(ctr, F_restartPolicyRules)) > 0)
		v_forbidden(v, VP(p, "restartPolicyRules"),
			    "restartPolicyRules are not allowed for init containers with restart policy Always");
	else if (policy)
		v_restart_rules(v, p, ctr);
	if (node_streq(policy, "Always")) {
		v_hooks(v, p, ctr, grace);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(FORBIDDEN); i++) {
		if (node_get(ctr, FORBIDDEN[i]))
			v_forbidden(v, VP(p, doc_field_name(FORBIDDEN[i])),
				    "may not be set for init containers without restartPolicy=Always");
	}
}

static void v_ephemeral(struct valid *v, const struct vpath *p, const struct node *ctr, const struct node *spec)
{
	static const enum field FORBIDDEN[] = { F_ports, F_livenessProbe, F_readinessProbe, F_startupProbe,
						F_lifecycle, F_resizePolicy, F_restartPolicy };
	struct str target = v_str(ctr, F_targetContainerName);

	for (size_t i = 0; i < ARRAY_SIZE(FORBIDDEN); i++) {
		if (!v_empty(node_get(ctr, FORBIDDEN[i])))
			v_forbidden(v, VP(p, doc_field_name(FORBIDDEN[i])),
				    "cannot be set for an Ephemeral Container");
	}
	if (!v_empty(node_get(ctr, F_resources)))
		v_forbidden(v, VP(p, "resources"), "cannot be set for an Ephemeral Container");
	if (target.n > 0 && !v_named(node_get(spec, F_containers), target) &&
	    !v_named(node_get(spec, F_initContainers), target))
		v_not_found(v, VP(p, "targetContainerName"), target);
}

static void v_regular_list(struct valid *v, const struct vpath *p, const struct vpod *pod)
{
	const struct node *list = node_get(pod->spec, F_containers);
	const struct node *grace = node_get(pod->spec, F_terminationGracePeriodSeconds);
	size_t i = 0;

	if (node_count(list) == 0) {
		v_required(v, p, NULL);
		return;
	}
	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		v_container(v, at, c, pod);
		v_unique_name(v, at, c, &list, 1);
		v_restart_rules(v, at, c);
		v_hooks(v, at, c, grace);
		v_stop_signal(v, at, c, pod->spec);
	}
	v_host_port_conflicts(v, p, list);
}

void v_containers(struct valid *v, const struct vpath *p, const struct vpod *pod)
{
	const struct node *lists[3] = { node_get(pod->spec, F_containers), node_get(pod->spec, F_initContainers),
					node_get(pod->spec, F_ephemeralContainers) };
	size_t i = 0;

	v_regular_list(v, VP(p, "containers"), pod);
	NODE_FOREACH(c, lists[1]) {
		const struct vpath *at = VPI(VP(p, "initContainers"), i++);

		v_container(v, at, c, pod);
		v_unique_name(v, at, c, lists, 2);
		v_init(v, at, c, node_get(pod->spec, F_terminationGracePeriodSeconds));
	}
	i = 0;
	NODE_FOREACH(c, lists[2]) {
		const struct vpath *at = VPI(VP(p, "ephemeralContainers"), i++);

		v_container(v, at, c, pod);
		v_unique_name(v, at, c, lists, 3);
		v_ephemeral(v, at, c, pod->spec);
	}
}
