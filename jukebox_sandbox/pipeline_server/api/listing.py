"""Lists in pages: ``page_size``, ``page_token``, ``sort_by`` and ``filter``, as the real server reads them.

``backend/src/apiserver/list/list.go`` and ``filter/filter.go`` of https://github.com/kubeflow/pipelines.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from flask import request
from sqlalchemy import ColumnElement, Integer, Select, and_, cast, func, or_, select
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server.api.messages import read, read_json
from jukebox_sandbox.pipeline_server.errors import invalid

DEFAULT_PAGE_SIZE = 20
MAXIMUM_PAGE_SIZE = 200
LONG = ("long_value", "longValue")
NUMBERS = {
    1: "EQUALS", 2: "NOT_EQUALS", 3: "GREATER_THAN", 5: "GREATER_THAN_EQUALS", 6: "LESS_THAN",
    7: "LESS_THAN_EQUALS", 8: "IN", 9: "IS_SUBSTRING",
}  # fmt: skip
"""Operations by the numbers of ``filter.proto``, which ``kfp.Client`` sends."""

COMPARISONS = {
    "EQUALS": lambda column, value: column == value,
    "NOT_EQUALS": lambda column, value: column != value,
    "GREATER_THAN": lambda column, value: column > value,
    "GREATER_THAN_EQUALS": lambda column, value: column >= value,
    "LESS_THAN": lambda column, value: column < value,
    "LESS_THAN_EQUALS": lambda column, value: column <= value,
    "IN": lambda column, value: column.in_(value),
    "IS_SUBSTRING": lambda column, value: column.like(f"%{value}%"),
}
VALUES = (
    "int_value", "long_value", "string_value", "timestamp_value", "int_values", "long_values", "string_values",
)  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A page of rows.

    Attributes:
        rows: The rows.
        total_size: How many rows all pages have.
        next_page_token: What asks for the next page; None where this is the last one.
    """

    rows: Sequence[Any]
    total_size: int
    next_page_token: str | None


def seconds(column: Any) -> ColumnElement[int]:
    """A time as the real server compares it, in whole seconds since 1970."""
    return func.coalesce(cast(func.strftime("%s", column), Integer), 0)


def list_page(session: Session, query: Select[Any], fields: dict[str, Any], key: Any) -> Page:
    """The page that the request asks for.

    Args:
        session: An open session.
        query: All rows that may be listed.
        fields: The columns that can be sorted and filtered by, under their names in the API.
        key: The column that orders rows that are otherwise equal.

    Returns:
        The page.

    Raises:
        RequestError: If the request asks for something else.
    """
    size = _page_size()
    sort_by, filter_text = request.args.get("sort_by", ""), request.args.get("filter", "")
    position: list[Any] | None = None
    if token := request.args.get("page_token", ""):
        known_sort, known_filter, *position = _read_token(token)
        if (sort_by and sort_by != known_sort) or (filter_text and filter_text != known_filter):
            raise invalid(
                "page token does not match the supplied sort by and/or filtering criteria. Either specify the same "
                "criteria or leave the latter empty if page token is specified"
            )
        sort_by, filter_text = known_sort, known_filter
    column, descending = _sorting(sort_by, fields)
    query = query.where(*_conditions(filter_text, fields))
    total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    if position is not None:
        query = query.where(_behind(column, key, position, descending))
    order = [one.desc() if descending else one.asc() for one in (column, key)]
    found = session.execute(query.add_columns(column, key).order_by(*order).limit(size + 1)).all()
    if len(found) <= size:
        return Page([row[0] for row in found], total, None)
    following = [sort_by, filter_text, found[size][1], found[size][2]]
    token = base64.b64encode(json.dumps(following).encode()).decode()
    return Page([row[0] for row in found[:size]], total, token)


def _behind(column: Any, key: Any, position: list[Any], descending: bool) -> ColumnElement[bool]:
    """At the position of a token, or behind it."""
    value, last = position
    if descending:
        return or_(column < value, and_(column == value, key <= last))
    return or_(column > value, and_(column == value, key >= last))


def _page_size() -> int:
    text = request.args.get("page_size", "") or "0"
    try:
        size = int(text) if len(text) < 12 and text.isascii() else None
    except ValueError:
        size = None
    if size is None or size >= 1 << 31:
        raise invalid(f"type mismatch, parameter: page_size, error: {text[:50]!r} is not an integer of 32 bits")
    if size < 0:
        raise invalid(f"The page size should be greater than 0. Got {size}")
    return min(size or DEFAULT_PAGE_SIZE, MAXIMUM_PAGE_SIZE)


