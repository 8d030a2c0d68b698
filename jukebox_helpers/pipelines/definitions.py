"""What the modules of the library define at their top level, and the names that a definition uses."""

import ast
import importlib.util
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from jukebox_helpers.errors import JukeboxError

PACKAGE = "jukebox_helpers"


@dataclass(frozen=True)
class Definition:
    """What a name at the top level of a module stands for: a function, a class, a literal constant, or an import.

    ``line`` is where it begins, 0 for an import of another package. ``source`` is its text with the decorators, or the
    import statements, a line for each.
    """

    module: str
    name: str
    line: int
    source: str

    @cached_property
    def packages(self) -> list[str]:
        """The packages that its source imports, anywhere in it."""
        nodes = list(ast.walk(ast.parse(self.source)))
        modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        return [module.split(".")[0] for module in modules]

    def goes_beside(self, other: "Definition") -> bool:
        """Whether both are imports that can be beside each other: the same, or modules of one package."""
        lines = {*self.source.splitlines(), *other.source.splitlines()}
        plain = all(line.startswith("import ") and " as " not in line for line in lines)
        return self.line == other.line == 0 and (len(lines) == 1 or plain)


@dataclass(frozen=True)
class Module:
    """The top level of a module, by name.

    ``definitions`` is what it defines or imports from other packages; ``ours``, of the names that come from another
    module of the library, that module and the name there.
    """

    name: str
    folder: Path
    definitions: dict[str, Definition] = field(default_factory=dict)
    ours: dict[str, tuple[str, str]] = field(default_factory=dict)


def is_literal(node: ast.expr | None) -> bool:
    """Whether an expression is a literal: numbers, texts, and tuples, lists, sets and dicts of them."""
    try:
        ast.literal_eval(node or ast.Name("nothing"))
    except (ValueError, TypeError):
        return False
    return True


def names_bound(node: ast.stmt) -> tuple[list[str], bool]:
    """The names to which a statement, not an import, gives a value; whether it is a definition that can be copied."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name], True
    bound = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)]
    whole = isinstance(node, ast.Assign | ast.AnnAssign) and is_literal(node.value) and len(bound) == 1
    return bound, whole


def read_module(name: str, text: str, file: str) -> Module:
    """Read what the top level of a module defines. Of a name that is defined twice, the last counts, as in Python."""
    module, lines = Module(name, Path(file).parent), text.split("\n")
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            read_import(node, module)
            continue
        bound, whole = names_bound(node)
        for one in bound:
            module.definitions.pop(one, None)
            module.ours.pop(one, None)
            if whole:
                first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
                source = "\n".join(lines[first - 1 : node.end_lineno]) + "\n"
                module.definitions[one] = Definition(name, one, first, source)
    return module


def read_import(node: ast.Import | ast.ImportFrom, module: Module) -> None:
    """Note in a module what an import statement at its top level brings."""
    source = getattr(node, "module", None) or ""
    if isinstance(node, ast.ImportFrom) and node.level:
        source = importlib.util.resolve_name("." * node.level + source, module.name.rpartition(".")[0])
    for alias in node.names:
        known = (alias.asname or alias.name).split(".")[0]
        if isinstance(node, ast.ImportFrom) and source.split(".")[0] == PACKAGE:
            module.ours[known] = (source, alias.name)
        elif alias.name.split(".")[0] == PACKAGE:
            module.ours[known] = (alias.name, "")
        else:
            plain, before = isinstance(node, ast.Import), module.definitions.get(known)
            several = before.source if plain and before and before.line == 0 else ""
            statement = ast.unparse(ast.Import([alias]) if plain else ast.ImportFrom(source, [alias], 0))
            module.definitions[known] = Definition(module.name, known, 0, f"{several}{statement}\n")


@cache
def library_module(name: str) -> Module:
    """A module of the library, read from its file."""
    found = importlib.util.find_spec(name)
    if not found or not found.origin:
        raise JukeboxError(f"There is no module {name} to carry from.", "Check the import.")
    return read_module(name, Path(found.origin).read_text(encoding="utf-8"), found.origin)


class WithoutLocalAnnotations(ast.NodeTransformer):
    """Drops the annotations of a function's own variables: Python never evaluates them, and 3.14 forgets them."""

    local = False

    def visit_scope(self, node: ast.AST) -> ast.AST:
        """Look into a function or a class."""
        around, self.local = self.local, not isinstance(node, ast.ClassDef)
        self.generic_visit(node)
        self.local = around
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_scope

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Turn ``name: annotation = value`` into ``name = value``."""
        if not self.local:
            return node
        return ast.Assign([node.target], node.value or ast.Constant(None), lineno=node.lineno)


@cache
def names_used(source: str) -> list[str]:
    """The names that a definition takes from its module or from Python itself, sorted.

    Decorators, defaults, bases and annotations count; an annotation in quotes and one of a local variable do not.
    """

    def visit(table: symtable.SymbolTable, top: bool) -> Iterator[str]:
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or (top and not symbol.is_assigned())):
                yield symbol.get_name()
        for child in table.get_children():
            yield from visit(child, False)

    plain = ast.unparse(WithoutLocalAnnotations().visit(ast.parse(source)))
    return sorted(set(visit(symtable.symtable(plain, "definition", "exec"), True)))
