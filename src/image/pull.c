/*
 * Pulling from a registry: the OCI distribution API (Docker's registry API,
 * version 2), as containerd's resolver and fetcher use it.
 *
 *	RESOLVE   GET /v2/REPO/manifests/TAG: an index or a manifest
 *	MANIFEST  the index's entry for this machine, by digest
 *	CONFIG    GET /v2/REPO/blobs/DIGEST: it tells the layers' contents
 *	LAYER     one after the other; those whose content the store has are left out
 *	UNPACK    the child makes the image from the files in tmp/NAME/in/
 *
 * Every blob is hashed while it comes and is refused when it is not what was
 * named. A request may be answered by 401 with a Bearer challenge: then an
 * anonymous token is asked for where the challenge says, and the request is sent
 * again, once. Redirects are followed to any host, a few times, without the token.
 *
 * A few pulls run at once, and of one reference only one: fifty pods that start
 * together fetch their image once, and the others find its layers there.
 *
 * What ends a request only notes the result; pull_step goes on from the loop, so
 * clients and exchanges are never freed within their own callbacks.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/arch.h"
#include "base/digest.h"
#include "base/path.h"
#include "http/http.h"
#include "image/internal.h"
#include "image/manifest.h"
#include "image/registry.h"

#define PULL_REDIRECTS 5
#define PULL_STALL_MS 60000 /* nothing came for so long */
#define PULL_CLIENTS 8
#define PULL_AT_ONCE 4
#define PULL_TOKEN_MAX (64u << 10)

#define PULL_ACCEPT                                                                                       \
	"application/vnd.docker.distribution.manifest.v2+json, "                                           \
	"application/vnd.docker.distribution.manifest.list.v2+json, "                                      \
	"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"

enum pull_state { PULL_RESOLVE, PULL_MANIFEST, PULL_CONFIG, PULL_LAYER, PULL_UNPACK };

struct pull_client {
	struct url url; /* host and port of it */
	struct http_client *client;
};

struct pull {
	TAILQ_ENTRY(pull) link;
	bool started; /* others wait for their turn */
	struct image_store *store;
	struct image_ref ref;
	char *name; /* the reference as it is printed */
	struct image_tmp tmp;
	enum pull_state state;
	struct err err;
	struct loop_task step;
	struct loop_timer *stall;
	struct tls *tls;
	VEC(struct pull_client) clients;
	struct unpack *unpack;

	/* the request under way */
	struct http_exchange x;
	struct http_header headers[3];
	bool active, for_token;
	struct url want, at; /* what is asked of the registry; where it is asked after redirects, or the token's place */
	int redirects;
	bool token_tried;
	char *token, *authorization;
	char *location;
	struct challenge challenge; /* of a 401 */
	struct buf body;
	size_t body_max;
	int file; /* -1: to body */
	const char *want_digest; /* borrowed; NULL: any */
	int64_t want_size; /* -1: any */
	int64_t got_size;
	struct digest *digest;
	char got_digest[DIGEST_TEXT_LEN + 1];

	/* what was found out */
	char *target; /* digest of what the reference names */
	char *manifest_digest;
	int64_t target_size, manifest_size;
	struct oci_manifest manifest;
	struct oci_config config;
	size_t layer;

	void (*progress)(void *arg, const char *what);
	void (*done)(void *arg, struct image *i, const struct err *err);
	void *arg;
};

static void pull_send(struct pull *p);
static void pull_start_waiting(struct image_store *s);

static void pull_tell(struct pull *p, const char *fmt, ...) ATTR_PRINTF(2, 3);
static void pull_tell(struct pull *p, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (!p->progress)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	p->progress(p->arg, text);
}

/* --- life --- */

static void pull_request_over(struct pull *p)
{
	if (p->active)
		http_client_cancel(&p->x);
	p->active = false;
	loop_timer_clear(p->stall);
	p->file = close_fd(p->file);
	p->digest = digest_free(p->digest);
	p->location = free_null(p->location);
}

