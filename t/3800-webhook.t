#!/bin/sh
# Admission webhooks: who is asked about what, what they may change or refuse, and
# webhooks that hang, lie or are not there.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl jq openssl python3

hook_config() # KIND NAME PATH [JSON members of the webhook, overriding]
{
	jq -n --arg kind "$1" --arg name "$2" --arg url "https://127.0.0.1:8443/$3" --arg ca "$(base64 -w0 hook.crt)" \
		--argjson more "${4:-{\}}" '{
		apiVersion: "admissionregistration.k8s.io/v1", kind: $kind, metadata: { name: $name },
		webhooks: [({
			name: "\($name).example.com", admissionReviewVersions: ["v1"], sideEffects: "None",
			timeoutSeconds: 5, clientConfig: { url: $url, caBundle: $ca },
			namespaceSelector: { matchLabels: { hooked: "yes" } },
			rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] }]
		} + $more)] }'
}

validating() { hook_config ValidatingWebhookConfiguration "$@" | kubectl create -f - >/dev/null; }
mutating() { hook_config MutatingWebhookConfiguration "$@" | kubectl create -f - >/dev/null; }
no_hooks()
{
	kubectl delete validatingwebhookconfigurations,mutatingwebhookconfigurations --all >/dev/null
	: >hook.log
}

test_expect_success 'a server and a webhook start' '
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout hook.key -out hook.crt -days 2 \
		-subj /CN=hook -addext "subjectAltName=IP:127.0.0.1,DNS:hook.default.svc" 2>/dev/null &&
	: >hook.log &&
	{ python3 "$srcdir/t/helper/webhook.py" 8443 hook.crt hook.key hook.log >hook.out 2>&1 & hook_pid=$!; } &&
	start_server --disable-agent &&
	wait_for "curl -sk https://127.0.0.1:8443/ -o /dev/null" &&
	kubectl create namespace h &&
	kubectl label namespace h hooked=yes
'

