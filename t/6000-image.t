#!/bin/sh
# kinglet image: archives of all kinds in, pods from them, nothing left of bad ones.
. "${srcdir:-.}/t/lib.sh"
test_needs busybox jq overlay

STORE=$DATA/agent/images

image()
{
	"$KINGLET" image --data-dir "$DATA" "$@"
}

count() # DIRECTORY of the store: entries
{
	ls "$STORE/$1" | wc -l
}

# oci_layout DIRECTORY REF-NAME LAYER-FILE MEDIA-TYPE: one layer, whose plain tar is layer.tar
oci_layout()
{
	rm -rf "$1" &&
	mkdir -p "$1/blobs/sha256" &&
	echo '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout" &&
	diff_id=sha256:$(sha256sum <layer.tar | cut -c1-64) &&
	jq -cn --arg d "$diff_id" --arg a "$ARCH" '{architecture: $a, os: "linux", config: {Cmd: ["sh"]},
		rootfs: {type: "layers", diff_ids: [$d]}}' >config &&
	jq -cn --arg c "$(oci_blob "$1" config)" --arg l "$(oci_blob "$1" "$3")" --arg m "$4" \
		--argjson cs "$(wc -c <config)" --argjson ls "$(wc -c <"$3")" '{schemaVersion: 2,
		config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $c, size: $cs},
		layers: [{mediaType: $m, digest: $l, size: $ls}]}' >manifest &&
	jq -cn --arg d "$(oci_blob "$1" manifest)" --arg n "$2" --argjson s "$(wc -c <manifest)" '{schemaVersion: 2,
		manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $d, size: $s,
		annotations: {"org.opencontainers.image.ref.name": $n}}]}' >"$1/index.json"
}

oci_blob() # DIRECTORY FILE: puts it among the blobs and prints its digest
{
	blob=$(sha256sum <"$2" | cut -c1-64)
	cp "$2" "$1/blobs/sha256/$blob"
	echo "sha256:$blob"
}

test_expect_success 'the demo image is imported, listed, removed' '
	"$srcdir/scripts/make-demo-image" demo.tar example.org/demo:7 &&
	ARCH=$(tar -xOf demo.tar manifest.json | jq -r ".[0].Config" | xargs tar -xOf demo.tar | jq -r .architecture) &&
	image import demo.tar >got &&
	echo example.org/demo:7 >want &&
	test_cmp want got &&
	image ls >got &&
	test_grep "^IMAGE  *TAG  *IMAGE ID  *SIZE$" got &&
	test_grep "^example.org/demo  *7  *[0-9a-f]\{13\}  *2\.[0-9]*MB$" got &&
	image ls -q >id &&
	test_grep "^sha256:[0-9a-f]\{64\}$" id &&
	image rm "$(cut -c8-20 id)" >got &&
	echo "Untagged: example.org/demo:7" >want &&
	echo "Deleted: $(cat id)" >>want &&
	test_cmp want got &&
	test_equal 0 $(count blobs/sha256) &&
	test_equal empty "$(ls "$STORE/layers")"
'

test_expect_success 'archives may be compressed, or come on standard input' '
	gzip -k demo.tar &&
	zstd -q demo.tar &&
	image -q import demo.tar.gz demo.tar.zst >got 2>err &&
	image -q import - <demo.tar >>got 2>>err &&
	test_lines 3 got &&
	test_lines 0 err &&
	image ls -q >got &&
	test_cmp id got &&
	image rm example.org/demo:7
'

