#!/bin/sh
# What containers find in their environment and in /etc: variables from all sources,
# names, hosts and resolv.conf, by the rules and in the words of the kubelet.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

# pod NAME CONTAINER-FIELDS [SPEC-FIELDS] [METADATA-FIELDS]
pod()
{
	object "apiVersion: v1, kind: Pod, metadata: {name: $1${4:+, $4}}, spec: {restartPolicy: Never,
		terminationGracePeriodSeconds: 0${3:+, $3}, containers: [{name: c, image: localhost/demo:1, $2}]}"
}

ended() # POD
{
	wait_for "kubectl get pod $1 -o jsonpath='{.status.phase}' | grep -E 'Succeeded|Failed'"
}

test_expect_success 'start' '
	start_server --resolv-conf "$TRASH/resolv" --cluster-dns 10.43.0.10 &&
	printf "nameserver 192.0.2.1\nsearch corp.example. lan\noptions timeout:1\n" >"$TRASH/resolv" &&
	import_demo && wait_node &&
	kubectl create configmap some --from-literal=A=1 --from-literal=a.b-c=dots &&
	kubectl create secret generic hidden --from-literal=PW=s3cret &&
	kubectl create service clusterip my-db --tcp=5432:5432
'

test_expect_success 'env, envFrom, valueFrom: all sources, prefixes, order, escapes' '
	wait_for "kubectl get service my-db -o jsonpath={.spec.clusterIP} | grep 10.43" &&
	pod all "command: [env], resources: {limits: {cpu: 1500m, memory: 64Mi}, requests: {cpu: 10m, memory: 1Mi}},
		envFrom: [{configMapRef: {name: some}, prefix: P_}, {secretRef: {name: hidden}},
			{configMapRef: {name: none, optional: true}}],
		env: [{name: X, value: x}, {name: YY, value: \"\$(X)-\$(PW)-\$(NONE)-\$\$(X)-\$(MY_DB_SERVICE_PORT)\"},
			{name: P_A, value: two},
			{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}},
			{name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}},
			{name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}},
			{name: L, valueFrom: {fieldRef: {fieldPath: \"metadata.labels[\u0027app\u0027]\"}}},
			{name: AN, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations[\u0027x/y\u0027]\"}}},
			{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}},
			{name: SA, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}},
			{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
			{name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}},
			{name: HIP, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}},
			{name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}},
			{name: CPUM, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}},
			{name: MEM, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}},
			{name: RMEM, valueFrom: {resourceFieldRef: {resource: requests.memory}}},
			{name: HUGE, valueFrom: {resourceFieldRef: {resource: limits.hugepages-2Mi}}},
			{name: KEY, valueFrom: {configMapKeyRef: {name: some, key: a.b-c}}},
			{name: GONE, valueFrom: {configMapKeyRef: {name: some, key: none, optional: true}}}]" "" \
		"labels: {app: shop}, annotations: {x/y: \"1 2\"}" | kubectl apply -f - &&
	ended all && kubectl logs all >got &&
	for line in P_A=two P_a.b-c=dots PW=s3cret X=x "YY=x-s3cret-\$(NONE)-\$(X)-5432" NAME=all NS=default L=shop \
		"AN=1 2" NODE=n1 SA=default CPU=2 CPUM=1500 MEM=64 RMEM=1048576 HUGE=0 KEY=dots \
		MY_DB_PORT_5432_TCP_PROTO=tcp MY_DB_SERVICE_PORT_5432_5432=5432 KUBERNETES_SERVICE_HOST=10.43.0.1 HOSTNAME=all; do
		test_grep -Fx "$line" got || return 1
	done &&
	ip=$(kubectl get pod all -o jsonpath="{.status.podIP}") &&
	test_grep -x "IP=$ip" got && test_grep -x "IPS=$ip" got && test_grep -x "UID=[0-9a-f-]*" got &&
	test_equal "" "$(grep GONE= got)"
'

test_expect_success 'without limits the node stands in; no service links but the API server' '
	pod few "command: [env], env: [{name: MEM, valueFrom: {resourceFieldRef: {resource: limits.memory}}}]" \
		"enableServiceLinks: false" | kubectl apply -f - &&
	ended few && kubectl logs few >got &&
	mem=$(kubectl get node n1 -o jsonpath="{.status.allocatable.memory}") &&
	test_grep -x "MEM=$((${mem%Ki} * 1024))" got &&
	test_grep KUBERNETES_SERVICE_PORT=443 got && test_equal "" "$(grep MY_DB got)"
'

test_expect_success 'what is missing is CreateContainerConfigError, and picked up when it appears' '
	pod wants "command: [env], envFrom: [{configMapRef: {name: later}}],
		env: [{name: K, valueFrom: {secretKeyRef: {name: later, key: k}}}]" | kubectl apply -f - &&
	wait_for "kubectl get pod wants | grep CreateContainerConfigError" &&
	kubectl describe pod wants >got && test_grep "configmap \"later\" not found" got &&
	kubectl create configmap later --from-literal=L=1 &&
	wait_for "kubectl describe pod wants | grep \"secret \\\"later\\\" not found\"" &&
	kubectl create secret generic later --from-literal=other=1 &&
	wait_for "kubectl describe pod wants | grep \"couldn.t find key k in Secret default/later\"" &&
	kubectl patch secret later -p "{\"stringData\": {\"k\": \"v\"}}" &&
	ended wants && kubectl logs wants >got && test_grep -x K=v got && test_grep -x L=1 got
'

test_expect_success 'fileKeyRef: from a file that an init container wrote' '
	pod files "command: [env], env: [{name: F, valueFrom: {fileKeyRef: {volumeName: v, path: e/env, key: B}}},
			{name: G, valueFrom: {fileKeyRef: {volumeName: v, path: e/env, key: Z, optional: true}}}]" \
		"volumes: [{name: v, emptyDir: {}}], initContainers: [{name: i, image: localhost/demo:1, volumeMounts: [{name: v, mountPath: /v}],
			command: [sh, -c, \"mkdir /v/e; printf \\\"# no\\\\nA=1\\\\nB=\x27x # y\x27\\\\n\\\" >/v/e/env\"]}]" >f.yaml &&
	kubectl apply -f f.yaml && ended files && kubectl logs files >got &&
	test_grep -x "F=x # y" got && test_equal "" "$(grep ^G= got)"
'

test_expect_success 'names: hostname and subdomain, FQDN, hostAliases' '
	pod named "command: [sh, -c, \"hostname; cat /etc/hosts\"]" "hostname: web, subdomain: sub,
		hostAliases: [{ip: 192.0.2.7, hostnames: [one, two]}]" | kubectl apply -f - &&
	pod fq "command: [sh, -c, \"hostname; cat /etc/hosts\"]" "hostname: web, subdomain: sub, setHostnameAsFQDN: true" | kubectl apply -f - &&
	ended named && ended fq && kubectl logs named >got && kubectl logs fq >fq &&
	test_equal web "$(head -n 1 got)" && test_equal web.sub.default.svc.cluster.local "$(head -n 1 fq)" &&
	ip=$(kubectl get pod named -o jsonpath="{.status.podIP}") &&
	printf "$ip\tweb.sub.default.svc.cluster.local\tweb\n" >want && grep "^$ip" got >line && test_cmp want line &&
	printf "192.0.2.7\tone\ttwo\n" >want && grep ^192.0.2.7 got >line && test_cmp want line &&
	test_grep "^[0-9.]*	web.sub.default.svc.cluster.local	web$" fq &&
	pod toolong "command: [env]" "hostname: $(printf %060d 0 | tr 0 x), subdomain: sub, setHostnameAsFQDN: true" | kubectl apply -f - &&
	wait_for "kubectl describe pod toolong | grep \"is too long (64 characters is the max, 90 characters requested)\""
'

test_expect_success 'the four DNS policies, dnsConfig and its limits' '
	pod d1 "command: [cat, /etc/resolv.conf]" | kubectl apply -f - &&
	pod d2 "command: [cat, /etc/resolv.conf]" "dnsPolicy: Default" | kubectl apply -f - &&
	pod d3 "command: [cat, /etc/resolv.conf]" "hostNetwork: true" | kubectl apply -f - &&
	pod d4 "command: [cat, /etc/resolv.conf]" "hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet,
		dnsConfig: {nameservers: [192.0.2.2, 192.0.2.3, 192.0.2.4], options: [{name: ndots, value: \"2\"}, {name: edns0}]}" | kubectl apply -f - &&
	pod d5 "command: [cat, /etc/resolv.conf]" "dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.9], searches: [a.b]}" | kubectl apply -f - &&
	for i in 1 2 3 4 5; do ended d$i && kubectl logs d$i >d$i || return 1; done &&
	printf "search default.svc.cluster.local svc.cluster.local cluster.local corp.example lan\nnameserver 10.43.0.10\noptions ndots:5\n" >want &&
	test_cmp want d1 &&
	printf "search corp.example lan\nnameserver 192.0.2.1\noptions timeout:1\n" >want && test_cmp want d2 && test_cmp want d3 &&
	printf "search a.b\nnameserver 192.0.2.9\n" >want && test_cmp want d5 &&
	test_equal "10.43.0.10 192.0.2.2 192.0.2.3" "$(sed -n "s/nameserver //p" d4 | xargs)" &&
	test_grep -x "options ndots:2 edns0" d4 &&
	wait_for "kubectl describe pod d4 | grep \"DNSConfigForming.*Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 10.43.0.10 192.0.2.2 192.0.2.3\""
'

test_done