test_expect_success 'a validating webhook is asked in full, and lets in' '
	validating v1 allow &&
	kubectl -n h create configmap a --from-literal=k=v --as=system:admin --as-group=system:masters &&
	jq -e "select(.request.name == \"a\") | .request |
		.operation == \"CREATE\" and .namespace == \"h\" and .dryRun == false and .oldObject == null and
		.kind == { group: \"\", version: \"v1\", kind: \"ConfigMap\" } and
		.resource == { group: \"\", version: \"v1\", resource: \"configmaps\" } and
		.requestKind == .kind and .userInfo.username == \"system:admin\" and
		.object.data.k == \"v\" and (.object.metadata.uid | length) == 36 and
		.options.kind == \"CreateOptions\" and .options.apiVersion == \"meta.k8s.io/v1\" and
		.options.fieldManager == \"kubectl-create\"" hook.log
'

test_expect_success 'an object of another namespace is no matter of its own' '
	kubectl create configmap elsewhere --from-literal=k=v &&
	test_grep -v elsewhere hook.log
'

test_expect_success 'a denial is shown as Kubernetes words it' '
	no_hooks && validating v1 deny &&
	test_must_fail kubectl -n h create configmap b 2>err &&
	test_grep "^error: failed to create configmap: admission webhook \"v1.example.com\" denied the request: not on a Saturday$" err &&
	no_hooks && validating v1 deny-quietly &&
	test_must_fail kubectl -n h create configmap b 2>err &&
	test_grep "denied the request without explanation$" err &&
	no_hooks && validating v1 deny-code &&
	test_equal 418 $(api_code -X POST -H "Content-Type: application/json" -d "{\"metadata\":{\"name\":\"b\"}}" \
		/api/v1/namespaces/h/configmaps) &&
	jq -e ".code == 418 and (.message | endswith(\": short and stout\"))" answer &&
	test_must_fail kubectl -n h get configmap b
'

test_expect_success 'a mutating webhook changes what is stored' '
	no_hooks && mutating m1 "label/color/blue" &&
	kubectl -n h create configmap c --from-literal=k=v &&
	test_equal blue $(kubectl -n h get configmap c -o "jsonpath={.metadata.labels.color}")
'

test_expect_success 'each sees what the one before it did, in order of names' '
	mutating m2 "late-label/color/shade/dark" &&
	kubectl -n h create configmap d --from-literal=k=v &&
	test_equal "blue dark" "$(kubectl -n h get configmap d -o "jsonpath={.metadata.labels.color} {.metadata.labels.shade}")"
'

test_expect_success 'one with IfNeeded is asked again when a later one changed the object' '
	no_hooks &&
	mutating a1 "late-label/color/shade/dark" "{\"reinvocationPolicy\":\"IfNeeded\"}" &&
	mutating a2 "label/color/red" &&
	kubectl -n h create configmap e --from-literal=k=v &&
	test_equal "red dark" "$(kubectl -n h get configmap e -o "jsonpath={.metadata.labels.color} {.metadata.labels.shade}")" &&
	test_equal 2 $(grep -c late-label hook.log) &&
	test_equal 1 $(grep -c "\"/label" hook.log)
'

test_expect_success 'a mutating webhook without IfNeeded is asked once' '
	no_hooks &&
	mutating a1 "late-label/color/shade/dark" &&
	mutating a2 "label/color/red" &&
	kubectl -n h create configmap f --from-literal=k=v &&
	test_equal "red " "$(kubectl -n h get configmap f -o "jsonpath={.metadata.labels.color} {.metadata.labels.shade}")"
'

test_expect_success 'updates and patches are asked about with the old object' '
	no_hooks &&
	validating u1 allow "{\"rules\":[{\"operations\":[\"UPDATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":[\"configmaps\"]}]}" &&
	kubectl -n h patch configmap f -p "{\"data\":{\"k\":\"w\"}}" &&
	jq -e ".request | .operation == \"UPDATE\" and .object.data.k == \"w\" and .oldObject.data.k == \"v\" and
		.options.kind == \"UpdateOptions\"" hook.log
'

test_expect_success 'a deletion can be refused; the old object is what is asked about' '
	no_hooks &&
	validating d1 deny "{\"rules\":[{\"operations\":[\"DELETE\"],\"apiGroups\":[\"*\"],\"apiVersions\":[\"*\"],\"resources\":[\"*\"]}]}" &&
	test_must_fail kubectl -n h delete configmap f 2>err &&
	test_grep "not on a Saturday" err &&
	test_must_fail kubectl -n h delete configmaps --all 2>err &&
	test_grep "not on a Saturday" err &&
	jq -se ".[0].request | .object == null and .oldObject.metadata.name == \"f\" and .options.kind == \"DeleteOptions\"" hook.log &&
	no_hooks && kubectl -n h delete configmap f
'

test_expect_success 'an object is chosen by its labels' '
	no_hooks && validating o1 deny "{\"objectSelector\":{\"matchLabels\":{\"strict\":\"yes\"}}}" &&
	kubectl -n h create configmap loose &&
	echo "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"tight\",\"labels\":{\"strict\":\"yes\"}}}" >tight.json &&
	test_must_fail kubectl -n h create -f tight.json
'

test_expect_success 'another version of the same thing is matched too, and comes in the version asked for' '
	no_hooks &&
	mutating e1 "label/seen/yes" "{\"rules\":[{\"operations\":[\"*\"],\"apiGroups\":[\"autoscaling\"],\"apiVersions\":[\"v1\"],\"resources\":[\"horizontalpodautoscalers\"]}]}" &&
	kubectl -n h create -f - <<-\EOF &&
	{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"x"},"spec":{"maxReplicas":3,
	 "scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"x"},
	 "metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]}}
	EOF
	jq -e ".request | .kind.version == \"v1\" and .requestKind.version == \"v2\" and
		.object.spec.targetCPUUtilizationPercentage == 50" hook.log &&
	kubectl -n h get hpa.v2.autoscaling x -o json >got &&
	jq -e ".metadata.labels.seen == \"yes\" and .spec.metrics[0].resource.target.averageUtilization == 50" got &&
	no_hooks &&
	mutating e2 "label/seen/yes" "{\"matchPolicy\":\"Exact\",\"rules\":[{\"operations\":[\"*\"],\"apiGroups\":[\"autoscaling\"],\"apiVersions\":[\"v1\"],\"resources\":[\"horizontalpodautoscalers\"]}]}" &&
	kubectl -n h annotate hpa.v2.autoscaling x a=b &&
	test_equal "" "$(cat hook.log)"
'

test_expect_success 'warnings of a webhook reach the user' '
	no_hooks && validating w1 warn &&
	kubectl -n h create configmap warned 2>err &&
	test_grep "^Warning: the webhook has seen better objects$" err
'

test_expect_success 'a dry run asks those without side effects, and stores nothing' '
	no_hooks && mutating m1 "label/color/blue" &&
	kubectl -n h create configmap dry --dry-run=server -o yaml >got &&
	test_grep "color: blue" got &&
	jq -e ".request.dryRun" hook.log &&
	test_must_fail kubectl -n h get configmap dry
'

test_expect_success 'a webhook that knows v1beta1 only is asked in that' '
	no_hooks && validating b1 allow "{\"admissionReviewVersions\":[\"v1beta1\"]}" &&
	kubectl -n h create configmap beta &&
	jq -e ".apiVersion == \"admission.k8s.io/v1beta1\"" hook.log
'

# What each of these does to a create, by failurePolicy: PATH and the words of the error.
test_failure()
{
	test_expect_success "$1: by failurePolicy the request fails or goes on" "
		no_hooks && validating f1 '$1' '{\"timeoutSeconds\":1}' &&
		test_must_fail kubectl -n h create configmap 'fail-$1' 2>err &&
		test_grep 'Internal error occurred: failed calling webhook \"f1.example.com\": $2' err &&
		no_hooks && validating f1 '$1' '{\"timeoutSeconds\":1,\"failurePolicy\":\"Ignore\"}' &&
		kubectl -n h create configmap 'fail-$1'
	"
}
test_failure hang 'failed to call webhook: Post "https://127.0.0.1:8443/hang?timeout=1s": context deadline exceeded'
test_failure garbage 'failed to call webhook: the answer is no JSON'
test_failure empty 'received invalid webhook response: webhook response was absent'
test_failure wrong-uid 'received invalid webhook response: expected response.uid='
test_failure wrong-kind 'received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v1, Kind=Pod'
test_failure code-500 'failed to call webhook: an error on the server ("out of order") has prevented the request from succeeding'
test_failure endless 'failed to call webhook:'
test_failure big 'failed to call webhook:'
test_failure close 'failed to call webhook:'

test_expect_success 'patches that do not fit are errors whatever the policy' '
	no_hooks && mutating p1 bad-patch "{\"failurePolicy\":\"Ignore\"}" &&
	test_must_fail kubectl -n h create configmap p --from-literal=k=v 2>err &&
	test_grep "Internal error occurred: " err &&
	no_hooks && mutating p1 patch-type &&
	test_must_fail kubectl -n h create configmap p --from-literal=k=v 2>err &&
	test_grep "Internal error occurred: " err &&
	no_hooks && mutating p1 patch-no-type &&
	test_must_fail kubectl -n h create configmap p --from-literal=k=v 2>err &&
	test_grep "webhook returned response.patch but not response.patchType" err &&
	test_must_fail kubectl -n h get configmap p
'

test_expect_success 'while a webhook hangs, others are served; many can wait' '
	no_hooks && validating s1 hang "{\"timeoutSeconds\":4}" &&
	{ for i in 1 2 3 4 5 6 7 8; do kubectl_bg -n h create configmap "waits$i" >/dev/null 2>&1 & done; } &&
	wait_for "test \$(wc -l <hook.log) -ge 8" &&
	before=$(now_ms) &&
	kubectl create configmap quick &&
	kubectl get configmaps -A >/dev/null &&
	test $(($(now_ms) - before)) -lt $((3000 * TEST_SLOW))
'

test_expect_success 'a webhook that nobody answers for, and one with another CA' '
	no_hooks && validating n1 allow "{\"clientConfig\":{\"url\":\"https://127.0.0.1:1/x\"}}" &&
	test_must_fail kubectl -n h create configmap n 2>err &&
	test_grep "failed calling webhook \"n1.example.com\": failed to call webhook: Post \"https://127.0.0.1:1/x?timeout=5s\": " err &&
	no_hooks && validating n1 allow "{\"clientConfig\":{\"url\":\"https://127.0.0.1:8443/allow\"}}" &&
	test_must_fail kubectl -n h create configmap n 2>err &&
	test_grep -i "certificate" err
'

test_expect_success 'a webhook behind a Service' '
	no_hooks && validating svc allow "{\"clientConfig\":{\"service\":{\"namespace\":\"default\",\"name\":\"hook\",\"path\":\"/deny\",\"port\":443},\"caBundle\":\"$(base64 -w0 hook.crt)\"}}" &&
	test_must_fail kubectl -n h create configmap s 2>err &&
	test_grep "failed to call webhook: service" err &&
	ip addr add 10.9.8.7/32 dev lo && # no endpoint may be in the loopback range
	kubectl create service clusterip hook --tcp=443:8443 &&
	test_must_fail kubectl -n h create configmap s 2>err &&
	test_grep "no endpoints available for service \"hook\"" err &&
	kubectl create -f - <<-\EOF &&
	{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"hook-1","labels":{"kubernetes.io/service-name":"hook"}},
	 "addressType":"IPv4","endpoints":[{"addresses":["10.9.8.7"]}],"ports":[{"name":"443-8443","port":8443}]}
	EOF
	test_must_fail kubectl -n h create configmap s 2>err &&
	test_grep "not on a Saturday" err
'

test_expect_success 'the same Service by the proxy subresource: its address is no pod, so nobody is led there' '
	no_hooks &&
	test_equal 503 $(api_code -X POST -H "Content-Type: application/json" -d "{\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":\"1\"}}" \
		/api/v1/namespaces/default/services/https:hook:443/proxy/deny) &&
	test_grep "no endpoints available for service" answer
'

test_expect_success 'a client that leaves while a webhook is asked does no harm' '
	no_hooks && validating g1 slow &&
	test_must_fail api --max-time 0.3 -X POST -H "Content-Type: application/json" -d "{\"metadata\":{\"name\":\"gone\"}}" \
		/api/v1/namespaces/h/configmaps &&
	kubectl -n h create configmap stays
'

test_expect_success 'custom resources: each version as the rules have it, pruned after the webhooks; and definitions' '
	no_hooks &&
	cat >crd.json <<-\EOF &&
	{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"crs.e2e.example.com"},
	 "spec":{"group":"e2e.example.com","scope":"Namespaced","names":{"plural":"crs","kind":"Cr"},"versions":[
	  {"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"data":{
	   "type":"object","properties":{"start":{"type":"string"},"stage1":{"type":"string"}}}}}}},
	  {"name":"v2","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object","properties":{"data":{
	   "type":"object","properties":{"start":{"type":"string"},"stage1":{"type":"string"}}}}}}}]}}
	EOF
	crs="[{\"operations\":[\"*\"],\"apiGroups\":[\"e2e.example.com\"],\"apiVersions\":[\"v1\"],\"resources\":[\"crs\"]}]" &&
	crds=$(echo "$crs" | sed "s/e2e.example.com/apiextensions.k8s.io/; s/crs/customresourcedefinitions/") &&
	validating d1 deny "{\"rules\":$crds,\"namespaceSelector\":{}}" &&
	test_must_fail kubectl create -f crd.json 2>err &&
	test_grep "admission webhook .d1.example.com. denied the request" err &&
	no_hooks &&
	kubectl create -f crd.json &&
	kubectl wait --for=condition=Established crd/crs.e2e.example.com &&
	mutating m1 data/stage1/yes "{\"rules\":$crs}" &&
	mutating m2 data/stage2/yes "{\"rules\":$crs}" &&
	for v in v1 v2; do
		echo "{\"apiVersion\":\"e2e.example.com/$v\",\"kind\":\"Cr\",\"metadata\":{\"name\":\"cr-$v\"},\"data\":{\"start\":\"yes\"}}" |
			kubectl -n h create -f - || return 1
		test_equal "yes yes " "$(kubectl -n h get "crs.$v.e2e.example.com" "cr-$v" \
			-o "jsonpath={.data.start} {.data.stage1} {.data.stage2}")" || return 1
	done &&
	no_hooks && validating d2 deny "{\"rules\":$crs}" &&
	test_must_fail kubectl -n h delete crs cr-v1 2>err &&
	test_grep "denied the request" err &&
	no_hooks &&
	kubectl -n h delete crs --all &&
	kubectl delete -f crd.json
