#!/bin/sh
# A node that is short of something: what it keeps back, what it says of itself,
# whom it evicts, and whom it does not take.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox

node()
{
	kubectl get node n1 -o "jsonpath={$1}"
}

condition() # TYPE FIELDS
{
	kubectl get node n1 -o "jsonpath={range .status.conditions[?(@.type==\"$1\")]}{.status} {.reason} {.message}{end}"
}

pod() # NAME SPEC-FRAGMENT CONTAINER-FRAGMENT COMMAND
{
	kubectl apply -f - <<-END
	---
	{apiVersion: v1, kind: Pod, metadata: {name: $1}, spec: {terminationGracePeriodSeconds: 1, $2
	 containers: [{name: c, image: localhost/demo:1, command: [sh, -c, "$4"], $3}]}}
	END
}

status() # NAME
{
	kubectl get pod "$1" -o "jsonpath={.status.phase}|{.status.reason}|{.status.message}"
}

must_not_start() # TEXT ARG...
{
	text=$1
	shift
	test_must_fail timeout 20 "$KINGLET" server --data-dir "$TRASH/other" --write-kubeconfig "$TRASH/none" --node-name n1 \
		--cgroup "$CGROUP" "$@" >err 2>&1 </dev/null &&
	test_grep -F "$text" err
}

test_expect_success 'settings that are wrong are refused' '
	must_not_start "there is no such setting here" --kubelet-arg no-such=1 &&
	must_not_start "unsupported eviction signal memory.used" --kubelet-arg "eviction-hard=memory.used<1Gi" &&
	must_not_start "grace period must be specified for the soft eviction threshold nodefs.available" \
		--kubelet-arg "eviction-soft=nodefs.available<10%" &&
	must_not_start "cannot reserve \"gpu\" resource" --kubelet-arg kube-reserved=gpu=1 &&
	must_not_start "is no label such as key=value" --kubelet-arg node-labels=x
'

test_expect_success 'what is kept back is not allocatable' '
	start_server --kubelet-arg kube-reserved=cpu=100m,memory=256Mi --kubelet-arg system-reserved=cpu=150m,ephemeral-storage=1Gi \
		--kubelet-arg max-pods=7 --kubelet-arg node-labels=zone=a,disk=ssd --node-label tier=edge \
		--kubelet-arg "eviction-hard=memory.available<64Mi,nodefs.available<1Gi" --node-external-ip 192.0.2.7,192.0.2.8 \
		--kubelet-arg register-with-taints=a=b:PreferNoSchedule &&
	import_demo &&
	wait_node &&
	test_equal "$(($(node .status.capacity.cpu) * 1000 - 250))m" "$(node .status.allocatable.cpu)" &&
	kib=$(awk "/^MemTotal:/ { print \$2 }" /proc/meminfo) &&
	kubectl get --raw /api/v1/nodes/n1 >raw &&
	test_grep "\"memory\":\"${kib}Ki\"" raw &&
	test_grep "\"memory\":\"$((kib - 320 * 1024))Ki\"" raw &&
	test_equal "7 a ssd edge" "$(node .status.allocatable.pods) $(node .metadata.labels.zone) $(node .metadata.labels.disk) $(
		node .metadata.labels.tier)" &&
	test_equal 0 "$(node ".status.allocatable.hugepages-2Mi")"
'

