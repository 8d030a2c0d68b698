"""Runs: create, list, get, terminate, retry, archive, delete."""

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, request
from kfp_server_api import (
    GoogleRpcStatus,
    PipelineTaskDetailChildTask,
    V2beta1ListRunsResponse,
    V2beta1PipelineTaskDetail,
    V2beta1PipelineVersionReference,
    V2beta1Run,
    V2beta1RunDetails,
    V2beta1RuntimeConfig,
    V2beta1RuntimeStatus,
)
from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session, defer

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api.listing import list_page, seconds
from jukebox_sandbox.pipeline_server.api.messages import answer, body, make, timestamp
from jukebox_sandbox.pipeline_server.api.service import open_session, service
from jukebox_sandbox.pipeline_server.creation import RunRequest, create_run, find_experiment
from jukebox_sandbox.pipeline_server.errors import Code, RequestError, invalid, not_found
from jukebox_sandbox.pipeline_server.specs import read_spec, write_spec

blueprint = Blueprint("runs", __name__, url_prefix="/apis/v2beta1/runs")

FIELDS: dict[str, Any] = {
    "id": tables.Run.id,
    "run_id": tables.Run.id,
    "name": tables.Run.display_name,
    "display_name": tables.Run.display_name,
    "created_at": seconds(tables.Run.created_at),
    "finished_at": seconds(tables.Run.finished_at),
    "scheduled_at": seconds(tables.Run.scheduled_at),
    "description": tables.Run.description,
    "storage_state": tables.Run.storage_state,
    "state": tables.Run.state,
    "namespace": literal(""),
    "experiment_id": tables.Run.experiment_id,
    "recurring_run_id": func.coalesce(tables.Run.recurring_run_id, ""),
}
UNFINISHED = ("PENDING", "RUNNING", "PAUSED")


def message(run: tables.Run, tasks: Iterable[tables.Task]) -> V2beta1Run:
    """A run as the API hands it out."""
    configuration = None
    if run.parameters or run.pipeline_root:
        configuration = make(
            V2beta1RuntimeConfig, parameters=run.parameters or None, pipeline_root=run.pipeline_root or None
        )
    if run.pipeline_version_id:
        reference = make(
            V2beta1PipelineVersionReference, pipeline_id=run.pipeline_id, pipeline_version_id=run.pipeline_version_id
        )
        source: dict[str, Any] = {"pipeline_version_reference": reference}
    else:
        source = {"pipeline_spec": read_spec(run.spec).document}
    details = _task_details(tasks)
    return make(
        V2beta1Run,
        run_id=run.id,
        experiment_id=run.experiment_id,
        recurring_run_id=run.recurring_run_id or None,
        display_name=run.display_name,
        description=run.description or None,
        service_account=run.service_account or None,
        runtime_config=configuration,
        storage_state=run.storage_state,
        state=run.state,
        state_history=_history(run.state_history, run.error),
        created_at=timestamp(run.created_at),
        scheduled_at=timestamp(run.scheduled_at),
        finished_at=timestamp(run.finished_at),
        run_details=make(V2beta1RunDetails, task_details=details) if details else None,
        **source,
    )


def _history(states: list[dict[str, Any]], error: str = "") -> list[V2beta1RuntimeStatus] | None:
    """The states that a run or task was in, each since a whole second; the last one says why."""
    history = [
        make(V2beta1RuntimeStatus, update_time=f"{one['update_time'][:19]}Z", state=one["state"]) for one in states
    ]
    if history and error:
        history[-1].error = make(GoogleRpcStatus, code=int(Code.INTERNAL), message=error)
    return history or None


def _task_details(tasks: Iterable[tables.Task]) -> list[V2beta1PipelineTaskDetail]:
    """A run's tasks with what the real server fills in: states and times; never inputs, outputs or errors."""
    rows = list(tasks)
    children: dict[str | None, list[PipelineTaskDetailChildTask]] = defaultdict(list)
    for row in rows:
        children[row.parent_id].append(make(PipelineTaskDetailChildTask, pod_name=row.pod_name or row.id))
    return [
        make(
            V2beta1PipelineTaskDetail,
            run_id=row.run_id,
            task_id=row.id,
            display_name=row.name,
            create_time=timestamp(row.created_at),
            start_time=timestamp(row.started_at),
            end_time=timestamp(row.finished_at),
            state=row.state,
            state_history=_history(row.state_history),
            child_tasks=children.get(row.id),
        )
        for row in rows
    ]


@blueprint.post("")
def create() -> Response:
    """Create a run of a version or of a pipeline that comes with the request."""
    wanted = body("V2beta1Run")
    if not wanted.display_name:
        raise invalid("Run name cannot be empty")
    with open_session() as session:
        run = create_run(session, service().runner, _wanted_run(wanted))
        return answer(message(run, []))


