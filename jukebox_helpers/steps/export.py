"""The model as one ONNX file, and the proof that it says the same as what was trained."""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.memory import give_memory_back
from jukebox_helpers.steps.scoring import open_onnx

if TYPE_CHECKING:
    pass


def export_onnx(model_path: str, onnx_path: str, provenance: dict) -> dict:
    """Export the whole pipeline as one ONNX file that says where it comes from.

    Inputs: the 13 features by name, float32, [songs, 1]. Outputs: ``label`` and ``probabilities``; the countries in
    the order of the columns are the JSON list ``labels`` of the file's metadata.

    Args:
        model_path: The fitted pipeline.
        onnx_path: The file to write.
        provenance: Flat, by name: goes into the file's ``metadata_props``.

    Returns:
        ``{"sha256": str, "bytes": int}``.

    Raises:
        ValueError: If the model cannot be exported.
    """
    import hashlib
    import json

    import joblib
    import onnx
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    model = joblib.load(model_path)
    inputs = [(name, FloatTensorType([None, 1])) for name in FEATURES]
    try:
        exported = skl2onnx.convert_sklearn(
            model,
            name="jukebox",
            initial_types=inputs,
            options={id(model): {"zipmap": False, "output_class_labels": False}},
            target_opset={"": 17, "ai.onnx.ml": 3},
        )
    except Exception as error:  # skl2onnx raises many kinds, for one reason: no converter.
        raise ValueError(
            f"{type(model).__name__} in {model_path} cannot be exported to ONNX: {str(error).splitlines()[0]} "
            "Next: use only models and preprocessing that skl2onnx supports."
        ) from error
    metadata = {str(name): str(value) for name, value in provenance.items()}
    metadata |= {"labels": json.dumps(list(model.classes_)), "features": json.dumps(FEATURES)}
    onnx.helper.set_model_props(exported, dict(sorted(metadata.items())))
    # skl2onnx takes them from a set, so their order differs from process to process.
    imports = sorted(exported.opset_import, key=lambda one: one.domain)
    del exported.opset_import[:]
    exported.opset_import.extend(imports)
    content = exported.SerializeToString(deterministic=True)
    with open(onnx_path, "wb") as file:
        file.write(content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def check_onnx(model_path: str, onnx_path: str, features_path: str, tolerance: float = 1e-5) -> dict:
    """Check that the exported model says what the fitted one says, on every held-out song.

    Args:
        model_path: The fitted pipeline.
        onnx_path: The exported one.
        features_path: The prepared songs.
        tolerance: The largest difference of a probability.

    Returns:
        ``{"songs": int, "largest difference": float}``.

    Raises:
        ValueError: If they differ by more.
    """
    give_memory_back()
    import joblib
    import numpy
    import pandas
    import pyarrow.parquet
    from sklearn.pipeline import Pipeline

    model: Pipeline = joblib.load(model_path)
    labels, predict = open_onnx(onnx_path, FEATURES)
    if labels != list(model.classes_):
        raise ValueError(f"{onnx_path} names other countries than {model_path}. Next: export the model again.")
    songs, beyond, largest, worst = 0, 0, 0.0, ""
    for batch in pyarrow.parquet.ParquetFile(features_path).iter_batches(2000, use_threads=False):
        test = batch["part"].to_numpy(zero_copy_only=False) == "test"
        if not test.any():
            continue
        inputs = {name: batch[name].to_numpy()[test] for name in FEATURES}
        difference = numpy.abs(model.predict_proba(pandas.DataFrame(inputs)) - predict(inputs)).max(axis=1)
        # Written as "not within", so that a probability that is no number counts.
        beyond += int((~(difference <= tolerance)).sum())
        songs += len(difference)
        if not difference.max() <= largest:
            largest = float(difference.max())
            worst = batch["spotify_id"].to_numpy(zero_copy_only=False)[test][difference.argmax()]
    if not songs:
        raise ValueError(f"{features_path} holds no held-out song to check on. Next: prepare more songs.")
    if beyond:
        raise ValueError(
            f"ONNX and scikit-learn differ by {largest:.2g} (tolerance {tolerance:g}), most for song {worst}; "
            f"{beyond} of {songs} songs are beyond it. "
            "Next: do not register this model; try another preprocessing or newer skl2onnx and onnxruntime."
        )
    return {"songs": songs, "largest difference": largest}
