#!/bin/sh
# Containers that do what they should not: flood their log, fork, ignore SIGTERM, close their output, leave
# processes behind, plant links towards the host; images whose /etc and /dev are not what they seem. The host
# stays untouched, the pod says what was wrong, and nothing is left.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox

# Into ./pods: a pod of the demo image. EXTRA and MOUNTS are JSON members with a comma behind them.
pod() # NAME COMMAND-IN-SHELL [EXTRA [MEMBERS-OF-THE-CONTAINER]]
{
	printf '%s{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"terminationGracePeriodSeconds":1,
		"restartPolicy":"Never",%s"containers":[{"name":"c","image":"%s","imagePullPolicy":"Never",%s
		"command":["sh","-c","%s"]}]}}' "$pod_sep" "$1" "$3" "${IMAGE:-localhost/demo:1}" "$4" "$2" >>pods
	pod_sep=,
}

pods_create()
{
	{
		echo '{"apiVersion":"v1","kind":"List","items":['
		cat pods
		echo ']}'
	} | kubectl create -f -
	rm -f pods
	pod_sep=
}

ended() # POD: its exit code
{
	kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}'
}

why() # POD
{
	kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state}'
}

pod_sep=
victim=$TRASH/victim
mkdir -m 0755 "$victim"
echo host >"$victim/hosts"

test_expect_success 'start' '
	import_demo && start_server && wait_node
'

test_expect_success 'containers that misbehave run and end' '
	volume="\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}}]," &&
	plant="\"initContainers\":[{\"name\":\"i\",\"image\":\"localhost/demo:1\",\"imagePullPolicy\":\"Never\",
		\"command\":[\"sh\",\"-c\",\"ln -s $victim /d/abs; ln -s ../../../../../../../../..$victim /d/rel; ln -s / /d/root\"],
		\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/d\"}]}]," &&
	pod spew "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" &&
	pod fork "for i in \$(seq 100); do sleep 1000 & done; wait" &&
	pod stubborn "trap : TERM; while :; do sleep 1; done" &&
	pod mute "exec >&- 2>&-; sleep 1; exit 7" &&
	pod parent "setsid sleep 1000 & exit 3" &&
	pod killer "kill -9 1; kill -9 -1; sleep 1; exit 9" &&
	pod message "rm -f /t; ln -s $victim/hosts /t; exit 4" "" "\"terminationMessagePath\":\"/t\"," &&
	pod abs "sleep 1000" "$volume$plant" "\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/v\",\"subPath\":\"abs\"}]," &&
	pod rel "sleep 1000" "$volume$plant" "\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/v\",\"subPath\":\"rel\"}]," &&
	pod root "ls /v >/dev/termination-log; exit 0" "$volume$plant" \
		"\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/v\",\"subPath\":\"root$victim\"}]," &&
	pod proc "sleep 1000" "$volume" "\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/proc/self/cwd/x\"}]," &&
	pod exe "echo x >/proc/1/exe; echo x >/proc/self/exe; exit 6" &&
	pods_create &&
	for p in mute:7 parent:3 killer:9 message:4 exe:6; do
		wait_for "[ \"\$(ended ${p%:*})\" = ${p#*:} ]" || return 1
	done &&
	for p in fork stubborn spew; do
		kubectl wait --for=condition=Ready pod/$p --timeout=20s || return 1
	done
'

test_expect_success 'a link in a volume leads nowhere outside of it' '
	for p in abs rel; do
		wait_for "why $p | grep \"failed to create subPath directory\"" || return 1
	done &&
	wait_for "[ \"\$(ended root)\" = 0 ]" &&
	why root >root.why &&
	! grep hosts root.why &&
	wait_for "why proc | grep StartError" &&
	why message >message &&
	! grep host message
'

test_expect_success 'a log that nobody reads is rotated and stays small' '
	wait_for "ls $DATA/agent/logs/pods/default_spew_*/c/0.log.*" &&
	sleep 1 &&
	[ "$(du -sk $DATA/agent/logs/pods/default_spew_* | cut -f1)" -lt 70000 ] &&
	wait_for "kubectl logs spew --tail=3 | grep aaaa"
