"""The registry of an older kit, a SQLite file of MLflow's, becomes resources of this one: once."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.registry.resources import (
    MODEL_ARTIFACT,
    MODEL_VERSION,
    REGISTERED_MODEL,
    Resource,
)

MODELS = "SELECT name, creation_time FROM registered_models ORDER BY creation_time, name"
VERSIONS = (
    "SELECT name, version, source, creation_time FROM model_versions "
    "WHERE current_stage <> 'Deleted_Internal' ORDER BY creation_time, name, version"
)
TAGS = "SELECT name, version, key, value FROM model_version_tags"


def convert(engine: Engine, file: Path) -> int:
    """Copy what an older registry holds, all of it or nothing, unless something is registered here already.

    Args:
        engine: The database.
        file: MLflow's file.

    Returns:
        How many model versions were copied.

    Raises:
        SandboxError: If the file cannot be read.
    """
    if not file.is_file():
        return 0
    with Session(engine) as session, session.begin():
        if session.scalar(select(Resource.id).limit(1)) is not None:
            return 0
        try:
            return copy(session, file)
        except (sqlite3.Error, IntegrityError, ValueError, KeyError) as error:
            raise SandboxError(
                f"The models of the older registry {file} cannot be read: {error}.",
                "Start without them: move that file to another folder, and run ./jukebox up again.",
            ) from None


def copy(session: Session, file: Path) -> int:
    """Add the models of a file; the number of their versions."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "registered_models" not in tables:
            return 0  # nothing was ever registered
        models, versions = connection.execute(MODELS).fetchall(), connection.execute(VERSIONS).fetchall()
        tags: dict[tuple[str, int], dict[str, str]] = {}
        for name, number, key, value in connection.execute(TAGS):
            tags.setdefault((name, number), {})[key] = value
    copied, parents = 0, {}
    for name, created_at in models:
        parents[name] = add(session, REGISTERED_MODEL, None, name, created_at, {"owner": "jukebox"})
    for name, number, source, created_at in versions:
        known = tags.get((name, number), {})
        if "version" not in known:
            continue  # registered by hand, with MLflow's own client
        facts = {key: json.loads(value) for key, value in known.items() if key != "version"}
        if facts.get("prod") is False:
            del facts["prod"]  # it is there where it is true
        properties = {key: as_property(value) for key, value in facts.items()}
        content = {"author": "jukebox", "customProperties": properties}
        version = add(session, MODEL_VERSION, parents[name], known["version"], created_at, content)
        artifact = {"uri": source, "modelFormatName": "onnx", "modelFormatVersion": "1"}
        add(session, MODEL_ARTIFACT, version, name, created_at, artifact)
        copied += 1
    return copied


def add(
    session: Session, kind: str, parent: Resource | None, name: str, created_at: int, content: dict[str, Any]
) -> Resource:
    """Add one resource, with the time when it was registered."""
    made = Resource(
        kind=kind,
        parent_id=parent.id if parent else None,
        name=f"{parent.id}:{name}" if parent else name,
        created_at=created_at,
        updated_at=created_at,
        content={"state": "UNKNOWN" if kind == MODEL_ARTIFACT else "LIVE"} | content,
    )
    session.add(made)
    session.flush()
    return made


def as_property(value: Any) -> dict[str, Any]:
    """A fact as a property of the registry; an integer beyond the client's nine digits is kept as a double."""
    if isinstance(value, bool):
        return {"bool_value": value, "metadataType": "MetadataBoolValue"}
    if isinstance(value, int) and abs(value) < 10**9:
        return {"int_value": str(value), "metadataType": "MetadataIntValue"}
    if isinstance(value, int | float):
        return {"double_value": float(value), "metadataType": "MetadataDoubleValue"}
    return {"string_value": str(value), "metadataType": "MetadataStringValue"}