static void pull_free(struct pull *p)
{
	TAILQ_REMOVE(&p->store->pulls, p, link);
	pull_request_over(p);
	if (p->unpack)
		image_unpack_cancel(p->unpack);
	loop_undefer(p->store->loop, &p->step);
	loop_timer_free(p->stall);
	for (size_t i = 0; i < p->clients.n; i++) {
		http_client_free(p->clients.v[i].client);
		url_release(&p->clients.v[i].url);
	}
	VEC_RELEASE(&p->clients);
	tls_free(p->tls);
	challenge_release(&p->challenge);
	image_ref_release(&p->ref);
	image_tmp_remove(p->store, &p->tmp);
	url_release(&p->want);
	url_release(&p->at);
	buf_release(&p->body);
	oci_manifest_release(&p->manifest);
	oci_config_release(&p->config);
	free(p->name);
	free(p->token);
	free(p->authorization);
	free(p->target);
	free(p->manifest_digest);
	err_release(&p->err);
	free(p);
}

/* i: borrowed, NULL when p->err says why. */
static void pull_finish(struct pull *p, struct image *i)
{
	void (*done)(void *arg, struct image *i, const struct err *err) = p->done;
	_cleanup_err_ struct err err = ERR_INIT, ignored = ERR_INIT;
	struct image_store *s = p->store;
	_cleanup_close_ int lock = -1;
	void *arg = p->arg;

	if (err_is_set(&p->err)) {
		if (p->state <= PULL_MANIFEST)
			err_wrap(&p->err, "failed to resolve reference \"%s\"", p->name);
		err_wrap(&p->err, "failed to pull and unpack image \"%s\"", p->name);
	}
	err_move(&err, &p->err);
	pull_free(p);
	lock = image_store_lock(s, &ignored);
	if (lock >= 0 && image_index_load(s, &ignored) == 0)
		image_sweep(s);
	lock = close_fd(lock);
	if (!s->closing)
		pull_start_waiting(s);
	done(arg, i, err_is_set(&err) ? &err : NULL);
}

void image_pull_close(struct pull *p)
{
	if (!err_is_set(&p->err))
		err_set(&p->err, ERR_SERVICE_UNAVAILABLE, "the image store was closed");
	pull_finish(p, NULL);
}

/* --- one request --- */

static struct http_client *pull_client(struct pull *p, const struct url *u, struct err *e)
{
	const struct tls_config tls = { 0 }; /* the machine's own authorities */
	struct http_client_config cfg = { .loop = p->store->loop, .host = u->host, .port = u->port };
	struct pull_client c = { 0 };

	for (size_t i = 0; i < p->clients.n; i++)
		if (url_same_host(&p->clients.v[i].url, u))
			return p->clients.v[i].client;
	if (p->clients.n >= PULL_CLIENTS) {
		err_set(e, ERR_BAD_REQUEST, "the registry sends to too many hosts");
		return NULL;
	}
	if (u->tls && !p->tls && tls_new(&p->tls, &tls, false, e) < 0)
		return NULL;
	cfg.tls = u->tls ? p->tls : NULL;
	url_copy(&c.url, u);
	cfg.host = c.url.host;
	c.client = http_client_new(&cfg);
	VEC_PUSH(&p->clients, c);
	return c.client;
}

static void pull_fail_at(struct pull *p, const char *what)
{
	_cleanup_free_ char *url = url_print(&p->at);

	err_wrap(&p->err, "%s \"%s\"", what, url);
}

static void pull_cut(struct pull *p)
{
	http_client_cancel(&p->x);
	p->active = false;
	loop_defer(p->store->loop, &p->step);
}

static void pull_on_stall(void *arg)
{
	struct pull *p = arg;

	err_set(&p->err, ERR_TIMEOUT, "nothing came for %d seconds", PULL_STALL_MS / 1000);
	pull_fail_at(p, "failed to do request: Get");
	pull_cut(p);
}

