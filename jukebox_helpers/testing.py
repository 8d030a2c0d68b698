"""The tiers of the kit's tests, for ``./jukebox test``."""

from collections.abc import Sequence
from itertools import takewhile

import click

from jukebox_helpers.settings import KIT

TIERS = ("unit", "sandbox", "cluster", "notebooks")
"""The folders of tests, the quickest first."""


def pytest_arguments(arguments: Sequence[str]) -> list[str]:
    """Turn the arguments of ``./jukebox test``, tiers and then what pytest understands, into pytest's.

    A word before pytest's arguments that is neither a tier nor a path is a click.UsageError.
    """
    words = list(takewhile(str.isidentifier, arguments))
    for word in words:
        if word not in TIERS and not (KIT / word).exists():
            raise click.UsageError(
                f"{word!r} is not a tier of the tests.\nNext: name one or more of {', '.join(TIERS)}, or a file, "
                "as in ./jukebox test tests/unit/test_tiers.py."
            )
    return [f"tests/{word}" if word in TIERS else word for word in words] + list(arguments[len(words) :])
