"""Who may ask the sandbox's web address for what."""

import base64
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from jukebox_sandbox import supervisor
from jukebox_sandbox.door import Door
from jukebox_sandbox.login import VALID, login_link
from jukebox_sandbox.state import Sandbox, read_secret

HERE = "http://127.0.0.1:4711"
TOKEN_PATHS = ["/apis/v2beta1/runs", "/apis", "/api/model_registry/v1alpha3/x", "/sandbox/clock", "/artifacts/a"]
GIT_PATHS = ["/user1/jukebox.git/info/refs", "/user1/other.git/git-receive-pack", "/api/v1/repos/user1/jukebox/x"]
PAGES = ["/", "/events", "/user1/jukebox/", "/user1/jukebox.git", "/dashboard/runs", "/apisx", "//apis/x", "/else"]
NOT_OURS = [
    "example.com",
    "127.0.0.1",
    "127.0.0.1:80",
    "localhost:4712",
    "127.0.0.1:4711.evil.com",
    "evil.com:4711",
    "",
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> "Visitor":
    return Visitor(tmp_path_factory.mktemp("door"))


class Visitor:
    """Asks a door that says "inside" to whom it lets in."""

    def __init__(self, state: Path) -> None:
        supervisor.make_secrets(state)
        self.state = state
        self.token = read_secret(state, "pipeline-server")["token"]
        self.password = read_secret(state, "git-auth")["password"]

        def inside(_: dict[str, Any], respond: Any) -> list[bytes]:
            respond("200 OK", [("Content-Type", "text/plain")])
            return [b"inside"]

        self.sandbox = Sandbox(state, HERE, "http://s3")
        self.client = Client(Door(self.sandbox, inside), use_cookies=False)

    def ask(self, path: str, method: str = "GET", host: str = "127.0.0.1:4711", **headers: str) -> TestResponse:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        name, _, query = path.partition("?")
        as_it_is = {"PATH_INFO": name}  # werkzeug would take //x for a host
        answer = self.client.open(
            "/", HERE, query, method=method, headers=named | {"Host": host}, environ_overrides=as_it_is
        )
        assert self.token not in str(answer.headers) + answer.text and self.password not in answer.text
        return answer

    def bearer(self, token: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token if token is None else token}"}

    def basic(self, password: str | None = None, user: str = "user1") -> dict[str, str]:
        login = f"{user}:{self.password if password is None else password}"
        return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}

    def link(self, page: str = "/", pid: int = 0) -> str:
        return login_link(self.sandbox, pid or os.getpid(), page).removeprefix(HERE)

    def cookie(self) -> dict[str, str]:
        cookie = self.ask(self.link()).headers["Set-Cookie"]
        return {"Cookie": f"other=1; {cookie.split(';')[0]}"}


