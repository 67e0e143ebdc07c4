#!/bin/sh
# bench/containers.sh [COUNT]: a container's time from request to exit, kinglet's runtime beside Debian's crun, runc
# and podman, in turn on one root file system (busybox), one command (/bin/true), one run. What is installed of
# the three takes part; CRUN, RUNC, PODMAN name others. Needs root, busybox-static and `make bench`.
#
# The others get what kinglet's container has: their own default bundle (all namespaces, default capabilities); the
# network namespace is new and empty with all. They share the root (kinglet puts an overlay on it). On a machine
# whose cgroup controllers are not on version 2, crun and podman are told to do without cgroups, which only helps them.
set -eu
count=${1:-50}
here=$(dirname "$(readlink -f "$0")")
: "${CRUN=$(command -v crun || :)}" "${RUNC=$(command -v runc || :)}" "${PODMAN=$(command -v podman || :)}" "${RUN:=$here/run}"
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 1; }
dir=$(mktemp -d /var/tmp/bench-run.XXXXXX)
clean_up()
{
	grep -o " $dir/podman[^ ]*" /proc/self/mounts | sort -r | xargs -r umount 2>/dev/null || :
	"$here/../kinglet" killall --data-dir "$dir" --cgroup kinglet-bench >/dev/null || :
	rm -rf "$dir"
}
trap clean_up EXIT
trap "exit 1" HUP INT TERM
mkdir -p "$dir/root/bin" "$dir/root/proc" "$dir/root/dev" "$dir/root/sys" "$dir/root/etc" "$dir/root/run"
cp /bin/busybox "$dir/root/bin/busybox"
ln -s busybox "$dir/root/bin/true"
ln -s busybox "$dir/root/bin/sh"

controllers=
grep -qs cpu /sys/fs/cgroup/cgroup.controllers || controllers=none
bundle() # PROGRAM: its own default configuration, for /bin/true without a terminal
{
	mkdir -p "$dir/$(basename "$1")" && cd "$dir/$(basename "$1")" && rm -f config.json &&
	"$1" spec >/dev/null &&
	python3 -c "
import json
c = json.load(open('config.json'))
c['process'].update(args=['/bin/true'], terminal=False)
c['root'].update(path='$dir/root', readonly=False)
json.dump(c, open('config.json', 'w'))"
	cd "$OLDPWD"
}

# Those that do not work on this machine are left out.
add() # NAME COMMAND
{
	if timeout -k 1 20 sh -c "$2" >"$dir/out" 2>&1 </dev/null; then
		commands="$commands${commands:+
}$1=$2"
	else
		echo "$1 does not run here: $(tail -1 "$dir/out")" >&2
	fi
}

commands=
if [ -n "$CRUN" ]; then
	bundle "$CRUN"
	add "$("$CRUN" --version | head -1)" "$CRUN --root $dir/crun.run ${controllers:+--cgroup-manager=disabled} run -b $dir/$(basename "$CRUN") b\$\$"
fi
if [ -n "$RUNC" ]; then
	bundle "$RUNC"
	add "$("$RUNC" --version | head -1)" "$RUNC --root $dir/runc.run run -b $dir/$(basename "$RUNC") b\$\$"
fi
if [ -n "$PODMAN" ]; then
	add "$("$PODMAN" --version | head -1)" "$PODMAN --root $dir/podman --runroot $dir/podman.run \
		${controllers:+--cgroup-manager=cgroupfs} ${CRUN:+--runtime $CRUN} run --rm --log-driver=none --network=none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
		${controllers:+--cgroups=disabled} --rootfs $dir/root /bin/true"
fi
IFS='
'
# shellcheck disable=SC2086 # one argument a line
"$RUN" "$dir" "$count" $commands
