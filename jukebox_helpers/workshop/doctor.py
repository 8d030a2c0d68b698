"""What is missing here, and how to get it, on either platform."""

import base64
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.settings import Settings, find_settings
from jukebox_helpers.steps.constants import CONNECTION_KEYS, WANTED_BUCKETS
from jukebox_helpers.steps.git import git


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is good, what was found, what to do if it is not."""

    what: str
    good: bool
    found: str
    next_action: str = ""


WAITS_FOR_DOMAIN = ("its address follows from the cluster domain", "Tell the cluster domain first.")


def examine() -> list[Finding]:
    """Look at this machine and its platform: the findings, what others depend on first."""
    findings = [look_at_python(), look_at_git(), look_at_packages(), look_at_disk()]
    try:
        settings = find_settings()
    except JukeboxError as error:
        return [*findings, Finding("platform", False, error.what, error.next_action)]
    findings.append(Finding("platform", True, f"{settings.platform}, namespace {settings.namespace}"))
    looks: list[Callable[[Settings], Finding]] = [look_at_s3, look_at_repository, look_at_pipeline_server]
    if not settings.is_sandbox:
        looks = [look_at_token, look_at_cluster_domain, *looks]
    looks.append(look_at_registry)
    return [*findings, *(look(settings) for look in looks)]


def look_at_python() -> Finding:
    """Python is one of the supported versions."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info < (3, 15)
    return Finding("Python", good, version, "Install Python 3.11 to 3.14 and set JUKEBOX_PYTHON to it.")


def look_at_git() -> Finding:
    """Git is installed."""
    path = shutil.which("git")
    version = git("--version") if path else "none"
    return Finding("git", bool(path), version, "Install git.")


def look_at_packages() -> Finding:
    """The packages that pipeline steps declare are here."""
    needed = ("kfp", "kfp-kubernetes", "dvc", "pandas", "scikit-learn", "skl2onnx", "onnxruntime", "duckdb")
    missing = set(needed) - {distribution.name.lower() for distribution in metadata.distributions()}
    found = (
        f"missing: {', '.join(sorted(missing))}"
        if missing
        else f"kfp {metadata.version('kfp')}, dvc {metadata.version('dvc')}"
    )
    return Finding("packages", not missing, found, "Run any ./jukebox command: it installs requirements.txt.")


def look_at_disk() -> Finding:
    """There is room for data and runs."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding("disk", free > 2, f"{free:.0f} GB free", "Free at least 2 GB: runs keep their artifacts.")


def look_at_token(settings: Settings) -> Finding:
    """The service account's token is there and has not expired."""
    from jukebox_helpers.workbench import service_account

    next_action = "Restart the workbench: that mounts a fresh token."
    try:
        words = service_account("token").read_text().strip().split(".")
    except OSError as error:
        return Finding("token", False, str(error), next_action)
    if len(words) != 3:
        return Finding("token", False, "the file holds no token", next_action)
    try:
        claims = json.loads(base64.urlsafe_b64decode(words[1] + "=" * (-len(words[1]) % 4)))
        left = claims["exp"] - time.time() if "exp" in claims else float("inf")
    except (ValueError, TypeError):
        return Finding("token", False, "the file holds no token that can be read", next_action)
    return Finding("token", left > 0, "valid" if left > 0 else f"expired {-left / 60:.0f} minutes ago", next_action)


def look_at_cluster_domain(settings: Settings) -> Finding:
    """The cluster domain is known."""
    try:
        return Finding("cluster domain", True, settings.known_cluster_domain())
    except JukeboxError as error:
        return Finding("cluster domain", False, error.what, error.next_action)


def look_at_s3(settings: Settings) -> Finding:
    """S3 answers, lets us in, and has the buckets of the data."""
    from jukebox_helpers.steps import s3

    next_action = "Add the buckets data and data-cache to mlops-gitops/toolings/minio/config.yaml, commit and push."
    try:
        connection = settings.secret("aws-connection-data")
        if absent := [key for key in CONNECTION_KEYS if not connection.get(key)]:
            return Finding("S3", False, f"no {', '.join(absent)}", "Attach the connection aws-connection-data.")
        with as_jukebox_error():
            client = s3.s3_client(connection)
            with s3.explained(client):
                known = s3.list_buckets(client)
    except JukeboxError as error:
        return Finding("S3", False, error.what, error.next_action)
    return Finding("S3", set(WANTED_BUCKETS) <= set(known), f"buckets: {', '.join(known)}", next_action)


def look_at_repository(settings: Settings) -> Finding:
    """Git answers and lets us in."""
    from jukebox_helpers.pipelines.revisions import git_credentials

    if not settings.cluster_domain:
        return Finding("git repository", False, *WAITS_FOR_DOMAIN)
    next_action = (
        "Check the cluster domain (the variable cluster_domain sets another), and the Secret git-auth (keys username "
        "and password)."
    )
    url = settings.repository_url()
    try:
        with git_credentials(settings):
            head = git("ls-remote", url, "refs/heads/main")
    except JukeboxError as error:
        return Finding("git repository", False, error.what, error.next_action)
    except PermissionError as error:
        explained = JukeboxError.told(error)
        return Finding("git repository", False, explained.what, explained.next_action)
    except RuntimeError as error:
        if "certificate" in str(error):
            next_action = "Name the file with the cluster's CA in the variable GIT_SSL_CAINFO."
        return Finding("git repository", False, str(error), next_action)
    if not head:  # a page is read as a repository without branches
        next_action = "Push a first commit to its branch main. If it has one, check the cluster domain."
    return Finding("git repository", bool(head), f"{url} main {head[:10] or 'not there'}", next_action)


def look_at_pipeline_server(settings: Settings) -> Finding:
    """The project has a pipeline server that lets us in."""
    from jukebox_helpers.pipelines.server import connect

    try:
        server = connect(settings)
        names = [pipeline.display_name for pipeline in server.all(server.client.list_pipelines, "pipelines")]
    except JukeboxError as error:
        return Finding("pipeline server", False, error.what, error.next_action)
    return Finding("pipeline server", True, f"pipelines: {', '.join(names) or 'none yet'}")


def look_at_registry(settings: Settings) -> Finding:
    """The model registry answers, lets us in, and speaks the API version that our client speaks."""
    from jukebox_helpers.pipelines.registry import model_registry

    if not settings.cluster_domain:
        return Finding("model registry", False, *WAITS_FOR_DOMAIN)
    try:
        models = model_registry(settings).models()
    except JukeboxError as error:
        return Finding("model registry", False, error.what, error.next_action)
    except (OSError, RuntimeError, ValueError) as error:
        told = JukeboxError.told(error)
        return Finding("model registry", False, told.what, told.next_action)
    return Finding("model registry", True, f"models: {', '.join(models) or 'none yet'}")