test_expect_success 'OCI layouts, with plain, gzip and zstd layers' '
	tar -xOf demo.tar --wildcards "*/layer.tar" >layer.tar &&
	gzip -nk layer.tar &&
	zstd -q layer.tar &&
	media=application/vnd.oci.image.layer.v1.tar &&
	oci_layout plain v1 layer.tar $media &&
	oci_layout gz example.org/gz:v2 layer.tar.gz $media+gzip &&
	oci_layout zst example.org/zst:v3 layer.tar.zst $media+zstd &&
	for dir in plain gz zst; do
		tar -C $dir -cf "My $dir.tar" . && image import "My $dir.tar" || return 1
	done >got &&
	printf "%s\n" docker.io/library/my-plain:v1 example.org/gz:v2 example.org/zst:v3 >want &&
	test_cmp want got &&
	test_equal 2 $(count layers) &&
	image rm my-plain:v1 example.org/gz:v2 &&
	test_equal 2 $(count layers) &&
	image rm example.org/zst:v3 &&
	test_equal 1 $(count layers)
'

if command -v skopeo >/dev/null && command -v umoci >/dev/null; then
	test_expect_success 'what skopeo and umoci write' '
		skopeo copy -q docker-archive:demo.tar oci-archive:sk.tar:example.org/sk:1 &&
		skopeo copy -q docker-archive:demo.tar oci:layout:one &&
		umoci unpack --image layout:one bundle &&
		rm bundle/rootfs/etc/group &&
		echo new >bundle/rootfs/etc/new &&
		umoci repack --image layout:two bundle &&
		tar -C layout -cf um.tar . &&
		image import sk.tar um.tar >got &&
		printf "%s\n" example.org/sk:1 docker.io/library/um:one docker.io/library/um:two >want &&
		test_cmp want got &&
		upper=$(jq -r ".images[] | select(.names[0] | endswith(\"um:two\")) | .layers[-1][7:]" "$STORE/index.json") &&
		test_equal "character special file" "$(stat -c %F "$STORE/layers/$upper/etc/group")" &&
		image rm example.org/sk:1 um:one um:two
	'
else
	test_skip 'what skopeo and umoci write' 'skopeo or umoci is not installed'
fi

# refused PATTERN ARCHIVE: said clearly, and nothing stays.
refused()
{
	test_must_fail image import "$2" >out 2>err &&
	test_lines 0 out &&
	test_grep "^kinglet image: import .$2.: .*$1" err &&
	test_equal 0 $(count tmp) &&
	test_equal 0 $(count blobs/sha256) &&
	test_equal empty "$(ls "$STORE/layers")"
}

test_expect_success 'bad archives are refused whole' '
	echo nonsense >nonsense.tar &&
	refused "no image archive that can be read" nonsense.tar &&
	refused "No such file or directory" missing.tar &&
	tar -cf no-image.tar id &&
	refused "neither an index.json (OCI layout) nor a manifest.json (docker save)" no-image.tar &&
	head -c 1000000 demo.tar >short.tar &&
	refused "Truncated" short.tar &&
	head -c 300000 demo.tar.gz >short.tar.gz &&
	refused "truncated" short.tar.gz
'

test_expect_success 'digests that are wrong' '
	cp -R gz bad &&
	blob=$(jq -r ".layers[0].digest[7:]" manifest) &&
	blob=$(find bad/blobs/sha256 -size +500k) &&
	printf x | dd of=$blob bs=1 seek=5000 conv=notrunc 2>/dev/null &&
	tar -C bad -cf bad.tar . &&
	refused "the layer is damaged: its digest is sha256:[0-9a-f]*, not sha256:" bad.tar &&
	cp layer.tar saved.tar &&
	echo more >>layer.tar &&
	oci_layout bad v1 saved.tar $media &&
	mv saved.tar layer.tar &&
	tar -C bad -cf bad.tar . &&
	refused "is not what the image says: its digest is sha256:" bad.tar
'

test_expect_success 'layers that reach outside' '
	mkdir evil && echo evil >evil/file &&
	cp layer.tar saved.tar &&
	for name in ../../../../evil /../evil x/../../evil; do
		tar -P -C evil --transform "s,file,$name," -cf layer.tar file &&
		oci_layout bad v1 layer.tar $media &&
		tar -C bad -cf bad.tar . &&
		refused "points outside of the image" bad.tar || return 1
	done &&
	mknod evil/disk b 8 0 &&
	tar -C evil -cf layer.tar disk &&
	oci_layout bad v1 layer.tar $media &&
	tar -C bad -cf bad.tar . &&
	refused "device node .disk." bad.tar &&
	mv saved.tar layer.tar &&
	! find "$TRASH" -xdev -name evil -type f | grep .
