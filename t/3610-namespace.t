#!/bin/sh
# The end of namespaces: conditions while something is left, pods first, nothing
# new meanwhile, finalizers of others, many at once. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

hold() # NAMESPACE KIND/NAME: a finalizer keeps it
{
	kubectl -n "$1" patch "$2" --type=merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'
}

let_go()
{
	kubectl -n "$1" patch "$2" --type=merge -p '{"metadata":{"finalizers":null}}'
}

condition() # NAMESPACE TYPE
{
	kubectl get namespace "$1" -o jsonpath="{range .status.conditions[?(@.type==\"$2\")]}{.status} {.reason} {.message}{end}"
}

gone() # NAMESPACE...
{
	for ns; do
		wait_for "! kubectl get namespace $ns" || return 1
	done
}

test_expect_success 'start the server' '
	start_server --disable-agent
'

test_expect_success 'an empty namespace goes at once' '
	kubectl create namespace empty &&
	wait_for "kubectl -n empty get serviceaccount default && kubectl -n empty get configmap kube-root-ca.crt" &&
	kubectl delete namespace empty >got &&
	test_equal "namespace \"empty\" deleted" "$(sed "s/ from .*//" got)" &&
	test_must_fail kubectl get namespace empty
'

test_expect_success 'everything in it goes' '
	kubectl create namespace full &&
	kubectl -n full create configmap a && kubectl -n full create secret generic b &&
	kubectl -n full create deployment c --image=busybox && kubectl -n full create service clusterip d --tcp=80 &&
	kubectl -n full run e --image=busybox && kubectl -n full create role f --verb=get --resource=pods &&
	kubectl -n full create quota g --hard=pods=5 && kubectl -n full create job h --image=busybox &&
	kubectl delete namespace full &&
	kubectl create namespace full &&
	kubectl -n full get all,configmaps,secrets,roles,quota -o name >got &&
	test_must_fail grep -v kube-root-ca.crt got
'

test_expect_success 'what is left stands in the conditions, in Kubernetes'\'' words' '
	kubectl -n full create configmap a && hold full configmap/a && kubectl -n full create secret generic s && hold full secret/s &&
	kubectl delete namespace full --wait=false &&
	test_equal Terminating "$(kubectl get namespace full -o jsonpath="{.status.phase}")" &&
	wait_for "condition full NamespaceContentRemaining | grep True" &&
	test_equal "True SomeResourcesRemain Some resources are remaining: configmaps. has 1 resource instances, secrets. has 1 resource instances" \
		"$(condition full NamespaceContentRemaining)" &&
	test_equal "True SomeFinalizersRemain Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances" \
		"$(condition full NamespaceFinalizersRemaining)" &&
	test_equal "False ContentDeleted All content successfully deleted, may be waiting on finalization" \
		"$(condition full NamespaceDeletionContentFailure)" &&
	test_equal "False ResourcesDiscovered All resources successfully discovered" \
		"$(condition full NamespaceDeletionDiscoveryFailure)" &&
	test_equal "False ParsedGroupVersions All legacy kube types successfully parsed" \
		"$(condition full NamespaceDeletionGroupVersionParsingFailure)"
'

test_expect_success 'nothing new comes into it' '
	test_must_fail kubectl -n full create configmap late 2>err &&
	test_grep "configmaps \"late\" is forbidden: unable to create new content in namespace full because it is being terminated" err &&
	test_must_fail kubectl create namespace full 2>err &&
	test_grep "object is being deleted: namespaces \"full\" already exists" err
'

test_expect_success 'the conditions follow, and it goes with the last of its content' '
	let_go full secret/s &&
	wait_for "condition full NamespaceContentRemaining | grep \"remaining: configmaps. has 1 resource instances\$\"" &&
	let_go full configmap/a &&
	gone full
'

test_expect_success 'pods go first: until they are gone the rest stays' '
	kubectl create namespace pods &&
	kubectl -n pods run p --image=busybox && hold pods pod/p && kubectl -n pods create configmap c &&
	kubectl delete namespace pods --wait=false &&
	wait_for "condition pods NamespaceContentRemaining | grep \"remaining: pods. has 1 resource instances\$\"" &&
	kubectl -n pods get configmap c &&
	let_go pods pod/p &&
	gone pods
'

test_expect_success 'a finalizer of somebody else keeps the empty namespace' '
	printf "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: kept\nspec:\n  finalizers: [example.com/mine]\n" >ns.yaml &&
	kubectl create -f ns.yaml &&
	wait_for "kubectl -n kept get serviceaccount default" &&
	kubectl delete namespace kept --wait=false &&
	wait_for "test \"\$(kubectl get namespace kept -o jsonpath={.spec.finalizers[*]})\" = example.com/mine" &&
	test_equal "False ContentRemoved All content successfully removed" "$(condition kept NamespaceContentRemaining)" &&
	kubectl get --raw /api/v1/namespaces/kept >kept.json &&
	sed "s/\"finalizers\":\[[^]]*\]/\"finalizers\":[]/" kept.json >final.json &&
	kubectl replace --raw /api/v1/namespaces/kept/finalize -f final.json &&
	gone kept &&
	kubectl create namespace kept && kubectl patch namespace kept --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}" &&
	kubectl delete namespace kept --wait=false &&
	wait_for "test -z \"\$(kubectl get namespace kept -o jsonpath={.spec.finalizers[*]})\"" &&
	kubectl patch namespace kept --type=merge -p "{\"metadata\":{\"finalizers\":null}}" &&
	gone kept
'

test_expect_success 'deleted in the foreground' '
	kubectl create namespace front && kubectl -n front create configmap a &&
	kubectl delete namespace front --cascade=foreground &&
	test_must_fail kubectl get namespace front
'

test_expect_success 'a hundred at once' '
	for i in $(seq 100); do
		printf -- "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: many-%d\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: many-%d\n" $i $i || return 1
	done >many.yaml &&
	kubectl create -f many.yaml >created && test_lines 200 created &&
	kubectl delete namespaces $(seq -f many-%.0f 100) &&
	kubectl get namespaces -o name >got &&
	test_must_fail grep many- got &&
	kubectl get configmaps -A >got && test_must_fail grep many- got
'

test_expect_success 'who creates while it ends leaves nothing behind' '
	for round in 1 2 3 4 5; do
		kubectl create namespace race || return 1
		( i=0; while [ $i -lt 200 ]; do echo "{\"metadata\":{\"name\":\"c$((i += 1))\"}}"; done ) >bodies
		( split -l 1 bodies body.; set --; for f in body.*; do
			set -- "$@" --next -s -o /dev/null --cacert "$DATA/server/tls/ca.crt" --cert "$DATA/server/tls/admin.crt" \
				--key "$DATA/server/tls/admin.key" -H "Content-Type: application/json" --data-binary "@$f" \
				https://127.0.0.1:6443/api/v1/namespaces/race/configmaps
		done; shift; curl "$@" ) & pid=$!
		wait_for "kubectl -n race get configmap c1" || return 1
		kubectl delete namespace race || return 1
		wait $pid
		kubectl get configmaps -A -o name --field-selector metadata.namespace=race >got || return 1
		test_must_fail grep c got || return 1
		rm -f body.*
	done
'

test_expect_success 'what was ending when the server died ends at the next start' '
	kubectl create namespace crash && kubectl -n crash create configmap a && hold crash configmap/a &&
	kubectl delete namespace crash --wait=false &&
	wait_for "condition crash NamespaceContentRemaining | grep True" &&
	kill_server && restart_server --disable-agent &&
	let_go crash configmap/a &&
	gone crash
'

test_done
