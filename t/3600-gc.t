#!/bin/sh
# The garbage collector, with real kubectl: background, foreground and orphan,
# several owners, circles, owners that are not there or elsewhere; and what the
# API makes of options for deletion. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

# owner NAME [NAMESPACE]: makes a ConfigMap, prints its uid
owner()
{
	kubectl -n "${2:-default}" create configmap "$1" -o jsonpath="{.metadata.uid}"
}

# dependent NAME REFERENCE...: each "NAME UID [BLOCK]"
dependent()
{
	{
		printf "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  ownerReferences:\n" "$1"
		shift
		for ref; do
			set -- $ref
			printf "  - {apiVersion: v1, kind: ConfigMap, name: '%s', uid: '%s', blockOwnerDeletion: %s}\n" \
				"$1" "$2" "${3:-false}"
		done
	} >manifest.yaml && kubectl create -f manifest.yaml
}

# gone NAME..., there NAME...
gone()
{
	wait_for "! kubectl get configmap -o name | grep -E '^configmap/($(echo "$*" | tr " " "|"))\$'"
}

there()
{
	for name; do
		kubectl get configmap "$name" -o name || return 1
	done
}

# A change made after another was seen to be worked off: whoever was to go is gone by then.
settled()
{
	uid=$(owner settle) && dependent settle-d "settle $uid" && kubectl delete configmap settle && gone settle-d
}

test_expect_success 'start the server' '
	start_server --disable-agent
'

test_expect_success 'background: the owner goes at once, its dependents after it, and theirs' '
	a=$(owner a) && dependent b "a $a" && dependent c "a $a" &&
	b=$(kubectl get configmap b -o jsonpath="{.metadata.uid}") &&
	dependent d "b $b" &&
	kubectl delete configmap a >got &&
	test_equal "configmap \"a\" deleted" "$(sed "s/ from .*//" got)" &&
	gone a b c d
'

test_expect_success 'orphan: dependents lose the reference and stay' '
	a=$(owner a) && dependent b "a $a" && dependent c "a $a" &&
	kubectl delete configmap a --cascade=orphan &&
	gone a && settled && there b c &&
	kubectl get configmap b c -o yaml >got &&
	test_must_fail grep ownerReferences got &&
	kubectl delete configmap b c
'

test_expect_success 'the --cascade=false of old books orphans, too' '
	a=$(owner a) && dependent b "a $a" &&
	kubectl delete configmap a --cascade=false 2>err &&
	gone a && settled && there b &&
	kubectl delete configmap b
'

test_expect_success 'foreground: the owner stays until the last dependent that blocks is gone' '
	a=$(owner a) && dependent b "a $a true" && dependent c "a $a true" &&
	kubectl patch configmap b --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}" &&
	kubectl delete configmap a --cascade=foreground --wait=false &&
	gone c &&
	kubectl get configmap a -o jsonpath="{.metadata.finalizers} {.metadata.deletionTimestamp}" >got &&
	test_grep "foregroundDeletion.* 20" got &&
	wait_for "kubectl get configmap b -o jsonpath={.metadata.deletionTimestamp} | grep 20" &&
	kubectl patch configmap b --type=merge -p "{\"metadata\":{\"finalizers\":null}}" &&
	gone a b
'

test_expect_success 'foreground waits only for those that block' '
	a=$(owner a) && dependent b "a $a false" &&
	kubectl patch configmap b --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}" &&
	kubectl delete configmap a --cascade=foreground &&
	gone a && there b &&
	kubectl patch configmap b --type=merge -p "{\"metadata\":{\"finalizers\":null}}" &&
	gone b
'

test_expect_success 'foreground goes down: a dependent that has dependents waits for them first' '
	a=$(owner a) && dependent b "a $a true" &&
	b=$(kubectl get configmap b -o jsonpath="{.metadata.uid}") && dependent c "b $b true" &&
	kubectl patch configmap c --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}" &&
	kubectl delete configmap a --cascade=foreground --wait=false &&
	wait_for "kubectl get configmap b -o yaml | grep foregroundDeletion" &&
	wait_for "kubectl get configmap c -o jsonpath={.metadata.deletionTimestamp} | grep 20" &&
	there a b c &&
	kubectl patch configmap c --type=merge -p "{\"metadata\":{\"finalizers\":null}}" &&
	gone a b c
'

test_expect_success 'a second delete lets go of what the first waits for' '
	a=$(owner a) && dependent b "a $a true" &&
	kubectl patch configmap b --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}" &&
	kubectl delete configmap a --cascade=foreground --wait=false &&
	there a &&
	kubectl delete configmap a --cascade=background &&
	gone a &&
	kubectl patch configmap b --type=merge -p "{\"metadata\":{\"finalizers\":null}}" &&
	gone b
