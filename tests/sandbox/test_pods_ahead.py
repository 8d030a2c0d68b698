"""The pods of the next steps are made while others run: with what the step will need, or not at all."""

import json
import os
import shutil
from pathlib import Path

import psutil
import pytest
from kfp import dsl, kubernetes
from running import SECRET_VALUE, Runs
from waiting import eventually

from jukebox_sandbox.pipeline_server.runner import pods
from jukebox_sandbox.pipeline_server.runner.pods import Pods, imports_of
from jukebox_sandbox.pipeline_server.runner.processes import Processes
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
    kubernetes.use_secret_as_env(second, "a-word", {"word": "WORD"}, optional=True)


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


def test_a_secret_that_was_removed_meanwhile_is_not_given(runs, tmp_path):
    run_id = begun(runs, tmp_path / "gate")
    shutil.rmtree(runs.state / "secrets" / "a-word")
    (tmp_path / "gate").touch()
    assert found(runs, run_id) == ["False", "False", ""]


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


@dsl.component(base_image="python:3.12", packages_to_install=["multidict"])
def name_multidict() -> list:
    """What was there before this line, the environment, the token, and the folder."""
    import os
    import sys

    found = ["multidict" in sys.modules, os.environ.get("WORD"), os.environ.get("MULTIDICT_NO_EXTENSIONS")]
    with open(os.environ["KF_PIPELINES_SA_TOKEN_PATH"]) as token:
        found += [token.read(), os.getcwd()]
    import multidict  # noqa: F401

    return found


@dsl.component(base_image="python:3.12", packages_to_install=["tqdm"])
def name_tqdm() -> list:
    """The same of a package that goes through the whole environment when it is imported."""
    import os
    import sys

    found = ["tqdm" in sys.modules, os.environ.get("WORD")]
    import tqdm  # noqa: F401

    return found


@dsl.component(base_image="python:3.12")
def name_multidict_undeclared() -> list:
    """It declares nothing."""
    import sys

    found = ["multidict" in sys.modules]
    try:
        import multidict  # noqa: F401
    except ModuleNotFoundError as error:
        found.append(str(error))
    return found


def one_step(component, variable="WORD"):
    @dsl.pipeline(name="one-step")
    def pipeline():
        task = component().set_caching_options(False)
        kubernetes.use_secret_as_env(task, "a-secret", {"key": variable})

    return pipeline


def first_output(runs: Runs, pipeline) -> list:
    run = runs.run(pipeline)
    assert run.state == "SUCCEEDED", run.error
    (task,) = runs.executors(run).values()
    return task.outputs["parameters"]["Output"]


@pytest.fixture
def kept(runs, monkeypatch):
    """The pods that are kept for the next run; they are made at once."""
    monkeypatch.setattr(pods, "REST", 0.0)
    yield runs.runner._facilities.pods._kept
    runs.runner._wait(runs.runner._facilities.pods.stop())
    runs.runner._facilities.pods._recent.clear()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_next_run_finds_a_process_that_has_imported_and_knows_no_secret(runs, kept, monkeypatch):
    places, begin = [], Processes.begin

    async def note(self, place):
        places.append(place)
        return await begin(self, place)

    monkeypatch.setattr(Processes, "begin", note)
    pipeline = one_step(name_multidict)
    first = first_output(runs, pipeline)
    pod = eventually(lambda: next(iter(kept.values()), None))
    told = json.dumps(places[-1]) + "".join(file.read_text() for file in pod.folder.rglob("*") if file.is_file())
    assert SECRET_VALUE not in told and "t0k3n-of-the-test" not in told
    assert first_output(runs, pipeline) == [True, SECRET_VALUE, None, "t0k3n-of-the-test", str(pod.folder / "home")]
    assert first[:4] == [False, *[SECRET_VALUE, None, "t0k3n-of-the-test"]]
    eventually(lambda: gone(pod.started.process.pid))


def test_a_process_whose_imports_looked_at_what_is_known_too_late_is_not_used(runs, kept):
    pipeline = one_step(name_multidict, "MULTIDICT_NO_EXTENSIONS")
    first_output(runs, pipeline)
    pod = eventually(lambda: next(iter(kept.values()), None))
    assert first_output(runs, pipeline)[:3] == [False, None, SECRET_VALUE]
    eventually(lambda: gone(pod.started.process.pid))


def test_a_process_whose_imports_looked_at_all_variables_is_not_kept(runs, kept):
    pipeline = one_step(name_tqdm)
    recent = runs.runner._facilities.pods._recent
    assert not kept and first_output(runs, pipeline) == [False, SECRET_VALUE]
    eventually(lambda: False in recent.values())
    assert not kept and first_output(runs, pipeline) == [False, SECRET_VALUE]


def test_what_one_step_has_imported_another_cannot_that_does_not_declare_it(runs, kept):
    first_output(runs, one_step(name_multidict))
    eventually(lambda: kept)
    assert first_output(runs, one_step(name_multidict_undeclared)) == [False, "No module named 'multidict'"]


def test_a_kept_process_that_somebody_ended_is_replaced(runs, kept):
    pipeline = one_step(name_multidict)
    first_output(runs, pipeline)
    pod = eventually(lambda: next(iter(kept.values()), None))
    psutil.Process(pod.started.process.pid).kill()
    eventually(lambda: not pod.started.alive)
    assert first_output(runs, pipeline)[:2] == [False, SECRET_VALUE]


def test_kept_processes_end_after_a_while(runs, kept, monkeypatch):
    monkeypatch.setattr(pods, "KEEP", 0.0)
    keep, made = Pods._keep_one, []

    async def note(self, need):
        await keep(self, need)
        made.extend(self._kept.values())

    monkeypatch.setattr(Pods, "_keep_one", note)
    first_output(runs, one_step(name_multidict))
    eventually(lambda: made and not kept and gone(made[0].started.process.pid) and not made[0].folder.exists())


def test_kept_processes_end_with_the_server(runs, monkeypatch, tmp_path):
    monkeypatch.setattr(pods, "REST", 0.0)
    other = Runs(tmp_path / "state", Path(os.environ["JUKEBOX_STATE"]), runs.sandbox.s3_endpoint)
    other.runner.start()
    try:
        first_output(other, one_step(name_multidict))
        pod = eventually(lambda: next(iter(other.runner._facilities.pods._kept.values()), None))
    finally:
        other.runner.stop()
    assert gone(pod.started.process.pid)
