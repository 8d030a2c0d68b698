"""Results: what a benchmark found, how it is kept, and whether it became worse."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REGRESSION = 1.5
"""A ratio that is worse by more than this factor is a regression."""


@dataclass(frozen=True)
class Figure:
    """One number that a benchmark is about.

    Attributes:
        name: What it is.
        value: The number.
        unit: ``x`` for a ratio within the run: only these are compared between runs and machines.
        better: Which way is good.
        target: What is aimed at, if anything; at full size only.
    """

    name: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


@dataclass
class Result:
    """What one benchmark found.

    Attributes:
        name: The benchmark.
        title: What it compares, in a line.
        scale: Size of the data, as a share of the full size.
        figures: The numbers that it is about.
        rows: All measurements, as a table: a row each.
        notes: What a reader must know to judge the numbers.
        machine: Where it was measured.
    """

    name: str
    title: str
    scale: float
    figures: list[Figure]
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)


def read_result(file: Path) -> Result:
    """Read a result that ``save`` wrote."""
    known = json.loads(file.read_text())
    return Result(**{**known, "figures": [Figure(**figure) for figure in known["figures"]]})


def save(result: Result, folder: Path, draw: Callable[[Result, "Axes"], None]) -> None:
    """Write a result as JSON, as a Markdown table, and as a picture.

    Args:
        result: The result.
        folder: Where to write ``<name>.json``, ``<name>.md`` and ``<name>.svg``.
        draw: Draws the result.
    """
    # Only here: a measured process imports this module too, and must stay small.
    import matplotlib
    from matplotlib.figure import Figure as Picture

    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{result.name}.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    (folder / f"{result.name}.md").write_text(in_markdown(result))
    picture = Picture(figsize=(6.4, 3.2), layout="constrained")
    axes = picture.subplots()
    axes.set_title(result.title, fontsize=10)
    draw(result, axes)
    axes.spines[["top", "right"]].set_visible(False)
    with matplotlib.rc_context({"svg.hashsalt": "jukebox"}):
        picture.savefig(folder / f"{result.name}.svg", metadata={"Date": None})


def in_markdown(result: Result) -> str:
    """A result as Markdown: the figures beside their targets, all measurements, the notes, the machine."""
    figures = [
        {
            "figure": figure.name,
            "value": f"{number(figure.value)} {figure.unit}".strip(),
            "target": ""
            if figure.target is None
            else f"{'≥' if figure.better == 'higher' else '≤'} {number(figure.target)} {figure.unit}".strip(),
            "": {True: "met", False: "**not met**", None: ""}[figure.met],
        }
        for figure in result.figures
    ]
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    return "\n".join(
        [
            f"# {result.title}",
            "",
            *table(figures),
            "",
            "![](" + result.name + ".svg)",
            "",
            *table(result.rows),
            "",
            *[f"- {note}" for note in result.notes],
            *([""] if result.notes else []),
            f"Scale {number(result.scale)}; {machine}.",
            "",
        ]
    )


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as the lines of a Markdown table."""
    if not rows:
        return []
    names = list(rows[0])
    body = [[number(row.get(name, "")) for name in names] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in [names, ["---"] * len(names), *body]]


def number(value: Any) -> str:
    """A value for people: three digits of a fraction, thousands set apart."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def regressions(before: Result, now: Result) -> list[str]:
    """Compare the ratios of two runs of a benchmark.

    Args:
        before: The committed result.
        now: The new one, at the same scale.

    Returns:
        A sentence for each ratio that became worse by more than ``REGRESSION``.
    """
    if before.scale != now.scale:
        return []
    earlier = {figure.name: figure for figure in before.figures if figure.unit == "x"}
    found = []
    for figure in now.figures:
        old = earlier.get(figure.name)
        if figure.unit != "x" or old is None:
            continue
        good, bad = (old.value, figure.value) if figure.better == "higher" else (figure.value, old.value)
        worse = good / bad if bad > 0 else float("inf")
        if worse > REGRESSION:
            found.append(
                f"{now.name}: {figure.name} is {number(figure.value)} x, was {number(old.value)} x: "
                f"{worse:.1f} times worse"
            )
    return found
