#!/bin/sh
# PodSecurity: the three modes, the levels and versions, what namespaces are told
# when their labels change, and the administrator's defaults and exemptions. No
# node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

pod() # NAME SPEC-MEMBERS CONTAINER-MEMBERS
{
	object "apiVersion: v1, kind: Pod, metadata: {name: $1}, spec: {$2 containers: [{name: c, image: x, $3}]}"
}

good="securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}"
plain='allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'

test_expect_success 'start the server' '
	cat >policy <<-END &&
		{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{level: Metadata}]}
	END
	start_server --disable-agent --audit-policy-file "$PWD/policy" --audit-log-path "$PWD/audit.log"
'

test_expect_success 'enforce: a restricted namespace wants pods that say so' '
	kubectl create namespace r &&
	kubectl label namespace r pod-security.kubernetes.io/enforce=restricted &&
	wait_for "kubectl -n r get serviceaccount default" &&
	pod p "" "" >p &&
	refused "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": $plain" kubectl -n r create -f p &&
	refused "violates PodSecurity" kubectl -n r create -f p --dry-run=server &&
	pod ok "" "$good" | kubectl -n r create -f -
'

test_expect_success 'what makes pods is not refused; only its pods are' '
	kubectl -n r create deployment d --image=x 2>err &&
	test_cmp /dev/null err
'

test_expect_success 'baseline names all that it forbids' '
	kubectl label namespace r pod-security.kubernetes.io/enforce=baseline --overwrite &&
	pod b "hostNetwork: true, hostIPC: true, volumes: [{name: h, hostPath: {path: /}}, {name: e, emptyDir: {}}]," \
		"ports: [{containerPort: 80, hostPort: 80}], securityContext: {privileged: true, capabilities: {add: [NET_ADMIN, KILL]}}" >b &&
	refused "violates PodSecurity \"baseline:latest\": non-default capabilities (container \"c\" must not include \"NET_ADMIN\" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostIPC=true), hostPath volumes (volume \"h\"), hostPort (container \"c\" uses hostPort 80), privileged (container \"c\" must not set securityContext.privileged=true)" \
		kubectl -n r create -f b &&
	pod q "" "" | kubectl -n r create -f -
'

test_expect_success 'by version' '
	pod v "" "livenessProbe: {tcpSocket: {host: 192.0.2.1, port: 80}}" >v &&
	refused "violates PodSecurity \"baseline:latest\": probe or lifecycle host (container \"c\" uses probe or lifecycle host \"192.0.2.1\")" \
		kubectl -n r create -f v &&
	kubectl label namespace r pod-security.kubernetes.io/enforce-version=v1.33 &&
	kubectl -n r create -f v
'

test_expect_success 'an ephemeral container must be good, too; a label may always change' '
	kubectl label namespace r pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/enforce-version- --overwrite &&
	kubectl -n r label pod q a=b &&
	kubectl -n r get pod ok -o json >ok.json &&
	debug="{\"spec\":{\"ephemeralContainers\":[{\"name\":\"d\",\"image\":\"x\",\"targetContainerName\":\"c\"}]}}" &&
	refused "violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"d\" must set" \
		kubectl -n r patch pod ok --subresource=ephemeralcontainers -p "$debug"
'

test_expect_success 'a namespace whose labels become stricter is told of its pods' '
	kubectl create namespace e &&
	wait_for "kubectl -n e get serviceaccount default" &&
	for p in p1 p2 p3; do pod $p "" "" | kubectl -n e create -f - || return 1; done &&
	pod host "hostPID: true," "$good" | kubectl -n e create -f - &&
	kubectl label namespace e pod-security.kubernetes.io/enforce=restricted 2>err &&
	cat >want <<-END &&
		Warning: existing pods in namespace "e" violate the new PodSecurity enforce level "restricted:latest"
		Warning: host: host namespaces
		Warning: p1 (and 2 other pods): allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile
	END
	test_cmp want err
'

