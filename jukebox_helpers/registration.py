"""From a trained model to a model version, and back: the ONNX file in the bucket, its record in the registry.

All functions travel: their source is part of compiled pipelines, so they import what they need inside.
"""

from jukebox_helpers.registry import open_registry
from jukebox_helpers.transfer import fetch, load_object


def register_model_version(
    onnx_path: str,
    name: str,
    version: str,
    facts: dict,
    metrics: dict,
    cluster_domain: str,
    namespace: str,
    prod_flag: bool,
) -> dict:
    """Upload an ONNX file and register it with all that it was made of.

    The record comes last: a registered version always has its file. A version is never overwritten.

    Args:
        onnx_path: The ONNX file.
        name: The registered model.
        version: The model version: the first 10 characters of the git revision.
        facts: What the steps recorded of the data, the model and the run, by name; anything that is no
            scalar is kept as JSON.
        metrics: The evaluation's metrics by name.
        cluster_domain: Where the registry is.
        namespace: The project, whose user the registry belongs to.
        prod_flag: Whether this version goes to production.

    Returns:
        The record in the registry.

    Raises:
        ValueError: If the version exists with another model, or a fact cannot be kept.
    """
    import hashlib
    import json

    with open(onnx_path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    metadata = {key: value for key, value in facts.items() if key not in ("display_name", "store_session_info")}
    metadata |= {f"metric.{key}": value for key, value in metrics.items()}
    metadata = {
        key: value if isinstance(value, (str, int, float)) else json.dumps(value, sort_keys=True)
        for key, value in metadata.items()
    }
    metadata["model sha256"] = digest
    registry = open_registry(cluster_domain, namespace, prod_flag)
    existing = registry.find(name, version)
    if existing is None or existing["metadata"].get("model sha256") == digest:
        uri = load_object(onnx_path, f"{name}/{version}/model.onnx")
    else:
        uri = existing["uri"]
    return registry.register(name, version, uri, metadata, prod_flag)


def fetch_previous_model(
    name: str, version: str, cluster_domain: str, namespace: str, prod_flag: bool, target: str
) -> dict:
    """Bring the model that a new one is measured against: the one in production, else the latest.

    Args:
        name: The registered model.
        version: The version that is being made: it is not measured against itself.
        cluster_domain: Where the registry is.
        namespace: The project, whose user the registry belongs to.
        prod_flag: Whether the registry of production is meant.
        target: Where the ONNX file goes.

    Returns:
        The record of that version; empty where there is none yet.
    """
    registry = open_registry(cluster_domain, namespace, prod_flag)
    others = [record for record in registry.versions(name) if record["version"] != version]
    if not others:
        return {}
    record = next((other for other in reversed(others) if other["production"]), others[-1])
    fetch(record["uri"], target)
    return record
