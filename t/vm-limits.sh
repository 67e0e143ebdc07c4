#!/bin/sh
# What 9000-limits.t runs inside the virtual machine: limits of cgroup v2, seen
# from the files and from what happens. Prints TAP. Emulation may be slow: few
# steps, and every wait is for an event.
build=$1 image=$2
dir=/var/lib/k
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
bad() { n=$((n + 1)); echo "not ok $n - $1"; shift; printf '%s\n' "$@" | sed 's/^/# /'; }
is() { if [ "$1" = "$2" ]; then ok "$3"; else bad "$3" "got '$1', expected '$2'"; fi; }
api() { curl -s -A vm --max-time 60 --cacert $dir/server/tls/ca.crt -H 'Authorization: Bearer vm' -H 'Content-Type: application/json' "$@"; }
url=https://127.0.0.1:6443/api/v1/namespaces/default/pods
# until CONDITION: at most a minute or two
until_true() { t=0; while ! eval "$1"; do t=$((t + 1)); [ $t -lt 120 ] || return 1; sleep 1; done; }

# A file system with project quotas has the data directory, for what comes last.
modprobe loop; modprobe quota_v2
truncate -s 400M /var/lib/q.img && mkfs.ext4 -q -O project,quota -E quotatype=prjquota /var/lib/q.img && mkdir $dir &&
	mount -o loop,prjquota /var/lib/q.img $dir || bad "project quotas"
out=$("$build/kinglet" check 2>&1)
case $out in *"Nothing is missing."*) ok "kinglet check finds all that it wants" ;; *) bad "kinglet check finds all that it wants" "$out" ;; esac
"$build/kinglet" image import --data-dir $dir "$image" >/dev/null 2>&1 && ok "import the image" || bad "import the image"
"$build/kinglet" server --kubelet-arg pod-max-pids=60 --data-dir $dir --write-kubeconfig $dir.yaml --node-name vm --token vm >/var/lib/log 2>&1 &
server=$!
until_true 'api -f -o /dev/null ${url%/pods}' && ok "the server is ready" || bad "the server is ready" "$(cat /var/lib/log)"

pod() { # NAME RESTARTPOLICY RESOURCES COMMAND [SPEC [CONTAINER]]: the latter are JSON members with a comma behind
	api -f -o /dev/null -X POST $url -d "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$1\"},\"spec\":{
		\"restartPolicy\":\"$2\",\"terminationGracePeriodSeconds\":1,\"automountServiceAccountToken\":false,$5
		\"containers\":[{\"name\":\"c\",$6\"image\":\"localhost/demo:1\",\"command\":[\"sh\",\"-c\",\"$4\"],\"resources\":$3}]}}"
}
field() { api $url/$1 | jq -r "$2"; }
running() { [ "$(field $1 .status.phase)" = Running ]; }