'

test_expect_success 'a storm of execs' '
	seq 20 | xargs -P 5 -I @@ "$KUBECTL" exec fork -- sh -c "echo @@" >got &&
	test_lines 20 got
'

test_expect_success 'a keeper that is killed takes its pod along; the pod says so' '
	keeper=$(for p in $(pgrep -f "^kinglet-keeper default/fork"); do
		! grep -q "$CGROUP" /proc/$p/cgroup || echo $p
	done) &&
	[ -n "$keeper" ] &&
	kill -9 $keeper &&
	wait_for "[ \"\$(kubectl get pod fork -o jsonpath={.status.phase})\" = Failed ]" &&
	test_equal 255 "$(ended fork)" &&
	wait_for "! grep -l $CGROUP \$(pgrep -f \"^sleep 1000\" | sed \"s,.*,/proc/&/cgroup,\") /dev/null"
'

test_expect_success 'all of them go' '
	kubectl delete pods --all --timeout=$((30 * TEST_SLOW))s &&
	wait_for "[ -z \"\$(ls $DATA/agent/pods)\" ]" &&
	! grep "$DATA/agent/pods" /proc/self/mountinfo
'

# An archive like docker save's, of busybox and what MAKE puts into ./root.
evil_image() # NAME MAKE
{
	rm -rf root save &&
	mkdir -p root/bin save &&
	cp "${BUSYBOX:-/bin/busybox}" root/bin/busybox &&
	ln -s busybox root/bin/sh && ln -s busybox root/bin/sleep &&
	(cd root && eval "$2") &&
	tar -C root -cf save/layer.tar . &&
	printf '{"architecture":"amd64","os":"linux","config":{"User":"%s","Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$3" "$(sha256sum <save/layer.tar | cut -d' ' -f1)" >save/config.json &&
	printf '[{"Config":"config.json","RepoTags":["evil/%s:1"],"Layers":["layer.tar"]}]' "$1" >save/manifest.json &&
	tar -C save -cf evil.tar . &&
	"$KINGLET" image import -q --data-dir "$DATA" evil.tar &&
	IMAGE=docker.io/evil/$1:1 pod "$1" "sleep 1000"
}

test_expect_success 'images whose files are links, pipes and directories' '
	evil_image passwd-pipe "mkdir etc; mkfifo etc/passwd etc/group" nobody &&
	evil_image passwd-dir "mkdir -p etc/passwd" nobody &&
	evil_image passwd-out "mkdir etc; ln -s ../../../../../../../etc/passwd etc/passwd" messagebus &&
	evil_image etc-out "ln -s ../../../../../../../..$victim etc" &&
	evil_image etc-abs "ln -s $victim etc" &&
	evil_image etc-proc "ln -s /proc etc" &&
	evil_image hosts-out "mkdir etc; ln -s ../../../../../../..$victim/hosts etc/hosts" &&
	evil_image dev-out "ln -s ../../../../../../..$victim dev" &&
	evil_image dev-file ": >dev" &&
	evil_image dev-in "mkdir dev; ln -s $victim dev/pts; ln -s $victim/null dev/null; ln -s / dev/shm" &&
	evil_image proc-out "ln -s $victim proc; ln -s /etc sys" &&
	pods_create &&
	kubectl wait --for=condition=Ready pod/dev-in --timeout=20s &&
	for p in passwd-pipe passwd-dir passwd-out; do
		wait_for "why $p | grep \"unable to find user\"" || return 1
	done &&
	for p in etc-out etc-abs etc-proc hosts-out dev-out dev-file proc-out; do
		wait_for "why $p | grep StartError" || return 1
	done
'

test_expect_success 'the host is as it was' '
	test_equal hosts "$(ls -A "$victim")" &&
	test_equal host "$(cat "$victim/hosts")" &&
	kubectl delete pods --all --timeout=$((30 * TEST_SLOW))s &&
	stop_server
'

test_done
