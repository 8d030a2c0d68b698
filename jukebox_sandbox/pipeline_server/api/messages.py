"""Messages as ``kfp_server_api`` has them: its models say which fields there are, and its client writes them."""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from flask import Response, request
from kfp_server_api import ApiClient, Configuration, models

from jukebox_sandbox.pipeline_server.errors import invalid

DEPTH_LIMIT = 100
"""How deeply a message may be nested."""

EPOCH = datetime(1970, 1, 1)
"""What the real server hands out where a time is not known."""

_configuration = Configuration()
_client = ApiClient(_configuration)


def make(model: Any, **fields: Any) -> Any:
    """A message of a model. Each would make a configuration of its own, which takes longer than all else."""
    return model(local_vars_configuration=_configuration, **fields)


def answer(message: Any = None) -> Response:
    """An answer that holds one message; without one, an empty object."""
    body = json.dumps(_client.sanitize_for_serialization(message) if message is not None else {}, allow_nan=False)
    return Response(body, mimetype="application/json")


def timestamp(moment: datetime | None) -> str:
    """A time as the real server writes it: whole seconds, in UTC."""
    return f"{moment or EPOCH:%Y-%m-%dT%H:%M:%SZ}"


def body(kind: str) -> Any:
    """The message in the request's body.

    Args:
        kind: The name of its model.

    Returns:
        The model.

    Raises:
        RequestError: If the body is not such a message.
    """
    return read(kind, read_json(request.get_data()))


def read_json(text: str | bytes) -> Any:
    """Parse JSON as strictly as protobuf does.

    Args:
        text: The JSON.

    Returns:
        What it holds.

    Raises:
        RequestError: If it is not JSON, or holds what JSON cannot: NaN, half of a character, a number without bound.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_float, parse_int=_int)
        json.dumps(value, ensure_ascii=False).encode()
        _check_depth(value)
        return value
    except (ValueError, RecursionError) as error:
        said = str(error)[:200] if isinstance(error, json.JSONDecodeError) else "a value is out of range"
        raise invalid(f"The request is not valid JSON: {said}.") from None


def _check_depth(value: Any) -> None:
    ahead = [(value, 1)]
    while ahead:
        one, depth = ahead.pop()
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        if inner and depth > DEPTH_LIMIT:
            raise invalid("The request is nested too deeply.")
        ahead += [(part, depth + 1) for part in inner]


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _float(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError
    return value


def _int(digits: str) -> int:
    _float(digits)
    return int(digits)


def read(kind: str, value: Any, at: str = "") -> Any:
    """Make a model of JSON; a field that the model does not have is refused, as is a value of another type.

    Args:
        kind: The type, as the models name it: ``V2beta1Run``, ``list[str]``, ``dict(str, object)``.
        value: The JSON.
        at: Where in the message this is.

    Returns:
        The model, or the value of a simple type.

    Raises:
        RequestError: If it does not fit.
    """
    if value is None or kind == "object":
        return value
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        return [read(found[1], one, f"{at}[{index}]") for index, one in enumerate(_typed(value, list, kind, at))]
    if found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        return {key: read(found[1], one, f"{at}.{key}") for key, one in _typed(value, dict, kind, at).items()}
    if kind in _SIMPLE:
        return _SIMPLE[kind](value, at)
    return _read_model(kind, value, at)


def _read_model(kind: str, value: Any, at: str) -> Any:
    model = getattr(models, kind)
    if allowed := getattr(model, "allowable_values", None):
        if value not in allowed:
            raise invalid(f"invalid value for enum field {at.lstrip('.')}: {str(value)[:100]!r}")
        return value
    names = _fields(kind)
    arguments = {}
    for key, one in _typed(value, dict, kind, at).items():
        if key not in names:
            raise invalid(f'unknown field "{key[:100]}"' + (f" in {at.lstrip('.')}" if at else ""))
        field = names[key]
        if field in arguments:
            raise invalid(f'duplicate field "{key}"')
        arguments[field] = read(model.openapi_types[field], one, f"{at}.{field}")
    return make(model, **arguments)


@cache
def _fields(kind: str) -> dict[str, str]:
    """A model's fields by the two names that protobuf takes: ``page_size``, ``pageSize``."""
    names = {}
    for attribute, key in getattr(models, kind).attribute_map.items():
        names[key] = attribute
        names[re.sub("_([a-z0-9])", lambda found: found[1].upper(), key)] = attribute
    return names


def _typed(value: Any, wanted: type, kind: str, at: str) -> Any:
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise invalid(
            f"invalid value for field {at.lstrip('.') or kind}: {json.dumps(value)[:100]} is not of type {kind}"
        )
    return value


def _datetime(value: Any, at: str) -> datetime:
    text = _typed(value, str, "timestamp", at)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise invalid(
            f"invalid value for field {at.lstrip('.')}: {text[:100]!r} is not an RFC 3339 timestamp"
        ) from None


def _int32(value: Any, at: str) -> int:
    number = int(_typed(value, int, "int", at))
    if not -(1 << 31) <= number < 1 << 31:
        raise invalid(f"invalid value for field {at.lstrip('.')}: {number} has more than 32 bits")
    return number


_SIMPLE: dict[str, Callable[[Any, str], Any]] = {
    "str": lambda value, at: _typed(value, str, "string", at),
    "bool": lambda value, at: _typed(value, bool, "bool", at),
    "int": _int32,
    "datetime": _datetime,
}
