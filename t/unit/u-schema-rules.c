/*
 * Schema: names, validation, strategies, strategic merge patch, field selectors,
 * warnings. (Tables, decoding, defaulting: u-schema.c.) Documents stand with ' for ".
 */
#include "schema/schema.h"

#include <stdio.h>

#include "base/time.h"
#include "schema-util.h"
#include "tap.h"

/* What is behind "is invalid: ", or "fine". */
static char *check(const char *res, const char *text, const char *old, const char *sub)
{
	_cleanup_doc_ struct doc *d = decoded(res, text), *o = old ? decoded(res, old) : NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	const char *colon;

	if (schema_validate(kind(res), doc_root(d), o ? doc_root(o) : NULL, sub, &e) == 0)
		return xstrdup("fine");
	colon = strstr(err_msg(&e), "is invalid: ");
	return xstrdup(colon && e.reason == ERR_INVALID ? colon + 12 : err_msg(&e));
}

static void is_valid(const char *res, const char *text, const char *want, const char *what)
{
	_cleanup_free_ char *got = check(res, text, NULL, NULL), *w = quotes(want);

	for (char *p = got; *p; p++)
		*p = (char)(*p == '\'' ? '"' : *p);
	is_str(got, w, what);
}

static void is_update(const char *res, const char *old, const char *text, const char *want, const char *what)
{
	_cleanup_free_ char *got = check(res, text, old, NULL), *w = quotes(want);

	for (char *p = got; *p; p++)
		*p = (char)(*p == '\'' ? '"' : *p);
	is_str(got, w, what);
}

/* Whether the text of the errors contains want. */
static void has_error(const char *res, const char *text, const char *want, const char *what)
{
	_cleanup_free_ char *got = check(res, text, NULL, NULL), *w = quotes(want);

	for (char *p = got; *p; p++)
		*p = (char)(*p == '\'' ? '"' : *p);
	if (!ok(strstr(got, w), what))
		printf("#      got: %s\n# expected: %s\n", got, w);
}

static void test_names(void)
{
	ok(!schema_check_dns_label(STR_LIT("my-name")) && schema_check_dns_label(STR_LIT("My")), "labels");
	ok(schema_check_dns_label(STR_LIT("")) && schema_check_dns_label(STR_LIT("-a")) &&
		   schema_check_dns_label(STR_LIT("a-")) && schema_check_dns_label(STR_LIT("a.b")),
	   "bad labels");
	is_str(schema_check_dns_label(STR_LIT("0123456789012345678901234567890123456789012345678901234567890123")),
	       "must be no more than 63 bytes", "a long label");
	ok(!schema_check_dns_subdomain(STR_LIT("a.b-c.d")) && schema_check_dns_subdomain(STR_LIT("a..b")) &&
		   schema_check_dns_subdomain(STR_LIT("a.")) && schema_check_dns_subdomain(STR_LIT("a_b")),
	   "subdomains");
	ok(!schema_check_qualified_name(STR_LIT("a.b/C_d")) && !schema_check_qualified_name(STR_LIT("App")), "qualified");
	is_str(schema_check_qualified_name(STR_LIT("/a")), "prefix part must be non-empty", "an empty prefix");
	is_str(schema_check_qualified_name(STR_LIT("a/")), "name part must be non-empty", "an empty name");
	ok(schema_check_qualified_name(STR_LIT("a/b/c")) && schema_check_qualified_name(STR_LIT("")), "bad ones");
	ok(!schema_check_label_value(STR_LIT("")) && !schema_check_label_value(STR_LIT("1.x_Y")) &&
		   schema_check_label_value(STR_LIT("a b")) && schema_check_label_value(STR_LIT("-")),
	   "label values");
}

static void test_meta(void)
{
	_cleanup_doc_ struct doc *d = decoded("ConfigMap", "{'metadata':{'name':'X','namespace':'N'}}");
	_cleanup_err_ struct err e = ERR_INIT;

	ok(schema_validate(kind("ConfigMap"), doc_root(d), NULL, NULL, &e) < 0, "two errors");
	ok(starts_with(err_msg(&e), "ConfigMap \"X\" is invalid: [metadata.name: Invalid value: \"X\": a lowercase RFC "
				    "1123 subdomain must"),
	   "their message");
	ok(e.causes && e.causes->next && !e.causes->next->next, "two causes");
	is_str(e.causes->field, "metadata.name", "a cause's field");
	is_str(e.causes->reason, "FieldValueInvalid", "its reason");
	is_str(e.kind, "ConfigMap", "whose kind");
	is_valid("ConfigMap", "{'metadata':{'name':'a','labels':{'a/b':'c'},'annotations':{'X.y/Z':'any thing'}}}", "fine",
		 "labels and annotations");
	has_error("ConfigMap", "{'metadata':{'labels':{'a b':'c'}}}",
		  "metadata.labels: Invalid value: 'a b': name part must consist", "a bad label");
	has_error("ConfigMap", "{'metadata':{'labels':{'a':'b c'}}}", "metadata.labels: Invalid value: 'b c': a valid label",
		  "a bad label value");
	is_valid("Namespace", "{'metadata':{'name':'n','namespace':'x'}}",
		 "metadata.namespace: Forbidden: not allowed on this type", "a namespace's namespace");
	has_error("Namespace", "{'metadata':{'name':'a.b'}}", "metadata.name: Invalid value: 'a.b': a lowercase RFC 1123 label",
		  "a namespace's name is a label");
	has_error("Service", "{'metadata':{'name':'1a'},'spec':{'ports':[{'port':1}]}}", "a DNS-1035 label must",
		  "a Service's name begins with a letter");
	is_valid("ClusterRole", "{'metadata':{'name':'system:Node'}}", "fine", "roles may have any name");
	is_valid("ConfigMap",
		 "{'metadata':{'ownerReferences':[{'apiVersion':'v1','kind':'A','name':'a','uid':'1','controller':true},"
		 "{'apiVersion':'v1','kind':'B','name':'b','controller':true}],'finalizers':['mine']}}",
		 "[metadata.ownerReferences.uid: Invalid value: '': must not be empty, metadata.ownerReferences: Invalid "
		 "value: [{'apiVersion':'v1','kind':'A','name':'a','uid':'1','controller':true},{'apiVersion':'v1','kind':"
		 "'B','name':'b','controller':true,'uid':''}]: Only one reference can have Controller set to true. Found "
		 "'true' in references for A/a and B/b, metadata.finalizers[0]: Invalid value: 'mine': name is neither a "
		 "standard finalizer name nor is it fully qualified]",
		 "owners and finalizers");
	is_update("ConfigMap", "{'metadata':{'name':'a','uid':'1'}}", "{'metadata':{'name':'b','uid':'2'}}",
		  "[metadata.name: Invalid value: 'b': field is immutable, metadata.uid: Invalid value: '2': field is "
		  "immutable]",
		  "name and uid stay");
	is_update("ConfigMap", "{'metadata':{'uid':'1'}}", "{'metadata':{'name':'x'}}", "fine", "a uid may be left out");
	is_update("ConfigMap", "{'metadata':{'deletionTimestamp':'2020-01-01T00:00:00Z'}}",
		  "{'metadata':{'finalizers':['a/b']}}",
		  "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found "
		  "new finalizers []string{'a/b'}",
		  "no new finalizers");
}

