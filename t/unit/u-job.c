/*
 * Jobs: what is decided, by tables; then the controllers over an API server, with
 * this test as the node that ends pods. At every single change of the store it is
 * checked that what is counted and what is left to count make up what happened: so
 * a crash in that moment would lose nothing and count nothing twice.
 */
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctl-cluster.h"
#include "ctl/job.h"

/* --- indexes --- */

static const struct {
	const char *text;
	int64_t completions;
	const char *printed;
	int64_t count;
} sets[] = {
	{ "", 10, "", 0 },
	{ "0", 10, "0", 1 },
	{ "0,1", 10, "0,1", 2 },
	{ "0,1,2", 10, "0-2", 3 },
	{ "1,3-5,7", 10, "1,3-5,7", 5 },
	{ "0-4,5-9", 10, "0-9", 10 },
	{ "7,1-2,4", 10, "1,2,4,7", 4 },
	{ "0-3,2-5", 10, "0-5", 6 },
	{ "3-20", 10, "3-9", 7 },
	{ "3,12,4", 10, "3", 1 },
	{ "a,2,-1,3-x,5-4,8", 10, "2,8", 2 },
	{ "99999999999999999999,1", 10, "1", 1 },
	{ ",,", 10, "", 0 },
};

static void test_indexes(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		_cleanup_buf_ struct buf got = BUF_INIT, what = BUF_INIT;
		job_indexes s = VEC_INIT;

		job_indexes_parse(&s, str_of(sets[i].text), sets[i].completions);
		job_indexes_print(&s, &got);
		buf_addf(&what, "indexes '%s' below %lld", sets[i].text, (long long)sets[i].completions);
		is_str(buf_str(&got).n ? got.s : "", sets[i].printed, what.s);
		is_int(job_indexes_count(&s), sets[i].count, "so many");
		VEC_RELEASE(&s);
	}
}

static void test_members(void)
{
	job_indexes s = VEC_INIT;
	bool right = true;

	job_indexes_parse(&s, STR_LIT("1,3-5,9"), 20);
	for (int64_t i = 0; i < 20; i++)
		right &= job_indexes_has(&s, i) == (i == 1 || (i >= 3 && i <= 5) || i == 9);
	ok(right, "what is in a set");
	ok(!job_indexes_has(&s, -1), "no negative one");
	VEC_RELEASE(&s);
}

static const struct {
	const char *a, *b;
	int64_t common;
} commons[] = {
	{ "0-9", "0-9", 10 }, { "0-4", "5-9", 0 }, { "0-4,8", "3-8", 3 }, { "1,3,5", "0-9", 3 }, { "", "0-9", 0 },
	{ "0-2,4-6", "2-4", 2 },
};

static const struct {
	const char *taken;
	int64_t completions;
	size_t n;
	const char *want;
} missing[] = {
	{ "", 5, 3, "0 1 2 " },	    { "0,1", 5, 9, "2 3 4 " },	    { "1,3", 5, 9, "0 2 4 " },
	{ "0-4", 5, 9, "" },	    { "2-4", 5, 1, "0 " },	    { "1-3", 5, 2, "0 4 " },
	{ "", 0, 4, "" },	    { "", 5, 0, "" },
};

static void test_arithmetic(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(commons); i++) {
		job_indexes a = VEC_INIT, b = VEC_INIT;

		job_indexes_parse(&a, str_of(commons[i].a), 100);
		job_indexes_parse(&b, str_of(commons[i].b), 100);
		is_int(job_indexes_common(&a, &b), commons[i].common, "in both");
		is_int(job_indexes_common(&b, &a), commons[i].common, "the other way round");
		VEC_RELEASE(&a);
		VEC_RELEASE(&b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
		_cleanup_buf_ struct buf got = BUF_INIT;
		job_indexes s = VEC_INIT;
		int64_t out[16];
		size_t n;

		job_indexes_parse(&s, str_of(missing[i].taken), 100);
		n = job_indexes_missing(&s, missing[i].completions, missing[i].n, out);
		for (size_t k = 0; k < n; k++)
			buf_addf(&got, "%lld ", (long long)out[k]);
		is_str(n ? got.s : "", missing[i].want, "the first that are missing");
		VEC_RELEASE(&s);
	}
}

