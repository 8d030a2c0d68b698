"""Fetch the previous model: what a new one is measured against."""

from kfp.dsl import Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.registration import fetch_previous_version


@step("boto3", "model-registry")
def fetch_previous_model(
    model_name: str, version: str, cluster_domain: str, prod_flag: bool, previous_model: Output[Model]
):
    """Bring the version in production, else the latest; where there is none, an empty file without a version."""
    import os

    namespace = os.environ["namespace"]
    record = fetch_previous_version(model_name, version, cluster_domain, namespace, prod_flag, previous_model.path)
    if record:
        previous_model.metadata["version"] = record["version"]
    else:
        open(previous_model.path, "wb").close()  # an output that is not there fails in a cluster
    print(f"The previous version is {record['version']}." if record else "There is no earlier version.")
