"""What the bare repositories' hooks run: a look at buckets before a push is taken, the push event after it.

Run as ``python -m jukebox_sandbox.hooks pre-receive|post-receive STATE [FILE]`` by git, in the bare repository.
"""

import http.client
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from jukebox_sandbox import buckets
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.events import MAIN, sign
from jukebox_sandbox.state import Sandbox, read_sandbox

COMMITS = 5
"""How many commits an event lists, as Gitea does by default."""

FIELDS = ("id", "message", "timestamp", "name", "email")
FORMAT = "%H%x00%B%x00%cI%x00%an%x00%ae%x01"


def _git(*arguments: str, bare: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=bare, capture_output=True, text=True, errors="replace")


def show_config(revision: str, file: str) -> str | None:
    """The text of the file that lists the buckets at a revision, or None if it holds none."""
    done = _git("cat-file", "blob", f"{revision}:{file}")
    return None if done.returncode else done.stdout


def pre_receive(file: str, after: str, ref: str) -> None:
    """Refuse a push to main whose buckets cannot be applied.

    Args:
        file: The file that lists the buckets.
        after: The commit that the ref shall name, zeros for a deletion.
        ref: The ref's full name.

    Raises:
        SandboxError: If the file is malformed; git shows it to whoever pushed.
    """
    if ref == MAIN and after.strip("0") and (text := show_config(after, file)) is not None:
        buckets.parse_config(text, file)


def push_event(settings: Sandbox, bare: Path, before: str, after: str, ref: str) -> dict[str, Any]:
    """The event of a push, in Gitea's shape.

    Args:
        settings: The sandbox.
        bare: The repository.
        before: The commit that the ref named, zeros if there was none.
        after: The commit that it names now, zeros for a deletion.
        ref: The ref's full name.

    Returns:
        The payload, ready for JSON.
    """
    repository = bare.name.removesuffix(".git")
    page = f"{settings.base_url}/{settings.user}/{repository}"
    known = before.strip("0") and _git("merge-base", "--is-ancestor", before, after, bare=bare).returncode == 0
    span = f"{before}..{after}" if known else after
    listing = _git("log", f"-{COMMITS}", f"--format={FORMAT}", span, bare=bare).stdout if after.strip("0") else ""
    commits = []
    for entry in listing.split("\x01\n"):
        values = dict(zip(FIELDS, entry.rstrip("\x01\n").split("\x00"), strict=False))
        if len(values) == len(FIELDS):
            author = {"name": values.pop("name"), "email": values.pop("email")}
            commits.append({**values, "url": f"{page}/commit/{values['id']}/", "author": author})
    user = {"login": settings.user, "username": settings.user, "email": f"{settings.user}@example.com"}
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "compare_url": "",
        "commits": commits,
        "total_commits": len(commits),
        "head_commit": commits[0] if commits else None,
        "repository": {
            "name": repository,
            "full_name": f"{settings.user}/{repository}",
            "owner": user,
            "html_url": f"{page}/",
            "clone_url": settings.repository_url(repository),
            "default_branch": "main",
        },
        "pusher": user,
        "sender": user,
    }


def post_receive(state: Path, bare: Path, before: str, after: str, ref: str) -> None:
    """Deliver the event of a push to the sandbox's listener.

    Args:
        state: The sandbox's state folder.
        bare: The repository.
        before: As in :func:`push_event`.
        after: As in :func:`push_event`.
        ref: The ref's full name.

    Raises:
        SandboxError: If the listener does not take it.
    """
    settings = read_sandbox(state)
    body = json.dumps(push_event(settings, bare, before, after, ref)).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Gitea-Event": "push",
        "X-Gitea-Delivery": str(uuid.uuid4()),
        "X-Gitea-Signature": sign(body, settings.secret("sandbox")["webhook_key"]),
    }
    connection = http.client.HTTPConnection(settings.base_url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", "/events", body, headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
    except (OSError, ValueError) as error:
        raise SandboxError(f"The trigger did not answer: {error}.", "./jukebox status") from error
    print(f"{bare.name.removesuffix('.git')}: {said['state']}" + (f", {said['detail']}" if said["detail"] else ""))


def main() -> int:
    """Do what git asks for every ref on standard input."""
    hook, state = sys.argv[1], Path(sys.argv[2])
    for line in sys.stdin:
        before, after, ref = line.split()
        try:
            if hook == "pre-receive":
                pre_receive(sys.argv[3], after, ref)
            else:
                post_receive(state, Path.cwd(), before, after, ref)
        except SandboxError as error:
            # What a hook prints, git shows to whoever pushed.
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
