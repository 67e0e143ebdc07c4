/*
 * Validation: rules that kinds of several groups share. Lists item by item,
 * required and optional members, counts and percentages, domain-prefixed paths,
 * resource names and quantities, addresses in the lenient reading that Kubernetes'
 * older fields keep (netutils.ParseIPSloppy), conditions, parameters.
 */
#include "schema/valid.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/limits.h"

/* --- members --- */

void v_each(struct valid *v, const struct vpath *p, const struct node *list, v_rule *rule)
{
	size_t i = 0;

	NODE_FOREACH(c, list)
		rule(v, VPI(p, i++), c);
}

void v_need(struct valid *v, const struct vpath *p, const struct node *obj, enum field f, const char *detail)
{
	if (v_empty(node_get(obj, f)))
		v_required(v, VP(p, doc_field_name(f)), detail);
}

void v_need_name(struct valid *v, const struct vpath *p, const struct node *obj, enum field f, enum name_format form)
{
	if (v_str(obj, f).n == 0)
		v_required(v, VP(p, doc_field_name(f)), NULL);
	else
		v_name(v, VP(p, doc_field_name(f)), v_str(obj, f), form);
}

void v_may_name(struct valid *v, const struct vpath *p, const struct node *obj, enum field f, enum name_format form)
{
	if (v_str(obj, f).n > 0)
		v_name(v, VP(p, doc_field_name(f)), v_str(obj, f), form);
}

void v_may_be(struct valid *v, const struct vpath *p, const struct node *obj, enum field f, const char *const *values)
{
	const struct node *n = node_get(obj, f);

	if (n && !node_is(n, DOC_NULL) && !v_is_one_of(node_str(n), values))
		v_unsupported(v, VP(p, doc_field_name(f)), v_str(obj, f), values);
}

bool v_is_one_of(struct str s, const char *const *values)
{
	for (; *values; values++) {
		if (str_eqc(s, *values))
			return true;
	}
	return false;
}

void v_counts(struct valid *v, const struct vpath *p, const struct node *obj, const enum field *fields)
{
	for (; *fields; fields++)
		v_nonnegative(v, VP(p, doc_field_name(*fields)), node_get(obj, *fields));
}

void v_fixed(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old, enum field f)
{
	v_immutable(v, VP(p, doc_field_name(f)), node_get(now, f), node_get(old, f));
}

void v_int_or_percent(struct valid *v, const struct vpath *p, const struct node *n, int64_t max)
{
	struct str s = node_str(n);
	int64_t value = 0;
	bool digits = s.n >= 2 && s.p[s.n - 1] == '%';

	if (node_is(n, DOC_INT))
		v_nonnegative(v, p, n);
	if (!node_is(n, DOC_STRING))
		return;
	for (size_t i = 0; digits && i + 1 < s.n; i++)
		digits = s.p[i] >= '0' && s.p[i] <= '9';
	if (!digits)
		v_invalid(v, p, s,
			  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
			  "'93%', regex used for validation is '[0-9]+%')");
	else if (!str_to_i64(str_sub(s, 0, s.n - 1), &value) || value > max)
		v_invalid(v, p, s, "must not be greater than 100%");
}

/* --- names of several parts --- */

void v_domain_path(struct valid *v, const struct vpath *p, struct str s)
{
	static const char MORE[] = "/-._~%!$&'()*+,;=:";
	ssize_t slash = str_find(s, '/');

	if (s.n == 0) {
		v_required(v, p, NULL);
		return;
	}
	if (slash <= 0 || (size_t)slash + 1 == s.n) {
		v_invalid(v, p, s, "must be a domain-prefixed path (such as \"acme.io/foo\")");
		return;
	}
	v_name(v, p, str_sub(s, 0, slash), NF_DNS_SUBDOMAIN);
	for (size_t i = slash + 1; i < s.n; i++) {
		char c = s.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c && strchr(MORE, c)))
			continue;
		v_invalid(v, p, str_sub(s, slash + 1, s.n),
			  "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
		return;
	}
}

