#!/bin/sh
# securityContext of pods and containers as their processes see it; what a node refuses and in which words;
# users of a pod's own; runtime classes.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

quote="'"

# One pod of the demo image; SPEC and CONTAINER are members of JSON objects, with a comma behind them.
pod() # NAME COMMAND-IN-SHELL [SPEC [CONTAINER]]
{
	printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"terminationGracePeriodSeconds":1,
		"restartPolicy":"Never",%s"containers":[{"name":"c","image":"localhost/demo:1",%s
		"command":["sh","-c","%s"]}]}}' "$1" "$3" "$4" "$2" | kubectl create -f -
}

# What a pod's only container said, once it is through.
said()
{
	wait_for -t 30 "kubectl get pod $1 -o jsonpath='{.status.containerStatuses[0].state.terminated.reason}' | grep ." &&
	kubectl logs "$1" >got &&
	cat got
}

state() # POD: why its container waits
{
	kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}: {.status.containerStatuses[0].state.waiting.message}'
}

rejected() # POD REASON TEXT
{
	wait_for "kubectl get pod $1 -o jsonpath='{.status.phase}' | grep Failed" &&
	test_equal "$2: Pod was rejected: $3" "$(kubectl get pod "$1" -o jsonpath='{.status.reason}: {.status.message}')"
}

test_expect_success 'start' '
	mkdir -p "$DATA/agent/seccomp/deep" &&
	echo "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],
		\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":122}]}" >"$DATA/agent/seccomp/deep/nodirs.json" &&
	echo "{ broken" >"$DATA/agent/seccomp/broken.json" &&
	import_demo && start_server && wait_node &&
	kubectl get node n1 -o jsonpath="{.status.features} {.status.runtimeHandlers}" >got &&
	test_grep "supplementalGroupsPolicy.:true" got && test_grep "recursiveReadOnlyMounts.:true,.userNamespaces.:true},.name.:.runc" got
'

test_expect_success 'users and groups, and the status says which' '
	pod user "id -u; id -g; id -G; sleep 600" "\"securityContext\":{\"runAsUser\":1000,\"runAsGroup\":3000,
		\"fsGroup\":2000,\"supplementalGroups\":[4000]}," &&
	pod own "id -u; id -g; id -G; sleep 600" "\"securityContext\":{\"runAsUser\":1000,\"runAsGroup\":3000}," \
		"\"securityContext\":{\"runAsUser\":1001}," &&
	pod strict "id -G; sleep 600" "\"securityContext\":{\"supplementalGroupsPolicy\":\"Strict\",
		\"supplementalGroups\":[4000],\"runAsUser\":1000}," &&
	kubectl wait --for=condition=Ready pod/user pod/own pod/strict --timeout=60s &&
	test_equal "1000 3000 3000 2000 4000" "$(kubectl logs user | xargs)" &&
	test_equal "1001 3000 3000" "$(kubectl logs own | xargs)" &&
	test_equal "1000 4000" "$(kubectl logs strict | xargs)" &&
	test_equal "{\"gid\":3000,\"supplementalGroups\":[2000,3000,4000],\"uid\":1000}" \
		"$(kubectl get pod user -o jsonpath="{.status.containerStatuses[0].user.linux}")" &&
	test_equal "uid=1000(demo) gid=3000 groups=2000,3000,4000" "$(kubectl exec user -- id)"
'

test_expect_success 'runAsNonRoot' '
	pod root "true" "\"securityContext\":{\"runAsNonRoot\":true}," &&
	pod zero "true" "" "\"securityContext\":{\"runAsNonRoot\":true,\"runAsUser\":0}," &&
	wait_for "state root | grep \"^CreateContainerConfigError: container has runAsNonRoot and image will run as root\"" &&
	uid=$(kubectl get pod root -o jsonpath="{.metadata.uid}") &&
	state root >got && test_grep -F "(pod: \"root_default($uid)\", container: c)" got &&
	wait_for "state zero | grep \"runAsUser breaks non-root policy\"" &&
	kubectl delete pod --all --now
'

test_expect_success 'capabilities, privileged, no new privileges, a read-only root' '
	pod plain "grep -e CapEff -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status" &&
	pod drop "grep CapEff /proc/self/status" "" "\"securityContext\":{\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_ADMIN\"]}}," &&
	pod priv "grep -e CapEff -e Seccomp: /proc/self/status; ls /dev | grep -c -e loop -e vd -e kmsg -e mem; grep -c /proc/sys /proc/self/mounts" \
		"" "\"securityContext\":{\"privileged\":true}," &&
	pod tight "grep NoNewPrivs /proc/self/status; touch /x; touch /dev/shm/x && echo shm" "" \
		"\"securityContext\":{\"allowPrivilegeEscalation\":false,\"readOnlyRootFilesystem\":true}," &&
	said plain && test_grep "CapEff:.*00000000a80425fb" got && test_grep "CapBnd:.*00000000a80425fb" got &&
	test_grep "NoNewPrivs:.*0" got && test_grep "Seccomp:.*2" got &&
	said drop && test_grep "0000000000001000" got &&
	said priv && test_grep "$(grep CapEff /proc/self/status)" got && test_grep "Seccomp:.*0" got && test_grep "^0$" got &&
	test_grep "^[1-9]" got &&
	said tight && test_grep "NoNewPrivs:.*1" got && test_grep "Read-only file system" got && test_grep "^shm$" got
