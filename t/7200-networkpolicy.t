#!/bin/sh
# NetworkPolicies with real pods and real packets: who reaches whom, as policies, pods
# and namespaces come, change and go; what was begun goes on; a new pod is guarded from
# its first packet; a policy that changes never opens what both versions close; a crash
# opens nothing.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl overlay busybox

# probe PROTOCOL:ADDRESS:PORT...: run in somebody's network; prints those that answer
PROBE='
	use Socket;
	use IO::Select;
	use Time::HiRes "time";
	my (%wait, %open);
	my $select = IO::Select->new;
	for my $what (@ARGV) {
		my ($proto, $addr, $port) = split /:/, $what;
		my $udp = $proto eq "udp";
		socket(my $s, AF_INET, $udp ? SOCK_DGRAM : SOCK_STREAM, getprotobyname($proto) // 132) or die "$what: $!";
		$s->blocking(0);
		connect($s, pack_sockaddr_in($port, inet_aton($addr)));
		syswrite($s, "x") if $udp;
		$wait{fileno $s} = $what;
		$select->add($s);
	}
	my $until = time + $ENV{PROBE_SECONDS};
	while ($select->count && (my $left = $until - time) > 0) {
		my ($in, $out) = IO::Select->select($select, IO::Select->new(grep { $wait{fileno $_} !~ /^udp/ } $select->handles), undef, $left);
		my %ready = map { fileno $_ => $_ } @{$in // []}, @{$out // []};
		for my $s (values %ready) {
			my $what = $wait{fileno $s};
			$open{$what} = 1 if $what =~ /^udp/ ? defined sysread($s, my $x, 10) : !unpack "i", getsockopt($s, SOL_SOCKET, SO_ERROR);
			$select->remove($s);
		}
	}
	print "$_\n" for grep { $open{$_} } @ARGV;
'
# echo PROTOCOL PORT: answers every packet or connection
ECHO='
	use Socket;
	my ($proto, $port) = @ARGV;
	socket(my $s, AF_INET, $proto eq "udp" ? SOCK_DGRAM : SOCK_STREAM, getprotobyname($proto) // 132) or die $!;
	bind($s, pack_sockaddr_in($port, INADDR_ANY)) or die $!;
	listen($s, 10) if $proto ne "udp";
	while (1) {
		if ($proto eq "udp") {
			my $from = recv($s, my $x, 10, 0);
			send($s, $x, 0, $from) if $from;
		} else {
			accept(my $c, $s);
		}
	}
'

ip_of() # NS/NAME
{
	kubectl get pod -n "${1%/*}" "${1#*/}" -o "jsonpath={.status.podIP}"
}

# The process that holds the pod's network, found by its command line.
pid_of() # NS/NAME
{
	container_processes | awk -v what="/tmp/$1/" 'index($0, what) { print $1; exit }'
}

pod() # NS/NAME LABELS
{
	kubectl apply -f - <<-YAML
	apiVersion: v1
	kind: Pod
	metadata: {name: ${1#*/}, namespace: ${1%/*}, labels: {$2}}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers:
	  - name: x
	    image: localhost/demo:1
	    command: [sh, -c, "mkdir -p /tmp/$1; httpd -p 81 -h /tmp; exec httpd -f -p 80 -h /tmp/$1/"]
	    ports: [{name: first, containerPort: 80}, {name: second, containerPort: 81}]
	YAML
}

in_net_of() # WHO COMMAND...
{
	in_who=$1
	shift
	case $in_who in
	node) "$@" ;;
	out) nsenter -t "$(cat "$TRASH/work/outside.pid")" -n "$@" ;;
	*) nsenter -t "$(cat "$TRASH/work/pid.$(echo "$in_who" | tr / .)")" -n "$@" ;;
	esac
}

address() # WHO
{
	case $1 in
	out) echo 192.0.2.2 ;;
	*) cat "$TRASH/work/ip.$(echo "$1" | tr / .)" ;;
	esac
}

PODS='x/a x/b w/a w/b'
# Lines "FROM>TO" of all that is open, from the file hosts ("WHO PID ADDRESS": - for the own network or no address, none for who asks nobody)
TABLE='
	my ($probe, $what) = @ARGV;
	my ($proto, $port) = $what =~ /(.*):(.*)/ ? ($1, $2) : ("tcp", $what);
	my (@all, %pipe);
	open my $hosts, "<", "hosts" or die;
	push @all, [split] for <$hosts>;
	for my $from (grep { $_->[1] ne "none" } @all) {
		my @to = grep { $_->[0] ne $from->[0] && $_->[2] ne "-" && "$from->[0]$_->[0]" ne "nodeout" } @all;
		my @net = $from->[1] eq "-" ? () : ("nsenter", "-t", $from->[1], "-n");
		open $pipe{$from->[0]}, "-|", @net, "perl", "-e", $probe, map { "$proto:$_->[2]:$port" } @to or die;
	}
	for my $from (grep { $_->[1] ne "none" } @all) {
		my $f = $pipe{$from->[0]};
		my %open = map { chomp; $_ => 1 } <$f>;
		for (@all) {
			print "$from->[0]>$_->[0]\n" if $open{"$proto:$_->[2]:$port"};
		}
	}
