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
	bool whole; /* OPT_LIST: commas belong to the values */
};

/* Sets defaults, then file (may be NULL), then environment, then argv. Positional
 * arguments stay in argv[1..*argc-1]. "--" ends options. An unknown flag is an
 * error that names the nearest one. What *into held before is not looked at; after
 * a failure too it is released by opt_release. file fills values (which opt_parse
 * releases) and returns 1, or 0 when the file has no such name. */
int opt_parse(const struct opt *table, void *into, int *argc, char **argv,
	      int (*file)(void *ctx, const char *name, struct opt_list *values), void *ctx,
	      struct err *e) MUST_CHECK;
/* One value by name, as the configuration file gives it. */
int opt_set(const struct opt *table, void *into, const char *name, const char *value,
	    struct err *e) MUST_CHECK;
/* What opt_parse would store for a string option, from argv, the environment or the
 * default, without parsing the rest: for --config, which must be known first. */
const char *opt_peek(const struct opt *table, int argc, char **argv, const char *name);
const struct opt *opt_find(const struct opt *table, struct str name); /* NULL when there is none */
/* The name that was probably meant, or NULL when none is near. */
const char *opt_nearest(const char *got, const char *const *names, size_t n);
int opt_distance(const char *a, const char *b); /* edits between the two */
void opt_print_help(const struct opt *table, struct buf *out); /* aligned, for --help */
/* .Bl, .It Fl and .El lines for man/; .Ss for headings */
void opt_print_mdoc(const struct opt *table, struct buf *out);
void opt_release(const struct opt *table, void *into);

#endif
