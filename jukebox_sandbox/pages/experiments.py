"""Experiments and their runs."""

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response as AnyResponse

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pages.runs import run_rows
from jukebox_sandbox.pipeline_server.api.experiments import new_experiment
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


@blueprint.get("/experiments/create")
def show_create() -> str:
    """The form that creates an experiment."""
    return render_template("experiment_create.html", form={})


@blueprint.post("/experiments/create")
def create() -> AnyResponse | tuple[str, int]:
    """Create an experiment; the form again where it is refused."""
    form = request.form
    with open_session() as session:
        try:
            made = new_experiment(session, form.get("name", "").strip(), form.get("description"))
        except SandboxError as error:
            session.rollback()
            return render_template("experiment_create.html", form=form, error=error), 400
    return redirect(url_for("experiments.show", experiment_id=made.id))


@blueprint.get("/experiments/<experiment_id>")
def show(experiment_id: str) -> str:
    """An experiment's runs."""
    with open_session() as session:
        experiment = find_experiment(session, experiment_id)
        runs = run_rows(session, Run.experiment_id == experiment_id, Run.storage_state == "AVAILABLE")
        return render_template("experiment.html", experiment=experiment, **runs)
