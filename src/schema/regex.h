/*
 * Regular expressions as Go's regexp package (RE2) reads them, matched in time
 * that is linear in the text for a given pattern: patterns come from whoever may
 * write a CustomResourceDefinition, texts from whoever may write its objects.
 */
#ifndef SCHEMA_REGEX_H
#define SCHEMA_REGEX_H

#include "base/err.h"
#include "base/str.h"

struct regex;

/* The error reads as Go's: "error parsing regexp: missing closing ]: `[a`". */
int regex_compile(struct regex **ret, struct str pattern, struct err *e) MUST_CHECK;
struct regex *regex_free(struct regex *re);
/* Whether the pattern occurs in text. Takes its work out of *budget; when that is used up the answer is false
 * and *budget 0. */
bool regex_match(const struct regex *re, struct str text, size_t *budget);
size_t regex_memory(const struct regex *re);

#endif
