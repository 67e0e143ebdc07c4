#!/bin/sh
# CronJobs: a Job when its time comes, and what becomes of it, with the words of Kubernetes. Jobs are
# managed by nobody here: that they end is said by hand. Runs are made due by a lastScheduleTime long ago:
# @every 8760h then has had its last one some time in the last year, on the minute that one was.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl

cron() # NAME [SPEC-MEMBERS [SCHEDULE]]
{
	kubectl apply -f - <<-EOF
	apiVersion: batch/v1
	kind: CronJob
	metadata: {name: $1}
	spec:
	  schedule: "${3:-@every 8760h}"${2:+
	  $2}
	  jobTemplate:
	    metadata: {labels: {of: $1}, annotations: {note: hello}}
	    spec:
	      managedBy: example.com/nobody
	      template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}
	EOF
}

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

last_run() # NAME MINUTE [YEAR]: as if the last run had been long ago
{
	kubectl patch cronjob "$1" --subresource=status --type=merge \
		-p "{\"status\":{\"lastScheduleTime\":\"${3:-2020}-01-01T00:$2:00Z\"}}"
}

jobs_of() # NAME
{
	kubectl get jobs -l "of=$1" -o name | sort
}

job_at() # NAME MINUTE: the one that came due on that minute
{
	kubectl get jobs -l "of=$1" -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp}{"\n"}{end}' |
		sed -n "s/ .*T..:$2:00Z\$//p" | grep .
}

due() # NAME MINUTE: makes a run due, and waits until it is in the status
{
	last_run "$1" "$2" &&
	wait_for "job_at $1 $2" &&
	wait_for "field cronjob/$1 .status.lastScheduleTime | grep -v ^2020 | grep :$2:00Z"
}

finish() # JOB Complete|Failed SECOND
{
	test_end="\"startTime\":\"2026-01-01T00:00:$3Z\",\"conditions\":["
	case $2 in
	Complete) test_end="\"completionTime\":\"2026-01-01T00:01:$3Z\",\"succeeded\":1,$test_end{\"type\":\"SuccessCriteriaMet\",\"status\":\"True\"}," ;;
	*) test_end="$test_end{\"type\":\"FailureTarget\",\"status\":\"True\"}," ;;
	esac
	kubectl patch job "$1" --subresource=status --type=merge \
		-p "{\"status\":{$test_end{\"type\":\"$2\",\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:01:$3Z\"}]}}"
}

said() # NAME PATTERN: among its events
{
	wait_for "kubectl get events --field-selector involvedObject.name=$1,involvedObject.kind=CronJob \
		-o custom-columns=T:.type,R:.reason,S:.source.component,M:.message --no-headers | grep -- \"$2\""
}

test_expect_success 'kubectl create cronjob: its Job has the name, owner and time of the run' '
	start_server &&
	kubectl create cronjob hello --image=i --schedule="0 0 1 1 *" -- true &&
	kubectl get cronjob hello >got &&
	test_grep "^NAME  *SCHEDULE  *TIMEZONE  *SUSPEND  *ACTIVE  *LAST SCHEDULE  *AGE" got &&
	test_grep "^hello  *0 0 1 1 \\*  *<none>  *False  *0  *<none>  *[0-9]*s" got &&
	kubectl patch cronjob hello -p "{\"spec\":{\"timeZone\":\"Etc/UTC\",\"jobTemplate\":{\"spec\":{\"managedBy\":\"example.com/nobody\"}}}}" &&
	last_run hello 00 2019 &&
	wait_for "kubectl get cronjob hello --no-headers | grep \"Etc/UTC  *False  *1 \"" &&
	job=$(field cronjob/hello ".status.active[0].name") &&
	stamp=$(field job/$job ".metadata.annotations.batch\\.kubernetes\\.io/cronjob-scheduled-timestamp") &&
	test_equal "$(date -u +%Y)-01-01T00:00:00Z" "$stamp" &&
	test_equal hello-$(($(date -u -d "$stamp" +%s) / 60)) $job &&
	test_equal "$stamp" "$(field cronjob/hello .status.lastScheduleTime)" &&
	test_equal "batch/v1 CronJob hello true true" "$(kubectl get job $job -o \
		jsonpath="{range .metadata.ownerReferences[*]}{.apiVersion} {.kind} {.name} {.controller} {.blockOwnerDeletion}{end}")" &&
	test_equal "batch/v1 Job default $(field job/$job .metadata.uid)" "$(kubectl get cronjob hello -o \
		jsonpath="{range .status.active[*]}{.apiVersion} {.kind} {.namespace} {.uid}{end}")" &&
	said hello "Normal  *SuccessfulCreate  *cronjob-controller  *Created job $job$"
