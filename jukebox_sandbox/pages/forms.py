"""The fields that the forms of runs and schedules share: experiment, pipeline, version, parameters by their types."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, defer
from werkzeug.datastructures import MultiDict

from jukebox_sandbox.pages.site import site
from jukebox_sandbox.pages.texts import without_secrets
from jukebox_sandbox.pipeline_server.creation import find_experiment, find_version
from jukebox_sandbox.pipeline_server.errors import invalid
from jukebox_sandbox.pipeline_server.specs import read_spec
from jukebox_sandbox.pipeline_server.tables import Experiment, Pipeline, PipelineVersion

LATEST = "latest"
"""The choice *Always use the latest pipeline version*."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a pipeline as a field of a form.

    Attributes:
        name: Its name.
        kind: Its type, as KFP calls it: ``STRING``, ``NUMBER_INTEGER``, …
        value: What is in the field at first.
        required: Whether it has neither a default nor may be left out.
        hint: A value that fits this sandbox; empty where none is known.
        description: What the pipeline says of it.
        was_empty: Whether it is an empty text in the run that is duplicated: an empty field then means that.
    """

    name: str
    kind: str
    value: str
    required: bool
    hint: str
    description: str
    was_empty: bool = False


def choices(session: Session, pipeline_id: str) -> dict[str, Any]:
    """What the form offers: experiments, pipelines, the versions of the chosen pipeline.

    Args:
        session: An open session.
        pipeline_id: The chosen pipeline; the first one if empty.

    Returns:
        ``experiments``, ``pipelines``, ``versions`` and the chosen ``pipeline_id``.
    """
    find_experiment(session)
    pipelines = session.scalars(select(Pipeline).order_by(Pipeline.display_name)).all()
    chosen = pipeline_id or (pipelines[0].id if pipelines else "")
    versions = select(PipelineVersion).filter_by(pipeline_id=chosen).options(defer(PipelineVersion.spec))
    return {
        "experiments": session.scalars(select(Experiment).order_by(Experiment.created_at)).all(),
        "pipelines": pipelines,
        "versions": session.scalars(versions.order_by(PipelineVersion.number.desc())).all(),
        "pipeline_id": chosen,
    }


def parameters_of(
    session: Session,
    pipeline_id: str,
    version_id: str,
    given: dict[str, Any],
    original: Mapping[str, Any] | None = None,
) -> list[Parameter]:
    """The fields for a pipeline's parameters.

    Args:
        session: An open session.
        pipeline_id: The pipeline.
        version_id: Its version; empty or :data:`LATEST` for the newest.
        given: Values that are known already, by name.
        original: The parameters of the run that is duplicated; a text that is empty there may stay so.

    Returns:
        The fields, in the order of the pipeline.

    Raises:
        RequestError: If there is no such version.
    """
    version = find_version(session, pipeline_id or None, "" if version_id == LATEST else version_id)
    if version is None:
        return []
    document = read_spec(version.spec).pipeline
    declared = document.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    return [_parameter(name, one, given, (original or {}).get(name) == "") for name, one in declared.items()]


def _parameter(name: str, declared: dict[str, Any], given: dict[str, Any], was_empty: bool) -> Parameter:
    default = without_secrets(given.get(name, declared.get("defaultValue")))
    text = "" if default is None else default if isinstance(default, str) else json.dumps(default)
    required = "defaultValue" not in declared and not declared.get("isOptional")
    hint = site().configuration.hints.get(name, "")
    sandbox = site().sandbox
    hint = hint.replace("{base_url}", sandbox.base_url).replace("{user}", sandbox.user)
    description = declared.get("description", "")
    return Parameter(
        name, declared.get("parameterType", ""), text, required and not was_empty, hint, description, was_empty
    )


def read_parameters(
    form: MultiDict[str, str], fields: list[Parameter], original: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The values of parameters that a form holds, in the types of the pipeline.

    Args:
        form: The form; a parameter's field is named ``parameter.<name>``.
        fields: The parameters.
        original: The parameters of the run that is duplicated: an address that is unchanged keeps the query that its
            field does not show.

    Returns:
        Values by name, without those that are empty.

    Raises:
        RequestError: If a text is not a value of its parameter's type.
    """
    found: dict[str, Any] = {}
    for field in fields:
        text = form.get(f"parameter.{field.name}", "")
        if text.strip() or (field.kind == "STRING" and (text or field.was_empty)):
            found[field.name] = text.strip() if field.kind == "STRING" else _value(field, text)
    for name, value in (original or {}).items():
        if name in found and found[name] == without_secrets(value):
            found[name] = value
    return found


def _value(field: Parameter, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        kinds = {"BOOLEAN": "true or false", "LIST": "a list in JSON", "STRUCT": "an object in JSON"}
        raise invalid(
            f"The parameter {field.name} is {kinds.get(field.kind, 'a number')}, and {text[:60]!r} is not.",
            "Correct the field.",
        ) from None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
