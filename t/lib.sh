# The tests' library, in the way of Git's test-lib.
#
# A test is an executable shell script t/NNNN-name.t that begins with
#
#	#!/bin/sh
#	# What it shows, in a sentence or two.
#	. "${srcdir:-.}/t/lib.sh"
#	test_needs kubectl overlay
#
# goes on with any number of
#
#	test_expect_success 'what a user sees' '
#		kubectl create configmap a --from-literal=k=v &&
#		kubectl get configmap a -o yaml >got &&
#		test_grep "k: v" got
#	'
#
# and ends with test_done. Families by number: 0 tree, command line and store,
# 3 API (38 webhooks), 4 controllers, 5 pods, 6 images, 7 network, 8 clients; t/book
# has the chapters of a book on Kubernetes, see t/book/lib.sh.
#
# Each file runs in a network namespace and a mount namespace of its own, with
# its own data directory, kubeconfig and cgroup, so any number can run at once;
# everything in it (kubectl, curl, ip, nft) runs inside. The current directory is
# the file's own, on a disk that overlayfs can use. When a file ends, however it
# ends, `kinglet killall` is run, and that no process, link, rule, mount or
# cgroup is left is the file's last test.
#
# A body's commands are joined by && (this is checked), its output is shown only
# when it fails; `|| return 1` ends it inside a loop. Variables live on from one
# body to the next. Nothing sleeps for a fixed time: wait_for 'condition'.
#
# Environment:
#	KINGLET_BUILD	build directory (the current one)
#	KINGLET		program to test ($KINGLET_BUILD/kinglet)
#	KUBECTL		kubectl to use; by default the one in PATH
#	TEST_TMP	where test directories are made (/var/tmp)
#	TEST_SLOW	factor for all time limits (1; 4 with sanitizers)
#	TEST_KEEP=1	keep the directory of a file that failed
#	TEST_VERBOSE=1	show the output of all bodies

: "${srcdir:=.}" "${KINGLET_BUILD:=$PWD}"
srcdir=$(cd "$srcdir" && pwd) && KINGLET_BUILD=$(cd "$KINGLET_BUILD" && pwd) || exit 1
: "${KINGLET:=$KINGLET_BUILD/kinglet}" "${TEST_TMP:=/var/tmp}" "${TEST_SLOW:=1}" "${TEST_LIMIT:=300}"
export srcdir KINGLET_BUILD KINGLET TEST_TMP TEST_SLOW
PATH=$KINGLET_BUILD/t/helper:$PATH
LC_ALL=C
export PATH LC_ALL

skip_all() # REASON: the whole file is skipped
{
	echo "1..0 # SKIP $*"
	exit 0
}

if [ -z "$TEST_INSIDE" ]; then
	[ "$(id -u)" = 0 ] || skip_all "needs root"
	unshare -n -m true 2>/dev/null || skip_all "this machine lets us make no network and mount namespaces"
	TEST_INSIDE=1 exec unshare -n -m sh "$0" "$@"
fi
unset TEST_INSIDE

# --- the surroundings ---------------------------------------------------

test_name=$(basename "$0" .t)
test_pid=$$
TRASH=$(mktemp -d "$TEST_TMP/kinglet-${test_name%%-*}.XXXXXX") || exit 1
CGROUP=kinglet-t$$
DATA=$TRASH/data
LOG=$TRASH/server.log
KUBECONFIG=$TRASH/kubeconfig
HOME=$TRASH/home
unset KINGLET_CONFIG_FILE KINGLET_TOKEN NOTIFY_SOCKET
export KUBECONFIG HOME
SERVER_PID=

# $TRASH must be able to hold overlayfs's upper directories; a tmpfs can where the disk cannot.
test_overlay_()
{
	mkdir -p "$TRASH/o/l" "$TRASH/o/u" "$TRASH/o/w" "$TRASH/o/m" &&
	mount -t overlay -o "lowerdir=$TRASH/o/l,upperdir=$TRASH/o/u,workdir=$TRASH/o/w" none "$TRASH/o/m" 2>/dev/null &&
	umount "$TRASH/o/m"
	test_rc=$?
	rm -rf "$TRASH/o"
	return $test_rc
}

