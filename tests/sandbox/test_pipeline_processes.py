import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from kfp import dsl, kubernetes
from running import SECRET_VALUE, Runs
from sqlalchemy import select
from sqlalchemy.orm import Session
from waiting import eventually

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner import Runner
from jukebox_sandbox.pipeline_server.tables import Run


@dsl.component(base_image="python:3.12")
def note(file: str, word: str) -> str:
    with open(file, "a") as notes:
        notes.write(word + "\n")
    return word


@dsl.component(base_image="python:3.12")
def wait(file: str, gate: str) -> str:
    """Start a child that leaves the process group, then wait until there is a gate."""
    import os
    import subprocess
    import time

    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    with open(file, "a") as notes:
        notes.write(f"{os.getpid()} {child.pid}\n")
    while not os.path.exists(gate):
        time.sleep(0.02)
    return "waited"


@dsl.pipeline(name="cut")
def cut(folder: str):
    first = note(file=f"{folder}/first", word="once").set_caching_options(False)
    second = wait(file=f"{folder}/pids", gate=f"{folder}/gate").after(first).set_caching_options(False)
    note(file=f"{folder}/last", word=second.output).set_caching_options(False)


def alive(folder: Path) -> list[int]:
    """The processes that a waiting step has written down and that still live."""
    return [
        pid
        for pid in map(int, (folder / "pids").read_text().split())
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


def waiting(runs: Runs, folder: Path) -> str:
    """A run whose second step waits."""
    run_id = runs.submit(cut, {"folder": str(folder)})
    eventually(lambda: (folder / "pids").is_file() and len(alive(folder)) == 2)
    return run_id


def test_terminating_ends_a_run_and_all_its_processes_within_two_seconds(runs, tmp_path):
    run_id = waiting(runs, tmp_path)
    began = time.monotonic()
    runs.runner.terminate(run_id)
    assert time.monotonic() - began < 2 and not alive(tmp_path)
    run = runs.get(run_id)
    assert run.state == "CANCELED" and run.error == "The run was ended from outside."
    assert [one["state"] for one in run.state_history][-2:] == ["CANCELING", "CANCELED"]
    task = runs.executors(run)["wait"]
    assert task.state == "FAILED" and task.error == "The run was ended from outside."
    assert "ended from outside" not in runs.log(task)
    with pytest.raises(SandboxError, match="has ended already"):
        runs.runner.terminate(run_id)


def test_a_retried_run_goes_on_from_the_step_that_was_cut(runs, tmp_path):
    run_id = waiting(runs, tmp_path)
    with pytest.raises(SandboxError, match="cannot be retried"):
        runs.runner.retry(run_id)
    runs.runner.terminate(run_id)
    number = runs.executors(run_id)["note"].number
    (tmp_path / "gate").touch()
    runs.runner.retry(run_id)
    run = runs.ended(run_id)
    assert run.state == "SUCCEEDED" and run.error == "", run.error
    assert (tmp_path / "first").read_text() == "once\n" and (tmp_path / "last").read_text() == "waited\n"
    assert runs.executors(run)["note"].number == number
    assert set(runs.rows(run).values()) == {"SUCCEEDED"}


def test_a_run_that_the_server_left_is_failed_says_so_and_can_be_retried(runs, tmp_path):
    other = Runs(tmp_path / "state", Path(os.environ["JUKEBOX_STATE"]), runs.sandbox.s3_endpoint)
    other.runner.start()
    run_id = waiting(other, tmp_path)
    other.runner.stop()
    assert not alive(tmp_path) and other.get(run_id).state == "RUNNING"
    other.runner = Runner(other.engine, other.sandbox, {})
    other.runner.start()
    try:
        run = other.get(run_id)
        assert run.state == "FAILED" and run.error.startswith("The pipeline server stopped before this run was done.")
        assert other.executors(run)["wait"].state == "FAILED"
        (tmp_path / "gate").touch()
        other.runner.retry(run_id)
        assert other.ended(run_id).state == "SUCCEEDED"
        assert (tmp_path / "first").read_text() == "once\n"
    finally:
        other.runner.stop()


SERVER = """
import sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}, {kit!r}]
from running import Runs
runs = Runs(Path({state!r}), Path({shared!r}), {endpoint!r})
runs.runner.start()
runs.submit(Path({pipeline!r}).read_text(), {{"folder": {folder!r}}})
time.sleep(300)
"""


def test_a_killed_server_takes_its_steps_along_and_what_waits_begins_at_the_next_start(runs, tmp_path):
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(runs.compile(cut))
    tests = Path(__file__).parents[1]
    program = SERVER.format(
        tests=str(tests),
        kit=str(tests.parent),
        state=str(tmp_path / "state"),
        shared=os.environ["JUKEBOX_STATE"],
        endpoint=runs.sandbox.s3_endpoint,
        pipeline=str(pipeline),
        folder=str(tmp_path),
    )
    server = subprocess.Popen([sys.executable, "-c", program])
    try:
        eventually(lambda: (tmp_path / "pids").is_file() and len(alive(tmp_path)) == 2)
    finally:
        server.kill()
        server.wait()
    eventually(lambda: not alive(tmp_path))
    (tmp_path / "gate").touch()
    other = Runs(tmp_path / "state", Path(os.environ["JUKEBOX_STATE"]), runs.sandbox.s3_endpoint)
    with Session(other.engine) as session, session.begin():
        (cut_short,) = session.scalars(select(Run.id)).all()
        session.add(Run(id="waits", display_name="waits", experiment_id="default", spec=pipeline.read_text(),
                        parameters={"folder": str(tmp_path)}))  # fmt: skip
    other.runner.start()
    try:
        assert other.get(cut_short).state == "FAILED"
        assert other.ended("waits").state == "SUCCEEDED"
        assert not list((other.state / "pipeline-server" / "scratch").iterdir())
    finally:
        other.runner.stop()


@dsl.component(base_image="python:3.12")
def meet(folder: str, own: str, other: str):
    """End when the other step runs as well."""
    import os
    import time

    open(os.path.join(folder, own), "w").close()
    for _ in range(1000):
        if os.path.exists(os.path.join(folder, other)):
            return
        time.sleep(0.02)
    raise TimeoutError("the other step never came")


@dsl.pipeline(name="beside")
def beside(folder: str):
    meet(folder=folder, own="a", other="b").set_caching_options(False)
    meet(folder=folder, own="b", other="a").set_caching_options(False)


def test_steps_that_do_not_wait_for_each_other_run_side_by_side(runs, tmp_path):
    assert runs.run(beside, {"folder": str(tmp_path)}).state == "SUCCEEDED"


@dsl.component(base_image="python:3.12")
def imports(name: str, child: bool = False):
    import importlib
    import subprocess
    import sys

    if child:
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
    else:
        importlib.import_module(name)


@dsl.component(base_image="python:3.12", packages_to_install=["pandas"])
def imports_pandas(name: str):
    import importlib
    import subprocess
    import sys
    from importlib import metadata

    importlib.import_module(name)
    subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
    found = {one.metadata["Name"].lower() for one in metadata.distributions()}
    assert "pandas" in found and "numpy" in found and "boto3" not in found, found


@dsl.pipeline(name="undeclared")
def undeclared(name: str, child: bool):
    imports(name=name, child=child)


@dsl.pipeline(name="declared")
def declared(name: str):
    imports_pandas(name=name)


@pytest.mark.parametrize("child", [False, True])
@pytest.mark.parametrize("name", ["pandas", "google.protobuf", "jukebox_sandbox"])
def test_what_a_step_does_not_declare_it_cannot_import(runs, name, child):
    run = runs.run(undeclared, {"name": name, "child": child})
    assert run.state == "FAILED"
    log = runs.log(runs.executors(run)["imports"])
    assert f"ModuleNotFoundError: No module named '{name.split('.')[0]}" in log


@pytest.mark.parametrize("name", ["pandas", "numpy", "dateutil", "kfp.dsl", "sqlite3"])
def test_what_a_step_declares_comes_with_its_dependencies_kfp_and_the_standard_library(runs, name):
    run = runs.run(declared, {"name": name})
    assert run.state == "SUCCEEDED", runs.log(runs.executors(run)["imports-pandas"])


@dsl.component(base_image="python:3.12")
def variable(name: str) -> str:
    import os

    return os.environ.get(name, "not there")


@dsl.component(base_image="python:3.12")
def name_of() -> str:
    return "a-secret"


@dsl.pipeline(name="by-parameter")
def by_parameter(secret: str):
    kubernetes.use_secret_as_env(variable(name="V"), secret_name=secret, secret_key_to_env={"key": "V"})


@dsl.pipeline(name="by-output")
def by_output():
    task = variable(name="V")
    kubernetes.use_secret_as_env(task, secret_name=name_of().output, secret_key_to_env={"key": "V"})


@dsl.pipeline(name="optional")
def optional():
    task = variable(name="V")
    kubernetes.use_secret_as_env(task, secret_name="not-there", secret_key_to_env={"key": "V"}, optional=True)


def test_a_secret_may_be_named_by_a_parameter_or_a_step_and_be_optional(runs):
    found = [
        runs.outputs(runs.run(*order))["variable"]
        for order in ((by_parameter, {"secret": "a-secret"}), (by_output,), (optional,))
    ]
    assert found == [{"Output": SECRET_VALUE}, {"Output": SECRET_VALUE}, {"Output": "not there"}]


def test_a_secret_is_not_in_the_database_and_not_in_an_argument(runs):
    run = runs.run(by_parameter, {"secret": "a-secret"})
    parts = [value for task in runs.tasks(run) for value in (task.inputs, task.state_history, task.error, task.name)]
    assert SECRET_VALUE not in str(parts) + run.spec + str(run.parameters)


@dsl.component(base_image="python:3.12")
def keep(path: str, word: str) -> str:
    import os

    if word:
        with open(os.path.join(path, "kept"), "w") as file:
            file.write(word)
    with open(os.path.join(path, "kept")) as file:
        return file.read()


@dsl.pipeline(name="claims")
def claims(path: str, claim: str):
    first = keep(path=path, word="kept").set_caching_options(False)
    kubernetes.mount_pvc(first, pvc_name=claim, mount_path="MOUNT")
    second = keep(path=path, word="").after(first).set_caching_options(False)
    kubernetes.mount_pvc(second, pvc_name=claim, mount_path="MOUNT")


def test_a_volume_claim_is_a_folder_where_a_step_mounts_it(runs, tmp_path):
    where = tmp_path / "models"
    text = runs.compile(claims).replace("MOUNT", str(where))
    run = runs.run(text, {"path": str(where), "claim": "models"})
    assert run.state == "SUCCEEDED", run.error
    assert runs.outputs(run)["keep-2"] == {"Output": "kept"} and not where.is_symlink()
    where.mkdir()
    refused = runs.run(text, {"path": str(where), "claim": "models"})
    assert refused.state == "FAILED" and "where this machine does not let a folder be put" in refused.error
    assert not runs.tasks(refused)


@dsl.component(base_image="python:3.12")
def sleep():
    import time

    time.sleep(600)


@dsl.pipeline(name="slow")
def slow():
    kubernetes.set_timeout(sleep(), 1)


def test_a_step_that_takes_longer_than_it_may_is_ended(runs):
    run = runs.run(slow)
    assert run.state == "FAILED" and "longer than the 1 seconds that the pipeline allows" in run.error


@dsl.component(base_image="python:3.12")
def folder(made: dsl.Output[dsl.Model]):
    import os

    os.makedirs(os.path.join(made.path, "a"))
    with open(os.path.join(made.path, "a", "b"), "w") as file:
        file.write("inside")


@dsl.component(base_image="python:3.12")
def look(made: dsl.Input[dsl.Model]) -> str:
    import os

    with open(os.path.join(made.path, "a", "b")) as file:
        return file.read()


@dsl.pipeline(name="folders")
def folders():
    look(made=folder().set_caching_options(False).outputs["made"])


def test_an_artifact_may_be_a_folder_and_be_under_a_root_of_its_own(runs):
    run = runs.run(folders, pipeline_root="s3://models/of-mine/")
    assert run.state == "SUCCEEDED", run.error
    assert runs.outputs(run)["look"] == {"Output": "inside"}
    uri = runs.artifact(runs.executors(run)["folder"], "made").uri
    assert uri.startswith(f"s3://models/of-mine/folders/{run.id}/folder/")
    refused = runs.run(folders, pipeline_root="gs://elsewhere")
    assert refused.state == "FAILED" and "keeps them in S3 only" in refused.error


@dsl.component(base_image="python:3.12", packages_to_install=["dvc[s3]"])
def with_dvc() -> str:
    import subprocess

    return subprocess.run(["dvc", "--version"], check=True, capture_output=True, text=True).stdout.strip()


@dsl.component(base_image="python:3.12")
def without_dvc() -> str:
    import subprocess

    return subprocess.run(["dvc", "--version"], capture_output=True, text=True).stderr


@dsl.pipeline(name="programs")
def programs():
    with_dvc()
    without_dvc()


def test_a_program_works_where_its_package_is_declared(runs):
    run = runs.run(programs)
    assert run.state == "SUCCEEDED", run.error
    outputs = runs.outputs(run)
    assert outputs["with-dvc"]["Output"][0].isdigit()
    assert "ModuleNotFoundError: No module named 'dvc'" in outputs["without-dvc"]["Output"]


@dsl.component(base_image="python:3.12")
def reads_input() -> str:
    import subprocess
    import sys

    return sys.stdin.read() + subprocess.run(["cat"], capture_output=True, text=True).stdout + "end"


@dsl.pipeline(name="reading")
def reading():
    reads_input()


def test_there_is_nothing_to_read_on_the_standard_input_of_a_step(runs):
    assert runs.outputs(runs.run(reading))["reads-input"] == {"Output": "end"}


def test_a_run_can_be_retried_in_the_moment_in_which_it_fails(runs, monkeypatch):
    finish = runs.runner._finish

    def finish_and_retry(run_id, state, error):
        finish(run_id, state, error)
        monkeypatch.undo()
        runs.runner.retry(run_id)

    monkeypatch.setattr(runs.runner, "_finish", finish_and_retry)
    run_id = runs.submit(slow)
    eventually(lambda: [one["state"] for one in runs.get(run_id).state_history].count("FAILED") == 2)
    assert [one["state"] for one in runs.get(run_id).state_history].count("RUNNING") == 2
