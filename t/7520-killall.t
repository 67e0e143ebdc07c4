#!/bin/sh
# kinglet killall leaves the machine as it was before: links, addresses, routes, rules, tables
# of nf_tables, connections; whatever the machine has of its own is never touched. After a
# stop, a crash, while the server runs, twice, and when the data directory is gone.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl nft ip overlay busybox

# All that this machine says of its network, but counters and what ages.
state() # FILE
{
	{
		nft list ruleset && ip -d link && ip addr && ip route show table all && ip -6 route show table all && ip rule &&
		ip -6 rule && ip neigh show nud permanent && sed "s/:.*//" /proc/net/dev && bridge vlan show 2>/dev/null &&
		{ grep -rsH "" /proc/sys/net | grep -v "stat\|nf_conntrack_count\|/neigh/default/\|/route/\|hostname" | sort; }
	} | sed "s/ valid_lft [^ ]*//; s/ preferred_lft [^ ]*//; s/ expires [^ ]*//; s/promiscuity [0-9]*//; s/_timer *[0-9.]*//g" >"$1"
}

# What may stay on: other programs may have come to rely on it (kinglet-killall(8)).
stays="net/ipv4/ip_forward\|net/ipv[46]/conf/[^/]*/forwarding\|net/ipv6/conf/[^/]*/accept_ra\|net/netfilter\|net/bridge\|nf_conntrack_max\|nf_conntrack_buckets\|net/core"

same() # FILE: as before, and nothing of ours
{
	grep -v "$stays" before >a && grep -v "$stays" "$1" >b && test_cmp a b
}

# The machine's own things, some of which look like ours.
own_things()
{
	nft -f - <<-EOT &&
	table inet mine {
		set s { type ipv4_addr; elements = { 10.42.0.1, 192.0.2.9 }; }
		chain c {
			type filter hook forward priority 0;
			ip saddr @s accept comment "10.42"
		}
	}
	table ip nat {
		chain postrouting {
			type nat hook postrouting priority 100;
			oifname "up0" masquerade
		}
	}
	table bridge mine {
		chain c {
			type filter hook forward priority 0;
		}
	}
	table inet kinglet-not-ours {
		chain kinglet {
		}
	}
	EOT
	ip link add up0 type veth peer name up1 && ip link set up1 up && ip addr add 192.0.2.1/24 dev up0 && ip addr add 2001:db8::1/64 dev up0 nodad &&
	ip link set up0 up && ip route add default via 192.0.2.254 && ip -6 route add default via 2001:db8::fe &&
	ip route add 10.99.0.0/16 via 192.0.2.253 table 100 && ip rule add from 10.99.0.0/16 lookup 100 pref 1000 &&
	ip -6 rule add from 2001:db8:9::/48 lookup 100 pref 1001 && ip route add blackhole 10.98.0.0/16 &&
	ip link add br0 type bridge && ip link add kvmine type veth peer name kvpeer && ip link set kvmine master br0 up &&
	ip addr add 10.97.0.1/24 dev br0 && ip link set br0 up && ip link set kvpeer up &&
	ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev up0 nud permanent
}

# A bit of everything in the cluster.
fill()
{
	kubectl apply -f - <<-EOT &&
	apiVersion: v1
	kind: Pod
	metadata: {name: web, labels: {app: web}}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers:
	  - {name: c, image: "localhost/demo:1", command: [httpd, -f, -p, "80"], ports: [{containerPort: 80, hostPort: 8088}]}
	---
	apiVersion: v1
	kind: Service
	metadata: {name: web}
	spec: {type: NodePort, selector: {app: web}, sessionAffinity: ClientIP, externalIPs: [192.0.2.66],
		ports: [{name: a, port: 80}, {name: b, port: 53, protocol: UDP}]}
	---
	apiVersion: v1
	kind: Service
	metadata: {name: lb}
	spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 8090, targetPort: 80}]}
	---
	apiVersion: networking.k8s.io/v1
	kind: NetworkPolicy
	metadata: {name: p}
	spec: {podSelector: {}, policyTypes: [Ingress, Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.9.0.0/16]}}]}],
		ingress: [{from: [{podSelector: {}}], ports: [{port: 80}, {port: 1000, endPort: 2000}]}]}
	---
	apiVersion: networking.k8s.io/v1
	kind: Ingress
	metadata: {name: i}
	spec: {rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
	EOT
	kubectl wait --for=condition=Ready pod/web --timeout=$((60 * TEST_SLOW))s &&
	wait_for "kubectl get service lb -o jsonpath={.status.loadBalancer} | grep ingress" &&
	wait_for "curl -s -m 1 -o /dev/null -w %{http_code} http://192.0.2.1:8088/ | grep -E \"200|404\""
}

# What a server leaves in the kernel while it is stopped.
leftovers()
{
	ip link show kinglet0 && nft list table inet kinglet >/dev/null
}

umount_below() # DIRECTORY
{
	awk "{ print \$5 }" /proc/self/mountinfo | grep "^$1/" | sort -r | while read -r mount; do umount -l "$mount"; done
}

test_expect_success 'the machine has things of its own' '
	own_things && wait_for "! ip addr | grep tentative" && state before && test_grep "table inet mine" before && test_grep "lookup 100" before
'

test_expect_success 'after a stop all stays for the pods; killall takes it away, and nothing else' '
	start_server --loadbalancer-pool 192.0.2.240/28 && import_demo && wait_node && fill &&
	{ [ ! -e /proc/net/nf_conntrack ] || grep -q 10.42.0. /proc/net/nf_conntrack; } &&
	stop_server && leftovers && killall_pods >said && ! grep 10.42.0. /proc/net/nf_conntrack && test_grep "removed the bridge kinglet0" said && state after && same after
'

test_expect_success 'a second time there is nothing to do' '
	killall_pods >said && test_equal "nothing to clean up" "$(cat said)" && state after && same after
'

test_expect_success 'after a crash' '
	start_server && wait_node && wait_for "kubectl get pod web | grep Running" && kill_server && leftovers &&
	killall_pods && state after && same after
'

test_expect_success 'while the server runs' '
	start_server --disable-kube-proxy && wait_node && wait_for "kubectl get pod web | grep Running" &&
	killall_pods >said && test_grep "stopped the server" said && wait $SERVER_PID && SERVER_PID= && state after && same after
'

test_expect_success 'when the data directory is gone' '
	start_server && wait_node && wait_for "kubectl get pod web | grep Running" && kill_server &&
	umount_below "$DATA" && rm -rf "$DATA" && killall_pods && state after && same after
'

test_expect_success 'what the machine had goes as it came' '
	nft flush ruleset && ip link del up0 && ip link del br0 && ip link del kvmine && ip route del blackhole 10.98.0.0/16 &&
	ip rule del pref 1000 && ip -6 rule del pref 1001
'

test_done
