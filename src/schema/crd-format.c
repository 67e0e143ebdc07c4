/*
 * The string formats that apiextensions checks, as k8s.io/kube-openapi's strfmt
 * understands them. A format that is not in the table is only a remark.
 */
#include "schema/crd.h"
#include "schema/regex.h"
#include "schema/valid.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>

#include "base/time.h"

static bool format_digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isdigit((unsigned char)p[i]))
			return false;
	return true;
}

static bool format_date(struct str s)
{
	static const int DAYS[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int y, m, d;

	if (s.n != 10 || s.p[4] != '-' || s.p[7] != '-' || !format_digits(s.p, 4) || !format_digits(s.p + 5, 2) ||
	    !format_digits(s.p + 8, 2))
		return false;
	y = atoi(s.p);
	m = atoi(s.p + 5);
	d = atoi(s.p + 8);
	return m >= 1 && m <= 12 && d >= 1 &&
	       d <= DAYS[m - 1] + (m == 2 && (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)));
}

static bool format_date_time(struct str s)
{
	_cleanup_free_ char *t = str_dup(s);
	int64_t ns;

	if (s.n < 20)
		return false;
	if (t[10] == 't' || t[10] == ' ')
		t[10] = 'T';
	if (t[s.n - 1] == 'z')
		t[s.n - 1] = 'Z';
	return time_parse_rfc3339(str_n(t, s.n), &ns);
}

static bool format_duration(struct str s)
{
	static const char *const UNITS[] = { "ns", "us", "µs", "ms", "s", "sec", "secs", "second", "seconds", "m", "min",
					     "mins", "minute", "minutes", "h", "hr", "hrs", "hour", "hours", "d", "day",
					     "days", "w", "wk", "wks", "week", "weeks" };
	int64_t ns;
	size_t i = 0;

	if (time_parse_go_duration(s, &ns))
		return true;
	while (i < s.n && isdigit((unsigned char)s.p[i]))
		i++;
	if (i == 0 || i == s.n)
		return false;
	for (size_t u = 0; u < ARRAY_SIZE(UNITS); u++)
		if (str_eqc(str_trim(str_sub(s, i, s.n)), UNITS[u]))
			return true;
	return false;
}

static bool format_ip(struct str s, int family)
{
	unsigned char addr[16];
	_cleanup_free_ char *t = str_dup(s);

	return strlen(t) == s.n && inet_pton(family, t, addr) == 1;
}

static bool format_ipv4(struct str s)
{
	return format_ip(s, AF_INET);
}

static bool format_ipv6(struct str s)
{
	return format_ip(s, AF_INET6);
}

static bool format_cidr(struct str s)
{
	struct str bits = s, addr = str_cut(&bits, '/');
	bool v4 = format_ipv4(addr);
	int64_t n;

	return bits.p && bits.n <= 3 && str_to_i64(bits, &n) && n >= 0 && (v4 || format_ipv6(addr)) && n <= (v4 ? 32 : 128);
}

static bool format_mac(struct str s)
{
	char sep = s.n > 2 ? s.p[2] : 0;

	if ((sep != ':' && sep != '-') || (s.n != 17 && s.n != 23 && s.n != 59))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (i % 3 == 2 ? s.p[i] != sep : !isxdigit((unsigned char)s.p[i]))
			return false;
	return true;
}

static bool format_hostname(struct str s)
{
	return s.n <= 255 && schema_check_dns_subdomain(s) == NULL;
}

/* scheme:... or /path, without blanks */
static bool format_uri(struct str s)
{
	size_t i = 0;

	if (!s.n)
		return false;
	for (size_t k = 0; k < s.n; k++)
		if ((unsigned char)s.p[k] <= ' ' || s.p[k] == 0x7f || s.p[k] == '<' || s.p[k] == '>' || s.p[k] == '"')
			return false;
	if (s.p[0] == '/')
		return true;
	while (i < s.n && (isalnum((unsigned char)s.p[i]) || (i && strchr("+-.", s.p[i]))))
		i++;
	return i > 0 && i < s.n && s.p[i] == ':' && isalpha((unsigned char)s.p[0]);
}

static bool format_email(struct str s)
{
	ssize_t at = str_rfind(s, '@');

	if (at <= 0 || (size_t)at + 1 == s.n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == ',' || s.p[i] == ';')
			return false;
	return str_find(s, '@') == at;
}

