"""Continuous training: a pushed revision is compiled from its own files, run, and later reproduced."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.compile import compile_file
from jukebox_helpers.pipelines.laptop import run_pipeline
from jukebox_helpers.pipelines.platforms import pipelines_of
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.revisions import REVISION_DIGITS, checkout, default_parameters
from jukebox_helpers.pipelines.runs import Run, read_run
from jukebox_helpers.settings import TRAINING_PIPELINE, TRAINING_PIPELINE_YAML, Settings
from jukebox_helpers.steps.git import git
from jukebox_helpers.steps.metadata import read_json
from jukebox_helpers.waiting import wait_until

OVER = ("done", "failed", "ignored", "refused")
"""The states of a push in which nothing more happens to it."""

DELIVERY = 10.0
"""Seconds after which a push that the sandbox has not seen will not come any more."""


@contextmanager
def compiled_revision(settings: Settings, revision: str) -> Iterator[tuple[Path, str]]:
    """Compile the training pipeline of a revision, from its own files.

    Args:
        settings: The platform.
        revision: A commit that is on the git server.

    Yields:
        The checkout, and the name of the version: the first characters of the revision.
    """
    with checkout(settings, revision) as folder:
        compile_file(folder / TRAINING_PIPELINE)
        yield folder, git("rev-parse", "HEAD", folder=str(folder))[:REVISION_DIGITS]


def train_revision(
    settings: Settings,
    revision: str,
    on_change: Callable[[Run], None] = lambda run: None,
    grid: list[dict[str, Any]] | None = None,
) -> Run:
    """Run the continuous-training pipeline from exactly one revision's own files.

    Args:
        settings: The platform.
        revision: The commit that was pushed.
        on_change: Called whenever a step changes its state.
        grid: More hyperparameters to be scored beside.

    Returns:
        The finished run.

    Raises:
        RunFailed: If a step has failed.
        JukeboxError: If the revision cannot be checked out or does not compile.
    """
    with compiled_revision(settings, revision) as (folder, version):
        arguments = {
            **default_parameters(folder),
            "version": version,
            "cluster_domain": settings.known_cluster_domain(),
            **({"grid": grid} if grid else {}),
        }
        return pipelines_of(settings).run(folder / TRAINING_PIPELINE_YAML, arguments, on_change, version)


def candidates(run: Run) -> list[dict[str, Any]]:
    """What a run found out about the candidates of its grid.

    Args:
        run: A training run of this machine.

    Returns:
        For each candidate its hyperparameters and scores, the lowest log-loss first; empty without a grid.
    """
    outputs = Path(run.folder, "artifacts").glob("*/*/score-candidate/executor_output.json")
    found = [json.loads(file.read_text())["artifacts"]["metrics"]["artifacts"][0]["metadata"] for file in outputs]
    return sorted(found, key=lambda one: one["log_loss"])


def follow_training(
    settings: Settings,
    revision: str,
    event: Callable[[], dict[str, Any]],
    on_change: Callable[[Run], None] = lambda run: None,
    timeout: float = 900.0,
) -> Run:
    """Follow the training that a push started, until it ends.

    Args:
        settings: The platform.
        revision: The commit that was pushed.
        event: Tells what became of the push event: ``state`` and ``detail``.
        on_change: Called whenever a step changes its state.
        timeout: How long to wait at most, in seconds.

    Returns:
        The finished run, succeeded or failed.

    Raises:
        JukeboxError: If no run came of the push, or not in time.
    """

    def news() -> dict[str, Any]:
        try:
            return event()
        except JukeboxError as error:
            raise JukeboxError(
                f"The sandbox stopped before the training of {revision[:10]} ended. {error.what}",
                "Run ./jukebox up, then git commit --allow-empty and git push origin main.",
            ) from None

    def ended() -> Run | None:
        known, run = news(), find_run(settings, revision)
        if run:
            on_change(run)
        if known.get("state") not in OVER:
            return None
        if run is None:
            raise failed_push(known)
        return run

    unseen = JukeboxError(f"The sandbox has seen no push of {revision[:10]}.", "Run git push origin main.")
    late = JukeboxError(
        f"The training of {revision[:10]} did not end within {timeout:.0f} s.", "Look at ./jukebox status."
    )
    # Git delivers the event before it reports the push as done.
    wait_until(news, DELIVERY, lambda: unseen, every=0.1)
    return wait_until(ended, timeout, lambda: late, every=0.1)


def failed_push(event: dict[str, Any]) -> JukeboxError:
    """What to say of a push that failed: the words of its event, and the way back.

    Args:
        event: A push event that is over.

    Returns:
        The error, not raised.
    """
    detail = str(event.get("detail", ""))
    # A command that failed ends its log with "Error: …" and "Next: …".
    said = re.search(r"(?:^|\n)Error: (?P<what>.*?)(?:\nNext: (?P<next>.*))?\Z", detail, re.DOTALL)
    what = said["what"] if said else detail
    outcome = "started no run" if event["state"] == "done" else event["state"]
    way_back = f"{(said and said['next']) or 'Correct the cause.'} Then commit and push to main again."
    return JukeboxError(": ".join(filter(None, [f"The push of {event['version']} {outcome}", what])), way_back)


def find_run(settings: Settings, revision: str) -> Run | None:
    """The newest training run of a revision on this machine, if there is one."""
    for file in sorted(settings.runs.glob("training-pipeline-*/run.json"), reverse=True):
        run = read_run(file.parent)
        if run.arguments.get("version") == revision[:REVISION_DIGITS]:
            return run
    return None


def rebuild(settings: Settings, record: dict[str, Any], on_change: Callable[[Run], None]) -> dict[str, Any]:
    """Train a registered model version again, from what its record names, without registering anything.

    Args:
        settings: The platform.
        record: The model version's record in the registry.
        on_change: Called whenever a step changes its state.

    Returns:
        The digests of what was rebuilt, under the names that the record uses.

    Raises:
        JukeboxError: If the revision is gone.
        RunFailed: If a step has failed.
    """
    metadata = record["metadata"]
    with compiled_revision(settings, str(metadata.get("git revision") or record["version"])) as (folder, _):
        pipeline = read_pipeline((folder / TRAINING_PIPELINE_YAML).read_text()).until("export-model")
        if "DVC training data hash" in metadata:
            rankings = f"rankings/{metadata['rankings sha256']}.parquet"
            pipeline = pipeline.with_argument("fetch-data-from-dvc", "rankings_object", rankings)
        arguments = {
            **default_parameters(folder),
            "hyperparameters": read_json(metadata["parameters"]),
            "version": record["version"],
            "cluster_domain": settings.cluster_domain,
        }
        run = run_pipeline(pipeline, arguments, settings, on_change)
    outputs = {
        **run.metadata("prepare-data", "features"),
        **run.metadata("export-model", "onnx_model"),
    }
    return {
        name: outputs[name] for name in ("DVC training data hash", "rankings sha256", "model sha256") if name in outputs
    }
