/*
 * Validation of group admissionregistration.k8s.io: webhook configurations, and the
 * shape of admission policies and their bindings. Expressions in CEL are not
 * compiled here, only asked to be there.
 */
#include "schema/valid.h"

#include "base/limits.h"

static const char *const FAILURE[] = { "Fail", "Ignore", NULL };
static const char *const MATCH[] = { "Equivalent", "Exact", NULL };
static const char *const REINVOKE[] = { "IfNeeded", "Never", NULL };

/* --- rules --- */

static void v_alone(struct valid *v, const struct vpath *p, const struct node *rule, enum field f, const char *others)
{
	const struct node *list = node_get(rule, f);

	v_need(v, p, rule, f, NULL);
	if (node_count(list) > 1 && v_list_has(list, STR_LIT("*")))
		v_invalidf(v, VP(p, doc_field_name(f)), list, "if '*' is present, must not specify other %s", others);
}

/* A resource before this one that covers it: "pods/x" is in "pods/" + "*" and in "*" + "/x". */
static void v_rule_covered(struct valid *v, const struct vpath *p, const struct node *c, const struct node *list)
{
	struct str s = node_str(c), res = str_sub(s, 0, str_find(s, '/')), sub = str_sub(s, res.n + 1, s.n);
	bool all_subs = false, all_res = false;

	NODE_FOREACH(other, list) {
		struct str o = node_str(other);
		ssize_t slash = str_find(o, '/');

		if (other == c)
			break;
		if (slash < 0)
			continue;
		all_subs = all_subs || (str_eq(str_sub(o, 0, slash), res) && str_eqc(str_sub(o, slash + 1, o.n), "*"));
		all_res = all_res || (str_eqc(str_sub(o, 0, slash), "*") && str_eq(str_sub(o, slash + 1, o.n), sub));
	}
	if (all_subs)
		v_invalidf(v, p, c, "if '%" STR_FMT "/*' is present, must not specify %" STR_FMT, STR_ARG(res),
			   STR_ARG(s));
	if (all_res)
		v_invalidf(v, p, c, "if '*/%" STR_FMT "' is present, must not specify %" STR_FMT, STR_ARG(sub),
			   STR_ARG(s));
}

static void v_rule_resources(struct valid *v, const struct vpath *p, const struct node *list)
{
	bool plain = false;
	size_t i = 0;

	if (node_count(list) == 0)
		v_required(v, p, NULL);
	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		if (node_str(c).n == 0)
			v_required(v, at, NULL);
		else if (str_find(node_str(c), '/') >= 0)
			v_rule_covered(v, at, c, list);
		else
			plain = plain || !node_streq(c, "*");
	}
	if (node_count(list) > 1 && v_list_has(list, STR_LIT("*/*")))
		v_invalid_node(v, p, list, "if '*/*' is present, must not specify other resources");
	if (plain && v_list_has(list, STR_LIT("*")))
		v_invalid_node(v, p, list, "if '*' is present, must not specify other resources without subresources");
}

static void v_admission_rule(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const OPERATIONS[] = { "*", "CONNECT", "CREATE", "DELETE", "UPDATE", NULL };
	static const char *const SCOPES[] = { "*", "Cluster", "Namespaced", NULL };
	size_t i = 0;

	v_alone(v, p, n, F_operations, "operations");
	NODE_FOREACH(c, node_get(n, F_operations)) {
		if (!v_is_one_of(node_str(c), OPERATIONS))
			v_unsupported(v, VPI(VP(p, "operations"), i), node_str(c), OPERATIONS);
		i++;
	}
	v_alone(v, p, n, F_apiGroups, "API groups");
	v_alone(v, p, n, F_apiVersions, "API versions");
	i = 0;
	NODE_FOREACH(c, node_get(n, F_apiVersions)) {
		if (node_str(c).n == 0)
			v_required(v, VPI(VP(p, "apiVersions"), i), NULL);
		i++;
	}
	v_rule_resources(v, VP(p, "resources"), node_get(n, F_resources));
	v_may_be(v, p, n, F_scope, SCOPES);
}

