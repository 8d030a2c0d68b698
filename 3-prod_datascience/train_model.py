"""Train: one scikit-learn Pipeline, with its preprocessing inside, and the whole of it as one ONNX file."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.constants import DATA_HASH, GIT_REVISION, KIT_VERSION, MODEL_HASH, RANKINGS_HASH
from jukebox_helpers.steps.export import export_onnx, predict_held_out
from jukebox_helpers.steps.model import forward_scores, train, versions


@step("duckdb", "numpy", "onnx", "pandas", "scikit-learn", "skl2onnx")
def train_model(
    features: Input[Dataset],
    counts: Input[Dataset],
    hyperparameters: dict,
    version: str,
    kit_version: str,
    model: Output[Model],
    onnx_model: Output[Model],
    expected: Output[Dataset],
    forward: Output[Artifact],
):
    """Learn which countries play which songs; export the model, and note what it says of songs that it has not heard.

    The file says in its own metadata what it was made of. The future is rehearsed on the past.
    """
    import json

    trained = train(features.path, counts.path, hyperparameters, model.path)
    packages = versions()
    model.metadata["parameters"] = json.dumps(trained["hyperparameters"], sort_keys=True)
    model.metadata["python"] = packages.pop("python")
    model.metadata["packages"] = json.dumps(packages, sort_keys=True)
    provenance = {
        name: features.metadata[name] for name in (GIT_REVISION, DATA_HASH, RANKINGS_HASH) if name in features.metadata
    } | {"version": version, KIT_VERSION: kit_version}
    exported = export_onnx(model.path, onnx_model.path, provenance)
    onnx_model.metadata.update({MODEL_HASH: exported["sha256"], KIT_VERSION: kit_version})
    predict_held_out(model.path, features.path, expected.path)
    scores = forward_scores(features.path, counts.path, hyperparameters, forward.path)
    print(trained, scores, f"{exported['bytes']:,} bytes, {provenance}")
