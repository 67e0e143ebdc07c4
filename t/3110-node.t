#!/bin/sh
# What a node may: its own Node, its lease, the pods that run on it and what those
# refer to, and nothing else. The node is kubectl with a node's name.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

refused() # PATTERN COMMAND...: with Forbidden and these words
{
	test_words=$1
	shift
	test_must_fail "$@" 2>err &&
	test_grep -i forbidden err &&
	test_grep -e "$test_words" err
}

patch_status() # USER PATH JSON: what kubectl cannot do without reading the subresource first
{
	curl -sSk -X PATCH -H "Authorization: Bearer tok-$1" -H "Content-Type: application/merge-patch+json" \
		-d "$3" "$url/api/v1/$2/status" >"$TRASH/patched" &&
	cat "$TRASH/patched" >&2 &&
	! grep '"kind": *"Status"' "$TRASH/patched"
}

test_expect_success 'start, with two nodes and somebody who only says so' '
	cat >tokens <<-\EOF &&
	tok-n1,system:node:n1,1,"system:nodes"
	tok-n2,system:node:n2,2,"system:nodes"
	tok-no,system:node:n1,3
	tok-un,system:node:,4,"system:nodes"
	EOF
	start_server --disable-agent --token-auth-file "$PWD/tokens" &&
	url=$(kubectl config view --minify -o jsonpath="{.clusters[0].cluster.server}") &&
	for u in n1 n2 no un; do
		make_user $u tok-$u || return 1
	done
'

test_expect_success 'it registers itself, and nobody else' '
	cat >node <<-\EOF &&
	apiVersion: v1
	kind: Node
	metadata: { name: n1, labels: { kubernetes.io/hostname: n1, node.kubernetes.io/x: a, example.com/y: b } }
	EOF
	refused "cannot create resource \"nodes\"" as no create -f node &&
	refused "nodes \"n1\" is forbidden: node \"n2\" is not allowed to modify node \"n1\"" as n2 create -f node &&
	sed "s,example.com/y,node-restriction.kubernetes.io/z," node >bad &&
	refused "node \"n1\" is not allowed to set the following labels: node-restriction.kubernetes.io/z$" as n1 create -f bad &&
	sed "s,example.com/y,other.k8s.io/z," node >bad &&
	refused "node \"n1\" is not allowed to set the following labels: other.k8s.io/z$" as n1 create -f bad &&
	as n1 create -f node &&
	sed "s/name: n1/name: n2/" node | as n2 create -f -
'

test_expect_success 'it reads itself only' '
	as n1 get node n1 &&
	refused "node .n1. cannot read .n2., only its own Node object$" as n1 get node n2 &&
	refused "node .n1. cannot read all nodes, only its own Node object$" as n1 get nodes &&
	as n1 get nodes --field-selector metadata.name=n1
'

test_expect_success 'it changes itself, but no taints, no labels that steer pods, no owners' '
	as n1 label --overwrite node n1 example.com/y=c node.kubernetes.io/x=d &&
	patch_status n1 nodes/n1 "{\"status\":{\"phase\":\"Running\"}}" &&
	refused "node ..n2.. is not allowed to modify node ..n1.." patch_status n2 nodes/n1 "{}" &&
	refused "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints$" \
		as n1 patch node n1 --type=merge -p "{\"spec\":{\"taints\":[{\"key\":\"a\",\"effect\":\"NoSchedule\"}]}}" &&
	refused "is not allowed to modify labels: node-restriction.kubernetes.io/a, x.kubernetes.io/b$" \
		as n1 label --overwrite node n1 x.kubernetes.io/b=1 node-restriction.kubernetes.io/a=1 &&
	refused "node \"n1\" is not allowed to modify ownerReferences$" \
		as n1 patch node n1 --type=merge -p "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"x\",\"uid\":\"y\"}]}}" &&
	refused "cannot delete resource \"nodes\"" as n1 delete node n1
'

test_expect_success 'its lease' '
	lease() { printf "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: { name: %s, namespace: %s }\n" "$1" "$2"; } &&
	lease n1 kube-node-lease | as n1 create -f - &&
	as n1 -n kube-node-lease get lease n1 &&
	lease n3 kube-node-lease >other &&
	refused "can only access node lease with the same name as the requesting node" as n1 create -f other &&
	lease n1 default >other &&
	refused "can only access leases in the \"kube-node-lease\" system namespace" as n1 create -f other &&
	refused "can only access node lease with the same name" as n1 -n kube-node-lease delete lease n2 &&
	refused "can only get, create, update, patch, or delete a node lease" as n1 -n kube-node-lease get leases
'

test_expect_success 'what its pods refer to, and no more' '
	kubectl create secret generic used &&
	kubectl create secret generic unused &&
	kubectl create configmap used &&
	kubectl create serviceaccount acc &&
	cat >pod <<-\EOF &&
	apiVersion: v1
	kind: Pod
	metadata: { name: p }
	spec:
	  serviceAccountName: acc
	  nodeName: n1
	  containers:
	  - { name: c, image: x, envFrom: [ { configMapRef: { name: used } } ] }
	  volumes:
	  - { name: s, secret: { secretName: used } }
	  - { name: t, projected: { sources: [ { serviceAccountToken: { path: t, audience: store } } ] } }
	  - { name: d, csi: { driver: d.example.com } }
	EOF
	refused "secrets \"used\" is forbidden: .*: no relationship found between node .n1. and this object$" as n1 get secret used &&
	kubectl create -f pod &&
	as n1 get secret used &&
	as n1 get configmap used &&
	refused "no relationship found between node .n1. and this object$" as n1 get secret unused &&
	refused "no relationship found between node .n2. and this object$" as n2 get secret used &&
	refused "User \"system:node:n1\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\"$" as no get secret used &&
	refused "unknown node for user \"system:node:\"$" as un get secret used &&
	refused "No Object name found$" as n1 get secrets &&
	as n1 get secrets --field-selector metadata.name=used &&
	refused "can only read resources of this type$" as n1 delete secret used
