#!/bin/sh
# Who may do what: the bootstrap roles, roles and bindings as they come and go,
# what nobody may give away, and what people are told. Real kubectl as several
# users at once.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

revision()
{
	kubectl get configmaps --chunk-size=1 -o jsonpath='{.metadata.resourceVersion}' "$@"
}

test_expect_success 'start, with users' '
	cat >tokens <<-\EOF &&
	tok-ann,ann,1
	tok-bob,bob,2,"devs"
	tok-root,root,3,"system:masters"
	EOF
	start_server --disable-agent --token-auth-file "$PWD/tokens" &&
	make_user ann tok-ann &&
	make_user bob tok-bob &&
	make_user root tok-root &&
	kubectl create namespace one &&
	kubectl create namespace two
'

test_expect_success 'the roles and bindings that every cluster has' '
	kubectl get clusterroles -o name >got &&
	for r in cluster-admin admin edit view system:node system:node-proxier system:kube-scheduler \
		system:kube-controller-manager system:discovery system:basic-user system:public-info-viewer \
		system:monitoring system:auth-delegator system:aggregate-to-view system:controller:job-controller \
		system:service-account-issuer-discovery system:certificates.k8s.io:kubelet-serving-approver; do
		test_grep -x "clusterrole.rbac.authorization.k8s.io/$r" got || return 1
	done &&
	kubectl get clusterrolebinding cluster-admin -o jsonpath="{.roleRef.name} {.subjects[*].name}" >got &&
	test_equal "cluster-admin system:masters" "$(cat got)" &&
	kubectl -n kube-system get role extension-apiserver-authentication-reader &&
	kubectl -n kube-public get rolebinding system:controller:bootstrap-signer &&
	kubectl get clusterrole view -o json >got &&
	test_grep "\"kubernetes.io/bootstrapping\": \"rbac-defaults\"" got &&
	test_grep "\"rbac.authorization.kubernetes.io/autoupdate\": \"true\"" got
'

test_expect_success 'admin, edit and view are gathered from the aggregate roles' '
	wait_for "kubectl get clusterrole admin -o json | grep localsubjectaccessreviews" &&
	kubectl get clusterrole view edit admin -o json >got &&
	test_grep -c "\"pods/log\"" got >n &&
	test_equal 3 "$(grep -c "\"pods/log\"" got)" &&
	test_equal 2 "$(grep -c "\"impersonate\"" got)"
'

test_expect_success 'a role that carries the label joins in, and leaves again' '
	kubectl create clusterrole crontab-viewer --verb=get,list --resource=leases.coordination.k8s.io &&
	kubectl label clusterrole crontab-viewer rbac.authorization.k8s.io/aggregate-to-view=true &&
	wait_for "kubectl get clusterrole view -o json | grep leases" &&
	kubectl delete clusterrole crontab-viewer &&
	wait_for "! kubectl get clusterrole view -o json | grep leases"
'

test_expect_success 'a second start writes nothing' '
	revision >before &&
	restart_server &&
	revision >after &&
	test_cmp before after
'

test_expect_success 'what somebody took away is back after a start; autoupdate=false is respected' '
	kubectl delete clusterrole system:node-proxier &&
	kubectl patch clusterrole system:kube-dns --type=json \
		-p "[{\"op\":\"replace\",\"path\":\"/rules\",\"value\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}]" &&
	kubectl patch clusterrolebinding system:basic-user --type=merge -p "{\"subjects\":null}" &&
	kubectl annotate --overwrite clusterrole system:heapster rbac.authorization.kubernetes.io/autoupdate=false &&
	kubectl patch clusterrole system:heapster --type=merge -p "{\"rules\":[]}" &&
	kubectl delete clusterrolebinding system:monitoring &&
	kubectl create clusterrolebinding system:monitoring --clusterrole=view --user=x &&
	restart_server &&
	kubectl get clusterrole system:node-proxier &&
	kubectl get clusterrole system:kube-dns -o json >got &&
	test_grep "\"pods\"" got &&
	test_grep "\"endpoints\"" got &&
	kubectl get clusterrolebinding system:basic-user -o jsonpath="{.subjects[*].name}" >got &&
	test_equal system:authenticated "$(cat got)" &&
	kubectl get clusterrolebinding system:monitoring -o jsonpath="{.roleRef.name}" >got &&
	test_equal system:monitoring "$(cat got)" &&
	kubectl get clusterrole system:heapster -o json >got &&
	test_grep -v "\"pods\"" got
