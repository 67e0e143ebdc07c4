#!/bin/sh
# kubectl logs in every form: which lines, of which containers, how long they are kept,
# and that neither a container nor a client that is slow holds up the node.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox python3

pod() # NAME SCRIPT [NAME SCRIPT]...: containers c1, c2... of a pod
{
	pod_name=$1 pod_n=0 pod_list=
	shift
	for script; do
		pod_n=$((pod_n + 1))
		pod_list="$pod_list${pod_list:+,}{name: c$pod_n, image: \"localhost/demo:1\", command: [sh, -c, \"$script\"]}"
	done
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {app: %s}}\nspec: {restartPolicy: Never, containers: [%s]}\n' \
		"$pod_name" "$pod_name" "$pod_list" | kubectl apply -f -
}

run() # NAME SCRIPT: a pod of one container
{
	kubectl run "$1" --image=localhost/demo:1 --restart=Never -- sh -c "$2"
}

log() # QUERY
{
	kubectl get --raw "/api/v1/namespaces/default/pods/$1"
}

test_expect_success 'several containers: all, by label, with prefixes, within a limit of requests' '
	start_server --kubelet-arg container-log-max-size=64Ki --kubelet-arg container-log-max-files=3 &&
	import_demo &&
	wait_node &&
	pod two "echo one; echo err >&2; sleep 1000" "echo two; sleep 1000" &&
	kubectl wait --for=condition=Ready pod/two --timeout=30s &&
	wait_for "kubectl logs two -c c2 | grep two" &&
	kubectl logs two --all-containers | sort >got && printf "%s\n" err one two >want && test_cmp want got &&
	kubectl logs -l app=two --all-containers --prefix | sort >got &&
	printf "%s\n" "[pod/two/c1] err" "[pod/two/c1] one" "[pod/two/c2] two" >want && test_cmp want got &&
	refused "you are attempting to follow 2 log streams, but maximum allowed concurrency is 1" \
		kubectl logs -l app=two --all-containers -f --max-log-requests 1 &&
	kubectl logs two >got 2>err && printf "%s\n" err one >want && sort got >sorted && test_cmp want sorted &&
	test_grep "Defaulted container \"c1\" out of: c1, c2" err
'

test_expect_success 'one output alone' '
	test_equal one "$(log "two/log?container=c1&stream=Stdout")" &&
	test_equal err "$(log "two/log?container=c1&stream=Stderr")" &&
	test_equal "err one" "$(log "two/log?container=c1&stream=All" | sort | tr "\n" " " | sed "s/ $//")"
'

test_expect_success 'tail, limit, since, time stamps' '
	run lines "i=0; while [ \$i -lt 100 ]; do echo line \$i; i=\$((i+1)); done; sleep 1; echo late; sleep 1000" &&
	wait_for "kubectl logs lines | grep late" &&
	test_equal "line 99 late" "$(kubectl logs lines --tail 2 | tr "\n" " " | sed "s/ $//")" &&
	test_equal 0 "$(kubectl logs lines --tail 0 | wc -c)" &&
	test_equal 101 "$(kubectl logs lines --tail 1000 | wc -l)" &&
	test_equal 10 "$(kubectl logs lines --limit-bytes 10 | wc -c)" &&
	test_equal 101 "$(kubectl logs lines --since 1h | wc -l)" &&
	kubectl logs lines --timestamps >got &&
	test_lines 101 got &&
	stamp=$(tail -1 got | cut -d" " -f1) &&
	test_equal late "$(kubectl logs lines --since-time "$stamp")" &&
	test_equal 0 "$(kubectl logs lines --since-time 2099-01-01T00:00:00Z | wc -c)"
'