test_setup_()
{
	ip link set lo up || exit 1
	mount -t sysfs none /sys 2>/dev/null && mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
	[ ! -d /etc/kinglet ] || mount -t tmpfs none /etc/kinglet
	test_overlay=1
	if ! test_overlay_; then
		mount -t tmpfs -o mode=0755 none "$TRASH"
		test_overlay_ || test_overlay=
	fi
	mkdir -p "$HOME" "$TRASH/work"
	cat /proc/self/mountinfo >"$TRASH/mounts.before"
	cd "$TRASH/work" || exit 1
}
test_setup_

# Stands by in case this shell is killed or hangs: ends what it started and tidies up.
TEST_GUARD='
	pid=$1
	timeout "$2" tail --pid="$pid" -s 0.2 -f /dev/null
	[ $? = 124 ] || [ -d "$TRASH" ] || exit 0
	me=$(readlink /proc/self/ns/net)
	for p in /proc/[0-9]*; do
		[ "$(readlink "$p/ns/net")" != "$me" ] || [ "${p#/proc/}" = $$ ] || kill -9 "${p#/proc/}"
	done
	cd /
	"$KINGLET" killall --data-dir "$DATA" --cgroup "$CGROUP"
	rm -rf "$TRASH"
'
KINGLET=$KINGLET DATA=$DATA CGROUP=$CGROUP TRASH=$TRASH setsid sh -c "$TEST_GUARD" guard $$ \
	$((TEST_LIMIT * TEST_SLOW)) </dev/null >/dev/null 2>&1 &
test_guard=$!

test_n=0 test_failed=0 test_finished='' TEST_SUFFIX=''

# --- results ------------------------------------------------------------

test_show_() # FILE: as TAP comments, not too much of it
{
	tail -n "${2:-40}" "$1" 2>/dev/null | cut -c1-400 | sed 's/^/#   /'
}

test_result_() # STATUS TITLE
{
	test_n=$((test_n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $test_n - $2"
	else
		echo "not ok $test_n - $2"
		test_failed=$((test_failed + 1))
	fi
}

test_body_()
{
	eval "$1"
}

test_lint_()
{
	eval "(exit 117) && $1"
}

test_expect_success() # TITLE BODY
{
	test_title="$1${TEST_SUFFIX:+ ($TEST_SUFFIX)}" test_finished=:
	test_lint_ "$2" </dev/null >"$TRASH/output" 2>&1
	if [ $? != 117 ]; then
		test_result_ 1 "$test_title"
		echo "#   a command of this test is not joined by &&"
		return
	fi
	test_body_ "$2" </dev/null >"$TRASH/output" 2>&1
	test_rc=$?
	eval "$test_finished" </dev/null >>"$TRASH/output" 2>&1
	test_result_ $test_rc "$test_title"
	[ -z "$TEST_VERBOSE" ] || [ $test_rc != 0 ] || test_show_ "$TRASH/output" 1000
	[ $test_rc != 0 ] || return 0
	printf '%s\n' "$2" >"$TRASH/body"
	test_show_ "$TRASH/body" 200
	echo "#   --- said, before exit status $test_rc:"
	test_show_ "$TRASH/output"
	if [ -s "$LOG" ]; then
		echo "#   --- the end of the server's log:"
		test_show_ "$LOG" 12
	fi
}

# test_foreign COMMAND...: a program that prints TAP itself; its results become ours.
test_foreign()
{
	"$@" >"$TRASH/foreign" 2>&1
	test_rc=$?
	while IFS= read -r line; do
		case $line in
		'ok '*|'not ok '*)
			test_title=${line#*ok } test_title=${test_title#* - }
			case $line in ok*) test_result_ 0 "$test_title" ;; *) test_result_ 1 "$test_title" ;; esac
			;;
		1..*) test_plan=$line ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$TRASH/foreign"
	[ -n "$test_plan" ] || test_result_ 1 "$1 came to its end (status $test_rc)"
}

test_skip() # TITLE REASON
{
	test_n=$((test_n + 1))
	echo "ok $test_n - $1 # SKIP $2"
}

# What a file needs; it is skipped with the reason where that is missing.
test_needs() # root kubectl curl nft overlay busybox ...
{
	for need; do
		case $need in
		kubectl)
			[ -n "$KUBECTL" ] || KUBECTL=$(kubectl_find) || skip_all "kubectl is not installed"
			export KUBECTL
			;;
		overlay) [ -n "$test_overlay" ] || skip_all "this machine has no overlayfs" ;;
		busybox) [ -x "${BUSYBOX:-/bin/busybox}" ] || skip_all "busybox-static is not installed" ;;
		*) command -v "$need" >/dev/null || skip_all "$need is not installed" ;;
		esac
	done
}

