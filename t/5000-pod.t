#!/bin/sh
# The life of pods as a user sees it: the example manifest from the first apply to
# its deletion, then pods that end, fail, crash and have no image.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox

hello()
{
	kubectl -n hello "$@"
}

jsonpath() # POD PATH
{
	kubectl get pod "$1" -o "jsonpath={$2}"
}

test_expect_success 'start, import the demo image, the node is Ready' '
	start_server &&
	import_demo &&
	"$KINGLET" image --data-dir "$DATA" ls >got &&
	test_grep "localhost/demo  *1 " got &&
	wait_node &&
	kubectl get nodes -o wide >got &&
	test_grep "^n1  *Ready  *.*v1\.36\.2+kinglet1" got &&
	test_grep "kinglet://" got &&
	kubectl describe node n1 >got &&
	test_grep "^Name:  *n1" got
'

test_expect_success 'apply the example: its pod becomes Ready' '
	kubectl apply -f "$srcdir/manifests/examples/hello.yaml" >got &&
	printf "%s created\n" namespace/hello configmap/greeting pod/hello service/web ingress.networking.k8s.io/hello >want &&
	test_cmp want got &&
	hello wait --for=condition=Ready pod/hello --timeout=60s &&
	hello get pod hello >got &&
	test_grep "^NAME  *READY  *STATUS  *RESTARTS  *AGE$" got &&
	test_grep "^hello  *2/2  *Running  *0  *" got
'

test_expect_success 'its page comes from its address; both containers share network and volume' '
	ip=$(hello get pod hello -o jsonpath="{.status.podIP}") &&
	curl -sS --max-time 5 http://$ip:8080/ >got &&
	test_grep "<h1>Hello from kinglet</h1>" got &&
	test_grep "Pod hello, address $ip" got &&
	hello exec hello -c writer -- wget -q -O - http://127.0.0.1:8080/ >inside &&
	test_grep "<h1>Hello from kinglet</h1>" inside
'

test_expect_success 'describe tells of volumes, conditions and what happened' '
	hello describe pod hello >got &&
	test_grep "^Status:  *Running" got &&
	test_grep "EmptyDir (a temporary directory" got &&
	test_grep "ConfigMapVolumeSource\|ConfigMap (a volume" got &&
	test_grep "  Ready  *True" got &&
	test_grep "Normal  *Scheduled .*Successfully assigned hello/hello to n1" got &&
	test_grep "Normal  *Pulled .*already present on machine" got &&
	test_grep "Normal  *Created .*kubelet" got &&
	test_grep "Normal  *Started .*kubelet" got
'

test_expect_success 'get events' '
	hello get events >got &&
	test_grep "Normal  *Scheduled  *pod/hello" got &&
	test_grep "Normal  *Started  *pod/hello" got
'

test_expect_success 'logs of each container, with time stamps, from the tail' '
	wait_for "hello logs hello -c writer | grep \"the page is there\"" &&
	hello logs hello -c writer --timestamps >got &&
	test_grep "^20[0-9-]*T[0-9:.]*Z the page is there$" got &&
	curl -sS --max-time 5 http://$ip:8080/none >none &&
	wait_for "hello logs hello -c web | grep 404" &&
	test_must_fail hello logs hello -c nobody 2>err &&
	test_grep "container nobody is not valid for pod hello" err
'

test_expect_success 'exec: output, exit code, stdin' '
	test_equal hello "$(hello exec hello -c web -- hostname)" &&
	{ hello exec hello -c web -- sh -c "echo out; echo err >&2; exit 7" >out 2>err; test_equal 7 $?; } &&
	test_equal out "$(cat out)" &&
	test_grep "^err$" err &&
	test_grep "exit code 7" err &&
	head -c 300000 /dev/urandom >data &&
	hello exec -i hello -c web -- sha256sum <data >got &&
	test_equal "$(sha256sum <data)" "$(cat got)" &&
	{ hello exec hello -c web -- no-such-program 2>err; test_equal 127 $?; } &&
	test_grep "no-such-program" err
'

test_expect_success 'port-forward' '
	{ kubectl_bg -n hello port-forward pod/hello 18080:8080 >forward 2>&1 & } &&
	forward=$! &&
	test_when_finished "kill $forward; wait $forward" &&
	wait_for "grep \"Forwarding from 127.0.0.1:18080\" forward" &&
	for i in 1 2 3; do
		curl -sS --max-time 10 http://127.0.0.1:18080/ >got && test_grep "Hello from kinglet" got || return 1
	done
'

test_expect_success 'cp to a container and back' '
	hello cp data hello/hello:/www/data -c writer &&
	curl -sS --max-time 10 http://$ip:8080/data >got &&
	test_cmp data got &&
	hello cp hello/hello:/www/data back -c writer &&
	test_cmp data back
'