test_expect_success 'options that are wrong: 422 with all that is wrong, 400 for what is no number' '
	code() { api_code "/api/v1/namespaces/default/pods/two/log?container=c1&$1"; } &&
	test_equal 422 "$(code "tailLines=-1&limitBytes=0")" &&
	test_grep -F "PodLogOptions \\\"two\\\" is invalid: [tailLines: Invalid value: -1: must be greater than or equal to 0, limitBytes: Invalid value: 0: must be greater than 0]" answer &&
	test_equal 422 "$(code "sinceSeconds=0")" &&
	test_equal 422 "$(code "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z")" &&
	test_grep -F "is invalid: : Forbidden: at most one of \`sinceTime\` or \`sinceSeconds\` may be specified" answer &&
	test_equal 422 "$(code "stream=Both")" &&
	test_grep -F "stream: Unsupported value: \\\"Both\\\": supported values: \\\"All\\\", \\\"Stderr\\\", \\\"Stdout\\\"" answer &&
	test_equal 422 "$(code "stream=Stdout&tailLines=1")" &&
	test_grep -F "\`tailLines\` and specific \`stream\` are mutually exclusive for now" answer &&
	test_equal 400 "$(code "tailLines=many")" &&
	test_grep -F "strconv.ParseInt: parsing \\\"many\\\": invalid syntax" answer &&
	test_equal 400 "$(code "limitBytes=99999999999999999999")" && test_grep "value out of range" answer &&
	test_equal 400 "$(code "sinceTime=yesterday")" && test_grep "cannot parse" answer &&
	test_equal 400 "$(code "previous=1")" &&
	test_grep -F "previous terminated container \\\"c1\\\" in pod \\\"two\\\" not found" answer &&
	test_equal 400 "$(api_code "/api/v1/namespaces/default/pods/two/log")" &&
	test_grep -F "a container name must be specified for pod two, choose one of: [c1 c2]" answer &&
	test_equal 400 "$(api_code "/api/v1/namespaces/default/pods/two/log?container=c9")" &&
	test_equal 404 "$(api_code "/api/v1/namespaces/default/pods/nobody/log")" &&
	test_equal 422 "$(api_code "/api/v1/namespaces/default/pods/nobody/log?tailLines=-1")"
'

test_expect_success 'init, ephemeral and ended containers, one that waits, and before a restart' '
	cat >pod.yaml <<-\END &&
	apiVersion: v1
	kind: Pod
	metadata: {name: kinds}
	spec:
	  initContainers: [{name: first, image: "localhost/demo:1", command: [sh, -c, "echo was first"]}]
	  containers: [{name: main, image: "localhost/demo:1", command: [sh, -c, "echo run $(cat /v/n); echo x >>/v/n; [ $(wc -l </v/n) = 2 ] && sleep 1000"], volumeMounts: [{name: v, mountPath: /v}]}]
	  volumes: [{name: v, emptyDir: {}}]
	END
	kubectl apply -f pod.yaml &&
	wait_for "kubectl get pod kinds | grep Running | grep \" 1 \"" &&
	test_equal "was first" "$(kubectl logs kinds -c first)" &&
	test_equal "run x" "$(kubectl logs kinds)" &&
	kubectl logs kinds --previous >got && test_grep "^run" got && ! grep x got &&
	kubectl debug kinds --image=localhost/demo:1 -c probe -- sh -c "echo looked" &&
	wait_for "kubectl logs kinds -c probe | grep looked" &&
	kubectl run waits --image=localhost/none:1 --image-pull-policy=Never &&
	wait_for "kubectl logs waits 2>&1 | grep \"container .waits. in pod .waits. is waiting to start: ErrImageNeverPull\""
'

