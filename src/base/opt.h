/*
 * Options: one table describes a subcommand's flags; the same rows parse argv,
 * the environment (KINGLET_*) and the YAML configuration file, print --help and
 * the man page's OPTIONS, and complete in the shell.
 */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include "base/buf.h"
#include "base/err.h"

enum opt_type {
	OPT_BOOL, /* bool; --x, --x=false, --no-x */
	OPT_INT, /* int64_t, between min and max */
	OPT_STRING, /* char * (owned) */
	OPT_LIST, /* struct opt_list; repeated, or comma-separated */
	OPT_HEADING, /* help only: a group's title in `help` */
	OPT_END
};

struct opt_list {
	char **v; /* owned */
	size_t n;
};

struct opt {
	enum opt_type type;
	const char *name; /* "data-dir" */
	char letter; /* 'd' or 0 */
	size_t offset; /* of the member in the options structure */
	const char *arg; /* "DIR" in help; NULL for bools */
	const char *env; /* "KINGLET_DATA_DIR" or NULL */
	const char *dflt; /* as text; NULL: zero/none */
	int64_t min, max; /* OPT_INT */
	const char *help; /* one sentence */
	bool hidden;
};

/* Sets defaults, then file (may be NULL), then environment, then argv. Positional
 * arguments stay in argv[1..*argc-1]. "--" ends options. An unknown flag is an
 * error that names the nearest one. */
int opt_parse(const struct opt *table, void *into, int *argc, char **argv,
	      int (*file)(void *ctx, const char *name, struct opt_list *values), void *ctx,
	      struct err *e) MUST_CHECK;
/* One value by name, as the configuration file gives it. */
int opt_set(const struct opt *table, void *into, const char *name, const char *value,
	    struct err *e) MUST_CHECK;
void opt_print_help(const struct opt *table, struct buf *out); /* aligned, for --help */
void opt_print_mdoc(const struct opt *table, struct buf *out); /* .It Fl lines for man/ */
void opt_release(const struct opt *table, void *into);

#endif
