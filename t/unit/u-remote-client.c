/*
 * The remote client: all verbs against an API server in this process, watches that
 * go on over other connections, and servers that answer badly, late or not at all.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/vec.h"
#include "client/client.h"
#include "http/http.h"
#include "schema/schema.h"
#include "store/store.h"
#include "memory-store.h"
#include "tap.h"

static struct loop *loop;
static struct store *store;
static struct api *api;
static struct http_server *server;
static struct client *client;
static int port;
static char *sa_key;
static bool is_ready;
static const struct resource *maps, *pods;

static void turns(bool (*until)(void))
{
	for (int i = 0; i < 20000 && !until(); i++)
		loop_turn(loop, 5);
}

/* --- a real server --- */

static void on_ready(void *arg)
{
	is_ready = true;
}

static void open_store(void)
{
	store = memory_store(loop, NULL);
}

static void listen_again(void)
{
	struct http_server_config hc = { .loop = loop, .on_request = api_on_request, .arg = api };
	struct err e = ERR_INIT;

	server = http_server_new(&hc);
	BUG_ON(http_server_listen(server, "127.0.0.1", port, &port, &e) < 0);
}

static struct client *client_to(int to, const char *token, int timeout_ms)
{
	_cleanup_free_ char *url = xasprintf("http://127.0.0.1:%d", to);
	struct client_remote_config cfg = { .loop = loop, .server = url, .token = token, .user_agent = "tester/1",
					    .max_connections = 3, .timeout_ms = timeout_ms };
	struct err e = ERR_INIT;
	struct client *c = NULL;

	BUG_ON(client_new_remote(&c, &cfg, &e) < 0);
	return c;
}

static void set_up(void)
{
	static const char *const issuers[] = { "https://kubernetes.default.svc.cluster.local", NULL };
	struct err e = ERR_INIT;
	struct api_config ac = { .admin_token = "secret", .version = "v1.36.2+kinglet1",
				 .server_address = "192.0.2.1:6443", .service_cidr = "10.43.0.0/16",
				 .sa_issuers = issuers };

	loop = loop_new();
	open_store();
	BUG_ON(tls_make_key(&sa_key, &e) < 0);
	ac.loop = loop;
	ac.store = store;
	ac.sa_key_pem = sa_key;
	BUG_ON(api_new(&api, &ac, &e) < 0);
	listen_again();
	api_start(api, on_ready, NULL);
	while (!is_ready)
		loop_turn(loop, 1000);
	client = client_to(port, "secret", 0);
	maps = schema_res("", "configmaps");
	pods = schema_res("", "pods");
}

/* --- one call at a time --- */

static struct {
	bool done;
	struct err err;
	struct obj *obj;
	size_t n;
	int64_t rv;
	char first[64], last[64], cont[512];
	const char *kind;
} ans;

static bool answered(void)
{
	return ans.done;
}

static void ans_clear(void)
{
	ans.obj = obj_unref(ans.obj);
	err_release(&ans.err);
	memset(&ans, 0, sizeof(ans));
}

static void on_done(struct call *c, const struct err *err)
{
	ans.done = true;
	if (err)
		err_copy(&ans.err, err);
	ans.obj = !err && c->obj ? obj_ref(c->obj) : NULL;
	ans.n = c->n_list;
	ans.rv = c->list_rv;
	if (!err && c->n_list) {
		snprintf(ans.first, sizeof(ans.first), "%s", c->list[0]->name);
		snprintf(ans.last, sizeof(ans.last), "%s", c->list[c->n_list - 1]->name);
		ans.kind = c->list[0]->res->kind;
	}
	snprintf(ans.cont, sizeof(ans.cont), "%s", c->continue_out ? c->continue_out : "");
}

static void ask(struct client *cl, struct call *c)
{
	ans_clear();
	c->done = on_done;
	client_submit(cl, c);
	ok(!ans.done, "nothing is told inside submit");
	turns(answered);
	ok(ans.done, "an answer came");
}

static struct doc *json(const char *text)
{
	struct err e = ERR_INIT;
	struct doc *d;

	BUG_ON(doc_parse_json(&d, str_of(text), NULL, &e) < 0);
	return d;
}

