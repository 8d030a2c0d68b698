"""The workshop's exercises: what each check inspects, its hints, its solution.

A check looks at the real thing (the S3 server, git, the compiled pipeline, the registry), never at typed text.
"""

from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import TRAINING_PIPELINE
from jukebox_helpers.steps.constants import WANTED_BUCKETS
from jukebox_helpers.workshop import checks, edits, run_checks
from jukebox_helpers.workshop.arrivals import week
from jukebox_helpers.workshop.breaking import stop_at
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_helpers.workshop.engine import Command, Edit, Exercise, Python
from jukebox_helpers.workshop.hits import check_hit, find_hit
from jukebox_helpers.workshop.place import Workplace

CATALOGUE: dict[str, tuple[Any, list[str], list[Any]]] = {
    "two-models": (
        run_checks.check_two_models,
        [
            "Any push to main is trained; a commit need not change a file: git commit --allow-empty.",
            "place.follow(place.head()) shows the training of your push; place.train(place.head()) trains it again.",
        ],
        [
            Command('git commit --quiet --allow-empty -m "Train this, please"'),
            Command("git push --quiet origin main"),
            Python("place.follow(place.head())"),
            Python("place.train(place.head())"),
        ],
    ),
    "buckets": (
        checks.check_buckets,
        [
            "The file ends with a list. It wants two more entries, indented as the others are.",
            "  - name: data and   - name: data-cache, each on a line of its own",
            "Nothing happens before the push: git commit, then git push, in the folder mlops-gitops.",
        ],
        [
            Edit(lambda place: place.gitops / CONFIG, lambda file: edits.add_buckets(file, list(WANTED_BUCKETS))),
            Command(f"git add {CONFIG}", "gitops"),
            Command('git commit --quiet -m "Buckets for the data and its versions"', "gitops"),
            Command("git push --quiet origin main", "gitops"),
            Python('place.wait_for_buckets("data", "data-cache")'),
        ],
    ),
    "remotes": (
        checks.check_remotes,
        [
            "dvc init makes the folder .dvc. dvc remote add NAME ADDRESS adds a remote.",
            "One of the two is the default: dvc remote add --default …",
            "s3-version is s3://data-cache and the default; data-source is s3://data.",
        ],
        [
            Command("dvc init --quiet --force", "practice"),
            Command("dvc remote add --quiet --force --default s3-version s3://data-cache", "practice"),
            Command("dvc remote add --quiet --force data-source s3://data", "practice"),
        ],
    ),
    "first-version": (
        checks.check_first_version,
        [
            "dvc import-url SOURCE FILE makes the version file; the source may be remote://data-source/…",
            "--to-remote --remote s3-version lets the bytes go from bucket to bucket, not through your disk.",
            "Then git add the files that DVC names, and git commit.",
        ],
        [
            Command(
                "dvc import-url --quiet --force remote://data-source/song_properties.parquet song_properties.parquet "
                "--to-remote --remote s3-version",
                "practice",
            ),
            Command(
                "git add .dvc/config .dvc/.gitignore .dvcignore .gitignore song_properties.parquet.dvc", "practice"
            ),
            Command('git commit --quiet -m "First data version"', "practice"),
        ],
    ),
    "second-version": (
        checks.check_second_version,
        [
            "The version file remembers where the data came from; dvc update looks there again.",
            "dvc update --to-remote --remote s3-version song_properties.parquet.dvc, then git commit",
        ],
        [
            Command("dvc update --quiet --to-remote --remote s3-version song_properties.parquet.dvc", "practice"),
            Command('git commit --quiet -m "Second data version" song_properties.parquet.dvc', "practice"),
        ],
    ),
    "restore": (
        checks.check_restored,
        [
            "Going back is a commit too: fetch the old version file out of the history, and commit it.",
            "git checkout HEAD~1 -- song_properties.parquet.dvc, then git commit, then dvc pull",
        ],
        [
            Command("git checkout --quiet HEAD~1 -- song_properties.parquet.dvc", "practice"),
            Command('git commit --quiet -m "Back to the first data version"', "practice"),
            Command("dvc pull --quiet --force song_properties.parquet.dvc", "practice"),
        ],
    ),
    "fetch": (
        checks.check_fetch,
        [
            "Two places in prod_train_save_pipeline.py: the line under the 🐶 goes, a block under the 🍇 comes.",
            "The step is fetch_data_from_dvc(cluster_domain=cluster_domain, git_version=version).",
            "It needs its namespace (use_field_path_as_env) and two Secrets (use_secret_as_env).",
        ],
        [Edit(lambda place: place.clone / TRAINING_PIPELINE, edits.train_on_versioned_data)],
    ),
    "push": (
        run_checks.check_push,
        ["Commit the one file that you changed, then push main.", "git commit -m … FILE, then git push origin main"],
        [
            Command(f'git commit --quiet -m "Train on versioned data" {TRAINING_PIPELINE}'),
            Command("git push --quiet origin main"),
            Python("place.follow(place.head())"),
        ],
    ),
    "import": (
        run_checks.check_import,
        [
            "In the dashboard: Pipelines → Import pipeline, the name data-pipeline-with-dvc, and the file.",
            "Imported already, and not this file? Then upload it as a new version of the pipeline.",
        ],
        [Python("place.import_data_pipeline()")],
    ),
    "first-model": (
        run_checks.check_first_model,
        [
            "The cell above the exercise holds what you need: place.train_on and the songs' address.",
            "place.train_on(place.songs_url)",
        ],
        [Python("place.train_on(place.songs_url)")],
    ),
    "daily": (
        run_checks.check_daily,
        [
            "In the dashboard: Runs → Schedules → Create schedule. Name, Periodic, every 1 day, and both parameters.",
            "A command does the same: ./jukebox schedule.",
        ],
        [Python("place.import_data_pipeline()"), Python("place.schedule_data_pipeline()")],
    ),
    "second-model": (
        run_checks.check_second_model,
        ["The line is there: take the # away.", "week(place)"],
        [Python("week(place)", (week,))],
    ),
    "own-commit": (
        run_checks.check_own_commit,
        [
            "Your clone has not seen what the pipeline committed. git says so when it rejects the push.",
            "git pull puts your commit on top of main, then git push origin main.",
        ],
        [
            Command(f'git commit --quiet --allow-empty -m "{run_checks.OWN_COMMIT}"'),
            Command("git pull --quiet"),
            Command("git push --quiet origin main"),
        ],
    ),
    "reproduce": (
        run_checks.check_reproduced,
        [
            "place.first_versioned_model() is the record of the first version; its key 'version' names it.",
            "place.reproduce(place.first_versioned_model()['version'])",
        ],
        [Python("place.reproduce(place.first_versioned_model()['version'])")],
    ),
    "hit": (
        check_hit,
        [
            "Move one feature at a time and look at the bars.",
            "A song that is loved there is a good start: place.songs is a table of real candidates.",
        ],
        [Python("find_hit(place)", (find_hit,))],
    ),
    "unbroken": (
        run_checks.check_unbroken,
        [
            "First break it, at a step that you choose; then run the pipeline again, to its end.",
            'stop_at(place, "load"), then place.train_on(place.songs_url)',
        ],
        [Python('stop_at(place, "load")', (stop_at,)), Python("place.run_data_pipeline()")],
    ),
}

_known: dict[str, Exercise] = {}


def exercise(name: str, place: Workplace | None = None) -> Exercise:
    """An exercise by its name in the notebooks; the same one for the same name, so that it remembers its hints.

    The attendee's place is found where not given. A name that there is not is a JukeboxError.
    """
    if name not in CATALOGUE:
        raise JukeboxError(f"There is no exercise {name!r}.", f"There are: {', '.join(CATALOGUE)}.")
    if place is not None or name not in _known:
        inspect, hints, steps = CATALOGUE[name]
        _known[name] = Exercise(name, inspect, hints, steps, place or Workplace())
    return _known[name]
