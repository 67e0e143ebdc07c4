/*
 * Admission: PodSecurity. Which of the Pod Security Standards hold in a
 * namespace stand in its labels pod-security.kubernetes.io/{enforce,audit,warn}
 * and ...-version, or in the administrator's defaults. enforce refuses pods;
 * warn warns, of pods and of the templates of what makes pods; audit is for the
 * audit log. The standards themselves: schema/podsecurity.c.
 *
 * A namespace whose labels become stricter is told which of its pods would no
 * longer be let in. The administrator's file (PodSecurityConfiguration) may
 * exempt users, namespaces and runtime classes.
 */
#include "api/admit.h"

#include "base/time.h"
#include "schema/podsecurity.h"

#define PODSEC_LABEL "pod-security.kubernetes.io/"
#define PODSEC_MAX_PODS 3000 /* of a namespace whose labels change */
#define PODSEC_MAX_MS 1000

enum podsec_mode { MODE_ENFORCE, MODE_AUDIT, MODE_WARN, MODE_MAX };

static const char *const mode_names[MODE_MAX] = { "enforce", "audit", "warn" };

struct podsec_policy {
	struct podsec of[MODE_MAX];
};

struct podsec_config {
	struct podsec_policy defaults;
	struct doc *doc; /* holds the lists */
	const struct node *users, *namespaces, *runtime_classes;
};

/* --- the administrator's file --- */

static int config_level(const struct node *defaults, const char *key, bool version, struct podsec *p, struct err *e)
{
	const struct node *n = node_getc(defaults, key);

	if (!n)
		return 0;
	if (version ? !podsec_parse_version(node_str(n), &p->minor) : !podsec_parse_level(node_str(n), &p->level))
		return err_set(e, ERR_BAD_REQUEST, "PodSecurityConfiguration: defaults.%s: Invalid value: \"%s\": must be %s",
			       key, node_cstr_or(n, ""),
			       version ? "\"latest\" or \"v1.x\"" : "one of privileged, baseline, restricted");
	return 0;
}

static int config_check(const struct node *n, struct err *e)
{
	static const char *const known[] = { "apiVersion", "kind", "defaults", "exemptions", "metadata" };

	if (!starts_with(node_gets(n, F_apiVersion), "pod-security.admission.config.k8s.io/") ||
	    !streq(node_gets(n, F_kind), "PodSecurityConfiguration"))
		return err_set(e, ERR_BAD_REQUEST,
			       "the configuration of PodSecurity is no PodSecurityConfiguration of "
			       "pod-security.admission.config.k8s.io/v1");
	NODE_FOREACH(m, n) {
		bool fine = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			fine |= streq(known[i], m->key);
		if (!fine)
			return err_set(e, ERR_BAD_REQUEST, "PodSecurityConfiguration: unknown field \"%s\"", m->key);
	}
	return 0;
}

int podsec_config_new(struct podsec_config **ret, const struct node *n, struct err *e)
{
	struct podsec_config *c = xcalloc(1, sizeof(*c));
	const struct node *defaults = node_getc(n, "defaults"), *exempt;

	for (size_t i = 0; i < MODE_MAX; i++)
		c->defaults.of[i] = (struct podsec){ PODSEC_PRIVILEGED, PODSEC_LATEST };
	*ret = c;
	if (!n)
		return 0;
	if (config_check(n, e) < 0)
		return -e->code;
	for (size_t i = 0; i < MODE_MAX; i++) {
		_cleanup_free_ char *version = xasprintf("%s-version", mode_names[i]);

		if (config_level(defaults, mode_names[i], false, &c->defaults.of[i], e) < 0 ||
		    config_level(defaults, version, true, &c->defaults.of[i], e) < 0)
			return -e->code;
	}
	c->doc = doc_new();
	doc_set_root(c->doc, node_copy(c->doc, n));
	exempt = node_getc(doc_root(c->doc), "exemptions");
	c->users = node_getc(exempt, "usernames");
	c->namespaces = node_getc(exempt, "namespaces");
	c->runtime_classes = node_getc(exempt, "runtimeClasses");
	return 0;
}

struct podsec_config *podsec_config_free(struct podsec_config *c)
{
	if (c)
		doc_unref(c->doc);
	free(c);
	return NULL;
}

static bool is_exempt(const struct node *list, const char *name)
{
	if (*name)
		NODE_FOREACH(n, list)
			if (node_streq(n, name))
				return true;
	return false;
}

