#!/bin/sh
# Images that are odd but right: 127 layers, hard links and directories that count on lower layers, whiteouts of all
# kinds, attributes and capabilities, long and strange names. Each is run, and looks at itself.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox python3

odd()
{
	python3 "$srcdir/t/helper/odd-image.py" "$@"
}

# look CASE: imports the image and runs the script on standard input in it; what it prints must be ./want.
look()
{
	case=$1
	cat >script
	odd make "$case" odd.tar &&
	"$KINGLET" image import -q --data-dir "$DATA" odd.tar &&
	python3 -c "
import json, sys
print(json.dumps({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': sys.argv[1]}, 'spec': {
    'restartPolicy': 'Never', 'terminationGracePeriodSeconds': 0, 'automountServiceAccountToken': False, 'containers': [{
    'name': 'c', 'image': 'docker.io/odd/%s:1' % sys.argv[1], 'imagePullPolicy': 'Never',
    'command': ['sh', '-c', sys.stdin.read()]}]}}))" "$case" <script >pod.json &&
	kubectl create -f pod.json &&
	wait_for "kubectl get pod $case -o jsonpath={.status.phase} | grep -E \"Succeeded|Failed\"" &&
	kubectl logs "$case" >got &&
	test_cmp want got &&
	kubectl delete pod "$case" --wait=false &&
	rm odd.tar
}

test_expect_success 'start' '
	start_server && wait_node
'

test_expect_success 'an image of 127 layers' '
	echo "127 126" >want &&
	look layers127 <<-\END
	echo $(cat /top) $(ls /n | wc -l)
	END
'

test_expect_success 'hard links to files of lower layers, and to their links' '
	cat >want <<-\END &&
	of the lowest
	4750 7 8 3
	711 5
	attr
	/tmp
	4750 7 8 3
	END
	look links <<-\END
	cat /c; echo
	stat -c "%a %u %g %h" /b/second
	stat -c "%a %u" /b
	cat /d; echo
	readlink /e
	stat -c "%a %u %g %h" /a/file
	END
'

test_expect_success 'directories that the tar does not name are those below it' '
	cat >want <<-\END &&
	1777
	2770 3 4
	usr/lib
	new old
	x
	t
	f 755
	END
	look parents <<-\END
	stat -c %a /tmp
	stat -c "%a %u %g" /own
	readlink /lib
	echo $(ls /usr/lib)
	cat /made/here/x; echo
	cat /at-top; echo
	echo $(cat /deep/er/file) $(stat -c %a /deep/er)
	END
'

test_expect_success 'whiteouts' '
	cat >want <<-\END &&
	w: again both
	again: new
	both: new
	o: new
	late: new
	fresh: file
	gone: back
	top: bin dev etc fresh gone late o proc sys tmp w
	END
	look whiteouts <<-\END
	echo w: $(ls -A /w)
	echo again: $(ls -A /w/again)
	echo both: $(cat /w/both)
	echo o: $(ls -A /o 2>&1)
	echo late: $(ls -A /late 2>&1)
	echo fresh: $(ls -A /fresh 2>&1)
	echo gone: $(ls -A /gone 2>&1)
	echo top: $(ls /)
	END
'

test_expect_success 'attributes, capabilities, modes, owners, pipes, names' '
	cat >want <<-\END &&
	6755 1 2
	3775 0 9
	0
	620 fifo
	555 0
	pax gnu nl esc raw utf8 dots abs
	150
	4000000000
	1234567890
	x
	END
	look kinds <<-\END &&
	stat -c "%a %u %g" /suid
	stat -c "%a %u %g" /sgid
	stat -c %g /sgid/file
	stat -c "%a %F" /fifo
	echo $(stat -c %a /readonly) $(stat -c %a /readonly/x)
	n=$(echo nnnnnnnnnnnnnnnnnnnn | sed s/n/nnnnnnnnnn/g 2>/dev/null)
	echo $(cat /long/*/*/*) $(cat /gnu/*/f) $(cat "/new
	line") $(cat /tab*) $(cat /latin*) $(cat /üml*) $(cat /a/b/c) $(cat /abs)
	l=$(readlink /longlink); echo ${#l}
	stat -c %u /uid
	stat -c %Y /mtime
	ls /not-opaque
	END
	dir=$(ls -d "$DATA"/agent/images/layers/*/cap2 | xargs dirname) &&
	python3 - "$dir" <<-\END
	import os, sys
	os.chdir(sys.argv[1])
	caps = [os.getxattr(n, "security.capability") for n in ("cap", "cap2")]
	assert caps[0] == caps[1] and caps[0][5] == 0x20, caps
	assert os.stat("cap").st_nlink == 2
	assert os.getxattr("attr", "user.colour") == b"blue"
	assert os.listxattr("not-opaque") == ["user.x"], os.listxattr("not-opaque")
	assert os.stat("fifo").st_mtime == os.stat("sgid").st_mtime == 1700000000
	END
'

test_expect_success 'a name more than once' '
	cat >want <<-\END &&
	two
	now a file
	f
	last
	new
	new
	/x
	END
	look again <<-\END
	cat /twice; echo
	cat /t; echo
	ls /u
	ls /x
	ls /was-link
	ls /was-file
	readlink /was-dir
	END
'

test_expect_success 'layers are shared by images that have the same ones below, and go with the last' '
	odd make links one.tar && odd make parents two.tar &&
	"$KINGLET" image import -q --data-dir "$DATA" one.tar two.tar &&
	before=$(ls "$DATA/agent/images/layers" | wc -l) &&
	"$KINGLET" image import -q --data-dir "$DATA" one.tar two.tar &&
	test_equal $before "$(ls "$DATA/agent/images/layers" | wc -l)" &&
	wait_for -t 40 "test_equal \"\" \"\$(kubectl get pods -o name)\"" &&
	for case in layers127 links parents whiteouts kinds again; do
		wait_for "\"$KINGLET\" image rm --data-dir \"$DATA\" docker.io/odd/$case:1" || return 1
	done &&
	wait_for "test_equal empty \"\$(ls $DATA/agent/images/layers)\"" &&
	wait_for "test_equal \"\" \"\$(ls $DATA/agent/images/tmp)\""
'

test_done