static void pull_on_head(struct http_exchange *x, const struct http_head *h)
{
	struct pull *p = x->arg;
	struct str location = http_head_get(h, "location");

	loop_timer_set(p->stall, PULL_STALL_MS);
	if (h->status == 401) {
		challenge_release(&p->challenge);
		challenge_parse(&p->challenge, http_head_get(h, "www-authenticate"));
	}
	if (h->status >= 300 && h->status < 400 && location.n)
		p->location = str_dup(location);
}

static void pull_take(struct pull *p, struct str data)
{
	p->got_size += (int64_t)data.n;
	if (p->file < 0 || p->x.status != 200) {
		if (p->body.len + data.n > p->body_max)
			err_set(&p->err, ERR_TOO_LARGE, "the registry's answer is larger than %zu bytes", p->body_max);
		else
			buf_addstr(&p->body, data);
		return;
	}
	if (p->want_size >= 0 && p->got_size > p->want_size)
		err_set(&p->err, ERR_BAD_REQUEST, "%s is longer than the %lld bytes that its manifest says",
			p->want_digest, (long long)p->want_size);
	else if (fd_write_all(p->file, data.p, data.n) < 0)
		err_errno(&p->err, errno ? errno : ENOSPC, "write %s", p->want_digest);
	digest_update(p->digest, data.p, data.n);
}

static void pull_on_data(struct http_exchange *x, struct str data)
{
	struct pull *p = x->arg;

	loop_timer_set(p->stall, PULL_STALL_MS);
	pull_take(p, data);
	if (err_is_set(&p->err))
		pull_cut(p);
}

static void pull_on_done(struct http_exchange *x, const struct err *err)
{
	struct pull *p = x->arg;

	p->active = false;
	if (err) {
		err_copy(&p->err, err);
		pull_fail_at(p, "failed to do request: Get");
	}
	loop_defer(p->store->loop, &p->step);
}

/* Sends p->at. The token goes to the registry only. */
static void pull_send(struct pull *p)
{
	struct http_client *client = pull_client(p, &p->at, &p->err);
	size_t n = 0;

	buf_clear(&p->body);
	p->body_max = p->for_token ? PULL_TOKEN_MAX : LIMIT_IMAGE_MANIFEST_BYTES;
	p->got_size = 0;
	p->location = free_null(p->location);
	p->digest = digest_free(p->digest);
	p->digest = digest_new();
	p->headers[n++] = (struct http_header){ STR_LIT("Accept"), STR_LIT(PULL_ACCEPT) };
	p->headers[n++] = (struct http_header){ STR_LIT("User-Agent"), STR_LIT("kinglet") };
	if (p->token && !p->for_token && url_same_host(&p->at, &p->want)) {
		free(p->authorization);
		p->authorization = xasprintf("Bearer %s", p->token);
		p->headers[n++] = (struct http_header){ STR_LIT("Authorization"), str_of(p->authorization) };
	}
	if (err_is_set(&p->err)) {
		loop_defer(p->store->loop, &p->step);
		return;
	}
	p->x = (struct http_exchange){ .method = "GET", .target = p->at.target, .headers = p->headers, .n_headers = n,
				       .on_head = pull_on_head, .on_data = pull_on_data, .on_done = pull_on_done,
				       .arg = p };
	p->active = true;
	http_client_send(client, &p->x);
}

/* what: "manifests" or "blobs". To a file when digest is a blob's, to p->body otherwise. */
static void pull_get(struct pull *p, const char *what, const char *which, int file, const char *digest, int64_t size)
{
	url_release(&p->want);
	url_release(&p->at);
	registry_url(&p->want, &p->ref, what, which);
	url_copy(&p->at, &p->want);
	p->redirects = 0;
	p->token_tried = false;
	p->for_token = false;
	p->file = file;
	p->want_digest = digest;
	p->want_size = size;
	pull_send(p);
}

