#!/bin/sh
# The book on Ingress: by HTTP to the host's name, and by TLS, which ends at the controller.
. "${srcdir:-.}/t/book/lib.sh"
test_needs openssl
start_book kubia

# kubia.example.com is where the book's reader would put it into /etc/hosts.
site() # CURL-ARGUMENTS
{
	curl -sS --max-time 10 --resolve "kubia.example.com:80:$node" --resolve "kubia.example.com:443:$node" "$@"
}

test_expect_success 'pods, and the Service of the Ingress' '
	create replicationcontroller &&
	have rc/kubia .status.readyReplicas 3 &&
	manifest service-nodeport | sed "s/kubia-service/kubia-nodeport/" | kubectl create -f - &&
	node=$(kubectl get nodes -o "jsonpath={.items[*].status.addresses[?(@.type==\"InternalIP\")].address}")
'

test_expect_success 'kubia.example.com' '
	create ingress 2>err && test_grep "Warning: extensions/v1beta1 Ingress is deprecated" err &&
	wait_for "site http://kubia.example.com/ >got && grep \"You.ve hit kubia-\" got" &&
	wait_for "kubectl get ingress >got && grep \"kubia.*kubia.example.com *$node *80\" got" &&
	wait_for "for i in \$(seq 30); do site http://kubia.example.com/; done | sort -u >got && test_lines 3 got" &&
	test_equal 404 "$(curl -sS -o got -w "%{http_code}" http://$node/)"
'

test_expect_success 'TLS: a key and a certificate in a Secret' '
	openssl genrsa -out tls.key 2048 &&
	openssl req -new -x509 -key tls.key -out tls.cert -days 360 -subj /CN=kubia.example.com &&
	kubectl create secret tls tls-secret --cert=tls.cert --key=tls.key &&
	kubectl delete ingress kubia && create ingress-tls &&
	wait_for "site -k -v https://kubia.example.com/ >got 2>err && grep \"You.ve hit kubia-\" got" &&
	test_grep "subject: CN=kubia.example.com" err &&
	kubectl get ingress >got && test_grep "kubia.example.com.*80, 443" got
'

test_expect_success 'another certificate in the Secret: it is used from then on' '
	openssl req -new -x509 -key tls.key -out tls2.cert -days 360 -subj "/CN=kubia.example.com/O=second" -addext subjectAltName=DNS:kubia.example.com &&
	kubectl create secret tls tls-secret --cert=tls2.cert --key=tls.key --dry-run=client -o yaml | kubectl apply -f - &&
	wait_for "site --cacert tls2.cert https://kubia.example.com/ >got && grep \"You.ve hit kubia-\" got"
'

test_expect_success 'it goes, and nothing answers for the host' '
	kubectl delete ingress kubia &&
	wait_for "test 404 = \"\$(site -o got -w \"%{http_code}\" http://kubia.example.com/)\" || ! site http://kubia.example.com/"
'
end_book
