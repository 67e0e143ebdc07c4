#!/bin/sh
# Images and the pods that use them: a server sees what is imported beside it, what a container uses stays, and
# what can't be had is said in the pod's status.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl busybox overlay

image()
{
	"$KINGLET" image --data-dir "$DATA" "$@"
}

reason() # POD: why its container waits
{
	kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}'
}

test_expect_success 'a server without images' '
	start_server &&
	wait_node &&
	kubectl get node n1 -o jsonpath="{.status.images}" >got &&
	test_must_fail test_grep demo got
'

test_expect_success 'an image that is imported beside it can be used at once' '
	"$srcdir/scripts/make-demo-image" demo.tar example.org/demo:1 &&
	image import demo.tar &&
	image ls -q >id &&
	kubectl run one --image=example.org/demo:1 --restart=Never -- sleep 1000 &&
	kubectl wait --for=condition=Ready pod/one --timeout=30s &&
	kubectl get pod one -o jsonpath="{.status.containerStatuses[0].image} {.status.containerStatuses[0].imageID}" >got &&
	test_grep "^example.org/demo:1 example.org/demo@sha256:[0-9a-f]*$" got
'

test_expect_success 'what a container uses is not removed' '
	test_must_fail image rm example.org/demo:1 >out 2>err &&
	echo "Untagged: example.org/demo:1" >want &&
	test_cmp want out &&
	test_grep "is used by the container one_.*: it goes when the container is removed" err &&
	image ls -q >got &&
	test_cmp id got &&
	kubectl exec one -- cat /var/www/index.html >got &&
	test_grep Hello got
'

test_expect_success 'also over a crash of the server' '
	kill_server &&
	restart_server &&
	image ls -q >got &&
	test_cmp id got
'

test_expect_success 'and goes with its last container' '
	kubectl delete pod one --grace-period=1 &&
	wait_for "image ls -q >got && test_lines 0 got" &&
	wait_for "test_equal empty \"\$(ls "$DATA/agent/images/layers")\""
'

test_expect_success 'images that are not to be had' '
	kubectl run never --image=example.org/demo:1 --image-pull-policy=Never -- sleep 1000 &&
	kubectl run pull --image=127.0.0.1:1/demo:1 &&
	kubectl run bad --image=bad/name --dry-run=client -o yaml | sed "s,bad/name,Bad/Name," | kubectl apply -f - &&
	wait_for "test_equal ErrImageNeverPull \$(reason never)" &&
	wait_for "reason pull | grep -E \"^(RegistryUnavailable|ImagePullBackOff)$\"" &&
	wait_for "test_equal InvalidImageName \$(reason bad)" &&
	kubectl describe pod pull >got &&
	test_grep "Failed to pull image .127.0.0.1:1/demo:1.: failed to pull and unpack image" got
'

test_expect_success 'once it is there, the container starts' '
	image import demo.tar &&
	kubectl wait --for=condition=Ready pod/never --timeout=30s &&
	kubectl delete pod never pull bad --grace-period=1
'

test_done
