#!/bin/sh
# The book on Jobs, which come to an end, and on CronJobs, which make Jobs when their time has come.
. "${srcdir:-.}/t/book/lib.sh"
start_book batch-job

# A slow machine may need longer than the manifest's 30 seconds.
unhurried()
{
	sed "s/activeDeadlineSeconds: 30/activeDeadlineSeconds: 600/"
}

# Pods that work until they are ended.
endless()
{
	sed "s/^\( *\)- name: main/&\n\1  env: [{name: SECONDS_OF_WORK, value: \"1000\"}]/"
}

test_expect_success 'a Job: five pods that succeed, at most two at once' '
	{ kubectl_bg get po -l app=batch-job -w --output-watch-events -o "jsonpath={.type} {.object.metadata.name} {.object.status.phase}{\"\\n\"}" >watched & } &&
	watcher=$! &&
	test_when_finished "kill $watcher; wait $watcher" &&
	manifest job | unhurried | kubectl create -f - >got &&
	test_grep "^job.batch/batch-job created" got &&
	kubectl get jobs >got &&
	test_grep "^NAME  *STATUS  *COMPLETIONS  *DURATION  *AGE" got &&
	kubectl wait --for=condition=complete job/batch-job --timeout=$((60 * TEST_SLOW))s &&
	kubectl get jobs >got &&
	test_grep "^batch-job  *Complete  *5/5 " got &&
	wait_for "test_equal 5 \"\$(grep Succeeded watched | cut -d\" \" -f2 | sort -u | wc -l)\"" &&
	test_equal 5 "$(cut -d" " -f2 watched | sort -u | wc -l)" &&
	awk "\$3 ~ /Succeeded|Failed/ || \$1 == \"DELETED\" { delete live[\$2]; next } { live[\$2] = 1; n = 0; for (p in live) n++; if (n > 2) exit 1 }" watched
'

test_expect_success 'its pods stay as Completed, with their logs' '
	kubectl get po -l app=batch-job >got &&
	test_equal 5 "$(grep -c "^batch-job-[a-z0-9]*  *0/1  *Completed  *0 " got)" &&
	for pod in $(names po -l app=batch-job); do
		kubectl logs $pod | grep "Finished succesfully" || return 1
	done &&
	kubectl describe job batch-job >got &&
	test_grep "Pods Statuses:  *0 Active (0 Ready) / 5 Succeeded / 0 Failed" got &&
	kubectl delete job batch-job &&
	wait_for "test_equal \"\" \"\$(names po)\""
'

# kubectl scale job is gone since 1.15. The parallelism is a field like others.
test_expect_success 'three instead of two at once, while it runs' '
	manifest job | unhurried | endless | kubectl create -f - &&
	have job/batch-job .status.active 2 &&
	have job/batch-job .status.ready 2 &&
	test_must_fail kubectl scale job batch-job --replicas 3 &&
	kubectl patch job batch-job -p "{\"spec\":{\"parallelism\":3}}" &&
	have job/batch-job .status.active 3 &&
	wait_for "test_equal 3 \"\$(count po -l app=batch-job)\""
'

test_expect_success 'a pod that is deleted before it is done is replaced' '
	one=$(names po -l app=batch-job | cut -d" " -f1) &&
	kubectl delete po $one &&
	wait_for -t 60 "test_equal 3 \"\$(count po -l app=batch-job --field-selector status.phase=Running)\"" && # counted as a failure: 10 s later
	! names po | grep -w $one &&
	test_equal "" "$(field job/batch-job .status.succeeded)" &&
	kubectl delete job batch-job &&
	wait_for "test_equal \"\" \"\$(names po)\""
'

