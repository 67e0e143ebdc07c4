#!/bin/sh
# A layer of 100,000 files: unpacked in little memory, run, removed. On a file system in memory, as this is about the
# program and not about the disk.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox python3

mkdir -p "$DATA/agent/images" && mount -t tmpfs -o mode=0711 none "$DATA/agent/images" || exit 1

test_expect_success 'it is unpacked, in little memory' '
	python3 "$srcdir/t/helper/odd-image.py" make files100k odd.tar &&
	python3 - "$KINGLET" image import -q --data-dir "$DATA" odd.tar <<-\END
	import resource, subprocess, sys
	subprocess.run(sys.argv[1:], check=True)
	kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
	print(kb, "kB at most")
	assert kb < 100000, kb
	END
'

test_expect_success 'a container of it starts, and sees them all' '
	start_server && wait_node &&
	kubectl run many --image=docker.io/odd/files100k:1 --image-pull-policy=Never --restart=Never -- \
		sh -c "find /many -type f | wc -l" &&
	wait_for "kubectl get pod many | grep Completed" &&
	test_equal 100000 "$(kubectl logs many)"
'

test_expect_success 'it goes, without holding the server up' '
	kubectl delete pod many --now &&
	wait_for "\"$KINGLET\" image rm --data-dir \"$DATA\" docker.io/odd/files100k:1" &&
	wait_for "test_equal empty \"\$(ls $DATA/agent/images/layers)\"" &&
	stop_server && killall_pods # which unmounts it, too
'

test_done
