"""Links that log a browser in once, so that no link holds a key: an hour, one use, and one start of the sandbox."""

import secrets

from itsdangerous import BadData, URLSafeTimedSerializer

from jukebox_sandbox.state import Sandbox

PARAMETER = "login"
VALID = 3600
"""Seconds for which a link may be used."""


def _serializer(sandbox: Sandbox, pid: int) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(sandbox.secret("pipeline-server")["token"], salt=f"login of {pid}")


def login_link(sandbox: Sandbox, pid: int, page: str) -> str:
    """A link to a page that logs in the browser that opens it first.

    Args:
        sandbox: The sandbox.
        pid: The process that holds it.
        page: The path of the page.

    Returns:
        The link. It holds nothing that would log in a second time.
    """
    code = _serializer(sandbox, pid).dumps(secrets.token_urlsafe(12))
    return f"{sandbox.base_url}{page}?{PARAMETER}={code}"


class Logins:
    """Takes the codes of links, each once.

    Args:
        sandbox: The sandbox that this process holds.
        pid: This process.
    """

    def __init__(self, sandbox: Sandbox, pid: int) -> None:
        self._serializer = _serializer(sandbox, pid)
        self._used: set[str] = set()

    def take(self, code: str) -> bool:
        """Whether a code may log in; a second time it may not."""
        try:
            number = str(self._serializer.loads(code, max_age=VALID))
        except BadData:
            return False
        if number in self._used:
            return False
        self._used.add(number)
        return True
