"""The command line: thin, everything that it does can be called from Python too.

Runs in a terminal, on a laptop and in a workbench. Uses every room below it.
"""

import os
import sys

import click

from jukebox_helpers.about import COMPLETION_VARIABLE
from jukebox_helpers.cli import kit, laptop, models, pipelines, workshop
from jukebox_helpers.cli.terminal import cli, show_run
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import is_checkout

__all__ = ["cli", "kit", "laptop", "main", "models", "pipelines", "show_run", "workshop"]


def main() -> None:
    """Run the command line; an error of ours is one message and exit code 1."""
    try:
        cli(prog_name="./jukebox" if is_checkout() else "jukebox", complete_var=COMPLETION_VARIABLE)
    except JukeboxError as error:
        click.secho(f"Error: {error.what}", fg="red", err=True)
        if error.next_action:
            click.echo(f"Next: {error.next_action}", err=True)
        sys.exit(1)
    except Exception as error:
        # What a step's functions raise says what to do next in its own words; of all else, one line and a way to more.
        if os.environ.get("JUKEBOX_TRACEBACK"):
            raise
        told = JukeboxError.told(error)
        click.secho(f"Error: {told.what or type(error).__name__}", fg="red", err=True)
        more = f"If this ({type(error).__name__}) says too little, run it again with JUKEBOX_TRACEBACK=1."
        click.echo(f"Next: {told.next_action or more}", err=True)
        sys.exit(1)
