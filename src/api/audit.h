/*
 * The audit log in three files: which requests it tells of and how much
 * (audit-policy.c), what it says (audit.c), and the file (audit-log.c).
 * Private to them.
 */
#ifndef API_AUDIT_H
#define API_AUDIT_H

#include "api/internal.h"

enum audit_level { AUDIT_NONE, AUDIT_METADATA, AUDIT_REQUEST, AUDIT_REQUEST_RESPONSE, AUDIT_LEVELS };
enum audit_stage { AUDIT_RECEIVED, AUDIT_STARTED, AUDIT_COMPLETE, AUDIT_PANIC, AUDIT_STAGES };
extern const char *const audit_level_names[AUDIT_LEVELS], *const audit_stage_names[AUDIT_STAGES];

struct audit_choice { /* what the policy says of one request */
	enum audit_level level;
	unsigned omit_stages; /* bits 1 << AUDIT_x */
	bool omit_managed; /* managedFields */
};

struct audit_policy;
/* From a file, YAML or JSON, audit.k8s.io/v1 Policy. Members that it should not have are logged. */
int audit_policy_load(struct audit_policy **ret, const char *file, struct err *e) MUST_CHECK;
int audit_policy_parse(struct audit_policy **ret, struct str text, struct err *e) MUST_CHECK;
struct audit_policy *audit_policy_free(struct audit_policy *p);
/* u may be NULL: nobody known. */
struct audit_choice audit_policy_choose(const struct audit_policy *p, const struct user *u, const struct attrs *at);

struct audit_log;
struct audit_log *audit_log_new(struct loop *l, const struct audit_config *cfg);
/* Writes what is still queued. */
struct audit_log *audit_log_free(struct audit_log *l);
/* One line without its end. Never blocks; what does not fit into the queue any more is counted as lost. */
void audit_log_add(struct audit_log *l, struct str line);
uint64_t audit_log_lost(const struct audit_log *l);
/* Where the file that is full goes: /d/audit.log becomes /d/audit-2026-11-28T04-12-05.123.log. */
char *audit_log_backup_name(const char *path, int64_t unix_ms);

#endif
