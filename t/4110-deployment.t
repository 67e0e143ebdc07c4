#!/bin/sh
# Deployments as kubectl's users know them: roll-outs, history, undo, pause, scaling in
# the middle, bad releases.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

# web NAME REPLICAS [SPEC-MEMBERS-AS-YAML-LINES]: its container tells V
web()
{
	cat <<-EOF
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: $1, labels: {app: $1}}
	spec:
	  replicas: $2
	  selector: {matchLabels: {app: $1}}
	  ${3:-}
	  template:
	    metadata: {labels: {app: $1}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers:
	      - {name: c, image: localhost/demo:1, command: [sleep, "9999"], env: [{name: V, value: "1"}]}
	EOF
}

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

cond() # DEPLOYMENT TYPE: status reason message
{
	field "deploy/$1" ".status.conditions[?(@.type==\"$2\")].status} {.status.conditions[?(@.type==\"$2\")].reason} {.status.conditions[?(@.type==\"$2\")].message"
}

rolled() # DEPLOYMENT
{
	kubectl rollout status "deploy/$1" --timeout=30s
}

sets() # APP: replicas of its ReplicaSets, oldest revision first
{
	kubectl get rs -l "app=$1" -o 'jsonpath={range .items[*]}{.metadata.annotations.deployment\.kubernetes\.io/revision} {.spec.replicas}{"\n"}{end}' |
		sort -n | cut -d' ' -f2 | tr '\n' ' '
}

