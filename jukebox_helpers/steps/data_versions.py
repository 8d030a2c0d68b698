"""Data versions: DVC in the hands of the pipelines. All of it travels.

A data version is the md5 that DVC records in ``song_properties.parquet.dvc``; the bytes are in the bucket
``data-cache`` under that md5. Data first, commit last: whatever dies in between, a version file on ``main``
never points at data that is not there. A repository is named by its HTTP address, without credentials.
"""

import json
import os

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
from jukebox_helpers.steps.data_cache import cache_key, cached_size, copy_to_cache
from jukebox_helpers.steps.dvc import read_config, read_remotes, read_version_file, record_version, set_remotes
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.git import clone_main, container_environment, git
from jukebox_helpers.steps.git_password import may_push
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
        # Where somebody pushed since, it is no question of access.
        if "fetch first" not in str(error):
            raise
    if may_push(repo_url) is False:
        raise PermissionError(
            f"The git server lets this user read {repo_url} but not push to its branch main: it is protected, or the "
            "user may only read. Next: give the user of the Secret git-auth write access to the branch main."
        )
    return revision


def commit_data_version(repo_url: str, md5: str, attempts: int = 5) -> dict:
    """Version the loaded songs with DVC and push their version file to ``main``.

    The same bytes again make no commit. A push that loses a race is made again on the new head.

    Args:
        repo_url: The git repository.
        md5: The md5 of the bytes that this run loaded into ``s3://data``.
        attempts: How often a lost race is run again.

    Returns:
        ``md5``, ``revision`` (40 hexadecimal digits), ``changed`` (whether there is a new commit).

    Raises:
        RuntimeError: If DVC or git fail, or if every attempt lost its race.
        ValueError: If the loaded object is no longer the one that this run loaded.
    """
    for _ in range(attempts):
        folder = container_environment() + "/repository"
        head = clone_main(repo_url, folder)
        version_songs(folder, md5)
        files = (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", VERSION_FILE)
        git("add", *(file for file in files if os.path.exists(os.path.join(folder, file))), folder=folder)
        if not git("status", "--porcelain", "--untracked-files=no", folder=folder):
            print(f"No news: revision {head[:10]} of main has data version {md5} already.")
            return {"md5": md5, "revision": head, "changed": False}
        git("commit", "--quiet", "--message", f"Data version {md5[:10]} of the song properties", folder=folder)
        try:
            git("push", "--quiet", "origin", "main", folder=folder)
        except (OSError, RuntimeError) as error:
            if git("ls-remote", "origin", "refs/heads/main", folder=folder).split("\t")[0] == head:
                raise type(error)(f"The data is in data-cache, main of {repo_url} is as it was: {error}") from None
            print("Another push came first: once more, on the new head of main.")
            continue
        revision = git("rev-parse", "HEAD", folder=folder)
        print(f"Data version {md5} is on main, as revision {revision[:10]}.")
        return {"md5": md5, "revision": revision, "changed": True}
    raise RuntimeError(
        f"Another push to {repo_url} came first, {attempts} times. The data is in data-cache, nothing is lost. "
        "Next: run the pipeline again."
    )


def version_songs(folder: str, md5: str) -> None:
    """Bring the loaded songs into ``data-cache``, then the version file of a clone up to them.

    What comes out is what ``dvc import-url --to-remote`` and ``dvc update --to-remote`` make. They read the object
    twice and send it again; here it is read once, and S3 copies it.

    Args:
        folder: The clone.
        md5: The md5 of the bytes that ``s3://data/song_properties.parquet`` must have.

    Raises:
        RuntimeError: If DVC fails, or the bytes did not arrive in the cache.
        ValueError: If the loaded object has other bytes: another run has loaded its own in between.
    """
    from dvc.exceptions import DvcException

    version_file = os.path.join(folder, VERSION_FILE)
    try:
        set_remotes(folder, REMOTES)
        version = read_version_file(version_file) if os.path.isfile(version_file) else {}
        # An object that is gone or torn is restored, as long as the loaded songs are the same.
        if version.get("md5") != md5 or version["size"] != cached_size(md5):
            record_version(version_file, SOURCE_ADDRESS, md5, **copy_to_cache(md5))
    except DvcException as error:
        raise RuntimeError(
            f"DVC cannot write the data version: {error}. Nothing was committed. "
            "Next: fix what DVC reports in the repository, then run the pipeline again."
        ) from None
    size, stored = read_version_file(version_file)["size"], cached_size(md5)
    if stored != size:
        raise RuntimeError(
            f"s3://data-cache/{cache_key(md5)} holds {stored:,} of {size:,} bytes, although S3 has just copied them. "
            "Nothing was committed. Next: look at the S3 server's log and its disk, then run the pipeline again."
        )


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
    import shutil

    folder = container_environment() + "/repository"
    clone_main(repo_url, folder)
    git("checkout", "--quiet", "--detach", revision, "--", folder=folder)
    version_file, songs = os.path.join(folder, VERSION_FILE), os.path.join(folder, SONGS_OBJECT)
    if not os.path.isfile(version_file):
        raise FileNotFoundError(
            f"Revision {revision} has no {VERSION_FILE}: nobody has versioned the data yet. "
            "Next: run the data pipeline; its commit starts this pipeline again."
        )
    wanted = read_version_file(version_file)["md5"]
    default = read_config(folder).get("core", "remote", fallback="")
    remote = read_remotes(folder).get(default) or f"s3://{CACHE_BUCKET}"
    fetch_object(f"{remote.rstrip('/')}/{cache_key(wanted)}", songs)
    found = file_digest(songs, "md5")
    if found != wanted:
        raise ValueError(
            f"The data of revision {revision} has md5 {found}, but its version file names {wanted}. "
            "Next: run the data pipeline again, and do not edit the bucket data-cache by hand."
        )
    shutil.move(songs, songs_path)
    return {
        GIT_REVISION: git("rev-parse", "HEAD", folder=folder),
        GIT_REPOSITORY: repo_url,
        DATA_HASH: wanted,
        DATA_PATH: SONGS_OBJECT,
        DVC_REMOTES: json.dumps(read_remotes(folder), sort_keys=True),
        RANKINGS_SOURCE: rankings_source(folder),
    }
