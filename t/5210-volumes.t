#!/bin/sh
# Volumes as containers see them: every type that needs no other machine, updates
# by a swap, subPaths and the races around them, read-only and shared mounts, and
# that nothing of them is left, whatever ended in between.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox git

# pod NAME COMMAND MOUNTS VOLUMES [CONTAINER-FIELDS] [SPEC-FIELDS]
pod()
{
	object "apiVersion: v1, kind: Pod, metadata: {name: $1, labels: {app: first}}, spec: {restartPolicy: Never,
		terminationGracePeriodSeconds: 0${6:+, $6}, volumes: [$4], containers: [{name: c, image: localhost/demo:1,
		volumeMounts: [$3], command: [sh, -c, \"$2\"]${5:+, $5}}]}"
}

ended() # POD
{
	wait_for "kubectl get pod $1 -o jsonpath='{.status.phase}' | grep -E 'Succeeded|Failed'"
}

says() # POD TEXT: in its description
{
	wait_for "kubectl describe pod $1 | grep -F '$2'"
}

test_expect_success 'start' '
	mkdir -p "$TRASH/host/dir" && : >"$TRASH/host/file" &&
	mount -t tmpfs shared "$TRASH/host/dir" && mount --make-shared "$TRASH/host/dir" &&
	start_server && import_demo && wait_node
'

test_expect_success 'hostPath: types are checked, and what is missing is made, in the words of the kubelet' '
	h=$TRASH/host &&
	pod h1 "sleep 600" "" "{name: v, hostPath: {path: $h/none, type: Directory}}" | kubectl apply -f - &&
	pod h2 "sleep 600" "" "{name: v, hostPath: {path: $h/file, type: Directory}}" | kubectl apply -f - &&
	pod h3 "sleep 600" "" "{name: v, hostPath: {path: $h/dir, type: Socket}}" | kubectl apply -f - &&
	pod h4 "ls -d /a /b/c; echo x >/f" "{name: v, mountPath: /a}, {name: w, mountPath: /b/c}, {name: f, mountPath: /f}" \
		"{name: v, hostPath: {path: $h/made, type: DirectoryOrCreate}}, {name: w, hostPath: {path: $h/any}},
		{name: f, hostPath: {path: $h/fmade, type: FileOrCreate}}" | kubectl apply -f - &&
	says h1 "MountVolume.SetUp failed for volume \"v\" : hostPath $h/none doesn" &&
	says h2 "hostPath type check failed: $h/file is not a directory, it" &&
	says h3 "hostPath type check failed: $h/dir is not a socket file, it" &&
	ended h4 && test_equal x "$(cat "$h/fmade")" && [ -d "$h/any" ] && [ -d "$h/made" ]
'

test_expect_success 'configMap, secret, downwardAPI, projected: content, modes, items, optional; kept in memory' '
	head -c 300 /dev/urandom >bin && head -c 1000000 /dev/zero | tr "\0" x >big &&
	kubectl create configmap cm --from-literal=k=v1 --from-file=bin && kubectl create configmap big --from-file=big &&
	kubectl create secret generic sec --from-literal=pw=secret &&
	pod api "while :; do sleep 0.2; done" "{name: cm, mountPath: /cm}, {name: sec, mountPath: /sec}, {name: big, mountPath: /big},
		{name: down, mountPath: /down}, {name: all, mountPath: /all}, {name: cm, mountPath: /one, subPath: k}" \
		"{name: cm, configMap: {name: cm, items: [{key: k, path: a/b, mode: 256}, {key: k, path: k}, {key: bin, path: bin}]}},
		{name: sec, secret: {secretName: sec, defaultMode: 288}}, {name: big, configMap: {name: big}},
		{name: down, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}},
			{path: cpu, resourceFieldRef: {containerName: c, resource: requests.cpu, divisor: 1m}}]}},
		{name: all, projected: {sources: [{configMap: {name: cm, items: [{key: k, path: x/k}]}}, {secret: {name: sec}},
			{configMap: {name: none, optional: true}}, {serviceAccountToken: {path: token, audience: me}}]}}" \
		"resources: {requests: {cpu: 250m}}" | kubectl apply -f - &&
	kubectl wait --for=condition=Ready pod/api --timeout=30s &&
	kubectl exec api -- sh -c "stat -Lc %a /cm/a/b /sec/pw; cat /sec/pw /cm/k /one /down/labels /down/cpu /all/x/k; wc -c </big/big;
		sha256sum </cm/bin; ls /all; ! touch /cm/new" >got &&
	printf "400\n440\nsecretv1v1app=\"first\"250v11000000\n%s\npw\ntoken\nx\n" "$(sha256sum <bin)" >want && test_cmp want got &&
	uid=$(kubectl get pod api -o jsonpath="{.metadata.uid}") &&
	test_equal tmpfs "$(stat -fc %T "$DATA/agent/volatile/$uid/kubernetes.io~secret/sec")"
