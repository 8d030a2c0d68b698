"""A stand-in for Gitea: users, repositories and webhooks as its API has them, over TLS, with real git behind it.

https://docs.gitea.com/api/ and https://git-scm.com/docs/git-http-backend
"""

import base64
import json
import os
import re
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ADMIN = ("instructor", "the-password-of-gitea's-administrator")


class FakeGitea(ThreadingHTTPServer):
    """The server. ``users`` are passwords by name, ``hooks`` the webhooks of a repository, with their secrets."""

    def __init__(self, folder: Path, certificate: ssl.SSLContext) -> None:
        self.folder, self.users, self.hooks = folder, {ADMIN[0]: ADMIN[1]}, dict[str, list[dict[str, Any]]]()
        self.requests: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urlsplit(self.path)
                fake.requests.append(f"{self.command} {path.path}")
                user = fake.who(self.headers.get("Authorization", ""))
                if path.path.startswith("/api/v1/"):
                    status, value = fake.handle(user, self.command, path.path[8:], json.loads(body or "null"))
                    kind, text, headers = "application/json", json.dumps(value).encode(), []
                else:
                    status, kind, text, headers = fake.git(user, self, path, body)
                self.send_response(status)
                for name, content in (*headers, ("Content-Type", kind), ("Content-Length", str(len(text)))):
                    self.send_header(name, content)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *arguments: object) -> None:
                """Keep the tests' output clean."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.socket = certificate.wrap_socket(self.socket, server_side=True)
        self.url = f"https://localhost:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def who(self, header: str) -> str:
        """The user that a header proves, if any."""
        name, _, password = base64.b64decode(header.removeprefix("Basic ") or "Og==").decode().partition(":")
        return name if name and self.users.get(name) == password else ""

    def bare(self, name: str) -> Path:
        """The repository ``<owner>/<name>`` on disk."""
        return self.folder / f"{name}.git"

    def rev(self, name: str, what: str) -> str:
        """What git says a name in a repository is; empty where there is none."""
        command = ["git", "-C", self.bare(name), "rev-parse", "--verify", "--quiet", what]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    def create(self, name: str) -> None:
        """Make an empty repository."""
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.bare(name)], check=True)
        subprocess.run(["git", "-C", self.bare(name), "config", "http.receivepack", "true"], check=True)
        self.hooks[name] = []

    def handle(self, user: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Answer a question to the API."""
        if not user:
            return 401, {"message": "user does not exist or password is wrong"}
        if match := re.fullmatch(r"admin/users(?:/(\w+))?", path):
            return self.administrate(user, method, match[1], body)
        if (method, path) == ("GET", "user"):
            return 200, {"login": user}
        if (method, path) == ("POST", "user/repos"):
            name = f"{user}/{body['name']}"
            if name in self.hooks:
                return 409, {"message": "The repository with the same name already exists."}
            assert body["private"] and body["default_branch"] == "main"
            self.create(name)
            return 201, {"full_name": name}
        match = re.fullmatch(r"repos/(\w+/[\w-]+)(/hooks(?:/(\d+))?)?", path)
        if not match or match[1] not in self.hooks or match[1].split("/")[0] != user:
            return 404, {"message": "The target couldn't be found."}
        if not match[2]:
            return 200, {"full_name": match[1], "empty": not self.rev(match[1], "refs/heads/main")}
        return self.hook(self.hooks[match[1]], method, match[3], body)

    def administrate(self, user: str, method: str, name: str | None, body: Any) -> tuple[int, Any]:
        """What an administrator alone may do."""
        if user != ADMIN[0]:
            return 403, {"message": "user should be an admin"}
        if method == "POST" and body["username"] in self.users:
            return 422, {"message": f"user already exists [name: {body['username']}]"}
        if method == "PATCH" and not {"source_id", "login_name"} <= set(body):
            return 422, {"message": "[LoginName]: Required"}
        assert body["must_change_password"] is False
        self.users[name or body["username"]] = body["password"]
        return (201 if method == "POST" else 200), {}

    @staticmethod
    def hook(hooks: list[dict[str, Any]], method: str, number: str | None, body: Any) -> tuple[int, Any]:
        """The webhooks of a repository; their secrets are not told."""
        if method == "GET":
            return 200, [
                {**hook, "config": {k: v for k, v in hook["config"].items() if k != "secret"}} for hook in hooks
            ]
        if method == "POST":
            hooks.append({"id": len(hooks) + 1, **body})
            return 201, {}
        hooks[int(number or 0) - 1] |= body
        return 200, {}

    def git(self, user: str, request: Any, path: Any, body: bytes) -> tuple[int, str, bytes, list[tuple[str, str]]]:
        """Answer git: an owner's repositories are for the owner, and for the administrator."""
        if user not in (path.path.split("/")[1], ADMIN[0]):
            return 401, "text/plain", b"", [("WWW-Authenticate", 'Basic realm="Gitea"')]
        variables = {
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path.path,
            "QUERY_STRING": path.query,
            "REQUEST_METHOD": request.command,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "REMOTE_USER": user,
            "PATH": os.environ["PATH"],
        }
        answer = subprocess.run(["git", "http-backend"], env=variables, input=body, capture_output=True).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        return int(headers.get("Status", "200").split()[0]), headers.get("Content-Type", "text/plain"), content, []
