"""Values as the driver of Kubeflow Pipelines passes them on: their types, their text, their JSON.

See backend/src/v2/metadata/converter.go and backend/src/v2/driver/resolve.go in kubeflow/pipelines.
"""

import json
from decimal import Decimal
from typing import Any

KINDS = {"NUMBER_INTEGER": "number", "NUMBER_DOUBLE": "number", "BOOLEAN": "bool", "LIST": "list"} | dict.fromkeys(
    ("STRUCT", "TASK_FINAL_STATUS", "TASK_CONFIG"), "struct"
)
"""Which kind of value fits a parameter type; every kind fits a STRING, as text."""

LARGEST_PLAIN = 1e21
"""From here on, Go writes a number with an exponent."""


class WrongValue(Exception):
    """A value that does not fit."""


def normal(value: Any) -> Any:
    """A value as a step gets it: every number is a double, and one without a fraction is written without it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_PLAIN:
        return int(value)
    if isinstance(value, list):
        return [normal(one) for one in value]
    if isinstance(value, dict):
        return {str(key): normal(one) for key, one in value.items()}
    return value


def kind_of(value: Any) -> str:
    """The kind of a value, in the words of protobuf: null, string, number, bool, list, struct."""
    if value is None:
        return "null"
    kinds = ((bool, "bool"), (str, "string"), ((int, float), "number"), (list, "list"), (dict, "struct"))
    return next(name for types, name in kinds if isinstance(value, types))


def go_json(value: Any) -> str:
    """A value as Go's encoding/json writes it: sorted keys, no spaces, what HTML would read escaped."""
    text = json.dumps(normal(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def text_of(value: Any) -> str:
    """A value as text, where a STRING is wanted."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format(Decimal(repr(normal(value))), "f")
    return go_json(value)


def fitting(name: str, value: Any, wanted: str, null_allowed: bool = False) -> Any:
    """A value as a parameter of a type takes it.

    Args:
        name: The parameter.
        value: The value.
        wanted: The parameter's type, e.g. ``NUMBER_INTEGER``.
        null_allowed: Whether null is a value that was not given, rather than a wrong one.

    Returns:
        The value; its text where the type is ``STRING``.

    Raises:
        WrongValue: If it does not fit.
    """
    if value is None and null_allowed:
        return None
    if wanted == "STRING":
        return text_of(value)
    kind = kind_of(value)
    if kind == "null":
        raise WrongValue(f"got null for input parameter {name!r}")
    if kind != KINDS[wanted]:
        raise WrongValue(f"input parameter {name!r} type mismatch: expect {wanted}, got {kind}")
    return value


def value_of(text: str, wanted: str) -> Any:
    """The value that a step wrote into the file of an output parameter; WrongValue if it is not of the type."""
    try:
        if wanted == "STRING":
            return text
        if wanted == "NUMBER_INTEGER":
            return int(text.strip())
        if wanted == "NUMBER_DOUBLE":
            return float(text.strip())
        if wanted == "BOOLEAN":
            return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}[text.strip().lower()]
        value = json.loads(text)
    except (ValueError, KeyError) as error:
        raise WrongValue(f"an output of type {wanted} is written as {text[:100]!r}: {error}") from None
    if kind_of(value) != KINDS.get(wanted):
        raise WrongValue(f"an output of type {wanted} is written as {text[:100]!r}")
    return value
