#!/bin/sh
# Kubernetes' conformance tests as far as an API server without running pods answers
# them: what is checked stands in t/clients/conformance.py.
. "${srcdir:-.}/t/lib.sh"
test_needs openssl

test_expect_success 'a server starts, and there is a certificate request' '
	start_server --disable-agent &&
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -subj /CN=e2e -out request.csr
'
test_foreign python3 "$srcdir/t/clients/conformance.py" "$DATA/server/tls" request.csr
test_done
