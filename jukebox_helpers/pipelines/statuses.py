"""What became of a push: the commit status ``jukebox/ct`` on the platform's git server.

Gitea's API: https://docs.gitea.com/api/ (repository, commit statuses)
"""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import REPOSITORY, Settings
from jukebox_helpers.workbench import certificate_authority

CONTEXT = "jukebox/ct"

State = Literal["pending", "success", "failure", "error", "warning"]

TIMEOUT = 30
"""Seconds to wait for an answer."""


@dataclass(frozen=True)
class CommitStatus:
    """A commit status.

    ``state`` is how far what was started is, ``error`` where it could not even begin; ``description`` a sentence, with
    the next action where there is one; ``context`` whose word this is.
    """

    state: State
    description: str
    context: str

    @property
    def over(self) -> bool:
        """Whether nothing more happens."""
        return self.state != "pending"


def post_status(
    settings: Settings, revision: str, state: State, description: str, repository: str = REPOSITORY
) -> None:
    """Say on the git server, in a sentence, what becomes of a revision; a JukeboxError if it does not take it."""
    known = {"context": CONTEXT, "state": state, "description": description[:1000]}
    ask(settings, "POST", repository, f"statuses/{quote(revision)}", known)


def read_statuses(settings: Settings, revision: str, repository: str = REPOSITORY) -> list[CommitStatus]:
    """What the git server knows of a revision: the newest status of each context, none where it knows nothing of it.

    A server that does not answer is a JukeboxError.
    """
    known = ask(settings, "GET", repository, f"commits/{quote(revision)}/status")
    return [
        CommitStatus(one["status"], one["description"], one["context"]) for one in (known or {}).get("statuses") or []
    ]


def read_status(settings: Settings, revision: str) -> CommitStatus | None:
    """What became of the push of a revision: its status ``jukebox/ct``; None if there is none."""
    return next((one for one in read_statuses(settings, revision) if one.context == CONTEXT), None)


def ask(settings: Settings, method: str, repository: str, path: str, body: Any = None) -> Any:
    """Ask Gitea's API about a repository; None where there is no such thing."""
    import requests

    address = settings.repository_url(repository).removesuffix(".git")
    server = address[: -len(urlsplit(address).path)]
    url = f"{server}/api/v1/repos{urlsplit(address).path}/{path}"
    secret = settings.secret("git-auth")
    authority = certificate_authority(url)
    with requests.Session() as session:
        session.trust_env = urlsplit(url).hostname != "127.0.0.1"  # no proxy for loopback
        session.auth = (secret["username"], secret["password"])
        try:
            answer = session.request(
                method, url, json=body, timeout=TIMEOUT, verify=str(authority) if authority else True
            )
            if answer.status_code == 404 and method == "GET":
                return None
            answer.raise_for_status()
            if "html" not in answer.headers.get("Content-Type", ""):
                return answer.json()
            said = "answers with a page, e.g. a login page, and not as Gitea does"
            next_action = f"Check its address, {server}, in a browser. ./jukebox doctor says what else is missing."
        except requests.HTTPError as error:
            said = f"answers {error.response.status_code} to {method} {urlsplit(url).path}"
            next_action = "Ask whether this user may write to the repository: then it may set commit statuses, too."
        except (requests.RequestException, ValueError) as error:
            said, next_action = f"does not answer: {error}", "Run ./jukebox doctor, which says what is missing."
    raise JukeboxError(f"The git server {server} {said}.", next_action)
