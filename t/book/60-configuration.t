#!/bin/sh
# The book on how applications are told their settings: arguments, variables, ConfigMaps and Secrets.
. "${srcdir:-.}/t/book/lib.sh"
test_needs openssl
start_book kubia nginx fortune

value() # POD: of its variable ENVNAME
{
	kubectl exec "$1" -- sh -c 'echo "${ENVNAME-unset}"'
}

test_expect_success 'the image says what runs; command and args take its place' '
	kubectl run plain --image=zou8944/kubia &&
	create pod-command &&
	ready pod/plain pod/kubia-command &&
	test_equal "node app.js" "$(kubectl exec plain -- cat /proc/1/cmdline | tr "\0" " " | xargs)" &&
	test_equal "node hello.js 10" "$(kubectl exec kubia-command -- cat /proc/1/cmdline | tr "\0" " " | xargs)"
'

# docker run luksa/fortune 15: the argument of the image's CMD is replaced, not its ENTRYPOINT.
test_expect_success 'args alone replace the image'\''s arguments' '
	kubectl run fortune --image=luksa/fortune &&
	kubectl run fortune15 --image=luksa/fortune -- 15 &&
	ready pod/fortune pod/fortune15 &&
	wait_for "kubectl logs fortune | grep \"new fortune every 10 seconds\"" &&
	wait_for "kubectl logs fortune15 | grep \"new fortune every 15 seconds\""
'

test_expect_success 'variables, and one that refers to another' '
	create pod-env &&
	ready pod/kubia-env &&
	kubectl exec kubia-env -- env >got &&
	test_grep -x "ENVNAME=lalal" got &&
	test_grep -x "ENVNAME2=lalal dd" got && # $(ENVNAME); the book'\''s ${ENVNAME} is for shells
	kubectl delete pod --all
'

# The book says that files whose names are no keys are left out; kubectl refuses the directory.
test_expect_success 'kubectl create configmap, from literals, files and a directory' '
	echo "a = b" >myfile.conf &&
	mkdir dir &&
	echo one >dir/one.conf &&
	echo two >dir/two &&
	echo no >"dir/not a key" &&
	refused "\"not a key\" is not a valid key name for a ConfigMap" kubectl create configmap my-config --from-file=dir &&
	rm "dir/not a key" &&
	kubectl create configmap my-config --from-literal=interval=5 --from-file=myfile.conf --from-file=mykey=myfile.conf --from-file=dir >got &&
	test_grep "configmap/my-config created" got &&
	kubectl get configmap my-config -o go-template="{{range \$k, \$v := .data}}{{\$k}}: {{\$v}}{{\"\\n\"}}{{end}}" | grep . >got &&
	printf "%s\n" "interval: 5" "myfile.conf: a = b" "mykey: a = b" "one.conf: one" "two: two" >want &&
	test_cmp want got &&
	refused "configmaps \"my-config\" already exists" kubectl create configmap my-config --from-literal=a=b
'

