#!/bin/sh
# bench/process.sh SECONDS PID...: what processes hold and use while idle, summed:
# resident and proportional memory, CPU in per cent of one core, bytes written to
# disk in that time. Works for any program (name all processes of a k3s, say).
set -eu
seconds=$1
shift
ticks() { for p in "$@"; do awk '{ print $14 + $15 }' "/proc/$p/stat"; done | awk '{ n += $1 } END { print n }'; }
written() { for p in "$@"; do awk '/^write_bytes/ { print $2 }' "/proc/$p/io"; done | awk '{ n += $1 } END { print n }'; }
memory() { for p in "$@"; do awk -v k="$kind:" '$1 == k { print $2 }' "/proc/$p/smaps_rollup"; done | awk '{ n += $1 } END { print n }'; }
hz=$(getconf CLK_TCK)
t0=$(ticks "$@") w0=$(written "$@")
sleep "$seconds"
t1=$(ticks "$@") w1=$(written "$@")
kind=Rss
printf '%-32s %14s kB\n' resident "$(memory "$@")"
kind=Pss
printf '%-32s %14s kB\n' proportional "$(memory "$@")"
awk -v t="$((t1 - t0))" -v hz="$hz" -v s="$seconds" 'BEGIN { printf "%-32s %14.3f %% of a core\n", "cpu", 100 * t / hz / s }'
printf '%-32s %14s B in %s s\n' written "$((w1 - w0))" "$seconds"
