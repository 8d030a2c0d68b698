"""Schedules: the form that creates one, a schedule with its runs, its switch."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pages import forms
from jukebox_sandbox.pages.runs import PERIODS, clock_facts, given, run_rows, trigger
from jukebox_sandbox.pipeline_server.api import recurring_runs
from jukebox_sandbox.pipeline_server.api.clock import clock
from jukebox_sandbox.pipeline_server.api.messages import read
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.errors import invalid, not_found
from jukebox_sandbox.pipeline_server.schedules import next_due
from jukebox_sandbox.pipeline_server.tables import Pipeline, RecurringRun, Run

blueprint = Blueprint("schedules", __name__)

AT_FIRST = {
    "name": "",
    "description": "",
    "experiment": "",
    "trigger": "Periodic",
    "every": "1",
    "unit": "Day",
    "cron": "",
    "concurrency": "10",
    "start": "",
    "end": "",
    "catchup": "on",
}
"""What the dashboard's form begins with."""


@blueprint.get("/schedules/create")
def show_create() -> str:
    """The form that creates a schedule."""
    with open_session() as session:
        form = AT_FIRST | {"version": request.args.get("version", forms.LATEST)}
        return _form(session, form, request.args.get("pipeline", ""), {})


@blueprint.post("/schedules/create")
def create() -> AnyResponse | tuple[str, int]:
    """Create a schedule; the form again where it is refused."""
    form = request.form
    with open_session() as session:
        try:
            recurring_runs.create_schedule(read("V2beta1RecurringRun", _message(session, form)))
        except SandboxError as error:
            return _form(session, form, form.get("pipeline", ""), given(form), error), 400
    return redirect(url_for("runs.show_all", tab="schedules"))


def _message(session: Session, form: Any) -> dict[str, Any]:
    """The schedule that a form describes, as KFP's API takes it."""
    pipeline_id, version_id = form.get("pipeline", ""), form.get("version", "")
    fields = forms.parameters_of(session, pipeline_id, version_id, {})
    reference = {"pipeline_id": pipeline_id}
    if version_id != forms.LATEST:
        reference["pipeline_version_id"] = version_id
    times = {name: time for name in ("start", "end") if (time := _time(form.get(name, ""), name))}
    between = {f"{name}_time": time for name, time in times.items()}
    if form.get("trigger") == "Cron":
        shall = {"cron_schedule": {"cron": form.get("cron", "").strip(), **between}}
    else:
        every = form.get("every", "")
        if not every.isdecimal() or form.get("unit") not in PERIODS or len(every) > 6:
            raise invalid(f"A schedule runs every 1 or more units, and {every[:20]!r} is not a whole number.")
        shall = {"periodic_schedule": {"interval_second": str(int(every) * PERIODS[form["unit"]]), **between}}
    concurrency = form.get("concurrency", "")
    return {
        "display_name": form.get("name", "").strip(),
        "description": form.get("description", ""),
        "experiment_id": form.get("experiment", ""),
        "pipeline_version_reference": reference,
        "runtime_config": {"parameters": forms.read_parameters(form, fields)},
        "trigger": shall,
        "max_concurrency": concurrency if concurrency.isdecimal() and len(concurrency) < 6 else "0",
        "no_catchup": form.get("catchup") != "on",
        "mode": "ENABLE",
    }


def _time(text: str, name: str) -> str:
    """A time that was typed in this machine's time zone, in UTC."""
    if not text:
        return ""
    try:
        return datetime.fromisoformat(text).astimezone().astimezone(UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise invalid(f"The {name} {text[:40]!r} is not a date with a time.", "Correct the field.") from None


@blueprint.get("/schedules/<schedule_id>")
def show(schedule_id: str) -> str:
    """A schedule: what it runs, when next, and the runs that it has made."""
    with open_session() as session:
        schedule = session.get(RecurringRun, schedule_id)
        if schedule is None:
            raise not_found("Schedule", schedule_id)
        pipeline = session.get(Pipeline, schedule.pipeline_id) if schedule.pipeline_id else None
        due = next_due(schedule, clock().now()) if schedule.enabled else None
        runs = run_rows(session, Run.recurring_run_id == schedule_id)
        return render_template(
            "schedule.html", schedule=schedule, pipeline=pipeline, trigger=trigger(schedule), due=due,
            **runs, **clock_facts(),
        )  # fmt: skip


@blueprint.post("/schedules/<schedule_id>/switch")
def switch(schedule_id: str) -> AnyResponse:
    """Switch a schedule on or off."""
    (recurring_runs.enable if request.form.get("on") == "1" else recurring_runs.disable)(schedule_id)
    return redirect(url_for("runs.show_all", tab="schedules"))


@blueprint.post("/schedules/<schedule_id>/delete")
def delete(schedule_id: str) -> AnyResponse:
    """Delete a schedule; its runs stay."""
    recurring_runs.delete(schedule_id)
    return redirect(url_for("runs.show_all", tab="schedules"))


def _form(session: Session, form: Any, pipeline_id: str, values: dict[str, Any], error: Any = None) -> str:
    offered = forms.choices(session, pipeline_id)
    fields = forms.parameters_of(session, offered["pipeline_id"], form.get("version", ""), values)
    return render_template(
        "schedule_create.html", form=form, fields=fields, error=error, units=list(PERIODS), latest=True, **offered
    )
