/*
 * Subresources that are neither a pod's nor a scale: namespaces/finalize,
 * certificatesigningrequests/approval, serviceaccounts/token (token.c).
 */
#include "api/internal.h"

#define BIT(v) (1u << (v))

/* --- one part of an object from the body --- */

/* finalize: spec.finalizers. Everything else stays. */
static void part_take(struct req *r, struct doc *d, const struct node *from)
{
	const struct node *n = node_path(from, F_spec, F_finalizers);
	struct node *to = node_need_object(d, doc_root(d), F_spec);

	if (n)
		node_set(d, to, F_finalizers, node_copy(d, n));
	else
		node_remove(to, F_finalizers);
}

static int part_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	const char *rv = node_gets(meta_of(doc_root(r->doc)), F_resourceVersion);

	if (!cur)
		return err_not_found(e, &r->res->r, r->at.name);
	if (*rv && parse_rv(rv) != cur->rv)
		return err_modified(e, &r->res->r, r->at.name);
	d = doc_clone(obj_doc(cur));
	part_take(r, d, doc_root(r->doc));
	managed_track(r, cur, d);
	if (admit_mutate(r, d, cur, e) < 0 || admit_validate(r, d, cur, e) < 0)
		return -e->code;
	if (delete_due_on_update(r, obj_node(cur), doc_root(d)))
		*remove = true;
	else if (managed_unchanged(d, obj_node(cur)))
		return 0;
	*out = take_ptr(&d);
	return 0;
}

static int act_part(struct req *r, struct err *e)
{
	r->doc = req_take_body(r);
	if (!streq(meta_name(doc_root(r->doc)), r->at.name))
		return err_bad(e, "the name of the object (%s) does not match the name on the URL (%s)",
			       meta_name(doc_root(r->doc)), r->at.name);
	r->mutate = part_mutate;
	return req_store(r, r->at.ns, r->at.name, e);
}

const struct handler subres_misc_handlers[] = {
	{ "", "namespaces", "finalize", BIT(VERB_UPDATE), act_part, .body = true },
	{ "certificates.k8s.io", "certificatesigningrequests", "approval", BIT(VERB_GET), act_get },
	{ "certificates.k8s.io", "certificatesigningrequests", "approval", BIT(VERB_UPDATE), act_update, .body = true },
	{ "certificates.k8s.io", "certificatesigningrequests", "approval", BIT(VERB_PATCH), act_patch, .body = true,
	  .raw = true },
	{ "", "serviceaccounts", "token", BIT(VERB_CREATE), act_token, .body = true,
	  .body_type = "authentication.k8s.io/v1.TokenRequest" },
	{ 0 },
};
