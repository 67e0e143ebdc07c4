#!/bin/sh
# /metrics as dashboards for kube-apiserver read it, the line about a slow
# request, and the health checks one by one.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl

metrics()
{
	kubectl get --raw /metrics >metrics
}

counted() # N PATTERN: a sample of that name and those labels has this value
{
	metrics && test_grep -x "$2 $1" metrics
}

test_expect_success 'start the server' '
	start_server --disable-agent --token sesame --slow-request-ms 150 &&
	wait_for "kubectl get configmap kube-root-ca.crt"
'

test_expect_success 'requests by verb, resource, scope, dry run and code' '
	kubectl create configmap a &&
	kubectl create configmap b --dry-run=server &&
	test_must_fail kubectl create configmap a &&
	kubectl apply --server-side -f - <<-\END &&
	{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}
	END
	test_must_fail kubectl get pods --as=bob &&
	test_equal 404 "$(api_code /apis/none.example/v1/things)" &&
	l="component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",scope=\"resource\",subresource=\"\"" &&
	counted 1 "apiserver_request_total{code=\"201\",$l,verb=\"POST\",version=\"v1\"}" &&
	counted 1 "apiserver_request_total{code=\"409\",$l,verb=\"POST\",version=\"v1\"}" &&
	counted 1 "apiserver_request_total{code=\"200\",$l,verb=\"APPLY\",version=\"v1\"}" &&
	counted 1 "$(echo "apiserver_request_total{code=\"201\",$l,verb=\"POST\",version=\"v1\"}" | sed "s/dry_run=../dry_run=\"All\"/")" &&
	counted 1 "apiserver_request_total{code=\"403\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"}" &&
	test_must_fail grep none.example metrics
'

test_expect_success 'durations and sizes have the bounds that queries name' '
	kubectl get secrets -n default &&
	metrics &&
	grep "^apiserver_request_duration_seconds_bucket{.*resource=\"secrets\"" metrics | grep -o "le=\"[^\"]*" | cut -c5- | tr "\n" " " >got &&
	test_equal "0.005 0.025 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60 +Inf " "$(cat got; echo)" &&
	grep "^apiserver_request_sli_duration_seconds_bucket{.*resource=\"secrets\"" metrics | grep -o "le=\"[^\"]*" | cut -c5- | tr "\n" " " >got &&
	test_equal "0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60 +Inf " "$(cat got; echo)" &&
	l="component=\"apiserver\",group=\"\",resource=\"secrets\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"" &&
	test_grep -x "apiserver_response_sizes_count{$l} 1" metrics &&
	test_grep "apiserver_response_sizes_sum{$l} [1-9][0-9]*" metrics &&
	test_grep "apiserver_response_sizes_bucket{$l,le=\"1000\"} [01]" metrics &&
	test_grep "apiserver_response_sizes_bucket{$l,le=\"1e+06\"} 1" metrics
'

start_watch()
{
	kubectl get configmaps --watch-only >watched &
	watcher=$!
}

test_expect_success 'watches: how many, and the events they got' '
	start_watch &&
	test_when_finished "kill $watcher" &&
	l="group=..,resource=.configmaps." &&
	wait_for "metrics && grep \"^apiserver_longrunning_requests{component=.apiserver.,$l,scope=.namespace.,subresource=..,verb=.WATCH.,version=.v1.} 1\" metrics" &&
	kubectl create configmap w &&
	wait_for "grep w watched" &&
	counted 1 "apiserver_watch_events_total{$l,version=\"v1\"}" &&
	test_grep -x "apiserver_watch_events_sizes_count{$l,version=\"v1\"} 1" metrics &&
	api "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1" >out &&
	counted $((1 + $(wc -l <out))) "apiserver_watch_events_total{$l,version=\"v1\"}"
'

test_expect_success 'objects, who asked, and the process' '
	metrics &&
	test_grep -x "apiserver_resource_objects{group=\"\",resource=\"namespaces\"} 4" metrics &&
	test_grep -x "apiserver_storage_objects{resource=\"namespaces\"} 4" metrics &&
	test_grep "apiserver_storage_objects{resource=\"deployments.apps\"} 0" metrics &&
	test_grep "^apiserver_current_inflight_requests{request_kind=\"readOnly\"} 0" metrics &&
	test_grep "^apiserver_current_inflight_requests{request_kind=\"mutating\"} 0" metrics &&
	test_grep "^authentication_attempts{result=\"success\"} [1-9]" metrics &&
	test_grep "^apiserver_client_certificate_expiration_seconds_bucket{le=\"7.776e+06\"} 0" metrics &&
	test_grep "^apiserver_client_certificate_expiration_seconds_count [1-9]" metrics &&
	test_grep "^authenticated_user_requests{username=\"other\"} [1-9]" metrics &&
	test_grep "^authorization_attempts_total{result=\"no-opinion\"} [1-9]" metrics &&
	test_grep "^etcd_request_duration_seconds_count{group=\"\",operation=\"create\",resource=\"configmaps\"} [1-9]" metrics &&
	test_grep "^rest_client_requests_total{code=\"201\",host=\"inside\",method=\"POST\"} [1-9]" metrics &&
	test_grep "^kubernetes_build_info{.*git_version=\"v1.36.2+kinglet1\".*major=\"1\",minor=\"36\"" metrics &&
	for m in process_cpu_seconds_total process_max_fds process_open_fds process_resident_memory_bytes \
		process_start_time_seconds process_virtual_memory_bytes; do
		test_grep "^$m [1-9.0][0-9.e+-]*$" metrics || return 1
	done
