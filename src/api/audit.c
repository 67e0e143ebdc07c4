/*
 * The audit log: one line of JSON, an Event of audit.k8s.io/v1, for each stage of
 * each request that the policy (audit-policy.c) wants told:
 *
 *	RequestReceived		who asks what, before it is decided
 *	ResponseStarted		of a watch or stream, when it begins
 *	ResponseComplete	with the answer's status
 *
 * Level Request adds the object (or patch) as it was sent, RequestResponse the
 * answer's too. A request whose credentials are no good has one event at stage
 * ResponseStarted, as in Kubernetes. What is known when the request comes is
 * written down then: the connection may be gone when it ends. Calls from inside
 * are not told of. Nothing is done for a request when the log is off, except that
 * every one has an id: the client's Audit-ID if that can be used, else a new one.
 */
#include "api/audit.h"

#include <arpa/inet.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/time.h"
#include "http/http.h"

struct audit {
	struct audit_policy *policy;
	struct audit_log *log;
	struct audit_stats stats;
};

struct audit_event {
	struct audit_choice choice;
	struct str front, back; /* "requestURI" to "user"; "sourceIPs" and "userAgent" */
	int64_t received_us;
	struct buf object; /* requestObject, empty: none */
	bool started;
	VEC(struct user_extra) notes;
};

/* --- life --- */

int audit_new(struct api *a, struct err *e)
{
	const struct audit_config *cfg = &a->cfg.audit;
	struct audit *au;

	if (str_empty(cfg->policy_file) || str_empty(cfg->log_path)) {
		if (!str_empty(cfg->policy_file) || !str_empty(cfg->log_path))
			log_warn("there is no audit log: it needs both --audit-policy-file and --audit-log-path");
		return 0;
	}
	au = xcalloc(1, sizeof(*au));
	if (audit_policy_load(&au->policy, cfg->policy_file, e) < 0) {
		free(au);
		return -e->code;
	}
	au->log = audit_log_new(a->loop, cfg);
	a->audit = au;
	return 0;
}

void audit_free(struct api *a)
{
	struct audit *au = take_ptr(&a->audit);

	if (!au)
		return;
	audit_log_free(au->log);
	audit_policy_free(au->policy);
	free(au);
}

void audit_stats(const struct api *a, struct audit_stats *out)
{
	*out = (struct audit_stats){ 0 };
	if (!a->audit)
		return;
	*out = a->audit->stats;
	out->lost = audit_log_lost(a->audit->log);
}

static bool id_is_usable(struct str id)
{
	if (!id.n || id.n > LIMIT_AUDIT_ID_BYTES)
		return false;
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] <= ' ' || id.p[i] > '~' || id.p[i] == '"' || id.p[i] == '\\')
			return false;
	return true;
}

void audit_identify(struct req *r)
{
	struct str given = http_head_get(r->head, "Audit-ID");
	char made[37];

	if (id_is_usable(given)) {
		r->id = arena_memdupz(r->arena, given.p, given.n);
		return;
	}
	rand_uuid(made);
	r->id = arena_memdupz(r->arena, made, sizeof(made) - 1);
}

bool req_is_long(const struct req *r)
{
	static const char *const subs[] = { "attach", "exec", "proxy", "log", "portforward" };

	if (r->verb == VERB_WATCH)
		return true;
	for (size_t i = 0; !r->at.path && i < ARRAY_SIZE(subs); i++)
		if (streq(r->at.subresource, subs[i]))
			return true;
	return false;
}

/* --- what is written down at once --- */

static void event_member(struct buf *b, const char *name, struct str value)
{
	buf_addf(b, ",\"%s\":", name);
	buf_add_json_string(b, value);
}

static void event_user(struct buf *b, const char *name, const struct user *u)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT);

	doc_set_root(d, root);
	if (u)
		user_node(d, root, u);
	buf_addf(b, ",\"%s\":", name);
	doc_print_json(b, root, DOC_PRINT_COMPACT);
}

static bool ip_is_valid(const char *s)
{
	struct in6_addr a;

	return inet_pton(AF_INET, s, &a) == 1 || inet_pton(AF_INET6, s, &a) == 1;
}

static void event_ip(struct buf *b, struct str s, char last[INET6_ADDRSTRLEN])
{
	char ip[INET6_ADDRSTRLEN];

	s = str_trim(s);
	if (!s.n || s.n >= sizeof(ip))
		return;
	memcpy(ip, s.p, s.n);
	ip[s.n] = '\0';
	if (!ip_is_valid(ip) || streq(ip, last))
		return;
	buf_addf(b, "%s\"%s\"", *last ? "," : "", ip);
	memcpy(last, ip, sizeof(ip));
}

