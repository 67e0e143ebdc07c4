#!/bin/sh
# DNS and those who mean no good: garbage, floods, compression loops, answers as questions,
# connections that do nothing or never read, questions without number for a server that is dead.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl dig python3 curl

D=cluster.local

works()
{
	test_equal 10.43.0.1 "$(dig @10.43.0.10 +tries=2 +time=2 +short "$@" A kubernetes.default.svc.$D)"
}

metric()
{
	curl -sS --max-time 5 http://10.43.0.10:9153/metrics | awk -v name="$1" '$1 == name { print $2 }'
}

rss() # kB
{
	awk '/^VmRSS/ { print $2 }' /proc/$SERVER_PID/status
}

fds()
{
	ls /proc/$SERVER_PID/fd | wc -l
}

test_expect_success 'start; the name server of the host is one that never answers' '
	ip addr add 192.0.2.1/32 dev lo &&
	{ exec python3 -c "
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((\"192.0.2.1\", 53))
time.sleep(1000)" & } &&
	dead=$! &&
	echo "nameserver 192.0.2.1" >resolv.conf &&
	start_server --resolv-conf "$PWD/resolv.conf" &&
	works && works +tcp
'

test_expect_success 'garbage, and messages that lie' '
	python3 - <<-EOF &&
	import os, random, socket, struct
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.connect(("10.43.0.10", 53))
	s.settimeout(2)
	random.seed(1)
	good = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\0" + struct.pack(">HH", 1, 1)
	for i in range(20000):
	    kind = i % 4
	    if kind == 0:
	        m = os.urandom(random.randrange(0, 300))
	    elif kind == 1:
	        m = bytearray(good)
	        for _ in range(random.randrange(1, 6)):
	            m[random.randrange(len(m))] = random.randrange(256)
	    elif kind == 2:
	        m = good[:random.randrange(len(good))]
	    else:
	        m = good[:12] + random.choice([b"\xc0\x0c", b"\x01a\xc0\x0c", b"\xff\xff", b"\x3f" + b"a" * 63, b"\xc0\x0e\xc0\x0c"]) * random.randrange(1, 9)
	    s.send(bytes(m))
	    if i % 50 == 0:
	        s.setblocking(False)
	        try:
	            while True:
	                a = s.recv(4096)
	                assert len(a) <= 1232 and a[2] & 0x80, a
	        except BlockingIOError:
	            pass
	EOF
	works && works +tcp
'

test_expect_success 'answers are never answered, nor anything that is no question' '
	python3 - <<-EOF
	import socket, struct
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.connect(("10.43.0.10", 53))
	s.settimeout(0.5)
	q = b"\x01a\0" + struct.pack(">HH", 1, 1)
	for m in [b"", b"x", b"\0" * 11, struct.pack(">6H", 1, 0x8100, 1, 0, 0, 0) + q, b"\xff" * 1500, b"\0" * 3000]:
	    s.send(m)
	    try:
	        raise SystemExit("%r was answered by %r" % (m[:20], s.recv(4096)))
	    except socket.timeout:
	        pass
	s.send(struct.pack(">6H", 7, 0x100, 0, 0, 0, 0))
	assert s.recv(512) == struct.pack(">6H", 7, 0x8181, 0, 0, 0, 0)
	EOF
'

test_expect_success 'a flood of names outside: bounded, and the cluster is still answered' '
	before=$(rss) && fds_before=$(fds) &&
	python3 - <<-EOF &&
	import socket, struct
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.connect(("10.43.0.10", 53))
	for i in range(20000):
	    name = b"n%06d" % i
	    s.send(struct.pack(">6H", i & 65535, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b"\x07example\0" + struct.pack(">HH", 1, 1))
	EOF
	works && works +tcp &&
	test "$(metric kinglet_dns_forward_inflight)" -le 1000 &&
	test $(($(rss) - before)) -lt $((16000 * TEST_SLOW)) &&
	wait_for "test \"\$(metric kinglet_dns_forward_inflight)\" = 0" &&
	wait_for "test \"\$(fds)\" -le $((fds_before + 3))"
'

test_expect_success 'a thousand connections that do nothing, and as many again' '
	fds_before=$(fds) &&
	: >hold &&
	{ python3 - <<-EOF & } &&
	import os, socket, time
	c = []
	for i in range(1900):
	    s = socket.socket()
	    s.connect(("10.43.0.10", 53))
	    if i % 2:
	        s.send(b"\0\x20half")
	    c.append(s)
	open("held", "w").close()
	while os.path.exists("hold"):
	    time.sleep(0.05)
	EOF
	holder=$! &&
	wait_for "test -e held" &&
	works && works +tcp &&
	test "$(fds)" -le $((fds_before + 1003)) &&
	rm hold && wait $holder &&
	wait_for "test \"\$(fds)\" -le $((fds_before + 3))"
'

test_expect_success 'many questions on one connection, answered all; one who never reads; one who sends no DNS' '
	python3 - <<-EOF
	import socket, struct, time
	q = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\0" + struct.pack(">HH", 1, 1)
	frame = struct.pack(">H", len(q)) + q
	s = socket.create_connection(("10.43.0.10", 53))
	s.settimeout(5)
	for i in range(0, len(frame), 7):
	    s.send(frame[i:i + 7])
	s.sendall(frame * 499)
	s.shutdown(socket.SHUT_WR)
	got = b""
	while True:
	    piece = s.recv(65536)
	    if not piece:
	        break
	    got += piece
	n = 0
	while got:
	    size, = struct.unpack(">H", got[:2])
	    assert got[4] & 0x80
	    got = got[2 + size:]
	    n += 1
	assert n == 500, n
	deaf = socket.create_connection(("10.43.0.10", 53))
	deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
	deaf.setblocking(False)
	sent = 0
	end = time.time() + 5
	while time.time() < end:
	    try:
	        sent += deaf.send(frame * 1000)
	        end = time.time() + 0.5
	    except BlockingIOError:
	        time.sleep(0.01)
	    except OSError:
	        break
	assert sent < 30 << 20, sent
	for bad in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"\xff\xff" + b"a" * 4000):
	    s = socket.create_connection(("10.43.0.10", 53))
	    s.settimeout(2)
	    s.send(bad)
	    assert s.recv(10) == b""
	EOF
'

test_expect_success 'no answer is longer than what the rule allows for' '
	python3 - >big.json <<-EOF &&
	import json
	print(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "big"}, "spec": {"clusterIP": "None", "ports": [{"name": "p", "port": 1}]}}))
	for i in range(50):
	    print(json.dumps({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "big-%d" % i,
	        "labels": {"kubernetes.io/service-name": "big"}}, "addressType": "IPv4", "ports": [{"name": "p", "port": 1}],
	        "endpoints": [{"addresses": ["198.18.%d.%d" % (i, k)]} for k in range(100)]}))
	EOF
	kubectl create -f big.json >/dev/null &&
	wait_for "test \"\$(dig @10.43.0.10 +tcp +short A big.default.svc.$D | wc -l)\" -gt 4000" &&
	for type in A SRV ANY; do
		for size in 0 512 4096 65535; do
			case $size in 0) option=+noedns limit=512 ;; 512) option=+bufsize=512 limit=512 ;; *) option=+bufsize=$size limit=1232 ;; esac
			dig @10.43.0.10 +ignore +notcp $option $type big.default.svc.$D >got || return 1
			test_grep "flags: qr aa tc" got &&
			test "$(sed -n "s/.*MSG SIZE  rcvd: //p" got)" -le $limit || return 1
		done
	done &&
	dig @10.43.0.10 +tcp SRV _p._tcp.big.default.svc.$D >got &&
	test "$(sed -n "s/.*MSG SIZE  rcvd: //p" got)" -le 65535 &&
	test_equal 198.18.49.99 "$(dig @10.43.0.10 +short A 198-18-49-99.big.default.svc.$D)"
'

test_expect_success 'a Service that comes and goes each moment' '
	for i in $(seq 6); do
		kubectl create service clusterip flip --tcp=80 >/dev/null && kubectl delete service flip --wait=false >/dev/null || return 1
	done &&
	wait_for "dig @10.43.0.10 A flip.default.svc.$D | grep NXDOMAIN" &&
	wait_for "dig @10.43.0.10 A 198-18-0-1.big.default.svc.$D | grep NOERROR" &&
	kubectl delete service big &&
	wait_for "dig @10.43.0.10 A big.default.svc.$D | grep NXDOMAIN" &&
	works
'

test_expect_success 'the address is taken by another: the server runs all the same, and takes it when it is free' '
	stop_server &&
	kill $dead && { wait $dead || :; } && ip addr del 192.0.2.1/32 dev lo &&
	ip addr show | grep 10.43.0.10 &&
	{ exec python3 -c "
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((\"0.0.0.0\", 53))
open(\"taken\", \"w\").close()
time.sleep(1000)" & } &&
	taker=$! &&
	wait_for "test -e taken" &&
	restart_server &&
	test_grep "DNS can.t listen" $LOG &&
	kill $taker && { wait $taker || :; } &&
	wait_for -t 20 works
'

test_done
