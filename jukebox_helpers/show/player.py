"""Playing a registered model: a song's features in, the countries that would play it out."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.lineage import unknown
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps import s3
from jukebox_helpers.steps.constants import FEATURES, MODEL_HASH, SONG_COLUMNS
from jukebox_helpers.steps.files import write_whole
from jukebox_helpers.steps.schemas import songs_schema
from jukebox_helpers.steps.scoring import onnx_probabilities

Probabilities = list[tuple[str, float]]
"""Countries with their probabilities, the likeliest first."""


@cache
def allowed() -> dict[str, tuple[float, float]]:
    """The least and the greatest value of each feature, as the data pipeline validates them."""
    ranges = songs_schema().ranges
    return {name: ranges.get(name, (0, 1)) for name in FEATURES}


def check_song(song: Mapping[str, Any]) -> dict[str, float]:
    """Refuse a song that the model has never been trained for; the 13 features in order, as numbers in the data's unit.

    A feature that is missing, unknown, no number or out of its range is a JukeboxError.
    """
    names = ", ".join(FEATURES)
    if others := [str(name) for name in song if name not in FEATURES]:
        raise JukeboxError(f"The model does not know {', '.join(others)}.", f"Its features are: {names}.")
    if missing := [name for name in FEATURES if name not in song]:
        raise JukeboxError(f"The song lacks {', '.join(missing)}.", "Start from typical_song() and change it.")
    checked = {}
    for name in FEATURES:
        low, high = allowed()[name]
        whole = SONG_COLUMNS[name] in ("int64", "bool")
        try:
            value = float(song[name])
        except (TypeError, ValueError):
            value = math.nan
        if not low <= value <= high or (whole and value != int(value)):
            raise JukeboxError(
                f"{name} is {song[name]!r}, and no song has that.",
                f"Give a {'whole ' * whole}number from {low:,} to {high:,}.",
            )
        checked[name] = value
    return checked


@dataclass(frozen=True)
class Player:
    """A registered model version, ready to play: its record in the registry, and the path of its ONNX file here."""

    record: Mapping[str, Any]
    path: Path

    @property
    def title(self) -> str:
        """The model's name and version."""
        return f"{self.record['name']} {self.record['version']}"

    def countries(self, song: Mapping[str, Any]) -> Probabilities:
        """Where a song would be played: all countries with their probabilities, the likeliest first.

        The song, e.g. `typical_song`, has a value for each of the 13 features, in the unit of the data; see
        `check_song`.
        """
        inputs = {name: np.array([value]) for name, value in check_song(song).items()}
        labels, probabilities = onnx_probabilities(str(self.path), inputs)
        pairs = zip(labels, probabilities[0].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


@as_jukebox_error()
def load_model(settings: Settings, name: str, version: str | None = None) -> Player:
    """Bring a registered model here, the version registered last where none is given, ready to play.

    If the registry or the bucket does not have it, or its bytes are not those that were registered, that is a
    JukeboxError.
    """
    registry = model_registry(settings)
    record = registry.find(name, version) if version else registry.latest(name)
    if record is None:
        raise unknown(registry, name, version)
    address, expected = urlsplit(record["uri"]), record["metadata"].get(MODEL_HASH)
    client = s3.s3_client(settings.secret("aws-connection-models"))
    with s3.explained(client, record["uri"]):
        content = client.get_object(Bucket=address.netloc, Key=address.path.lstrip("/"))["Body"].read()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise JukeboxError(
            f"{record['uri']} is not the model that was registered as {name} {record['version']}: its SHA-256 is "
            f"{found}, the registry says {expected}.",
            f"Do not use it. Rebuild the version: ./jukebox reproduce {name} {record['version']}",
        )
    target = settings.state / "models" / f"{found}.onnx"
    write_whole(str(target), lambda path: Path(path).write_bytes(content))
    return Player(record, target)
