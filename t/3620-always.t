#!/bin/sh
# What every cluster has: there after the first start, not written again at the
# second, back at once when somebody deletes or changes it. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

back() # WHAT...: kubectl's arguments; deleted, and there again
{
	uid=$(kubectl get "$@" -o jsonpath="{.metadata.uid}") &&
	kubectl delete "$@" --wait=false &&
	wait_for -t 5 "new=\$(kubectl get $* -o jsonpath={.metadata.uid}) && test \$new != $uid"
}

test_expect_success 'start the server' '
	start_server --disable-agent
'

test_expect_success 'namespaces with their label; three of them stay whatever comes' '
	kubectl get namespaces -L kubernetes.io/metadata.name --no-headers >got &&
	awk "{ print \$1, \$2, \$4 }" got >names &&
	printf "%s\n" "default Active default" "kube-node-lease Active kube-node-lease" "kube-public Active kube-public" \
		"kube-system Active kube-system" >want &&
	test_cmp want names &&
	for ns in default kube-system kube-public; do
		test_must_fail kubectl delete namespace $ns 2>err &&
		test_grep "namespaces \"$ns\" is forbidden: this namespace may not be deleted" err || return 1
	done
'

test_expect_success 'flow schemas and priority levels as Kubernetes has them' '
	kubectl get flowschemas -o jsonpath="{range .items[*]}{.metadata.name} {.spec.matchingPrecedence} {.spec.priorityLevelConfiguration.name}{\"\n\"}{end}" |
		sort -n -k2,2 -k1,1 >got &&
	printf "%s\n" "exempt 1 exempt" "probes 2 exempt" "system-leader-election 100 leader-election" \
		"endpoint-controller 150 workload-high" "workload-leader-election 200 leader-election" \
		"system-node-high 400 node-high" "system-nodes 500 system" "kube-controller-manager 800 workload-high" \
		"kube-scheduler 800 workload-high" "kube-system-service-accounts 900 workload-high" \
		"service-accounts 9000 workload-low" "global-default 9900 global-default" "catch-all 10000 catch-all" |
		sort -n -k2,2 -k1,1 >want &&
	test_cmp want got &&
	kubectl get prioritylevelconfigurations --no-headers | awk "{ print \$1, \$2, \$3, \$4, \$5, \$6 }" >got &&
	printf "%s\n" "catch-all Limited 5 <none> <none> <none>" "exempt Exempt <none> <none> <none> <none>" \
		"global-default Limited 20 128 6 50" "leader-election Limited 10 16 4 50" "node-high Limited 40 64 6 50" \
		"system Limited 30 64 6 50" "workload-high Limited 40 128 6 50" "workload-low Limited 100 128 6 50" >want &&
	test_cmp want got &&
	wait_for "test \$(kubectl get flowschemas --no-headers | grep -c \" False\$\") = 13"
'

test_expect_success 'priority classes, the range of service addresses, the authority of client certificates' '
	test_equal "2000000000 2000001000" "$(kubectl get priorityclasses system-cluster-critical system-node-critical -o jsonpath="{.items[*].value}")" &&
	test_must_fail kubectl delete priorityclass system-node-critical 2>err &&
	test_grep "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be deleted" err &&
	test_equal "10.43.0.0/16" "$(kubectl get servicecidr kubernetes -o jsonpath="{.spec.cidrs[*]}")" &&
	wait_for "kubectl wait --for=condition=Ready servicecidr/kubernetes --timeout=5s" &&
	kubectl -n kube-system get configmap extension-apiserver-authentication -o jsonpath="{.data.client-ca-file}" >ca &&
	test_cmp "$DATA/server/tls/ca.crt" ca
'

test_expect_success 'each namespace has its account and the root certificate' '
	wait_for "kubectl -n kube-public get serviceaccount default" &&
	wait_for "kubectl -n kube-public get configmap kube-root-ca.crt" &&
	kubectl -n kube-public get configmap kube-root-ca.crt -o jsonpath="{.data.ca\.crt}" >ca &&
	test_cmp "$DATA/server/tls/ca.crt" ca
'

# Let the server settle: two looks at what changes last must agree.
revision() # the newest revision of all that is always there
{
	for what in namespaces services serviceaccounts endpoints endpointslices.discovery.k8s.io configmaps flowschemas \
		prioritylevelconfigurations priorityclasses servicecidrs clusterroles clusterrolebindings roles rolebindings; do
		kubectl get "$what" -A -o jsonpath="{range .items[*]}{.kind} {.metadata.namespace} {.metadata.name} {.metadata.resourceVersion}{\"\n\"}{end}" || return 1
	done 2>/dev/null
}

test_expect_success 'a second start writes nothing' '
	wait_for "kubectl -n kube-node-lease get serviceaccount default && kubectl -n default get configmap kube-root-ca.crt" &&
	revision >before && restart_server && revision >after &&
	test_cmp before after
'

test_expect_success 'what is deleted comes back' '
	back namespace kube-node-lease &&
	wait_for "kubectl -n kube-node-lease get serviceaccount default" &&
	back service kubernetes && test_equal 10.43.0.1 "$(kubectl get service kubernetes -o jsonpath="{.spec.clusterIP}")" &&
	back endpoints kubernetes && back endpointslice kubernetes &&
	back serviceaccount default && back -n kube-system serviceaccount default &&
	back configmap kube-root-ca.crt && back -n kube-system configmap extension-apiserver-authentication &&
	back flowschema catch-all && back flowschema exempt && back flowschema system-nodes &&
	back prioritylevelconfiguration exempt && back prioritylevelconfiguration workload-low
'

test_expect_success 'what is changed is put right' '
	kubectl patch configmap kube-root-ca.crt --type=merge -p "{\"data\":{\"ca.crt\":\"mine\",\"x\":\"y\"}}" &&
	wait_for "kubectl get configmap kube-root-ca.crt -o jsonpath={.data} | grep BEGIN" &&
	kubectl get configmap kube-root-ca.crt -o jsonpath="{.data.x}" >got && test_cmp /dev/null got &&
	kubectl -n kube-system patch configmap extension-apiserver-authentication --type=merge -p "{\"data\":{\"client-ca-file\":\"mine\"}}" &&
	wait_for "kubectl -n kube-system get configmap extension-apiserver-authentication -o yaml | grep BEGIN" &&
	kubectl patch flowschema catch-all --type=merge -p "{\"spec\":{\"matchingPrecedence\":77}}" &&
	wait_for "test \$(kubectl get flowschema catch-all -o jsonpath={.spec.matchingPrecedence}) = 10000" &&
	kubectl patch prioritylevelconfiguration system --type=merge -p "{\"spec\":{\"limited\":{\"nominalConcurrencyShares\":77}}}" &&
	wait_for "test \$(kubectl get prioritylevelconfiguration system -o jsonpath={.spec.limited.nominalConcurrencyShares}) = 30"
'

test_expect_success 'a suggestion that somebody made his own stays as it is' '
	kubectl annotate --overwrite prioritylevelconfiguration system apf.kubernetes.io/autoupdate-spec=false &&
	kubectl patch prioritylevelconfiguration system --type=merge -p "{\"spec\":{\"limited\":{\"nominalConcurrencyShares\":77}}}" &&
	back flowschema catch-all &&
	test_equal 77 "$(kubectl get prioritylevelconfiguration system -o jsonpath="{.spec.limited.nominalConcurrencyShares}")"
'

test_done
