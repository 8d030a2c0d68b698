"""The sandbox of this laptop: a program beside the library, started and asked, never imported."""

import base64
import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.laptop import refusal, sandbox_program
from jukebox_helpers.pipelines.training import OVER
from jukebox_helpers.settings import KIT, Settings, read_sandbox_settings
from jukebox_helpers.waiting import wait_until

CONFIGURATION = KIT / "sandbox.toml"
MAIN = "refs/heads/main"

_lifelines: list[int] = []
"""Writing ends of pipes: the sandboxes at the other ends stop when this process does, however that happens."""


def program(*arguments: str | Path, lifeline: int | None = None) -> Any:
    """Run the sandbox's program.

    Args:
        arguments: Its command and what it takes.
        lifeline: A file descriptor for its standard input.

    Returns:
        What it prints, as JSON.

    Raises:
        JukeboxError: If it fails, in its own words.
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


def up(state: Path, *, lifeline: bool = False, configuration: Path = CONFIGURATION) -> Settings:
    """Start a sandbox, unless it is running, and wait until S3 and git answer.

    Args:
        state: The state folder; it is made when missing.
        lifeline: Whether the sandbox ends when this process ends, however that happens. A sandbox that was
            already running is left as it is.
        configuration: The ``sandbox.toml`` that says what it holds.

    Returns:
        The sandbox's settings; ``notes`` are what the reader should know.

    Raises:
        JukeboxError: If it does not start, with the reason.
    """
    options: list[str | Path] = ["up", state.resolve(), configuration]
    if not lifeline:
        known = program(*options)
    else:
        reading, writing = os.pipe()
        try:
            known = program(*options, "--lifeline", lifeline=reading)
            _lifelines.append(writing)
        finally:
            os.close(reading)
    return read_sandbox_settings(state.resolve(), tuple(known["notes"]))


def down(state: Path, delete: bool = False) -> bool:
    """Stop a sandbox. Its state stays: the attendee's work, the data, the models.

    Args:
        state: The state folder.
        delete: Remove the state folder as well.

    Returns:
        Whether a sandbox was running.

    Raises:
        JukeboxError: If it does not stop, or the folder to remove is not the state of a sandbox.
    """
    return program("down", state.resolve(), *["--delete"] * delete)["running"]


def status(state: Path) -> dict[str, Any]:
    """Describe a sandbox, without its secrets: whether it runs, its addresses, buckets and latest pushes."""
    return program("status", state.resolve())


def clone_again(state: Path) -> None:
    """Clone the repositories of a running sandbox again, where the attendee's clone is gone."""
    program("clone", state, CONFIGURATION)


def pushes(settings: Settings) -> list[dict[str, Any]]:
    """Every push that a sandbox was told of, oldest first, each in its latest state.

    Args:
        settings: The sandbox.

    Returns:
        Pushes with the keys ``id``, ``repository``, ``ref``, ``revision``, ``version``, ``state``, ``detail``.

    Raises:
        JukeboxError: If the sandbox does not answer.
    """
    secret = settings.secret("git-auth")
    token = base64.b64encode(f"{secret['username']}:{secret['password']}".encode()).decode()
    request = urllib.request.Request(f"{settings.cluster_domain}/events", headers={"Authorization": f"Basic {token}"})
    # The sandbox is on loopback: no proxy is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return json.loads(answer.read())
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise JukeboxError(f"The sandbox does not answer: {error}", "Run ./jukebox up.") from None


def wait_for(settings: Settings, revision: str, timeout: float) -> dict[str, Any]:
    """Wait until nothing more happens to the push of a revision.

    Args:
        settings: The sandbox.
        revision: The commit that was pushed, or its first characters.
        timeout: Seconds to wait at most.

    Returns:
        The push, in one of the states `OVER`.

    Raises:
        JukeboxError: If time runs out, or the sandbox stops meanwhile.
    """
    found: list[dict[str, Any]] = []

    def done() -> dict[str, Any] | None:
        found[:] = [push for push in pushes(settings) if push["revision"].startswith(revision)]
        return found[-1] if found and found[-1]["state"] in OVER else None

    def late() -> JukeboxError:
        seen = f"it is {found[-1]['state']}" if found else "the sandbox has seen none"
        what = f"The push of {revision[:10]} was not done in {timeout:g} seconds: {seen}."
        return JukeboxError(what, "Run ./jukebox status.")

    return wait_until(done, timeout, late, every=0.1)
