/*
 * DNS messages (RFC 1035, 2181, 2308, 3597, 6891) as a pure codec: bytes in and
 * out, no I/O, nothing allocated.
 *
 * Reading trusts nothing: a name is at most 255 bytes of labels of at most 63, a
 * compression pointer leads strictly back (so there is no loop), a record ends
 * within the message. Writing compresses names as RFC 1035 has it, in owners and
 * in the data of those types that may (RFC 3597), and never passes the limit that
 * the writer was given: what does not fit sets TC, or is left out of the
 * additional section.
 */
#ifndef WIRE_DNS_H
#define WIRE_DNS_H

#include "base/buf.h"

#define DNS_NAME_BYTES 255
#define DNS_LABEL_BYTES 63
#define DNS_HEADER_BYTES 12
#define DNS_MESSAGE_BYTES 65535
#define DNS_UDP_BYTES 512 /* without EDNS */
#define DNS_EDNS_BYTES 1232 /* what goes over UDP without fragments */
#define DNS_OPT_BYTES 11 /* an OPT record without options */

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_HINFO = 13,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_OPT = 41,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_ANY = 255,
};
enum { DNS_CLASS_IN = 1, DNS_CLASS_ANY = 255 };
enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16,
};
enum { DNS_QR = 0x8000, DNS_AA = 0x0400, DNS_TC = 0x0200, DNS_RD = 0x0100, DNS_RA = 0x0080, DNS_AD = 0x0020, DNS_CD = 0x0010 };
enum dns_section { DNS_QUESTION, DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

/* --- names: labels with their lengths, the root's 0 at the end; no compression --- */
struct dns_name {
	uint8_t len; /* 1 for the root */
	uint8_t b[DNS_NAME_BYTES];
};
/* "a.b.c", with or without a dot at the end; no escapes. False: it is too long, or has an empty label. */
bool dns_name_parse(struct dns_name *n, struct str text);
/* Without the dot at the end ("." for the root); dots and what is not printable in a label are escaped. */
void dns_name_print(const struct dns_name *n, struct buf *out);
void dns_name_lower(struct dns_name *n);
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b); /* ASCII case folded */
/* n is zone, or below it: where in n->b zone starts. Else -1. Case folded. */
int dns_name_below(const struct dns_name *n, const struct dns_name *zone);
/* Puts a label before the name; false when it does not fit. */
bool dns_name_push(struct dns_name *n, struct str label);
/* The label at *at, which goes on to the next; {NULL,0} at the root. */
struct str dns_name_label(const struct dns_name *n, size_t *at);

/* --- reading --- */
struct dns_rr {
	struct dns_name name;
	uint16_t type, class;
	uint32_t ttl;
	size_t data, data_len; /* in the message */
};
struct dns_edns {
	bool present, dnssec_ok;
	uint8_t version;
	uint16_t size;
};
struct dns_query {
	uint16_t id, flags;
	struct dns_name name; /* as asked */
	struct dns_name lower;
	uint16_t type, class;
	struct dns_edns edns;
};
/* A name at *at, which goes behind it. */
bool dns_read_name(struct str msg, size_t *at, struct dns_name *ret);
bool dns_read_rr(struct str msg, size_t *at, struct dns_rr *ret);
/* A message from a client. 0: a question that can be looked at. > 0: the rcode to answer with (id, flags, and the
 * question as far as it was understood are there; name.len 0: it was not). < 0: nothing may be answered. */
int dns_read_query(struct dns_query *q, struct str msg);
/* An answer from a server: header and question are read, every record is well-formed. *answers is where they begin. */
struct dns_head {
	uint16_t id, flags, count[DNS_SECTIONS];
	unsigned rcode; /* with the bits that EDNS adds */
	uint16_t type, class;
	size_t records; /* where they begin */
};
bool dns_read_answer(struct dns_head *h, struct dns_name *ret_name, struct str msg);

/* --- writing --- */
#define DNS_WRITER_NAMES 96
struct dns_writer {
	uint8_t *p;
	size_t len, cap; /* cap: the limit, less what OPT needs */
	uint16_t id, flags, count[DNS_SECTIONS];
	struct dns_edns edns;
	unsigned rcode; /* 12 bits with EDNS */
	/* private */
	size_t rr, rr_data;
	unsigned rr_names;
	enum dns_section section;
	bool full;
	unsigned n_names;
	uint16_t names[DNS_WRITER_NAMES]; /* where names, and the rest of names, stand */
};
/* p has room for limit bytes. edns: what is said of us in OPT, when it is present. */
void dns_write_begin(struct dns_writer *w, void *p, size_t limit, uint16_t id, uint16_t flags);
void dns_write_edns(struct dns_writer *w, bool dnssec_ok);
bool dns_write_question(struct dns_writer *w, const struct dns_name *n, uint16_t type, uint16_t class);
/* A record: begin, data, end. False from dns_write_end_rr: it did not fit, and is not there; TC is set unless it was
 * in the additional section. */
void dns_write_rr(struct dns_writer *w, enum dns_section s, const struct dns_name *owner, uint16_t type, uint16_t class,
		  uint32_t ttl);
void dns_write_data(struct dns_writer *w, const void *p, size_t n);
void dns_write_u16(struct dns_writer *w, uint16_t v);
void dns_write_u32(struct dns_writer *w, uint32_t v);
void dns_write_name(struct dns_writer *w, const struct dns_name *n, bool compress);
bool dns_write_end_rr(struct dns_writer *w);
/* A record of another message, which dns_read_answer has approved, with another time to live. */
bool dns_write_copy(struct dns_writer *w, enum dns_section s, struct str msg, const struct dns_rr *rr, uint32_t ttl);
size_t dns_write_end(struct dns_writer *w); /* how long it is */

const char *dns_type_name(uint16_t type); /* "A"; "other" */
const char *dns_rcode_name(unsigned rcode); /* "NXDOMAIN"; "other" */

#endif
