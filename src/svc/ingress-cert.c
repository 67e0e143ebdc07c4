/*
 * Certificates: of the Secrets that Ingresses name, and of no others. Each is
 * watched alone. What changes is put in force for the next handshake; a Secret
 * whose certificate does not fit its key, or can't be read, is told by an event,
 * and the certificate before it stays. Where there is none, or a name is nobody's,
 * one that the program signed itself is shown.
 */
#include "svc/ingress.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/log.h"
#include "schema/schema.h"

#define CERT_AGAIN_MS 2000
#define CERT_DAYS 365

/* --- one Secret --- */

static char *secret_text(const struct node *root, const char *key)
{
	struct buf b = BUF_INIT;
	struct str v = node_str(node_getc(node_get(root, F_data), key));

	if (!v.p || !buf_add_base64_decoded(&b, v, false) || memchr(b.s, '\0', b.len)) {
		buf_release(&b);
		return NULL;
	}
	return buf_detach(&b, NULL);
}

static void cert_tell(struct ing_cert *c, const char *reason, const char *why)
{
	_cleanup_free_ char *text = xasprintf("Secret \"%s\": %s", c->name, why);

	log_warn("ingress: a certificate can't be used", LS("secret", c->key), LS("error", why));
	ing_objects_cert_event(c->ing, c, reason, text);
}

static void cert_read(struct ing_cert *c, const struct node *root)
{
	_cleanup_free_ char *cert = secret_text(root, "tls.crt"), *key = secret_text(root, "tls.key");
	struct tls_config cfg = { .cert_pem = cert, .key_pem = key };
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf both = BUF_INIT;
	struct tls *fresh = NULL;
	uint64_t sum;

	buf_addf(&both, "%s\n%s", cert ? cert : "", key ? key : "");
	sum = hash_fnv64a(buf_str(&both));
	if (sum == c->sum)
		return;
	c->sum = sum;
	if (!cert || !key)
		err_set(&e, ERR_BAD_REQUEST, "it has no %s", cert ? "tls.key" : "tls.crt");
	else if (tls_key_check(key, cert, &e) == 0)
		(void)!tls_new(&fresh, &cfg, true, &e);
	if (!fresh) {
		cert_tell(c, "InvalidCertificate", err_msg(&e));
		return;
	}
	tls_free(c->tls);
	c->tls = fresh;
}

static void cert_event(struct call *call, enum watch_type t, struct obj *obj)
{
	struct ing_cert *c = call->arg;

	if (t == WATCH_ADDED || t == WATCH_MODIFIED) {
		_cleanup_doc_ struct doc *d = obj_doc_once(obj);

		c->there = true;
		cert_read(c, doc_root(d));
	} else if (t == WATCH_DELETED) {
		c->tls = tls_free(c->tls);
		c->sum = 0;
		c->there = false;
		cert_tell(c, "SecretNotFound", "it was deleted");
	} else if (call->initial_done && !c->there && !c->told) {
		c->told = true;
		cert_tell(c, "SecretNotFound", "it does not exist");
	}
}

static void cert_ended(struct call *call, const struct err *err UNUSED)
{
	struct ing_cert *c = call->arg;

	c->watching = false;
	loop_timer_set(c->again, CERT_AGAIN_MS);
}

static void cert_watch(void *arg)
{
	struct ing_cert *c = arg;

	c->watching = true;
	c->call = (struct call){ .verb = VERB_WATCH, .res = schema_res("", "secrets"), .ns = c->ns, .done = cert_ended,
				 .event = cert_event, .arg = c };
	c->call.opts.field_selector = c->selector;
	c->call.opts.send_initial_events = true;
	c->call.opts.allow_bookmarks = true;
	c->call.opts.resource_version_match = "NotOlderThan";
	client_submit(c->ing->client, &c->call);
}

struct ing_cert *ing_cert_get(struct ing *g, const char *ns, const char *name)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct ing_cert *c;

	obj_key_print(&key, ns, name);
	c = map_get(g->certs, buf_str(&key));
	if (c) {
		c->refs++;
		return c;
	}
	c = xcalloc(1, sizeof(*c));
	c->refs = 1;
	c->ing = g;
	c->ns = xstrdup(ns);
	c->name = xstrdup(name);
	c->selector = xasprintf("metadata.name=%s", name);
	c->again = loop_timer_new(g->loop, cert_watch, c);
	c->key = buf_detach(&key, NULL);
	map_set(g->certs, str_of(c->key), c);
	cert_watch(c);
	return c;
}

struct ing_cert *ing_cert_unref(struct ing_cert *c)
{
	if (!c || --c->refs > 0)
		return NULL;
	if (c->watching)
		client_cancel(c->ing->client, &c->call);
	loop_timer_free(c->again);
	map_take(c->ing->certs, str_of(c->key));
	tls_free(c->tls);
	free(c->selector);
	free(c->key);
	free(c->ns);
	free(c->name);
	free(c);
	return NULL;
}

/* --- by name --- */

void ing_certs_build(struct ing *g, struct ing_ingress *const *v, size_t n)
{
	map_clear(g->sni);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i]->tls.n; k++) {
			const struct ing_tls_ *t = &v[i]->tls.v[k];

			for (size_t j = 0; t->cert && j < t->hosts.n; j++)
				if (!map_getc(g->sni, t->hosts.v[j]))
					map_set(g->sni, str_of(t->hosts.v[j]), t->cert);
		}
}

/* The name itself, or with its first label a star. */
static struct ing_cert *certs_find(const struct ing *g, const char *host)
{
	struct ing_cert *c = map_getc(g->sni, host);
	const char *dot = strchr(host, '.');
	char wild[260];

	if (c || !dot || strlen(dot) >= sizeof(wild) - 1)
		return c;
	snprintf(wild, sizeof(wild), "*%s", dot);
	return map_getc(g->sni, wild);
}

bool ing_certs_has(const struct ing *g, const char *host)
{
	const struct ing_cert *c = certs_find(g, host);

	return c && c->tls;
}

static struct tls *certs_pick(void *arg, const char *name)
{
	const struct ing *g = arg;
	const struct ing_cert *c;
	char host[256];
	size_t n = strlen(name);

	if (n >= sizeof(host))
		return NULL;
	for (size_t i = 0; i <= n; i++)
		host[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
	if (n && host[n - 1] == '.')
		host[n - 1] = '\0';
	c = certs_find(g, host);
	return c ? c->tls : NULL;
}

int ing_certs_open(struct ing *g, struct err *e)
{
	static const char *const names[] = { "ingress.local", NULL };
	static const char *const orgs[] = { "kinglet", NULL };
	struct tls_cert_spec spec = { .common_name = "kinglet ingress default certificate", .organizations = orgs,
				      .sans = names, .server = true, .days = CERT_DAYS };
	_cleanup_free_ char *key = NULL, *cert = NULL;
	struct tls_config cfg = { 0 };

	g->certs = map_new(NULL);
	g->sni = map_new(NULL);
	if (tls_make_key(&key, e) < 0 || tls_make_cert(&cert, &spec, key, NULL, NULL, e) < 0)
		return -e->code;
	cfg.cert_pem = cert;
	cfg.key_pem = key;
	if (tls_new(&g->tls, &cfg, true, e) < 0)
		return -e->code;
	tls_set_sni(g->tls, certs_pick, g);
	return 0;
}

void ing_certs_close(struct ing *g)
{
	g->tls = tls_free(g->tls);
	g->sni = map_free(g->sni);
	g->certs = map_free(g->certs);
}
