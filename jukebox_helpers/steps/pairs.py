"""What was prepared, read for training and scoring: pairs of a song and a country, with their counts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import FEATURES

if TYPE_CHECKING:
    import numpy
    import pyarrow
    import pyarrow.parquet


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
    import pyarrow.compute
    import pyarrow.parquet

    # ParquetFile, not read_table: the latter takes "part=..." in a path for a column.
    songs = pyarrow.parquet.ParquetFile(features_path)
    counts = pyarrow.parquet.ParquetFile(counts_path, read_dictionary=["spotify_id", "country"])
    # Not to_numpy, which imports pandas: that takes more memory than all the data.
    numbers = numpy.from_dlpack

    def column(file: "pyarrow.parquet.ParquetFile", name: str) -> "pyarrow.Array":
        # One at a time: what it takes to read one is used again for the next.
        return file.read([name], use_threads=False)[name].combine_chunks()

    ids = column(songs, "spotify_id")
    order = pyarrow.compute.sort_indices(ids)
    ids, order = ids.take(order), numbers(order)
    part = column(songs, "part").dictionary_encode()
    held_out = numpy.array(part.dictionary.to_pylist()) == "test"

    charted, places = (column(counts, name).dictionary_encode() for name in ("spotify_id", "country"))
    song = numbers(pyarrow.compute.index_in(charted.dictionary, value_set=ids).fill_null(-1))[numbers(charted.indices)]
    names = places.dictionary.to_pylist()
    labels = labels or sorted(names)
    number = {label: number for number, label in enumerate(labels)}
    country = numpy.array([number.get(name, -1) for name in names], "int32")[numbers(places.indices)]
    past, future = (numbers(column(counts, name)) for name in ("past", "future"))
    known = (song >= 0) & (country >= 0)
    pairs = numpy.lexsort((country, song))
    pairs = pairs[known[pairs]]
    return Pairs(
        inputs={name: numbers(column(songs, name))[order] for name in FEATURES},
        test=held_out[numbers(part.indices)][order],
        song=song[pairs],
        country=country[pairs],
        past=past[pairs],
        future=future[pairs],
        labels=numpy.array(labels),
        unknown=int(past[~known].sum() + future[~known].sum()),
    )


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
