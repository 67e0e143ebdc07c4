/*
 * What admission knows without a server: what objects take of quotas
 * (schema/usage.c) and the Pod Security Standards (schema/podsecurity.c). Two
 * tables.
 */
#include "schema-util.h"
#include "tap.h"

#include "schema/podsecurity.h"
#include "schema/usage.h"

/* --- usage --- */

#define R(requests) "'resources':{'requests':{" requests "}}"
#define RL(requests, limits) "'resources':{'requests':{" requests "},'limits':{" limits "}}"
#define POD(spec) "{'spec':{" spec "}}"
#define ONE(container) POD("'containers':[{'name':'c'," container "}]")

static const struct {
	const char *kind, *object, *resource;
	const char *want; /* NULL: not tracked; "0": nothing */
} usages[] = {
	{ "Pod", ONE(R("'cpu':'100m'")), "pods", "1" },
	{ "Pod", ONE(R("'cpu':'100m'")), "count/pods", "1" },
	{ "Pod", ONE(R("'cpu':'100m'")), "cpu", "100m" },
	{ "Pod", ONE(R("'cpu':'100m'")), "requests.cpu", "100m" },
	{ "Pod", ONE(R("'cpu':'100m'")), "limits.cpu", "0" },
	{ "Pod", ONE(RL("'cpu':'1'", "'cpu':'2','memory':'1Gi'")), "limits.cpu", "2" },
	{ "Pod", ONE(RL("'cpu':'1'", "'memory':'1Gi'")), "limits.memory", "1Gi" },
	{ "Pod", ONE(R("'memory':'1Gi'")), "memory", "1Gi" },
	{ "Pod", ONE(R("'ephemeral-storage':'1M'")), "requests.ephemeral-storage", "1M" },
	{ "Pod", ONE(R("'hugepages-2Mi':'4Mi'")), "hugepages-2Mi", "4Mi" },
	{ "Pod", ONE(R("'hugepages-2Mi':'4Mi'")), "requests.hugepages-2Mi", "4Mi" },
	{ "Pod", ONE(R("'a.b/gpu':'2'")), "requests.a.b/gpu", "2" },
	{ "Pod", ONE(R("'a.b/gpu':'2'")), "a.b/gpu", NULL },
	{ "Pod", ONE(R("'x':'2'")), "requests.kubernetes.io/x", NULL },
	{ "Pod", ONE(R("'cpu':'1'")), "requests.storage", NULL },
	{ "Pod", ONE(R("'cpu':'1'")), "configmaps", NULL },
	{ "Pod", ONE(R("'cpu':'1'")), "count/pods.apps", NULL },
	{ "Pod", POD("'containers':[{" R("'cpu':'1'") "},{" R("'cpu':'200m'") "}]"), "cpu", "1200m" },
	{ "Pod", POD("'containers':[{" R("'cpu':'1'") "}],'initContainers':[{" R("'cpu':'3'") "}]"), "cpu", "3" },
	{ "Pod", POD("'containers':[{" R("'cpu':'1'") "}],'initContainers':[{'restartPolicy':'Always'," R("'cpu':'500m'") "}]"),
	  "cpu", "1500m" },
	{ "Pod",
	  POD("'containers':[{" R("'cpu':'1'") "}],'initContainers':[{'restartPolicy':'Always'," R("'cpu':'500m'") "},{" R(
		  "'cpu':'2'") "}]"),
	  "cpu", "2500m" },
	{ "Pod", POD("'overhead':{'cpu':'250m'},'containers':[{" R("'cpu':'1'") "}]"), "cpu", "1250m" },
	{ "Pod", POD("'overhead':{'cpu':'250m'},'containers':[{" R("'cpu':'1'") "}]"), "limits.cpu", "0" },
	{ "Pod", POD(R("'cpu':'5'") ",'containers':[{" R("'cpu':'1'") "}]"), "cpu", "5" },
	{ "Pod", "{'spec':{'containers':[{" R("'cpu':'1'") "}]},'status':{'phase':'Succeeded'}}", "cpu", "0" },
	{ "Pod", "{'spec':{'containers':[{" R("'cpu':'1'") "}]},'status':{'phase':'Failed'}}", "pods", "0" },
	{ "Pod", "{'spec':{'containers':[{" R("'cpu':'1'") "}]},'status':{'phase':'Failed'}}", "count/pods", "1" },
	{ "Service", "{'spec':{'type':'ClusterIP','ports':[{},{}]}}", "services", "1" },
	{ "Service", "{'spec':{'type':'ClusterIP','ports':[{},{}]}}", "services.nodeports", "0" },
	{ "Service", "{'spec':{'type':'NodePort','ports':[{},{}]}}", "services.nodeports", "2" },
	{ "Service", "{'spec':{'type':'NodePort','ports':[{},{}]}}", "services.loadbalancers", "0" },
	{ "Service", "{'spec':{'type':'LoadBalancer','ports':[{},{}]}}", "services.nodeports", "2" },
	{ "Service", "{'spec':{'type':'LoadBalancer','ports':[{},{}]}}", "services.loadbalancers", "1" },
	{ "Service",
	  "{'spec':{'type':'LoadBalancer','allocateLoadBalancerNodePorts':false,'ports':[{'nodePort':30000},{}]}}",
	  "services.nodeports", "1" },
	{ "PersistentVolumeClaim", "{'spec':{" R("'storage':'1Gi'") "}}", "persistentvolumeclaims", "1" },
	{ "PersistentVolumeClaim", "{'spec':{" R("'storage':'1Gi'") "}}", "requests.storage", "1Gi" },
	{ "PersistentVolumeClaim", "{'spec':{" R("'storage':'1500m'") "}}", "requests.storage", "2" },
	{ "PersistentVolumeClaim",
	  "{'spec':{" R("'storage':'1Gi'") "},'status':{'allocatedResources':{'storage':'2Gi'}}}", "requests.storage", "2Gi" },
	{ "PersistentVolumeClaim", "{'spec':{'storageClassName':'gold'," R("'storage':'1Gi'") "}}",
	  "gold.storageclass.storage.k8s.io/requests.storage", "1Gi" },
	{ "PersistentVolumeClaim", "{'spec':{'storageClassName':'gold'," R("'storage':'1Gi'") "}}",
	  "gold.storageclass.storage.k8s.io/persistentvolumeclaims", "1" },
	{ "PersistentVolumeClaim", "{'spec':{'storageClassName':'silver'," R("'storage':'1Gi'") "}}",
	  "gold.storageclass.storage.k8s.io/requests.storage", "0" },
	{ "PersistentVolumeClaim", "{'spec':{}}", "count/persistentvolumeclaims", "1" },
	{ "PersistentVolumeClaim", "{'spec':{}}", "requests.cpu", NULL },
	{ "ConfigMap", "{}", "configmaps", "1" },
	{ "ConfigMap", "{}", "count/configmaps", "1" },
	{ "ConfigMap", "{}", "secrets", NULL },
	{ "Secret", "{}", "secrets", "1" },
	{ "Deployment", "{}", "count/deployments.apps", "1" },
	{ "Deployment", "{}", "deployments", NULL },
	{ "Deployment", "{}", "count/deployments", NULL },
	{ "Deployment", "{}", "count/deployments.extensions", NULL },
};

