"""The model registry: models, versions with what is known of each, where one comes from, two versions compared."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jukebox_sandbox.pages import artifacts
from jukebox_sandbox.pages.lineage import lineage
from jukebox_sandbox.pages.objects import bucket_and_key, read_object
from jukebox_sandbox.pages.properties import Property, compare, data_version_of, properties_of
from jukebox_sandbox.pages.site import site
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.errors import not_found
from jukebox_sandbox.pipeline_server.registry.resources import (
    ARTIFACTS,
    MODEL_VERSION,
    REGISTERED_MODEL,
    Resource,
)
from jukebox_sandbox.pipeline_server.tables import Artifact

blueprint = Blueprint("registry", __name__)

LIVE = func.coalesce(Resource.content["state"].as_string(), "LIVE") == "LIVE"
"""Of a resource: it is not archived, and so is in the lists."""

FIRST = "Where it comes from"
"""The heading of the properties that the configuration names."""


@dataclass(frozen=True)
class Registered:
    """An artifact of a model version.

    Attributes:
        artifact: The artifact.
        address: Where its object is shown; empty where it is in no bucket.
        picture: Where it is shown as a page; empty where it is none.
    """

    artifact: Resource
    address: str
    picture: str


@blueprint.get("/model-registry")
def show_all() -> str:
    """The list of registered models."""
    versions = select(Resource.parent_id, func.count().label("count"), func.max(Resource.id).label("newest"))
    counted = versions.where(Resource.kind == MODEL_VERSION, LIVE).group_by(Resource.parent_id).subquery()
    query = select(Resource, counted.c.count, counted.c.newest).outerjoin(counted, counted.c.parent_id == Resource.id)
    with open_session() as session:
        found = session.execute(query.where(Resource.kind == REGISTERED_MODEL, LIVE).order_by(Resource.id)).all()
        rows = [
            (model, count or 0, session.get(Resource, newest) if newest else None) for model, count, newest in found
        ]
    return render_template("models.html", rows=rows)


@blueprint.get("/model-registry/<int:model_id>")
def show(model_id: int) -> str:
    """A model's versions, newest first."""
    query = select(Resource).filter_by(kind=MODEL_VERSION, parent_id=model_id)
    versions = query.where(LIVE).order_by(Resource.id.desc())
    with open_session() as session:
        model = _find(session, model_id, REGISTERED_MODEL)
        rows = [(one, data_version_of(properties_of(one))) for one in session.scalars(versions)]
    return render_template("model.html", model=model, rows=rows)


@blueprint.get("/model-registry/versions/<int:version_id>")
def show_version(version_id: int) -> str:
    """A version: what is known of it, or where it comes from."""
    with open_session() as session:
        version = _find(session, version_id, MODEL_VERSION)
        known = properties_of(version)
        model = _find(session, version.parent_id or 0, REGISTERED_MODEL)
        chain = lineage(session, model, version, known)
        page = {
            "model": model,
            "version": version,
            "groups": _groups(known),
            "data_version": data_version_of(known),
            "chain": chain,
            "registered": [_registered(one) for one in session.scalars(_artifacts_of(version))],
            "pictures": _pictures(session, chain.run_id),
        }
    return render_template("model_version.html", tab=request.args.get("tab", "details"), **page)


@blueprint.get("/model-registry/compare")
def show_comparison() -> str:
    """Two versions beside each other, what changed first."""
    with open_session() as session:
        older, newer = sorted(
            (_find(session, request.args.get(name, 0, int), MODEL_VERSION) for name in ("a", "b")),
            key=lambda one: one.id,
        )
        models = [_find(session, one.parent_id or 0, REGISTERED_MODEL) for one in (older, newer)]
    changed, same = compare(properties_of(older), properties_of(newer))
    return render_template("model_comparison.html", older=older, newer=newer, models=models, changed=changed, same=same)


@blueprint.get("/model-registry/artifacts/<int:artifact_id>/picture")
def picture(artifact_id: int) -> Response:
    """A page that was registered with a version, to be shown in a frame."""
    with open_session() as session:
        artifact = session.get(Resource, artifact_id)
    if artifact is None or artifact.kind not in ARTIFACTS or not _uri(artifact).endswith(".html"):
        raise not_found("Artifact", str(artifact_id))
    return artifacts.as_picture(read_object(_uri(artifact)))


def _find(session: Session, number: int, kind: str) -> Resource:
    found = session.get(Resource, number)
    if found is None or found.kind != kind:
        raise not_found(kind.capitalize(), str(number))
    return found


def _artifacts_of(version: Resource) -> Any:
    return select(Resource).where(Resource.parent_id == version.id, Resource.kind.in_(ARTIFACTS)).order_by(Resource.id)


def _uri(artifact: Resource) -> str:
    return str(artifact.content.get("uri", ""))


def _registered(artifact: Resource) -> Registered:
    uri, address, picture = _uri(artifact), "", ""
    if uri.startswith("s3://"):
        bucket, key = bucket_and_key(uri)
        address = url_for("buckets.show_object", bucket=bucket, key=key)
        picture = url_for("registry.picture", artifact_id=artifact.id) if uri.endswith(".html") else ""
    return Registered(artifact, address, picture)


def _pictures(session: Session, run_id: str) -> list[Artifact]:
    """The pages that the steps of a version's run wrote."""
    if not run_id:
        return []
    return list(session.scalars(select(Artifact).filter_by(run_id=run_id, type="system.HTML").order_by(Artifact.id)))


def _groups(known: list[Property]) -> list[tuple[str, list[Property]]]:
    """Properties by the words before their first dot; first those that the configuration names, in its order."""
    first = site().configuration.model_versions.first
    groups: dict[str, list[Property]] = {FIRST: [], "": []}
    for one in known:
        name = FIRST if one.name in first else one.name.rpartition(".")[0] if "." in one.name else ""
        groups.setdefault(name, []).append(one)
    groups[FIRST].sort(key=lambda one: first.index(one.name))
    return [(name or "Other properties", many) for name, many in groups.items() if many]