'

test_expect_success 'webhook configurations themselves are out of their reach' '
	no_hooks &&
	validating all deny "{\"namespaceSelector\":{},\"rules\":[{\"operations\":[\"*\"],\"apiGroups\":[\"*\"],\"apiVersions\":[\"*\"],\"resources\":[\"*/*\"]}]}" &&
	test_must_fail kubectl create configmap nothing-goes &&
	kubectl delete validatingwebhookconfiguration all
'

test_expect_success 'subresources: a Scale is asked about as a Scale' '
	no_hooks &&
	kubectl -n h create -f - <<-\EOF &&
	{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"r"},"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},
	 "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}
	EOF
	validating sc allow "{\"rules\":[{\"operations\":[\"UPDATE\"],\"apiGroups\":[\"apps\"],\"apiVersions\":[\"v1\"],\"resources\":[\"replicasets/scale\"]}]}" &&
	kubectl -n h scale rs r --replicas=2 &&
	jq -e ".request | .subResource == \"scale\" and .kind.kind == \"Scale\" and .object.spec.replicas == 2 and
		.oldObject.spec.replicas == 0" hook.log
'

test_expect_success 'CONNECT: exec is refused before it begins' '
	no_hooks &&
	validating cx deny "{\"rules\":[{\"operations\":[\"CONNECT\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":[\"pods/exec\"]}]}" &&
	kubectl -n h create -f - <<-\EOF &&
	{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"nodeName":"far","containers":[{"name":"c","image":"i"}]}}
	EOF
	test_must_fail kubectl -n h exec p -- ls -l 2>err &&
	test_grep "denied the request: not on a Saturday" err &&
	jq -e ".request | .operation == \"CONNECT\" and .object.command == [\"ls\", \"-l\"] and .kind.kind == \"PodExecOptions\"" hook.log
'

kill $hook_pid

test_done
