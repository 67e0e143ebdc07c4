#!/bin/sh
# The book on releases: by hand with two ReplicationControllers, and by Deployments.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia v1 v2 v3

# The manifest's minReadySeconds of 10, three times in each roll-out, would take minutes.
deployment()
{
	manifest deployment | sed "/minReadySeconds/d"
}

rolled() # as kubectl tells it
{
	kubectl rollout status deployment kubia --timeout=$((60 * TEST_SLOW))s
}

versions() # what the pods answer that are to stay
{
	kubectl get po -l app=kubia -o 'jsonpath={range .items[*]}{.metadata.deletionTimestamp}|{.status.podIP}{"\n"}{end}' |
		sed -n 's/^|\(.\)/\1/p' | while read -r ip; do
			ask "http://$ip:8080/" | cut -d" " -f3
		done | sort -u | xargs
}

# kubectl rolling-update is gone since 1.18. What it did, step by step, goes by hand as well.
test_expect_success 'the old way: two ReplicationControllers, one grows as the other shrinks' '
	refused "unknown command \"rolling-update\"" kubectl rolling-update kubia-v1 kubia-v2 --image=zou8944/kubia:v2 &&
	for v in v1 v2; do
		manifest replicationcontroller | sed "s/^  name: kubia/&-$v/; s/^\( *\)app: kubia/&\n\1deployment: $v/; s|image: .*|&:$v|
			s/replicas: 3/replicas: 0/" | kubectl create -f - || return 1
	done &&
	kubectl scale rc kubia-v1 --replicas=3 &&
	have rc/kubia-v1 .status.readyReplicas 3 &&
	test_equal v1 "$(versions)" &&
	for n in 1 2 3; do
		kubectl scale rc kubia-v2 --replicas=$n &&
		have rc/kubia-v2 .status.readyReplicas $n &&
		kubectl scale rc kubia-v1 --replicas=$((3 - n)) || return 1
	done &&
	wait_for "test_equal v2 \"\$(versions)\"" &&
	kubectl delete rc kubia-v1 kubia-v2 &&
	wait_for "test_equal \"\" \"\$(names po)\""
'

test_expect_success 'kubectl create -f --record: a Deployment, its ReplicaSet, its pods' '
	deployment | kubectl create -f - --record 2>err &&
	test_grep "Warning: apps/v1beta1 Deployment is deprecated" err &&
	rolled >got &&
	test_grep "deployment \"kubia\" successfully rolled out" got &&
	kubectl get deployment >got &&
	test_grep "^NAME  *READY  *UP-TO-DATE  *AVAILABLE  *AGE" got &&
	test_grep "^kubia  *3/3  *3  *3 " got &&
	kubectl describe deployment >got &&
	test_grep "StrategyType:  *RollingUpdate" got &&
	test_grep "RollingUpdateStrategy:  *0 max unavailable, 1 max surge" got &&
	test_grep "MinReadySeconds:  *0" got &&
	first=$(names rs) &&
	expr "$first" : "kubia-[a-z0-9]*$" &&
	for pod in $(names po); do
		expr "$pod" : "$first-[a-z0-9]*$" || return 1
	done &&
	test_equal v1 "$(versions)" &&
	test_equal 600 "$(field deployment/kubia .spec.progressDeadlineSeconds)"
'

test_expect_success 'kubectl set image: pods are replaced one by one, never less than three answer' '
	{ kubectl_bg get deployment kubia -w -o "jsonpath={.status.availableReplicas} {.status.replicas}{\"\\n\"}" >watched & } &&
	watcher=$! &&
	test_when_finished "kill $watcher; wait $watcher" &&
	wait_for "grep 3 watched" &&
	kubectl set image deployment kubia nicai=zou8944/kubia:v2 --record &&
	rolled >got &&
	test_grep "successfully rolled out" got &&
	test_equal v2 "$(versions)" &&
	test_equal "" "$(awk "\$1 < 3 || \$2 > 4" watched)" &&
	wait_for "grep \"3 4\" watched"
