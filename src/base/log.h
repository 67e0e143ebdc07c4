/*
 * Logging: a constant message and typed fields, one line each.
 *
 *	log_info("started container", LS("pod", key), LI("pid", pid));
 *
 * Text (logfmt with a level letter) on stderr; JSON when KINGLET_LOG_FORMAT=json.
 * Only boundaries log (see err.h); libraries stay silent above debug.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include "base/str.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

struct log_field {
	const char *name; /* NULL ends the list */
	char type; /* 's' string, 'i' integer */
	const char *s;
	long long i;
};
#define LS(n, v) ((struct log_field){ .name = (n), .type = 's', .s = (v) })
#define LI(n, v) ((struct log_field){ .name = (n), .type = 'i', .i = (long long)(v) })
#define LE(e) LS("error", err_msg(e))

extern enum log_level log_threshold; /* default LOG_INFO */

void log_write(enum log_level l, const char *msg, const struct log_field *fields);
#define log_at(l, msg, ...)                                                                   \
	do {                                                                                  \
		if ((l) >= log_threshold)                                                     \
			log_write(l, msg,                                                     \
				  (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } }); \
	} while (0)
#define log_trace(msg, ...) log_at(LOG_TRACE, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_debug(msg, ...) log_at(LOG_DEBUG, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_info(msg, ...) log_at(LOG_INFO, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_warn(msg, ...) log_at(LOG_WARN, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_error(msg, ...) log_at(LOG_ERROR, msg __VA_OPT__(, ) __VA_ARGS__)

bool log_level_parse(const char *name, enum log_level *ret); /* trace debug info warn error */
void log_to_fd(int fd); /* default 2 */

#endif
