"""The library's own source, for tests that there is one way to do something."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jukebox_helpers


def modules_with(found: Callable[[Any], bool]) -> set[str]:
    """The modules of the library in whose syntax tree there is such a node."""
    library = Path(jukebox_helpers.__file__).parent
    return {
        file.relative_to(library).as_posix()
        for file in library.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if found(node)
    }
