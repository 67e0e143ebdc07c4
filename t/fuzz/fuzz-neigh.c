/*
 * ARP and neighbour discovery: whatever a machine of the network sends, nothing is
 * read past the end, and what is understood can be answered.
 */
#include "fuzz.h"
#include "net/announce.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	uint8_t out[NEIGH_FRAME];
	struct neigh n, back;

	if (!neigh_parse(&n, data, size) || !n.asks.family)
		return 0;
	BUG_ON(!neigh_parse(&back, out, neigh_answer(out, &n.asks, mac, &n)));
	BUG_ON(!net_addr_equal(&back.claims, &n.asks));
	return 0;
}
