#!/bin/sh
# EndpointSlices and Endpoints of Services: which pods, at which ports, in which state;
# those that are written by hand and mirrored.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-sched.sh"
test_needs kubectl

# up NAME IP [READY [MORE-STATUS]]: what a node would say of the pod
up()
{
	kubectl patch pod "$1" --subresource=status --type=merge -p "{\"status\":{\"phase\":\"Running\",\"podIP\":\"$2\",
		\"podIPs\":[{\"ip\":\"$2\"}],\"conditions\":[{\"type\":\"Ready\",\"status\":\"${3:-True}\"}]}}"
}

slice() # SERVICE JSONPATH
{
	kubectl get endpointslices -l "kubernetes.io/service-name=$1" -o "jsonpath=$2"
}

endpoints() # SERVICE: address ready serving terminating, a line each
{
	slice "$1" '{range .items[*].endpoints[*]}{.addresses[0]} {.conditions.ready} {.conditions.serving} {.conditions.terminating}{"\n"}{end}' | sort
}

old() # SERVICE: addresses of its Endpoints
{
	kubectl get endpoints "$1" -o 'jsonpath={.subsets[*].addresses[*].ip}'
}

test_expect_success 'a Service without pods has a slice that is empty, and Endpoints' '
	start_server $nodes_stay &&
	node far 4 8Gi 200 "topology.kubernetes.io/zone: z1" &&
	kubectl create service clusterip web --tcp=80:http &&
	kubectl label service web team=a &&
	wait_for "test \"\$(slice web \"{.items[0].metadata.labels.team}\")\" = a" &&
	test_equal "IPv4 endpointslice-controller.k8s.io Service web" "$(slice web \
		"{.items[0].addressType} {.items[0].metadata.labels.endpointslice\.kubernetes\.io/managed-by} {.items[0].metadata.ownerReferences[0].kind} {.items[0].metadata.ownerReferences[0].name}")" &&
	test_equal "" "$(endpoints web)" &&
	wait_for "kubectl get endpoints web" &&
	test_equal "<none>" "$(kubectl get endpoints web --no-headers | awk "{print \$2}")"
'

test_expect_success 'pods come with their address: ready or not, with the port that they have of that name' '
	pod a "nodeName: far" "ports: [{name: http, containerPort: 8080}]" "app: web" &&
	pod b "nodeName: far" "ports: [{name: http, containerPort: 9090}]" "app: web" &&
	up a 10.42.0.11 && up b 10.42.0.12 False &&
	wait_for "test \"\$(endpoints web)\" = \"10.42.0.11 true true false
10.42.0.12 false false false\"" &&
	test_equal 2 "$(slice web "{range .items[*]}x{end}" | tr -d "\n" | wc -c)" &&
	test_equal "8080 TCP 9090 TCP" "$(slice web "{range .items[*]}{.ports[0].port} {.ports[0].protocol}{\"\n\"}{end}" | sort | xargs)" &&
	test_equal "Pod a z1 far" "$(slice web "{range .items[*].endpoints[?(@.addresses[0]==\"10.42.0.11\")]}{.targetRef.kind} {.targetRef.name} {.zone} {.nodeName}{end}")" &&
	wait_for "test \"\$(old web)\" = 10.42.0.11" &&
	test_equal 10.42.0.12 "$(kubectl get endpoints web -o "jsonpath={.subsets[*].notReadyAddresses[*].ip}")" &&
	kubectl get endpoints web -o jsonpath="{.metadata.annotations.endpoints\.kubernetes\.io/last-change-trigger-time}" >got &&
	test_grep "^20" got
'

test_expect_success 'readiness, deletion and labels follow' '
	up b 10.42.0.12 True &&
	wait_for "test \"\$(endpoints web | grep -c \"true true false\")\" = 2" &&
	kubectl delete pod a --wait=false &&
	wait_for "endpoints web | grep \"^10.42.0.11 false true true\"" &&
	wait_for "test \"\$(old web)\" = 10.42.0.12" &&
	kubectl delete pod a --force --grace-period=0 &&
	wait_for "test \"\$(endpoints web)\" = \"10.42.0.12 true true false\"" &&
	kubectl label pod b app=other --overwrite &&
	wait_for "test -z \"\$(endpoints web)\"" &&
	test_equal 1 "$(slice web "{range .items[*]}x{end}" | tr -d "\n" | wc -c)" &&
	wait_for "test -z \"\$(old web)\"" &&
	kubectl label pod b app=web --overwrite &&
	wait_for "test \"\$(endpoints web)\" = \"10.42.0.12 true true false\"" &&
	kubectl patch pod b --subresource=status --type=merge -p "{\"status\":{\"phase\":\"Failed\"}}" &&
	wait_for "test -z \"\$(endpoints web)\""
'

test_expect_success 'headless, with names, and addresses that are published before they are ready' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Service
	metadata: {name: db}
	spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: db}}
	EOF
	pod db-0 "nodeName: far, hostname: db-0, subdomain: db" "" "app: db" &&
	up db-0 10.42.0.20 False &&
	wait_for "test \"\$(endpoints db)\" = \"10.42.0.20 true false false\"" &&
	test_equal "db-0" "$(slice db "{.items[0].endpoints[0].hostname}")" &&
	test_equal "" "$(slice db "{.items[0].metadata.labels.service\.kubernetes\.io/headless}")" &&
	wait_for "test \"\$(old db)\" = 10.42.0.20" &&
	kubectl get endpoints db -o json | jq -e ".metadata.labels | has(\"service.kubernetes.io/headless\")"
