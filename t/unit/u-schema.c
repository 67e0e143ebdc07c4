/*
 * Schema: tables, decoding, defaulting. Validation, strategies, patches and
 * selectors: u-schema-rules.c. Documents stand with ' for ".
 */
#include "schema/internal.h"

#include <stdio.h>

#include "base/time.h"
#include "schema-util.h"
#include "tap.h"

static void test_find(void)
{
	const struct schema_res *r = schema_find(STR_LIT(""), STR_LIT("v1"), STR_LIT("pods"));
	size_t served = 0;

	ok(r && streq(r->r.kind, "Pod") && r->r.namespaced, "pods are found");
	is_str(r->r.prefix, "/registry/pods/", "with their key prefix");
	is_str(r->short_names[0], "po", "and short name");
	ok(r->verbs & SV_DELETECOLLECTION && !r->is_virtual && !r->volatile_tier, "pods' flags");
	ok(schema_find_api(STR_LIT("apps/v1"), STR_LIT("Deployment")) ==
		   schema_find(STR_LIT("apps"), STR_LIT("v1"), STR_LIT("deployments")),
	   "a kind and a plural find the same row");
	r = schema_find(STR_LIT("extensions"), STR_LIT("v1beta1"), STR_LIT("deployments"));
	ok(r && !r->preferred && streq(schema_storage(r)->r.api_version, "apps/v1"), "dropped versions are stored as what followed");
	is_str(r->deprecation,
	       "extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment",
	       "and say so");
	ok(!r->short_names[0] && !r->categories[0], "short names and categories are the newer version's alone");
	ok(!schema_find(STR_LIT("apps"), STR_LIT("v1"), STR_LIT("deployments"))->deprecation, "which says nothing");
	ok(!schema_find(STR_LIT("extensions"), STR_LIT("v1beta1"), STR_LIT("podsecuritypolicies")),
	   "kinds without a successor are not served");
	r = schema_find(STR_LIT("metrics.k8s.io"), STR_LIT("v1beta1"), STR_LIT("pods"));
	ok(r && r->is_virtual, "what nodes measure is served, and not stored");
	ok(!schema_find(STR_LIT(""), STR_LIT("v1"), STR_LIT("Pods")), "plurals match by case");
	ok(!schema_find_kind(STR_LIT("apps"), STR_LIT("v1"), STR_LIT("Pod")), "kinds match their group");
	r = schema_find(STR_LIT("events.k8s.io"), STR_LIT("v1"), STR_LIT("events"));
	ok(r && streq(schema_storage(r)->r.api_version, "v1") && r->volatile_tier, "Events are stored as core/v1");
	r = schema_find(STR_LIT("autoscaling"), STR_LIT("v1"), STR_LIT("horizontalpodautoscalers"));
	ok(r && streq(schema_storage(r)->r.version, "v2") && !r->preferred, "autoscaling/v1 is stored as v2");
	r = schema_find(STR_LIT("apps"), STR_LIT("v1"), STR_LIT("deployments"));
	ok(schema_subres(r, STR_LIT("scale")) && streq(schema_subres(r, STR_LIT("scale"))->group, "autoscaling"),
	   "deployments/scale is a Scale of autoscaling");
	ok(!schema_subres(r, STR_LIT("exec")), "deployments have no exec");
	ok(schema_group_served(STR_LIT("batch")) && !schema_group_served(STR_LIT("custom.metrics.k8s.io")), "groups served");
	is_str(schema_res("", "services")->prefix, "/registry/services/specs/", "Services' place in the store");
	for (size_t i = 0; i < schema_n_resources; i++) {
		const struct schema_res *x = &schema_resources[i];

		served += x->served;
		if (x->served && (!x->type || schema_find(str_of(x->r.group), str_of(x->r.version),
							  str_of(x->r.plural)) != x))
			ok(false, x->r.plural);
	}
	ok(served > 60, "every served resource has a type and is found");
	ok(streq(schema_resources[0].r.group, "") && *schema_resources[0].r.plural, "core comes first");
}

