"""Git that fails against real servers, and one that answers as Gitea 1.26 does: what failed, why, what to do next.

Gitea's answers are those of ``routers/web/repo/githttp.go`` in its source.
"""

import os
import re
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from loopback import GIT_PASSWORD, RecordingGitServer, make_certificate, page_server

from jukebox_helpers.steps import data_versions
from jukebox_helpers.steps.git import clone_main, git
from jukebox_helpers.steps.messages import parts

ARCHIVED = "This repo is archived. You can view files and clone it, but cannot push or open issues/pull-requests."
TWO_FACTOR = (
    "Users with two-factor authentication enabled cannot perform HTTP/HTTPS operations via plain username and "
    "password. Please create and use a personal access token on the user settings page"
)
HOOK = "#!/bin/sh\necho 'Gitea: {}' >&2\nexit 1\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with the repository user1/jukebox.git, one commit on its branch main."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "x")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "x@example.com")
    bare = tmp_path / "root" / "user1" / "jukebox.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    commit_to(bare, "main")
    return tmp_path / "root"


def commit_to(bare, branch):
    """One more commit on a branch of a bare repository."""
    tree = subprocess.run(["git", "mktree"], input="", capture_output=True, text=True, cwd=bare).stdout.strip()
    git("update-ref", f"refs/heads/{branch}", git("commit-tree", tree, "-m", "x", folder=bare), folder=bare)


@pytest.fixture
def platform(root, monkeypatch):
    """The platform's git server; ``platform.refuse`` holds what it answers instead, by git's service."""
    server = RefusingServer(root)
    credentials(monkeypatch, server.url)
    yield server
    server.close()


def credentials(monkeypatch, server):
    known = {"username": "user1", "password": GIT_PASSWORD, "JUKEBOX_GIT_SERVER": server}
    known |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x")
    for key, value in (known | {"AWS_S3_ENDPOINT": "http://127.0.0.1:9"}).items():
        monkeypatch.setenv(key, value)


class RefusingServer(RecordingGitServer):
    """A git server that answers some services with a status and a plain text, to whoever has the password."""

    def __init__(self, root):
        self.refuse = {}
        super().__init__(root)

    def answer(self, environ, respond):
        asked = environ["PATH_INFO"] + environ["QUERY_STRING"]
        for service, (status, text) in self.refuse.items():
            if service in asked and (environ.get("HTTP_AUTHORIZATION") == self.expected):
                respond(status, [("Content-Type", "text/plain;charset=utf-8"), ("Content-Length", str(len(text)))])
                return [text.encode()]
        return super().answer(environ, respond)


