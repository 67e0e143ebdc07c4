#!/bin/sh
# The API's proxy paths to pods, Services and nodes: every method, bodies of any size both ways, WebSockets, links
# and redirects that lead back through the path, who may, what is said when nobody answers; and what clients and
# back ends do who mean no good.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox python3 openssl ip

site=$srcdir/t/helper/site.py
pods=/api/v1/namespaces/default/pods
services=/api/v1/namespaces/default/services

# The sites listen on the node; pods in its network are the way to them.
test_expect_success 'a node, two sites, pods and a Service that lead there' '
	ip link add net0 type veth peer name net1 && ip address add 192.0.2.10/24 dev net0 && ip link set net0 up && ip link set net1 up &&
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=nobody -days 2 -keyout key.pem -out cert.pem &&
	{ "$site" serve 8080 >>site.log 2>&1 & } && site_pid=$! &&
	{ "$site" serve 8443 cert.pem key.pem >tls.log 2>&1 & } && tls_pid=$! &&
	start_server &&
	import_demo && wait_node &&
	kubectl create -f - <<-\EOF &&
	apiVersion: v1
	kind: Pod
	metadata: {name: web, labels: {app: web}}
	spec:
	  hostNetwork: true
	  terminationGracePeriodSeconds: 0
	  containers:
	  - name: first
	    image: localhost/demo:1
	    command: [sleep, "6000"]
	    ports: [{containerPort: 9, protocol: UDP}, {containerPort: 8080, name: http}, {containerPort: 8443, name: https}]
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: plain}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers:
	  - {name: c, image: "localhost/demo:1", command: [sh, -c, "echo from inside >/index.html && exec httpd -f -p 8000 -h /"]}
	---
	apiVersion: v1
	kind: Service
	metadata: {name: web}
	spec:
	  selector: {app: web}
	  ports: [{name: main, port: 80, targetPort: http}, {name: tls, port: 443, targetPort: 8443}]
	---
	apiVersion: v1
	kind: Service
	metadata: {name: single}
	spec: {selector: {app: web}, ports: [{port: 81, targetPort: 8080}]}
	---
	apiVersion: v1
	kind: Service
	metadata: {name: empty}
	spec: {selector: {app: nobody}, ports: [{port: 80}]}
	EOF
	kubectl wait --for=condition=Ready pod/web pod/plain --timeout=30s &&
	test_equal 192.0.2.10 "$(kubectl get pod web -o jsonpath="{.status.podIP}")" &&
	wait_for "kubectl get endpoints web single | grep -c 192.0.2.10 | grep 2" &&
	wait_for "grep ready site.log && grep ready tls.log"
'

test_expect_success 'a pod: by its first TCP port, by number, by name, by TLS without a certificate of ours' '
	for way in web web:8080 web:http http:web: http:web:8080 https:web:8443 https:web:https; do
		test_equal 200 "$(api_code $pods/$way/proxy/some/path?x=1)" &&
		test_grep "^GET /some/path?x=1$" answer || return 1
	done &&
	wait_for "test \"from inside\" = \"\$(kubectl get --raw $pods/plain:8000/proxy/)\""
'

test_expect_success 'a Service: by number or name of its port, to a ready endpoint' '
	for way in web:80 web:main http:web:80 https:web:443 https:web:tls single single:81 http:single:; do
		test_equal 200 "$(api_code $services/$way/proxy/some/path)" &&
		test_grep "^GET /some/path$" answer || return 1
	done
'

test_expect_success 'a node: its kubelet, with and without the port, and another port' '
	test_equal ok "$(kubectl get --raw /api/v1/nodes/n1/proxy/healthz)" &&
	test_equal ok "$(kubectl get --raw /api/v1/nodes/n1:10250/proxy/healthz)" &&
	test_equal 200 "$(api_code /api/v1/nodes/n1:8080/proxy/x)" && test_grep "^GET /x$" answer &&
	test_equal 200 "$(api_code /api/v1/nodes/https:n1:8443/proxy/x)" && test_grep "^GET /x$" answer
'