/* --- pods --- */

#define POD(spec) "{'spec':{'containers':[{'name':'a','image':'i'}]," spec "}}"
#define CTR(rest) "{'spec':{'containers':[{'name':'a','image':'i'," rest "}]}}"

static void test_pod(void)
{
	is_valid("Pod", "{'spec':{'containers':[{'name':'a','image':'i'}]}}", "fine", "a small pod");
	is_valid("Pod", "{}", "spec.containers: Required value", "no containers");
	is_valid("Pod", "{'spec':{'containers':[{}]}}",
		 "[spec.containers[0].name: Required value, spec.containers[0].image: Required value]",
		 "a container without all");
	is_valid("Pod", POD("'restartPolicy':'Sometimes','dnsPolicy':'X'"),
		 "[spec.restartPolicy: Unsupported value: 'Sometimes': supported values: 'Always', 'OnFailure', 'Never', "
		 "spec.dnsPolicy: Unsupported value: 'X': supported values: 'ClusterFirstWithHostNet', 'ClusterFirst', "
		 "'Default', 'None']",
		 "policies");
	is_valid("Pod", "{'spec':{'containers':[{'name':'a','image':'i'},{'name':'a','image':' i'}]}}",
		 "[spec.containers[1].image: Invalid value: ' i': must not have leading or trailing whitespace, "
		 "spec.containers[1].name: Duplicate value: 'a']",
		 "a name twice, white space");
	is_valid("Pod", CTR("'imagePullPolicy':'x'"),
		 "spec.containers[0].imagePullPolicy: Unsupported value: 'x': supported values: 'Always', "
		 "'IfNotPresent', 'Never'",
		 "pull policy");
	is_valid("Pod", CTR("'ports':[{'containerPort':70000,'name':'UP'},{'protocol':'X'}]"),
		 "[spec.containers[0].ports[0].name: Invalid value: 'UP': must contain only alpha-numeric characters "
		 "(a-z, 0-9), and hyphens (-), spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be "
		 "between 1 and 65535, inclusive, spec.containers[0].ports[1].containerPort: Required value, "
		 "spec.containers[0].ports[1].protocol: Unsupported value: 'X': supported values: 'SCTP', 'TCP', 'UDP']",
		 "ports");
	is_valid("Pod", CTR("'ports':[{'containerPort':1,'hostPort':5},{'containerPort':2,'hostPort':5}]"),
		 "spec.containers[0].ports[1].hostPort: Duplicate value: 'TCP//5'", "host ports");
	is_valid("Pod", CTR("'volumeMounts':[{'name':'v','mountPath':''},{'name':'','mountPath':'/a'}]"),
		 "[spec.containers[0].volumeMounts[0].name: Not found: 'v', spec.containers[0].volumeMounts[0].mountPath: "
		 "Required value, spec.containers[0].volumeMounts[1].name: Required value, "
		 "spec.containers[0].volumeMounts[1].name: Not found: '']",
		 "mounts");
	is_valid("Pod", CTR("'env':[{'value':'x'},{'name':'a=','value':'x','valueFrom':{'fieldRef':{'fieldPath':"
			    "'spec.x'}}}]"),
		 "[spec.containers[0].env[0].name: Required value, spec.containers[0].env[1].name: Invalid value: 'a=': a "
		 "valid environment variable name must consist only of printable ASCII characters other than '=' (e.g. "
		 "'my-variable', regex used for validation is '^[ -<>-~]+$'), spec.containers[0].env[1].valueFrom.fieldRef"
		 ".fieldPath: Invalid value: 'spec.x': error converting fieldPath: field label not supported: spec.x, "
		 "spec.containers[0].env[1].valueFrom: Invalid value: '': may not be specified when `value` is not empty]",
		 "environment");
	is_valid("Pod", CTR("'resources':{'limits':{'cpu':'1','gpu':1},'requests':{'cpu':'2','memory':'-1'}}"),
		 "[spec.containers[0].resources.limits[gpu]: Invalid value: 'gpu': must be a standard resource type or "
		 "fully qualified, spec.containers[0].resources.limits[gpu]: Invalid value: 'gpu': must be a standard "
		 "resource for containers, spec.containers[0].resources.requests: Invalid value: '2': must be less than or equal to cpu "
		 "limit of 1, spec.containers[0].resources.requests[memory]: Invalid value: '-1': must be greater than or "
		 "equal to 0, spec.containers[0].resources.requests[gpu]: Invalid value: 'gpu': must be a standard resource "
		 "type or fully qualified, spec.containers[0].resources.requests[gpu]: Invalid value: 'gpu': must be a "
		 "standard resource for containers]",
		 "resources");
	is_valid("Pod", CTR("'livenessProbe':{'successThreshold':2},'readinessProbe':{'exec':{},'tcpSocket':{'port':0}}"),
		 "[spec.containers[0].livenessProbe: Required value: must specify a handler type, "
		 "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1, "
		 "spec.containers[0].readinessProbe.exec.command: Required value, spec.containers[0].readinessProbe.tcpSocket:"
		 " Forbidden: may not specify more than 1 handler type]",
		 "probes");
	is_valid("Pod", CTR("'securityContext':{'runAsUser':-1,'privileged':true,'allowPrivilegeEscalation':false}"),
		 "[spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, "
		 "inclusive, spec.containers[0].securityContext: Invalid value: {'runAsUser':-1,'privileged':true,"
		 "'allowPrivilegeEscalation':false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to "
		 "true]",
		 "security context");
}