static void v_named_rule(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *names = node_get(n, F_resourceNames);
	size_t i = 0;

	NODE_FOREACH(c, names) {
		const struct vpath *at = VPI(VP(p, "resourceNames"), i++);

		v_name(v, at, node_str(c), NF_PATH_SEGMENT);
		NODE_FOREACH(other, names) {
			if (other == c)
				break;
			if (node_equal(other, c)) {
				v_duplicate(v, at, c);
				break;
			}
		}
	}
	v_admission_rule(v, p, n);
}

/* --- match conditions --- */

static void v_match_conditions(struct valid *v, const struct vpath *p, const struct node *list)
{
	enum { MAX_CONDITIONS = 64 };
	size_t i = 0;

	if (node_count(list) > MAX_CONDITIONS) {
		v_too_many(v, p, node_count(list), MAX_CONDITIONS);
		return;
	}
	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		if (str_trim(v_str(c, F_expression)).n == 0)
			v_required(v, VP(at, "expression"), NULL);
		v_need_name(v, at, c, F_name, NF_QUALIFIED);
		NODE_FOREACH(other, list) {
			if (other == c || v_str(c, F_name).n == 0)
				break;
			if (str_eq(v_str(other, F_name), v_str(c, F_name))) {
				v_duplicate_str(v, VP(at, "name"), v_str(c, F_name));
				break;
			}
		}
	}
}

/* --- where a webhook is --- */

#define URL_FORM "; desired format: https://host[/path]"

static void v_hook_url(struct valid *v, const struct vpath *p, struct str url)
{
	_cleanup_free_ char *text = str_dup(url);
	char *at = strstr(text, "://"), *host = at ? at + 3 : text, *end = host + strcspn(host, "/?#"), *user;
	const char *query = strchr(host, '?'), *fragment = strchr(host, '#');

	for (const char *s = text; *s; s++) {
		if ((unsigned char)*s <= ' ' || *s == 0x7f) {
			v_required(v, p, "url must be a valid URL: net/url: invalid control character in URL" URL_FORM);
			return;
		}
	}
	if (!at || at - text != 5 || strncmp(text, "https", 5) != 0)
		v_invalid(v, p, str_n(text, at ? (size_t)(at - text) : 0),
			  "'https' is the only allowed URL scheme" URL_FORM);
	if (!at || end == host)
		v_invalid(v, p, STR_LIT(""), "host must be specified" URL_FORM);
	user = memchr(host, '@', (size_t)(end - host));
	if (at && user)
		v_invalid(v, p, str_n(host, (size_t)(user - host)), "user information is not permitted in the URL");
	if (fragment && fragment[1])
		v_invalid(v, p, str_of(fragment + 1), "fragments are not permitted in the URL");
	if (query && (!fragment || query < fragment) && query[1] && query + 1 != fragment)
		v_invalid(v, p, str_n(query + 1, strcspn(query + 1, "#")),
			  "query parameters are not permitted in the URL");
}

static void v_hook_path(struct valid *v, const struct vpath *p, struct str path)
{
	struct str rest = path;
	unsigned i = 0;

	if (path.n == 0 || str_eqc(path, "/"))
		return;
	if (path.p[0] != '/')
		v_invalid(v, p, path, "must start with a '/'");
	rest = str_sub(rest, 1, rest.n);
	if (rest.n > 1 && rest.p[rest.n - 1] == '/')
		rest.n--;
	while (rest.p) {
		struct str step = str_cut(&rest, '/');
		const char *m[NAME_MSGS];
		unsigned n = step.n > 0 ? name_messages(NF_DNS_SUBDOMAIN, step, false, m) : 0;
		_cleanup_free_ char *why = step.n == 0 ? xasprintf("segment[%u] may not be empty", i) : NULL;

		if (n > 0)
			why = xasprintf("segment[%u]: %s", i, m[0]);
		if (why)
			v_invalid(v, p, path, why);
		i++;
	}
}

