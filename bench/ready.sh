#!/bin/sh
# ready.sh [ROUNDS]: how long after an endpoint was said to be ready its Service's address leads to it, and after it was
# said not to be, that the address rejects. Root; a server of its own in a network namespace of its own. Prints the
# median and the worst of each, in milliseconds from the API's answer.
set -e
build=${KINGLET_BUILD:-$(cd "$(dirname "$0")/.." && pwd)}
if [ -z "$READY_INSIDE" ]; then
	READY_INSIDE=1 exec unshare -n -m sh "$0" "$@"
fi
dir=$(mktemp -d /var/tmp/kinglet-ready.XXXXXX)
ip link set lo up
ip link add dev eth0 type veth peer name far0
ip addr add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip link set far0 up
"$build/kinglet" server --data-dir "$dir" --write-kubeconfig "$dir/kc" --token t --config /dev/null --cgroup "kinglet-$$" \
	--https-listen-port 6443 --node-ip 192.0.2.1 >"$dir/log" 2>&1 &
server=$!
trap 'kill $server; wait $server || true; "$build/kinglet" killall --data-dir "$dir" --cgroup "kinglet-$$" >/dev/null; rm -rf "$dir"' EXIT
python3 - "$dir/server/tls/ca.crt" "${1:-50}" <<'P'
import http.client, json, socket, ssl, sys, threading, time, os

for _ in range(200):
    if os.path.exists(sys.argv[1]):
        break
    time.sleep(0.05)
context = ssl.create_default_context(cafile=sys.argv[1])


def api(method, path, body=None, kind="application/json"):
    connection.request(method, path, json.dumps(body) if body else None,
                       {"Authorization": "Bearer t", "Content-Type": kind})
    r = connection.getresponse()
    text = r.read()
    if r.status >= 300:
        raise SystemExit(text)
    return json.loads(text)


for _ in range(200):
    try:
        connection = http.client.HTTPSConnection("192.0.2.1", 6443, context=context)
        api("GET", "/api/v1/namespaces/default")
        break
    except (OSError, SystemExit):
        time.sleep(0.05)
listener = socket.create_server(("192.0.2.1", 8080), backlog=128)


def serve():
    while True:
        listener.accept()[0].close()


threading.Thread(target=serve, daemon=True).start()
ip = api("POST", "/api/v1/namespaces/default/services",
         {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
          "spec": {"ports": [{"port": 80, "targetPort": 8080}]}})["spec"]["clusterIP"]
slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
endpoint = {"addresses": ["192.0.2.1"], "conditions": {"ready": False}}
api("POST", slices, {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                     "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "s"}},
                     "ports": [{"name": "", "port": 8080}], "endpoints": [endpoint]})


def answers():
    try:
        socket.create_connection((ip, 80), 2).close()
        return True
    except ConnectionRefusedError:
        return False


took = {True: [], False: []}
for n in range(2 * int(sys.argv[2])):
    ready = n % 2 == 0
    endpoint["conditions"]["ready"] = ready
    api("PATCH", slices + "/s", {"endpoints": [endpoint]}, "application/merge-patch+json")
    since = time.monotonic()
    while answers() != ready:
        pass
    took[ready].append(1000 * (time.monotonic() - since))
for ready, what in (True, "ready, to the first answer"), (False, "not ready, to the first refusal"):
    v = sorted(took[ready])
    print("%s: median %.2f ms, worst of %d %.2f ms" % (what, v[len(v) // 2], len(v), v[-1]))
P
