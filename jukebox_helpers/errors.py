"""The one error of the library: what happened, and what to do next."""


class JukeboxError(Exception):
    """A failure that the reader can act on.

    Args:
        what: What happened, where and why, in one or a few sentences.
        next_action: What to do now: the command to run or the thing to change.
    """

    def __init__(self, what: str, next_action: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_action = next_action

    @classmethod
    def told(cls, error: Exception) -> "JukeboxError":
        """Make one from the error of a function that travels, whose message ends with "Next: …"."""
        what, _, next_action = str(error).partition(" Next: ")
        return cls(what, next_action[:1].upper() + next_action[1:])

    def __str__(self) -> str:
        return f"{self.what}\nNext: {self.next_action}" if self.next_action else self.what
