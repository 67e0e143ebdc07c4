/*
 * Questions to other name servers. One question is one flight: clients that ask
 * the same meanwhile wait for it too, which also keeps a loop from becoming a
 * storm. A flight has a socket of its own, connected, so that its port is as hard
 * to guess as its id and only the server that was asked can answer.
 *
 * Servers are tried in the order that they were given, those that did not answer
 * lately last; all is over after FLIGHT_MS. One that says SERVFAIL, REFUSED or
 * NOTIMP is believed only when the others know no better. What is truncated is
 * asked again over TCP.
 *
 * A server on this machine may ask us in its turn. When servers are taken up those
 * are sent a name that nobody else knows (as CoreDNS' loop plugin does); if it
 * comes back, the server is not asked until the list changes, or all of them are
 * like that for FORWARD_PROBE_MS.
 */
#include <errno.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/time.h"
#include "svc/dns.h"

#define FLIGHT_MS 4500 /* a client's resolver waits for five seconds */
#define FLIGHT_TRIES 3
#define FLIGHT_TCP_MS 2000
#define FLIGHT_TCP_MAX 100 /* flights with a connection at one time */
#define FLIGHT_UDP_BYTES 4096
#define SERVER_DOWN_AFTER 2 /* questions without an answer */
#define SERVER_DOWN_MS 10000
#define FORWARD_PROBE_MS 30000
#define FORWARD_BUCKETS 256 /* of clients by their address */
#define PROBE_ZONE "kinglet-loop.internal"

static const int64_t flight_try_ms[FLIGHT_TRIES] = { 1000, 1500, 2000 };

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct dns_client client;
	struct dns_query q;
	int64_t since_ns;
	uint8_t bucket;
};

struct flight {
	struct dns_forward *f;
	struct dns_key key;
	struct dns_servers *to;
	TAILQ_HEAD(, waiter) waiters;
	int64_t deadline_ms;
	unsigned tries;
	uint32_t tried; /* bits of to->v, in this round */
	size_t at; /* the server that is being asked */
	int fd;
	bool tcp, edns;
	uint16_t id;
	struct loop_fd *watch;
	struct loop_timer *timer;
	struct buf out, in; /* TCP */
	struct dns_head poor_head; /* an answer that is given when there is no better one */
	struct buf poor;
};

struct dns_forward {
	struct dns *d;
	struct map *flights; /* by key */
	size_t n_waiters, n_tcp;
	uint16_t of_bucket[FORWARD_BUCKETS];
	struct dns_name probe_zone, probe;
	struct dns_servers *probed;
	int64_t probed_ms;
};

static void flight_next(struct flight *x);

/* --- waiting --- */

static void waiter_drop(struct dns_forward *f, struct flight *x, struct waiter *w)
{
	TAILQ_REMOVE(&x->waiters, w, link);
	f->of_bucket[w->bucket]--;
	f->n_waiters--;
	free(w);
}

static bool waiter_add(struct flight *x, const struct dns_client *c, const struct dns_query *q)
{
	struct dns_forward *f = x->f;
	struct net_addr a;
	struct waiter *w;
	uint8_t bucket;

	net_peer_addr(&c->peer, &a);
	bucket = (uint8_t)hash_sip(str_n((const char *)a.b, net_addr_len(&a)));
	if (f->n_waiters >= LIMIT_DNS_WAITERS || f->of_bucket[bucket] >= LIMIT_DNS_CLIENT_WAITERS)
		return false;
	w = xmalloc(sizeof(*w));
	*w = (struct waiter){ .client = *c, .q = *q, .since_ns = time_mono_us() * 1000, .bucket = bucket };
	f->of_bucket[bucket]++;
	f->n_waiters++;
	TAILQ_INSERT_TAIL(&x->waiters, w, link);
	return true;
}

/* --- a flight's life --- */

static void flight_close(struct flight *x)
{
	x->watch = loop_fd_free(x->watch);
	if (x->fd >= 0)
		close_fd(x->fd);
	x->fd = -1;
	x->f->n_tcp -= x->tcp;
	x->tcp = false;
	buf_release(&x->in);
	buf_release(&x->out);
}

static void flight_free(struct flight *x)
{
	struct dns_forward *f = x->f;

	flight_close(x);
	while (!TAILQ_EMPTY(&x->waiters))
		waiter_drop(f, x, TAILQ_FIRST(&x->waiters));
	loop_timer_free(x->timer);
	dns_servers_unref(x->to);
	buf_release(&x->poor);
	free(x);
}

