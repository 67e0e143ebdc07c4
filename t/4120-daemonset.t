#!/bin/sh
# DaemonSets: one pod on each node that fits, while nodes come, change and go; rolling
# updates and their history. Nodes but the first are only objects.
. "${srcdir:-.}/t/lib.sh"
. "$srcdir/t/lib-sched.sh"
test_needs kubectl overlay busybox

# daemon NAME [SPEC-MEMBERS-AS-YAML-LINES [POD-SPEC-MEMBERS]]
daemon()
{
	cat <<-EOF
	apiVersion: apps/v1
	kind: DaemonSet
	metadata: {name: $1}
	spec:
	  selector: {matchLabels: {app: $1}}
	  ${2:-}
	  template:
	    metadata: {labels: {app: $1}}
	    spec:
	      ${3:-}
	      terminationGracePeriodSeconds: 0
	      containers:
	      - {name: c, image: localhost/demo:1, command: [sleep, "9999"], env: [{name: V, value: "1"}]}
	EOF
}

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

on() # APP: the nodes that its pods are on
{
	kubectl get pods -l "app=$1" -o 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | xargs
}

test_expect_success 'one on each node; what it gets' '
	start_server $nodes_stay &&
	import_demo &&
	wait_node &&
	daemon d | kubectl apply -f - &&
	kubectl rollout status ds/d --timeout=30s &&
	kubectl get ds d >got &&
	test_grep "^d  *1  *1  *1  *1  *1 " got &&
	pod=$(field pods ".items[0].metadata.name") &&
	test_equal "metadata.name In [\"n1\"]" "$(field pod/$pod ".spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key} {.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator} {.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values")" &&
	field pod/$pod ".spec.tolerations[*].key" >got &&
	for t in not-ready unreachable disk-pressure memory-pressure pid-pressure unschedulable; do
		test_grep "node.kubernetes.io/$t" got || return 1
	done &&
	kubectl describe ds d >got &&
	test_grep "Normal  *SuccessfulCreate .*daemonset-controller  *Created pod: d-" got &&
	kubectl delete pod $pod &&
	wait_for "test \"\$(field pods \".items[*].status.phase\")\" = Running" &&
	kubectl rollout status ds/d --timeout=30s
'

test_expect_success 'nodes come, are relabelled, tainted, and go' '
	daemon s "" "nodeSelector: {disk: ssd}" | kubectl apply -f - &&
	wait_for "test \"\$(field ds/s .status.observedGeneration)\" = 1" &&
	test_equal 0 "$(field ds/s .status.desiredNumberScheduled)" &&
	node far 4 4Gi 10 "disk: ssd" &&
	wait_for "test \"\$(on s)\" = far" &&
	wait_for "test \"\$(on d)\" = \"far n1\"" &&
	kubectl label node n1 disk=ssd &&
	wait_for "test \"\$(on s)\" = \"far n1\"" &&
	kubectl label node n1 disk=hdd --overwrite &&
	wait_for "test \"\$(on s)\" = far" &&
	kubectl taint node n1 k=v:NoSchedule &&
	test_equal "far n1" "$(on d)" &&
	kubectl delete pod -l app=d --field-selector spec.nodeName=n1 &&
	wait_for "test \"\$(on d)\" = far" &&
	wait_for "test \"\$(field ds/d .status.desiredNumberScheduled)\" = 1" &&
	kubectl taint node n1 k- &&
	wait_for "test \"\$(on d)\" = \"far n1\"" &&
	kubectl cordon n1 &&
	kubectl delete pod -l app=d --field-selector spec.nodeName=n1 &&
	wait_for "test \"\$(on d)\" = \"far n1\"" &&
	kubectl uncordon n1 &&
	kubectl delete ds s &&
	kubectl delete node far &&
	kubectl delete pod --all --force &&
	wait_for "test \"\$(field ds/d .status.desiredNumberScheduled)\" = 1" &&
	kubectl rollout status ds/d --timeout=30s
'

test_expect_success 'rolling update, history, undo, OnDelete' '
	kubectl set env ds d V=2 &&
	kubectl rollout status ds/d --timeout=30s &&
	wait_for "test \"\$(field pods \".items[*].spec.containers[0].env[0].value\")\" = 2" &&
	kubectl rollout history ds d >got &&
	test_grep "^1 " got &&
	test_grep "^2 " got &&
	kubectl rollout history ds d --revision=1 >got &&
	test_grep "V:[[:space:]]*1" got &&
	kubectl rollout undo ds d &&
	kubectl rollout status ds/d --timeout=30s &&
	wait_for "test \"\$(field pods \".items[*].spec.containers[0].env[0].value\")\" = 1" &&
	test_equal "2 3" "$(kubectl get controllerrevisions -o "jsonpath={.items[*].revision}" | tr " " "\n" | sort | xargs)" &&
	kubectl rollout undo ds d --to-revision=2 &&
	kubectl rollout status ds/d --timeout=30s &&
	kubectl rollout restart ds d &&
	kubectl rollout status ds/d --timeout=30s &&
	kubectl patch ds d -p "{\"spec\":{\"updateStrategy\":{\"type\":\"OnDelete\",\"rollingUpdate\":null}}}" &&
	kubectl set env ds d V=7 &&
	wait_for "test -z \"\$(field ds/d .status.updatedNumberScheduled)\"" &&
	test_equal 2 "$(field pods ".items[*].spec.containers[0].env[0].value")" &&
	kubectl delete pod -l app=d &&
	wait_for "test \"\$(field pods \".items[*].spec.containers[0].env[0].value\")\" = 7"
'

test_expect_success 'maxSurge: the new one is there before the old one goes' '
	kubectl patch ds d -p "{\"spec\":{\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1,\"maxUnavailable\":0}}}}" &&
	wait_for "test \"\$(field ds/d .status.numberAvailable)\" = 1" &&
	{ kubectl_bg get pods -l app=d -w --output-watch-events --no-headers >watched & } &&
	wait_for "test_lines 1 watched" &&
	kubectl set env ds d V=8 &&
	kubectl rollout status ds/d --timeout=30s &&
	wait_for "test \"\$(field pods \".items[*].spec.containers[0].env[0].value\")\" = 8" &&
	kill $! &&
	awk "\$1 == \"ADDED\" && \$2 != old { if (!old) old = \$2; else new = 1 } \$1 == \"DELETED\" && !new { exit 1 }" watched
'

test_expect_success 'one that failed is replaced; the DaemonSet goes with its pods' '
	node far 4 4Gi 10 &&
	wait_for "test \"\$(on d)\" = \"far n1\"" &&
	pod=$(kubectl get pods --field-selector spec.nodeName=far -o "jsonpath={.items[0].metadata.name}") &&
	kubectl patch pod $pod --subresource=status -p "{\"status\":{\"phase\":\"Failed\"}}" &&
	wait_for "kubectl get events | grep \"FailedDaemonPod .*Found failed daemon pod default/$pod on node far, will try to kill it\"" &&
	wait_for "test \"\$(on d)\" = \"far n1\"" &&
	kubectl delete ds d &&
	kubectl delete node far &&
	kubectl delete pod --all --force &&
	wait_for "test -z \"\$(kubectl get pods,controllerrevisions -o name)\"" &&
	killall_pods
'

test_done
