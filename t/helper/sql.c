/*
 * sql DB STATEMENT...: runs statements on a SQLite file, rows to stdout with |
 * between the columns, so that no test needs the sqlite3 program.
 */
#include <sqlite3.h>
#include <stdio.h>

#include "test-tool.h"

static int sql_row(void *arg, int n, char **values, char **names)
{
	for (int i = 0; i < n; i++)
		printf("%s%s", i ? "|" : "", values[i] ? values[i] : "");
	putchar('\n');
	return 0;
}

int tool_sql(int argc, char **argv)
{
	sqlite3 *db = NULL;
	int rc = argc > 1 ? sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL) : SQLITE_MISUSE;

	for (int i = 2; i < argc && rc == SQLITE_OK; i++)
		rc = sqlite3_exec(db, argv[i], sql_row, NULL, NULL);
	if (rc != SQLITE_OK)
		fprintf(stderr, "sql: %s\n", db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	sqlite3_close(db);
	return rc != SQLITE_OK;
}
