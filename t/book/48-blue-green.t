#!/bin/sh
# The book on a release by two ReplicationControllers: the Service's selector is turned from one to the other, and
# no request fails meanwhile.
. "${srcdir:-.}/t/book/lib.sh"
start_book v1 v2

version() # N: a ReplicationController of that version
{
	cat <<-EOF
	apiVersion: v1
	kind: ReplicationController
	metadata: {name: kubia-v$1}
	spec:
	  replicas: 3
	  template:
	    metadata: {labels: {app: kubia, version: v$1}}
	    spec:
	      terminationGracePeriodSeconds: 1
	      containers: [{name: nodejs, image: "zou8944/kubia:v$1"}]
	EOF
}

test_expect_success 'blue: version 1, and a Service that leads there' '
	version 1 >rc && kubectl create -f rc &&
	have rc/kubia-v1 .status.readyReplicas 3 &&
	kubectl expose rc kubia-v1 --name=kubia --port=80 --target-port=8080 --selector=app=kubia,version=v1 &&
	ip=$(field svc/kubia .spec.clusterIP) &&
	wait_for "ask http://$ip >got && grep \"This is v1 running in pod kubia-v1-\" got"
'

test_expect_success 'green beside it: nobody is sent there yet' '
	version 2 >rc && kubectl create -f rc &&
	have rc/kubia-v2 .status.readyReplicas 3 &&
	for i in $(seq 20); do ask http://$ip || return 1; done >got &&
	test_equal 20 "$(grep -c "This is v1" got)"
'

test_expect_success 'the selector is turned: all go to version 2, and none is lost' '
	{ while [ ! -e turned ]; do curl -sS --max-time 5 http://$ip || echo failed; done >all 2>&1 & } && load=$! &&
	wait_for "grep v1 all" &&
	kubectl set selector svc kubia app=kubia,version=v2 &&
	wait_for "grep \"This is v2 running in pod kubia-v2-\" all" &&
	for i in $(seq 20); do ask http://$ip || return 1; done >got &&
	test_equal 20 "$(grep -c "This is v2" got)" &&
	kubectl delete rc kubia-v1 && wait_for "test 3 = \"\$(count po -l app=kubia)\"" &&
	: >turned && wait $load &&
	test_must_fail grep -i "failed\|curl" all
'

end_book
