/*
 * Allocation that cannot fail, and the end of the process when it would.
 *
 * Messages go straight to fd 2 with write(2): at this point neither stdio nor
 * the log may allocate. Nothing here needs another file of base/, because the
 * keepers link this too.
 */
#include "base/alloc.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void alloc_say(const char *text)
{
	ssize_t n = write(STDERR_FILENO, text, strlen(text));

	(void)n;
}

static NORETURN void alloc_die(size_t n)
{
	char text[96];

	snprintf(text, sizeof(text), "kinglet: out of memory (%zu bytes wanted)\n", n);
	alloc_say(text);
	abort();
}

void *xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	if (!p)
		alloc_die(n);
	return p;
}

void *xcalloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		alloc_die(size && count > SIZE_MAX / size ? SIZE_MAX : count * size);
	return p;
}

void *xrealloc(void *p, size_t n)
{
	void *q = realloc(p, n ? n : 1);

	if (!q)
		alloc_die(n);
	return q;
}

void *xreallocarray(void *p, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n))
		alloc_die(SIZE_MAX);
	return xrealloc(p, n);
}

void *xmemdup(const void *p, size_t n)
{
	void *q = xmalloc(n);

	if (n)
		memcpy(q, p, n);
	return q;
}

char *xmemdupz(const void *p, size_t n)
{
	char *q;

	if (n == SIZE_MAX)
		alloc_die(n);
	q = xmalloc(n + 1);
	if (n)
		memcpy(q, p, n);
	q[n] = '\0';
	return q;
}

char *xstrdup(const char *s)
{
	return xmemdupz(s, strlen(s));
}

char *xstrdup_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

char *xvasprintf(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		alloc_die(strlen(fmt));
	return s;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}

void *free_null(void *p)
{
	free(p);
	return NULL;
}

int close_fd(int fd)
{
	int saved = errno;

	/* Linux frees the descriptor even when close says EINTR: never repeated. */
	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

void bug_abort(const char *file, int line, const char *func, const char *what)
{
	char text[512];

	snprintf(text, sizeof(text), "kinglet: bug: %s:%d: %s: %s\n", file, line, func, what);
	alloc_say(text);
	abort();
}
