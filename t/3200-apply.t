#!/bin/sh
# Server-side apply and managedFields by kubectl: who owns what, conflicts and
# their words, force, removal, migration from client-side apply, subresources as
# owners, dry runs and diffs, pruning, and configurations that are no good.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl python3

# FILTER: of each entry of managedFields, manager:operation:subresource and its dotted fields
owners()
{
	kubectl get "$@" -o json --show-managed-fields >owners.json && python3 - <<-'PY'
		import json
		def walk(n, at):
		    out = []
		    for k, v in n.items():
		        if k == ".": out.append(at or ".")
		        elif v: out += walk(v, at + "." + k[2:])
		        else: out.append(at + "." + k[2:])
		    return out
		for e in json.load(open("owners.json"))["metadata"].get("managedFields", []):
		    print(e["manager"], e["operation"], e.get("subresource", "-"), e["apiVersion"], " ".join(sorted(walk(e["fieldsV1"], ""))))
	PY
}

start_proxy()
{
	"$KUBECTL" proxy --port=8901 >/dev/null 2>&1 &
	proxy=$!
	wait_for "curl -s http://127.0.0.1:8901/version"
}

# PATH MANAGER[&OPTION...] CONFIGURATION: by HTTP; the code is printed, the answer is in got
apply()
{
	curl -s -A kinglet-test -o got -w "%{http_code}" -X PATCH -H "Content-Type: application/apply-patch+yaml" --data-binary "$3" \
		"http://127.0.0.1:8901$1?fieldManager=$2"
}

rv()
{
	kubectl get "$@" -o jsonpath="{.metadata.resourceVersion}"
}

test_expect_success 'start the server' '
	start_server --disable-agent &&
	wait_for "kubectl get namespace default" &&
	cat >cm.yaml <<-E &&
	apiVersion: v1
	kind: ConfigMap
	metadata:
	  name: a
	  labels: {app: x}
	data:
	  one: "1"
	  two: "2"
	E
	cat >web.yaml <<-E
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: web, labels: {app: web}}
	spec:
	  replicas: 2
	  selector: {matchLabels: {app: web}}
	  template:
	    metadata: {labels: {app: web}}
	    spec:
	      containers:
	      - name: nginx
	        image: nginx:1
	        ports: [{containerPort: 80}]
	        env: [{name: A, value: "1"}]
	E
'

test_expect_success 'apply creates, and lists what it owns' '
	kubectl apply --server-side -f cm.yaml >got &&
	test_equal "configmap/a serverside-applied" "$(cat got)" &&
	owners cm a >got &&
	test_equal "kubectl Apply - v1 .data.one .data.two .metadata.labels.app" "$(cat got)"
'

test_expect_success 'the same once more changes nothing' '
	before=$(rv cm a) &&
	kubectl apply --server-side -f cm.yaml &&
	test_equal "$before" "$(rv cm a)"
'

test_expect_success 'another manager conflicts, in words that name the owner and the field' '
	sed "s/one: .*/one: \"9\"/" cm.yaml >other.yaml &&
	test_must_fail kubectl apply --server-side --field-manager=other -f other.yaml 2>err &&
	test_equal "error: Apply failed with 1 conflict: conflict with \"kubectl\": .data.one" "$(head -n 1 err)" &&
	test_grep "re-run the apply" err &&
	test_equal 1 "$(kubectl get cm a -o jsonpath={.data.one})"
'

test_expect_success 'conflict is a 409 with a cause for each field' '
	start_proxy &&
	test_equal 409 "$(apply /api/v1/namespaces/default/configmaps/a o @other.yaml)" &&
	test_grep "\"reason\":\"Conflict\"" got &&
	test_grep "\"causes\":\[{\"reason\":\"FieldManagerConflict\",\"message\":\"conflict with .\"kubectl.\"\",\"field\":\".data.one\"}\]" got &&
	code=$(curl -s -o got -w "%{http_code}" -X PATCH -H "Content-Type: application/apply-patch+cbor" \
		--data-binary @other.yaml "http://127.0.0.1:8901/api/v1/namespaces/default/configmaps/a?fieldManager=o") &&
	test_equal 415 "$code" &&
	code=$(curl -s -o got -w "%{http_code}" -X PATCH -H "Content-Type: application/apply-patch+yaml" \
		--data-binary @other.yaml "http://127.0.0.1:8901/api/v1/namespaces/default/configmaps/a") &&
	test_equal 422 "$code" &&
	test_grep "fieldManager: Required value: is required for apply patch" got &&
	code=$(curl -s -o got -w "%{http_code}" -X PATCH -H "Content-Type: application/merge-patch+json" -A "tool/1.0 (x)" \
		-d "{\"data\":{\"agent\":\"1\"}}" "http://127.0.0.1:8901/api/v1/namespaces/default/configmaps/a") &&
	test_equal 200 "$code" &&
	owners cm a >got &&
	test_grep "^tool Update - v1 .data.agent$" got
