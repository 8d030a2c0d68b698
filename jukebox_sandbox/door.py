"""The one place that decides who may ask the sandbox's web address for what.

Git and Gitea's API want the password of the Secret ``git-auth``, as git sends it. The interfaces of the pipeline
server and of the model registry want the token of the Secret ``pipeline-server``, as a bearer. A browser opens a link
that logs in once, ``/dashboard/?login=…``, and has a cookie from then on; it may also log in to the pages with the
password. Nobody else is answered, and no page of another site: a foreign ``Host`` (a name that was made to lead here)
or ``Origin`` is refused.
"""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from jukebox_sandbox.login import PARAMETER, Logins
from jukebox_sandbox.state import Sandbox

Respond = Callable[..., Any]
Application = Callable[[dict[str, Any], Respond], Iterable[bytes]]

GIT_ROOT = "/api/v1/repos"
"""What is below this is Gitea's API."""

PAGES_ROOT = "/dashboard"
"""What is below this is the dashboard."""

TOKEN_ROOTS = ("/apis", "/api/model_registry", "/sandbox", "/artifacts")
"""What is below these wants the token, or the cookie that it gave."""


EVENT_LIMIT = 8 << 20
"""Bytes that a push event may have, less one; Gitea's event of 16,000 changed files has 3.1 MB."""

PUSH_LIMIT = 1 << 30
"""Bytes that what git sends may have, less one."""

LIMIT = 64 << 20
"""Bytes that any other request may have, less one."""

USED = "This link has been used, or is older than an hour. Open a new one: ./jukebox status prints it."


class Door:
    """A WSGI application that lets a request in, or refuses it.

    Args:
        settings: The sandbox.
        inside: The application behind the door.
    """

    def __init__(self, settings: Sandbox, inside: Application) -> None:
        self.inside = inside
        port = urlsplit(settings.base_url).port
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        login = settings.secret("git-auth")
        self._basic = base64.b64encode(f"{login['username']}:{login['password']}".encode())
        self._token = settings.secret("pipeline-server")["token"].encode()
        self._logins = Logins(settings, os.getpid())
        # Cookies do not know ports: another sandbox of this laptop has a cookie of another name.
        self._cookie = f"jukebox-{port}"
        # Not the token itself: what a browser keeps opens these pages, and no more.
        self._pass = hmac.new(self._token, b"cookie", hashlib.sha256).hexdigest().encode()
        self._of_git = re.compile(rf"/{re.escape(settings.user)}/[^/]+\.git/.+|{GIT_ROOT}/.*")

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer one request."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if not self._is_from_here(environ):
            return _refuse(respond, "403 Forbidden")
        if path == "/events" and method == "POST":
            return self.inside(environ, respond)  # signed: it needs no password
        if not self._of_git.fullmatch(path) and not _wants_token(path):
            code = dict(parse_qsl(environ.get("QUERY_STRING", ""))).get(PARAMETER)
            if method == "GET" and code is not None:
                return self._enter(environ, respond, code)
        if not self._knows(environ):
            challenge = "Bearer" if _wants_token(path) else 'Basic realm="Jukebox sandbox", charset="UTF-8"'
            return _refuse(respond, "401 Unauthorized", ("WWW-Authenticate", challenge))
        return self.inside(environ, respond)

    def room(self, environ: dict[str, Any]) -> int:
        """How many bytes of a request's body are read, less one; asked as soon as its headers are there.

        Args:
            environ: ``PATH_INFO``, ``REQUEST_METHOD`` and the headers.

        Returns:
            0 where the request is refused whatever its body says.
        """
        path = environ["PATH_INFO"]
        if not self._is_from_here(environ):
            return 0
        if path == "/events" and environ["REQUEST_METHOD"] == "POST":
            return EVENT_LIMIT if environ.get("HTTP_X_GITEA_SIGNATURE") else 0
        if not self._knows(environ):
            return 0
        return PUSH_LIMIT if self._of_git.fullmatch(path) else LIMIT

    def _knows(self, environ: dict[str, Any]) -> bool:
        """Whether who asks has a key to what it asks for."""
        if self._of_git.fullmatch(environ["PATH_INFO"]):
            return self._has_password(environ)
        other = self._has_token if _wants_token(environ["PATH_INFO"]) else self._has_password
        return self._has_cookie(environ) or other(environ)

    def _is_from_here(self, environ: dict[str, Any]) -> bool:
        """Whether a request names this address, and comes from no page of another one."""
        origin = environ.get("HTTP_ORIGIN")
        return environ.get("HTTP_HOST", "").lower() in self._hosts and (
            origin is None or origin.lower() in {f"http://{host}" for host in self._hosts}
        )

    def _enter(self, environ: dict[str, Any], respond: Respond, code: str) -> Iterable[bytes]:
        """Give a browser that opens a link its cookie, and send it to the same page without the code."""
        if not (self._has_cookie(environ) or self._logins.take(code)):
            return _refuse(respond, "401 Unauthorized", said=USED)
        rest = [(key, value) for key, value in parse_qsl(environ["QUERY_STRING"]) if key != PARAMETER]
        path = "/" + quote(environ["PATH_INFO"].encode("latin-1").lstrip(b"/"))  # never //another.site
        headers = [
            ("Location", f"{path}?{urlencode(rest)}" if rest else path),
            ("Set-Cookie", f"{self._cookie}={self._pass.decode()}; Path=/; HttpOnly; SameSite=Strict"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("Content-Length", "0"),
        ]
        respond("303 See Other", headers)
        return [b""]

    def _has_password(self, environ: dict[str, Any]) -> bool:
        return _matches(environ, "basic", self._basic)

    def _has_token(self, environ: dict[str, Any]) -> bool:
        return _matches(environ, "bearer", self._token)

    def _has_cookie(self, environ: dict[str, Any]) -> bool:
        try:
            found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(self._cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._pass)


def _wants_token(path: str) -> bool:
    return path in TOKEN_ROOTS or path.startswith(tuple(f"{root}/" for root in TOKEN_ROOTS))


def _matches(environ: dict[str, Any], scheme: str, expected: bytes) -> bool:
    given, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return given.lower() == scheme and hmac.compare_digest(value.strip().encode(), expected)


def _refuse(respond: Respond, status: str, *headers: tuple[str, str], said: str = "") -> list[bytes]:
    body = (said or status[4:]).encode() + b"\n"
    respond(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *headers])
    return [body]
