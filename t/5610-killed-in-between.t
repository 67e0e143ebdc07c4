#!/bin/sh
# The server is killed in the middle of each step of pods' starts and ends, of an import and of a pull, and once more
# right after it has started again: what was asked for comes about all the same, and nothing is left. Keepers and first
# processes are killed, too.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox python3

cat >pods.yaml <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {a: b}
END
for i in 1 2 3 4 5 6; do
	cat >>pods.yaml <<END
---
apiVersion: v1
kind: Pod
metadata: {name: p$i}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: e, emptyDir: {}}, {name: m, emptyDir: {medium: Memory}}, {name: c, configMap: {name: words}}]
  initContainers: [{name: i, image: "localhost/demo:1", command: ["true"]}]
  containers:
  - name: c
    image: localhost/demo:1
    command: [sh, -c, "cat /c/a && touch /m/x /e/x && exec sleep 10000"]
    volumeMounts: [{name: e, mountPath: /e}, {name: m, mountPath: /m}, {name: c, mountPath: /c}]
END
done

nothing_of_pods()
{
	[ -z "$(ls "$DATA/agent/pods")" ] && ! grep "$DATA/agent/pods" /proc/self/mountinfo &&
	! find /sys/fs/cgroup -path "*/$CGROUP/kubepods*" -name 'pod*' | grep . && ! ip -o link | grep veth &&
	[ -z "$(ls "$DATA/agent/images/holds" 2>/dev/null)" ]
}

test_expect_success 'start' '
	start_server && import_demo && wait_node
'

test_expect_success 'killed while pods start, in each moment, and again' '
	for after in 0 0.02 0.05 0.1 0.2 0.4; do
		kubectl create -f pods.yaml >/dev/null &&
		sleep $after &&
		kill_server && start_server && kill_server && start_server &&
		{ wait_for -t 60 "test 6 = \$(kubectl get pods --no-headers | grep -c \"1/1 *Running\")" ||
			{ kubectl get pods; kubectl describe pods; return 1; }; } &&
		kubectl delete -f pods.yaml --wait=false >/dev/null &&
		sleep $after &&
		kill_server && start_server && kill_server && start_server &&
		wait_for -t 60 "test_equal \"\" \"\$(kubectl get pods -o name)\"" &&
		wait_for nothing_of_pods || return 1
	done
'

test_expect_success 'a keeper and first processes are killed: the pod comes back, its restarts are told' '
	kubectl create -f pods.yaml >/dev/null &&
	wait_for -t 60 "test 6 = \$(kubectl get pods --no-headers | grep -c \"1/1 *Running\")" &&
	kill -9 $(container_processes | grep "sleep 10000" | head -3 | cut -d" " -f1) &&
	wait_for -t 60 "test 3 = \$(kubectl get pods -o jsonpath=\"{.items[*].status.containerStatuses[0].lastState.terminated.exitCode}\" | tr \" \" \"\\n\" | grep -c 137)" &&
	kill -9 $(grep -ls "/$CGROUP/keepers" /proc/[0-9]*/cgroup | cut -d/ -f3 | head -2) &&
	wait_for -t 60 "test 6 = \$(kubectl get pods --no-headers | grep -c \"1/1 *Running\")" &&
	kubectl get node n1 | grep " Ready " &&
	kubectl delete -f pods.yaml --timeout=60s &&
	wait_for nothing_of_pods
'

test_expect_success 'killed while it pulls: it pulls again; nothing half stays' '
	{ python3 "$srcdir/t/helper/odd-image.py" registry 5005 layers127 >registry.out 2>&1 & registry_pid=$!; } &&
	wait_for "grep ready registry.out" &&
	kubectl run pulled --image=127.0.0.1:5005/odd/layers127:1 -- sleep 1000 &&
	for after in 0.05 0.2 0.5; do
		sleep $after && kill_server && start_server || return 1
	done &&
	wait_for -t 60 "kubectl get pod pulled | grep \"1/1 *Running\"" &&
	kubectl delete pod pulled --now &&
	wait_for nothing_of_pods &&
	wait_for "[ -z \"\$(ls $DATA/agent/images/tmp)\" ]" &&
	test_equal 129 "$(ls "$DATA/agent/images/layers" | wc -l)" && # with the demo, and the empty one
	kill $registry_pid
'

test_expect_success 'an import that is killed leaves nothing' '
	python3 "$srcdir/t/helper/odd-image.py" make kinds odd.tar &&
	python3 "$srcdir/t/helper/odd-image.py" make links odd2.tar &&
	for after in 0.01 0.03 0.06 0.1; do
		{ "$KINGLET" image import -q --data-dir "$DATA" odd.tar odd2.tar >/dev/null 2>&1 & } && import=$! &&
		sleep $after &&
		{ kill -9 $import; wait $import; "$KINGLET" image rm --data-dir "$DATA" docker.io/odd/kinds:1 docker.io/odd/links:1; :; }
	done &&
	restart_server &&
	wait_for "[ -z \"\$(ls $DATA/agent/images/tmp)\" ]" &&
	test_equal 129 "$(ls "$DATA/agent/images/layers" | wc -l)"
'

test_done
