/*
 * registries.yaml in k3s's form, and what it makes of a reference:
 *
 *	mirrors:
 *	  docker.io:                    # or "*": all registries that are not named
 *	    endpoint: ["https://mirror.example.com:5000"]
 *	    rewrite: {"^library/(.*)": "hub/$1"}
 *	configs:
 *	  "mirror.example.com:5000":    # or "*"
 *	    auth: {username: u, password: p}   # or auth (base64 of u:p), identity_token
 *	    tls: {ca_file: F, cert_file: F, key_file: F, insecure_skip_verify: false}
 *
 * As in k3s: an endpoint without a path, or with /v2, is asked below /v2, any other path as
 * it is; one without a scheme is https, or http on this machine; rewrites are for the
 * mirrors only, the first that matches counts ($1, ${1}); behind the mirrors comes the
 * registry itself. Expressions are POSIX extended ones. A mirror is told which registry
 * it stands for (?ns=), as containerd does.
 *
 * What is wrong is told with its line. The reader of YAML keeps no lines, so the line is
 * looked for in the text by the keys that lead there.
 */
#include "image/registries.h"

#include <regex.h>

#include "base/path.h"
#include "doc/doc.h"

#define REGISTRIES_MAX 1000 /* of mirrors, configs, endpoints or rewrites */
#define REGISTRIES_PEM_BYTES (1u << 20)
#define REGISTRIES_REWRITE_BYTES 4096

struct rewrite {
	regex_t regex;
	char *to;
};

struct mirror {
	char *host; /* "*": all others */
	VEC(struct registry_place) endpoints; /* without repository */
	VEC(struct rewrite) rewrites;
};

struct registries {
	unsigned refs;
	VEC(struct mirror) mirrors;
	VEC(struct registry_config) configs;
};

/* --- credentials --- */

void registry_auth_copy(struct registry_auth *dst, const struct registry_auth *src)
{
	*dst = (struct registry_auth){ xstrdup(src->user ? src->user : ""), xstrdup(src->password ? src->password : ""),
				       xstrdup(src->identity_token ? src->identity_token : "") };
}

void registry_auth_release(struct registry_auth *a)
{
	free(a->user);
	free(a->password);
	free(a->identity_token);
	*a = (struct registry_auth){ 0 };
}

bool registry_auth_decode(struct registry_auth *a, struct str base64)
{
	_cleanup_buf_ struct buf b = BUF_INIT, padded = BUF_INIT;
	struct str user, password;

	buf_addstr(&padded, str_trim(base64));
	while (padded.len % 4)
		buf_addch(&padded, '=');
	if (!buf_add_base64_decoded(&b, buf_str(&padded), false) || memchr(b.s, 0, b.len))
		return false;
	password = buf_str(&b);
	user = str_cut(&password, ':');
	if (!password.p)
		return false;
	while (password.n && password.p[password.n - 1] == '\0')
		password.n--;
	free(a->user);
	free(a->password);
	a->user = str_dup(user);
	a->password = str_dup(password);
	return true;
}

/* --- lines --- */

static bool line_has_key(struct str line, const char *key, size_t *indent)
{
	struct str s = line;
	size_t n = strlen(key);

	while (s.n && strchr(" -", s.p[0]))
		s = str_sub(s, 1, s.n);
	*indent = line.n - s.n;
	if (s.n && strchr("\"'", s.p[0]))
		s = str_sub(s, 1, s.n);
	if (!str_starts(s, str_n(key, n)))
		return false;
	s = str_sub(s, n, s.n);
	if (s.n && strchr("\"'", s.p[0]))
		s = str_sub(s, 1, s.n);
	s = str_trim(s);
	return !s.n || s.p[0] == ':' || s.p[0] == '#';
}

