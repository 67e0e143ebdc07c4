#!/bin/sh
# LoadBalancer Services with addresses of a pool: who gets which, and that neighbours on the
# network find them at this node by ARP and neighbour discovery, but not what another has.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-sched.sh"
test_needs kubectl curl python3

# Another machine on the same network.
neighbour_up()
{
	ip link add lan0 type veth peer name lan1 || return 1
	unshare -n sh -c 'echo $$ >neighbour.pid; exec sleep 1000' &
	test_neighbour=$!
	wait_for "test -s neighbour.pid" &&
	ip link set lan1 netns "$(cat neighbour.pid)" &&
	ip addr add 192.0.2.1/24 dev lan0 && ip addr add 2001:db8::1/64 dev lan0 nodad && ip link set lan0 up &&
	there ip addr add 192.0.2.2/24 dev lan1 && there ip addr add 2001:db8::2/64 dev lan1 nodad &&
	there ip link set lan1 up && there ip link set lo up &&
	ip route add default via 192.0.2.2 && mac=$(cat /sys/class/net/lan0/address)
}

there()
{
	nsenter -t "$(cat neighbour.pid)" -n "$@"
}

# asked ADDRESS: whom the neighbour finds there, anew
asked()
{
	there ip neigh flush to "${1#[}" dev lan1
	there curl -s -m 1 -o /dev/null "http://$2:9/"
	there ip neigh show to "$1" dev lan1 | sed -n "s/.*lladdr \([^ ]*\).*/\1/p"
}

answers() # ADDRESS MAC: comes to be found there
{
	answers_a=$1 answers_url=$1 answers_mac=$2
	case $1 in *:*) answers_url="[$1]" ;; esac
	wait_for 'test "$(asked "$answers_a" "$answers_url")" = "$answers_mac"'
}

balancer() # NAME PORT [SPEC-MEMBERS [ANNOTATIONS]]
{
	kubectl apply -f - <<-EOT
	apiVersion: v1
	kind: Service
	metadata: {name: $1, annotations: {${4:-}}}
	spec: {type: LoadBalancer, selector: {app: $1}, ports: [{port: $2}]${3:+, $3}}
	EOT
}

has() # SERVICE ADDRESSES: comes to have them
{
	has_service=$1 has_addresses=$2
	wait_for 'test "$(kubectl get service $has_service -o "jsonpath={.status.loadBalancer.ingress[*].ip}")" = "$has_addresses"'
}

told() # SERVICE TEXT
{
	told_service=$1 told_text=$2
	wait_for 'kubectl get events --field-selector "involvedObject.name=$told_service" -o "jsonpath={range .items[*]}{.type} {.reason}: {.message}{\"\n\"}{end}" | grep -F "$told_text"'
}

test_expect_success 'a pool that is none is refused, and says what is wrong' '
	test_must_fail "$KINGLET" server --data-dir "$DATA" --write-kubeconfig "$KUBECONFIG" --loadbalancer-pool 192.0.2.9-192.0.2.1 2>got &&
	test_grep "loadbalancer-pool: .192.0.2.9-192.0.2.1. is no range" got
'

test_expect_success 'each Service has an address of its own, which the neighbour finds at this node' '
	neighbour_up &&
	start_server --loadbalancer-pool 192.0.2.240-192.0.2.242,2001:db8::f0/124 && wait_node &&
	balancer a 80 && has a 192.0.2.240 && balancer b 80 && has b 192.0.2.241 &&
	answers 192.0.2.240 $mac && answers 192.0.2.241 $mac &&
	test "$(asked 192.0.2.242 192.0.2.242)" = "" &&
	told a "Normal nodeAssigned: announcing 192.0.2.240 from node \"n1\" with protocol \"layer2\"" &&
	ip addr show dev lan0 >got && test_grep -v 192.0.2.24 got
'

