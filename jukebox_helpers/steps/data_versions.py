"""Data versions: DVC in the hands of the pipelines. All of it travels.

A data version is the md5 that DVC records in ``song_properties.parquet.dvc``; the bytes are in the bucket
``data-cache`` under that md5. Data first, commit last: whatever dies in between, a version file on ``main``
never points at data that is not there. The bucket ``data`` follows ``main``, so the last commit has the last word.
A repository is named by its HTTP address, without credentials.
"""

import json
import os
import time

from jukebox_helpers.steps.constants import (
    CACHE_BUCKET,
    DATA_HASH,
    DATA_PATH,
    DVC_REMOTES,
    GIT_REPOSITORY,
    GIT_REVISION,
    RANKINGS_SOURCE,
    REMOTES,
    SONGS_OBJECT,
    SOURCE_ADDRESS,
    VERSION_FILE,
)
from jukebox_helpers.steps.data_cache import cache_key, copy_from_cache, source_facts
from jukebox_helpers.steps.dvc import dvc, read_config, read_remotes, read_version_file, record_version, set_remotes
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.git import clone_main, container_environment, git
from jukebox_helpers.steps.git_password import ask_gitea, may_push
from jukebox_helpers.steps.rankings import rankings_source
from jukebox_helpers.steps.s3 import explained, s3_client
from jukebox_helpers.steps.transfer import fetch_object

PROBE = ".jukebox-write-check"
"""The object that is written and removed to see whether a bucket can be written to."""


def check_write_access(repo_url: str, buckets: "list[str]") -> str:
    """Check, before anything is written, all that the pipeline will need to write.

    Args:
        repo_url: The git repository.
        buckets: The buckets that must be there.

    Returns:
        The revision at the head of ``main``.

    Raises:
        PermissionError: If git refuses to push; the rest is as in `git.git` and `s3.explained`.
    """
    client = s3_client(os.environ)
    for bucket in buckets:
        with explained(client, f"s3://{bucket}"):
            # Whether a bucket can be written to, nothing says but a write.
            client.put_object(Bucket=bucket, Key=PROBE, Body=b"")
            client.delete_object(Bucket=bucket, Key=PROBE)
    folder = container_environment() + "/repository"
    revision = clone_main(repo_url, folder)
    try:
        git("push", "--quiet", "--dry-run", "origin", "main", folder=folder)
    except RuntimeError as error:
        # Where somebody pushed since, it is not a question of access.
        if "fetch first" not in str(error):
            raise
    if may_push(repo_url) is False:
        raise PermissionError(
            f"The git server lets this user read {repo_url} but not push to its branch main: it is protected, or the "
            "user may only read. Next: give the user of the Secret git-auth write access to the branch main."
        )
    return revision


def commit_data_version(repo_url: str, md5: str, attempts: int = 40) -> dict:
    """Version the songs in the cache with DVC, push their version file to ``main``, and let ``s3://data`` follow.

    The same bytes again make no commit, if a fetch of ``main`` gives them. A push that loses a race is made again on
    the new head.

    Args:
        repo_url: The git repository.
        md5: The md5 under which this run has brought its bytes into ``data-cache``.
        attempts: How often a lost race is run again. Each one that is lost, another run has won.

    Returns:
        ``md5``, ``revision`` (40 hexadecimal digits), ``changed`` (whether there is a new commit).

    Raises:
        RuntimeError: If DVC or git fail, or if every attempt lost its race.
        ValueError: If the bytes in the cache are not those of the md5.
    """
    refused, fetched = "", ""
    for _ in range(attempts):
        folder = container_environment() + "/repository"
        head = clone_main(repo_url, folder)
        fetched = version_songs(folder, md5, fetched)
        changed = bool(git("status", "--porcelain", "--untracked-files=no", folder=folder))
        if changed:
            git("commit", "--quiet", "--message", f"Data version {md5[:10]} of the song properties", folder=folder)
            try:
                git("push", "--quiet", "origin", "main", folder=folder)
            except (OSError, RuntimeError) as error:
                unmoved = git("ls-remote", "origin", "refs/heads/main", folder=folder).split("\t")[0] == head
                # Once may be a race too: the server refuses while another push is about to move main.
                if unmoved and refused == head:
                    raise type(error)(f"The data is in data-cache, main of {repo_url} is as it was: {error}") from None
                refused = head
                print("Another push came first: once more, on the new head of main.")
                continue
        revision = git("rev-parse", "HEAD", folder=folder)
        if changed:
            print(f"Data version {md5} is on main, as revision {revision[:10]}.")
        else:
            print(f"No news: revision {head[:10]} of main has data version {md5} already.")
            moment = int(git("log", "-1", "--format=%ct", folder=folder))
            print(what_became_of(repo_url, head, time.time() - moment))
        follow_main(folder)
        return {"md5": md5, "revision": revision, "changed": changed}
    raise RuntimeError(
        f"Another push to {repo_url} came first, {attempts} times. The data is in data-cache, nothing is lost. "
        "Next: run the pipeline again."
    )


