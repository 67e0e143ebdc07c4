#!/bin/sh
# What nodes and pods use: kubectl top, the metrics API, the node's own summary and
# metrics for Prometheus.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay

test_expect_success 'start the server, a pod that works hard and one that sleeps' '
	sh "$srcdir/scripts/make-demo-image" demo.tar &&
	"$KINGLET" image import --data-dir "$DATA" demo.tar >/dev/null &&
	start_server &&
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Pod
	metadata: {name: busy, labels: {app: busy}}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers:
	  - {name: burn, image: localhost/demo:1, command: [sh, -c, "while :; do :; done"]}
	  - {name: rest, image: localhost/demo:1, command: [sh, -c, "head -c 3000000 /dev/zero >/big; exec sleep 100000"],
	     readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}}
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: idle, namespace: kube-system, labels: {app: idle}}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers: [{name: c, image: localhost/demo:1, command: [sleep, "100000"]}]
	EOF
	kubectl wait --for=condition=Ready pod/busy && kubectl -n kube-system wait --for=condition=Ready pod/idle
'

test_expect_success 'kubectl top node' '
	kubectl top node >got && test_grep "^NAME *CPU(cores) *CPU(%) *MEMORY(bytes) *MEMORY(%)" got &&
	test_grep "^n1 *[0-9][0-9]*m *[0-9]*% *[0-9][0-9]*Mi *[0-9]*%" got &&
	kubectl top node n1 >got && test_grep "^n1 " got
'

test_expect_success 'kubectl top pod: of a namespace, of all, by label, by container, sorted' '
	kubectl top pod >got && test_grep "^busy *[0-9][0-9]*m *[0-9][0-9]*Mi" got && ! grep idle got &&
	test "$(sed -n "s/^busy *\([0-9]*\)m.*/\1/p" got)" -gt 100 &&
	kubectl top pod -A --sort-by=cpu >got && test_grep "^kube-system *idle *[0-9]m " got &&
	test "$(sed -n 2p got | cut -d" " -f1)" = default &&
	kubectl top pod -A -l app=idle >got && test_grep idle got && ! grep busy got &&
	kubectl top pod busy --containers >got && test_grep "^busy *burn " got && test_grep "^busy *rest *[0-9]*m " got
'

test_expect_success 'older kubectls, too' '
	for k in $(ls "$(dirname "$(readlink -f "$(command -v kubectl)")")"/kubectl* 2>/dev/null); do
		"$k" top pod busy >got || return 1
		test_grep "^busy " got || return 1
	done
'

test_expect_success 'the API: group, kinds, what is not there' '
	kubectl api-resources --api-group=metrics.k8s.io >got && test_grep "nodes *metrics.k8s.io/v1beta1 *false *NodeMetrics" got &&
	kubectl get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy >got &&
	jq -e ".kind == \"PodMetrics\" and (.window | test(\"^[0-9.]+s$\")) and .window != \"0s\" and (.containers | length) == 2 and .metadata.labels.app == \"busy\" and
		(.containers[0].usage.cpu | endswith(\"n\")) and (.containers[0].usage.memory | endswith(\"Ki\"))" got &&
	test_must_fail kubectl get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/none 2>err && test_grep "not found" err &&
	test_must_fail kubectl get --raw /apis/metrics.k8s.io/v1beta1/nodes/none 2>err && test_grep "not found" err &&
	kubectl get --raw "/apis/metrics.k8s.io/v1beta1/pods?labelSelector=app%3Dbusy" | jq -e ".kind == \"PodMetricsList\" and (.items | length) == 1"
'

test_expect_success 'who may view a namespace may see what its pods use' '
	kubectl create serviceaccount viewer && kubectl create rolebinding view --clusterrole=view --serviceaccount=default:viewer &&
	kubectl --as=system:serviceaccount:default:viewer top pod >got && test_grep busy got &&
	test_must_fail kubectl --as=system:serviceaccount:default:viewer top pod -A 2>err && test_grep -i forbidden err
'

test_expect_success 'the summary: node, pods, containers' '
	kubectl get --raw /api/v1/nodes/n1/proxy/stats/summary >got &&
	jq -e ".node | .nodeName == \"n1\" and .cpu.usageNanoCores > 0 and .memory.workingSetBytes > 0 and .memory.availableBytes > 0 and
		.fs.capacityBytes > 0 and .fs.inodes > 0 and .runtime.imageFs.usedBytes > 0 and .rlimit.maxpid > 0" got &&
	jq -e ".pods[] | select(.podRef.name == \"busy\") | .cpu.usageNanoCores > 100000000 and .network.rxBytes >= 0 and
		.\"ephemeral-storage\".usedBytes > 3000000 and .process_stats.process_count >= 2 and (.containers | length) == 2" got &&
	jq -e ".pods[] | select(.podRef.name == \"busy\") | .containers[] | select(.name == \"rest\") |
		.rootfs.usedBytes >= 3000000 and .memory.workingSetBytes > 0 and .logs.usedBytes >= 0 and .startTime != null" got
'

test_expect_success 'metrics for Prometheus, by the paths of the kubelet' '
	kubectl get --raw /api/v1/nodes/n1/proxy/metrics/resource >got &&
	test_grep "^node_cpu_usage_seconds_total [0-9.]*$" got && test_grep "^resource_scrape_error 0" got &&
	test_grep "^container_cpu_usage_seconds_total{container=\"burn\",namespace=\"default\",pod=\"busy\"} [0-9.]*$" got &&
	test_grep "^pod_memory_working_set_bytes{namespace=\"kube-system\",pod=\"idle\"} [1-9]" got &&
	kubectl get --raw /api/v1/nodes/n1/proxy/metrics/cadvisor >got &&
	test_grep "^container_memory_working_set_bytes{container=\"burn\",id=\"/kubepods/pod.*\",image=\"localhost/demo:1\",name=\"[0-9a-f]*\",namespace=\"default\",pod=\"busy\"} [1-9]" got &&
	test_grep "^container_network_receive_bytes_total{.*pod=\"busy\",interface=\"eth0\"}" got && test_grep "^machine_cpu_cores [1-9]" got &&
	kubectl get --raw /api/v1/nodes/n1/proxy/metrics >got && test_grep "^kubelet_running_pods 2" got && test_grep "^kubelet_node_name{node=\"n1\"} 1" got &&
	kubectl get --raw /api/v1/nodes/n1/proxy/metrics/probes >got &&
	test_grep "^prober_probe_total{container=\"rest\",namespace=\"default\",pod=\"busy\",pod_uid=\".*\",probe_type=\"Readiness\",result=\"successful\"} [1-9]" got
'

test_expect_success 'a hundred askers at once, and some that go away' '
	askers= &&
	for i in $(seq 1 100); do
		timeout 0.$((i % 10))5 kubectl get --raw /apis/metrics.k8s.io/v1beta1/pods >/dev/null 2>&1 &
		askers="$askers $!"
		test $((i % 10)) != 0 || { wait $askers || : ; askers= ; }
	done &&
	kubectl top pod busy >got && test_grep busy got
'

test_done
