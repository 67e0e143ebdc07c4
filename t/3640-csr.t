#!/bin/sh
# Certificate requests: kubectl certificate approve and deny, what the built-in
# signers insist on, kubelets' own requests, and the certificates that come of it.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl openssl

# request NAME SUBJECT SIGNER "USAGES" [EXTENSION] [EXPIRATION]
request()
{
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" \
		${5:+-addext "$5"} 2>/dev/null &&
	{
		printf "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata:\n  name: %s\nspec:\n" "$1"
		printf "  signerName: %s\n  usages: [%s]\n  request: %s\n" "$3" "$4" "$(base64 -w0 <"$1.csr")"
		[ -z "$6" ] || printf "  expirationSeconds: %s\n" "$6"
	} >"$1.yaml"
}

create() # NAME [KUBECTL-OPTION...]
{
	name=$1 && shift && kubectl create "$@" -f "$name.yaml"
}

signed() # NAME: its certificate, in NAME.crt
{
	wait_for "kubectl get csr $1 -o jsonpath={.status.certificate} | grep ." >"$1.b64" &&
	base64 -d <"$1.b64" >"$1.crt"
}

failed() # NAME MESSAGE
{
	wait_for "kubectl get csr $1 -o yaml | grep SignerValidationFailure" &&
	test_equal "$2" "$(kubectl get csr "$1" -o jsonpath='{.status.conditions[?(@.type=="Failed")].message}')" &&
	test_equal "" "$(kubectl get csr "$1" -o jsonpath='{.status.certificate}')"
}

CLIENT=kubernetes.io/kube-apiserver-client
KUBELET=kubernetes.io/kube-apiserver-client-kubelet
SERVING=kubernetes.io/kubelet-serving

test_expect_success 'start the server' '
	start_server --disable-agent
'

test_expect_success 'a request waits, is approved, and is signed' '
	request jane "/O=devs/CN=jane" $CLIENT "digital signature, key encipherment, client auth" &&
	create jane &&
	kubectl get csr jane >got && test_grep "jane.*kube-apiserver-client  *.*Pending" got &&
	kubectl certificate approve jane &&
	signed jane &&
	kubectl get csr jane >got && test_grep "Approved,Issued" got &&
	openssl verify -CAfile "$DATA/server/tls/ca.crt" jane.crt &&
	openssl x509 -in jane.crt -noout -subject -ext keyUsage,extendedKeyUsage,basicConstraints >got &&
	test_grep "O *= *devs, *CN *= *jane" got && test_grep "Digital Signature, Key Encipherment" got &&
	test_grep "TLS Web Client Authentication" got && test_must_fail grep "Server Authentication" got && test_grep "CA:FALSE" got &&
	openssl x509 -in jane.crt -noout -checkend $((364 * 86400)) && test_must_fail openssl x509 -in jane.crt -noout -checkend $((366 * 86400))
'

test_expect_success 'its owner is who it says' '
	kubectl config view --raw -o jsonpath="{.clusters[0].cluster.server}" >url &&
	kubectl --kubeconfig /dev/null --server "$(cat url)" --certificate-authority "$DATA/server/tls/ca.crt" \
		--client-certificate jane.crt --client-key jane.key auth whoami -o jsonpath="{.status.userInfo.username} {.status.userInfo.groups}" >got &&
	test_grep "jane.*devs" got
'

test_expect_success 'a denied request is never signed' '
	request john "/CN=john" $CLIENT "client auth" && create john &&
	kubectl certificate deny john && kubectl get csr john >got && test_grep Denied got &&
	request after "/CN=after" $CLIENT "client auth" && create after && kubectl certificate approve after && signed after &&
	test_equal "" "$(kubectl get csr john -o jsonpath="{.status.certificate}")"
'

test_expect_success 'expirationSeconds' '
	request short "/CN=short" $CLIENT "client auth" "" 3600 && create short && kubectl certificate approve short && signed short &&
	openssl x509 -in short.crt -noout -checkend 3500 && test_must_fail openssl x509 -in short.crt -noout -checkend 3700
'

test_expect_success 'client certificates: only usages of clients' '
	request badusage "/CN=x" $CLIENT "server auth, client auth" && create badusage && kubectl certificate approve badusage &&
	failed badusage "invalid usage for client certificate: server auth" &&
	kubectl get csr badusage >got && test_grep "Approved,Failed" got &&
	request nousage "/CN=x" $CLIENT "digital signature" && create nousage && kubectl certificate approve nousage &&
	failed nousage "missing required usage for client certificate: client auth"
'

