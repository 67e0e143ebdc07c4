#!/bin/sh
# Ingress: requests from outside find their Service by host and path, straight to
# its endpoints; what annotations set; whose an Ingress is; what is told.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-ingress.sh"
test_needs kubectl curl python3

test_expect_success 'without an Ingress the ports answer 404, as a default backend does' '
	backends_up &&
	start_server &&
	wait_for "test \"\$(status http://127.0.0.1/)\" = 404" &&
	test_equal 404 "$(status -k https://127.0.0.1/)" &&
	test_equal "kinglet kinglet.io/ingress-controller" "$(kubectl get ingressclass \
		-o "jsonpath={.items[*].metadata.name} {.items[*].spec.controller}")"
'

test_expect_success 'the form of the book (extensions/v1beta1) is served' '
	service kubia-nodeport 192.0.2.11 &&
	kubectl create -f "$srcdir/t/book/ingress.yaml" &&
	wait_for "test \"\$(get http://kubia.example.com/)\" = \"192.0.2.11 /\"" &&
	test_equal 404 "$(status http://other.example.com/)" &&
	wait_for "kubectl get ingress kubia --no-headers | grep -q \"kinglet *kubia.example.com *192.0.2.1 *80 \"" &&
	kubectl delete ingress kubia &&
	wait_for "test \"\$(status http://kubia.example.com/)\" = 404"
'

test_expect_success 'hosts and paths: exact before prefix, the longest first, a wildcard is one label' '
	service a 192.0.2.11 && service b 192.0.2.12 && service c 192.0.2.13 &&
	ingress rules "" "
  - host: foo.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}
      - {path: /b, pathType: Prefix, backend: {service: {name: b, port: {name: http}}}}
      - {path: /b/c, pathType: Exact, backend: {service: {name: c, port: {number: 80}}}}
  - host: \"*.foo.com\"
    http:
      paths:
      - {path: /, pathType: ImplementationSpecific, backend: {service: {name: b, port: {number: 80}}}}
  - http:
      paths:
      - {path: /any, pathType: Prefix, backend: {service: {name: c, port: {number: 80}}}}" &&
	wait_for "test \"\$(get http://foo.com/)\" = \"192.0.2.11 /\"" &&
	test_equal "192.0.2.12 /b/x?q=1" "$(get "http://foo.com/b/x?q=1")" &&
	test_equal "192.0.2.11 /bx" "$(get http://foo.com/bx)" &&
	test_equal "192.0.2.13 /b/c" "$(get http://FOO.com./b/c)" &&
	test_equal "192.0.2.12 /b/c/" "$(get http://foo.com/b/c/)" &&
	test_equal "192.0.2.13 /%62//c" "$(get --path-as-is http://foo.com/%62//c)" &&
	test_equal "192.0.2.12 /a/../b" "$(get --path-as-is http://foo.com/a/../b)" &&
	test_equal "192.0.2.11 /b%2Fc" "$(get http://foo.com/b%2Fc)" &&
	test_equal 400 "$(status --path-as-is http://foo.com/../b)" &&
	test_equal "192.0.2.12 /x" "$(get http://bar.foo.com/x)" &&
	test_equal 404 "$(status http://baz.bar.foo.com/x)" &&
	test_equal "192.0.2.13 /any" "$(get http://baz.bar.foo.com/any)" &&
	test_equal "192.0.2.13 /any" "$(get http://127.0.0.1/any)"
'

test_expect_success 'who the client is the endpoint hears from us alone' '
	curl -sS --resolve "foo.com:80:127.0.0.1" -H "X-Forwarded-For: 6.6.6.6" -H "X_Forwarded-Proto: gopher" \
		-H "X-Real-IP: 6.6.6.6" -H "Connection: X-Hop" -H "X-Hop: 1" -H "X-Kept: 1" http://foo.com/headers >got &&
	test_grep "^Host: foo.com$" got &&
	test_grep "^X-Forwarded-For: 127.0.0.1$" got &&
	test_grep "^X-Forwarded-Host: foo.com$" got &&
	test_grep "^X-Forwarded-Proto: http$" got &&
	test_grep "^X-Forwarded-Port: 80$" got &&
	test_grep "^X-Real-IP: 127.0.0.1$" got &&
	test_grep "^X-Kept: 1$" got &&
	! grep -i "6.6.6.6\|gopher\|x-hop" got
