#!/bin/sh
# The book on the API from inside a pod: the address, the certificate, the token and the namespace, with curl; and the
# ambassador, that does all this for the application.
. "${srcdir:-.}/t/book/lib.sh"
test_needs ip nsenter
start_lan
start_book kubia curl kubectl-proxy

in_curl() # SHELL-COMMANDS: in the pod
{
	kubectl exec curl -- sh -c "cd /var/run/secrets/kubernetes.io/serviceaccount && $1"
}

test_expect_success 'a pod with curl' '
	kubectl run curl --image=tutum/curl --command -- sleep 9999999 &&
	ready pod/curl &&
	in_curl "ls" >got && for file in ca.crt namespace token; do test_grep -x $file got || return 1; done &&
	kubectl exec curl -- env >got &&
	test_grep -x "KUBERNETES_SERVICE_HOST=$(field svc/kubernetes .spec.clusterIP)" got &&
	test_grep -x "KUBERNETES_SERVICE_PORT=443" got &&
	test_grep -x "KUBERNETES_SERVICE_PORT_HTTPS=443" got
'

test_expect_success 'https://kubernetes is somebody whom nobody knows, but for the certificate in the pod' '
	test_must_fail kubectl exec curl -- curl -sS https://kubernetes 2>err &&
	test_grep "SSL certificate problem" err &&
	in_curl "curl -sS --cacert ca.crt https://kubernetes" >got &&
	test_grep "User \\\\*\"system:anonymous\\\\*\" cannot get path" got && test_grep "\"code\": *403" got
'

test_expect_success 'by all of its names, and its address' '
	for name in kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local "\$KUBERNETES_SERVICE_HOST" \
		"\$KUBERNETES_SERVICE_HOST:\$KUBERNETES_SERVICE_PORT"; do
		in_curl "CURL_CA_BUNDLE=\$PWD/ca.crt curl -sS https://$name/version" >got &&
		test_grep gitVersion got || return 1
	done
'

test_expect_success 'with the token it is known, and may little' '
	in_curl "export CURL_CA_BUNDLE=\$PWD/ca.crt TOKEN=\$(cat token); curl -sS -H \"Authorization: Bearer \$TOKEN\" https://kubernetes" >got &&
	test_grep "system:serviceaccount:default:default" got && test_grep "\"code\": *403" got &&
	in_curl "export CURL_CA_BUNDLE=\$PWD/ca.crt TOKEN=\$(cat token); curl -sS -H \"Authorization: Bearer \$TOKEN\" https://kubernetes/apis" >got &&
	test_grep "\"kind\": *\"APIGroupList\"" got
'

test_expect_success 'permissive-binding, and the pods of the own namespace' '
	kubectl create clusterrolebinding permissive-binding --clusterrole=cluster-admin --group=system:serviceaccounts &&
	in_curl "export CURL_CA_BUNDLE=\$PWD/ca.crt TOKEN=\$(cat token) NS=\$(cat namespace)
		curl -sS -H \"Authorization: Bearer \$TOKEN\" https://kubernetes/api/v1/namespaces/\$NS/pods" >got &&
	test_grep "\"kind\": *\"PodList\"" got && test_grep "\"name\": *\"curl\"" got &&
	in_curl "export CURL_CA_BUNDLE=\$PWD/ca.crt TOKEN=\$(cat token); curl -sS -H \"Authorization: Bearer \$TOKEN\" https://kubernetes" >got &&
	test_grep "\"/api/v1\"" got &&
	in_curl "export CURL_CA_BUNDLE=\$PWD/ca.crt TOKEN=\$(cat token)
		curl -sS -X POST -H \"Content-Type: application/json\" -d \"{\\\"metadata\\\":{\\\"name\\\":\\\"made\\\"}}\" \
			-H \"Authorization: Bearer \$TOKEN\" https://kubernetes/api/v1/namespaces/default/configmaps" >got &&
	kubectl get configmap made
'

test_expect_success 'the ambassador: plain HTTP to localhost:8001' '
	create pod-ambassador &&
	ready pod/curl-with-ambassador &&
	wait_for "kubectl exec curl-with-ambassador -c main -- wget -qO- http://localhost:8001/api/v1/namespaces/default/pods >got && grep PodList got" &&
	test_grep "\"name\": *\"curl-with-ambassador\"" got
'

test_expect_success 'the other machine ends' end_lan
end_book
