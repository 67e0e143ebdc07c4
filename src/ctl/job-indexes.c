/*
 * Sets of completion indexes, kept and written as intervals: "0,2,3,5-7".
 */
#include <stdlib.h>

#include "ctl/job.h"

void job_indexes_push(job_indexes *s, int64_t first, int64_t last)
{
	struct job_span span = { first, last };

	VEC_PUSH(s, span);
}

void job_indexes_push_all(job_indexes *s, const job_indexes *more)
{
	for (size_t i = 0; i < more->n; i++)
		VEC_PUSH(s, more->v[i]);
}

static int job_span_order(const void *pa, const void *pb)
{
	const struct job_span *a = pa, *b = pb;

	return a->first < b->first ? -1 : a->first > b->first;
}

void job_indexes_tidy(job_indexes *s)
{
	size_t n = 0;

	if (!s->n)
		return;
	qsort(s->v, s->n, sizeof(*s->v), job_span_order);
	for (size_t i = 1; i < s->n; i++) {
		if (s->v[i].first > s->v[n].last + 1)
			s->v[++n] = s->v[i];
		else if (s->v[i].last > s->v[n].last)
			s->v[n].last = s->v[i].last;
	}
	s->n = n + 1;
}

void job_indexes_parse(job_indexes *out, struct str s, int64_t completions)
{
	while (s.p) {
		struct str to = str_cut(&s, ','), from = str_cut(&to, '-');
		int64_t first, last;

		if (!str_to_i64(from, &first) || first < 0)
			continue;
		if (first >= completions)
			break;
		last = first;
		if (to.p && (!str_to_i64(to, &last) || last < first))
			continue;
		job_indexes_push(out, first, last < completions ? last : completions - 1);
	}
	job_indexes_tidy(out);
}

void job_indexes_print(const job_indexes *s, struct buf *out)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct job_span *x = &s->v[i];

		buf_addf(out, "%s%lld", i ? "," : "", (long long)x->first);
		if (x->last > x->first)
			buf_addf(out, "%c%lld", x->last == x->first + 1 ? ',' : '-', (long long)x->last);
	}
}

int64_t job_indexes_count(const job_indexes *s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->v[i].last - s->v[i].first + 1;
	return n;
}

bool job_indexes_has(const job_indexes *s, int64_t index)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->v[mid].last < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->v[lo].first <= index;
}

int64_t job_indexes_common(const job_indexes *a, const job_indexes *b)
{
	int64_t n = 0;

	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		int64_t first = a->v[i].first > b->v[k].first ? a->v[i].first : b->v[k].first;
		int64_t last = a->v[i].last < b->v[k].last ? a->v[i].last : b->v[k].last;

		if (last >= first)
			n += last - first + 1;
		if (a->v[i].last < b->v[k].last)
			i++;
		else
			k++;
	}
	return n;
}

size_t job_indexes_missing(const job_indexes *s, int64_t completions, size_t n, int64_t *ret)
{
	int64_t next = 0;
	size_t found = 0;

	for (size_t i = 0; i <= s->n; i++) {
		int64_t end = i < s->n && s->v[i].first < completions ? s->v[i].first : completions;

		for (; next < end && found < n; next++)
			ret[found++] = next;
		if (i < s->n && s->v[i].last >= next)
			next = s->v[i].last + 1;
	}
	return found;
}