'

test_expect_success 'nobody is anybody: refused, with the words that people know' '
	test_must_fail as ann get pods 2>err &&
	echo "Error from server (Forbidden): pods is forbidden: User \"ann\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"" >want &&
	test_cmp want err &&
	test_must_fail as ann get nodes n1 2>err &&
	test_grep "nodes \"n1\" is forbidden: User \"ann\" cannot get resource \"nodes\" in API group \"\" at the cluster scope$" err &&
	test_must_fail as ann get deployments.apps -n one 2>err &&
	test_grep "deployments.apps is forbidden: User \"ann\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"one\"$" err &&
	test_must_fail as ann get --raw /metrics 2>err &&
	test_grep "forbidden: User \"ann\" cannot get path \"/metrics\"$" err &&
	as ann api-resources >got &&
	test_grep "^pods " got &&
	as ann get --raw /version
'

test_expect_success 'a role in one namespace' '
	kubectl -n one create role pods --verb=get,list,create,delete --resource=pods --resource=pods/log &&
	kubectl -n one create rolebinding pods --role=pods --user=ann &&
	as ann -n one get pods &&
	as ann -n one run p --image=x &&
	as ann -n one get pod p &&
	test_must_fail as ann -n two get pods &&
	test_must_fail as ann get pods -A &&
	test_must_fail as ann -n one get secrets &&
	test_must_fail as ann -n one label pod p a=b 2>err &&
	test_grep "cannot patch resource \"pods\"" err &&
	test_must_fail as bob -n one get pods
'

test_expect_success 'the very next request sees a change' '
	for i in 1 2 3 4 5; do
		kubectl -n one delete rolebinding pods >/dev/null &&
		test_must_fail as ann -n one get pods &&
		kubectl -n one create rolebinding pods --role=pods --user=ann >/dev/null &&
		as ann -n one get pods || return 1
	done
'

test_expect_success 'resourceNames: one object, also in a list and watch of that name' '
	kubectl -n two create configmap mine --from-literal=a=b &&
	kubectl -n two create role one-map --verb=get,list,watch --resource=configmaps --resource-name=mine &&
	kubectl -n two create rolebinding one-map --role=one-map --user=ann &&
	as ann -n two get configmap mine &&
	test_must_fail as ann -n two get configmap other &&
	test_must_fail as ann -n two get configmaps &&
	as ann -n two get configmaps --field-selector metadata.name=mine >got &&
	test_grep "^mine " got &&
	test_must_fail as ann -n two get configmaps --field-selector metadata.name=other 2>err &&
	test_grep "configmaps \"other\" is forbidden" err &&
	test_must_fail as ann -n two get configmaps --field-selector metadata.name!=other
'

test_expect_success 'groups, and stars' '
	kubectl create clusterrole scaler --verb=get,update --resource=*/scale &&
	kubectl create clusterrolebinding devs --clusterrole=view --group=devs &&
	as bob get pods -A &&
	as bob -n one get configmaps &&
	test_must_fail as bob -n one get secrets &&
	test_must_fail as bob -n one delete pod p
'

test_expect_success 'a binding to a role that is not there says so' '
	kubectl create clusterrolebinding broken --clusterrole=missing --user=ann &&
	test_must_fail as ann get nodes 2>err &&
	test_grep "at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io \"missing\" not found$" err &&
	kubectl delete clusterrolebinding broken
'

test_expect_success 'service accounts' '
	kubectl -n one create serviceaccount robot &&
	make_user robot "$(kubectl -n one create token robot)" &&
	test_must_fail as robot -n one get pods 2>err &&
	test_grep "User \"system:serviceaccount:one:robot\" cannot list" err &&
	kubectl -n one create rolebinding robot --role=pods --serviceaccount=one:robot &&
	as robot -n one get pods &&
	kubectl create clusterrolebinding accounts --clusterrole=view --group=system:serviceaccounts:one &&
	as robot -n two get configmaps
