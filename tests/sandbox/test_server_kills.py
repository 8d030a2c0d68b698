"""The pipeline server stopped, or killed at each write: no half pipeline, no lost run, no time that fires twice."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import dying_server
import pytest
from kfp import Client, compiler, dsl
from nested import nested
from running import Runs
from sqlalchemy.orm import Session
from stand_in import stand_in_configuration
from waiting import eventually

from jukebox_helpers import sandbox as platform
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

    def ask(self, what, when="before", number=NEVER, file=None, *more):
        """What a request gives; None if its server died."""
        command = [sys.executable, dying_server.__file__, str(self.state), when, str(number), what]
        command += [str(file or self.file), *more]
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


@dsl.component(base_image="python:3.12")
def note(folder: str, word: str, data: dsl.Output[dsl.Dataset]) -> str:
    with open(f"{folder}/notes", "a") as notes, open(data.path, "w") as file:
        notes.write(word + "\n")
        file.write(word)
    return "second"


@dsl.component(base_image="python:3.12")
def read(folder: str, word: str, data: dsl.Input[dsl.Dataset]):
    with open(f"{folder}/notes", "a") as notes, open(data.path) as file:
        notes.write(f"{word} after {file.read()}\n")


@dsl.pipeline(name="two-steps")
def two_steps(folder: str):
    first = note(folder=folder, word="first").set_caching_options(False)
    read(folder=folder, word=first.outputs["Output"], data=first.outputs["data"]).set_caching_options(False)


def test_a_run_that_is_cut_at_any_write_is_run_to_its_end(fresh, sandbox):
    shared = os.environ["JUKEBOX_STATE"]
    for number in range(2, 30):  # the first one makes the run
        server = fresh()
        compiler.Compiler().compile(two_steps, str(server.file))
        ended = server.ask("steps", "before", number, server.file, shared, sandbox.s3_endpoint)
        if ended:
            break
        runs = Runs(server.state, Path(shared), sandbox.s3_endpoint)
        (left,) = server.rows(tables.Run)
        done = [task.scope for task in runs.tasks(left) if task.kind == "executor" and task.state == "SUCCEEDED"]
        runs.runner.start()
        try:
            run = runs.get(left.id)
            if left.state == "RUNNING":
                assert run.state == "FAILED" and run.error.startswith("The pipeline server stopped before this run")
                assert all(task.finished_at for task in runs.tasks(run))
                runs.runner.retry(run.id)
            else:
                assert left.state == "PENDING"
            assert runs.ended(run.id).state == "SUCCEEDED"
            assert set(runs.rows(run).values()) == {"SUCCEEDED"} and len(runs.executors(run)) == 2
            assert len(server.rows(tables.Artifact)) == 1
            said = (server.state / "notes").read_text().splitlines()
            for scope, word in (("root/note", "first"), ("root/read", "second after first")):
                assert said.count(word) == 1 or (said.count(word) == 2 and scope not in done)
        finally:
            runs.runner.stop()
    assert ended == [200, "SUCCEEDED"] and number > 8


@dsl.component(base_image="python:3.12")
def wait(folder: str, word: str):
    import os
    import time

    open(f"{folder}/waiting", "w").close()
    while not os.path.exists(f"{folder}/gate"):
        time.sleep(0.02)


@dsl.pipeline(name="waits")
def waits(folder: str):
    wait(folder=folder, word=note(folder=folder, word="first").outputs["Output"])


@pytest.mark.parametrize("end", ["down", "kill"])
def test_a_run_whose_sandbox_went_down_is_failed_says_so_and_can_be_retried(fresh_sandbox, tmp_path, end):
    state, token = fresh_sandbox.state, fresh_sandbox.secret("pipeline-server")["token"]
    client = Client(host=fresh_sandbox.pipeline_server, existing_token=token)
    compiler.Compiler().compile(waits, str(tmp_path / "waits.yaml"))
    run = client.create_run_from_pipeline_package(str(tmp_path / "waits.yaml"), {"folder": str(tmp_path)}).run_id
    eventually((tmp_path / "waiting").exists)
    if end == "kill":
        os.kill(platform.status(state)["pid"], signal.SIGKILL)
        eventually(lambda: not platform.status(state)["running"])
    else:
        platform.down(state)
    settings = platform.up(state, lifeline=True, configuration=stand_in_configuration(state.parent))
    client = Client(host=settings.pipeline_server, existing_token=token)
    found = client.get_run(run)
    assert [one.state for one in found.state_history] == ["PENDING", "RUNNING", "FAILED"]
    assert found.state_history[-1].error.message == (
        "The pipeline server stopped before this run was done.\nNext: retry it; steps that are done are not repeated."
    )
    (tmp_path / "gate").touch()
    client._run_api.run_service_retry_run(run)
    assert client.wait_for_run_completion(run, 60, sleep_duration=1).state == "SUCCEEDED"
    assert (tmp_path / "notes").read_text() == "first\n"
