#!/bin/sh
# Claims in the cases that are not plain: classes that come later, volumes that
# wait for their first pod, one pod only, reclaiming what cannot be reclaimed.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-volumes.sh"
test_needs kubectl overlay

test_expect_success 'start the server with an image' '
	sh "$srcdir/scripts/make-demo-image" demo.tar &&
	"$KINGLET" image import --data-dir "$DATA" demo.tar >/dev/null &&
	start_server
'

class() # NAME PROVISIONER MODE [MORE]
{
	kubectl apply -f - <<-YAML
	apiVersion: storage.k8s.io/v1
	kind: StorageClass
	metadata: {name: $1}
	provisioner: $2
	volumeBindingMode: $3
	${4:-}
	YAML
}
mark() # CLASS true|false: as default
{
	kubectl annotate --overwrite storageclass $1 storageclass.kubernetes.io/is-default-class=$2
}
class_of() { kubectl get pvc $1 -o jsonpath='{.spec.storageClassName}'; }
unclassed() # NAME
{
	kubectl apply -f - <<-YAML
	apiVersion: v1
	kind: PersistentVolumeClaim
	metadata: {name: $1}
	spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
	YAML
}

test_expect_success 'no class at all: the claim waits, and gets the default class when there is one' '
	mark local-path false && unclassed plain && claim none 1Gi ReadWriteOnce "" &&
	says pvc/plain "FailedBinding .*no persistent volumes available for this claim and no storage class is set" &&
	test_equal "" "$(class_of plain)" &&
	mark local-path true && wait_for "test \"\$(class_of plain)\" = local-path" &&
	says pvc/plain "WaitForFirstConsumer" && test_equal "" "$(class_of none)"
'

test_expect_success 'of two default classes the newest counts' '
	wait_for "test \"\$(kubectl get storageclass local-path -o jsonpath={.metadata.creationTimestamp})\" != \"\$(date -u +%Y-%m-%dT%H:%M:%SZ)\"" &&
	class newer example.com/disks Immediate && mark newer true && unclassed two && test_equal newer "$(class_of two)" &&
	says pvc/two "ExternalProvisioning .*Waiting for a volume to be created either by the external provisioner .example.com/disks. or manually" &&
	kubectl delete storageclass newer
'

test_expect_success 'local volumes wait for a pod; each claim of it gets one of its own, the smallest that will do' '
	class local kubernetes.io/no-provisioner WaitForFirstConsumer &&
	node=$(kubectl get nodes -o jsonpath="{.items[0].metadata.name}") &&
	here="nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$node]}]}]}}" &&
	volume w-far 1Gi ReadWriteOnce local "$(echo "$here" | sed "s/\[$node\]/[nosuch]/")" &&
	volume w-small 2Gi ReadWriteOnce local "$here" && claim w1 1Gi ReadWriteOnce local && claim w2 2Gi ReadWriteOnce local &&
	says pvc/w1 "WaitForFirstConsumer .*waiting for first consumer to be created before binding" &&
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: Pod
	metadata: {name: both}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers: [{name: c, image: localhost/demo:1, command: [sleep, "1000"], volumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /b}]}]
	  volumes: [{name: a, persistentVolumeClaim: {claimName: w2}}, {name: b, persistentVolumeClaim: {claimName: w1}}]
	EOF
	says pod/both "didn.t find available persistent volumes to bind" &&
	says pvc/w1 "WaitForPodScheduled .*waiting for pod both to be scheduled" && test_equal Pending "$(phase pvc/w2)" &&
	volume w-large 9Gi ReadWriteOnce local "$here" && becomes pod/both Running &&
	test_equal "w-small w-large" "$(volume_of w1) $(volume_of w2)" && kubectl delete pod both
'

test_expect_success 'a volume that is kept for a claim is bound to it whatever class it has; one to be deleted is not' '
	volume k1 1Gi ReadWriteOnce gold "claimRef: {namespace: default, name: k1}" && claim k1 1Gi ReadWriteOnce "" &&
	becomes pvc/k1 Bound && test_equal k1 "$(volume_of k1)" &&
	volume k2 1Gi ReadWriteOnce gold &&
	kubectl patch pv k2 --type=merge -p "{\"metadata\":{\"finalizers\":[\"example.com/keep\"]}}" && kubectl delete pv k2 --wait=false &&
	claim k2 1Gi ReadWriteOnce gold "volumeName: k2" &&
	says pvc/k2 "VolumeMismatch .*Cannot bind to requested volume .k2.: the volume is marked for deletion .k2." &&
	kubectl patch pv k2 --type=merge -p "{\"metadata\":{\"finalizers\":null}}"
