/*
 * Name formats of Kubernetes (apimachinery's util/validation): what is checked
 * and the words for what is wrong. No regular expressions; the messages quote
 * those that Kubernetes uses.
 *
 * To add a format: a value of enum name_format, its function, its row.
 */
#include "schema/valid.h"

#define MSG_DNS_LABEL                                                                                      \
	"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "   \
	"start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "      \
	"validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define MSG_DNS_SUBDOMAIN                                                                                  \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "   \
	"and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "        \
	"validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define MSG_DNS1035                                                                                        \
	"a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "        \
	"alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "     \
	"regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
#define MSG_LABEL_VALUE                                                                                    \
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "    \
	"and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "       \
	"'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define QUALIFIED_WORDS                                                                                    \
	"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "         \
	"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation "   \
	"is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define MSG_CONFIG_KEY                                                                                     \
	"a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  "   \
	"or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
#define MSG_ENV                                                                                            \
	"a valid environment variable name must consist only of printable ASCII characters other than '=' " \
	"(e.g. 'my-variable', regex used for validation is '^[ -<>-~]+$')"
#define MSG_HTTP_HEADER                                                                                    \
	"a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex "  \
	"used for validation is '[-A-Za-z0-9]+')"
#define MSG_UNDERSCORE                                                                                     \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "   \
	"and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "        \
	"validation is '[a-z0-9_]([-_a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
#define MSG_WILDCARD                                                                                       \
	"a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which "     \
	"must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric "      \
	"character (e.g. '*.example.com', regex used for validation is "                                    \
	"'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define MSG_C_IDENTIFIER                                                                                   \
	"a valid C identifier must start with alphabetic character or '_', followed by a string of "        \
	"alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for "      \
	"validation is '[A-Za-z_][A-Za-z0-9_]*')"
#define MSG_UUID "must be a lowercase UUID in the form 8-4-4-4-12"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static unsigned name_dns_label(struct str s, const char **m)
{
	unsigned n = 0;
	bool ok = s.n > 0 && is_lower_alnum(s.p[0]) && is_lower_alnum(s.p[s.n - 1]);

	for (size_t i = 0; ok && i < s.n; i++)
		ok = is_lower_alnum(s.p[i]) || s.p[i] == '-';
	if (s.n > 63)
		m[n++] = "must be no more than 63 bytes";
	if (!ok)
		m[n++] = MSG_DNS_LABEL;
	return n;
}

static bool is_subdomain(struct str s)
{
	const char *m[NAME_MSGS];

	do {
		struct str part = str_cut(&s, '.');

		if (part.n > 63 ? !is_lower_alnum(part.p[0]) || !is_lower_alnum(part.p[part.n - 1]) :
				  name_dns_label(part, m) > 0)
			return false;
		for (size_t i = 0; i < part.n; i++) {
			if (!is_lower_alnum(part.p[i]) && part.p[i] != '-')
				return false;
		}
	} while (s.p);
	return true;
}

static unsigned name_dns_subdomain(struct str s, const char **m)
{
	unsigned n = 0;

	if (s.n > 253)
		m[n++] = "must be no more than 253 bytes";
	if (s.n == 0 || !is_subdomain(s))
		m[n++] = MSG_DNS_SUBDOMAIN;
	return n;
}

static unsigned name_subdomain_underscore(struct str s, const char **m)
{
	unsigned n = 0;
	bool ok = s.n > 0, first = true;

	if (s.n > 253)
		m[n++] = "must be no more than 253 bytes";
	for (struct str rest = s; ok && rest.p;) {
		struct str part = str_cut(&rest, '.');

		ok = part.n > 0 && is_lower_alnum(part.p[part.n - 1]) &&
		     (is_lower_alnum(part.p[0]) || (first && part.p[0] == '_'));
		for (size_t i = 0; ok && i < part.n; i++)
			ok = is_lower_alnum(part.p[i]) || part.p[i] == '-' || part.p[i] == '_';
		first = false;
	}
	if (!ok)
		m[n++] = MSG_UNDERSCORE;
	return n;
}

