"""Making a run: what it runs is settled once, checked, and kept with it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.errors import invalid, not_found
from jukebox_sandbox.pipeline_server.specs import check_parameters, read_spec

DEFAULT_EXPERIMENT = "Default"


class Runner(Protocol):
    """What runs a pipeline, as the API and the clock know it."""

    def check(self, spec_text: str) -> None:
        """Refuse, by step and feature, what cannot be run here."""

    def submit(self, run_id: str) -> None:
        """Begin a run that is PENDING."""

    def terminate(self, run_id: str) -> None:
        """End a run and all its processes."""

    def retry(self, run_id: str) -> None:
        """Go on with a run that failed, from the step that failed."""


@dataclass
class RunRequest:
    """What somebody wants to run.

    Attributes:
        display_name: The run's name.
        pipeline_id: The pipeline; without a version its newest one runs.
        pipeline_version_id: The version.
        spec: The YAML of an inline pipeline, where no pipeline is named.
        parameters: Values by name.
        experiment_id: The experiment; ``Default`` if empty.
        description: What the run is for.
        pipeline_root: Where artifacts go; empty for the usual place.
        service_account: Kept and handed out; nothing here uses it.
        recurring_run_id: The schedule that makes it.
        due_at: The schedule's time.
    """

    display_name: str
    pipeline_id: str | None = None
    pipeline_version_id: str | None = None
    spec: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    experiment_id: str = ""
    description: str = ""
    pipeline_root: str = ""
    service_account: str = ""
    recurring_run_id: str | None = None
    due_at: datetime | None = None


def create_run(session: Session, runner: Runner, request: RunRequest) -> tables.Run:
    """Make a run and begin it.

    Args:
        session: An open session; it is committed.
        runner: What runs it.
        request: What to run.

    Returns:
        The run, PENDING.

    Raises:
        RequestError: If the request is wrong.
        SandboxError: If this machine cannot run the pipeline.
        sqlalchemy.exc.IntegrityError: If the schedule has a run for that time already.
    """
    if not request.display_name:
        raise invalid("The run name is empty. Please specify a valid name")
    if len(request.display_name) > 128:
        raise invalid("The run name has more than 128 characters.", "Give it a shorter name.")
    experiment = find_experiment(session, request.experiment_id)
    version = find_version(session, request.pipeline_id, request.pipeline_version_id)
    if version is None and not request.spec:
        raise invalid("Failed to fetch a template with an empty pipeline spec manifest", "Name a pipeline version.")
    text = version.spec if version else str(request.spec)
    check_parameters(read_spec(text), request.parameters)
    try:
        runner.check(text)
    except SandboxError as error:
        raise invalid(error.what, error.next_action) from error
    moment = tables.now()
    run = tables.Run(
        display_name=request.display_name,
        description=request.description,
        experiment_id=experiment.id,
        pipeline_id=version.pipeline_id if version else None,
        pipeline_version_id=version.id if version else None,
        recurring_run_id=request.recurring_run_id,
        due_at=request.due_at,
        spec=text,
        parameters=request.parameters,
        pipeline_root=request.pipeline_root,
        service_account=request.service_account,
        state="PENDING",
        state_history=[{"update_time": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "state": "PENDING"}],
        created_at=moment,
        scheduled_at=request.due_at or moment,
    )
    session.add(run)
    session.commit()
    runner.submit(run.id)
    return run


def find_version(
    session: Session, pipeline_id: str | None, pipeline_version_id: str | None
) -> tables.PipelineVersion | None:
    """The version that is named; the newest one of a pipeline; None where neither is named.

    Args:
        session: An open session.
        pipeline_id: The pipeline.
        pipeline_version_id: The version.

    Returns:
        The version.

    Raises:
        RequestError: If there is none of that name, or it is another pipeline's.
    """
    query = select(tables.PipelineVersion)
    if pipeline_version_id:
        version = session.scalar(query.where(tables.PipelineVersion.id == pipeline_version_id))
        if version is None:
            raise not_found("PipelineVersion", pipeline_version_id)
        if pipeline_id and version.pipeline_id != pipeline_id:
            raise invalid(
                f"Pipeline version {version.id} belongs to pipeline {version.pipeline_id} (not {pipeline_id})"
            )
        return version
    if not pipeline_id:
        return None
    if session.get(tables.Pipeline, pipeline_id) is None:
        raise not_found("Pipeline", pipeline_id)
    newest = query.where(tables.PipelineVersion.pipeline_id == pipeline_id)
    version = session.scalar(newest.order_by(tables.PipelineVersion.number.desc()).limit(1))
    if version is None:
        raise not_found("PipelineVersion", f"of pipeline {pipeline_id}")
    return version


def find_experiment(session: Session, experiment_id: str = "") -> tables.Experiment:
    """The experiment of an id; without one ``Default``, which is made where it is missing.

    Args:
        session: An open session; the caller commits.
        experiment_id: The id.

    Returns:
        The experiment.

    Raises:
        RequestError: If there is none of that id.
    """
    if experiment_id:
        experiment = session.get(tables.Experiment, experiment_id)
        if experiment is None:
            raise not_found("Experiment", experiment_id)
        return experiment
    experiment = session.scalar(select(tables.Experiment).filter_by(display_name=DEFAULT_EXPERIMENT))
    if experiment is None:
        experiment = tables.Experiment(display_name=DEFAULT_EXPERIMENT, description="Runs that name no experiment.")
        session.add(experiment)
        session.flush()
    return experiment