/* Where it came from, by those who passed it on: X-Forwarded-For, X-Real-Ip, and the connection. */
static void event_source(struct req *r, struct buf *b)
{
	struct str via = http_head_get(r->head, "X-Forwarded-For"), peer = str_of(http_req_peer(r->http)->addr);
	ssize_t colon = str_rfind(peer, ':');
	char last[INET6_ADDRSTRLEN] = "";

	buf_adds(b, ",\"sourceIPs\":[");
	while (via.p)
		event_ip(b, str_cut(&via, ','), last);
	event_ip(b, http_head_get(r->head, "X-Real-Ip"), last);
	if (colon > 0)
		peer = str_sub(peer, 0, (size_t)colon);
	if (peer.n > 1 && peer.p[0] == '[')
		peer = str_sub(peer, 1, peer.n - 1);
	event_ip(b, peer, last);
	buf_addch(b, ']');
}

static struct audit_event *event_new(struct req *r, struct audit_choice choice)
{
	struct audit_event *ev = xcalloc(1, sizeof(*ev));
	_cleanup_buf_ struct buf front = BUF_INIT, back = BUF_INIT;
	struct str agent = http_head_get(r->head, "User-Agent");

	ev->choice = choice;
	buf_init(&ev->object);
	event_member(&front, "requestURI", r->head->target);
	event_member(&front, "verb", str_of(r->at.verb));
	event_user(&front, "user", r->login);
	event_source(r, &back);
	if (agent.n)
		event_member(&back, "userAgent", agent);
	ev->front = arena_str(r->arena, buf_str(&front));
	ev->back = arena_str(r->arena, buf_str(&back));
	ev->received_us = time_wall_us() - (time_mono_us() - r->start_us);
	return ev;
}

void audit_forget(struct req *r)
{
	struct audit_event *ev = take_ptr(&r->event);

	if (!ev)
		return;
	buf_release(&ev->object);
	VEC_RELEASE(&ev->notes);
	free(ev);
}

void audit_annotate(struct req *r, const char *key, const char *value)
{
	struct audit_event *ev = r->event;

	if (!ev)
		return;
	for (size_t i = 0; i < ev->notes.n; i++)
		if (streq(ev->notes.v[i].key, key))
			return;
	VEC_PUSH(&ev->notes, ((struct user_extra){ arena_strdup(r->arena, key), arena_strdup(r->arena, value) }));
}

/* --- one line --- */

/* An object of the API; bytes that are no object (nothing else is stored) as they are. */
static void event_object(struct buf *b, struct str json, bool omit_managed)
{
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	struct node *meta;

	if (omit_managed && memmem(json.p, json.n, "\"managedFields\"", 15) && doc_parse_json(&d, json, NULL, &e) == 0) {
		meta = node_get(doc_root(d), F_metadata);
		if (meta)
			node_remove(meta, F_managedFields);
		NODE_FOREACH(item, node_get(doc_root(d), F_items))
			if (node_get(item, F_metadata))
				node_remove(node_get(item, F_metadata), F_managedFields);
		doc_print_json(b, doc_root(d), DOC_PRINT_COMPACT);
		return;
	}
	buf_addstr(b, json);
}

static void event_ref(const struct req *r, struct buf *b)
{
	const struct {
		const char *name, *value;
	} parts[] = {
		{ "resource", r->at.resource },
		{ "namespace", r->at.ns },
		{ "name", r->at.name },
		{ "uid", r->obj && !err_is_set(&r->err) && r->verb != VERB_CREATE ? r->obj->uid : "" },
		{ "apiGroup", r->at.group },
		{ "apiVersion", r->at.version },
		{ "subresource", r->at.subresource },
	};
	bool first = true;

	if (r->at.path || !*r->at.resource)
		return;
	buf_adds(b, ",\"objectRef\":{");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (str_empty(parts[i].value))
			continue;
		buf_addf(b, "%s\"%s\":", first ? "" : ",", parts[i].name);
		buf_add_json_string(b, str_of(parts[i].value));
		first = false;
	}
	buf_addch(b, '}');
}

static void event_status(struct req *r, struct buf *b)
{
	if (!err_is_set(&r->err)) {
		buf_addf(b, ",\"responseStatus\":{\"metadata\":{},\"code\":%d}", r->status ? r->status : 200);
		return;
	}
	buf_adds(b, ",\"responseStatus\":");
	status_from_err(&r->err, b);
}

static void event_list(struct req *r, struct buf *b)
{
	struct view v = req_view(r);

	v.shape = SHAPE_OBJECT;
	buf_addf(b, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%lld\"},\"items\":[",
		 v.res->r.list_kind, v.res->r.api_version, (long long)r->list.rv);
	for (size_t i = 0; i < r->list.n && b->len <= LIMIT_AUDIT_EVENT_BYTES; i++) {
		if (i)
			buf_addch(b, ',');
		respond_object(&v, r->list.objs[i], b);
	}
	buf_adds(b, "]}");
}

