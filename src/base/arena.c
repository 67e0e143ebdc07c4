/*
 * The arena: a chain of chunks, each twice as large as the one before (1 KiB to
 * 64 KiB). A block of more than a quarter of the largest chunk gets a chunk of
 * its own behind the current one, so that it does not waste what is left there.
 */
#include "base/arena.h"

#include <stdio.h>

#define ARENA_MIN 1024
#define ARENA_MAX 65536
#define ARENA_ALIGN 8

struct arena_chunk {
	struct arena_chunk *next;
	char data[] __attribute__((aligned(ARENA_ALIGN)));
};

struct arena_cleanup {
	struct arena_cleanup *next;
	void (*f)(void *);
	void *arg;
};

struct arena {
	struct arena_chunk *chunks; /* the first is the one that is filled, if pos is set */
	struct arena_cleanup *cleanups;
	char *pos, *end;
	size_t next_size, total;
};

struct arena *arena_new(void)
{
	struct arena *a = xcalloc(1, sizeof(*a));

	a->next_size = ARENA_MIN;
	a->total = sizeof(*a);
	return a;
}

struct arena *arena_free(struct arena *a)
{
	struct arena_chunk *c;

	if (!a)
		return NULL;
	while (a->cleanups) {
		struct arena_cleanup *cl = a->cleanups;

		a->cleanups = cl->next;
		cl->f(cl->arg);
	}
	while ((c = a->chunks)) {
		a->chunks = c->next;
		free(c);
	}
	free(a);
	return NULL;
}

static struct arena_chunk *arena_new_chunk(struct arena *a, size_t size)
{
	struct arena_chunk *c = xmalloc(size);

	a->total += size;
	return c;
}

static void *arena_alloc_alone(struct arena *a, size_t n)
{
	struct arena_chunk *c;

	if (n > SIZE_MAX - sizeof(*c))
		n = SIZE_MAX - sizeof(*c); /* xmalloc dies of it */
	c = arena_new_chunk(a, sizeof(*c) + n);
	if (a->chunks) {
		c->next = a->chunks->next;
		a->chunks->next = c;
	} else {
		c->next = NULL;
		a->chunks = c;
	}
	return c->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_chunk *c;
	size_t rounded;
	void *p;

	if (n > ARENA_MAX / 4)
		return arena_alloc_alone(a, n);
	rounded = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (rounded == 0)
		rounded = ARENA_ALIGN;
	if ((size_t)(a->end - a->pos) < rounded) {
		while (a->next_size < sizeof(*c) + rounded)
			a->next_size *= 2;
		c = arena_new_chunk(a, a->next_size);
		c->next = a->chunks;
		a->chunks = c;
		a->pos = c->data;
		a->end = (char *)c + a->next_size;
		if (a->next_size < ARENA_MAX)
			a->next_size *= 2;
	}
	p = a->pos;
	a->pos += rounded;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

char *arena_memdupz(struct arena *a, const void *p, size_t n)
{
	char *q = arena_alloc(a, n + 1);

	if (n)
		memcpy(q, p, n);
	q[n] = '\0';
	return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_memdupz(a, s, strlen(s));
}

struct str arena_str(struct arena *a, struct str s)
{
	return str_n(arena_memdupz(a, s.p, s.n), s.n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *s;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	BUG_ON(n < 0);
	s = arena_alloc(a, (size_t)n + 1);
	vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return s;
}

void arena_on_free(struct arena *a, void (*f)(void *), void *arg)
{
	struct arena_cleanup *cl = arena_alloc(a, sizeof(*cl));

	*cl = (struct arena_cleanup){ .next = a->cleanups, .f = f, .arg = arg };
	a->cleanups = cl;
}

size_t arena_size(const struct arena *a)
{
	return a->total;
}