static void test_pod_more(void)
{
	is_valid("Pod", POD("'volumes':[{'name':'V','hostPath':{'path':'/a/../b'},'emptyDir':{}},{'name':'v','secret':{}},"
			    "{'name':'v','configMap':{'name':'c','items':[{'key':'k','path':'/x'}],'defaultMode':512}}]"),
		 "[spec.volumes[0].hostPath.path: Invalid value: '/a/../b': must not contain '..', spec.volumes[0].emptyDir"
		 ": Forbidden: may not specify more than 1 volume type, spec.volumes[0].name: Invalid value: 'V': a "
		 "lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
		 "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
		 "'[a-z0-9]([-a-z0-9]*[a-z0-9])?'), spec.volumes[1].secret.secretName: Required value, "
		 "spec.volumes[2].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), "
		 "both inclusive, spec.volumes[2].configMap.items[0].path: Invalid value: '/x': must be a relative path]",
		 "volumes");
	is_valid("Pod", POD("'volumes':[{'name':'v'},{'name':'v','nfs':{}}]"),
		 "[spec.volumes[1].nfs.server: Required value, spec.volumes[1].nfs.path: Required value, "
		 "spec.volumes[1].nfs.path: Invalid value: '': must be an absolute path]",
		 "a volume's source comes before its name");
	is_valid("Pod", POD("'volumes':[{'name':'v'},{'name':'v','image':{}}]"),
		 "spec.volumes[1].image.reference: Required value", "an image volume");
	is_valid("Pod", POD("'initContainers':[{'name':'a','image':'i','livenessProbe':{'exec':{'command':['x']}}}]"),
		 "[spec.initContainers[0].name: Duplicate value: 'a', spec.initContainers[0].livenessProbe: Forbidden: may "
		 "not be set for init containers without restartPolicy=Always]",
		 "init containers");
	is_valid("Pod", POD("'ephemeralContainers':[{'name':'e','image':'i','targetContainerName':'z'}]"),
		 "[spec.ephemeralContainers[0].targetContainerName: Not found: 'z', spec.ephemeralContainers: Forbidden: "
		 "cannot be set on create]",
		 "ephemeral containers");
	is_valid("Pod", POD("'tolerations':[{'operator':'Equal'},{'key':'a','operator':'Exists','value':'b'},{'key':'a',"
			    "'effect':'X'}]"),
		 "[spec.tolerations[0].operator: Invalid value: 'Equal': operator must be Exists when `key` is empty, which "
		 "means 'match all values and all keys', spec.tolerations[1].operator: Invalid value: 'b': value must be "
		 "empty when `operator` is 'Exists', spec.tolerations[2].effect: Unsupported value: 'X': supported values: "
		 "'NoSchedule', 'PreferNoSchedule', 'NoExecute']",
		 "tolerations");
	is_valid("Pod",
		 POD("'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[{"
		     "'matchExpressions':[{'key':'a','operator':'In'}]}]}},'podAffinity':{"
		     "'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':0,'podAffinityTerm':{'topologyKey':'a'}}]}}"),
		 "[spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]."
		 "matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', "
		 "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: "
		 "must be in the range 1-100]",
		 "affinity");
	is_valid("Pod", POD("'volumes':[{'name':'t','projected':{'sources':[{'serviceAccountToken':{'path':'t'}}]}}]"),
		 "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when "
		 "serviceAccountName is not set",
		 "a token of nobody");
	is_valid("Pod", POD("'dnsPolicy':'None'"), "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` "
						   "is None",
		 "dnsConfig");
	is_valid("Pod", POD("'hostAliases':[{'ip':'1.2.3','hostnames':['a_b']}],'hostname':'A.b'"),
		 "[spec.hostname: Invalid value: 'A.b': a lowercase RFC 1123 label must consist of lower case alphanumeric "
		 "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
		 "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?'), spec.hostAliases[0].ip: Invalid value: "
		 "'1.2.3': must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff), "
		 "spec.hostAliases[0].hostnames[0]: Invalid value: 'a_b': a lowercase RFC 1123 subdomain must consist of "
		 "lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
		 "(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*["
		 "a-z0-9])?)*')]",
		 "names in a pod");
	is_valid("Pod", POD("'securityContext':{'sysctls':[{'name':'net.x','value':''}]},'hostNetwork':true"),
		 "spec.securityContext.sysctls[0].name: Invalid value: 'net.x': may not be specified when 'hostNetwork' is "
		 "true",
		 "sysctls");
	is_valid("Pod", POD("'topologySpreadConstraints':[{'topologyKey':'','whenUnsatisfiable':'x','maxSkew':0}]"),
		 "[spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero, "
		 "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty, "
		 "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: 'x': supported values: "
		 "'DoNotSchedule', 'ScheduleAnyway']",
		 "topology spread");
}

