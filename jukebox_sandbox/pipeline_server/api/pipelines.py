"""Pipelines: create, upload, list, get, rename, delete."""

from typing import Any

from flask import Blueprint, Response, request
from kfp_server_api import V2beta1ListPipelinesResponse, V2beta1Pipeline
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api.listing import list_page, seconds
from jukebox_sandbox.pipeline_server.api.messages import answer, body, make, timestamp
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.api.versions import check_name, new_version, no_url, refuse_tags, uploaded_file
from jukebox_sandbox.pipeline_server.errors import Code, RequestError, invalid, not_found

blueprint = Blueprint("pipelines", __name__, url_prefix="/apis/v2beta1/pipelines")

FIELDS: dict[str, Any] = {
    "id": tables.Pipeline.id,
    "pipeline_id": tables.Pipeline.id,
    "name": tables.Pipeline.name,
    "display_name": tables.Pipeline.display_name,
    "created_at": seconds(tables.Pipeline.created_at),
    "description": tables.Pipeline.description,
    "namespace": tables.Pipeline.namespace,
}


def message(pipeline: tables.Pipeline) -> V2beta1Pipeline:
    """A pipeline as the API hands it out."""
    return make(
        V2beta1Pipeline,
        pipeline_id=pipeline.id,
        name=pipeline.name,
        display_name=pipeline.display_name,
        description=pipeline.description or None,
        namespace=pipeline.namespace or None,
        created_at=timestamp(pipeline.created_at),
    )


@blueprint.post("")
def create() -> Response:
    """Create a pipeline that has no version yet."""
    wanted = body("V2beta1Pipeline")
    refuse_tags(wanted.tags)
    with open_session() as session:
        pipeline = new_pipeline(session, wanted.name, wanted.display_name, wanted.description)
        session.commit()
        return answer(message(pipeline))


@blueprint.post("/create")
def create_with_version() -> Response:
    """Creating both from an address is refused: this server fetches nothing."""
    body("V2beta1CreatePipelineAndVersionRequest")
    raise no_url()


@blueprint.post("/upload")
def upload() -> Response:
    """Create a pipeline and its first version from a file."""
    file_name, text = uploaded_file()
    given = request.args
    refuse_tags(given.get("tags"))
    name = given.get("name") or given.get("display_name") or file_name
    with open_session() as session:
        pipeline = new_pipeline(session, name, given.get("display_name"), given.get("description"))
        new_version(session, pipeline.id, text, pipeline.name, pipeline.display_name, pipeline.description)
        session.commit()
        return answer(message(pipeline))


@blueprint.get("")
def list_all() -> Response:
    """List pipelines."""
    with open_session() as session:
        page = list_page(session, select(tables.Pipeline), FIELDS, tables.Pipeline.id)
        found = [message(one) for one in page.rows]
    return answer(
        make(
            V2beta1ListPipelinesResponse,
            pipelines=found or None,
            total_size=page.total_size,
            next_page_token=page.next_page_token,
        )
    )


@blueprint.get("/<pipeline_id>")
def get(pipeline_id: str) -> Response:
    """Get a pipeline."""
    with open_session() as session:
        return answer(message(find_pipeline(session, pipeline_id)))


@blueprint.get("/names/<path:name>")
def get_by_name(name: str) -> Response:
    """Get the pipeline of a name."""
    with open_session() as session:
        pipeline = session.scalar(select(tables.Pipeline).filter_by(name=name))
        if pipeline is None:
            raise not_found("Pipeline", name)
        return answer(message(pipeline))


@blueprint.patch("/<pipeline_id>")
def update(pipeline_id: str) -> Response:
    """Give a pipeline another name to show."""
    wanted = body("V2beta1Pipeline")
    refuse_tags(wanted.tags)
    with open_session() as session:
        pipeline = find_pipeline(session, pipeline_id)
        if wanted.display_name:
            pipeline.display_name = check_name("Pipeline", wanted.display_name, 128)
        session.commit()
        return answer(message(pipeline))


@blueprint.delete("/<pipeline_id>")
def delete(pipeline_id: str) -> Response:
    """Delete a pipeline; one that has versions only with ``cascade``."""
    with open_session() as session:
        pipeline = find_pipeline(session, pipeline_id)
        of_pipeline = select(tables.PipelineVersion.id).filter_by(pipeline_id=pipeline_id)
        newest = session.scalar(of_pipeline.order_by(tables.PipelineVersion.number.desc()).limit(1))
        if newest and request.args.get("cascade", "").lower() != "true":
            raise invalid(
                f"Failed to delete pipeline with id {pipeline_id} as it has existing pipeline versions "
                f"(e.g. {newest}). Set cascade=true to delete all versions"
            )
        session.delete(pipeline)
        session.commit()
    return answer()


def find_pipeline(session: Session, pipeline_id: str) -> tables.Pipeline:
    """A pipeline by its id; RequestError if there is none."""
    pipeline = session.get(tables.Pipeline, pipeline_id)
    if pipeline is None:
        raise not_found("Pipeline", pipeline_id)
    return pipeline


def new_pipeline(
    session: Session, name: str | None, display_name: str | None, description: str | None
) -> tables.Pipeline:
    """Add a pipeline without versions.

    Args:
        session: An open session; the caller commits.
        name: Its name; the one to show if empty.
        display_name: The name to show; the name itself if empty.
        description: What it is for.

    Returns:
        The pipeline.

    Raises:
        RequestError: If the name is missing, too long or taken.
    """
    name = check_name("Pipeline", name or display_name, 128)
    pipeline = tables.Pipeline(
        name=name, display_name=check_name("Pipeline", display_name or name, 128), description=description or ""
    )
    session.add(pipeline)
    try:
        session.flush()
    except IntegrityError:
        raise RequestError(
            Code.ALREADY_EXISTS,
            f"Failed to create a new pipeline. The name {name} already exists. Please specify a new name",
        ) from None
    return pipeline
