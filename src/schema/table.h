/*
 * Inside of the server-side tables; used by table*.c only.
 *
 * Which columns a resource has stands in columns.tsv. What stands in them is
 * computed by one function for each resource, table_row_PLURAL: the generated
 * tables name them all, so a resource with columns and no function does not
 * link.
 */
#ifndef SCHEMA_TABLE_H
#define SCHEMA_TABLE_H

#include "base/time.h"
#include "schema/internal.h"
#include "schema/tables.gen.h"

/* One row being written: each table_* call below adds one cell. */
struct table_row {
	struct buf *out;
	int64_t now;	       /* unix seconds */
	size_t n;	       /* cells so far */
	const char *completed; /* the phase of a pod that ended: the row gets the condition Completed */
	struct buf text;       /* scratch for a cell that is put together; see table_text */
};

#define TABLE_NONE "<none>"
#define TABLE_UNSET "<unset>"
#define TABLE_UNKNOWN "<unknown>"

void table_str(struct table_row *w, struct str s);
void table_cstr(struct table_row *w, const char *s);
/* The string n, or dflt when it is absent or empty. */
void table_or(struct table_row *w, const struct node *n, const char *dflt);
void table_name(struct table_row *w, const struct node *n);
void table_int(struct table_row *w, int64_t i);
void table_bool(struct table_row *w, bool b);
void table_fmt(struct table_row *w, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* Time that has passed since the time n: "5m"; "<unknown>" when absent. */
void table_age(struct table_row *w, const struct node *n);
void table_created(struct table_row *w, const struct node *n); /* of the object n */
/* The same as text into out; a duration in seconds. */
void table_age_text(const struct table_row *w, const struct node *n, struct buf *out);
void table_duration(struct table_row *w, int64_t seconds);

/* A cell put together: b = table_text(w); buf_adds(b, ...); table_end(w, dflt): dflt when nothing was added.
 */
struct buf *table_text(struct table_row *w);
void table_end(struct table_row *w, const char *dflt);
/* Appends ",s", or "s" to an empty b. */
void table_join(struct buf *b, const char *sep, struct str s);
/* The strings of an array joined by commas. */
void table_join_all(struct buf *b, const struct node *arr);

/* Cells that several kinds share. */
void table_containers(struct table_row *w, const struct node *pod_spec); /* two: names, images */
void table_labels(struct table_row *w, const struct node *map);		 /* "a=b,c=d", sorted, or <none> */
void table_selector(struct table_row *w, const struct node *label_selector, const char *empty,
		    const char *bad);
void table_quantity(struct buf *b, const struct node *n, const char *absent);
/* Addresses of status.loadBalancer.ingress, sorted, joined by commas. */
void table_balancer(struct buf *b, const struct node *n);
/* "a,b,c + 2 more...": the list cut at three. */
struct table_list {
	struct buf *b;
	size_t n, total;
};
void table_list_add(struct table_list *l, struct str s);
void table_list_end(struct table_row *w, struct table_list *l, const char *empty);

#endif
