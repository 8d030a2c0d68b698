"""The sandbox of this laptop: a program beside the library, started and asked, never imported."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, Settings, read_sandbox_settings

CONFIGURATION = KIT / "sandbox.toml"

_lifelines: list[int] = []
"""Writing ends of pipes: the sandboxes at the other ends stop when this process does, however that happens."""


def sandbox_program(*arguments: str | Path) -> dict[str, Any]:
    """What starts the sandbox's program, found in the kit, with this Python: ``args`` and ``env`` for `subprocess`."""
    search = os.pathsep.join([str(KIT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "jukebox_sandbox", *map(str, arguments)]
    return {"args": command, "env": {**os.environ, "PYTHONPATH": search}}


def refusal(said: str) -> JukeboxError:
    """The error that the sandbox's program printed last, as one of ours."""
    try:
        known = json.loads(said.strip().splitlines()[-1])
        return JukeboxError(known["what"], known["next"])
    except (ValueError, KeyError, IndexError, TypeError):
        return JukeboxError(f"The sandbox's program failed: {said.strip()[-2000:]}", "Run ./jukebox doctor.")


def program(*arguments: str | Path, lifeline: int | None = None) -> Any:
    """Run the sandbox's program: what it prints, as JSON; or a `JukeboxError`, in its own words.

    The lifeline is a file descriptor for its standard input.
    """
    done = subprocess.run(
        **sandbox_program(*arguments),
        stdin=subprocess.DEVNULL if lifeline is None else lifeline,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise refusal(done.stderr)
    return json.loads(done.stdout)


def up(state: Path, *, lifeline: bool = False, forget: bool = False, configuration: Path = CONFIGURATION) -> Settings:
    """Start a sandbox, unless it is running, and wait until S3 and git answer.

    With a lifeline it ends when this process ends, however that happens; one that was running already is left as it is.
    Told to forget, it then removes its state folder as well.
    The configuration is the ``sandbox.toml`` that says what it holds. Returns its settings, whose ``notes`` are what
    the reader should know; if it does not start, that is a JukeboxError with the reason.
    """
    options: list[str | Path] = ["up", state.resolve(), configuration]
    if not lifeline:
        known = program(*options)
    else:
        reading, writing = os.pipe()
        try:
            known = program(*options, "--lifeline", *["--forget"] * forget, lifeline=reading)
            _lifelines.append(writing)
        finally:
            os.close(reading)
    return read_sandbox_settings(state.resolve(), tuple(known["notes"]))


def down(state: Path, delete: bool = False) -> bool:
    """Stop a sandbox, and return whether one was running.

    Its state stays (the attendee's work, the data, the models), unless it is to be deleted as well. A sandbox that does
    not stop, or a folder that is not a sandbox's state, is a JukeboxError.
    """
    return program("down", state.resolve(), *["--delete"] * delete)["running"]


@contextmanager
def temporary_state(purpose: str) -> Iterator[Path]:
    """A new state folder, which ``JUKEBOX_STATE`` names in the block; it and its sandbox go afterwards."""
    state, before = Path(tempfile.mkdtemp(prefix=f"jukebox-{purpose}-")), os.environ.get("JUKEBOX_STATE")
    os.environ["JUKEBOX_STATE"] = str(state)
    try:
        yield state
    finally:
        if any(state.iterdir()):  # else none was started there
            down(state)
        shutil.rmtree(state, ignore_errors=True)
        os.environ.pop("JUKEBOX_STATE", None) if before is None else os.environ.update(JUKEBOX_STATE=before)


def status(state: Path) -> dict[str, Any]:
    """Describe a sandbox, without its secrets: whether it runs, its addresses, buckets and latest pushes."""
    return program("status", state.resolve())


def clone_again(state: Path) -> None:
    """Clone the repositories of a running sandbox again, where the attendee's clone is gone."""
    program("clone", state, CONFIGURATION)


def move_clock(state: Path, days: int = 1) -> None:
    """Move the clock of a running sandbox forward by so many days; what is due then runs."""
    program("clock", state, str(days))


def clean(state: Path, dry_run: bool) -> list[str]:
    """Let a sandbox give back the space of overwritten objects; the states that killed commands left, which go too."""
    return program("clean", state.resolve(), *["--dry-run"] * dry_run)["folders"]