'

test_expect_success 'pods: its own' '
	as n1 get pod p &&
	refused "no relationship found between node .n2. and this object$" as n2 get pod p &&
	refused "can only list/watch pods with spec.nodeName field selector$" as n1 get pods -A &&
	as n1 get pods -A --field-selector spec.nodeName=n1 >got &&
	test_grep " p " got &&
	refused "can only list/watch pods with spec.nodeName field selector$" as n1 get pods -A --field-selector spec.nodeName=n2 &&
	patch_status n1 namespaces/default/pods/p "{\"status\":{\"phase\":\"Running\"}}" &&
	refused "node ..n2.. can only update pod status for pods with spec.nodeName set to itself" \
		patch_status n2 namespaces/default/pods/p "{\"status\":{\"phase\":\"Failed\"}}" &&
	refused "node ..n1.. cannot update labels through pod status" \
		patch_status n1 namespaces/default/pods/p "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}" &&
	refused "cannot patch resource \"pods\"" as n1 label pod p a=b &&
	refused "node \"n2\" can only delete pods with spec.nodeName set to itself$" as n2 delete pod p
'

test_expect_success 'evictions of its own pods' '
	echo "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"p\",\"namespace\":\"default\"}}" >eviction &&
	refused "node n2 can only evict pods with spec.nodeName set to itself$" \
		as n2 create --raw /api/v1/namespaces/default/pods/p/eviction -f eviction
'

test_expect_success 'mirror pods on itself that refer to nothing' '
	uid=$(kubectl get node n1 -o jsonpath="{.metadata.uid}") &&
	cat >mirror <<-EOF &&
	apiVersion: v1
	kind: Pod
	metadata:
	  name: mirror
	  annotations: { kubernetes.io/config.mirror: x }
	  ownerReferences: [ { apiVersion: v1, kind: Node, name: n1, uid: $uid, controller: true } ]
	spec: { nodeName: n1, containers: [ { name: c, image: x } ] }
	EOF
	grep -v config.mirror mirror >bad &&
	refused "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods$" as n1 create -f bad &&
	sed "s/nodeName: n1/nodeName: n2/" mirror >bad &&
	refused "node \"n1\" can only create pods with spec.nodeName set to itself$" as n1 create -f bad &&
	grep -v ownerReferences mirror >bad &&
	refused "node \"n1\" can only create pods with an owner reference set to itself$" as n1 create -f bad &&
	sed "s/, controller: true//" mirror >bad &&
	refused "node \"n1\" can only create pods with a controller owner reference set to itself$" as n1 create -f bad &&
	sed "s/uid: [^,]*/uid: zzz/" mirror >bad &&
	refused "node n1 UID mismatch: expected zzz got $uid$" as n1 create -f bad &&
	sed "s/spec: { /spec: { volumes: [ { name: v, secret: { secretName: unused } } ], /" mirror >bad &&
	refused "node \"n1\" can not create pods that reference secrets$" as n1 create -f bad &&
	sed "s/spec: { /spec: { serviceAccountName: acc, /" mirror >bad &&
	refused "node \"n1\" can not create pods that reference a service account$" as n1 create -f bad &&
	as n1 create -f mirror
'

test_expect_success 'tokens for its pods' '
	uid=$(kubectl get pod p -o jsonpath="{.metadata.uid}") &&
	as n1 create token acc --bound-object-kind=Pod --bound-object-name=p --bound-object-uid=$uid &&
	refused "no relationship found between node .n1. and this object$" as n1 create token default &&
	refused "node requested token not bound to a pod$" as n1 create token acc &&
	refused "node requested token with a pod binding without a uid$" \
		as n1 create token acc --bound-object-kind=Pod --bound-object-name=p &&
	audience() { as n1 create token acc --audience="$1" --bound-object-kind=Pod --bound-object-name=p --bound-object-uid=$uid; } &&
	audience store &&
	refused "error validating audience \"vault\": csidriver.storage.k8s.io \"d.example.com\" not found$" audience vault &&
	kubectl create -f - <<-\EOF &&
	apiVersion: storage.k8s.io/v1
	kind: CSIDriver
	metadata: { name: d.example.com }
	spec: { tokenRequests: [ { audience: disks } ] }
	EOF
	audience disks &&
	refused "audience \"vault\" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience$" audience vault &&
	kubectl create role vault --verb=request-serviceaccounts-token-audience --resource=pods &&
	kubectl patch role vault --type=json -p "[{\"op\":\"replace\",\"path\":\"/rules/0/resources\",\"value\":[\"vault\"]}]" &&
	kubectl create rolebinding vault --role=vault --group=system:nodes &&
	audience vault
'

test_expect_success 'its own rules are not an administrator'"'"'s to change; others may be added' '
	as n1 get services &&
	kubectl create clusterrolebinding extra --clusterrole=view --group=system:nodes &&
	as n1 get deployments
'

test_expect_success 'what it may is not all told' '
	as n1 auth can-i --list 2>err &&
	test_grep "node authorizer does not support user rule resolution" err
'

test_expect_success 'the pod goes, and with it what it opened' '
	as n1 delete pod p --force --grace-period=0 &&
	wait_for "! kubectl get pod p" &&
	refused "no relationship found" as n1 get secret used
'

test_done
