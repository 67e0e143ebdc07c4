#!/usr/bin/env python3
"""Images that are odd or hostile, made byte by byte: equal input gives an equal file.

    odd-image.py make CASE OUT.tar     an archive as docker save's, called odd/CASE:1
    odd-image.py list                  the names of the cases
    odd-image.py registry PORT CASE... a registry on 127.0.0.1 that has those, until it is killed

A case is a function that returns its layers, lowest first; a layer is a list of members, or bytes.
The lowest layer of those that are to run is the busybox of the demo image.
"""
import gzip
import hashlib
import http.server
import json
import os
import platform
import struct
import sys

ARCH = {'x86_64': 'amd64', 'aarch64': 'arm64', 'armv7l': 'arm'}.get(platform.machine(), platform.machine())
TIME = 1700000000


# --- tar

def header(name, kind, size=0, mode=0o644, link=b'', uid=0, gid=0, dev=(0, 0)):
    head = bytearray(512)

    def put(at, width, value):
        head[at:at + width] = value[:width].ljust(width, b'\0')

    put(0, 100, name)
    put(100, 8, b'%07o' % mode)
    put(108, 8, b'%07o' % uid)
    put(116, 8, b'%07o' % gid)
    if size < 8 ** 11:
        put(124, 12, b'%011o' % size)
    else:  # GNU's base-256
        put(124, 12, b'\x80' + size.to_bytes(11, 'big'))
    put(136, 12, b'%011o' % TIME)
    put(148, 8, b'        ')
    put(156, 1, kind)
    put(157, 100, link)
    put(257, 8, b'ustar\00000')
    put(329, 8, b'%07o' % dev[0])
    put(337, 8, b'%07o' % dev[1])
    put(148, 8, b'%06o\0 ' % sum(head))
    return bytes(head)


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(**records):
    """The extended header for the next member; keys with '__' for '.', values str or bytes."""
    body = b''
    for key, value in records.items():
        line = b' %s=%s\n' % (key.replace('__', '.').encode(), value if isinstance(value, bytes) else value.encode())
        n = len(line)
        while len(b'%d' % n) + len(line) != n:
            n = len(b'%d' % n) + len(line)
        body += b'%d' % n + line
    return header(b'pax', b'x', len(body)) + padded(body)


def f(name, data=b'x', **kw):
    data = data.encode() if isinstance(data, str) else data
    return header(enc(name), b'0', len(data), **kw) + padded(data)


def enc(name):
    return name if isinstance(name, bytes) else name.encode()


def d(name, mode=0o755, **kw):
    return header(enc(name), b'5', mode=mode, **kw)


def sym(name, to):
    return header(enc(name), b'2', mode=0o777, link=enc(to))


def hard(name, to):
    return header(enc(name), b'1', link=enc(to))


def dev(name, kind=b'3', numbers=(1, 3)):
    return header(enc(name), kind, mode=0o666, dev=numbers)


def gnu_long(name, kind=b'L'):
    body = enc(name) + b'\0'
    return header(b'././@LongLink', kind, len(body)) + padded(body)


def xattr(**values):
    return pax(**{'SCHILY__xattr__' + key: value for key, value in values.items()})


def end():
    return bytes(1024)


def tar(layer):
    return layer if isinstance(layer, bytes) else b''.join(layer) + end()


def busybox():
    with open(os.environ.get('BUSYBOX', '/bin/busybox'), 'rb') as file:
        program = file.read()
    tools = 'sh cat ls sleep stat test wc seq find id mkdir rm echo tr true cut readlink head env mv ln'.split()
    return [d('bin'), f('bin/busybox', program, mode=0o755)] + [hard('bin/' + t, 'bin/busybox') for t in tools] + [
        d('tmp', 0o1777), d('etc'), f('etc/passwd', 'root:x:0:0::/:/bin/sh\n')]


# --- images that run

CAP_NET_RAW = struct.pack('<IIIII', 0x02000001, 1 << 13, 0, 0, 0)  # effective, revision 2


def layers127():
    return [busybox()] + [[d('n'), f('n/%d' % i, '%d' % i), f('top', '%d' % i)] for i in range(2, 128)]


def links():
    """Hard links to files of lower layers, through links of lower layers, and to what a whiteout hides."""
    return [busybox() + [d('a'), f('a/file', 'of the lowest', mode=0o4750, uid=7, gid=8), sym('l', 'a'),
                         xattr(user__k='v'), f('a/attr', 'attr'), sym('a/sym', '/tmp')],
            [d('b', 0o711, uid=5), hard('b/link', 'a/file'), hard('b/second', 'b/link')],
            [hard('c', 'b/link'), hard('d', 'l/attr'), hard('e', '/a/sym')]]


