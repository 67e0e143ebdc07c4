#!/bin/sh
# The book on volumes: what containers of a pod share, what comes out of git, what is the node's, and network disks.
. "${srcdir:-.}/t/book/lib.sh"
test_needs git
start_book nginx fortune

test_expect_success 'emptyDir: one container writes pages, the other serves them' '
	create pod-emptydir &&
	ready pod/fortune &&
	wait_for "hit fortune 80 | grep \"^Fortune number\"" &&
	kubectl exec fortune -c html-generator -- sh -c "echo another >/var/htdocs/page" &&
	test_equal another "$(curl -sS "http://$(field pod/fortune .status.podIP)/page")" &&
	test_must_fail kubectl exec fortune -c web-server -- touch /usr/share/nginx/html/new 2>err &&
	test_grep "Read-only file system" err
'

test_expect_success 'its content goes with the pod' '
	uid=$(field pod/fortune .metadata.uid) &&
	test -d "$DATA/agent/pods/$uid" &&
	kubectl delete pod fortune &&
	wait_for "! test -e \"$DATA/agent/pods/$uid\"" &&
	create pod-emptydir &&
	ready pod/fortune &&
	test_equal 404 "$(ask -o /dev/null -w "%{http_code}" "http://$(field pod/fortune .status.podIP)/page")" &&
	kubectl delete pod fortune
'

test_expect_success 'emptyDir with medium: Memory' '
	manifest pod-emptydir | sed "s/emptyDir: {}/emptyDir: {medium: Memory}/" | kubectl create -f - &&
	ready pod/fortune &&
	test_equal tmpfs "$(kubectl exec fortune -c html-generator -- stat -f -c %T /var/htdocs)" &&
	wait_for "hit fortune 80 | grep \"^Fortune number\""
'

# The book's repository is somebody's own; another is put in its place, on this machine.
test_expect_success 'gitRepo: cloned as the pod starts, and never again' '
	git init -q -b master work &&
	git -C work config user.email a@b &&
	git -C work config user.name a &&
	echo one >work/index.html &&
	git -C work add index.html &&
	git -C work commit -qm one &&
	chmod 755 "$TRASH" &&
	git clone -q --bare work "$TRASH/site/ergedd/ergeddUtils" &&
	: >"$TRASH/site/ergedd/ergeddUtils/git-daemon-export-ok" &&
	{ git -c safe.directory="*" daemon --reuseaddr --base-path="$TRASH/site" --listen=127.0.0.1 --port=9418 >daemon.log 2>&1 & } &&
	daemon=$! &&
	test_when_finished "kill $daemon; wait $daemon" &&
	wait_for "git ls-remote git://127.0.0.1/ergedd/ergeddUtils" &&
	manifest pod-gitrepo | sed "s|http://git.dev.moumoux.com|git://127.0.0.1|" >gitrepo.yaml &&
	kubectl create -f gitrepo.yaml 2>err &&
	test_grep "Warning: spec.volumes\[0\].gitRepo: deprecated" err &&
	ready pod/gitrepo-volume-pod &&
	test_equal one "$(hit gitrepo-volume-pod 80)" &&
	echo two >work/index.html &&
	git -C work commit -qam two &&
	git -C work push -q "$TRASH/site/ergedd/ergeddUtils" master &&
	test_equal one "$(hit gitrepo-volume-pod 80)" &&
	kubectl delete pod gitrepo-volume-pod &&
	kubectl create -f gitrepo.yaml &&
	ready pod/gitrepo-volume-pod &&
	test_equal two "$(hit gitrepo-volume-pod 80)" &&
	kubectl delete pod gitrepo-volume-pod
'

# No manifest in the book: it says what comes of two pods with the same hostPath.
test_expect_success 'hostPath: two pods of a node see the same, and it outlives them' '
	mkdir "$TRASH/host" &&
	for pod in one two; do
		manifest pod-claim | sed "s/name: mongodb$/name: $pod/; s|persistentVolumeClaim:|hostPath:|; s|claimName: .*|path: $TRASH/host|" |
			kubectl create -f - || return 1
	done &&
	ready pod/one pod/two &&
	kubectl exec one -- sh -c "echo shared >/usr/db/file" &&
	test_equal shared "$(kubectl exec two -- cat /usr/db/file)" &&
	kubectl delete pod one two &&
	test_equal shared "$(cat "$TRASH/host/file")"
'

# What the book has for clouds needs drivers that kinglet has not. What to take instead is said twice: as the pod is
# written, and by the event that tells why it does not start.
refuses() # POD TYPE
{
	test_equal Pending "$(field pod/$1 .status.phase)" &&
	wait_for "events $1 | grep \"^Warning FailedMount .*a $2 volume needs a driver that is not part of kinglet; use a claim of the class local-path, or an nfs, hostPath or emptyDir volume\""
}

test_expect_success 'disks of clouds are refused, and what to use is said' '
	create pod-gce 2>err &&
	test_grep "^Warning: spec.volumes\[0\].gcePersistentDisk: needs a driver that is not part of kinglet; use a claim" err &&
	create pod-aws 2>err &&
	test_grep "^Warning: spec.volumes\[0\].awsElasticBlockStore: needs a driver that is not part of kinglet; use a claim" err &&
	refuses mongodb-gce gcePersistentDisk &&
	refuses mongodb-aws awsElasticBlockStore &&
	kubectl delete pod mongodb-gce mongodb-aws
'

# t/9210-nfs.t has a server. The book's 1.2.3.4 is none.
test_expect_success 'an NFS volume: the pod waits for its server' '
	create pod-nfs &&
	wait_for "kubectl describe pod mongodb-nfs | grep \"Successfully assigned default/mongodb-nfs to n1\"" &&
	test_equal "1.2.3.4:/some/path" "$(field pod/mongodb-nfs ".spec.volumes[0].nfs.server}:{.spec.volumes[0].nfs.path")" &&
	kubectl get pod mongodb-nfs >got &&
	test_grep "^mongodb-nfs  *0/1  *\(Pending\|ContainerCreating\) " got &&
	kubectl delete pod mongodb-nfs --now
'

end_book
