"""The whole loop in one command: from nothing to two traced model versions, and nothing left behind."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import lineage
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.pipelines.runs import Run, RunFailed
from jukebox_helpers.pipelines.training import follow_training
from jukebox_helpers.settings import (
    DATA_PIPELINE_YAML,
    DEFAULT_PARAMETERS,
    GITOPS_REPOSITORY,
    TRAINING_PIPELINE,
    Settings,
)
from jukebox_helpers.show import lineage as lineage_module
from jukebox_helpers.show.progress import RunProgress, log_of
from jukebox_helpers.steps import s3, sample_data
from jukebox_helpers.steps.git import git
from jukebox_helpers.steps.registry_mlflow import mlflow_registry
from jukebox_helpers.steps.tables import validate_rankings, validate_songs
from jukebox_helpers.workshop import edits
from jukebox_sandbox import buckets, control, events
from jukebox_sandbox.runner import run_pipeline

MODEL = "jukebox"
RANKINGS = "song_rankings.parquet"


class Demo:
    """One demonstration on one fresh sandbox.

    Args:
        settings: The sandbox.
        console: Where to tell the story.
    """

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings = settings
        self.console = console
        self.data = settings.state / "demo-data"
        self.data.mkdir()

    def say(self, text: str) -> None:
        """Tell the next part of the story."""
        self.console.print(f"\n[bold]{text}[/]", highlight=False)

    def note(self, text: str) -> None:
        """Add a detail to the part that is being told."""
        self.console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)

    def push(self, repository: str, message: str) -> str:
        """Commit everything in a clone of the attendee, push it, and return the revision."""
        clone = str(self.settings.clone(repository))
        with git_credentials(self.settings):
            git("pull", "--quiet", "--rebase", "--autostash", folder=clone)
            git("commit", "--quiet", "--all", "--message", message, folder=clone)
            git("push", "--quiet", "origin", "main", folder=clone)
        revision = git("rev-parse", "HEAD", folder=clone)
        self.note(f"pushed {revision[:10]} to {repository}: {message}")
        return revision

    def apply_buckets(self) -> None:
        """Add the buckets of the data as code, and see the push create them."""
        config = self.settings.clone(GITOPS_REPOSITORY) / buckets.CONFIG
        edits.add_buckets(config, ["data", "data-cache"])
        revision = self.push(GITOPS_REPOSITORY, "Buckets for the data and its versions")
        event = events.wait_for(self.settings.state, revision, timeout=60)
        if event["state"] != "done":
            raise JukeboxError(f"The buckets were not applied: {event.get('detail')}")
        self.note(str(event.get("detail", "")))

    def load_rankings(self, rankings: Path) -> None:
        """Put rankings into the bucket ``data``, and name their address for the next revision."""
        client = s3.s3_client(self.settings.secret("aws-connection-data"))
        client.upload_file(str(rankings), "data", RANKINGS)
        edits.name_rankings(self.settings.clone() / DEFAULT_PARAMETERS, f"s3://data/{RANKINGS}")
        self.note(f"rankings loaded to s3://data/{RANKINGS}")

    def run_data_pipeline(self, songs: Path) -> str:
        """Run the data pipeline from the compiled YAML, and return the head of main after it."""
        arguments = {"dataset_url": songs.resolve().as_uri(), "repo_url": self.settings.repository_url()}
        with RunProgress(self.console) as progress:
            run = run_pipeline(self.settings.clone() / DATA_PIPELINE_YAML, arguments, self.settings, on_change=progress)
        self.note(f"{run.pipeline} succeeded in {run.seconds:.1f} s; log: {log_of(run)}")
        return self.head()

    def head(self) -> str:
        """The head of main on the git server."""
        with git_credentials(self.settings):
            url = self.settings.repository_url()
            return git("ls-remote", url, "refs/heads/main").split("\t")[0]

    def follow(self, revision: str) -> Run:
        """Follow the training that a push has started."""

        def event() -> dict:
            found = [e for e in events.events(self.settings.state) if e.get("revision") == revision]
            return found[-1] if found else {}

        with RunProgress(self.console) as progress:
            run = follow_training(self.settings, revision, event, on_change=progress)
        self.note(f"{run.pipeline} {run.state} after {run.seconds:.1f} s; log: {log_of(run)}")
        return run

    def train(self, songs: Path) -> None:
        """New songs in, a new model version out."""
        revision = self.run_data_pipeline(songs)
        self.say(f"The commit {revision[:10]} triggers the training, on exactly that data version")
        run = self.follow(revision)
        if run.state != "succeeded":
            raise RunFailed(run)


def demo(console: Console, songs: Path | None = None, rankings: Path | None = None) -> None:
    """Run the whole loop on a fresh sandbox, headless, and stop everything.

    Args:
        console: Where to tell what happens.
        songs: A table of songs to start with; made up where not given.
        rankings: A table of rankings for them; made up where not given.

    Raises:
        JukeboxError: As soon as anything does not work.
        ValueError: If a given table is not valid.
    """
    if songs:
        validate_songs(str(songs))
    if rankings:
        validate_rankings(str(rankings))
    started = time.monotonic()
    state = Path(tempfile.mkdtemp(prefix="jukebox-demo-"))
    before = os.environ.get("JUKEBOX_STATE")
    os.environ["JUKEBOX_STATE"] = str(state)
    try:
        tell(console, state, songs, rankings)
        console.print(f"\n[green]The whole loop worked[/], in {time.monotonic() - started:.0f} s.", highlight=False)
    finally:
        control.down(state)
        shutil.rmtree(state, ignore_errors=True)
        os.environ.pop("JUKEBOX_STATE") if before is None else os.environ.update(JUKEBOX_STATE=before)


def tell(console: Console, state: Path, songs: Path | None, rankings: Path | None) -> None:
    """The story itself: sandbox, buckets, code, data, training, fresh data, training, lineage."""
    with console.status("starting the sandbox …"):
        settings = control.up(state, lifeline=True)
    show = Demo(settings, console)
    show.say("A fresh sandbox: S3, git, a model registry, all on this machine")
    show.note(f"S3 {settings.s3_endpoint}   git {settings.repository_url()}   state {state}")

    show.say("Buckets as code: add data and data-cache, commit, push")
    show.apply_buckets()

    show.say("The training shall use versioned data: edit, commit, push. Nothing is versioned yet, so it must stop")
    edits.train_on_versioned_data(settings.clone() / TRAINING_PIPELINE)
    if rankings:
        show.load_rankings(rankings)
    stopped = show.follow(show.push("jukebox", "Train on versioned data"))
    if stopped.state != "failed" or "song_properties.parquet.dvc" not in stopped.error:
        raise JukeboxError(f"The training without a data version should have said so, but it {stopped.state}.")
    show.note(f"as it should: {stopped.error}")

    show.say("Songs arrive: the data pipeline runs, from the very YAML that is imported in a cluster")
    first = songs or show.data / "song_properties.parquet"
    if not songs:
        sample_data.make_songs(str(first))
    if not rankings:
        show.note("rankings: made up for these songs, and recorded as such (--rankings FILE brings your own)")
    show.train(first)

    show.say("A week later, fresh songs arrive: new ones, and some corrected ones")
    fresh = show.data / "fresh" / "song_properties.parquet"
    fresh.parent.mkdir()
    news = sample_data.make_fresh_songs(str(first), str(fresh))
    show.note(f"{news['new']:,} new songs, {news['corrected']} corrected")
    show.train(fresh)

    show.say("Where do these models come from?")
    registry = mlflow_registry(settings.tracking_uri)
    both = [lineage.trace(registry, MODEL, record["version"]) for record in registry.versions(MODEL)]
    if len(both) != 2:
        raise JukeboxError(f"Two model versions should be registered, but there are {len(both)}.")
    for found in both:
        console.print(lineage_module.lineage_tree(found))
    console.print(lineage_module.compare(both[0], both[1]))
