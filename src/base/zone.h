/*
 * Time zones: what a clock on the wall shows, read from the host's zone files
 * (TZif, RFC 9636) without the C library's zone, which is one for the whole process.
 */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include <time.h>

#include "base/err.h"
#include "base/str.h"

struct zone; /* NULL stands for UTC wherever one is taken */

/* From a file's bytes. */
int zone_parse(struct zone **ret, struct str tzif, struct err *e) MUST_CHECK;
/* By its name ("Europe/Berlin") as Go's time.LoadLocation looks it up, and with its errors: "" and "UTC" need no file. */
int zone_load(struct zone **ret, struct str name, struct err *e) MUST_CHECK;
/* The host's own: $TZ, else /etc/localtime; UTC when there is none. */
struct zone *zone_load_local(void);
struct zone *zone_free(struct zone *z);
void zone_freep(struct zone **z);
#define _cleanup_zone_ __attribute__((cleanup(zone_freep)))

/* Seconds east of UTC at a time. */
int32_t zone_offset(const struct zone *z, int64_t unix_s);
void zone_local(const struct zone *z, int64_t unix_s, struct tm *ret);
/* The other way; fields out of range carry over. A time that a change of the clock skips is one hour off, to either
 * side, and of one that comes twice it is either: as Go's time.Date. */
int64_t zone_unix(const struct zone *z, const struct tm *local);
/* RFC 3339 with the zone's offset: "2006-01-02T15:04:05+02:00", or Z. */
#define ZONE_RFC3339_LEN 48
char *zone_fmt_rfc3339(char out[ZONE_RFC3339_LEN], const struct zone *z, int64_t unix_s);

#endif
