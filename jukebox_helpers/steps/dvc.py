"""DVC: its command, its files and its remotes (https://doc.dvc.org/user-guide/project-structure)."""

import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configparser import ConfigParser


def dvc(*arguments: str, folder: str) -> str:
    """Run DVC in a repository and return what it prints.

    The S3 server is the connection's, by ``AWS_ENDPOINT_URL``: an address in ``.dvc/config`` would tie the
    repository to one cluster (https://doc.dvc.org/user-guide/data-management/remote-storage/amazon-s3).

    Raises:
        RuntimeError: If DVC fails, with its own words.
    """
    if os.path.isdir(f"{folder}/.dvc"):
        # It comes before what was pushed, which might name a folder elsewhere to write to.
        with open(f"{folder}/.dvc/config.local", "w") as file:
            file.write("[cache]\ndir=cache\ntype=copy\n")
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ, "DVC_NO_ANALYTICS": "1"}
    environment["AWS_ENDPOINT_URL"] = os.environ.get("AWS_S3_ENDPOINT", "")
    result = subprocess.run(
        # -P: a file dvc.py of the repository is not DVC.
        [sys.executable, "-P", "-m", "dvc", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        words = (result.stderr or result.stdout).strip()
        raise RuntimeError(
            f"dvc {arguments[0]} failed: {words}. "
            "Next: read DVC's words; it needs the S3 connection and the buckets data and data-cache."
        )
    return result.stdout


def read_version_file(path: str) -> dict:
    """``md5``, ``size`` (bytes) and ``path`` of the data of a version file.

    See https://doc.dvc.org/user-guide/project-structure/dvc-files.

    Raises:
        ValueError: If it is not a version file of one data file.
    """
    import yaml

    try:
        with open(path) as file:
            known = yaml.safe_load(file)
        (output,) = known["outs"]
        md5, name = str(output["md5"]), str(output["path"])
        if "wdir" in known or not re.fullmatch(r"[0-9a-f]{32} [^/]*[^/.][^/]*", f"{md5} {name}"):
            raise ValueError("it names no md5, or no file beside it")
        return {"md5": md5, "size": int(output["size"]), "path": name}
    except (LookupError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(
            f"{path} is not a DVC version file ({type(error).__name__}: {error}). "
            "Next: restore it from an earlier revision, or delete it and run the data pipeline."
        ) from None


def read_config(folder: str) -> "ConfigParser":
    """What a repository's ``.dvc/config`` says; empty where there is none.

    Raises:
        ValueError: If it is not a configuration of DVC.
    """
    import configparser

    config = configparser.ConfigParser(interpolation=None)
    try:
        if os.path.isfile(f"{folder}/.dvc"):
            raise configparser.Error("its folder is a file")
        config.read(f"{folder}/.dvc/config")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f".dvc/config: {error}. Next: restore it from an earlier revision, then run again.") from None
    return config


def read_remotes(folder: str) -> dict:
    """The URLs of a repository's remotes by name, e.g. ``{"s3-version": "s3://data-cache"}``; see `read_config`."""
    # DVC writes a section as ['remote "s3-version"'].
    return {
        name.strip("'").removeprefix("remote ").strip('"'): section.get("url", "")
        for name, section in read_config(folder).items()
        if name.strip("'").startswith("remote ")
    }


def set_remotes(folder: str, remotes: "dict[str, str]") -> None:
    """Make a clone a DVC repository with these remotes, as ``dvc init`` and ``dvc remote add`` do.

    They have a URL and nothing else: an ``endpointurl`` or a ``profile`` is of one machine or cluster, and
    ``version_aware`` keeps the data under other names.

    Args:
        folder: The clone.
        remotes: URLs by name; the first remote is the default.
    """
    from dvc.repo import Repo

    known, default, wrong = read_config(folder), next(iter(remotes)), {}
    for remote, url in remotes.items():
        name = f"'remote \"{remote}\"'"
        if name not in known or dict(known[name]) != {"url": url}:
            wrong[remote] = {"url": url}
    if not wrong and known.get("core", "remote", fallback="") == default:
        return
    logging.getLogger("dvc").setLevel(logging.WARNING)
    is_new = not os.path.isfile(f"{folder}/.dvc/config")
    with Repo.init(folder) if is_new else Repo(folder) as repository, repository.config.edit() as config:
        config["remote"].update(wrong)
        config["core"]["remote"] = default


def record_version(
    version_file: str, source: str, md5: str, anew: bool, etag: str, size: int, version_id: "str | None"
) -> None:
    """Write the version file of data that is in the cache already, with DVC's own classes.

    Args:
        version_file: The ``.dvc`` file, new or to be brought up to date.
        source: Where the data comes from, e.g. ``remote://data-source/song_properties.parquet``.
        md5: The md5 of the data.
        anew: Whether to keep nothing of a version file that is there, whatever it says.
        etag: The ETag of its source.
        size: Its size in bytes.
        version_id: The version of its source, in a bucket that keeps versions.
    """
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    folder, name = os.path.split(version_file.removesuffix(".dvc"))
    if anew and os.path.exists(version_file):
        os.remove(version_file)  # DVC would take over what it says of the output
    with Repo(folder) as repository:
        stage = None if anew else repository.stage.load_one(version_file)
        if stage is None or [dependency.def_path for dependency in stage.deps] != [source]:
            stage = repository.stage.create(
                single_stage=True, validate=False, fname=version_file, wdir=folder, deps=[source], outs=[name]
            )
            stage.frozen = True
            stage.outs[0].ignore()
        stage.deps[0].hash_info, stage.deps[0].meta = (
            HashInfo("etag", etag),
            Meta(size=size, etag=etag, version_id=version_id),
        )
        stage.outs[0].hash_info, stage.outs[0].meta = HashInfo("md5", md5), Meta(size=size)
        stage.md5 = stage.compute_md5()
        stage.dump()
