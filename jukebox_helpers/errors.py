"""The one error of the library: what happened, and what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager

from jukebox_helpers.steps.messages import parts, printable

LONGEST = 20_000
"""Characters of an error that are shown."""


class JukeboxError(Exception):
    """A failure that the reader can act on: what happened, where and why; and what to do now, a command or a change.

    Foreign words in either obey nobody: control characters are written out, wherever the error is shown.
    """

    def __init__(self, what: str, next_action: str = "") -> None:
        super().__init__(what)
        self.what = printable(what, LONGEST)
        self.next_action = printable(next_action)

    @classmethod
    def told(cls, error: Exception) -> "JukeboxError":
        """Make one from the error of a function that travels, whose message ends with "Next: …"."""
        what, next_action = parts(str(error))
        return cls(what, next_action[:1].upper() + next_action[1:])

    def __str__(self) -> str:
        return f"{self.what}\nNext: {self.next_action}" if self.next_action else self.what

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback: IPython asks an exception for it.

        The cell has failed all the same, for papermill and whoever runs all cells.
        """
        return [f"✗ {self.what}", *([f"→ Next: {self.next_action}"] if self.next_action else [])]


@contextmanager
def as_jukebox_error() -> Iterator[None]:
    """Turn the errors of functions that travel, whose messages end with "Next: …", into a `JukeboxError`.

    For a block, or as a decorator for what notebooks call. Any other error is a fault of ours and keeps its traceback.
    """
    try:
        yield
    except JukeboxError:
        raise
    except Exception as error:
        if not parts(str(error))[1]:
            raise
        raise JukeboxError.told(error) from error