/* --- what holds in a namespace --- */

/* The policy that the labels ask for; what is wrong with them goes to err, as the causes of an Invalid. */
static bool policy_of(const struct podsec_config *c, const struct node *labels, struct podsec_policy *ret, struct err *e)
{
	bool fine = true;

	*ret = c->defaults;
	for (size_t i = 0; i < MODE_MAX; i++) {
		_cleanup_free_ char *key = xasprintf(PODSEC_LABEL "%s", mode_names[i]);
		_cleanup_free_ char *version = xasprintf("%s-version", key);
		const struct node *n = node_getc(labels, key);

		if (n && !podsec_parse_level(node_str(n), &ret->of[i].level)) {
			fine = false;
			err_add_cause(e, "FieldValueInvalid", key,
				      "Invalid value: \"%s\": must be one of privileged, baseline, restricted",
				      node_cstr_or(n, ""));
			if (i != MODE_ENFORCE)
				ret->of[i].level = PODSEC_PRIVILEGED; /* only what refuses fails closed */
		}
		n = node_getc(labels, version);
		if (n && !podsec_parse_version(node_str(n), &ret->of[i].minor)) {
			fine = false;
			err_add_cause(e, "FieldValueInvalid", version,
				      "Invalid value: \"%s\": must be \"latest\" or \"v1.x\"", node_cstr_or(n, ""));
		}
	}
	return fine;
}

/* --- namespaces --- */

static void causes_print(const struct err *e, struct buf *out)
{
	for (const struct err_cause *c = e->causes; c; c = c->next)
		buf_addf(out, "%smetadata.labels[%s]: %s", c == e->causes ? "" : ", ", c->field, c->message);
}

static int labels_refuse(struct admission *a, const struct err *why, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	bool many = why->causes->next != NULL;

	causes_print(why, &text);
	err_set(e, ERR_INVALID, "Namespace \"%s\" is invalid: %s%s%s", a->r->at.name, many ? "[" : "", text.s,
		many ? "]" : "");
	err_about(e, NULL, "Namespace", a->r->at.name);
	for (const struct err_cause *c = why->causes; c; c = c->next) {
		_cleanup_free_ char *field = xasprintf("metadata.labels[%s]", c->field);

		err_add_cause(e, c->reason, field, "%s", c->message);
	}
	return -e->code;
}

struct pods_alike { /* pods that are no good for the same reasons */
	char *reasons;
	const char *first;
	size_t n;
};

struct survey {
	VEC(struct pods_alike) groups; /* in order of the text that they make */
	size_t checked, total;
};

static void survey_note(struct survey *s, const char *reasons, const char *pod)
{
	struct pods_alike fresh = { NULL, pod, 1 };

	for (size_t i = 0; i < s->groups.n; i++)
		if (streq(s->groups.v[i].reasons, reasons)) {
			s->groups.v[i].n++;
			return;
		}
	fresh.reasons = xstrdup(reasons);
	VEC_PUSH(&s->groups, fresh);
}

static void survey_pods(struct admission *a, const struct podsec *p, const struct store_list *l, struct survey *s)
{
	const struct podsec_config *c = a->r->api->admit->podsec;
	int64_t until = time_mono_ms() + PODSEC_MAX_MS;

	s->total = l->n;
	while (s->checked < l->n && s->checked < PODSEC_MAX_PODS && time_mono_ms() <= until) {
		struct obj *o = l->objs[s->checked++];
		const struct node *spec = node_get(obj_node(o), F_spec);
		_cleanup_buf_ struct buf reasons = BUF_INIT;

		if (!is_exempt(c->runtime_classes, node_gets(spec, F_runtimeClassName)) &&
		    !podsec_check(p, meta_of(obj_node(o)), spec, &reasons, NULL))
			survey_note(s, reasons.s, o->name); /* lists are in order of names: the first is the least */
	}
}