'

test_expect_success 'nobody gives away what he does not hold: roles' '
	kubectl -n one create role rbac --verb=create,get,list,watch,update,patch,delete --resource=roles,rolebindings &&
	kubectl -n one create rolebinding rbac --role=rbac --user=ann &&
	as ann -n one create role same --verb=get,list --resource=pods &&
	test_must_fail as ann -n one create role more --verb=get,watch --resource=pods,secrets 2>err &&
	cat >want <<-\EOF &&
	Error from server (Forbidden): roles.rbac.authorization.k8s.io "more" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
	{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}
	{APIGroups:[""], Resources:["secrets"], Verbs:["get" "watch"]}
	EOF
	test_cmp want err &&
	test_must_fail as ann -n one patch role same --type=json \
		-p "[{\"op\":\"add\",\"path\":\"/rules/0/verbs/-\",\"value\":\"watch\"}]" 2>err &&
	test_grep "attempting to grant RBAC permissions not currently held" err &&
	as ann -n one label role same a=b &&
	as ann -n one patch role pods --type=merge -p "{\"metadata\":{\"finalizers\":[\"x.io/y\"]}}" &&
	as ann -n one patch role pods --type=merge -p "{\"metadata\":{\"finalizers\":null}}"
'

test_expect_success '... unless he may escalate' '
	kubectl -n one create role esc --verb=escalate --resource=roles &&
	kubectl -n one create rolebinding esc --role=esc --user=ann &&
	as ann -n one create role more --verb=get --resource=secrets
'

test_expect_success 'nobody gives away what he does not hold: bindings' '
	test_must_fail as ann -n one create rolebinding x --clusterrole=view --user=eve 2>err &&
	test_grep "rolebindings.rbac.authorization.k8s.io \"x\" is forbidden: user \"ann\" (groups=\[\"system:authenticated\"\]) is attempting to grant RBAC permissions not currently held:" err &&
	test_grep "{APIGroups:\[\"apps\"\], Resources:\[\"deployments\"\], Verbs:\[\"get\" \"list\" \"watch\"\]}" err &&
	as ann -n one create rolebinding x --role=same --user=eve &&
	test_must_fail as ann -n one create rolebinding y --role=nothing --user=eve 2>err &&
	test_grep "roles.rbac.authorization.k8s.io \"nothing\" not found" err &&
	kubectl -n one create role bind --verb=bind --resource=clusterroles --resource-name=view &&
	kubectl -n one create rolebinding bind --role=bind --user=ann &&
	as ann -n one create rolebinding y --clusterrole=view --user=eve &&
	test_must_fail as ann -n one create rolebinding z --clusterrole=admin --user=eve
'

test_expect_success 'an aggregationRule takes everything' '
	kubectl create clusterrole rbac --verb=create,get,list,watch,update,patch,delete --resource=clusterroles &&
	kubectl create clusterrolebinding rbac --clusterrole=rbac --user=bob &&
	test_must_fail as bob create clusterrole all --aggregation-rule=a=b 2>err &&
	test_grep "clusterroles.rbac.authorization.k8s.io \"all\" is forbidden: must have cluster-admin privileges to use the aggregationRule" err &&
	as root create clusterrole all --aggregation-rule=a=b &&
	test_must_fail as bob patch clusterrole all --type=merge -p "{\"aggregationRule\":null,\"rules\":[]}"
'

test_expect_success 'a role worth too much to compare is refused, quickly' '
	seq 1 300 | sed "s/.*/\"r&\"/" | paste -sd, >list &&
	printf "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"Role\",\"metadata\":{\"name\":\"big\"},\"rules\":[{\"verbs\":[%s],\"apiGroups\":[%s],\"resources\":[%s],\"resourceNames\":[%s]}]}" \
		"$(cat list)" "$(cat list)" "$(cat list)" "$(cat list)" >big.json &&
	kubectl -n one delete rolebinding esc &&
	test_must_fail as ann -n one create -f big.json 2>err &&
	test_grep "more permissions than can be compared" err &&
	kubectl -n one create -f big.json