'

test_expect_success 'ReadWriteOncePod: one pod has it, another waits, and a more important one takes it' '
	volume once 1Gi ReadWriteOncePod once && claim once 1Gi ReadWriteOncePod once && becomes pvc/once Bound &&
	user o1 once "sleep 1000" && becomes pod/o1 Running && user o2 once "sleep 1000" &&
	says pod/o2 "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode" &&
	user o3 once "sleep 1000" "nodeName: $node" &&
	says pod/o3 "FailedMount .*volume uses the ReadWriteOncePod access mode and is already in use by another pod" &&
	kubectl delete pod o2 o3 && kubectl create priorityclass high --value=1000 &&
	user o4 once "sleep 1000" "priorityClassName: high" && becomes pod/o4 Running && kubectl delete pod o4 --wait=false &&
	wait_for "! kubectl get pod o1 2>/dev/null"
'

test_expect_success 'what nobody can empty or remove is Failed, and why' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: List
	items:
	- {apiVersion: v1, kind: PersistentVolume, metadata: {name: f-rec}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce],
	    persistentVolumeReclaimPolicy: Recycle, local: {path: /mnt}, $here, claimRef: {namespace: default, name: nosuch, uid: x}}}
	- {apiVersion: v1, kind: PersistentVolume, metadata: {name: f-del}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce],
	    persistentVolumeReclaimPolicy: Delete, local: {path: /mnt}, $here, claimRef: {namespace: default, name: nosuch, uid: x}}}
	EOF
	says pv/f-rec "VolumeFailedRecycle .*No recycler plugin found for the volume!" &&
	says pv/f-del "VolumeFailedDelete .*error getting deleter volume plugin for volume .f-del.: no deletable volume plugin matched" &&
	becomes pv/f-rec Failed && becomes pv/f-del Failed &&
	test_equal "No recycler plugin found for the volume!" "$(kubectl get pv f-rec -o jsonpath={.status.message})"
'

test_expect_success 'a directory of a node that is no more goes without it' '
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: PersistentVolume
	metadata: {name: gone, annotations: {pv.kubernetes.io/provisioned-by: kinglet.io/local-path}}
	spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Delete, hostPath: {path: "$DATA/storage/gone"},
	  $(echo "$here" | sed "s/\[$node\]/[nosuch]/"), claimRef: {namespace: default, name: nosuch, uid: x}}
	EOF
	wait_for "! kubectl get pv gone 2>/dev/null"
'

test_expect_success 'a node that is chosen, and no more, is given back' '
	unclassed back && kubectl annotate pvc back volume.kubernetes.io/selected-node=nosuch &&
	says pvc/back "ProvisioningFailed .*failed to get target node: nodes .nosuch. not found" &&
	wait_for "test -z \"\$(kubectl get pvc back -o jsonpath=\"{.metadata.annotations.volume\\.kubernetes\\.io/selected-node}\")\"" &&
	user back back true && becomes pod/back Succeeded
'

test_expect_success 'local-path: a class that binds at once takes a node that it allows; what a directory cannot be is refused' '
	class zone kinglet.io/local-path Immediate "allowedTopologies: [{matchLabelExpressions: [{key: kubernetes.io/hostname, values: [nosuch]}]}]" &&
	claim z1 1Gi ReadWriteOnce zone && says pvc/z1 "ProvisioningFailed .*no node is ready to have the volume" &&
	class now rancher.io/local-path Immediate "allowVolumeExpansion: false" && claim n1 1Gi ReadWriteOncePod now && becomes pvc/n1 Bound &&
	test_equal rancher.io/local-path "$(kubectl get pv $(volume_of n1) -o jsonpath="{.metadata.annotations.pv\.kubernetes\.io/provisioned-by}")" &&
	test_must_fail kubectl patch pvc n1 -p "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}" 2>err &&
	test_grep "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize" err &&
	claim n2 1Gi ReadWriteOnce now "dataSource: {kind: PersistentVolumeClaim, name: n1}" &&
	says pvc/n2 "ProvisioningFailed .*dataSource is not supported" &&
	claim n3 1Gi ReadWriteOnce now "volumeMode: Block" && says pvc/n3 "ProvisioningFailed .*block volumes are not supported" &&
	claim n4 1Gi ReadWriteOnce now "volumeAttributesClassName: fast" &&
	says pvc/n4 "ProvisioningFailed .*volumeAttributesClassName is not supported"