'

test_expect_success 'the old ReplicaSet is kept, empty' '
	test_equal 2 "$(count rs)" &&
	test_equal 0 "$(field rs/$first .status.replicas)" &&
	kubectl get rs >got &&
	test_grep "^$first  *0  *0  *0 " got
'

test_expect_success 'kubectl rollout history tells who did what' '
	kubectl rollout history deployment kubia >got &&
	test_grep "^REVISION  *CHANGE-CAUSE" got &&
	test_grep "^1  *kubectl.* create .*--record=true" got &&
	test_grep "^2  *kubectl.* set image deployment kubia nicai=zou8944/kubia:v2 --record=true" got
'

# v3 fails from its fifth request on; nothing asks it so far, so it is taken for good.
test_expect_success 'kubectl rollout undo: the version before' '
	kubectl set image deployment kubia nicai=zou8944/kubia:v3 &&
	rolled &&
	test_equal v3 "$(versions)" &&
	pod=$(names po -l app=kubia | cut -d" " -f1) &&
	for i in 1 2 3 4 5; do
		hit $pod >got
	done &&
	test_equal "Some internal error has occurred! This is pod $pod" "$(cat got)" &&
	kubectl rollout undo deployment kubia >got &&
	test_grep "deployment.apps/kubia rolled back" got &&
	rolled &&
	test_equal v2 "$(versions)"
'

test_expect_success 'and to a certain one: its ReplicaSet is taken again' '
	kubectl rollout undo deployment kubia --to-revision=1 &&
	rolled &&
	test_equal v1 "$(versions)" &&
	test_equal 3 "$(field rs/$first .status.readyReplicas)" &&
	kubectl rollout history deployment kubia >got &&
	test_equal "" "$(grep "^1 " got)" # it is the newest now
'

test_expect_success 'pause after the first new pod, look at it, resume' '
	kubectl patch deployment kubia -p "{\"spec\":{\"minReadySeconds\":300}}" && # so that there is time to pause
	kubectl set image deployment kubia nicai=zou8944/kubia:v2 &&
	kubectl rollout pause deployment kubia >got &&
	test_grep "deployment.apps/kubia paused" got &&
	wait_for "test_equal \"v1 v2\" \"\$(versions)\"" &&
	have deployment/kubia .status.updatedReplicas 1 &&
	test_equal 4 "$(count po -l app=kubia)" &&
	refused "cannot rollback a paused deployment; resume it first" kubectl rollout undo deployment kubia &&
	test_equal 1 "$(field deployment/kubia .status.updatedReplicas)" &&
	kubectl patch deployment kubia -p "{\"spec\":{\"minReadySeconds\":0}}" &&
	kubectl rollout resume deployment kubia >got &&
	test_grep "deployment.apps/kubia resumed" got &&
	rolled &&
	test_equal v2 "$(versions)"
'

