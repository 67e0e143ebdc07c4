#!/bin/sh
# Pods whose images come from registries: the events and reasons of the kubelet, pull secrets of the pod and of its
# service account, who may use what is here already, back-off, registries.yaml that changes while the server runs.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl busybox overlay docker-registry skopeo curl openssl python3 jq
. "$srcdir/t/helper/registry.sh"

image()
{
	"$KINGLET" image --data-dir "$DATA" "$@"
}

pod() # NAME IMAGE [JSON members of the spec] [JSON members of the container]
{
	printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{%s"restartPolicy":"Never","terminationGracePeriodSeconds":1,
		"containers":[{%s"name":"c","image":"%s","command":["sleep","1000"]}]}}' "$1" "$3" "$4" "$2" | kubectl apply -f -
}

ready() # POD
{
	kubectl wait --for=condition=Ready "pod/$1" --timeout=$((30 * TEST_SLOW))s
}

reason() # POD: why its container waits
{
	kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}'
}

message()
{
	kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.message}'
}

events() # POD: "Type Reason Message" of its events
{
	kubectl get events --field-selector "involvedObject.name=$1" \
		-o jsonpath='{range .items[*]}{.type} {.reason} {.message}{"\n"}{end}'
}

secret() # NAME SERVER PASSWORD
{
	kubectl create secret docker-registry "$1" --docker-server="$2" --docker-username=user --docker-password="$3"
}

test_expect_success 'registries and a server' '
	"$srcdir/scripts/make-demo-image" demo.tar example.org/demo:1 &&
	start_registry plain 5000 &&
	start_registry tls 5443 basic &&
	for name in a b c; do
		skopeo copy -q --dest-tls-verify=false docker-archive:demo.tar docker://127.0.0.1:5000/team/$name:1 || return 1
	done &&
	skopeo copy -q --dest-tls-verify=false --dest-creds user:pass docker-archive:demo.tar docker://127.0.0.1:5443/team/demo:1 &&
	printf "configs:\n  localhost:5443:\n    tls: {ca_file: %s}\n" "$PWD/ca.crt" >registries.yaml &&
	start_server --private-registry "$PWD/registries.yaml" &&
	wait_node
'

test_expect_success 'what the events of a pull say' '
	pod plain 127.0.0.1:5000/team/a:1 &&
	ready plain &&
	events plain >got &&
	test_grep "^Normal Pulling Pulling image \"127.0.0.1:5000/team/a:1\"$" got &&
	size=$(kubectl get node n1 -o json | jq ".status.images[] | select(.names[] == \"127.0.0.1:5000/team/a:1\") | .sizeBytes") &&
	test_grep "^Normal Pulled Successfully pulled image \"127.0.0.1:5000/team/a:1\" in [0-9.ms]* ([0-9.ms]* including waiting)\. Image size: $size bytes\.$" got &&
	kubectl get node n1 -o json | jq -r ".status.images[].names[]" >names &&
	test_grep "^127.0.0.1:5000/team/a@sha256:[0-9a-f]*$" names
'

test_expect_success 'an image that is there is not pulled, unless the pod wants it so' '
	pod present 127.0.0.1:5000/team/a:1 "" "\"imagePullPolicy\":\"IfNotPresent\"," &&
	pod always 127.0.0.1:5000/team/a:1 "" "\"imagePullPolicy\":\"Always\"," &&
	ready present &&
	ready always &&
	events present >got &&
	test_grep "^Normal Pulled Container image \"127.0.0.1:5000/team/a:1\" already present on machine and can be accessed by the pod$" got &&
	test_must_fail grep Pulling got &&
	events always >got &&
	test_grep "^Normal Pulled Successfully pulled image" got
'

test_expect_success 'no compressed layers are kept for pods' '
	jq -r ".images[].blobs | length" "$DATA/agent/images/index.json" >got &&
	echo 0 >want &&
	test_cmp want got
'

test_expect_success 'without credentials: ErrImagePull, then ImagePullBackOff' '
	pod private localhost:5443/team/demo:1 "\"imagePullSecrets\":[{\"name\":\"missing\"},{\"name\":\"gone\"}]," &&
	wait_for "test_equal ErrImagePull \"\$(reason private)\"" &&
	message private >got &&
	test_grep "^failed to pull and unpack image \"localhost:5443/team/demo:1\": failed to resolve reference \"localhost:5443/team/demo:1\": pull access denied" got &&
	wait_for "test_equal ImagePullBackOff \"\$(reason private)\"" &&
	message private >got &&
	test_grep "^Back-off pulling image \"localhost:5443/team/demo:1\": ErrImagePull: failed to pull and unpack" got &&
	events private >got &&
	test_grep "^Warning FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (missing, gone); attempting to pull the image may not succeed\.$" got &&
	test_grep "^Warning Failed Failed to pull image \"localhost:5443/team/demo:1\": failed to pull" got &&
	test_grep "^Warning Failed Error: ErrImagePull$" got &&
	test_grep "^Normal BackOff Back-off pulling image \"localhost:5443/team/demo:1\"$" got &&
	test_grep "^Warning Failed Error: ImagePullBackOff$" got &&
	kubectl delete pod private
'

