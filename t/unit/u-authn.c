/*
 * Who asks, piece by piece: JSON Web Tokens and what ends them, audiences, lists
 * of groups; the audit policy's choices and the names of files set aside.
 */
#include "tap.h"

#include <stdio.h>

#include "api/audit.h"
#include "base/time.h"
#include "http/http.h"

#define ISSUER "https://one.example"
#define OLD_ISSUER "https://old.example"

static struct loop *loop;
static struct store *store;
static struct api *api;
static struct call_server *inside;
static struct arena *arena;
static char *key_pem;
static char sa_uid[37], secret_uid[37];

/* --- a server --- */

static bool flag;

static void raise_flag(void *arg)
{
	flag = true;
}

static bool is_volatile(const struct resource *r)
{
	return ((const struct schema_res *)r)->volatile_tier;
}

static void set_up(void)
{
	static VEC(const struct resource *) rs = VEC_INIT;
	static const char *const issuers[] = { ISSUER, OLD_ISSUER, NULL }, *const audiences[] = { "api", "kinglet", NULL };
	static const char *const groups[] = { "system:masters", NULL };
	struct store_config sc = { .is_volatile = is_volatile };
	struct api_config ac = { .admin_token = "secret", .version = "v1.36.2", .server_address = "192.0.2.1:6443",
				 .service_cidr = "10.43.0.0/16", .sa_issuers = issuers, .api_audiences = audiences };
	struct err e = ERR_INIT;

	for (const struct schema_res *s = schema_next(NULL); s; s = schema_next(s))
		if (!s->is_virtual && s->served && schema_storage(s) == s)
			VEC_PUSH(&rs, &s->r);
	arena = arena_new();
	loop = sc.loop = ac.loop = loop_new();
	sc.resources = rs.v;
	sc.n_resources = rs.n;
	BUG_ON(store_open(&store, &sc, &e) < 0 || tls_make_key(&key_pem, &e) < 0);
	ac.store = store;
	ac.sa_key_pem = key_pem;
	BUG_ON(api_new(&api, &ac, &e) < 0);
	api_start(api, raise_flag, NULL);
	while (!flag)
		loop_turn(loop, 1000);
	inside = api_call_server(api, "tester", groups);
}

static void tear_down(void)
{
	api_free(api);
	store_close(store);
	loop_free(loop);
	arena_free(arena);
	free(key_pem);
}

static void call_done(struct call *c, const struct err *err)
{
	if (err)
		printf("# %s\n", err_msg(err));
	if (c->arg && c->obj)
		snprintf(c->arg, 37, "%s", c->obj->uid);
	flag = true;
}

static void act(enum verb verb, const char *plural, const char *name, const char *json, char uid[37])
{
	struct call c = { .verb = verb, .res = schema_res("", plural), .ns = "default", .name = name, .done = call_done,
			  .arg = uid };
	struct err e = ERR_INIT;

	if (json)
		BUG_ON(doc_parse_json(&c.body, str_of(json), NULL, &e) < 0);
	flag = false;
	inside->submit(inside, &c);
	while (!flag)
		loop_turn(loop, 1000);
	doc_unref(c.body);
}

/* --- tokens --- */

static const char *sign(struct jwt_key *k, const char *claims)
{
	static struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	buf_clear(&b);
	BUG_ON(jwt_sign(k, str_of(claims), &b, &e) < 0);
	return b.s;
}

static const char *claims(const char *issuer, int64_t exp, int64_t nbf, const char *aud, const char *more)
{
	static char text[1000];
	int64_t now = time_wall_s();

	snprintf(text, sizeof(text),
		 "{\"aud\":%s,\"exp\":%lld,\"iat\":%lld,\"iss\":\"%s\",\"kubernetes.io\":{\"namespace\":\"default\","
		 "\"serviceaccount\":{\"name\":\"robot\",\"uid\":\"%s\"}%s},\"nbf\":%lld}",
		 aud, (long long)(now + exp), (long long)now, issuer, sa_uid, more, (long long)(now + nbf));
	return text;
}

static struct token_answer ans;

static bool good(const char *token)
{
	authn_token(api, arena, str_of(token), NULL, &ans);
	return ans.user;
}

static bool good_claims(const char *text)
{
	return good(sign(api->jwt, text));
}

