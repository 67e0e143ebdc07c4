#!/bin/sh
# bench/dns.sh [SERVICES...]: the name server of a node with so many Services (10 10000), each with one port and one
# endpoint. Two network namespaces with a veth pair between: the node, and a client. Questions a second and latency at
# 64 under way and at one, over UDP and TCP; SRV; names outside, out of the cache; the server's memory, and what DNS
# takes of it (beside a server with --disable dns). RUNS (3) times SECONDS_EACH (2), the median is told. Starts servers
# of its own (KINGLET names the program), says the machine's load, leaves nothing. Two minutes. Needs root, curl,
# iproute2, python3, `make bench`.
set -eu
if [ -z "${BENCH_INSIDE:-}" ]; then
	BENCH_INSIDE=1 exec unshare -n -m sh "$0" "$@"
fi
here=$(dirname "$(readlink -f "$0")")
: "${KINGLET:=$here/../kinglet}" "${RUNS:=3}" "${SECONDS_EACH:=2}" "${BENCH:=$here/dns}"
dir=$(mktemp -d /var/tmp/bench-dns.XXXXXX)
url=https://127.0.0.1:6443
server='' client='' outside=''
end()
{
	for p in $server $client $outside; do kill -9 "$p" 2>/dev/null || :; done
	"$KINGLET" killall --data-dir "$dir/data" --cgroup kinglet-bench-dns >/dev/null 2>&1 || :
	rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

ip link set lo up
ip link add up0 type veth peer name up1
unshare -n sh -c 'echo $$ >"$0"; exec sleep 100000' "$dir/client" &
client=$!
until [ -s "$dir/client" ]; do sleep 0.05; done
ip link set up1 netns "$(cat "$dir/client")"
ip addr add 192.0.2.1/24 dev up0
ip link set up0 up
away()
{
	nsenter -t "$(cat "$dir/client")" -n "$@"
}
away ip addr add 192.0.2.2/24 dev up1
away ip link set up1 up
away ip route add 10.43.0.0/16 via 192.0.2.1

python3 - <<'PY' &
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.2", 53))
while True:
    q, peer = s.recvfrom(4096)
    end = q.index(b"\0", 12) + 5
    s.sendto(q[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + q[12:end] + b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 300, 4) + b"\1\2\3\4", peer)
PY
outside=$!
echo "nameserver 127.0.0.2" >"$dir/resolv.conf"

up() # [OPTION...]
{
	rm -rf "$dir/data"
	"$KINGLET" server --data-dir "$dir/data" --write-kubeconfig "$dir/kc" --token bench --cgroup kinglet-bench-dns \
		--resolv-conf "$dir/resolv.conf" --log-level warn "$@" >"$dir/log" 2>&1 &
	server=$!
	until curl -sk "$url/readyz" | grep -q ok; do
		kill -0 "$server"
		sleep 0.05
	done
}

down()
{
	kill "$server"
	wait "$server" || :
}

fill() # SERVICES: with a port and an endpoint each, over one connection
{
	python3 - "$1" "$dir" <<'PY'
import json, sys
n, out = int(sys.argv[1]), sys.argv[2]
names, conf = open(out + "/names", "w"), open(out + "/curl", "w")
def post(path, body):
    conf.write('next\nurl = "https://127.0.0.1:6443%s"\nheader = "Authorization: Bearer bench"\nheader = "Content-Type: application/json"\ninsecure\nsilent\noutput = /dev/null\ndata = "%s"\n' % (path, json.dumps(body).replace('"', '\\"')))
for i in range(n):
    post("/api/v1/namespaces/default/services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s%d" % i},
        "spec": {"ports": [{"name": "http", "port": 80}]}})
    post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "s%d-1" % i, "labels": {"kubernetes.io/service-name": "s%d" % i}}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}], "endpoints": [{"addresses": ["10.42.%d.%d" % (i // 250, i % 250 + 1)]}]})
    names.write("s%d.default.svc.cluster.local\n" % i)
PY
	sed -i 1d "$dir/curl"
	curl -K "$dir/curl"
	sed 's/^/_http._tcp./' "$dir/names" >"$dir/srv"
	seq 1000 | sed 's/$/.example.org/; s/^/n/' >"$dir/outside"
}

rss() # kB, when it has come to rest
{
	sleep 3
	awk '/^VmRSS/ { print $2 }' "/proc/$server/status"
}

cpu_ns()
{
	cat /proc/"$server"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f", n }'
}

measure() # TITLE ARGUMENT...
{
	title=$1
	shift
	for i in $(seq "$RUNS"); do
		before=$(cpu_ns)
		away "$BENCH" --seconds "$SECONDS_EACH" "$@" >"$dir/figures"
		awk -v cpu="$(($(cpu_ns) - before))" -v s="$SECONDS_EACH" \
			'{ printf "%s; %.1f us of the server a question\n", $0, cpu / 1000 / ($1 * s) }' "$dir/figures"
	done | sort -n | awk -v t="$title" -v mid="$(((RUNS + 1) / 2))" 'NR == mid { printf "%-28s %s\n", t, $0 }'
}

echo "load: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors"
for n in ${*:-10 10000}; do
	up --disable dns
	fill "$n"
	without=$(rss)
	down
	up
	fill "$n"
	with=$(rss)
	echo "$n Services: server $with kB, of these DNS $((with - without)) kB"
	measure "A, 64 under way" --inflight 64 "$dir/names"
	measure "A, one at a time" --inflight 1 "$dir/names"
	measure "A over TCP, 64 under way" --tcp --inflight 64 "$dir/names"
	measure "SRV, 64 under way" --type 33 --inflight 64 "$dir/srv"
	measure "names outside, 64 under way" --inflight 64 "$dir/outside"
	echo "afterwards: server $(rss) kB"
	down
done
