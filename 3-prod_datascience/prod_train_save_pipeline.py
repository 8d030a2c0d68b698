"""The continuous-training pipeline: a revision in, a model version out that knows its data.

A push to the branch main runs it from the files of that very revision. Run this file to compile it to
training-pipeline.yaml, beside it.
"""

from pathlib import Path

from evaluate_model import evaluate_model
from fetch_data import fetch_data, fetch_data_from_dvc  # noqa: F401
from fetch_previous_model import fetch_previous_model
from kfp import dsl, kubernetes
from prepare_data import prepare_data
from register_model import register_model
from store_model import store_model
from train_model import train_model
from validate_data import validate_data

from jukebox_helpers import __version__
from jukebox_helpers.pipelines.compile import compile_pipeline
from jukebox_helpers.steps.constants import S3_KEYS


@dsl.pipeline(name="training-pipeline", description="Trains the jukebox model on one version of the data.")
def training_pipeline(
    hyperparameters: dict,
    model_name: str,
    version: str,
    cluster_domain: str,
    model_storage_pvc: str,
    prod_flag: bool,
    tolerances: dict = {},  # noqa: B006 (KFP reads the default, nobody changes it)
):
    """Fetch, validate, prepare, train, fetch the previous model, evaluate, register.

    Args:
        hyperparameters: Of the training, e.g. ``{"epochs": 20}``.
        model_name: The registered model.
        version: The first 10 characters of the git revision.
        cluster_domain: ``apps.<cluster>``, or the sandbox's base URL.
        model_storage_pvc: A volume claim that also gets the ONNX file; empty for none.
        prod_flag: Whether the version goes to the registry of production.
        tolerances: Of the gate, in nats of log-loss: ``prior_margin`` (better than the prior by at least this, 0.02)
            and ``previous_log_loss`` (worse than the previous version by at most this, 0.02).
    """
    ### 🐶 Fetches Data from GitHub
    fetch_task = fetch_data()

    ### 🍇 Fetches data from DVC

    songs, rankings = fetch_task.outputs["songs"], fetch_task.outputs["rankings"]
    validate_task = validate_data(songs=songs, rankings=rankings, prod_flag=prod_flag)
    prepare_task = prepare_data(songs=songs, rankings=rankings).after(validate_task)
    features, counts = prepare_task.outputs["features"], prepare_task.outputs["counts"]

    train_task = train_model(
        features=features, counts=counts, hyperparameters=hyperparameters, version=version, kit_version=__version__
    )
    onnx_model = train_task.outputs["onnx_model"]

    registry = {"model_name": model_name, "cluster_domain": cluster_domain, "prod_flag": prod_flag}
    previous_task = fetch_previous_model(version=version, **registry).after(prepare_task)
    evaluate_task = evaluate_model(
        onnx_model=onnx_model,
        expected=train_task.outputs["expected"],
        previous_model=previous_task.outputs["previous_model"],
        features=features,
        counts=counts,
        forward=train_task.outputs["forward"],
        tolerances=tolerances,
    )
    register_task = register_model(
        model=train_task.outputs["model"],
        onnx_model=onnx_model,
        features=features,
        report=evaluate_task.outputs["report"],
        version=version,
        **registry,
    )
    for task in (previous_task, register_task):
        kubernetes.use_field_path_as_env(task, env_name="namespace", field_path="metadata.namespace")
        kubernetes.use_secret_as_env(
            task, secret_name="aws-connection-models", secret_key_to_env={key: key for key in S3_KEYS}
        )

    # KFP 2.2 does not know the placeholder for it, and would hand on its name.
    kubernetes.use_field_path_as_env(
        register_task, env_name="KFP_RUN_ID", field_path="metadata.labels['pipeline/runid']"
    )

    with dsl.If(model_storage_pvc != "", name="model-storage"):
        store_task = store_model(onnx_model=onnx_model, model_name=model_name, version=version).after(register_task)
        kubernetes.mount_pvc(store_task, pvc_name=model_storage_pvc, mount_path="/models")

    # Fetch reads rankings that its inputs do not name, the registry changes behind its address, and behind a fetch that
    # always runs no cache entry can ever match.
    for task in (fetch_task, validate_task, prepare_task, train_task):
        task.set_caching_options(False)
    for task in (previous_task, evaluate_task, register_task, store_task):
        task.set_caching_options(False)


if __name__ == "__main__":
    print(f"Compiled to {compile_pipeline(training_pipeline, Path(__file__).with_name('training-pipeline.yaml'))}")