/* --- answers that are not the thing itself --- */

static void pull_redirect(struct pull *p)
{
	struct url to;

	if (++p->redirects > PULL_REDIRECTS) {
		err_set(&p->err, ERR_BAD_REQUEST, "stopped after %d redirects", PULL_REDIRECTS);
		pull_fail_at(p, "failed to do request: Get");
	} else if (!url_parse(&to, str_of(p->location), &p->at)) {
		err_set(&p->err, ERR_BAD_REQUEST, "the redirect leads nowhere ('%.200s')", p->location);
		url_release(&to);
	} else if (p->at.tls && !to.tls) {
		err_set(&p->err, ERR_FORBIDDEN, "the registry redirects from https to plain http ('%.200s')", p->location);
		url_release(&to);
	} else {
		url_release(&p->at);
		p->at = to;
		pull_send(p);
	}
}

static bool pull_wants_token(const struct pull *p)
{
	return p->x.status == 401 && !p->for_token && !p->token_tried && p->challenge.bearer && url_same_host(&p->at, &p->want);
}

static void pull_ask_token(struct pull *p)
{
	_cleanup_buf_ struct buf target = BUF_INIT;
	struct url realm;

	p->token_tried = true;
	if (!url_parse(&realm, str_of(p->challenge.realm), NULL) || (p->at.tls && !realm.tls)) {
		url_release(&realm);
		err_set(&p->err, ERR_UNAUTHORIZED, "failed to authorize: the registry names no place for tokens ('%.200s')",
			p->challenge.realm);
		return;
	}
	buf_addf(&target, "%s%cservice=", realm.target, strchr(realm.target, '?') ? '&' : '?');
	buf_add_url(&target, str_of(p->challenge.service), false);
	buf_adds(&target, "&scope=");
	if (*p->challenge.scope) {
		buf_add_url(&target, str_of(p->challenge.scope), false);
	} else {
		buf_adds(&target, "repository%3A");
		buf_add_url(&target, str_of(p->ref.repository), false);
		buf_adds(&target, "%3Apull");
	}
	free(realm.target);
	realm.target = buf_detach(&target, NULL);
	url_release(&p->at);
	p->at = realm;
	p->for_token = true;
	p->redirects = 0;
	pull_send(p);
}

