#!/usr/bin/env python3
"""A name server for tests: dns-upstream.py ADDRESS[:PORT] LOG [RELAY-TO]

With RELAY-TO it only sends what it is asked on to that address, as its own question. Else what it does
with a question depends on its name's first label:
  a-1-2-3-4   an A record of 1.2.3.4, with the TTL of a label t<seconds> behind it
  big<n>      n A records: truncated over UDP when they do not fit in 512 bytes
  nx, nx0     NXDOMAIN with an SOA (minimum 5), and without
  servfail, refused, formerr-edns (FORMERR when there is EDNS), silent, garbage, wrongid, wrongname
  cname       to a-9-9-9-9.<rest>
  tag         TXT with this server's address
  slow        answers after half a second
Every question is a line in the log: udp|tcp name type.
"""
import os, re, socket, struct, sys, threading, time

host, _, port = sys.argv[1].partition(':')
log = open(sys.argv[2], 'a', buffering=1)
A, TXT, SOA, CNAME = 1, 16, 6, 5


def name(labels):
    return b''.join(bytes([len(l)]) + l for l in labels) + b'\0'


def rr(kind, data, ttl=60, owner=b'\xc0\x0c'):
    return owner + struct.pack('>HHIH', kind, 1, ttl, len(data)) + data


def answer(q, tcp):
    ident, flags, qd, _, _, ar = struct.unpack('>6H', q[:12])
    at, labels = 12, []
    while q[at]:
        labels.append(q[at + 1:at + 1 + q[at]])
        at += 1 + q[at]
    at += 5
    kind, = struct.unpack('>H', q[at - 4:at - 2])
    first = labels[0].decode() if labels else ''
    log.write('%s %s %d\n' % ('tcp' if tcp else 'udp', b'.'.join(labels).decode(), kind))
    ttl = 60
    for l in labels:
        if re.match(rb't\d+$', l):
            ttl = int(l[1:])
    rcode, an, ns, question = 0, [], [], q[12:at]
    if first.startswith('a-') and kind == A:
        an.append(rr(A, bytes(int(x) for x in first[2:].split('-')), ttl))
    elif first.startswith('big') and kind == A:
        an = [rr(A, bytes([10, 9, i >> 8, i & 255]), ttl) for i in range(int(first[3:]))]
    elif first.startswith('nx'):
        rcode = 3
        if first == 'nx':
            ns.append(rr(SOA, b'\0\0' + struct.pack('>5I', 1, 2, 3, 4, 5)))
    elif first == 'servfail':
        rcode = 2
    elif first == 'refused':
        rcode = 5
    elif first == 'formerr-edns':
        if ar:
            rcode = 1
        else:
            an.append(rr(A, bytes([7, 7, 7, 7])))
    elif first == 'silent':
        return None
    elif first == 'garbage':
        return q[:2] + os.urandom(40)
    elif first == 'wrongid':
        ident ^= 1
    elif first == 'wrongname':
        question = b'\3bad\0' + q[at - 4:at]
    elif first == 'cname':
        target = name([b'a-9-9-9-9'] + labels[1:])
        an += [rr(CNAME, target), rr(A, bytes([9, 9, 9, 9]), owner=target)]
    elif first == 'tag' and kind == TXT:
        an.append(rr(TXT, bytes([len(host)]) + host.encode()))
    elif first == 'slow':
        time.sleep(0.5)
        an.append(rr(A, bytes([8, 8, 8, 8])))
    else:
        ns.append(rr(SOA, b'\0\0' + struct.pack('>5I', 1, 2, 3, 4, 5)))
    body = question + b''.join(an) + b''.join(ns)
    if not tcp and len(body) > 500:
        return struct.pack('>6H', ident, 0x8380 | rcode, 1, 0, 0, 0) + question
    return struct.pack('>6H', ident, 0x8180 | rcode, 1, len(an), len(ns), 0) + body


def udp(s, q, peer):
    a = answer(q, False)
    if a:
        s.sendto(a, peer)


def serve_tcp(c):
    with c:
        while True:
            head = c.recv(2, socket.MSG_WAITALL)
            if len(head) < 2:
                return
            a = answer(c.recv(head[0] << 8 | head[1], socket.MSG_WAITALL), True)
            if a:
                c.sendall(struct.pack('>H', len(a)) + a)


def tcp_loop(l):
    while True:
        c, _ = l.accept()
        threading.Thread(target=serve_tcp, args=(c,), daemon=True).start()


s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((host, int(port or 53)))
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind((host, int(port or 53)))
l.listen(50)
threading.Thread(target=tcp_loop, args=(l,), daemon=True).start()
log.write('ready\n')
while True:
    q, peer = s.recvfrom(4096)
    if len(sys.argv) > 3:
        log.write('relayed\n')
        try:
            s.sendto(q, (sys.argv[3], 53))
        except OSError:
            pass  # nobody is there: it is a server that says nothing
        continue
    threading.Thread(target=udp, args=(s, q, peer), daemon=True).start()
