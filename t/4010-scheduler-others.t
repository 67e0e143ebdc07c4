#!/bin/sh
# The scheduler and other pods: affinity and anti-affinity, topology spread,
# preemption with disruption budgets, volumes that wait for their first consumer.
. "${srcdir:-.}/t/lib.sh"
. "$srcdir/t/lib-sched.sh"
test_needs kubectl

zone() { echo "topology.kubernetes.io/zone: $1"; }
near() # podAffinity|podAntiAffinity LABELS-AS-YAML KEY [MORE]
{
	echo "affinity: {$1: {requiredDuringSchedulingIgnoredDuringExecution: [
		{labelSelector: {matchLabels: {$2}}, topologyKey: $3${4:+, $4}}]}}"
}

test_expect_success 'start the server, four nodes in two zones' '
	start_server --disable-agent $nodes_stay &&
	node a1 2 4Gi 20 "$(zone a)" && node a2 2 4Gi 20 "$(zone a)" &&
	node b1 2 4Gi 20 "$(zone b)" && node b2 2 4Gi 20 "$(zone b)"
'

test_expect_success 'a pod goes where the pod is that it wants to be near to, by zone' '
	pod db "nodeSelector: {kubernetes.io/hostname: b1}" "" "app: db" && lands_on db b1 &&
	for i in 1 2 3; do
		pod web$i "$(near podAffinity "app: db" topology.kubernetes.io/zone)" "" "app: web" || return 1
		wait_for "where web$i | grep -q ^b" || return 1
	done
'

test_expect_success 'nobody to be near to: it waits, says so, and goes when somebody comes' '
	pod lonely "$(near podAffinity "app: cache" kubernetes.io/hostname)" &&
	says lonely "0/4 nodes are available: 4 node(s) didn'\''t match pod affinity rules." &&
	says lonely "preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling." &&
	pod cache "nodeSelector: {kubernetes.io/hostname: a2}" "" "app: cache" &&
	lands_on lonely a2
'

test_expect_success 'the first of a group that wants to be together may begin anywhere' '
	pod g1 "$(near podAffinity "app: group" kubernetes.io/hostname)" "" "app: group" &&
	wait_for "test -n \"\$(where g1)\"" &&
	pod g2 "$(near podAffinity "app: group" kubernetes.io/hostname)" "" "app: group" &&
	lands_on g2 "$(where g1)"
'

test_expect_success 'anti-affinity: one on each node, the fifth waits' '
	for i in 1 2 3 4 5; do
		pod solo$i "$(near podAntiAffinity "app: solo" kubernetes.io/hostname)" "" "app: solo" || return 1
	done &&
	wait_for "test \$(kubectl get pods -l app=solo -o jsonpath=\"{range .items[*]}{.spec.nodeName}{\\\"\\\\n\\\"}{end}\" | grep . | sort -u | wc -l) = 4" &&
	left=$(kubectl get pods -l app=solo -o json | jq -r ".items[] | select(.spec.nodeName == null) | .metadata.name") &&
	says $left "0/4 nodes are available: 4 node(s) didn'\''t match pod anti-affinity rules." &&
	says $left "4 No preemption victims found for incoming pod." &&
	gone=$(kubectl get pods -l app=solo --field-selector spec.nodeName=a1 -o name) &&
	kubectl delete $gone --grace-period=0 --force &&
	lands_on $left a1
'

test_expect_success 'the anti-affinity of a pod that is there holds against newcomers' '
	kubectl create namespace quiet && kubectl label namespace quiet noise=no &&
	pod guard "nodeSelector: {kubernetes.io/hostname: a1}, $(near podAntiAffinity "loud: very" kubernetes.io/hostname "namespaceSelector: {}")" &&
	lands_on guard a1 &&
	pod loud "nodeSelector: {kubernetes.io/hostname: a1}" "" "loud: very" &&
	says loud "1 node(s) didn'\''t satisfy existing pods anti-affinity rules, 3 node(s) didn'\''t match Pod'\''s node affinity/selector" &&
	kubectl delete pod guard --grace-period=0 --force &&
	lands_on loud a1
'

