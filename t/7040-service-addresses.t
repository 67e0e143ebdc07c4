#!/bin/sh
# What Services are given: addresses and node ports, families, ServiceCIDRs and IPAddresses.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl

# svc NAME [SPEC...]: creates one, of lines of a spec in YAML
svc()
{
	svc_name=$1
	shift
	{
		printf 'apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec:\n' "$svc_name"
		printf '  %s\n' "ports: [{port: 80}]" "$@"
	} | kubectl create -f - -o name
}

# says TEXT COMMAND...: it is refused in these words
says()
{
	says_text=$1
	shift
	test_must_fail "$@" 2>err &&
	test_grep -F "$says_text" err
}

of() # NAME JSONPATH
{
	kubectl get service "$1" -o "jsonpath=$2"
}

shape() # NAME: policy, families, addresses
{
	of "$1" '{.spec.ipFamilyPolicy} {.spec.ipFamilies[*]} {.spec.clusterIPs[*]}'
}

address() # IP: whose it is
{
	kubectl get ipaddress "$1" -o 'jsonpath={.spec.parentRef.resource} {.spec.parentRef.namespace}/{.spec.parentRef.name}'
}

test_expect_success 'the cluster has a ServiceCIDR, and the API an address with its IPAddress' '
	start_server --disable-agent --service-cidr 10.43.0.0/16 &&
	wait_for "test \"\$(kubectl get servicecidr kubernetes -o \"jsonpath={.spec.cidrs[*]} {.metadata.finalizers[*]} {.status.conditions[0].type} {.status.conditions[0].status} {.status.conditions[0].message}\")\" = \
		\"10.43.0.0/16 networking.k8s.io/service-cidr-finalizer Ready True Kubernetes Service CIDR is ready\"" &&
	test_equal "SingleStack [\"IPv4\"] [\"10.43.0.1\"]" "$(of kubernetes "{.spec.ipFamilyPolicy} {.spec.ipFamilies} {.spec.clusterIPs}")" &&
	wait_for "test \"\$(address 10.43.0.1)\" = \"services default/kubernetes\"" &&
	test_equal "IPv4 ipallocator.k8s.io" "$(kubectl get ipaddress 10.43.0.1 -o "jsonpath={.metadata.labels.ipaddress\.kubernetes\.io/ip-family} {.metadata.labels.ipaddress\.kubernetes\.io/managed-by}")"
'

test_expect_success 'many at once get an address and a port each' '
	for i in 1 2 3 4; do
		seq $((i * 20)) $((i * 20 + 19)) | sed "s/.*/---\napiVersion: v1\nkind: Service\nmetadata: {name: many-&, labels: {many: x}}\nspec: {type: NodePort, ports: [{port: 80}]}/" >many-$i.yaml &&
		{ kubectl create -f many-$i.yaml >many-$i.out & } || return 1
	done &&
	wait_for -t 30 "test \"\$(kubectl get service -l many --no-headers | wc -l)\" = 80" &&
	kubectl get service -l many -o "jsonpath={range .items[*]}{.spec.clusterIP} {.spec.ports[0].nodePort}{\"\n\"}{end}" >got &&
	test_equal 80 "$(cut -d" " -f1 got | sort -u | wc -l)" &&
	test_equal 80 "$(cut -d" " -f2 got | sort -u | wc -l)" &&
	test_equal "" "$(awk -F"[. ]" "\$3 == 0 || \$5 < 30086 { print }" got)" &&
	wait_for -t 20 "test \"\$(kubectl get ipaddress --no-headers | grep -c many)\" = 80"
'

test_expect_success 'they give both back' '
	kubectl delete service -l many --wait=false &&
	wait_for -t 20 "test \"\$(kubectl get ipaddress --no-headers | grep -c many)\" = 0"
'

