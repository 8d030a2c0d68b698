"""Hides from Python what a step does not declare, as if it were not installed.

A copy is the ``sitecustomize.py`` of a folder on ``PYTHONPATH``, so that each Python below a step reads it, too.
It is by itself: nothing of this package can be imported where it runs.
"""

import json
import os
import sys

METADATA = ("importlib.metadata", "importlib_metadata")
"""Where plug-ins are looked up."""


class Guard:
    """A finder that comes first and refuses hidden names in the words of Python."""

    def __init__(self, known: dict[str, list[str]]) -> None:
        self.hidden = frozenset(known["hidden"])
        self.distributions = frozenset(known["distributions"])

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """Refuse a hidden name; others are for the finders behind."""
        parts = name.split(".", 2)
        if parts[0] in self.hidden or ".".join(parts[:2]) in self.hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in METADATA:
            return self.with_fewer_distributions(name, path)
        return None

    def with_fewer_distributions(self, name: str, path: object) -> object:
        """The module of a name, which will show declared distributions only."""
        import importlib.machinery

        spec = importlib.machinery.PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_hide(module: object) -> None:
                execute(module)  # type: ignore[arg-type]
                self.hide_distributions(module)

            spec.loader.exec_module = execute_and_hide  # type: ignore[method-assign]
        return spec

    def hide_distributions(self, metadata: object) -> None:
        """Let only the declared distributions be found: their plug-ins are looked up there."""
        finder = metadata.MetadataPathFinder  # type: ignore[attr-defined]
        found = finder.find_distributions

        def shown(*arguments: object, **options: object) -> object:
            for distribution in found(*arguments, **options):
                name = distribution.metadata["Name"] or ""
                parts = name.lower().replace("_", "-").replace(".", "-").split("-")
                if "-".join(filter(None, parts)) in self.distributions:
                    yield distribution

        finder.find_distributions = shown


def install(folder: str) -> Guard:
    """Put the guard first.

    Args:
        folder: Holds ``known.json``.

    Returns:
        The guard.
    """
    with open(os.path.join(folder, "known.json"), encoding="utf-8") as file:
        guard = Guard(json.load(file))
    sys.meta_path.insert(0, guard)  # type: ignore[arg-type]
    # Folders that a .pth file adds, e.g. a checkout: no container has them.
    own = (sys.prefix, sys.base_prefix, folder)
    sys.path[:] = [path for path in sys.path if not path or path.startswith(own)]
    for name in METADATA:
        if name in sys.modules:
            guard.hide_distributions(sys.modules[name])
    return guard


if __name__ == "sitecustomize":
    install(os.path.dirname(os.path.abspath(__file__)))
