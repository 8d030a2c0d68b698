"""The door of a running sandbox, over HTTP."""

import http.client

import pytest
from waiting import DEADLINE

from jukebox_helpers import sandbox as program
from jukebox_helpers.settings import Settings


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