def _read_token(token: str) -> list[Any]:
    try:
        known = read_json(base64.b64decode(token, validate=True))
    except ValueError:
        raise invalid("Invalid page token") from None
    if not isinstance(known, list) or len(known) != 4:
        raise invalid("Invalid page token")
    sort_by, filter_text, value, key = known
    integers = all(isinstance(one, str) or (type(one) is int and abs(one) < 1 << 63) for one in (value, key))
    if not isinstance(sort_by, str) or not isinstance(filter_text, str) or not integers:
        raise invalid("Invalid page token")
    return known


def _sorting(sort_by: str, fields: dict[str, Any]) -> tuple[Any, bool]:
    words = sort_by.lower().split() or ["created_at"]
    if len(words) > 2 or (len(words) == 2 and words[1] not in ("desc", "asc")):
        raise invalid(
            f'Received invalid sort by format "{sort_by[:100]}". Supported format: "field_name", "field_name desc", '
            'or "field_name asc"'
        )
    if words[0] not in fields:
        raise invalid(f'Invalid sorting field: "{words[0][:100]}"', f"The fields are: {', '.join(sorted(fields))}.")
    return fields[words[0]], words[-1] == "desc"


def _conditions(text: str, fields: dict[str, Any]) -> list[ColumnElement[bool]]:
    """The filter of a list, JSON of a ``V2beta1Filter``; it may be escaped as in a URL once more."""
    if not text:
        return []
    document = read_json(unquote(text))
    if isinstance(document, dict) and isinstance(document.get("predicates"), list):
        for predicate in document["predicates"]:
            _spell_out(predicate)
    return [_condition(one, fields) for one in read("V2beta1Filter", document).predicates or [] if one]


def _spell_out(predicate: Any) -> None:
    """Write as the models have it what protobuf takes in two ways: operations and integers of 64 bits."""
    if not isinstance(predicate, dict):
        return
    if type(number := predicate.get("operation")) is int:
        predicate["operation"] = NUMBERS.get(number, number)
    for key in LONG:
        if type(predicate.get(key)) is int:
            predicate[key] = str(predicate[key])
        many = predicate.get(f"{key}s")
        if isinstance(many, dict) and isinstance(many.get("values"), list):
            many["values"] = [str(one) if type(one) is int else one for one in many["values"]]


def _condition(predicate: Any, fields: dict[str, Any]) -> ColumnElement[bool]:
    operation, key = predicate.operation, predicate.key
    if operation not in COMPARISONS:
        raise invalid(f"invalid predicate operation: {operation or 'OPERATION_UNSPECIFIED'}")
    if not key:
        raise invalid(f"Predicate key cannot be empty for operation {operation}")
    given = [name for name in VALUES if getattr(predicate, name) is not None]
    if len(given) != 1:
        raise invalid(f"The predicate on {key[:100]!r} must have one value, and has {len(given)}.")
    if key not in fields:
        raise invalid(f'no support for filtering on unrecognized field "{key[:100]}"')
    name = given[0]
    if operation == "IN" and not name.endswith("_values"):
        raise invalid(f"cannot use IN operator with scalar type {name.removesuffix('_value')}")
    if operation != "IN" and name.endswith("_values"):
        raise invalid(f"cannot use scalar operator {operation} on array type {name}")
    if operation == "IS_SUBSTRING" and name != "string_value":
        raise invalid(f"cannot use non string value type {name} with operator IS_SUBSTRING")
    return COMPARISONS[operation](fields[key], _value(name, getattr(predicate, name)))


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return int((value - datetime(1970, 1, 1)).total_seconds())
    values = (value.values or []) if name.endswith("_values") else [value]
    if name.startswith("long"):
        values = [_long(one) for one in values]
    return values if name.endswith("_values") else values[0]


def _long(text: str) -> int:
    try:
        number = int(text) if len(text) < 21 else 1 << 63
    except ValueError:
        number = 1 << 63
    if not -(1 << 63) <= number < 1 << 63:
        raise invalid(f"invalid value for field long_value: {text[:50]!r} is not an integer of 64 bits")
    return number
