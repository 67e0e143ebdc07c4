#!/bin/sh
# kubectl proxy, cluster-info, get --raw and port-forward to Services: the API by plain HTTP on this machine, with
# files of one's own, under another prefix, for some hosts only; watches, exec and sites of pods by it.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox python3 ip

site=$srcdir/t/helper/site.py

proxy() # OPTION...: in the background; its process is $proxy
{
	: >proxied
	{ kubectl_bg proxy "$@" >proxied 2>&1 & }
	proxy=$!
	wait_for "grep \"Starting to serve on\" proxied"
}

test_expect_success 'a node, a site, a pod and a Service' '
	ip link add net0 type veth peer name net1 && ip address add 192.0.2.10/24 dev net0 && ip link set net0 up && ip link set net1 up &&
	{ "$site" serve 8080 >>site.log 2>&1 & } && site_pid=$! &&
	start_server && import_demo && wait_node &&
	kubectl create -f - <<-\EOF &&
	apiVersion: v1
	kind: Pod
	metadata: {name: web, labels: {app: web}}
	spec:
	  hostNetwork: true
	  terminationGracePeriodSeconds: 0
	  containers: [{name: c, image: "localhost/demo:1", command: [sleep, "6000"], ports: [{containerPort: 8080}]}]
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: inside, labels: {app: inside}}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers:
	  - {name: c, image: "localhost/demo:1", command: [sh, -c, "echo from inside >/index.html && exec httpd -f -p 8000 -h /"]}
	EOF
	kubectl expose pod web --port=80 --target-port=8080 &&
	kubectl create service clusterip inside --tcp=81:8000 &&
	kubectl wait --for=condition=Ready pod/web pod/inside --timeout=30s &&
	wait_for "kubectl get endpoints inside web | grep -c :80 | grep 2"
'

proxies()
{
	test_expect_success 'the API, sites of pods and Services, links that lead back to the proxy' '
		proxy --port=8901 && test_when_finished "kill $proxy; wait $proxy" &&
		curl -sS http://127.0.0.1:8901/version >got && test_grep gitVersion got &&
		curl -sS http://127.0.0.1:8901/api/v1/namespaces/default/pods/web/proxy/page >got &&
		test_grep "href=\"/api/v1/namespaces/default/pods/web/proxy/here?a=1&amp;b=2\"" got &&
		test_equal "from inside" "$(curl -sSL http://127.0.0.1:8901/api/v1/namespaces/default/services/inside:81/proxy)" &&
		curl -sS -X PUT -d hello http://127.0.0.1:8901/api/v1/namespaces/default/services/web:80/proxy/read >got && test_grep "^5 " got &&
		head -c 3000000 /dev/urandom >data &&
		curl -sS -X POST -H "Transfer-Encoding: chunked" -T data http://127.0.0.1:8901/api/v1/namespaces/default/pods/web/proxy/back >back &&
		test_cmp data back
	'
	test_expect_success 'watches, exec and attach by it, when it lets them through' '
		proxy --port=8901 --reject-paths="^/nothing" && test_when_finished "kill $proxy; wait $proxy" &&
		{ curl -sSN "http://127.0.0.1:8901/api/v1/namespaces/default/configmaps?watch=1" >watched & } && watch=$! &&
		wait_for "grep kube-root-ca.crt watched" &&
		kubectl create configmap seen && wait_for "grep \"\\\"name\\\":\\\"seen\\\"\" watched" && kubectl delete configmap seen &&
		kill $watch && { wait $watch || :; } &&
		test_equal "hello from inside" "$(kubectl --server=http://127.0.0.1:8901 exec inside -- echo hello from inside)" &&
		test_equal "typed" "$(echo typed | kubectl --server=http://127.0.0.1:8901 exec -i inside -- cat)"
	'
}
for_each_kubectl 2 proxies

test_expect_success 'files of this machine; the API below another path; a socket' '
	mkdir -p www && echo "a page of mine" >www/index.txt &&
	proxy --port=8902 --www=www --www-prefix=/my/ --api-prefix=/k8s && test_when_finished "kill $proxy; wait $proxy" &&
	test_equal "a page of mine" "$(curl -sS http://127.0.0.1:8902/my/index.txt)" &&
	curl -sS http://127.0.0.1:8902/k8s/api/v1/namespaces/default >got && test_grep "\"name\": *\"default\"" got &&
	test_equal 404 "$(curl -sS -o got -w "%{http_code}" http://127.0.0.1:8902/api/v1/namespaces)"
'

test_expect_success 'only for the hosts and the methods that it was told' '
	proxy --port=8903 --accept-hosts=^one.example$ --reject-methods=DELETE && test_when_finished "kill $proxy; wait $proxy" &&
	test_equal 200 "$(curl -sS -o got -w "%{http_code}" -H "Host: one.example" http://127.0.0.1:8903/version)" &&
	test_equal 403 "$(curl -sS -o got -w "%{http_code}" http://127.0.0.1:8903/version)" &&
	test_equal 403 "$(curl -sS -o got -w "%{http_code}" -X DELETE -H "Host: one.example" http://127.0.0.1:8903/api/v1/namespaces/default)"
'

test_expect_success 'cluster-info, get --raw' '
	kubectl cluster-info >got && test_grep "Kubernetes control plane.* is running at .*https://127.0.0.1:6443" got &&
	kubectl get --raw /api/v1/namespaces/default/services/inside:81/proxy/ >got && test_equal "from inside" "$(cat got)" &&
	kubectl get --raw /readyz >got && test_equal ok "$(cat got)"
'

forwards()
{
	test_expect_success 'port-forward to a Service, by its port and by a local one of its own' '
		{ kubectl_bg port-forward service/inside 9081:81 >forwarded 2>&1 & } && forward=$! &&
		test_when_finished "kill $forward; wait $forward" &&
		wait_for "grep \"127.0.0.1:9081 -> 8000\" forwarded" &&
		test_equal "from inside" "$(curl -sS http://127.0.0.1:9081/)" &&
		test_must_fail kubectl port-forward service/inside 9082:82 2>err && test_grep "does not have a service port 82" err
	'
}
for_each_kubectl 2 forwards

test_expect_success 'the site ends' '
	kill $site_pid && { wait $site_pid || :; } && killall_pods && ip link del net0
'
test_done
