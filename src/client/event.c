/*
 * Events, as client-go's recorder makes them: the first of a kind creates an
 * Event; the same again within ten minutes patches its count and lastTimestamp.
 * When about one object there were many of one reason with different texts, those
 * that follow share one Event, which shows the last text.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/time.h"
#include "client/internal.h"
#include "schema/schema.h"

#define EVENT_SAME_S 600 /* client-go's aggregation interval */
#define EVENT_SIMILAR_MAX 10 /* its maxEvents: from that one on they are combined */
#define EVENT_COMBINED "(combined from similar events): "
#define EVENT_RECORDS_MAX 512
#define EVENT_RECORDS_KEPT 384 /* when there are as many, a quarter goes at once: looking through all costs */
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
		    map_count(c->events) > EVENT_RECORDS_KEPT)
			map_del(c->events, it.key);
}

/* text: what the Event says from now on; NULL: what it did. */
static void event_again(struct client *c, struct event_record *r, const char *text, int64_t now)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT);
	char stamp[TIME_RFC3339_LEN];

	r->count++;
	r->last_s = now;
	doc_set_root(d, root);
	node_seti(d, root, F_count, r->count);
	node_sets(d, root, F_lastTimestamp, time_fmt_rfc3339(stamp, now));
	if (text)
		node_sets(d, root, F_message, text);
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

/* Counts the different texts of one reason about one object. True: this one is to be combined. */
static bool event_is_similar(struct client *c, const char *group, bool is_new, int64_t now)
{
	struct event_record *g = map_getc(c->events, group);

	if (!g) {
		g = xcalloc(1, sizeof(*g));
		map_set(c->events, str_of(group), g);
	}
	if (now - g->last_s > EVENT_SAME_S)
		g->count = 0;
	g->last_s = now;
	if (is_new && g->count < EVENT_SIMILAR_MAX)
		g->count++;
	return g->count >= EVENT_SIMILAR_MAX;
}

static struct event_record *event_record_find(struct client *c, const char *key, int64_t now)
{
	struct event_record *r = map_getc(c->events, key);

	return r && now - r->last_s <= EVENT_SAME_S ? r : NULL;
}

void client_event(struct client *c, struct obj *about, const char *field_path, const char *component, const char *host,
		  const char *type, const char *reason, const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL, *key = NULL, *group = NULL, *combined = NULL;
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
	group = xasprintf("%s\n%s\n%s\n%s", about->uid, component, type, reason);
	r = event_record_find(c, key, now);
	if (!r)
		event_forget_old(c, now);
	if (event_is_similar(c, group, !r, now)) {
		combined = xasprintf(EVENT_COMBINED "%s", message);
		if (strlen(combined) > EVENT_MESSAGE_MAX)
			combined[EVENT_MESSAGE_MAX] = '\0';
		free(message);
		message = xstrdup(combined);
		free(key);
		key = xasprintf("%s\n" EVENT_COMBINED, group);
		r = event_record_find(c, key, now);
	}
	if (r) {
		event_again(c, r, combined, now);
		return;
	}
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