def what_became_of(repo_url: str, revision: str, age: float) -> str:
    """Say what became of the training of a revision; where it was lost, have its push delivered once more.

    What should be, a training of the head of ``main``, is compared with its commit status ``jukebox/ct``. Gitea
    delivers the newest push again where it is asked to test a webhook (https://docs.gitea.com/api,
    ``/repos/{owner}/{repo}/hooks/{id}/tests``), which takes a user who administers the repository, as its owner does.

    Args:
        repo_url: The git repository.
        revision: The head of ``main``.
        age: Seconds since it was committed: a trigger needs some.

    Returns:
        A sentence, with the next action where there is one.
    """
    by_hand = f"Next: ./jukebox run training-pipeline --revision {revision[:10]}"
    found = ask_gitea(repo_url, f"commits/{revision}/status")
    if not isinstance(found, dict):
        return f"Whether it is trained, the git server does not say. {by_hand} trains it."
    known = {one["context"]: one for one in reversed(found.get("statuses") or [])}.get("jukebox/ct", {})
    state = known.get("status", "none")
    if state in ("success", "pending") or (state == "none" and age < 120):
        return {"success": "It is trained.", "pending": "Its training is under way."}.get(state, "It is just pushed.")
    if state == "failure":  # it would fail again
        return f"Its training has failed: {known.get('description')!r:.300}. {by_hand} trains it again."
    hooks = ask_gitea(repo_url, "hooks")
    hooks = [one["id"] for one in hooks if one.get("active")] if isinstance(hooks, list) else []
    if hooks and all(ask_gitea(repo_url, f"hooks/{one}/tests", "POST") is not None for one in hooks):
        return f"Its training did not begin or was cut short ({state}): its push is delivered to the trigger once more."
    return f"Its training did not begin or was cut short ({state}). {by_hand} trains it."


