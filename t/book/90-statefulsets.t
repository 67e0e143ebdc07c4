#!/bin/sh
# The book on StatefulSets: pods with names and volumes of their own.
. "${srcdir:-.}/t/book/lib.sh"
test_needs dig
start_book kubia v2 dnsutils

claims() # name, state and volume of each claim
{
	kubectl get pvc -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.spec.volumeName}{"\n"}{end}' | sort
}

# The Service that gives the pods their names in the DNS.
test_expect_success 'pods one after the other, each only when the one before runs' '
	manifest service-headless | sed "s/name: kubia-headless/name: kubia/" | kubectl create -f - &&
	{ kubectl_bg get po -l app=kubia -w --output-watch-events -o "jsonpath={.type} {.object.metadata.name} {.object.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}" >watched & } &&
	watcher=$! &&
	test_when_finished "kill $watcher; wait $watcher" &&
	create statefulset 2>err &&
	test_grep "Warning: apps/v1beta1 StatefulSet is deprecated" err &&
	have sts/kubia .status.readyReplicas 2 &&
	wait_for "grep \"kubia-1 True\" watched" &&
	grep -n "kubia-0 True\|ADDED kubia-1" watched | head -n 1 >got &&
	test_grep "kubia-0 True" got &&
	kubectl get po >got &&
	test_grep "^kubia-0  *1/1  *Running" got &&
	test_grep "^kubia-1  *1/1  *Running" got &&
	kubectl get statefulset >got &&
	test_grep "^kubia  *2/2 " got
'