static void is_why(const char *want, const char *what)
{
	is_str(ans.why ? ans.why : "(nothing)", want, what);
}

static void test_times(void)
{
	ok(good_claims(claims(ISSUER, 600, 0, "[\"api\"]", "")), "a good token");
	is_str(ans.user->name, "system:serviceaccount:default:robot", "its user");
	is_str(ans.user->uid, sa_uid, "its UID");
	ok(user_in_group(ans.user, "system:serviceaccounts:default") && user_in_group(ans.user, "system:authenticated"),
	   "its groups");
	ok(good_claims(claims(OLD_ISSUER, 600, 0, "\"api\"", "")), "a further issuer's, with one audience that is no list");
	ok(!good_claims(claims("https://two.example", 600, 0, "[\"api\"]", "")), "another issuer's");
	is_why("(nothing)", "is none of ours");
	ok(!good_claims(claims(ISSUER, -61, 0, "[\"api\"]", "")), "one that has expired");
	is_why("service account token has expired", "says so");
	ok(good_claims(claims(ISSUER, -50, 0, "[\"api\"]", "")), "clocks may differ by a minute");
	ok(!good_claims(claims(ISSUER, 600, 70, "[\"api\"]", "")), "one for later");
	is_why("service account token is not valid yet", "says so");
	ok(!good_claims("{\"aud\":[\"api\"],\"iss\":\"" ISSUER "\",\"kubernetes.io\":{\"namespace\":\"default\"}}"), "one without an end");
	ok(!good_claims("[]") && !good_claims("{}") && !good_claims("7"), "claims of another shape");
	ok(!good_claims("{\"iss\":{\"a\":1},\"aud\":{},\"exp\":\"x\"}"), "claims of wrong types");
	ok(!good_claims("{\"iss\":\"" ISSUER "\",\"aud\":[7],\"exp\":1e400,\"kubernetes.io\":[]}"), "odd numbers");
}

static void test_audiences(void)
{
	const char *const vault[] = { "vault", NULL }, *const both[] = { "x", "kinglet", "api", NULL };

	ok(!good_claims(claims(ISSUER, 600, 0, "[\"vault\",\"x\"]", "")), "for others");
	is_why("token audiences [\"vault\" \"x\"] is invalid for the target audiences [\"api\" \"kinglet\"]", "in Go's words");
	authn_token(api, arena, str_of(sign(api->jwt, claims(ISSUER, 600, 0, "[\"vault\"]", ""))), vault, &ans);
	ok(ans.user && !ans.audiences[1], "good for whom it is for");
	is_str(ans.audiences[0], "vault", "and for nobody else");
	authn_token(api, arena, STR_LIT("secret"), both, &ans);
	ok(ans.user && ans.audiences[0] && ans.audiences[1] && !ans.audiences[2], "the administrator's is for the API's own");
	authn_token(api, arena, STR_LIT("secret"), vault, &ans);
	ok(!ans.user, "and for nobody else");
	ok(!good_claims(claims(ISSUER, 600, 0, "[]", "")), "for nobody");
}

static void test_bound(void)
{
	char more[200];

	act(VERB_CREATE, "secrets", NULL, "{\"metadata\":{\"name\":\"s\"}}", secret_uid);
	snprintf(more, sizeof(more), ",\"secret\":{\"name\":\"s\",\"uid\":\"%s\"}", secret_uid);
	ok(good_claims(claims(ISSUER, 600, 0, "[\"api\"]", more)), "bound to a Secret that is there");
	ok(!good_claims(claims(ISSUER, 600, 0, "[\"api\"]", ",\"secret\":{\"name\":\"s\",\"uid\":\"0\"}")), "to another of its name");
	ok(ans.why && strstr(ans.why, "does not match service account secret ref claim (0)"), "says so");
	ok(!good_claims(claims(ISSUER, 600, 0, "[\"api\"]", ",\"pod\":{\"name\":\"none\",\"uid\":\"0\"}")), "to a pod that is gone");
	is_why("service account token has been invalidated", "says so");
	ok(!good_claims(claims(ISSUER, 600, 0, "[\"api\"]", ",\"node\":{\"name\":\"none\",\"uid\":\"0\"}")), "to a node that is gone");
	act(VERB_DELETE, "secrets", "s", NULL, NULL);
	ok(!good_claims(claims(ISSUER, 600, 0, "[\"api\"]", more)), "the Secret is deleted");
	act(VERB_CREATE, "secrets", NULL,
	    "{\"metadata\":{\"name\":\"s\",\"finalizers\":[\"a.example/b\"]},\"data\":{\"token\":\"eA==\"}}", secret_uid);
	snprintf(more, sizeof(more), ",\"secret\":{\"name\":\"s\",\"uid\":\"%s\"}", secret_uid);
	act(VERB_DELETE, "secrets", "s", NULL, NULL);
	ok(good_claims(claims(ISSUER, 600, 0, "[\"api\"]", more)), "deleted a moment ago, and a finalizer keeps it");
}

