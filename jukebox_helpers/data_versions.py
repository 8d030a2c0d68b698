"""Data versions: DVC in the hands of the pipelines.

A data version is the md5 that DVC records in ``song_properties.parquet.dvc``; the bytes lie in the bucket
``data-cache`` under that md5. Data first, commit last: whatever dies in between, a version file on ``main``
never points at data that is not there.

All functions travel: their source is part of compiled pipelines, so they import what they need inside.
"""

from typing import TYPE_CHECKING

from jukebox_helpers.data_cache import cache_key, cached_size, copy_to_cache
from jukebox_helpers.git_repository import clone_main, container_environment, git
from jukebox_helpers.rankings import rankings_source
from jukebox_helpers.transfer import s3_errors, s3_from_environment, s3_problem

if TYPE_CHECKING:
    from configparser import ConfigParser


def dvc(*arguments: str, folder: str) -> str:
    """Run DVC and return what it prints.

    The S3 server is the connection's, by ``AWS_ENDPOINT_URL``: an address in ``.dvc/config`` would tie the
    repository to one cluster (https://doc.dvc.org/user-guide/data-management/remote-storage/amazon-s3).

    Args:
        arguments: The DVC command, e.g. ``"pull", "song_properties.parquet.dvc"``.
        folder: The repository.

    Returns:
        Standard output.

    Raises:
        RuntimeError: If DVC fails, with its own words.
    """
    import os
    import subprocess
    import sys

    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": os.environ.get("AWS_S3_ENDPOINT", ""),
        "DVC_NO_ANALYTICS": "1",
    }
    environment.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    if result.returncode != 0:
        words = (result.stderr or result.stdout).strip()
        raise RuntimeError(
            f"dvc {arguments[0]} failed: {words}. Next: read DVC's words; the S3 connection and "
            "the buckets data and data-cache are what it needs."
        )
    return result.stdout


