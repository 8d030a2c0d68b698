"""Register: the model version, together with all that it was made of."""

from kfp.dsl import Artifact, Dataset, Input, Model

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.constants import GIT_REVISION
from jukebox_helpers.steps.gate import refuse_if_failed
from jukebox_helpers.steps.metadata import recorded
from jukebox_helpers.steps.registration import register_model_version


@step("boto3", "model-registry")
def register_model(
    model: Input[Model],
    onnx_model: Input[Model],
    features: Input[Dataset],
    report: Input[Artifact],
    model_name: str,
    version: str,
    cluster_domain: str,
    prod_flag: bool,
):
    """Put the ONNX file into the bucket and its record into the registry, unless the gate refused it."""
    import json
    import os

    with open(report.path) as file:
        evaluation = json.load(file)
    refuse_if_failed(evaluation)
    record = register_model_version(
        onnx_path=onnx_model.path,
        name=model_name,
        version=version,
        # Without a data version there is no checkout; then the version is all that is known of the revision.
        facts={
            GIT_REVISION: version,
            **recorded(features.metadata, model.metadata, onnx_model.metadata),
            "run": os.environ["KFP_RUN_ID"],
        },
        metrics=evaluation["metrics"],
        cluster_domain=cluster_domain,
        namespace=os.environ["namespace"],
        prod_flag=prod_flag,
    )
    print(f"Registered {record['name']} {record['version']}: {record['uri']}")
