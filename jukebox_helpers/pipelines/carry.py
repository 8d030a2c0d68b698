"""What a step carries: the functions, classes and constants that its function uses, as source text.

A step's container has no Jukebox. So the definitions that a step's function names are found on the syntax tree,
directly and through each other, and copied as they are written: the same bytes with every Python.
"""

import ast
import builtins
import inspect
import linecache
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.definitions import PACKAGE, Definition, Module, library_module, names_used, read_module

AROUND = ("jukebox_helpers.steps.messages", "say_why")
"""The module and name of what each step has as its `sys.excepthook`."""


@cache
def names_of_kfp() -> frozenset[str]:
    """The names that KFP's own imports bring to the top of every step's source."""
    from kfp import dsl

    return frozenset({"kfp", "dsl", *dsl.__all__})


@dataclass
class Luggage:
    """What one step carries: definitions by name."""

    step: str
    carried: dict[str, Definition] = field(default_factory=dict)

    def add(self, module: Module, name: str, user: str) -> None:
        """Add what a name that a module uses stands for, and all that this uses. ``user`` is for messages."""
        if name in module.ours:
            source, original = module.ours[name]
            if original != name:
                problem = f"it is {f'{original} of ' * bool(original)}{source}"
                raise self.refusal(module, name, user, problem, "Import each definition, and under its own name.")
            self.add(library_module(source), name, user)
        elif name in module.definitions:
            definition = module.definitions[name]
            if self.is_new(definition, module, user):
                for used in names_used(definition.source) if definition.line else ():
                    self.add(module, used, f"{module.name}.{name}")
        elif not hasattr(builtins, name) and not name.startswith("__"):
            problem = "it is not a function, a class or a literal constant there"
            raise self.refusal(module, name, user, problem, "Make it one, or import it inside the function.")

    def is_new(self, definition: Definition, module: Module, user: str) -> bool:
        """Keep a definition of a module, unless it is there already; whether it is new. ``user`` is for messages.

        One that cannot travel, or whose name stands for something else in this step, is a JukeboxError.
        """
        name, known = definition.name, self.carried.get(definition.name)
        roots = definition.packages
        if definition.line == 0 and "kfp" in roots:
            return False  # KFP's own imports bring it
        if known and known.goes_beside(definition):
            lines = sorted({*known.source.splitlines(keepends=True), *definition.source.splitlines(keepends=True)})
            self.carried[name] = Definition(known.module, name, 0, "".join(lines))
            return False
        if known and known != definition:
            raise JukeboxError(
                f"Step {self.step!r} would carry two different objects named {name!r}, of {known.module} and of "
                f"{definition.module}; the second would replace the first.",
                "Rename one of them.",
            )
        if name == self.step or name in names_of_kfp():
            problem = "that is the step's own name" if name == self.step else f"in a step, {name} is KFP's"
            raise self.refusal(module, name, user, problem, "Rename it.")
        if definition.line and PACKAGE in roots:
            problem = "it imports from the library in its body, and the step's container has no Jukebox"
            raise self.refusal(module, name, user, problem, "Import it at the top of its module.")
        for root in roots if definition.line == 0 and not module.name.startswith(PACKAGE) else ():
            if (module.folder / f"{root}.py").is_file():
                problem = f"it is of {root}.py, a file that the step's container does not have"
                raise self.refusal(module, name, user, problem, f"Move it to the step's file or to {PACKAGE}.steps.")
        self.carried[name] = definition
        return not known

    def refusal(self, module: Module, name: str, user: str, problem: str, next_action: str) -> JukeboxError:
        """The error for a name that cannot travel."""
        return JukeboxError(
            f"Step {self.step!r} cannot carry {name!r} of {module.name}, which {user} uses: {problem}.", next_action
        )

    def text(self, root: Module) -> str:
        """The source to put in front of the step's function: imports, then definitions in the order of the library.

        A module comes after those that it imports from, and within a module they are as they are written. So a base or
        a decorator comes before what needs it.
        """
        modules = dict.fromkeys([*module_order(library_module(AROUND[0])), *module_order(root)])
        order = {name: place for place, name in enumerate(modules)}
        definitions = sorted(self.carried.values(), key=lambda one: (order[one.module], one.line))
        imports = "".join(sorted({one.source for one in definitions if one.line == 0}))
        return imports + "\n" * bool(imports) + "".join(f"{one.source}\n\n" for one in definitions if one.line)


def module_order(root: Module) -> list[str]:
    """The names of a module and of those of the library that it imports from, each after what it imports from."""
    order: list[str] = []

    def visit(module: Module, above: tuple[str, ...]) -> None:
        for source in dict.fromkeys(source for source, name in module.ours.values() if name):
            if source not in order and source not in above:
                visit(library_module(source), (*above, source))
        order.append(module.name)

    visit(root, (root.name,))
    return order


def carried(function: Callable[..., Any]) -> str:
    """The source of all that a step's function needs of the library and of its own file.

    Imports of other packages, then definitions, each after those that it is made of. What cannot travel, and two
    objects of one name, are a JukeboxError.
    """
    file = inspect.getsourcefile(function) or ""
    linecache.checkcache(file)
    module = read_module(function.__module__, "".join(linecache.getlines(file)), file)
    if function.__closure__:
        names = ", ".join(map(repr, function.__code__.co_freevars))
        raise JukeboxError(
            f"Step {function.__name__!r} uses {names} of the function around it, which cannot travel.",
            "Define the step at the top of its file.",
        )
    luggage = Luggage(function.__name__)
    source = textwrap.dedent(inspect.getsource(function))
    # KFP leaves the decorators out, too.
    undecorated = "".join(source.splitlines(keepends=True)[ast.parse(source).body[0].lineno - 1 :])
    for name in names_used(undecorated):
        luggage.add(module, name, function.__name__)
    luggage.add(library_module(AROUND[0]), AROUND[1], function.__name__)
    return luggage.text(module)
