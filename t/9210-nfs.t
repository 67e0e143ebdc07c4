#!/bin/sh
# NFS volumes by the kernel's client: in the virtual machine, which is server and
# client at once; of a pod, of a claim, read-only, and of a server that is dead.
srcdir=${srcdir:-.}
image=$KINGLET_BUILD/t/vm-nfs.tar
for tool in qemu-system-x86_64 busybox cpio mkfs.ext4 modprobe jq curl exportfs; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }
done
[ "$(id -u)" = 0 ] && [ "$(uname -m)" = x86_64 ] || { echo "1..0 # SKIP needs root on x86-64"; exit 0; }
sh "$srcdir/scripts/make-demo-image" "$image" || exit 1
"$srcdir/t/vm" -t 800 -M nfsd -M nfsv4 -- sh "$(cd "$srcdir" && pwd)/t/vm-nfs.sh" "$KINGLET_BUILD" "$image"
rc=$?
rm -f "$image"
exit $rc
