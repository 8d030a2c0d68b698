"""The words of a message: what comes from data is shown so that it forges nothing."""

import json
import re
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

FAILURE = "JUKEBOX FAILURE "
"""What the line begins with on which a step says why it failed; the rest of the line is JSON."""


def shown(value: object, most: int = 42) -> str:
    """A value that comes from data, as a message shows it: on one line, escaped and cut, so that it forges nothing.

    Args:
        value: A value of a table, the name of a column, the message of a foreign error.
        most: How many characters of its ``repr`` are shown.

    Returns:
        The ``repr``, cut.
    """
    text = repr(value[:most] if isinstance(value, str | bytes) else value)
    return text if len(text) <= most else text[: most - 1] + "…"


def without_secrets(address: str) -> str:
    """An address as it is shown and kept: without a user name, a password, and a query, which may be a signature."""
    found = re.match(r"(?s)(\w[\w+.-]*://)?([^/@:]*:(?!\d*(?:[/?#]|$)|//).*@|[^/?#]*@)?([^?#]*)", address)
    return f"{found[1] or ''}{found[3]}" if found else ""


def parts(message: str) -> tuple[str, str]:
    """What happened, and what to do next: the text of a message before its last "Next: ", and behind it.

    The last, because values of data may come before it.
    """
    what, mark, next_action = message.rpartition("Next: ")
    return (what.strip(), next_action.strip()) if mark else (message.strip(), "")


def say_why(kind: "Any", error: "Any", trace: "Any") -> None:
    """Let the last line of a step's log say why it failed, as one JSON object.

    It is the step's `sys.excepthook`: Python calls it at the end, so what the step has printed before cannot forge it.
    """
    traceback.print_exception(error, file=sys.stdout)
    what, mark, then = str(error).rpartition("Next: ")
    known = {"what": what.strip() if mark else f"{kind.__name__}: {then}", "next": then.strip() if mark else ""}
    print(FAILURE + json.dumps(known), flush=True)


def read_failure(log: str) -> tuple[str, str] | None:
    """Why a step failed, from its log: the last line of it that `say_why` printed.

    Returns:
        What happened and what to do next, on one line each, without control characters; None if no line says it.
    """
    for line in reversed(log.splitlines()):
        _, mark, said = line.partition(FAILURE)
        if mark:
            try:
                known = json.loads(said)
                return printable(str(known["what"])), printable(str(known["next"]))
            except (ValueError, KeyError, TypeError):
                return None  # cut off, or not ours: an earlier line is not the last word
    return None


def printable(text: str, most: int | None = 2_000) -> str:
    """A foreign text without what a terminal obeys: control characters escaped, line breaks kept.

    Args:
        text: The text.
        most: How many characters are kept; None for all.
    """
    shown_text = "".join(
        one if one == "\n" or (one.isprintable() and not "\u2028" <= one <= "\u2029") else repr(one)[1:-1]
        for one in text
    )
    return shown_text if most is None or len(shown_text) <= most else shown_text[: most - 1] + "…"
