#!/bin/sh
# The book on ReplicationControllers, ReplicaSets and DaemonSets: what keeps pods running.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia v2

test_expect_success 'a ReplicationController makes its three pods' '
	create replicationcontroller >got &&
	test_grep "^replicationcontroller/kubia created" got &&
	have rc/kubia .status.readyReplicas 3 &&
	kubectl get replicationcontrollers >got &&
	test_grep "^NAME  *DESIRED  *CURRENT  *READY  *AGE" got &&
	kubectl get rc >got &&
	test_grep "^kubia  *3  *3  *3 " got &&
	kubectl describe rc kubia >got &&
	test_grep "3 Running / 0 Waiting / 0 Succeeded / 0 Failed" got &&
	test_equal 3 "$(count po -l app=kubia)"
'

test_expect_success 'a pod that is deleted is replaced' '
	one=$(names po -l app=kubia | cut -d" " -f1) &&
	kubectl delete pod $one &&
	have rc/kubia .status.readyReplicas 3 &&
	! names po | grep -w $one
'

test_expect_success 'the tie is the selector: a pod with another label is let go, and another made' '
	one=$(names po -l app=kubia | cut -d" " -f1) &&
	kubectl label pod $one type=special && # more labels do not matter
	kubectl label pod $one app=foo --overwrite &&
	wait_for "test_equal 3 \"\$(count po -l app=kubia)\"" &&
	have rc/kubia .status.readyReplicas 3 &&
	test_equal 4 "$(count po)" &&
	wait_for "test_equal \"\" \"\$(field pod/$one .metadata.ownerReferences)\"" &&
	kubectl delete pod $one &&
	test_equal 3 "$(count po)"
'

test_expect_success 'kubectl edit: the template is for the pods to come' '
	before=$(names po -l app=kubia) &&
	KUBE_EDITOR="sed -i '\''s,zou8944/kubia$,&:v2,'\''" kubectl edit rc kubia >got &&
	test_grep "^replicationcontroller/kubia edited" got &&
	test_equal zou8944/kubia:v2 "$(field rc/kubia ".spec.template.spec.containers[0].image")" &&
	test_equal "$before" "$(names po -l app=kubia)" &&
	kubectl delete pod ${before%% *} &&
	have rc/kubia .status.readyReplicas 3 &&
	kubectl get po -l app=kubia -o "jsonpath={range .items[*]}{.spec.containers[0].image}{\"\\n\"}{end}" | sort | uniq -c >got &&
	test_grep " 2 zou8944/kubia$" got &&
	test_grep " 1 zou8944/kubia:v2$" got
'

test_expect_success 'kubectl scale rc kubia --replicas' '
	kubectl scale rc kubia --replicas=5 &&
	have rc/kubia .status.readyReplicas 5 &&
	kubectl scale rc kubia --replicas=3 &&
	have rc/kubia .status.replicas 3 &&
	wait_for "test_equal 3 \"\$(count po -l app=kubia)\""
'

test_expect_success 'kubectl delete rc --cascade=false leaves the pods' '
	before=$(names po -l app=kubia) &&
	kubectl delete rc kubia --cascade=false 2>err &&
	test_grep "cascade=false is deprecated" err &&
	refused "replicationcontrollers \"kubia\" not found" kubectl get rc kubia &&
	test_equal "$before" "$(names po -l app=kubia)" &&
	wait_for "test -z \"\$(kubectl get po -o jsonpath={.items[*].metadata.ownerReferences})\""
'

test_expect_success 'a ReplicaSet takes over the pods that its selector finds' '
	create replicaset 2>err &&
	have rs/kubia .status.readyReplicas 3 &&
	kubectl get rs >got &&
	test_grep "^kubia  *3  *3  *3 " got &&
	test_equal "$before" "$(names po -l app=kubia)" &&
	test_equal "ReplicaSet ReplicaSet ReplicaSet" "$(kubectl get po -o "jsonpath={.items[*].metadata.ownerReferences[*].kind}")" &&
	kubectl delete pod "${before%% *}" &&
	have rs/kubia .status.readyReplicas 3
'

test_expect_success 'a selector of expressions finds the same' '
	before=$(names po -l app=kubia) &&
	kubectl delete rs kubia --cascade=orphan &&
	create replicaset-expressions &&
	have rs/kubia-expressions .status.readyReplicas 3 &&
	test_equal "$before" "$(names po -l app=kubia)"
'

test_expect_success 'operators In, NotIn, Exists, DoesNotExist, and none else' '
	manifest replicaset-expressions | sed "s/name: kubia-expressions/name: four/; s/- key: app/- {key: old, operator: DoesNotExist}\n      - {key: env, operator: NotIn, values: [prod]}\n      - {key: tier, operator: Exists}\n      &/
		s/        app: kubia/&\n        tier: front/" >four.yaml &&
	kubectl create -f four.yaml &&
	have rs/four .status.readyReplicas 3 &&
	test_equal 3 "$(count po -l tier=front)" &&
	kubectl delete rs four &&
	sed "s/operator: In/operator: Near/" four.yaml >bad.yaml &&
	refused "not a valid selector operator" kubectl create -f bad.yaml
'

test_expect_success 'with a ReplicaSet its pods go' '
	kubectl delete rs kubia-expressions &&
	wait_for "test_equal \"\" \"\$(names po)\""
'

test_expect_success 'a DaemonSet: no node has the label, so there is no pod' '
	create daemonset 2>err &&
	have ds/ssd-monitor .status.observedGeneration 1 &&
	kubectl get ds >got &&
	test_grep "^NAME  *DESIRED  *CURRENT  *READY  *UP-TO-DATE  *AVAILABLE  *NODE SELECTOR" got &&
	test_grep "^ssd-monitor  *0  *0  *0  *0  *0  *disk=ssd" got
'

test_expect_success 'a node with the label gets one, also a node that comes later' '
	kubectl label node n1 disk=ssd &&
	have ds/ssd-monitor .status.numberReady 1 &&
	test_equal n1 "$(kubectl get po -l app=ssd-monitor -o "jsonpath={.items[*].spec.nodeName}")" &&
	object "apiVersion: v1, kind: Node, metadata: {name: n2, labels: {disk: ssd, kubernetes.io/hostname: n2}}" | kubectl create -f - &&
	have ds/ssd-monitor .status.desiredNumberScheduled 2 &&
	wait_for "test_equal 2 \"\$(count po -l app=ssd-monitor)\"" &&
	kubectl delete node n2 && # its pod is not made anywhere else
	have ds/ssd-monitor .status.desiredNumberScheduled 1 &&
	kubectl delete po -l app=ssd-monitor --field-selector spec.nodeName!=n1 --force --grace-period=0 --wait=false &&
	wait_for "test_equal 1 \"\$(count po -l app=ssd-monitor)\""
'

test_expect_success 'the label goes, and with it the pod' '
	kubectl label node n1 disk=hdd --overwrite &&
	wait_for "test_equal \"\" \"\$(names po -l app=ssd-monitor)\"" &&
	have ds/ssd-monitor .status.desiredNumberScheduled 0 &&
	kubectl label node n1 disk=ssd --overwrite &&
	have ds/ssd-monitor .status.numberReady 1 &&
	kubectl delete ds ssd-monitor &&
	wait_for "test_equal \"\" \"\$(names po)\""
'

end_book
