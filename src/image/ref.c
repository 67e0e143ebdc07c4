/*
 * Image references, normalised as Docker and containerd do it:
 * "busybox" is docker.io/library/busybox:latest.
 */
#include <ctype.h>

#include "image/image.h"

#define REF_MAX 512
#define REF_REPOSITORY_MAX 255 /* with its registry */
#define REF_TAG_MAX 128

static bool ref_is_host(struct str first)
{
	return str_find(first, '.') >= 0 || str_find(first, ':') >= 0 || str_eqc(first, "localhost");
}

/* "registry.example:5000", "[::1]:5000": what may stand in a URL between the slashes, and no more. */
static bool ref_host_ok(struct str host)
{
	ssize_t colon = str_rfind(host, ':');
	bool v6 = host.n > 2 && host.p[0] == '[';
	struct str name = host, port = STR_NONE;
	int64_t n;

	if (colon >= 0 && (!v6 || host.p[colon - 1] == ']')) {
		name = str_sub(host, 0, (size_t)colon);
		port = str_sub(host, (size_t)colon + 1, host.n);
		if (port.n > 5 || !str_to_i64(port, &n) || n < 1 || n > 65535)
			return false;
	}
	if (v6 && (name.n < 4 || name.p[name.n - 1] != ']'))
		return false;
	if (v6)
		name = str_sub(name, 1, name.n - 1);
	for (size_t i = 0; i < name.n; i++)
		if (v6 ? !isxdigit((unsigned char)name.p[i]) && name.p[i] != ':' :
			 !isalnum((unsigned char)name.p[i]) && name.p[i] != '-' &&
				 !(name.p[i] == '.' && i > 0 && name.p[i - 1] != '.'))
			return false;
	return name.n > 0;
}

/* Lower-case letters and digits, with one '.', one or two '_', or dashes between them. */
static bool ref_part_ok(struct str part)
{
	size_t i = 0, run;

	while (i < part.n) {
		if (!islower((unsigned char)part.p[i]) && !isdigit((unsigned char)part.p[i]))
			return false;
		while (i < part.n && (islower((unsigned char)part.p[i]) || isdigit((unsigned char)part.p[i])))
			i++;
		if (i == part.n)
			return true;
		for (run = 0; i + run < part.n && part.p[i + run] == part.p[i] && strchr("._-", part.p[i]); run++)
			;
		if (run == 0 || (part.p[i] == '.' && run > 1) || (part.p[i] == '_' && run > 2))
			return false;
		i += run;
	}
	return false;
}

static bool ref_path_ok(struct str path)
{
	if (!path.n)
		return false;
	while (path.p)
		if (!ref_part_ok(str_cut(&path, '/')))
			return false;
	return true;
}

static bool ref_tag_ok(struct str tag)
{
	if (!tag.n || tag.n > REF_TAG_MAX || tag.p[0] == '.' || tag.p[0] == '-')
		return false;
	for (size_t i = 0; i < tag.n; i++)
		if (!isalnum((unsigned char)tag.p[i]) && !strchr("._-", tag.p[i]))
			return false;
	return true;
}

static bool ref_digest_ok(struct str d)
{
	if (!str_starts(d, STR_LIT("sha256:")) || d.n != 7 + 64)
		return false;
	for (size_t i = 7; i < d.n; i++)
		if (!strchr("0123456789abcdef", d.p[i]))
			return false;
	return true;
}

static int ref_bad(struct err *e, const char *text)
{
	return err_set(e, ERR_BAD_REQUEST, "couldn't parse image name \"%s\": invalid reference format", text);
}

int image_ref_parse(struct image_ref *r, const char *text, struct err *e)
{
	struct str s = str_of(text), digest = STR_NONE, tag = STR_NONE, host = STR_NONE;
	ssize_t at = str_find(s, '@'), slash, colon;
	bool bare;

	*r = (struct image_ref){ 0 };
	if (!s.n || s.n > REF_MAX)
		return ref_bad(e, text);
	if (at >= 0) {
		digest = str_sub(s, (size_t)at + 1, s.n);
		s = str_sub(s, 0, (size_t)at);
		if (!ref_digest_ok(digest))
			return ref_bad(e, text);
	}
	slash = str_rfind(s, '/');
	colon = str_rfind(s, ':');
	if (colon > slash) {
		tag = str_sub(s, (size_t)colon + 1, s.n);
		s = str_sub(s, 0, (size_t)colon);
		if (!ref_tag_ok(tag))
			return ref_bad(e, text);
	}
	slash = str_find(s, '/');
	if (slash >= 0 && ref_is_host(str_sub(s, 0, (size_t)slash))) {
		host = str_sub(s, 0, (size_t)slash);
		s = str_sub(s, (size_t)slash + 1, s.n);
	}
	if (!ref_path_ok(s) || (host.n && !ref_host_ok(host)))
		return ref_bad(e, text);
	if (!host.n || str_eqc(host, "index.docker.io"))
		host = STR_LIT("docker.io");
	bare = str_eqc(host, "docker.io") && str_find(s, '/') < 0;
	if (host.n + 1 + (bare ? strlen("library/") : 0) + s.n > REF_REPOSITORY_MAX)
		return ref_bad(e, text);
	r->registry = str_dup(host);
	if (bare)
		r->repository = xasprintf("library/%" STR_FMT, STR_ARG(s));
	else
		r->repository = str_dup(s);
	if (tag.n)
		r->tag = str_dup(tag);
	else if (!digest.n)
		r->tag = xstrdup("latest");
	if (digest.n)
		r->digest = str_dup(digest);
	return 0;
}

void image_ref_release(struct image_ref *r)
{
	free(r->registry);
	free(r->repository);
	free(r->tag);
	free(r->digest);
	*r = (struct image_ref){ 0 };
}

char *image_ref_print(const struct image_ref *r)
{
	return xasprintf("%s/%s%s%s%s%s", r->registry, r->repository, r->tag ? ":" : "", r->tag ? r->tag : "",
			 r->digest ? "@" : "", r->digest ? r->digest : "");
}
