#!/bin/sh
# bench/start.sh URL KUBECONFIG COMMAND [ARG...]: from exec of COMMAND to /readyz
# and to the first node Ready, in milliseconds. COMMAND runs in the foreground of
# its own; it is ended with SIGTERM at the end. Needs curl, kubectl, and a free URL.
set -u
url=$1 kubeconfig=$2
shift 2
now() { date +%s%N; }
start=$(now)
"$@" >/dev/null 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null' EXIT
until curl -sk --max-time 1 -o /dev/null -f "$url/readyz"; do
	[ $(($(now) - start)) -lt 120000000000 ] || exit 1
done
ready=$(now)
until kubectl --kubeconfig "$kubeconfig" get nodes 2>/dev/null | grep -q ' Ready '; do
	[ $(($(now) - start)) -lt 120000000000 ] || exit 1
done
node=$(now)
printf '%-32s %14s ms\n' start_to_readyz $(((ready - start) / 1000000))
printf '%-32s %14s ms (kubectl itself takes part of it)\n' start_to_node_ready $(((node - start) / 1000000))
