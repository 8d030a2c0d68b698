"""The checks of exercises that end in a run: what the pipeline server, git and the registry say of it."""

from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.actions import DATA_PIPELINE_NAME
from jukebox_helpers.pipelines.following import adhoc_name, find_run, list_runs
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.reports import digest
from jukebox_helpers.pipelines.reproduction import exporting_step, models_of, rebuild_name
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.pipelines.statuses import read_status, read_statuses
from jukebox_helpers.pipelines.training import TRAINING_PIPELINE_NAME, failed_push, training_of
from jukebox_helpers.settings import REPOSITORY, TRAINING_PIPELINE
from jukebox_helpers.steps.constants import DATA_HASH, MODEL, MODEL_HASH, VERSION_FILE
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.messages import printable
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.engine import failed, not_attempted
from jukebox_helpers.workshop.place import Workplace

Found = tuple[str, dict[str, Any]]


def check_two_models(place: Workplace) -> Found:
    """The training runs of one revision, and the file that each has made."""
    names = [run.display_name for run in list_runs(connect(place.settings), 100)]
    names = [name for name in names if name.startswith(f"{TRAINING_PIPELINE_NAME}-")]
    if not names:
        raise not_attempted("No push to main has been trained yet.")
    again = [name for name in names if names.count(name) > 1]
    revision = (again or names)[0].removeprefix(f"{TRAINING_PIPELINE_NAME}-")
    models = models_of(place.settings, revision)
    made = [sha256 for _, sha256 in models if sha256]
    if len(made) < 2:
        if any(run.state == "running" for run, _ in models):
            raise failed(f"a training of {revision} that is still running", "its end; check again in some seconds")
        raise failed(f"one model of {revision}", "the same revision trained again: place.train(place.head())")
    if len(set(made)) < 2:
        raise failed(f"the same model twice, with sha256 {made[0][:10]}…", "a training that fetches with fetch_data()")
    found = f"Revision {revision} was trained {len(made)} times, and gave {len(set(made))} different models."
    return found, {"revision": revision, "models": made}


def check_import(place: Workplace) -> Found:
    """The newest version of the imported pipeline, compared with the clone's file: both documents of it."""
    server = connect(place.settings)
    try:
        newest = server.latest(DATA_PIPELINE_NAME)
    except JukeboxError:
        raise not_attempted(f"The pipeline server has no pipeline {DATA_PIPELINE_NAME}.") from None
    if newest.compiled != read_pipeline(place.data_pipeline.read_text()):
        another = f"{DATA_PIPELINE_NAME} {newest.version}, which is another pipeline than {place.data_pipeline.name}"
        raise failed(another, "this very file, as a new version of it")
    return f"{DATA_PIPELINE_NAME} {newest.version} is your file, step for step.", {"version": newest.version}


def check_daily(place: Workplace) -> Found:
    """The schedules of the pipeline server: trigger, parameters, and whether they are on."""
    name = f"{DATA_PIPELINE_NAME}-daily"
    schedules = connect(place.settings).schedules(name)
    if not schedules:
        raise not_attempted(f"The pipeline server has no schedule {name}.")
    on = [one for one in schedules if one.status == "ENABLED"]
    if not on:
        raise failed(f"the schedule {name}, turned off", "the same, turned on")
    one, wanted = on[0], {"dataset_url": place.songs_url, "repo_url": place.settings.repository_url()}
    periodic = one.trigger and one.trigger.periodic_schedule
    if not periodic or int(periodic.interval_second) != 86400:
        raise failed(f"{name} with another trigger", "Periodic, run every 1 day")
    given = (one.runtime_config and one.runtime_config.parameters) or {}
    for parameter, value in wanted.items():
        if given.get(parameter) != value:
            raise failed(f"{name} with {parameter} {printable(str(given.get(parameter, '')), 80)!r}", f"{value!r}")
    return f"{name} is on, every day, for the songs at {place.songs_url}.", {"schedule": one.recurring_run_id}


OWN_COMMIT = "A commit of my own"
"""The message of the commit that an exercise asks for."""


def check_own_commit(place: Workplace) -> Found:
    """The attendee's commit: in the clone, and on the git server's main on top of what a pipeline committed."""
    place.fetch()
    pushed = place.git("log", "-1", "--format=%H", f"--grep=^{OWN_COMMIT}$", "origin/main")
    if pushed:
        if not place.git("log", "-1", "--format=%H", pushed, "--", VERSION_FILE):
            raise failed(
                f"your commit {pushed[:10]} before any data version", "one on top of what the pipeline committed"
            )
        return f"Your commit {pushed[:10]} is on main, on top of the pipeline's.", {"revision": pushed}
    if place.git("log", "-1", "--format=%H", f"--grep=^{OWN_COMMIT}$", "HEAD"):
        behind = place.git("rev-list", "--count", "HEAD..origin/main")
        raise failed(f"your commit in your clone only; commits of main that your clone does not have: {behind}",
                     "git pull, which puts yours on top, then git push origin main")  # fmt: skip
    raise not_attempted(f"Neither your clone nor main has a commit with the message {OWN_COMMIT!r}.")


