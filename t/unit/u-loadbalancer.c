/* The pool of addresses for LoadBalancer Services. */
#include "ctl/loadbalancer.h"
#include "t/unit/tap.h"

static struct lb_pool pool;

static bool good(const char *text)
{
	_cleanup_err_ struct err e = ERR_INIT;

	lb_pool_release(&pool);
	return lb_pool_parse(&pool, text, &e) == 0;
}

static bool has(const char *text)
{
	struct lb_addr a;

	return lb_addr_parse(&a, text) && lb_pool_has(&pool, &a);
}

static bool not_among(void *arg, const char *text)
{
	for (const char *const *taken = arg; *taken; taken++)
		if (streq(*taken, text))
			return false;
	return true;
}

static const char *pick(bool six, const char *const *taken)
{
	static char out[LB_ADDR_TEXT];

	return lb_pool_pick(&pool, six, not_among, (void *)taken, out) ? out : "none";
}

static void test_parse(void)
{
	static const char *const bad[] = { "x", "10.0.0.1-", "10.0.0.2-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0.0/33", "10.0.0.0/",
					   "10.0.0.0/-1", "10.0.0.1,,10.0.0.2", "fd00::/129", "10.0.0.1-10.0.0.2-10.0.0.3", "-",
					   "10.0.0/8", "10.0.0.0/8/8", "/8" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(!good(bad[i]), bad[i]);
	ok(good("10.0.0.1") && has("10.0.0.1") && !has("10.0.0.2") && !has("::10.0.0.1"), "one address");
	ok(good(" 10.0.0.1 - 10.0.0.3 , fd00::/120, ") && has("10.0.0.3") && has("fd00::ff") && !has("fd00::") && !has("fd00::100"),
	   "blanks and a last comma do no harm");
	ok(good("192.168.1.240/28") && !has("192.168.1.240") && has("192.168.1.241") && has("192.168.1.254") && !has("192.168.1.255"),
	   "the ends of a network are not had");
	ok(good("10.0.0.6/31") && has("10.0.0.6") && has("10.0.0.7") && !has("10.0.0.8"), "but those of one of two addresses are");
	ok(good("10.0.0.6/32,fd00::5/128") && has("10.0.0.6") && has("fd00::5") && !has("fd00::6"), "and those of one");
	ok(good("10.1.2.3/8") && has("10.0.0.1") && has("10.255.255.254") && !has("11.0.0.0"), "host bits are of no account");
	ok(good("0.0.0.0/0") && has("0.0.0.1") && !has("::1"), "all of IPv4 is not IPv6");
}

static void test_pick(void)
{
	const char *const taken[] = { "10.0.0.1", "fd00::1", NULL }, *const all[] = { "10.0.0.1", "10.0.0.2", NULL };

	BUG_ON(!good("10.0.0.1-10.0.0.2,fd00::/64"));
	is_str(pick(false, taken), "10.0.0.2", "the first that is free");
	is_str(pick(true, taken), "fd00::2", "of the other family");
	is_str(pick(false, all), "none", "there is an end");
	BUG_ON(!good("255.255.255.254-255.255.255.255"));
	is_str(pick(false, all), "255.255.255.254", "also where numbers end");
}

int main(void)
{
	test_parse();
	test_pick();
	lb_pool_release(&pool);
	return done_testing();
}
