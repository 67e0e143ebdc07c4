#!/bin/sh
# kinglet simulate: nodes and pods that are only played, over the API that real
# nodes use; what becomes of them when server or simulator go away.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl

# simulate NAME [OPTION...]: in the background; its process is in $sim_NAME, its output in the file NAME.
simulate()
{
	sim_name=$1
	shift
	: >"$sim_name"
	"$KINGLET" simulate --name-prefix "$sim_name" "$@" >"$sim_name" 2>"$sim_name.err" </dev/null &
	eval "sim_$sim_name=$!"
}

nodes() # how many are Ready
{
	kubectl get nodes --no-headers | awk '$2 ~ /^Ready/' | wc -l
}

ready() # DEPLOYMENT: readyReplicas of the newest generation
{
	kubectl get deploy "$1" -o jsonpath='{.status.observedGeneration}/{.metadata.generation} {.status.readyReplicas}/{.status.updatedReplicas}/{.status.replicas}'
}

uids() # of the pods with the label app=$1
{
	kubectl get pods -l "app=$1" -o jsonpath='{range .items[*]}{.metadata.uid}{"\n"}{end}' | sort
}

deployment() # NAME REPLICAS IMAGE
{
	cat <<-YAML
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: $1}
	spec:
	  replicas: $2
	  selector: {matchLabels: {app: $1}}
	  template:
	    metadata: {labels: {app: $1}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers: [{name: c, image: $3, resources: {requests: {cpu: 10m}}}]
	YAML
}

test_expect_success 'a server that is not there: said, and the end' '
	start_server --disable-agent --https-listen-port 16443 &&
	test_must_fail "$KINGLET" simulate --server https://127.0.0.1:9 2>err &&
	test_grep "127.0.0.1:9.*refused" err
'

test_expect_success 'so it is with a token that nobody knows' '
	test_must_fail "$KINGLET" simulate --token wrong 2>err &&
	test_grep "^kinglet simulate: .*Unauthorized" err
'

test_expect_success 'and with what makes no sense' '
	test_must_fail "$KINGLET" simulate --kubeconfig /nowhere 2>err &&
	test_grep "/nowhere.*No such file" err &&
	test_must_fail "$KINGLET" simulate --server ftp://x 2>err &&
	test_grep "ftp://x.* is no URL" err &&
	test_must_fail "$KINGLET" simulate --start-delay soon 2>err &&
	test_grep "start-delay.*soon" err &&
	test_must_fail "$KINGLET" simulate --cpu lots 2>err &&
	test_grep "cpu.*lots" err &&
	test_must_fail "$KINGLET" simulate --name-prefix A_ 2>err &&
	test_grep "name-prefix.*A_" err &&
	test_must_fail "$KINGLET" simulate --nodes 0 2>err &&
	test_grep "nodes" err
'

test_expect_success 'ten nodes register, in zones, with what they were given' '
	simulate sim --nodes 10 --zones 3 --cpu 4 --memory 8Gi --pods 50 --node-label tier=a,rack=1 &&
	wait_for "test_grep \"^10 nodes registered\" sim" &&
	test_equal 10 "$(nodes)" &&
	kubectl get node sim-4 -o jsonpath="{.status.capacity.cpu} {.status.allocatable.memory} {.status.capacity.pods}" >got &&
	test_grep "^4 8Gi 50" got &&
	kubectl get nodes -l topology.kubernetes.io/zone=zone-1,tier=a,rack=1 --no-headers >got &&
	test_lines 3 got &&
	wait_for "kubectl get leases -n kube-node-lease --no-headers | grep -c ^sim- | grep -x 10"
'

test_expect_success 'a hundred pods run on them, are rolled and scaled' '
	deployment web 100 example.com/web:1 | kubectl apply -f - &&
	wait_for "test \"\$(ready web)\" = \"1/1 100/100/100\"" &&
	kubectl get pods -l app=web -o wide --no-headers >got &&
	test "$(awk "\$3 == \"Running\" && \$7 ~ /^sim-/" got | wc -l)" = 100 &&
	uids web >before &&
	kubectl set image deploy/web c=example.com/web:2 &&
	kubectl rollout status deploy/web --timeout=60s &&
	wait_for "test \"\$(ready web)\" = \"2/2 100/100/100\"" &&
	uids web >after &&
	test "$(comm -12 before after | wc -l)" = 0 &&
	kubectl scale deploy/web --replicas=40 &&
	wait_for "uids web >after && test_lines 40 after"
'

test_expect_success 'annotations say what a pod does' '
	kubectl run once --image=x --restart=Never --annotations=simulate.kinglet.io/run-for=0s \
		--annotations=simulate.kinglet.io/exit-code=3 &&
	wait_for "kubectl get pod once -o jsonpath={.status.phase} | grep -x Failed" &&
	kubectl get pod once -o jsonpath="{.status.containerStatuses[0].state.terminated.exitCode}" >got &&
	test_equal 3 "$(cat got)"
'

test_expect_success 'a second simulator beside it has nodes of its own' '
	simulate other --nodes 3 &&
	wait_for "test_grep \"^3 nodes registered\" other" &&
	test_equal 13 "$(nodes)" &&
	kubectl cordon other-0 other-1 other-2
'

test_expect_success 'the server is killed and started: the simulators carry on, no pod is another' '
	uids web >before &&
	kill -9 $SERVER_PID &&
	{ wait $SERVER_PID || :; } &&
	start_server --disable-agent --https-listen-port 16443 &&
	uids web >after &&
	test_cmp before after &&
	kill -0 $sim_sim && kill -0 $sim_other &&
	deployment more 20 example.com/web:1 | kubectl apply -f - &&
	wait_for -t 60 "test \"\$(ready more)\" = \"1/1 20/20/20\""
'

test_expect_success 'the simulator is killed: nobody runs what comes then; a new one takes over what was there' '
	kill -9 $sim_sim && { wait $sim_sim || :; } &&
	kubectl scale deploy/web --replicas=45 &&
	wait_for "test \"\$(uids web | wc -l)\" = 45" &&
	uids web >before &&
	kubectl get deploy web -o jsonpath="{.status.readyReplicas}" >got &&
	test_equal 40 "$(cat got)" &&
	simulate sim --nodes 10 --zones 3 --cpu 4 --memory 8Gi --pods 50 --node-label tier=a,rack=1 &&
	wait_for "test_grep \"^10 nodes registered\" sim" &&
	wait_for "kubectl get deploy web -o jsonpath={.status.readyReplicas} | grep -x 45" &&
	uids web >after &&
	test_cmp before after &&
	kubectl delete deploy web more &&
	wait_for "test \"\$(kubectl get pods -l \"app in (web,more)\" --no-headers | wc -l)\" = 0"
'

test_expect_success 'SIGTERM removes the nodes of this one, --keep leaves them' '
	kill $sim_sim && wait $sim_sim &&
	kubectl get nodes -o name >got &&
	test_lines 3 got &&
	kill $sim_other && wait $sim_other &&
	kubectl get nodes -o name >got &&
	test_lines 0 got &&
	simulate kept --nodes 2 --keep &&
	wait_for "test_grep \"^2 nodes registered\" kept" &&
	kill $sim_kept && wait $sim_kept &&
	kubectl get nodes -o name >got &&
	test_lines 2 got
'

test_done
