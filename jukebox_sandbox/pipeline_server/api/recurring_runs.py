"""Recurring runs: create, list, get, enable, disable, delete.

As the real server does it: ``backend/src/apiserver/server/job_server.go`` and ``toModelJob`` of ``api_converter.go`` in
https://github.com/kubeflow/pipelines.
"""

from typing import Any

from flask import Blueprint, Flask, Response, request
from kfp_server_api import (
    V2beta1CronSchedule,
    V2beta1ListRecurringRunsResponse,
    V2beta1PeriodicSchedule,
    V2beta1PipelineVersionReference,
    V2beta1RecurringRun,
    V2beta1RuntimeConfig,
    V2beta1Trigger,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server import cron, tables
from jukebox_sandbox.pipeline_server.api.clock import EXTENSION, clock
from jukebox_sandbox.pipeline_server.api.clock import blueprint as of_clock
from jukebox_sandbox.pipeline_server.api.listing import list_page, seconds
from jukebox_sandbox.pipeline_server.api.messages import answer, read, read_json, timestamp
from jukebox_sandbox.pipeline_server.api.service import open_session, service
from jukebox_sandbox.pipeline_server.creation import find_experiment, find_version
from jukebox_sandbox.pipeline_server.errors import invalid, not_found
from jukebox_sandbox.pipeline_server.schedules import MOST_AT_ONCE, Clock
from jukebox_sandbox.pipeline_server.specs import check_parameters, read_spec, write_spec

blueprint = Blueprint("recurring_runs", __name__, url_prefix="/apis/v2beta1/recurringruns")

FIELDS: dict[str, Any] = {
    "id": tables.RecurringRun.id,
    "recurring_run_id": tables.RecurringRun.id,
    "name": tables.RecurringRun.display_name,
    "display_name": tables.RecurringRun.display_name,
    "created_at": seconds(tables.RecurringRun.created_at),
    "updated_at": seconds(tables.RecurringRun.updated_at),
    "description": tables.RecurringRun.description,
}
LONG = (1 << 63) - 1
LONGEST_INTERVAL = 100 * 366 * 86400
"""Seconds; what is later has no date in Python before long."""


def add_schedules(application: Flask, one: Clock) -> None:
    """Give an application the clock: schedules, and the paths at which it is read and moved.

    Args:
        application: The application of the API.
        one: The clock.
    """
    application.extensions[EXTENSION] = one
    application.register_blueprint(blueprint)
    application.register_blueprint(of_clock)


def message(one: tables.RecurringRun) -> V2beta1RecurringRun:
    """A schedule as the API hands it out."""
    configuration = None
    if one.parameters or one.pipeline_root:
        configuration = V2beta1RuntimeConfig(parameters=one.parameters or None, pipeline_root=one.pipeline_root or None)
    if one.pipeline_id:
        reference = V2beta1PipelineVersionReference(one.pipeline_id, one.pipeline_version_id)
        source: dict[str, Any] = {"pipeline_version_reference": reference}
    else:
        source = {"pipeline_spec": read_spec(str(one.spec)).document}
    return V2beta1RecurringRun(
        recurring_run_id=one.id,
        display_name=one.display_name,
        description=one.description or None,
        service_account=one.service_account or None,
        experiment_id=one.experiment_id,
        runtime_config=configuration,
        trigger=_trigger(one),
        max_concurrency=str(one.max_concurrency),
        no_catchup=one.no_catchup or None,
        mode="ENABLE" if one.enabled else "DISABLE",
        status="ENABLED" if one.enabled else "DISABLED",
        created_at=timestamp(one.created_at),
        updated_at=timestamp(one.updated_at),
        **source,
    )


def _trigger(one: tables.RecurringRun) -> V2beta1Trigger:
    between = {
        "start_time": timestamp(one.start_time) if one.start_time else None,
        "end_time": timestamp(one.end_time) if one.end_time else None,
    }
    if one.cron:
        return V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=one.cron, **between))
    if one.interval_second:
        periodic = V2beta1PeriodicSchedule(interval_second=str(one.interval_second), **between)
        return V2beta1Trigger(periodic_schedule=periodic)
    return V2beta1Trigger()


@blueprint.post("")
def create() -> Response:
    """Create a schedule of a version, of a pipeline's newest version, or of a pipeline that comes with the request."""
    return answer(message(create_schedule(_wanted())))


def create_schedule(wanted: Any) -> tables.RecurringRun:
    """Make a schedule, and let the clock look at it.

    Args:
        wanted: What it shall be, a ``V2beta1RecurringRun``.

    Returns:
        The schedule.

    Raises:
        RequestError: If it is refused.
        SandboxError: If this machine cannot run its pipeline.
    """
    if not wanted.display_name:
        raise invalid("Recurring run's name cannot be empty")
    if len(wanted.display_name) > 128:
        raise invalid("The recurring run's name has more than 128 characters.", "Give it a shorter name.")
    concurrency = int(wanted.max_concurrency or 0)
    if not 1 <= concurrency <= MOST_AT_ONCE:
        raise invalid(f"Max concurrency of a recurring run must be at least 1 and at most 10. Received {concurrency}")
    configuration = wanted.runtime_config
    parameters = (configuration.parameters if configuration else None) or {}
    with open_session() as session:
        moment = clock().now()
        one = tables.RecurringRun(
            display_name=wanted.display_name,
            description=wanted.description or "",
            experiment_id=find_experiment(session, wanted.experiment_id or "").id,
            parameters=parameters,
            pipeline_root=(configuration.pipeline_root if configuration else None) or "",
            service_account=wanted.service_account or "",
            max_concurrency=concurrency,
            no_catchup=bool(wanted.no_catchup),
            enabled=wanted.mode == "ENABLE",
            created_at=moment,
            updated_at=moment,
            **_times(wanted.trigger),
            **_source(session, wanted, parameters),
        )
        session.add(one)
        session.commit()
    clock().wake()
    return one