def parents():
    """Directories that the upper layer's tar does not name: theirs are the lower layer's owner, mode and links."""
    return [busybox() + [d('own', 0o2770, uid=3, gid=4), d('usr'), d('usr/lib'), f('usr/lib/old', 'old'),
                         sym('lib', 'usr/lib'), sym('dangling', '/made/here'), sym('up', '../../../../..')],
            [f('tmp/new', 'new'), f('own/new', 'new'), f('lib/new', 'new'), f('dangling/x', 'x'), f('up/at-top', 't'),
             f('deep/er/file', 'f')]]


def whiteouts():
    """Of files, directories, things not there, together with new ones of the same name; opaque directories."""
    return [busybox() + [d('w'), f('w/file'), d('w/dir'), f('w/dir/x'), d('w/again'), f('w/again/old'), f('w/both', 'old'),
                         d('o'), f('o/old'), d('o/sub'), f('o/sub/old'), d('late'), f('late/old'), d('gone'), f('gone/x')],
            [f('w/.wh.file', ''), f('w/.wh.dir', ''), f('w/.wh.again', ''), d('w/again'), f('w/again/new'),
             f('w/.wh.both', ''), f('w/both', 'new'), f('w/.wh.nothing', ''), d('fresh'), f('fresh/.wh.nothing', ''),
             f('fresh/file'), d('o'), f('o/.wh..wh..opq', ''), f('o/new'), f('o/.wh.old', ''),
             d('late'), f('late/new'), f('late/.wh..wh..opq', ''), d('.wh..wh.plnk'), f('.wh..wh.plnk/1.2', 'aufs'),
             f('.wh.gone', '')],
            [f('gone/back'), hard('.wh.top', 'w/both')]]


def kinds():
    """Attributes, capabilities, modes, owners, holes, pipes, long and strange names."""
    long = 'long/' + '/'.join(['n' * 200] * 3)
    return [busybox() + [
        xattr(user__colour='blue'), f('attr'),
        xattr(trusted__overlay__opaque='y', user__x='1', trusted__evil='1'), d('not-opaque'), f('not-opaque/x'),
        xattr(security__capability=CAP_NET_RAW), f('cap', '#!', mode=0o755), hard('cap2', 'cap'),
        f('suid', mode=0o6755, uid=1, gid=2), d('sgid', 0o3775, gid=9), f('sgid/file'),
        header(b'fifo', b'6', mode=0o620), d('readonly', 0o555), f('readonly/x', mode=0o000),
        pax(path=long), f('short', 'pax'), gnu_long('gnu/' + 'g' * 180 + '/f'), f('short', 'gnu'),
        pax(linkpath='t' * 150), sym('longlink', 't'), f('new\nline', 'nl'), f('tab\tesc\x1b[31m', 'esc'),
        f(b'latin\xe9', 'raw'), f('\u00fcml\u00e4ut', 'utf8'), f('.hidden'), f('./a/./b//c', 'dots'), f('/abs', 'abs'),
        pax(uid='4000000000'), f('uid', uid=1), pax(mtime='1234567890.5'), f('mtime'), f('empty', b'')]]


def again():
    """A name twice or more in one layer: the last counts; directories in the place of links and the other way round."""
    return [busybox() + [d('x'), f('x/low'), d('was-dir'), f('was-dir/low'), sym('was-link', 'x'), f('was-file')],
            [f('twice', 'one'), f('twice', 'two'), d('t'), f('t/inside'), f('t', 'now a file'), f('u'), d('u'), f('u/f'),
             sym('was-dir', '/x'), d('was-link'), f('was-link/new'), d('was-file'), f('was-file/new'),
             d('x'), f('x/up'), f('x', 'file'), d('x'), f('x/last')]]


def files100k():
    entry = f('0' * 6, b'')
    out = busybox() + [d('many')]
    for i in range(250):
        out.append(d('many/%03d' % i))
        out += [header(b'many/%03d/%03d' % (i, k), b'0') for k in range(400)]
    return [out]


# --- images that are refused

def bad(*members):
    return [[f('before')] + list(members)]


def dotdot():
    return bad(f('a/../../../../../../evil'))


def dotdot_link():
    return bad(hard('x', '../../../../../../etc/passwd'))


def abs_link():
    return bad(hard('x', '/etc/shadow'))


def through_link():
    return bad(sym('l', '../../../../../../..'), sym('m', 'l/etc'), hard('x', 'm/shadow'))


def through_loop():
    return bad(sym('l', 'm'), sym('m', 'l'), f('l/x'))


def block_device():
    return bad(dev('disk', b'4', (254, 0)))


def whiteout_device():
    return bad(dev('w', b'3', (0, 0)))


def file_parent():
    return bad(f('a'), f('a/b'))