static bool format_byte(struct str s)
{
	size_t n = s.n;

	if (s.n % 4)
		return false;
	while (n && s.p[n - 1] == '=' && s.n - n < 2)
		n--;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '+' && s.p[i] != '/')
			return false;
	return true;
}

static bool format_any(struct str s)
{
	return true;
}

static bool format_short_name(struct str s)
{
	return schema_check_dns_label(s) == NULL;
}

static bool format_long_name(struct str s)
{
	return schema_check_dns_subdomain(s) == NULL;
}

/* Check digits of ISBN and credit cards. */
static bool format_isbn(struct str s, size_t want)
{
	int sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int v = isdigit((unsigned char)s.p[i]) ? s.p[i] - '0' : -1;

		if (s.p[i] == '-' || s.p[i] == ' ')
			continue;
		if (want == 10 && n == 9 && (s.p[i] == 'X' || s.p[i] == 'x'))
			v = 10;
		if (v < 0 || n == want)
			return false;
		sum += want == 10 ? v * (int)(10 - n) : v * (n % 2 ? 3 : 1);
		n++;
	}
	return n == want && sum % (want == 10 ? 11 : 10) == 0;
}

static bool format_isbn10(struct str s)
{
	return format_isbn(s, 10);
}

static bool format_isbn13(struct str s)
{
	return format_isbn(s, 13);
}

static bool format_isbn_any(struct str s)
{
	return format_isbn10(s) || format_isbn13(s);
}

static bool format_card(struct str s)
{
	int sum = 0;
	size_t n = 0;

	for (size_t i = s.n; i-- > 0;) {
		int v = s.p[i] - '0';

		if (s.p[i] == '-' || s.p[i] == ' ')
			continue;
		if (v < 0 || v > 9)
			return false;
		v = n++ % 2 ? v * 2 - (v > 4 ? 9 : 0) : v;
		sum += v;
	}
	return n >= 12 && n <= 19 && sum % 10 == 0;
}

static const struct {
	const char *name; /* without dashes */
	bool (*ok)(struct str s);
	const char *pattern; /* instead of ok */
} formats[] = {
	{ "bsonobjectid", NULL, "^[0-9a-f]{24}$" },
	{ "uri", format_uri, NULL },
	{ "email", format_email, NULL },
	{ "hostname", format_hostname, NULL },
	{ "ipv4", format_ipv4, NULL },
	{ "ipv6", format_ipv6, NULL },
	{ "cidr", format_cidr, NULL },
	{ "mac", format_mac, NULL },
	{ "uuid", NULL, "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$" },
	{ "uuid3", NULL, "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$" },
	{ "uuid4", NULL, "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$" },
	{ "uuid5", NULL, "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$" },
	{ "isbn", format_isbn_any, NULL },
	{ "isbn10", format_isbn10, NULL },
	{ "isbn13", format_isbn13, NULL },
	{ "creditcard", format_card, NULL },
	{ "ssn", NULL, "^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$" },
	{ "hexcolor", NULL, "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$" },
	{ "rgbcolor", NULL, "^rgb\\(\\s*([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])\\s*(,\\s*([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])\\s*){2}\\)$" },
	{ "byte", format_byte, NULL },
	{ "password", format_any, NULL },
	{ "date", format_date, NULL },
	{ "duration", format_duration, NULL },
	{ "datetime", format_date_time, NULL },
	{ "k8sshortname", format_short_name, NULL },
	{ "k8slongname", format_long_name, NULL },
};

static ssize_t format_find(struct str format)
{
	char name[16];
	size_t n = 0;

	for (size_t i = 0; i < format.n; i++) {
		if (format.p[i] == '-')
			continue;
		if (n + 1 == sizeof(name))
			return -1;
		name[n++] = format.p[i];
	}
	name[n] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (streq(formats[i].name, name))
			return (ssize_t)i;
	return -1;
}

bool crd_format_known(const char *format)
{
	return format_find(str_of(format)) >= 0;
}

bool crd_format_ok(struct str format, struct str value)
{
	ssize_t i = format_find(format);
	_cleanup_err_ struct err e = ERR_INIT;
	const struct regex *re;
	size_t budget = 1u << 20;

	if (i < 0)
		return true;
	if (formats[i].ok)
		return formats[i].ok(value);
	re = crd_pattern(str_of(formats[i].pattern), &e);
	return re && regex_match(re, value, &budget);
}
