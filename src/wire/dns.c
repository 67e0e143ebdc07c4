/*
 * The codec of wire/dns.h.
 */
#include "wire/dns.h"

#include <stdio.h>

#define DNS_POINTER 0xc0
#define DNS_POINTER_MAX 0x3fff

static uint16_t dns_u16(struct str msg, size_t at)
{
	const uint8_t *p = (const uint8_t *)msg.p + at;

	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t dns_u32(struct str msg, size_t at)
{
	return (uint32_t)dns_u16(msg, at) << 16 | dns_u16(msg, at + 2);
}

static uint8_t dns_fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool dns_fold_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i] && dns_fold(a[i]) != dns_fold(b[i]))
			return false;
	return true;
}

/* --- names --- */

bool dns_name_parse(struct dns_name *n, struct str text)
{
	size_t len = 0;

	if (text.n && text.p[text.n - 1] == '.')
		text.n--;
	while (text.p && text.n) {
		bool more = str_find(text, '.') >= 0;
		struct str label = str_cut(&text, '.');

		if (!label.n || label.n > DNS_LABEL_BYTES || len + label.n + 2 > DNS_NAME_BYTES || (more && !text.n))
			return false;
		n->b[len++] = (uint8_t)label.n;
		memcpy(n->b + len, label.p, label.n);
		len += label.n;
	}
	n->b[len++] = 0;
	n->len = (uint8_t)len;
	return true;
}

struct str dns_name_label(const struct dns_name *n, size_t *at)
{
	size_t start = *at + 1;

	if (*at >= n->len || !n->b[*at])
		return STR_NONE;
	*at = start + n->b[*at];
	return str_n((const char *)n->b + start, *at - start);
}

void dns_name_print(const struct dns_name *n, struct buf *out)
{
	struct str label;
	size_t at = 0;

	if (n->len <= 1)
		buf_addch(out, '.');
	while ((label = dns_name_label(n, &at)).p) {
		for (size_t i = 0; i < label.n; i++) {
			unsigned char c = (unsigned char)label.p[i];

			if (c == '.' || c == '\\' || c == '"')
				buf_addf(out, "\\%c", c);
			else if (c <= ' ' || c > '~')
				buf_addf(out, "\\%03u", c);
			else
				buf_addch(out, (char)c);
		}
		if (n->b[at])
			buf_addch(out, '.');
	}
}

void dns_name_lower(struct dns_name *n)
{
	for (size_t i = 0; i < n->len; i++) /* a length is below any letter */
		n->b[i] = dns_fold(n->b[i]);
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
	return a->len == b->len && dns_fold_equal(a->b, b->b, a->len);
}

int dns_name_below(const struct dns_name *n, const struct dns_name *zone)
{
	size_t at = 0;

	while (at + zone->len < n->len)
		at += 1u + n->b[at];
	return at + zone->len == n->len && dns_fold_equal(n->b + at, zone->b, zone->len) ? (int)at : -1;
}

bool dns_name_push(struct dns_name *n, struct str label)
{
	if (!label.n || label.n > DNS_LABEL_BYTES || n->len + label.n + 1 > DNS_NAME_BYTES)
		return false;
	memmove(n->b + label.n + 1, n->b, n->len);
	n->b[0] = (uint8_t)label.n;
	memcpy(n->b + 1, label.p, label.n);
	n->len = (uint8_t)(n->len + label.n + 1);
	return true;
}

/* --- reading --- */

/* Each pointer leads before the place where this part of the name began: that ends. */
bool dns_read_name(struct str msg, size_t *at, struct dns_name *ret)
{
	size_t i = *at, start = *at, end = 0, len = 0;

	for (;;) {
		uint8_t c;

		if (i >= msg.n)
			return false;
		c = (uint8_t)msg.p[i];
		if (!c)
			break;
		if ((c & DNS_POINTER) == DNS_POINTER) {
			if (i + 2 > msg.n)
				return false;
			if (!end)
				end = i + 2;
			i = dns_u16(msg, i) & DNS_POINTER_MAX;
			if (i >= start)
				return false;
			start = i;
			continue;
		}
		if (c > DNS_LABEL_BYTES || i + 1 + c > msg.n || len + c + 2 > DNS_NAME_BYTES)
			return false;
		memcpy(ret->b + len, msg.p + i, c + 1u);
		len += c + 1u;
		i += c + 1u;
	}
	ret->b[len++] = 0;
	ret->len = (uint8_t)len;
	*at = end ? end : i + 1;
	return true;
}