'

test_expect_success 'the words of validation' '
	test_must_fail kubectl -n one create -f - 2>err <<-\EOF &&
	apiVersion: rbac.authorization.k8s.io/v1
	kind: Role
	metadata: { name: "a/b" }
	rules:
	- { verbs: [], apiGroups: [""], resources: [pods] }
	- { verbs: [get], resources: [pods] }
	- { verbs: [get], nonResourceURLs: [/x] }
	EOF
	test_grep "metadata.name: Invalid value: \"a/b\": may not contain .\\/." err &&
	test_grep "rules\[0\].verbs: Required value: verbs must contain at least one value" err &&
	test_grep "rules\[1\].apiGroups: Required value: resource rules must supply at least one api group" err &&
	test_grep "rules\[2\].nonResourceURLs: Invalid value: \[\"/x\"\]: namespaced rules cannot apply to non-resource URLs" err &&
	test_must_fail kubectl create -f - 2>err <<-\EOF &&
	apiVersion: rbac.authorization.k8s.io/v1
	kind: ClusterRoleBinding
	metadata: { name: "with:colons" }
	roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: "" }
	subjects:
	- { kind: ServiceAccount, name: x }
	- { kind: Robot, name: x }
	- { kind: User, apiGroup: v1, name: "" }
	EOF
	test_grep "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"" err &&
	test_grep "roleRef.name: Required value" err &&
	test_grep "subjects\[0\].namespace: Required value" err &&
	test_grep "subjects\[1\].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"" err &&
	test_grep "subjects\[2\].name: Required value" err &&
	test_grep "subjects\[2\].apiGroup: Unsupported value: \"v1\": supported values: \"rbac.authorization.k8s.io\"" err &&
	test_must_fail kubectl -n one patch rolebinding pods --type=merge -p "{\"roleRef\":{\"name\":\"other\"}}" 2>err &&
	test_grep "roleRef: Invalid value: .*: cannot change roleRef" err
'

test_expect_success 'kubectl auth can-i' '
	test_equal yes "$(as ann -n one auth can-i list pods)" &&
	test_must_fail as ann -n two auth can-i list pods >got &&
	test_equal no "$(cat got)" &&
	test_equal yes "$(as ann auth can-i get /version)" &&
	test_equal yes "$(as ann -n two auth can-i get configmap/mine)" &&
	test_equal yes "$(as ann -n one auth can-i get pods --subresource=log)" &&
	test_equal yes "$(as root auth can-i "*" "*")" &&
	test_equal yes "$(kubectl auth can-i list pods --as=bob --as-group=devs)" &&
	test_must_fail kubectl auth can-i list pods --as=bob
'

test_expect_success 'kubectl auth can-i --list' '
	as ann -n one auth can-i --list >got &&
	test_grep "^Resources  *Non-Resource URLs  *Resource Names  *Verbs$" got &&
	test_grep "^pods  *\[\]  *\[\]  *\[get list create delete\]$" got &&
	test_grep "^pods/log  *\[\]  *\[\]  *\[get list create delete\]$" got &&
	test_grep "^clusterroles.rbac.authorization.k8s.io  *\[\]  *\[view\]  *\[bind\]$" got &&
	test_grep "^selfsubjectreviews.authentication.k8s.io  *\[\]  *\[\]  *\[create\]$" got &&
	test_grep "^  *\[/api/\*\]  *\[\]  *\[get\]$" got &&
	as root auth can-i --list >got &&
	test_grep "^\*\.\*  *\[\]  *\[\]  *\[\*\]$" got &&
	test_grep "^  *\[\*\]  *\[\]  *\[\*\]$" got
'

