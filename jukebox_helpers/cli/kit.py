"""Commands of the kit: tests, benchmarks, packing, completion."""

import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import click

from jukebox_helpers.about import completion_script
from jukebox_helpers.cli.terminal import cli
from jukebox_helpers.settings import KIT, need_checkout

TIERS = ("unit", "sandbox", "cluster", "notebooks", "attacks")
"""The folders of tests; the attacks run only when they are named."""


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[TIER]... [PYTEST ARGUMENTS]...")
def test(arguments: tuple[str, ...]) -> None:
    """Run the tests: all but the attacks, or one or more tiers.

    \b
    unit       plain functions; no process is started     1 minute
    sandbox    real S3, git, DVC and pipelines           15 minutes
    cluster    charts, and stand-ins for a cluster        2 minutes
    notebooks  Jupyter, a browser, every exercise        10 minutes
    attacks    the promises; writes docs/reliability.md  30 minutes

    The times are those of two processors. All other arguments go to pytest: ./jukebox test unit -n 0 -k model
    """  # noqa: D301 (click wants the character, and a raw text has none)
    need_checkout()
    sys.exit(subprocess.run([sys.executable, "-m", "pytest", *pytest_arguments(arguments)], cwd=KIT).returncode)


def pytest_arguments(arguments: Sequence[str]) -> list[str]:
    """Turn the arguments of ``./jukebox test``, tiers and then what pytest understands, into pytest's.

    A word before pytest's arguments that is neither a tier nor a path is a click.UsageError.
    """
    words = list(takewhile(str.isidentifier, arguments))
    for word in words:
        if word not in TIERS and not (KIT / word).exists():
            raise click.UsageError(
                f"{word!r} is not a tier of the tests.\nNext: name one or more of {', '.join(TIERS)}, or a file, "
                "as in ./jukebox test tests/unit/test_tiers.py."
            )
    return [f"tests/{word}" if word in TIERS else word for word in words] + list(arguments[len(words) :])


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Run the benchmarks.

    Ratios, with a table and a plot of each. All arguments go to the benchmarks: try bench --help.
    """
    need_checkout()
    sys.exit(subprocess.run([sys.executable, "-m", "benchmarks", *arguments], cwd=KIT).returncode)


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--tests", is_flag=True, help="Pack what ./jukebox test needs, too.")
def pack(folder: Path, tests: bool) -> None:
    """Put into FOLDER all that an installation without a network needs.

    The packages, for machines like this one and this version of Python; the kit, as a git bundle; and README.txt,
    which says how to install them.
    """
    need_checkout()
    from jukebox_helpers import pack as packing

    locks = [packing.LOCK, packing.DEVELOPMENT_LOCK] if tests else [packing.LOCK]
    packing.pack(folder, locks, click.echo, sys.stderr.isatty())


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in SHELL.

    It completes jukebox and ./jukebox. For bash, put this into ~/.bashrc: eval "$(KIT/jukebox completion bash)",
    with the path of your kit. For zsh, the same with zsh into ~/.zshrc, after compinit. For fish, into
    ~/.config/fish/config.fish: KIT/jukebox completion fish | source
    """
    click.echo(completion_script(cli, shell))
