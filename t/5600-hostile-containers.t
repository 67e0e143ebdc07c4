#!/bin/sh
# More of what containers should not do: thousands of zombies, hundreds of processes, writing to their cgroup and /proc,
# sessions and probes that hang, links that change while a subPath is mounted; two hundred pods at once that end at
# once; pods deleted in each moment of their start. The node stays ready, others run on, and nothing is left.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox python3

victim=$TRASH/victim
mkdir -m 0755 "$victim"
echo host >"$victim/secret"

# pods N NAME SPEC: N pods; SPEC is a YAML flow map of the container's members, or pod members after a '|'
pods()
{
	python3 -c "
import json, sys
n, name, container, pod = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4] or '{}')
base = {'name': 'c', 'image': 'localhost/demo:1'}
print(json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': [{'apiVersion': 'v1', 'kind': 'Pod',
    'metadata': {'name': name + (str(i) if n > 1 else ''), 'labels': {'set': name}},
    'spec': {'terminationGracePeriodSeconds': 1, 'restartPolicy': 'Never', 'automountServiceAccountToken': False,
    'containers': [dict(base, **container)], **pod}} for i in range(n)]}))" "$1" "$2" "$3" "$4"
}

status() # POD PATH
{
	kubectl get pod "$1" -o "jsonpath={.status.$2}"
}

all_gone()
{
	[ -z "$(ls "$DATA/agent/pods")" ] && [ -z "$(ls "$DATA/agent/images/holds" | head -3)" ] &&
	! find /sys/fs/cgroup -path "*/$CGROUP/kubepods*" -name 'pod*' | grep . &&
	[ "$(ip -o link | grep -c veth)" = "${1:-0}" ]
}

test_expect_success 'start, with a pod that must not notice anything' '
	import_demo && start_server && wait_node &&
	pods 1 calm "{\"command\":[\"sleep\",\"10000\"],\"readinessProbe\":{\"periodSeconds\":1,\"exec\":{\"command\":[\"true\"]}}}" |
		kubectl create -f - &&
	kubectl wait --for=condition=Ready pod/calm --timeout=30s &&
	server_fds=$(ls /proc/$SERVER_PID/fd | wc -l)
'

test_expect_success 'zombies by the thousand, processes by the hundred' '
	pods 1 zombies "{\"command\":[\"sh\",\"-c\",\"for i in \$(seq 2000); do (true &); done; exec sleep 1000\"]}" | kubectl create -f - &&
	pods 1 crowd "{\"command\":[\"sh\",\"-c\",\"for i in \$(seq 300); do sleep 1000 & done; trap : TERM; wait; wait\"]}" | kubectl create -f - &&
	wait_for -t 40 "kubectl get pod zombies crowd | grep -c Running | grep 2" &&
	kubectl exec zombies -- true &&
	pods 1 after "{\"command\":[\"sleep\",\"1000\"]}" | kubectl create -f - &&
	kubectl wait --for=condition=Ready pod/after --timeout=20s &&
	kubectl delete pod zombies crowd after --timeout=$((30 * TEST_SLOW))s &&
	wait_for "all_gone 1 || [ \$(ls $DATA/agent/pods | wc -l) = 1 ]"
'

test_expect_success 'its own cgroup and /proc are not for a container to write' '
	pods 1 writer "{\"command\":[\"sh\",\"-c\",\"for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/cgroup.freeze /proc/sysrq-trigger /proc/sys/kernel/hostname /proc/sys/kernel/core_pattern /proc/irq/default_smp_affinity /sys/kernel/uevent_helper; do echo 1 2>/dev/null >\$f && echo written \$f; done; mkdir /sys/fs/cgroup/x && echo made; mount -t proc none /mnt && echo mounted; mount -o remount,rw /proc/sys && echo remounted; cat /proc/kcore /proc/1/root/../../../etc/hostname | head -c 10 | wc -c; ls /proc/1/root/$victim && echo escaped; exit 0\"]}" |
		kubectl create -f - &&
	wait_for "kubectl get pod writer | grep Completed" &&
	kubectl logs writer >got 2>&1 &&
	! grep -E "^written|^made|mounted|^escaped" got
'

test_expect_success 'a session that hangs ends with its pod; a probe that never answers is a failed one' '
	pods 1 hangs "{\"command\":[\"sleep\",\"1000\"],\"readinessProbe\":{\"periodSeconds\":1,\"timeoutSeconds\":1,\"exec\":{\"command\":[\"sleep\",\"1000\"]}},\"livenessProbe\":{\"initialDelaySeconds\":0,\"periodSeconds\":1,\"timeoutSeconds\":1,\"failureThreshold\":100,\"tcpSocket\":{\"port\":81}}}" |
		kubectl create -f - &&
	wait_for "kubectl get pod hangs | grep Running" &&
	{ kubectl_bg exec hangs -- sh -c "trap : TERM HUP; while :; do sleep 1; done" & } && session=$! &&
	wait_for -t 30 "kubectl get events | grep \"pod/hangs\" | grep \"Readiness probe\"" &&
	test_equal false "$(status hangs "containerStatuses[0].ready")" &&
	kubectl delete pod hangs --timeout=$((20 * TEST_SLOW))s &&
	wait_for "! kill -0 $session"
