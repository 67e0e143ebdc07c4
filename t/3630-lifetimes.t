#!/bin/sh
# What goes by itself after a time, or with what it belongs to: finished Jobs,
# Events, Secrets with accounts' tokens. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

job() # NAME TTL
{
	kubectl create -f - <<-END
	apiVersion: batch/v1
	kind: Job
	metadata: {name: $1}
	spec:
	  managedBy: example.com/this-test
	  ttlSecondsAfterFinished: $2
	  template:
	    spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}
	END
}

finish() # JOB [SECONDS-AGO]
{
	at=$(date -u -d "-${2:-0} seconds" +%Y-%m-%dT%H:%M:%SZ) &&
	kubectl patch job "$1" --subresource=status --type=merge -p "{\"status\":{\"startTime\":\"$at\",
		\"completionTime\":\"$at\",\"succeeded\":1,\"uncountedTerminatedPods\":{},\"conditions\":[
		{\"type\":\"SuccessCriteriaMet\",\"status\":\"True\",\"reason\":\"CompletionsReached\",\"lastTransitionTime\":\"$at\"},
		{\"type\":\"Complete\",\"status\":\"True\",\"reason\":\"CompletionsReached\",\"lastTransitionTime\":\"$at\"}]}}"
}

test_expect_success 'start the server with short-lived events' '
	start_server --disable-agent --event-ttl 2s
'

test_expect_success 'a finished job goes when its time is over, with what it owns' '
	job soon 1 && job later 3600 && job running 0 &&
	uid=$(kubectl get job soon -o jsonpath="{.metadata.uid}") &&
	printf "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: soon, uid: %s}]\n" "$uid" >x.yaml &&
	kubectl create -f x.yaml &&
	finish soon && finish later &&
	wait_for "! kubectl get job soon" && wait_for "! kubectl get configmap x" &&
	kubectl get job later running
'

test_expect_success 'the time may be changed later, and may have passed already' '
	kubectl patch job later --type=merge -p "{\"spec\":{\"ttlSecondsAfterFinished\":0}}" &&
	wait_for "! kubectl get job later" &&
	job old 100 && finish old 200 &&
	wait_for "! kubectl get job old" &&
	kubectl get job running
'

test_expect_success 'one that was due while no server ran goes at the start' '
	job due 2 && finish due && kill_server &&
	wait_for "[ \$(date +%s) -gt \$(($(date +%s) + 2)) ]" &&
	restart_server --disable-agent --event-ttl 2s &&
	wait_for "! kubectl get job due"
'

test_expect_success 'events go after --event-ttl' '
	kubectl create -f - <<-END &&
	apiVersion: v1
	kind: Event
	metadata: {name: e, namespace: default}
	involvedObject: {kind: Pod, name: p, namespace: default}
	reason: Test
	message: hello
	type: Normal
	END
	kubectl get event e &&
	wait_for -t 10 "! kubectl get event e"
'

test_expect_success 'how long events are kept must be a time' '
	test_must_fail "$KINGLET" server --data-dir "$TRASH/other" --event-ttl soon 2>err &&
	test_grep -e "--event-ttl .soon. is no time of a second or more, such as 1h30m" err
'

token_secret() # NAME ACCOUNT
{
	kubectl create -f - <<-END
	apiVersion: v1
	kind: Secret
	type: kubernetes.io/service-account-token
	metadata: {name: $1, annotations: {kubernetes.io/service-account.name: $2}}
	END
}

test_expect_success 'a Secret with the token of an account goes with the account' '
	kubectl create serviceaccount robot && token_secret t1 robot &&
	wait_for "kubectl get secret t1 -o jsonpath={.data.token} | grep ." &&
	kubectl create secret generic other &&
	kubectl delete serviceaccount robot &&
	wait_for "! kubectl get secret t1" &&
	kubectl get secret other
'

test_expect_success 'a Secret for an account that does not exist, or is another one now, goes' '
	token_secret t2 nobody &&
	wait_for "! kubectl get secret t2" &&
	kubectl create serviceaccount robot && token_secret t3 robot && wait_for "kubectl get secret t3" &&
	kill_server && restart_server --disable-agent && kubectl get secret t3
'

test_done