bool dns_read_rr(struct str msg, size_t *at, struct dns_rr *ret)
{
	size_t i = *at;

	if (!dns_read_name(msg, &i, &ret->name) || i + 10 > msg.n)
		return false;
	ret->type = dns_u16(msg, i);
	ret->class = dns_u16(msg, i + 2);
	ret->ttl = dns_u32(msg, i + 4);
	ret->data_len = dns_u16(msg, i + 8);
	ret->data = i + 10;
	if (ret->data + ret->data_len > msg.n)
		return false;
	*at = ret->data + ret->data_len;
	return true;
}

static bool dns_read_question(struct str msg, size_t *at, struct dns_name *name, uint16_t *type, uint16_t *class)
{
	if (!dns_read_name(msg, at, name) || *at + 4 > msg.n) {
		name->len = 0;
		return false;
	}
	*type = dns_u16(msg, *at);
	*class = dns_u16(msg, *at + 2);
	*at += 4;
	return true;
}

/* Options are taken note of by nobody: what is not known is ignored (RFC 6891, 6.1.2), but it has to be whole. */
static bool dns_read_opt(struct str msg, const struct dns_rr *rr, struct dns_edns *ret)
{
	size_t at = rr->data, end = rr->data + rr->data_len;

	if (ret->present || rr->name.len != 1)
		return false;
	while (at < end) {
		if (at + 4 > end || at + 4 + dns_u16(msg, at + 2) > end)
			return false;
		at += 4u + dns_u16(msg, at + 2);
	}
	*ret = (struct dns_edns){ .present = true, .size = rr->class, .version = (uint8_t)(rr->ttl >> 16),
				  .dnssec_ok = rr->ttl & 0x8000 };
	return true;
}

int dns_read_query(struct dns_query *q, struct str msg)
{
	uint16_t count[DNS_SECTIONS];
	size_t at = DNS_HEADER_BYTES;
	struct dns_rr rr;

	q->name.len = q->lower.len = 0;
	q->edns = (struct dns_edns){ 0 };
	if (msg.n < DNS_HEADER_BYTES)
		return -1;
	q->id = dns_u16(msg, 0);
	q->flags = dns_u16(msg, 2);
	if (q->flags & DNS_QR)
		return -1;
	if ((q->flags >> 11 & 15) != 0)
		return DNS_NOTIMP;
	for (int i = 0; i < DNS_SECTIONS; i++)
		count[i] = dns_u16(msg, 4 + 2 * (size_t)i);
	if (count[DNS_QUESTION] != 1 || !dns_read_question(msg, &at, &q->name, &q->type, &q->class))
		return DNS_FORMERR;
	q->lower = q->name;
	dns_name_lower(&q->lower);
	if (count[DNS_ANSWER] || count[DNS_AUTHORITY] > 1 || count[DNS_ADDITIONAL] > 2)
		return DNS_FORMERR; /* IXFR has one authority, TSIG stands beside OPT */
	for (int i = count[DNS_AUTHORITY] + count[DNS_ADDITIONAL]; i > 0; i--)
		if (!dns_read_rr(msg, &at, &rr) || (rr.type == DNS_OPT && !dns_read_opt(msg, &rr, &q->edns)))
			return DNS_FORMERR;
	return q->edns.present && q->edns.version ? DNS_BADVERS : 0;
}

/* Names in the data of these types may be compressed: where they are. {bytes before, names}; bytes behind follow. */
static bool dns_data_names(uint16_t type, size_t *before, int *names)
{
	*before = type == DNS_MX ? 2 : type == DNS_SRV ? 6 : 0;
	*names = type == DNS_SOA ? 2 : 1;
	return type == DNS_NS || type == DNS_CNAME || type == DNS_SOA || type == DNS_PTR || type == DNS_MX || type == DNS_SRV;
}

