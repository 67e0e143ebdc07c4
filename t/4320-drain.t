#!/bin/sh
# kubectl cordon, uncordon and drain. The nodes are only objects, so the pods have
# no grace to run.
. "${srcdir:-.}/t/lib.sh"
. "$srcdir/t/lib-sched.sh"
test_needs kubectl

quick="terminationGracePeriodSeconds: 0"
on() # NODE NAME [SPEC-MEMBERS]: a pod of nobody's
{
	pod "$2" "nodeName: $1, $quick${3:+, $3}"
}

names() # the pods of a node
{
	kubectl get pods --field-selector "spec.nodeName=$1" -o 'jsonpath={.items[*].metadata.name}'
}

workload() # KIND NAME MORE-SPEC
{
	kubectl create -f - <<-YAML
	apiVersion: apps/v1
	kind: $1
	metadata: {name: $2}
	spec:
	  $3
	  selector: {matchLabels: {app: $2}}
	  template:
	    metadata: {labels: {app: $2}}
	    spec: {$quick, containers: [{name: c, image: i}]}
	YAML
}

test_expect_success 'start, with two nodes' '
	start_server --disable-agent $nodes_stay &&
	node n1 2 4Gi 20 && node n2 2 4Gi 20
'

test_expect_success 'cordon: no new pods; uncordon' '
	kubectl cordon n1 >got && test_grep "^node/n1 cordoned" got &&
	kubectl cordon n1 >got && test_grep "^node/n1 already cordoned" got &&
	kubectl get nodes >got && test_grep "^n1 .*Ready,SchedulingDisabled" got &&
	wait_for "kubectl get node n1 -o jsonpath=\"{.spec.taints[*].key}:{.spec.taints[*].effect}\" | grep -x node.kubernetes.io/unschedulable:NoSchedule" &&
	for i in 1 2 3 4; do pod p$i "$quick" && lands_on p$i n2 || return 1; done &&
	kubectl uncordon n1 >got && test_grep "^node/n1 uncordoned" got &&
	wait_for "test -z \"\$(kubectl get node n1 -o jsonpath=\"{.spec.taints}{.spec.unschedulable}\")\"" &&
	pod p5 "$quick, nodeSelector: {kubernetes.io/hostname: n1}" && lands_on p5 n1 &&
	kubectl delete pods --all --force --grace-period=0
'

test_expect_success 'drain refuses what would be lost, and says what' '
	workload DaemonSet ds "" &&
	wait_for "test 2 = \$(kubectl get pods -l app=ds -o jsonpath=\"{.items[*].spec.nodeName}\" | wc -w)" &&
	on n1 alone && on n1 full "volumes: [{name: v, emptyDir: {}}]" &&
	test_must_fail kubectl drain n1 >got 2>err &&
	test_grep "^node/n1 cordoned" got &&
	test_grep "unable to drain node \"n1\"" err &&
	test_grep "Pods that declare no controller (use --force to override): default/alone" err &&
	test_grep "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): default/ds-" err &&
	test_must_fail kubectl drain n1 --ignore-daemonsets --force 2>err &&
	test_grep "cannot delete Pods with local storage (use --delete-emptydir-data to override): default/full" err &&
	kubectl get pod alone full
'

test_expect_success 'drain goes through with all the options; what a controller has moves on' '
	workload ReplicaSet rs "replicas: 2" &&
	wait_for "test 2 = \$(kubectl get pods -l app=rs -o jsonpath=\"{.items[*].spec.nodeName}\" | wc -w)" &&
	kubectl uncordon n1 && kubectl cordon n2 &&
	kubectl delete pods -l app=rs --force --grace-period=0 &&
	wait_for "test \"\$(kubectl get pods -l app=rs -o jsonpath=\"{.items[*].spec.nodeName}\")\" = \"n1 n1\"" &&
	kubectl uncordon n2 &&
	kubectl drain n1 --ignore-daemonsets --force --delete-emptydir-data --timeout=$((30 * TEST_SLOW))s >got 2>err &&
	test_grep "^node/n1 drained" got &&
	test_grep "evicting pod default/alone" err got &&
	test_grep -i "deleting Pods that declare no controller: default/alone, default/full" err &&
	test_grep -i "ignoring DaemonSet-managed Pods: default/ds-" err &&
	wait_for "test \"\$(kubectl get pods -l app=rs -o jsonpath=\"{.items[*].spec.nodeName}\")\" = \"n2 n2\"" &&
	case $(names n1) in ds-*) ;; *) names n1; return 1 ;; esac &&
	kubectl uncordon n1
'

test_expect_success 'drain waits for a budget' '
	for p in $(kubectl get pods -l app=rs -o name); do
		kubectl patch $p --subresource=status -p "{\"status\":{\"phase\":\"Running\",\"conditions\":[
			{\"type\":\"Ready\",\"status\":\"True\"}]}}" || return 1
	done &&
	kubectl create poddisruptionbudget rs --selector=app=rs --min-available=2 &&
	test_must_fail kubectl drain n2 --ignore-daemonsets --timeout=2s >got 2>err &&
	test_grep "Cannot evict pod as it would violate the pod.s disruption budget" err &&
	test_equal 3 "$(names n2 | wc -w)" &&
	kubectl delete poddisruptionbudget rs &&
	kubectl drain n2 --ignore-daemonsets --timeout=$((30 * TEST_SLOW))s >got &&
	test_grep "^node/n2 drained" got &&
	kubectl delete rs,ds --all &&
	wait_for "test -z \"\$(kubectl get pods -o name)\""
'

test_done
