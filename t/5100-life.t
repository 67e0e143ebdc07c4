#!/bin/sh
# The life of containers with a real runtime: hooks, exec probes that hang, fork and talk
# without end, termination messages, kubectl debug in its three forms, what ends at once.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

jsonpath() # POD PATH
{
	kubectl get pod "$1" -o "jsonpath={$2}"
}

pod() # NAME: makes a pod; the container's further fields and then the pod's come from standard input, split by a line "--"
{
	awk -v name="$1" '
		BEGIN { print "apiVersion: v1\nkind: Pod\nmetadata: {name: " name "}\nspec:\n  terminationGracePeriodSeconds: 2"
			head = "  containers:\n  - name: main\n    image: localhost/demo:1" }
		/^--$/ { pod = 1; next }
		pod { below = below "\n  " $0; next }
		{ head = head "\n    " $0 }
		END { print head below }' | sed "s|/HOSTDIR|$TRASH/w|" | kubectl apply -f -
}

test_expect_success 'start' '
	start_server && import_demo && wait_node
'

test_expect_success 'exec probes: one that hangs, one that talks without end, one that forks, one that is not there' '
	pod hangs <<-\EOT &&
	command: [sleep, "600"]
	readinessProbe: {exec: {command: [sleep, "600"]}, periodSeconds: 1}
	EOT
	pod talks <<-\EOT &&
	command: [sleep, "600"]
	readinessProbe: {exec: {command: [sh, -c, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo words words words words; done"]}, periodSeconds: 1, timeoutSeconds: 5}
	EOT
	pod forks <<-\EOT &&
	command: [sleep, "600"]
	readinessProbe: {exec: {command: [sh, -c, "sleep 500 & sleep 500 & exit 0"]}, periodSeconds: 1}
	EOT
	pod nocmd <<-\EOT &&
	command: [sleep, "600"]
	readinessProbe: {exec: {command: [/no/such/program]}, periodSeconds: 1}
	EOT
	pod says <<-\EOT &&
	command: [sleep, "600"]
	readinessProbe: {exec: {command: [sh, -c, "echo not yet; printf \"\\377\"; exit 3"]}, periodSeconds: 1}
	EOT
	kubectl wait --for=condition=Ready pod/talks pod/forks --timeout=60s &&
	wait_for "kubectl describe pod hangs | grep \"Readiness probe failed: command timed out: \\\"sleep 600\\\" timed out after 1s\"" &&
	wait_for "kubectl describe pod says | grep \"Readiness probe failed: not yet\"" &&
	wait_for "kubectl describe pod nocmd | grep \"Readiness probe errored and resulted in unknown state\"" &&
	for p in hangs nocmd says; do test_equal false "$(jsonpath $p ".status.containerStatuses[0].ready")" || return 1; done &&
	kubectl exec hangs -- sh -c "ps | grep -c \"[s]leep 600\"" >got &&
	test "$(cat got)" -le 3
'

test_expect_success 'a liveness probe that hangs restarts its container; a startup probe holds it back' '
	pod live <<-\EOT &&
	command: [sleep, "600"]
	livenessProbe: {exec: {command: [sleep, "600"]}, periodSeconds: 1, failureThreshold: 2, terminationGracePeriodSeconds: 1}
	startupProbe: {exec: {command: ["true"]}, periodSeconds: 1}
	EOT
	wait_for "test \"\$(jsonpath live \".status.containerStatuses[0].restartCount\")\" -ge 1" &&
	wait_for "kubectl describe pod live | grep \"Killing .*Container main failed liveness probe, will be restarted\"" &&
	test_equal 137 "$(jsonpath live ".status.containerStatuses[0].lastState.terminated.exitCode")"
'

test_expect_success 'postStart keeps the container waiting; preStop runs before the signal' '
	pod hooks <<-\EOT &&
	command: [sh, -c, "trap \"echo signal >>/w/log; exit 0\" TERM; while :; do sleep 0.1; done"]
	volumeMounts: [{name: w, mountPath: /w}]
	lifecycle:
	  postStart: {exec: {command: [sh, -c, "echo start >>/w/log; while [ ! -e /w/go ]; do sleep 0.1; done"]}}
	  preStop: {exec: {command: [sh, -c, "echo stop >>/w/log"]}}
	--
	volumes: [{name: w, hostPath: {path: /HOSTDIR, type: DirectoryOrCreate}}]
	EOT
	wait_for "test \"\$(cat \"$TRASH/w/log\")\" = start" &&
	test_equal ContainerCreating "$(jsonpath hooks ".status.containerStatuses[0].state.waiting.reason")" &&
	test_equal Pending "$(jsonpath hooks .status.phase)" &&
	touch "$TRASH/w/go" &&
	kubectl wait --for=condition=Ready pod/hooks --timeout=30s &&
	kubectl delete pod hooks --timeout=30s &&
	printf "%s\n" start stop signal >want &&
	test_cmp want "$TRASH/w/log"
'

test_expect_success 'hooks that fail, and a preStop that hangs' '
	pod badpost <<-\EOT &&
	command: [sleep, "600"]
	lifecycle: {postStart: {exec: {command: [sh, -c, "exit 1"]}}}
	--
	restartPolicy: Never
	EOT
	pod hangpre <<-\EOT &&
	command: [sleep, "600"]
	lifecycle: {preStop: {exec: {command: [sh, -c, "sleep 600 & sleep 600"]}}}
	EOT
	wait_for "test \"\$(jsonpath badpost .status.phase)\" = Failed" &&
	kubectl describe pod badpost >got &&
	test_grep "Warning  *FailedPostStartHook .*PostStartHook failed" got &&
	kubectl wait --for=condition=Ready pod/hangpre --timeout=30s &&
	kubectl delete pod hangpre --timeout=20s
'

test_expect_success 'termination messages: of the file, of the log, of neither' '
	for p in File FallbackToLogsOnError; do
		pod said-$(echo $p | tr A-Z a-z | cut -c1-4) <<-EOT || return 1
		command: [sh, -c, "echo from the log; exit 4"]
		terminationMessagePolicy: $p
		--
		restartPolicy: Never
		EOT
	done &&
	pod wrote <<-\EOT &&
	command: [sh, -c, "yes 12345678 | head -c 9000 >/tmp/msg; printf END >>/tmp/msg; exit 0"]
	terminationMessagePath: /tmp/msg
	--
	restartPolicy: Never
	EOT
	for p in said-file said-fall wrote; do
		wait_for "test -n \"\$(jsonpath $p \".status.containerStatuses[0].state.terminated.reason\")\"" || return 1
	done &&
	test_equal "" "$(jsonpath said-file ".status.containerStatuses[0].state.terminated.message")" &&
	test_equal "from the log" "$(jsonpath said-fall ".status.containerStatuses[0].state.terminated.message")" &&
	jsonpath wrote ".status.containerStatuses[0].state.terminated.message" >got &&
	test_equal 4096 "$(wc -c <got)" &&
	test_equal END "$(tail -c 3 got)"
'

test_expect_success 'kubectl debug: a container beside, which sees the processes of its target' '
	kubectl debug forks --image=localhost/demo:1 --target=main -c dbg --profile=general -- sh -c "ps; sleep 600" &&
	wait_for "kubectl logs forks -c dbg | grep \"sleep 600\"" &&
	test_equal 1 "$(kubectl exec forks -c dbg -- sh -c "tr \"\\0\" \" \" </proc/1/cmdline" | grep -c "^sleep 600")" &&
	test_equal false "$(jsonpath forks ".status.ephemeralContainerStatuses[0].ready")" &&
	test_equal 0 "$(jsonpath forks ".status.ephemeralContainerStatuses[0].restartCount")" &&
	kubectl debug forks --image=localhost/demo:1 -c once --profile=general -- sh -c "ls /proc | grep -c \"^[0-9]\"; exit 5" &&
	wait_for "test \"\$(jsonpath forks \".status.ephemeralContainerStatuses[?(@.name==\\\"once\\\")].state.terminated.exitCode\")\" = 5" &&
	kubectl wait --for=condition=Ready pod/forks --timeout=10s
'

test_expect_success 'kubectl debug: attached, a copy, and the node' '
	: >got &&
	{ echo "echo ty\"\"ped"; wait_for "grep typed got"; echo exit; } |
		kubectl debug -i says --image=localhost/demo:1 --profile=general -- sh >got 2>err &&
	test_grep typed got &&
	kubectl debug says --copy-to=says-copy --container=main --profile=general -- sleep 500 &&
	wait_for "test \"\$(jsonpath says-copy .status.phase)\" = Running" &&
	kubectl debug node/n1 --image=localhost/demo:1 --profile=general -- sh -c "ls -d /host/proc; sleep 1" >got &&
	name=$(kubectl get pods -o name | grep node-debugger) &&
	wait_for "kubectl logs $name | grep /host/proc"
'

test_expect_success 'what ends at once again and again: back-off, one event of a kind' '
	pod quick <<-\EOT &&
	command: ["true"]
	EOT
	wait_for "kubectl get pod quick | grep CrashLoopBackOff" &&
	test_grep "back-off 10s restarting failed container=main pod=quick_default" <<-EOT &&
	$(jsonpath quick ".status.containerStatuses[0].state.waiting.message")
	EOT
	test_equal Completed "$(jsonpath quick ".status.containerStatuses[0].lastState.terminated.reason")" &&
	test_equal Running "$(jsonpath quick .status.phase)" &&
	test "$(kubectl get events --field-selector involvedObject.name=quick -o name | wc -l)" -le 7
'

test_expect_success 'kubectl patch --subresource resize: in place, and what cannot be' '
	pod sized <<-\EOT &&
	command: [sleep, "600"]
	resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 200m, memory: 32Mi}}
	EOT
	kubectl wait --for=condition=Ready pod/sized --timeout=30s &&
	resize() { kubectl patch pod sized --subresource resize --type=strategic \
		-p "{\"spec\":{\"containers\":[{\"name\":\"main\",\"resources\":{\"requests\":{\"cpu\":\"$1\"},\"limits\":{\"cpu\":\"$1\"}}}]}}"; } &&
	resize 300m &&
	wait_for "test \"\$(jsonpath sized \".status.containerStatuses[0].allocatedResources.cpu\")\" = 300m" &&
	test_equal 300m "$(jsonpath sized ".status.containerStatuses[0].resources.limits.cpu")" &&
	test_equal 0 "$(jsonpath sized ".status.containerStatuses[0].restartCount")" &&
	resize 5000 &&
	wait_for "test \"\$(jsonpath sized \".status.conditions[?(@.type==\\\"PodResizePending\\\")].reason\")\" = Infeasible" &&
	test_equal 300m "$(jsonpath sized ".status.containerStatuses[0].allocatedResources.cpu")" &&
	resize 100m &&
	wait_for "test -z \"\$(jsonpath sized \".status.conditions[?(@.type==\\\"PodResizePending\\\")].reason\")\"" &&
	wait_for "test \"\$(jsonpath sized \".status.containerStatuses[0].allocatedResources.cpu\")\" = 100m"
'

test_expect_success 'SIGTERM ignored; the stop signal of the spec' '
	pod deaf <<-\EOT &&
	command: [sh, -c, "trap \"\" TERM; while :; do sleep 0.1; done"]
	EOT
	pod quits <<-\EOT &&
	command: [sh, -c, "trap \"echo got quit >/dev/termination-log; exit 0\" USR1; while :; do sleep 0.1; done"]
	lifecycle: {stopSignal: SIGUSR1}
	--
	os: {name: linux}
	EOT
	kubectl wait --for=condition=Ready pod/deaf pod/quits --timeout=30s &&
	kubectl patch pod quits --type=merge -p "{\"metadata\":{\"finalizers\":[\"x.example/y\"]}}" &&
	kubectl delete pod deaf --timeout=20s &&
	kubectl delete pod quits --wait=false &&
	wait_for "jsonpath quits \".status.containerStatuses[0].state.terminated.message\" | grep \"got quit\"" &&
	test_equal Succeeded "$(jsonpath quits .status.phase)" &&
	kubectl patch pod quits --type=merge -p "{\"metadata\":{\"finalizers\":null}}"
'

test_done