static bool pull_token_ok(const char *token)
{
	for (const char *c = token; *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return *token != '\0';
}

static void pull_take_token(struct pull *p)
{
	_cleanup_doc_ struct doc *d = NULL;
	const char *token = NULL;

	if (p->x.status != 200) {
		err_set(&p->err, ERR_UNAUTHORIZED, "failed to authorize: failed to fetch anonymous token");
		return;
	}
	if (doc_parse_json(&d, buf_str(&p->body), NULL, &p->err) == 0) {
		token = node_cstr(node_getc(doc_root(d), "token"));
		if (!token)
			token = node_cstr(node_getc(doc_root(d), "access_token"));
	}
	if (!token || !pull_token_ok(token)) {
		err_set(&p->err, ERR_UNAUTHORIZED, "failed to authorize: the answer holds no token");
		return;
	}
	free(p->token);
	p->token = xstrdup(token);
	p->for_token = false;
	p->redirects = 0;
	url_release(&p->at);
	url_copy(&p->at, &p->want);
	pull_send(p);
}

/* The registry's own words: {"errors": [{"code", "message"}]} */
static void pull_status_error(struct pull *p)
{
	_cleanup_err_ struct err ignored = ERR_INIT;
	_cleanup_free_ char *url = url_print(&p->at);
	_cleanup_doc_ struct doc *d = NULL;
	const char *message = NULL;
	int status = p->x.status;

	if (doc_parse_json(&d, buf_str(&p->body), NULL, &ignored) == 0)
		message = node_cstr(node_getc(node_at(node_getc(doc_root(d), "errors"), 0), "message"));
	if (status == 404)
		err_set(&p->err, ERR_NOT_FOUND, "%s: not found", p->state == PULL_RESOLVE ? p->name : url);
	else if (status == 401 || status == 403)
		err_set(&p->err, status == 401 ? ERR_UNAUTHORIZED : ERR_FORBIDDEN,
			"pull access denied, repository does not exist or may require authorization%s%.200s",
			message ? ": server message: " : "", message ? message : "");
	else
		err_set(&p->err, status == 429 ? ERR_TOO_MANY_REQUESTS : ERR_SERVICE_UNAVAILABLE,
			"unexpected status from GET request to %s: %d %s%s%.200s", url, status, http_status_text(status),
			message ? ": " : "", message ? message : "");
}

static void pull_check_content(struct pull *p)
{
	uint8_t sum[DIGEST_SHA256_LEN];
	_cleanup_buf_ struct buf hex = BUF_INIT;

	if (p->file < 0)
		digest_update(p->digest, p->body.s, p->body.len);
	digest_final(p->digest, sum);
	buf_adds(&hex, "sha256:");
	buf_add_hex(&hex, sum, sizeof(sum));
	memcpy(p->got_digest, hex.s, sizeof(p->got_digest));
	if (p->want_digest && !streq(p->got_digest, p->want_digest))
		err_set(&p->err, ERR_BAD_REQUEST, "unexpected commit digest %s, expected %s: failed precondition",
			p->got_digest, p->want_digest);
	else if (p->want_size >= 0 && p->got_size != p->want_size)
		err_set(&p->err, ERR_BAD_REQUEST, "unexpected commit size %lld, expected %lld: failed precondition",
			(long long)p->got_size, (long long)p->want_size);
}

/* True: the thing that was asked for has come. False: another request is under way, or p->err says why not. */
static bool pull_arrived(struct pull *p)
{
	int status = p->x.status;

	if (status >= 300 && status < 400 && p->location)
		pull_redirect(p);
	else if (p->for_token)
		pull_take_token(p);
	else if (pull_wants_token(p))
		pull_ask_token(p);
	else if (status != 200)
		pull_status_error(p);
	else
		pull_check_content(p);
	return status == 200 && !p->active && !err_is_set(&p->err);
}

/* --- the steps --- */

static char *pull_file(struct pull *p, const char *name)
{
	return xasprintf("%s/tmp/%s/in/%s", p->store->dir, p->tmp.name, name);
}

/* Keeps a small document beside the layers. */
static int pull_keep(struct pull *p, const char *name, struct str bytes)
{
	_cleanup_free_ char *path = pull_file(p, name);

	return path_write(path, bytes, 0600, &p->err);
}

static void pull_to_config(struct pull *p)
{
	p->manifest_digest = xstrdup(p->got_digest);
	if (pull_keep(p, digest_hex(p->got_digest), buf_str(&p->body)) < 0 ||
	    oci_manifest_parse(&p->manifest, buf_str(&p->body), &p->err) < 0)
		return;
	if (p->manifest.config.size > LIMIT_IMAGE_MANIFEST_BYTES) {
		err_set(&p->err, ERR_TOO_LARGE, "the image's config is larger than %u bytes", LIMIT_IMAGE_MANIFEST_BYTES);
		return;
	}
	p->state = PULL_CONFIG;
	pull_get(p, "blobs", p->manifest.config.digest, -1, p->manifest.config.digest, p->manifest.config.size);
}

static void pull_take_resolved(struct pull *p)
{
	_cleanup_(oci_index_release) struct oci_index index = { 0 };
	const struct oci_desc *d;

	p->target = xstrdup(p->got_digest);
	p->target_size = (int64_t)p->body.len;
	if (oci_kind_of(buf_str(&p->body)) != OCI_INDEX) {
		pull_to_config(p);
		return;
	}
	if (pull_keep(p, digest_hex(p->target), buf_str(&p->body)) < 0 ||
	    oci_index_parse(&index, buf_str(&p->body), &p->err) < 0)
		return;
	d = oci_index_pick(&index);
	if (!d) {
		err_set(&p->err, ERR_NOT_FOUND, "no match for platform linux/%s in manifest %s: not found", ARCH_NAME,
			p->target);
		return;
	}
	p->state = PULL_MANIFEST;
	p->manifest_digest = xstrdup(d->digest);
	pull_get(p, "manifests", p->manifest_digest, -1, p->manifest_digest, d->size);
}

static bool pull_have_layer(struct pull *p, const char *diff_id)
{
	_cleanup_free_ char *have = image_path(p->store, "layers", digest_hex(diff_id));

	return path_exists(have);
}

static void pull_on_unpack_progress(void *arg, const char *what)
{
	struct pull *p = arg;

	if (p->progress)
		p->progress(p->arg, what);
}

static void pull_on_report(void *arg, const struct node *report, const struct err *err)
{
	struct pull *p = arg;
	_cleanup_free_ char *id = NULL;
	struct image *i = NULL;
	char **names = NULL;

	p->unpack = NULL;
	if (err)
		err_copy(&p->err, err);
	else if (image_index_add(p->store, p->tmp.name, report, false, &names, &id, &p->err) == 0)
		i = image_find(p->store, id);
	image_names_free(names);
	if (!i && !err_is_set(&p->err))
		err_set(&p->err, ERR_NOT_FOUND, "the image was removed");
	pull_finish(p, i);
	image_unref(i);
}

/* The child reads an OCI layout: one entry with the name, for what the reference stands for. */
static void pull_unpack(struct pull *p)
{
	_cleanup_doc_ struct doc *d = doc_new();
	_cleanup_buf_ struct buf json = BUF_INIT;
	struct node *root = node_new(d, DOC_OBJECT), *list, *n, *notes;

	doc_set_root(d, root);
	node_setk(d, root, STR_LIT("schemaVersion"), node_new_int(d, 2));
	list = node_setk(d, root, STR_LIT("manifests"), node_new(d, DOC_ARRAY));
	n = node_append(list, node_new(d, DOC_OBJECT));
	node_setk(d, n, STR_LIT("digest"), node_new_cstr(d, p->target));
	node_setk(d, n, STR_LIT("size"), node_new_int(d, p->target_size));
	notes = node_setk(d, n, STR_LIT("annotations"), node_new(d, DOC_OBJECT));
	node_setk(d, notes, STR_LIT("io.containerd.image.name"), node_new_cstr(d, p->name));
	doc_print_json(&json, root, DOC_PRINT_COMPACT);
	if (pull_keep(p, "index.json", buf_str(&json)) < 0)
		return;
	p->state = PULL_UNPACK;
	p->unpack = image_unpack(p->store, -1, &p->tmp, "", pull_on_unpack_progress, pull_on_report, p);
}

static void pull_next_layer(struct pull *p)
{
	_cleanup_free_ char *path = NULL;
	const struct oci_desc *d;
	int fd;

	while (p->layer < p->manifest.layers.n && pull_have_layer(p, p->config.diff_ids[p->layer]))
		p->layer++;
	if (p->layer == p->manifest.layers.n) {
		pull_unpack(p);
		return;
	}
	d = &p->manifest.layers.v[p->layer];
	if (d->size > (int64_t)LIMIT_IMAGE_UNPACKED_BYTES) {
		err_set(&p->err, ERR_TOO_LARGE, "layer %s is too large", d->digest);
		return;
	}
	path = pull_file(p, digest_hex(d->digest));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		err_errno(&p->err, errno, "write '%s'", path);
		return;
	}
	p->state = PULL_LAYER;
	pull_tell(p, "downloading layer %zu of %zu (%lld bytes)", p->layer + 1, p->manifest.layers.n, (long long)d->size);
	pull_get(p, "blobs", d->digest, fd, d->digest, d->size);
}