test_expect_success 'warn: of pods and of what makes them' '
	kubectl create namespace w &&
	wait_for "kubectl -n w get serviceaccount default" &&
	kubectl label namespace w pod-security.kubernetes.io/warn=restricted pod-security.kubernetes.io/warn-version=v1.30 &&
	kubectl -n w create -f p 2>err &&
	test_grep -F "Warning: would violate PodSecurity \"restricted:v1.30\": $plain" err &&
	kubectl -n w create deployment d --image=x 2>err &&
	test_grep -F "Warning: would violate PodSecurity \"restricted:v1.30\": allowPrivilegeEscalation != false (container \"x\" must set" err &&
	kubectl -n w create cronjob j --image=x --schedule="* * * * *" 2>err &&
	test_grep -F "Warning: would violate PodSecurity" err &&
	pod ok "" "$good" | kubectl -n w create -f - 2>err &&
	test_must_fail grep Warning err
'

test_expect_success 'audit: the audit log knows' '
	kubectl create namespace u &&
	wait_for "kubectl -n u get serviceaccount default" &&
	kubectl label namespace u pod-security.kubernetes.io/audit=baseline &&
	kubectl -n u create -f b 2>err &&
	test_must_fail grep Warning err &&
	wait_for "grep -F pod-security.kubernetes.io/audit-violations audit.log" &&
	test_grep -F "would violate PodSecurity \\\"baseline:latest\\\": non-default capabilities" audit.log
'

test_expect_success 'labels that mean nothing are refused' '
	refused "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted" \
		kubectl label namespace w pod-security.kubernetes.io/enforce=strict &&
	object "apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {pod-security.kubernetes.io/warn-version: v2.1}}" >x &&
	refused "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"v2.1\": must be \"latest\" or \"v1.x\"" \
		kubectl create -f x
'

test_expect_success 'the administrator sets defaults and exempts namespaces, users and runtime classes' '
	cat >admission.yaml <<-END &&
		apiVersion: apiserver.config.k8s.io/v1
		kind: AdmissionConfiguration
		plugins:
		- name: PodSecurity
		  path: podsecurity.yaml
	END
	cat >podsecurity.yaml <<-END &&
		apiVersion: pod-security.admission.config.k8s.io/v1
		kind: PodSecurityConfiguration
		defaults: {enforce: baseline, enforce-version: v1.29}
		exemptions: {usernames: [boss], namespaces: [kube-system, free], runtimeClasses: [vm]}
	END
	restart_server --disable-agent --admission-control-config-file "$PWD/admission.yaml" &&
	kubectl create namespace dflt && kubectl create namespace free &&
	wait_for "kubectl -n dflt get serviceaccount default && kubectl -n free get serviceaccount default" &&
	refused "violates PodSecurity \"baseline:v1.29\": non-default capabilities" kubectl -n dflt create -f b &&
	kubectl -n free create -f b &&
	kubectl create clusterrolebinding boss --clusterrole=cluster-admin --user=boss &&
	kubectl --as boss -n dflt create -f b &&
	object "apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: vm}, handler: h" | kubectl create -f - &&
	sed "s/spec: {/spec: {runtimeClassName: vm, /; s/name: b/name: b2/" b | kubectl -n dflt create -f -
'

bad_config() # TEXT: what the server says of ./podsecurity.yaml
{
	test_must_fail "$KINGLET" server --data-dir "$PWD/other" --write-kubeconfig "$PWD/kc" --disable-agent --https-listen-port 0 \
		--admission-control-config-file "$PWD/admission.yaml" >got 2>&1 &&
	test_grep -F "$1" got
}

test_expect_success 'a file that can not be used is named, with the reason' '
	sed -i s/baseline/strict/ podsecurity.yaml &&
	bad_config "defaults.enforce: Invalid value: \"strict\": must be one of privileged, baseline, restricted" &&
	sed -i s/defaults/default/ podsecurity.yaml &&
	bad_config "unknown field \"default\"" &&
	echo "{" >podsecurity.yaml &&
	bad_config podsecurity.yaml &&
	rm podsecurity.yaml &&
	bad_config "No such file" &&
	echo "kind: Other" >admission.yaml &&
	bad_config "it is no AdmissionConfiguration of apiserver.config.k8s.io/v1"
'

test_done
