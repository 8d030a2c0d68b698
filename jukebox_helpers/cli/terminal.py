"""What all commands share: the command line itself, the terminal, JSON, a finished run."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.segment import Segment

from jukebox_helpers.about import kit_version
from jukebox_helpers.steps.messages import printable

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


class Terminal(Console):
    """The terminal: foreign text cannot steer it, whatever shows it; styles are rich's own."""

    def render(self, *arguments: Any, **options: Any) -> Iterator[Segment]:
        """What is printed, with control characters written out."""
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else segment._replace(text=printable(segment.text, None))


def console() -> Console:
    """The terminal; a hundred columns where there is none."""
    return Terminal() if sys.stdout.isatty() else Terminal(width=100)


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
