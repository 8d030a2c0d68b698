"""Pipelines and their versions: the list, the import by upload, a version with its graph and its spec."""

import hashlib
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer
from werkzeug.wrappers import Response as AnyResponse

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pages.graph import Step, draw, steps_of
from jukebox_sandbox.pipeline_server.api.pipelines import find_pipeline, new_pipeline
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.api.versions import new_version, uploaded_file
from jukebox_sandbox.pipeline_server.creation import find_version
from jukebox_sandbox.pipeline_server.errors import invalid, not_found
from jukebox_sandbox.pipeline_server.runner.specification import Specification, read_specification
from jukebox_sandbox.pipeline_server.specs import read_spec
from jukebox_sandbox.pipeline_server.tables import Pipeline, PipelineVersion, RecurringRun, Run

blueprint = Blueprint("pipelines", __name__)


@blueprint.get("/pipelines")
def show_all() -> str:
    """The list of pipelines, each with its newest version."""
    version = PipelineVersion
    counted = (
        select(version.pipeline_id, func.count().label("count"), func.max(version.created_at).label("updated"))
        .group_by(version.pipeline_id)
        .subquery()
    )
    query = select(Pipeline, counted.c.count, counted.c.updated).outerjoin(
        counted, counted.c.pipeline_id == Pipeline.id
    )
    with open_session() as session:
        rows = session.execute(query.order_by(Pipeline.created_at.desc())).all()
    return render_template("pipelines.html", rows=rows)


@blueprint.get("/pipelines/import")
def show_import() -> str:
    """The form that imports a pipeline."""
    return render_template("pipeline_import.html", pipeline=None, form={})


@blueprint.post("/pipelines/import")
def import_pipeline() -> AnyResponse | tuple[str, int]:
    """Import a pipeline from an uploaded file; the form again where it is refused."""
    form = request.form
    try:
        text = _uploaded()
        with open_session() as session:
            pipeline = new_pipeline(session, form.get("name", "").strip(), None, form.get("description", ""))
            version = new_version(session, pipeline.id, text, pipeline.name, None, pipeline.description)
            session.commit()
    except SandboxError as error:
        return render_template("pipeline_import.html", pipeline=None, form=form, error=error), 400
    return _to(version)


@blueprint.get("/pipelines/<pipeline_id>")
def show(pipeline_id: str) -> str:
    """A pipeline's versions."""
    with open_session() as session:
        pipeline = find_pipeline(session, pipeline_id)
        versions = select(PipelineVersion).filter_by(pipeline_id=pipeline_id).options(defer(PipelineVersion.spec))
        rows = session.scalars(versions.order_by(PipelineVersion.number.desc())).all()
    return render_template("pipeline.html", pipeline=pipeline, rows=rows)


@blueprint.get("/pipelines/<pipeline_id>/upload")
def show_upload(pipeline_id: str) -> str:
    """The form that uploads a new version."""
    with open_session() as session:
        return render_template("pipeline_import.html", pipeline=find_pipeline(session, pipeline_id), form={})


@blueprint.post("/pipelines/<pipeline_id>/upload")
def upload_version(pipeline_id: str) -> AnyResponse | tuple[str, int]:
    """Add a version from an uploaded file; the form again where it is refused."""
    form = request.form
    with open_session() as session:
        pipeline = find_pipeline(session, pipeline_id)
        try:
            name, description = form.get("name", "").strip(), form.get("description", "")
            version = new_version(session, pipeline_id, _uploaded(), name, None, description)
            session.commit()
        except SandboxError as error:
            session.rollback()
            return render_template("pipeline_import.html", pipeline=pipeline, form=form, error=error), 400
    return _to(version)


@blueprint.post("/pipelines/preview")
def preview() -> str:
    """What an uploaded file holds, before it is imported."""
    try:
        text = _uploaded()
        name = read_spec(text).name
        drawn = draw(steps_of(read_specification(text)), lambda _: "#")
        return render_template("preview.html", name=name, drawn=drawn)
    except SandboxError as error:
        return render_template("preview.html", error=error)


@blueprint.post("/pipelines/<pipeline_id>/delete")
def delete(pipeline_id: str) -> AnyResponse:
    """Delete a pipeline with its versions; its runs stay."""
    with open_session() as session:
        session.delete(find_pipeline(session, pipeline_id))
        session.commit()
    return redirect(url_for("pipelines.show_all"))