'

test_expect_success 'by force it goes, and the former owner keeps the rest' '
	kubectl apply --server-side --field-manager=other --force-conflicts -f other.yaml &&
	test_equal 9 "$(kubectl get cm a -o jsonpath={.data.one})" &&
	owners cm a >got &&
	test_grep "^kubectl Apply - v1 .data.two .metadata.labels.app$" got &&
	test_grep "^other Apply - v1 .data.one .data.two .metadata.labels.app$" got
'

test_expect_success 'what a manager no longer lists goes unless another lists it' '
	printf "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" >empty.yaml &&
	kubectl apply --server-side --field-manager=other -f empty.yaml &&
	test_equal ":2:x" "$(kubectl get cm a -o jsonpath="{.data.one}:{.data.two}:{.metadata.labels.app}")" &&
	owners cm a >got &&
	test_must_fail grep "^other" got
'

test_expect_success 'a patch and a replace take fields by changing them' '
	kubectl patch cm a --type=merge -p "{\"data\":{\"two\":\"5\"}}" &&
	owners cm a >got &&
	test_grep "^kubectl-patch Update - v1 .data.two$" got &&
	test_grep "^kubectl Apply - v1 .metadata.labels.app$" got &&
	kubectl label cm a app=y --overwrite &&
	owners cm a >got &&
	test_grep "^kubectl-label Update - v1 .metadata.labels.app$" got &&
	test_must_fail kubectl apply --server-side -f cm.yaml 2>err &&
	test_equal "error: Apply failed with 2 conflicts: conflicts with \"kubectl-label\" using v1:" "$(head -n 1 err)" &&
	test_grep "^- .metadata.labels.app$" err &&
	test_grep "^conflicts with \"kubectl-patch\" using v1:$" err &&
	test_grep "^- .data.two$" err
'

test_expect_success 'client-side apply moves over without a conflict' '
	kubectl apply -f web.yaml &&
	owners deploy web >got &&
	test_grep "^kubectl-client-side-apply Update - apps/v1 .*\.spec\.template\.spec\.containers\.{\"name\":\"nginx\"}\.image" got &&
	sed "s/nginx:1/nginx:2/" web.yaml >web2.yaml &&
	kubectl apply --server-side -f web2.yaml &&
	owners deploy web >got &&
	test_must_fail grep "^kubectl-client-side-apply" got &&
	test_grep "^kubectl Apply - apps/v1 " got &&
	test_grep "^kubectl-last-applied Apply - apps/v1 .metadata.annotations.kubectl.kubernetes.io/last-applied-configuration$" got &&
	kubectl get deploy web -o jsonpath="{.metadata.annotations}" >got &&
	test_grep "nginx:2" got &&
	before=$(rv deploy web) &&
	kubectl apply --server-side -f web2.yaml &&
	test_equal "$before" "$(rv deploy web)" &&
	kubectl apply -f web2.yaml 2>err
'

test_expect_success 'an item of a list and its key default' '
	sed "s/- name: nginx/- name: side/;s/nginx:1/s:1/;/replicas/d;/labels: {app: web}}$/s/, labels: {app: web}//" web.yaml >side.yaml &&
	kubectl apply --server-side --field-manager=side -f side.yaml &&
	test_equal "nginx side" "$(kubectl get deploy web -o jsonpath="{.spec.template.spec.containers[*].name}")" &&
	owners deploy web >got &&
	test_grep "^side Apply .*containers\.{\"name\":\"side\"}\.ports\.{\"containerPort\":80,\"protocol\":\"TCP\"}\.containerPort" got
