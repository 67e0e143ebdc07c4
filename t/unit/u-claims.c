/*
 * Which volume serves which claim: schema/claims.h. Documents stand with ' for ".
 */
#include "schema/claims.h"

#include "schema-util.h"
#include "tap.h"

#define VOLUME(more) "{'metadata':{'name':'v','labels':{'disk':'ssd'}},'status':{'phase':'Available'},'spec':{" more "}}"
#define SIMPLE "'capacity':{'storage':'2Gi'},'accessModes':['ReadWriteOnce']"
#define CLAIM(more) "{'metadata':{'name':'c','namespace':'n','uid':'u1'},'spec':{" more "}}"
#define WANT(size, mode) "'resources':{'requests':{'storage':'" size "'}},'accessModes':['" mode "']"
#define PLAIN WANT("1Gi", "ReadWriteOnce")

static const struct {
	const char *what, *volume, *claim;
	enum volume_fit fit;
	const char *mismatch; /* NULL: it could be named */
} pairs[] = {
	{ "a plain one", VOLUME(SIMPLE), CLAIM(PLAIN), VOLUME_FREE, NULL },
	{ "of just the size", VOLUME(SIMPLE), CLAIM(WANT("2147483648", "ReadWriteOnce")), VOLUME_FREE, NULL },
	{ "too small", VOLUME(SIMPLE), CLAIM(WANT("2049Mi", "ReadWriteOnce")), VOLUME_NOT, "requested PV is too small" },
	{ "without the mode", VOLUME(SIMPLE), CLAIM(WANT("1Gi", "ReadWriteMany")), VOLUME_NOT, "incompatible accessMode" },
	{ "ReadWriteOncePod is a mode of its own", VOLUME(SIMPLE), CLAIM(WANT("1Gi", "ReadWriteOncePod")), VOLUME_NOT,
	  "incompatible accessMode" },
	{ "with more modes than wanted",
	  VOLUME("'capacity':{'storage':'2Gi'},'accessModes':['ReadOnlyMany','ReadWriteOnce']"), CLAIM(PLAIN), VOLUME_FREE,
	  NULL },
	{ "of another class", VOLUME(SIMPLE ",'storageClassName':'gold'"), CLAIM(PLAIN), VOLUME_NOT,
	  "storageClassName does not match" },
	{ "class \"\" and none are the same", VOLUME(SIMPLE), CLAIM(PLAIN ",'storageClassName':''"), VOLUME_FREE, NULL },
	{ "the class of the old annotation counts",
	  "{'metadata':{'name':'v','annotations':{'volume.beta.kubernetes.io/storage-class':'old'}},"
	  "'status':{'phase':'Available'},'spec':{" SIMPLE "}}",
	  CLAIM(PLAIN ",'storageClassName':'old'"), VOLUME_FREE, NULL },
	{ "Block for Filesystem", VOLUME(SIMPLE ",'volumeMode':'Block'"), CLAIM(PLAIN), VOLUME_NOT,
	  "incompatible volumeMode" },
	{ "Block for Block", VOLUME(SIMPLE ",'volumeMode':'Block'"), CLAIM(PLAIN ",'volumeMode':'Block'"), VOLUME_FREE, NULL },
	{ "of another attributes class", VOLUME(SIMPLE), CLAIM(PLAIN ",'volumeAttributesClassName':'fast'"), VOLUME_NOT,
	  "volumeAttributesClassName does not match" },
	{ "that the selector selects", VOLUME(SIMPLE), CLAIM(PLAIN ",'selector':{'matchLabels':{'disk':'ssd'}}"),
	  VOLUME_FREE, NULL },
	{ "that the selector leaves out may be named", VOLUME(SIMPLE),
	  CLAIM(PLAIN ",'selector':{'matchExpressions':[{'key':'disk','operator':'NotIn','values':['ssd']}]}"), VOLUME_NOT,
	  NULL },
	{ "not Available yet", "{'spec':{" SIMPLE "}}", CLAIM(PLAIN), VOLUME_NOT, NULL },
	{ "to be deleted",
	  "{'metadata':{'name':'v','deletionTimestamp':'2020-01-01T00:00:00Z'},'status':{'phase':'Available'},"
	  "'spec':{" SIMPLE "}}",
	  CLAIM(PLAIN), VOLUME_NOT, NULL },
	{ "kept for the claim, whatever class it has",
	  VOLUME(SIMPLE ",'storageClassName':'gold','claimRef':{'namespace':'n','name':'c'}"),
	  CLAIM(PLAIN ",'selector':{'matchLabels':{'disk':'none'}}"), VOLUME_KEPT, "storageClassName does not match" },
	{ "kept for this very one", VOLUME(SIMPLE ",'claimRef':{'namespace':'n','name':'c','uid':'u1'}"), CLAIM(PLAIN),
	  VOLUME_KEPT, NULL },
	{ "kept for an earlier one of that name", VOLUME(SIMPLE ",'claimRef':{'namespace':'n','name':'c','uid':'u0'}"),
	  CLAIM(PLAIN), VOLUME_NOT, NULL },
	{ "kept for one of another namespace", VOLUME(SIMPLE ",'claimRef':{'namespace':'m','name':'c'}"), CLAIM(PLAIN),
	  VOLUME_NOT, NULL },
	{ "kept for it, but too small", VOLUME(SIMPLE ",'claimRef':{'namespace':'n','name':'c'}"),
	  CLAIM(WANT("3Gi", "ReadWriteOnce")), VOLUME_NOT, "requested PV is too small" },
	{ "kept for it, but of another mode", VOLUME(SIMPLE ",'claimRef':{'namespace':'n','name':'c'}"),
	  CLAIM(PLAIN ",'volumeMode':'Block'"), VOLUME_NOT, "incompatible volumeMode" },
};

