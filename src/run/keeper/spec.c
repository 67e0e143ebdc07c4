/*
 * The container's spec as its child reads it: fields of a memfd (frame.h).
 */
#include "run/keeper/child.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

static void spec_add_mount(struct child *ch, struct fields f)
{
	struct spec_mount m = {
		.name = fields_str(f, F_NAME),
		.source = fields_str(f, F_SOURCE),
		.subpath = fields_str(f, F_SUBPATH),
		.target = fields_str(f, F_TARGET),
		.flags = fields_int(f, F_MOUNT_FLAGS, 0),
		.size = fields_int(f, F_SIZE, 0),
		.tree = -1,
	};

	if (!m.target || m.target[0] != '/' || (!m.source && !(m.flags & MOUNT_TMPFS)))
		child_fail(ch, EINVAL, KIND_CREATE, "mount at \"%s\"", m.target ? m.target : "");
	VEC_PUSH(&ch->spec.mounts, m);
}

static void spec_add(struct child *ch, const struct field *f)
{
	struct spec *s = &ch->spec;

	switch (f->tag) {
	case F_LAYER:
		VEC_PUSH(&s->layers, field_str(f));
		break;
	case F_ARG:
		VEC_PUSH(&s->argv, field_str(f));
		break;
	case F_ENV:
		VEC_PUSH(&s->env, field_str(f));
		break;
	case F_GROUP:
		VEC_PUSH(&s->groups, (gid_t)field_int(f));
		break;
	case F_MOUNT:
		spec_add_mount(ch, field_nested(f));
		break;
	case F_CWD:
		s->cwd = field_str(f);
		break;
	case F_USER:
		s->user = field_str(f);
		break;
	case F_UID:
		s->uid = field_int(f);
		break;
	case F_GID:
		s->gid = field_int(f);
		break;
	case F_FLAGS:
		s->flags = field_int(f);
		break;
	case F_CAPS:
		s->caps = field_int(f);
		break;
	case F_APPARMOR:
		s->apparmor = field_str(f);
		break;
	case F_OOM_ADJ:
		s->oom_adj = field_int(f);
		break;
	default:
		break; /* of a younger daemon */
	}
}

/* As container runtimes do for a terminal that the container itself does not have. */
static void spec_set_term(struct child *ch)
{
	for (size_t i = 0; i < ch->spec.env.n; i++)
		if (starts_with(ch->spec.env.v[i], "TERM=")) {
			ch->spec.env.v[i] = xstrdup("TERM=xterm");
			return;
		}
	VEC_PUSH(&ch->spec.env, xstrdup("TERM=xterm"));
}

/* An exec session has its own arguments. */
static void spec_read_exec(struct child *ch)
{
	struct fields it = ch->start->exec;
	struct field f;

	ch->spec.argv.n = 0;
	while (fields_next(&it, &f))
		if (f.tag == F_ARG)
			VEC_PUSH(&ch->spec.argv, field_str(&f));
	ch->tty = fields_int(ch->start->exec, F_TTY, 0);
	if (ch->tty)
		spec_set_term(ch);
}

void spec_read(struct child *ch)
{
	const struct container *c = ch->start->c;
	struct frame_head *head;
	struct fields it;
	struct field f;
	struct stat st;
	void *p;

	if (fstat(c->spec_fd, &st) < 0 || st.st_size < (off_t)sizeof(*head))
		child_fail(ch, EPROTO, KIND_CREATE, "read the container's spec");
	p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, c->spec_fd, 0);
	if (p == MAP_FAILED)
		child_fail(ch, errno, KIND_CREATE, "map the container's spec");
	ch->spec.uid = ch->spec.gid = -1;
	ch->tty = c->tty;
	it = (struct fields){ (unsigned char *)p + sizeof(*head), st.st_size - sizeof(*head) };
	while (fields_next(&it, &f))
		spec_add(ch, &f);
	if (ch->start->is_exec)
		spec_read_exec(ch);
	if (!ch->spec.argv.n)
		child_fail(ch, -EINVAL, KIND_RUN, "no command specified");
	VEC_PUSH(&ch->spec.argv, NULL);
	VEC_PUSH(&ch->spec.env, NULL);
}
