"""Starting, stopping and describing a sandbox from outside: all that a command line needs."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jukebox_sandbox import s3
from jukebox_sandbox.configuration import Configuration, read_configuration
from jukebox_sandbox.door import PAGES_ROOT
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.events import MAIN, events, is_running
from jukebox_sandbox.guard import PACKAGES
from jukebox_sandbox.locks import one_at_a_time, signal_group, take_lock, try_lock
from jukebox_sandbox.login import login_link
from jukebox_sandbox.ports import LOOPBACK
from jukebox_sandbox.repositories import bare_repository, git, uncommitted
from jukebox_sandbox.state import USER, bring_up_to_date, read_sandbox

ON_ITS_WAY = ("pending", "success")
"""The commit statuses of what will be done, or is."""

ALREADY_RUNNING = 75
"""The exit code of a supervisor when another one holds the state folder."""


def up(state: Path, file: Path, *, lifeline: bool = False, forget: bool = False, timeout: float = 60.0) -> list[str]:
    """Start a sandbox, unless it is running, and wait until S3 and git answer.

    Args:
        state: The state folder; it is made when missing.
        file: The ``sandbox.toml`` that says what it holds.
        lifeline: Whether the sandbox ends when this process's standard input closes. A sandbox that was already
            running is left as it is.
        forget: Whether its state folder goes, too, when it ends in that way: it holds secrets that nobody wants.
        timeout: Seconds to wait at most.

    Returns:
        What the reader should know: notes, often none.

    Raises:
        SandboxError: If it does not start, with the reason.
    """
    state = state.resolve()
    if odd := [character for character in "?%$" if character in str(state)]:
        raise SandboxError(
            f"The path {state} contains {' and '.join(map(repr, odd))}, which has a meaning in addresses.",
            "Set JUKEBOX_STATE to another folder.",
        )
    configuration = read_configuration(file)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with one_at_a_time(state):
        options = ["--lifeline"] * lifeline + ["--forget"] * forget
        return [] if described_by(state) is not None else _prepare_and_start(state, configuration, options, timeout)


def _prepare_and_start(state: Path, configuration: Configuration, options: list[str], timeout: float) -> list[str]:
    """Start a sandbox that is not running."""
    if any(state.iterdir()) and not _is_state(state):
        raise SandboxError(
            f"{state} is not empty and is not the state of a sandbox.", "Set JUKEBOX_STATE to a new folder."
        )
    (state / "supervisor.lock").touch(0o600)  # first of all: it says what this folder is
    state.chmod(0o700)
    notes = [] if is_running(state) else list(filter(None, [bring_up_to_date(state)]))
    is_new = not all(bare_repository(state, USER, name).is_dir() for name in configuration.repositories)
    if is_new and (edited := uncommitted(configuration.checkout)):
        shown = ", ".join(edited[:5]) + (f" and {len(edited) - 5} more" if len(edited) > 5 else "")
        notes.append(f"The repositories begin with your working tree, which differs from its last commit: {shown}.")
    _start(state, configuration.file, options, timeout)
    return notes


def _start(state: Path, file: Path, options: list[str], timeout: float) -> None:
    """Start the supervisor and wait until it says that everything answers."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    search = [str(PACKAGES), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {"JUKEBOX_STATE": str(state), "PYTHONPATH": os.pathsep.join(search)}
    for name in ("NO_PROXY", "no_proxy"):  # a company's proxy knows nothing of this laptop's loopback
        environment[name] = ",".join(filter(None, [environment.get(name), LOOPBACK]))
    with open(state / "supervisor.log", "ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "jukebox_sandbox.supervisor", *options, str(state), str(file)],
            stdin=None if "--lifeline" in options else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=file.parent,
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout
    while described_by(state) is None:
        code = supervisor.poll()
        if code is not None and (code != ALREADY_RUNNING or not is_running(state)):
            raise _failure(state)
        if time.monotonic() > deadline:
            supervisor.terminate()
            raise SandboxError(f"The sandbox did not answer in {timeout:g} seconds.", f"Read {state}/supervisor.log.")
        time.sleep(0.02)


def described_by(state: Path) -> int | None:
    """The process id of the supervisor that is running and ready, or None."""
    try:
        pid = int(json.loads((state / "platform.json").read_text())["pid"])
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
        SandboxError: If it does not stop, or the folder to remove is not a sandbox's state.
    """
    state = state.resolve()
    if state.exists() and not _is_state(state):
        raise SandboxError(
            f"{state} is not the state of a sandbox; nothing was stopped or removed.", "Check JUKEBOX_STATE."
        )
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
                raise SandboxError(f"The holder of {lock} does not end.", f"End process {lock.read_text()}.")
            os.close(descriptor)
    (state / "platform.json").unlink(missing_ok=True)
    if delete and state.exists():
        shutil.rmtree(state)
    return running


def status(state: Path) -> dict[str, Any]:
    """Describe a sandbox, without its secrets.

    Args:
        state: The state folder.

    Returns:
        ``running`` and ``state``; when it runs also ``pid``, ``namespace``, ``dashboard`` (a link that logs in once),
        ``repositories`` (URLs by name), ``clones`` (folders by name), ``s3_endpoint``, ``registry``,
        ``pipeline_server``, ``buckets``, the latest ``events``, and ``untrained``: heads of main that were pushed and
        of which nothing came, with ``repository``, ``revision``, ``status`` and ``description``.
    """
    state = state.resolve()
    pid = described_by(state)
    if pid is None:
        return {"running": False, "state": str(state)}
    sandbox = read_sandbox(state)
    folders = json.loads((state / "platform.json").read_text())["clones"]
    client = s3.client(sandbox.secret("s3"))
    with s3.explained(client):
        present = s3.list_buckets(client)
    return {
        "running": True,
        "state": str(state),
        "pid": pid,
        "namespace": sandbox.namespace,
        "dashboard": login_link(sandbox, pid, f"{PAGES_ROOT}/"),
        "repositories": {name: sandbox.repository_url(name) for name in folders},
        "clones": folders,
        "s3_endpoint": sandbox.s3_endpoint,
        "registry": sandbox.registry,
        "pipeline_server": sandbox.base_url,
        "buckets": present,
        "events": with_statuses(state, events(state)[-5:]),
        "untrained": [
            one for one in with_statuses(state, pushed_heads(state, folders)) if one["status"] not in ON_ITS_WAY
        ],
    }


def move_clock(state: Path, days: int) -> dict[str, Any]:
    """Move the clock of a running sandbox forward, for lessons and tests; what is due then runs.

    Args:
        state: The state folder.
        days: How many days, at least one.

    Returns:
        ``now``, the time that the sandbox has then, and ``days``, how many that is ahead.

    Raises:
        SandboxError: If no sandbox is running, or it refuses.
    """
    if described_by(state) is None:
        raise SandboxError(f"No sandbox is running in {state}.", "Start it with ./jukebox up.")
    sandbox = read_sandbox(state)
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {sandbox.secret('pipeline-server')['token']}",
    }
    connection = http.client.HTTPConnection(sandbox.base_url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", "/sandbox/clock", json.dumps({"days": days}), headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SandboxError(f"The sandbox did not answer: {error}.", "Look at ./jukebox status.") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        what, _, next_action = said["message"].partition("\nNext: ")
        raise SandboxError(f"The clock was not moved: {what}", next_action)
    return said


def pushed_heads(state: Path, names: Iterable[str]) -> list[dict[str, Any]]:
    """The heads of main, ``repository`` and ``revision``, of the repositories that were pushed to."""
    form = "--format=%(objectname) %(parent)"
    heads = {name: git(bare_repository(state, USER, name), "for-each-ref", form, MAIN) for name in names}
    return [{"repository": name, "revision": head.split()[0]} for name, head in heads.items() if len(head.split()) > 1]


def with_statuses(state: Path, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with what their commits' newest statuses say: ``status`` and ``description``, where there is one."""
    from jukebox_sandbox.commit_statuses import CommitStatuses
    from jukebox_sandbox.pipeline_server.tables import open_database

    engine = open_database(state)
    statuses = CommitStatuses(engine)
    found = []
    for event in known:
        latest = list(statuses.latest(event["repository"], event["revision"]).values())[:1]
        said = {"status": latest[0].state, "description": latest[0].description} if latest else {}
        found.append({**event, "status": "", "description": "", **said})
    engine.dispose()
    return found


def _kill_server(lock: Path) -> None:
    """End the S3 server at once, if there is one: it would wait for idle connections, to save what nobody wants."""
    if lock.is_file():
        if (descriptor := try_lock(lock)) is None:
            signal_group(int(lock.read_text() or 0), signal.SIGKILL)
        else:
            os.close(descriptor)


def _is_state(folder: Path) -> bool:
    return (folder / "supervisor.lock").is_file()


def _failure(state: Path) -> SandboxError:
    log = state / "supervisor.log"
    said = "\n".join(log.read_text(errors="replace").strip().splitlines()[-15:])
    what, _, next_action = said.partition("\nNext: ")
    return SandboxError(f"The sandbox does not start. {what}", next_action or f"Read {log}.")
