/*
 * PodLogOptions: the query of pods/log, checked by Kubernetes' rules and turned
 * into the kubelet's. All that is wrong is told at once, as 422; what cannot be
 * read at all is 400.
 */
#include "api/internal.h"
#include "base/time.h"

#define FAULTS_MAX 6
#define EXCLUSIVE_SINCE "at most one of `sinceTime` or `sinceSeconds` may be specified"
#define EXCLUSIVE_TAIL "`tailLines` and specific `stream` are mutually exclusive for now"

struct fault {
	const char *reason, *field, *text;
};

struct log_options {
	struct req *r;
	struct buf *query;
	struct fault faults[FAULTS_MAX];
	size_t n;
};

static void fault_add(struct log_options *o, const char *reason, const char *field, const char *text)
{
	BUG_ON(o->n == FAULTS_MAX);
	o->faults[o->n++] = (struct fault){ reason, field,
					    arena_printf(o->r->arena, "%s: %s", status_cause_text(reason), text) };
}

static int fault_tell(struct log_options *o, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool many = o->n > 1;

	for (size_t i = 0; i < o->n; i++)
		buf_addf(&b, "%s%s: %s", i ? ", " : "", o->faults[i].field, o->faults[i].text);
	err_set(e, ERR_INVALID, "PodLogOptions \"%s\" is invalid: %s%s%s", o->r->at.name, many ? "[" : "", b.s,
		many ? "]" : "");
	err_about(e, NULL, "PodLogOptions", o->r->at.name);
	for (size_t i = 0; i < o->n; i++)
		err_add_cause(e, o->faults[i].reason, o->faults[i].field, "%s", o->faults[i].text);
	return -e->code;
}

/* As Go's ParseInt says what is wrong. */
static int number_bad(const char *v, struct err *e)
{
	const char *digits = v + (*v == '-' || *v == '+');
	bool number = *digits && digits[strspn(digits, "0123456789")] == '\0';

	return err_bad(e, "strconv.ParseInt: parsing \"%.64s\": %s", v, number ? "value out of range" : "invalid syntax");
}

/* Whether it was given: 1, 0, or an error. */
static int option_number(struct log_options *o, const char *name, int64_t min, struct err *e)
{
	const char *v = req_query(o->r, name);
	int64_t n;

	if (!v)
		return 0;
	if (!str_to_i64(str_of(v), &n))
		return number_bad(v, e);
	if (n < min)
		fault_add(o, "FieldValueInvalid", name,
			  arena_printf(o->r->arena, "%lld: must be greater than %s0", (long long)n, min ? "" : "or equal to "));
	buf_addf(o->query, "&%s=%lld", name, (long long)n);
	return 1;
}

static int option_time(struct log_options *o, struct err *e)
{
	const char *v = req_query(o->r, "sinceTime");
	int64_t ns;

	if (str_empty(v) || streq(v, "null"))
		return 0;
	if (!time_parse_rfc3339(str_of(v), &ns))
		return err_bad(e, "parsing time \"%.64s\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"%.64s\" as \"2006\"", v, v);
	buf_adds(o->query, "&sinceTime=");
	buf_add_url(o->query, str_of(v), false);
	return 1;
}

static void option_flag(struct log_options *o, const char *name)
{
	if (req_query_bool(o->r, name))
		buf_addf(o->query, "&%s=true", name);
}

static void option_stream(struct log_options *o, bool tail)
{
	const char *v = req_query(o->r, "stream");

	if (str_empty(v))
		return;
	if (!streq(v, "All") && !streq(v, "Stdout") && !streq(v, "Stderr"))
		fault_add(o, "FieldValueNotSupported", "stream",
			  arena_printf(o->r->arena, "\"%.64s\": supported values: \"All\", \"Stderr\", \"Stdout\"", v));
	if (!streq(v, "All") && tail)
		fault_add(o, "FieldValueForbidden", "", EXCLUSIVE_TAIL);
	buf_addf(o->query, "&stream=%.16s", v);
}

int log_options_query(struct req *r, struct buf *query, struct err *e)
{
	struct log_options o = { .r = r, .query = query };
	int tail, limit, seconds, since;

	tail = option_number(&o, "tailLines", 0, e);
	limit = tail < 0 ? tail : option_number(&o, "limitBytes", 1, e);
	since = limit < 0 ? limit : option_time(&o, e);
	if (since < 0)
		return since;
	if (since && req_query(r, "sinceSeconds")) {
		fault_add(&o, "FieldValueForbidden", "", EXCLUSIVE_SINCE);
	} else {
		seconds = option_number(&o, "sinceSeconds", 1, e);
		if (seconds < 0)
			return seconds;
	}
	option_stream(&o, tail);
	if (o.n)
		return fault_tell(&o, e);
	option_flag(&o, "follow");
	option_flag(&o, "previous");
	option_flag(&o, "timestamps");
	return 0;
}
