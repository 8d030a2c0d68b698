import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from kfp import dsl, kubernetes
from small_pipeline import SECRET_VALUE, a_pipeline, show_environment
from waiting import DEADLINE, eventually

from jukebox_helpers import settings as settings_module
from jukebox_helpers.pipelines import compile, read, runs
from jukebox_helpers.pipelines.laptop import run_pipeline
from jukebox_helpers.settings import Settings
from jukebox_sandbox import containers
from jukebox_sandbox.state import write_secret


@dsl.component(base_image="python:3.12")
def import_jukebox(found: dsl.Input[dsl.Artifact]):
    """Try what no container could do."""
    import jukebox_helpers  # noqa: F401


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return compile.compile_pipeline(a_pipeline, tmp_path_factory.mktemp("yaml") / "a.yaml")


@pytest.fixture
def settings(tmp_path):
    write_secret(tmp_path / "secrets" / "a-secret", {"key": SECRET_VALUE})
    write_secret(tmp_path / "secrets" / "pipeline-server", {"token": "of the server"})
    return Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:1", "http://127.0.0.1:2")


def test_a_step_gets_what_the_platform_spec_gives_it_and_nothing_else(compiled, settings, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the parent")
    seen = []
    run = run_pipeline(
        compiled, {"text": "hello"}, settings, on_change=lambda run: seen.append([s.state for s in run.steps])
    )
    environment = json.loads(run.artifact("show-environment", "found").read_text())
    assert environment["VARIABLE"] == SECRET_VALUE
    assert environment["namespace"] == "user1-toolings" and environment["PYTHONUTF8"] == "1"
    token = Path(environment["KF_PIPELINES_SA_TOKEN_PATH"])
    assert token.is_relative_to(environment["HOME"]) and not token.exists()  # it goes with the run
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    folders = {"HOME", "TMPDIR", "MPLCONFIGDIR", "PYTHONPATH"}
    assert environment["JUKEBOX_GIT_SERVER"] == settings.cluster_domain
    platform = {"KF_PIPELINES_SA_TOKEN_PATH", "JUKEBOX_GIT_SERVER"}
    allowed = {*containers.PASSED_ON, *folders, *platform, "PYTHONUNBUFFERED", "PYTHONUTF8"}
    made_by_the_shell = {"PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE", "_KFP_RUNTIME"}
    assert set(environment) - allowed - made_by_the_shell == {"VARIABLE", "namespace"}
    assert ["running", "pending", "pending"] in seen
    assert [step.state for step in run.steps] == ["succeeded"] * 3 and run.error == ""
    assert run.metadata("show-environment", "found")["text"] == "hello"
    assert runs.read_run(settings.runs / run.id) == run


def test_a_step_has_the_servers_token_in_a_file_as_a_pod_has(settings, tmp_path):
    order = containers.Order("", {}, str(settings.runs), settings.namespace, state=str(settings.state))
    environment = containers.step_environment(order, tmp_path)
    token = Path(environment["KF_PIPELINES_SA_TOKEN_PATH"])
    assert token.read_text() == "of the server" and token.stat().st_mode & 0o777 == 0o600
    assert "of the server" not in environment.values()


@pytest.mark.parametrize("fail", [False, True])
def test_the_home_of_a_run_goes_with_it(compiled, settings, fail):
    """What a step leaves in its home or its temporary folder does not pile up; what it declares stays."""
    with suppress(runs.RunFailed):
        run_pipeline(compiled, {"text": "x", "numbers": {"fail": fail}}, settings)
    (folder,) = settings.runs.iterdir()
    run = runs.read_run(folder)
    assert run.state == ("failed" if fail else "succeeded")
    environment = json.loads(run.artifact("show-environment", "found").read_text())
    for name in ("HOME", "TMPDIR"):
        assert folder in Path(environment[name]).parents and not Path(environment[name]).exists()
    assert {file.name for file in folder.iterdir()} == {"artifacts", "log.txt", "pipeline.yaml", "run.json"}


@pytest.mark.parametrize("name", ["Ünï cödé's kit ♫", "python3 kit"])
def test_the_interpreter_and_the_state_may_be_in_a_folder_of_any_name(compiled, settings, tmp_path, monkeypatch, name):
    around = tmp_path / name
    # A folder that Python takes for the virtual environment of these tests.
    (around / "bin").mkdir(parents=True)
    for program in ("python", "python3"):
        (around / "bin" / program).symlink_to(Path(sys.executable).resolve())
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", around)
    (around / "lib").symlink_to(Path(sys.prefix) / "lib")
    monkeypatch.setattr(sys, "executable", str(around / "bin" / "python"))
    shutil.copytree(settings.secrets, around / "state" / "secrets")
    run = run_pipeline(compiled, {"text": "It's"}, replace(settings, state=around / "state"))
    assert [step.state for step in run.steps] == ["succeeded"] * 3
    environment = json.loads(run.artifact("show-environment", "found").read_text())
    assert environment["PATH"].startswith(str(around / "bin"))


def test_a_step_keeps_its_own_variables_and_the_platforms_come_last(settings, tmp_path):
    @dsl.pipeline(name="setting")
    def setting():
        task = show_environment(text="x")
        task.set_env_variable("OWN", "of the step").set_env_variable("EMPTY", "")
        # A name given twice: KFP's driver puts Secrets and field paths behind, and the last one counts.
        task.set_env_variable("VARIABLE", "of the step").set_env_variable("namespace", "of the step")
        task.set_env_variable("JUKEBOX_GIT_SERVER", "https://git.example.com")
        kubernetes.use_secret_as_env(task, secret_name="a-secret", secret_key_to_env={"key": "VARIABLE"})
        kubernetes.use_field_path_as_env(task, env_name="namespace", field_path="metadata.namespace")

    file = compile.compile_pipeline(setting, tmp_path / "setting.yaml")
    run = run_pipeline(file, {}, settings)
    environment = json.loads(run.artifact("show-environment", "found").read_text())
    assert (environment["OWN"], environment["EMPTY"]) == ("of the step", "")
    assert (environment["VARIABLE"], environment["namespace"]) == (SECRET_VALUE, "user1-toolings")
    assert environment["JUKEBOX_GIT_SERVER"] == "https://git.example.com"


def test_the_very_bytes_that_ran_are_kept(compiled, settings):
    run = run_pipeline(compiled, {"text": "x"}, settings)
    assert (settings.runs / run.id / "pipeline.yaml").read_bytes() == compiled.read_bytes()


def test_a_pipeline_that_was_changed_after_reading_is_kept_as_it_ran(compiled, settings):
    part = read.read_pipeline(compiled.read_text()).until("show-environment")
    run = run_pipeline(part, {"text": "x"}, settings)
    assert read.read_pipeline((settings.runs / run.id / "pipeline.yaml").read_text()) == part
    assert [step.name for step in run.steps] == ["show-environment"]


def test_no_secret_is_written_down(compiled, settings):
    run = run_pipeline(compiled, {"text": "x"}, settings)
    artifact = run.artifact("show-environment", "found")  # this step writes its environment down on purpose
    for file in (settings.runs / run.id).rglob("*"):
        if file.is_file() and file != artifact:
            assert SECRET_VALUE not in file.read_text(errors="replace"), file


def test_a_failed_step_fails_the_run_in_its_own_words(compiled, settings):
    with pytest.raises(runs.RunFailed) as caught:
        run_pipeline(compiled, {"text": "x", "numbers": {"fail": True}}, settings)
    assert caught.value.what == "Step 'fail-if' of 'a-pipeline' failed: the numbers are wrong.\nTwo lines say so."
    assert caught.value.next_action.startswith("mend them.")
    run = caught.value.run
    assert [step.state for step in run.steps] == ["succeeded", "failed", "skipped"]
    assert "Traceback" in (settings.runs / run.id / "log.txt").read_text()
    assert runs.read_run(settings.runs / run.id).state == "failed"


def test_a_step_cannot_import_the_kit(settings, tmp_path):
    @dsl.pipeline(name="importing")
    def importing():
        first = show_environment(text="x")
        kubernetes.use_secret_as_env(first, secret_name="a-secret", secret_key_to_env={"key": "VARIABLE"})
        import_jukebox(found=first.outputs["found"])

    file = compile.compile_pipeline(importing, tmp_path / "importing.yaml")
    with pytest.raises(runs.RunFailed, match="without jukebox_helpers"):
        run_pipeline(file, {}, settings)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_step_runs_on_when_the_runner_ends(tmp_path, end):

    @dsl.component(base_image="python:3.12")
    def sleep(pid_file: str):
        import os
        import time

        with open(pid_file + ".new", "w") as file:
            file.write(str(os.getppid()))
        os.replace(pid_file + ".new", pid_file)
        time.sleep(600)

    @dsl.pipeline(name="sleeping")
    def sleeping(pid_file: str):
        sleep(pid_file=pid_file)

    file = compile.compile_pipeline(sleeping, tmp_path / "sleeping.yaml")
    pid_file = tmp_path / "pid"
    program = (
        "import sys; from pathlib import Path; from jukebox_helpers.pipelines.laptop import run_pipeline; "
        "from jukebox_helpers.settings import Settings; "
        "settings = Settings('sandbox', Path(sys.argv[2]), 'user1-x', 'http://x', 'http://x'); "
        "run_pipeline(Path(sys.argv[1]), {'pid_file': sys.argv[3]}, settings)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(file), str(tmp_path), str(pid_file)],
        env={**os.environ, "PYTHONPATH": str(settings_module.KIT)},
        # What a shell starts in the background ignores Control-C, and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert eventually(pid_file.exists)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(end)
    process.wait(timeout=DEADLINE)
    _, alive = psutil.wait_procs(children, timeout=DEADLINE)
    assert not alive


def test_a_run_whose_process_is_gone_has_failed(settings):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid, state in ((gone.pid, "failed"), (os.getpid(), "running")):
        folder = settings.runs / str(pid)
        folder.mkdir(parents=True)
        runs.Run("r", "p", str(folder), {}, pid=pid).save()
        assert runs.read_run(folder).state == state
