#!/bin/sh
# What is let in, and with what: limit ranges, service accounts and their tokens,
# priority and runtime classes, default classes, storage in use, new nodes, and
# the administrator's choice of plug-ins. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

pod() # NAME SPEC-MEMBERS CONTAINER-MEMBERS
{
	object "apiVersion: v1, kind: Pod, metadata: {name: $1}, spec: {$2 containers: [{name: c, image: x, $3}]}"
}

test_expect_success 'start the server' '
	start_server --disable-agent --disable local-storage
'

test_expect_success 'a limit range gives what a container does not say, and notes it' '
	kubectl create namespace l &&
	object "apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [
		{type: Container, default: {cpu: 500m, memory: 128Mi}, defaultRequest: {cpu: 100m}, min: {cpu: 50m}, max: {cpu: 1},
			maxLimitRequestRatio: {cpu: 10}},
		{type: Pod, max: {memory: 1Gi}},
		{type: PersistentVolumeClaim, min: {storage: 1Gi}, max: {storage: 2Gi}}]}" | kubectl -n l create -f - &&
	kubectl -n l run a --image=x &&
	kubectl -n l get pod a -o jsonpath="{.spec.containers[0].resources}" >got &&
	test_equal "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"128Mi\"},\"requests\":{\"cpu\":\"100m\",\"memory\":\"128Mi\"}}" "$(cat got)" &&
	kubectl -n l get pod a -o jsonpath="{.metadata.annotations.kubernetes\.io/limit-ranger}" >got &&
	test_equal "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a" "$(cat got)"
'

test_expect_success 'too little, too much, and out of proportion' '
	pod p "" "resources: {limits: {cpu: 2}}" >p &&
	refused "pods \"p\" is forbidden: maximum cpu usage per Container is 1, but limit is 2" kubectl -n l create -f p &&
	pod p "" "resources: {limits: {cpu: 1}, requests: {cpu: 10m}}" >p &&
	refused "pods \"p\" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, cpu max limit to request ratio per Container is 10, but provided ratio is 100.000000]" \
		kubectl -n l create -f p &&
	pod p "" "resources: {limits: {memory: 2Gi}}" >p &&
	refused "pods \"p\" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 2Gi" kubectl -n l create -f p
'

claim() # NAME SIZE [SPEC-MEMBERS]
{
	object "apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: $1}, spec: {$3 accessModes: [ReadWriteOnce],
		resources: {requests: {storage: $2}}}"
}

test_expect_success 'claims have limits, too' '
	claim c 3Gi >c &&
	refused "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi" \
		kubectl -n l create -f c &&
	claim c 1Mi >c &&
	refused "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi" kubectl -n l create -f c
'

many() # N: that many names with amounts
{
	seq "$1" | sed "s/.*/\"count\/x&.a.b\": \"1\"/" | paste -sd,
}

test_expect_success 'limits on limits: names without end are refused' '
	object "apiVersion: v1, kind: LimitRange, metadata: {name: m}, spec: {limits: [{type: Container, max: {$(seq 200 |
		sed "s/.*/a.b\\/x&: 1/" | paste -sd,)}}]}" >m &&
	refused "spec.limits: Too many: 600: must have at most 128 items" kubectl -n l create -f m &&
	object "apiVersion: v1, kind: ResourceQuota, metadata: {name: m}, spec: {hard: {$(many 1001)}}" >m &&
	refused "spec.hard: Too many: 1001: must have at most 1000 items" kubectl -n l create -f m &&
	object "apiVersion: v1, kind: ResourceQuota, metadata: {name: m}, spec: {hard: {$(many 1000)}}" | kubectl -n l create -f - &&
	kubectl -n l create configmap still &&
	kubectl -n l delete quota m
'

test_expect_success 'a pod that comes with its namespace waits for the account' '
	object "apiVersion: v1, kind: Namespace, metadata: {name: new}" >both &&
	object "apiVersion: v1, kind: Pod, metadata: {name: a, namespace: new}, spec: {containers: [{name: c, image: x}]}" >>both &&
	kubectl create -f both &&
	test_equal default "$(kubectl -n new get pod a -o jsonpath="{.spec.serviceAccountName}")"
'

