"""The wheel: each command works from an empty folder, or says in a sentence that it needs a checkout of the kit."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from commands import commands
from waiting import DEADLINE

from jukebox_helpers.cli import cli
from jukebox_helpers.settings import KIT

PACKAGES = ("jukebox_helpers", "jukebox_sandbox")
NEEDS_CHECKOUT = (1, "This needs a checkout of the kit")
NO_SANDBOX = (1, "No sandbox is running")

# What each command is given, and what becomes of it: its exit code, and words that it prints.
COMMANDS = {
    "bench": ([], *NEEDS_CHECKOUT),
    "catch-up": (["3"], *NEEDS_CHECKOUT),
    "clean": ([], *NO_SANDBOX),
    "compile": ([], *NEEDS_CHECKOUT),
    "completion": (["bash"], 0, "COMPREPLY"),
    "demo": ([], *NEEDS_CHECKOUT),
    "doctor": ([], 1, "No sandbox is running"),
    "down": ([], 0, "Stopped"),
    "import": ([], *NO_SANDBOX),
    "lab": ([], *NEEDS_CHECKOUT),
    "log": (["a-run"], *NO_SANDBOX),
    "load-rankings": (["songs/song_rankings.parquet"], *NO_SANDBOX),
    "notebooks": ([], *NEEDS_CHECKOUT),
    "pack": (["packed"], *NEEDS_CHECKOUT),
    "publish": (["first"], *NEEDS_CHECKOUT),
    "reproduce": (["jukebox", "1"], *NO_SANDBOX),
    "reset": (["user1"], *NEEDS_CHECKOUT),
    "run data-pipeline": (["--dataset-url", "songs/song_properties.parquet"], *NO_SANDBOX),
    "run training-pipeline": ([], *NO_SANDBOX),
    "runs": ([], *NO_SANDBOX),
    "sample-data": (["songs", "--songs", "200", "--rows", "1000"], 0, "song_rankings.parquet"),
    "schedule": (["--dataset-url", "https://songs.example/songs.parquet"], *NO_SANDBOX),
    "status": ([], 1, "False"),
    "test": ([], *NEEDS_CHECKOUT),
    "trace": (["jukebox"], *NO_SANDBOX),
    "up": ([], *NEEDS_CHECKOUT),
    "week": ([], *NEEDS_CHECKOUT),
}


def files(folder):
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.suffix != ".pyc"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from what git tracks or would: nothing is left in the kit."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in tracked("pyproject.toml", "README.md", "LICENSE", *PACKAGES):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(KIT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*command, "--wheel-dir", built, source], check=True)
    return next(built.glob("*.whl"))


def tracked(*names):
    """The files of the kit that git tracks or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *names]
    listed = subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (KIT / name).is_file()]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel installed; the packages that it needs are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # A plain path: the .pth files of that folder, and so the kit, are not followed.
    (purelib / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder, purelib


@pytest.fixture(scope="module")
def jukebox(installed, tmp_path_factory):
    """Run a command of the installed wheel in an empty folder, as a user who has nothing else."""
    folder, _ = installed
    home = tmp_path_factory.mktemp("home")
    here = tmp_path_factory.mktemp("here")
    kept = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(home), "PYTHONUTF8": "1"}

    def run(*arguments):
        return subprocess.run(
            [folder / "bin" / "jukebox", *arguments],
            env=kept,
            cwd=here,
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE,
        )

    run.home = home
    return run


def test_the_wheel_holds_all_of_the_packages_and_the_licence(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in held if ".dist-info/" in name}
    assert held - about == set(tracked(*PACKAGES))
    assert any(name.endswith("/LICENSE") for name in about)


def test_every_command_of_the_wheel_is_tried():
    leaves = [" ".join(names) for names in commands(cli) if names != ("run",)]
    assert sorted(leaves) == sorted(COMMANDS)


def test_each_command_works_or_says_what_it_needs(installed, jukebox):
    _, purelib = installed
    before = files(purelib)
    # sample-data first: others are given its tables.
    for name in sorted(COMMANDS, key=lambda name: name != "sample-data"):
        arguments, code, words = COMMANDS[name]
        result = jukebox(*name.split(), *arguments)
        printed = result.stdout + result.stderr
        assert result.returncode == code, f"{name}: {printed}"
        assert words in printed, f"{name}: {printed}"
        assert "Traceback" not in printed and "JUKEBOX_TRACEBACK" not in printed, f"{name}: {printed}"
        if words == NEEDS_CHECKOUT[1]:
            what, next_action = result.stderr.strip().splitlines()
            assert what.startswith("Error: ") and next_action.startswith("Next: Clone the kit's repository"), name
    assert files(purelib) == before


def test_the_version_and_the_help_are_the_wheels_own(jukebox):
    assert jukebox("--version").stdout.startswith("Jukebox 0.")
    assert "revision" not in jukebox("--version").stdout
    assert jukebox("--help").stdout.startswith("Usage: jukebox [OPTIONS]")


def test_state_without_a_checkout_is_the_users(installed, jukebox):
    python = installed[0] / "bin" / "python"
    program = "import jukebox_helpers.settings as s; print(s.KIT, s.state_folder(), sep='\\n')"
    environment = {"PATH": os.environ["PATH"], "HOME": str(jukebox.home)}
    run = subprocess.run([python, "-c", program], env=environment, cwd=jukebox.home, capture_output=True, text=True)
    kit, state = run.stdout.splitlines()
    assert Path(kit) == installed[1].resolve()
    assert Path(state).is_relative_to(jukebox.home.resolve()) and Path(state).name == "jukebox"
    assert state in jukebox("down").stdout


@pytest.mark.parametrize(
    "program",
    [
        "from jukebox_helpers.pipelines.declare import requirements; requirements('numpy')",
        "from jukebox_helpers.cli.pipelines import workspace; workspace()",
    ],
    ids=["declaring a step", "the pipelines' files"],
)
def test_what_is_read_from_a_checkout_is_refused_without_one(installed, jukebox, program):
    python = installed[0] / "bin" / "python"
    environment = {"PATH": os.environ["PATH"], "HOME": str(jukebox.home)}
    run = subprocess.run([python, "-c", program], env=environment, cwd=jukebox.home, capture_output=True, text=True)
    assert "JukeboxError: This needs a checkout of the kit" in run.stderr
