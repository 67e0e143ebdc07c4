#!/bin/sh
# Nodes that come, fall silent and go: conditions, taints, and what becomes of
# their pods. The nodes are only objects; what their agents would say is said here.
. "${srcdir:-.}/t/lib.sh"
. "$srcdir/t/lib-sched.sh"
test_needs kubectl curl

set_arg() { echo "--kube-controller-manager-arg=$1"; }

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

taints() # NODE: key:effect, sorted
{
	kubectl get node "$1" -o jsonpath='{range .spec.taints[*]}{.key}:{.effect}{"\n"}{end}' | sed 's,node.kubernetes.io/,,' |
		sort | xargs
}

says_ready() # NODE STATUS
{
	printf '{"status":{"conditions":[{"type":"Ready","status":"%s","reason":"Test","message":"m","lastHeartbeatTime":"%s",
		"lastTransitionTime":"%s"}]}}' "$2" "$(date -u +%FT%TZ)" "$(date -u +%FT%TZ)" >"ready.$1" &&
	api -o "ready.out.$1" -X PATCH -H "Content-Type: application/strategic-merge-patch+json" --data-binary "@ready.$1" \
		"/api/v1/nodes/$1/status"
}

# on NODE POD TOLERATION-SECONDS|"": a pod that runs there, and is ready
on()
{
	tolerations=
	[ -z "$3" ] ||
		tolerations="[{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: $3}]"
	kubectl create -f - <<-YAML &&
	apiVersion: v1
	kind: Pod
	metadata: {name: $2}
	spec:
	  nodeName: $1
	  tolerations: $tolerations
	  containers: [{name: c, image: i}]
	YAML
	kubectl patch pod "$2" --subresource=status -p "{\"status\":{\"phase\":\"Running\",\"conditions\":[
		{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}"
}

events_of() # KIND NAME
{
	kubectl get events -A -o jsonpath='{range .items[?(@.involvedObject.name=="'"$2"'")]}{.involvedObject.kind} {.type} {.reason} {.source.component}: {.message}{"\n"}{end}' |
		grep "^$1 "
}

test_expect_success 'settings that are unknown or wrong are refused' '
	for bad in nodes=3 "node-monitor-period=soon: .soon. is no time" "unhealthy-zone-threshold=2: .2. is no number from 0 to 1" \
		"terminated-pod-gc-threshold=-1: .-1. is no number" "node-monitor-period=2m: .*no longer than node-monitor-grace-period"
	do
		test_must_fail "$KINGLET" server --data-dir "$TRASH/none" --kube-controller-manager-arg "${bad%%:*}" 2>err &&
		case $bad in
		*:*) test_grep "${bad#*: }" err ;;
		*) test_grep "kube-controller-manager-arg .nodes=3.: there is no such setting here" err ;;
		esac || return 1
	done
'

test_expect_success 'a node is registered, and says how long secrets may be kept' '
	start_server --disable-agent $nodes_stay $(set_arg node-startup-grace-period=1s) \
		$(set_arg node-monitor-period=10ms) $(set_arg node-eviction-rate=100) $(set_arg pod-gc-quarantine-period=1h) &&
	node n1 2 4Gi 20 &&
	wait_for "events_of Node n1 | grep \"^Node Normal RegisteredNode node-controller: Node n1 event: Registered Node n1 in Controller\"" &&
	wait_for "test \"\$(field node/n1 \".metadata.annotations.node\.alpha\.kubernetes\.io/ttl\")\" = 0" &&
	wait_for "test -z \"\$(taints n1)\"" &&
	kubectl label node n1 kubernetes.io/os=linux kubernetes.io/arch=amd64 beta.kubernetes.io/arch=arm &&
	wait_for "test \"\$(field node/n1 \".metadata.labels.beta\.kubernetes\.io/os} {.metadata.labels.beta\.kubernetes\.io/arch\")\" = \"linux amd64\""
'

