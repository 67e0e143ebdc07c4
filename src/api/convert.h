/*
 * Converters: one row for each version of a resource whose shape differs from the
 * stored one. Private to api.
 */
#ifndef API_CONVERT_H
#define API_CONVERT_H

#include "api/internal.h"

struct converter {
	const char *plural, *version; /* apiVersion; a table ends with NULL */
	/* Change a document in place; apiVersion and kind are set afterwards. */
	void (*to_stored)(struct doc *d);
	void (*from_stored)(struct doc *d);
};
extern const struct converter older_converters[]; /* convert-older.c */

#define ROLLBACK_TO "deprecated.deployment.rollback.to" /* spec.rollbackTo of Deployments */

/* A member that a version keeps in an annotation: `text` NULL removes it, and annotations that became empty. */
void convert_set_annotation(struct doc *d, const char *key, const char *text);

#endif
