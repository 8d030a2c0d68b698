"""Continuous training: a pushed revision is compiled from its own files, run, and later reproduced."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.compile import compile_file
from jukebox_helpers.pipelines.following import OnChange, ask, find_run, follow, nobody, start_run
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.reports import artifacts
from jukebox_helpers.pipelines.revisions import REVISION_DIGITS, NoRevision, checkout, default_parameters, server_head
from jukebox_helpers.pipelines.runs import Run, RunFailed, take_over
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.pipelines.statuses import CommitStatus, State, post_status, read_status
from jukebox_helpers.settings import (
    GRID_PIPELINE,
    GRID_PIPELINE_YAML,
    KIT,
    TRAINING_PIPELINE,
    TRAINING_PIPELINE_YAML,
    Settings,
)
from jukebox_helpers.steps.git import git
from jukebox_helpers.steps.messages import parts, printable
from jukebox_helpers.waiting import wait_until

TRAINING_PIPELINE_NAME = "training-pipeline"

DELIVERY = 120.0
"""Seconds after which a push that the trigger has not seen will not come any more; a pod needs some to start."""


PUBLIC_PROTOCOLS = Path("jukebox_helpers/pipelines/following.py")
"""A revision that has it registers its models by the Model Registry's protocol; older ones did so in MLflow."""


@contextmanager
def compiled_revision(settings: Settings, revision: str, registers: bool = True) -> Iterator[tuple[Path, str]]:
    """Compile the training pipeline of a revision, from its own files; the checkout and the revision's whole name.

    ``registers`` says whether it registers a model. Then a revision of an older kit, whose library knows only a
    registry that is gone, is compiled with this kit's library.
    """
    with checkout(settings, revision) as folder:
        older = registers and not (folder / PUBLIC_PROTOCOLS).is_file()
        compile_file(folder / TRAINING_PIPELINE, KIT if older else None)
        yield folder, git("rev-parse", "HEAD", folder=str(folder))


def train_revision(settings: Settings, revision: str, on_change: OnChange = nobody) -> Run:
    """Train exactly one revision, from its own files, and set its commit status on the git server.

    Returns the finished run. A step that has failed is RunFailed; a revision that cannot be checked out or does not
    compile is a JukeboxError. ``on_change`` is called whenever a step changes its state.
    """
    # KFP's client takes long to import: it does that while another process compiles.
    Thread(target=import_module, args=("kfp.client",), daemon=True).start()
    try:
        with compiled_revision(settings, revision) as (folder, revision):
            say(settings, revision, "pending", "The training pipeline is compiled.")
            file, version, server = folder / TRAINING_PIPELINE_YAML, revision[:REVISION_DIGITS], connect(settings)
            arguments = {
                **default_parameters(folder),
                "version": version,
                "cluster_domain": settings.known_cluster_domain(),
            }
            imported = server.import_pipeline(file, version)
            run = start_run(server, imported, arguments, training_name(revision))
        say(settings, revision, "pending", f"Run {run.name} ({run.id}) has started.")
        follow(server, run, on_change)
    except NoRevision:  # there is no commit that could have a status
        raise
    except RunFailed as error:
        say(settings, revision, "failure", in_sentences(error))
        raise
    except JukeboxError as error:
        say(settings, revision, "error", in_sentences(error))
        raise
    say(settings, revision, "success", f"Run {run.name} has succeeded.")
    return run


def in_sentences(error: JukeboxError) -> str:
    """An error for a commit status, which has no lines of its own for what to do next."""
    what = error.what.rstrip()
    return f"{what}{'' if what.endswith(('.', '!', '?')) else '.'} Next: {error.next_action}"


def say(settings: Settings, revision: str, state: State, description: str) -> None:
    """Set the commit status. Where the git server does not take it, the training goes on, and its log says so."""
    try:
        post_status(settings, revision, state, description)
    except JukeboxError as error:
        print(f"Note: the commit status is not set. {error}", file=sys.stderr)