test_expect_success 'chosen addresses and ports are honoured, once' '
	svc fixed "clusterIP: 10.43.0.77" &&
	says "Service \"again\" is invalid: spec.clusterIPs: Invalid value: [\"10.43.0.77\"]: failed to allocate IP 10.43.0.77: provided IP is already allocated" \
		svc again "clusterIP: 10.43.0.77" &&
	says "failed to allocate IP 10.99.0.1: the provided network does not match the current range" svc far "clusterIP: 10.99.0.1" &&
	says "failed to allocate IP 10.43.0.0: the provided network does not match the current range" svc net "clusterIP: 10.43.0.0" &&
	says "spec.clusterIPs[0]: Invalid value: \"10.43\"" svc bad "clusterIP: \"10.43\"" &&
	kubectl delete service fixed && svc again "clusterIP: 10.43.0.77" &&
	wait_for "test \"\$(address 10.43.0.77)\" = \"services default/again\"" &&
	kubectl create service nodeport np --tcp=80 --node-port=30010 &&
	says "spec.ports[0].nodePort: Invalid value: 30010: provided port is already allocated" \
		kubectl create service nodeport np2 --tcp=80 --node-port=30010 &&
	says "spec.ports[0].nodePort: Invalid value: 29999: provided port is not in the valid range. The range of valid ports is 30000-32767" \
		kubectl create service nodeport np2 --tcp=80 --node-port=29999 &&
	kubectl create service nodeport np2 --tcp=80 --node-port=30011 --dry-run=server &&
	kubectl create service nodeport np3 --tcp=80 --node-port=30011
'

test_expect_success 'a change of the type gives and takes' '
	kubectl create service clusterip t --tcp=80 && ip=$(of t "{.spec.clusterIP}") &&
	kubectl patch service t -p "{\"spec\":{\"type\":\"LoadBalancer\",\"externalTrafficPolicy\":\"Local\"}}" &&
	port=$(of t "{.spec.ports[0].nodePort}") && health=$(of t "{.spec.healthCheckNodePort}") &&
	test "$port" -ge 30000 && test "$health" -ge 30000 &&
	says "failed to allocate requested HealthCheck NodePort $health: provided port is already allocated" \
		svc t2 "type: LoadBalancer" "externalTrafficPolicy: Local" "healthCheckNodePort: $health" &&
	kubectl patch service t -p "{\"spec\":{\"type\":\"NodePort\"}}" &&
	test_equal "$port $ip " "$(of t "{.spec.ports[0].nodePort} {.spec.clusterIP} {.spec.healthCheckNodePort}")" &&
	svc t2 "type: LoadBalancer" "externalTrafficPolicy: Local" "healthCheckNodePort: $health" &&
	kubectl patch service t -p "{\"spec\":{\"type\":\"ClusterIP\"}}" &&
	test_equal " $ip" "$(of t "{.spec.ports[0].nodePort} {.spec.clusterIP}")" &&
	kubectl create service nodeport t3 --tcp=80 --node-port="$port" &&
	kubectl patch service t -p "{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"a.b\"}}" &&
	test_equal "  " "$(shape t)" &&
	wait_for "! kubectl get ipaddress $ip" &&
	svc heir "clusterIP: $ip" &&
	kubectl patch service t -p "{\"spec\":{\"type\":\"ClusterIP\",\"externalName\":null}}" &&
	test -n "$(of t "{.spec.clusterIP}")" &&
	svc quiet "type: LoadBalancer" "allocateLoadBalancerNodePorts: false" &&
	test_equal "" "$(of quiet "{.spec.ports[0].nodePort}")"
'

test_expect_success 'one family: no second one, but for a headless Service without a selector' '
	says "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services" \
		svc two "ipFamilyPolicy: RequireDualStack" &&
	says "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster" svc six "ipFamilies: [IPv6]" &&
	says "Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\"" svc five "ipFamilies: [IPv5]" &&
	svc prefers "ipFamilyPolicy: PreferDualStack" &&
	shape prefers >got && test_grep "^PreferDualStack IPv4 10.43" got &&
	svc bare "clusterIP: None" && test_equal "RequireDualStack IPv4 IPv6 None" "$(shape bare)"
