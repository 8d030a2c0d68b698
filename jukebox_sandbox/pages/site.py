"""What all pages share: the menu in the words of OpenShift AI 2.x and 3.x, headers, times, and errors as pages."""

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, cast

from babel.dates import format_datetime, format_timedelta
from flask import Flask, Response, current_app, make_response, redirect, render_template, request, send_file, url_for
from markupsafe import Markup, escape
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from jukebox_sandbox.commit_statuses import CommitStatuses
from jukebox_sandbox.configuration import Configuration
from jukebox_sandbox.door import PAGES_ROOT as ROOT
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pages.texts import shown, visible
from jukebox_sandbox.pipeline_server.errors import Code, RequestError
from jukebox_sandbox.pipeline_server.specs import SIZE_LIMIT
from jukebox_sandbox.pipeline_server.tables import now
from jukebox_sandbox.state import Sandbox

EXTENSION = "site"
HTMX = "django_htmx/static/django_htmx/htmx-2.min.js"

PAGE_SIZE = 20
"""Rows of a list on one page."""
LOG_TAIL = 100_000
"""Characters of a log that a page shows, the last ones."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What a browser is told about each page: nothing of another site, and no script but htmx."""


@dataclass(frozen=True)
class Site:
    """What the pages show beside pipelines.

    Attributes:
        sandbox: The sandbox.
        configuration: What it holds.
        engine: The database.
        statuses: The statuses of commits.
    """

    sandbox: Sandbox
    configuration: Configuration
    engine: Engine
    statuses: CommitStatuses


@dataclass(frozen=True)
class Entry:
    """A page in the menu.

    Attributes:
        endpoint: Its function.
        names: Its path in the menu: in OpenShift AI 2.x, and in 3.x.
    """

    endpoint: str
    names: dict[str, tuple[str, str]]


def _entry(endpoint: str, group: str, name: str, later_group: str = "", later_name: str = "") -> Entry:
    return Entry(endpoint, {"2": (group, name), "3": (later_group or group, later_name or name)})


MENU = (
    _entry("pipelines.show_all", "Data science pipelines", "Pipelines", "Develop & train", "Pipelines"),
    _entry("runs.show_all", "Data science pipelines", "Runs", "Develop & train", "Pipelines: Runs"),
    _entry("experiments.show_all", "Experiments", "Experiments and runs", "Develop & train"),
    _entry("registry.show_all", "Models", "Model registry", "AI hub", "Registry"),
)
"""The pages of OpenShift AI's dashboard."""

LAPTOP_MENU = (
    _entry("pipeline_runs.show_all", "OpenShift console", "Pipelines"),
    _entry("buckets.show_all", "Object storage", "Buckets"),
)
"""What the cluster has elsewhere: in OpenShift's console, in Gitea, in MinIO."""

STATES = {
    "PENDING": ("◌", "Pending", "waiting"),
    "RUNNING": ("●", "Running", "active"),
    "CANCELING": ("●", "Canceling", "active"),
    "PAUSED": ("◌", "Paused", "waiting"),
    "SUCCEEDED": ("✓", "Succeeded", "good"),
    "CACHED": ("↻", "Cached", "good"),
    "SKIPPED": ("⤼", "Skipped", "waiting"),
    "OMITTED": ("–", "Not run", "waiting"),
    "FAILED": ("✗", "Failed", "bad"),
    "FOUND": ("✓", "Found", "good"),
    "MISSING": ("✗", "Missing", "bad"),
    "CANCELED": ("⊘", "Canceled", "waiting"),
    "IGNORED": ("⊘", "Ignored", "waiting"),
    "REFUSED": ("⊘", "Refused", "waiting"),
}
"""Sign, word and look of a state: never the look alone."""


def site() -> Site:
    """The site of the application that answers this request."""
    return cast(Site, current_app.extensions[EXTENSION])


def prepare(application: Flask, one: Site) -> None:
    """Give an application what all pages share.

    Args:
        application: The application.
        one: Its site.
    """
    application.extensions[EXTENSION] = one
    application.config["MAX_CONTENT_LENGTH"] = SIZE_LIMIT + (1 << 20)
    application.jinja_env.filters.update(ago=ago, moment=moment, took=took, code=code, since_1970=since_1970)
    application.jinja_env.filters["shown"] = shown
    application.jinja_env.finalize = visible
    application.jinja_env.globals.update(STATES=STATES)
    application.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    application.context_processor(_shared)
    application.register_error_handler(Exception, explain)
    application.after_request(_add_headers)
    application.add_url_rule(f"{ROOT}/", "home", lambda: redirect(url_for("pipelines.show_all")))
    application.add_url_rule(f"{ROOT}/static/htmx.js", "htmx", _htmx)
    application.add_url_rule(f"{ROOT}/names", "change_names", _change_names, methods=["POST"])


