#!/bin/sh
# CPU, memory and process limits, QoS classes, OOM kills, project quotas: on Debian's own kernel
# with cgroup v2, in a small virtual machine, because the machine that runs the
# tests may have no such controllers.
srcdir=${srcdir:-.}
image=$KINGLET_BUILD/t/vm-demo.tar
for tool in qemu-system-x86_64 busybox cpio mkfs.ext4 debugfs lsattr modprobe jq curl; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }
done
[ "$(id -u)" = 0 ] && [ "$(uname -m)" = x86_64 ] || { echo "1..0 # SKIP needs root on x86-64"; exit 0; }
sh "$srcdir/scripts/make-demo-image" "$image" || exit 1
"$srcdir/t/vm" -t 600 -- sh "$(cd "$srcdir" && pwd)/t/vm-limits.sh" "$KINGLET_BUILD" "$image"
rc=$?
rm -f "$image"
exit $rc
