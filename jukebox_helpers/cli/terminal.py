"""What all commands share: the command line itself, the terminal, JSON, a finished run."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jukebox_helpers.about import kit_version

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program to read.")


def show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print the version, where ``--version`` asks for it."""
    if wanted and not context.resilient_parsing:
        click.echo(f"Jukebox {kit_version()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=show_version, help="Show version.")
def cli() -> None:
    """Jukebox: from a push of data to a model that knows which bytes it was trained on."""


def console() -> Console:
    """The terminal; a hundred columns where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=100)


def say_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, default=str))


def show_run(run: Any, as_json: bool) -> None:
    """Print a finished run."""
    from jukebox_helpers.show.progress import run_table

    if as_json:
        say_json(run.as_json())
        return
    console().print(run_table(run))
    click.echo(f"Log: ./jukebox log {run.id}")
