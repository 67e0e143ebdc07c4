#!/bin/sh
# The book on labels, selectors, nodes that are chosen by label, and annotations.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia

test_expect_success 'labels of the manifest, shown in two ways' '
	create pod-labels &&
	kubectl get pods --show-labels >got &&
	test_grep "^kubia-manual .* creatingMethod=manual,env=prod$" got &&
	kubectl get pods -L creatingMethod,env >got &&
	test_grep "^NAME .* CREATINGMETHOD  *ENV$" got &&
	test_grep "^kubia-manual .* manual  *prod$" got
'

test_expect_success 'kubectl label adds one, and changes one only with --overwrite' '
	kubectl label po kubia-manual creation_method=manual >got &&
	test_grep "pod/kubia-manual labeled" got &&
	kubectl label po kubia-manual enb=debug --overwrite && # the book: --override
	refused "'\''env'\'' already has a value (prod), and --overwrite is false" kubectl label po kubia-manual env=debug &&
	kubectl label po kubia-manual env=debug --overwrite &&
	kubectl get pods -L creation_method,env,enb >got &&
	test_grep "^kubia-manual .* manual  *debug  *debug$" got
'

test_expect_success 'selectors: equality, existence, sets, several at once' '
	kubectl run plain --image=zou8944/kubia && # labelled run=plain and nothing else
	kubectl run dev --image=zou8944/kubia --labels=env=dev,creation_method=manual &&
	test_equal "dev kubia-manual" "$(names po -l creation_method=manual)" &&
	test_equal "plain" "$(names po -l "creation_method!=manual")" &&
	test_equal "dev kubia-manual" "$(names po -l env)" &&
	test_equal "plain" "$(names po -l "!env")" &&
	test_equal "dev" "$(names po -l "env in (prod, dev)")" &&
	test_equal "kubia-manual plain" "$(names po -l "env notin (prod, dev)")" &&
	test_equal "dev" "$(names po -l "creation_method=manual, env in (prod, dev)")" &&
	test_equal "" "$(names po -l "creation_method=manual, !env")" &&
	refused "unable to parse requirement" kubectl get po -l "env in prod, dev"
'

test_expect_success 'a nodeSelector: the pod waits for a node with the label' '
	create pod-gpu &&
	wait_for "kubectl describe pod kubia-gpu | grep \"FailedScheduling .*0/1 nodes are available: 1 node(s) didn.t match Pod.s node affinity/selector\"" &&
	test_equal "Pending" "$(field pod/kubia-gpu .status.phase)" &&
	kubectl label node n1 gpu=true &&
	test_equal n1 "$(names nodes -l gpu=true)" &&
	ready pod/kubia-gpu &&
	test_equal n1 "$(field pod/kubia-gpu .spec.nodeName)"
'

test_expect_success 'an annotation: shown by describe, and nothing is selected by it' '
	kubectl annotate pod kubia-manual hello="true" &&
	kubectl describe pod kubia-manual >got &&
	test_grep "^Annotations:  *hello: true$" got &&
	test_equal "" "$(names po -l hello)"
'

# The book says 256 KB. It is the sum of all of an object: 256 KiB.
test_expect_success 'annotations hold far more than labels, but not everything' '
	printf "metadata: {annotations: {big: %s}}\n" "$(head -c 200000 /dev/zero | tr "\0" x)" >big.yaml &&
	kubectl patch pod kubia-manual --patch-file big.yaml &&
	printf "metadata: {annotations: {more: %s}}\n" "$(head -c 70000 /dev/zero | tr "\0" x)" >more.yaml &&
	refused "Too long: may not be more than 262144 bytes" kubectl patch pod kubia-manual --patch-file more.yaml &&
	printf "metadata: {labels: {big: %s}}\n" "$(head -c 64 /dev/zero | tr "\0" x)" >label.yaml &&
	refused "must be no more than 63" kubectl patch pod kubia-manual --patch-file label.yaml
'

test_expect_success 'pods are deleted by label' '
	kubectl delete po -l creation_method=manual >got &&
	test_grep "pod \"kubia-manual\" deleted" got &&
	test_grep "pod \"dev\" deleted" got &&
	test_equal "kubia-gpu plain" "$(names po)"
'

end_book
