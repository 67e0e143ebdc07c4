#!/bin/sh
# Who asks: impersonation, tokens of service accounts and what ends them, reviews
# of tokens, issuer discovery, certificate requests. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl openssl

as_token() # TOKEN ARGUMENT...: kubectl with nothing but this token
{
	test_token=$1
	shift
	"$KUBECTL" --kubeconfig=/dev/null --server=https://127.0.0.1:6443 --certificate-authority="$DATA/server/tls/ca.crt" \
		--token="$test_token" "$@"
}

claims() # TOKEN: what it says
{
	test_text=$(echo "$1" | cut -d. -f2 | tr '_-' '/+')
	while [ $((${#test_text} % 4)) != 0 ]; do
		test_text=$test_text=
	done
	echo "$test_text" | base64 -d
}

plain() # PATH [CURL ARGUMENT...]: without a certificate; the status, and ./answer
{
	test_path=$1
	shift
	rm -f answer
	curl -sS --max-time $((20 * TEST_SLOW)) --cacert "$DATA/server/tls/ca.crt" -o answer -w '%{http_code}' "$@" \
		"https://127.0.0.1:6443$test_path"
}

bearer_code() # TOKEN [PATH [CURL ARGUMENT...]]
{
	printf 'Authorization: Bearer %s\n' "$1" >bearer
	test_bearer_path=${2-/api}
	shift $(($# > 1 ? 2 : 1))
	plain "$test_bearer_path" -H @bearer "$@"
}

websocket_code() # SUBPROTOCOLS
{
	plain "/api/v1/namespaces/default/pods/none/exec?command=a" -H "Connection: Upgrade" -H "Upgrade: websocket" \
		-H "Sec-WebSocket-Version: 13" -H "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" \
		-H "Sec-WebSocket-Protocol: $1"
}

b64url()
{
	base64 -w0 | tr '/+' '_-' | tr -d =
}

test_expect_success 'start the server' '
	printf "guest-token,guest,g-1,\"visitors\"\n" >tokens.csv &&
	start_server --disable-agent --token sesame --token-auth-file "$PWD/tokens.csv" --api-audiences api,kinglet \
		--service-account-issuer https://issuer.example,https://old.example &&
	wait_for "kubectl get serviceaccount default"
'

# --- impersonation ---

test_expect_success 'whoami: the certificate'\''s names and its fingerprint' '
	kubectl auth whoami -o json >got &&
	want=$(openssl x509 -in "$DATA/server/tls/admin.crt" -outform DER | sha256sum | cut -d" " -f1) &&
	test_grep "X509SHA256=$want" got &&
	test_grep "\"username\": \"system:admin\"" got
'

test_expect_success 'kubectl --as, --as-group and --as-uid' '
	kubectl auth whoami --as=bob --as-group=devs --as-group=ops --as-uid=17 >got &&
	test_grep "^Username  *bob$" got &&
	test_grep "^UID  *17$" got &&
	test_grep "^Groups  *\[devs ops system:authenticated\]$" got
'

test_expect_success 'a service account has its groups, unless others are named' '
	kubectl auth whoami --as=system:serviceaccount:default:robot >got &&
	test_grep "\[system:serviceaccounts system:serviceaccounts:default system:authenticated\]" got &&
	kubectl auth whoami --as=system:serviceaccount:default:robot --as-group=x >got &&
	test_grep "\[x system:authenticated\]" got &&
	kubectl auth whoami --as=bob --as-group=system:masters --as-group=system:unauthenticated >got &&
	test_grep "\[system:masters system:unauthenticated\]" got
'

test_expect_success 'extra values: keys are decoded and in lower case' '
	api -X POST -H "Content-Type: application/json" -d "{}" -H "Impersonate-User: eve" \
		-H "Impersonate-Extra-Example.COM%2FScope: a" -H "Impersonate-Extra-example.com%2fscope: b" \
		-H "Impersonate-Extra-100%zz: c" /apis/authentication.k8s.io/v1/selfsubjectreviews >got &&
	test_grep "\"example.com/scope\":\[\"a\",\"b\"\]" got &&
	test_grep "\"100%zz\":\[\"c\"\]" got
'

test_expect_success 'what is done in another'\''s name is allowed by what he may' '
	test_must_fail kubectl get pods --as=bob 2>err &&
	test_equal "Error from server (Forbidden): pods is forbidden: User \"bob\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"" "$(cat err)"
'

test_expect_success 'who may not impersonate is told what he may not' '
	test_must_fail as_token guest-token get pods --as=bob 2>err &&
	test_grep "users \"bob\" is forbidden: User \"guest\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope" err &&
	test_must_fail as_token guest-token get pods --as=system:serviceaccount:default:robot 2>err &&
	test_grep "serviceaccounts \"robot\" is forbidden: User \"guest\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"default\"" err
'

test_expect_success 'each name, group, UID and extra value must be allowed' '
	kubectl create clusterrole actor --verb=impersonate --resource=users --resource-name=bob &&
	kubectl create clusterrolebinding actor --clusterrole=actor --user=guest &&
	as_token guest-token auth whoami --as=bob >got &&
	test_grep "^Username  *bob$" got &&
	test_must_fail as_token guest-token get pods --as=ann 2>err &&
	test_grep "cannot impersonate resource \"users\"" err &&
	test_must_fail as_token guest-token get pods --as=bob --as-group=ops 2>err &&
	test_grep "groups \"ops\" is forbidden: User \"guest\" cannot impersonate resource \"groups\" in API group \"\" at the cluster scope" err &&
	test_must_fail as_token guest-token get pods --as=bob --as-uid=1 2>err &&
	test_grep "uids.authentication.k8s.io \"1\" is forbidden: User \"guest\" cannot impersonate resource \"uids\" in API group \"authentication.k8s.io\"" err &&
	test_equal 403 "$(bearer_code guest-token /api -H "Impersonate-User: bob" -H "Impersonate-Extra-Scope: all")" &&
	test_grep "userextras.authentication.k8s.io .*all.* cannot impersonate resource .*userextras/scope.*" answer &&
	kubectl patch clusterrole actor --type=json -p "[{\"op\":\"add\",\"path\":\"/rules/-\",\"value\":{\"verbs\":[\"impersonate\"],\"apiGroups\":[\"authentication.k8s.io\"],\"resources\":[\"userextras/scope\"],\"resourceNames\":[\"all\"]}}]" &&
	test_equal 200 "$(bearer_code guest-token /api -H "Impersonate-User: bob" -H "Impersonate-Extra-Scope: all")" &&
	test_equal 403 "$(bearer_code guest-token /api -H "Impersonate-User: bob" -H "Impersonate-Extra-Scope: some")"
'

test_expect_success 'groups, UIDs and extra values without a user are a bad request' '
	for h in "Impersonate-Group: devs" "Impersonate-Uid: 1" "Impersonate-Extra-x: y"; do
		test_equal 400 "$(api_code -H "$h" /api)" || return 1
		test_grep "without impersonating a user" answer || return 1
	done &&
	test_grep "requested \[{UserExtra  y  authentication.k8s.io/v1  x}\] without" answer
'

test_expect_success 'nobody: health and version only, and never with a wrong credential' '
	test_equal 200 "$(plain /healthz)" &&
	test_equal 200 "$(plain /version)" &&
	test_equal 403 "$(plain /api/v1/pods)" &&
	test_grep "User \\\\\"system:anonymous\\\\\" cannot list resource" answer &&
	test_equal 401 "$(bearer_code wrong /healthz)"
'

# --- tokens ---

test_expect_success 'kubectl create token: an hour for the API' '
	token=$(kubectl create token default) &&
	claims "$token" >got &&
	test_grep "\"aud\":\[\"api\",\"kinglet\"\]" got &&
	test_grep "\"iss\":\"https://issuer.example\"" got &&
	test_grep "\"sub\":\"system:serviceaccount:default:default\"" got &&
	test_grep "\"jti\":\"[0-9a-f-]\{36\}\"" got &&
	as_token "$token" auth whoami -o json >got &&
	test_grep "\"username\": \"system:serviceaccount:default:default\"" got &&
	test_grep "\"JTI=[0-9a-f-]\{36\}\"" got
'

test_expect_success '--audience and --duration; a token for others is none for the API' '
	other=$(kubectl create token default --audience=vault --duration=20m) &&
	claims "$other" >got &&
	test_grep "\"aud\":\[\"vault\"\]" got &&
	perl -e "exit !(\$ARGV[0] =~ /\"exp\":(\d+),\"iat\":(\d+)/ && \$1 - \$2 == 1200)" "$(cat got)" &&
	test_equal 401 "$(bearer_code "$other")" &&
	test_must_fail kubectl create token default --duration=2m 2>err &&
	test_grep "spec.expirationSeconds: Invalid value: 120: may not specify a duration less than 10 minutes" err &&
	test_must_fail kubectl create token default --duration=1200000h 2>err &&
	test_grep "may not specify a duration larger than 2^32 seconds" err &&
	test_must_fail kubectl create token nobody 2>err &&
	test_grep "serviceaccounts \"nobody\" not found" err
'

review() # TOKEN AUDIENCES: the status of a TokenReview
{
	kubectl create -o json -f - <<-END
	{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"$1","audiences":[$2]}}
	END
}

test_expect_success 'TokenReview: for whom the token is good' '
	review "$token" "" >got &&
	test_grep "\"authenticated\": true" got &&
	review "$token" "\"x\",\"kinglet\"" >got &&
	test_equal "[\"kinglet\"]" "$(perl -0ne "print \$1 =~ s/\s//gr if /\"audiences\": (\[[^\]]*\]),\s*\"authenticated\"/" got)" &&
	review "$token" "\"x\"" >got &&
	test_grep -F "[invalid bearer token, token audiences [\\\"api\\\" \\\"kinglet\\\"] is invalid for the target audiences [\\\"x\\\"]]" got &&
	test_grep -v "\"authenticated\": true" got &&
	review "$other" "\"vault\"" >got &&
	test_grep "\"authenticated\": true" got &&
	review guest-token "\"vault\"" >got &&
	test_grep "unable to authenticate the token" got &&
	review rubbish "" >got &&
	test_grep "\"error\": \"invalid bearer token\"" got &&
	test_must_fail review "" "" 2>err &&
	test_grep "token is required for TokenReview in authentication" err
'

test_expect_success 'a token bound to a Secret dies with it' '
	kubectl create secret generic life &&
	test_must_fail kubectl create token default --bound-object-kind=Secret --bound-object-name=life \
		--bound-object-uid=00000000-0000-0000-0000-000000000000 2>err &&
	test_grep "the UID in the bound object reference (00000000-0000-0000-0000-000000000000) does not match the UID in record" err &&
	bound=$(kubectl create token default --bound-object-kind=Secret --bound-object-name=life) &&
	test_equal 200 "$(bearer_code "$bound")" &&
	kubectl delete secret life &&
	test_equal 401 "$(bearer_code "$bound")" &&
	review "$bound" "" >got &&
	test_grep "\[invalid bearer token, service account token has been invalidated\]" got &&
	kubectl create secret generic life &&
	test_equal 401 "$(bearer_code "$bound")"
'

test_expect_success 'a pod'\''s own token: extended, says where the pod runs, dies with the pod' '
	kubectl create -f - <<-\END &&
	apiVersion: v1
	kind: Pod
	metadata: {name: p}
	spec: {nodeName: far, containers: [{name: c, image: x}]}
	END
	pod_uid=$(kubectl get pod p -o jsonpath="{.metadata.uid}") &&
	printf "%s" "{\"spec\":{\"expirationSeconds\":3607,\"boundObjectRef\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"name\":\"p\"}}}" >req &&
	kubectl create --raw /api/v1/namespaces/default/serviceaccounts/default/token -f req >got &&
	bound=$(perl -ne "print \$1 if /\"token\":\"([^\"]*)/" got) &&
	claims "$bound" >got &&
	test_grep "\"node\":{\"name\":\"far\"},\"pod\":{\"name\":\"p\",\"uid\":\"$pod_uid\"}" got &&
	perl -e "exit !(\$ARGV[0] =~ /\"exp\":(\d+),\"iat\":(\d+).*\"warnafter\":(\d+)/ && \$1 - \$2 == 31536000 && \$3 - \$2 == 3607)" \
		"$(cat got)" &&
	as_token "$bound" auth whoami >got &&
	test_grep "pod-name *\[p\]" got &&
	test_grep "pod-uid *\[$pod_uid\]" got &&
	test_grep "node-name *\[far\]" got &&
	sed "s/Pod/Deployment/" req >req2 &&
	test_must_fail kubectl create --raw /api/v1/namespaces/default/serviceaccounts/default/token -f req2 2>err &&
	test_grep "cannot bind token to object of type /v1, Kind=Deployment" err &&
	kubectl create serviceaccount robot &&
	test_must_fail kubectl create --raw /api/v1/namespaces/default/serviceaccounts/robot/token -f req 2>err &&
	test_grep "cannot bind token for serviceaccount .*robot.* to pod running with different serviceaccount name" err &&
	kubectl delete pod p --force &&
	test_equal 401 "$(bearer_code "$bound")"
'

test_expect_success 'a token bound to a node' '
	kubectl create -f - <<-\END &&
	{"apiVersion":"v1","kind":"Node","metadata":{"name":"far"}}
	END
	printf "%s" "{\"spec\":{\"boundObjectRef\":{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"name\":\"far\"}}}" >req &&
	kubectl create --raw /api/v1/namespaces/default/serviceaccounts/default/token -f req >got &&
	bound=$(perl -ne "print \$1 if /\"token\":\"([^\"]*)/" got) &&
	as_token "$bound" auth whoami >got &&
	test_grep "node-name *\[far\]" got &&
	test_grep "node-uid *\[$(kubectl get node far -o jsonpath="{.metadata.uid}")\]" got &&
	kubectl delete node far &&
	test_equal 401 "$(bearer_code "$bound")"
'

test_expect_success 'an account that was made again is another' '
	token=$(kubectl create token robot) &&
	test_equal 200 "$(bearer_code "$token")" &&
	kubectl delete serviceaccount robot &&
	test_equal 401 "$(bearer_code "$token")" &&
	kubectl create serviceaccount robot &&
	test_equal 401 "$(bearer_code "$token")" &&
	review "$token" "" >got &&
	test_grep "service account UID (.*) does not match claim (.*)" got
'

test_expect_success 'a Secret of an account has its token, which lives as long as the Secret' '
	kubectl create -f - <<-\END &&
	apiVersion: v1
	kind: Secret
	type: kubernetes.io/service-account-token
	metadata: {name: old, annotations: {kubernetes.io/service-account.name: robot}}
	END
	uid=$(kubectl get serviceaccount robot -o jsonpath="{.metadata.uid}") &&
	test_equal "$uid" "$(kubectl get secret old -o jsonpath="{.metadata.annotations.kubernetes\.io/service-account\.uid}")" &&
	test_equal default "$(kubectl get secret old -o jsonpath="{.data.namespace}" | base64 -d)" &&
	kubectl get secret old -o jsonpath="{.data.ca\.crt}" | base64 -d >got &&
	test_cmp "$DATA/server/tls/ca.crt" got &&
	old=$(kubectl get secret old -o jsonpath="{.data.token}" | base64 -d) &&
	test_equal 200 "$(bearer_code "$old")" &&
	wait_for "kubectl get secret old --show-labels | grep legacy-token-last-used=$(date -u +%Y-%m-%d)" &&
	kubectl get secret old -o jsonpath="{.metadata.resourceVersion}" >rv &&
	test_equal 200 "$(bearer_code "$old")" &&
	kubectl get secret old -o jsonpath="{.metadata.resourceVersion}" >got &&
	test_cmp rv got &&
	kubectl patch secret old -p "{\"data\":{\"token\":null}}" &&
	test_equal 401 "$(bearer_code "$old")" &&
	review "$old" "" >got &&
	test_grep "does not match server.s copy" got &&
	old=$(kubectl get secret old -o jsonpath="{.data.token}" | base64 -d) &&
	test_equal 200 "$(bearer_code "$old")" &&
	kubectl delete secret old &&
	test_equal 401 "$(bearer_code "$old")"
'

test_expect_success 'tokens that mean harm' '
	token=$(kubectl create token default) &&
	head=$(echo "$token" | cut -d. -f1) body=$(echo "$token" | cut -d. -f2) sig=$(echo "$token" | cut -d. -f3) &&
	none=$(printf "{\"alg\":\"none\"}" | b64url) hs=$(printf "{\"alg\":\"HS256\"}" | b64url) &&
	for t in "$none.$body." "$none.$body.$sig" "$hs.$body.$sig" "$head.$body." "$head.$body" "$head..$sig" "." ".." "..." \
		"$head.$body.$sig.$sig" "$head.$body.$sig=" "$head.$(echo "$body" | tail -c +2).$sig" "$(printf "a\\000b" | b64url)" ; do
		test_equal 401 "$(bearer_code "$t")" || { echo "$t"; return 1; }
	done &&
	test_equal 200 "$(bearer_code "$token")"
'

test_expect_success 'a token of a megabyte is a header too large; of 60 kB no token' '
	head -c 1000000 /dev/zero | tr "\\0" a >long &&
	test_equal 431 "$(bearer_code "$(cat long)")" &&
	test_equal 401 "$(bearer_code "$(head -c 60000 long)")" &&
	test_equal ok "$(kubectl get --raw /readyz)"
'

test_expect_success 'headers twice, of another scheme, empty, or with a NUL' '
	test_equal 200 "$(plain /api -H "Authorization: Bearer sesame" -H "Authorization: Bearer wrong")" &&
	test_equal 401 "$(plain /api -H "Authorization: Bearer wrong" -H "Authorization: Bearer sesame")" &&
	test_equal 403 "$(plain /api/v1/pods -H "Authorization: Basic c2VzYW1lOg==")" &&
	test_equal 200 "$(plain /version -H "Authorization: Bearer ")" &&
	test_equal 200 "$(api_code -H "Authorization: Basic c2VzYW1lOg==" /api/v1/pods)" &&
	test_equal 403 "$(api_code -H "Impersonate-User: bob" -H "Impersonate-User: system:admin" /api/v1/pods)" &&
	test_grep "User .*bob.* cannot list" answer &&
	printf "GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sesame\000\r\n\r\n" >nul &&
	{ cat nul && wait_for "test -s nul.out"; } |
		openssl s_client -quiet -connect 127.0.0.1:6443 -CAfile "$DATA/server/tls/ca.crt" >nul.out 2>/dev/null &&
	test_grep "^HTTP/1.1 400 " nul.out
'

test_expect_success 'a WebSocket may bring its token as a subprotocol, beside a real one' '
	t=$(printf "%s" sesame | b64url) &&
	ws="base64url.bearer.authorization.k8s.io" &&
	for p in "$ws.$t, v4.channel.k8s.io" "v4.channel.k8s.io,$ws.$t"; do
		test_equal 404 "$(websocket_code "$p")" || return 1
	done &&
	for p in "$ws.$t" "$ws.$t, $ws.$t, v4.channel.k8s.io" "$ws., v4.channel.k8s.io" "$ws.wrong, v4.channel.k8s.io" \
		"$ws.!!!!, v4.channel.k8s.io"; do
		test_equal 401 "$(websocket_code "$p")" || return 1
	done &&
	test_equal 403 "$(plain /api/v1/pods -H "Sec-WebSocket-Protocol: $ws.$t, v4.channel.k8s.io")"
'

# --- issuer discovery ---

test_expect_success 'issuer discovery: the key verifies a token' '
	kubectl get --raw /.well-known/openid-configuration >got &&
	test_grep "\"issuer\":\"https://issuer.example\"" got &&
	test_grep "\"jwks_uri\":\"https://.*/openid/v1/jwks\"" got &&
	test_grep "\"response_types_supported\":\[\"id_token\"\]" got &&
	test_grep "\"subject_types_supported\":\[\"public\"\]" got &&
	test_grep "\"id_token_signing_alg_values_supported\":\[\"ES256\"\]" got &&
	api -D head /openid/v1/jwks >jwks &&
	test_grep -i "^content-type: application/jwk-set+json" head &&
	test_grep -i "^cache-control: public, max-age=3600" head &&
	kid=$(echo "$token" | cut -d. -f1 | base64 -d 2>/dev/null | perl -ne "print \$1 if /\"kid\":\"([^\"]*)/") &&
	test_grep "\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"$kid\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"x\":\"[A-Za-z0-9_-]\{43\}\",\"y\":\"[A-Za-z0-9_-]\{43\}\"" jwks &&
	test_equal 403 "$(plain /openid/v1/jwks)" &&
	test_equal 200 "$(bearer_code "$token" /openid/v1/jwks)"
'

# --- certificate requests ---

csr() # NAME REQUEST-FILE [SIGNER]
{
	cat <<-END
	apiVersion: certificates.k8s.io/v1
	kind: CertificateSigningRequest
	metadata: {name: $1}
	spec: {request: $(base64 -w0 "$2"), signerName: ${3-example.com/x}, usages: [client auth], username: evil, groups: [system:masters]}
	status: {conditions: [{type: Approved, status: "True"}]}
	END
}

test_expect_success 'a certificate request says who made it, and nobody approved it yet' '
	openssl ecparam -genkey -name prime256v1 -out key.pem &&
	openssl req -new -key key.pem -subj /O=devs/CN=ann -out req.pem &&
	csr one req.pem | kubectl create --as=ann --as-group=system:masters --as-uid=u1 -f - &&
	kubectl get csr one -o json >got &&
	test_grep "\"username\": \"ann\"" got &&
	test_grep "\"uid\": \"u1\"" got &&
	kubectl get csr >got &&
	test_grep "^NAME  *AGE  *SIGNERNAME  *REQUESTOR  *REQUESTEDDURATION  *CONDITION$" got &&
	test_grep "^one  *[0-9]*s  *example.com/x  *ann  *<none>  *Pending$" got
'

test_expect_success 'approved is approved: not twice, not taken back, and no certificate set that way' '
	kubectl certificate approve one >got &&
	test_grep "one approved" got &&
	kubectl get csr one -o jsonpath="{.status.conditions[0].type} {.status.conditions[0].lastUpdateTime}" >got &&
	test_grep "^Approved 20..-" got &&
	kubectl get csr one >got &&
	test_grep " Approved$" got &&
	for c in "[]" "[{\"type\":\"Approved\",\"status\":\"True\"},{\"type\":\"Denied\",\"status\":\"True\"}]" ; do
		test_must_fail kubectl patch csr one --subresource=approval --type=merge -p "{\"status\":{\"conditions\":$c}}" || return 1
	done 2>err &&
	test_grep "updates may not remove a condition of type \"Approved\"" err &&
	test_grep "status.conditions\[1\].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive" err &&
	test_must_fail kubectl patch csr one --subresource=approval --type=merge \
		-p "{\"status\":{\"conditions\":[{\"type\":\"Approved\",\"status\":\"False\"}]}}" 2>err &&
	test_grep "status.conditions\[0\].status: Unsupported value: \"False\": supported values: \"True\"" err &&
	kubectl patch csr one --subresource=approval --type=merge -p "{\"status\":{\"certificate\":\"Zm9v\"}}" &&
	test_equal "" "$(kubectl get csr one -o jsonpath="{.status.certificate}")" &&
	kubectl patch csr one --type=merge -p "{\"spec\":{\"username\":\"evil\"},\"status\":{\"certificate\":\"Zm9v\"}}" &&
	test_equal ann "$(kubectl get csr one -o jsonpath="{.spec.username}{.status.certificate}")"
'

test_expect_success 'the certificate comes through status, once, and is one' '
	set_cert() { kubectl patch csr one --subresource=status --type=merge -p "{\"status\":{\"certificate\":\"$(base64 -w0 "$1")\"}}"; } &&
	echo foo >bad.pem && cat key.pem >key2.pem &&
	test_must_fail set_cert bad.pem 2>err &&
	test_grep "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block" err &&
	test_must_fail set_cert key2.pem 2>err &&
	test_grep "only CERTIFICATE PEM blocks are allowed, found \"EC PARAMETERS\"" err &&
	set_cert "$DATA/server/tls/ca.crt" &&
	kubectl patch csr one --subresource=status --type=merge \
		-p "{\"metadata\":{\"annotations\":{\"via\":\"status\"}},\"spec\":{\"username\":\"evil\"}}" &&
	kubectl patch csr one --subresource=approval --type=merge \
		-p "{\"metadata\":{\"labels\":{\"via\":\"approval\"}},\"spec\":{\"username\":\"evil\"}}" &&
	test_equal "status approval ann" "$(kubectl get csr one -o jsonpath="{.metadata.annotations.via} {.metadata.labels.via} {.spec.username}")" &&
	test_must_fail set_cert "$DATA/server/tls/admin.crt" 2>err &&
	test_grep "updates may not modify existing certificate content" err &&
	test_must_fail kubectl patch csr one --subresource=status --type=merge -p "{\"status\":{\"conditions\":[]}}" 2>err &&
	test_grep "updates may not remove a condition" err &&
	kubectl get csr one >got &&
	test_grep " Approved,Issued$" got
'

test_expect_success 'deny, and requests that are none' '
	csr two req.pem | kubectl create -f - &&
	kubectl certificate deny two &&
	kubectl get csr two >got &&
	test_grep " Denied$" got &&
	echo foo >bad.pem &&
	csr three bad.pem >three.yaml &&
	test_must_fail kubectl create -f three.yaml 2>err &&
	test_grep "spec.request: Invalid value: \[\]byte{0x66, 0x6f, 0x6f, 0xa}: PEM block type must be CERTIFICATE REQUEST" err &&
	openssl ecparam -genkey -name prime256v1 -out key2.pem &&
	openssl req -in req.pem -outform DER -out req.der &&
	perl -0777 -pe "substr(\$_, -6, 1) ^= qq(\\x01)" req.der | openssl req -inform DER -out forged.pem &&
	csr three forged.pem >three.yaml &&
	test_must_fail kubectl create -f three.yaml 2>err &&
	test_grep "x509: ECDSA verification failure" err
'

test_expect_success 'anonymous access can be turned off: 401 for everything' '
	restart_server --disable-agent --anonymous-auth=false --service-account-issuer https://new.example,https://issuer.example \
		--api-audiences api --service-account-jwks-uri https://keys.example/jwks &&
	test_equal 401 "$(plain /healthz)" &&
	test_equal 401 "$(plain /api/v1/pods)"
'

test_expect_success 'the former issuer'\''s tokens are good, new ones are the new issuer'\''s' '
	test_equal 200 "$(bearer_code "$token")" &&
	claims "$(kubectl create token default)" >got &&
	test_grep "\"iss\":\"https://new.example\"" got &&
	kubectl get --raw /.well-known/openid-configuration >got &&
	test_grep "\"jwks_uri\":\"https://keys.example/jwks\"" got &&
	restart_server --disable-agent &&
	test_equal 401 "$(bearer_code "$token")"
'

test_done
