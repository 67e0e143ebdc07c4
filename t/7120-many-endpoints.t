#!/bin/sh
# 5,000 endpoints behind one Service, IPv4 and IPv6: all are reached, those that go are not asked again, and the server
# answers others meanwhile; a Service whose selector changes all the time.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl python3 ip jq

slices() # FAMILY PREFIX DOT: 50 of 100 endpoints each, as a List
{
	jq -nc --arg family "$1" --arg prefix "$2" '{apiVersion:"v1",kind:"List",items:[range(50) as $i | {
		apiVersion:"discovery.k8s.io/v1",kind:"EndpointSlice",addressType:$family,
		metadata:{name:"\($family|ascii_downcase)-\($i)",labels:{"kubernetes.io/service-name":"\($family|ascii_downcase)",
			part:(if $i < 25 then "first" else "second" end)}},
		ports:[{name:"",port:8080,protocol:"TCP"}],
		endpoints:[range(100) as $k | {addresses:["\($prefix)\($i + 1)\($dot)\($k + 1)"]}]}]}' --arg dot "$3"
}

backend() # tells which of its addresses was called
{
	exec python3 - <<-'EOF'
	import socket
	s = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
	while True:
	    c = s.accept()[0]
	    try:
	        c.sendall(c.getsockname()[0].replace("::ffff:", "").encode())
	    except OSError:
	        pass
	    c.close()
	EOF
}

# Connections to ADDRESS: how many endpoints answered, and the third part of the lowest and highest of their addresses.
spread() # ADDRESS N
{
	python3 - "$1" "$2" <<-'EOF'
	import socket, sys
	seen = set()
	for _ in range(int(sys.argv[2])):
	    with socket.create_connection((sys.argv[1], 80), 5) as s:
	        seen.add(s.recv(100).decode())
	parts = [int(a.replace(":", ".").split(".")[-2]) for a in seen]
	print(len(seen), min(parts), max(parts))
	EOF
}

test_expect_success 'start, with an address for each endpoint' '
	ip link add dev eth0 type veth peer name far0 && ip link set far0 up &&
	ip addr add 192.0.2.1/24 dev eth0 && ip -6 addr add fd07::1/64 dev eth0 nodad && ip link set eth0 up &&
	ip route add local 10.99.0.0/16 dev lo && ip -6 route add local fd99::/64 dev lo &&
	{ backend & } && backend=$! &&
	start_server --cluster-cidr 10.42.0.0/16,fd42::/56 --service-cidr 10.43.0.0/16,fd43::/112 --node-ip 192.0.2.1,fd07::1
'

test_expect_success '5,000 endpoints of one Service' '
	kubectl create -f - <<-EOF &&
	{"apiVersion":"v1","kind":"Service","metadata":{"name":"ipv4"},"spec":{"ports":[{"port":80,"targetPort":8080}]}}
	EOF
	slices IPv4 10.99. . >many && kubectl create -f many >/dev/null &&
	ip4=$(kubectl get service ipv4 -o jsonpath="{.spec.clusterIP}") &&
	wait_for "spread $ip4 400 >got && read n low high <got && test \$n -gt 300 -a \$low -lt 5 -a \$high -gt 45" 60
'

test_expect_success 'half of them go: nobody is led there any more' '
	kubectl delete endpointslices -l part=second >/dev/null &&
	wait_for "spread $ip4 400 >got && read n low high <got && test \$n -gt 300 -a \$high -lt 26" 60 &&
	spread $ip4 300 >got && read n low high <got && test $high -lt 26
'

test_expect_success 'others are served at once, while an endpoint changes all the time' '
	{ for i in 1 2 3 4 5 6 7 8; do
		kubectl patch endpointslice ipv4-$i --type json -p "[{\"op\":\"remove\",\"path\":\"/endpoints/0\"}]" || break
	done >/dev/null & } && patches=$! &&
	kubectl create -f - <<-EOF &&
	{"apiVersion":"v1","kind":"Service","metadata":{"name":"small"},"spec":{"ports":[{"port":80,"targetPort":8080}]}}
	EOF
	jq -c ".items[0] | .metadata.name = \"small\" | .metadata.labels = {\"kubernetes.io/service-name\":\"small\"} |
		.endpoints |= .[:1]" many | kubectl create -f - &&
	small=$(kubectl get service small -o jsonpath="{.spec.clusterIP}") &&
	wait_for "spread $small 20 >got" 5 && test_equal "1 1 1" "$(cat got)" &&
	wait $patches
'

test_expect_success 'the same of IPv6' '
	kubectl create -f - <<-EOF &&
	{"apiVersion":"v1","kind":"Service","metadata":{"name":"ipv6"},"spec":{"ipFamilies":["IPv6"],"ports":[{"port":80,"targetPort":8080}]}}
	EOF
	slices IPv6 fd99::1: : >many6 && kubectl create -f many6 >/dev/null &&
	ip6=$(kubectl get service ipv6 -o jsonpath="{.spec.clusterIP}") &&
	wait_for "spread $ip6 400 >got && read n low high <got && test \$n -gt 300" 60
'

test_expect_success 'all go: the address rejects' '
	kubectl delete endpointslices --all >/dev/null &&
	wait_for "! spread $ip4 1 2>got" && test_grep "Connection refused" got &&
	wait_for "! spread $ip6 1 2>got" && test_grep "Connection refused" got &&
	kill $backend && ip link del eth0
'

test_done
