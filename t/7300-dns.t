#!/bin/sh
# The cluster's names, answered by the node: Services, endpoints, pods, StatefulSets, as the
# Kubernetes DNS specification has them; what pods find in resolv.conf; a restart.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox dig

D=cluster.local

# ask TYPE NAME [OPTION...]: the answers' data, sorted
ask()
{
	dig @10.43.0.10 +norecurse +tries=1 +time=3 +short "$@" | sort
}

# status TYPE NAME [OPTION...]: the status, and how many records answer
status()
{
	dig @10.43.0.10 +norecurse +tries=1 +time=3 "$@" | awk '
		/status:/ { sub(",", "", $6); s = $6 }
		/ANSWER:/ { for (i = 1; i <= NF; i++) if ($i == "ANSWER:") n = $(i + 1) + 0 }
		END { print s, n }'
}

inside() # POD COMMAND...
{
	test_pod=$1
	shift
	kubectl exec "$test_pod" -- "$@"
}

test_expect_success 'it answers when the server says it is ready; the Service is there' '
	echo "nameserver 192.0.2.53" >resolv.conf &&
	echo "search corp.example" >>resolv.conf &&
	start_server --resolv-conf "$PWD/resolv.conf" &&
	test_equal 10.43.0.1 "$(ask A kubernetes.default.svc.$D)" &&
	import_demo &&
	wait_node &&
	test_equal "10.43.0.10 kube-dns kinglet dns:53/UDP dns-tcp:53/TCP metrics:9153/TCP " "$(kubectl get service -n kube-system kube-dns \
		-o jsonpath="{.spec.clusterIP} {.metadata.labels.k8s-app} {.metadata.labels.service\.kubernetes\.io/service-proxy-name} {range .spec.ports[*]}{.name}:{.port}/{.protocol} {end}")" &&
	test_equal 10.43.0.10 "$(ask A kube-dns.kube-system.svc.$D)" &&
	test_equal 10.43.0.10 "$(kubectl get endpoints -n kube-system kube-dns -o "jsonpath={.subsets[*].addresses[*].ip}")" &&
	kubectl delete service -n kube-system kube-dns &&
	wait_for "kubectl get service -n kube-system kube-dns" &&
	wait_for "kubectl get endpoints -n kube-system kube-dns | grep 10.43.0.10:9153" &&
	wait_for "kubectl get endpointslices -n kube-system -l kubernetes.io/service-name=kube-dns | grep 10.43.0.10" &&
	test_equal "$(kubectl get node n1 -o jsonpath="{.status.addresses[0].address}")" "$(ask A n1)"
'

test_expect_success 'a Service: addresses, ports, the way back' '
	kubectl create deployment web --image=localhost/demo:1 --replicas=2 -- sh -c "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp" &&
	kubectl patch deployment web -p "{\"spec\":{\"template\":{\"spec\":{\"terminationGracePeriodSeconds\":0}}}}" &&
	kubectl expose deployment web --port=8080 --target-port=80 --name=web &&
	kubectl patch service web --type=json -p "[{\"op\":\"add\",\"path\":\"/spec/ports/0/name\",\"value\":\"http\"}]" &&
	ip=$(kubectl get service web -o "jsonpath={.spec.clusterIP}") &&
	wait_for "test \"\$(ask A web.default.svc.$D)\" = $ip" &&
	test_equal "NOERROR 0" "$(status AAAA web.default.svc.$D)" &&
	test_equal "0 100 8080 web.default.svc.$D." "$(ask SRV _http._tcp.web.default.svc.$D)" &&
	test_equal "web.default.svc.$D." "$(ask -x $ip)" &&
	test_equal "NXDOMAIN 0" "$(status A nix.default.svc.$D)" &&
	test_equal "NXDOMAIN 0" "$(status A web.nowhere.svc.$D)" &&
	test_equal "\"1.1.0\"" "$(ask TXT dns-version.$D)" &&
	dig @10.43.0.10 A nix.default.svc.$D >got &&
	test_grep "SOA.*ns.dns.$D. hostmaster.$D. [0-9]* 7200 1800 86400 5$" got &&
	test_grep "flags: qr aa" got
'

