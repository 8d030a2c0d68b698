"""The pages of the model registry, of PipelineRuns and of buckets' names: what leads to the bytes of a model."""

import json
import subprocess
from types import SimpleNamespace

import pytest
from page_server import page_server
from sqlalchemy import select

from jukebox_sandbox.commit_statuses import CommitStatuses
from jukebox_sandbox.events import new_event, record
from jukebox_sandbox.pages.buckets import Names
from jukebox_sandbox.pages.commits import changed_version_files, history, version_files
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.registry.resources import MODEL_VERSION, REGISTERED_MODEL, Resource
from jukebox_sandbox.pipeline_server.tables import Run, Task

OLD, NEW = "a" * 32, "b" * 32
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def pages(tmp_path):
    with page_server(tmp_path) as one:
        yield one


@pytest.fixture
def commits(pages, tmp_path, monkeypatch):
    """Two commits on main, each with a version file: their ids."""
    bare = pages.state / "git" / "user1" / "jukebox.git"
    work = tmp_path / "work"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], check=True)
    subprocess.run(["git", "clone", "-q", bare, work], check=True, capture_output=True)
    (work / ".dvc").mkdir()
    (work / ".dvc" / "config").write_text("['remote \"source\"']\n    url = s3://data\n")
    found = []
    for md5 in (OLD, NEW):
        deps = "deps:\n- path: remote://source/songs.parquet\n"
        (work / "songs.parquet.dvc").write_text(f"{deps}outs:\n- md5: {md5}\n  size: 2048\n  path: songs.parquet\n")
        git = ["git", "-C", work, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")  # what is set there counts more
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", f"Data version {md5[:4]} {HOSTILE}"], check=True)
        found.append(subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip())
    subprocess.run([*git, "push", "-q", "origin", "HEAD:main"], check=True)
    return found


def registered(pages, **properties):
    """A version of the model ``jukebox`` with some properties: its id."""
    texts = {
        key: {"double_value" if isinstance(one, float) else "string_value": one} for key, one in properties.items()
    }
    with pages.session() as session:
        model = session.scalar(select(Resource).filter_by(kind=REGISTERED_MODEL))
        if model is None:
            model = Resource(kind=REGISTERED_MODEL, name="jukebox", content={"owner": "ada"})
            session.add(model)
            session.flush()
        number = len(session.scalars(select(Resource.id)).all())
        version = Resource(
            kind=MODEL_VERSION, parent_id=model.id, name=f"{model.id}:v{number}", content={"customProperties": texts}
        )
        session.add(version)
        session.commit()
        return version.id


def a_run(pages, name):
    with pages.session() as session:
        experiment = session.connection().exec_driver_sql("select id from experiments").scalar()
        run = Run(display_name=name, experiment_id=experiment, spec="", state="SUCCEEDED")
        session.add(run)
        session.commit()
        return run.id


def test_a_version_is_followed_back_to_its_bytes(pages, commits):
    run_id = a_run(pages, "training")
    version = registered(pages, revision=commits[0], data=OLD, run=run_id)
    page = pages.get(f"/model-registry/versions/{version}?tab=lineage")
    links = [(one["href"], one.text) for one in page.select("#links a")]
    assert links == [
        (f"/dashboard/model-registry/versions/{version}", "jukebox v1"),
        (f"/dashboard/runs/{run_id}", "training"),
        (f"/user1/jukebox/commit/{commits[0]}/", f"{commits[0][:10]} Data version aaaa {HOSTILE}"),
        (f"/user1/jukebox/blob/{commits[0]}/songs.parquet.dvc", "songs.parquet.dvc"),
        (f"/dashboard/buckets/cache/object?key={OLD[:2]}/{OLD[2:]}", OLD),
    ]
    assert [one["aria-label"].rpartition(": ")[2] for one in page.select(".graph svg a")] == ["Found"] * 5
    assert not page.select("main script")


def test_a_version_of_which_nobody_can_say_the_bytes_is_said_to_be_one(pages, commits):
    version = registered(pages, revision=commits[1])
    page = pages.get(f"/model-registry/versions/{version}")
    assert "Nobody can say which bytes" in page.select_one(".problem").text
    lineage = pages.get(f"/model-registry/versions/{version}?tab=lineage")
    said = [one["aria-label"].rpartition(": ")[2] for one in lineage.select(".graph svg a")]
    assert said == ["Found", "Missing", "Found", "Missing", "Missing"]
    assert "nobody can say" in pages.get("/model-registry/1").select_one("tbody").text


def test_properties_are_grouped_linked_and_doubted(pages):
    version = registered(
        pages,
        **{"metric.loss": 0.5, "data": OLD, "source": "made up (sample)", "packages": json.dumps({"numpy": HOSTILE})},
    )
    page = pages.get(f"/model-registry/versions/{version}")
    headings = [one.text for one in page.select("main h2")]
    assert headings[:3] == ["Where it comes from", "Other properties", "metric"]
    first = page.select("main dl")[1]
    assert [one.text for one in first.select("dt")] == ["data"] and first.a.text == OLD
    assert page.select_one("dd .bad").get_text(" ", strip=True) == "⚠ made up (sample)"
    assert page.select("main dl.facts")[-1].dt.text == "loss"
    assert page.find("dt", string="numpy").find_next("dd").text == HOSTILE and not page.select("main script")


def test_two_versions_are_compared_what_changed_first(pages):
    older = registered(
        pages, **{"metric.loss": 0.5, "data": OLD, "gone": "x", "same": "y", "table": '{"a": 1, "b": 2}'}
    )
    newer = registered(
        pages, **{"metric.loss": 0.25, "data": NEW, "new": "z", "same": "y", "table": '{"a": 1, "b": 3}'}
    )
    for asked in (f"a={older}&b={newer}", f"b={older}&a={newer}"):
        changed, same = pages.get(f"/model-registry/compare?{asked}").select("table")
        cells = {row.th.text: [cell.text for cell in row.select("td")] for row in changed.select("tbody tr")}
        assert cells == {
            "metric.loss": ["0.5", "0.25", "-0.25"],
            "data": [OLD, NEW, "–"],
            "gone": ["x", "not there", "–"],
            "new": ["not there", "z", "–"],
            "table: b": ["2", "3", "+1"],
        }
        assert [row.th.text for row in same.select("tbody tr")] == ["same", "table: a"]
    assert "Nothing" in pages.get(f"/model-registry/compare?a={older}&b={older}").text


@pytest.mark.parametrize(
    "path", ["/7", "/versions/7", "/versions/1", "/compare", "/compare?a=x&b=1", "/artifacts/1/picture"]
)
def test_what_the_registry_does_not_have_is_not_found(pages, path):
    registered(pages)
    assert "not found" in pages.get(f"/model-registry{path}", 404).select_one(".problem").text


def test_version_files_are_read_as_a_commit_has_them(pages, commits):
    with pages.client.application.app_context():
        (file,) = version_files("jukebox", commits[1])
        assert (file.path, file.md5, file.size, file.sources) == (
            "songs.parquet.dvc",
            NEW,
            2048,
            ("s3://data/songs.parquet",),
        )
        ((old, new),) = changed_version_files("jukebox", commits[1])
        assert (old.md5, new.md5) == (OLD, NEW)
        ((old, new),) = changed_version_files("jukebox", commits[0])
        assert (old.md5, new.md5) == ("", OLD)
        assert {md5: one.revision for md5, one in history("jukebox").items()} == {OLD: commits[0], NEW: commits[1]}


def test_an_object_says_who_names_it(pages, commits):
    version = registered(pages, data=OLD)
    with pages.client.application.test_request_context(), open_session() as session:
        names = Names(session)
        assert [one.said for one in names.of("cache", f"files/md5/{NEW[:2]}/{NEW[2:]}")] == [
            "songs.parquet.dvc on main of jukebox"
        ]
        earlier = names.of("cache", f"files/md5/{OLD[:2]}/{OLD[2:]}")
        assert [one.said for one in earlier] == [
            f"songs.parquet.dvc at {commits[0][:10]} of jukebox",
            "model version v1",
        ]
        assert earlier[1].address == f"/dashboard/model-registry/versions/{version}"
        assert [one.said for one in names.of("data", "songs.parquet")] == ["songs.parquet.dvc on main of jukebox"]
        assert names.of("data", "other.parquet") == [] and names.of("data", "files/md5/aa") == []


@pytest.fixture
def pushed(pages, commits):
    """Records a push of a commit in a state: the event."""

    def push(state, revision=commits[1], detail="", **more):
        known = {"repository": "jukebox", "ref": "refs/heads/main", "revision": revision, "version": revision[:10]}
        return record(pages.state, new_event("push") | known | more, state, detail)

    return push


def test_a_push_is_a_pipeline_run_with_its_commit_and_its_run(pages, commits, pushed):
    run_id = a_run(pages, f"training-{commits[1][:10]}")
    a_run(pages, "another")
    with pages.session() as session:
        for number, state in enumerate(["SUCCEEDED", "SUCCEEDED", "FAILED"]):
            session.add(Task(run_id=run_id, scope=f"root/{number}", kind="executor", name="executor", state=state))
        session.add(Task(run_id=run_id, scope="root", kind="dag", name="root", state="FAILED"))
        session.commit()
    log = pages.state / "events" / "a.log"
    log.parent.mkdir()
    log.write_text(f"read {pages.state}/work {HOSTILE}")
    event = pushed("done", log=str(log))
    row = pages.get("/pipeline-runs").select_one("tbody tr")
    assert row.a.text == f"ct-pipeline-{commits[1][:10]}" and "Succeeded" in row.text and "Ada" in row.text
    assert row.select("td")[1].text == "2 succeeded, 1 failed"
    page = pages.get(f"/pipeline-runs/{event['id']}")
    assert [one["href"] for one in page.select("main ul a")] == [f"/dashboard/runs/{run_id}"]
    cells = [one.code.text for one in page.select("tbody td") if one.code]
    assert cells == [OLD, NEW]
    assert page.pre.text == f"read /work {HOSTILE}" and not page.select("main script")


def test_a_log_outside_the_folder_of_logs_is_not_shown(pages, pushed):
    secret = pages.state / "secret.log"
    secret.write_text("a secret")
    event = pushed("done", log=str(secret))
    assert "a secret" not in pages.get(f"/pipeline-runs/{event['id']}").text


def test_a_push_that_nothing_follows_says_why(pages, pushed):
    pushed("ignored", detail="the push is to refs/heads/side, not to main")
    row = pages.get("/pipeline-runs").select_one("tbody tr")
    assert row["class"] == ["waiting"] and "Ignored" in row.text and "not to main" in row.text
    pages.get("/pipeline-runs/nothing", 404)


def test_a_pipeline_run_is_asked_for_until_it_is_over(pages, pushed):
    event = pushed("running")
    live = pages.get(f"/pipeline-runs/{event['id']}").select_one("#live")
    asked = SimpleNamespace(path=live["hx-get"], headers={"HX-Target": "live"})
    assert pages.client.get(asked.path, headers=asked.headers).status_code == 204
    record(pages.state, event, "failed", "exit code 1")
    changed = pages.get(asked.path.removeprefix("/dashboard"), **asked.headers)
    assert not changed.select_one("#live").has_attr("hx-get") and "exit code 1" in changed.select_one(".problem").text


def test_a_push_that_failed_says_why_in_the_words_of_its_status(pages, commits, pushed):
    statuses = CommitStatuses(pages.engine)
    statuses.post("jukebox", commits[1], "failure", "other", "Not this one.")
    statuses.post("jukebox", commits[1], "failure", "jukebox/ct", "There are no data. Next: version some.")
    event = pushed("failed", detail=f"exit code 1\n{pages.state}/work/train.py failed")
    row = pages.get("/pipeline-runs").select_one("tbody tr")
    assert "There are no data." in row.text and "exit code" not in row.text
    page = pages.get(f"/pipeline-runs/{event['id']}")
    assert page.select_one(".problem strong").text == "✗ There are no data."
    assert page.select_one(".problem p").text == "Next: version some."
    earlier = pushed("failed", commits[0], detail=f"exit code 1\n{pages.state}/work/train.py failed")
    said = pages.get(f"/pipeline-runs/{earlier['id']}").select_one(".problem").text
    assert "exit code 1\n/work/train.py failed" in said and str(pages.state) not in said


def test_what_is_archived_is_in_no_list(pages):
    old, new = registered(pages), registered(pages)
    assert "v2" in pages.get("/model-registry").text
    with pages.session() as session:
        session.get(Resource, new).content = {"state": "ARCHIVED"}
        session.commit()
    assert pages.get("/model-registry/1").select_one("tbody").text.count("v") == 1
    assert "v2" not in pages.get("/model-registry").text and "v1" in pages.get("/model-registry").text
    with pages.session() as session:
        for number in (1, old):
            session.get(Resource, number).content = {"state": "ARCHIVED"}
        session.commit()
    assert "jukebox" not in pages.get("/model-registry").select_one("main").text
    pages.get(f"/model-registry/versions/{old}")  # its own page stays