static void test_pairs(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		_cleanup_doc_ struct doc *v = parse(pairs[i].volume), *c = parse(pairs[i].claim);
		const char *why = volume_mismatch(doc_root(v), doc_root(c));

		if (!ok(volume_fits(doc_root(v), doc_root(c)) == pairs[i].fit && streq_null(why, pairs[i].mismatch),
			pairs[i].what))
			printf("# %d, %s\n", volume_fits(doc_root(v), doc_root(c)), why ? why : "-");
	}
}

static void test_best(void)
{
	_cleanup_doc_ struct doc *small = parse(VOLUME("'capacity':{'storage':'1Gi'},'accessModes':['a','b']")),
				 *large = parse(VOLUME("'capacity':{'storage':'9Gi'},'accessModes':['a']"));
	const struct node *s = doc_root(small), *l = doc_root(large);

	ok(volume_is_smaller(s, l) && !volume_is_smaller(l, s) && !volume_is_smaller(s, s), "the smaller");
	ok(volume_is_better(l, s) && !volume_is_better(s, l), "the one with fewer modes, though it is larger");
	ok(volume_is_smaller(l, NULL) && volume_is_better(l, NULL), "any, when there is none");
}

static void test_unbind(void)
{
	_cleanup_doc_ struct doc *ours = parse("{'metadata':{'annotations':{'pv.kubernetes.io/bound-by-controller':'yes'}},"
					       "'spec':{'claimRef':{'name':'c','uid':'u'}}}"),
				 *kept = parse("{'spec':{'claimRef':{'name':'c','uid':'u'}}}");

	volume_unbind(ours);
	ok(!node_path(doc_root(ours), F_spec, F_claimRef) && !meta_annotation(doc_root(ours), BOUND_BY_CONTROLLER),
	   "a volume that the binder chose is free for all");
	volume_unbind(kept);
	ok(node_streq(node_path(doc_root(kept), F_spec, F_claimRef, F_name), "c") &&
		   !node_path(doc_root(kept), F_spec, F_claimRef, F_uid),
	   "one that was made for a claim is still kept for that name");
}

