"""Each exercise: untouched, wrong, right, on a real sandbox; and the engine around them."""

import dataclasses
import hashlib
import os
from pathlib import Path

import pytest
from quick_model import register_quick_model
from server_runs import pretend_run
from stand_in import stand_in_configuration
from waiting import eventually

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.pipelines.statuses import post_status, read_status
from jukebox_helpers.settings import TRAINING_PIPELINE
from jukebox_helpers.show.sliders import typical_song
from jukebox_helpers.steps.constants import MODEL, VERSION_FILE
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.workshop import edits, views
from jukebox_helpers.workshop.breaking import stop_at
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_helpers.workshop.catching_up import catch_up, commit_on_main
from jukebox_helpers.workshop.engine import RESULT_TYPE, Exercise, failed, not_attempted
from jukebox_helpers.workshop.exercises import CATALOGUE, exercise
from jukebox_helpers.workshop.place import Workplace, load_songs
from jukebox_helpers.workshop.quizzes import questions, quiz


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workplace on a sandbox of its own; its tests go through the workshop in order."""
    state = tmp_path_factory.mktemp("exercises") / "state"
    before = dict(os.environ)
    os.environ["JUKEBOX_STATE"] = str(state)
    laptop.up(state, lifeline=True, configuration=stand_in_configuration(state.parent))
    try:
        yield catch_up(1, lambda line: None)
    finally:
        laptop.down(state)
        os.environ.clear()
        os.environ.update(before)


def said(name, outcome, *words, answer=()):
    """Check an exercise, and that it says this and speaks these words."""
    result = exercise(name).check(*answer)
    assert result.outcome == outcome, result
    assert all(word in repr(result) for word in words), result
    return result


def test_two_models(place):
    said("unbroken", "not attempted", "No run of the data pipeline was stopped")
    said("two-models", "not attempted", "No push to main")
    name = f"training-pipeline-{place.head()[:10]}"
    pretend_run(place.settings, name, "SUCCEEDED", model=b"a model")
    said("two-models", "failed", f"one model of {place.head()[:10]}", "place.train(place.head())")
    pretend_run(place.settings, name, "RUNNING")
    said("two-models", "failed", "still running")
    pretend_run(place.settings, name, "SUCCEEDED", model=b"a model")
    said("two-models", "failed", "the same model twice")
    pretend_run(place.settings, name, "FAILED", "It is registered with another model.", model=b"another model")
    found = said("two-models", "passed", "trained 3 times, and gave 2 different models")
    digests = [hashlib.sha256(model).hexdigest() for model in (b"a model", b"a model", b"another model")]
    assert found.values == {"revision": place.head()[:10], "models": digests}
    rows = views.models_of_one_revision(place, place.head()).frame
    assert list(rows["model sha256"]) == [*digests[:1], "none yet", *digests[1:]]


def test_buckets(place):
    config = place.gitops / CONFIG
    starter = config.read_text()
    said("buckets", "not attempted", "still lists pipeline, models")
    copy = place.clone / "mlops-gitops" / CONFIG
    edits.add_buckets(copy, ["data", "data-cache"])
    said("buckets", "failed", str(copy), "only says how mlops-gitops began", str(config))
    place.git("checkout", "--quiet", "--", str(copy))
    config.write_text(starter + "  - name: data\n  - name: datacache\n")
    said("buckets", "failed", "pipeline, models, data, datacache", "also data-cache")
    config.write_text(starter + "  - name: Data\n")
    said("buckets", "failed", "config.yaml:6", "illegal bucket name 'Data'")
    config.write_text(starter)
    edits.add_buckets(config, ["data", "data-cache"])
    said("buckets", "failed", "not committed")
    place.git("commit", "--quiet", "--all", "--message", "Buckets", folder=place.gitops)
    said("buckets", "failed", "not pushed")
    place.s3.create_bucket(Bucket="data")
    place.s3.create_bucket(Bucket="data-cache")
    said("buckets", "failed", "no line for them in the file on main")
    place.git("push", "--quiet", "origin", "main", folder=place.gitops)
    assert {"data", "data-cache"} <= set(said("buckets", "passed").values["buckets"])
    place.wait_for_buckets("data", "data-cache")


def test_remotes(place):
    catch_up(2, lambda line: None)
    said("remotes", "not attempted", "dvc init has not run")
    first, *others = CATALOGUE["remotes"][2]
    first.do(place)
    said("remotes", "failed", "the remotes none", "s3-version")
    for step in others:
        step.do(place)
    config = place.practice / ".dvc" / "config"
    right = config.read_text()
    config.write_text(right.replace("s3://data\n", "s3://models\n"))
    said("remotes", "failed", "data-source at s3://models", "data-source at s3://data")
    config.write_text(right.replace("remote = s3-version", "remote = data-source"))
    said("remotes", "failed", "the default remote data-source")
    config.write_text(right)
    said("remotes", "passed")


def test_first_version(place):
    place.publish("first")
    loaded = load_songs(place)
    said("first-version", "not attempted", VERSION_FILE)
    file = place.practice / VERSION_FILE
    file.write_text(f"outs:\n- md5: {loaded}\n  size: 3\n  path: song_properties.parquet\n")
    said("first-version", "failed", "no such object in data-cache", "--to-remote")
    file.unlink()
    CATALOGUE["first-version"][2][0].do(place)
    said("first-version", "failed", "git does not know")
    for step in CATALOGUE["first-version"][2][1:]:
        step.do(place)
    assert said("first-version", "passed").values["data version"] == loaded
    said("second-version", "not attempted")
    said("restore", "not attempted", "nothing to go back to")


def test_second_version_and_the_way_back(place):
    first = place.practise_version()
    place.publish("fresh")
    second = load_songs(place)
    update, commit = CATALOGUE["second-version"][2]
    update.do(place)
    said("second-version", "failed", "not committed")
    commit.do(place)
    assert said("second-version", "passed").values["data versions"] == [first, second]
    place.publish("first")
    load_songs(place)
    said("restore", "not attempted", "at its newest version")
    place.git("checkout", "--quiet", "HEAD~1", folder=place.practice)
    for name in ("first-version", "second-version", "restore"):
        said(name, "failed", "on no branch (a detached HEAD)", "git switch main leads back")
    place.git("switch", "--quiet", "main", folder=place.practice)
    checkout, commit, pull = CATALOGUE["restore"][2]
    checkout.do(place)
    said("restore", "failed", "not committed", "one more commit")
    commit.do(place)
    said("restore", "failed", "no table beside it", "dvc pull")
    pull.do(place)
    assert said("restore", "passed").values == {"data version": first, "commits": 3}
    table = place.practice / "song_properties.parquet"
    table.chmod(0o600)
    table.write_bytes(place.songs.read_bytes())
    said("restore", "failed", "a table with md5", first)


def test_fetch(place):
    file = place.clone / TRAINING_PIPELINE
    starter = file.read_text()
    said("fetch", "not attempted", "still fetches its data with fetch_data()")
    exercise("fetch").solve()
    right = file.read_text()
    for wrong, outcome, words in (
        (right.replace("    # fetch_task = fetch_data()\n", "    fetch_data()\n"), "failed", ["comment out the line"]),
        (right.replace("git_version=version", "git_version='main'"), "failed", ["git_version=version"]),
        (right.replace("'password': 'password',", ""), "failed", ["without password", "git-auth"]),
        # A misspelt key of the Secret, a key of another Secret, a key too many: none of them can start a run.
        (
            right.replace("'AWS_S3_BUCKET': 'AWS", "'AWS_S3_BUKET': 'AWS"),
            "failed",
            ["AWS_S3_BUCKET from the key AWS_S3_BUKET", "from the key AWS_S3_BUCKET of the Secret aws-connection-data"],
        ),
        (
            right.replace("'aws-connection-data'", "'aws-connection-models'", 1),
            "failed",
            ["AWS_S3_ENDPOINT of the Secret aws-connection-models", "of the Secret aws-connection-data"],
        ),
        (
            right.replace("'password': 'password',", "'password': 'password', 'token': 'token',"),
            "failed",
            ["needs the key 'token' of the Secret git-auth", "a run that can start"],
        ),
        (
            right.replace("(cluster_domain=cluster_domain, git_version=version)", "("),
            "error",
            ["SyntaxError", "never closed"],
        ),
    ):
        assert wrong != right
        file.write_text(wrong)
        result = said("fetch", outcome, *words)
        assert "exercises.py" not in repr(result)  # the attendee's traceback, not ours
    file.write_text(right)
    assert said("fetch", "passed").values["steps"] > 6
    assert starter != right


def test_push(place):
    place.git("switch", "--quiet", "--create", "an-idea")
    said("push", "failed", "your edit, not committed on an-idea; git switch main leads back")
    place.git("switch", "--quiet", "main")
    said("push", "failed", "your edit, not committed")
    place.git("commit", "--quiet", "--message", "Train", str(TRAINING_PIPELINE))
    said("push", "failed", "not pushed")
    place.git("push", "--quiet", "origin", "main")
    head = place.head()
    eventually(lambda: (status := read_status(place.settings, head)) and status.over)  # the stand-in's word comes first
    for state, words in (
        ("pending", "a training that is still running"), ("error", "failed: the sandbox stopped"),
        ("success", "failed: nobody knows what ran"),
    ):  # fmt: skip
        post_status(place.settings, head, state, words.partition(": ")[2])
        said("push", "failed", words)
    pretend_run(place.settings, f"training-pipeline-{head[:10]}", "FAILED", "No version file. Next: make one.")
    post_status(place.settings, head, "failure", "no version file")
    assert said("push", "passed", "it failed. No version file. Make one.").values["state"] == "failed"


def test_import(place):
    said("import", "not attempted", "no pipeline data-pipeline-with-dvc")
    server = connect(place.settings)
    other = place.tables / "other.yaml"
    other.write_text(place.data_pipeline.read_text().replace("python-312:9.7", "python-312:9.6"))
    pipeline = server.client.upload_pipeline(str(other), "data-pipeline-with-dvc").pipeline_id
    said("import", "failed", "which is another pipeline than song-properties-etl.yaml", "as a new version of it")
    # However it got there, it is this file.
    server.client.upload_pipeline_version(str(place.data_pipeline), "by hand", pipeline)
    assert said("import", "passed").values == {"version": "by hand"}
    assert place.import_data_pipeline().startswith("Imported: data-pipeline-with-dvc ")
    assert place.import_data_pipeline().startswith("Already there: data-pipeline-with-dvc ")


def test_daily(place):
    said("daily", "not attempted", "no schedule data-pipeline-with-dvc-daily")
    server = connect(place.settings)
    newest = server.latest("data-pipeline-with-dvc")
    right = {"dataset_url": place.songs_url, "repo_url": place.settings.repository_url()}
    cases = ((3600, right, "another trigger", "run every 1 day"),
             (86400, right | {"dataset_url": "s3://data/x\n"}, r"'s3://data/x\n'", place.songs_url))  # fmt: skip
    for every, arguments, found, expected in cases:
        made = server.client.create_recurring_run(
            server.client.get_experiment(experiment_name="Default").experiment_id, "data-pipeline-with-dvc-daily",
            interval_second=every, params=arguments, pipeline_id=newest.pipeline_id, version_id=newest.version_id,
        )  # fmt: skip
        said("daily", "failed", found, expected)
        server.client.disable_recurring_run(made.recurring_run_id)
        said("daily", "failed", "turned off")
        server.client.delete_recurring_run(made.recurring_run_id)
    exercise("daily").solve()
    assert (
        said("daily", "passed").values["schedule"]
        == server.schedules("data-pipeline-with-dvc-daily")[0].recurring_run_id
    )


def test_first_model_needs_data_and_a_model(place):
    said("first-model", "not attempted", "the data pipeline has not run")
    pretend_run(place.settings, "data-pipeline-with-dvc-adhoc-run", "FAILED", "column tempo is missing")
    said("first-model", "failed", "column tempo is missing")
    (place.clone / VERSION_FILE).write_text((place.practice / VERSION_FILE).read_text())
    place.git("add", VERSION_FILE)
    place.git("commit", "--quiet", "--message", "Data")
    place.git("push", "--quiet", "origin", "main")
    post_status(place.settings, place.head(), "pending", "")
    said("first-model", "failed", "no model trained on it", "wait")
    failure = "Step 'train' failed: no memory. Next: Take fewer songs."
    post_status(place.settings, place.head(), "failure", failure)
    said("first-model", "failed", "failed: Step 'train' failed: no memory", "Take fewer songs. Then commit and push")
    post_status(place.settings, place.head(), "success", "")
    said("second-model", "not attempted", "0 version")
    said("reproduce", "not attempted", "no model version")
    # An early push has registered a model without a data version; it is not the first version of anything.
    register_quick_model(place, "0000000000", data_version="")
    said("first-model", "failed", "no model trained on it")
    said("reproduce", "not attempted", "no model version")
    said("hit", "error", "no version of jukebox yet", "place.train_on", answer=[typical_song() | {"tempo": 123}])
    md5 = place.practise_version()
    model = register_quick_model(place, data_version=md5)
    assert said("first-model", "passed").values == {"model version": model["version"], "data version": md5}


def test_second_model_must_have_other_data(place):
    md5 = place.practise_version()
    said("second-model", "not attempted", "1 version")
    register_quick_model(place, "1111111111", md5)
    said("second-model", "failed", "the same bytes")
    register_quick_model(place, "2222222222", "b" * 32)
    assert len(said("second-model", "passed").values["model versions"]) == 3


def test_own_commit(place):
    said("own-commit", "not attempted", "A commit of my own")
    commit_on_main(place, "jukebox", "Meanwhile", lambda folder: (folder / "README.md").write_text("meanwhile\n"))
    commit, *_ = CATALOGUE["own-commit"][2]
    commit.do(place)
    said("own-commit", "failed", "your clone does not have: 1", "git pull")
    for step in CATALOGUE["own-commit"][2][1:]:
        step.do(place)
    assert said("own-commit", "passed").values == {"revision": place.head()}


def test_unbroken(place):
    name = "data-pipeline-with-dvc-adhoc-run"
    pretend_run(place.settings, name, "SUCCEEDED")
    said("unbroken", "passed")
    pretend_run(place.settings, name, "CANCELED")
    said("unbroken", "failed", "stopped, and none after it")
    pretend_run(place.settings, name, "SUCCEEDED")
    md5 = place.version_on_main()
    assert said("unbroken", "passed").values == {"data version": md5, "stopped": 2}
    known = {"Bucket": "data-cache", "Key": cache_key(md5)}
    right = place.s3.get_object(**known)["Body"].read()
    place.s3.put_object(**known, Body=b"other bytes")
    said("unbroken", "failed", hashlib.md5(b"other bytes").hexdigest(), "the bytes that main names")
    place.s3.delete_object(**known)
    said("unbroken", "failed", "has no such object")
    place.s3.put_object(**known, Body=right)
    said("unbroken", "passed")
    with pytest.raises(JukeboxError, match="There is no step 'nowhere'.*\nNext: Name one of check-access, "):
        stop_at(place, "nowhere")


def test_reproduce_compares_the_bytes(place):
    first = place.versions()[1]  # the one of the early push comes before it
    assert place.first_versioned_model() == first
    assert first["version"] in views.comparison(place).title and "0000000000" not in views.comparison(place).title
    said("reproduce", "not attempted", first["version"])
    name, right = f"reproduce-{first['version']}", model_of(place, first)
    for state, words in (("RUNNING", "still running"), ("FAILED", "no revision")):
        pretend_run(place.settings, name, state, "no revision")
        said("reproduce", "failed", words)
    pretend_run(place.settings, name, "SUCCEEDED", model=b"other bytes")
    said("reproduce", "failed", hashlib.sha256(b"other bytes").hexdigest(), first["metadata"]["model sha256"])
    pretend_run(place.settings, name, "SUCCEEDED", model=right)
    said("reproduce", "passed")
    # The training of a push is not a rebuild.
    pretend_run(place.settings, f"training-pipeline-{first['version']}", "SUCCEEDED", model=b"other bytes")
    said("reproduce", "passed")


def model_of(place, record):
    """The bytes of a registered model."""
    bucket, _, key = record["uri"].removeprefix("s3://").partition("/")
    return place.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def test_the_solution_of_reproduce_takes_the_version_that_its_check_expects(place, monkeypatch):
    rebuilt = []
    monkeypatch.setattr(Workplace, "reproduce", lambda self, version: rebuilt.append(version))
    exercise("reproduce").steps[-1].do(place)
    assert rebuilt == [place.versioned_models()[0]["version"]] != ["0000000000"]


def test_hit(place):
    said("hit", "not attempted", answer=[typical_song()])
    said("hit", "failed", "in front are", answer=[typical_song() | {"tempo": 123}])
    said("hit", "error", "lacks", answer=[{"tempo": 120}])
    assert said("hit", "passed", answer=[exercise("hit").solve()]).values["rank"] == 1


def test_hints_come_one_at_a_time_and_solutions_can_be_read(place):
    for name, (_, hints, _) in CATALOGUE.items():
        one = exercise(name, place)
        assert [one.hint().lines[0] for _ in hints] == list(hints)
        assert "no more hints" in repr(one.hint())
        assert one.solution().code
    assert "git push" in repr(exercise("buckets").solution())
    with pytest.raises(JukeboxError, match="no exercise 'nothing'"):
        exercise("nothing")


def test_the_solution_that_is_shown_is_the_one_that_is_done(place, tmp_path):
    clone = tmp_path / "clone"
    shown = Path(clone / "3-prod_datascience" / "prod_train_save_pipeline.py")
    shown.parent.mkdir(parents=True)
    shown.write_text(place.git("show", f":{TRAINING_PIPELINE}").replace(edits.FETCH_FROM_DVC, "")
                     .replace("# fetch_task = fetch_data()", "fetch_task = fetch_data()") + "\n")  # fmt: skip
    edit = dataclasses.replace(CATALOGUE["fetch"][2][0], file=lambda _: shown)
    added = [line[1:] for line in edit.text(place).splitlines() if line.startswith("+") and "+++" not in line]
    edit.do(place)
    assert added and all(line in shown.read_text() for line in added)
    assert edits.FETCH_FROM_DVC in shown.read_text()


def test_every_result_has_words_html_and_data():
    def inspect(place, answer):
        if answer is None:
            raise not_attempted("nothing <yet>")
        if answer == 1:
            raise failed("one & only", "two")
        return f"{10 // answer} it is", {"answer": answer}

    one = Exercise("sums", inspect, ["think"], [], None)
    assert [one.check(a).outcome for a in (None, 1, 2, 0)] == ["not attempted", "failed", "passed", "error"]
    wrong, error = one.check(1), one.check(0)
    assert repr(wrong) == "✗ sums: failed\n  Found: one & only\n  Expected: two"
    bundle = wrong._repr_mimebundle_()
    assert "one &amp; only" in bundle["text/html"] and bundle["text/plain"] == repr(wrong)
    assert bundle[RESULT_TYPE]["outcome"] == "failed"
    assert "ZeroDivisionError" in error.code and "not your answer" in repr(error)


def test_quizzes_can_be_answered_again_and_explain():
    assert len({question.name for question in questions()}) == len(questions()) == 19
    for question in questions():
        one = quiz(question.name)
        answers = [one.answer(letter) for letter in one.letters]
        assert [answer.right for answer in answers].count(True) == 1
        assert answers[question.right].right and all(answer.lines[0] for answer in answers)
        assert question.text in repr(one) and all(text in repr(one) for text, _ in question.answers)
        with pytest.raises(JukeboxError, match="no answer"):
            one.answer("z")


def test_the_widget_says_so_when_it_is_answered():
    one = quiz("gitops")
    _, options, verdict = one.widget().children
    options.value = one.answers[1][0]
    assert "Not quite" in verdict.value
    options.value = one.answers[0][0]
    assert "Right" in verdict.value and "Not quite" not in verdict.value
    assert "text/plain" in one._repr_mimebundle_()


def test_the_model_is_the_workshops(place):
    assert place.registry.models() == [MODEL]
