#!/bin/sh
# The official Python client (Debian's python3-kubernetes) against the server: what is checked stands in t/clients/client.py.
. "${srcdir:-.}/t/lib.sh"
/usr/bin/python3 -c 'import kubernetes' 2>/dev/null || skip_all "python3-kubernetes is not installed"

test_expect_success 'a server starts' 'start_server --disable-agent'
test_foreign /usr/bin/python3 "$srcdir/t/clients/client.py"
test_done