static void test_pod_update(void)
{
	is_update("Pod", POD("'nodeName':'n'"), "{'spec':{'containers':[{'name':'a','image':'j'}],'nodeName':'n','tolerations"
						"':[{'operator':'Exists'}],'activeDeadlineSeconds':5}}",
		  "fine", "image, tolerations and deadline may change");
	is_update("Pod", POD("'nodeName':'n'"), POD("'nodeName':'m','hostname':'h'"),
		  "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
		  "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
		  "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
		  "previously negative)\n- spec.nodeName: 'n'\n+ spec.nodeName: 'm'\n+ spec.hostname: 'h'\n",
		  "other fields may not");
	is_update("Pod", POD("'nodeName':'n'"), "{'spec':{'containers':[{'name':'a','image':'i'},{'name':'b','image':'i'}]}}",
		  "spec.containers: Forbidden: pod updates may not add or remove containers", "nor the containers");
	is_update("Pod", POD("'activeDeadlineSeconds':5"), POD("'activeDeadlineSeconds':6"),
		  "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value",
		  "a deadline only comes nearer");
	is_update("Pod", POD("'tolerations':[{'key':'a','operator':'Exists'}]"), POD("'nodeName':''"),
		  "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
		  "tolerations stay");
	is_update("Pod", POD("'schedulingGates':[{'name':'g'}]"), POD("'nodeSelector':{'a':'b'}"), "fine",
		  "gates go; while gated, a node selector may come");
}

static void test_pod_status(void)
{
	static const char DONE[] =
		"{'spec':{'restartPolicy':'Never'},'status':{'qosClass':'BestEffort','containerStatuses':[{'name':'a',"
		"'state':{'terminated':{'exitCode':0}}}]}}";
	static const char BACK[] = "{'spec':{'restartPolicy':'Never'},'status':{'qosClass':'Burstable','podIPs':[{'ip':'x'}],"
				   "'containerStatuses':[{'name':'a','state':{'running':{}}}]}}";
	_cleanup_free_ char *got = check("Pod", BACK, DONE, "status");

	is_str(got,
	       "[status.qosClass: Invalid value: \"Burstable\": field is immutable, status.containerStatuses[0].state: "
	       "Forbidden: may not be transitioned to non-terminated state, status.podIPs[0]: Invalid value: \"x\": "
	       "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)]",
	       "a status that goes backwards");
}

/* --- other kinds --- */

static void test_core(void)
{
	is_valid("ConfigMap", "{'data':{'a b':'x','k':'y'},'binaryData':{'k':'eA=='}}",
		 "[data[a b]: Invalid value: 'a b': a valid config key must consist of alphanumeric characters, '-', '_' or "
		 "'.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+'), "
		 "data[k]: Invalid value: 'k': duplicate of key present in binaryData]",
		 "keys of a ConfigMap");
	is_update("ConfigMap", "{'immutable':true,'data':{'a':'1'}}", "{'data':{'a':'2'}}",
		  "[immutable: Forbidden: field is immutable when `immutable` is set, data: Forbidden: field is immutable "
		  "when `immutable` is set]",
		  "an immutable ConfigMap");
	is_update("Secret", "{'type':'a/b'}", "{'type':'c/d'}", "type: Invalid value: 'c/d': field is immutable",
		  "a Secret's type");
	is_valid("Secret", "{'type':'kubernetes.io/tls'}",
		 "[data[tls.crt]: Required value, data[tls.key]: Required value]", "a TLS Secret");
	is_valid("Secret", "{'type':'kubernetes.io/dockerconfigjson','stringData':{'.dockerconfigjson':'{}'}}", "fine",
		 "a registry Secret");
	has_error("Secret", "{'type':'kubernetes.io/dockerconfigjson','stringData':{'.dockerconfigjson':'{'}}",
		  "data[.dockerconfigjson]: Invalid value: '<secret contents redacted>'", "a broken registry Secret");
	is_valid("Node", "{'spec':{'taints':[{'key':'a','effect':'NoSchedule'},{'key':'a','effect':'NoSchedule'}],"
			 "'podCIDRs':['10.0.0.0']}}",
		 "[metadata.taints[1]: Duplicate value: {'key':'a','effect':'NoSchedule'}: taints must be unique by key and "
		 "effect pair, spec.podCIDRs[0]: Invalid value: "
		 "'10.0.0.0': must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)]",
		 "a Node");
	is_update("Node", "{'spec':{}}", "{'spec':{'configSource':{},'providerID':'a','podCIDR':'10.0.0.0/24'}}", "fine",
		  "what may come to a Node");
	is_update("Node", "{'spec':{'providerID':'a'}}", "{'spec':{'providerID':'b','unschedulable':true}}",
		  "spec.providerID: Forbidden: node updates may not change providerID except from '' to valid",
		  "a Node's provider");
	is_valid("Event", "{'involvedObject':{'namespace':'other'}}",
		 "involvedObject.namespace: Invalid value: 'other': does not match event.namespace", "an Event elsewhere");
	is_valid("Event", "{'involvedObject':{'namespace':'ns'},'eventTime':'2020-01-01T00:00:00.000000Z'}",
		 "[reportingComponent: Required value, reportingInstance: Required value, action: Required value, reason: "
		 "Required value]",
		 "an Event with eventTime");
	is_valid("Lease", "{'spec':{'leaseDurationSeconds':0,'leaseTransitions':-1}}",
		 "[spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, spec.leaseTransitions: Invalid "
		 "value: -1: must be greater than or equal to 0]",
		 "a Lease");
	is_valid("ServiceAccount", "{}", "fine", "a ServiceAccount");
	is_valid("Namespace", "{}", "fine", "a Namespace");
}

