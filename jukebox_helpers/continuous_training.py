"""Continuous training: a pushed revision is compiled from its own files, run, and later reproduced."""

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.git_password import check_repository_address
from jukebox_helpers.git_repository import clone_main, git
from jukebox_helpers.local_runner import Run, read_run, run_pipeline
from jukebox_helpers.pipelines import (
    DEFAULT_PARAMETERS,
    TRAINING_PIPELINE,
    TRAINING_PIPELINE_YAML,
    compile_file,
    read_pipeline,
)
from jukebox_helpers.sandbox.events import OVER, is_running
from jukebox_helpers.settings import Settings
from jukebox_helpers.step_metadata import read_json

REVISION_DIGITS = 10
"""A model version is named by this many characters of its git revision."""

DELIVERY = 10.0
"""Seconds after which a push that the sandbox has not seen will not come any more."""


@contextmanager
def git_credentials(settings: Settings) -> Iterator[None]:
    """Answer the platform's git server from the Secret ``git-auth`` while the block runs."""
    values = settings.secret("git-auth")
    if settings.git_server:
        values["JUKEBOX_GIT_SERVER"] = settings.git_server
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def repository_argument(settings: Settings, repo_url: str | None) -> str:
    """The data pipeline's argument ``repo_url``.

    Args:
        settings: The platform.
        repo_url: The git repository that keeps the version file; None means the platform's.

    Returns:
        Its address.

    Raises:
        JukeboxError: If it holds credentials, or is not on the platform's git server.
    """
    address = repo_url or settings.repository_url()
    with git_credentials(settings):
        try:
            check_repository_address(address)
        except ValueError as error:
            raise JukeboxError.told(error) from None
    return address


def server_head(settings: Settings, repo_url: str) -> str:
    """The revision at the head of ``main`` on a git server; empty where there is none or no answer."""
    with git_credentials(settings):
        try:
            return git("ls-remote", repo_url, "refs/heads/main").split("\t")[0]
        except (OSError, RuntimeError):
            return ""


@contextmanager
def checkout(settings: Settings, revision: str) -> Iterator[Path]:
    """Check a revision of the user's repository out into a temporary folder.

    Args:
        settings: The platform.
        revision: A commit that is on the server.

    Yields:
        The folder.

    Raises:
        JukeboxError: If the server has no such revision, or no such repository.
    """
    with tempfile.TemporaryDirectory(prefix="jukebox-revision-") as folder:
        try:
            with git_credentials(settings):
                clone_main(settings.repository_url(), folder)
            git("checkout", "--quiet", "--detach", revision, folder=folder)
        except (OSError, RuntimeError, ValueError) as error:
            told = JukeboxError.told(error)
            raise JukeboxError(
                f"Revision {revision!r} cannot be checked out from {settings.repository_url()}: {told.what}",
                told.next_action or "Push the commit first, or name one that is on the server.",
            ) from None
        yield Path(folder)


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
    with checkout(settings, revision) as folder:
        head = git("rev-parse", "HEAD", folder=str(folder))
        compile_file(folder / TRAINING_PIPELINE)
        arguments = {
            **default_parameters(folder),
            "version": head[:REVISION_DIGITS],
            "cluster_domain": settings.cluster_domain,
            **({"grid": grid} if grid else {}),
        }
        return run_pipeline(folder / TRAINING_PIPELINE_YAML, arguments, settings, on_change)


def default_parameters(folder: Path) -> dict[str, Any]:
    """The parameters that a revision trains with, from its ``default_parameters.json``.

    Its key ``rankings`` is not one of them: the fetch reads it from the revision itself.
    """
    file = folder / DEFAULT_PARAMETERS
    try:
        known = json.loads(file.read_text())
        return {name: value for name, value in known.items() if name != "rankings"}
    except (OSError, ValueError, AttributeError) as error:
        raise JukeboxError(f"{file.name} cannot be read: {error}", "Mend the file, commit and push.") from None


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
    started = time.monotonic()
    while time.monotonic() < started + timeout:
        news = event()
        run = find_run(settings, revision)
        if run:
            on_change(run)
        if news.get("state") in OVER:
            if run:
                return run
            raise failed_push(news)
        if not is_running(settings.state):
            raise JukeboxError(
                f"The sandbox stopped before the training of {revision[:10]} ended.",
                "Run ./jukebox up, then git commit --allow-empty and git push origin main.",
            )
        # Git delivers the event before it reports the push as done.
        if not news and time.monotonic() > started + DELIVERY:
            raise JukeboxError(f"The sandbox has seen no push of {revision[:10]}.", "Run git push origin main.")
        time.sleep(0.1)
    raise JukeboxError(
        f"The training of {revision[:10]} did not end within {timeout:.0f} s.", "Look at ./jukebox status."
    )


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
    with checkout(settings, str(metadata.get("git revision") or record["version"])) as folder:
        compile_file(folder / TRAINING_PIPELINE)
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
