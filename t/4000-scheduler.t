#!/bin/sh
# The scheduler on nodes that are only objects: what it filters by, what it
# prefers, what it says about pods that fit nowhere, and what wakes them.
. "${srcdir:-.}/t/lib.sh"
. "$srcdir/t/lib-sched.sh"
test_needs kubectl

test_expect_success 'start the server' '
	start_server --disable-agent $nodes_stay
'

test_expect_success 'without nodes a pod waits, and says why' '
	pod first "" &&
	says first "no nodes available to schedule pods" &&
	wait_for "kubectl describe pod first | grep -q \"FailedScheduling .*default-scheduler .*no nodes available\""
'

test_expect_success 'a node comes, the pod gets there' '
	node n1 2 1Gi 10 "disk: ssd" &&
	lands_on first n1 &&
	wait_for "kubectl describe pod first | grep -q \"Scheduled .*Successfully assigned default/first to n1\""
'

test_expect_success 'more than a node has: Insufficient cpu, Insufficient memory' '
	pod big "" "resources: {requests: {cpu: 3, memory: 2Gi}}" &&
	says big "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory." &&
	says big "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
'

test_expect_success 'a larger node lets it in' '
	node n2 8 16Gi 2 &&
	lands_on big n2
'

test_expect_success 'requests add up; a pod that goes makes room' '
	pod half "nodeSelector: {disk: ssd}" "resources: {requests: {cpu: 1500m}}" &&
	lands_on half n1 &&
	pod next "nodeSelector: {disk: ssd}" "resources: {requests: {cpu: 1}}" &&
	says next "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn'\''t match Pod'\''s node affinity/selector." &&
	kubectl delete pod half --grace-period=0 --force &&
	lands_on next n1
'

test_expect_success 'the number of pods is a limit too' '
	pod second "nodeName: \"\", nodeSelector: {kubernetes.io/hostname: n2}" &&
	lands_on second n2 &&
	pod third "nodeSelector: {kubernetes.io/hostname: n2}" &&
	says third "1 Too many pods" &&
	kubectl delete pod third --grace-period=0 --force
'

test_expect_success 'node affinity: In, NotIn, Exists, Gt, fields' '
	kubectl label node n1 size=4 &&
	pod aff "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{
		matchExpressions: [{key: disk, operator: In, values: [ssd, nvme]}, {key: size, operator: Gt, values: [\"3\"]},
		{key: gpu, operator: DoesNotExist}, {key: disk, operator: NotIn, values: [hdd]}],
		matchFields: [{key: metadata.name, operator: In, values: [n1]}]}]}}}" &&
	lands_on aff n1
'

test_expect_success 'cordon keeps pods out, uncordon lets them in' '
	kubectl cordon n1 &&
	pod late "nodeSelector: {disk: ssd}" &&
	says late "1 node(s) were unschedulable" &&
	kubectl uncordon n1 &&
	lands_on late n1
'

test_expect_success 'taints keep out whoever does not tolerate them' '
	kubectl taint node n1 team=a:NoSchedule &&
	pod none "nodeSelector: {disk: ssd}" &&
	says none "1 node(s) had untolerated taint(s)" &&
	pod guest "nodeSelector: {disk: ssd}, tolerations: [{key: team, operator: Equal, value: a, effect: NoSchedule}]" &&
	lands_on guest n1 &&
	kubectl taint node n1 team- &&
	lands_on none n1
'

test_expect_success 'one host port is there once' '
	pod port1 "nodeSelector: {disk: ssd}" "ports: [{containerPort: 80, hostPort: 8080}]" &&
	lands_on port1 n1 &&
	pod port2 "nodeSelector: {disk: ssd}" "ports: [{containerPort: 80, hostPort: 8080}]" &&
	says port2 "1 node(s) didn'\''t have free ports for the requested pod ports" &&
	kubectl delete pod port1 --grace-period=0 --force &&
	lands_on port2 n1
'

test_expect_success 'a gated pod is not tried until its gate goes' '
	pod gated "schedulingGates: [{name: example.com/wait}]" &&
	says gated "Scheduling is blocked due to non-empty scheduling gates" &&
	test_equal "" "$(where gated)" &&
	kubectl patch pod gated --type=json -p "[{\"op\":\"remove\",\"path\":\"/spec/schedulingGates\"}]" &&
	wait_for "test -n \"\$(where gated)\""
'

test_expect_success 'the higher priority goes first' '
	kubectl cordon n1 && kubectl cordon n2 &&
	kubectl create priorityclass high --value=1000 &&
	node n3 1 1Gi 1 "only: three" &&
	kubectl cordon n3 &&
	pod low "nodeSelector: {only: three}" && says low "unschedulable" &&
	pod high "nodeSelector: {only: three}, priority: 1000, priorityClassName: high" && says high "unschedulable" &&
	sleep 4 && # both have waited out their back-off: what wakes them now wakes them together
	kubectl uncordon n3 &&
	lands_on high n3 &&
	says low "1 Too many pods"
'

test_expect_success 'the pods of one controller spread' '
	kubectl uncordon n1 && kubectl delete node n2 n3 &&
	node a 4 8Gi 50 "set: ab" && node b 4 8Gi 50 "set: ab" &&
	for i in 1 2 3 4; do
		kubectl create -f - >/dev/null <<-EOF || return 1
		apiVersion: v1
		kind: Pod
		metadata: {name: s$i, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: rs,
		  uid: 11111111-1111-1111-1111-111111111111, controller: true}]}
		spec: {nodeSelector: {set: ab}, containers: [{name: c, image: i}]}
		EOF
		wait_for "test -n \"\$(where s$i)\"" || return 1
	done &&
	test_equal 2 "$(kubectl get pods --field-selector spec.nodeName=a -o name | grep -c /s)"
'

test_expect_success 'another scheduler'\''s pods are left alone' '
	pod foreign "schedulerName: mine, nodeSelector: {set: ab}" &&
	pod own "nodeSelector: {set: ab}" &&
	wait_for "test -n \"\$(where own)\"" &&
	test_equal "" "$(where foreign)"
'

test_done