def check_unbroken(place: Workplace) -> Found:
    """A run of the data pipeline that was ended, a later one that succeeded, and the bytes that main names."""
    name = adhoc_name(DATA_PIPELINE_NAME)
    runs = [run for run in list_runs(connect(place.settings), 100) if run.display_name == name]
    ended = [number for number, run in enumerate(runs) if run.state in ("CANCELED", "FAILED")]
    if not ended:
        raise not_attempted("No run of the data pipeline was stopped.")
    later = [run for run in runs[: ended[0]] if run.state == "SUCCEEDED"]
    if not later:
        raise failed(
            f"the run {runs[ended[0]].run_id}, stopped, and none after it", "the pipeline run again, to its end"
        )
    md5 = place.version_on_main()
    address, table = place.cached_version(md5), place.tables / "after-the-stop.parquet"
    if not address:
        raise failed(f"main names {md5}, and data-cache has no such object", "the bytes that main names")
    place.tables.mkdir(parents=True, exist_ok=True)
    place.download(address, str(table))
    if (found := file_digest(str(table), "md5")) != md5:
        raise failed(f"main names {md5}, and data-cache has {found} there", "the bytes that main names")
    said = f"After {len(ended)} stopped run(s), main names {md5}, and these very bytes are in data-cache."
    return said, {"data version": md5, "stopped": len(ended)}


def check_push(place: Workplace) -> Found:
    """The training pipeline on the git server's main, and the run that its push started."""
    path = str(TRAINING_PIPELINE)
    if edits.is_starter(place.on_main(path)):
        if edit := place.edited(path, place.clone):
            raise failed(f"your edit, {edit}", "the edit on the branch main of the git server")
        raise not_attempted("The branch main of the git server still trains on data without a version.")
    revision = place.git("log", "-1", "--format=%H", "origin/main", "--", path)
    values = {"revision": revision}
    # A push of several commits trains the last of them, and a failed one may have been repeated.
    pushed = [*place.git("rev-list", f"{revision}..origin/main").split(), revision]
    known = ((commit, read_status(place.settings, commit)) for commit in pushed)
    commit, status = next(((commit, status) for commit, status in known if status), (revision, None))
    if not status:
        raise failed(f"no push of {revision[:10]} that the trigger has seen",
                     "one; git commit --allow-empty, then git push origin main")  # fmt: skip
    if not status.over:
        raise failed("a training that is still running", "its end; check again in some seconds")
    run = training_of(place.settings, commit)
    if run is None or status.state == "error" or not run.began:
        error = failed_push(commit, status)
        raise failed(error.what, f"a run. {error.next_action}")
    next_action = run.next_action[:1].upper() + run.next_action[1:]
    found = f"The push of {commit[:10]} was trained; it {run.state}. {run.error} {next_action}".strip()
    return found, values | {"state": run.state}


def refuse_failed_push(place: Workplace, revision: str, repository: str = REPOSITORY) -> None:
    """Say that a push has failed, so that nobody waits for what it was to bring."""
    for status in read_statuses(place.settings, revision, repository):
        if status.state in ("failure", "error"):
            error = failed_push(revision, status)
            raise failed(error.what, f"a push that succeeds. {error.next_action}")


def check_first_model(place: Workplace) -> Found:
    """The version file on main, its object in data-cache, and the model version that was trained on it."""
    if not place.on_main(VERSION_FILE):
        run = find_run(connect(place.settings), adhoc_name(DATA_PIPELINE_NAME))
        if run and run.state == "failed":
            raise failed(f"a run of the data pipeline that failed: {run.error}", "a run that succeeds")
        raise not_attempted(f"There is no {VERSION_FILE} on main: the data pipeline has not run.")
    if not place.versioned_models():
        refuse_failed_push(place, place.head())
        raise failed("a data version on main, but no model trained on it", "a registered model: wait for the training")
    first = place.first_versioned_model()
    version, md5 = first["version"], first["metadata"][DATA_HASH]
    if not place.cached_version(md5):
        raise failed(f"no object for {md5} in data-cache", "the bytes that the model was trained on")
    found = f"{MODEL} {version} is registered, trained on data version {md5}."
    return found, {"model version": version, "data version": md5}


def check_second_model(place: Workplace) -> Found:
    """Two registered versions that were trained on different data."""
    records = place.versioned_models()
    if len(records) < 2:
        if records:
            refuse_failed_push(place, place.head())
        raise not_attempted(f"The registry knows {len(records)} version(s) of {MODEL} with a data version.")
    first, last = records[0]["metadata"], records[-1]["metadata"]
    if first[DATA_HASH] == last[DATA_HASH]:
        raise failed("two versions trained on the same bytes", "a second one that was trained on fresh data")
    found = (
        f"{records[-1]['version']} was trained on {last['songs rows']:,} songs, the first on {first['songs rows']:,}."
    )
    values = {"model versions": [r["version"] for r in records], "songs": [first["songs rows"], last["songs rows"]]}
    return found, values


def check_reproduced(place: Workplace) -> Found:
    """The run that rebuilt the first version without registering it, and the file that it made."""
    if not place.versioned_models():
        raise not_attempted("There is no model version to reproduce yet.")
    first = place.first_versioned_model()
    run = find_run(connect(place.settings), rebuild_name(first["version"]))
    if run is None:
        raise not_attempted(f"No run has rebuilt {first['version']}.")
    if run.state == "running":
        raise failed("a rebuild that is still running", "its end; check again in some seconds")
    if run.state == "failed":
        raise failed(f"a rebuild that failed: {run.error}", "a rebuild that succeeds")
    sha256 = digest(place.settings, run, exporting_step(step.name for step in run.steps), "onnx_model", "sha256")
    if sha256 != first["metadata"][MODEL_HASH]:
        raise failed(f"a rebuilt model with sha256 {sha256}", first["metadata"][MODEL_HASH])
    return f"The rebuilt file has sha256 {sha256}, as the registered one.", {"model sha256": sha256}
