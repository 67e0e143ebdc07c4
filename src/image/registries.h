/*
 * registries.yaml: where images are pulled from instead of, or before, the
 * registry that their names say, and with what TLS and credentials.
 */
#ifndef IMAGE_REGISTRIES_H
#define IMAGE_REGISTRIES_H

#include "image/registry.h"

struct registry_auth { /* strings are "" when not given; all empty: none */
	char *user, *password, *identity_token;
};
void registry_auth_copy(struct registry_auth *dst, const struct registry_auth *src);
void registry_auth_release(struct registry_auth *a);
static inline bool registry_auth_given(const struct registry_auth *a)
{
	return a->user && (*a->user || *a->password || *a->identity_token);
}
/* "dXNlcjpwYXNz", with or without padding. False: it is no base64, or holds no colon. */
bool registry_auth_decode(struct registry_auth *a, struct str base64);

struct registry_config { /* one of `configs` */
	char *host; /* "registry.example.com:5000", "*" */
	struct registry_auth auth;
	bool has_tls, insecure;
	char *ca_pem, *cert_pem, *key_pem; /* NULL when not given */
};

/* Where a repository is asked for. */
struct registry_place {
	struct url base; /* its target is "/v2", or what overrides it, without a '/' at its end */
	char *host; /* as `configs` names it */
	char *repository;
	char *ns; /* the registry that this is a mirror of; NULL: it is the registry itself */
	const struct registry_config *config; /* of the registries; NULL: none */
};
struct registry_places {
	struct registry_place *v;
	size_t n, cap;
};
void registry_places_release(struct registry_places *p);

struct registries; /* counted; never changes */
struct registries *registries_ref(struct registries *r); /* NULL accepted, also below: as an empty file */
struct registries *registries_unref(struct registries *r);
/* name: what errors call the text. read_files: the TLS files that it names are read. */
int registries_parse(struct registries **ret, struct str text, const char *name, bool read_files, struct err *e) MUST_CHECK;
/* In the order in which they are tried: the mirrors, then (unless no_default) the registry itself. */
void registries_places(const struct registries *r, const struct image_ref *ref, bool no_default,
		       struct registry_places *out);

#endif
