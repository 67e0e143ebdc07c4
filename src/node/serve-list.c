/*
 * What is on this node, as lists: /healthz, /pods (those bound to it),
 * /runningpods (those that the runtime has).
 */
#include "node/server.h"

void serve_healthz(struct server *srv UNUSED, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	server_reply(r, "text/plain; charset=utf-8", STR_LIT("ok"));
}

/* --- pods --- */

static void list_pods(struct server *srv, struct http_req *r, bool running)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct map_iter it = {0};
	bool first = true;

	buf_adds(&b, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
	while (map_next(server_agent(srv)->by_uid, &it)) {
		struct pod *p = it.value;

		if (running && !p->sandbox)
			continue;
		if (!first)
			buf_addch(&b, ',');
		first = false;
		obj_json_add(p->obj, &b);
	}
	buf_adds(&b, "]}");
	server_reply(r, "application/json", buf_str(&b));
}

void serve_pods(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	list_pods(srv, r, false);
}

void serve_running_pods(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	list_pods(srv, r, true);
}