static void v_hook_service(struct valid *v, const struct vpath *p, const struct node *n)
{
	int64_t port = node_int(node_get(n, F_port), 443);

	v_need(v, p, n, F_name, "service name is required");
	v_need(v, p, n, F_namespace, "service namespace is required");
	if (port < 1 || port > 65535)
		v_invalid_int(v, VP(p, "port"), port, "port is not valid: must be between 1 and 65535, inclusive");
	v_hook_path(v, VP(p, "path"), v_str(n, F_path));
}

static void v_hook_client(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *url = node_get(n, F_url), *service = node_get(n, F_service);

	if (!url == !service)
		v_required(v, p, "exactly one of url or service is required");
	else if (url)
		v_hook_url(v, VP(p, "url"), node_str(url));
	else
		v_hook_service(v, VP(p, "service"), service);
}

/* --- webhooks --- */

static void v_review_versions(struct valid *v, const struct vpath *p, const struct node *list)
{
	bool known = false;
	size_t i = 0;

	if (node_count(list) == 0) {
		v_required(v, p, "must specify one of v1, v1beta1");
		return;
	}
	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);
		bool again = false;

		known = known || node_streq(c, "v1") || node_streq(c, "v1beta1");
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			again = again || node_equal(other, c);
		}
		if (again)
			v_invalid(v, at, node_str(c), "duplicate version");
		else
			v_name(v, at, node_str(c), NF_DNS1035_LABEL);
	}
	if (!known)
		v_invalid_node(v, p, list, "must include at least one of v1, v1beta1");
}

static void v_webhook(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const EFFECTS[] = { "None", "NoneOnDryRun", NULL };
	const struct node *timeout = node_get(n, F_timeoutSeconds);
	struct str name = v_str(n, F_name);

	v_qualified_domain(v, VP(p, "name"), name);
	v_each(v, VP(p, "rules"), node_get(n, F_rules), v_admission_rule);
	v_may_be(v, p, n, F_failurePolicy, FAILURE);
	v_may_be(v, p, n, F_matchPolicy, MATCH);
	if (v_str(n, F_sideEffects).n == 0)
		v_required(v, VP(p, "sideEffects"), "must specify one of None, NoneOnDryRun");
	else
		v_may_be(v, p, n, F_sideEffects, EFFECTS);
	if (timeout && (node_int(timeout, 0) < 1 || node_int(timeout, 0) > 30))
		v_invalid_node(v, VP(p, "timeoutSeconds"), timeout,
			       "the timeout value must be between 1 and 30 seconds");
	v_label_selector(v, VP(p, "namespaceSelector"), node_get(n, F_namespaceSelector));
	v_label_selector(v, VP(p, "objectSelector"), node_get(n, F_objectSelector));
	v_may_be(v, p, n, F_reinvocationPolicy, REINVOKE);
	v_hook_client(v, VP(p, "clientConfig"), node_get(n, F_clientConfig));
	v_match_conditions(v, VP(p, "matchConditions"), node_get(n, F_matchConditions));
	v_review_versions(v, VP(p, "admissionReviewVersions"), node_get(n, F_admissionReviewVersions));
	NODE_FOREACH(other, node_get(v->root, F_webhooks)) {
		if (other == n || name.n == 0)
			break;
		if (str_eq(v_str(other, F_name), name)) {
			v_duplicate_str(v, VP(p, "name"), name);
			break;
		}
	}
}

void v_webhook_configuration(struct valid *v)
{
	const struct node *list = node_get(v->root, F_webhooks);

	if (node_count(list) > LIMIT_LIST_ITEMS)
		v_too_many(v, VP(NULL, "webhooks"), node_count(list), LIMIT_LIST_ITEMS);
	else
		v_each(v, VP(NULL, "webhooks"), list, v_webhook);
}

