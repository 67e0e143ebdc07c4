/*
 * Credentials of image pull secrets, found for an image as the kubelet's
 * credential keyring finds them (pkg/credentialprovider):
 *
 *	- a secret's entries are named "host", "host/path", "https://host/v1/": scheme and
 *	  a leading /v1/ or /v2/ are of no account;
 *	- an entry fits when port and number of the host's parts are equal, each part matches
 *	  its pattern ("*.example.com"), and its path is a prefix of the image's;
 *	- entries that are more specific come first (the names in reverse order), entries of
 *	  one name in the order of the secrets;
 *	- when none fits, those for index.docker.io serve images of Docker's own registry.
 */
#include <fnmatch.h>

#include "base/digest.h"
#include "doc/doc.h"
#include "image/keyring.h"

#define KEYRING_ENTRIES 1000

struct keyring_entry {
	char *key; /* "host[:port][/path]" */
	struct registry_auth auth;
	char *source;
	char hash[DIGEST_SHA256_HEX]; /* of the credentials */
};

struct image_keyring {
	unsigned refs;
	VEC(struct keyring_entry) entries;
};

struct image_keyring *image_keyring_new(void)
{
	struct image_keyring *k = xcalloc(1, sizeof(*k));

	k->refs = 1;
	return k;
}

struct image_keyring *image_keyring_ref(struct image_keyring *k)
{
	if (k)
		k->refs++;
	return k;
}

struct image_keyring *image_keyring_unref(struct image_keyring *k)
{
	if (!k || --k->refs)
		return NULL;
	for (size_t i = 0; i < k->entries.n; i++) {
		registry_auth_release(&k->entries.v[i].auth);
		free(k->entries.v[i].key);
		free(k->entries.v[i].source);
	}
	VEC_RELEASE(&k->entries);
	free(k);
	return NULL;
}

/* --- filling --- */

static char *keyring_key(struct str name)
{
	struct str s = str_trim(name), host, path;
	ssize_t slash;

	if (str_starts(s, STR_LIT("https://")))
		s = str_sub(s, 8, s.n);
	else if (str_starts(s, STR_LIT("http://")))
		s = str_sub(s, 7, s.n);
	slash = str_find(s, '/');
	host = slash < 0 ? s : str_sub(s, 0, (size_t)slash);
	path = slash < 0 ? STR_NONE : str_sub(s, (size_t)slash, s.n);
	if (str_starts(path, STR_LIT("/v2/")) || str_starts(path, STR_LIT("/v1/")))
		path = str_sub(path, 3, path.n);
	if (!host.n)
		return NULL;
	if (path.n <= 1)
		path = STR_NONE;
	return xasprintf("%" STR_FMT "%" STR_FMT, STR_ARG(host), STR_ARG(path));
}

static void keyring_hash(struct keyring_entry *k)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addf(&b, "%s%c%s%c%s", k->auth.user, 0, k->auth.password, 0, k->auth.identity_token);
	digest_sha256_hex(buf_str(&b), k->hash);
}

static int keyring_add_entry(struct image_keyring *k, const struct node *n, const char *source, struct err *e)
{
	const struct registry_auth given = { (char *)node_cstr_or(node_getc(n, "username"), ""),
					     (char *)node_cstr_or(node_getc(n, "password"), ""),
					     (char *)node_cstr_or(node_getc(n, "identitytoken"), "") };
	struct str both = node_str(node_getc(n, "auth"));
	struct keyring_entry one = { .key = keyring_key(node_key(n)) };
	size_t at = k->entries.n;

	if (!one.key)
		return 0;
	registry_auth_copy(&one.auth, &given);
	if (both.n && !registry_auth_decode(&one.auth, both)) {
		err_set(e, ERR_INVALID, "auths.\"%.200s\".auth is no base64 of \"user:password\"", one.key);
		registry_auth_release(&one.auth);
		free(one.key);
		return -e->code;
	}
	one.source = xstrdup(source);
	keyring_hash(&one);
	/* Names in reverse order, those of one name as they came. */
	while (at > 0 && strcmp(k->entries.v[at - 1].key, one.key) < 0)
		at--;
	VEC_PUSH(&k->entries, one);
	memmove(&k->entries.v[at + 1], &k->entries.v[at], (k->entries.n - 1 - at) * sizeof(one));
	k->entries.v[at] = one;
	return 0;
}

