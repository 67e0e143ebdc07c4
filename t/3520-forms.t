#!/bin/sh
# The forms of an answer: what Accept chooses, YAML, Tables and metadata alone in
# both their versions, indented for people, gzip; and for how long documents about
# the API may be kept. No node is needed.
. "${srcdir:-.}/t/lib.sh"
test_needs kubectl curl jq python3 gzip

cm=/api/v1/namespaces/default/configmaps
json="Content-Type: application/json"
table="application/json;as=Table;g=meta.k8s.io"
partial="application/json;as=PartialObjectMetadata;g=meta.k8s.io"

test_expect_success 'start the server' '
	start_server --disable-agent &&
	wait_for "test 200 = \$(api_code /api/v1/namespaces/default)" &&
	test_equal 201 "$(api_code -X POST -H "$json" -d "{\"metadata\":{\"name\":\"one\"},\"data\":{\"k\":\"a \\\"b\\\" {c: [d]}\",\"l\":\"\"}}" $cm)"
'

# type_of ACCEPT PATH: the answer's code, media type, kind and apiVersion
type_of()
{
	type_code=$(api -o answer -w "%{http_code} %{content_type}" -H "Accept: $1" "$2")
	case $type_code in
	*yaml*) echo "$type_code $(sed -n "s/^kind: //p" answer) $(sed -n "s/^apiVersion: //p" answer)" ;;
	*) echo "$type_code $(jq -r '.kind + " " + .apiVersion' answer)" ;;
	esac
}

test_expect_success 'of several forms the first of the highest q wins that can be served' '
	j="200 application/json" y="200 application/yaml" &&
	while IFS="|" read -r accept want; do
		eval "want=\"$want\"" &&
		test_equal "$want" "$(type_of "$accept" $cm/one)" || { echo "of $accept"; return 1; }
	done <<-"END" &&
	*/*|$j ConfigMap v1
	application/*|$j ConfigMap v1
	Application/JSON|$j ConfigMap v1
	application/yaml|$y ConfigMap v1
	application/yaml;q=0.5, application/json;q=0.6|$j ConfigMap v1
	application/json;q=0.5, application/yaml|$y ConfigMap v1
	*/*, application/yaml|$y ConfigMap v1
	application/vnd.kubernetes.protobuf, application/json|$j ConfigMap v1
	application/cbor, application/json;q=0.1|$j ConfigMap v1
	application/vnd.kubernetes.protobuf|406 application/json Status v1
	application/cbor|406 application/json Status v1
	text/html|406 application/json Status v1
	application/json;q=0|406 application/json Status v1
	application/json;as=Table;v=v1;g=meta.k8s.io, application/json|$j Table meta.k8s.io/v1
	application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json|$j Table meta.k8s.io/v1beta1
	application/json;as=Table;v=v9;g=meta.k8s.io, application/json|$j ConfigMap v1
	application/json;as=Table;v=v9;g=meta.k8s.io|406 application/json Status v1
	application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io|$j PartialObjectMetadata meta.k8s.io/v1beta1
	application/yaml;as=PartialObjectMetadata;v=v1;g=meta.k8s.io|$y PartialObjectMetadata meta.k8s.io/v1
	END
	for v in v1 v1beta1; do
		test_equal "200 application/json PartialObjectMetadataList meta.k8s.io/$v" \
			"$(type_of "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=$v" $cm)" &&
		test_equal "PartialObjectMetadata meta.k8s.io/$v null" \
			"$(jq -r ".items[0]|.kind + \" \" + .apiVersion + \" \" + (.data|tostring)" answer)" &&
		test_equal "200 application/json Table meta.k8s.io/$v" "$(type_of "$table;v=$v" $cm)" &&
		test_equal "meta.k8s.io/$v" "$(jq -r ".rows[0].object.apiVersion" answer)" || return 1
	done &&
	test_equal "406 application/json Status v1" "$(type_of application/yaml "$cm?watch=1")" &&
	test_equal "only the following media types are accepted: application/json;stream=watch" "$(jq -r .message answer)" &&
	test_equal "200 application/json" "$(type_of "application/json;stream=watch" "$cm?watch=1&timeoutSeconds=1&resourceVersion=0" | head -1 | cut -d" " -f1,2)" &&
	test_equal "406 application/json Status v1" "$(type_of "$(head -c 7000 /dev/zero | tr "\0" ,)" $cm)" &&
	server_lives
