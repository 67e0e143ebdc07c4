/*
 * Which devices an unprivileged container may open: a BPF program on its cgroup,
 * with runc's list, and the block devices that its volumes are. Making device nodes
 * is allowed (CAP_MKNOD is in the default set), opening one that is not listed is not.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/vec.h"
#include "run/internal.h"

#define DEVICES_ANY (-1)

struct device_rule {
	int type, major, minor;
	bool read_only;
};
static const struct device_rule device_rules[] = {
#define CHAR(major, minor) { BPF_DEVCG_DEV_CHAR, major, minor, false }
	CHAR(1, 3), CHAR(1, 5), CHAR(1, 7), CHAR(1, 8),
	CHAR(1, 9), /* null zero full random urandom */
	CHAR(5, 0), CHAR(5, 1), CHAR(5, 2), CHAR(136, DEVICES_ANY), /* tty console ptmx pts */
#undef CHAR
};

struct device_program {
	struct bpf_insn *v;
	size_t n, cap;
};

static void program_add(struct device_program *p, int code, int dst, int src, int off, int imm)
{
	VEC_PUSH(p, ((struct bpf_insn){ .code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm }));
}

static void program_return(struct device_program *p, int value)
{
	program_add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value);
	program_add(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* r2 = type, r3 = access, r4 = major, r5 = minor. */
static void program_begin(struct device_program *p)
{
	program_add(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	program_add(p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	program_add(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	program_add(p, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	program_add(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	program_add(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
	program_add(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_3, 0, 2, BPF_DEVCG_ACC_MKNOD);
	program_return(p, 1);
}

/* What does not fit jumps behind the rule, to the next. */
static void program_rule(struct device_program *p, const struct device_rule *r)
{
	size_t from = p->n, end;

	program_add(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 0, r->type);
	program_add(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0, 0, r->major);
	if (r->minor != DEVICES_ANY)
		program_add(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_5, 0, 0, r->minor);
	if (r->read_only)
		program_add(p, BPF_JMP | BPF_JSET | BPF_K, BPF_REG_3, 0, 0, BPF_DEVCG_ACC_WRITE);
	end = p->n;
	program_return(p, 1);
	for (size_t i = from; i < end; i++)
		p->v[i].off = (short)(p->n - i - 1);
}

int devices_load(const struct run_mount *mounts, size_t n)
{
	struct device_program p = { NULL, 0, 0 };
	union bpf_attr attr;
	int fd;

	program_begin(&p);
	for (size_t i = 0; i < ARRAY_SIZE(device_rules); i++)
		program_rule(&p, &device_rules[i]);
	for (size_t i = 0; i < n; i++) {
		struct device_rule r = { BPF_DEVCG_DEV_BLOCK, (int)major(mounts[i].device), (int)minor(mounts[i].device),
					 mounts[i].read_only };

		if (mounts[i].device)
			program_rule(&p, &r);
	}
	program_return(&p, 0);
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insn_cnt = (uint32_t)p.n;
	attr.insns = (uintptr_t)p.v;
	attr.license = (uintptr_t) "GPL";
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	fd = fd < 0 ? -errno : fd; /* the kernel makes it close-on-exec */
	VEC_RELEASE(&p);
	return fd;
}

int devices_attach(int program, int dirfd)
{
	union bpf_attr attr;

	if (program < 0)
		return -EOPNOTSUPP;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = dirfd;
	attr.attach_bpf_fd = program;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	return syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}
