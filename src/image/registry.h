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
/* An http or https URL, or with base a reference to a path of base's host. */
bool url_parse(struct url *u, struct str text, const struct url *base);
void url_copy(struct url *dst, const struct url *src);
void url_release(struct url *u);
bool url_same_host(const struct url *a, const struct url *b);
char *url_print(const struct url *u);

/* Where a reference's registry listens: docker.io is registry-1.docker.io; plain HTTP on this machine only. */
void registry_url(struct url *u, const struct image_ref *r, const char *what, const char *which);

/* One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1). */
struct challenge {
	bool bearer, basic;
	char *realm, *service, *scope; /* "" when absent */
};
void challenge_parse(struct challenge *c, struct str header);
void challenge_release(struct challenge *c);

#endif
