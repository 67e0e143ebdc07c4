#!/bin/sh
# exec and attach as a user at a terminal and a program at a pipe have them: sizes,
# exit codes, ends of input, who goes first, and very many at once.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox python3

stream=$srcdir/t/helper/stream.py
exec_path='/api/v1/namespaces/default/pods/a/exec?stdout=1&stderr=1'

kubectl_tty() # ROWSxCOLS EXPECT SEND ... -- ARGUMENT...
{
	tty_args=
	while [ "$1" != -- ]; do
		tty_args="$tty_args '$1'"
		shift
	done
	shift
	eval "timeout 60 \"\$stream\" tty $tty_args -- \"\$KUBECTL\" \"\$@\""
}

ends() # CODE COMMAND...: exit status of kubectl
{
	ends_code=$1
	shift
	"$@" >out 2>err
	test_equal "$ends_code" $?
}

test_expect_success 'a pod that waits, and three with input of their own' '
	start_server && import_demo && wait_node &&
	kubectl run a --image=localhost/demo:1 -- sleep 6000 &&
	spec() { kubectl run $1 --image=localhost/demo:1 --restart=Never --overrides="{\"spec\":{\"containers\":[{\"name\":\"$1\",\"image\":\"localhost/demo:1\",$2}]}}"; } &&
	spec shell "\"stdin\":true,\"tty\":true,\"command\":[\"sh\"]" &&
	spec once "\"stdin\":true,\"stdinOnce\":true,\"command\":[\"sh\",\"-c\",\"cat; echo that was all; sleep 6000\"]" &&
	spec deaf "\"command\":[\"sh\",\"-c\",\"while sleep 0.1; do echo tick; done\"]" &&
	kubectl wait --for=condition=Ready pod --all --timeout=60s
'

exec_codes()
{
	test_expect_success 'exit codes: of the program, of a signal, of one that can not be run' '
		ends 0 kubectl exec a -- true &&
		ends 200 kubectl exec a -- sh -c "exit 200" && test_grep "exit code 200" err &&
		ends 137 kubectl exec a -- sh -c "kill -9 \$\$" &&
		ends 143 kubectl exec a -- sh -c "kill -TERM \$\$" &&
		ends 127 kubectl exec a -- nosuch &&
		test_grep "OCI runtime exec failed: exec failed: unable to start container process: exec: .nosuch.: executable file not found in \$PATH: unknown" err &&
		ends 127 kubectl exec a -- /no/such &&
		ends 126 kubectl exec a -- /etc/passwd && test_grep "permission denied" err &&
		ends 126 kubectl exec a -- /etc && test_grep "is a directory" err
	'
	test_expect_success 'input: its end reaches the program, which may go on; and a program that takes none' '
		test_equal "one after" "$(echo one | kubectl exec -i a -- sh -c "cat; echo after" | tr "\n" " " | sed "s/ $//")" &&
		test_equal 5 "$(head -c 3000000 /dev/zero | kubectl exec -i a -- head -c 5 2>/dev/null | wc -c)" &&
		test_equal 0 "$(kubectl exec -i a -- cat </dev/null | wc -c)" &&
		test_equal started "$(kubectl exec a -- sh -c "sleep 30 & echo started")" &&
		head -c 2000000 /dev/urandom >random &&
		kubectl exec -i a -- cat <random >back && test_cmp random back
	'
	test_expect_success 'a terminal: its size, a new size, the exit code' '
		kubectl_tty 31x99 "# " "stty size; tty\n" "31 99" 40x120 "# " "" "" "stty size\n" "40 120" "exit 9\n" \
			-- exec -it a -- sh >got && test_grep "^31 99$" got && test_grep "^/dev/pts/" got &&
		test_grep "^40 120$" got && test_grep "^status 9$" got
	'
}
for_each_kubectl 2 exec_codes

test_expect_success 'attach to a shell: two at once see the same; one goes, the other stays' '
	{ kubectl_tty 33x77 "prompt" "echo hel\"\"lo; stty size\n" "still here" KILL -- attach -it shell >first & } && first=$! &&
	wait_for "grep \"^33 77\" first" &&
	kubectl_tty 33x77 "prompt" "echo second he\"\"re\n" "second here" KILL -- attach -it shell >second &&
	test_grep "second here" second &&
	wait_for "grep \"second here\" first" &&
	kubectl_tty 33x77 "prompt" "echo st\"\"ill here\n" "still here" KILL -- attach -it shell >third &&
	{ wait $first || :; } &&
	test_grep "^hello$" first && test_grep "^still here" first
