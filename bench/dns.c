/*
 * bench/dns: questions a second and their latency, against any name server.
 *
 *	bench/dns --server 10.43.0.10 [--tcp] [--inflight 64] [--seconds 3] [--type 1|28|33] NAMES-FILE
 *
 * One socket, so many questions under way; each answer is followed by the next
 * question, of a name chosen at random from the file (one in a line). An answer
 * that does not come within a second is counted as lost and asked anew. Prints
 * questions/s, p50, p99 and the longest, what was lost, and what was no answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_INFLIGHT 4096
#define LOST_NS 1000000000ll
#define BATCH 64

static char **names;
static size_t n_names;
static int64_t sent_at[MAX_INFLIGHT]; /* 0: free */
static uint16_t round_of[MAX_INFLIGHT];
static uint32_t *took; /* microseconds/10 */
static size_t n_took, lost, bad;
static int inflight = 64, type = 1;
static bool tcp;

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void load(const char *file)
{
	char line[300];
	FILE *f = fopen(file, "r");

	if (!f)
		die(file);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		names = realloc(names, (n_names + 1) * sizeof(*names));
		names[n_names++] = strdup(line);
	}
	fclose(f);
	if (!n_names)
		die("no names");
}

/* An id tells the place and how often it was used, so that a late answer is not taken for the next one. */
static size_t question(uint8_t *p, int slot)
{
	const char *s = names[(size_t)random() % n_names];
	uint16_t id = (uint16_t)(slot | (++round_of[slot] & 15) << 12);
	uint8_t *at = p + 12, *len = at++;

	memcpy(p, (uint8_t[]){ (uint8_t)(id >> 8), (uint8_t)id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1 }, 12);
	for (;; s++) {
		if (*s && *s != '.') {
			*at++ = (uint8_t)*s;
			continue;
		}
		*len = (uint8_t)(at - len - 1);
		if (!*s)
			break;
		len = at++;
	}
	*at++ = 0;
	memcpy(at, (uint8_t[]){ 0, (uint8_t)type, 0, 1, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0 }, 15);
	sent_at[slot] = now_ns();
	return (size_t)(at + 15 - p);
}

static int answer(const uint8_t *p, size_t n)
{
	int id = p[0] << 8 | p[1], slot = id & 4095;

	if (n < 12 || slot >= inflight || !sent_at[slot] || (round_of[slot] & 15) != id >> 12)
		return -1;
	bad += (p[3] & 15) != 0 || (p[6] | p[7]) == 0;
	took[n_took++] = (uint32_t)((now_ns() - sent_at[slot]) / 100);
	sent_at[slot] = 0;
	return slot;
}

static void ask_udp(int fd, const int *slots, int n)
{
	static uint8_t out[BATCH][320];
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];

	for (int at = 0; at < n; at += BATCH) {
		int k = n - at < BATCH ? n - at : BATCH;

		memset(m, 0, sizeof(m));
		for (int i = 0; i < k; i++) {
			v[i] = (struct iovec){ out[i], question(out[i], slots[at + i]) };
			m[i].msg_hdr.msg_iov = &v[i];
			m[i].msg_hdr.msg_iovlen = 1;
		}
		if (sendmmsg(fd, m, (unsigned)k, 0) < 0)
			die("send");
	}
}

static void ask_tcp(int fd, const int *slots, int n)
{
	static uint8_t out[MAX_INFLIGHT * 320];
	size_t len = 0;

	for (int i = 0; i < n; i++) {
		size_t one = question(out + len + 2, slots[i]);

		out[len] = (uint8_t)(one >> 8);
		out[len + 1] = (uint8_t)one;
		len += one + 2;
	}
	for (size_t at = 0; at < len;) {
		ssize_t w = send(fd, out + at, len - at, 0);

		if (w < 0)
			die("send");
		at += (size_t)w;
	}
}

