/*
 * Work queues: each key once, again when it was added meanwhile, later, after a
 * failure, and not at once when its work took long.
 */
#include "tap.h"

#include "base/buf.h"
#include "base/time.h"
#include "client/client.h"

static struct loop *loop;
static struct workqueue *queue;
static struct buf ran;
static bool fails, holds;
static const char *again;
static int64_t takes_ms;

static void run(void *arg, const char *key)
{
	int64_t until = time_mono_ms() + takes_ms;

	(void)arg;
	buf_addf(&ran, "%s ", key);
	while (time_mono_ms() < until)
		;
	if (again)
		workqueue_add(queue, again);
	again = NULL;
	if (!holds)
		workqueue_done(queue, key, fails);
}

static const char *turns(int n, int wait_ms)
{
	buf_clear(&ran);
	while (n-- > 0)
		loop_turn(loop, wait_ms);
	return ran.s;
}

static void start(bool real)
{
	loop = loop_new();
	if (!real)
		loop_virtual(loop, 1000000000);
	queue = workqueue_new(loop, 2, run, NULL);
	fails = holds = false;
	takes_ms = 0;
}

static void end(void)
{
	workqueue_free(queue);
	loop_free(loop);
}

static void test_order(void)
{
	start(false);
	workqueue_add(queue, "a");
	workqueue_add(queue, "b");
	workqueue_add(queue, "a");
	workqueue_add(queue, "c");
	is_str(turns(3, 0), "a b c ", "each once, in order");
	again = "a";
	workqueue_add(queue, "a");
	is_str(turns(4, 0), "a a ", "added while it is at work: again");
	holds = true;
	workqueue_add(queue, "x");
	workqueue_add(queue, "y");
	workqueue_add(queue, "z");
	is_str(turns(3, 0), "x y ", "no more at once than there are workers");
	workqueue_add(queue, "x");
	is_str(turns(3, 0), "", "and no key twice");
	workqueue_done(queue, "x", false);
	is_str(turns(3, 0), "z ", "the next when one is done");
	workqueue_done(queue, "y", false);
	is_str(turns(3, 0), "x ", "and what was added while it was at work");
	workqueue_done(queue, "nobody", false);
	end();
}

static void test_later(void)
{
	int64_t began;

	start(false);
	began = time_mono_ms();
	workqueue_add_after(queue, "a", 5000);
	workqueue_add_after(queue, "a", 9000);
	workqueue_add(queue, "a");
	is_str(turns(2, 0), "a ", "at once");
	is_str(turns(1, 10000), "a ", "and later all the same");
	is_int(time_mono_ms() - began, 5000, "at the earlier of two times");
	is_str(turns(3, 10000), "", "and once");
	fails = true;
	began = time_mono_ms();
	workqueue_add(queue, "f");
	is_str(turns(6, 100000), "f f f f f f ", "what fails comes back");
	is_int(time_mono_ms() - began, 5 + 10 + 20 + 40 + 80, "after 5 ms, and each time twice that");
	workqueue_add_after(queue, "never", 1000);
	end();
}

static void test_rest(void)
{
	int64_t began, last;

	start(true);
	takes_ms = 30;
	workqueue_add(queue, "long");
	is_str(turns(2, 0), "long ", "work that takes long");
	takes_ms = 0;
	began = time_mono_ms();
	workqueue_add(queue, "long");
	workqueue_add(queue, "other");
	is_str(turns(2, 0), "other ", "its key rests, others do not");
	while (strcmp(turns(1, 1000), "") == 0 && time_mono_ms() - began < 5000)
		;
	last = time_mono_ms();
	is_str(ran.s, "long ", "then it runs");
	ok(last - began >= 110, "after four times as long");
	workqueue_add(queue, "long");
	is_str(turns(2, 0), "long ", "and is soon again what it was");
	end();
}

int main(void)
{
	buf_init(&ran);
	test_order();
	test_later();
	test_rest();
	buf_release(&ran);
	return done_testing();
}
