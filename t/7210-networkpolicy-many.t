#!/bin/sh
# Many pods and many policies: what one pod's change costs the kernel does not grow with
# them; a policy for all of them comes and goes; after a crash all is in force again.
. "${srcdir:-.}/t/lib.sh"
. "${srcdir:-.}/t/lib-sched.sh"
test_needs kubectl curl overlay busybox

POLICIES=/apis/networking.k8s.io/v1/namespaces/default/networkpolicies

# Pods of another node with addresses, as its agent would tell: far FROM TO APP
far()
{
	far_i=$1
	while [ $far_i -le $2 ]; do
		printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"far%d","labels":{"app":"%s"}},"spec":{"nodeName":"far","containers":[{"name":"x","image":"x"}]},"status":{"phase":"Running","podIP":"10.42.%d.%d","podIPs":[{"ip":"10.42.%d.%d"}]}}\n' \
			$far_i "$3" $((far_i / 200 + 1)) $((far_i % 200 + 1)) $((far_i / 200 + 1)) $((far_i % 200 + 1))
		far_i=$((far_i + 1))
	done >far.json
	perl -e "$POST" "$DATA" far.json
}

# Each line of a file is created, and its status written, over one connection.
POST='
	my ($data, $file) = @ARGV;
	my (@create, @status);
	open my $in, "<", $file or die;
	open my $conf, ">", "post.conf" or die;
	my $n = 0;
	while (my $line = <$in>) {
		chomp $line;
		my ($name) = $line =~ /"name":"([^"]+)"/;
		my $base = "https://127.0.0.1:6443/api/v1/namespaces/default/pods";
		for (["POST", $base, "application/json"], ["PATCH", "$base/$name/status", "application/merge-patch+json"]) {
			my ($verb, $url, $type) = @$_;
			print $conf "next\n" if $n++;
			(my $body = $line) =~ s/(["\\])/\\$1/g;
			print $conf "url = \"$url\"\nrequest = $verb\nheader = \"Content-Type: $type\"\ndata = \"$body\"\n";
			print $conf "cacert = $data/server/tls/ca.crt\ncert = $data/server/tls/admin.crt\nkey = $data/server/tls/admin.key\n";
			print $conf "output = /dev/null\nwrite-out = \"%{http_code}\\\\n\"\nsilent\n";
		}
	}
	close $conf;
	exec "curl", "-K", "post.conf";
'

# The line that the last change left in the log, and its bytes.
changes()
{
	grep -c 'network policies put in force' "$LOG"
}

# cost COMMAND...: bytes that the kernel was sent for what it changes, in one go
cost()
{
	cost_before=$(changes)
	"$@" >&2 || return 1
	wait_for "test \$(changes) -gt $cost_before" >&2 || return 1
	grep 'network policies put in force' "$LOG" | tail -n 1 | sed 's/.*bytes=\([0-9]*\).*/\1/'
}

label() # POD LABEL
{
	kubectl label pod "$1" "$2" --overwrite
}

policies() # FROM TO PEER: each of its own pods, with peers of that label
{
	policies_i=$1
	while [ $policies_i -le $2 ]; do
		printf -- '---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p%d}\nspec: {podSelector: {matchLabels: {n: "%d"}}, ingress: [{from: [{podSelector: {matchLabels: {app: "%s"}}}]}]}\n' \
			$policies_i $policies_i "$(echo "$3" | sed "s/@/$policies_i/")"
		policies_i=$((policies_i + 1))
	done | kubectl apply -f -
}

reaches()
{
	curl -sS --max-time 0.5 -o /dev/null "http://$1/"
}

from_b() # can b reach a?
{
	kubectl exec b -- timeout 1 wget -q -O /dev/null "http://$a/"
}

test_expect_success 'two pods of this node, of which one is guarded' '
	start_server $nodes_stay --log-level debug &&
	import_demo &&
	wait_node &&
	for name in a b; do
		kubectl run $name --image=localhost/demo:1 --labels=pod=$name -- httpd -f -p 80 -h /var/www || return 1
	done &&
	kubectl wait --for=condition=Ready pod a b --timeout=60s &&
	a=$(kubectl get pod a -o "jsonpath={.status.podIP}") &&
	from_b &&
	kubectl apply -f - <<-YAML &&
	apiVersion: networking.k8s.io/v1
	kind: NetworkPolicy
	metadata: {name: guard}
	spec:
	  podSelector: {matchLabels: {pod: a}}
	  ingress:
	  - from: [{podSelector: {matchLabels: {app: client}}}]
	    ports: [{port: 80}]
	YAML
	wait_for "! from_b"
'

test_expect_success 'what a change of labels costs among few' '
	node far 4 8Gi 500 &&
	far 1 3 far >codes &&
	test_equal "200 3 201 3" "$(sort codes | uniq -c | awk "{ print \$2, \$1 }" | xargs)" &&
	comes=$(cost label far1 app=client) &&
	goes=$(cost label far1 app=far) &&
	echo "comes: $comes bytes, goes: $goes" &&
	test $comes -gt 0 && test $comes -lt 400
'

test_expect_success '... and among 400 pods and 150 policies' '
	far 4 400 client >codes &&
	policies 1 50 client && policies 51 150 peer@ &&
	wait_for "grep \"policies=151\" $LOG" &&
	test_equal $comes "$(cost label far1 app=client)" &&
	test_equal $goes "$(cost label far1 app=far)" &&
	if command -v nft; then
		nft list ruleset >rules && test_grep "10.42.2.100" rules
	fi
'

test_expect_success 'what nobody asks for costs nothing; a pod of this node only what it is in' '
	before=$(changes) &&
	label far1 some=thing && label a some=thing &&
	cost label b app=client &&
	test_equal $((before + 1)) "$(changes)" &&
	from_b &&
	label b app- && wait_for "! from_b"
'

test_expect_success 'a crash among them: closed all the while, and the same again' '
	if command -v nft; then nft list ruleset | grep -c 10.42. >rules.before; fi &&
	kill_server &&
	b=$(container_processes | awk "/httpd/ { print \$1 }" | while read -r p; do
		nsenter -t $p -n ip -o addr | grep -q "$a/" || echo $p
	done | head -n 1) &&
	test_must_fail nsenter -t $b -n curl -sS --max-time 0.5 "http://$a/" &&
	start_server $nodes_stay --log-level debug &&
	wait_for "tail -c +$test_log_from $LOG | grep \"put in force.*policies=151 .*anew=1\"" &&
	test_must_fail nsenter -t $b -n curl -sS --max-time 0.5 "http://$a/" &&
	test_equal $comes "$(cost label far1 app=client)" &&
	test_equal $goes "$(cost label far1 app=far)" &&
	if command -v nft; then nft list ruleset | grep -c 10.42. >rules.after && test_cmp rules.before rules.after; fi
'

test_expect_success 'all policies go: so do all rules' '
	kubectl delete networkpolicy --all >/dev/null &&
	wait_for from_b &&
	! { command -v nft && nft list ruleset | grep policy-; }
'

test_done
