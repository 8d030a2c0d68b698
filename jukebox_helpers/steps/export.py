"""The model as one ONNX file, and the proof that it says the same as what was trained."""

import hashlib
import json

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.memory import give_memory_back
from jukebox_helpers.steps.preparation import small_database
from jukebox_helpers.steps.scoring import open_onnx


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


def predict_held_out(model_path: str, features_path: str, expected_path: str) -> None:
    """Write what the fitted model says of every held-out song.

    Args:
        model_path: The fitted pipeline.
        features_path: The prepared songs.
        expected_path: The file to write, of NumPy's arrays one behind the other: the countries; then for each block of
            songs their ids, features (songs x 13) and probabilities (songs x countries).
    """
    give_memory_back()
    import joblib
    import numpy

    model = joblib.load(model_path)
    held_out = "FROM read_parquet(?, hive_partitioning = false) WHERE part = 'test' ORDER BY spotify_id"
    with small_database() as database, open(expected_path, "wb") as file:
        numpy.save(file, model.classes_.astype("U"))
        songs = database.execute(held_out, [features_path]).df()
        for first in range(0, len(songs), 2000):
            block = songs[first : first + 2000]
            numpy.save(file, block["spotify_id"].to_numpy("U"))
            numpy.save(file, block[FEATURES].to_numpy())
            numpy.save(file, model.predict_proba(block[FEATURES]))


def check_onnx(expected_path: str, onnx_path: str, tolerance: float = 1e-5) -> dict:
    """Check that the exported model says what the fitted one says, of every held-out song.

    Args:
        expected_path: What the fitted one says, from ``predict_held_out``.
        onnx_path: The exported one.
        tolerance: The largest difference of a probability.

    Returns:
        ``{"songs": int, "largest difference": float}``.

    Raises:
        ValueError: If they differ by more, name other countries, or there is no held-out song.
    """
    give_memory_back()
    import numpy

    labels, predict = open_onnx(onnx_path, FEATURES)
    songs, beyond, largest, worst = 0, 0, 0.0, ""
    with open(expected_path, "rb") as file:
        if labels != numpy.load(file).tolist():
            raise ValueError(f"{onnx_path} names other countries than the fitted model. Next: export the model again.")
        while file.peek(1):
            ids, inputs, said = (numpy.load(file) for _ in range(3))
            difference = numpy.abs(said - predict(dict(zip(FEATURES, inputs.T, strict=True)))).max(axis=1)
            # Written as "not within", so that a probability that is not a number counts.
            beyond += int((~(difference <= tolerance)).sum())
            songs += len(difference)
            if not difference.max() <= largest:
                largest, worst = float(difference.max()), str(ids[difference.argmax()])
    if not songs:
        raise ValueError("There is no held-out song to check on. Next: prepare more songs.")
    if beyond:
        raise ValueError(
            f"ONNX and scikit-learn differ by {largest:.2g} (tolerance {tolerance:g}), most for song {worst}; "
            f"{beyond} of {songs} songs are beyond it. "
            "Next: do not register this model; try another preprocessing or newer skl2onnx and onnxruntime."
        )
    return {"songs": songs, "largest difference": largest}
