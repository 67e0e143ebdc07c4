#!/bin/sh
# Clusters of both families and of IPv6 alone: addresses of nodes, pods and Services, what pods are told of them, ways
# between pods and to outside, restarts; and options that do not fit together.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox nft

DUAL='--cluster-cidr 10.42.0.0/16,fd42::/56 --service-cidr 10.43.0.0/16,fd43::/112'

run_web() # NAME
{
	kubectl run "$1" --image=localhost/demo:1 --labels="app=$1" -- sh -c "
		echo I am $1 >/tmp/index.html
		exec httpd -f -p 80 -h /tmp"
}

ips_of() # POD
{
	kubectl get pod "$1" -o jsonpath='{.status.podIPs[*].ip}'
}

service() # NAME SPEC
{
	object "apiVersion: v1, kind: Service, metadata: {name: $1}, spec: {selector: {app: a}, ports: [{port: 80}], $2}" |
	kubectl apply -f -
}

families_of() # SERVICE
{
	kubectl get service "$1" -o jsonpath='{.spec.ipFamilyPolicy} {.spec.ipFamilies[*]}'
}

bad() # TEXT OPTION...: such a server does not start, and says why
{
	text=$1
	shift
	test_must_fail timeout 20 "$KINGLET" server --data-dir "$TRASH/none" --write-kubeconfig "$TRASH/none.kc" \
		--cgroup "$CGROUP-none" "$@" >said 2>&1 &&
	test_grep -F -e "$text" said
}

test_expect_success 'options that do not fit together' '
	bad "must have the same IP families in the same order" --cluster-cidr 10.42.0.0/16,fd42::/56 &&
	bad "must have the same IP families in the same order" --cluster-cidr fd42::/56,10.42.0.0/16 \
		--service-cidr 10.43.0.0/16,fd43::/112 &&
	bad "is no network such as" --cluster-cidr 10.42.0.0/16,10.44.0.0/16 &&
	bad "is no network such as" --service-cidr 10.43.0.0/16,fd43::/112,fd44::/112 &&
	bad "an IPv6 network there has /64 to /124" --cluster-cidr fd42::/56 --service-cidr fd43::/48 &&
	bad "an IPv4 network there has /8 to /28" --service-cidr 10.43.0.0/30 &&
	bad "overlap" --service-cidr 10.42.128.0/17 &&
	bad "pods have no IPv6" --node-ip fd00::1 &&
	bad "two addresses of IPv4" --node-ip 192.0.2.1,192.0.2.2 &&
	bad "is no address" --node-ip here
'

test_expect_success 'a cluster of both families' '
	ip link add up0 type veth peer name up1 &&
	ip addr add 192.0.2.1/24 dev up0 &&
	ip -6 addr add 2001:db8::1/64 dev up0 nodad &&
	ip link set up0 up && ip link set up1 up &&
	ip route add default dev up0 && ip -6 route add default dev up0 &&
	start_server $DUAL &&
	import_demo &&
	wait_node
'

test_expect_success 'the node has addresses and networks of both' '
	test_equal "192.0.2.1 2001:db8::1" \
		"$(kubectl get node n1 -o jsonpath="{.status.addresses[?(@.type==\"InternalIP\")].address}")" &&
	test_equal "10.42.0.0/24 10.42.0.0/24 fd42::/64" \
		"$(kubectl get node n1 -o jsonpath="{.spec.podCIDR} {.spec.podCIDRs[*]}")" &&
	kubectl get nodes -o wide >got &&
	test_grep "192\.0\.2\.1" got
'

test_expect_success 'each pod has an address of both' '
	run_web a && run_web b &&
	kubectl wait --for=condition=Ready pod --all --timeout=60s &&
	set -- $(ips_of a) $(ips_of b) &&
	a4=$1 a6=$2 b4=$3 b6=$4 &&
	case $a4 in 10.42.0.*) ;; *) false ;; esac &&
	case $b6 in fd42::*) ;; *) false ;; esac &&
	test_equal "$a4" "$(kubectl get pod a -o jsonpath="{.status.podIP}")" &&
	test_equal "192.0.2.1 2001:db8::1" "$(kubectl get pod a -o jsonpath="{.status.hostIPs[*].ip}")"
'

test_expect_success 'node to pod, pod to pod, pod to itself, in both' '
	test_equal "I am a" "$(curl -sS --max-time 5 http://$a4/)" &&
	test_equal "I am a" "$(curl -sS --max-time 5 "http://[$a6]/")" &&
	test_equal "I am b" "$(kubectl exec a -- wget -q -O - http://$b4/)" &&
	test_equal "I am b" "$(kubectl exec a -- wget -q -O - "http://[$b6]/")" &&
	test_equal "I am a" "$(kubectl exec a -- wget -q -O - "http://[$a6]/")"
'

test_expect_success 'inside: each address alone, a way out of both, both names' '
	kubectl exec a -- ip -o addr >got &&
	test_grep "inet $a4/32 " got &&
	test_grep "inet6 $a6/128 " got &&
	! grep -q tentative got &&
	kubectl exec a -- ip -6 route >got &&
	test_grep "^default via fd42::1 dev eth0" got &&
	kubectl exec a -- cat /etc/hosts >got &&
	test_grep "^$a4[[:space:]]*a$" got &&
	test_grep "^$a6[[:space:]]*a$" got &&
	kubectl exec a -- cat /etc/resolv.conf >got &&
	test_grep "^nameserver 10\.43\.0\.10" got &&
	test_grep "^nameserver fd43::a" got
