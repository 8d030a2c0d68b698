"""The whole loop in one command: from nothing to two traced model versions, and nothing left behind."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from jukebox_helpers import sandbox
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import lineage
from jukebox_helpers.pipelines.runs import Run, RunFailed
from jukebox_helpers.settings import DEFAULT_PARAMETERS, GITOPS_REPOSITORY, TRAINING_PIPELINE, Settings
from jukebox_helpers.show import lineage as lineage_module
from jukebox_helpers.show.progress import RunProgress, in_seconds
from jukebox_helpers.steps import sample_data
from jukebox_helpers.steps.constants import MODEL, RANKINGS_ADDRESS, RANKINGS_OBJECT, WANTED_BUCKETS
from jukebox_helpers.steps.tables import validate_rankings, validate_songs
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.arrivals import week
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_helpers.workshop.place import Workplace
from jukebox_helpers.workshop.songs import upload

SHORT_WEEK = ("same", "broken")


class Demo:
    """One demonstration on one fresh sandbox; the console gets the story."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings = settings
        self.place = Workplace(settings)
        self.console = console

    def say(self, text: str) -> None:
        """Tell the next part of the story."""
        self.console.print(f"\n[bold]{text}[/]", highlight=False)

    def note(self, text: str) -> None:
        """Add a detail to the part that is being told."""
        self.console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)

    def push(self, repository: str, message: str) -> str:
        """Commit everything in a clone of the attendee, push it, and return the revision."""
        clone = self.settings.clone(repository)
        self.place.git("pull", "--quiet", folder=clone)
        self.place.git("commit", "--quiet", "--all", "--message", message, folder=clone)
        self.place.git("push", "--quiet", "origin", "main", folder=clone)
        revision = self.place.git("rev-parse", "HEAD", folder=clone)
        self.note(f"pushed {revision[:10]} to {repository}: {message}")
        return revision

    def apply_buckets(self) -> None:
        """Add the buckets of the data as code, and see the push create them."""
        edits.add_buckets(self.place.gitops / CONFIG, list(WANTED_BUCKETS))
        self.push(GITOPS_REPOSITORY, "Buckets for the data and its versions")
        self.note(f"the S3 server has {', '.join(self.place.wait_for_buckets(*WANTED_BUCKETS))}")

    def load_rankings(self, rankings: Path) -> None:
        """Put rankings into the bucket ``data``, and name their address for the next revision."""
        upload(self.settings, rankings, RANKINGS_OBJECT)
        edits.name_rankings(self.settings.clone() / DEFAULT_PARAMETERS, RANKINGS_ADDRESS)
        self.note(f"rankings loaded to {RANKINGS_ADDRESS}")

    def watch(self, go: Callable[[Callable[[Run], None]], Any]) -> Run:
        """Show a run that ``go`` starts or follows, note how it ended, and return it."""
        runs: list[Run] = []
        with RunProgress(self.console) as progress:

            def show(run: Run) -> None:
                progress(run)
                runs.append(run)

            go(show)
        self.note(f"{runs[-1].pipeline} {runs[-1].state} after {in_seconds(runs[-1].seconds)}; run {runs[-1].id}")
        return runs[-1]

    def run_data_pipeline(self, songs: Path | None = None) -> str:
        """Run the data pipeline from the compiled YAML, and return the head of main after it."""
        self.watch(lambda show: self.place.run_data_pipeline(songs, show))
        return self.head()

    def head(self) -> str:
        """The head of main on the git server."""
        return self.place.head()

    def follow(self, revision: str) -> Run:
        """Follow the training that a push has started."""
        return self.watch(lambda show: self.place.follow(revision, show))

    def train(self, kind: str, songs: Path | None = None) -> None:
        """New songs in, a new model version out."""
        facts = self.place.publish(kind, songs)
        news = f", {facts['new']:,} of them new, {facts['corrected']} corrected" if "new" in facts else ""
        self.note(f"{facts['rows']:,} songs at {facts['address']}{news}")
        revision = self.run_data_pipeline()
        self.say(f"The commit {revision[:10]} triggers the training, on exactly that data version")
        run = self.follow(revision)
        if run.state != "succeeded":
            raise RunFailed(run)


def demo(console: Console, songs: Path | None = None, rankings: Path | None = None) -> None:
    """Run the whole loop on a fresh sandbox, headless, tell the console, and stop everything.

    Songs and rankings are tables to start with, made up where not given; one that is not valid is a ValueError. The
    first thing that does not work is a JukeboxError.
    """
    if songs:
        validate_songs(str(songs))
    if rankings:
        validate_rankings(str(rankings))
    started = time.monotonic()
    with sandbox.temporary_state("demo") as state:
        tell(console, state, songs, rankings)
        console.print(f"\n[green]The whole loop worked[/], in {time.monotonic() - started:.0f} s.", highlight=False)


def tell(console: Console, state: Path, songs: Path | None, rankings: Path | None) -> None:
    """The story itself: sandbox, buckets, code, data, training, fresh data, training, lineage."""
    with console.status("starting the sandbox …"):
        settings = sandbox.up(state, lifeline=True, forget=True)
    show = Demo(settings, console)
    for note in settings.notes:
        show.note(f"Note: {note}")
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
    show.note(f"as expected: {stopped.error}")

    show.say("Songs arrive: the data pipeline runs, from the very YAML that is imported in a cluster")
    if not rankings:
        show.note("rankings: made up for these songs, and recorded as such (--rankings FILE brings your own)")
    if not songs:
        songs = state / "songs.parquet"
        sample_data.make_songs(str(songs))
    show.train("first", songs)

    show.say("A week later, fresh songs arrive: new ones, and some corrected ones")
    show.train("fresh")

    show.say("Where do these models come from?")
    registry = show.place.registry
    both = [lineage.trace(registry, MODEL, record["version"]) for record in registry.versions(MODEL)]
    if len(both) != 2:
        raise JukeboxError(f"Two model versions should be registered, but there are {len(both)}.")
    for found in both:
        console.print(lineage_module.lineage_tree(found))
    console.print(lineage_module.compare(both[0], both[1]))

    show.say(
        "Two more days, by the daily schedule: the same songs again, then a broken file (./jukebox week has seven)"
    )
    days = week(show.place, SHORT_WEEK, say=show.note).days
    if [day.outcome for day in days] != ["no news", "data refused"]:
        raise JukeboxError(f"These days should have made no version, but they made: {days}.")
    show.note(f"refused: {days[-1].refused}")
