#!/bin/sh
# Versions of a custom resource that a webhook converts: reads, lists, writes and
# watches in either; a change of the stored version; what is said of webhooks that
# fail or lie.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl openssl python3

definition() # STORED
{
	cat <<-EOT
	apiVersion: apiextensions.k8s.io/v1
	kind: CustomResourceDefinition
	metadata: {name: links.example.com}
	spec:
	  group: example.com
	  scope: Namespaced
	  names: {plural: links, kind: Link}
	  conversion:
	    strategy: Webhook
	    webhook:
	      conversionReviewVersions: [v1]
	      clientConfig: {url: "https://127.0.0.1:8443/", caBundle: $(base64 -w0 <hook.crt)}
	  versions:
	  - name: v1
	    served: true
	    storage: $([ "$1" = v1 ] && echo true || echo false)
	    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {hostPort: {type: string}}}}}}
	  - name: v2
	    served: true
	    storage: $([ "$1" = v2 ] && echo true || echo false)
	    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {host: {type: string}, port: {type: string}}}}}}
	EOT
}

link() # VERSION NAME SPEC
{
	printf "apiVersion: example.com/%s\nkind: Link\nmetadata: {name: %s}\nspec: %s\n" "$@"
}

test_expect_success 'start a webhook, the server, and a definition' '
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout hook.key -out hook.crt -days 2 \
		-subj /CN=hook -addext "subjectAltName=IP:127.0.0.1" 2>/dev/null &&
	{ python3 "$srcdir/t/helper/convert.py" 8443 hook.crt hook.key >hook.out 2>&1 & hook_pid=$!; } &&
	start_server --disable-agent &&
	wait_for "curl -sk https://127.0.0.1:8443/ -o /dev/null" &&
	wait_for "kubectl get serviceaccount default" &&
	definition v1 | kubectl apply -f - &&
	kubectl wait --for=condition=Established crd/links.example.com --timeout=20s
'

test_expect_success 'written in one version, read in both' '
	link v1 a "{hostPort: \"h:1\"}" | kubectl create -f - &&
	test_equal "h 1" "$(kubectl get links.v2.example.com a -o jsonpath="{.spec.host} {.spec.port}")" &&
	test_equal "h:1" "$(kubectl get links.v1.example.com a -o jsonpath="{.spec.hostPort}")" &&
	link v2 b "{host: g, port: \"2\"}" | kubectl create -f - -o jsonpath="{.spec.host}" >got &&
	test_equal g "$(cat got)" &&
	test_equal "g:2" "$(kubectl get links.v1.example.com b -o jsonpath="{.spec.hostPort}")" &&
	test_equal "h g" "$(kubectl get links.v2.example.com -o jsonpath="{.items[*].spec.host}")"
'

test_expect_success 'patched in the version that is not stored' '
	kubectl patch links.v2.example.com a --type=merge -p "{\"spec\":{\"port\":\"9\"}}" -o jsonpath="{.spec.port}" >got &&
	test_equal 9 "$(cat got)" &&
	test_equal "h:9" "$(kubectl get links.v1.example.com a -o jsonpath="{.spec.hostPort}")"
'

test_expect_success 'watched in the version that is not stored, in order' '
	{ kubectl get links.v2.example.com -w -o jsonpath="{.metadata.name} {.spec.host} {.spec.port}{\"\\n\"}" >watched 2>watch.err & watch=$!; } &&
	wait_for "grep -q \"b g 2\" watched" &&
	for i in 1 2 3; do
		kubectl patch links.v1.example.com a --type=merge -p "{\"spec\":{\"hostPort\":\"w:$i\"}}" || return 1
	done &&
	kubectl delete links.v1.example.com b &&
	wait_for "grep -q \"a w 3\" watched" &&
	grep "a w" watched >got &&
	printf "a w 1\na w 2\na w 3\n" >want &&
	test_cmp want got &&
	kill $watch
'

test_expect_success 'the stored version changes: old objects are converted, and stored anew when written' '
	definition v2 | kubectl apply -f - &&
	test_equal "v1 v2" "$(kubectl get crd links.example.com -o jsonpath="{.status.storedVersions[*]}")" &&
	test_equal w "$(kubectl get links.v2.example.com a -o jsonpath="{.spec.host}")" &&
	kubectl label links.v2.example.com a x=y &&
	kill $hook_pid &&
	wait_for "! curl -sk https://127.0.0.1:8443/ -o /dev/null" &&
	test_equal w "$(kubectl get links.v2.example.com a -o jsonpath="{.spec.host}")"
'

test_expect_success 'a webhook that is not there' '
	test_must_fail kubectl get links.v1.example.com a 2>err &&
	test_grep "conversion webhook for example.com/v2, Kind=Link failed: " err &&
	test_grep "connection refused" err &&
	test_equal ok "$(kubectl get --raw /readyz)"
'

test_expect_success 'webhooks that fail or lie' '
	{ python3 "$srcdir/t/helper/convert.py" 8443 hook.crt hook.key >hook.out 2>&1 & hook_pid=$!; } &&
	wait_for "curl -sk https://127.0.0.1:8443/ -o /dev/null" &&
	echo fail >way &&
	test_must_fail kubectl get links.v1.example.com a 2>err &&
	test_grep "conversion webhook for example.com/v2, Kind=Link failed: no such thing" err &&
	echo short >way &&
	test_must_fail kubectl get links.v1.example.com a 2>err &&
	test_grep "conversion webhook for example.com/v2, Kind=Link returned 0 objects, expected 1" err &&
	echo rename >way &&
	test_must_fail kubectl get links.v1.example.com a 2>err &&
	test_grep "must have the same name: a != other" err &&
	echo garbage >way &&
	test_must_fail kubectl get links.v1.example.com a 2>err &&
	test_grep "conversion webhook for example.com/v2, Kind=Link failed: " err &&
	rm way &&
	test_equal "w:3" "$(kubectl get links.v1.example.com a -o jsonpath="{.spec.hostPort}")"
'

test_expect_success 'stop the webhook' '
	kill $hook_pid
'

test_done
