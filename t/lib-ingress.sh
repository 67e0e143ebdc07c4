# For the tests of the ingress: endpoints are small servers of this machine on
# addresses of their own, which Services get by hand-made EndpointSlices.

backends_up()
{
	ip link add up0 type veth peer name up1 && ip addr add 192.0.2.1/24 dev up0 && ip link set up0 up &&
	for a in 11 12 13 99; do ip addr add 192.0.2.$a/32 dev up0 || return 1; done &&
	ip link set up1 up && ip route add default via 192.0.2.2 || return 1
	python3 "$srcdir/t/helper/ingress-backend.py" 127.0.0.1:8080 192.0.2.11:8080 192.0.2.12:8080 192.0.2.13:8080 &
	backends=$!
	wait_for "curl -sS http://192.0.2.13:8080/"
}

backends_down()
{
	kill $backends
	wait $backends 2>/dev/null
	ip link del up0
}

# slice SERVICE ENDPOINT...: in YAML
slice()
{
	slice_of=$1 && shift &&
	{
		echo "apiVersion: discovery.k8s.io/v1"
		echo "kind: EndpointSlice"
		echo "metadata: {name: $slice_of-1, labels: {kubernetes.io/service-name: $slice_of}}"
		echo "addressType: IPv4"
		echo "ports: [{name: http, port: 8080, protocol: TCP}]"
		echo "endpoints:"
		for e; do echo "- $e"; done
		[ $# != 0 ] || echo "  []"
	} | kubectl apply -f -
}

# service NAME ADDRESS...: port 80, named http
service()
{
	service_of=$1 && shift &&
	kubectl apply -f - <<-EOC &&
	apiVersion: v1
	kind: Service
	metadata: {name: $service_of}
	spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
	EOC
	slice "$service_of" $(for a; do echo "{\"addresses\":[\"$a\"]}"; done)
}

# ingress NAME ANNOTATION RULES [DEFAULT-SERVICE] [CLASS]
ingress()
{
	{
		echo "apiVersion: networking.k8s.io/v1"
		echo "kind: Ingress"
		echo "metadata:"
		echo "  name: $1"
		[ -z "$2" ] || echo "  annotations: {$2}"
		echo "spec:"
		[ -z "$5" ] || echo "  ingressClassName: $5"
		[ -z "$4" ] || echo "  defaultBackend: {service: {name: $4, port: {number: 80}}}"
		[ -z "$3" ] || echo "  rules:$3"
	} | kubectl apply -f -
}

name_of() # URL: its host
{
	expr "$1" : "[a-z]*://\([^/:]*\)"
}

# get [OPTION...] URL: the body, from the ingress of this machine whatever the name
get()
{
	for url; do :; done
	curl -sS --max-time 10 --connect-to "::127.0.0.1:" "$@"
}

status()
{
	get -o /dev/null -w "%{http_code}" "$@"
}