static void test_service(void)
{
	is_valid("Service", "{'spec':{'ports':[{'port':80}],'selector':{'a':'b'}}}", "fine", "a Service");
	is_valid("Service", "{}", "spec.ports: Required value", "no ports");
	is_valid("Service", "{'spec':{'clusterIP':'None','clusterIPs':['None']}}", "fine", "headless without ports");
	is_valid("Service", "{'spec':{'ports':[{'port':0,'targetPort':'a b'},{'port':1,'protocol':'X','nodePort':5}]}}",
		 "[spec.ports[0].name: Required value, spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, "
		 "inclusive, spec.ports[0].targetPort: Invalid value: 'a b': must contain only alpha-numeric characters "
		 "(a-z, 0-9), and hyphens (-), spec.ports[1].name: Required value, spec.ports[1].protocol: Unsupported "
		 "value: 'X': supported values: 'SCTP', 'TCP', 'UDP', spec.ports[1].nodePort: Forbidden: may not be used "
		 "when `type` is 'ClusterIP']",
		 "ports");
	is_valid("Service", "{'spec':{'type':'ExternalName','externalName':'A'}}",
		 "spec.externalName: Invalid value: 'A': a lowercase RFC 1123 subdomain must consist of lower case "
		 "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
		 "'example.com', regex used for validation is "
		 "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
		 "an external name");
	is_valid("Service", "{'spec':{'type':'X','ports':[{'port':1}],'sessionAffinity':'Y'}}",
		 "[spec.sessionAffinity: Unsupported value: 'Y': supported values: 'ClientIP', 'None', spec.type: "
		 "Unsupported value: 'X': supported values: 'ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort', "
		 "spec.internalTrafficPolicy: Required value]",
		 "enums");
	is_update("Service", "{'spec':{'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1'],'ports':[{'port':1}]}}",
		  "{'spec':{'clusterIP':'10.0.0.2','clusterIPs':['10.0.0.2'],'ports':[{'port':1}]}}",
		  "spec.clusterIPs[0]: Invalid value: ['10.0.0.2']: may not change once set", "clusterIP stays");
}

#define TEMPLATE "'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}}"

static void test_workloads(void)
{
	is_valid("Deployment", "{'spec':{'selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}", "fine", "a Deployment");
	is_valid("Deployment", "{'spec':{}}",
		 "[spec.selector: Required value, spec.template.spec.containers: Required value]", "an empty one");
	is_valid("Deployment", "{'spec':{'replicas':-1,'selector':{'matchLabels':{'a':'c'}}," TEMPLATE "}}",
		 "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.template.metadata.labels: "
		 "Invalid value: {'a':'b'}: `selector` does not match template `labels`]",
		 "a selector that does not match");
	is_valid("Deployment",
		 "{'spec':{'selector':{'matchLabels':{'a':'b'}},'strategy':{'rollingUpdate':{'maxSurge':0,'maxUnavailable':"
		 "'0%'}}," TEMPLATE "}}",
		 "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: '0%': may not be 0 when `maxSurge` is 0",
		 "a roll-out that cannot move");
	has_error("Deployment",
		  "{'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{"
		  "'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}}}}",
		  "spec.template.spec.restartPolicy: Unsupported value: 'Never': supported values: 'Always'",
		  "pods of a Deployment restart");
	is_update("Deployment", "{'spec':{'selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}",
		  "{'spec':{'selector':{'matchExpressions':[{'key':'a','operator':'Exists'}]}," TEMPLATE "}}",
		  "spec.selector: Invalid value: {'matchExpressions':[{'key':'a','operator':'Exists'}]}: field is immutable",
		  "a selector stays");
	is_valid("DaemonSet", "{'spec':{'selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}", "fine", "a DaemonSet");
	is_valid("StatefulSet", "{'spec':{'serviceName':'s','selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}", "fine",
		 "a StatefulSet");
	is_update("StatefulSet", "{'spec':{'serviceName':'s','selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}",
		  "{'spec':{'serviceName':'t','replicas':3,'selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}",
		  "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
		  "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
		  "are forbidden",
		  "a StatefulSet's fixed fields");
	is_valid("ReplicationController", "{'spec':{'selector':{'a':'b'}," TEMPLATE "}}", "fine", "a controller");
	has_error("Job", "{'spec':{'selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}",
		  "spec.template.spec.restartPolicy: Required value: valid values: 'OnFailure', 'Never'",
		  "pods of a Job end");
	is_valid("CronJob",
		 "{'spec':{'schedule':'* * * *','jobTemplate':{'spec':{'template':{'spec':{'restartPolicy':'Never',"
		 "'containers':[{'name':'c','image':'i'}]}}}}}}",
		 "spec.schedule: Invalid value: '* * * *': expected exactly 5 fields, found 4: [* * * *]",
		 "a CronJob's schedule");
}

static void test_generic(void)
{
	is_valid("Role", "{'rules':[{'apiGroups':[''],'resources':['pods']}]}",
		 "rules[0].verbs: Required value: verbs must contain at least one value", "a required list");
	is_valid("Role", "{}", "fine", "a role without rules");
	is_valid("StorageClass", "{'volumeBindingMode':'X'}",
		 "[provisioner: Required value, volumeBindingMode: Unsupported value: 'X': supported values: 'Immediate', "
		 "'WaitForFirstConsumer']",
		 "a StorageClass, from the tables");
	is_valid("PersistentVolumeClaim", "{'spec':{'accessModes':['X']}}",
		 "[spec.accessModes: Unsupported value: 'X': supported values: 'ReadOnlyMany', 'ReadWriteMany', "
		 "'ReadWriteOnce', 'ReadWriteOncePod', spec.resources[storage]: Required value]",
		 "an enum in a list");
	is_valid("Ingress", "{'spec':{'rules':[{'http':{}}]}}", "spec.rules[0].http.paths: Required value", "an Ingress");
}

