#!/bin/sh
# The node's own HTTPS port, as the kubelet has it: who may ask what there, what it
# answers, and the same by the API's proxy.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox openssl

# kubelet [CURL OPTION...] PATH: the status code; ./answer is the body.
kubelet()
{
	eval "kubelet_path=\${$#}"
	kubelet_args=$#
	while [ "$kubelet_args" -gt 1 ]; do
		set -- "$@" "$1"
		shift
		kubelet_args=$((kubelet_args - 1))
	done
	shift
	rm -f answer
	curl -sS --max-time 20 --cacert "$DATA/server/tls/ca.crt" -o answer -w '%{http_code}' "$@" \
		"https://127.0.0.1:10250$kubelet_path"
}

admin()
{
	kubelet --cert "$DATA/server/tls/admin.crt" --key "$DATA/server/tls/admin.key" "$@"
}

test_expect_success 'the node says where its port is, with a certificate of the cluster for its names' '
	start_server &&
	import_demo &&
	wait_node &&
	test_equal 10250 "$(kubectl get node n1 -o jsonpath="{.status.daemonEndpoints.kubeletEndpoint.Port}")" &&
	ip=$(kubectl get node n1 -o jsonpath="{.status.addresses[0].address}") &&
	openssl x509 -in "$DATA/server/tls/kubelet.crt" -noout -subject -ext subjectAltName >got &&
	test_grep "O = system:nodes, CN = system:node:n1" got &&
	test_grep "DNS:n1, DNS:localhost, IP Address:127.0.0.1" got &&
	test_grep "IP Address:$ip" got &&
	kubectl run a --image=localhost/demo:1 -- sh -c "echo said this; sleep 1000" &&
	kubectl wait --for=condition=Ready pod/a --timeout=30s
'

test_expect_success 'nobody, a wrong token and a certificate of somebody else: 401' '
	test_equal 401 "$(kubelet /pods)" && test_equal Unauthorized "$(cat answer)" &&
	test_equal 401 "$(kubelet /healthz)" &&
	test_equal 401 "$(kubelet /nowhere)" &&
	test_equal 401 "$(kubelet -H "Authorization: Bearer nonsense" /pods)" &&
	test_equal 401 "$(kubelet -H "Authorization: Basic YTpi" /pods)" &&
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=system:masters/CN=me" -days 2 \
		-keyout other.key -out other.crt &&
	test_equal 401 "$(kubelet --cert other.crt --key other.key /pods)"
'

test_expect_success 'the administrator may all' '
	test_equal 200 "$(admin /healthz)" && test_equal ok "$(cat answer)" &&
	test_equal 200 "$(admin /pods)" && test_grep "\"kind\":\"PodList\"" answer && test_grep "\"name\":\"a\"" answer &&
	test_equal 200 "$(admin /runningpods)" && test_grep "\"name\":\"a\"" answer &&
	test_equal 200 "$(admin /stats/summary)" && test_grep "\"nodeName\": *\"n1\"" answer &&
	test_equal 200 "$(admin "/containerLogs/default/a/a?tailLines=1")" && test_equal "said this" "$(cat answer)" &&
	test_equal 200 "$(admin /configz)" && test_grep "\"kubeletconfig\":" answer &&
	test_equal 404 "$(admin /nowhere)" &&
	test_equal 405 "$(admin -X DELETE /pods)" &&
	test_equal 405 "$(admin -X POST /containerLogs/default/a/a)" &&
	test_equal 404 "$(admin /containerLogs/default/nobody/a)" &&
	test_equal 404 "$(admin /containerLogs/default/a/nobody)"
'

test_expect_success 'a token that reads like a question about a permission is a wrong token' '
	me="{\"username\":\"system:admin\",\"groups\":[\"system:masters\",\"system:authenticated\"]}" &&
	for grant in healthz pods proxy stats; do
		for prefix in "" "access " "token "; do
			test_equal 401 "$(kubelet -H "Authorization: Bearer ${prefix}get $grant $me" /pods)" || return 1
		done
	done &&
	test_equal 200 "$(admin /healthz)"
'

