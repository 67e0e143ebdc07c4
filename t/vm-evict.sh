#!/bin/sh
# What 9500-evict.t runs inside the virtual machine: real shortage of memory and of
# disk. Prints TAP. Emulation may be slow: few steps, and every wait is for an event.
build=$1 image=$2
dir=/var/lib/k
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
bad() { n=$((n + 1)); echo "not ok $n - $1"; shift; printf '%s\n' "$@" | sed 's/^/# /'; }
is() { if [ "$1" = "$2" ]; then ok "$3"; else bad "$3" "got '$1', expected '$2'"; fi; }
like() { if printf '%s\n' "$1" | grep -Eq -- "$2"; then ok "$3"; else bad "$3" "got '$1'" "expected '$2'"; fi; }
api() { curl -s -A vm --max-time 60 --cacert $dir/server/tls/ca.crt -H 'Authorization: Bearer vm' -H 'Content-Type: application/json' "$@"; }
base=https://127.0.0.1:6443/api/v1
url=$base/namespaces/default/pods
until_true() { t=0; while ! eval "$1"; do t=$((t + 1)); [ $t -lt 150 ] || return 1; sleep 1; done; }
pod() { # NAME RESOURCES MEDIUM COMMAND
	api -f -o /dev/null -X POST $url -d "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$1\"},\"spec\":{
		\"restartPolicy\":\"Never\",\"terminationGracePeriodSeconds\":30,\"automountServiceAccountToken\":false,
		\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"$3\"}}],
		\"containers\":[{\"name\":\"c\",\"image\":\"localhost/demo:1\",\"command\":[\"sh\",\"-c\",\"$4\"],\"resources\":$2,
		\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]}]}}"
}
field() { api $url/$1 | jq -r "$2"; }
phase() { field $1 .status.phase; }
condition() { api $base/nodes/vm | jq -r ".status.conditions[] | select(.type == \"$1\") | .status + \" \" + .reason"; }

available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
total=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
"$build/kinglet" image import --data-dir $dir "$image" >/dev/null 2>&1 && ok "import the image" || bad "import the image"
"$build/kinglet" server --data-dir $dir --write-kubeconfig $dir.yaml --node-name vm --token vm \
	--kubelet-arg system-reserved=memory=100Mi,pid=2000 --kubelet-arg eviction-pressure-transition-period=3s \
	--kubelet-arg "eviction-hard=memory.available<$((available / 2))Mi,nodefs.available<20%" \
	--kubelet-arg "eviction-minimum-reclaim=nodefs.available=10%" >/var/lib/log 2>&1 &
server=$!
until_true 'api -f -o /dev/null ${url%/pods}' && ok "the server is ready" || bad "the server is ready" "$(cat /var/lib/log)"

pod calm '{"requests":{"memory":"64Mi"}}' '' 'exec sleep 100000'
pod small '{}' '' 'exec sleep 100000'
until_true '[ "$(phase calm) $(phase small)" = "Running Running" ]' && ok "two pods run" || bad "two pods run" "$(tail -5 /var/lib/log)"
group=$(find /sys/fs/cgroup -type d -name kubepods | head -n1)
is "$(cat "$group/memory.max")" $(((total - 100 * 1024) / 4 * 4096)) "all pods together are held to what is not reserved"
is "$(cat "$group/pids.max")" $(($(cat /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max | sort -n | head -n1) - 2000)) "so are their processes"

pod hog '{}' Memory "dd if=/dev/zero of=/v/f bs=1M count=$((available * 7 / 10)); exec sleep 100000"
until_true '[ "$(condition MemoryPressure)" = "True KubeletHasInsufficientMemory" ]' && ok "MemoryPressure" || bad "MemoryPressure" "$(condition MemoryPressure)" "$(cat /proc/meminfo | head -3)"
until_true '[ "$(phase hog)" = Failed ]' || :
is "$(field hog .status.reason)" Evicted "who has filled the memory is evicted"
like "$(field hog .status.message)" '^The node was low on resource: memory\. Threshold quantity: [0-9]+Mi, available: [0-9]+Ki\. Container c was using [0-9]+[KM]i, request is 0, has larger consumption of memory\. $' "and told why"
is "$(field hog '.status.conditions[] | select(.type == "DisruptionTarget") | .reason')" TerminationByKubelet "it is marked as disrupted"
until_true '[ "$(condition MemoryPressure)" = "False KubeletHasSufficientMemory" ]' && ok "then there is memory again" || bad "then there is memory again" "$(condition MemoryPressure)"
is "$(phase calm) $(phase small)" "Running Running" "nobody else had to go"

free=$(df -m /var/lib | awk 'END { print $4 }')
pod filler '{"requests":{"ephemeral-storage":"1Mi"}}' '' "dd if=/dev/zero of=/v/f bs=1M count=$((free * 9 / 10)); exec sleep 100000"
until_true '[ "$(condition DiskPressure)" = "True KubeletHasDiskPressure" ]' && ok "DiskPressure" || bad "DiskPressure" "$(df -m /var/lib)"
until_true 'api $base/nodes/vm | jq -e ".spec.taints[]? | select(.key == \"node.kubernetes.io/disk-pressure\")" >/dev/null' && ok "its taint" || bad "its taint"
until_true '[ "$(phase filler)" = Failed ]' || :
is "$(field filler .status.reason)" Evicted "who has filled the disk is evicted"
like "$(field filler .status.message)" '^The node was low on resource: ephemeral-storage\. Threshold quantity: ' "and told why"
until_true '[ "$(condition DiskPressure)" = "False KubeletHasNoDiskPressure" ]' && ok "then there is room again" || bad "then there is room again" "$(df -m /var/lib)"
is "$(phase calm) $(phase small)" "Running Running" "nobody else had to go, again"
"$build/kinglet" killall --data-dir $dir >/var/lib/killall 2>&1 && ok "killall" || bad "killall" "$(cat /var/lib/killall)"
wait $server
echo "1..$n"
