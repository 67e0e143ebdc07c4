#!/bin/sh
# CustomResourceDefinitions as their users know them: a definition is made, its
# objects are kept, checked, shown, scaled, found and removed with it; a restart
# of the server changes nothing.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl

test_expect_success 'start the server' '
	start_server --disable-agent &&
	wait_for "kubectl get serviceaccount default"
'

cat >crd.yaml <<'EOT'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: crontabs.stable.example.com
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        description: CronTab runs things.
        type: object
        properties:
          spec:
            description: What is wanted.
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, pattern: '^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$', description: When it runs.}
              image: {type: string, default: nginx}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
              mode: {type: string, enum: [a, b]}
              note: {type: string, nullable: true}
              ports:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [port]
                items: {type: object, required: [port], properties: {port: {type: integer}, name: {type: string}}}
              target: {x-kubernetes-int-or-string: true}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status:
            type: object
            properties: {replicas: {type: integer}, selector: {type: string}}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
    selectableFields: [{jsonPath: .spec.mode}]
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
EOT
cat >ct.yaml <<'EOT'
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: one, namespace: default}
spec: {cronSpec: "* * * * */5", mode: a, ports: [{port: 80}], free: {any: {thing: 1}}}
EOT

test_expect_success 'a definition is established and discovered' '
	kubectl apply -f crd.yaml >got &&
	test_equal "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created" "$(cat got)" &&
	kubectl wait --for=condition=Established crd/crontabs.stable.example.com --timeout=20s &&
	kubectl get crd crontabs.stable.example.com -o jsonpath="{.status.acceptedNames.listKind} {.status.storedVersions[0]}" >got &&
	test_equal "CronTabList v1" "$(cat got)" &&
	kubectl api-resources --api-group=stable.example.com >got &&
	test_grep "^crontabs  *ct  *stable.example.com/v1  *true  *CronTab$" got
'

test_expect_success 'an object is kept with its defaults' '
	kubectl apply -f ct.yaml >got &&
	test_equal "crontab.stable.example.com/one created" "$(cat got)" &&
	kubectl get ct one -o jsonpath="{.spec.image} {.spec.replicas} {.spec.free.any.thing} {.metadata.generation}" >got &&
	test_equal "nginx 1 1 1" "$(cat got)"
'

test_expect_success 'columns, wide columns, categories' '
	kubectl get ct >got &&
	test_grep "^NAME  *SPEC  *AGE$" got &&
	test_grep "^one  *\* \* \* \* \*/5  *[0-9]" got &&
	kubectl get ct -o wide >got &&
	test_grep "^NAME  *SPEC  *REPLICAS  *AGE$" got &&
	kubectl get all >got &&
	test_grep "^crontab.stable.example.com/one " got
'

test_expect_success 'explain tells what the schema says' '
	kubectl explain ct.spec >got &&
	test_grep "What is wanted." got &&
	test_grep "cronSpec.*<string> -required-" got &&
	test_grep "When it runs." got &&
	kubectl explain ct --recursive >got &&
	test_grep "ports.*<\[\]Object>" got &&
	test_grep "creationTimestamp.*<string>" got &&
	kubectl explain ct >got &&
	test_grep "APIVersion defines" got &&
	kubectl explain ct.metadata >got &&
	test_grep "Standard object.s metadata" got &&
	test_grep "CreationTimestamp is a timestamp" got
'

