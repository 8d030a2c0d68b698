"""Commands of the pipelines: compile, run, import, schedule, and what became of runs."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jukebox_helpers.cli.terminal import FILE, as_json, cli, console, say_json, show_run
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import (
    DATA_PIPELINE,
    DATA_PIPELINE_YAML,
    GRID_PIPELINE,
    GRID_PIPELINE_YAML,
    KIT,
    REPOSITORY,
    STEPS_PACKAGES,
    TRAINING_PIPELINE,
    TRAINING_PIPELINE_YAML,
    find_settings,
    need_checkout,
    state_folder,
)
from jukebox_helpers.steps.constants import INCOMING_ADDRESS


@cli.command("compile")
def compile_() -> None:
    """Write the pipelines' YAML, and the list of the packages that their steps install.

    In the checkout or clone that you are in, else in the kit.
    """
    need_checkout()
    from jukebox_helpers.pipelines import compile
    from jukebox_helpers.pipelines.declare import packages_installed

    root, compiled = workspace(), []
    for source, target in (
        (DATA_PIPELINE, DATA_PIPELINE_YAML),
        (TRAINING_PIPELINE, TRAINING_PIPELINE_YAML),
        (GRID_PIPELINE, GRID_PIPELINE_YAML),
    ):
        compile.compile_file(root / source)
        click.echo(f"{root / target}: {(root / target).stat().st_size:,} bytes")
        compiled.append((root / target).read_text(encoding="utf-8"))
    if (root / STEPS_PACKAGES).parent.is_dir():
        (root / STEPS_PACKAGES).write_text("\n".join([*packages_installed(compiled), ""]))


def workspace() -> Path:
    """The folder whose pipelines are meant: the checkout that you are in, else the attendee's clone, else the kit."""
    clone = state_folder() / "work" / REPOSITORY
    for folder in (Path.cwd(), *Path.cwd().parents, clone):
        if (folder / DATA_PIPELINE).is_file():
            return folder
    need_checkout()
    return KIT


dataset_url = click.option(
    "--dataset-url",
    help=f"Where the songs come from: https://, s3://, or a file, which is uploaded [default: {INCOMING_ADDRESS}].",
)
repo_url = click.option(
    "--repo-url", help="The git repository that keeps the version file [default: the platform's jukebox]."
)


@cli.group("run")
def run_group() -> None:
    """Run a pipeline once."""


@run_group.command("data-pipeline")
@dataset_url
@repo_url
@as_json
def run_data_pipeline(dataset_url: str | None, repo_url: str | None, as_json: bool) -> None:
    """Fetch, validate, transform, load, version, commit: from the compiled YAML.

    Exit code 1 also if main has these songs already, and its training failed or never began.
    """
    from jukebox_helpers.pipelines.actions import run_file
    from jukebox_helpers.pipelines.read import check_addresses
    from jukebox_helpers.pipelines.revisions import repository_argument, server_head
    from jukebox_helpers.pipelines.training import check_trained
    from jukebox_helpers.show.progress import RunProgress
    from jukebox_helpers.workshop.songs import songs_argument

    settings = find_settings()
    check_addresses({"dataset_url": dataset_url})
    arguments = {
        "repo_url": repository_argument(settings, repo_url),
        "dataset_url": songs_argument(settings, dataset_url),
    }
    before = server_head(settings, arguments["repo_url"])
    with RunProgress(Console(stderr=True)) as progress:
        run = run_file(settings, workspace() / DATA_PIPELINE_YAML, arguments, progress)
    show_run(run, as_json)
    revision = server_head(settings, arguments["repo_url"])
    if revision and revision != before and not as_json:
        click.echo(
            f"A new data version is revision {revision[:10]} of main. "
            "Its push starts the training: ./jukebox trace jukebox shows what comes of it."
        )
    elif revision and revision == before:
        said = [f"No news: main has these songs already, as of revision {revision[:10]}."]
        if arguments["repo_url"] == settings.repository_url():
            said.append(check_trained(settings, revision))
        if not as_json:
            click.echo(" ".join(said))


@run_group.command("training-pipeline")
@click.option("--revision", help="The revision to train [default: the head of main on the git server].")
@click.option("--grid", type=FILE, help='Score these candidates instead, a JSON list, e.g. [{"epochs": 40}].')
@as_json
def run_training_pipeline(revision: str | None, grid: Path | None, as_json: bool) -> None:
    """Train, evaluate and register one pushed revision.

    From its own files. With a grid, no model is trained: each candidate is cross-validated, at the same time in a
    cluster; the better hyperparameters are for default_parameters.json, so that a commit names what a model was
    trained with.
    """
    from jukebox_helpers.pipelines.training import candidates, score_grid, train_revision
    from jukebox_helpers.show.progress import RunProgress, candidates_table

    settings = find_settings()
    with RunProgress(Console(stderr=True)) as progress:
        revision = revision or "origin/main"
        if grid:
            run = score_grid(settings, revision, read_grid(grid), progress)
        else:
            run = train_revision(settings, revision, progress)
    found = candidates(settings, run) if grid else []
    if found and not as_json:
        console().print(candidates_table(found))
    show_run(run, as_json)


