#!/bin/sh
# A pod sees its account's token, the cluster's CA and its namespace, and the
# three work: for root and for another user. And quotas with pods that really run.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox

object() # one line of YAML, for kubectl -f -
{
	printf -- '---\n{%s}\n' "$1"
}

where=/var/run/secrets/kubernetes.io/serviceaccount

# whoami TOKEN-FILE CA-FILE: what the API says to whom carries this token
whoami()
{
	curl -sS --max-time 10 --cacert "$2" -H "Authorization: Bearer $(cat "$1")" -H "Content-Type: application/json" \
		-d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}' \
		https://127.0.0.1:6443/apis/authentication.k8s.io/v1/selfsubjectreviews
}

test_expect_success 'start, import the demo image, the node is Ready' '
	start_server &&
	import_demo &&
	wait_node
'

test_expect_success 'the node bears no taint once it is ready' '
	wait_for "test -z \"\$(kubectl get node n1 -o jsonpath={.spec.taints})\""
'

test_expect_success 'a pod with an account of its own, beside one of another user' '
	kubectl create namespace p &&
	kubectl -n p create serviceaccount robot &&
	object "apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {serviceAccountName: robot, terminationGracePeriodSeconds: 0,
		containers: [{name: c, image: localhost/demo:1, command: [sleep, \"1000\"]}]}" | kubectl -n p create -f - &&
	object "apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {terminationGracePeriodSeconds: 0, securityContext: {runAsUser: 1234},
		containers: [{name: c, image: localhost/demo:1, command: [sleep, \"1000\"]}]}" | kubectl -n p create -f - &&
	kubectl -n p wait --for=condition=Ready pod/a pod/b --timeout=30s
'

test_expect_success 'its token is the account'\''s, and bound to the pod' '
	kubectl -n p exec a -- cat $where/token >token &&
	kubectl -n p exec a -- cat $where/ca.crt >ca &&
	test_equal p "$(kubectl -n p exec a -- cat $where/namespace)" &&
	whoami token ca >got &&
	test_grep "\"system:serviceaccount:p:robot\"" got &&
	test_grep "\"authentication.kubernetes.io/pod-name\"" got
'

test_expect_success 'another user can read his own, and the mount is read-only' '
	kubectl -n p exec b -- cat $where/token >token2 &&
	whoami token2 ca >got &&
	test_grep "\"system:serviceaccount:p:default\"" got &&
	test_must_fail kubectl -n p exec a -- touch $where/x
'

test_expect_success 'no token where none is wanted' '
	object "apiVersion: v1, kind: Pod, metadata: {name: none}, spec: {automountServiceAccountToken: false,
		restartPolicy: Never, containers: [{name: c, image: localhost/demo:1, command: [test, \"!\", -e, $where]}]}" |
		kubectl -n p create -f - &&
	wait_for "test Succeeded = \"\$(kubectl -n p get pod none -o jsonpath={.status.phase})\""
'

test_expect_success 'the token dies with its pod' '
	kubectl -n p delete pod a --now &&
	wait_for "whoami token ca | grep Unauthorized"
'

test_expect_success 'a pod that ends gives its quota back' '
	kubectl -n p create quota q --hard=pods=2 &&
	object "apiVersion: v1, kind: Pod, metadata: {name: short}, spec: {restartPolicy: Never,
		containers: [{name: c, image: localhost/demo:1, command: [sh, -c, \"until [ -e /go ]; do sleep 0.1; done\"]}]}" | kubectl -n p create -f - &&
	test_equal 2 "$(kubectl -n p get quota q -o jsonpath={.status.used.pods})" &&
	kubectl -n p wait --for=condition=Ready pod/short --timeout=30s &&
	kubectl -n p exec short -- touch /go &&
	wait_for "test 1 = \"\$(kubectl -n p get quota q -o jsonpath={.status.used.pods})\"" &&
	test_equal Succeeded "$(kubectl -n p get pod short -o jsonpath={.status.phase})"
'

test_done