def _wanted_run(wanted: Any) -> RunRequest:
    reference = wanted.pipeline_version_reference
    if reference and wanted.pipeline_spec:
        raise invalid("A run has one source: pipeline_version_reference or pipeline_spec, and both are given.")
    if wanted.pipeline_spec is not None and not isinstance(wanted.pipeline_spec, dict):
        raise invalid("invalid value for field pipeline_spec: it is not an object")
    configuration = wanted.runtime_config
    return RunRequest(
        display_name=wanted.display_name,
        pipeline_id=reference.pipeline_id if reference else None,
        pipeline_version_id=(reference.pipeline_version_id if reference else None) or wanted.pipeline_version_id,
        spec=write_spec(wanted.pipeline_spec) if wanted.pipeline_spec else None,
        parameters=(configuration.parameters if configuration else None) or {},
        pipeline_root=(configuration.pipeline_root if configuration else None) or "",
        experiment_id=wanted.experiment_id or request.args.get("experiment_id", ""),
        description=wanted.description or "",
        service_account=wanted.service_account or "",
    )


@blueprint.get("")
def list_all() -> Response:
    """List runs, of one experiment if it is named."""
    query = select(tables.Run).options(defer(tables.Run.spec))
    with open_session() as session:
        if experiment_id := request.args.get("experiment_id", ""):
            query = query.filter_by(experiment_id=find_experiment(session, experiment_id).id)
        page = list_page(session, query, FIELDS, tables.Run.number)
        tasks = _tasks_of(session, [run.id for run in page.rows])
        found = [message(run, tasks[run.id]) for run in page.rows]
    return answer(
        make(
            V2beta1ListRunsResponse,
            runs=found or None,
            total_size=page.total_size,
            next_page_token=page.next_page_token,
        )
    )


@blueprint.get("/<run_id>")
def get(run_id: str) -> Response:
    """Get a run."""
    with open_session() as session:
        run = find_run(session, run_id)
        return answer(message(run, _tasks_of(session, [run_id])[run_id]))


@blueprint.post("/<run_id>:terminate")
def terminate(run_id: str) -> Response:
    """End a run and all its processes."""
    with open_session() as session:
        run = find_run(session, run_id)
        if run.state not in UNFINISHED:
            raise invalid(f"Failed to terminate a run {run_id}: it is {run.state}.")
    service().runner.terminate(run_id)
    return answer()


@blueprint.post("/<run_id>:retry")
def retry(run_id: str) -> Response:
    """Go on with a run from the step that failed."""
    with open_session() as session:
        run = find_run(session, run_id)
        if run.state not in ("FAILED", "CANCELED"):
            raise RequestError(
                Code.FAILED_PRECONDITION, f"Failed to retry run {run_id}: it is {run.state}, not FAILED or CANCELED."
            )
    service().runner.retry(run_id)
    return answer()


@blueprint.post("/<run_id>:archive")
def archive(run_id: str) -> Response:
    """Put a run away; it stays readable."""
    return _store(run_id, "ARCHIVED")


@blueprint.post("/<run_id>:unarchive")
def unarchive(run_id: str) -> Response:
    """Take a run out of the archive."""
    return _store(run_id, "AVAILABLE")


@blueprint.delete("/<run_id>")
def delete(run_id: str) -> Response:
    """Delete a run; one that is under way is ended first."""
    with open_session() as session:
        if find_run(session, run_id).state in UNFINISHED:
            session.rollback()  # what the runner writes is not held up by what was read here
            with contextlib.suppress(SandboxError):  # it has just ended by itself
                service().runner.terminate(run_id)
        session.delete(find_run(session, run_id))
        session.commit()
    shutil.rmtree(service().logs / run_id, ignore_errors=True)
    return answer()


def find_run(session: Session, run_id: str) -> tables.Run:
    """A run by its id; RequestError if there is none."""
    run = session.scalar(select(tables.Run).filter_by(id=run_id))
    if run is None:
        raise not_found("Run", run_id)
    return run


def _store(run_id: str, state: str) -> Response:
    with open_session() as session:
        find_run(session, run_id).storage_state = state
        session.commit()
    return answer()


def _tasks_of(session: Session, run_ids: list[str]) -> dict[str, list[tables.Task]]:
    """The tasks of some runs, in the order in which they began."""
    tasks: dict[str, list[tables.Task]] = defaultdict(list)
    query = select(tables.Task).where(tables.Task.run_id.in_(run_ids)).order_by(tables.Task.number)
    for task in session.scalars(query):
        tasks[task.run_id].append(task)
    return tasks
