#!/bin/sh
# The book on Services that lead out of the cluster: one without selector, and its endpoints by hand.
. "${srcdir:-.}/t/book/lib.sh"
test_needs ip nsenter
start_lan
start_book curl

test_expect_success 'somebody there, at 1.1.1.1 and 2.2.2.2' '
	for a in 1.1.1.1 2.2.2.2; do
		outside ip address add $a/32 dev lo && ip route add $a via 192.0.2.2 || return 1
	done &&
	mkdir -p one two && echo "this is 1.1.1.1" >one/index.html && echo "this is 2.2.2.2" >two/index.html &&
	{ outside_bg busybox httpd -f -p 1.1.1.1:80 -h one & } && one=$! &&
	{ outside_bg busybox httpd -f -p 2.2.2.2:80 -h two & } && two=$! &&
	test_equal "this is 1.1.1.1" "$(ask http://1.1.1.1/)"
'

test_expect_success 'a Service without selector has no endpoints' '
	create service-external &&
	kubectl run curl --image=tutum/curl --command -- sleep 9999999 && ready pod/curl &&
	test_must_fail kubectl get endpoints external-service &&
	wait_for "curl -sS --max-time 2 http://$(field svc/external-service .spec.clusterIP)/; test \$? = 7"
'

test_expect_success 'with them it leads there, from pods and by its name' '
	create endpoints &&
	kubectl get endpoints external-service >got && test_grep "1.1.1.1:80,2.2.2.2:80" got &&
	wait_for "for i in \$(seq 20); do kubectl exec curl -- curl -sS --max-time 3 http://external-service; done | sort -u >got && test_lines 2 got" &&
	test_grep "this is 1.1.1.1" got && test_grep "this is 2.2.2.2" got
'

test_expect_success 'one is taken out: it is asked no more' '
	kubectl patch endpoints external-service -p "{\"subsets\":[{\"addresses\":[{\"ip\":\"2.2.2.2\"}],\"ports\":[{\"port\":80}]}]}" &&
	wait_for "for i in \$(seq 12); do kubectl exec curl -- curl -sS --max-time 3 http://external-service; done | sort -u >got && test_lines 1 got && grep 2.2.2.2 got"
'

test_expect_success 'a name for somebody outside: ExternalName' '
	kubectl create service externalname api --external-name=kubia.example.com &&
	kubectl exec curl -- nslookup -type=cname api.default.svc.cluster.local >got && test_grep "kubia.example.com" got
'

test_expect_success 'outside ends' '
	kill $one $two && { wait $one $two || :; } && end_lan
'

end_book
