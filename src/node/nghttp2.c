/*
 * Where the table of libnghttp2's functions comes from.
 */
#include "node/nghttp2.h"

#ifdef KINGLET_STATIC

#define NGHTTP2_HERE(f) .f = f,
struct nghttp2 ng = {NGHTTP2_FUNCTIONS(NGHTTP2_HERE)};

int nghttp2_load(struct err *e UNUSED)
{
	return 0;
}

#else

#include <dlfcn.h>

#define NGHTTP2_SONAME "libnghttp2.so.14"

struct nghttp2 ng;

int nghttp2_load(struct err *e)
{
	static const char *const names[] = {
#define NGHTTP2_NAME(f) #f,
		NGHTTP2_FUNCTIONS(NGHTTP2_NAME)};
	void *lib;

	if (ng.nghttp2_strerror) /* the last one */
		return 0;
	lib = dlopen(NGHTTP2_SONAME, RTLD_NOW);
	if (!lib)
		return err_set(e, ERR_UNKNOWN,
			       "gRPC probes can't be made: %s; on Debian, apt-get install libnghttp2-14",
			       dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		void *f = dlsym(lib, names[i]);

		if (!f)
			return err_set(e, ERR_UNKNOWN, "gRPC probes can't be made: " NGHTTP2_SONAME " has no '%s'",
				       names[i]);
		((void **)&ng)[i] = f;
	}
	return 0;
}

#endif
