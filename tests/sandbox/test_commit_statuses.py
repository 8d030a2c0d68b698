"""What became of a push: the commit statuses of the sandbox's git server, over its HTTP address."""

import base64
import http.client
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_in import stand_in_configuration
from waiting import DEADLINE, eventually

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.training import check_trained
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.data_versions import what_became_of
from jukebox_sandbox import events
from jukebox_sandbox.repositories import bare_repository, git
from jukebox_sandbox.state import read_sandbox

COMMAND = """
import base64, json, os, pathlib, sys, time, urllib.request
revision, state = sys.argv[1], pathlib.Path(os.environ["JUKEBOX_STATE"])
said = pathlib.Path(state, "say")
if said.exists():
    known = json.loads((state / "platform.json").read_text())
    secret = state / "secrets" / "git-auth"
    login = base64.b64encode(f"user1:{(secret / 'password').read_text()}".encode()).decode()
    address = f"{known['base_url']}/api/v1/repos/user1/jukebox/statuses/{revision}"
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(address, said.read_bytes(), headers)).read()
print("a first line")
print("the last \\x1b[31mwords\\x1b[0m " + "x" * 500)
(state / "begun").write_text(revision)
while (state / "hang").exists():
    time.sleep(0.05)
sys.exit((state / "fail").exists())
"""
"""Posts a status of its own where the test has laid one down, waits and fails as the test says."""


class Place:
    """A sandbox of this file's own, which may be stopped and started."""

    def __init__(self, folder: Path) -> None:
        (folder / "command.py").write_text(COMMAND)
        self.state = folder / "state"
        command = [sys.executable, str(folder / "command.py"), "{revision}"]
        self.configuration = stand_in_configuration(folder, command)
        self.settings: Settings = self.up()

    def up(self) -> Settings:
        self.settings = laptop.up(self.state, lifeline=True, configuration=self.configuration)
        return self.settings

    def ask(
        self, path: str, body: Any = None, method: str | None = None, password: str = "", owner: str = "user1"
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.settings.cluster_domain.removeprefix("http://"), timeout=DEADLINE)
        login = f"user1:{password or self.settings.secret('git-auth')['password']}"
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method or ("POST" if content else "GET"), f"/api/v1/repos/{owner}{path}", content, headers)
        answer = connection.getresponse()
        read = answer.read()
        return answer.status, json.loads(read) if answer.headers["Content-Type"] == "application/json" else read

    def commit(self, text: str = "la") -> str:
        clone = self.settings.clone()
        (clone / "song.txt").write_text(text)
        git(clone, "add", "--all")
        git(clone, "commit", "--quiet", "--allow-empty", "-m", "A song")
        return git(clone, "rev-parse", "HEAD")

    def push(self, text: str = "la") -> str:
        revision = self.commit(text)
        git(self.settings.clone(), "push", "--quiet")
        return revision

    def history(self, revision: str) -> list[tuple[str, str]]:
        status, found = self.ask(f"/jukebox/commits/{revision}/statuses")
        assert status == 200
        return [(one["status"], one["description"]) for one in reversed(found) if one["context"] == "jukebox/ct"]

    def lay(self, name: str, text: str = "") -> None:
        (self.state / name).write_text(text)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.state / name).unlink(missing_ok=True)

    def begin_and_hang(self, text: str) -> str:
        self.remove("begun")
        self.lay("hang")
        revision = self.push(text)
        assert eventually(lambda: (self.state / "begun").is_file() and (self.state / "begun").read_text() == revision)
        return revision


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, no_platform_around: None) -> Iterator[Place]:
    one = Place(tmp_path_factory.mktemp("statuses"))
    yield one
    laptop.down(one.state, delete=True)


@pytest.fixture(autouse=True)
def nothing_said(place: Place) -> Iterator[None]:
    yield
    place.remove("say", "fail", "hang")


