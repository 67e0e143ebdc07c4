#!/bin/sh
# Clients that send garbage: each gets its answer, the server lives on, and what
# was stored stays as it was. No node is needed; curl and openssl are the clients.
. "${srcdir:-.}/t/lib.sh"
test_needs curl openssl

cm=/api/v1/namespaces/default/configmaps

test_expect_success 'start the server, store an object' '
	start_server --disable-agent --token geheim &&
	wait_for "test 200 = \$(api_code /api/v1/namespaces/default)" &&
	test_equal 201 "$(api_code -X POST -H "Content-Type: application/json" \
		-d "{\"metadata\":{\"name\":\"keep\"},\"data\":{\"k\":\"v\"}}" $cm)" &&
	api $cm/keep >keep
'

# refuses CODE REASON [CURL OPTION...] PATH: with a Status that says so.
refuses()
{
	code=$1 reason=$2
	shift 2
	test_equal "$code" "$(api_code "$@")" || { cat answer; return 1; }
	test_grep "\"kind\": *\"Status\"" answer >/dev/null &&
	test_grep "\"code\": *$code" answer >/dev/null &&
	test_grep "\"reason\": *\"$reason\"" answer >/dev/null
}

tls()
{
	timeout 15 openssl s_client -quiet -no_ign_eof -connect 127.0.0.1:6443 2>/dev/null
}

unchanged()
{
	server_lives &&
	api $cm/keep >now &&
	test_cmp keep now
}

post()
{
	code=$1 reason=$2 body=$3
	refuses "$code" "$reason" -X POST -H "Content-Type: application/json" --data-binary "$body" $cm
}

test_expect_success 'bodies that are no JSON' '
	for body in "" "{" "nonsense" "[1,2" "\"x\"" "{\"metadata\":" "{\"a\":\"\\u12\"}" "{\"a\":1}}"; do
		post 400 BadRequest "$body" || { echo "body: $body"; return 1; }
	done &&
	printf "{\"metadata\":{\"name\":\"\377\376\"}}" >latin1 &&
	post 400 BadRequest @latin1 &&
	printf "{\"metadata\":{\"name\":\"a\0b\"}}" >zero &&
	post 400 BadRequest @zero &&
	unchanged
'

test_expect_success 'a document that is too deep' '
	awk "BEGIN { printf \"{\\\"data\\\":\"; for (i = 0; i < 20000; i++) printf \"[\" }" >deep &&
	post 400 BadRequest @deep &&
	unchanged
'

test_expect_success 'JSON of the wrong shape' '
	post 400 BadRequest "[]" &&
	post 400 BadRequest "{\"metadata\":{\"name\":17}}" &&
	post 400 BadRequest "{\"metadata\":[]}" &&
	post 400 BadRequest "{\"metadata\":{\"name\":\"x\"},\"data\":{\"k\":{}}}" &&
	post 400 BadRequest "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"}}" &&
	post 422 Invalid "{\"metadata\":{}}" &&
	post 422 Invalid "{\"metadata\":{\"name\":\"-\"}}" &&
	post 400 BadRequest "{\"metadata\":{\"name\":\"x\",\"namespace\":\"other\"}}" &&
	unchanged
'

test_expect_success 'a body over the limit is refused early' '
	head -c 4000000 /dev/zero | tr "\0" a >big &&
	post 413 RequestEntityTooLarge @big &&
	unchanged
'

test_expect_success 'a body larger than it says, and one that stops half-way' '
	{ printf "POST $cm HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer geheim\r\nContent-Type: application/json\r\n" &&
	  printf "Content-Length: 500\r\n\r\n{\"metadata\":{\"name\":\"half\"}}"; } >half &&
	{ { cat half; sleep 0.3; } | tls >got || :; } &&
	test_equal 404 "$(api_code $cm/half)" &&
	unchanged
'

test_expect_success 'a body of a type that nobody understands' '
	refuses 415 UnsupportedMediaType -X POST -H "Content-Type: text/csv" -d a,b $cm &&
	refuses 415 UnsupportedMediaType -X PATCH -H "Content-Type: application/json" -d "{}" $cm/keep &&
	unchanged
'

test_expect_success 'patches that make no sense' '
	refuses 400 BadRequest -X PATCH -H "Content-Type: application/merge-patch+json" -d "{" $cm/keep &&
	refuses 400 BadRequest -X PATCH -H "Content-Type: application/json-patch+json" -d "{}" $cm/keep &&
	test_equal 422 "$(api_code -X PATCH -H "Content-Type: application/json-patch+json" \
		-d "[{\"op\":\"remove\",\"path\":\"/data/none\"}]" $cm/keep)" &&
	test_equal 400 "$(api_code -X PATCH -H "Content-Type: application/merge-patch+json" \
		-d "{\"metadata\":{\"name\":\"renamed\"}}" $cm/keep)" &&
	unchanged
'

test_expect_success 'paths and methods that do not exist' '
	for path in /nonsense /api/v2 /apis/none.example/v1/things /api/v1/things /api/v1/namespaces/default/things; do
		test_equal 404 "$(api_code $path)" || return 1
	done &&
	refuses 404 NotFound $cm/none &&
	refuses 405 MethodNotAllowed -X PUT $cm &&
	for path in /api/v1/../../etc/passwd /api//v1 "/%00" "/%zz" "/api/v1/namespaces/%2e%2e/configmaps/keep"; do
		code=$(api_code --path-as-is "$path") &&
		case $code in 301 | 400 | 404) ;; *) echo "$path: $code"; return 1 ;; esac || return 1
	done &&
	unchanged
'

