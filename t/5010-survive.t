#!/bin/sh
# Pods outlive the server: after SIGKILL and a restart every container runs on
# with the same process, logs are complete, exec works, and the exit codes of
# what ended meanwhile are known.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox

pod() # NAME JSONPATH
{
	kubectl get pod "$1" -o "jsonpath={$2}"
}

count_lines() # POD: the numbers it counted, which must have no gap
{
	kubectl logs "$1" >counted &&
	awk '$1 != NR { print "line " NR ": " $0; bad = 1 } END { exit bad }' counted
}

test_expect_success 'start, with pods that run, count, wait for a word, and end by themselves' '
	start_server &&
	import_demo &&
	wait_node &&
	cat >pods.yaml <<-\END &&
	apiVersion: v1
	kind: Pod
	metadata: {name: page}
	spec:
	  terminationGracePeriodSeconds: 1
	  volumes: [{name: shared, emptyDir: {}}]
	  containers:
	  - name: web
	    image: localhost/demo:1
	    command: [httpd, -f, -p, "8080", -h, /shared]
	    volumeMounts: [{name: shared, mountPath: /shared}]
	  - name: second
	    image: localhost/demo:1
	    command: [sh, -c, "echo page >/shared/index.html; sleep 1000"]
	    volumeMounts: [{name: shared, mountPath: /shared}]
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: counter}
	spec:
	  terminationGracePeriodSeconds: 1
	  containers:
	  - name: main
	    image: localhost/demo:1
	    command: [sh, -c, "i=0; while :; do i=$((i + 1)); echo $i; sleep 0.02; done"]
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: seven}
	spec:
	  restartPolicy: Never
	  containers:
	  - name: main
	    image: localhost/demo:1
	    command: [sh, -c, "echo waits; until [ -e /tmp/end ]; do sleep 0.1; done; echo ends; exit 7"]
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: again}
	spec:
	  terminationGracePeriodSeconds: 1
	  restartPolicy: OnFailure
	  containers:
	  - name: main
	    image: localhost/demo:1
	    command: [sh, -c, "until [ -e /tmp/end ]; do sleep 0.1; done; exit 9"]
	END
	kubectl apply -f pods.yaml &&
	kubectl wait --for=condition=Ready pod --all --timeout=60s &&
	container_processes | grep httpd
'

test_expect_success 'kill the server: processes, page and counting go on' '
	container_processes | grep -v sleep >before &&
	ip=$(pod page .status.podIP) &&
	kubectl get pods -o custom-columns="N:.metadata.name,U:.metadata.uid,IP:.status.podIP" >pods.before &&
	kill_server &&
	container_processes | grep -v sleep >after &&
	test_cmp before after &&
	curl -sS --max-time 5 http://$ip:8080/ >got &&
	test_equal page "$(cat got)"
'

end_pod() # WORDS OF ITS COMMAND: touches /tmp/end in it, from outside
{
	for dir in /proc/[0-9]*; do
		grep -qs "/$CGROUP/kubepods" "$dir/cgroup" && tr '\0' ' ' <"$dir/cmdline" | grep -q "$1" && touch "$dir/root/tmp/end" && return 0
	done
	echo "no process says: $1"
	return 1
}

test_expect_success 'two containers end while no server is there' '
	end_pod "exit 7" &&
	end_pod "exit 9" &&
	wait_for "! container_processes | grep \"exit [79]\""
'

test_expect_success 'start again: everything is found as it is' '
	start_server &&
	wait_for "kubectl get pod page | grep \"2/2  *Running  *0\"" &&
	container_processes | grep -v "sleep\|exit 9" >after &&
	grep -v "exit [79]" before >want &&
	test_cmp want after &&
	kubectl get pods -o custom-columns="N:.metadata.name,U:.metadata.uid,IP:.status.podIP" >pods.after &&
	sed "/^seven/d" pods.before >want &&
	sed "/^seven/d" pods.after >got &&
	test_cmp want got &&
	curl -sS --max-time 5 http://$ip:8080/ >got &&
	test_equal page "$(cat got)"
'

test_expect_success 'exit codes that fell in between are known' '
	wait_for "kubectl get pod seven | grep Error" &&
	test_equal 7 "$(pod seven ".status.containerStatuses[0].state.terminated.exitCode")" &&
	wait_for "kubectl get pod again | grep \"1/1  *Running  *1 \"" &&
	test_equal 9 "$(pod again ".status.containerStatuses[0].lastState.terminated.exitCode")" &&
	printf "waits\nends\n" >want &&
	kubectl logs seven >got &&
	test_cmp want got
'

test_expect_success 'logs have no gap, and go on' '
	count_lines counter &&
	was=$(wc -l <counted) &&
	test $was -gt 10 &&
	wait_for "count_lines counter && test \$(wc -l <counted) -gt $was"
'

test_expect_success 'exec and logs -f work again' '
	test_equal page "$(kubectl exec page -c second -- cat /shared/index.html)" &&
	{ kubectl_bg logs -f --tail=1 counter >followed & } &&
	follow=$! &&
	test_when_finished "kill $follow; wait $follow" &&
	wait_for "test \$(wc -l <followed) -gt 5"
'

test_expect_success 'killed again and again, ten times' '
	container_processes | grep "httpd\|echo" >before &&
	for i in 1 2 3 4 5 6 7 8 9 10; do
		kill_server && start_server || return 1
	done &&
	wait_for "kubectl get pod page | grep \"2/2  *Running  *0\"" &&
	container_processes | grep "httpd\|echo" >after &&
	test_cmp before after &&
	count_lines counter
'

test_expect_success 'a pod deleted while the server is killed goes when it is back' '
	kubectl delete pod counter --wait=false &&
	kill_server &&
	start_server &&
	wait_for "! kubectl get pod counter" &&
	wait_for "! container_processes | grep \"echo .i\""
'

test_expect_success 'a keeper that is killed takes its pod along; it is made again' '
	keeper=$(grep -lsr . /proc/[0-9]*/cgroup | while read -r file; do
		grep -q "/$CGROUP/keepers" "$file" && dirname "$file"
	done | sed "s,/proc/,,") &&
	test -n "$keeper" &&
	{ kill -9 $keeper || :; } && # one may have been ending
	wait_for -t 60 "kubectl get pod page | grep \"2/2  *Running\""
'

test_expect_success 'a server that is stopped while pods are cleaned up ends well' '
	for after in 0.01 0.1 0.3 0.6; do
		keeper=$(grep -ls "/$CGROUP/keepers" /proc/[0-9]*/cgroup | cut -d/ -f3) &&
		{ kill -9 $keeper || :; } &&
		sleep $after &&
		stop_server &&
		start_server || return 1
	done &&
	wait_for -t 60 "kubectl get pod page | grep \"2/2  *Running\"" &&
	test_equal "$(pod page .status.podIP)" "$(pod page ".status.podIPs[*].ip")"
'

test_expect_success 'killall, start: what was stored runs again' '
	stop_server &&
	killall_pods &&
	container_processes >left &&
	test_lines 0 left &&
	start_server &&
	wait_for -t 60 "kubectl get pod page | grep \"2/2  *Running\"" &&
	ip=$(pod page .status.podIP) &&
	wait_for "curl -sS --max-time 5 http://$ip:8080/ | grep page" &&
	kubectl delete pods --all --timeout=60s
'

test_done
