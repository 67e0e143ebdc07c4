/*
 * Images: the documents that come out of archives and registries. Whatever is accepted keeps the promises that
 * manifest.h makes to those who make paths of it; references print as what parses to the same again.
 *
 * The first byte says what the rest is.
 */
#include "fuzz.h"

#include "image/image.h"
#include "image/manifest.h"
#include "image/registry.h"

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
	struct image_ref r;
	struct url u;

	if (image_ref_parse(&r, in, e) < 0) {
		image_ref_release(&r);
		return;
	}
	registry_url(&u, &r, "manifests", r.digest ? r.digest : r.tag);
	BUG_ON(streq(u.host, "invalid") && !starts_with(r.registry, "invalid"));
	url_release(&u);
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
	case 'w':
		challenge_parse(&c, rest);
		BUG_ON(!c.realm || !c.service || !c.scope);
		challenge_release(&c);
		break;
	}
	return 0;
}
