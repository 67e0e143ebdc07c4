/*
 * Runs a fuzz target over saved inputs, without libFuzzer and without clang: a
 * TAP program for `make check`, so that whatever a fuzzer found once stays found.
 *
 *	t/fuzz/fuzz-json			every file of $srcdir/t/fuzz/corpus/json
 *	t/fuzz/fuzz-json FILE|DIRECTORY...	these (to look at one input, or under gdb)
 *
 * How the fuzzing hangs together:
 *	t/fuzz/fuzz-NAME.c	one target: LLVMFuzzerTestOneInput(data, size). It aborts
 *				(BUG_ON) when an invariant does not hold, e.g. what was printed
 *				does not read back as the same value; crashes, leaks, undefined
 *				behaviour and slowness are the sanitizers' and libFuzzer's to see.
 *	t/fuzz/corpus/NAME/	small saved inputs; hand-made ones have names, found ones hashes
 *	t/fuzz/NAME.dict	optional: words for libFuzzer (its dictionary format)
 *	scripts/fuzz SECONDS [NAME...]	builds with clang in a directory of its own
 *				(configure --enable-fuzz) and runs each target that long
 *
 * To add a target NAME:
 *	1. write t/fuzz/fuzz-NAME.c: include "fuzz.h", define LLVMFuzzerTestOneInput,
 *	   keep no state between calls, free all it makes;
 *	2. put a few valid and odd inputs into t/fuzz/corpus/NAME/;
 *	3. in Makefile.am add t/fuzz/fuzz-NAME to FUZZERS, with
 *		t_fuzz_fuzz_NAME_SOURCES = t/fuzz/fuzz-NAME.c $(FUZZ_MAIN)
 *		t_fuzz_fuzz_NAME_LDADD = $(DOC_LIBS) $(BASE_LIBS)
 *		t_fuzz_fuzz_NAME_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
 *	   (LDADD: the archives it needs);
 *	4. run `scripts/fuzz 60 NAME`; copy what it reports into the corpus together
 *	   with the repair.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

static int replay_n, replay_bad;

static void replay_result(bool good, const char *path, const char *why)
{
	printf("%sok %d - %s%s%s\n", good ? "" : "not ", ++replay_n, path, why ? ": " : "", why ? why : "");
	replay_bad += !good;
	fflush(stdout);
}

/* A buffer of exactly the input's size, so that a read beyond it is seen by the sanitizers. */
static void replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t n;

	if (!f || fstat(fileno(f), &st) < 0) {
		replay_result(false, path, "cannot be read");
		if (f)
			fclose(f);
		return;
	}
	data = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
	n = fread(data, 1, (size_t)st.st_size, f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	replay_result(true, path, NULL);
}

static int replay_filter(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void replay_path(const char *path)
{
	struct dirent **names;
	char child[4096];
	struct stat st;
	int n;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	n = scandir(path, &names, replay_filter, alphasort);
	if (n <= 0)
		replay_result(false, path, "holds no inputs");
	for (int i = 0; i < n; i++) {
		snprintf(child, sizeof(child), "%s/%s", path, names[i]->d_name);
		replay_file(child);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '-'), *srcdir = getenv("srcdir");
	char corpus[4096];

	if (argc == 1) {
		snprintf(corpus, sizeof(corpus), "%s/t/fuzz/corpus/%s", srcdir ? srcdir : ".",
			 name ? name + 1 : "");
		replay_path(corpus);
	}
	for (int i = 1; i < argc; i++)
		replay_path(argv[i]);
	printf("1..%d\n", replay_n);
	return replay_bad ? 1 : 0;
}
