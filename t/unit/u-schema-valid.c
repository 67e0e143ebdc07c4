/*
 * Validation of every kind by its own rules: a table of kind, document, old document
 * and what is said. Documents stand with ' for "; the texts are Kubernetes'.
 */
#include "schema/schema.h"

#include <stdio.h>

#include "schema-util.h"
#include "tap.h"

struct row {
	const char *kind;
	const char *text;
	const char *old; /* NULL: create */
	const char *sub; /* NULL: the object itself */
	const char *want; /* "fine", the whole text, or a part of it after "~" */
};

static void check(const struct row *r)
{
	_cleanup_doc_ struct doc *d = decoded(r->kind, r->text), *o = r->old ? decoded(r->kind, r->old) : NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *got = NULL, *what = xasprintf("%s %.60s", r->kind, r->text);
	const char *colon;

	if (schema_validate(kind(r->kind), doc_root(d), o ? doc_root(o) : NULL, r->sub, &e) == 0) {
		is_str("fine", r->want, what);
		return;
	}
	colon = strstr(err_msg(&e), "is invalid: ");
	got = xstrdup(colon && e.reason == ERR_INVALID ? colon + 12 : err_msg(&e));
	for (char *p = got; *p; p++)
		*p = (char)(*p == '"' ? '\'' : *p);
	if (r->want[0] != '~')
		is_str(got, r->want, what);
	else if (!ok(strstr(got, r->want + 1), what))
		printf("#      got: %s\n# expected: %s\n", got, r->want);
}

#define SUBDOMAIN                                                                                                      \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "     \
	"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "              \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define ACCESS "supported values: 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'"

/* --- volumes and claims --- */

#define PV(rest) "{'spec':{'accessModes':['ReadWriteOnce'],'capacity':{'storage':'1Gi'}," rest "}}"
#define CLAIM(size, rest)                                                                                              \
	"{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'" size "'}}" rest "},"           \
	"'status':{'phase':'Bound','capacity':{'storage':'2Gi'}}}"

static const struct row STORAGE[] = {
	{ "PersistentVolume", PV("'hostPath':{'path':'/a'}"), NULL, NULL, "fine" },
	{ "PersistentVolume", "{'spec':{}}", NULL, NULL,
	  "[spec.accessModes: Required value, spec.capacity: Required value, spec.capacity: Unsupported value: null: "
	  "supported values: 'storage', spec: Required value: must specify a volume type]" },
	{ "PersistentVolume",
	  "{'spec':{'accessModes':['ReadWriteOncePod','ReadOnlyMany','Z'],'capacity':{'storage':'0','cpu':'1'},'hostPath':{"
	  "'path':'/'},'persistentVolumeReclaimPolicy':'Recycle'}}",
	  NULL, NULL,
	  "[spec.accessModes: Unsupported value: 'Z': " ACCESS ", spec.accessModes: Forbidden: may not use "
	  "ReadWriteOncePod with other access modes, spec.capacity: Unsupported value: {'storage':'0','cpu':'1'}: "
	  "supported values: 'storage', spec.capacity[storage]: Invalid value: '0': must be greater than zero, "
	  "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/']" },
	{ "PersistentVolume", PV("'hostPath':{'path':'/a'},'nfs':{'server':'s','path':'/p'}"), NULL, NULL,
	  "spec.nfs: Forbidden: may not specify more than 1 volume type" },
	{ "PersistentVolume", PV("'local':{'path':'/a/../b'}"), NULL, NULL,
	  "[spec.local.path: Invalid value: '/a/../b': must not contain '..', spec.nodeAffinity: Required value: Local "
	  "volume requires node affinity]" },
	{ "PersistentVolume", PV("'csi':{'driver':'A_b','volumeHandle':'','nodePublishSecretRef':{'name':'s'}}"), NULL, NULL,
	  "[spec.csi.driver: Invalid value: 'A_b': " SUBDOMAIN ", spec.csi.nodePublishSecretRef.namespace: Required value, "
	  "spec.csi.volumeHandle: Required value]" },
	{ "PersistentVolume", PV("'nfs':{'server':'s','path':'p'},'volumeMode':'Tape','storageClassName':'A'"), NULL, NULL,
	  "[spec.nfs.path: Invalid value: 'p': must be an absolute path, spec.storageClassName: Invalid value: 'A': "
	  SUBDOMAIN ", spec.volumeMode: Unsupported value: 'Tape': supported values: 'Block', 'Filesystem']" },
	{ "PersistentVolume", PV("'iscsi':{'targetPortal':'p','iqn':'bad','lun':300}"), NULL, NULL,
	  "[spec.iscsi.iqn: Invalid value: 'bad': must be valid format starting with iqn, eui, or naa, spec.iscsi.lun: "
	  "Invalid value: 300: must be between 0 and 255, inclusive]" },
	{ "PersistentVolume", PV("'iscsi':{'targetPortal':'p','iqn':'iqn.2001-04.com.example:a.b','lun':0}"), NULL, NULL,
	  "fine" },
	{ "PersistentVolume", PV("'hostPath':{'path':'/b'}"), PV("'hostPath':{'path':'/a'}"), NULL,
	  "~spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation" },
	{ "PersistentVolume", PV("'hostPath':{'path':'/a'},'persistentVolumeReclaimPolicy':'Delete'"),
	  PV("'hostPath':{'path':'/a'}"), NULL, "fine" },
	{ "PersistentVolume", PV("'hostPath':{'path':'/a'},'volumeMode':'Block'"), PV("'hostPath':{'path':'/a'}"), NULL,
	  "volumeMode: Invalid value: 'Block': field is immutable" },
	{ "PersistentVolumeClaim", CLAIM("1Gi", ""), NULL, NULL, "fine" },
	{ "PersistentVolumeClaim", "{'spec':{}}", NULL, NULL,
	  "[spec.accessModes: Required value: at least 1 access mode is required, spec.resources[storage]: Required "
	  "value]" },
	{ "PersistentVolumeClaim", CLAIM("0", ",'dataSource':{'kind':'X','name':''}"), NULL, NULL,
	  "~spec.resources[storage]: Invalid value: '0': must be greater than zero" },
	{ "PersistentVolumeClaim", CLAIM("1Gi", ",'dataSource':{'kind':'X','name':'a'}"), NULL, NULL,
	  "~spec.dataSource: Invalid value: 'X': must be 'PersistentVolumeClaim' when referencing the default apiGroup" },
	{ "PersistentVolumeClaim", CLAIM("3Gi", ""), CLAIM("2Gi", ""), NULL, "fine" },
	{ "PersistentVolumeClaim", CLAIM("1Gi", ""), CLAIM("3Gi", ""), NULL,
	  "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity" },
	{ "PersistentVolumeClaim", CLAIM("1Gi", ",'storageClassName':'b'"), CLAIM("1Gi", ",'storageClassName':'a'"), NULL,
	  "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
	  "bound claims\n- spec.storageClassName: 'a'\n+ spec.storageClassName: 'b'\n" },
	{ "PersistentVolumeClaim", CLAIM("1Gi", ",'volumeName':'v'"), CLAIM("1Gi", ""), NULL, "fine" },
	{ "PersistentVolumeClaim", "{'status':{'allocatedResourceStatuses':{'storage':'X'}}}", CLAIM("1Gi", ""), "status",
	  "~status.allocatedResourceStatuses: Unsupported value: 'storage': supported values: "
	  "'ControllerResizeInProgress'" },
	{ "StorageClass", "{'provisioner':'a/b/c','reclaimPolicy':'Recycle','parameters':{'':'x'}}", NULL, NULL,
	  "~parameters: Invalid value: '': field can not be empty., reclaimPolicy: Unsupported value: 'Recycle': supported "
	  "values: 'Delete', 'Retain'" },
	{ "StorageClass", "{'provisioner':'b','parameters':{'a':'2'},'volumeBindingMode':'WaitForFirstConsumer'}",
	  "{'provisioner':'a','parameters':{'a':'1'}}", NULL,
	  "[parameters: Forbidden: updates to parameters are forbidden., provisioner: Forbidden: updates to provisioner "
	  "are forbidden., volumeBindingMode: Invalid value: 'WaitForFirstConsumer': field is immutable]" },
	{ "StorageClass",
	  "{'provisioner':'b','allowedTopologies':[{'matchLabelExpressions':[{'key':'a','values':['x','x']}]},{"
	  "'matchLabelExpressions':[{'key':'a','values':[]}]}]}",
	  NULL, NULL,
	  "[allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: 'x', "
	  "allowedTopologies[1].matchLabelExpressions[0].values: Required value]" },
	{ "VolumeAttachment", "{'spec':{'attacher':'a','nodeName':'n','source':{}}}", NULL, NULL,
	  "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName" },
	{ "VolumeAttachment", "{'spec':{'attacher':'a','nodeName':'m','source':{'persistentVolumeName':'v'}}}",
	  "{'spec':{'attacher':'a','nodeName':'n','source':{'persistentVolumeName':'v'}}}", NULL,
	  "~spec: Invalid value: {'attacher':'a','nodeName':'m','source':{'persistentVolumeName':'v'}}: field is "
	  "immutable" },
	{ "VolumeAttachment",
	  "{'spec':{'attacher':'a','nodeName':'n','source':{'inlineVolumeSpec':{'accessModes':['ReadWriteOnce'],'claimRef':{"
	  "'name':'x'},'hostPath':{'path':'/x'}}}}}",
	  NULL, NULL,
	  "~spec.source.inlineVolumeSpec.claimRef: Forbidden: may not be specified in the context of inline volumes" },
	{ "CSIDriver", "{'spec':{'volumeLifecycleModes':['Never'],'tokenRequests':[{'audience':'a'},{'audience':'a',"
		       "'expirationSeconds':5}]}}",
	  NULL, NULL,
	  "[spec.volumeLifecycleModes: Unsupported value: 'Never': supported values: 'Persistent', 'Ephemeral', "
	  "spec.tokenRequests[1].audience: Duplicate value: 'a', spec.tokenRequests[1].expirationSeconds: Invalid value: 5: "
	  "may not specify a duration less than 10 minutes]" },
	{ "CSIDriver", "{'spec':{'attachRequired':false}}", "{'spec':{'attachRequired':true}}", NULL,
	  "spec.attachedRequired: Invalid value: false: field is immutable" },
	{ "CSINode", "{'spec':{'drivers':[{'name':'a','nodeID':'','topologyKeys':['k','k']},{'name':'a','nodeID':'n'}]}}", NULL,
	  NULL,
	  "~spec.drivers[0].nodeID: Required value, spec.drivers[0]: Duplicate value: 'k', spec.drivers[1].name: Duplicate "
	  "value: 'a'" },
	{ "CSINode", "{'spec':{'drivers':[{'name':'a','nodeID':'m'}]}}", "{'spec':{'drivers':[{'name':'a','nodeID':'n'}]}}",
	  NULL, "~CSINodeDriver: Invalid value: {'name':'a','nodeID':'m'" },
	{ "CSIStorageCapacity", "{'storageClassName':'A','capacity':'-1'}", NULL, NULL,
	  "[storageClassName: Invalid value: 'A': " SUBDOMAIN ", capacity: Invalid value: '-1': must be greater than or "
	  "equal to 0]" },
	{ "CSIStorageCapacity", "{'storageClassName':'b'}", "{'storageClassName':'a'}", NULL,
	  "storageClassName: Invalid value: 'b': field is immutable" },
	{ "VolumeAttributesClass", "{'driverName':'d'}", NULL, NULL,
	  "parameters: Required value: must contain at least one key/value pair" },
	{ "VolumeAttributesClass", "{'driverName':'e','parameters':{'a':'b'}}", "{'driverName':'d','parameters':{'a':'b'}}",
	  NULL, "driverName: Forbidden: updates to driverName are forbidden." },
};