'

test_expect_success 'YAML says the same as JSON' '
	api -H "Accept: application/yaml" $cm/one >yaml &&
	test_equal 201 "$(sed "s/name: one/name: two/;/uid:\|resourceVersion:\|creationTimestamp:/d" yaml >two &&
		api_code -X POST -H "Content-Type: application/yaml" --data-binary @two $cm)" &&
	api $cm/one | jq -S .data >want && api $cm/two | jq -S .data >got && test_cmp want got
'

test_expect_success 'JSON is indented for people, and for who asks' '
	api -A kubectl/v1.36 $cm/one >plain &&
	test_equal 1 "$(wc -l <plain | tr -d " ")" &&
	jq . plain >want &&
	for agent in curl/8.0 Wget/1.21 "Mozilla/5.0 (X11)"; do
		api -A "$agent" $cm/one >got && test_cmp want got &&
		api -A "$agent" "$cm/one?pretty=false" >got && test_cmp plain got || return 1
	done &&
	for query in pretty=true pretty=1; do
		api "$cm/one?$query" >got && test_cmp want got || return 1
	done &&
	api -H "Accept: application/json;pretty=1" $cm/one >got && test_cmp want got &&
	api "$cm/none?pretty=1" >got && jq . got >want && test_cmp want got &&
	api "$cm?pretty=1" >got && jq . got >want && test_cmp want got &&
	for path in /api /apis /api/v1; do
		api "$path?pretty=1" >got && jq . got >want && test_cmp want got || return 1
	done
'

test_expect_success 'make a list of three megabytes' '
	python3 - >big.json <<-"END" &&
	import json
	items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big-%d" % i, "labels": {"big": "y"}},
	          "data": {"k": "0123456789 \"\\" * 4000}} for i in range(60)]
	print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
	END
	kubectl create -f big.json >/dev/null
'

# as_sent [OPTION...] PATH: the answer as it came, in got; its head in head
as_sent()
{
	api -D head -o got "$@" && tr -d "\r" <head >head.txt
}

test_expect_success 'gzip of what is large, when asked' '
	as_sent "$cm?labelSelector=big" && cp got want &&
	test_must_fail grep -i "^content-encoding" head.txt &&
	as_sent -H "Accept-Encoding: gzip" "$cm?labelSelector=big" &&
	test_grep "^Content-Encoding: gzip" head.txt && test_grep "^Vary: Accept-Encoding" head.txt &&
	test "$(wc -c <got)" -lt "$(($(wc -c <want) / 10))" &&
	gzip -dc <got >plain && test_cmp want plain &&
	as_sent -H "Accept-Encoding: br, gzip;q=0.5" "$cm?labelSelector=big&pretty=1" && gzip -dc <got >plain &&
	jq . want >indented && test_cmp indented plain &&
	as_sent "$cm?labelSelector=big&pretty=1" && test_cmp indented got &&
	as_sent -H "Accept-Encoding: gzip" -H "Accept: application/yaml" "$cm?labelSelector=big" &&
	test_grep "^Content-Encoding: gzip" head.txt && gzip -dc <got | grep -c "^- " >count && test_equal 60 "$(cat count)" &&
	as_sent -H "Accept-Encoding: gzip" -H "Accept: $partial;v=v1" "$cm?labelSelector=big" && gzip -dcf <got | jq -e .items >/dev/null &&
	for refused in "gzip;q=0" identity br; do
		as_sent -H "Accept-Encoding: $refused" "$cm?labelSelector=big" && test_cmp want got || return 1
	done &&
	as_sent -H "Accept-Encoding: gzip" $cm/big-1 && jq -e .data got >/dev/null &&
	as_sent -H "Accept-Encoding: gzip" "$cm?labelSelector=big&watch=1&resourceVersion=0&timeoutSeconds=1" &&
	test_equal 60 "$(jq -c "select(.type==\"ADDED\").type" got | wc -l | tr -d " ")"
