#!/bin/sh
# quickstart.sh: from nothing to a page served by a pod, in one command:
#
#	sudo scripts/quickstart.sh
#
# Installs what the build needs, builds, starts a cluster on a data directory,
# bridge and port of its own (nothing of another kinglet is touched), makes a
# small image from Debian's busybox, applies manifests/examples/hello.yaml, waits
# until the pod is Ready and fetches its page. Running it again works: what is
# there already is used.
#
# Environment: QUICKSTART_DIR (/var/lib/kinglet-quickstart), PORT (6443, or the
# next that is free).
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
dir=${QUICKSTART_DIR:-/var/lib/kinglet-quickstart}
build=$top/build
log=$dir/log
kubeconfig=$dir/kubeconfig
token_file=$dir/token
n=0
step() {
	n=$((n + 1))
	printf '%s [%d/8] %s\n' "$(date +%T)" "$n" "$1"
}
fail() {
	printf 'quickstart: %s failed. The log is %s%s\n' "$1" "$2" "${3:+; $3}" >&2
	[ -f "$2" ] && tail -n 8 "$2" | sed 's/^/  /' >&2
	exit 1
}
[ "$(id -u)" = 0 ] || { echo "quickstart: must be root (sudo scripts/quickstart.sh)" >&2; exit 1; }
mkdir -p "$dir" "$build" && chmod 700 "$dir" || exit 1

step "the packages that the build needs"
"$top/scripts/install-deps" build || exit 1

step "building (a minute or two the first time)"
if [ ! -x "$top/configure" ]; then
	"$top/autogen.sh" >"$build/autogen.log" 2>&1 || fail "autogen.sh" "$build/autogen.log"
fi
if [ ! -f "$build/Makefile" ]; then
	(cd "$build" && "$top/configure") >"$build/configure.log" 2>&1 || fail "configure" "$build/configure.log"
fi
make -C "$build" -j "$(nproc)" >"$build/make.log" 2>&1 || fail "the build" "$build/make.log"
kinglet=$build/kinglet
echo "         $("$kinglet" --version)"

api() { # PATH [curl options]
	path=$1
	shift
	curl -sS --max-time 30 --cacert "$dir/data/server/tls/ca.crt" -H "Authorization: Bearer $(cat "$token_file")" \
		"https://127.0.0.1:$(cat "$dir/port")$path" "$@"
}
alive() { [ -s "$dir/port" ] && [ "$(api /readyz 2>/dev/null)" = ok ]; }
port_free() { ! ss -Hltn "sport = :$1" 2>/dev/null | grep -q .; }

step "the demo image, from Debian's busybox"
"$top/scripts/make-demo-image" "$dir/demo.tar" 2>"$dir/image.log" || fail "making the image" "$dir/image.log"
"$kinglet" image import --data-dir "$dir/data" "$dir/demo.tar" >"$dir/image.log" 2>&1 ||
	fail "importing the image" "$dir/image.log"
echo "         $(tail -n 1 "$dir/image.log")"

step "the cluster"
if alive; then
	echo "         is running already, on port $(cat "$dir/port")"
else
	port=${PORT:-6443}
	while ! port_free "$port"; do port=$((port + 1)); done
	echo "$port" >"$dir/port"
	[ -s "$token_file" ] || (umask 077 && od -An -tx1 -N16 /dev/urandom | tr -d ' \n' >"$token_file")
	started=$(date +%s%N)
	setsid "$kinglet" server --data-dir "$dir/data" --write-kubeconfig "$kubeconfig" --https-listen-port "$port" \
		--token "$(cat "$token_file")" --bridge kinglet-quick0 --cluster-cidr 10.142.0.0/16 \
		--service-cidr 10.143.0.0/16 >"$log" 2>&1 </dev/null &
	server=$!
	until alive; do
		kill -0 $server 2>/dev/null || fail "kinglet server" "$log"
		[ $(($(date +%s%N) - started)) -lt 60000000000 ] || fail "kinglet server: no answer in a minute; it" "$log"
		sleep 0.02
	done
	echo "         ready on port $port after $((($(date +%s%N) - started) / 1000000)) ms (process $server)"
fi

step "applying manifests/examples/hello.yaml"
if command -v kubectl >/dev/null; then
	KUBECONFIG=$kubeconfig kubectl apply -f "$top/manifests/examples/hello.yaml" >"$dir/apply.log" 2>&1 ||
		fail "kubectl apply" "$dir/apply.log"
	sed 's/^/         /' "$dir/apply.log"
else # there is no kubectl on this machine: the same by hand, a document at a time
	awk -v dir="$dir" 'BEGIN { n = 1 } /^---/ { n++; next } { print > (dir "/doc-" n ".yaml") }' \
		"$top/manifests/examples/hello.yaml"
	for doc in "$dir"/doc-*.yaml; do
		case $(sed -n 's/^kind: //p' "$doc") in
		Namespace) path=/api/v1/namespaces ;;
		ConfigMap) path=/api/v1/namespaces/hello/configmaps ;;
		Pod) path=/api/v1/namespaces/hello/pods ;;
		esac
		code=$(api $path -o "$dir/apply.log" -w '%{http_code}' -H 'Content-Type: application/yaml' --data-binary "@$doc")
		case $code in
		201) echo "         $(sed -n 's/^kind: //p' "$doc") created" ;;
		409) echo "         $(sed -n 's/^kind: //p' "$doc") is there already" ;;
		*) fail "creating $(sed -n 's/^kind: //p' "$doc") (HTTP $code)" "$dir/apply.log" ;;
		esac
	done
	rm -f "$dir"/doc-*.yaml
fi

step "waiting until the pod is Ready"
pod=/api/v1/namespaces/hello/pods/hello
t=0
until [ "$(api $pod 2>/dev/null | grep -o '"ready":true' | wc -l)" = 2 ]; do
	t=$((t + 1))
	if [ $t -gt 600 ]; then
		api $pod >"$dir/pod.json" 2>&1
		fail "the pod: it is not Ready after a minute, its state is in $dir/pod.json; the server" "$log"
	fi
	sleep 0.1
done
ip=$(api $pod | grep -o '"podIP":"[^"]*"' | head -n 1 | cut -d'"' -f4)
echo "         Ready, its address is $ip"

step "fetching the page"
page=$(curl -sS --max-time 10 "http://$ip:8080/" 2>"$dir/page.log") || fail "fetching http://$ip:8080/" "$dir/page.log"
printf '%s\n' "$page" | sed 's/^/         /'

step "done"
cat <<TEXT

How to go on:

    export KUBECONFIG=$kubeconfig
    kubectl get pods -A
    kubectl -n hello logs hello -c writer -f
    curl http://$ip:8080/

The server's log is $log. To stop the server and leave the pods running:

    sudo kill \$(cat $dir/data/kinglet.lock)

To stop everything, and to remove every trace:

    sudo $kinglet killall --data-dir $dir/data --bridge kinglet-quick0
    sudo rm -rf $dir
TEXT
