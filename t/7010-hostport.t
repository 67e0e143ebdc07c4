#!/bin/sh
# Host ports: a pod is reached at the machine's own addresses, from the machine, from other machines, from itself
# and from other pods; a hostIP holds; what clashes is refused; nothing is left of pods that are gone.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox nft ip perl

quote="'"

pod() # NAME PORTS [SPEC]: answers every request with its name
{
	printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"terminationGracePeriodSeconds":1,%s
		"nodeName":"n1","containers":[{"name":"c","image":"localhost/demo:1","ports":[%s],"command":["sh","-c",
		"mkdir /w; echo from %s >/w/index.html; exec httpd -f -p 8080 -h /w"]}]}}' \
		"$1" "$3" "$2" "$1" | kubectl create -f -
}

ready()
{
	kubectl wait --for=condition=Ready "pod/$1" --timeout=60s
}

get() # ADDRESS:PORT
{
	curl -sS --max-time 5 "http://$1/"
}

# Another machine: a network namespace on a wire.
test_expect_success 'start; another machine on the wire' '
	{ unshare -n sleep 600 & } && other=$! &&
	wait_for "test \"\$(readlink /proc/$other/ns/net)\" != \"\$(readlink /proc/self/ns/net)\"" &&
	ip link add wire type veth peer name far && ip link set far netns $other &&
	ip addr add 192.0.2.1/24 dev wire && ip link set wire up &&
	nsenter -n -t $other sh -c "ip link set lo up; ip addr add 192.0.2.2/24 dev far; ip link set far up" &&
	import_demo && start_server --node-ip 192.0.2.1 && wait_node
'

test_expect_success 'without host ports there are no rules for them' '
	nft list chain inet kinglet hostports >got && test_must_fail grep dport got
'

test_expect_success 'from the machine by any of its addresses, and from another machine' '
	pod web "{\"containerPort\":8080,\"hostPort\":18080},{\"containerPort\":53,\"hostPort\":1053,\"protocol\":\"UDP\"},
		{\"containerPort\":99,\"hostPort\":99,\"protocol\":\"SCTP\"}" && ready web &&
	nft list table inet kinglet &&
	test_equal "from web" "$(get 127.0.0.1:18080)" &&
	test_equal "from web" "$(get 192.0.2.1:18080)" &&
	test_equal "from web" "$(nsenter -n -t $other curl -sS --max-time 5 http://192.0.2.1:18080/)" &&
	kubectl get pod web -o jsonpath="{.status.hostIP} {.status.podIP}" >got && test_grep "^192.0.2.1 10.42.0" got
'

test_expect_success 'by UDP' '
	udp="use IO::Socket::INET; alarm 5; my \$s = IO::Socket::INET->new(Proto => q(udp), PeerAddr => q(192.0.2.1:1053));
		\$s->send(q(ping)); \$s->recv(my \$got, 100); print \$got" &&
	web=$(container_processes | grep "httpd" | head -n1 | cut -d" " -f1) &&
	echo="use IO::Socket::INET; my \$s = IO::Socket::INET->new(Proto => q(udp), LocalPort => 53);
		while (\$s->recv(my \$got, 100)) { \$s->send(\$got) }" &&
	{ nsenter -n -t $web perl -e "$echo" & } &&
	server=$! &&
	test_when_finished "kill $server; wait $server" &&
	wait_for "cat /proc/$web/net/udp | grep :0035" &&
	test_equal ping "$(nsenter -n -t $other perl -e "$udp")" &&
	test_equal ping "$(perl -e "$udp")"
'

test_expect_success 'from the pod itself, and from another pod' '
	pod other "" && ready other &&
	test_equal "from web" "$(kubectl exec web -- wget -q -O - http://192.0.2.1:18080/)" &&
	test_equal "from web" "$(kubectl exec other -- wget -q -O - http://192.0.2.1:18080/)"
'

test_expect_success 'what pods send to or from 127.0.0.0/8 is dropped on the bridge' '
	nft list chain inet kinglet guard >got && test_grep "ip daddr 127.0.0.0/8 drop" got && test_grep "ip saddr 127.0.0.0/8 drop" got
'

test_expect_success 'the address that hostIP names, and no other' '
	pod bound "{\"containerPort\":8080,\"hostPort\":18081,\"hostIP\":\"127.0.0.1\"}" && ready bound &&
	test_equal "from bound" "$(get 127.0.0.1:18081)" &&
	test_must_fail get 192.0.2.1:18081
'

test_expect_success 'a port that is taken: the pod is rejected; another address or protocol is not taken' '
	pod clash "{\"containerPort\":8080,\"hostPort\":18080}" &&
	wait_for "kubectl get pod clash -o jsonpath=\"{.status.phase}\" | grep Failed" &&
	test_equal "NodePorts: Pod was rejected: Predicate NodePorts failed: node(s) didn${quote}t have free ports for the requested pod ports" \
		"$(kubectl get pod clash -o jsonpath="{.status.reason}: {.status.message}")" &&
	pod second "{\"containerPort\":8080,\"hostPort\":18081,\"hostIP\":\"192.0.2.1\"}" && ready second &&
	test_equal "from second" "$(nsenter -n -t $other curl -sS --max-time 5 http://192.0.2.1:18081/)" &&
	test_equal "from bound" "$(get 127.0.0.1:18081)"
'

test_expect_success 'while the server is down, and when it is back' '
	kill_server &&
	test_equal "from web" "$(get 127.0.0.1:18080)" &&
	start_server --node-ip 192.0.2.1 && wait_node &&
	test_equal "from web" "$(nsenter -n -t $other curl -sS --max-time 5 http://192.0.2.1:18080/)" &&
	test_equal "from web" "$(get 127.0.0.1:18080)"
'

test_expect_success 'gone with their pods, one by one' '
	kubectl delete pod web --now &&
	test_must_fail get 127.0.0.1:18080 &&
	test_equal "from bound" "$(get 127.0.0.1:18081)" &&
	pod web "{\"containerPort\":8080,\"hostPort\":18080}" && ready web &&
	test_equal "from web" "$(get 127.0.0.1:18080)" &&
	kubectl delete pod --all --now &&
	nft list chain inet kinglet hostports >got && test_must_fail grep dport got
'

test_expect_success 'stop the other machine' '
	ip link del wire && kill $other && { wait $other || :; }
'

test_done
