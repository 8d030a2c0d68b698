"""Each command says what it does."""

import pytest
from click.testing import CliRunner

from jukebox_helpers.cli import cli


def commands(group, prefix=()):
    for name, command in group.commands.items():
        yield (*prefix, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))


@pytest.mark.parametrize("command", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself(command):
    if command == ("bench",):  # all its arguments are passed on
        return
    result = CliRunner().invoke(cli, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.split("Usage:")[1].split("Options:")[0].splitlines()) > 2
