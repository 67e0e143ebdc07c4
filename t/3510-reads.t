#!/bin/sh
# Lists, gets and watches as clients rely on them: pages of one state, revisions
# exact, at least and in the future, bookmarks, initial events, selectors that
# objects come to match and cease to, and the same over WebSocket. No node is
# needed.
. "${srcdir:-.}/t/lib.sh"
test_needs curl jq python3

cm=/api/v1/namespaces/default/configmaps
json="Content-Type: application/json"

test_expect_success 'start the server' '
	start_server --disable-agent --token geheim &&
	wait_for "test 200 = \$(api_code /api/v1/namespaces/default)"
'

put() # NAME LABEL VALUE
{
	test_equal 201 "$(api_code -X POST -H "$json" \
		-d "{\"metadata\":{\"name\":\"$1\",\"labels\":{\"l\":\"$2\"}},\"data\":{\"k\":\"$3\"}}" $cm)"
}

relabel() # NAME LABEL
{
	test_equal 200 "$(api_code -X PATCH -H "Content-Type: application/merge-patch+json" \
		-d "{\"metadata\":{\"labels\":{\"l\":\"$2\"}}}" $cm/$1)"
}

# fails CODE PATTERN [CURL OPTION...] PATH
fails()
{
	code=$1 pattern=$2
	shift 2
	test_equal "$code" "$(api_code "$@")" || { cat answer; return 1; }
	test_grep "$pattern" answer
}