/* --- quota --- */

static const struct row QUOTA[] = {
	{ "LimitRange", "{'spec':{'limits':[{'type':'Container','max':{'cpu':'1'},'min':{'cpu':'2'}}]}}", NULL, NULL,
	  "~[spec.limits[0].min[cpu]: Invalid value: '2': min value 2 is greater than max value 1, "
	  "spec.limits[0].defaultRequest[cpu]: Invalid value: '1': min value 2 is greater than default request value 1" },
	{ "LimitRange",
	  "{'spec':{'limits':[{'type':'Pod','default':{'cpu':'1'}},{'type':'Pod'},{'type':'X'},{'type':"
	  "'PersistentVolumeClaim'}]}}",
	  NULL, NULL,
	  "[spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod', spec.limits[1].type: Duplicate "
	  "value: 'Pod', spec.limits[2].type: Invalid value: 'X': must be a standard limit type or fully qualified, "
	  "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was "
	  "provided]" },
	{ "LimitRange", "{'spec':{'limits':[{'type':'Container','maxLimitRequestRatio':{'cpu':'500m'}}]}}", NULL, NULL,
	  "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: '500m': ratio 500m is less than 1" },
	{ "LimitRange", "{'spec':{'limits':[{'type':'Container','max':{'storage':'1'}}]}}", NULL, NULL,
	  "~spec.limits[0].max[storage]: Invalid value: 'storage': must be a standard resource for containers" },
	{ "ResourceQuota", "{'spec':{'hard':{'pods':'10','requests.cpu':'1','example.com/gpu':'1'}}}", NULL, NULL, "fine" },
	{ "ResourceQuota", "{'spec':{'hard':{'pods':'1500m','foo':'1','cpu':'-1'}}}", NULL, NULL,
	  "[spec.hard[pods]: Invalid value: '1500m': must be an integer, spec.hard[foo]: Invalid value: 'foo': must be a "
	  "standard resource type or fully qualified, spec.hard[foo]: Invalid value: 'foo': must be a standard resource for "
	  "quota, spec.hard[cpu]: Invalid value: '-1': must be greater than or equal to 0]" },
	{ "ResourceQuota", "{'spec':{'hard':{'services':'1'},'scopes':['BestEffort','NotBestEffort']}}", NULL, NULL,
	  "[spec.scopes: Invalid value: ['BestEffort','NotBestEffort']: unsupported scope applied to resource, spec.scopes: "
	  "Invalid value: ['BestEffort','NotBestEffort']: conflicting scopes]" },
	{ "ResourceQuota",
	  "{'spec':{'scopeSelector':{'matchExpressions':[{'scopeName':'PriorityClass','operator':'In'},{'scopeName':"
	  "'Terminating','operator':'In','values':['a']}]}}}",
	  NULL, NULL,
	  "[spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' "
	  "or 'NotIn' for scope selector, spec.scopeSelector.matchExpressions.operator: Invalid value: 'In': must be 'Exists' "
	  "when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
	  "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity]" },
	{ "ResourceQuota", "{'spec':{'scopes':['BestEffort']}}", "{'spec':{}}", NULL,
	  "spec.scopes: Invalid value: ['BestEffort']: field is immutable" },
};

/* --- networking --- */

#define ING(rule) "{'spec':{'rules':[" rule "]}}"
#define SVC_BACKEND "'backend':{'service':{'name':'s','port':{'number':80}}}"

