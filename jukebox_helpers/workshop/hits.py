"""The last exercise: a song that is a hit where the typical song is not, by the registered model's own judgement."""

from collections.abc import Mapping
from typing import Any

import numpy
import pandas

from jukebox_helpers.show.player import Player, load_model
from jukebox_helpers.show.sliders import typical_song
from jukebox_helpers.steps.constants import FEATURES, MODEL
from jukebox_helpers.steps.scoring import onnx_probabilities
from jukebox_helpers.workshop.engine import failed, not_attempted
from jukebox_helpers.workshop.place import Workplace

FIRST = 5
"""A song is a hit in a country that is among so many first ones."""


def played_songs(place: Workplace, player: Player) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """The songs' features, and what the model says of them: probabilities with a column a country; a row a song."""
    songs = pandas.read_parquet(place.songs)[FEATURES].astype("float64")
    inputs = {name: songs[name].to_numpy(numpy.float32) for name in FEATURES}
    labels, probabilities = onnx_probabilities(str(player.path), inputs)
    return songs, pandas.DataFrame(probabilities, columns=labels)


def newest_player(place: Workplace) -> Player:
    """The newest model that was trained on a data version: the one that notebook 8 plays."""
    return load_model(place.settings, MODEL, place.newest_versioned_model()["version"])


def challenge(place: Workplace) -> str:
    """The country that the typical song reaches least, among those that some song of the table reaches first."""
    player = newest_player(place)
    _, probabilities = played_songs(place, player)
    order = [country for country, _ in player.countries(typical_song())]
    return max(probabilities.idxmax(axis=1).unique(), key=order.index)


def check_hit(place: Workplace, song: Mapping[str, float]) -> tuple[str, dict[str, Any]]:
    """The countries that the registered model, run by onnxruntime, gives for the song."""
    if dict(song) == typical_song():
        raise not_attempted("my_song is still the typical song.")
    target = challenge(place)
    order = [country for country, _ in newest_player(place).countries(song)]
    rank = order.index(target) + 1
    if rank > FIRST:
        found = f"{target} in place {rank}; in front are {', '.join(order[:FIRST])}"
        raise failed(found, f"{target} among the first {FIRST}")
    return f"{target} is in place {rank} of {len(order)}: a hit.", {"country": target, "rank": rank}


def find_hit(place: Workplace) -> dict[str, float]:
    """A hit in the country of the challenge: of the songs that reach it first, the one that it likes best."""
    songs, probabilities = played_songs(place, newest_player(place))
    target = challenge(place)
    liked = probabilities[target].where(probabilities.idxmax(axis=1) == target, 0.0)
    best = int(liked.to_numpy().argmax())
    return {str(name): float(value) for name, value in songs.iloc[best].items()}
