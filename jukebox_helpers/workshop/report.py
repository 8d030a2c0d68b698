"""The instructor's report: what came of each notebook, on one page that needs no other file."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, PackageLoader

from jukebox_helpers.about import kit_version
from jukebox_helpers.show.notes import MARKS
from jukebox_helpers.workshop.doctor import Finding

NAMED = ("jupyterlab", "kfp", "dvc")
"""Packages whose versions the report names."""


@dataclass(frozen=True)
class NotebookRun:
    """One executed notebook: the file's name without its ending, the executed file, how long it took in seconds.

    ``error`` says why it stopped, ``results`` what each check said: ``exercise``, ``outcome``, ``lines``, ``values``.
    ``solved`` says whether the exercises were done.
    """

    name: str
    file: Path
    seconds: float
    error: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    solved: bool = True

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each exercise."""
        return {result["exercise"]: result["outcome"] for result in self.results}

    @property
    def values(self) -> dict[str, Any]:
        """Everything that the checks found."""
        return {key: value for result in self.results for key, value in result["values"].items()}

    @property
    def passed(self) -> bool:
        """Whether it ran to its end, and each check said what it should."""
        expected = "passed" if self.solved else "not attempted"
        return not self.error and all(outcome == expected for outcome in self.outcomes.values())


def failed_cell(file: Path) -> str:
    """The id of the cell at which an executed notebook stopped; empty if it did not."""
    for cell in nbformat.read(file, as_version=4).cells if file.is_file() else ():
        if any(output["output_type"] == "error" for output in cell.get("outputs", ())):
            return cell.id
    return ""


def report_page(runs: Sequence[NotebookRun], missing: Sequence[Finding] = ()) -> str:
    """One HTML page: a table of pass, fail and time, and the executed notebooks to look at.

    One that failed is open, with a link to the cell at which it stopped. ``missing`` is what the platform lacked then.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", mathjax_url="", require_js_url="", jquery_url="")
    # Graphs and widgets need scripts from elsewhere: here they are told in words.
    exporter.config.NbConvertBase.display_data_priority = ["text/html", "image/png", "text/markdown", "text/plain"]
    rows = []
    for run in runs:
        state = "passed" if run.passed else "failed"
        rows.append(
            {
                "name": run.name,
                "states": [f"{MARKS[state][0]} {state}"],
                "wrong": not run.passed,
                "seconds": run.seconds,
                "checks": ", ".join(f"{MARKS[outcome][0]} {name}" for name, outcome in run.outcomes.items()),
                "error": run.error,
                "cell": failed_cell(run.file),
                "body": exporter.from_filename(str(run.file))[0] if run.file.is_file() else "",
            }
        )
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "kit": kit_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{name: metadata.version(name) for name in NAMED},
    }
    columns = ["with the solutions" if all(run.solved for run in runs) else "untouched"]
    template = Environment(loader=PackageLoader("jukebox_helpers.workshop", ""), autoescape=True)
    return template.get_template("report.html").render(facts=facts, columns=columns, rows=rows, missing=missing)
