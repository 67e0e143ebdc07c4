/*
 * Images: the documents that come out of archives and registries. Whatever is accepted keeps the promises that
 * manifest.h makes to those who make paths of it; references print as what parses to the same again.
 *
 * The first byte says what the rest is.
 */
#include "fuzz.h"

#include "image/image.h"
#include "image/manifest.h"
#include "image/registries.h"

static void check_descs(const struct oci_descs *list)
{
	for (size_t i = 0; i < list->n; i++) {
		BUG_ON(!digest_text_ok(str_of(list->v[i].digest)) || list->v[i].size < 0);
		BUG_ON(!list->v[i].media_type || !list->v[i].name || !list->v[i].ref_name || !list->v[i].arch);
	}
}

static void fuzz_index(struct str json, struct err *e)
{
	struct oci_index x;

	if (oci_index_parse(&x, json, e) < 0)
		return;
	check_descs(&x.manifests);
	(void)oci_index_pick(&x);
	oci_index_release(&x);
}

static void fuzz_manifest(struct str json, struct err *e)
{
	struct oci_manifest m;

	if (oci_manifest_parse(&m, json, e) < 0)
		return;
	check_descs(&m.layers);
	BUG_ON(!digest_text_ok(str_of(m.config.digest)));
	oci_manifest_release(&m);
}

static void fuzz_config(struct str json, struct err *e)
{
	struct oci_config c;

	if (oci_config_parse(&c, json, e) < 0)
		return;
	for (char **d = c.diff_ids; *d; d++)
		BUG_ON(!digest_text_ok(str_of(*d)));
	BUG_ON(!c.entrypoint || !c.cmd || !c.env || !c.volumes || !c.user || !c.working_dir || !c.stop_signal);
	oci_config_release(&c);
}

static void fuzz_docker(struct str json, struct err *e)
{
	struct docker_save s;

	if (docker_save_parse(&s, json, e) < 0)
		return;
	for (size_t i = 0; i < s.images.n; i++)
		BUG_ON(!*s.images.v[i].config || !s.images.v[i].layers || !s.images.v[i].tags);
	docker_save_release(&s);
}

static void fuzz_ref(struct str text, struct err *e)
{
	_cleanup_free_ char *in = str_dup(text), *once = NULL, *twice = NULL;
	struct registry_places places = { 0 };
	struct image_ref r;

	if (image_ref_parse(&r, in, e) < 0) {
		image_ref_release(&r);
		return;
	}
	registries_places(NULL, &r, false, &places);
	BUG_ON(places.n != 1 || (streq(places.v[0].base.host, "invalid") && !starts_with(r.registry, "invalid")));
	registry_places_release(&places);
	once = image_ref_print(&r);
	image_ref_release(&r);
	BUG_ON(image_ref_parse(&r, once, e) < 0);
	twice = image_ref_print(&r);
	BUG_ON(!streq(once, twice));
	image_ref_release(&r);
}

static void fuzz_url(struct str text)
{
	struct url u, again;
	char *printed;

	if (url_parse(&u, text, NULL)) {
		printed = url_print(&u);
		BUG_ON(!url_parse(&again, str_of(printed), NULL) || !url_same_host(&u, &again) || u.target[0] != '/');
		url_release(&again);
		free(printed);
	}
	url_release(&u);
}

/* registries.yaml: whatever is accepted has places for an image that can be asked. */
static void fuzz_registries(struct str text, struct err *e)
{
	struct registry_places places = { 0 };
	struct registries *r = NULL;
	struct image_ref ref;

	if (registries_parse(&r, text, "registries.yaml", false, e) < 0) {
		BUG_ON(!starts_with(err_msg(e), "registries.yaml"));
		return;
	}
	BUG_ON(image_ref_parse(&ref, "docker.io/library/busybox:1", e) < 0);
	registries_places(r, &ref, false, &places);
	BUG_ON(!places.n);
	for (size_t i = 0; i < places.n; i++)
		BUG_ON(places.v[i].base.target[0] != '/' || !*places.v[i].repository || strpbrk(places.v[i].repository, " ?#\r\n"));
	registry_places_release(&places);
	image_ref_release(&ref);
	registries_unref(r);
}

static void fuzz_keyring_take(void *arg, const char *source, const char *hash)
{
	BUG_ON(!streq(source, "s") || strlen(hash) != 64);
}

static void fuzz_keyring(struct str json, struct err *e)
{
	struct image_keyring *k = image_keyring_new();

	if (image_keyring_add(k, json, true, "s", e) == 0)
		image_keyring_each(k, "registry.example.com:5000/a/b:1", fuzz_keyring_take, NULL);
	image_keyring_unref(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data + 1, size ? size - 1 : 0);
	_cleanup_err_ struct err e = ERR_INIT;
	struct challenge c;

	switch (size ? data[0] : 0) {
	case 'i':
		fuzz_index(rest, &e);
		break;
	case 'm':
		(void)oci_kind_of(rest);
		fuzz_manifest(rest, &e);
		break;
	case 'c':
		fuzz_config(rest, &e);
		break;
	case 'd':
		fuzz_docker(rest, &e);
		break;
	case 'r':
		fuzz_ref(rest, &e);
		break;
	case 'u':
		fuzz_url(rest);
		break;
	case 'y':
		fuzz_registries(rest, &e);
		break;
	case 'k':
		fuzz_keyring(rest, &e);
		break;
	case 'w':
		challenge_init(&c);
		challenge_add(&c, rest);
		BUG_ON(!c.realm || !c.service || !c.scope);
		challenge_release(&c);
		break;
	}
	return 0;
}
