#!/bin/sh
# Pods that nobody else would remove: their node is gone or out of service, they
# are on none, or there are too many that are over. The nodes are only objects.
. "${srcdir:-.}/t/lib.sh"
. "$srcdir/t/lib-sched.sh"
test_needs kubectl

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

# held NAME [SPEC-MEMBERS]: a pod that a finalizer keeps, to see what became of it
held()
{
	kubectl create -f - <<-YAML
	apiVersion: v1
	kind: Pod
	metadata: {name: $1, finalizers: [example.com/hold]}
	spec: {${2:+$2, }containers: [{name: c, image: i}]}
	YAML
}

let_go() # POD: it was failed and deleted without grace, and is gone without the finalizer
{
	wait_for "test \"\$(field pod/$1 \".status.phase} {.metadata.deletionGracePeriodSeconds\")\" = \"Failed 0\"" &&
	kubectl patch pod "$1" --type=merge -p '{"metadata":{"finalizers":null}}' &&
	wait_for "! kubectl get pod $1"
}

disrupted() # POD: the condition's reason and message
{
	field "pod/$1" ".status.conditions[?(@.type==\"DisruptionTarget\")].reason} {.status.conditions[?(@.type==\"DisruptionTarget\")].message"
}

over() # NAME STATUS-MEMBERS
{
	pod "$1" "nodeName: n1" && kubectl patch pod "$1" --subresource=status -p "{\"status\":{$2}}"
}

test_expect_success 'start, with a node' '
	start_server --disable-agent $nodes_stay --kube-controller-manager-arg=pod-gc-quarantine-period=1s \
		--kube-controller-manager-arg=terminated-pod-gc-threshold=3 &&
	node n1 2 4Gi 20 && node n2 2 4Gi 20
'

test_expect_success 'a pod on a node that there is not' '
	pod stays "nodeName: n1" &&
	held lost "nodeName: nowhere" &&
	let_go lost &&
	held lost "nodeName: nowhere" &&
	wait_for "test \"\$(disrupted lost)\" = \"DeletionByPodGC PodGC: node no longer exists\"" &&
	let_go lost &&
	test_equal "" "$(field pod/stays .metadata.deletionTimestamp)"
'

test_expect_success 'a node that is removed takes its pods along' '
	pod p2 "nodeName: n2" && held h2 "nodeName: n2" &&
	kubectl delete node n2 &&
	wait_for "! kubectl get pod p2" &&
	let_go h2
'

test_expect_success 'one that is to go, and is on no node' '
	held nowhere "nodeSelector: {no: such}" &&
	kubectl delete pod nowhere --wait=false &&
	let_go nowhere
'

test_expect_success 'a node out of service: what is to go there goes at once' '
	node n3 2 4Gi 20 &&
	all="tolerations: [{operator: Exists}]" &&
	pod p3 "nodeName: n3, $all" && held h3 "nodeName: n3, $all" && pod q3 "nodeName: n3, $all" &&
	kubectl delete pod p3 h3 --wait=false &&
	kubectl taint node n3 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute &&
	kubectl annotate node n3 seen=yes &&
	test_equal Pending "$(field pod/p3 .status.phase)" &&
	kubectl patch node n3 --subresource=status -p "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}" &&
	wait_for "! kubectl get pod p3" &&
	test_equal " " "$(disrupted h3)" &&
	let_go h3 &&
	test_equal "" "$(field pod/q3 .metadata.deletionTimestamp)"
'

test_expect_success 'too many that are over: the oldest go, and before them who was evicted' '
	over o1 "\"phase\":\"Succeeded\"" && over o2 "\"phase\":\"Failed\"" && over o3 "\"phase\":\"Succeeded\"" &&
	over o4 "\"phase\":\"Failed\",\"reason\":\"Evicted\"" &&
	wait_for "! kubectl get pod o4" &&
	over o5 "\"phase\":\"Succeeded\"" &&
	wait_for "! kubectl get pod o1" &&
	test_equal "o2 o3 o5 q3 stays" "$(kubectl get pods -o "jsonpath={.items[*].metadata.name}")"
'

test_done
