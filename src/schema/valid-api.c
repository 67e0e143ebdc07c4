/*
 * Validation of what concerns the API itself: APIService, CertificateSigningRequest,
 * FlowSchema, PriorityLevelConfiguration. That a certificate request's bytes are one
 * is checked where they are read.
 */
#include "schema/valid.h"

/* --- APIService --- */

static void v_api_conditions(struct valid *v)
{
	static const char *const STATUS[] = { "True", "False", "Unknown", NULL };
	size_t i = 0;

	NODE_FOREACH(c, node_path(v->root, F_status, F_conditions)) {
		if (!v_is_one_of(v_str(c, F_status), STATUS))
			v_unsupported(v, VP(VPI(VP(VP(NULL, "status"), "conditions"), i), "status"),
				      v_str(c, F_status), STATUS);
		i++;
	}
}

static void v_api_backend(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *service = node_get(spec, F_service), *skip = node_get(spec, F_insecureSkipTLSVerify);
	bool bundle = v_str(spec, F_caBundle).n > 0;

	if (service) {
		v_need(v, VP(p, "service"), service, F_namespace, NULL);
		v_need(v, VP(p, "service"), service, F_name, NULL);
		if (node_bool(skip, false) && bundle)
			v_invalid_node(v, VP(p, "insecureSkipTLSVerify"), skip,
				       "may not be true if caBundle is present");
		return;
	}
	if (bundle)
		v_invalidf(v, VP(p, "caBundle"), node_get(spec, F_caBundle),
			   "local APIServices may not have a caBundle");
	if (node_bool(skip, false))
		v_invalid_node(v, VP(p, "insecureSkipTLSVerify"), skip,
			       "local APIServices may not have insecureSkipTLSVerify");
}

void v_api_service(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	struct str group = v_str(spec, F_group), version = v_str(spec, F_version);
	const struct vpath *p = VP(NULL, "spec");
	int64_t minimum = node_int(node_get(spec, F_groupPriorityMinimum), 0);
	int64_t priority = node_int(node_get(spec, F_versionPriority), 0);
	_cleanup_free_ char *name = xasprintf("%" STR_FMT ".%" STR_FMT, STR_ARG(version), STR_ARG(group));

	if (streq(v->sub, "status")) {
		v_api_conditions(v);
		return;
	}
	if (!streq(meta_name(v->root), name)) {
		_cleanup_free_ char *why = xasprintf("must be `spec.version+\".\"+spec.group`: \"%s\"", name);

		v_invalid(v, VP(VP(NULL, "metadata"), "name"), str_of(meta_name(v->root)), why);
	}
	if (group.n == 0 && !str_eqc(version, "v1"))
		v_required(v, VP(p, "group"), "only v1 may have an empty group and it better be legacy kube");
	v_may_name(v, p, spec, F_group, NF_DNS_SUBDOMAIN);
	v_name(v, VP(p, "version"), version, NF_DNS1035_LABEL);
	if (minimum <= 0 || minimum > 20000)
		v_invalid_int(v, VP(p, "groupPriorityMinimum"), minimum, "must be positive and less than 20000");
	if (priority <= 0 || priority > 1000)
		v_invalid_int(v, VP(p, "versionPriority"), priority, "must be positive and less than 1000");
	v_api_backend(v, p, spec);
}

/* --- CertificateSigningRequest --- */

static const char *const CSR_USAGES[] = {
	"any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
	"decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
	"ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
	"server auth", "signing", "timestamping", NULL
};
static const char *const CSR_DECISIONS[] = { "Approved", "Denied", "Failed", NULL };

/* Each dotted part of s; the first wrong one is said. */
static void v_signer_parts(struct valid *v, const struct vpath *p, struct str s, enum name_format form)
{
	for (struct str rest = s; rest.p;) {
		struct str part = str_cut(&rest, '.');
		const char *m[NAME_MSGS];
		unsigned n = name_messages(form, part, false, m);

		for (unsigned i = 0; i < n; i++) {
			_cleanup_free_ char *why =
				xasprintf("validating label \"%" STR_FMT "\": %s", STR_ARG(part), m[i]);

			v_invalid(v, p, s, why);
		}
		if (n > 0)
			return;
	}
}