static bool dns_check_data(struct str msg, const struct dns_rr *rr)
{
	size_t at = rr->data, end = rr->data + rr->data_len, before;
	struct dns_name n;
	int names;

	if (rr->type == DNS_A || rr->type == DNS_AAAA)
		return rr->class != DNS_CLASS_IN || rr->data_len == (rr->type == DNS_A ? 4 : 16);
	if (!dns_data_names(rr->type, &before, &names))
		return true;
	for (at += before; names > 0; names--)
		if (at >= end || !dns_read_name(str_n(msg.p, end), &at, &n))
			return false;
	return rr->type == DNS_SOA ? at + 20 == end : at == end;
}

bool dns_read_answer(struct dns_head *h, struct dns_name *ret_name, struct str msg)
{
	size_t at = DNS_HEADER_BYTES;
	struct dns_edns edns = { 0 };
	struct dns_rr rr;
	unsigned n = 0;

	if (msg.n < DNS_HEADER_BYTES)
		return false;
	h->id = dns_u16(msg, 0);
	h->flags = dns_u16(msg, 2);
	h->rcode = h->flags & 15;
	for (int i = 0; i < DNS_SECTIONS; i++) {
		h->count[i] = dns_u16(msg, 4 + 2 * (size_t)i);
		n += i ? h->count[i] : 0;
	}
	if (!(h->flags & DNS_QR) || h->count[DNS_QUESTION] != 1 ||
	    !dns_read_question(msg, &at, ret_name, &h->type, &h->class))
		return false;
	h->records = at;
	for (; n > 0; n--) {
		if (!dns_read_rr(msg, &at, &rr) || !dns_check_data(msg, &rr))
			return false;
		if (rr.type != DNS_OPT)
			continue;
		if (!dns_read_opt(msg, &rr, &edns))
			return false;
		h->rcode |= rr.ttl >> 24 << 4;
	}
	return true;
}

/* --- writing --- */

static void dns_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void dns_write_begin(struct dns_writer *w, void *p, size_t limit, uint16_t id, uint16_t flags)
{
	BUG_ON(limit < DNS_UDP_BYTES);
	w->p = p;
	w->len = DNS_HEADER_BYTES;
	w->cap = limit > DNS_MESSAGE_BYTES ? DNS_MESSAGE_BYTES : limit;
	w->id = id;
	w->flags = flags;
	w->rcode = 0;
	w->edns = (struct dns_edns){ 0 };
	memset(w->count, 0, sizeof(w->count));
	w->full = false;
	w->n_names = 0;
}

void dns_write_edns(struct dns_writer *w, bool dnssec_ok)
{
	w->edns = (struct dns_edns){ .present = true, .dnssec_ok = dnssec_ok, .size = DNS_EDNS_BYTES };
	w->cap -= DNS_OPT_BYTES;
}

void dns_write_data(struct dns_writer *w, const void *p, size_t n)
{
	if (w->full || w->len + n > w->cap) {
		w->full = true;
		return;
	}
	memcpy(w->p + w->len, p, n);
	w->len += n;
}

void dns_write_u16(struct dns_writer *w, uint16_t v)
{
	uint8_t b[2];

	dns_put16(b, v);
	dns_write_data(w, b, sizeof(b));
}

void dns_write_u32(struct dns_writer *w, uint32_t v)
{
	dns_write_u16(w, (uint16_t)(v >> 16));
	dns_write_u16(w, (uint16_t)v);
}

/* Is what stands at `at` in our own message the name b? Pointers there are ours: they lead back. */
static bool dns_written_is(const struct dns_writer *w, size_t at, const uint8_t *b)
{
	for (;;) {
		uint8_t c = w->p[at];

		if (c >= DNS_POINTER) {
			at = (size_t)(c & ~DNS_POINTER) << 8 | w->p[at + 1];
			continue;
		}
		if (c != *b)
			return false;
		if (!c)
			return true;
		if (!dns_fold_equal(w->p + at + 1, b + 1, c))
			return false;
		at += c + 1u;
		b += c + 1u;
	}
}

static int dns_written_find(const struct dns_writer *w, const uint8_t *b)
{
	for (unsigned i = 0; i < w->n_names; i++)
		if (dns_written_is(w, w->names[i], b))
			return w->names[i];
	return -1;
}

