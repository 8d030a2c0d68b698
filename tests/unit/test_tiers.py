"""The tiers of the tests: what `./jukebox test` makes of its arguments, and what the unit tests may not do."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from jukebox_helpers.cli import cli
from jukebox_helpers.cli.kit import TIERS, pytest_arguments
from jukebox_helpers.settings import KIT


@pytest.fixture(scope="session")
def refusal():
    """What a fixture hears that starts a process: one of a whole session is set up before any other."""
    with pytest.raises(AssertionError) as refused:
        subprocess.run([sys.executable, "-c", ""])
    return str(refused.value)


def test_a_fixture_of_the_unit_tests_starts_no_process(refusal):
    assert refusal.startswith("A unit test starts a process: subprocess.Popen")


@pytest.mark.parametrize("start", [lambda: os.system("true"), lambda: os.posix_spawn("/bin/true", ["true"], {})])
def test_a_unit_test_starts_no_process(start):
    with pytest.raises(AssertionError, match="belongs to another tier"):
        start()


def test_every_folder_of_tests_is_a_tier():
    assert {file.parent.name for file in (KIT / "tests").rglob("test_*.py")} == set(TIERS)


def test_what_tests_share_is_beside_the_tiers():
    """Where a tier runs alone or first, another one's modules are not there, and `conftest` is another file."""
    text = {file: file.read_text() for file in (KIT / "tests").rglob("*.py")}
    found = re.compile(r"^\s*(?:from|import) (?:conftest|test_\w+)\b", re.MULTILINE)
    assert [file.name for file, source in text.items() if found.search(source)] == []


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([], []),
        (["unit"], ["tests/unit"]),
        (["unit", "cluster", "-k", "unit", "-n", "0"], ["tests/unit", "tests/cluster", "-k", "unit", "-n", "0"]),
        (["tests/unit/test_tiers.py::test_x", "-x"], ["tests/unit/test_tiers.py::test_x", "-x"]),
        (["benchmarks"], ["benchmarks"]),
        (["-k", "name"], ["-k", "name"]),
    ],
)
def test_tiers_come_first_and_all_else_goes_to_pytest(given, passed):
    assert pytest_arguments(given) == passed


def test_the_command_gives_pytests_exit_code(monkeypatch):
    ran = []

    def run(command, **_):
        ran.append(command[1:])
        return SimpleNamespace(returncode=5)

    monkeypatch.setattr(subprocess, "run", run)
    assert CliRunner().invoke(cli, ["test", "unit", "-k", "no-such"]).exit_code == 5
    assert ran == [["-m", "pytest", "tests/unit", "-k", "no-such"]]
    assert CliRunner().invoke(cli, ["test", "units"]).exit_code == 2 and len(ran) == 1


def test_the_commands_help_has_a_line_for_each_tier():
    lines = CliRunner().invoke(cli, ["test", "--help"]).output.splitlines()
    assert [line.split()[0] for line in lines if line.endswith((" minute", " minutes"))] == list(TIERS)


@pytest.mark.parametrize("given", [["units"], ["unit", "slow", "-x"]])
def test_an_unknown_tier_is_answered_with_the_known_ones(given):
    with pytest.raises(
        click.UsageError, match="'(units|slow)' is not a tier of the tests.\nNext: .* unit, sandbox, cluster"
    ):
        pytest_arguments(given)
