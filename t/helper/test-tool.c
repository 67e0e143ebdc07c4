/*
 * What test scripts can't do themselves, as verbs of one program. To add one:
 * a file with its function, declared in test-tool.h, and a row here.
 */
#include <stdio.h>
#include <string.h>

#include "test-tool.h"

static const struct verb_entry {
	const char *name, *args;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "store-crash", "DB ROUNDS SEED", tool_store_crash },
	{ "sql", "DB STATEMENT...", tool_sql },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, argv[1]) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	fprintf(stderr, "usage:\n");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		fprintf(stderr, "  test-tool %s %s\n", verbs[i].name, verbs[i].args);
	return 2;
}
