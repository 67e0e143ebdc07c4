/*
 * Events, as client-go's recorder makes them: the first of a kind creates an
 * Event; the same again within ten minutes patches its count and lastTimestamp.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/time.h"
#include "client/internal.h"
#include "schema/schema.h"

#define EVENT_SAME_S 600 /* client-go's aggregation interval */
#define EVENT_RECORDS_MAX 512
#define EVENT_MESSAGE_MAX 1024 /* longer texts are cut, as the API limits them */

struct event_record {
	char *name, *ns;
	int64_t count, last_s;
};

void client_event_record_free(void *record)
{
	struct event_record *r = record;

	free(r->name);
	free(r->ns);
	free(r);
}

static void event_forget_old(struct client *c, int64_t now)
{
	struct map_iter it = { 0 };

	if (map_count(c->events) < EVENT_RECORDS_MAX)
		return;
	while (map_next(c->events, &it))
		if (now - ((struct event_record *)it.value)->last_s > EVENT_SAME_S ||
		    map_count(c->events) >= EVENT_RECORDS_MAX)
			map_del(c->events, it.key);
}

static void event_again(struct client *c, struct event_record *r, int64_t now)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT);
	char text[TIME_RFC3339_LEN];

	r->count++;
	r->last_s = now;
	doc_set_root(d, root);
	node_seti(d, root, F_count, r->count);
	node_sets(d, root, F_lastTimestamp, time_fmt_rfc3339(text, now));
	client_patch(c, schema_res("", "events"), r->ns, r->name, NULL, PATCH_MERGE, d, NULL, NULL);
}

static struct doc *event_new(struct obj *about, const char *name, const char *ns, const char *field_path,
			     const char *component, const char *host, const char *type, const char *reason,
			     const char *message, int64_t now)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta, *ref, *source;
	char text[TIME_RFC3339_LEN];

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "v1");
	node_sets(d, root, F_kind, "Event");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, name);
	node_sets(d, meta, F_namespace, ns);
	ref = node_set(d, root, F_involvedObject, obj_reference(d, about));
	if (!str_empty(field_path))
		node_sets(d, ref, F_fieldPath, field_path);
	node_sets(d, root, F_reason, reason);
	node_sets(d, root, F_message, message);
	source = node_need_object(d, root, F_source);
	node_sets(d, source, F_component, component);
	if (!str_empty(host))
		node_sets(d, source, F_host, host);
	time_fmt_rfc3339(text, now);
	node_sets(d, root, F_firstTimestamp, text);
	node_sets(d, root, F_lastTimestamp, text);
	node_seti(d, root, F_count, 1);
	node_sets(d, root, F_type, type);
	node_set(d, root, F_eventTime, node_new(d, DOC_NULL));
	node_sets(d, root, F_reportingComponent, component);
	node_sets(d, root, F_reportingInstance, host ? host : "");
	return d;
}

void client_event(struct client *c, struct obj *about, const char *field_path, const char *component, const char *host,
		  const char *type, const char *reason, const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL, *key = NULL;
	int64_t now = time_wall_s();
	struct event_record *r;
	va_list ap;

	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	if (strlen(message) > EVENT_MESSAGE_MAX)
		message[EVENT_MESSAGE_MAX] = '\0';
	key = xasprintf("%s\n%s\n%s\n%s\n%s\n%s", about->uid, field_path ? field_path : "", component, type, reason,
			message);
	r = map_getc(c->events, key);
	if (r && now - r->last_s <= EVENT_SAME_S) {
		event_again(c, r, now);
		return;
	}
	event_forget_old(c, now);
	r = xcalloc(1, sizeof(*r));
	r->ns = xstrdup(*about->ns ? about->ns : "default");
	r->name = xasprintf("%s.%llx", about->name, (unsigned long long)time_wall_ns());
	r->count = 1;
	r->last_s = now;
	map_set(c->events, str_of(key), r);
	client_create(c, schema_res("", "events"), r->ns,
		      event_new(about, r->name, r->ns, field_path, component, host, type, reason, message, now), NULL,
		      NULL);
}
