/*
 * Versions of one thing: defaults of the older ones, what becomes of them in the
 * stored form, and that a round trip loses nothing.
 */
#include "tap.h"

#include "api/internal.h"
#include "schema-util.h"

static const struct schema_res *res_of(const struct doc *d)
{
	const struct node *root = doc_root(d);

	return schema_find_api(node_str(node_get(root, F_apiVersion)), node_str(node_get(root, F_kind)));
}

/* As a create does it: the older version's defaults, then the stored form and its defaults. */
static struct doc *stored(const char *text)
{
	struct doc *d = parse(text);
	const struct schema_res *r = res_of(d);

	schema_default(r, d);
	convert_doc(d, r, schema_storage(r));
	schema_default(schema_storage(r), d);
	return d;
}

static const char *text_at(const struct doc *d, const char *path)
{
	static char out[4][2000];
	static unsigned n;
	char *o = out[n++ % 4];
	_cleanup_buf_ struct buf text = BUF_INIT;
	const struct node *x = doc_root(d);
	struct str rest = str_of(path);

	while (x && rest.p) {
		struct str part = str_cut(&rest, '/');
		int64_t i;

		x = node_is(x, DOC_ARRAY) && str_to_i64(part, &i) ? node_at(x, (size_t)i) : node_getk(x, part);
	}
	if (x && !node_is(x, DOC_STRING))
		doc_print_json(&text, x, DOC_PRINT_COMPACT);
	else if (x)
		buf_addstr(&text, node_str(x));
	snprintf(o, sizeof(out[0]), "%s", x ? text.s : "absent");
	return o;
}

/* What is stored, seen in `version` and written back, is what it was. */
static void round_trip(const struct doc *d, const char *version, const char *what)
{
	const struct schema_res *st = res_of(d);
	const struct schema_res *old = schema_find_api(str_of(version), str_of(st->r.kind));
	_cleanup_doc_ struct doc *x = doc_clone(d);
	struct err e = ERR_INIT;

	convert_doc(x, st, old);
	is_str(node_gets(doc_root(x), F_apiVersion), version, what);
	ok(schema_decode(old, x, NULL, &e) == 0, "... fits its type");
	err_release(&e);
	convert_doc(x, old, st);
	schema_default(st, x);
	if (!ok(node_equal(doc_root(x), doc_root(d)), "... and comes back unchanged")) {
		_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;

		doc_print_json(&a, doc_root(d), DOC_PRINT_SORTED);
		doc_print_json(&b, doc_root(x), DOC_PRINT_SORTED);
		printf("# was %s\n# is  %s\n", a.s, b.s);
	}
}

#define TEMPLATE "'template':{'metadata':{'labels':{'app':'a'}},'spec':{'containers':[{'name':'c','image':'i:1'}]}}"

static void test_deployment(void)
{
	_cleanup_doc_ struct doc *d = stored("{'apiVersion':'extensions/v1beta1','kind':'Deployment','metadata':{'name':'d'},"
					     "'spec':{'rollbackTo':{'revision':4}," TEMPLATE "}}");
	_cleanup_doc_ struct doc *b1 = stored("{'apiVersion':'apps/v1beta1','kind':'Deployment','metadata':{'name':'d',"
					      "'labels':{'own':'1'}},'spec':{" TEMPLATE "}}");
	_cleanup_doc_ struct doc *b2 = stored("{'apiVersion':'apps/v1beta2','kind':'Deployment','metadata':{'name':'d'},"
					      "'spec':{'selector':{'matchLabels':{'app':'a'}}," TEMPLATE "}}");

	is_str(text_at(d, "apiVersion"), "apps/v1", "a Deployment of extensions is stored as apps/v1");
	is_str(text_at(d, "spec/selector"), "{\"matchLabels\":{\"app\":\"a\"}}", "its selector is its template's labels");
	is_str(text_at(d, "metadata/labels"), "{\"app\":\"a\"}", "and so are its labels");
	is_str(text_at(d, "spec/replicas"), "1", "one replica");
	is_str(text_at(d, "spec/revisionHistoryLimit"), "2147483647", "all revisions are kept");
	is_str(text_at(d, "spec/progressDeadlineSeconds"), "2147483647", "no deadline");
	is_str(text_at(d, "spec/strategy"),
	       "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxUnavailable\":1,\"maxSurge\":1}}", "one at a time");
	is_str(text_at(d, "spec/rollbackTo"), "absent", "rollbackTo is no field of apps/v1");
	is_str(node_cstr_or(node_getc(node_path(doc_root(d), F_metadata, F_annotations),
				      "deprecated.deployment.rollback.to"), ""), "4", "but an annotation");
	is_str(text_at(b1, "spec/revisionHistoryLimit"), "2", "apps/v1beta1 keeps two revisions");
	is_str(text_at(b1, "spec/progressDeadlineSeconds"), "600", "and waits ten minutes");
	is_str(text_at(b1, "spec/strategy/rollingUpdate/maxSurge"), "25%", "by quarters");
	is_str(text_at(b1, "spec/selector"), "{\"matchLabels\":{\"app\":\"a\"}}", "its selector is defaulted");
	is_str(text_at(b1, "metadata/labels"), "{\"own\":\"1\"}", "its own labels stay");
	is_str(text_at(b2, "spec/revisionHistoryLimit"), "10", "apps/v1beta2 is as apps/v1");
	is_str(text_at(b2, "metadata/labels"), "absent", "no labels are made up there");
	round_trip(d, "extensions/v1beta1", "a Deployment in extensions/v1beta1");
	round_trip(d, "apps/v1beta1", "a Deployment in apps/v1beta1");
	round_trip(b2, "apps/v1beta2", "a Deployment in apps/v1beta2");
	round_trip(b2, "extensions/v1beta1", "one without labels in extensions/v1beta1");
}

