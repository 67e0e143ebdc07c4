/*
 * The verbs of test-tool; each in a file of its own.
 */
#ifndef T_HELPER_TEST_TOOL_H
#define T_HELPER_TEST_TOOL_H

int tool_store_crash(int argc, char **argv);
int tool_sql(int argc, char **argv);

#endif
