#!/bin/sh
# bench/node.sh [PODS]: what pods cost on this machine: start, exec, deletion; memory of each of PODS (100) pods;
# processor time while each is probed every second; throughput of logs. Starts a server of its own (in namespaces of
# its own; KINGLET names the program) and ends it. About two minutes. Needs root, kubectl, busybox-static, `make bench`.
set -eu
if [ -z "${BENCH_INSIDE:-}" ]; then
	BENCH_INSIDE=1 exec unshare -n -m sh "$0" "$@"
fi
count=${1:-100}
here=$(dirname "$(readlink -f "$0")")
: "${KINGLET:=$here/../kinglet}" "${SECONDS_EACH:=15}"
dir=$(mktemp -d /var/tmp/bench-node.XXXXXX)
KUBECONFIG=$dir/kc
export KUBECONFIG
ip link set lo up
mount -t sysfs none /sys && mount -t cgroup2 none /sys/fs/cgroup
[ ! -d /etc/kinglet ] || mount -t tmpfs none /etc/kinglet
server=
end()
{
	"$KINGLET" killall --data-dir "$dir/data" --cgroup kinglet-bench >/dev/null || :
	[ -z "$server" ] || kill -9 "$server" 2>/dev/null || :
	rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

figure() # NAME VALUE UNIT
{
	printf '%-44s %12s %s\n' "$@"
}

now()
{
	echo $(($(date +%s%N) / 1000000))
}

"$here/../scripts/make-demo-image" "$dir/demo.tar"
"$KINGLET" image import -q --data-dir "$dir/data" "$dir/demo.tar" >/dev/null
"$KINGLET" server --data-dir "$dir/data" --write-kubeconfig "$KUBECONFIG" --node-name n1 --cgroup kinglet-bench >"$dir/log" 2>&1 &
server=$!
until grep -q ' ready ' "$dir/log"; do
	kill -0 $server
	sleep 0.05
done
kubectl wait --for=condition=Ready node/n1 --timeout=30s >/dev/null

tls=$dir/data/server/tls
echo "# pods, one at a time and $count at once; then with token, volumes and environment"
for full in '' --full; do
	# shellcheck disable=SC2086 # nothing or a flag
	"$here/pods" --server https://127.0.0.1:6443 --cert "$tls/admin.crt" --key "$tls/admin.key" --image localhost/demo:1 --count "$count" $full
	until [ -z "$(ls "$dir/data/agent/pods")" ]; do sleep 0.2; done
done

memory() # KEY PID...: kB, summed
{
	key=$1
	shift
	for p; do awk -v k="$key" '$1 ~ k { n += $2 } END { print n + 0 }' "/proc/$p/smaps_rollup" 2>/dev/null; done | awk '{ n += $1 } END { print n + 0 }'
}

members() # all processes of our cgroups
{
	cat "$dir/cgroups" | xargs -r cat 2>/dev/null | sort -un
}

cgroups()
{
	find /sys/fs/cgroup -path "*/kinglet-bench/$1*" -name cgroup.procs >"$dir/cgroups"
	members
}

pods() # PROBE-AS-JSON COMMAND: creates them all and waits
{
	python3 -c "
import json, sys
probe, command = json.loads(sys.argv[2] or '{}'), sys.argv[3]
c = {'name': 'c', 'image': 'localhost/demo:1', 'command': ['sh', '-c', command]}
if probe:
    c['livenessProbe'] = dict(probe, periodSeconds=1, failureThreshold=10)
print(json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': [{'apiVersion': 'v1', 'kind': 'Pod',
    'metadata': {'name': 'p%d' % i}, 'spec': {'terminationGracePeriodSeconds': 0, 'containers': [c]}}
    for i in range(int(sys.argv[1]))]}))" "$count" "$@" | kubectl create -f - >/dev/null
	kubectl wait --for=condition=Ready pods --all --timeout=120s >/dev/null
}

no_pods()
{
	kubectl delete pods --all --wait=false --grace-period=0 --force >/dev/null 2>&1
	until [ -z "$(ls "$dir/data/agent/pods")" ]; do sleep 0.2; done
}

ticks() # PID...
{
	for p; do awk '{ print $14 + $15 + $16 + $17 }' "/proc/$p/stat" 2>/dev/null; done | awk '{ n += $1 } END { print n + 0 }'
}

echo "# memory of each of $count pods (sleep), with token"
rss=$(memory '^Rss' $server) private=$(memory '^Private' $server)
pods '' 'exec sleep 100000'
each() # NAME KB
{
	figure "$1" "$(awk -v n="$2" -v c="$count" 'BEGIN { printf "%.1f", n / c }')" "kB a pod"
}
each "server, resident, more" $(($(memory '^Rss' $server) - rss))
each "server, private, more" $(($(memory '^Private' $server) - private))
keepers=$(cgroups keepers)
each "keeper, resident" "$(memory '^Rss' $keepers)"
each "keeper, proportional" "$(memory '^Pss:' $keepers)"
each "keeper, private" "$(memory '^Private' $keepers)"
each "the container's sleep itself, proportional" "$(memory '^Pss:' $(cgroups kubepods))"
t=$(ticks $server)
sleep "$SECONDS_EACH"
figure "server's processor, idle with $count pods" "$(awk -v n=$(($(ticks $server) - t)) -v s="$SECONDS_EACH" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.3f", 100 * n / hz / s }')" "% of a core"
no_pods

echo "# processor time while each of $count pods is probed every second"
for kind in exec http tcp; do
	case $kind in
	exec) pods '{"exec":{"command":["true"]}}' 'exec sleep 100000' ;;
	http) pods '{"httpGet":{"path":"/","port":8080}}' 'echo x >/tmp/index.html; exec httpd -f -p 8080 -h /tmp' ;;
	tcp) pods '{"tcpSocket":{"port":8080}}' 'exec httpd -f -p 8080 -h /tmp' ;;
	esac
	keepers=$(cgroups keepers)
	sleep 2
	t=$(ticks $server) k=$(ticks $keepers)
	sleep "$SECONDS_EACH"
	for who in "server:$(($(ticks $server) - t))" "keepers and what they start:$(($(ticks $keepers) - k))"; do
		figure "$kind probes: ${who%:*}" "$(awk -v n="${who##*:}" -v s="$SECONDS_EACH" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", 100 * n / hz / s }')" "% of a core"
	done
	figure "$kind probes: restarts" "$(kubectl get pods -o jsonpath='{.items[*].status.containerStatuses[0].restartCount}' | tr ' ' '\n' | awk '{ n += $1 } END { print n + 0 }')" ""
	no_pods
done

echo "# logs: lines of 100 bytes, from the container's start to its end"
for n in 1 10; do
	count=$n
	mb=$((1000 / n))
	t=$(now)
	python3 -c "
import json, sys
print(json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': [{'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'p%d' % i},
    'spec': {'restartPolicy': 'Never', 'containers': [{'name': 'c', 'image': 'localhost/demo:1', 'command': ['sh', '-c',
    'yes ' + 'x' * 99 + ' | head -c %d' % (int(sys.argv[2]) * 1000000)]}]}} for i in range(int(sys.argv[1]))]}))" "$n" "$mb" |
		kubectl create -f - >/dev/null
	kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pods --all --timeout=300s >/dev/null
	t=$(($(now) - t))
	figure "logs of $n containers, $((mb * n)) MB in all" "$(awk -v m=$((mb * n)) -v t=$t 'BEGIN { printf "%.0f", m * 1000 / t }')" MB/s
	no_pods
done