test_expect_success 'terms mean other namespaces when they say so' '
	kubectl -n quiet run there --image=i --labels=app=there --overrides="{\"spec\":{\"nodeName\":\"b2\"}}" &&
	pod own "$(near podAffinity "app: there" kubernetes.io/hostname)" &&
	says own "didn'\''t match pod affinity rules" &&
	pod byname "$(near podAffinity "app: there" kubernetes.io/hostname "namespaces: [quiet]")" &&
	lands_on byname b2 &&
	pod bylabel "$(near podAffinity "app: there" kubernetes.io/hostname "namespaceSelector: {matchLabels: {noise: \"no\"}}")" &&
	lands_on bylabel b2 &&
	pod nolabel "$(near podAffinity "app: there" kubernetes.io/hostname "namespaceSelector: {matchLabels: {noise: \"yes\"}}")" &&
	says nolabel "didn'\''t match pod affinity rules" &&
	kubectl label namespace quiet noise=yes --overwrite &&
	lands_on nolabel b2 &&
	kubectl delete pod own --grace-period=0 --force
'

test_expect_success 'preferred terms: near what it likes, away from what it does not' '
	pod likes "affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100,
		podAffinityTerm: {labelSelector: {matchLabels: {app: cache}}, topologyKey: kubernetes.io/hostname}}]}}" &&
	lands_on likes a2 &&
	pod away "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100,
		podAffinityTerm: {labelSelector: {matchExpressions: [{key: app, operator: Exists}]}, topologyKey: topology.kubernetes.io/zone}}]}}" &&
	wait_for "test -n \"\$(where away)\""
'

spread() # maxSkew KEY whenUnsatisfiable [MORE]
{
	echo "topologySpreadConstraints: [{maxSkew: $1, topologyKey: $2, whenUnsatisfiable: $3, labelSelector: {matchLabels: {app: s}}${4:+, $4}}]"
}
count() { kubectl get pods -l app=s -o json | jq -r "[.items[] | select(.spec.nodeName // \"\" | startswith(\"$1\"))] | length"; }

test_expect_success 'a hard spread constraint keeps zones even' '
	for i in 1 2 3 4 5 6; do
		pod s$i "$(spread 1 topology.kubernetes.io/zone DoNotSchedule)" "" "app: s" || return 1
	done &&
	wait_for "test \$(count a) = 3 && test \$(count b) = 3"
'

test_expect_success 'where it cannot be kept the pod waits; minDomains counts zones that are not there' '
	pod s7 "nodeSelector: {topology.kubernetes.io/zone: a}, $(spread 1 topology.kubernetes.io/zone DoNotSchedule "nodeAffinityPolicy: Ignore")" "" "app: s" &&
	lands=$(where s7) && wait_for "where s7 | grep -q ^a" &&
	pod s8 "nodeSelector: {topology.kubernetes.io/zone: a}, $(spread 1 topology.kubernetes.io/zone DoNotSchedule "nodeAffinityPolicy: Ignore")" "" "app: s" &&
	says s8 "2 node(s) didn'\''t match pod topology spread constraints" &&
	kubectl delete pod s8 --grace-period=0 --force &&
	pod s9 "$(spread 1 topology.kubernetes.io/zone DoNotSchedule "minDomains: 3")" "" "app: s" &&
	says s9 "4 node(s) didn'\''t match pod topology spread constraints" &&
	pod s10 "$(spread 1 no-such-key DoNotSchedule)" "" "app: s" &&
	says s10 "4 node(s) didn'\''t match pod topology spread constraints (missing required label)" &&
	kubectl delete pod s9 s10 --grace-period=0 --force
'

test_expect_success 'a soft one is kept where it can be' '
	kubectl delete pods --all --grace-period=0 --force >/dev/null &&
	for i in 1 2 3 4; do
		pod t$i "$(spread 1 kubernetes.io/hostname ScheduleAnyway)" "" "app: s" &&
		wait_for "test -n \"\$(where t$i)\"" || return 1
	done &&
	test_equal 4 "$(kubectl get pods -l app=s -o jsonpath="{range .items[*]}{.spec.nodeName}{\"\\n\"}{end}" | sort -u | wc -l)"
