#!/bin/sh
# From nothing to a running pod on this machine, with nothing from the internet
# but Debian's packages:
#
#	sudo scripts/quickstart.sh		do it; running it again is fine
#	sudo scripts/quickstart.sh stop		stop the server and its pods
#	sudo scripts/quickstart.sh remove	stop, and remove what was kept
#
# It installs the packages that the build needs (when some are missing), builds,
# starts `kinglet server` on a data directory of its own, makes a small image on
# the spot, imports it, applies manifests/examples/hello.yaml, waits until its pod
# is Ready and fetches the page that it serves: by its Service's name and by its
# Ingress. kubectl is used where there is
# one, the same is asked of the API by curl where not. Everything is named after
# the quickstart, so that a kinglet that runs already is not disturbed.
#
# Environment:
#	QUICKSTART_DIR		what is kept: /var/lib/kinglet-quickstart
#	QUICKSTART_BUILD	where to build: build in the source tree
#	QUICKSTART_PORT		of the API: 6443, or the next one that is free. The ingress has 80 and
#				443 if they are free, else others from 8080 and 8443 on
#	JOBS			compilers at once: one for each processor
set -u
src=$(cd "$(dirname "$0")/.." && pwd)
: "${QUICKSTART_DIR:=/var/lib/kinglet-quickstart}" "${QUICKSTART_BUILD:=$src/build}"
: "${QUICKSTART_PORT:=6443}" "${JOBS:=$(nproc)}"
dir=$QUICKSTART_DIR build=$QUICKSTART_BUILD
log=$dir/quickstart.log server_log=$dir/server.log
kubeconfig=$dir/kubeconfig kinglet=$build/kinglet
manifest=$src/manifests/examples/hello.yaml
bridge=kinglet-qs
networks='--cluster-cidr 10.142.0.0/16 --service-cidr 10.143.0.0/16'

# --- saying what goes on ----------------------------------------------------

steps=8 step_n=0 step=''
begin() # WHAT
{
	step_n=$((step_n + 1)) step=$1
	printf '[%d/%d] %-32s ' $step_n $steps "$1"
	echo "--- $1" >>"$log"
}

end() # WHAT CAME OF IT
{
	printf '%s\n' "$*"
}

failed() # WHY [LOG]
{
	printf 'FAILED\n'
	{
		printf '\nquickstart: %s: %s\n' "$step" "$1"
		printf 'The log is %s; its end:\n' "${2:-$log}"
		tail -n 15 "${2:-$log}" | sed 's/^/    /'
	} >&2
	exit 1
}

run() # COMMAND...: into the log
{
	"$@" >>"$log" 2>&1 </dev/null
}

# As the owner of the source tree, so that no file there becomes root's.
run_as_owner()
{
	owner=$(stat -c %u "$src")
	if [ "$owner" = 0 ]; then
		run "$@"
	else
		run setpriv --reuid "$owner" --regid "$(stat -c %g "$src")" --clear-groups "$@"
	fi
}

wait_for() # SECONDS COMMAND...
{
	until=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt "$until" ] || return 1
		sleep 0.1
	done
}

# --- the server -------------------------------------------------------------

server_pid() # of our data directory, when one runs
{
	pid=$(cat "$dir/data/kinglet.lock" 2>/dev/null) && [ -n "$pid" ] &&
		tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -- "--data-dir $dir/data " && echo "$pid"
}

api() # [CURL OPTION...] PATH: asked with the administrator's certificate
{
	for path; do :; done
	set -- "$@" --cacert "$dir/data/server/tls/ca.crt" --cert "$dir/data/server/tls/admin.crt" \
		--key "$dir/data/server/tls/admin.key"
	url=$(sed -n 's/^ *server: //p' "$kubeconfig" 2>/dev/null)
	for arg; do
		shift
		[ "$arg" = "$path" ] && arg=$url$path
		set -- "$@" "$arg"
	done
	curl -sS -A quickstart --max-time 10 "$@"
}

