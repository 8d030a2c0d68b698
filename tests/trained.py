"""A trained and exported model of few songs, in a folder with all the files that lead to it."""

import hashlib
from pathlib import Path

from jukebox_helpers.steps import sample_data, sample_rankings
from jukebox_helpers.steps.export import export_onnx, predict_held_out
from jukebox_helpers.steps.model import train
from jukebox_helpers.steps.preparation import prepare


class Room:
    """A folder with prepared data and the files made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.features, self.counts = str(folder / "features.parquet"), str(folder / "counts.parquet")
        self.model, self.onnx = str(folder / "model.joblib"), str(folder / "model.onnx")
        self.expected = str(folder / "expected.parquet")


def train_in(folder: Path) -> Room:
    """Make songs and rankings, prepare, train, export."""
    room = Room(folder)
    songs, rankings = str(folder / "songs.parquet"), str(folder / "rankings.parquet")
    sample_data.make_songs(songs, songs=900)
    sample_rankings.make_rankings(rankings, songs, rows=40_000, countries=9)
    prepare(songs, rankings, room.features, room.counts)
    train(room.features, room.counts, {}, room.model)
    export_onnx(room.model, room.onnx, {"git revision": "abc", "kit version": 1.5})
    predict_held_out(room.model, room.features, room.expected)
    return room


def digest(path: str) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
