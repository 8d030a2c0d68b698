"""Git against a server with a certificate of the cluster's own authority."""

import functools
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from loopback import make_certificate

from jukebox_helpers.steps.git import git


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Keep the tests' output clean."""


@pytest.fixture
def server(tmp_path):
    """A repository behind TLS, as plain files: https://git-scm.com/book/en/v2/Git-on-the-Server-The-Protocols"""
    bare = tmp_path / "www" / "jukebox.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", bare], check=True)
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    empty = subprocess.run(["git", "mktree"], input="", capture_output=True, text=True, cwd=bare).stdout.strip()
    commit = git(*identity, "commit-tree", empty, "-m", "first", folder=str(bare))
    git("update-ref", "refs/heads/main", commit, folder=str(bare))
    git("update-server-info", folder=str(bare))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "www")))
    server.socket = make_certificate(tmp_path).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"https://localhost:{server.server_port}/jukebox.git", commit
    server.shutdown()
    server.server_close()


def test_git_trusts_the_authorities_that_the_cluster_names(server, tmp_path, monkeypatch):
    url, commit = server
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    for name in ("GIT_SSL_CAINFO", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConnectionError, match="certificate"):
        git("ls-remote", url)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert git("ls-remote", url, "refs/heads/main").split()[0] == commit
    # Whoever sets git's own variable knows better.
    monkeypatch.setenv("GIT_SSL_CAINFO", "/nowhere.pem")
    with pytest.raises(ConnectionError, match="(?s)cert.*Next: name the file with the server's CA"):
        git("ls-remote", url)
