"""Running the notebooks as an instructor does before class: each through papermill, then one report."""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from traitlets.config import Config

from jukebox_helpers import sandbox, workbench
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, Settings, find_settings
from jukebox_helpers.steps.constants import NOTEBOOK_COUNT
from jukebox_helpers.workshop.doctor import Finding, examine
from jukebox_helpers.workshop.engine import RESULT_TYPE
from jukebox_helpers.workshop.report import NotebookRun, report_page

NOTEBOOKS = KIT / "notebooks"

QUIET_KERNEL = Config(KernelManager={"transport": "ipc"}, NotebookClient={"extra_arguments": ["--log-level=CRITICAL"]})
"""A kernel that talks through files of this user, not through ports; its failures are in the notebook."""


def notebook_files(only: int | None = None) -> list[Path]:
    """The workshop's notebooks in order, or the one of a number; a `JukeboxError` if there is none of that number."""
    files = sorted(NOTEBOOKS.glob(f"{only if only is not None else '[0-9]'}-*.ipynb"))
    if not files:
        raise JukeboxError(f"There is no notebook {only}.", f"Name one from 0 to {NOTEBOOK_COUNT - 1}.")
    return files


def run_notebook(file: Path, folder: Path, settings: Settings, solve: bool = True) -> NotebookRun:
    """Execute one notebook, as if the attendee had opened it in the clone; a notebook that stops raises nothing.

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
    return NotebookRun(file.stem, target, time.monotonic() - started, error, results_of(target), solve)


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
    report: Path | None,
    only: int | None = None,
    tell: Callable[[NotebookRun], None] = lambda run: None,
    untouched: bool = False,
) -> list[NotebookRun]:
    """Execute the notebooks in order, or the one of a number, with the solutions; what came of each.

    The report is an HTML file to write, also where nothing could run; ``tell`` is called after each notebook. With
    ``untouched`` they run as an attendee finds them instead: then each check must say that nothing was attempted.
    """
    files, runs, missing = notebook_files(only), list[NotebookRun](), list[Finding]()
    with tempfile.TemporaryDirectory(prefix="jukebox-executed-") as folder:
        try:
            with platform_for_class() as settings:
                for file in files:
                    runs.append(run_notebook(file, Path(folder), settings, not untouched))
                    if runs[-1].error and not missing:
                        missing = [one for one in examine() if not one.good]
                    tell(runs[-1])
        except JukeboxError as error:
            if not report:
                raise
            for file in files[len(runs) :]:
                runs.append(NotebookRun(file.stem, Path(folder, file.name), 0.0, str(error), solved=not untouched))
                tell(runs[-1])
        if report:
            report.write_text(report_page(runs, missing))
    return runs