static void test_workloads(void)
{
	_cleanup_doc_ struct doc *ds = stored("{'apiVersion':'extensions/v1beta1','kind':'DaemonSet','metadata':{'name':'d'},"
					      "'spec':{'templateGeneration':7," TEMPLATE "}}");
	_cleanup_doc_ struct doc *ss = stored("{'apiVersion':'apps/v1beta1','kind':'StatefulSet','metadata':{'name':'d'},"
					      "'spec':{'serviceName':'s','volumeClaimTemplates':[{'metadata':{'name':'v'},"
					      "'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1Mi'}}}}],"
					      TEMPLATE "}}");
	_cleanup_doc_ struct doc *s2 = stored("{'apiVersion':'apps/v1beta2','kind':'StatefulSet','metadata':{'name':'d'},"
					      "'spec':{'selector':{'matchLabels':{'app':'a'}},'serviceName':'s'," TEMPLATE "}}");
	_cleanup_doc_ struct doc *rs = stored("{'apiVersion':'extensions/v1beta1','kind':'ReplicaSet','metadata':{'name':'d'},"
					      "'spec':{" TEMPLATE "}}");
	_cleanup_doc_ struct doc *cr = stored("{'apiVersion':'apps/v1beta1','kind':'ControllerRevision','metadata':{'name':'d'},"
					      "'data':{'a':[1,{'b':null}]},'revision':3}");

	is_str(text_at(ds, "spec/updateStrategy"), "{\"type\":\"OnDelete\"}", "a DaemonSet of extensions waits for deletion");
	is_str(text_at(ds, "spec/templateGeneration"), "absent", "templateGeneration is no field of apps/v1");
	is_str(node_cstr_or(node_getc(node_path(doc_root(ds), F_metadata, F_annotations),
				      "deprecated.daemonset.template.generation"), ""), "7", "but an annotation");
	round_trip(ds, "extensions/v1beta1", "a DaemonSet in extensions/v1beta1");
	round_trip(ds, "apps/v1beta2", "a DaemonSet in apps/v1beta2");
	is_str(text_at(ss, "spec/updateStrategy"), "{\"type\":\"OnDelete\"}", "a StatefulSet of apps/v1beta1 waits for deletion");
	is_str(text_at(ss, "spec/volumeClaimTemplates/0/kind"), "PersistentVolumeClaim", "its claims have a kind");
	is_str(text_at(s2, "spec/updateStrategy/rollingUpdate/partition"), "0",
	       "one of apps/v1beta2 rolls");
	round_trip(ss, "apps/v1beta1", "a StatefulSet in apps/v1beta1");
	round_trip(s2, "apps/v1beta2", "a StatefulSet in apps/v1beta2");
	is_str(text_at(rs, "spec/selector"), "{\"matchLabels\":{\"app\":\"a\"}}", "a ReplicaSet's selector is defaulted");
	round_trip(rs, "extensions/v1beta1", "a ReplicaSet in extensions/v1beta1");
	round_trip(cr, "apps/v1beta1", "a ControllerRevision in apps/v1beta1");
}

