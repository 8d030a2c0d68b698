"""Resetting: bring a user's platform back to where notebook 0 starts, and lose nothing of the user's own folders.

The two repositories go back to their first commit, and what came of the later ones goes: schedules, runs, pipelines,
experiments, models, the contents of the buckets, and the buckets that the first commit does not list. By public
protocols only, with the user's own credentials, so it is the same on both platforms.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.pipelines.runs import state_of
from jukebox_helpers.pipelines.server import PipelineServer, connect
from jukebox_helpers.pipelines.statuses import read_status
from jukebox_helpers.pipelines.training import training_of
from jukebox_helpers.settings import GITOPS_REPOSITORY, REPOSITORY
from jukebox_helpers.steps.git import clone_main, git
from jukebox_helpers.steps.messages import printable
from jukebox_helpers.steps.s3 import explained
from jukebox_helpers.waiting import wait_until
from jukebox_helpers.workshop.buckets import CONFIG, listed_buckets
from jukebox_helpers.workshop.catching_up import follow_main
from jukebox_helpers.workshop.place import Workplace

SEED = "The workshop as it starts"
"""The subject of a repository's first commit, on both platforms."""

NO_TRAINING = "[skip ci]"
"""A push whose last commit has this in its message starts no training."""

STOPPING = 180.0
"""Seconds that a run may take to stop."""

BATCH = 1000
"""Objects that S3 deletes at once."""


@dataclass
class Seed:
    """What a repository began as: the tree of its first commit, and the refs of the server that came later."""

    tree: str
    later: list[str]
    text: str


@dataclass
class Stock:
    """What a reset removes: by kind, what there is."""

    seeds: dict[str, Seed]
    buckets: dict[str, int]
    kept_buckets: list[str]
    models: list[str]
    practice: Path | None
    schedules: list[Any] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)
    pipelines: list[Any] = field(default_factory=list)
    experiments: list[Any] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A line for each kind of thing that there is, for people."""
        later = {name: seed.later for name, seed in self.seeds.items() if seed.later}
        said = [f"the repository {name}, back to its first commit: {', '.join(refs)}" for name, refs in later.items()]
        for kind in ("schedules", "runs", "pipelines", "experiments"):
            if found := getattr(self, kind):
                said.append(f"{kind} ({len(found)}): {names(one.display_name for one in found)}")
        if self.models:
            said.append(f"registered models, into the archive ({len(self.models)}): {names(self.models)}")
        for bucket, count in self.buckets.items():
            if bucket not in self.kept_buckets:
                said.append(f"the bucket {bucket} and its objects ({count})")
            elif count:
                said.append(f"the objects of the bucket {bucket} ({count})")
        if self.practice:
            said.append(f"the practice repository, which is moved to {aside(self.practice)}")
        return [printable(line) for line in said]


def names(found: Any) -> str:
    """The first names of a list, and how many more there are."""
    every = list(found)
    return ", ".join(every[:5]) + (f" and {len(every) - 5} more" if len(every) > 5 else "")


@as_jukebox_error()
def look(place: Workplace, user: str) -> Stock:
    """Find what a reset would remove; nothing is changed.

    Another user's platform, a repository that does not begin with the workshop, or a training that is about to start is
    a JukeboxError.
    """
    own = place.settings.user
    if user != own:
        workbench = f"{user}-hitmusic-wb"
        raise JukeboxError(
            f"This is the platform of {own}, not of {user}.",
            f"Run it in the workbench of {user}: "
            f"oc exec -n {user}-toolings {workbench}-0 -c {workbench} -- jukebox reset {user} --yes",
        )
    head = place.head()
    status = read_status(place.settings, head)
    if status and not status.over and not training_of(place.settings, head):
        raise JukeboxError(
            f"The training of {head[:10]} is about to start, and would begin after the reset.",
            "Wait a minute until ./jukebox runs lists it, then run this again: a run is stopped.",
        )
    seeds = {name: seed_of(place, name) for name in (REPOSITORY, GITOPS_REPOSITORY)}
    stock = Stock(
        seeds=seeds,
        buckets={bucket: len(place.objects(bucket)) for bucket in place.buckets()},
        kept_buckets=listed_buckets(seeds[GITOPS_REPOSITORY].text, f"{CONFIG} of the first commit"),
        models=place.registry.models(),
        practice=place.practice if place.practice.exists() else None,
    )
    server = connect(place.settings)
    client = server.client
    stock.schedules = server.all(client.list_recurring_runs, "recurring_runs")
    stock.runs = server.all(client.list_runs, "runs")
    stock.pipelines = server.all(client.list_pipelines, "pipelines")
    found = server.all(client.list_experiments, "experiments")
    stock.experiments = [experiment for experiment in found if experiment.display_name != "Default"]
    return stock


@as_jukebox_error()
def reset(place: Workplace, stock: Stock, say: Callable[[str], None] = print) -> None:
    """Remove what `look` has found. What starts runs goes first, so nothing comes back meanwhile.

    Again after an error it completes the work. ``say`` is told what was done with the user's own folders, of which
    nothing is lost: edits are kept on a branch, the practice repository is moved aside.
    """
    server = connect(place.settings)
    for schedule in stock.schedules:
        server.remove(server.client.delete_recurring_run, schedule.recurring_run_id)
    for run in stock.runs:
        stop(server, run)
        server.remove(server.client.delete_run, run.run_id)
    for repository, seed in stock.seeds.items():
        if seed.later:
            begin_again(place, repository, seed)
    for pipeline in stock.pipelines:
        remove_pipeline(server, pipeline.pipeline_id)
    for experiment in stock.experiments:
        server.remove(server.client.delete_experiment, experiment.experiment_id)
    for model in stock.models:
        place.registry.archive(model)
    for bucket in stock.buckets:
        empty(place.s3, bucket)
        if bucket not in stock.kept_buckets:
            with explained(place.s3, f"s3://{bucket}"):
                place.s3.delete_bucket(Bucket=bucket)
    clear_folders(place, say)


@contextmanager
def server_clone(place: Workplace, repository: str) -> Iterator[str]:
    """A clone of the server's repository, for the block, with its credentials."""
    with tempfile.TemporaryDirectory(prefix="jukebox-reset-") as folder, git_credentials(place.settings):
        clone_main(place.settings.repository_url(repository), folder)
        yield folder