def explain(error: Exception) -> tuple[str, int]:
    """An error as a page: what happened, and what to do next."""
    status, what, next_action = 500, "The page could not be made; the log of the sandbox says where.", ""
    if isinstance(error, SandboxError):
        not_found = isinstance(error, RequestError) and error.code == Code.NOT_FOUND
        status, what, next_action = 404 if not_found else 400, error.what, error.next_action
    elif isinstance(error, HTTPException):
        status, what = error.code or 500, error.description or error.name
    elif isinstance(error, OperationalError):
        status, what, next_action = 503, f"The database cannot be used: {error.orig}.", "Make room on the disk."
    else:
        logging.getLogger(__name__).exception("A page failed.")
    return render_template("error.html", what=what, next_action=next_action), status


def ago(time: datetime | None, reference: datetime | None = None) -> Markup:
    """A time as the dashboard shows it, ``2 minutes ago``, with the whole of it behind.

    Args:
        time: The time, in UTC, without a time zone; a dash stands for none.
        reference: Now, by the clock that counts.
    """
    if time is None:
        return Markup("–")
    distance = time - (reference or now())
    said = (
        format_timedelta(distance, add_direction=True, locale="en") if abs(distance) > timedelta(seconds=1) else "now"
    )
    return Markup('<time datetime="{}Z" title="{}">{}</time>').format(time.isoformat()[:19], moment(time), said)


def moment(time: datetime | None) -> str:
    """A time in this machine's time zone, ``25 November 2026, 11:35:31 UTC``."""
    local = time.replace(tzinfo=UTC).astimezone() if time else None
    return format_datetime(local, "d MMMM y, HH:mm:ss", locale="en") + f" {local.tzname()}" if local else "–"


def since_1970(milliseconds: int) -> datetime:
    """A time of the registry, in UTC, without a time zone."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)


def took(begin: datetime | None, end: datetime | None) -> str:
    """How long something takes or took, ``1 min 20 s``."""
    if begin is None:
        return "–"
    seconds = ((end or now()) - begin).total_seconds()
    if seconds < 1:
        return "under 1 s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def code(text: str) -> Markup:
    """A text whose parts between double backticks, as docstrings have them, are shown as code."""
    parts = escape(text).split("``")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in enumerate(parts)
    )


def without_machine_paths(text: str) -> str:
    """A text of a step without this machine's folders: as in a pod, artifacts are in ``/s3``."""
    state = re.escape(str(site().sandbox.state))
    return re.sub(rf"{state}(/pipeline-server/scratch/[0-9a-f]{{32}}(/mounts)?)?", "", text)


def paging(total: int) -> tuple[int, int]:
    """Which page of a list the request names, and how many there are."""
    pages = max(1, -(-total // PAGE_SIZE))
    return min(max(request.args.get("page", 1, int), 1), pages), pages


def log_tail(file: Path) -> str:
    """The end of a log, as much as a page shows; empty where there is none."""
    return file.read_text(errors="replace")[-LOG_TAIL:] if file.is_file() else ""


def digest(values: Any) -> str:
    """A short hash of what a page shows, to see whether that has changed."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def menu(entries: tuple[Entry, ...], names: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The groups of a menu: their names, and the pages in each, name and endpoint."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for entry in entries:
        group, name = entry.names[names]
        groups.setdefault(group, []).append((name, entry.endpoint))
    yield from groups.items()


def _shared() -> dict[str, Any]:
    names = "3" if request.cookies.get("names") == "3" else "2"
    return {
        "names": names,
        "menu": list(menu(MENU, names)),
        "laptop_menu": list(menu(LAPTOP_MENU, names)),
        "namespace": site().sandbox.namespace,
        "user": site().sandbox.user,
        "repositories": site().configuration.repositories,
    }


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint in ("static", "htmx"):
        response.headers["Cache-Control"] = "private, max-age=3600"
    return response


def _htmx() -> Response:
    return send_file(str(distribution("django-htmx").locate_file(HTMX)), mimetype="text/javascript")


def _change_names() -> AnyResponse:
    """Remember whose names the menu shall have, and go back to the page."""
    back = request.form.get("back", "")
    response = make_response(redirect(back if back.startswith(f"{ROOT}/") else f"{ROOT}/"))
    response.set_cookie("names", "3" if request.form.get("names") == "3" else "2", samesite="Strict", httponly=True)
    return response
