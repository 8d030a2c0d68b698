"""Each command says what it does, and prints what can be used."""

import pytest
from click.testing import CliRunner
from commands import commands

from jukebox_helpers.cli import cli


@pytest.mark.parametrize("command", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself(command):
    if command == ("bench",):  # all its arguments are passed on
        return
    result = CliRunner().invoke(cli, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.split("Usage:")[1].split("Options:")[0].splitlines()) > 2


@pytest.mark.parametrize("command", [("import",), ("schedule",)], ids=" ".join)
def test_what_a_laptop_does_too_is_not_said_of_a_cluster_only(command):
    assert "OpenShift" not in CliRunner().invoke(cli, [*command, "--help"]).output


def test_the_link_that_logs_in_is_printed_whole(monkeypatch):
    link = "http://127.0.0.1:44809/dashboard/?login=" + "a" * 90
    known = {"running": True, "namespace": "user1-toolings", "dashboard": link, "events": []}
    monkeypatch.setattr("jukebox_helpers.sandbox.status", lambda state: dict(known))
    assert link in CliRunner().invoke(cli, ["status"]).output.split()