static void test_warn_after(void)
{
	char more[100];

	snprintf(more, sizeof(more), ",\"warnafter\":%lld", (long long)time_wall_s() + 60);
	ok(good_claims(claims(ISSUER, 600, 0, "[\"api\"]", more)) && !ans.note, "an extended token in its time");
	snprintf(more, sizeof(more), ",\"warnafter\":%lld", (long long)time_wall_s() - 60);
	ok(good_claims(claims(ISSUER, 600, 0, "[\"api\"]", more)), "and after it");
	is_str(ans.note_key ? ans.note_key : "", "authentication.k8s.io/stale-token", "which the audit log is told");
}

static void test_signatures(void)
{
	static const char none[] = "eyJhbGciOiJub25lIn0"; /* {"alg":"none"} */
	_cleanup_free_ char *token = xstrdup(sign(api->jwt, claims(ISSUER, 600, 0, "[\"api\"]", ""))), *other = NULL, *pem = NULL;
	char *dot = strrchr(token, '.'), *end = token + strlen(token);
	struct jwt_key *k = NULL;
	struct err e = ERR_INIT;

	BUG_ON(tls_make_key(&pem, &e) < 0 || jwt_key_new(&k, pem, &e) < 0);
	ok(good(token), "the key's own");
	ok(!good(sign(k, claims(ISSUER, 600, 0, "[\"api\"]", ""))), "another key's");
	jwt_key_free(k);
	end[-2] = end[-2] == 'A' ? 'B' : 'A';
	ok(!good(token), "a signature that was changed");
	*dot = '\0';
	ok(!good(token), "none");
	other = xasprintf("%s%s.", none, strchr(token, '.'));
	ok(!good(other), "alg none");
	authn_token(api, arena, str_n("a\0b", 3), NULL, &ans);
	ok(!ans.user, "a NUL inside");
	authn_token(api, arena, str_n("secret\0", 7), NULL, &ans);
	ok(!ans.user, "a NUL behind the administrator's");
	ok(!good("") && !good(".") && !good("..") && !good("...."), "dots");
}

/* --- the audit policy --- */

static struct audit_policy *policy(const char *text)
{
	struct audit_policy *p = NULL;
	struct err e = ERR_INIT;

	if (audit_policy_parse(&p, str_of(text), &e) < 0) {
		printf("# %s\n", err_msg(&e));
		err_release(&e);
	}
	return p;
}

static int level(const struct audit_policy *p, const char *user, const char *verb, const char *group, const char *resource,
		 const char *sub, const char *ns, const char *name, const char *path)
{
	static const char *groups[] = { "devs", "system:authenticated", NULL };
	struct user u = { .name = user, .uid = "", .groups = groups };
	struct attrs at = { verb, group, "v1", resource, sub, ns, name, path };

	return (int)audit_policy_choose(p, *user ? &u : NULL, &at).level;
}