def file_md5(path: str) -> str:
    """The md5 of a file's bytes, as DVC records it.

    Args:
        path: The file.

    Returns:
        32 hexadecimal digits.
    """
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def read_version_file(path: str) -> dict:
    """Read a ``.dvc`` file (https://doc.dvc.org/user-guide/project-structure/dvc-files).

    Args:
        path: The version file.

    Returns:
        ``md5``, ``size`` (bytes) and ``path`` of the data.

    Raises:
        ValueError: If it is not a version file of one data file.
    """
    import yaml

    try:
        with open(path) as file:
            output = yaml.safe_load(file)["outs"][0]
        return {"md5": str(output["md5"]), "size": int(output["size"]), "path": str(output["path"])}
    except (KeyError, IndexError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(
            f"{path} is not a DVC version file ({type(error).__name__}: {error}). "
            "Next: restore it from an earlier revision, or delete it and run the data pipeline."
        ) from None


def read_config(folder: str) -> "ConfigParser":
    """DVC's configuration of a repository; empty where there is none.

    Args:
        folder: The repository.

    Returns:
        What ``.dvc/config`` says.

    Raises:
        ValueError: If ``.dvc/config`` is no configuration of DVC.
    """
    import configparser
    import os

    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read(os.path.join(folder, ".dvc", "config"))
    except configparser.Error as error:
        raise ValueError(f".dvc/config: {error}. Next: restore it from an earlier revision, then run again.") from None
    return config


def read_remotes(folder: str) -> dict:
    """The DVC remotes of a repository.

    Args:
        folder: The repository.

    Returns:
        URLs by remote name, e.g. ``{"s3-version": "s3://data-cache", "data-source": "s3://data"}``.

    Raises:
        ValueError: If ``.dvc/config`` is no configuration of DVC.
    """
    config = read_config(folder)
    # DVC writes a section as ['remote "s3-version"'].
    return {
        section.strip("'").removeprefix("remote ").strip('"'): config[section].get("url", "")
        for section in config.sections()
        if section.strip("'").startswith("remote ")
    }


def check_write_access(repo_url: str, buckets: "list[str]") -> str:
    """Check, before anything is written, all that the pipeline will need to write.

    Args:
        repo_url: The git repository's HTTP address, without credentials.
        buckets: The buckets that must be there.

    Returns:
        The revision at the head of ``main``.

    Raises:
        ConnectionError: If a server does not answer.
        FileNotFoundError: If a bucket is missing.
        PermissionError: If S3 or git refuse the credentials, for reading or for pushing.
        ValueError: If the repository is empty or has no branch ``main``.
    """
    for bucket in buckets:
        try:
            s3_from_environment()[0].head_bucket(Bucket=bucket)
        except s3_errors() as error:
            raise s3_problem(error, bucket) from None
    folder = container_environment()
    revision = clone_main(repo_url, folder + "/repository")
    try:
        git("push", "--quiet", "--dry-run", "origin", "main", folder=folder + "/repository")
    except RuntimeError as error:
        if "fetch first" in str(error):  # somebody pushed since: no question of access
            return revision
        raise PermissionError(
            f"The git server lets this user read {repo_url} but not push to it: {error}. "
            "Next: give the user of the Secret git-auth write access."
        ) from None
    return revision


def commit_data_version(repo_url: str, md5: str, attempts: int = 5) -> dict:
    """Version the loaded songs with DVC and push their version file to ``main``.

    The same bytes again make no commit. A push that loses a race is made again on the new head.

    Args:
        repo_url: The git repository's HTTP address, without credentials.
        md5: The md5 of the bytes that this run loaded into ``s3://data``.
        attempts: How often a lost race is run again.

    Returns:
        ``md5``, ``revision`` (40 hexadecimal digits), ``changed`` (whether there is a new commit).

    Raises:
        RuntimeError: If DVC or git fail, or if every attempt lost its race.
        ValueError: If the loaded object is no longer the one that this run loaded.
    """
    import os

    for _ in range(attempts):
        folder = container_environment() + "/repository"
        head = clone_main(repo_url, folder)
        version_songs(folder, md5)
        files = (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "song_properties.parquet.dvc")
        git("add", *(file for file in files if os.path.exists(os.path.join(folder, file))), folder=folder)
        if not git("status", "--porcelain", "--untracked-files=no", folder=folder):
            print(f"No news: revision {head[:10]} of main has data version {md5} already.")
            return {"md5": md5, "revision": head, "changed": False}
        git("commit", "--quiet", "--message", f"Data version {md5[:10]} of the song properties", folder=folder)
        try:
            git("push", "--quiet", "origin", "main", folder=folder)
        except RuntimeError as error:
            if git("ls-remote", "origin", "refs/heads/main", folder=folder).split("\t")[0] == head:
                raise RuntimeError(
                    f"The push to {repo_url} failed: {error}. The data is in data-cache, main is as it was. "
                    "Next: mend what git names, then run the pipeline again."
                ) from None
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
    import os

    from dvc.exceptions import DvcException

    version_file = os.path.join(folder, "song_properties.parquet.dvc")
    try:
        set_remotes(folder, {"s3-version": "s3://data-cache", "data-source": "s3://data"})
        version = read_version_file(version_file) if os.path.isfile(version_file) else {}
        # An object that is gone or torn is restored, as long as the loaded songs are the same.
        if version.get("md5") != md5 or version["size"] != cached_size(md5):
            record_version(version_file, "remote://data-source/song_properties.parquet", md5, **copy_to_cache(md5))
    except DvcException as error:
        raise RuntimeError(
            f"DVC cannot write the data version: {error}. Nothing was committed. "
            "Next: mend what DVC names in the repository, then run the pipeline again."
        ) from None
    size, stored = read_version_file(version_file)["size"], cached_size(md5)
    if stored != size:
        raise RuntimeError(
            f"s3://data-cache/{cache_key(md5)} holds {stored:,} of {size:,} bytes, although S3 has just copied them. "
            "Nothing was committed. Next: look at the S3 server's log and its disk, then run the pipeline again."
        )


def set_remotes(folder: str, remotes: "dict[str, str]") -> None:
    """Make a clone a DVC repository with these remotes, as ``dvc init`` and ``dvc remote add`` do.

    Args:
        folder: The clone.
        remotes: URLs by name; the first remote is the default.
    """
    import logging
    import os

    from dvc.repo import Repo

    known, default = read_remotes(folder), next(iter(remotes))
    missing = {remote: {"url": url} for remote, url in remotes.items() if known.get(remote) != url}
    if not missing and read_config(folder).get("core", "remote", fallback="") == default:
        return
    logging.getLogger("dvc").setLevel(logging.WARNING)
    is_new = not os.path.isfile(os.path.join(folder, ".dvc", "config"))
    with Repo.init(folder) if is_new else Repo(folder) as repository, repository.config.edit() as config:
        config["remote"].update(missing)
        config["core"]["remote"] = default


def record_version(version_file: str, source: str, md5: str, etag: str, size: int) -> None:
    """Write the version file of data that lies in the cache already, with DVC's own classes.

    Args:
        version_file: The ``.dvc`` file, new or to be brought up to date.
        source: Where the data comes from, e.g. ``remote://data-source/song_properties.parquet``.
        md5: The md5 of the data.
        etag: The ETag of its source.
        size: Its size in bytes.
    """
    import os

    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    folder, name = os.path.split(version_file.removesuffix(".dvc"))
    with Repo(folder) as repository:
        stage = repository.stage.load_one(version_file) if os.path.isfile(version_file) else None
        if stage is None or [dependency.def_path for dependency in stage.deps] != [source]:
            stage = repository.stage.create(
                single_stage=True, validate=False, fname=version_file, wdir=folder, deps=[source], outs=[name]
            )
            stage.frozen = True
            stage.outs[0].ignore()
        stage.deps[0].hash_info, stage.deps[0].meta = HashInfo("etag", etag), Meta(size=size, etag=etag)
        stage.outs[0].hash_info, stage.outs[0].meta = HashInfo("md5", md5), Meta(size=size)
        stage.md5 = stage.compute_md5()
        stage.dump()


def fetch_data_version(repo_url: str, revision: str, songs_path: str) -> dict:
    """Fetch the songs of exactly one revision.

    Args:
        repo_url: The git repository's HTTP address, without credentials.
        revision: A git commit, at least its first 10 characters.
        songs_path: The file to write.

    Returns:
        What lineage needs: ``git revision`` (40 hexadecimal digits), ``git repository``,
        ``DVC training data hash``, ``DVC data path``, ``DVC remotes`` (JSON), ``rankings source``
        (what the revision says, see `rankings.fetch_rankings`).

    Raises:
        FileNotFoundError: If the revision has no version file.
        RuntimeError: If the revision does not exist, or DVC cannot bring its data.
        ValueError: If the bytes are not those that the version file names.
    """
    import json
    import os
    import shutil

    name = "song_properties.parquet"
    folder = container_environment() + "/repository"
    clone_main(repo_url, folder)
    try:
        git("checkout", "--quiet", "--detach", revision, folder=folder)
    except RuntimeError as error:
        raise RuntimeError(
            f"The repository {repo_url} has no revision {revision!r}: {error}. "
            "Next: push the commit, or run with a version that is on the server."
        ) from None
    if not os.path.isfile(os.path.join(folder, name + ".dvc")):
        raise FileNotFoundError(
            f"Revision {revision} has no {name}.dvc: nobody has versioned the data yet, so there is nothing to "
            "train on. Next: run the data pipeline; it makes that file and its commit starts this pipeline again."
        )
    version = read_version_file(os.path.join(folder, name + ".dvc"))
    dvc("pull", name + ".dvc", folder=folder)
    found = file_md5(os.path.join(folder, name))
    if found != version["md5"]:
        raise ValueError(
            f"The data of revision {revision} has md5 {found}, but its version file names {version['md5']}. "
            "Next: run the data pipeline again, and do not edit the bucket data-cache by hand."
        )
    shutil.move(os.path.join(folder, name), songs_path)
    return {
        "git revision": git("rev-parse", "HEAD", folder=folder),
        "git repository": repo_url,
        "DVC training data hash": version["md5"],
        "DVC data path": name,
        "DVC remotes": json.dumps(read_remotes(folder), sort_keys=True),
        "rankings source": rankings_source(folder),
    }