static void with_body(struct call *c, const char *text)
{
	_cleanup_doc_ struct doc *d = json(text);

	c->body = d;
	ask(client, c);
	c->body = NULL;
}

static const char *data(const char *key)
{
	return node_cstr_or(node_getc(node_get(obj_node(ans.obj), F_data), key), "");
}

static void test_verbs(void)
{
	struct call c = { .verb = VERB_CREATE, .res = maps, .ns = "default" };
	char uid[40];

	with_body(&c, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}");
	ok(ans.obj && ans.obj->rv > 0 && *ans.obj->uid, "create gives the object");
	is_str(ans.obj->name, "a", "with its name");
	ok(obj_json_has(ans.obj, "\"manager\":\"tester\""), "the user agent is the manager's name");
	snprintf(uid, sizeof(uid), "%s", ans.obj->uid);
	with_body(&c, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}");
	is_int(ans.err.reason, ERR_ALREADY_EXISTS, "again: it is there");
	is_str(err_msg(&ans.err), "configmaps \"a\" already exists", "in the server's words");
	is_str(ans.err.name, "a", "about whom");
	c = (struct call){ .verb = VERB_GET, .res = maps, .ns = "default", .name = "a" };
	ask(client, &c);
	is_str(data("k"), "v", "get");
	c.name = "no/such?one";
	ask(client, &c);
	is_int(ans.err.reason, ERR_NOT_FOUND, "a name that would be a path is a name");
	c = (struct call){ .verb = VERB_PATCH, .res = maps, .ns = "default", .name = "a", .opts = { .patch_type = PATCH_MERGE } };
	with_body(&c, "{\"data\":{\"k\":\"w\",\"l\":\"ä&=\"}}");
	is_str(data("k"), "w", "merge patch");
	c.opts.patch_type = PATCH_JSON;
	with_body(&c, "[{\"op\":\"remove\",\"path\":\"/data/k\"}]");
	is_str(data("k"), "", "JSON patch");
	is_str(data("l"), "ä&=", "and all else stays");
	c.opts = (struct call_opts){ .patch_type = PATCH_APPLY, .field_manager = "m & n", .force = true };
	with_body(&c, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},\"data\":{\"x\":\"y\"}}");
	ok(ans.obj && obj_json_has(ans.obj, "\"manager\":\"m & n\""), "apply, in a manager's name");
	c = (struct call){ .verb = VERB_UPDATE, .res = maps, .ns = "default", .name = "a" };
	with_body(&c, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"}}");
	is_int(ans.err.reason, ERR_CONFLICT, "update of an old state");
	with_body(&c, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},\"data\":{\"z\":\"1\"}}");
	is_str(data("z"), "1", "update");
	c = (struct call){ .verb = VERB_DELETE, .res = maps, .ns = "default", .name = "a", .opts = { .precond_uid = "other" } };
	ask(client, &c);
	is_int(ans.err.reason, ERR_CONFLICT, "delete of another one");
	c.opts.precond_uid = uid;
	ask(client, &c);
	ok(!err_is_set(&ans.err) && !ans.obj, "delete: done, and a Status is no object");
	ask(client, &c);
	is_int(ans.err.reason, ERR_NOT_FOUND, "gone");
	c = (struct call){ .verb = VERB_CREATE, .res = maps, .ns = "default" };
	with_body(&c, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"p\"},\"data\":{\"a/b\":\"\",\"c/d\":\"\"}}");
	is_int(ans.err.reason, ERR_INVALID, "what does not validate");
	ok(ans.err.causes && ans.err.causes->next, "comes with its causes");
	c = (struct call){ .verb = VERB_CONNECT, .res = pods, .ns = "default", .name = "p" };
	ask(client, &c);
	is_int(ans.err.reason, ERR_METHOD_NOT_ALLOWED, "streams are not its business");
}

/* --- lists --- */

static int n_made, n_wrong;

static bool all_made(void)
{
	return n_made == 1203;
}

static void on_made(void *arg, struct obj *o, const struct err *err)
{
	n_made++;
	n_wrong += err || !o;
}