/* --- policies --- */

static struct doc *doc(const char *json)
{
	_cleanup_free_ char *text = xstrdup(json);
	struct err e = ERR_INIT;
	struct doc *d;

	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	BUG_ON(doc_parse_json(&d, str_of(text), NULL, &e) < 0);
	return d;
}

#define ENDED(name, code) "{'name':'" name "','state':{'terminated':{'exitCode':" #code "}}}"
#define CODES(action, op, values, more) "{'action':'" action "','onExitCodes':{'operator':'" op "','values':[" values "]" more "}}"
#define DISRUPTED "{'action':'Ignore','onPodConditions':[{'type':'DisruptionTarget','status':'True'}]}"

static const struct {
	const char *what, *rules, *status;
	enum job_action want;
	const char *why;
} failures[] = {
	{ "no rule", "", "'containerStatuses':[" ENDED("a", 1) "]", JOB_COUNT, NULL },
	{ "a code in the list", CODES("FailJob", "In", "3,42", ""), "'containerStatuses':[" ENDED("a", 0) "," ENDED("b", 42) "]",
	  JOB_FAIL_JOB, "Container b for pod ns/p failed with exit code 42 matching FailJob rule at index 0" },
	{ "a code that is not", CODES("FailJob", "In", "3,42", ""), "'containerStatuses':[" ENDED("a", 4) "]", JOB_COUNT, NULL },
	{ "any code but", CODES("Ignore", "NotIn", "3", ""), "'containerStatuses':[" ENDED("a", 4) "]", JOB_IGNORE, NULL },
	{ "0 is no failure", CODES("Ignore", "NotIn", "3", ""), "'containerStatuses':[" ENDED("a", 0) "]", JOB_COUNT, NULL },
	{ "another container's code", CODES("FailJob", "In", "3", ",'containerName':'a'"),
	  "'containerStatuses':[" ENDED("b", 3) "]", JOB_COUNT, NULL },
	{ "a container that begins others", CODES("FailIndex", "In", "3", ""),
	  "'containerStatuses':[],'initContainerStatuses':[" ENDED("i", 3) "]", JOB_FAIL_INDEX, NULL },
	{ "one that still runs", CODES("FailJob", "NotIn", "0", ""),
	  "'containerStatuses':[{'name':'a','state':{'running':{}}}]", JOB_COUNT, NULL },
	{ "a condition", DISRUPTED, "'conditions':[{'type':'DisruptionTarget','status':'True'}]", JOB_IGNORE, NULL },
	{ "a condition that is not so", DISRUPTED, "'conditions':[{'type':'DisruptionTarget','status':'False'}]", JOB_COUNT,
	  NULL },
	{ "the first rule that matches", CODES("Count", "In", "1", "") "," CODES("FailJob", "In", "1", ""),
	  "'containerStatuses':[" ENDED("a", 1) "]", JOB_COUNT, NULL },
	{ "a later rule", DISRUPTED ",{'action':'FailJob','onPodConditions':[{'type':'ConfigIssue','status':'True'}]}",
	  "'conditions':[{'type':'ConfigIssue','status':'True'}]", JOB_FAIL_JOB,
	  "Pod ns/p has condition ConfigIssue matching FailJob rule at index 1" },
};

static void test_failure_policy(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		_cleanup_free_ char *policy = xasprintf("{'rules':[%s]}", failures[i].rules);
		_cleanup_free_ char *pod = xasprintf("{'metadata':{'name':'p','namespace':'ns'},'status':{%s}}",
						     failures[i].status);
		_cleanup_doc_ struct doc *d = doc(policy), *p = doc(pod);
		_cleanup_buf_ struct buf why = BUF_INIT;

		is_int(job_failure_action(doc_root(d), doc_root(p), &why), failures[i].want, failures[i].what);
		is_str(why.len ? why.s : NULL, failures[i].why, "the message");
	}
}