static void test_limits(void)
{
	struct buf b = BUF_INIT;
	char *got;
	int64_t start = time_mono_ms();

	buf_adds(&b, "{'spec':{'containers':[{'name':'a','image':'i','env':[");
	for (int i = 0; i < 60000; i++)
		buf_addf(&b, "%s{'name':'e%d'}", i ? "," : "", i);
	buf_adds(&b, "]}]}}");
	got = check("Pod", b.s, NULL, NULL);
	is_str(got, "spec.containers[0].env: Too many: 60000: must have at most 1000 items", "a list too long");
	ok(time_mono_ms() - start < 5000, "is told at once");
	free(got);
	buf_release(&b);
}

/* --- strategies --- */

static char *prepared(const char *res, const char *text, const char *old, const char *sub, const char *path)
{
	_cleanup_doc_ struct doc *d = decoded(res, text), *o = old ? decoded(res, old) : NULL;
	struct buf b = BUF_INIT;

	schema_prepare(kind(res), d, o ? doc_root(o) : NULL, sub);
	doc_print_json(&b, at(doc_root(d), path), DOC_PRINT_SORTED);
	return buf_detach(&b, NULL);
}

static void is_prepared(const char *res, const char *text, const char *old, const char *sub, const char *path,
			const char *want, const char *what)
{
	_cleanup_free_ char *got = prepared(res, text, old, sub, path), *w = quotes(want);

	is_str(got, w, what);
}

static void test_prepare(void)
{
	is_prepared("Pod", POD("'nodeName':'n'"), NULL, NULL, "status", "{'phase':'Pending','qosClass':'BestEffort'}",
		    "a new pod's status");
	is_prepared("Pod", "{'status':{'phase':'Running','podIP':'1.2.3.4'}}", NULL, NULL, "status.phase", "'Pending'",
		    "whatever it says");
	is_prepared("Pod", CTR("'resources':{'limits':{'cpu':'1','memory':'1'}}"), NULL, NULL, "status.qosClass",
		    "'Guaranteed'", "all limited");
	is_prepared("Pod", CTR("'resources':{'requests':{'cpu':'1'}}"), NULL, NULL, "status.qosClass", "'Burstable'",
		    "something requested");
	is_prepared("Pod", POD("'schedulingGates':[{'name':'g'}]"), NULL, NULL, "status.conditions.0.reason",
		    "'SchedulingGated'", "a gated pod");
	is_prepared("Pod", POD("'nodeName':'n'"), NULL, NULL, "metadata.generation", "1", "generation 1");
	is_prepared("Deployment", "{'status':{'replicas':5}}", NULL, NULL, "status", "{}", "no status on create");
	is_prepared("ReplicaSet", "{'status':{'replicas':5}}", NULL, NULL, "status", "{'replicas':0}",
		    "a ReplicaSet's empty one");
	is_prepared("Service", "{'spec':{'clusterIP':'10.0.0.1'}}", NULL, NULL, "status", "{'loadBalancer':{}}",
		    "a Service's");
	is_prepared("Namespace", "{}", NULL, NULL, "spec.finalizers", "['kubernetes']", "a namespace's finalizer");
	is_prepared("Namespace", "{'spec':{'finalizers':[]}}", "{'spec':{'finalizers':['kubernetes']}}", NULL,
		    "spec.finalizers", "['kubernetes']", "which an update keeps");
	is_prepared("Namespace", "{'spec':{'finalizers':[]}}", "{'spec':{'finalizers':['kubernetes']}}", "finalize",
		    "spec.finalizers", "null", "and finalize takes away");
	is_prepared("Node", "{'status':{'phase':'Running'}}", NULL, NULL, "status.phase", "'Running'",
		    "a Node brings its status");
	is_prepared("PersistentVolumeClaim", "{}", NULL, NULL, "status.phase", "'Pending'", "a claim is pending");
	is_prepared("ConfigMap", "{}", NULL, NULL, "metadata.generation", "null", "ConfigMaps have no generation");
	is_prepared("Job", "{'metadata':{'uid':'u'},'spec':{'template':{}}}", NULL, NULL, "spec.selector",
		    "{'matchLabels':{'batch.kubernetes.io/controller-uid':'u'}}", "a Job's selector");
	is_prepared("Job", "{'metadata':{'uid':'u'},'spec':{'template':{}}}", NULL, NULL, "spec.template.metadata.labels",
		    "{'batch.kubernetes.io/controller-uid':'u','batch.kubernetes.io/job-name':'x','controller-uid':'u',"
		    "'job-name':'x'}",
		    "and labels");
}

