"""Waiting for what another process or thread does."""

from collections.abc import Callable
from typing import Any

from jukebox_helpers.waiting import wait_until

DEADLINE = 120.0
"""Seconds until a wait fails. A wait ends as soon as it can: only a machine that is busy with more ever needs them."""


def eventually(condition: Callable[[], Any]) -> Any:
    """Ask again and again until the answer is true; give it, or fail the test."""
    return wait_until(condition, DEADLINE, lambda: AssertionError("What the test waits for did not happen."), 0.05)