static const struct {
	const char *what, *rules, *done;
	int64_t want;
} successes[] = {
	{ "nothing yet", "{'succeededCount':0}", "", -1 },
	{ "a count", "{'succeededCount':2}", "3,7", 0 },
	{ "not enough", "{'succeededCount':3}", "3,7", -1 },
	{ "all of some", "{'succeededIndexes':'0,2-4'}", "0,2-5", 0 },
	{ "not all of them", "{'succeededIndexes':'0,2-4'}", "2-5", -1 },
	{ "a count of some", "{'succeededIndexes':'0,2-4','succeededCount':2}", "1-3", 0 },
	{ "the second rule", "{'succeededIndexes':'9'},{'succeededCount':1}", "3", 1 },
	{ "indexes that are none", "{'succeededIndexes':'x'}", "3", -1 },
};

static void test_success_policy(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(successes); i++) {
		_cleanup_free_ char *policy = xasprintf("{'rules':[%s]}", successes[i].rules);
		_cleanup_doc_ struct doc *d = doc(policy);
		job_indexes done = VEC_INIT;

		job_indexes_parse(&done, str_of(successes[i].done), 10);
		is_int(job_success_rule(doc_root(d), 10, &done), successes[i].want, successes[i].what);
		VEC_RELEASE(&done);
	}
}

/* --- back-off --- */

static void test_backoff(void)
{
	static const int64_t waits[] = { 0, 10, 20, 40, 80, 160, 320, 600, 600, 600 };
	struct job_failures f = { 0 };

	for (int64_t i = 0; i < (int64_t)ARRAY_SIZE(waits); i++)
		is_int(job_wait_s(i, 1000, 1000), waits[i], "the wait doubles up to ten minutes");
	is_int(job_wait_s(1, 1000, 1004), 6, "what is left of it");
	is_int(job_wait_s(1, 1000, 2000), 0, "nothing");
	is_int(job_wait_s(1, 5000, 1000), 10, "a clock that is ahead does not lengthen it");
	is_int(job_failures_wait_s(&f, 1000), 0, "without a failure there is none");
	job_failures_note(&f, 1, 1000);
	job_failures_note(&f, 1, 1008);
	is_int(job_failures_wait_s(&f, 1000), 10, "a pod counts once");
	job_failures_note(&f, 2, 990);
	is_int(job_failures_wait_s(&f, 1000), 20, "two");
	job_failures_forget(&f, 995);
	is_int(job_failures_wait_s(&f, 1000), 10, "those before the last success are forgotten");
	job_failures_note(&f, 2, 990);
	is_int((int64_t)f.n, 1, "for good");
	job_failures_forget(&f, 1000);
	is_int((int64_t)f.n, 0, "all of them");
	for (uint64_t i = 0; i < 50; i++)
		job_failures_note(&f, i, 2000 + (int64_t)(i * 7 % 50));
	is_int((int64_t)f.n, JOB_FAILURES, "no more are kept than matter");
	is_int(f.v[0].at_s, 2050 - JOB_FAILURES, "the last ones");
	is_int(f.v[JOB_FAILURES - 1].at_s, 2049, "in order");
	is_int(job_failures_wait_s(&f, 2049), 600, "the longest wait");
}

/* --- how many --- */

static const struct {
	const char *what;
	int64_t completions, parallelism, succeeded, active, want;
	bool suspended;
} wants[] = {
	{ "as many as may run at once", 10, 3, 0, 0, 3, false },
	{ "no more than are left", 10, 3, 8, 1, 2, false },
	{ "none when all are done", 10, 3, 10, 0, 0, false },
	{ "none when too many are done", 10, 3, 12, 0, 0, false },
	{ "none of a suspended one", 10, 3, 0, 3, 0, true },
	{ "none at parallelism 0", 10, 0, 0, 0, 0, false },
	{ "a work queue: all at once", -1, 5, 0, 2, 5, false },
	{ "a work queue: after a success no new ones", -1, 5, 1, 2, 2, false },
	{ "none of none", 0, 5, 0, 0, 0, false },
};

