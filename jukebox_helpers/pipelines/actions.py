"""What the dashboard's buttons do, for the two pipelines of the workshop: import, schedule, run."""

from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.following import OnChange, follow, nobody, start_run
from jukebox_helpers.pipelines.read import check_arguments, read_pipeline
from jukebox_helpers.pipelines.revisions import REVISION_DIGITS, repository_argument
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.pipelines.server import Imported, Schedule, connect
from jukebox_helpers.pipelines.training import compiled_revision
from jukebox_helpers.settings import TRAINING_PIPELINE_YAML, Settings
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.git import git
from jukebox_helpers.steps.messages import parts

DATA_PIPELINE_NAME = "data-pipeline-with-dvc"


def version_name(file: Path) -> str:
    """Name a compiled pipeline by the first characters of the revision at HEAD of its checkout.

    Where the file is not what that revision holds, the first characters of its SHA-256 follow, so that two files never
    share a name. A file in no git repository is a JukeboxError.
    """
    folder = str(file.resolve().parent)
    try:
        revision = git("rev-parse", "HEAD", folder=folder)[:REVISION_DIGITS]
        changed = git("status", "--porcelain", "--ignored", "--", file.name, folder=folder)
    except RuntimeError as error:
        raise JukeboxError(
            f"{file} is in no git repository with a commit: {parts(str(error))[0]}",
            "Import from a clone: its revision names the version.",
        ) from None
    return f"{revision}-{file_digest(str(file), 'sha256')[:8]}" if changed else revision


def import_file(settings: Settings, file: Path) -> Imported:
    """Import a compiled pipeline in a checkout, under the name of the revision that it comes from, or find it."""
    return connect(settings).import_pipeline(file, version_name(file))


def schedule_data_pipeline(settings: Settings, dataset_url: str, repo_url: str | None) -> Schedule:
    """Run the latest version of the imported data pipeline every day: the schedule, made now or found.

    ``repo_url`` is the git repository that keeps the version file; None means the platform's.
    """
    server = connect(settings)
    arguments = {"dataset_url": dataset_url, "repo_url": repository_argument(settings, repo_url)}
    return server.schedule(server.latest(DATA_PIPELINE_NAME), arguments, f"{DATA_PIPELINE_NAME}-daily")


def import_revision(settings: Settings, revision: str) -> Imported:
    """Import the training pipeline of a revision that is on the git server, or find it."""
    server = connect(settings)
    with compiled_revision(settings, revision) as (folder, commit):
        return server.import_pipeline(folder / TRAINING_PIPELINE_YAML, commit[:REVISION_DIGITS])


def run_file(settings: Settings, file: Path, arguments: dict[str, Any], on_change: OnChange = nobody) -> Run:
    """Run a compiled pipeline of a checkout once: import it, unless it is there, and follow the run to its end.

    What cannot start is a JukeboxError, a step that has failed RunFailed. ``on_change`` is called whenever a step
    changes its state.
    """
    check_arguments(read_pipeline(file.read_text()), arguments)  # before anything is imported
    server = connect(settings)
    return follow(server, start_run(server, server.import_pipeline(file, version_name(file)), arguments), on_change)
