/*
 * Where the table of libarchive's functions comes from.
 */
#include "image/libarchive.h"

#ifdef KINGLET_STATIC

#define LIBARCHIVE_HERE(f) .f = f,
struct libarchive la = { LIBARCHIVE_FUNCTIONS(LIBARCHIVE_HERE) };

int libarchive_load(struct err *e)
{
	return 0;
}

#else

#include <dlfcn.h>

#define LIBARCHIVE_SONAME "libarchive.so.13"

struct libarchive la;

int libarchive_load(struct err *e)
{
	void *lib;
	static const char *const names[] = {
#define LIBARCHIVE_NAME(f) #f,
		LIBARCHIVE_FUNCTIONS(LIBARCHIVE_NAME)
	};

	if (la.archive_read_new)
		return 0;
	lib = dlopen(LIBARCHIVE_SONAME, RTLD_NOW);
	if (!lib)
		return err_set(e, ERR_UNKNOWN, "images can't be unpacked: %s; on Debian, apt-get install libarchive13",
			       dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		void *f = dlsym(lib, names[i]);

		if (!f)
			return err_set(e, ERR_UNKNOWN, "images can't be unpacked: " LIBARCHIVE_SONAME " has no '%s'",
				       names[i]);
		((void **)&la)[i] = f;
	}
	return 0;
}

#endif