static void pull_take_config(struct pull *p)
{
	size_t n = 0;

	if (pull_keep(p, digest_hex(p->got_digest), buf_str(&p->body)) < 0 ||
	    oci_config_parse(&p->config, buf_str(&p->body), &p->err) < 0)
		return;
	while (p->config.diff_ids[n])
		n++;
	if (n != p->manifest.layers.n)
		err_set(&p->err, ERR_BAD_REQUEST, "the image is damaged: it has %zu layers, but its config names %zu",
			p->manifest.layers.n, n);
	else if (!oci_platform_ok(p->config.os, p->config.arch))
		err_set(&p->err, ERR_BAD_REQUEST, "the image is for %s/%s, this machine is linux/%s",
			*p->config.os ? p->config.os : "linux", p->config.arch, ARCH_NAME);
	else
		pull_next_layer(p);
}

static void pull_step(struct loop_task *t)
{
	struct pull *p = CONTAINER_OF(t, struct pull, step);

	loop_timer_clear(p->stall);
	if (!err_is_set(&p->err) && pull_arrived(p)) {
		p->file = close_fd(p->file);
		switch (p->state) {
		case PULL_RESOLVE:
			pull_take_resolved(p);
			break;
		case PULL_MANIFEST:
			p->manifest_digest = free_null(p->manifest_digest);
			pull_to_config(p);
			break;
		case PULL_CONFIG:
			pull_take_config(p);
			break;
		case PULL_LAYER:
			p->layer++;
			pull_next_layer(p);
			break;
		case PULL_UNPACK:
			break;
		}
	}
	if (err_is_set(&p->err))
		pull_finish(p, NULL);
}

