"""Starting, stopping and describing a sandbox from outside: all that a command line needs."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import GITOPS_REPOSITORY, KIT, REPOSITORY, Settings, read_sandbox_settings
from jukebox_sandbox.events import events, is_running
from jukebox_sandbox.locks import signal_group, take_lock, try_lock
from jukebox_sandbox.ports import LOOPBACK

ALREADY_RUNNING = 75
"""The exit code of a supervisor when another one holds the state folder."""

_owned: list[subprocess.Popen[bytes]] = []
"""Supervisors whose lifeline this process holds, for as long as it lives."""


def up(
    state: Path,
    *,
    lifeline: bool = False,
    training_command: Sequence[str] | None = None,
    timeout: float = 60.0,
) -> Settings:
    """Start a sandbox, unless it is running, and wait until S3 and git answer.

    Args:
        state: The state folder; it is made when missing.
        lifeline: Whether the sandbox ends when this process ends, however that happens. A sandbox that was
            already running is left as it is.
        training_command: What a push of code runs instead of the training pipeline; ``{revision}`` in it stands
            for the commit.
        timeout: Seconds to wait at most.

    Returns:
        The sandbox's settings.

    Raises:
        JukeboxError: If it does not start, with the reason.
    """
    state = state.resolve()
    if odd := [character for character in "?%$" if character in str(state)]:
        raise JukeboxError(
            f"The state folder {state} has {' and '.join(odd)} in its path, where addresses are taken apart.",
            "Set JUKEBOX_STATE to another folder.",
        )
    if described_by(state) is not None:
        return read_sandbox_settings(state)
    if state.exists() and any(state.iterdir()) and not _is_state(state):
        raise JukeboxError(f"{state} is not empty and no sandbox's state.", "Set JUKEBOX_STATE to a new folder.")
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    search = [str(KIT), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {"JUKEBOX_STATE": str(state), "PYTHONPATH": os.pathsep.join(search)}
    for name in ("NO_PROXY", "no_proxy"):  # a company's proxy knows nothing of this laptop's loopback
        environment[name] = ",".join(filter(None, [environment.get(name), LOOPBACK]))
    if training_command:
        environment["JUKEBOX_TRAINING_COMMAND"] = shlex.join(training_command)
    with open(state / "supervisor.log", "ab") as log:
        supervisor = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jukebox_sandbox.supervisor",
                *(["--lifeline"] if lifeline else []),
                str(state),
            ],
            stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=KIT,
            start_new_session=True,
        )
    if lifeline:
        _owned.append(supervisor)
    deadline = time.monotonic() + timeout
    while described_by(state) is None:
        code = supervisor.poll()
        if code is not None and (code != ALREADY_RUNNING or not is_running(state)):
            raise _failure(state)
        if time.monotonic() > deadline:
            supervisor.terminate()
            raise JukeboxError(f"The sandbox did not answer in {timeout:g} seconds.", f"Read {state}/supervisor.log.")
        time.sleep(0.02)
    return read_sandbox_settings(state)


def described_by(state: Path) -> int | None:
    """The process id of the supervisor that is running and ready, or None."""
    try:
        pid = int(json.loads((state / "sandbox.json").read_text())["pid"])
        holder = int((state / "supervisor.lock").read_text() or 0)
    except (FileNotFoundError, ValueError):
        return None
    # A description may be left over from a supervisor that was killed.
    return pid if pid == holder and is_running(state) else None


def down(state: Path, delete: bool = False) -> bool:
    """Stop a sandbox. Its state stays: the attendee's work, the data, the models.

    Args:
        state: The state folder.
        delete: Remove the state folder as well.

    Returns:
        Whether a sandbox was running.

    Raises:
        JukeboxError: If it does not stop, or the folder to remove is no sandbox's state.
    """
    state = state.resolve()
    if state.exists() and not _is_state(state):
        raise JukeboxError(f"{state} is no sandbox's state; nothing was stopped or removed.", "Check JUKEBOX_STATE.")
    running = is_running(state)
    if running:
        os.kill(int((state / "supervisor.lock").read_text()), signal.SIGTERM)
        if delete:
            _kill_server(state / "s3" / "lock")
    # The polite signal takes as long as the parts need; then the locks' holders are ended.
    for lock, patience in ((state / "supervisor.lock", 12.0), (state / "s3" / "lock", 6.0)):
        if lock.is_file():
            descriptor = take_lock(lock, patience)
            if descriptor is None:
                raise JukeboxError(f"The holder of {lock} does not end.", f"End process {lock.read_text()}.")
            os.close(descriptor)
    (state / "sandbox.json").unlink(missing_ok=True)
    for process in [owned for owned in _owned if owned.poll() is not None]:
        _owned.remove(process)
    if delete and state.exists():
        shutil.rmtree(state)
    return running


def status(state: Path) -> dict[str, Any]:
    """Describe a sandbox, without its secrets.

    Args:
        state: The state folder.

    Returns:
        ``running`` and ``state``; when it runs also ``pid``, ``namespace``, ``pages``, ``repositories`` (URLs by
        name), ``clones`` (folders by name), ``s3_endpoint``, ``tracking_uri``, ``buckets`` and the latest
        ``events``.
    """
    from jukebox_helpers.steps import s3

    state = state.resolve()
    pid = described_by(state)
    if pid is None:
        return {"running": False, "state": str(state)}
    settings = read_sandbox_settings(state)
    names = (REPOSITORY, GITOPS_REPOSITORY)
    client = s3.s3_client(settings.secret("s3"))
    with s3.explained(client):
        present = s3.list_buckets(client)
    return {
        "running": True,
        "state": str(state),
        "pid": pid,
        "namespace": settings.namespace,
        "pages": f"{settings.cluster_domain}/",
        "repositories": {name: settings.repository_url(name) for name in names},
        "clones": {name: str(settings.clone(name)) for name in names},
        "s3_endpoint": settings.s3_endpoint,
        "tracking_uri": settings.tracking_uri,
        "buckets": present,
        "events": events(state)[-5:],
    }


def _kill_server(lock: Path) -> None:
    """End the S3 server at once, if there is one: it would wait for idle connections, to save what nobody wants."""
    if lock.is_file():
        if (descriptor := try_lock(lock)) is None:
            signal_group(int(lock.read_text() or 0), signal.SIGKILL)
        else:
            os.close(descriptor)


def _is_state(folder: Path) -> bool:
    return (folder / "supervisor.lock").is_file()


def _failure(state: Path) -> JukeboxError:
    log = state / "supervisor.log"
    said = "\n".join(log.read_text(errors="replace").strip().splitlines()[-15:])
    what, _, next_action = said.partition("\nNext: ")
    return JukeboxError(f"The sandbox does not start. {what}", next_action or f"Read {log}.")
