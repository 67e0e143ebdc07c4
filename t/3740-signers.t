#!/bin/sh
# Who may approve and sign certificate requests depends on the signer, and nobody
# becomes an administrator by one. Also: what a system class and a bound pod get.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl openssl

refused() # TEXT COMMAND...
{
	refused_text=$1
	shift
	test_must_fail "$@" 2>err &&
	test_grep -F "$refused_text" err
}

csr() # NAME SUBJECT SIGNER
{
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj "$2" -out csr.pem 2>/dev/null &&
	printf -- '---\n{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: %s}, spec: {
		signerName: %s, usages: [client auth], request: %s}}\n' "$1" "$3" "$(base64 -w0 csr.pem)"
}

signers() # ROLE VERBS SIGNER: a role for signers, which are no resource that kubectl finds
{
	printf -- '---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: %s}, rules: [
		{apiGroups: [certificates.k8s.io], resources: [signers], verbs: [%s], resourceNames: ["%s"]}]}\n' "$@" |
	kubectl create -f -
}

test_expect_success 'start the server' '
	start_server --disable-agent
'

test_expect_success 'no certificate for system:masters by this way' '
	csr root /O=system:masters/CN=me kubernetes.io/kube-apiserver-client >root &&
	refused "certificatesigningrequests.certificates.k8s.io \"root\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" \
		kubectl create -f root &&
	csr fine /O=people/O=others/CN=me kubernetes.io/kube-apiserver-client | kubectl create -f -
'

test_expect_success 'to approve one must be allowed to for its signer' '
	kubectl create clusterrole approver --verb=get,update,patch \
		--resource=certificatesigningrequests,certificatesigningrequests/approval &&
	kubectl create clusterrolebinding approver --clusterrole=approver --user=ann &&
	refused "certificatesigningrequests.certificates.k8s.io \"fine\" is forbidden: user not permitted to approve requests with signerName \"kubernetes.io/kube-apiserver-client\"" \
		kubectl --as ann certificate approve fine &&
	signers signers approve kubernetes.io/kube-apiserver-client &&
	kubectl create clusterrolebinding signers --clusterrole=signers --user=ann &&
	kubectl --as ann certificate approve fine
'

test_expect_success 'or for all of its domain' '
	csr own /CN=me a.b/c | kubectl create -f - &&
	refused "user not permitted to approve requests with signerName \"a.b/c\"" kubectl --as ann certificate deny own &&
	signers domain "approve, sign" "a.b/*" &&
	kubectl create clusterrolebinding domain --clusterrole=domain --user=ann &&
	kubectl --as ann certificate deny own
'

test_expect_success 'to sign, too' '
	csr own2 /CN=me a.b/c | kubectl create -f - &&
	kubectl create clusterrole status --verb=get,update,patch --resource=certificatesigningrequests,certificatesigningrequests/status &&
	kubectl create clusterrolebinding status --clusterrole=status --user=ann --user=bob &&
	kubectl certificate approve own2 &&
	failed="[{\"op\":\"add\",\"path\":\"/status/conditions/-\",\"value\":{\"type\":\"Failed\",\"status\":\"True\",\"reason\":\"r\"}}]" &&
	refused "user not permitted to sign requests with signerName \"a.b/c\"" \
		kubectl --as bob patch csr own2 --subresource=status --type=json -p "$failed" &&
	kubectl --as ann patch csr own2 --subresource=status --type=json -p "$failed"
'

test_expect_success 'the system'\''s priority classes stay' '
	refused "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be deleted" \
		kubectl delete priorityclass system-node-critical &&
	kubectl get priorityclass system-node-critical system-cluster-critical
'

test_expect_success 'a bound pod has its node'\''s place' '
	wait_for "kubectl get serviceaccount default" &&
	printf -- "---\n{apiVersion: v1, kind: Node, metadata: {name: far, labels: {topology.kubernetes.io/zone: z1, topology.kubernetes.io/region: r1}}}" |
	kubectl create -f - &&
	kubectl run a --image=x &&
	printf "%s" "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"a\"},\"target\":{\"kind\":\"Node\",\"name\":\"far\"}}" >binding &&
	kubectl create --raw /api/v1/namespaces/default/pods/a/binding -f binding &&
	test_equal "z1 r1" "$(kubectl get pod a -o jsonpath="{.metadata.labels.topology\.kubernetes\.io/zone} {.metadata.labels.topology\.kubernetes\.io/region}")"
'

test_done
