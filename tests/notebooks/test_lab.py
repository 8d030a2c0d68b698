"""The door to the workshop, as far as no browser is needed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from lab_browser import jupyterlab, run_in_cell, run_in_terminal
from waiting import DEADLINE, eventually

from jukebox_helpers import workbench
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, Settings
from jukebox_helpers.steps.constants import CONNECTION_KEYS
from jukebox_helpers.workshop import lab
from jukebox_sandbox.state import write_secret


@pytest.fixture
def settings(tmp_path):
    return Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:1", "http://127.0.0.1:2")


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_root_is_allowed_only_where_one_is_root(settings, monkeypatch, user, allowed):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    command = lab.lab_command(settings, ("--no-browser",))
    assert ("--allow-root" in command) is allowed
    assert command[-1] == "--no-browser" and "--ServerApp.ip=127.0.0.1" in command


def test_terminals_have_a_connection_and_no_endpoint_that_a_sandbox_would_take(settings, monkeypatch):
    monkeypatch.delenv("AWS_S3_ENDPOINT", raising=False)
    assert "AWS_ENDPOINT_URL" not in lab.lab_environment(settings)
    values = dict.fromkeys(CONNECTION_KEYS, "x") | {"AWS_S3_ENDPOINT": settings.s3_endpoint}
    write_secret(settings.secrets / "aws-connection-models", values)
    environment = lab.lab_environment(settings)
    assert environment["AWS_ENDPOINT_URL"] == settings.s3_endpoint and environment["AWS_SECRET_ACCESS_KEY"] == "x"
    assert "AWS_S3_ENDPOINT" not in environment and "AWS_S3_BUCKET" not in environment


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_jupyterlab_ends_with_its_door(tmp_path, number):
    environment = {**os.environ, "JUKEBOX_STATE": str(tmp_path / "state"), "PYTHONPATH": str(KIT)}
    command = [
        sys.executable,
        "-m",
        "jukebox_helpers",
        "lab",
        "--no-browser",
        "--ServerApp.port=0",
        "--ServerApp.answer_yes=True",
    ]
    with open(tmp_path / "log", "w") as log:
        door = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # What a shell starts in the background ignores Control-C, and hands that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    assert eventually(lambda: "is running at" in (tmp_path / "log").read_text())
    (lab_process,) = (child for child in psutil.Process(door.pid).children() if "jupyterlab" in child.cmdline())
    # Control-C goes to all of the terminal's processes; whoever ends a process means that one.
    os.killpg(door.pid, number) if number == signal.SIGINT else door.send_signal(number)
    assert door.wait(DEADLINE) is not None
    assert not lab_process.is_running()
    assert subprocess.run([*command[:3], "status"], env=environment, capture_output=True).returncode == 1


SCRIPT = """pwd
command -v jukebox dvc python
python -c "import sys; print(sys.prefix)"
dvc --version && git --version
jukebox status --json
[ ! -f jukebox ] || ./jukebox status --json
"""


def test_in_every_folder_a_terminal_and_a_cell_find_the_kits_programs(sandbox, tmp_path, monkeypatch):
    """Whatever the user's shell is told by its own files, as /etc/profile does to a login shell on Debian."""
    programs = Path(sys.executable).parent
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    (tmp_path / ".bashrc").write_text("PATH=/usr/bin:/bin\n")
    (tmp_path / "script").write_text(SCRIPT)
    work = sandbox.clone().parent
    (work / "data-practice").mkdir(exist_ok=True)
    with jupyterlab(sandbox, tmp_path / "lab") as (address, token):
        for number, folder in enumerate(("", "jukebox", "jukebox/notebooks", "mlops-gitops", "data-practice")):
            said = run_in_terminal(address, token, folder, tmp_path / "script", tmp_path / f"said-{number}")
            cell = run_in_cell(address, token, folder, f"!. {tmp_path}/script")
            for printed in (said, cell.replace("\r\n", "\n")):
                lines = printed.splitlines()
                assert lines[0] == str(work / folder)
                assert lines[1:5] == [*(str(programs / name) for name in ("jukebox", "dvc", "python")), sys.prefix]
                assert printed.count(f'"state": "{sandbox.state}"') == (2 if folder == "jukebox" else 1), printed
                assert "git version " in printed
    assert not (sandbox.clone() / ".venv").exists()


def test_a_workbench_is_a_jupyterlab_already(tmp_path, monkeypatch):
    (tmp_path / "namespace").write_text("user1-toolings")
    monkeypatch.setattr(workbench, "NAMESPACE_FILE", tmp_path / "namespace")
    with pytest.raises(JukeboxError, match="open already") as refused:
        lab.open_lab(tmp_path / "state")
    assert "0-a-model-nobody-can-explain.ipynb" in refused.value.next_action
    assert not (tmp_path / "state").exists()


def test_the_sandbox_goes_with_the_lab_that_started_it(tmp_path):
    """JupyterLab ends at once here, because it is only asked for its version."""
    environment = {**os.environ, "JUKEBOX_STATE": str(tmp_path / "state"), "PYTHONPATH": str(KIT)}

    def jukebox(*arguments):
        command = [sys.executable, "-m", "jukebox_helpers", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    opened = jukebox("lab", "--version")
    assert opened.returncode == 0 and opened.stdout.strip()[0].isdigit(), opened.stderr
    assert jukebox("status").returncode == 1
    assert (tmp_path / "state" / "work" / "jukebox" / "notebooks" / "0-a-model-nobody-can-explain.ipynb").is_file()