static void test_types(void)
{
	const struct schema_type *pod = schema_type_find(STR_LIT("core/v1.Pod"));
	const struct schema_type *ctr = schema_type_find(STR_LIT("core/v1.Container"));
	const struct schema_field *f;
	bool sorted = true;

	ok(pod && schema_type_field(pod, F_apiVersion), "TypeMeta is dissolved into Pod");
	is_str(schema_type_go(pod), "v1.Pod", "Go's name");
	f = schema_type_field(ctr, F_ports);
	ok(f && f->shape == SH_LIST && f->kind == SK_REF && f->merge_key == F_containerPort, "ports merge by number");
	ok(schema_keys[f->list_keys] == F_containerPort && schema_keys[f->list_keys + 1] == F_protocol,
	   "and are a map by two keys");
	f = schema_type_field(ctr, F_imagePullPolicy);
	is_int(schema_field_n_values(f), 3, "imagePullPolicy has three values");
	ok(f->flags & SF_ENUM && streq(SCHEMA_STR(f->named), "PullPolicy"), "a closed set, named");
	ok(schema_type_field(schema_type_find(STR_LIT("core/v1.Volume")), F_hostPath)->embedded == 2,
	   "a volume's sources are embedded");
	ok(!schema_type_find(STR_LIT("core/v1.Nothing")), "an unknown type");
	for (size_t i = 1; i < schema_n_types; i++)
		sorted = sorted && strcmp(schema_type_name(&schema_types[i - 1]), schema_type_name(&schema_types[i])) < 0;
	ok(sorted, "types are sorted");
}

/* --- decoding --- */

/* The object after decoding, or its error; issues follow a "|". */
static char *decode(const char *res, const char *text)
{
	_cleanup_doc_ struct doc *d = parse(text);
	_cleanup_err_ struct err e = ERR_INIT;
	struct schema_issue *issues = NULL;
	struct buf b = BUF_INIT;

	if (schema_decode(kind(res), d, &issues, &e) < 0) {
		buf_addf(&b, "%s: %s", err_reason_name(e.reason), err_msg(&e));
	} else {
		doc_print_json(&b, doc_root(d), 0);
	}
	for (struct schema_issue *i = issues; i; i = i->next)
		buf_addf(&b, "|%s", i->text);
	schema_issues_free(issues);
	return buf_detach(&b, NULL);
}

static void is_decoded(const char *res, const char *text, const char *want, const char *what)
{
	_cleanup_free_ char *got = decode(res, text), *w = quotes(want);

	is_str(got, w, what);
}

