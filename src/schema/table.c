/*
 * Server-side tables: meta.k8s.io/v1 Table as kube-apiserver answers it, which
 * is what `kubectl get` prints.
 *
 * Here are the column definitions, the choice of the row function, and the
 * cells that many kinds share; table-*.c hold one function for each resource.
 * As in Kubernetes the server always computes the wide columns too and the
 * client leaves out those with a priority. A resource without columns of its
 * own has Name and Created At.
 *
 * To add a resource: its rows in columns.tsv and a function table_row_PLURAL
 * that writes as many cells.
 */
#include "schema/table.h"
#include "schema/crd.h"

#include <inttypes.h>
#include <stdio.h>

static void table_row_default(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_str(w, node_str(node_path(n, F_metadata, F_creationTimestamp)));
}

/* Resources that share a storage share a table: events.k8s.io events print as core events do. */
static const struct schema_res_extra *table_of(const struct schema_res *r)
{
	const struct schema_res_extra *x = schema_extra(r);

	return x->n_columns ? x : schema_extra(schema_storage(r));
}

static void table_column(struct buf *out, const char *name, const char *type, const char *format,
			 const char *desc, int priority)
{
	buf_adds(out, "{\"name\":");
	buf_add_json_string(out, str_of(name));
	buf_addf(out, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":", type, format);
	buf_add_json_string(out, str_of(desc));
	buf_addf(out, ",\"priority\":%d}", priority);
}

void schema_table_columns(const struct schema_res *r, struct buf *out)
{
	const struct schema_res_extra *x;

	if (r->custom) {
		crd_table_columns(r, out);
		return;
	}
	x = table_of(r);
	buf_adds(out, "\"columnDefinitions\":[");
	for (unsigned i = 0; i < x->n_columns; i++) {
		const struct schema_column *c = &schema_columns[x->columns + i];

		if (i)
			buf_addch(out, ',');
		table_column(out, SCHEMA_STR(c->name), SCHEMA_STR(c->type), SCHEMA_STR(c->format),
			     SCHEMA_STR(c->desc), c->priority);
	}
	if (!x->n_columns) {
		table_column(out, "Name", "string", "name", "The name of the object.", 0);
		buf_addch(out, ',');
		table_column(out, "Created At", "date", "", "When the object was created, in UTC.", 0);
	}
	buf_addch(out, ']');
}

void schema_table_cells(const struct schema_res *r, const struct node *root, int64_t now, struct buf *out)
{
	const struct schema_res_extra *x;
	struct table_row w = {.out = out, .now = now, .text = BUF_INIT};

	if (r->custom) {
		crd_table_cells(r, root, now, out);
		return;
	}
	x = table_of(r);
	buf_adds(out, "\"cells\":[");
	(x->row ? x->row : table_row_default)(&w, root);
	BUG_ON(w.n != (x->n_columns ? x->n_columns : 2));
	buf_addch(out, ']');
	if (w.completed)
		buf_addf(out,
			 ",\"conditions\":[{\"type\":\"Completed\",\"status\":\"True\","
			 "\"reason\":\"%s\",\"message\":\"%s\"}]",
			 w.completed,
			 streq(w.completed, "Failed") ? "The pod failed." : "The pod ended successfully.");
	buf_release(&w.text);
}

/* --- cells --- */
static void table_begin(struct table_row *w)
{
	if (w->n++)
		buf_addch(w->out, ',');
}

void table_str(struct table_row *w, struct str s)
{
	table_begin(w);
	buf_add_json_string(w->out, s);
}

void table_cstr(struct table_row *w, const char *s)
{
	table_str(w, str_of(s));
}

void table_or(struct table_row *w, const struct node *n, const char *dflt)
{
	struct str s = node_str(n);

	table_str(w, s.n ? s : str_of(dflt));
}

void table_name(struct table_row *w, const struct node *n)
{
	table_cstr(w, meta_name(n));
}

void table_int(struct table_row *w, int64_t i)
{
	table_begin(w);
	buf_addf(w->out, "%" PRId64, i);
}

void table_bool(struct table_row *w, bool b)
{
	table_begin(w);
	buf_adds(w->out, b ? "true" : "false");
}

void table_fmt(struct table_row *w, const char *fmt, ...)
{
	struct buf *b = table_text(w);
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(b, fmt, ap);
	va_end(ap);
	table_end(w, "");
}