test_expect_success 'every container gets a token, the CA and the namespace' '
	pod t "initContainers: [{name: i, image: x}]," "" | kubectl -n new create -f - &&
	kubectl -n new get pod t -o json >got &&
	test_equal 2 "$(grep -c mountPath.*/var/run/secrets/kubernetes.io/serviceaccount got)" &&
	kubectl -n new get pod t -o jsonpath="{.spec.volumes[0].name}" >name &&
	test_grep -E "^kube-api-access-[a-z0-9]{5}$" name &&
	test_equal "3607 kube-root-ca.crt metadata.namespace" "$(kubectl -n new get pod t -o \
		jsonpath="{..serviceAccountToken.expirationSeconds} {..configMap.name} {..fieldRef.fieldPath}")"
'

test_expect_success 'not when the pod or its account do not want one' '
	pod no1 "automountServiceAccountToken: false," "" | kubectl -n new create -f - &&
	test_equal "" "$(kubectl -n new get pod no1 -o jsonpath="{.spec.volumes}")" &&
	object "apiVersion: v1, kind: ServiceAccount, metadata: {name: quiet}, automountServiceAccountToken: false,
		imagePullSecrets: [{name: pull}]" | kubectl -n new create -f - &&
	pod q "serviceAccountName: quiet," "" | kubectl -n new create -f - &&
	test_equal "pull" "$(kubectl -n new get pod q -o jsonpath="{.spec.volumes}{.spec.imagePullSecrets[*].name}")"
'

