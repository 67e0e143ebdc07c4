#!/bin/sh
# Static pods: what lies in the node's directory runs and has a mirror in the API,
# which nobody can stop there; garbage, giants and links in the directory hurt nobody.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

dir=$DATA/agent/pod-manifests

manifest() # NAME [WORD]: a pod that says WORD
{
	cat <<-EOT
	apiVersion: v1
	kind: Pod
	metadata:
	  name: $1
	  labels: {app: $1}
	spec:
	  terminationGracePeriodSeconds: 1
	  containers:
	  - name: main
	    image: localhost/demo:1
	    command: [sh, -c, "echo ${2:-hello}; trap 'exit 0' TERM; while :; do sleep 0.2; done"]
	EOT
}

place() # FILE: standard input becomes FILE in the directory, at once
{
	cat >"$TRASH/manifest" && mv "$TRASH/manifest" "$dir/$1"
}

jsonpath() # POD PATH
{
	kubectl get pod "$1" -o "jsonpath={$2}"
}

test_expect_success 'a manifest that was there before the start runs, and its mirror says so' '
	mkdir -p "$dir" &&
	manifest web >"$dir/web.yaml" &&
	start_server &&
	import_demo &&
	wait_node &&
	wait_for "kubectl get pod web-n1" &&
	kubectl wait --for=condition=Ready pod/web-n1 --timeout=60s &&
	kubectl get pod web-n1 >got &&
	test_grep "^web-n1  *1/1  *Running" got &&
	wait_for "kubectl logs web-n1 | grep hello" &&
	test_equal x "$(kubectl exec web-n1 -- echo x)"
'

test_expect_success 'its annotations, owner, toleration and label' '
	hash=$(jsonpath web-n1 ".metadata.annotations.kubernetes\.io/config\.hash") &&
	test 32 = ${#hash} &&
	test_equal "$hash" "$(jsonpath web-n1 ".metadata.annotations.kubernetes\.io/config\.mirror")" &&
	test_equal file "$(jsonpath web-n1 ".metadata.annotations.kubernetes\.io/config\.source")" &&
	jsonpath web-n1 ".metadata.annotations.kubernetes\.io/config\.seen" >got &&
	test_grep "^20.*Z$" got &&
	test_equal "Node n1 true" "$(kubectl get pod web-n1 -o \
		jsonpath="{.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name} {.metadata.ownerReferences[0].controller}")" &&
	test_equal NoExecute "$(jsonpath web-n1 ".spec.tolerations[0].effect")" &&
	test_equal web-n1 "$(kubectl get pod -l app=web -o jsonpath="{.items[*].metadata.name}")" &&
	kubectl describe pod web-n1 >got &&
	test_grep "Controlled By:  *Node/n1" got &&
	test_grep "Started  *.*Container started" got
'

test_expect_success 'deleting the mirror changes nothing: it comes back, the container runs on' '
	uid=$(jsonpath web-n1 .metadata.uid) id=$(jsonpath web-n1 ".status.containerStatuses[0].containerID") &&
	kubectl delete pod web-n1 --timeout=30s &&
	wait_for "kubectl get pod web-n1" &&
	test "$(jsonpath web-n1 .metadata.uid)" != $uid &&
	kubectl wait --for=condition=Ready pod/web-n1 --timeout=30s &&
	test_equal "$id" "$(jsonpath web-n1 ".status.containerStatuses[0].containerID")" &&
	kubectl delete pod web-n1 --grace-period=0 --force 2>/dev/null &&
	wait_for "kubectl get pod web-n1" &&
	kubectl wait --for=condition=Ready pod/web-n1 --timeout=30s &&
	test_equal "$id" "$(jsonpath web-n1 ".status.containerStatuses[0].containerID")" &&
	test_equal 0 "$(jsonpath web-n1 ".status.containerStatuses[0].restartCount")"
'

test_expect_success 'a changed manifest is another pod' '
	manifest web changed | place web.yaml &&
	wait_for "kubectl logs web-n1 | grep changed" &&
	wait_for "test \"\$(jsonpath web-n1 .metadata.annotations.kubernetes\\.io/config\\.hash)\" != $hash" &&
	kubectl wait --for=condition=Ready pod/web-n1 --timeout=30s
'

test_expect_success 'garbage, giants, links and what is no static pod: each is told, none hurts' '
	echo ": : [" | place broken.yaml &&
	head -c 3000000 /dev/zero | tr "\0" "#" | place huge.yaml &&
	head -c 100000 /dev/urandom | place noise &&
	ln -s /dev/zero "$dir/zero" &&
	ln -s nowhere "$dir/dangling" &&
	ln -s loop "$dir/loop" &&
	mkdir "$dir/folder" && mkfifo "$dir/fifo" &&
	{ manifest a; echo ---; manifest b; } | place two.yaml &&
	printf "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n" | place secret.yaml &&
	manifest account | sed "s/^spec:/&\n  serviceAccountName: me/" | place account.yaml &&
	manifest "../../up" | place up.yaml &&
	manifest web | place zagain.yaml &&
	manifest .hidden | place .hidden.yaml &&
	manifest last | place last.yaml &&
	wait_for "kubectl get pod last-n1" &&
	kubectl wait --for=condition=Ready pod/last-n1 --timeout=30s &&
	wait_for "grep \"static pods may not reference serviceaccounts\" \"$LOG\"" &&
	for f in broken huge noise zero dangling loop folder fifo two secret account up; do
		grep -q "manifest file.*pod-manifests/$f" "$LOG" || { echo "$f is not told"; return 1; }
	done &&
	grep -q "another manifest has a pod" "$LOG" &&
	kubectl get pods -A -o name >got &&
	test_equal 2 "$(wc -l <got)" &&
	wait_node
'

test_expect_success 'after a restart of the server the same containers run' '
	id=$(jsonpath last-n1 ".status.containerStatuses[0].containerID") &&
	stop_server && start_server && wait_node &&
	kubectl wait --for=condition=Ready pod/last-n1 pod/web-n1 --timeout=30s &&
	test_equal "$id" "$(jsonpath last-n1 ".status.containerStatuses[0].containerID")"
'

test_expect_success 'a mirror without a manifest goes, and so does the pod with its file' '
	rm -f "$dir/last.yaml" &&
	wait_for "! kubectl get pod last-n1" &&
	stop_server && rm -rf "$dir"/* && start_server && wait_node &&
	wait_for "! kubectl get pod web-n1" &&
	wait_for "test -z \"\$(ls \"$DATA/agent/pods\")\""
'

test_done
