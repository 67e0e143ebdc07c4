/*
 * Memory: allocation that cannot fail, and clean-up by scope.
 *
 * Small internal allocations die on exhaustion (pods survive in their keepers,
 * the process is started again). No size that comes from outside reaches these
 * functions before it was compared with a limit of base/limits.h.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define ATTR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t n);
/* xrealloc of count * size; an overflow of the product dies. */
void *xreallocarray(void *p, size_t count, size_t size);
void *xmemdup(const void *p, size_t n);
/* A copy of n bytes with a NUL behind them. */
char *xmemdupz(const void *p, size_t n);
char *xstrdup(const char *s);
/* NULL stays NULL. */
char *xstrdup_null(const char *s);
char *xasprintf(const char *fmt, ...) ATTR_PRINTF(1, 2);
char *xvasprintf(const char *fmt, va_list ap) ATTR_PRINTF(1, 0);

/* free() that returns NULL, for p = free_null(p). */
void *free_null(void *p);

/* Take the value out of a variable that would clean it up. */
#define take_ptr(pp)                     \
	({                               \
		__typeof__(*(pp)) v_ = *(pp); \
		*(pp) = NULL;            \
		v_;                      \
	})
static inline int take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

/* close() that keeps errno, accepts -1 and returns -1. */
int close_fd(int fd);

static inline void cleanup_free_fn(void *p)
{
	free(*(void **)p);
}
static inline void cleanup_close_fn(int *fd)
{
	if (*fd >= 0)
		close_fd(*fd);
}
#define _cleanup_free_ __attribute__((cleanup(cleanup_free_fn)))
#define _cleanup_close_ __attribute__((cleanup(cleanup_close_fn)))
/* _cleanup_(x_freep): f takes a pointer to the variable. */
#define _cleanup_(f) __attribute__((cleanup(f)))

/* A broken invariant: prints place and text, aborts. Always on. */
#define BUG_ON(cond)                                                  \
	do {                                                          \
		if (__builtin_expect(!!(cond), 0))                    \
			bug_abort(__FILE__, __LINE__, __func__, #cond); \
	} while (0)
NORETURN void bug_abort(const char *file, int line, const char *func, const char *what);

#endif