test_expect_success 'attach shows what comes from then on' '
	hello run talker --image=localhost/demo:1 --restart=Never -- \
		sh -c "while [ ! -e /tmp/go ]; do sleep 0.1; done; while :; do echo now it goes; sleep 0.3; done" &&
	hello wait --for=condition=Ready pod/talker --timeout=60s &&
	{ kubectl_bg -n hello attach talker >attached 2>&1 & } &&
	attach=$! &&
	test_when_finished "kill $attach; wait $attach; hello delete pod talker --now" &&
	hello exec talker -- touch /tmp/go &&
	wait_for "grep \"now it goes\" attached"
'

test_expect_success 'a container that ends is started again; what it said before stays at hand' '
	{ hello exec hello -c writer -- sh -c "echo these were its words >/proc/1/fd/1; kill 1" || :; } &&
	wait_for "hello get pod hello | grep \"2/2  *Running  *1 \"" &&
	hello logs hello -c writer --previous >got &&
	test_grep "these were its words" got &&
	hello logs hello -c writer >got &&
	! grep "these were its words" got &&
	test_equal 0 "$(hello get pod hello \
		-o jsonpath="{.status.containerStatuses[?(@.name==\"writer\")].lastState.terminated.exitCode}")"
'

test_expect_success 'delete ends it within its grace' '
	hello delete pod hello --timeout=60s >got &&
	test_grep "pod \"hello\" deleted" got &&
	kubectl delete --ignore-not-found -f "$srcdir/manifests/examples/hello.yaml" --timeout=60s &&
	test_must_fail kubectl get namespace hello &&
	test_must_fail curl -sS --max-time 2 http://$ip:8080/
'

test_expect_success 'a pod that does its work and ends' '
	kubectl run done --image=localhost/demo:1 --restart=Never -- sh -c "echo worked; exit 0" &&
	wait_for "kubectl get pod done | grep Completed" &&
	test_equal Succeeded "$(jsonpath done .status.phase)" &&
	test_equal worked "$(kubectl logs done)" &&
	test_equal "0 Completed" "$(jsonpath done ".status.containerStatuses[0].state.terminated.exitCode") $(
		jsonpath done ".status.containerStatuses[0].state.terminated.reason")"
'

test_expect_success 'a pod that fails, with its exit code' '
	kubectl run failed --image=localhost/demo:1 --restart=Never -- sh -c "exit 3" &&
	wait_for "kubectl get pod failed | grep Error" &&
	test_equal "Failed 3" "$(jsonpath failed .status.phase) $(
		jsonpath failed ".status.containerStatuses[0].state.terminated.exitCode")"
'

test_expect_success 'a pod that crashes again and again waits longer and longer' '
	kubectl run crash --image=localhost/demo:1 -- sh -c "echo run; exit 1" &&
	wait_for -t 60 "kubectl get pod crash | grep CrashLoopBackOff" &&
	kubectl describe pod crash >got &&
	test_grep "Warning  *BackOff .*Back-off restarting failed container" got &&
	test_equal run "$(kubectl logs crash --previous)" &&
	kubectl delete pod crash --now
'

test_expect_success 'a pod whose image is not there and must not be pulled' '
	kubectl run never --image=localhost/none:1 --image-pull-policy=Never &&
	wait_for "kubectl get pod never | grep ErrImageNeverPull" &&
	kubectl describe pod never >got &&
	test_grep "ErrImageNeverPull.*is not present with pull policy of Never" got &&
	kubectl delete pod never --now
'

test_expect_success 'a pod that no node can take stays Pending, and says why' '
	kubectl run huge --image=localhost/demo:1 \
		--overrides="{\"spec\":{\"nodeSelector\":{\"planet\":\"mars\"}}}" -- sleep 9999 &&
	wait_for "kubectl describe pod huge | grep \"0/1 nodes are available: 1 node(s) didn.t match\"" &&
	test_equal Pending "$(jsonpath huge .status.phase)" &&
	kubectl label node n1 planet=mars &&
	kubectl wait --for=condition=Ready pod/huge --timeout=30s &&
	kubectl delete pod huge --now
'

test_expect_success 'delete by force, by label, all' '
	kubectl run deaf --image=localhost/demo:1 --labels=kind=deaf -- sh -c "trap : TERM; while :; do sleep 1; done" &&
	kubectl run deaf2 --image=localhost/demo:1 --labels=kind=deaf -- sleep 600 &&
	kubectl wait --for=condition=Ready pod -l kind=deaf --timeout=60s &&
	kubectl delete pod deaf --grace-period=0 --force --timeout=30s &&
	test_must_fail kubectl get pod deaf &&
	wait_for "! container_processes | grep \"trap : TERM\"" &&
	kubectl delete pod -l kind=deaf --grace-period=1 --timeout=30s &&
	kubectl delete pod --all --timeout=30s &&
	kubectl get pods >got 2>&1 &&
	test_equal "No resources found in default namespace." "$(cat got)"
'

test_expect_success 'killall ends what still runs' '
	kubectl run left --image=localhost/demo:1 -- sleep 600 &&
	kubectl wait --for=condition=Ready pod/left --timeout=60s &&
	stop_server &&
	killall_pods >got &&
	cat got &&
	test_grep "stopped 1 pod" got &&
	{ wait_for -t 5 test_nothing_left_ || { cat "$TRASH/left"; return 1; }; }
'

test_done