'

test_expect_success 'a client that stops reading a compressed list holds up nobody' '
	cat >stall.py <<-"END" &&
	import socket, ssl, sys, time
	c = ssl._create_unverified_context()
	c.load_cert_chain(sys.argv[1] + "/server/tls/admin.crt", sys.argv[1] + "/server/tls/admin.key")
	held = []
	for i in range(70):
	    s = c.wrap_socket(socket.create_connection(("127.0.0.1", 6443), 10))
	    s.sendall(b"GET /api/v1/configmaps?labelSelector=big&pretty=1 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
	    held.append(s)
	print(sum(b" 200 " in s.recv(40) for s in held))
	END
	timeout 60 python3 stall.py "$DATA" >got && test_equal 70 "$(cat got)" &&
	as_sent -H "Accept-Encoding: gzip" "$cm?labelSelector=big" && test_grep "^Content-Encoding: gzip" head.txt &&
	server_lives
'

test_expect_success 'HEAD is GET without a body, and no watch' '
	api -I $cm/one >head && test_grep "^HTTP/1.1 200" head &&
	test_equal "$(api $cm/one | wc -c | tr -d " ")" "$(tr -d "\r" <head | sed -n "s/^[Cc]ontent-[Ll]ength: //p")" &&
	api -I "$cm?labelSelector=big" >head && test_grep "^HTTP/1.1 200" head &&
	api -I $cm/none >head && test_grep "^HTTP/1.1 404" head &&
	api -I "$cm?watch=1" >head && test_grep "^HTTP/1.1 405" head
'

v2="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

test_expect_success 'discovery has a name for its content, and 304 for who has it' '
	for path in /api /apis; do
		as_sent -H "Accept: $v2,application/json" $path && test_grep "^Vary: Accept" head.txt &&
		test_grep "^Content-Type: $v2" head.txt &&
		etag=$(sed -n "s/^ETag: //p" head.txt) && test_grep "^\"[0-9A-F]*\"$" - <<-END &&
		$etag
		END
		test_equal 304 "$(api_code -H "Accept: $v2" -H "If-None-Match: $etag" $path)" &&
		test_equal 200 "$(api_code -H "Accept: $v2" -H "If-None-Match: \"x\"" $path)" || return 1
	done
'

test_expect_success 'an OpenAPI document asked for by its hash may be kept for ever' '
	as_sent /openapi/v3 && etag=$(sed -n "s/^ETag: //p" head.txt) &&
	test_equal 304 "$(api_code -H "If-None-Match: $etag" /openapi/v3)" &&
	path=$(jq -r ".paths[\"api/v1\"].serverRelativeURL" got) &&
	as_sent "$path" && test_grep "^HTTP/1.1 200" head.txt && test_grep "^Cache-Control: public, immutable" head.txt &&
	test_grep "^Expires: .* GMT" head.txt && jq -e ".components.schemas" got >/dev/null &&
	etag=$(sed -n "s/^ETag: //p" head.txt) && test_equal "${path##*=}" "$(echo "$etag" | tr -d \")" &&
	test_equal 304 "$(api_code -H "If-None-Match: $etag" "$path")" &&
	as_sent "/openapi/v3/api/v1?hash=OLD" && test_grep "^HTTP/1.1 301" head.txt &&
	test_grep -F "Location: $path" head.txt &&
	as_sent /openapi/v3/api/v1 && test_must_fail grep immutable head.txt &&
	as_sent -H "Accept-Encoding: gzip" "$path" && test_grep "^Content-Encoding: gzip" head.txt &&
	gzip -dc <got | jq -e ".components.schemas" >/dev/null &&
	as_sent -H "Accept: application/json" -H "Accept-Encoding: gzip" /openapi/v2 && gzip -dc <got | jq -e .definitions >/dev/null &&
	test_equal 404 "$(api_code "/openapi/v3/apis/none/v1?hash=X")"
'

test_done
