"""Fetch and prepare: Jukebox's counts against a row for every ranking, through CSV, one-hot labels and pickles."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import countwise, rowwise
from benchmarks.measure import measure
from benchmarks.results import Figure, Result
from benchmarks.sizes import make_tables, repeats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Measure both ways.

    Args:
        scale: Share of the full size.
        folder: For data and scratch.
        say: Told what is being measured.

    Returns:
        The result.
    """
    songs, rankings = (str(path) for path in make_tables(folder, scale))
    say("with counts")
    counts = measure(countwise.prepare, folder, repeat=repeats(scale), songs=songs, rankings=rankings)
    say("with a row for every ranking (minutes at full size)")
    rows = measure(rowwise.prepare, folder, songs=songs, rankings=rankings)
    # The source tables lie in the bucket; copies of them are fetched, not made.
    sources = sum(Path(path).stat().st_size for path in (songs, rankings)) / 1e6
    made = counts.written_mb - sources
    split = rows.result["the stratified split alone"]
    return Result(
        name="prepare",
        title="Fetch and prepare: counts against rows",
        scale=scale,
        figures=[
            Figure("time, rows / counts", rows.seconds / counts.seconds, "x", "higher", 60),
            Figure("peak memory, rows / counts", rows.peak_mb / counts.peak_mb, "x", "higher", 20),
            Figure("bytes written, rows / counts", rows.written_mb / made, "x", "higher", 20),
        ],
        rows=[
            {"way": name, "seconds": one.seconds, "peak MB": one.peak_mb, "written MB": written}
            for name, one, written in (("rows", rows, rows.written_mb), ("counts", counts, made))
        ],
        notes=[
            f"The row-wise way spends {split:.0f} s in one stratified split; "
            f"without it, counts are {(rows.seconds - split) / counts.seconds:.0f} times faster.",
            "Seconds are those of a fresh process, imports included; counts: the median of three.",
            f"Not counted as written: the fetched copies of the two source tables ({sources:.1f} MB).",
        ],
    )


def draw(result: Result, axes: "Axes") -> None:
    """Bars on a logarithmic scale: time, memory, bytes."""
    measured = ("seconds", "peak MB", "written MB")
    for place, row in enumerate(result.rows):
        bars = axes.barh([y + 0.4 * place for y in range(3)], [row[name] for name in measured], 0.38, label=row["way"])
        axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
    axes.set_yticks([y + 0.2 for y in range(3)], measured)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.legend(frameon=False)
