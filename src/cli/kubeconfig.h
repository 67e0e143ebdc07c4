/*
 * A kubeconfig, as far as it says how to reach one server: the current context's
 * cluster and user.
 */
#ifndef CLI_KUBECONFIG_H
#define CLI_KUBECONFIG_H

#include <stdbool.h>

#include "base/err.h"

struct kubeconfig {
	char *server, *ca_pem, *cert_pem, *key_pem, *token; /* owned; what it does not say is NULL */
	bool insecure;
};
/* Files that it names are read, relative to its own folder. On failure too it is to be released. */
int kubeconfig_read(struct kubeconfig *k, const char *path, struct err *e) MUST_CHECK;
void kubeconfig_release(struct kubeconfig *k);

#endif
