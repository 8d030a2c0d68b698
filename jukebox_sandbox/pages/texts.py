"""Foreign texts on a page: what a browser would obey or reorder is written out, what may be a secret is left out."""

import re
from typing import Any

from markupsafe import Markup

LONGEST = 2_000
"""Characters of one value of a run."""

UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that change the direction of writing, and halves of characters."""

ADDRESS = re.compile(r"(?s)(\w[\w+.-]*://)?([^/@:]*:(?!\d*(?:[/?#]|$)|//).*@|[^/?#]*@)?([^?#]*)")
"""Scheme, user with password, host with path; what follows is a query, which may be a signature."""


def visible(value: Any) -> Any:
    """What a page writes: a text with its unseen characters written out. Every value of every template comes here."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], value)
    return value


def without_secrets(value: Any) -> Any:
    """A value as it is shown: an address without user, password and query; anything else as it is."""
    if not isinstance(value, str) or not re.match(r"\w[\w+.-]*://|[^\s/@:]+:\S*@|\S+\?\S+=", value):
        return value
    if value.startswith("s3://"):  # the rest is the name of an object, and has no query
        return value
    found = ADDRESS.match(value)
    return f"{found[1] or ''}{found[3]}" if found else ""


def shown(value: Any) -> str:
    """A value of a run: without secrets, and cut."""
    text = str(without_secrets(value))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
