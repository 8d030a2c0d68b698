"""A process that runs steps as they are attacked: each in a child that may die at its Nth write.

Started by its path, it imports once the modules that its arguments name; a line of JSON on standard input is a step,
which a fork of it runs. It answers with the child's process id at once, and with its exit code when it is over; see
`killing.Forks`.
"""

import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")


class FakeArtifact:
    """What a step sees of an artifact: a path, facts, and where metrics go."""

    def __init__(self, path: str, metadata: dict[str, Any]) -> None:
        self.path, self.metadata = path, metadata

    def log_metric(self, name: str, value: float) -> None:
        """Keep nothing."""

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Keep nothing."""


def label(event: str, arguments: tuple[Any, ...]) -> str:
    """What a point is called: an event that writes a file or starts a program; empty for any other."""
    if event == "open":
        path, mode, flags = arguments
        written = set(mode or "") & set("wax+") or (flags or 0) & WRITES
        return f"open {os.path.basename(str(path))}" if written and path != os.devnull else ""
    if event == "subprocess.Popen":
        return "run " + " ".join(
            Path(part).name for part in arguments[1] if not part.startswith(("-", "cred", "http."))
        )
    return f"{event} {os.path.basename(str(arguments[0]))}" if event in CHANGES else ""


def watch(number: int, log: str) -> list[bool]:
    """Write down each point, as long as what is returned is true; at the Nth one die, with what was started."""
    points = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seen, on = [0], [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if on[0] and (name := label(event, arguments)):
            seen[0] += 1
            if seen[0] == number:
                os.killpg(0, signal.SIGKILL)
            os.write(points, f"{name[:80]}\n".encode())

    sys.addaudithook(hook)
    return on


def artifacts(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a step, with what stands for an artifact made one."""
    return {
        key: FakeArtifact(**value["artifact"]) if isinstance(value, dict) and "artifact" in value else value
        for key, value in given.items()
    }


def perform(order: dict[str, Any]) -> int:
    """Run a step in this process; what it gave is in the file ``result`` of its folder."""
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    tempfile.tempdir = None  # it is what the environment says now
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    module, _, name = order["step"].partition(":")
    component = getattr(importlib.import_module(module), name)
    arguments = artifacts(order["arguments"])
    room = order.get("room")
    on = watch(order["number"], "points") if room is None else [False]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if room is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        given = getattr(component, "python_func", component)(**arguments)
        failed = False
    except BaseException as error:
        failed = True
        trace = "".join(traceback.format_exception(error))
    on[0] = False
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if failed:
        print(trace, flush=True)
        return 1
    sys.stdout.flush()
    facts = {key: value.metadata for key, value in arguments.items() if isinstance(value, FakeArtifact)}
    descriptor = os.open("result", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, json.dumps({"given": given, "facts": facts}).encode())
    return 0


def main() -> None:
    """Run one step after the other."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if not (pid := os.fork()):
            os.setsid()
            os._exit(perform(order))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
