#!/bin/sh
# Requests that two readers could understand in two ways, that never end, or that
# are too large: refused, bounded, and never passed on.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-ingress.sh"
test_needs kubectl curl python3

# raw TEXT (printf): the status of the first answer, or "cut"
raw()
{
	printf "$1" | python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", 80))
s.settimeout(10)
s.sendall(sys.stdin.buffer.read())
got = b""
try:
	while True:
		d = s.recv(65536)
		if not d: break
		got += d
		if b"\r\n\r\n" in got and b"HTTP/1.1 1" not in got: break
except OSError:
	pass
print(got.split()[1].decode() if got else "cut")'
}

test_expect_success 'start' '
	backends_up &&
	start_server &&
	service a 192.0.2.11 &&
	ingress a "" "
  - host: a.com
    http:
      paths:
      - {path: /ok, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}" &&
	wait_for "test \"\$(status http://a.com/ok)\" = 200" &&
	test_equal 200 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com\r\n\r\n")"
'

test_expect_success 'where a request ends is never a matter of opinion' '
	test_equal 400 "$(raw "POST /ok HTTP/1.1\r\nHost: a.com\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")" &&
	test_equal 400 "$(raw "POST /ok HTTP/1.1\r\nHost: a.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")" &&
	test_equal 400 "$(raw "POST /ok HTTP/1.0\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")" &&
	test_equal 501 "$(raw "POST /ok HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")" &&
	test_equal 400 "$(raw "POST /ok HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n")" &&
	test_equal 400 "$(raw "POST /ok HTTP/1.1\r\nHost: a.com\r\nContent-Length: +5\r\n\r\nhello")" &&
	test_equal 400 "$(raw "POST /ok HTTP/1.1\r\nHost: a.com\r\nContent-Length: -1\r\n\r\nhello")" &&
	test_equal 400 "$(raw "POST /ok HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")" &&
	test_equal 400 "$(raw "GET /ok HTTP/1.1\nHost: a.com\n\n\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com\r\nX: a\r\n b\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com\r\nX: a\rb\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com\r\nX: a\000b\r\n\r\n")"
'

test_expect_success 'nor whose it is' '
	test_equal 400 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com\r\nHost: b.com\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok HTTP/1.1\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com/evil\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com@b.com\r\n\r\n")" &&
	test_equal 200 "$(raw "GET http://a.com/ok HTTP/1.1\r\nHost: nobody.com\r\n\r\n")" &&
	test_equal 404 "$(raw "GET http://nobody.com/ok HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 400 "$(raw "GET http://x@a.com/ok HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 405 "$(raw "CONNECT /ok HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok /x HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok%%00 HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 404 "$(raw "GET /ok/../secret HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 404 "$(raw "GET /ok/%%2e%%2E/secret HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 400 "$(raw "GET /ok/../../secret HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 200 "$(raw "GET /%%6fk HTTP/1.1\r\nHost: a.com\r\n\r\n")" &&
	test_equal 505 "$(raw "GET /ok HTTP/2.0\r\nHost: a.com\r\n\r\n")"
'

test_expect_success 'too large: 431, 414' '
	big=$(head -c 40000 /dev/zero | tr "\0" a) &&
	test_equal 431 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com\r\nX: $big\r\n\r\n")" &&
	test_equal 431 "$(raw "GET /ok HTTP/1.1\r\nHost: a.com\r\n$(for i in $(seq 200); do printf "X$i: 1\\\\r\\\\n"; done)\r\n")"
'

test_expect_success 'pipelined requests are answered in their order' '
	python3 - <<-EOC
	import socket
	s = socket.create_connection(("127.0.0.1", 80))
	n = 200
	s.sendall(b"".join(b"GET /ok/%d HTTP/1.1\r\nHost: a.com\r\n\r\n" % i for i in range(n)))
	f = s.makefile("rb")
	for i in range(n):
	    assert f.readline().startswith(b"HTTP/1.1 200"), i
	    size = 0
	    while True:
	        l = f.readline().strip().lower()
	        if not l: break
	        if l.startswith(b"content-length:"): size = int(l[15:])
	    assert f.read(size) == b"192.0.2.11 /ok/%d\n" % i, i
	EOC
'

test_expect_success 'many that say nothing, or little, hold nobody up and cost little' '
	before=$(awk "/^VmRSS/ { print \$2 }" /proc/$SERVER_PID/status) &&
	{ python3 -c "
import socket, time
all = [socket.create_connection((\"127.0.0.1\", 80)) for i in range(500)]
for i, s in enumerate(all):
	if i % 2: s.sendall(b\"GET /ok HTTP/1.1\\r\\nHost: a.c\")
open(\"many\", \"w\").close()
time.sleep(60)
" & many=$!; } &&
	wait_for "test -e many" &&
	test_equal 200 "$(status http://a.com/ok)" &&
	test $(($(awk "/^VmRSS/ { print \$2 }" /proc/$SERVER_PID/status) - before)) -lt 8000 &&
	kill $many
'

backends_down
test_done