/* The line of the last of the keys (NULL-terminated), or of as many of them as stand on lines of their own. */
static size_t registries_line(struct str text, const char *const *keys)
{
	size_t line = 0, found = 1, depth = 0, indent;

	while (text.p && *keys) {
		struct str one = str_cut(&text, '\n');

		line++;
		if (line_has_key(one, *keys, &indent) && (found == 1 || indent >= depth)) {
			found = line;
			depth = indent + 1;
			keys++;
		}
	}
	return found;
}

/* --- reading --- */

struct reader {
	struct registries *r;
	struct str text;
	const char *name;
	bool read_files;
	struct err *e;
};

static int reader_fail(struct reader *rd, const char *const *keys, const char *fmt, ...) ATTR_PRINTF(3, 4);
static int reader_fail(struct reader *rd, const char *const *keys, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_buf_ struct buf path = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	for (size_t i = 0; keys[i]; i++)
		buf_addf(&path, strpbrk(keys[i], ".:*/") ? "%s\"%.200s\"" : "%s%.200s", i ? "." : "", keys[i]);
	return err_set(rd->e, ERR_INVALID, "%s:%zu: %s%s%s", rd->name, registries_line(rd->text, keys), path.s,
		       path.len ? ": " : "", text);
}
#define KEYS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* All members of an object are among the names. */
static int reader_known(struct reader *rd, const struct node *n, const char *const *keys, const char *const *names)
{
	if (n && !node_is(n, DOC_OBJECT) && !node_is(n, DOC_NULL))
		return reader_fail(rd, keys, "this has to be a mapping");
	NODE_FOREACH (c, n) {
		size_t i = 0;

		while (names[i] && !str_eqc(node_key(c), names[i]))
			i++;
		if (!names[i]) {
			_cleanup_free_ char *key = str_dup(node_key(c));
			const char *all[6] = { 0 };
			size_t k = 0;

			for (; keys[k] && k < 4; k++)
				all[k] = keys[k];
			all[k] = key;
			return reader_fail(rd, all, "unknown field");
		}
	}
	return 0;
}

static int reader_text(struct reader *rd, const struct node *n, const char *const *keys, char **ret)
{
	struct str s = node_str(n);

	if (n && !node_is(n, DOC_STRING) && !node_is(n, DOC_NULL))
		return reader_fail(rd, keys, "this has to be a string");
	if (s.n && memchr(s.p, 0, s.n))
		return reader_fail(rd, keys, "this holds a NUL character");
	free(*ret);
	*ret = xstrdup(s.p ? s.p : "");
	return 0;
}

/* --- mirrors --- */

static bool endpoint_parse(struct registry_place *p, struct str text)
{
	_cleanup_free_ char *whole = NULL;
	size_t n;

	if (!str_ieq(str_sub(text, 0, 7), STR_LIT("http://")) && !str_ieq(str_sub(text, 0, 8), STR_LIT("https://")))
		whole = xasprintf("http%s://%" STR_FMT, registry_is_local(text) ? "" : "s", STR_ARG(text));
	if (!url_parse(&p->base, whole ? str_of(whole) : text, NULL) || strchr(p->base.target, '?')) {
		url_release(&p->base);
		return false;
	}
	n = strlen(p->base.target);
	while (n > 0 && p->base.target[n - 1] == '/')
		p->base.target[--n] = '\0';
	if (n == 0) {
		free(p->base.target);
		p->base.target = xstrdup("/v2");
	}
	p->host = url_host(&p->base);
	return true;
}

static int reader_endpoints(struct reader *rd, struct mirror *m, const struct node *list, const char *const *keys)
{
	if (list && !node_is(list, DOC_ARRAY) && !node_is(list, DOC_NULL))
		return reader_fail(rd, keys, "this has to be a list of URLs");
	if (node_count(list) > REGISTRIES_MAX)
		return reader_fail(rd, keys, "there are more than %d", REGISTRIES_MAX);
	NODE_FOREACH (c, list) {
		struct registry_place p = { 0 };

		if (!node_is(c, DOC_STRING) || !endpoint_parse(&p, node_str(c)))
			return reader_fail(rd, keys, "'%.200s' is no http or https URL", node_cstr_or(c, ""));
		VEC_PUSH(&m->endpoints, p);
	}
	return 0;
}

