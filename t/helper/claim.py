#!/usr/bin/env python3
# claim.py LINK ADDRESS [N]: tells everybody on the link N times (once) that the IPv4 address is ours.
import socket
import sys

link, address, n = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1
ip = socket.inet_aton(address)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind((link, 0))
mac = s.getsockname()[4]
frame = b'\xff' * 6 + mac + b'\x08\x06\0\x01\x08\0\x06\x04\0\x01' + mac + ip + b'\0' * 6 + ip
for _ in range(n):
    s.send(frame)
