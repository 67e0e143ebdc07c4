#!/bin/sh
# port-forward and cp: many connections at once, much data both ways, half-closed ones,
# ports where nobody listens; files intact, and the server small meanwhile.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox python3 socat

stream=$srcdir/t/helper/stream.py

forward() # PORT...: in the background; its process is $forward
{
	: >forwarded
	{ kubectl_bg port-forward pod/h "$@" >forwarded 2>&1 & }
	forward=$!
	for port; do
		wait_for "grep 127.0.0.1:${port%%:*} forwarded" || return 1
	done
}

rss()
{
	awk '/VmRSS/ { print $2 }' /proc/$SERVER_PID/status
}

test_expect_success 'a pod in the network of the node, where something listens' '
	start_server && import_demo && wait_node &&
	kubectl run h --image=localhost/demo:1 --overrides="{\"spec\":{\"hostNetwork\":true}}" -- sleep 6000 &&
	kubectl wait --for=condition=Ready pod/h --timeout=30s &&
	{ socat TCP-LISTEN:9000,fork,backlog=500,reuseaddr SYSTEM:cat & } && echo_pid=$! &&
	{ socat TCP-LISTEN:9001,fork,backlog=500,reuseaddr SYSTEM:"sha256sum" & } && sum_pid=$! &&
	head -c 20000000 /dev/urandom >data
'

forwards()
{
	test_expect_success 'several ports; 60 connections at once; half-closed; 20 MB both ways' '
		forward 19000:9000 19001:9001 19002:9002 &&
		test_when_finished "kill $forward; wait $forward" &&
		test_equal "60 of 60" "$("$stream" forward -n 60 19000 "words to come back")" &&
		test_equal "$(printf "a b" | sha256sum)" "$(printf "a b" | timeout 10 socat -t 8 - TCP:127.0.0.1:19001)" &&
		before=$(rss) &&
		timeout 60 socat -t 20 -b 65536 TCP:127.0.0.1:19000 - <data >back && test_cmp data back &&
		after=$(rss) && echo "RSS $before kB, $after kB" && [ $((after - before)) -lt 4000 ]
	'
	test_expect_success 'nobody listens: the text on the error stream, and kubectl gives up' '
		forward 19002:9002 &&
		{ echo x | timeout 10 socat -t 5 - TCP:127.0.0.1:19002 || :; } &&
		test_must_fail wait $forward &&
		test_grep "error forwarding port 9002 to pod h, uid [0-9a-f-]*: failed to connect to localhost:9002 inside namespace .*: dial tcp4 127.0.0.1:9002: connect: connection refused" forwarded &&
		test_grep "lost connection to pod" forwarded
	'
}
for_each_kubectl 2 forwards

test_expect_success 'the old WebSocket protocol, as client libraries speak it' '
	test_equal "data hello error " "$("$stream" frames "/api/v1/namespaces/default/pods/h/portforward?ports=9000" 9000 hello)" &&
	"$stream" frames "/api/v1/namespaces/default/pods/h/portforward?ports=9002" 9002 hello >got &&
	test_grep "data  error .*connection refused" got &&
	test_equal "http 400" "$("$stream" frames "/api/v1/namespaces/default/pods/h/portforward" 1 x)" &&
	test_equal "http 400" "$("$stream" frames "/api/v1/namespaces/default/pods/h/portforward?ports=0" 1 x)" &&
	test_equal "http 400" "$("$stream" frames "/api/v1/namespaces/default/pods/h/portforward?ports=http" 1 x)"
'

test_expect_success 'cp of 64 MB there and back, intact; the server does not grow' '
	head -c 67108864 /dev/urandom >big &&
	before=$(rss) &&
	kubectl cp big h:/tmp/big &&
	middle=$(rss) &&
	kubectl cp h:/tmp/big back && test_cmp big back &&
	after=$(rss) && echo "RSS $before kB, $middle kB, $after kB" &&
	[ $((middle - before)) -lt 4000 ] && [ $((after - before)) -lt 4000 ]
'

test_expect_success 'the pod goes: what was forwarded ends' '
	forward 19000:9000 &&
	kubectl delete pod h --now &&
	{ timeout 10 socat -t 3 -u TCP:127.0.0.1:19000 - || :; } &&
	wait_for "! kill -0 $forward || grep \"lost connection\|error forwarding\" forwarded" &&
	{ kill $forward; wait $forward || :; } &&
	kill $echo_pid $sum_pid
'

test_done