test_expect_success 'pages are of one state, whatever happens between them' '
	for i in 1 2 3 4 5 6 7; do put page-$i a $i || return 1; done &&
	api "$cm?limit=3&fieldSelector=metadata.name!=kube-root-ca.crt" >first &&
	test_equal null "$(jq .metadata.remainingItemCount first)" &&
	api "$cm?limit=3&labelSelector=l" >first &&
	test_equal "page-1 page-2 page-3" "$(jq -r ".items|map(.metadata.name)|join(\" \")" first)" &&
	test_equal 204 "$(api_code -X DELETE $cm/page-4 | sed s/200/204/)" &&
	put page-45 a new &&
	api "$cm?limit=3&labelSelector=l&continue=$(jq -r .metadata.continue first)" >second &&
	test_equal "page-4 page-5 page-6" "$(jq -r ".items|map(.metadata.name)|join(\" \")" second)" &&
	test_equal "$(jq .metadata.resourceVersion first)" "$(jq .metadata.resourceVersion second)" &&
	api "$cm?limit=3&labelSelector=l&continue=$(jq -r .metadata.continue second)" >third &&
	test_equal "page-7 null" "$(jq -r "(.items|map(.metadata.name)|join(\" \")) + \" \" + (.metadata.continue|tostring)" third)" &&
	api "/api/v1/configmaps?limit=1" >got &&
	test_equal "$(($(api /api/v1/configmaps | jq ".items|length") - 1))" "$(jq .metadata.remainingItemCount got)"
'

test_expect_success 'tokens that are none, and what does not go together' '
	fails 400 "invalid continue token: continue key is not valid" "$cm?limit=1&continue=nonsense" &&
	fails 400 "invalid continue token" "$cm?limit=1&continue=eyJ2IjoiIn0" &&
	fails 400 "specifying resource version is not allowed when using continue" \
		"$cm?limit=1&resourceVersion=5&continue=$(jq -r .metadata.continue first)" &&
	fails 422 "resourceVersionMatch is forbidden unless resourceVersion is provided" "$cm?resourceVersionMatch=Exact" &&
	fails 422 "resourceVersionMatch .*Exact.* is forbidden for resourceVersion .*0" "$cm?resourceVersionMatch=Exact&resourceVersion=0" &&
	fails 422 "supported values: .*Exact.*NotOlderThan" "$cm?resourceVersionMatch=Newest&resourceVersion=1" &&
	fails 422 "sendInitialEvents is forbidden for list" "$cm?sendInitialEvents=true" &&
	fails 422 "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided" "$cm?watch=1&resourceVersion=1&resourceVersionMatch=Exact" &&
	fails 422 "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan" "$cm?watch=1&sendInitialEvents=true"
'

test_expect_success 'revisions: exactly, at least, and not yet' '
	rv=$(api $cm/page-1 | jq -r .metadata.resourceVersion) &&
	relabel page-1 b && relabel page-1 c &&
	api "$cm?resourceVersion=$rv&resourceVersionMatch=Exact&labelSelector=l=a&fieldSelector=metadata.name=page-1" >got &&
	test_equal "1 \"$rv\"" "$(jq -c ".items|length" got) $(jq .metadata.resourceVersion got)" &&
	api "$cm?resourceVersion=$rv&limit=50" >got &&
	test_equal "$rv" "$(jq -r .metadata.resourceVersion got)" &&
	for query in "resourceVersion=$rv" "resourceVersion=$rv&resourceVersionMatch=NotOlderThan" resourceVersion=0 "resourceVersion=0&limit=50"; do
		api "$cm?$query" >got &&
		test_equal c "$(jq -r ".items[]|select(.metadata.name==\"page-1\").metadata.labels.l" got)" || return 1
	done &&
	api "$cm/page-1?resourceVersion=0" >got && test_equal c "$(jq -r .metadata.labels.l got)" &&
	for path in "$cm?resourceVersion=99999999" "$cm/page-1?resourceVersion=99999999" "$cm?resourceVersion=99999999&resourceVersionMatch=Exact"; do
		fails 504 "Too large resource version: 99999999, current: [0-9]*" "$path" &&
		test_equal "Timeout ResourceVersionTooLarge 1" \
			"$(jq -r "[.reason,.details.causes[0].reason,(.details.retryAfterSeconds|tostring)]|join(\" \")" answer)" || return 1
	done &&
	fails 422 "strconv.ParseUint" "$cm?resourceVersion=abc"
'

# What a watch of PATH says in two seconds, a line each.
watch()
{
	api "$1" >watched
}

test_expect_success 'a watch sees what begins and ceases to match a selector' '
	rv=$(api $cm | jq -r .metadata.resourceVersion) &&
	put turn a 1 && relabel turn b && relabel turn c && relabel turn a &&
	test_equal 200 "$(api_code -X DELETE $cm/turn)" &&
	watch "$cm?watch=1&labelSelector=l=b&resourceVersion=$rv&timeoutSeconds=1" &&
	test_equal "ADDED b DELETED b" "$(jq -r "[.type,.object.metadata.labels.l]|join(\" \")" watched | paste -sd" ")" &&
	watch "$cm?watch=1&labelSelector=l=a&resourceVersion=$rv&timeoutSeconds=1" &&
	test_equal "ADDED DELETED ADDED DELETED" "$(jq -r .type watched | paste -sd" ")" &&
	watch "$cm?watch=1&fieldSelector=metadata.name=turn&resourceVersion=$rv&timeoutSeconds=1" &&
	test_equal "ADDED MODIFIED MODIFIED MODIFIED DELETED" "$(jq -r .type watched | paste -sd" ")" &&
	cp watched one &&
	for path in "/api/v1/watch/namespaces/default/configmaps/turn?" "$cm/turn?watch=true&"; do
		watch "${path}resourceVersion=$rv&timeoutSeconds=1" && test_cmp one watched || return 1
	done
'

test_expect_success 'initial events, and the bookmark that ends them, in every form' '
	options="watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1&labelSelector=l" &&
	watch "$cm?$options" &&
	test_equal ADDED "$(jq -r .type watched | head -1)" &&
	test_equal "BOOKMARK ConfigMap true" "$(jq -r "select(.type==\"BOOKMARK\")|[.type,.object.kind,.object.metadata.annotations[\"k8s.io/initial-events-end\"]]|join(\" \")" watched | head -1)" &&
	test_equal "$(jq -r "select(.type==\"ADDED\").type" watched | wc -l)" "$(api "$cm?labelSelector=l" | jq ".items|length")" &&
	for version in v1 v1beta1; do
		api -H "Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=$version" "$cm?$options" >watched &&
		test_equal "meta.k8s.io/$version" "$(jq -r .object.apiVersion watched | sort -u)" &&
		test_equal true "$(jq -r "select(.type==\"BOOKMARK\").object.metadata.annotations[\"k8s.io/initial-events-end\"]" watched)" &&
		api -H "Accept: application/json;as=Table;g=meta.k8s.io;v=$version" "$cm?$options" >watched &&
		test_equal "meta.k8s.io/$version" "$(jq -r .object.apiVersion watched | sort -u)" &&
		test_equal true "$(jq -r "select(.type==\"BOOKMARK\").object.rows[0].object.metadata.annotations[\"k8s.io/initial-events-end\"]" watched)" &&
		test_equal 1 "$(jq -c "select(.object.columnDefinitions|type==\"array\" and length>0)" watched | wc -l)" || return 1
	done &&
	rv=$(api $cm | jq -r .metadata.resourceVersion) &&
	watch "$cm?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&timeoutSeconds=1&resourceVersion=$rv" &&
	test ! -s watched
'

test_expect_success 'a bookmark at the end tells how far the watch was' '
	rv=$(api $cm | jq -r .metadata.resourceVersion) &&
	{ api "$cm?watch=1&labelSelector=l=none&allowWatchBookmarks=true&timeoutSeconds=2&resourceVersion=$rv" >watched & } &&
	watcher=$! &&
	put other a 1 &&
	wait $watcher &&
	test_equal BOOKMARK "$(jq -r .type watched)" &&
	test "$(jq -r .object.metadata.resourceVersion watched)" -gt "$rv"
'

test_expect_success 'history ends with the server; an expired token says how to go on' '
	restart_server &&
	wait_for "test 200 = \$(api_code $cm)" &&
	fails 410 "The resourceVersion for the provided list is too old" "$cm?resourceVersion=2&resourceVersionMatch=Exact" &&
	test_equal Expired "$(jq -r .reason answer)" &&
	api "$cm?limit=2&labelSelector=l" >first &&
	start=$(jq -r .metadata.continue first | tr _- /+ | base64 -d 2>/dev/null | jq -r .start) &&
	token=$(printf "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"%s\"}" "$start" | base64 -w0 | tr /+ _- | tr -d =) &&
	fails 410 "The provided continue parameter is too old" "$cm?limit=2&labelSelector=l&continue=$token" &&
	test_equal Expired "$(jq -r .reason answer)" &&
	token=$(jq -r .metadata.continue answer) &&
	api "$cm?limit=2&labelSelector=l&continue=$token" >second &&
	test_equal "page-2 page-3" "$(jq -r ".items|map(.metadata.name)|join(\" \")" second)"
'

test_expect_success 'a revision that is gone is an ERROR in the stream' '
	watch "$cm?watch=1&resourceVersion=1&timeoutSeconds=1" &&
	test_equal "ERROR Status 410 Expired" "$(jq -r "[.type,.object.kind,(.object.code|tostring),.object.reason]|join(\" \")" watched)"
'

cat >ws.py <<'EOF'
import base64, json, os, ssl, socket, struct, sys
path, data, protocols = sys.argv[1], sys.argv[2], sys.argv[3:]
c = ssl.create_default_context(cafile=data + "/server/tls/ca.crt")
c.load_cert_chain(data + "/server/tls/admin.crt", data + "/server/tls/admin.key")
s = c.wrap_socket(socket.create_connection(("127.0.0.1", 6443), 10), server_hostname="127.0.0.1")
head = "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://x\r\nSec-WebSocket-Version: 13\r\n" % path
head += "Sec-WebSocket-Key: %s\r\n" % base64.b64encode(os.urandom(16)).decode()
for p in protocols:
    head += "Sec-WebSocket-Protocol: %s\r\n" % p
s.sendall((head + "\r\n").encode())
f = s.makefile("rb")
print(f.readline().decode().strip())
while True:
    line = f.readline().decode().strip()
    if not line:
        break
    if line.lower().startswith("sec-websocket-protocol"):
        print(line)
s.sendall(b"\x89\x82\0\0\0\0hi")  # a ping
while True:
    h = f.read(2)
    if len(h) < 2:
        break
    n = h[1] & 127
    if n == 126:
        n = struct.unpack(">H", f.read(2))[0]
    elif n == 127:
        n = struct.unpack(">Q", f.read(8))[0]
    body = f.read(n)
    op = h[0] & 15
    if op == 1:
        e = json.loads(body)
        print(e["type"], e["object"]["metadata"].get("name", e["object"].get("code", "-")))
    elif op == 8:
        print("close", struct.unpack(">H", body[:2])[0])
        break
    elif op == 10:
        print("pong", body.decode())
EOF

test_expect_success 'a watch over WebSocket' '
	timeout 20 python3 ws.py "$cm?watch=1&labelSelector=l=a&fieldSelector=metadata.name!=other&timeoutSeconds=1" "$DATA" >got &&
	grep -v pong got >events &&
	printf "HTTP/1.1 101 Switching Protocols\nADDED page-2\nADDED page-3\nADDED page-45\nADDED page-5\nADDED page-6\nADDED page-7\nclose 1000\n" >want &&
	test_cmp want events &&
	test_grep "^pong hi$" got &&
	timeout 20 python3 ws.py "$cm?watch=1&fieldSelector=metadata.name=other&timeoutSeconds=1" "$DATA" "base64url.bearer.authorization.k8s.io.Z2VoZWlt, v1.watch" >got &&
	test_grep "^Sec-WebSocket-Protocol: v1.watch" got &&
	timeout 20 python3 ws.py "$cm?watch=1&resourceVersion=1" "$DATA" >got &&
	test_grep "^ERROR 410" got &&
	timeout 20 python3 ws.py "$cm?watch=1&fieldSelector=spec.x=1" "$DATA" >got &&
	test_grep "^HTTP/1.1 400" got &&
	test_equal 400 "$(api_code -H "Connection: Upgrade" -H "Upgrade: websocket" "$cm?watch=1")" &&
	server_lives
'

cat >big.py <<'EOF'
import socket, ssl
s = ssl._create_unverified_context().wrap_socket(socket.create_connection(("127.0.0.1", 6443), 10))
try:
    s.sendall(b"GET /api/v1/pods?labelSelector=a+in+(" + b"x" * 1000000 + b") HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer geheim\r\n\r\n")
except OSError:
    pass
print(s.recv(100).decode().split("\r\n")[0])
EOF

test_expect_success 'selectors: their errors, and one of a megabyte' '
	fails 400 "is not a known field selector: only .*metadata.name.*, .*metadata.namespace" "$cm?fieldSelector=data.k=1" &&
	fails 400 "field label not supported: spec.foo" "/api/v1/pods?fieldSelector=spec.foo=1" &&
	fails 400 "unable to parse requirement\|invalid selector\|couldn" "$cm?labelSelector=a+in" &&
	api "$cm?labelSelector=l+in+(a,b),l+notin+(b)&fieldSelector=metadata.name=page-2" >got &&
	test_equal 1 "$(jq ".items|length" got)" &&
	from=$(now_ms) &&
	timeout 10 python3 big.py >code &&
	test $(($(now_ms) - from)) -lt $((5000 * TEST_SLOW)) &&
	test_grep "^HTTP/1.1 4[0-9][0-9] " code &&
	server_lives
'

test_expect_success 'deletecollection: selectors, pages, dry run, preconditions' '
	for i in 1 2 3 4 5; do put del-$i del $i || return 1; done &&
	test_equal 200 "$(api_code -X DELETE "$cm?labelSelector=l=del&dryRun=All")" &&
	test_equal 5 "$(jq ".items|length" answer)" &&
	test_equal 5 "$(api "$cm?labelSelector=l=del" | jq ".items|length")" &&
	test_equal 200 "$(api_code -X DELETE "$cm?labelSelector=l=del&limit=2")" &&
	test_equal "del-1 del-2" "$(jq -r ".items|map(.metadata.name)|join(\" \")" answer)" &&
	test_equal "del-3 del-4 del-5" "$(api "$cm?labelSelector=l=del" | jq -r ".items|map(.metadata.name)|join(\" \")")" &&
	fails 409 "the UID in the precondition" -X DELETE -H "$json" -d "{\"preconditions\":{\"uid\":\"x\"}}" "$cm?labelSelector=l=del" &&
	test_equal 200 "$(api_code -X DELETE "$cm?fieldSelector=metadata.name=del-4")" &&
	test_equal 200 "$(api_code -X DELETE -H "$json" -d "{\"propagationPolicy\":\"Orphan\"}" "$cm?labelSelector=l=del&fieldSelector=metadata.name=del-5")" &&
	fails 422 "propagationPolicy" -X DELETE -H "$json" -d "{\"propagationPolicy\":\"Sideways\"}" "$cm?labelSelector=l=del" &&
	test_equal del-3 "$(api "$cm?labelSelector=l=del" | jq -r ".items|map(select(.metadata.deletionTimestamp==null).metadata.name)|join(\" \")")"
'

test_done
