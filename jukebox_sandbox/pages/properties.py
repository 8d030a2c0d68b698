"""What a model version's properties say: values as a page shows them, their links, two sets compared."""

import json
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment

from jukebox_sandbox.pages.site import site
from jukebox_sandbox.pipeline_server.registry.resources import Resource

_links = Environment(autoescape=False)


@dataclass(frozen=True)
class Property:
    """A property of a model version.

    Attributes:
        name: Its name.
        value: Its value.
        table: Its names and values, where the value is a JSON object.
        address: What it names; empty where nothing says where that is.
    """

    name: str
    value: Any
    table: dict[str, Any] | None
    address: str

    @property
    def is_doubtful(self) -> bool:
        """Whether the value says that something was made up."""
        mark = site().configuration.model_versions.doubtful
        return bool(mark) and str(self.value).startswith(mark)

    @property
    def short_name(self) -> str:
        """The name behind the group that it is shown in."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Change:
    """A property of two versions.

    Attributes:
        name: Its name.
        before: Its value in the older one; None if it has none.
        after: Its value in the newer one; None if it has none.
        difference: By how much a number changed; empty for anything else.
    """

    name: str
    before: Any
    after: Any
    difference: str = ""


def properties_of(version: Resource) -> list[Property]:
    """The properties of a model version, in the order in which they were given."""
    return [_property(name, one) for name, one in version.content.get("customProperties", {}).items()]


def data_version_of(known: list[Property]) -> Property | None:
    """The property that says which bytes a version was trained on; None where nobody can say."""
    wanted = site().configuration.model_versions.data_version
    return next((one for one in known if one.name == wanted and one.value), None)


def _property(name: str, given: dict[str, Any]) -> Property:
    value = next((one for key, one in given.items() if key.endswith("_value")), "")
    if "int_value" in given:
        value = int(value)
    table = None
    if isinstance(value, str) and value.startswith("{"):
        try:
            table = json.loads(value)
        except ValueError:
            table = None
    return Property(name, value, table if isinstance(table, dict) else None, link_of(name, value))


def link_of(name: str, value: Any) -> str:
    """Where what a property names is shown, as ``[links]`` of the configuration says; empty where it does not."""
    template = site().configuration.links.get(name, "")
    sandbox = site().sandbox
    return _links.from_string(template).render(value=str(value), user=sandbox.user) if template and value else ""


def compare(older: list[Property], newer: list[Property]) -> tuple[list[Change], list[Change]]:
    """What changed between two versions, and what did not; values that are JSON objects name by name.

    Args:
        older: The properties of the older version.
        newer: Those of the newer one.

    Returns:
        The properties that changed, and those that are the same.
    """
    before, after = _flat(older), _flat(newer)
    changes = [_change(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])]
    changed = [one for one in changes if one.before != one.after]
    return changed, [one for one in changes if one.before == one.after]


def _flat(known: list[Property]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in known:
        found |= (
            {f"{one.name}: {key}": value for key, value in one.table.items()} if one.table else {one.name: one.value}
        )
    return found


def _change(name: str, before: Any, after: Any) -> Change:
    numbers = [one for one in (before, after) if isinstance(one, int | float) and not isinstance(one, bool)]
    difference = f"{numbers[1] - numbers[0]:+.6g}" if len(numbers) == 2 and before != after else ""
    return Change(name, before, after, difference)
