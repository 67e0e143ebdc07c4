#!/bin/sh
# Jobs: pods that run to their end, counted once each, whatever ends in between;
# with the states, reasons, events and words of Kubernetes.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

# job NAME COMMAND [SPEC-MEMBERS [POD-SPEC-MEMBERS]]: a manifest
job()
{
	cat <<-EOF2
	---
	apiVersion: batch/v1
	kind: Job
	metadata: {name: $1}
	spec:
	  ${3:-backoffLimit: 0}
	  template:
	    spec:
	      restartPolicy: Never
	      terminationGracePeriodSeconds: 0${4:+
	      $4}
	      containers: [{name: c, image: localhost/demo:1, command: [sh, -c, "$2"]}]
	EOF2
}

field() # JOB PATH
{
	kubectl get job "$1" -o "jsonpath={.status.$2}"
}

reason() # JOB CONDITION: "Status Reason"
{
	field "$1" "conditions[?(@.type==\"$2\")]['status','reason']"
}

is() # JOB CONDITION REASON
{
	wait_for -t 40 "test_equal \"True $3\" \"\$(reason $1 $2)\""
}

completes() # JOB
{
	kubectl wait --for=condition=complete "job/$1" --timeout=$((40 * TEST_SLOW))s
}

pods() # JOB [SELECTOR]: names
{
	kubectl get pods -l "job-name=$1${2:+,$2}" -o name
}

ended() # JOB PHASE: how many pods
{
	kubectl get pods -l "job-name=$1" --field-selector "status.phase=$2" -o name | wc -l
}

# Nothing holds a pod of a Job that is over, and nothing is left to be counted.
settled() # JOB
{
	test_equal "{}" "$(field "$1" uncountedTerminatedPods)" &&
	test_equal "" "$(kubectl get pods -l "job-name=$1" -o "jsonpath={.items[*].metadata.finalizers}")"
}

test_expect_success 'kubectl create job: it runs, completes, and is shown' '
	start_server &&
	import_demo &&
	wait_node &&
	kubectl create job hello --image=localhost/demo:1 -- sh -c "echo hello" &&
	completes hello &&
	test_equal "True CompletionsReached" "$(reason hello SuccessCriteriaMet)" &&
	test_equal "True CompletionsReached" "$(reason hello Complete)" &&
	test_equal "Reached expected number of succeeded pods" "$(field hello "conditions[0].message")" &&
	test_equal "1  0 0" "$(field hello succeeded) $(field hello failed) $(field hello ready) $(field hello terminating)" &&
	settled hello &&
	test_equal hello "$(kubectl logs job/hello)" &&
	kubectl get jobs >got &&
	test_grep "^NAME  *STATUS  *COMPLETIONS  *DURATION  *AGE$" got &&
	test_grep "^hello  *Complete  *1/1  *[0-9]*s  *[0-9]*s$" got &&
	kubectl describe job hello >got &&
	test_grep "^Pods Statuses: *0 Active (0 Ready) / 1 Succeeded / 0 Failed$" got &&
	test_grep "^Completion Mode: *NonIndexed$" got &&
	test_grep "Normal  *SuccessfulCreate .*job-controller  *Created pod: hello-[a-z0-9]*$" got &&
	test_grep "Normal  *Completed .*job-controller  *Job completed$" got &&
	uid=$(kubectl get job hello -o jsonpath={.metadata.uid}) &&
	test_equal "$uid $uid hello hello" "$(kubectl get $(pods hello) -o \
		"jsonpath={range .metadata.labels}{.batch\.kubernetes\.io/controller-uid} {.controller-uid} {.batch\.kubernetes\.io/job-name} {.job-name}{end}")" &&
	test_equal "batch/v1 Job hello true" "$(kubectl get $(pods hello) -o \
		"jsonpath={range .metadata.ownerReferences[*]}{.apiVersion} {.kind} {.name} {.controller}{end}")"
'

