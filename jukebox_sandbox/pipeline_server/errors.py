"""What a request is refused with: a sentence, and a code of google.rpc.

https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
"""

from enum import IntEnum

from jukebox_sandbox.errors import SandboxError


class Code(IntEnum):
    """The codes that this server answers with."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class RequestError(SandboxError):
    """A request that cannot be done.

    Args:
        code: The kind of failure.
        what: What is wrong, in a sentence.
        next_action: What to do now.
    """

    def __init__(self, code: Code, what: str, next_action: str = "") -> None:
        super().__init__(what, next_action)
        self.code = code


def invalid(what: str, next_action: str = "") -> RequestError:
    """The request itself is wrong."""
    return RequestError(Code.INVALID_ARGUMENT, what, next_action)


def not_found(kind: str, name: str) -> RequestError:
    """Something that is named is not there, in the words of the real server."""
    return RequestError(Code.NOT_FOUND, f"{kind} {name} not found")