test_expect_success 'wishes are heard: by annotation, by loadBalancerIP, if they can be met' '
	balancer c 80 "loadBalancerIP: 192.0.2.242" && has c 192.0.2.242 &&
	balancer d 80 "" "metallb.io/loadBalancerIPs: 192.0.2.240" &&
	told d "Warning AllocationFailed: Failed to allocate IP for \"default/d\": 192.0.2.240 belongs to Service default/a" &&
	kubectl annotate --overwrite service d metallb.io/loadBalancerIPs=198.51.100.1 &&
	told d "198.51.100.1 is not of the pool" &&
	kubectl annotate --overwrite service d metallb.io/loadBalancerIPs=nonsense && told d "nonsense is no IP address" &&
	kubectl annotate service d metallb.io/loadBalancerIPs- && told d "no available IPs of IPv4" && has d "" &&
	kubectl delete service b && has d 192.0.2.241 && kubectl delete service c d
'

test_expect_success 'an address that two want to share is shared, as long as their ports differ' '
	balancer s1 80 "" "metallb.universe.tf/allow-shared-ip: k" && has s1 192.0.2.241 &&
	balancer s2 443 "" "metallb.universe.tf/allow-shared-ip: k" && has s2 192.0.2.241 &&
	balancer s3 443 "" "metallb.universe.tf/allow-shared-ip: k" && has s3 192.0.2.242 &&
	kubectl delete service s1 s2 s3
'

test_expect_success 'a Service can have the node'"'"'s addresses, or none' '
	balancer mine 7000 "" "kinglet.io/loadbalancer: nodes" && has mine 192.0.2.1 &&
	kubectl annotate --overwrite service mine kinglet.io/loadbalancer=none && has mine "" &&
	kubectl annotate --overwrite service mine kinglet.io/loadbalancer=pool && has mine 192.0.2.241 && kubectl delete service mine
'

test_expect_success 'what another machine has is not announced, and reported; and announced once it is free' '
	there ip addr add 192.0.2.241/32 dev lan1 && other=$(there ip -o link show lan1 | grep -o "ether [^ ]*" | cut -c7-) &&
	balancer e 80 && has e 192.0.2.241 &&
	told e "Warning AddressInUse: 192.0.2.241 is in use by another machine ($other on lan0)" &&
	there ip addr del 192.0.2.241/32 dev lan1 && answers 192.0.2.241 $mac &&
	told e "Normal nodeAssigned: announcing 192.0.2.241"
'

test_expect_success 'who claims an announced address is reported, and finds it defended' '
	there ip addr add 192.0.2.241/32 dev lan1 &&
	wait_for "there python3 $srcdir/t/helper/claim.py lan1 192.0.2.241; kubectl get events | grep AddressConflict" &&
	told e "Warning AddressConflict: another machine ($other on lan0) claims 192.0.2.241" &&
	there ip addr del 192.0.2.241/32 dev lan1
'

test_expect_success 'who is gone answers no more' '
	kubectl delete service e && wait_for "test -z \"\$(asked 192.0.2.241 192.0.2.241)\"" && answers 192.0.2.240 $mac
'

test_expect_success 'another pool after a restart: what is not of it is given up, with an event' '
	restart_server --loadbalancer-pool 192.0.2.250 && has a 192.0.2.250 && answers 192.0.2.250 $mac &&
	told a "Updated LoadBalancer with new IPs: [192.0.2.240] -> [192.0.2.250]" &&
	wait_for "test -z \"\$(asked 192.0.2.240 192.0.2.240)\"" &&
	restart_server --loadbalancer-pool 192.0.2.240-192.0.2.250 && has a 192.0.2.250 && answers 192.0.2.250 $mac
'

test_expect_success 'an address that no link has in its network is given, and said not to be announced' '
	restart_server --loadbalancer-pool 198.51.100.9 && has a 198.51.100.9 &&
	told a "Warning AddressNotAnnounced: no link of node \"n1\" is in a network that has 198.51.100.9" &&
	ip addr add 198.51.100.1/24 dev lan0 && there ip addr add 198.51.100.2/24 dev lan1 && answers 198.51.100.9 $mac
'

test_expect_success 'the node that is not ready or excluded announces nothing' '
	kubectl label node n1 node.kubernetes.io/exclude-from-external-load-balancers= &&
	wait_for "test -z \"\$(asked 198.51.100.9 198.51.100.9)\"" &&
	kubectl label node n1 node.kubernetes.io/exclude-from-external-load-balancers- && answers 198.51.100.9 $mac
'

test_expect_success 'the end' '
	stop_server && ip link del lan0 && kill $test_neighbour && { wait $test_neighbour || :; }
'

test_done