def test_a_status_is_kept_listed_and_combined_as_gitea_does(place: Place) -> None:
    seed = git(bare_repository(place.state, "user1", "jukebox"), "rev-list", "--max-parents=0", "main")
    assert place.ask(f"/jukebox/commits/{seed}/status")[1]["state"] == "pending"
    assert place.ask("/jukebox/commits/main/status")[1]["statuses"] == []

    body = {"state": "pending", "context": " lint ", "description": " begun ", "target_url": "http://x/1"}
    status, answer = place.ask(f"/jukebox/statuses/{seed[:10]}", body)
    assert status == 201
    assert answer | {"created_at": "", "updated_at": ""} == {
        "id": 1,
        "status": "pending",
        "target_url": "http://x/1",
        "description": "begun",
        "url": f"{place.settings.cluster_domain}/api/v1/repos/user1/jukebox/statuses/{seed}",
        "context": "lint",
        "creator": {"login": "user1", "username": "user1", "email": "user1@example.com"},
        "created_at": "",
        "updated_at": "",
    }
    steps = [("lint", "success", "success"), ("a", "warning", "success"), ("b", "pending", "pending")]
    steps += [("a", "error", "failure"), ("b", "success", "failure"), ("a", "success", "success")]
    for context, state, together in steps:
        assert place.ask(f"/jukebox/statuses/{seed}", {"state": state, "context": context})[0] == 201
        assert place.ask(f"/jukebox/commits/{seed}/status")[1]["state"] == together

    status, both = place.ask(f"/jukebox/commits/{seed}/status")
    assert (status, both["sha"], both["total_count"]) == (200, seed, 3)
    assert [(one["context"], one["status"]) for one in both["statuses"]] == [
        ("a", "success"),
        ("b", "success"),
        ("lint", "success"),
    ]
    assert both["repository"]["full_name"] == "user1/jukebox"
    assert [one["id"] for one in place.ask(f"/jukebox/statuses/{seed}")[1]] == [7, 6, 5, 4, 3, 2, 1]
    assert [one["id"] for one in place.ask(f"/jukebox/commits/{seed}/statuses?limit=2&page=2")[1]] == [5, 4]
    assert [one["id"] for one in place.ask(f"/jukebox/statuses/{seed}?sort=oldest&state=pending")[1]] == [1, 4]


def test_a_branch_says_whether_it_can_be_pushed_to_and_where_it_is(place: Place) -> None:
    head = git(place.settings.clone(), "rev-parse", "HEAD")
    status, branch = place.ask("/jukebox/branches/main")
    assert (status, branch["name"], branch["user_can_push"], branch["commit"]["id"]) == (200, "main", True, head)
    assert branch["commit"]["author"]["name"] and branch["commit"]["message"].startswith("The workshop as it starts")
    git(place.settings.clone(), "push", "--quiet", "origin", "HEAD:refs/heads/idea/one", "HEAD:refs/tags/v1")
    assert place.ask("/jukebox/branches/idea/one")[1]["name"] == "idea/one"
    for ref in ("idea/one", "v1", head[:7], head.upper()):
        assert place.ask(f"/jukebox/commits/{ref}/status")[1]["sha"] == head


@pytest.mark.parametrize(
    "path",
    [
        "/nothing/commits/main/status",
        "/jukebox/commits/nothing/status",
        f"/jukebox/commits/{'0' * 40}/status",
        "/jukebox/commits/main~0/status",
        "/jukebox/commits/--all/status",
        "/jukebox/commits/abc/statuses",
        "/jukebox/branches/nothing",
        "/jukebox/branches/mai*",
        "/..%2fuser1/jukebox/branches/main",
        "/jukebox/else",
    ],
)
def test_what_is_not_there_is_404(place: Place, path: str) -> None:
    status, answer = place.ask(path)
    assert status == 404 and answer["message"]


def test_nobody_else_has_repositories_here(place: Place) -> None:
    for owner in ("user2", "..", "user1/.."):
        assert place.ask("/jukebox/branches/main", owner=owner)[0] == 404
        assert place.ask("/jukebox/statuses/main", {"state": "success"}, owner=owner)[0] == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 422),
        (b"[]", 422),
        ({}, 422),
        ({"state": "done"}, 422),
        ({"state": ["success"]}, 422),
        ({"state": "success", "description": 1}, 422),
        ({"state": "success", "description": "x" * 2_000_000}, 413),
    ],
)
def test_what_is_no_status_is_refused_and_nothing_is_kept(place: Place, body: Any, code: int) -> None:
    before = place.ask("/jukebox/commits/main/statuses")[1]
    status, answer = place.ask("/jukebox/statuses/main", body)
    assert (status, "Traceback" in json.dumps(answer)) == (code, False)
    assert place.ask("/jukebox/commits/main/statuses")[1] == before


def test_it_asks_for_the_password_of_git(place: Place) -> None:
    for path, body in (("/jukebox/commits/main/status", None), ("/jukebox/statuses/main", {"state": "success"})):
        assert place.ask(path, body, password="wrong")[0] == 401
    assert place.ask(f"/jukebox/statuses/{'0' * 40}", {"state": "success"})[0] == 404
    assert place.ask("/jukebox/statuses/main", {"state": "success"}, method="PUT")[0] == 405