# Those that wait for a back-off of ten seconds are begun here, and looked at below.
test_expect_success 'failed pods are replaced after a while, restarted containers are not' '
	job retried "exit 3" "backoffLimit: 1" >all.yaml &&
	job retried-index "test \$JOB_COMPLETION_INDEX = 1" "completionMode: Indexed
	  completions: 2
	  parallelism: 2
	  backoffLimitPerIndex: 1" | sed "s/^	//" >>all.yaml &&
	job restarted "exit 3" "backoffLimit: 1" | sed "s/restartPolicy: Never/restartPolicy: OnFailure/" >>all.yaml &&
	kubectl apply -f all.yaml
'

test_expect_success 'completions and parallelism: the Job of the book' '
	kubectl apply -f - <<-EOF &&
	apiVersion: batch/v1
	kind: Job
	metadata: {name: multi-completion-batch-job}
	spec:
	  completions: 5
	  parallelism: 2
	  template:
	    metadata: {labels: {app: batch-job}}
	    spec:
	      restartPolicy: OnFailure
	      containers: [{name: main, image: localhost/demo:1, command: [sleep, "0.1"]}]
	EOF
	completes multi-completion-batch-job &&
	test_equal 5 "$(field multi-completion-batch-job succeeded)" &&
	settled multi-completion-batch-job &&
	pods multi-completion-batch-job >got &&
	test_lines 5 got &&
	kubectl get job multi-completion-batch-job >got &&
	test_grep "Complete  *5/5" got &&
	kubectl patch job multi-completion-batch-job -p "{\"spec\":{\"parallelism\":3}}" &&
	refused "field is immutable" kubectl patch job multi-completion-batch-job -p "{\"spec\":{\"completions\":6}}" &&
	kubectl delete job multi-completion-batch-job &&
	wait_for "test -z \"\$(pods multi-completion-batch-job)\""
'

test_expect_success 'a work queue is over when one succeeds and none runs any more' '
	job queue "mkdir /data/first && exit 0; until test -e /data/go; do sleep 0.05; done; exit 1" \
		"parallelism: 3
	  backoffLimit: 5" "volumes: [{name: d, hostPath: {path: $PWD/queue, type: DirectoryOrCreate}}]" |
		sed "s/^	//; s/name: c, /&volumeMounts: [{name: d, mountPath: \/data}], /" |
		kubectl apply -f - &&
	wait_for -t 40 "test_equal \"1 2\" \"\$(field queue succeeded) \$(field queue active)\"" &&
	kubectl get job queue >got &&
	test_grep "^queue  *Running  *1/1 of 3 " got &&
	: >queue/go &&
	completes queue &&
	test_equal "1 2" "$(field queue succeeded) $(field queue failed)" &&
	settled queue
'

test_expect_success 'an indexed Job: names, hostnames, variables, intervals' '
	job numbered "echo \$JOB_COMPLETION_INDEX \$(hostname)" "completionMode: Indexed
	  completions: 4
	  parallelism: 4" | sed "s/^	//" | kubectl apply -f - &&
	completes numbered &&
	test_equal "0-3 4" "$(field numbered completedIndexes) $(field numbered succeeded)" &&
	settled numbered &&
	for i in 0 1 2 3; do
		pod=$(pods numbered batch.kubernetes.io/job-completion-index=$i) &&
		expr "$pod" : "pod/numbered-$i-[a-z0-9]\{5\}$" &&
		test_equal "$i numbered-$i" "$(kubectl logs $pod)" &&
		test_equal $i "$(kubectl get $pod -o "jsonpath={.metadata.annotations.batch\.kubernetes\.io/job-completion-index}")" ||
		return 1
	done &&
	kubectl describe job numbered >got &&
	test_grep "^Completed Indexes: *0-3$" got &&
	test_grep "^Completion Mode: *Indexed$" got
'