static const struct row NETWORKING[] = {
	{ "Ingress", ING("{'host':'a.example.com','http':{'paths':[{'path':'/','pathType':'Prefix'," SVC_BACKEND "}]}}"), NULL,
	  NULL, "fine" },
	{ "Ingress", "{}", NULL, NULL, "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified" },
	{ "Ingress", ING("{'http':{'paths':[{'path':'/'," SVC_BACKEND "}]}}"), NULL, NULL,
	  "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified" },
	{ "Ingress", ING("{'http':{'paths':[{'path':'a//b','pathType':'Exact'," SVC_BACKEND "}]}}"), NULL, NULL,
	  "[spec.rules[0].http.paths[0].path: Invalid value: 'a//b': must be an absolute path, "
	  "spec.rules[0].http.paths[0].path: Invalid value: 'a//b': must not contain '//']" },
	{ "Ingress", ING("{'host':'1.2.3.4','http':{'paths':[{'pathType':'Never','backend':{}}]}}"), NULL, NULL,
	  "[spec.rules[0].host: Invalid value: '1.2.3.4': must be a DNS name, not an IP address, "
	  "spec.rules[0].http.paths[0].pathType: Unsupported value: 'Never': supported values: 'Exact', "
	  "'ImplementationSpecific', 'Prefix', spec.rules[0].http.paths[0].backend: Invalid value: '': resource or service "
	  "backend is required]" },
	{ "Ingress", "{'spec':{'defaultBackend':{'service':{'name':'s','port':{'number':80,'name':'http'}}},'tls':[{'hosts':["
		     "'a.*.b']}]}}",
	  NULL, NULL, "~[spec.defaultBackend: Invalid value: '': cannot set both port name & port number, spec.tls[0].hosts[0]: "
		      "Invalid value: 'a.*.b': a wildcard DNS-1123 subdomain must start with '*.'" },
	{ "Ingress",
	  "{'metadata':{'annotations':{'kubernetes.io/ingress.class':'a'}},'spec':{'ingressClassName':'b','defaultBackend':{"
	  "'service':{'name':'s','port':{'number':80}}}}}",
	  NULL, NULL, "annotations.kubernetes.io/ingress.class: Invalid value: 'a': must match `ingressClassName` when both "
		      "are specified" },
	{ "IngressClass", "{'spec':{'controller':'nginx'}}", NULL, NULL,
	  "spec.controller: Invalid value: 'nginx': must be a domain-prefixed path (such as 'acme.io/foo')" },
	{ "IngressClass", "{'spec':{'controller':'a.io/b','parameters':{'kind':'K','name':'n','scope':'Namespace'}}}", NULL, NULL,
	  "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'" },
	{ "IngressClass", "{'spec':{'controller':'a.io/c'}}", "{'spec':{'controller':'a.io/b'}}", NULL,
	  "spec.controller: Invalid value: 'a.io/c': field is immutable" },
	{ "NetworkPolicy",
	  "{'spec':{'podSelector':{},'ingress':[{'from':[{},{'ipBlock':{'cidr':'10.0.0.0/8','except':['11.0.0.0/16']}}],"
	  "'ports':[{'port':10,'endPort':5},{'endPort':9},{'port':'web','endPort':9}]}]}}",
	  NULL, NULL,
	  "[spec.ingress[0].ports[0].endPort: Invalid value: 10: must be greater than or equal to `port`, "
	  "spec.ingress[0].ports[1].endPort: Invalid value: 9: may not be specified when `port` is not specified, "
	  "spec.ingress[0].ports[2].endPort: Invalid value: 9: may not be specified when `port` is non-numeric, "
	  "spec.ingress[0].from[0]: Required value: must specify a peer, spec.ingress[0].from[1].ipBlock.except[0]: Invalid "
	  "value: '11.0.0.0/16': must be a strict subset of `cidr`]" },
	{ "NetworkPolicy", "{'spec':{'podSelector':{},'policyTypes':['Ingress','Up']}}", NULL, NULL,
	  "spec.policyTypes[1]: Unsupported value: 'Up': supported values: 'Ingress', 'Egress'" },
	{ "IPAddress", "{'metadata':{'name':'10.0.0.1'},'spec':{'parentRef':{'resource':'services','name':'a'}}}", NULL, NULL,
	  "fine" },
	{ "IPAddress", "{'metadata':{'name':'2001:DB8::1'},'spec':{}}", NULL, NULL,
	  "[metadata.name: Invalid value: '2001:DB8::1': must be a canonical format IP address, spec.parentRef: Required "
	  "value]" },
	{ "ServiceCIDR", "{'spec':{'cidrs':['10.0.0.1/8']}}", NULL, NULL,
	  "spec.cidrs[0]: Invalid value: '10.0.0.1/8': wrong CIDR format, IP doesn't match network IP address" },
	{ "ServiceCIDR", "{'spec':{'cidrs':['10.0.0.0/8','11.0.0.0/8']}}", NULL, NULL,
	  "~spec.cidrs: Invalid value: {'cidrs':['10.0.0.0/8','11.0.0.0/8']}: may specify no more than one IP for each IP "
	  "family" },
	{ "ServiceCIDR", "{'spec':{}}", NULL, NULL, "spec.cidrs: Required value: at least one CIDR required" },
	{ "Endpoints", "{'subsets':[{'addresses':[{'ip':'127.0.0.1'},{'ip':'x'}],'ports':[{'port':0},{'name':'b','port':1}]}]}",
	  NULL, NULL,
	  "[subsets[0].addresses[0].ip: Invalid value: '127.0.0.1': may not be in the loopback range (127.0.0.0/8, ::1/128), "
	  "subsets[0].addresses[1].ip: Invalid value: 'x': must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff), "
	  "subsets[0].addresses[1].ip: Invalid value: 'x': must be a valid IP address, subsets[0].ports[0].name: Required "
	  "value, subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive]" },
	{ "Endpoints", "{'subsets':[{}]}", NULL, NULL,
	  "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`" },
	{ "EndpointSlice", "{'addressType':'IPv4','endpoints':[{'addresses':['::1']},{'addresses':[]}],'ports':[{'name':'a'},{"
			   "'name':'a','protocol':'X'}]}",
	  NULL, NULL,
	  "[endpoints[0].addresses[0]: Invalid value: '::1': must be a valid IPv4 address, endpoints[0].addresses[0]: Invalid "
	  "value: '::1': may not be in the loopback range (127.0.0.0/8, ::1/128), endpoints[1].addresses: Required value: "
	  "must contain at least 1 address, ports[1].name: Duplicate value: 'a', ports[1].protocol: Unsupported value: 'X': "
	  "supported values: 'SCTP', 'TCP', 'UDP']" },
	{ "EndpointSlice", "{'addressType':'IPv6'}", "{'addressType':'IPv4'}", NULL,
	  "~addressType: Invalid value: 'IPv6': field is immutable" },
};

/* --- policy --- */

#define HPA(rest) "{'spec':{'scaleTargetRef':{'kind':'Deployment','name':'d','apiVersion':'apps/v1'}," rest "}}"

static const struct row POLICY[] = {
	{ "PodDisruptionBudget", "{'spec':{'minAvailable':1,'maxUnavailable':'101%'}}", NULL, NULL,
	  "~[spec: Invalid value: {'minAvailable':1,'maxUnavailable':'101%'}: minAvailable and maxUnavailable cannot be both "
	  "set, spec.maxUnavailable: Invalid value: '101%': must not be greater than 100%" },
	{ "PodDisruptionBudget", "{'spec':{'minAvailable':'x','unhealthyPodEvictionPolicy':'Y'}}", NULL, NULL,
	  "[spec.minAvailable: Invalid value: 'x': a valid percent string must be a numeric string followed by an ending '%' "
	  "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%'), spec.unhealthyPodEvictionPolicy: Unsupported "
	  "value: 'Y': supported values: 'AlwaysAllow', 'IfHealthyBudget']" },
	{ "PodDisruptionBudget", "{'status':{'conditions':[{'type':'A','status':'x'}],'currentHealthy':-1}}",
	  "{'spec':{'minAvailable':1}}", "status",
	  "~[status.conditions[0].status: Unsupported value: 'x': supported values: 'False', 'True', 'Unknown', "
	  "status.conditions[0].lastTransitionTime: Required value, status.conditions[0].reason: Required value, "
	  "status.currentHealthy: Invalid value: -1: must be greater than or equal to 0" },
	{ "PriorityClass", "{'value':1000000001}", NULL, NULL,
	  "value: Forbidden: maximum allowed value of a user defined priority is 1000000000" },
	{ "PriorityClass", "{'metadata':{'name':'system-x'},'value':1}", NULL, NULL,
	  "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
	  "system-x is not a known system priority class" },
	{ "PriorityClass", "{'value':2}", "{'value':1}", NULL, "value: Forbidden: may not be changed in an update." },
	{ "PriorityClass", "{'value':1,'preemptionPolicy':'Maybe'}", NULL, NULL,
	  "preemptionPolicy: Unsupported value: 'Maybe': supported values: 'PreemptLowerPriority', 'Never'" },
	{ "RuntimeClass", "{'handler':'A','overhead':{'podFixed':{'cpu':'-1'}}}", NULL, NULL,
	  "~overhead.limits[cpu]: Invalid value: '-1': must be greater than or equal to 0" },
	{ "RuntimeClass", "{'handler':'b'}", "{'handler':'a'}", NULL, "handler: Invalid value: 'b': field is immutable" },
	{ "HorizontalPodAutoscaler", HPA("'minReplicas':5,'maxReplicas':2"), NULL, NULL,
	  "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`" },
	{ "HorizontalPodAutoscaler", HPA("'minReplicas':0,'maxReplicas':0"), NULL, NULL,
	  "[spec.minReplicas: Invalid value: 0: must be greater than or equal to 1, spec.maxReplicas: Invalid value: 0: must "
	  "be greater than 0, spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling "
	  "to zero replicas]" },
	{ "HorizontalPodAutoscaler", HPA("'maxReplicas':1,'metrics':[{'type':'Resource'},{'type':'Pods','resource':{'name':"
					 "'cpu','target':{'type':'Utilization'}},'pods':{'metric':{'name':'m'},'target':{"
					 "'type':'X'}}}]"),
	  NULL, NULL,
	  "[spec.metrics[0].resource: Required value: must populate information for the given metric source, "
	  "spec.metrics[1].pods.target.type: Invalid value: 'X': must be either Utilization, Value, or AverageValue, "
	  "spec.metrics[1].pods.target.averageValue: Required value: must specify a positive target averageValue, "
	  "spec.metrics[1].resource: Forbidden: must populate the given metric source only]" },
	{ "HorizontalPodAutoscaler",
	  HPA("'maxReplicas':1,'behavior':{'scaleDown':{'stabilizationWindowSeconds':3601,'policies':[{'type':'X','value':0,"
	      "'periodSeconds':1801}]}}"),
	  NULL, NULL,
	  "[spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600, "
	  "spec.behavior.scaleDown.policies[0].type: Unsupported value: 'X': supported values: 'Percent', 'Pods', "
	  "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero, "
	  "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800]" },
};

