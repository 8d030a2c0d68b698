import json
import os
import subprocess
import sys

import pyarrow.parquet
import pytest
from waiting import DEADLINE

from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.settings import KIT


def jukebox(*arguments, state=None, cwd=KIT):
    environment = {**os.environ, "PYTHONPATH": str(KIT)}
    if state:
        environment["JUKEBOX_STATE"] = str(state)
    command = [sys.executable, "-m", "jukebox_helpers", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cwd)


def test_wrong_usage_is_exit_code_2():
    assert jukebox("no-such-command").returncode == 2
    assert jukebox("publish").returncode == 2


def test_without_a_sandbox_the_next_command_is_named(tmp_path):
    result = jukebox("trace", "jukebox", state=tmp_path / "state")
    assert result.returncode == 1
    assert "No sandbox is running" in result.stderr and "./jukebox up" in result.stderr
    assert "Traceback" not in result.stderr
    status = jukebox("status", "--json", state=tmp_path / "state")
    assert status.returncode == 1 and json.loads(status.stdout)["running"] is False


def test_status_names_what_runs_and_holds_no_secret(sandbox):
    for arguments in (["status"], ["status", "--json"]):
        result = jukebox(*arguments, state=sandbox.state)
        assert result.returncode == 0
        assert sandbox.s3_endpoint in result.stdout
        assert sandbox.secret("git-auth")["password"] not in result.stdout


def test_up_is_idempotent_and_down_keeps_the_state(tmp_path):
    state = tmp_path / "a state with spaces" / "state"
    first = jukebox("up", "--json", state=state)
    try:
        assert first.returncode == 0, first.stderr
        again = json.loads(jukebox("up", "--json", state=state).stdout)
        assert again["pid"] == json.loads(first.stdout)["pid"]
        clone = state / "work" / "jukebox"
        (clone / "mine.txt").write_text("kept")
        assert jukebox("down", state=state).returncode == 0
        assert (clone / "mine.txt").read_text() == "kept"
    finally:
        assert jukebox("down", "--delete", state=state).returncode == 0
    assert not state.exists()


def test_doctor_says_what_is_missing_and_how_to_get_it(tmp_path, fresh_sandbox):
    nothing = jukebox("doctor", "--json", state=tmp_path / "nothing")
    assert nothing.returncode == 1
    missing = {finding["what"]: finding for finding in json.loads(nothing.stdout) if not finding["good"]}
    assert missing["platform"]["next_action"] == "Start it with ./jukebox up."
    found = json.loads(jukebox("doctor", "--json", state=fresh_sandbox.state).stdout)
    bad = {finding["what"]: finding for finding in found if not finding["good"]}
    assert list(bad) == ["S3"]  # the workshop starts without the bucket of the data
    assert "config.yaml" in bad["S3"]["next_action"]


def test_sample_data_is_the_same_bytes_every_time(tmp_path):
    for name in ("a", "b"):
        result = jukebox("sample-data", str(tmp_path / name), "--songs", "300", "--rows", "2000")
        assert result.returncode == 0, result.stderr
    for file in ("song_properties.parquet", "song_rankings.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    fresh = jukebox(
        "sample-data", str(tmp_path / "c"), "--rows", "2000", "--fresh", str(tmp_path / "a" / "song_properties.parquet")
    )
    assert fresh.returncode == 0, fresh.stderr
    assert pyarrow.parquet.read_metadata(tmp_path / "c" / "song_properties.parquet").num_rows > 300