is_ready()
{
	[ "$(api /readyz 2>/dev/null)" = ok ]
}

is_gone() # PID
{
	! kill -0 "$1" 2>/dev/null
}

is_ready_or_gone() # PID
{
	grep -q ' ready ' "$server_log" || is_gone "$1"
}

port_is_free()
{
	! ss -Hltn "sport = :$1" | grep -q .
}

free_port() # WANTED [OR-FROM-THERE-ON]
{
	free=$1
	port_is_free "$free" || free=${2:-$free}
	while ! port_is_free "$free"; do free=$((free + 1)); done
	echo "$free"
}

ingress_port() # for HTTP, of the server that runs
{
	tr '\0' '\n' <"/proc/$pid/cmdline" | sed -n '/^--ingress-http-port$/{n;p;}'
}

server_start()
{
	port=$(free_port "$QUICKSTART_PORT")
	: >"$server_log"
	# shellcheck disable=SC2086 # a list of options
	setsid "$kinglet" server --data-dir "$dir/data" --write-kubeconfig "$kubeconfig" --https-listen-port "$port" \
		--ingress-http-port "$(free_port 80 8080)" --ingress-https-port "$(free_port 443 8443)" \
		--kubelet-port 0 --bridge $bridge $networks >"$server_log" 2>&1 </dev/null &
	pid=$!
	wait_for 30 is_ready_or_gone $pid
	is_ready || failed 'the server did not start' "$server_log"
	end "process $pid, port $port, ready after $(sed -n 's/.* ready .*ms=\([0-9]*\).*/\1/p' "$server_log") ms"
}

stop()
{
	[ ! -x "$kinglet" ] || "$kinglet" killall --data-dir "$dir/data" --bridge $bridge
}

# --- without kubectl: the same by the API -----------------------------------

# Each document of the manifest is put to its own path by a server-side apply.
apply_by_curl()
{
	rm -rf "$dir/documents" && mkdir "$dir/documents" &&
	awk -v base="$dir/documents/" '/^---/ { n++; next } { print > (base (n + 0)) }' "$manifest" || return 1
	for document in "$dir"/documents/*; do
		kind=$(sed -n 's/^kind: *//p' "$document" | tr 'A-Z' 'a-z')
		name=$(sed -n '/^metadata:/,/^[a-z]*:$/s/^  name: *//p' "$document" | head -n 1)
		version=$(sed -n 's/^apiVersion: *//p' "$document")
		case $version in */*) version=apis/$version ;; *) version=api/$version ;; esac
		case $kind in *s) kind=${kind}e ;; esac
		space=$(sed -n '/^metadata:/,/^[a-z]*:$/s/^  namespace: *//p' "$document" | head -n 1)
		code=$(api -o "$dir/answer" -w '%{http_code}' -X PATCH -H 'Content-Type: application/apply-patch+yaml' \
			--data-binary "@$document" \
			"/$version/${space:+namespaces/$space/}${kind}s/$name?fieldManager=quickstart&force=true")
		echo "$kind/$name: $code" >>"$log"
		case $code in
		20?) ;;
		*)
			cat "$dir/answer" >>"$log"
			return 1
			;;
		esac
	done
}

pod_is_ready() # by the same table that kubectl get shows
{
	api -H 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io' /api/v1/namespaces/hello/pods/hello 2>/dev/null |
		grep -q '"hello", *"2/2", *"Running"'
}

by_service() # from a pod, by the name; without kubectl the API goes there
{
	if command -v kubectl >/dev/null; then
		kubectl -n hello exec hello -c writer -- wget -qO- http://web/
	else
		api /api/v1/namespaces/hello/services/web:80/proxy/
	fi
}

by_ingress()
{
	curl -sS --max-time 5 --resolve "hello.example.com:$http:127.0.0.1" "$url"
}

page_is_there() # COMMAND...: is what it prints
{
	"$@" >"$dir/page" 2>>"$log" </dev/null && grep -q '<h1>' "$dir/page"
}

# --- the steps --------------------------------------------------------------

