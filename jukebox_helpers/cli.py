"""The command line: thin, everything it does can be called from Python too."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jukebox_helpers.about import COMPLETION_VARIABLE, completion_script, kit_version
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, REPOSITORY, find_settings, is_checkout, need_checkout, state_folder
from jukebox_helpers.steps.constants import DATA_BUCKET, NOTEBOOK_COUNT, RANKINGS_ADDRESS, RANKINGS_OBJECT, SONGS_OBJECT

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program to read.")


def console() -> Console:
    """The terminal; a hundred columns where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=100)


def say_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, default=str))


def show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print the version, where ``--version`` asks for it."""
    if wanted and not context.resilient_parsing:
        click.echo(f"Jukebox {kit_version()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=show_version, help="Show version.")
def cli() -> None:
    """Jukebox: from a push of data to a model that knows which bytes it was trained on."""


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
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[TIER]... [PYTEST ARGUMENTS]...")
def test(arguments: tuple[str, ...]) -> None:
    r"""Run the tests: all of them, or one or more tiers.

    \b
    unit       plain functions; no process is started     1 minute
    sandbox    real S3, git, DVC and pipelines           15 minutes
    cluster    charts, and stand-ins for a cluster       10 minutes
    notebooks  Jupyter, a browser, every exercise        10 minutes

    The times are those of two processors. All other arguments go to pytest: ./jukebox test unit -n 0 -k model
    """
    from jukebox_helpers.testing import pytest_arguments

    need_checkout()
    sys.exit(subprocess.run([sys.executable, "-m", "pytest", *pytest_arguments(arguments)], cwd=KIT).returncode)


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Run the benchmarks.

    Ratios, with a table and a plot of each. All arguments go to the benchmarks: try bench --help.
    """
    need_checkout()
    sys.exit(subprocess.run([sys.executable, "-m", "benchmarks", *arguments], cwd=KIT).returncode)


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
def notebooks(only: int | None, report: Path | None) -> None:
    """Run every notebook with its solutions, as an instructor does before class.

    On a laptop on a fresh sandbox, which goes afterwards. Exit code 1 if anything did not work.
    """
    need_checkout()
    from jukebox_helpers.workshop.notebooks import NotebookRun, run_notebooks

    def tell(run: NotebookRun) -> None:
        mark = "[green]✓[/]" if run.passed() else "[red]✗[/]"
        checks = ", ".join(f"{name} {outcome}" for name, outcome in run.outcomes.items())
        console().print(f"{mark} {run.name:<32} {run.seconds:6.1f} s  {checks} {run.error}", highlight=False)

    with Console(stderr=True).status("running the notebooks …"):
        runs = run_notebooks(report, only, tell)
    if report:
        click.echo(f"Report: {report}")
    sys.exit(0 if all(run.passed() for run in runs) else 1)


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
@as_json
def up(as_json: bool) -> None:
    """Start the sandbox of this laptop.

    A real S3 server, a real git server, the trigger of the training and the model registry, on loopback.
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

    from jukebox_helpers import sandbox

    known = sandbox.status(state_folder())
    if as_json:
        say_json(known)
        return bool(known["running"])
    if known["running"]:
        known["log in as"] = f"{known['namespace'].split('-')[0]}, password: {state_folder()}/secrets/git-auth/password"
    table = Table(show_header=False, box=None)
    for key, value in known.items():
        if key == "events":
            value = "\n".join(f"{e['repository']} {str(e['revision'])[:10]} {e['state']}" for e in value) or "none yet"
        elif isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        elif isinstance(value, dict):
            value = "\n".join(f"{name}: {item}" for name, item in value.items())
        table.add_row(key.replace("_", " "), str(value))
    console().print(table, soft_wrap=True)
    return bool(known["running"])


@cli.command()
@as_json
def doctor(as_json: bool) -> None:
    """Show what is missing here.

    And how to get it. Exit code 1 if anything is missing.
    """
    from rich.table import Table

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
            table.add_row(mark, finding.what, finding.found, "" if finding.good else finding.next_action)
        console().print(table)
    sys.exit(0 if all(finding.good for finding in findings) else 1)


@cli.command("compile")
def compile_() -> None:
    """Write the pipelines' YAML.

    In the checkout or clone that you stand in, else in the kit.
    """
    need_checkout()
    from jukebox_helpers import settings as settings_module
    from jukebox_helpers.pipelines import compile

    root = workspace()
    for source, target in (
        (settings_module.DATA_PIPELINE, settings_module.DATA_PIPELINE_YAML),
        (settings_module.TRAINING_PIPELINE, settings_module.TRAINING_PIPELINE_YAML),
    ):
        compile.compile_file(root / source)
        click.echo(f"{root / target}: {(root / target).stat().st_size:,} bytes")


def workspace() -> Path:
    """The folder whose pipelines are meant: the checkout one stands in, else the attendee's clone, else the kit."""
    from jukebox_helpers.settings import DATA_PIPELINE

    clone = state_folder() / "work" / REPOSITORY
    for folder in (Path.cwd(), *Path.cwd().parents, clone):
        if (folder / DATA_PIPELINE).is_file():
            return folder
    need_checkout()
    return KIT