'

# Starts that were refused, and those that came so far as to end again.
race_tries()
{
	{ status race "containerStatuses[*].restartCount" | tr " " "\n"; echo
	kubectl get events --field-selector involvedObject.name=race,reason=Failed -o jsonpath="{range .items[*]}{.count}{\"\n\"}{end}"; } |
		awk "{ n += \$1 } END { print n + 0 }"
}

test_expect_success 'a subPath whose links change all the time leads nowhere outside' '
	cat >race.yaml <<-END &&
	apiVersion: v1
	kind: Pod
	metadata: {name: race}
	spec:
	  terminationGracePeriodSeconds: 0
	  automountServiceAccountToken: false
	  volumes: [{name: v, emptyDir: {}}]
	  initContainers:
	  - {name: first, image: "localhost/demo:1", command: [mkdir, -p, /v/a/b, /v/real], volumeMounts: [{name: v, mountPath: /v}]}
	  containers:
	  - name: swap
	    image: localhost/demo:1
	    command: [sh, -c, "ln -s $victim /v/out; ln -s real /v/in; while :; do cp -P /v/out /v/n; mv -T /v/n /v/x; mv /v/a/b /v/a/c; ln -s ../../../../../../..$victim /v/a/b; rm /v/a/b; mv /v/a/c /v/a/b; cp -P /v/in /v/n; mv -T /v/n /v/x; done"]
	    volumeMounts: [{name: v, mountPath: /v}]
END
	for i in 1 2 3 4 5 6; do
		echo "  - {name: m$i, image: \"localhost/demo:1\", command: [sh, -c, \"ls /m /n | grep secret && echo ESCAPED; exit 1\"], volumeMounts: [{name: v, mountPath: /m, subPath: x}, {name: v, mountPath: /n, subPath: a/b}]}"
	done >>race.yaml &&
	kubectl create -f race.yaml &&
	wait_for -t 60 "test 8 -le \$(race_tries)" &&
	for i in 1 2 3 4 5 6; do
		kubectl logs race -c m$i >>race.log 2>&1 || :
		kubectl logs race -c m$i --previous >>race.log 2>&1 || :
	done &&
	! grep ESCAPED race.log &&
	test_equal secret "$(ls -A "$victim")" &&
	kubectl delete pod race --timeout=$((20 * TEST_SLOW))s
'

test_expect_success 'two hundred pods that end at once, created and deleted at once' '
	pods 200 flash "{\"command\":[\"true\"]}" >flash.json &&
	kubectl create -f flash.json >made &&
	test_lines 200 made &&
	wait_for -t 60 "test 100 -le \$(kubectl get pods -l set=flash --no-headers | grep -c Completed)" &&
	kubectl delete pods -l set=flash --wait=false >/dev/null &&
	wait_for -t 60 "test_equal \"\" \"\$(kubectl get pods -l set=flash -o name)\"" &&
	kubectl get node n1 | grep " Ready "
'

test_expect_success 'deleted in each moment of their start' '
	pods 1 early@ "{\"command\":[\"sleep\",\"1000\"],\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/e\"}]}" "{\"automountServiceAccountToken\":true,\"volumes\":[{\"name\":\"e\",\"emptyDir\":{\"medium\":\"Memory\"}}]}" |
		python3 -c "import json, sys; print(json.dumps(json.load(sys.stdin)[\"items\"][0]))" >early.json &&
	for i in $(seq 0 29); do
		sed "s/early@/early$i/" early.json >one.json &&
		api -X POST -H "Content-Type: application/json" -d @one.json -o /dev/null /api/v1/namespaces/default/pods &&
		sleep "0.0$((i * 2 / 10))$((i * 2 % 10))" &&
		api -X DELETE -o /dev/null "/api/v1/namespaces/default/pods/early$i?gracePeriodSeconds=$((i % 2))" || return 1
	done &&
	wait_for -t 40 "test_equal pod/calm \"\$(kubectl get pods -o name | grep -v writer)\""
'

test_expect_success 'the calm one noticed nothing, and nothing is left of the others' '
	test_equal "0 true" "$(status calm "containerStatuses[0].restartCount") $(status calm "containerStatuses[0].ready")" &&
	kubectl get node n1 | grep " Ready " &&
	kubectl delete pod writer --now &&
	wait_for "test 1 = \$(ls $DATA/agent/pods | wc -l)" &&
	wait_for "test \$(ls /proc/$SERVER_PID/fd | wc -l) -le $((server_fds + 6))" &&
	kubectl delete pod calm --now &&
	wait_for all_gone &&
	stop_server
'

test_done
