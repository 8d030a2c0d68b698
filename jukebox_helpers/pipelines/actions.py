"""What the dashboard's buttons do, for the two pipelines of the workshop: import, schedule, run."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.compile import compile_file
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.revisions import REVISION_DIGITS, checkout, default_parameters, repository_argument
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.pipelines.server import Imported, Schedule, connect
from jukebox_helpers.settings import TRAINING_PIPELINE, TRAINING_PIPELINE_YAML, Settings
from jukebox_helpers.steps.git import git

DATA_PIPELINE_NAME = "data-pipeline-with-dvc"


def version_name(file: Path) -> str:
    """Name a compiled pipeline by the revision that it comes from.

    Args:
        file: The compiled YAML, in a checkout.

    Returns:
        The first characters of the revision at HEAD; where the file is not what that revision holds, followed
        by the first characters of its SHA-256, so that two files never share a name.

    Raises:
        JukeboxError: If the file is in no git repository.
    """
    folder = str(file.resolve().parent)
    try:
        revision = git("rev-parse", "HEAD", folder=folder)[:REVISION_DIGITS]
        changed = git("status", "--porcelain", "--ignored", "--", file.name, folder=folder)
    except RuntimeError as error:
        raise JukeboxError(
            f"{file} is in no git repository with a commit: {error}",
            "Import from a clone: its revision names the version.",
        ) from None
    if not changed:
        return revision
    return f"{revision}-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"


def import_file(settings: Settings, file: Path) -> Imported:
    """Import a compiled pipeline, under the name of the revision that it comes from.

    Args:
        settings: The platform.
        file: The compiled YAML, in a checkout.

    Returns:
        The pipeline version, made now or found.
    """
    return connect(settings).import_pipeline(file, version_name(file))


def schedule_data_pipeline(settings: Settings, dataset_url: str, repo_url: str | None) -> Schedule:
    """Run the latest version of the imported data pipeline every day.

    Args:
        settings: The platform.
        dataset_url: Where the songs come from.
        repo_url: The git repository that keeps the version file; None means the platform's.

    Returns:
        The schedule, made now or found.
    """
    server = connect(settings)
    arguments = {"dataset_url": dataset_url, "repo_url": repository_argument(settings, repo_url)}
    return server.schedule(*server.latest(DATA_PIPELINE_NAME), arguments, f"{DATA_PIPELINE_NAME}-daily")


def run_data_pipeline(
    settings: Settings, dataset_url: str, repo_url: str | None, on_change: Callable[[Run], None] = lambda run: None
) -> Run:
    """Run the latest version of the imported data pipeline once, and follow it.

    Args:
        settings: The platform.
        dataset_url: Where the songs come from.
        repo_url: The git repository that keeps the version file; None means the platform's.
        on_change: Called whenever a step changes its state.

    Returns:
        The finished run.

    Raises:
        RunFailed: If the run has failed or was cancelled.
        JukeboxError: If nothing was imported, or the pipeline server refuses.
    """
    server = connect(settings)
    arguments = {"dataset_url": dataset_url, "repo_url": repository_argument(settings, repo_url)}
    latest = server.latest(DATA_PIPELINE_NAME)
    return server.run(*latest, arguments, f"{DATA_PIPELINE_NAME}-adhoc-run", settings.runs, on_change)


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


def import_revision(settings: Settings, revision: str) -> Imported:
    """Import the training pipeline of a revision.

    Args:
        settings: The platform.
        revision: A commit that is on the git server.

    Returns:
        The pipeline version, made now or found.
    """
    server = connect(settings)
    with compiled_revision(settings, revision) as (folder, version):
        return server.import_pipeline(folder / TRAINING_PIPELINE_YAML, version)


def train_in_cluster(
    settings: Settings,
    revision: str,
    on_change: Callable[[Run], None] = lambda run: None,
    grid: list[dict[str, Any]] | None = None,
) -> Run:
    """Run the training pipeline of a revision in the cluster, and follow it.

    Args:
        settings: The platform.
        revision: A commit that is on the git server.
        on_change: Called whenever a step changes its state.
        grid: More hyperparameters to be scored beside.

    Returns:
        The finished run.

    Raises:
        RunFailed: If the run has failed or was cancelled.
        JukeboxError: If the revision cannot be checked out or compiled, or the pipeline server refuses.
    """
    server = connect(settings)
    with compiled_revision(settings, revision) as (folder, version):
        arguments = {
            **default_parameters(folder),
            "version": version,
            "cluster_domain": settings.known_cluster_domain(),
            **({"grid": grid} if grid else {}),
        }
        file = folder / TRAINING_PIPELINE_YAML
        imported, compiled = server.import_pipeline(file, version), read_pipeline(file.read_text())
    return server.run(imported, compiled, arguments, f"{imported.pipeline}-{version}", settings.runs, on_change)
