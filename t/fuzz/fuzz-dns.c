/*
 * DNS: what is read as a question or as an answer can be written again, within any
 * limit, and reads back as the same.
 */
#include "fuzz.h"
#include "wire/dns.h"

static void fuzz_name(const struct dns_name *n)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t at = 0, labels = 0;
	struct str label;

	BUG_ON(n->len < 1 || n->b[n->len - 1] != 0);
	while ((label = dns_name_label(n, &at)).p) {
		BUG_ON(label.n < 1 || label.n > DNS_LABEL_BYTES);
		labels++;
	}
	BUG_ON(at != n->len - 1u || labels > 127);
	dns_name_print(n, &text);
	BUG_ON(dns_name_below(n, n) != 0 || dns_name_below(n, &(struct dns_name){ .len = 1 }) != (int)at);
}

static void fuzz_query(struct str in)
{
	static uint8_t out[DNS_UDP_BYTES];
	struct dns_query q, again;
	struct dns_writer w;
	size_t n;
	int rc = dns_read_query(&q, in);

	if (rc < 0 || !q.name.len)
		return;
	fuzz_name(&q.name);
	dns_write_begin(&w, out, sizeof(out), q.id, q.flags);
	if (q.edns.present)
		dns_write_edns(&w, q.edns.dnssec_ok);
	BUG_ON(!dns_write_question(&w, &q.name, q.type, q.class));
	n = dns_write_end(&w);
	BUG_ON(n > sizeof(out));
	if (rc)
		return;
	BUG_ON(dns_read_query(&again, str_n((char *)out, n)) != 0);
	BUG_ON(again.id != q.id || again.type != q.type || again.class != q.class || !dns_name_equal(&again.name, &q.name) ||
	       again.name.len != q.name.len || again.edns.present != q.edns.present ||
	       again.edns.dnssec_ok != q.edns.dnssec_ok);
}

static size_t fuzz_copy(struct str in, const struct dns_head *h, const struct dns_name *name, uint8_t *out, size_t limit)
{
	struct dns_writer w;
	struct dns_rr rr;
	size_t at = h->records;

	dns_write_begin(&w, out, limit, h->id, h->flags & 0xfff0);
	w.rcode = h->rcode & 15;
	dns_write_question(&w, name, h->type, h->class);
	for (enum dns_section s = DNS_ANSWER; s < DNS_SECTIONS; s++)
		for (unsigned i = 0; i < h->count[s]; i++) {
			BUG_ON(!dns_read_rr(in, &at, &rr));
			fuzz_name(&rr.name);
			dns_write_copy(&w, s, in, &rr, rr.ttl);
		}
	at = dns_write_end(&w);
	BUG_ON(at > limit);
	return at;
}

static void fuzz_answer(struct str in)
{
	static uint8_t out[DNS_MESSAGE_BYTES], small[DNS_UDP_BYTES];
	struct dns_head h, again;
	struct dns_name name, name2;
	size_t n;

	if (!dns_read_answer(&h, &name, in))
		return;
	fuzz_name(&name);
	n = fuzz_copy(in, &h, &name, out, sizeof(out));
	BUG_ON(!dns_read_answer(&again, &name2, str_n((char *)out, n)));
	BUG_ON(!dns_name_equal(&name, &name2));
	if (!(again.flags & DNS_TC))
		BUG_ON(again.count[DNS_ANSWER] != h.count[DNS_ANSWER] || again.count[DNS_AUTHORITY] != h.count[DNS_AUTHORITY]);
	n = fuzz_copy(in, &h, &name, small, sizeof(small));
	BUG_ON(!dns_read_answer(&again, &name2, str_n((char *)small, n)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n((const char *)data, size);
	struct dns_name n;

	fuzz_query(in);
	fuzz_answer(in);
	if (dns_name_parse(&n, in))
		fuzz_name(&n);
	return 0;
}
