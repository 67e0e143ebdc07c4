#!/bin/sh
# test.sh: installs what the tests need and runs every test. Ends with prove's
# summary.
#
#	sudo scripts/test.sh          all: other compilers, sanitizers, fuzzers, distribution, then the suite
#	sudo scripts/test.sh quick    only the suite (make check)
#
# Build directories: build-test, build-clang, build-san, beside the sources.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
jobs=$(nproc)
began=$(date +%s)
step() { printf '\n== %s (after %d s)\n' "$1" $(($(date +%s) - began)); }
die() {
	printf 'test.sh: %s failed\n' "$1" >&2
	[ -z "${2:-}" ] || { grep -E 'error|warning|\*\*\*|not ok' "$2" | head -n 20; tail -n 15 "$2"; } >&2
	exit 1
}
[ "$(id -u)" = 0 ] || { echo "test.sh: must be root (sudo scripts/test.sh)" >&2; exit 1; }
cd "$top" || exit 1

step "packages"
scripts/install-deps test || exit 1

tree() { # DIR TARGETS CONFIGURE-OPTIONS...: configures and builds there
	dir=$1 targets=$2
	shift 2
	mkdir -p "$dir"
	if [ ! -f "$dir/Makefile" ]; then
		(cd "$dir" && "$top/configure" "$@") >"$dir/configure.log" 2>&1 || die "configure in $dir" "$dir/configure.log"
	fi
	make -C "$dir" -j "$jobs" $targets >"$dir/make.log" 2>&1 || die "the build in $dir" "$dir/make.log"
	! grep -E '(: warning: |: error: )' "$dir/make.log" || die "the build in $dir: it warned" "$dir/make.log"
}

[ -x configure ] || ./autogen.sh >autogen.log 2>&1 || die "autogen.sh" autogen.log
step "the build with gcc"
tree build-test check-programs CFLAGS="-g -O2"

if [ "${1:-}" != quick ]; then
	step "the build with clang"
	tree build-clang check-programs CC=clang CFLAGS="-g -O0"

	step "the unit tests, the saved fuzz inputs and a pod's life under the sanitizers"
	tree build-san check-programs --enable-sanitizers CFLAGS="-g -O1"
	make -C build-san check T=unit TEST_SLOW=4 >build-san/check.log 2>&1 &&
		make -C build-san check T='0010* 3000* 5000* 6010*' TEST_SLOW=4 >>build-san/check.log 2>&1 ||
		die "the tests under the sanitizers" build-san/check.log
	grep -E '^(Files|Result)' build-san/check.log

	step "the fuzzers, a few seconds each"
	scripts/fuzz "${FUZZ_SECONDS:-4}" >build-test/fuzz.log 2>&1 || die "a fuzzer" build-test/fuzz.log
	tail -n 1 build-test/fuzz.log

	step "the distribution: unpacked, built and installed elsewhere"
	make -C build-test -j "$jobs" distcheck CHECK_QUICK=1 CRASH_ROUNDS=20 DISTCHECK_CONFIGURE_FLAGS="CFLAGS=-O0" >build-test/distcheck.log 2>&1 ||
		die "make distcheck" build-test/distcheck.log
	rm -f build-test/kinglet-*.tar.*
fi

step "the suite"
exec make -C build-test -s check
