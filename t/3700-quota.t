#!/bin/sh
# ResourceQuota: what it counts, the words of its refusals, and that it is exact:
# with 50 creators at once, after a crash in the middle of them, with deletes
# between them. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

used() # NAMESPACE RESOURCE
{
	kubectl -n "$1" get quota q -o jsonpath="{.status.used.$2}"
}

pod() # NAME REQUESTS [LIMITS]
{
	printf -- '---\n{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {containers: [{name: c, image: x,
		resources: {requests: {%s}, limits: {%s}}}]}}\n' "$1" "$2" "$3"
}

refused() # TEXT COMMAND...
{
	refused_text=$1
	shift
	test_must_fail "$@" 2>err &&
	test_grep -F "$refused_text" err
}

# creates NAMESPACE KIND N: N objects as fast as 50 connections can; the codes of the answers are in ./codes.
creates()
{
	rm -f requests codes bodies &&
	for creates_i in $(seq "$3"); do
		case $2 in
		configmaps) echo "{\"metadata\":{\"name\":\"c$creates_i\"}}" ;;
		pods) echo "{\"metadata\":{\"name\":\"p$creates_i\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]}}" ;;
		esac >"body.$creates_i" &&
		cat <<-END >>requests || return 1
			$([ "$creates_i" = 1 ] || echo next)
			url = "https://127.0.0.1:6443/api/v1/namespaces/$1/$2"
			cacert = "$DATA/server/tls/ca.crt"
			cert = "$DATA/server/tls/admin.crt"
			key = "$DATA/server/tls/admin.key"
			header = "Content-Type: application/json"
			data = "@body.$creates_i"
			output = "answer.$creates_i"
			write-out = "%{http_code}\n"
			max-time = 60
		END
	done
	curl -s -Z --parallel-max 50 --parallel-immediate -K requests >codes
	sort codes | uniq -c
}

test_expect_success 'start the server' '
	start_server --disable-agent
'

test_expect_success 'a new quota shows at once what is there' '
	kubectl create namespace a &&
	wait_for "kubectl -n a get configmap kube-root-ca.crt" &&
	kubectl -n a create configmap one &&
	kubectl -n a create quota q --hard=pods=2,requests.cpu=1,limits.memory=1Gi,configmaps=3,services=2,services.nodeports=2,services.loadbalancers=1,secrets=1,count/deployments.apps=1,persistentvolumeclaims=2,requests.storage=3Gi,gold.storageclass.storage.k8s.io/requests.storage=1Gi,requests.example.com/gpu=2,count/pods=10 &&
	wait_for "test 2 = \"\$(used a configmaps)\"" &&
	test_equal 0 "$(used a pods)"
'

test_expect_success 'a pod must say what the quota counts' '
	refused "pods \"s\" is forbidden: failed quota: q: must specify limits.memory for: s; requests.cpu for: s" \
		kubectl -n a run s --image=x
'

test_expect_success 'what a pod takes is shown when its creator is answered' '
	pod p1 "cpu: 600m, example.com/gpu: 1" "memory: 512Mi, example.com/gpu: 1" | kubectl -n a create -f - &&
	test_equal "1 600m 512Mi 1" "$(kubectl -n a get quota q -o \
		jsonpath="{.status.used.pods} {.status.used.requests\.cpu} {.status.used.limits\.memory} {.status.used.requests\.example\.com/gpu}")" &&
	kubectl -n a describe quota q >got &&
	test_grep "^requests.cpu  *600m  *1$" got
'

test_expect_success 'too much is refused, with all that is too much' '
	pod p2 "cpu: 500m, example.com/gpu: 2" "memory: 1Mi, example.com/gpu: 2" >p2 &&
	refused "pods \"p2\" is forbidden: exceeded quota: q, requested: requests.cpu=500m,requests.example.com/gpu=2, used: requests.cpu=600m,requests.example.com/gpu=1, limited: requests.cpu=1,requests.example.com/gpu=2" \
		kubectl -n a create -f p2 &&
	test_equal 1 "$(used a pods)"
'

test_expect_success 'a dry run is checked but takes nothing' '
	refused "exceeded quota: q" kubectl -n a create -f p2 --dry-run=server &&
	pod p3 "cpu: 100m" "memory: 1Mi" >p3 &&
	kubectl -n a create -f p3 --dry-run=server &&
	test_equal 1 "$(used a pods)"