test_expect_success 'what does not fit is refused in Kubernetes words' '
	test_must_fail kubectl patch ct one --type=merge -p "{\"spec\":{\"replicas\":11,\"mode\":\"z\",\"cronSpec\":\"xx\",\"target\":true}}" 2>err &&
	test_grep "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10" err &&
	test_grep "spec.mode: Unsupported value: \"z\": supported values: \"a\", \"b\"" err &&
	test_grep "spec.cronSpec: Invalid value: \"xx\": spec.cronSpec in body should match" err &&
	test_grep "must be of type integer,string: \"boolean\"" err &&
	test_must_fail kubectl patch ct one --type=json -p "[{\"op\":\"remove\",\"path\":\"/spec/cronSpec\"}]" 2>err &&
	test_grep "spec.cronSpec: Required value" err &&
	test_must_fail kubectl patch ct one --type=merge -p "{\"spec\":{\"ports\":[{\"port\":1},{\"port\":1}]}}" 2>err &&
	test_grep "spec.ports\[1\]: Duplicate value" err &&
	test_must_fail kubectl patch ct one -p "{\"spec\":{}}" 2>err &&
	test_grep "application/merge-patch+json" err
'

test_expect_success 'unknown fields: refused when strict, else pruned' '
	sed "s/mode: a/modee: a/" ct.yaml >bad.yaml &&
	test_must_fail kubectl apply --validate=strict -f bad.yaml 2>err &&
	test_grep "unknown field \"spec.modee\"" err &&
	kubectl apply --validate=warn -f bad.yaml 2>err &&
	test_grep "unknown field \"spec.modee\"" err &&
	test_equal "" "$(kubectl get ct one -o jsonpath="{.spec.modee}")" &&
	kubectl apply -f ct.yaml
'

test_expect_success 'nulls: kept where they may be, replaced by the default elsewhere' '
	kubectl patch ct one --type=json -p "[{\"op\":\"add\",\"path\":\"/spec/note\",\"value\":null},{\"op\":\"add\",\"path\":\"/spec/image\",\"value\":null}]" &&
	kubectl get ct one -o json >got &&
	test_grep "\"note\": null" got &&
	test_grep "\"image\": \"nginx\"" got
'

test_expect_success 'scale reads and writes where it is told' '
	kubectl scale ct one --replicas=3 &&
	test_equal 3 "$(kubectl get ct one -o jsonpath="{.spec.replicas}")" &&
	kubectl get --raw /apis/stable.example.com/v1/namespaces/default/crontabs/one/scale >got &&
	test_grep "\"kind\":\"Scale\"" got &&
	test_grep "\"replicas\":3" got
'

test_expect_success 'status and spec are kept apart' '
	before=$(kubectl get ct one -o jsonpath="{.metadata.generation}") &&
	kubectl patch ct one --type=merge --subresource=status -p "{\"status\":{\"replicas\":2},\"spec\":{\"replicas\":9}}" &&
	kubectl patch ct one --type=merge -p "{\"status\":{\"replicas\":7}}" &&
	kubectl get ct one -o jsonpath="{.spec.replicas} {.status.replicas} {.metadata.generation}" >got &&
	test_equal "3 2 $before" "$(cat got)"
'

test_expect_success 'selectable fields' '
	sed "s/name: one/name: two/; s/mode: a/mode: b/" ct.yaml | kubectl apply -f - &&
	test_equal crontab.stable.example.com/two "$(kubectl get ct --field-selector spec.mode=b -o name)" &&
	test_must_fail kubectl get ct --field-selector spec.image=nginx 2>err &&
	test_grep "field label not supported: spec.image" err
'

test_expect_success 'another version is the same object, and its use is warned of' '
	kubectl get crontabs.v1beta1.stable.example.com one -o jsonpath="{.apiVersion} {.spec.image}" >got 2>err &&
	test_equal "stable.example.com/v1beta1 nginx" "$(cat got)" &&
	test_grep "stable.example.com/v1beta1 CronTab is deprecated" err
'

