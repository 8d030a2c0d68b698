"""Export: the whole scikit-learn Pipeline as one ONNX file."""

from kfp.dsl import Dataset, Input, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.constants import DATA_HASH, GIT_REVISION, KIT_VERSION, MODEL_HASH, RANKINGS_HASH
from jukebox_helpers.steps.export import export_onnx, predict_held_out
from jukebox_helpers.steps.model import versions


@step("numpy", "pandas", "pyarrow", "scikit-learn", "skl2onnx", "onnx")
def export_model(
    model: Input[Model],
    features: Input[Dataset],
    version: str,
    kit_version: str,
    onnx_model: Output[Model],
    expected: Output[Dataset],
):
    """Convert the model; the file says in its own metadata what it was made of. Note what it must say."""
    import json

    names = (GIT_REVISION, DATA_HASH, RANKINGS_HASH)
    provenance = {name: features.metadata[name] for name in names if name in features.metadata}
    provenance |= {"version": version, KIT_VERSION: kit_version}
    exported = export_onnx(model.path, onnx_model.path, provenance)
    predict_held_out(model.path, features.path, expected.path)
    packages = json.loads(model.metadata.get("packages", "{}")) | versions()  # of both containers
    packages.pop("python")
    onnx_model.metadata.update({MODEL_HASH: exported["sha256"], KIT_VERSION: kit_version})
    onnx_model.metadata["packages"] = json.dumps(packages, sort_keys=True)
    print(f"{exported['bytes']:,} bytes, {provenance}")
