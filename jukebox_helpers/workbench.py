"""OpenShift AI as a workbench sees it: the service account, the pipeline server, who signs certificates.

All of it is found but, at times, the cluster domain: a notebook can ask for it here.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jukebox_helpers import settings
from jukebox_helpers.cluster_domain import QUESTION, find_cluster_domain, remember_cluster_domain
from jukebox_helpers.errors import JukeboxError


def service_account(name: str) -> Path:
    """A file of the pod's service account: ``token`` or ``service-ca.crt``, beside ``namespace``."""
    return settings.NAMESPACE_FILE.with_name(name)


def pipeline_server(namespace: str) -> str:
    """The address of a project's pipeline server.

    The dashboard names it ``dspa``; inside the cluster its certificate is signed by the service CA. The variable
    ``KF_PIPELINES_ENDPOINT``, which the KFP client reads too, names another one.

    Args:
        namespace: The data science project.

    Returns:
        The address of its API.
    """
    return os.environ.get("KF_PIPELINES_ENDPOINT") or f"https://ds-pipeline-dspa.{namespace}.svc:8443"


def certificate_authority(address: str) -> Path | None:
    """The PEM file to check an address's certificate with.

    Args:
        address: A service inside the cluster, whose certificate the service CA signs, or a route.

    Returns:
        The service CA, or what ``SSL_CERT_FILE`` names; None means the system's.
    """
    host = urlsplit(address).hostname or ""
    if host.endswith((".svc", ".svc.cluster.local")) and service_account("service-ca.crt").is_file():
        return service_account("service-ca.crt")
    named = os.environ.get("SSL_CERT_FILE")
    return Path(named) if named else None


def ask_cluster_domain() -> Any:
    """Ask for the cluster domain in a notebook: a field and a button.

    Returns:
        The widget, for the cell to show.
    """
    import ipywidgets

    state = settings.state_folder()
    field = ipywidgets.Text(
        value=find_cluster_domain(state, settings.KIT), placeholder=QUESTION, layout={"width": "40em"}
    )
    button = ipywidgets.Button(description="Remember")
    said = ipywidgets.HTML()

    def answer(_: Any) -> None:
        try:
            said.value = f"Remembered: {remember_cluster_domain(field.value, state)}"
        except JukeboxError as error:
            said.value = str(error)

    button.on_click(answer)
    return ipywidgets.VBox([ipywidgets.HBox([field, button]), said])