'

test_expect_success 'run -it --rm: a prompt, the exit code, and the pod is gone' '
	kubectl_tty 24x80 "# " "echo he\"\"re\n" "here" "exit 5\n" -- run -it --rm r1 --image=localhost/demo:1 --restart=Never -- sh >got &&
	test_grep "^here$" got && test_grep "pod \"r1\" deleted" got && test_grep "^status 5$" got &&
	test_must_fail kubectl get pod r1 &&
	test_equal 4 "$(printf "a b\n" | kubectl run -i --rm --quiet r2 --image=localhost/demo:1 --restart=Never -- wc -c)"
'

test_expect_success 'attach to one that takes input once, and to one that takes none' '
	{ (echo words; sleep 0.5) | kubectl_bg attach -i once >got 2>&1 & } && attach=$! &&
	test_when_finished "kill $attach; wait $attach" &&
	wait_for "grep \"that was all\" got" && test_grep "^words$" got &&
	test_equal "words that was all" "$(kubectl logs once | tr "\n" " " | sed "s/ $//")" &&
	{ echo unheard | kubectl_bg attach -i deaf >ticks 2>&1 & } && deaf=$! &&
	wait_for "[ \$(grep -c tick ticks) -ge 5 ]" &&
	kill $deaf
'

test_expect_success 'a client that goes takes its process along' '
	"$stream" cut "$exec_path&command=sh&command=-c&command=trap%20%27%27%20HUP%20TERM%3B%20echo%20on%3B%20sleep%204711" >got &&
	test_grep on got &&
	wait_for "! container_processes | grep 4711"
'

test_expect_success 'a container that ends takes its sessions along; then there is none to be had' '
	kubectl run brief --image=localhost/demo:1 --restart=Never -- sh -c "until [ -e /end ]; do sleep 0.1; done" &&
	kubectl wait --for=condition=Ready pod/brief --timeout=30s &&
	{ kubectl_bg exec brief -- sh -c "echo up; sleep 6000" >got 2>err & } && session=$! &&
	wait_for "grep up got" &&
	kubectl exec brief -- touch /end &&
	{ wait $session; test_equal 137 $?; } &&
	wait_for "kubectl get pod brief | grep Completed" &&
	test_must_fail kubectl exec brief -- true 2>err &&
	test_grep "cannot exec into a container in a completed pod\|container not found" err &&
	test_must_fail kubectl exec a -c none -- true 2>err && test_grep "container none is not valid for pod a" err
'

test_expect_success 'over every WebSocket protocol' '
	for p in v5.channel.k8s.io v4.channel.k8s.io; do
		test_equal "3 said" "$("$stream" exec -p $p "$exec_path&command=sh&command=-c&command=echo%20said%3B%20exit%203" 2>/dev/null)" || return 1
	done &&
	test_equal "http 400" "$("$stream" exec "${exec_path%%\?*}?command=true" 2>/dev/null)" &&
	test_equal "http 403" "$("$stream" exec -p none.such "$exec_path&command=true" 2>/dev/null)"
'

test_expect_success '200 at once, each with its own output; more than a pod may have are told so' '
	"$stream" exec -n 200 "$exec_path&command=sh&command=-c&command=echo%20number%20@%3B%20sleep%200.5" >got 2>times &&
	cat times &&
	sort -u got >unique && test_lines 200 unique && test_equal 200 "$(grep -c "^0 number" unique)" &&
	"$stream" exec -n 300 "$exec_path&command=sh&command=-c&command=echo%20@%3B%20sleep%206" >got 2>times &&
	test_equal 256 "$(grep -c "^0 " got)" && test_equal 44 "$(grep -c "too many exec sessions in the pod" got)" &&
	ends 0 kubectl exec a -- true
'

test_expect_success 'a session on which nothing happens ends at its time' '
	restart_server --kubelet-arg streaming-connection-idle-timeout=1s &&
	wait_node &&
	wait_for "kubectl exec a -- true" &&
	test_must_fail kubectl exec a -- sleep 50 &&
	wait_for "! container_processes | grep \"sleep 50\"" &&
	ends 0 kubectl exec a -- sh -c "for i in 1 2 3 4; do sleep 0.5; echo \$i; done"
'

test_done
