#!/bin/sh
# The audit log: what the policy wants told, at which stage and how much, under
# which id; files that are full are set aside; a disk that is full stops nobody.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

audit() # PATTERN...: the events that match all of them, in ./events, of which there is one at least
{
	cp "$PWD/audit.log" events &&
	for test_p; do
		grep -e "$test_p" events >events2 || { echo "no event with $test_p"; tail -5 "$PWD/audit.log"; return 1; }
		mv events2 events
	done
}

test_expect_success 'start with a policy' '
	cat >policy.yaml <<-\END &&
	apiVersion: audit.k8s.io/v1
	kind: Policy
	omitStages: [RequestReceived]
	rules:
	- level: None
	  users: [guest]
	  verbs: [list]
	- level: None
	  nonResourceURLs: ["/healthz*", /version]
	- level: RequestResponse
	  resources: [{group: "", resources: [configmaps], resourceNames: [whole]}]
	  omitManagedFields: true
	- level: Request
	  namespaces: [default]
	  resources: [{group: "", resources: [configmaps, "serviceaccounts/*"]}]
	- level: Metadata
	  userGroups: ["system:masters"]
	  resources: [{group: ""}, {group: apps, resources: ["*/scale"]}]
	  omitStages: [ResponseStarted]
	- level: Metadata
	  omitStages: [RequestReceived]
	END
	printf "guest-token,guest,g-1,\"visitors\"\n" >tokens.csv &&
	start_server --disable-agent --token sesame --token-auth-file "$PWD/tokens.csv" --audit-policy-file "$PWD/policy.yaml" \
		--audit-log-path "$PWD/audit.log" &&
	wait_for "kubectl get serviceaccount default" &&
	test_equal 600 "$(stat -c %a audit.log)"
'

test_expect_success 'Metadata: who did what to what, from where, and how it ended' '
	kubectl get secrets -n default &&
	wait_for "audit \"\\\"resource\\\":\\\"secrets\\\"\"" &&
	test_lines 1 events &&
	for p in "^{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\"auditID\":\"[0-9a-f-]\{36\}\",\"stage\":\"ResponseComplete\"" \
		"\"requestURI\":\"/api/v1/namespaces/default/secrets?limit=500\",\"verb\":\"list\"" \
		"\"user\":{\"username\":\"system:admin\",\"groups\":\[\"system:masters\",\"system:authenticated\"\],\"extra\":{\"authentication.kubernetes.io/credential-id\":\[\"X509SHA256=" \
		"\"sourceIPs\":\[\"127.0.0.1\"\],\"userAgent\":\"kubectl" \
		"\"objectRef\":{\"resource\":\"secrets\",\"namespace\":\"default\",\"apiVersion\":\"v1\"}" \
		"\"responseStatus\":{\"metadata\":{},\"code\":200}" \
		"\"requestReceivedTimestamp\":\"20[0-9T:-]*\.[0-9]\{6\}Z\",\"stageTimestamp\":\"20[0-9T:-]*\.[0-9]\{6\}Z\"" \
		"\"annotations\":{\"authorization.k8s.io/decision\":\"allow\",\"authorization.k8s.io/reason\":\"" ; do
		test_grep -e "$p" events || return 1
	done &&
	test_must_fail grep -E "requestObject|responseObject|impersonatedUser" events &&
	token=$(kubectl create token default) &&
	KUBECONFIG=/dev/null kubectl --server=https://127.0.0.1:6443 --certificate-authority="$DATA/server/tls/ca.crt" --token="$token" \
		auth whoami &&
	wait_for "audit selfsubjectreviews" &&
	test_grep "\"authorization.k8s.io/reason\":\"RBAC: allowed by ClusterRoleBinding .*system:basic-user" events
'

test_expect_success 'an error is told with its reason' '
	test_must_fail kubectl get secret none &&
	wait_for "audit secrets \"\\\"name\\\":\\\"none\\\"\"" &&
	test_grep "\"responseStatus\":{.*\"status\":\"Failure\",\"message\":\"secrets \\\\\"none\\\\\" not found\",\"reason\":\"NotFound\".*\"code\":404}" events
'

test_expect_success 'impersonation: both are named' '
	test_must_fail kubectl get secrets --as=bob --as-group=devs &&
	wait_for "audit \"\\\"code\\\":403\"" &&
	test_grep "\"user\":{\"username\":\"system:admin\"" events &&
	test_grep "\"impersonatedUser\":{\"username\":\"bob\",\"groups\":\[\"devs\",\"system:authenticated\"\]}" events &&
	test_grep "\"authorization.k8s.io/decision\":\"forbid\"" events
'

test_expect_success 'Request: what was sent; a patch as it was sent' '
	kubectl create configmap some --from-literal=k=v &&
	kubectl patch configmap some -p "{\"data\":{\"k\":\"w\"}}" &&
	wait_for "audit \"\\\"verb\\\":\\\"patch\\\"\"" &&
	test_grep "\"level\":\"Request\"" events &&
	test_grep "\"requestObject\":{\"data\":{\"k\":\"w\"}}" events &&
	test_must_fail grep responseObject events &&
	audit "\"verb\":\"create\"" configmaps &&
	test_grep "\"objectRef\":{\"resource\":\"configmaps\",\"namespace\":\"default\",\"name\":\"some\"" events &&
	test_grep "\"requestObject\":{.*\"k\":\"v\"" events
