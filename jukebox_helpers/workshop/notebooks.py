"""Running the notebooks as an instructor does before class: each through papermill, then one report."""

import html
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from traitlets.config import Config

from jukebox_helpers import sandbox, workbench
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, Settings, find_settings
from jukebox_helpers.show.notes import MARKS
from jukebox_helpers.steps.constants import NOTEBOOK_COUNT
from jukebox_helpers.workshop.engine import RESULT_TYPE

NOTEBOOKS = KIT / "notebooks"

QUIET_KERNEL = Config(KernelManager={"transport": "ipc"}, NotebookClient={"extra_arguments": ["--log-level=CRITICAL"]})
"""A kernel that talks through files of this user, not through ports; its failures stand in the notebook."""


@dataclass(frozen=True)
class NotebookRun:
    """One executed notebook: the file's name without its ending, the executed file, how long it took in seconds.

    ``error`` says why it stopped, ``results`` what each check said: ``exercise``, ``outcome``, ``lines``, ``values``.
    """

    name: str
    file: Path
    seconds: float
    error: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each exercise."""
        return {result["exercise"]: result["outcome"] for result in self.results}

    @property
    def values(self) -> dict[str, Any]:
        """Everything that the checks found."""
        return {key: value for result in self.results for key, value in result["values"].items()}

    def passed(self, solve: bool = True) -> bool:
        """Whether it ran to its end, and each check said what it should."""
        expected = "passed" if solve else "not attempted"
        return not self.error and all(outcome == expected for outcome in self.outcomes.values())


def notebook_files(only: int | None = None) -> list[Path]:
    """The workshop's notebooks in order, or the one of a number; a `JukeboxError` if there is none of that number."""
    files = sorted(NOTEBOOKS.glob(f"{only if only is not None else '[0-9]'}-*.ipynb"))
    if not files:
        raise JukeboxError(f"There is no notebook {only}.", f"Name one from 0 to {NOTEBOOK_COUNT - 1}.")
    return files


def run_notebook(file: Path, folder: Path, settings: Settings, solve: bool = True) -> NotebookRun:
    """Execute one notebook, as if the attendee had opened it in the clone; a notebook that stops is no exception.

    The executed one goes to ``folder``. With ``solve``, the solution cells do the exercises.
    """
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.WARNING)
    os.environ["JUKEBOX_STATE"] = str(settings.state)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(KIT), os.environ.get("PYTHONPATH")]))
    target, error, started = folder / file.name, "", time.monotonic()
    try:
        execute_notebook(
            str(file), str(target), {"solve": solve}, kernel_name="python3", cwd=str(settings.clone() / "notebooks"),
            progress_bar=False, config=QUIET_KERNEL,
        )  # fmt: skip
    except PapermillExecutionError as problem:
        error = f"{problem.ename}: {problem.evalue}"
    return NotebookRun(file.stem, target, time.monotonic() - started, error, results_of(target))


def results_of(file: Path) -> list[dict[str, Any]]:
    """What the checks of an executed notebook said."""
    outputs = [
        output for cell in nbformat.read(file, as_version=4).cells for output in cell.get("outputs", [])
        if RESULT_TYPE in output.get("data", {})
    ]  # fmt: skip
    return [dict(output["data"][RESULT_TYPE]) for output in outputs]


@contextmanager
def platform_for_class() -> Iterator[Settings]:
    """In a workbench its own platform, on a laptop a fresh sandbox that goes with the block."""
    if workbench.NAMESPACE_FILE.is_file():
        yield find_settings()
        return
    with sandbox.temporary_state("notebooks") as state:
        yield sandbox.up(state, lifeline=True, forget=True)


def run_notebooks(
    report: Path | None, only: int | None = None, tell: Callable[[NotebookRun], None] = lambda run: None
) -> list[NotebookRun]:
    """Execute the notebooks in order, or the one of a number, with the solutions; what came of each.

    The report is an HTML file to write; ``tell`` is called after each notebook.
    """
    files, runs = notebook_files(only), []
    with tempfile.TemporaryDirectory(prefix="jukebox-executed-") as folder, platform_for_class() as settings:
        for file in files:
            runs.append(run_notebook(file, Path(folder), settings))
            tell(runs[-1])
        if report:
            report.write_text(report_page(runs))
    return runs


def report_page(runs: list[NotebookRun]) -> str:
    """One HTML page that needs no other file: a table of pass, fail and time, and the executed notebooks to look at."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", mathjax_url="", require_js_url="", jquery_url="")
    # Graphs and widgets need scripts from elsewhere: here they are told in words.
    exporter.config.NbConvertBase.display_data_priority = ["text/html", "image/png", "text/markdown", "text/plain"]
    rows, bodies = [], []
    for run in runs:
        state = "passed" if run.passed() else "failed"
        checks = ", ".join(f"{MARKS[outcome][0]} {name}" for name, outcome in run.outcomes.items())
        cells = (run.name, f"{MARKS[state][0]} {state}", f"{run.seconds:.1f}", checks, run.error)
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        body, _ = exporter.from_filename(str(run.file))
        bodies.append(f"<details><summary>{html.escape(run.name)}</summary>{body}</details>")
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Jukebox: the notebooks</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font-family: system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.5 }}
td, th {{ text-align: left; padding: .2rem .8rem; vertical-align: top }}
summary {{ font-weight: bold; cursor: pointer; padding: .3rem 0 }}
pre {{ overflow-x: auto; background: #8882; padding: .5rem; border-radius: 4px }}
img {{ max-width: 100% }}
</style>
<h1>The notebooks, executed with their solutions</h1>
<table><tr><th>notebook</th><th>state</th><th>seconds</th><th>checks</th><th>error</th></tr>
{"".join(rows)}</table>
{"".join(bodies)}
</html>
"""
