"""Git over smart HTTP: git's own upload-pack and receive-pack behind WSGI, so that a push is compare-and-swap.

Protocol: https://git-scm.com/docs/http-protocol (the smart, stateless one).
"""

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from jukebox_sandbox.repositories import server_environment

Respond = Callable[..., Any]

SERVICES = ("git-upload-pack", "git-receive-pack")
CHUNK = 1 << 16
NO_CACHE = ("Cache-Control", "no-cache, max-age=0, must-revalidate")


class GitServer:
    """A WSGI application that serves the bare repositories of a folder.

    It knows no users: put it behind authentication.

    Args:
        root: The folder; ``<root>/<user>/<name>.git`` is served as ``/<user>/<name>.git``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer one request of the git protocol."""
        found = re.fullmatch(r"/([\w-]+)/(\w[\w.-]*\.git)/(info/refs|git-[a-z]+-pack)", environ["PATH_INFO"])
        repository = self.root / found[1] / found[2] if found else None
        if not found or not repository or not repository.is_dir():
            return _refuse(respond, "404 Not Found", "There is no such repository.")
        if found[3] == "info/refs" and environ["REQUEST_METHOD"] == "GET":
            service = environ.get("QUERY_STRING", "").removeprefix("service=")
            if service not in SERVICES:
                return _refuse(respond, "403 Forbidden", "Only git's smart HTTP protocol is spoken here.")
            return self._advertise(environ, respond, service, repository)
        # The type is checked because no web page can send it from elsewhere with a browser's credentials.
        expected = f"application/x-{found[3]}-request"
        if found[3] in SERVICES and environ["REQUEST_METHOD"] == "POST" and environ.get("CONTENT_TYPE") == expected:
            return self._serve(environ, respond, found[3], repository)
        return _refuse(respond, "400 Bad Request", "This is not what git asks.")

    def _advertise(self, environ: dict[str, Any], respond: Respond, service: str, repository: Path) -> list[bytes]:
        done = subprocess.run(
            _command(service, "--advertise-refs", repository),
            env=_environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        )
        banner = f"# service={service}\n".encode()
        respond("200 OK", [("Content-Type", f"application/x-{service}-advertisement"), NO_CACHE])
        return [b"%04x" % (len(banner) + 4) + banner + b"0000" + done.stdout]

    def _serve(self, environ: dict[str, Any], respond: Respond, service: str, repository: Path) -> Iterator[bytes]:
        # A file, not a pipe: git may answer before it has read everything.
        with tempfile.TemporaryFile() as request:
            body = environ["wsgi.input"]
            if environ.get("HTTP_CONTENT_ENCODING") in ("gzip", "x-gzip"):
                body = gzip.GzipFile(fileobj=body)
            shutil.copyfileobj(body, request, CHUNK)
            request.seek(0)
            process = subprocess.Popen(
                _command(service, repository), env=_environment(environ), stdin=request, stdout=subprocess.PIPE
            )
        respond("200 OK", [("Content-Type", f"application/x-{service}-result"), NO_CACHE])
        return _output(process)


def _command(service: str, *arguments: str | Path) -> list[str | Path]:
    # The repositories are this user's own, whatever user id a container gave.
    return ["git", "-c", "safe.directory=*", service.removeprefix("git-"), "--stateless-rpc", *arguments]


def _environment(environ: dict[str, Any]) -> dict[str, str]:
    version = environ.get("HTTP_GIT_PROTOCOL", "")
    chosen = {"GIT_PROTOCOL": version} if re.fullmatch(r"version=\d", version) else {}
    return server_environment() | chosen


def _output(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    with process:  # leaving early closes the pipe and waits
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), CHUNK):
            yield chunk


def _refuse(respond: Respond, status: str, reason: str) -> list[bytes]:
    respond(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [reason.encode() + b"\n"]
