/*
 * From a request to WebSocket (RFC 6455, section 4.2) or SPDY, with the answers
 * and texts of the kubelet's handshakes (httpstream.Handshake, x/net/websocket).
 */
#include "http/upgrade.h"

#define UPGRADE_PROTOCOLS_MAX 16

void upgrade_refuse(struct http_req *r, int status, const char *text)
{
	struct http_header version[] = { { STR_LIT("Sec-WebSocket-Version"), STR_LIT("13") } };
	struct http_resp resp = { .status = status, .content_type = "text/plain; charset=utf-8" };
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (status == 426) {
		resp.headers = version;
		resp.n_headers = 1;
	}
	buf_adds(&b, text);
	buf_addch(&b, '\n');
	http_reply(r, &resp, buf_str(&b));
}

bool upgrade_is_websocket(const struct http_head *h)
{
	return h->upgrade && str_ieq(http_head_get(h, "Upgrade"), STR_LIT("websocket"));
}

/* Index of the first of the client's protocols that is ours; -1: none in common, -2: none named. */
static int upgrade_negotiate(const struct http_head *h, const char *header, const char *const *ours)
{
	bool named = false;

	for (size_t i = 0; i < h->n_headers; i++) {
		struct str rest = h->headers[i].value;

		if (!str_ieq(h->headers[i].name, str_of(header)))
			continue;
		while (rest.p) {
			struct str p = str_trim(str_cut(&rest, ','));

			named = named || p.n;
			for (int k = 0; p.n && ours[k]; k++) {
				if (str_eqc(p, ours[k]))
					return k;
			}
		}
	}
	return named ? -1 : -2;
}

struct stream *upgrade_websocket(struct http_req *r, const char *const *protocols, bool none_ok, int *ret)
{
	const struct http_head *h = http_req_head(r);
	struct str key = http_head_get(h, "Sec-WebSocket-Key");
	char accept[WS_ACCEPT_LEN];
	int p;
	struct http_header hd[3] = { { STR_LIT("Upgrade"), STR_LIT("websocket") } };
	struct http_resp resp = { .status = 101, .headers = hd, .n_headers = 2 };

	if (!str_eqc(http_head_get(h, "Sec-WebSocket-Version"), "13")) {
		upgrade_refuse(r, 426, "Bad Request: missing or bad WebSocket Version");
		return NULL;
	}
	if (!str_eqc(h->method, "GET") || key.n != 24) {
		upgrade_refuse(r, 400, "Bad Request: challenge not found");
		return NULL;
	}
	p = upgrade_negotiate(h, "Sec-WebSocket-Protocol", protocols);
	if (p == -1 || (p == -2 && !none_ok)) {
		upgrade_refuse(r, 403, "unable to upgrade: requested protocol(s) are not supported");
		return NULL;
	}
	ws_accept_key(key, accept);
	hd[1] = (struct http_header){ STR_LIT("Sec-WebSocket-Accept"), str_of(accept) };
	if (p >= 0)
		hd[resp.n_headers++] = (struct http_header){ STR_LIT("Sec-WebSocket-Protocol"), str_of(protocols[p]) };
	*ret = p >= 0 ? p : -1;
	return http_upgrade(r, &resp);
}

/* 403, with the protocols that we do have. */
static void upgrade_no_protocol(struct http_req *r, const char *const *protocols)
{
	struct http_header hd[UPGRADE_PROTOCOLS_MAX];
	struct http_resp resp = { .status = 403, .content_type = "text/plain; charset=utf-8", .headers = hd };
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "unable to upgrade: unable to negotiate protocol: server accepts [");
	for (size_t i = 0; protocols[i] && i < UPGRADE_PROTOCOLS_MAX; i++) {
		hd[resp.n_headers++] = (struct http_header){ STR_LIT("X-Accepted-Stream-Protocol-Versions"), str_of(protocols[i]) };
		buf_addf(&b, i ? " %s" : "%s", protocols[i]);
	}
	buf_adds(&b, "]\n");
	http_reply(r, &resp, buf_str(&b));
}

struct stream *upgrade_spdy(struct http_req *r, const char *const *protocols, int *ret)
{
	const struct http_head *h = http_req_head(r);
	struct http_header hd[2] = { { STR_LIT("Upgrade"), STR_LIT("SPDY/3.1") } };
	struct http_resp resp = { .status = 101, .headers = hd, .n_headers = 2 };
	int p = upgrade_negotiate(h, "X-Stream-Protocol-Version", protocols);

	if (!h->upgrade || !http_head_has_token(h, "Upgrade", "SPDY/3.1")) {
		upgrade_refuse(r, 400, "unable to upgrade: missing upgrade headers in request");
		return NULL;
	}
	if (p < 0) {
		if (p == -2)
			upgrade_refuse(r, 400, "unable to upgrade: X-Stream-Protocol-Version is required");
		else
			upgrade_no_protocol(r, protocols);
		return NULL;
	}
	hd[1] = (struct http_header){ STR_LIT("X-Stream-Protocol-Version"), str_of(protocols[p]) };
	*ret = p;
	return http_upgrade(r, &resp);
}

void ws_stream_write(struct stream *s, enum ws_opcode op, struct str a, struct str b)
{
	uint8_t head[WS_HEAD_MAX];

	stream_write(s, head, ws_put_head(head, op, true, a.n + b.n, NULL));
	stream_write(s, a.p, a.n);
	stream_write(s, b.p, b.n);
}

void ws_stream_close(struct stream *s, int code)
{
	char text[2] = { (char)(code >> 8), (char)code };

	ws_stream_write(s, WS_CLOSE, str_n(text, sizeof(text)), STR_NONE);
	stream_close(s, true);
}
