"""Commands of the platform: the sandbox of this laptop, and what is missing here."""

import sys
from typing import Any

import click
from rich.console import Console

from jukebox_helpers.cli.terminal import as_json, cli, console, say_json
from jukebox_helpers.settings import REPOSITORY, need_checkout, state_folder
from jukebox_helpers.steps.messages import parts, printable


@cli.command()
@as_json
def up(as_json: bool) -> None:
    """Start the sandbox of this laptop.

    A real S3 server, a real git server, the trigger of the training, a pipeline server and the model registry, on
    loopback.
    """
    need_checkout()
    from jukebox_helpers import sandbox

    with Console(stderr=True).status("starting the sandbox …"):
        settings = sandbox.up(state_folder())
    for note in settings.notes:
        click.echo(f"Note: {note}", err=True)
    show_status(as_json)


@cli.command()
@click.option("--delete", is_flag=True, help="Delete its state too: buckets, repositories, models, your clone.")
def down(delete: bool) -> None:
    """Stop the sandbox.

    What it holds stays, for the next up.
    """
    from jukebox_helpers import sandbox

    sandbox.down(state_folder(), delete=delete)
    click.echo(f"Stopped. {'Deleted' if delete else 'Kept'}: {state_folder()}")


@cli.command()
@as_json
def status(as_json: bool) -> None:
    """Show what runs, where, and what happened last.

    Exit code 1 if no sandbox runs.
    """
    if not show_status(as_json):
        sys.exit(1)


def show_status(as_json: bool) -> bool:
    """Print the sandbox's status, and tell whether it runs."""
    from rich.table import Table
    from rich.text import Text

    from jukebox_helpers import sandbox

    known = sandbox.status(state_folder())
    if as_json:
        say_json(known)
        return bool(known["running"])
    if known["running"]:
        known["log in as"] = f"{known['namespace'].split('-')[0]}, password: {state_folder()}/secrets/git-auth/password"
    link = known.pop("dashboard", "")
    table = Table(show_header=False, box=None)
    for key, value in known.items():
        if key == "events":
            value = "\n".join(map(push_line, value)) or "none yet"
        elif key == "untrained":
            value = "\n".join(map(untrained_line, value)) or "nothing"
        elif isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        elif isinstance(value, dict):
            value = "\n".join(f"{name}: {item}" for name, item in value.items())
        table.add_row(key.replace("_", " "), Text(printable(str(value), None)))
    console().print(table, soft_wrap=True)
    if link:  # longer than many a terminal is wide: cut or folded in a table, it would lead nowhere
        click.echo(f" The dashboard, by a link that logs a browser in once:\n {link}")
    return bool(known["running"])


def push_line(event: dict[str, Any]) -> str:
    """A push in a line: what became of it, as its commit says; in a second one, what to do next, where that is said."""
    what, next_action = parts(event["description"] or event["detail"])
    said = f"{event['status'] or event['state']}: {what.split(chr(10))[0]}".rstrip(": ")
    return f"{event['repository']} {event['revision'][:10]} {said}" + f"\n  Next: {next_action}" * bool(next_action)


def untrained_line(head: dict[str, Any]) -> str:
    """A head of main of which nothing came, in a line, with the command that does it again."""
    again = "git commit --allow-empty, and push"
    if head["repository"] == REPOSITORY:
        again = f"./jukebox run training-pipeline --revision {head['revision'][:10]}"
    return push_line({"detail": "", "state": "its push was lost", **head}).split("\n")[0] + f"\n  Next: {again}"


@cli.command()
@as_json
def doctor(as_json: bool) -> None:
    """Show what is missing here.

    And how to get it. Exit code 1 if anything is missing.
    """
    from rich.table import Table
    from rich.text import Text

    from jukebox_helpers.workshop.doctor import examine

    findings = examine()
    if as_json:
        say_json([vars(finding) for finding in findings])
    else:
        table = Table("", "what", box=None)
        for column in ("found", "next"):  # addresses are shown whole
            table.add_column(column, overflow="fold")
        for finding in findings:
            mark = "[green]✓[/]" if finding.good else "[red]✗[/]"
            table.add_row(
                mark, finding.what, Text(printable(finding.found)), Text("" if finding.good else finding.next_action)
            )
        console().print(table)
    sys.exit(0 if all(finding.good for finding in findings) else 1)


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--runs-older-than", "days", type=click.IntRange(1), metavar="DAYS", help="Delete such runs first.")
@click.option("--gone", metavar="URL", multiple=True, help="A repository that is gone for good. May be repeated.")
@click.option("--no-production", is_flag=True, help="This cluster has no registry of production.")
@as_json
def clean(dry_run: bool, days: int | None, gone: tuple[str, ...], no_production: bool, as_json: bool) -> None:
    """Remove what no version, model or run names any more.

    From the buckets, on a laptop and in a cluster: data that no file of any revision names, models without a record,
    what runs wrote that are deleted; nothing that is younger than a day. A run that a model names is never deleted.
    On a laptop also the space of overwritten objects, and the states of demonstrations that were killed.
    """
    from rich.filesize import decimal
    from rich.table import Table

    from jukebox_helpers import sandbox
    from jukebox_helpers.pipelines import cleaning
    from jukebox_helpers.settings import find_settings

    settings = find_settings()
    with Console(stderr=True).status("asking git, the registry and the pipeline server …") as shown:
        going = cleaning.clean(
            settings,
            dry_run=dry_run,
            days=days,
            gone=gone,
            production=not no_production,
            told=lambda one: shown.update(f"removing s3://{one.bucket}/{one.key[:80]} …"),
        )
        left = sandbox.clean(settings.state, dry_run) if settings.is_sandbox else []
    if as_json:
        objects = [{"address": f"s3://{one.bucket}/{one.key}", "size": one.size} for one in going]
        say_json({"dry_run": dry_run, "objects": objects, "folders": left})
        return
    table = Table("bucket", "objects", "size", box=None)
    for bucket in sorted({one.bucket for one in going}):
        sizes = [one.size for one in going if one.bucket == bucket]
        table.add_row(bucket, str(len(sizes)), decimal(sum(sizes)))
    console().print(table if going else "Everything in the buckets has a name.", soft_wrap=True)
    for folder in left:
        click.echo(f"A state that a killed command left: {folder}")
    click.echo("Nothing was removed: --dry-run." if dry_run else "Removed.")