'

test_expect_success 'RequestResponse: the answer too; a deletion'\''s options' '
	kubectl create configmap whole --from-literal=k=v &&
	kubectl get configmap whole &&
	kubectl delete configmap whole &&
	wait_for "audit \"\\\"verb\\\":\\\"delete\\\"\" whole" &&
	test_grep "\"requestObject\":{.*\"propagationPolicy\":\"Background\"" events &&
	test_grep "\"responseObject\":{.*\"status\":\"Success\"" events &&
	audit "\"verb\":\"get\"" whole &&
	test_grep "\"responseObject\":{.*\"data\":{\"k\":\"v\"}" events &&
	test_must_fail grep managedFields events
'

test_expect_success 'a token is told of by the id that its use shows' '
	token=$(kubectl create token default) &&
	wait_for "audit serviceaccounts \"\\\"subresource\\\":\\\"token\\\"\"" &&
	id=$(grep -o "issued-credential-id\":\"JTI=[0-9a-f-]*" events | cut -d= -f2) &&
	KUBECONFIG=/dev/null kubectl --server=https://127.0.0.1:6443 --certificate-authority="$DATA/server/tls/ca.crt" --token="$token" \
		auth whoami &&
	wait_for "audit \"credential-id\\\":\\[\\\"JTI=$id\"" &&
	test_grep "\"username\":\"system:serviceaccount:default:default\"" events
'

test_expect_success 'a token from a Secret is called one' '
	kubectl create -n kube-public serviceaccount old &&
	kubectl create -n kube-public -f - <<-\END &&
	apiVersion: v1
	kind: Secret
	type: kubernetes.io/service-account-token
	metadata: {name: old, annotations: {kubernetes.io/service-account.name: old}}
	END
	token=$(kubectl get -n kube-public secret old -o jsonpath="{.data.token}" | base64 -d) &&
	KUBECONFIG=/dev/null kubectl --server=https://127.0.0.1:6443 --certificate-authority="$DATA/server/tls/ca.crt" --token="$token" \
		auth whoami &&
	wait_for "audit \"authentication.k8s.io/legacy-token\\\":\\\"system:serviceaccount:kube-public:old\"" &&
	kubectl get --raw /metrics >got &&
	test_grep "^serviceaccount_legacy_tokens_total [1-9]" got
'

test_expect_success 'what the policy passes over is not there' '
	api /healthz/ping >out && api /version >out &&
	curl -sS --cacert "$DATA/server/tls/ca.crt" -H "Authorization: Bearer guest-token" \
		https://127.0.0.1:6443/api/v1/namespaces/default/pods >out &&
	curl -sS --cacert "$DATA/server/tls/ca.crt" -H "Authorization: Bearer guest-token" \
		https://127.0.0.1:6443/api/v1/namespaces/default/pods/gone >out &&
	wait_for "audit guest" &&
	test_lines 1 events &&
	test_grep "pods/gone" events &&
	test_must_fail grep -E "healthz|RequestReceived" audit.log
'

test_expect_success 'a credential that is no good is told of; so is a watch when it begins' '
	curl -sS --cacert "$DATA/server/tls/ca.crt" -H "Authorization: Bearer wrong" -A prober \
		https://127.0.0.1:6443/api/v1/pods >out &&
	wait_for "audit prober" &&
	test_grep "\"stage\":\"ResponseStarted\"" events &&
	test_grep "\"user\":{}" events &&
	test_grep "\"code\":401" events &&
	api "/apis/apps/v1/deployments?watch=1&timeoutSeconds=1" >out &&
	wait_for "audit \"\\\"verb\\\":\\\"watch\\\"\" deployments ResponseComplete" &&
	audit "\"verb\":\"watch\"" deployments ResponseStarted
'

test_expect_success 'the id is the client'\''s when it can be used, and is always answered' '
	api -D head -H "Audit-ID: my-id.1" "/api/v1/namespaces/default/secrets" >out &&
	test_grep -i "^audit-id: my-id.1" head &&
	wait_for "audit \"\\\"auditID\\\":\\\"my-id.1\\\"\"" &&
	long=$(head -c 65 /dev/zero | tr "\\0" x) &&
	for id in "$long" "a b" "a\\\"b"; do
		api -D head -H "Audit-ID: $id" /api/v1/namespaces/default/none/x >out &&
		test_grep -i "^audit-id: [0-9a-f-]\{36\}.$" head || return 1
	done &&
	api -D head -H "X-Forwarded-For: 192.0.2.7, rubbish, 2001:db8::1" -H "X-Real-Ip: 2001:db8::1" -A proxied \
		/api/v1/namespaces/default/secrets >out &&
	wait_for "audit proxied" &&
	test_grep "\"sourceIPs\":\[\"192.0.2.7\",\"2001:db8::1\",\"127.0.0.1\"\]" events