'
table() # [PROTOCOL:]PORT
{
	PROBE_SECONDS=${PROBE_SECONDS:-0.25} perl -e "$TABLE" "$PROBE" "$1"
}

# what is open: all, minus what matches a pattern "-FROM>TO" (* for any pod, or out), plus "+FROM>TO"
want_table() # RULE...
{
	for from in node out $PODS; do
		for to in $PODS out; do
			[ "$from" != "$to" ] && [ "$from$to" != nodeout ] || continue
			open=yes
			for rule; do
				case $rule in
				-*) pattern=${rule#-} verdict= ;;
				*) pattern=${rule#+} verdict=yes ;;
				esac
				case $from in ${pattern%>*}) ;; *) continue ;; esac
				case $to in ${pattern#*>}) ;; *) continue ;; esac
				open=$verdict
			done
			case $from$to$1 in node*/b"-*>*/b") ;; node*) open=yes ;; esac # nothing stops the node
			[ -z "$open" ] || echo "$from>$to"
		done
	done
}

opens() # PORT RULE...: is that what there is, soon?
{
	opens_port=$1
	shift
	want_table "$@" >want
	opens_until=$(($(now_ms) + 8000 * TEST_SLOW))
	until table "$opens_port" >got; cmp -s want got; do
		[ "$(now_ms)" -lt $opens_until ] || { test_cmp want got; return 1; }
	done
}

policy() # NS/NAME SPEC, in one line of YAML
{
	printf 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: %s}\nspec: {%s}\n' \
		"${1#*/}" "${1%/*}" "$2" | kubectl apply -f -
}

unpolicy()
{
	kubectl delete networkpolicy -A --all
}

ONLY_A='podSelector: {matchLabels: {pod: a}}'

test_expect_success 'two namespaces with two pods each, and a host outside' '
	ip link add up0 type veth peer name up1 &&
	{ unshare -n sh -c "echo \$\$ >outside.pid; exec sleep 1000" & } &&
	background=$! &&
	wait_for "test -s outside.pid" &&
	ip link set up1 netns "$(cat outside.pid)" &&
	ip addr add 192.0.2.1/24 dev up0 && ip link set up0 up &&
	in_net_of out ip addr add 192.0.2.2/24 dev up1 && in_net_of out ip link set up1 up &&
	ip route add default via 192.0.2.2 &&
	in_net_of out ip route add 10.42.0.0/16 via 192.0.2.1 &&
	{ exec nsenter -t "$(cat outside.pid)" -n busybox httpd -f -p 80 -h . & } &&
	background="$background $!" &&
	start_server --log-level debug &&
	import_demo &&
	wait_node &&
	kubectl create namespace x && kubectl create namespace w &&
	kubectl label namespace x ns=x && kubectl label namespace w ns=w &&
	for p in $PODS; do
		pod $p "pod: ${p#*/}" || return 1
	done &&
	kubectl wait -A --for=condition=Ready pod --all --timeout=60s &&
	for p in $PODS; do
		wait_for "test -n \"\$(pid_of $p)\"" || return 1
		pid_of $p >pid.$(echo $p | tr / .)
		ip_of $p >ip.$(echo $p | tr / .)
	done &&
	{
		echo "node - -"
		echo "out $(cat outside.pid) -" &&
		for p in $PODS; do
			echo "$p $(cat pid.$(echo $p | tr / .)) $(address $p)"
		done
		echo "out none 192.0.2.2"
	} >hosts
'

test_expect_success 'no policy: all is open, and the kernel has no rule' '
	opens 80 &&
	! { command -v nft && nft list ruleset | grep policy-; }
'

test_expect_success 'default deny, in: but the node, which probes' '
	policy x/deny "podSelector: {}, policyTypes: [Ingress]" &&
	opens 80 "-*>x/*" &&
	test_equal ok "$(kubectl exec -n x a -- echo ok)"
'

test_expect_success 'policies add up: pods of a label, in the same namespace' '
	policy x/b "$ONLY_A, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]" &&
	opens 80 "-*>x/*" "+x/b>x/a"
'

