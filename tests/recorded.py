"""A model version whose record says everything, and its lineage."""

import json
from collections.abc import Collection
from typing import Any

from jukebox_helpers.pipelines.lineage import trace

MD5, RANKINGS, MODEL = "0bcc" * 8, "c3" * 32, "a1" * 32
PACKAGES = {"scikit-learn": "1.7.2", "skl2onnx": "1.19.1"}
WHOLE = {
    "git repository": "http://127.0.0.1:4000/user1/jukebox.git",
    "git revision": "0123456789" * 4,
    "DVC training data hash": MD5,
    "DVC data path": "song_properties.parquet",
    "DVC remotes": '{"data-source": "s3://data", "s3-version": "s3://data-cache"}',
    "songs rows": 14_245,
    "rankings sha256": RANKINGS,
    "rankings rows": 1_130_000,
    "rankings source": "made up (sample)",
    "preparation": '{"songs": 14000, "countries left out": {}, "time cut": "2023-12-01"}',
    "parameters": '{"C": 1.5, "[/odd]": null}',
    "metric.log_loss": 3.25,
    "metric.top1": 0.0715,
    "metric.accuracy": 0.125,
    "packages": json.dumps(PACKAGES),
    "python": "3.12.9",
    "run": "run-1",
    "model sha256": MODEL,
    "kit version": "0.1.0",
    "countries": 72,
}


def register(
    registry: Any, version: str = "0123456789", without: Collection[str] = (), **changes: Any
) -> dict[str, Any]:
    """Register a version and trace it.

    Args:
        registry: Where.
        version: Its name.
        without: What the names of the keys begin with that are left out.
        changes: Other keys, or other values.
    """
    metadata = {key: value for key, value in (WHOLE | changes).items() if not key.startswith(tuple(without))}
    uri = f"s3://models/jukebox/{version}/model.onnx"
    registry.register("jukebox", version, uri, metadata)
    return trace(registry, "jukebox", version)