'

# Every sample belongs to the family above it, every family stands once, buckets rise to the count.
METRICS_CHECK='
	my (%seen, $family, $type, %last, $eof);
	while (<>) {
		chomp;
		die "after # EOF: $_\n" if $eof;
		if (/^# HELP (\S+) \S/) { die "$1 twice\n" if $seen{$1}++; $family = $1; next }
		if (/^# TYPE (\S+) (counter|gauge|histogram)$/) { die "TYPE $1 without HELP\n" unless $1 eq $family; $type = $2; next }
		if ($_ eq "# EOF") { $eof = 1; next }
		my ($name, $labels, $value) = /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$/ or die "no sample: $_\n";
		my $suffix = $name =~ /^\Q$family\E(.*)/ ? $1 : die "$name is not of $family\n";
		die "$name as a $type\n" unless $type eq "histogram" ? $suffix =~ /^_(bucket|sum|count)$/ : $ENV{OPEN} && $type eq "counter" ? $suffix eq "_total" : $suffix eq "";
		die "value: $_\n" unless $value =~ /^[0-9.e+-]+$/;
		if ($suffix eq "_bucket") { $labels =~ s/,?le="[^"]*"//; die "falls: $_\n" if $value < ($last{$name.$labels} // 0); $last{$name.$labels} = $value }
	}
	die "no # EOF\n" if $ENV{OPEN} && !$eof;
'

test_expect_success 'the text is well formed, in both formats' '
	metrics &&
	perl -e "$METRICS_CHECK" metrics &&
	api -D head -H "Accept: application/openmetrics-text; version=1.0.0; charset=utf-8, text/plain;version=0.0.4;q=0.3" /metrics >open &&
	test_grep -i "^content-type: application/openmetrics-text; version=1.0.0; charset=utf-8" head &&
	OPEN=1 perl -e "$METRICS_CHECK" open &&
	test_grep "^authentication_attempts_total{" open &&
	test_grep "^# TYPE apiserver_request counter$" open &&
	api -D head /metrics >out &&
	test_grep -i "^content-type: text/plain; version=0.0.4; charset=utf-8" head
'

test_expect_success 'what clients write makes no new series' '
	metrics && grep -c "^apiserver_request_total" metrics >before &&
	for i in 1 2 3 4 5 6 7 8; do
		api_code "/api/v1/things$i" >out && api_code "/nowhere$i" >out && api_code -X "VERB$i" "/api/v1/pods" >out &&
		api_code "/apis/g$i.example/v1/x" >out && api_code "/api/v1/namespaces/n$i/pods" >out || return 1
	done &&
	metrics && grep -c "^apiserver_request_total" metrics >after &&
	test $(($(cat after) - $(cat before))) -le 5
'

test_expect_success 'a slow request has one line, which says where the time went' '
	printf "%s" "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"slow\"}}" >body &&
	{ head -c 10 body && sleep 0.3 && tail -c +11 body; } |
		api -X POST -H "Content-Type: application/json" -H "Audit-ID: slow-one" -H "Expect:" -T - \
			/api/v1/namespaces/default/configmaps >out &&
	test_grep "\"name\":\"slow\"" out &&
	wait_for "grep slow-one \"$LOG\"" &&
	grep "slow-one" "$LOG" >got &&
	test_lines 1 got &&
	test_grep "slow request.*audit_id=slow-one.*verb=POST target=\"configmaps default/slow\" user=system:admin status=201 ms=[1-9][0-9][0-9] " got &&
	test_grep " body_ms=[1-9][0-9][0-9] decode_ms=.* admission_ms=.* webhook_ms=0 store_ms=" got &&
	counted "[1-9][0-9]*" kinglet_slow_requests_total
'

test_expect_success 'health checks one by one, left out, and in words' '
	test_equal ok "$(kubectl get --raw /livez/ping)" &&
	test_equal ok "$(kubectl get --raw /readyz/poststarthook/bootstrap-controller)" &&
	kubectl get --raw "/readyz?verbose" >got &&
	test_grep -x "\[+\]ping ok" got &&
	test_grep -x "\[+\]etcd ok" got &&
	test_grep -x "readyz check passed" got &&
	kubectl get --raw "/livez?verbose&exclude=etcd&exclude=nothing" >got &&
	test_grep -x "\[+\]etcd excluded: ok" got &&
	test_grep -x "warn: some health checks cannot be excluded: no matches for \"nothing\"" got &&
	test_grep -x "livez check passed" got &&
	test_equal 404 "$(api_code /healthz/nothing)"
'

test_done
