"""Revisions on the platform's git server."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import DEFAULT_PARAMETERS, Settings
from jukebox_helpers.steps.git import clone_main, git
from jukebox_helpers.steps.git_password import check_repository_address

REVISION_DIGITS = 10
"""A model version is named by this many characters of its git revision."""


@contextmanager
def git_credentials(settings: Settings) -> Iterator[None]:
    """Answer the platform's git server from the Secret ``git-auth`` while the block runs."""
    values = settings.secret("git-auth")
    if settings.git_server:
        values["JUKEBOX_GIT_SERVER"] = settings.git_server
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


class NoRevision(JukeboxError):
    """The git server has no such revision, or gives none."""


def repository_argument(settings: Settings, repo_url: str | None) -> str:
    """The data pipeline's argument ``repo_url``: the repository that keeps the version file; None means the platform's.

    An address with credentials, or of another git server, is a JukeboxError.
    """
    address = repo_url or settings.repository_url()
    with git_credentials(settings):
        try:
            check_repository_address(address)
        except ValueError as error:
            raise JukeboxError.told(error) from None
    return address


def server_head(settings: Settings, repo_url: str) -> str:
    """The revision at the head of ``main`` on a git server; empty where there is none or no answer."""
    with git_credentials(settings):
        try:
            return git("ls-remote", repo_url, "refs/heads/main").split("\t")[0]
        except (OSError, RuntimeError):
            return ""


@contextmanager
def checkout(settings: Settings, revision: str) -> Iterator[Path]:
    """Check a revision of the user's repository out into a temporary folder, which the block gets; or NoRevision."""
    with tempfile.TemporaryDirectory(prefix="jukebox-revision-") as folder:
        try:
            with git_credentials(settings):
                clone_main(settings.repository_url(), folder)
            git("checkout", "--quiet", "--detach", revision, "--", folder=folder)
        except (OSError, RuntimeError, ValueError) as error:
            told = JukeboxError.told(error)
            raise NoRevision(
                f"Revision {revision!r} cannot be checked out from {settings.repository_url()}: {told.what}",
                told.next_action or "Push the commit first, or name one that is on the server.",
            ) from None
        yield Path(folder)


def default_parameters(folder: Path) -> dict[str, Any]:
    """The parameters that a revision trains with, from its ``default_parameters.json``.

    Its key ``rankings`` is not one of them: the fetch reads it from the revision itself.
    """
    file = folder / DEFAULT_PARAMETERS
    try:
        known = json.loads(file.read_text())
        return {name: value for name, value in known.items() if name != "rankings"}
    except (OSError, ValueError, AttributeError) as error:
        raise JukeboxError(f"{file.name} cannot be read: {error}", "Correct the file, commit and push.") from None
