"""What the program says of itself: its version, and the script that completes its commands in a shell."""

import contextlib

import click
from click.shell_completion import get_completion_class

from jukebox_helpers import __version__
from jukebox_helpers.settings import KIT, is_checkout
from jukebox_helpers.steps.git import git

COMPLETION_VARIABLE = "_JUKEBOX_COMPLETE"
"""Set by a completion script: the program then prints completions and does nothing else."""


def kit_version() -> str:
    """The kit's version, and in a checkout its git revision, with ``-dirty`` where files differ from it."""
    described = ""
    if is_checkout() and (KIT / ".git").exists():
        with contextlib.suppress(OSError, RuntimeError):  # without git, or a repository that it refuses
            described = git("describe", "--always", "--dirty", "--abbrev=10", "--exclude=*", folder=str(KIT))
    return f"{__version__} (revision {described})" if described else __version__


def completion_script(command: click.Command, shell: str) -> str:
    """The code, to be sourced, that completes ``jukebox`` and ``./jukebox`` in ``bash``, ``zsh`` or ``fish``."""
    known = get_completion_class(shell)
    assert known is not None, shell
    script = known(command, {}, "jukebox", COMPLETION_VARIABLE).source()
    # click's scripts call a `jukebox` of the PATH; what is to be completed may be ./jukebox.
    if shell == "zsh":
        script = script.replace("    (( ! $+commands[jukebox] )) && return 1\n", "")
        script = script.replace("zsh_complete jukebox)", "zsh_complete ${~words[1]})")
    elif shell == "fish":
        script = script.replace("(commandline -t) jukebox)", "(commandline -t) (commandline -opc)[1])")
    return script
