/*
 * Field selectors: which fields of a kind may be selected and what their values
 * are (selectable.tsv).
 *
 * metadata.name and metadata.namespace are selectable for every kind. Other rows
 * give a label and, where it differs, the path of the value; the group
 * events.k8s.io reads the same objects under their own names (regarding.name).
 */
#include "schema/crd.h"

static const struct schema_selectable *select_row(const struct schema_res *r, const char *path)
{
	const struct schema_res_extra *x = schema_extra(r);

	for (unsigned i = 0; x && i < x->n_selectable; i++) {
		const struct schema_selectable *s = &schema_selectables[x->selectable + i];

		if (streq(SCHEMA_STR(s->field), path))
			return s;
	}
	return NULL;
}

static bool select_is_meta(const struct schema_res *r, const char *path)
{
	return streq(path, "metadata.name") || (streq(path, "metadata.namespace") && r->r.namespaced);
}

/* Values that are no plain field: what the object's own version calls otherwise, and counted things. */
static struct str select_value(const struct schema_res *r, const struct node *root, const char *path,
			       const struct schema_selectable *s, struct buf *scratch)
{
	struct str v;

	if (!s)
		return node_dotted(root, path, scratch);
	if (streq(path, "source") && streq(r->r.kind, "Event")) {
		v = node_dotted(root, "source.component", scratch);
		return v.n ? v : node_dotted(root, "reportingComponent", scratch);
	}
	if (streq(path, "status.podIPs")) {
		buf_clear(scratch);
		NODE_FOREACH(c, node_path(root, F_status, F_podIPs))
			buf_addf(scratch, "%s%s", scratch->len ? "," : "", node_gets(c, F_ip));
		return buf_str(scratch);
	}
	v = node_dotted(root, path, scratch);
	return v.n ? v : node_dotted(root, SCHEMA_STR(s->path), scratch);
}

/* Fields whose absent value is selected by its zero: spec.unschedulable=false finds most nodes. */
static struct str select_zero(const char *path)
{
	static const struct {
		const char *path, *zero;
	} ZEROS[] = { { "spec.unschedulable", "false" },
		      { "spec.hostNetwork", "false" },
		      { "status.replicas", "0" },
		      { "status.successful", "0" } };

	for (size_t i = 0; i < ARRAY_SIZE(ZEROS); i++) {
		if (streq(path, ZEROS[i].path))
			return str_of(ZEROS[i].zero);
	}
	return STR_LIT("");
}

bool schema_field_value(const struct schema_res *r, const struct node *root, const char *path, struct buf *scratch,
			struct str *ret)
{
	const struct schema_selectable *s = select_row(r, path);

	if (!s && !select_is_meta(r, path) && !crd_selectable(r, path))
		return false;
	*ret = select_value(r, root, path, s, scratch);
	if (ret->n == 0)
		*ret = select_zero(path);
	return true;
}

/* Kinds with rows of their own answer in other words than those that only have metadata's. */
static bool select_has_own(const struct schema_res *r)
{
	const struct schema_res_extra *x = schema_extra(r);

	if (!x)
		return crd_has_selectable(r);
	for (unsigned i = 0; i < x->n_selectable; i++) {
		if (!starts_with(SCHEMA_STR(schema_selectables[x->selectable + i].field), "metadata."))
			return true;
	}
	return false;
}

int schema_check_fieldsel(const struct schema_res *r, const struct fieldsel *s, struct err *e)
{
	for (size_t i = 0; s && i < s->n; i++) {
		const char *path = s->terms[i].path;

		if (select_row(r, path) || select_is_meta(r, path) || crd_selectable(r, path))
			continue;
		if (select_has_own(r))
			return err_set(e, ERR_BAD_REQUEST, "field label not supported: %s", path);
		return err_set(e, ERR_BAD_REQUEST,
			       "\"%s\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
			       path);
	}
	return 0;
}

bool schema_fieldsel_match(const struct schema_res *r, const struct fieldsel *s, const struct node *root)
{
	_cleanup_buf_ struct buf scratch = BUF_INIT;

	for (size_t i = 0; s && i < s->n; i++) {
		const struct fieldsel_term *t = &s->terms[i];
		struct str value;

		if (!schema_field_value(r, root, t->path, &scratch, &value) ||
		    str_eqc(value, t->value) == t->negate)
			return false;
	}
	return true;
}
