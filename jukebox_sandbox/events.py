"""The trigger: Gitea-shaped push events, who may send them, which ones count, and the record of what became of them.

The filter is the cluster's: event ``push``, branch ``main``, version = the first 10 characters of the head commit.
Payload: https://docs.gitea.com/usage/webhooks
"""

import contextlib
import errno
import hashlib
import hmac
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.locks import try_lock

MAIN = "refs/heads/main"
NOTHING_TO_DO = "[skip ci]"
"""A push whose last commit has this in its message starts nothing, as elsewhere, too."""

OVER = ("done", "failed", "ignored", "refused")
"""The states in which nothing more happens to an event."""

KEPT = 1000
"""How many events a start keeps that are over, with their logs. A delivery of an earlier one would be taken again."""

UNSIGNED = "the signature is missing or wrong"

_counting = threading.Lock()


def sign(body: bytes, key: str) -> str:
    """The signature that Gitea sends as ``X-Gitea-Signature``: HMAC-SHA256 of the body, in hex."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def record(state: Path, event: dict[str, Any], outcome: str, detail: str = "") -> dict[str, Any]:
    """Append an event's new state to ``events.jsonl``.

    Args:
        state: The sandbox's state folder.
        event: The event so far.
        outcome: Its new state: ``queued``, ``running``, ``done``, ``failed``, ``ignored`` or ``refused``.
        detail: Why, or what came of it.

    Returns:
        The event with its new state.

    Raises:
        OSError: If it cannot be written, e.g. because the disk is full.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    event = {**event, "state": outcome, "detail": detail, "at": now}
    line = (json.dumps(event) + "\n").encode()
    # One write: readers that follow the file never see half a line of ours between two of another thread.
    descriptor = os.open(state / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        written = os.write(descriptor, line)
        if written < len(line):  # half a line would spoil the next one
            os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR) - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(state / "events.jsonl"))
    finally:
        os.close(descriptor)
    return event


def events(state: Path) -> list[dict[str, Any]]:
    """Every event that the sandbox received, oldest first, each in its latest state.

    Args:
        state: The sandbox's state folder.

    Returns:
        Events with the keys ``id``, ``received``, ``event``, ``repository``, ``ref``, ``revision``, ``version``,
        ``state``, ``detail``, ``at`` and, once it ran, ``log``.
    """
    file = state / "events.jsonl"
    if not file.is_file():
        return []
    latest: dict[str, dict[str, Any]] = {}
    for line in file.read_text().splitlines(keepends=True):
        if line.endswith("\n"):  # the last one may be in the making
            event = json.loads(line)
            latest[event["id"]] = event
    return list(latest.values())


def count_refused(state: Path) -> None:
    """Note that an unsigned delivery came: how many have, and when the last one did. Nothing of it is kept.

    Args:
        state: The sandbox's state folder.
    """
    file = state / "refused.json"
    with _counting, contextlib.suppress(OSError):  # a full disk changes no answer
        number = json.loads(file.read_text())["number"] if file.is_file() else 0
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        partial = state / "refused.json.partial"
        partial.touch(0o600)
        partial.write_text(json.dumps({"number": number + 1, "last": now, "detail": UNSIGNED}) + "\n")
        partial.replace(file)


def delivered(state: Path, delivery: str) -> dict[str, Any] | None:
    """The event of a delivery that was taken before, or None."""
    return next((event for event in reversed(events(state)) if event.get("delivery") == delivery), None)


