#!/bin/sh
# The book on pods: created from a file, looked at, their logs, their port.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia nginx fortune

test_expect_success 'kubectl create -f: the file says what it is' '
	create pod >got &&
	test_grep "^pod/kubia-manual created" got &&
	ready pod/kubia-manual &&
	kubectl get pods >got &&
	test_grep "^NAME  *READY  *STATUS  *RESTARTS  *AGE" got &&
	test_grep "^kubia-manual  *1/1  *Running  *0 " got &&
	refused "pods \"kubia-manual\" already exists" create pod
'

test_expect_success 'the overview of the cluster, a node, a pod in full' '
	kubectl get nodes >got &&
	test_grep "^n1  *Ready" got &&
	kubectl describe node n1 >got &&
	test_grep "default  *kubia-manual " got &&
	kubectl get pods -o wide >got &&
	test_grep "^kubia-manual .* 10\.42\.0\.[0-9]*  *n1 " got &&
	kubectl get po kubia-manual -o yaml >got &&
	test_grep "  - image: zou8944/kubia$" got &&
	test_grep "containerPort: 8080" got &&
	test_grep "imagePullPolicy: Always" got &&
	test_grep "phase: Running" got
'

test_expect_success 'kubectl explain' '
	kubectl explain pods >got &&
	test_grep "^KIND:  *Pod" got &&
	kubectl explain pod.spec >got &&
	test_grep "containers.*-required-" got
'

test_expect_success 'kubectl logs, with and without -c' '
	wait_for "kubectl logs kubia-manual | grep Kubia" &&
	kubectl logs kubia-manual >got &&
	test_equal "Kubia server starting..." "$(cat got)" &&
	kubectl logs kubia-manual -c kubia2 >again &&
	test_cmp got again &&
	refused "container kubia is not valid for pod kubia-manual" kubectl logs kubia-manual -c kubia
'

test_expect_success 'kubectl port-forward kubia-manual 8888:8080' '
	{ kubectl_bg port-forward kubia-manual 8888:8080 >forward & } &&
	forward=$! &&
	test_when_finished "kill $forward; wait $forward" &&
	wait_for "grep \"Forwarding from 127.0.0.1:8888 -> 8080\" forward" &&
	test_equal "You'\''ve hit kubia-manual" "$(curl -sS localhost:8888)" &&
	wait_for "kubectl logs kubia-manual | grep \"Received request from 127.0.0.1\""
'

test_expect_success 'kubectl exec, and a shell inside' '
	test_equal kubia-manual "$(kubectl exec kubia-manual -- hostname)" &&
	kubectl exec kubia-manual -- wget -qO- "http://$(field pod/kubia-manual .status.podIP):8080" >got &&
	test_equal "You'\''ve hit kubia-manual" "$(cat got)" &&
	printf "echo in \$HOSTNAME\nexit\n" | kubectl exec -i kubia-manual -- sh >got && # the image has no bash
	test_equal "in kubia-manual" "$(cat got)"
'

test_expect_success 'a pod is a machine: its containers share address and host name, not files' '
	create pod-emptydir &&
	ready pod/fortune &&
	test_equal "fortune fortune" "$(kubectl exec fortune -c html-generator -- hostname) $(kubectl exec fortune -c web-server -- hostname)" &&
	wait_for "kubectl exec fortune -c html-generator -- wget -qO- http://localhost:80/ | grep \"^Fortune number\"" &&
	kubectl exec fortune -c html-generator -- touch /only-here &&
	test_must_fail kubectl exec fortune -c web-server -- ls /only-here &&
	kubectl exec fortune -c html-generator -- ps >got &&
	test_equal "" "$(grep httpd got)" &&
	test_must_fail kubectl exec fortune -c html-generator -- httpd -f -p 80 2>err &&
	test_grep "Address already in use" err
'

test_expect_success 'pods reach each other by their addresses, without any gateway' '
	kubectl exec kubia-manual -- wget -qO- "http://$(field pod/fortune .status.podIP)/" >got &&
	test_grep "^Fortune number" got &&
	kubectl exec fortune -c web-server -- wget -qO- "http://$(field pod/kubia-manual .status.podIP):8080" >got &&
	test_equal "You'\''ve hit kubia-manual" "$(cat got)"
'

# kubectl run kubia --image=zou8944/kubia --port=8080 --generator=run/v1 made a ReplicationController; since 1.18
# there are no generators, and what kubectl run makes is a pod.
test_expect_success 'kubectl run kubia --image=zou8944/kubia --port=8080' '
	kubectl run kubia --image=zou8944/kubia --port=8080 &&
	ready pod/kubia &&
	test_equal "8080 kubia" "$(field pod/kubia ".spec.containers[0].ports[0].containerPort} {.metadata.labels.run")" &&
	test_equal "You'\''ve hit kubia" "$(hit kubia)" &&
	refused "unknown flag: --generator" kubectl run kubia --image=zou8944/kubia --port=8080 --generator=run/v1
'

test_expect_success 'a pod that nobody manages stays away when it is deleted' '
	kubectl delete pod kubia-manual >got &&
	test_grep "^pod \"kubia-manual\" deleted" got &&
	refused "pods \"kubia-manual\" not found" kubectl get pod kubia-manual &&
	kubectl delete po --all >got &&
	test_lines 2 got &&
	test_equal "" "$(names pods)"
'

end_book