static void test_want(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
		struct job j = { .completions = wants[i].completions, .parallelism = wants[i].parallelism,
				 .succeeded = wants[i].succeeded, .active = wants[i].active,
				 .suspended = wants[i].suspended };

		is_int(job_want(&j), wants[i].want, wants[i].what);
	}
}

/* --- a pod --- */

static void test_pod(void)
{
	_cleanup_doc_ struct doc *text = doc("{'apiVersion':'batch/v1','kind':'Job','metadata':{'uid':'u','namespace':'ns',"
					     "'name':'a-name-that-is-long-but-still-fits-where-a-label-has-to-be-used-x'},"
					     "'spec':{'template':{'spec':{'initContainers':[{'name':'i'}],'containers':[{'name':"
					     "'c','env':[{'name':'JOB_COMPLETION_INDEX','value':'7'}]}]}}}}");
	_cleanup_obj_ struct obj *o = obj_new(schema_res("batch", "jobs"), text, 1);
	struct job j = { .obj = o, .spec = node_get(obj_node(o), F_spec), .indexed = true, .per_index = true };
	_cleanup_doc_ struct doc *plain = job_pod(&j, -1), *d = job_pod(&j, 12);
	const struct node *meta = meta_of(doc_root(d)), *spec = node_get(doc_root(d), F_spec), *var;

	is_str(node_gets(meta_of(doc_root(plain)), F_generateName),
	       "a-name-that-is-long-but-still-fits-where-a-label-has-to-be-used-x-", "a pod's name begins with the Job's");
	ok(!meta_annotation(doc_root(plain), KIDS_INDEX), "it has no index");
	is_str(node_gets(meta, F_generateName), "a-name-that-is-long-but-still-fits-where-a-label-has-t-12-",
	       "one with an index is called by it, at most 63 characters");
	is_str(meta_annotation(doc_root(d), KIDS_INDEX), "12", "the annotation");
	is_str(meta_label(doc_root(d), KIDS_INDEX), "12", "the label");
	is_str(meta_annotation(doc_root(d), JOB_FAILURE_COUNT), "0", "no failure yet");
	is_str(node_gets(spec, F_hostname), "a-name-that-is-long-but-still-fits-where-a-label-has-to-be-used-x-12",
	       "its hostname");
	is_int((int64_t)node_count(node_get(meta, F_finalizers)), 1, "one finalizer");
	ok(node_streq(node_at(node_get(meta, F_finalizers), 0), KIDS_TRACKING), "that of Jobs");
	var = node_at(node_get(node_at(node_get(spec, F_initContainers), 0), F_env), 0);
	is_str(node_gets(node_path(var, F_valueFrom, F_fieldRef), F_fieldPath),
	       "metadata.labels['batch.kubernetes.io/job-completion-index']", "the variable");
	var = node_get(node_at(node_get(spec, F_containers), 0), F_env);
	is_int((int64_t)node_count(var), 1, "is left alone where it is set");
}

/* --- the whole --- */

static struct cluster cluster;

struct play {
	const char *job;
	bool indexed;
	size_t fail; /* of the pods that come first, so many fail; of an indexed Job those of the first indexes */
	size_t most_ended; /* no more than that are ended here; 0: all */
	size_t succeeded, failed; /* pods that were ended */
	size_t succeeding, failing; /* that may have been */
	size_t looks, wrong;
	size_t most; /* uids in the status at once */
};

static size_t uids(const struct node *status, enum field f)
{
	return node_count(node_get(node_get(status, F_uncountedTerminatedPods), f));
}

static struct obj *job_now(const char *name)
{
	return store_get(cluster.store, schema_res("batch", "jobs"), "default", name);
}

static void list_pods(struct store_list *l)
{
	struct err e = ERR_INIT;

	*l = (struct store_list){ .res = schema_res("", "pods"), .ns = "default" };
	BUG_ON(store_list(cluster.store, l, &e) < 0);
}

static bool is_tracked(const struct node *root)
{
	return node_count(node_get(meta_of(root), F_finalizers)) > 0;
}