test_expect_success 'server-side apply owns list items by their keys' '
	sed "s/name: one/name: three/" ct.yaml >three.yaml &&
	kubectl apply --server-side --field-manager=a -f three.yaml &&
	sed "s/port: 80/port: 81, name: x/" three.yaml >three-b.yaml &&
	kubectl apply --server-side --field-manager=b -f three-b.yaml &&
	kubectl get ct three -o jsonpath="{.spec.ports[*].port}" >got &&
	test_equal "80 81" "$(cat got)" &&
	sed "s/mode: a/mode: b/" three.yaml >three-c.yaml &&
	test_must_fail kubectl apply --server-side --field-manager=c -f three-c.yaml 2>err &&
	test_grep "conflict" err &&
	test_grep ".spec.mode" err &&
	kubectl delete ct three
'

test_expect_success 'what is wrong with a definition is said' '
	sed "s/type: object/type: objekt/" crd.yaml >bad.yaml &&
	test_must_fail kubectl create -f bad.yaml 2>err &&
	sed "s/name: crontabs.stable/name: wrong.stable/" crd.yaml >bad.yaml &&
	test_must_fail kubectl create -f bad.yaml 2>err &&
	test_grep "must be spec.names.plural+\".\"+spec.group" err &&
	sed "s/scope: Namespaced/scope: Cluster/" crd.yaml >bad.yaml &&
	test_must_fail kubectl apply -f bad.yaml 2>err &&
	test_grep "spec.scope: Invalid value: \"Cluster\": field is immutable" err
'

test_expect_success 'names that another definition has are not accepted' '
	sed "s/crontabs/cronotabs/; s/plural: crontabs/plural: cronotabs/; s/singular: crontab,/singular: cronotab,/; s/kind: CronTab,/kind: CronoTab,/" crd.yaml >other.yaml &&
	kubectl create -f other.yaml &&
	wait_for "kubectl get crd cronotabs.stable.example.com -o yaml | grep ShortNamesConflict" &&
	kubectl get crd cronotabs.stable.example.com -o yaml >got &&
	test_grep "\"ct\" is already in use" got &&
	kubectl delete crd cronotabs.stable.example.com --timeout=20s
'

test_expect_success 'a changed schema holds for the next request, and for what is there when it is read' '
	sed "s/image: {type: string, default: nginx}/image: {type: string, default: nginx}\n              tag: {type: string, default: latest}/" crd.yaml >crd2.yaml &&
	kubectl apply -f crd2.yaml &&
	wait_for "kubectl explain ct.spec.tag" &&
	test_equal latest "$(kubectl get ct one -o jsonpath="{.spec.tag}")"
'

test_expect_success 'all is there after a restart' '
	stop_server &&
	start_server --disable-agent &&
	test_equal latest "$(kubectl get ct one -o jsonpath="{.spec.tag}")" &&
	kubectl get ct -o name >got &&
	test_equal 2 "$(wc -l <got)"
'

test_expect_success 'a namespace takes its custom objects along' '
	kubectl create namespace gone &&
	sed "s/namespace: default/namespace: gone/" ct.yaml | kubectl apply -f - &&
	kubectl delete namespace gone --timeout=30s &&
	test_must_fail kubectl get ct -n gone one
'

test_expect_success 'a definition goes with its objects, and watches of it end' '
	{ kubectl get ct -w >watched & } && watch=$! &&
	wait_for "grep -q one watched" &&
	kubectl delete crd crontabs.stable.example.com --timeout=30s &&
	wait_for "! kill -0 $watch" &&
	test_must_fail kubectl get ct 2>err &&
	test_must_fail kubectl get crd crontabs.stable.example.com 2>err &&
	kubectl apply -f crd.yaml &&
	kubectl wait --for=condition=Established crd/crontabs.stable.example.com --timeout=20s &&
	wait_for "kubectl get ct" &&
	test_equal "" "$(kubectl get ct -o name)"
'

