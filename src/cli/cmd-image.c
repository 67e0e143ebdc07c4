/*
 * kinglet image: the images of this machine. It opens the image store itself,
 * whether or not a server runs; the server sees what changed at its next look-up.
 *
 * To add a verb: one function, one row in image_verbs, a line in the text and in
 * man/kinglet-image.8.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/path.h"
#include "base/vec.h"
#include "cli/cli.h"
#include "cli/image-view.h"

struct image_opts {
	char *data_dir, *registries, *creds, *output;
	bool quiet, json, keep_blobs;
};

static const struct opt image_opts[] = {
	{ OPT_STRING, "data-dir", 'd', offsetof(struct image_opts, data_dir), "DIR", "KINGLET_DATA_DIR", KINGLET_DATA_DIR,
	  .help = "the server's data directory: images are in agent/images below it" },
	{ OPT_STRING, "private-registry", 0, offsetof(struct image_opts, registries), "FILE", "KINGLET_PRIVATE_REGISTRY",
	  KINGLET_REGISTRIES, .help = "mirrors, rewrites, TLS settings and credentials of image registries" },
	{ OPT_STRING, "creds", 0, offsetof(struct image_opts, creds), "USER:PASSWORD", "KINGLET_IMAGE_CREDS",
	  .help = "credentials for the registry that pull and push speak to" },
	{ OPT_BOOL, "keep-blobs", 0, offsetof(struct image_opts, keep_blobs), NULL, NULL, "true",
	  .help = "keep the compressed layers of what is pulled or imported, for push and export" },
	{ OPT_STRING, "output", 'o', offsetof(struct image_opts, output), "FILE", .help = "where export writes to; by default to "
	  "the standard output" },
	{ OPT_BOOL, "json", 0, offsetof(struct image_opts, json), .help = "ls prints JSON, in the form of `crictl images`" },
	{ OPT_BOOL, "quiet", 'q', offsetof(struct image_opts, quiet),
	  .help = "ls prints only the images' ids; import, pull and push say nothing of their progress" },
	{ .type = OPT_END },
};

struct image_cmd {
	struct image_opts *opts;
	struct loop *loop;
	struct image_store *store;
	bool waiting, interrupted;
	bool failed; /* something was said on stderr */
	struct image_view view;
};

/* --- waiting for what runs on the loop --- */

static void image_on_signal(void *arg, int signo)
{
	struct image_cmd *c = arg;

	c->interrupted = true;
}

static void image_wait(struct image_cmd *c)
{
	while (c->waiting && !c->interrupted)
		loop_turn(c->loop, -1);
}

static void image_complain(struct image_cmd *c, const struct err *err)
{
	image_view_end(&c->view);
	if (!c->interrupted)
		fprintf(stderr, "kinglet image: %s\n", err_msg(err));
	c->failed = true;
	c->waiting = false;
}

static void image_on_progress(void *arg, const char *what)
{
	struct image_cmd *c = arg;

	if (!c->opts->quiet)
		fprintf(stderr, "%s\n", what);
}

/* --- import and pull --- */

static void image_on_imported(void *arg, char *const *names, const struct err *err)
{
	struct image_cmd *c = arg;

	if (err) {
		image_complain(c, err);
		return;
	}
	for (size_t i = 0; names[i]; i++)
		printf("%s\n", names[i]);
	c->waiting = false;
}

static int image_verb_import(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	for (int i = 0; i < argc && !c->interrupted; i++) {
		c->waiting = true;
		image_import(c->store, streq(argv[i], "-") ? "/dev/stdin" : argv[i],
			     IMAGE_IMPORT_PIN | (c->opts->keep_blobs ? IMAGE_IMPORT_KEEP_BLOBS : 0), image_on_progress, image_on_imported, c);
		image_wait(c);
		fflush(stdout);
	}
	return 0;
}

