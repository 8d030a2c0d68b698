"""The sandbox's git repositories: bare ones seeded from the kit, and the attendee's clones of them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from jukebox_sandbox.configuration import Configuration, Repository
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.guard import PACKAGES

CREDENTIAL = Path("secrets", "sandbox", "credential")
"""The file in the state folder that answers git's question for credentials."""


def clean_environment() -> dict[str, str]:
    """This process's environment without what a surrounding git command left in it."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}


def server_environment() -> dict[str, str]:
    """The environment of git on the server's side: nobody's own configuration reaches it."""
    return {**clean_environment(), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run git.

    Args:
        folder: The repository or working copy.
        arguments: The command, e.g. ``"rev-parse", "HEAD"``.
        environment: Its environment; by default this process's, without the ``GIT_`` variables.

    Returns:
        What it prints, without the last newline.

    Raises:
        SandboxError: If git fails, with what it said.
    """
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environment or clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise SandboxError(f"git {arguments[0]} failed in {folder}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")


def seed(state: Path, user: str, configuration: Configuration) -> None:
    """Make the user's bare repositories from the checkout, where there are none yet, and set their hooks.

    Args:
        state: The sandbox's state folder.
        user: The attendee.
        configuration: What the sandbox holds.
    """
    for name, repository in configuration.repositories.items():
        bare = bare_repository(state, user, name)
        if not bare.is_dir():
            partial = bare.with_name(f".{name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            _seed_one(partial, repository, configuration.checkout)
            (partial / "description").write_text(repository.description + "\n")
            partial.rename(bare)
        # Written anew at each start: the interpreter or the kit may have moved. After seeding, which is not an event.
        if name == configuration.buckets_repository:
            _write_hook(bare, "pre-receive", state, configuration.buckets_file)
        _write_hook(bare, "post-receive", state)


def uncommitted(checkout: Path) -> list[str]:
    """The files of a checkout that differ from its last commit; the repositories begin with them as they are.

    Args:
        checkout: The folder that the sandbox serves.

    Returns:
        Their paths, sorted; empty where the folder is not a checkout.
    """
    if not _is_checkout(checkout):
        return []
    listed = git(checkout, "-c", "core.quotePath=false", "status", "--porcelain", "--untracked-files=all")
    return sorted(line[3:].split(" -> ")[-1] for line in listed.splitlines())


def bare_repository(state: Path, user: str, name: str) -> Path:
    """Where a repository of the user lives."""
    return state / "git" / user / f"{name}.git"


def _seed_one(bare: Path, repository: Repository, checkout: Path) -> None:
    """Begin a repository with the files of the working tree, edits included; nothing of the checkout changes."""
    environment = server_environment() | {
        "GIT_AUTHOR_NAME": "Jukebox",
        "GIT_AUTHOR_EMAIL": "jukebox@example.com",
        "GIT_COMMITTER_NAME": "Jukebox",
        "GIT_COMMITTER_EMAIL": "jukebox@example.com",
    }
    git(bare, "init", "--quiet", "--bare", "--template=", ".", environment=environment)
    git(bare, "symbolic-ref", "HEAD", "refs/heads/main", environment=environment)
    # No collecting of garbage in the background: it would outlive the sandbox.
    git(bare, "config", "receive.autogc", "false", environment=environment)
    git(bare, "config", "gc.auto", "0", environment=environment)
    # An index of its own, and objects that go into the new repository.
    own = {"GIT_INDEX_FILE": str(bare / "seed-index"), "GIT_OBJECT_DIRECTORY": str(bare / "objects")}
    if _is_checkout(checkout):
        objects = checkout / git(checkout, "rev-parse", "--git-path", "objects")
        environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(objects)
        git(checkout, "read-tree", "HEAD", environment=environment | own)
        git(checkout, "add", "--all", environment=environment | own)
        folder = repository.seed.relative_to(checkout.resolve()).as_posix()
        prefix = [] if folder == "." else [f"--prefix={folder}/"]
        tree = git(checkout, "write-tree", *prefix, environment=environment | own)
    else:
        environment |= {"GIT_WORK_TREE": str(repository.seed), "GIT_DIR": str(bare)}
        git(repository.seed, "add", "--all", environment=environment | own)
        tree = git(bare, "write-tree", environment=environment | own)
    (bare / "seed-index").unlink()
    commit = git(bare, "commit-tree", tree, "-m", "The workshop as it starts", environment=environment)
    git(bare, "update-ref", "refs/heads/main", commit, environment=environment)
    # Brings in the objects that the kit's own repository lent.
    git(bare, "repack", "-a", "-d", "--quiet", environment=environment)


def _is_checkout(folder: Path) -> bool:
    """Whether a folder is a git checkout of its own, with a commit."""
    try:
        top = git(folder, "rev-parse", "--show-toplevel", "HEAD").splitlines()[0]
    except SandboxError:
        return False
    return Path(top).resolve() == folder.resolve()


def _write_hook(bare: Path, hook: str, state: Path, *arguments: str) -> None:
    (bare / "hooks").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "jukebox_sandbox.hooks", hook, str(state), *arguments]
    file = bare / "hooks" / hook
    file.write_text(f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(PACKAGES))} exec {shlex.join(command)}\n")
    file.chmod(0o700)


