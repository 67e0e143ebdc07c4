#!/bin/sh
# A disk that is full or can't be written, and files of the data directory that are damaged: the server
# says what is wrong with which file, changes nothing, and what was stored is there when all is well again.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

maps=/api/v1/namespaces/default/configmaps
mkdir -p "$DATA"

data_sums() # the database is opened before the certificates are looked at: $unsummed leaves it out
{
	find "$DATA" -type f ! -name kinglet.lock ! -name "${unsummed:-none}" -exec sha256sum {} + | sort
}

# The server must not start, must say PATTERN, and leave the data directory as it is.
refused() # PATTERN [OPTION...]
{
	refused_pattern=$1
	shift
	data_sums >before.sum
	timeout $((20 * TEST_SLOW)) "$KINGLET" server --data-dir "$DATA" --write-kubeconfig "$KUBECONFIG" \
		--node-name n1 --cgroup "$CGROUP" --disable-agent "$@" >refused.log 2>&1
	refused_rc=$?
	cat refused.log
	[ $refused_rc = 1 ] || [ $refused_rc = 2 ] || return 1
	grep -q "$refused_pattern" refused.log || return 1
	data_sums >after.sum
	test_cmp before.sum after.sum
}

# Damages FILE by COMMAND, expects a refusal, puts it back.
damaged() # FILE COMMAND PATTERN
{
	cp -a "$1" "$TRASH/undamaged" &&
	eval "$2" &&
	refused "$3"
	damaged_rc=$?
	rm -rf "$1"
	cp -a "$TRASH/undamaged" "$1" || return 1
	rm -rf "$TRASH/undamaged"
	return $damaged_rc
}

test_expect_success 'a small disk fills up: writes are refused, reads go on' '
	mount -t tmpfs -o size=3m,mode=0700 none "$DATA" &&
	start_server --disable-agent &&
	head -c 200000 /dev/urandom | base64 -w0 >big &&
	for i in $(seq 20); do
		printf "{\"metadata\":{\"name\":\"c%s\"},\"data\":{\"a\":\"%s\"}}" $i "$(cat big)" >body &&
		code=$(api_code -X POST -H "Content-Type: application/json" --data-binary @body $maps) &&
		echo "$code c$i" >>codes || return 1
	done &&
	cat codes &&
	test_grep "^201" codes &&
	test_grep "^500" codes &&
	test_grep "No space left on device" answer &&
	test_equal 200 "$(api_code $maps/c1)" &&
	test_equal 1 "$(grep -c "can.t be written" "$LOG")" &&
	! grep "request failed" "$LOG"
'

test_expect_success 'nothing that was acknowledged is lost in a crash on the full disk' '
	kill_server &&
	mount -o remount,size=64m "$DATA" &&
	start_server --disable-agent &&
	kubectl get configmaps -o name | sed -n "s,configmap/\(c[0-9]\),\1,p" | sort >got &&
	sed -n "s/^201 //p" codes | sort >expect &&
	test_cmp expect got
'

test_expect_success 'with room again it writes' '
	kubectl create configmap after --from-literal=a=b &&
	stop_server
'

test_expect_success 'a read-only disk' '
	test_when_finished "mount -o remount,rw \"$DATA\"" &&
	mount -o remount,ro "$DATA" &&
	refused "Read-only file system"
'

test_expect_success 'a damaged database is left alone' '
	db=$DATA/server/state.db &&
	damaged "$db" "head -c 4096 /dev/urandom | dd of=$db conv=notrunc" "the file is damaged" &&
	damaged "$db" "truncate -s 5000 $db" "the file is damaged"
'

test_expect_success 'keys and certificates that are garbage are named' '
	tls=$DATA/server/tls unsummed=state.db* &&
	damaged $tls/ca.crt "echo x >$tls/ca.crt" "ca.key.: its certificate is no certificate" &&
	damaged $tls/ca.key "cp $tls/admin.key $tls/ca.key" "ca.key.: it is not the key of its certificate" &&
	damaged $tls/ca.key "rm $tls/ca.key" "ca.key. is missing" &&
	damaged $tls/server.key ": >$tls/server.key" "server.key.: it holds no private key" &&
	damaged $tls/service-account.key "echo x >$tls/service-account.key" "service-account.key.: it holds no private key"
'

test_expect_success 'a configuration that is none' '
	unsummed= &&
	head -c 1000 /dev/urandom >config.yaml &&
	refused "config.yaml" --config "$PWD/config.yaml" &&
	echo "- a" >config.yaml &&
	refused "config.yaml" --config "$PWD/config.yaml" &&
	echo "no-such-option: 5" >config.yaml &&
	refused "no-such-option" --config "$PWD/config.yaml" &&
	echo "https-listen-port: 99999999" >config.yaml &&
	refused "https-listen-port" --config "$PWD/config.yaml" &&
	refused "nowhere.yaml" --config "$PWD/nowhere.yaml"
'

test_expect_success 'what can be mended is: a lock file of garbage, a lost key, one open to others' '
	head -c 1000 /dev/urandom >"$DATA/kinglet.lock" &&
	rm "$DATA/server/tls/node.key" &&
	chmod 0644 "$DATA/server/tls/admin.key" &&
	start_server --disable-agent &&
	test_grep "can be read by others.*admin.key mode=0644" "$LOG" &&
	kubectl get configmap after &&
	stop_server
'

umount "$DATA"
test_done
