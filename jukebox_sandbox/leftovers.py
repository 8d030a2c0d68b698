"""What killed commands and overwritten objects leave on a laptop, and how it goes."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from jukebox_sandbox import control, ports
from jukebox_sandbox.events import is_running
from jukebox_sandbox.object_store import ask_master

OLD = 86_400.0
"""Seconds since the last start of a sandbox whose state may be a leftover."""


def left_states(folder: Path) -> list[Path]:
    """The temporary states of this user's that nobody holds: their command was killed with its sandbox.

    Args:
        folder: Where temporary folders are made.
    """
    found = []
    for state in folder.glob("jukebox-*-*"):
        lock = state / "supervisor.lock"
        own = not state.is_symlink() and lock.is_file() and lock.stat().st_uid == os.getuid()
        if own and time.time() - lock.stat().st_mtime > OLD and not is_running(state):
            found.append(state)
    return sorted(found)


def clean(state: Path, dry_run: bool) -> dict[str, Any]:
    """Give back the space of overwritten and deleted objects, and remove what killed commands left.

    Args:
        state: The state folder of the sandbox.
        dry_run: Only say what would go.

    Returns:
        ``folders``: the states that were left.
    """
    left = left_states(Path(tempfile.gettempdir()))
    if not dry_run:
        for one in left:
            control.down(one, delete=True)
        # SeaweedFS does so by itself every 14 minutes, for volumes of which 30 % are free.
        if is_running(state) and "master" in ports.known_ports(state):
            ask_master(state, "/vol/vacuum?garbageThreshold=0.001")
    return {"folders": [str(one) for one in left]}