def test_a_push_is_pending_and_then_a_success(place: Place) -> None:
    revision = place.begin_and_hang("pending")
    assert place.history(revision) == [("pending", "queued")]
    place.remove("hang")
    assert events.wait_for(place.state, revision, DEADLINE)["state"] == "done"
    assert place.history(revision) == [("pending", "queued"), ("success", "")]


def test_a_failed_command_is_an_error_in_its_own_last_words(place: Place) -> None:
    place.lay("fail")
    revision = place.push("fails")
    events.wait_for(place.state, revision, DEADLINE)
    (_, _), (state, description) = place.history(revision)
    assert state == "error" and description.startswith(r"the last \x1b[31mwords\x1b[0m xxx")
    assert description.endswith("x…") and len(description) == 200


@pytest.mark.parametrize(
    ("said", "fails", "ends"),
    [("success", True, []), ("failure", True, []), ("pending", False, ["success"]), ("pending", True, ["error"])],
)
def test_what_the_command_says_itself_counts(place: Place, said: str, fails: bool, ends: list[str]) -> None:
    place.lay("say", json.dumps({"state": said, "context": "jukebox/ct", "description": "its own"}))
    if fails:
        place.lay("fail")
    revision = place.push(f"{said} {fails}")
    events.wait_for(place.state, revision, DEADLINE)
    states = [state for state, _ in place.history(revision)]
    assert states == ["pending", said, *ends]


def test_a_push_of_buckets_says_what_was_done(place: Place) -> None:
    clone = place.settings.clone("mlops-gitops")
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "Nothing")
    git(clone, "push", "--quiet")
    revision = git(clone, "rev-parse", "HEAD")
    assert events.wait_for(place.state, revision, DEADLINE)["state"] == "done"
    [status] = place.ask(f"/mlops-gitops/commits/{revision}/status")[1]["statuses"]
    assert (status["context"], status["status"]) == ("buckets", "success")
    assert status["description"] == "pipeline: unchanged; models: unchanged"


def stop(place: Place, way: str) -> None:
    if way == "down":
        assert laptop.down(place.state)
    else:
        os.kill(json.loads((place.state / "platform.json").read_text())["pid"], signal.SIGKILL)
        assert eventually(lambda: not events.is_running(place.state))


@pytest.mark.parametrize("way", ["down", "kill"])
def test_a_head_that_a_stop_cuts_short_is_done_at_the_next_start(place: Place, way: str) -> None:
    cut = place.begin_and_hang(f"cut by {way}")
    before = place.history(cut)
    stop(place, way)
    place.remove("hang")
    place.up()
    assert events.wait_for(place.state, cut, DEADLINE)["state"] == "done"
    assert before == [("pending", "queued")]
    assert [state for state, _ in place.history(cut)] == ["pending", "pending", "success"]


def test_what_a_stop_cuts_short_is_an_error_where_main_has_moved_on(place: Place) -> None:
    cut = place.begin_and_hang("cut")
    waiting = place.push("waiting")
    stop(place, "down")
    place.remove("hang")
    place.up()
    assert events.wait_for(place.state, waiting, DEADLINE)["state"] == "done"
    assert events.wait_for(place.state, cut, DEADLINE)["state"] == "failed"
    assert place.history(cut)[-1][0] == "error" and "the sandbox stopped before" in place.history(cut)[-1][1]
    assert place.history(waiting)[-1][0] == "success"


@pytest.mark.parametrize(("said", "becomes"), [("success", "done"), ("failure", "failed")])
def test_what_the_command_had_said_before_a_kill_is_its_end(place: Place, said: str, becomes: str) -> None:
    place.lay("say", json.dumps({"state": said, "context": "jukebox/ct", "description": "its own"}))
    revision = place.begin_and_hang(f"{said}, then killed")
    stop(place, "kill")
    place.remove("hang")
    place.up()
    assert events.wait_for(place.state, revision, DEADLINE)["state"] == becomes
    assert [state for state, _ in place.history(revision)] == ["pending", said]


def test_a_head_whose_event_was_lost_is_queued_at_the_next_start_and_once(place: Place) -> None:
    hook = bare_repository(place.state, "user1", "jukebox") / "hooks" / "post-receive"
    hook.write_text("#!/bin/sh\nexit 0\n")
    lost = place.push("lost")
    assert place.history(lost) == []
    for _ in range(2):
        laptop.down(place.state)
        place.up()
        event = events.wait_for(place.state, lost, DEADLINE)
        assert (event["state"], event["ref"], event["repository"]) == ("done", "refs/heads/main", "jukebox")
        assert [state for state, _ in place.history(lost)] == ["pending", "success"]


