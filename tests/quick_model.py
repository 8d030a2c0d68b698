"""A registered model without a pipeline run: the same functions, in seconds."""

import hashlib
import json
from pathlib import Path

from jukebox_helpers.steps.constants import MODEL
from jukebox_helpers.steps.export import export_onnx
from jukebox_helpers.steps.model import train
from jukebox_helpers.steps.preparation import prepare
from jukebox_helpers.steps.sample_rankings import make_rankings


def register_quick_model(place, version="0123456789", data_version="a" * 32):
    """Train, export, upload and register a small model of the workshop's songs; give its record.

    Without a data version it is what a push registers before there is one.
    """
    folder = place.tables / "quick"
    folder.mkdir(parents=True, exist_ok=True)
    features, counts, model, onnx = (str(folder / name) for name in ("f.parquet", "c.parquet", "m.joblib", "m.onnx"))
    if not Path(model).is_file():
        make_rankings(str(folder / "r.parquet"), str(place.songs), rows=80_000)
        prepare(str(place.songs), str(folder / "r.parquet"), features, counts)
        train(features, counts, {"epochs": 3}, model)
    export_onnx(model, onnx, {"git revision": version})
    place.s3.upload_file(onnx, "models", f"{MODEL}/{version}/model.onnx")
    metadata = {
        "git revision": version + "0" * 30,
        **({"DVC training data hash": data_version} if data_version else {}),
        "model sha256": hashlib.sha256(Path(onnx).read_bytes()).hexdigest(),
        "parameters": json.dumps({"epochs": 3}),
        "songs rows": 2000,
    }
    return place.registry.register(MODEL, version, f"s3://models/{MODEL}/{version}/model.onnx", metadata)
