#!/usr/bin/env python3
"""Streams as kubectl opens them, but many at once, cut, stalled, or on a terminal.

	stream.py exec [-n SESSIONS] [-j AT-ONCE] [-p PROTOCOL] PATH
		a WebSocket for each: prints "STATUS-OR-CODE output" per session, then the times
	stream.py cut PATH		opens an exec, prints its first output, and resets the connection
	stream.py stall PATH		GETs, reads the head and nothing more until stdin ends
	stream.py forward -n CONNECTIONS PORT TEXT	to 127.0.0.1:PORT all at once; each must echo
	stream.py frames PATH PORT DATA	port-forward over the old WebSocket protocol (v4.channel.k8s.io)
	stream.py tty ROWSxCOLS EXPECT SEND ... -- COMMAND...
		runs it on a terminal; for each pair waits for a text and types another ("RxC": a new size,
		"KILL": SIGKILL, "EOF": waits for its end); prints all, then "status N"

PATH is the API's. Credentials are those that the kubeconfig $KUBECONFIG holds.
"""
import asyncio, base64, fcntl, json, os, pty, re, select, signal, socket, ssl, struct, sys, tempfile, termios, time


def cluster():
    text = open(os.environ["KUBECONFIG"]).read()
    field = lambda name: re.search(name + r": (\S+)", text).group(1)
    ctx = ssl.create_default_context(cadata=base64.b64decode(field("certificate-authority-data")).decode())
    with tempfile.NamedTemporaryFile() as f:
        f.write(base64.b64decode(field("client-certificate-data")) + b"\n" +
                base64.b64decode(field("client-key-data")))
        f.flush()
        ctx.load_cert_chain(f.name)
    host, port = re.match(r"https://(.*):(\d+)", field("server")).groups()
    return host, int(port), ctx


HOST, PORT, CTX = cluster() if sys.argv[1:2] and sys.argv[1] not in ("tty", "forward") else (None, None, None)


class WebSocket:
    async def open(self, path, protocol):
        self.r, self.w = await asyncio.open_connection(HOST, PORT, ssl=CTX)
        self.w.write((f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
                      f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
        head = await self.r.readuntil(b"\r\n\r\n")
        self.status = int(head.split()[1])
        return self.status == 101

    def send(self, payload, opcode=2):
        n = len(payload)
        head = bytes([0x80 | opcode]) + (bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536
                                         else b"\xff" + struct.pack(">Q", n))
        self.w.write(head + b"\0\0\0\0" + payload)

    async def recv(self):
        """The next message; None at the end."""
        try:
            a, b = await self.r.readexactly(2)
            n = b & 127
            if n == 126:
                n, = struct.unpack(">H", await self.r.readexactly(2))
            elif n == 127:
                n, = struct.unpack(">Q", await self.r.readexactly(8))
            data = await self.r.readexactly(n)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return None
        return None if a & 15 == 8 else data


async def exec_one(path, protocol, times, gate):
    async with gate:
        begin = time.monotonic()
        ws, out, code = WebSocket(), b"", "none"
        if not await ws.open(path, protocol):
            return f"http {ws.status}"
        while (m := await ws.recv()) is not None:
            if m[:1] in (b"\1", b"\2"):
                out += m[1:]
            elif m[:1] == b"\3" and len(m) > 1:
                s = json.loads(m[1:])
                causes = s.get("details", {}).get("causes", [{}])
                code = "0" if s["status"] == "Success" else causes[0].get("message", "?")
        times.append(time.monotonic() - begin)
        ws.w.close()
        return f"{code} {out.decode(errors='replace').strip()}"


async def run_exec(args):
    n, at_once, protocol = 1, 1000, "v5.channel.k8s.io"
    while args[0].startswith("-"):
        if args[0] == "-n": n = int(args[1])
        if args[0] == "-j": at_once = int(args[1])
        if args[0] == "-p": protocol = args[1]
        args = args[2:]
    gate, times = asyncio.Semaphore(at_once), []
    for line in await asyncio.gather(*[exec_one(args[0].replace("@", str(i)), protocol, times, gate)
                                       for i in range(n)]):
        print(line)
    times.sort()
    if times:
        print(f"p50 {times[len(times) // 2] * 1000:.1f} ms, p99 {times[int(len(times) * .99)] * 1000:.1f} ms",
              file=sys.stderr)


async def run_cut(args):
    ws = WebSocket()
    await ws.open(args[0], "v5.channel.k8s.io")
    while (m := await ws.recv()) is not None:
        if len(m) > 1:
            print(m[1:].decode().strip(), flush=True)
            break
    ws.w.transport.abort()


def run_stall(args):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((HOST, PORT))
    s = CTX.wrap_socket(s, server_hostname=HOST)
    s.sendall(f"GET {args[0]} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    print(s.recv(15).decode().strip(), flush=True)
    sys.stdin.read()


async def forward_one(port, text, i, gate):
    r, w = await asyncio.open_connection("127.0.0.1", port)
    data = (f"{i} " + text).encode() * 100
    w.write(data)
    w.write_eof()
    await gate.wait() if gate else None
    got = await r.read(-1)
    w.close()
    return got == data


async def run_forward(args):
    n, port, text = int(args[1]), int(args[2]), args[3]
    ok = await asyncio.gather(*[forward_one(port, text, i, None) for i in range(n)])
    print(f"{sum(ok)} of {n}")


async def run_frames(args):
    ws = WebSocket()
    if not await ws.open(args[0], "v4.channel.k8s.io"):
        print("http", ws.status)
        return
    for want in (0, 1):
        m = await ws.recv()
        assert m[0] == want and struct.unpack("<H", m[1:]) == (int(args[1]),), m
    ws.send(b"\0" + args[2].encode())
    got = {0: b"", 1: b""}
    while (m := await ws.recv()) is not None:
        got[m[0]] += m[1:]
        if got[1] or len(got[0]) >= len(args[2]):
            break
    print("data", got[0].decode(), "error", got[1].decode())


def run_tty(args):
    rows, cols = map(int, args[0].split("x"))
    at = args.index("--")
    steps, argv = args[1:at], args[at + 1:]
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    size = lambda r, c: fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", r, c, 0, 0))
    size(rows, cols)
    os.kill(pid, signal.SIGWINCH)
    seen, limit = b"", time.time() + 20

    def until(text):
        nonlocal seen
        while text not in seen and time.time() < limit:
            if select.select([fd], [], [], 0.2)[0]:
                try:
                    data = os.read(fd, 65536)
                except OSError:
                    return
                sys.stdout.write(data.decode(errors="replace").replace("\r", ""))
                sys.stdout.flush()
                seen += data
        if text:
            seen = seen.partition(text)[2]

    for want, typed in zip(steps[::2], steps[1::2]):
        until(want.encode())
        if typed == "KILL":
            os.kill(pid, 9)
        elif m := re.fullmatch(r"(\d+)x(\d+)", typed):
            size(int(m[1]), int(m[2]))
        elif typed != "EOF":
            os.write(fd, typed.replace("\\n", "\n").encode())
    until(b"\0no such text\0")
    if time.time() >= limit:
        os.kill(pid, 9)
    print("\nstatus", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


command = {"exec": run_exec, "cut": run_cut, "stall": run_stall, "forward": run_forward, "frames": run_frames,
           "tty": run_tty}[sys.argv[1]]
result = command(sys.argv[2:])
if asyncio.iscoroutine(result):
    asyncio.run(result)