'

block() # NAME DEVICE
{
	kubectl apply -f - <<-YAML && claim $1 1Mi ReadWriteOnce $1 "volumeMode: Block"
	apiVersion: v1
	kind: PersistentVolume
	metadata: {name: $1}
	spec: {capacity: {storage: 1Mi}, accessModes: [ReadWriteOnce], storageClassName: $1, volumeMode: Block, local: {path: $2}, $here}
	YAML
}
device_user() # POD CLAIM READONLY COMMAND
{
	kubectl apply -f - <<-YAML
	apiVersion: v1
	kind: Pod
	metadata: {name: $1}
	spec:
	  restartPolicy: Never
	  terminationGracePeriodSeconds: 0
	  containers: [{name: c, image: localhost/demo:1, command: [sh, -c, "$4"], volumeDevices: [{name: v, devicePath: /dev/disk}]}]
	  volumes: [{name: v, persistentVolumeClaim: {claimName: $2, readOnly: $3}}]
	YAML
}

local_volume() # NAME PATH
{
	kubectl apply -f - <<-YAML && claim $1 1Mi ReadWriteOnce local "volumeName: $1"
	apiVersion: v1
	kind: PersistentVolume
	metadata: {name: $1}
	spec: {capacity: {storage: 1Mi}, accessModes: [ReadWriteOnce], storageClassName: local, local: {path: "$2"}, $here}
	YAML
}

test_expect_success 'a local volume is given to the group of its pod; one that is missing is told' '
	mkdir disk && echo old >disk/file && chmod 600 disk/file &&
	local_volume l-dir "$PWD/disk" && local_volume l-none "$TRASH/nosuch" &&
	user l1 l-dir "ls -ln /v/file; echo new >/v/new" "securityContext: {fsGroup: 2000}" &&
	user l2 l-none true && becomes pod/l1 Succeeded && kubectl logs l1 >got && test_grep "^-rw-rw---- .* 2000 " got && test_equal new "$(cat disk/new)" &&
	says pod/l2 "FailedMount .*MountVolume.SetUp failed for volume .l-none. : path .$TRASH/nosuch. does not exist" &&
	kubectl delete pod l1 l2
'

test_expect_success 'volumeMode Block: what is no device, or mounted as files, is told' '
	block b-file "$TRASH" && device_user b1 b-file false true &&
	says pod/b1 "FailedMount .*MapVolume.SetUpDevice failed for volume .b-file. : local volume .$TRASH. is no block device" &&
	user b2 b-file true && says pod/b2 "FailedMount .*volume v has volumeMode Block, but is specified in volumeMounts" &&
	volume b-dir 1Gi ReadWriteOnce b-dir && claim b-dir 1Gi ReadWriteOnce b-dir && device_user b3 b-dir false true &&
	says pod/b3 "FailedMount .*volume v has volumeMode Filesystem, but is specified in volumeDevices" &&
	kubectl delete pod b1 b2 b3
'

echo on-the-disk >disk.img && truncate -s 1M disk.img && disk=$(losetup -f --show disk.img 2>/dev/null) || disk=
if [ -n "$disk" ]; then
	test_expect_success 'a block device is passed into the container, and no other' '
		test_when_finished "losetup -d $disk" &&
		block b-disk "$disk" &&
		device_user d-read b-disk true "head -n 1 /dev/disk; (echo no >/dev/disk) 2>/dev/null || echo kept; { mknod /other b 7 250 && cat /other; } 2>&1 | grep -c not.permitted" &&
		becomes pod/d-read Succeeded && test_equal "on-the-disk
kept
1" "$(kubectl logs d-read)" &&
		device_user d-write b-disk false "echo written | dd of=/dev/disk conv=fsync,notrunc 2>/dev/null" && becomes pod/d-write Succeeded &&
		test_equal written "$(head -n 1 "$disk")" && kubectl delete pod d-read d-write
	'
else
	test_skip 'a block device is passed into the container, and no other' 'no loop device can be had'
fi

test_expect_success 'without local-storage its class goes, and comes back with it' '
	kubectl delete pvc n1 && restart_server --disable local-storage && wait_for "! kubectl get storageclass local-path 2>/dev/null" &&
	claim d1 1Gi ReadWriteOnce now && says pvc/d1 "ExternalProvisioning" && test_equal Pending "$(phase pvc/d1)" &&
	stop_server && start_server && wait_for "kubectl get storageclass local-path" && becomes pvc/d1 Bound
'

test_done