/* --creds; NULL when there are none. */
static int image_creds(struct image_cmd *c, char **user, const char **password, struct err *e)
{
	const char *both = c->opts->creds, *colon = both ? strchr(both, ':') : NULL;

	if (!both)
		return 0;
	if (!colon)
		return err_set(e, ERR_BAD_REQUEST, "--creds has to be USER:PASSWORD");
	*user = xmemdupz(both, (size_t)(colon - both));
	*password = colon + 1;
	return 0;
}

static void image_on_pull_progress(void *arg, const struct image_progress *p)
{
	struct image_cmd *c = arg;

	if (!c->opts->quiet)
		image_view_show(&c->view, p);
}

static void image_on_pulled(void *arg, struct image *i, const struct image_pulled *info, const struct err *err)
{
	struct image_cmd *c = arg;

	if (err) {
		image_complain(c, err);
		return;
	}
	image_view_end(&c->view);
	printf("%s\n", *i->repo_digest ? i->repo_digest : i->id);
	c->waiting = false;
}

static int image_verb_pull(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	struct image_pull_opts o = { .keep_blobs = c->opts->keep_blobs, .progress = image_on_pull_progress };
	_cleanup_free_ char *user = NULL;

	if (image_creds(c, &user, &o.password, e) < 0)
		return -e->code;
	o.user = user;
	for (int i = 0; i < argc && !c->interrupted; i++) {
		c->waiting = true;
		image_pull(c->store, argv[i], &o, image_on_pulled, c);
		image_wait(c);
		fflush(stdout);
	}
	return 0;
}

/* --- ls --- */

struct image_row {
	char *cells[4]; /* IMAGE TAG IMAGE-ID SIZE */
};
struct image_rows {
	VEC(struct image_row) rows;
	bool quiet;
};

static void image_add_row(struct image_rows *all, const struct image *i, const char *repo, const char *tag)
{
	struct image_row r = { { xstrdup(repo), xstrdup(tag), NULL, image_size_text(i->size) } };

	r.cells[2] = all->quiet ? xstrdup(i->id) : xasprintf("%.13s", i->id + strlen("sha256:"));
	VEC_PUSH(&all->rows, r);
}

static void image_add_rows(void *arg, struct image *i)
{
	struct image_rows *all = arg;

	if (!i->names[0] || all->quiet) {
		image_add_row(all, i, "<none>", "<none>");
		return;
	}
	for (char **n = i->names; *n; n++) {
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_free_ char *repo = NULL;
		struct image_ref r = { 0 };

		if (image_ref_parse(&r, *n, &e) == 0)
			repo = xasprintf("%s/%s", r.registry, r.repository);
		image_add_row(all, i, repo ? repo : *n, r.tag ? r.tag : "<none>");
		image_ref_release(&r);
	}
}

static int image_row_cmp(const void *a, const void *b)
{
	const struct image_row *x = a, *y = b;
	int r = strcmp(x->cells[0], y->cells[0]);

	return r ? r : strcmp(x->cells[1], y->cells[1]);
}

static void image_print_rows(struct image_rows *all)
{
	static const char *const titles[] = { "IMAGE", "TAG", "IMAGE ID", "SIZE" };
	size_t width[3] = { 0 };

	for (size_t k = 0; k < 3; k++) {
		width[k] = strlen(titles[k]);
		for (size_t i = 0; i < all->rows.n; i++)
			if (strlen(all->rows.v[i].cells[k]) > width[k])
				width[k] = strlen(all->rows.v[i].cells[k]);
	}
	for (size_t i = 0; i <= all->rows.n; i++) {
		const char *const *cells = i ? (const char *const *)all->rows.v[i - 1].cells : titles;

		for (size_t k = 0; k < 3; k++)
			printf("%-*s", (int)width[k] + 3, cells[k]);
		printf("%s\n", cells[3]);
	}
}

