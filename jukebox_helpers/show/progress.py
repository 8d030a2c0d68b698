"""What a person sees of a run while it runs: each step with its state and time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from jukebox_helpers.pipelines.runs import Run

MARKS = {
    "pending": ("·", "dim"),
    "running": ("▶", "cyan"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
}


def in_seconds(seconds: float) -> str:
    """How long something took; a pipeline server knows whole seconds."""
    return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"


class RunProgress:
    """Shows a run: in a terminal the running step turns, everywhere each finished step gets a line.

    An instance is what `follow` wants as ``on_change``. Use it as a context manager, so that the terminal is left in
    order.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shown: set[tuple[str, str]] = set()
        self.status = console.status("Starting")

    def __enter__(self) -> "RunProgress":
        self.status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def __call__(self, run: Run) -> None:
        """Show what is new in a run."""
        for step in run.steps:
            if step.state in ("succeeded", "failed") and (run.id, step.name) not in self.shown:
                self.shown.add((run.id, step.name))
                mark, style = MARKS[step.state]
                self.console.print(
                    f"  [{style}]{mark}[/] {step.name:<22} {in_seconds(step.seconds):>10}", highlight=False
                )
        running = [step.name for step in run.steps if step.state == "running"]
        self.status.update(f"{', '.join(running)} …" if running else "…")


@contextmanager
def upload_progress(what: str, size: int, console: Console, patience: float = 2.0) -> Iterator[Callable[[int], None]]:
    """Show how far an upload of ``size`` bytes is, if it takes longer than one likes to wait for nothing.

    It begins after ``patience`` seconds: a bar in a terminal and a notebook, elsewhere one line. The block gets what to
    call, from any thread, with the number of bytes that have just been sent.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(f"uploading {what}", total=size)

    def show() -> None:
        if console.is_terminal or console.is_jupyter:
            bar.start()
        else:
            console.print(f"uploading {what}, {size:,} bytes …", highlight=False, soft_wrap=True)

    timer = Timer(patience, show)
    timer.daemon = True
    timer.start()
    try:
        yield lambda sent: bar.advance(task, sent)
    finally:
        timer.cancel()
        timer.join()
        if bar.live.is_started:
            bar.stop()


def titled(title: str) -> Table:
    """A table that is as wide as its title, which would be broken otherwise."""
    return Table(title=title, title_justify="left", min_width=len(title))


def run_table(run: Run) -> Table:
    """All steps of a run as a table: step, state, time."""
    table = titled(f"{run.pipeline}: {run.state} after {in_seconds(run.seconds)}")
    table.add_column("step")
    table.add_column("state")
    table.add_column("took", justify="right")
    for step in run.steps:
        mark, style = MARKS[step.state]
        took = in_seconds(step.seconds) if step.state in ("succeeded", "failed") else ""
        table.add_row(step.name, f"[{style}]{mark} {step.state}[/]", took)
    return table


def candidates_table(candidates: list[dict[str, Any]]) -> Table:
    """The candidates of a grid, hyperparameters and scores of each, as a table in the given order.

    A hyperparameter that a candidate leaves at its default is not shown for it.
    """
    table = titled("The grid's candidates, on training songs that they did not see")
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate))
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for candidate in candidates:
        table.add_row(*(f"{candidate[name]:.4g}" if name in candidate else "" for name in names))
    return table