/* head NULL: nobody answered. */
static void flight_done(struct flight *x, const struct dns_head *head, struct str msg)
{
	struct dns_forward *f = x->f;
	struct dns_outcome o = { .key = &x->key, .head = head, .msg = msg };
	uint32_t ttl = head ? dns_cache_ttl(head, msg) : 0;
	struct waiter *w;

	map_take(f->flights, str_n((const char *)x->key.b, x->key.n));
	f->d->stats.failed += !head;
	if (ttl)
		dns_cache_put(f->d->cache, &x->key, head, msg, ttl);
	while ((w = TAILQ_FIRST(&x->waiters))) {
		struct waiter now = *w;

		waiter_drop(f, x, w);
		dns_resume(f->d, &now.client, &now.q, &o, now.since_ns);
	}
	flight_free(x);
}

static struct dns_server *flight_server(struct flight *x)
{
	return &x->to->v[x->at];
}

/* The one that was asked did not answer, or can't be reached. */
static void flight_failed(struct flight *x, bool at_once)
{
	struct dns_server *s = flight_server(x);

	if (++s->failures >= SERVER_DOWN_AFTER || at_once)
		s->down_until_ms = loop_now_ms(x->f->d->loop) + SERVER_DOWN_MS;
	flight_next(x);
}

static void flight_timeout(void *arg)
{
	struct flight *x = arg;

	x->f->d->stats.timed_out++;
	flight_failed(x, false);
}

static size_t flight_question(struct flight *x, uint8_t out[DNS_UDP_BYTES])
{
	struct dns_name name = { .len = (uint8_t)(x->key.n - 3) };
	struct dns_writer w;

	memcpy(name.b, x->key.b + 3, name.len);
	x->id = (uint16_t)rand_u64();
	dns_write_begin(&w, out, DNS_UDP_BYTES, x->id, (uint16_t)(DNS_RD | (x->key.b[0] & 2 ? DNS_CD : 0)));
	x->edns = !flight_server(x)->no_edns;
	if (x->edns)
		dns_write_edns(&w, x->key.b[0] & 1);
	dns_write_question(&w, &name, (uint16_t)(x->key.b[1] << 8 | x->key.b[2]), DNS_CLASS_IN);
	return dns_write_end(&w);
}

