#!/bin/sh
# PodDisruptionBudgets: what they count, and evictions that ask them, with the words of Kubernetes.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

counts() # BUDGET "HEALTHY DESIRED EXPECTED ALLOWED"
{
	wait_for "test_equal \"$2\" \"\$(kubectl get pdb $1 -o \
		jsonpath='{.status.currentHealthy} {.status.desiredHealthy} {.status.expectedPods} {.status.disruptionsAllowed}')\""
}

condition() # BUDGET "STATUS REASON MESSAGE"
{
	wait_for "test_equal \"$2\" \"\$(kubectl get pdb $1 -o \
		jsonpath='{range .status.conditions[?(@.type==\"DisruptionAllowed\")]}{.status} {.reason} {.message}{end}')\""
}

said() # BUDGET PATTERN
{
	wait_for "kubectl get events --field-selector involvedObject.name=$1 \
		-o custom-columns=T:.type,R:.reason,S:.source.component,M:.message --no-headers | grep -- \"$2\""
}

evict() # POD [DELETE-OPTIONS [QUERY]]: prints the code; the answer is in ./answer
{
	api_code -H "Content-Type: application/json" -d "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",
		\"metadata\":{\"name\":\"$1\"}${2:+,\"deleteOptions\":$2}}" "/api/v1/namespaces/default/pods/$1/eviction$3"
}

pods() # APP: that are not to go
{
	kubectl get pods -l "app=$1" --no-headers -o custom-columns=N:.metadata.name,D:.metadata.deletionTimestamp |
		sed -n 's/ *<none>$//p' | sort
}