test_expect_success 'objects with a finalizer keep their definition; nothing is added to it meanwhile' '
	sed "s/namespace: default}/namespace: default, finalizers: [example.com\/hold]}/" ct.yaml | kubectl apply -f - &&
	kubectl delete crd crontabs.stable.example.com --wait=false &&
	wait_for "kubectl get crd crontabs.stable.example.com -o yaml | grep InstanceDeletionInProgress" &&
	sed "s/name: one/name: late/" ct.yaml >late.yaml &&
	test_must_fail kubectl create -f late.yaml 2>err &&
	test_grep "create not allowed while custom resource definition is terminating" err &&
	kubectl patch ct one --type=merge -p "{\"metadata\":{\"finalizers\":null}}" &&
	wait_for "! kubectl get crd crontabs.stable.example.com"
'

test_expect_success 'bad input: deep schemas, references, costly patterns' '
	for depth in 30 200; do
		inner="{\"type\":\"string\"}" &&
		for i in $(seq $depth); do inner="{\"type\":\"object\",\"properties\":{\"a\":$inner}}"; done &&
		sed -n "1,/openAPIV3Schema:/p" crd.yaml | sed "s|openAPIV3Schema:|openAPIV3Schema: $inner|" >deep.yaml || return 1
		kubectl create -f deep.yaml >got 2>err || test_grep "Error" err || return 1
		kubectl delete crd crontabs.stable.example.com --timeout=20s >got 2>err || :
	done &&
	sed "s/cronSpec: {type: string, pattern: .*, desc/cronSpec: {type: string, pattern: \"^(a+)+\$\", desc/" crd.yaml | kubectl create -f - &&
	kubectl wait --for=condition=Established crd/crontabs.stable.example.com --timeout=20s &&
	long=$(printf "%030000d" 0 | tr 0 a)b &&
	sed "s|\"\* \* \* \* \*/5\"|$long|" ct.yaml >long.yaml &&
	test_must_fail kubectl create -f long.yaml 2>err &&
	test_equal ok "$(kubectl get --raw /readyz)"
'

test_expect_success 'bad input: numbers that no client can read' '
	for n in 1e400 -1e400; do
		echo "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{\"name\":\"n\"},\"spec\":{\"free\":{\"n\":[$n]}}}" >n.json &&
		test_equal 400 "$(api_code -X POST -H "Content-Type: application/json" --data-binary @n.json \
			/apis/stable.example.com/v1/namespaces/default/crontabs)" &&
		test_grep "json: cannot unmarshal number $n into Go value of type float64" answer || return 1
	done
'

test_expect_success 'bad input: a schema and an object of 20,000 members take no more time than their size' '
	kubectl delete crd crontabs.stable.example.com &&
	seq 20000 | awk "{ printf \"%s\\\"p%d\\\":{\\\"type\\\":\\\"string\\\"}\", (NR > 1 ? \",\" : \"\"), \$1 }" >props &&
	seq 20000 -1 1 | awk "{ printf \",\\\"p%d\\\":\\\"\\\"\", \$1 }" >members &&
	{
		printf "%s" "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":\"wides.x.io\"},\"spec\":{\"group\":\"x.io\",\"scope\":\"Namespaced\",\"names\":{\"plural\":\"wides\",\"kind\":\"Wide\"},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{" &&
		cat props &&
		printf "}}}}]}}"
	} >wide.json &&
	test_equal 201 "$(api_code -X POST -H "Content-Type: application/json" --data-binary @wide.json \
		/apis/apiextensions.k8s.io/v1/customresourcedefinitions)" &&
	kubectl wait --for=condition=Established crd/wides.x.io --timeout=20s &&
	{
		printf "{\"apiVersion\":\"x.io/v1\",\"kind\":\"Wide\",\"metadata\":{\"name\":\"w\"}" &&
		cat members &&
		printf "}"
	} >w.json &&
	before=$(now_ms) &&
	test_equal 201 "$(api_code -X POST -H "Content-Type: application/json" --data-binary @w.json \
		/apis/x.io/v1/namespaces/default/wides)" &&
	took=$(($(now_ms) - before)) &&
	echo "$took ms" &&
	test $took -lt $((1500 * TEST_SLOW))
'

test_done
