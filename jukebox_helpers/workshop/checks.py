"""What the check of each exercise inspects: the real thing, never typed text."""

from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.compile import compile_file
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.settings import GITOPS_REPOSITORY, TRAINING_PIPELINE, TRAINING_PIPELINE_YAML
from jukebox_helpers.steps import dvc
from jukebox_helpers.steps.constants import (
    GIT_KEYS,
    GIT_SECRET,
    REMOTES,
    S3_KEYS,
    VERSION_FILE,
    WANTED_BUCKETS,
)
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.buckets import CONFIG, listed_buckets, read_buckets
from jukebox_helpers.workshop.engine import Verdict, failed, not_attempted
from jukebox_helpers.workshop.place import Workplace, loaded_md5
from jukebox_helpers.workshop.run_checks import refuse_failed_push

Found = tuple[str, dict[str, Any]]


FETCH_SECRETS = {"aws-connection-data": S3_KEYS, GIT_SECRET: GIT_KEYS}
"""The keys that the fetch needs of each Secret; every one becomes a variable of the same name."""


def check_buckets(place: Workplace) -> Found:
    """The bucket list of the S3 server, and what mlops-gitops says on its branch main."""
    missing = [name for name in WANTED_BUCKETS if name not in place.buckets()]
    on_main = listed_buckets(place.on_main(CONFIG, GITOPS_REPOSITORY), f"{CONFIG} on main")
    unlisted = [name for name in WANTED_BUCKETS if name not in on_main]
    if not missing and not unlisted:
        revision = place.git("log", "-1", "--format=%h", "origin/main", "--", CONFIG, folder=place.gitops)
        found = f"The S3 server has {', '.join(place.buckets())}; commit {revision} of {GITOPS_REPOSITORY} says why."
        return found, {"buckets": place.buckets()}
    edit = place.edited(CONFIG, place.gitops)
    if unlisted and not missing:
        raise failed("the buckets, but no line for them in the file on main", "buckets that the file on main lists")
    copy = place.clone / GITOPS_REPOSITORY / CONFIG
    if not edit and unlisted and copy.is_file() and set(unlisted) <= set(read_buckets(copy)):
        raise failed(f"the buckets in {copy}, which only says how {GITOPS_REPOSITORY} began",
                     f"the same edit in the clone beside it, {place.gitops / CONFIG}")  # fmt: skip
    if not edit and unlisted:
        raise not_attempted(f"{CONFIG} still lists {', '.join(on_main)}.")
    try:
        listed = read_buckets(place.gitops / CONFIG)
    except JukeboxError as error:
        raise failed(error.what, "a file that can be read, as its first two entries are written") from None
    if absent := [name for name in WANTED_BUCKETS if name not in listed]:
        raise failed(f"a file that lists {', '.join(listed)}", f"also {' and '.join(absent)}, letter by letter")
    if edit:
        raise failed(f"the right file, but {edit}", "the same on the branch main of the git server")
    refuse_failed_push(place, place.head(GITOPS_REPOSITORY), GITOPS_REPOSITORY)
    raise failed(f"no bucket {' and '.join(missing)} yet", "the buckets, a few seconds after the push; check again")


def check_practice_branch(place: Workplace) -> None:
    """Say so where the practice repository has not its branch main checked out: its history is another one then."""
    if (place.practice / ".git").is_dir() and (branch := place.branch(place.practice)) != "main":
        raise failed(f"the practice repository on {branch}", "its branch main; git switch main leads back")


def check_remotes(place: Workplace) -> Found:
    """The DVC configuration of the practice repository."""
    if not (place.practice / ".dvc").is_dir():
        raise not_attempted(f"{place.practice} has no folder .dvc: dvc init has not run there.")
    remotes = dvc.read_remotes(str(place.practice))
    for name, url in REMOTES.items():
        if name not in remotes:
            raise failed(f"the remotes {', '.join(remotes) or 'none'}", f"also {name}, with the address {url}")
        if remotes[name] != url:
            raise failed(f"the remote {name} at {remotes[name]}", f"{name} at {url}")
    default = dvc.dvc("config", "core.remote", folder=str(place.practice)).strip()
    if default != "s3-version":
        raise failed(f"the default remote {default}", "s3-version as default, because versions are pushed there")
    return "Two remotes: data comes from data-source, versions go to s3-version.", {"remotes": remotes}


def check_first_version(place: Workplace) -> Found:
    """The version file in the practice repository's log, and its object in the bucket data-cache."""
    check_practice_branch(place)
    if not (place.practice / VERSION_FILE).is_file():
        raise not_attempted(f"There is no {VERSION_FILE} in {place.practice}.")
    md5 = place.practise_version()
    address = place.cached_version(md5)
    if not address:
        raise failed(f"a version file for {md5}, but no such object in data-cache",
                     "the bytes in data-cache: import with --to-remote and --remote s3-version")  # fmt: skip
    if md5 not in place.practised_versions():
        raise failed("a version file that git does not know", "the version file in a commit of the practice repository")
    return f"Data version {md5} is committed, and its bytes are {address}.", {"data version": md5}


