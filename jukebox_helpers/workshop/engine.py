"""The exercise engine: check what is really there, give hints one at a time, show or do the solution.

Starter and solution are one source: `solution` shows the very steps that `solve` takes.
"""

import difflib
import os
import shlex
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.show.notes import Note
from jukebox_helpers.workshop.place import Workplace

Outcome = Literal["passed", "failed", "not attempted", "error"]
RESULT_TYPE = "application/vnd.jukebox.result+json"
"""How a result travels in an executed notebook, for reports and tests."""


@dataclass(frozen=True, repr=False)
class Result(Note):
    """What a check saw: the exercise, the outcome, and the values that were found, for a program to read."""

    exercise: str = ""
    outcome: Outcome = "passed"
    values: dict[str, Any] = field(default_factory=dict)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        known = {"exercise": self.exercise, "outcome": self.outcome, "lines": list(self.lines), "values": self.values}
        return {"text/plain": repr(self), "text/html": self._repr_html_(), RESULT_TYPE: known}


class Verdict(Exception):
    """Raised inside a check as soon as it knows that something is missing."""

    def __init__(self, outcome: Outcome, found: str, expected: str = "", details: str = "") -> None:
        super().__init__(found)
        self.outcome, self.found, self.expected, self.details = outcome, found, expected, details


def failed(found: str, expected: str) -> Verdict:
    """What to raise for a wrong answer."""
    return Verdict("failed", found, expected)


def not_attempted(found: str) -> Verdict:
    """What to raise where nothing was tried yet."""
    return Verdict("not attempted", found)


@dataclass(frozen=True)
class Command:
    """A step of a solution that is typed in a terminal.

    The line needs no shell. ``where`` is an attribute of the workplace, a folder: ``clone``, ``gitops``, ``practice``.
    """

    line: str
    where: str = "clone"

    def text(self, place: Workplace) -> str:
        """How a person would write it."""
        return self.line

    def do(self, place: Workplace) -> None:
        """Do it, or raise with the command's own words."""
        folder = getattr(place, self.where)
        done = subprocess.run(shlex.split(self.line), cwd=folder, env=dict(os.environ), capture_output=True, text=True)
        if done.returncode:
            raise JukeboxError(f"`{self.line}` failed in {folder}: {(done.stderr or done.stdout).strip()}")


@dataclass(frozen=True)
class Edit:
    """A step of a solution that finds a file and changes it, with the same function as everywhere else."""

    file: Callable[[Workplace], Path]
    change: Callable[[Path], Any]

    def text(self, place: Workplace) -> str:
        """The change as a diff."""
        file = self.file(place)
        before = file.read_text()
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copy(file, folder))
            self.change(copy)
            after = copy.read_text()
        lines = difflib.unified_diff(
            before.splitlines(), after.splitlines(), str(file.name), str(file.name), lineterm=""
        )
        return "\n".join(lines) or f"# {file.name} holds the solution already"

    def do(self, place: Workplace) -> None:
        """Change the file."""
        self.change(self.file(place))


@dataclass(frozen=True)
class Python:
    """A step of a solution that is a line in a notebook.

    The line is an expression about the workplace ``place``; ``names`` are the functions and classes that it calls.
    """

    line: str
    names: tuple[Any, ...] = ()

    def text(self, place: Workplace) -> str:
        """How a person would write it."""
        return self.line

    def do(self, place: Workplace) -> Any:
        """Do it, and return its value."""
        return eval(self.line, {"place": place} | {one.__name__: one for one in self.names})


Step = Command | Edit | Python


@dataclass(eq=False)
class Exercise:
    """One exercise: what `inspect` looks at, the hints from a nudge to nearly the answer, and the solution's steps.

    ``inspect`` gives what it found and values, or raises a `Verdict`; ``given`` counts the hints that were shown.
    """

    name: str
    inspect: Callable[..., tuple[str, dict[str, Any]]]
    hints: Sequence[str]
    steps: Sequence[Step]
    place: Workplace
    given: int = 0

    def __repr__(self) -> str:
        return f"Exercise {self.name}: .check(), .hint() ({len(self.hints)} of them), .solution()"

    def check(self, *answer: Any) -> Result:
        """Look at what is there: what was found, and what was expected, unless it passed.

        The answer is what the exercise was to make, where it is a value of the notebook.
        """

        def result(outcome: Outcome, *lines: str, code: str = "", values: dict[str, Any] | None = None) -> Result:
            title = f"{self.name}: {outcome}"
            return Result(title, lines, code, outcome, exercise=self.name, outcome=outcome, values=values or {})

        try:
            with as_jukebox_error():
                found, values = self.inspect(self.place, *answer)
        except Verdict as verdict:
            if verdict.outcome == "not attempted":
                return result("not attempted", verdict.found, "Do the step above, then run this cell again.")
            words = (f"Found: {verdict.found}", f"Expected: {verdict.expected}" if verdict.expected else "")
            return result(verdict.outcome, *words, code=verdict.details)
        except JukeboxError as error:
            return result("error", error.what, f"Next: {error.next_action}" if error.next_action else "")
        except Exception:
            return result("error", "The check itself could not finish; this is not your answer.",
                          "Run it again; if it stays, show the lines below to your instructor.",
                          code=traceback.format_exc(limit=-3))  # fmt: skip
        return result("passed", found, values=values)

    def hint(self) -> Note:
        """The next hint; after the last one, all of them have been seen."""
        if self.given == len(self.hints):
            return Note(f"{self.name}: no more hints", (".solution() shows what to do.",))
        self.given += 1
        return Note(f"{self.name}: hint {self.given} of {len(self.hints)}", (self.hints[self.given - 1],))

    def solution(self) -> Note:
        """What `solve` would do, to read or to type."""
        places = {"clone": self.place.clone, "gitops": self.place.gitops, "practice": self.place.practice}
        lines, folder = [], ""
        for step in self.steps:
            if isinstance(step, Command) and step.where != folder:
                folder = step.where
                lines.append(f"cd {places[folder]}")
            lines.append(step.text(self.place))
        return Note(f"{self.name}: solution", code="\n".join(lines))

    @as_jukebox_error()
    def solve(self) -> Any:
        """Do the solution, unless the check passes already, and return the value of its last step."""
        if self.check().outcome == "passed":
            return None
        value = None
        for step in self.steps:
            value = step.do(self.place)
        return value