'

test_expect_success 'every line is JSON, also of a request that holds everything' '
	api -X POST -H "Content-Type: application/json" -A "$(printf "a\"b\\\\c\\351\\t")" -H "Impersonate-User: \"x\\" \
		-d "{\"a\":\"\\u0000\\\"\\u2028\"}" "/api/v1/namespaces/default/configmaps?a=%00%22" >out &&
	wait_for "audit configmaps 403" &&
	perl -MJSON::PP -ne "decode_json(\$_)" audit.log
'

test_expect_success 'a file that is full is set aside, compressed, and the oldest go' '
	restart_server --disable-agent --token sesame --audit-policy-file "$PWD/policy.yaml" --audit-log-path "$PWD/new/dir/rot.log" \
		--audit-log-maxsize 1 --audit-log-maxbackup 2 --audit-log-compress &&
	head -c 400000 /dev/zero | tr "\\0" x >big &&
	kubectl get secrets &&
	wait_for "test -s new/dir/rot.log" &&
	touch new/dir/rot-other.log new/dir/rot-2020-01-01T00-00-00.000.log new/dir/rot-2020-01-01T00-00-00.000.logs &&
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		kubectl create configmap "big$i" --from-file=big >out || return 1
	done &&
	wait_for "test \$(ls new/dir/rot-*.log.gz | wc -l) = 2" &&
	ls new/dir/rot-*.log.gz >list &&
	test -e new/dir/rot-other.log && test -e new/dir/rot-2020-01-01T00-00-00.000.logs &&
	test ! -e new/dir/rot-2020-01-01T00-00-00.000.log &&
	test_grep -x "new/dir/rot-20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]-[0-9][0-9]-[0-9][0-9]\.[0-9][0-9][0-9]\.log\.gz" list &&
	gzip -cd "$(head -1 list)" | perl -MJSON::PP -ne "decode_json(\$_)" &&
	perl -MJSON::PP -ne "decode_json(\$_)" new/dir/rot.log &&
	test "$(stat -c %s new/dir/rot.log)" -le 1048576
'

test_expect_success 'a disk that is full: requests go on, what is lost is counted, no half lines stay' '
	mkdir -p small &&
	mount -t tmpfs -o size=64k none small &&
	test_when_finished "umount -l small" &&
	restart_server --disable-agent --token sesame --audit-policy-file "$PWD/policy.yaml" --audit-log-path "$PWD/small/a.log" &&
	for i in 1 2 3; do
		kubectl create configmap "full$i" --from-file=big >out || return 1
	done &&
	wait_for "grep -q \"the audit log can.t be written, lines are lost\" \"$LOG\"" &&
	perl -MJSON::PP -ne "decode_json(\$_)" small/a.log &&
	test_equal 1 "$(grep -c "lines are lost" "$LOG")" &&
	kubectl get --raw /metrics >got &&
	test_grep "^apiserver_audit_error_total{plugin=\"log\"} [1-9]" got &&
	test_grep "^apiserver_audit_event_total [1-9]" got &&
	mount -o remount,size=8m small &&
	kubectl get secrets -n kube-system &&
	wait_for "grep kube-system small/a.log" &&
	wait_for "grep \"the audit log is written again\" \"$LOG\"" &&
	perl -MJSON::PP -ne "decode_json(\$_)" small/a.log &&
	stop_server
'

test_expect_success 'the log may be the standard output; without a policy there is none, and that is said' '
	restart_server --disable-agent --audit-policy-file "$PWD/policy.yaml" --audit-log-path - &&
	kubectl get secrets -n kube-public &&
	wait_for "grep \"^{.kind.:.Event.*kube-public/secrets\" \"$LOG\"" &&
	restart_server --disable-agent --audit-log-path "$PWD/never.log" &&
	kubectl get secrets -n kube-public &&
	stop_server &&
	test ! -e never.log &&
	test_grep "there is no audit log: it needs both --audit-policy-file and --audit-log-path" "$LOG"
'

test_expect_success 'a policy that is none is refused at the start, with its place' '
	for bad in "kind: Policy" "rules: []" "rules: [{level: Loud}]" "rules: [{level: None, nonResourceURLs: [x]}]" \
		"rules: [{level: None, nonResourceURLs: [\"/a*b\"]}]" "rules: [{level: None, verbs: get}]" \
		"rules: [{level: None, resources: [{group: v1/x}]}]" "rules: [{level: None, omitStages: [Never]}]" \
		"rules: [{level: None, nonResourceURLs: [/x], namespaces: [a]}]" "rules: [{level: None, resources: [{resourceNames: [a]}]}]"; do
		printf "apiVersion: audit.k8s.io/v1\nkind: Policy\n%s\n" "$bad" >bad.yaml &&
		test_must_fail "$KINGLET" server --data-dir "$DATA" --write-kubeconfig "$KUBECONFIG" --disable-agent \
			--audit-policy-file "$PWD/bad.yaml" --audit-log-path - >out 2>&1 &&
		test_grep "the audit policy .*bad.yaml" out || return 1
	done
'

test_done
