#!/bin/sh
# kinglet image push, export, tag, inspect, prune: what comes out is what came in, to the last digest, and skopeo takes it.
. "${srcdir:-.}/t/lib.sh"
test_needs busybox overlay docker-registry skopeo curl openssl python3 jq
. "$srcdir/t/helper/registry.sh"

STORE=$DATA/agent/images

image()
{
	"$KINGLET" image --data-dir "$DATA" --private-registry "$PWD/registries.yaml" "$@"
}

raw() # URL: the manifest as it is
{
	skopeo inspect --tls-verify=false --raw "$@"
}

test_expect_success 'registries, and images of two forms' '
	"$srcdir/scripts/make-demo-image" demo.tar example.org/demo:1 &&
	start_registry plain 5000 &&
	start_registry tls 5443 basic &&
	start_registry token 5001 token &&
	printf "configs:\n  localhost:5443:\n    tls: {ca_file: %s}\n    auth: {auth: dXNlcjpwYXNz}\n" "$PWD/ca.crt" >registries.yaml &&
	skopeo copy -q --dest-tls-verify=false docker-archive:demo.tar docker://127.0.0.1:5000/docker:1 &&
	skopeo copy -q --format oci --dest-compress-format zstd --dest-tls-verify=false docker-archive:demo.tar docker://127.0.0.1:5000/oci:1 &&
	image -q pull 127.0.0.1:5000/docker:1 127.0.0.1:5000/oci:1 &&
	raw docker://127.0.0.1:5000/docker:1 >docker.json &&
	raw docker://127.0.0.1:5000/oci:1 >oci.json
'

test_expect_success 'a push keeps all digests, with Basic authentication and with tokens' '
	image push 127.0.0.1:5000/docker:1 localhost:5443/team/a:x >got 2>err &&
	test_equal "sha256:$(sha256sum <docker.json | cut -c1-64)" "$(cat got)" &&
	raw --creds user:pass docker://localhost:5443/team/a:x >pushed.json &&
	test_cmp docker.json pushed.json &&
	image push --creds user:pass 127.0.0.1:5000/oci:1 127.0.0.1:5001/team/b:x &&
	raw --creds user:pass docker://127.0.0.1:5001/team/b:x >pushed.json &&
	test_cmp oci.json pushed.json &&
	test_grep "GET user repository:team/b:pull,push" token.log
'

test_expect_success 'what is there is not sent again, or mounted' '
	image push 127.0.0.1:5000/docker:1 localhost:5443/team/a:y 2>err &&
	test_grep "is there already" err &&
	image tag 127.0.0.1:5000/docker:1 127.0.0.1:5000/other:2 &&
	image push 127.0.0.1:5000/other:2 2>err &&
	test_grep "was mounted from another repository" err &&
	raw docker://127.0.0.1:5000/other:2 >pushed.json &&
	test_cmp docker.json pushed.json
'

test_expect_success 'who may not push is told' '
	test_must_fail image push 127.0.0.1:5000/docker:1 127.0.0.1:5001/team/c:1 2>err &&
	test_grep "^kinglet image: failed to push image \"127.0.0.1:5001/team/c:1\": push access denied" err &&
	test_must_fail image push nothing:1 2>err &&
	test_grep "image \"nothing:1\": not found" err
'

test_expect_success 'an archive for skopeo, as docker-archive and as OCI layout' '
	image export --output out.tar 127.0.0.1:5000/docker:1 127.0.0.1:5000/oci:1 &&
	image export 127.0.0.1:5000/docker:1 127.0.0.1:5000/oci:1 >out2.tar &&
	cmp out.tar out2.tar &&
	skopeo copy -q --dest-tls-verify=false docker-archive:out.tar:127.0.0.1:5000/docker:1 docker://127.0.0.1:5000/from-docker:1 &&
	raw docker://127.0.0.1:5000/from-docker:1 | jq -r .config.digest >got &&
	jq -r .config.digest docker.json >want &&
	test_cmp want got &&
	mkdir layout && tar -C layout -xf out.tar &&
	skopeo copy -q --dest-tls-verify=false oci:layout:127.0.0.1:5000/oci:1 docker://127.0.0.1:5000/from-oci:1 &&
	raw docker://127.0.0.1:5000/from-oci:1 >got.json &&
	test_cmp oci.json got.json