'

test_expect_success 'all away; classes of priority' '
	kubectl delete pods --all --grace-period=0 --force >/dev/null &&
	kubectl -n quiet delete pods --all --grace-period=0 --force >/dev/null &&
	kubectl create priorityclass low --value=10 && kubectl create priorityclass high --value=1000 &&
	kubectl create priorityclass polite --value=1000 --preemption-policy=Never &&
	kubectl cordon a2 b1 b2
'

test_expect_success 'a pod of higher priority pushes out one of lower, and gets its place' '
	pod keep "priorityClassName: high" "resources: {requests: {cpu: 1}}" && lands_on keep a1 &&
	pod victim "priorityClassName: low" "resources: {requests: {cpu: 1}}" && lands_on victim a1 &&
	uid=$(kubectl get pod victim -o jsonpath="{.metadata.uid}") &&
	pod gentle "priorityClassName: polite" "resources: {requests: {cpu: 1}}" &&
	says gentle "preemption: not eligible due to preemptionPolicy=Never." &&
	pod pushy "priorityClassName: high" "resources: {requests: {cpu: 1}}" &&
	wait_for "test \"\$(kubectl get pod pushy -o jsonpath=\"{.status.nominatedNodeName}\")\" = a1" &&
	wait_for "kubectl get pod victim -o json | jq -e \".metadata.deletionTimestamp != null\"" &&
	kubectl get pod victim -o json | jq -e ".status.conditions[] | select(.type == \"DisruptionTarget\") |
		.status == \"True\" and .reason == \"PreemptionByScheduler\" and
		.message == \"default-scheduler: preempting to accommodate a higher priority pod\"" &&
	wait_for "kubectl get events --field-selector involvedObject.uid=$uid,reason=Preempted -o jsonpath=\"{.items[*].message}\" |
		grep -q \"Preempted by pod $(kubectl get pod pushy -o jsonpath="{.metadata.uid}") on node a1\"" &&
	kubectl delete pod gentle --grace-period=0 --force &&
	kubectl delete pod victim --grace-period=0 --force &&
	lands_on pushy a1 &&
	test_equal a1 "$(where keep)"
'

test_expect_success 'what is nominated is kept free from lesser pods' '
	kubectl delete pod keep pushy --grace-period=0 --force &&
	pod v1 "priorityClassName: low" "resources: {requests: {cpu: 2}}" && lands_on v1 a1 &&
	pod big "priorityClassName: high" "resources: {requests: {cpu: 2}}" &&
	wait_for "test \"\$(kubectl get pod big -o jsonpath=\"{.status.nominatedNodeName}\")\" = a1" &&
	pod small "priorityClassName: low" "resources: {requests: {cpu: 1}}" &&
	says small "Insufficient cpu" &&
	kubectl delete pod v1 --grace-period=0 --force &&
	lands_on big a1 &&
	test_equal "" "$(where small)" &&
	kubectl delete pod big small --grace-period=0 --force
'

test_expect_success 'the node where a budget is not violated is chosen' '
	kubectl uncordon a2 &&
	pod p1 "priorityClassName: low, nodeSelector: {kubernetes.io/hostname: a1}" "resources: {requests: {cpu: 2}}" "app: protected" &&
	pod p2 "priorityClassName: low, nodeSelector: {kubernetes.io/hostname: a2}" "resources: {requests: {cpu: 2}}" "app: fair" &&
	lands_on p1 a1 && lands_on p2 a2 &&
	kubectl create poddisruptionbudget keep --selector=app=protected --min-available=1 &&
	pod boss "priorityClassName: high" "resources: {requests: {cpu: 2}}" &&
	wait_for "test \"\$(kubectl get pod boss -o jsonpath=\"{.status.nominatedNodeName}\")\" = a2" &&
	kubectl delete pod boss p1 p2 --grace-period=0 --force && kubectl delete poddisruptionbudget keep
'