static void test_decode(void)
{
	is_decoded("ConfigMap", "{'kind':'ConfigMap','data':{'a':'b'},'foo':1,'metadata':{'name':'x','Labels':{}}}",
		   "{'kind':'ConfigMap','data':{'a':'b'},'metadata':{'name':'x'}}|unknown field 'foo'|unknown field "
		   "'metadata.Labels'",
		   "unknown fields are dropped and reported");
	is_decoded("Pod", "{'spec':{'containers':[{'name':'a','imag':'x'}]}}",
		   "{'spec':{'containers':[{'name':'a'}]}}|unknown field 'spec.containers[0].imag'",
		   "with indexes in the path");
	is_decoded("Pod", "{'spec':{'containers':'x'}}",
		   "BadRequest: Pod in version 'v1' cannot be handled as a Pod: json: cannot unmarshal string into Go "
		   "struct field PodSpec.spec.containers of type []v1.Container",
		   "a wrong type, in Go's words");
	is_decoded("Pod", "{'spec':{'containers':[{'env':[{'name':'a','value':1}]}]}}",
		   "BadRequest: Pod in version 'v1' cannot be handled as a Pod: json: cannot unmarshal number into Go "
		   "struct field EnvVar.spec.containers.env.value of type string",
		   "deep inside lists");
	is_decoded("Deployment", "{'spec':{'replicas':'3'}}",
		   "BadRequest: Deployment in version 'v1' cannot be handled as a Deployment: json: cannot unmarshal "
		   "string into Go struct field DeploymentSpec.spec.replicas of type int32",
		   "a string for a number");
	is_decoded("Deployment", "{'spec':{'replicas':3000000000}}",
		   "BadRequest: Deployment in version 'v1' cannot be handled as a Deployment: json: cannot unmarshal "
		   "number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
		   "an int32 has bounds");
	is_decoded("Deployment", "{'spec':{'replicas':1.5}}",
		   "BadRequest: Deployment in version 'v1' cannot be handled as a Deployment: json: cannot unmarshal "
		   "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
		   "and no fraction");
	is_decoded("ConfigMap", "{'metadata':{'labels':{'a':1}}}",
		   "BadRequest: ConfigMap in version 'v1' cannot be handled as a ConfigMap: json: cannot unmarshal "
		   "number into Go struct field ObjectMeta.metadata.labels of type string",
		   "labels are strings");
	is_decoded("ConfigMap", "[]",
		   "BadRequest: ConfigMap in version 'v1' cannot be handled as a ConfigMap: json: cannot unmarshal "
		   "array into Go value of type v1.ConfigMap",
		   "no object at all");
	is_decoded("Pod", "{'spec':{'restartPolicy':true}}",
		   "BadRequest: Pod in version 'v1' cannot be handled as a Pod: json: cannot unmarshal bool into Go "
		   "struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
		   "named strings have their Go name");
	is_decoded("Secret", "{'data':{'a':'!!'}}",
		   "BadRequest: Secret in version 'v1' cannot be handled as a Secret: illegal base64 data at input byte 0",
		   "bad base64");
	is_decoded("Secret", "{'data':{'a':'YQ==','b':'','c':null}}", "{'data':{'a':'YQ==','b':'','c':''}}",
		   "good base64, and null in a map");
	is_decoded("Secret", "{'data':{'a':'YWFh\\nYWE='}}", "{'data':{'a':'YWFhYWE='}}", "line ends in base64");
	is_decoded("Pod", "{'metadata':{'name':'x','labels':null,'annotations':{},'finalizers':[]},'spec':null}",
		   "{'metadata':{'name':'x'}}", "null and empty members go");
	is_decoded("Pod", "{'spec':{'hostNetwork':false,'nodeName':'','activeDeadlineSeconds':0}}",
		   "{'spec':{'activeDeadlineSeconds':0}}", "zero values go unless they are pointers");
	is_decoded("Pod", "{'metadata':{'creationTimestamp':'2020-01-02T03:04:05+01:00'}}",
		   "{'metadata':{'creationTimestamp':'2020-01-02T02:04:05Z'}}", "times become UTC");
	is_decoded("Pod", "{'metadata':{'creationTimestamp':'yesterday'}}",
		   "BadRequest: Pod in version 'v1' cannot be handled as a Pod: parsing time 'yesterday' as "
		   "'2006-01-02T15:04:05Z07:00': cannot parse 'yesterday' as '2006'",
		   "a bad time");
	is_decoded("Pod", "{'spec':{'containers':[{'resources':{'limits':{'cpu':'1000m','memory':'1024Mi','x/y':2}}}]}}",
		   "{'spec':{'containers':[{'resources':{'limits':{'cpu':'1','memory':'1Gi','x/y':'2'}}}]}}",
		   "quantities become canonical");
	is_decoded("Pod", "{'spec':{'containers':[{'resources':{'limits':{'cpu':'much'}}}]}}",
		   "BadRequest: Pod in version 'v1' cannot be handled as a Pod: quantities must match the regular "
		   "expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
		   "a bad quantity");
	is_decoded("Service", "{'spec':{'ports':[{'port':80,'targetPort':'http'},{'targetPort':8080}]}}",
		   "{'spec':{'ports':[{'port':80,'targetPort':'http'},{'targetPort':8080}]}}", "int or string");
	is_decoded("Service", "{'spec':{'ports':[{'targetPort':true}]}}",
		   "BadRequest: Service in version 'v1' cannot be handled as a Service: json: cannot unmarshal bool "
		   "into Go value of type int32",
		   "neither int nor string");
	is_decoded("Pod",
		   "{'metadata':{'managedFields':[{'manager':'m','fieldsV1':{'f:a':{'.':{}},'x':null}}]}}",
		   "{'metadata':{'managedFields':[{'manager':'m','fieldsV1':{'f:a':{'.':{}},'x':null}}]}}",
		   "managedFields pass through");
	is_decoded("Pod", "{'spec':{'containers':[null]}}", "{'spec':{'containers':[{}]}}", "a null item is a zero value");
	is_decoded("Pod", "{'spec':{'tolerations':[{'key':'a'}],'schedulerName':'s'},'x':{'y':1},'x2':[]}",
		   "{'spec':{'tolerations':[{'key':'a'}],'schedulerName':'s'}}|unknown field 'x'|unknown field 'x2'",
		   "issues keep their order");
}

