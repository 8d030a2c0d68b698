"""Running benchmarks by name, keeping what they found, and comparing it with what was committed."""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import ModuleType

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import growth, install, loop, model, prediction, prepare, server, step, versioning
from benchmarks.machine import describe_machine
from benchmarks.results import Result, number, read_result, regressions, save
from jukebox_helpers.errors import JukeboxError

COMMITTED = Path(__file__).with_name("results")
LATEST = COMMITTED / "latest"
"""Where results go that are not of full size or only to be compared; git ignores it."""

BENCHMARKS: dict[str, ModuleType] = {
    "prepare": prepare,
    "model": model,
    "growth": growth,
    "versioning": versioning,
    "loop": loop,
    "prediction": prediction,
    "step": step,
    "server": server,
}
ON_REQUEST: dict[str, tuple[ModuleType, Callable[..., Result]]] = {
    "growth-100": (growth, partial(growth.run, sizes=(0.1, 1.0, 10.0, 100.0))),
    "install": (install, install.run),
}
"""What runs only when it is named: it takes long, or downloads much."""


def bench(
    names: Sequence[str] = (),
    scale: float = 1.0,
    compare: bool = False,
    baseline: Path = COMMITTED,
    target: Path | None = None,
    console: Console | None = None,
) -> tuple[list[Result], list[str]]:
    """Run benchmarks, write their results, and compare them with earlier ones.

    Args:
        names: Which; all but those on request where none is named.
        scale: Share of the full size.
        compare: Whether to compare the ratios with the baseline.
        baseline: The folder of the results to compare with.
        target: Where to write the results. Where not given: the committed ones are replaced by a run of full size
            that compares nothing; other runs write beside them, to a folder that git ignores.
        console: Where to show progress.

    Returns:
        The results, and a sentence for each regression.

    Raises:
        JukeboxError: If a name is unknown, the scale is not positive, there is nothing to compare with, or a
            benchmark fails.
    """
    console = console or Console(stderr=True)
    unknown = [name for name in names if name not in BENCHMARKS and name not in ON_REQUEST]
    if unknown:
        raise JukeboxError(
            f"There is no benchmark {unknown[0]!r}.", f"Name some of {', '.join([*BENCHMARKS, *ON_REQUEST])}."
        )
    if not scale > 0:
        raise JukeboxError(f"The scale is {scale}.", "Give a positive number; 1 is the full size.")
    chosen = list(names) or list(BENCHMARKS)
    before = {name: earlier_result(baseline, name, scale) for name in chosen} if compare else {}
    target = target or (COMMITTED if scale == 1 and not compare else LATEST)
    results, worse = [], []
    for name in chosen:
        module, measure = ON_REQUEST[name] if name in ON_REQUEST else (BENCHMARKS[name], BENCHMARKS[name].run)
        console.print(f"[bold]{name}[/]", highlight=False)
        with tempfile.TemporaryDirectory(prefix="jukebox-bench-") as folder:
            machine = describe_machine()
            say = lambda text: console.print(f"  {escape(text)} …", highlight=False)  # noqa: E731
            result = measure(scale, Path(folder), say)
        result.machine = machine
        if scale < 1:
            # What is aimed at is meant for the full size.
            result.figures = [replace(figure, target=None) for figure in result.figures]
        save(result, target, module.draw)
        results.append(result)
        if compare:
            worse += regressions(before[name], result)
    console.print(f"Written to {target}", highlight=False, soft_wrap=True)
    return results, worse


def earlier_result(folder: Path, name: str, scale: float) -> Result:
    """The result to compare with.

    Args:
        folder: Where the results are.
        name: The benchmark.
        scale: The size of the new run.

    Returns:
        The earlier result.

    Raises:
        JukeboxError: If there is none of that scale: a ratio depends on the size.
    """
    file = folder / f"{name}.json"
    if not file.is_file():
        raise JukeboxError(f"There is no earlier result {file} to compare with.", f"Run ./jukebox bench {name} first.")
    earlier = read_result(file)
    if earlier.scale != scale:
        raise JukeboxError(
            f"{file} is of scale {earlier.scale:g}, and ratios depend on the size.",
            f"Compare with --scale {earlier.scale:g}.",
        )
    return earlier


def figures_table(results: list[Result]) -> Table:
    """The figures of all results, with targets."""
    table = Table(title="Benchmarks", title_justify="left")
    for column in ("benchmark", "figure", "value", "target", ""):
        table.add_column(column, justify="right" if column == "value" else "left")
    marks = {True: "[green]✓[/]", False: "[red]✗ not met[/]", None: ""}
    for result in results:
        for place, figure in enumerate(result.figures):
            sign = "≥" if figure.better == "higher" else "≤"
            target = "" if figure.target is None else f"{sign} {number(figure.target)}"
            value = f"{number(figure.value)} {figure.unit}"
            table.add_row("" if place else result.name, figure.name, value, target, marks[figure.met])
    return table


@click.command()
@click.argument("names", nargs=-1)
@click.option("--compare", is_flag=True, help="Report ratios that are 1.5 times worse than the committed ones.")
@click.option("--scale", default=1.0, show_default=True, help="Share of the full size.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program to read.")
@click.option("--baseline", type=click.Path(path_type=Path), default=COMMITTED, help="The results to compare with.")
@click.option("--target", type=click.Path(path_type=Path), help="Where to write the results.")
def command(
    names: tuple[str, ...], compare: bool, scale: float, as_json: bool, baseline: Path, target: Path | None
) -> None:
    """Run benchmarks: prepare, model, growth, versioning, loop, prediction, step, server.

    On request: growth-100, install.
    """
    results, worse = bench(names, scale, compare, baseline, target)
    if as_json:
        click.echo(json.dumps({"results": [asdict(one) for one in results], "regressions": worse}, indent=2))
    else:
        (Console() if sys.stdout.isatty() else Console(width=120)).print(figures_table(results))
        for sentence in worse:
            click.echo(f"Regression: {sentence}")
    if worse:
        sys.exit(1)


def main() -> None:
    """Run the command; an error of ours is one message and exit code 1."""
    try:
        command(prog_name="./jukebox bench")
    except JukeboxError as error:
        click.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(1)
