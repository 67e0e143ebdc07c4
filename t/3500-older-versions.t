#!/bin/sh
# Versions that Kubernetes dropped: the manifests of an old book apply as they
# are, with a warning; what they make is seen and changed in the new version, and
# nothing gets in the new versions' way. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

book=$srcdir/t/book
ext=/apis/extensions/v1beta1/namespaces/default/deployments
deprecated="extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment"

test_expect_success 'start the server' '
	start_server --disable-agent --token geheim &&
	wait_for "kubectl get namespace default"
'

old="cronjob daemonset deployment ingress replicaset statefulset"

manifests()
{
	test_expect_success 'every manifest of the book is good, in strict validation too' '
		kubectl create -f "$book" --dry-run=server --validate=strict >got 2>err &&
		test_lines "$(ls "$book" | grep -c "\.yaml$")" got &&
		test_equal "" "$(grep -v "created (server dry run)$" got)"
	'

	test_expect_success 'and applies, with a warning for each old version' '
		ns=book-$(echo $TEST_SUFFIX | tr . -) &&
		kubectl create namespace $ns &&
		for file in $old; do
			kubectl -n $ns apply -f "$book/$file.yaml" >got 2>err || { cat err; return 1; }
			test_lines 1 got &&
			test_grep "^Warning: [a-z./0-9]* [A-Za-z]* is deprecated in v1\.[0-9]*+, unavailable in v1\.[0-9]*+; use [a-z8./]*v1 [A-Za-z]*$" err &&
			kubectl -n $ns apply -f "$book/$file.yaml" >got 2>err &&
			test_grep "unchanged$\|^\(ingress\|statefulset\).* configured$" got || return 1
		done &&
		kubectl -n $ns get -f "$book/ingress.yaml" -o name >got &&
		test_equal ingress.extensions/kubia "$(cat got)" &&
		kubectl -n $ns delete -f "$book/ingress.yaml" --wait=false >got &&
		test_grep "^ingress.extensions \"kubia\" deleted" got &&
		kubectl delete namespace $ns --wait=false
	'
}
for_each_kubectl 2 manifests

test_expect_success 'what the book makes, as the new versions show it' '
	for file in $old; do
		kubectl apply -f "$book/$file.yaml" || return 1
	done &&
	kubectl get sts kubia -o jsonpath="{.apiVersion} {.spec.updateStrategy.type} {.spec.selector.matchLabels.app}" >got &&
	test_equal "apps/v1 OnDelete kubia" "$(cat got)" &&
	kubectl get ingress kubia -o jsonpath="{.apiVersion} {.spec.rules[0].http.paths[0].backend.service.name}:{.spec.rules[0].http.paths[0].backend.service.port.number} {.spec.rules[0].http.paths[0].pathType}" >got &&
	test_equal "networking.k8s.io/v1 kubia-nodeport:80 ImplementationSpecific" "$(cat got)" &&
	kubectl get deploy kubia -o jsonpath="{.apiVersion} {.spec.revisionHistoryLimit} {.spec.minReadySeconds} {.metadata.labels.app}" >got &&
	test_equal "apps/v1 2 10 kubia" "$(cat got)" &&
	kubectl get cj periodic-batch-job -o jsonpath="{.apiVersion} {.spec.schedule}" >got &&
	test_equal "batch/v1 0,15,30,45 * * * *" "$(cat got)" &&
	kubectl get rs,ds >got 2>err &&
	test_grep "^replicaset.apps/kubia  *3" got &&
	test_grep "^daemonset.apps/ssd-monitor" got &&
	test ! -s err
'

test_expect_success 'the new versions stay what kubectl prefers' '
	kubectl get deploy,ing,netpol -o name >got 2>err &&
	test_grep "^deployment.apps/kubia$" got &&
	test_grep "^ingress.networking.k8s.io/kubia$" got &&
	test ! -s err &&
	kubectl get all -o name >got 2>err &&
	test_grep "^deployment.apps/kubia$" got && test_grep "^replicaset.apps/" got &&
	test_equal "" "$(grep -E "^(deployment|replicaset)" got | grep -v "\.apps/")" &&
	test ! -s err &&
	for group in apps batch policy networking.k8s.io discovery.k8s.io; do
		api /apis/$group >group || return 1
		test_grep "\"preferredVersion\": *{\"groupVersion\": *\"$group/v1\"" group || return 1
	done &&
	kubectl api-versions >got &&
	for version in apps/v1beta1 apps/v1beta2 batch/v1beta1 discovery.k8s.io/v1beta1 extensions/v1beta1 networking.k8s.io/v1beta1 policy/v1beta1; do
		test_grep "^$version$" got || return 1
	done &&
	test_grep -v policy/v1alpha got >/dev/null
'

test_expect_success 'read, patched, scaled and deleted in an old version' '
	kubectl get deployments.v1beta1.extensions kubia -o jsonpath="{.apiVersion}" >got 2>err &&
	test_equal extensions/v1beta1 "$(cat got)" &&
	test_equal "Warning: $deprecated" "$(cat err)" &&
	kubectl patch deployments.v1beta1.extensions kubia --type=merge -p "{\"spec\":{\"paused\":true,\"rollbackTo\":{\"revision\":7}}}" &&
	kubectl get deploy kubia -o jsonpath="{.metadata.annotations.deprecated\.deployment\.rollback\.to}" >got &&
	test_equal 7 "$(cat got)" &&
	kubectl rollout resume deploy kubia &&
	kubectl patch deployments.v1beta1.extensions kubia -p "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"nicai\",\"image\":\"other:2\"}]}}}}" &&
	kubectl get deploy kubia -o jsonpath="{.spec.template.spec.containers[*].image}" >got &&
	test_equal other:2 "$(cat got)" &&
	kubectl scale deployments.v1beta1.extensions kubia --replicas=5 &&
	kubectl get deploy kubia -o jsonpath="{.spec.replicas}" >got &&
	test_equal 5 "$(cat got)" &&
	kubectl delete deployments.v1beta1.extensions kubia &&
	test_must_fail kubectl get deploy kubia
