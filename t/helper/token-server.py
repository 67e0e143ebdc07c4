#!/usr/bin/env python3
"""Gives out tokens for a registry, for tests: token-server.py PORT CERT KEY ISSUER LOG

GET /token?service=&scope=... : user:pass by Basic authentication may do all, anybody may pull
what is below public/. A token is good for as many seconds as the file LOG.seconds says (60),
and says so. Each request is a line in LOG: "GET user scope".
POST /token with grant_type=refresh_token: the refresh token "refresh-me" is user's.
"""
import base64
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT, CERT, KEY, ISSUER, LOG = sys.argv[1:6]
USER = "Basic " + base64.b64encode(b"user:pass").decode()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims):
    der = "".join(line for line in open(CERT).read().splitlines() if "CERTIFICATE" not in line)
    head = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
    text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", KEY], input=text.encode(),
                               stdout=subprocess.PIPE, check=True).stdout
    return text + "." + b64(signature)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def give(self, user, query):
        scopes = " ".join(query.get("scope", [])).split()
        with open(LOG, "a") as log:
            log.write("%s %s %s\n" % (self.command, user or "-", ",".join(scopes)))
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":", 2)
            allowed = actions.split(",") if user else ["pull"] if name.startswith("public/") else []
            access.append({"type": kind, "name": name, "actions": allowed})
        seconds = int(open(LOG + ".seconds").read()) if os.path.exists(LOG + ".seconds") else 60
        now = int(time.time())
        token = sign({"iss": ISSUER, "sub": user or "", "aud": query.get("service", [""])[0], "iat": now, "nbf": now - 10,
                      "exp": now + seconds, "jti": str(time.time_ns()), "access": access})
        self.answer(200, {"token": token, "access_token": token, "expires_in": seconds})

    def do_GET(self):
        auth = self.headers.get("Authorization")
        if auth and auth != USER:
            self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]})
            return
        self.give("user" if auth else None, parse_qs(urlsplit(self.path).query))

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != ["refresh-me"]:
            self.answer(401, {"errors": [{"message": "no such refresh token"}]})
            return
        self.give("user", form)


ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler).serve_forever()
