#!/bin/sh
# Objects by kubectl, as a user does it, with several versions: create, get,
# apply, replace, patch, label, annotate, edit, delete, explain, api-resources.
# No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl

test_expect_success 'start the server' '
	start_server --disable-agent
'

test_expect_success 'the kubeconfig is for its owner alone' '
	test_equal 600 "$(stat -c %a "$KUBECONFIG")"
'

test_expect_success 'version, cluster-info and readiness' '
	kubectl version >got &&
	test_grep "Server Version:.*v1\.36\.2+kinglet1" got &&
	kubectl cluster-info >got &&
	test_grep "is running at" got &&
	test_equal ok "$(kubectl get --raw /readyz)" &&
	test_equal ok "$(kubectl get --raw /livez)" &&
	test_equal ok "$(kubectl get --raw /healthz)"
'

test_expect_success 'the namespaces and the service of a new cluster' '
	wait_for "kubectl get namespace default kube-system kube-public kube-node-lease -o name" &&
	kubectl get service kubernetes -o jsonpath="{.spec.clusterIP}:{.spec.ports[0].port}" >got &&
	test_equal 10.43.0.1:443 "$(cat got)"
'

basics()
{
	test_expect_success 'api-resources and api-versions' '
		kubectl api-resources >got &&
		test_grep "^pods  *po  *v1  *true  *Pod$" got &&
		test_grep "^deployments  *deploy  *apps/v1  *true  *Deployment$" got &&
		kubectl api-versions >got &&
		test_grep "^apps/v1$" got &&
		test_grep "^v1$" got
	'

	test_expect_success 'create a namespace; a second time it exists' '
		kubectl create namespace one >got &&
		test_equal "namespace/one created" "$(cat got)" &&
		test_must_fail kubectl create namespace one 2>err &&
		test_equal "Error from server (AlreadyExists): namespaces \"one\" already exists" "$(cat err)" &&
		kubectl get namespace one >got &&
		test_grep "^NAME  *STATUS  *AGE$" got &&
		test_grep "^one  *Active  *[0-9]" got
	'

	test_expect_success 'a configmap from literals and from a file' '
		echo hello >greeting &&
		kubectl -n one create configmap cm --from-literal=a=1 --from-file=greeting >got &&
		test_equal "configmap/cm created" "$(cat got)" &&
		kubectl -n one get configmap cm -o jsonpath="{.data.a}{.data.greeting}" >got &&
		echo 1hello >want &&
		test_cmp want got &&
		kubectl -n one get configmap cm >got &&
		test_grep "^NAME  *DATA  *AGE$" got &&
		test_grep "^cm  *2  *" got
	'

	test_expect_success 'a secret is kept in base64, and its table tells its type' '
		kubectl -n one create secret generic s --from-literal=password=geheim &&
		test_equal Z2VoZWlt "$(kubectl -n one get secret s -o jsonpath="{.data.password}")" &&
		kubectl -n one get secret s >got &&
		test_grep "^s  *Opaque  *1  *" got
	'

	test_expect_success 'a service account, and the default one that every namespace gets' '
		kubectl -n one create serviceaccount robot &&
		wait_for "kubectl -n one get serviceaccount default" &&
		kubectl -n one get serviceaccounts -o name >got &&
		test_grep "^serviceaccount/robot$" got &&
		test_grep "^serviceaccount/default$" got &&
		wait_for "kubectl -n one get configmap kube-root-ca.crt"
	'

	test_expect_success 'apply several documents from stdin; again changes nothing; a change configures' '
		cat >two.yaml <<-\END &&
		apiVersion: v1
		kind: ConfigMap
		metadata:
		  name: app
		  namespace: one
		  labels: {app: web, tier: front}
		data:
		  colour: red
		  size: "10"
		---
		apiVersion: v1
		kind: Secret
		metadata:
		  name: app
		  namespace: one
		stringData:
		  token: abc
		END
		kubectl apply -f - <two.yaml >got &&
		printf "configmap/app created\nsecret/app created\n" >want &&
		test_cmp want got &&
		kubectl apply -f - <two.yaml >got &&
		test_grep "configmap/app unchanged" got &&
		sed "s/red/blue/; /size/d" two.yaml >three.yaml &&
		kubectl apply -f three.yaml >got &&
		test_grep "configmap/app configured" got &&
		test_equal "{\"colour\":\"blue\"}" "$(kubectl -n one get configmap app -o jsonpath="{.data}")" &&
		test_equal YWJj "$(kubectl -n one get secret app -o jsonpath="{.data.token}")"
	'

	test_expect_success 'apply a directory of YAML and JSON' '
		mkdir -p dir &&
		test_when_finished "rm -rf dir" &&
		printf "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yes1, namespace: one}\ndata: {k: v}\n" >dir/yaml.yaml &&
		printf "%s" "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"j\",\"namespace\":\"one\"}}" \
			>dir/j.json &&
		kubectl apply -f dir >got &&
		test_grep "configmap/yes1 created" got &&
		test_grep "configmap/j created" got &&
		kubectl delete -f dir >got &&
		test_lines 2 got
	'

	test_expect_success 'replace; a stale resource version is a conflict' '
		kubectl -n one get configmap app -o yaml >app.yaml &&
		sed "s/blue/green/" app.yaml | kubectl replace -f - >got &&
		test_equal "configmap/app replaced" "$(cat got)" &&
		test_equal green "$(kubectl -n one get configmap app -o jsonpath="{.data.colour}")" &&
		test_must_fail kubectl replace -f app.yaml 2>err &&
		test_grep "Conflict.*the object has been modified" err
	'

	test_expect_success 'patch in all three ways' '
		kubectl -n one patch configmap app -p "{\"data\":{\"strategic\":\"1\"}}" &&
		kubectl -n one patch configmap app --type=merge -p "{\"data\":{\"merge\":\"2\",\"colour\":null}}" &&
		kubectl -n one patch configmap app --type=json \
			-p "[{\"op\":\"add\",\"path\":\"/data/json\",\"value\":\"3\"}]" &&
		kubectl -n one get configmap app -o jsonpath="{.data}" >got &&
		test_equal "{\"json\":\"3\",\"merge\":\"2\",\"strategic\":\"1\"}" "$(cat got)" &&
		test_must_fail kubectl -n one patch configmap app --type=json \
			-p "[{\"op\":\"test\",\"path\":\"/data/json\",\"value\":\"4\"}]"
	'

	test_expect_success 'label and annotate; selectors find by label' '
		kubectl -n one label configmap app env=dev >got &&
		test_equal "configmap/app labeled" "$(cat got)" &&
		test_must_fail kubectl -n one label configmap app env=prod &&
		kubectl -n one label --overwrite configmap app env=prod &&
		kubectl -n one annotate configmap app note="for the test" &&
		test_equal "for the test" \
			"$(kubectl -n one get configmap app -o jsonpath="{.metadata.annotations.note}")" &&
		kubectl -n one get configmaps -l "env in (prod,test),app=web" -o name >got &&
		test_equal configmap/app "$(cat got)" &&
		kubectl -n one get configmaps -l "env,env!=prod" -o name >got &&
		test_lines 0 got &&
		kubectl -n one get configmap app --show-labels >got &&
		test_grep "app=web,env=prod,tier=front" got &&
		kubectl -n one get configmap app -L env >got &&
		test_grep "AGE  *ENV" got &&
		kubectl -n one label configmap app env- >got &&
		test_equal "configmap/app unlabeled" "$(cat got)"
	'

	test_expect_success 'edit' '
		printf "#!/bin/sh\nsed -i s/front/back/ \"\$1\"\n" >editor &&
		chmod +x editor &&
		KUBE_EDITOR=./editor kubectl -n one edit configmap app >got &&
		test_equal "configmap/app edited" "$(cat got)" &&
		test_equal back "$(kubectl -n one get configmap app -o jsonpath="{.metadata.labels.tier}")"
	'

	test_expect_success 'get: json, name, custom columns, sorting, field selector, all namespaces' '
		kubectl -n one get configmap app -o json >got &&
		test_grep "\"kind\": \"ConfigMap\"" got &&
		kubectl -n one get configmaps -o custom-columns=N:.metadata.name --sort-by=.metadata.name >got &&
		printf "N\napp\ncm\nkube-root-ca.crt\n" >want &&
		test_cmp want got &&
		kubectl get configmaps -A --field-selector metadata.name=cm >got &&
		test_grep "^NAMESPACE  *NAME  *DATA  *AGE$" got &&
		test_grep "^one  *cm  *2" got &&
		test_lines 2 got &&
		test_must_fail kubectl -n one get configmap nope 2>err &&
		test_equal "Error from server (NotFound): configmaps \"nope\" not found" "$(cat err)" &&
		kubectl -n one get secrets -l nobody=1 2>err &&
		test_equal "No resources found in one namespace." "$(cat err)"
	'

	test_expect_success 'watch shows changes as they come' '
		{ kubectl_bg -n one get configmap cm -w >watched & } &&
		watcher=$! &&
		test_when_finished "kill $watcher; wait $watcher" &&
		wait_for "grep -q ^cm watched" &&
		kubectl -n one patch configmap cm -p "{\"data\":{\"b\":\"2\"}}" &&
		wait_for "grep \"^cm  *3\" watched"
	'

	test_expect_success 'explain' '
		kubectl explain configmap >got &&
		test_grep "^KIND:  *ConfigMap" got &&
		kubectl explain pod.spec.containers.image >got &&
		test_grep "image.*<string>" got &&
		test_must_fail kubectl explain pod.spec.nonsense
	'

	test_expect_success 'unknown fields: an error by default, a warning when asked' '
		printf "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odd, namespace: one}\nspec: {}\n" >odd.yaml &&
		test_must_fail kubectl create -f odd.yaml 2>err &&
		test_grep "strict decoding error: unknown field \"spec\"" err &&
		kubectl create --validate=warn -f odd.yaml 2>err &&
		test_grep "Warning: unknown field \"spec\"" err &&
		kubectl -n one delete configmap odd
	'

	test_expect_success 'dry run keeps nothing' '
		kubectl -n one create configmap ghost --dry-run=server >got &&
		test_equal "configmap/ghost created (server dry run)" "$(cat got)" &&
		test_must_fail kubectl -n one get configmap ghost
	'

	test_expect_success 'an invalid object is refused with every reason' '
		test_must_fail kubectl -n one create configmap Bad_Name 2>err &&
		test_grep "ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\"" err &&
		cat >bad.yaml <<-\END &&
		apiVersion: v1
		kind: Pod
		metadata: {name: bad, namespace: one}
		spec:
		  restartPolicy: Perhaps
		  containers: [{image: x}]
		END
		test_must_fail kubectl create -f bad.yaml 2>err &&
		test_grep "spec.containers\[0\].name: Required value" err &&
		test_grep "spec.restartPolicy: Unsupported value: \"Perhaps\"" err
	'

	test_expect_success 'delete by name, by label, and all' '
		kubectl -n one delete configmap cm >got &&
		test_grep "configmap \"cm\" deleted" got &&
		kubectl -n one delete configmap -l app=web >got &&
		test_grep "configmap \"app\" deleted" got &&
		kubectl -n one delete secret --all >got &&
		test_lines 2 got &&
		test_must_fail kubectl -n one delete secret s 2>err &&
		test_grep NotFound err &&
		kubectl -n one delete secret s --ignore-not-found
	'

	test_expect_success 'deleting the namespace takes everything in it along' '
		kubectl -n one create configmap last &&
		kubectl delete namespace one >got &&
		test_grep "namespace \"one\" deleted" got &&
		test_must_fail kubectl get namespace one &&
		kubectl get configmaps,secrets,serviceaccounts -A -o name >got &&
		! grep last got &&
		test_must_fail kubectl -n one create configmap x 2>err &&
		test_grep "namespaces \"one\" not found" err
	'
}
for_each_kubectl ${KUBECTL_COUNT:-2} basics

test_expect_success 'everything is there again after a restart' '
	kubectl create configmap stays --from-literal=k=v &&
	kubectl get configmap stays -o yaml >before &&
	restart_server &&
	kubectl get configmap stays -o yaml >after &&
	test_cmp before after
'

test_expect_success 'and after the server was killed' '
	kubectl patch configmap stays -p "{\"data\":{\"k\":\"w\"}}" &&
	kubectl get configmap stays -o yaml >before &&
	kill_server &&
	start_server --disable-agent &&
	kubectl get configmap stays -o yaml >after &&
	test_cmp before after
'

test_expect_success 'stop the server' '
	stop_server
'

test_done
