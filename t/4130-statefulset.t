#!/bin/sh
# StatefulSets: names, order, identities, partitions, history.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

# db NAME REPLICAS [SPEC-MEMBERS-AS-YAML-LINES]
db()
{
	cat <<-EOF
	apiVersion: apps/v1
	kind: StatefulSet
	metadata: {name: $1}
	spec:
	  serviceName: $1
	  replicas: $2
	  selector: {matchLabels: {app: $1}}
	  ${3:-}
	  template:
	    metadata: {labels: {app: $1}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers:
	      - {name: c, image: localhost/demo:1, command: [sleep, "9999"], env: [{name: V, value: "1"}]}
	EOF
}

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

rolled() # STATEFULSET
{
	kubectl rollout status "sts/$1" --timeout=30s
}

values() # APP: what each pod's V is, in order of names
{
	kubectl get pods -l "app=$1" -o 'jsonpath={range .items[*]}{.spec.containers[0].env[0].value} {end}'
}

test_expect_success 'pods are made in order, each with its name' '
	start_server &&
	import_demo &&
	wait_node &&
	{ kubectl_bg get pods -l app=db -w --output-watch-events --no-headers >watched & } &&
	db db 3 | kubectl apply -f - &&
	rolled db &&
	kill $! &&
	test_equal "db-0 db-1 db-2" "$(field pods ".items[*].metadata.name")" &&
	awk "\$1 == \"ADDED\" { print \$2 }" watched >order &&
	printf "db-%s\n" 0 1 2 >want &&
	test_cmp want order &&
	kubectl get sts db >got &&
	test_grep "^db  *3/3 " got &&
	test_equal "db-1 db db-1 1" "$(field pod/db-1 ".spec.hostname} {.spec.subdomain} {.metadata.labels.statefulset\.kubernetes\.io/pod-name} {.metadata.labels.apps\.kubernetes\.io/pod-index")" &&
	rev=$(field sts/db .status.currentRevision) &&
	test_equal "$rev $rev 3 3 3 3" "$(field sts/db ".status.updateRevision} {.status.currentRevision} {.status.replicas} {.status.currentReplicas} {.status.updatedReplicas} {.status.availableReplicas")" &&
	test_equal "$rev" "$(field pod/db-0 .metadata.labels.controller-revision-hash)" &&
	test_equal db-2 "$(kubectl exec db-2 -- hostname)" &&
	kubectl describe sts db >got &&
	test_grep "Normal  *SuccessfulCreate .*statefulset-controller  *create Pod db-0 in StatefulSet db successful" got
'

test_expect_success 'a deleted pod comes back under its name; scaling down takes the last' '
	uid=$(field pod/db-1 .metadata.uid) &&
	kubectl delete pod db-1 &&
	wait_for "test \"\$(field sts/db .status.readyReplicas)\" = 3 && test \"\$(field pod/db-1 .metadata.uid)\" != $uid" &&
	kubectl scale sts db --replicas=1 &&
	wait_for "test \"\$(field pods \".items[*].metadata.name\")\" = db-0" &&
	kubectl scale sts db --replicas=3 &&
	rolled db
'

test_expect_success 'a partition holds the others back; undo; history' '
	kubectl patch sts db -p "{\"spec\":{\"updateStrategy\":{\"rollingUpdate\":{\"partition\":2}}}}" &&
	kubectl set env sts db V=2 &&
	wait_for "test \"\$(values db)\" = \"1 1 2 \"" &&
	rolled db >got &&
	test_grep "partitioned roll out complete: 1 new pods have been updated" got &&
	kubectl delete pod db-0 db-2 &&
	wait_for "test \"\$(field sts/db .status.readyReplicas)\" = 3 && test \"\$(values db)\" = \"1 1 2 \"" &&
	kubectl patch sts db -p "{\"spec\":{\"updateStrategy\":{\"rollingUpdate\":{\"partition\":0}}}}" &&
	wait_for "test \"\$(values db)\" = \"2 2 2 \"" &&
	rolled db &&
	wait_for "test \"\$(field sts/db .status.currentRevision)\" = \"\$(field sts/db .status.updateRevision)\"" &&
	kubectl rollout history sts db >got &&
	test_grep "^2 " got &&
	kubectl rollout history sts db --revision=1 >got &&
	test_grep "V:[[:space:]]*1" got &&
	kubectl rollout undo sts db &&
	wait_for "test \"\$(values db)\" = \"1 1 1 \"" &&
	rolled db &&
	test_equal "2 3" "$(kubectl get controllerrevisions -o "jsonpath={.items[*].revision}" | tr " " "\n" | sort | xargs)"
'

test_expect_success 'a bad update stops at the first, and is mended' '
	kubectl set image sts db c=localhost/none:1 &&
	wait_for "kubectl get pod db-2 | grep ImagePull" &&
	test_equal 2 "$(field sts/db .status.readyReplicas)" &&
	kubectl rollout undo sts db &&
	kubectl delete pod db-2 &&
	rolled db &&
	kubectl rollout restart sts db &&
	rolled db &&
	kubectl delete sts db &&
	wait_for "test -z \"\$(kubectl get pods,controllerrevisions -l app=db -o name)\""
'

test_expect_success 'Parallel, ordinals.start, OnDelete, minReadySeconds' '
	db par 3 "podManagementPolicy: Parallel
	  ordinals: {start: 5}
	  updateStrategy: {type: OnDelete}
	  minReadySeconds: 1" | sed "s/^\t  /  /" >par.yaml &&
	kubectl apply -f par.yaml &&
	wait_for "test \"\$(field sts/par .status.availableReplicas)\" = 3" &&
	test_equal "par-5 par-6 par-7" "$(kubectl get pods -l app=par -o "jsonpath={.items[*].metadata.name}")" &&
	kubectl set env sts par V=2 &&
	wait_for "test \"\$(field sts/par .status.observedGeneration)\" = 2" &&
	kubectl delete pod par-6 &&
	wait_for "test \"\$(values par)\" = \"1 2 1 \"" &&
	kubectl delete sts par --cascade=orphan &&
	kubectl get pods -l app=par -o name >before &&
	kubectl apply -f par.yaml &&
	wait_for "test \"\$(field sts/par .status.availableReplicas)\" = 3" &&
	kubectl get pods -l app=par -o name >now &&
	test_cmp before now &&
	kubectl delete sts par
'

test_expect_success 'claims are made of their templates, one for each pod' '
	db vol 1 | sed "s/^  serviceName.*/&\n  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}]/" |
		kubectl apply -f - &&
	wait_for "kubectl get pvc data-vol-0" &&
	wait_for "test \"\$(field pod/vol-0 \".spec.volumes[?(@.name==\\\"data\\\")].persistentVolumeClaim.claimName\")\" = data-vol-0" &&
	test_equal vol "$(field pvc/data-vol-0 .metadata.labels.app)" &&
	kubectl delete sts vol &&
	wait_for "! kubectl get pod vol-0" &&
	kubectl get pvc data-vol-0 &&
	kubectl delete pvc --all &&
	wait_for "test -z \"\$(kubectl get pods -o name)\""
'

claims() # NAME REPLICAS POLICY-MEMBERS: a set with a claim for each pod
{
	db "$1" "$2" | sed "s/^  serviceName.*/&\n  persistentVolumeClaimRetentionPolicy: {$3}\n  podManagementPolicy: Parallel\n  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}]/" |
		kubectl apply -f -
}

owners() # CLAIM: kind and name of the controllers that own it
{
	kubectl get pvc "$1" -o jsonpath='{range .metadata.ownerReferences[*]}{.kind}/{.name} {.controller} {end}'
}

test_expect_success 'claims stay, or go with the set, or with a pod that is one too many' '
	claims keep 1 "whenDeleted: Retain, whenScaled: Retain" &&
	claims del 2 "whenDeleted: Delete, whenScaled: Retain" &&
	claims scale 2 "whenDeleted: Retain, whenScaled: Delete" &&
	claims both 2 "whenDeleted: Delete, whenScaled: Delete" &&
	for s in keep del scale both; do rolled $s || return 1; done &&
	for s in del-0 del-1 both-0 both-1; do
		wait_for "test \"\$(owners data-$s)\" = \"StatefulSet/${s%-*} true \"" || return 1
	done &&
	test_equal "" "$(owners data-scale-0)$(owners data-scale-1)$(owners data-keep-0)" &&
	kubectl describe sts del >got &&
	test_grep "SuccessfulUpdate .*update Pod del-0 in StatefulSet del successful" got &&
	uid=$(field pvc/data-scale-1 .metadata.uid) &&
	kubectl scale sts del scale both --replicas=1 &&
	for c in scale-1 both-1; do
		wait_for "! kubectl get pvc data-$c" || return 1
	done &&
	wait_for "! kubectl get pod del-1" &&
	test_equal "StatefulSet/del true " "$(owners data-del-1)" &&
	kubectl scale sts scale --replicas=2 && rolled scale &&
	test "$uid" != "$(field pvc/data-scale-1 .metadata.uid)" &&
	kubectl patch sts keep -p "{\"spec\":{\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":\"Delete\"}}}" &&
	wait_for "test \"\$(owners data-keep-0)\" = \"StatefulSet/keep true \"" &&
	kubectl patch sts keep -p "{\"spec\":{\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":\"Retain\"}}}" &&
	wait_for "test -z \"\$(owners data-keep-0)\"" &&
	kubectl delete sts keep del scale both &&
	wait_for "test \"\$(kubectl get pvc -o \"jsonpath={.items[*].metadata.name}\")\" = \"data-keep-0 data-scale-0 data-scale-1\"" &&
	kubectl delete pvc --all &&
	wait_for "test -z \"\$(kubectl get pods -o name)\""
'

test_expect_success 'a pod that failed is replaced, one that was evicted too' '
	db bad 2 | kubectl apply -f - && rolled bad &&
	uid=$(field pod/bad-0 .metadata.uid) &&
	kubectl patch pod bad-0 --subresource=status -p "{\"status\":{\"phase\":\"Failed\",\"reason\":\"Evicted\"}}" &&
	wait_for "test \"\$(field pod/bad-0 .metadata.uid)\" != \"$uid\" && kubectl get pod bad-0" &&
	rolled bad &&
	wait_for "kubectl describe sts bad | grep \"RecreatingFailedPod .*StatefulSet default/bad is recreating failed Pod bad-0\"" &&
	kubectl delete sts bad && wait_for "test -z \"\$(kubectl get pods -o name)\"" &&
	killall_pods
'

test_done