static void test_decode_type(void)
{
	_cleanup_doc_ struct doc *d = parse("{'kind':'DeleteOptions','gracePeriodSeconds':'1'}");
	_cleanup_err_ struct err e = ERR_INIT;

	ok(schema_decode_type("meta/v1.DeleteOptions", d, NULL, &e) < 0, "DeleteOptions is checked");
	is_str(err_msg(&e),
	       "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
	       "with the bare message");
}

/* --- defaulting --- */

static char *defaulted(const char *res, const char *text, const char *path)
{
	_cleanup_doc_ struct doc *d = parse(text), *again;
	_cleanup_err_ struct err e = ERR_INIT;
	struct buf b = BUF_INIT;

	if (schema_decode(kind(res), d, NULL, &e) < 0)
		printf("# %s\n", err_msg(&e));
	schema_default(kind(res), d);
	again = doc_clone(d);
	schema_default(kind(res), again);
	if (!node_equal(doc_root(d), doc_root(again)))
		buf_adds(&b, "NOT IDEMPOTENT ");
	doc_print_json(&b, at(doc_root(d), path), DOC_PRINT_SORTED);
	return buf_detach(&b, NULL);
}

static void is_defaulted(const char *res, const char *text, const char *path, const char *want, const char *what)
{
	_cleanup_free_ char *got = defaulted(res, text, path), *w = quotes(want);

	is_str(got, w, what);
}

static void test_default_pod(void)
{
	static const char POD[] = "{'spec':{'containers':[{'name':'a','image':'nginx','resources':{'limits':{'cpu':'1',"
				  "'memory':'1Mi'},'requests':{'cpu':'500m'}},'livenessProbe':{'httpGet':{'port':80}}},"
				  "{'name':'b','image':'r:5000/n:1','ports':[{'containerPort':1}]},{'image':'n@sha256:ab'}]"
				  ",'volumes':[{'name':'v'},{'name':'s','secret':{'secretName':'x'}}],"
				  "'serviceAccountName':'sa'}}";

	is_defaulted("Pod", POD, "spec.containers.0",
		     "{'image':'nginx','imagePullPolicy':'Always','livenessProbe':{'failureThreshold':3,'httpGet':{'path':"
		     "'/','port':80,'scheme':'HTTP'},'periodSeconds':10,'successThreshold':1,'timeoutSeconds':1},'name':"
		     "'a','resources':{'limits':{'cpu':'1','memory':'1Mi'},'requests':{'cpu':'500m','memory':'1Mi'}},"
		     "'terminationMessagePath':'/dev/termination-log','terminationMessagePolicy':'File'}",
		     "a container");
	is_defaulted("Pod", POD, "spec.containers.1.imagePullPolicy", "'IfNotPresent'", "a tag is pulled once");
	is_defaulted("Pod", POD, "spec.containers.2.imagePullPolicy", "'IfNotPresent'", "so is a digest");
	is_defaulted("Pod", POD, "spec.containers.1.ports", "[{'containerPort':1,'protocol':'TCP'}]", "a port");
	is_defaulted("Pod", POD, "spec.containers.1.resources", "{}", "resources are always there");
	is_defaulted("Pod", POD, "spec.volumes",
		     "[{'emptyDir':{},'name':'v'},{'name':'s','secret':{'defaultMode':420,'secretName':'x'}}]",
		     "volumes");
	is_defaulted("Pod", POD, "spec.serviceAccount", "'sa'", "the old name of the service account");
	is_defaulted("Pod", "{'spec':{'containers':[]}}", "",
		     "{'metadata':{},'spec':{'containers':[],'dnsPolicy':'ClusterFirst','enableServiceLinks':true,"
		     "'restartPolicy':'Always','schedulerName':'default-scheduler','securityContext':{},"
		     "'terminationGracePeriodSeconds':30},'status':{}}",
		     "a pod spec");
	is_defaulted("Pod", "{'spec':{'hostNetwork':true,'containers':[{'ports':[{'containerPort':8}]}]}}",
		     "spec.containers.0.ports.0.hostPort", "8", "host ports on the host's network");
	is_defaulted("Pod",
		     "{'spec':{'containers':[{'env':[{'name':'a','valueFrom':{'fieldRef':{'fieldPath':'x'}}}]}]}}",
		     "spec.containers.0.env.0.valueFrom.fieldRef.apiVersion", "'v1'", "a field reference's version");
	is_defaulted("Pod",
		     "{'spec':{'resources':{'limits':{'cpu':'2','memory':'1Gi'}},'containers':[{'resources':{'requests':"
		     "{'cpu':'300m'}}},{'resources':{'requests':{'cpu':'400m'}}}]}}",
		     "spec.resources.requests", "{'cpu':'700m','memory':'1Gi'}", "requests of the whole pod");
	is_defaulted("Pod", "{'status':{'podIP':'10.0.0.1'}}", "status.podIPs", "[{'ip':'10.0.0.1'}]", "podIPs");
}

