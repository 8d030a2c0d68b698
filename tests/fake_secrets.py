"""A stand-in for what Kubernetes knows of Secrets."""

import base64
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "the-token-of-the-service-account"


class FakeSecrets(ThreadingHTTPServer):
    """A stand-in for the secrets API of Kubernetes: TLS, a token, and what the Role allows.

    ``secrets`` has those of its own namespace by name, others as ``<namespace>/<name>``; so has ``allowed``, where
    ``<namespace>/*`` is any.
    https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/
    """

    def __init__(self, certificate: ssl.SSLContext, allowed: set[tuple[str, str]], own: str = "user1-toolings") -> None:
        self.secrets: dict[str, dict] = {}
        self.allowed, self.requests, self.own = allowed, [], own
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, value = fake.handle(self.command, self.path, self.headers, json.loads(body or "null"))
                text = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *arguments: object) -> None:
                """Keep the tests' output clean."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.socket = certificate.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle(self, method, path, headers, body):
        match = re.fullmatch("/api/v1/namespaces/([a-z0-9-]+)/secrets(?:/([a-z0-9.-]+))?", path)
        if headers["Authorization"] != f"Bearer {TOKEN}":
            return 401, {"message": "Unauthorized"}
        if not match:
            return 404, {"message": f"no such path: {path}"}
        name = match[2] or body["metadata"]["name"]
        if match[1] != self.own:
            name = f"{match[1]}/{name}"
        verb = {"GET": "get", "POST": "create", "PATCH": "patch"}[method]
        self.requests.append((verb, name))
        if (verb, name) not in self.allowed and (verb, f"{match[1]}/*") not in self.allowed:
            return 403, {"message": f"secrets {name!r} is forbidden: cannot {verb}"}
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        if body and headers["Content-Type"] != kind:
            return 415, {"message": "unsupported media type"}
        if method == "POST":
            if name in self.secrets:
                return 409, {"message": f"secrets {name!r} already exists"}
            if body["apiVersion"] != "v1" or body["kind"] != "Secret":
                return 400, {"message": "no Secret"}
            self.secrets[name] = body
            return 201, body
        if name not in self.secrets:
            return 404, {"message": f"secrets {name!r} not found"}
        if method == "PATCH":
            for part in ("data", "metadata"):
                self.secrets[name][part] |= body[part]
        return 200, self.secrets[name]

    def values(self, name):
        """What a pod sees of a Secret."""
        return {key: base64.b64decode(value).decode() for key, value in self.secrets[name]["data"].items()}
