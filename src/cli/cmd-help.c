/*
 * kinglet help [SUBCOMMAND], kinglet version, and the internal entry points.
 */
#include <stdio.h>

#include "base/str.h"
#include "cli/cli.h"
#include "image/image.h"
#include "node/volume-child.h"

static int help_run(void *opts, int argc, char **argv, struct err *e)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (argc > 1) {
		const struct cmd *c = cmd_find(argv[1]);

		if (!c || (c->flags & CMD_INTERNAL))
			return err_set(e, ERR_NOT_FOUND, "'%s' is no subcommand; `kinglet help` lists them", argv[1]);
		cmd_print_help(c, &out);
		fputs(out.s, stdout);
		return 0;
	}
	buf_adds(&out, "kinglet: Kubernetes in one small program.\n\nUsage: kinglet SUBCOMMAND [OPTION...]\n\n");
	for (size_t i = 0; cmd_table[i]; i++)
		if (!(cmd_table[i]->flags & CMD_INTERNAL))
			buf_addf(&out, "  %-10s %s\n", cmd_table[i]->name, cmd_table[i]->summary);
	buf_adds(&out, "\nA first cluster:\n\n  sudo kinglet server\n"
		       "  export KUBECONFIG=" KINGLET_KUBECONFIG "\n  kubectl get nodes\n\n"
		       "`kinglet help SUBCOMMAND` tells more; the manual is kinglet(8).\n");
	fputs(out.s, stdout);
	return 0;
}

const struct cmd cmd_help = {
	.name = "help",
	.args = "[SUBCOMMAND]",
	.summary = "what the subcommands do",
	.text = "Lists the subcommands, or tells about one.",
	.max_args = 1,
	.run = help_run,
};

static int version_run(void *opts, int argc, char **argv, struct err *e)
{
	printf("kinglet %s (Kubernetes API %s)\n", KINGLET_VERSION, KINGLET_KUBERNETES);
	return 0;
}

const struct cmd cmd_version = {
	.name = "version",
	.args = "",
	.summary = "the version of this program and of the API that it serves",
	.text = "Prints the version of this program and of the Kubernetes API that it serves.",
	.run = version_run,
};

/* The options of a subcommand as its man page has them: for scripts/check-docs. */
static int internal_mdoc(const char *name, struct err *e)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	const struct cmd *c = cmd_find(name);

	if (!c || !c->opts)
		return err_set(e, ERR_NOT_FOUND, "'%s' is no subcommand with options", name);
	opt_print_mdoc(c->opts, &out);
	fputs(out.s, stdout);
	return 0;
}

/* Child processes that this same binary runs as, and what the build asks for; not for people. */
static int internal_run(void *opts, int argc, char **argv, struct err *e)
{
	if (argc > 1 && streq(argv[1], "unpack"))
		return image_unpack_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "volume"))
		exit(volume_child_main(argc - 1, argv + 1));
	if (argc == 3 && streq(argv[1], "mdoc"))
		return internal_mdoc(argv[2], e);
	return err_set(e, ERR_NOT_FOUND, "'internal' is for kinglet's own child processes");
}

const struct cmd cmd_internal = {
	.name = "internal",
	.args = "",
	.summary = "",
	.text = "",
	.flags = CMD_INTERNAL,
	.max_args = -1,
	.run = internal_run,
};