@cli.group("run")
def run_group() -> None:
    """Run a pipeline once."""


@run_group.command("data-pipeline")
@click.option("--dataset-url", required=True, help="Where the songs come from: https://, s3://, file:// or a path.")
@click.option("--repo-url", help="The git repository that keeps the version file [default: the platform's jukebox].")
@as_json
def run_data_pipeline(dataset_url: str, repo_url: str | None, as_json: bool) -> None:
    """Fetch, validate, transform, load, version, commit: from the compiled YAML."""
    from jukebox_helpers.pipelines.arguments import check_addresses
    from jukebox_helpers.pipelines.platforms import pipelines_of
    from jukebox_helpers.pipelines.revisions import repository_argument, server_head
    from jukebox_helpers.settings import DATA_PIPELINE_YAML
    from jukebox_helpers.show.progress import RunProgress

    settings = find_settings()
    on_laptop = settings.platform == "sandbox"
    if on_laptop and "://" not in dataset_url:
        dataset_url = str(Path(dataset_url).resolve())
    arguments = {"dataset_url": dataset_url, "repo_url": repository_argument(settings, repo_url)}
    check_addresses(arguments)
    before = server_head(settings, arguments["repo_url"])
    with RunProgress(Console(stderr=True)) as progress:
        run = pipelines_of(settings).run(workspace() / DATA_PIPELINE_YAML, arguments, progress)
    show_run(run, as_json)
    if on_laptop and not as_json:
        md5, revision = run.output("load"), run.output("version-and-commit")
        click.echo(
            f"No news: main has data version {md5} already, as of revision {revision[:10]}. Nothing is trained."
            if revision == before
            else f"Data version {md5} is revision {revision[:10]} of main. "
            "Its push started the training: see ./jukebox status, and what came of it with ./jukebox trace jukebox."
        )


@run_group.command("training-pipeline")
@click.option("--revision", help="The revision to train [default: the head of main on the git server].")
@click.option("--grid", type=FILE, help='A JSON list of hyperparameters to score beside, e.g. [{"epochs": 40}].')
@as_json
def run_training_pipeline(revision: str | None, grid: Path | None, as_json: bool) -> None:
    """Train, evaluate and register one pushed revision.

    From its own files. With a grid, each candidate is cross-validated too, at the same time in a cluster; the
    better hyperparameters are for default_parameters.json, so that a commit names what a model was trained with.
    """
    from jukebox_helpers.pipelines.training import candidates, train_revision
    from jukebox_helpers.show.progress import RunProgress, candidates_table

    with RunProgress(Console(stderr=True)) as progress:
        run = train_revision(find_settings(), revision or "origin/main", progress, read_grid(grid) if grid else None)
    found = candidates(run)
    if found and not as_json:
        console().print(candidates_table(found))
    show_run(run, as_json)


