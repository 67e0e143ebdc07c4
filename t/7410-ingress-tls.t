#!/bin/sh
# TLS of the ingress: certificates of Secrets by name, replaced while it runs; one
# that does not fit its key changes nothing and is told; redirects are asked for.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-ingress.sh"
test_needs kubectl curl python3 openssl

# cert FILE CN [rsa]: FILE.crt, FILE.key
cert()
{
	if [ "$3" = rsa ]; then
		openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.crt" -days 10 -subj "/CN=$2" -addext "subjectAltName=DNS:$2"
	else
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" -days 10 \
			-subj "/CN=$2" -addext "subjectAltName=DNS:$2"
	fi 2>/dev/null
}

secret() # NAME CRT KEY
{
	kubectl create secret generic "$1" --type=kubernetes.io/tls --from-file="tls.crt=$2" --from-file="tls.key=$3" \
		--dry-run=client -o yaml | kubectl apply -f -
}

shown() # NAME [OPTION...]: the subject that is shown to who asks for NAME
{
	shown_name=$1 && shift &&
	openssl s_client -connect 127.0.0.1:443 -servername "$shown_name" "$@" </dev/null 2>/dev/null |
		openssl x509 -noout -subject 2>/dev/null | sed "s/.*CN *= *//"
}

test_expect_success 'an Ingress with TLS, as in the book' '
	backends_up &&
	start_server &&
	service kubia-nodeport 192.0.2.11 && service a 192.0.2.12 &&
	cert one kubia.example.com && cert two kubia.example.com rsa && cert star "*.wild.org" && cert new renewed.example.com &&
	kubectl create secret tls tls-secret --cert=one.crt --key=one.key &&
	kubectl apply -f "$srcdir/t/book/ingress-tls.yaml" &&
	wait_for "test \"\$(shown kubia.example.com)\" = kubia.example.com" &&
	test_equal "192.0.2.11 /x" "$(get --cacert one.crt https://kubia.example.com/x)" &&
	test_equal "192.0.2.11 /x" "$(get http://kubia.example.com/x)" &&
	wait_for "kubectl get ingress kubia --no-headers | grep -q \" 192.0.2.1 *80, 443 \"" &&
	get --cacert one.crt https://kubia.example.com/headers >got &&
	test_grep "^X-Forwarded-Proto: https$" got &&
	test_grep "^X-Forwarded-Port: 443$" got
'

test_expect_success 'who asks for another name, or none, sees our own certificate' '
	test_equal "kinglet ingress default certificate" "$(shown nobody.example.com)" &&
	test_equal "kinglet ingress default certificate" "$(openssl s_client -connect 127.0.0.1:443 -noservername </dev/null 2>/dev/null |
		openssl x509 -noout -subject | sed "s/.*CN *= *//")"
'

test_expect_success 'a wildcard, in capitals too; an RSA key' '
	secret star star.crt star.key &&
	kubectl apply -f - <<-EOC &&
	apiVersion: networking.k8s.io/v1
	kind: Ingress
	metadata: {name: wild}
	spec:
	  tls: [{hosts: ["*.wild.org"], secretName: star}]
	  rules:
	  - host: "*.wild.org"
	    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}
	EOC
	wait_for "test \"\$(shown a.wild.org)\" = \"*.wild.org\"" &&
	test_equal "*.wild.org" "$(shown A.WILD.ORG)" &&
	test_equal "192.0.2.12 /" "$(get --cacert star.crt https://b.wild.org/)" &&
	test_equal "kinglet ingress default certificate" "$(shown a.b.wild.org)" &&
	secret tls-secret two.crt two.key &&
	wait_for "get --cacert two.crt https://kubia.example.com/"
'

