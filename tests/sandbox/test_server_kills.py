"""The pipeline server killed at each write: no half pipeline, no lost run, no schedule that fires twice."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import dying_server
import pytest
from kfp import compiler
from nested import nested
from sqlalchemy.orm import Session

from jukebox_helpers.settings import KIT
from jukebox_sandbox.pipeline_server import tables

NEVER = 99
MOST = 6
"""More commits than any of these requests makes."""


class Server:
    """A state folder, and requests that may die."""

    def __init__(self, state):
        self.state = state
        self.state.mkdir()
        self.file = state / "two-steps.yaml"
        compiler.Compiler().compile(nested, str(self.file))

    def ask(self, what, when="before", number=NEVER):
        """What a request gives; None if its server died."""
        command = [sys.executable, dying_server.__file__, str(self.state), when, str(number), what, str(self.file)]
        environment = {**os.environ, "PYTHONPATH": str(KIT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode in (0, 9), done.stderr
        return json.loads(done.stdout) if done.returncode == 0 else None

    def rows(self, kind):
        engine = tables.open_database(self.state)
        with Session(engine, expire_on_commit=False) as session:
            found = session.query(kind).all()
        engine.dispose()
        return found


def deaths():
    """Each moment: right before and right after each commit."""
    return [(when, number) for number in range(1, MOST) for when in ("before", "after")]


@pytest.fixture
def fresh(tmp_path):
    made = []

    def fresh():
        made.append(Server(tmp_path / str(len(made))))
        return made[-1]

    return fresh


def test_an_import_is_whole_or_not_there(fresh):
    died = 0
    for when, number in deaths():
        server = fresh()
        if server.ask("import", when, number) is not None:
            break
        died += 1
        pipelines, versions = server.rows(tables.Pipeline), server.rows(tables.PipelineVersion)
        assert [one.id for one in pipelines] == [one.pipeline_id for one in versions]
        status, _ = server.ask("import")
        assert status == (409 if pipelines else 200)
        assert len(server.rows(tables.Pipeline)) == len(server.rows(tables.PipelineVersion)) == 1
    assert died >= 2


def test_a_run_waits_to_begin_or_is_not_there(fresh):
    server, died = fresh(), 0
    server.ask("import")
    for when, number in deaths():
        before = len(server.rows(tables.Run))
        if server.ask("run", when, number) is not None:
            break
        died += 1
        runs = server.rows(tables.Run)
        assert len(runs) == before + (when == "after") and {run.state for run in runs} <= {"PENDING"}
        assert all(run.state_history[-1]["state"] == "PENDING" for run in runs)
    assert died >= 2


def test_a_due_time_gives_one_run(fresh):
    died = 0
    for when, number in deaths():
        server = fresh()
        server.ask("import")
        version = server.rows(tables.PipelineVersion)[0]
        engine = tables.open_database(server.state)
        with Session(engine) as session:
            session.add(
                tables.RecurringRun(
                    display_name="daily",
                    experiment_id=session.query(tables.Experiment).one().id,
                    pipeline_id=version.pipeline_id,
                    pipeline_version_id=version.id,
                    spec=version.spec,
                    interval_second=int(timedelta(days=1).total_seconds()),
                )
            )
            session.commit()
        engine.dispose()
        ended = server.ask("tick", when, number) is not None
        server.ask("tick")
        server.ask("tick")
        [run] = server.rows(tables.Run)
        assert run.state == "PENDING" and run.due_at == server.rows(tables.RecurringRun)[0].last_due
        if ended:
            break
        died += 1
    assert died >= 2
