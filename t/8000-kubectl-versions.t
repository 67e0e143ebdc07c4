#!/bin/sh
# Every version of kubectl that is installed, on everything that goes through its
# different code paths: discovery, client-side validation (OpenAPI v2 and v3),
# apply (from either side), tables, watches, and the streams, which old versions
# ask for by SPDY and new ones by WebSocket.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox

test_expect_success 'start' '
	start_server &&
	import_demo &&
	wait_node
'

all()
{
	rm -rf "$HOME/.kube"
	ns=v$(basename "$KUBECTL" | tr -cd 0-9)
	sed "s/: hello$/: $ns/" "$srcdir/manifests/examples/hello.yaml" | sed "s/app: $ns/app: hello/" >example.yaml

	test_expect_success 'version, api-resources, get nodes' '
		kubectl version >got 2>&1 &&
		test_grep "v1\.36\.2+kinglet1" got &&
		kubectl api-resources -o wide >got &&
		test_grep "^pods  *po  *v1  *true  *Pod  *.*create,delete,deletecollection,get,list,patch,update,watch" got &&
		kubectl get nodes >got &&
		test_grep "^NAME  *STATUS  *ROLES  *AGE  *VERSION$" got &&
		test_grep "^n1  *Ready" got
	'

	test_expect_success 'apply a manifest: a pod becomes Ready' '
		kubectl apply -f example.yaml >got &&
		test_grep "pod/$ns created" got &&
		kubectl diff -f example.yaml &&
		kubectl -n $ns wait --for=condition=Ready pod/$ns --timeout=60s &&
		kubectl -n $ns get pod $ns -o wide >got &&
		test_grep "^NAME  *READY  *STATUS  *RESTARTS  *AGE  *IP  *NODE  *NOMINATED NODE  *READINESS GATES$" got &&
		test_grep "^$ns  *2/2  *Running  *0  *[0-9ms]*  *10\.42\.0\.[0-9]*  *n1  *<none>  *<none>$" got
	'

	test_expect_success 'apply on the server side' '
		kubectl apply --server-side --force-conflicts -f example.yaml >got &&
		test_grep "pod/$ns serverside-applied" got
	'

	test_expect_success 'mistakes in a manifest' '
		sed "s/containers:/containres:/" example.yaml >typo.yaml &&
		test_must_fail kubectl apply -f typo.yaml 2>err &&
		test_grep "unknown field \"spec.containres\"" err
	'

	test_expect_success 'logs, describe, explain' '
		wait_for "kubectl -n $ns logs $ns -c writer | grep \"the page is there\"" &&
		kubectl -n $ns describe pod $ns >got &&
		test_grep "Successfully assigned $ns/$ns to n1" got &&
		kubectl explain deployment.spec.replicas >got &&
		test_grep "replicas.*<integer>" got
	'

	test_expect_success 'exec' '
		echo in >in &&
		test_equal in "$(kubectl -n $ns exec -i $ns -c web -- cat <in)" &&
		{ kubectl -n $ns exec $ns -c web -- sh -c "exit 5"; test_equal 5 $?; }
	'

	test_expect_success 'exec with a terminal' '
		TERM=xterm script -qec "$KUBECTL -n $ns exec -it $ns -c web -- sh -c \"tty; stty size\"" /dev/null >got </dev/null &&
		test_grep "/dev/pts/" got
	'

	test_expect_success 'port-forward' '
		{ kubectl_bg -n $ns port-forward pod/$ns :8080 >forward 2>&1 & } &&
		forward=$! &&
		test_when_finished "kill $forward; wait $forward" &&
		wait_for "grep \"Forwarding from 127.0.0.1\" forward" &&
		port=$(sed -n "s/.*127.0.0.1:\([0-9]*\) .*/\1/p" forward) &&
		for i in 1 2 3; do
			curl -sS --max-time 10 "http://127.0.0.1:$port/" >got &&
			test_grep "Hello from kinglet" got || return 1
		done
	'

	test_expect_success 'attach' '
		{ kubectl_bg -n $ns attach $ns -c writer >attached 2>&1 & } &&
		attach=$! &&
		test_when_finished "kill $attach; wait $attach" &&
		wait_for "kubectl -n $ns exec $ns -c writer -- sh -c \"echo attached to it >/proc/1/fd/1\" &&
			grep \"attached to it\" attached"
	'

	test_expect_success 'cp' '
		head -c 100000 /dev/urandom >data &&
		kubectl -n $ns cp data $ns:/www/data -c writer &&
		kubectl -n $ns cp $ns:/www/data back -c writer &&
		test_cmp data back
	'

	test_expect_success 'delete' '
		kubectl delete namespace $ns --timeout=60s >got &&
		test_grep "namespace \"$ns\" deleted" got &&
		test_must_fail kubectl get namespace $ns
	'
}
for_each_kubectl all

test_done
