/*
 * The book's small web application, as a static program: it takes the place of
 * node in the stand-in images of t/book/lib.sh, so that it is started as there,
 * `node app.js`. What it answers on port 8080 goes by the name of the script.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 8080, PATIENCE_S = 10 };

/* What a variant answers; from request number `tires` on (0: never) it fails. */
struct app {
	const char *script;
	int tires;
	const char *text;  /* the host's name follows */
	const char *tired; /* also here where it ends in a blank */
};

static const struct app APPS[] = {
	{ "app.js", 0, "You've hit ", NULL },
	{ "unhealthy.js", 6, "You've hit ", "I'm not well. Please restart me!" },
	{ "v1.js", 0, "This is v1 running in pod ", NULL },
	{ "v2.js", 0, "This is v2 running in pod ", NULL },
	{ "v3.js", 5, "This is v3 running in pod ", "Some internal error has occurred! This is pod " },
	{ NULL, 0, "You've hit ", NULL }, /* any other script */
};

/* The first process of a container does not die of SIGTERM by itself. */
static void on_term(int sig)
{
	_exit(128 + sig);
}

static const struct app *app_of(const char *script)
{
	const struct app *a = APPS;

	while (a->script && strcmp(a->script, script) != 0)
		a++;
	return a;
}

static int listen_on(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 64) < 0) {
		perror("kubia: port");
		exit(1);
	}
	return fd;
}

/* Reads as far as the empty line; false when the client went away, or talks too long. */
static int read_head(int fd, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size - 1 && (n = read(fd, buf + have, size - 1 - have)) > 0) {
		have += (size_t)n;
		buf[have] = '\0';
		if (strstr(buf, "\r\n\r\n"))
			return 1;
	}
	return 0;
}

static void answer(int fd, const struct app *a, int number)
{
	char host[256] = "", body[512], head[256];
	int tired = a->tires && number >= a->tires, n;

	gethostname(host, sizeof(host) - 1);
	if (tired)
		n = snprintf(body, sizeof(body), "%s%s\n", a->tired, a->tired[strlen(a->tired) - 1] == ' ' ? host : "");
	else
		n = snprintf(body, sizeof(body), "%s%s\n", a->text, host);
	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		 tired ? "500 Internal Server Error" : "200 OK", n);
	if (write(fd, head, strlen(head)) < 0 || write(fd, body, (size_t)n) < 0)
		perror("kubia: answer");
}

int main(int argc, char **argv)
{
	const struct app *a = app_of(argc > 1 ? argv[1] : "app.js");
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int listener, number = 0;

	signal(SIGTERM, on_term);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	listener = listen_on(PORT);
	puts("Kubia server starting...");
	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		char buf[8192], ip[INET_ADDRSTRLEN];
		int fd = accept(listener, (struct sockaddr *)&from, &len);

		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (read_head(fd, buf, sizeof(buf))) {
			printf("Received request from %s\n", inet_ntop(AF_INET, &from.sin_addr, ip, sizeof(ip)));
			answer(fd, a, ++number);
		}
		close(fd);
	}
}
