"""The one error of the sandbox: what happened, and what to do next."""


class SandboxError(Exception):
    """A failure that the reader can act on.

    Args:
        what: What happened, where and why.
        next_action: What to do now.
    """

    def __init__(self, what: str, next_action: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_action = next_action

    def __str__(self) -> str:
        return f"{self.what}\nNext: {self.next_action}" if self.next_action else self.what