'

test_expect_success 'endpoints take turns; one that does not answer is passed over; none is 503' '
	service many 192.0.2.11 192.0.2.12 192.0.2.99 &&
	ingress many "" "
  - host: many.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: many, port: {number: 80}}}}" &&
	wait_for "test \"\$(status http://many.com/)\" = 200" &&
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do get http://many.com/ || return 1; done >got &&
	test_equal 12 "$(wc -l <got)" &&
	test_equal "192.0.2.11 / 192.0.2.12 /" "$(sort -u got | xargs)" &&
	service many 192.0.2.12 &&
	wait_for "test \"\$(get http://many.com/; get http://many.com/)\" = \"192.0.2.12 /
192.0.2.12 /\"" &&
	service many 192.0.2.99 &&
	wait_for "test \"\$(status http://many.com/)\" = 502" &&
	service many &&
	wait_for "test \"\$(status http://many.com/)\" = 503"
'

test_expect_success 'endpoints that terminate are asked when no other is left' '
	service many 192.0.2.11 &&
	slice many "{addresses: [192.0.2.11], conditions: {ready: false}}" "{addresses: [192.0.2.12], conditions: {ready: false, serving: true, terminating: true}}" &&
	wait_for "test \"\$(get http://many.com/)\" = \"192.0.2.12 /\"" &&
	test_equal "192.0.2.12 /" "$(get http://many.com/)" &&
	slice many "{addresses: [192.0.2.11], conditions: {ready: true}}" "{addresses: [192.0.2.12], conditions: {ready: false, serving: true, terminating: true}}" &&
	wait_for "test \"\$(get http://many.com/)\" = \"192.0.2.11 /\""
'

test_expect_success 'default backend; the same path twice goes to the older Ingress, and the other is told' '
	ingress all "" "" a &&
	wait_for "test \"\$(get http://nobody.org/z)\" = \"192.0.2.11 /z\"" &&
	ingress rival "" "
  - host: foo.com
    http:
      paths:
      - {path: /b/, pathType: Prefix, backend: {service: {name: c, port: {number: 80}}}}
      - {path: /new, pathType: Prefix, backend: {service: {name: c, port: {number: 80}}}}" &&
	wait_for "test \"\$(get http://foo.com/new)\" = \"192.0.2.13 /new\"" &&
	test_equal "192.0.2.12 /b/" "$(get http://foo.com/b/)" &&
	wait_for "kubectl get events --field-selector involvedObject.name=rival | grep PathConflict" &&
	kubectl delete ingress all rival &&
	wait_for "test \"\$(status http://nobody.org/z)\" = 404"
'

test_expect_success 'other classes are left alone; the old annotation and a class of ours count' '
	one()
	{
		ingress "$1" "$2" "
  - host: $1.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}" "" "$3"
	} &&
	one foreign "kubernetes.io/ingress.class: nginx" &&
	one mine "kubernetes.io/ingress.class: kinglet" &&
	one named "" other &&
	wait_for "test \"\$(status http://mine.com/)\" = 200" &&
	test_equal 404 "$(status http://foreign.com/)" &&
	test_equal 404 "$(status http://named.com/)" &&
	kubectl apply -f - <<-EOC &&
	apiVersion: networking.k8s.io/v1
	kind: IngressClass
	metadata: {name: other}
	spec: {controller: kinglet.io/ingress-controller}
	EOC
	wait_for "test \"\$(status http://named.com/)\" = 200" &&
	wait_for "test \"\$(kubectl get ingress named -o jsonpath={.status.loadBalancer.ingress[0].ip})\" = 192.0.2.1" &&
	kubectl delete ingressclass other &&
	wait_for "test \"\$(status http://named.com/)\" = 404" &&
	wait_for "test -z \"\$(kubectl get ingress named -o jsonpath={.status.loadBalancer.ingress[0].ip})\""
'