test_expect_success 'kubectl auth whoami and reconcile' '
	as bob auth whoami >got &&
	test_grep "^Username  *bob$" got &&
	test_grep "^Groups  *\[devs system:authenticated\]$" got &&
	cat >roles.yaml <<-\EOF &&
	apiVersion: rbac.authorization.k8s.io/v1
	kind: Role
	metadata: { name: rec, namespace: one }
	rules:
	- { verbs: [get, list], apiGroups: [""], resources: [pods] }
	---
	apiVersion: rbac.authorization.k8s.io/v1
	kind: RoleBinding
	metadata: { name: rec, namespace: one }
	roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: rec }
	subjects:
	- { kind: User, apiGroup: rbac.authorization.k8s.io, name: eve }
	EOF
	kubectl auth reconcile -f roles.yaml >got &&
	test_grep "role.rbac.authorization.k8s.io/rec reconciled" got &&
	kubectl -n one patch role rec --type=merge -p "{\"rules\":[]}" &&
	kubectl auth reconcile -f roles.yaml >got 2>&1 &&
	test_grep "missing rules added" got &&
	test_equal yes "$(kubectl -n one auth can-i list pods --as=eve)"
'

test_expect_success 'admin, edit and view of a namespace: what each may' '
	kubectl create namespace team &&
	for r in admin edit view; do
		kubectl -n team create rolebinding $r --clusterrole=$r --user=$r-user || return 1
	done &&
	while read -r verb what admin edit view; do
		for r in admin edit view; do
			eval "want=\$$r" &&
			got=$(kubectl -n team auth can-i "$verb" "$what" --as="$r-user" 2>/dev/null || :) &&
			test_equal "$r $verb $what: $want" "$r $verb $what: $got" || return 1
		done
	done <<-\EOF
	list pods yes yes yes
	create deployments.apps yes yes no
	get secrets yes yes no
	create rolebindings.rbac.authorization.k8s.io yes no no
	create localsubjectaccessreviews.authorization.k8s.io yes no no
	impersonate serviceaccounts yes yes no
	update resourcequotas no no no
	get resourcequotas yes yes yes
	delete namespaces no no no
	get namespaces yes yes yes
	escalate roles.rbac.authorization.k8s.io no no no
	EOF
'

test_expect_success 'who is admin of a namespace hands on what he has, there only' '
	by() { test_user=$1; shift; kubectl --as="$test_user" "$@"; } &&
	by admin-user -n team create rolebinding helper --clusterrole=edit --user=helper &&
	by helper -n team create configmap by-helper &&
	test_must_fail by admin-user -n team create rolebinding root --clusterrole=cluster-admin --user=admin-user &&
	test_must_fail by admin-user -n one create rolebinding helper --clusterrole=edit --user=helper &&
	test_must_fail by helper -n team create rolebinding more --clusterrole=view --user=x
'

review() # KIND SPEC [NAMESPACE]
{
	printf '{"apiVersion":"authorization.k8s.io/v1","kind":"%s"%s,"spec":%s}' "$1" \
		"${3:+,\"metadata\":{\"namespace\":\"$3\"\}}" "$2" >review.json
	kubectl create -f review.json -o json
}

test_expect_success 'access reviews: the answer and the reason' '
	review SubjectAccessReview "{\"user\":\"ann\",\"resourceAttributes\":{\"namespace\":\"one\",\"verb\":\"list\",\"resource\":\"pods\"}}" >got &&
	test_grep "\"allowed\": true" got &&
	test_grep "\"reason\": \"RBAC: allowed by RoleBinding .\"pods/one.\" of Role .\"pods.\" to User .\"ann.\"\"" got &&
	review SubjectAccessReview "{\"user\":\"x\",\"groups\":[\"devs\"],\"extra\":{\"a\":[\"b\"]},\"resourceAttributes\":{\"verb\":\"list\",\"resource\":\"pods\"}}" >got &&
	test_grep "\"reason\": \"RBAC: allowed by ClusterRoleBinding .\"devs.\" of ClusterRole .\"view.\" to Group .\"devs.\"\"" got &&
	review SubjectAccessReview "{\"user\":\"system:serviceaccount:one:robot\",\"resourceAttributes\":{\"namespace\":\"one\",\"verb\":\"list\",\"resource\":\"pods\"}}" >got &&
	test_grep "to ServiceAccount .\"robot/one.\"\"" got &&
	review SubjectAccessReview "{\"user\":\"x\",\"nonResourceAttributes\":{\"verb\":\"get\",\"path\":\"/metrics\"}}" >got &&
	test_grep "\"allowed\": false" got &&
	test_grep -v "\"reason\"" got &&
	review LocalSubjectAccessReview "{\"user\":\"ann\",\"resourceAttributes\":{\"namespace\":\"one\",\"verb\":\"list\",\"resource\":\"pods\",\"fieldSelector\":{\"requirements\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"p\"]}]}}}" one >got &&
	test_grep "\"allowed\": true" got &&
	review SelfSubjectAccessReview "{\"resourceAttributes\":{\"verb\":\"drop\",\"resource\":\"everything\",\"labelSelector\":{\"rawSelector\":\"a=b\"}}}" >got &&
	test_grep "\"allowed\": true" got