test_expect_success 'what the node says of itself' '
	kubectl get node n1 -o "jsonpath={range .status.addresses[*]}{.type}={.address} {end}" >got &&
	test_grep "InternalIP=.* ExternalIP=192.0.2.7 ExternalIP=192.0.2.8 Hostname=n1 $" got &&
	test_equal "kinglet://n1 kinglet" "$(node .spec.providerID) $(node ".metadata.labels.node\.kubernetes\.io/instance-type")" &&
	test_equal PreferNoSchedule "$(node ".spec.taints[?(@.key==\"a\")].effect")" &&
	test_equal "$(cat /proc/sys/kernel/random/boot_id)" "$(node .status.nodeInfo.bootID)" &&
	kubectl describe node n1 >got &&
	test_grep "Normal  *Starting .*kubelet  *Starting kubelet\." got &&
	test_grep "Normal  *NodeReady .*Node n1 status is now: NodeReady" got &&
	test_grep "Normal  *NodeAllocatableEnforced .*Updated Node Allocatable limit across pods" got &&
	kubectl label node n1 kubernetes.io/os=plan9 --overwrite
'

test_expect_success 'when it was missed it says at once that it is there' '
	kubectl patch node n1 --subresource=status -p "{\"status\":{\"conditions\":[
		{\"type\":\"Ready\",\"status\":\"Unknown\",\"reason\":\"NodeStatusUnknown\"},
		{\"type\":\"MemoryPressure\",\"status\":\"Unknown\",\"reason\":\"NodeStatusUnknown\"}]}}" &&
	wait_node &&
	wait_for "condition MemoryPressure | grep \"^False KubeletHasSufficientMemory\"" &&
	wait_for "test -z \"\$(node \".spec.taints[?(@.effect!=\\\"PreferNoSchedule\\\")].key\")\""
'

test_expect_success 'nothing is short: no pressure' '
	test_equal "False KubeletHasSufficientMemory kubelet has sufficient memory available" "$(condition MemoryPressure)" &&
	test_equal "False KubeletHasNoDiskPressure kubelet has no disk pressure" "$(condition DiskPressure)" &&
	test_equal "False KubeletHasSufficientPID kubelet has sufficient PID available" "$(condition PIDPressure)"
'

test_expect_success 'a pod that asks for more than is left is not admitted, whoever bound it' '
	pod fat "nodeName: n1," "resources: {requests: {memory: ${kib}Ki}}" "sleep 1000" &&
	wait_for "status fat | grep OutOfmemory" &&
	status fat >got &&
	test_grep "^Failed|OutOfmemory|Pod was rejected: Node didn.t have enough resource: memory, requested: $((kib * 1024)), used: 0, capacity: $(((kib - 320 * 1024) * 1024))$" got &&
	pod disk "nodeName: n1," "resources: {requests: {ephemeral-storage: 1Ei}}" "sleep 1000" &&
	wait_for "status disk | grep \"^Failed|OutOfephemeral-storage|Pod was rejected: Node didn.t have enough resource: ephemeral-storage,\"" &&
	kubectl delete pod fat disk --now
'

test_expect_success 'nor one that asks for another node, by selector or by affinity' '
	pod sel "nodeName: n1, nodeSelector: {no: such}," "" "sleep 1000" &&
	pod aff "nodeName: n1, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
		{matchExpressions: [{key: kubernetes.io/hostname, operator: NotIn, values: [n1]}]}]}}}," "" "sleep 1000" &&
	for p in sel aff; do
		wait_for "status $p | grep \"^Failed|NodeAffinity|Pod was rejected: Predicate NodeAffinity failed: node(s) didn.t match Pod.s node affinity/selector\"" || return 1
	done &&
	kubectl delete pod sel aff --now
'

test_expect_success 'a pod that writes more than its limit of the disk is evicted' '
	restart_server --kubelet-arg housekeeping-interval=200ms &&
	wait_for "node .metadata.labels | grep \"kubernetes.io/os\\\":\\\"linux\"" &&
	pod full "restartPolicy: Never," "resources: {limits: {ephemeral-storage: 2Mi}}" \
		"dd if=/dev/zero of=/big bs=1M count=5; exec sleep 1000" &&
	pod logs "restartPolicy: Never," "resources: {limits: {ephemeral-storage: 100Mi}}" "exec sleep 1000" &&
	wait_for -t 40 "status full | grep ^Failed" &&
	test_equal "Failed|Evicted|Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. " "$(status full)" &&
	kubectl get events --field-selector involvedObject.name=full >got &&
	test_grep "Warning  *Evicted  *pod/full  *Pod ephemeral local storage usage exceeds" got &&
	kubectl wait --for=condition=Ready pod/logs --timeout=20s &&
	kubectl delete pod full logs --now
