#!/bin/sh
# bench/sim.sh [NODES...]: clusters of simulated nodes. For each number (100 1000 5000): how long they take to
# register, pods scheduled a second, as they are created and from a backlog. Then with 1,000 nodes: a Deployment of
# REPLICAS (1,000) to all Ready and through a rollout; PODS (30,000) pods: memory, processor time, and the API's
# latencies beside them. Then what an idle cluster costs. RUNS (3) times what is quick, to take medians of. Starts
# servers of its own (in namespaces of its own; KINGLET names the program), says the machine's load, and leaves
# nothing. Ten minutes on a machine at rest. Needs root, curl, `make bench`.
set -eu
if [ -z "${BENCH_INSIDE:-}" ]; then
	BENCH_INSIDE=1 exec unshare -n -m sh "$0" "$@"
fi
here=$(dirname "$(readlink -f "$0")")
: "${KINGLET:=$here/../kinglet}" "${RUNS:=3}" "${COUNT:=10000}" "${REPLICAS:=1000}" "${PODS:=30000}" "${SECONDS_EACH:=30}"
dir=$(mktemp -d /var/tmp/bench-sim.XXXXXX)
url=https://127.0.0.1:6443
ip link set lo up
server='' simulator=''
end()
{
	for p in $simulator $server; do kill -9 "$p" 2>/dev/null || :; done
	"$KINGLET" killall --data-dir "$dir/data" --cgroup kinglet-bench-sim >/dev/null 2>&1 || :
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

cpu_ns() # PID: of all its threads
{
	cat /proc/"$1"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f", n }'
}

wakes() # PID
{
	cat /proc/"$1"/task/*/status | awk '/^(non)?voluntary_ctxt_switches/ { n += $2 } END { printf "%.0f", n }'
}

up()
{
	rm -rf "$dir/data"
	"$KINGLET" server --data-dir "$dir/data" --write-kubeconfig "$dir/kc" --disable-agent --token bench \
		--cgroup kinglet-bench-sim --log-level warn >"$dir/log" 2>&1 &
	server=$!
	until curl -sk "$url/readyz" | grep -q ok; do
		kill -0 "$server"
		sleep 0.05
	done
}

simulate() # NODES [OPTION...]
{
	: >"$dir/sim"
	"$KINGLET" simulate --kubeconfig "$dir/kc" --nodes "$@" >"$dir/sim" 2>>"$dir/sim.log" &
	simulator=$!
	t=$(now)
	until grep -q registered "$dir/sim"; do
		kill -0 "$simulator"
		sleep 0.05
	done
	figure "nodes_${1}_registered" $(($(now) - t)) ms
}

down()
{
	if [ -n "$simulator" ]; then
		t=$(now)
		kill "$simulator"
		wait "$simulator"
		figure nodes_removed $(($(now) - t)) ms
	fi
	kill "$server"
	wait "$server" || :
	server='' simulator=''
}

bench() # PROGRAM ARGUMENT...
{
	program=$1
	shift
	"$here/$program" --server "$url" --token bench --pid "$server" "$@"
}

idle() # TITLE: over SECONDS_EACH
{
	c=$(cpu_ns "$server") w=$(wakes "$server")
	sleep "$SECONDS_EACH"
	figure "$1_cpu" "$(awk -v n=$(($(cpu_ns "$server") - c)) -v s="$SECONDS_EACH" 'BEGIN { printf "%.4f", n / s / 1e7 }')" "% of a core"
	figure "$1_wakes" "$(awk -v n=$(($(wakes "$server") - w)) -v s="$SECONDS_EACH" 'BEGIN { printf "%.2f", n / s }')" /s
}

echo "# load $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors"
for nodes in "${@:-100 1000 5000}"; do
	for n in $nodes; do
		echo "# $n nodes; pods that are bound and do nothing"
		up
		simulate "$n" --start-delay never
		i=0
		while [ "$i" -lt "$RUNS" ]; do
			bench sim --count "$COUNT" schedule backlog
			i=$((i + 1))
		done
		down
	done
done

echo "# 1000 nodes; a Deployment of $REPLICAS"
up
simulate 1000
i=0
while [ "$i" -lt "$RUNS" ]; do
	bench sim --count "$REPLICAS" deploy
	i=$((i + 1))
done
echo "# $PODS pods in Deployments of 1,000"
figure resident "$(awk '/^VmRSS/ { print $2 }' "/proc/$server/status")" kB
bench sim --count "$PODS" fill
sleep 5
figure resident "$(awk '/^VmRSS/ { print $2 }' "/proc/$server/status")" kB
figure simulator_resident "$(awk '/^VmRSS/ { print $2 }' "/proc/$simulator/status")" kB
idle heartbeats_of_1000
bench api --connections 16 --count 5000 create get patch
down

echo "# an idle cluster: no node, then ten"
up
sleep 5
idle idle
simulate 10
sleep 5
idle idle_10_nodes
down
echo "# load $(cut -d' ' -f1-3 /proc/loadavg)"
