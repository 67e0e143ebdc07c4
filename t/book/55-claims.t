#!/bin/sh
# The book on persistent volumes and claims: who gets which, what becomes of a volume when its claim goes, and
# classes that make volumes.
. "${srcdir:-.}/t/book/lib.sh"
start_book nginx

phase() # RESOURCE PHASE: comes to be
{
	have "$1" .status.phase "$2"
}

# The book's volume is a disk of Google's cloud. A directory of the node takes its place where a pod is to run.
volume() # [POLICY]
{
	mkdir -p "/tmp/book-$$" &&
	manifest persistentvolume | sed "s/gcePersistentDisk:/hostPath:/; s|pdName: .*|path: /tmp/book-$$|; /fsType/d; s/Retain/${1:-Retain}/"
}

test_expect_success 'a volume of the cluster, in no namespace' '
	create persistentvolume >got 2>err &&
	test_grep "^persistentvolume/mongodb-pv created" got &&
	test_grep "^Warning: spec.gcePersistentDisk: needs a driver that is not part of kinglet; use a claim of the class local-path" err &&
	phase pv/mongodb-pv Available &&
	kubectl get pv >got &&
	test_grep "^NAME  *CAPACITY  *ACCESS MODES  *RECLAIM POLICY  *STATUS  *CLAIM  *STORAGECLASS" got &&
	test_grep "^mongodb-pv  *1Gi  *RWO,ROX  *Retain  *Available " got
'

test_expect_success 'a claim that it serves gets it' '
	create persistentvolumeclaim >got &&
	test_grep "^persistentvolumeclaim/mongodb-pvc created" got &&
	phase pvc/mongodb-pvc Bound &&
	kubectl get pvc >got &&
	test_grep "^mongodb-pvc  *Bound  *mongodb-pv  *1Gi  *RWO,ROX " got &&
	phase pv/mongodb-pv Bound &&
	kubectl get pv >got &&
	test_grep "^mongodb-pv  *1Gi  *RWO,ROX  *Retain  *Bound  *default/mongodb-pvc " got
'

test_expect_success 'a pod of it is told that this machine has no disks of that cloud, and what to use' '
	create pod-claim &&
	wait_for "events mongodb | grep \"^Warning FailedMount .*a gcePersistentDisk volume needs a driver that is not part of kinglet; use a claim of the class local-path, or an nfs, hostPath or emptyDir volume\"" &&
	kubectl delete pod mongodb &&
	kubectl delete pvc mongodb-pvc &&
	kubectl delete pv mongodb-pv
'

test_expect_success 'the same with a directory of the node: the pod writes, the next one reads' '
	volume | kubectl create -f - &&
	create persistentvolumeclaim &&
	create pod-claim &&
	ready pod/mongodb &&
	kubectl exec mongodb -- sh -c "echo precious >/usr/db/file" &&
	kubectl delete pod mongodb &&
	create pod-claim &&
	ready pod/mongodb &&
	test_equal precious "$(kubectl exec mongodb -- cat /usr/db/file)" &&
	test_equal precious "$(cat /tmp/book-$$/file)"
'

test_expect_success 'a claim is kept while a pod uses it' '
	kubectl delete pvc mongodb-pvc --wait=false &&
	kubectl get pvc >got &&
	test_grep "^mongodb-pvc  *Terminating" got &&
	kubectl delete pod mongodb &&
	wait_for "! kubectl get pvc mongodb-pvc"
'

test_expect_success 'Retain: the volume is Released, no other claim gets it, it goes by hand; its data stays' '
	phase pv/mongodb-pv Released &&
	create persistentvolumeclaim &&
	wait_for "events mongodb-pvc | grep \"^Normal FailedBinding no persistent volumes available for this claim and no storage class is set\"" &&
	test_equal Pending "$(field pvc/mongodb-pvc .status.phase)" &&
	kubectl get pv >got &&
	test_grep "^mongodb-pv .* Retain  *Released  *default/mongodb-pvc " got &&
	kubectl delete pv mongodb-pv &&
	test_equal precious "$(cat /tmp/book-$$/file)"
'

