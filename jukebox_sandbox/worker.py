"""What a push starts: for each repository one event after the other, in the order of their coming."""

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from jukebox_sandbox import buckets, guard
from jukebox_sandbox.commit_statuses import FINAL, CommitStatuses, in_a_line
from jukebox_sandbox.configuration import Configuration
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.events import MAIN, OVER, events, forget_old, new_event, record
from jukebox_sandbox.locks import GRACE
from jukebox_sandbox.object_store import ObjectStore
from jukebox_sandbox.repositories import bare_repository, clean_environment, git

CUT_SHORT = "the sandbox stopped before this was done, and main has moved on"
"""What becomes of an event that a stop has overtaken, unless its revision is the head of main still."""

AGAIN = 5.0
"""Seconds until a failed write is tried again."""

LOST = "the event of this push was lost; queued at the start"
BEGUN = "the sandbox stopped before this was done; queued again at the start"


class Worker:
    """Works through queued events until it is stopped.

    Args:
        state: The sandbox's state folder.
        user: The attendee.
        configuration: What the sandbox holds.
        store: Where buckets are made.
        statuses: Where commits are said to be pending, well or failed.
    """

    def __init__(
        self, state: Path, user: str, configuration: Configuration, store: ObjectStore, statuses: CommitStatuses
    ) -> None:
        self.state = state
        self.user = user
        self.configuration = configuration
        self.store = store
        self.statuses = statuses
        # Two queues: new buckets do not wait for a training to end.
        self._queues: dict[str, queue.Queue[dict[str, Any]]] = {
            name: queue.Queue() for name in configuration.repositories
        }
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._threads = [threading.Thread(target=self._work, args=(name,), daemon=True) for name in self._queues]

    def start(self) -> None:
        """Begin. What waited is queued; so is a head of main whose event was lost, or whose work a stop cut short."""
        forget_old(self.state)
        known = events(self.state)
        for event in known:
            if event["state"] == "queued" and event["repository"] in self._queues:
                self.submit(event)
            elif event["state"] not in OVER:
                self._resume(event)
        seen = {(event["repository"], event["revision"]) for event in known if event["ref"] == MAIN}
        for name, repository in self.configuration.repositories.items():
            if repository.status and (head := self._untrained_head(name)) and (name, head) not in seen:
                event = new_event("push") | {"repository": name, "ref": MAIN, "revision": head, "version": head[:10]}
                self.submit(record(self.state, event, "queued", LOST))
        for thread in self._threads:
            thread.start()

    def submit(self, event: dict[str, Any]) -> None:
        """Queue an event, and say so on its commit."""
        self._post(event, "pending", "queued")
        self._queues[event["repository"]].put(event)

    def stop(self) -> None:
        """End what is running, and leave the rest."""
        with self._starting:
            self._stopping.set()
            for child in self._children.values():
                if child.stdin:
                    child.stdin.close()
        for waiting in self._queues.values():
            waiting.put({})
        for thread in self._threads:
            thread.join(2 * GRACE)

    def apply(self, revision: str) -> list[buckets.Change]:
        """Bring S3 to what the repository of the buckets says at a revision.

        Args:
            revision: A commit of that repository.

        Returns:
            What was done, empty if the revision lists no buckets.
        """
        bare = bare_repository(self.state, self.user, self.configuration.buckets_repository)
        file = self.configuration.buckets_file
        if not git(bare, "ls-tree", "--name-only", revision, "--", file):
            return []
        text = git(bare, "cat-file", "blob", f"{revision}:{file}")
        return self.store.apply(buckets.parse_config(text, file))

    def _work(self, repository: str) -> None:
        handle = self._apply if repository == self.configuration.buckets_repository else self._run
        while True:
            event = self._queues[repository].get()
            if self._stopping.is_set():
                return
            try:
                handle(event)
            except SandboxError as error:
                self._settle(event, "failed", str(error))
            except Exception as error:  # the next event has a right to its turn
                self._settle(event, "failed", f"{type(error).__name__}: {error}")

    def _apply(self, event: dict[str, Any]) -> None:
        event = record(self.state, event, "running")
        changes = self.apply(event["revision"])
        said = "; ".join(map(str, changes)) or f"this revision has no {self.configuration.buckets_file}"
        self._settle(event, "done", said)

    def _run(self, event: dict[str, Any]) -> None:
        log = self.state / "events" / f"{event['version']}-{event['id'][:8]}.log"
        log.parent.mkdir(exist_ok=True)
        event = record(self.state, {**event, "log": str(log)}, "running")
        environment = clean_environment() | {"JUKEBOX_STATE": str(self.state), "PYTHONUNBUFFERED": "1"}
        # The commands of a configuration mean this Python and, before others, the checkout's own library.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        environment["PYTHONPATH"] = str(self.configuration.checkout)
        on_push = self.configuration.repositories[event["repository"]].on_push
        command = [part.replace("{revision}", event["revision"]) for part in on_push]
        with open(log, "wb") as file:
            with self._starting:
                if self._stopping.is_set():
                    return
                child = self._children[event["repository"]] = guard.start(
                    command, environment, file, self.configuration.checkout
                )
            code = child.wait()
        if self._stopping.is_set():
            return  # the next start takes it up
        if code == 0:
            self._settle(event, "done")
        else:
            lines = log.read_text(errors="replace").strip().splitlines()
            self._settle(event, "failed", "\n".join([f"exit code {code}", *lines[-3:]]))

    def _resume(self, event: dict[str, Any]) -> None:
        """Take up an event that an earlier supervisor had begun: its command may have said how it ended already."""
        name, revision = event["repository"], event["revision"]
        latest = self.statuses.latest(name, revision).get(self._context(name))
        if latest is not None and latest.state in FINAL:
            record(self.state, event, "done" if latest.state == "success" else "failed", latest.description)
        elif name in self._queues and revision == self._untrained_head(name):
            self.submit(record(self.state, event, "queued", BEGUN))
        else:
            self._settle(event, "failed", CUT_SHORT)

    def _untrained_head(self, name: str) -> str:
        """The head of a repository's main that has no final status; none where it is what the repository began as."""
        bare = bare_repository(self.state, self.user, name)
        head, _, parents = git(bare, "for-each-ref", "--format=%(objectname) %(parent)", MAIN).partition(" ")
        return head if parents and not self._is_final(name, head) else ""

    def _is_final(self, repository: str, revision: str) -> bool:
        latest = self.statuses.latest(repository, revision).get(self._context(repository))
        return latest is not None and latest.state in FINAL

    def _settle(self, event: dict[str, Any], outcome: str, detail: str = "") -> None:
        """Record the end of an event, and say it on its commit where the command has not said more already.

        A full disk keeps it waiting: else nobody would learn how the push ended, and no other one would begin.
        """
        while True:
            try:
                if not self._is_final(event["repository"], event["revision"]):
                    self._post(event, "success" if outcome == "done" else "error", detail)
                # After the status: an event that is over is never looked at again.
                record(self.state, event, outcome, detail)
                return
            except (OSError, SQLAlchemyError) as problem:
                print(f"The end of {event['version']} cannot be written: {problem}", file=sys.stderr)
                if self._stopping.wait(AGAIN):
                    return

    def _post(self, event: dict[str, Any], state: str, detail: str) -> None:
        if context := self._context(event["repository"]):
            self.statuses.post(event["repository"], event["revision"], state, context, in_a_line(detail))

    def _context(self, repository: str) -> str:
        known = self.configuration.repositories.get(repository)
        return known.status if known else ""