static unsigned name_dns1035(struct str s, const char **m)
{
	unsigned n = 0;
	const char *other[NAME_MSGS];

	if (s.n > 63)
		m[n++] = "must be no more than 63 bytes";
	if (s.n == 0 || !(s.p[0] >= 'a' && s.p[0] <= 'z') ||
	    name_dns_label(str_sub(s, 0, s.n > 63 ? 63 : s.n), other) > (s.n > 63 && s.p[62] == '-'))
		m[n++] = MSG_DNS1035;
	return n;
}

/* [A-Za-z0-9] at both ends, and -_. between. */
static bool is_qualified_part(struct str s)
{
	if (s.n == 0 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && !strchr("-_.", s.p[i]))
			return false;
	}
	return true;
}

static unsigned name_qualified(struct str s, const char **m)
{
	ssize_t slash = str_find(s, '/');
	struct str name = s;
	const char *sub[NAME_MSGS];
	unsigned n = 0;

	if (slash >= 0) {
		struct str prefix = str_sub(s, 0, slash);

		name = str_sub(s, slash + 1, s.n);
		if (str_find(name, '/') >= 0) {
			m[0] = "a qualified name " QUALIFIED_WORDS
			       " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
			return 1;
		}
		if (prefix.n == 0)
			m[n++] = "prefix part must be non-empty";
		else if (name_dns_subdomain(prefix, sub) > 0)
			m[n++] = prefix.n > 253 ? "prefix part must be no more than 253 bytes" :
						  "prefix part " MSG_DNS_SUBDOMAIN;
	}
	if (name.n == 0)
		m[n++] = "name part must be non-empty";
	else if (name.n > 63)
		m[n++] = "name part must be no more than 63 bytes";
	if (!is_qualified_part(name))
		m[n++] = "name part " QUALIFIED_WORDS;
	return n;
}

static unsigned name_label_value(struct str s, const char **m)
{
	unsigned n = 0;

	if (s.n > 63)
		m[n++] = "must be no more than 63 bytes";
	if (s.n > 0 && !is_qualified_part(s))
		m[n++] = MSG_LABEL_VALUE;
	return n;
}

static unsigned name_config_key(struct str s, const char **m)
{
	unsigned n = 0;
	bool ok = s.n > 0;

	for (size_t i = 0; ok && i < s.n; i++)
		ok = is_alnum(s.p[i]) || (s.p[i] && strchr("-._", s.p[i]));
	if (s.n > 253)
		m[n++] = "must be no more than 253 bytes";
	if (!ok)
		m[n++] = MSG_CONFIG_KEY;
	if (str_eqc(s, "."))
		m[n++] = "must not be '.'";
	else if (str_eqc(s, ".."))
		m[n++] = "must not be '..'";
	else if (str_starts(s, STR_LIT("..")))
		m[n++] = "must not start with '..'";
	return n;
}

static unsigned name_env(struct str s, const char **m)
{
	bool ok = s.n > 0;

	for (size_t i = 0; ok && i < s.n; i++)
		ok = s.p[i] >= ' ' && s.p[i] <= '~' && s.p[i] != '=';
	m[0] = MSG_ENV;
	return !ok;
}

static unsigned name_port(struct str s, const char **m)
{
	bool chars = s.n > 0, letter = false, twice = false;
	unsigned n = 0;

	for (size_t i = 0; i < s.n; i++) {
		chars = chars && (is_lower_alnum(s.p[i]) || s.p[i] == '-');
		letter = letter || (s.p[i] >= 'a' && s.p[i] <= 'z');
		twice = twice || (i && s.p[i] == '-' && s.p[i - 1] == '-');
	}
	if (s.n > 15)
		m[n++] = "must be no more than 15 bytes";
	if (!chars)
		m[n++] = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
	else if (!letter)
		m[n++] = "must contain at least one letter (a-z)";
	if (twice && n < NAME_MSGS)
		m[n++] = "must not contain consecutive hyphens";
	if (s.n > 0 && (s.p[0] == '-' || s.p[s.n - 1] == '-') && n < NAME_MSGS)
		m[n++] = "must not begin or end with a hyphen";
	return n;
}

