"""The sandbox's one web address: git, pages to look at, and the listener for push events."""

import json
import mimetypes
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from jukebox_sandbox.configuration import Configuration
from jukebox_sandbox.door import PAGES_ROOT
from jukebox_sandbox.events import UNSIGNED, count_refused, delivered, events, judge, record
from jukebox_sandbox.git_server import GitServer, Respond
from jukebox_sandbox.parts import Later
from jukebox_sandbox.repositories import bare_repository
from jukebox_sandbox.state import Sandbox


class Web:
    """The WSGI application of a sandbox. It knows no users: the door is in front of it.

    Args:
        settings: The sandbox.
        configuration: What it holds.
        submit: Takes an event that waits for its turn.
        parts: What answers below a path, by that path.
    """

    def __init__(
        self,
        settings: Sandbox,
        configuration: Configuration,
        submit: Callable[[dict[str, Any]], None],
        parts: Mapping[str, Callable[[dict[str, Any], Respond], Iterable[bytes]]],
    ) -> None:
        self.settings = settings
        self.repositories = list(configuration.repositories)
        self.submit = submit
        self.parts = parts
        self._key = settings.secret("sandbox")["webhook_key"]
        self._git = GitServer(settings.state / "git")
        self._git_pages = Later(self._make_git_pages)
        self._taking = threading.Lock()  # of two equal deliveries, one is the first

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        if path == "/events" and environ["REQUEST_METHOD"] == "POST":
            return self._listen(environ, respond)
        user = self.settings.user
        if path == "/events":
            return _answer(respond, "200 OK", json.dumps(events(self.settings.state)).encode(), "application/json")
        # The name of the sandbox on a page of klaus leads to /user1/: the dashboard lists the repositories, too.
        if path in ("/", PAGES_ROOT, f"/{user}", f"/{user}/"):
            return _answer(respond, "302 Found", b"", headers=[("Location", f"{PAGES_ROOT}/")])
        for root, part in self.parts.items():
            if path.startswith(f"{root}/"):
                return part(environ, respond)
        if found := re.fullmatch(rf"/{user}/([\w.-]+)\.git(/.+)?/?", path):
            if found[2]:
                return self._git(environ, respond)
            # A clone's address, opened in a browser.
            return _answer(respond, "302 Found", b"", headers=[("Location", f"/{user}/{found[1]}/")])
        if path.startswith(f"/{user}/"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = f"/{user}", path.removeprefix(f"/{user}")
            return self._git_page(environ, respond)
        return _answer(respond, "404 Not Found", b"There is no such page.\n")

    def _git_page(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer with a page of klaus; with the picture itself where no page is asked for."""
        path = environ["PATH_INFO"]
        if path.endswith("/"):  # klaus makes the folders that a README links to files
            environ["PATH_INFO"] = re.sub("^(/[^/]+)/blob/", r"\1/tree/", path)
        kind = mimetypes.guess_type(path)[0] or ""
        if not kind.startswith("image/") or "text/html" in environ.get("HTTP_ACCEPT", ""):
            return self._git_pages(environ, respond)
        # klaus makes the pictures of a README addresses of pages, and gives no type to the bytes of a file.
        environ["PATH_INFO"] = re.sub("^(/[^/]+)/blob/", r"\1/raw/", path)

        def respond_as_picture(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            typed = [(name, value or kind) if name == "Content-Type" else (name, value) for name, value in headers]
            # A picture that was pushed runs no script here.
            return respond(status, [*typed, ("Content-Security-Policy", "sandbox")], *rest)

        return self._git_pages(environ, respond_as_picture)

    def _make_git_pages(self) -> Any:
        """The pages of klaus."""
        import klaus

        state, user = self.settings.state, self.settings.user
        paths: list[Path] = [bare_repository(state, user, name) for name in self.repositories]
        return klaus.make_app([str(path) for path in paths], f"Jukebox sandbox of {user}")

    def _listen(self, environ: dict[str, Any], respond: Respond) -> list[bytes]:
        state = self.settings.state
        body = environ["wsgi.input"].read()
        event, outcome, reason = judge(_headers(environ), body, self._key, self.settings.user, self.repositories)
        if not event["delivery"]:  # anybody may have sent it: it is answered, and counted
            count_refused(state)
            return _say(respond, "403 Forbidden", {"state": "refused", "detail": UNSIGNED})
        with self._taking:
            before = delivered(state, event["delivery"])
            if before is None:
                event = record(state, event, outcome, reason)
        if before is not None:
            said = {"state": before["state"], "detail": "this delivery was taken before", "id": before["id"]}
            return _say(respond, "200 OK", said)
        if outcome == "queued":
            self.submit(event)
        status = "403 Forbidden" if outcome == "refused" else "202 Accepted"
        said = {"state": outcome, "detail": reason, "id": event["id"], "version": event["version"]}
        return _say(respond, status, said)


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """The request's headers, named as HTTP does: ``X-Gitea-Event``."""
    named = {key[5:].replace("_", "-").title(): value for key, value in environ.items() if key.startswith("HTTP_")}
    return {key: str(value) for key, value in named.items()}


def _say(respond: Respond, status: str, said: dict[str, str]) -> list[bytes]:
    return _answer(respond, status, json.dumps(said).encode(), "application/json")


def _answer(
    respond: Respond,
    status: str,
    body: bytes,
    kind: str = "text/plain; charset=utf-8",
    headers: list[tuple[str, str]] | None = None,
) -> list[bytes]:
    respond(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *(headers or [])])
    return [body]