static int image_verb_ls(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	struct image_rows all = { .quiet = c->opts->quiet };
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (c->opts->json) {
		image_view_list(c->store, &text);
		fputs(text.s, stdout);
		return 0;
	}
	image_each(c->store, image_add_rows, &all);
	if (all.rows.n)
		qsort(all.rows.v, all.rows.n, sizeof(*all.rows.v), image_row_cmp);
	if (!all.quiet)
		image_print_rows(&all);
	for (size_t i = 0; i < all.rows.n; i++) {
		if (all.quiet)
			printf("%s\n", all.rows.v[i].cells[2]);
		for (size_t k = 0; k < 4; k++)
			free(all.rows.v[i].cells[k]);
	}
	VEC_RELEASE(&all.rows);
	return 0;
}

/* --- rm --- */

static int image_verb_rm(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	for (int i = 0; i < argc; i++) {
		_cleanup_buf_ struct buf report = BUF_INIT;
		_cleanup_err_ struct err one = ERR_INIT;

		if (image_remove(c->store, argv[i], &report, &one) < 0)
			image_complain(c, &one);
		fputs(report.s, stdout);
	}
	return 0;
}

/* --- tag, inspect, prune --- */

static int image_verb_tag(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	return image_tag(c->store, argv[0], argv[1], e);
}

static int image_verb_inspect(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int r = image_view_inspect(c->store, argv, argc, &text, e);

	fputs(text.s, stdout);
	return r;
}

static int image_verb_prune(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	_cleanup_buf_ struct buf report = BUF_INIT;
	int r = image_prune(c->store, &report, e);

	fputs(report.s, stdout);
	if (r == 0 && !c->opts->keep_blobs)
		r = image_drop_blobs(c->store, NULL, e);
	return r;
}

/* --- push, export --- */

static void image_on_pushed(void *arg, const char *digest, const struct err *err)
{
	struct image_cmd *c = arg;

	if (err) {
		image_complain(c, err);
		return;
	}
	printf("%s\n", digest);
	c->waiting = false;
}

static int image_verb_push(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	struct image_push_opts o = { .progress = c->opts->quiet ? NULL : image_on_progress };
	_cleanup_free_ char *user = NULL;

	if (image_creds(c, &user, &o.password, e) < 0)
		return -e->code;
	o.user = user;
	c->waiting = true;
	image_push(c->store, argv[0], argc > 1 ? argv[1] : NULL, &o, image_on_pushed, c);
	image_wait(c);
	return 0;
}

static int image_verb_export(struct image_cmd *c, int argc, char **argv, struct err *e)
{
	const char *path = c->opts->output && !streq(c->opts->output, "-") ? c->opts->output : NULL;
	_cleanup_close_ int file = -1;
	int r;

	if (path) {
		file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (file < 0)
			return err_errno(e, errno, "write '%s'", path);
	} else if (isatty(STDOUT_FILENO)) {
		return err_set(e, ERR_BAD_REQUEST, "an archive is nothing for a terminal: say --output FILE");
	}
	r = image_export(c->store, argv, path ? file : STDOUT_FILENO, e);
	if (r < 0 && path)
		unlink(path);
	return r;
}

/* --- the verbs --- */

static const struct image_verb {
	const char *name;
	int min_args, max_args;
	const char *args;
	int (*run)(struct image_cmd *c, int argc, char **argv, struct err *e);
} image_verbs[] = {
	{ "import", 1, -1, "FILE...", image_verb_import },
	{ "export", 1, -1, "REFERENCE...", image_verb_export },
	{ "pull", 1, -1, "REFERENCE...", image_verb_pull },
	{ "push", 1, 2, "REFERENCE [DESTINATION]", image_verb_push },
	{ "tag", 2, 2, "REFERENCE NAME", image_verb_tag },
	{ "ls", 0, 0, "", image_verb_ls },
	{ "inspect", 1, -1, "REFERENCE...", image_verb_inspect },
	{ "rm", 1, -1, "REFERENCE...", image_verb_rm },
	{ "prune", 0, 0, "", image_verb_prune },
};