/* --- the API's own --- */

#define CSR(rest) "{'spec':{'request':'eA==','signerName':'a.b/c','usages':['client auth']}," rest "}"
#define COND(type) "{'type':'" type "','status':'True'}"

static const struct row API[] = {
	{ "APIService", "{'spec':{'group':'a.b','version':'v1','groupPriorityMinimum':0,'versionPriority':1001}}", NULL, NULL,
	  "[metadata.name: Invalid value: 'x': must be `spec.version+'.'+spec.group`: 'v1.a.b', spec.groupPriorityMinimum: "
	  "Invalid value: 0: must be positive and less than 20000, spec.versionPriority: Invalid value: 1001: must be positive "
	  "and less than 1000]" },
	{ "APIService",
	  "{'metadata':{'name':'v1.a.b'},'spec':{'group':'a.b','version':'v1','groupPriorityMinimum':1,'versionPriority':1,"
	  "'insecureSkipTLSVerify':true}}",
	  NULL, NULL,
	  "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify" },
	{ "CertificateSigningRequest", CSR("'status':{}"), NULL, NULL, "fine" },
	{ "CertificateSigningRequest", "{'spec':{'request':'eA==','signerName':'abc','usages':['x','x'],'expirationSeconds':5}}",
	  NULL, NULL,
	  "~spec.usages[1]: Duplicate value: 'x', spec.signerName: Invalid value: 'abc': must be a fully qualified domain and "
	  "path of the form 'example.com/signer-name', spec.expirationSeconds: Invalid value: 5: may not specify a duration "
	  "less than 600 seconds (10 minutes)" },
	{ "CertificateSigningRequest", "{'spec':{'request':'eA==','signerName':'kubernetes.io/legacy-unknown'}}", NULL, NULL,
	  "[spec.usages: Required value, spec.signerName: Invalid value: 'kubernetes.io/legacy-unknown': the legacy signerName "
	  "is not allowed via this API version]" },
	{ "CertificateSigningRequest", CSR("'status':{'conditions':[" COND("Approved") "]}"), CSR("'status':{}"), "approval",
	  "fine" },
	{ "CertificateSigningRequest", CSR("'status':{'conditions':[" COND("Approved") "]}"), CSR("'status':{}"), "status",
	  "status.conditions: Forbidden: updates may not add a condition of type 'Approved'" },
	{ "CertificateSigningRequest", CSR("'status':{'conditions':[" COND("Approved") "," COND("Denied") "]}"),
	  CSR("'status':{}"), "approval",
	  "status.conditions[1].type: Invalid value: 'Denied': Approved and Denied conditions are mutually exclusive" },
	{ "CertificateSigningRequest", CSR("'status':{}"), CSR("'status':{'conditions':[" COND("Approved") "]}"), "approval",
	  "status.conditions: Forbidden: updates may not remove a condition of type 'Approved'" },
	{ "CertificateSigningRequest", CSR("'status':{'certificate':'eQ=='}"), CSR("'status':{'certificate':'eA=='}"), "status",
	  "status.certificate: Forbidden: updates may not modify existing certificate content" },
	{ "FlowSchema", "{'spec':{'priorityLevelConfiguration':{'name':''},'matchingPrecedence':1,'rules':[{'subjects':[{'kind':"
			"'User','group':{'name':'g'}}]}]}}",
	  NULL, NULL,
	  "[spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1, "
	  "spec.priorityLevelConfiguration.name: Required value: must reference a priority level, "
	  "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User', "
	  "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group', spec.rules[0]: "
	  "Required value: at least one of resourceRules and nonResourceRules has to be non-empty]" },
	{ "FlowSchema",
	  "{'spec':{'priorityLevelConfiguration':{'name':'a'},'matchingPrecedence':10001,'rules':[{'subjects':[{'kind':'Group',"
	  "'group':{'name':'g'}}],'nonResourceRules':[{'verbs':['fly'],'nonResourceURLs':['/a*','x','/a//b']}]}]}}",
	  NULL, NULL,
	  "~spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: '/a*': wildcard can only do suffix matching, "
	  "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: 'x': must start with slash, "
	  "spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: '/a//b': must not contain double slash" },
	{ "PriorityLevelConfiguration", "{'spec':{'type':'Exempt'}}", NULL, NULL,
	  "spec.type: Invalid value: 'Exempt': type must be 'Exempt' if and only if name is 'exempt'" },
	{ "PriorityLevelConfiguration", "{'spec':{'type':'Limited'}}", NULL, NULL,
	  "~spec.limited: Required value: must not be empty when type is Limited" },
	{ "PriorityLevelConfiguration", "{'spec':{'type':'Limited','limited':{'limitResponse':{'type':'Queue','queuing':{'queues':"
					"512,'handSize':8,'queueLengthLimit':-1}}}}}",
	  NULL, NULL,
	  "[spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive, "
	  "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 "
	  "should not be greater than 60]" },
};

/* --- admission --- */

#define HOOK(rest)                                                                                                     \
	"{'webhooks':[{'name':'a.b.c','admissionReviewVersions':['v1'],'sideEffects':'None'," rest "}]}"
#define HOOK_URL "'clientConfig':{'url':'https://a'}"

static const struct row ADMISSION[] = {
	{ "ValidatingWebhookConfiguration", HOOK(HOOK_URL), NULL, NULL, "fine" },
	{ "ValidatingWebhookConfiguration", "{'webhooks':[{'name':'a','clientConfig':{}}]}", NULL, NULL,
	  "[webhooks[0].name: Invalid value: 'a': should be a domain with at least three segments separated by dots, "
	  "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun, webhooks[0].clientConfig: Required "
	  "value: exactly one of url or service is required, webhooks[0].admissionReviewVersions: Required value: must specify "
	  "one of v1, v1beta1]" },
	{ "MutatingWebhookConfiguration", HOOK("'clientConfig':{'url':'http://u:p@h/?q=1#f'},'timeoutSeconds':31"), NULL, NULL,
	  "[webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds, "
	  "webhooks[0].clientConfig.url: Invalid value: 'http': 'https' is the only allowed URL scheme; desired format: "
	  "https://host[/path], webhooks[0].clientConfig.url: Invalid value: 'u:p': user information is not permitted in the "
	  "URL, webhooks[0].clientConfig.url: Invalid value: 'f': fragments are not permitted in the URL, "
	  "webhooks[0].clientConfig.url: Invalid value: 'q=1': query parameters are not permitted in the URL]" },
	{ "MutatingWebhookConfiguration", HOOK("'clientConfig':{'service':{'name':'','namespace':'n','path':'a//b'}}"), NULL, NULL,
	  "~webhooks[0].clientConfig.service.name: Required value: service name is required, "
	  "webhooks[0].clientConfig.service.path: Invalid value: 'a//b': must start with a '/'" },
	{ "MutatingWebhookConfiguration",
	  HOOK(HOOK_URL ",'rules':[{'operations':['*','CREATE'],'apiGroups':['*','a'],'apiVersions':[''],'resources':['*','pods',"
			"'pods/*','pods/x']}]"),
	  NULL, NULL,
	  "[webhooks[0].rules[0].operations: Invalid value: ['*','CREATE']: if '*' is present, must not specify other "
	  "operations, webhooks[0].rules[0].apiGroups: Invalid value: ['*','a']: if '*' is present, must not specify other API "
	  "groups, webhooks[0].rules[0].apiVersions[0]: Required value, webhooks[0].rules[0].resources[3]: Invalid value: "
	  "'pods/x': if 'pods/*' is present, must not specify pods/x, webhooks[0].rules[0].resources: Invalid value: "
	  "['*','pods','pods/*','pods/x']: if '*' is present, must not specify other resources without subresources]" },
	{ "ValidatingWebhookConfiguration", HOOK(HOOK_URL ",'failurePolicy':'X','matchPolicy':'Y'"), NULL, NULL,
	  "[webhooks[0].failurePolicy: Unsupported value: 'X': supported values: 'Fail', 'Ignore', webhooks[0].matchPolicy: "
	  "Unsupported value: 'Y': supported values: 'Equivalent', 'Exact']" },
	{ "ValidatingAdmissionPolicy", "{'spec':{'matchConstraints':{'resourceRules':[]}}}", NULL, NULL,
	  "~spec.matchConstraints.resourceRules: Required value, spec.validations: Required value: validations or "
	  "auditAnnotations must contain at least one item" },
	{ "ValidatingAdmissionPolicy",
	  "{'spec':{'matchConstraints':{'resourceRules':[{'operations':['CREATE'],'apiGroups':[''],'apiVersions':['v1'],"
	  "'resources':['pods']}]},'variables':[{'name':'in','expression':'1'}],'validations':[{'expression':' ','message':"
	  "'a\\nb','reason':'No'}]}}",
	  NULL, NULL,
	  "[spec.variables[0].name: Invalid value: 'in': must be a valid CEL identifier, spec.validations[0].expression: "
	  "Required value: expression is not specified, spec.validations[0].message: Invalid value: 'a\\nb': must not contain "
	  "line breaks, spec.validations[0].reason: Unsupported value: 'No': supported values: 'Forbidden', 'Invalid', "
	  "'RequestEntityTooLarge']" },
	{ "ValidatingAdmissionPolicyBinding", "{'spec':{'policyName':'p','paramRef':{},'validationActions':['Deny','Warn']}}", NULL,
	  NULL,
	  "~spec.paramRef: Required value: one of name or selector must be specified, spec.paramRef.parameterNotFoundAction: "
	  "Required value, spec.validationActions: Invalid value: ['Deny','Warn']: must not contain both Deny and Warn" },
	{ "MutatingAdmissionPolicy", "{'spec':{'matchConstraints':{'resourceRules':[{'operations':['DELETE'],'apiGroups':[''],"
				     "'apiVersions':['v1'],'resources':['pods']}]},'mutations':[{'patchType':'JSONPatch'}]}}",
	  NULL, NULL,
	  "~spec.matchConstraints.resourceRules.operations: Unsupported value: 'DELETE': supported values: '*', 'CONNECT', "
	  "'CREATE', 'UPDATE', spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch" },
	{ "MutatingAdmissionPolicyBinding", "{'spec':{}}", NULL, NULL, "spec.policyName: Required value" },
};

