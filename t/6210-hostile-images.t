#!/bin/sh
# Images that are refused: names and links that lead outside, devices, giants of holes, damaged tars, wrong digests;
# by import and by pull. The reason is told and is on the pod, nothing outside is touched, nothing stays in the store.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox python3

STORE=$DATA/agent/images

# case: what is said about it
cat >cases <<'END'
dotdot: the layer's member 'a/../../../../../../evil' points outside of the image
dotdot_link: the layer's link 'x' points outside of the image ('../../../../../../etc/passwd')
abs_link: link 'x' to 'etc/shadow': find 'etc/shadow': No such file or directory
through_link: link 'x' to 'm/shadow': find 'm/shadow': No such file or directory
through_loop: make the directory of 'l/x': Too many levels of symbolic links
block_device: the layer holds the device node 'disk', which is refused
whiteout_device: the layer holds the device node 'w', which is refused
file_parent: make the directory of 'a/b': Not a directory
giant: the layer's content is larger than the limit of 64 GiB
negative: the layer can't be read: Damaged tar archive
sparse_giant: the layer
long_name: has too long a name
long_part: File name too long
control: the layer's member '../?]0;evil
truncated: the layer can't be read: Truncated tar archive
garbage: the layer can't be read: Damaged tar archive
checksum: the layer can't be read: Damaged tar archive
wrong_digest: 
END

store_is_clean()
{
	ls "$STORE/layers" "$STORE/tmp" "$STORE/blobs/sha256" "$STORE/holds" 2>&1 | grep -v "^$STORE\|^empty$\|^$" >left
	[ ! -s left ] || { cat left; return 1; }
}

odd()
{
	python3 "$srcdir/t/helper/odd-image.py" "$@"
}

test_expect_success 'import refuses them, and says why' '
	grep -v wrong_digest cases >some &&
	while IFS=: read -r case text; do
		odd make $case odd.tar || return 1
		if "$KINGLET" image import -q --data-dir "$DATA" odd.tar >out 2>err; then
			echo "$case was imported"
			return 1
		fi
		test_grep -F -- "${text# }" err && test_lines 1 err && store_is_clean || return 1
	done <some
'

test_expect_success 'the right ones come from a registry, too; a tar with a wrong digest does not' '
	{ python3 "$srcdir/t/helper/odd-image.py" registry 5005 links wrong_digest $(sed "s/:.*//" cases | grep -v wrong) >registry.out 2>&1 & registry_pid=$!; } &&
	wait_for "grep ready registry.out" &&
	"$KINGLET" image pull --data-dir "$DATA" 127.0.0.1:5005/odd/links:1 &&
	"$KINGLET" image rm --data-dir "$DATA" 127.0.0.1:5005/odd/links:1 &&
	wait_for store_is_clean
'

test_expect_success 'pods of them say why they do not start' '
	start_server && wait_node &&
	python3 - <<-\END | kubectl create -f - &&
	import json
	pods = []
	for line in open("cases"):
	    name = line.split(":")[0].replace("_", "-")
	    pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
	        "containers": [{"name": "c", "image": "127.0.0.1:5005/odd/%s:1" % name, "command": ["sleep", "1000"]}]}})
	print(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
	END
	while IFS=: read -r case text; do
		pod=$(echo $case | tr _ -)
		wait_for -t 40 "kubectl get pod $pod -o jsonpath={.status.containerStatuses[0].state} | tee why | grep \"ErrImagePull\\|ImagePullBackOff\"" &&
		wait_for "kubectl get events --field-selector involvedObject.name=$pod -o jsonpath={.items[*].message} | tee events |
			grep -F \"\${text# }\"" || { cat why events; return 1; }
	done <cases
'

test_expect_success 'the node is ready, others run; nothing is outside, nothing stays' '
	import_demo &&
	kubectl run good --image=localhost/demo:1 -- sleep 1000 &&
	kubectl wait --for=condition=Ready pod/good --timeout=30s &&
	kubectl get node n1 | grep " Ready " &&
	[ ! -e /evil ] && [ ! -e "$DATA/evil" ] && [ ! -e "$STORE/evil" ] &&
	[ -z "$(find "$DATA" -name evil -o -name "*evil*")" ] &&
	kubectl delete pods --all --now &&
	"$KINGLET" image rm --data-dir "$DATA" localhost/demo:1 &&
	wait_for store_is_clean &&
	kill $registry_pid
'

test_done