static int reader_rewrites(struct reader *rd, struct mirror *m, const struct node *n, const char *const *keys)
{
	if (n && !node_is(n, DOC_OBJECT) && !node_is(n, DOC_NULL))
		return reader_fail(rd, keys, "this has to be a mapping");
	if (node_count(n) > REGISTRIES_MAX)
		return reader_fail(rd, keys, "there are more than %d", REGISTRIES_MAX);
	NODE_FOREACH (c, n) {
		_cleanup_free_ char *pattern = str_dup(node_key(c));
		struct rewrite w = { .to = NULL };
		char text[200];
		int rc;

		if (node_key(c).n > REGISTRIES_REWRITE_BYTES || node_str(c).n > REGISTRIES_REWRITE_BYTES)
			return reader_fail(rd, keys, "a rewrite is longer than %d bytes", REGISTRIES_REWRITE_BYTES);
		if (reader_text(rd, c, keys, &w.to) < 0)
			return -rd->e->code;
		rc = regcomp(&w.regex, pattern, REG_EXTENDED);
		if (rc) {
			regerror(rc, &w.regex, text, sizeof(text));
			free(w.to);
			return reader_fail(rd, keys, "'%.200s' is no regular expression: %s", pattern, text);
		}
		VEC_PUSH(&m->rewrites, w);
	}
	return 0;
}

static int reader_mirrors(struct reader *rd, const struct node *mirrors)
{
	if (mirrors && !node_is(mirrors, DOC_OBJECT) && !node_is(mirrors, DOC_NULL))
		return reader_fail(rd, KEYS("mirrors"), "this has to be a mapping");
	if (node_count(mirrors) > REGISTRIES_MAX)
		return reader_fail(rd, KEYS("mirrors"), "there are more than %d", REGISTRIES_MAX);
	NODE_FOREACH (c, mirrors) {
		struct mirror *m;

		VEC_PUSH(&rd->r->mirrors, ((struct mirror){ .host = str_dup(node_key(c)) }));
		m = &rd->r->mirrors.v[rd->r->mirrors.n - 1];
		if (reader_known(rd, c, KEYS("mirrors", m->host), KEYS("endpoint", "rewrite")) < 0 ||
		    reader_endpoints(rd, m, node_getc(c, "endpoint"), KEYS("mirrors", m->host, "endpoint")) < 0 ||
		    reader_rewrites(rd, m, node_getc(c, "rewrite"), KEYS("mirrors", m->host, "rewrite")) < 0)
			return -rd->e->code;
	}
	return 0;
}

/* --- configs --- */

static int reader_auth(struct reader *rd, struct registry_config *c, const struct node *n)
{
	_cleanup_free_ char *both = NULL;

	if (reader_known(rd, n, KEYS("configs", c->host, "auth"), KEYS("username", "password", "auth", "identity_token")) < 0 ||
	    reader_text(rd, node_getc(n, "username"), KEYS("configs", c->host, "auth", "username"), &c->auth.user) < 0 ||
	    reader_text(rd, node_getc(n, "password"), KEYS("configs", c->host, "auth", "password"), &c->auth.password) < 0 ||
	    reader_text(rd, node_getc(n, "identity_token"), KEYS("configs", c->host, "auth", "identity_token"),
			&c->auth.identity_token) < 0 ||
	    reader_text(rd, node_getc(n, "auth"), KEYS("configs", c->host, "auth", "auth"), &both) < 0)
		return -rd->e->code;
	if (*both && !registry_auth_decode(&c->auth, str_of(both)))
		return reader_fail(rd, KEYS("configs", c->host, "auth", "auth"), "this is no base64 of \"user:password\"");
	return 0;
}