@pytest.mark.parametrize(
    ("paths", "bearer", "basic", "cookie"),
    [(TOKEN_PATHS, 200, 401, 200), (GIT_PATHS, 401, 200, 401), (PAGES, 401, 200, 200)],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_each_part_has_its_key(
    door: Visitor, paths: list[str], bearer: int, basic: int, cookie: int, method: str
) -> None:
    for path in paths:
        if (method, path) == ("POST", "/events"):
            continue
        assert door.ask(path, method, **door.bearer()).status_code == bearer, path
        assert door.ask(path, method, **door.basic()).status_code == basic, path
        assert door.ask(path, method, **door.cookie()).status_code == cookie, path
        assert door.ask(path, method).status_code == 401


@pytest.mark.parametrize("path", [TOKEN_PATHS[0], GIT_PATHS[0], PAGES[0]])
def test_what_is_almost_a_key_is_none(door: Visitor, path: str) -> None:
    wrong = [door.bearer(""), door.bearer("x"), door.bearer(door.token[:-1]), door.bearer(f"{door.token}x")]
    wrong += [door.basic(""), door.basic("x"), door.basic(user="user2"), door.basic(door.token, "")]
    wrong += [{"Authorization": value} for value in ("", "Bearer", "Basic", door.token, f"Token {door.token}", "é ♫")]
    wrong += [{"Cookie": value} for value in ("jukebox-4711=", "jukebox-4711=x", f"jukebox-4711={door.token}", "\0;=")]
    wrong += [{"Cookie": door.cookie()["Cookie"].replace("4711", "4712")}]
    for headers in wrong:
        answer = door.ask(path, **{key: value.encode().decode("latin-1") for key, value in headers.items()})
        assert (answer.status_code, answer.text) == (401, "Unauthorized\n"), headers


@pytest.mark.parametrize("path", [TOKEN_PATHS[0], GIT_PATHS[0], *PAGES[:2], "/?login=x"])
def test_a_foreign_host_or_origin_is_refused_whatever_key_it_has(door: Visitor, path: str) -> None:
    for key in (door.bearer(), door.basic(), door.cookie(), {}):
        for method in ("GET", "POST"):
            for host in NOT_OURS:
                assert door.ask(path, method, host, **key).status_code == 403, host
            for origin in (
                "http://evil.com",
                "null",
                "",
                HERE + "0",
                HERE.replace("http", "https"),
                f"{HERE}.evil.com",
            ):
                assert door.ask(path, method, Origin=origin, **key).status_code == 403, origin


def test_both_names_of_this_machine_are_ours(door: Visitor) -> None:
    for host in ("127.0.0.1:4711", "localhost:4711", "LOCALHOST:4711"):
        assert door.ask("/apis/x", host=host, **door.bearer()).status_code == 200
        assert door.ask("/apis/x", "POST", host, Origin=f"http://{host}", **door.bearer()).status_code == 200


def test_a_signed_event_needs_no_key_but_a_host(door: Visitor) -> None:
    assert door.ask("/events", "POST").text == "inside"
    assert door.ask("/events", "POST", "evil.com").status_code == 403


def test_a_link_logs_in_once_and_the_browser_has_a_cookie_from_then_on(door: Visitor) -> None:
    link = door.link("/user1/jukebox/") + "&a=1&b=%26"
    answer = door.ask(link)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/user1/jukebox/?a=1&b=%26")
    cookie = answer.headers["Set-Cookie"]
    name, *attributes = cookie.split("; ")
    assert name.startswith("jukebox-4711=") and door.token not in name
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert door.ask(door.link("//evil.com/")).headers["Location"] == "/evil.com/"

    again = door.ask(link)
    assert (again.status_code, "Set-Cookie" in again.headers) == (401, False) and "./jukebox status" in again.text
    assert door.ask(link, Cookie=cookie.split(";")[0]).status_code == 303  # who is in may open it again


def test_a_code_that_is_not_for_this_door_logs_nobody_in(door: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    code = door.link().partition("=")[2]
    for wrong in ("x", code[:-1], door.token, door.password, "%E2%99%AB", door.link(pid=1).partition("=")[2]):
        refused = door.ask(f"/?login={wrong}")
        assert refused.status_code == 401 and "Set-Cookie" not in refused.headers
    assert door.ask(f"/?login={code}", "POST").status_code == 401
    assert door.ask(f"/apis/x?login={code}").status_code == 401
    assert door.ask(f"/?token={door.token}").status_code == 401
    late = time.time() + VALID + 1
    monkeypatch.setattr(time, "time", lambda: late)
    assert door.ask(f"/?login={code}").status_code == 401


def test_a_new_token_ends_the_cookies_of_the_old_one(door: Visitor, tmp_path: Path) -> None:
    old = door.cookie()
    assert Visitor(tmp_path).ask("/", **old).status_code == 401


def test_secrets_are_made_once_and_an_empty_one_is_none(tmp_path: Path) -> None:
    supervisor.make_secrets(tmp_path)
    files = [tmp_path / "secrets" / name for name in ("git-auth/password", "pipeline-server/token")]
    before = [file.read_text() for file in files]
    supervisor.make_secrets(tmp_path)
    assert [file.read_text() for file in files] == before
    for file in files:
        file.write_text("")  # a start that was cut short
    supervisor.make_secrets(tmp_path)
    assert all(len(file.read_text()) >= 32 for file in files)


@settings(deadline=None)
@given(
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60),
    st.sampled_from(["Authorization", "Cookie"]),
)
def test_no_header_opens_it_or_breaks_it(door: Visitor, value: str, header: str) -> None:
    assert door.ask("/apis/x", **{header: value}).status_code == 401