pod limited Always '{"requests":{"cpu":"250m","memory":"32Mi"},"limits":{"cpu":"500m","memory":"64Mi"}}' 'exec sleep 100000'
pod best Always '{}' 'exec sleep 100000'
pod sure Always '{"limits":{"cpu":"1","memory":"64Mi"}}' 'exec sleep 100000'
pod greedy Never '{"limits":{"memory":"24Mi"}}' 'x=x; while :; do x=$x$x$x$x; done'
pod child Never '{"limits":{"memory":"24Mi"}}' '(y=x; while :; do y=$y$y$y$y; done); exec sleep 100000'
pod killed Never '{"limits":{"memory":"64Mi"}}' 'exec sleep 200000'
pod level Never '{}' 'x=x; while :; do x=$x$x$x$x; done' '"resources":{"limits":{"memory":"24Mi"},"requests":{"memory":"24Mi"}},'
until_true 'running limited && running best && running sure' && ok "pods with limits run" || bad "pods with limits run" "$(tail -5 /var/lib/log)"
pid=$(pgrep -f '^sleep 100000' | while read -r p; do grep -q "$(field limited .metadata.uid)" /proc/$p/cgroup && echo $p; done | head -n1)
cg=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$pid/cgroup)
is "$(cat "$cg/cpu.max")" "50000 100000" "cpu.max of a limit of 500m"
is "$(cat "$cg/memory.max")" 67108864 "memory.max of a limit of 64Mi"
is "$(cat "$cg/cpu.weight")" 35 "cpu.weight of a request of 250m, by the mapping of runc 1.3 and crun 1.23"
case $cg in */kubepods/burstable/*) ok "a burstable pod is in the burstable tree" ;; *) bad "a burstable pod is in the burstable tree" "$cg" ;; esac
is "$(cat "${cg%/*}/memory.max")" 67108864 "the pod's cgroup has the sum of the limits"
tree=$(find /sys/fs/cgroup -type d -path '*kubepods*' | grep "$(field best .metadata.uid)" | head -n1)
case $tree in */kubepods/besteffort/*) ok "a pod that asks for nothing is in the besteffort tree" ;; *) bad "besteffort" "$tree" ;; esac
tree=$(find /sys/fs/cgroup -type d -path '*kubepods*' | grep "$(field sure .metadata.uid)" | head -n1)
case $tree in *burstable* | *besteffort* | '') bad "a guaranteed pod is right below kubepods" "$tree" ;; *) ok "a guaranteed pod is right below kubepods" ;; esac
until_true '[ "$(field greedy .status.phase)" = Failed ]' || :
end() { field $1 '.status.containerStatuses[0].state.terminated | "\(.reason) \(.exitCode)"'; }
log() { api "$url/$1/log"; }
over() { case $(field $1 .status.phase) in Failed | Succeeded) return 0 ;; esac; return 1; }
# The cgroup of a pod's container, of a pod; usage of the CPU.
cgpod() { find /sys/fs/cgroup -type d -name "pod$(field $1 .metadata.uid)"; }
cgof() { find "$(cgpod $1)" -mindepth 1 -maxdepth 1 -type d | head -n1; }
usec() { sed -n 's/^usage_usec //p' "$1/cpu.stat"; }
until_true 'running killed' && kill -9 "$(head -n1 "$(cgof killed)/cgroup.procs")"
for p in child killed level; do until_true "over $p" || bad "$p ends" "$(api $url/$p)"; done
is "$(end greedy)" "OOMKilled 137" "a container over its memory limit is OOMKilled"
is "$(end child)" "OOMKilled 137" "also when a child of it takes too much: all go"
is "$(end killed)" "Error 137" "a container that is killed otherwise is not"
is "$(end level)" "OOMKilled 137" "the limit of the pod as a whole holds"
is "$(field limited .status.containerStatuses[0].restartCount)" 0 "and no other is touched"

kp=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$pid/cgroup | sed 's,/kubepods/.*,/kubepods,')
is "$(cat $kp/besteffort/cpu.weight)" 1 "the best effort class weighs the least"
sum=$(cat $kp/burstable/cpu.weight)
[ "$sum" -ge 35 ] && ok "the burstable class weighs what its pods ask for ($sum)" || bad "burstable weight" "$sum"
is "$(cat $kp/pids.max)" $(($(sort -n /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max | head -n1) - 1024)) \
	"pods leave some process numbers to the machine"
pod busy Always '{"limits":{"cpu":"100m"}}' 'while :; do :; done'
until_true 'running busy' || bad "busy runs"
busy=$(cgof busy)
until_true '[ "$(sed -n "s/^nr_throttled //p" $busy/cpu.stat)" -gt 3 ]' && ok "cpu.max throttles" || bad "throttled" "$(cat $busy/cpu.stat)"
a=$(usec $busy) t0=$(cut -d' ' -f1 /proc/uptime); sleep 4; b=$(usec $busy) t1=$(cut -d' ' -f1 /proc/uptime)
share=$(awk "BEGIN { printf \"%d\", ($b - $a) / ($t1 - $t0) / 10000 }")
[ "$share" -ge 5 ] && [ "$share" -le 15 ] && ok "a limit of 100m is a tenth of a processor ($share %)" || bad "a tenth" "$share %"
api -f -o /dev/null -X POST ${url%pods}persistentvolumeclaims -d '{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},
	"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"8Mi"}}}}'
mount='"volumeMounts":[{"name":"v","mountPath":"/v"}],'
pod held Always '{}' 'fill() { dd if=/dev/zero of=/v/f bs=1M count=16; }; fill; du -k /v/f; until fill 2>/dev/null; do sleep 1; done; df -k /v; exec sleep 100000' \
	'"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"data"}}],' "$mount"
pod counted Never '{}' 'until [ -e /v/go ]; do sleep 1; done; dd if=/dev/zero of=/v/f bs=1M count=6; exec sleep 100000' \
	'"volumes":[{"name":"v","emptyDir":{"sizeLimit":"4Mi"}}],' "$mount"
until_true 'log held | grep -q "/v/f$"' || bad "the volume is written" "$(log held)"
case $(log held) in *"Disk quota exceeded"*) ok "a volume of local-path is held to its size" ;; *) bad "held" "$(log held)" ;; esac
until_true 'running counted' || bad "counted runs"
empty=$(echo $dir/agent/files/*/volumes/kubernetes.io~empty-dir/v)
is "$(lsattr -pd $dir/storage/* "$empty" | awk '$1 > 1000000 && $2 ~ /P/ { print $1 }' | sort -u | wc -l)" 2 "each has a project of its own, so has an emptyDir with a limit"
touch "$empty/go"
curl -s -o /dev/null --cacert $dir/server/tls/ca.crt -H 'Authorization: Bearer vm' -H 'Content-Type: application/merge-patch+json' -X PATCH \
	${url%pods}persistentvolumeclaims/data -d '{"spec":{"resources":{"requests":{"storage":"32Mi"}}}}'
until_true 'log held | grep -q "32768 .* /v$"' && ok "it grows with its claim" || bad "grows" "$(log held)"
until_true 'over counted' && is "$(field counted .status.reason)" Evicted "the emptyDir's pod is evicted"
api -o /dev/null -X DELETE $url/held && api -o /dev/null -X DELETE $url/counted && api -o /dev/null -X DELETE ${url%pods}persistentvolumeclaims/data
until_true '[ -z "$(ls $dir/storage)" ] && [ ! -e "$empty" ]' && ok "both are removed" || bad "both are removed" "$(ls $dir/storage)"
is "$(api ${url%/namespaces*}/nodes/vm | jq '[.status.conditions[] | select(.type == "FeaturesMissing" and .status == "True")] | length')" 0 "the node misses nothing"
"$build/kinglet" killall --data-dir $dir >/var/lib/killall 2>&1 && ok "killall" || bad "killall" "$(cat /var/lib/killall)"
is "$(find /sys/fs/cgroup -name 'kinglet*' | wc -l)" 0 "no cgroup is left"
is "$(pgrep -c 'sleep|keeper')" 0 "no process is left"
wait $server
umount $dir && ok "nothing holds the data directory" || bad "nothing holds the data directory" "$(grep $dir /proc/mounts)"
is "$(debugfs -R 'list_quota project' /var/lib/q.img 2>/dev/null | awk '$1 ~ /^[0-9]+$/ && $1 > 1000000')" "" "no project is left"
echo "1..$n"
