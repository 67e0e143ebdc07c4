#!/bin/sh
# Clients that ask for much and read nothing, requests that try to be two, bodies that are not what they
# seem, and many that want the same object: right answers, bounded memory, nothing lost.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl openssl

maps=/api/v1/namespaces/default/configmaps
json='Content-Type: application/json'

server_rss()
{
	awk '/^VmRSS/ { print $2 }' "/proc/$SERVER_PID/status"
}

# N clients that send what is in FILE and read nothing; they stay until unread_end.
unread() # N FILE
{
	unread_pids=
	for i in $(seq "$1"); do
		{
			cat "$2"
			sleep 60
		} | openssl s_client -quiet -connect 127.0.0.1:6443 -cert "$DATA/server/tls/admin.crt" \
			-key "$DATA/server/tls/admin.key" 2>/dev/null | sleep 60 &
		unread_pids="$unread_pids $!"
	done
}

unread_end()
{
	for p in $(ps -o pid= -C openssl,sleep); do
		[ "$(readlink "/proc/$p/ns/net")" != "$(readlink /proc/self/ns/net)" ] || kill "$p"
	done
}

test_expect_success 'start; forty objects of 100 kB' '
	export ASAN_OPTIONS="$ASAN_OPTIONS:quarantine_size_mb=4" &&
	start_server --disable-agent &&
	head -c 75000 /dev/urandom | base64 -w0 >big &&
	for i in $(seq 40); do
		printf "{\"metadata\":{\"name\":\"big%s\"},\"data\":{\"a\":\"%s\"}}" $i "$(cat big)" >body &&
		test_equal 201 "$(api_code -X POST -H "$json" --data-binary @body $maps)" || return 1
	done
'

test_expect_success 'thirty clients that read neither a list of 4 MB nor the first events of a watch' '
	before=$(server_rss) &&
	printf "GET $maps?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n" >request &&
	unread 15 request &&
	printf "GET $maps HTTP/1.1\r\nHost: x\r\n\r\nGET $maps HTTP/1.1\r\nHost: x\r\n\r\n" >request2 &&
	unread 15 request2 &&
	test_when_finished unread_end &&
	wait_for "api /metrics | grep -q \"^apiserver_longrunning_requests.*WATCH.* 1[5-9]\" || sleep 2" &&
	for i in 1 2 3; do
		printf "{\"data\":{\"b\":\"%s\"}}" $i >patch &&
		test_equal 200 "$(api_code -X PATCH -H "Content-Type: application/merge-patch+json" \
			--data-binary @patch $maps/big$i)" || return 1
	done &&
	after=$(server_rss) &&
	echo "$before kB, then $after kB" &&
	[ $((after - before)) -lt 40000 ] &&
	test_equal 200 "$(api_code /readyz)"
'

