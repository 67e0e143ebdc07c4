#!/bin/sh
# The book on namespaces: made in two ways, filled, emptied, deleted with all that is in them.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia

test_expect_success 'the namespaces that are there' '
	kubectl get ns >got &&
	for ns in default kube-system; do
		test_grep "^$ns  *Active" got || return 1
	done &&
	kubectl get po --namespace kube-system >got 2>&1
'

test_expect_success 'from a file, and by name' '
	create namespace >got &&
	test_grep "^namespace/my-first-namespace created" got &&
	refused "namespaces \"my-first-namespace\" already exists" kubectl create namespace my-first-namespace &&
	kubectl create namespace custom-namespace &&
	kubectl get ns >got &&
	test_grep "^custom-namespace  *Active" got &&
	test_grep "^my-first-namespace  *Active" got
'

test_expect_success 'an object goes where -n says, or where its metadata says' '
	create pod &&
	kubectl create -f "$book/pod.yaml" -n custom-namespace &&
	manifest pod | sed "s/^metadata:/&\n  namespace: my-first-namespace/" | kubectl create -f - &&
	kubectl get po -A >got &&
	for ns in default custom-namespace my-first-namespace; do
		test_grep "^$ns  *kubia-manual " got &&
		ready -n $ns pod/kubia-manual || return 1
	done &&
	manifest pod | sed "s/^metadata:/&\n  namespace: my-first-namespace/" >there.yaml &&
	refused "the namespace from the provided object \"my-first-namespace\" does not match" kubectl create -f there.yaml -n custom-namespace
'

test_expect_success 'names are apart, but what runs is not' '
	there=$(kubectl -n custom-namespace get pod kubia-manual -o jsonpath={.status.podIP}) &&
	test_equal "You'\''ve hit kubia-manual" "$(kubectl exec kubia-manual -- wget -qO- http://$there:8080)"
'

test_expect_success 'deleting a namespace deletes its pods' '
	kubectl delete ns custom-namespace >got &&
	test_grep "namespace \"custom-namespace\" deleted" got &&
	refused "namespaces \"custom-namespace\" not found" kubectl get ns custom-namespace &&
	test_equal kubia-manual "$(names po)"
'

test_expect_success 'kubectl delete po --all keeps the namespace' '
	kubectl delete po --all -n my-first-namespace >got &&
	test_grep "pod \"kubia-manual\" deleted" got &&
	test_equal my-first-namespace "$(names ns my-first-namespace)" &&
	test_equal "" "$(names po -n my-first-namespace)" &&
	test_equal kubia-manual "$(names po)"
'

test_expect_success 'kubectl delete all --all: controllers, pods and services; the service kubernetes comes again' '
	create replicationcontroller &&
	have rc/kubia .status.readyReplicas 3 &&
	uid=$(field svc/kubernetes .metadata.uid) &&
	kubectl delete pod "$(names po -l app=kubia | cut -d" " -f1)" &&
	have rc/kubia .status.readyReplicas 3 && # deleted alone, a pod is replaced
	kubectl delete all --all >got &&
	test_grep "replicationcontroller \"kubia\" deleted" got &&
	test_grep "service \"kubernetes\" deleted" got &&
	test_grep "pod \"kubia-manual\" deleted" got &&
	wait_for "test_equal \"\" \"\$(names rc,po)\"" &&
	wait_for "kubectl get svc kubernetes" &&
	test "$uid" != "$(field svc/kubernetes .metadata.uid)"
'

end_book
