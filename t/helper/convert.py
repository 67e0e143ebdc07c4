#!/usr/bin/env python3
"""A conversion webhook for tests: convert.py PORT CERT KEY

v1 has spec.hostPort ("host:port"), v2 has spec.host and spec.port. The file `way`, when it is there, says how to
misbehave: fail, short, rename, garbage.
"""
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def way():
    try:
        with open("way") as f:
            return f.read().strip()
    except OSError:
        return ""


def convert(obj, version):
    spec = obj.get("spec", {})
    if version.endswith("/v2") and "hostPort" in spec:
        spec["host"], spec["port"] = spec.pop("hostPort").split(":")
    elif version.endswith("/v1") and "host" in spec:
        spec["hostPort"] = spec.pop("host") + ":" + spec.pop("port")
    obj["apiVersion"] = version
    if way() == "rename":
        obj["metadata"]["name"] = "other"
    obj["metadata"].setdefault("annotations", {})["converted"] = "yes"
    return obj


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        req = review["request"]
        resp = {"uid": req["uid"], "result": {"status": "Success"}}
        resp["convertedObjects"] = [convert(o, req["desiredAPIVersion"]) for o in req["objects"]]
        if way() == "fail":
            resp["result"] = {"status": "Failed", "message": "no such thing"}
        if way() == "short":
            resp["convertedObjects"] = []
        body = json.dumps({"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": resp}).encode()
        if way() == "garbage":
            body = b"[1,2"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