'

test_expect_success 'with several owners the last one decides; references to those that went are taken out' '
	a=$(owner a) && b=$(owner b) && dependent c "a $a" "b $b" &&
	kubectl delete configmap a &&
	wait_for "test \$(kubectl get configmap c -o jsonpath={.metadata.ownerReferences[*].name}) = b" &&
	kubectl delete configmap b &&
	gone a b c
'

test_expect_success 'a waiting owner beside a solid one is taken out, and goes' '
	a=$(owner a) && b=$(owner b) && dependent c "a $a true" "b $b true" &&
	kubectl delete configmap a --cascade=foreground &&
	test_equal b "$(kubectl get configmap c -o jsonpath="{.metadata.ownerReferences[*].name}")" &&
	kubectl delete configmap b --cascade=foreground &&
	gone a b c
'

circle() # NAME...: each owns the next, the last one the first
{
	for name; do owner "$name" || return 1; done >uids
	first=$1
	while [ $# -gt 0 ]; do
		next=${2:-$first}
		uid=$(kubectl get configmap "$1" -o jsonpath="{.metadata.uid}") &&
		kubectl patch configmap "$next" --type=merge -p "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",
			\"kind\":\"ConfigMap\",\"name\":\"$1\",\"uid\":\"$uid\",\"blockOwnerDeletion\":true}]}}" || return 1
		shift
	done
}

test_expect_success 'circles go as a whole, foreground and background, also an object that owns itself' '
	circle a b && kubectl delete configmap a --cascade=foreground && gone a b &&
	circle a b c && kubectl delete configmap b --cascade=foreground && gone a b c &&
	circle a && kubectl delete configmap a --cascade=foreground && gone a &&
	circle a b && kubectl delete configmap a && gone a b
'

test_expect_success 'all of a circle deleted at once in the foreground' '
	circle a b c &&
	kubectl delete configmap a b c --cascade=foreground --ignore-not-found && # one that goes may take the others along
	gone a b c
'

test_expect_success 'a dependent of an owner that never was goes' '
	dependent x "nobody 11111111-1111-1111-1111-111111111111" &&
	gone x &&
	a=$(owner a) && dependent x "b $a" &&
	gone x && there a &&
	kubectl delete configmap a
'

test_expect_success 'an owner in another namespace is none, and an event says so' '
	kubectl create namespace other && a=$(owner elsewhere other) && dependent x "elsewhere $a" &&
	gone x &&
	wait_for "kubectl get events -o jsonpath={.items[*].message} | grep ownerRef" &&
	kubectl get events -o custom-columns=R:.reason,M:.message --no-headers >got &&
	test_grep "^OwnerRefInvalidNamespace  *ownerRef \[v1/ConfigMap, namespace: default, name: elsewhere, uid: $a\] does not exist in namespace \"default\"$" got &&
	kubectl -n other get configmap elsewhere
'

test_expect_success 'a kind that does not exist decides nothing; nor does a namespaced owner of a cluster-scoped object' '
	a=$(owner a) &&
	cat >x.yaml <<-END &&
	apiVersion: v1
	kind: ConfigMap
	metadata:
	  name: x
	  ownerReferences: [{apiVersion: example.com/v1, kind: Widget, name: w, uid: 11111111-1111-1111-1111-111111111112}]
	---
	apiVersion: scheduling.k8s.io/v1
	kind: PriorityClass
	metadata:
	  name: x
	  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: a, uid: $a}]
	value: 5
	END
	kubectl create -f x.yaml && settled && there x &&
	kubectl get priorityclass x && kubectl delete configmap x && kubectl delete priorityclass x &&
	kubectl delete configmap a
'

test_expect_success 'a cluster-scoped owner of objects in any namespace' '
	kubectl create priorityclass p --value=3 &&
	uid=$(kubectl get priorityclass p -o jsonpath="{.metadata.uid}") &&
	printf "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  ownerReferences: [{apiVersion: %s, kind: %s, name: p, uid: %s}]\n" \
		scheduling.k8s.io/v1 PriorityClass "$uid" >x.yaml &&
	kubectl create -f x.yaml && kubectl -n other create -f x.yaml && settled && there x &&
	kubectl delete priorityclass p &&
	gone x &&
	wait_for "! kubectl -n other get configmap x"
'

test_expect_success 'what was left to do when the server died is done at the next start' '
	a=$(owner a) && dependent b "a $a" &&
	kubectl patch configmap b --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}" &&
	kubectl delete configmap a --cascade=foreground --wait=false && gone a &&
	owner solid >solid && dependent c "solid $(cat solid)" && kubectl delete configmap solid --cascade=orphan --wait=false &&
	kill_server && restart_server --disable-agent &&
	wait_for "kubectl get configmap c -o name" && gone solid &&
	wait_for "kubectl get configmap b -o jsonpath={.metadata.deletionTimestamp} | grep 20" &&
	kubectl patch configmap b --type=merge -p "{\"metadata\":{\"finalizers\":null}}" && gone b && kubectl delete configmap c