static int reader_pem(struct reader *rd, const struct registry_config *c, const struct node *tls, const char *key, char **ret)
{
	const char *const *keys = KEYS("configs", c->host, "tls", key);
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err one = ERR_INIT;

	if (reader_text(rd, node_getc(tls, key), keys, &path) < 0)
		return -rd->e->code;
	if (!*path || !rd->read_files)
		return 0;
	if (path_read(path, REGISTRIES_PEM_BYTES, &text, &one) < 0)
		return reader_fail(rd, keys, "%s", err_msg(&one));
	if (!strstr(text.s, "-----BEGIN "))
		return reader_fail(rd, keys, "'%s' holds nothing in PEM form", path);
	*ret = buf_detach(&text, NULL);
	return 0;
}

static int reader_tls(struct reader *rd, struct registry_config *c, const struct node *n)
{
	const struct node *skip = node_getc(n, "insecure_skip_verify");

	if (reader_known(rd, n, KEYS("configs", c->host, "tls"),
			 KEYS("ca_file", "cert_file", "key_file", "insecure_skip_verify")) < 0 ||
	    reader_pem(rd, c, n, "ca_file", &c->ca_pem) < 0 || reader_pem(rd, c, n, "cert_file", &c->cert_pem) < 0 ||
	    reader_pem(rd, c, n, "key_file", &c->key_pem) < 0)
		return -rd->e->code;
	if (skip && !node_is(skip, DOC_BOOL))
		return reader_fail(rd, KEYS("configs", c->host, "tls", "insecure_skip_verify"), "this has to be true or false");
	if (!node_is(node_getc(n, "cert_file"), DOC_STRING) != !node_is(node_getc(n, "key_file"), DOC_STRING))
		return reader_fail(rd, KEYS("configs", c->host, "tls"), "cert_file and key_file go together");
	c->insecure = node_bool(skip, false);
	c->has_tls = node_count(n) > 0;
	return 0;
}

/* `configs` are found by host and port; a URL is taken, too. */
static char *config_host(struct str key)
{
	ssize_t slashes = str_find(key, '/');

	if (slashes > 0 && key.p[slashes - 1] == ':' && key.n > (size_t)slashes + 2)
		key = str_sub(key, (size_t)slashes + 2, key.n);
	while (key.n && key.p[key.n - 1] == '/')
		key.n--;
	return str_dup(key);
}

static int reader_configs(struct reader *rd, const struct node *configs)
{
	if (configs && !node_is(configs, DOC_OBJECT) && !node_is(configs, DOC_NULL))
		return reader_fail(rd, KEYS("configs"), "this has to be a mapping");
	if (node_count(configs) > REGISTRIES_MAX)
		return reader_fail(rd, KEYS("configs"), "there are more than %d", REGISTRIES_MAX);
	NODE_FOREACH (n, configs) {
		struct registry_config *c;

		VEC_PUSH(&rd->r->configs, ((struct registry_config){ .host = config_host(node_key(n)) }));
		c = &rd->r->configs.v[rd->r->configs.n - 1];
		if (reader_known(rd, n, KEYS("configs", c->host), KEYS("auth", "tls")) < 0 ||
		    reader_auth(rd, c, node_getc(n, "auth")) < 0 || reader_tls(rd, c, node_getc(n, "tls")) < 0)
			return -rd->e->code;
	}
	return 0;
}

struct reader_twice {
	struct reader *rd;
	size_t line;
	char *key;
};

static void reader_on_twice(void *arg, size_t line, const char *key)
{
	struct reader_twice *t = arg;

	if (!t->key) {
		t->key = xstrdup(key);
		t->line = line;
	}
}

static int reader_check_twice(struct reader *rd)
{
	struct reader_twice t = { .rd = rd };

	doc_yaml_twice(rd->text, reader_on_twice, &t);
	if (!t.key)
		return 0;
	err_set(rd->e, ERR_INVALID, "%s:%zu: \"%.200s\" is there twice", rd->name, t.line, t.key);
	free(t.key);
	return -rd->e->code;
}

