/*
 * Which devices an unprivileged container may open: a BPF program on its cgroup,
 * with runc's list. Making device nodes is allowed (CAP_MKNOD is in the default
 * set), opening one that is not listed is not.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include "run/internal.h"

#define DEVICES_ANY (-1)

static const struct device_rule {
	int major, minor;
} device_rules[] = {
	{ 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 },
	{ 1, 9 }, /* null zero full random urandom */
	{ 5, 0 }, { 5, 1 }, { 5, 2 }, { 136, DEVICES_ANY }, /* tty console ptmx pts */
};

static struct bpf_insn insn(int code, int dst, int src, int off, int imm)
{
	return (struct bpf_insn){ .code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm };
}

/* r2 = type, r3 = access, r4 = major, r5 = minor. */
static size_t devices_program(struct bpf_insn *p)
{
	size_t n = 0, rules = ARRAY_SIZE(device_rules), allow = 0;
	struct bpf_insn jumps[2 * ARRAY_SIZE(device_rules)];
	size_t nj = 0;

	for (size_t i = 0; i < rules; i++) {
		jumps[nj++] = insn(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0, -1, device_rules[i].major);
		if (device_rules[i].minor >= 0)
			jumps[nj++] = insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_5, 0, 0, device_rules[i].minor);
		else
			jumps[nj++] = insn(BPF_JMP | BPF_JA, 0, 0, 0, 0);
	}
	p[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1,
		      offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	p[n++] = insn(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	p[n++] = insn(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	p[n++] = insn(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	p[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1,
		      offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	p[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1,
		      offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
	allow = n + 2 + nj + 2; /* behind: two tests, the rules, the refusal */
	p[n] = insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_3, 0, (int)(allow - n - 1), BPF_DEVCG_ACC_MKNOD);
	n++;
	p[n] = insn(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, (int)(allow - 2 - n - 1), BPF_DEVCG_DEV_CHAR);
	n++;
	for (size_t i = 0; i < nj; i++, n++) {
		p[n] = jumps[i];
		p[n].off = jumps[i].off < 0 ? 1 : (short)(allow - n - 1); /* next rule, or allowed */
	}
	p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1);
	p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return n;
}

int devices_load(void)
{
	struct bpf_insn program[16 + 2 * ARRAY_SIZE(device_rules)];
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insn_cnt = devices_program(program);
	attr.insns = (uintptr_t)program;
	attr.license = (uintptr_t) "GPL";
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd; /* the kernel makes it close-on-exec */
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