/* --- devices --- */

static const struct row DEVICES[] = {
	{ "ResourceClaim", "{'spec':{'devices':{'requests':[{'name':'a','exactly':{'deviceClassName':'c'}}]}}}", NULL, NULL,
	  "fine" },
	{ "ResourceClaim",
	  "{'spec':{'devices':{'requests':[{'name':'a'},{'name':'a','exactly':{'deviceClassName':'','count':-1}}],'constraints':[{"
	  "'requests':['z'],'matchAttribute':'x'}]}}}",
	  NULL, NULL,
	  "[spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required, "
	  "spec.devices.requests[1].exactly.deviceClassName: Required value, spec.devices.requests[1].exactly.count: Invalid "
	  "value: -1: must be greater than zero, spec.devices.requests[1].name: Duplicate value: 'a', "
	  "spec.devices.constraints[0].requests[0]: Invalid value: 'z': must be the name of a request in the claim or the name "
	  "of a request and a subrequest separated by '/', spec.devices.constraints[0].matchAttribute: Invalid value: 'x': a "
	  "fully qualified name must be a domain and a name separated by a slash]" },
	{ "ResourceClaim", "{'spec':{'devices':{'requests':[]}}}",
	  "{'spec':{'devices':{'requests':[{'name':'a','exactly':{'deviceClassName':'c'}}]}}}", NULL,
	  "~spec: Invalid value: {'devices':" },
	{ "ResourceClaimTemplate", "{'spec':{'metadata':{'name':'x'},'spec':{}}}", NULL, NULL,
	  "spec.metadata.name: Forbidden: cannot be set" },
	{ "DeviceClass", "{'spec':{'selectors':[{}],'extendedResourceName':'cpu'}}", NULL, NULL,
	  "[spec.selectors[0].cel: Required value, spec.extendedResourceName: Invalid value: 'cpu': must be a valid extended "
	  "resource name]" },
	{ "ResourceSlice", "{'spec':{'driver':'d','pool':{'name':'p','resourceSliceCount':0,'generation':-1}}}", NULL, NULL,
	  "[spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero, spec.pool.generation: Invalid value: -1: "
	  "must be greater than or equal to zero, spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
	  "`perDeviceNodeSelection` is required]" },
	{ "ResourceSlice",
	  "{'spec':{'driver':'d','allNodes':true,'nodeName':'n','pool':{'name':'p','resourceSliceCount':1,'generation':1},"
	  "'devices':[{'name':'A'}]}}",
	  NULL, NULL,
	  "~spec: Invalid value: '{`nodeName`, `allNodes`}': exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
	  "`perDeviceNodeSelection` is required, but multiple fields are set" },
};

/* --- workloads --- */

#define TMPL(pod) "'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{" pod "}}"
#define CTRS "'containers':[{'name':'c','image':'i'}]"
#define JOB_DONE                                                                                                       \
	"{'startTime':'2026-01-02T00:00:00Z','completionTime':'2026-01-02T00:00:00Z','conditions':[{'type':'Complete'," \
	"'status':'True'},{'type':'SuccessCriteriaMet','status':'True'}]}"
#define JOB(rest, pod)                                                                                                 \
	"{'spec':{'manualSelector':true,'selector':{'matchLabels':{'a':'b'}}," rest                                        \
	"'template':{'metadata':{'labels':{'a':'b'}},'spec':{'restartPolicy':'Never'," pod CTRS "}}}}"
#define INDEXED "'completionMode':'Indexed','completions':5,"
#define CRON(schedule, rest)                                                                                           \
	"{'spec':{'schedule':'" schedule "'," rest "'jobTemplate':{'spec':{'template':{'spec':{'restartPolicy':'Never',"   \
	CTRS "}}}}}}"

