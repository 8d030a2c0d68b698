"""The workshop's exercises: what each check inspects, its hints, its solution.

A check looks at the real thing (the S3 server, git, the compiled pipeline, the registry), never at typed text.
"""

from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import TRAINING_PIPELINE
from jukebox_helpers.steps.constants import WANTED_BUCKETS
from jukebox_helpers.workshop import checks, edits
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_helpers.workshop.engine import Command, Edit, Exercise, Python
from jukebox_helpers.workshop.hits import check_hit, find_hit
from jukebox_helpers.workshop.place import Workplace

CATALOGUE: dict[str, tuple[Any, list[str], list[Any]]] = {
    "hello": (
        checks.check_hello,
        ["A branch is made in your clone first, then it is pushed.", "git branch hello, then git push origin hello"],
        [Command("git branch --force hello"), Command("git push --quiet origin hello")],
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
        checks.check_push,
        ["Commit the one file that you changed, then push main.", "git commit -m … FILE, then git push origin main"],
        [
            Command(f'git commit --quiet -m "Train on versioned data" {TRAINING_PIPELINE}'),
            Command("git push --quiet origin main"),
            Python("place.follow(place.head())"),
        ],
    ),
    "first-model": (
        checks.check_first_model,
        [
            "The cell above the exercise holds what you need: place.train_on and the songs' address.",
            "place.train_on(place.songs_url)",
        ],
        [Python("place.train_on(place.songs_url)")],
    ),
    "second-model": (
        checks.check_second_model,
        [
            "It is what you did in notebook 5: other songs arrive, the address is the same.",
            'place.publish("fresh"), then place.train_on(place.songs_url)',
        ],
        [Python('place.publish("fresh")'), Python("place.train_on(place.songs_url)")],
    ),
    "reproduce": (
        checks.check_reproduced,
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