/* --- policies --- */

static void v_match_resources(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (!n)
		return;
	v_need(v, p, n, F_matchPolicy, NULL);
	if (v_str(n, F_matchPolicy).n > 0)
		v_may_be(v, p, n, F_matchPolicy, MATCH);
	if (!node_get(n, F_namespaceSelector))
		v_required(v, VP(p, "namespaceSelector"), NULL);
	v_label_selector(v, VP(p, "namespaceSelector"), node_get(n, F_namespaceSelector));
	if (!node_get(n, F_objectSelector))
		v_required(v, VP(p, "objectSelector"), NULL);
	v_label_selector(v, VP(p, "objectSelector"), node_get(n, F_objectSelector));
	v_each(v, VP(p, "resourceRules"), node_get(n, F_resourceRules), v_named_rule);
	v_each(v, VP(p, "excludeResourceRules"), node_get(n, F_excludeResourceRules), v_named_rule);
}

static void v_param_kind(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str api = v_str(n, F_apiVersion), kind = v_str(n, F_kind), version = api;
	ssize_t slash = str_find(api, '/');
	const char *m[NAME_MSGS];
	_cleanup_free_ char *lower = str_dup(kind);

	if (slash >= 0)
		version = str_sub(api, slash + 1, api.n);
	if (api.n == 0) {
		v_required(v, VP(p, "apiVersion"), NULL);
	} else if (str_find(version, '/') >= 0) {
		v_invalidf(v, VP(p, "apiVersion"), node_get(n, F_apiVersion),
			   "unexpected GroupVersion string: %" STR_FMT, STR_ARG(api));
	} else {
		if (slash > 0)
			v_name(v, VP(p, "apiVersion"), str_sub(api, 0, slash), NF_DNS_SUBDOMAIN);
		if (version.n == 0)
			v_invalid(v, VP(p, "apiVersion"), api, "version must be specified");
		else
			v_name(v, VP(p, "apiVersion"), version, NF_DNS1035_LABEL);
	}
	for (char *s = lower; *s; s++)
		*s = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
	if (kind.n == 0)
		v_required(v, VP(p, "kind"), NULL);
	else if (name_messages(NF_DNS1035_LABEL, str_of(lower), false, m) > 0)
		v_invalidf(v, VP(p, "kind"), node_get(n, F_kind),
			   "may have mixed case, but should otherwise match: %s", m[0]);
}

static bool is_cel_name(struct str s)
{
	static const char *const RESERVED[] = { "as", "break", "const", "continue", "else", "false", "for", "function",
						"if", "import", "in", "let", "loop", "namespace", "null", "package",
						"return", "true", "var", "void", "while", NULL };
	const char *m[NAME_MSGS];

	return name_messages(NF_C_IDENTIFIER, s, false, m) == 0 && !v_is_one_of(s, RESERVED);
}

static void v_variable(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (str_trim(v_str(n, F_name)).n == 0)
		v_required(v, VP(p, "name"), "name is not specified");
	else if (!is_cel_name(v_str(n, F_name)))
		v_invalid(v, VP(p, "name"), v_str(n, F_name), "must be a valid CEL identifier");
	if (str_trim(v_str(n, F_expression)).n == 0)
		v_required(v, VP(p, "expression"), "expression is not specified");
}

static void v_validation(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const REASONS[] = { "Forbidden", "Invalid", "RequestEntityTooLarge", NULL };
	struct str message = v_str(n, F_message), dynamic = v_str(n, F_messageExpression);
	struct str trimmed = str_trim(message);

	if (str_trim(v_str(n, F_expression)).n == 0)
		v_required(v, VP(p, "expression"), "expression is not specified");
	if (dynamic.n > 0 && str_trim(dynamic).n == 0)
		v_invalid(v, VP(p, "messageExpression"), dynamic, "must be non-empty if specified");
	if (message.n > 0 && trimmed.n == 0)
		v_invalid(v, VP(p, "message"), message, "must be non-empty if specified");
	else if (str_find(trimmed, '\n') >= 0 || str_find(trimmed, '\r') >= 0)
		v_invalid(v, VP(p, "message"), message, "must not contain line breaks");
	v_may_be(v, p, n, F_reason, REASONS);
}