'

test_expect_success 'a pod that is over gives back what it took, but is still an object' '
	kubectl -n a patch pod p1 --subresource=status -p "{\"status\":{\"phase\":\"Succeeded\"}}" &&
	wait_for "test \"0 0\" = \"\$(used a pods) \$(used a requests\\\\.cpu)\"" &&
	test_equal 1 "$(used a count/pods)" &&
	kubectl -n a delete pod p1 --grace-period=0 --force &&
	wait_for "test 0 = \"\$(used a count/pods)\""
'

test_expect_success 'services by type, also when it changes' '
	kubectl -n a create service nodeport n1 --tcp=80 &&
	test_equal "1 1" "$(used a services) $(used a services\\.nodeports)" &&
	refused "services \"n2\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=1, limited: services.nodeports=2" \
		kubectl -n a create service nodeport n2 --tcp=80 --tcp=81 &&
	kubectl -n a create service clusterip c1 --tcp=80 --tcp=81 &&
	refused "requested: services.nodeports=2" kubectl -n a patch service c1 -p "{\"spec\":{\"type\":\"NodePort\"}}" &&
	refused "exceeded quota: q, requested: services=1, used: services=2, limited: services=2" \
		kubectl -n a create service clusterip c2 --tcp=80 &&
	kubectl -n a delete service n1 &&
	wait_for "test 0 = \"\$(used a services\\\\.nodeports)\"" &&
	kubectl -n a patch service c1 -p "{\"spec\":{\"type\":\"LoadBalancer\"}}" &&
	test_equal "1 2 1" "$(used a services) $(used a services\\.nodeports) $(used a services\\.loadbalancers)"
'

claim() # NAME SIZE CLASS
{
	printf -- '---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: %s}, spec: {storageClassName: %s,
		accessModes: [ReadWriteOnce], resources: {requests: {storage: %s}}}}\n' "$1" "$3" "$2"
}

test_expect_success 'claims by size and class' '
	claim c1 1Gi gold | kubectl -n a create -f - &&
	test_equal "1 1Gi" "$(used a persistentvolumeclaims) $(used a requests\\.storage)" &&
	claim c2 1 gold >c2 &&
	refused "requested: gold.storageclass.storage.k8s.io/requests.storage=1, used: gold.storageclass.storage.k8s.io/requests.storage=1Gi, limited: gold.storageclass.storage.k8s.io/requests.storage=1Gi" \
		kubectl -n a create -f c2 &&
	claim c2 3Gi silver >c2 &&
	refused "requested: requests.storage=3Gi, used: requests.storage=1Gi, limited: requests.storage=3Gi" \
		kubectl -n a create -f c2
'

test_expect_success 'objects of any kind, with the group' '
	kubectl -n a create deployment d1 --image=x &&
	refused "deployments.apps \"d2\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1" \
		kubectl -n a create deployment d2 --image=x &&
	kubectl -n a delete deployment d1 &&
	wait_for "kubectl -n a create deployment d2 --image=x" &&
	kubectl -n a create secret generic s1 &&
	refused "exceeded quota: q, requested: secrets=1" kubectl -n a create secret generic s2
'

test_expect_success 'a create that fails otherwise gives back what it held' '
	kubectl -n a create configmap two &&
	kubectl -n a delete configmap two &&
	wait_for "test 2 = \"\$(used a configmaps)\"" &&
	test_must_fail kubectl -n a create configmap one &&
	wait_for "test 2 = \"\$(used a configmaps)\"" &&
	kubectl -n a create configmap two
'

test_expect_success 'the quota changes: its status follows, what is there stays' '
	kubectl -n a patch quota q -p "{\"spec\":{\"hard\":{\"configmaps\":\"1\",\"replicationcontrollers\":\"5\"}}}" &&
	wait_for "test \"3 1\" = \"\$(kubectl -n a get quota q -o jsonpath=\"{.status.used.configmaps} {.status.hard.configmaps}\")\"" &&
	test_equal 0 "$(used a replicationcontrollers)" &&
	refused "used: configmaps=3, limited: configmaps=1" kubectl -n a create configmap three &&
	kubectl -n a patch quota q --subresource=status -p "{\"status\":{\"used\":{\"configmaps\":\"0\"}}}" &&
	wait_for "test 3 = \"\$(used a configmaps)\""