'

test_expect_success 'a Job that completes: SawCompletedJob, lastSuccessfulTime' '
	finish $job Complete 10 &&
	said hello "Normal  *SawCompletedJob .*Saw completed job: $job, condition: Complete$" &&
	wait_for "test -z \"\$(field cronjob/hello .status.active)\"" &&
	test_equal 2026-01-01T00:01:10Z "$(field cronjob/hello .status.lastSuccessfulTime)" &&
	kubectl describe cronjob hello >got &&
	test_grep "^Concurrency Policy:  *Allow$" got &&
	kubectl delete cronjob hello &&
	wait_for "! kubectl get job $job"
'

test_expect_success 'Allow: runs side by side; the template is copied' '
	cron side "timeZone: UTC" "@every 240h" &&
	due side 10 &&
	due side 20 &&
	wait_for "kubectl get cronjob side --no-headers | grep \"False  *2 \"" &&
	test_equal "hello" "$(field job/$(job_at side 10) .metadata.annotations.note)" &&
	said side "Warning  *TooManyMissedTimes .*too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew$"
'

test_expect_success 'the Job goes: MissingJob; another one of its: UnexpectedJob' '
	kubectl delete job $(job_at side 10) &&
	said side "Normal  *MissingJob .*Active job went missing: side-[0-9]*$" &&
	wait_for "kubectl get cronjob side --no-headers | grep \"False  *1 \"" &&
	kubectl create job by-hand --from=cronjob/side &&
	said side "Warning  *UnexpectedJob .*Saw a job that the controller did not create or forgot: by-hand$" &&
	test_equal manual "$(field job/by-hand ".metadata.annotations.cronjob\\.kubernetes\\.io/instantiate")" &&
	kubectl delete cronjob side &&
	wait_for "test -z \"\$(jobs_of side)\""
'

test_expect_success 'Forbid: not while one runs, but as soon as it has ended' '
	cron one "concurrencyPolicy: Forbid" &&
	due one 10 &&
	last_run one 20 &&
	said one "Normal  *JobAlreadyActive .*Not starting job because prior execution is running and concurrency policy is Forbid$" &&
	jobs_of one >got &&
	test_lines 1 got &&
	finish $(job_at one 10) Failed 10 &&
	said one "SawCompletedJob .*condition: Failed$" &&
	wait_for "job_at one 20" &&
	kubectl delete cronjob one
'

test_expect_success 'Replace: the one that runs goes first' '
	cron anew "concurrencyPolicy: Replace" &&
	due anew 10 &&
	first=$(job_at anew 10) &&
	due anew 20 &&
	wait_for "! kubectl get job $first" &&
	said anew "Normal  *SuccessfulDelete .*Deleted job $first$" &&
	wait_for "test_equal \"$(job_at anew 20)\" \"\$(field cronjob/anew .status.active[*].name)\"" &&
	kubectl delete cronjob anew
'

test_expect_success 'the history: the oldest go, each kind by its own limit' '
	cron long "successfulJobsHistoryLimit: 5" &&
	due long 10 &&
	finish $(job_at long 10) Complete 30 &&
	due long 20 &&
	finish $(job_at long 20) Complete 10 &&
	due long 30 &&
	failed=$(job_at long 30) &&
	finish $failed Failed 05 &&
	wait_for "kubectl get cronjob long --no-headers | grep \"False  *0 \"" &&
	jobs_of long >got &&
	test_lines 3 got &&
	older=$(job_at long 20) &&
	kubectl patch cronjob long -p "{\"spec\":{\"successfulJobsHistoryLimit\":1}}" &&
	wait_for "! kubectl get job $older" &&
	said long "Normal  *SuccessfulDelete .*Deleted job $older$" &&
	jobs_of long >got &&
	test_lines 2 got &&
	kubectl patch cronjob long -p "{\"spec\":{\"failedJobsHistoryLimit\":0}}" &&
	wait_for "! kubectl get job $failed" &&
	test_equal 2026-01-01T00:01:30Z "$(field cronjob/long .status.lastSuccessfulTime)" &&
	kubectl delete cronjob long
