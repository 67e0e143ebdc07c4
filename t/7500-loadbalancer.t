#!/bin/sh
# Services of type LoadBalancer without a pool: they get the addresses of the nodes, as
# k3s's ServiceLB gives them; who comes too late for a port waits and is told why.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-sched.sh"
test_needs kubectl python3 ss

# machine NAME INTERNAL-IPS EXTERNAL-IPS [LABELS]: a node with addresses (several by blanks)
machine()
{
	addresses=
	for ip in $2; do addresses="$addresses,{\"type\":\"InternalIP\",\"address\":\"$ip\"}"; done
	for ip in $3; do addresses="$addresses,{\"type\":\"ExternalIP\",\"address\":\"$ip\"}"; done
	node "$1" 4 8Gi 100 "$4" &&
	kubectl patch node "$1" --subresource=status --type=merge -p "{\"status\":{\"addresses\":[${addresses#,}]}}"
}

ready() # NODE True|False
{
	kubectl patch node "$1" --subresource=status --type=merge -p \
		"{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"$2\",\"reason\":\"Test\"}]}}"
}

balancer() # NAME PORT [SPEC-MEMBERS [LABELS]]
{
	kubectl apply -f - <<-EOT
	apiVersion: v1
	kind: Service
	metadata: {name: $1, labels: {${4:-}}}
	spec: {type: LoadBalancer, selector: {app: $1}, ports: [{port: $2}]${3:+, $3}}
	EOT
}

has() # SERVICE ADDRESSES: comes to have them
{
	has_service=$1 has_addresses=$2
	wait_for 'test "$(kubectl get service $has_service -o "jsonpath={.status.loadBalancer.ingress[*].ip}")" = "$has_addresses"'
}

events() # SERVICE
{
	kubectl get events --field-selector "involvedObject.name=$1" -o "jsonpath={range .items[*]}{.type} {.reason} {.source.component}: {.message}{\"\n\"}{end}"
}

told() # SERVICE TEXT
{
	told_service=$1 told_text=$2
	wait_for 'events $told_service | grep -F "$told_text"'
}

test_expect_success 'a Service has the addresses of all nodes, in status and in what kubectl shows' '
	start_server --disable-agent $nodes_stay &&
	machine a "192.0.2.11 2001:db8::11" "" && machine b 192.0.2.12 "" &&
	balancer web 8080 &&
	has web "192.0.2.11 192.0.2.12" &&
	kubectl get service web -o jsonpath="{.status.loadBalancer.ingress[0].ipMode} {.metadata.finalizers}" >got &&
	test_grep "^VIP \[\"service.kubernetes.io/load-balancer-cleanup\"\]" got &&
	kubectl get service web --no-headers >got &&
	test_grep "LoadBalancer .* 192.0.2.11,192.0.2.12 .* 8080:3" got &&
	told web "Normal EnsuringLoadBalancer service-controller: Ensuring load balancer" &&
	told web "Normal EnsuredLoadBalancer service-controller: Ensured load balancer" &&
	kubectl describe service web >got &&
	test_grep "LoadBalancer Ingress: *192.0.2.11 (VIP), 192.0.2.12 (VIP)" got
'

test_expect_success 'nodes that are not ready, excluded or gone do not count' '
	ready b False && has web 192.0.2.11 &&
	told web "Normal UpdatedLoadBalancer service-controller: Updated LoadBalancer with new IPs: [192.0.2.11 192.0.2.12] -> [192.0.2.11]" &&
	ready b True && has web "192.0.2.11 192.0.2.12" &&
	kubectl label node a node.kubernetes.io/exclude-from-external-load-balancers= && has web 192.0.2.12 &&
	kubectl delete node b && has web "" &&
	told web "Warning UnAvailableLoadBalancer service-controller: There are no available nodes for LoadBalancer" &&
	kubectl label node a node.kubernetes.io/exclude-from-external-load-balancers- && has web 192.0.2.11
'