test_expect_success 'kubectl create pdb: counts, columns, condition' '
	start_server &&
	import_demo &&
	wait_node &&
	kubectl create pdb web --selector=app=web --min-available=50% &&
	said web "Normal  *NoPods  *controllermanager  *No matching pods found" &&
	condition web "False InsufficientPods " &&
	kubectl apply -f - <<-EOF &&
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: web}
	spec:
	  replicas: 3
	  selector: {matchLabels: {app: web}}
	  template:
	    metadata: {labels: {app: web}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers: [{name: c, image: localhost/demo:1, command: [sleep, "9999"]}]
	EOF
	counts web "3 2 3 1" &&
	condition web "True SufficientPods " &&
	kubectl get pdb web >got &&
	test_grep "^web  *50%  *N/A  *1  *[0-9]*[smh]" got &&
	test_equal "$(field pdb/web .metadata.generation)" "$(field pdb/web .status.observedGeneration)"
'

test_expect_success 'numbers and percents, of both kinds' '
	budget() { kubectl patch pdb web --type=merge -p "{\"spec\":{\"minAvailable\":$1,\"maxUnavailable\":$2}}"; } &&
	budget 1 null &&
	counts web "3 1 3 2" &&
	budget null 1 &&
	counts web "3 2 3 1" &&
	budget null "\"34%\"" &&
	counts web "3 1 3 2" &&
	budget null 5 &&
	counts web "3 0 3 3" &&
	budget 5 null &&
	counts web "3 5 3 0" &&
	condition web "False InsufficientPods "
'

test_expect_success 'an eviction that a budget forbids: 429, with the reason' '
	one=$(pods web | head -n 1) &&
	test_equal 429 "$(evict $one)" &&
	test_grep "\"reason\":\"TooManyRequests\"" answer &&
	test_grep "Cannot evict pod as it would violate the pod.s disruption budget\\." answer &&
	test_grep "\"reason\":\"DisruptionBudget\",\"message\":\"The disruption budget web needs 5 healthy pods and has 3 currently\"" answer &&
	pods web >got &&
	test_lines 3 got
'

test_expect_success 'one that it allows: counted, the pod goes; nothing at a dry run or with a wrong uid' '
	budget 2 null &&
	counts web "3 2 3 1" &&
	test_equal 201 "$(evict $one "" "?dryRun=All")" &&
	test_equal 201 "$(evict $one "{\"dryRun\":[\"All\"]}")" &&
	test_equal 409 "$(evict $one "{\"preconditions\":{\"uid\":\"other\"}}")" &&
	test_equal 409 "$(evict $one "{\"preconditions\":{\"resourceVersion\":\"1\"}}")" &&
	counts web "3 2 3 1" &&
	pods web >before &&
	test_grep $one before &&
	test_equal 201 "$(evict $one)" &&
	test_grep "\"status\":\"Success\"" answer &&
	wait_for "pods web >now && ! grep $one now" &&
	counts web "3 2 3 1" &&
	wait_for "test -z \"\$(field pdb/web .status.disruptedPods)\"" &&
	test_equal 404 "$(evict $one)"
'

# The quota keeps new pods from filling the gap in between.
test_expect_success 'two at once: one of them only' '
	kubectl create quota stop --hard=pods=1 &&
	wait_for "field quota/stop .status.hard | grep pods" &&
	kubectl get pods -l app=web -o name | sed "s,pod/,," | sort | head -n 2 >two &&
	{ evict $(sed -n 1p two) >code1 & first=$!; } &&
	mkdir -p other && ( cd other && evict $(sed -n 2p ../two) >code2 ) &&
	wait $first &&
	{ cat code1 && echo && cat other/code2 && echo; } | sort >got &&
	printf "201\n429\n" >expect &&
	test_cmp expect got &&
	counts web "2 2 2 0" &&
	kubectl delete quota stop &&
	counts web "3 2 3 1"
'

test_expect_success 'more than one budget: 500' '
	kubectl create pdb second --selector=app=web --max-unavailable=1 &&
	wait_for "test -n \"\$(field pdb/second .status.observedGeneration)\"" &&
	test_equal 500 "$(evict $(pods web | head -n 1))" &&
	test_grep "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support\\." answer &&
	kubectl delete pdb second
'

test_expect_success 'a pod of nobody, and one of what has no scale' '
	kubectl run alone --image=localhost/demo:1 --labels=app=alone \
		--overrides="{\"spec\":{\"terminationGracePeriodSeconds\":0}}" -- sleep 9999 &&
	kubectl create pdb alone --selector=app=alone --max-unavailable=1 &&
	said alone "Warning  *UnmanagedPods  *controllermanager  *Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map\[string\]string{app: alone,},MatchExpressions:\[\]LabelSelectorRequirement{},}) were found to be unmanaged\\." &&
	counts alone "1 0 0 0" &&
	kubectl patch pod alone -p "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"n1\",\"uid\":\"$(field node/n1 .metadata.uid)\",\"controller\":true}]}}" &&
	condition alone "False SyncFailed nodes does not implement the scale subresource" &&
	said alone "Warning  *CalculateExpectedPodCountFailed  *controllermanager  *Failed to calculate the number of expected pods: nodes does not implement" &&
	kubectl delete pdb alone &&
	kubectl delete pod alone
'

test_expect_success 'pods that are not ready: as the policy says' '
	kubectl apply -f - <<-EOF &&
	apiVersion: apps/v1
	kind: ReplicaSet
	metadata: {name: ill}
	spec:
	  replicas: 1
	  selector: {matchLabels: {app: ill}}
	  template:
	    metadata: {labels: {app: ill}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      readinessGates: [{conditionType: example.com/never}]
	      containers: [{name: c, image: localhost/demo:1, command: [sleep, "9999"]}]
	EOF
	kubectl create pdb ill --selector=app=ill --min-available=1 &&
	wait_for "test Running = \"\$(kubectl get pods -l app=ill -o jsonpath={.items[0].status.phase})\"" &&
	counts ill "0 1 1 0" &&
	ill=$(pods ill) &&
	test_equal 429 "$(evict $ill)" &&
	kubectl patch pdb ill --type=merge -p "{\"spec\":{\"unhealthyPodEvictionPolicy\":\"AlwaysAllow\"}}" &&
	test_equal 201 "$(evict $ill)" &&
	wait_for "pods ill >now && test_lines 1 now && ! grep $ill now" &&
	kubectl delete rs,pdb ill
'

test_expect_success 'an entry of a pod that did not go is dropped, a stale condition taken back' '
	ready=$(pods web | head -n 1) &&
	kubectl patch pdb web --subresource=status --type=merge \
		-p "{\"status\":{\"disruptedPods\":{\"$ready\":\"2020-01-01T00:00:00Z\",\"gone\":\"2020-01-01T00:00:00Z\"}}}" &&
	wait_for "test -z \"\$(field pdb/web .status.disruptedPods)\"" &&
	said $ready "Warning  *NotDeleted  *controllermanager  *Pod was expected by PDB default/web to be deleted but it wasn.t" &&
	kubectl patch pod $ready --subresource=status -p "{\"status\":{\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\",\"reason\":\"EvictionByEvictionAPI\",\"lastTransitionTime\":\"2020-01-01T00:00:00Z\"}]}}" &&
	wait_for "kubectl get pod $ready -o jsonpath=\"{.status.conditions[?(@.type==\\\"DisruptionTarget\\\")].status}\" | grep False"
'

test_expect_success 'kubectl drain waits for the budget, and goes on' '
	kubectl scale deployment web --replicas=2 &&
	wait_for "pods web >now && test_lines 2 now" &&
	budget 2 null &&
	counts web "2 2 2 0" &&
	{ kubectl_bg drain n1 --ignore-daemonsets --force --timeout=60s >drain 2>&1 & drain=$!; } &&
	wait_for "grep \"will retry after 5s\" drain" &&
	pods web >now &&
	test_lines 2 now &&
	budget 0 null &&
	wait $drain &&
	test_grep "^node/n1 drained" drain &&
	kubectl delete deployment,pdb web &&
	wait_for "test -z \"\$(kubectl get pods -o name)\"" &&
	killall_pods
'

test_done