# A probe each second finds v3's fault long before minReadySeconds are over: the manifest's ten would do on a machine
# that is quick.
test_expect_success 'a readiness probe and minReadySeconds stop a bad release' '
	manifest deployment | sed "s|kubia:v1|kubia:v3|; s/minReadySeconds: 10/minReadySeconds: 300/; s/^          name: nicai/&\n          readinessProbe: {periodSeconds: 1, httpGet: {path: \/, port: 8080}}/" >bad.yaml &&
	kubectl apply -f bad.yaml &&
	bad=$(wait_for "kubectl get rs -o \"jsonpath={.items[?(@.spec.template.spec.containers[0].image==\\\"zou8944/kubia:v3\\\")].metadata.name} {.items[?(@.spec.template.spec.containers[0].readinessProbe)].metadata.name}\" | grep -o \"kubia-[a-z0-9]*$\"") &&
	pod=$(wait_for "names po -l pod-template-hash=${bad#kubia-} | grep .") &&
	wait_for "events $pod | grep \"^Warning Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 500\"" &&
	wait_for "kubectl get po $pod | grep \"^$pod  *0/1  *Running \"" &&
	test_equal "1 3" "$(field deployment/kubia ".status.updatedReplicas} {.spec.replicas")" &&
	test_equal 4 "$(count po -l app=kubia)" &&
	for good in $(names po -l "app=kubia,pod-template-hash!=${bad#kubia-}"); do
		test_equal "This is v2 running in pod $good" "$(hit $good)" || return 1
	done
'

# The book's deadline is ten minutes.
test_expect_success 'after the deadline it counts as failed; undo mends it' '
	kubectl patch deployment kubia -p "{\"spec\":{\"progressDeadlineSeconds\":2,\"minReadySeconds\":1}}" &&
	wait_for -t 40 "kubectl describe deployment kubia | grep \"Progressing  *False  *ProgressDeadlineExceeded\"" &&
	refused "error: deployment \"kubia\" exceeded its progress deadline" kubectl rollout status deployment kubia --timeout=10s &&
	kubectl rollout undo deployment kubia &&
	rolled &&
	test_equal v2 "$(versions)" &&
	test_equal 3 "$(count po -l app=kubia)"
'

test_expect_success 'Recreate: no two versions at once' '
	kubectl patch deployment kubia -p "{\"spec\":{\"minReadySeconds\":0,\"strategy\":{\"type\":\"Recreate\",\"rollingUpdate\":null}}}" &&
	{ kubectl_bg get po -l app=kubia -w --output-watch-events -o "jsonpath={.type} {.object.metadata.name} {.object.spec.containers[0].image} {.object.status.phase}{\"\\n\"}" >watched & } &&
	watcher=$! &&
	test_when_finished "kill $watcher; wait $watcher" &&
	wait_for "test_equal 3 \"\$(grep -c ^ADDED watched)\"" &&
	kubectl set image deployment kubia nicai=zou8944/kubia:v1 &&
	rolled &&
	test_equal v1 "$(versions)" &&
	wait_for "test_equal 6 \"\$(grep -c ^ADDED watched)\"" &&
	awk "\$1 == \"DELETED\" || \$4 ~ /Failed|Succeeded/ { delete runs[\$2]; next } { runs[\$2] = \$3 }
		\$1 == \"ADDED\" && \$3 ~ /:v1/ { for (p in runs) if (runs[p] ~ /:v2/) exit 1 }" watched
'

test_expect_success 'kubectl edit, patch, apply, replace, set image: all lead to the same' '
	KUBE_EDITOR="sed -i s/kubia:v1/kubia:v2/" kubectl edit deployment kubia &&
	rolled &&
	test_equal v2 "$(versions)" &&
	refused "the name of the object (lalala) does not match the name on the URL (kubia)" \
		kubectl patch deployment kubia -p "{\"metadata\": {\"name\": \"lalala\"}}" && # the book does that
	kubectl patch deployment kubia -p "{\"spec\": {\"template\": {\"spec\": {\"containers\": [{\"name\": \"nicai\", \"image\": \"zou8944/kubia\"}]}}}}" &&
	rolled &&
	test_equal "You'\''ve hit" "$(hit "$(names po -l app=kubia | cut -d" " -f1)" | cut -d" " -f1,2)" &&
	deployment >deployment.yaml &&
	kubectl apply -f deployment.yaml &&
	rolled &&
	test_equal v1 "$(versions)" &&
	sed "s/kubia:v1/kubia:v2/" deployment.yaml | kubectl replace -f - &&
	rolled &&
	test_equal v2 "$(versions)" &&
	sed "s/^  name: kubia/&-other/" deployment.yaml >other.yaml &&
	refused "deployments.apps \"kubia-other\" not found" kubectl replace -f other.yaml &&
	kubectl delete deployment kubia &&
	wait_for "test_equal \"\" \"\$(names po,rs)\""
'

end_book
