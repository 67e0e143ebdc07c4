#!/bin/sh
# The command line: help, version, mistakes, the configuration file, check.
. "${srcdir:-.}/t/lib.sh"

kinglet()
{
	"$KINGLET" "$@"
}

test_expect_success 'help lists the subcommands, and so does no argument at all' '
	kinglet help >got &&
	for sub in server image killall check simulate version help; do
		test_grep "^  $sub " got || return 1
	done &&
	! grep internal got &&
	kinglet >none &&
	test_cmp got none &&
	kinglet --help >option &&
	test_cmp got option
'

test_expect_success 'help of each subcommand, in both spellings' '
	for sub in $(kinglet help | sed -n "s/^  \([a-z]*\)  .*/\1/p"); do
		kinglet help $sub >got &&
		test_grep "^Usage: kinglet $sub" got &&
		kinglet $sub --help >option &&
		test_cmp got option || return 1
	done
'

test_expect_success 'version' '
	kinglet --version >got &&
	test_grep "^kinglet [0-9.]* (Kubernetes API v1\.36\.2+kinglet1)$" got &&
	kinglet version >again &&
	test_cmp got again
'

# wrong PATTERN ARGUMENT...: exit code 2, nothing on stdout, one clear sentence on stderr.
wrong()
{
	pattern=$1
	shift
	kinglet "$@" >out 2>err
	test_equal 2 $? &&
	test_lines 0 out &&
	test_grep "$pattern" err &&
	test_grep "Try .kinglet help" err
}

test_expect_success 'mistakes are explained' '
	wrong "sevrer" sevrer &&
	wrong "data-dir" server --data-dri=/x &&
	wrong "https-listen-port" server --https-listen-port=many &&
	wrong "https-listen-port" server --https-listen-port=70000 &&
	wrong "data-dir" killall --data-dir &&
	wrong "too many" killall everything
'

test_expect_success 'values that make no sense' '
	for bad in --log-level=loud --cluster-cidr=ten --service-cidr=10.43.0.0/99 --service-node-port-range=5 \
		--node-name=Not_A_Name --bind-address=nowhere.invalid; do
		test_must_fail timeout 20 "$KINGLET" server --data-dir "$DATA" --write-kubeconfig "$KUBECONFIG" \
			--disable-agent $bad >out 2>err || { echo "$bad"; return 1; }
		tail -n 1 err >last &&
		test_grep "^kinglet server: " last || return 1
	done
'

test_expect_success 'a configuration file gives options, its mistakes are named' '
	echo "no-such-option: 1" >config.yaml &&
	wrong "config.yaml.*no-such-option" server --config config.yaml &&
	echo "log-level: [" >config.yaml &&
	wrong "config.yaml" server --config config.yaml &&
	wrong "absent.yaml" server --config absent.yaml &&
	printf "%s\n" "https-listen-port: 7443" "node-label: [a=b, c=d]" >config.yaml &&
	start_server --disable-agent --config config.yaml &&
	test_grep "port=7443" "$LOG" &&
	test_grep "server: https://127.0.0.1:7443" "$KUBECONFIG" &&
	stop_server
'

test_expect_success 'the environment gives options, the command line comes first' '
	KINGLET_HTTPS_LISTEN_PORT=7444 start_server --disable-agent &&
	test_grep "port=7444" "$LOG" &&
	stop_server &&
	KINGLET_HTTPS_LISTEN_PORT=7444 start_server --disable-agent --https-listen-port=7445 &&
	test_grep "port=7445" "$LOG" &&
	stop_server
'

test_expect_success 'check looks at the machine and leaves nothing' '
	{ kinglet check --data-dir "$DATA" >got 2>err || test_equal 1 $?; } &&
	test_grep "kernel" got &&
	test_grep "overlayfs" got &&
	test_grep "memory limits" got &&
	test_grep "nf_tables" got &&
	test_grep "disk" got &&
	test_lines 0 err &&
	! ls -d /tmp/kinglet-check-?????? &&
	! find /sys/fs/cgroup -maxdepth 2 -name "kinglet-check-*" | grep .
'

test_expect_success 'killall where nothing is' '
	kinglet killall --data-dir "$TRASH/none" --cgroup "$CGROUP" >got &&
	test_equal "nothing to clean up" "$(cat got)"
'

test_expect_success 'killall ends the server, too' '
	start_server --disable-agent &&
	kinglet killall --data-dir "$DATA" --cgroup "$CGROUP" >got &&
	test_grep "stopped the server (process $SERVER_PID)" got &&
	wait_for server_has_ended_ &&
	wait $SERVER_PID &&
	SERVER_PID=
'

test_expect_success 'without root it says what to do' '
	chmod 755 "$TRASH" &&
	setpriv --reuid 65534 --regid 65534 --clear-groups "$KINGLET" help >got &&
	test_must_fail setpriv --reuid 65534 --regid 65534 --clear-groups "$KINGLET" killall 2>err &&
	test_grep "sudo kinglet killall" err
'

test_done