static void v_signer_name(struct valid *v, const struct vpath *p, struct str s)
{
	enum { MAX_DOMAIN = 253, MAX_SIGNER = 253 + 1 + 253 + 63 + 1 };
	ssize_t slash = str_find(s, '/');
	struct str domain = str_sub(s, 0, slash < 0 ? 0 : slash);

	if (s.n == 0)
		v_required(v, p, NULL);
	if (slash < 0 || str_rfind(s, '/') != slash) {
		v_invalid(v, p, s, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
		return;
	}
	if (domain.n > MAX_DOMAIN)
		v_too_long(v, p, MAX_DOMAIN);
	v_signer_parts(v, p, domain, NF_DNS_LABEL);
	if (str_find(domain, '.') < 0)
		v_invalid(v, p, domain, "should be a domain with at least two segments separated by dots");
	v_signer_parts(v, p, str_sub(s, slash + 1, s.n), NF_DNS_SUBDOMAIN);
	if (s.n > MAX_SIGNER)
		v_too_long(v, p, MAX_SIGNER);
}

static void v_csr_spec(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *usages = node_get(spec, F_usages), *seconds = node_get(spec, F_expirationSeconds);
	struct str signer = v_str(spec, F_signerName);
	size_t i = 0;

	v_need(v, p, spec, F_usages, NULL);
	NODE_FOREACH(c, usages) {
		if (!v_is_one_of(node_str(c), CSR_USAGES))
			v_unsupported(v, VPI(VP(p, "usages"), i), node_str(c), CSR_USAGES);
		i++;
	}
	i = 0;
	NODE_FOREACH(c, usages) {
		NODE_FOREACH(other, usages) {
			if (other == c)
				break;
			if (node_equal(other, c)) {
				v_duplicate(v, VPI(VP(p, "usages"), i), c);
				break;
			}
		}
		i++;
	}
	if (str_eqc(signer, "kubernetes.io/legacy-unknown"))
		v_invalid(v, VP(p, "signerName"), signer,
			  "the legacy signerName is not allowed via this API version");
	else
		v_signer_name(v, VP(p, "signerName"), signer);
	if (seconds && node_int(seconds, 0) < 600)
		v_invalid_node(v, VP(p, "expirationSeconds"), seconds,
			       "may not specify a duration less than 600 seconds (10 minutes)");
}

static const struct node *csr_condition(const struct node *csr, const char *type)
{
	NODE_FOREACH(c, node_path(csr, F_status, F_conditions)) {
		if (node_streq(node_get(c, F_type), type))
			return c;
	}
	return NULL;
}

static void v_csr_conditions(struct valid *v, const struct vpath *p)
{
	static const char *const ANY[] = { "False", "True", "Unknown", NULL };
	static const char *const ONLY[] = { "True", NULL };
	const struct node *list = node_path(v->root, F_status, F_conditions);
	bool both = v->old && csr_condition(v->old, "Approved") && csr_condition(v->old, "Denied");
	bool approved = false, denied = false;
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);
		struct str type = v_str(c, F_type);

		v_need(v, at, c, F_type, NULL);
		v_one_of(v, VP(at, "status"), node_get(c, F_status), v_is_one_of(type, CSR_DECISIONS) ? ONLY : ANY);
		if (!both && ((str_eqc(type, "Approved") && denied) || (str_eqc(type, "Denied") && approved)))
			v_invalid(v, VP(at, "type"), type, "Approved and Denied conditions are mutually exclusive");
		approved = approved || str_eqc(type, "Approved");
		denied = denied || str_eqc(type, "Denied");
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_type), type)) {
				v_duplicate_str(v, VP(at, "type"), type);
				break;
			}
		}
	}
}

/* Approval belongs to "approval", the certificate to "status". */
static void v_csr_update(struct valid *v, const struct vpath *p)
{
	const struct node *was = node_path(v->old, F_status, F_certificate);
	const struct node *is = node_path(v->root, F_status, F_certificate);

	for (size_t i = 0; CSR_DECISIONS[i]; i++) {
		if (csr_condition(v->old, CSR_DECISIONS[i]) && !csr_condition(v->root, CSR_DECISIONS[i]))
			v_forbiddenf(v, VP(p, "conditions"), "updates may not remove a condition of type \"%s\"",
				     CSR_DECISIONS[i]);
	}
	for (size_t i = 0; i < 2 && !streq(v->sub, "approval"); i++) {
		const struct node *a = csr_condition(v->old, CSR_DECISIONS[i]);
		const struct node *b = csr_condition(v->root, CSR_DECISIONS[i]);

		if (!a && b)
			v_forbiddenf(v, VP(p, "conditions"), "updates may not add a condition of type \"%s\"",
				     CSR_DECISIONS[i]);
		else if (a && b && !v_same(a, b))
			v_forbiddenf(v, VP(p, "conditions"), "updates may not modify a condition of type \"%s\"\n",
				     CSR_DECISIONS[i]);
	}
	if (v_same(was, is))
		return;
	if (!streq(v->sub, "status"))
		v_forbidden(v, VP(p, "certificate"), "updates may not set certificate content");
	else if (node_str(was).n > 0)
		v_forbidden(v, VP(p, "certificate"), "updates may not modify existing certificate content");
}

