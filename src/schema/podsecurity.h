/*
 * The Pod Security Standards: three levels, the checks of the two that forbid
 * something, by version. Pure; who asks for which level is api/admit-security.c.
 */
#ifndef SCHEMA_PODSECURITY_H
#define SCHEMA_PODSECURITY_H

#include "obj/obj.h"

enum podsec_level { PODSEC_PRIVILEGED, PODSEC_BASELINE, PODSEC_RESTRICTED };
#define PODSEC_LATEST INT32_MAX

struct podsec {
	enum podsec_level level;
	int32_t minor; /* of version v1.x, or PODSEC_LATEST */
};

/* false: *ret is the strictest, as Kubernetes falls back. */
bool podsec_parse_level(struct str s, enum podsec_level *ret);
bool podsec_parse_version(struct str s, int32_t *ret);
void podsec_print(const struct podsec *p, struct buf *out); /* "restricted:latest" */

/* Is the pod (its metadata and spec) fine? Otherwise the reasons are appended to `reasons` (may be NULL) and the
 * reasons with their details to `details` (may be NULL), as Kubernetes words them. */
bool podsec_check(const struct podsec *p, const struct node *meta, const struct node *spec, struct buf *reasons,
		  struct buf *details);

#endif