test_expect_success 'a watch that began with much goes on with what changes, in order' '
	{ api -N "$maps?watch=1&timeoutSeconds=4" >events & } &&
	watcher=$! &&
	wait_for "[ \"\$(grep -c \"^{.type.:.ADDED\" events)\" -ge 41 ]" &&
	kubectl create configmap late --from-literal=a=b &&
	kubectl delete configmap late &&
	wait $watcher &&
	cut -c1-60 events | grep -o "\"type\":\"[A-Z]*\"" | uniq -c | tr -d "\" " | cut -d: -f2 >order &&
	printf "ADDED\nDELETED\n" >expect &&
	test_cmp expect order &&
	test_equal 42 "$(grep -c "^{.type.:.ADDED" events)"
'

test_expect_success 'a hundred patches of one object at once all count' '
	kubectl create configmap shared &&
	seq 100 | xargs -P 20 -I @@ curl -sS -o /dev/null -w "%{http_code}\n" --cacert "$DATA/server/tls/ca.crt" \
		--cert "$DATA/server/tls/admin.crt" --key "$DATA/server/tls/admin.key" -X PATCH \
		-H "Content-Type: application/merge-patch+json" -d "{\"data\":{\"k@@\":\"v\"}}" \
		"https://127.0.0.1:6443$maps/shared" | sort | uniq -c >codes &&
	test_grep "100 200" codes &&
	test_equal 100 "$(kubectl get configmap shared -o jsonpath="{.data}" | tr , "\n" | grep -c k)"
'

test_expect_success 'of many that create one name one wins; of many deletes as well' '
	for m in POST DELETE; do
		path=$maps/race &&
		{ [ $m = DELETE ] || path=$maps; } &&
		seq 40 | xargs -P 20 -I @@ curl -sS -o /dev/null -w "%{http_code}\n" --cacert "$DATA/server/tls/ca.crt" \
			--cert "$DATA/server/tls/admin.crt" --key "$DATA/server/tls/admin.key" -X $m -H "$json" \
			-d "{\"metadata\":{\"name\":\"race\"}}" "https://127.0.0.1:6443$path" |
			sort | uniq -c | tr -s " " >$m || return 1
	done &&
	printf " 1 201\n 39 409\n" >expect &&
	test_cmp expect POST
'

test_expect_success 'a namespace that is deleted while others create in it ends empty' '
	kubectl create namespace busy &&
	{ for i in $(seq 60); do
		api_code -X POST -H "$json" -d "{\"metadata\":{\"name\":\"o$i\"}}" /api/v1/namespaces/busy/configmaps || break
	done >codes & } &&
	creator=$! &&
	wait_for "[ -s codes ]" &&
	kubectl delete namespace busy --timeout=20s &&
	wait $creator &&
	test_grep 201 codes &&
	test_grep "40[34]" codes &&
	test_equal "" "$(kubectl get configmaps -n busy -o name)"
'

test_expect_success 'what looks like an object is no options of a delete' '
	test_equal 400 "$(api_code -X DELETE -H "$json" -d "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\"}" $maps/shared)" &&
	test_equal 405 "$(api_code -X POST -H "$json" -d "{\"metadata\":{\"name\":\"shared\"}}" $maps/shared)" &&
	test_equal 200 "$(api_code $maps/shared)"
'

test_expect_success 'options that contradict or cannot be' '
	test_equal 422 "$(api_code -X DELETE "$maps/shared?propagationPolicy=Orphan&orphanDependents=true")" &&
	test_equal 422 "$(api_code -X POST -H "$json" -d "{\"metadata\":{\"name\":\"m\"}}" \
		"$maps?fieldManager=$(head -c 200 /dev/zero | tr "\0" a)")" &&
	test_equal 422 "$(api_code -X POST -H "$json" -d "{\"metadata\":{\"name\":\"m\"}}" "$maps?fieldManager=%01")" &&
	test_equal 400 "$(api_code "$maps?continue=%00")" &&
	test_equal 400 "$(api_code "$maps?limit=1%00")"
'

test_expect_success 'tokens that were forged' '
	token=$(kubectl create token default) &&
	head=${token%%.*} rest=${token#*.} &&
	payload=${rest%%.*} &&
	none=$(printf "{\"alg\":\"none\"}" | base64 -w0 | tr -d =) &&
	hs=$(printf "{\"alg\":\"HS256\"}" | base64 -w0 | tr -d =) &&
	openssl ec -in "$DATA/server/tls/service-account.key" -pubout -out pub.pem &&
	mac=$(printf "%s.%s" "$hs" "$payload" | openssl dgst -sha256 -mac HMAC \
		-macopt "hexkey:$(od -An -v -tx1 pub.pem | tr -d " \n")" -binary | base64 -w0 | tr "+/" "-_" | tr -d =) &&
	for t in "$none.$payload." "$none.$payload.${rest#*.}" "$hs.$payload.$mac" "$head.$payload." \
		"$head.$payload.AAAA" "$token.x" "$head.$head.${rest#*.}"; do
		test_equal 401 "$(curl -sk -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $t" \
			https://127.0.0.1:6443/api)" || return 1
	done &&
	test_equal 200 "$(curl -sk -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $token" \
		https://127.0.0.1:6443/api)"
'

test_expect_success 'it stops well, and says nothing of all this' '
	stop_server &&
	test_grep -v -E " [WE] " "$LOG" &&
	! grep -E " [WE] " "$LOG"
'

test_done
