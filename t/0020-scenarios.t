#!/bin/sh
# The scenarios' own machinery: what does not come to be is a failure, which says
# what was there instead; templates, rows, time.
: "${KINGLET_BUILD:=$PWD}"
dir=$(mktemp -d "${TMPDIR:-/tmp}/scenarios.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 failed=0

is() # WHAT COMMAND...: it succeeds
{
	n=$((n + 1))
	what=$1
	shift
	if "$@"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$dir/out"
		failed=1
	fi
}

has() # TEXT
{
	grep -q -F -e "$1" "$dir/out"
}

cat >"$dir/a.sim" <<'END'
template map name=m value=none
	apiVersion: v1
	kind: ConfigMap
	metadata: {name: ${name}}
	data: {k: "${value}"}

scenario ${n} and ${n+1}: goes well
each n 1 2
apply map value=${n}
expect configmap/m .data.k ${n*10-n/9} for 2h

scenario an object that is not there
expect configmap/none there

scenario another value, seen after a day
rows a b
	x z
apply map value=${a}
after 23h
until 2026-01-02T00:00:00Z
expect configmap/m .data.k ${b}

scenario not for long
apply map value=${a}

scenario it does not stay so
apply
	apiVersion: v1
	kind: Pod
	metadata: {name: p, annotations: {simulate.kinglet.io/run-for: 5s, simulate.kinglet.io/exit-code: "3"}}
	spec: {restartPolicy: Never, containers: [{name: c, image: i}]}
expect pods all running 1 for 4s
expect pods all running 1 for 4s

scenario what is repeated
apply map value=one
repeat 3 every 10s patch configmap/m {data: {k: "v${i}"}}
expect configmap/m .data.k v1 within 1s

scenario refused when it is not expected
create map
create map

scenario not refused when it is
create map refused "already exists"

scenario a limit is passed
never more than 1 pods app=x
apply
	apiVersion: apps/v1
	kind: ReplicaSet
	metadata: {name: x}
	spec: {replicas: 2, selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: i}]}}}
after 1s

scenario no such step
jumble

scenario an event that never was
expect event Nothing within 5s
END
"$KINGLET_BUILD/t/sim/run" "$dir/a.sim" >"$dir/out"
status=$?
is 'failures make it fail' test $status -ne 0
is 'rows, a name that is computed' has 'ok 2 - 2 and 3: goes well'
is 'what is well and nothing else' test "$(grep -c '^ok' "$dir/out")" = 2
is 'an object that is missing' has '# after 10.001 s: there was instead: it is not there'
is 'the value that is there, and when' has '# after 86409.999 s: there was instead: .data.k x'
is 'a variable that is not known' has 'there is no "a"'
is 'what does not stay' has '# after 5.001 s: it did not stay so: running 0'
is 'what is there after a repetition' has '# after 31.001 s: there was instead: .data.k v2'
is 'an unexpected refusal' has 'refused: configmaps "m" already exists'
is 'a refusal that does not come' has 'it was not refused'
is 'a limit' has 'never more than 1 pods app=x: there were 2'
is 'a step that is none' has 'there is no step "jumble"'
is 'an event' has 'there was instead: 0 times'
is 'the plan' has '1..12'
echo "1..$n"
exit $failed
