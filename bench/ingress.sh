#!/bin/sh
# Requests/s, p99, processor time of a request and memory of the ingress against Debian's nginx with one worker,
# both in front of the same back end (nginx too), in one run, keep-alive on both
# sides. Needs nginx, wrk, kubectl, openssl; makes a network namespace of its own.
#
#	bench/ingress.sh [SECONDS]	from the build directory
[ -n "$BENCH_INSIDE" ] || BENCH_INSIDE=1 exec unshare -n -m sh "$0" "$@"
seconds=${1:-4}
kinglet=${KINGLET:-$PWD/kinglet}
dir=$(mktemp -d) || exit 1
cd "$dir" || exit 1
ip link set lo up
ip link add up0 type veth peer name up1 && ip addr add 192.0.2.1/24 dev up0 && ip addr add 192.0.2.11/32 dev up0 &&
ip link set up0 up && ip link set up1 up && ip route add default via 192.0.2.2 || exit 1
mount -t sysfs none /sys 2>/dev/null && mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 10 -subj /CN=bench.com 2>/dev/null
common="worker_processes 1; error_log /dev/null; events { worker_connections 4096; }"
cat >back.conf <<-EOC
	$common pid $dir/back.pid;
	http { access_log off; keepalive_requests 100000000; server { listen 192.0.2.11:8080 backlog=1024; return 200 "hello\n"; } }
EOC
cat >front.conf <<-EOC
	$common pid $dir/front.pid;
	http { access_log off; keepalive_requests 100000000;
	  upstream u { server 192.0.2.11:8080; keepalive 64; keepalive_requests 100000000; }
	  server { listen 8081; listen 8444 ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate $dir/c.pem; ssl_certificate_key $dir/k.pem;
	    location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host \$host;
	      proxy_set_header X-Real-IP \$remote_addr; proxy_set_header X-Forwarded-For \$remote_addr;
	      proxy_set_header X-Forwarded-Proto \$scheme; } } }
EOC
nginx -c "$dir/back.conf" && nginx -c "$dir/front.conf" || exit 1
export KUBECONFIG=$dir/kubeconfig
"$kinglet" server --data-dir "$dir/data" --write-kubeconfig "$KUBECONFIG" --cgroup "bench$$" >server.log 2>&1 &
server=$!
n=0
until kubectl get node 2>/dev/null | grep -q Ready || [ $n -gt 100 ]; do sleep 0.2; n=$((n + 1)); done
kubectl create secret tls bench --cert=c.pem --key=k.pem >/dev/null
kubectl apply -f - >/dev/null <<-EOC
	apiVersion: v1
	kind: Service
	metadata: {name: b}
	spec: {ports: [{port: 80}]}
	---
	apiVersion: discovery.k8s.io/v1
	kind: EndpointSlice
	metadata: {name: b-1, labels: {kubernetes.io/service-name: b}}
	addressType: IPv4
	ports: [{port: 8080, protocol: TCP}]
	endpoints: [{addresses: [192.0.2.11]}]
	---
	apiVersion: networking.k8s.io/v1
	kind: Ingress
	metadata: {name: b}
	spec:
	  tls: [{hosts: [bench.com], secretName: bench}]
	  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: b, port: {number: 80}}}}]}}]
EOC
n=0
until curl -sf -H "Host: bench.com" http://127.0.0.1/ >/dev/null || [ $n -gt 100 ]; do sleep 0.1; n=$((n + 1)); done

pss() { awk '/^Pss:/ { n += $2 } END { print n }' $(printf '/proc/%s/smaps_rollup ' "$@"); }
front=$(cat front.pid) worker=$(pgrep -P "$(cat front.pid)")
idle=$(pss $server)

ticks() { awk '{ sub(/.*\) /, ""); n += $12 + $13 } END { print n + 0 }' "/proc/$1/stat"; }
hz=$(getconf CLK_TCK)

run() # WHAT PID URL
{
	before=$(ticks "$2")
	wrk -t1 -c64 -d"${seconds}s" --latency -H "Host: bench.com" "$3" >out 2>&1
	cpu=$(awk -v t=$(($(ticks "$2") - before)) -v hz="$hz" '/requests in/ && $1 { printf "%.0f", t * 1e6 / hz / $1 }' out)
	echo "$1: $(awk '/Requests\/sec/ { print $2 " requests/s" }' out), p99 $(awk '$1 == "99%" { print $2 }' out), $cpu us of processor each$(grep -i "Non-2xx\|Socket errors" out)"
}
for round in 1 2 3; do
	run "nginx, plain" $worker http://127.0.0.1:8081/
	run "ingress, plain" $server http://127.0.0.1/
	run "nginx, TLS" $worker https://127.0.0.1:8444/
	run "ingress, TLS" $server https://127.0.0.1/
done
echo "memory: nginx (master and worker) $(pss $front $worker) kB; kinglet whole $(pss $server) kB, idle before $idle kB"
kill $server "$(cat front.pid)" "$(cat back.pid)"
wait $server
"$kinglet" killall --data-dir "$dir/data" --cgroup "bench$$" >/dev/null 2>&1
cd / && rm -rf "$dir"