'

test_expect_success 'somebody else'\''s IPAddress keeps an address from Services; one that is wrong is put right' '
	cat >mine.yaml <<-\EOF &&
	apiVersion: networking.k8s.io/v1
	kind: IPAddress
	metadata: {name: 10.43.0.88}
	spec: {parentRef: {group: gateway.example.com, resource: gateways, namespace: default, name: g}}
	EOF
	kubectl create -f mine.yaml &&
	says "provided IP is already allocated" svc gw "clusterIP: 10.43.0.88" &&
	says "spec.parentRef: Invalid value" kubectl patch ipaddress 10.43.0.88 --type=merge -p "{\"spec\":{\"parentRef\":{\"name\":\"other\"}}}" &&
	kubectl delete -f mine.yaml && svc gw "clusterIP: 10.43.0.88" &&
	wait_for "test \"\$(address 10.43.0.88)\" = \"services default/gw\"" &&
	kubectl delete ipaddress 10.43.0.88 &&
	wait_for "test \"\$(address 10.43.0.88)\" = \"services default/gw\"" &&
	kubectl label ipaddress 10.43.0.88 ipaddress.kubernetes.io/managed-by- &&
	wait_for "test \"\$(kubectl get ipaddress 10.43.0.88 -o \"jsonpath={.metadata.labels.ipaddress\.kubernetes\.io/managed-by}\")\" = ipallocator.k8s.io" &&
	says "must be a canonical format IP address" kubectl create -f - <<-\EOF
	apiVersion: networking.k8s.io/v1
	kind: IPAddress
	metadata: {name: "fd43:0::1"}
	spec: {parentRef: {resource: services, namespace: default, name: g}}
	EOF
'

cidr() # NAME CIDR...
{
	cidr_name=$1
	shift
	kubectl create -f - <<-EOF
	apiVersion: networking.k8s.io/v1
	kind: ServiceCIDR
	metadata: {name: $cidr_name}
	spec: {cidrs: [$*]}
	EOF
}

test_expect_success 'further ServiceCIDRs widen the range, and stay as long as they are in use' '
	cidr more 10.50.0.0/24 &&
	wait_for "test \"\$(kubectl get servicecidr more -o \"jsonpath={.status.conditions[0].status}\")\" = True" &&
	svc wide "clusterIP: 10.50.0.5" &&
	wait_for "test \"\$(address 10.50.0.5)\" = \"services default/wide\"" &&
	says "spec.cidrs: Invalid value: [\"10.51.0.0/24\"]: field is immutable" \
		kubectl patch servicecidr more --type=merge -p "{\"spec\":{\"cidrs\":[\"10.51.0.0/24\"]}}" &&
	says "IP doesn'\''t match network IP address" cidr bad 10.50.0.1/24 &&
	kubectl delete servicecidr more --wait=false &&
	wait_for "test \"\$(kubectl get servicecidr more -o \"jsonpath={.status.conditions[0].status} {.status.conditions[0].reason} {.status.conditions[0].message}\")\" = \
		\"False Terminating There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR\"" &&
	says "the provided network does not match the current range" svc late "clusterIP: 10.50.0.6" &&
	kubectl delete service wide &&
	wait_for -t 20 "! kubectl get servicecidr more"
'

test_expect_success 'a restart finds what is taken, and makes good what was missed' '
	kill_server && start_server --disable-agent --service-cidr 10.43.0.0/16 &&
	says "provided IP is already allocated" svc gw2 "clusterIP: 10.43.0.88" &&
	says "provided port is already allocated" kubectl create service nodeport np2 --tcp=80 --node-port=30010 &&
	test_equal "$(kubectl get service -A -o "jsonpath={range .items[*]}{.spec.clusterIP}{\"\n\"}{end}" | grep ^10 | sort)" \
		"$(kubectl get ipaddress -o name | sed "s,.*/,," | sort)" &&
	stop_server