static bool has_uid(const struct node *status, enum field f, const char *uid)
{
	NODE_FOREACH(u, node_get(node_get(status, F_uncountedTerminatedPods), f))
		if (node_streq(u, uid))
			return true;
	return false;
}

/* Counted, or written down to be counted, or still to be seen: each once. */
static void look(struct play *p)
{
	struct obj *job = job_now(p->job);
	const struct node *status = job ? node_get(obj_node(job), F_status) : NULL;
	size_t good = (size_t)node_int(node_get(status, F_succeeded), 0) + uids(status, F_succeeded);
	size_t bad = (size_t)node_int(node_get(status, F_failed), 0) + uids(status, F_failed), open_good = 0, open_bad = 0;
	job_indexes counted = VEC_INIT;
	struct store_list l;

	if (!job)
		return;
	job_indexes_parse(&counted, node_str(node_get(status, F_completedIndexes)), INT32_MAX);
	list_pods(&l);
	for (size_t i = 0; i < l.n; i++) {
		const struct node *root = obj_node(l.objs[i]);
		const char *phase = node_gets(node_get(root, F_status), F_phase), *uid = l.objs[i]->uid;
		const char *index = meta_annotation(root, KIDS_INDEX);

		if (!is_tracked(root))
			continue;
		open_good += streq(phase, "Succeeded") &&
			     (p->indexed ? !job_indexes_has(&counted, atoi(index)) : !has_uid(status, F_succeeded, uid));
		open_bad += streq(phase, "Failed") && !has_uid(status, F_failed, uid);
	}
	p->looks++;
	if (uids(status, F_succeeded) + uids(status, F_failed) > p->most)
		p->most = uids(status, F_succeeded) + uids(status, F_failed);
	if (good + open_good < p->succeeded || good + open_good > p->succeeded + p->succeeding ||
	    bad + open_bad < p->failed || (!p->most_ended && bad + open_bad > p->failed + p->failing))
		p->wrong++;
	store_list_release(&l);
	VEC_RELEASE(&counted);
}

static struct play play;

static void on_feed(struct call_feed *f, enum watch_type t, struct obj *o)
{
	if (o && (streq(o->res->plural, "jobs") || streq(o->res->plural, "pods")) && play.job)
		look(&play);
}

/* Ends the pods that have not ended, a few at a time, the first ones badly. */
static void end_some(struct play *p)
{
	struct store_list l;

	list_pods(&l);
	for (size_t i = 0; i < l.n && p->succeeding + p->failing < 7; i++) {
		const struct node *root = obj_node(l.objs[i]);
		bool fails = p->failed + p->failing < p->fail;

		if (!streq(node_gets(node_get(root, F_status), F_phase), "Pending") || meta_is_deleting(root))
			continue;
		if (p->most_ended && p->succeeded + p->failed + p->succeeding + p->failing == p->most_ended)
			continue;
		if (p->indexed)
			fails = (size_t)atoi(meta_annotation(root, KIDS_INDEX)) < p->fail;
		cluster_patch(&cluster, "", "pods", "default", l.objs[i]->name, "status",
			      fails ? "{\"status\":{\"phase\":\"Failed\"}}" : "{\"status\":{\"phase\":\"Succeeded\"}}");
		p->failing += fails;
		p->succeeding += !fails;
	}
	store_list_release(&l);
	cluster_wait(&cluster);
	p->failed += p->failing;
	p->succeeded += p->succeeding;
	p->failing = p->succeeding = 0;
}

static bool is_over(struct cluster *c, void *arg)
{
	struct play *p = arg;

	end_some(p);
	return job_is_over(obj_node(job_now(p->job)));
}

static bool nothing(struct cluster *c, void *arg)
{
	return store_count(c->store, schema_res("", "pods"), "default") == 0 &&
	       store_count(c->store, schema_res("batch", "jobs"), "default") == 0;
}

static size_t tracked(void)
{
	struct store_list l;
	size_t n = 0;

	list_pods(&l);
	for (size_t i = 0; i < l.n; i++)
		n += is_tracked(obj_node(l.objs[i]));
	store_list_release(&l);
	return n;
}