def test_a_run_of_the_inner_loop_loads_without_a_version(fresh_sandbox, tmp_path):
    from jukebox_helpers.pipelines.revisions import git_credentials
    from jukebox_helpers.steps import s3
    from jukebox_helpers.steps.git import git
    from jukebox_helpers.workshop import edits
    from jukebox_helpers.workshop.buckets import CONFIG
    from jukebox_sandbox.events import wait_for

    clone = fresh_sandbox.clone("mlops-gitops")
    edits.add_buckets(clone / CONFIG, ["data", "data-cache"])
    with git_credentials(fresh_sandbox):
        git("commit", "-qam", "Buckets", folder=str(clone))
        git("push", "-q", "origin", "main", folder=str(clone))
    wait_for(fresh_sandbox.state, git("rev-parse", "HEAD", folder=str(clone)), timeout=DEADLINE)
    before = git("ls-remote", str(fresh_sandbox.state / "git" / fresh_sandbox.user / "jukebox.git"))

    jukebox("sample-data", str(tmp_path), "--songs", "300", "--rows", "2000")
    environment = {**os.environ, "PYTHONPATH": str(KIT), "JUKEBOX_STATE": str(fresh_sandbox.state)}
    file = KIT / "5-data-versioning" / "1-data_pipeline_url_to_s3.py"
    songs = str(tmp_path / "song_properties.parquet")
    nothing = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True)
    assert nothing.returncode == 1 and "No songs have arrived at s3://data/incoming/" in nothing.stderr
    published = jukebox("publish", "first", "--songs", songs, state=fresh_sandbox.state)
    assert published.stdout == "Published first: 300 songs at s3://data/incoming/song_properties.parquet\n"
    result = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    client = s3.s3_client(fresh_sandbox.secret("aws-connection-data"))
    assert client.head_object(Bucket="data", Key="song_properties.parquet")["ContentLength"] > 0
    assert "Contents" not in client.list_objects_v2(Bucket="data-cache")
    assert git("ls-remote", str(fresh_sandbox.state / "git" / fresh_sandbox.user / "jukebox.git")) == before

    loaded = jukebox("load-rankings", str(tmp_path / "song_rankings.parquet"), state=fresh_sandbox.state)
    assert loaded.returncode == 0, loaded.stderr
    tag = client.head_object(Bucket="data", Key="song_rankings.parquet")["ETag"]
    for wrong in (songs, str(KIT / "README.md")):
        refused = jukebox("load-rankings", wrong, state=fresh_sandbox.state)
        assert refused.returncode == 1 and "Next: " in refused.stderr and "Traceback" not in refused.stderr
    assert client.head_object(Bucket="data", Key="song_rankings.parquet")["ETag"] == tag

    first = jukebox("run", "data-pipeline", "--dataset-url", songs, state=fresh_sandbox.state)
    same = jukebox("publish", "same", "--json", state=fresh_sandbox.state)
    assert json.loads(same.stdout)["changed"] == 0
    again = jukebox("run", "data-pipeline", state=fresh_sandbox.state)
    assert "is revision" in first.stdout and "starts the training" in first.stdout, first.stderr
    assert "No news: main has these songs already" in again.stdout
    assert client.head_object(Bucket="data", Key="song_rankings.parquet")["ContentLength"] > 0

    bad = subprocess.run(
        [sys.executable, str(file), "--dataset-url", str(tmp_path / "nowhere")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert bad.returncode == 1 and "no file" in bad.stderr and "Traceback" not in bad.stderr


def test_compile_writes_both_pipelines(tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("jukebox_helpers", "3-prod_datascience", "5-data-versioning", "requirements.txt"):
        subprocess.run(["cp", "-r", str(KIT / name), str(checkout / name)], check=True)
    (checkout / "5-data-versioning" / "song-properties-etl.yaml").unlink()
    result = jukebox("compile", cwd=checkout / "5-data-versioning")
    assert result.returncode == 0, result.stderr
    assert (checkout / "5-data-versioning" / "song-properties-etl.yaml").is_file()
    assert (checkout / "3-prod_datascience" / "training-pipeline.yaml").is_file()


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]"])
def test_a_grid_that_is_none_is_refused(sandbox, tmp_path, text):
    (tmp_path / "grid.json").write_text(text)
    result = jukebox("run", "training-pipeline", "--grid", str(tmp_path / "grid.json"), state=sandbox.state)
    assert result.returncode == 1 and "grid.json is not" in result.stderr


def test_a_grid_that_a_step_would_refuse_is_refused_before_anything_starts(sandbox, tmp_path):
    (tmp_path / "grid.json").write_text('[{"epoch": 2}]')
    runs = connect(sandbox).client.list_runs
    before = runs(page_size=1, namespace="").total_size
    refused = jukebox("run", "training-pipeline", "--grid", str(tmp_path / "grid.json"), state=sandbox.state)
    assert refused.returncode == 1 and "'epoch'" in refused.stderr and "epochs" in refused.stderr
    assert runs(page_size=1, namespace="").total_size == before


def test_the_unexpected_is_one_message_and_a_way_to_more(tmp_path):
    command = ["sample-data", str(tmp_path), "--fresh", str(KIT / "README.md")]
    short = jukebox(*command)
    assert short.returncode == 1 and "JUKEBOX_TRACEBACK=1" in short.stderr and "Traceback" not in short.stderr
    environment = {**os.environ, "PYTHONPATH": str(KIT), "JUKEBOX_TRACEBACK": "1"}
    long = subprocess.run(
        [sys.executable, "-m", "jukebox_helpers", *command], env=environment, capture_output=True, text=True
    )
    assert "Traceback" in long.stderr


def test_in_the_clone_of_a_sandbox_its_own_state_is_meant(sandbox):
    program = "from jukebox_helpers.settings import state_folder; print(state_folder())"
    environment = {key: value for key, value in os.environ.items() if key not in ("JUKEBOX_STATE", "PYTHONPATH")}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=sandbox.clone(), capture_output=True, text=True
    )
    assert found.stdout.strip() == str(sandbox.state)
