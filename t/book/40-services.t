#!/bin/sh
# The book on Services: one address for many pods, found by variables and by name.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia curl

inside() # URL: what a pod is answered
{
	kubectl exec curl -- curl -sS --max-time 5 "$1"
}

test_expect_success 'kubectl expose rc kubia --type=LoadBalancer --name kubia-http' '
	create replicationcontroller &&
	have rc/kubia .status.readyReplicas 3 &&
	kubectl expose rc kubia --type=LoadBalancer --name kubia-http &&
	test_equal "LoadBalancer 8080 kubia" "$(field svc/kubia-http ".spec.type} {.spec.ports[0].port} {.spec.selector.app")" &&
	ip=$(field svc/kubia-http .spec.clusterIP) &&
	ask http://$ip:8080 >got && test_grep "You.ve hit kubia-" got
'

test_expect_success 'a Service by its manifest: two ports, one address, and each client always the same pod' '
	create service &&
	kubectl get svc kubia >got && test_grep "^kubia *ClusterIP *10.43.[0-9.]* *<none> *80/TCP,443/TCP" got &&
	ip=$(field svc/kubia .spec.clusterIP) &&
	kubectl run curl --image=tutum/curl --command -- sleep 9999999 && ready pod/curl &&
	wait_for "inside http://$ip" &&
	for i in 1 2 3 4 5 6 7 8; do
		inside http://$ip || return 1
	done >got &&
	sort -u got >once && test_lines 1 once && test_grep "You.ve hit kubia-" once
'

test_expect_success 'without affinity all of them are hit' '
	kubectl patch svc kubia -p "{\"spec\":{\"sessionAffinity\":\"None\"}}" &&
	wait_for "for i in \$(seq 40); do ask http://$ip; done | sort -u >got; test_lines 3 got" &&
	ask http://$ip >/dev/null
'

test_expect_success 'pods that were there before have no variables of it; those that came after do' '
	pod=$(names po -l app=kubia | cut -d" " -f1) &&
	kubectl exec $pod -- env >got && test_must_fail grep KUBIA_SERVICE got &&
	kubectl delete po -l app=kubia --grace-period=1 &&
	have rc/kubia .status.readyReplicas 3 &&
	pod=$(names po -l app=kubia | cut -d" " -f1) && ready pod/$pod &&
	kubectl exec $pod -- env >got &&
	test_grep -x "KUBIA_SERVICE_HOST=$ip" got && test_grep -x "KUBIA_SERVICE_PORT=80" got &&
	test_grep -x "KUBIA_SERVICE_PORT_HTTPS=443" got
'

test_expect_success 'by name: in full, with the namespace, alone' '
	for name in kubia.default.svc.cluster.local kubia.default kubia; do
		wait_for "inside http://$name >got && grep \"You.ve hit kubia-\" got" || return 1
	done &&
	kubectl exec $pod -- cat /etc/resolv.conf >got &&
	test_grep "^search default.svc.cluster.local svc.cluster.local cluster.local" got &&
	test_grep "^nameserver 10.43.0.10" got
'

test_expect_success 'a port that is named by the pod: it may change, and nobody notices' '
	manifest replicationcontroller | sed "s/name: kubia$/&-named/; s/app: kubia/&-named/; s/- containerPort: 8080/- {name: http, containerPort: 8080}/" |
		kubectl create -f - &&
	have rc/kubia-named .status.readyReplicas 3 &&
	kubectl expose rc kubia-named --port=80 --target-port=http &&
	wait_for "ask http://$(field svc/kubia-named .spec.clusterIP) >got && grep \"You.ve hit kubia-named-\" got"
'

test_expect_success 'nobody behind it: refused at once, not after a while' '
	kubectl scale rc kubia-named --replicas=0 &&
	wait_for "test 0 = \"\$(names po -l app=kubia-named | wc -w)\"" &&
	named=$(field svc/kubia-named .spec.clusterIP) &&
	wait_for "curl -sS --max-time 2 http://$named; test \$? = 7"
'

end_book