static void v_audit_annotation(struct valid *v, const struct vpath *p, const struct node *n)
{
	enum { MAX_EXPRESSION = 5 << 10 };
	_cleanup_free_ char *key = xasprintf("%s/%s", meta_name(v->root), node_gets(n, F_key));
	size_t length = str_trim(v_str(n, F_valueExpression)).n;

	v_name(v, VP(p, "key"), str_of(key), NF_QUALIFIED);
	if (length == 0)
		v_required(v, VP(p, "valueExpression"), "valueExpression is not specified");
	else if (length > MAX_EXPRESSION)
		v_required(v, VP(p, "valueExpression"), "must not exceed 5120 bytes in length");
	NODE_FOREACH(other, node_path(v->root, F_spec, F_auditAnnotations)) {
		if (other == n)
			break;
		if (str_eq(v_str(other, F_key), v_str(n, F_key))) {
			v_duplicate_str(v, VP(p, "key"), v_str(n, F_key));
			break;
		}
	}
}

static void v_mutation(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const struct {
		const char *type;
		enum field field;
		const char *needed, *other;
	} TYPES[] = {
		{ "ApplyConfiguration", F_applyConfiguration, "must be specified when patchType is ApplyConfiguration",
		  "must not be specified when patchType is JSONPatch" },
		{ "JSONPatch", F_jsonPatch, "must be specified when patchType is JSONPatch",
		  "must not be specified when patchType is ApplyConfiguration" },
	};
	static const char *const NAMES[] = { "ApplyConfiguration", "JSONPatch", NULL };
	struct str type = v_str(n, F_patchType);

	v_need(v, p, n, F_patchType, NULL);
	if (type.n > 0 && !v_is_one_of(type, NAMES))
		v_unsupported(v, VP(p, "patchType"), type, NAMES);
	for (size_t i = 0; v_is_one_of(type, NAMES) && i < ARRAY_SIZE(TYPES); i++) {
		const struct node *patch = node_get(n, TYPES[i].field);
		const struct vpath *at = VP(p, doc_field_name(TYPES[i].field));
		bool wanted = str_eqc(type, TYPES[i].type);

		if (wanted && !patch)
			v_required(v, at, TYPES[i].needed);
		else if (!wanted && patch)
			v_invalidf(v, at, patch, "%s", TYPES[i].other);
		else if (wanted && str_trim(v_str(patch, F_expression)).n == 0)
			v_required(v, VP(at, "expression"), "expression is not specified");
	}
}

static void v_policy_parts(struct valid *v, const struct vpath *p, const struct node *spec, bool mutating)
{
	enum { MAX_ANNOTATIONS = 20 };
	static const char EITHER[] = "validations or auditAnnotations must contain at least one item";
	const struct node *notes = node_get(spec, F_auditAnnotations);

	if (mutating) {
		v_need(v, p, spec, F_mutations, "mutations must contain at least one item");
		v_each(v, VP(p, "mutations"), node_get(spec, F_mutations), v_mutation);
		v_need(v, p, spec, F_reinvocationPolicy, NULL);
		if (v_str(spec, F_reinvocationPolicy).n > 0)
			v_may_be(v, p, spec, F_reinvocationPolicy, REINVOKE);
		return;
	}
	if (node_count(node_get(spec, F_validations)) == 0 && node_count(notes) == 0) {
		v_required(v, VP(p, "validations"), EITHER);
		v_required(v, VP(p, "auditAnnotations"), EITHER);
	}
	v_each(v, VP(p, "validations"), node_get(spec, F_validations), v_validation);
	if (node_count(notes) > MAX_ANNOTATIONS)
		v_invalid_node(v, VP(p, "auditAnnotations"), notes, "must not have more than 20 auditAnnotations");
	v_each(v, VP(p, "auditAnnotations"), notes, v_audit_annotation);
}