test_expect_success 'parameters that make no sense' '
	refuses 400 BadRequest "$cm?limit=many" &&
	refuses 400 BadRequest "$cm?labelSelector=((" &&
	refuses 400 BadRequest "$cm?fieldSelector=nothing.here=1" &&
	refuses 400 BadRequest "$cm?continue=garbage" &&
	refuses 422 Invalid "$cm?watch=1&resourceVersion=abc" &&
	unchanged
'

test_expect_success 'nobody without a certificate or token, and nobody with a bad one' '
	curl -sk -o answer -w "%{http_code}" https://127.0.0.1:6443$cm >got &&
	test_equal 403 "$(cat got)" &&
	test_grep "configmaps is forbidden: User .*system:anonymous" answer &&
	test_equal 401 "$(curl -sk -o answer -w "%{http_code}" -H "Authorization: Bearer wrong" \
		https://127.0.0.1:6443$cm)" &&
	test_equal 401 "$(curl -sk -o answer -w "%{http_code}" -H "Authorization: Bearer a.b.c" \
		https://127.0.0.1:6443$cm)" &&
	test_equal 200 "$(curl -sk -o answer -w "%{http_code}" -H "Authorization: Bearer geheim" \
		https://127.0.0.1:6443$cm)" &&
	test_equal 200 "$(curl -sk -o answer -w "%{http_code}" https://127.0.0.1:6443/readyz)" &&
	unchanged
'

# Bytes to the port; as it is refused one way or the other, only the end of the connection counts.
to_port()
{
	timeout 15 bash -c "exec 5<>/dev/tcp/127.0.0.1/6443 && { cat >&5; cat <&5; }"
	[ $? != 124 ] || { echo "the connection stayed open"; return 1; }
}

test_expect_success 'garbage instead of TLS' '
	head -c 100000 /dev/urandom >noise &&
	to_port <noise >answer 2>&1 &&
	printf "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" | to_port >answer 2>&1 &&
	printf "" | timeout 5 bash -c "exec 5<>/dev/tcp/127.0.0.1/6443" &&
	unchanged
'

test_expect_success 'garbage instead of HTTP inside of TLS' '
	for request in "nonsense\r\n\r\n" "GET\r\n\r\n" "GET /readyz HTTP/9.9\r\n\r\n" "\0\0\0\0\r\n\r\n" \
		"GET /readyz HTTP/1.1\r\nContent-Length: -1\r\n\r\n" \
		"GET /readyz HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx" \
		"POST $cm HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"; do
		{ printf "$request"; sleep 0.2; } | tls >answer
		[ $? != 124 ] && ! grep "200 OK" answer || { echo "$request"; cat answer; return 1; }
	done &&
	head -c 300000 /dev/zero | tr "\0" h >header &&
	{ { printf "GET /readyz HTTP/1.1\r\nX: "; cat header; printf "\r\n\r\n"; sleep 0.2; } | tls >answer || :; } &&
	! grep "200 OK" answer &&
	unchanged
'

test_expect_success 'clients that send a byte now and then hold nobody up' '
	for i in 1 2 3 4 5 6 7 8; do
		{ setsid sh -c "for c in G E T \" \" / r e a d; do printf \"\$c\"; sleep 30; done |
			openssl s_client -quiet -no_ign_eof -connect 127.0.0.1:6443" >/dev/null 2>&1 & } &&
		slow="$slow -$!"
	done &&
	test_when_finished "kill -- $slow" &&
	for i in 1 2 3 4 5 6 7 8 9 10; do
		test_equal ok "$(curl -sk --max-time 2 https://127.0.0.1:6443/readyz)" || return 1
	done &&
	unchanged
'

test_expect_success 'hundreds of connections that say nothing' '
	timeout 60 bash -c "
		for i in \$(seq 300); do exec {fd}<>/dev/tcp/127.0.0.1/6443; done
		curl -sk --max-time 5 https://127.0.0.1:6443/readyz
	" >got &&
	test_equal ok "$(cat got)" &&
	unchanged
'

test_expect_success 'a second server on the same data directory is refused, the first one stays' '
	test_must_fail timeout 20 "$KINGLET" server --data-dir "$DATA" --write-kubeconfig other --https-listen-port 7443 \
		--disable-agent 2>err &&
	test_lines 1 err &&
	test_grep "$DATA" err &&
	! test -e other &&
	unchanged
'

test_expect_success 'a port that is taken' '
	test_must_fail timeout 20 "$KINGLET" server --data-dir "$TRASH/second" --write-kubeconfig other \
		--disable-agent 2>err &&
	test_grep "6443.*in use" err &&
	unchanged
'

test_expect_success 'the log says little about all this' '
	test "$(wc -l <"$LOG")" -lt 100 &&
	! grep -a nonsense "$LOG"
'

test_expect_success 'stop; a data directory of a newer version is refused and left alone' '
	stop_server &&
	test-tool sql "$DATA/server/state.db" "UPDATE meta SET value = 99 WHERE name = \"version\"" &&
	test-tool sql "$DATA/server/state.db" "SELECT key, hex(value) FROM kv" "SELECT * FROM meta" >newer &&
	test_must_fail timeout 20 "$KINGLET" server --data-dir "$DATA" --write-kubeconfig other --disable-agent 2>err &&
	test_lines 1 err &&
	test_grep "newer kinglet" err &&
	test-tool sql "$DATA/server/state.db" "SELECT key, hex(value) FROM kv" "SELECT * FROM meta" >after &&
	test_cmp newer after &&
	test-tool sql "$DATA/server/state.db" "UPDATE meta SET value = 1 WHERE name = \"version\""
'

test_expect_success 'what was stored is there' '
	start_server --disable-agent &&
	unchanged &&
	stop_server
'

test_done