@cli.command("import")
@click.argument("pipeline", type=click.Choice(["data-pipeline", "training-pipeline"]), default="data-pipeline")
@click.option("--revision", default="origin/main", show_default=True, help="The revision of the training pipeline.")
@as_json
def import_(pipeline: str, revision: str, as_json: bool) -> None:
    """Import a pipeline in OpenShift AI.

    A new one, or a new version of the one that is there, named by its git revision. The data pipeline is the
    compiled YAML of the checkout that you stand in.
    """
    from jukebox_helpers.pipelines import actions
    from jukebox_helpers.settings import DATA_PIPELINE_YAML

    settings = find_settings()
    if pipeline == "training-pipeline":
        imported = actions.import_revision(settings, revision)
    else:
        imported = actions.import_file(settings, workspace() / DATA_PIPELINE_YAML)
    said = f"{'Imported' if imported.new else 'Already there'}: {imported.pipeline} {imported.version}"
    say_json(vars(imported)) if as_json else click.echo(said)


@cli.command()
@click.option("--dataset-url", required=True, help="Where the songs come from: https:// or s3://.")
@click.option("--repo-url", help="The git repository that keeps the version file [default: the platform's jukebox].")
@as_json
def schedule(dataset_url: str, repo_url: str | None, as_json: bool) -> None:
    """Run the imported data pipeline every day in OpenShift AI.

    One run at a time, its latest version. Again with something else, it replaces the schedule.
    """
    from jukebox_helpers.pipelines.actions import schedule_data_pipeline

    made = schedule_data_pipeline(find_settings(), dataset_url, repo_url)
    said = f"{'Scheduled' if made.new else 'Unchanged'}: {made.name}, version {made.version}, every day"
    say_json(vars(made)) if as_json else click.echo(said)


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


def show_run(run: Any, as_json: bool) -> None:
    """Print a finished run."""
    from jukebox_helpers.show.progress import log_of, run_table

    if as_json:
        say_json(vars(run) | {"steps": [vars(step) for step in run.steps]})
        return
    console().print(run_table(run))
    click.echo(f"Log: {log_of(run)}")


def registry() -> Any:
    """This platform's model registry."""
    from jukebox_helpers.pipelines.registry import model_registry

    return model_registry(find_settings())


@cli.command()
@click.argument("model")
@click.argument("version", required=False)
@as_json
def trace(model: str, version: str | None, as_json: bool) -> None:
    """Show where MODEL comes from.

    Its revision, data, rankings, parameters and metrics; of the latest version where no VERSION is given.
    """
    from jukebox_helpers.pipelines import lineage
    from jukebox_helpers.show import lineage as lineage_module

    found = lineage.trace(registry(), model, version)
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
    from jukebox_helpers.pipelines import lineage
    from jukebox_helpers.pipelines.training import rebuild
    from jukebox_helpers.show.progress import RunProgress

    models = registry()
    record = models.find(model, version)
    if record is None:
        raise lineage.unknown(models, model, version)
    with RunProgress(Console(stderr=True)) as progress:
        rebuilt = rebuild(find_settings(), record, progress)
    recorded = {name: record["metadata"].get(name) for name in rebuilt}
    compared = lineage.compare_digests(recorded, rebuilt)
    if as_json:
        say_json({"model": model, "version": version, "digests": compared})
    else:
        for digest in compared:
            mark = "[green]✓ the same[/]" if digest["same"] else f"[red]✗ not {digest['expected']}[/]"
            console().print(f"{mark}  {digest['what']}: {digest['found']}", soft_wrap=True)
    sys.exit(0 if all(digest["same"] for digest in compared) else 1)


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


@cli.command("load-rankings")
@click.argument("rankings", type=FILE)
def load_rankings(rankings: Path) -> None:
    """Load RANKINGS to s3://data/song_rankings.parquet.

    A revision trains on them that names this address in its default_parameters.json.
    """
    from jukebox_helpers.steps import s3
    from jukebox_helpers.steps.tables import validate_rankings

    with Console(stderr=True).status("validating …"):
        summary = validate_rankings(str(rankings))
    client = s3.s3_client(find_settings().secret("aws-connection-data"))
    with s3.explained(client, "s3://data"):
        client.upload_file(str(rankings), DATA_BUCKET, RANKINGS_OBJECT)
    click.echo("\n".join([f"Loaded to {RANKINGS_ADDRESS}: {summary['rows']:,} rows", *summary["remarks"]]))
    click.echo(
        f'To train on them, set "rankings": "{RANKINGS_ADDRESS}" in '
        "3-prod_datascience/default_parameters.json, commit and push."
    )


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
