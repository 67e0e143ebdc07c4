/*
 * The command line: one file for each subcommand, one table (table.c).
 *
 * To add a subcommand: write cli/cmd-NAME.c with a `const struct cmd cmd_NAME`,
 * name it here and in the table, and write man/kinglet-NAME.8. Help, completion
 * and the check that man page and --help agree come from the table.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/err.h"
#include "base/opt.h"

#define KINGLET_VERSION "0.1.0"
#define KINGLET_KUBERNETES "v1.36.2+kinglet1" /* the API level that the server presents */
#define KINGLET_DATA_DIR "/var/lib/kinglet"
#define KINGLET_CONFIG "/etc/kinglet/config.yaml"
#define KINGLET_REGISTRIES "/etc/kinglet/registries.yaml"
#define KINGLET_KUBECONFIG "/etc/kinglet/kinglet.yaml"
#define KINGLET_BRIDGE "kinglet0"
#define KINGLET_CGROUP "kinglet"

enum { /* bits of cmd.flags */
	CMD_ROOT = 1, /* must be root */
	CMD_INTERNAL = 2 /* not shown */
};

struct cmd {
	const char *name;
	const char *args; /* "FILE...", as the usage line has it; "" for none */
	const char *summary; /* one line for `kinglet help` */
	const char *text; /* the paragraph of `kinglet help NAME` */
	const struct opt *opts; /* NULL: none */
	size_t opts_size; /* of the structure that opts fills */
	unsigned flags;
	int min_args, max_args; /* max -1: any number */
	const char *config_file; /* default configuration file that opts may come from, or NULL */
	/* argv[0] is the subcommand, argv[1..argc-1] what is not an option. Exit code, or < 0 with *e. */
	int (*run)(void *opts, int argc, char **argv, struct err *e);
};

extern const struct cmd *const cmd_table[]; /* NULL ends */
const struct cmd *cmd_find(const char *name);
int cmd_main(int argc, char **argv);
void cmd_print_help(const struct cmd *c, struct buf *out);

extern const struct cmd cmd_server, cmd_image, cmd_killall, cmd_check, cmd_simulate, cmd_version, cmd_help, cmd_internal;

#endif
