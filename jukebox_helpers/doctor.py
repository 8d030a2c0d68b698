"""What is missing here, and how to get it, on either platform."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import requirements
from jukebox_helpers.settings import CONNECTION_KEYS, NAMESPACE_FILE, Settings, find_settings


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is good, what was found, what to do if it is not."""

    what: str
    good: bool
    found: str
    next_action: str = ""


def examine() -> list[Finding]:
    """Look at this machine and its platform.

    Returns:
        The findings, what others depend on first.
    """
    findings = [look_at_python(), look_at_git(), look_at_packages(), look_at_disk()]
    try:
        settings = find_settings()
    except JukeboxError as error:
        platform = "rhoai" if NAMESPACE_FILE.is_file() else "sandbox"
        return [*findings, Finding(f"platform {platform}", False, error.what, error.next_action)]
    findings.append(Finding("platform", True, f"{settings.platform}, namespace {settings.namespace}"))
    looks: list[Callable[[Settings], Finding]] = [look_at_s3, look_at_repository]
    return [*findings, *(look(settings) for look in looks)]


def look_at_python() -> Finding:
    """Python is one of the supported versions."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info < (3, 15)
    return Finding("Python", good, version, "Install Python 3.11 to 3.14 and set JUKEBOX_PYTHON to it.")


def look_at_git() -> Finding:
    """Git is installed."""
    path = shutil.which("git")
    version = subprocess.run(["git", "--version"], capture_output=True, text=True).stdout.strip() if path else "none"
    return Finding("git", bool(path), version, "Install git.")


def look_at_packages() -> Finding:
    """The packages that pipeline steps declare are here."""
    needed = ("kfp", "kfp-kubernetes", "dvc", "pandas", "scikit-learn", "skl2onnx", "onnxruntime", "duckdb")
    missing = set(needed) - {distribution.name.lower() for distribution in metadata.distributions()}
    found = (
        f"missing: {', '.join(sorted(missing))}"
        if missing
        else f"kfp {metadata.version('kfp')}, {requirements('dvc')[0]}"
    )
    return Finding("packages", not missing, found, "Run any ./jukebox command: it installs requirements.txt.")


def look_at_disk() -> Finding:
    """There is room for data and runs."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding("disk", free > 2, f"{free:.0f} GB free", "Free at least 2 GB: runs keep their artifacts.")


def look_at_s3(settings: Settings) -> Finding:
    """S3 answers, lets us in, and has the buckets of the data."""
    from jukebox_helpers import buckets

    next_action = "Add the buckets data and data-cache to mlops-gitops/toolings/minio/config.yaml, commit and push."
    try:
        if settings.platform == "rhoai" and (absent := [key for key in CONNECTION_KEYS if not os.environ.get(key)]):
            return Finding("S3", False, f"no {', '.join(absent)}", "Attach the connection aws-connection-data.")
        known = buckets.list_buckets(buckets.s3_client(settings.secret("aws-connection-data")))
    except JukeboxError as error:
        return Finding("S3", False, error.what, error.next_action)
    return Finding("S3", {"data", "data-cache"} <= set(known), f"buckets: {', '.join(known)}", next_action)


def look_at_repository(settings: Settings) -> Finding:
    """Git answers and lets us in."""
    from jukebox_helpers.continuous_training import git_credentials
    from jukebox_helpers.git_repository import git

    url = settings.repository_url()
    try:
        with git_credentials(settings):
            head = git("ls-remote", url, "refs/heads/main")
    except (RuntimeError, JukeboxError) as error:
        return Finding("git repository", False, str(error), "Check the address, and the Secret git-auth.")
    return Finding("git repository", bool(head), f"{url} main {head[:10]}", "Push a first commit to its branch main.")
