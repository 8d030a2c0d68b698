import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from fake_model_registry import FakeModelRegistry
from rich.console import Console

from jukebox_helpers import buckets
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.lineage import compare, compare_digests, lineage_tree, trace, verify
from jukebox_helpers.registry import kubeflow_registry

MD5, RANKINGS, MODEL = "0bcc" * 8, "c3" * 32, "a1" * 32
PACKAGES = {"scikit-learn": "1.7.2", "skl2onnx": "1.19.1"}
WHOLE = {
    "git repository": "http://127.0.0.1:4000/user1/jukebox.git",
    "git revision": "0123456789" * 4,
    "DVC training data hash": MD5,
    "DVC data path": "song_properties.parquet",
    "DVC remotes": '{"data-source": "s3://data", "s3-version": "s3://data-cache"}',
    "songs rows": 14_245,
    "rankings sha256": RANKINGS,
    "rankings rows": 1_130_000,
    "parameters": '{"C": 1.5, "[/odd]": null}',
    "metric.log_loss": 3.25,
    "metric.accuracy": 0.125,
    "packages": json.dumps(PACKAGES),
    "python": "3.12.9",
    "run": "run-1",
    "model sha256": MODEL,
    "kit version": "0.1.0",
    "countries": 72,
}


@pytest.fixture
def registry():
    fake = FakeModelRegistry()
    yield kubeflow_registry(fake.url)
    fake.close()


def register(registry, version="0123456789", without=(), **changes):
    metadata = {key: value for key, value in (WHOLE | changes).items() if not key.startswith(tuple(without))}
    uri = f"s3://models/jukebox/{version}/model.onnx"
    registry.register("jukebox", version, uri, metadata)
    return trace(registry, "jukebox", version)