static void test_lists(void)
{
	struct call c = { .verb = VERB_LIST, .res = maps, .ns = "default" };

	for (int i = 0; i < 1203; i++) {
		_cleanup_free_ char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
						      "\"m-%04d\",\"labels\":{\"odd\":\"%d\"}}}", i, i % 2);

		client_create(client, maps, "default", json(text), on_made, NULL);
	}
	turns(all_made);
	is_int(n_made - n_wrong, 1203, "over a thousand calls at once share few connections");
	ok(http_server_connections(server) <= 4, "as many as were allowed");
	ask(client, &c);
	is_int((long long)ans.n, 1203, "a list without a limit is gathered from its pages");
	ok(ans.rv > 0 && !*ans.cont, "with a revision, and nothing left");
	is_str(ans.kind, "ConfigMap", "of objects that know what they are");
	c.opts.limit = 10;
	ask(client, &c);
	is_int((long long)ans.n, 10, "with a limit it is a page");
	ok(*ans.cont, "and a token for the next");
	{
		char cont[512];

		snprintf(cont, sizeof(cont), "%s", ans.cont);
		c.opts.continue_token = cont;
		ask(client, &c);
		is_str(ans.first, "m-0010", "which goes on there");
		c.opts.continue_token = NULL;
	}
	c.opts = (struct call_opts){ .label_selector = "odd in (1)", .field_selector = "metadata.name!=m-0001" };
	ask(client, &c);
	is_int((long long)ans.n, 600, "selectors");
	is_str(ans.first, "m-0003", "of both kinds");
	c = (struct call){ .verb = VERB_DELETECOLLECTION, .res = maps, .ns = "default", .opts = { .label_selector = "odd=1" } };
	ask(client, &c);
	ok(!err_is_set(&ans.err), "deletecollection");
	c = (struct call){ .verb = VERB_LIST, .res = maps, .ns = "default", .opts = { .label_selector = "odd" } };
	ask(client, &c);
	is_int((long long)ans.n, 602, "took those, and no others");
}

/* --- watches: an informer --- */

static struct {
	int added, modified, deleted, synced;
	char last[64];
} seen;

static void on_event(void *arg, enum watch_type t, struct obj *o, struct obj *old)
{
	seen.added += t == WATCH_ADDED;
	seen.modified += t == WATCH_MODIFIED;
	seen.deleted += t == WATCH_DELETED;
	snprintf(seen.last, sizeof(seen.last), "%s", o->name);
}

static void on_synced(void *arg)
{
	seen.synced++;
}

static const struct informer_ops watch_ops = { on_event, on_synced };

static bool is_synced(void)
{
	return seen.synced;
}

static bool saw_late(void)
{
	return streq(seen.last, "late");
}

static bool saw_later(void)
{
	return streq(seen.last, "later");
}

/* A writer that needs no connection. */
static void make_inside(const char *name)
{
	static const char *const groups[] = { "system:masters", NULL };
	static struct client *inside;
	_cleanup_free_ char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"}}", name);

	if (!inside)
		inside = client_new_local(loop, api_call_server(api, "system:test", groups), "system:test");
	client_create(inside, maps, "default", json(text), NULL, NULL);
}

static void test_informer(void)
{
	struct informer *i = informer_get(client, maps, NULL);
	int before;

	informer_subscribe(i, &watch_ops, NULL);
	turns(is_synced);
	is_int(seen.synced, 1, "synced by a watch with initial events");
	before = seen.added;
	ok(before >= 602, "all of them");
	make_inside("late");
	turns(saw_late);
	is_int(seen.added, before + 1, "and what came then");
	http_server_free(server);
	make_inside("later");
	for (int k = 0; k < 20; k++)
		loop_turn(loop, 5);
	is_str(seen.last, "late", "a server that does not listen tells nothing");
	listen_again();
	turns(saw_later);
	is_int(seen.added, before + 2, "when it does again, the watch goes on where it was");
	is_int(seen.synced, 1, "and did not begin anew");
}

/* --- servers that answer badly --- */

static struct http_server *bad;
static int bad_port, n_asked;
static const char *bad_mode = "";
static struct http_req *bad_held;
static char asked[8][1000];

static void bad_gone(void *arg)
{
	bad_held = NULL;
}

