"""Growth: what ten or a hundred times the data takes, with songs and countries growing too."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import countwise
from benchmarks.measure import measure
from benchmarks.results import Figure, Result
from benchmarks.sizes import COUNTRIES, ROWS, repeats, rows_at, songs_at
from jukebox_helpers.steps import evaluation, sample_data, sample_rankings, tables
from jukebox_helpers.steps import export as export_module
from jukebox_helpers.steps import model as model_module

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZES = (0.1, 1.0, 10.0)
STEPS = ("rankings", "prepare", "validate", "train", "evaluate")


def rankings(songs: str, rows: int, countries: int, folder: str) -> dict:
    """Making up the rankings."""
    return sample_rankings.make_rankings(f"{folder}/rankings.parquet", songs, rows=rows, countries=countries)


def validate(songs: str, rankings: str, folder: str) -> None:
    """The step that validates both tables."""
    tables.validate_songs(songs)
    tables.validate_rankings(rankings)


def train(source: str, folder: str) -> None:
    """The step that trains, with its rehearsal of the future."""
    prepared = f"{source}/features.parquet", f"{source}/counts.parquet"
    model_module.train(*prepared, {}, f"{folder}/model.joblib")
    model_module.forward_scores(*prepared, {}, f"{folder}/forward.json")


def export(model: str, folder: str) -> None:
    """The step that exports; it is not measured: it reads only the model."""
    export_module.export_onnx(f"{model}/model.joblib", f"{folder}/model.onnx", {})


def evaluate(source: str, model: str, onnx: str, folder: str) -> None:
    """The step that evaluates, against a previous version, which is the same one here."""
    onnx = f"{onnx}/model.onnx"
    prepared = f"{source}/features.parquet", f"{source}/counts.parquet"
    evaluation.evaluate(onnx, *prepared, onnx, None, f"{folder}/report.json", f"{model}/forward.json")


def countries_at(scale: float) -> int:
    """Countries grow with the square root of the rows; 676 two-letter codes are all there are."""
    return min(676, max(5, round(COUNTRIES * math.sqrt(scale))))


def run(scale: float, folder: Path, say: Callable[[str], None], sizes: tuple[float, ...] = SIZES) -> Result:
    """Measure each step at each size.

    Args:
        scale: Share of the full size that a size of 1 stands for.
        folder: For data and scratch.
        say: Told what is being measured.
        sizes: Multiples of the full size; 1 and 10 among them.

    Returns:
        The result.
    """
    if scale < 1:
        # A small run only shows that all works.
        sizes = tuple(size for size in sizes if size >= 1)
    rows: list[dict] = []
    for size in sizes:
        count, countries = rows_at(scale * size), countries_at(scale * size)
        inner = folder / f"growth-{size:g}"
        inner.mkdir()
        songs = str(inner / "songs.parquet")
        sample_data.make_songs(songs, songs=songs_at(scale * size))
        say(f"{count:,} rows: {', '.join(STEPS)}")
        repeat = repeats(scale) if size <= 1 else 1
        made = measure(rankings, inner, repeat, songs=songs, rows=count, countries=countries)
        table = str(made.folder / "rankings.parquet")
        prepared = measure(countwise.prepare, inner, repeat, songs=songs, rankings=table)
        validated = measure(validate, inner, repeat, songs=songs, rankings=table)
        source = str(prepared.folder)
        trained = measure(train, inner, repeat, source=source)
        model = str(trained.folder)
        onnx = str(measure(export, inner, model=model).folder)
        evaluated = measure(evaluate, inner, repeat, source=source, model=model, onnx=onnx)
        row = {"size": size, "rows": count, "songs": songs_at(scale * size), "countries": countries}
        row["pairs"] = prepared.result["pairs"]
        for name, taken in zip(STEPS, (made, prepared, validated, trained, evaluated), strict=True):
            row |= {f"{name} s": taken.seconds, f"{name} MB": taken.peak_mb}
        rows.append(row)
        shutil.rmtree(inner)
    by_size = {row["size"]: row for row in rows}
    one, last = by_size[1.0], rows[-1]
    factor = last["size"]
    figures = []
    for step in STEPS:
        times, memory = (last[f"{step} {unit}"] / one[f"{step} {unit}"] for unit in ("s", "MB"))
        figures += [
            Figure(f"{step}: exponent of the time, 1 to {factor:g} times", math.log(times, factor), "", "lower", 1),
            Figure(f"{step}: time, {factor:g} times / 1 time", times, "x", "lower"),
            Figure(f"{step}: peak memory, {factor:g} times / 1 time", memory, "x", "lower"),
        ]
        figures.append(Figure(f"{step}: peak memory at 10 times", by_size[10.0][f"{step} MB"], "MB", "lower", 300))
    return Result(
        name="growth" if factor == SIZES[-1] else f"growth-{factor:g}",
        title="Growth: time and memory of the steps",
        scale=scale,
        figures=figures,
        rows=rows,
        notes=[
            f"Size 1 is {ROWS:,} rows at scale 1. Songs grow with the rows, countries with their square root.",
            "Each is what the step of that name calls: train fits twice, the second time on the past only; evaluate "
            "scores a previous version too. Rankings is the making of the sample rankings.",
            "Seconds are those of a fresh process, imports included; they flatten the curve at small sizes.",
        ],
    )


def draw(result: Result, axes: "Axes") -> None:
    """Seconds over rows, both logarithmic, with the peak memory in the legend; beside them, linear growth."""
    rows, last = [row["rows"] for row in result.rows], result.rows[-1]
    one = next(row for row in result.rows if row["size"] == 1)
    for step in sorted(STEPS, key=lambda step: -last[f"{step} s"]):
        label = f"{step}: {one[f'{step} MB']:,.0f} MB, {last[f'{step} MB']:,.0f} MB"
        axes.plot(rows, [row[f"{step} s"] for row in result.rows], marker="o", label=label)
    linear = [one["train s"] * count / one["rows"] for count in rows]
    axes.plot(rows, linear, linestyle=":", color="grey", label="linear")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("ranking rows")
    axes.set_ylabel("seconds")
    title = f"peak memory at 1 and {last['size']:g} times"
    axes.legend(title=title, frameon=False, fontsize=8, title_fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
