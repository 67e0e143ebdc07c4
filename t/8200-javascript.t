#!/bin/sh
# The official JavaScript client (npm's @kubernetes/client-node) against the server: what is checked stands in
# t/clients/client.mjs. scripts/install-deps test brings the client.
. "${srcdir:-.}/t/lib.sh"
test_needs node
client=${KINGLET_NODE_CLIENT:-/var/cache/kinglet-test/node}
[ -d "$client/node_modules/@kubernetes/client-node" ] || skip_all "@kubernetes/client-node is not installed (scripts/install-deps test)"

test_expect_success 'a server starts' 'start_server --disable-agent'
test_foreign node "$srcdir/t/clients/client.mjs" "$client"
test_done