'

test_expect_success 'a change is seen within seconds, all at once; labels too; a source that vanishes changes nothing' '
	kubectl patch configmap cm -p "{\"data\": {\"k\": \"v2\"}}" && kubectl label pod api app=second --overwrite &&
	kubectl patch secret sec -p "{\"stringData\": {\"pw\": \"other\"}}" &&
	wait_for "test \"\$(kubectl exec api -- sh -c \"cat /cm/k /all/x/k /sec/pw /down/labels /one\")\" = \"v2v2otherapp=\\\"second\\\"v1\"" &&
	kubectl create configmap none --from-literal=n=new && wait_for "kubectl exec api -- cat /all/n | grep new" &&
	kubectl delete configmap cm && says api "configmap \"cm\" not found" &&
	test_equal v2 "$(kubectl exec api -- cat /cm/k)"
'

test_expect_success 'emptyDir: on disk and in memory, fsGroup; subPath and subPathExpr' '
	pod ed "id -G; stat -c %g-%a /d /m; df -k /m | tail -n 1; echo hi >/s/x; cat /d/a/ed/x; stat -c %a /d/a" \
		"{name: d, mountPath: /d}, {name: m, mountPath: /m}, {name: d, mountPath: /s, subPathExpr: a/\$(ME)}" \
		"{name: d, emptyDir: {}}, {name: m, emptyDir: {medium: Memory, sizeLimit: 3Mi}}" \
		"env: [{name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]" "securityContext: {runAsUser: 1000, fsGroup: 2345}" |
		kubectl apply -f - &&
	ended ed && kubectl logs ed >got && test_grep 2345 got && test_equal 2 "$(grep -c "^2345-2777$" got)" &&
	test_grep "tmpfs  *3072 " got && test_grep "^hi$" got && test_grep "^2777$" got &&
	pod e2 "env" "{name: d, mountPath: /d, subPathExpr: \$(NO)/x}" "{name: d, emptyDir: {}}" | kubectl apply -f - &&
	wait_for "kubectl get pod e2 | grep CreateContainerConfigError" && says e2 "missing value for NO"
'

test_expect_success 'no link leads a subPath out of its volume, also not while a container swaps links' '
	echo outside >"$TRASH/host/secret" &&
	pod evil "ln -s $TRASH/host /v/out; ln -s ../../../../../../.. /v/up; mkdir /v/d; echo in >/v/d/secret;
		while :; do ln -sfn $TRASH/host /v/s; ln -sfn d /v/s; done" "{name: v, mountPath: /v}" "{name: v, hostPath: {path: $TRASH/host/dir}}" |
		kubectl apply -f - &&
	kubectl wait --for=condition=Ready pod/evil --timeout=30s && wait_for "test -e \"$TRASH/host/dir/d/secret\"" &&
	for i in 1 2 3 4; do
		pod in$i "cat /a/secret; ls /a /c/root; echo up" "{name: v, mountPath: /a, subPath: s}, {name: v, mountPath: /c, subPath: up}" "{name: v, hostPath: {path: $TRASH/host/dir}}" | kubectl apply -f - || return 1
	done &&
	pod out "ls /b; cat /b/secret" "{name: v, mountPath: /b, subPath: out}" "{name: v, hostPath: {path: $TRASH/host/dir}}" | kubectl apply -f - &&
	says out "failed to create subPath directory for volumeMount \"v\" of container \"c\"" &&
	for i in 1 2 3 4; do
		wait_for "kubectl get pod in$i | grep -E \"Completed|Error|CreateContainerConfigError\"" &&
		! { kubectl logs in$i 2>/dev/null | grep outside; } || return 1
	done &&
	kubectl delete pod evil out in1 in2 in3 in4 --now
