#!/bin/sh
# What 9110-reboot.t runs inside the virtual machine, twice on one disk: pods before
# a power cut, and the same pods after it. Prints TAP; the numbers go on.
build=$1 image=$2 boot=$3
dir=/var/lib/k
n=$(cat /var/lib/tap 2>/dev/null || echo 0)
ok() { n=$((n + 1)); echo "ok $n - $1"; }
bad() { n=$((n + 1)); echo "not ok $n - $1"; shift; printf '%s\n' "$@" | sed 's/^/# /'; }
is() { if [ "$1" = "$2" ]; then ok "$3"; else bad "$3" "got '$1', expected '$2'"; fi; }
api() { curl -s -A vm --max-time 60 --cacert $dir/server/tls/ca.crt -H 'Authorization: Bearer vm' -H 'Content-Type: application/json' "$@"; }
url=https://127.0.0.1:6443/api/v1/namespaces/default/pods
until_true() { t=0; while ! eval "$1"; do t=$((t + 1)); [ $t -lt 400 ] || return 1; sleep 1; done; }
pod() { # NAME RESTARTPOLICY COMMAND
	api -f -o /dev/null -X POST $url -d "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$1\"},\"spec\":{
		\"restartPolicy\":\"$2\",\"terminationGracePeriodSeconds\":1,\"automountServiceAccountToken\":false,
		\"initContainers\":[{\"name\":\"i\",\"image\":\"localhost/demo:1\",\"command\":[\"sh\",\"-c\",\"echo x >>/v/inits\"],\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]}],
		\"containers\":[{\"name\":\"c\",\"image\":\"localhost/demo:1\",\"command\":[\"sh\",\"-c\",\"$3\"],\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]}],
		\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}"
}
field() { api $url/$1 | jq -r "$2"; }
c=.status.containerStatuses[0]

[ "$boot" = 2 ] || "$build/kinglet" image import --data-dir $dir "$image" >/dev/null 2>&1
"$build/kinglet" server --data-dir $dir --write-kubeconfig $dir.yaml --node-name vm --token vm >/var/lib/log.$boot 2>&1 &
until_true 'api -f -o /dev/null ${url%/pods}' && ok "boot $boot: the server is ready" || bad "boot $boot: the server is ready" "$(cat /var/lib/log.$boot)"
if [ "$boot" = 1 ]; then
	pod on Always 'exec sleep 100000' && pod never Never 'exec sleep 100000' && pod done Never 'exit 0'
	until_true '[ "$(field on .status.phase)" = Running ] && [ "$(field never .status.phase)" = Running ] && [ "$(field done .status.phase)" = Succeeded ]' &&
		ok "pods run" || bad "pods run" "$(tail -5 /var/lib/log.1)"
	field on .status.podIP >/var/lib/ip
	echo $n >/var/lib/tap
	sync
	exit 0
fi
until_true '[ "$(field on $c.restartCount)" = 1 ] && [ "$(field on $c.ready)" = true ]' && ok "a pod runs again" || bad "a pod runs again" "$(field on .status)"
is "$(field on "$c.lastState.terminated | \"\(.reason) \(.exitCode)\"")" "Unknown 255" "its lastState"
is "$(field on '.status.initContainerStatuses[0].state.terminated.reason')" Completed "its init container is through"
is "$(field on '[.status.conditions[] | select(.status == "True") | .type] | sort | join(" ")')" "ContainersReady Initialized PodReadyToStartContainers PodScheduled Ready" "its conditions"
api ${url%/pods}/events | jq -r '.items[] | select(.involvedObject.name == "on") | .reason + " " + .message' >/var/lib/events
grep -q '^SandboxChanged Pod sandbox changed, it will be killed and re-created.$' /var/lib/events && ok "SandboxChanged" || bad "SandboxChanged" "$(cat /var/lib/events)"
until_true '[ "$(field never .status.phase)" = Failed ]' || :
is "$(field never "\"\(.status.phase) \($c.state.terminated.reason) \($c.restartCount)\"")" "Failed Unknown 0" "a pod with restartPolicy Never has failed"
is "$(field "done" .status.phase)" Succeeded "one that was through stays so"
is "$(pgrep -fc '^sleep 100000')" 1 "one process runs"
for p in on never "done"; do api -o /dev/null -X DELETE $url/$p; done
until_true '[ "$(api $url | jq ".items | length")" = 0 ]' && ok "all can be deleted" || bad "all can be deleted" "$(api $url | jq -c '.items[].status')"
is "$(ls $dir/agent/pods | wc -l)" 0 "no sandbox is left"
echo "1..$n"
