#!/bin/sh
# What a pod with raw sockets can't do: send in the name of others (IPv4, ARP, NDP, MAC), be a router or a DHCP
# server, or reach a neighbour past the routing of the machine; and that all of it holds over a restart.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox nft python3

pod_ns() # POD COMMAND...: in its network, with our programs
{
	pod=$1
	shift
	nsenter -t "$(cat "pid.$pod")" -n "$@"
}

# A process of the pod: the one whose interface has the pod's address.
find_pod()
{
	ip=$(kubectl get pod "$1" -o jsonpath={.status.podIP}) || return 1
	container_processes | while read -r pid rest; do
		nsenter -t "$pid" -n ip -o -4 addr 2>/dev/null | grep -q "$ip/32" && { echo "$pid" >"pid.$1"; break; }
	done
	echo "$ip" >"ip.$1"
	test -s "pid.$1"
}

bridges_filter() # 0, 1: br_netfilter
{
	[ ! -d /proc/sys/net/bridge ] ||
	{ echo "$1" >/proc/sys/net/bridge/bridge-nf-call-iptables && echo "$1" >/proc/sys/net/bridge/bridge-nf-call-ip6tables; }
}

forge() # WHAT FORGED [OWN]: sent by pod a; what the bridge says of it is in ./heard
{
	rm -f heard
	{ python3 "$srcdir/t/helper/forge.py" wait kinglet0 20 >heard & } &&
	wait_for "test -s heard" &&
	pod_ns a python3 "$srcdir/t/helper/forge.py" send eth0 "$1" "$gateway" "${3:-$(cat ip.a)}" "$2" &&
	wait $!
}

passes()
{
	forge "$@" &&
	test_grep came heard
}

dropped()
{
	forge "$@" &&
	test_grep nothing heard
}

test_expect_success 'two pods' '
	bridges_filter 0 &&
	start_server --disable servicelb --disable ingress &&
	import_demo &&
	wait_node &&
	for name in a b; do
		kubectl run $name --image=localhost/demo:1 -- sleep 1000 || return 1
	done &&
	kubectl wait --for=condition=Ready pod --all --timeout=60s &&
	find_pod a && find_pod b &&
	gateway=$(cat /sys/class/net/kinglet0/address)
'

test_expect_success 'links are isolated, and know who is behind them' '
	bridge -d link show >got &&
	test "$(grep -c "learning off flood off mcast_flood off bcast_flood off.*isolated on" got)" = 2 &&
	ip neigh show dev kinglet0 >got &&
	test_grep "^$(cat ip.a) .*PERMANENT" got &&
	nft list table bridge kinglet >got &&
	test_grep "$(cat ip.b)" got
'

test_expect_success 'what a pod may send comes through' '
	pod_ns a busybox ping -c 1 -W 5 "$(cat ip.b)" &&
	passes honest 10.42.0.1 &&
	passes arp 10.42.0.1
'

test_expect_success 'a forged source address does not' '
	dropped source 10.42.0.99 &&
	dropped source "$(cat ip.b)" &&
	dropped source 192.0.2.7 &&
	dropped source 127.0.0.1
'

test_expect_success 'nor an answer to ARP for another, nor another MAC' '
	dropped arp-other "$(cat ip.b)" &&
	dropped arp-other 10.42.0.1 &&
	dropped arp-mac 10.42.0.1 &&
	dropped mac 10.42.0.1
'

test_expect_success 'nor router advertisements, redirects, DHCP answers, other protocols' '
	dropped ra ff02::1 &&
	dropped redirect ff02::1 &&
	dropped dhcp 10.42.0.1 &&
	dropped vlan 10.42.0.1
'

test_expect_success 'nor addresses of IPv6 that are not its own' '
	dropped source fd42::2 fd42::9 &&
	dropped na-other fd42::2 fe80::9 &&
	passes na fe80::9 fe80::9
'

test_expect_success 'a frame for the MAC of a neighbour goes nowhere' '
	other=$(pod_ns b ip -o link show eth0 | sed "s/.*link.ether \([0-9a-f:]*\).*/\1/") &&
	{ pod_ns b python3 "$srcdir/t/helper/forge.py" wait eth0 2 >heard & } &&
	wait_for "test -s heard" &&
	pod_ns a python3 "$srcdir/t/helper/forge.py" send eth0 direct "$other" "$(cat ip.a)" "$(cat ip.b)" &&
	wait $! &&
	test_grep nothing heard
'

test_expect_success 'after kill -9 and a start all of it holds, without a gap' '
	kill_server &&
	dropped source 10.42.0.99 &&
	start_server --disable servicelb --disable ingress &&
	wait_node &&
	dropped source 10.42.0.99 &&
	passes honest 10.42.0.1
'

test_expect_success 'a guard that somebody flushed is there again after a restart' '
	nft delete table bridge kinglet &&
	passes source 10.42.0.99 &&
	restart_server &&
	wait_node &&
	wait_for "dropped source 10.42.0.99"
'

test_expect_success 'where bridges filter, too, pods reach each other and not what is forged' '
	bridges_filter 1 &&
	restart_server &&
	wait_node &&
	pod_ns a busybox ping -c 1 -W 5 "$(cat ip.b)" &&
	dropped source 10.42.0.99
'

test_expect_success 'with its pod an element goes' '
	kubectl delete pod a b --now &&
	wait_for "nft list table bridge kinglet >got && ! grep elements got"
'

test_done
