#!/usr/bin/env python3
"""A web site for what passes requests on to one, and clients that curl is not.

	site.py serve PORT [CERT KEY]	prints "ready", then a line for each request and each end:
		/page		HTML with links
		/moved?TO	302 to TO
		/cors		with headers that a proxy takes away
		/die		half of an answer, then the connection ends
		/nothing	the connection ends without an answer
		/garbage	no HTTP
		/two		a length, and bytes behind it
		/slow		a line each 100 ms, without end
		/early		413 at once, without reading what comes
		/read		reads all, says how much it was, and its sum
		/back		chunks come back as they come
		/ws		a WebSocket that echoes
		/status?N	that status, no body
		anything else	METHOD TARGET and the headers
	site.py ws PATH [HEADER...]	opens a WebSocket at the API's PATH, sends 3 messages, prints what comes
	site.py raw FILE		sends FILE's bytes to the API, prints all that comes

PATH is the API's; credentials are those of $KUBECONFIG.
"""
import asyncio, base64, hashlib, os, re, ssl, sys, tempfile

PAGE = (b'<html><head><link rel="stylesheet" href="/style.css"></head><body><a href="/here?a=1&amp;b=2">1</a>'
        b'<a href="there">2</a><a href="http://elsewhere.example/x">3</a><script>"<a href=\\"/no\\">"</script>'
        b'<img src=/bare.png></body></html>\n')


def say(*words, **more):
    print(*words, flush=True, **more)


async def read_body(r, headers, piece):
    if headers.get("transfer-encoding") == "chunked":
        while True:
            n = int((await r.readline()).split(b";")[0], 16)
            if n:
                await piece(await r.readexactly(n))
            await r.readline()
            if not n:
                return
    left = int(headers.get("content-length", 0))
    while left:
        data = await r.read(min(left, 65536))
        if not data:
            raise EOFError
        left -= len(data)
        await piece(data)


async def frame(r):
    a, b = await r.readexactly(2)
    n = b & 127
    if n == 126:
        n = int.from_bytes(await r.readexactly(2), "big")
    mask = await r.readexactly(4) if b & 128 else bytes(4)
    return a & 15, bytes(c ^ mask[i % 4] for i, c in enumerate(await r.readexactly(n)))


def put_frame(w, op, data, masked=False):
    n = len(data)
    size = bytes([n | (128 if masked else 0)]) if n < 126 else bytes([126 | (128 if masked else 0)]) + n.to_bytes(2, "big")
    w.write(bytes([128 | op]) + size + (bytes(4) if masked else b"") + data)


async def websocket(r, w, headers):
    key = base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    w.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + key)
    if "sec-websocket-protocol" in headers:
        w.write(b"\r\nSec-WebSocket-Protocol: " + headers["sec-websocket-protocol"].split(",")[0].encode())
    w.write(b"\r\n\r\n")
    while True:
        op, data = await frame(r)
        put_frame(w, op, data)
        await w.drain()
        if op == 8:
            return