static void test_prepare_update(void)
{
	static const char OLD[] = "{'metadata':{'generation':3,'labels':{'a':'b'}},'spec':{'replicas':1},'status':{'replicas':"
				  "1}}";

	is_prepared("Deployment", "{'spec':{'replicas':2},'status':{'replicas':9}}", OLD, NULL, "metadata.generation", "4",
		    "a change of spec counts");
	is_prepared("Deployment", "{'spec':{'replicas':2},'status':{'replicas':9}}", OLD, NULL, "status", "{'replicas':1}",
		    "the status stays");
	is_prepared("Deployment", "{'metadata':{'labels':{'x':'y'}},'spec':{'replicas':1}}", OLD, NULL,
		    "metadata.generation", "3", "a change of labels does not count");
	is_prepared("Deployment", "{'metadata':{'generation':9,'annotations':{'x':'y'}},'spec':{'replicas':1}}", OLD, NULL,
		    "metadata.generation", "4", "a Deployment's annotations do");
	is_prepared("Deployment", "{'metadata':{'labels':{'x':'y'}},'spec':{'replicas':2},'status':{'replicas':9}}", OLD,
		    "status", "",
		    "{'metadata':{'generation':3,'labels':{'a':'b'},'name':'x','namespace':'ns'},'spec':{"
		    "'progressDeadlineSeconds':600,'replicas':1,'revisionHistoryLimit':10,'selector':null,'strategy':{"
		    "'rollingUpdate':{'maxSurge':'25%','maxUnavailable':'25%'},'type':'RollingUpdate'},'template':{'metadata'"
		    ":{},'spec':{'containers':null,'dnsPolicy':'ClusterFirst','restartPolicy':'Always','schedulerName':"
		    "'default-scheduler','securityContext':{},'terminationGracePeriodSeconds':30}}},'status':{'replicas':9}}",
		    "through status only the status changes");
	is_prepared("Pod", POD("'hostname':'h'"), POD("'nodeName':'n'"), "status", "spec.nodeName", "'n'",
		    "a pod's spec stays");
	is_prepared("Pod", POD("'ephemeralContainers':[{'name':'e','image':'i'}],'hostname':'h'"), POD("'nodeName':'n'"),
		    "ephemeralcontainers", "spec.hostname", "null", "ephemeralcontainers changes nothing else");
	is_prepared("Pod", POD("'ephemeralContainers':[{'name':'e','image':'i'}],'hostname':'h'"), POD("'nodeName':'n'"),
		    "ephemeralcontainers", "spec.ephemeralContainers.0.name", "'e'", "than those");
}

/* --- strategic merge patch --- */

static void is_patched(const char *res, const char *text, const char *patch, const char *want, const char *what)
{
	_cleanup_doc_ struct doc *d = parse(text), *p = parse(patch);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *w = quotes(want);

	if (schema_patch_strategic(kind(res), d, doc_root(p), &e) < 0)
		buf_addf(&b, "%s: %s", err_reason_name(e.reason), err_msg(&e));
	else
		doc_print_json(&b, doc_root(d), 0);
	is_str(b.s, w, what);
}

#define TWO "{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'2'}]}}"

static void test_patch(void)
{
	is_patched("ConfigMap", "{'data':{'a':'1','b':'2'}}", "{'data':{'a':null,'c':'3'}}", "{'data':{'b':'2','c':'3'}}",
		   "maps");
	is_patched("Pod", TWO, "{'spec':{'containers':[{'name':'b','image':'3'}]}}",
		   "{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'3'}]}}", "a list by its key");
	is_patched("Pod", TWO, "{'spec':{'containers':[{'name':'c','image':'3'}]}}",
		   "{'spec':{'containers':[{'name':'c','image':'3'},{'name':'a','image':'1'},{'name':'b','image':'2'}]}}",
		   "a new item comes first, as in Kubernetes");
	is_patched("Pod", TWO,
		   "{'spec':{'$setElementOrder/containers':[{'name':'a'},{'name':'b'},{'name':'c'}],'containers':[{'name':"
		   "'c','image':'3'}]}}",
		   "{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'2'},{'name':'c','image':'3'}]}}",
		   "unless the order is given");
	is_patched("Pod", TWO, "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'a'}]}}",
		   "{'spec':{'containers':[{'name':'b','image':'2'},{'name':'a','image':'1'}]}}", "an order alone");
	is_patched("Pod", TWO, "{'spec':{'containers':[{'$patch':'delete','name':'a'}]}}",
		   "{'spec':{'containers':[{'name':'b','image':'2'}]}}", "an item deleted");
	is_patched("Pod", TWO, "{'spec':{'containers':[{'$patch':'replace'},{'name':'z'}]}}",
		   "{'spec':{'containers':[{'name':'z'}]}}", "a list replaced");
	is_patched("Node", "{'status':{'addresses':[{'type':'Hostname','address':'h'}]}}",
		   "{'status':{'addresses':[{'type':'ExternalIP','address':'1'},{'type':'ExternalIP','address':'2'},"
		   "{'$patch':'replace'}]}}",
		   "{'status':{'addresses':[{'type':'ExternalIP','address':'1'},{'type':'ExternalIP','address':'2'}]}}",
		   "a list replaced by one in which two items are alike");
	is_patched("Pod", TWO, "{'spec':{'containers':[{'image':'3'}]}}",
		   ": map: map[image:3] does not contain declared merge key: name", "an item without its key");
	is_patched("Pod", TWO, "{'spec':{'$patch':'replace','nodeName':'n'}}", "{'spec':{'nodeName':'n'}}",
		   "a map replaced");
	is_patched("Pod", TWO, "{'spec':{'$patch':'delete'}}", "{'spec':{}}", "a map emptied");
	is_patched("Pod", TWO, "{'spec':{'$patch':'swap'}}", "BadRequest: unknown patch type: swap in map",
		   "an unknown directive");
	is_patched("Pod", "{'spec':{'tolerations':[{'key':'a'}]}}", "{'spec':{'tolerations':[{'key':'b'}]}}",
		   "{'spec':{'tolerations':[{'key':'b'}]}}", "atomic lists are replaced");
	is_patched("Pod", "{'metadata':{'finalizers':['a','b']}}", "{'metadata':{'finalizers':['c','a']}}",
		   "{'metadata':{'finalizers':['c','a','b']}}", "lists of scalars are united");
	is_patched("Pod", "{'metadata':{'finalizers':['a','b']}}",
		   "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a'],'$setElementOrder/finalizers':['b','c'],"
		   "'finalizers':['c']}}",
		   "{'metadata':{'finalizers':['b','c']}}", "with deletions and an order");
	is_patched("Deployment", "{'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}}",
		   "{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}}",
		   "{'spec':{'strategy':{'type':'Recreate'}}}", "only keys to retain");
	is_patched("Deployment", "{'spec':{'strategy':{'type':'RollingUpdate'}}}",
		   "{'spec':{'strategy':{'$retainKeys':['x'],'type':'Recreate'}}}",
		   "BadRequest: invalid patch format of retainKeys", "a key that is not retained");
	is_patched("Pod", "{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
		   "{'spec':{'volumes':[{'name':'v','emptyDir':null,'$retainKeys':['name','hostPath'],'hostPath':{'path':"
		   "'/a'}}]}}",
		   "{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/a'}}]}}", "a volume's source");
	is_patched("Pod", "{}", "{'spec':{'containers':[{'name':'a','image':null,'$patch':'delete'},{'name':'b','x':null}]}}",
		   "{'spec':{'containers':[{'name':'b'}]}}", "what is new comes without nulls and directives");
	is_patched("Service", "{'spec':{'ports':[{'port':80,'name':'a'},{'port':81}]}}",
		   "{'spec':{'ports':[{'port':80,'name':null,'targetPort':8}]}}",
		   "{'spec':{'ports':[{'port':80,'targetPort':8},{'port':81}]}}", "a number as key");
	is_patched("Pod", TWO, "{'spec':{'$setElementOrder/containers':[{'name':'a'}],'containers':[{'name':'b'}]}}",
		   "BadRequest: invalid patch format of setElementOrder list", "an order that lacks an item");
	is_patched("Deployment", "{'spec':{'template':" TWO "}}",
		   "{'spec':{'template':{'spec':{'containers':[{'name':'a','env':[{'name':'E','value':'1'}]}]}}}}",
		   "{'spec':{'template':{'spec':{'containers':[{'name':'a','image':'1','env':[{'name':'E','value':'1'}]},"
		   "{'name':'b','image':'2'}]}}}}",
		   "deep inside a template");
	is_patched("Pod", "{'a':[1]}", "{'a':[2],'b':{'c':null}}", "{'a':[2],'b':{}}", "unknown fields");
	is_patched("Pod", "{}", "[]", "BadRequest: invalid JSON document", "no object");
}

