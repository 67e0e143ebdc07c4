/*
 * Time: monotonic for waiting, wall clock for objects. Units stand in names.
 */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include "base/str.h"

#define SEC_MS 1000LL
#define SEC_US 1000000LL
#define SEC_NS 1000000000LL
#define DAY_S 86400LL

int64_t time_mono_ms(void);
int64_t time_mono_us(void);
int64_t time_wall_s(void);
int64_t time_wall_us(void); /* microseconds since the epoch */
int64_t time_wall_ns(void);

/* A clock that stands in for the machine's, in the whole process: loop_virtual's. NULL: the machine's again. */
struct time_clock {
	int64_t mono_us, wall_ns;
};
void time_take_over(struct time_clock *c);

/* metav1.Time: "2006-01-02T15:04:05Z" */
#define TIME_RFC3339_LEN 21
char *time_fmt_rfc3339(char out[TIME_RFC3339_LEN], int64_t unix_s);
/* metav1.MicroTime: "2006-01-02T15:04:05.000000Z" */
#define TIME_MICRO_LEN 28
char *time_fmt_micro(char out[TIME_MICRO_LEN], int64_t unix_us);
/* CRI log stamps: "2006-01-02T15:04:05.000000000Z" */
#define TIME_NANO_LEN 31
char *time_fmt_nano(char out[TIME_NANO_LEN], int64_t unix_ns);
/* HTTP's: "Mon, 02 Jan 2006 15:04:05 GMT" */
#define TIME_HTTP_LEN 30
char *time_fmt_http(char out[TIME_HTTP_LEN], int64_t unix_s);
/* RFC 3339 with any offset and fraction; false when malformed. Result in nanoseconds. */
bool time_parse_rfc3339(struct str s, int64_t *ret_unix_ns);
/* metav1/duration.HumanDuration: "5s", "2m30s", "45m", "3h5m", "2d4h", "12d", "400d", "2y10d", ... */
void time_fmt_human(char out[32], int64_t seconds);
/* Go's time.ParseDuration: "1h30m", "300ms", "1.5s"; false when malformed. */
bool time_parse_go_duration(struct str s, int64_t *ret_ns);

#endif