'

test_expect_success 'suspended, and too late: nothing starts; let go, it does' '
	cron asleep "suspend: true" &&
	last_run asleep 10 &&
	cron late "startingDeadlineSeconds: 1" "0 0 1 1 *" &&
	last_run late 10 &&
	cron awake &&
	due awake 10 &&
	test -z "$(jobs_of asleep)" &&
	test -z "$(jobs_of late)" &&
	kubectl patch cronjob asleep -p "{\"spec\":{\"suspend\":false}}" &&
	wait_for "job_at asleep 10" &&
	kubectl patch cronjob late -p "{\"spec\":{\"startingDeadlineSeconds\":null}}" &&
	wait_for "jobs_of late | grep late-" &&
	kubectl delete cronjob asleep late awake
'

test_expect_success 'time comes by itself' '
	cron soon "" "@every 1s" &&
	wait_for "jobs_of soon | grep soon-" &&
	kubectl delete cronjob soon
'

[ ! -e /usr/share/zoneinfo/Asia/Kolkata ] ||
test_expect_success 'a time zone: the minute and the stamp are of there' '
	cron india "timeZone: Asia/Kolkata" "0 0 1 1 *" &&
	last_run india 00 2019 &&
	wait_for "jobs_of india | grep india-" &&
	kubectl get $(jobs_of india) -o yaml >got &&
	test_grep "cronjob-scheduled-timestamp: \"20[0-9]*-01-01T00:00:00+05:30\"" got &&
	wait_for "field cronjob/india .status.lastScheduleTime | grep -- -12-31T18:30:00Z" &&
	kubectl delete cronjob india
'

test_expect_success 'schedules and zones that are none are refused, with the words of Kubernetes' '
	refused "spec.schedule: Invalid value: \"* * * *\": expected exactly 5 fields, found 4: [* * * *]" cron bad "" "* * * *" &&
	refused "spec.schedule: Invalid value: \"TZ=UTC 0 0 * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead" \
		cron bad "" "TZ=UTC 0 0 * * *" &&
	refused "spec.timeZone: Invalid value: \"No/Where\": unknown time zone No/Where" cron bad "timeZone: No/Where" &&
	refused "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones" \
		cron bad "timeZone: Local" &&
	cron never "" "59 23 31 2 *" &&
	said never "Warning  *InvalidSchedule .*invalid schedule: 59 23 31 2 \\* : time difference between two schedules is less than 1 second$" &&
	kubectl delete cronjob never
'

test_expect_success 'a Job that may not be made: FailedCreate, and it comes when it may' '
	kubectl create quota no --hard=count/jobs.batch=0 &&
	wait_for "field quota/no .status.hard | grep jobs" &&
	cron poor &&
	last_run poor 10 &&
	said poor "Warning  *FailedCreate .*Error creating job: jobs.batch .* is forbidden: exceeded quota: no" &&
	kubectl delete quota no &&
	wait_for "job_at poor 10" &&
	kubectl delete cronjob poor
'

test_expect_success 'killed before the status was written, it makes no run twice' '
	cron keep &&
	due keep 10 &&
	kill_server &&
	start_server &&
	kubectl patch cronjob keep --subresource=status --type=merge \
		-p "{\"status\":{\"lastScheduleTime\":\"2020-01-01T00:10:00Z\",\"active\":null}}" &&
	wait_for "test_equal \"$(job_at keep 10)\" \"\$(field cronjob/keep .status.active[*].name)\"" &&
	wait_for "field cronjob/keep .status.lastScheduleTime | grep -v ^2020" &&
	jobs_of keep >got &&
	test_lines 1 got
'

test_done
