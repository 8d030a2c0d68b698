"""What the laptop's pipeline server takes: its start, the way to a run's first step, long lists, memory at rest."""

import functools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.fresh_sandbox import fresh_sandbox
from benchmarks.results import Figure, Result
from benchmarks.sizes import repeats
from benchmarks.step import empty_steps
from jukebox_helpers import sandbox
from jukebox_helpers.pipelines.compile import compile_pipeline
from jukebox_helpers.pipelines.following import follow, start_run
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.settings import Settings
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
    file = compile_pipeline(empty_steps, folder / "empty-steps.yaml")
    say("starting the sandbox")
    began = time.perf_counter()
    with fresh_sandbox(folder) as settings:
        up = time.perf_counter() - began
        time.sleep(1)
        process = psutil.Process(sandbox.status(settings.state)["pid"])
        at_rest = process.memory_info().rss / 1e6
        server = connect(settings)
        say("runs, to their first step")
        imported = server.import_pipeline(file, "1")
        runs = [follow(server, start_run(server, imported, {}, "a-run")) for _ in range(repeats(scale))]
        run_ids = [run.id for run in runs]
        first = statistics.median(to_the_first_step(settings.state, run_id) for run_id in run_ids)
        say(f"lists of {RUNS:,} runs")
        few = statistics.median(timed(lambda: listed(settings)) for _ in range(3))
        add_runs(settings.state, run_ids[0], RUNS - len(run_ids))
        many = statistics.median(timed(lambda: listed(settings)) for _ in range(3))
        page = statistics.median(timed(lambda: listed(settings, 20, most=1)) for _ in range(3))
        say("pages of the dashboard")
        pages = page_times(sandbox.status(settings.state)["dashboard"], run_ids[0])
        used = process.memory_info().rss / 1e6
    return Result(
        name="server",
        title="The laptop's pipeline server",
        scale=scale,
        figures=[
            Figure("up, until everything answers", up, "s", "lower", 5),
            Figure("create a run, to its first step's start", first, "s", "lower", 0.5),
            Figure(f"a list of {RUNS:,} runs", many, "s", "lower", 0.2),
            Figure(f"a page of 20 of {RUNS:,} runs", page, "s", "lower", 0.2),
            Figure(f"the slowest page of the dashboard with {RUNS:,} runs", max(pages.values()), "s", "lower", 0.3),
            Figure("memory at rest, after the start", at_rest, "MB", "lower", 150),
            Figure("memory after all of this", used, "MB", "lower"),
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
                **pages,
            }.items()
        ],
        notes=[
            "A list is all runs, in pages of 200, the most that Kubeflow's server gives, over HTTP.",
            "A page is all that the server sends before the browser draws it; the median of five.",
            "Memory: the resident set of the sandbox's process; SeaweedFS is another process.",
        ],
    )


def timed(do: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def listed(settings: Settings, size: int = 200, most: int = 1_000) -> int:
    """How many runs there are, from the first pages of the list."""
    token, found = "", 0
    for _ in range(most):
        answer = requests.get(
            f"{settings.pipeline_server}/apis/v2beta1/runs",
            {"page_size": size, "page_token": token},
            headers={"Authorization": f"Bearer {settings.token}"},
            timeout=60,
        ).json()
        found += len(answer["runs"])
        token = answer.get("next_page_token", "")
        if not token:
            break
    return found


def page_times(link: str, run_id: str) -> dict[str, float]:
    """Seconds until the pages of the dashboard's menu, and one run, are there, by their paths.

    Args:
        link: A link that logs in.
        run_id: The run.

    Returns:
        The median of five each; the first one, which imports what the pages need, is not among them.
    """
    browser = requests.Session()
    home = browser.get(link, timeout=60)
    menu = re.findall(r'<li>\s*<a href="(/dashboard/[^"]*)"', home.text)
    if len(menu) < 5:
        raise RuntimeError(f"The menu of {home.url} has no pages any more that this would find.")
    root = home.url.partition("/dashboard/")[0]

    def look(path: str) -> None:
        browser.get(root + path, timeout=60).raise_for_status()

    paths = dict.fromkeys([*menu, f"/dashboard/runs/{run_id}", "/dashboard/runs?page=50"])
    for path in paths:
        look(path)
    times = {path: statistics.median(timed(functools.partial(look, path)) for _ in range(5)) for path in paths}
    return {f"page {path.replace(run_id, 'of a run')}": seconds for path, seconds in times.items()}


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
        columns = (
            "display_name",
            "experiment_id",
            "pipeline_id",
            "pipeline_version_id",
            "spec",
            "state",
            "state_history",
        )
        same = {column: getattr(model, column) for column in columns}
        session.add_all([tables.Run(**same) for _ in range(number)])
        session.commit()


def draw(result: Result, axes: "Axes") -> None:
    """Seconds as bars."""
    bars = axes.barh([row["what"] for row in result.rows], [row["seconds"] for row in result.rows])
    axes.bar_label(bars, fmt=" %.2f s", fontsize=8)
    axes.set_xlabel("seconds")
    axes.margins(x=0.2)
    axes.invert_yaxis()
