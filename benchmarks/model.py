"""From data to a checked ONNX file: trained on counts against the same family of network trained on rows."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from benchmarks import countwise, rowwise
from benchmarks.measure import Measurement, measure
from benchmarks.results import Figure, Result
from benchmarks.sizes import make_tables, repeats
from jukebox_helpers.steps import pairs as preparation
from jukebox_helpers.steps import scoring

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EPOCHS = 20


def only_training_songs(features: Path, rankings: Path, target: Path) -> int:
    """Write the rankings without the songs that Jukebox holds out.

    Args:
        features: The prepared songs.
        rankings: The rankings, Parquet.
        target: The Parquet file to write.

    Returns:
        The number of rows that stay.
    """
    songs = pyarrow.parquet.ParquetFile(features).read(["spotify_id", "part"])
    train = songs.filter(pyarrow.compute.equal(songs["part"], "train"))["spotify_id"].combine_chunks()
    table = pyarrow.parquet.ParquetFile(rankings).read()
    table = table.filter(pyarrow.compute.is_in(table["spotify_id"].cast(pyarrow.string()), value_set=train))
    pyarrow.parquet.write_table(table, target, compression="zstd")
    return table.num_rows


def scores(way: Measurement, data: preparation.Pairs, labels: list, probabilities: "numpy.ndarray") -> dict:
    """A row of the table: what it took, and how good it is on songs that it has not seen."""
    place = {label: column for column, label in enumerate(labels)}
    country = numpy.array([place.get(label, -1) for label in data.labels[data.country]])
    unseen = data.held_out & (country >= 0)
    weight = data.rows[unseen]
    found = scoring.score(scoring.judge(lambda songs: probabilities[songs], data.song[unseen], country[unseen], weight))
    names = {"log_loss": "log-loss", "top1": "top-1", "top5": "top-5"}
    return {"seconds": way.seconds, "peak MB": way.peak_mb, **{new: round(found[old], 4) for old, new in names.items()}}


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Measure both ways, the row-wise one with as many epochs and with as many gradient steps.

    Args:
        scale: Share of the full size.
        folder: For data and scratch.
        say: Told what is being measured.

    Returns:
        The result.
    """
    songs, rankings = make_tables(folder, scale)
    say("on counts")
    given: dict[str, Any] = {"songs": str(songs), "epochs": EPOCHS}
    counts = measure(countwise.build, folder, repeat=repeats(scale), rankings=str(rankings), **given)
    features, pairs = (str(counts.folder / name) for name in countwise.FILES)
    data = preparation.read_pairs(features, pairs)
    predicted = scoring.onnx_probabilities(str(counts.folder / "model.onnx"), data.inputs)
    rows = {"on counts": scores(counts, data, *predicted)}

    known = folder / f"known-rankings-{scale:g}.parquet"
    left = only_training_songs(Path(features), rankings, known)
    steps = EPOCHS * counts.result["trained"]["pairs"]
    as_many = max(1, round(steps / (0.8 * left)))
    for name, epochs in {
        f"on rows, {EPOCHS} epochs": EPOCHS,
        f"on rows, {as_many} epoch{'s'[: as_many - 1]}": as_many,
    }.items():
        say(f"{name} (minutes at full size)")
        way = measure(rowwise.build, folder, songs=str(songs), rankings=str(known), epochs=epochs)
        rows[name] = scores(way, data, *rowwise.probabilities(str(way.folder), data.inputs))
        rows[name] |= {"of it fit": way.result["seconds"]["fit"]}
    mine, equal, short = rows.values()
    mine["of it fit"] = ""
    return Result(
        name="model",
        title="From data to a checked ONNX file: counts against rows",
        scale=scale,
        figures=[
            Figure("time, rows / counts, equal epochs", equal["seconds"] / mine["seconds"], "x", "higher", 12),
            Figure("time, rows / counts, equal steps", short["seconds"] / mine["seconds"], "x", "higher", 12),
            Figure(
                "log-loss on unseen songs, counts / rows, equal epochs",
                mine["log-loss"] / equal["log-loss"],
                "x",
                "lower",
                1,
            ),
            Figure(
                "log-loss on unseen songs, counts / rows, equal steps",
                mine["log-loss"] / short["log-loss"],
                "x",
                "lower",
                1,
            ),
        ],
        rows=[{"way": name, **row} for name, row in rows.items()],
        notes=[
            "Both ways fit the same network with the same hyperparameters; an epoch over rows has about 30 times the "
            "gradient steps of one over counts, so rows are also given about as many steps.",
            "The row-wise way gets the rankings without the songs that are held out, so that both can be scored on "
            "them: a fifth less work for it than in earnest.",
        ],
    )


def draw(result: Result, axes: "Axes") -> None:
    """Seconds as bars, with the log-loss written on them."""
    bars = axes.barh([row["way"] for row in result.rows], [row["seconds"] for row in result.rows])
    axes.bar_label(
        bars, [f" {row['seconds']:.3g} s, log-loss {row['log-loss']:.3f}" for row in result.rows], fontsize=8
    )
    axes.set_xlabel("seconds")
    axes.margins(x=0.4)
    axes.invert_yaxis()