@cli.command("import")
@click.argument("pipeline", type=click.Choice(["data-pipeline", "training-pipeline"]), default="data-pipeline")
@click.option("--revision", default="origin/main", show_default=True, help="The revision of the training pipeline.")
@as_json
def import_(pipeline: str, revision: str, as_json: bool) -> None:
    """Import a pipeline into the pipeline server.

    A new one, or a new version of the one that is there, named by its git revision. The data pipeline is the
    compiled YAML of the checkout that you are in.
    """
    from jukebox_helpers.pipelines import actions

    settings = find_settings()
    if pipeline == "training-pipeline":
        imported = actions.import_revision(settings, revision)
    else:
        imported = actions.import_file(settings, workspace() / DATA_PIPELINE_YAML)
    said = f"{'Imported' if imported.new else 'Already there'}: {imported.pipeline} {imported.version}"
    say_json(imported.as_json()) if as_json else click.echo(said)


@cli.command()
@dataset_url
@repo_url
@as_json
def schedule(dataset_url: str | None, repo_url: str | None, as_json: bool) -> None:
    """Let the pipeline server run the imported data pipeline every day.

    One run at a time, its latest version. Again with something else, it replaces the schedule.
    """
    from jukebox_helpers.pipelines.actions import schedule_data_pipeline
    from jukebox_helpers.workshop.songs import songs_argument

    settings = find_settings()
    made = schedule_data_pipeline(settings, songs_argument(settings, dataset_url, now=False), repo_url)
    said = f"{'Scheduled' if made.new else 'Unchanged'}: {made.name}, version {made.version}, every day"
    say_json(vars(made)) if as_json else click.echo(said)


@cli.command()
@click.argument("run")
@click.argument("step", required=False)
def log(run: str, step: str | None) -> None:
    """Print the log of RUN.

    Of all its steps, or of one STEP.
    """
    from jukebox_helpers.pipelines.following import logs
    from jukebox_helpers.pipelines.server import connect
    from jukebox_helpers.steps.messages import printable

    settings = find_settings()
    found = logs(connect(settings), run)
    if not found:
        kept = "No step of it has begun" if settings.is_sandbox else "A cluster keeps them as long as the pods"
        raise JukeboxError(
            f"The pipeline server has no log of the run {run}.", f"{kept}: see the run in the dashboard."
        )
    if step and step not in found:
        raise JukeboxError(f"There is no log of a step {step!r}.", f"There are: {', '.join(found)}.")
    for name, text in found.items():
        if step in (None, name):
            click.echo(f"── {name}\n{printable(text, most=None)}")


@cli.command()
@click.option("--number", type=click.IntRange(1, 200), default=20, show_default=True, help="How many at most.")
@as_json
def runs(number: int, as_json: bool) -> None:
    """List the runs of all pipelines, the newest first.

    When each began, how it ended, and why it failed; ./jukebox log has more.
    """
    from jukebox_helpers.pipelines.following import newest_runs
    from jukebox_helpers.pipelines.server import connect
    from jukebox_helpers.steps.messages import printable

    found = newest_runs(connect(find_settings()), number)
    if as_json:
        say_json(found)
        return
    for one in found:
        name = printable(f"{one['pipeline']}: {one['name']}")
        click.echo(f"{one['when']:%Y-%m-%d %H:%M}  {one['state']:<9}  {one['id']}  {name}")
        if one["why"]:
            click.echo(f"{'':18}{one['why']}")
    if not found:
        click.echo("No run so far.")


def read_grid(file: Path) -> list[dict[str, Any]]:
    """Read a grid of hyperparameters, and refuse one that a step would refuse: before anything starts."""
    from jukebox_helpers.steps.model import check_hyperparameters

    try:
        grid = json.loads(file.read_text())
    except ValueError as error:
        raise JukeboxError(f"{file} is not JSON: {error}", 'Write a list, e.g. [{"epochs": 10}].') from None
    if not isinstance(grid, list) or not grid or not all(isinstance(candidate, dict) for candidate in grid):
        raise JukeboxError(f"{file} is not a list of hyperparameters.", 'Write one, e.g. [{"epochs": 10}].')
    for candidate in grid:
        check_hyperparameters(candidate)
    return grid