/* --- selection and warnings --- */

static bool selects(const char *res, const char *text, const char *selector)
{
	_cleanup_doc_ struct doc *d = parse(text);
	_cleanup_err_ struct err e = ERR_INIT;
	struct fieldsel *s = NULL;
	bool r;

	if (fieldsel_parse(&s, str_of(selector), &e) < 0 || schema_check_fieldsel(kind(res), s, &e) < 0) {
		printf("# %s\n", err_msg(&e));
		fieldsel_free(s);
		return false;
	}
	r = schema_fieldsel_match(kind(res), s, doc_root(d));
	fieldsel_free(s);
	return r;
}

static void test_select(void)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct fieldsel *s = NULL;

	ok(selects("Pod", "{'metadata':{'name':'a'},'status':{'phase':'Running'}}", "metadata.name=a,status.phase=Running"),
	   "pods by name and phase");
	ok(!selects("Pod", "{'status':{'phase':'Running'}}", "status.phase!=Running"), "negated");
	ok(selects("Pod", "{'spec':{}}", "spec.nodeName="), "an empty value");
	ok(selects("Pod", "{'spec':{'nodeName':'n'}}", "spec.host=n"), "the old label spec.host");
	ok(selects("Node", "{'spec':{}}", "spec.unschedulable=false"), "a bool that is absent");
	ok(selects("Event", "{'source':{'component':'c'},'involvedObject':{'uid':'u'}}", "source=c,involvedObject.uid=u"),
	   "Events");
	ok(selects("ConfigMap", "{'metadata':{'namespace':'n'}}", "metadata.namespace=n"), "any kind by its namespace");
	ok(fieldsel_parse(&s, STR_LIT("spec.foo=1"), &e) == 0 && schema_check_fieldsel(kind("Pod"), s, &e) < 0, "spec.foo");
	is_str(err_msg(&e), "field label not supported: spec.foo", "may not be selected");
	ok(schema_check_fieldsel(kind("ConfigMap"), s, &e) < 0, "nor of a ConfigMap");
	is_str(err_msg(&e), "\"spec.foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
	       "in other words");
	fieldsel_free(s);
}

static void add_warning(void *arg, const char *text)
{
	buf_addf(arg, "%s|", text);
}

static void test_warnings(void)
{
	_cleanup_doc_ struct doc *d = decoded("Pod", "{'metadata':{'finalizers':['x']},'spec':{'nodeSelector':{"
						    "'beta.kubernetes.io/os':'linux'},'containers':[{'name':'a','env':[{"
						    "'name':'E'},{'name':'E'}]}]}}");
	_cleanup_buf_ struct buf b = BUF_INIT;

	schema_warnings(kind("Pod"), doc_root(d), add_warning, &b);
	is_str(b.s,
	       "metadata.finalizers: \"x\": prefer a domain-qualified finalizer name including a path (/) to avoid "
	       "accidental conflicts with other finalizer writers|spec.nodeSelector[beta.kubernetes.io/os]: deprecated "
	       "since v1.14; use \"kubernetes.io/os\" instead|spec.containers[0].env[1]: hides previous definition of "
	       "\"E\", which may be dropped when using apply|",
	       "a pod's warnings");
}

int main(void)
{
	test_names();
	test_meta();
	test_pod();
	test_pod_more();
	test_pod_update();
	test_pod_status();
	test_core();
	test_service();
	test_workloads();
	test_generic();
	test_limits();
	test_prepare();
	test_prepare_update();
	test_patch();
	test_select();
	test_warnings();
	return done_testing();
}
