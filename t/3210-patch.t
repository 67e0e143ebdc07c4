#!/bin/sh
# Patches of all types: their errors, spec and status kept apart, what counts as a
# generation for each kind, preconditions in patches, names that collide.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl python3

start_proxy()
{
	"$KUBECTL" proxy --port=8901 >/dev/null 2>&1 &
	proxy=$!
	wait_for "curl -s http://127.0.0.1:8901/version"
}

test_expect_success 'start the server' '
	start_server --disable-agent &&
	wait_for "kubectl get serviceaccount default" &&
	start_proxy &&
	kubectl create configmap a --from-literal=x=1 &&
	kubectl create deployment w --image=n
'

# TYPE PATH PATCH: the code is printed, the answer is in got
patch()
{
	curl -s -A kinglet-test -o got -w "%{http_code}" -X PATCH -H "Content-Type: application/$1" --data-binary "$3" "http://127.0.0.1:8901$2"
}
CM=/api/v1/namespaces/default/configmaps/a
DEPLOY=/apis/apps/v1/namespaces/default/deployments/w

test_expect_success 'a JSON patch that does not apply, does not decode, or is too long' '
	test_equal 422 "$(patch json-patch+json $CM "[{\"op\":\"test\",\"path\":\"/data/x\",\"value\":\"2\"}]")" &&
	test_grep "the server rejected our request due to an error in our request" got &&
	test_equal 422 "$(patch json-patch+json $CM "[{\"op\":\"remove\",\"path\":\"/data/none\"}]")" &&
	test_equal 422 "$(patch json-patch+json $CM "[{\"op\":\"add\",\"path\":\"/data/none/deep\",\"value\":\"1\"}]")" &&
	test_equal 400 "$(patch json-patch+json $CM "{\"op\":\"add\"}")" &&
	test_grep "error decoding patch: json: cannot unmarshal object" got &&
	python3 -c "import json; print(json.dumps([{\"op\":\"test\",\"path\":\"/data/x\",\"value\":\"1\"}]*10001))" >big.json &&
	test_equal 413 "$(patch json-patch+json $CM @big.json)" &&
	test_grep "The allowed maximum operations in a JSON patch is 10000, got 10001" got &&
	test_equal 200 "$(patch json-patch+json $CM "[{\"op\":\"test\",\"path\":\"/data/x\",\"value\":\"1\"},{\"op\":\"add\",\"path\":\"/data/y\",\"value\":\"2\"}]")" &&
	test_equal 2 "$(kubectl get cm a -o jsonpath={.data.y})"
'

test_expect_success 'patches of the wrong shape or type' '
	test_equal 400 "$(patch merge-patch+json $CM "[1]")" &&
	test_grep "error decoding patch: json: cannot unmarshal array into Go value of type map" got &&
	test_equal 422 "$(patch merge-patch+json $CM "{\"data\":{\"x\":5}}")" &&
	test_grep "\"field\":\"patch\"" got &&
	test_equal 422 "$(patch strategic-merge-patch+json $DEPLOY "{\"spec\":{\"replicas\":\"x\"}}")" &&
	test_grep "unrecognized type: int32" got &&
	test_equal 500 "$(patch strategic-merge-patch+json $DEPLOY "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}}}")" &&
	test_grep "map: map\[image:x\] does not contain declared merge key: name" got &&
	test_equal 415 "$(patch xml $CM "{}")" &&
	test_grep "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml" got &&
	test_equal 404 "$(patch merge-patch+json ${CM}none "{}")"
'

test_expect_success 'fields that nobody knows, or twice' '
	test_equal 422 "$(patch merge-patch+json "$CM?fieldValidation=Strict" "{\"foo\":1,\"data\":{\"q\":\"1\",\"q\":\"2\"}}")" &&
	test_grep "strict decoding error: duplicate field ..data.q.., unknown field ..foo" got &&
	test_equal 200 "$(patch merge-patch+json $CM "{\"foo\":1}")" &&
	test_equal 200 "$(patch merge-patch+json "$CM?fieldValidation=Ignore" "{\"foo\":1}")" &&
	conf="{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},\"data\":{\"z\":\"1\",\"z\":\"2\"}}" &&
	test_equal 400 "$(patch apply-patch+yaml "$CM?fieldManager=m&fieldValidation=Strict" "$conf")" &&
	test_grep "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:.n  line 1: key ..z.. already set in map" got &&
	printf "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  y: a\n  z: b\n  z: c\n" >twice.yaml &&
	test_equal 400 "$(patch apply-patch+yaml "$CM?fieldManager=m&fieldValidation=Strict" @twice.yaml)" &&
	test_grep "line 8: key ..z.. already set in map" got &&
	test_equal 200 "$(patch apply-patch+yaml "$CM?fieldManager=m" "$conf")" &&
	test_equal 400 "$(patch apply-patch+yaml "$CM?fieldManager=m" "a: [b")" &&
	test_grep "error decoding YAML: error converting YAML to JSON: yaml: " got
'

test_expect_success 'a patch may carry preconditions, and cannot rename' '
	test_equal 409 "$(patch merge-patch+json $CM "{\"metadata\":{\"resourceVersion\":\"1\"}}")" &&
	test_grep "the object has been modified; please apply your changes to the latest version and try again" got &&
	test_equal 409 "$(patch merge-patch+json $CM "{\"metadata\":{\"uid\":\"1\"}}")" &&
	test_grep "Precondition failed: UID in precondition: 1" got &&
	test_equal 400 "$(patch merge-patch+json $CM "{\"metadata\":{\"name\":\"b\"}}")" &&
	test_equal 400 "$(patch merge-patch+json $CM "{\"metadata\":{\"namespace\":\"kube-system\"}}")" &&
	rv=$(kubectl get cm a -o jsonpath="{.metadata.resourceVersion}") &&
	test_equal 200 "$(patch merge-patch+json $CM "{\"metadata\":{\"resourceVersion\":\"$rv\"},\"data\":{\"x\":\"8\"}}")" &&
	test_equal 200 "$(patch merge-patch+json $CM "{\"data\":{\"x\":\"8\"}}")" &&
	test_equal 8 "$(kubectl get cm a -o jsonpath={.data.x})"
'

test_expect_success 'spec and status are kept apart, whatever a patch says' '
	test_equal 200 "$(patch merge-patch+json $DEPLOY "{\"metadata\":{\"generation\":99},\"status\":{\"collisionCount\":77}}")" &&
	test_equal 200 "$(patch merge-patch+json $DEPLOY/status "{\"spec\":{\"replicas\":9},\"status\":{\"collisionCount\":7},\"metadata\":{\"labels\":{\"z\":\"z\"}}}")" &&
	kubectl get deploy w -o jsonpath="{.metadata.generation} {.spec.replicas} {.status.collisionCount} {.metadata.labels.z}" >got &&
	test_equal "1 1 7 " "$(cat got)" &&
	for t in json-patch+json merge-patch+json strategic-merge-patch+json; do
		case $t in
		json*) p="[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":4}]" ;;
		*) p="{\"spec\":{\"replicas\":5}}" ;;
		esac
		test_equal 200 "$(patch $t $DEPLOY/scale "$p")" || return 1
	done &&
	test_equal "5 3" "$(kubectl get deploy w -o jsonpath="{.spec.replicas} {.metadata.generation}")" &&
	test_equal 422 "$(patch merge-patch+json $DEPLOY/scale "{\"spec\":{\"replicas\":-1}}")"
