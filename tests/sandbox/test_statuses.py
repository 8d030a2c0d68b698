"""What became of a push, as helpers say it and read it on the git server."""

import dataclasses
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.statuses import CONTEXT, post_status, read_status, read_statuses
from jukebox_helpers.settings import GITOPS_REPOSITORY
from jukebox_helpers.steps.git import git


@pytest.fixture
def revision(sandbox):
    return git("rev-parse", "origin/main", folder=str(sandbox.clone()))


def test_the_newest_word_counts(sandbox, revision):
    for state, over in (("pending", False), ("failure", True), ("pending", False), ("success", True)):
        post_status(sandbox, revision, state, f"It is {state}.")
        status = read_status(sandbox, revision)
        assert (status.state, status.description, status.context) == (state, f"It is {state}.", CONTEXT)
        assert status.over is over
    assert [one.context for one in read_statuses(sandbox, revision)] == [CONTEXT]


def test_another_repository_and_an_unknown_commit(sandbox):
    assert read_status(sandbox, "f" * 40) is None
    head = git("rev-parse", "origin/main", folder=str(sandbox.clone(GITOPS_REPOSITORY)))
    post_status(sandbox, head, "error", "No room.", repository=GITOPS_REPOSITORY)
    assert [one.description for one in read_statuses(sandbox, head, GITOPS_REPOSITORY) if one.context == CONTEXT] == [
        "No room."
    ]
    with pytest.raises(JukeboxError, match=r"answers 404 to POST .*\nNext: .*may write to the repository"):
        post_status(sandbox, "f" * 40, "success", "")


def test_a_wrong_password_and_a_server_that_is_gone(sandbox, revision, tmp_path, monkeypatch):
    values = {"username": sandbox.user, "password": "not-the-password"}
    wrong = dataclasses.replace(sandbox, platform="rhoai", environment=values)
    with pytest.raises(JukeboxError, match="answers 401 to GET") as refused:
        read_status(wrong, revision)
    assert "not-the-password" not in str(refused.value)
    own = laptop.up(tmp_path / "state", lifeline=True, configuration=stand_in_configuration(tmp_path))
    laptop.down(own.state)
    with pytest.raises(JukeboxError, match=r"does not answer: .*\nNext: Run ./jukebox doctor"):
        read_status(own, revision)


def test_a_login_page_is_no_answer_of_gitea(sandbox, revision, monkeypatch):
    """What stands before a git server, e.g. an OAuth proxy, may answer 200."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<!doctype html>Log in")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    elsewhere = dataclasses.replace(sandbox, cluster_domain=f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(JukeboxError, match=r"answers with a page, e\.g\. a login page.*\nNext: .*in a browser"):
        read_status(elsewhere, revision)
    server.shutdown()
    server.server_close()