static void make(const char *name, const char *spec)
{
	_cleanup_free_ char *json = xasprintf("{'apiVersion':'batch/v1','kind':'Job','metadata':{'name':'%s'},'spec':{%s,"
					      "'template':{'spec':{'restartPolicy':'Never','terminationGracePeriodSeconds':0,"
					      "'containers':[{'name':'c','image':'i'}]}}}}",
					      name, spec);

	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	cluster_create(&cluster, "batch", "jobs", "default", json);
	cluster_wait(&cluster);
}

static void gone(const char *name, const char *how)
{
	cluster_delete(&cluster, "batch", "jobs", "default", name, how);
	cluster_wait(&cluster);
	ok(cluster_until(&cluster, nothing, NULL), "deleted, it leaves no pod");
}

static const struct {
	const char *name, *spec;
	size_t fail, most_ended;
	const char *condition, *reason, *indexes; /* "*": whichever they are */
	int64_t succeeded, failed;
} plays[] = {
	{ "all", "'completions':60,'parallelism':60", 0, 0, "Complete", "CompletionsReached", "", 60, 0 },
	{ "queue", "'parallelism':40,'backoffLimit':50", 15, 0, "Complete", "CompletionsReached", "", 25, 15 },
	{ "numbered", "'completions':50,'parallelism':20,'completionMode':'Indexed'", 0, 0, "Complete", "CompletionsReached",
	  "0-49", 50, 0 },
	{ "bad", "'completions':9,'parallelism':9,'backoffLimit':0", 1, 7, "Failed", "BackoffLimitExceeded", "", 6, 3 },
	{ "lost", "'completions':14,'parallelism':14,'completionMode':'Indexed','backoffLimitPerIndex':0", 3, 0, "Failed",
	  "FailedIndexes", "3-13", 11, 3 },
	{ "enough", "'completions':20,'parallelism':20,'completionMode':'Indexed','successPolicy':{'rules':[{'succeededCount':7}]}",
	  0, 7, "Complete", "SuccessPolicy", "*", 7, 0 },
	{ "nothing", "'completions':0", 0, 0, "Complete", "CompletionsReached", "", 0, 0 },
};

static void test_play(size_t i)
{
	const struct node *status, *c;

	play = (struct play){ .job = plays[i].name, .fail = plays[i].fail, .most_ended = plays[i].most_ended,
			      .indexed = strstr(plays[i].spec, "Indexed") != NULL };
	make(plays[i].name, plays[i].spec);
	if (!ok(cluster_until(&cluster, is_over, &play), plays[i].name))
		return;
	status = node_get(obj_node(job_now(plays[i].name)), F_status);
	c = cond_find(node_get(status, F_conditions), plays[i].condition);
	is_str(node_gets(c, F_reason), plays[i].reason, "ends with the reason");
	if (!streq(plays[i].indexes, "*"))
		is_str(node_gets(status, F_completedIndexes), plays[i].indexes, "and the indexes");
	is_int(node_int(node_get(status, F_succeeded), 0), plays[i].succeeded, "so many succeeded");
	is_int(node_int(node_get(status, F_failed), 0), plays[i].failed, "so many failed");
	is_int((int64_t)(uids(status, F_succeeded) + uids(status, F_failed)), 0, "nothing is left to count");
	is_int((int64_t)tracked(), 0, "no pod is held");
	is_int((int64_t)play.wrong, 0, "it could have crashed at any moment");
	printf("# %zu looks, up to %zu uids\n", play.looks, play.most);
	play.job = NULL;
	gone(plays[i].name, i % 2 ? "Foreground" : "Background");
}

/* More than are counted in one round, or made. */
static void test_big(void)
{
	const struct node *status;
	struct play big = { .job = "big" };

	make("big", "'completions':1100,'parallelism':1100");
	ok(cluster_until(&cluster, is_over, &big), "a big one ends");
	status = node_get(obj_node(job_now("big")), F_status);
	is_int(node_int(node_get(status, F_succeeded), 0), 1100, "all counted");
	is_int((int64_t)big.succeeded, 1100, "none too many");
	gone("big", "Background");
}

