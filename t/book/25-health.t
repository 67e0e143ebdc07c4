#!/bin/sh
# The book on keeping pods healthy: a container that runs but does not answer is restarted; probes of three kinds.
. "${srcdir:-.}/t/book/lib.sh"
start_book kubia unhealthy

# The manifests' initialDelaySeconds of 15 and the usual period of 10 s would take a minute.
soon()
{
	sed "s/initialDelaySeconds: 15/initialDelaySeconds: 0\n        periodSeconds: 1/"
}

restarted() # POD
{
	wait_for "test \"\$(field pod/$1 '.status.containerStatuses[0].restartCount')\" -ge 1"
}

test_expect_success 'the probe as the book has it, and what is filled in' '
	create pod-liveness &&
	ready pod/kubia-liveness &&
	kubectl describe pod kubia-liveness >got &&
	test_grep "Liveness:  *http-get http://:8080/ delay=15s timeout=1s period=10s #success=1 #failure=3" got
'

test_expect_success 'an application that answers is left alone' '
	manifest pod-liveness | soon | sed "s/name: kubia-liveness/name: well/" | kubectl create -f - &&
	ready pod/well &&
	wait_for "test \$(kubectl logs well | grep -c \"Received request\") -ge 3" &&
	test_equal 0 "$(field pod/well ".status.containerStatuses[0].restartCount")"
'

test_expect_success 'one that fails from the sixth request on is restarted, and why is told' '
	manifest pod-liveness | soon | sed "s/name: kubia-liveness/name: ill/; s|image: .*|image: luksa/kubia-unhealthy|" | kubectl create -f - &&
	restarted ill &&
	wait_for "kubectl describe po ill >got && grep \"failed liveness probe\" got" &&
	test_grep "Last State:  *Terminated" got &&
	test_grep "Exit Code:  *143" got && # the book: 137, for node does not end at SIGTERM
	test_grep "Warning  *Unhealthy .*Liveness probe failed: HTTP probe failed with statuscode: 500" got &&
	test_grep "Normal  *Killing .*Container kubia failed liveness probe, will be restarted" got &&
	kubectl get po ill >got &&
	test_grep "^ill .* [1-9][0-9]* (.* ago)" got
'

test_expect_success 'kubectl logs --previous: of the container before' '
	kubectl logs ill --previous >got &&
	test_equal "Kubia server starting..." "$(head -n 1 got)" &&
	test "$(grep -c "Received request" got)" -ge 8 && # five that were answered, three that failed
	refused "previous terminated container \"kubia\" in pod \"well\" not found" kubectl logs well --previous
'

test_expect_success 'the restart is of the container: the pod stays, with its address' '
	uid=$(field pod/ill .metadata.uid) ip=$(field pod/ill .status.podIP) &&
	count=$(field pod/ill ".status.containerStatuses[0].restartCount") &&
	wait_for -t 40 "test \"\$(field pod/ill \".status.containerStatuses[0].restartCount\")\" -gt $count" &&
	test_equal "$uid $ip" "$(field pod/ill ".metadata.uid} {.status.podIP")"
'

test_expect_success 'a probe by TCP: nobody listens, and it is restarted' '
	manifest pod-liveness | soon | sed "s/name: kubia-liveness/name: tcp/; s/httpGet:/tcpSocket:/; /path:/d; s/port: 8080/port: 8081/" >tcp.yaml &&
	kubectl create -f tcp.yaml &&
	restarted tcp &&
	wait_for "events tcp | grep \"^Warning Unhealthy Liveness probe failed: dial tcp .*:8081: connect: connection refused\"" &&
	sed "s/name: tcp/name: tcp-well/; s/8081/8080/" tcp.yaml | kubectl create -f - &&
	ready pod/tcp-well
'

test_expect_success 'a probe by a command: a status other than 0, and it is restarted' '
	manifest pod-liveness | soon | sed "s/name: kubia-liveness/name: cmd/; s|httpGet:|exec:|; s|path: /|command: [ls, /tmp/alive]|; /port:/d" |
		kubectl create -f - &&
	restarted cmd &&
	wait_for "events cmd | grep \"^Warning Unhealthy Liveness probe failed: ls: /tmp/alive: No such file or directory\"" &&
	test_equal 0 "$(field pod/tcp-well ".status.containerStatuses[0].restartCount")" &&
	test_equal 0 "$(field pod/kubia-liveness ".status.containerStatuses[0].restartCount")"
'

test_expect_success 'a container that ends by itself is restarted without any probe' '
	kubectl run once --image=zou8944/kubia --command -- sh -c "echo here; exit 3" &&
	restarted once &&
	test_equal 3 "$(field pod/once ".status.containerStatuses[0].lastState.terminated.exitCode")"
'

end_book
