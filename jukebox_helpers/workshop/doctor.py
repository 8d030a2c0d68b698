"""What is missing here, and how to get it, on either platform."""

import base64
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import metadata
from pathlib import Path

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.connection import RESTART
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


Looked = tuple[bool, str, str]
"""What a look brings: whether it is good, what was found, what to do if it is not."""

WAITS_FOR_DOMAIN = (False, "its address follows from the cluster domain", "Tell the cluster domain first.")


def finding(what: str) -> Callable[[Callable[..., Looked]], Callable[..., Finding]]:
    """Make a look one that gives a `Finding`, also where it fails."""

    def decorate(look: Callable[..., Looked]) -> Callable[..., Finding]:
        @wraps(look)
        def looked(*settings: Settings) -> Finding:
            try:
                return Finding(what, *look(*settings))
            except (JukeboxError, OSError, RuntimeError, ValueError) as error:
                told = error if isinstance(error, JukeboxError) else JukeboxError.told(error)
                # What travels into steps speaks as in a cluster.
                in_cluster = not any(known.is_sandbox for known in settings) or "cluster domain" not in told.next_action
                return Finding(what, False, told.what, told.next_action if in_cluster else RESTART)

        return looked

    return decorate


def examine() -> list[Finding]:
    """Look at this machine and its platform: the findings, what others depend on first."""
    findings = [look_at_python(), look_at_git(), look_at_packages(), look_at_disk()]
    try:
        settings = find_settings()
    except JukeboxError as error:
        return [*findings, Finding("platform", False, error.what, error.next_action)]
    findings.append(Finding("platform", True, f"{settings.platform}, namespace {settings.namespace}"))
    looks = [look_at_s3, look_at_repository, look_at_pipeline_server, look_at_registry]
    if not settings.is_sandbox:
        looks = [look_at_token, look_at_cluster_domain, *looks]
    return [*findings, *(look(settings) for look in looks)]


@finding("Python")
def look_at_python() -> Looked:
    """Python is one of the supported versions."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info < (3, 15)
    return good, version, "Install Python 3.11 to 3.14 and set JUKEBOX_PYTHON to it."


@finding("git")
def look_at_git() -> Looked:
    """Git is installed."""
    path = shutil.which("git")
    return bool(path), git("--version") if path else "none", "Install git."


@finding("packages")
def look_at_packages() -> Looked:
    """The packages that pipeline steps declare are here."""
    needed = ("kfp", "kfp-kubernetes", "dvc", "pandas", "scikit-learn", "skl2onnx", "onnxruntime", "duckdb")
    if missing := set(needed) - {distribution.name.lower() for distribution in metadata.distributions()}:
        found = f"missing: {', '.join(sorted(missing))}"
    else:
        found = f"kfp {metadata.version('kfp')}, dvc {metadata.version('dvc')}"
    return not missing, found, "Run any ./jukebox command: it installs requirements.txt."


@finding("disk")
def look_at_disk() -> Looked:
    """There is room for data and runs."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return free > 2, f"{free:.0f} GB free", "Free at least 2 GB: runs keep their artifacts."


@finding("token")
def look_at_token(settings: Settings) -> Looked:
    """The service account's token is there and has not expired."""
    from jukebox_helpers.workbench import service_account

    next_action = "Restart the workbench: that mounts a fresh token."
    try:
        words = service_account("token").read_text().strip().split(".")
    except OSError as error:
        return False, str(error), next_action
    if len(words) != 3:
        return False, "the file holds no token", next_action
    try:
        claims = json.loads(base64.urlsafe_b64decode(words[1] + "=" * (-len(words[1]) % 4)))
        left = claims["exp"] - time.time() if "exp" in claims else float("inf")
    except (ValueError, TypeError):
        return False, "the file holds no token that can be read", next_action
    return left > 0, "valid" if left > 0 else f"expired {-left / 60:.0f} minutes ago", next_action


@finding("cluster domain")
def look_at_cluster_domain(settings: Settings) -> Looked:
    """The cluster domain is known."""
    return True, settings.known_cluster_domain(), ""


@finding("S3")
def look_at_s3(settings: Settings) -> Looked:
    """S3 answers, lets us in, and has the buckets of the data."""
    from jukebox_helpers.steps import s3

    connection = settings.secret("aws-connection-data")
    if absent := [key for key in CONNECTION_KEYS if not connection.get(key)]:
        return False, f"no {', '.join(absent)}", "Attach the connection aws-connection-data."
    with as_jukebox_error():
        client = s3.s3_client(connection)
        with s3.explained(client):
            known = s3.list_buckets(client)
    next_action = "Add the buckets data and data-cache to mlops-gitops/toolings/minio/config.yaml, commit and push."
    return set(WANTED_BUCKETS) <= set(known), f"buckets: {', '.join(known)}", next_action


@finding("git repository")
def look_at_repository(settings: Settings) -> Looked:
    """Git answers and lets us in."""
    from jukebox_helpers.pipelines.revisions import git_credentials

    if not settings.cluster_domain:
        return WAITS_FOR_DOMAIN
    url = settings.repository_url()
    try:
        with git_credentials(settings):
            head = git("ls-remote", url, "refs/heads/main")
    except (OSError, RuntimeError) as error:
        told = JukeboxError.told(error)
        also = "Check the cluster domain, too: the variable cluster_domain sets another."
        return False, told.what, RESTART if settings.is_sandbox else f"{told.next_action} {also}"
    if not head:  # a page is read as a repository without branches
        also = "" if settings.is_sandbox else " If it has one, check the cluster domain."
        return False, f"{url} main not there", f"Push a first commit to its branch main.{also}"
    return True, f"{url} main {head[:10]}", ""


@finding("pipeline server")
def look_at_pipeline_server(settings: Settings) -> Looked:
    """The project has a pipeline server that lets us in."""
    from jukebox_helpers.pipelines.server import connect

    server = connect(settings)
    names = [pipeline.display_name for pipeline in server.all(server.client.list_pipelines, "pipelines")]
    return True, f"pipelines: {', '.join(names) or 'none yet'}", ""


@finding("model registry")
def look_at_registry(settings: Settings) -> Looked:
    """The model registry answers, lets us in, and speaks the API version that our client speaks."""
    from jukebox_helpers.pipelines.registry import model_registry

    if not settings.cluster_domain:
        return WAITS_FOR_DOMAIN
    return True, f"models: {', '.join(model_registry(settings).models()) or 'none yet'}", ""