def test_a_lost_head_that_was_pushed_to_another_branch_before_is_queued_too(place: Place) -> None:
    revision = place.commit("on a branch")
    git(place.settings.clone(), "push", "--quiet", "origin", "HEAD:refs/heads/branch")
    assert events.wait_for(place.state, revision, DEADLINE)["state"] == "ignored"
    hook = bare_repository(place.state, "user1", "jukebox") / "hooks" / "post-receive"
    hook.write_text("#!/bin/sh\nexit 0\n")
    git(place.settings.clone(), "push", "--quiet")
    stop(place, "down")
    place.up()
    assert events.wait_for(place.state, revision, DEADLINE)["state"] == "done"


@pytest.fixture
def as_step(place: Place, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of the step that commits; the repository's address."""
    secret = place.settings.secret("git-auth") | {"JUKEBOX_GIT_SERVER": place.settings.git_server}
    for key, value in secret.items():
        monkeypatch.setenv(key, value)
    return place.settings.repository_url()


def untrained(place: Place) -> list[tuple[str, str]]:
    known = laptop.status(place.state)["untrained"]
    return [(one["revision"], one["status"]) for one in known if one["repository"] == "jukebox"]


def test_a_push_that_was_lost_is_untrained_until_no_news_delivers_it_again(place: Place, as_step: str) -> None:
    hook = bare_repository(place.state, "user1", "jukebox") / "hooks" / "post-receive"
    was = hook.read_text()
    hook.write_text("#!/bin/sh\nexit 0\n")
    revision = place.push("lost, and no news after it")
    hook.write_text(was)
    assert untrained(place) == [(revision, "")]
    with pytest.raises(JukeboxError, match=f"{revision[:10]} of main is not trained: no run.*\nNext: .*--revision"):
        check_trained(place.settings, revision)
    assert what_became_of(as_step, revision, age=5) == "It is just pushed." and place.history(revision) == []
    assert "is delivered to the trigger once more" in what_became_of(as_step, revision, age=500)
    assert events.wait_for(place.state, revision, DEADLINE)["state"] == "done"
    assert what_became_of(as_step, revision, age=500) == check_trained(place.settings, revision) == "It is trained."
    assert untrained(place) == []
    assert [state for state, _ in place.history(revision)] == ["pending", "success"]


@pytest.mark.parametrize(("state", "again"), [("failure", False), ("error", True)])
def test_what_has_failed_is_said_and_what_never_began_is_delivered_again(
    place: Place, as_step: str, state: str, again: bool
) -> None:
    revision = place.push(f"ended as {state}")
    events.wait_for(place.state, revision, DEADLINE)
    status = {"state": state, "context": "jukebox/ct", "description": "no\x1b[31m room. Next: buy some"}
    assert place.ask(f"/jukebox/statuses/{revision}", status)[0] == 201
    assert untrained(place) == [(revision, state)]
    with pytest.raises(
        JukeboxError, match=r"is not trained: no\\x1b\[31m room\.\nNext: Train it: \./jukebox run train"
    ):
        check_trained(place.settings, revision)
    said = what_became_of(as_step, revision, age=0)
    assert said.isprintable()
    if again:
        assert said.endswith("its push is delivered to the trigger once more.")
        assert eventually(lambda: place.history(revision)[-1][0] == "success")
    else:
        assert f"Next: ./jukebox run training-pipeline --revision {revision[:10]}" in said
        assert place.history(revision)[-1][0] == "failure"


def test_no_news_on_another_git_server_names_the_command(place: Place, as_step: str) -> None:
    assert "does not say. Next: ./jukebox run" in what_became_of("https://git.example.com/a/b.git", "0" * 40, age=500)


def test_what_an_older_kit_has_trained_is_not_trained_again(place: Place) -> None:
    revision = place.push("of an older kit")
    assert events.wait_for(place.state, revision, DEADLINE)["state"] == "done"
    before = events.events(place.state)
    laptop.down(place.state)
    with sqlite3.connect(place.state / "pipeline-server" / "server.db") as database:
        database.execute("DELETE FROM commit_statuses")  # it had no statuses
    database.close()
    place.up()
    assert events.events(place.state) == before and place.history(revision) == []


def test_a_fresh_sandbox_starts_nothing_however_often_it_starts(tmp_path: Path) -> None:
    one = Place(tmp_path)
    try:
        laptop.down(one.state)
        one.up()
        assert events.events(one.state) == []
        assert one.history("main") == []
        assert read_sandbox(one.state).user == "user1"
    finally:
        laptop.down(one.state, delete=True)
