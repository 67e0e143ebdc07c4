/*
 * Quantities: the canonical form parses to the same value and is its own
 * canonical form; sums and roundings never overflow.
 */
#include "fuzz-doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf once = BUF_INIT, twice = BUF_INIT;
	struct quantity q, back, sum;

	if (!quantity_parse(&q, str_n((const char *)data, size)))
		return 0;
	quantity_print(&q, &once);
	BUG_ON(!quantity_parse(&back, buf_str(&once)));
	BUG_ON(quantity_cmp(&q, &back) != 0);
	quantity_print(&back, &twice);
	BUG_ON(!str_eq(buf_str(&once), buf_str(&twice)));
	BUG_ON((q.nano > 0) != (quantity_value(&q) > 0) || (q.nano < 0) != (quantity_milli(&q) < 0));
	sum = q;
	quantity_add(&sum, &back);
	quantity_add(&sum, &sum);
	quantity_sub(&sum, &q);
	quantity_sub(&sum, &sum);
	BUG_ON(sum.nano != 0);
	return 0;
}
