"""A folder says where its code runs, and arrows point down: contracts in pyproject.toml, a drawing in docs."""

import rooms
from importlinter.api import use_cases

from jukebox_helpers.settings import KIT


def test_every_import_keeps_the_contracts():
    assert use_cases.lint_imports(str(KIT / "pyproject.toml"), cache_dir=None, no_logo=True), "see what is printed"


def test_an_arrow_that_a_longer_way_implies_is_not_drawn():
    drawn = rooms.drawing({"cli": {"show", "steps"}, "show": {"steps"}, "steps": set(), "errors": set()})
    assert "cli --> show\n" in drawn and "show --> steps\n" in drawn and "errors([errors])" in drawn
    assert "cli --> steps" not in drawn


def test_the_drawing_is_that_of_the_code():
    (drawn,) = rooms.DRAWING.findall(rooms.PAGE.read_text())
    assert drawn == rooms.drawing(rooms.arrows()), "Draw it anew: .venv/bin/python tests/rooms.py"
