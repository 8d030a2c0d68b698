"""The supervisor's log: on a full disk it loses what it is told, and whoever tells it goes on."""

import io
import sys
from typing import Any


class Log(io.FileIO):
    """A file whose writes do not fail."""

    def write(self, data: Any) -> int:
        """Write what there is room for."""
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def write_to_log() -> None:
    """Let standard output and standard error of this process be its log."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(Log(number, "w", closefd=False), encoding="utf-8", write_through=True) for number in (1, 2)
    )