static void test_usage(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(usages); i++) {
		const struct resource *r = &kind(usages[i].kind)->r;
		_cleanup_doc_ struct doc *d = parse(usages[i].object);
		_cleanup_free_ char *what = xasprintf("%s of %s", usages[i].resource, usages[i].object);
		_cleanup_buf_ struct buf got = BUF_INIT;
		struct quantity q = { 0, 'd' };

		if (!usage_tracks(r, usages[i].resource)) {
			ok(!usages[i].want, what);
			continue;
		}
		if (!usage_of(r, doc_root(d), usages[i].resource, &q))
			q.nano = 0;
		quantity_print(&q, &got);
		is_str(got.s, usages[i].want, what);
	}
}

static const struct {
	const char *kind, *object, *spec;
	bool in;
} scopes[] = {
	{ "Pod", POD("'containers':[{}]"), "{}", true },
	{ "Pod", POD("'activeDeadlineSeconds':5"), "{'scopes':['Terminating']}", true },
	{ "Pod", POD("'activeDeadlineSeconds':5"), "{'scopes':['NotTerminating']}", false },
	{ "Pod", POD("'containers':[{}]"), "{'scopes':['NotTerminating','BestEffort']}", true },
	{ "Pod", ONE(R("'cpu':'1'")), "{'scopes':['BestEffort']}", false },
	{ "Pod", ONE(R("'cpu':'1'")), "{'scopes':['NotBestEffort']}", true },
	{ "Pod", ONE(R("'cpu':'0'")), "{'scopes':['BestEffort']}", true },
	{ "Pod", POD("'priorityClassName':'a'"), "{'scopes':['PriorityClass']}", true },
	{ "Pod", POD("'containers':[{}]"), "{'scopes':['PriorityClass']}", false },
#define SELECT(op, values) \
	"{'scopeSelector':{'matchExpressions':[{'scopeName':'PriorityClass','operator':'" op "','values':[" values "]}]}}"
	{ "Pod", POD("'priorityClassName':'a'"), SELECT("In", "'a','b'"), true },
	{ "Pod", POD("'priorityClassName':'c'"), SELECT("In", "'a','b'"), false },
	{ "Pod", POD("'containers':[]"), SELECT("In", "'a'"), false },
	{ "Pod", POD("'priorityClassName':'a'"), SELECT("NotIn", "'a'"), false },
	{ "Pod", POD("'containers':[]"), SELECT("NotIn", "'a'"), true },
	{ "Pod", POD("'priorityClassName':'a'"), SELECT("Exists", ""), true },
	{ "Pod", POD("'containers':[]"), SELECT("DoesNotExist", ""), true },
	{ "Pod", POD("'priorityClassName':'a'"), SELECT("Sometimes", ""), false },
#define CROSS "'affinity':{'podAntiAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{'podAffinityTerm':{"
	{ "Pod", POD(CROSS "'namespaceSelector':{}}}]}}"), "{'scopes':['CrossNamespacePodAffinity']}", true },
	{ "Pod", POD(CROSS "'topologyKey':'k'}}]}}"), "{'scopes':['CrossNamespacePodAffinity']}", false },
	{ "ConfigMap", "{}", "{'scopes':['BestEffort']}", false },
	{ "PersistentVolumeClaim", "{'spec':{'volumeAttributesClassName':'v'}}", "{'scopes':['VolumeAttributesClass']}", true },
	{ "PersistentVolumeClaim", "{'spec':{}}", "{'scopes':['VolumeAttributesClass']}", false },
};

