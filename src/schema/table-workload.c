/*
 * Table rows of what owns pods: controllers, jobs, autoscalers, budgets.
 */
#include "schema/table.h"

#include <inttypes.h>

static int64_t at(const struct node *n, enum field a, enum field b)
{
	return node_int(node_path(n, a, b), 0);
}

/* Wide columns: containers, images, selector. */
static void workload_tail(struct table_row *w, const struct node *spec)
{
	table_containers(w, node_path(spec, F_template, F_spec));
	table_selector(w, node_get(spec, F_selector), TABLE_NONE, "<error>");
}

static void workload_replicas(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_int(w, at(n, F_spec, F_replicas));
	table_int(w, at(n, F_status, F_replicas));
	table_int(w, at(n, F_status, F_readyReplicas));
	table_created(w, n);
}

void table_row_replicationcontrollers(struct table_row *w, const struct node *n)
{
	workload_replicas(w, n);
	table_containers(w, node_path(n, F_spec, F_template, F_spec));
	table_labels(w, node_path(n, F_spec, F_selector));
}

void table_row_replicasets(struct table_row *w, const struct node *n)
{
	workload_replicas(w, n);
	workload_tail(w, node_get(n, F_spec));
}

void table_row_daemonsets(struct table_row *w, const struct node *n)
{
	const struct node *s = node_get(n, F_status);

	table_name(w, n);
	table_int(w, node_int(node_get(s, F_desiredNumberScheduled), 0));
	table_int(w, node_int(node_get(s, F_currentNumberScheduled), 0));
	table_int(w, node_int(node_get(s, F_numberReady), 0));
	table_int(w, node_int(node_get(s, F_updatedNumberScheduled), 0));
	table_int(w, node_int(node_get(s, F_numberAvailable), 0));
	table_labels(w, node_path(n, F_spec, F_template, F_spec, F_nodeSelector));
	table_created(w, n);
	workload_tail(w, node_get(n, F_spec));
}

void table_row_statefulsets(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_fmt(w, "%" PRId64 "/%" PRId64, at(n, F_status, F_readyReplicas), at(n, F_spec, F_replicas));
	table_created(w, n);
	table_containers(w, node_path(n, F_spec, F_template, F_spec));
}

void table_row_deployments(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_fmt(w, "%" PRId64 "/%" PRId64, at(n, F_status, F_readyReplicas), at(n, F_spec, F_replicas));
	table_int(w, at(n, F_status, F_updatedReplicas));
	table_int(w, at(n, F_status, F_availableReplicas));
	table_created(w, n);
	table_containers(w, node_path(n, F_spec, F_template, F_spec));
	table_selector(w, node_path(n, F_spec, F_selector), "", "<invalid>");
}

void table_row_controllerrevisions(struct table_row *w, const struct node *n)
{
	const struct node *owner = meta_controller(n);
	struct buf *b = table_text(w);

	if (owner) {
		struct str rest = str_of(node_gets(owner, F_apiVersion)), group = str_cut(&rest, '/');

		buf_adds(b, node_gets(owner, F_kind));
		if (rest.p)
			buf_addf(b, ".%" STR_FMT, STR_ARG(group));
		for (size_t i = 0; i < b->len; i++)
			if (b->s[i] >= 'A' && b->s[i] <= 'Z')
				b->s[i] += 'a' - 'A';
		buf_addf(b, "/%s", node_gets(owner, F_name));
	}
	/* The text must outlive the name's cell, which does not use it. */
	table_name(w, n);
	table_end(w, TABLE_NONE);
	table_int(w, node_int(node_get(n, F_revision), 0));
	table_created(w, n);
}

/* --- batch --- */
static void job_completions(struct table_row *w, const struct node *n)
{
	const struct node *completions = node_path(n, F_spec, F_completions);
	int64_t done = at(n, F_status, F_succeeded), parallel = at(n, F_spec, F_parallelism);

	if (completions)
		table_fmt(w, "%" PRId64 "/%" PRId64, done, node_int(completions, 0));
	else if (parallel > 1)
		table_fmt(w, "%" PRId64 "/1 of %" PRId64, done, parallel);
	else
		table_fmt(w, "%" PRId64 "/1", done);
}

static void job_duration(struct table_row *w, const struct node *n)
{
	int64_t start, end;

	if (!time_parse_rfc3339(node_str(node_path(n, F_status, F_startTime)), &start)) {
		table_cstr(w, "");
		return;
	}
	if (!time_parse_rfc3339(node_str(node_path(n, F_status, F_completionTime)), &end))
		end = w->now * SEC_NS;
	table_duration(w, (end - start) / SEC_NS);
}

static const char *job_status(const struct node *n)
{
	const struct node *c = node_path(n, F_status, F_conditions);

	if (cond_is_true(c, "Complete"))
		return "Complete";
	if (cond_is_true(c, "Failed"))
		return "Failed";
	if (meta_is_deleting(n))
		return "Terminating";
	if (cond_is_true(c, "Suspended"))
		return "Suspended";
	return cond_is_true(c, "FailureTarget") ? "FailureTarget" : "Running";
}

void table_row_jobs(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_cstr(w, job_status(n));
	job_completions(w, n);
	job_duration(w, n);
	table_created(w, n);
	workload_tail(w, node_get(n, F_spec));
}

