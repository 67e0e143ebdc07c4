#!/bin/sh
# Archives that lie in agent/images, and the collection of garbage when the disk is full: what is used, or came from a
# file, stays. The data directory is on a small disk of its own.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl busybox overlay docker-registry skopeo curl python3 jq
. "$srcdir/t/helper/registry.sh"

STORE=$DATA/agent/images

image()
{
	"$KINGLET" image --data-dir "$DATA" "$@"
}

has() # IMAGE
{
	image ls --json | jq -e --arg n "$1" '.images[] | select(.repoTags[] == $n)'
}

run() # NAME IMAGE
{
	kubectl run "$1" --image="$2" --restart=Never --image-pull-policy=IfNotPresent --overrides='{"spec":{"terminationGracePeriodSeconds":0}}' -- sleep 1000 &&
	kubectl wait --for=condition=Ready "pod/$1" --timeout=$((30 * TEST_SLOW))s
}

events() # REASON: of the node
{
	kubectl get events -A --field-selector "involvedObject.kind=Node,reason=$1" -o jsonpath='{range .items[*]}{.message}{"\n"}{end}'
}

test_expect_success 'a registry, images, a small disk' '
	"$srcdir/scripts/make-demo-image" demo.tar example.org/demo:1 &&
	start_registry plain 5000 &&
	for i in a b c d e; do
		make_image $i 12000000 &&
		skopeo copy -q --dest-tls-verify=false oci:$i:example.org/$i:1 docker://127.0.0.1:5000/$i:1 || return 1
	done &&
	mkdir -p "$DATA" &&
	mount -t tmpfs -o size=100m,mode=0755 none "$DATA" &&
	mkdir -p "$STORE" &&
	cp demo.tar "$STORE/demo.tar" &&
	echo "no archive" >"$STORE/bad.tar" &&
	printf "# from the registry\n\n127.0.0.1:5000/a:1\n" >"$STORE/list.txt"
'

test_expect_success 'archives and lists that are there at the start' '
	start_server --image-gc-high-threshold=100 --image-gc-low-threshold=99 &&
	wait_node &&
	wait_for "has example.org/demo:1" &&
	wait_for "has 127.0.0.1:5000/a:1" &&
	wait_for "image inspect 127.0.0.1:5000/a:1 | jq -e \".[0].pinned\"" &&
	wait_for "test_grep \"an archive of images can.t be imported\" \"$LOG\"" &&
	rm "$STORE/bad.tar"
'

test_expect_success 'an archive that appears, when it is complete' '
	skopeo copy -q docker-archive:demo.tar docker-archive:later.tar:example.org/later:1 &&
	exec 7>"$STORE/later.tar" &&
	head -c 100000 later.tar >&7 &&
	cp later.tar "$STORE/.later2.part" &&
	mv "$STORE/.later2.part" "$STORE/later2.tar" &&
	wait_for "has example.org/later:1" &&
	test_must_fail grep "\"later.tar\"" "$LOG" &&
	tail -c +100001 later.tar >&7 &&
	image rm example.org/later:1 &&
	exec 7>&- &&
	wait_for "has example.org/later:1"
'

test_expect_success 'nothing is imported again at the next start' '
	before=$(stat -c %i "$STORE/index.json") &&
	: >"$LOG" &&
	restart_server &&
	wait_node &&
	run demo example.org/demo:1 &&
	test_equal $before $(stat -c %i "$STORE/index.json") &&
	test_must_fail grep "imported an image" "$LOG" &&
	kubectl delete pod demo &&
	rm "$STORE/later.tar" "$STORE/later2.tar" "$STORE/demo.tar" "$STORE/list.txt"
'

test_expect_success 'a full disk: what is unused for the longest time goes, what is used or from a file stays' '
	run b 127.0.0.1:5000/b:1 &&
	run c 127.0.0.1:5000/c:1 &&
	run d 127.0.0.1:5000/d:1 &&
	kubectl delete pod d c &&
	restart_server --image-gc-high-threshold=60 --image-gc-low-threshold=55 --minimum-image-ttl-duration=0s &&
	run d 127.0.0.1:5000/d:1 &&
	run e 127.0.0.1:5000/e:1 &&
	wait_for "test_grep \"removed an unused image\" \"$LOG\"" &&
	wait_for "! has 127.0.0.1:5000/c:1" &&
	has 127.0.0.1:5000/a:1 &&
	has 127.0.0.1:5000/b:1 &&
	has 127.0.0.1:5000/d:1 &&
	has 127.0.0.1:5000/e:1 &&
	has example.org/demo:1 &&
	test_equal 1 $(grep -c "removed an unused image" "$LOG")
'

test_expect_success 'when there is not enough that may go the node has an event' '
	kubectl delete pod d &&
	restart_server --image-gc-high-threshold=20 --image-gc-low-threshold=10 --minimum-image-ttl-duration=10m &&
	kubectl run always --image=127.0.0.1:5000/b:1 --image-pull-policy=Always -- sleep 1000 &&
	wait_for "events FreeDiskSpaceFailed | grep \"^Failed to garbage collect required amount of images. Attempted to free [0-9]* bytes, but only found [0-9]* bytes eligible to free\.$\"" &&
	has 127.0.0.1:5000/d:1
'

test_expect_success 'a pull that does not fit says so and leaves nothing' '
	image prune &&
	make_image f 70000000 &&
	skopeo copy -q --dest-tls-verify=false oci:f:example.org/f:1 docker://127.0.0.1:5000/f:1 &&
	rm -rf f f.tar f.root &&
	free=$(df --output=avail "$DATA" | tail -n 1) &&
	test_must_fail image pull 127.0.0.1:5000/f:1 2>err &&
	test_grep "No space left on device" err &&
	test_equal "" "$(ls "$STORE/partial" "$STORE/tmp" | grep -v :)" &&
	wait_for "test \$((free - \$(df --output=avail \"$DATA\" | tail -n 1))) -lt 1000"
'

test_expect_success 'the end' '
	kubectl delete pod --all --grace-period=0 --force &&
	stop_registries &&
	stop_server &&
	killall_pods &&
	umount "$DATA"
'

test_done
