"""Experiments: groups of runs."""

from typing import Any

from flask import Blueprint, Response
from kfp_server_api import V2beta1Experiment, V2beta1ListExperimentsResponse
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api.listing import list_page, seconds
from jukebox_sandbox.pipeline_server.api.messages import answer, body, make, timestamp
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.api.versions import check_name
from jukebox_sandbox.pipeline_server.creation import find_experiment
from jukebox_sandbox.pipeline_server.errors import Code, RequestError

blueprint = Blueprint("experiments", __name__, url_prefix="/apis/v2beta1/experiments")

LAST_RUN = (
    select(func.max(tables.Run.created_at)).where(tables.Run.experiment_id == tables.Experiment.id).scalar_subquery()
)

FIELDS: dict[str, Any] = {
    "id": tables.Experiment.id,
    "experiment_id": tables.Experiment.id,
    "name": tables.Experiment.display_name,
    "display_name": tables.Experiment.display_name,
    "created_at": seconds(tables.Experiment.created_at),
    "last_run_created_at": seconds(LAST_RUN),
    "description": tables.Experiment.description,
    "storage_state": tables.Experiment.storage_state,
}


def message(session: Session, experiment: tables.Experiment) -> V2beta1Experiment:
    """An experiment as the API hands it out."""
    newest = session.scalar(select(func.max(tables.Run.created_at)).filter_by(experiment_id=experiment.id))
    return make(
        V2beta1Experiment,
        experiment_id=experiment.id,
        display_name=experiment.display_name,
        description=experiment.description or None,
        storage_state=experiment.storage_state,
        created_at=timestamp(experiment.created_at),
        last_run_created_at=timestamp(newest),
    )


@blueprint.post("")
def create() -> Response:
    """Create an experiment."""
    wanted = body("V2beta1Experiment")
    with open_session() as session:
        return answer(message(session, new_experiment(session, wanted.display_name, wanted.description)))


def new_experiment(session: Session, name: str | None, description: str | None) -> tables.Experiment:
    """Add an experiment; the session is committed.

    Raises:
        RequestError: If the name is missing, too long or taken.
    """
    experiment = tables.Experiment(display_name=check_name("Experiment", name, 128), description=description or "")
    session.add(experiment)
    try:
        session.commit()
    except IntegrityError:
        raise RequestError(
            Code.ALREADY_EXISTS,
            f"Failed to create a new experiment. The name {name} already exists. Please specify a new name",
        ) from None
    return experiment


@blueprint.get("")
def list_all() -> Response:
    """List experiments."""
    with open_session() as session:
        page = list_page(session, select(tables.Experiment), FIELDS, tables.Experiment.id)
        found = [message(session, one) for one in page.rows]
    return answer(
        make(
            V2beta1ListExperimentsResponse,
            experiments=found or None,
            total_size=page.total_size,
            next_page_token=page.next_page_token,
        )
    )


@blueprint.get("/<experiment_id>")
def get(experiment_id: str) -> Response:
    """Get an experiment."""
    with open_session() as session:
        return answer(message(session, find_experiment(session, experiment_id)))


@blueprint.delete("/<experiment_id>")
def delete(experiment_id: str) -> Response:
    """Delete an experiment; runs and schedules do without one nowhere here, so they go first."""
    with open_session() as session:
        experiment = find_experiment(session, experiment_id)
        for table in (tables.Run, tables.RecurringRun):
            if session.scalar(select(func.count()).select_from(table).where(table.experiment_id == experiment_id)):
                raise RequestError(
                    Code.FAILED_PRECONDITION,
                    f"Failed to delete experiment {experiment_id}: it has runs or recurring runs. Delete them first",
                )
        session.delete(experiment)
        session.commit()
    return answer()