test_expect_success 'one that never was heard of is not reachable; pods go when their toleration is over' '
	on n2 quick 0 && on n2 soon 1 && on n2 stay "" &&
	test_equal "300 300" "$(field pod/stay ".spec.tolerations[*].tolerationSeconds")" &&
	kubectl create -f - <<-\YAML &&
	apiVersion: v1
	kind: Node
	metadata: {name: n2}
	YAML
	wait_for "test \"\$(taints n2)\" = \"not-ready:NoSchedule unreachable:NoExecute unreachable:NoSchedule\" ||
		test \"\$(taints n2)\" = \"unreachable:NoExecute unreachable:NoSchedule\"" &&
	test_equal "DiskPressure MemoryPressure PIDPressure Ready" \
		"$(kubectl get node n2 -o jsonpath="{range .status.conditions[?(@.reason==\"NodeStatusNeverUpdated\")]}{.type}{\"\\n\"}{end}" | sort | xargs)" &&
	kubectl get node n2 -o json | jq -r ".status.conditions[] | .status + \": \" + .message" | sort -u >got &&
	echo "Unknown: Kubelet never posted node status." >want &&
	test_cmp want got &&
	kubectl get node n2 -o json | jq -e "all(.spec.taints[] | select(.effect == \"NoExecute\"); .timeAdded != null)" &&
	kubectl get nodes >got &&
	test_grep "^n2  *NotReady " got &&
	for p in quick soon; do
		wait_for "test -n \"\$(field pod/$p .metadata.deletionTimestamp)\"" &&
		test_equal "True DeletionByTaintManager Taint manager: deleting due to NoExecute taint" \
			"$(field pod/$p ".status.conditions[?(@.type==\"DisruptionTarget\")].status} {.status.conditions[?(@.type==\"DisruptionTarget\")].reason} {.status.conditions[?(@.type==\"DisruptionTarget\")].message")" &&
		wait_for "events_of Pod $p | grep -x \"Pod Normal TaintManagerEviction taint-eviction-controller: Marking for deletion Pod default/$p\"" ||
			return 1
	done &&
	test_equal "" "$(field pod/stay .metadata.deletionTimestamp)" &&
	kubectl get pods >got &&
	test_grep "^quick .*Terminating" got
'

test_expect_success 'when it is well again, what waited stays' '
	says_ready n2 True &&
	wait_for "test -z \"\$(taints n2)\"" &&
	wait_for "events_of Pod stay | grep -x \"Pod Normal TaintManagerEviction taint-eviction-controller: Cancelling deletion of Pod default/stay\"" &&
	test_equal "" "$(field pod/stay .metadata.deletionTimestamp)" &&
	kubectl delete pod quick soon --force --grace-period=0
'

test_expect_success 'not ready is another taint than not reachable, and takes its place at once' '
	says_ready n2 False &&
	wait_for "test \"\$(taints n2)\" = \"not-ready:NoExecute not-ready:NoSchedule\"" &&
	says_ready n2 Unknown &&
	wait_for "test \"\$(taints n2)\" = \"unreachable:NoExecute unreachable:NoSchedule\"" &&
	says_ready n2 False &&
	wait_for "test \"\$(taints n2)\" = \"not-ready:NoExecute not-ready:NoSchedule\"" &&
	says_ready n2 True &&
	wait_for "test -z \"\$(taints n2)\""
'

test_expect_success 'taints of users: pods go, or stay for a while, or for ever' '
	on n2 intolerant "" &&
	kubectl create -f - <<-\YAML &&
	apiVersion: v1
	kind: Pod
	metadata: {name: tolerant}
	spec:
	  nodeName: n2
	  tolerations: [{key: maintenance, operator: Exists}]
	  containers: [{name: c, image: i}]
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: patient}
	spec:
	  nodeName: n2
	  tolerations: [{key: maintenance, operator: Equal, value: "yes", effect: NoExecute, tolerationSeconds: 3600}]
	  containers: [{name: c, image: i}]
	YAML
	kubectl taint node n2 maintenance=yes:NoExecute >got &&
	test_grep "^node/n2 tainted" got &&
	wait_for "test -n \"\$(field pod/intolerant .metadata.deletionTimestamp)\"" &&
	wait_for "test -n \"\$(field pod/stay .metadata.deletionTimestamp)\"" &&
	kubectl taint node n2 maintenance:NoExecute- >got &&
	test_grep "^node/n2 untainted" got &&
	wait_for "events_of Pod patient | grep \"Cancelling deletion of Pod default/patient\"" &&
	test_equal " " "$(field pod/tolerant .metadata.deletionTimestamp) $(field pod/patient .metadata.deletionTimestamp)" &&
	test_must_fail kubectl taint node n2 a=b:Nonsense 2>err &&
	test_grep "invalid taint effect: Nonsense, unsupported taint effect" err &&
	kubectl delete pods --all --force --grace-period=0
'

test_expect_success 'a pod of a StatefulSet whose node is out of reach has no successor, until it is known to be gone' '
	node n2 2 4Gi 20 && kubectl cordon n1 &&
	kubectl create -f - <<-\YAML &&
	apiVersion: apps/v1
	kind: StatefulSet
	metadata: {name: db}
	spec:
	  serviceName: db
	  replicas: 1
	  podManagementPolicy: Parallel
	  selector: {matchLabels: {app: db}}
	  template:
	    metadata: {labels: {app: db}}
	    spec:
	      containers: [{name: c, image: i}]
	      tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 0}]
	YAML
	wait_for "test \"\$(where db-0)\" = n2" &&
	uid=$(field pod/db-0 .metadata.uid) &&
	kubectl uncordon n1 &&
	says_ready n2 Unknown &&
	wait_for "test -n \"\$(field pod/db-0 .metadata.deletionTimestamp)\"" &&
	kubectl scale sts db --replicas=2 &&
	wait_for "test \"\$(where db-1)\" = n1" &&
	kubectl delete pod db-1 --force --grace-period=0 &&
	wait_for "test \"\$(where db-1)\" = n1" &&
	kubectl get pods -l app=db >got &&
	test_grep "^db-0 .*Terminating" got &&
	test_equal "$uid n2" "$(field pod/db-0 ".metadata.uid} {.spec.nodeName")" &&
	kubectl delete pod db-0 --force --grace-period=0 &&
	wait_for "test \"\$(where db-0)\" = n1" &&
	test "$uid" != "$(field pod/db-0 .metadata.uid)" &&
	kubectl delete sts db &&
	kubectl delete pods -l app=db --force --grace-period=0
'

test_expect_success 'a node that is removed' '
	kubectl delete node n2 &&
	wait_for "events_of Node n2 | grep \"^Node Normal RemovingNode node-controller: Node n2 event: Removing Node n2 from Controller\""
'

test_expect_success 'nobody is heard of any more: it is not the nodes, and no pod has to go' '
	stop_server &&
	start_server --disable-agent $(set_arg node-monitor-grace-period=1s) $(set_arg node-monitor-period=10ms) \
		$(set_arg node-eviction-rate=100) &&
	on n2 p2 0 && node n2 2 4Gi 20 &&
	wait_for "test \"\$(taints n1) \$(taints n2)\" = \"unreachable:NoSchedule unreachable:NoSchedule\"" &&
	test_equal "NodeStatusUnknown Kubelet stopped posting node status." \
		"$(field node/n2 ".status.conditions[?(@.type==\"Ready\")].reason} {.status.conditions[?(@.type==\"Ready\")].message")" &&
	wait_for "events_of Node n2 | grep -x \"Node Normal NodeNotReady node-controller: Node n2 status is now: NodeNotReady\"" &&
	wait_for "test \"\$(field pod/p2 \".status.conditions[?(@.type==\\\"Ready\\\")].status\")\" = False" &&
	wait_for "events_of Pod p2 | grep -x \"Pod Warning NodeNotReady node-controller: Node is not ready\"" &&
	test_equal "" "$(field pod/p2 .metadata.deletionTimestamp)"
'

test_expect_success 'until one is heard of: then the others are out of reach, and their pods go' '
	{ while says_ready n1 True; do sleep 0.1; done >beats 2>&1 & } &&
	beat=$! &&
	test_when_finished "kill $beat" &&
	wait_for "taints n2 | grep -q unreachable:NoExecute" &&
	wait_for "test -n \"\$(field pod/p2 .metadata.deletionTimestamp)\"" &&
	wait_for "test -z \"\$(taints n1)\""
'

# n3 and n1 say that they are well, and when n1 is missed n3 still is not
outlives()
{
	says_ready n3 True && says_ready n1 True && wait_for "test -z \"\$(taints n3)\"" &&
	wait_for "taints n1 | grep -q unreachable" && test_equal "" "$(taints n3)"
}

test_expect_success 'a Lease is a sign of life, too' '
	kubectl create -f - <<-\YAML &&
	apiVersion: coordination.k8s.io/v1
	kind: Lease
	metadata: {name: n3, namespace: kube-node-lease}
	spec: {holderIdentity: n3, renewTime: "2026-01-01T00:00:00.000000Z"}
	YAML
	node n3 2 4Gi 20 &&
	wait_for "taints n3 | grep -q unreachable" &&
	{
		i=1
		while sleep 0.1; do
			i=$((i + 1))
			printf "{\"spec\":{\"renewTime\":\"2026-01-01T00:00:00.%06dZ\"}}" $i >lease.n3 &&
			api -X PATCH -H "Content-Type: application/merge-patch+json" --data-binary @lease.n3 \
				"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n3" || break
		done >beats3 2>&1 &
	} &&
	beat=$! &&
	test_when_finished "kill $beat" &&
	wait_for "grep -q 000002Z beats3" &&
	{ outlives || outlives || outlives || outlives; }
'

test_done
