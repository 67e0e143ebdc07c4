/*
 * Whom a pull asks, and as whom: registries.yaml, and the credentials of pull secrets. No network, no root.
 */
#include "image/keyring.h"
#include "image/registries.h"
#include "tap.h"

/* The places for an image, "BASE REPOSITORY[ ns=NS]" each, joined by ", ". */
static char *places(const char *yaml, const char *image)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct registry_places p = { 0 };
	struct registries *r = NULL;
	struct buf out = BUF_INIT;
	struct image_ref ref;

	if (registries_parse(&r, str_of(yaml), "r.yaml", true, &e) < 0)
		return xstrdup(err_msg(&e));
	if (image_ref_parse(&ref, image, &e) < 0)
		return xstrdup(err_msg(&e));
	registries_places(r, &ref, false, &p);
	for (size_t i = 0; i < p.n; i++) {
		_cleanup_free_ char *base = url_print(&p.v[i].base);

		buf_addf(&out, "%s%s %s", i ? ", " : "", base, p.v[i].repository);
		if (p.v[i].ns)
			buf_addf(&out, " ns=%s", p.v[i].ns);
		if (p.v[i].config && *p.v[i].config->auth.user)
			buf_addf(&out, " as %s:%s", p.v[i].config->auth.user, p.v[i].config->auth.password);
	}
	registry_places_release(&p);
	image_ref_release(&ref);
	registries_unref(r);
	return buf_detach(&out, NULL);
}

static void places_are(const char *yaml, const char *image, const char *want, const char *what)
{
	_cleanup_free_ char *got = places(yaml, image);

	is_str(got, want, what);
}

#define HUB "https://registry-1.docker.io/v2 library/busybox"

static void test_places(void)
{
	places_are("", "busybox", HUB, "an empty file: Docker's own registry");
	places_are("mirrors:\n", "busybox", HUB, "nothing in it");
	places_are("", "r.example/a/b:1", "https://r.example/v2 a/b", "any other");
	places_are("", "r.example:5000/a", "https://r.example:5000/v2 a", "with its port");
	places_are("", "localhost:5000/a", "http://localhost:5000/v2 a", "on this machine: plain HTTP");
	places_are("", "127.0.0.1.example:80/a", "https://127.0.0.1.example:80/v2 a", "which it is not by the look of it");
	places_are("mirrors:\n  docker.io:\n    endpoint: [\"https://m.example\", \"http://n.example:81/v2/\"]\n", "busybox:1",
		   "https://m.example/v2 library/busybox ns=docker.io, http://n.example:81/v2 library/busybox ns=docker.io, " HUB,
		   "mirrors come first");
	places_are("mirrors:\n  docker.io:\n    endpoint: [m.example, 'localhost:5000']\n", "busybox",
		   "https://m.example/v2 library/busybox ns=docker.io, http://localhost:5000/v2 library/busybox ns=docker.io, " HUB,
		   "endpoints without a scheme");
	places_are("mirrors:\n  docker.io:\n    endpoint: [https://m.example/proxy/hub/]\n", "busybox",
		   "https://m.example/proxy/hub library/busybox ns=docker.io, " HUB, "a path of its own is taken as it is");
	places_are("mirrors:\n  '*':\n    endpoint: [https://m.example]\n  r.example:\n", "busybox",
		   "https://m.example/v2 library/busybox ns=docker.io, " HUB, "a mirror for all");
	places_are("mirrors:\n  '*':\n    endpoint: [https://m.example]\n  r.example:\n", "r.example/a", "https://r.example/v2 a",
		   "but for those that are named");
	places_are("mirrors:\n  docker.io:\n    endpoint: [https://m.example]\n    rewrite:\n      '^library/(.*)': 'hub/$1'\n",
		   "busybox", "https://m.example/v2 hub/busybox ns=docker.io, " HUB, "a rewrite, not for the registry itself");
	places_are("mirrors:\n  docker.io:\n    endpoint: [https://m.example]\n    rewrite: {'(.*)/(.*)': '${2}-$$-$1-$9'}\n",
		   "busybox", "https://m.example/v2 busybox-$-library- ns=docker.io, " HUB, "groups");
	places_are("mirrors:\n  r.example:\n    endpoint: [https://m.example, https://r.example]\n", "r.example/a",
		   "https://m.example/v2 a ns=r.example, https://r.example/v2 a", "the registry itself may be named");
	places_are("mirrors:\n  r.example:\n    endpoint: [https://m.example]\n    rewrite: {'.*': 'a?b'}\n", "r.example/a",
		   "https://r.example/v2 a", "a rewrite to what is no repository");
	places_are("configs:\n  r.example:5000:\n    auth: {username: u, password: 'p:q'}\n", "r.example:5000/a",
		   "https://r.example:5000/v2 a as u:p:q", "credentials");
	places_are("configs:\n  r.example:\n    auth: {auth: dTpwOnE=}\n", "r.example/a", "https://r.example/v2 a as u:p:q",
		   "encoded");
	places_are("configs:\n  docker.io:\n    auth: {username: u, password: p}\n", "a/b",
		   "https://registry-1.docker.io/v2 a/b as u:p", "for Docker's own registry by its short name");
	places_are("configs:\n  localhost:5000:\n    tls: {insecure_skip_verify: true}\n", "localhost:5000/a",
		   "https://localhost:5000/v2 a", "TLS settings are for TLS");
}