struct buf *table_text(struct table_row *w)
{
	buf_clear(&w->text);
	return &w->text;
}

void table_end(struct table_row *w, const char *dflt)
{
	table_str(w, w->text.len ? buf_str(&w->text) : str_of(dflt));
}

/* --- times --- */
static void table_duration_text(int64_t seconds, char out[32])
{
	/* A clock that is off by a moment is no error, one that is far off shows. */
	if (seconds < -1)
		snprintf(out, 32, "<invalid>");
	else
		time_fmt_human(out, seconds < 0 ? 0 : seconds);
}

void table_age_text(const struct table_row *w, const struct node *n, struct buf *out)
{
	char text[32];
	int64_t ns;

	if (!time_parse_rfc3339(node_str(n), &ns)) {
		buf_adds(out, TABLE_UNKNOWN);
		return;
	}
	/* Both sides cut to seconds: less than one past counts as none. */
	table_duration_text(w->now - ns / SEC_NS, text);
	buf_adds(out, text);
}

void table_age(struct table_row *w, const struct node *n)
{
	table_age_text(w, n, table_text(w));
	table_end(w, "");
}

void table_created(struct table_row *w, const struct node *n)
{
	table_age(w, node_path(n, F_metadata, F_creationTimestamp));
}

void table_duration(struct table_row *w, int64_t seconds)
{
	char text[32];

	table_duration_text(seconds, text);
	table_cstr(w, text);
}

/* --- lists --- */
void table_join(struct buf *b, const char *sep, struct str s)
{
	if (b->len)
		buf_adds(b, sep);
	buf_addstr(b, s);
}

void table_join_all(struct buf *b, const struct node *arr)
{
	NODE_FOREACH (c, arr)
		table_join(b, ",", node_str(c));
}

void table_list_add(struct table_list *l, struct str s)
{
	l->total++;
	if (l->n == 3)
		return;
	l->n++;
	table_join(l->b, ",", s);
}

void table_list_end(struct table_row *w, struct table_list *l, const char *empty)
{
	if (l->total > l->n)
		buf_addf(l->b, " + %zu more...", l->total - l->n);
	table_end(w, empty);
}

static void table_container_field(struct table_row *w, const struct node *containers, enum field f)
{
	struct buf *b = table_text(w);
	bool first = true;

	NODE_FOREACH (c, containers) {
		if (!first)
			buf_addch(b, ',');
		first = false;
		buf_adds(b, node_gets(c, f));
	}
	table_end(w, "");
}

void table_containers(struct table_row *w, const struct node *pod_spec)
{
	const struct node *containers = node_get(pod_spec, F_containers);

	table_container_field(w, containers, F_name);
	table_container_field(w, containers, F_image);
}

static int table_key_cmp(const void *a, const void *b)
{
	return str_cmp(node_key(*(const struct node *const *)a), node_key(*(const struct node *const *)b));
}

void table_labels(struct table_row *w, const struct node *map)
{
	size_t n = node_is(map, DOC_OBJECT) ? node_count(map) : 0, i = 0;
	_cleanup_free_ const struct node **v = xcalloc(n + 1, sizeof(*v));
	struct buf *b = table_text(w);

	if (n)
		NODE_FOREACH (c, map)
			v[i++] = c;
	qsort(v, n, sizeof(*v), table_key_cmp);
	for (i = 0; i < n; i++) {
		table_join(b, ",", node_key(v[i]));
		buf_addch(b, '=');
		buf_addstr(b, node_str(v[i]));
	}
	table_end(w, TABLE_NONE);
}

void table_selector(struct table_row *w, const struct node *label_selector, const char *empty,
		    const char *bad)
{
	struct selector *s = NULL;
	struct err e = {0};

	if (!label_selector) {
		table_cstr(w, empty);
		return;
	}
	if (selector_from_node(&s, label_selector, &e) < 0) {
		table_cstr(w, bad);
		err_release(&e);
		return;
	}
	selector_print(s, table_text(w));
	table_end(w, empty);
	selector_free(s);
}

void table_quantity(struct buf *b, const struct node *n, const char *absent)
{
	struct quantity q;

	if (!n)
		buf_adds(b, absent);
	else if (quantity_from_node(&q, n))
		quantity_print(&q, b);
	else
		buf_addstr(b, node_str(n));
}
