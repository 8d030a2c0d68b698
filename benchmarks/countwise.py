"""Jukebox's way, as the steps of the training pipeline go: counts instead of rows, one ONNX file with all in it."""

import shutil
from pathlib import Path

from jukebox_helpers.steps import export, files, preparation
from jukebox_helpers.steps import model as model_module

FILES = ("features.parquet", "counts.parquet")
"""What preparation writes into its folder."""


def prepare(songs: str, rankings: str, folder: str) -> dict:
    """Fetch and prepare.

    Args:
        songs: The songs, Parquet.
        rankings: The rankings, Parquet.
        folder: Where everything goes.

    Returns:
        What ``preparation.prepare`` counted.
    """
    for source in (songs, rankings):
        shutil.copy(source, folder)
    here = Path(folder, Path(songs).name), Path(folder, Path(rankings).name)
    files.file_digest(str(here[1]), "sha256")
    features, counts = (str(Path(folder, name)) for name in FILES)
    return preparation.prepare(str(here[0]), str(here[1]), features, counts)


def build(songs: str, rankings: str, epochs: int, folder: str) -> dict:
    """From data to a checked ONNX file.

    Args:
        songs: The songs, Parquet.
        rankings: The rankings, Parquet.
        epochs: Passes over the counts.
        folder: Where everything goes.

    Returns:
        What the three steps say: preparation, trained, checked.
    """
    prepared = prepare(songs, rankings, folder)
    names = (*FILES, "model.joblib", "model.onnx", "expected.parquet")
    features, counts, model, onnx, expected = (str(Path(folder, name)) for name in names)
    trained = model_module.train(features, counts, {"epochs": epochs}, model)
    export.export_onnx(model, onnx, {})
    export.predict_held_out(model, features, expected)
    return {"preparation": prepared, "trained": trained, "checked": export.check_onnx(expected, onnx)}
