"""Export: the whole scikit-learn Pipeline as one ONNX file."""

from kfp.dsl import Dataset, Input, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.export import export_onnx


@step("numpy", "pandas", "pyarrow", "scikit-learn", "skl2onnx", "onnx")
def export_model(
    model: Input[Model], features: Input[Dataset], version: str, kit_version: str, onnx_model: Output[Model]
):
    """Convert the model; the file says in its own metadata what it was made of."""
    names = ("git revision", "DVC training data hash", "rankings sha256")
    provenance = {name: features.metadata[name] for name in names if name in features.metadata}
    provenance |= {"version": version, "kit version": kit_version}
    exported = export_onnx(model.path, onnx_model.path, provenance)
    onnx_model.metadata.update({"model sha256": exported["sha256"], "kit version": kit_version})
    print(f"{exported['bytes']:,} bytes, {provenance}")