test_expect_success '... labels change' '
	kubectl label -n x pod b pod=q --overwrite &&
	opens 80 "-*>x/*" &&
	kubectl label -n x pod b pod=a --overwrite &&
	policy x/b "podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: a}}}]}]" &&
	opens 80 "-*>x/*" "+x/b>x/a" "+x/a>x/b" &&
	kubectl label -n x pod b pod=b --overwrite &&
	unpolicy && opens 80
'

test_expect_success 'a namespace by its labels, which change; pods of it; pods or namespace' '
	policy x/p "$ONLY_A, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: w}}}]}]" &&
	opens 80 "-*>x/a" "+w/*>x/a" &&
	kubectl label namespace w ns=z --overwrite &&
	opens 80 "-*>x/a" &&
	kubectl label namespace w ns=w --overwrite &&
	policy x/p "$ONLY_A, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: w}}, podSelector: {matchLabels: {pod: b}}}]}]" &&
	opens 80 "-*>x/a" "+w/b>x/a" &&
	policy x/p "$ONLY_A, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: w}}}, {podSelector: {matchLabels: {pod: b}}}]}]" &&
	opens 80 "-*>x/a" "+w/*>x/a" "+x/b>x/a" &&
	unpolicy
'

test_expect_success 'ports: by number, by name, in a range' '
	policy x/p "$ONLY_A, ingress: [{ports: [{port: 81}]}]" &&
	opens 81 "-*>out" && opens 80 "-*>x/a" &&
	policy x/p "$ONLY_A, ingress: [{ports: [{port: first}]}]" &&
	opens 80 && opens 81 "-*>x/a" "-*>out" &&
	policy x/p "$ONLY_A, ingress: [{ports: [{port: 70, endPort: 80}, {port: 82, endPort: 90}]}]" &&
	opens 80 && opens 81 "-*>x/a" "-*>out" &&
	policy x/p "$ONLY_A, ingress: [{ports: [{port: 80, protocol: UDP}]}]" &&
	opens 80 "-*>x/a" &&
	unpolicy
'

test_expect_success 'egress: nothing; peers; ports by name, wherever they are' '
	policy x/p "$ONLY_A, policyTypes: [Egress]" &&
	opens 80 "-x/a>*" &&
	policy x/p "$ONLY_A, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: w}}}]}]" &&
	opens 80 "-x/a>*" "+x/a>w/*" &&
	policy x/p "$ONLY_A, policyTypes: [Egress], egress: [{ports: [{port: first}]}]" &&
	opens 80 "-x/a>out" && opens 81 "-x/a>*" "-*>out" &&
	policy w/p "podSelector: {}, policyTypes: [Ingress]" &&
	opens 80 "-x/a>out" "-*>w/*" &&
	unpolicy
'

test_expect_success 'blocks of addresses: with and without exceptions, over pods' '
	policy x/p "$ONLY_A, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]" &&
	opens 80 "-*>x/a" "+out>x/a" &&
	policy x/p "$ONLY_A, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.2/32]}}]}]" &&
	opens 80 "-out>x/a" &&
	policy x/p "$ONLY_A, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.42.0.0/16, except: [$(address w/a)/32]}}]}]" &&
	opens 80 "-x/a>out" "-x/a>w/a" &&
	policy x/q "$ONLY_A, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: $(address w/a)/32}}]}]" &&
	opens 80 "-x/a>out" &&
	unpolicy
'

test_expect_success 'UDP: another protocol on the same port' '
	for p in x/a w/a; do
		{ exec nsenter -t "$(cat pid.$(echo $p | tr / .))" -n perl -e "$ECHO" udp 80 & }
		background="$background $!"
	done &&
	opens udp:80 "-*>*/b" "-*>out" &&
	policy x/p "$ONLY_A, ingress: [{ports: [{port: 80}]}]" &&
	opens udp:80 "-*>*/b" "-*>out" "-*>x/a" &&
	opens 80 &&
	policy x/p "$ONLY_A, ingress: [{ports: [{port: 80, protocol: UDP}]}]" &&
	opens 80 "-*>x/a" &&
	opens udp:80 "-*>*/b" "-*>out" &&
	unpolicy
'

test_expect_success 'what has begun goes on, both ways, and what is new is judged' '
	opens 80 &&
	mkfifo to &&
	{ exec nsenter -t "$(cat pid.w.b)" -n busybox nc "$(address x/a)" 80 <to >answer & } &&
	nc=$! &&
	exec 7>to &&
	wait_for "in_net_of w/b busybox netstat -tn | grep \"$(address x/a):80 .*ESTABLISHED\"" &&
	policy x/deny "podSelector: {}, policyTypes: [Ingress, Egress]" &&
	opens 80 "-*>x/*" "-x/*>*" &&
	printf "GET / HTTP/1.0\r\n\r\n" >&7 &&
	exec 7>&- &&
	wait_for "grep HTTP/1 answer" &&
	wait $nc
