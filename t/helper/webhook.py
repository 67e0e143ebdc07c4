#!/usr/bin/env python3
"""A webhook of many manners, for tests: webhook.py PORT CERT KEY LOG

The path says how it answers an AdmissionReview:
  /allow /deny /deny-quietly /deny-code   yes; no, in words; without; with 418
  /data/K/V      adds a member to .data
  /label/K/V     adds a label             /late-label/NEED/K/V  only when label NEED is there
  /warn          yes, with a warning      /event  like /allow, in v1beta1's form
  /hang          never answers            /slow   answers after a second
  /garbage /empty /wrong-uid /wrong-kind /code-500 /endless /big /bad-patch /patch-no-type /patch-type /close
Each review is a line of JSON in LOG: {"path":..., "request":...}.
"""
import base64
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

lock = threading.Lock()


def patched(resp, patch):
    resp["patchType"] = "JSONPatch"
    resp["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()


def add_label(obj, resp, key, value):
    path = "/metadata/labels/" + key.replace("~", "~0").replace("/", "~1")
    patch = [] if obj["metadata"].get("labels") else [{"op": "add", "path": "/metadata/labels", "value": {}}]
    patched(resp, patch + [{"op": "add", "path": path, "value": value}])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, body, code=200):
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        url = urlsplit(self.path)
        review = json.loads(text)
        req = review["request"]
        with lock, open(sys.argv[4], "a") as f:
            f.write(json.dumps({"path": url.path, "apiVersion": review["apiVersion"], "request": req}) + "\n")
        resp = {"uid": req["uid"], "allowed": True}
        answer = {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": resp}
        obj, labels = req.get("object"), ((req.get("object") or {}).get("metadata") or {}).get("labels") or {}
        way, *args = url.path.strip("/").split("/")
        if way == "deny":
            resp.update(allowed=False, status={"message": "not on a Saturday"})
        elif way == "deny-quietly":
            resp["allowed"] = False
        elif way == "deny-code":
            resp.update(allowed=False, status={"code": 418, "reason": "Teapot", "message": "short and stout"})
        elif way == "data":
            patched(resp, [{"op": "add", "path": "/data/" + args[0], "value": args[1]}])
        elif way == "label":
            add_label(obj, resp, *args)
        elif way == "late-label":
            if args[0] in labels:
                add_label(obj, resp, *args[1:])
        elif way == "warn":
            resp["warnings"] = ["the webhook has seen better objects", "and \"quotes\"\n"]
        elif way == "hang":
            time.sleep(600)
        elif way == "slow":
            time.sleep(1)
        elif way == "garbage":
            return self.send(b"{{{ no json")
        elif way == "empty":
            return self.send(b"{}")
        elif way == "wrong-uid":
            resp["uid"] = "1234"
        elif way == "wrong-kind":
            answer["kind"] = "Pod"
        elif way == "code-500":
            return self.send(b"out of order", 500)
        elif way == "big":
            return self.send(b"[" + b"0," * (4 << 20) + b"0]")
        elif way == "bad-patch":
            patched(resp, [{"op": "replace", "path": "/data/nothing/here", "value": 1}])
        elif way == "patch-no-type":
            resp["patch"] = base64.b64encode(b"[]").decode()
        elif way == "patch-type":
            patched(resp, [{"op": "add", "path": "/data", "value": "no map"}])
        elif way == "close":
            self.close_connection = True
            return None
        elif way == "endless":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b" " * 65536)
            except OSError:
                self.close_connection = True
            return None
        self.send(json.dumps(answer).encode())
        return None


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("0.0.0.0", int(sys.argv[1])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
