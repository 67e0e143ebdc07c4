#!/bin/sh
# Claims and volumes: who gets which, what becomes of them, and the directories
# that the class local-path gives.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-volumes.sh"
test_needs kubectl overlay

test_expect_success 'start the server with an image' '
	sh "$srcdir/scripts/make-demo-image" demo.tar &&
	"$KINGLET" image import --data-dir "$DATA" demo.tar >/dev/null &&
	start_server
'

test_expect_success 'volumes that nobody has are Available' '
	volume small 1Gi ReadWriteOnce "" && volume big 10Gi "ReadWriteOnce, ReadWriteMany" "" &&
	volume gold 5Gi ReadWriteOnce gold &&
	becomes pv/small Available && becomes pv/big Available && becomes pv/gold Available
'

test_expect_success 'a claim gets the smallest that serves it' '
	claim c1 500Mi ReadWriteOnce "" && becomes pvc/c1 Bound &&
	test_equal small "$(volume_of c1)" && becomes pv/small Bound &&
	kubectl get pvc c1 >got && test_grep "^c1 *Bound *small *1Gi *RWO " got &&
	kubectl get pv small >got && test_grep "small *1Gi *RWO *Retain *Bound *default/c1 " got
'

test_expect_success 'by mode, by class, by label' '
	claim c2 1Gi ReadWriteMany "" && becomes pvc/c2 Bound && test_equal big "$(volume_of c2)" &&
	claim c3 1Gi ReadWriteOnce gold && becomes pvc/c3 Bound && test_equal gold "$(volume_of c3)" &&
	volume l1 1Gi ReadWriteOnce "" && volume l2 1Gi ReadWriteOnce "" &&
	claim c4 1Gi ReadWriteOnce "" "selector: {matchLabels: {name: l2}}" && becomes pvc/c4 Bound && test_equal l2 "$(volume_of c4)"
'

test_expect_success 'nothing serves it: Pending, and why; a volume that comes is taken' '
	claim c5 100Gi ReadWriteOnce "" && becomes pvc/c5 Pending &&
	wait_for "kubectl describe pvc c5 | grep -q \"FailedBinding .*no persistent volumes available for this claim and no storage class is set\"" &&
	volume huge 200Gi ReadWriteOnce "" && becomes pvc/c5 Bound &&
	claim c6 1Gi ReadWriteOnce nosuch &&
	wait_for "kubectl describe pvc c6 | grep -q \"ProvisioningFailed .*storageclass.storage.k8s.io .nosuch. not found\""
'

test_expect_success 'a claim may name its volume, a volume its claim' '
	claim c7 1Gi ReadWriteOnce "" "volumeName: later" && becomes pvc/c7 Pending &&
	volume later 1Gi ReadWriteOnce "" && becomes pvc/c7 Bound &&
	volume kept 1Gi ReadWriteOnce "" "claimRef: {namespace: default, name: c8}" && becomes pv/kept Available &&
	claim c8 1Gi ReadWriteOnce "" && becomes pvc/c8 Bound && test_equal kept "$(volume_of c8)" &&
	claim c9 1Gi ReadWriteOnce "" "volumeName: kept" &&
	wait_for "kubectl describe pvc c9 | grep -q \"volume .kept. already bound to a different claim\"" &&
	claim c10 3Gi ReadWriteOnce "" "volumeName: l1" &&
	wait_for "kubectl describe pvc c10 | grep -q \"Cannot bind to requested volume .l1.: requested PV is too small\""
'

test_expect_success 'the claim goes: Retain keeps the volume, Released' '
	kubectl delete pvc c1 --wait=false && becomes pv/small Released &&
	claim again 500Mi ReadWriteOnce "" "volumeName: small" && becomes pvc/again Pending
'

test_expect_success 'Recycle empties it, and it is Available again' '
	mkdir -p /tmp/k-$$-rec/sub && echo old >/tmp/k-$$-rec/sub/file && echo old >/tmp/k-$$-rec/.hidden &&
	volume rec 7Gi ReadWriteOnce rec "" Recycle && claim r1 1Gi ReadWriteOnce rec && becomes pvc/r1 Bound &&
	kubectl delete pvc r1 && becomes pv/rec Available &&
	test_equal "" "$(ls -A /tmp/k-$$-rec)" && rmdir /tmp/k-$$-rec &&
	claim r2 1Gi ReadWriteOnce rec && becomes pvc/r2 Bound
'