async def answer(r, w, method, target, headers, lines):
    path, _, query = target.partition("?")
    total, digest = 0, hashlib.sha256()

    async def count(data):
        nonlocal total
        total += len(data)
        digest.update(data)

    def send(status, extra, body):
        w.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + (b"" if method == "HEAD" else body))

    if path == "/ws":
        await websocket(r, w, headers)
        return False
    if path == "/early":
        send(413, "Connection: close\r\n", b"too much\n")
        await w.drain()
        return False
    if path == "/back":
        w.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/octet-stream\r\n\r\n")

        async def back(data):
            w.write(b"%x\r\n" % len(data) + data + b"\r\n")
            await w.drain()
        await read_body(r, headers, back)
        w.write(b"0\r\n\r\n")
        return True
    await read_body(r, headers, count)
    if path == "/page":
        send(200, "Content-Type: text/html; charset=utf-8\r\n", PAGE)
    elif path == "/moved":
        send(302, f"Location: {query}\r\n", b"")
    elif path == "/cors":
        send(200, "Access-Control-Allow-Origin: *\r\nSet-Cookie: a=b\r\nX-Hop: 1\r\nX-End: 2\r\nConnection: x-hop\r\n", b"")
    elif path == "/status":
        w.write(f"HTTP/1.1 {query} X\r\n".encode() + (b"\r\n" if query in ("204", "304") else b"Content-Length: 0\r\n\r\n"))
    elif path == "/die":
        w.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"half" * 10)
        return False
    elif path == "/nothing":
        return False
    elif path == "/garbage":
        w.write(b"garbage\r\n\r\n")
        return False
    elif path == "/two":
        w.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyesHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        return False
    elif path == "/slow":
        w.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not r.at_eof():
            w.write(b"line\n")
            await w.drain()
            await asyncio.sleep(0.1)
        return False
    elif path == "/read":
        send(200, "", f"{total} {digest.hexdigest()}\n".encode())
    else:
        send(200, "Content-Type: text/plain\r\n", "".join([f"{method} {target}\n", *lines]).encode(errors="surrogateescape"))
    return True


async def serve(r, w):
    target = "-"
    try:
        while True:
            head = (await r.readuntil(b"\r\n\r\n")).decode(errors="surrogateescape").split("\r\n")[:-2]
            method, target, _ = head[0].split(" ", 2)
            headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:])}
            say("asked", method, target.encode(errors="surrogateescape"))
            if not await answer(r, w, method, target, headers, [line + "\n" for line in sorted(head[1:])]):
                break
            await w.drain()
    except (asyncio.IncompleteReadError, ConnectionError, EOFError, ValueError, ssl.SSLError):
        pass
    say("end", target)
    w.close()


async def run_serve(port, *pem):
    ctx = None
    if pem:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(*pem)
    server = await asyncio.start_server(serve, "0.0.0.0", int(port), ssl=ctx, limit=1 << 20)
    say("ready")
    await server.serve_forever()


async def connect():
    text = open(os.environ["KUBECONFIG"]).read()
    field = lambda name: re.search(name + r": (\S+)", text).group(1)
    ctx = ssl.create_default_context(cadata=base64.b64decode(field("certificate-authority-data")).decode())
    with tempfile.NamedTemporaryFile() as f:
        f.write(base64.b64decode(field("client-certificate-data")) + b"\n" + base64.b64decode(field("client-key-data")))
        f.flush()
        ctx.load_cert_chain(f.name)
    host, port = re.match(r"https://(.*):(\d+)", field("server")).groups()
    return await asyncio.open_connection(host, int(port), ssl=ctx)


async def run_ws(path, *more):
    r, w = await connect()
    w.write((f"GET {path} HTTP/1.1\r\nHost: api\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
             f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n" +
             "".join(h + "\r\n" for h in more) + "\r\n").encode())
    head = (await r.readuntil(b"\r\n\r\n")).decode()
    say(*head.split("\r\n")[:-2], sep="\n")
    if " 101 " not in head:
        say((await r.read(500)).decode())
        return
    for data in (b"one", b"x" * 50000, b"three"):
        put_frame(w, 2, data, True)
        op, got = await frame(r)
        say("echo", op, len(got), got == data)
    put_frame(w, 8, b"\3\xe8", True)
    say("close", (await frame(r))[0])
    say("end", await r.read())


async def run_raw(file):
    r, w = await connect()
    w.write(open(file, "rb").read())
    try:
        sys.stdout.buffer.write(await asyncio.wait_for(r.read(-1), 3))
    except asyncio.TimeoutError:
        sys.stdout.buffer.write(bytes(r._buffer))


asyncio.run({"serve": run_serve, "ws": run_ws, "raw": run_raw}[sys.argv[1]](*sys.argv[2:]))