static void test_default_other(void)
{
	is_defaulted("Service", "{'spec':{'ports':[{'port':80}]}}", "",
		     "{'metadata':{},'spec':{'internalTrafficPolicy':'Cluster','ports':[{'port':80,'protocol':'TCP',"
		     "'targetPort':80}],'sessionAffinity':'None','type':'ClusterIP'},'status':{'loadBalancer':{}}}",
		     "a Service");
	is_defaulted("Service", "{'spec':{'type':'LoadBalancer','sessionAffinity':'ClientIP'}}", "spec",
		     "{'allocateLoadBalancerNodePorts':true,'externalTrafficPolicy':'Cluster','internalTrafficPolicy':"
		     "'Cluster','sessionAffinity':'ClientIP','sessionAffinityConfig':{'clientIP':{'timeoutSeconds':10800}},"
		     "'type':'LoadBalancer'}",
		     "a load balancer");
	is_defaulted("Deployment", "{'spec':{'template':{'spec':{}}}}", "spec.strategy",
		     "{'rollingUpdate':{'maxSurge':'25%','maxUnavailable':'25%'},'type':'RollingUpdate'}", "a strategy");
	is_defaulted("Deployment", "{'spec':{'strategy':{'type':'Recreate'}}}", "spec.strategy", "{'type':'Recreate'}",
		     "the other strategy");
	is_defaulted("Deployment", "{'spec':{'replicas':0}}", "spec.replicas", "0", "replicas 0 stays");
	is_defaulted("Deployment", "{'spec':{'template':{'spec':{'containers':[{'image':'x','resources':{'limits':{'cpu':"
				   "'1'}}}]}}}}",
		     "spec.template.spec.containers.0.resources", "{'limits':{'cpu':'1'}}",
		     "requests are not defaulted in templates");
	is_defaulted("DaemonSet", "{}", "spec.updateStrategy",
		     "{'rollingUpdate':{'maxSurge':0,'maxUnavailable':1},'type':'RollingUpdate'}", "a DaemonSet's");
	is_defaulted("StatefulSet", "{}", "spec.updateStrategy.rollingUpdate.partition", "0", "a StatefulSet's");
	is_defaulted("Job", "{'spec':{'template':{'metadata':{'labels':{'a':'b'}}}}}", "spec.backoffLimit", "6", "a Job");
	is_defaulted("Job", "{'spec':{'template':{'metadata':{'labels':{'a':'b'}}}}}", "metadata.labels", "{'a':'b'}",
		     "labels from the template");
	is_defaulted("Job", "{'spec':{'parallelism':3}}", "spec.completions", "null", "completions stay open");
	is_defaulted("Secret", "{'stringData':{'a':'b'},'data':{'a':'eA==','c':'eA=='}}", "",
		     "{'data':{'a':'Yg==','c':'eA=='},'metadata':{},'type':'Opaque'}", "stringData becomes data");
	is_defaulted("Namespace", "{'metadata':{'name':'n'}}", "",
		     "{'metadata':{'labels':{'kubernetes.io/metadata.name':'n'},'name':'n'},'spec':{},'status':{'phase':"
		     "'Active'}}",
		     "a Namespace");
	is_defaulted("Node", "{'status':{'capacity':{'cpu':'4'}}}", "status.allocatable", "{'cpu':'4'}", "a Node");
	is_defaulted("Event", "{}", "",
		     "{'eventTime':null,'firstTimestamp':null,'involvedObject':{},'lastTimestamp':null,'metadata':{},"
		     "'reportingComponent':'','reportingInstance':'','source':{}}",
		     "an Event");
	is_defaulted("NetworkPolicy", "{'spec':{'egress':[{}]}}", "spec.policyTypes", "['Ingress','Egress']",
		     "a literal list");
	is_defaulted("HorizontalPodAutoscaler", "{'spec':{'behavior':{}}}", "spec.behavior.scaleDown",
		     "{'policies':[{'periodSeconds':15,'type':'Percent','value':100}],'selectPolicy':'Max'}",
		     "a literal with objects");
	is_defaulted("LimitRange", "{'spec':{'limits':[{'type':'Container','max':{'cpu':'2'},'min':{'memory':'1Mi'}}]}}",
		     "spec.limits.0.defaultRequest", "{'cpu':'2','memory':'1Mi'}", "a LimitRange");
	is_defaulted("CustomResourceDefinition",
		     "{'spec':{'names':{'kind':'FooBar'},'versions':[{'name':'v1','storage':true}]}}", "spec.names",
		     "{'kind':'FooBar','listKind':'FooBarList','plural':'','singular':'foobar'}", "names of a CRD");
	is_defaulted("ClusterRoleBinding", "{'subjects':[{'kind':'User','name':'u'},{'kind':'ServiceAccount'}]}",
		     "subjects.0.apiGroup", "'rbac.authorization.k8s.io'", "a subject's group");
}