#define AFFINITY(terms) "{'spec':{'nodeAffinity':{'required':{'nodeSelectorTerms':[" terms "]}}}}"
#define HOST(op, values) "{'matchExpressions':[{'key':'kubernetes.io/hostname','operator':'" op "','values':[" values "]}]}"

static void is_node(const char *volume, const char *want, const char *what)
{
	_cleanup_doc_ struct doc *d = parse(volume);

	ok(streq_null(volume_node(doc_root(d)), want), what);
}

static void test_node(void)
{
	is_node(AFFINITY(HOST("In", "'n1'")), "n1", "the node of a volume");
	is_node(AFFINITY(HOST("In", "'n1','n2'")), NULL, "one that two nodes have is no node's");
	is_node(AFFINITY(HOST("NotIn", "'n1'")), NULL, "nor is one that a node has not");
	is_node(AFFINITY(HOST("In", "'n1'") "," HOST("In", "'n2'")), NULL, "nor one with a choice");
	is_node("{'spec':{}}", NULL, "nor one without affinity");
}

static bool is_default(const char *notes)
{
	_cleanup_free_ char *text = xasprintf("{'metadata':{'annotations':{%s}}}", notes);
	_cleanup_doc_ struct doc *d = parse(text);

	return class_is_default(doc_root(d));
}

static void test_classes(void)
{
	_cleanup_doc_ struct doc *a = parse("{'metadata':{'name':'a','creationTimestamp':'2020-01-01T00:00:00Z'}}"),
				 *b = parse("{'metadata':{'name':'b','creationTimestamp':'2020-01-01T00:00:00Z'}}"),
				 *c = parse("{'metadata':{'name':'c','creationTimestamp':'2021-01-01T00:00:00Z'}}"),
				 *node = parse("{'metadata':{'name':'n','labels':{'zone':'z1','disk':'ssd'}}}"),
				 *zones = parse("{'allowedTopologies':[{'matchLabelExpressions':[{'key':'zone','values':["
						"'z1','z2']},{'key':'disk','values':['ssd']}]}]}"),
				 *others = parse("{'allowedTopologies':[{'matchLabelExpressions':[{'key':'zone','values':["
						 "'z3']}]},{'matchLabelExpressions':[{'key':'no','values':['x']}]}]}");
	struct place p = place_of(doc_root(node));

	ok(is_default("'storageclass.kubernetes.io/is-default-class':'true'") &&
		   is_default("'storageclass.beta.kubernetes.io/is-default-class':'true'") &&
		   !is_default("'storageclass.kubernetes.io/is-default-class':'false'") && !is_default(""),
	   "which class is the default one");
	ok(class_is_newer(doc_root(c), doc_root(a)) && !class_is_newer(doc_root(a), doc_root(c)), "the newest of two");
	ok(class_is_newer(doc_root(a), doc_root(b)) && !class_is_newer(doc_root(b), doc_root(a)), "or the first by name");
	ok(class_allows(doc_root(a), &p) && class_allows(doc_root(zones), &p) && !class_allows(doc_root(others), &p),
	   "allowedTopologies");
}

static void is_claim(const char *volume, const char *want, const char *what)
{
	_cleanup_doc_ struct doc *d = parse(volume);
	_cleanup_free_ char *got = volume_claim_name(doc_root(d), "pod");

	ok(streq_null(got, want) && volume_has_claim(doc_root(d)) == (want != NULL) &&
		   volume_uses_claim(doc_root(d), "pod", "pod-v") == streq_null(want, "pod-v"),
	   what);
}

static void test_names(void)
{
	is_claim("{'name':'v','persistentVolumeClaim':{'claimName':'data'}}", "data", "the claim that a pod's volume names");
	is_claim("{'name':'v','ephemeral':{}}", "pod-v", "the claim of a volume of its own");
	is_claim("{'name':'v','emptyDir':{}}", NULL, "a volume without");
}

int main(void)
{
	test_pairs();
	test_best();
	test_unbind();
	test_node();
	test_classes();
	test_names();
	return done_testing();
}