#define PATH(backend) "{'rules':[{'host':'h','http':{'paths':[{'path':'/','backend':" backend "}]}}]"

static void test_ingress(void)
{
	_cleanup_doc_ struct doc *d = stored(
		"{'apiVersion':'extensions/v1beta1','kind':'Ingress','metadata':{'name':'i','annotations':{"
		"'kubernetes.io/ingress.class':'nginx'}},'spec':" PATH("{'serviceName':'s','servicePort':80}")
		",'backend':{'serviceName':'t','servicePort':'web'},'tls':[{'hosts':['h'],'secretName':'x'}]}}");
	_cleanup_doc_ struct doc *res = stored(
		"{'apiVersion':'networking.k8s.io/v1beta1','kind':'Ingress','metadata':{'name':'i'},'spec':"
		PATH("{'resource':{'apiGroup':'g','kind':'K','name':'n'}}") ",'ingressClassName':'c'}}");
	_cleanup_doc_ struct doc *cls = stored(
		"{'apiVersion':'networking.k8s.io/v1beta1','kind':'IngressClass','metadata':{'name':'i'},'spec':"
		"{'controller':'a/b','parameters':{'apiGroup':'g','kind':'K','name':'n'}}}");

	is_str(text_at(d, "apiVersion"), "networking.k8s.io/v1", "an Ingress is stored as networking.k8s.io/v1");
	is_str(text_at(d, "spec/rules/0/http/paths/0/backend"), "{\"service\":{\"name\":\"s\",\"port\":{\"number\":80}}}",
	       "its backend is a service with a number");
	is_str(text_at(d, "spec/rules/0/http/paths/0/pathType"), "ImplementationSpecific", "its path type is defaulted");
	is_str(text_at(d, "spec/defaultBackend"), "{\"service\":{\"name\":\"t\",\"port\":{\"name\":\"web\"}}}",
	       "or a name, for the default backend");
	is_str(text_at(d, "spec/backend"), "absent", "which had another name");
	is_str(node_cstr_or(node_getc(node_path(doc_root(d), F_metadata, F_annotations), "kubernetes.io/ingress.class"),
			    ""), "nginx", "the class in the annotation stays there");
	is_str(text_at(res, "spec/rules/0/http/paths/0/backend"),
	       "{\"resource\":{\"apiGroup\":\"g\",\"kind\":\"K\",\"name\":\"n\"}}", "a backend that is no service");
	is_str(text_at(cls, "spec/parameters/scope"), "Cluster", "a class's parameters are the cluster's");
	round_trip(d, "extensions/v1beta1", "an Ingress in extensions/v1beta1");
	round_trip(d, "networking.k8s.io/v1beta1", "an Ingress in networking.k8s.io/v1beta1");
	round_trip(res, "extensions/v1beta1", "one with a resource in extensions/v1beta1");
	round_trip(cls, "networking.k8s.io/v1beta1", "an IngressClass in networking.k8s.io/v1beta1");
}

