"""Events and what they start, where a write fails."""

import os
from types import SimpleNamespace

import pytest
from waiting import eventually

from jukebox_sandbox import events, worker
from jukebox_sandbox.commit_statuses import CommitStatuses
from jukebox_sandbox.configuration import Configuration, Repository
from jukebox_sandbox.pipeline_server.tables import Base, open_database


def test_an_event_that_has_no_room_leaves_nothing_and_the_next_one_is_read(tmp_path, monkeypatch):
    first = events.record(tmp_path, events.new_event("push"), "queued")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    with pytest.raises(OSError, match="No space left on device"):
        events.record(tmp_path, first, "running")
    monkeypatch.undo()
    assert events.events(tmp_path) == [first]
    done = events.record(tmp_path, first, "done")
    assert events.events(tmp_path) == [done]


def test_the_end_of_a_push_is_written_when_there_is_room_and_the_next_push_has_its_turn(tmp_path, monkeypatch):
    repositories = {"songs": Repository("songs", tmp_path, status="ct")}
    configuration = Configuration(tmp_path / "sandbox.toml", tmp_path, repositories, "songs", "config.yaml")
    engine = open_database(tmp_path)
    Base.metadata.create_all(engine)
    statuses = CommitStatuses(engine)
    working = worker.Worker(tmp_path, "user1", configuration, SimpleNamespace(), statuses)
    monkeypatch.setattr(working, "apply", lambda revision: [f"applied {revision}"])
    failures = [OSError("No space left on device")] * 3

    def record(*told):
        if failures:
            raise failures.pop()
        return events.record(*told)

    monkeypatch.setattr(worker, "record", record)
    monkeypatch.setattr(worker, "AGAIN", 0.01)
    pushes = [
        events.new_event("push") | {"repository": "songs", "revision": number * 40, "version": number * 10}
        for number in "12"
    ]
    for push in pushes:
        working.submit(push)
    for thread in working._threads:
        thread.start()
    try:
        both = eventually(lambda: found if len(found := events.events(tmp_path)) == 2 and found[1]["detail"] else None)
        assert [(one["state"], one["detail"]) for one in both] == [
            ("failed", "OSError: No space left on device"),
            ("done", f"applied {'2' * 40}"),
        ]
        latest = [statuses.latest("songs", push["revision"])["ct"].state for push in pushes]
        assert latest == ["error", "success"]
    finally:
        working.stop()
        engine.dispose()