'

test_expect_success 'a second family later: the ServiceCIDR grows, Services that prefer two stay as they are until asked' '
	start_server --disable-agent --cluster-cidr 10.42.0.0/16,fd42::/56 --service-cidr 10.43.0.0/16,fd43::/112 &&
	wait_for "test \"\$(kubectl get servicecidr kubernetes -o \"jsonpath={.spec.cidrs[*]}\")\" = \"10.43.0.0/16 fd43::/112\"" &&
	kubectl label service prefers a=b && shape prefers >got && test_grep "^PreferDualStack IPv4 10[^ ]*\$" got &&
	kubectl patch service prefers -p "{\"spec\":{\"ipFamilyPolicy\":\"RequireDualStack\"}}" &&
	shape prefers >got && test_grep "^RequireDualStack IPv4 IPv6 10[^ ]* fd43::[^ ]*\$" got
'

test_expect_success 'two families: one, the other, or both in either order' '
	svc four "type: ClusterIP" && shape four >got && test_grep "^SingleStack IPv4 10\.43[^ ]*\$" got &&
	svc six "ipFamilies: [IPv6]" && shape six >got && test_grep "^SingleStack IPv6 fd43:[^ ]*\$" got &&
	svc both "ipFamilyPolicy: RequireDualStack" "ipFamilies: [IPv6, IPv4]" &&
	shape both >got && test_grep "^RequireDualStack IPv6 IPv4 fd43:[^ ]* 10\.43[^ ]*\$" got &&
	svc pair "ipFamilyPolicy: PreferDualStack" "clusterIPs: [\"10.43.0.90\", \"fd43::90\"]" "clusterIP: 10.43.0.90" &&
	wait_for "test \"\$(address 10.43.0.90) \$(address fd43::90)\" = \"services default/pair services default/pair\"" &&
	test_equal IPv6 "$(kubectl get ipaddress fd43::90 -o "jsonpath={.metadata.labels.ipaddress\.kubernetes\.io/ip-family}")" &&
	says "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be '\''RequireDualStack'\'' or '\''PreferDualStack'\'' when multiple cluster IPs are specified" \
		svc x "clusterIPs: [\"10.43.0.91\", \"fd43::91\"]" "clusterIP: 10.43.0.91" &&
	says "may only hold up to 2 values" svc x "clusterIPs: [\"10.43.0.91\", \"fd43::91\", \"10.43.0.92\"]" "clusterIP: 10.43.0.91" &&
	says "may specify no more than one IP for each IP family" svc x "ipFamilyPolicy: PreferDualStack" \
		"clusterIPs: [\"10.43.0.91\", \"10.43.0.92\"]" "clusterIP: 10.43.0.91" &&
	says "failed to allocate IP fd43::90: provided IP is already allocated" svc x "clusterIP: \"fd43::90\"" &&
	says "expected an IPv6 value as indicated by \`ipFamilies[0]\`" svc x "clusterIP: 10.43.0.91" "ipFamilies: [IPv6]"
'

test_expect_success 'down to one family the second address is given back' '
	says "must be '\''SingleStack'\'' to release the secondary cluster IP" \
		kubectl patch service pair -p "{\"spec\":{\"clusterIPs\":[\"10.43.0.90\"]}}" --type=merge &&
	says "may not change once set" kubectl patch service pair -p "{\"spec\":{\"clusterIP\":\"fd43::90\",\"clusterIPs\":[\"fd43::90\",\"10.43.0.90\"],\"ipFamilies\":[\"IPv6\",\"IPv4\"]}}" --type=merge &&
	kubectl patch service pair -p "{\"spec\":{\"ipFamilyPolicy\":\"SingleStack\"}}" &&
	test_equal "SingleStack IPv4 10.43.0.90" "$(shape pair)" &&
	wait_for "! kubectl get ipaddress fd43::90" &&
	svc next "clusterIP: \"fd43::90\"" &&
	stop_server
'

test_done