static void test_errors(void)
{
	places_are("a: b\n", "x", "r.yaml:1: a: unknown field", "an unknown field");
	places_are("# comment\nmirrors:\n  docker.io:\n    endpont: []\n", "x",
		   "r.yaml:4: mirrors.\"docker.io\".endpont: unknown field", "further down");
	places_are("mirrors:\n  docker.io:\n    endpoint: https://x\n", "x",
		   "r.yaml:3: mirrors.\"docker.io\".endpoint: this has to be a list of URLs", "no list");
	places_are("mirrors:\n  a:\n    endpoint: []\n  docker.io:\n    endpoint:\n    - ftp://x\n", "x",
		   "r.yaml:5: mirrors.\"docker.io\".endpoint: 'ftp://x' is no http or https URL", "no URL");
	places_are("mirrors:\n  a:\n    rewrite:\n      '(': b\n", "x",
		   "r.yaml:3: mirrors.a.rewrite: '(' is no regular expression: Unmatched ( or \\(", "no expression");
	places_are("mirrors: []\n", "x", "r.yaml:1: mirrors: this has to be a mapping", "no mapping");
	places_are("configs:\n  r.example:\n    auth:\n      username: [a]\n", "x",
		   "r.yaml:4: configs.\"r.example\".auth.username: this has to be a string", "no string");
	places_are("configs:\n  r.example:\n    auth:\n      auth: '#'\n", "x",
		   "r.yaml:4: configs.\"r.example\".auth.auth: this is no base64 of \"user:password\"", "no base64");
	places_are("configs:\n  r.example:\n    tls:\n      ca_file: /nonexistent/ca\n", "x",
		   "r.yaml:4: configs.\"r.example\".tls.ca_file: open '/nonexistent/ca': No such file or directory", "no such file");
	places_are("configs:\n  a:\n    tls:\n      insecure_skip_verify: maybe\n", "x",
		   "r.yaml:4: configs.a.tls.insecure_skip_verify: this has to be true or false", "no truth");
	places_are("configs:\n  a:\n    tls:\n      cert_file: /x\n", "x",
		   "r.yaml:4: configs.a.tls.cert_file: open '/x': No such file or directory", "half a certificate");
	places_are("mirrors:\n  a: {}\n  a: {}\n", "x", "r.yaml:3: \"a\" is there twice", "a key twice");
	places_are("mirrors: {}\n---\nconfigs: {}\n", "x", "r.yaml: there is more than one document in it", "two documents");
	places_are("- a\n", "x", "r.yaml:1: this has to be a mapping", "another thing");
	places_are("mirrors: [\n", "x", "r.yaml: error converting YAML to JSON: yaml: line 2, column 1: did not find expected node content while parsing a flow node",
		   "no YAML");
}

/* --- pull secrets --- */

