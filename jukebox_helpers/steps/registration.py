"""From a trained model to a model version, and back: the ONNX file in the bucket, its record in the registry."""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import DATA_HASH, MODEL_HASH
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.registry import RegistryReader, open_registry, registry_address
from jukebox_helpers.steps.registry_records import check_registration, same_model
from jukebox_helpers.steps.transfer import fetch_object, load_object, own_bucket, remove_object

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
        cluster_domain: Where the registry is, as `registry.open_registry` takes it.
        namespace: The project, whose user the registry belongs to.
        prod_flag: Whether this version goes to production.

    Returns:
        The record in the registry.

    Raises:
        ValueError: If the version exists with another model, or a fact cannot be kept.
    """
    digest = file_digest(onnx_path, "sha256")
    metadata = {**facts, **{f"metric.{key}": value for key, value in metrics.items()}, MODEL_HASH: digest}
    check_registration(name, version, "s3://", metadata)
    registry = open_registry(cluster_domain, namespace, prod_flag)
    if existing := registry.find(name, version):
        same_model(existing, metadata)
    uri = load_object(onnx_path, f"{name}/{version}/{digest[:10]}/model.onnx", own_bucket())
    try:
        return registry.register(name, version, uri, metadata, prod_flag)
    except ValueError:
        remove_object(uri)
        raise


def fetch_previous_version(
    name: str, version: str, cluster_domain: str, namespace: str, prod_flag: bool, target: str
) -> "dict[str, str] | None":
    """Bring the model that a new one is measured against, of those that know their data: in production, or the latest.

    Args:
        name: The registered model.
        version: The version that is being made: it is not measured against itself.
        cluster_domain: Where the registry is, as `registry.open_registry` takes it.
        namespace: The project, whose user the registry belongs to.
        prod_flag: Whether the registry of production is meant.
        target: Where the ONNX file goes.

    Returns:
        Its ``version`` and ``uri``; None where there is none yet.

    Raises:
        ValueError: If the file is not the one that was registered.
    """
    registry = RegistryReader(registry_address(cluster_domain, namespace, prod_flag))
    others = [
        (found.name, file.uri, found.custom_properties or {})
        for found, file in registry.newest_first(name)
        # A version of which nobody can say what it saw is not a measure of another one.
        if found.name != version and DATA_HASH in (found.custom_properties or {})
    ]
    in_production = [other for other in others if other[2].get("prod") in (True, "true")]
    for previous, uri, facts in (in_production + others)[:1]:
        fetch_object(uri, target)
        digest = file_digest(target, "sha256")
        if digest != facts.get(MODEL_HASH, digest):
            raise ValueError(
                f"{uri} is not the file that was registered as {name} {previous} (its sha256 is {digest}), so nothing "
                f"can be measured against it. Next: restore the object; ./jukebox reproduce {name} {previous} makes "
                "its bytes again."
            )
        return {"version": previous, "uri": uri}
    return None


fetch_previous_model = fetch_previous_version  # its name before the step had it; kept for one release