void table_row_cronjobs(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec), *suspend = node_get(spec, F_suspend);
	const struct node *last = node_path(n, F_status, F_lastScheduleTime);

	table_name(w, n);
	table_or(w, node_get(spec, F_schedule), "");
	table_or(w, node_get(spec, F_timeZone), TABLE_NONE);
	table_cstr(w, !suspend ? TABLE_UNSET : node_bool(suspend, false) ? "True" : "False");
	table_int(w, (int64_t)node_count(node_path(n, F_status, F_active)));
	if (last)
		table_age(w, last);
	else
		table_cstr(w, TABLE_NONE);
	table_created(w, n);
	workload_tail(w, node_path(spec, F_jobTemplate, F_spec));
}

/* --- autoscaling and disruption --- */
/* The part of a metric's spec or status that its type names: "Resource" has resource. */
static const struct node *hpa_source(const struct node *metric, const char *type)
{
	static const struct {
		const char *type;
		enum field field;
	} sources[] = {
		{"External", F_external},
		{"Pods", F_pods},
		{"Object", F_object},
		{"Resource", F_resource},
		{"ContainerResource", F_containerResource},
	};

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (streq(type, sources[i].type))
			return node_get(metric, sources[i].field);
	return NULL;
}

static void hpa_percent(struct buf *b, const struct node *n, const char *absent)
{
	if (n)
		buf_addf(b, "%" PRId64 "%%", node_int(n, 0));
	else
		buf_adds(b, absent);
}

/* "cpu: 20%/80%", "10/5 (avg)": one metric of a HorizontalPodAutoscaler. */
static void hpa_metric(struct buf *b, const struct node *spec, const struct node *status)
{
	const char *type = node_gets(spec, F_type);
	const struct node *source = hpa_source(spec, type), *target = node_get(source, F_target);
	const struct node *current = node_get(hpa_source(status, type), F_current);
	const struct node *average = node_get(target, F_averageValue);
	bool resource = ends_with(type, "Resource");

	if (!source) {
		buf_adds(b, "<unknown type>");
		return;
	}
	if (resource)
		buf_addf(b, "%s: ", node_gets(source, F_name));
	if (average) {
		table_quantity(b, node_get(current, F_averageValue), TABLE_UNKNOWN);
		buf_addch(b, '/');
		table_quantity(b, average, "");
		if (!resource && !streq(type, "Pods"))
			buf_adds(b, " (avg)");
	} else if (resource) {
		hpa_percent(b, node_get(current, F_averageUtilization), TABLE_UNKNOWN);
		buf_addch(b, '/');
		hpa_percent(b, node_get(target, F_averageUtilization), "<auto>");
	} else {
		table_quantity(b, node_get(current, F_value), TABLE_UNKNOWN);
		buf_addch(b, '/');
		table_quantity(b, node_get(target, F_value), "");
	}
}

static void hpa_metrics(struct table_row *w, const struct node *n)
{
	const struct node *specs = node_path(n, F_spec, F_metrics);
	const struct node *status = node_first(node_path(n, F_status, F_currentMetrics));
	const struct node *v1 = node_path(n, F_spec, F_targetCPUUtilizationPercentage);
	struct buf *b = table_text(w);
	size_t shown = 0;

	if (v1) {
		/* autoscaling/v1 knows one metric, outside of the list. */
		buf_adds(b, "cpu: ");
		hpa_percent(b, node_path(n, F_status, F_currentCPUUtilizationPercentage), TABLE_UNKNOWN);
		buf_addch(b, '/');
		hpa_percent(b, v1, "<auto>");
	}
	NODE_FOREACH (s, specs) {
		if (shown++ < 2) {
			if (b->len)
				buf_adds(b, ", ");
			hpa_metric(b, s, status);
		}
		status = status ? status->next : NULL;
	}
	if (shown > 2)
		buf_addf(b, " + %zu more...", shown - 2);
	table_end(w, TABLE_NONE);
}

void table_row_horizontalpodautoscalers(struct table_row *w, const struct node *n)
{
	const struct node *ref = node_path(n, F_spec, F_scaleTargetRef);
	const struct node *min = node_path(n, F_spec, F_minReplicas);

	table_name(w, n);
	table_fmt(w, "%s/%s", node_gets(ref, F_kind), node_gets(ref, F_name));
	hpa_metrics(w, n);
	if (min)
		table_fmt(w, "%" PRId64, node_int(min, 0));
	else
		table_cstr(w, TABLE_UNSET);
	table_int(w, at(n, F_spec, F_maxReplicas));
	table_int(w, at(n, F_status, F_currentReplicas));
	table_created(w, n);
}

static void pdb_bound(struct table_row *w, const struct node *n)
{
	if (node_is(n, DOC_INT))
		table_fmt(w, "%" PRId64, node_int(n, 0));
	else
		table_or(w, n, "N/A");
}

void table_row_poddisruptionbudgets(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	pdb_bound(w, node_path(n, F_spec, F_minAvailable));
	pdb_bound(w, node_path(n, F_spec, F_maxUnavailable));
	table_int(w, at(n, F_status, F_disruptionsAllowed));
	table_created(w, n);
}
