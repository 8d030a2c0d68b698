"""Requests of strangers, paths that lead elsewhere, unsigned events, over HTTP: without a key, and with each one."""

import base64
import hashlib
import http.client
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st

from jukebox_helpers import sandbox as program
from jukebox_sandbox.events import events, sign

PROMISES = (7,)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
ROOTS = ["/", "/events", "/dashboard/", "/apis/v2beta1/", "/api/v1/repos/user1/", "/api/model_registry/v1alpha3/",
         "/artifacts/", "/sandbox/", "/user1/jukebox.git/", "/user1/jukebox/", "/user2/jukebox.git/", "//"]  # fmt: skip
PARTS = ["..", "%2e%2e", "%2e%2e%2f", "..%2f", "%252e%252e", ".", "", "...", "\\..\\", "%00", "%0d%0aX-Evil:%201", "é",
         "etc", "passwd", "secrets", "git-auth", "password", "supervisor.lock", "platform.json", "jukebox", "tree",
         "blob", "raw", "main", "HEAD", "info", "refs?service=git-upload-pack", "git-receive-pack", "runs",
         "static", "?login=x", "?q=../../secrets/git-auth/password", "config", "objects"]  # fmt: skip
HOSTS = [None, None, None, "evil.com", "127.0.0.1", "localhost:1", "", "127.0.0.1@evil.com"]
ORIGINS = [None, None, None, "null", "http://evil.com", "https://127.0.0.1"]
GARBAGE = ["Basic", "Bearer", "Basic Og==", "Bearer x", "Basic dXNlcjE6", "Digest x", "Bearer \t", "Basic \xff"]
BODIES = [b"", b"{}", b"[" * 5_000, b"\0" * 100, b"a=" + b"x" * 100_000, b'{"repository": 1}', b"0000"]


def paths():
    parts = st.lists(st.sampled_from(PARTS), max_size=6)
    return st.builds(lambda root, rest: root + "/".join(rest), st.sampled_from(ROOTS), parts)


@pytest.fixture(scope="module")
def visitor(sandbox):
    return Visitor(sandbox)


class Visitor:
    """Asks a running sandbox, over a connection for each question."""

    def __init__(self, sandbox):
        self.sandbox, self.here = sandbox, sandbox.cluster_domain.removeprefix("http://")
        secrets = [sandbox.secret(name) for name in ("git-auth", "pipeline-server", "sandbox", "s3")]
        self.hidden = [
            value.encode()
            for secret in secrets
            for key, value in secret.items()
            if key in ("password", "token", "webhook_key", "secret_key", "AWS_SECRET_ACCESS_KEY")
        ]
        login = f"{sandbox.user}:{sandbox.secret('git-auth')['password']}"
        self.keys = [
            {"Authorization": f"Bearer {sandbox.secret('pipeline-server')['token']}"},
            {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"},
            {"Cookie": self.cookie()},
        ]

    def cookie(self):
        link = program.status(self.sandbox.state)["dashboard"].removeprefix(self.sandbox.cluster_domain)
        return self.ask("GET", link)[1]["Set-Cookie"].split(";")[0]

    def ask(self, method, path, body=b"", host=None, **headers):
        """Status, headers and body."""
        connection = http.client.HTTPConnection(self.here, timeout=60)
        # What http.client would refuse to send is sent all the same.
        connection._validate_path = connection._validate_method = lambda _: None
        connection._encode_request = lambda request: request.encode("latin-1", "replace")
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", self.here if host is None else host)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            connection.putheader(name, value.encode("latin-1") if isinstance(value, str) else value)
        connection.endheaders(body)
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read()
        connection.close()
        return found

    def check(self, answer):
        """That nothing broke, and nothing is said that is secret or from elsewhere."""
        status, headers, body = answer
        assert status < 500, (status, body[:300])
        assert "X-Evil" not in headers
        for value in self.hidden:
            assert value not in body and value not in str(headers).encode()
        assert b"root:x:0" not in body
        return status

    def known(self):
        return [one["id"] for one in events(self.sandbox.state)]


def test_strangers(visitor, tally):
    before = visitor.known()

    @tally.examples(1_500)
    def attack(data):
        method, path = data.draw(st.sampled_from(METHODS)), data.draw(paths())
        origin, key = data.draw(st.sampled_from(ORIGINS)), data.draw(st.sampled_from([None, *GARBAGE]))
        headers = {name: value for name, value in (("Origin", origin), ("Authorization", key)) if value}
        body, host = data.draw(st.sampled_from(BODIES)), data.draw(st.sampled_from(HOSTS))
        status = visitor.check(visitor.ask(method, path, body, host, **headers))
        assert status >= 400, (method, path, status)
        tally.count()

    attack()
    assert [one for one in visitor.known() if one not in before and one in queued(visitor)] == []


def queued(visitor):
    return [one["id"] for one in events(visitor.sandbox.state) if one["state"] not in ("refused", "ignored")]


def test_who_is_in_gets_nothing_from_elsewhere(visitor, tally):
    @tally.examples(1_500)
    def attack(data):
        key, path = data.draw(st.sampled_from(visitor.keys)), data.draw(paths())
        method = data.draw(st.sampled_from(["GET", "GET", "HEAD", "POST"]))
        body = data.draw(st.sampled_from(BODIES)) if method == "POST" else b""
        host = data.draw(st.sampled_from(HOSTS))
        status = visitor.check(visitor.ask(method, path, body, host, **key))
        assert status >= 400 or host is None
        tally.count()

    attack()


def test_events_that_nobody_signed(visitor, tally):
    """However many come, those that are signed are seen, and one that comes again is not run again."""
    key, revision = visitor.sandbox.secret("sandbox")["webhook_key"], hashlib.sha1(os.urandom(9)).hexdigest()
    push = {"repository": {"name": "jukebox", "full_name": "user2/jukebox"}, "ref": "refs/heads/main"}
    body = json.dumps(push | {"after": revision}).encode()
    headers = {"X-Gitea-Event": "push", "X-Gitea-Delivery": revision}
    wrong = [{}, {"X-Gitea-Signature": ""}, {"X-Gitea-Signature": sign(body, "x")}, {"X-Gitea-Signature": "\xff" * 64}]

    def post(number):
        return visitor.check(visitor.ask("POST", "/events", body, **headers, **wrong[number % len(wrong)]))

    for _ in range(3):
        visitor.check(visitor.ask("POST", "/events", body, **headers, **{"X-Gitea-Signature": sign(body, key)}))
        tally.count()
    with ThreadPoolExecutor(8) as threads:
        for status in threads.map(post, range(tally.number(1_500, 40))):
            assert status in (403, 429)
            tally.count()
    shown = program.status(visitor.sandbox.state)["events"]
    assert [one["state"] for one in shown if one["revision"] == revision] == ["ignored"]
    for name, value in (("after", [1]), ("after", None), ("ref", {}), ("repository", 7), ("repository", [])):
        strange = json.dumps(push | {"after": revision, name: value}).encode()
        headers["X-Gitea-Delivery"] = f"{name} {value}"
        status = visitor.check(
            visitor.ask("POST", "/events", strange, **headers, **{"X-Gitea-Signature": sign(strange, key)})
        )
        assert status >= 400
        tally.count()