static void test_scopes(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
		_cleanup_doc_ struct doc *d = parse(scopes[i].object), *spec = parse(scopes[i].spec);
		_cleanup_free_ char *what = xasprintf("%s within %s", scopes[i].object, scopes[i].spec);

		ok(usage_in_scopes(&kind(scopes[i].kind)->r, doc_root(spec), doc_root(d)) == scopes[i].in, what);
	}
}

/* --- Pod Security Standards --- */

#define C(context) POD("'containers':[{'name':'c','securityContext':{" context "}}]")
#define SAFE                                                                               \
	"'allowPrivilegeEscalation':false,'runAsNonRoot':true,'capabilities':{'drop':['ALL']}," \
	"'seccompProfile':{'type':'RuntimeDefault'}"
#define SC(context) C(SAFE context)
#define SPOD(spec) POD("'containers':[{'name':'c','securityContext':{" SAFE "}}]," spec)

static const struct {
	const char *level, *version, *pod;
	const char *want; /* "": fine */
} standards[] = {
	{ "privileged", "latest", C("'privileged':true"), "" },
	{ "baseline", "latest", POD("'containers':[{'name':'c'}]"), "" },
	{ "restricted", "latest", SC(""), "" },
	{ "restricted", "v1.0", POD("'containers':[{'name':'c'}]"),
	  "runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true)" },
	{ "restricted", "latest", SC(",'runAsUser':0"), "runAsUser=0 (container \"c\" must not set runAsUser=0)" },
	{ "restricted", "v1.22", SC(",'runAsUser':0"), "" },
	{ "restricted", "latest", SPOD("'securityContext':{'runAsUser':0}"), "runAsUser=0 (pod must not set runAsUser=0)" },
	{ "restricted", "latest", SPOD("'hostUsers':false,'securityContext':{'runAsUser':0}"), "" },
	{ "restricted", "v1.34", SPOD("'hostUsers':false,'securityContext':{'runAsUser':0}"),
	  "runAsUser=0 (pod must not set runAsUser=0)" },
	{ "restricted", "latest", C("'allowPrivilegeEscalation':true,'runAsNonRoot':true,'capabilities':{'drop':['ALL'],'add':["
				    "'NET_BIND_SERVICE','SYS_TIME','CHOWN']},'seccompProfile':{'type':'Localhost'}"),
	  "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), "
	  "unrestricted capabilities (container \"c\" must not include \"CHOWN\", \"SYS_TIME\" in "
	  "securityContext.capabilities.add)" },
	{ "restricted", "v1.21", C("'allowPrivilegeEscalation':false,'runAsNonRoot':true,'seccompProfile':{'type':'Localhost'},"
				   "'capabilities':{'add':['SYS_TIME']}"),
	  "non-default capabilities (container \"c\" must not include \"SYS_TIME\" in securityContext.capabilities.add)" },
	{ "restricted", "latest", SPOD("'os':{'name':'windows'}"), "" },
	{ "restricted", "latest",
	  POD("'os':{'name':'windows'},'securityContext':{'runAsNonRoot':true},'containers':[{'name':'c'}]"), "" },
	{ "restricted", "v1.24",
	  POD("'os':{'name':'windows'},'securityContext':{'runAsNonRoot':true,'seccompProfile':{'type':'Localhost'}},"
	      "'containers':[{'name':'c'}]"),
	  "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), "
	  "unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"])" },
	{ "restricted", "latest", SPOD("'volumes':[{'name':'a','emptyDir':{}},{'name':'b','hostPath':{}},{'name':'d','nfs':{}}]"),
	  "restricted volume types (volumes \"b\", \"d\" use restricted volume types \"hostPath\", \"nfs\")" },
	{ "baseline", "latest", POD("'volumes':[{'name':'b','hostPath':{}}]"), "hostPath volumes (volume \"b\")" },
	{ "baseline", "latest",
	  POD("'containers':[{'name':'a','ports':[{'hostPort':90},{'hostPort':80}]},{'name':'b','ports':[{'hostPort':80}]}]"),
	  "hostPort (containers \"a\", \"b\" use hostPorts 80, 90)" },
	{ "baseline", "latest", POD("'hostNetwork':true,'hostPID':true,'hostIPC':true"),
	  "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)" },
	{ "baseline", "latest",
	  POD("'initContainers':[{'name':'i','securityContext':{'privileged':true}}],"
	      "'ephemeralContainers':[{'name':'e','securityContext':{'privileged':true}}]"),
	  "privileged (containers \"i\", \"e\" must not set securityContext.privileged=true)" },
	{ "baseline", "latest", C("'procMount':'Unmasked'"),
	  "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")" },
	{ "baseline", "latest", C("'procMount':'Default'"), "" },
	{ "baseline", "latest", C("'seLinuxOptions':{'type':'spc_t','user':'u','role':'r'}"),
	  "seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set; "
	  "role may not be set)" },
	{ "baseline", "latest", C("'seLinuxOptions':{'type':'container_engine_t'}"), "" },
	{ "baseline", "v1.30", C("'seLinuxOptions':{'type':'container_engine_t'}"),
	  "seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")" },
	{ "baseline", "latest", POD("'securityContext':{'seccompProfile':{'type':'Unconfined'}}"),
	  "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")" },
	{ "restricted", "latest",
	  POD("'securityContext':{'runAsNonRoot':true,'seccompProfile':{'type':'RuntimeDefault'}},'containers':[{'name':'c',"
	      "'securityContext':{'allowPrivilegeEscalation':false,'capabilities':{'drop':['ALL']}}}]"),
	  "" },
	{ "restricted", "latest", SPOD("'securityContext':{'runAsNonRoot':false}"),
	  "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)" },
	{ "baseline", "latest", POD("'securityContext':{'sysctls':[{'name':'net.ipv4.tcp_rmem'},{'name':'kernel.msgmax'}]}"),
	  "forbidden sysctls (kernel.msgmax)" },
	{ "baseline", "v1.26", POD("'securityContext':{'sysctls':[{'name':'net.ipv4.ip_local_reserved_ports'}]}"),
	  "forbidden sysctls (net.ipv4.ip_local_reserved_ports)" },
	{ "baseline", "latest",
	  POD("'securityContext':{'windowsOptions':{'hostProcess':true}},'containers':[{'name':'c','securityContext':{"
	      "'windowsOptions':{'hostProcess':true}}}]"),
	  "hostProcess (pod and container \"c\" must not set securityContext.windowsOptions.hostProcess=true)" },
	{ "baseline", "latest", POD("'containers':[{'name':'c','lifecycle':{'preStop':{'httpGet':{'host':'h'}}}}]"),
	  "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"h\")" },
	{ "baseline", "latest", C("'appArmorProfile':{'type':'Unconfined'}"),
	  "forbidden AppArmor profile (container \"c\" must not set AppArmor profile type to \"Unconfined\")" },
	{ "baseline", "latest",
	  "{'metadata':{'annotations':{'container.apparmor.security.beta.kubernetes.io/c':'unconfined'}},'spec':{"
	  "'securityContext':{'appArmorProfile':{'type':'Unconfined'}}}}",
	  "forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to \"Unconfined\", "
	  "\"container.apparmor.security.beta.kubernetes.io/c=\"unconfined\"\")" },
	{ "baseline", "v1.18",
	  "{'metadata':{'annotations':{'seccomp.security.alpha.kubernetes.io/pod':'unconfined'}},'spec':{}}",
	  "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")" },
	{ "baseline", "v1.19",
	  "{'metadata':{'annotations':{'seccomp.security.alpha.kubernetes.io/pod':'unconfined'}},'spec':{}}", "" },
	/* Nonsense is no crash. */
	{ "restricted", "latest", "{'spec':{'containers':'x','volumes':[[]],'securityContext':7}}",
	  "restricted volume types (volume \"\" uses restricted volume type \"unknown\")" },
};

