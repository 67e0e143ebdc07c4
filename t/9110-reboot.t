#!/bin/sh
# A power cut: what ran runs again with its restart counted, what had ended stays
# as it was. In the virtual machine, which boots twice on one disk.
srcdir=${srcdir:-.}
image=$KINGLET_BUILD/t/vm-reboot.tar disk=$KINGLET_BUILD/t/vm-reboot.disk
for tool in qemu-system-x86_64 busybox cpio mkfs.ext4 modprobe jq curl; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }
done
[ "$(id -u)" = 0 ] && [ "$(uname -m)" = x86_64 ] || { echo "1..0 # SKIP needs root on x86-64"; exit 0; }
sh "$srcdir/scripts/make-demo-image" "$image" || exit 1
script="$(cd "$srcdir" && pwd)/t/vm-reboot.sh"
rm -f "$disk"
"$srcdir/t/vm" -t 420 -d "$disk" -x -- sh "$script" "$KINGLET_BUILD" "$image" 1 &&
	"$srcdir/t/vm" -t 420 -d "$disk" -- sh "$script" "$KINGLET_BUILD" "$image" 2
rc=$?
rm -f "$image" "$disk"
exit $rc