static bool flight_connect(struct flight *x, int type)
{
	struct dns_server *s = flight_server(x);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(s->port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(s->port) };
	bool v6 = s->addr.family == AF_INET6;

	memcpy(&six.sin6_addr, s->addr.b, 16);
	memcpy(&four.sin_addr, s->addr.b, 4);
	x->fd = socket(s->addr.family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return x->fd >= 0 && (connect(x->fd, v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four,
				      v6 ? sizeof(six) : sizeof(four)) == 0 ||
			      errno == EINPROGRESS);
}

/* --- answers --- */

/* The name in the key has no capitals. */
static bool flight_is_name(const struct flight *x, const struct dns_name *name)
{
	struct dns_name lower = *name;

	dns_name_lower(&lower);
	return lower.len == x->key.n - 3 && memcmp(lower.b, x->key.b + 3, lower.len) == 0;
}

static void flight_tcp(struct flight *x);

static void flight_answer(struct flight *x, struct str msg)
{
	struct dns_server *s = flight_server(x);
	struct dns_head h;
	struct dns_name name;
	bool whole = dns_read_answer(&h, &name, msg);

	if (msg.n < 2 || (uint8_t)msg.p[0] != x->id >> 8 || (uint8_t)msg.p[1] != (x->id & 255))
		return; /* somebody else's: go on waiting */
	if (x->edns && msg.n >= DNS_HEADER_BYTES && ((msg.p[3] & 15) == DNS_FORMERR || (msg.p[3] & 15) == DNS_NOTIMP)) {
		s->no_edns = true; /* it is from before EDNS */
		x->tried &= ~(1u << x->at);
		flight_next(x);
		return;
	}
	if (!whole || !flight_is_name(x, &name) || h.type != (x->key.b[1] << 8 | x->key.b[2])) {
		flight_failed(x, false);
		return;
	}
	s->failures = 0;
	s->down_until_ms = 0;
	if (h.flags & DNS_TC && !x->tcp) {
		flight_tcp(x);
		return;
	}
	if (h.rcode != DNS_NOERROR && h.rcode != DNS_NXDOMAIN) {
		x->poor_head = h;
		buf_clear(&x->poor);
		buf_addstr(&x->poor, msg);
		flight_next(x);
		return;
	}
	flight_done(x, &h, msg);
}

static void flight_udp_readable(void *arg, int what)
{
	struct flight *x = arg;
	char msg[FLIGHT_UDP_BYTES];
	ssize_t n = recv(x->fd, msg, sizeof(msg), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		flight_failed(x, true); /* nobody listens there */
	else
		flight_answer(x, str_n(msg, (size_t)n));
}

static void flight_tcp_ready(void *arg, int what)
{
	struct flight *x = arg;
	char piece[16384];
	ssize_t n;
	size_t want;

	if (what & LOOP_WRITE) {
		n = send(x->fd, x->out.s, x->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n != (ssize_t)x->out.len) {
			flight_failed(x, n < 0);
			return;
		}
		loop_fd_set(x->watch, LOOP_READ);
		return;
	}
	n = recv(x->fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buf_add(&x->in, piece, (size_t)n);
	want = x->in.len < 2 ? 2 : 2u + ((uint8_t)x->in.s[0] << 8 | (uint8_t)x->in.s[1]);
	if (x->in.len >= want && want > 2) {
		struct buf msg = x->in;

		buf_init(&x->in);
		flight_answer(x, str_n(msg.s + 2, want - 2));
		buf_release(&msg);
	} else if (n <= 0) {
		flight_failed(x, false);
	}
}

/* The same server once more. */
static void flight_tcp(struct flight *x)
{
	uint8_t q[DNS_UDP_BYTES];
	size_t n = flight_question(x, q);
	uint8_t len[2] = { (uint8_t)(n >> 8), (uint8_t)n };

	flight_close(x);
	if (x->f->n_tcp >= FLIGHT_TCP_MAX || !flight_connect(x, SOCK_STREAM)) {
		flight_next(x);
		return;
	}
	x->tcp = true;
	x->f->n_tcp++;
	buf_add(&x->out, len, sizeof(len));
	buf_add(&x->out, q, n);
	x->watch = loop_fd_new(x->f->d->loop, x->fd, LOOP_WRITE, flight_tcp_ready, x);
	loop_timer_set(x->timer, FLIGHT_TCP_MS);
}

/* --- the order of servers --- */

static bool flight_pick(struct flight *x, bool down_too)
{
	int64_t now = loop_now_ms(x->f->d->loop);

	for (size_t i = 0; i < x->to->n; i++) {
		const struct dns_server *s = &x->to->v[i];

		if (x->tried & 1u << i || s->loops || (!down_too && s->down_until_ms > now))
			continue;
		x->at = i;
		x->tried |= 1u << i;
		return true;
	}
	return false;
}

static bool flight_send(struct flight *x)
{
	uint8_t q[DNS_UDP_BYTES];
	size_t n = flight_question(x, q);

	flight_server(x)->asked++;
	if (!flight_connect(x, SOCK_DGRAM) || send(x->fd, q, n, MSG_DONTWAIT) < 0)
		return false;
	x->watch = loop_fd_new(x->f->d->loop, x->fd, LOOP_READ, flight_udp_readable, x);
	return true;
}

static void flight_next(struct flight *x)
{
	int64_t left;
	unsigned max = x->to->n + 1 > FLIGHT_TRIES ? (unsigned)x->to->n + 1 : FLIGHT_TRIES;

	flight_close(x);
	for (;;) {
		left = x->deadline_ms - loop_now_ms(x->f->d->loop);
		if (left <= 0 || x->tries >= max)
			break;
		if (!flight_pick(x, false) && !flight_pick(x, true)) {
			if (x->poor.len || !x->tried)
				break; /* all have spoken, or may not be asked */
			x->tried = 0;
			continue;
		}
		if (flight_send(x)) {
			int64_t ms = flight_try_ms[x->tries < FLIGHT_TRIES ? x->tries : FLIGHT_TRIES - 1];

			x->tries++;
			loop_timer_set(x->timer, ms < left ? ms : left);
			return;
		}
		x->tries++;
		flight_server(x)->down_until_ms = loop_now_ms(x->f->d->loop) + SERVER_DOWN_MS;
		flight_close(x);
	}
	if (x->poor.len)
		flight_done(x, &x->poor_head, buf_str(&x->poor));
	else
		flight_done(x, NULL, STR_NONE);
}

/* --- loops --- */

static void probe_send(struct dns_forward *f, struct dns_servers *s, size_t i)
{
	struct flight x = { .f = f, .to = s, .at = i, .fd = -1 };
	struct dns_name name = f->probe;
	char number[8];

	snprintf(number, sizeof(number), "%zu", i);
	if (!dns_name_push(&name, str_of(number)))
		return;
	dns_key_make(&x.key, &name, DNS_HINFO, false, false);
	TAILQ_INIT(&x.waiters);
	buf_init(&x.in);
	buf_init(&x.out);
	if (flight_connect(&x, SOCK_DGRAM)) {
		uint8_t q[DNS_UDP_BYTES];
		size_t n = flight_question(&x, q);

		(void)!send(x.fd, q, n, MSG_DONTWAIT);
	}
	if (x.fd >= 0)
		close_fd(x.fd);
}

void dns_forward_probe(struct dns_forward *f, struct dns_servers *s)
{
	struct buf hex = BUF_INIT;
	uint8_t random[12];

	rand_bytes(random, sizeof(random));
	buf_add_hex(&hex, random, sizeof(random));
	f->probe = f->probe_zone;
	BUG_ON(!dns_name_push(&f->probe, buf_str(&hex)));
	buf_release(&hex);
	dns_servers_unref(f->probed);
	f->probed = dns_servers_ref(s);
	f->probed_ms = loop_now_ms(f->d->loop);
	for (size_t i = 0; i < s->n; i++) {
		s->v[i].loops = false;
		if (net_is_local(&s->v[i].addr))
			probe_send(f, s, i);
	}
}

bool dns_forward_is_probe(struct dns_forward *f, const struct dns_query *q)
{
	char text[NET_ADDR_TEXT];
	size_t at = 0;
	uint64_t i;

	if (dns_name_below(&q->lower, &f->probe_zone) < 0)
		return false;
	if (dns_name_below(&q->lower, &f->probe) > 0 && f->probed && str_to_u64(dns_name_label(&q->lower, &at), &i) &&
	    i < f->probed->n && !f->probed->v[i].loops) {
		f->probed->v[i].loops = true;
		log_warn("a name server of this machine asks the cluster's in its turn, so it is not asked; names outside the "
			 "cluster are not found unless there is another",
			 LS("server", net_addr_print(&f->probed->v[i].addr, text)));
	}
	return true;
}

/* All lead back: has that been put right meanwhile? */
static bool forward_is_looping(struct dns_forward *f, struct dns_servers *to)
{
	for (size_t i = 0; i < to->n; i++)
		if (!to->v[i].loops)
			return false;
	if (to == f->probed && loop_now_ms(f->d->loop) - f->probed_ms > FORWARD_PROBE_MS) {
		dns_forward_probe(f, to);
		return false;
	}
	return true;
}

/* --- outside --- */

static void forward_drop(void *p)
{
	flight_free(p);
}

struct dns_forward *dns_forward_new(struct dns *d)
{
	struct dns_forward *f = xcalloc(1, sizeof(*f));

	f->d = d;
	f->flights = map_new(forward_drop);
	BUG_ON(!dns_name_parse(&f->probe_zone, STR_LIT(PROBE_ZONE)));
	f->probe = f->probe_zone;
	return f;
}

struct dns_forward *dns_forward_free(struct dns_forward *f)
{
	if (!f)
		return NULL;
	map_free(f->flights);
	dns_servers_unref(f->probed);
	free(f);
	return NULL;
}

bool dns_forward_ask(struct dns_forward *f, const struct dns_client *c, const struct dns_query *q,
		     struct dns_servers *to, const struct dns_key *k)
{
	struct str key = str_n((const char *)k->b, k->n);
	struct flight *x = map_get(f->flights, key);

	if (x)
		return waiter_add(x, c, q);
	if (map_count(f->flights) >= LIMIT_DNS_FLIGHTS || forward_is_looping(f, to))
		return false;
	x = xcalloc(1, sizeof(*x));
	x->f = f;
	x->key = *k;
	x->to = dns_servers_ref(to);
	x->fd = -1;
	TAILQ_INIT(&x->waiters);
	buf_init(&x->in);
	buf_init(&x->out);
	buf_init(&x->poor);
	x->deadline_ms = loop_now_ms(f->d->loop) + FLIGHT_MS;
	x->timer = loop_timer_new(f->d->loop, flight_timeout, x);
	if (!waiter_add(x, c, q)) {
		flight_free(x);
		return false;
	}
	map_set(f->flights, key, x);
	f->d->stats.forwarded++;
	flight_next(x);
	return true;
}

void dns_forward_forget(struct dns_forward *f, struct dns_tcp_conn *c)
{
	struct map_iter it = { 0 };
	struct waiter *w, *next;

	while (map_next(f->flights, &it)) {
		struct flight *x = it.value;

		for (w = TAILQ_FIRST(&x->waiters); w; w = next) {
			next = TAILQ_NEXT(w, link);
			if (w->client.tcp == c)
				waiter_drop(f, x, w);
		}
	}
}

size_t dns_forward_flights(const struct dns_forward *f)
{
	return map_count(f->flights);
}
