#!/bin/sh
# kill -9 at any moment loses no acknowledged write.
rounds=${CRASH_ROUNDS:-300}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
echo 1..1
if out=$("$KINGLET_BUILD/t/helper/test-tool" store-crash "$dir/state.db" "$rounds" "$$" 2>&1); then
	echo "ok 1 - $rounds times killed in the middle of writes: $out"
else
	echo "not ok 1 - $rounds times killed in the middle of writes"
	printf '%s\n' "$out" | sed 's/^/# /'
	exit 1
fi