'

test_expect_success 'seccomp profiles: the default, of the machine, none, missing, broken' '
	pod local "mkdir /d" "\"securityContext\":{\"seccompProfile\":{\"type\":\"Localhost\",\"localhostProfile\":\"deep/nodirs.json\"}}," &&
	pod free "grep Seccomp: /proc/self/status" "\"securityContext\":{\"seccompProfile\":{\"type\":\"Unconfined\"}}," &&
	pod lost "true" "\"securityContext\":{\"seccompProfile\":{\"type\":\"Localhost\",\"localhostProfile\":\"none.json\"}}," &&
	pod broken "true" "\"securityContext\":{\"seccompProfile\":{\"type\":\"Localhost\",\"localhostProfile\":\"broken.json\"}}," &&
	said local && test_grep "Disk quota exceeded" got &&
	said free && test_grep "Seccomp:.*0" got &&
	wait_for "state lost | grep \"^CreateContainerError: .*cannot load seccomp profile .*/agent/seccomp/none.json.*No such file\"" &&
	wait_for "state broken | grep \"^CreateContainerError: .*cannot load seccomp profile .*/agent/seccomp/broken.json\"" &&
	kubectl delete pod --all --now
'

test_expect_success 'sysctls: safe ones are set, others are refused unless the node allows them' '
	pod safe "cat /proc/sys/net/ipv4/tcp_keepalive_time /proc/sys/net/ipv4/ip_local_port_range" "\"securityContext\":{\"sysctls\":[
		{\"name\":\"net.ipv4.tcp_keepalive_time\",\"value\":\"600\"},
		{\"name\":\"net/ipv4/ip_local_port_range\",\"value\":\"10000 20000\"}]}," &&
	pod unsafe "true" "\"securityContext\":{\"sysctls\":[{\"name\":\"kernel.msgmax\",\"value\":\"65536\"}]}," &&
	pod global "true" "\"securityContext\":{\"sysctls\":[{\"name\":\"vm.swappiness\",\"value\":\"1\"}]}," &&
	said safe && test_equal "600 10000 20000" "$(xargs <got)" &&
	rejected unsafe SysctlForbidden "forbidden sysctl: \"kernel.msgmax\" not allowlisted" &&
	rejected global SysctlForbidden "forbidden sysctl: \"vm.swappiness\" not allowlisted" &&
	kubectl delete pod --all --now &&
	restart_server --kubelet-arg "allowed-unsafe-sysctls=kernel.msg*,net.core.somaxconn" --kubelet-arg pod-max-pids=100 &&
	pod unsafe "cat /proc/sys/kernel/msgmax /proc/sys/net/core/somaxconn" "\"securityContext\":{\"sysctls\":[
		{\"name\":\"kernel.msgmax\",\"value\":\"65536\"},{\"name\":\"net.core.somaxconn\",\"value\":\"77\"}]}," &&
	said unsafe && test_equal "65536 77" "$(xargs <got)"
'

test_expect_success 'settings that are none' '
	stop_server &&
	test_must_fail "$KINGLET" server --data-dir "$DATA" --cgroup "$CGROUP" --kubelet-arg nonesuch=1 2>err &&
	test_grep "kubelet-arg .nonesuch=1.: there is no such setting here" err &&
	test_must_fail "$KINGLET" server --data-dir "$DATA" --cgroup "$CGROUP" --kubelet-arg "allowed-unsafe-sysctls=vm.*" 2>err &&
	test_grep "the sysctls are not known to be namespaced: .vm.\*" err &&
	start_server && wait_node
'

test_expect_success 'refused by the node: AppArmor that it lacks, another system' '
	pod armor "sleep 600" "" "\"securityContext\":{\"appArmorProfile\":{\"type\":\"RuntimeDefault\"}}," &&
	{ [ -e /sys/module/apparmor ] || rejected armor AppArmor "Cannot enforce AppArmor: AppArmor is not enabled on the host"; } &&
	printf "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"win\"},\"spec\":{\"nodeName\":\"n1\",
		\"os\":{\"name\":\"windows\"},\"containers\":[{\"name\":\"c\",\"image\":\"localhost/demo:1\"}]}}" | kubectl create -f - &&
	rejected win PodOSNotSupported "Failed to admit pod as the OS field doesn${quote}t match node OS" &&
	kubectl delete pod --all --now
'

test_expect_success 'a pod with users of its own: volumes of every kind, ids, what the host sees' '
	mkdir -m 0777 "$TRASH/host" &&
	kubectl create configmap conf --from-literal=k=v &&
	kubectl create secret generic sec --from-literal=s=x &&
	pod inner "cat /proc/self/uid_map; cat /c/k /s/s; test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token; id -u; touch /h/f /e/f && ls -ln /h/f; cat /etc/hosts | grep -c inner; echo done; sleep 600" \
		"\"hostUsers\":false,\"volumes\":[{\"name\":\"h\",\"hostPath\":{\"path\":\"$TRASH/host\"}},{\"name\":\"e\",\"emptyDir\":{}},
		{\"name\":\"c\",\"configMap\":{\"name\":\"conf\"}},{\"name\":\"s\",\"secret\":{\"secretName\":\"sec\"}}]," \
		"\"volumeMounts\":[{\"name\":\"h\",\"mountPath\":\"/h\"},{\"name\":\"e\",\"mountPath\":\"/e\"},
		{\"name\":\"c\",\"mountPath\":\"/c\"},{\"name\":\"s\",\"mountPath\":\"/s\"}]," &&
	pod inner2 "cat /proc/self/uid_map; echo done; sleep 600" "\"hostUsers\":false," &&
	wait_for -t 30 "kubectl logs inner | grep done && kubectl logs inner2 | grep done" &&
	kubectl logs inner >got && cat got &&
	test_grep "^vxtoken$" got && test_grep "^0$" got && test_grep " 0  *0 .*/h/f" got && test_grep "^1$" got &&
	set -- $(head -n1 got) && base=$2 && test "$base" -ge 1048576 && test_equal "0 65536" "$1 $3" &&
	set -- $(kubectl logs inner2 | head -n1) && test "$2" != "$base" &&
	test_equal 0 "$(stat -c %u "$TRASH/host/f")" &&
	pid=$(container_processes | grep "sleep 600" | head -n1 | cut -d" " -f1) &&
	test "$(stat -c %u /proc/$pid)" -ge 1048576 &&
	test_equal "uid=0 gid=0" "$(kubectl exec inner -- id | cut -d" " -f1,2 | sed "s/([a-z]*)//g")" &&
	test_equal "$base" "$(kubectl exec inner -- cat /proc/self/gid_map | xargs | cut -d" " -f2)"
'

test_expect_success 'its ids stay when the daemon comes back, and when a container is started again' '
	restart_server && wait_node &&
	test_equal "$base" "$(kubectl exec inner -- cat /proc/self/uid_map | xargs | cut -d" " -f2)" &&
	kubectl get pod inner -o jsonpath="{.status.containerStatuses[0].user.linux.uid}" >got && test_equal 0 "$(cat got)" &&
	test_equal "$base" "$(cat "$DATA"/agent/files/$(kubectl get pod inner -o jsonpath="{.metadata.uid}")/users)" &&
	kubectl delete pod inner inner2 --now &&
	test_must_fail ls "$DATA"/agent/files/*/users
'

test_expect_success 'root of such a pod rules it, and nothing of the host' '
	pod ruler "mkdir /m && mount -t tmpfs none /m && echo mounted; ip addr add 10.9.9.9/32 dev lo && echo address; mknod /dev/x c 1 3; echo 1 >/proc/sys/kernel/panic; cat /proc/kcore | wc -c" \
		"\"hostUsers\":false," "\"securityContext\":{\"procMount\":\"Unmasked\",\"seccompProfile\":{\"type\":\"Unconfined\"},
		\"capabilities\":{\"add\":[\"SYS_ADMIN\",\"NET_ADMIN\"]}}," &&
	said ruler && test_grep "^mounted$" got && test_grep "^address$" got && test_grep "mknod: /dev/x: Operation not permitted" got &&
	test_grep "Permission denied\|Read-only" got && kubectl delete pod ruler --now
'

test_expect_success 'runtime classes: the built-in one by any usual name, unknown ones with their reason' '
	refused "RuntimeClass \"nowhere\" not found" pod x "true" "\"runtimeClassName\":\"nowhere\"," &&
	kubectl create -f - <<-EOF &&
	{"apiVersion":"v1","kind":"List","items":[
	{"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"usual"},"handler":"runc",
	 "overhead":{"podFixed":{"cpu":"10m","memory":"1Mi"}}},
	{"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"vm"},"handler":"kata"}]}
	EOF
	pod usual "echo ran" "\"runtimeClassName\":\"usual\"," &&
	pod vm "true" "\"runtimeClassName\":\"vm\"," &&
	said usual && test_grep ran got &&
	test_equal "10m" "$(kubectl get pod usual -o jsonpath="{.spec.overhead.cpu}")" &&
	wait_for "kubectl get events | grep \"FailedCreatePodSandBox.*pod/vm.*Failed to create pod sandbox: failed to get sandbox runtime: no runtime for .kata. is configured\"" &&
	kubectl delete runtimeclass vm &&
	wait_for "kubectl get events | grep \"runtimeclass.node.k8s.io .vm. not found\"" &&
	kubectl delete pod --all --now
'

test_expect_success 'devices that nobody offers: the pod says so' '
	pod gpu "true" "" "\"resources\":{\"limits\":{\"example.com/gpu\":1}}," &&
	wait_for "kubectl describe pod gpu | grep \"0/1 nodes are available: 1 Insufficient example.com/gpu\"" &&
	kubectl delete pod gpu --now
'

test_done