'

test_expect_success 'short of memory: who uses more than he asked for goes first, who is critical never' '
	pod modest "" "resources: {requests: {memory: 512Mi}}" "exec sleep 1000" &&
	pod greedy "" "resources: {requests: {memory: 1Ki}}" "exec sleep 1000" &&
	pod vital "priorityClassName: system-node-critical," "resources: {}" "exec sleep 1000" &&
	kubectl wait --for=condition=Ready pod/modest pod/greedy pod/vital --timeout=40s &&
	restart_server --kubelet-arg housekeeping-interval=200ms --kubelet-arg "eviction-hard=memory.available<99.9%" \
		--kubelet-arg eviction-pressure-transition-period=1s &&
	wait_for -t 40 "status modest | grep \"^Failed|Evicted\"" &&
	grep -o "evicting a pod.*pod=[a-z]*" "$LOG" | sed "s/.*pod=//" | grep -v "^full$" >got &&
	printf "greedy\nmodest\n" >want &&
	test_cmp want got &&
	status greedy >got &&
	test_grep "^Failed|Evicted|The node was low on resource: memory. Threshold quantity: [0-9]*[KMG]*i*, available: [0-9]*[KMG]i. Container c was using [0-9]*[KMG]i, request is 1Ki, has larger consumption of memory. $" got &&
	test_equal "True TerminationByKubelet" "$(kubectl get pod greedy \
		-o jsonpath="{range .status.conditions[?(@.type==\"DisruptionTarget\")]}{.status} {.reason}{end}")" &&
	test_equal Running "$(kubectl get pod vital -o jsonpath={.status.phase})"
'

test_expect_success 'meanwhile the node says so, and takes no pods that ask for nothing' '
	wait_for "condition MemoryPressure | grep \"True KubeletHasInsufficientMemory kubelet has insufficient memory available\"" &&
	wait_for "node .spec.taints | grep \"node.kubernetes.io/memory-pressure\"" &&
	kubectl get events -A >events &&
	test_grep "Warning  *EvictionThresholdMet  *node/n1  *Attempting to reclaim memory" events &&
	test_grep "Normal  *NodeHasInsufficientMemory  *node/n1  *Node n1 status is now: NodeHasInsufficientMemory" events &&
	pod bound "nodeName: n1," "resources: {}" "sleep 1000" &&
	wait_for "status bound | grep Failed" &&
	test_equal "Failed|Evicted|Pod was rejected: The node had condition: [MemoryPressure]. " "$(status bound)" &&
	pod free "" "resources: {}" "sleep 1000" &&
	wait_for "kubectl describe pod free | grep \"untolerated taint\""
'

test_expect_success 'and when it is over, it goes on' '
	restart_server --kubelet-arg housekeeping-interval=200ms --max-pods 2 &&
	wait_for "condition MemoryPressure | grep \"False KubeletHasSufficientMemory\"" &&
	wait_for "! node .spec.taints | grep memory-pressure" &&
	kubectl wait --for=condition=Ready pod/free --timeout=40s
'

test_expect_success 'a critical pod makes room for itself' '
	pod first "nodeName: n1, priorityClassName: system-node-critical," "resources: {}" "exec sleep 1000" &&
	wait_for "status free | grep ^Failed" &&
	test_equal "Failed|Preempting|Preempted in order to admit critical pod" "$(status free)" &&
	kubectl wait --for=condition=Ready pod/first --timeout=40s &&
	pod second "nodeName: n1, priorityClassName: system-node-critical," "resources: {}" "sleep 1000" &&
	wait_for "status second | grep \"^Failed|OutOfpods|Pod was rejected: Node didn.t have enough resource: pods, requested: 1, used: 2, capacity: 2\""
'

test_done
