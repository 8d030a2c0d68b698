"""What the attacks on the promises give: how much of each runs today, and the page that a whole run writes."""

import ast
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from jukebox_helpers.settings import KIT

FOLDER = KIT / "tests" / "attacks"
PAGE = KIT / "docs" / "reliability.md"
DATE = "JUKEBOX_ATTACKS_DATE"
"""Names the day whose tenth runs, as 2026-11-25; without it, everything does."""

SHARE = 10
FILES = 4
"""On a day every fourth file of attacks has its turn."""

DAYS = 7
"""How long what an attack gave stays on the page."""


Case = TypeVar("Case")


def day() -> date | None:
    """The day whose tenth runs; None where everything does."""
    named = os.environ.get(DATE)
    return date.fromisoformat(named) if named else None


def turn(cases: Sequence[Case], name: str, when: date | None) -> list[Case]:
    """The cases whose turn it is: in ten days each comes once, and another attack begins on another day.

    Args:
        cases: All of them.
        name: The attack.
        when: The day; None for all.
    """
    if when is None:
        return list(cases)
    return list(cases[(when.toordinal() + zlib.crc32(name.encode())) % SHARE :: SHARE])


def has_its_turn(name: str, when: date | None) -> bool:
    """Whether a file of attacks runs on a day, where the whole folder is asked for."""
    names = [attack.name for attack in attacks()]
    return when is None or (names.index(name) + when.toordinal()) % FILES == 0


@dataclass(frozen=True)
class Attack:
    """A file of attacks.

    Attributes:
        name: The file's, without ``test_``.
        title: The first line of its docstring.
        promises: The numbers of the promises that it attacks.
    """

    name: str
    title: str
    promises: tuple[int, ...]

    @property
    def command(self) -> str:
        """What runs it."""
        return f"./jukebox test tests/attacks/test_{self.name}.py"


def attacks() -> list[Attack]:
    """All of them, in the order of their promises."""
    found = []
    for file in sorted(FOLDER.glob("test_*.py")):
        tree = ast.parse(file.read_text())
        promises = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PROMISES"
        ]
        title = (ast.get_docstring(tree) or "").splitlines()[0]
        found.append(Attack(file.stem.removeprefix("test_"), title, promises[0]))
    return sorted(found, key=lambda attack: (attack.promises, attack.name))


def keep(cache: Any, name: str, results: list[dict[str, Any]]) -> None:
    """Keep what a whole file of attacks gave, until all have run."""
    cache.set(f"attacks/{name}", {"day": datetime.now(UTC).date().isoformat(), "results": results})


def kept(cache: Any) -> dict[str, dict[str, Any]] | None:
    """What all the attacks gave, by name; None where one has not run for a week."""
    found = {attack.name: cache.get(f"attacks/{attack.name}", {"day": ""}) for attack in attacks()}
    oldest = (datetime.now(UTC).date() - timedelta(days=DAYS)).isoformat()
    return found if all(one["day"] > oldest for one in found.values()) else None


def page(results: dict[str, dict[str, Any]]) -> str:
    """The page, as Markdown."""
    rows = []
    for attack in attacks():
        parts = results[attack.name]["results"]
        broken = [part["test"] for part in parts if part["outcome"] != "passed"]
        rows.append(
            (
                ", ".join(map(str, attack.promises)),
                attack.title.removesuffix("."),
                f"{sum(part['cases'] for part in parts):,}",
                "holds" if not broken else f"**broken**: {', '.join(broken)}",
                f"{sum(part['seconds'] for part in parts):,.0f}",
                f"`{attack.command}`",
            )
        )
    head = ("promise", "attack", "cases", "result", "seconds", "again")
    table = ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]
    days = sorted({one["day"] for one in results.values()})
    return HEAD + "\n".join(table) + f"\n\nRun on {' and '.join(days)}. {TAIL}"


HEAD = """\
# Reliability

What happens to the nine promises of the [README](../README.md) when everything goes wrong. `./jukebox test attacks`
runs all of this and writes this page; a promise is named by its number there. The seconds are those of two processors
that did other work beside.

"""
TAIL = """\
Each line is a file that runs alone, too. The page is written when all of them have run within a week.

The cases are made, not listed: the moments at which a step can be killed are counted in a pass without a kill, tables
and requests come from hypothesis. A run ends with the list of the moments.
`JUKEBOX_ATTACKS_DATE=2026-11-25 ./jukebox test attacks` runs what has its turn on that day: of every fourth file a
tenth, so forty days in a row run everything. CI runs what is due on its day, and prints the date; that writes no page.
"""


def read_properties(properties: Sequence[tuple[str, object]]) -> tuple[int, list[str]]:
    """How many cases a test counted, and the names of those that it named."""
    found = dict(properties)
    return int(str(found.get("cases", 0))), json.loads(str(found.get("named", "[]")))