'

test_expect_success 'read-only to the bottom, and what the status says of it' '
	mkdir -p "$TRASH/host/ro/sub" && mount -t tmpfs sub "$TRASH/host/ro/sub" &&
	pod ro "touch /a/x /b/x; touch /a/sub/x && echo plain; touch /b/sub/x || echo deep" "{name: v, mountPath: /a, readOnly: true},
		{name: v, mountPath: /b, readOnly: true, recursiveReadOnly: Enabled}, {name: v, mountPath: /c, readOnly: true, recursiveReadOnly: IfPossible}" \
		"{name: v, hostPath: {path: $TRASH/host/ro}}" | kubectl apply -f - &&
	ended ro && umount "$TRASH/host/ro/sub" && kubectl logs ro >got && test_grep plain got && test_grep deep got &&
	test_equal 2 "$(grep -c "/[ab]/x: Read-only" got)" &&
	test_equal "Disabled Enabled Enabled Disabled" "$(kubectl get pod ro -o jsonpath="{.status.containerStatuses[0].volumeMounts[?(@.readOnly)].recursiveReadOnly}")"
'

test_expect_success 'mounts go from the host to containers and back, as far as they are asked to' '
	pod prop "sleep 600" "{name: v, mountPath: /h, mountPropagation: HostToContainer}, {name: v, mountPath: /n},
		{name: v, mountPath: /b, mountPropagation: Bidirectional}" "{name: v, hostPath: {path: $TRASH/host/dir}}" \
		"securityContext: {privileged: true}" | kubectl apply -f - &&
	kubectl wait --for=condition=Ready pod/prop --timeout=30s && mkdir -p "$TRASH/host/dir/late" "$TRASH/host/dir/mine" &&
	mount -t tmpfs late "$TRASH/host/dir/late" && : >"$TRASH/host/dir/late/seen" &&
	test_equal "/b/late/seen /h/late/seen" "$(kubectl exec prop -- sh -c "ls /b/late/seen /h/late/seen /n/late/seen 2>/dev/null | sort | xargs")" &&
	kubectl exec prop -- sh -c "mount -t tmpfs mine /b/mine && touch /b/mine/made && mount -t tmpfs not /h/d" &&
	[ -e "$TRASH/host/dir/mine/made" ] && ! grep " $TRASH/host/dir/d " /proc/self/mountinfo &&
	umount "$TRASH/host/dir/mine" "$TRASH/host/dir/late" && kubectl delete pod prop --now &&
	mount -t tmpfs priv "$TRASH/host/made" &&
	pod notshared "env" "{name: v, mountPath: /b, mountPropagation: Bidirectional}" "{name: v, hostPath: {path: $TRASH/host/made}}" \
		"securityContext: {privileged: true}" | kubectl apply -f - && says notshared "but it is not a shared mount" &&
	umount "$TRASH/host/made"
'