test_when_finished() # COMMAND: runs after this body, whatever comes
{
	test_finished="{ $*; }; $test_finished"
}

test_must_fail() # COMMAND...: it must fail, but of its own accord
{
	"$@"
	test_rc=$?
	[ $test_rc != 0 ] || { echo "succeeded, but should have failed: $*"; return 1; }
	[ $test_rc -lt 124 ] || { echo "died (status $test_rc): $*"; return 1; }
}

test_cmp() # EXPECTED ACTUAL
{
	diff -u "$@"
}

test_grep() # [-v...] PATTERN FILE
{
	eval "test_file=\${$#}"
	grep "$@" && return 0
	echo "grep $*: no, in:"
	cat "$test_file"
	return 1
}

test_lines() # N FILE
{
	[ "$(wc -l <"$2")" = "$1" ] && return 0
	echo "$2 should have $1 lines, but is:"
	cat "$2"
	return 1
}

test_equal() # EXPECTED ACTUAL: two texts
{
	[ "$1" = "$2" ] && return 0
	printf 'expected: %s\nbut it is: %s\n' "$1" "$2"
	return 1
}

now_ms()
{
	echo $(($(date +%s%N) / 1000000))
}

wait_for() # [-t SECONDS] CONDITION: tried every 50 ms until it holds
{
	test_limit=20
	if [ "$1" = -t ]; then
		test_limit=$2
		shift 2
	fi
	test_until=$(($(now_ms) + test_limit * TEST_SLOW * 1000))
	until eval "$1" >"$TRASH/waiting" 2>&1; do
		if [ "$(now_ms)" -ge "$test_until" ]; then
			echo "waited $((test_limit * TEST_SLOW)) s in vain for: $1"
			cat "$TRASH/waiting"
			return 1
		fi
		sleep 0.05
	done
	cat "$TRASH/waiting"
}

# --- the server ---------------------------------------------------------

# start_server [OPTION...]: with the data directory of this file; returns when it is ready.
start_server()
{
	SERVER_ARGS=$*
	: >"$TRASH/ready"
	test_log_from=$(($(wc -c 2>/dev/null <"$LOG" || echo 0) + 1))
	"$KINGLET" server --data-dir "$DATA" --write-kubeconfig "$KUBECONFIG" --node-name n1 --cgroup "$CGROUP" \
		"$@" >>"$LOG" 2>&1 </dev/null &
	SERVER_PID=$!
	wait_for -t 30 'server_is_up_ || ! kill -0 $SERVER_PID' &&
	server_is_up_ && return 0
	kill -9 $SERVER_PID
	wait $SERVER_PID
	echo "the server did not start (status $?)"
	SERVER_PID=
	return 1
}

server_is_up_()
{
	tail -c "+$test_log_from" "$LOG" | grep -q ' ready '
}

# Ends it as systemd would; it must end well. Pods run on.
stop_server()
{
	test_end_server_ TERM
	test_equal 0 $test_rc
}

# As a crash or the kernel's OOM killer would.
kill_server()
{
	test_end_server_ KILL
	test_equal 137 $test_rc
}

test_end_server_()
{
	[ -n "$SERVER_PID" ] || { echo "no server runs"; test_rc=1; return 1; }
	kill "-$1" $SERVER_PID
	wait_for -t 20 'server_has_ended_' || kill -9 $SERVER_PID
	wait $SERVER_PID
	test_rc=$?
	SERVER_PID=
}

server_has_ended_() # a zombie has: it waits for our wait
{
	! grep -qs '^State:[[:space:]]*[^Z]' "/proc/$SERVER_PID/status"
}

server_lives()
{
	kill -0 "$SERVER_PID" && ! server_has_ended_
}