'

test_expect_success 'the downward API tells both' '
	object "apiVersion: v1, kind: Pod, metadata: {name: down}, spec: {restartPolicy: Never, terminationGracePeriodSeconds: 0,
		containers: [{name: c, image: \"localhost/demo:1\", command: [sh, -c, \"echo \$IP - \$IPS - \$HOSTS\"], env: [
			{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
			{name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}},
			{name: HOSTS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}]}]}" | kubectl apply -f - &&
	kubectl wait --for=jsonpath="{.status.phase}"=Succeeded pod/down --timeout=60s &&
	set -- $(ips_of down) &&
	test_equal "$1 - $1,$2 - 192.0.2.1,2001:db8::1" "$(kubectl logs down)"
'

test_expect_success 'private addresses are masqueraded towards others, in both' '
	nft list chain inet kinglet postrouting >got &&
	test_grep "ip saddr 10.42.0.0/24 ip daddr != 10.42.0.0/16 masquerade" got &&
	test_grep "ip6 saddr fd42::/64 ip6 daddr != fd42::/56 masquerade" got
'

test_expect_success 'Services of each policy' '
	service plain "type: ClusterIP" &&
	service single "ipFamilyPolicy: SingleStack, ipFamilies: [IPv6]" &&
	service prefer "ipFamilyPolicy: PreferDualStack" &&
	service require "ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4]" &&
	test_equal "SingleStack IPv4" "$(families_of plain)" &&
	test_equal "SingleStack IPv6" "$(families_of single)" &&
	test_equal "PreferDualStack IPv4 IPv6" "$(families_of prefer)" &&
	test_equal "RequireDualStack IPv6 IPv4" "$(families_of require)" &&
	test_equal "SingleStack IPv4" "$(families_of kubernetes)" &&
	kubectl get service require >got &&
	test_grep "^require *ClusterIP *fd43::" got
'

test_expect_success 'their slices, of each family one' '
	wait_for "kubectl get endpointslices -l kubernetes.io/service-name=prefer >got && grep -q IPv4.*$a4 got &&
		grep -q IPv6.*$a6 got" &&
	wait_for "kubectl get endpointslices -l kubernetes.io/service-name=single >got && grep -q IPv6.*$a6 got" &&
	! grep IPv4 got
'

test_expect_success 'each of their addresses leads there, from a pod and from the node' '
	for name in plain single prefer require; do
		for ip in $(kubectl get service $name -o jsonpath="{.spec.clusterIPs[*]}"); do
			case $ip in *:*) ip="[$ip]" ;; esac
			wait_for "test \"I am a\" = \"\$(curl -sS --max-time 2 http://$ip/)\"" &&
			test_equal "I am a" "$(kubectl exec b -- wget -q -O - "http://$ip/")" || return 1
		done
	done
'

test_expect_success 'kill -9 and a start: the same addresses' '
	kill_server &&
	start_server $DUAL &&
	test_equal "$a4 $a6" "$(ips_of a)" &&
	test_equal "I am b" "$(kubectl exec a -- wget -q -O - "http://[$b6]/")"
'

test_expect_success 'away with it' '
	kubectl delete pod --all --now &&
	stop_server &&
	killall_pods >/dev/null &&
	! ip link show kinglet0 &&
	rm -rf "$DATA"
'

test_expect_success 'a cluster of IPv6 alone runs a pod' '
	start_server --cluster-cidr fd42::/56 --service-cidr fd43::/112 &&
	import_demo &&
	wait_node &&
	test_equal "2001:db8::1" "$(kubectl get node n1 -o jsonpath="{.status.addresses[?(@.type==\"InternalIP\")].address}")" &&
	test_equal "SingleStack IPv6" "$(families_of kubernetes)" &&
	run_web a &&
	kubectl wait --for=condition=Ready pod/a --timeout=60s &&
	six=$(ips_of a) &&
	test_equal "I am a" "$(curl -sS --max-time 5 "http://[$six]/")" &&
	kubectl exec a -- ip -o -4 addr show dev eth0 >got &&
	test_lines 0 got &&
	service plain "type: ClusterIP" &&
	test_equal "SingleStack IPv6" "$(families_of plain)" &&
	wait_for "kubectl get endpointslices -l kubernetes.io/service-name=plain | grep \"IPv6.*$six\""
'

test_expect_success 'networks that this machine has already are told' '
	stop_server && killall_pods >/dev/null && rm -rf "$DATA" &&
	"$KINGLET" check --data-dir "$DATA" --cluster-cidr 192.0.0.0/16 >said &&
	test_grep "^missing *cluster-cidr .*192\.0\.0\.0/16 overlaps with 192\.0\.2\.0/24 of up0" said &&
	test_grep "^ok *service-cidr" said &&
	start_server --cluster-cidr 192.0.0.0/16 &&
	test_grep "overlaps=.*192\.0\.2\.0/24 of up0" "$LOG" &&
	ip link del up0
'

test_done
