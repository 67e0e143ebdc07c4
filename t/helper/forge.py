#!/usr/bin/python3
# Sends a forged frame from a link and an honest one behind it, or tells what of them comes in elsewhere:
#	forge.py send LINK WHAT GATEWAY-MAC OWN-IP FORGED-IP
#	forge.py wait LINK SECONDS	says "waiting", then "came" or "nothing": the forged one, until the honest one or the end
import fcntl, ipaddress, select, socket, struct, sys, time

MARK = b"kinglet-forged-frame"
LAST = b"kinglet-last-frame"

def own_mac(link):
    with socket.socket() as s:
        return fcntl.ioctl(s, 0x8927, struct.pack("256s", link.encode()))[18:24]

def address(link):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s, 0x8915, struct.pack("256s", link.encode()))[20:24]

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

def ip(src, dst, protocol, payload):
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if src.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + src.packed + dst.packed
        return b"\x08\x00", head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload
    hops = 255 if protocol == 58 else 64
    return b"\x86\xdd", struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + src.packed + dst.packed + payload

def udp(sport, dport, text=MARK):
    return struct.pack("!HHHH", sport, dport, 8 + len(text), 0) + text

def icmp6(src, dst, body):
    src, dst = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
    total = checksum(src + dst + struct.pack("!II", len(body), 58) + body)
    return body[:2] + struct.pack("!H", total) + body[4:]

def arp(op, mac, sender, target):
    return b"\x08\x06", struct.pack("!HHBBH", 1, 0x800, 6, 4, op) + mac + ipaddress.ip_address(sender).packed + \
        b"\0" * 6 + ipaddress.ip_address(target).packed + MARK

def frame(what, mac, gateway, own, forged):
    six = ":" in own
    nodes = "ff02::1"
    fixed = lambda src, dst, body: ip(src, dst, 58, icmp6(src, dst, body))
    made = {
        "honest": lambda: ip(own, forged, 17, udp(4000, 4000)),
        "source": lambda: ip(forged, own, 17, udp(4000, 4000)),
        "mac": lambda: ip(own, forged, 17, udp(4000, 4000)),
        "direct": lambda: ip(own, forged, 17, udp(4000, 4000)),
        "arp": lambda: arp(1, mac, own, forged),
        "arp-other": lambda: arp(2, mac, forged, own),
        "arp-mac": lambda: arp(2, b"\x0a\x58\1\2\3\4", own, own),
        "ra": lambda: fixed("fe80::1", nodes, struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + MARK),
        "redirect": lambda: fixed("fe80::1", nodes, struct.pack("!BBHI", 137, 0, 0, 0) + b"\0" * 32 + MARK),
        "na-other": lambda: fixed(own, nodes, struct.pack("!BBHI", 136, 0, 0, 0xA0000000) +
                                  ipaddress.ip_address(forged).packed + MARK),
        "na": lambda: fixed(own, nodes, struct.pack("!BBHI", 136, 0, 0, 0xA0000000) +
                            ipaddress.ip_address(own).packed + MARK),
        "dhcp": lambda: ip(own, "ff02::1" if six else "255.255.255.255", 17, udp(547, 546) if six else udp(67, 68)),
        "vlan": lambda: (b"\x88\xb5", MARK),
    }[what]()
    src = b"\x0a\x58\1\2\3\4" if what == "mac" else mac
    dst = gateway
    if what in ("arp-other", "ra", "redirect", "na-other", "na", "dhcp"):
        dst = b"\x33\x33\0\0\0\1" if six or what == "ra" else b"\xff" * 6
    return dst + src + made[0] + made[1]

def send(link, what, gateway, own, forged):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((link, 0))
    gateway = bytes.fromhex(gateway.replace(":", ""))
    s.send(frame(what, own_mac(link), gateway, own, forged))
    type, packet = arp(1, own_mac(link), socket.inet_ntoa(address(link)), "10.42.0.1")
    s.send(gateway + own_mac(link) + type + packet.replace(MARK, LAST))

def wait(link, seconds):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((link, 0))
    print("waiting", flush=True)
    end = time.monotonic() + float(seconds)
    while select.select([s], [], [], max(0, end - time.monotonic()))[0]:
        data, addr = s.recvfrom(2048)
        if addr[2] != socket.PACKET_OUTGOING and MARK in data:
            print("came", flush=True)
            return
        if addr[2] != socket.PACKET_OUTGOING and LAST in data:
            break
    print("nothing", flush=True)

sys.exit(send(*sys.argv[2:]) if sys.argv[1] == "send" else wait(*sys.argv[2:]))