/* Speed, for the eye only. */
static void time_it(void)
{
	static const char POD[] =
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace':'b','labels':{'x':'y'}},'spec':{"
		"'containers':[{'name':'a','image':'nginx:1','env':[{'name':'A','value':'b'}],'ports':[{'containerPort':"
		"80}],'volumeMounts':[{'name':'v','mountPath':'/x'}],'readinessProbe':{'httpGet':{'port':80}}}],"
		"'volumes':[{'name':'v'}]}}";
	_cleanup_err_ struct err e = ERR_INIT;
	int64_t parse_us = 0, rest_us = 0, start;
	int bad = 0;

	for (int i = 0; i < 1000; i++) {
		struct doc *d;

		start = time_mono_us();
		d = parse(POD);
		parse_us += time_mono_us() - start;
		start = time_mono_us();
		bad += schema_decode(kind("Pod"), d, NULL, &e) < 0;
		schema_default(kind("Pod"), d);
		schema_prepare(kind("Pod"), d, NULL, NULL);
		bad += schema_validate(kind("Pod"), doc_root(d), NULL, NULL, &e) < 0;
		rest_us += time_mono_us() - start;
		doc_unref(d);
	}
	is_int(bad, 0, "an ordinary pod is fine");
	printf("# a pod: parsed in %lld ns; decoded, defaulted, prepared and validated in %lld ns\n",
	       (long long)parse_us, (long long)rest_us);
}

int main(void)
{
	test_find();
	test_types();
	test_decode();
	test_decode_type();
	test_default_pod();
	test_default_other();
	time_it();
	return done_testing();
}
