/*
 * /healthz, /livez, /readyz (whole, ?verbose, ?exclude=, or one check by its
 * path) and /version. The checks are a table; a check that fails makes the whole
 * 500 and names itself, without the reason, as in Kubernetes.
 */
#include "base/arch.h"
#include "api/internal.h"

#include <stdio.h>

#include "http/http.h"

static bool check_ping(struct api *a)
{
	return true;
}

static bool check_ready(struct api *a)
{
	return a->ready;
}

static const struct check {
	const char *name;
	bool (*ok)(struct api *a);
	bool readyz_only;
} checks[] = {
	{ "ping", check_ping, false },
	{ "log", check_ping, false },
	{ "etcd", check_ping, false }, /* the store: it answers or the process is gone */
	{ "poststarthook/start-system-namespaces-controller", check_ready, true },
	{ "poststarthook/bootstrap-controller", check_ready, true },
	{ "shutdown", check_ping, true },
};

static bool excluded(struct req *r, const char *name)
{
	_cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
	struct str rest = r->head->query;

	while (http_query_next(&rest, &key, &value))
		if (streq(key.s, "exclude") && streq(value.s, name))
			return true;
	return false;
}

static bool check_exists(const char *name, bool ready_path)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		if (streq(checks[i].name, name) && (ready_path || !checks[i].readyz_only))
			return true;
	return false;
}

/* A line about checks that are to be left out and do not exist. */
static void health_warn_excluded(struct req *r, bool ready_path, struct buf *out)
{
	_cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT, names = BUF_INIT;
	struct str rest = r->head->query;

	while (http_query_next(&rest, &key, &value)) {
		if (!streq(key.s, "exclude") || check_exists(value.s, ready_path))
			continue;
		buf_adds(&names, names.len ? ", " : "");
		buf_add_json_string(&names, buf_str(&value));
	}
	if (names.len)
		buf_addf(out, "warn: some health checks cannot be excluded: no matches for %s\n", names.s);
}

static bool health_is_ready_path(const char *path)
{
	return starts_with(path, "/readyz");
}

static int health_one(struct req *r, const char *name, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		if (!streq(checks[i].name, name))
			continue;
		if (checks[i].ok(r->api)) {
			buf_adds(&r->text, "ok");
			answer_text(r, 200, "text/plain; charset=utf-8");
		} else {
			buf_adds(&r->text, "internal server error: failed: reason withheld\n");
			answer_text(r, 500, "text/plain; charset=utf-8");
		}
		return STEP_DONE;
	}
	buf_adds(&r->text, "404 page not found\n");
	answer_text(r, 404, "text/plain; charset=utf-8");
	return STEP_DONE;
}

int act_health(struct req *r, struct err *e)
{
	_cleanup_buf_ struct buf lines = BUF_INIT;
	struct str rest = str_of(r->at.path + 1), top = str_cut(&rest, '/');
	bool ready_path = health_is_ready_path(r->at.path), fine = true;

	if (rest.n)
		return health_one(r, rest.p, e);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		bool ok;

		if (checks[i].readyz_only && !ready_path)
			continue;
		if (excluded(r, checks[i].name)) {
			buf_addf(&lines, "[+]%s excluded: ok\n", checks[i].name);
			continue;
		}
		ok = checks[i].ok(r->api);
		fine &= ok;
		buf_addf(&lines, ok ? "[+]%s ok\n" : "[-]%s failed: reason withheld\n", checks[i].name);
	}
	health_warn_excluded(r, ready_path, &lines);
	buf_addf(&lines, "%.*s check %s\n", (int)top.n, top.p, fine ? "passed" : "failed");
	if (fine && !req_query(r, "verbose"))
		buf_adds(&r->text, "ok");
	else
		buf_addstr(&r->text, buf_str(&lines));
	answer_text(r, fine ? 200 : 500, "text/plain; charset=utf-8");
	return STEP_DONE;
}

int act_version(struct req *r, struct err *e)
{
	const char *v = r->api->cfg.version;
	int major = 0, minor = 0;

	(void)sscanf(v, "v%d.%d", &major, &minor);
	buf_addf(&r->text,
		 "{\n  \"major\": \"%d\",\n  \"minor\": \"%d\",\n  \"emulationMajor\": \"%d\",\n"
		 "  \"emulationMinor\": \"%d\",\n  \"minCompatibilityMajor\": \"%d\",\n  \"minCompatibilityMinor\": \"%d\",\n"
		 "  \"gitVersion\": \"%s\",\n  \"gitCommit\": \"\",\n  \"gitTreeState\": \"clean\",\n"
		 "  \"buildDate\": \"1970-01-01T00:00:00Z\",\n  \"goVersion\": \"none (C %ld)\",\n"
		 "  \"compiler\": \"%s\",\n  \"platform\": \"linux/%s\"\n}",
		 major, minor, major, minor, major, minor - 1, v, __STDC_VERSION__,
#ifdef __clang__
		 "clang",
#else
		 "gcc",
#endif
		 ARCH_NAME);
	answer_text(r, 200, "application/json");
	return STEP_DONE;
}