[ "$(id -u)" = 0 ] || { echo "quickstart: must be run as root: sudo $0 $*" >&2; exit 1; }
case ${1:-start} in
start) ;;
stop)
	stop
	exit
	;;
remove)
	stop && rm -rf "$dir" && echo "removed $dir"
	exit
	;;
*)
	sed -n 's/^#	\(sudo .*\)/usage: \1/p' "$0" >&2
	exit 2
	;;
esac
mkdir -p "$dir" && chmod 0700 "$dir" && : >"$log" || exit 1
cd "$src" || exit 1

begin 'packages for the build'
run "$src/scripts/install-deps" build || failed 'apt-get could not install what is missing'
end 'all there'

begin 'build (a minute or two)'
[ -x configure ] || run_as_owner ./autogen.sh || failed 'autogen.sh failed'
[ -d "$build" ] || run_as_owner mkdir -p "$build" || failed "can't make $build"
cd "$build" || failed "can't enter $build"
[ -f Makefile ] || run_as_owner "$src/configure" --disable-werror || failed 'configure failed'
run_as_owner make -s -j "$JOBS" kinglet || failed 'make failed'
end "$("$kinglet" --version)"

begin 'look at this machine'
"$kinglet" check --data-dir "$dir" >"$dir/check" 2>&1 || { cat "$dir/check" >>"$log"; failed 'pods cannot run here'; }
end "$(sed -n '$p' "$dir/check")"

begin 'start the server'
pid=$(server_pid)
if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe")" = "$kinglet" ] && is_ready; then
	end "runs already, process $pid"
else
	[ -z "$pid" ] || { run kill "$pid"; wait_for 20 is_gone "$pid"; }
	server_start
fi

begin 'make an image and import it'
run "$src/scripts/make-demo-image" "$dir/demo.tar" || failed 'scripts/make-demo-image failed'
run "$kinglet" image import --data-dir "$dir/data" "$dir/demo.tar" || failed 'kinglet image import failed'
end 'localhost/demo:1'

begin 'apply hello.yaml, pod is Ready'
KUBECONFIG=$kubeconfig
export KUBECONFIG
if command -v kubectl >/dev/null; then
	run kubectl apply -f "$manifest" || failed 'kubectl apply failed'
	run kubectl -n hello wait --for=condition=Ready pod/hello --timeout=60s ||
		{ run kubectl -n hello describe pod hello; failed 'the pod did not become Ready'; }
else
	apply_by_curl || failed 'the API refused it'
	wait_for 60 pod_is_ready || failed "the pod did not become Ready" "$server_log"
fi
ip=$(api /api/v1/namespaces/hello/pods/hello | sed -n 's/.*"podIP": *"\([^"]*\)".*/\1/p' | head -n 1)
end "namespace hello, pod hello, $ip"

begin 'fetch the page by its Service'
wait_for 15 page_is_there by_service || failed 'http://web/ gave no page'
end 'http://web/ in a pod of the namespace'

begin 'fetch the page by its Ingress'
http=$(ingress_port)
url=http://hello.example.com$([ "$http" = 80 ] || echo ":$http")/
wait_for 15 page_is_there by_ingress || failed "$url gave no page"
end "$url"
printf '\n'
sed 's/^/    /' "$dir/page"
cat <<END

This was Kubernetes: a server, a node, a pod of two containers, and the ways to it. Go on with

    sudo -s
    export KUBECONFIG=$kubeconfig
    kubectl get pods -A
    kubectl -n hello logs hello -c writer
    kubectl -n hello exec -it hello -c web -- sh
    kubectl -n hello get services,ingresses
    curl --resolve hello.example.com:$http:127.0.0.1 $url

The server runs in the background, its log is $server_log.

    sudo scripts/quickstart.sh stop        stops it and its pods
    sudo scripts/quickstart.sh remove      and removes what it kept, too
END
command -v kubectl >/dev/null ||
	printf '\nkubectl is not installed here; https://kubernetes.io/docs/tasks/tools/ tells how to get it.\n'
