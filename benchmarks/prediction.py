"""Prediction: rows a second of the ONNX file against the scikit-learn pipeline that it was exported from."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import countwise
from benchmarks.measure import measure
from benchmarks.results import Figure, Result
from benchmarks.sizes import make_tables
from jukebox_helpers.steps import export
from jukebox_helpers.steps import model as model_module

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BATCHES = (1, 10_000)


def speed(predict: Callable[[], Any], batch: int, seconds: float) -> float:
    """Rows a second, the best of three stretches.

    Args:
        predict: Predicts one batch.
        batch: Rows of a batch.
        seconds: How long a stretch lasts at least.
    """
    predict()
    best = 0.0
    for _ in range(3):
        calls, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds or not calls:
            predict()
            calls += 1
        best = max(best, calls * batch / passed)
    return best


def predict_both(songs: str, rankings: str, seconds: float, folder: str) -> dict:
    """Train and export a model, then predict with both.

    Args:
        songs: The songs, Parquet.
        rankings: The rankings, Parquet.
        seconds: How long each measurement lasts at least.
        folder: For the model.

    Returns:
        rates (a list of batch, onnx and sklearn in rows a second), bytes (of each file).
    """
    import joblib
    import numpy
    import onnxruntime
    import pandas
    import pyarrow.parquet

    from jukebox_helpers.steps.constants import FEATURES

    countwise.prepare(songs, rankings, folder)
    prepared, model_path, onnx_path = (
        str(Path(folder, name)) for name in ("features.parquet", "model.joblib", "model.onnx")
    )
    model_module.train(prepared, str(Path(folder, "counts.parquet")), {}, model_path)
    export.export_onnx(model_path, onnx_path, {})
    table = pyarrow.parquet.ParquetFile(prepared).read()
    model, session = joblib.load(model_path), onnxruntime.InferenceSession(onnx_path)
    rates = []
    for batch in BATCHES:
        columns = {name: numpy.resize(table[name].to_numpy(), batch) for name in FEATURES}
        frame = pandas.DataFrame(columns)
        arrays = {name: values.reshape(-1, 1) for name, values in columns.items()}
        onnx = speed(partial(session.run, ["probabilities"], arrays), batch, seconds)
        sklearn = speed(partial(model.predict_proba, frame), batch, seconds)
        rates.append({"batch": batch, "onnx": onnx, "sklearn": sklearn})
    return {
        "rates": rates,
        "bytes": {"onnx": Path(onnx_path).stat().st_size, "sklearn": Path(model_path).stat().st_size},
    }


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Measure both.

    Args:
        scale: Share of the full size of the training data, and of the seconds spent.
        folder: For data and scratch.
        say: Told what is being measured.

    Returns:
        The result.
    """
    songs, rankings = (str(path) for path in make_tables(folder, scale))
    say("one row, and ten thousand")
    found = measure(predict_both, folder, songs=songs, rankings=rankings, seconds=min(1.0, scale)).result
    one, many = found["rates"]
    size = found["bytes"]["onnx"]
    return Result(
        name="prediction",
        title="Prediction: ONNX against scikit-learn",
        scale=scale,
        figures=[
            Figure("one row, ONNX / scikit-learn", one["onnx"] / one["sklearn"], "x", "higher", 10),
            Figure("10,000 rows, ONNX / scikit-learn", many["onnx"] / many["sklearn"], "x", "higher", 1),
            Figure("ONNX file", size / 1e3, "kB", "lower", 100),
        ],
        rows=[
            {"rows at a time": rate["batch"], "ONNX rows/s": rate["onnx"], "scikit-learn rows/s": rate["sklearn"]}
            for rate in found["rates"]
        ],
        notes=["Both warm, with the threads that they choose by themselves; the best of three stretches of a second."],
    )


def draw(result: Result, axes: "Axes") -> None:
    """Rows a second as bars, logarithmic."""
    batches = [f"{row['rows at a time']:,} at a time" for row in result.rows]
    for place, name in enumerate(("scikit-learn rows/s", "ONNX rows/s")):
        heights = [row[name] for row in result.rows]
        bars = axes.bar([x + 0.4 * place for x in range(len(batches))], heights, 0.38, label=name)
        axes.bar_label(bars, [f"{height:,.0f}" for height in heights], fontsize=8)
    axes.set_xticks([x + 0.2 for x in range(len(batches))], batches)
    axes.set_yscale("log")
    axes.margins(y=0.1)
    axes.legend(frameon=False, fontsize=8)