static void survey_warn(struct admission *a, const struct podsec *p, const struct survey *s)
{
	_cleanup_buf_ struct buf level = BUF_INIT;

	podsec_print(p, &level);
	if (s->checked < s->total)
		req_warn(a->r,
			 "new PodSecurity enforce level only checked against the first %zu of %zu existing pods",
			 s->checked, s->total);
	if (s->groups.n)
		req_warn(a->r, "existing pods in namespace \"%s\" violate the new PodSecurity enforce level \"%s\"",
			 a->r->at.name, level.s);
	for (size_t i = 0; i < s->groups.n; i++) { /* by first name, which is the order of the texts */
		const struct pods_alike *g = &s->groups.v[i];

		if (g->n == 1)
			req_warn(a->r, "%s: %s", g->first, g->reasons);
		else if (g->n == 2)
			req_warn(a->r, "%s (and 1 other pod): %s", g->first, g->reasons);
		else
			req_warn(a->r, "%s (and %zu other pods): %s", g->first, g->n - 1, g->reasons);
	}
}

static void survey_namespace(struct admission *a, const struct podsec *p)
{
	struct survey s = { VEC_INIT, 0, 0 };
	struct store_list l;

	if (!admit_list(a->r->api, &a->r->api->pods->r, a->r->at.name, &l))
		return;
	survey_pods(a, p, &l, &s);
	survey_warn(a, p, &s);
	for (size_t i = 0; i < s.groups.n; i++)
		free(s.groups.v[i].reasons);
	VEC_RELEASE(&s.groups);
	store_list_release(&l);
}

static int security_namespace(struct admission *a, struct err *e)
{
	const struct podsec_config *c = a->r->api->admit->podsec;
	_cleanup_err_ struct err bad = ERR_INIT, old_bad = ERR_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT, old_text = BUF_INIT;
	struct podsec_policy now, old;
	const struct podsec *p = &now.of[MODE_ENFORCE], *o = &old.of[MODE_ENFORCE];
	bool fine = policy_of(c, meta_labels(a->root), &now, &bad);

	if (!a->old)
		return fine ? 0 : labels_refuse(a, &bad, e);
	(void)policy_of(c, meta_labels(obj_node(a->old)), &old, &old_bad);
	causes_print(&bad, &text);
	causes_print(&old_bad, &old_text);
	if (!fine && !streq(text.s, old_text.s))
		return labels_refuse(a, &bad, e);
	if ((p->level == o->level && p->minor == o->minor) || p->level == PODSEC_PRIVILEGED ||
	    (p->minor == o->minor && p->level < o->level) || is_exempt(c->namespaces, a->r->at.name))
		return 0;
	survey_namespace(a, p);
	return 0;
}

/* --- pods and what makes them --- */

static bool same_note(const struct node *a, const struct node *b, const char *key)
{
	return streq_null(meta_annotation(a, key), meta_annotation(b, key));
}

static bool container_changed(const struct admission *a, const struct node *c, const struct node *old)
{
	_cleanup_free_ char *key = xasprintf("container.seccomp.security.alpha.kubernetes.io/%s", node_gets(c, F_name));

	return !old || !streq(node_gets(c, F_image), node_gets(old, F_image)) ||
	       !same_note(a->root, obj_node(a->old), key);
}

static bool containers_changed(const struct admission *a, enum field list)
{
	const struct node *now = node_path(a->root, F_spec, list), *old = node_path(obj_node(a->old), F_spec, list);
	size_t i = 0;

	if (list == F_ephemeralContainers) {
		NODE_FOREACH(c, now) {
			const struct node *was = NULL;

			NODE_FOREACH(o, old)
				if (streq(node_gets(o, F_name), node_gets(c, F_name)))
					was = o;
			if (container_changed(a, c, was))
				return true;
		}
		return false;
	}
	if (node_count(now) != node_count(old))
		return true;
	NODE_FOREACH(c, now)
		if (container_changed(a, c, node_at(old, i++)))
			return true;
	return false;
}

/* Of what may change in a pod, what its security depends on. */
static bool pod_changed(const struct admission *a)
{
	return !same_note(a->root, obj_node(a->old), "seccomp.security.alpha.kubernetes.io/pod") ||
	       containers_changed(a, F_containers) || containers_changed(a, F_initContainers) ||
	       containers_changed(a, F_ephemeralContainers);
}