test_expect_success 'external addresses go before internal ones; labels choose nodes as in k3s' '
	machine b 192.0.2.12 "198.51.100.7" && has web 198.51.100.7 &&
	kubectl label node a svccontroller.k3s.cattle.io/enablelb=true && has web 192.0.2.11 &&
	kubectl label node b svccontroller.k3s.cattle.io/enablelb=true svccontroller.k3s.cattle.io/lbpool=out &&
	has web 198.51.100.7 &&
	balancer out 9000 "" "svccontroller.k3s.cattle.io/lbpool: out" && has out 198.51.100.7 &&
	balancer in 9001 "" "svccontroller.k3s.cattle.io/lbpool: in" &&
	kubectl label node a svccontroller.k3s.cattle.io/lbpool=in && has in 192.0.2.11 &&
	kubectl label node a b svccontroller.k3s.cattle.io/enablelb- svccontroller.k3s.cattle.io/lbpool- &&
	kubectl delete service in out && machine b 192.0.2.12 "" && has web "192.0.2.11 192.0.2.12"
'

test_expect_success 'who comes later for a port waits, is told by whom, and gets it when it is given up' '
	balancer second 8080 &&
	told second "Warning SyncLoadBalancerFailed service-controller: Error syncing load balancer: failed to ensure load balancer: port 8080/TCP of 192.0.2.11 (node a) is held by Service default/web; port 8080/TCP of 192.0.2.12 (node b) is held by Service default/web" &&
	test_equal "<pending>" "$(kubectl get service second --no-headers | awk "{print \$4}")" &&
	test_equal "True PortConflict" "$(kubectl get service second -o jsonpath="{.status.conditions[?(@.type==\"LoadBalancerPortsError\")].status} {.status.conditions[0].reason}")" &&
	balancer third 8080 && told third "is held by Service default/web" &&
	kubectl patch service web --type=merge -p "{\"spec\":{\"ports\":[{\"port\":8081,\"protocol\":\"TCP\"}]}}" &&
	has second "192.0.2.11 192.0.2.12" &&
	test_equal "" "$(kubectl get service second -o jsonpath="{.status.conditions}")" &&
	told third "is held by Service default/second" &&
	kubectl delete service second && has third "192.0.2.11 192.0.2.12" &&
	kubectl delete service third
'

test_expect_success 'of another protocol the same port is free' '
	balancer tcp 5000 && has tcp "192.0.2.11 192.0.2.12" &&
	kubectl apply -f - <<-EOT &&
	apiVersion: v1
	kind: Service
	metadata: {name: udp}
	spec: {type: LoadBalancer, ports: [{port: 5000, protocol: UDP}]}
	EOT
	has udp "192.0.2.11 192.0.2.12" && kubectl delete service tcp udp
'

test_expect_success 'ports of this program, of pods and of the machine are not to be had' '
	port=$(kubectl config view -o jsonpath="{.clusters[0].cluster.server}" | sed "s/.*://") &&
	balancer api $port && told api "port $port/TCP of 192.0.2.11 (node a) is held by the API server" &&
	pod p "nodeName: b" "ports: [{containerPort: 80, hostPort: 7000}]" &&
	balancer host 7000 && has host 192.0.2.11 &&
	told host "Warning LoadBalancerPortConflict service-controller: port 7000/TCP of 192.0.2.12 (node b) is held by the host port of Pod default/p" &&
	kubectl delete pod p --grace-period=0 --force && has host "192.0.2.11 192.0.2.12" &&
	pod p "nodeName: b" "ports: [{containerPort: 80, hostPort: 7000}]" && has host "192.0.2.11 192.0.2.12" &&
	kubectl annotate node a kinglet.io/listening-ports=TCP/22=sshd,TCP/7001=nginx,TCP/7002 &&
	balancer other 7001 && has other 192.0.2.12 &&
	told other "port 7001/TCP of 192.0.2.11 (node a) is held by a process of the machine (nginx)" &&
	balancer free 7002 && has free "192.0.2.11 192.0.2.12" &&
	balancer unsaid 7003 && has unsaid 192.0.2.12 &&
	kubectl annotate --overwrite node a kinglet.io/listening-ports=TCP/7001,TCP/7002,TCP/7003 &&
	has unsaid "192.0.2.11 192.0.2.12" && has other "192.0.2.11 192.0.2.12" && has host "192.0.2.11 192.0.2.12" &&
	kubectl annotate node a kinglet.io/listening-ports- &&
	kubectl delete service api host other free unsaid && kubectl delete pod p --grace-period=0 --force
'

test_expect_success 'with externalTrafficPolicy Local only nodes with an endpoint that is ready' '
	balancer near 6000 "externalTrafficPolicy: Local" && told near EnsuringLoadBalancer && has near "" &&
	pod here "nodeName: b" "" "app: near" &&
	kubectl patch pod here --subresource=status --type=merge -p "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.42.0.9\",
		\"podIPs\":[{\"ip\":\"10.42.0.9\"}],\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}" &&
	has near 192.0.2.12 &&
	kubectl delete pod here --grace-period=0 --force && has near "" && kubectl delete service near
'

test_expect_success 'another class is left alone, that of k3s is ours' '
	balancer theirs 6001 "loadBalancerClass: example.com/lb" &&
	balancer k3s 6002 "loadBalancerClass: io.cattle/servicelb" && has k3s "192.0.2.11 192.0.2.12" &&
	has theirs "" && test_equal "" "$(kubectl get service theirs -o jsonpath="{.metadata.finalizers}")" &&
	kubectl patch service theirs --subresource=status --type=merge -p "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.1\"}]}}}" &&
	has theirs 203.0.113.1 && kubectl delete service k3s && has theirs 203.0.113.1 && kubectl delete service theirs
'

test_expect_success 'a Service can do without; one that changes its type leaves nothing' '
	kubectl annotate service web kinglet.io/loadbalancer=none && has web "" &&
	kubectl annotate service web kinglet.io/loadbalancer- && has web "192.0.2.11 192.0.2.12" &&
	kubectl patch service web --type=merge -p "{\"spec\":{\"type\":\"ClusterIP\"}}" && has web "" &&
	wait_for "test -z \"\$(kubectl get service web -o jsonpath={.metadata.finalizers})\"" &&
	told web "Normal DeletingLoadBalancer service-controller: Deleting load balancer" &&
	told web "Normal DeletedLoadBalancer service-controller: Deleted load balancer" &&
	kubectl patch service web --type=merge -p "{\"spec\":{\"type\":\"LoadBalancer\"}}" && has web "192.0.2.11 192.0.2.12"
'

test_expect_success 'what somebody else writes into the status is put right' '
	kubectl patch service web --subresource=status --type=merge -p "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.1\"}]}}}" &&
	has web "192.0.2.11 192.0.2.12"
'

test_expect_success 'a restart keeps who has what; without servicelb all is taken back' '
	balancer late 8081 && told late "held by Service default/web" &&
	kill_server && restart_server && has web "192.0.2.11 192.0.2.12" && has late "" &&
	restart_server --disable-agent $nodes_stay --disable servicelb && has web "" &&
	wait_for "test -z \"\$(kubectl get service web late -o jsonpath={.items[*].metadata.finalizers})\"" &&
	kubectl patch service web --subresource=status --type=merge -p "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.1\"}]}}}" &&
	kubectl annotate service web a=b && has web 203.0.113.1
'

listener() # PORT [ADDRESS]: a process of the machine that has it
{
	python3 -c "
import socket, time
s = socket.socket(); s.bind(('${2:-0.0.0.0}', $1)); s.listen(1); time.sleep(1000)" &
	listener_pid=$!
	wait_for "ss -Htln | grep :$1"
}

test_expect_success 'a port that a process of the machine listens on is not taken from it' '
	stop_server && listener 5555 && python_pid=$listener_pid && listener 5556 127.0.0.9 && local_pid=$listener_pid &&
	start_server $nodes_stay && wait_node && kubectl delete node a b &&
	ip=$(kubectl get node n1 -o jsonpath="{.status.addresses[0].address}") &&
	balancer sock 5555 && told sock "port 5555/TCP of $ip (node n1) is held by a process of the machine (python3" &&
	balancer lo 5556 && has lo $ip && balancer ing 80 && told ing "port 80/TCP of $ip (node n1) is held by the ingress" &&
	balancer agent 10250 && told agent "is held by the node" &&
	kubectl get node n1 -o jsonpath="{.metadata.annotations.kinglet\.io/listening-ports}" >got &&
	test_grep "TCP/5555=python3.*,TCP/5556," got &&
	kill $python_pid $local_pid && { wait $python_pid $local_pid || :; } &&
	balancer more 5557 && has more $ip && has sock $ip &&
	restart_server --disable servicelb && has more "" &&
	wait_for "test -z \"\$(kubectl get node n1 -o jsonpath={.metadata.annotations.kinglet\\.io/listening-ports})\""
'

test_done