static unsigned name_http_header(struct str s, const char **m)
{
	bool ok = s.n > 0;

	for (size_t i = 0; ok && i < s.n; i++)
		ok = is_alnum(s.p[i]) || s.p[i] == '-';
	m[0] = MSG_HTTP_HEADER;
	return !ok;
}

static unsigned name_path_segment(struct str s, const char **m)
{
	unsigned n = 0;

	if (str_eqc(s, "."))
		m[n++] = "may not be '.'";
	if (str_eqc(s, ".."))
		m[n++] = "may not be '..'";
	if (str_find(s, '/') >= 0)
		m[n++] = "may not contain '/'";
	if (str_find(s, '%') >= 0)
		m[n++] = "may not contain '%'";
	return n;
}

static unsigned name_wildcard(struct str s, const char **m)
{
	unsigned n = 0;

	if (s.n > 253)
		m[n++] = "must be no more than 253 bytes";
	if (!str_starts(s, STR_LIT("*.")) || s.n == 2 || !is_subdomain(str_sub(s, 2, s.n)))
		m[n++] = MSG_WILDCARD;
	return n;
}

static unsigned name_c_identifier(struct str s, const char **m)
{
	bool ok = s.n > 0 && !(s.p[0] >= '0' && s.p[0] <= '9');

	for (size_t i = 0; ok && i < s.n; i++)
		ok = is_alnum(s.p[i]) || s.p[i] == '_';
	m[0] = MSG_C_IDENTIFIER;
	return !ok;
}

static unsigned name_any(struct str s UNUSED, const char **m UNUSED)
{
	return 0;
}

static unsigned name_uuid(struct str s, const char **m)
{
	bool ok = s.n == 36;

	for (size_t i = 0; ok && i < s.n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		ok = dash ? s.p[i] == '-' : (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f');
	}
	m[0] = MSG_UUID;
	return !ok;
}

unsigned name_messages(enum name_format f, struct str s, bool prefix, const char *msgs[NAME_MSGS])
{
	static unsigned (*const CHECK[])(struct str, const char **) = {
		[NF_DNS_LABEL] = name_dns_label,
		[NF_DNS_SUBDOMAIN] = name_dns_subdomain,
		[NF_DNS1035_LABEL] = name_dns1035,
		[NF_QUALIFIED] = name_qualified,
		[NF_LABEL_VALUE] = name_label_value,
		[NF_CONFIG_KEY] = name_config_key,
		[NF_ENV] = name_env,
		[NF_PORT_NAME] = name_port,
		[NF_HTTP_HEADER] = name_http_header,
		[NF_PATH_SEGMENT] = name_path_segment,
		[NF_SUBDOMAIN_UNDERSCORE] = name_subdomain_underscore,
		[NF_UUID] = name_uuid,
		[NF_WILDCARD] = name_wildcard,
		[NF_C_IDENTIFIER] = name_c_identifier,
		[NF_ANY] = name_any,
	};

	if (!s.p)
		s = STR_LIT("");
	if (prefix && s.n > 1 && s.p[s.n - 1] == '-' && f != NF_PATH_SEGMENT) {
		/* As if something followed the dash. */
		char *masked = str_dup(s);
		unsigned n;

		masked[s.n - 1] = 'a';
		n = CHECK[f](str_n(masked, s.n), msgs);
		free(masked);
		return n;
	}
	return CHECK[f](s, msgs);
}

static const char *name_first(enum name_format f, struct str s)
{
	const char *m[NAME_MSGS];

	return name_messages(f, s, false, m) ? m[0] : NULL;
}

const char *schema_check_dns_label(struct str s)
{
	return name_first(NF_DNS_LABEL, s);
}

const char *schema_check_dns_subdomain(struct str s)
{
	return name_first(NF_DNS_SUBDOMAIN, s);
}

const char *schema_check_qualified_name(struct str s)
{
	return name_first(NF_QUALIFIED, s);
}

const char *schema_check_label_value(struct str s)
{
	return name_first(NF_LABEL_VALUE, s);
}
