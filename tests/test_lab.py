"""The door to the workshop, as far as no browser is needed."""

import os
import subprocess
import sys

import pytest

from jukebox_helpers import lab
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, Settings


@pytest.fixture
def settings(tmp_path):
    return Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:1", "http://127.0.0.1:2")


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_root_is_allowed_only_where_one_is_root(settings, monkeypatch, user, allowed):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    command = lab.lab_command(settings, ("--no-browser",))
    assert ("--allow-root" in command) is allowed
    assert command[-1] == "--no-browser" and "--ServerApp.ip=127.0.0.1" in command


def test_a_workbench_is_a_jupyterlab_already(tmp_path, monkeypatch):
    (tmp_path / "namespace").write_text("user1-toolings")
    monkeypatch.setattr(lab, "NAMESPACE_FILE", tmp_path / "namespace")
    with pytest.raises(JukeboxError, match="open already") as refused:
        lab.open_lab(tmp_path / "state")
    assert "0-welcome.ipynb" in refused.value.next_action
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
    assert (tmp_path / "state" / "work" / "jukebox" / "notebooks" / "0-welcome.ipynb").is_file()