'

test_expect_success 'scopes: terminating, best effort, priority classes, affinity across namespaces' '
	kubectl create namespace s &&
	kubectl create priorityclass gold --value=10 &&
	kubectl -n s create quota t --hard=pods=1 --scopes=Terminating &&
	kubectl -n s create quota b --hard=pods=2 --scopes=BestEffort &&
	kubectl -n s create quota x --hard=pods=0 --scopes=CrossNamespacePodAffinity &&
	printf -- "---\n{apiVersion: v1, kind: ResourceQuota, metadata: {name: p}, spec: {hard: {pods: 1}, scopeSelector: {
		matchExpressions: [{scopeName: PriorityClass, operator: In, values: [gold]}]}}}" |
	kubectl -n s create -f - &&
	kubectl -n s run t1 --image=x --overrides="{\"spec\":{\"activeDeadlineSeconds\":5}}" &&
	refused "exceeded quota: t, requested: pods=1" \
		kubectl -n s run t2 --image=x --overrides="{\"spec\":{\"activeDeadlineSeconds\":5}}" &&
	kubectl -n s run b2 --image=x &&
	refused "exceeded quota: b, requested: pods=1, used: pods=2, limited: pods=2" kubectl -n s run b3 --image=x &&
	pod n1 "cpu: 1" | kubectl -n s create -f - &&
	pod g1 "cpu: 1" | sed "s/spec: {/spec: {priorityClassName: gold, /" | kubectl -n s create -f - &&
	pod g2 "cpu: 1" | sed "s/spec: {/spec: {priorityClassName: gold, /" >g2 &&
	refused "exceeded quota: p, requested: pods=1" kubectl -n s create -f g2 &&
	crossing="affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: k, namespaces: [o]}]}}" &&
	pod a1 "cpu: 1" | sed "s/spec: {/spec: {$crossing, /" >a1 &&
	refused "exceeded quota: x, requested: pods=1, used: pods=0, limited: pods=0" kubectl -n s create -f a1
'

test_expect_success '50 creators at once: as many as fit, not one more' '
	kubectl create namespace m &&
	wait_for "kubectl -n m get configmap/kube-root-ca.crt serviceaccount/default" &&
	kubectl -n m create quota q --hard=pods=37,requests.cpu=100 &&
	creates m pods 100 &&
	test_equal "37 63" "$(grep -c 201 codes) $(grep -c 403 codes)" &&
	test_equal 37 "$(kubectl -n m get pods --no-headers | wc -l)" &&
	test_equal "37 3700m" "$(used m pods) $(used m requests\\.cpu)"
'

test_expect_success 'deletes and creates at once' '
	{ kubectl -n m delete pods --all --grace-period=0 --force >/dev/null & } &&
	deleting=$! &&
	creates m pods 100 &&
	wait $deleting &&
	wait_for "test \"\$(kubectl -n m get pods --no-headers | wc -l)\" = \"\$(used m pods)\"" &&
	test "$(used m pods)" -le 37
'

test_expect_success 'a crash in the middle: exact again at once' '
	kubectl create namespace k &&
	wait_for "kubectl -n k get configmap kube-root-ca.crt" &&
	kubectl -n k create quota q --hard=configmaps=1001 &&
	{ creates k configmaps 2000 >/dev/null & } &&
	creating=$! &&
	wait_for "test \"\$(kubectl -n k get configmaps --no-headers | wc -l)\" -gt 100" &&
	kill_server &&
	wait $creating &&
	restart_server &&
	there=$(kubectl -n k get configmaps --no-headers | wc -l) &&
	test_equal "$there" "$(used k configmaps)" &&
	creates k configmaps 2000 &&
	test_equal 1001 "$(kubectl -n k get configmaps --no-headers | wc -l)" &&
	test_equal 1001 "$(used k configmaps)" &&
	test_equal $((1001 - there)) "$(grep -c 201 codes)"
'

test_expect_success 'a quota that is gone holds nobody back' '
	kubectl -n k delete quota q &&
	kubectl -n k create configmap more &&
	kubectl delete namespace a s m k --wait=false
'

test_done