void dns_write_name(struct dns_writer *w, const struct dns_name *n, bool compress)
{
	size_t at = 0, start = w->len;

	while (n->b[at] && !w->full) {
		int found = compress ? dns_written_find(w, n->b + at) : -1;

		if (found >= 0) {
			dns_write_u16(w, (uint16_t)(DNS_POINTER << 8 | found));
			break;
		}
		dns_write_data(w, n->b + at, n->b[at] + 1u);
		at += n->b[at] + 1u;
	}
	if (!n->b[at])
		dns_write_data(w, "", 1);
	if (w->full)
		return;
	for (size_t i = 0; i < at && start + i <= DNS_POINTER_MAX && w->n_names < DNS_WRITER_NAMES; i += n->b[i] + 1u)
		w->names[w->n_names++] = (uint16_t)(start + i);
}

bool dns_write_question(struct dns_writer *w, const struct dns_name *n, uint16_t type, uint16_t class)
{
	dns_write_name(w, n, false);
	dns_write_u16(w, type);
	dns_write_u16(w, class);
	w->count[DNS_QUESTION]++;
	return !w->full;
}

void dns_write_rr(struct dns_writer *w, enum dns_section s, const struct dns_name *owner, uint16_t type, uint16_t class,
		  uint32_t ttl)
{
	w->rr = w->len;
	w->rr_names = w->n_names;
	w->section = s;
	dns_write_name(w, owner, true);
	dns_write_u16(w, type);
	dns_write_u16(w, class);
	dns_write_u32(w, ttl);
	w->rr_data = w->len;
	dns_write_u16(w, 0);
}

bool dns_write_end_rr(struct dns_writer *w)
{
	if (w->full) {
		w->len = w->rr;
		w->n_names = w->rr_names;
		if (w->section != DNS_ADDITIONAL)
			w->flags |= DNS_TC;
		return false;
	}
	dns_put16(w->p + w->rr_data, (unsigned)(w->len - w->rr_data - 2));
	w->count[w->section]++;
	return true;
}

bool dns_write_copy(struct dns_writer *w, enum dns_section s, struct str msg, const struct dns_rr *rr, uint32_t ttl)
{
	size_t at = rr->data, end = rr->data + rr->data_len, before;
	struct dns_name n;
	int names;

	dns_write_rr(w, s, &rr->name, rr->type, rr->class, ttl);
	if (dns_data_names(rr->type, &before, &names)) {
		dns_write_data(w, msg.p + at, before);
		for (at += before; names > 0; names--) {
			if (!dns_read_name(str_n(msg.p, end), &at, &n))
				n = (struct dns_name){ .len = 1 };
			dns_write_name(w, &n, rr->type != DNS_SRV);
		}
	}
	dns_write_data(w, msg.p + at, end - at);
	return dns_write_end_rr(w);
}

size_t dns_write_end(struct dns_writer *w)
{
	uint8_t *p = w->p;

	if (w->edns.present) {
		uint8_t opt[DNS_OPT_BYTES] = { 0, 0, DNS_OPT };

		dns_put16(opt + 3, w->edns.size);
		opt[5] = (uint8_t)(w->rcode >> 4);
		opt[7] = w->edns.dnssec_ok ? 0x80 : 0;
		memcpy(p + w->len, opt, sizeof(opt));
		w->len += sizeof(opt);
		w->count[DNS_ADDITIONAL]++;
	}
	dns_put16(p, w->id);
	dns_put16(p + 2, (w->flags & ~15u) | (w->rcode & 15));
	for (size_t i = 0; i < DNS_SECTIONS; i++)
		dns_put16(p + 4 + 2 * i, w->count[i]);
	return w->len;
}

/* --- words --- */

const char *dns_type_name(uint16_t type)
{
	static const struct {
		uint16_t type;
		const char *name;
	} all[] = { { DNS_A, "A" },	    { DNS_AAAA, "AAAA" },   { DNS_SRV, "SRV" }, { DNS_PTR, "PTR" }, { DNS_CNAME, "CNAME" },
		    { DNS_NS, "NS" },	    { DNS_SOA, "SOA" },	    { DNS_MX, "MX" },	{ DNS_TXT, "TXT" }, { DNS_ANY, "ANY" },
		    { DNS_HINFO, "HINFO" }, { DNS_AXFR, "AXFR" },   { DNS_IXFR, "IXFR" } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].type == type)
			return all[i].name;
	return "other";
}

const char *dns_rcode_name(unsigned rcode)
{
	static const char *const all[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };

	if (rcode == DNS_BADVERS)
		return "BADVERS";
	return rcode < ARRAY_SIZE(all) ? all[rcode] : "other";
}