test_expect_success 'every method, with a body where there may be one' '
	for method in GET POST PUT PATCH DELETE OPTIONS; do
		test_equal 200 "$(api_code -X $method $pods/web/proxy/some/path/with/$method)" &&
		test_grep "^$method /some/path/with/$method$" answer || return 1
	done &&
	for method in POST PUT PATCH DELETE; do
		test_equal "5 $(printf hello | sha256sum | cut -d" " -f1)" \
			"$(api -X $method -d hello $services/web:80/proxy/read)" || return 1
	done &&
	api -I $pods/web/proxy/head/xyz >head && test_grep "^HTTP/1.1 200" head && test_grep "^Content-Length: [1-9]" head &&
	test_equal 405 "$(api_code -X TRACE $pods/web/proxy/x)" &&
	test_equal 405 "$(api_code -X PROPFIND $pods/web/proxy/x)" &&
	for status in 201 204 304 404 418 500 503; do
		test_equal $status "$(api_code "$pods/web/proxy/status?$status")" || return 1
	done
'

test_expect_success 'without the slash at its end: GET and HEAD are sent there, others go to the root' '
	api -i $pods/web/proxy >head && test_grep "^HTTP/1.1 301 Moved Permanently" head &&
	test_grep "^Location: $pods/web/proxy/.\$" head &&
	api -I "$services/web:80/proxy?a=b&c" >head && test_grep "^HTTP/1.1 301" head &&
	test_grep "^Location: $services/web:80/proxy/?a=b&c" head &&
	test_equal 200 "$(api_code -L "$pods/web/proxy?method=GET")" && test_grep "^GET /?method=GET$" answer &&
	for method in DELETE OPTIONS PATCH POST PUT; do
		test_equal 200 "$(api_code -X $method "$pods/web/proxy?method=$method")" &&
		test_grep "^$method /?method=$method$" answer || return 1
	done
'

test_expect_success 'the path and the query go on as they were sent' '
	for path in "/a%2Fb/c%20d" "//double//slash" "/%E4%BD%A0%E5%A5%BD?q=%2F&q=//" "/a/./b/../c" "/?" "/;x=y,z:(1)!*" "/proxy/proxy" \
		"/100%25?x=%zz" "/%c3%28"; do
		test_equal 200 "$(api_code --path-as-is "$pods/web/proxy$path")" &&
		head -n 1 answer >got && printf "GET %s\n" "$path" >want && test_cmp want got || return 1
	done &&
	printf "GET $pods/web/proxy/\344\275\240?\345 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" >request &&
	"$site" raw request >answer && printf "GET /\344\275\240?\345\n" >want && grep -a "^GET" answer >got && test_cmp want got &&
	test_equal 200 "$(api_code --path-as-is "/api/v1/namespaces/default%2Fpods%2fweb/proxy/x")" &&
	test_equal 200 "$(api_code --path-as-is "$pods/web/proxy%2Fa%2fb")" && test_grep "^GET /a%2fb$" answer
'

test_expect_success 'what the site is told, and not told, of the client' '
	kubectl create clusterrolebinding all --clusterrole=cluster-admin --serviceaccount=default:default &&
	api -H "Authorization: Bearer $(kubectl create token default)" -H "Impersonate-User: admin" -H "Impersonate-Group: system:masters" -H "Cookie: c=d" \
		-H "X-Own: 1" -H "X-Forwarded-For: 1.2.3.4" -H "X-Forwarded-Uri: /lies" -H "X-Forwarded-Host: front" -H "TE: trailers" \
		-H "Keep-Alive: 5" -H "Connection: x-drop" -H "X-Drop: 1" -H "Host: my.example" $pods/web/proxy/a%2Fb?c=d >answer &&
	test_grep "^X-Own: 1" answer && test_grep "^Cookie: c=d" answer && test_grep "^Host: my.example$" answer &&
	test_grep "^X-Forwarded-For: 1.2.3.4, 127.0.0.1$" answer && test_grep "^X-Forwarded-Host: front" answer &&
	test_grep "^X-Forwarded-Uri: $pods/web/proxy/a%2Fb$" answer && test_equal 1 "$(grep -c X-Forwarded-Uri answer)" &&
	kubectl delete clusterrolebinding all &&
	test_must_fail grep -i "^authorization\|bearer\|impersonate\|^te:\|keep-alive\|x-drop\|lies" answer
'