test_expect_success 'no more victims than are needed, and the least important' '
	kubectl cordon a2 &&
	for i in 1 2 3; do
		pod m$i "priorityClassName: low" "resources: {requests: {cpu: 500m}}" && lands_on m$i a1 || return 1
	done &&
	pod one "priorityClassName: high" "resources: {requests: {cpu: 1}}" &&
	wait_for "test \$(kubectl get pods -o json | jq \"[.items[] | select(.metadata.deletionTimestamp)] | length\") = 1" &&
	kubectl delete pods --all --grace-period=0 --force
'

test_expect_success 'claims: not there, unbound, at home on another node' '
	kubectl uncordon a2 b1 b2 &&
	pod c1 "volumes: [{name: v, persistentVolumeClaim: {claimName: none}}]" &&
	says c1 "0/4 nodes are available: persistentvolumeclaim \"none\" not found." &&
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: PersistentVolumeClaim
	metadata: {name: none}
	spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 1Gi}}}
	EOF
	says c1 "0/4 nodes are available: pod has unbound immediate PersistentVolumeClaims." &&
	kubectl apply -f - <<-EOF
	apiVersion: storage.k8s.io/v1
	kind: StorageClass
	metadata: {name: late}
	provisioner: kubernetes.io/no-provisioner
	volumeBindingMode: WaitForFirstConsumer
	---
	apiVersion: storage.k8s.io/v1
	kind: StorageClass
	metadata: {name: made}
	provisioner: example.com/p
	volumeBindingMode: WaitForFirstConsumer
	EOF
'

claim() # NAME CLASS
{
	kubectl apply -f - <<-EOF
	apiVersion: v1
	kind: PersistentVolumeClaim
	metadata: {name: $1}
	spec: {accessModes: [ReadWriteOnce], storageClassName: $2, resources: {requests: {storage: 1Gi}}}
	EOF
}
test_expect_success 'a claim that waits gets a volume on the node where its pod can run' '
	claim late1 late &&
	pod c2 "volumes: [{name: v, persistentVolumeClaim: {claimName: late1}}]" &&
	says c2 "4 node(s) didn'\''t find available persistent volumes to bind" &&
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: PersistentVolume
	metadata: {name: pv1}
	spec:
	  capacity: {storage: 2Gi}
	  accessModes: [ReadWriteOnce]
	  storageClassName: late
	  local: {path: /x}
	  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [b2]}]}]}}
	EOF
	wait_for "test \"\$(kubectl get pv pv1 -o jsonpath=\"{.spec.claimRef.name}\")\" = late1" &&
	lands_on c2 b2 &&
	test_equal pv1 "$(kubectl get pvc late1 -o jsonpath="{.spec.volumeName}")"
'

test_expect_success 'a provisioner is told the node, the pod is bound when the volume is' '
	claim made1 made &&
	pod c3 "nodeSelector: {kubernetes.io/hostname: a2}, volumes: [{name: v, persistentVolumeClaim: {claimName: made1}}]" &&
	wait_for "test \"\$(kubectl get pvc made1 -o jsonpath=\"{.metadata.annotations.volume\\.kubernetes\\.io/selected-node}\")\" = a2" &&
	test_equal "" "$(where c3)" &&
	kubectl apply -f - <<-EOF &&
	apiVersion: v1
	kind: PersistentVolume
	metadata: {name: pv2}
	spec:
	  capacity: {storage: 1Gi}
	  accessModes: [ReadWriteOnce]
	  storageClassName: made
	  hostPath: {path: /x}
	  claimRef: {namespace: default, name: made1}
	EOF
	lands_on c3 a2
'

test_expect_success 'a bound volume ties its pods to where it is' '
	pod c4 "nodeSelector: {kubernetes.io/hostname: a1}, volumes: [{name: v, persistentVolumeClaim: {claimName: late1}}]" &&
	says c4 "1 node(s) didn'\''t match PersistentVolume'\''s node affinity, 3 node(s) didn'\''t match Pod'\''s node affinity/selector"
'

test_expect_success 'a pod that asks for devices is told that there are none to be had' '
	pod dra "resourceClaims: [{name: gpu, resourceClaimName: my-gpu}]" &&
	says dra "cannot allocate all claims: resource claim"
'

test_done