void v_certificate_request(struct valid *v)
{
	const struct vpath *p = VP(NULL, "status");

	v_csr_spec(v, VP(NULL, "spec"), node_get(v->root, F_spec));
	v_csr_conditions(v, VP(p, "conditions"));
	if (v->old)
		v_csr_update(v, p);
}

/* --- flow control --- */

static bool has_wildcard(const struct node *list)
{
	return v_list_has(list, STR_LIT("*"));
}

/* A list that is needed, and where "*" stands alone. */
static bool v_flow_list(struct valid *v, const struct vpath *p, const struct node *rule, enum field f, const char *need,
			const char *others)
{
	const struct node *list = node_get(rule, f);
	const struct vpath *at = VP(p, doc_field_name(f));

	if (node_count(list) == 0)
		v_required(v, at, need);
	else if (node_count(list) > 1 && has_wildcard(list))
		v_invalidf(v, at, list, "if '*' is present, must not specify other %s", others);
	return node_count(list) > 0 && !has_wildcard(list);
}

static void v_flow_verbs(struct valid *v, const struct vpath *p, const struct node *rule)
{
	static const char *const VERBS[] = { "create", "delete", "deletecollection", "get", "list", "patch", "proxy",
					     "update", "watch", NULL };
	const struct node *list = node_get(rule, F_verbs);

	if (!v_flow_list(v, p, rule, F_verbs, "verbs must contain at least one value", "verbs"))
		return;
	NODE_FOREACH(c, list) {
		if (v_is_one_of(node_str(c), VERBS))
			continue;
		v_unsupported_node(v, VP(p, "verbs"), list, VERBS);
		return;
	}
}

static void v_flow_url(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str s = node_str(n);
	_cleanup_free_ char *text = str_dup(s.p ? s : STR_LIT(""));
	const char *star = strchr(text, '*');

	if (s.n == 0)
		v_invalid(v, p, s, "must not be empty");
	else if (s.p[0] != '/')
		v_invalid(v, p, s, "must start with slash");
	else if (strchr(text, ' '))
		v_invalid(v, p, s, "must not contain white-space");
	else if (strstr(text, "//"))
		v_invalid(v, p, s, "must not contain double slash");
	else if (star && (star[1] || star[-1] != '/'))
		v_invalid(v, p, s, "wildcard can only do suffix matching");
}

static void v_flow_urls(struct valid *v, const struct vpath *p, const struct node *rule)
{
	v_flow_verbs(v, p, rule);
	if (v_flow_list(v, p, rule, F_nonResourceURLs, "nonResourceURLs must contain at least one value",
			"non-resource URLs"))
		v_each(v, VP(p, "nonResourceURLs"), node_get(rule, F_nonResourceURLs), v_flow_url);
}

static void v_flow_resources(struct valid *v, const struct vpath *p, const struct node *rule)
{
	const struct node *spaces = node_get(rule, F_namespaces);
	const struct vpath *at = VP(p, "namespaces");
	size_t i = 0;

	v_flow_verbs(v, p, rule);
	(void)v_flow_list(v, p, rule, F_apiGroups, "resource rules must supply at least one api group", "api groups");
	(void)v_flow_list(v, p, rule, F_resources, "resource rules must supply at least one resource", "resources");
	if (node_count(spaces) == 0 && node_bool(node_get(rule, F_clusterScope), false))
		return;
	if (!v_flow_list(v, p, rule, F_namespaces,
			 "resource rules that are not cluster scoped must supply at least one namespace",
			 "namespaces"))
		return;
	NODE_FOREACH(c, spaces) {
		const char *m[NAME_MSGS];
		unsigned n = name_messages(NF_DNS_LABEL, node_str(c), false, m);

		for (unsigned k = 0; k < n; k++)
			v_invalidf(v, VPI(at, i), c,
				   "each member of this list must be '*' or a DNS-1123 label; %s", m[k]);
		i++;
	}
}