test_expect_success 'kubelet-serving: names, subject, usages' '
	request s1 "/O=system:nodes/CN=system:node:n1" $SERVING "digital signature, key encipherment, server auth" \
		"subjectAltName=DNS:n1,IP:10.0.0.1" && create s1 && kubectl certificate approve s1 && signed s1 &&
	openssl x509 -in s1.crt -noout -ext subjectAltName >got && test_grep "DNS:n1, IP Address:10.0.0.1" got &&
	request s2 "/O=system:nodes/CN=system:node:n1" $SERVING "digital signature, server auth" && create s2 && kubectl certificate approve s2 &&
	failed s2 "DNS or IP subjectAltName is required" &&
	request s3 "/O=others/CN=system:node:n1" $SERVING "server auth" "subjectAltName=DNS:n1" && create s3 && kubectl certificate approve s3 &&
	failed s3 "subject organization is not system:nodes" &&
	request s4 "/O=system:nodes/CN=n1" $SERVING "digital signature, server auth" "subjectAltName=DNS:n1" && create s4 && kubectl certificate approve s4 &&
	failed s4 "subject common name does not begin with system:node:" &&
	request s5 "/O=system:nodes/CN=system:node:n1" $SERVING "client auth, server auth" "subjectAltName=DNS:n1" && create s5 && kubectl certificate approve s5 &&
	failed s5 "usages did not match [digital signature key encipherment server auth]" &&
	request s6 "/O=system:nodes/CN=system:node:n1" $SERVING "digital signature, server auth" "subjectAltName=DNS:n1,URI:https://x" && create s6 && kubectl certificate approve s6 &&
	failed s6 "URI subjectAltNames are not allowed"
'

test_expect_success 'kube-apiserver-client-kubelet: no names' '
	request k1 "/O=system:nodes/CN=system:node:n1" $KUBELET "digital signature, client auth" && create k1 && kubectl certificate approve k1 && signed k1 &&
	request k2 "/O=system:nodes/CN=system:node:n1" $KUBELET "digital signature, client auth" "subjectAltName=DNS:n1" && create k2 && kubectl certificate approve k2 &&
	failed k2 "DNS subjectAltNames are not allowed" &&
	request k3 "/O=system:nodes/CN=system:node:n1" $KUBELET "digital signature, server auth" && create k3 && kubectl certificate approve k3 &&
	failed k3 "usages did not match [client auth digital signature key encipherment]"
'

test_expect_success 'what other signers sign is left alone' '
	request foreign "/CN=x" example.com/signer "client auth" && create foreign && kubectl certificate approve foreign &&
	request last "/CN=last" $CLIENT "client auth" && create last && kubectl certificate approve last && signed last &&
	test_equal "" "$(kubectl get csr foreign -o jsonpath="{.status.certificate}")" &&
	kubectl get csr foreign >got && test_grep "Approved *\$" got
'

test_expect_success 'a node gets its own client certificate when it may' '
	request node1 "/O=system:nodes/CN=system:node:n1" $KUBELET "digital signature, client auth" &&
	kubectl create clusterrole requests --verb=create,get,list,watch --resource=certificatesigningrequests.certificates.k8s.io &&
	kubectl create clusterrolebinding requests --clusterrole=requests --group=system:nodes &&
	create node1 --as=system:node:n1 --as-group=system:nodes --as-group=system:authenticated &&
	kubectl create clusterrolebinding renew --clusterrole=system:certificates.k8s.io:certificatesigningrequests:selfnodeclient --group=system:nodes &&
	request node2 "/O=system:nodes/CN=system:node:n2" $KUBELET "digital signature, client auth" &&
	create node2 --as=system:node:n2 --as-group=system:nodes --as-group=system:authenticated &&
	signed node2 &&
	test_equal "AutoApproved Auto approving self kubelet client certificate after SubjectAccessReview." \
		"$(kubectl get csr node2 -o jsonpath="{.status.conditions[0].reason} {.status.conditions[0].message}")" &&
	test_equal "" "$(kubectl get csr node1 -o jsonpath="{.status.conditions}")" &&
	request node3 "/O=system:nodes/CN=system:node:n3" $KUBELET "digital signature, client auth" &&
	create node3 --as=system:node:n2 --as-group=system:nodes --as-group=system:authenticated &&
	request node4 "/O=system:nodes/CN=system:node:n4" $KUBELET "digital signature, client auth" &&
	create node4 --as=system:node:n4 --as-group=system:nodes --as-group=system:authenticated && signed node4 &&
	test_equal "" "$(kubectl get csr node3 -o jsonpath="{.status.conditions}")"
'

test_done