def printed(renderable):
    console = Console(width=100, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(len(line) for line in lines) <= 100
    return lines


def row(table_lines, label):
    """The cells of a printed row, by what stands in its first one."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in table_lines if "│" in line]
    return next((cells[1:] for cells in rows if cells[0] == label), None)


def test_lineage_leads_from_the_version_to_bytes_and_code(registry):
    lineage = register(registry)
    assert json.loads(json.dumps(lineage)) == lineage
    assert lineage.pop("registered at").endswith("+00:00")
    assert lineage == {
        "model": "jukebox",
        "version": "0123456789",
        "production": False,
        "file": {"uri": "s3://models/jukebox/0123456789/model.onnx", "sha256": MODEL},
        "code": {"repository": WHOLE["git repository"], "revision": WHOLE["git revision"]},
        "data": {
            "file": "song_properties.parquet",
            "md5": MD5,
            "remotes": {"data-source": "s3://data", "s3-version": "s3://data-cache"},
            "rows": 14_245,
            "object": f"s3://data-cache/files/md5/0b/{MD5[2:]}",
        },
        "rankings": {"sha256": RANKINGS, "rows": 1_130_000, "object": f"s3://data-cache/rankings/{RANKINGS}.parquet"},
        "parameters": {"C": 1.5, "[/odd]": None},
        "metrics": {"accuracy": 0.125, "log_loss": 3.25},
        "packages": PACKAGES,
        "run": {"python": "3.12.9", "pipeline run": "run-1", "kit version": "0.1.0"},
        "other": {"countries": 72},
        "missing": {},
    }


def test_without_a_version_the_latest_is_traced(registry):
    register(registry, "first00000")
    register(registry, "second0000")
    assert trace(registry, "jukebox")["version"] == "second0000"


def test_unversioned_data_is_said_and_never_blank(registry):
    lineage = register(registry, without=["DVC", "run", "metric", "packages"])
    assert lineage["data"]["md5"] is lineage["data"]["object"] is None
    assert lineage["missing"] == {
        "data.file": "not recorded",
        "data.md5": "not versioned: nobody can say which bytes",
        "data.remotes": "not recorded",
        "run.pipeline run": "not recorded",
        "metrics": "not recorded",
        "packages": "not recorded",
    }
    text = "\n".join(printed(lineage_tree(lineage)))
    assert "md5: not versioned: nobody can say which bytes" in text
    assert "pipeline run: not recorded" in text
    assert text.count("None") == text.count("[/odd]: None")


def test_metadata_that_a_person_typed_is_kept_as_it_is(registry):
    lineage = register(registry, parameters="C=1", packages="[1]")
    assert lineage["parameters"] == {"text": "C=1"}
    assert lineage["packages"] == {"text": [1]}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ("jukebox", "nope"),
            ["no version 'nope'", "newest first: second0000, first00000", "trace jukebox second0000"],
        ),
        (("radio", None), ["model 'radio'", "Its models: jukebox.", "Name one of them"]),
        (("radio", "1"), ["model 'radio'", "Its models: jukebox."]),
    ],
)
def test_what_is_unknown_is_answered_with_what_there_is(registry, asked, said):
    register(registry, "first00000")
    register(registry, "second0000")
    with pytest.raises(JukeboxError) as error:
        trace(registry, *asked)
    assert all(words in str(error.value) for words in said), str(error.value)


def test_an_empty_registry_says_how_to_fill_it(registry):
    with pytest.raises(JukeboxError, match=r"It is empty.\nNext: Train one: ./jukebox run training-pipeline"):
        trace(registry, "jukebox")


def test_the_tree_reads_without_colours(registry):
    lines = printed(lineage_tree(register(registry)))
    assert lines[0].startswith("jukebox 0123456789  registered 20")
    for line in (
        "├── file",
        "│   ├── uri: s3://models/jukebox/0123456789/model.onnx",
        f"│   └── sha256: {MODEL}",
        f"│   └── object: s3://data-cache/files/md5/0b/{MD5[2:]}",
        f"│   └── object: s3://data-cache/rankings/{RANKINGS[:12]}….parquet",
        "│   ├── rows: 1,130,000",
        "│   └── log_loss: 3.25",
        "│   └── [/odd]: None",
        "    └── countries: 72",
    ):
        assert line in lines, "\n".join(lines)


def test_a_comparison_marks_what_differs_and_only_that(registry):
    a = register(registry, "first00000", without=["DVC"], **{"metric.accuracy": 0.12500001})
    b = register(registry, packages=json.dumps(PACKAGES | {"skl2onnx": "1.20.0"}))
    lines = printed(compare(a, b))
    assert row(lines, "data md5") == ["≠", "not versioned: nobody can say which", MD5]
    assert row(lines, "code revision") == ["", "012345678901…", "012345678901…"]
    assert row(lines, "metrics accuracy") == ["≠", "0.125", "0.125"]
    assert row(lines, "metrics log_loss") == ["", "3.25", "3.25"]
    assert row(lines, "packages skl2onnx") == ["≠", "1.19.1", "1.20.0"]
    assert row(lines, "packages scikit-learn") is None
    assert row(lines, "file uri")[0] == "≠"
    assert "The same packages." not in "\n".join(lines)
    assert "The same packages." in "\n".join(printed(compare(a, a)))
    assert "≠" not in "\n".join(printed(compare(a, a)))


def test_digests_are_the_same_only_where_both_are_there():
    compared = compare_digests(
        {"model": "a", "features": "b", "counts": None}, {"model": "a", "features": "x", "new": "y"}
    )
    assert {each["what"]: each["same"] for each in compared} == {
        "model": True,
        "features": False,
        "counts": False,
        "new": False,
    }
    assert compared[1] == {"what": "features", "expected": "b", "found": "x", "same": False}


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True)


def has_revision(repository, revision):
    return git(repository, "cat-file", "-e", revision + "^{commit}").returncode == 0


@pytest.fixture(scope="module")
def store(sandbox):
    """Songs, rankings and a model in S3, and the metadata that names them."""
    client = buckets.s3_client(sandbox.secret("aws-connection-models"))
    md5, sha256 = hashlib.md5(b"songs").hexdigest(), hashlib.sha256(b"rankings").hexdigest()
    client.put_object(Bucket="models", Key=f"lineage-test/files/md5/{md5[:2]}/{md5[2:]}", Body=b"songs")
    client.put_object(Bucket="models", Key=f"lineage-test/rankings/{sha256}.parquet", Body=b"rankings")
    return client, {
        "DVC training data hash": md5,
        "DVC remotes": '{"s3-version": "s3://models/lineage-test"}',
        "rankings sha256": sha256,
        "model sha256": hashlib.sha256(b"onnx").hexdigest(),
    }


def test_verification_reads_every_byte_that_lineage_names(registry, store, tmp_path: Path):
    client, metadata = store
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    revision = git(tmp_path, "rev-parse", "HEAD").stdout.strip()
    lineage = register(registry, **metadata, **{"git repository": str(tmp_path), "git revision": revision})
    lineage["file"]["uri"] = "s3://models/lineage-test/model.onnx"

    assert {check["what"]: check["found"] for check in verify(lineage, client, has_revision)} == {
        "training data": metadata["DVC training data hash"],
        "rankings": metadata["rankings sha256"],
        "model file": "no object: NoSuchKey",
        "code": revision,
    }
    client.put_object(Bucket="models", Key="lineage-test/model.onnx", Body=b"onnx")
    assert [check["same"] for check in verify(lineage, client, has_revision)] == [True] * 4
    client.put_object(Bucket="models", Key="lineage-test/model.onnx", Body=b"0nnx")
    lineage["code"]["revision"] = "f" * 40
    assert {check["what"]: check["same"] for check in verify(lineage, client, has_revision)} == {
        "training data": True,
        "rankings": True,
        "model file": False,
        "code": False,
    }


def test_verification_says_what_was_never_recorded(registry, store):
    client, metadata = store
    lineage = register(registry, without=["DVC", "git"], **{"rankings sha256": metadata["rankings sha256"]})
    lineage["rankings"]["object"] = "s3://no-such-bucket/rankings"
    found = {check["what"]: (check["found"], check["same"]) for check in verify(lineage, client, has_revision)}
    assert found["training data"] == ("not recorded", False)
    assert found["code"] == ("not recorded", False)
    assert found["rankings"] == ("no object: NoSuchBucket", False)
