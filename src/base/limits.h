/*
 * Every limit on what comes from outside: one name, one number, one place.
 * Passing one is an error value with a clear text, never death.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define LIMIT_BODY_BYTES (3u << 20) /* a request's body, as kube-apiserver */
#define LIMIT_LIST_PAGE_BYTES (64u << 20) /* of a list, in an answer that a server gives us */
#define LIMIT_WATCH_LINE_BYTES (8u << 20) /* one event of a watch that a server gives us */
#define LIMIT_OBJECT_BYTES (1536u << 10) /* a stored object, as etcd's request limit */
#define LIMIT_JSON_DEPTH 100 /* nested arrays and objects */
#define LIMIT_DOC_NODES 800000 /* values in one document: as many as LIMIT_OBJECT_BYTES can hold */
#define LIMIT_YAML_EXPANDED (8u << 20) /* bytes after aliases are expanded */
#define LIMIT_YAML_DOCS 10000 /* documents in one stream */
#define LIMIT_YAML_DIRECTIVES 100 /* lines that begin with % */
#define LIMIT_HEADER_BYTES (64u << 10) /* request line and headers */
#define LIMIT_HEADER_COUNT 128
#define LIMIT_URL_BYTES (32u << 10)
#define LIMIT_HEADER_MS 30000 /* first byte to the end of the headers */
#define LIMIT_BODY_MS 60000 /* end of the headers to the end of the body */
#define LIMIT_IDLE_MS 180000 /* keep-alive with nothing asked */
#define LIMIT_WRITE_STALL_MS 60000 /* a response that nobody reads */
#define LIMIT_CONNECTIONS 60000
#define LIMIT_WATCH_BACKLOG_BYTES (8u << 20) /* queued for one slow watcher before it is cut off */
#define LIMIT_SELECTOR_BYTES (64u << 10)
#define LIMIT_PATCH_OPS 10000
#define LIMIT_FIELD_MANAGER_BYTES 128
#define LIMIT_MANAGED_ENTRIES 2000 /* in managedFields; searches among them are quadratic */
#define LIMIT_ANNOTATIONS_BYTES (256u << 10)
#define LIMIT_STORE_HISTORY 4096 /* events kept for watches that start in the past */
#define LIMIT_FRAME_BYTES (1u << 20) /* one WebSocket or SPDY data frame */
#define LIMIT_IMAGE_LAYERS 128
#define LIMIT_IMAGE_MANIFEST_BYTES (4u << 20)
#define LIMIT_IMAGE_FILES 4000000 /* members of all layers of an archive */
#define LIMIT_IMAGE_UNPACKED_BYTES (64ull << 30)
#define LIMIT_LOG_FILE_BYTES (10u << 20) /* containerLogMaxSize */
#define LIMIT_LOG_FILES 5 /* containerLogMaxFiles */
#define LIMIT_LIST_ITEMS 1000 /* in one list of a pod, service or metadata; checks of a list are quadratic */
#define LIMIT_QUOTA_NAMES 1000 /* resources that one ResourceQuota limits */
#define LIMIT_RANGE_NAMES 128 /* resources in all lines of one LimitRange */
#define LIMIT_STATIC_PODS 500 /* manifests in the directory of static pods */
#define LIMIT_HOST_PORTS 2000 /* of one pod */
#define LIMIT_POLICY_RULES 20000 /* of one NetworkPolicy, each way: peers, times two where ports have names, too */
#define LIMIT_MERGE_ITEMS 2000 /* in a list that a strategic merge patch merges */
#define LIMIT_RULE_PERMISSIONS 20000 /* that the rules of a role are worth, when somebody must hold all of them */
#define LIMIT_RULE_COMPARISONS 50000000 /* of those with the strings of what somebody holds */
#define LIMIT_RULES_REVIEW_BYTES (1u << 20) /* of rules that one SelfSubjectRulesReview tells */
#define LIMIT_RULE_MISSING 500 /* of those, told when they are not held */
#define LIMIT_AUDIT_EVENT_BYTES (4u << 20) /* more, and the event goes without the objects */
#define LIMIT_AUDIT_QUEUE_BYTES (8u << 20) /* of events that wait for the disk */
#define LIMIT_AUDIT_ID_BYTES 64
#define LIMIT_ZONE_BYTES (256u << 10) /* a file of the time zone database */
#define LIMIT_SCHEDULE_BYTES 1024u /* of a CronJob; what is said of it quotes it */
#define LIMIT_DNS_CACHE_BYTES (4u << 20) /* answers of other name servers */
#define LIMIT_DNS_CONNECTIONS 1000 /* of DNS clients; the one that has been silent longest makes room */
#define LIMIT_DNS_PIPELINE 64 /* questions of one such connection that wait for others */
#define LIMIT_DNS_UNSENT_BYTES (256u << 10) /* answers that such a client does not read */
#define LIMIT_DNS_FLIGHTS 1000 /* questions to other name servers at one time */
#define LIMIT_DNS_WAITERS 4000 /* clients' questions that wait for them */
#define LIMIT_DNS_CLIENT_WAITERS 400 /* of one address */
#define LIMIT_DNS_HOSTS 20000 /* addresses in the list of hosts */
#define LIMIT_DNS_STUBS 100 /* domains that go to name servers of their own */
#define LIMIT_RESOLV_CONF_BYTES (64u << 10)
#define LIMIT_LOG_LINE_BYTES (16u << 10) /* longer ones are split with the CRI tag P */

#endif
