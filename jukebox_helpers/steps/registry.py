"""The model registry: MLflow in the sandbox, Kubeflow's on OpenShift AI, behind one small interface.

``open_registry`` travels into pipeline steps, with the adapters that it calls.
"""

from jukebox_helpers.steps.registry_kubeflow import kubeflow_registry
from jukebox_helpers.steps.registry_mlflow import mlflow_registry
from jukebox_helpers.steps.registry_records import ModelRegistry

__all__ = ["ModelRegistry", "kubeflow_registry", "mlflow_registry", "open_registry"]


def open_registry(
    cluster_domain: str, namespace: str, prod_flag: bool = False, variables: "dict[str, str] | None" = None
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
    import os

    tracking_uri = (os.environ if variables is None else variables).get("MLFLOW_TRACKING_URI", "")
    if tracking_uri:
        return mlflow_registry(tracking_uri)
    user = namespace.split("-")[0]
    if not user or not cluster_domain or "://" in cluster_domain:
        raise ValueError(
            f"No model registry follows from cluster_domain {cluster_domain!r} and namespace {namespace!r}. Next: "
            "give apps.<cluster> and the project's name; in the sandbox, set MLFLOW_TRACKING_URI."
        )
    return kubeflow_registry(f"https://{user}-{'prod-' if prod_flag else ''}registry-rest.{cluster_domain}")