int image_keyring_add(struct image_keyring *k, struct str json, bool wrapped, const char *source, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *auths;

	if (doc_parse_json(&d, json, NULL, e) < 0)
		return -e->code;
	auths = wrapped ? node_getc(doc_root(d), "auths") : doc_root(d);
	if (auths && !node_is(auths, DOC_OBJECT) && !node_is(auths, DOC_NULL))
		return err_set(e, ERR_INVALID, "the credentials of registries have to be a JSON object");
	if (k->entries.n + node_count(auths) > KEYRING_ENTRIES)
		return err_set(e, ERR_TOO_LARGE, "there are more than %d credentials of registries", KEYRING_ENTRIES);
	NODE_FOREACH (n, auths)
		if (keyring_add_entry(k, n, source, e) < 0)
			return -e->code;
	return 0;
}

/* --- finding --- */

static bool port_all_digits(struct str port)
{
	for (size_t i = 0; i < port.n; i++)
		if (port.p[i] < '0' || port.p[i] > '9')
			return false;
	return port.n > 0;
}

static void keyring_split(struct str s, struct str *host, struct str *port, struct str *path)
{
	ssize_t slash = str_find(s, '/'), colon;

	*host = slash < 0 ? s : str_sub(s, 0, (size_t)slash);
	*path = slash < 0 ? STR_NONE : str_sub(s, (size_t)slash, s.n);
	colon = str_rfind(*host, ':');
	*port = STR_NONE;
	if (colon >= 0 && port_all_digits(str_sub(*host, (size_t)colon + 1, host->n))) {
		*port = str_sub(*host, (size_t)colon + 1, host->n);
		*host = str_sub(*host, 0, (size_t)colon);
		if (host->n > 2 && host->p[0] == '[' && host->p[host->n - 1] == ']') /* an IPv6 address, no pattern */
			*host = str_sub(*host, 1, host->n - 1);
	}
}

/* Part for part: a '*' does not reach over a dot. */
static bool keyring_host_fits(struct str glob, struct str host)
{
	while (glob.p && host.p) {
		_cleanup_free_ char *pattern = str_dup(str_cut(&glob, '.')), *text = str_dup(str_cut(&host, '.'));

		if (fnmatch(pattern, text, 0) != 0)
			return false;
	}
	return !glob.p && !host.p;
}

static bool keyring_fits(const char *key, const char *repository)
{
	struct str glob, glob_port, glob_path, host, port, path;

	keyring_split(str_of(key), &glob, &glob_port, &glob_path);
	keyring_split(str_of(repository), &host, &port, &path);
	return str_eq(glob_port, port) && str_starts(path, glob_path) && keyring_host_fits(glob, host);
}

static void keyring_take(struct keyring_matches *out, const struct keyring_entry *k)
{
	struct keyring_match m = { &k->auth, k->source, k->hash };

	VEC_PUSH(out, m);
}

void keyring_lookup(const struct image_keyring *k, const char *repository, struct keyring_matches *out)
{
	for (size_t i = 0; k && i < k->entries.n; i++)
		if (keyring_fits(k->entries.v[i].key, repository))
			keyring_take(out, &k->entries.v[i]);
	if (out->n || !starts_with(repository, "docker.io/"))
		return;
	for (size_t i = 0; k && i < k->entries.n; i++)
		if (streq(k->entries.v[i].key, "index.docker.io"))
			keyring_take(out, &k->entries.v[i]);
}

void image_keyring_each(const struct image_keyring *k, const char *ref,
			void (*f)(void *arg, const char *source, const char *hash), void *arg)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *repository = NULL;
	struct keyring_matches m = { 0 };
	struct image_ref r = { 0 };

	if (image_ref_parse(&r, ref, &e) == 0) {
		repository = xasprintf("%s/%s", r.registry, r.repository);
		keyring_lookup(k, repository, &m);
	}
	for (size_t i = 0; i < m.n; i++)
		f(arg, m.v[i].source, m.v[i].hash);
	VEC_RELEASE(&m);
	image_ref_release(&r);
}