static void pull_start(struct pull *p)
{
	p->started = true;
	if (image_tmp_make(p->store, &p->tmp, &p->err) < 0) {
		loop_defer(p->store->loop, &p->step);
		return;
	}
	pull_tell(p, "resolving %s", p->name);
	pull_get(p, "manifests", p->ref.digest ? p->ref.digest : p->ref.tag, -1, p->ref.digest, -1);
}

static bool pull_may_start(const struct image_store *s, const struct pull *p)
{
	const struct pull *other;
	int running = 0;

	TAILQ_FOREACH (other, &s->pulls, link) {
		if (other->started && streq(other->name, p->name))
			return false;
		running += other->started;
	}
	return running < PULL_AT_ONCE;
}

static void pull_start_waiting(struct image_store *s)
{
	struct pull *p;

	TAILQ_FOREACH (p, &s->pulls, link)
		if (!p->started && !err_is_set(&p->err) && pull_may_start(s, p))
			pull_start(p);
}

static int pull_name(struct pull *p, const char *ref, struct err *e)
{
	if (image_ref_parse(&p->ref, ref, e) < 0)
		return -e->code;
	if (p->ref.digest) /* it says all; as containerd, what the tag was is forgotten */
		p->ref.tag = free_null(p->ref.tag);
	free(p->name);
	p->name = image_ref_print(&p->ref);
	return 0;
}

void image_pull(struct image_store *s, const char *ref, void (*progress)(void *arg, const char *what),
		void (*done)(void *arg, struct image *i, const struct err *err), void *arg)
{
	struct pull *p = xcalloc(1, sizeof(*p));

	p->store = s;
	p->name = xstrdup(ref);
	p->tmp = (struct image_tmp)IMAGE_TMP_INIT;
	p->file = -1;
	p->step.run = pull_step;
	p->stall = loop_timer_new(s->loop, pull_on_stall, p);
	p->progress = progress;
	p->done = done;
	p->arg = arg;
	buf_init(&p->body);
	TAILQ_INSERT_TAIL(&s->pulls, p, link);
	if (pull_name(p, ref, &p->err) < 0)
		loop_defer(s->loop, &p->step);
	else
		pull_start_waiting(s);
}
