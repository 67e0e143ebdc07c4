# For tests of the scheduler: nodes that are only objects, and pods that no agent
# will ever start. To be sourced after t/lib.sh.

# An option for the server: nodes need not say again and again that they are well.
nodes_stay=--kube-controller-manager-arg=node-monitor-grace-period=1h

node() # NAME CPU MEMORY PODS [LABELS-AS-YAML]
{
	kubectl apply -f - >/dev/null <<-EOF &&
	apiVersion: v1
	kind: Node
	metadata: {name: $1, labels: {kubernetes.io/hostname: $1${5:+, $5}}}
	EOF
	kubectl patch node "$1" --subresource=status --type=merge -p "{\"status\":{
		\"allocatable\":{\"cpu\":\"$2\",\"memory\":\"$3\",\"pods\":\"$4\"},
		\"capacity\":{\"cpu\":\"$2\",\"memory\":\"$3\",\"pods\":\"$4\"},
		\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\"}]}}" >/dev/null
}

pod() # NAME SPEC-MEMBERS-AS-YAML [CONTAINER-MEMBERS [LABELS]]
{
	kubectl create -f - >/dev/null <<-EOF
	apiVersion: v1
	kind: Pod
	metadata: {name: $1, labels: {${4:-}}}
	spec: {${2:+$2, }containers: [{name: c, image: i${3:+, $3}}]}
	EOF
}

where() { kubectl get pod "$1" -o jsonpath='{.spec.nodeName}'; }
lands_on() { wait_for "test \"\$(where $1)\" = $2"; }
said() { kubectl get pod "$says_pod" -o jsonpath='{.status.conditions[?(@.type=="PodScheduled")].message}' | grep -qF "$says_text"; }
says() # POD TEXT: of its condition PodScheduled
{
	says_pod=$1 says_text=$2
	wait_for said
}
