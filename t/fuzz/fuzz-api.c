/*
 * The API server: requests one after another on one connection. The input holds
 * them as "METHOD TARGET\nCONTENT-TYPE\nACCEPT\nBODY", separated by lines of "--".
 * Each is answered with a status from 200 to 599, every answer that calls itself
 * JSON is JSON, and nothing is left when server, API and store are taken down.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "api/api.h"
#include "base/log.h"
#include "base/path.h"
#include "base/vec.h"
#include "fuzz.h"
#include "schema/schema.h"

static struct loop *loop;
static VEC(const struct resource *) resources = VEC_INIT;

struct world {
	struct store *store;
	struct api *api;
	struct http_server *server;
	struct http_client *client;
	bool ready, done;
};

static bool fuzz_volatile(const struct resource *r)
{
	return ((const struct schema_res *)r)->volatile_tier;
}

static void fuzz_ready(void *arg)
{
	((struct world *)arg)->ready = true;
}

static int fuzz_dial(void *arg)
{
	struct world *w = arg;
	int fd[2];

	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0);
	http_server_adopt(w->server, fd[0], "fuzz");
	return fd[1];
}

static void fuzz_up(struct world *w)
{
	static const char *const issuers[] = { "i", NULL };
	struct store_config sc = { .loop = loop, .resources = resources.v, .n_resources = resources.n,
				   .is_volatile = fuzz_volatile };
	struct api_config ac = { .loop = loop, .admin_token = "t", .version = "v1.36.2", .server_address = "192.0.2.1:6443",
				 .service_cidr = "10.43.0.0/16", .sa_issuers = issuers, .anonymous = true };
	struct http_server_config hc = { .loop = loop, .on_request = api_on_request };
	struct http_client_config cc = { .loop = loop, .host = "fuzz", .dial = fuzz_dial, .arg = w };
	struct err e = ERR_INIT;

	BUG_ON(store_open(&w->store, &sc, &e) < 0);
	ac.store = w->store;
	BUG_ON(api_new(&w->api, &ac, &e) < 0);
	hc.arg = w->api;
	w->server = http_server_new(&hc);
	w->client = http_client_new(&cc);
	api_start(w->api, fuzz_ready, w);
	while (!w->ready)
		loop_turn(loop, 100);
}

static void fuzz_down(struct world *w)
{
	http_client_free(w->client);
	http_server_free(w->server);
	api_free(w->api);
	store_close(w->store);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, 0);
}

static void fuzz_done(struct http_exchange *x, const struct err *e)
{
	((struct world *)x->arg)->done = true;
}

static bool is_json;

static void fuzz_head(struct http_exchange *x, const struct http_head *h)
{
	is_json = str_eqc(http_head_get(h, "Content-Type"), "application/json");
}

static bool fuzz_is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '!' || s.p[i] > '~')
			return false;
	return s.n > 0;
}

static void fuzz_check(const struct http_exchange *x, bool watch)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	struct doc_json_opts opts = { .max_bytes = SIZE_MAX };

	BUG_ON(x->status < 200 || x->status > 599);
	if (is_json && !watch && x->resp_body.len)
		BUG_ON(doc_parse_json(&d, buf_str(&x->resp_body), &opts, &e) < 0);
}

/* A watch, or what else does not end, is left after a few turns. */
static void fuzz_request(struct world *w, struct str in)
{
	struct str line = str_cut(&in, '\n'), type = str_cut(&in, '\n'), accept = str_cut(&in, '\n'), target = line;
	_cleanup_free_ char *m = str_dup(str_cut(&target, ' ')), *t = str_dup(target);
	struct http_header h[] = { { STR_LIT("Authorization"), STR_LIT("Bearer t") },
				   { STR_LIT("Content-Type"), str_trim(type) },
				   { STR_LIT("Accept"), str_trim(accept) } };
	struct http_exchange x = { .method = m, .target = t, .headers = h, .n_headers = 3, .body = in,
				   .on_head = fuzz_head, .on_done = fuzz_done, .arg = w };
	bool watch = strstr(t, "watch") != NULL;

	if (!fuzz_is_token(str_of(m)) || !fuzz_is_token(str_of(t)) || t[0] != '/' || strpbrk(m, "/:\"") ||
	    !str_is_utf8(type) || !str_is_utf8(accept))
		return;
	w->done = false;
	http_client_send(w->client, &x);
	for (int i = 0; !w->done && i < (watch ? 20 : 2000); i++)
		loop_turn(loop, watch ? 0 : 100);
	if (!w->done)
		http_client_cancel(&x);
	else if (x.status)
		fuzz_check(&x, watch);
	BUG_ON(!w->done && !watch);
	buf_release(&x.resp_body);
}

static const char fuzz_account[] = "POST /api/v1/namespaces/default/serviceaccounts\napplication/json\n*/*\n"
				   "{\"metadata\":{\"name\":\"default\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char separator[] = "\n--\n";
	struct world w = { 0 };
	const char *p = (const char *)data, *end = p + size, *next;

	if (!loop) {
		log_threshold = LOG_OFF;
		loop = loop_new();
		for (size_t i = 0; i < schema_n_resources; i++) {
			const struct schema_res *s = &schema_resources[i];

			if (!s->is_virtual && s->served && schema_storage(s) == s)
				VEC_PUSH(&resources, &s->r);
		}
	}
	fuzz_up(&w);
	fuzz_request(&w, str_of(fuzz_account)); /* or every pod would wait for it */
	for (int i = 0; p < end && i < 16; i++) {
		next = memmem(p, (size_t)(end - p), separator, strlen(separator));
		fuzz_request(&w, str_n(p, (size_t)((next ? next : end) - p)));
		p = next ? next + strlen(separator) : end;
	}
	fuzz_down(&w);
	return 0;
}
