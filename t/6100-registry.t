#!/bin/sh
# Pulls by hand from Debian's docker-registry: plain, by TLS with Basic authentication, with tokens; mirrors and
# credentials of registries.yaml; transfers that break off.
. "${srcdir:-.}/t/lib.sh"
test_needs busybox overlay docker-registry skopeo curl openssl python3 jq
. "$srcdir/t/helper/registry.sh"

STORE=$DATA/agent/images

image()
{
	"$KINGLET" image --data-dir "$DATA" --private-registry "$PWD/registries.yaml" "$@"
}

count() # DIRECTORY of the store: entries
{
	ls "$STORE/$1" | wc -l
}

test_expect_success 'registries with an image' '
	"$srcdir/scripts/make-demo-image" demo.tar example.org/demo:1 &&
	start_registry plain 5000 &&
	start_registry tls 5443 basic &&
	start_registry token 5001 token &&
	skopeo copy -q --dest-tls-verify=false docker-archive:demo.tar docker://127.0.0.1:5000/team/demo:1 &&
	skopeo copy -q --dest-tls-verify=false --dest-creds user:pass docker-archive:demo.tar docker://127.0.0.1:5443/team/demo:1 &&
	skopeo copy -q --dest-tls-verify=false --dest-creds user:pass docker-archive:demo.tar docker://127.0.0.1:5001/public/demo:1 &&
	skopeo copy -q --dest-tls-verify=false --dest-creds user:pass docker-archive:demo.tar docker://127.0.0.1:5001/team/demo:1 &&
	ID=$(skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5000/team/demo:1 | jq -r .config.digest)
'

test_expect_success 'a pull, and one that finds all as it was' '
	image pull 127.0.0.1:5000/team/demo:1 >got 2>err &&
	test_grep "^127.0.0.1:5000/team/demo@sha256:[0-9a-f]*$" got &&
	test_grep "^fetching 1 of 1 layers (.* bytes)$" err &&
	image pull 127.0.0.1:5000/team/demo:1 2>err &&
	test_grep "up to date" err &&
	image ls -q >id &&
	test_equal "$ID" "$(cat id)" &&
	test_equal 0 $(count partial) &&
	test_equal 0 $(count tmp)
'

test_expect_success 'by TLS: not without its authority and a password' '
	test_must_fail image pull 127.0.0.1:5443/team/demo:1 2>err &&
	test_must_fail image pull localhost:5443/team/demo:1 2>err &&
	printf "configs:\n  localhost:5443:\n    tls: {ca_file: %s}\n" "$PWD/ca.crt" >registries.yaml &&
	test_must_fail image pull localhost:5443/team/demo:1 2>err &&
	test_grep "pull access denied, repository does not exist or may require authorization: server message: authentication required" err &&
	printf "    auth: {username: user, password: wrong}\n" >>registries.yaml &&
	test_must_fail image pull localhost:5443/team/demo:1 2>err &&
	test_grep "pull access denied" err
'

test_expect_success 'with both' '
	printf "configs:\n  localhost:5443:\n    tls: {ca_file: %s}\n    auth: {auth: dXNlcjpwYXNz}\n" "$PWD/ca.crt" >registries.yaml &&
	image pull localhost:5443/team/demo:1 >got &&
	test_grep "^localhost:5443/team/demo@sha256" got &&
	printf "configs:\n  localhost:5443:\n    tls: {insecure_skip_verify: true}\n" >registries.yaml &&
	image pull --creds user:pass localhost:5443/team/demo:1
'

test_expect_success 'a mirror with a rewrite, and the registry itself behind it' '
	printf "mirrors:\n  example.org:\n    endpoint: [\"https://localhost:5443\"]\n    rewrite: {\"^x/(.*)\": \"team/\$1\"}\n" >registries.yaml &&
	printf "  127.0.0.1:5000:\n    endpoint: [\"http://127.0.0.1:9\", \"https://localhost:5443\"]\n" >>registries.yaml &&
	printf "configs:\n  localhost:5443:\n    tls: {ca_file: %s}\n    auth: {auth: dXNlcjpwYXNz}\n" "$PWD/ca.crt" >>registries.yaml &&
	image pull example.org/x/demo:1 >got &&
	test_grep "^example.org/x/demo@sha256" got &&
	image rm "$ID" &&
	stop_registry tls &&
	image pull 127.0.0.1:5000/team/demo:1 2>err &&
	test_grep "asking 127.0.0.1:5000" err
'

test_expect_success 'what is wrong with the file is told with its line' '
	printf "mirrors:\n  docker.io:\n    endpoints: []\n" >registries.yaml &&
	test_must_fail image pull x 2>err &&
	test_grep "registries.yaml:3: mirrors.\"docker.io\".endpoints: unknown field" err &&
	rm registries.yaml
'

test_expect_success 'tokens: for anybody, for a user, for a refresh token' '
	image pull 127.0.0.1:5001/public/demo:1 &&
	echo "GET - repository:public/demo:pull" >want &&
	tail -n 1 token.log >got &&
	test_cmp want got &&
	test_must_fail image pull 127.0.0.1:5001/team/demo:1 2>err &&
	test_grep "pull access denied" err &&
	image pull --creds user:pass 127.0.0.1:5001/team/demo:1 &&
	test_must_fail image pull --creds user:no 127.0.0.1:5001/team/demo:1 2>err &&
	test_grep "failed to authorize: failed to fetch oauth token: unexpected status from GET request to http://127.0.0.1:5002/token: 401 Unauthorized: wrong password" err &&
	printf "configs:\n  127.0.0.1:5001:\n    auth: {identity_token: refresh-me}\n" >registries.yaml &&
	image rm 127.0.0.1:5001/team/demo:1 &&
	image pull 127.0.0.1:5001/team/demo:1 &&
	test_grep "^POST user repository:team/demo:pull$" token.log &&
	rm registries.yaml
'

test_expect_success 'a token that has ended by the time it is used is fetched again' '
	image rm "$ID" &&
	echo 1 >token.log.seconds &&
	: >token.log &&
	image pull --creds user:pass 127.0.0.1:5001/team/demo:1 &&
	rm token.log.seconds &&
	test_grep "GET user repository:team/demo:pull" token.log
'

test_expect_success 'a transfer that was killed goes on where it was' '
	image rm "$ID" &&
	layer=$(skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5000/team/demo:1 | jq -r ".layers[0].digest") &&
	blob=registry.plain/data/docker/registry/v2/blobs/sha256/$(echo "$layer" | cut -c8-9)/${layer#sha256:}/data &&
	test_equal "$layer" "sha256:$(sha256sum <"$blob" | cut -c1-64)" &&
	head -c 500000 "$blob" >"$STORE/partial/${layer#sha256:}" &&
	image pull 127.0.0.1:5000/team/demo:1 &&
	test_equal 0 $(count partial) &&
	image rm "$ID" &&
	head -c 500000 /dev/zero >"$STORE/partial/${layer#sha256:}" &&
	test_must_fail image pull 127.0.0.1:5000/team/demo:1 2>err &&
	test_grep "unexpected commit digest sha256:.*, expected $layer: failed precondition" err &&
	test_equal 0 $(count partial) &&
	image pull 127.0.0.1:5000/team/demo:1
'

test_expect_success 'the registries end' 'stop_registries'

test_done
