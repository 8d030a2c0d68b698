import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import psutil
import pytest
from stand_in import stand_in_configuration
from waiting import DEADLINE, eventually

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.settings import GITOPS_REPOSITORY, KIT, REPOSITORY, Settings, find_settings
from jukebox_helpers.steps import s3
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_sandbox import buckets, events
from jukebox_sandbox.configuration import read_configuration
from jukebox_sandbox.control import ALREADY_RUNNING
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.events import sign
from jukebox_sandbox.ports import known_ports
from jukebox_sandbox.repositories import bare_repository, git
from jukebox_sandbox.state import read_sandbox

# Reads its own revision, then waits for the test's word; its child and its detached grandchild wait as well.
TRAINING = """
import os, pathlib, subprocess, sys, time
revision, state = sys.argv[1], pathlib.Path(os.environ["JUKEBOX_STATE"])
print("training from", revision, flush=True)
if (state / "hang").exists():
    sleep = [sys.executable, "-c", "import time; time.sleep(600)", str(state)]
    subprocess.Popen(sleep)
    subprocess.Popen(sleep, start_new_session=True)
    (state / "hanging").write_text(str(os.getpid()))
    time.sleep(600)
sys.exit((state / "fail").exists())
"""


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = tmp_path_factory.mktemp("training") / "training.py"
    file.write_text(TRAINING)
    return [sys.executable, str(file), "{revision}"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, training: list[str], no_platform_around: None) -> Iterator[Settings]:
    """A sandbox for the tests of this file, which push to it."""
    state = tmp_path_factory.mktemp("a place with spaces & 'quotes'") / "state"
    yield laptop.up(state, lifeline=True, configuration=stand_in_configuration(state.parent, training))
    laptop.down(state, delete=True)


def all_secrets(settings: Settings) -> list[str]:
    return [
        settings.secret("git-auth")["password"],
        settings.secret("s3")["AWS_SECRET_ACCESS_KEY"],
        settings.secret("sandbox")["webhook_key"],
    ]


def processes_of(state: Path) -> list[psutil.Process]:
    """Every process that knows the state folder, but the test's own."""
    found = []
    for process in psutil.process_iter():
        try:
            known = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(str(state) in text for text in known):
            found.append(process)
    return found


def gone(state: Path) -> bool:
    return bool(eventually(lambda: not processes_of(state)))