static void bad_stream(struct http_req *r, const char *text, bool end)
{
	struct http_resp resp = { .status = 200, .content_type = "application/json" };

	http_begin(r, &resp);
	http_chunk(r, str_of(text));
	if (end)
		http_end(r);
	else {
		bad_held = r;
		http_req_on_gone(r, bad_gone, NULL);
	}
}

#define EVENT(type, name, rv)                                                                                       \
	"{\"type\":\"" type "\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" name \
	"\",\"namespace\":\"default\",\"resourceVersion\":\"" rv "\"}}}\n"
#define MARK(rv)                                                                                                    \
	"{\"type\":\"BOOKMARK\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"          \
	"\"resourceVersion\":\"" rv "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n"
#define GONE                                                                                                        \
	"{\"type\":\"ERROR\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Status\",\"status\":\"Failure\",\"message\":"  \
	"\"too old resource version: 7 (9)\",\"reason\":\"Expired\",\"code\":410}}\n"

static const struct {
	const char *mode, *text;
	bool end;
} bad_streams[] = {
	{ "cut", EVENT("ADDED", "one", "5") MARK("6") EVENT("MODIFIED", "one", "7"), true },
	{ "gone", EVENT("ADDED", "two", "8") GONE, true },
	{ "garbage", "{\"type\":\"ADDED\",\"object\":{\"metadata\":\n", false },
	{ "nonsense", "<html>\n", false },
	{ "nameless", "{\"type\":\"ADDED\",\"object\":{}}\n", false },
	{ "unknown", "{\"type\":\"EXPLODED\",\"object\":{}}\n", false },
	{ "markless", "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"x\"}}}\n", false },
	{ "other form", "{ \"object\": {\"metadata\":{\"name\":\"odd\",\"resourceVersion\":\"3\"}}, \"type\":\"ADDED\" }\n" MARK("4"),
	  false },
	{ "empty", "", true },
};

static void bad_reply(struct http_req *r, int status, const char *text)
{
	struct http_resp resp = { .status = status, .content_type = "application/json" };

	http_reply(r, &resp, str_of(text));
}

static void bad_endless(struct http_req *r)
{
	static char much[1 << 20];

	memset(much, 'x', sizeof(much) - 1);
	bad_stream(r, much, false);
	for (int i = 0; i < 12 && bad_held; i++)
		http_chunk(bad_held, str_of(much));
}