test_expect_success 'links and redirects lead back through the path; CORS headers and those of the hop do not' '
	api "$pods/web/proxy/page" >page &&
	cat >want <<-EOF &&
	<html><head><link rel="stylesheet" href="$pods/web/proxy/style.css"></head><body><a href="$pods/web/proxy/here?a=1&amp;b=2">1</a><a href="there">2</a><a href="http://elsewhere.example/x">3</a><script>"<a href=\\"/no\\">"</script><img src=$pods/web/proxy/bare.png></body></html>
	EOF
	test_cmp want page &&
	api -I "$services/https:web:tls/proxy/moved?/to/there?x=y" >head &&
	test_grep "^Location: $services/https:web:tls/proxy/to/there?x=y.\$" head &&
	api -I "$pods/web/proxy/moved?http://elsewhere.example/" >head && test_grep "^Location: http://elsewhere.example/.\$" head &&
	api -I "$pods/web/proxy/moved?relative" >head && test_grep "^Location: relative.\$" head &&
	api -I "$pods/web/proxy/moved?http://192.0.2.10:8080/abs" >head && test_grep "^Location: $pods/web/proxy/abs.\$" head &&
	test_must_fail grep -i "access-control" head &&
	api -i "$pods/web/proxy/cors" >head && test_grep "^Set-Cookie: a=b" head && test_grep "^X-End: 2" head &&
	test_must_fail grep -i "access-control\|x-hop" head && test_equal 1 "$(grep -ci "^date:" head)" &&
	test_equal 200 "$(api_code --path-as-is "/api/v1/namespaces/default/pods/w%65b/proxy/page")" &&
	test_must_fail grep "href=.*href=.*<b>" answer
'

test_expect_success 'bodies of 64 MB both ways, by length and in chunks, intact; the server does not grow' '
	head -c 67108864 /dev/urandom >big && sum=$(sha256sum <big | cut -d" " -f1) &&
	before=$(awk "/VmRSS/ { print \$2 }" /proc/$SERVER_PID/status) &&
	test_equal "67108864 $sum" "$(api -T big $pods/web/proxy/read)" &&
	test_equal "67108864 $sum" "$(api -T big -H "Transfer-Encoding: chunked" $services/https:web:tls/proxy/read)" &&
	api -X POST -H "Transfer-Encoding: chunked" -H Expect: -T big $pods/web/proxy/back >back && test_cmp big back &&
	after=$(awk "/VmRSS/ { print \$2 }" /proc/$SERVER_PID/status) && echo "RSS $before kB, $after kB" &&
	[ $((after - before)) -lt 6000 ]
'

test_expect_success 'an answer before the body has come, and a client that waits for 100-continue' '
	test_equal 413 "$(api_code -T big -H "Expect: 100-continue" $pods/web/proxy/early)" && test_equal "too much" "$(cat answer)" &&
	test_equal 200 "$(api_code -T cert.pem -H "Expect: 100-continue" $pods/web/proxy/read)" &&
	rm -f big back
'

test_expect_success 'WebSockets: to pods, Services, by TLS; what the site says about the protocol' '
	for way in $pods/web/proxy/ws $services/web:80/proxy/ws $pods/https:web:8443/proxy/ws; do
		"$site" ws "$way" "Sec-WebSocket-Protocol: a, b" >got &&
		test_grep "^HTTP/1.1 101" got && test_grep "^Sec-WebSocket-Protocol: a$" got &&
		test_grep "echo 2 3 True" got && test_grep "echo 2 50000 True" got && test_grep "close 8" got || return 1
	done &&
	"$site" ws $pods/web/proxy/other "X-Own: 2" >got && test_grep "^HTTP/1.1 200" got && test_grep "^X-Own: 2" got &&
	"$site" ws $pods/web:1/proxy/ws >got && test_grep "^HTTP/1.1 503" got && test_grep "connection refused" got
'

test_expect_success 'an upgrade with a body is none: no byte of it is taken for another message' '
	printf "GET $pods/web/proxy/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nContent-Length: 4\r\n\r\nGET " >request &&
	"$site" raw request >answer && test_must_fail grep -a "^HTTP/1.1 101" answer &&
	printf "GET $pods/web/proxy/x HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n" >request &&
	"$site" raw request >answer && test_grep -a "^HTTP/1.1 200" answer && test_must_fail grep -ai "^upgrade\|http2" answer
'