'

test_expect_success 'scale takes spec.replicas from who applied it' '
	kubectl scale deploy web --replicas=5 &&
	owners deploy web >got &&
	test_grep "^kubectl[.0-9]* Update scale apps/v1 .spec.replicas$" got &&
	test_must_fail grep "^kubectl Apply.*\.spec\.replicas" got &&
	test_must_fail kubectl apply --server-side -f web2.yaml 2>err &&
	test_grep "^error: Apply failed with 1 conflict: conflict with \"kubectl[.0-9]*\" with subresource \"scale\" using apps/v1: .spec.replicas$" err &&
	test_equal 5 "$(kubectl get deploy web -o jsonpath="{.spec.replicas}")"
'

test_expect_success 'scale can be applied; status is an owner of its own' '
	cat >scale.yaml <<-E &&
	apiVersion: autoscaling/v1
	kind: Scale
	metadata: {name: web}
	spec: {replicas: 6}
	E
	url=/apis/apps/v1/namespaces/default/deployments/web &&
	test_equal 409 "$(apply $url/scale hpa @scale.yaml)" &&
	test_equal 200 "$(apply $url/scale "hpa&force=true" @scale.yaml)" &&
	test_equal 6 "$(kubectl get deploy web -o jsonpath="{.spec.replicas}")" &&
	owners deploy web >got &&
	test_grep "^hpa Apply scale apps/v1 .spec.replicas$" got &&
	printf "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {paused: true}\nstatus: {collisionCount: 3}\n" >st.yaml &&
	test_equal 200 "$(apply $url/status ctl @st.yaml)" &&
	owners deploy web >got &&
	test_grep "^ctl Apply status apps/v1 .status.collisionCount$" got &&
	test_equal "3:" "$(kubectl get deploy web -o jsonpath="{.status.collisionCount}:{.spec.paused}")"
'

test_expect_success 'server-side dry run and diff change nothing' '
	before=$(rv deploy web) &&
	sed "s/replicas: 2/replicas: 3/" web2.yaml >web3.yaml &&
	kubectl apply --server-side --dry-run=server --force-conflicts -f web3.yaml -o jsonpath="{.spec.replicas}" >got &&
	test_equal 3 "$(cat got)" &&
	test_must_fail kubectl diff --server-side --force-conflicts -f web3.yaml >got &&
	test_grep "^-  replicas: 6$" got &&
	test_grep "^+  replicas: 3$" got &&
	test_must_fail kubectl diff -f web3.yaml >got &&
	test_grep "^+  replicas: 3$" got &&
	test_equal "$before" "$(rv deploy web)"
'

test_expect_success 'apply --prune removes what is no longer in the files' '
	mkdir set &&
	for n in p q; do
		printf "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, labels: {set: one}}\n" $n >set/$n.yaml || return 1
	done &&
	kubectl apply --prune -l set=one --prune-allowlist=core/v1/ConfigMap -f set >got 2>&1 &&
	kubectl get cm q &&
	rm set/q.yaml &&
	kubectl apply --prune -l set=one --prune-allowlist=core/v1/ConfigMap -f set >got 2>&1 &&
	test_grep "^configmap/q pruned$" got &&
	kubectl get cm p &&
	test_must_fail kubectl get cm q
'

test_expect_success 'a JSON patch may change managedFields, an empty entry takes them away' '
	kubectl apply --server-side -f cm.yaml --force-conflicts &&
	kubectl patch cm a --type=json -p "[{\"op\":\"replace\",\"path\":\"/metadata/managedFields/0/manager\",\"value\":\"heir\"}]" &&
	owners cm a >got &&
	test_grep "^heir " got &&
	kubectl patch cm a --type=merge -p "{\"metadata\":{\"managedFields\":[{}]}}" &&
	owners cm a >got &&
	test_cmp /dev/null got &&
	kubectl patch cm a --type=merge -p "{\"data\":{\"free\":\"1\"}}" &&
	owners cm a >got &&
	test_cmp /dev/null got &&
	kubectl apply --server-side -f cm.yaml &&
	owners cm a >got &&
	test_grep "^before-first-apply Update - v1 .*\.data\.free" got
'