'

test_expect_success 'the Scale of an old version' '
	kubectl apply -f "$book/deployment.yaml" &&
	test_equal 200 "$(api_code $ext/kubia/scale)" &&
	test_grep "\"kind\": *\"Scale\", *\"apiVersion\": *\"extensions/v1beta1\"" answer &&
	test_grep "\"targetSelector\": *\"app=kubia\"" answer &&
	test_grep "\"selector\": *{\"app\": *\"kubia\"}" answer &&
	test_equal 200 "$(api_code -X PUT -H "Content-Type: application/json" -d "{\"kind\":\"Scale\",\"apiVersion\":\"extensions/v1beta1\",\"metadata\":{\"name\":\"kubia\"},\"spec\":{\"replicas\":2}}" $ext/kubia/scale)" &&
	test_equal 400 "$(api_code -X PUT -H "Content-Type: application/json" -d "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":\"kubia\"},\"spec\":{\"replicas\":2}}" $ext/kubia/scale)" &&
	kubectl get deploy kubia -o jsonpath="{.spec.replicas}" >got &&
	test_equal 2 "$(cat got)"
'

test_expect_success 'lists, tables and watches in an old version, with the header' '
	api -D head $ext >got &&
	test_grep "\"kind\": *\"DeploymentList\", *\"apiVersion\": *\"extensions/v1beta1\"" got &&
	test_grep "\"kind\": *\"Deployment\", *\"apiVersion\": *\"extensions/v1beta1\"\|\"apiVersion\": *\"extensions/v1beta1\", *\"kind\": *\"Deployment\"" got &&
	test_grep "^Warning: 299 - \"$deprecated\"" head &&
	api -H "Accept: application/json;as=Table;g=meta.k8s.io;v=v1" $ext >got &&
	test_grep "\"name\": *\"Up-to-date\"" got &&
	{ timeout 20 "$KUBECTL" get deployments.v1beta1.extensions kubia -w -o jsonpath="{.apiVersion} {.spec.replicas}{\"\\n\"}" >watched 2>&1 & } &&
	watcher=$! &&
	wait_for "grep \"extensions/v1beta1 2\" watched" &&
	kubectl scale deploy kubia --replicas=4 &&
	wait_for "grep \"extensions/v1beta1 4\" watched" &&
	kill $watcher
'

test_expect_success 'an edit in the new version is seen in the old one, and back' '
	kubectl apply -f "$book/ingress.yaml" &&
	old=/apis/extensions/v1beta1/namespaces/default/ingresses/kubia &&
	api $old >old.json &&
	api /apis/networking.k8s.io/v1/namespaces/default/ingresses/kubia >before.json &&
	test_equal 200 "$(api_code -X PUT -H "Content-Type: application/json" --data-binary @old.json $old)" &&
	api /apis/networking.k8s.io/v1/namespaces/default/ingresses/kubia >after.json &&
	test_cmp before.json after.json &&
	kubectl get ingresses.v1beta1.networking.k8s.io kubia -o jsonpath="{.spec.rules[0].http.paths[0].backend}" >got &&
	test_equal "{\"serviceName\":\"kubia-nodeport\",\"servicePort\":80}" "$(cat got)" &&
	kubectl annotate ing kubia a=b &&
	kubectl diff -f "$book/ingress.yaml"
'

test_expect_success 'explain and the OpenAPI of old versions' '
	kubectl explain ingress.spec.rules.http.paths.backend --api-version=extensions/v1beta1 >got &&
	test_grep serviceName got &&
	kubectl get --raw /openapi/v3 >index &&
	test_grep apis/extensions/v1beta1 index &&
	kubectl get --raw /openapi/v3/apis/apps/v1beta1 >got &&
	test_grep io.k8s.api.apps.v1beta1.Deployment got
'

test_expect_success 'bad input in an old version' '
	printf "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: bad}\nspec: {template: {spec: {containers: [{name: c, image: i}]}}}\n" >bad.yaml &&
	test_must_fail kubectl create -f bad.yaml 2>err &&
	test_grep "spec.selector: Required value" err &&
	printf "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: bad}\nspec: {miniReadySeconds: 1, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}\n" >bad.yaml &&
	test_must_fail kubectl create -f bad.yaml 2>err &&
	test_grep "unknown field \"spec.miniReadySeconds\"" err &&
	printf "apiVersion: extensions/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: bad}\nspec: {}\n" >bad.yaml &&
	test_must_fail kubectl create -f bad.yaml 2>err &&
	test_grep "no matches for kind \"PodSecurityPolicy\" in version \"extensions/v1beta1\"" err &&
	test_equal 404 "$(api_code /apis/extensions/v1beta1/podsecuritypolicies)" &&
	test_equal 404 "$(api_code /apis/extensions/v1/deployments)" &&
	test_equal 400 "$(api_code -X POST -H "Content-Type: application/json" -d "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"x\"}}" $ext)"
'

test_expect_success 'deleting all of the book' '
	kubectl delete -f "$book" --wait=false --ignore-not-found >got &&
	wait_for "test 0 = \$(kubectl get deploy,rs,ds,sts,ing,cj -o name | wc -l)"
'

test_done
