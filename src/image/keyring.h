/*
 * What of a keyring (image.h) the puller needs: the credentials for a repository.
 */
#ifndef IMAGE_KEYRING_H
#define IMAGE_KEYRING_H

#include "image/image.h"
#include "image/registries.h"

struct keyring_match {
	const struct registry_auth *auth; /* all borrowed from the keyring */
	const char *source, *hash;
};
struct keyring_matches {
	struct keyring_match *v;
	size_t n, cap;
};
/* repository: "docker.io/library/busybox". In the order in which they are tried. */
void keyring_lookup(const struct image_keyring *k, const char *repository, struct keyring_matches *out);

#endif