static size_t n_pods(void)
{
	return store_count(cluster.store, schema_res("", "pods"), "default");
}

static bool are_there(struct cluster *c, void *arg)
{
	return n_pods() == *(size_t *)arg;
}

static bool is_let_go(struct cluster *c, void *arg)
{
	return tracked() == 0;
}

static bool is_tracked_by_it(struct cluster *c, void *arg)
{
	return tracked() == *(size_t *)arg;
}

static void test_deleted(void)
{
	static const char *const ways[] = { "Foreground", "Background" };
	struct store_list l;
	size_t n = 5;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		make("mid", "'completions':5,'parallelism':5");
		ok(cluster_until(&cluster, are_there, &n), "in mid-work");
		gone("mid", ways[i]);
	}
	make("mid", "'completions':5,'parallelism':5");
	ok(cluster_until(&cluster, are_there, &n), "in mid-work");
	cluster_delete(&cluster, "batch", "jobs", "default", "mid", "Orphan");
	cluster_wait(&cluster);
	ok(cluster_until(&cluster, is_let_go, NULL), "pods that are left behind lose the finalizer");
	is_int((int64_t)n_pods(), 5, "and stay");
	list_pods(&l);
	for (size_t i = 0; i < l.n; i++)
		cluster_delete(&cluster, "", "pods", "default", l.objs[i]->name, NULL);
	store_list_release(&l);
	cluster_wait(&cluster);
	ok(cluster_until(&cluster, nothing, NULL), "until they are deleted");
}

static bool has_n_active(struct cluster *c, void *arg)
{
	return node_int(node_path(obj_node(job_now("own")), F_status, F_active), 0) == *(int64_t *)arg;
}

static void test_adopted(void)
{
	int64_t active = 1;
	size_t n = 1, two = 2;

	cluster_create(&cluster, "", "pods", "default",
		       "{\"metadata\":{\"name\":\"lonely\",\"labels\":{\"app\":\"own\"}},\"spec\":{\"terminationGracePeriodSeconds\":0,"
		       "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
	cluster_wait(&cluster);
	cluster_create(&cluster, "batch", "jobs", "default",
		       "{\"metadata\":{\"name\":\"own\"},\"spec\":{\"manualSelector\":true,\"selector\":{\"matchLabels\":{\"app\":\"own\"}},"
		       "\"template\":{\"metadata\":{\"labels\":{\"app\":\"own\"}},\"spec\":{\"restartPolicy\":\"Never\",\"containers\":"
		       "[{\"name\":\"c\",\"image\":\"i\"}]}}}}");
	cluster_wait(&cluster);
	ok(cluster_until(&cluster, has_n_active, &active), "it takes an orphan that it selects");
	is_int((int64_t)n_pods(), 1, "and makes none");
	ok(cluster_until(&cluster, is_tracked_by_it, &n), "which it tracks from then on");
	cluster_patch(&cluster, "", "pods", "default", "lonely", NULL, "{\"metadata\":{\"labels\":{\"app\":\"free\"}}}");
	cluster_wait(&cluster);
	ok(cluster_until(&cluster, are_there, &two), "relabelled, it is let go and replaced");
	ok(cluster_until(&cluster, is_tracked_by_it, &n), "without the finalizer");
	cluster_delete(&cluster, "", "pods", "default", "lonely", NULL);
	gone("own", "Background");
}

int main(void)
{
	test_indexes();
	test_members();
	test_arithmetic();
	test_failure_policy();
	test_success_policy();
	test_backoff();
	test_want();
	test_pod();
	cluster_up(&cluster);
	{
		struct call_feed feed = { .event = on_feed };

		client_feed(cluster.client, &feed);
		for (size_t i = 0; i < ARRAY_SIZE(plays); i++)
			test_play(i);
		test_deleted();
		test_adopted();
		client_unfeed(cluster.client, &feed);
	}
	test_big();
	cluster_down(&cluster);
	is_int((int64_t)cluster.failed, 0, "no call of ours failed");
	return done_testing();
}