'

# An import that waits for its archive: $! is it, and $child the process that unpacks.
slow_import()
{
	rm -f fifo &&
	mkfifo fifo &&
	{ exec "$KINGLET" image --data-dir "$DATA" import fifo 7<>fifo & } &&
	importer=$! &&
	wait_for "pgrep -P $importer" &&
	child=$(pgrep -P $importer) &&
	wait_for "grep -q \"^Seccomp:.*2\" /proc/$child/status"
}

test_expect_success 'the process that unpacks is locked in' '
	slow_import &&
	test_when_finished "kill $importer; wait $importer" &&
	test_equal "$(realpath "$STORE")" "$(readlink /proc/$child/root)" &&
	test_grep "^CapEff:.*000000008820001b$" /proc/$child/status &&
	test_grep "^CapBnd:.*000000008820001b$" /proc/$child/status &&
	test_grep "^NoNewPrivs:.*1$" /proc/$child/status &&
	test_grep "^Max core file size *0 *0 " /proc/$child/limits
'

test_expect_success 'an import that is killed leaves nothing behind' '
	slow_import &&
	kill -9 $importer &&
	! wait $importer &&
	wait_for "! kill -0 $child" &&
	test_equal 1 $(count tmp) &&
	image ls >got &&
	test_lines 1 got &&
	test_equal 0 $(count tmp)
'

test_expect_success 'several at once' '
	for i in 1 2 3 4; do
		image -q import demo.tar >out.$i 2>&1 &
		pids="$pids $!"
	done &&
	for pid in $pids; do
		wait $pid || { cat out.*; return 1; }
	done &&
	image ls -q >got &&
	test_cmp id got &&
	test_equal 0 $(count tmp)
'

test_expect_success 'what is asked wrongly is said' '
	test_must_fail image frobnicate 2>err &&
	test_grep "is nothing that can be done with images" err &&
	test_must_fail image lst 2>err &&
	test_grep "did you mean .ls.?" err &&
	test_must_fail image rm 2>err &&
	test_grep "usage: kinglet image rm REFERENCE" err &&
	test_must_fail image rm example.org/demo 2>err &&
	test_grep "image \"example.org/demo\": not found" err &&
	test_must_fail image pull Bad/Name 2>err &&
	test_grep "invalid reference format" err
'

if command -v docker-registry >/dev/null && command -v skopeo >/dev/null; then
	test_expect_success 'pull from a registry' '
		cat >registry.yml <<-END &&
		version: 0.1
		storage: {filesystem: {rootdirectory: $TRASH/work/registry}}
		http: {addr: "127.0.0.1:5000"}
		END
		{ docker-registry serve registry.yml >registry.log 2>&1 & } &&
		registry=$! &&
		test_when_finished "kill $registry; wait $registry" &&
		wait_for "curl -fs http://127.0.0.1:5000/v2/" &&
		skopeo copy -q --dest-tls-verify=false docker-archive:demo.tar docker://127.0.0.1:5000/team/demo:3 &&
		image rm example.org/demo:7 &&
		image -q pull 127.0.0.1:5000/team/demo:3 >got &&
		test_grep "^127.0.0.1:5000/team/demo@sha256:" got &&
		image ls -q >got &&
		test_cmp id got &&
		test_must_fail image pull 127.0.0.1:5000/team/demo:4 2>err &&
		test_grep "failed to pull and unpack image .*: failed to resolve reference .*/team/demo:4: not found" err &&
		image rm 127.0.0.1:5000/team/demo:3
	'
else
	test_skip 'pull from a registry' 'docker-registry or skopeo is not installed'
fi

test_done
