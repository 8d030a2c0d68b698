"""Cleaning a real platform: git, the registry, the pipeline server, S3, and what a killed command leaves."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from kfp import compiler, dsl
from waiting import DEADLINE, eventually

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import cleaning
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.sandbox import clean as clean_sandbox
from jukebox_helpers.sandbox import sandbox_program
from jukebox_helpers.settings import KIT, Settings
from jukebox_helpers.steps.constants import GIT_REPOSITORY
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.steps.s3 import s3_client
from jukebox_sandbox.leftovers import left_states

RUN = "12345678-1234-1234-1234-123456789012"


def md5(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "protocol.file.allow=always"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def version(folder: Path, number: int, name: str = "songs.dvc") -> None:
    (folder / name).write_text(f"outs:\n- md5: {md5(number)}\n  size: 1\n  hash: md5\n  path: songs\n")
    git(folder, "add", "--all")


def test_every_version_of_every_branch_is_found(tmp_path: Path) -> None:
    work, bare = tmp_path / "work", tmp_path / "bare"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    for number in range(60):
        version(work, number, f"data/{number % 3}.dvc" if (work / "data").is_dir() else "songs.dvc")
        git(work, "commit", "-qm", str(number))
        if number == 20:
            (work / "data").mkdir()
            git(work, "branch", "side")
    git(work, "switch", "-q", "side")
    for number in range(60, 70):
        version(work, number, "side.dvc")
        git(work, "commit", "-qm", str(number))
    git(work, "rm", "-q", "side.dvc")
    git(work, "commit", "-qm", "gone again")
    git(work, "switch", "-q", "main")
    git(work, "merge", "-q", "-s", "ours", "side", "-m", "as it was")  # a simplified history has none of the side
    git(work, "branch", "-D", "side")
    git(work, "switch", "-q", "--orphan", "island")
    version(work, 70, "dvc.lock")
    git(work, "commit", "-qm", "another beginning")
    git(work, "tag", "kept")
    git(work, "switch", "-q", "main")
    git(work, "branch", "-D", "island")
    git(tmp_path, "clone", "-q", "--mirror", str(work), str(bare))
    assert {md5(number) for number in range(71)} <= cleaning.names_in_git(bare)
    version(work, 71)
    git(work, "stash")
    version(work, 72)
    git(work, "commit", "-qm", "not pushed")
    git(work, "reset", "-q", "--hard", "HEAD^")
    assert {md5(71), md5(72)} <= cleaning.names_in_git(work)


@pytest.fixture
def platform(fresh_sandbox: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(cleaning, "YOUNG", timedelta(days=-1))
    client = s3_client(fresh_sandbox.secret("s3"))
    for bucket in ("data", "data-cache"):
        client.create_bucket(Bucket=bucket)
    return fresh_sandbox


def addresses(settings: Settings) -> set[str]:
    client = s3_client(settings.secret("s3"))
    return {
        f"{bucket}/{item['Key']}"
        for bucket in cleaning.SHAPES
        for item in client.list_objects_v2(Bucket=bucket).get("Contents", [])
    }


def test_what_nobody_names_goes_and_all_else_stays(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, client = platform.clone(), s3_client(platform.secret("s3"))
    monkeypatch.chdir(clone)
    version(clone, 1)
    git(clone, "commit", "-qm", "one")
    git(clone, "push", "-q", "origin", "HEAD:refs/heads/another")
    git(clone, "reset", "-q", "--hard", "HEAD^")
    (clone / "not-committed.dvc").write_text(f"outs:\n- md5: {md5(2)}\n")
    key = f"jukebox/{'a' * 10}/0123456789/model.onnx"
    record = {"DVC training data hash": md5(3), "rankings sha256": "c" * 64, "run": RUN, "model sha256": "d" * 64}
    model_registry(platform).register("jukebox", "a" * 10, f"s3://models/{key}", record)
    kept = {f"data-cache/{cache_key(md5(number))}" for number in (1, 2, 3)} | {
        f"data-cache/rankings/{'c' * 64}.parquet",
        "data-cache/own/notes",
        "data/song_properties.parquet",
        f"models/{key}",
        f"pipeline/training-pipeline/{RUN}/train/model",
    }
    going = {
        f"data-cache/{cache_key(md5(4))}",
        f"data-cache/rankings/{'e' * 64}.parquet",
        f"data/incoming/{'f' * 64}.parquet",
        f"models/jukebox/{'b' * 10}/0123456789/model.onnx",
        f"pipeline/training-pipeline/{RUN.replace('1', '3')}/train/model",
    }
    for address in kept | going:
        bucket, _, name = address.partition("/")
        client.put_object(Bucket=bucket, Key=name, Body=address.encode())
    before = addresses(platform)
    assert kept | going <= before
    found = cleaning.clean(platform, dry_run=True)
    assert {f"{one.bucket}/{one.key}" for one in found} == going and addresses(platform) == before
    cleaning.clean(platform)
    assert addresses(platform) == before - going
    assert cleaning.clean(platform) == []

    # A repository that a model names and that cannot be read stops everything.
    client.put_object(Bucket="data-cache", Key=cache_key(md5(4)), Body=b"x")
    elsewhere = platform.repository_url("elsewhere")
    model_registry(platform).register(
        "other", "b" * 10, "s3://models/x", {GIT_REPOSITORY: elsewhere, "model sha256": "d" * 64}
    )
    with pytest.raises(JukeboxError, match="elsewhere.git' cannot be read") as refused:
        cleaning.clean(platform)
    assert f"--gone '{elsewhere}'" in str(refused.value.next_action)
    assert cache_key(md5(4)) in {address.partition("/")[2] for address in addresses(platform)}
    assert len(cleaning.clean(platform, gone=[elsewhere])) == 1


@dsl.component(base_image="python:3.12")
def write(found: dsl.Output[dsl.Artifact]):
    """Write an artifact."""
    with open(found.path, "w") as file:
        file.write("la")


@dsl.pipeline(name="training-pipeline-small")
def small() -> None:
    """One step."""
    write().set_caching_options(False)


def test_an_old_run_goes_with_what_it_wrote_unless_a_model_names_it(platform: Settings, tmp_path: Path) -> None:
    client = connect(platform).client
    compiler.Compiler().compile(small, str(tmp_path / "small.yaml"))
    ids = [client.create_run_from_pipeline_package(str(tmp_path / "small.yaml")).run_id for _ in range(2)]
    with pytest.raises(JukeboxError, match="is not over"):
        cleaning.clean(platform)
    for run_id in ids:
        assert client.wait_for_run_completion(run_id, DEADLINE, 1).state == "SUCCEEDED"
    record = {"model sha256": "d" * 64, "run": ids[0]}
    model_registry(platform).register("jukebox", "a" * 10, "s3://models/x", record)
    wrote = {run_id: {one for one in addresses(platform) if run_id in one} for run_id in ids}
    assert all(wrote.values())
    assert cleaning.clean(platform) == [] == cleaning.clean(platform, days=1)
    would_go = cleaning.clean(platform, days=-1, dry_run=True)
    assert {f"{one.bucket}/{one.key}" for one in would_go} == wrote[ids[1]]
    assert wrote[ids[1]] <= addresses(platform)
    cleaning.clean(platform, days=-1)
    assert [one.run_id for one in client.list_runs(namespace=platform.namespace).runs] == ids[:1]
    assert wrote[ids[0]] <= addresses(platform) and not wrote[ids[1]] & addresses(platform)


def test_the_space_of_overwritten_objects_comes_back(fresh_sandbox: Settings) -> None:
    client, data = s3_client(fresh_sandbox.secret("s3")), fresh_sandbox.state / "s3" / "data"

    def size() -> int:
        return sum(file.stat().st_size for file in data.rglob("*.dat"))

    for _ in range(4):
        client.put_object(Bucket="models", Key="song", Body=os.urandom(3_000_000))
    body = os.urandom(3_000_000)
    client.put_object(Bucket="models", Key="song", Body=body)
    assert size() > 12_000_000
    # Objects that were overwritten are deleted some moments later.
    assert eventually(lambda: clean_sandbox(fresh_sandbox.state, dry_run=False) == [] and size() < 7_000_000)
    assert client.get_object(Bucket="models", Key="song")["Body"].read() == body


def test_a_killed_command_leaves_no_state(tmp_path: Path) -> None:
    state = tmp_path / "jukebox-demo-x"
    program = "import pathlib, sys, time; from jukebox_helpers import sandbox; "
    program += (
        "sandbox.up(pathlib.Path(sys.argv[1]), lifeline=True, forget=True); print('up', flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(state)], stdout=subprocess.PIPE, cwd=KIT)
    assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
    assert (state / "secrets" / "git-auth" / "password").is_file()
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    eventually(lambda: not state.exists())


def test_the_states_that_a_dead_machine_left_are_found(tmp_path: Path) -> None:
    for name in ("jukebox-demo-old", "jukebox-demo-new", "jukebox-lab", "other-demo-old", "jukebox-demo-empty"):
        (tmp_path / name).mkdir()
    for name in ("jukebox-demo-old", "jukebox-demo-new", "jukebox-lab", "other-demo-old"):
        (tmp_path / name / "supervisor.lock").touch()
        if "new" not in name:
            os.utime(tmp_path / name / "supervisor.lock", (0, 0))
    (tmp_path / "jukebox-demo-link").symlink_to(tmp_path / "jukebox-demo-old")
    assert left_states(tmp_path) == [tmp_path / "jukebox-demo-old"]
    done = subprocess.run(
        **sandbox_program("clean", tmp_path / "none", "--dry-run") | {"env": {**os.environ, "TMPDIR": str(tmp_path)}},
        cwd=KIT, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"folders": [str(tmp_path / "jukebox-demo-old")]}
    assert (tmp_path / "jukebox-demo-old").is_dir()
