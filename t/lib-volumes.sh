# Volumes, claims and pods that use them, for tests of storage.
volume() # NAME SIZE MODES CLASS [MORE-OF-SPEC [POLICY]]
{
	kubectl apply -f - <<-YAML
	apiVersion: v1
	kind: PersistentVolume
	metadata: {name: $1, labels: {name: $1}}
	spec: {capacity: {storage: $2}, accessModes: [$3], storageClassName: "$4", persistentVolumeReclaimPolicy: ${6:-Retain},
	  hostPath: {path: /tmp/k-$$-$1}${5:+, $5}}
	YAML
}
claim() # NAME SIZE MODES CLASS [MORE-OF-SPEC]
{
	kubectl apply -f - <<-YAML
	apiVersion: v1
	kind: PersistentVolumeClaim
	metadata: {name: $1}
	spec: {accessModes: [$3], storageClassName: "$4", resources: {requests: {storage: $2}}${5:+, $5}}
	YAML
}
user() # POD CLAIM COMMAND [MORE-OF-SPEC]
{
	kubectl apply -f - <<-YAML
	apiVersion: v1
	kind: Pod
	metadata: {name: $1}
	spec:
	  restartPolicy: Never
	  terminationGracePeriodSeconds: 0
	  ${4:-}
	  containers: [{name: c, image: localhost/demo:1, command: [sh, -c, "$3"], volumeMounts: [{name: v, mountPath: /v}]}]
	  volumes: [{name: v, persistentVolumeClaim: {claimName: $2}}]
	YAML
}
phase() { kubectl get $1 -o jsonpath='{.status.phase}'; }
becomes() { wait_for "test \"\$(phase $1)\" = $2"; }
says() { wait_for "kubectl describe $1 | grep -q \"$2\""; } # OBJECT EVENT: a pattern
volume_of() { kubectl get pvc $1 -o jsonpath='{.spec.volumeName}'; }
