"""The model registry: MLflow in the sandbox, Kubeflow's on OpenShift AI, behind one small interface.

A step that only reads opens it with ``read_registry``, and carries nothing of registering.
"""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.registry_kubeflow import KubeflowReader, KubeflowRegistry
from jukebox_helpers.steps.registry_mlflow import MlflowReader, MlflowRegistry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jukebox_helpers.steps.registry_records import ModelRegistry, RegistryReader


def open_registry(
    cluster_domain: str, namespace: str, prod_flag: bool = False, variables: "Mapping[str, str] | None" = None
) -> "ModelRegistry":
    """Open this platform's model registry.

    Args:
        cluster_domain: ``apps.<cluster>``, or the sandbox's base URL.
        namespace: The data science project; the user is what stands before its first hyphen.
        prod_flag: Use the registry of production; the sandbox has one registry for both.
        variables: The platform's variables; a step has them in its environment.

    Returns:
        MLflow's where ``MLFLOW_TRACKING_URI`` is set (the sandbox), Kubeflow's otherwise.

    Raises:
        ValueError: If no registry can be derived from these.
    """
    in_file, address = registry_address(cluster_domain, namespace, prod_flag, variables)
    return MlflowRegistry(address) if in_file else KubeflowRegistry(address)


def read_registry(
    cluster_domain: str, namespace: str, prod_flag: bool = False, variables: "Mapping[str, str] | None" = None
) -> "RegistryReader":
    """Open this platform's model registry to read it; see `open_registry`."""
    in_file, address = registry_address(cluster_domain, namespace, prod_flag, variables)
    return MlflowReader(address) if in_file else KubeflowReader(address)


def registry_address(
    cluster_domain: str, namespace: str, prod_flag: bool, variables: "Mapping[str, str] | None"
) -> tuple[bool, str]:
    """Whether the platform's registry is MLflow's in a file, and its address; the rest is as in `open_registry`."""
    import os

    tracking_uri = (os.environ if variables is None else variables).get("MLFLOW_TRACKING_URI", "")
    if tracking_uri:
        return True, tracking_uri
    user = namespace.split("-")[0]
    if not user or not cluster_domain or "://" in cluster_domain:
        raise ValueError(
            f"No model registry follows from cluster_domain {cluster_domain!r} and namespace {namespace!r}. Next: "
            "give apps.<cluster> and the project's name; in the sandbox, set MLFLOW_TRACKING_URI."
        )
    return False, f"https://{user}-{'prod-' if prod_flag else ''}registry-rest.{cluster_domain}"
