#!/bin/sh
# bench/unpack.sh [DIR]: a layer's way into the image store beside `tar -xzf` of the same file: 50,000 small files, and
# one of 500 MB. DIR (a file system in memory when not given: the disk is another question) is where both write; each
# five times in turn, medians. The import is the whole command: reading the archive, checking it, unpacking, syncing.
# About a minute. KINGLET names the program.
set -eu
if [ -z "${BENCH_INSIDE:-}" ]; then
	BENCH_INSIDE=1 exec unshare -m sh "$0" "$@"
fi
here=$(dirname "$(readlink -f "$0")")
: "${KINGLET:=$here/../kinglet}" "${TIMES:=5}"
work=$(mktemp -d /var/tmp/bench-unpack.XXXXXX)
trap 'cd /; umount "$work/mem" 2>/dev/null; rm -rf "$work" "${to:?}/bench-unpack"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/mem"
to=${1:-$work/mem}
[ $# -gt 0 ] || mount -t tmpfs -o mode=0755 none "$work/mem"
cd "$work"

python3 - <<'END'
import hashlib, io, json, os, random, subprocess, tarfile
random.seed(7)
words = [bytes(random.choices(b'abcdefghijklmnopqrstuvwxyz_\n(){};=', k=random.randint(3, 9))) for _ in range(4000)]
pool = b' '.join(random.choices(words, k=150000))

def add(t, name, data=None):
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = 1700000000, 0o644
    if data is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size = len(data)
    t.addfile(info, io.BytesIO(data or b''))

def many(t):
    seen = set()
    for i in range(50000):
        path = 'usr/lib/p%02d/d%03d' % (i % 40, i // 40 % 60)
        for k in range(1, 5):
            d = '/'.join(path.split('/')[:k])
            if d not in seen:
                seen.add(d)
                add(t, d)
        n = int(random.paretovariate(1.1) * 700) % 60000
        at = random.randrange(len(pool) - n)
        add(t, '%s/file-%06d.py' % (path, i), pool[at:at + n])

def big(t):
    out = bytearray()
    while len(out) < 500 << 20:
        at = random.randrange(len(pool) // 2)
        out += random.randbytes(60000) + pool[at:at + 400000]
    add(t, 'big', bytes(out[:500 << 20]))

for make in many, big:
    name = make.__name__
    with tarfile.open(name + '.tar', 'w', format=tarfile.PAX_FORMAT) as t:
        make(t)
    subprocess.run(['gzip', '-6', '-n', '-k', name + '.tar'], check=True)
    with open(name + '.tar', 'rb') as f:
        diff = hashlib.file_digest(f, 'sha256').hexdigest() if hasattr(hashlib, 'file_digest') else hashlib.sha256(f.read()).hexdigest()
    os.unlink(name + '.tar')
    arch = {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(os.uname().machine, os.uname().machine)
    config = {'architecture': arch, 'os': 'linux', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + diff]}}
    with tarfile.open(name + '.image', 'w') as t:
        add(t, 'manifest.json', json.dumps([{'Config': 'c.json', 'RepoTags': ['bench/x:1'], 'Layers': ['l.tar']}]).encode())
        add(t, 'c.json', json.dumps(config).encode())
        t.add(name + '.tar.gz', 'l.tar')
END

run() # FILE COMMAND...: adds its milliseconds to FILE
{
	out=$1
	shift
	rm -rf "$to/bench-unpack"
	mkdir "$to/bench-unpack"
	t=$(date +%s%N)
	"$@" >/dev/null
	echo $((($(date +%s%N) - t) / 1000000)) >>"$out"
}

for what in many big; do
	for i in $(seq "$TIMES"); do
		run $what.tar.ms tar -C "$to/bench-unpack" -xzf $what.tar.gz
		run $what.kinglet.ms "$KINGLET" image import -q --data-dir "$to/bench-unpack" $what.image
	done
	for who in tar kinglet; do
		printf '%-32s %8s ms\n' "$what: $who" "$(sort -n $what.$who.ms | sed -n "$(((TIMES + 1) / 2))p")"
	done
done