static void bad_request(void *arg, struct http_req *r)
{
	const struct http_head *h = http_req_head(r);

	snprintf(asked[n_asked++ % 8], sizeof(asked[0]), "%.*s", STR_ARG(h->target));
	for (size_t i = 0; i < ARRAY_SIZE(bad_streams); i++)
		if (streq(bad_mode, bad_streams[i].mode)) {
			if (bad_streams[i].end && streq(bad_mode, "cut"))
				bad_mode = "gone";
			bad_stream(r, bad_streams[i].text, bad_streams[i].end);
			return;
		}
	if (streq(bad_mode, "endless"))
		bad_endless(r);
	else if (streq(bad_mode, "silent")) {
		bad_held = r;
		http_req_on_gone(r, bad_gone, NULL);
	} else if (streq(bad_mode, "half"))
		bad_stream(r, "{\"kind\":\"ConfigMap\",", false);
	else if (streq(bad_mode, "abort"))
		http_abort(r);
	else if (streq(bad_mode, "502"))
		bad_reply(r, 502, "<html>bad gateway</html>");
	else if (streq(bad_mode, "409"))
		bad_reply(r, 409, "");
	else if (streq(bad_mode, "busy"))
		bad_reply(r, 429, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"slow down\","
				  "\"reason\":\"TooManyRequests\",\"code\":429,\"details\":{\"retryAfterSeconds\":7}}");
	else if (streq(bad_mode, "array"))
		bad_reply(r, 200, "[]");
	else if (streq(bad_mode, "deep"))
		bad_reply(r, 200, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
				  "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
	else if (streq(bad_mode, "items"))
		bad_reply(r, 200, "{\"kind\":\"ConfigMapList\",\"items\":[1,null,{}]}");
	else if (streq(bad_mode, "expires") && memmem(h->target.p, h->target.n, "continue=", 9)) {
		bad_mode = "whole";
		bad_reply(r, 410, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"reason\":\"Expired\",\"code\":410,\"message\":\"old\"}");
	} else if (streq(bad_mode, "expires"))
		bad_reply(r, 200, "{\"kind\":\"ConfigMapList\",\"metadata\":{\"resourceVersion\":\"3\",\"continue\":\"t k\"},"
				  "\"items\":[{\"metadata\":{\"name\":\"a\"}}]}");
	else
		bad_reply(r, 200, "{\"kind\":\"ConfigMapList\",\"metadata\":{\"resourceVersion\":\"4\"},\"items\":[{\"metadata\":"
				  "{\"name\":\"b\"}},{\"metadata\":{\"name\":\"c\"}}]}");
}

static struct {
	char text[200];
	bool cancel, free_client;
	struct client *client;
	struct call *call;
} w;

static void on_watch(struct call *c, enum watch_type t, struct obj *o)
{
	size_t n = strlen(w.text);

	snprintf(w.text + n, sizeof(w.text) - n, "%s %s %lld; ", watch_type_name(t), o ? o->name : "-",
		 (long long)c->list_rv);
	if (w.cancel)
		client_cancel(w.client, c);
	if (w.free_client)
		w.client = client_free(w.client);
}

static bool w_told(void)
{
	return *w.text || ans.done;
}

static void watch_bad(const char *mode, struct call *c)
{
	w.text[0] = '\0';
	bad_mode = mode;
	n_asked = 0;
	ans_clear();
	*c = (struct call){ .verb = VERB_WATCH, .res = maps, .done = on_done, .event = on_watch,
			    .opts = { .send_initial_events = true, .allow_bookmarks = true, .resource_version_match = "NotOlderThan" } };
	client_submit(w.client, c);
	turns(w_told);
}

static void test_bad_watches(void)
{
	static const char *const ends[] = { "garbage", "nonsense", "nameless", "unknown", "markless", "empty", "endless",
					    "502", "abort", "409" };
	struct call c;

	w.client = client_to(bad_port, NULL, 0);
	watch_bad("cut", &c);
	turns(answered);
	is_str(w.text, "ADDED one 5; BOOKMARK - 6; MODIFIED one 7; ADDED two 8; ", "a watch that was cut off goes on");
	ok(strstr(asked[0], "sendInitialEvents=true") != NULL, "first with everything");
	ok(strstr(asked[1], "resourceVersion=7") && !strstr(asked[1], "sendInitialEvents"), "then from its last revision");
	is_int(ans.err.reason, ERR_EXPIRED, "until that is too old");
	is_str(err_msg(&ans.err), "too old resource version: 7 (9)", "which its owner is told");
	is_int(n_asked, 2, "and nothing else was tried");
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		watch_bad(ends[i], &c);
		turns(answered);
		ok(ans.done && err_is_set(&ans.err) && !*w.text, ends[i]);
	}
	watch_bad("other form", &c);
	is_str(w.text, "ADDED odd 3; BOOKMARK - 4; ", "members in another order, and spaces");
	client_cancel(w.client, &c);
	ok(!ans.done, "cancelled: nothing is told");
	w.cancel = true;
	watch_bad("cut", &c);
	for (int i = 0; i < 10; i++)
		loop_turn(loop, 5);
	is_str(w.text, "ADDED one 5; ", "cancelled inside an event");
	w.cancel = false;
	w.free_client = true;
	watch_bad("other form", &c);
	ok(!w.client, "the client goes inside an event");
	w.free_client = false;
}