test_expect_success 'backoffLimit 0: the first failure is the end of all' '
	job broken "exit 7" "backoffLimit: 0" | kubectl apply -f - &&
	is broken Failed BackoffLimitExceeded &&
	test_equal "True BackoffLimitExceeded" "$(reason broken FailureTarget)" &&
	test_equal "Job has reached the specified backoff limit" "$(field broken "conditions[?(@.type==\"Failed\")].message")" &&
	test_equal " 1 " "$(field broken succeeded) $(field broken failed) $(field broken completionTime)" &&
	settled broken &&
	kubectl describe job broken >got &&
	test_grep "Warning  *BackoffLimitExceeded .*job-controller  *Job has reached the specified backoff limit$" got &&
	kubectl get job broken >got &&
	test_grep "^broken  *Failed  *0/1 " got
'

test_expect_success 'one index fails: the others go on; FailIndex; too many failed indexes' '
	job some "test \$JOB_COMPLETION_INDEX != 1" "completionMode: Indexed
	  completions: 3
	  parallelism: 3
	  backoffLimitPerIndex: 0" | sed "s/^	//" >all.yaml &&
	job index "exit 42" "completionMode: Indexed
	  completions: 2
	  parallelism: 2
	  backoffLimitPerIndex: 5
	  podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [42]}}]}" | sed "s/^	//" >>all.yaml &&
	job most "test \$JOB_COMPLETION_INDEX -gt 1 && sleep 9999; exit 1" "completionMode: Indexed
	  completions: 9
	  parallelism: 2
	  backoffLimitPerIndex: 0
	  maxFailedIndexes: 1" | sed "s/^	//" >>all.yaml &&
	kubectl apply -f all.yaml &&
	is some Failed FailedIndexes &&
	test_equal "Job has failed indexes" "$(field some "conditions[?(@.type==\"Failed\")].message")" &&
	test_equal "0,2 1 2 1" "$(field some completedIndexes) $(field some failedIndexes) $(field some succeeded) $(field some failed)" &&
	settled some &&
	is index Failed FailedIndexes &&
	test_equal "0,1 2" "$(field index failedIndexes) $(field index failed)" &&
	is most Failed MaxFailedIndexesExceeded &&
	test_equal "0,1" "$(field most failedIndexes)" &&
	settled most
'

test_expect_success 'podFailurePolicy: FailJob by an exit code, and a disruption that is ignored' '
	job fatal "test \$JOB_COMPLETION_INDEX != 1 && sleep 9999; exit 42" "completionMode: Indexed
	  completions: 2
	  parallelism: 2
	  podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {containerName: c, operator: In, values: [42]}}]}" |
		sed "s/^	//" >all.yaml &&
	job calm "until test -e /data/go; do sleep 0.05; done" "backoffLimit: 0
	  podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}" \
		"volumes: [{name: d, hostPath: {path: $PWD/calm, type: DirectoryOrCreate}}]" |
		sed "s/^	//; s/name: c, /&volumeMounts: [{name: d, mountPath: \/data}], /" >>all.yaml &&
	kubectl apply -f all.yaml &&
	is fatal Failed PodFailurePolicy &&
	field fatal "conditions[?(@.type==\"Failed\")].message" >got &&
	test_grep "^Container c for pod default/fatal-1-[a-z0-9]* failed with exit code 42 matching FailJob rule at index 0$" got &&
	test_equal 2 "$(field fatal failed)" &&
	settled fatal &&
	wait_for "test_equal 1 \"\$(field calm ready)\"" &&
	test_equal Failed "$(kubectl get job calm -o jsonpath={.spec.podReplacementPolicy})" &&
	evicted=$(pods calm) &&
	printf "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%s\"}}" "${evicted#pod/}" |
		kubectl create --raw "/api/v1/namespaces/default/pods/${evicted#pod/}/eviction" -f - &&
	wait_for -t 60 "pods calm | grep -v $evicted" &&
	: >calm/go &&
	completes calm &&
	test_equal "1 " "$(field calm succeeded) $(field calm failed)"
'

