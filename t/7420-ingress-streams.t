#!/bin/sh
# What streams through the ingress: bodies of any size with little memory, events as
# they come, upgraded connections, and endpoints that die in the middle.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-ingress.sh"
test_needs kubectl curl python3

rss()
{
	awk '/^VmRSS/ { print $2 }' "/proc/$SERVER_PID/status"
}

test_expect_success 'start' '
	backends_up &&
	start_server &&
	service a 192.0.2.11 &&
	ingress a "" "
  - host: a.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}" &&
	wait_for "test \"\$(status http://a.com/)\" = 200"
'

test_expect_success 'large bodies go through in both directions, and are not gathered' '
	before=$(rss) &&
	test_equal "200 200000000" "$(get -o /dev/null -w "%{http_code} %{size_download}" "http://a.com/big?200000000")" &&
	head -c 50000000 /dev/zero >big &&
	test_equal "50000000 $(sha256sum <big | cut -d" " -f1)" "$(get --data-binary @big http://a.com/)" &&
	test_equal "50000000 $(sha256sum <big | cut -d" " -f1)" "$(get -H "Transfer-Encoding: chunked" -H Expect: --data-binary @big http://a.com/)" &&
	get -v -H "Expect: 100-continue" --data-binary @big http://a.com/ >got 2>&1 &&
	test_grep "^< HTTP/1.1 100 Continue" got &&
	test $(($(rss) - before)) -lt 4000
'

test_expect_success 'a client that does not read holds nothing up, and costs little' '
	before=$(rss) &&
	{ python3 -c "
import socket, time
all = []
for i in range(50):
	s = socket.socket()
	s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
	s.connect((\"127.0.0.1\", 80))
	s.sendall(b\"GET /big?20000000 HTTP/1.1\\r\\nHost: a.com\\r\\n\\r\\n\")
	all.append(s)
open(\"slow\", \"w\").close()
while True: time.sleep(10)
" & slow=$!; } &&
	wait_for "test -e slow" &&
	test_equal 200 "$(status http://a.com/)" &&
	test $(($(rss) - before)) -lt 16000 &&
	kill $slow
'

test_expect_success 'chunks and events come as they are sent; HTTP/1.0 gets them plain' '
	get -N -w "%{time_starttransfer} %{time_total}\n" "http://a.com/events?5" >got &&
	test_grep "^data: 4$" got &&
	tail -n 1 got | awk "{ exit !(\$1 < 0.3 && \$2 > 0.4) }" &&
	get --http1.0 -i "http://a.com/slow?2" >got &&
	test_grep "^data: 1$" got &&
	test_grep "^Connection: close" got &&
	! grep -i "transfer-encoding" got
'

test_expect_success 'HEAD, 204, 304, hints before the answer' '
	get -I http://a.com/x >got && test_grep "^Content-Length: 14" got &&
	test_equal 204 "$(status "http://a.com/status?204")" &&
	test_equal 304 "$(status "http://a.com/status?304")" &&
	get -v http://a.com/early >got 2>&1 &&
	test_grep "^< HTTP/1.1 103 Early Hints" got && test_grep "^late$" got
'

test_expect_success 'an upgraded connection is bytes both ways' '
	python3 - <<-EOC
	import socket
	s = socket.create_connection(("127.0.0.1", 80))
	s.sendall(b"GET /echo HTTP/1.1\r\nHost: a.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nfirst")
	got = b""
	while not got.endswith(b"first"): got += s.recv(1000)
	assert got.startswith(b"HTTP/1.1 101 "), got
	assert b"Upgrade: websocket" in got and b"Connection: upgrade" in got, got
	n = 0
	s.setblocking(False)
	import select
	sent = 0
	data = b"z" * 65536
	while n < 3000000:
	    r, w, _ = select.select([s], [s] if sent < 3000000 else [], [], 10)
	    assert r or w
	    if r: n += len(s.recv(65536))
	    if w: sent += s.send(data[:3000000 - sent])
	s.setblocking(True)
	s.shutdown(socket.SHUT_WR)
	assert s.recv(10) == b""
	EOC
'

test_expect_success 'h2c is not passed on: it would pass by every rule' '
	get -H "Connection: Upgrade, HTTP2-Settings" -H "Upgrade: h2c" -H "HTTP2-Settings: AAMAAABkAAQAAP__" http://a.com/headers >got &&
	! grep -i "upgrade\|http2-settings" got
'

test_expect_success 'an endpoint that dies in the middle cuts the client off; before the answer it is 502' '
	test_equal 18 "$(get -o got "http://a.com/die" >/dev/null 2>&1; echo $?)" &&
	test_equal 500 "$(wc -c <got)" &&
	test_equal 502 "$(status http://a.com/close)" &&
	test_equal 502 "$(status http://a.com/garbage)" &&
	test_equal 502 "$(status http://a.com/twice)" &&
	test_equal 502 "$(status http://a.com/headline)" &&
	test_equal ok "$(get http://a.com/more)" &&
	test_equal "192.0.2.11 /x" "$(get http://a.com/x)" &&
	test_equal 401 "$(status --data-binary @big http://a.com/refuse)"
'

test_expect_success 'one that says nothing is given up after the time of its annotation' '
	kubectl annotate ingress a nginx.ingress.kubernetes.io/proxy-read-timeout=1 &&
	wait_for "test \"\$(status --max-time 3 http://a.com/never)\" = 504"
'

test_expect_success 'requests under way end well when their endpoint leaves, and new ones go elsewhere' '
	kubectl annotate ingress a nginx.ingress.kubernetes.io/proxy-read-timeout- &&
	{ get "http://a.com/slow?20" >slowly & slowly=$!; } &&
	wait_for "test -s slowly || curl -sS http://127.0.0.1:10254/metrics | grep -q \"^kinglet_ingress_connections 1\"" &&
	service a 192.0.2.12 &&
	wait_for "test \"\$(get http://a.com/)\" = \"192.0.2.12 /\"" &&
	wait $slowly &&
	test_grep "^data: 19$" slowly
'

backends_down
test_done
