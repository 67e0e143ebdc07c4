/*
 * Seccomp profiles of type Localhost: JSON in the form of the OCI runtime
 * specification (defaultAction, architectures, syscalls with names, action,
 * args), with Docker's includes and excludes left out, as containerd does for
 * files: they are for Docker's own default only.
 */
#include <errno.h>
#include <seccomp.h>

#include "base/path.h"
#include "doc/doc.h"
#include "run/seccomp.h"

#define SECCOMP_FILE_MAX (1 << 20)
#define SECCOMP_ARGS_MAX 6

static const struct action_name {
	const char *name;
	uint32_t action;
} action_names[] = {
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(EPERM) },
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(EPERM) },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
};

static const struct op_name {
	const char *name;
	enum scmp_compare op;
} op_names[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static int profile_action(const struct node *name, const struct node *errno_ret, uint32_t *ret, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(action_names); i++) {
		if (!node_streq(name, action_names[i].name))
			continue;
		*ret = action_names[i].action;
		if (streq(action_names[i].name, "SCMP_ACT_ERRNO"))
			*ret = SCMP_ACT_ERRNO(node_int(errno_ret, EPERM) & 0xffff);
		return 0;
	}
	return err_set(e, ERR_INVALID, "unknown action \"%s\"", node_cstr_or(name, ""));
}

static int profile_args(const struct node *args, struct scmp_arg_cmp *out, unsigned *ret_n, struct err *e)
{
	unsigned n = 0;

	NODE_FOREACH(a, args) {
		int64_t index = node_int(node_getc(a, "index"), 0);
		uint64_t value = node_int(node_getc(a, "value"), 0),
			 two = node_int(node_getc(a, "valueTwo"), 0);
		bool known = false;

		if (n == SECCOMP_ARGS_MAX || index < 0 || index >= SECCOMP_ARGS_MAX)
			return err_set(e, ERR_INVALID, "a system call has no argument %lld",
				       (long long)index);
		for (size_t i = 0; i < ARRAY_SIZE(op_names); i++) {
			if (!node_streq(node_getc(a, "op"), op_names[i].name))
				continue;
			out[n++] = (struct scmp_arg_cmp){ index, op_names[i].op, value, two };
			known = true;
		}
		if (!known)
			return err_set(e, ERR_INVALID, "unknown comparison \"%s\"",
				       node_cstr_or(node_getc(a, "op"), ""));
	}
	*ret_n = n;
	return 0;
}

static int profile_rule(scmp_filter_ctx f, uint32_t dflt, const struct node *rule, struct err *e)
{
	struct scmp_arg_cmp args[SECCOMP_ARGS_MAX];
	unsigned n_args = 0;
	uint32_t action;
	int r = profile_action(node_getc(rule, "action"), node_getc(rule, "errnoRet"), &action, e);

	if (r == 0)
		r = profile_args(node_getc(rule, "args"), args, &n_args, e);
	if (r < 0 || action == dflt)
		return r;
	NODE_FOREACH(name, node_getc(rule, "names")) {
		int nr = seccomp_syscall_resolve_name(node_cstr_or(name, ""));

		if (nr == __NR_SCMP_ERROR)
			continue;
		r = seccomp_rule_add_array(f, action, nr, n_args, args);
		if (r < 0 && r != -EEXIST)
			return err_errno(e, -r, "rule for \"%s\"", node_cstr_or(name, ""));
	}
	return 0;
}

static int profile_compile(const struct node *root, int *ret_fd, struct err *e)
{
	uint32_t dflt;
	int r = profile_action(node_getc(root, "defaultAction"), node_getc(root, "defaultErrnoRet"), &dflt,
			       e);
	scmp_filter_ctx f = r < 0 ? NULL : seccomp_begin(dflt, e);

	if (!f)
		return -e->code;
	NODE_FOREACH(rule, node_getc(root, "syscalls")) {
		r = profile_rule(f, dflt, rule, e);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = seccomp_finish(f, false, ret_fd, e);
	seccomp_release(f);
	return r;
}

int seccomp_program_from_file(const char *path, int *ret_fd, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	int r = path_read(path ? path : "", SECCOMP_FILE_MAX, &b, e);

	if (r == 0)
		r = doc_parse_json(&d, buf_str(&b), NULL, e);
	if (r == 0)
		r = profile_compile(doc_root(d), ret_fd, e);
	return r < 0 ? err_wrap(e, "cannot load seccomp profile \"%s\"", path ? path : "") : 0;
}
