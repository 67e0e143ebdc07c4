#!/bin/sh
# ReplicationController and ReplicaSet: replicas that are made, replaced, let go and
# adopted, in the order and with the words of Kubernetes.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

# set NAME REPLICAS [SPEC-MEMBERS [POD-SPEC-MEMBERS [KIND]]]
set_of()
{
	cat <<-EOF
	apiVersion: apps/v1
	kind: ReplicaSet
	metadata: {name: $1}
	spec:
	  replicas: $2
	  selector: {matchLabels: {app: $1}}${3:+
	  $3}
	  template:
	    metadata: {labels: {app: $1}}
	    spec: {terminationGracePeriodSeconds: 0${4:+, $4}, containers: [{name: c, image: localhost/demo:1, command: [sleep, "9999"]}]}
	EOF
}

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

ready() # RESOURCE N
{
	wait_for "test \"\$(field $1 .status.readyReplicas)\" = $2"
}

pods() # APP: names of those that are not to go
{
	kubectl get pods -l "app=$1" --no-headers -o custom-columns=N:.metadata.name,D:.metadata.deletionTimestamp |
		sed -n 's/ *<none>$//p' | sort
}

test_expect_success 'a ReplicationController of the book makes its pods' '
	start_server &&
	import_demo &&
	wait_node &&
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: ReplicationController
	metadata: {name: kubia}
	spec:
	  replicas: 3
	  selector: {app: kubia}
	  template:
	    metadata: {labels: {app: kubia}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers: [{name: kubia, image: localhost/demo:1, command: [sleep, "9999"]}]
	EOF
	ready rc/kubia 3 &&
	kubectl get rc kubia >got &&
	test_grep "^kubia  *3  *3  *3  *" got &&
	kubectl describe rc kubia >got &&
	test_grep "Normal  *SuccessfulCreate .*replication-controller  *Created pod: kubia-[a-z0-9]*$" got &&
	test_grep "3 Running / 0 Waiting / 0 Succeeded / 0 Failed" got &&
	pods kubia >before &&
	test_lines 3 before &&
	first=$(head -n 1 before) &&
	test_equal "v1 ReplicationController kubia true true" "$(kubectl get pod $first -o \
		jsonpath="{range .metadata.ownerReferences[*]}{.apiVersion} {.kind} {.name} {.controller} {.blockOwnerDeletion}{end}")" &&
	test_equal kubia- "$(field pod/$first .metadata.generateName)"
'

test_expect_success 'a pod that is deleted is replaced' '
	kubectl delete pod $first &&
	wait_for "pods kubia >now && test_lines 3 now && ! grep $first now" &&
	ready rc/kubia 3
'

test_expect_success 'a relabelled pod is let go and replaced, and taken back' '
	other=$(pods kubia | head -n 1) &&
	kubectl label pod $other type=special &&
	kubectl label pod $other app=foo --overwrite &&
	wait_for "pods kubia >now && test_lines 3 now && ! grep $other now" &&
	wait_for "test -z \"\$(field pod/$other .metadata.ownerReferences)\"" &&
	ready rc/kubia 3 &&
	kubectl label pod $other app=kubia --overwrite &&
	wait_for "test_equal 3 \"\$(pods kubia | wc -l)\"" &&
	kubectl delete pod -l app=foo
'

test_expect_success 'scale down and up; events tell' '
	kubectl scale rc kubia --replicas=1 &&
	wait_for "pods kubia >now && test_lines 1 now" &&
	wait_for "kubectl describe rc kubia | grep \"SuccessfulDelete .*Deleted pod: kubia-\"" &&
	wait_for "test \"\$(field rc/kubia .status.replicas)\" = 1" &&
	kubectl scale rc kubia --replicas=2 --current-replicas=1 &&
	ready rc/kubia 2 &&
	test_equal "$(field rc/kubia .metadata.generation)" "$(field rc/kubia .status.observedGeneration)"
'

test_expect_success 'deleted with --cascade=orphan it leaves its pods, and a new one adopts them' '
	pods kubia >before &&
	kubectl get rc kubia -o json >rc.json &&
	kubectl delete rc kubia --cascade=orphan &&
	wait_for "test -z \"\$(field pod/$(head -n 1 before) .metadata.ownerReferences)\"" &&
	kubectl create -f rc.json &&
	ready rc/kubia 2 &&
	pods kubia >now &&
	test_cmp before now &&
	test_equal "$(field rc/kubia .metadata.uid)" "$(field pod/$(head -n 1 before) ".metadata.ownerReferences[0].uid")" &&
	kubectl delete rc kubia &&
	wait_for "pods kubia >now && test_lines 0 now"
'

test_expect_success 'a ReplicaSet with matchExpressions adopts what it selects, and not what is owned' '
	kubectl run lonely --image=localhost/demo:1 --labels=app=web,tier=x \
		--overrides="{\"spec\":{\"terminationGracePeriodSeconds\":0}}" -- sleep 9999 &&
	kubectl apply -f - <<-EOF &&
	apiVersion: apps/v1
	kind: ReplicaSet
	metadata: {name: web}
	spec:
	  replicas: 3
	  selector: {matchExpressions: [{key: app, operator: In, values: [web, www]}, {key: old, operator: DoesNotExist}]}
	  template:
	    metadata: {labels: {app: web, extra: "1"}, annotations: {note: hello}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers: [{name: c, image: localhost/demo:1, command: [sleep, "9999"]}]
	EOF
	ready rs/web 3 &&
	pods web >now &&
	test_lines 3 now &&
	test_grep "^lonely$" now &&
	wait_for "test \"\$(field rs/web .status.fullyLabeledReplicas)\" = 2" &&
	test_equal "ReplicaSet web" "$(field pod/lonely ".metadata.ownerReferences[0].kind") $(field pod/lonely ".metadata.ownerReferences[0].name")" &&
	test_equal hello "$(field pod/$(grep -v lonely now | head -n 1) .metadata.annotations.note)" &&
	test_equal 0 "$(field rs/web .status.terminatingReplicas)"
'

test_expect_success 'the cheapest pod goes first, one that is not ready before' '
	cheap=$(pods web | grep -v lonely | head -n 1) &&
	kubectl annotate pod $cheap controller.kubernetes.io/pod-deletion-cost=-5 &&
	kubectl scale rs web --replicas=2 &&
	wait_for "pods web >now && test_lines 2 now" &&
	test_grep -v $cheap now &&
	! grep $cheap now &&
	kubectl delete rs web &&
	wait_for "pods web >now && test_lines 0 now"
'

test_expect_success 'minReadySeconds: ready at once, available later' '
	set_of slow 1 "minReadySeconds: 2" | kubectl apply -f - &&
	ready rs/slow 1 &&
	test_equal "" "$(field rs/slow .status.availableReplicas)" &&
	wait_for "test \"\$(field rs/slow .status.availableReplicas)\" = 1" &&
	kubectl delete rs slow
'

test_expect_success 'a quota that blocks: the reason is on the object, and it goes on when it may' '
	kubectl create namespace tight &&
	kubectl -n tight create quota q --hard=pods=2 &&
	wait_for "kubectl -n tight get quota q -o jsonpath={.status.hard.pods} | grep 2" &&
	set_of much 5 | kubectl -n tight apply -f - &&
	wait_for "kubectl -n tight get rs much -o jsonpath={.status.conditions[0].reason} | grep FailedCreate" &&
	kubectl -n tight get rs much -o "jsonpath={.status.conditions[0].type} {.status.conditions[0].status} {.status.conditions[0].message}" >got &&
	test_grep "^ReplicaFailure True pods \"much-[a-z0-9]*\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2$" got &&
	kubectl -n tight describe rs much >got &&
	test_grep "Warning  *FailedCreate .*replicaset-controller  *.*Error creating: pods \"much-" got &&
	test_equal 2 "$(kubectl -n tight get rs much -o jsonpath={.status.replicas})" &&
	test "$(kubectl -n tight get events --field-selector reason=FailedCreate -o name | wc -l)" -le 20 &&
	kubectl -n tight delete quota q &&
	kubectl -n tight delete pod --all --wait=false &&
	wait_for -t 40 "test \"\$(kubectl -n tight get rs much -o jsonpath={.status.replicas})\" = 5" &&
	wait_for "test -z \"\$(kubectl -n tight get rs much -o jsonpath={.status.conditions})\"" &&
	kubectl delete namespace tight --wait=false
'

test_expect_success 'two that select the same share nothing; a selector that matches nothing makes nothing' '
	set_of twin 2 | kubectl apply -f - &&
	set_of twin 2 | sed "s/name: twin}/name: double}/" | kubectl apply -f - &&
	ready rs/twin 2 &&
	ready rs/double 2 &&
	pods twin >now &&
	test_lines 4 now &&
	kubectl delete rs twin double &&
	wait_for "pods twin >now && test_lines 0 now" &&
	set_of none 1 | sed "s/matchLabels: {app: none}/matchLabels: {app: other}/" >none.yaml &&
	refused "selector" kubectl apply -f none.yaml
'

test_expect_success 'events that differ in a name only are combined from the tenth on' '
	set_of many 15 "" "nodeSelector: {no: where}" | kubectl apply -f - &&
	wait_for "test \"\$(field rs/many .status.replicas)\" = 15" &&
	wait_for "kubectl get events | grep \"SuccessfulCreate .*(combined from similar events): Created pod: many-\"" &&
	test_equal 10 "$(kubectl get events --field-selector involvedObject.name=many,reason=SuccessfulCreate -o name | wc -l)" &&
	kubectl delete rs many
'

test_expect_success 'an owner that goes in mid-work leaves nothing behind' '
	set_of gone 20 "" "nodeSelector: {no: where}" | kubectl apply -f - &&
	kubectl delete rs gone --wait=false &&
	wait_for "! kubectl get rs gone" &&
	wait_for "pods gone >now && test_lines 0 now"
'

test_expect_success 'a hundred thousand replicas come in bursts, with few events, and others are served' '
	set_of flood 100000 "" "schedulingGates: [{name: example.com/wait}]" | kubectl apply -f - &&
	wait_for "test \"\$(field rs/flood .status.replicas)\" -ge 1000" &&
	set_of small 2 | kubectl apply -f - &&
	ready rs/small 2 &&
	test "$(field rs/flood .status.replicas)" -lt 100000 &&
	test "$(kubectl get events --field-selector involvedObject.name=flood -o name | wc -l)" -le 20 &&
	kubectl scale rs flood --replicas=0 &&
	wait_for -t 60 "test \"\$(field rs/flood .status.replicas)\" = 0" &&
	kubectl delete rs flood small
'

test_expect_success 'restarted, the server goes on where it was' '
	set_of still 2 | kubectl apply -f - &&
	ready rs/still 2 &&
	pods still >before &&
	stop_server &&
	start_server &&
	kubectl delete pod --force "$(head -n 1 before)" &&
	ready rs/still 2 &&
	wait_for "pods still >now && test_lines 2 now && ! grep $(head -n 1 before) now" &&
	kubectl delete rs still &&
	wait_for "test -z \"\$(kubectl get pods -o name)\"" &&
	killall_pods
'

test_done