static int read_udp(int fd, int *slots)
{
	static uint8_t in[BATCH][1500];
	struct mmsghdr m[BATCH] = { 0 };
	struct iovec v[BATCH];
	int n, done = 0;

	for (int i = 0; i < BATCH; i++) {
		v[i] = (struct iovec){ in[i], sizeof(in[i]) };
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(fd, m, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		int slot = answer(in[i], m[i].msg_len);

		if (slot >= 0)
			slots[done++] = slot;
	}
	return done;
}

static int read_tcp(int fd, int *slots)
{
	static uint8_t in[1 << 18];
	static size_t len;
	ssize_t n = recv(fd, in + len, sizeof(in) - len, MSG_DONTWAIT);
	size_t at = 0;
	int done = 0;

	if (n == 0)
		die("the server has closed the connection");
	len += n > 0 ? (size_t)n : 0;
	while (len - at >= 2 && len - at >= 2u + (in[at] << 8 | in[at + 1])) {
		size_t one = (size_t)in[at] << 8 | in[at + 1];
		int slot = answer(in + at + 2, one);

		if (slot >= 0)
			slots[done++] = slot;
		at += one + 2;
	}
	memmove(in, in + at, len -= at);
	return done;
}

static int lost_ones(int *slots)
{
	int64_t now = now_ns();
	int n = 0;

	for (int i = 0; i < inflight; i++)
		if (sent_at[i] && now - sent_at[i] > LOST_NS) {
			lost++;
			slots[n++] = i;
		}
	return n;
}

static int by_size(const void *a, const void *b)
{
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : *(const uint32_t *)a > *(const uint32_t *)b;
}

static double percentile(double p)
{
	return n_took ? took[(size_t)((double)(n_took - 1) * p / 100)] / 10.0 : 0;
}

int main(int argc, char **argv)
{
	const char *server = "10.43.0.10", *file = NULL;
	static int slots[MAX_INFLIGHT];
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53) };
	double seconds = 3;
	int64_t start, end, looked;
	int fd, n, one = 1;

	for (int i = 1; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--tcp") == 0)
			tcp = true;
		else if (strcmp(argv[i], "--server") == 0)
			server = next, i++;
		else if (strcmp(argv[i], "--inflight") == 0)
			inflight = atoi(next), i++;
		else if (strcmp(argv[i], "--seconds") == 0)
			seconds = atof(next), i++;
		else if (strcmp(argv[i], "--type") == 0)
			type = atoi(next), i++;
		else
			file = argv[i];
	}
	if (!file || inflight < 1 || inflight > MAX_INFLIGHT || inet_pton(AF_INET, server, &to.sin_addr) != 1) {
		fprintf(stderr, "usage: dns [--server IP] [--tcp] [--inflight N] [--seconds N] [--type N] NAMES-FILE\n");
		return 2;
	}
	load(file);
	fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die(server);
	if (tcp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	took = malloc(sizeof(*took) * (size_t)(seconds * 2000000 + MAX_INFLIGHT));
	for (int i = 0; i < inflight; i++)
		slots[i] = i;
	start = looked = now_ns();
	end = start + (int64_t)(seconds * 1e9);
	n = inflight;
	do {
		if (tcp)
			ask_tcp(fd, slots, n);
		else
			ask_udp(fd, slots, n);
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 100);
		n = tcp ? read_tcp(fd, slots) : read_udp(fd, slots);
		if (!n && now_ns() - looked > LOST_NS / 4) {
			n = lost_ones(slots);
			looked = now_ns();
		}
	} while (now_ns() < end && n_took < (size_t)(seconds * 2000000));
	qsort(took, n_took, sizeof(*took), by_size);
	printf("%.0f questions/s, p50 %.1f us, p99 %.1f us, longest %.1f us, lost %zu, no answer %zu\n",
	       (double)n_took / ((double)(now_ns() - start) / 1e9), percentile(50), percentile(99), percentile(100), lost, bad);
	return 0;
}