test_expect_success 'nobody is there' '
	test_equal 503 "$(api_code $services/empty/proxy/)" &&
	test_grep "\"message\":\"no endpoints available for service \\\\\"empty\\\\\"\",\"reason\":\"ServiceUnavailable\",\"code\":503" answer &&
	test_equal 503 "$(api_code $services/web/proxy/)" && test_grep "no endpoints available for service \\\\\"web\\\\\"" answer &&
	test_equal 503 "$(api_code $services/web:nope/proxy/)" && test_grep "no endpoints available for service \\\\\"web:nope\\\\\"" answer &&
	test_equal 503 "$(api_code $services/web:82/proxy/)" && test_grep "no service port 82 found for service \\\\\"web\\\\\"" answer &&
	test_equal 503 "$(api_code $pods/web:1/proxy/)" &&
	test_grep "\"message\":\"error trying to reach service: dial tcp 192.0.2.10:1: connect: connection refused\",\"reason\":\"ServiceUnavailable\"" answer &&
	test_equal 503 "$(api_code $pods/https:web:8080/proxy/)" && test_grep "error trying to reach service: " answer &&
	test_equal 503 "$(api_code $pods/web/proxy/nothing)" && test_grep "error trying to reach service: " answer &&
	test_equal 503 "$(api_code $pods/web/proxy/garbage)" &&
	test_equal 404 "$(api_code $pods/nobody/proxy/)" && test_grep "pods \\\\\"nobody\\\\\" not found" answer &&
	test_equal 404 "$(api_code $services/nobody:80/proxy/)" && test_grep "services \\\\\"nobody\\\\\" not found" answer &&
	test_equal 404 "$(api_code /api/v1/nodes/nobody/proxy/)" &&
	test_equal 404 "$(api_code /api/v1/namespaces/nowhere/pods/web/proxy/)"
'

test_expect_success 'names that are none' '
	for name in a:b:c:d ftp:web:80 : :80 ::: https:: ; do
		test_equal 400 "$(api_code $pods/$name/proxy/)" && test_grep "invalid pod request" answer &&
		test_equal 400 "$(api_code $services/$name/proxy/)" && test_grep "invalid service request" answer &&
		test_equal 400 "$(api_code /api/v1/nodes/$name/proxy/)" && test_grep "invalid node request" answer || return 1
	done &&
	for name in web:0 web:65536 web:-1 web:99999999999999999999 web:80x; do
		code=$(api_code $pods/$name/proxy/) && echo "$name $code" && [ "$code" = 503 ] || return 1
	done
'

test_expect_success 'nobody is led where he could not go himself: loopback, link-local, endpoints made up' '
	kubectl get --raw $pods/plain | sed "s/\"podIP\":\"[^\"]*\"/\"podIP\":\"127.0.0.1\"/; s/\"podIPs\":\[[^]]*\]/\"podIPs\":[{\"ip\":\"127.0.0.1\"}]/" >pod.json &&
	for ip in 127.0.0.1 127.9.9.9 169.254.169.254 0.0.0.0 ::1 fe80::1 ::ffff:127.0.0.1; do
		kubectl create -f - <<-EOF || return 1
		apiVersion: v1
		kind: Pod
		metadata: {name: liar}
		spec: {nodeName: elsewhere, containers: [{name: c, image: x}]}
		EOF
		kubectl patch pod liar --subresource=status --type=merge -p "{\"status\":{\"podIP\":\"$ip\",\"podIPs\":[{\"ip\":\"$ip\"}]}}" 2>err || return 1
		code=$(api_code $pods/liar:8080/proxy/) && test_equal 400 "$code" && test_grep "address not allowed" answer || return 1
		kubectl delete pod liar --grace-period=0 --force || return 1
	done &&
	kubectl create -f - <<-\EOF &&
	apiVersion: v1
	kind: Service
	metadata: {name: madeup}
	spec: {ports: [{port: 80, targetPort: 8080}]}
	---
	apiVersion: v1
	kind: Endpoints
	metadata: {name: madeup}
	subsets: [{addresses: [{ip: 192.0.2.10}, {ip: 10.1.1.1, targetRef: {kind: Pod, name: web, namespace: default}}], ports: [{port: 8080}]}]
	EOF
	test_equal 503 "$(api_code $services/madeup/proxy/)" && test_grep "no endpoints available" answer &&
	kubectl create service externalname away --external-name=192.0.2.10 --tcp=8080:8080 &&
	test_equal 503 "$(api_code $services/away:8080/proxy/)"