bad()
{
	test_must_fail kubectl apply --server-side --validate=false -f - 2>err
}

test_expect_success 'configurations that are no good' '
	sed "s/replicas: 2/replicsa: 2/" web.yaml | bad &&
	test_equal "Error from server: failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.replicsa: field not declared in schema" "$(cat err)" &&
	sed "s/replicas: 2/replicas: two/" web.yaml | bad &&
	test_grep ": .spec.replicas: expected numeric (int or float), got string$" err &&
	sed "s/- name: nginx/- name: nginx\n      - name: nginx/" web.yaml | bad &&
	test_grep ": .spec.template.spec.containers: duplicate entries for key \[name=\"nginx\"\]$" err &&
	sed "s/env: .*/env: [{value: x}]/" web.yaml | bad &&
	test_grep ": .spec.template.spec.containers\[name=\"nginx\"\].env: element 0: associative list with keys has an element that omits all key fields \[\"name\"\]" err &&
	printf "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, managedFields: []}\n" | bad &&
	test_grep "metadata.managedFields must be nil" err
'

test_expect_success 'a configuration of another kind or name' '
	test_when_finished "kill $proxy" &&
	test_equal 400 "$(apply /api/v1/namespaces/default/configmaps/a o "{metadata: {name: a}}")" &&
	test_grep "invalid object type: /, Kind=\"" got &&
	test_equal 400 "$(apply /api/v1/namespaces/default/configmaps/a o "{apiVersion: apps/v1, kind: Deployment}")" &&
	test_grep "invalid object type: apps/v1, Kind=Deployment" got &&
	test_equal 400 "$(apply /apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h o \
		"{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: h}}")" &&
	test_grep "invalid object type: autoscaling/v1, Kind=HorizontalPodAutoscaler" got &&
	test_equal 400 "$(apply /api/v1/namespaces/default/configmaps/a o "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}")" &&
	test_grep "the name of the object (b) does not match the name on the URL (a)" got &&
	test_equal 400 "$(apply /api/v1/namespaces/default/configmaps/new o "{apiVersion: v1, kind: ConfigMap}")" &&
	test_grep "the name of the object (new based on URL) was undeterminable: name must be provided" got &&
	test_equal 400 "$(apply /api/v1/namespaces/default/configmaps/a o "[1, 2")" &&
	test_equal 404 "$(apply /apis/apps/v1/namespaces/default/deployments/none/status o "{apiVersion: apps/v1, kind: Deployment, metadata: {name: none}}")" &&
	test_equal 201 "$(apply /api/v1/namespaces/default/configmaps/new o "{apiVersion: v1, kind: ConfigMap, metadata: {name: new}}")"
'

test_expect_success 'an object in two versions has one set of owners' '
	cat >hpa.yaml <<-E &&
	apiVersion: autoscaling/v1
	kind: HorizontalPodAutoscaler
	metadata: {name: h}
	spec:
	  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
	  minReplicas: 1
	  maxReplicas: 3
	E
	kubectl apply --server-side -f hpa.yaml &&
	kubectl get hpa.v1.autoscaling h -o json --show-managed-fields >got &&
	test_grep "\"apiVersion\": \"autoscaling/v1\"" got &&
	sed "s#autoscaling/v1#autoscaling/v2#;s/maxReplicas: 3/maxReplicas: 4/" hpa.yaml >hpa2.yaml &&
	test_must_fail kubectl apply --server-side --field-manager=two -f hpa2.yaml 2>err &&
	test_grep "conflict with \"kubectl\": .spec.maxReplicas$" err &&
	kubectl apply --server-side -f hpa2.yaml &&
	test_equal 4 "$(kubectl get hpa h -o jsonpath="{.spec.maxReplicas}")" &&
	sed "/minReplicas/d" hpa2.yaml >hpa3.yaml &&
	kubectl apply --server-side -f hpa3.yaml &&
	owners hpa h >got &&
	test_must_fail grep "^kubectl Apply.*minReplicas" got
'

test_expect_success 'the server'"'"'s own parts own what they write' '
	kubectl create namespace n &&
	wait_for "kubectl -n n get serviceaccount default" &&
	owners cm kube-root-ca.crt -n n >got &&
	test_grep "^kube-controller-manager Update - v1 .data" got
'

test_done
