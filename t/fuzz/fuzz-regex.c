/*
 * Patterns of schemas: the first line is a pattern, the rest a text. A pattern is
 * compiled or refused with words; matching takes no more than its budget, and says
 * the same twice.
 */
#include "fuzz.h"
#include "schema/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), pattern = str_cut(&rest, '\n');
	size_t budget = 100000, again = 100000;
	_cleanup_err_ struct err e = ERR_INIT;
	struct regex *re;
	bool yes;

	if (!rest.p)
		rest = STR_LIT("");
	if (regex_compile(&re, pattern, &e) < 0) {
		BUG_ON(re || !*err_msg(&e));
		return 0;
	}
	yes = regex_match(re, rest, &budget);
	BUG_ON(budget > 100000);
	BUG_ON(regex_match(re, rest, &again) != yes || again != budget);
	BUG_ON(regex_memory(re) == 0);
	regex_free(re);
	return 0;
}
