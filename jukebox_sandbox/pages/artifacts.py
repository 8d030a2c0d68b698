"""What steps wrote: metrics, a confusion matrix, a picture, the bytes."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from jukebox_sandbox.pages.objects import read_object
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.errors import not_found
from jukebox_sandbox.pipeline_server.tables import Artifact

blueprint = Blueprint("artifacts", __name__)

OF_ML_METADATA = {"display_name", "store_session_info"}
"""Facts that the platform adds."""

PICTURE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
"""What a page that a step wrote may do: be looked at."""


@dataclass(frozen=True)
class Shown:
    """An artifact as a page shows it.

    Attributes:
        artifact: The artifact.
        facts: Its metadata, name and value; of metrics, the metrics.
        matrix: A confusion matrix: the names of the categories and the rows; None if it is none.
        is_picture: Whether it is a page to look at.
    """

    artifact: Artifact
    facts: list[tuple[str, Any]]
    matrix: tuple[list[str], list[list[Any]]] | None
    is_picture: bool


def show(session: Session, ids: dict[str, list[int]]) -> list[tuple[str, Shown]]:
    """Artifacts of a step, as pages show them.

    Args:
        session: An open session.
        ids: The ids of artifacts by the name of the input or output.

    Returns:
        Name and artifact.
    """
    wanted = [(name, one) for name, many in ids.items() for one in many]
    query = select(Artifact).where(Artifact.id.in_([one for _, one in wanted]))
    known = {one.id: one for one in session.scalars(query)}
    return [(name, _shown(known[one])) for name, one in wanted if one in known]


def _shown(artifact: Artifact) -> Shown:
    facts = {key: value for key, value in artifact.custom_properties.items() if key not in OF_ML_METADATA}
    matrix = _matrix(facts.pop("confusionMatrix", None))
    facts.pop("confidenceMetrics", None)
    return Shown(artifact, list(facts.items()), matrix, artifact.type == "system.HTML")


def _matrix(value: Any) -> tuple[list[str], list[list[Any]]] | None:
    """The categories and rows of a confusion matrix, as ML Metadata hands it out: inside a struct."""
    found = value.get("struct", value) if isinstance(value, dict) else {}
    try:
        names = [str(one["displayName"]) for one in found["annotationSpecs"]]
        return names, [[*row["row"]] for row in found["rows"]]
    except (KeyError, TypeError):
        return None


@blueprint.get("/artifacts/<int:artifact_id>")
def download(artifact_id: int) -> Response:
    """The bytes of an artifact, to be kept."""
    artifact, content = _read(artifact_id)
    name = artifact.uri.rpartition("/")[2]
    return Response(
        content, mimetype="application/octet-stream", headers={"Content-Disposition": f"attachment; filename={name}"}
    )


@blueprint.get("/artifacts/<int:artifact_id>/picture")
def picture(artifact_id: int) -> Response:
    """A page that a step wrote, to be shown in a frame: it runs no script and loads nothing."""
    artifact, content = _read(artifact_id)
    if artifact.type != "system.HTML":
        raise not_found("Picture", str(artifact_id))
    return as_picture(content)


def as_picture(content: bytes) -> Response:
    """A foreign page as an answer: the browser runs and loads nothing of it."""
    return Response(content, mimetype="text/html", headers={"Content-Security-Policy": PICTURE_POLICY})


def _read(artifact_id: int) -> tuple[Artifact, bytes]:
    with open_session() as session:
        artifact = session.get(Artifact, artifact_id)
    if artifact is None or not artifact.uri.startswith("s3://"):
        raise not_found("Artifact", str(artifact_id))
    return artifact, read_object(artifact.uri)
