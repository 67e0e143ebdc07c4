#!/bin/sh
# The tree keeps to its own rules: who may include whom, headers that stand
# alone, functions and files of a readable size, man pages that are true.
: "${srcdir:=.}"
export srcdir
[ -z "$KINGLET_BUILD" ] || { srcdir=$(realpath "$srcdir"); cd "$KINGLET_BUILD" || exit 1; }
n=0 failed=0

check() {
	n=$((n + 1))
	if out=$("$srcdir/scripts/$1" 2>&1); then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		echo "$out" | sed 's/^/# /'
		failed=1
	fi
}

check check-layers "includes follow src/LAYERS"
check check-headers "every header compiles alone"
check check-docs "the man pages have every option of --help, and no other"
check check-sizes "no function is over 120 lines, no file over 1500"
echo "1..$n"
exit $failed
