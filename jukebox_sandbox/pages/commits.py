"""What git says of commits: who made them, which version files they changed, which data those name."""

import configparser
import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import yaml

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pages.site import site
from jukebox_sandbox.repositories import bare_repository, server_environment
from jukebox_sandbox.repositories import git as run_git

MAIN = "refs/heads/main"
VERSION_FILES = "*.dvc"
"""Files that name the bytes of a version; https://dvc.org/doc/user-guide/project-structure/dvc-files."""


@dataclass(frozen=True)
class Commit:
    """A commit.

    Attributes:
        repository: The repository's name.
        revision: Its id.
        author: Who wrote it.
        subject: The first line of its message.
        time: When, in UTC, without a time zone.
    """

    repository: str
    revision: str
    author: str
    subject: str
    time: datetime

    @property
    def address(self) -> str:
        """The path of its page."""
        return f"/{site().sandbox.user}/{self.repository}/commit/{self.revision}/"


@dataclass(frozen=True)
class VersionFile:
    """A version file, as a commit has it.

    Attributes:
        repository: The repository's name.
        path: Its path in the repository.
        revision: The commit.
        md5: The hash of the data; empty where the file is not there, or names none.
        size: Bytes of the data; None where the file does not say.
        sources: The S3 addresses that the data was imported from.
    """

    repository: str
    path: str
    revision: str
    md5: str = ""
    size: int | None = None
    sources: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """The path of its page."""
        return f"/{site().sandbox.user}/{self.repository}/blob/{self.revision}/{quote(self.path)}"


def git(repository: str, *arguments: str) -> str:
    """What git prints in a repository of the sandbox; empty where it refuses."""
    bare = bare_repository(site().sandbox.state, site().sandbox.user, repository)
    with contextlib.suppress(SandboxError):
        return run_git(bare, *arguments, environment=server_environment())
    return ""


def find_commits(repository: str, revisions: Iterable[str]) -> dict[str, Commit]:
    """Commits by their ids; those that are not there are left out."""
    wanted = [one for one in dict.fromkeys(revisions) if re.fullmatch("[0-9a-f]{40}", one)]
    if not wanted or repository not in site().configuration.repositories:
        return {}
    lines = git(repository, "log", "--no-walk", "--ignore-missing", "--format=%H%x00%an%x00%s%x00%ct", *wanted, "--")
    found = {}
    for line in lines.splitlines():
        revision, author, subject, seconds = line.split("\0")
        time = datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None)
        found[revision] = Commit(repository, revision, author, subject, time)
    return found


def version_files(repository: str, revision: str) -> list[VersionFile]:
    """The version files of a commit."""
    paths = git(repository, "ls-tree", "-r", "--name-only", "-z", revision).split("\0")
    return [version_file(repository, revision, path) for path in paths if path.endswith(".dvc")]


def changed_version_files(repository: str, revision: str) -> list[tuple[VersionFile, VersionFile]]:
    """The version files that a commit changed, as they were and as they are."""
    listed = git(repository, "diff-tree", "--no-commit-id", "--name-only", "-r", "-z", "--root", revision, "--")
    paths = [path for path in listed.split("\0") if path.endswith(".dvc")]
    return [(version_file(repository, f"{revision}^", one), version_file(repository, revision, one)) for one in paths]


def version_file(repository: str, revision: str, path: str) -> VersionFile:
    """A version file of a commit; one without a hash where it is not there, or is not one."""
    known = _yaml(git(repository, "cat-file", "blob", f"{revision}:{path}"))
    out = _first(known.get("outs"))
    remotes = _remotes(repository, revision)
    sources = [_resolve(str(one.get("path", "")), remotes) for one in _dicts(known.get("deps"))]
    size = out.get("size")
    return VersionFile(
        repository, path, revision, str(out.get("md5", "")), size if isinstance(size, int) else None, tuple(sources)
    )


def history(repository: str) -> dict[str, VersionFile]:
    """Every hash that a version file on ``main`` has ever named, with the newest commit that does."""
    found: dict[str, VersionFile] = {}
    revision = path = ""
    log = git(repository, "log", "-p", "--format=commit %H", MAIN, "--", VERSION_FILES)
    for line in log.splitlines():
        if line.startswith("commit "):
            revision = line.removeprefix("commit ")
        elif line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/")
        elif match := re.fullmatch(r"\+[- ]+md5: ([0-9a-f]{32})", line):
            found.setdefault(match[1], VersionFile(repository, path, revision, match[1]))
    return found


def _yaml(text: str) -> dict[str, Any]:
    with contextlib.suppress(yaml.YAMLError, RecursionError):
        known = yaml.safe_load(text)
        return known if isinstance(known, dict) else {}
    return {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _first(value: Any) -> dict[str, Any]:
    return next(iter(_dicts(value)), {})


def _remotes(repository: str, revision: str) -> dict[str, str]:
    """The addresses of DVC's remotes by name, as a commit's ``.dvc/config`` has them."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    with contextlib.suppress(configparser.Error):
        parser.read_string(git(repository, "cat-file", "blob", f"{revision}:.dvc/config"))
    named = {match[1]: name for name in parser.sections() if (match := re.search(r'remote "(.+?)"', name))}
    return {name: parser.get(section, "url", fallback="") for name, section in named.items()}


def _resolve(path: str, remotes: dict[str, str]) -> str:
    if match := re.fullmatch(r"remote://([^/]+)/(.+)", path):
        return f"{remotes.get(match[1], '').rstrip('/')}/{match[2]}"
    return path