static const struct row WORKLOADS[] = {
	{ "Deployment", "{'spec':{" TMPL(CTRS) "}}", "{'spec':{'selector':{'matchLabels':{'z':'b'}},'template':{}}}", NULL,
	  "spec.selector: Invalid value: {'matchLabels':{'a':'b'}}: field is immutable" },
	{ "Deployment", "{'spec':{'selector':{'matchExpressions':[{'key':'a','operator':'X'}]},'template':{'spec':{" CTRS "}}}}",
	  NULL, NULL,
	  "~spec.selector.matchExpressions[0].operator: Invalid value: 'X': not a valid selector operator, spec.selector: "
	  "Invalid value: {'matchExpressions':[{'key':'a','operator':'X'}]}: invalid label selector" },
	{ "Deployment", "{'status':{'replicas':1,'readyReplicas':2,'availableReplicas':3}}", "{'status':{'collisionCount':4}}",
	  "status",
	  "[status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas, status.availableReplicas: Invalid "
	  "value: 3: cannot be greater than status.replicas, status.availableReplicas: Invalid value: 3: cannot be greater than "
	  "readyReplicas, status.collisionCount: Invalid value: 0: cannot be decremented]" },
	{ "StatefulSet",
	  "{'spec':{'serviceName':'s','volumeClaimTemplates':[{'metadata':{'name':'data'},'spec':{'accessModes':['ReadWriteOnce'],"
	  "'resources':{'requests':{'storage':'1Gi'}}}}]," TMPL("'hostname':'A b','containers':[{'name':'c','image':'i',"
							  "'volumeMounts':[{'name':'data','mountPath':'/d'}]}]") "}}",
	  NULL, NULL, "fine" },
	{ "StatefulSet",
	  "{'metadata':{'name':'a.b'},'spec':{'serviceName':'A','podManagementPolicy':'X','updateStrategy':{'type':'Y'},"
	  "'volumeClaimTemplates':[{'metadata':{'name':'d'},'spec':{}}],'persistentVolumeClaimRetentionPolicy':{'whenDeleted':'Z'"
	  "}," TMPL(CTRS) "}}",
	  NULL, NULL,
	  "~spec.podManagementPolicy: Invalid value: 'X': must be 'OrderedReady' or 'Parallel', spec.updateStrategy: Invalid "
	  "value: {'type':'Y'}: must be 'RollingUpdate' or 'OnDelete', spec.persistentVolumeClaimRetentionPolicy.whenDeleted: "
	  "Unsupported value: 'Z': supported values: 'Retain', 'Delete', spec.volumeClaimTemplates[0].spec.accessModes: Required "
	  "value: at least 1 access mode is required" },
	{ "StatefulSet", "{'spec':{'serviceName':'t'," TMPL(CTRS) "}}", "{'spec':{'serviceName':'s'," TMPL(CTRS) "}}", NULL,
	  "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
	  "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden" },
	{ "ControllerRevision", "{'revision':-1}", NULL, NULL,
	  "[revision: Invalid value: -1: must be greater than or equal to 0, data: Required value: data is mandatory]" },
	{ "ControllerRevision", "{'revision':1,'data':{'a':2}}", "{'revision':1,'data':{'a':1}}", NULL,
	  "data: Invalid value: {'a':2}: field is immutable" },
	{ "Job", JOB("", ""), NULL, NULL, "fine" },
	{ "Job", JOB("'completionMode':'Indexed','parallelism':2,", ""), NULL, NULL,
	  "spec.completions: Required value: when completion mode is Indexed" },
	{ "Job", JOB("'backoffLimitPerIndex':1,'maxFailedIndexes':2,'managedBy':'me',", ""), NULL, NULL,
	  "[spec.managedBy: Invalid value: 'me': must be a domain-prefixed path (such as 'acme.io/foo'), "
	  "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode, spec.maxFailedIndexes: Invalid value: "
	  "2: requires indexed completion mode]" },
	{ "Job",
	  JOB("'podFailurePolicy':{'rules':[{'action':'FailIndex','onExitCodes':{'operator':'In','containerName':'z','values':[0,"
	      "5,3,5]}},{'action':'Skip'}]},",
	      ""),
	  NULL, NULL,
	  "[spec.podFailurePolicy.rules[0].action: Invalid value: 'FailIndex': requires the backoffLimitPerIndex to be set, "
	  "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: 'z': must be one of the container or "
	  "initContainer names in the pod template, spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must "
	  "not be 0 for the In operator, spec.podFailurePolicy.rules[0].onExitCodes.values[3]: Duplicate value: 5, "
	  "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [0,5,3,5]: must be ordered, "
	  "spec.podFailurePolicy.rules[1].action: Unsupported value: 'Skip': supported values: 'Count', 'FailIndex', 'FailJob', "
	  "'Ignore', spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is "
	  "required]" },
	{ "Job", JOB(INDEXED "'successPolicy':{'rules':[{'succeededIndexes':'0,2-9'},{'succeededIndexes':'1-2','succeededCount':3},"
			     "{}]},",
		     ""),
	  NULL, NULL,
	  "[spec.successPolicy.rules[0].succeededIndexes: Invalid value: '0,2-9': error parsing succeededIndexes: too large "
	  "index: '9', spec.successPolicy.rules[1].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number "
	  "of indexes in the specified succeededIndexes field), spec.successPolicy.rules[2]: Required value: at least one of "
	  "succeededCount or succeededIndexes must be specified]" },
	{ "Job", JOB("'completions':2,", ""), JOB("'completions':1,", ""), NULL,
	  "spec.completions: Invalid value: 2: field is immutable" },
	{ "Job", JOB("", "'nodeSelector':{'a':'b'},"), JOB("", ""), NULL, "~spec.template: Invalid value: {'metadata':" },
	{ "Job", JOB("'suspend':true,", "'nodeSelector':{'a':'b'},"), JOB("'suspend':true,", ""), NULL, "fine" },
	{ "Job", JOB("'suspend':true,", "'hostNetwork':true,"), JOB("'suspend':true,", ""), NULL,
	  "~spec.template: Invalid value: {'metadata':" },
	{ "Job", "{'status':{'conditions':[{'type':'Complete','status':'True'}],'failed':1,'ready':1}}", "{'status':{'failed':2}}",
	  "status",
	  "[status.completionTime: Required value: completionTime is required for Complete jobs, status.startTime: Required "
	  "value: startTime is required for finished job, status.ready: Invalid value: 1: cannot set more ready pods than "
	  "active, status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true "
	  "condition, status.failed: Invalid value: 1: cannot decrease the failed counter]" },
	{ "Job", "{'status':" JOB_DONE "}", "{'status':{}}", "status", "fine" },
	{ "Job", "{'status':{'startTime':'2026-01-02T00:00:00Z'}}", "{'status':" JOB_DONE "}", "status",
	  "[status.conditions: Invalid value: cannot disable the terminal Complete=True condition, status.conditions: Invalid "
	  "value: cannot disable the SuccessCriteriaMet=True condition]" },
	{ "Job",
	  "{'status':{'startTime':'2026-01-02T00:00:00Z','active':1,'terminating':1,'uncountedTerminatedPods':{'succeeded':['a',"
	  "''],'failed':['a']},'conditions':[{'type':'Failed','status':'True'},{'type':'SuccessCriteriaMet','status':'True'}]}}",
	  "{'status':{}}", "status",
	  "[status.uncountedTerminatedPods.succeeded[1]: Invalid value: '': must not be empty, "
	  "status.uncountedTerminatedPods.failed[0]: Duplicate value: 'a', status.uncountedTerminatedPods: Invalid value: "
	  "{'succeeded':['a',''],'failed':['a']}: uncountedTerminatedPods needs to be empty for finished job, status.active: "
	  "Invalid value: 1: active>0 is invalid for finished job, status.terminating: Invalid value: 1: terminating>0 is "
	  "invalid for finished job, status.conditions: Invalid value: cannot set Failed=True condition without the "
	  "FailureTarget=true condition, status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true "
	  "conditions]" },
	{ "Job", "{'spec':{'completionMode':'Indexed','completions':5,'backoffLimitPerIndex':1},'status':{'completedIndexes':"
		 "'0-2','failedIndexes':'2,3'}}",
	  "{'status':{}}", "status",
	  "status.failedIndexes: Invalid value: '2,3': failedIndexes and completedIndexes overlap at index: 2" },
	{ "Job", "{'spec':{'completions':5},'status':{'completedIndexes':'0-9','failedIndexes':'1'}}", "{'status':{}}", "status",
	  "[status.completedIndexes: Invalid value: '0-9': error parsing completedIndexes: too large index: '9', "
	  "status.completedIndexes: Invalid value: '0-9': cannot set non-empty completedIndexes when non-indexed completion "
	  "mode, status.failedIndexes: Invalid value: '1': cannot set non-null failedIndexes when backoffLimitPerIndex is null]" },
	{ "Job", "{'spec':{},'status':{'startTime':'2026-01-03T00:00:00Z'}}", "{'status':{'startTime':'2026-01-02T00:00:00Z'}}",
	  "status", "status.startTime: Required value: startTime cannot be removed for unsuspended job" },
	{ "Job", "{'spec':{'suspend':true},'status':{}}", "{'status':{'startTime':'2026-01-02T00:00:00Z'}}", "status", "fine" },
	{ "CronJob", CRON("*/5 1-3 1,15 jan-mar MON", "'timeZone':'Etc/UTC',"), NULL, NULL, "fine" },
	{ "CronJob", CRON("60 * * * *", ""), NULL, NULL,
	  "spec.schedule: Invalid value: '60 * * * *': end of range (60) above maximum (59): 60" },
	{ "CronJob", CRON("a * * * *", ""), NULL, NULL,
	  "spec.schedule: Invalid value: 'a * * * *': failed to parse int from a: strconv.Atoi: parsing 'a': invalid syntax" },
	{ "CronJob", CRON("@often", ""), NULL, NULL, "spec.schedule: Invalid value: '@often': unrecognized descriptor: @often" },
	{ "CronJob", CRON("*/0 5-1 * * *", ""), NULL, NULL,
	  "spec.schedule: Invalid value: '*/0 5-1 * * *': step of range should be a positive number: */0" },
	{ "CronJob", CRON("TZ=UTC 0 0 * * *", "'timeZone':'No/Where',"), NULL, NULL,
	  "~spec.schedule: Invalid value: 'TZ=UTC 0 0 * * *': cannot use TZ or CRON_TZ in schedule, use timeZone field instead" },
	{ "CronJob", CRON("@daily", "'timeZone':'../etc',"), NULL, NULL,
	  "spec.timeZone: Invalid value: '../etc': unknown time zone ../etc" },
};

/* --- services and pods --- */

#define SVC(rest) "{'spec':{'ports':[{'port':80,'protocol':'TCP','targetPort':80}]," rest "}}"
#define V4 "'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1'],'ipFamilies':['IPv4'],'ipFamilyPolicy':'SingleStack'"
#define POD(rest) "{'spec':{" CTRS "," rest "}}"
#define RES(cpu) "{'spec':{'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'" cpu "'}}}]}}"