test_expect_success 'a log is set aside at its size, so many are kept, and reading goes through all of them' '
	run fat "until [ -e /go ]; do sleep 0.1; done; i=0; while [ \$i -lt 4000 ]; do echo line \$i with some more words to fill it; i=\$((i+1)); [ \$((i % 200)) != 0 ] || sleep 0.05; done; echo the end; sleep 1000" &&
	kubectl wait --for=condition=Ready pod/fat --timeout=30s &&
	{ kubectl_bg logs -f fat >followed & } && follow=$! &&
	test_when_finished "kill $follow; wait $follow" &&
	kubectl exec fat -- touch /go &&
	wait_for "grep \"the end\" followed" &&
	test_equal 4001 "$(sort -u followed | wc -l)" && test_lines 4001 followed &&
	dir=$(echo "$DATA"/agent/logs/pods/default_fat_*/fat) &&
	test_equal 3 "$(ls "$dir" | wc -l)" &&
	ls "$dir" >got && test_grep "^0.log.20[0-9]*-[0-9-]*$" got &&
	for f in "$dir"/*; do [ "$(stat -c %s "$f")" -le 81920 ] || return 1; done &&
	kubectl logs fat >got && [ "$(wc -l <got)" -gt 1500 ] && test_equal "the end" "$(tail -1 got)" &&
	test_equal 1000 "$(kubectl logs fat --tail 1000 | wc -l)"
'

test_expect_success 'log shippers find each container by the name of a link; links go with their logs' '
	links=$DATA/agent/logs/containers &&
	id=$(kubectl get pod fat -o jsonpath="{.status.containerStatuses[0].containerID}" | sed "s/.*:..//") &&
	test_equal "$dir/0.log" "$(readlink "$links/fat_default_fat-$id.log")" &&
	kubectl delete pod fat waits --now &&
	wait_for "[ ! -e \"$dir\" ]" &&
	! ls "$links" | grep fat_ &&
	ls "$links" | grep "kinds_default_main-"
'

test_expect_success 'lines of 10 MB, binary, and without an end' '
	run long "head -c 10000000 /dev/zero | tr \"\\0\" x; echo; head -c 100000 /dev/urandom | tee /tmp/r; touch /tmp/done; sleep 1000" &&
	wait_for "kubectl exec long -- test -e /tmp/done" &&
	kubectl exec long -- cat /tmp/r >random &&
	run wide "head -c 100000 /dev/zero | tr \"\\0\" x; echo; printf unfinished; sleep 1000" &&
	wait_for "kubectl logs wide | grep unfinished" &&
	kubectl logs wide >got && test_equal 100011 "$(wc -c <got)" &&
	test_equal 1 "$(wc -l <got)" &&
	test_equal 1 "$(kubectl logs wide --timestamps | head -c 100 | grep -c "^20.*Z x")" &&
	parts=$(grep -c " stdout P x" "$(echo "$DATA"/agent/logs/pods/default_wide_*/wide/0.log)") &&
	[ "$parts" -ge 1 ] && [ "$parts" -le 100 ]
'

test_expect_success 'follow over a restart of the server: the container writes on, and nothing is lost' '
	run ticker "i=0; while :; do echo tick \$i; i=\$((i+1)); sleep 0.05; done" &&
	wait_for "kubectl logs ticker | grep \"tick 3\"" &&
	{ kubectl_bg logs -f ticker >first & } && follow=$! &&
	wait_for "grep tick first" &&
	restart_server &&
	{ wait $follow || :; } &&
	last=$(tail -1 first | cut -d" " -f2) &&
	wait_for "kubectl logs ticker | grep \"tick $((last + 10))\$\"" &&
	kubectl logs ticker | awk "{ if (\$2 != NR - 1) exit 1 }"
'

test_expect_success 'following ends with the container, and when the pod is deleted' '
	{ kubectl_bg logs -f ticker >second & } && follow=$! &&
	wait_for "grep tick second" &&
	kubectl delete pod ticker --now &&
	wait $follow
'

test_expect_success 'a container at full speed and a client that reads nothing: the node serves on, and stays small' '
	run loud "yes this is a line of some length, as programs write them" &&
	wait_for "kubectl logs loud --tail 1 | grep length" &&
	for i in 1 2 3; do
		{ sleep 100 | "$srcdir/t/helper/stream.py" stall "/api/v1/namespaces/default/pods/loud/log?follow=true" >stalled.$i & } || return 1
	done &&
	wait_for "grep 200 stalled.1 && grep 200 stalled.2 && grep 200 stalled.3" &&
	before=$(awk "/VmRSS/ { print \$2 }" /proc/$SERVER_PID/status) &&
	for i in 1 2 3 4 5 6 7 8; do kubectl exec two -c c1 -- true || return 1; done &&
	after=$(awk "/VmRSS/ { print \$2 }" /proc/$SERVER_PID/status) &&
	echo "RSS $before kB, then $after kB" &&
	[ $((after - before)) -lt 12000 ] &&
	kubectl delete pod loud --now &&
	wait_node &&
	pkill -P $$ sleep
'

test_done