test_expect_success 'a Deployment rolls out' '
	start_server &&
	import_demo &&
	wait_node &&
	web web 3 | kubectl apply -f - &&
	rolled web >got &&
	test_grep "deployment \"web\" successfully rolled out" got &&
	kubectl get deploy web >got &&
	test_grep "^web  *3/3  *3  *3 " got &&
	rs=$(kubectl get rs -l app=web -o name) &&
	hash=$(field $rs .metadata.labels.pod-template-hash) &&
	test_equal "replicaset.apps/web-$hash" "$rs" &&
	expr "$hash" : "[bcdfghjklmnpqrstvwxz2456789]*$" &&
	test_equal "$hash" "$(field $rs .spec.selector.matchLabels.pod-template-hash)" &&
	test_equal "$hash" "$(kubectl get pods -l app=web -o "jsonpath={.items[0].metadata.labels.pod-template-hash}")" &&
	test_equal "1 3 4" "$(field $rs ".metadata.annotations.deployment\.kubernetes\.io/revision} {.metadata.annotations.deployment\.kubernetes\.io/desired-replicas} {.metadata.annotations.deployment\.kubernetes\.io/max-replicas")" &&
	test_equal 1 "$(field deploy/web ".metadata.annotations.deployment\.kubernetes\.io/revision")" &&
	test_equal "Deployment web true" "$(field $rs ".metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name} {.metadata.ownerReferences[0].controller")" &&
	wait_for "cond web Progressing | grep \"^True NewReplicaSetAvailable ReplicaSet \\\"web-$hash\\\" has successfully progressed.\"" &&
	test_equal "True MinimumReplicasAvailable Deployment has minimum availability." "$(cond web Available)" &&
	kubectl describe deploy web >got &&
	test_grep "Normal  *ScalingReplicaSet .*deployment-controller  *Scaled up replica set web-$hash from 0 to 3" got &&
	test_grep "NewReplicaSet:  *web-$hash (3/3 replicas created)" got &&
	test_grep "3 desired | 3 updated | 3 total | 3 available | 0 unavailable" got
'

test_expect_success 'set env: a rolling update; history, change-cause, undo' '
	kubectl annotate deploy web kubernetes.io/change-cause="first" &&
	kubectl set env deploy web V=2 &&
	rolled web &&
	test_equal "0 3 " "$(sets web)" &&
	kubectl annotate deploy web kubernetes.io/change-cause="second" --overwrite &&
	wait_for "kubectl rollout history deploy web | grep \"^2  *second\"" &&
	kubectl rollout history deploy web >got &&
	test_grep "^1  *first" got &&
	kubectl rollout history deploy web --revision=2 >got &&
	test_grep "V:[[:space:]]*2" got &&
	kubectl rollout undo deploy web >got &&
	test_grep "deployment.apps/web rolled back" got &&
	rolled web &&
	test_equal "0 3 " "$(sets web)" &&
	test_equal 3 "$(field deploy/web ".metadata.annotations.deployment\.kubernetes\.io/revision")" &&
	test_equal 1 "$(field $rs ".metadata.annotations.deployment\.kubernetes\.io/revision-history")" &&
	test_equal 1 "$(field deploy/web ".spec.template.spec.containers[0].env[0].value")" &&
	kubectl rollout undo deploy web --to-revision=2 &&
	rolled web &&
	test_equal 2 "$(field deploy/web ".spec.template.spec.containers[0].env[0].value")" &&
	refused "unable to find specified revision 9" kubectl rollout undo deploy web --to-revision=9
'

test_expect_success 'pause, change twice, resume: one roll-out' '
	kubectl rollout pause deploy web &&
	wait_for "cond web Progressing | grep \"^Unknown DeploymentPaused Deployment is paused\"" &&
	kubectl set env deploy web V=3 &&
	kubectl set resources deploy web --limits=memory=64Mi &&
	kubectl scale deploy web --replicas=2 &&
	wait_for "test \"\$(sets web)\" = \"0 2 \"" &&
	refused "paused" kubectl rollout restart deploy web &&
	kubectl rollout resume deploy web &&
	rolled web &&
	test_equal "0 0 2 " "$(sets web)" &&
	test_equal 64Mi "$(kubectl get pods -l app=web -o "jsonpath={.items[0].spec.containers[0].resources.limits.memory}")"
'

test_expect_success 'restart; old ReplicaSets beyond the limit go' '
	kubectl rollout restart deploy web &&
	rolled web &&
	kubectl patch deploy web -p "{\"spec\":{\"revisionHistoryLimit\":1}}" &&
	wait_for "test \"\$(sets web)\" = \"0 2 \""
'

test_expect_success 'kubectl autoscale makes its object' '
	kubectl autoscale deployment web --min=2 --max=5 --cpu-percent=80 &&
	test_equal "Deployment web 2 5 80" "$(kubectl get hpa web -o \
		"jsonpath={.spec.scaleTargetRef.kind} {.spec.scaleTargetRef.name} {.spec.minReplicas} {.spec.maxReplicas} {.spec.metrics[0].resource.target.averageUtilization}")" &&
	kubectl get hpa >got &&
	test_grep "^web  *Deployment/web  *cpu: <unknown>/80%  *2  *5  *0 " got &&
	kubectl delete hpa web
'

test_expect_success 'with kubectl of other versions' '
	for KUBECTL in $(kubectl_versions | sed -n "1p;\$p"); do
		v=$(basename $KUBECTL) &&
		kubectl set env deploy web V=$v &&
		rolled web &&
		kubectl rollout history deploy web >got &&
		test_grep "REVISION  *CHANGE-CAUSE" got &&
		kubectl rollout undo deploy web &&
		rolled web &&
		sleep 1 && # kubectl refuses to restart twice within a second
		kubectl rollout restart deploy web &&
		rolled web || return 1
	done
'

test_expect_success 'a bad release stops; what runs goes on; the deadline is told; undo mends' '
	kubectl patch deploy web -p "{\"spec\":{\"replicas\":4,\"progressDeadlineSeconds\":3,\"minReadySeconds\":1,\"strategy\":{\"rollingUpdate\":{\"maxSurge\":1,\"maxUnavailable\":1}}}}" &&
	rolled web &&
	kubectl patch deploy web -p "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"readinessProbe\":{\"exec\":{\"command\":[\"false\"]},\"periodSeconds\":1}}]}}}}" &&
	wait_for "cond web Progressing | grep \"^False ProgressDeadlineExceeded ReplicaSet \\\"web-[a-z0-9]*\\\" has timed out progressing.\"" &&
	refused "error: deployment \"web\" exceeded its progress deadline" kubectl rollout status deploy web --timeout=20s &&
	test_equal "3 2" "$(field deploy/web ".status.availableReplicas} {.status.updatedReplicas")" &&
	kubectl rollout undo deploy web &&
	rolled web &&
	wait_for "cond web Progressing | grep \"^True NewReplicaSetAvailable\"" &&
	kubectl delete deploy web &&
	wait_for "test -z \"\$(kubectl get pods,rs -l app=web -o name)\""
'

test_expect_success 'Recreate: all old ones end before the first new one starts' '
	web re 2 "strategy: {type: Recreate}" | kubectl apply -f - &&
	rolled re &&
	{ kubectl_bg get pods -l app=re -w --output-watch-events --no-headers >watched & } &&
	wait_for "test_lines 2 watched" &&
	kubectl set image deploy re c=localhost/demo:1 &&
	kubectl set env deploy re V=2 &&
	rolled re &&
	kill $! &&
	awk "\$1 == \"DELETED\" { gone++ } \$1 == \"ADDED\" && ++n > 2 && gone < 2 { exit 1 }" watched &&
	kubectl delete deploy re --cascade=orphan &&
	wait_for "test -z \"\$(kubectl get rs -l app=re -o jsonpath={.items[*].metadata.ownerReferences})\"" &&
	kubectl get pods -l app=re -o name | sort >before &&
	web re 2 "strategy: {type: Recreate}" | sed "s/value: \"1\"/value: \"2\"/" | kubectl apply -f - &&
	rolled re &&
	kubectl get pods -l app=re -o name | sort >now &&
	test_cmp before now &&
	test_equal 2 "$(kubectl get rs -l app=re -o name | wc -l)" &&
	kubectl delete deploy re
'

test_expect_success 'of the book: extensions/v1beta1, expose, autoscale' '
	kubectl create -f - <<-EOF &&
	apiVersion: extensions/v1beta1
	kind: Deployment
	metadata: {name: kubia}
	spec:
	  replicas: 2
	  template:
	    metadata: {name: kubia, labels: {app: kubia}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers: [{name: nodejs, image: localhost/demo:1, command: [sleep, "9999"]}]
	EOF
	rolled kubia &&
	test_equal 2 "$(field deploy/kubia .status.readyReplicas)" &&
	kubectl expose deploy kubia --port=80 --target-port=8080 &&
	test_equal kubia "$(field svc/kubia .spec.selector.app)" &&
	kubectl autoscale deploy kubia --min=1 --max=5 --cpu-percent=30 &&
	test_equal "Deployment kubia" "$(field hpa/kubia ".spec.scaleTargetRef.kind} {.spec.scaleTargetRef.name")" &&
	kubectl delete deploy,svc,hpa kubia
'

test_expect_success 'templates that admission refuses: the reason is on the Deployment' '
	kubectl create namespace tight &&
	kubectl label namespace tight pod-security.kubernetes.io/enforce=restricted &&
	web denied 2 | kubectl -n tight apply -f - &&
	wait_for "kubectl -n tight get deploy denied -o jsonpath={.status.conditions[*].reason} | grep FailedCreate" &&
	kubectl -n tight describe deploy denied >got &&
	test_grep "ReplicaFailure  *True  *FailedCreate" got &&
	test_grep "MinimumReplicasUnavailable" got &&
	kubectl -n tight get events >got &&
	test_grep "FailedCreate .*Error creating: pods \"denied-[a-z0-9-]*\" is forbidden: violates PodSecurity" got &&
	kubectl delete namespace tight --wait=false
'

old=/apis/extensions/v1beta1/namespaces/default/deployments/web/rollback
rollback() # REVISION [NAME]: as kubectl did before it knew how to by itself
{
	api_code -X POST -H "Content-Type: application/json" --data-binary \
		"{\"kind\":\"DeploymentRollback\",\"apiVersion\":\"extensions/v1beta1\",\"name\":\"${2:-web}\",\"updatedAnnotations\":{\"asked\":\"yes\"},\"rollbackTo\":{\"revision\":$1}}" "$old"
}

rollback_said() # TEXT
{
	wait_for "kubectl get events | grep -F '$1' && test -z \"\$(kubectl get deploy web -o jsonpath='{.metadata.annotations.deprecated\.deployment\.rollback\.to}')\""
}

test_expect_success 'the rollback of old versions' '
	web web 1 | kubectl apply -f - && rolled web &&
	kubectl annotate deploy web kubernetes.io/change-cause=one && rolled web &&
	kubectl set env deploy web V=two && kubectl annotate deploy web kubernetes.io/change-cause=two --overwrite && rolled web &&
	wait_for "test \"\$(field deploy/web \".metadata.annotations.deployment\.kubernetes\.io/revision\")\" = 2" &&
	test_equal 201 "$(rollback 0)" &&
	test_grep "\"status\": *\"Success\", *\"message\": *\"rollback request for deployment .\"web.\" succeeded\", *\"code\": *200" answer &&
	rollback_said "Rolled back deployment \"web\" to revision 1" &&
	kubectl get events >got && test_grep "Normal  *DeploymentRollback " got &&
	wait_for "test \"\$(field deploy/web \".metadata.annotations.deployment\.kubernetes\.io/revision\")\" = 3" &&
	rolled web &&
	test_equal "" "$(field deploy/web ".spec.template.spec.containers[0].env[?(@.value==\"two\")].value")" &&
	test_equal one "$(field deploy/web ".metadata.annotations.kubernetes\.io/change-cause")" &&
	test_equal 201 "$(rollback 2)" && rollback_said "Rolled back deployment \"web\" to revision 2" &&
	test_equal two "$(field deploy/web ".spec.template.spec.containers[0].env[?(@.name==\"V\")].value")" &&
	wait_for "test \"\$(field deploy/web \".metadata.annotations.deployment\.kubernetes\.io/revision\")\" = 4" &&
	test_equal 201 "$(rollback 4)" &&
	rollback_said "The rollback revision contains the same template as current deployment \"web\"" &&
	test_equal 201 "$(rollback 99)" && rollback_said "Unable to find the revision to rollback to." &&
	test_equal yes "$(field deploy/web .metadata.annotations.asked)" &&
	test_equal 422 "$(rollback -1)" &&
	test_grep "DeploymentRollback.extensions .\"web.\" is invalid: rollback.version: Invalid value: -1: must be greater than or equal to 0" answer &&
	test_equal 400 "$(rollback 1 other)" && test_grep "name in URL does not match name in DeploymentRollback object" answer &&
	old=/apis/extensions/v1beta1/namespaces/default/deployments/other/rollback &&
	test_equal 404 "$(rollback 1 other)" &&
	kubectl delete deploy web &&
	wait_for "test -z \"\$(kubectl get pods,rs -o name)\""
'

test_expect_success 'a hundred changes in a few seconds end in one state' '
	web many 2 | kubectl apply -f - &&
	for i in $(seq 100); do
		echo "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"env\":[{\"name\":\"V\",\"value\":\"$i\"}]}]}}}}" >patch &&
		test 200 = "$(api_code -X PATCH -H "Content-Type: application/strategic-merge-patch+json" --data-binary @patch \
			/apis/apps/v1/namespaces/default/deployments/many)" || return 1
	done &&
	rolled many &&
	test_equal 100 "$(field deploy/many ".spec.template.spec.containers[0].env[0].value")" &&
	wait_for "test \$(kubectl get rs -l app=many -o name | wc -l) -le 11" &&
	wait_for "test_equal 2 \"\$(kubectl get pods -l app=many -o name | wc -l)\"" &&
	kubectl delete deploy many &&
	wait_for "test -z \"\$(kubectl get pods,rs -o name)\""
'

test_expect_success 'collisions: another has the name' '
	web web 1 | kubectl apply -f - &&
	rolled web &&
	rs=$(kubectl get rs -l app=web -o "jsonpath={.items[0].metadata.name}") &&
	kubectl get rs $rs -o json >rs.json &&
	kubectl delete deploy web &&
	wait_for "! kubectl get rs $rs" &&
	sed "s/\"app\": \"web\"/\"app\": \"foreign\"/; /ownerReferences/,/\],/d" rs.json | kubectl create -f - &&
	web web 1 | kubectl apply -f - &&
	rolled web &&
	test_equal 1 "$(field deploy/web .status.collisionCount)" &&
	kubectl delete deploy,rs --all &&
	wait_for "test -z \"\$(kubectl get pods -o name)\"" &&
	killall_pods
'

test_done