test_expect_success 'image volumes: read-only, no programs, subPath' '
	pod img "ls /i/bin | head -n 1; touch /i/x; /i/bin/busybox true || echo cannot; ls /b | head -n 1" "{name: i, mountPath: /i},
		{name: i, mountPath: /b, subPath: bin}" "{name: i, image: {reference: \"localhost/demo:1\", pullPolicy: IfNotPresent}}" | kubectl apply -f - &&
	pod noimg "env" "{name: i, mountPath: /i}" "{name: i, image: {reference: \"localhost/none:1\", pullPolicy: Never}}" | kubectl apply -f - &&
	ended img && kubectl logs img >got && test_grep "Read-only file system" got && test_grep cannot got &&
	wait_for "kubectl get pod noimg | grep ErrImageNeverPull" &&
	says noimg "Container image \"localhost/none:1\" is not present with pull policy of Never"
'

test_expect_success 'gitRepo: a clone at a revision by somebody without rights; no files of this machine, no hooks' '
	git init -q -b main repo && cd repo && git config user.email a@b && git config user.name a && echo one >f && git add f &&
	git commit -qm one && rev=$(git rev-parse HEAD) && echo two >f && git commit -qam two && cd .. &&
	git clone -q --bare repo srv/r.git && : >srv/r.git/git-daemon-export-ok && cp -r "$PWD/srv" "$TRASH/srv" && chmod 755 "$TRASH" &&
	{ git -c safe.directory="*" daemon --reuseaddr --base-path="$TRASH/srv" --listen=127.0.0.1 --port=9418 >daemon.log 2>&1 & } &&
	daemon=$! && test_when_finished "kill $daemon; wait $daemon" && wait_for "git ls-remote git://127.0.0.1/r.git" &&
	pod git "cat /g/r/f /h/f; stat -c %u /g/r/f" "{name: g, mountPath: /g}, {name: h, mountPath: /h}" \
		"{name: g, gitRepo: {repository: \"git://127.0.0.1/r.git\", revision: $rev}},
		{name: h, gitRepo: {repository: \"git://127.0.0.1/r.git\", directory: .}}" | kubectl apply -f - &&
	pod gitf "env" "" "{name: g, gitRepo: {repository: \"file://$TRASH/srv/r.git\"}}" | kubectl apply -f - &&
	pod gitn "env" "" "{name: g, gitRepo: {repository: \"git://127.0.0.1/none.git\"}}" | kubectl apply -f - &&
	ended git && kubectl logs git >got && printf "one\ntwo\n0\n" >want && test_cmp want got &&
	says gitf "not allowed" && says gitn "MountVolume.SetUp failed for volume \"g\""
'

test_expect_success 'claims: not there, not bound; types that need a driver say so' '
	pod pvc "env" "" "{name: d, persistentVolumeClaim: {claimName: data}}" "" "nodeName: n1" | kubectl apply -f - &&
	says pvc "Unable to attach or mount volumes: unmounted volumes=[d], unattached volumes=[], failed to process volumes=[d]: error processing PVC default/data: failed to fetch PVC from API server: persistentvolumeclaims \"data\" not found" &&
	pod csi "env" "" "{name: d, csi: {driver: x.y.z}}" | kubectl apply -f - && says csi "no volume plugin matched: a csi volume needs a driver"
'

test_expect_success 'an emptyDir over its sizeLimit: the pod is evicted' '
	pod full "head -c 3000000 /dev/zero >/d/x; sleep 600" "{name: d, mountPath: /d}" "{name: d, emptyDir: {sizeLimit: 1Mi}}" | kubectl apply -f - &&
	wait_for -t 40 "kubectl get pod full -o jsonpath=\"{.status.phase} {.status.reason}: {.status.message}\" |
		grep \"Failed Evicted: Usage of EmptyDir volume \\\"d\\\" exceeds the limit \\\"1Mi\\\"\"" &&
	says full "Usage of EmptyDir volume"
'

test_expect_success 'after a crash volumes are found again, and go with their pods' '
	kill_server && start_server && wait_node &&
	kubectl create configmap cm --from-literal=k=v3 --from-file=bin && wait_for "kubectl exec api -- cat /cm/k | grep v3" &&
	kubectl delete pod --all --now && wait_for "test -z \"\$(ls \"$DATA/agent/files\")\"" &&
	test_equal "" "$(ls "$DATA/agent/volatile")" &&
	! grep "$DATA/agent/files" /proc/self/mountinfo && umount "$TRASH/host/dir"
'

test_done
