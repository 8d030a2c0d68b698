"""The whole loop in the sandbox, from fresh data to a registered model, and what the same work takes without it."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks import countwise
from benchmarks.fresh_sandbox import fresh_sandbox
from benchmarks.measure import measure
from benchmarks.results import Figure, Result
from benchmarks.sizes import make_tables, rows_at
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.settings import TRAINING_PIPELINE, Settings
from jukebox_helpers.steps import evaluation, model, sample_data, sample_rankings, tables
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.demo import Demo

if TYPE_CHECKING:
    from matplotlib.axes import Axes


ROUNDS = 3
"""How often fresh data arrive, and how often the work alone is done: an odd number, for the median."""


def bare_work(songs: str, rankings: str, folder: str) -> dict:
    """The work of both pipelines in one process: no platform, no versions, no registry."""
    tables.validate_songs(songs)
    canonical = str(Path(folder, "canonical.parquet"))
    tables.transform_songs(songs, canonical)
    tables.validate_songs(canonical)
    tables.validate_rankings(rankings)
    countwise.build(songs, rankings, 20, folder)
    features, counts, forward, onnx, report = (
        str(Path(folder, name))
        for name in ("features.parquet", "counts.parquet", "forward.json", "model.onnx", "report.json")
    )
    model.forward_scores(features, counts, {}, forward)
    return evaluation.evaluate(onnx, features, counts, None, None, report, forward)["gate"]


def set_up(settings: Settings, rankings: Path) -> Demo:
    """Bring a fresh sandbox to where data can arrive: buckets applied, training on versioned data."""
    show = Demo(settings, Console(quiet=True))
    show.apply_buckets()
    edits.train_on_versioned_data(settings.clone() / TRAINING_PIPELINE)
    show.load_rankings(rankings)
    # Nothing is versioned yet, so the training that this push starts stops at once.
    show.follow(show.push("jukebox", "Train on versioned data"))
    return show


def bring(show: Demo, songs: Path, rankings: Path) -> tuple[float, list[Run]]:
    """Bring data into the sandbox, and follow it until its model is registered.

    Args:
        show: The sandbox.
        songs: The source of the data pipeline.
        rankings: Put into the bucket first; that is not timed.

    Returns:
        Seconds, and the runs of both pipelines.

    Raises:
        JukeboxError: If the model was not registered.
    """
    show.load_rankings(rankings)
    started = time.perf_counter()
    loaded = show.watch(lambda see: show.place.run_data_pipeline(songs, see))
    trained = show.follow(show.head())
    seconds = time.perf_counter() - started
    if trained.state != "succeeded":
        raise JukeboxError(f"The training failed: {trained.error}", "Run ./jukebox demo.")
    return seconds, [loaded, trained]


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Run the loop with first data, then with fresh data, several times: these are the times that count.

    Args:
        scale: Share of the full size.
        folder: For data and the sandbox.
        say: Told what is being measured.

    Returns:
        The result.
    """
    songs, rankings = make_tables(folder, scale)
    rounds = ROUNDS if scale >= 1 else 1
    weeks = [(songs, rankings)]
    for week in range(rounds):
        fresh, fresh_rankings = folder / f"songs-{week}.parquet", folder / f"rankings-{week}.parquet"
        sample_data.make_fresh_songs(str(weeks[-1][0]), str(fresh), seed=8 + week)
        sample_rankings.make_rankings(str(fresh_rankings), str(fresh), rows=rows_at(scale))
        weeks.append((fresh, fresh_rankings))
    with fresh_sandbox(folder) as settings:
        say("setting a sandbox up")
        show = set_up(settings, rankings)
        if scale >= 1:
            # A small run only shows that all works; and the gate may well refuse what little data have changed.
            say("the first data version and its model")
            bring(show, songs, rankings)
        bare, loops = [], []
        for new, ranked in weeks[1:]:
            # In turns, so that a busy machine slows both.
            say("the work alone, without a platform")
            bare.append(measure(bare_work, folder, songs=str(new), rankings=str(ranked)).seconds)
            say("fresh data: the loop that counts")
            loops.append(bring(show, new, ranked))
    seconds, runs = sorted(loops, key=lambda loop: loop[0])[rounds // 2]
    alone = median(bare)
    rows: list[dict[str, Any]] = [
        {"pipeline": run.pipeline, "step": step.name, "seconds": step.seconds}
        for run in runs
        for step in run.steps
        if step.state == "succeeded"
    ]
    between = seconds - sum(row["seconds"] for row in rows)
    rows.append(
        {"pipeline": "", "step": "between steps: starts, git, trigger, compiling", "seconds": round(between, 3)}
    )
    for row in rows:
        row["share"] = f"{row['seconds'] / seconds:.0%}"
    return Result(
        name="loop",
        title="From fresh data to a registered model, in the sandbox",
        scale=scale,
        figures=[
            Figure("the whole loop", seconds, "s", "lower", 30),
            Figure("the whole loop / its work in one process", seconds / alone, "x", "lower"),
        ],
        rows=rows,
        notes=[
            f"The same validation, preparation, training, export, check and evaluation in one process: {alone:.1f} s.",
            f"Of {rounds} runs with fresh data each the median: "
            f"{', '.join(f'{loop[0]:.1f}' for loop in loops)} s; alone {', '.join(f'{one:.1f}' for one in bare)} s.",
            "A step's seconds include the start of its Python and its imports.",
        ],
    )


def draw(result: Result, axes: "Axes") -> None:
    """Each step's seconds, in order."""
    labels = [row["step"].split(":")[0] for row in result.rows]
    colours = {
        pipeline: f"C{place}" for place, pipeline in enumerate(dict.fromkeys(r["pipeline"] for r in result.rows))
    }
    places = range(len(labels))
    bars = axes.barh(places, [r["seconds"] for r in result.rows], color=[colours[r["pipeline"]] for r in result.rows])
    axes.bar_label(bars, fmt=" %.1f s", fontsize=7)
    axes.set_yticks(places, labels, fontsize=7)
    axes.set_xlabel("seconds")
    axes.invert_yaxis()
