"""Commands of models and of what they are trained on: trace, reproduce, rankings."""

import sys
from pathlib import Path

import click
from rich.console import Console

from jukebox_helpers.cli.terminal import FILE, as_json, cli, console, say_json
from jukebox_helpers.settings import find_settings
from jukebox_helpers.steps.constants import RANKINGS_ADDRESS, RANKINGS_OBJECT


@cli.command()
@click.argument("model")
@click.argument("version", required=False)
@as_json
def trace(model: str, version: str | None, as_json: bool) -> None:
    """Show where MODEL comes from.

    Its revision, data, rankings, parameters and metrics; of the latest version where no VERSION is given.
    """
    from jukebox_helpers.pipelines import lineage
    from jukebox_helpers.pipelines.registry import model_registry
    from jukebox_helpers.show import lineage as lineage_module

    found = lineage.trace(model_registry(find_settings()), model, version)
    if as_json:
        say_json(found)
    else:
        console().print(lineage_module.lineage_tree(found))


@cli.command()
@click.argument("model")
@click.argument("version")
@as_json
def reproduce(model: str, version: str, as_json: bool) -> None:
    """Rebuild MODEL VERSION and compare.

    From the revision, the data and the rankings that its record names. Exit code 1 if a digest differs.
    """
    from jukebox_helpers.pipelines.reproduction import reproduce as train_again
    from jukebox_helpers.show.progress import RunProgress

    with RunProgress(Console(stderr=True)) as progress:
        compared = train_again(find_settings(), model, version, progress)
    if as_json:
        say_json({"model": model, "version": version, "digests": compared})
    else:
        for digest in compared:
            mark = "[green]✓ the same[/]" if digest["same"] else f"[red]✗ not {digest['expected']}[/]"
            console().print(f"{mark}  {digest['what']}: {digest['found']}", soft_wrap=True)
    sys.exit(0 if all(digest["same"] for digest in compared) else 1)


@cli.command("load-rankings")
@click.argument("rankings", type=FILE)
def load_rankings(rankings: Path) -> None:
    """Load RANKINGS to s3://data/song_rankings.parquet.

    A revision trains on them that names this address in its default_parameters.json.
    """
    from jukebox_helpers.steps.tables import validate_rankings
    from jukebox_helpers.workshop.songs import upload

    with Console(stderr=True).status("validating …"):
        summary = validate_rankings(str(rankings))
    address = upload(find_settings(), rankings, RANKINGS_OBJECT)
    click.echo("\n".join([f"Loaded to {address}: {summary['rows']:,} rows", *summary["remarks"]]))
    click.echo(
        f'To train on them, set "rankings": "{RANKINGS_ADDRESS}" in '
        "3-prod_datascience/default_parameters.json, commit and push."
    )