'

test_expect_success 'many: a hundred in a slice; one change writes one slice' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Service
	metadata: {name: many}
	spec: {selector: {app: many}, ports: [{port: 80}]}
	EOF
	for i in $(seq 150); do
		printf "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"m%d\",\"labels\":{\"app\":\"many\"}},\"spec\":{\"nodeName\":\"far\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]},\"status\":{\"phase\":\"Running\",\"qosClass\":\"BestEffort\",\"podIP\":\"10.42.1.%d\",\"podIPs\":[{\"ip\":\"10.42.1.%d\"}],\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}\n" $i $i $i
	done >pods.json &&
	kubectl create -f pods.json >/dev/null &&
	kubectl replace --subresource=status -f pods.json >/dev/null &&
	wait_for "test \"\$(endpoints many | wc -l)\" = 150" &&
	kubectl get endpointslices -l kubernetes.io/service-name=many -o json >now.json &&
	jq -e ".items | length == 2 and all(.endpoints | length <= 100)" now.json &&
	jq -r ".items[].metadata | .name + \" \" + .resourceVersion" now.json | sort >before &&
	kubectl patch pod m7 --subresource=status --type=merge -p "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}" &&
	wait_for "endpoints many | grep \"^10.42.1.7 false\"" &&
	kubectl get endpointslices -l kubernetes.io/service-name=many -o json | jq -r ".items[].metadata | .name + \" \" + .resourceVersion" | sort >now &&
	test_equal 1 "$(comm -13 before now | wc -l)"
'

test_expect_success 'what is deleted or changed by hand is put right' '
	kubectl delete endpointslices -l kubernetes.io/service-name=many --wait=false &&
	wait_for "test \"\$(endpoints many | wc -l)\" = 150" &&
	kubectl delete endpoints many &&
	wait_for "test \"\$(old many | wc -w)\" = 149" &&
	kubectl delete service many &&
	wait_for "test -z \"\$(slice many \"{.items[*].metadata.name}\")\"" &&
	wait_for "! kubectl get endpoints many"
'

test_expect_success 'Endpoints by hand, before or after their Service, are mirrored' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Endpoints
	metadata: {name: outside, labels: {who: me}}
	subsets: [{addresses: [{ip: 11.11.11.11}, {ip: 22.22.22.22}], notReadyAddresses: [{ip: 33.33.33.33}], ports: [{port: 80}]}]
	EOF
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Service
	metadata: {name: outside}
	spec: {ports: [{port: 80}]}
	EOF
	wait_for "test \"\$(endpoints outside | cut -d\" \" -f1,2 | xargs)\" = \"11.11.11.11 true 22.22.22.22 true 33.33.33.33 false\"" &&
	test_equal "endpointslicemirroring-controller.k8s.io me Endpoints" "$(slice outside \
		"{.items[0].metadata.labels.endpointslice\.kubernetes\.io/managed-by} {.items[0].metadata.labels.who} {.items[0].metadata.ownerReferences[0].kind}")" &&
	kubectl patch endpoints outside --type=json -p "[{\"op\":\"remove\",\"path\":\"/subsets/0/addresses/0\"}]" &&
	wait_for "test \"\$(endpoints outside | wc -l)\" = 2" &&
	kubectl label endpoints outside endpointslice.kubernetes.io/skip-mirror=true &&
	wait_for "test -z \"\$(slice outside \"{.items[*].metadata.name}\")\"" &&
	kubectl delete service outside &&
	wait_for "! kubectl get endpoints outside" &&
	test_equal kubernetes "$(kubectl get endpointslices -n default kubernetes -o jsonpath={.metadata.name})"
'


test_done
