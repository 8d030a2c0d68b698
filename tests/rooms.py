"""The rooms of the library and the arrows between them, drawn from the code: ``.venv/bin/python tests/rooms.py``.

An arrow is an import. One that a longer way implies is left out, so that the drawing shows the order of the rooms.
"""

import re
from pathlib import Path

import grimp

PACKAGE = "jukebox_helpers"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"
DRAWING = re.compile(r"(?<=<!-- drawn by tests/rooms\.py -->\n).*?(?=<!-- end of the drawing -->)", re.DOTALL)
APART = ("__main__", "former_names")
"""What starts the command line, and the old import paths: they have no say in what may use what."""


def arrows() -> dict[str, set[str]]:
    """What each room imports: packages and modules at the top of the library, by name."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    rooms = graph.find_children(PACKAGE)
    for room in rooms:
        graph.squash_module(room)
    short = {room: room.removeprefix(f"{PACKAGE}.") for room in rooms}
    return {
        short[room]: {short[other] for other in graph.find_modules_directly_imported_by(room) if other in short}
        for room in rooms
        if short[room] not in APART
    }


def reached(rooms: set[str], found: dict[str, set[str]]) -> set[str]:
    """All rooms that are found from some rooms along the arrows."""
    seen: set[str] = set()
    while ahead := set().union(*(found[room] for room in rooms)) - seen:
        seen |= ahead
        rooms = ahead
    return seen


def drawing(found: dict[str, set[str]]) -> str:
    """The rooms and their arrows as a Mermaid graph, in Markdown."""
    packages = {room for room in found if (PAGE.parent.parent / PACKAGE / room / "__init__.py").is_file()}
    lines = [
        "```mermaid",
        "flowchart TD",
        "    accTitle: What imports what in jukebox_helpers",
        "    accDescr: Rooms are boxes, single modules have round ends. An arrow leads to what is imported.",
    ]
    lines += [f"    {room}[{room}]" if room in packages else f"    {room}([{room}])" for room in sorted(found)]
    for room in sorted(found):
        implied = reached(found[room], found)
        lines += [f"    {room} --> {other}" for other in sorted(found[room] - implied)]
    return "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    PAGE.write_text(DRAWING.sub(lambda _: drawing(arrows()), PAGE.read_text()))