def score_grid(settings: Settings, revision: str, grid: list[dict[str, Any]], on_change: OnChange = nobody) -> Run:
    """Score candidates for hyperparameters on the data of a revision, with its own files. No model comes of it.

    Returns and raises what `train_revision` does; a revision without that pipeline is a JukeboxError, too.
    """
    with checkout(settings, revision) as folder:
        if not (folder / GRID_PIPELINE).is_file():
            raise JukeboxError(f"Revision {revision} has no {GRID_PIPELINE}.", "Name a revision that has it.")
        compile_file(folder / GRID_PIPELINE)
        version = git("rev-parse", "HEAD", folder=str(folder))[:REVISION_DIGITS]
        arguments = {"grid": grid, "version": version, "cluster_domain": settings.known_cluster_domain()}
        pipeline, server = read_pipeline((folder / GRID_PIPELINE_YAML).read_text()), connect(settings)
        run = start_run(server, pipeline, arguments, f"{pipeline.name}-{version}")
    return follow(server, run, on_change)


def candidates(settings: Settings, run: Run) -> list[dict[str, Any]]:
    """The hyperparameters and scores of each candidate in a run of the grid, those of the lowest log-loss first."""
    found = [json.loads(report) for report in artifacts(settings, run, "score-candidate", "report")]
    return sorted(found, key=lambda one: one["log_loss"])


def training_name(revision: str) -> str:
    """The name of a revision's training runs."""
    return f"{TRAINING_PIPELINE_NAME}-{revision[:REVISION_DIGITS]}"


def training_of(settings: Settings, revision: str) -> Run | None:
    """The newest training run of a revision, if there is one."""
    return find_run(connect(settings), training_name(revision))


def check_trained(settings: Settings, revision: str) -> str:
    """Say, in a sentence, that the head of ``main`` is trained, or about to be; one that is neither is a JukeboxError.

    What should be is compared with what is: its commit status, or its run where nobody has set one.
    """
    status = read_status(settings, revision)
    run = None if status else training_of(settings, revision)
    state = status.state if status else run.state if run else "none"
    if state in ("success", "succeeded"):
        return "It is trained."
    if state in ("pending", "running"):
        return "Its training is queued or under way."
    why = printable(parts(status.description)[0], 300) if status else "no run came of it"
    raise JukeboxError(
        f"Revision {revision[:10]} of main is not trained: {why}",
        f"Train it: ./jukebox run training-pipeline --revision {revision[:10]}",
    )


def follow_training(settings: Settings, revision: str, on_change: OnChange = nobody, timeout: float = 3600.0) -> Run:
    """Follow the training that the push of a revision started, until it ends; the run, succeeded or failed.

    ``on_change`` is called whenever the run has been asked for. If no run came of the push, or not within ``timeout``
    seconds, that is a JukeboxError.
    """
    if not read_status(settings, revision) and server_head(settings, settings.repository_url()) != revision:
        raise JukeboxError(
            f"The branch main of the git server does not end with {revision[:10]}.", "Run git push origin main."
        )
    unseen = JukeboxError(
        f"The trigger has not seen the push of {revision[:10]}.",
        "Push again (git commit --allow-empty, git push origin main), or train it by hand: "
        f"./jukebox run training-pipeline --revision {revision[:10]}",
    )
    wait_until(lambda: read_status(settings, revision), DELIVERY, lambda: unseen, every=0.5)

    server, seen = connect(settings), list[Run]()

    def ended() -> CommitStatus | None:
        status = read_status(settings, revision)
        if seen:  # its pipeline is known: only its states are asked for
            take_over(seen[0], ask(server, seen[0].id))
        elif run := training_of(settings, revision):
            seen.append(run)
        for run in seen:
            on_change(run)
        return status if status and status.over else None

    late = JukeboxError(
        f"The training of {revision[:10]} did not end within {timeout:.0f} s.", "Look at the run in the dashboard."
    )
    status = wait_until(ended, timeout, lambda: late, every=0.25)
    run = training_of(settings, revision)
    if run is None or status.state == "error" or not run.began:
        raise failed_push(revision, status)
    on_change(run)  # with the reason, if it has failed
    return run


def failed_push(revision: str, status: CommitStatus) -> JukeboxError:
    """What to say of a push that came to nothing: the words of its status, and the way back."""
    what, next_action = parts(status.description)
    return JukeboxError(
        f"The push of {revision[:10]} failed: {what}",
        f"{next_action or 'Correct the cause.'} Then commit and push to main again.",
    )