/* The pod's metadata and spec in an object; NULL: it has none. */
static const struct node *pod_in(const struct admission *a)
{
	static const struct {
		const char *group, *plural;
		enum field path[5]; /* F_NONE ends */
	} kinds[] = {
		{ "", "pods", { F_NONE } },
		{ "", "podtemplates", { F_template } },
		{ "", "replicationcontrollers", { F_spec, F_template } },
		{ "apps", "replicasets", { F_spec, F_template } },
		{ "apps", "deployments", { F_spec, F_template } },
		{ "apps", "statefulsets", { F_spec, F_template } },
		{ "apps", "daemonsets", { F_spec, F_template } },
		{ "batch", "jobs", { F_spec, F_template } },
		{ "batch", "cronjobs", { F_spec, F_jobTemplate, F_spec, F_template } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (admit_is(a, kinds[i].group, kinds[i].plural))
			return node_path_(a->root, kinds[i].path);
	return NULL;
}

static void violation(const struct podsec *p, const struct buf *details, struct buf *out)
{
	buf_adds(out, "PodSecurity \"");
	podsec_print(p, out);
	buf_addf(out, "\": %s", details->s);
}

static int security_judge(struct admission *a, const struct podsec_policy *p, const struct node *pod, bool enforce,
			  struct err *e)
{
	const struct podsec *hard = &p->of[MODE_ENFORCE], *soft = &p->of[MODE_WARN];
	const struct node *meta = meta_of(pod), *spec = node_get(pod, F_spec);
	_cleanup_buf_ struct buf why = BUF_INIT, text = BUF_INIT;

	if (enforce && !podsec_check(hard, meta, spec, NULL, &why)) {
		violation(hard, &why, &text);
		return admit_forbid(a, e, "violates %s", text.s);
	}
	if (podsec_check(soft, meta, spec, NULL, &why))
		return 0;
	violation(soft, &why, &text);
	req_warn(a->r, "would violate %s", text.s);
	return 0;
}

/* What the audit log is told. */
static void security_audit(struct admission *a, const struct podsec_policy *p, const struct node *pod, bool enforce)
{
	const struct podsec *level = &p->of[MODE_AUDIT];
	_cleanup_buf_ struct buf why = BUF_INIT, text = BUF_INIT, enforced = BUF_INIT;

	if (!a->r->event)
		return;
	podsec_print(&p->of[MODE_ENFORCE], &enforced);
	if (enforce)
		audit_annotate(a->r, PODSEC_LABEL "enforce-policy", enforced.s);
	if (podsec_check(level, meta_of(pod), node_get(pod, F_spec), NULL, &why))
		return;
	buf_adds(&text, "would violate ");
	violation(level, &why, &text);
	audit_annotate(a->r, PODSEC_LABEL "audit-violations", text.s);
}

/* Who need not be looked at; NULL: this one must. */
static const char *security_exempt(const struct admission *a, const struct node *pod)
{
	const struct podsec_config *c = a->r->api->admit->podsec;

	if (is_exempt(c->namespaces, a->r->at.ns))
		return "namespace";
	if (is_exempt(c->users, a->r->user->name))
		return "user";
	return is_exempt(c->runtime_classes, node_gets(node_get(pod, F_spec), F_runtimeClassName)) ? "runtimeClass" : NULL;
}

static bool sub_is_judged(const struct admission *a, bool pod)
{
	return admit_sub(a, "") || (pod && (admit_sub(a, "ephemeralcontainers") || admit_sub(a, "resize")));
}

int admit_security(struct admission *a, struct err *e)
{
	const struct podsec_config *c = a->r->api->admit->podsec;
	bool is_pod = admit_is(a, "", "pods");
	_cleanup_err_ struct err bad = ERR_INIT;
	const char *exempt;
	struct podsec_policy p;
	const struct node *pod;
	struct obj *ns;

	if (admit_is(a, "", "namespaces"))
		return admit_sub(a, "") ? security_namespace(a, e) : 0;
	pod = pod_in(a);
	if (!pod || !sub_is_judged(a, is_pod))
		return 0;
	exempt = security_exempt(a, pod);
	if (exempt) {
		audit_annotate(a->r, PODSEC_LABEL "exempt", exempt);
		return 0;
	}
	ns = store_get(a->r->api->store, &a->r->api->namespaces->r, "", a->r->at.ns);
	if (!ns)
		return 0;
	(void)policy_of(c, meta_labels(obj_node(ns)), &p, &bad);
	if ((!is_pod || p.of[MODE_ENFORCE].level == PODSEC_PRIVILEGED) && p.of[MODE_WARN].level == PODSEC_PRIVILEGED &&
	    p.of[MODE_AUDIT].level == PODSEC_PRIVILEGED)
		return 0;
	if (is_pod && a->old && !pod_changed(a))
		return 0;
	security_audit(a, &p, pod, is_pod);
	return security_judge(a, &p, pod, is_pod, e);
}
