#!/bin/sh
# Services: an address of the cluster leads to the endpoints, from pods, from the machine, from other machines;
# what has no endpoint is rejected at once; affinity, hairpin, UDP, conflicts; and nothing stops with the server.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox nft ip perl

pod() # NAME LABEL [SPEC]: answers every request with its name
{
	printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","labels":{"app":"%s"}},"spec":{%s
		"terminationGracePeriodSeconds":0,"nodeName":"n1","containers":[{"name":"c","image":"localhost/demo:1",
		"ports":[{"containerPort":8080,"name":"http"}],"command":["sh","-c",
		"mkdir /w; echo from %s >/w/index.html; exec httpd -f -p 8080 -h /w"]}]}}' \
		"$1" "$2" "$3" "$1" | kubectl create -f -
}

service() # NAME SPEC
{
	printf '{"apiVersion":"v1","kind":"Service","metadata":{"name":"%s"},"spec":{%s}}' "$1" "$2" | kubectl create -f -
}

ip_of() # SERVICE
{
	kubectl get service "$1" -o jsonpath='{.spec.clusterIP}'
}

ready()
{
	kubectl wait --for=condition=Ready "pod/$1" --timeout=60s
}

get() # ADDRESS:PORT
{
	curl -sS --max-time 5 "http://$1/"
}

both() # COMMAND...: it answers from a and from b when it is asked often
{
	: >seen
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		"$@" >>seen || return 1
	done
	test_grep "from a" seen && test_grep "from b" seen
}

refuses() # ADDRESS:PORT: at once, not after a time
{
	from=$(now_ms)
	curl -sS --max-time 5 "http://$1/" 2>err
	test_equal 7 $? && test "$(($(now_ms) - from))" -lt 2000
}

# Another machine: a network namespace on a wire.
test_expect_success 'start; another machine on the wire' '
	{ unshare -n sleep 600 & } && other=$! &&
	wait_for "test \"\$(readlink /proc/$other/ns/net)\" != \"\$(readlink /proc/self/ns/net)\"" &&
	ip link add wire type veth peer name far && ip link set far netns $other &&
	ip addr add 192.0.2.1/24 dev wire && ip link set wire up &&
	nsenter -n -t $other sh -c "ip link set lo up; ip addr add 192.0.2.2/24 dev far; ip link set far up;
		ip route add 198.51.100.0/24 via 192.0.2.1" &&
	import_demo && start_server --node-ip 192.0.2.1 && wait_node &&
	pod a web && pod b web && pod client none && ready a && ready b && ready client
'

test_expect_success 'the API server at its ClusterIP, from the machine' '
	wait_for "curl -sk --max-time 3 https://10.43.0.1/version | grep gitVersion"
'