# What the book asks: how would a pod get at what was released? The volume is made anew, for what is there.
test_expect_success 'made anew, it serves the claim that waits' '
	volume | kubectl create -f - &&
	phase pvc/mongodb-pvc Bound &&
	create pod-claim &&
	ready pod/mongodb &&
	test_equal precious "$(kubectl exec mongodb -- cat /usr/db/file)" &&
	kubectl delete pod mongodb &&
	kubectl delete pvc mongodb-pvc &&
	phase pv/mongodb-pv Released &&
	kubectl delete pv mongodb-pv
'

# The book supposes that the data is still there. Recycle is rm -rf, in Kubernetes as here.
test_expect_success 'Recycle: the volume is emptied, and for everybody again' '
	test_when_finished "rmdir /tmp/book-$$" &&
	volume Recycle | kubectl create -f - &&
	create persistentvolumeclaim &&
	phase pvc/mongodb-pvc Bound &&
	test_equal precious "$(cat /tmp/book-$$/file)" &&
	kubectl delete pvc mongodb-pvc &&
	phase pv/mongodb-pv Available &&
	test_equal "" "$(ls -A /tmp/book-$$)" &&
	create persistentvolumeclaim &&
	phase pvc/mongodb-pvc Bound &&
	kubectl delete pvc mongodb-pvc &&
	phase pv/mongodb-pv Available &&
	kubectl delete pv mongodb-pv
'

test_expect_success 'Delete: with the claim goes the volume' '
	volume Delete | kubectl create -f - &&
	create persistentvolumeclaim &&
	phase pvc/mongodb-pvc Bound &&
	kubectl delete pvc mongodb-pvc &&
	wait_for "! kubectl get pv mongodb-pv" &&
	test ! -e /tmp/book-$$
'

test_expect_success 'a class of that cloud makes no volumes here, and says who does' '
	create storageclass >got &&
	test_grep "^storageclass.storage.k8s.io/fast created" got &&
	kubectl get sc >got &&
	test_grep "^fast  *kubernetes.io/gce-pd  *Delete  *Immediate  *false" got &&
	create persistentvolumeclaim-fast &&
	wait_for "events mongodb-pvc | grep \"^Warning ProvisioningFailed no volume plugin matched name: kubernetes.io/gce-pd; local disks are provisioned by kinglet.io/local-path\"" &&
	test_equal Pending "$(field pvc/mongodb-pvc .status.phase)" &&
	kubectl delete pvc mongodb-pvc &&
	kubectl delete sc fast
'

# "provisioner: the plug-in; others can be named": this is kinglet's.
test_expect_success 'a class makes a volume for each claim' '
	manifest storageclass | sed "s|kubernetes.io/gce-pd|kinglet.io/local-path|; /parameters/,\$d" | kubectl create -f - &&
	create persistentvolumeclaim-fast &&
	phase pvc/mongodb-pvc Bound &&
	pv=$(field pvc/mongodb-pvc .spec.volumeName) &&
	test_equal "pvc-$(field pvc/mongodb-pvc .metadata.uid)" "$pv" &&
	kubectl get pv $pv >got &&
	test_grep "^$pv  *100Mi  *RWO  *Delete  *Bound  *default/mongodb-pvc  *fast " got &&
	create pod-claim &&
	ready pod/mongodb &&
	kubectl exec mongodb -- sh -c "echo made >/usr/db/file" &&
	kubectl delete pod mongodb &&
	kubectl delete pvc mongodb-pvc &&
	wait_for "! kubectl get pv $pv"
'

test_expect_success 'without a class in the claim the default one is taken' '
	kubectl get sc >got &&
	test_grep "^local-path (default) " got &&
	manifest persistentvolumeclaim | sed "/storageClassName/d" | kubectl create -f - &&
	test_equal local-path "$(field pvc/mongodb-pvc .spec.storageClassName)" &&
	create pod-claim &&
	ready pod/mongodb &&
	phase pvc/mongodb-pvc Bound &&
	kubectl delete pod mongodb &&
	kubectl delete pvc mongodb-pvc
'

test_expect_success 'an empty class takes a volume that was made by hand, and none is made' '
	create persistentvolumeclaim &&
	wait_for "events mongodb-pvc | grep \"no storage class is set\"" &&
	test_equal "" "$(names pv)" &&
	volume Delete | kubectl create -f - &&
	phase pvc/mongodb-pvc Bound &&
	test_equal mongodb-pv "$(field pvc/mongodb-pvc .spec.volumeName)" &&
	kubectl delete pvc mongodb-pvc &&
	wait_for "! kubectl get pv mongodb-pv"
'

end_book