static const struct row CORE[] = {
	{ "Service", SVC("'clusterIP':'10.0.0.2','clusterIPs':['10.0.0.2'],'ipFamilies':['IPv4']"), SVC(V4), NULL,
	  "spec.clusterIPs[0]: Invalid value: ['10.0.0.2']: may not change once set" },
	{ "Service", SVC("'clusterIP':'fd00::1','clusterIPs':['fd00::1'],'ipFamilies':['IPv4','IPv4']"), NULL, NULL,
	  "[spec.ipFamilies[1]: Duplicate value: 'IPv4', spec.clusterIPs[0]: Invalid value: 'fd00::1': expected an IPv4 value as "
	  "indicated by `ipFamilies[0]`]" },
	{ "Service", SVC("'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1','10.0.0.2'],'externalIPs':['127.0.0.1','x']"), NULL, NULL,
	  "[spec.clusterIPs: Invalid value: ['10.0.0.1','10.0.0.2']: may specify no more than one IP for each IP family, "
	  "spec.externalIPs[0]: Invalid value: '127.0.0.1': may not be in the loopback range (127.0.0.0/8, ::1/128), "
	  "spec.externalIPs[1]: Invalid value: 'x': must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)]" },
	{ "Service", SVC("'clusterIP':'None','clusterIPs':['None']"), SVC(V4), NULL,
	  "spec.clusterIPs[0]: Invalid value: ['None']: may not change once set" },
	{ "Service", SVC("'type':'ExternalName','externalName':'a.b'"), SVC(V4), NULL, "fine" },
	{ "Service", "{'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3.4'}]}}}", SVC(V4), "status",
	  "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'" },
	{ "Namespace", "{'spec':{'finalizers':['mine']}}", NULL, NULL,
	  "spec.finalizers: Invalid value: 'mine': name is neither a standard finalizer name nor is it fully qualified" },
	{ "Node", "{'status':{'capacity':{'pods':'1500m'}}}", NULL, NULL,
	  "~status.capacity.pods: Invalid value: '1500m': must be an integer" },
	{ "Node", "{'spec':{'podCIDRs':['10.0.0.0/24','10.0.1.0/24']}}", NULL, NULL,
	  "spec.podCIDRs: Invalid value: ['10.0.0.0/24','10.0.1.0/24']: may specify no more than one CIDR for each IP family" },
	{ "Pod", POD("'resourceClaims':[{'name':'a'},{'name':'a','resourceClaimName':'X'}]"), NULL, NULL,
	  "[spec.resourceClaims[0]: Invalid value: {'name':'a'}: must specify one of: `resourceClaimName`, "
	  "`resourceClaimTemplateName`, spec.resourceClaims[1].name: Duplicate value: 'a', "
	  "spec.resourceClaims[1].resourceClaimName: Invalid value: 'X': " SUBDOMAIN "]" },
	{ "Pod", POD("'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'ScheduleAnyway','minDomains':"
		     "1,'matchLabelKeys':['a'],'nodeTaintsPolicy':'X'}]"),
	  NULL, NULL,
	  "[spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if "
	  "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway, spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported "
	  "value: 'X': supported values: 'Honor', 'Ignore', spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not "
	  "be specified when labelSelector is not set]" },
	{ "Pod", "{'spec':{'os':{'name':'linux'},'containers':[{'name':'c','image':'i','securityContext':{'windowsOptions':{}}}]}}",
	  NULL, NULL,
	  "spec.containers[0].securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod" },
	{ "Pod", POD("'hostnameOverride':'a','setHostnameAsFQDN':true"), NULL, NULL,
	  "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true" },
	{ "Pod", "{'metadata':{'annotations':{'controller.kubernetes.io/pod-deletion-cost':'x'}},'spec':{" CTRS "}}", NULL, NULL,
	  "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: 'x': must be a 32bit integer" },
	{ "Pod", RES("2"), RES("1"), "resize", "fine" },
	{ "Pod", POD("'nodeName':'n'"), RES("1"), "resize",
	  "~spec: Invalid value: '': Pod QOS Class may not change as a result of resizing" },
	{ "Pod", "{'spec':{'containers':[{'name':'d','image':'i','resources':{'requests':{'cpu':'1'}}}]}}", RES("1"), "resize",
	  "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize" },
	{ "Pod", "{'spec':{'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'v','mountPath':'/v','recursiveReadOnly':"
		 "'Enabled'}]}],'volumes':[{'name':'v','emptyDir':{}}]}}",
	  NULL, NULL,
	  "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true" },
	{ "Pod", POD("'volumes':[{'name':'v','ephemeral':{'volumeClaimTemplate':{'spec':{}}}}]"), NULL, NULL,
	  "~spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required" },
	{ "Pod", "{'spec':{'containers':[{'name':'c','image':'i','resources':{'limits':{'hugepages-2Mi':'3Mi','cpu':'1'}}}]}}", NULL,
	  NULL, "~Invalid value: '3Mi': 3Mi is not positive integer multiple of hugepages-2Mi" },
};

/* --- events, leases, owners --- */

static const struct row SMALL[] = {
	{ "Lease", "{'spec':{'leaseDurationSeconds':0,'leaseTransitions':-1,'preferredHolder':'h'}}", NULL, NULL,
	  "[spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, spec.leaseTransitions: Invalid value: -1: must "
	  "be greater than or equal to 0, spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined]" },
	{ "Event", "{'involvedObject':{'namespace':'other'}}", NULL, NULL,
	  "involvedObject.namespace: Invalid value: 'other': does not match event.namespace" },
	{ "Event", "{'involvedObject':{'namespace':'ns'},'eventTime':'2020-01-01T00:00:00.000000Z','reportingComponent':'c'}", NULL,
	  NULL, "[reportingInstance: Required value, action: Required value, reason: Required value]" },
	{ "ConfigMap",
	  "{'metadata':{'ownerReferences':[{'apiVersion':'a/b/c','kind':'K','name':'n','uid':'u'},{'apiVersion':'v1','kind':'Event',"
	  "'name':'n','uid':'u'}]}}",
	  NULL, NULL,
	  "~[metadata.ownerReferences.apiVersion: Invalid value: 'a/b/c': version must not be empty, metadata.ownerReferences: "
	  "Invalid value: {'apiVersion':'v1','kind':'Event','name':'n','uid':'u'}: /v1, Kind=Event is disallowed from being an "
	  "owner" },
	{ "ConfigMap", "{'metadata':{'name':'a','generateName':'A-'}}", NULL, NULL,
	  "metadata.generateName: Invalid value: 'A-': " SUBDOMAIN },
};

/* --- bad input --- */

static const struct row BAD[] = {
	{ "ConfigMap", "{'metadata':{'name':'\u00fcber'}}", NULL, NULL, "~metadata.name: Invalid value: '\xc3\xbc" },
	{ "Ingress", "{'spec':{'rules':[{'host':'\u00e9.example'}]}}", NULL, NULL, "~spec.rules[0].host: Invalid value:" },
	{ "ResourceQuota", "{'spec':{'hard':{'pods':'99999999999999999999999999'}}}", NULL, NULL, "fine" },
	{ "PriorityClass", "{'value':2147483647}", NULL, NULL,
	  "value: Forbidden: maximum allowed value of a user defined priority is 1000000000" },
	{ "NetworkPolicy", "{'spec':{'podSelector':{},'egress':[{'to':[{'ipBlock':{'cidr':'10.0.0.0/99999999999'}}]}]}}", NULL, NULL,
	  "~must be a valid CIDR value" },
	{ "EndpointSlice", "{'addressType':'IPv4','endpoints':[{'addresses':['1.2.3.4.5']}]}", NULL, NULL,
	  "~endpoints[0].addresses[0]: Invalid value: '1.2.3.4.5': must be a valid IPv4 address" },
	{ "StorageClass", "{'provisioner':''}", NULL, NULL, "provisioner: Required value" },
	{ "IngressClass", "{'spec':{'controller':'/'}}", NULL, NULL, "~must be a domain-prefixed path" },
	{ "CronJob", CRON("99999999999999999999 * * * *", ""), NULL, NULL, "~spec.schedule: Invalid value:" },
};

/* --- warnings --- */