test_expect_success 'run: the output of a command, and its failure' '
	test_equal 200 "$(admin -X POST "/run/default/a/a?cmd=echo%20it%20ran")" && test_equal "it ran" "$(cat answer)" &&
	test_equal 500 "$(admin -X POST "/run/default/a/a?cmd=false")" &&
	test_grep "command .false. exited with 1" answer &&
	test_equal 500 "$(admin -X POST "/run/default/a/a?cmd=nosuch")" &&
	test_grep "executable file not found" answer &&
	test_equal 404 "$(admin -X POST "/run/default/none/a?cmd=true")"
'

test_expect_success 'logs: files of the machine, none outside of their directory' '
	test_equal 200 "$(admin /logs/)" && test_grep "<a href=" answer &&
	test_equal 404 "$(admin /logs/no-such-file)" &&
	for path in /logs/../../etc/passwd /logs/%2e%2e/%2e%2e/etc/passwd /logs//etc/passwd; do
		test_equal 404 "$(admin --path-as-is $path)" || return 1
	done
'

test_expect_success 'a token may what RBAC grants it of the node: the whole, or one subresource' '
	kubectl create serviceaccount sa &&
	token=$(kubectl create token sa) &&
	as_sa() { kubelet -H "Authorization: Bearer $token" "$@"; } &&
	test_equal 403 "$(as_sa /pods)" &&
	test_equal "Forbidden (user=system:serviceaccount:default:sa, verb=get, resource=nodes, subresource(s)=[pods proxy])" \
		"$(cat answer)" &&
	test_equal 403 "$(as_sa /metrics)" &&
	test_equal 403 "$(as_sa /nowhere)" &&
	kubectl create serviceaccount fine && token=$(kubectl create token fine) &&
	kubectl create clusterrole fine --verb=get --resource=nodes/pods,nodes/stats &&
	kubectl create clusterrolebinding fine --clusterrole=fine --serviceaccount=default:fine &&
	test_equal 200 "$(as_sa /pods)" &&
	test_equal 200 "$(as_sa /runningpods)" &&
	test_equal 200 "$(as_sa /stats/summary)" &&
	test_equal 403 "$(as_sa /healthz)" &&
	test_grep "subresource(s)=\[healthz proxy\]" answer &&
	test_equal 403 "$(as_sa /containerLogs/default/a/a)" &&
	test_equal 403 "$(as_sa -X POST "/run/default/a/a?cmd=id")" &&
	test_grep "verb=create" answer &&
	kubectl create serviceaccount whole && token=$(kubectl create token whole) &&
	kubectl create clusterrolebinding whole --clusterrole=system:kubelet-api-admin --serviceaccount=default:whole &&
	test_equal 200 "$(as_sa /healthz)" &&
	test_equal 200 "$(as_sa /containerLogs/default/a/a)" &&
	test_equal 404 "$(as_sa /nowhere)"
'

test_expect_success 'the same by the proxy of the API, for those who may get nodes/proxy' '
	kubectl get --raw /api/v1/nodes/n1/proxy/stats/summary >got && test_grep "nodeName" got &&
	test_equal ok "$(kubectl get --raw /api/v1/nodes/n1/proxy/healthz)" &&
	test_equal ok "$(kubectl get --raw /api/v1/nodes/n1:10250/proxy/healthz)" &&
	kubectl get --raw /api/v1/nodes/n1/proxy/containerLogs/default/a/a >got && test_grep "said this" got &&
	kubectl get --raw /api/v1/nodes/n1/proxy/logs/ >got &&
	refused "NotFound" kubectl get --raw /api/v1/nodes/nobody/proxy/healthz &&
	refused "could not find the requested resource" kubectl get --raw /api/v1/nodes/n1/proxy/nowhere &&
	refused "forbidden" kubectl --as=joe get --raw /api/v1/nodes/n1/proxy/pods
'

test_expect_success 'with --kubelet-port 0 there is no port; one that is taken is told' '
	restart_server --kubelet-port 0 &&
	wait_for "[ \"\$(kubectl get node n1 -o jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port})\" = 0 ]" &&
	test_must_fail admin /healthz &&
	test_equal ok "$(kubectl get --raw /api/v1/nodes/n1/proxy/healthz)" &&
	stop_server &&
	test_must_fail timeout 20 "$KINGLET" server --data-dir "$DATA" --write-kubeconfig "$KUBECONFIG" --node-name n1 \
		--cgroup "$CGROUP" --https-listen-port 10250 2>err &&
	test_grep "choose another one with --kubelet-port, or 0 for none" err
'

test_done
