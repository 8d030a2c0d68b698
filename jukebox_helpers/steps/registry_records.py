"""A model version as the registry keeps it: what may be registered, and what is the same model."""

import math
import re
from collections.abc import Mapping
from typing import Any, TypedDict


class Record(TypedDict):
    """A model version in a registry; a dict, because it is shown and kept as JSON.

    Attributes:
        name: The registered model.
        version: 10 characters of the git revision.
        uri: Where the ONNX file is, ``s3://…``.
        metadata: Flat, scalar values.
        created_at: ISO 8601, UTC.
        production: Whether it was registered for production.
    """

    name: str
    version: str
    uri: str
    metadata: dict[str, Any]
    created_at: str
    production: bool


def check_registration(name: str, version: str, uri: str, metadata: "Mapping[str, Any]") -> None:
    """Refuse what the registry could not keep, before anything is written.

    Args:
        name: The registered model.
        version: The model version.
        uri: Where the ONNX file is, an ``s3://`` URI.
        metadata: Its provenance.

    Raises:
        ValueError: If a part is missing, too long or not of a kind that it keeps.
    """
    for what, value in (("model name", name), ("model version", version)):
        if not re.fullmatch(r"[\w.-]{1,100}", value):
            raise ValueError(
                f"The {what} {value!r} cannot be registered. Next: use 1 to 100 letters, digits, dots, hyphens "
                "and underscores."
            )
    if not uri.startswith("s3://"):
        raise ValueError(f"The model's address {uri!r} is not an S3 URI. Next: upload it and give s3://<bucket>/<key>.")
    if not metadata.get("model sha256"):
        raise ValueError(
            f"{name} {version} has no 'model sha256' in its metadata, so nobody could tell which bytes it is. "
            "Next: add the SHA-256 of the ONNX file."
        )
    for key, value in metadata.items():
        if problem := problem_of(key, value):
            raise ValueError(f"Metadata {key!r} of {name} {version} {problem}.")


def problem_of(key: str, value: object) -> str:
    """What keeps a registry from keeping one fact, and what to do; empty where nothing does."""
    if not re.fullmatch(r"[\w./ -]{1,100}", key):
        return "has a name that a registry refuses. Next: use letters, digits, spaces, dots and hyphens"
    if key in ("prod", "version"):
        return "is reserved. Next: choose another name for it"
    if not isinstance(value, (str, int, float)):
        return f"is a {type(value).__name__}. Next: give a str, int, float or bool; JSON text for the rest"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}. Next: give a finite number, or leave it out"
    if isinstance(value, int) and abs(value) > 999_999_999:
        return f"is {value}, and the registry's client takes nine digits. Next: give it as text, or in larger units"
    if len(str(value)) > 5000:
        return f"is {len(str(value))} characters long. Next: keep it to 5000, the whole in a file on S3"
    if re.search(r"://[^/\s]*:[^/\s]*@", str(value)):
        return "holds an address with a password in it. Next: leave the password out"
    return ""


def same_model(existing: "Record", metadata: "Mapping[str, Any]") -> None:
    """Refuse to register another model under a version that is in the registry already, with a ValueError."""
    known, new = existing["metadata"].get("model sha256"), metadata["model sha256"]
    if known != new:
        raise ValueError(
            f"{existing['name']} {existing['version']} already exists with another model: "
            f"its SHA-256 is {known or 'not recorded'}, this one's is {new}. A version never changes. "
            "Next: commit the change and train from the new revision."
        )
