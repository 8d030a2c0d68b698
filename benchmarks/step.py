"""What a pipeline step costs on this machine before it does anything."""

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kfp import dsl
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.fresh_sandbox import fresh_sandbox
from benchmarks.results import Figure, Result
from benchmarks.sizes import repeats
from jukebox_helpers.pipelines.compile import compile_pipeline
from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.pipelines.following import follow, start_run
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.server import connect
from jukebox_sandbox.pipeline_server import tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = 6


@step()
def nothing() -> None:
    """Do nothing."""


@dsl.pipeline(name="empty-steps")
def empty_steps() -> None:
    """Do nothing, several times, one after the other."""
    before = None
    for _ in range(STEPS):
        task = nothing().set_caching_options(False)
        if before is not None:
            task.after(before)
        before = task


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Run a compiled pipeline of empty steps.

    Args:
        scale: Decides only how often.
        folder: For the pipeline and its runs.
        say: Told what is being measured.

    Returns:
        The result.
    """
    pipeline = read_pipeline(compile_pipeline(empty_steps, folder / "empty-steps.yaml").read_text())
    with fresh_sandbox(folder) as settings:
        server = connect(settings)
        say(f"{STEPS} empty steps")
        runs = [follow(server, start_run(server, pipeline, {}, "empty-steps")).id for _ in range(repeats(scale))]
        steps, rest = zip(*(measured(settings.state, run_id) for run_id in runs), strict=True)
    each, start = statistics.median(itertools.chain(*steps)), statistics.median(rest)
    say("an empty Python, and one that imports KFP's executor")
    bare, kfp = (start_python(code) for code in ("pass", "import kfp.dsl.executor_main"))
    return Result(
        name="step",
        title="The overhead of a pipeline step on this machine",
        scale=scale,
        figures=[
            Figure("an empty step", each, "s", "lower", 1),
            Figure("an empty step / a Python that imports KFP's executor", each / kfp, "x", "lower"),
            Figure("the rest of a run / a Python that imports KFP's executor", start / kfp, "x", "lower"),
        ],
        rows=[
            {"what": what, "seconds": round(value, 3)}
            for what, value in {
                "an empty Python": bare,
                "a Python that imports KFP's executor": kfp,
                "an empty step": each,
                "the rest of a run": start,
            }.items()
        ],
        notes=[
            f"An empty step: the median of {STEPS} in each run of a compiled pipeline, from its start to its end.",
            "The rest of a run, once for each: making the run, and the time between steps.",
        ],
    )


def measured(state: Path, run_id: str) -> tuple[list[float], float]:
    """Seconds of each step of a run, and of the rest, from the database: the API gives whole seconds."""
    with Session(tables.open_database(state)) as session:
        run = session.scalars(select(tables.Run).where(tables.Run.id == run_id)).one()
        executors = tables.Task.run_id == run_id, tables.Task.kind == "executor"
        steps = [
            (task.finished_at - task.started_at).total_seconds()
            for task in session.scalars(select(tables.Task).where(*executors))
            if task.finished_at and task.started_at
        ]
        assert run.finished_at
        return steps, (run.finished_at - run.created_at).total_seconds() - sum(steps)


def start_python(code: str) -> float:
    """Seconds that a new Python takes for a piece of code, where KFP knows that it runs a step; the median of three."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "_KFP_RUNTIME": "true"}, check=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def draw(result: Result, axes: "Axes") -> None:
    """Seconds as bars."""
    bars = axes.barh([row["what"] for row in result.rows], [row["seconds"] for row in result.rows])
    axes.bar_label(bars, fmt=" %.2f s", fontsize=8)
    axes.set_xlabel("seconds")
    axes.margins(x=0.2)
    axes.invert_yaxis()