def giant():
    return bad(pax(size='%d' % (1 << 50)), f('giant'))


def negative():
    return bad(header(b'n', b'0').replace(b'00000000000\0', b'-0000000001\0', 1))


def sparse_giant():
    return bad(pax(GNU__sparse__major='1', GNU__sparse__minor='0', GNU__sparse__name='s', GNU__sparse__realsize='%d' % (1 << 46)),
               f('s', b'1\n%d\n0\n' % (1 << 46)))


def long_name():
    return bad(pax(path='d/' * 2100 + 'x'), f('x'))


def long_part():
    return bad(pax(path='p' * 300), f('x'))


def control():
    return bad(f(b'../\x1b]0;evil\x07\n\xff\xfe'))


def wrong_digest():
    """Right in itself; the registry gives other bytes than it says."""
    return [[f('a', 'b' * 1000)]]


def truncated():
    return [tar([f('a', b'y' * 5000)])[:3000]]


def garbage():
    return [tar([f('a')])[:1024] + b'garbage, not a header' * 500]


def checksum():
    return [tar([f('a'), f('b').replace(b'ustar', b'USTAR'), f('c')])]


CASES = [layers127, links, parents, whiteouts, kinds, again, files100k, dotdot, dotdot_link, abs_link, through_link,
         through_loop, block_device, whiteout_device, file_parent, giant, negative, sparse_giant, long_name, long_part,
         control, truncated, garbage, checksum,
         wrong_digest]
BY_NAME = {c.__name__: c for c in CASES}


# --- archives and the registry

def image(case):
    """(config, [layer as stored], [diff ID])"""
    tars = [tar(layer) for layer in BY_NAME[case]()]
    ids = ['sha256:' + hashlib.sha256(t).hexdigest() for t in tars]
    config = {'architecture': ARCH, 'os': 'linux', 'config': {'Env': ['PATH=/bin'], 'Cmd': ['sh']},
              'rootfs': {'type': 'layers', 'diff_ids': ids}}
    return json.dumps(config, sort_keys=True).encode(), tars, ids


def make(case, out):
    config, tars, ids = image(case)
    manifest = [{'Config': 'config.json', 'RepoTags': ['odd/%s:1' % case.replace('_', '-')],
                 'Layers': ['%d/layer.tar' % i for i in range(len(tars))]}]
    with open(out, 'wb') as file:
        file.write(f('manifest.json', json.dumps(manifest)) + f('config.json', config))
        for i, t in enumerate(tars):
            file.write(f('%d/layer.tar' % i, t))
        file.write(end())


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def registry_content(cases):
    """Paths below /v2/ and what is there."""
    content = {}
    for case in cases:
        config, tars, ids = image(case)
        blobs = [gzip.compress(t, 1, mtime=0) for t in tars]
        digests = [digest(b) for b in blobs]
        name = 'odd/' + case.replace('_', '-')
        manifest = json.dumps({
            'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
            'config': {'mediaType': 'application/vnd.oci.image.config.v1+json', 'digest': digest(config), 'size': len(config)},
            'layers': [{'mediaType': 'application/vnd.oci.image.layer.v1.tar+gzip', 'digest': g, 'size': len(b)}
                       for g, b in zip(digests, blobs)]}).encode()
        if case == 'wrong_digest':  # other bytes than the digest says, as many
            blobs = [b[:-4] + b'evil' for b in blobs]
        for g, blob in zip(digests + [digest(config)], blobs + [config]):
            content['/v2/%s/blobs/%s' % (name, g)] = blob
        content['/v2/%s/manifests/1' % name] = content['/v2/%s/manifests/%s' % (name, digest(manifest))] = manifest
    return content


def registry(port, cases):
    content = registry_content(cases)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def answer(self, body):
            data = b'{}' if self.path == '/v2/' else content.get(self.path)
            self.send_response(200 if data is not None else 404)
            if '/manifests/' in self.path:
                self.send_header('Content-Type', 'application/vnd.oci.image.manifest.v1+json')
                self.send_header('Docker-Content-Digest', digest(data or b''))
            self.send_header('Content-Length', str(len(data or b'')))
            self.end_headers()
            if body:
                self.wfile.write(data or b'')

        def do_GET(self):
            self.answer(True)

        def do_HEAD(self):
            self.answer(False)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', int(port)), Handler)
    print('ready', flush=True)
    server.serve_forever()


def main(argv):
    if argv[1:2] == ['list']:
        print('\n'.join(BY_NAME))
    elif argv[1:2] == ['make'] and len(argv) == 4:
        make(argv[2], argv[3])
    elif argv[1:2] == ['registry'] and len(argv) > 3:
        registry(argv[2], argv[3:])
    else:
        sys.exit(__doc__)


main(sys.argv)