test_expect_success 'with pull secrets, the wrong one first' '
	secret wrong localhost:5443/team no &&
	secret right localhost:5443 pass &&
	pod private localhost:5443/team/demo:1 "\"imagePullSecrets\":[{\"name\":\"wrong\"},{\"name\":\"right\"}]," &&
	ready private &&
	pod private2 localhost:5443/team/demo:1 "\"imagePullSecrets\":[{\"name\":\"right\"}]," &&
	ready private2 &&
	events private2 >got &&
	test_grep "already present on machine and can be accessed by the pod" got
'

test_expect_success 'who has no credentials does not get at what others have pulled' '
	pod thief localhost:5443/team/demo:1 "" "\"imagePullPolicy\":\"IfNotPresent\"," &&
	pod never localhost:5443/team/demo:1 "" "\"imagePullPolicy\":\"Never\"," &&
	wait_for "reason thief | grep -E \"^(ErrImagePull|ImagePullBackOff)$\"" &&
	wait_for "test_equal ErrImageNeverPull \"\$(reason never)\"" &&
	message never >got &&
	test_grep "^Container image \"localhost:5443/team/demo:1\" is not present with pull policy of Never$" got &&
	jq -r ".pulled[] | to_entries[] | \"\(.key) \(.value | keys)\"" "$DATA/agent/image_manager/pulled.json" | sort -u >got &&
	test_grep "^localhost:5443/team/demo \[\"secrets\"\]$" got &&
	test_grep "^127.0.0.1:5000/team/a \[\"all\"\]$" got
'

test_expect_success 'that is known over a crash' '
	kill_server &&
	restart_server &&
	kubectl delete pod thief private2 &&
	pod thief localhost:5443/team/demo:1 &&
	pod private2 localhost:5443/team/demo:1 "\"imagePullSecrets\":[{\"name\":\"right\"}]," &&
	ready private2 &&
	wait_for "reason thief | grep -E \"^(ErrImagePull|ImagePullBackOff)$\""
'

test_expect_success 'images as volumes are no other way to them' '
	volume="\"volumes\":[{\"name\":\"v\",\"image\":{\"reference\":\"localhost:5443/team/demo:1\",\"pullPolicy\":\"IfNotPresent\"}}]," &&
	mount="\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]," &&
	pod volume1 127.0.0.1:5000/team/a:1 "$volume" "$mount" &&
	pod volume2 127.0.0.1:5000/team/a:1 "$volume\"imagePullSecrets\":[{\"name\":\"right\"}]," "$mount" &&
	ready volume2 &&
	kubectl exec volume2 -- cat /v/var/www/index.html >got &&
	test_grep Hello got &&
	wait_for "events volume1 | grep \"^Warning FailedMount .*pull access denied\""
'

test_expect_success 'secrets of the service account, in the older form' '
	kubectl delete pod thief never &&
	printf "{\"https://localhost:5443/v1/\":{\"auth\":\"dXNlcjpwYXNz\"}}" >cfg &&
	kubectl create secret generic old --type=kubernetes.io/dockercfg --from-file=.dockercfg=cfg &&
	kubectl patch serviceaccount default -p "{\"imagePullSecrets\":[{\"name\":\"old\"}]}" &&
	pod account localhost:5443/team/demo:1 &&
	ready account &&
	kubectl get pod account -o jsonpath="{.spec.imagePullSecrets[0].name}" >got &&
	printf old >want &&
	test_cmp want got &&
	kubectl patch serviceaccount default --type=json -p "[{\"op\":\"remove\",\"path\":\"/imagePullSecrets\"}]"
'

test_expect_success 'registries.yaml is read again when it changed' '
	printf "mirrors:\n  nowhere.example:\n    endpoint: [\"http://127.0.0.1:5000\"]\n" >registries.new &&
	mv registries.new registries.yaml &&
	pod mirror nowhere.example/team/b:1 &&
	ready mirror &&
	echo "mirrors: [" >registries.yaml &&
	pod mirror2 nowhere.example/team/c:1 &&
	ready mirror2 &&
	test_grep "the settings for registries can.t be used, the former ones stay in force" "$LOG"
'

test_expect_success 'a registry that is away' '
	pod away 127.0.0.1:5999/x:1 &&
	wait_for "test_equal ImagePullBackOff \"\$(reason away)\"" &&
	message away >got &&
	test_grep "^Back-off pulling image \"127.0.0.1:5999/x:1\": RegistryUnavailable: image pull failed for 127.0.0.1:5999/x:1 because the registry is unavailable: " got &&
	image -q import demo.tar && # what came from a file is for everybody
	image tag example.org/demo:1 127.0.0.1:5999/x:1 &&
	ready away
'

test_expect_success 'pods that start together wait for one pull' '
	skopeo copy -q --dest-tls-verify=false docker-archive:demo.tar docker://127.0.0.1:5000/team/d:1 &&
	for i in 1 2 3 4 5; do pod many$i 127.0.0.1:5000/team/d:1 || return 1; done &&
	for i in 1 2 3 4 5; do ready many$i || return 1; done
'

test_expect_success 'all end' '
	kubectl delete pod --all --grace-period=1 &&
	stop_registries
'

test_done
