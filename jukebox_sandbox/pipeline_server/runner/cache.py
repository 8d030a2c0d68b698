"""The cache of the pipeline server: a step's key is its inputs, outputs, command and image.

See backend/src/v2/cacheutils/cache.go and backend/src/v2/driver/cache.go in kubeflow/pipelines.
"""

import hashlib
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server.runner.values import go_json
from jukebox_sandbox.pipeline_server.tables import Task


def fingerprint(
    pipeline: str,
    task: dict[str, Any],
    component: dict[str, Any],
    container: dict[str, Any],
    inputs: dict[str, Any],
    claims: list[str],
) -> str:
    """The key of a step in the cache.

    Args:
        pipeline: The pipeline's name: other pipelines have other entries.
        task: The task.
        component: Its component.
        container: Its container.
        inputs: ``parameterValues`` and ``artifacts`` of its executor input.
        claims: The volume claims that it mounts.

    Returns:
        The key; empty where the task turns the cache off.
    """
    options = task.get("cachingOptions", {})
    if not options.get("enableCache"):
        return ""
    if options.get("cacheKey"):
        own = f"{task['componentRef']['name']}\0{options['cacheKey']}"
        return hashlib.sha256(f"{pipeline}\0{own}".encode()).hexdigest()
    outputs = component.get("outputDefinitions", {})
    key = {
        "inputArtifactNames": {
            name: {"artifactNames": [one["name"] for one in given["artifacts"]]}
            for name, given in inputs["artifacts"].items()
        },
        "inputParameterValues": inputs["parameterValues"],
        "outputArtifactsSpec": {
            name: {"name": name, "type": spec["artifactType"]} | _with_metadata(spec)
            for name, spec in outputs.get("artifacts", {}).items()
        },
        "outputParametersSpec": {name: spec["parameterType"] for name, spec in outputs.get("parameters", {}).items()},
        "containerSpec": {
            "image": container.get("image", ""),
            "cmdArgs": [*container.get("command", []), *container.get("args", [])],
            "pvcNames": sorted(set(claims)),
        },
    }
    kept = {name: value for name, value in key.items() if value}
    kept["containerSpec"] = {name: value for name, value in key["containerSpec"].items() if value}
    return hashlib.sha256(f"{pipeline}\0{go_json(kept)}".encode()).hexdigest()


def _with_metadata(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": spec["metadata"]} if spec.get("metadata") else {}


def earlier(session: Session, key: str) -> Task | None:
    """The newest step with a key that ended well, if there is one.

    Args:
        session: The database.
        key: What :func:`fingerprint` gave; empty for none.

    Returns:
        Its executor.
    """
    if not key:
        return None
    return session.scalars(
        select(Task)
        .where(Task.fingerprint == key, Task.state == "SUCCEEDED", Task.kind == "executor")
        .order_by(Task.number.desc())
        .limit(1)
    ).first()
