"""Steps that are killed at each of their writes: the points are counted in a pass without a kill."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attacked_step
from failing_proxy import FailingProxy

from jukebox_helpers.settings import KIT, Settings

HOP_BY_HOP = {"connection", "content-length", "date", "server", "transfer-encoding"}


@dataclass(frozen=True)
class Point:
    """A moment at which a step can be killed.

    Attributes:
        kind: ``write`` (a file, a program that it starts), ``asked`` (a request that is not passed on) or ``done`` (a
            request whose answer never comes).
        number: The how-manieth of its kind.
        label: What it is.
    """

    kind: str
    number: int
    label: str

    def __str__(self) -> str:
        return f"{self.kind} {self.number}: {self.label}"


@dataclass
class Step:
    """A step's function and what it is given.

    Attributes:
        name: The module and the function, with a colon between.
        arguments: An artifact is ``{"artifact": {"path": …, "metadata": {…}}}``.
        environment: What its container has.
    """

    name: str
    arguments: dict[str, Any]
    environment: dict[str, str]


class CountingProxy(FailingProxy):
    """Passes everything on and counts it; at a number the killer is told.

    Args:
        target: The real server.
        killer: Who counts.
        keep_host: Whether the name by which it was called is passed on, as a signature of S3 wants it.
    """

    protocol = "HTTP/1.1"

    def __init__(self, target: str, killer: "Killer", keep_host: bool) -> None:
        super().__init__(target)
        self.killer, self.keep_host = killer, keep_host

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request, or let the asking process die before or after it."""
        name = f"{handler.command} {urlsplit(handler.path).path}"
        number = self.killer.asked(name)
        if self.killer.is_time("asked", number):
            handler.close_connection = True
            return
        with contextlib.suppress(OSError):  # who asked may be dead
            super().handle(handler)

    def ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The real server's answer."""
        connection = http.client.HTTPConnection(self.target.hostname or "", self.target.port, timeout=60)
        left_out = {"connection", "expect"} | ({"host"} if not self.keep_host else set())
        headers = {key: value for key, value in handler.headers.items() if key.lower() not in left_out}
        connection.request(handler.command, handler.path, body, headers)
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        if self.killer.is_time("done", self.killer.answered()):
            raise ConnectionAbortedError
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        if handler.command == "HEAD" and "Content-Length" in answer.headers:
            kept["Content-Length"] = answer.headers["Content-Length"]
        return answer.status, kept, read


class Killer:
    """Runs steps against a sandbox, whole or killed at a point.

    Args:
        settings: The sandbox.
        folder: Where each step gets a folder.

    Attributes:
        address: What the steps take for the address of git and of the model registry.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.requests: list[str] = []
        self.answers, self.runs = 0, 0
        self.wanted: Point | None = None
        self.pid = 0
        self.lock, self.born = threading.Lock(), threading.Event()
        self.front = CountingProxy(settings.cluster_domain, self, keep_host=False)
        self.store = CountingProxy(settings.s3_endpoint, self, keep_host=True)
        self.address = self.front.url
        search = [KIT, KIT / "tests", KIT / "3-prod_datascience", KIT / "5-data-versioning"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search)), "OPENBLAS_NUM_THREADS": "1"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        self.parent = subprocess.Popen(
            [sys.executable, attacked_step.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.parent.stdout and self.parent.stdout.readline() == "ready\n"

    def asked(self, name: str) -> int:
        """Count a request."""
        self.born.wait(30)
        with self.lock:
            self.requests.append(name)
            return len(self.requests)

    def answered(self) -> int:
        """Count an answer."""
        with self.lock:
            self.answers += 1
            return self.answers

    def is_time(self, kind: str, number: int) -> bool:
        """Kill the step if this is the moment."""
        wanted = self.wanted
        if wanted is None or (wanted.kind, wanted.number) != (kind, number):
            return False
        os.killpg(self.pid, signal.SIGKILL)
        return True

    def container(self, *secrets: str, **more: str) -> dict[str, str]:
        """The environment of a step with these Secrets."""
        values = {"PATH": os.environ["PATH"], "JUKEBOX_GIT_SERVER": self.address, "namespace": self.settings.namespace}
        for secret in secrets:
            values |= self.settings.secret(secret)
        values |= {
            "AWS_S3_ENDPOINT": self.store.url.replace("localhost", "127.0.0.1"),
            "NO_PROXY": "127.0.0.1,localhost",
        }
        return values | {"KF_PIPELINES_SA_TOKEN_PATH": str(self.settings.token_file)} | more

    def perform(self, step: Step, point: Point | None = None) -> tuple[int, Path]:
        """Run a step: its exit code, and its folder."""
        self.runs += 1
        folder = self.folder / str(self.runs)
        (folder / "tmp").mkdir(parents=True)
        self.requests, self.answers, self.wanted = [], 0, point
        order = {
            "step": step.name,
            "arguments": step.arguments,
            "environment": step.environment | {"HOME": str(folder), "TMPDIR": str(folder / "tmp")},
            "folder": str(folder),
            "number": point.number if point and point.kind == "write" else 0,
        }
        assert self.parent.stdin and self.parent.stdout
        self.born.clear()
        self.parent.stdin.write(json.dumps(order) + "\n")
        self.parent.stdin.flush()
        self.pid = int(self.parent.stdout.readline())
        self.born.set()
        return int(self.parent.stdout.readline()), folder

    def whole(self, step: Step) -> dict[str, Any]:
        """Run a step to its end: what it ``given``, and the ``facts`` of its artifacts."""
        code, folder = self.perform(step)
        assert code == 0, (folder / "said").read_text()
        result = json.loads((folder / "result").read_text())
        shutil.rmtree(folder)
        return result

    def points(self, step: Step) -> list[Point]:
        """Run a step to its end, and list the moments at which it could have been killed."""
        code, folder = self.perform(step)
        assert code == 0, (folder / "said").read_text()
        writes = (folder / "points").read_text().splitlines()
        shutil.rmtree(folder)
        found = [Point("write", number, name) for number, name in enumerate(writes, 1)]
        for kind in ("asked", "done"):
            found += [Point(kind, number, name) for number, name in enumerate(self.requests, 1)]
        return found

    def kill(self, step: Step, point: Point) -> bool:
        """Kill a step at a point; False if it came to its end before, as threads may have it."""
        code, folder = self.perform(step, point)
        said = (folder / "said").read_text()
        shutil.rmtree(folder)
        assert code in (0, -signal.SIGKILL), said
        return code != 0

    def close(self) -> None:
        """Stop it all."""
        assert self.parent.stdin
        self.parent.stdin.close()
        self.parent.wait()
        self.front.close()
        self.store.close()
