"""Experiments and their runs."""

from flask import Blueprint, render_template
from sqlalchemy import func, select

from jukebox_sandbox.pages.runs import run_rows
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.creation import find_experiment
from jukebox_sandbox.pipeline_server.tables import Experiment, Run

blueprint = Blueprint("experiments", __name__)


@blueprint.get("/experiments")
def show_all() -> str:
    """The list of experiments."""
    query = select(Experiment, func.count(Run.number), func.max(Run.created_at))
    query = query.outerjoin(Run, Run.experiment_id == Experiment.id).group_by(Experiment.id)
    with open_session() as session:
        rows = session.execute(query.order_by(Experiment.created_at.desc())).all()
    return render_template("experiments.html", rows=rows)


@blueprint.get("/experiments/<experiment_id>")
def show(experiment_id: str) -> str:
    """An experiment's runs."""
    with open_session() as session:
        experiment = find_experiment(session, experiment_id)
        runs = run_rows(session, Run.experiment_id == experiment_id, Run.storage_state == "AVAILABLE")
        return render_template("experiment.html", experiment=experiment, **runs)
