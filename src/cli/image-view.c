/*
 * How images and their transfers look on the command line.
 */
#include "cli/image-view.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/path.h"
#include "base/time.h"
#include "doc/doc.h"

#define VIEW_BAR 30
#define VIEW_ROWS 24

char *image_size_text(int64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 999.5 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1000;
		u++;
	}
	return xasprintf("%.3g%s", v, units[u]);
}

/* --- progress --- */

void image_view_init(struct image_view *v)
{
	*v = (struct image_view){ .terminal = isatty(STDERR_FILENO) };
}

static int view_rows(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 2 ? w.ws_row : VIEW_ROWS;
}

static void view_bar(const char *name, int64_t got, int64_t size, const char *state)
{
	_cleanup_free_ char *have = image_size_text(got), *all = image_size_text(size);
	int fill = size > 0 ? (int)(got * VIEW_BAR / size) : VIEW_BAR;
	char bar[VIEW_BAR + 1];

	fill = fill < 0 ? 0 : fill > VIEW_BAR ? VIEW_BAR : fill;
	memset(bar, ' ', VIEW_BAR);
	memset(bar, '=', (size_t)fill);
	if (fill && fill < VIEW_BAR)
		bar[fill - 1] = '>';
	bar[VIEW_BAR] = '\0';
	fprintf(stderr, "\033[K%-12.12s %-8s [%s] %s/%s\n", name, state, bar, have, all);
}

static const char *view_state(const struct image_layer_progress *l)
{
	return l->state == LAYER_WAITS ? "waits" : l->state == LAYER_COMES ? "comes" : l->state == LAYER_DONE ? "done" : "is here";
}

static void view_draw(struct image_view *v, const struct image_progress *p)
{
	int64_t got = 0, size = 0;

	if (v->drawn)
		fprintf(stderr, "\033[%dA", v->drawn);
	for (size_t i = 0; i < p->n_layers; i++) {
		const struct image_layer_progress *l = &p->layers[i];

		got += l->state == LAYER_PRESENT ? l->size : l->got;
		size += l->size;
	}
	v->drawn = 0;
	if ((int)p->n_layers >= view_rows()) {
		view_bar("all layers", got, size, "");
		v->drawn = 1;
		return;
	}
	for (size_t i = 0; i < p->n_layers; i++) {
		const struct image_layer_progress *l = &p->layers[i];

		view_bar(l->digest + strlen("sha256:"), l->state == LAYER_PRESENT ? l->size : l->got, l->size, view_state(l));
		v->drawn++;
	}
}

void image_view_show(struct image_view *v, const struct image_progress *p)
{
	if (!v->terminal) {
		if (p->what)
			fprintf(stderr, "%s\n", p->what);
		return;
	}
	if (p->what && !p->n_layers) {
		image_view_end(v);
		fprintf(stderr, "%s\n", p->what);
	} else if (p->n_layers) {
		view_draw(v, p);
	}
}

void image_view_end(struct image_view *v)
{
	v->drawn = 0;
}

/* --- descriptions --- */

static void view_strings(struct doc *d, struct node *o, const char *key, char *const *list)
{
	struct node *arr = node_setk(d, o, str_of(key), node_new(d, DOC_ARRAY));

	for (size_t i = 0; list && list[i]; i++)
		node_append(arr, node_new_cstr(d, list[i]));
}

static struct node *view_image(struct doc *d, const struct image *i)
{
	char *digests[] = { *i->repo_digest ? i->repo_digest : NULL, NULL };
	struct node *o = node_new(d, DOC_OBJECT);

	node_setk(d, o, STR_LIT("id"), node_new_cstr(d, i->id));
	view_strings(d, o, "repoTags", i->names);
	view_strings(d, o, "repoDigests", digests);
	node_setk(d, o, STR_LIT("size"), node_new_fmt(d, "%lld", (long long)i->size));
	node_setk(d, o, STR_LIT("pinned"), node_new_bool(d, i->pinned));
	return o;
}

static void view_print(struct buf *out, const struct node *n)
{
	doc_print_json(out, n, DOC_PRINT_INDENT);
	buf_addch(out, '\n');
}

struct view_list {
	struct doc *doc;
	struct node *images;
};

static void view_list_take(void *arg, struct image *i)
{
	struct view_list *l = arg;

	node_append(l->images, view_image(l->doc, i));
}

void image_view_list(struct image_store *s, struct buf *out)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct view_list l = { .doc = d };

	doc_set_root(d, node_new(d, DOC_OBJECT));
	l.images = node_setk(d, doc_root(d), STR_LIT("images"), node_new(d, DOC_ARRAY));
	image_each(s, view_list_take, &l);
	view_print(out, doc_root(d));
}

static void view_holder(void *arg, const char *holder)
{
	struct view_list *l = arg;

	node_append(l->images, node_new_cstr(l->doc, holder));
}

/* A document of the store, as it is. */
static int view_document(struct image_store *s, struct doc *d, struct node *o, const char *key, const char *digest,
			 struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_doc_ struct doc *blob = NULL;
	const struct doc_json_opts opts = { .max_bytes = 4u << 20 };

	if (image_read_blob(s, digest, &text, e) < 0 || doc_parse_json(&blob, buf_str(&text), &opts, e) < 0)
		return -e->code;
	node_setk(d, o, str_of(key), node_copy(d, doc_root(blob)));
	return 0;
}

static int view_one(struct image_store *s, struct doc *d, struct node *list, const struct image *i, struct err *e)
{
	struct node *o = node_append(list, view_image(d, i));
	struct view_list holders = { .doc = d };
	char when[TIME_RFC3339_LEN];

	node_setk(d, o, STR_LIT("created"), node_new_cstr(d, time_fmt_rfc3339(when, i->created_s)));
	node_setk(d, o, STR_LIT("added"), node_new_cstr(d, time_fmt_rfc3339(when, i->added_s)));
	node_setk(d, o, STR_LIT("blobsKept"), node_new_bool(d, i->blobs[0] != NULL));
	holders.images = node_setk(d, o, STR_LIT("usedBy"), node_new(d, DOC_ARRAY));
	image_holders(s, i, view_holder, &holders);
	view_strings(d, o, "layerDirectories", i->layers);
	if (view_document(s, d, o, "manifest", i->manifest, e) < 0)
		return -e->code;
	return view_document(s, d, o, "config", i->id, e);
}

int image_view_inspect(struct image_store *s, char *const *refs, int n, struct buf *out, struct err *e)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *list = node_new(d, DOC_ARRAY);

	for (int k = 0; k < n; k++) {
		struct image *i = image_find(s, refs[k]);

		if (!i)
			return err_set(e, ERR_NOT_FOUND, "image \"%s\": not found", refs[k]);
		(void)!view_one(s, d, list, i, e);
		image_unref(i);
		if (err_is_set(e))
			return -e->code;
	}
	view_print(out, list);
	return 0;
}