'

test_expect_success 'a pod'"'"'s resize and ephemeralcontainers change their part only, and are generations' '
	kubectl run p --image=n --overrides="{\"spec\":{\"containers\":[{\"name\":\"p\",\"image\":\"n\",\"resources\":{\"requests\":{\"cpu\":\"500m\"}}}]}}" >run.out 2>&1 &&
	P=/api/v1/namespaces/default/pods/p &&
	test_equal 200 "$(patch strategic-merge-patch+json $P/resize "{\"spec\":{\"containers\":[{\"name\":\"p\",\"image\":\"other\",\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]}}")" &&
	test_equal 200 "$(patch strategic-merge-patch+json $P/ephemeralcontainers "{\"spec\":{\"nodeName\":\"x\",\"ephemeralContainers\":[{\"name\":\"e\",\"image\":\"b\"}]}}")" &&
	kubectl get pod p -o jsonpath="{.metadata.generation} {.spec.containers[0].image} {.spec.containers[0].resources.requests.cpu} {.spec.ephemeralContainers[0].name} [{.spec.nodeName}]" >got &&
	test_equal "3 n 1 e []" "$(cat got)" &&
	test_equal 422 "$(patch strategic-merge-patch+json $P "{\"spec\":{\"hostNetwork\":true}}")"
'

