"""A sandbox of one's own for a benchmark, and nothing left of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jukebox_helpers import sandbox
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.constants import CONNECTION_KEYS


@contextmanager
def fresh_sandbox(folder: Path) -> Iterator[Settings]:
    """Start a sandbox in a new folder, and stop and delete it after the block.

    Args:
        folder: Where to put its state.

    Yields:
        The sandbox's settings.
    """
    # An S3 server that the terminal names would be used in place of the sandbox's.
    aside = {key: os.environ.pop(key) for key in (*CONNECTION_KEYS, "JUKEBOX_STATE") if key in os.environ}
    state = folder / "sandbox"
    os.environ["JUKEBOX_STATE"] = str(state)
    try:
        yield sandbox.up(state, lifeline=True)
    finally:
        sandbox.down(state, delete=True)
        del os.environ["JUKEBOX_STATE"]
        os.environ.update(aside)
