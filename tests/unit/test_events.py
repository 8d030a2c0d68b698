"""Push events: which are taken, which leave nothing, how many are kept."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_sandbox import door, events, supervisor
from jukebox_sandbox.configuration import Configuration, Repository
from jukebox_sandbox.state import Sandbox, read_secret
from jukebox_sandbox.web import Web

HEAD = "ab" * 20


class Listener:
    """The sandbox's listener, and whoever posts to it."""

    def __init__(self, state: Path) -> None:
        supervisor.make_secrets(state)
        self.state = state
        self.key = read_secret(state, "sandbox")["webhook_key"]
        self.queued: list[dict[str, Any]] = []
        repositories = {name: Repository(name, state) for name in ("jukebox", "mlops-gitops")}
        configuration = Configuration(state / "sandbox.toml", state, repositories, "mlops-gitops", "config.yaml")
        self.web = Web(Sandbox(state, "http://127.0.0.1:1", "http://s3"), configuration, self.queued.append, {})

    def post(self, body: bytes, signature: str | None = None, delivery: str = "", event: str = "push") -> Any:
        """What is answered: the status's number, and the JSON."""
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/events",
            "wsgi.input": io.BytesIO(body),
            "HTTP_X_GITEA_EVENT": event,
            "HTTP_X_GITEA_SIGNATURE": events.sign(body, self.key) if signature is None else signature,
            "HTTP_X_GITEA_DELIVERY": delivery,
        }
        status: list[str] = []
        said = b"".join(self.web(environ, lambda line, _: status.append(line)))
        return int(status[0][:3]), json.loads(said)


def payload(owner: str = "user1", **changed: Any) -> bytes:
    repository = {"name": "jukebox", "full_name": f"{owner}/jukebox"}
    return json.dumps({"repository": repository, "ref": events.MAIN, "after": HEAD} | changed).encode()


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    return Listener(tmp_path)


def test_what_is_not_signed_leaves_nothing_and_hides_no_push(listener: Listener) -> None:
    assert listener.post(payload(), delivery="first")[0] == 202
    for number in range(1500):
        status, said = listener.post(payload(), signature=f"{number:064x}", delivery=str(number))
        assert (status, said) == (403, {"state": "refused", "detail": events.UNSIGNED})
    assert [event["delivery"] for event in events.events(listener.state)] == ["first"]
    assert len(listener.queued) == 1


def test_how_often_something_unsigned_came_is_on_record_in_a_few_bytes(listener: Listener) -> None:
    for number in range(300):
        listener.post(payload(), signature=f"{number:064x}", delivery="x" * 1000)
    known = json.loads((listener.state / "refused.json").read_text())
    assert (known["number"], known["detail"]) == (300, events.UNSIGNED) and known["last"].startswith("20")
    assert (listener.state / "refused.json").stat().st_size < 200
    assert (listener.state / "refused.json").stat().st_mode & 0o777 == 0o600


def test_what_is_signed_and_refused_is_on_record_with_its_reason(listener: Listener) -> None:
    listener.post(payload(after="../x"), delivery="1")
    (event,) = events.events(listener.state)
    assert (event["state"], event["detail"]) == ("refused", "the revision '../x' is not 40 hexadecimal digits")


@pytest.mark.parametrize("kind", ["create", "delete"])
def test_a_branch_or_tag_that_is_made_or_deleted_is_ignored(listener: Listener, kind: str) -> None:
    """As Gitea sends it: a short ref, no "after" (https://docs.gitea.com/usage/webhooks)."""
    body = {"ref": "idea", "ref_type": "branch", "repository": {"name": "jukebox", "full_name": "user1/jukebox"}}
    body |= {"sha": HEAD} if kind == "create" else {"pusher_type": "user"}
    status, said = listener.post(json.dumps(body).encode(), event=kind)
    assert (status, said["state"], said["detail"]) == (202, "ignored", f"the event is {kind!r}, not 'push'")


def test_a_push_of_sixteen_thousand_files_is_taken(listener: Listener) -> None:
    files = ["data/" + "folder/" * 24 + f"{number:020}.txt" for number in range(16_000)]
    body = payload(commits=[{"id": HEAD, "added": files, "removed": [], "modified": []}])
    assert 3_100_000 < len(body) < door.EVENT_LIMIT
    status, said = listener.post(body)
    assert (status, said["state"], said["version"]) == (202, "queued", HEAD[:10])
    assert [one["revision"] for one in listener.queued] == [HEAD]
    assert (listener.state / "events.jsonl").stat().st_size < 1_000


@pytest.mark.parametrize("delivery", ["5f1d", ""])
def test_a_delivery_that_comes_again_is_taken_once(listener: Listener, delivery: str) -> None:
    status, first = listener.post(payload(), delivery=delivery)
    assert (status, first["state"]) == (202, "queued")
    for _ in range(3):
        status, again = listener.post(payload(), delivery=delivery)
        assert (status, again["state"], again["id"]) == (200, "queued", first["id"])
        assert again["detail"] == "this delivery was taken before"
    assert len(listener.queued) == len(events.events(listener.state)) == 1
    assert listener.post(payload(), delivery="another")[0] == 202


def test_a_push_to_another_owner_is_not_ours(listener: Listener) -> None:
    for owner in ("user2", "user11", "", "USER1", "user1/user1"):
        assert listener.post(payload(owner), delivery=owner)[1]["state"] == "ignored"
    assert listener.queued == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50) | st.just(HEAD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["repository", "ref", "after", "before"]), ANYTHING) | ANYTHING)
def test_a_signed_body_of_any_shape_is_judged(listener_of_all: Listener, changed: Any) -> None:
    body = payload(**changed) if isinstance(changed, dict) else json.dumps(changed).encode()
    status, said = listener_of_all.post(body)
    assert status in (200, 202, 403) and said["state"] in ("queued", "ignored", "refused")


@pytest.fixture(scope="module")
def listener_of_all(tmp_path_factory: pytest.TempPathFactory) -> Listener:
    return Listener(tmp_path_factory.mktemp("listener"))


def test_a_start_keeps_the_newest_events_and_their_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEPT", 10)
    (tmp_path / "events").mkdir()
    for number in range(30):
        log = tmp_path / "events" / f"{number}.log"
        log.write_text("x")
        event = events.record(tmp_path, events.new_event("push", str(number)) | {"log": str(log)}, "queued")
        if number != 3:  # it still waits
            events.record(tmp_path, event, "done")
    before = events.events(tmp_path)
    events.forget_old(tmp_path)
    assert events.events(tmp_path) == [before[3], *before[-10:]]
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 11
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o600
    assert {log.stem for log in (tmp_path / "events").iterdir()} == {"3", *map(str, range(20, 30))}
    assert events.delivered(tmp_path, "25") and not events.delivered(tmp_path, "5")
