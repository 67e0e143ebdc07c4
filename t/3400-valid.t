#!/bin/sh
# What a user reads when an object is wrong, an update is not allowed, or something is
# accepted that was probably not meant: through kubectl, in Kubernetes' words.

. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl jq

test_expect_success 'start the server' '
	start_server --disable-agent &&
	kubectl create namespace v
'

refused() # MESSAGE: the document on standard input is refused, with it
{
	test_must_fail kubectl -n v "${VERB:-create}" -f - 2>err >/dev/null &&
	test_grep -F "$1" err
}

test_expect_success 'a Deployment keeps its selector' '
	kubectl -n v create deployment d --image=i --replicas=0 &&
	kubectl -n v get deployment d -o json | jq ".spec.selector.matchLabels.app=\"x\" | .spec.template.metadata.labels.app=\"x\"" |
	VERB=replace refused "The Deployment \"d\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"}}: field is immutable"
'

test_expect_success 'a Service keeps its address' '
	kubectl -n v create service clusterip s --tcp=80 &&
	ip=$(kubectl -n v get service s -o jsonpath="{.spec.clusterIP}") &&
	test_must_fail kubectl -n v patch service s -p "{\"spec\":{\"clusterIP\":\"10.43.9.9\",\"clusterIPs\":[\"10.43.9.9\"]}}" 2>err &&
	test_grep "spec.clusterIPs\[0\]: Invalid value: \[\"10.43.9.9\"\]: may not change once set" err &&
	test_equal "$ip" "$(kubectl -n v get service s -o jsonpath="{.spec.clusterIP}")"
'

test_expect_success 'a Job keeps its template; pods of Jobs end' '
	kubectl -n v create job j --image=i &&
	test_must_fail kubectl -n v patch job j --type=json \
		-p "[{\"op\":\"replace\",\"path\":\"/spec/template/spec/containers/0/image\",\"value\":\"other\"}]" 2>err &&
	test_grep "The Job \"j\" is invalid: spec.template: Invalid value: .*: field is immutable" err &&
	echo "{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"name\":\"k\"},\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}" |
	refused "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
'

test_expect_success 'a claim keeps its spec, but may grow when bound' '
	kubectl create -f - <<-\EOF &&
	{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"a"},"provisioner":"x","allowVolumeExpansion":true}
	EOF
	kubectl -n v create -f - <<-\EOF &&
	{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteOnce"],
	 "storageClassName":"a","resources":{"requests":{"storage":"1Gi"}}}}
	EOF
	test_must_fail kubectl -n v patch pvc c -p "{\"spec\":{\"storageClassName\":\"b\"}}" 2>err &&
	test_grep "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims" err &&
	test_must_fail kubectl -n v patch pvc c -p "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}" 2>err &&
	test_grep "is immutable after creation" err &&
	kubectl create -f - <<-\EOF &&
	{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pvc-grows"},"spec":{"accessModes":["ReadWriteOnce"],
	 "storageClassName":"a","capacity":{"storage":"1Gi"},"hostPath":{"path":"/tmp/none"}}}
	EOF
	wait_for "test \"\$(kubectl -n v get pvc c -o jsonpath={.status.phase})\" = Bound" &&
	kubectl -n v patch pvc c -p "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}"
'

