#!/bin/sh
# The book on what an application can learn of its pod: the Downward API, and the API server, from outside and from
# inside a pod.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia

test_expect_success 'variables of the pod itself' '
	manifest pod-downward-env | sed "s/^      name: main/&\n      resources: {requests: {cpu: 15m, memory: 100Ki}, limits: {cpu: 100m, memory: 16Mi}}/" |
		kubectl create -f - &&
	ready pod/downward-env &&
	kubectl exec downward-env -- env >got &&
	for line in POD_NAME=downward-env POD_NAMESPACE=default "POD_IP=$(field pod/downward-env .status.podIP)" NODE_NAME=n1 \
		SERVICE_ACCOUNT=default CONTAINER_CPU_REQUEST_MILLICORES=15 CONTAINER_MEMORY_LIMIT_KIBIBYTES=16384; do
		test_grep -x "$line" got || return 1
	done
'

test_expect_success 'without limits: what the node has' '
	kubectl delete pod downward-env &&
	create pod-downward-env &&
	ready pod/downward-env &&
	kubectl exec downward-env -- env >got &&
	test_grep -x CONTAINER_CPU_REQUEST_MILLICORES=0 got &&
	test_grep -x "CONTAINER_MEMORY_LIMIT_KIBIBYTES=$(field node/n1 .status.allocatable.memory | tr -d Ki)" got
'

test_expect_success 'a volume of the pod itself; labels and annotations change in it' '
	create pod-downward-volume &&
	manifest pod-downward-volume | sed "s/name: downward-volume/&\n  labels: {foo: bar}\n  annotations: {key1: value1}/; s/downward-volume/labelled/
		\$a\          - {path: labels, fieldRef: {fieldPath: metadata.labels}}\n          - {path: annotations, fieldRef: {fieldPath: metadata.annotations}}" |
		kubectl create -f - &&
	ready pod/downward-volume pod/labelled &&
	test_equal downward-volume "$(kubectl exec downward-volume -- cat /etc/downward/podName)" &&
	test_equal "foo=\"bar\"" "$(kubectl exec labelled -- cat /etc/downward/labels)" &&
	kubectl exec labelled -- cat /etc/downward/annotations >got &&
	test_grep "^key1=\"value1\"$" got &&
	kubectl label pod labelled foo=other --overwrite &&
	wait_for "kubectl exec labelled -- grep foo=.other /etc/downward/labels"
'

test_expect_success 'kubectl proxy: the API by plain HTTP' '
	{ kubectl_bg proxy >proxy & } &&
	proxy=$! &&
	test_when_finished "kill $proxy; wait $proxy" &&
	wait_for "grep \"Starting to serve on 127.0.0.1:8001\" proxy" &&
	curl -sS http://localhost:8001/ >got &&
	test_grep "\"/apis/batch/v1\"" got &&
	curl -sS http://localhost:8001/apis/batch >got &&
	test_grep "\"kind\": *\"APIGroup\"" got &&
	test_grep "\"groupVersion\": *\"batch/v1\"" got &&
	curl -sS http://localhost:8001/apis/batch/v1 >got &&
	test_grep "\"kind\": *\"APIResourceList\"" got &&
	test_grep "\"name\": *\"jobs/status\"" got &&
	curl -sS http://localhost:8001/api/v1/namespaces/default/pods/labelled >got &&
	test_grep "\"name\": *\"labelled\"" got
'

test_expect_success 'each pod has certificate, token and namespace, and knows the address' '
	kubectl describe pod labelled >got &&
	test_grep "/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-[a-z0-9]* (ro)" got &&
	test_equal "ca.crt namespace token" "$(kubectl exec labelled -- ls /var/run/secrets/kubernetes.io/serviceaccount | xargs)" &&
	test_equal default "$(kubectl exec labelled -- cat /var/run/secrets/kubernetes.io/serviceaccount/namespace)" &&
	kubectl exec labelled -- env | grep KUBERNETES_SERVICE >got &&
	test_grep -x "KUBERNETES_SERVICE_HOST=$(field svc/kubernetes .spec.clusterIP)" got &&
	test_grep -x "KUBERNETES_SERVICE_PORT=443" got &&
	test_grep -x "KUBERNETES_SERVICE_PORT_HTTPS=443" got
'

# What a pod does with curl (47-api-access.t), done here with what is in the pod.
test_expect_success 'with these three the API server is asked; it knows who asks, and what that may' '
	for file in ca.crt token namespace; do
		kubectl exec labelled -- cat /var/run/secrets/kubernetes.io/serviceaccount/$file >$file || return 1
	done &&
	ask_api() { curl -sS --cacert ca.crt -H "Authorization: Bearer $(cat token)" "https://127.0.0.1:6443$1"; } &&
	test_must_fail curl -sS https://127.0.0.1:6443/ 2>err &&
	test_grep "SSL certificate problem" err &&
	ask_api /apis >got &&
	test_grep "\"kind\": *\"APIGroupList\"" got &&
	ask_api "/api/v1/namespaces/$(cat namespace)/pods" >got &&
	test_grep "User ..system:serviceaccount:default:default.. cannot list resource" got &&
	kubectl create clusterrolebinding permissive-binding --clusterrole=cluster-admin --group=system:serviceaccounts &&
	ask_api "/api/v1/namespaces/$(cat namespace)/pods" >got &&
	test_grep "\"kind\": *\"PodList\"" got &&
	test_grep "\"name\": *\"labelled\"" got
'

end_book
