"""Runs: the list with its three tabs, and the form that creates a run."""

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer
from werkzeug.wrappers import Response as AnyResponse

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pages import forms
from jukebox_sandbox.pages.site import PAGE_SIZE, paging
from jukebox_sandbox.pipeline_server.api.clock import clock
from jukebox_sandbox.pipeline_server.api.runs import find_run
from jukebox_sandbox.pipeline_server.api.service import open_session, service
from jukebox_sandbox.pipeline_server.creation import RunRequest, create_run
from jukebox_sandbox.pipeline_server.schedules import DAY, next_due
from jukebox_sandbox.pipeline_server.tables import Experiment, Pipeline, PipelineVersion, RecurringRun, Run

blueprint = Blueprint("runs", __name__)

PERIODS = {"Minute": 60, "Hour": 3600, "Day": 86400, "Week": 604800}
"""Seconds of the units that the form offers."""


@blueprint.get("/runs")
def show_all() -> str:
    """The list of runs, of archived runs, or of schedules."""
    tab = request.args.get("tab", "runs")
    with open_session() as session:
        if tab == "schedules":
            return render_template("schedules.html", tab=tab, rows=schedule_rows(session), **clock_facts())
        storage = "ARCHIVED" if tab == "archive" else "AVAILABLE"
        conditions = [Run.storage_state == storage]
        for name, column in (("version", Run.pipeline_version_id), ("experiment", Run.experiment_id)):
            if value := request.args.get(name):
                conditions.append(column == value)
        return render_template("runs.html", tab=tab, **clock_facts(), **run_rows(session, *conditions))


def run_rows(session: Session, *conditions: Any) -> dict[str, Any]:
    """One page of the runs that fulfil some conditions, newest first; the request names the page.

    Args:
        session: An open session.
        conditions: What is true of the runs.

    Returns:
        ``rows`` of run, experiment's name, version's name and pipeline's name; ``page``, ``pages`` and ``total``.
    """
    total = session.scalar(select(func.count()).select_from(Run).where(*conditions)) or 0
    page, pages = paging(total)
    query = (
        select(Run, Experiment.display_name, PipelineVersion.display_name, Pipeline.display_name)
        .options(defer(Run.spec))
        .outerjoin(Experiment, Experiment.id == Run.experiment_id)
        .outerjoin(PipelineVersion, PipelineVersion.id == Run.pipeline_version_id)
        .outerjoin(Pipeline, Pipeline.id == Run.pipeline_id)
        .where(*conditions)
        .order_by(Run.number.desc())
    )
    rows = session.execute(query.limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)).all()
    return {"rows": rows, "page": page, "pages": pages, "total": total}


def schedule_rows(session: Session) -> list[tuple[RecurringRun, str, str, Any]]:
    """The schedules: each with its pipeline's name, its trigger in words, and when it is due next."""
    moment = clock().now()
    query = select(RecurringRun, Pipeline.display_name).options(defer(RecurringRun.spec))
    query = query.outerjoin(Pipeline, Pipeline.id == RecurringRun.pipeline_id).order_by(RecurringRun.created_at.desc())
    return [
        (one, pipeline or "a pipeline of its own", trigger(one), next_due(one, moment) if one.enabled else None)
        for one, pipeline in session.execute(query).all()
    ]


def trigger(schedule: RecurringRun) -> str:
    """When a schedule runs, in words: ``Every 1 day``."""
    if schedule.cron:
        return f"Cron {schedule.cron}"
    if not schedule.interval_second:
        return "Once"
    unit, seconds = next(
        (unit, seconds)
        for unit, seconds in reversed([("Second", 1), *PERIODS.items()])
        if schedule.interval_second % seconds == 0
    )
    count = schedule.interval_second // seconds
    return f"Every {count} {unit.lower()}{'s' if count > 1 else ''}"


def clock_facts() -> dict[str, Any]:
    """What the strip of the clock shows."""
    return {"clock_now": clock().now(), "days_ahead": clock().offset // DAY}


@blueprint.post("/clock")
def next_day() -> AnyResponse:
    """Move the sandbox's clock forward by a day; what is due then runs."""
    clock().move(1)
    return redirect(url_for("runs.show_all", tab=request.form.get("tab", "runs")))


@blueprint.get("/runs/create")
def show_create() -> str:
    """The form that creates a run; ``duplicate`` names a run whose values it begins with."""
    values: dict[str, Any] = {}
    with open_session() as session:
        form = {"name": "", "description": "", "experiment": "", "version": request.args.get("version", "")}
        pipeline_id = request.args.get("pipeline", "")
        if original := request.args.get("duplicate"):
            run = find_run(session, original)
            values = run.parameters
            pipeline_id = run.pipeline_id or pipeline_id
            form |= {"name": f"Duplicate of {run.display_name}"[:128], "description": run.description}
            form |= {"version": run.pipeline_version_id or "", "experiment": run.experiment_id}
        return _form(session, form, pipeline_id, values)


@blueprint.get("/runs/parameters")
def show_parameters() -> str:
    """The fields of the pipeline and version that have just been chosen."""
    with open_session() as session:
        offered = forms.choices(session, request.args.get("pipeline", ""))
        version = request.args.get("version", "")
        if version not in [one.id for one in offered["versions"]]:
            version = ""
        fields = forms.parameters_of(session, offered["pipeline_id"], version, {})
    latest = request.args.get("latest") == "1"
    return render_template("parameters.html", fields=fields, form={"version": version}, latest=latest, **offered)


@blueprint.post("/runs/create")
def create() -> AnyResponse | tuple[str, int]:
    """Create a run; the form again where it is refused."""
    form = request.form
    pipeline_id, version_id = form.get("pipeline", ""), form.get("version", "")
    with open_session() as session:
        try:
            fields = forms.parameters_of(session, pipeline_id, version_id, {}, _original(session))
            wanted = RunRequest(
                display_name=form.get("name", "").strip(),
                pipeline_id=pipeline_id or None,
                pipeline_version_id=version_id or None,
                parameters=forms.read_parameters(form, fields, _original(session)),
                experiment_id=form.get("experiment", ""),
                description=form.get("description", ""),
            )
            run = create_run(session, service().runner, wanted)
        except SandboxError as error:
            session.rollback()
            return _form(session, form, pipeline_id, given(form), error), 400
    return redirect(url_for("run.show", run_id=run.id))


def given(form: Any) -> dict[str, Any]:
    """What was typed into the fields of the parameters, as text by name."""
    prefix = "parameter."
    return {name.removeprefix(prefix): value for name, value in form.items() if name.startswith(prefix)}


def _original(session: Session) -> dict[str, Any]:
    """The parameters of the run that the request duplicates; none where it duplicates none."""
    original = request.args.get("duplicate")
    return find_run(session, original).parameters if original else {}


def _form(session: Session, form: Any, pipeline_id: str, values: dict[str, Any], error: Any = None) -> str:
    offered = forms.choices(session, pipeline_id)
    version = form.get("version", "")
    fields = forms.parameters_of(session, offered["pipeline_id"], version, values, _original(session))
    return render_template("run_create.html", form=form, fields=fields, error=error, latest=False, **offered)
