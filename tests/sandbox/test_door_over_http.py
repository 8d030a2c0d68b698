"""The door of a running sandbox, over HTTP."""

import base64
import contextlib
import http.client
import json
import socket

import pytest
from waiting import DEADLINE

from jukebox_helpers import sandbox as program
from jukebox_helpers.settings import Settings
from jukebox_sandbox.door import EVENT_LIMIT
from jukebox_sandbox.events import sign


def ask(sandbox: Settings, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(sandbox.cluster_domain.removeprefix("http://"), timeout=DEADLINE)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), answer.read()


@pytest.mark.parametrize("root", ["/apis", "/api/model_registry", "/sandbox", "/artifacts"])
def test_the_interfaces_want_the_token(sandbox: Settings, root: str) -> None:
    token = sandbox.secret("pipeline-server")["token"]
    assert ask(sandbox, f"{root}/nothing", Authorization=f"Bearer {token}")[0] == 404
    for headers in ({}, {"Authorization": "Bearer x"}):
        status, _, body = ask(sandbox, f"{root}/nothing", **headers)
        assert (status, body) == (401, b"Unauthorized\n")
    for strange in ({"Host": "evil.com"}, {"Origin": "http://evil.com"}):
        headers = {"Authorization": f"Bearer {token}", **strange}
        assert ask(sandbox, f"{root}/nothing", "POST", **headers)[0] == 403


def test_a_browser_comes_in_with_the_link_of_status_and_stays_with_its_cookie(sandbox: Settings) -> None:
    token = sandbox.secret("pipeline-server")["token"]
    link = program.status(sandbox.state)["dashboard"]
    assert token not in link
    status, headers, _ = ask(sandbox, link.removeprefix(sandbox.cluster_domain))
    assert (status, headers["Location"]) == (303, "/dashboard/")
    assert ask(sandbox, link.removeprefix(sandbox.cluster_domain))[0] == 401
    cookie = headers["Set-Cookie"].split(";")[0]
    status, _, page = ask(sandbox, "/dashboard/pipelines", Cookie=cookie)
    assert status == 200 and b"Jukebox sandbox" in page and token.encode() not in page
    assert ask(sandbox, "/user1/jukebox/", Cookie=cookie)[0] == 200
    assert ask(sandbox, "/user1/jukebox.git/info/refs?service=git-upload-pack", Cookie=cookie)[0] == 401


PUSH = "/user1/jukebox.git/git-receive-pack"
LARGE = {"Content-Length": str(200_000_000)}
IN_CHUNKS = {"Transfer-Encoding": "chunked"}


def post_headers(sandbox: Settings, path: str, *sent: bytes, **headers: str) -> bytes:
    """What is answered to a request of which only the headers, and what is given, arrive: all until the end.

    It may be empty where the server ends a connection that holds what it has not read.
    """
    host = sandbox.cluster_domain.removeprefix("http://")
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", *(f"{key}: {value}" for key, value in headers.items())]
    address = (host.partition(":")[0], int(host.partition(":")[2]))
    with socket.create_connection(address, timeout=DEADLINE) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        with contextlib.suppress(ConnectionError):
            for data in sent:
                connection.sendall(data)
            while more := connection.recv(1 << 16):
                answer += more
    return answer


@pytest.mark.parametrize("body", [LARGE, IN_CHUNKS], ids=["a length", "chunks"])
@pytest.mark.parametrize("path", [PUSH, "//user1/jukebox.git/git-receive-pack", "/apis/v2beta1/runs", "/dashboard/x"])
@pytest.mark.parametrize("key", [{}, {"Authorization": "Basic dXNlcjE6eA=="}, {"Authorization": "Bearer x"}])
def test_without_a_key_no_body_is_waited_for(sandbox: Settings, path: str, body: dict, key: dict) -> None:
    answer = post_headers(sandbox, path, **body, **key, Expect="100-continue")
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n") and b"Connection: close" in answer
    # What comes behind it is the body that nobody reads, and no next request.
    next_one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert post_headers(sandbox, path, next_one, **body, **key).count(b"HTTP/1.1") <= 1


def test_an_event_is_small_and_carries_a_signature(sandbox: Settings) -> None:
    for body in (LARGE, IN_CHUNKS):
        assert post_headers(sandbox, "/events", **body).startswith(b"HTTP/1.1 403 ")
    signed = {"X-Gitea-Signature": "0" * 64}
    assert post_headers(sandbox, "/events", **LARGE, **signed).startswith(b"HTTP/1.1 413 ")
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    sent = [chunk] * (EVENT_LIMIT // 0x100000)
    assert post_headers(sandbox, "/events", *sent, **IN_CHUNKS, **signed)[:13] in (b"", b"HTTP/1.1 413 ")


def test_the_event_of_a_large_push_is_read(sandbox: Settings) -> None:
    files = [f"folder/{number:0180}.parquet" for number in range(20_000)]
    event = {"repository": {"name": "x", "full_name": "user1/x"}, "ref": "refs/heads/main", "after": "a" * 40}
    body = json.dumps(event | {"commits": [{"added": files}]}).encode()
    assert 3_500_000 < len(body) < EVENT_LIMIT
    signature = sign(body, sandbox.secret("sandbox")["webhook_key"])
    host = sandbox.cluster_domain.removeprefix("http://")
    for status in (202, 200):  # the same delivery again
        connection = http.client.HTTPConnection(host, timeout=DEADLINE)
        connection.request("POST", "/events", body, {"X-Gitea-Event": "push", "X-Gitea-Signature": signature})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["state"]) == (status, "ignored")


def test_with_the_password_a_body_is_waited_for(sandbox: Settings) -> None:
    login = base64.b64encode(f"user1:{sandbox.secret('git-auth')['password']}".encode()).decode()
    key = {"Authorization": f"Basic {login}", "Content-Type": "application/x-git-receive-pack-request"}
    answer = post_headers(sandbox, PUSH, b"0000", **key, **{"Content-Length": "4", "Connection": "close"})
    assert answer.startswith(b"HTTP/1.1 200 OK")
    for limited in ({"Content-Length": str(2 << 30)}, {"Content-Length": str(1 << 30)}):
        assert post_headers(sandbox, PUSH, **key, **limited).startswith(b"HTTP/1.1 413 ")