void v_admission_policy(struct valid *v)
{
	static const char *const MUTATING[] = { "*", "CONNECT", "CREATE", "UPDATE", NULL };
	bool mutating = streq(v->r->r.kind, "MutatingAdmissionPolicy");
	const struct node *spec = node_get(v->root, F_spec), *match = node_get(spec, F_matchConstraints);
	const struct vpath *p = VP(NULL, "spec"), *at = VP(p, "matchConstraints");

	if (streq(v->sub, "status")) {
		v_conditions(v, VP(VP(NULL, "status"), "conditions"), node_path(v->root, F_status, F_conditions));
		return;
	}
	v_one_of(v, VP(p, "failurePolicy"), node_get(spec, F_failurePolicy), FAILURE);
	if (node_get(spec, F_paramKind))
		v_param_kind(v, VP(p, "paramKind"), node_get(spec, F_paramKind));
	if (!match)
		v_required(v, at, NULL);
	v_match_resources(v, at, match);
	if (match)
		v_need(v, at, match, F_resourceRules, NULL);
	NODE_FOREACH(rule, mutating ? node_get(match, F_resourceRules) : NULL) {
		NODE_FOREACH(op, node_get(rule, F_operations)) {
			if (!v_is_one_of(node_str(op), MUTATING))
				v_unsupported(v, VP(VP(at, "resourceRules"), "operations"), node_str(op), MUTATING);
		}
	}
	v_match_conditions(v, VP(p, "matchConditions"), node_get(spec, F_matchConditions));
	v_each(v, VP(p, "variables"), node_get(spec, F_variables), v_variable);
	v_policy_parts(v, p, spec, mutating);
}

/* --- bindings --- */

static void v_param_ref(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char WHY[] = "name and selector are mutually exclusive";
	static const char *const ACTIONS[] = { "Deny", "Allow", NULL };
	const struct node *sel = node_get(n, F_selector);
	bool named = v_str(n, F_name).n > 0;

	if (!n)
		return;
	v_may_name(v, p, n, F_name, NF_PATH_SEGMENT);
	if (named && sel)
		v_forbidden(v, VP(p, "name"), WHY);
	v_label_selector(v, VP(p, "selector"), sel);
	if (named && sel)
		v_forbidden(v, VP(p, "selector"), WHY);
	if (!named && !sel)
		v_required(v, p, "one of name or selector must be specified");
	v_one_of(v, VP(p, "parameterNotFoundAction"), node_get(n, F_parameterNotFoundAction), ACTIONS);
}

static void v_actions(struct valid *v, const struct vpath *p, const struct node *list)
{
	static const char *const ACTIONS[] = { "Audit", "Deny", "Warn", NULL };

	v_each_of(v, p, list, ACTIONS);
	if (v_list_has(list, STR_LIT("Deny")) && v_list_has(list, STR_LIT("Warn")))
		v_invalid_node(v, p, list,
			       "must not contain both Deny and Warn (repeating the same validation failure information "
			       "in the API response and headers serves no purpose)");
	if (node_count(list) == 0)
		v_required(v, p, "at least one validation action is required");
}

void v_admission_policy_binding(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	v_need_name(v, p, spec, F_policyName, NF_DNS_SUBDOMAIN);
	v_param_ref(v, VP(p, "paramRef"), node_get(spec, F_paramRef));
	v_match_resources(v, VP(p, "matchResources"), node_get(spec, F_matchResources));
	if (!streq(v->r->r.kind, "MutatingAdmissionPolicyBinding"))
		v_actions(v, VP(p, "validationActions"), node_get(spec, F_validationActions));
}
