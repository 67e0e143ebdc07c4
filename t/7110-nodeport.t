#!/bin/sh
# Ways in from outside: node ports on every address, traffic policies, source ranges, health checks of load balancers,
# both families; many Services, and a node without a proxy.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox nft ip perl

pod() # NAME: tells who asks at /cgi-bin/who
{
	kubectl create -f - <<-EOF
	apiVersion: v1
	kind: Pod
	metadata: {name: $1, labels: {app: $1}}
	spec:
	  terminationGracePeriodSeconds: 0
	  nodeName: n1
	  containers:
	  - name: c
	    image: localhost/demo:1
	    command:
	    - sh
	    - -c
	    - |
	      mkdir -p /w/cgi-bin
	      printf '#!/bin/sh\necho; echo \$REMOTE_ADDR\n' >/w/cgi-bin/who
	      chmod +x /w/cgi-bin/who
	      exec httpd -f -p 8080 -h /w
	EOF
}

service() # NAME SPEC
{
	printf '{"apiVersion":"v1","kind":"Service","metadata":{"name":"%s"},"spec":{%s}}' "$1" "$2" | kubectl create -f -
}

slice() # SERVICE FAMILY ADDRESS NODE
{
	printf '{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"%s-%s","labels":{
		"kubernetes.io/service-name":"%s"}},"addressType":"%s","ports":[{"name":"","port":8080,"protocol":"TCP"}],
		"endpoints":[{"addresses":["%s"],"nodeName":"%s"}]}' "$1" "$(echo "$2" | tr IPv ipv)" "$1" "$2" "$3" "$4" |
		kubectl apply -f -
}

who() # ADDRESS:PORT: the address that the pod sees
{
	curl -gsS --max-time 3 "http://$1/cgi-bin/who" >asked && plain asked
}

plain() # FILE: without the brackets of addresses of the other family
{
	sed "s/[][]//g; s/::ffff://" "$1"
}

far_who()
{
	nsenter -n -t $other curl -gsS --max-time 3 "http://$1/cgi-bin/who" >asked && plain asked
}

test_expect_success 'start; another machine on the wire' '
	{ unshare -n sleep 600 & } && other=$! &&
	wait_for "test \"\$(readlink /proc/$other/ns/net)\" != \"\$(readlink /proc/self/ns/net)\"" &&
	ip link add wire type veth peer name far && ip link set far netns $other &&
	ip addr add 192.0.2.1/24 dev wire && ip link set wire up &&
	nsenter -n -t $other sh -c "ip link set lo up; ip addr add 192.0.2.2/24 dev far; ip link set far up;
		ip route add 198.51.100.0/24 via 192.0.2.1" &&
	import_demo && start_server --node-ip 192.0.2.1 && wait_node && pod web && pod client &&
	kubectl wait --for=condition=Ready pod/web pod/client --timeout=60s &&
	web=$(kubectl get pod web -o jsonpath="{.status.podIP}") &&
	client=$(kubectl get pod client -o jsonpath="{.status.podIP}")
'

test_expect_success 'a node port: at any address of the machine, from it, from pods, from others' '
	service np "\"type\":\"NodePort\",\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80,\"targetPort\":8080,\"nodePort\":30080}]" &&
	wait_for "who 192.0.2.1:30080" && who 127.0.0.1:30080 && who 10.42.0.1:30080 &&
	far_who 192.0.2.1:30080 >got && test_equal 10.42.0.1 "$(cat got)" &&
	kubectl exec client -- wget -q -O - http://192.0.2.1:30080/cgi-bin/who
'

test_expect_success 'policy Local: the client is seen; what comes from inside is not bound to it' '
	kubectl patch service np -p "{\"spec\":{\"externalTrafficPolicy\":\"Local\"}}" &&
	wait_for "far_who 192.0.2.1:30080 | grep 192.0.2.2" && who 192.0.2.1:30080 && who 127.0.0.1:30080 &&
	kubectl exec client -- wget -q -O - http://192.0.2.1:30080/cgi-bin/who >asked && test_equal $client "$(plain asked)"
'