void v_qualified_domain(struct valid *v, const struct vpath *p, struct str s)
{
	const char *m[NAME_MSGS];
	unsigned n, dots = 0;

	if (s.n == 0) {
		v_required(v, p, NULL);
		return;
	}
	n = name_messages(NF_DNS_SUBDOMAIN, s, false, m);
	for (size_t i = 0; i < s.n; i++)
		dots += s.p[i] == '.';
	if (n > 0)
		v_invalid(v, p, s, m[0]);
	else if (dots < 2)
		v_invalid(v, p, s, "should be a domain with at least three segments separated by dots");
}

void v_csi_driver_name(struct valid *v, const struct vpath *p, struct str s)
{
	const char *m[NAME_MSGS];
	_cleanup_free_ char *lower = str_dup(s.p ? s : STR_LIT(""));
	unsigned n;

	if (s.n == 0)
		v_required(v, p, NULL);
	if (s.n > 63)
		v_too_long(v, p, 63);
	for (char *c = lower; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	n = name_messages(NF_DNS_SUBDOMAIN, str_of(lower), false, m);
	for (unsigned i = 0; i < n; i++)
		v_invalid(v, p, s, m[i]);
}

void v_parameters(struct valid *v, const struct vpath *p, const struct node *n, bool may_be_empty)
{
	enum { MAX_PARAMETERS = 512, MAX_PARAMETER_BYTES = 256 << 10 };
	size_t total = 0;

	if (node_count(n) > MAX_PARAMETERS) {
		v_too_long(v, p, MAX_PARAMETERS);
		return;
	}
	if (!may_be_empty && node_count(n) == 0)
		v_required(v, p, "must contain at least one key/value pair");
	NODE_FOREACH(c, n) {
		if (c->key_len == 0)
			v_invalid(v, p, STR_LIT(""), "field can not be empty.");
		total += c->key_len + node_str(c).n;
	}
	if (total > MAX_PARAMETER_BYTES)
		v_too_long(v, p, MAX_PARAMETER_BYTES);
}

/* --- resources --- */

static const char *const INTEGER_RESOURCES[] = {
	"configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets",
	"services", "services.loadbalancers", "services.nodeports", NULL
};
static const char *const COMPUTE_RESOURCES[] = {
	"cpu", "ephemeral-storage", "limits.cpu", "limits.ephemeral-storage", "limits.memory", "memory", "requests.cpu",
	"requests.ephemeral-storage", "requests.memory", "requests.storage", NULL
};

bool v_is_native_resource(struct str name)
{
	_cleanup_free_ char *text = NULL;

	if (str_find(name, '/') < 0)
		return true;
	text = str_dup(name);
	return strstr(text, "kubernetes.io/") != NULL;
}

bool v_is_hugepages(struct str name)
{
	return str_starts(name, STR_LIT("hugepages-"));
}

bool v_is_extended_resource(struct str name)
{
	const char *m[NAME_MSGS];
	_cleanup_free_ char *quota = NULL;

	if (v_is_native_resource(name) || str_starts(name, STR_LIT("requests.")))
		return false;
	quota = xasprintf("requests.%" STR_FMT, STR_ARG(name));
	return name_messages(NF_QUALIFIED, str_of(quota), false, m) == 0;
}

bool v_may_overcommit(struct str name)
{
	return v_is_native_resource(name) && !v_is_hugepages(name);
}

bool v_is_quota_resource(struct str name)
{
	return v_is_one_of(name, INTEGER_RESOURCES) || v_is_one_of(name, COMPUTE_RESOURCES) || v_is_hugepages(name) ||
	       str_starts(name, STR_LIT("requests.hugepages-"));
}

static bool v_qualified(struct valid *v, const struct vpath *p, struct str name)
{
	size_t before = v->n;

	v_name(v, p, name, NF_QUALIFIED);
	return v->n == before;
}

void v_resource_name(struct valid *v, const struct vpath *p, struct str name)
{
	if (v_qualified(v, p, name) && str_find(name, '/') < 0 && !v_is_quota_resource(name) &&
	    !str_eqc(name, "storage"))
		v_invalid(v, p, name, "must be a standard resource type or fully qualified");
}

void v_container_resource_name(struct valid *v, const struct vpath *p, struct str name)
{
	static const char *const OWN[] = { "cpu", "ephemeral-storage", "memory", NULL };

	v_resource_name(v, p, name);
	if (str_find(name, '/') < 0) {
		if (!v_is_one_of(name, OWN) && !v_is_hugepages(name))
			v_invalid(v, p, name, "must be a standard resource for containers");
	} else if (!v_is_native_resource(name) && !v_is_extended_resource(name)) {
		v_invalid(v, p, name, "doesn't follow extended resource name standard");
	}
}

void v_nonnegative_quantity(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct quantity q;

	if (quantity_from_node(&q, n) && q.nano < 0)
		v_invalid(v, p, node_str(n), "must be greater than or equal to 0");
}

void v_positive_quantity(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct quantity q;

	if (quantity_from_node(&q, n) && q.nano <= 0)
		v_invalid_node(v, p, n, "must be greater than zero");
}

void v_quantity_of(struct valid *v, const struct vpath *p, struct str resource, const struct node *n)
{
	struct quantity q;

	v_nonnegative_quantity(v, p, n);
	if ((v_is_one_of(resource, INTEGER_RESOURCES) || v_is_extended_resource(resource)) &&
	    quantity_from_node(&q, n) && q.nano % 1000000000 != 0)
		v_invalid_node(v, p, n, "must be an integer");
}

/* --- addresses --- */

static bool addr_v4(struct str s, unsigned char *b, bool *odd)
{
	for (unsigned i = 0; i < 4; i++) {
		struct str part = str_cut(&s, '.');
		unsigned value = 0;

		if (part.n == 0 || (i < 3) != (s.p != NULL))
			return false;
		*odd = *odd || (part.n > 1 && part.p[0] == '0');
		for (size_t k = 0; k < part.n; k++) {
			if (part.p[k] < '0' || part.p[k] > '9')
				return false;
			value = value * 10 + (unsigned)(part.p[k] - '0');
			if (value > 255)
				return false;
		}
		b[i] = (unsigned char)value;
	}
	return true;
}

static bool addr_v6(struct str s, unsigned char *b)
{
	char text[INET6_ADDRSTRLEN + 1];

	if (s.n >= sizeof(text) || memchr(s.p, 0, s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	return inet_pton(AF_INET6, text, b) == 1;
}

static void addr_print(struct v_addr *a, int bits)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(a->is_v6 && !a->is_mapped ? AF_INET6 : AF_INET, a->is_mapped ? a->b + 12 : a->b, text, sizeof(text));
	if (bits >= 0)
		snprintf(a->text, sizeof(a->text), "%s/%d", text, bits);
	else
		snprintf(a->text, sizeof(a->text), "%s", text);
}

bool v_parse_ip(struct str s, struct v_addr *a)
{
	static const unsigned char MAPPED[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	memset(a, 0, sizeof(*a));
	if (s.n == 0)
		return false;
	a->is_v6 = str_find(s, ':') >= 0;
	a->bits = a->is_v6 ? 128 : 32;
	if (a->is_v6 ? !addr_v6(s, a->b) : !addr_v4(s, a->b, &a->odd))
		return false;
	a->is_mapped = a->is_v6 && memcmp(a->b, MAPPED, sizeof(MAPPED)) == 0;
	addr_print(a, -1);
	return true;
}

bool v_parse_cidr(struct str s, struct v_addr *a)
{
	ssize_t slash = str_find(s, '/');
	struct str tail = slash < 0 ? STR_NONE : str_sub(s, slash + 1, s.n);
	unsigned bits = 0;

	if (slash < 0 || !v_parse_ip(str_sub(s, 0, slash), a) || tail.n == 0 || tail.n > 8)
		return false;
	for (size_t i = 0; i < tail.n; i++) {
		if (tail.p[i] < '0' || tail.p[i] > '9')
			return false;
		bits = bits * 10 + (unsigned)(tail.p[i] - '0');
	}
	if (bits > a->bits)
		return false;
	a->odd = a->odd || (tail.n > 1 && tail.p[0] == '0');
	a->bits = bits;
	for (unsigned i = bits; i < (a->is_v6 ? 128 : 32); i++)
		a->b[i / 8] &= (unsigned char)~(0x80 >> i % 8);
	addr_print(a, (int)bits);
	return true;
}

bool v_addr_in(const struct v_addr *net, const struct v_addr *a)
{
	if (net->is_v6 != a->is_v6 || net->bits > a->bits)
		return false;
	for (unsigned i = 0; i < net->bits; i++) {
		if ((net->b[i / 8] ^ a->b[i / 8]) & (0x80 >> i % 8))
			return false;
	}
	return true;
}

bool str_is_ip(struct str s)
{
	struct v_addr a;

	return v_parse_ip(s, &a);
}

bool str_is_ip6(struct str s)
{
	return str_find(s, ':') >= 0 && str_is_ip(s);
}

void v_ip(struct valid *v, const struct vpath *p, struct str s)
{
	if (!str_is_ip(s))
		v_invalid(v, p, s, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

void v_cidr(struct valid *v, const struct vpath *p, struct str s)
{
	struct v_addr a;

	if (!v_parse_cidr(s, &a))
		v_invalid(v, p, s, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
}

void v_endpoint_ip(struct valid *v, const struct vpath *p, struct str s)
{
	static const struct {
		const char *net, *why;
	} NOT[] = {
		{ "127.0.0.0/8", "may not be in the loopback range (127.0.0.0/8, ::1/128)" },
		{ "::1/128", "may not be in the loopback range (127.0.0.0/8, ::1/128)" },
		{ "169.254.0.0/16", "may not be in the link-local range (169.254.0.0/16, fe80::/10)" },
		{ "fe80::/10", "may not be in the link-local range (169.254.0.0/16, fe80::/10)" },
		{ "224.0.0.0/24", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)" },
		{ "ff02::/16", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)" },
	};
	static const unsigned char ZERO[16];
	struct v_addr a, net;

	if (!v_parse_ip(s, &a)) {
		v_invalid(v, p, s, "must be a valid IP address");
		return;
	}
	if (memcmp(a.b, ZERO, sizeof(ZERO)) == 0) {
		_cleanup_free_ char *text = xasprintf("may not be unspecified (%" STR_FMT ")", STR_ARG(s));

		v_invalid(v, p, s, text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(NOT); i++) {
		if (v_parse_cidr(str_of(NOT[i].net), &net) && v_addr_in(&net, &a))
			v_invalid(v, p, s, NOT[i].why);
	}
}

/* --- conditions of meta/v1 --- */

static bool is_condition_reason(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool word = letter || c == '_' || (c >= '0' && c <= '9');
		bool inner = word || c == ',' || c == ':';

		if (i == 0 ? !letter : i + 1 == s.n ? !word : !inner)
			return false;
	}
	return s.n > 0;
}

static void v_condition(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const STATUS[] = { "False", "True", "Unknown", NULL };
	struct str reason = v_str(n, F_reason), status = v_str(n, F_status);

	v_name(v, VP(p, "type"), v_str(n, F_type), NF_QUALIFIED);
	if (!v_is_one_of(status, STATUS))
		v_unsupported(v, VP(p, "status"), status, STATUS);
	if (node_int(node_get(n, F_observedGeneration), 0) < 0)
		v_invalid_node(v, VP(p, "observedGeneration"), node_get(n, F_observedGeneration),
			       "must be greater than or equal to zero");
	v_need(v, p, n, F_lastTransitionTime, NULL);
	if (reason.n == 0)
		v_required(v, VP(p, "reason"), NULL);
	else if (!is_condition_reason(reason))
		v_invalid(v, VP(p, "reason"), reason,
			  "a condition reason must start with alphabetic character, optionally followed by a string of "
			  "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. "
			  "'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex "
			  "used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')");
	if (reason.n > 1024)
		v_too_long(v, VP(p, "reason"), 1024);
	if (v_str(n, F_message).n > 32768)
		v_too_long(v, VP(p, "message"), 32768);
}

void v_conditions(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	if (node_count(list) > LIMIT_LIST_ITEMS) {
		v_too_many(v, p, node_count(list), LIMIT_LIST_ITEMS);
		return;
	}
	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_type), v_str(c, F_type))) {
				v_duplicate_str(v, VP(at, "type"), v_str(c, F_type));
				break;
			}
		}
		v_condition(v, at, c);
	}
}