static void v_flow_subject(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const struct {
		const char *kind;
		enum field field;
		const char *needed, *forbidden;
	} KINDS[] = {
		{ "ServiceAccount", F_serviceAccount, "serviceAccount is required when subject kind is 'ServiceAccount'",
		  "serviceAccount is forbidden when subject kind is not 'ServiceAccount'" },
		{ "User", F_user, "user is required when subject kind is 'User'",
		  "user is forbidden when subject kind is not 'User'" },
		{ "Group", F_group, "group is required when subject kind is 'Group'",
		  "group is forbidden when subject kind is not 'Group'" },
	};
	static const char *const NAMES[] = { "Group", "ServiceAccount", "User", NULL };
	struct str kind = v_str(n, F_kind);

	if (!v_is_one_of(kind, NAMES)) {
		v_unsupported(v, VP(p, "kind"), kind, NAMES);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(KINDS); i++) {
		const struct node *who = node_get(n, KINDS[i].field);
		const struct vpath *at = VP(p, doc_field_name(KINDS[i].field));

		if (!str_eqc(kind, KINDS[i].kind)) {
			if (who)
				v_forbidden(v, at, KINDS[i].forbidden);
		} else if (!who) {
			v_required(v, at, KINDS[i].needed);
		} else {
			if (i > 0 || node_streq(node_get(who, F_name), "*"))
				v_need(v, at, who, F_name, NULL);
			else
				v_need_name(v, at, who, F_name, NF_DNS_SUBDOMAIN);
			if (i == 0 && v_str(who, F_namespace).n == 0)
				v_required(v, VP(at, "namespace"), "must specify namespace for service account");
			else if (i == 0)
				v_name(v, VP(at, "namespace"), v_str(who, F_namespace), NF_DNS_LABEL);
		}
	}
}

static void v_flow_rule(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need(v, p, n, F_subjects, "subjects must contain at least one value");
	v_each(v, VP(p, "subjects"), node_get(n, F_subjects), v_flow_subject);
	if (node_count(node_get(n, F_resourceRules)) == 0 && node_count(node_get(n, F_nonResourceRules)) == 0)
		v_required(v, p, "at least one of resourceRules and nonResourceRules has to be non-empty");
	v_each(v, VP(p, "resourceRules"), node_get(n, F_resourceRules), v_flow_resources);
	v_each(v, VP(p, "nonResourceRules"), node_get(n, F_nonResourceRules), v_flow_urls);
}

static void v_flow_conditions(struct valid *v)
{
	const struct node *list = node_path(v->root, F_status, F_conditions);
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(VP(VP(NULL, "status"), "conditions"), i++);

		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_type), v_str(c, F_type))) {
				v_duplicate_str(v, VP(at, "type"), v_str(c, F_type));
				break;
			}
		}
		v_need(v, at, c, F_type, "must not be empty");
	}
}

void v_flow_schema(struct valid *v)
{
	enum { MAX_PRECEDENCE = 10000 };
	static const char *const METHODS[] = { "ByNamespace", "ByUser", NULL };
	const struct node *spec = node_get(v->root, F_spec), *n = node_get(spec, F_matchingPrecedence);
	const struct node *method = node_get(spec, F_distinguisherMethod);
	const struct vpath *p = VP(NULL, "spec"), *level = VP(p, "priorityLevelConfiguration");

	if (streq(v->sub, "status")) {
		v_flow_conditions(v);
		return;
	}
	if (node_int(n, 0) <= 0)
		v_invalid_int(v, VP(p, "matchingPrecedence"), node_int(n, 0), "must be a positive value");
	if (node_int(n, 0) > MAX_PRECEDENCE)
		v_invalid_node(v, VP(p, "matchingPrecedence"), n, "must not be greater than 10000");
	if (node_int(n, 0) == 1 && !streq(meta_name(v->root), "exempt"))
		v_invalid_node(v, VP(p, "matchingPrecedence"), n,
			       "only the schema named 'exempt' may have matchingPrecedence 1");
	if (method && !v_is_one_of(v_str(method, F_type), METHODS))
		v_unsupported_node(v, VP(VP(p, "distinguisherMethod"), "type"), method, METHODS);
	if (v_str(node_get(spec, F_priorityLevelConfiguration), F_name).n == 0)
		v_required(v, VP(level, "name"), "must reference a priority level");
	else
		v_may_name(v, level, node_get(spec, F_priorityLevelConfiguration), F_name, NF_DNS_SUBDOMAIN);
	v_each(v, VP(p, "rules"), node_get(spec, F_rules), v_flow_rule);
}