@blueprint.get("/pipelines/<pipeline_id>/versions/<version_id>")
def show_version(pipeline_id: str, version_id: str) -> str:
    """A version: its graph with one step beside it, its facts, or its spec."""
    with open_session() as session:
        pipeline = find_pipeline(session, pipeline_id)
        version = _version(session, pipeline_id, version_id)
        found = {
            "runs": session.scalar(select(func.count()).select_from(Run).filter_by(pipeline_version_id=version_id)),
            "schedules": session.scalar(
                select(func.count()).select_from(RecurringRun).filter_by(pipeline_id=pipeline_id)
            ),
        }
    tab = request.args.get("tab", "graph")
    specification = read_specification(version.spec)
    steps = steps_of(specification)
    step = next((one for one in steps if one.scope == request.args.get("step")), None)
    drawn = draw(steps, lambda one: f"{_address(version, step=one.scope)}#step", chosen=step.scope if step else "")
    return render_template(
        "version.html",
        pipeline=pipeline,
        version=version,
        tab=tab,
        drawn=drawn,
        steps=steps,
        step=step,
        shown=describe(specification, step) if step else None,
        sha256=hashlib.sha256(version.spec.encode()).hexdigest(),
        found=found,
    )


@blueprint.get("/pipelines/<pipeline_id>/versions/<version_id>/spec.yaml")
def download(pipeline_id: str, version_id: str) -> Response:
    """The file of a version, byte for byte as it was uploaded."""
    with open_session() as session:
        version = _version(session, pipeline_id, version_id)
        name = find_pipeline(session, pipeline_id).name
    ascii_name = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "_" for sign in name)
    disposition = f'attachment; filename="{ascii_name}.yaml"'
    return Response(version.spec, mimetype="application/yaml", headers={"Content-Disposition": disposition})


@blueprint.post("/pipelines/<pipeline_id>/versions/<version_id>/delete")
def delete_version(pipeline_id: str, version_id: str) -> AnyResponse:
    """Delete a version; its runs stay, as they hold what they ran."""
    with open_session() as session:
        session.delete(_version(session, pipeline_id, version_id))
        session.commit()
    return redirect(url_for("pipelines.show", pipeline_id=pipeline_id))


def describe(specification: Specification, step: Step) -> dict[str, Any]:
    """What the spec says of a step: its inputs and outputs, its image, its Secrets by name, whether it is cached."""
    label = step.component.get("executorLabel", "")
    container = specification.executors.get(label, {}).get("container", {})
    platform = specification.platform_of(label)
    source = (container.get("command") or [""])[-1]
    return {
        "inputs": _declared(step.component.get("inputDefinitions", {})),
        "outputs": _declared(step.component.get("outputDefinitions", {})),
        "image": container.get("image", ""),
        "secrets": sorted(one.get("secretName", "") for one in platform.get("secretAsEnv", [])),
        "cached": bool(step.task.get("cachingOptions", {}).get("enableCache")),
        "after": [scope.rpartition("/")[2] for scope in step.after],
        "source": source if isinstance(source, str) else "",
    }


def _declared(definitions: dict[str, Any]) -> list[tuple[str, str]]:
    parameters = [(name, one.get("parameterType", "")) for name, one in definitions.get("parameters", {}).items()]
    artifacts = definitions.get("artifacts", {}).items()
    return parameters + [(name, one.get("artifactType", {}).get("schemaTitle", "")) for name, one in artifacts]


def _uploaded() -> str:
    if not (file := request.files.get("uploadfile")) or not file.filename:
        raise invalid("No file was chosen.", "Choose the compiled pipeline, a .yaml file, then import it.")
    return uploaded_file()[1]


def _version(session: Session, pipeline_id: str, version_id: str) -> PipelineVersion:
    version = find_version(session, pipeline_id, version_id)
    if version is None:
        raise not_found("PipelineVersion", version_id)
    return version


def _address(version: PipelineVersion, step: str | None = None) -> str:
    return url_for("pipelines.show_version", pipeline_id=version.pipeline_id, version_id=version.id, step=step)


def _to(version: PipelineVersion) -> AnyResponse:
    return redirect(_address(version))