def version_songs(folder: str, md5: str, fetched: str = "", anew: bool = False) -> str:
    """Bring the version file of a clone up to songs in ``data-cache``, and stage what is to be committed.

    What comes out is what ``dvc import-url --to-remote`` and ``dvc update --to-remote`` make of the same bytes, and a
    fetch of it has given them. What a person noted in the version file stays, unless it cannot be fetched with it.

    Args:
        folder: The clone.
        md5: The md5 of the songs.
        fetched: What an earlier call returned: if the same is staged now, it is not fetched again.
        anew: Whether to keep nothing of the version file.

    Returns:
        What is staged, and can be fetched.

    Raises:
        RuntimeError: If DVC fails.
        ValueError: If the fetched bytes are not those of the md5, or ``.dvc/config`` cannot be read.
    """
    from dvc.exceptions import DvcException

    version_file = os.path.join(folder, VERSION_FILE)
    anew = anew or not os.path.isfile(version_file)
    files = (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", VERSION_FILE)
    try:
        set_remotes(folder, REMOTES)
        if anew or read_version_file(version_file)["md5"] != md5:
            record_version(version_file, SOURCE_ADDRESS, md5, anew, **source_facts(md5))
        git("add", *(file for file in files if os.path.exists(os.path.join(folder, file))), folder=folder)
        staged = git("ls-files", "--stage", "--", *files, folder=folder)
        if staged != fetched:
            pull_songs(folder, "on main")
        return staged
    except (DvcException, RuntimeError, ValueError) as error:
        if not anew:
            print(f"The version on main cannot be fetched and is written anew: {str(error)!r:.300}")
            return version_songs(folder, md5, anew=True)
        if not isinstance(error, DvcException):
            raise
        raise RuntimeError(
            f"DVC cannot write the data version: {error}. Nothing was committed. "
            "Next: fix what DVC reports in the repository, then run the pipeline again."
        ) from None


def pull_songs(folder: str, revision: str) -> str:
    """Fetch the songs of a clone's version file with DVC, into the clone.

    Args:
        folder: The clone.
        revision: What messages call its revision.

    Returns:
        Their md5.

    Raises:
        RuntimeError: If DVC cannot bring them.
        ValueError: If the version file cannot be read, or other bytes come than it names.
    """
    songs = f"{folder}/{SONGS_OBJECT}"
    wanted = read_version_file(f"{folder}/{VERSION_FILE}")["md5"]
    dvc("pull", VERSION_FILE, folder=folder)
    found = file_digest(songs, "md5") if os.path.isfile(songs) else "none"
    if found != wanted:
        raise ValueError(
            f"The data of revision {revision} has md5 {found}, but its version file names {wanted}. "
            "Next: run the data pipeline, which repairs it."
        )
    return wanted


def follow_main(folder: str) -> None:
    """Let ``s3://data`` have the songs that ``main`` names, also where another run moves it meanwhile.

    Whoever copies last looks at ``main`` after that, so the bucket ends with the last commit.
    """
    head, version_file = "", os.path.join(folder, VERSION_FILE)
    while head != (head := git("rev-parse", "HEAD", folder=folder)) and os.path.isfile(version_file):
        copy_from_cache(read_version_file(version_file)["md5"])
        git("fetch", "--quiet", "origin", "main", folder=folder)
        git("reset", "--quiet", "--hard", "FETCH_HEAD", folder=folder)


def fetch_data_version(repo_url: str, revision: str, songs_path: str) -> dict:
    """Fetch the songs of exactly one revision, from where DVC keeps them.

    Args:
        repo_url: The git repository.
        revision: A git commit, at least its first 10 characters.
        songs_path: The file to write.

    Returns:
        What lineage needs: ``git revision`` (40 hexadecimal digits), ``git repository``,
        ``DVC training data hash``, ``DVC data path``, ``DVC remotes`` (JSON), ``rankings source``
        (what the revision says, see `rankings.fetch_rankings`).

    Raises:
        FileNotFoundError: If the revision has no version file, or its default remote no such data.
        RuntimeError: If the revision does not exist.
        ValueError: If the bytes are not those that the version file names.
    """
    folder = container_environment() + "/repository"
    clone_main(repo_url, folder)
    git("checkout", "--quiet", "--detach", revision, "--", folder=folder)
    if not os.path.isfile(f"{folder}/{VERSION_FILE}"):
        raise FileNotFoundError(
            f"Revision {revision} has no {VERSION_FILE}: its data has no version yet. "
            "Next: run the data pipeline; its commit starts this pipeline again."
        )
    wanted = read_version_file(f"{folder}/{VERSION_FILE}")["md5"]
    default = read_config(folder).get("core", "remote", fallback="")
    remote = read_remotes(folder).get(default) or f"s3://{CACHE_BUCKET}"
    fetch_object(f"{remote.rstrip('/')}/{cache_key(wanted)}", songs_path)
    found = file_digest(songs_path, "md5")
    if found != wanted:
        os.remove(songs_path)
        raise ValueError(
            f"The data of revision {revision} has md5 {found}, but its version file names {wanted}. "
            "Next: run the data pipeline, which repairs it."
        )
    return {
        GIT_REVISION: git("rev-parse", "HEAD", folder=folder),
        GIT_REPOSITORY: repo_url,
        DATA_HASH: wanted,
        DATA_PATH: SONGS_OBJECT,
        DVC_REMOTES: json.dumps(read_remotes(folder), sort_keys=True),
        RANKINGS_SOURCE: rankings_source(folder),
    }