test_expect_success 'a StatefulSet: each pod by its name, all by that of the Service, as they become ready' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Service
	metadata: {name: db}
	spec: {clusterIP: None, selector: {app: db}, ports: [{name: sql, port: 5432}]}
	---
	apiVersion: apps/v1
	kind: StatefulSet
	metadata: {name: db}
	spec:
	  serviceName: db
	  replicas: 2
	  selector: {matchLabels: {app: db}}
	  template:
	    metadata: {labels: {app: db}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers: [{name: c, image: "localhost/demo:1", command: [sleep, "1000"], readinessProbe: {exec: {command: [test, -e, /tmp/ok]}, periodSeconds: 1}}]
	EOF
	wait_for "kubectl get pod db-0 -o jsonpath={.status.podIP} | grep 10.42" &&
	test_equal "NXDOMAIN 0" "$(status A db.default.svc.$D)" &&
	wait_for "inside db-0 touch /tmp/ok" &&
	zero=$(kubectl get pod db-0 -o "jsonpath={.status.podIP}") &&
	wait_for "test \"\$(ask A db.default.svc.$D)\" = $zero" &&
	wait_for "inside db-1 touch /tmp/ok" &&
	one=$(kubectl get pod db-1 -o "jsonpath={.status.podIP}") &&
	wait_for "test \"\$(ask A db.default.svc.$D | wc -l)\" = 2" &&
	test_equal "$one" "$(ask A db-1.db.default.svc.$D)" &&
	test_equal "0 50 5432 db-0.db.default.svc.$D. 0 50 5432 db-1.db.default.svc.$D." "$(ask SRV _sql._tcp.db.default.svc.$D | xargs)" &&
	dig @10.43.0.10 SRV _sql._tcp.db.default.svc.$D >got &&
	test_grep "^db-1.db.default.svc.$D.*A.*$one" got &&
	test_equal "db-1.db.default.svc.$D." "$(ask -x $one)" &&
	for i in $(seq 20); do dig @10.43.0.10 +short A db.default.svc.$D | head -n 1; done | sort -u >first &&
	test_lines 2 first &&
	inside db-1 rm /tmp/ok &&
	wait_for "test \"\$(ask A db.default.svc.$D)\" = $zero" &&
	test_equal "NXDOMAIN 0" "$(status A db-1.db.default.svc.$D)"
'

test_expect_success 'in a pod: resolv.conf, short names, and its own' '
	inside db-0 cat /etc/resolv.conf >got &&
	cat >expected <<-EOF &&
	search default.svc.$D svc.$D $D corp.example
	nameserver 10.43.0.10
	options ndots:5
	EOF
	test_cmp expected got &&
	inside db-0 nslookup web.default.svc.$D &&
	{ inside db-0 ping -c 1 -W 1 web >got || :; } &&
	test_grep "PING web ($ip)" got &&
	inside db-0 ping -c 1 -W 5 db-0.db &&
	inside db-0 sh -c "hostname -f" >got &&
	test_equal db-0.db.default.svc.$D "$(cat got)"
'

test_expect_success 'dnsConfig is merged, dnsPolicy None and Default' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Pod
	metadata: {name: merged}
	spec: {terminationGracePeriodSeconds: 0, dnsConfig: {nameservers: [192.0.2.9], searches: [more.example], options: [{name: ndots, value: "2"}, {name: edns0}]}, containers: [{name: c, image: "localhost/demo:1", command: [sleep, "1000"]}]}
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: none}
	spec: {terminationGracePeriodSeconds: 0, dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.9]}, containers: [{name: c, image: "localhost/demo:1", command: [sleep, "1000"]}]}
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: default}
	spec: {terminationGracePeriodSeconds: 0, dnsPolicy: Default, containers: [{name: c, image: "localhost/demo:1", command: [sleep, "1000"]}]}
	EOF
	kubectl wait --for=condition=Ready pod/merged pod/none pod/default --timeout=30s &&
	test_equal "search default.svc.$D svc.$D $D corp.example more.example nameserver 10.43.0.10 nameserver 192.0.2.9 options ndots:2 edns0" \
		"$(inside merged cat /etc/resolv.conf | xargs)" &&
	test_equal "nameserver 192.0.2.9" "$(inside none cat /etc/resolv.conf | xargs)" &&
	test_equal "search corp.example nameserver 192.0.2.53" "$(inside default cat /etc/resolv.conf | xargs)"
'

test_expect_success 'hostname and subdomain; addresses before they are ready; a Service without a selector' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Service
	metadata: {name: early}
	spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: early}}
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: e, labels: {app: early}}
	spec:
	  hostname: me
	  subdomain: early
	  terminationGracePeriodSeconds: 0
	  containers: [{name: c, image: "localhost/demo:1", command: [sleep, "1000"], readinessProbe: {exec: {command: ["false"]}}}]
	---
	apiVersion: v1
	kind: Service
	metadata: {name: manual}
	spec: {clusterIP: None, ports: [{name: p, port: 7}]}
	---
	apiVersion: discovery.k8s.io/v1
	kind: EndpointSlice
	metadata: {name: manual-1, labels: {kubernetes.io/service-name: manual}}
	addressType: IPv4
	ports: [{name: p, port: 7, protocol: TCP}]
	endpoints: [{addresses: [192.0.2.77]}, {addresses: [192.0.2.78], hostname: named}]
	EOF
	wait_for "test -n \"\$(ask A me.early.default.svc.$D)\"" &&
	test_equal "$(kubectl get pod e -o "jsonpath={.status.podIP}")" "$(ask A early.default.svc.$D)" &&
	test_equal "0 50 7 192-0-2-77.manual.default.svc.$D. 0 50 7 named.manual.default.svc.$D." "$(ask SRV _p._tcp.manual.default.svc.$D | xargs)" &&
	test_equal 192.0.2.77 "$(ask A 192-0-2-77.manual.default.svc.$D)" &&
	test_equal "192-0-2-77.manual.default.svc.$D." "$(ask -x 192.0.2.77)"
