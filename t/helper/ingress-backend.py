#!/usr/bin/env python3
"""A back end for the tests of the ingress: ADDRESS:PORT...

/headers	what came
/big?N		N bytes
/slow?N		N pieces, a tenth of a second between them (chunked)
/events?N	the same as an event stream without an end that is said
/die		half of what was promised
/garbage	no HTTP
/close		nothing at all
/status?N	that status
/early		hints before the answer
/never		no answer
/echo		upgraded: bytes come back
POST		"LENGTH SHA256" of what came
else		"ADDRESS TARGET"
"""
import hashlib
import http.server
import socketserver
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def text(self, text, status=200):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def chunks(self, n, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(n):
            piece = ("data: %d\n\n" % i).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(b"0\r\nX-Trailer: 1\r\n\r\n")

    def echo(self):
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.end_headers()
        self.close_connection = True
        while True:
            data = self.connection.recv(65536)
            if not data:
                break
            self.connection.sendall(data)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/headers":
            self.text("".join("%s: %s\n" % h for h in self.headers.items()))
        elif path == "/big":
            n = int(query)
            self.send_response(200)
            self.send_header("Content-Length", str(n))
            self.end_headers()
            block = b"x" * 65536
            while n:
                self.wfile.write(block[:n])
                n -= min(n, len(block))
        elif path == "/slow":
            self.chunks(int(query), "text/plain")
        elif path == "/events":
            self.chunks(int(query), "text/event-stream")
        elif path == "/die":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"y" * 500)
            self.close_connection = True
        elif path == "/garbage":
            self.wfile.write(b"SSH-2.0-dropbear\r\n" * 10)
            self.close_connection = True
        elif path == "/twice":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nabcd")
            self.close_connection = True
        elif path == "/more":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        elif path == "/headline":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: %s\r\n" % (b"a" * 1000) * 60 + b"\r\n")
        elif path == "/close":
            self.close_connection = True
        elif path == "/status":
            self.text("%s\n" % query, int(query))
        elif path == "/early":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            self.text("late\n")
        elif path == "/never":
            time.sleep(60)
        elif path == "/echo" and self.headers["Upgrade"]:
            self.echo()
        else:
            self.text("%s %s\n" % (self.server.server_address[0], self.path))

    do_HEAD = do_OPTIONS = do_DELETE = do_GET

    def body(self):
        if self.headers["Transfer-Encoding"] == "chunked":
            while True:
                n = int(self.rfile.readline().split(b";")[0], 16)
                piece = self.rfile.read(n)
                self.rfile.readline()
                if not n:
                    return
                yield piece
        n = int(self.headers["Content-Length"] or 0)
        while n:
            piece = self.rfile.read(min(n, 65536))
            if not piece:
                return
            n -= len(piece)
            yield piece

    def do_POST(self):
        sum, n = hashlib.sha256(), 0
        if self.path == "/refuse":
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = True
            return
        for piece in self.body():
            sum.update(piece)
            n += len(piece)
        self.text("%d %s\n" % (n, sum.hexdigest()))

    do_PUT = do_POST


class Server(socketserver.ThreadingTCPServer):  # one that looks up no names
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main():
    servers = []
    for where in sys.argv[1:]:
        address, _, port = where.rpartition(":")
        servers.append(Server((address, int(port)), Handler))
    for s in servers[1:]:
        threading.Thread(target=s.serve_forever, daemon=True).start()
    servers[0].serve_forever()


main()