restart_server() # [OPTION...]: the options of the last start when none are given
{
	[ -z "$SERVER_PID" ] || stop_server || return 1
	# shellcheck disable=SC2086 # no option of ours holds a blank
	[ $# -gt 0 ] || set -- $SERVER_ARGS
	start_server "$@"
}

killall_pods()
{
	"$KINGLET" killall --data-dir "$DATA" --cgroup "$CGROUP"
}

# make_once FILE COMMAND...: FILE is made by the first test that needs it, for all of them; the command is given
# its name as the last word.
make_once()
{
	mkdir -p "$(dirname "$1")" &&
	(
		flock 8 && test_made=$1 && shift && { [ -s "$test_made" ] || "$@" "$test_made"; }
	) 8>"$1.lock"
}

# The demo image is made once for all files and imported.
import_demo()
{
	make_once "$KINGLET_BUILD/t/demo.tar" "$srcdir/scripts/make-demo-image" &&
	"$KINGLET" image import --data-dir "$DATA" "$KINGLET_BUILD/t/demo.tar"
}

# The processes of all containers as seen from outside: pid, start time, command.
container_processes()
{
	for dir in /proc/[0-9]*; do
		grep -qs "/$CGROUP/kubepods" "$dir/cgroup" || continue
		command=$(tr '\0' ' ' <"$dir/cmdline")
		[ -z "$command" ] || echo "${dir#/proc/} $(awk '{ print $22 }' "$dir/stat") $command"
	done 2>/dev/null | sort
}

wait_node()
{
	kubectl wait --for=condition=Ready node/n1 --timeout=$((30 * TEST_SLOW))s
}

# --- kubectl and curl ---------------------------------------------------

kubectl_find() # the program itself, for there is a function of that name
{
	for dir in $(echo "$PATH" | tr : ' ') /usr/local/bin /snap/bin; do
		[ ! -x "$dir/kubectl" ] || { echo "$dir/kubectl"; return 0; }
	done
	return 1
}

kubectl()
{
	timeout --foreground -k 5 $((60 * TEST_SLOW)) "$KUBECTL" "$@"
}

# For the background, as { kubectl_bg logs -f x >log & }: $! is then a process whose end ends kubectl.
kubectl_bg()
{
	exec timeout -k 5 $((120 * TEST_SLOW)) "$KUBECTL" "$@"
}

# A kubeconfig for somebody with a bearer token: make_user NAME TOKEN, then as NAME get pods.
make_user() # NAME TOKEN
{
	cp "$KUBECONFIG" "$TRASH/kc.$1" &&
	kubectl --kubeconfig "$TRASH/kc.$1" config unset users >/dev/null &&
	kubectl --kubeconfig "$TRASH/kc.$1" config set-credentials u --token="$2" >/dev/null &&
	kubectl --kubeconfig "$TRASH/kc.$1" config set-context --current --user=u >/dev/null
}

as() # USER COMMAND...: kubectl with that user's token and nothing else
{
	test_user=$1
	shift
	kubectl --kubeconfig "$TRASH/kc.$test_user" "$@"
}

refused() # TEXT COMMAND...: it must fail, and say that
{
	refused_text=$1
	shift
	test_must_fail "$@" 2>err &&
	test_grep -F "$refused_text" err
}

object() # one line of YAML, for kubectl -f -
{
	printf -- '---\n{%s}\n' "$1"
}

# Versions that are installed beside kubectl, oldest first; else only itself.
kubectl_versions()
{
	test_dir=$(dirname "$(readlink -f "$KUBECTL")")
	test_list=$(ls "$test_dir" | grep -E '^kubectl\.1\.[0-9]+$' | sort -t. -k3n)
	[ -n "$test_list" ] || { echo "$KUBECTL"; return; }
	for test_file in $test_list; do
		echo "$test_dir/$test_file"
	done
}

# for_each_kubectl [N] FUNCTION: runs it with KUBECTL set to each of the versions, or to N of
# them (the oldest, the newest, and between); titles of its tests carry the version.
for_each_kubectl()
{
	test_max=1000 test_default=$KUBECTL
	if [ $# = 2 ]; then
		test_max=$1
		shift
	fi
	for KUBECTL in $(kubectl_versions | awk -v max="$test_max" '
		{ v[NR] = $0 }
		END {
			for (i = 0; i < NR && i < max; i++)
				print v[NR <= max ? i + 1 : 1 + int(i * (NR - 1) / (max > 1 ? max - 1 : 1))]
		}'); do
		TEST_SUFFIX=$(basename "$KUBECTL")
		"$1"
	done
	TEST_SUFFIX='' KUBECTL=$test_default
}

# curl with the administrator's certificate: api [CURL OPTION...] PATH. Not by its own name, which asks for
# indented answers.
api()
{
	eval "test_path=\${$#}"
	test_args=$#
	while [ "$test_args" -gt 1 ]; do # all but the last argument
		set -- "$@" "$1"
		shift
		test_args=$((test_args - 1))
	done
	shift
	curl -sS -A kinglet-test --max-time $((20 * TEST_SLOW)) --cacert "$DATA/server/tls/ca.crt" --cert "$DATA/server/tls/admin.crt" \
		--key "$DATA/server/tls/admin.key" "$@" "https://127.0.0.1:6443$test_path"
}

# The status code alone; the answer's body is left in ./answer.
api_code()
{
	rm -f answer
	api -o answer -w '%{http_code}' "$@"
}

# --- the end ------------------------------------------------------------

# Processes in our namespaces, in our cgroups, or with our directory mounted.
TEST_FIND='
	my ($trash, $cgroup, %mine) = (shift, shift, map { $_ => 1 } @ARGV, $$, getppid);
	my ($net, $mnt) = map { readlink "/proc/self/ns/$_" } qw(net mnt);
	sub text { local $/; open my $f, "<", $_[0] or return ""; my $t = <$f>; $t // "" }
	for my $dir (glob "/proc/[0-9]*") {
		my ($pid) = $dir =~ /(\d+)/;
		my ($session) = text("$dir/stat") =~ /.*\) \S+ \d+ \d+ (\d+)/s;
		next if $mine{$pid} || $mine{$session // 0} || !readlink "$dir/ns/net";
		my $m = readlink("$dir/ns/mnt") // "";
		next unless (readlink("$dir/ns/net") // "") eq $net || $m eq $mnt
			|| text("$dir/cgroup") =~ m{/\Q$cgroup\E(/|$)}m || $m ne $mnt && text("$dir/mountinfo") =~ /\Q$trash\E/;
		print "process $pid: ", text("$dir/cmdline") =~ s/\0/ /gr, "\n";
	}
'

test_leftovers_()
{
	perl -e "$TEST_FIND" "$TRASH" "$CGROUP" $test_pid $test_guard
	ip -o link | grep -v ' lo: ' | sed 's/^/link: /'
	if command -v nft >/dev/null; then
		nft list ruleset | sed 's/^/nft: /'
	fi
	diff "$TRASH/mounts.before" /proc/self/mountinfo | grep '^[<>]' | sed 's/^/mount: /'
	find /sys/fs/cgroup -depth -type d -name "$CGROUP*" 2>/dev/null | sed 's/^/cgroup: /'
}

test_nothing_left_()
{
	test_leftovers_ >"$TRASH/left" 2>&1
	[ ! -s "$TRASH/left" ]
}

test_clean_up_()
{
	[ ! -x "$KINGLET" ] || [ ! -d "$DATA" ] || killall_pods >"$TRASH/killall" 2>&1 || cat "$TRASH/killall"
	[ -z "$SERVER_PID" ] || { kill -9 "$SERVER_PID"; wait "$SERVER_PID"; } 2>/dev/null
	SERVER_PID=
	wait_for -t 5 test_nothing_left_ >/dev/null
	cat "$TRASH/left"
	[ ! -s "$TRASH/left" ]
}

# Sanitizers speak up in the server's log.
test_log_is_clean_()
{
	! grep -a -A 30 -E 'ERROR: (Address|Leak)Sanitizer|runtime error:|BUG:|BUG_ON' "$LOG"
}

test_done()
{
	if [ -e "$LOG" ]; then
		test_expect_success 'the server found no fault with itself' 'test_log_is_clean_'
	fi
	test_expect_success 'nothing is left behind' 'test_clean_up_'
	echo "1..$test_n"
	exit $((test_failed > 0))
}

test_exit_()
{
	trap - EXIT HUP INT TERM
	cd /
	[ -z "$SERVER_PID" ] || test_clean_up_ >/dev/null 2>&1
	kill $test_guard 2>/dev/null
	if [ -n "$TEST_KEEP" ] && [ "$test_failed" != 0 ]; then
		echo "# kept: $TRASH"
		return
	fi
	umount "$TRASH" 2>/dev/null
	rm -rf "$TRASH"
}
trap 'test_rc=$?; test_exit_; exit $test_rc' EXIT
trap 'exit 130' HUP INT TERM
