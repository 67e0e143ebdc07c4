#!/bin/sh
# The book on readiness: who is not ready gets no requests.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia

endpoints() # their addresses, sorted, in one line
{
	kubectl get endpoints kubia-readiness -o 'jsonpath={range .subsets[*].addresses[*]}{.ip}{"\n"}{end}' 2>/dev/null | sort | xargs
}

ip_of() # POD
{
	field "pod/$1" .status.podIP
}

# The book waits for its probe's ten seconds; here it comes each second.
test_expect_success 'a readiness probe that fails: the pods run, and nobody is sent there' '
	manifest replicationcontroller-readiness | sed "s/readinessProbe:/&\n            periodSeconds: 1/" | kubectl create -f - &&
	kubectl expose rc kubia-readiness --port=80 --target-port=8080 &&
	have rc/kubia-readiness .status.replicas 3 &&
	wait_for "test_equal 3 \"\$(kubectl get po --no-headers | grep -c \"0/1 *Running\")\"" &&
	wait_for "kubectl get events | grep \"Readiness probe failed: ls: /var/ready: No such file or directory\"" &&
	test_equal "" "$(endpoints)" &&
	test_equal 3 "$(field endpoints/kubia-readiness ".subsets[*].notReadyAddresses[*].ip" | wc -w)"
'

test_expect_success 'nobody is ready: the API says so' '
	refused "no endpoints available for service" kubectl get --raw /api/v1/namespaces/default/services/kubia-readiness:80/proxy/
'

test_expect_success 'kubectl exec POD -- touch /var/ready: that one, and that one only, is sent requests' '
	one=$(names po | cut -d" " -f1) && two=$(names po | cut -d" " -f2) &&
	kubectl exec $one -- touch /var/ready &&
	ready pod/$one &&
	kubectl get po >got && test_grep "^$one  *1/1  *Running" got &&
	wait_for "test \"\$(endpoints)\" = $(ip_of $one)" &&
	for i in 1 2 3 4 5 6; do
		test_equal "You'\''ve hit $one" "$(kubectl get --raw /api/v1/namespaces/default/services/kubia-readiness:80/proxy/)" || return 1
	done
'

test_expect_success 'a second one' '
	kubectl exec $two -- touch /var/ready &&
	ready pod/$two &&
	wait_for "test 2 = \"\$(endpoints | wc -w)\"" &&
	for i in $(seq 20); do
		kubectl get --raw /api/v1/namespaces/default/services/kubia-readiness:80/proxy/ || return 1
	done | sort -u >got &&
	test_lines 2 got
'

test_expect_success 'and ready no more: no requests, and no restart' '
	kubectl exec $one -- rm /var/ready &&
	wait_for "test \"\$(endpoints)\" = $(ip_of $two)" &&
	kubectl get po >got && test_grep "^$one  *0/1  *Running  *0 " got &&
	for i in 1 2 3; do
		test_equal "You'\''ve hit $two" "$(kubectl get --raw /api/v1/namespaces/default/services/kubia-readiness:80/proxy/)" || return 1
	done
'

end_book
