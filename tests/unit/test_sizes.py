"""What can be held in one's head: short modules and functions, or a reason beside a longer one."""

import ast

import pytest

from jukebox_helpers.settings import KIT

FILES = sorted(file for package in ("jukebox_helpers", "jukebox_sandbox") for file in (KIT / package).rglob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 300, 60


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(KIT)))
def test_modules_and_functions_are_short_or_say_why(file):
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(lines) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= LONGEST_FUNCTION:
            above = lines[node.lineno - 2].strip()
            assert above.startswith("# Long: "), f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
