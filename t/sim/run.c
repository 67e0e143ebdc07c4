/*
 * run [FILE...]: runs the scenarios of these files, or of all t/sim/N*.sim, and
 * tells of each in TAP. SCENARIO=text runs only those that have it in their name.
 *
 * The cluster is set up once; each scenario is a child process that has it as it
 * was then, so that none finds what another left, and one that crashes or hangs
 * is one failure. What they print comes in the order of the files.
 */
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/sim/run.h"

#define LIMIT_S 60 /* of real time, for one scenario */
#define PARALLEL 2
#define OUTPUT_MAX 60000 /* a pipe holds it, so no child waits for us */

struct child {
	pid_t pid;
	int fd;
	const struct scenario *s;
};

/* Where memory is watched, what was left is found in the end. */
#if defined(__SANITIZE_ADDRESS__)
#define CLEAN_UP true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CLEAN_UP true
#endif
#endif
#ifndef CLEAN_UP
#define CLEAN_UP false
#endif

static int slowness(void)
{
	const char *slow = getenv("TEST_SLOW");

	return slow && atoi(slow) > 0 ? atoi(slow) : 1;
}

static NORETURN void run_child(struct world *w, const struct scenario *s, int fd, struct scenarios *all)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	bool failed;

	alarm((unsigned)(LIMIT_S * slowness()));
	run_scenario(w, s);
	failed = world_failed(w);
	if (failed) {
		buf_adds(&out, w->failure.s);
		world_describe(w, &out);
		if (write(fd, out.s, out.len < OUTPUT_MAX ? out.len : OUTPUT_MAX) < 0)
			perror("write");
	}
	if (!CLEAN_UP)
		_exit(failed);
	world_close(w);
	scenarios_release(all);
	buf_release(&out);
	exit(failed);
}

static struct child start(struct world *w, const struct scenario *s, struct scenarios *all)
{
	struct child c = { .s = s };
	int fds[2];

	fflush(stdout);
	BUG_ON(pipe(fds) < 0);
	c.pid = fork();
	BUG_ON(c.pid < 0);
	if (c.pid == 0) {
		close(fds[0]);
		run_child(w, s, fds[1], all);
	}
	close(fds[1]);
	c.fd = fds[0];
	return c;
}

static void print_failure(const struct child *c, int status, const struct buf *out)
{
	struct str text = buf_str(out);

	if (WIFSIGNALED(status))
		printf("# %s\n", WTERMSIG(status) == SIGALRM ? "it did not come to an end" : strsignal(WTERMSIG(status)));
	while (text.p && text.n) {
		struct str line = str_cut(&text, '\n');

		printf("# %" STR_FMT "\n", STR_ARG(line));
	}
}

/* True: it went well. */
static bool finish(struct child *c, int number)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	char bytes[4096];
	int status;
	ssize_t n;

	while ((n = read(c->fd, bytes, sizeof(bytes))) > 0)
		buf_add(&out, bytes, (size_t)n);
	close(c->fd);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	printf("%sok %d - %s\n", status ? "not " : "", number, c->s->name);
	if (status)
		print_failure(c, status, &out);
	fflush(stdout);
	return status == 0;
}

static int run_all(struct world *w, struct scenarios *all, const char *only)
{
	struct child running[PARALLEL] = { 0 };
	size_t begun = 0, ended = 0, bad = 0, n = 0;

	for (size_t i = 0; i < all->of.n; i++) {
		if (only && !strstr(all->of.v[i].name, only))
			continue;
		if (begun - ended == PARALLEL) {
			bad += !finish(&running[ended % PARALLEL], (int)++n);
			ended++;
		}
		running[begun++ % PARALLEL] = start(w, &all->of.v[i], all);
	}
	for (; ended < begun; ended++)
		bad += !finish(&running[ended % PARALLEL], (int)++n);
	printf("1..%zu\n", n);
	return bad ? 1 : 0;
}

static bool read_default(struct scenarios *all)
{
	const char *srcdir = getenv("srcdir");
	_cleanup_free_ char *pattern = xasprintf("%s/t/sim/*.sim", srcdir ? srcdir : ".");
	bool good = true;
	glob_t g;

	if (glob(pattern, 0, NULL, &g) != 0) {
		printf("Bail out! no scenarios: %s\n", pattern);
		return false;
	}
	for (size_t i = 0; i < g.gl_pathc && good; i++)
		good = scenarios_read(all, g.gl_pathv[i]);
	globfree(&g);
	return good;
}

int main(int argc, char **argv)
{
	struct scenarios all = { 0 };
	struct world w = { 0 };
	bool good = true;
	int r = 1;

	for (int i = 1; i < argc && good; i++)
		good = scenarios_read(&all, argv[i]);
	if (argc == 1)
		good = read_default(&all);
	if (good) {
		world_open(&w);
		r = run_all(&w, &all, getenv("SCENARIO"));
		world_close(&w);
	}
	scenarios_release(&all);
	return r;
}