static void test_standards(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(standards); i++) {
		_cleanup_doc_ struct doc *d = parse(standards[i].pod);
		_cleanup_free_ char *what = xasprintf("%s %s: %s", standards[i].level, standards[i].version, standards[i].pod);
		_cleanup_buf_ struct buf got = BUF_INIT;
		struct podsec p;

		ok(podsec_parse_level(str_of(standards[i].level), &p.level) &&
			   podsec_parse_version(str_of(standards[i].version), &p.minor),
		   "level and version");
		podsec_check(&p, meta_of(doc_root(d)), node_get(doc_root(d), F_spec), NULL, &got);
		is_str(got.s, standards[i].want, what);
	}
}

static void test_names(void)
{
	static const char *const bad[] = { "", "v1", "v1.", "v1.x", "v1.01", "v2.1", "v1.-1", "v1. 1", "1.1", "Latest",
					   "v1.99999999999999999999" };
	enum podsec_level level;
	int32_t minor;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(!podsec_parse_version(str_of(bad[i]), &minor) && minor == PODSEC_LATEST, bad[i]);
	ok(!podsec_parse_level(STR_LIT("Baseline"), &level) && level == PODSEC_RESTRICTED, "falls to the strictest");
	ok(podsec_parse_version(STR_LIT("v1.0"), &minor) && minor == 0, "v1.0");
}

int main(void)
{
	test_usage();
	test_scopes();
	test_standards();
	test_names();
	return done_testing();
}