test_expect_success 'a StatefulSet may mount its claims, and changes little' '
	kubectl -n v create -f - <<-\EOF &&
	{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"ss"},"spec":{"replicas":0,"serviceName":"a",
	 "selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i",
	 "volumeMounts":[{"name":"data","mountPath":"/data"}]}]}},"volumeClaimTemplates":[{"metadata":{"name":"data"},
	 "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}}
	EOF
	test_must_fail kubectl -n v patch statefulset ss -p "{\"spec\":{\"serviceName\":\"b\"}}" 2>err &&
	test_grep "spec: Forbidden: updates to statefulset spec for fields other than .replicas., .ordinals., .template." err &&
	kubectl -n v patch statefulset ss -p "{\"spec\":{\"minReadySeconds\":3}}"
'

test_expect_success 'an immutable ConfigMap' '
	kubectl -n v create configmap m --from-literal=a=b &&
	kubectl -n v patch configmap m -p "{\"immutable\":true}" &&
	test_must_fail kubectl -n v patch configmap m -p "{\"data\":{\"a\":\"c\"}}" 2>err &&
	test_grep "data: Forbidden: field is immutable when .immutable. is set" err
'

test_expect_success 'an Ingress without anything, a NetworkPolicy of nobody, a schedule that is none' '
	echo "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"Ingress\",\"metadata\":{\"name\":\"i\"}}" |
	refused "either \`defaultBackend\` or \`rules\` must be specified" &&
	echo "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"name\":\"n\"},\"spec\":{\"podSelector\":{},\"ingress\":[{\"from\":[{}]}]}}" |
	refused "spec.ingress[0].from[0]: Required value: must specify a peer" &&
	test_must_fail kubectl -n v create cronjob cj --image=i --schedule="61 * * * *" 2>err &&
	test_grep "spec.schedule: Invalid value: \"61 \* \* \* \*\": end of range (61) above maximum (59): 61" err
'

test_expect_success 'cluster-wide kinds' '
	test_must_fail kubectl create priorityclass p --value=2000000000 2>err &&
	test_grep "value: Forbidden: maximum allowed value of a user defined priority is 1000000000" err &&
	echo "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"pv\"},\"spec\":{}}" |
	refused "spec: Required value: must specify a volume type" &&
	echo "{\"apiVersion\":\"admissionregistration.k8s.io/v1\",\"kind\":\"ValidatingWebhookConfiguration\",\"metadata\":{\"name\":\"w\"},\"webhooks\":[{\"name\":\"w\",\"clientConfig\":{\"url\":\"http://x\"}}]}" |
	refused "webhooks[0].clientConfig.url: Invalid value: \"http\": '"'https'"' is the only allowed URL scheme" &&
	echo "{\"apiVersion\":\"apiregistration.k8s.io/v1\",\"kind\":\"APIService\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"group\":\"a.b\",\"version\":\"v1\",\"groupPriorityMinimum\":1,\"versionPriority\":1}}" |
	refused "metadata.name: Invalid value: \"a\": must be \`spec.version+\".\"+spec.group\`: \"v1.a.b\""
'

test_expect_success 'warnings are shown, and the pod is made' '
	kubectl -n v create -f - 2>err <<-\EOF &&
	{"apiVersion":"v1","kind":"Pod","metadata":{"name":"q"},"spec":{"nodeSelector":{"beta.kubernetes.io/os":"x"},
	 "containers":[{"name":"c","image":"i","env":[{"name":"A","value":"1"},{"name":"A","value":"2"}]}]}}
	EOF
	test_grep "Warning: spec.nodeSelector\[beta.kubernetes.io/os\]: deprecated since v1.14; use \"kubernetes.io/os\" instead" err &&
	test_grep "Warning: spec.containers\[0\].env\[1\]: hides previous definition of \"A\"" err &&
	kubectl -n v get pod q
'

post() # PATH JSON: the code of the answer; the answer is in ./got
{
	api -o got -w "%{http_code}" -X POST -H "Content-Type: application/json" -d "$2" "$1"
}

test_expect_success 'bad input: wrong types, giant numbers, empty and foreign names' '
	test_equal 400 "$(post /apis/networking.k8s.io/v1/namespaces/v/ingresses "{\"metadata\":{\"name\":\"i\"},\"spec\":{\"rules\":\"x\"}}")" &&
	test_equal 400 "$(post /apis/scheduling.k8s.io/v1/priorityclasses "{\"metadata\":{\"name\":\"i\"},\"value\":99999999999999999999}")" &&
	test_equal 422 "$(post /apis/storage.k8s.io/v1/storageclasses "{\"metadata\":{\"name\":\"\\u00fcber\"},\"provisioner\":\"\"}")" &&
	test_equal "FieldValueInvalid metadata.name FieldValueRequired provisioner" \
		"$(jq -r "[.details.causes[] | .reason, .field] | join(\" \")" got)"
'

test_done
