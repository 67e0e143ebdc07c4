/*
 * Image references, normalised as Docker and containerd do it:
 * "busybox" is docker.io/library/busybox:latest.
 */
#include <ctype.h>

#include "image/image.h"

#define REF_MAX 512
#define REF_TAG_MAX 128

static bool ref_is_host(struct str first)
{
	return str_find(first, '.') >= 0 || str_find(first, ':') >= 0 || str_eqc(first, "localhost");
}

/* Path components: lower-case letters and digits, separated by one '.', one or two '_', or dashes. */
static bool ref_path_ok(struct str path)
{
	while (path.p) {
		struct str part = str_cut(&path, '/');

		if (!part.n || !isalnum((unsigned char)part.p[0]) || !isalnum((unsigned char)part.p[part.n - 1]))
			return false;
		for (size_t i = 0; i < part.n; i++) {
			char c = part.p[i];

			if (!((c >= 'a' && c <= 'z') || isdigit((unsigned char)c) || c == '.' || c == '_' || c == '-'))
				return false;
		}
	}
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
	if (!ref_path_ok(s))
		return ref_bad(e, text);
	if (!host.n || str_eqc(host, "index.docker.io"))
		host = STR_LIT("docker.io");
	r->registry = str_dup(host);
	if (str_eqc(host, "docker.io") && str_find(s, '/') < 0)
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