static void event_response(struct req *r, struct buf *b)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct view v = req_view(r);

	v.shape = SHAPE_OBJECT;
	if (err_is_set(&r->err))
		status_from_err(&r->err, &text);
	else if (r->is_list)
		event_list(r, &text);
	else if (r->obj && !r->success_status)
		respond_object(&v, r->obj, &text);
	else if (r->success_status)
		status_success(r, &text);
	if (!text.len || text.s[0] != '{')
		return;
	buf_adds(b, ",\"responseObject\":");
	event_object(b, buf_str(&text), r->event->choice.omit_managed);
}

static void event_notes(const struct audit_event *ev, bool truncated, struct buf *b)
{
	if (!ev->notes.n && !truncated)
		return;
	buf_adds(b, ",\"annotations\":{");
	for (size_t i = 0; i < ev->notes.n; i++) {
		if (i)
			buf_addch(b, ',');
		buf_add_json_string(b, str_of(ev->notes.v[i].key));
		buf_addch(b, ':');
		buf_add_json_string(b, str_of(ev->notes.v[i].value));
	}
	if (truncated)
		buf_addf(b, "%s\"audit.k8s.io/truncated\":\"true\"", ev->notes.n ? "," : "");
	buf_addch(b, '}');
}

static void event_print(struct req *r, enum audit_stage stage, bool objects, struct buf *b)
{
	struct audit_event *ev = r->event;
	int64_t now = stage == AUDIT_RECEIVED ? ev->received_us : time_wall_us();
	char received[TIME_MICRO_LEN], at[TIME_MICRO_LEN];

	buf_addf(b, "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"%s\"", audit_level_names[ev->choice.level]);
	event_member(b, "auditID", str_of(r->id));
	buf_addf(b, ",\"stage\":\"%s\"", audit_stage_names[stage]);
	buf_addstr(b, ev->front);
	if (r->user && r->user != r->login)
		event_user(b, "impersonatedUser", r->user);
	buf_addstr(b, ev->back);
	event_ref(r, b);
	if (stage != AUDIT_RECEIVED)
		event_status(r, b);
	if (objects && ev->object.len) {
		buf_adds(b, ",\"requestObject\":");
		buf_addstr(b, buf_str(&ev->object));
	}
	if (objects && stage == AUDIT_COMPLETE && ev->choice.level == AUDIT_REQUEST_RESPONSE)
		event_response(r, b);
	buf_addf(b, ",\"requestReceivedTimestamp\":\"%s\",\"stageTimestamp\":\"%s\"", time_fmt_micro(received, ev->received_us),
		 time_fmt_micro(at, now));
	event_notes(ev, !objects, b);
	buf_addch(b, '}');
}

static void event_send(struct req *r, enum audit_stage stage)
{
	struct audit *au = r->api->audit;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (r->event->choice.omit_stages & (1u << stage))
		return;
	event_print(r, stage, true, &b);
	if (b.len > LIMIT_AUDIT_EVENT_BYTES) {
		buf_clear(&b);
		event_print(r, stage, false, &b);
	}
	au->stats.events++;
	audit_log_add(au->log, buf_str(&b));
}

/* --- the stages --- */

static bool event_begin(struct req *r)
{
	struct audit *au = r->api->audit;
	struct audit_choice c = audit_policy_choose(au->policy, r->login, &r->at);

	au->stats.levels[c.level]++;
	if (c.level != AUDIT_NONE)
		r->event = event_new(r, c);
	if (r->token_note)
		audit_annotate(r, r->token_note_key, r->token_note);
	return r->event;
}

int audit_request(struct req *r, struct err *e)
{
	if (r->api->audit && event_begin(r))
		event_send(r, AUDIT_RECEIVED);
	return STEP_NEXT;
}

int audit_body(struct req *r, struct err *e)
{
	struct audit_event *ev = r->event;
	_cleanup_doc_ struct doc *raw = NULL;
	_cleanup_err_ struct err none = ERR_INIT;
	_cleanup_buf_ struct buf json = BUF_INIT;
	const struct doc *d = r->body;

	if (!ev || ev->choice.level < AUDIT_REQUEST)
		return STEP_NEXT;
	if (!d && r->raw.n && !(r->handler && r->handler->plain) && decode_raw(r, &raw, &none) == 0)
		d = raw;
	if (!d || !doc_root(d))
		return STEP_NEXT;
	doc_print_json(&json, doc_root(d), DOC_PRINT_COMPACT);
	event_object(&ev->object, buf_str(&json), ev->choice.omit_managed);
	return STEP_NEXT;
}

void audit_started(struct req *r)
{
	if (!r->event || r->event->started || !req_is_long(r))
		return;
	r->event->started = true;
	event_send(r, AUDIT_STARTED);
}

void audit_complete(struct req *r)
{
	/* Refused before the policy was asked: the credentials were no good. */
	if (r->api->audit && !r->event && r->http && r->err.reason == ERR_UNAUTHORIZED && !r->login) {
		if (event_begin(r))
			event_send(r, AUDIT_STARTED);
	} else if (r->event) {
		event_send(r, AUDIT_COMPLETE);
	}
	audit_forget(r);
}
