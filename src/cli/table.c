/*
 * The table of subcommands, and how one is chosen, configured and run.
 *
 * Exit codes: 0 done, 1 failed, 2 the command line was wrong.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/path.h"
#include "cli/cli.h"
#include "doc/doc.h"

const struct cmd *const cmd_table[] = {
	&cmd_server, &cmd_image, &cmd_killall, &cmd_check, &cmd_simulate, &cmd_version, &cmd_help, &cmd_internal, NULL,
};

const struct cmd *cmd_find(const char *name)
{
	for (size_t i = 0; cmd_table[i]; i++)
		if (streq(cmd_table[i]->name, name))
			return cmd_table[i];
	return NULL;
}

void cmd_print_help(const struct cmd *c, struct buf *out)
{
	buf_addf(out, "Usage: kinglet %s%s%s%s\n\n%s\n", c->name, c->opts ? " [OPTION...]" : "", *c->args ? " " : "",
		 c->args, c->text);
	if (c->opts) {
		buf_adds(out, "\nOptions:\n");
		opt_print_help(c->opts, out);
	}
}

/* --- the configuration file: a YAML mapping from option names to values --- */

struct cmd_config {
	const char *path;
	struct doc *doc;
};

static void cmd_config_value(struct opt_list *values, const struct node *n)
{
	struct buf b = BUF_INIT;

	if (node_is(n, DOC_STRING))
		buf_addstr(&b, node_str(n));
	else
		doc_print_json(&b, n, DOC_PRINT_COMPACT);
	values->v = xreallocarray(values->v, values->n + 1, sizeof(char *));
	values->v[values->n++] = buf_detach(&b, NULL);
}

static int cmd_config_values(void *ctx, const char *name, struct opt_list *values)
{
	struct cmd_config *cfg = ctx;
	const struct node *n = node_getc(doc_root(cfg->doc), name);

	if (!n)
		return 0;
	if (!node_is(n, DOC_ARRAY)) {
		cmd_config_value(values, n);
		return 1;
	}
	NODE_FOREACH(item, n)
		cmd_config_value(values, item);
	return 1;
}

static bool cmd_has_opt(const struct cmd *c, struct str name)
{
	for (const struct opt *o = c->opts; o->type != OPT_END; o++)
		if (o->type != OPT_HEADING && str_eqc(name, o->name))
			return true;
	return false;
}

static int cmd_config_load(const struct cmd *c, struct cmd_config *cfg, bool must_exist, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct doc **docs = NULL;
	size_t n = 0;

	if (!must_exist && !path_exists(cfg->path))
		return 0;
	if (path_read(cfg->path, 1 << 20, &text, e) < 0 || doc_parse_yaml(&docs, &n, buf_str(&text), NULL, e) < 0)
		return err_wrap(e, "read the configuration file '%s'", cfg->path);
	for (size_t i = 1; i < n; i++)
		doc_unref(docs[i]);
	cfg->doc = n ? docs[0] : NULL;
	free(docs);
	NODE_FOREACH(m, n ? doc_root(cfg->doc) : NULL)
		if (!cmd_has_opt(c, node_key(m)))
			return err_set(e, ERR_BAD_REQUEST,
				       "the configuration file '%s' sets '%s', which is no option of `kinglet %s`; "
				       "see `kinglet help %s`",
				       cfg->path, m->key, c->name, c->name);
	return 0;
}

/* --config on the command line comes before all other parsing. */
static const char *cmd_config_arg(int argc, char **argv)
{
	for (int i = 1; i < argc && !streq(argv[i], "--"); i++) {
		if (starts_with(argv[i], "--config="))
			return argv[i] + strlen("--config=");
		if (streq(argv[i], "--config") && i + 1 < argc)
			return argv[i + 1];
	}
	return getenv("KINGLET_CONFIG_FILE");
}

static int cmd_parse(const struct cmd *c, void *opts, int *argc, char **argv, struct err *e)
{
	struct cmd_config cfg = { 0 };
	int rc = 0;

	if (c->config_file) {
		const char *given = cmd_config_arg(*argc, argv);

		cfg.path = given ? given : c->config_file;
		rc = cmd_config_load(c, &cfg, given != NULL, e);
	}
	if (rc == 0)
		rc = opt_parse(c->opts, opts, argc, argv, cfg.doc ? cmd_config_values : NULL, &cfg, e);
	doc_unref(cfg.doc);
	return rc;
}

static int cmd_usage_error(const struct cmd *c, const struct err *e)
{
	fprintf(stderr, "kinglet %s: %s\nTry 'kinglet help %s'.\n", c->name, err_msg(e), c->name);
	return 2;
}

static int cmd_check_args(const struct cmd *c, int n, struct err *e)
{
	if (n < c->min_args)
		return err_set(e, ERR_BAD_REQUEST, "an argument is missing: %s", c->args);
	if (c->max_args >= 0 && n > c->max_args)
		return err_set(e, ERR_BAD_REQUEST, "too many arguments");
	return 0;
}

static int cmd_run(const struct cmd *c, int argc, char **argv)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ void *opts = xcalloc(1, c->opts_size ? c->opts_size : 1);
	int rc;

	if (!(c->flags & CMD_INTERNAL) && argc > 1 && (streq(argv[1], "--help") || streq(argv[1], "-h"))) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		cmd_print_help(c, &out);
		fputs(out.s, stdout);
		return 0;
	}
	if ((c->opts && cmd_parse(c, opts, &argc, argv, &e) < 0) || cmd_check_args(c, argc - 1, &e) < 0) {
		if (c->opts)
			opt_release(c->opts, opts);
		return cmd_usage_error(c, &e);
	}
	if ((c->flags & CMD_ROOT) && geteuid() != 0)
		rc = err_set(&e, ERR_FORBIDDEN, "must be run as root (try: sudo kinglet %s)", c->name);
	else
		rc = c->run(opts, argc, argv, &e);
	if (c->opts)
		opt_release(c->opts, opts);
	if (rc >= 0)
		return rc;
	fprintf(stderr, "kinglet %s: %s\n", c->name, err_msg(&e));
	return 1;
}

int cmd_main(int argc, char **argv)
{
	const struct cmd *c;
	const char *name = argc > 1 ? argv[1] : "help";

	if (streq(name, "--version") || streq(name, "-v"))
		name = "version";
	else if (streq(name, "--help") || streq(name, "-h"))
		name = "help";
	c = cmd_find(name);
	if (!c) {
		fprintf(stderr, "kinglet: '%s' is no subcommand.\nTry 'kinglet help'.\n", name);
		return 2;
	}
	return cmd_run(c, argc > 1 ? argc - 1 : 1, argc > 1 ? argv + 1 : argv);
}