static void test_policy(void)
{
	_cleanup_doc_ struct doc *np = stored(
		"{'apiVersion':'extensions/v1beta1','kind':'NetworkPolicy','metadata':{'name':'n'},'spec':{'podSelector':{},"
		"'egress':[{'to':[{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.1.0.0/16']}}]}],'ingress':[{'ports':[{'port':80}]}]}}");
	_cleanup_doc_ struct doc *none = stored(
		"{'apiVersion':'policy/v1beta1','kind':'PodDisruptionBudget','metadata':{'name':'p'},'spec':{'selector':{}}}");
	_cleanup_doc_ struct doc *some = stored(
		"{'apiVersion':'policy/v1beta1','kind':'PodDisruptionBudget','metadata':{'name':'p'},'spec':{'minAvailable':1,"
		"'selector':{'matchLabels':{'app':'a'}}}}");
	_cleanup_doc_ struct doc *all = stored(
		"{'apiVersion':'policy/v1','kind':'PodDisruptionBudget','metadata':{'name':'p'},'spec':{'selector':{}}}");
	_cleanup_doc_ struct doc *absent = stored(
		"{'apiVersion':'policy/v1beta1','kind':'PodDisruptionBudget','metadata':{'name':'p'},'spec':{}}");

	is_str(text_at(np, "spec/policyTypes"), "[\"Ingress\",\"Egress\"]", "a NetworkPolicy's types follow its rules");
	is_str(text_at(np, "spec/ingress/0/ports/0/protocol"), "TCP", "ports are TCP");
	round_trip(np, "extensions/v1beta1", "a NetworkPolicy in extensions/v1beta1");
	is_str(text_at(none, "spec/selector"),
	       "{\"matchExpressions\":[{\"key\":\"pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match\","
	       "\"operator\":\"Exists\"}]}", "an empty selector of policy/v1beta1 selects nothing");
	is_str(text_at(some, "spec/selector"), "{\"matchLabels\":{\"app\":\"a\"}}", "another stays");
	is_str(text_at(absent, "spec/selector"), "absent", "none is none");
	round_trip(none, "policy/v1beta1", "one that selects nothing in policy/v1beta1");
	round_trip(some, "policy/v1beta1", "one that selects some in policy/v1beta1");
	round_trip(all, "policy/v1beta1", "one that selects all in policy/v1beta1");
	convert_doc(all, res_of(all), schema_find_api(STR_LIT("policy/v1beta1"), STR_LIT("PodDisruptionBudget")));
	is_str(text_at(all, "spec/selector/matchExpressions/0/operator"), "DoesNotExist", "all is not {} in policy/v1beta1");
}

static void test_rest(void)
{
	_cleanup_doc_ struct doc *cj = stored(
		"{'apiVersion':'batch/v1beta1','kind':'CronJob','metadata':{'name':'c'},'spec':{'schedule':'* * * * *',"
		"'timeZone':'Etc/UTC','jobTemplate':{'metadata':{'labels':{'l':'1'}},'spec':{" TEMPLATE "}}}}");
	_cleanup_doc_ struct doc *es = stored(
		"{'apiVersion':'discovery.k8s.io/v1beta1','kind':'EndpointSlice','metadata':{'name':'e'},'addressType':'IPv4',"
		"'endpoints':[{'addresses':['10.0.0.1'],'nodeName':'n1','topology':{'kubernetes.io/hostname':'n1',"
		"'topology.kubernetes.io/zone':'z','x':'y'}},{'addresses':['10.0.0.2'],'topology':{"
		"'topology.kubernetes.io/zone':'z'}},{'addresses':['10.0.0.3']}],'ports':[{'port':80}]}");

	is_str(text_at(cj, "spec/concurrencyPolicy"), "Allow", "a CronJob's defaults");
	is_str(text_at(cj, "spec/failedJobsHistoryLimit"), "1", "... all of them");
	round_trip(cj, "batch/v1beta1", "a CronJob in batch/v1beta1");
	is_str(text_at(es, "endpoints/0/zone"), "z", "an endpoint's zone is a field");
	is_str(text_at(es, "endpoints/0/deprecatedTopology"), "{\"x\":\"y\"}", "what is no field is kept");
	is_str(text_at(es, "endpoints/1/deprecatedTopology"), "absent", "or nothing");
	is_str(text_at(es, "endpoints/0/topology"), "absent", "topology is gone");
	round_trip(es, "discovery.k8s.io/v1beta1", "an EndpointSlice in discovery.k8s.io/v1beta1");
}

/* Documents that were not decoded: nothing of the right shape is needed. */
static void test_odd(void)
{
	static const char *const bodies[] = { "{}", "{'spec':null}", "{'spec':[]}",
		("{'spec':{'backend':3,'rules':[1,{'http':{'paths':[null,{'backend':[]}]}}],"
		 "'selector':'x','rollbackTo':1}}"),
		"{'endpoints':[1,null,{'topology':[]}]}" };
	size_t n = 0;

	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r)) {
		for (size_t i = 0; i < ARRAY_SIZE(bodies) && r->deprecation; i++) {
			_cleanup_doc_ struct doc *d = parse(bodies[i]);

			convert_doc(d, r, schema_storage(r));
			convert_doc(d, schema_storage(r), r);
			n++;
		}
	}
	is_int(n, 18 * ARRAY_SIZE(bodies), "all dropped versions take what does not fit");
}

int main(void)
{
	test_deployment();
	test_workloads();
	test_ingress();
	test_policy();
	test_rest();
	test_odd();
	return done_testing();
}