test_expect_success 'Delete removes it' '
	mkdir -p /tmp/k-$$-del && echo old >/tmp/k-$$-del/file &&
	volume del 1Gi ReadWriteOnce del "" Delete && claim d1 1Gi ReadWriteOnce del && becomes pvc/d1 Bound &&
	kubectl delete pvc d1 && wait_for "! kubectl get pv del 2>/dev/null" && test ! -e /tmp/k-$$-del
'

test_expect_success 'what must not be deleted is not: Failed, and why' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: PersistentVolume
	metadata: {name: etc}
	spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], storageClassName: etc, persistentVolumeReclaimPolicy: Delete,
	  hostPath: {path: "$TRASH/precious"}}
	EOF
	mkdir "$TRASH/precious" && claim e1 1Gi ReadWriteOnce etc && becomes pvc/e1 Bound &&
	kubectl delete pvc e1 && becomes pv/etc Failed && test -d "$TRASH/precious" &&
	wait_for "kubectl describe pv etc | grep -q \"VolumeFailedDelete .*host_path deleter only supports /tmp/.+ but received provided $TRASH/precious\""
'

test_expect_success 'the volume goes: the claim is Lost' '
	kubectl delete pv l2 --wait=false && kubectl patch pv l2 --type=merge -p "{\"metadata\":{\"finalizers\":null}}" &&
	becomes pvc/c4 Lost
'

test_expect_success 'the class local-path is there, and the default' '
	kubectl get storageclass >got && test_grep "local-path (default) *kinglet.io/local-path *Delete *WaitForFirstConsumer *true" got
'

test_expect_success 'a claim of it waits for its first pod, then gets a directory of its own' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: PersistentVolumeClaim
	metadata: {name: data}
	spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
	EOF
	wait_for "kubectl describe pvc data | grep -q \"WaitForFirstConsumer .*waiting for first consumer to be created before binding\"" &&
	user w1 data "id -u; echo hello >/v/file && cat /v/file" &&
	becomes pod/w1 Succeeded && becomes pvc/data Bound &&
	test_equal "0
hello" "$(kubectl logs w1)" &&
	pv=$(volume_of data) && kubectl get pv $pv >got && test_grep "$pv *1Gi *RWO *Delete *Bound *default/data *local-path " got &&
	test_equal hello "$(cat "$DATA/storage/${pv}_default_data/file")" &&
	kubectl describe pvc data >got && test_grep "ProvisioningSucceeded .*Successfully provisioned volume $pv" got
'

test_expect_success 'it is kept while a pod uses it, seen by the next one, and grows' '
	user w2 data "cat /v/file; sleep 1000" && becomes pod/w2 Running &&
	wait_for "test \"\$(kubectl logs w2)\" = hello" &&
	kubectl patch pvc data -p "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}" &&
	wait_for "test \"\$(kubectl get pvc data -o jsonpath={.status.capacity.storage})\" = 2Gi" &&
	kubectl delete pvc data --wait=false && test_equal Bound "$(phase pvc/data)"
'

test_expect_success 'when the last pod is gone the claim goes, with it the volume and the directory' '
	kubectl delete pod w1 w2 && wait_for "! kubectl get pvc data 2>/dev/null" &&
	wait_for "! kubectl get pv $pv 2>/dev/null" && test ! -e "$DATA/storage/${pv}_default_data"
'

test_expect_success 'modes that a directory of one node can not have are refused' '
	claim many 1Gi ReadWriteMany local-path && user m many "sleep 1" &&
	wait_for "kubectl describe pvc many | grep -q \"ProvisioningFailed .*NodePath only supports ReadWriteOnce\"" &&
	kubectl delete pod m --grace-period=0 --force
'

test_expect_success 'a pod with a volume of its own: the claim is made, and goes with the pod' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Pod
	metadata: {name: own}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers: [{name: c, image: localhost/demo:1, command: [sh, -c, "echo x >/v/f; sleep 1000"], volumeMounts: [{name: scratch, mountPath: /v}]}]
	  volumes: [{name: scratch, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}]
	EOF
	becomes pod/own Running && becomes pvc/own-scratch Bound && pv=$(volume_of own-scratch) &&
	kubectl delete pod own && wait_for "! kubectl get pvc own-scratch 2>/dev/null" && wait_for "! kubectl get pv $pv 2>/dev/null"
'

test_expect_success '--disable: the class is not made; an unknown part is refused' '
	test_must_fail "$KINGLET" server --data-dir "$TRASH/d2" --disable nosuch 2>err && test_grep "there is no such part" err
'

test_done