static const struct {
	const char *kind, *text, *want; /* all of them, a line each */
} WARNINGS[] = {
	{ "Pod", POD("'nodeSelector':{'beta.kubernetes.io/os':'linux'}"),
	  "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use 'kubernetes.io/os' instead\n" },
	{ "Deployment", "{'metadata':{'name':'a.b'},'spec':{" TMPL("'terminationGracePeriodSeconds':-1," CTRS) "}}",
	  "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
	  "recommended: [a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
	  "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
	  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')]\nspec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are "
	  "invalid and will be treated as 1\n" },
	{ "Pod",
	  "{'spec':{'containers':[{'name':'c','image':'i','env':[{'name':'A','value':'1'},{'name':'A','value':'$(A)2'},{'name':'A',"
	  "'value':'3'}],'ports':[{'name':'p','containerPort':80},{'name':'p','containerPort':80,'hostPort':80}],'resources':{"
	  "'limits':{'memory':'1.5'}}}]}}",
	  "spec.containers[0].resources.limits[memory]: fractional byte value '1500m' is invalid, must be an integer\n"
	  "spec.containers[0].resources.requests[memory]: fractional byte value '1500m' is invalid, must be an integer\n"
	  "spec.containers[0].env[2]: hides previous definition of 'A', which may be dropped when using apply\n"
	  "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]\n"
	  "spec.containers[0].ports[1]: duplicate port name 'p' with spec.containers[0].ports[0], services and probes that select "
	  "ports by name will use spec.containers[0].ports[0]\n" },
	{ "Pod",
	  POD("'volumes':[{'name':'v','configMap':{'name':'m','items':[{'key':'a','path':'x'},{'key':'b','path':'x/y'}]}},{'name':'w',"
	      "'projected':{'sources':[{'secret':{'name':'s','items':[{'key':'a','path':'t'}]}},{'serviceAccountToken':{'path':'t'}}"
	      "]}},{'name':'g','glusterfs':{'endpoints':'e','path':'p'}}]"),
	  "spec.volumes[2].glusterfs: deprecated in v1.25, non-functional in v1.26+\nvolume 'v' (ConfigMap 'm'): overlapping paths: "
	  "'x/y' with 'x'\nvolume 'w' (Projected): overlapping paths: 't' (ServiceAccountToken) with 't' (Secret 's')\n" },
	{ "Pod", POD("'volumes':[{'name':'v','emptyDir':{}},{'name':'d','gcePersistentDisk':{'pdName':'d'}}]"),
	  "spec.volumes[1].gcePersistentDisk: needs a driver that is not part of kinglet; use a claim of the class local-path, or an "
	  "nfs, hostPath or emptyDir volume\n" },
	{ "PersistentVolume",
	  "{'spec':{'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce'],'awsElasticBlockStore':{'volumeID':'v'}}}",
	  "spec.awsElasticBlockStore: needs a driver that is not part of kinglet; use a claim of the class local-path, or an nfs, "
	  "hostPath or emptyDir volume\n" },
	{ "Pod", POD("'hostAliases':[{'ip':'1.2.3.4'},{'ip':'1.2.3.4'},{'ip':'01.2.3.4'}],'imagePullSecrets':[{'name':''}]"),
	  "spec.hostAliases[1].ip: duplicate ip '1.2.3.4'\nspec.imagePullSecrets[0].name: invalid empty name ''\n"
	  "spec.hostAliases[2].ip: non-standard IP address '01.2.3.4' will be considered invalid in a future Kubernetes release: use "
	  "'1.2.3.4'\n" },
	{ "Pod", POD("'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'failure-domain.beta.kubernetes.io/zone',"
		     "'whenUnsatisfiable':'DoNotSchedule'}]"),
	  "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "
	  "'topology.kubernetes.io/zone' instead\nspec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in "
	  "matching no pod\n" },
	{ "PodTemplate", "{'template':{'metadata':{'annotations':{'scheduler.alpha.kubernetes.io/critical-pod':''}},'spec':{" CTRS "}}}",
	  "template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "
	  "'priorityClassName' field instead\n" },
	{ "Service", SVC("'clusterIP':'None','clusterIPs':['None'],'loadBalancerIP':'1.2.3.4','externalIPs':['2001:DB8::1']"),
	  "spec.loadBalancerIP is ignored for headless services\nspec.externalIPs is ignored for headless services\n"
	  "spec.externalIPs[0]: IPv6 address '2001:DB8::1' should be in RFC 5952 canonical format ('2001:db8::1')\n" },
	{ "Service", SVC("'type':'LoadBalancer','externalName':'a','loadBalancerSourceRanges':['10.0.0.1/8']"),
	  "spec.loadBalancerSourceRanges[0]: CIDR value '10.0.0.1/8' is ambiguous in this context (should be '10.0.0.0/8' or "
	  "'10.0.0.1/32'?)\nspec.externalName is ignored when spec.type is not 'ExternalName'\n" },
	{ "PersistentVolume",
	  "{'metadata':{'annotations':{'volume.beta.kubernetes.io/storage-class':'a'}},'spec':{'persistentVolumeReclaimPolicy':"
	  "'Recycle','rbd':{'monitors':['m'],'image':'i'}}}",
	  "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use 'storageClassName' attribute "
	  "instead\nspec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
	  "is to use dynamic provisioning.\nspec.rbd: deprecated in v1.28, non-functional in v1.31+\n" },
	{ "Ingress", "{'metadata':{'annotations':{'kubernetes.io/ingress.class':'a'},'finalizers':['x']}}",
	  "metadata.finalizers: 'x': prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts "
	  "with other finalizer writers\nannotation 'kubernetes.io/ingress.class' is deprecated, please use "
	  "'spec.ingressClassName' instead\n" },
	{ "CronJob", CRON("TZ=UTC @daily", ""),
	  "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
	  "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details\n" },
	{ "ConfigMap", "{'data':{'a':'b'}}", "" },
};

static void collect(void *arg, const char *text)
{
	buf_addf(arg, "%s\n", text);
}

static void check_warnings(size_t i)
{
	_cleanup_doc_ struct doc *d = decoded(WARNINGS[i].kind, WARNINGS[i].text);
	_cleanup_buf_ struct buf got = BUF_INIT;
	_cleanup_free_ char *what = xasprintf("warnings: %s %.50s", WARNINGS[i].kind, WARNINGS[i].text);

	schema_warnings(kind(WARNINGS[i].kind), doc_root(d), collect, &got);
	for (char *p = got.s; *p; p++)
		*p = (char)(*p == '"' ? '\'' : *p);
	is_str(got.s, WARNINGS[i].want, what);
}

/* --- what is made of an object before it is stored --- */

static void check_prepared(const char *res, const char *text, const char *path, const char *want)
{
	_cleanup_doc_ struct doc *d = decoded(res, text);
	_cleanup_buf_ struct buf got = BUF_INIT;

	schema_prepare(kind(res), d, NULL, NULL);
	doc_print_json(&got, at(doc_root(d), path), DOC_PRINT_COMPACT);
	for (char *p = got.s; *p; p++)
		*p = (char)(*p == '"' ? '\'' : *p);
	is_str(got.s, want, path);
}

static void check_prepare(void)
{
	check_prepared("PersistentVolumeClaim", "{'spec':{'dataSource':{'kind':'PersistentVolumeClaim','name':'a'}}}",
		       "spec.dataSourceRef", "{'apiGroup':null,'kind':'PersistentVolumeClaim','name':'a'}");
	check_prepared("APIService", "{'spec':{'group':'a.b','version':'v1'}}", "status.conditions.0.reason", "'Local'");
	check_prepared("PersistentVolume", "{'spec':{},'status':{'phase':'Bound'}}", "status.phase", "'Pending'");
	check_prepared("Pod",
		       "{'metadata':{'labels':{'h':'1'}},'spec':{" CTRS ",'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'z',"
		       "'whenUnsatisfiable':'DoNotSchedule','labelSelector':{},'matchLabelKeys':['h','none']}]}}",
		       "spec.topologySpreadConstraints.0.labelSelector.matchExpressions",
		       "[{'key':'h','operator':'In','values':['1']}]");
}

static const struct {
	const struct row *rows;
	size_t n;
} ALL[] = {
	{ STORAGE, ARRAY_SIZE(STORAGE) },	{ QUOTA, ARRAY_SIZE(QUOTA) },	{ NETWORKING, ARRAY_SIZE(NETWORKING) },
	{ POLICY, ARRAY_SIZE(POLICY) },		{ API, ARRAY_SIZE(API) },	{ ADMISSION, ARRAY_SIZE(ADMISSION) },
	{ DEVICES, ARRAY_SIZE(DEVICES) },	{ WORKLOADS, ARRAY_SIZE(WORKLOADS) }, { CORE, ARRAY_SIZE(CORE) },
	{ SMALL, ARRAY_SIZE(SMALL) }, { BAD, ARRAY_SIZE(BAD) },
};

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ALL); i++) {
		for (size_t k = 0; k < ALL[i].n; k++)
			check(&ALL[i].rows[k]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(WARNINGS); i++)
		check_warnings(i);
	check_prepare();
	return done_testing();
}