test_expect_success 'successPolicy: the leader is enough, the rest is removed' '
	job led "test \$JOB_COMPLETION_INDEX = 0 || sleep 9999" "completionMode: Indexed
	  completions: 3
	  parallelism: 3
	  successPolicy: {rules: [{succeededIndexes: 1-2, succeededCount: 2}, {succeededIndexes: \"0\"}]}" |
		sed "s/^	//" | kubectl apply -f - &&
	completes led &&
	test_equal "True SuccessPolicy" "$(reason led SuccessCriteriaMet)" &&
	test_equal "True SuccessPolicy" "$(reason led Complete)" &&
	test_equal "Matched rules at index 1" "$(field led "conditions[?(@.type==\"Complete\")].message")" &&
	test_equal "0 1 " "$(field led completedIndexes) $(field led succeeded) $(field led failed)" &&
	settled led &&
	wait_for "pods led >got && test_lines 1 got"
'

test_expect_success 'suspended, it has no pods; resumed, its time begins anew' '
	job paused "sleep 9999" "suspend: true
	  parallelism: 2
	  completions: 2" | sed "s/^	//" | kubectl apply -f - &&
	is paused Suspended JobSuspended &&
	test_equal "" "$(field paused startTime)" &&
	kubectl get job paused >got &&
	test_grep "^paused  *Suspended  *0/2 " got &&
	kubectl patch job paused -p "{\"spec\":{\"suspend\":false}}" &&
	wait_for "test_equal \"2 2\" \"\$(field paused active) \$(field paused ready)\"" &&
	test_equal "False JobResumed" "$(reason paused Suspended)" &&
	test -n "$(field paused startTime)" &&
	kubectl patch job paused -p "{\"spec\":{\"suspend\":true}}" &&
	is paused Suspended JobSuspended &&
	wait_for "test -z \"\$(pods paused)\"" &&
	wait_for "test_equal \" \" \"\$(field paused active) \$(field paused failed)\"" &&
	kubectl describe job paused >got &&
	test_grep "Normal  *Suspended .*job-controller  *Job suspended$" got &&
	test_grep "Normal  *Resumed .*job-controller  *Job resumed$" got &&
	test_grep "Normal  *SuccessfulDelete .*job-controller  *Deleted pod: paused-[a-z0-9]*$" got
'

test_expect_success 'activeDeadlineSeconds; ttlSecondsAfterFinished; a foreign controller' '
	job late "sleep 9999" "activeDeadlineSeconds: 1" >all.yaml &&
	job short "exit 0" "ttlSecondsAfterFinished: 0" >>all.yaml &&
	job foreign "exit 0" "managedBy: example.com/other" >>all.yaml &&
	kubectl apply -f all.yaml &&
	is late Failed DeadlineExceeded &&
	test_equal "Job was active longer than specified deadline" "$(field late "conditions[?(@.type==\"Failed\")].message")" &&
	test_equal 1 "$(field late failed)" &&
	wait_for "test -z \"\$(pods late)\"" &&
	settled late &&
	wait_for -t 40 "! kubectl get job short" &&
	wait_for "test -z \"\$(pods short)\"" &&
	test_equal "{}" "$(pods foreign)$(kubectl get job foreign -o jsonpath={.status})"
'

test_expect_success 'a quota that blocks: the reason is told, and it goes on when it may' '
	kubectl create namespace tight &&
	kubectl -n tight create quota q --hard=pods=1 &&
	wait_for "kubectl -n tight get quota q -o jsonpath={.status.hard.pods} | grep 1" &&
	job much "exit 0" "completions: 3
	  parallelism: 3" | sed "s/^	//" | kubectl -n tight apply -f - &&
	wait_for "kubectl -n tight describe job much | grep \"Warning  *FailedCreate .*job-controller  *Error creating: pods .much-\"" &&
	kubectl -n tight delete quota q &&
	kubectl -n tight wait --for=condition=complete job/much --timeout=$((40 * TEST_SLOW))s &&
	kubectl delete namespace tight --wait=false
'

test_expect_success 'deleted in mid-work, by every way, it leaves no pod' '
	for way in background foreground; do
		job mid "sleep 9999" "parallelism: 3
		  completions: 3" | sed "s/^		//" | kubectl apply -f - &&
		wait_for "test_equal 3 \"\$(field mid ready)\"" &&
		kubectl delete job mid --cascade=$way &&
		wait_for "test -z \"\$(pods mid)\"" ||
		return 1
	done &&
	job mid "sleep 9999" "parallelism: 3
	  completions: 3" | sed "s/^	//" | kubectl apply -f - &&
	wait_for "test_equal 3 \"\$(field mid ready)\"" &&
	kubectl delete job mid --cascade=orphan &&
	wait_for "test -z \"\$(kubectl get pods -l job-name=mid -o \"jsonpath={.items[*].metadata[\\\"finalizers\\\",\\\"ownerReferences\\\"]}\")\"" &&
	pods mid >got &&
	test_lines 3 got &&
	kubectl delete $(pods mid) &&
	test_equal "" "$(pods mid)"
'

test_expect_success 'with a selector of its own it adopts an orphan, and lets go of what it does not select' '
	kubectl run lonely --image=localhost/demo:1 --restart=Never --labels=app=own \
		--overrides="{\"spec\":{\"terminationGracePeriodSeconds\":0}}" -- sleep 9999 &&
	job own "sleep 9999" "manualSelector: true
	  selector: {matchLabels: {app: own}}" |
		sed "s/^	//; s/^  template:/&\n    metadata: {labels: {app: own}}/" | kubectl apply -f - &&
	wait_for "test_equal \"batch.kubernetes.io/job-tracking own\" \"\$(kubectl get pod lonely -o \
		jsonpath=\"{.metadata.finalizers[0]} {.metadata.ownerReferences[0].name}\")\"" &&
	wait_for "test_equal 1 \"\$(field own active)\"" &&
	kubectl label pod lonely app=free --overwrite &&
	wait_for "test_equal \" \" \"\$(kubectl get pod lonely -o jsonpath=\"{.metadata.finalizers} {.metadata.ownerReferences}\")\"" &&
	wait_for "kubectl get pods -l app=own -o name | grep pod/own-" &&
	kubectl delete pod lonely &&
	kubectl delete job own
'

test_expect_success 'killed in mid-count again and again, it counts each pod once' '
	job crash "exit 0" "completions: 12
	  parallelism: 6" | sed "s/^	//" >all.yaml &&
	job crash-index "exit 0" "completionMode: Indexed
	  completions: 12
	  parallelism: 6" | sed "s/^	//" >>all.yaml &&
	kubectl apply -f all.yaml &&
	for n in 1 6; do
		wait_for -t 60 "test \"\$(field crash succeeded)\" -ge $n" &&
		kill_server &&
		start_server || return 1
	done &&
	completes crash &&
	completes crash-index &&
	test_equal "12 12" "$(field crash succeeded) $(ended crash Succeeded)" &&
	test_equal "12 12 0-11" "$(field crash-index succeeded) $(ended crash-index Succeeded) $(field crash-index completedIndexes)" &&
	test_equal "$(ended crash Failed)" "$(($(field crash failed) + 0))" &&
	test_equal "$(ended crash-index Failed)" "$(($(field crash-index failed) + 0))" &&
	settled crash &&
	settled crash-index
'

test_expect_success 'what was to be tried again has been, and no more' '
	is retried Failed BackoffLimitExceeded &&
	test_equal 2 "$(field retried failed)" &&
	pods retried >got &&
	test_lines 2 got &&
	is retried-index Failed FailedIndexes &&
	test_equal "1 0 1 2" "$(field retried-index completedIndexes) $(field retried-index failedIndexes) $(field retried-index succeeded) $(field retried-index failed)" &&
	test_equal "0 1" "$(kubectl get pods -l job-name=retried-index,batch.kubernetes.io/job-completion-index=0 \
		--sort-by=.metadata.creationTimestamp -o \
		"jsonpath={.items[*].metadata.annotations.batch\.kubernetes\.io/job-index-failure-count}")" &&
	is restarted Failed BackoffLimitExceeded &&
	wait_for "test -z \"\$(pods restarted)\"" &&
	settled retried-index
'

test_expect_success 'deleted, they leave nothing' '
	kubectl delete job --all &&
	wait_for "test -z \"\$(kubectl get pods -o name)\"" &&
	killall_pods
'

test_done