test_expect_success 'a container that fails is started again, one that succeeds is not' '
	manifest job | unhurried | sed "s/completions: 5/completions: 1/; s/parallelism: 2/parallelism: 1/
		s/^\( *\)- name: main/&\n\1  volumeMounts: [{name: v, mountPath: \/v}]\n\1  command: [sh, -c, \"[ -e \/v\/tried ] || { touch \/v\/tried; exit 1; }\"]/
		\$a\      volumes: [{name: v, emptyDir: {}}]" | kubectl create -f - &&
	kubectl wait --for=condition=complete job/batch-job --timeout=$((60 * TEST_SLOW))s &&
	test_equal "1 Succeeded" "$(kubectl get po -l app=batch-job -o "jsonpath={.items[*].status.containerStatuses[0].restartCount} {.items[*].status.phase}")" &&
	kubectl delete job batch-job
'

# The book says that it is tried again after the deadline. The Job has failed then, and ends.
test_expect_success 'activeDeadlineSeconds: a Job that takes too long is ended' '
	manifest job | endless | sed "s/activeDeadlineSeconds: 30/activeDeadlineSeconds: 1/" | kubectl create -f - &&
	kubectl wait --for=condition=failed job/batch-job --timeout=$((60 * TEST_SLOW))s &&
	test_equal DeadlineExceeded "$(field job/batch-job ".status.conditions[?(@.type==\"Failed\")].reason")" &&
	wait_for "kubectl describe job batch-job | grep \"Warning  *DeadlineExceeded .*Job was active longer than specified deadline\"" &&
	kubectl delete job batch-job &&
	wait_for "test_equal \"\" \"\$(names po)\""
'

test_expect_success 'a CronJob of batch/v1beta1' '
	create cronjob >got 2>err &&
	test_grep "^cronjob.batch/periodic-batch-job created" got &&
	test_grep "Warning: batch/v1beta1 CronJob is deprecated" err &&
	kubectl get cronjobs >got &&
	test_grep "^periodic-batch-job  *0,15,30,45 \* \* \* \*  *<none>  *False " got &&
	test_equal 15 "$(field cj/periodic-batch-job .spec.startingDeadlineSeconds)"
'

# So as not to wait for the next quarter of an hour: the last run was long ago, and what was missed may be made up
# for. The newest of the runs that were missed is then due at once.
test_expect_success 'its time has come: it makes a Job, which makes a pod' '
	kubectl patch cj periodic-batch-job -p "{\"spec\":{\"startingDeadlineSeconds\":3600}}" &&
	kubectl patch cj periodic-batch-job --subresource=status --type=merge \
		-p "{\"status\":{\"lastScheduleTime\":\"$(date -u -d "-50 minutes" +%Y-%m-%dT%H:%M:%SZ)\"}}" &&
	wait_for "names jobs | grep periodic-batch-job-" &&
	job=$(names jobs | cut -d" " -f1) &&
	expr "$job" : "periodic-batch-job-[0-9]*$" &&
	test 0 = $((${job##*-} % 15)) && # minutes since 1970
	test_equal "CronJob periodic-batch-job" "$(field job/$job ".metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name")" &&
	kubectl wait --for=condition=complete job/$job --timeout=$((60 * TEST_SLOW))s &&
	pod=$(names po -l app=periodic-batch-job,job-name=$job) &&
	test_equal "Job $job" "$(field pod/$pod ".metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name")" &&
	kubectl logs $pod >got &&
	test_grep "Finished succesfully" got &&
	wait_for "kubectl describe cj periodic-batch-job | grep \"Normal  *SuccessfulCreate .*Created job $job\""
'

test_expect_success 'with the CronJob go its Jobs and their pods' '
	kubectl delete cj periodic-batch-job &&
	wait_for "test_equal \"\" \"\$(names jobs,po)\""
'

test_expect_success 'a schedule that is none is refused' '
	manifest cronjob | sed "s/schedule: .*/schedule: \"0, 15, 30, 45, * * * *\"/" >typo.yaml && # as it is printed in the book
	refused "spec.schedule: Invalid value" kubectl create -f typo.yaml
'

end_book
