#!/bin/sh
# The pod network: every pod its address, pods reach each other, the node and
# (masqueraded) the world outside; addresses survive restarts and are used again;
# pods of the host's network; what killall removes.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox

ip_of()
{
	kubectl get pod "$1" -o "jsonpath={.status.podIP}"
}

# The world outside: a namespace behind a link of the node, which tells who called.
outside_up()
{
	ip link add up0 type veth peer name up1 || return 1
	unshare -n sh -c 'echo $$ >outside.pid; exec sleep 1000' &
	test_outside=$!
	wait_for "test -s outside.pid" &&
	ip link set up1 netns "$(cat outside.pid)" &&
	ip addr add 192.0.2.1/24 dev up0 &&
	ip link set up0 up &&
	outside ip addr add 192.0.2.2/24 dev up1 &&
	outside ip link set up1 up &&
	outside ip link set lo up &&
	ip route add default via 192.0.2.2
}

outside()
{
	nsenter -t "$(cat outside.pid)" -n "$@"
}

outside_down()
{
	ip link del up0 &&
	kill $test_outside &&
	{ wait $test_outside || :; }
}

test_expect_success 'start on a node with a way out' '
	ip link >links.before &&
	outside_up &&
	start_server &&
	import_demo &&
	wait_node &&
	test_equal 192.0.2.1 "$(kubectl get node n1 \
		-o jsonpath="{.status.addresses[?(@.type==\"InternalIP\")].address}")"
'

test_expect_success 'each pod has an address of its own from the node'"'"'s range' '
	for name in a b; do
		kubectl run $name --image=localhost/demo:1 -- sh -c "
			echo I am $name >/tmp/index.html
			exec httpd -f -v -p 80 -h /tmp" || return 1
	done &&
	kubectl wait --for=condition=Ready pod --all --timeout=60s &&
	a=$(ip_of a) && b=$(ip_of b) &&
	test "$a" != "$b" &&
	case $a in 10.42.0.*) ;; *) false ;; esac &&
	case $b in 10.42.0.*) ;; *) false ;; esac &&
	kubectl get pod a -o wide >got &&
	test_grep "$a  *n1 " got
'

test_expect_success 'node to pod, pod to pod, pod to itself, pod to node' '
	test_equal "I am a" "$(curl -sS --max-time 5 http://$a/)" &&
	test_equal "I am b" "$(kubectl exec a -- wget -q -O - http://$b/)" &&
	test_equal "I am a" "$(kubectl exec a -- wget -q -O - http://$a/)" &&
	kubectl exec a -- ping -c 1 -W 5 192.0.2.1 &&
	kubectl exec a -- wget -q -O /dev/null http://127.0.0.1/
'

test_expect_success 'inside: one interface beside lo, a default route, the name in /etc/hosts' '
	kubectl exec a -- ip -o -4 addr >got &&
	test_grep "eth0 .*inet $a/32" got &&
	test_lines 2 got &&
	kubectl exec a -- ip route >got &&
	test_grep "^default via 10\.42\.0\.1 dev eth0" got &&
	kubectl exec a -- cat /etc/hosts >got &&
	test_grep "^$a[[:space:]]*a$" got &&
	kubectl exec a -- cat /etc/resolv.conf >got &&
	test_grep . got
'

test_expect_success 'pods see each other by their own addresses' '
	kubectl logs b >got &&
	test_grep "$a" got
'

test_expect_success 'pod to outside goes by the address of the node, and the answer comes back' '
	echo "from outside" >index.html &&
	{ exec nsenter -t "$(cat outside.pid)" -n busybox httpd -f -v -p 8080 -h . 2>callers & } &&
	httpd=$! &&
	test_when_finished "kill $httpd; wait $httpd" &&
	wait_for "outside busybox netstat -ltn | grep :8080" &&
	test_equal "from outside" "$(kubectl exec a -- wget -q -O - http://192.0.2.2:8080/)" &&
	test_grep "192\.0\.2\.1[]:]" callers &&
	! grep "$a" callers
'

test_expect_success 'kill the server, start again: addresses stay, new pods get others' '
	kill_server &&
	start_server &&
	test_equal "$a $b" "$(ip_of a) $(ip_of b)" &&
	test_equal "I am b" "$(curl -sS --max-time 5 http://$b/)" &&
	kubectl run c --image=localhost/demo:1 -- sleep 600 &&
	kubectl wait --for=condition=Ready pod/c --timeout=60s &&
	c=$(ip_of c) &&
	test "$c" != "$a" && test "$c" != "$b" &&
	test_equal "I am a" "$(kubectl exec c -- wget -q -O - http://$a/)"
'

test_expect_success 'a link goes with its pod' '
	ip -o link show master kinglet0 >got &&
	test_lines 3 got &&
	kubectl delete pod c --now &&
	wait_for "ip -o link show master kinglet0 >got && test_lines 2 got" &&
	test_must_fail curl -sS --max-time 1 http://$c/
'

test_expect_success 'a pod in the network of the node' '
	kubectl run host --image=localhost/demo:1 --overrides="{\"spec\":{\"hostNetwork\":true}}" -- \
		httpd -f -p 8081 -h /var/www &&
	kubectl wait --for=condition=Ready pod/host --timeout=60s &&
	test_equal 192.0.2.1 "$(ip_of host)" &&
	curl -sS --max-time 5 http://127.0.0.1:8081/ >got &&
	test_grep Hello got &&
	kubectl exec host -- ip link >inside &&
	ip link >want &&
	test_equal "$(grep -c "^[0-9]" want)" "$(grep -c "^[0-9]" inside)" &&
	kubectl delete pod host --now
'

test_expect_success 'a hostPort that is taken keeps the next pod Pending' '
	for name in p q; do
		kubectl run $name --image=localhost/demo:1 --overrides="{\"spec\":{\"containers\":[{\"name\":\"x\",
			\"image\":\"localhost/demo:1\",\"command\":[\"sleep\",\"600\"],
			\"ports\":[{\"containerPort\":80,\"hostPort\":8088}]}]}}" || return 1
	done &&
	wait_for "kubectl get pods p q | grep Running" &&
	wait_for "kubectl get events | grep \"didn.t have free ports for the requested pod ports\"" &&
	kubectl delete pod p q --now
'

if command -v nft >/dev/null; then
	test_expect_success 'our rules are in tables of our name, beside those of others' '
		nft add table ip other && nft add chain ip other c &&
		nft list tables >got &&
		test_grep kinglet got &&
		test_lines 3 got
	'
fi

test_expect_success 'killall leaves links and rules as they were' '
	stop_server &&
	killall_pods &&
	outside_down &&
	ip link >links.after &&
	test_cmp links.before links.after &&
	if command -v nft >/dev/null; then
		nft list tables >got &&
		test_equal "table ip other" "$(cat got)" &&
		nft delete table ip other
	fi
'

test_done