def forget_old(state: Path) -> None:
    """Keep the newest events in their latest state, and the logs that they name. Call it while nothing is recorded.

    Args:
        state: The sandbox's state folder.
    """
    known = events(state)
    kept = [event for event in known[:-KEPT] if event["state"] not in OVER] + known[-KEPT:]
    partial = state / "events.jsonl.partial"
    with open(partial, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.writelines(json.dumps(event) + "\n" for event in kept)
    partial.replace(state / "events.jsonl")
    named = {event.get("log") for event in kept}
    for log in (state / "events").glob("*.log"):
        if str(log) not in named:
            log.unlink()


def wait_for(state: Path, revision: str, timeout: float) -> dict[str, Any]:
    """Wait until nothing more happens to the push of a revision.

    Args:
        state: The sandbox's state folder.
        revision: The commit that was pushed, or its first characters.
        timeout: Seconds to wait at most.

    Returns:
        The event, whose ``state`` is ``done``, ``failed`` or ``ignored``.

    Raises:
        SandboxError: If time runs out, or the sandbox stops meanwhile.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = [event for event in events(state) if event["revision"].startswith(revision)]
        if found and found[-1]["state"] in OVER:
            return found[-1]
        seen = f"it is {found[-1]['state']}, see {found[-1].get('log', 'events.jsonl')}" if found else "no event came"
        if not is_running(state):
            raise SandboxError(f"The sandbox stopped before the push of {revision[:10]} was done.", "./jukebox up")
        if time.monotonic() > deadline:
            raise SandboxError(f"The push of {revision[:10]} was not done in {timeout:g} seconds: {seen}.")
        time.sleep(0.1)


def is_running(state: Path) -> bool:
    """Whether a supervisor holds the state folder."""
    lock = state / "supervisor.lock"
    if not lock.is_file():
        return False
    if (descriptor := try_lock(lock)) is None:
        return True
    os.close(descriptor)
    return False


def new_event(kind: str, delivery: str = "") -> dict[str, Any]:
    """An event that has just come, of which nothing but its kind and its delivery is known."""
    received = datetime.now(UTC).isoformat(timespec="milliseconds")
    of_push = dict.fromkeys(("repository", "ref", "revision", "version"), "")
    return {"id": uuid.uuid4().hex, "received": received, "event": kind, "delivery": delivery, **of_push}


def judge(
    headers: Mapping[str, str], body: bytes, key: str, user: str, followed: Collection[str]
) -> tuple[dict[str, Any], str, str]:
    """Decide about a delivery.

    Args:
        headers: The request's headers.
        body: The request's body, unchanged.
        key: The key that deliveries are signed with.
        user: Whose repositories are followed.
        followed: Their names.

    Returns:
        The event, its first state (``queued``, ``ignored`` or ``refused``) and the reason. One that is not signed
        has no ``delivery``, and nothing else of it either: anybody may have written it.
    """
    signature = sign(body, key)
    if not hmac.compare_digest(headers.get("X-Gitea-Signature", "").encode(), signature.encode()):
        return new_event(""), "refused", UNSIGNED
    event = new_event(headers.get("X-Gitea-Event", ""), headers.get("X-Gitea-Delivery", "") or signature)
    if event["event"] != "push":
        return event, "ignored", f"the event is {event['event']!r}, not 'push'"
    try:
        payload = json.loads(body)
        repository = payload["repository"]
        name, full_name, ref, revision = (repository["name"], repository["full_name"], payload["ref"], payload["after"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return event, "refused", "the body is not a push event"
    if not all(isinstance(value, str) for value in (name, full_name, ref, revision)):
        return event, "refused", "the body is not a push event: a name, the ref or the revision is not a text"
    if not re.fullmatch("[0-9a-f]{40}", revision):
        return event, "refused", f"the revision {revision[:60]!r} is not 40 hexadecimal digits"
    event |= {"repository": name, "ref": ref, "revision": revision, "version": revision[:10]}
    if ref != MAIN:
        return event, "ignored", f"the push is to {ref}, not to {MAIN}"
    if not revision.strip("0"):
        return event, "ignored", "the branch was deleted"
    if name not in followed or full_name != f"{user}/{name}":
        return event, "ignored", f"nothing follows a push to {full_name}"
    last = payload.get("head_commit")
    if isinstance(last, dict) and NOTHING_TO_DO in str(last.get("message")):
        return event, "ignored", f"its last commit says {NOTHING_TO_DO}"
    return event, "queued", ""