def check_second_version(place: Workplace) -> Found:
    """Two data versions in the practice repository's log, both with their objects in data-cache."""
    check_practice_branch(place)
    versions = list(dict.fromkeys(place.practised_versions()))
    if len(versions) < 2:
        if place.practise_version() not in ["", *versions]:
            raise failed("a new version file that is not committed", "the new version in a commit of its own")
        raise not_attempted("The practice repository knows one data version so far.")
    if loaded_md5(place) not in versions:
        raise failed("two versions, but neither is what s3://data holds now", "the version of the songs just loaded")
    if gone := [md5 for md5 in versions[:2] if not place.cached_version(md5)]:
        raise failed(f"no object for {gone[0]} in data-cache", "the bytes of both versions: dvc update --to-remote")
    return f"Two data versions, the newer {versions[0]}; both are in data-cache.", {"data versions": versions[::-1]}


def check_restored(place: Workplace) -> Found:
    """The bytes of the restored table, and the practice repository's log, which must have lost nothing."""
    check_practice_branch(place)
    history = place.practised_versions()
    table = place.practice / VERSION_FILE.removesuffix(".dvc")
    if len(set(history)) < 2:
        raise not_attempted("There are not two versions yet, so there is nothing to go back to.")
    first = history[-1]
    if history[0] != first:
        if place.practise_version() == first:
            raise failed("the old version file, not committed", "going back as one more commit")
        raise not_attempted(f"The practice repository is at its newest version, {history[0]}.")
    if not table.is_file():
        raise failed("the old version file, but no table beside it", f"its bytes too, as {table.name}: dvc pull")
    md5 = file_digest(str(table), "md5")
    if md5 != first:
        raise failed(f"a table with md5 {md5}", f"the bytes that the version file names, md5 {first}")
    found = f"The table has md5 {md5}, the first version, byte for byte; all {len(history)} commits are there."
    return found, {"data version": md5, "commits": len(history)}


def check_fetch(place: Workplace) -> Found:
    """The compiled pipeline of the attendee's clone: its first step, and the secrets that the step gets."""
    file = place.clone / TRAINING_PIPELINE
    if edits.is_starter(file.read_text()):
        raise not_attempted("The training pipeline still fetches its data with fetch_data().")
    try:
        compile_file(file)
    except JukeboxError as error:
        what, _, details = error.what.partition("\n")
        raise Verdict("error", what, "a file that compiles; yours stops as below", details) from None
    pipeline = read_pipeline((place.clone / TRAINING_PIPELINE_YAML).read_text())
    steps, name = pipeline.steps(), "fetch-data-from-dvc"
    if name not in steps:
        raise failed(f"the steps {', '.join(steps)}", f"a step {name}: the call under the 🍇")
    if "fetch-data" in steps:
        raise failed("both fetch-data and fetch-data-from-dvc", "one of them: comment out the line under the 🐶")
    fetch = pipeline.spec["root"]["dag"]["tasks"][name]["inputs"]["parameters"]
    if fetch["git_version"].get("componentInputParameter") != "version":
        raise failed(f"{name} with another git_version than the pipeline's version",
                     "git_version=version, so that exactly the pushed revision is fetched")  # fmt: skip
    check_what_is_given(name, pipeline.platform_of("exec-" + name))
    for label in pipeline.executors:
        for entry in pipeline.platform_of(label).get("secretAsEnv", []):
            for key in ("", *(pair["secretKey"] for pair in entry["keyToEnv"])):
                if not place.settings.has_secret(entry["secretName"], key):
                    step, what = label.removeprefix("exec-"), f"the key {key!r} of " * bool(key)
                    raise failed(f"{step} needs {what}the Secret {entry['secretName']}, which this platform does not "
                                 "have", "a run that can start: name what is there")  # fmt: skip
    return f"The compiled pipeline begins with {name}, with the Secrets it needs.", {"steps": len(steps)}


def check_what_is_given(name: str, given: dict[str, Any]) -> None:
    """Check the Secrets and the namespace that the platform spec gives to the step that fetches."""
    # A later entry for the same variable replaces an earlier one.
    sources = {pair["envVar"]: (entry["secretName"], pair["secretKey"])
               for entry in given.get("secretAsEnv", []) for pair in entry["keyToEnv"]}  # fmt: skip
    for secret, keys in FETCH_SECRETS.items():
        if absent := [key for key in keys if key not in sources]:
            raise failed(f"{name} without {', '.join(absent)}", f"these keys from the Secret {secret}")
        for key in keys:
            if sources[key] != (secret, key):
                raise failed("{0} with {1} from the key {3} of the Secret {2}".format(name, key, *sources[key]),
                             f"{key} from the key {key} of the Secret {secret}")  # fmt: skip
    if {"name": "namespace", "fieldPath": "metadata.namespace"} not in given.get("fieldPathAsEnv", []):
        raise failed(f"{name} without its namespace", "env_name namespace from the field path metadata.namespace")