static int reader_run(struct reader *rd)
{
	const struct doc_json_opts opts = { .max_bytes = REGISTRIES_PEM_BYTES };
	struct doc **docs = NULL;
	const struct node *root;
	size_t n = 0;

	if (doc_parse_yaml(&docs, &n, rd->text, &opts, rd->e) < 0)
		return err_wrap(rd->e, "%s", rd->name);
	root = n ? doc_root(docs[0]) : NULL;
	if (n > 1)
		err_set(rd->e, ERR_INVALID, "%s: there is more than one document in it", rd->name);
	else if (reader_check_twice(rd) == 0 &&
		 reader_known(rd, root, (const char *const[]){ NULL }, KEYS("mirrors", "configs")) == 0 &&
		 reader_mirrors(rd, node_getc(root, "mirrors")) == 0)
		(void)reader_configs(rd, node_getc(root, "configs"));
	for (size_t i = 0; i < n; i++)
		doc_unref(docs[i]);
	free(docs);
	return err_is_set(rd->e) ? -rd->e->code : 0;
}

int registries_parse(struct registries **ret, struct str text, const char *name, bool read_files, struct err *e)
{
	struct registries *r = xcalloc(1, sizeof(*r));
	struct reader rd = { .r = r, .text = text, .name = name, .read_files = read_files, .e = e };

	r->refs = 1;
	if (reader_run(&rd) < 0) {
		registries_unref(r);
		return -e->code;
	}
	*ret = r;
	return 0;
}

/* --- life --- */

struct registries *registries_ref(struct registries *r)
{
	if (r)
		r->refs++;
	return r;
}

static void registry_place_release(struct registry_place *p)
{
	url_release(&p->base);
	free(p->host);
	free(p->repository);
	free(p->ns);
}

void registry_places_release(struct registry_places *p)
{
	for (size_t i = 0; i < p->n; i++)
		registry_place_release(&p->v[i]);
	VEC_RELEASE(p);
}

static void mirror_release(struct mirror *m)
{
	for (size_t i = 0; i < m->endpoints.n; i++)
		registry_place_release(&m->endpoints.v[i]);
	for (size_t i = 0; i < m->rewrites.n; i++) {
		regfree(&m->rewrites.v[i].regex);
		free(m->rewrites.v[i].to);
	}
	VEC_RELEASE(&m->endpoints);
	VEC_RELEASE(&m->rewrites);
	free(m->host);
}

struct registries *registries_unref(struct registries *r)
{
	if (!r || --r->refs)
		return NULL;
	for (size_t i = 0; i < r->mirrors.n; i++)
		mirror_release(&r->mirrors.v[i]);
	for (size_t i = 0; i < r->configs.n; i++) {
		struct registry_config *c = &r->configs.v[i];

		registry_auth_release(&c->auth);
		free(c->host);
		free(c->ca_pem);
		free(c->cert_pem);
		free(c->key_pem);
	}
	VEC_RELEASE(&r->mirrors);
	VEC_RELEASE(&r->configs);
	free(r);
	return NULL;
}

/* --- using it --- */

static const struct registry_config *registries_config(const struct registries *r, const char *host)
{
	const struct registry_config *any = NULL;

	for (size_t i = 0; r && i < r->configs.n; i++) {
		if (strcasecmp(r->configs.v[i].host, host) == 0)
			return &r->configs.v[i];
		if (streq(r->configs.v[i].host, "*"))
			any = &r->configs.v[i];
	}
	return any;
}

static const struct mirror *registries_mirror(const struct registries *r, const char *registry)
{
	const struct mirror *any = NULL;

	for (size_t i = 0; r && i < r->mirrors.n; i++) {
		if (strcasecmp(r->mirrors.v[i].host, registry) == 0)
			return &r->mirrors.v[i];
		if (streq(r->mirrors.v[i].host, "*"))
			any = &r->mirrors.v[i];
	}
	return any;
}

