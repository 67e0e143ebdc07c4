/*
 * What `kubectl get` shows of custom resources (additionalPrinterColumns; Name
 * before them, Age where there are none), and which of their fields may be
 * selected (selectableFields).
 */
#include "schema/crd.h"
#include "schema/table.h"

#include <inttypes.h>

#include "base/map.h"

#define PATHS_KEPT 128

static const struct node *columns_of(const struct schema_res *r)
{
	return node_get(schema_custom_entry(r->custom), F_additionalPrinterColumns);
}

/* Parsed paths stay for the next row; NULL: the path is none. */
static void path_free(void *p)
{
	jsonpath_free(p);
}

static const struct jsonpath *column_path(const struct node *column)
{
	static struct map *kept;
	struct str text = node_str(node_get(column, F_jsonPath));
	_cleanup_err_ struct err e = ERR_INIT;
	struct jsonpath *p;

	if (!kept)
		kept = map_new(path_free);
	p = map_get(kept, text);
	if (p)
		return p;
	if (jsonpath_parse(&p, text, &e) < 0)
		return NULL;
	if (map_count(kept) >= PATHS_KEPT)
		map_clear(kept);
	map_set(kept, text, p);
	return p;
}

/* --- definitions --- */

static void column_define(struct buf *out, const char *name, const char *type, const char *format, const char *desc,
			  int64_t priority)
{
	if (out->s[out->len - 1] != '[')
		buf_addch(out, ',');
	buf_adds(out, "{\"name\":");
	buf_add_json_string(out, str_of(name));
	buf_addf(out, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":", type, format);
	buf_add_json_string(out, str_of(desc));
	buf_addf(out, ",\"priority\":%" PRId64 "}", priority);
}

void crd_table_columns(const struct schema_res *r, struct buf *out)
{
	const struct node *columns = columns_of(r);

	buf_adds(out, "\"columnDefinitions\":[");
	column_define(out, "Name", "string", "name", "The name of the object, unique among its kind in a namespace.", 0);
	NODE_FOREACH(c, columns) {
		_cleanup_buf_ struct buf desc = BUF_INIT;

		if (*node_gets(c, F_description))
			buf_adds(&desc, node_gets(c, F_description));
		else
			buf_addf(&desc, "Custom resource definition column (in JSONPath format): %s", node_gets(c, F_jsonPath));
		column_define(out, node_gets(c, F_name), node_gets(c, F_type), node_gets(c, F_format), desc.s,
			      node_int(node_get(c, F_priority), 0));
	}
	if (!node_count(columns))
		column_define(out, "Age", "date", "", "When the object was created, in UTC.", 0);
	buf_addch(out, ']');
}

/* --- cells --- */

struct cell {
	struct buf *text; /* all values as text, joined by blanks */
	const struct node *first;
};

static bool cell_first(void *arg, const struct node *n)
{
	((struct cell *)arg)->first = n;
	return false;
}

static bool cell_text(void *arg, const struct node *n)
{
	struct cell *c = arg;

	if (c->first)
		buf_addch(c->text, ' ');
	c->first = n;
	if (node_is(n, DOC_STRING))
		buf_addstr(c->text, node_str(n));
	else if (!node_is(n, DOC_NULL))
		doc_print_json(c->text, n, DOC_PRINT_COMPACT);
	return true;
}

static void cell_date(const struct node *n, int64_t now, struct buf *out)
{
	struct table_row w = { .out = out, .now = now, .text = BUF_INIT };
	int64_t ns;

	if (!node_is(n, DOC_STRING))
		buf_adds(out, "null");
	else if (!time_parse_rfc3339(node_str(n), &ns))
		buf_adds(out, "\"<invalid>\"");
	else
		table_age(&w, n);
	buf_release(&w.text);
}

static void cell_plain(const struct node *n, const char *type, struct buf *out)
{
	bool number = node_is(n, DOC_INT) || node_is(n, DOC_FLOAT);

	if (streq(type, "integer") && number)
		buf_addf(out, "%" PRId64, node_is(n, DOC_INT) ? n->u.i : (int64_t)node_double(n, 0));
	else if ((streq(type, "number") && number) || (streq(type, "boolean") && node_is(n, DOC_BOOL)))
		doc_print_json(out, n, DOC_PRINT_COMPACT);
	else
		buf_adds(out, "null");
}

static void cell_write(const struct node *column, const struct node *root, int64_t now, struct buf *out)
{
	const struct jsonpath *p = column_path(column);
	const char *type = node_gets(column, F_type);
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct cell c = { &text, NULL };

	buf_addch(out, ',');
	if (p)
		jsonpath_eval(p, root, streq(type, "string") ? cell_text : cell_first, &c);
	if (!c.first)
		buf_adds(out, "null");
	else if (streq(type, "string"))
		buf_add_json_string(out, buf_str(&text));
	else if (streq(type, "date"))
		cell_date(c.first, now, out);
	else
		cell_plain(c.first, type, out);
}

void crd_table_cells(const struct schema_res *r, const struct node *root, int64_t now, struct buf *out)
{
	const struct node *columns = columns_of(r);

	buf_adds(out, "\"cells\":[");
	buf_add_json_string(out, str_of(meta_name(root)));
	NODE_FOREACH(c, columns)
		cell_write(c, root, now, out);
	if (!node_count(columns)) {
		buf_addch(out, ',');
		cell_date(node_path(root, F_metadata, F_creationTimestamp), now, out);
	}
	buf_addch(out, ']');
}

/* --- selectable fields --- */

static const struct node *selectable_of(const struct schema_res *r)
{
	return r->custom ? node_get(schema_custom_entry(r->custom), F_selectableFields) : NULL;
}

const char *crd_selectable(const struct schema_res *r, const char *label)
{
	NODE_FOREACH(f, selectable_of(r)) {
		const char *path = node_gets(f, F_jsonPath);

		if (*path == '.' && streq(path + 1, label))
			return path + 1;
	}
	return NULL;
}

bool crd_has_selectable(const struct schema_res *r)
{
	return node_count(selectable_of(r)) > 0;
}