'

test_expect_success 'a new pod is guarded from its first packet' '
	for i in 1 2 3 4; do
		kubectl run -n x new$i --image=localhost/demo:1 --restart=Never -- sh -c "
			end=\$((\$(date +%s) + 2))
			while [ \$(date +%s) -lt \$end ]; do
				timeout 1 wget -q -O /dev/null http://$(address w/a)/ && echo open
				timeout 1 wget -q -O /dev/null http://192.0.2.2/ && echo open
			done
			echo done" || return 1
	done &&
	for i in 1 2 3 4; do
		wait_for "kubectl logs -n x new$i | grep done" &&
		kubectl logs -n x new$i >got &&
		test_grep -v open got || return 1
	done &&
	kubectl delete pod -n x new1 new2 new3 new4 --now &&
	unpolicy
'

test_expect_success 'a policy that flips between two that deny never opens' '
	policy x/p "$ONLY_A, ingress: [{from: [{podSelector: {matchLabels: {pod: nobody}}}]}]" &&
	opens 80 "-*>x/a" &&
	{ (
		i=0
		while [ $i -lt 40 ]; do
			i=$((i + 1))
			case $((i % 4)) in
			0) spec="{\"podSelector\":{},\"ingress\":[]}" ;;
			1) spec="{\"podSelector\":{\"matchLabels\":{\"pod\":\"a\"}},\"ingress\":[{\"ports\":[{\"port\":81}]}]}" ;;
			2) spec="{\"podSelector\":{\"matchExpressions\":[{\"key\":\"pod\",\"operator\":\"Exists\"}]},\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"203.0.113.0/24\"}}]}],\"policyTypes\":[\"Ingress\",\"Egress\"]}" ;;
			3) spec="{\"podSelector\":{\"matchLabels\":{\"pod\":\"a\"}},\"ingress\":[{\"from\":[{\"namespaceSelector\":{\"matchLabels\":{\"no\":\"one\"}}}]}]}" ;;
			esac
			api_code -X PUT -H "Content-Type: application/json" --data "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"name\":\"p\",\"namespace\":\"x\"},\"spec\":$spec}" \
				/apis/networking.k8s.io/v1/namespaces/x/networkpolicies/p >flip.code
			grep -qx 200 flip.code || { echo bad; cat answer; } >>flip.bad
			sleep 0.05
		done
		: >flip.done
	) & } &&
	flips=$! &&
	: >flip.open &&
	rounds=0 &&
	until [ -e flip.done ]; do
		in_net_of w/a env PROBE_SECONDS=0.08 perl -e "$PROBE" $(for i in 1 2 3 4 5 6 7 8; do echo "tcp:$(address x/a):80"; done) >>flip.open || return 1
		rounds=$((rounds + 1))
	done &&
	wait $flips &&
	test ! -e flip.bad &&
	test $rounds -gt 10 &&
	test_lines 0 flip.open &&
	unpolicy
'

test_expect_success 'a crash opens nothing, nor does the start after it' '
	policy x/deny "podSelector: {}, policyTypes: [Ingress]" &&
	policy x/b "$ONLY_A, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]" &&
	opens 80 "-*>x/*" "+x/b>x/a" &&
	kill_server &&
	opens 80 "-*>x/*" "+x/b>x/a" &&
	{ ( until [ -e started ]; do
		in_net_of w/a env PROBE_SECONDS=0.08 perl -e "$PROBE" "tcp:$(address x/b):80" "tcp:$(address x/a):80"
	done >leaks 2>&1 ) & } &&
	watcher=$! &&
	start_server --log-level debug &&
	wait_for "grep \"network policies put in force.*anew=1\" $LOG" &&
	opens 80 "-*>x/*" "+x/b>x/a" &&
	: >started && wait $watcher &&
	test_lines 0 leaks
'

test_expect_success 'a policy that was deleted while the server was away is gone after it' '
	stop_server &&
	start_server --log-level debug &&
	unpolicy &&
	opens 80
'

test_expect_success 'turned off: what was in force goes' '
	policy x/deny "podSelector: {}, policyTypes: [Ingress]" &&
	opens 80 "-*>x/*" &&
	restart_server --disable-network-policy &&
	opens 80 &&
	restart_server --log-level debug &&
	opens 80 "-*>x/*" &&
	unpolicy && opens 80 &&
	kubectl get events -A >got &&
	test_grep -v NetworkPolicy got
'

test_expect_success 'stop; the host outside goes' '
	stop_server &&
	killall_pods &&
	ip link del up0 &&
	kill -9 $background &&
	{ wait $background || :; }
'

test_done
