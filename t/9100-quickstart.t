#!/bin/sh
# scripts/quickstart.sh as a newcomer runs it, with the build that is there; once
# by kubectl, and again without it, on the cluster that is there.
. "${srcdir:-.}/t/lib.sh"
test_needs curl overlay busybox ss dpkg-query
QUICKSTART_DIR=$TRASH/quick QUICKSTART_BUILD=$KINGLET_BUILD
CGROUP=$(perl -e '
	my $hash = 0x811c9dc5; # what the server does for a data directory that is not the usual one
	$hash = (($hash ^ $_) * 0x01000193) & 0xffffffff for unpack "C*", shift;
	printf "kinglet-%08x", $hash;
' "$QUICKSTART_DIR/data")
export QUICKSTART_DIR QUICKSTART_BUILD

quickstart()
{
	sh "$srcdir/scripts/quickstart.sh" "$@"
}

succeeded()
{
	test_grep "^\[7/8\] fetch the page by its Service .*http://web/" got &&
	test_grep "^\[8/8\] fetch the page by its Ingress .*http://hello.example.com${1:-}/" got &&
	test_grep "<h1>Hello from kinglet</h1>" got &&
	test_grep "kubectl get pods -A" got &&
	test_grep "quickstart.sh stop" got
}

test_expect_success 'from a build to a page' '
	quickstart >got 2>err &&
	succeeded &&
	test_lines 0 err &&
	test -d "/sys/fs/cgroup/$CGROUP"
'

test_expect_success 'a second time: the server and the pod are there' '
	quickstart >got &&
	test_grep "runs already" got &&
	succeeded
'

test_expect_success 'stop leaves no process and no link' '
	quickstart stop >got &&
	test_grep "stopped the server" got &&
	wait_for test_nothing_left_
'

test_expect_success 'start again where the port is taken and kubectl is not installed' '
	{ perl -MIO::Socket::INET -e "for (6443, 80, 443, 8080) { push @s, IO::Socket::INET->new(
		LocalPort => \$_, Listen => 1, ReuseAddr => 1) or die } sleep 600" & } &&
	taken=$! &&
	test_when_finished "kill $taken; wait $taken" &&
	wait_for "ss -Hltn \"sport = :8080\" | grep 8080" &&
	mkdir bin &&
	for program in $(ls /usr/bin /usr/sbin /bin /sbin | sort -u | grep -v kubectl); do
		path=$(command -v $program) && ln -sf "$path" bin/ || :
	done &&
	PATH=$PWD/bin quickstart >got &&
	test_grep "port 6444" got &&
	test_grep "kubectl is not installed" got &&
	succeeded :8081
'

test_expect_success 'without kubectl on a new cluster, too' '
	quickstart remove &&
	! test -e "$QUICKSTART_DIR" &&
	PATH=$PWD/bin quickstart >got &&
	succeeded
'

test_expect_success 'a failure says what failed, and where the log is' '
	quickstart stop &&
	echo nonsense >"$QUICKSTART_DIR/data/server/state.db" &&
	test_must_fail quickstart >out 2>err &&
	test_grep "start the server .*FAILED" out &&
	test_grep "quickstart: start the server" err &&
	test_grep "$QUICKSTART_DIR/server.log" err &&
	quickstart remove
'

test_done
