"""The part of Gitea's API that a push needs: commit statuses, whether a branch can be pushed to, and the webhook.

API: https://docs.gitea.com/api (``/repos/{owner}/{repo}/statuses/{sha}``, ``…/commits/{ref}/status``,
``…/branches/{branch}``, ``…/hooks``, ``…/hooks/{id}/tests``).
"""

import re
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from jukebox_sandbox.commit_statuses import STATES, CommitStatus, CommitStatuses, combined
from jukebox_sandbox.door import GIT_ROOT
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.events import MAIN
from jukebox_sandbox.hooks import post_receive
from jukebox_sandbox.repositories import bare_repository, git, server_environment
from jukebox_sandbox.state import Sandbox

BODY_LIMIT = 1 << 20
"""Bytes that the body of a request may have."""

PAGE, LARGEST_PAGE = 30, 50
"""Statuses of a page, as Gitea gives them: without a wish, and at most."""


def make_app(sandbox: Sandbox, repositories: list[str], statuses: CommitStatuses) -> Flask:
    """The application that answers below :data:`.door.GIT_ROOT`. It knows no users: put it behind authentication.

    Args:
        sandbox: The sandbox.
        repositories: The names of its repositories.
        statuses: The statuses of their commits.

    Returns:
        The application.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.json.sort_keys = False  # type: ignore[attr-defined]
    api = _Api(sandbox, repositories, statuses)
    repository = f"{GIT_ROOT}/<owner>/<name>"
    app.add_url_rule(f"{repository}/statuses/<sha>", view_func=api.create, methods=["POST"])
    app.add_url_rule(f"{repository}/statuses/<ref>", view_func=api.history)
    app.add_url_rule(f"{repository}/commits/<path:ref>/statuses", view_func=api.history)
    app.add_url_rule(f"{repository}/commits/<path:ref>/status", view_func=api.combine)
    app.add_url_rule(f"{repository}/branches/<path:branch>", view_func=api.branch)
    app.add_url_rule(f"{repository}/hooks", view_func=api.hooks)
    app.add_url_rule(f"{repository}/hooks/1/tests", view_func=api.deliver, methods=["POST"])
    app.register_error_handler(HTTPException, _refuse)
    return app


def find_commit(bare: Path, ref: str) -> str | None:
    """The commit that a branch, a tag or an id of at least 7 digits names, in this order; None if none does."""
    environment = server_environment()
    try:
        for name in (f"refs/heads/{ref}", f"refs/tags/{ref}"):
            listed = git(bare, "for-each-ref", "--format=%(refname)", "--", name, environment=environment)
            if name in listed.splitlines():
                return git(bare, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", environment=environment)
        if re.fullmatch("[0-9a-fA-F]{7,40}", ref):
            return git(bare, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", environment=environment)
    except SandboxError:  # no commit of that name
        pass
    return None


class _Api:
    def __init__(self, sandbox: Sandbox, repositories: list[str], statuses: CommitStatuses) -> None:
        self.sandbox, self.repositories, self.statuses = sandbox, repositories, statuses

    def create(self, owner: str, name: str, sha: str) -> tuple[Response, int]:
        revision = self._commit(self._repository(owner, name), sha)
        body = request.get_json(force=True, silent=True)
        if not isinstance(body, dict):
            abort(422, "[]: the body is not a JSON object")
        values = {key: body.get(key) or "" for key in ("state", "context", "description", "target_url")}
        for key, value in values.items():
            if not isinstance(value, str):
                abort(422, f"[{key}]: is not a text")
        if values["state"] not in STATES:
            abort(422, f"[State]: {values['state'][:40]!r} is not one of {', '.join(STATES)}")
        return jsonify(self._status(self.statuses.post(name, revision, **values))), 201

    def history(self, owner: str, name: str, ref: str) -> Response:
        found = self.statuses.of(name, self._commit(self._repository(owner, name), ref))
        if state := request.args.get("state", ""):
            found = [status for status in found if status.state == state]
        if request.args.get("sort") in ("oldest", "leastupdate"):
            found.reverse()
        return self._page([self._status(status) for status in found])

    def combine(self, owner: str, name: str, ref: str) -> Response:
        revision = self._commit(self._repository(owner, name), ref)
        latest = list(self.statuses.latest(name, revision).values())
        page = f"{self.sandbox.base_url}{GIT_ROOT}/{owner}/{name}/commits/{revision}"
        return jsonify(
            state=combined(status.state for status in latest),
            sha=revision,
            total_count=len(latest),
            statuses=[self._status(status) for status in latest],
            repository={
                "name": name,
                "full_name": f"{owner}/{name}",
                "clone_url": self.sandbox.repository_url(name),
                "default_branch": "main",
            },
            commit_url=page,
            url=f"{page}/status",
        )

    def branch(self, owner: str, name: str, branch: str) -> Response:
        bare = self._repository(owner, name)
        environment = server_environment()
        listed = git(bare, "for-each-ref", "--format=%(refname)", "--", f"refs/heads/{branch}", environment=environment)
        if f"refs/heads/{branch}" not in listed.splitlines():
            abort(404, f"branch does not exist [name: {branch}]")
        form = "%H%x00%an%x00%ae%x00%cn%x00%ce%x00%cI%x00%B"
        shown = git(bare, "show", "--no-patch", f"--format={form}", f"refs/heads/{branch}", environment=environment)
        revision, author, author_email, committer, committer_email, moment, message = shown.split("\0", 6)
        commit = {
            "id": revision,
            "message": message,
            "url": f"{self.sandbox.base_url}/{owner}/{name}/commit/{revision}/",
            "author": {"name": author, "email": author_email, "username": ""},
            "committer": {"name": committer, "email": committer_email, "username": ""},
            "timestamp": moment,
        }
        # Whoever has the password may push to every branch here.
        return jsonify(name=branch, commit=commit, protected=False, user_can_push=True, user_can_merge=True)

    def hooks(self, owner: str, name: str) -> Response:
        self._repository(owner, name)
        config = {"url": f"{self.sandbox.base_url}/events", "content_type": "json"}
        return jsonify([{"id": 1, "type": "gitea", "active": True, "events": ["push"], "config": config}])

    def deliver(self, owner: str, name: str) -> tuple[str, int]:
        """Deliver a push of the head of main to itself, which is what Gitea's test of a webhook does."""
        bare = self._repository(owner, name)
        head = self._commit(bare, "main")
        post_receive(self.sandbox.state, bare, head, head, MAIN)
        return "", 204

    def _repository(self, owner: str, name: str) -> Path:
        if owner != self.sandbox.user or name not in self.repositories:
            abort(404, "The target couldn't be found.")
        return bare_repository(self.sandbox.state, owner, name)

    def _commit(self, bare: Path, ref: str) -> str:
        if not (revision := find_commit(bare, ref)):
            abort(404, f"object does not exist [id: {ref[:60]}, rel_path: ]")
        return revision

    def _page(self, found: list[dict[str, Any]]) -> Response:
        number = max(request.args.get("page", 1, int), 1)
        limit = request.args.get("limit", PAGE, int)
        size = min(limit, LARGEST_PAGE) if limit > 0 else PAGE
        answer = jsonify(found[(number - 1) * size : number * size])
        answer.headers["X-Total-Count"] = str(len(found))
        return answer

    def _status(self, status: CommitStatus) -> dict[str, Any]:
        moment = status.created_at.replace(tzinfo=UTC, microsecond=0).isoformat().replace("+00:00", "Z")
        user = self.sandbox.user
        of = f"{self.sandbox.base_url}{GIT_ROOT}/{user}/{quote(status.repository)}"
        return {
            "id": status.index,
            "status": status.state,
            "target_url": status.target_url,
            "description": status.description,
            "url": f"{of}/statuses/{status.revision}",
            "context": status.context,
            "creator": {"login": user, "username": user, "email": f"{user}@example.com"},
            "created_at": moment,
            "updated_at": moment,
        }


def _refuse(error: HTTPException) -> tuple[Response, int]:
    return jsonify(message=error.description, url="https://docs.gitea.com/api"), error.code or 500