test_expect_success 'a ConfigMap from a manifest' '
	create configmap >got &&
	test_grep "^configmap/myconfig created" got && # the book: myConfig; names are in small letters
	refused "a lowercase RFC 1123 subdomain" kubectl create configmap myConfig &&
	test_equal "value1 value2" "$(field cm/myconfig ".data.key1} {.data.key2")" &&
	kubectl get cm myconfig >got &&
	test_grep "^myconfig  *2 " got
'

test_expect_success 'one key as a variable; one that is missing is skipped if it is optional, else waited for' '
	create pod-configmap-env &&
	manifest pod-configmap-env | sed "s/name: configmap-env/name: strict/; /optional/d" | kubectl create -f - &&
	manifest pod-configmap-env | sed "s/name: configmap-env/name: have/; s/key: interval/key: key1/" | kubectl create -f - &&
	ready pod/configmap-env pod/have &&
	test_equal unset "$(value configmap-env)" &&
	test_equal value1 "$(value have)" &&
	wait_for "kubectl get pod strict | grep CreateContainerConfigError" &&
	wait_for "events strict | grep \"couldn.t find key interval in ConfigMap default/myconfig\"" &&
	kubectl patch cm myconfig -p "{\"data\":{\"interval\":\"25\"}}" &&
	ready pod/strict &&
	test_equal 25 "$(value strict)"
'

test_expect_success 'all keys as variables, with a prefix' '
	create pod-configmap-envfrom &&
	ready pod/configmap-envfrom &&
	kubectl exec configmap-envfrom -- env | grep ^CONFIG_ | sort >got &&
	printf "CONFIG_%s\n" interval=25 key1=value1 key2=value2 >want &&
	test_cmp want got
'

test_expect_success 'a value as an argument' '
	manifest pod-configmap-env | sed "s/name: configmap-env/name: args/; s|image: .*|image: luksa/fortune|; s/name: ENVNAME/name: EVERY/
		s/^      env:/      args: [\"\$(EVERY)\"]\n&/" | kubectl create -f - &&
	ready pod/args &&
	wait_for "kubectl logs args | grep \"new fortune every 25 seconds\"" &&
	kubectl delete pod --all &&
	kubectl delete cm myconfig
'

test_expect_success 'kubectl create configmap myconfig --from-file=configmap-files, as a volume: a file for each key' '
	mkdir configmap-files &&
	printf "server {\n    listen 80;\n    gzip on;\n}\n" >configmap-files/my-nginx-config.conf &&
	echo 25 >configmap-files/sleep-interval &&
	kubectl create configmap myconfig --from-file=configmap-files &&
	kubectl run before --image=nginx:alpine &&
	create pod-configmap-volume &&
	ready pod/before pod/configmap-volume &&
	test_equal default.conf "$(kubectl exec before -- ls /etc/nginx/conf.d)" &&
	kubectl exec configmap-volume -- ls /etc/nginx/conf.d >got && # what the image has there is hidden
	printf "my-nginx-config.conf\nsleep-interval\n" >want &&
	test_cmp want got &&
	kubectl exec configmap-volume -- cat /etc/nginx/conf.d/my-nginx-config.conf >got &&
	test_cmp configmap-files/my-nginx-config.conf got &&
	test_must_fail kubectl exec configmap-volume -- touch /etc/nginx/conf.d/new
'

test_expect_success 'one item, under another name, with a mode' '
	create pod-configmap-item &&
	ready pod/configmap-item &&
	test_equal "gzip.conf 660" "$(kubectl exec configmap-item -- sh -c "cd /etc/nginx/conf.d && ls && stat -Lc %a gzip.conf" | xargs)" &&
	kubectl exec configmap-item -- cat /etc/nginx/conf.d/gzip.conf >got &&
	test_cmp configmap-files/my-nginx-config.conf got
'

# The book recommends to mount files, not over a directory: that is subPath.
test_expect_success 'subPath: one file, and the others stay' '
	manifest pod-configmap-item | sed "s/name: configmap-item/name: subpath/; s|mountPath: .*|&/gzip.conf\n          subPath: gzip.conf|" | kubectl create -f - &&
	ready pod/subpath &&
	test_equal "default.conf gzip.conf" "$(kubectl exec subpath -- ls /etc/nginx/conf.d | xargs)"
'

test_expect_success 'a change is seen in the volume, through links; not by subPath' '
	kubectl exec configmap-volume -- readlink /etc/nginx/conf.d/my-nginx-config.conf >got &&
	test_equal "..data/my-nginx-config.conf" "$(cat got)" &&
	generation=$(kubectl exec configmap-volume -- readlink /etc/nginx/conf.d/..data) &&
	KUBE_EDITOR="sed -i '\''s/gzip on/gzip off/'\''" kubectl edit configmap myconfig &&
	wait_for "kubectl exec configmap-volume -- grep \"gzip off\" /etc/nginx/conf.d/my-nginx-config.conf" &&
	wait_for "kubectl exec configmap-item -- grep \"gzip off\" /etc/nginx/conf.d/gzip.conf" &&
	test "$generation" != "$(kubectl exec configmap-volume -- readlink /etc/nginx/conf.d/..data)" &&
	kubectl exec subpath -- grep "gzip on" /etc/nginx/conf.d/gzip.conf
'

test_expect_success 'kubectl create secret generic, tls, docker-registry' '
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 360 -subj /CN=kubia.example.com \
		-keyout https.key -out https.cert 2>/dev/null &&
	kubectl create secret generic myhttps --from-file=https.key --from-file=https.cert &&
	test_equal "$(base64 -w0 https.key)" "$(field secret/myhttps ".data.https\.key")" &&
	kubectl get secret myhttps >got &&
	test_grep "^myhttps  *Opaque  *2 " got &&
	kubectl describe secret myhttps >got &&
	test_grep "https.key:  *$(wc -c <https.key) bytes" got &&
	kubectl create secret tls tls-secret --cert=https.cert --key=https.key &&
	test_equal kubernetes.io/tls "$(field secret/tls-secret .type)" &&
	kubectl create secret docker-registry mydockerhubsecret --docker-username=me --docker-password=pw --docker-email=me@example.com &&
	test_equal kubernetes.io/dockerconfigjson "$(field secret/mydockerhubsecret .type)" &&
	field secret/mydockerhubsecret ".data.\.dockerconfigjson" | base64 -d >got &&
	test_grep "\"https://index.docker.io/v1/\":{\"username\":\"me\",\"password\":\"pw\"" got
'

test_expect_success 'stringData is written as it is, and comes back encoded' '
	object "apiVersion: v1, kind: Secret, metadata: {name: plain}, stringData: {foo: plain text}, data: {bar: YmFy}" | kubectl create -f - &&
	test_equal "cGxhaW4gdGV4dA== YmFy " "$(field secret/plain ".data.foo} {.data.bar} {.stringData")"
'

test_expect_success 'a Secret as a volume: decoded, and in memory only' '
	create pod-secret &&
	ready pod/secret-volume &&
	kubectl exec secret-volume -- ls /etc/nginx/certs >got &&
	printf "https.cert\nhttps.key\n" >want &&
	test_cmp want got &&
	kubectl exec secret-volume -- cat /etc/nginx/certs/https.key >got &&
	test_cmp https.key got &&
	test_equal tmpfs "$(kubectl exec secret-volume -- stat -f -c %T /etc/nginx/certs)" &&
	kubectl exec secret-volume -- ls /etc/nginx/conf.d >got &&
	test_grep my-nginx-config.conf got
'

test_expect_success 'a Secret as variables' '
	manifest pod-configmap-env | sed "s/name: configmap-env/name: secret-env/; s/configMapKeyRef/secretKeyRef/; s/name: myconfig/name: plain/; s/key: interval/key: foo/" |
		kubectl create -f - &&
	ready pod/secret-env &&
	test_equal "plain text" "$(value secret-env)"
'

end_book