'

test_expect_success 'who may: the verbs of pods/proxy, services/proxy and nodes/proxy' '
	kubectl create serviceaccount joe && make_user joe "$(kubectl create token joe)" &&
	refused "pods \"web\" is forbidden: User \"system:serviceaccount:default:joe\" cannot get resource \"pods/proxy\" in API group \"\" in the namespace \"default\"" \
		as joe get --raw $pods/web/proxy/ &&
	kubectl create role look --verb=get --resource=pods/proxy,services/proxy &&
	kubectl create rolebinding look --role=look --serviceaccount=default:joe &&
	as joe get --raw $pods/web/proxy/x && as joe get --raw $services/web:80/proxy/x &&
	test_equal "no" "$(as joe auth can-i create pods/proxy)" &&
	token=$(kubectl create token joe) &&
	may() { curl -sS -o answer -w "%{http_code}" --cacert "$DATA/server/tls/ca.crt" -H "Authorization: Bearer $token" "$@"; } &&
	u=https://127.0.0.1:6443$pods/web/proxy/x &&
	test_equal 200 "$(may $u)" && test_equal 200 "$(may -I $u)" &&
	for method in POST PUT PATCH DELETE OPTIONS; do
		test_equal 403 "$(may -X $method $u)" || return 1
	done &&
	kubectl create role change --verb=create,update,patch,delete --resource=pods/proxy &&
	kubectl create rolebinding change --role=change --serviceaccount=default:joe &&
	for method in POST PUT PATCH DELETE; do
		test_equal 200 "$(may -X $method $u)" || return 1
	done &&
	test_equal 403 "$(may -X OPTIONS $u)" &&
	test_equal 403 "$(may https://127.0.0.1:6443/api/v1/nodes/n1/proxy/healthz)" &&
	test_equal 403 "$(curl -sS -o answer -w "%{http_code}" --cacert "$DATA/server/tls/ca.crt" $u)"
'

test_expect_success 'the client goes away: the site sees it; the site dies: the client sees it' '
	: >site.log && { kubectl_bg get --raw $pods/web/proxy/slow >slow & } && client=$! &&
	wait_for "grep line slow" && kill $client && { wait $client || :; } && wait_for "grep \"end /slow\" site.log" &&
	test_must_fail api $pods/web/proxy/die >got && test_equal 40 "$(wc -c <got)" &&
	test_equal yes "$(api $pods/web/proxy/two)" &&
	{ printf "POST $pods/web/proxy/back HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n" >request; } &&
	"$site" raw request >answer && test_grep -a "^HTTP/1.1 400" answer && test_must_fail grep -a "^HTTP/1.1 200" answer
'

test_expect_success 'two messages in one: refused before anybody behind hears of it' '
	: >site.log &&
	for head in "Content-Length: 5\r\nTransfer-Encoding: chunked" "Content-Length: 5\r\nContent-Length: 6" "Transfer-Encoding: xchunked" \
		"Transfer-Encoding : chunked" "Content-Length: 5\n" "X: y\r\n folded" "Content-Length: 0x5"; do
		printf "POST $pods/web/proxy/smuggled HTTP/1.1\r\nHost: x\r\n$head\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n" >request &&
		"$site" raw request >answer && test_grep -a "^HTTP/1.1 [45]0[01] " answer || return 1
	done &&
	test_must_fail grep "asked" site.log
'

test_expect_success 'many at once, while some stall; the server is quick to others' '
	for i in $(seq 30); do
		{ kubectl_bg get --raw $pods/web/proxy/slow >/dev/null 2>&1 & } && echo $! >>stalled
	done &&
	seq 200 | xargs -P 20 -I{} curl -sS --cacert "$DATA/server/tls/ca.crt" --cert "$DATA/server/tls/admin.crt" --key "$DATA/server/tls/admin.key" \
		"https://127.0.0.1:6443$services/web:80/proxy/n{}" >got &&
	test_equal 200 "$(grep -c "^GET /n" got)" &&
	{ xargs kill <stalled; wait $(cat stalled) || :; } && server_lives
'

test_expect_success 'the sites end' '
	kill $site_pid $tls_pid && { wait $site_pid $tls_pid || :; } &&
	killall_pods && ip link del net0
'
test_done
