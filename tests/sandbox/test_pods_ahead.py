"""The pods of the next steps are made while others run: with what the step will need, or not at all."""

from pathlib import Path

import psutil
import pytest
from kfp import dsl, kubernetes
from running import Runs
from waiting import eventually

from jukebox_sandbox.pipeline_server.runner.pods import imports_of
from jukebox_sandbox.state import write_secret


@dsl.component(base_image="python:3.12")
def hold(gate: str, fails: bool):
    """Wait until there is a gate."""
    import os
    import time

    while not os.path.exists(gate):
        time.sleep(0.02)
    if fails:
        raise RuntimeError("as asked")


@dsl.component(base_image="python:3.12")
def look() -> list:
    """What was there before this line, and what is in the environment."""
    import os
    import sys

    found = [str("this" in sys.modules), str("tkinter.nonsense" in sys.modules), os.environ.get("WORD", "")]
    if found[0] == "never":
        import tkinter.nonsense  # noqa: F401
    import this  # noqa: F401

    return found


@dsl.pipeline(name="ahead")
def ahead(gate: str, fails: bool = False):
    first = hold(gate=gate, fails=fails).set_caching_options(False)
    second = look().after(first).set_caching_options(False)
    kubernetes.use_secret_as_env(second, "a-word", {"word": "WORD"})


def waiting_pods(runs: Runs) -> list[psutil.Process]:
    """The processes that have a pod and no step yet: they have printed what `import this` prints."""
    logs = [log for log in (runs.state / "pipeline-server" / "scratch").glob("*/log") if "Zen" in log.read_text()]
    homes = [log.parent / "home" for log in logs]
    found = []
    for process in psutil.process_iter(["pid"]):
        try:
            if Path(process.cwd()) in homes:
                found.append(process)
        except psutil.Error:
            continue
    return found


def begun(runs: Runs, gate: Path, **arguments) -> str:
    """A run whose first step waits, and whose second has its pod."""
    write_secret(runs.state / "secrets" / "a-word", {"word": "before"})
    run_id = runs.submit(ahead, {"gate": str(gate), **arguments})
    eventually(lambda: waiting_pods(runs))
    return run_id


def found(runs: Runs, run_id: str) -> list[str]:
    run = runs.ended(run_id)
    assert run.state == "SUCCEEDED", run.error
    return runs.executors(run)["look"].outputs["parameters"]["Output"]


def test_the_next_step_has_imported_what_it_names_and_its_log_is_whole(runs, tmp_path):
    run_id = begun(runs, tmp_path / "gate")
    (tmp_path / "gate").touch()
    assert found(runs, run_id) == ["True", "False", "before"]
    assert runs.log(runs.executors(run_id)["look"]).count("The Zen of Python") == 1


def test_a_secret_that_changed_meanwhile_is_given_as_it_is_when_the_step_begins(runs, tmp_path):
    run_id = begun(runs, tmp_path / "gate")
    write_secret(runs.state / "secrets" / "a-word", {"word": "after"})
    (tmp_path / "gate").touch()
    assert found(runs, run_id)[2] == "after"


def test_a_waiting_process_that_somebody_ended_is_replaced(runs, tmp_path):
    run_id = begun(runs, tmp_path / "gate")
    for process in waiting_pods(runs):
        process.kill()
        process.wait()
    (tmp_path / "gate").touch()
    assert found(runs, run_id)[2] == "before"


@pytest.mark.parametrize("how", ["fails", "terminated"])
def test_nothing_is_left_of_a_pod_whose_step_never_begins(runs, tmp_path, how):
    run_id = begun(runs, tmp_path / "gate", fails=True)
    (waiting,) = waiting_pods(runs)
    if how == "fails":
        (tmp_path / "gate").touch()
    else:
        runs.runner.terminate(run_id)
    assert runs.ended(run_id).state == ("FAILED" if how == "fails" else "CANCELED")
    eventually(lambda: not waiting.is_running())
    eventually(lambda: not list((runs.state / "pipeline-server" / "scratch").iterdir()))


def test_a_step_that_may_come_from_the_cache_gets_no_pod_ahead(runs, tmp_path):
    @dsl.pipeline(name="may-be-cached")
    def cached(gate: str):
        first = hold(gate=gate, fails=False).set_caching_options(False)
        look().after(first)

    run_id = runs.submit(cached, {"gate": str(tmp_path / "gate")})
    eventually(lambda: "hold" in runs.executors(run_id) and runs.executors(run_id)["hold"].state == "RUNNING")
    scratch = runs.state / "pipeline-server" / "scratch"
    assert len(list(scratch.iterdir())) == 1
    (tmp_path / "gate").touch()
    assert found(runs, run_id)[0] == "False"


def test_the_imports_of_a_source_are_found_wherever_they_are():
    source = """
from __future__ import annotations
def f():
    if x:
        import b.c as d
    from e import g
import a
"""
    assert imports_of(source) == ("import b.c as d", "from e import g", "import a")
    assert imports_of("def f(:") == ()
