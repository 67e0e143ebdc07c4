#!/bin/sh
# What 9210-nfs.t runs inside the virtual machine. Prints TAP.
build=$1 image=$2
dir=/var/lib/k
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
bad() { n=$((n + 1)); echo "not ok $n - $1"; shift; printf '%s\n' "$@" | sed 's/^/# /'; }
is() { if [ "$1" = "$2" ]; then ok "$3"; else bad "$3" "got '$1', expected '$2'"; fi; }
api() { curl -s -A vm --max-time 60 --cacert $dir/server/tls/ca.crt -H 'Authorization: Bearer vm' -H 'Content-Type: application/json' "$@"; }
base=https://127.0.0.1:6443/api/v1
url=$base/namespaces/default
until_true() { t=0; while ! eval "$1"; do t=$((t + 1)); [ $t -lt 240 ] || return 1; sleep 1; done; }

mkdir -p /var/lib/export/sub /var/lib/nfs/rpc_pipefs /var/lib/nfs/v4recovery && echo hello >/var/lib/export/file && chmod 777 /var/lib/export
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
ip link set lo up
mount -t nfsd nfsd /proc/fs/nfsd 2>/dev/null
out=$(exportfs -o rw,no_root_squash,fsid=0,insecure,no_subtree_check 127.0.0.1:/var/lib/export 2>&1 &&
	rpc.mountd -N 3 2>&1 && echo 1 >/proc/fs/nfsd/nfsv4gracetime 2>/dev/null; rpc.nfsd -N 3 -G 1 2 2>&1)
until_true 'ss -ltn | grep -q :2049' && ok "an NFS server listens" || bad "an NFS server listens" "$out"

"$build/kinglet" image import --data-dir $dir "$image" >/dev/null 2>&1 && ok "import the image" || bad "import the image"
"$build/kinglet" server --data-dir $dir --write-kubeconfig $dir.yaml --node-name vm --token vm >/var/lib/log 2>&1 &
server=$!
until_true 'api -f -o /dev/null $url' && ok "the server is ready" || bad "the server is ready" "$(cat /var/lib/log)"

pod() { # NAME VOLUME MOUNT-MORE COMMAND
	api -f -o /dev/null -X POST $url/pods -d "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$1\"},\"spec\":{
		\"restartPolicy\":\"Never\",\"terminationGracePeriodSeconds\":1,\"automountServiceAccountToken\":false,
		\"volumes\":[{\"name\":\"v\",$2}],
		\"containers\":[{\"name\":\"c\",\"image\":\"localhost/demo:1\",\"command\":[\"sh\",\"-c\",\"$4\"],
		\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"$3}]}]}}"
}
field() { api $url/pods/$1 | jq -r "$2"; }
phase() { until_true "test \"\$(field $1 .status.phase)\" = $2"; }
why() { api "$url/events?fieldSelector=involvedObject.name%3D$1" | jq -r '.items[] | "\(.reason): \(.message)"'; tail -3 /var/lib/log; }
nfs='"nfs":{"server":"127.0.0.1","path":"/"'

pod w "$nfs}" '' 'cat /v/file; echo new >/v/made; exec sleep 100000' && phase w Running && ok "a pod with an NFS volume runs" || bad "a pod with an NFS volume runs" "$(why w)"
until_true '[ "$(cat /var/lib/export/made 2>/dev/null)" = new ]' && ok "what it writes is on the server" || bad "what it writes is on the server"
is "$(api $url/pods/w/log)" hello "it reads what is there"
pod ro "$nfs,\"readOnly\":true}" '' 'touch /v/x && exit 0; exit 7' && phase ro Failed
is "$(field ro '.status.containerStatuses[0].state.terminated.exitCode')" 7 "readOnly is kept"
pod sub "$nfs}" ',"subPath":"sub"' 'echo s >/v/s' && phase sub Succeeded
is "$(cat /var/lib/export/sub/s)" s "a subPath on the server"

api -f -o /dev/null -X POST $base/persistentvolumes -d "{\"metadata\":{\"name\":\"pv\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},
	\"accessModes\":[\"ReadWriteMany\"],\"storageClassName\":\"nfs\",\"mountOptions\":[\"vers=4.1\",\"hard\"],$nfs}}}"
api -f -o /dev/null -X POST $url/persistentvolumeclaims -d '{"metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteMany"],"storageClassName":"nfs",
	"resources":{"requests":{"storage":"1Gi"}}}}'
pod claim '"persistentVolumeClaim":{"claimName":"c"}' '' 'cat /v/file; exec sleep 100000' && phase claim Running && ok "a claim of an NFS volume" || bad "a claim of an NFS volume" "$(why claim)"
grep -q 'kubernetes.io~nfs.*vers=4.1' /proc/mounts && ok "with its mountOptions" || bad "with its mountOptions" "$(grep nfs /proc/mounts)"

pod nowhere '"nfs":{"server":"127.0.0.1","path":"/nosuch"}' '' 'true'
until_true 'why nowhere | grep -q "FailedMount.*MountVolume.SetUp failed for volume"' && ok "a path that is not exported is told" || bad "a path that is not exported" "$(why nowhere)"

mkdir /var/lib/host && mount -i -t nfs -o addr=127.0.0.1,vers=4.1,hard 127.0.0.1:/ /var/lib/host && ok "the host has mounted it, too" || bad "the host has mounted it, too"
rpc.nfsd 0
pod host '"hostPath":{"path":"/var/lib/host/sub/deep"}' '' 'true'
api -f -o /dev/null -X DELETE $url/pods/w
until_true '! api -f -o /dev/null $url/pods/w' && ok "the server is dead: its pod goes all the same" || bad "a dead server" "$(why w)" "$(grep nfs /proc/mounts)"
api -f -o /dev/null -X POST $url/pods -d '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"other"},"spec":{"containers":[{"name":"c","image":"localhost/demo:1","command":["sleep","100000"]}]}}'
phase other Running && ok "and others start" || bad "and others start" "$(why other)"
is "$(field host '"\(.spec.nodeName) \(.status.phase)"')" "vm Pending" "while a hostPath there holds up its own pod alone"
api -f -o /dev/null -X DELETE $url/pods/host
until_true '! api -f -o /dev/null $url/pods/host' && ok "which can be deleted" || bad "which can be deleted" "$(why host)"
umount -fl /var/lib/host
"$build/kinglet" killall --data-dir $dir >/var/lib/killall 2>&1 && ok "killall" || bad "killall" "$(cat /var/lib/killall)"
is "$(grep -c 'kubernetes.io~nfs' /proc/mounts)" 0 "nothing stays mounted"
kill $server 2>/dev/null
wait $server
echo "1..$n"