def commit(clone: Path, file: str = "song.txt", text: str | bytes = "la") -> str:
    (clone / file).parent.mkdir(parents=True, exist_ok=True)
    (clone / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--allow-empty", "-m", f"Change {file}")
    return git(clone, "rev-parse", "HEAD")


def another_clone(settings: Settings, folder: Path, *options: str, name: str = REPOSITORY) -> Path:
    """A clone over HTTP, with the attendee's credentials."""
    helper = git(settings.clone(), "config", "--get-urlmatch", "credential.helper", settings.cluster_domain)
    arguments = ["-c", "credential.helper=", "-c", f"credential.helper={helper}", *options]
    git(folder.parent, "clone", "--quiet", *arguments, settings.repository_url(name), str(folder))
    git(folder, "config", "user.name", "other")
    git(folder, "config", "user.email", "other@example.com")
    return folder


def ask(
    settings: Settings, path: str, password: str | None = None, method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(settings.cluster_domain.removeprefix("http://"), timeout=DEADLINE)
    if password is not None:
        token = base64.b64encode(f"{settings.user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read()


def deliver(settings: Settings, event: dict[str, Any], kind: str = "push", key: str | None = None) -> tuple[int, Any]:
    body = json.dumps(event).encode()
    signature = sign(body, key or settings.secret("sandbox")["webhook_key"])
    status, answer = ask(settings, "/events", method="POST", body=body, X_Gitea_Event=kind, X_Gitea_Signature=signature)
    return status, json.loads(answer)


# What a sandbox is.


def test_it_is_found_by_its_state_folder(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUKEBOX_STATE", str(own.state))
    assert find_settings() == own
    assert own.platform == "sandbox"
    assert own.namespace == "user1-toolings"
    assert own.repository_url() == f"{own.cluster_domain}/user1/jukebox.git"
    known = json.loads((own.state / "platform.json").read_text())
    assert known["registry"] == known["base_url"] == own.cluster_domain


def test_secrets_are_files_for_this_user_only_and_stand_nowhere_else(own: Settings) -> None:
    files = [file for file in own.secrets.rglob("*") if file.is_file()]
    assert len(files) > 10
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert own.state.stat().st_mode & 0o777 == 0o700
    assert (own.state / "s3" / "identities.json").stat().st_mode & 0o777 == 0o600

    told = [file.read_text(errors="replace") for file in own.state.glob("*") if file.is_file()]
    told += [(own.clone(name) / ".git" / "config").read_text() for name in (REPOSITORY, GITOPS_REPOSITORY)]
    told += [(own.state / "s3" / "weed.log").read_text(), json.dumps(laptop.status(own.state))]
    told += [part for process in processes_of(own.state) for part in process.cmdline()]
    for secret in all_secrets(own):
        assert not [text for text in told if secret in text]


def test_everything_listens_on_loopback_only(own: Settings) -> None:
    listening = [
        connection.laddr.ip
        for process in processes_of(own.state)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 5
    assert set(listening) == {"127.0.0.1"}


def test_s3_checks_signatures_and_nothing_leads_around_it(own: Settings) -> None:
    secret = own.secret("aws-connection-pipeline")
    client = s3.s3_client(secret)
    client.put_object(Bucket=secret["AWS_S3_BUCKET"], Key="song", Body=b"la")
    assert client.get_object(Bucket="pipeline", Key="song")["Body"].read() == b"la"

    filer = f"http://127.0.0.1:{known_ports(own.state)['filer']}"
    for url in (f"{own.s3_endpoint}/pipeline/song", f"{own.s3_endpoint}/", f"{filer}/buckets/pipeline/song"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url, timeout=DEADLINE)
        assert caught.value.code in (400, 403)  # the filer speaks TLS only: test_strangers
    with pytest.raises(client.exceptions.NoSuchBucket):
        client.put_object(Bucket="not-in-the-file", Key="song", Body=b"la")


def test_the_buckets_of_the_file_are_there_with_their_connections(own: Settings) -> None:
    assert {"pipeline", "models"} <= set(laptop.status(own.state)["buckets"])
    secret = own.secret("aws-connection-models")
    assert secret["AWS_S3_BUCKET"] == "models"
    assert secret["AWS_S3_ENDPOINT"] == own.s3_endpoint


def test_status_says_where_everything_is(own: Settings) -> None:
    status = laptop.status(own.state)
    assert status["running"]
    assert psutil.pid_exists(status["pid"])
    assert status["dashboard"].startswith(f"{own.cluster_domain}/dashboard/?login=")
    assert status["clones"][REPOSITORY] == str(own.clone())
    assert status["repositories"][GITOPS_REPOSITORY] == own.repository_url(GITOPS_REPOSITORY)


# Git.


def test_the_repositories_begin_as_the_kit_is_and_that_is_no_event(fresh_sandbox: Settings) -> None:
    for name, folder in ((REPOSITORY, ""), (GITOPS_REPOSITORY, "mlops-gitops")):
        clone = fresh_sandbox.clone(name)
        tracked = git(KIT / folder, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
        there = [file for file in tracked if (KIT / folder / file).is_file()]
        assert sorted(git(clone, "ls-files").splitlines()) == sorted(set(there))
        for file in ("README.md", "sandbox.toml") if not folder else ("toolings/minio/config.yaml",):
            assert (clone / file).read_bytes() == (KIT / folder / file).read_bytes()
        assert git(clone, "log", "--format=%s") == "The workshop as it starts"
        assert git(clone, "status", "--porcelain", "--branch") == "## main...origin/main"
        git(bare_repository(fresh_sandbox.state, "user1", name), "fsck", "--strict")
    assert events.events(fresh_sandbox.state) == []


def make_kit(folder: Path) -> Path:
    """The least that a sandbox can serve."""
    (folder / "mlops-gitops").mkdir(parents=True)
    (folder / ".gitignore").write_text(".venv/\n")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "python").touch()
    (folder / "README.md").write_text("Hello\n")
    (folder / "mlops-gitops" / "config.yaml").touch()
    (folder / "sandbox.toml").write_text(laptop.CONFIGURATION.read_text())
    return folder


def seeded_files(state: Path, name: str = REPOSITORY) -> list[str]:
    return git(bare_repository(state, "user1", name), "ls-tree", "-r", "--name-only", "main").split()


def test_a_kit_that_is_no_checkout_is_seeded_too(tmp_path: Path) -> None:
    from jukebox_sandbox import repositories

    kit = make_kit(tmp_path / "kit")
    repositories.seed(tmp_path / "state", "user1", read_configuration(kit / "sandbox.toml"))
    assert seeded_files(tmp_path / "state") == [".gitignore", "README.md", "mlops-gitops/config.yaml", "sandbox.toml"]
    assert seeded_files(tmp_path / "state", GITOPS_REPOSITORY) == ["config.yaml"]
    assert repositories.uncommitted(kit) == []


def test_the_working_tree_is_what_a_sandbox_begins_with_and_the_checkout_stays_as_it_is(tmp_path: Path) -> None:
    from jukebox_sandbox import repositories

    kit = make_kit(tmp_path / "kit")
    git(kit, "init", "--quiet", "--initial-branch=main")
    git(kit, "add", "--all")
    git(kit, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "The kit")
    (kit / "README.md").write_text("Edited\n")
    (kit / "new.txt").touch()
    (kit / "mlops-gitops" / "config.yaml").unlink()
    (kit / "mlops-gitops" / "other.yaml").touch()
    git(kit, "add", "new.txt")
    before = git(kit, "status", "--porcelain")
    repositories.seed(tmp_path / "state", "user1", read_configuration(kit / "sandbox.toml"))
    assert git(bare_repository(tmp_path / "state", "user1", REPOSITORY), "show", "main:README.md") == "Edited"
    assert seeded_files(tmp_path / "state") == [
        ".gitignore", "README.md", "mlops-gitops/other.yaml", "new.txt", "sandbox.toml",
    ]  # fmt: skip
    assert seeded_files(tmp_path / "state", GITOPS_REPOSITORY) == ["other.yaml"]
    assert git(kit, "status", "--porcelain") == before
    edited = ["README.md", "mlops-gitops/config.yaml", "mlops-gitops/other.yaml", "new.txt"]
    assert repositories.uncommitted(kit) == edited
    git(bare_repository(tmp_path / "state", "user1", REPOSITORY), "fsck", "--strict")


def test_up_says_where_the_working_tree_differs_from_the_last_commit(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "kit")
    git(kit, "init", "--quiet")
    git(kit, "add", "--all")
    git(kit, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "The kit")
    (kit / "README.md").write_text("Edited\n")
    state = tmp_path / "state"
    try:
        notes = laptop.up(state, lifeline=True, configuration=kit / "sandbox.toml").notes
        assert len(notes) == 1 and "differs from its last commit: README.md." in notes[0]
        laptop.down(state)
        assert laptop.up(state, lifeline=True, configuration=kit / "sandbox.toml").notes == ()  # seeded before
    finally:
        laptop.down(state)


def test_the_state_of_an_older_kit_is_kept_and_what_has_no_place_in_it_moves_aside(tmp_path: Path) -> None:
    state = tmp_path / "state"
    laptop.up(state, lifeline=True)
    laptop.down(state)
    (state / "version").unlink()
    (state / "sandbox.json").write_text("{}")
    (state / "registry").mkdir()
    with sqlite3.connect(state / "registry" / "registry.db") as connection:
        connection.executescript((KIT / "tests/data/registry-of-version-1.sql").read_text(encoding="utf-8"))
    head = git(state / "work" / REPOSITORY, "rev-parse", "HEAD")
    try:
        settings = laptop.up(state, lifeline=True)
        assert "registry, sandbox.json moved to" in settings.notes[0]
        assert model_registry(settings).find("jukebox", "9b8a7c6d5e")["production"]
        assert (state / "before-2" / "sandbox.json").read_text() == "{}"
        assert (state / "version").read_text() == "2\n"
        assert git(settings.clone(), "ls-remote", "origin", "refs/heads/main").split()[0] == head
        laptop.down(state)
        (state / "version").write_text("99\n")
        with pytest.raises(JukeboxError, match="format '99', which this kit does not know"):
            laptop.up(state, lifeline=True)
    finally:
        (state / "version").write_text("2\n")
        laptop.down(state)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/user1/",
        "/user1/jukebox/",
        "/user1/jukebox.git",
        "/user1/jukebox.git/info/refs?service=git-upload-pack",
        "/user1/jukebox.git/info/refs?service=git-receive-pack",
        "/user1/jukebox.git/git-receive-pack",
        "/nothing",
    ],
)
def test_nothing_answers_without_the_password(own: Settings, path: str) -> None:
    assert ask(own, path)[0] == 401
    assert ask(own, path, password="wrong")[0] == 401
    assert ask(own, path, method="POST")[0] == 401


def test_there_are_pages_to_look_at(own: Settings) -> None:
    password = own.secret("git-auth")["password"]
    for path in ("/", "/dashboard", "/user1", "/user1/"):
        assert ask(own, path, password)[0] == 302
    status, page = ask(own, "/dashboard/pipelines", password)
    assert status == 200 and b'href="/user1/jukebox/"' in page
    for path in ("/user1/jukebox/", "/user1/jukebox/blob/main/pyproject.toml", "/user1/mlops-gitops/"):
        assert ask(own, path, password)[0] == 200
    assert b"jukebox-helpers" in ask(own, "/user1/jukebox/blob/main/pyproject.toml", password)[1]
    assert ask(own, "/user1/nothing/", password)[0] == 404


def test_the_pictures_and_folders_of_a_readme_are_found(own: Settings) -> None:
    def open_page(path: str, accept: str = "text/html,image/webp,*/*;q=0.8") -> tuple[int, str | None, bytes]:
        # As a browser does: what it wants for a page, and for an <img>.
        request = urllib.request.Request(urljoin(own.cluster_domain, path), headers={"Accept": accept})
        login = f"{own.user}:{own.secret('git-auth')['password']}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=DEADLINE) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()

    page = open_page("/user1/jukebox/")[2].decode()
    (base,) = re.findall(r'<base href="([^"]+)"', page)
    (picture,) = re.findall(r'<img [^>]*src="(docs/[^"]+)"', page)
    for accept in ("image/avif,image/webp,image/svg+xml,image/*,*/*;q=0.8", "*/*"):
        status, kind, shown = open_page(urljoin(base, picture), accept)
        assert (status, kind) == (200, "image/svg+xml")
        assert shown == (KIT / picture).read_bytes()
    assert open_page(urljoin(base, picture))[1] == "text/html; charset=utf-8"
    assert open_page(f"/user1/jukebox/raw/main/{picture}", "*/*")[1] == "image/svg+xml"
    assert b"conftest.py" in open_page(urljoin(base, "tests/"))[2]
    assert b"Architecture, in one page" in open_page(urljoin(base, "docs/architecture.md"))[2]


def test_git_refuses_what_is_not_its_protocol(own: Settings) -> None:
    password = own.secret("git-auth")["password"]
    assert ask(own, "/user1/jukebox.git/HEAD", password)[0] == 404
    assert ask(own, "/user1/jukebox.git/info/refs", password)[0] == 403
    assert ask(own, "/user1/jukebox.git/info/refs?service=git-shell", password)[0] == 403
    assert ask(own, "/user1/nothing.git/info/refs?service=git-upload-pack", password)[0] == 404
    assert ask(own, "/user1/..%2f..%2fsecrets.git/info/refs?service=git-upload-pack", password)[0] == 404
    form = {"Content_Type": "text/plain"}
    assert ask(own, "/user1/jukebox.git/git-receive-pack", password, method="POST", body=b"x", **form)[0] == 400


def test_a_wrong_password_is_refused_by_git(own: Settings, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"Authentication failed|could not read Username"):
        helper = "credential.helper=!printf 'username=user1\\npassword=wrong\\n'"
        url = own.repository_url()
        git(tmp_path, "clone", "-c", "credential.helper=", "-c", helper, url, str(tmp_path / "clone"))


def test_a_pull_keeps_commits_and_edits_when_somebody_else_pushed_first(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[pull]\nff = only\n")  # what many a developer has set
    other, clone = another_clone(own, tmp_path / "other"), own.clone()
    git(clone, "pull", "--quiet")
    theirs = commit(other, "of-the-pipeline.txt")
    git(other, "push", "--quiet")
    commit(clone, "of-the-attendee.txt")
    with (clone / "README.md").open("a") as file:
        file.write("an edit without a commit")
    with pytest.raises(SandboxError, match="rejected"):
        git(clone, "push", "--quiet")
    attendee = {**os.environ, "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    git(clone, "pull", "--quiet", environment=attendee)
    assert git(clone, "rev-parse", "HEAD^") == theirs
    assert git(clone, "status", "--porcelain", "--untracked-files=no") == " M README.md"
    git(clone, "push", "--quiet")
    git(clone, "checkout", "--quiet", "README.md")
    assert git(clone, "rev-parse", "HEAD") == git(clone, "ls-remote", "origin", "main").split()[0]


def test_large_pushes_and_shallow_clones(own: Settings, tmp_path: Path) -> None:
    writer = another_clone(own, tmp_path / "writer")
    noise = os.urandom(12_000_000)
    head = commit(writer, "noise.bin", noise)
    git(writer, "push", "--quiet", "origin", "HEAD:noise")

    reader = another_clone(own, tmp_path / "reader", "--depth", "1", "--branch", "noise")

    assert (reader / "noise.bin").read_bytes() == noise
    assert git(reader, "rev-list", "--all") == head


def test_an_empty_repository_can_be_cloned_and_pushed_to(own: Settings, tmp_path: Path) -> None:
    empty = bare_repository(own.state, "user1", "empty")
    empty.mkdir()
    git(empty, "init", "--quiet", "--bare")
    clone = another_clone(own, tmp_path / "clone", name="empty")
    head = commit(clone)
    git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    assert git(empty, "rev-parse", "main") == head


def test_of_racing_pushes_one_is_taken_and_the_others_are_told(own: Settings, tmp_path: Path) -> None:
    clones = [another_clone(own, tmp_path / f"clone{number}") for number in range(5)]
    for number, clone in enumerate(clones):
        commit(clone, f"race{number}.txt")
    told: dict[int, bool] = {}

    def push(number: int) -> None:
        try:
            git(clones[number], "push", "--quiet", "origin", "HEAD:race")
            told[number] = True
        except SandboxError:
            told[number] = False

    threads = [threading.Thread(target=push, args=(number,)) for number in range(len(clones))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    taken = [number for number, ok in told.items() if ok]
    assert len(told) == 5
    assert len(taken) == 1
    race = git(bare_repository(own.state, "user1", REPOSITORY), "rev-parse", "race")
    assert race == git(clones[taken[0]], "rev-parse", "HEAD")


# The trigger.


def test_a_push_to_main_trains_from_that_revision(own: Settings) -> None:
    revision = commit(own.clone())
    git(own.clone(), "push", "--quiet")
    event = events.wait_for(own.state, revision, DEADLINE)
    assert event["state"] == "done"
    assert (event["repository"], event["ref"]) == (REPOSITORY, "refs/heads/main")
    assert event["version"] == revision[:10]
    assert Path(event["log"]).read_text() == f"training from {revision}\n"


def test_pushes_are_worked_through_in_order(own: Settings) -> None:
    revisions = []
    for number in range(3):
        revisions.append(commit(own.clone(), text=str(number)))
        git(own.clone(), "push", "--quiet")
    events.wait_for(own.state, revisions[-1], DEADLINE)
    lines = [json.loads(line) for line in (own.state / "events.jsonl").read_text().splitlines()]
    steps = [(line["revision"], line["state"]) for line in lines if line["revision"] in revisions]
    worked = [step for step in steps if step[1] != "queued"]
    assert worked == [(revision, state) for revision in revisions for state in ("running", "done")]


def test_a_failed_training_is_recorded_with_its_last_words(own: Settings) -> None:
    (own.state / "fail").touch()
    try:
        revision = commit(own.clone(), text="fail")
        git(own.clone(), "push", "--quiet")
        event = events.wait_for(own.state, revision, DEADLINE)
    finally:
        (own.state / "fail").unlink()
    assert event["state"] == "failed"
    assert event["detail"] == f"exit code 1\ntraining from {revision}"


def test_another_branch_a_tag_and_a_deletion_train_nothing(own: Settings) -> None:
    clone = own.clone()
    git(clone, "checkout", "--quiet", "-b", "idea")
    revision = commit(clone, text="idea")
    git(clone, "push", "--quiet", "origin", "idea", "HEAD:refs/tags/v1")
    git(clone, "push", "--quiet", "origin", ":idea")
    git(clone, "checkout", "--quiet", "main")

    latest = events.events(own.state)[-3:]
    assert {event["ref"] for event in latest} == {"refs/heads/idea", "refs/tags/v1"}
    assert {event["state"] for event in latest} == {"ignored"}
    assert latest[0]["revision"] == revision
    assert "not to refs/heads/main" in latest[0]["detail"]


def test_an_unsigned_or_wrongly_signed_event_is_refused(own: Settings) -> None:
    before = len(events.events(own.state))
    event = {"ref": "refs/heads/main", "after": "a" * 40, "repository": {"name": REPOSITORY}}
    body = json.dumps(event).encode()
    assert ask(own, "/events", method="POST", body=body, X_Gitea_Event="push")[0] == 403
    assert deliver(own, event, key="wrong")[0] == 403
    signature = sign(body, own.secret("sandbox")["webhook_key"])
    changed = body.replace(b"a" * 40, b"b" * 40)
    headers = {"X_Gitea_Event": "push", "X_Gitea_Signature": signature}
    assert ask(own, "/events", method="POST", body=changed, **headers)[0] == 403
    assert ask(own, "/events", own.secret("git-auth")["password"], method="POST", body=body)[0] == 403
    assert len(events.events(own.state)) == before  # anybody may have sent them: they leave nothing


def test_signed_events_that_are_no_push_to_main_are_ignored(own: Settings) -> None:
    repository = {"name": REPOSITORY, "full_name": f"user1/{REPOSITORY}"}
    event = {"ref": "refs/heads/main", "after": "a" * 40, "repository": repository}
    for answer, reason in (
        (deliver(own, event, kind="issues"), "'issues'"),
        (deliver(own, event | {"ref": "refs/heads/other"}), "refs/heads/other"),
        (deliver(own, event | {"after": "0" * 40}), "deleted"),
        (deliver(own, event | {"repository": {"name": "empty", "full_name": "user1/empty"}}), "nothing follows"),
        (deliver(own, event | {"repository": {**repository, "full_name": "user2/jukebox"}}), "user2/jukebox"),
        # A branch that is made or deleted: no "after".
        (deliver(own, {"ref": "idea", "ref_type": "branch", "repository": repository}, kind="delete"), "'delete'"),
    ):
        assert answer[0] == 202
        assert answer[1]["state"] == "ignored"
        assert reason in answer[1]["detail"]
    assert deliver(own, {"ref": "refs/heads/main"})[1]["state"] == "refused"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"after": "../../x"}, "'../../x' is not 40 hexadecimal digits"),
        ({"after": "a" * 39}, "40 hexadecimal digits"),
        ({"after": "a" * 40 + "\n"}, "40 hexadecimal digits"),
        ({"after": "--upload-pack=x".ljust(40, "a")}, "40 hexadecimal digits"),
        ({"after": ["a" * 40]}, "not a text"),
        ({"after": 7}, "not a text"),
        ({"after": None}, "not a text"),
        ({"ref": ["refs/heads/main"]}, "not a text"),
        ({"repository": {"name": [REPOSITORY], "full_name": "user1/jukebox"}}, "not a text"),
        ({"repository": "jukebox"}, "not a push event"),
    ],
)
def test_a_signed_event_that_names_no_commit_is_refused(own: Settings, changed: dict[str, Any], reason: str) -> None:
    def files() -> set[Path]:
        return {path for path in own.state.parent.rglob("*.log") if "s3" not in path.parts}

    before = files()
    repository = {"name": REPOSITORY, "full_name": f"user1/{REPOSITORY}"}
    event = {"ref": "refs/heads/main", "after": "a" * 40, "repository": repository}
    status, answer = deliver(own, event | changed)
    assert (status, answer["state"]) == (403, "refused") and reason in answer["detail"]
    assert events.events(own.state)[-1]["revision"] == "" and files() == before


def test_a_body_that_cannot_be_read_is_refused(own: Settings) -> None:
    for body in (b"[" * 500_000, b"[]", b"7", b"\xff"):
        signature = sign(body, own.secret("sandbox")["webhook_key"])
        assert (
            ask(own, "/events", method="POST", body=body, X_Gitea_Event="push", X_Gitea_Signature=signature)[0] == 403
        )


def test_a_clone_gives_the_password_to_its_sandbox_only(fresh_sandbox: Settings) -> None:
    clone, here = fresh_sandbox.clone(), fresh_sandbox.cluster_domain
    # As an older kit wrote it, for every server, at another place and another port.
    for value in ("", "!f() { cat /elsewhere/secrets/sandbox/credential; }; f"):
        git(clone, "config", "--add", "credential.helper", value)
    git(clone, "config", "--add", "credential.http://127.0.0.1:9.helper", "!cat /elsewhere/secrets/sandbox/credential")
    git(clone, "config", "--add", "credential.https://example.com.helper", "cache")
    laptop.down(fresh_sandbox.state)
    here = laptop.up(fresh_sandbox.state, lifeline=True).cluster_domain

    helpers = git(clone, "config", "--local", "--get-regexp", r"^credential\..*helper$").splitlines()
    assert {line.split()[0] for line in helpers} == {
        f"credential.{here}.helper",
        "credential.https://example.com.helper",
    }
    assert len(helpers) == 3 and "/elsewhere" not in "".join(helpers)
    assert git(clone, "ls-remote", "origin", "refs/heads/main")


def test_the_event_has_giteas_shape(own: Settings) -> None:
    from jukebox_sandbox import hooks

    first, last = git(own.clone(), "rev-list", "main").splitlines()[-1], git(own.clone(), "rev-parse", "main")
    bare = bare_repository(own.state, "user1", REPOSITORY)
    event = hooks.push_event(read_sandbox(own.state), bare, first, last, "refs/heads/main")
    begun = hooks.push_event(read_sandbox(own.state), bare, "0" * 40, first, "refs/heads/main")
    assert (event["ref"], event["before"], event["after"]) == ("refs/heads/main", first, last)
    assert event["head_commit"]["id"] == last == event["commits"][0]["id"]
    assert event["commits"][0]["message"].startswith("Change ")
    assert event["repository"]["full_name"] == "user1/jukebox"
    assert event["repository"]["clone_url"] == own.repository_url()
    assert event["pusher"]["username"] == "user1"
    assert [commit["id"] for commit in begun["commits"]] == [first]


# Buckets by push.


def test_a_push_of_buckets_applies_them_and_a_bad_one_is_refused_to_its_pusher(own: Settings) -> None:
    clone = own.clone(GITOPS_REPOSITORY)
    config = clone / CONFIG
    good = config.read_text() + "  - name: data\n  - name: data-cache\n"
    revision = commit(clone, CONFIG, good)
    git(clone, "push", "--quiet")

    event = events.wait_for(own.state, revision, DEADLINE)
    assert event["state"] == "done"
    assert event["detail"] == "pipeline: unchanged; models: unchanged; data: created; data-cache: created"
    assert own.secret("aws-connection-data-cache")["AWS_S3_BUCKET"] == "data-cache"
    s3.s3_client(own.secret("aws-connection-data")).head_bucket(Bucket="data")

    known = events.events(own.state)
    commit(clone, CONFIG, good + "  - name: Data\n")
    with pytest.raises(SandboxError, match=r"config.yaml:8: illegal bucket name 'Data'"):
        git(clone, "push", "--quiet")
    assert git(clone, "rev-parse", "origin/main") == revision
    assert events.events(own.state) == known

    git(clone, "reset", "--quiet", "--hard", revision)
    fewer = commit(clone, CONFIG, good.replace("  - name: pipeline\n", ""))
    git(clone, "push", "--quiet")
    assert "pipeline: kept, not in the file" in events.wait_for(own.state, fewer, DEADLINE)["detail"]
    assert "pipeline" in laptop.status(own.state)["buckets"]

    nothing = commit(clone, "README.md", "What the cluster should hold\n")
    git(clone, "push", "--quiet")
    assert "unchanged" in events.wait_for(own.state, nothing, DEADLINE)["detail"]


# Starting, stopping, dying.


def test_up_is_idempotent_and_two_sandboxes_do_not_meet(own: Settings, sandbox: Settings) -> None:
    pid = laptop.status(own.state)["pid"]
    assert laptop.up(own.state) == own
    assert laptop.status(own.state)["pid"] == pid

    mine, others = own.secret("s3"), sandbox.secret("s3")
    assert not set(known_ports(own.state).values()) & set(known_ports(sandbox.state).values())
    with pytest.raises((JukeboxError, SandboxError), match="refuses these credentials"):
        buckets.apply(["data"], s3.s3_client({**mine, "AWS_S3_ENDPOINT": others["AWS_S3_ENDPOINT"]}))
    assert ask(own, "/", sandbox.secret("git-auth")["password"])[0] == 401
    assert deliver(own, {}, key=sandbox.secret("sandbox")["webhook_key"])[0] == 403


def test_of_servers_that_start_on_one_state_folder_one_holds_it(tmp_path: Path) -> None:
    state, file = tmp_path / "state", stand_in_configuration(tmp_path)
    with ThreadPoolExecutor() as starts:
        began = [starts.submit(laptop.up, state, lifeline=True, configuration=file) for _ in range(3)]
    first, second, third = (one.result() for one in began)
    try:
        assert first.cluster_domain == second.cluster_domain == third.cluster_domain
        known = laptop.status(state)
        another = [sys.executable, "-m", "jukebox_sandbox.supervisor", str(state), str(file)]
        done = subprocess.run(another, cwd=KIT, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (ALREADY_RUNNING, "", "")
        assert laptop.status(state)["pid"] == known["pid"]
        holders = [
            one.pid for one in psutil.process_iter(["cmdline"])
            if {"jukebox_sandbox.supervisor", str(state)} <= set(one.info["cmdline"] or [])
        ]  # fmt: skip
        assert holders == [known["pid"]]
    finally:
        laptop.down(state, delete=True)


def hang(settings: Settings) -> str:
    """Push a revision whose training hangs, with a child and a detached grandchild."""
    (settings.state / "hang").touch()
    revision = commit(settings.clone(), text="hang")
    git(settings.clone(), "push", "--quiet")
    assert eventually((settings.state / "hanging").exists)
    return revision


def test_a_killed_supervisor_leaves_nothing_and_its_state_can_be_started_again(
    tmp_path: Path, training: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    first = laptop.up(state, configuration=stand_in_configuration(state.parent, training))
    ports, before = known_ports(state), [first.secret(name) for name in ("git-auth", "s3", "sandbox")]
    client = s3.s3_client(first.secret("aws-connection-pipeline"))
    client.put_object(Bucket="pipeline", Key="song", Body=b"la" * 1_000_000)
    revision = hang(first)
    assert len(processes_of(state)) >= 7

    os.kill(laptop.status(state)["pid"], signal.SIGKILL)
    assert gone(state)
    assert not events.is_running(state)
    assert laptop.status(state) == {"running": False, "state": str(state)}
    (state / "hang").unlink()
    (state / "hanging").unlink()

    # As in a terminal that was opened in this sandbox: it is still the sandbox that starts the server.
    for key, value in first.secret("s3").items():
        monkeypatch.setenv(key, value)
    again = laptop.up(state, configuration=stand_in_configuration(state.parent, training))
    try:
        assert again == first
        assert known_ports(state) == ports
        assert [again.secret(name) for name in ("git-auth", "s3", "sandbox")] == before
        stored = s3.s3_client(again.secret("aws-connection-pipeline"))
        assert stored.get_object(Bucket="pipeline", Key="song")["Body"].read() == b"la" * 1_000_000
        assert git(again.clone(), "ls-remote", "origin", "main").split()[0] == revision
        assert events.wait_for(state, revision, DEADLINE)["state"] == "done"  # it is the head: it was queued again
        stopped = hang(again)
    finally:
        assert laptop.down(state)
    assert gone(state)
    assert not laptop.down(state)
    last = events.events(state)[-1]
    assert (last["revision"], last["state"]) == (stopped, "running")  # the next start takes it up
    assert (again.clone() / "song.txt").read_text() == "hang"
    left = {f"/tmp/seaweedfs-{name.split('.')[0]}-grpc-{number}.sock" for name, number in ports.items()}
    assert not [path for path in left if Path(path).exists()]


def test_a_killed_training_takes_its_children_along_and_the_next_one_runs(own: Settings) -> None:
    revision = hang(own)
    (own.state / "hang").unlink()
    os.kill(int((own.state / "hanging").read_text()), signal.SIGKILL)
    event = events.wait_for(own.state, revision, DEADLINE)
    assert event["state"] == "failed"
    assert "exit code 137" in event["detail"]
    assert eventually(lambda: not [p for p in processes_of(own.state) if "time.sleep(600)" in str(p.cmdline())])
    following = commit(own.clone(), text="following")
    git(own.clone(), "push", "--quiet")
    assert events.wait_for(own.state, following, DEADLINE)["state"] == "done"


def test_a_killed_owner_takes_its_sandbox_along(tmp_path: Path) -> None:
    state = tmp_path / "state"
    program = "import pathlib, sys, time; from jukebox_helpers import sandbox; "
    program += "sandbox.up(pathlib.Path(sys.argv[1]), lifeline=True); print('up', flush=True); time.sleep(600)"
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(state)], stdout=subprocess.PIPE, cwd=KIT, env={**os.environ}
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    assert events.is_running(state)
    owner.kill()
    owner.communicate()
    assert gone(state)
    assert not (state / "platform.json").exists()


def test_an_s3_server_of_the_environment_takes_the_place_of_its_own(
    sandbox: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in sandbox.secret("s3").items():
        monkeypatch.setenv(key, value)
    state = tmp_path / "state"
    settings = laptop.up(state, lifeline=True)
    try:
        assert settings.s3_endpoint == sandbox.s3_endpoint
        assert not [process for process in processes_of(state) if "weed" in " ".join(process.cmdline())]
        assert settings.secret("aws-connection-models") == sandbox.secret("aws-connection-models")
    finally:
        laptop.down(state)

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(JukeboxError, match=r"environment names an S3 server(.|\n)*refuses these credentials"):
        laptop.up(state)
    monkeypatch.setenv("AWS_S3_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(JukeboxError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        laptop.up(state)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(JukeboxError, match="AWS_SECRET_ACCESS_KEY is missing"):
        laptop.up(state)
    assert gone(state)


def test_ports_that_others_took_meanwhile_are_replaced(tmp_path: Path) -> None:
    state = tmp_path / "state"
    laptop.up(state, lifeline=True)
    ports = known_ports(state)
    laptop.down(state)
    others = [socket.create_server(("127.0.0.1", ports[name])) for name in ("web", "s3", "filer.grpc")]
    settings = laptop.up(state, lifeline=True)
    try:
        assert not {ports["web"], ports["s3"], ports["filer.grpc"]} & set(known_ports(state).values())
        assert git(settings.clone(), "remote", "get-url", "origin") == settings.repository_url()
        git(settings.clone(), "fetch", "--quiet")
    finally:
        laptop.down(state)
        for other in others:
            other.close()


def test_a_state_folder_can_be_moved_and_its_clones_still_pull(tmp_path: Path) -> None:
    clone = laptop.up(tmp_path / "state", lifeline=True).clone()
    laptop.down(tmp_path / "state")
    # As an older kit has left it, and with what the attendee set.
    git(clone, "config", "--unset", "rebase.autoStash")
    git(clone, "config", "pull.rebase", "merges")
    git(clone, "config", "--add", "credential.helper", "cache")
    moved = tmp_path / "Ünï cödé's kit ♫" / ".jukebox"
    moved.parent.mkdir()
    (tmp_path / "state").rename(moved)
    settings = laptop.up(moved, lifeline=True)
    try:
        for name in (REPOSITORY, GITOPS_REPOSITORY):
            git(settings.clone(name), "pull", "--quiet")
        scoped = f"credential.{settings.cluster_domain}.helper"
        ours = git(settings.clone(), "config", "--local", "--get-all", scoped).splitlines()
        assert ours[0] == "" and "/.jukebox/secrets/" in ours[1] and len(ours) == 2
        assert git(settings.clone(), "config", "--local", "--get-all", "credential.helper") == "cache"
        assert git(settings.clone(), "config", "pull.rebase") == "merges"
        assert git(settings.clone(), "config", "rebase.autoStash") == "true"
        assert (moved / "kit").read_text() == f"{KIT}\n"
    finally:
        laptop.down(moved)


def test_the_launcher_of_a_clone_says_where_its_kit_was(tmp_path: Path) -> None:
    clone = tmp_path / "state" / "work" / "jukebox"
    clone.mkdir(parents=True)
    shutil.copy(KIT / "jukebox", clone)
    (tmp_path / "state" / "supervisor.lock").touch()
    (tmp_path / "state" / "kit").write_text(f"{tmp_path}/away\n")
    refused = subprocess.run([clone / "jukebox", "status"], capture_output=True, text=True, timeout=DEADLINE)
    assert refused.returncode == 1 and f"not in {tmp_path}/away any more. Run ./jukebox up" in refused.stderr
    assert not (clone / ".venv").exists()


def test_a_folder_that_is_no_sandbox_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "home" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("42")
    with pytest.raises(JukeboxError, match="is not the state of a sandbox"):
        laptop.up(precious.parent)
    with pytest.raises(JukeboxError, match="is not the state of a sandbox"):
        laptop.down(precious.parent, delete=True)
    assert precious.read_text() == "42"
    assert laptop.down(tmp_path / "nothing", delete=True) is False


def test_a_failing_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    bare_repository(state, "user1", GITOPS_REPOSITORY).mkdir(parents=True)
    (state / "supervisor.lock").touch()
    with pytest.raises(JukeboxError, match="The sandbox does not start") as caught:
        laptop.up(state)
    assert "git clone failed" in str(caught.value)
    assert "mlops-gitops.git" in str(caught.value)
    assert gone(state)


def test_a_proxy_does_not_stand_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    state = tmp_path / "state"
    settings = laptop.up(state, lifeline=True)
    try:
        git(settings.clone(), "fetch", "--quiet")
    finally:
        laptop.down(state, delete=True)
    assert not state.exists()


def test_a_state_folder_that_addresses_would_take_apart_is_refused(tmp_path):
    with pytest.raises(JukeboxError, match="has a meaning in addresses") as refused:
        laptop.up(tmp_path / "what?")
    assert "JUKEBOX_STATE" in refused.value.next_action and not (tmp_path / "what?").exists()