test_expect_success 'what counts as a generation' '
	cat >kinds.yaml <<-E &&
	apiVersion: apps/v1
	kind: StatefulSet
	metadata: {name: g}
	spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}
	---
	apiVersion: apps/v1
	kind: ReplicaSet
	metadata: {name: g}
	spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}
	---
	apiVersion: apps/v1
	kind: DaemonSet
	metadata: {name: g}
	spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}
	---
	apiVersion: v1
	kind: ReplicationController
	metadata: {name: g}
	spec: {selector: {a: b}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}
	---
	apiVersion: batch/v1
	kind: Job
	metadata: {name: g}
	spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}
	---
	apiVersion: batch/v1
	kind: CronJob
	metadata: {name: g}
	spec: {schedule: "1 * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}
	---
	apiVersion: networking.k8s.io/v1
	kind: Ingress
	metadata: {name: g}
	spec: {defaultBackend: {service: {name: s, port: {number: 80}}}}
	---
	apiVersion: networking.k8s.io/v1
	kind: NetworkPolicy
	metadata: {name: g}
	spec: {podSelector: {}}
	---
	apiVersion: policy/v1
	kind: PodDisruptionBudget
	metadata: {name: g}
	spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}
	E
	kubectl apply -f kinds.yaml &&
	cat >rows <<-E &&
	statefulset {"spec":{"replicas":3}}
	replicaset {"spec":{"replicas":3}}
	daemonset {"spec":{"minReadySeconds":3}}
	rc {"spec":{"replicas":3}}
	job {"spec":{"parallelism":3}}
	cronjob {"spec":{"suspend":true}}
	ingress {"spec":{"defaultBackend":{"service":{"name":"other"}}}}
	networkpolicy {"spec":{"policyTypes":["Egress"]}}
	pdb {"spec":{"minAvailable":2}}
	E
	while read -r kind p; do
		gen() { kubectl get $kind g -o jsonpath="{.metadata.generation}"; }
		test_equal "$kind 1" "$kind $(gen)" &&
		kubectl label $kind g new=label &&
		kubectl annotate $kind g new=note &&
		test_equal "$kind 1" "$kind $(gen)" &&
		kubectl patch $kind g --type=merge -p "$p" &&
		test_equal "$kind 2" "$kind $(gen)" || return 1
	done <rows
'

test_expect_success 'strict decoding tells all in the order of the text' '
	cat >x.json <<-E &&
	{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"my"},"spec":{"unknown1":1,"unknownDupe":2,"unknownDupe":3,
	"paused":true,"paused":false,"selector":{"matchLabels":{"app":"n"}},"template":{"metadata":{"labels":{"app":"n"}},
	"spec":{"containers":[{"name":"n","image":"n","unknownNested":"a","imagePullPolicy":"Never","imagePullPolicy":"Always"}]}}}}
	E
	test_must_fail kubectl create --raw "/apis/apps/v1/namespaces/default/deployments?fieldValidation=Strict" -f x.json 2>err &&
	echo "Error from server (BadRequest): Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.unknown1\", unknown field \"spec.unknownDupe\", duplicate field \"spec.paused\", unknown field \"spec.template.spec.containers[0].unknownNested\", duplicate field \"spec.template.spec.containers[0].imagePullPolicy\"" >want &&
	test_cmp want err
'

test_expect_success 'generateName makes names that are free' '
	printf "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"generateName\":\"g-\"}}" >g.json &&
	for i in 1 2 3 4 5 6 7 8; do kubectl create -f g.json -o name || return 1; done | sort -u >got &&
	test_lines 8 got &&
	test_grep "^configmap/g-[bcdfghjklmnpqrstvwxz2456789]\{5\}$" got
'

test_expect_success 'patches of 40,000 members, in another order, take no more time than their size' '
	seq 40000 | awk "{ printf \"%s\\\"k%d\\\":\\\"\\\"\", (NR > 1 ? \",\" : \"\"), \$1 }" >members &&
	seq 40000 -1 1 | awk "{ printf \"%s\\\"k%d\\\":\\\"x\\\"\", (NR > 1 ? \",\" : \"\"), \$1 }" >others &&
	sed "s/\"x\"/null/g" others >nulls &&
	{ printf "{\"metadata\":{\"name\":\"wide\"},\"data\":{" && cat members && printf "}}"; } >wide.json &&
	path=/api/v1/namespaces/default/configmaps &&
	test_equal 201 "$(api_code -X POST -H "Content-Type: application/json" --data-binary @wide.json $path)" &&
	for p in others nulls; do
		{ printf "{\"data\":{" && cat $p && printf "}}"; } >patch.json &&
		before=$(now_ms) &&
		test_equal 200 "$(api_code -X PATCH -H "Content-Type: application/strategic-merge-patch+json" \
			--data-binary @patch.json $path/wide)" &&
		took=$(($(now_ms) - before)) &&
		echo "$p: $took ms" &&
		test $took -lt $((3000 * TEST_SLOW)) || return 1
	done &&
	test_equal "" "$(kubectl get configmap wide -o jsonpath="{.data}")"
'

test_expect_success 'end' '
	kill $proxy
'

test_done