test_expect_success 'a Secret that changes is in force for the next connection; those that are open go on' '
	{ python3 -c "
import socket, ssl, sys
c = ssl._create_unverified_context()
s = c.wrap_socket(socket.create_connection((\"127.0.0.1\", 443)), server_hostname=\"kubia.example.com\")
f = s.makefile(\"rb\")
def ask():
	s.sendall(b\"GET /x HTTP/1.1\\r\\nHost: kubia.example.com\\r\\n\\r\\n\")
	status, length = f.readline(), 0
	for line in iter(f.readline, b\"\\r\\n\"):
		if line.lower().startswith(b\"content-length:\"):
			length = int(line[15:])
	return b\" 200 OK\" in status and len(f.read(length)) == length
assert ask()
open(\"ready\", \"w\").close()
import os, time
while not os.path.exists(\"changed\"): time.sleep(0.05)
assert ask()
" & holder=$!; } &&
	wait_for "test -e ready" &&
	secret tls-secret new.crt new.key &&
	wait_for "test \"\$(shown kubia.example.com)\" = renewed.example.com" &&
	touch changed &&
	wait $holder
'

test_expect_success 'a certificate that does not fit its key: the former stays, and the Ingress is told' '
	secret tls-secret one.crt two.key &&
	wait_for "kubectl get events --field-selector involvedObject.name=kubia | grep InvalidCertificate" &&
	test_equal renewed.example.com "$(shown kubia.example.com)" &&
	echo garbage >bad && secret tls-secret bad bad &&
	wait_for "test \"\$(kubectl get events --field-selector involvedObject.name=kubia | grep -c InvalidCertificate)\" = 2" &&
	test_equal renewed.example.com "$(shown kubia.example.com)" &&
	secret tls-secret one.crt one.key &&
	wait_for "test \"\$(shown kubia.example.com)\" = kubia.example.com" &&
	kubectl delete secret tls-secret &&
	wait_for "test \"\$(shown kubia.example.com)\" = \"kinglet ingress default certificate\"" &&
	wait_for "kubectl get events --field-selector involvedObject.name=kubia | grep SecretNotFound" &&
	secret tls-secret one.crt one.key &&
	wait_for "test \"\$(shown kubia.example.com)\" = kubia.example.com"
'

test_expect_success 'TLS 1.2 and up, HTTP/1.1 by ALPN, sessions that go on' '
	test_equal kubia.example.com "$(shown kubia.example.com -tls1_2)" &&
	test_equal "" "$(shown kubia.example.com -tls1_1)" &&
	openssl s_client -connect 127.0.0.1:443 -servername kubia.example.com -alpn h2,http/1.1 </dev/null >got 2>&1 &&
	test_grep "ALPN protocol: http/1.1" got &&
	openssl s_client -connect 127.0.0.1:443 -servername kubia.example.com -tls1_2 -sess_out sess </dev/null >got 2>&1 &&
	openssl s_client -connect 127.0.0.1:443 -servername kubia.example.com -tls1_2 -sess_in sess </dev/null >got 2>&1 &&
	test_grep "^Reused, TLSv1.2" got
'

test_expect_success 'a redirect to HTTPS only when it is asked for' '
	kubectl annotate ingress kubia nginx.ingress.kubernetes.io/ssl-redirect=true &&
	wait_for "test \"\$(status http://kubia.example.com/a?b)\" = 308" &&
	test_equal "https://kubia.example.com/a?b" "$(curl -sS -o /dev/null -w "%{redirect_url}" --connect-to ::127.0.0.1: "http://kubia.example.com/a?b")" &&
	test_equal 200 "$(status -k https://kubia.example.com/)" &&
	kubectl annotate ingress kubia nginx.ingress.kubernetes.io/ssl-redirect- &&
	wait_for "test \"\$(status http://kubia.example.com/a)\" = 200"
'

test_expect_success 'endpoints that speak TLS; those that hardly do not harm' '
	{ printf "GET / HTTP/1.1\r\nHost: x\r\n\r\n" | timeout 5 nc 127.0.0.1 443 >got || :; } &&
	{ head -c 100000 /dev/urandom | timeout 5 nc 127.0.0.1 443 >/dev/null || :; } &&
	kubectl apply -f - <<-EOC &&
	apiVersion: v1
	kind: Service
	metadata: {name: secure}
	spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
	EOC
	slice secure "{addresses: [192.0.2.99]}" &&
	{ openssl s_server -accept 192.0.2.99:8080 -cert one.crt -key one.key -www -quiet >/dev/null 2>&1 & holder=$!; } &&
	kubectl apply -f - <<-EOC &&
	apiVersion: networking.k8s.io/v1
	kind: Ingress
	metadata: {name: secure, annotations: {nginx.ingress.kubernetes.io/backend-protocol: HTTPS}}
	spec: {defaultBackend: {service: {name: secure, port: {number: 80}}}}
	EOC
	wait_for "get http://secure.org/ | grep -q Ciphers" &&
	get http://secure.org/ | grep Ciphers &&
	kill $holder &&
	test_equal 200 "$(status -k https://kubia.example.com/)"
'

backends_down
test_done