static const struct image_verb *image_verb_find(const char *name, struct err *e)
{
	const char *names[ARRAY_SIZE(image_verbs)], *near;

	if (streq(name, "list"))
		name = "ls";
	if (streq(name, "remove"))
		name = "rm";
	for (size_t i = 0; i < ARRAY_SIZE(image_verbs); i++) {
		if (streq(image_verbs[i].name, name))
			return &image_verbs[i];
		names[i] = image_verbs[i].name;
	}
	near = opt_nearest(name, names, ARRAY_SIZE(names));
	err_set(e, ERR_BAD_REQUEST, "'%s' is nothing that can be done with images%s%s%s; see `kinglet help image`", name,
		near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return NULL;
}

static int image_run_verb(struct image_cmd *c, const struct image_verb *v, int argc, char **argv, struct err *e)
{
	_cleanup_free_ char *agent = path_join(c->opts->data_dir, "agent"), *dir = path_join(agent, "images");
	struct loop_signal *signals[] = { loop_signal_new(c->loop, SIGINT, image_on_signal, c),
					  loop_signal_new(c->loop, SIGTERM, image_on_signal, c) };
	int rc;

	rc = path_mkdirs(c->opts->data_dir, 0755, e);
	if (rc == 0)
		rc = path_mkdirs(agent, 0711, e); /* as the server makes it */
	if (rc == 0)
		rc = image_store_open(&c->store, c->loop, dir, e);
	if (rc == 0)
		rc = image_store_set_registries(c->store, c->opts->registries, e);
	if (rc == 0)
		rc = v->run(c, argc, argv, e);
	c->store = image_store_close(c->store);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		loop_signal_free(signals[i]);
	return rc;
}

static int image_run(void *opts, int argc, char **argv, struct err *e)
{
	struct image_cmd c = { .opts = opts };
	const struct image_verb *v = image_verb_find(argv[1], e);
	int rc, n = argc - 2;

	if (v && (n < v->min_args || (v->max_args >= 0 && n > v->max_args)))
		err_set(e, ERR_BAD_REQUEST, "usage: kinglet image %s%s%s", v->name, *v->args ? " " : "", v->args);
	if (err_is_set(e)) { /* 2, as for options that are wrong */
		fprintf(stderr, "kinglet image: %s\n", err_msg(e));
		err_release(e);
		return 2;
	}
	c.loop = loop_new();
	image_view_init(&c.view);
	rc = image_run_verb(&c, v, n, argv + 2, e);
	loop_free(c.loop);
	if (rc < 0)
		return rc;
	return c.interrupted ? 130 : c.failed;
}

const struct cmd cmd_image = {
	.name = "image",
	.args = "VERB [ARGUMENT...]",
	.summary = "pull, push, import, export, list and remove images",
	.text = "  pull REFERENCE...     fetch images from their registries\n"
		"  push REFERENCE [DEST] send an image to a registry, under its own name or another\n"
		"  tag REFERENCE NAME    give an image another name\n"
		"  ls                    list the images of this machine\n"
		"  inspect REFERENCE...  tell all that is known of images, as JSON\n"
		"  rm REFERENCE...       forget names, or images by id; an image without a name goes, with the\n"
		"                        layers that no other has, when no container uses it\n"
		"  prune                 remove the images that no container uses, but those from files; with\n"
		"                        --no-keep-blobs also the compressed layers of the others\n"
		"  import FILE...        take in archives of `docker save` or OCI layouts, plain or compressed;\n"
		"                        - is standard input\n"
		"  export REFERENCE...   write images into one archive that is both\n"
		"\n"
		"It works whether or not a server runs; a server sees the change at once.",
	.opts = image_opts,
	.opts_size = sizeof(struct image_opts),
	.flags = CMD_ROOT,
	.min_args = 1,
	.max_args = -1,
	.run = image_run,
};
