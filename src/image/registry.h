/*
 * The texts of the registry protocol, pure: URLs and challenges.
 */
#ifndef IMAGE_REGISTRY_H
#define IMAGE_REGISTRY_H

#include "image/image.h"

struct url {
	bool tls;
	char *host; /* without brackets */
	int port;
	char *target; /* path and query, beginning with '/' */
};
/* An http or https URL, or with base what is relative to it (RFC 3986, 4.2). */
bool url_parse(struct url *u, struct str text, const struct url *base);
void url_copy(struct url *dst, const struct url *src);
void url_release(struct url *u);
bool url_same_host(const struct url *a, const struct url *b);
char *url_print(const struct url *u);

/* "localhost", "127.0.0.1" and "[::1]", with or without a port: spoken to in plain HTTP. */
bool registry_is_local(struct str host);
/* "registry.example.com:5000" from a URL; without the port that is the scheme's own. Owned by the caller. */
char *url_host(const struct url *u);

/* What WWW-Authenticate headers ask for (RFC 9110, 11.6.1): each may hold several challenges. Strings are the Bearer
 * challenge's, "" when absent. */
struct challenge {
	bool bearer, basic;
	char *realm, *service, *scope;
};
void challenge_init(struct challenge *c);
void challenge_add(struct challenge *c, struct str header);
void challenge_release(struct challenge *c);

#endif
