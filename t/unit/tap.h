/*
 * TAP for unit tests: ok(), is_int(), is_str(), and done_testing().
 */
#ifndef T_UNIT_TAP_H
#define T_UNIT_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_n, tap_bad;

static inline bool tap_ok(bool pass, const char *file, int line, const char *what)
{
	printf("%sok %d - %s\n", pass ? "" : "not ", ++tap_n, what);
	if (!pass) {
		tap_bad++;
		printf("#   failed at %s:%d\n", file, line);
	}
	fflush(stdout);
	return pass;
}
static inline bool tap_is_str(const char *got, const char *want, const char *file, int line, const char *what)
{
	bool pass = got && want ? strcmp(got, want) == 0 : got == want;

	tap_ok(pass, file, line, what);
	if (!pass)
		printf("#      got: %s\n# expected: %s\n", got ? got : "(null)", want ? want : "(null)");
	return pass;
}
static inline bool tap_is_int(long long got, long long want, const char *file, int line, const char *what)
{
	bool pass = got == want;

	tap_ok(pass, file, line, what);
	if (!pass)
		printf("#      got: %lld\n# expected: %lld\n", got, want);
	return pass;
}
#define ok(cond, what) tap_ok(!!(cond), __FILE__, __LINE__, what)
#define is_str(got, want, what) tap_is_str(got, want, __FILE__, __LINE__, what)
#define is_int(got, want, what) tap_is_int(got, want, __FILE__, __LINE__, what)

static inline int done_testing(void)
{
	printf("1..%d\n", tap_n);
	return tap_bad ? 1 : 0;
}

#endif
