/*
 * What is on this node, as lists: /healthz, /pods (those bound to it),
 * /runningpods (those that the runtime has), /configz (a
 * KubeletConfiguration of what is in force here).
 */
#include "base/limits.h"
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

/* --- configuration --- */

static void config_strings(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, ",\"%s\":", name);
	buf_add_json_string(b, str_of(value));
}

void serve_configz(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	struct node_agent *n = server_agent(srv);
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addf(&b, "{\"kubeletconfig\":{\"kind\":\"KubeletConfiguration\",\"apiVersion\":\"kubelet.config.k8s.io/v1beta1\","
		     "\"enableServer\":%s,\"port\":%d,\"maxPods\":%d,\"containerLogMaxSize\":\"%lld\","
		     "\"containerLogMaxFiles\":%lld,\"streamingConnectionIdleTimeout\":\"%llds\","
		     "\"authentication\":{\"anonymous\":{\"enabled\":false},"
		     "\"webhook\":{\"enabled\":true,\"cacheTTL\":\"2m0s\"}},\"authorization\":{\"mode\":\"Webhook\","
		     "\"webhook\":{\"cacheAuthorizedTTL\":\"5m0s\",\"cacheUnauthorizedTTL\":\"30s\"}}",
		 server_port(srv) ? "true" : "false", server_port(srv), n->max_pods,
		 (long long)(n->log_max_bytes ? n->log_max_bytes : LIMIT_LOG_FILE_BYTES),
		 (long long)(n->log_max_files ? n->log_max_files : LIMIT_LOG_FILES), (long long)(n->stream_idle_ms / SEC_MS));
	config_strings(&b, "clusterDomain", n->domain);
	config_strings(&b, "resolvConf", n->resolv_conf);
	config_strings(&b, "podLogsDir", n->pod_logs_dir);
	config_strings(&b, "cgroupDriver", "cgroupfs");
	if (n->dns) {
		const char *sep = ",\"clusterDNS\":[";

		for (struct str dns = str_of(n->dns); dns.p; sep = ",") {
			buf_adds(&b, sep);
			buf_add_json_string(&b, str_trim(str_cut(&dns, ',')));
		}
		buf_addch(&b, ']');
	}
	buf_adds(&b, "}}");
	server_reply(r, "application/json", buf_str(&b));
}