def refused(kind, call, *arguments, **options):
    """What a call says that fails: what happened and why; and what to do next."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    assert GIT_PASSWORD not in str(caught.value) and str(caught.value).count("Next: ") == 1
    assert "\n" not in str(caught.value)  # a list of runs shows the first line
    return parts(str(caught.value))


@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
def test_two_factor_authentication_gets_a_hint_at_a_token(platform, tmp_path, service):
    """A public repository is cloned without a question; then the push asks."""
    platform.refuse = {service: ("401 Unauthorized", TWO_FACTOR)}
    what, then = refused(PermissionError, data_versions.check_write_access, f"{platform.url}/user1/jukebox.git", [])
    assert "The git server refuses the user name or password" in what and f"git {verb(service)} failed" in what
    assert then.startswith("check the Secret git-auth") and "access token" in then


def verb(service):
    return "clone" if "upload" in service else "push"


def test_a_wrong_password_gets_the_same_hint_as_no_server_says_which(platform, tmp_path, monkeypatch):
    monkeypatch.setenv("password", "wrong")
    what, then = refused(PermissionError, clone_main, f"{platform.url}/user1/jukebox.git", str(tmp_path / "clone"))
    assert "refuses the user name or password" in what and "access token" in then


def test_an_archived_repository_is_named_as_such_before_anything_is_written(platform):
    platform.refuse = {"git-receive-pack": ("403 Forbidden", ARCHIVED)}
    what, then = refused(PermissionError, data_versions.check_write_access, f"{platform.url}/user1/jukebox.git", [])
    assert what.endswith("The repository is archived.") and then == "unarchive it in its settings."


@pytest.mark.parametrize(
    ("status", "text"),
    [("403 Forbidden", "mirror repository is read-only"), ("403 Forbidden", "Your account is disabled.")],
)
def test_what_the_server_does_not_let_this_user_do_keeps_its_words(platform, status, text):
    platform.refuse = {"git-receive-pack": (status, text)}
    what, then = refused(PermissionError, data_versions.check_write_access, f"{platform.url}/user1/jukebox.git", [])
    assert text in what and "write access to the branch main" in then


def stage_a_file(folder, *_):
    Path(folder, ".dvcignore").write_text("x")
    git("add", ".dvcignore", folder=folder)
    return "staged"


@pytest.mark.parametrize(
    "words", ["User permission denied for writing.", "Not allowed to push to protected branch main"]
)
def test_a_push_that_the_hook_refuses_says_that_the_data_is_safe(platform, root, monkeypatch, words):
    hook = root / "user1" / "jukebox.git" / "hooks" / "pre-receive"
    hook.write_text(HOOK.format(words))
    hook.chmod(0o755)
    monkeypatch.setattr(data_versions, "version_songs", stage_a_file)
    address = f"{platform.url}/user1/jukebox.git"
    what, then = refused(PermissionError, data_versions.commit_data_version, address, "ab" * 16)
    assert what.startswith(f"The data is in data-cache, main of {address} is as it was: git push failed: ")
    assert words in what and "write access to the branch main" in then


def test_a_branch_that_is_not_main_is_named_and_no_other_ref(platform, root, tmp_path):
    """A clone has origin/HEAD beside its branches."""
    bare = root / "user1" / "jukebox.git"
    for branch in ("master", "HEAD-ache"):
        commit_to(bare, branch)
    git("symbolic-ref", "HEAD", "refs/heads/master", folder=bare)
    git("update-ref", "-d", "refs/heads/main", folder=bare)
    what, _ = refused(ValueError, clone_main, f"{platform.url}/user1/jukebox.git", str(tmp_path / "clone"))
    assert what.endswith("jukebox.git has no branch main, only HEAD-ache, master.")


def test_a_server_that_hangs_is_not_blamed_on_the_address(root, tmp_path, monkeypatch):
    """Git waits a minute; its own variable makes it a second here."""
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "1")
    for password in (True, False):
        if password:
            credentials(monkeypatch, f"http://127.0.0.1:{listener.getsockname()[1]}")
        else:
            monkeypatch.delenv("password")
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/user1/jukebox.git"
        what, then = refused(ConnectionError, clone_main, address, str(tmp_path / f"clone{password}"))
        assert "git clone failed" in what and re.search("too slow|timed out", what)
        assert then == "check that the git server runs."
    listener.close()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n001e", b"HTTP/1.1 502 Bad\r\n\r\n"]
)
def test_a_server_that_breaks_off_is_not_blamed_on_the_address(root, tmp_path, answer):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        try:
            while True:
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.sendall(answer)
                connection.close()
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/user1/jukebox.git"
    _, then = refused(ConnectionError, clone_main, address, str(tmp_path / "clone"))
    assert then == "check that the git server runs."
    listener.close()


def test_nobody_behind_a_port_or_a_name(root, tmp_path):
    for server in ("http://127.0.0.1:9", "http://no-such-host.invalid"):
        _, then = refused(ConnectionError, clone_main, f"{server}/user1/jukebox.git", str(tmp_path / "clone"))
        assert then == "check that the git server runs."


def test_a_repository_that_is_not_there_or_moved_or_a_page_is_a_matter_of_the_address(platform, tmp_path):
    def clone(address):
        return refused(ConnectionError, clone_main, address, str(tmp_path / "clone"))[1]

    assert clone(f"{platform.url}/user1/nowhere.git") == "check the address: repo_url, cluster_domain."
    platform.refuse = {"git-upload-pack": ("404 Not Found", "Repository not found")}
    assert clone(f"{platform.url}/user1/jukebox.git") == "check the address: repo_url, cluster_domain."
    platform.refuse, platform.redirect = {}, "http://127.0.0.1:9"
    assert clone(f"{platform.url}/user1/jukebox.git") == "check the address: repo_url, cluster_domain."
    os.environ.pop("password")
    with page_server() as page:
        assert clone(f"{page}/user1/jukebox.git") == "check the address: repo_url, cluster_domain."


def test_a_certificate_that_is_not_trusted_and_a_port_without_one(root, tmp_path):
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    server.socket = make_certificate(tmp_path).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    _, then = refused(ConnectionError, git, "ls-remote", f"https://localhost:{server.server_port}/x.git")
    assert then == "name the file with the server's CA in GIT_SSL_CAINFO."
    server.shutdown()
    server.server_close()
    with page_server() as page:
        _, then = refused(ConnectionError, git, "ls-remote", page.replace("http:", "https:") + "/x.git")
    assert then == "check that the git server runs."


def test_a_revision_that_is_not_on_the_server_is_named(platform, tmp_path):
    for revision in ("f" * 40, "0123456789", "no-such-branch"):
        what, then = refused(
            RuntimeError, data_versions.fetch_data_version, f"{platform.url}/user1/jukebox.git", revision, "songs"
        )
        assert what.startswith("git checkout failed: ") and revision in what
        assert then == "push that revision, or name another."


@pytest.mark.parametrize(
    "command",
    [
        ("add", "no-such-file"),
        ("status", "--no-such-option"),
        ("commit", "--message", "nothing to commit"),
        ("push", "origin", "main"),
        ("ls-remote", "origin"),
        ("rev-parse", "no-such-revision"),
        ("checkout", "no-such-branch"),
        ("fetch", "origin"),
        ("merge", "--ff-only", "origin/main"),
        ("no-such-command",),
    ],
    ids=lambda command: command[0],
)
def test_every_other_failing_call_says_what_failed_with_gits_words_and_the_next_action(root, tmp_path, command):
    git("init", "--quiet", str(tmp_path / "here"))
    what, then = refused((RuntimeError, OSError), git, *command, folder=str(tmp_path / "here"))
    assert re.match(rf"git {command[0]} failed: \w.{{9,}}", what, re.DOTALL) and len(then) > 20
