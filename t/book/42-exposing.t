#!/bin/sh
# The book on Services for clients outside: a port on every node, and a load balancer. The client is another
# machine in the network of the node.
. "${srcdir:-.}/t/book/lib.sh"
test_needs ip nsenter
start_lan
# The ingress has port 80 of the node otherwise.
start_book --disable=ingress kubia

test_expect_success 'NodePort: a port of the node itself' '
	create replicationcontroller &&
	have rc/kubia .status.readyReplicas 3 &&
	create service-nodeport &&
	kubectl get svc kubia-service >got && test_grep "NodePort.*80:30111/TCP" got &&
	node=$(kubectl get nodes -o "jsonpath={.items[*].status.addresses[?(@.type==\"InternalIP\")].address}") &&
	test_equal 192.0.2.1 "$node" &&
	wait_for "outside curl -sS --max-time 5 http://$node:30111 >got && grep \"You.ve hit kubia-\" got" &&
	wait_for "for i in \$(seq 30); do outside curl -sS --max-time 5 http://$node:30111; done | sort -u >got && test_lines 3 got" &&
	ask "http://$(field svc/kubia-service .spec.clusterIP)" >got && test_grep "You.ve hit kubia-" got
'

test_expect_success 'LoadBalancer: an address of its own in front' '
	kubectl delete svc kubia-service &&
	wait_for "! outside curl -sS --max-time 5 http://$node:30111" &&
	create service-loadbalancer &&
	have svc/kubia-service ".status.loadBalancer.ingress[0].ip" 192.0.2.1 &&
	kubectl get svc kubia-service >got && test_grep "LoadBalancer *10.43.[0-9.]* *192.0.2.1 *80:3[0-9]*/TCP" got &&
	wait_for "outside curl -sS --max-time 5 http://192.0.2.1 >got && grep \"You.ve hit kubia-\" got" &&
	port=$(field svc/kubia-service ".spec.ports[0].nodePort") &&
	outside curl -sS --max-time 5 http://192.0.2.1:$port >got && test_grep "You.ve hit kubia-" got
'

test_expect_success 'externalTrafficPolicy: Local keeps the address of the client' '
	kubectl patch svc kubia-service -p "{\"spec\":{\"externalTrafficPolicy\":\"Local\"}}" &&
	wait_for "outside curl -sS --max-time 5 http://192.0.2.1 >got && grep \"You.ve hit kubia-\" got" &&
	for pod in $(names po -l app=kubia); do
		kubectl logs $pod || return 1
	done >got &&
	echo "(who asked is in the log of the application)" &&
	test_grep "192.0.2.2" got
'

test_expect_success 'the other machine ends' '
	kubectl delete svc kubia-service && end_lan
'
end_book
