#!/bin/sh
# Names outside the cluster: the host's name servers, followed when they change; the cache;
# servers that are dead, slow or wrong; stub domains and hosts by the ConfigMap; loops.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl dig python3

D=cluster.local
top=$(cd "${srcdir:-.}" && pwd)

upstream() # NAME ADDRESS[:PORT] [RELAY-TO]
{
	: >"$1.log"
	{ exec python3 "$top/t/dns-upstream.py" "$2" "$1.log" $3 2>"$1.err" & } &&
	eval "upstream_$1=$!" &&
	wait_for "grep -q ready $1.log"
}

upstream_kill() # NAME
{
	eval "kill \$upstream_$1; wait \$upstream_$1" || :
}

ask()
{
	dig @10.43.0.10 +tries=1 +time=8 +short "$@" | sort
}

code() # ...: the status
{
	dig @10.43.0.10 +tries=1 +time=8 "$@" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p'
}

asked() # NAME PATTERN: how often it was asked that
{
	grep -c "$2" "$1.log"
}

config() # KEY VALUE [KEY VALUE]
{
	kubectl delete configmap -n kube-system kube-dns --ignore-not-found &&
	if [ $# = 4 ]; then
		kubectl create configmap -n kube-system kube-dns --from-literal="$1=$2" --from-literal="$3=$4"
	else
		kubectl create configmap -n kube-system kube-dns --from-literal="$1=$2"
	fi
}

test_expect_success 'start, with a name server on the host' '
	for i in 1 2 3 4 5; do ip addr add 192.0.2.$i/32 dev lo || return 1; done &&
	upstream one 192.0.2.1 && upstream two 192.0.2.2 && upstream stub 192.0.2.3:5353 &&
	mkdir conf && printf "search corp.example\nnameserver 192.0.2.1\n" >conf/real && ln -s real conf/resolv.conf &&
	start_server --resolv-conf "$PWD/conf/resolv.conf"
'

test_expect_success 'answers come through, are kept, and their time runs' '
	test_equal 1.2.3.4 "$(ask A a-1-2-3-4.example)" &&
	test_equal 1.2.3.4 "$(ask A A-1-2-3-4.Example)" &&
	test_equal 1 "$(asked one "udp a-1-2-3-4.example 1")" &&
	dig @10.43.0.10 A A-1-2-3-4.Example >got &&
	test_grep "^A-1-2-3-4.Example.*IN.*A" got &&
	test_grep "flags: qr rd ra;" got &&
	test "$(awk "/^A-1/ { print \$2 }" got)" -le 30 &&
	test_equal 5.6.7.8 "$(ask A a-5-6-7-8.t1.example)" &&
	wait_for "ask A a-5-6-7-8.t1.example && test \"\$(asked one a-5-6-7-8)\" -gt 1"
'

test_expect_success 'negative answers are kept with an SOA, others are not' '
	test_equal NXDOMAIN "$(code A nx.example)" && test_equal NXDOMAIN "$(code A nx.example)" &&
	test_equal 1 "$(asked one "udp nx.example")" &&
	test_equal NXDOMAIN "$(code A nx0.example)" && test_equal NXDOMAIN "$(code A nx0.example)" &&
	test_equal 2 "$(asked one "udp nx0.example")" &&
	test_equal NOERROR "$(code AAAA a-1-2-3-4.example)"
'

test_expect_success 'what is truncated is asked by TCP, and cut again for those who need it' '
	test_equal 100 "$(ask A big100.example | wc -l)" &&
	test_equal 1 "$(asked one "tcp big100.example")" &&
	dig @10.43.0.10 +ignore +noedns A big100.example >got &&
	test_grep "flags: qr tc" got &&
	test_equal 1 "$(asked one "tcp big100.example")" &&
	test_equal 3000 "$(ask A big3000.example +tcp | wc -l)"
'

test_expect_success 'the same question at one time is one question' '
	for i in 1 2 3 4 5 6 7 8; do ask A slow.example >slow.$i & done &&
	wait_for "test \"\$(cat slow.* | grep -c 8.8.8.8)\" = 8" &&
	test_equal 1 "$(asked one slow.example)"
'

test_expect_success 'an ExternalName ends outside' '
	kubectl create service externalname out --external-name=a-4-4-4-4.example &&
	wait_for "test \"\$(ask A out.default.svc.$D | xargs)\" = \"4.4.4.4 a-4-4-4-4.example.\"" &&
	kubectl create service externalname chain --external-name=cname.example &&
	wait_for "test \"\$(ask A chain.default.svc.$D | xargs)\" = \"9.9.9.9 a-9-9-9-9.example. cname.example.\""
'

test_expect_success 'the cluster'"'"'s names are asked of nobody, other reverse names are' '
	test_equal NXDOMAIN "$(code A nix.default.svc.$D)" &&
	test_equal NXDOMAIN "$(code PTR 9.9.43.10.in-addr.arpa)" && test_equal NXDOMAIN "$(code PTR 9.9.42.10.in-addr.arpa)" &&
	test_equal NOERROR "$(code PTR 9.9.9.9.in-addr.arpa)" &&
	test_equal 0 "$(asked one $D)" && test_equal 0 "$(asked one "4[23].10.in-addr")" && test_equal 1 "$(asked one 9.9.9.9.in-addr)"
'

test_expect_success 'from before EDNS; wrong answers are no answers' '
	test_equal 7.7.7.7 "$(ask A formerr-edns.example)" &&
	test_equal SERVFAIL "$(code A servfail.example)" &&
	test_equal REFUSED "$(code A refused.example)" &&
	test_equal SERVFAIL "$(code A garbage.example)" &&
	test_equal SERVFAIL "$(code A wrongname.example)" &&
	from=$(date +%s) &&
	{ code A wrongid.example >wrongid & } &&
	wrongid=$! &&
	test_equal SERVFAIL "$(code A silent.example)" &&
	wait $wrongid &&
	test_equal SERVFAIL "$(cat wrongid)" &&
	test $(($(date +%s) - from)) -le $((6 * TEST_SLOW))
'

test_expect_success 'resolv.conf behind a symbolic link is replaced, written to, and led elsewhere' '
	test_equal "\"192.0.2.1\"" "$(ask TXT tag.example)" &&
	echo "nameserver 192.0.2.2" >conf/new && mv conf/new conf/real &&
	wait_for "test \"\$(ask TXT tag.example)\" = \\\"192.0.2.2\\\"" &&
	echo "nameserver 192.0.2.1" >conf/real &&
	wait_for "test \"\$(ask TXT tag.example)\" = \\\"192.0.2.1\\\"" &&
	mkdir else && echo "nameserver 192.0.2.2" >else/resolv && ln -sfn ../else/resolv conf/resolv.conf &&
	wait_for "test \"\$(ask TXT tag.example)\" = \\\"192.0.2.2\\\"" &&
	echo "nameserver 192.0.2.1" >else/resolv &&
	wait_for "test \"\$(ask TXT tag.example)\" = \\\"192.0.2.1\\\"" &&
	rm conf/resolv.conf &&
	wait_for "test \"\$(code A a-1-1-1-1.example)\" = SERVFAIL" &&
	echo "nameserver 192.0.2.1" >conf/resolv.conf &&
	wait_for "test \"\$(ask TXT tag.example)\" = \\\"192.0.2.1\\\""
'

test_expect_success 'a dead server: the next one answers, and soon no time is lost' '
	upstream dead 192.0.2.4 192.0.2.77 &&
	printf "nameserver 192.0.2.4\nnameserver 192.0.2.2\n" >conf/resolv.conf &&
	wait_for "test \"\$(ask TXT tag.example)\" = \\\"192.0.2.2\\\"" &&
	test_equal NXDOMAIN "$(code TXT nx0.example)" &&
	before=$(asked dead .) &&
	dig @10.43.0.10 TXT tag.t0.example >got &&
	test "$(sed -n "s/.*Query time: \([0-9]*\) msec/\1/p" got)" -lt $((500 * TEST_SLOW)) &&
	test_equal "$before" "$(asked dead .)" &&
	printf "nameserver 192.0.2.6\nnameserver 192.0.2.2\n" >conf/resolv.conf &&
	wait_for "test \"\$(ask A a-2-2-2-2.example)\" = 2.2.2.2"
'

test_expect_success 'stub domains, name servers and hosts by the ConfigMap' '
	config stubDomains "{\"acme.test\": [\"192.0.2.3:5353\"], \"deep.acme.test\": [\"192.0.2.1\"]}" hosts "192.0.2.99 printer.corp.example printer # here" &&
	wait_for "test \"\$(ask TXT tag.acme.test)\" = \\\"192.0.2.3\\\"" &&
	test_equal "\"192.0.2.1\"" "$(ask TXT tag.deep.acme.test)" &&
	test_equal "\"192.0.2.2\"" "$(ask TXT tag.xacme.test)" &&
	test_equal 192.0.2.99 "$(ask A Printer)" && test_equal 192.0.2.99 "$(ask A printer.corp.example)" &&
	test_equal printer.corp.example. "$(ask -x 192.0.2.99)" &&
	test_equal NOERROR "$(code AAAA printer)" &&
	kubectl patch configmap -n kube-system kube-dns --type=merge -p "{\"data\":{\"upstreamNameservers\":\"[\\\"192.0.2.1\\\"]\"}}" &&
	wait_for "test \"\$(ask TXT tag.example)\" = \\\"192.0.2.1\\\""
'

test_expect_success 'a ConfigMap that is wrong: the last good one stays, and an event tells' '
	kubectl patch configmap -n kube-system kube-dns --type=merge -p "{\"data\":{\"stubDomains\":\"{\\\"a.test\\\": [\\\"nowhere\\\"]}\"}}" &&
	wait_for "kubectl get events -n kube-system --field-selector=involvedObject.name=kube-dns,type=Warning | grep InvalidConfiguration" &&
	test_equal "\"192.0.2.3\"" "$(ask TXT tag.acme.test)" && test_equal 192.0.2.99 "$(ask A printer)" &&
	kubectl delete configmap -n kube-system kube-dns &&
	wait_for "test \"\$(ask TXT tag.example)\" = \\\"192.0.2.2\\\"" &&
	test_equal NOERROR "$(code A printer)" && test_equal "" "$(ask A printer)"
'

test_expect_success 'our own address, or a server of this machine that asks us: no loop' '
	echo "nameserver 10.43.0.10" >conf/resolv.conf &&
	wait_for "grep \"ignoring it\" $LOG" &&
	from=$(date +%s) &&
	wait_for "test \"\$(code A a-6-6-6-6.example)\" = SERVFAIL" &&
	upstream relay 192.0.2.5 10.43.0.10 &&
	echo "nameserver 192.0.2.5" >conf/resolv.conf &&
	wait_for "grep \"in its turn\" $LOG" &&
	from=$(date +%s%N) &&
	test_equal SERVFAIL "$(code A a-6-6-6-7.example)" &&
	test $((($(date +%s%N) - from) / 1000000)) -lt $((1000 * TEST_SLOW)) &&
	test_equal 10.43.0.1 "$(ask A kubernetes.default.svc.$D)" &&
	echo "nameserver 192.0.2.1" >conf/resolv.conf &&
	wait_for "test \"\$(ask A a-6-6-6-8.example)\" = 6.6.6.8"
'

test_expect_success 'the servers of the test end' '
	for name in one two stub dead relay; do upstream_kill $name; done &&
	! grep -l Error ./*.err &&
	for i in 1 2 3 4 5; do ip addr del 192.0.2.$i/32 dev lo || return 1; done
'

test_done