static void test_policy_rules(void)
{
	struct audit_policy *p = policy(
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n"
		"- {level: None, users: [kubelet, scheduler], verbs: [watch]}\n"
		"- {level: Request, userGroups: [devs], resources: [{group: apps}]}\n"
		"- {level: RequestResponse, resources: [{group: '', resources: [pods/log, 'nodes/*', '*/scale', configmaps]}]}\n"
		"- {level: None, resources: [{group: '', resources: [secrets], resourceNames: [a, b]}]}\n"
		"- {level: Metadata, namespaces: ['', kube-system], omitStages: [ResponseStarted]}\n"
		"- {level: None, nonResourceURLs: [/healthz*, /version]}\n"
		"- {level: Metadata, nonResourceURLs: ['*']}\n");
	struct attrs at = { "get", "", "v1", "services", "", "kube-system", "", NULL };
	struct audit_choice c;

	ok(p, "a policy");
	is_int(level(p, "kubelet", "watch", "", "pods", "", "a", "", NULL), AUDIT_NONE, "a user's verb");
	is_int(level(p, "kubelet", "list", "apps", "deployments", "", "a", "", NULL), AUDIT_REQUEST, "a group of users, a whole API group");
	is_int(level(p, "", "list", "apps", "deployments", "", "a", "", NULL), AUDIT_NONE, "nobody is in no group");
	is_int(level(p, "x", "get", "", "pods", "log", "a", "p", NULL), AUDIT_REQUEST_RESPONSE, "a subresource");
	is_int(level(p, "x", "get", "", "pods", "", "a", "p", NULL), AUDIT_NONE, "is not the resource");
	is_int(level(p, "x", "get", "", "nodes", "status", "", "n", NULL), AUDIT_REQUEST_RESPONSE, "all of a resource's subresources");
	is_int(level(p, "x", "get", "", "nodes", "", "", "n", NULL), AUDIT_REQUEST_RESPONSE, "and itself, as Kubernetes has it");
	is_int(level(p, "x", "get", "", "things", "scale", "a", "n", NULL), AUDIT_REQUEST_RESPONSE, "a subresource of all");
	is_int(level(p, "x", "get", "", "configmapsx", "", "a", "n", NULL), AUDIT_NONE, "a name that only begins so");
	is_int(level(p, "x", "get", "", "secrets", "", "kube-system", "b", NULL), AUDIT_NONE, "objects by name");
	is_int(level(p, "x", "get", "", "secrets", "", "kube-system", "c", NULL), AUDIT_METADATA, "another name goes on to the next rule");
	is_int(level(p, "x", "get", "x", "clusters", "", "", "", NULL), AUDIT_METADATA, "what has no namespace");
	is_int(level(p, "x", "get", "", "", "", "", "", "/healthz/ping"), AUDIT_NONE, "a URL with a star");
	is_int(level(p, "x", "get", "", "", "", "", "", "/version/"), AUDIT_METADATA, "a URL without one is whole");
	c = audit_policy_choose(p, NULL, &at);
	is_int(c.omit_stages, 1 << AUDIT_RECEIVED | 1 << AUDIT_STARTED, "stages left out by the policy and by the rule");
	audit_policy_free(p);
}

static void test_policy_text(void)
{
	static const char *const bad[] = {
		"", "7", "[]", "kind: Policy", "a: b: c", "apiVersion: audit.k8s.io/v1\nkind: Policy",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: {}", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [7]",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: none}]",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, users: [7]}]",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n---\napiVersion: audit.k8s.io/v1\n",
	};
	struct audit_policy *p;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		p = policy(bad[i]);
		ok(!p, "no policy");
		audit_policy_free(p);
	}
	p = policy("{\"apiVersion\":\"audit.k8s.io/v1\",\"kind\":\"Policy\",\"rules\":[{\"level\":\"Metadata\"}]}");
	is_int(level(p, "", "get", "", "x", "", "", "", NULL), AUDIT_METADATA, "JSON is fine, and a rule of nothing matches all");
	audit_policy_free(p);
}

static void test_backup_names(void)
{
	static const struct {
		const char *path, *want;
	} rows[] = {
		{ "/d/audit.log", "/d/audit-2026-11-28T04-12-05.007.log" },
		{ "audit", "audit-2026-11-28T04-12-05.007" },
		{ "/a.b/audit", "/a.b/audit-2026-11-28T04-12-05.007" },
		{ "/d/a.b.log", "/d/a.b-2026-11-28T04-12-05.007.log" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *name = audit_log_backup_name(rows[i].path, 1795839125007);

		is_str(name, rows[i].want, rows[i].path);
	}
}

int main(void)
{
	set_up();
	act(VERB_CREATE, "serviceaccounts", NULL, "{\"metadata\":{\"name\":\"robot\"}}", sa_uid);
	test_times();
	test_audiences();
	test_bound();
	test_warn_after();
	test_signatures();
	test_policy_rules();
	test_policy_text();
	test_backup_names();
	tear_down();
	return done_testing();
}