test_expect_success 'affinity: a cookie names the endpoint, not by its address' '
	service many 192.0.2.11 192.0.2.12 192.0.2.13 &&
	kubectl annotate ingress many nginx.ingress.kubernetes.io/affinity=cookie \
		nginx.ingress.kubernetes.io/session-cookie-max-age=60 nginx.ingress.kubernetes.io/session-cookie-samesite=Lax &&
	wait_for "curl -sSi --resolve many.com:80:127.0.0.1 http://many.com/ | grep -q Set-Cookie" &&
	curl -sSi -c jar --resolve many.com:80:127.0.0.1 http://many.com/ >got &&
	test_grep "^Set-Cookie: INGRESSCOOKIE=[0-9a-f]\{16\}; Path=/; Max-Age=60; SameSite=Lax; HttpOnly" got &&
	one=$(tail -n 1 got) &&
	for i in 1 2 3 4 5; do
		test_equal "$one" "$(curl -sS -b jar --resolve many.com:80:127.0.0.1 http://many.com/)" || return 1
	done &&
	! curl -sSi -b jar --resolve many.com:80:127.0.0.1 http://many.com/ | grep Set-Cookie
'

test_expect_success 'limits and rewriting by annotation; a bad value is told' '
	kubectl annotate --overwrite ingress many nginx.ingress.kubernetes.io/affinity- \
		nginx.ingress.kubernetes.io/proxy-body-size=1k nginx.ingress.kubernetes.io/proxy-read-timeout=soon &&
	head -c 2000 /dev/zero >big &&
	wait_for "test \"\$(status --data-binary @big http://many.com/)\" = 413" &&
	test_equal 413 "$(status -H "Transfer-Encoding: chunked" --data-binary @big http://many.com/)" &&
	test_equal 200 "$(status --data-binary x http://many.com/)" &&
	wait_for "kubectl get events --field-selector involvedObject.name=many | grep \"InvalidAnnotation.*proxy-read-timeout is no number of seconds: soon\"" &&
	kubectl annotate ingress many nginx.ingress.kubernetes.io/whitelist-source-range=10.0.0.0/8 &&
	wait_for "test \"\$(status http://many.com/)\" = 403" &&
	kubectl annotate ingress many nginx.ingress.kubernetes.io/whitelist-source-range- \
		nginx.ingress.kubernetes.io/rewrite-target=/new nginx.ingress.kubernetes.io/app-root=/start &&
	wait_for "test \"\$(get http://many.com/old?q | cut -d\" \" -f2)\" = \"/new?q\"" &&
	test_equal "302 http://many.com/start" "$(curl -sS -o /dev/null -w "%{http_code} %{redirect_url}" --resolve many.com:80:127.0.0.1 http://many.com/)" &&
	kubectl annotate ingress many nginx.ingress.kubernetes.io/limit-rps=1 &&
	wait_for "test \"\$(status http://many.com/x)\" = 503"
'

test_expect_success 'a Service of type ExternalName is asked at the port that is said' '
	kubectl create service externalname out --external-name localhost &&
	kubectl patch service out --type=merge -p "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":8080}]}}" &&
	ingress out "" "
  - host: out.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: out, port: {number: 80}}}}" &&
	wait_for "test \"\$(get http://out.com/)\" = \"127.0.0.1 /\""
'

test_expect_success 'counters and the access log tell of all that' '
	curl -sS http://127.0.0.1:10254/metrics >got &&
	test_grep "kinglet_ingress_requests_total{namespace=\"default\",ingress=\"rules\",class=\"kinglet\",code=\"2xx\"} [0-9]" got &&
	get "http://foo.com/logged?\"x" &&
	stop_server &&
	start_server --ingress-access-log "$PWD/access.log" &&
	wait_for "test \"\$(get http://foo.com/logged)\" = \"192.0.2.11 /logged\"" &&
	wait_for "grep -q \"GET /logged HTTP/1.1\\\" 200 19 .* foo.com default/rules 192.0.2.11:8080 0\" access.log"
'

test_expect_success 'a port that another program has is told, and taken when it is free' '
	stop_server &&
	{ python3 "$srcdir/t/helper/ingress-backend.py" 127.0.0.1:80 & holder=$!; } &&
	wait_for "curl -sS http://127.0.0.1/" &&
	start_server &&
	wait_for "kubectl get events -A | grep IngressPortUnavailable" &&
	test_equal 404 "$(status -k https://127.0.0.1/)" &&
	kill $holder &&
	wait_for "test \"\$(get http://foo.com/)\" = \"192.0.2.11 /\""
'

backends_down
test_done
