"""Versions of a pipeline: upload, list, get, rename, delete."""

from typing import Any

from flask import Blueprint, Response, request
from kfp_server_api import V2beta1ListPipelineVersionsResponse, V2beta1PipelineVersion
from sqlalchemy import literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api.listing import list_page, seconds
from jukebox_sandbox.pipeline_server.api.messages import answer, body, make, timestamp
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.errors import Code, RequestError, invalid, not_found
from jukebox_sandbox.pipeline_server.specs import read_spec, read_upload

blueprint = Blueprint("versions", __name__, url_prefix="/apis/v2beta1/pipelines")

FIELDS: dict[str, Any] = {
    "id": tables.PipelineVersion.id,
    "pipeline_version_id": tables.PipelineVersion.id,
    "name": tables.PipelineVersion.name,
    "display_name": tables.PipelineVersion.display_name,
    "created_at": seconds(tables.PipelineVersion.created_at),
    "status": literal("READY"),
    "description": tables.PipelineVersion.description,
    "pipeline_spec": tables.PipelineVersion.spec,
}


def message(version: tables.PipelineVersion) -> V2beta1PipelineVersion:
    """A version as the API hands it out, with its whole spec."""
    return make(
        V2beta1PipelineVersion,
        pipeline_id=version.pipeline_id,
        pipeline_version_id=version.id,
        name=version.name,
        display_name=version.display_name,
        description=version.description or None,
        code_source_url=version.code_source_url or None,
        created_at=timestamp(version.created_at),
        pipeline_spec=read_spec(version.spec).document,
    )


@blueprint.post("/upload_version")
def upload() -> Response:
    """Add a version from a file."""
    file_name, text = uploaded_file()
    given = request.args
    refuse_tags(given.get("tags"))
    pipeline_id = given.get("pipelineid", "")
    if not pipeline_id:
        raise invalid("Failed to create a pipeline version due to missing pipeline id")
    name = given.get("name") or given.get("display_name") or file_name
    with open_session() as session:
        if session.get(tables.Pipeline, pipeline_id) is None:
            raise invalid(f"Failed to create a pipeline version: Pipeline {pipeline_id} not found")
        version = new_version(session, pipeline_id, text, name, given.get("display_name"), given.get("description", ""))
        session.commit()
        return answer(message(version))


@blueprint.post("/<pipeline_id>/versions")
def create(pipeline_id: str) -> Response:
    """Creating a version from an address is refused: this server fetches nothing."""
    wanted = body("V2beta1PipelineVersion")
    if not wanted.package_url or not wanted.package_url.pipeline_url:
        raise invalid("Failed to create a pipeline version. Package URL is empty")
    raise no_url()


@blueprint.get("/<pipeline_id>/versions")
def list_all(pipeline_id: str) -> Response:
    """List the versions of a pipeline."""
    with open_session() as session:
        if session.get(tables.Pipeline, pipeline_id) is None:
            raise not_found("Pipeline", pipeline_id)
        query = select(tables.PipelineVersion).filter_by(pipeline_id=pipeline_id)
        page = list_page(session, query, FIELDS, tables.PipelineVersion.number)
        found = [message(one) for one in page.rows]
    return answer(
        make(
            V2beta1ListPipelineVersionsResponse,
            pipeline_versions=found or None,
            total_size=page.total_size,
            next_page_token=page.next_page_token,
        )
    )


@blueprint.get("/<pipeline_id>/versions/<version_id>")
def get(pipeline_id: str, version_id: str) -> Response:
    """Get a version."""
    with open_session() as session:
        return answer(message(_find(session, version_id)))


@blueprint.patch("/<pipeline_id>/versions/<version_id>")
def update(pipeline_id: str, version_id: str) -> Response:
    """Give a version another name to show."""
    wanted = body("V2beta1PipelineVersion")
    refuse_tags(wanted.tags)
    with open_session() as session:
        version = _find(session, version_id)
        if wanted.display_name:
            version.display_name = check_name("PipelineVersion", wanted.display_name, 127)
        session.commit()
        return answer(message(version))


@blueprint.delete("/<pipeline_id>/versions/<version_id>")
def delete(pipeline_id: str, version_id: str) -> Response:
    """Delete a version; its runs stay, as they hold what they ran."""
    with open_session() as session:
        session.delete(_find(session, version_id))
        session.commit()
    return answer()


def new_version(
    session: Session, pipeline_id: str, text: str, name: str, display_name: str | None, description: str
) -> tables.PipelineVersion:
    """Add a version to a pipeline.

    Args:
        session: An open session; the caller commits.
        pipeline_id: The pipeline.
        text: The YAML.
        name: The version's name.
        display_name: The name to show; the name itself if empty.
        description: What it is for.

    Returns:
        The version.

    Raises:
        RequestError: If the YAML is refused, or the pipeline has a version of that name.
    """
    read_spec(text)
    name = check_name("PipelineVersion", name, 127)
    version = tables.PipelineVersion(
        pipeline_id=pipeline_id,
        name=name,
        display_name=check_name("PipelineVersion", display_name or name, 127),
        description=description,
        code_source_url=request.args.get("code_source_url", ""),
        spec=text,
    )
    session.add(version)
    try:
        session.flush()
    except IntegrityError:
        raise RequestError(
            Code.ALREADY_EXISTS,
            f"Failed to create a new pipeline version. The name {name} already exist. Please specify a new name",
        ) from None
    return version


def uploaded_file() -> tuple[str, str]:
    """Name and text of the file in the form; RequestError if there is none, or if it is not taken."""
    file = request.files.get("uploadfile")
    if file is None:
        raise invalid("Failed to read pipeline from file", "Send it as a form, field uploadfile.")
    return file.filename or "", read_upload(file.filename or "", file.read())


def check_name(kind: str, name: str | None, limit: int) -> str:
    """A name that is there and not too long; RequestError if not."""
    if not name:
        raise invalid("name is required")
    if len(name) > limit:
        raise invalid(f"{kind}.Name length cannot exceed {limit}")
    return name


def no_url() -> RequestError:
    """Why nothing is made from an address."""
    return invalid(
        "Creating a pipeline from a package URL is not done here: this server fetches nothing.",
        "Download the file and upload it.",
    )


def refuse_tags(tags: Any) -> None:
    """Tags are not kept; RequestError if there are some."""
    if tags and tags != "{}":
        raise invalid("Tags of pipelines are not kept here.", "Leave them out.")


def _find(session: Session, version_id: str) -> tables.PipelineVersion:
    version = session.scalar(select(tables.PipelineVersion).filter_by(id=version_id))
    if version is None:
        raise not_found("PipelineVersion", version_id)
    return version