def _wanted() -> Any:
    """The message in the request; ``kfp`` writes integers of 64 bits as numbers, and the models have them as text."""
    document = read_json(request.get_data())
    if isinstance(document, dict):
        _spell_out(document, "max_concurrency", "maxConcurrency")
        trigger = document.get("trigger")
        periodic = (
            trigger.get("periodic_schedule", trigger.get("periodicSchedule")) if isinstance(trigger, dict) else None
        )
        if isinstance(periodic, dict):
            _spell_out(periodic, "interval_second", "intervalSecond")
    return read("V2beta1RecurringRun", document)


def _spell_out(document: dict[str, Any], *names: str) -> None:
    for name in names:
        if name in document:
            text = str(document[name])
            number = int(text) if text.lstrip("-").isdecimal() and len(text) < 21 else LONG + 1
            if isinstance(document[name], bool) or not -LONG <= number <= LONG:
                raise invalid(f"invalid value for field {names[0]}: {text[:50]!r} is not an integer of 64 bits")
            document[name] = str(number)


def _times(trigger: Any) -> dict[str, Any]:
    """The columns of a trigger. Without one, a schedule runs once, at once."""
    if trigger is None or (trigger.cron_schedule is None and trigger.periodic_schedule is None):
        return {}
    if trigger.cron_schedule and trigger.periodic_schedule:
        raise invalid("A trigger is one of cron_schedule and periodic_schedule, and both are given.")
    found = trigger.cron_schedule or trigger.periodic_schedule
    times: dict[str, Any] = {
        name: moment and moment.replace(microsecond=0)
        for name, moment in (("start_time", found.start_time), ("end_time", found.end_time))
    }
    if trigger.cron_schedule:
        try:
            cron.parse(found.cron or "")
        except ValueError as error:
            raise invalid(
                f"Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron). Error: {error}"
            ) from None
        return {"cron": found.cron, **times}
    interval = int(found.interval_second or 0)
    if interval < 1:
        raise invalid(f"Found invalid period schedule interval {interval}. Set at interval to least 1 second")
    if interval > LONGEST_INTERVAL:
        raise invalid(f"Found invalid period schedule interval {interval}. Set it to 100 years at most.")
    return {"interval_second": interval, **times}


def _source(session: Session, wanted: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The columns that say what runs: a version's YAML is kept, so that its schedule outlives the version."""
    reference = wanted.pipeline_version_reference
    if reference and wanted.pipeline_spec:
        raise invalid("A recurring run has one source: pipeline_version_reference or pipeline_spec; both are given.")
    if wanted.pipeline_spec is not None and not isinstance(wanted.pipeline_spec, dict):
        raise invalid("invalid value for field pipeline_spec: it is not an object")
    pipeline_id = reference.pipeline_id if reference else None
    version_id = reference.pipeline_version_id if reference else None
    version = find_version(session, pipeline_id, version_id)
    if version is None and not wanted.pipeline_spec:
        raise invalid("Cannot create a job with an empty pipeline ID", "Name a pipeline or one of its versions.")
    spec = version.spec if version else write_spec(wanted.pipeline_spec or {})
    check_parameters(read_spec(spec), parameters)
    service().runner.check(spec)
    if version is None:
        return {"spec": spec}
    if not version_id:  # the newest one at each time
        return {"pipeline_id": version.pipeline_id}
    return {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.id, "spec": spec}


@blueprint.get("")
def list_all() -> Response:
    """List schedules, of one experiment if it is named."""
    query = select(tables.RecurringRun)
    with open_session() as session:
        if experiment_id := request.args.get("experiment_id", ""):
            query = query.filter_by(experiment_id=find_experiment(session, experiment_id).id)
        page = list_page(session, query, FIELDS, tables.RecurringRun.id)
        found = [message(one) for one in page.rows]
    return answer(
        V2beta1ListRecurringRunsResponse(
            recurring_runs=found or None, total_size=page.total_size, next_page_token=page.next_page_token
        )
    )


@blueprint.get("/<recurring_run_id>")
def get(recurring_run_id: str) -> Response:
    """Get a schedule."""
    with open_session() as session:
        return answer(message(_find(session, recurring_run_id)))


@blueprint.post("/<recurring_run_id>:enable")
def enable(recurring_run_id: str) -> Response:
    """Let a schedule go on; what it missed it makes up for, unless it has ``no_catchup``."""
    return _switch(recurring_run_id, True)


@blueprint.post("/<recurring_run_id>:disable")
def disable(recurring_run_id: str) -> Response:
    """Stop a schedule; runs that are under way go on."""
    return _switch(recurring_run_id, False)


@blueprint.delete("/<recurring_run_id>")
def delete(recurring_run_id: str) -> Response:
    """Delete a schedule; its runs stay."""
    with open_session() as session:
        session.delete(_find(session, recurring_run_id))
        session.commit()
    return answer()


def _find(session: Session, id: str) -> tables.RecurringRun:
    one = session.get(tables.RecurringRun, id)
    if one is None:
        raise not_found("Job", id)
    return one


def _switch(id: str, enabled: bool) -> Response:
    with open_session() as session:
        _find(session, id).enabled = enabled
        session.commit()
    clock().wake()
    return answer()
