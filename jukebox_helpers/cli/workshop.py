"""Commands of the workshop: the demonstration, the lab, notebooks, catching up, sample data."""

import sys
from pathlib import Path

import click
from rich.console import Console

from jukebox_helpers.cli.terminal import FILE, as_json, cli, console, say_json
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.settings import need_checkout, state_folder
from jukebox_helpers.steps.constants import KINDS_OF_SONGS, NOTEBOOK_COUNT, RANKINGS_OBJECT, SONGS_OBJECT


@cli.command()
@click.option("--songs", type=FILE, help="A Parquet table of songs to start with (made up where not given).")
@click.option("--rankings", type=FILE, help="A Parquet table of rankings for them (made up where not given).")
def demo(songs: Path | None, rankings: Path | None) -> None:
    """Run the whole loop on a fresh sandbox.

    Data in, two traced models out, nothing left behind. Exit code 0 only if all of it worked.
    """
    need_checkout()
    from jukebox_helpers.workshop.demo import demo as run_demo

    run_demo(console(), songs, rankings)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Open the workshop: the sandbox, and JupyterLab on your clone.

    All arguments go to JupyterLab. When it ends, the sandbox stops too, unless it was running before.
    """
    need_checkout()
    from jukebox_helpers.workshop.lab import open_lab

    sys.exit(open_lab(state_folder(), arguments))


@cli.command()
@click.option("--only", type=click.IntRange(0, NOTEBOOK_COUNT - 1), help="The only notebook to run.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="An HTML page to write.")
@click.option("--untouched", is_flag=True, help="As an attendee finds them: each check must say that nothing was done.")
def notebooks(only: int | None, report: Path | None, untouched: bool) -> None:
    """Run every notebook with its solutions, as an instructor does before class.

    On a laptop on a fresh sandbox of your working tree, which goes afterwards; in a workbench on its own platform, so
    as a spare user. Exit code 1 if anything did not work; the report is written all the same.
    """
    need_checkout()
    from jukebox_helpers.workshop.notebooks import run_notebooks
    from jukebox_helpers.workshop.report import NotebookRun

    def tell(run: NotebookRun) -> None:
        mark = "[green]✓[/]" if run.passed else "[red]✗[/]"
        checks = ", ".join(f"{name} {outcome}" for name, outcome in run.outcomes.items())
        console().print(f"{mark} {run.name:<32} {run.seconds:6.1f} s  {checks} {run.error}", highlight=False)

    with Console(stderr=True).status("running the notebooks …"):
        runs = run_notebooks(report, only, tell, untouched)
    if report:
        click.echo(f"Report: {report}")
    sys.exit(0 if all(run.passed for run in runs) else 1)


@cli.command("catch-up")
@click.argument("number", type=click.IntRange(0, NOTEBOOK_COUNT - 1))
def catch_up(number: int) -> None:
    """Bring everything to the state in which notebook NUMBER starts.

    Your own edits that stand in the way are kept on a branch.
    """
    need_checkout()
    from jukebox_helpers.workshop import catching_up

    catching_up.catch_up(number, click.echo)


@cli.command()
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(user: str, yes: bool) -> None:
    """Bring USER, who has to be the one of this platform, back to notebook 0.

    Both repositories go back to their first commit; schedules, runs, pipelines, models and what is in the buckets go.
    What is removed is listed first. Edits in the clones are kept on a branch.
    """
    need_checkout()
    from jukebox_helpers.workshop import resetting
    from jukebox_helpers.workshop.place import Workplace

    place = Workplace()
    with Console(stderr=True).status("looking …"):
        stock = resetting.look(place, user)
    lines = stock.lines()
    if lines:
        click.echo(f"This removes, of {user} on {place.settings.cluster_domain}:")
        click.echo("\n".join(f"· {line}" for line in lines))
        if not yes:
            click.confirm("Remove all of this?", abort=True)
    with Console(stderr=True).status("removing …"):
        resetting.reset(place, stock, click.echo)
    click.echo(f"{user} is at notebook 0." if lines else f"{user} is at notebook 0: nothing was to be removed.")


@cli.command()
@click.argument("kind", type=click.Choice(KINDS_OF_SONGS))
@click.option("--songs", type=FILE, help="Songs of your own to begin with: only with first.")
@as_json
def publish(kind: str, songs: Path | None, as_json: bool) -> None:
    """Let a day's songs arrive at s3://data/incoming/song_properties.parquet.

    \b
    first      the songs to begin with
    fresh      a week later: new songs, and some corrected
    same       the rows that are there, in another order and encoding
    corrected  a few features corrected
    broken     a few values that are impossible
    drift      quieter, faster, else alike: valid, and nothing to learn from

    The same bytes every time. The last three change the songs of first or fresh, whichever came last.
    """  # noqa: D301 (click wants the character, and a raw text has none)
    need_checkout()
    from jukebox_helpers.workshop.place import Workplace

    facts = Workplace().publish(kind, songs)
    counts = ", ".join(f"{facts[name]:,} {name}" for name in ("new", "corrected", "changed") if name in facts)
    said = f"{facts['rows']:,} songs at {facts['address']}" + (f": {counts}" if counts else "")
    say_json(facts) if as_json else click.echo(f"Published {kind}: {said}")


@cli.command()
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="A PNG picture to write.")
@as_json
def week(picture: Path | None, as_json: bool) -> None:
    """Let seven days of songs arrive, and see what becomes of each.

    On a laptop its clock moves by a day for each, and the daily schedule runs once: fresh songs, nothing new, a
    correction, a broken file, a drift. In two minutes it shows what became a data version, what a model, and what was
    refused. In a cluster, two days by runs of their own. What the week needs is brought first, as catch-up does.
    """
    need_checkout()
    from jukebox_helpers.show.week_picture import week_chart
    from jukebox_helpers.workshop import catching_up
    from jukebox_helpers.workshop.arrivals import week as run_week

    place = catching_up.catch_up(NOTEBOOK_COUNT - 1, lambda line: click.echo(line, err=True))
    with Console(stderr=True).status("the first day …") as status:

        def show(run: Run) -> None:
            running = ", ".join(step.name for step in run.steps if step.state == "running")
            status.update(f"{run.pipeline}: {running or 'waiting'} …")

        found = run_week(place, say=lambda line: click.echo(line, err=True), show=show)
    if picture:
        picture.write_bytes(week_chart(found.days).png())
    say_json([vars(day) | {"outcome": day.outcome} for day in found.days]) if as_json else click.echo(repr(found))


@cli.command("sample-data")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--songs", type=click.IntRange(1), default=14_245, show_default=True, help="Number of songs.")
@click.option("--rows", type=click.IntRange(1), default=1_130_000, show_default=True, help="Number of ranking rows.")
@click.option("--fresh", type=FILE, help="Make the songs of a later week, from this table of songs.")
def make_sample_data(folder: Path, songs: int, rows: int, fresh: Path | None) -> None:
    """Make songs and rankings in FOLDER.

    Two Parquet tables, the same bytes every time.
    """
    from jukebox_helpers.steps import sample_data, sample_rankings

    folder.mkdir(parents=True, exist_ok=True)
    table, rankings = folder / SONGS_OBJECT, folder / RANKINGS_OBJECT
    with Console(stderr=True).status("making the tables …"):
        if fresh:
            sample_data.make_fresh_songs(str(fresh), str(table))
        else:
            sample_data.make_songs(str(table), songs)
        sample_rankings.make_rankings(str(rankings), str(table), rows)
    for file in (table, rankings):
        click.echo(f"{file}: {file.stat().st_size:,} bytes")