static void take(void *arg, const char *source, const char *hash UNUSED)
{
	struct buf *b = arg;

	buf_addf(b, "%s%s", b->len ? " " : "", source);
}

static char *found(const char *const *secrets, const char *image)
{
	struct image_keyring *k = image_keyring_new();
	_cleanup_err_ struct err e = ERR_INIT;
	struct buf out = BUF_INIT;
	char name[] = "1";

	for (; *secrets; secrets++, name[0]++)
		if (image_keyring_add(k, str_of(*secrets), starts_with(*secrets, "{\"auths\""), name, &e) < 0)
			break;
	if (err_is_set(&e))
		buf_adds(&out, err_msg(&e));
	else
		image_keyring_each(k, image, take, &out);
	image_keyring_unref(k);
	return buf_detach(&out, NULL);
}

static void found_is(const char *const *secrets, const char *image, const char *want, const char *what)
{
	_cleanup_free_ char *got = found(secrets, image);

	is_str(got, want, what);
}
#define S(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define U "{\"username\":\"u\",\"password\":\"p\"}"

static void test_keyring(void)
{
	found_is(S("{\"auths\":{\"r.example\":" U "}}"), "r.example/a/b:1", "1", "a host");
	found_is(S("{\"r.example\":" U "}"), "r.example/a/b:1", "1", "the older form");
	found_is(S("{\"auths\":{\"https://r.example/v1/\":" U "}}"), "r.example/a/b:1", "1", "as a URL");
	found_is(S("{\"auths\":{\"r.example\":" U "}}"), "r.example:5000/a", "", "another port");
	found_is(S("{\"auths\":{\"r.example:5000\":" U "}}"), "r.example:5000/a", "1", "the same port");
	found_is(S("{\"auths\":{\"*.example\":" U "}}"), "r.example/a", "1", "a pattern");
	found_is(S("{\"auths\":{\"*.example\":" U "}}"), "a.r.example/a", "", "which is for one part");
	found_is(S("{\"auths\":{\"*.*.example\":" U "}}"), "a.r.example/a", "1", "or for two");
	found_is(S("{\"auths\":{\"r*.ex?mple\":" U "}}"), "r2.example/a", "1", "parts of parts");
	found_is(S("{\"auths\":{\"r.example/team\":" U "}}"), "r.example/team/a", "1", "a path");
	found_is(S("{\"auths\":{\"r.example/team\":" U "}}"), "r.example/other", "", "another path");
	found_is(S("{\"auths\":{\"r.example\":" U "}}", "{\"auths\":{\"r.example/team\":" U "}}"), "r.example/team/a", "2 1",
		 "the longer one is first");
	found_is(S("{\"auths\":{\"r.example\":" U "}}", "{\"auths\":{\"r.example\":" U "}}"), "r.example/a", "1 2",
		 "equal ones in their order");
	found_is(S("{\"auths\":{\"https://index.docker.io/v1/\":" U "}}"), "busybox", "1", "Docker's own");
	found_is(S("{\"auths\":{\"https://index.docker.io/v1/\":" U "}}"), "r.example/busybox", "", "is not for others");
	found_is(S("{\"auths\":{\"docker.io\":" U ",\"index.docker.io\":" U "}}"), "a/b", "1", "what fits better goes alone");
	found_is(S("{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}"), "r.example/a", "1", "an encoded pair");
	found_is(S("{\"auths\":{\"r.example\":{\"auth\":\"dTpwcA\"}}}"), "r.example/a", "1", "without padding");
	found_is(S("{\"auths\":{\"r.example\":{\"auth\":\"dXA=\"}}}"), "r.example/a",
		 "auths.\"r.example\".auth is no base64 of \"user:password\"", "without a colon");
	found_is(S("{\"auths\":[]}"), "r.example/a", "the credentials of registries have to be a JSON object", "no object");
	found_is(S("{\"auths\":{}}"), "r.example/a", "", "nothing in it");
	found_is(S("{\"auths\":{\"[::1]:5000\":" U "}}"), "[::1]:5000/a", "1", "an IPv6 address");
}

int main(void)
{
	test_places();
	test_errors();
	test_keyring();
	return done_testing();
}