'

test_expect_success 'access reviews: bad questions' '
	test_must_fail review SubjectAccessReview "{\"resourceAttributes\":{\"verb\":\"get\"},\"nonResourceAttributes\":{\"verb\":\"get\"}}" 2>err &&
	test_grep "spec.nonResourceAttributes: Invalid value: .*: cannot be specified in combination with resourceAttributes" err &&
	test_grep "spec.user: Invalid value: \"\": at least one of user or group must be specified" err &&
	test_must_fail review SelfSubjectAccessReview "{}" 2>err &&
	test_grep "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified" err &&
	test_must_fail review LocalSubjectAccessReview "{\"user\":\"a\",\"resourceAttributes\":{\"namespace\":\"two\",\"verb\":\"get\"}}" one 2>err &&
	test_grep "spec.resourceAttributes.namespace: Invalid value: \"two\": must match metadata.namespace" err &&
	test_must_fail review LocalSubjectAccessReview "{\"user\":\"a\",\"nonResourceAttributes\":{\"verb\":\"get\"}}" one 2>err &&
	test_grep "spec.nonResourceAttributes: Invalid value: .*: disallowed on this kind of request" err &&
	test_must_fail review SelfSubjectAccessReview "{\"resourceAttributes\":{\"verb\":\"get\",\"fieldSelector\":{}}}" 2>err &&
	test_grep "spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required" err &&
	test_must_fail review SelfSubjectRulesReview "{}" 2>err &&
	test_grep "no namespace on request" err
'

test_expect_success 'anonymous: health and version, nothing else' '
	url=$(kubectl config view --minify -o jsonpath="{.clusters[0].cluster.server}") &&
	for path in healthz livez readyz version version/; do
		test_equal 200 "$(curl -sk -o got -w "%{http_code}" "$url/$path")" || return 1
	done &&
	for path in api apis metrics openapi/v2 readyz/ping livez/ping api/v1/namespaces .well-known/openid-configuration nothing; do
		test_equal 403 "$(curl -sk -o got -w "%{http_code}" "$url/$path")" || return 1
	done &&
	test_grep "forbidden: User ..system:anonymous.. cannot get path ../nothing.." got
'

test_expect_success 'exec by GET needs create as well' '
	kubectl -n one create role exec-get --verb=get --resource=pods/exec,pods/attach,pods/portforward &&
	kubectl -n one create rolebinding exec-get --role=exec-get --user=bob &&
	test_equal 403 "$(curl -sk -H "Authorization: Bearer tok-bob" -o got -w "%{http_code}" "$url/api/v1/namespaces/one/pods/p/exec?command=x&stdout=1")" &&
	test_grep "cannot create resource .\"pods/exec.\"" got &&
	kubectl -n one create role exec-create --verb=get,create --resource=pods/exec &&
	kubectl -n one create rolebinding exec-create --role=exec-create --user=bob &&
	test_must_fail test 403 = "$(curl -sk -H "Authorization: Bearer tok-bob" -o got -w "%{http_code}" "$url/api/v1/namespaces/one/pods/p/exec?command=x&stdout=1")"
'

test_done
