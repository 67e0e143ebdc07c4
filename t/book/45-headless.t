#!/bin/sh
# The book on finding all pods at once: a headless Service, and what nslookup and dig in a pod say of it.
. "${srcdir:-.}/t/book/lib.sh"
test_needs dig nslookup
start_book kubia dnsutils

pod_ips() # of the pods that are ready, sorted
{
	kubectl get po -l app=kubia -o 'jsonpath={range .items[?(@.status.containerStatuses[0].ready==true)]}{.status.podIP}{"\n"}{end}' | sort
}

# The book has --generator=run-pod/v1 besides, which kubectl does by itself since 1.18, and no longer knows.
test_expect_success 'a headless Service, pods, and one with nslookup' '
	create service-headless &&
	manifest replicationcontroller | sed "s/^        - name: kubia/&\n          readinessProbe: {periodSeconds: 1, exec: {command: [ls, \/tmp\/ready]}}/" |
		kubectl create -f - &&
	test_equal None "$(field svc/kubia-headless .spec.clusterIP)" &&
	kubectl run dnsutils --image=tutum/dnsutils --command -- sleep infinity &&
	ready pod/dnsutils &&
	have rc/kubia .status.replicas 3
'

test_expect_success 'nobody is ready: nobody is found' '
	test_must_fail kubectl exec dnsutils -- nslookup kubia-headless >got &&
	test_equal "" "$(kubectl exec dnsutils -- dig +short +search kubia-headless)"
'

test_expect_success 'nslookup kubia-headless: the addresses of those who are ready' '
	one=$(names po -l app=kubia | cut -d" " -f1) && two=$(names po -l app=kubia | cut -d" " -f2) &&
	three=$(names po -l app=kubia | cut -d" " -f3) &&
	kubectl exec $one -- touch /tmp/ready && kubectl exec $two -- touch /tmp/ready &&
	ready pod/$one pod/$two &&
	wait_for "kubectl exec dnsutils -- nslookup kubia-headless | sed -n \"1,3d; s/^Address: //p\" | sort >got && test_lines 2 got" &&
	pod_ips >want && test_cmp want got &&
	kubectl exec dnsutils -- nslookup kubia-headless >got &&
	test_grep "^Server:.*$(kubectl -n kube-system get svc kube-dns -o "jsonpath={.spec.clusterIP}")" got &&
	test_grep "^Name:.*kubia-headless.default.svc.cluster.local" got &&
	kubectl exec dnsutils -- dig +short kubia-headless.default.svc.cluster.local | sort >got && test_cmp want got
'

test_expect_success 'a third one becomes ready, one is deleted: the names follow' '
	kubectl exec $three -- touch /tmp/ready && ready pod/$three &&
	wait_for "kubectl exec dnsutils -- dig +short kubia-headless.default.svc.cluster.local | sort >got && test_lines 3 got" &&
	kubectl delete pod $one --grace-period=1 &&
	wait_for "kubectl exec dnsutils -- dig +short kubia-headless.default.svc.cluster.local | sort >got && test_lines 2 got"
'

test_expect_success 'all of them, ready or not: publishNotReadyAddresses' '
	kubectl patch svc kubia-headless -p "{\"spec\":{\"publishNotReadyAddresses\":true}}" &&
	wait_for "kubectl exec dnsutils -- dig +short kubia-headless.default.svc.cluster.local | sort >got && test_lines 3 got"
'

test_expect_success 'a Service with an address has that one, by short and by full name' '
	kubectl expose rc kubia --port=80 --target-port=8080 --name=kubia &&
	for name in kubia kubia.default kubia.default.svc.cluster.local kubia.default.svc.cluster.local.; do
		wait_for "kubectl exec dnsutils -- nslookup $name >got && grep \"^Address: $(field svc/kubia .spec.clusterIP)$\" got" || return 1
	done
'

end_book
