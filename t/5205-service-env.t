#!/bin/sh
# Services found by environment variables: which a container has, and their values, as the
# kubelet sets them.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

# env_of POD [SPEC-FIELDS [CONTAINER-FIELDS [NAMESPACE]]]: what a container of such a pod finds, in the file got
env_of()
{
	object "apiVersion: v1, kind: Pod, metadata: {name: $1, namespace: ${4:-default}}, spec: {restartPolicy: Never,
		terminationGracePeriodSeconds: 0${2:+, $2}, containers: [{name: c, image: localhost/demo:1,
		command: [env]${3:+, $3}}]}" | kubectl create -f - &&
	wait_for "test \"\$(kubectl get pod -n ${4:-default} $1 -o jsonpath={.status.phase})\" = Succeeded" &&
	kubectl logs -n "${4:-default}" "$1" | LC_ALL=C sort >got
}

service() # NAME SPEC-FIELDS [NAMESPACE]
{
	object "apiVersion: v1, kind: Service, metadata: {name: $1, namespace: ${3:-default}}, spec: {$2}" | kubectl create -f -
}

test_expect_success 'start' '
	start_server && import_demo && wait_node && kubectl create namespace far &&
	for ns in default far; do wait_for "kubectl get serviceaccount default -n $ns" || return 1; done
'

test_expect_success 'all ports of a Service, named and not, of each protocol' '
	service my-db "clusterIP: 10.43.0.77, ports: [{name: sql-port, port: 5432}, {name: dns, port: 53, protocol: UDP},
		{name: sig, port: 3868, protocol: SCTP}]" &&
	service one "clusterIP: 10.43.0.78, ports: [{port: 80, targetPort: 8080}]" &&
	env_of a && cat >want <<-\EOT &&
	MY_DB_PORT=tcp://10.43.0.77:5432
	MY_DB_PORT_3868_SCTP=sctp://10.43.0.77:3868
	MY_DB_PORT_3868_SCTP_ADDR=10.43.0.77
	MY_DB_PORT_3868_SCTP_PORT=3868
	MY_DB_PORT_3868_SCTP_PROTO=sctp
	MY_DB_PORT_53_UDP=udp://10.43.0.77:53
	MY_DB_PORT_53_UDP_ADDR=10.43.0.77
	MY_DB_PORT_53_UDP_PORT=53
	MY_DB_PORT_53_UDP_PROTO=udp
	MY_DB_PORT_5432_TCP=tcp://10.43.0.77:5432
	MY_DB_PORT_5432_TCP_ADDR=10.43.0.77
	MY_DB_PORT_5432_TCP_PORT=5432
	MY_DB_PORT_5432_TCP_PROTO=tcp
	MY_DB_SERVICE_HOST=10.43.0.77
	MY_DB_SERVICE_PORT=5432
	MY_DB_SERVICE_PORT_DNS=53
	MY_DB_SERVICE_PORT_SIG=3868
	MY_DB_SERVICE_PORT_SQL_PORT=5432
	ONE_PORT=tcp://10.43.0.78:80
	ONE_PORT_80_TCP=tcp://10.43.0.78:80
	ONE_PORT_80_TCP_ADDR=10.43.0.78
	ONE_PORT_80_TCP_PORT=80
	ONE_PORT_80_TCP_PROTO=tcp
	ONE_SERVICE_HOST=10.43.0.78
	ONE_SERVICE_PORT=80
	EOT
	grep -E "^(MY_DB|ONE)_" got >have && test_cmp want have
'

test_expect_success 'the API, from its Service' '
	grep ^KUBERNETES_ got >have && cat >want <<-\EOT && test_cmp want have
	KUBERNETES_PORT=tcp://10.43.0.1:443
	KUBERNETES_PORT_443_TCP=tcp://10.43.0.1:443
	KUBERNETES_PORT_443_TCP_ADDR=10.43.0.1
	KUBERNETES_PORT_443_TCP_PORT=443
	KUBERNETES_PORT_443_TCP_PROTO=tcp
	KUBERNETES_SERVICE_HOST=10.43.0.1
	KUBERNETES_SERVICE_PORT=443
	KUBERNETES_SERVICE_PORT_HTTPS=443
	EOT
'

test_expect_success 'no variables of what has no address, nor of other namespaces' '
	service headless "clusterIP: None, ports: [{port: 80}]" &&
	service name "type: ExternalName, externalName: example.com, ports: [{port: 80}]" &&
	service remote "ports: [{port: 80}]" far &&
	env_of b && test_must_fail grep -E "^(HEADLESS|NAME|REMOTE)_" got && test_grep ^ONE_SERVICE_HOST got
'

test_expect_success 'in another namespace its own, and the API' '
	env_of c "" "" far && test_grep ^REMOTE_SERVICE_PORT=80 got && test_grep ^KUBERNETES_SERVICE_HOST=10.43.0.1 got &&
	test_must_fail grep -E "^(ONE|MY_DB)_" got
'

test_expect_success 'with enableServiceLinks false only the API' '
	env_of d "enableServiceLinks: false" && test_grep ^KUBERNETES_SERVICE_PORT_HTTPS=443 got &&
	test_must_fail grep -E "^(ONE|MY_DB)_" got
'

test_expect_success 'what the pod sets goes before, and may be made of it' '
	env_of e "" "env: [{name: ONE_SERVICE_HOST, value: mine}, {name: URL, value: \"http://\$(MY_DB_SERVICE_HOST):\$(MY_DB_SERVICE_PORT)\"},
		{name: OF, value: \"\$(ONE_SERVICE_HOST)\"}]" &&
	test_grep ^ONE_SERVICE_HOST=mine got && test_grep ^URL=http://10.43.0.77:5432 got && test_grep ^OF=mine got &&
	test_grep ^ONE_SERVICE_PORT=80 got
'

test_expect_success 'a Service kubernetes of the own namespace stands in for that of default' '
	service kubernetes "clusterIP: 10.43.0.99, ports: [{port: 8443}]" far &&
	env_of f "" "" far && test_grep ^KUBERNETES_SERVICE_HOST=10.43.0.99 got && test_grep ^KUBERNETES_SERVICE_PORT=8443 got &&
	test_must_fail grep HTTPS got &&
	env_of g "enableServiceLinks: false" "" far && test_grep ^KUBERNETES_SERVICE_HOST=10.43.0.1 got
'

test_expect_success 'it is as it was when the container started: who is made later is found by the next one' '
	service late "ports: [{port: 1}]" && test_must_fail grep ^LATE_ got &&
	env_of h && test_grep ^LATE_SERVICE_PORT=1 got
'

test_done
