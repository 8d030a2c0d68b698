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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attacked_step
from failing_proxy import FailingProxy

from jukebox_helpers.settings import KIT, Settings

MODULES = ("boto3", "s3transfer.manager", "dvc.repo", "dvc_s3", "pyarrow.parquet", "model_registry", "data_steps")
MODULES += ("fetch_data", "fetch_previous_model", "prepare_data", "train_model", "evaluate_model", "register_model")
"""What the steps of both pipelines import, and the files that declare them."""

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
        room: Bytes that a file of it may have, as on a disk that is full then; None for all.
    """

    name: str
    arguments: dict[str, Any]
    environment: dict[str, str]
    room: int | None = None


class Forks:
    """A process that has imported what is needed, and forks for each function that is run.

    Args:
        modules: What it imports.
        folder: Where each run gets a folder.
    """

    def __init__(self, modules: Sequence[str], folder: Path) -> None:
        self.folder, self.runs = folder, 0
        search = [KIT, KIT / "tests", KIT / "3-prod_datascience", KIT / "5-data-versioning"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search)), "OPENBLAS_NUM_THREADS": "1"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, attacked_step.__file__, *modules]
        piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.parent = subprocess.Popen(command, env=environment, **piped)
        assert self.parent.stdout and self.parent.stdout.readline() == "ready\n"

    def run(
        self, step: Step, number: int = 0, born: Callable[[int], None] = lambda pid: None
    ) -> tuple[int, dict[str, Any], list[str]]:
        """Run a function.

        Args:
            step: The function.
            number: The write at which it dies.
            born: Hears its process id.

        Returns:
            Its exit code, what it gave (or ``said``, where it failed), and the writes that it came to.
        """
        self.runs += 1
        folder = self.folder / str(self.runs)
        (folder / "tmp").mkdir(parents=True)
        order = {
            "step": step.name,
            "arguments": step.arguments,
            "environment": step.environment | {"HOME": str(folder), "TMPDIR": str(folder / "tmp")},
            "folder": str(folder),
            "number": number,
            "room": step.room,
        }
        assert self.parent.stdin and self.parent.stdout
        self.parent.stdin.write(json.dumps(order) + "\n")
        self.parent.stdin.flush()
        born(int(self.parent.stdout.readline()))
        code = int(self.parent.stdout.readline())
        said = (folder / "said").read_text()
        result = json.loads((folder / "result").read_text()) if code == 0 else {"said": said}
        writes = (folder / "points").read_text().splitlines() if (folder / "points").exists() else []
        shutil.rmtree(folder)
        return code, result, writes

    def close(self) -> None:
        """Stop it."""
        assert self.parent.stdin
        self.parent.stdin.close()
        self.parent.wait()


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
        self.settings = settings
        self.requests: list[str] = []
        self.answers = 0
        self.wanted: Point | None = None
        self.pid = 0
        self.lock, self.born = threading.Lock(), threading.Event()
        self.front = CountingProxy(settings.cluster_domain, self, keep_host=False)
        self.store = CountingProxy(settings.s3_endpoint, self, keep_host=True)
        self.address = self.front.url
        self.forks = Forks(MODULES, folder)

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

    def perform(self, step: Step, point: Point | None = None) -> tuple[int, dict[str, Any], list[str]]:
        """Run a step, which may die at a point; see `Forks.run`."""
        self.requests, self.answers, self.wanted = [], 0, point
        self.born.clear()

        def note(pid: int) -> None:
            self.pid = pid
            self.born.set()

        return self.forks.run(step, point.number if point and point.kind == "write" else 0, note)

    def whole(self, step: Step) -> dict[str, Any]:
        """Run a step to its end: what it ``given``, and the ``facts`` of its artifacts."""
        code, result, _ = self.perform(step)
        assert code == 0, result["said"]
        return result

    def points(self, step: Step) -> list[Point]:
        """Run a step to its end, and list the moments at which it could have been killed."""
        code, result, writes = self.perform(step)
        assert code == 0, result["said"]
        found = [Point("write", number, name) for number, name in enumerate(writes, 1)]
        for kind in ("asked", "done"):
            found += [Point(kind, number, name) for number, name in enumerate(self.requests, 1)]
        return found

    def kill(self, step: Step, point: Point) -> bool:
        """Kill a step at a point; False if it came to its end before, as threads may have it."""
        code, result, _ = self.perform(step, point)
        assert code in (0, -signal.SIGKILL), result["said"]
        return code != 0

    def close(self) -> None:
        """Stop it all."""
        self.forks.close()
        self.front.close()
        self.store.close()
