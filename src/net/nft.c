/*
 * nf_tables messages: the socket, batches, chains, rules, sets (nft.h is the
 * manual; expressions are in nft-expr.c). Attributes are written straight into
 * the batch's bytes. Numbers in attributes are big-endian, what is compared with
 * packets lies as in packets.
 *
 * The kernel works a batch off while it is being sent, so its answers are there
 * when sendmsg returns, and nothing ever waits. Answers that did not fit the
 * socket's buffer count as a failure: whoever asked does it again.
 */
#include "net/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/nft-attr.h"

#define NFT_RECEIVE (256 << 10)
#define NFT_ELEMS_MAX (32 << 10) /* of one message: the length of an attribute has 16 bits */

struct nft {
	uint8_t family;
	char *table;
	int fd;
	size_t send_buffer;
	struct nft_stats stats;
};

struct nft *nft_new(uint8_t family, const char *table)
{
	struct nft *t = xcalloc(1, sizeof(*t));

	t->family = family;
	t->table = xstrdup(table);
	t->fd = -1;
	return t;
}

struct nft *nft_free(struct nft *t)
{
	if (!t)
		return NULL;
	if (t->fd >= 0)
		close(t->fd);
	free(t->table);
	free(t);
	return NULL;
}

const struct nft_stats *nft_stats(const struct nft *t)
{
	return &t->stats;
}

uint8_t nft_family(const struct nft *t)
{
	return t->family;
}

/* --- the socket --- */

