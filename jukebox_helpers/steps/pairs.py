"""What was prepared, read for training and scoring: pairs of a song and a country, with their counts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.preparation import small_database

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Pairs:
    """What a model is trained on: songs, and the countries that each charted in, ordered by song.

    Attributes:
        inputs: By feature, float32, a value a song.
        test: For each song whether it is held out.
        song: For each pair the place of its song.
        country: For each pair the place of its country among the labels.
        past: Rows before the time cut, for each pair.
        future: Rows from the time cut on, for each pair.
        labels: The countries.
        unknown: Rows of countries that are not among the labels, which are left out.
    """

    inputs: "dict[str, numpy.ndarray]"
    test: "numpy.ndarray"
    song: "numpy.ndarray"
    country: "numpy.ndarray"
    past: "numpy.ndarray"
    future: "numpy.ndarray"
    labels: "numpy.ndarray"
    unknown: int = 0

    @property
    def rows(self) -> "numpy.ndarray":
        """All ranking rows of each pair."""
        return self.past + self.future

    @property
    def held_out(self) -> "numpy.ndarray":
        """For each pair whether its song is held out."""
        return self.test[self.song]


def read_pairs(features_path: str, counts_path: str, labels: list[str] | None = None) -> Pairs:
    """Read what was prepared, as arrays that do not depend on the order of the files' rows.

    Args:
        features_path: The prepared songs, Parquet.
        counts_path: The prepared counts, Parquet.
        labels: The countries, in the model's order; without them, those of the counts.
    """
    import numpy

    # Otherwise "part=…" in a path is taken for a column.
    table = "read_parquet(?, hive_partitioning = false)"
    songs = f"SELECT {', '.join(f'{name}::FLOAT AS {name}' for name in FEATURES)}, part = 'test' AS test FROM {table}"
    with small_database() as database:
        inputs: Any = database.execute(f"{songs} ORDER BY spotify_id", [features_path]).fetchnumpy()
        found = database.execute(f"SELECT DISTINCT country FROM {table} ORDER BY country", [counts_path])
        labels = labels or [country for (country,) in found.fetchall()]
        pairs: Any = database.execute(
            "SELECT coalesce(song, -1)::INTEGER song, coalesce(list_position(?, country), 0)::INTEGER - 1 country, "
            f"past::INTEGER AS past, future::INTEGER AS future FROM {table} LEFT JOIN "
            f"(SELECT spotify_id, row_number() OVER (ORDER BY spotify_id) - 1 AS song FROM {table}) USING (spotify_id) "
            "ORDER BY song, country",
            [labels, counts_path, features_path],
        ).fetchnumpy()
    known = (pairs["song"] >= 0) & (pairs["country"] >= 0)
    unknown = int((pairs["past"] + pairs["future"])[~known].sum())
    kept = {name: values[known] for name, values in pairs.items()}
    return Pairs(inputs, inputs.pop("test"), **kept, labels=numpy.array(labels), unknown=unknown)


def pairs_of(first: "numpy.ndarray", last: "numpy.ndarray") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Where the pairs of some songs are, if pairs are ordered by song.

    Args:
        first: Place of the first pair of each of these songs.
        last: Place after its last one.

    Returns:
        For each pair of these songs: which of them it belongs to, from 0, and its place among all pairs.
    """
    import numpy

    count = last - first
    row = numpy.repeat(numpy.arange(len(count)), count)
    return row, numpy.arange(len(row)) + (last - numpy.cumsum(count))[row]