def seed_of(place: Workplace, repository: str) -> Seed:
    """What a repository of the server began as; a JukeboxError if that is not the workshop."""
    with server_clone(place, repository) as folder:
        first = git("rev-list", "--first-parent", "--max-parents=0", "HEAD", folder=folder)
        subject = git("log", "-1", "--format=%s", first, folder=folder)
        if subject != SEED:
            raise JukeboxError(
                f"The first commit of {repository} is {printable(subject)!r}, not {SEED!r}: there is no start to go "
                "back to.",
                "Make the repository anew, as docs/rhoai.md says.",
            )
        head, listed = git("rev-parse", "HEAD", folder=folder), git("ls-remote", "--refs", "origin", folder=folder)
        refs = [line.split("\t")[1] for line in listed.splitlines()]
        later = [ref for ref in refs if ref.startswith(("refs/heads/", "refs/tags/")) and ref != "refs/heads/main"]
        tree = git("rev-parse", f"{first}^{{tree}}", folder=folder)
        file = git("ls-tree", "--name-only", tree, "--", CONFIG, folder=folder)
        text = git("show", f"{tree}:{CONFIG}", folder=folder) if file else ""
        return Seed(tree, (["refs/heads/main"] if head != first else []) + later, text)


def begin_again(place: Workplace, repository: str, seed: Seed) -> None:
    """Let main begin anew with the tree of its first commit, and delete the other branches and tags.

    It is a new commit, so no model version, which is named by its commit, is ever met again.
    """
    user = place.settings.user
    message = ["-m", SEED, *(["-m", NO_TRAINING] if repository == REPOSITORY else [])]
    with server_clone(place, repository) as folder:
        identity = ("-c", f"user.name={user}", "-c", f"user.email={user}@example.com")
        commit = git(*identity, "commit-tree", seed.tree, *message, folder=folder)
        others = [f":{ref}" for ref in seed.later if ref != "refs/heads/main"]
        git("push", "--quiet", "--force", "origin", f"{commit}:refs/heads/main", *others, folder=folder)


def stop(server: PipelineServer, run: Any) -> None:
    """End a run that is under way, and wait until it has ended: a step that still works could write again."""
    if state_of(run) != "running":
        return
    with suppress(JukeboxError), server.asking():  # it has just ended by itself
        server.client.terminate_run(run.run_id)

    def ended() -> bool:
        with server.asking():
            return state_of(server.client.get_run(run.run_id)) != "running"

    late = JukeboxError(
        f"The run {printable(run.display_name)} did not stop within {STOPPING:.0f} s.",
        "Look at its pods, then run this again.",
    )
    wait_until(ended, STOPPING, lambda: late, every=1.0)


def remove_pipeline(server: PipelineServer, pipeline_id: str) -> None:
    """Delete a pipeline and its versions, without which a server does not let it go."""
    for version in server.all(server.client.list_pipeline_versions, "pipeline_versions", pipeline_id=pipeline_id):
        server.remove(lambda key: server.client.delete_pipeline_version(pipeline_id, key), version.pipeline_version_id)
    server.remove(server.client.delete_pipeline, pipeline_id)


def empty(client: Any, bucket: str) -> None:
    """Delete all objects of a bucket, of a versioned one all of their versions."""
    with explained(client, f"s3://{bucket}"):
        versioned = client.get_bucket_versioning(Bucket=bucket).get("Status")
        operation = "list_object_versions" if versioned else "list_objects_v2"
        for page in client.get_paginator(operation).paginate(Bucket=bucket):
            listed = [one for kind in ("Contents", "Versions", "DeleteMarkers") for one in page.get(kind, [])]
            keys = [{key: one[key] for key in ("Key", "VersionId") if key in one} for one in listed]
            for start in range(0, len(keys), BATCH):
                answer = client.delete_objects(Bucket=bucket, Delete={"Objects": keys[start : start + BATCH]})
                for error in answer.get("Errors", []):
                    raise JukeboxError(
                        f"s3://{bucket}/{printable(error['Key'])} cannot be deleted: {printable(error['Message'])}.",
                        "Allow it in the user's policy, then run this again.",
                    )


def clear_folders(place: Workplace, say: Callable[[str], None]) -> None:
    """Let the clones follow main, and move the practice repository aside; the tables are made anew when asked for."""
    for repository, folder in ((REPOSITORY, place.clone), (GITOPS_REPOSITORY, place.gitops)):
        if (folder / ".git").exists() and (news := follow_main(place, repository, folder, 0)):
            say(f"· {news}")
    if place.practice.exists():
        say(f"· your practice repository is kept in {place.practice.rename(aside(place.practice))}")
    shutil.rmtree(place.tables, ignore_errors=True)


def aside(folder: Path) -> Path:
    """Where a folder is kept: beside it, under a name that is free."""
    beside = (folder.with_name(f"{folder.name}-{number}") for number in range(1, 1000))
    return next(path for path in beside if not path.exists())
