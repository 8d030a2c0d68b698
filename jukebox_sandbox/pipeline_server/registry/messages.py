"""The registry's messages: what a request may say, by ``mr_openapi``'s models, and how an answer is spelled."""

import base64
import binascii
import json
import math
from typing import Any

from jukebox_sandbox.pipeline_server.registry.resources import (
    ARTIFACTS,
    MODEL_VERSION,
    Page,
    Refused,
    Resource,
    read_integer,
)

OF_THE_SERVER = ("id", "createTimeSinceEpoch", "lastUpdateTimeSinceEpoch", "artifactType")


def read(model: Any, body: dict[str, Any], strict: bool = True) -> dict[str, Any]:
    """The fields that a body gives, with the values that a database of the real server would keep.

    Args:
        model: What the API's definition allows here.
        body: The request's.
        strict: Whether an unknown field is an error; the real server passes over those of an artifact.

    Returns:
        The fields by name, those of the server left out.

    Raises:
        Refused: 400 for an unknown or malformed field, 422 for a required one that is empty.
    """
    fields: dict[str, Any] = {field.alias or name: field for name, field in model.model_fields.items()}
    if strict and (unknown := sorted(set(body) - set(fields))):
        raise Refused(400, f'json: unknown field "{unknown[0]}"')
    for name, field in fields.items():
        if field.is_required() and not body.get(name):
            raise Refused(422, f"required field '{name}' is zero value.")
    properties = body.get("customProperties") or {}
    try:
        wide = {key for key, value in properties.items() if value.get("metadataType") == "MetadataIntValue"}
        # The client's model takes nine digits, the server's column 32 bits.
        integers = {key: kept(key, "int_value", str(properties[key]["int_value"])) for key in wide}
        message = model.from_dict(body | {"customProperties": {k: v for k, v in properties.items() if k not in wide}})
        understood = json.loads(message.to_json())
        if body.get("customProperties") is not None:
            others = ((key, value.actual_instance.to_dict()) for key, value in message.custom_properties.items())
            understood["customProperties"] = integers | {key: kept(key, *value_of(sent)) for key, sent in others}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise Refused(400, f"json: {error}") from None
    return {key: value for key, value in understood.items() if key not in OF_THE_SERVER and value is not None}


def value_of(sent: dict[str, Any]) -> tuple[str, Any]:
    """The field of a property that holds its value, and the value."""
    return next((field, value) for field, value in sent.items() if field != "metadataType")


def kept(key: str, field: str, value: Any) -> dict[str, Any]:
    """A property as it comes back: a whole number of 32 bits, a struct as JSON text.

    Args:
        key: Its name.
        field: Where its value is, e.g. ``double_value``.
        value: The value.

    Returns:
        The property, as the API spells it.

    Raises:
        Refused: 400 if the server has no column for the value.
    """
    try:
        if field == "int_value":
            value = str(read_integer(value))
        elif field == "struct_value":
            value = struct(value)
        elif field == "proto_value" or (field == "double_value" and not math.isfinite(value)):
            raise ValueError(f"metadataType not found for {field}")
    except ValueError as error:
        doing = "unable to decode as int64 invalid numeric string:" if field == "int_value" else "unable to decode"
        words = f"error setting field CustomProperties: bad request: {doing} {error} for key {key}: bad request"
        raise Refused(400, words) from None
    return {field: value, "metadataType": "Metadata" + field.removesuffix("_value").title() + "Value"}


def struct(text: str | bytes) -> str:
    """The JSON text of a struct that was sent as base64."""
    try:
        value = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(value, dict):
        raise ValueError("a struct is a JSON object")
    return json.dumps(as_go_writes(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def as_go_writes(value: Any) -> Any:
    """JSON as Go writes it: a float without a fraction has none in the text either."""
    if isinstance(value, dict):
        return {key: as_go_writes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_go_writes(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def answer(resource: Resource) -> dict[str, Any]:
    """The answer that is one resource."""
    known = {"customProperties": {}} | resource.content
    known |= {
        "id": str(resource.id),
        "name": resource.own_name,
        "createTimeSinceEpoch": str(resource.created_at),
        "lastUpdateTimeSinceEpoch": str(resource.updated_at),
    }
    if resource.external_id is not None:
        known["externalId"] = resource.external_id
    if resource.kind == MODEL_VERSION:
        known["registeredModelId"] = str(resource.parent_id)
    elif resource.kind in ARTIFACTS:
        known["artifactType"] = resource.kind.replace(" ", "-")
    answered: dict[str, Any] = as_go_writes(known)
    return answered


def answer_page(found: Page) -> dict[str, Any]:
    """The answer that is a page of a list."""
    items = [answer(resource) for resource in found.items]
    return {"items": items, "nextPageToken": found.token, "pageSize": found.size, "size": len(items)}
