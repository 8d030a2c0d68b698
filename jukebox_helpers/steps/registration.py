"""From a trained model to a model version, and back: the ONNX file in the bucket, its record in the registry."""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import MODEL_HASH
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.registry import open_registry, read_registry
from jukebox_helpers.steps.registry_records import check_registration, same_model
from jukebox_helpers.steps.transfer import fetch_object, load_object, remove_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from jukebox_helpers.steps.registry_records import Record


def register_model_version(
    onnx_path: str,
    name: str,
    version: str,
    facts: "Mapping[str, Any]",
    metrics: "Mapping[str, float]",
    cluster_domain: str,
    namespace: str,
    prod_flag: bool,
) -> "Record":
    """Upload an ONNX file and register it with all that it was made of.

    The record comes last: a registered version always has its file. A version is never overwritten: the object's
    name holds the start of its hash, so of two that race with different bytes each has its own, and the one that
    comes second takes its file back. What the registry would refuse is refused before the upload.

    Args:
        onnx_path: The ONNX file.
        name: The registered model.
        version: The model version: the first 10 characters of the git revision.
        facts: What the steps recorded of the data, the model and the run, by name: scalars, or JSON texts.
        metrics: The evaluation's metrics by name.
        cluster_domain: Where the registry is.
        namespace: The project, whose user the registry belongs to.
        prod_flag: Whether this version goes to production.

    Returns:
        The record in the registry.

    Raises:
        ValueError: If the version exists with another model, or a fact cannot be kept.
    """
    digest = file_digest(onnx_path, "sha256")
    metadata = {**facts} | {f"metric.{key}": value for key, value in metrics.items()} | {MODEL_HASH: digest}
    check_registration(name, version, "s3://", metadata)
    registry = open_registry(cluster_domain, namespace, prod_flag)
    existing = registry.find(name, version)
    if existing:
        same_model(existing, metadata)
    uri = load_object(onnx_path, f"{name}/{version}/{digest[:10]}/model.onnx")
    try:
        return registry.register(name, version, uri, metadata, prod_flag)
    except ValueError:
        remove_object(uri)
        raise


def fetch_previous_version(
    name: str, version: str, cluster_domain: str, namespace: str, prod_flag: bool, target: str
) -> "Record | None":
    """Bring the model that a new one is measured against: the one in production, else the latest.

    Args:
        name: The registered model.
        version: The version that is being made: it is not measured against itself.
        cluster_domain: Where the registry is.
        namespace: The project, whose user the registry belongs to.
        prod_flag: Whether the registry of production is meant.
        target: Where the ONNX file goes.

    Returns:
        The record of that version; None where there is none yet.
    """
    registry = read_registry(cluster_domain, namespace, prod_flag)
    # Not itself, where it is being made again.
    others = [other for other in registry.versions(name) if other["version"] != version]
    record = next((other for other in reversed(others) if other["production"]), others[-1] if others else None)
    if not record:
        return None
    fetch_object(record["uri"], target)
    found = file_digest(target, "sha256")
    if found != record["metadata"].get(MODEL_HASH, found):
        raise ValueError(
            f"{record['uri']} is not the file that was registered as {name} {record['version']} (its sha256 is "
            f"{found}), so nothing can be measured against it. Next: restore the object; "
            f"./jukebox reproduce {name} {record['version']} makes its bytes again."
        )
    return record


fetch_previous_model = fetch_previous_version  # its name before the step had it; kept for one release