test_expect_success 'an account that is not there, and one that limits secrets' '
	pod x "serviceAccountName: nobody," "" >x &&
	refused "pods \"x\" is forbidden: error looking up service account new/nobody: serviceaccount \"nobody\" not found" \
		kubectl -n new create -f x &&
	object "apiVersion: v1, kind: ServiceAccount, secrets: [{name: mine}],
		metadata: {name: strict, annotations: {kubernetes.io/enforce-mountable-secrets: \"true\"}}" |
		kubectl -n new create -f - &&
	pod x "serviceAccountName: strict, volumes: [{name: v, secret: {secretName: other}}]," "" >x &&
	refused "volume with secret.secretName=\"other\" is not allowed because service account strict does not reference that secret" \
		kubectl -n new create -f x &&
	pod x "serviceAccountName: strict," "env: [{name: E, valueFrom: {secretKeyRef: {name: other, key: k}}}]" >x &&
	refused "container c with envVar E referencing secret.secretName=\"other\" is not allowed" kubectl -n new create -f x &&
	pod x "serviceAccountName: strict," "env: [{name: E, valueFrom: {secretKeyRef: {name: mine, key: k}}}]" |
		kubectl -n new create -f -
'

test_expect_success 'a mirror pod may have none of this' '
	object "apiVersion: v1, kind: Pod, metadata: {name: m, annotations: {kubernetes.io/config.mirror: x}},
		spec: {nodeName: n1, containers: [{name: c, image: x}], serviceAccountName: default}" >m &&
	refused "pods \"m\" is forbidden: a mirror pod may not reference service accounts" kubectl -n new create -f m &&
	sed "s/, serviceAccountName: default/, volumes: [{name: v, secret: {secretName: s}}]/" m >m2 &&
	refused "a mirror pod may not reference secrets" kubectl -n new create -f m2 &&
	sed "s/, serviceAccountName: default//" m | kubectl -n new create -f - &&
	test_equal "" "$(kubectl -n new get pod m -o jsonpath="{.spec.volumes}")"
'

test_expect_success 'priority classes: the default, the only one' '
	kubectl create priorityclass mid --value=7 --global-default &&
	refused "priorityclasses.scheduling.k8s.io \"two\" is forbidden: PriorityClass mid is already marked as default. Only one default can exist" \
		kubectl create priorityclass two --value=8 --global-default &&
	kubectl create priorityclass meek --value=9 --preemption-policy=Never &&
	kubectl -n new run d --image=x &&
	test_equal "7 mid PreemptLowerPriority" "$(kubectl -n new get pod d -o \
		jsonpath="{.spec.priority} {.spec.priorityClassName} {.spec.preemptionPolicy}")" &&
	pod e "priorityClassName: meek," "" | kubectl -n new create -f - &&
	test_equal "9 Never" "$(kubectl -n new get pod e -o jsonpath="{.spec.priority} {.spec.preemptionPolicy}")" &&
	pod f "priorityClassName: meek, priority: 3," "" >f &&
	refused "the integer value of priority (3) must not be provided in pod spec; priority admission controller computed 9 from the given PriorityClass name" \
		kubectl -n new create -f f
'

test_expect_success 'a runtime class: its overhead, where it runs' '
	object "apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: rc}, handler: h, overhead: {podFixed: {cpu: 250m}},
		scheduling: {nodeSelector: {disk: ssd}, tolerations: [{key: k, operator: Exists, effect: NoSchedule}]}" |
		kubectl create -f - &&
	pod r "runtimeClassName: rc," "" | kubectl -n new create -f - &&
	test_equal "250m ssd k" "$(kubectl -n new get pod r -o \
		jsonpath="{.spec.overhead.cpu} {.spec.nodeSelector.disk} {.spec.tolerations[?(@.effect==\"NoSchedule\")].key}")" &&
	pod s "runtimeClassName: rc, nodeSelector: {disk: hdd}," "" >s &&
	refused "conflict: runtimeClass.scheduling.nodeSelector[disk] = ssd; pod.spec.nodeSelector[disk] = hdd" \
		kubectl -n new create -f s &&
	pod s "runtimeClassName: rc, overhead: {cpu: 1}," "" >s &&
	refused "pod rejected: Pod'\''s Overhead doesn'\''t match RuntimeClass'\''s defined Overhead" kubectl -n new create -f s &&
	pod s "runtimeClassName: none," "" >s &&
	refused "pods \"s\" is forbidden: pod rejected: RuntimeClass \"none\" not found" kubectl -n new create -f s
'

test_expect_success 'default classes, the newest of several' '
	claim c0 1Gi | kubectl -n new create -f - &&
	test_equal "" "$(kubectl -n new get pvc c0 -o jsonpath="{.spec.storageClassName}")" &&
	for c in slow fast; do
		object "apiVersion: storage.k8s.io/v1, kind: StorageClass, provisioner: p, allowVolumeExpansion: true,
			metadata: {name: $c, annotations: {storageclass.kubernetes.io/is-default-class: \"true\"}}" |
			kubectl create -f - || return 1
	done &&
	newest=$(kubectl get sc -o jsonpath="{range .items[*]}{.metadata.creationTimestamp} {.metadata.name}{\"\\n\"}{end}" |
		sort -k1,1r -k2,2 | sed -n "1s/.* //p") &&
	claim c1 1Gi | kubectl -n new create -f - &&
	test_equal "$newest" "$(kubectl -n new get pvc c1 -o jsonpath="{.spec.storageClassName}")" &&
	claim c2 1Gi "storageClassName: \"\"," | kubectl -n new create -f - &&
	test_equal "" "$(kubectl -n new get pvc c2 -o jsonpath="{.spec.storageClassName}")" &&
	object "apiVersion: networking.k8s.io/v1, kind: IngressClass, spec: {controller: a.b/c},
		metadata: {name: web, annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}}" | kubectl create -f - &&
	kubectl -n new create ingress i --rule=a.b/=svc:80 &&
	test_equal web "$(kubectl -n new get ingress i -o jsonpath="{.spec.ingressClassName}")"
'

test_expect_success 'a claim grows when it is bound and its class allows it' '
	grow="{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}" &&
	test_must_fail kubectl -n new patch pvc c1 -p "$grow" &&
	object "apiVersion: v1, kind: PersistentVolume, metadata: {name: v1}, spec: {accessModes: [ReadWriteOnce],
		storageClassName: $newest, capacity: {storage: 1Gi}, hostPath: {path: /tmp/none}}" | kubectl create -f - &&
	wait_for "test \"\$(kubectl -n new get pvc c1 -o jsonpath={.status.phase})\" = Bound" &&
	kubectl -n new patch pvc c1 -p "$grow" &&
	object "apiVersion: v1, kind: PersistentVolume, metadata: {name: v2}, spec: {accessModes: [ReadWriteOnce],
		storageClassName: \"\", claimRef: {namespace: new, name: c2}, capacity: {storage: 1Gi}, hostPath: {path: /tmp/none}}" |
		kubectl create -f - &&
	wait_for "test \"\$(kubectl -n new get pvc c2 -o jsonpath={.status.phase})\" = Bound" &&
	refused "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize" \
		kubectl -n new patch pvc c2 -p "$grow"
'

test_expect_success 'a claim stays while a pod uses it' '
	test_equal kubernetes.io/pvc-protection "$(kubectl -n new get pvc c1 -o jsonpath="{.metadata.finalizers[*]}")" &&
	pod u "volumes: [{name: v, persistentVolumeClaim: {claimName: c1}}]," "" | kubectl -n new create -f - &&
	kubectl -n new delete pvc c0 c1 --wait=false &&
	wait_for "! kubectl -n new get pvc c0" &&
	kubectl -n new get pvc c1 -o jsonpath="{.metadata.deletionTimestamp}" | grep . &&
	kubectl -n new delete pod u --grace-period=0 --force &&
	wait_for "! kubectl -n new get pvc c1"
'

test_expect_success 'a new node gets no pods until it is ready' '
	object "apiVersion: v1, kind: Node, metadata: {name: n9}" >node &&
	kubectl create -f node -o jsonpath="{.spec.taints}" >got &&
	test_grep "\"key\":\"node.kubernetes.io/not-ready\"" got &&
	kubectl patch node n9 --subresource=status -p "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}" &&
	wait_for "kubectl get node n9 -o jsonpath={.spec.taints[*].key} | grep not-ready" &&
	kubectl patch node n9 --subresource=status -p "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},{\"type\":\"DiskPressure\",\"status\":\"True\"}]}}" &&
	wait_for "test node.kubernetes.io/disk-pressure = \"\$(kubectl get node n9 -o jsonpath={.spec.taints[*].key})\"" &&
	kubectl cordon n9 &&
	wait_for "kubectl get node n9 -o jsonpath={.spec.taints[*].key} | grep unschedulable"
'

test_expect_success 'namespaces that must stay; nothing new into one that ends' '
	for ns in default kube-system kube-public; do
		refused "namespaces \"$ns\" is forbidden: this namespace may not be deleted" kubectl delete namespace $ns || return 1
	done &&
	kubectl create namespace ends &&
	kubectl -n ends create configmap held &&
	kubectl -n ends patch configmap held -p "{\"metadata\":{\"finalizers\":[\"a.b/c\"]}}" &&
	kubectl delete namespace ends --wait=false &&
	refused "configmaps \"late\" is forbidden: unable to create new content in namespace ends because it is being terminated" \
		kubectl -n ends create configmap late &&
	refused "namespaces \"never\" not found" kubectl -n never create configmap late &&
	kubectl -n ends patch configmap held -p "{\"metadata\":{\"finalizers\":null}}"
'

test_expect_success 'plug-ins turned on and off' '
	restart_server --disable-agent --enable-admission-plugins AlwaysPullImages,DenyServiceExternalIPs,NodeRestriction \
		--disable-admission-plugins LimitRanger,DefaultIngressClass &&
	pod late "" "imagePullPolicy: Never" | kubectl -n l create -f - &&
	test_equal "Always " "$(kubectl -n l get pod late -o jsonpath="{.spec.containers[0].imagePullPolicy} {.spec.containers[0].resources.limits}")" &&
	object "apiVersion: v1, kind: Service, metadata: {name: e}, spec: {externalIPs: [192.0.2.7], ports: [{port: 80}]}" >e &&
	refused "Use of external IPs is denied by admission control" kubectl -n l create -f e &&
	kubectl -n new create ingress j --rule=a.b/=svc:80 &&
	test_equal "" "$(kubectl -n new get ingress j -o jsonpath="{.spec.ingressClassName}")" &&
	stop_server
'

test_expect_success 'a plug-in that there is not is named' '
	test_must_fail "$KINGLET" server --data-dir "$DATA" --write-kubeconfig "$KUBECONFIG" --disable-agent \
		--disable-admission-plugins Nonsense >got 2>&1 &&
	test_grep "admission plug-in \"Nonsense\" is unknown" got
'

test_done
