#!/bin/sh
# A full disk: a container fills the one on which pods, logs and images are. The node and the API go on, others say
# what was wrong, and when the one that filled it is deleted everything works again.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

mkdir -p "$DATA/agent" && mount -t tmpfs -o mode=0711,size=40m none "$DATA/agent" || exit 1

test_expect_success 'start' '
	import_demo && start_server && wait_node &&
	kubectl run calm --image=localhost/demo:1 -- sh -c "while :; do echo tick; sleep 0.2; done" &&
	kubectl wait --for=condition=Ready pod/calm --timeout=30s
'

test_expect_success 'a container fills the disk; the node and the others run on' '
	kubectl run filler --image=localhost/demo:1 -- sh -c "dd if=/dev/zero of=/big bs=64k; echo full; exec sleep 1000" &&
	wait_for -t 40 "test 0 = \$(df --output=avail \"$DATA/agent\" | tail -1)" &&
	kubectl get node n1 | grep " Ready " &&
	server_lives &&
	kubectl create configmap still --from-literal=a=b &&
	kubectl exec calm -- true
'

test_expect_success 'what wants to start says why it cannot, or starts; nothing breaks' '
	kubectl run more --image=localhost/demo:1 -- sleep 1000 &&
	wait_for "kubectl describe pod more | grep -i \"no space left\\|evict\\|DiskPressure\\|Running\"" &&
	test_must_fail "$KINGLET" image import -q --data-dir "$DATA" "$KINGLET_BUILD/t/demo.tar" 2>err &&
	test_grep -i "no space left" err &&
	"$KINGLET" image ls --data-dir "$DATA" | grep demo &&
	server_lives &&
	kubectl get pod calm | grep Running
'

test_expect_success 'the one that filled it goes: everything works again' '
	kubectl delete pod filler --now --timeout=$((30 * TEST_SLOW))s &&
	wait_for -t 40 "kubectl get pod more | grep \"1/1 *Running\"" &&
	test_equal 0 "$(kubectl get pod calm -o "jsonpath={.status.containerStatuses[0].restartCount}")" &&
	lines=$(kubectl logs calm | wc -l) &&
	wait_for "test \$(kubectl logs calm | wc -l) -gt $lines" &&
	kubectl delete pods --all --now &&
	stop_server && killall_pods && umount "$DATA/agent"
'

test_done