test_expect_success 'policy Local with endpoints on other nodes only: dropped from outside, not from inside' '
	service away "\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Local\",
		\"ports\":[{\"port\":80,\"targetPort\":8080,\"nodePort\":30081}]" &&
	wait_for "nft list ruleset | grep \"tcp . 30081\"" &&
	{ nsenter -n -t $other curl -sS --max-time 3 http://192.0.2.1:30081/; test_equal 7 $?; } &&
	slice away IPv4 $web n2 &&
	wait_for "who 192.0.2.1:30081" &&
	{ nsenter -n -t $other curl -sS --max-time 1 http://192.0.2.1:30081/; test_equal 28 $?; }
'

test_expect_success 'internal policy Local with endpoints on other nodes only' '
	kubectl patch service away -p "{\"spec\":{\"internalTrafficPolicy\":\"Local\"}}" &&
	away=$(kubectl get service away -o jsonpath="{.spec.clusterIP}") &&
	wait_for "{ curl -sS --max-time 1 http://$away/; test_equal 28 \$?; }" &&
	slice away IPv4 $web n1 && wait_for "who $away:80"
'

test_expect_success 'a load balancer: its address, its source ranges, its health check' '
	service lb "\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"example.com/x\",\"selector\":{\"app\":\"web\"},
		\"externalTrafficPolicy\":\"Local\",\"healthCheckNodePort\":31999,\"loadBalancerSourceRanges\":[\"192.0.2.0/24\"],
		\"ports\":[{\"port\":80,\"targetPort\":8080,\"nodePort\":30082}]" &&
	kubectl patch service lb --subresource=status --type=merge \
		-p "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"198.51.100.7\"},{\"ip\":\"198.51.100.8\",\"ipMode\":\"Proxy\"}]}}}" &&
	wait_for "far_who 198.51.100.7:80" && test_equal 192.0.2.2 "$(far_who 198.51.100.7:80)" &&
	nft list map inet kinglet "$(nft list maps inet | grep -o "addr4-." | head -n1)" >got && test_must_fail grep 198.51.100.8 got &&
	curl -sS -D head http://192.0.2.1:31999/anything >body && test_grep "200 OK" head &&
	test_grep -i "x-load-balancing-endpoint-weight: 1" head && test_grep "\"localEndpoints\": 1" body &&
	kubectl patch service lb -p "{\"spec\":{\"loadBalancerSourceRanges\":[\"203.0.113.0/24\"]}}" &&
	wait_for "! far_who 198.51.100.7:80" && far_who 192.0.2.1:30082 &&
	kubectl patch service lb -p "{\"spec\":{\"selector\":{\"app\":\"nobody\"}}}" &&
	wait_for "curl -sS -D head http://192.0.2.1:31999/ | grep \"localEndpoints.: 0\"" && test_grep "503" head &&
	kubectl delete service lb && wait_for "! curl -sS http://192.0.2.1:31999/"
'

test_expect_success 'many Services, one endpoint changed; a selector that flips' '
	perl -e "for (1 .. 200) { print qq(---\n{apiVersion: v1, kind: Service, metadata: {name: s\$_}, spec: {ports: [{port: 80, targetPort: 8080}]}}\n) }" |
		kubectl create -f - >/dev/null &&
	wait_for "nft list ruleset | grep default/s200" && slice s100 IPv4 $web n1 &&
	ip=$(kubectl get service s100 -o jsonpath="{.spec.clusterIP}") && wait_for "who $ip:80" &&
	for i in 1 2 3 4 5 6 7 8; do
		kubectl patch service np -p "{\"spec\":{\"selector\":{\"app\":\"nobody\"}}}" &&
		kubectl patch service np -p "{\"spec\":{\"selector\":{\"app\":\"web\"}}}" || return 1
	done && wait_for "who 127.0.0.1:30080" && server_lives
'

test_expect_success 'the server is killed and comes back to many Services: the port answers at every moment' '
	{ while :; do curl -sS -o out --max-time 3 http://192.0.2.1:30080/cgi-bin/who || echo failed; done >log 2>&1 & } && loop=$! &&
	test_when_finished "kill $loop; wait $loop" &&
	kill_server && start_server --node-ip 192.0.2.1 && wait_node && slice s101 IPv4 $web n1 &&
	ip=$(kubectl get service s101 -o jsonpath="{.spec.clusterIP}") && wait_for "who $ip:80" &&
	kill $loop && test_lines 0 log
'

test_expect_success 'without our proxy nothing of it is left' '
	restart_server --node-ip 192.0.2.1 --disable-kube-proxy &&
	wait_for "! nft list ruleset | grep -e svc-" && test_must_fail who 192.0.2.1:30080
'

test_expect_success 'stop the other machine' '
	ip link del wire && kill $other && { wait $other || :; }
'

test_done