'

test_expect_success 'and back again, identically' '
	image ls --json | jq -r ".images[] | \"\(.id) \(.repoTags)\"" | sort >before &&
	image rm $(image ls -q) &&
	test_equal empty "$(ls "$STORE/layers")" &&
	image -q import out.tar >names &&
	test_lines 2 names &&
	image export 127.0.0.1:5000/docker:1 127.0.0.1:5000/oci:1 >again.tar &&
	cmp out.tar again.tar
'

test_expect_success 'what is told of an image' '
	image inspect 127.0.0.1:5000/oci:1 >got.json &&
	jq -e ".[0].config.config.Cmd and .[0].manifest.layers[0].digest and .[0].pinned and .[0].blobsKept" got.json &&
	jq -r ".[0].repoTags[]" got.json >got &&
	echo 127.0.0.1:5000/oci:1 >want &&
	test_cmp want got &&
	test_must_fail image inspect nothing 2>err &&
	test_grep "image \"nothing\": not found" err
'

test_expect_success 'names' '
	image tag 127.0.0.1:5000/oci:1 busybox &&
	image ls >got &&
	test_grep "^docker.io/library/busybox  *latest " got &&
	image tag 127.0.0.1:5000/docker:1 busybox &&
	image inspect busybox | jq -r ".[0].repoTags[]" >got &&
	test_grep "127.0.0.1:5000/docker:1" got &&
	test_must_fail image tag busybox Bad/Name 2>err &&
	test_must_fail image tag nothing:1 x 2>err &&
	test_must_fail image tag busybox 2>err &&
	test_grep "usage: kinglet image tag REFERENCE NAME" err
'

test_expect_success 'without the compressed layers there is no push and no export' '
	image rm $(image ls -q) &&
	image -q pull --no-keep-blobs 127.0.0.1:5000/docker:1 &&
	test_equal 2 $(ls "$STORE/blobs/sha256" | wc -l) &&
	test_must_fail image export 127.0.0.1:5000/docker:1 >out.tar 2>err &&
	test_grep "the compressed layers of image .* are not kept here" err &&
	test_must_fail image push 127.0.0.1:5000/docker:1 127.0.0.1:5000/x:1 2>err &&
	test_grep "its compressed layers are not kept here" err &&
	image -q pull 127.0.0.1:5000/docker:1 &&
	test_equal 3 $(ls "$STORE/blobs/sha256" | wc -l) &&
	image export 127.0.0.1:5000/docker:1 >out.tar &&
	image prune --no-keep-blobs &&
	test_equal "" "$(image ls -q)"
'

test_expect_success 'large blobs go in parts' '
	image -q pull 127.0.0.1:5000/docker:1 &&
	make_image big 20000000 &&
	image -q import big.tar &&
	image push example.org/big:1 127.0.0.1:5000/big:1 &&
	raw docker://127.0.0.1:5000/big:1 | sha256sum | cut -c1-64 >got &&
	jq -r ".manifests[0].digest" big/index.json | cut -c8- >want &&
	test_cmp want got &&
	image rm example.org/big:1 &&
	image -q pull 127.0.0.1:5000/big:1 &&
	cmp big.root/file "$(image inspect 127.0.0.1:5000/big:1 | jq -r ".[0].layerDirectories[0]")/file"
'

test_expect_success 'prune leaves what came from files' '
	image -q import demo.tar &&
	image prune >got &&
	test_grep "^Untagged: 127.0.0.1:5000/big:1$" got &&
	test_grep "^Deleted: sha256:" got &&
	image ls >got &&
	test_grep demo got &&
	test_must_fail grep big got
'

test_expect_success 'the registries end' 'stop_registries'

test_done