test_expect_success 'two endpoints, from the machine and from a pod; a named target port' '
	service web "\"selector\":{\"app\":\"web\"},\"ports\":[{\"name\":\"h\",\"port\":80,\"targetPort\":\"http\"},
		{\"name\":\"other\",\"port\":81,\"targetPort\":8080},{\"name\":\"u\",\"port\":53,\"protocol\":\"UDP\"},
		{\"name\":\"s\",\"port\":99,\"targetPort\":990,\"protocol\":\"SCTP\"}]" &&
	web=$(ip_of web) &&
	wait_for "get $web:80" && both get $web:80 && both get $web:81 &&
	both kubectl exec client -- wget -q -O - http://$web/
'

test_expect_success 'SCTP, as its rules have it' '
	nft list ruleset >rules && test_grep "$web . sctp . 99 : goto svc-./default/web/s" rules &&
	nft list chain inet kinglet "$(grep -o "svc-./default/web/s" rules | head -n1)" >got &&
	test_grep "numgen random mod 2 [=]*[ ]*0 .*dnat ip to 10.42.0.[0-9]*:990" got
'

test_expect_success 'a pod that comes to itself' '
	service self "\"selector\":{\"app\":\"one\"},\"ports\":[{\"port\":80,\"targetPort\":8080}]" &&
	pod one one && ready one && self=$(ip_of self) && wait_for "get $self:80" &&
	test_equal "from one" "$(kubectl exec one -- wget -q -O - http://$self/)"
'

test_expect_success 'pods are seen by their own addresses' '
	pod=$(kubectl get pod one -o jsonpath="{.status.podIP}") &&
	client=$(kubectl get pod client -o jsonpath="{.status.podIP}") &&
	{ kubectl_bg exec client -- sh -c "sleep 30 | nc $self 80" >nc.log 2>&1 & } && nc=$! &&
	test_when_finished "kill $nc; wait $nc" &&
	wait_for "for p in \$(container_processes | grep httpd | cut -d\" \" -f1); do
		nsenter -n -t \$p busybox netstat -tn; done | tr -s \" \" | grep \"$pod:8080 [^ ]*$client:\""
'

test_expect_success 'no endpoint, and a port that no Service has: refused at once, everywhere' '
	service none "\"selector\":{\"app\":\"nobody\"},\"ports\":[{\"port\":80,\"targetPort\":8080}]" && none=$(ip_of none) &&
	wait_for "nft list ruleset | grep \"$none . tcp . 80\"" &&
	refuses $none:80 && refuses $web:4711 &&
	test_must_fail kubectl exec client -- wget -q -O - http://$none/ 2>err && test_grep -i "refused" err &&
	test_must_fail kubectl exec client -- wget -q -O - http://$web:4711/ 2>err && test_grep -i "refused" err
'

test_expect_success 'the first endpoint comes, the last goes' '
	pod n nobody && ready n && wait_for "get $none:80" && test_equal "from n" "$(get $none:80)" &&
	kubectl delete pod n && wait_for "refuses $none:80"
'

test_expect_success 'not ready: no traffic, unless the Service wants it' '
	service early "\"selector\":{\"app\":\"slow\"},\"ports\":[{\"port\":80,\"targetPort\":8080}],\"publishNotReadyAddresses\":true" &&
	service late "\"selector\":{\"app\":\"slow\"},\"ports\":[{\"port\":80,\"targetPort\":8080}]" &&
	kubectl run slow --image=localhost/demo:1 --labels=app=slow --overrides="{\"spec\":{\"terminationGracePeriodSeconds\":0,
		\"containers\":[{\"name\":\"c\",\"image\":\"localhost/demo:1\",\"command\":[\"sh\",\"-c\",
		\"mkdir /w; echo from slow >/w/index.html; exec httpd -f -p 8080 -h /w\"],
		\"readinessProbe\":{\"exec\":{\"command\":[\"test\",\"-e\",\"/ok\"]},\"periodSeconds\":1}}]}}" &&
	wait_for "get $(ip_of early):80 | grep \"from slow\"" && refuses $(ip_of late):80 &&
	kubectl exec slow -- touch /ok && wait_for "get $(ip_of late):80" &&
	kubectl exec slow -- rm /ok && wait_for "refuses $(ip_of late):80" && kubectl delete pod slow
'

test_expect_success 'affinity: a client stays with its endpoint, as long as that is there' '
	service sticky "\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80,\"targetPort\":8080}],\"sessionAffinity\":\"ClientIP\",
		\"sessionAffinityConfig\":{\"clientIP\":{\"timeoutSeconds\":600}}" &&
	sticky=$(ip_of sticky) && wait_for "get $sticky:80" &&
	for i in 1 2 3 4 5 6 7 8 9 10; do get $sticky:80 || exit 1; done >seen && sort -u seen >got && test_lines 1 got &&
	nft list ruleset >rules && test_grep "timeout 10m" rules &&
	was=$(cut -d" " -f2 got) && pod c web && ready c && kubectl delete pod $was &&
	wait_for "test \"\$(get $sticky:80)\" != \"from $was\"" &&
	for i in 1 2 3 4 5 6 7 8 9 10; do get $sticky:80 || exit 1; done >seen && sort -u seen >got && test_lines 1 got &&
	pod $was web && ready $was && kubectl delete pod c
'

test_expect_success 'no selector: endpoints by hand' '
	service manual "\"ports\":[{\"port\":80,\"targetPort\":8080}]" && manual=$(ip_of manual) &&
	one=$(kubectl get pod one -o jsonpath="{.status.podIP}") &&
	printf "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"manual-1\",
		\"labels\":{\"kubernetes.io/service-name\":\"manual\"}},\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"\",\"port\":8080,
		\"protocol\":\"TCP\"}],\"endpoints\":[{\"addresses\":[\"$one\"]}]}" | kubectl create -f - &&
	wait_for "get $manual:80" && test_equal "from one" "$(get $manual:80)" &&
	service mirrored "\"ports\":[{\"port\":80,\"targetPort\":8080}]" &&
	printf "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"mirrored\"},\"subsets\":[{\"addresses\":[{\"ip\":\"$one\"}],
		\"ports\":[{\"port\":8080}]}]}" | kubectl create -f - &&
	wait_for "get $(ip_of mirrored):80" && test_equal "from one" "$(get $(ip_of mirrored):80)"
'

test_expect_success 'external addresses, from another machine; two Services want one: the older has it' '
	service ext "\"selector\":{\"app\":\"one\"},\"externalIPs\":[\"198.51.100.1\"],\"ports\":[{\"port\":80,\"targetPort\":8080}]" &&
	far() { nsenter -n -t $other curl -sS --max-time 5 "http://198.51.100.1:$1/"; } &&
	wait_for "far 80" &&
	test_equal "from one" "$(far 80)" &&
	ext=$(date -d "$(kubectl get service ext -o jsonpath="{.metadata.creationTimestamp}")" +%s) &&
	wait_for "test \$(date +%s) -gt $ext" && # creation times have seconds
	service ext3 "\"selector\":{\"app\":\"web\"},\"externalIPs\":[\"198.51.100.1\"],\"ports\":[{\"name\":\"y\",\"port\":80,\"targetPort\":8080},
		{\"name\":\"x\",\"port\":82,\"targetPort\":8080}]" &&
	wait_for "far 82" && test_equal "from one" "$(far 80)" &&
	wait_for "kubectl get events | grep \"PortConflict.*198.51.100.1:80/TCP is used by Service default/ext, which is older\"" &&
	kubectl delete service ext && wait_for "far 80 | grep -v one" &&
	both far 80
'

test_expect_success 'headless, ExternalName, and those of another proxy: no rules' '
	service headless "\"clusterIP\":\"None\",\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80}]" &&
	service name "\"type\":\"ExternalName\",\"externalName\":\"example.com\"" &&
	printf "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"foreign\",
		\"labels\":{\"service.kubernetes.io/service-proxy-name\":\"x\"}},\"spec\":{\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80}]}}" |
		kubectl create -f - &&
	service last "\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80}]" && wait_for "nft list ruleset | grep default/last" &&
	nft list ruleset >rules && test_must_fail grep -e default/headless -e default/name -e default/foreign rules
'

test_expect_success 'UDP: who was there before the endpoint, and who stays when it goes' '
	service udp "\"ports\":[{\"port\":53,\"targetPort\":5353,\"protocol\":\"UDP\"}]" && udp=$(ip_of udp) &&
	echo="use IO::Socket::INET; my \$s = IO::Socket::INET->new(Proto => q(udp), LocalPort => 5353);
		while (\$s->recv(my \$got, 100)) { \$s->send(\$ARGV[0]) }" &&
	servers= &&
	for p in a b; do
		ip=$(kubectl get pod $p -o jsonpath="{.status.podIP}") &&
		pid=$(container_processes | grep httpd | while read pid rest; do
			nsenter -n -t $pid ip addr | grep -q "$ip/" && echo $pid; done | head -n1) &&
		{ nsenter -n -t $pid perl -e "$echo" $p & } && servers="$servers $!" &&
		wait_for "cat /proc/$pid/net/udp | grep :14E9" || return 1
	done &&
	test_when_finished "kill $servers" &&
	slice() {
		printf "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"udp-1\",
			\"labels\":{\"kubernetes.io/service-name\":\"udp\"}},\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"\",\"port\":5353,
			\"protocol\":\"UDP\"}],\"endpoints\":[{\"addresses\":[\"$(kubectl get pod $1 -o jsonpath="{.status.podIP}")\"]}]}" |
			kubectl apply -f -
	} &&
	ask="use IO::Socket::INET; my \$s = IO::Socket::INET->new(Proto => q(udp), LocalPort => 4000, PeerAddr => q($udp:53));
		for (1 .. 200) { \$s->send(q(x)); local \$SIG{ALRM} = sub { die }; 
		my \$r = eval { Time::HiRes::ualarm(100000); \$s->recv(my \$got, 100); Time::HiRes::ualarm(0); \$got };
		Time::HiRes::ualarm(0); print \"\$r\\n\" if defined \$r; Time::HiRes::sleep(0.05) }" &&
	{ perl -MTime::HiRes -e "\$| = 1; $ask" >answers & } && client=$! &&
	test_when_finished "kill $client; wait $client" &&
	slice a && wait_for "tail -n1 answers | grep a" &&
	slice b && wait_for "tail -n1 answers | grep b"
'

test_expect_success 'the server is killed and comes back: connections run on, new ones work at every moment' '
	sticky=$(ip_of sticky) && first=$(get $sticky:80) &&
	{ while :; do curl -sS --max-time 3 http://$web/ || echo failed; done >log 2>&1 & } && loop=$! &&
	test_when_finished "kill $loop; wait $loop" &&
	init=$(container_processes | grep "httpd" | head -n1 | cut -d" " -f1) &&
	a=$(kubectl get pod a -o jsonpath="{.status.podIP}") &&
	kill_server && start_server --node-ip 192.0.2.1 && wait_node &&
	service after "\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80,\"targetPort\":8080}]" &&
	wait_for "get $(ip_of after):80" && both get $(ip_of after):80 &&
	wait_for "! nft list ruleset | grep -e svc-a/ | grep -e svc-b/" &&
	kill $loop && cp log got && test_must_fail grep -v "^from [ab]" got && test_grep "from a" got && test_grep "from b" got &&
	test_equal "$first" "$(get $sticky:80)"
'

test_expect_success 'what was deleted while the server was away is gone' '
	test "$(nft list chains inet | grep -o "svc-[ab]" | sort -u | wc -l)" = 1 &&
	kubectl delete service web self sticky ext3 udp && wait_for "! nft list ruleset | grep -e default/web -e aff/" &&
	wait_for "! nft list ruleset | grep 198.51.100.1"
'

test_expect_success 'stop the other machine' '
	ip link del wire && kill $other && { wait $other || :; }
'

test_done
