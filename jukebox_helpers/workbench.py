"""OpenShift AI as a workbench sees it: the service account, the pipeline server, the cluster domain.

All of it is found but, at times, the cluster domain; that is asked once and remembered in a file without secrets.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.steps.git import git
from jukebox_helpers.steps.git_password import domain_in

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Kubernetes mounts it into every pod: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/"""

QUESTION = "Cluster domain (apps.<cluster>), or any address of this cluster from your browser"


def service_account(name: str) -> Path:
    """A file of the pod's service account: ``token`` or ``service-ca.crt``, beside ``namespace``."""
    return NAMESPACE_FILE.with_name(name)


def pipeline_server(namespace: str) -> str:
    """The address of a project's pipeline server, i.e. of its API.

    The dashboard names it ``dspa``; inside the cluster its certificate is signed by the service CA. The variable
    ``KF_PIPELINES_ENDPOINT``, which the KFP client reads too, names another one.
    """
    return os.environ.get("KF_PIPELINES_ENDPOINT") or f"https://ds-pipeline-dspa.{namespace}.svc:8443"


def certificate_authority(address: str) -> Path | None:
    """The PEM file to check the certificate of a service in the cluster, or of a route, with; None is the system's.

    It is the service CA, which signs the services' own, or what ``SSL_CERT_FILE`` names.
    """
    host = urlsplit(address).hostname or ""
    if host.endswith((".svc", ".svc.cluster.local")) and service_account("service-ca.crt").is_file():
        return service_account("service-ca.crt")
    named = os.environ.get("SSL_CERT_FILE")
    return Path(named) if named else None


def memory(state: Path) -> Path:
    """The file that keeps what was asked once. It holds no secret."""
    return state / "workbench.json"


def find_cluster_domain(state: Path, checkout: Path) -> str:
    """Find the cluster domain, or ask for it where a person is at the terminal, and remember it in the state folder.

    It is looked for in the variable ``cluster_domain``, in what was answered before, in the address that the checkout
    was cloned from, in what the dashboard gives to a workbench (``NOTEBOOK_ARGS``), in the connection. Empty where it
    could be neither found nor asked.
    """
    if given := os.environ.get("cluster_domain"):
        return domain_in(given) or given  # the sandbox's is not a domain
    # The answer of before, where there is one and the file is as we wrote it.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if remembered := domain_in(json.loads(memory(state).read_text())["cluster_domain"]):
            return remembered
    try:
        origin = git("remote", "get-url", "origin", folder=str(checkout))
    except RuntimeError:
        origin = ""
    hints = (origin, os.environ.get("NOTEBOOK_ARGS", ""), os.environ.get("AWS_S3_ENDPOINT", ""))
    if found := next(filter(None, map(domain_in, hints)), ""):
        return found
    if sys.stdin.isatty() and sys.stderr.isatty():
        return remember_cluster_domain(click.prompt(QUESTION, err=True), state)
    return ""


def remember_cluster_domain(answer: str, state: Path) -> str:
    """Remember the cluster domain for this workbench, and return it.

    The answer is the domain, or any address of the cluster; one without a cluster domain is a JukeboxError.
    """
    domain = domain_in(answer.strip())
    if not domain:
        raise JukeboxError(
            f"There is no cluster domain in {answer!r}.",
            "Give apps.<cluster>, or copy an address of the cluster from your browser: "
            "https://<something>.apps.<cluster>/…",
        )
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    memory(state).write_text(json.dumps({"cluster_domain": domain}) + "\n")
    return domain