'

CM=/api/v1/namespaces/default/configmaps
del() # PATH BODY
{
	api_code -X DELETE -H "Content-Type: application/json" ${2:+-d "$2"} "$1"
}

test_expect_success 'options: both ways to say it, an unknown policy, bad preconditions' '
	owner a &&
	test_equal 422 "$(del $CM/a "{\"orphanDependents\":true,\"propagationPolicy\":\"Foreground\"}")" &&
	test_grep "DeleteOptions.meta.k8s.io .\".\" is invalid: propagationPolicy: Invalid value: .\"Foreground.\": orphanDependents and deletionPropagation cannot be both set" answer &&
	test_equal 422 "$(del "$CM/a?orphanDependents=true&propagationPolicy=Orphan")" &&
	test_equal 422 "$(del $CM/a "{\"propagationPolicy\":\"Sideways\"}")" &&
	test_grep "Unsupported value: .\"Sideways.\": supported values: .\"Foreground.\", .\"Background.\", .\"Orphan.\", .\"nil" answer &&
	test_equal 422 "$(del $CM/a "{\"dryRun\":[\"Some\"]}")" &&
	test_equal 409 "$(del $CM/a "{\"preconditions\":{\"uid\":\"x\"}}")" &&
	test_grep "the UID in the precondition (x) does not match the UID in record" answer &&
	test_equal 409 "$(del $CM/a "{\"preconditions\":{\"resourceVersion\":\"1\"}}")" &&
	test_equal 400 "$(del $CM/a "{\"gracePeriodSeconds\":\"soon\"}")" &&
	there a
'

test_expect_success 'options: what each answers; a body replaces the query' '
	test_equal 202 "$(del $CM/a "{\"propagationPolicy\":\"Foreground\"}")" &&
	gone a && owner a &&
	test_equal 200 "$(del "$CM/a?propagationPolicy=Orphan" "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}")" &&
	test_grep "\"status\": *\"Success\"" answer &&
	gone a && owner a && kubectl patch configmap a --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}" &&
	test_equal 202 "$(del $CM/a "{\"orphanDependents\":false}")" &&
	test_grep "\"kind\": *\"ConfigMap\"" answer &&
	test_must_fail kubectl patch configmap a --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/hold\",\"example.com/more\"]}}" 2>err &&
	test_grep "no new finalizers can be added if the object is being deleted" err &&
	kubectl patch configmap a --type=json -p "[{\"op\":\"remove\",\"path\":\"/metadata/finalizers/0\"}]" &&
	gone a
'

test_expect_success 'jobs and replication controllers orphan when nobody says anything, and jobs warn of it' '
	kubectl create job j --image=busybox && kubectl create deployment d --image=busybox &&
	uid=$(kubectl get job j -o jsonpath="{.metadata.uid}") &&
	printf "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: j, uid: %s}]\n" "$uid" >x.yaml &&
	kubectl create -f x.yaml &&
	api -D headers -X DELETE /apis/batch/v1/namespaces/default/jobs/j &&
	test_grep -i "^warning: 299 .*child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning" headers &&
	wait_for "! kubectl get job j" && settled && there x && kubectl delete configmap x &&
	api -D headers -X DELETE /apis/apps/v1/namespaces/default/deployments/d &&
	test_must_fail grep -i "^warning" headers &&
	test_must_fail kubectl get deployment d
'

test_expect_success 'two thousand dependents go in seconds, and others are served meanwhile' '
	a=$(owner a) &&
	awk -v uid="$a" "BEGIN { for (i = 0; i < 2000; i++) printf \"%s{\\\"apiVersion\\\":\\\"v1\\\",\\\"kind\\\":\\\"ConfigMap\\\",\\\"metadata\\\":{\\\"name\\\":\\\"m%d\\\",\\\"ownerReferences\\\":[{\\\"apiVersion\\\":\\\"v1\\\",\\\"kind\\\":\\\"ConfigMap\\\",\\\"name\\\":\\\"a\\\",\\\"uid\\\":\\\"%s\\\"}]}}\\n\", \"\", i, uid }" >many &&
	{ printf "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":["; paste -sd, many; printf "]}"; } >list.json &&
	kubectl create -f list.json >created &&
	test_lines 2000 created &&
	kubectl delete configmap a &&
	kubectl get namespaces &&
	wait_for -t 10 "! kubectl get configmap -o name | grep -q configmap/m"
'

test_done