static int nft_connect(struct nft *t)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK };
	int one = 1, size = NFT_RECEIVE;

	if (t->fd >= 0)
		return 0;
	t->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (t->fd < 0)
		return -errno;
	if (bind(t->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int rc = -errno;

		close(t->fd);
		t->fd = -1;
		return rc;
	}
	(void)setsockopt(t->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)setsockopt(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	t->send_buffer = 0;
	return 0;
}

/* A batch is one datagram, whatever its size. */
static void nft_make_room(struct nft *t, size_t n)
{
	int size = (int)(n + (64 << 10));

	if (t->send_buffer >= n || n > (512 << 20))
		return;
	if (setsockopt(t->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(t->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	t->send_buffer = n;
}

static int nft_send(struct nft *t, const void *p, size_t n)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int rc = nft_connect(t);

	if (rc < 0)
		return rc;
	nft_make_room(t, n);
	while (sendto(t->fd, p, n, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* Goes through all answers there are: each(arg, message) for each, 0 when the buffer did not overflow. */
static int nft_receive(struct nft *t, int flags, bool (*each)(void *arg, struct nlmsghdr *h), void *arg)
{
	_cleanup_free_ char *buf = xmalloc(NFT_RECEIVE);
	int lost = 0;

	for (;;) {
		ssize_t got = recv(t->fd, buf, NFT_RECEIVE, flags);
		struct nlmsghdr *h;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == ENOBUFS) {
			lost = -ENOBUFS;
			continue;
		}
		if (got < 0)
			return errno == EAGAIN ? lost : -errno;
		for (size_t at = 0, n = (size_t)got; at + sizeof(*h) <= n; at += NLMSG_ALIGN(h->nlmsg_len)) {
			h = (struct nlmsghdr *)(buf + at);
			if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > n - at || !each(arg, h))
				return lost;
		}
	}
}

/* --- batches --- */

static void nft_msg_flags(struct nft_batch *b, int type, int flags, uint8_t family, uint16_t res_id)
{
	struct nlmsghdr h = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = ++b->seq };
	struct nfgenmsg g = { .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res_id) };

	b->msg = b->bytes.len;
	buf_add(&b->bytes, &h, sizeof(h));
	buf_add(&b->bytes, &g, sizeof(g));
}

void nft_msg(struct nft_batch *b, int type, int flags)
{
	nft_msg_flags(b, (NFNL_SUBSYS_NFTABLES << 8) | type, flags, b->t->family, 0);
}

void nft_msg_end(struct nft_batch *b)
{
	struct nlmsghdr *h = (struct nlmsghdr *)(b->bytes.s + b->msg);

	BUG_ON(b->depth);
	h->nlmsg_len = (uint32_t)(b->bytes.len - b->msg);
}

static void nft_table(struct nft_batch *b, int type, int flags)
{
	nft_msg(b, type, flags);
	nft_put_text(b, NFTA_TABLE_NAME, b->t->table);
	nft_msg_end(b);
}

static void nft_begin_bare(struct nft_batch *b, struct nft *t)
{
	*b = (struct nft_batch){ .t = t, .bytes = BUF_INIT };
	nft_msg_flags(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	nft_msg_end(b);
}

void nft_begin(struct nft_batch *b, struct nft *t)
{
	nft_begin_bare(b, t);
	nft_table(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
}

bool nft_batch_is_empty(const struct nft_batch *b)
{
	return b->seq <= 2;
}

void nft_cancel(struct nft_batch *b)
{
	buf_release(&b->bytes);
}

struct nft_answer {
	uint32_t last, failed_at; /* numbers of messages */
	int code; /* the first error */
	bool done;
};

static bool nft_on_answer(void *arg, struct nlmsghdr *h)
{
	struct nft_answer *a = arg;
	int code;

	if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(sizeof(int)))
		return true;
	code = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
	if (code && !a->code) {
		a->code = code;
		a->failed_at = h->nlmsg_seq;
	}
	a->done = a->done || h->nlmsg_seq == a->last;
	return true;
}

/* "adding a rule to 'x'": what the message with that number is, for a log. */
static void nft_describe(const struct nft_batch *b, uint32_t seq, char *out, size_t n)
{
	static const char *const verbs[] = {
		[NFT_MSG_NEWTABLE] = "adding the table", [NFT_MSG_DELTABLE] = "removing the table",
		[NFT_MSG_NEWCHAIN] = "adding a chain", [NFT_MSG_DELCHAIN] = "removing a chain",
		[NFT_MSG_NEWRULE] = "adding a rule to", [NFT_MSG_DELRULE] = "removing the rules of",
		[NFT_MSG_NEWSET] = "adding a set", [NFT_MSG_DELSET] = "removing a set",
		[NFT_MSG_NEWSETELEM] = "adding elements to", [NFT_MSG_DELSETELEM] = "removing elements of",
	};
	const struct nlmsghdr *h;

	snprintf(out, n, "taking it in");
	for (size_t at = 0; at + sizeof(*h) <= b->bytes.len; at += NLMSG_ALIGN(h->nlmsg_len)) {
		unsigned type;
		struct str name;

		h = (const struct nlmsghdr *)(b->bytes.s + at);
		type = h->nlmsg_type & 0xff;
		if (h->nlmsg_seq != seq || h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
			continue;
		name = nft_get(NLMSG_DATA(h), h->nlmsg_len - NLMSG_HDRLEN, type == NFT_MSG_NEWCHAIN || type == NFT_MSG_DELCHAIN ? 3 : 2);
		if (type < ARRAY_SIZE(verbs) && verbs[type])
			snprintf(out, n, "%s '%.*s'", verbs[type], (int)strnlen(name.p ? name.p : "", name.n), name.p);
		return;
	}
}

/* The last real message asks for the acknowledgement; the kernel answers when the batch is in. */
static int nft_commit_(struct nft_batch *b, struct nft_answer *a)
{
	int rc;

	BUG_ON(b->elems.set);
	a->last = b->seq;
	((struct nlmsghdr *)(b->bytes.s + b->msg))->nlmsg_flags |= NLM_F_ACK;
	nft_msg_flags(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	nft_msg_end(b);
	b->t->stats.batches++;
	b->t->stats.messages += b->seq;
	b->t->stats.bytes += b->bytes.len;
	rc = nft_send(b->t, b->bytes.s, b->bytes.len);
	if (rc == 0)
		rc = nft_receive(b->t, MSG_DONTWAIT, nft_on_answer, a);
	if (a->code)
		rc = a->code;
	else if (rc == 0 && !a->done)
		rc = -EIO;
	b->t->stats.refused += rc < 0;
	return rc;
}

int nft_commit(struct nft_batch *b, struct err *e)
{
	struct nft_answer a = { 0 };
	char what[320];
	int rc = nft_commit_(b, &a);

	if (rc < 0) {
		nft_describe(b, a.failed_at, what, sizeof(what));
		err_errno(e, -rc, "change the nf_tables table '%s' (%s)", b->t->table, what);
	}
	buf_release(&b->bytes);
	return rc;
}

int nft_remove(struct nft *t)
{
	struct nft_answer a = { 0 };
	struct nft_batch b;
	int rc;

	nft_begin_bare(&b, t);
	nft_table(&b, NFT_MSG_DELTABLE, 0);
	rc = nft_commit_(&b, &a);
	buf_release(&b.bytes);
	return rc;
}

/* --- lists --- */

struct nft_list {
	void (*each)(void *arg, const char *name);
	void *arg;
	const char *table;
	int table_attr, name_attr, code;
};

static bool nft_on_listed(void *arg, struct nlmsghdr *h)
{
	struct nft_list *l = arg;
	const char *payload = NLMSG_DATA(h);
	size_t n = h->nlmsg_len - NLMSG_HDRLEN;

	if (h->nlmsg_type == NLMSG_DONE)
		return false;
	if (h->nlmsg_type == NLMSG_ERROR) {
		l->code = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
		return false;
	}
	/* Texts in attributes end with NUL. */
	if (streq_null(nft_get(payload, n, l->table_attr).p, l->table) && nft_get(payload, n, l->name_attr).p)
		l->each(l->arg, nft_get(payload, n, l->name_attr).p);
	return true;
}

static int nft_list(struct nft *t, int type, struct nft_list *l)
{
	struct nft_batch b = { .t = t, .bytes = BUF_INIT, };
	int rc;

	nft_msg(&b, type, NLM_F_DUMP);
	if (type == NFT_MSG_GETSET)
		nft_put_text(&b, NFTA_SET_TABLE, t->table);
	nft_msg_end(&b);
	l->table = t->table;
	rc = nft_send(t, b.bytes.s, b.bytes.len);
	if (rc == 0)
		rc = nft_receive(t, 0, nft_on_listed, l);
	buf_release(&b.bytes);
	return rc < 0 ? rc : l->code == -ENOENT ? 0 : l->code;
}

int nft_list_chains(struct nft *t, void (*each)(void *arg, const char *name), void *arg)
{
	struct nft_list l = { .each = each, .arg = arg, .table_attr = NFTA_CHAIN_TABLE, .name_attr = NFTA_CHAIN_NAME };

	return nft_list(t, NFT_MSG_GETCHAIN, &l);
}

int nft_list_sets(struct nft *t, void (*each)(void *arg, const char *name), void *arg)
{
	struct nft_list l = { .each = each, .arg = arg, .table_attr = NFTA_SET_TABLE, .name_attr = NFTA_SET_NAME };

	return nft_list(t, NFT_MSG_GETSET, &l);
}

/* --- chains and rules --- */

void nft_chain_base(struct nft_batch *b, const char *name, const char *type, unsigned hook, int priority)
{
	nft_msg(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	nft_put_text(b, NFTA_CHAIN_TABLE, b->t->table);
	nft_put_text(b, NFTA_CHAIN_NAME, name);
	if (type) {
		nft_nest(b, NFTA_CHAIN_HOOK);
		nft_put_u32(b, NFTA_HOOK_HOOKNUM, hook);
		nft_put_u32(b, NFTA_HOOK_PRIORITY, (uint32_t)priority);
		nft_nest_end(b);
		nft_put_u32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
		nft_put_text(b, NFTA_CHAIN_TYPE, type);
	}
	nft_msg_end(b);
}

void nft_chain(struct nft_batch *b, const char *name)
{
	nft_chain_base(b, name, NULL, 0, 0);
}

void nft_chain_flush(struct nft_batch *b, const char *name)
{
	nft_msg(b, NFT_MSG_DELRULE, 0);
	nft_put_text(b, NFTA_RULE_TABLE, b->t->table);
	nft_put_text(b, NFTA_RULE_CHAIN, name);
	nft_msg_end(b);
}

void nft_chain_delete(struct nft_batch *b, const char *name)
{
	nft_msg(b, NFT_MSG_DELCHAIN, 0);
	nft_put_text(b, NFTA_CHAIN_TABLE, b->t->table);
	nft_put_text(b, NFTA_CHAIN_NAME, name);
	nft_msg_end(b);
}

void nft_rule(struct nft_batch *b, const char *chain)
{
	nft_msg(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	nft_put_text(b, NFTA_RULE_TABLE, b->t->table);
	nft_put_text(b, NFTA_RULE_CHAIN, chain);
	nft_nest(b, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft_batch *b)
{
	nft_nest_end(b);
	nft_msg_end(b);
}

/* --- sets --- */

/* The numbers by which nft(8) knows types, so that it can show them; the kernel takes any. */
static const struct nft_type_row {
	uint8_t number, len;
	bool host_order;
} nft_types[] = {
	[NFT_T_NUMBER] = { 4, 4, true }, [NFT_T_IP4] = { 7, 4, false }, [NFT_T_IP6] = { 8, 16, false },
	[NFT_T_ETHER] = { 9, 6, false }, [NFT_T_PROTO] = { 12, 1, false }, [NFT_T_PORT] = { 13, 2, false },
	[NFT_T_MARK] = { 19, 4, true }, [NFT_T_LINK] = { 41, 16, true },
};

unsigned nft_type_len(enum nft_type t)
{
	return (nft_types[t].len + 3u) & ~3u;
}

static unsigned nft_fields(const enum nft_type *v)
{
	unsigned n = 0;

	while (n < NFT_CONCAT_MAX && v[n] != NFT_T_NONE)
		n++;
	return n;
}

static uint32_t nft_type_number(const enum nft_type *v)
{
	uint32_t number = 0;

	for (unsigned i = 0; i < nft_fields(v); i++)
		number = number << 6 | nft_types[v[i]].number;
	return number;
}

static uint32_t nft_key_len(const enum nft_type *v)
{
	uint32_t len = 0;

	if (nft_fields(v) == 1)
		return nft_types[v[0]].len;
	for (unsigned i = 0; i < nft_fields(v); i++)
		len += nft_type_len(v[i]);
	return len;
}

/* Ranges of several fields are all that the kernel wants to know the fields of. */
static bool nft_is_concat(const struct nft_set *s)
{
	return nft_fields(s->key) > 1 && (s->flags & NFT_SET_INTERVAL);
}

static void nft_set_desc(struct nft_batch *b, const struct nft_set *s)
{
	unsigned n = nft_fields(s->key);

	nft_nest(b, NFTA_SET_DESC);
	if (s->size)
		nft_put_u32(b, NFTA_SET_DESC_SIZE, s->size);
	if (nft_is_concat(s)) {
		nft_nest(b, NFTA_SET_DESC_CONCAT);
		for (unsigned i = 0; i < n; i++) {
			nft_nest(b, NFTA_LIST_ELEM);
			nft_put_u32(b, NFTA_SET_FIELD_LEN, nft_types[s->key[i]].len);
			nft_nest_end(b);
		}
		nft_nest_end(b);
	}
	nft_nest_end(b);
}

static void nft_set_data(struct nft_batch *b, const struct nft_set *s)
{
	if (s->data[0] == NFT_T_NONE)
		return;
	nft_put_u32(b, NFTA_SET_DATA_TYPE, s->data[0] == NFT_T_VERDICT ? (uint32_t)NFT_DATA_VERDICT :
									 nft_type_number(s->data));
	if (s->data[0] != NFT_T_VERDICT)
		nft_put_u32(b, NFTA_SET_DATA_LEN, nft_key_len(s->data));
}

uint32_t nft_set_add(struct nft_batch *b, const struct nft_set *s)
{
	uint32_t flags = s->flags | (s->data[0] != NFT_T_NONE ? NFT_SET_MAP : 0);
	bool host = nft_types[s->key[0]].host_order;
	const uint8_t userdata[] = { 0, 4, host ? 1 : 2, 0, 0, 0 }; /* nft(8)'s own note: the key's order of bytes */

	nft_msg(b, NFT_MSG_NEWSET, NLM_F_CREATE);
	nft_put_text(b, NFTA_SET_TABLE, b->t->table);
	nft_put_text(b, NFTA_SET_NAME, s->name);
	nft_put_u32(b, NFTA_SET_FLAGS, flags | (nft_is_concat(s) ? NFT_SET_CONCAT : 0));
	nft_put_u32(b, NFTA_SET_KEY_TYPE, nft_type_number(s->key));
	nft_put_u32(b, NFTA_SET_KEY_LEN, nft_key_len(s->key));
	nft_set_data(b, s);
	nft_put_u32(b, NFTA_SET_ID, ++b->last_set);
	nft_set_desc(b, s);
	if (s->timeout_ms)
		nft_put_u64(b, NFTA_SET_TIMEOUT, s->timeout_ms);
	nft_put(b, NFTA_SET_USERDATA, userdata, sizeof(userdata));
	nft_msg_end(b);
	return b->last_set;
}

void nft_set_delete(struct nft_batch *b, const char *name)
{
	nft_msg(b, NFT_MSG_DELSET, 0);
	nft_put_text(b, NFTA_SET_TABLE, b->t->table);
	nft_put_text(b, NFTA_SET_NAME, name);
	nft_msg_end(b);
}

void nft_set_flush(struct nft_batch *b, const char *name)
{
	nft_msg(b, NFT_MSG_DELSETELEM, 0);
	nft_put_text(b, NFTA_SET_ELEM_LIST_TABLE, b->t->table);
	nft_put_text(b, NFTA_SET_ELEM_LIST_SET, name);
	nft_msg_end(b);
}

/* --- elements --- */

static void nft_elems_open(struct nft_batch *b)
{
	struct nft_elems *l = &b->elems;

	nft_msg(b, l->type, l->type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
	nft_put_text(b, NFTA_SET_ELEM_LIST_TABLE, b->t->table);
	nft_put_text(b, NFTA_SET_ELEM_LIST_SET, l->set);
	if (l->id)
		nft_put_u32(b, NFTA_SET_ELEM_LIST_SET_ID, l->id);
	l->list = b->bytes.len;
	nft_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
}

static void nft_elems_close(struct nft_batch *b)
{
	nft_nest_end(b);
	nft_msg_end(b);
	b->elems.list = 0;
}

void nft_elems(struct nft_batch *b, int type, const char *set, uint32_t id)
{
	BUG_ON(b->elems.set);
	b->elems = (struct nft_elems){ .type = type, .set = set, .id = id };
}

void nft_elem(struct nft_batch *b, const struct nft_elem *el)
{
	if (b->elems.list && b->bytes.len - b->elems.list > NFT_ELEMS_MAX)
		nft_elems_close(b);
	if (!b->elems.list)
		nft_elems_open(b);
	nft_nest(b, NFTA_LIST_ELEM);
	nft_put_data(b, NFTA_SET_ELEM_KEY, el->key, el->key_len);
	if (el->key_end)
		nft_put_data(b, NFTA_SET_ELEM_KEY_END, el->key_end, el->key_len);
	if (el->interval_end)
		nft_put_u32(b, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	if (el->timeout_ms)
		nft_put_u64(b, NFTA_SET_ELEM_TIMEOUT, el->timeout_ms);
	if (el->data_len)
		nft_put_data(b, NFTA_SET_ELEM_DATA, el->data, el->data_len);
	else if (el->has_verdict)
		nft_put_verdict(b, NFTA_SET_ELEM_DATA, el->verdict, el->chain);
	nft_nest_end(b);
}

/* None at all: no message. */
void nft_elems_end(struct nft_batch *b)
{
	if (b->elems.list)
		nft_elems_close(b);
	b->elems.set = NULL;
}