/* Go's Expand: $1, ${1}, $$. */
static void rewrite_expand(struct buf *out, const char *to, const char *from, const regmatch_t *m)
{
	for (const char *c = to; *c; c++) {
		bool brace = c[0] == '$' && c[1] == '{';
		const char *digit = c + 1 + brace;

		if (c[0] == '$' && c[1] == '$') {
			buf_addch(out, '$');
			c++;
		} else if (c[0] == '$' && *digit >= '0' && *digit <= '9' && (!brace || digit[1] == '}')) {
			const regmatch_t *g = &m[*digit - '0'];

			if (g->rm_so >= 0)
				buf_add(out, from + g->rm_so, (size_t)(g->rm_eo - g->rm_so));
			c = digit + brace;
		} else {
			buf_addch(out, *c);
		}
	}
}

/* As Go's ReplaceAllString, for the one match that matters here. */
static char *mirror_rewrite(const struct mirror *m, const char *repository)
{
	for (size_t i = 0; i < m->rewrites.n; i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;
		regmatch_t g[10];

		if (regexec(&m->rewrites.v[i].regex, repository, ARRAY_SIZE(g), g, 0))
			continue;
		buf_add(&out, repository, (size_t)g[0].rm_so);
		rewrite_expand(&out, m->rewrites.v[i].to, repository, g);
		buf_adds(&out, repository + g[0].rm_eo);
		return buf_detach(&out, NULL);
	}
	return xstrdup(repository);
}

static bool repository_ok(const char *s)
{
	for (const char *c = s; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || strchr("?#%\\", *c))
			return false;
	return *s && *s != '/' && !strstr(s, "..");
}

/* The registry itself: docker.io is registry-1.docker.io; plain HTTP on this machine, unless it has TLS settings. */
static void registries_default(const struct registries *r, const struct image_ref *ref, struct registry_places *out)
{
	bool hub = streq(ref->registry, "docker.io");
	const char *host = hub ? "registry-1.docker.io" : ref->registry;
	struct registry_place p = { .repository = xstrdup(ref->repository) };
	_cleanup_free_ char *text = NULL;

	p.config = registries_config(r, host);
	if (hub && (!p.config || streq(p.config->host, "*"))) {
		const struct registry_config *named = registries_config(r, "docker.io");

		p.config = named ? named : p.config;
	}
	text = xasprintf("http%s://%s/v2", registry_is_local(str_of(host)) && !(p.config && p.config->has_tls) ? "" : "s", host);
	if (!url_parse(&p.base, str_of(text), NULL)) { /* image_ref_parse lets no such host through */
		url_release(&p.base);
		p.base = (struct url){ true, xstrdup("invalid"), 443, xstrdup("/v2") };
	}
	p.host = xstrdup(host);
	VEC_PUSH(out, p);
}

static bool places_same(const struct registry_place *a, const struct registry_place *b)
{
	return url_same_host(&a->base, &b->base) && streq(a->base.target, b->base.target) && streq(a->repository, b->repository);
}

void registries_places(const struct registries *r, const struct image_ref *ref, bool no_default,
		       struct registry_places *out)
{
	const struct mirror *m = registries_mirror(r, ref->registry);

	for (size_t i = 0; m && i < m->endpoints.n; i++) {
		const struct registry_place *from = &m->endpoints.v[i];
		struct registry_place p = { .host = xstrdup(from->host), .repository = mirror_rewrite(m, ref->repository),
					    .ns = xstrdup(ref->registry), .config = registries_config(r, from->host) };

		url_copy(&p.base, &from->base);
		if (repository_ok(p.repository))
			VEC_PUSH(out, p);
		else
			registry_place_release(&p);
	}
	if (no_default && out->n)
		return;
	registries_default(r, ref, out);
	for (size_t i = 0; i + 1 < out->n; i++)
		if (places_same(&out->v[i], &out->v[out->n - 1])) { /* the file names it itself, in its own place */
			out->v[i].ns = free_null(out->v[i].ns);
			registry_place_release(&out->v[--out->n]);
			break;
		}
}
