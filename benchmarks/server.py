"""What the laptop's pipeline server takes: its start, the way to a run's first step, long lists, memory at rest."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.fresh_sandbox import fresh_sandbox
from benchmarks.results import Figure, Result
from benchmarks.sizes import repeats
from benchmarks.step import empty_steps
from jukebox_helpers import sandbox
from jukebox_helpers.pipelines.compile import compile_pipeline
from jukebox_helpers.pipelines.following import follow, start_run
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.server import PipelineServer, connect
from jukebox_sandbox.pipeline_server import tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUNS = 1_000


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Measure a fresh sandbox.

    Args:
        scale: Decides only how often.
        folder: For the sandbox.
        say: Told what is being measured.

    Returns:
        The result.
    """
    bare = timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    pipeline = read_pipeline(compile_pipeline(empty_steps, folder / "empty-steps.yaml").read_text())
    say("starting the sandbox")
    began = time.perf_counter()
    with fresh_sandbox(folder) as settings:
        up = time.perf_counter() - began
        server = connect(settings)
        say("runs, to their first step")
        run_ids = [follow(server, start_run(server, pipeline, {}, "a-run")).id for _ in range(repeats(scale))]
        first = statistics.median(to_the_first_step(settings.state, run_id) for run_id in run_ids)
        say(f"lists of {RUNS:,} runs")
        few = statistics.median(timed(lambda: listed(server)) for _ in range(3))
        add_runs(settings.state, run_ids[0], RUNS - len(run_ids))
        many = statistics.median(timed(lambda: listed(server)) for _ in range(3))
        time.sleep(1)
        memory = psutil.Process(sandbox.status(settings.state)["pid"]).memory_info().rss / 1e6
    return Result(
        name="server",
        title="The laptop's pipeline server",
        scale=scale,
        figures=[
            Figure("up, until everything answers", up, "s", "lower", 5),
            Figure("create a run, to its first step's start", first, "s", "lower", 0.5),
            Figure(f"a list of {RUNS:,} runs", many, "s", "lower", 0.2),
            Figure("memory at rest", memory, "MB", "lower", 150),
            Figure("up / an empty Python", up / bare, "x", "lower"),
            Figure("to the first step / an empty Python", first / bare, "x", "lower"),
            Figure(f"a list of {RUNS:,} runs / of {len(run_ids)}", many / few, "x", "lower"),
        ],
        rows=[
            {"what": what, "seconds": round(value, 3)}
            for what, value in {
                "up": up,
                "to the first step": first,
                f"a list of {RUNS:,} runs": many,
                f"a list of {len(run_ids)} runs": few,
                "an empty Python": bare,
            }.items()
        ],
        notes=[
            "A list is asked for through kfp.Client in pages of 200, the most that Kubeflow's server gives.",
            f"Memory: the resident set of the sandbox's process, {memory:.0f} MB; SeaweedFS is another process.",
        ],
    )


def timed(do: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def listed(server: PipelineServer) -> int:
    """How many runs there are, from all pages."""
    token, found = "", 0
    while True:
        page = server.client.list_runs(page_token=token, page_size=200, namespace=server.namespace)
        found += len(page.runs or [])
        token = page.next_page_token
        if not token:
            return found


def to_the_first_step(state: Path, run_id: str) -> float:
    """Seconds from the moment when a run was made to the one when its first step started."""
    with Session(tables.open_database(state)) as session:
        made = session.scalars(select(tables.Run.created_at).where(tables.Run.id == run_id)).one()
        executors = tables.Task.run_id == run_id, tables.Task.kind == "executor"
        started = session.scalars(select(tables.Task.started_at).where(*executors)).all()
    return (min(filter(None, started)) - made).total_seconds()


def add_runs(state: Path, like: str, number: int) -> None:
    """Write finished runs into the server's database, like one that is there."""
    with Session(tables.open_database(state)) as session:
        model = session.scalars(select(tables.Run).where(tables.Run.id == like)).one()
        same = {key: getattr(model, key) for key in ("display_name", "experiment_id", "spec", "state", "state_history")}
        session.add_all([tables.Run(**same) for _ in range(number)])
        session.commit()


def draw(result: Result, axes: "Axes") -> None:
    """Seconds as bars."""
    bars = axes.barh([row["what"] for row in result.rows], [row["seconds"] for row in result.rows])
    axes.bar_label(bars, fmt=" %.2f s", fontsize=8)
    axes.set_xlabel("seconds")
    axes.margins(x=0.2)
    axes.invert_yaxis()