static void test_bad_answers(void)
{
	static const struct {
		const char *mode;
		enum verb verb;
		int reason;
		const char *text;
	} cases[] = {
		{ "502", VERB_GET, ERR_UNKNOWN, "status 502" },
		{ "409", VERB_UPDATE, ERR_CONFLICT, "status 409" },
		{ "409", VERB_CREATE, ERR_ALREADY_EXISTS, "status 409" },
		{ "busy", VERB_GET, ERR_TOO_MANY_REQUESTS, "slow down" },
		{ "array", VERB_GET, ERR_INTERNAL, "is no object" },
		{ "array", VERB_LIST, ERR_INTERNAL, "is no list" },
		{ "items", VERB_LIST, ERR_INTERNAL, "is no object" },
		{ "deep", VERB_GET, -1, "the answer of http://" },
		{ "abort", VERB_CREATE, -1, "" },
		{ "silent", VERB_GET, -1, "time" },
		{ "half", VERB_GET, ERR_TIMEOUT, "no complete answer in time" },
	};
	struct client *cl = client_to(bad_port, NULL, 300);
	struct call c;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bad_mode = cases[i].mode;
		c = (struct call){ .verb = cases[i].verb, .res = maps, .ns = "default", .name = "x" };
		ask(cl, &c);
		ok(err_is_set(&ans.err) && strstr(err_msg(&ans.err), cases[i].text), cases[i].mode);
		if (cases[i].reason >= 0)
			is_int(ans.err.reason, cases[i].reason, "its reason");
		if (streq(bad_mode, "busy"))
			is_int(ans.err.retry_after_s, 7, "when to come back");
	}
	bad_mode = "expires";
	c = (struct call){ .verb = VERB_LIST, .res = maps, .ns = "default" };
	ask(cl, &c);
	is_int((long long)ans.n, 2, "a list whose token expires begins again");
	is_str(ans.first, "b", "without what it had");
	bad_mode = "silent";
	c = (struct call){ .verb = VERB_GET, .res = maps, .ns = "default", .name = "x" };
	ans_clear();
	for (int i = 0; i < 10; i++)
		client_create(cl, maps, "default", json("{}"), NULL, NULL);
	client_submit(cl, &c);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 5);
	client_cancel(cl, &c);
	client_free(cl);
	ok(!ans.done, "what is under way or in line ends with the client, in silence");
}

static void test_away(void)
{
	struct client *cl = client_to(1, NULL, 0);
	struct call c = { .verb = VERB_GET, .res = maps, .ns = "default", .name = "x" };

	ask(cl, &c);
	ok(strstr(err_msg(&ans.err), "127.0.0.1:1") && strstr(err_msg(&ans.err), "refused"), "a server that is not there");
	client_free(cl);
}

static void test_wrong_token(void)
{
	struct client *cl = client_to(port, "wrong", 0);
	struct call c = { .verb = VERB_GET, .res = maps, .ns = "default", .name = "x" };

	ask(cl, &c);
	is_int(ans.err.reason, ERR_UNAUTHORIZED, "a token that nobody knows");
	client_free(cl);
}

static void test_config(void)
{
	static const char *const urls[] = { "", "x", "https://", "https://:1", "https://a:0", "https://a:99999", "https://a:b",
					    "https://u@h", "https://a?b", "https://[::1", "https://[]:1", "https://[::1]x",
					    "ftp://a", "https://a b" };
	struct client_remote_config cfg = { .loop = loop };
	struct client *c = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		_cleanup_err_ struct err e = ERR_INIT;

		cfg.server = urls[i];
		ok(client_new_remote(&c, &cfg, &e) < 0 && !c, urls[i]);
	}
	{
		_cleanup_err_ struct err e = ERR_INIT;

		cfg.server = "https://[::1]:6443/k8s/clusters/c-1/";
		ok(client_new_remote(&c, &cfg, &e) == 0 && c, "a path, and a port behind brackets");
		c = client_free(c);
		cfg.token = "a\r\nX-Evil: 1";
		ok(client_new_remote(&c, &cfg, &e) < 0 && !c, "a token that would be a header");
		cfg.token = NULL;
		cfg.ca_pem = "no PEM";
		err_release(&e);
		ok(client_new_remote(&c, &cfg, &e) < 0 && !c, "a certificate that is none");
	}
}

int main(void)
{
	struct http_server_config hc = { .on_request = bad_request };
	struct err e = ERR_INIT;

	log_threshold = LOG_ERROR;
	set_up();
	test_config();
	test_verbs();
	test_lists();
	test_informer();
	test_wrong_token();
	test_away();
	hc.loop = loop;
	bad = http_server_new(&hc);
	BUG_ON(http_server_listen(bad, "127.0.0.1", 0, &bad_port, &e) < 0);
	test_bad_watches();
	test_bad_answers();
	ans_clear();
	client_free(client);
	http_server_free(bad);
	http_server_free(server);
	api_free(api);
	store_close(store);
	free(sa_key);
	loop_free(loop);
	return done_testing();
}