def clone(state: Path, user: str, base_url: str, configuration: Configuration) -> None:
    """Give the attendee a clone of each repository, where there is none yet.

    Args:
        state: The sandbox's state folder.
        user: The attendee.
        base_url: The sandbox's address, which the clones get as remote.
        configuration: What the sandbox holds.
    """
    if state not in configuration.checkout.parents:
        # What the launcher of a clone hands over to.
        (state / "kit").write_text(f"{configuration.checkout}\n")
    for name in configuration.repositories:
        url = f"{base_url}/{user}/{name}.git"
        work = state / "work" / name
        if not work.exists():
            partial = work.with_name(f".{name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.parent.mkdir(parents=True, exist_ok=True)
            git(state, "clone", "--quiet", str(bare_repository(state, user, name)), str(partial))
            git(partial, "config", "user.name", user)
            git(partial, "config", "user.email", f"{user}@example.com")
            _configure(partial, state, base_url, url)
            partial.rename(work)
        elif (work / ".git").exists():
            _configure(work, state, base_url, url)


def _configure(work: Path, state: Path, base_url: str, url: str) -> None:
    """Set what a clone needs at each start: the state folder may have moved, the clone may be an older kit's."""
    _point(work, url)
    # Pipelines commit to main, too: a pull puts the attendee's own commits on top, and keeps edits without a commit,
    # also where their own configuration allows fast-forwards only.
    for key in ("pull.rebase", "pull.ff", "rebase.autoStash"):
        if not git(work, "config", "--local", "--default", "", "--get", key):
            git(work, "config", key, "true")
    _set_credential_helper(work, state / CREDENTIAL, base_url)


def _set_credential_helper(work: Path, credential: Path, base_url: str) -> None:
    """Give a clone the sandbox's password for the sandbox's own address, which may be another one at each start.

    Args:
        work: The clone.
        credential: The file with the user name and the password, as git reads them from a helper.
        base_url: The sandbox's address.
    """
    names = git(work, "config", "--local", "--name-only", "--list").splitlines()
    ours = [name for name in names if re.fullmatch(r"credential\.(http://127\.0\.0\.1:\d+\.)?helper", name)]
    for name in dict.fromkeys(ours):
        values = git(work, "config", "--local", "--get-all", name).splitlines()
        others = [value for value in values if value and str(CREDENTIAL) not in value]
        if len(others) < len(values):
            git(work, "config", "--local", "--unset-all", name)
            for value in others:  # one that the attendee added stays
                git(work, "config", "--local", "--add", name, value)
    helper = f'!f() {{ test "$1" = get && cat {shlex.quote(str(credential))}; }}; f'
    # The empty one first: nobody else's helper is asked, and none learns this password.
    for value in ("", helper):
        git(work, "config", "--local", "--add", f"credential.{base_url}.helper", value)


def _point(work: Path, url: str) -> None:
    """Make the clone's remote the sandbox's repository, unless the attendee gave it another one elsewhere."""
    remote = git(work, "config", "--default", "", "--get", "remote.origin.url")
    if remote != url and not remote.startswith(("https://", "ssh://", "git@")):
        git(work, "remote", "set-url" if remote else "add", "origin", url)
        # A company's proxy knows nothing of this laptop's loopback.
        git(work, "config", f"http.{url}.proxy", "")
