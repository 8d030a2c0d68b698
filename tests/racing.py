"""Steps that run at once: each is a fork of one process, and all begin at one moment."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import attacked_step


def race(folder: str, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run functions at once.

    Args:
        folder: Where each one gets a folder.
        steps: For each its ``step`` (``module:function``), ``arguments`` and ``environment``.

    Returns:
        For each its exit code, ``code``, what it ``given`` and what it ``said``.
    """
    sys.stdout.flush()
    start, go = os.pipe()
    children = []
    for number, step in enumerate(steps):
        place = Path(folder) / str(number)
        (place / "tmp").mkdir(parents=True)
        if not (pid := os.fork()):
            os.close(go)
            os.read(start, 1)  # until the other end is closed
            own = {"HOME": str(place), "TMPDIR": str(place / "tmp")}
            order = step | {"environment": step["environment"] | own, "folder": str(place), "number": 0}
            os._exit(attacked_step.perform(order))
        children.append((pid, place))
    os.close(go)
    found = []
    for pid, place in children:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        given = json.loads((place / "result").read_text())["given"] if code == 0 else None
        found.append({"code": code, "given": given, "said": (place / "said").read_text()})
    return found