test_expect_success 'names: of the pod, the host, below the Service' '
	test_equal "kubia-1 kubia" "$(field pod/kubia-1 ".spec.hostname} {.spec.subdomain")" &&
	test_equal kubia-1 "$(kubectl exec kubia-1 -- hostname)" &&
	test_equal kubia-1.kubia.default.svc.cluster.local "$(kubectl exec kubia-1 -- hostname -f)" &&
	test_equal "You'\''ve hit kubia-0" "$(hit kubia-0)" &&
	test_equal "You'\''ve hit kubia-1" "$(hit kubia-1)"
'

test_expect_success 'a claim and a volume for each pod' '
	claims >before &&
	test_lines 2 before &&
	test_grep "^data-kubia-0 Bound pvc-" before &&
	test_grep "^data-kubia-1 Bound pvc-" before &&
	test_equal data-kubia-1 "$(field pod/kubia-1 ".spec.volumes[?(@.name==\"data\")].persistentVolumeClaim.claimName")" &&
	for pod in kubia-0 kubia-1; do
		kubectl exec $pod -- sh -c "echo of $pod >/var/data/kubia.txt" || return 1
	done
'

test_expect_success 'kubectl proxy, and the path of a certain pod in the API' '
	{ kubectl_bg proxy >proxy & } &&
	proxy=$! &&
	test_when_finished "kill $proxy; wait $proxy" &&
	wait_for "grep \"Starting to serve on 127.0.0.1:8001\" proxy" &&
	test_equal "You'\''ve hit kubia-0" "$(curl -sS 127.0.0.1:8001/api/v1/namespaces/default/pods/kubia-0/proxy/)" &&
	test_equal "You'\''ve hit kubia-1" "$(curl -sS 127.0.0.1:8001/api/v1/namespaces/default/pods/kubia-1/proxy/)" &&
	test_equal "You'\''ve hit kubia-0" "$(curl -sS -X POST -d "Hey there! This greeting was submitted to kubia-0." \
		127.0.0.1:8001/api/v1/namespaces/default/pods/kubia-0/proxy/)"
'

test_expect_success 'the others are found by dig SRV' '
	kubectl run srvlookup --image=tutum/dnsutils --restart=Never -- sleep 6000 &&
	ready pod/srvlookup &&
	kubectl exec srvlookup -- dig SRV kubia.default.svc.cluster.local >got &&
	test_grep "^kubia.default.svc.cluster.local..*IN.*SRV.*kubia-0.kubia.default.svc.cluster.local." got &&
	test_grep "^kubia.default.svc.cluster.local..*IN.*SRV.*kubia-1.kubia.default.svc.cluster.local." got &&
	test_grep "^kubia-0.kubia.default.svc.cluster.local..*IN.*A.*$(field pod/kubia-0 .status.podIP)" got &&
	test_equal "$(field pod/kubia-1 .status.podIP)" "$(kubectl exec srvlookup -- dig +short kubia-1.kubia.default.svc.cluster.local)" &&
	kubectl delete pod srvlookup --grace-period=1
'

test_expect_success 'a pod that is deleted comes again: its name, its volume, its data' '
	uid=$(field pod/kubia-0 .metadata.uid) &&
	kubectl delete po kubia-0 &&
	wait_for "test \"\$(field pod/kubia-0 .metadata.uid)\" != $uid && test -n \"\$(field pod/kubia-0 .metadata.uid)\"" &&
	ready pod/kubia-0 &&
	test_equal kubia-0 "$(kubectl exec kubia-0 -- hostname)" &&
	test_equal "of kubia-0" "$(kubectl exec kubia-0 -- cat /var/data/kubia.txt)" &&
	claims >now &&
	test_cmp before now
'

test_expect_success 'scaled up: the next number; scaled down: the highest goes first, one at a time' '
	kubectl scale statefulset kubia --replicas=3 &&
	have sts/kubia .status.readyReplicas 3 &&
	test_equal "kubia-0 kubia-1 kubia-2" "$(names po)" &&
	{ kubectl_bg get po -l app=kubia -w --output-watch-events -o "jsonpath={.type} {.object.metadata.name} {.object.metadata.deletionTimestamp}{\"\\n\"}" >watched & } &&
	watcher=$! &&
	test_when_finished "kill $watcher; wait $watcher" &&
	wait_for "test_lines 3 watched" &&
	kubectl scale statefulset kubia --replicas=1 &&
	wait_for "test_equal 2 \"\$(grep -c ^DELETED watched)\"" &&
	grep "^MODIFIED.*T.*Z$\|^DELETED" watched | cut -d" " -f1,2 | uniq >got &&
	printf "%s\n" "MODIFIED kubia-2" "DELETED kubia-2" "MODIFIED kubia-1" "DELETED kubia-1" >want &&
	test_cmp want got &&
	test_equal kubia-0 "$(names po)"
'

test_expect_success 'the claims stay, and are there when their pods come again' '
	claims >now &&
	test_lines 3 now &&
	test_grep "$(grep data-kubia-1 before)" now &&
	kubectl scale statefulset kubia --replicas=2 &&
	have sts/kubia .status.readyReplicas 2 &&
	test_equal "of kubia-1" "$(kubectl exec kubia-1 -- cat /var/data/kubia.txt)" &&
	claims >again &&
	test_cmp now again
'

# An apps/v1beta1 StatefulSet changes its pods when they are deleted, not before.
test_expect_success 'kubectl edit: a new image, for the pods to come' '
	KUBE_EDITOR="sed -i '\''s,image: zou8944/kubia$,&:v2,'\''" kubectl edit statefulset kubia &&
	have sts/kubia .status.observedGeneration "$(field sts/kubia .metadata.generation)" &&
	test_equal "You'\''ve hit kubia-0" "$(hit kubia-0)" &&
	kubectl delete po kubia-0 kubia-1 &&
	have sts/kubia .status.updatedReplicas 2 &&
	have sts/kubia .status.readyReplicas 2 &&
	test_equal "This is v2 running in pod kubia-0" "$(hit kubia-0)" &&
	test_equal "of kubia-1" "$(kubectl exec kubia-1 -- cat /var/data/kubia.txt)"
'

# At most one of a name. Here the pod is on a node that is only an object: nobody there says that it has ended.
test_expect_success 'a pod of which nothing is known is not made a second time, until it is deleted by force' '
	object "apiVersion: v1, kind: Node, metadata: {name: silent, labels: {disk: none}}" | kubectl create -f - &&
	manifest statefulset | sed "s/^  name: kubia/&-lost/; s/replicas: 2/replicas: 1/; s/app: kubia/&-lost/; s/^    spec:/&\n      nodeName: silent/
		/volumeMounts/,\$d" | kubectl create -f - &&
	wait_for "kubectl get po kubia-lost-0" &&
	uid=$(field pod/kubia-lost-0 .metadata.uid) &&
	kubectl delete po kubia-lost-0 --wait=false &&
	wait_for "kubectl get po kubia-lost-0 | grep Terminating" &&
	kubectl scale statefulset kubia-lost --replicas=2 &&
	have sts/kubia-lost .status.observedGeneration "$(field sts/kubia-lost .metadata.generation)" &&
	test_equal kubia-lost-0 "$(kubectl get po -l app=kubia-lost -o "jsonpath={.items[*].metadata.name}")" &&
	test_equal "$uid" "$(field pod/kubia-lost-0 .metadata.uid)" &&
	kubectl delete po kubia-lost-0 --force --grace-period=0 &&
	wait_for "test \"\$(field pod/kubia-lost-0 .metadata.uid)\" != $uid && test -n \"\$(field pod/kubia-lost-0 .metadata.uid)\"" &&
	kubectl delete statefulset kubia-lost &&
	kubectl delete node silent &&
	kubectl delete po -l app=kubia-lost --force --grace-period=0
'

test_expect_success 'deleted, it leaves its claims; they go by hand, and the data with them' '
	kubectl delete statefulset kubia &&
	wait_for "test_equal \"\" \"\$(names po)\"" &&
	claims >again &&
	test_cmp now again &&
	kubectl delete pvc --all &&
	wait_for "test_equal \"\" \"\$(names pv)\"" &&
	wait_for "test -z \"\$(ls -A \"$DATA/storage\")\""
'

end_book
