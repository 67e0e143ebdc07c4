/*
 * IngressClasses (networking.k8s.io/v1), and the annotation kubernetes.io/ingress.class
 * that was before them and means the same name.
 */
#include "schema/ingress.h"

#include "obj/obj.h"

bool ingress_class_is_ours(const struct node *class)
{
	return node_streq(node_path(class, F_spec, F_controller), INGRESS_CONTROLLER);
}

bool ingress_class_is_default(const struct node *class)
{
	return streq_null(meta_annotation(class, "ingressclass.kubernetes.io/is-default-class"), "true");
}

const char *ingress_class_name(const struct node *ingress)
{
	const char *name = node_cstr(node_path(ingress, F_spec, F_ingressClassName));

	return name ? name : meta_annotation(ingress, "kubernetes.io/ingress.class");
}

bool ingress_is_ours(const struct node *ingress, const struct node *class, bool any_default)
{
	const char *name = ingress_class_name(ingress);

	if (str_empty(name))
		return any_default;
	return class && ingress_class_is_ours(class);
}
