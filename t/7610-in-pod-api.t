#!/bin/sh
# The API from inside pods: the certificate's names, the mounted token, CA and namespace, what nobody and what a
# service account may, and the official Python client with its in-cluster configuration.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox openssl ip

at=/var/run/secrets/kubernetes.io/serviceaccount

# Programs of this machine in a pod: its /usr, /lib and the rest, to read.
machine_pod() # NAME [SPEC-MEMBER...]
{
	mounts='' volumes=''
	for dir in /usr /lib /lib64 /etc/ssl; do
		[ -e $dir ] || continue
		name=$(echo $dir | tr / -)
		mounts="$mounts{name: m$name, mountPath: $dir, readOnly: true},"
		volumes="$volumes{name: m$name, hostPath: {path: $(readlink -f $dir)}},"
	done
	kubectl create -f - <<-EOF
	apiVersion: v1
	kind: Pod
	metadata: {name: $1}
	spec:
	  terminationGracePeriodSeconds: 0
	  $2
	  containers: [{name: c, image: "localhost/demo:1", command: [sleep, "6000"], volumeMounts: [$mounts]}]
	  volumes: [$volumes]
	EOF
}

inside() # SHELL-COMMANDS: in the pod p
{
	kubectl exec p -- sh -c "cd $at; $1"
}

test_expect_success 'a node in a network, and a pod with this machine'\''s programs' '
	ip link add net0 type veth peer name net1 && ip address add 192.0.2.10/24 dev net0 && ip link set net0 up && ip link set net1 up &&
	start_server && import_demo && wait_node &&
	machine_pod p && kubectl wait --for=condition=Ready pod/p --timeout=30s &&
	wait_for "inside \"/usr/bin/curl -sS --max-time 3 --cacert ca.crt https://\\\$KUBERNETES_SERVICE_HOST/version\" >got && grep gitVersion got"
'

test_expect_success 'the certificate is good for all names of the Service and its address' '
	host=$(kubectl get svc kubernetes -o "jsonpath={.spec.clusterIP}") &&
	inside "echo | /usr/bin/openssl s_client -connect $host:443 -CAfile ca.crt -verify_return_error 2>/dev/null" | openssl x509 -noout -ext subjectAltName >got &&
	for name in DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local "IP Address:$host"; do
		test_grep "$name" got || return 1
	done &&
	for name in kubernetes kubernetes.default kubernetes.default.svc; do
		inside "CURL_CA_BUNDLE=\$PWD/ca.crt /usr/bin/curl -sS --max-time 5 https://$name/version" >got && test_grep gitVersion got || return 1
	done
'

test_expect_success 'nobody, a wrong token, the own one' '
	inside "/usr/bin/curl -sS --cacert ca.crt https://kubernetes/api" >got && test_grep "system:anonymous" got && test_grep "\"code\": *403" got &&
	inside "/usr/bin/curl -sS --cacert ca.crt -H \"Authorization: Bearer x.y.z\" https://kubernetes/api" >got && test_grep "\"code\": *401" got &&
	inside "/usr/bin/curl -sS --cacert ca.crt -H \"Authorization: Bearer \$(cat token)\" https://kubernetes/api" >got && test_grep APIVersions got &&
	inside "/usr/bin/curl -sS --cacert ca.crt -H \"Authorization: Bearer \$(cat token)\" https://kubernetes/api/v1/namespaces/\$(cat namespace)/pods" >got &&
	test_grep "system:serviceaccount:default:default.*cannot list resource" got &&
	kubectl create clusterrolebinding permissive-binding --clusterrole=cluster-admin --group=system:serviceaccounts &&
	inside "/usr/bin/curl -sS --cacert ca.crt -H \"Authorization: Bearer \$(cat token)\" https://kubernetes/api/v1/namespaces/\$(cat namespace)/pods" >got &&
	test_grep "PodList" got
'

if /usr/bin/python3 -c 'import kubernetes' 2>/dev/null; then
	test_expect_success 'the Python client: load_incluster_config, lists, a watch' '
		cat >client.py <<-\EOF &&
		from kubernetes import client, config, watch
		config.load_incluster_config()
		v1 = client.CoreV1Api()
		print("pods", [p.metadata.name for p in v1.list_namespaced_pod("default").items])
		v1.create_namespaced_config_map("default", {"metadata": {"name": "by-python"}})
		for e in watch.Watch().stream(v1.list_namespaced_config_map, "default", timeout_seconds=10):
		    if e["object"].metadata.name == "by-python":
		        print("seen", e["type"])
		        break
		EOF
		kubectl exec -i p -- sh -c "cat >/tmp/client.py && /usr/bin/python3 /tmp/client.py" <client.py >got &&
		test_grep "^pods .*.p.\]" got && test_grep "^seen ADDED" got && kubectl get configmap by-python
	'
fi

test_expect_success 'a pod without a token is nobody' '
	machine_pod q "automountServiceAccountToken: false" && kubectl wait --for=condition=Ready pod/q --timeout=30s &&
	test_must_fail kubectl exec q -- ls $at
'

test_expect_success 'the server is killed and comes again: pods reach it as before' '
	kill_server && start_server &&
	wait_for "inside \"/usr/bin/curl -sS --max-time 3 --cacert ca.crt https://kubernetes/version\" >got && grep gitVersion got"
'

test_expect_success 'the end' 'killall_pods && ip link del net0'
test_done
