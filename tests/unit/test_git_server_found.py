"""How a step knows the platform's git server, which is the only one that gets the git password."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from loopback import make_certificate

from jukebox_helpers.settings import Settings
from jukebox_helpers.steps import git_password


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("https://Gitea-Gitea.Apps.C.example.com/user1/jukebox.git", "https://gitea-gitea.apps.c.example.com"),
        ("https://host:443/x", "https://host"),
        ("http://host:443/x", "http://host:443"),
        ("https://user:secret@host/x", "https://host"),
        ("http://[::1]:3000/x", "http://[::1]:3000"),
        ("http://host:port/", ""),
        ("http://[::1", ""),
        ("--upload-pack=id", ""),
        ("ext::sh -c id", ""),
        ("/a/folder", ""),
        ("", ""),
    ],
)
def test_the_server_of_an_address(address, server):
    assert git_password.server_of(address) == server


@pytest.fixture
def api(tmp_path, monkeypatch):
    """The API server of a cluster, with its certificate's authority in the folder of the service account."""
    found = SimpleNamespace(
        requests=[], status=200, body=json.dumps({"issuer": "https://oauth-openshift.apps.c7.example.com"})
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found.requests.append((self.path, self.headers.get("Authorization")))
            self.send_response(found.status)
            self.end_headers()
            self.wfile.write(found.body.encode())

        def log_message(self, *_):
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = make_certificate(tmp_path).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    (tmp_path / "ca.crt").write_bytes((tmp_path / "ca.pem").read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "localhost")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    for name in ("JUKEBOX_OAUTH_ISSUER", "JUKEBOX_GIT_SERVER", "AWS_S3_ENDPOINT"):
        monkeypatch.setenv(name, "")  # so that what is set meanwhile goes again
        monkeypatch.delenv(name)
    real = git_password.oauth_issuer
    monkeypatch.setattr(git_password, "oauth_issuer", lambda: real(str(tmp_path)))
    yield found
    server.shutdown()
    server.server_close()


def test_a_name_comes_first_then_the_route_then_the_cluster(api, monkeypatch):
    found = []
    for name, value in (
        ("", ""),
        ("AWS_S3_ENDPOINT", "http://minio.user1-toolings.svc.cluster.local:9000"),
        ("AWS_S3_ENDPOINT", "https://minio-api.apps.c8.example.com"),
        ("JUKEBOX_GIT_SERVER", "https://git.example.com/"),
    ):
        if name:
            monkeypatch.setenv(name, value)
        found.append(git_password.git_server())
    inside, route = (f"https://gitea-gitea.apps.{cluster}.example.com" for cluster in ("c7", "c8"))
    assert found == [inside, inside, route, "https://git.example.com"]
    assert api.requests == [("/.well-known/oauth-authorization-server", None)]  # asked once, without a token


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "{}"),
        (200, "<html>"),
        (200, '{"issuer": 7}'),
        (200, "[]"),
        (200, '{"issuer": "https://login.example.com"}'),
    ],
)
def test_a_cluster_that_is_not_openshift_leaves_it_unknown(api, status, body):
    api.status, api.body = status, body
    assert git_password.git_server() == ""


def test_a_forged_api_server_is_not_believed(api, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    make_certificate(other)
    (tmp_path / "ca.crt").write_bytes((other / "ca.pem").read_bytes())
    assert git_password.git_server() == "" and api.requests == []


def test_outside_a_cluster_nothing_is_asked(api, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert git_password.git_server() == "" and api.requests == []


def test_in_a_workbench_the_cluster_domain_names_it_unless_the_variable_does(tmp_path):
    named = {"JUKEBOX_GIT_SERVER": "https://Git.example.com/user1/"}
    for domain, environment, server in (
        ("apps.c.example.com", {}, "https://gitea-gitea.apps.c.example.com"),
        ("apps.c.example.com", named, "https://git.example.com"),
        ("", {}, ""),
    ):
        settings = Settings("rhoai", tmp_path, "user1-toolings", domain, "", environment=environment)
        assert settings.git_server == server