/* --- PriorityLevelConfiguration --- */

static void v_queuing(struct valid *v, const struct vpath *p, const struct node *n)
{
	enum { MAX_QUEUES = 10000000, MAX_BITS = 60 };
	int64_t length = node_int(node_get(n, F_queueLengthLimit), 0), queues = node_int(node_get(n, F_queues), 0);
	int64_t hand = node_int(node_get(n, F_handSize), 0);
	__int128 decks = 1; /* ways to deal: more than 2^60 is more than the hash has bits */

	if (length <= 0)
		v_invalid_int(v, VP(p, "queueLengthLimit"), length, "must be positive");
	if (queues <= 0)
		v_invalid_int(v, VP(p, "queues"), queues, "must be positive");
	else if (queues > MAX_QUEUES)
		v_invalid_int(v, VP(p, "queues"), queues, "must not be greater than 10000000");
	for (int64_t i = 0; i < hand && i < queues && decks <= 1LL << MAX_BITS; i++)
		decks *= queues - i;
	if (hand <= 0)
		v_invalid_int(v, VP(p, "handSize"), hand, "must be positive");
	else if (hand > queues)
		v_invalidf(v, VP(p, "handSize"), node_get(n, F_handSize), "should not be greater than queues (%lld)",
			   (long long)queues);
	else if (decks > 1LL << MAX_BITS)
		v_invalidf(v, VP(p, "handSize"), node_get(n, F_handSize),
			   "required entropy bits of deckSize %lld and handSize %lld should not be greater than %d",
			   (long long)queues, (long long)hand, MAX_BITS);
}

static void v_limit_response(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "Queue", "Reject", NULL };
	const struct node *queuing = node_get(n, F_queuing);

	if (!v_is_one_of(v_str(n, F_type), TYPES))
		v_unsupported(v, VP(p, "type"), v_str(n, F_type), TYPES);
	else if (node_streq(node_get(n, F_type), "Reject") && queuing)
		v_forbidden(v, VP(p, "queuing"), "must be nil if limited.limitResponse.type is not Limited");
	else if (node_streq(node_get(n, F_type), "Queue") && !queuing)
		v_required(v, VP(p, "queuing"), "must not be empty if limited.limitResponse.type is Limited");
	else if (queuing)
		v_queuing(v, VP(p, "queuing"), queuing);
}

static void v_shares(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *shares = node_get(n, F_nominalConcurrencyShares), *lend = node_get(n, F_lendablePercent);

	if (node_int(shares, 0) < 0)
		v_invalid_node(v, VP(p, "nominalConcurrencyShares"), shares, "must be a non-negative integer");
	if (lend && (node_int(lend, 0) < 0 || node_int(lend, 0) > 100))
		v_invalid_node(v, VP(p, "lendablePercent"), lend, "must be between 0 and 100, inclusive");
}

void v_priority_level(struct valid *v)
{
	static const char *const TYPES[] = { "Exempt", "Limited", NULL };
	const struct node *spec = node_get(v->root, F_spec), *limited = node_get(spec, F_limited);
	const struct node *exempt = node_get(spec, F_exempt), *borrow = node_get(limited, F_borrowingLimitPercent);
	struct str type = v_str(spec, F_type);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		v_flow_conditions(v);
		return;
	}
	if (streq(meta_name(v->root), "exempt") != str_eqc(type, "Exempt"))
		v_invalid(v, VP(p, "type"), type, "type must be 'Exempt' if and only if name is 'exempt'");
	if (!v_is_one_of(type, TYPES)) {
		v_unsupported(v, VP(p, "type"), type, TYPES);
		return;
	}
	if (str_eqc(type, "Exempt")) {
		if (limited)
			v_forbidden(v, VP(p, "limited"), "must be nil if the type is not Limited");
		v_shares(v, VP(p, "exempt"), exempt);
		return;
	}
	if (exempt)
		v_forbidden(v, VP(p, "exempt"), "must be nil if the type is Limited");
	if (!limited) {
		v_required(v, VP(p, "limited"), "must not be empty when type is Limited");
		return;
	}
	v_shares(v, VP(p, "limited"), limited);
	if (borrow && node_int(borrow, 0) < 0)
		v_invalid_node(v, VP(VP(p, "limited"), "borrowingLimitPercent"), borrow,
			       "if specified, must be a non-negative integer");
	v_limit_response(v, VP(VP(p, "limited"), "limitResponse"), node_get(limited, F_limitResponse));
}