'

test_expect_success 'ExternalName to a name of the cluster and to another; pods by their address' '
	kubectl create service externalname alias --external-name=web.default.svc.$D &&
	kubectl create service externalname out --external-name=www.example.org &&
	wait_for "test \"\$(ask CNAME out.default.svc.$D)\" = www.example.org." &&
	test_equal "$ip web.default.svc.$D." "$(ask A alias.default.svc.$D | xargs)" &&
	test_equal 10.42.9.9 "$(ask A 10-42-9-9.default.pod.$D)" &&
	test_equal "NXDOMAIN 0" "$(status A 10-42-9.default.pod.$D)"
'

test_expect_success 'the case of the question is kept, by TCP too; what is not served' '
	dig @10.43.0.10 +tcp A WEB.Default.svc.$D >got &&
	test_grep "^WEB.Default.svc.$D.*A.*$ip" got &&
	test_equal "REFUSED 0" "$(status CH TXT version.bind)" &&
	test_equal "REFUSED 0" "$(status AXFR $D +tcp +noall +comments | sed "s/^ 0/REFUSED 0/; s/^ $/REFUSED 0/")" &&
	test_equal "NOTIMP 0" "$(status A web.default.svc.$D +opcode=status)" &&
	test_equal "BADVERS 0" "$(status A web.default.svc.$D +edns=1 +noednsneg)" &&
	test_equal "NOERROR 1" "$(status A web.default.svc.$D +nsid +cookie)"
'

test_expect_success 'many endpoints: cut over UDP, whole over TCP' '
	jq -n "{apiVersion:\"discovery.k8s.io/v1\",kind:\"EndpointSlice\",metadata:{name:\"big-1\",labels:{\"kubernetes.io/service-name\":\"big\"}},
		addressType:\"IPv4\",ports:[{name:\"p\",port:1}],endpoints:[range(200)|{addresses:[\"198.51.100.\(.)\"]}]}" | kubectl apply -f - &&
	kubectl create service clusterip big --clusterip=None &&
	wait_for "test \"\$(dig @10.43.0.10 +tcp +short big.default.svc.$D | wc -l)\" = 200" &&
	dig @10.43.0.10 +ignore +noedns A big.default.svc.$D >got &&
	test_grep "flags: qr aa tc" got &&
	test "$(sed -n "s/.*MSG SIZE  rcvd: //p" got)" -le 512 &&
	dig @10.43.0.10 +ignore +bufsize=4096 A big.default.svc.$D >got &&
	test_grep "flags: qr aa tc" got &&
	test "$(sed -n "s/.*MSG SIZE  rcvd: //p" got)" -le 1232 &&
	test_equal 200 "$(dig @10.43.0.10 +short A big.default.svc.$D | sort -u | grep -c 198.51)"
'

test_expect_success 'metrics' '
	curl -sS --max-time 5 http://10.43.0.10:9153/metrics >got &&
	test_grep "^coredns_dns_requests_total{.*type=\"SRV\".*} [1-9]" got &&
	test_grep "^coredns_dns_responses_total{.*rcode=\"NXDOMAIN\".*} [1-9]" got &&
	test_grep "^kinglet_dns_services [1-9]" got
'

test_expect_success 'killed and started again, it answers at once, and never wrongly' '
	kill_server &&
	: >polling &&
	{ while test -e polling; do dig @10.43.0.10 +tries=1 +time=1 A web.default.svc.$D; done >polled 2>&1 & } &&
	polling=$! &&
	restart_server &&
	rm polling &&
	wait $polling &&
	test_equal "$ip" "$(ask A web.default.svc.$D)" &&
	test_grep "$ip" polled &&
	! grep "status: NXDOMAIN" polled &&
	inside db-0 nslookup web.default.svc.$D
'

test_expect_success 'without DNS its Service goes, with it at another address it moves' '
	restart_server --disable coredns &&
	wait_for "! kubectl get service -n kube-system kube-dns" &&
	! ss -uln | grep ":53 " &&
	restart_server --cluster-dns 10.43.0.77 --cluster-domain kl.test --resolv-conf "$PWD/resolv.conf" &&
	wait_for "test \"\$(kubectl get service -n kube-system kube-dns -o "jsonpath={.spec.clusterIP}")\" = 10.43.0.77" &&
	wait_for "test \"\$(dig @10.43.0.77 +short A kubernetes.default.svc.kl.test)\" = 10.43.0.1" &&
	restart_server --resolv-conf "$PWD/resolv.conf" &&
	wait_for "test \"\$(kubectl get service -n kube-system kube-dns -o "jsonpath={.spec.clusterIP}")\" = 10.43.0.10"
'

test_done
