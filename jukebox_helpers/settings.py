"""Where things are: the platform, its addresses and its secrets, found and never configured.

A service-account namespace file means that this is a workbench of OpenShift AI (``rhoai``); otherwise the
embedded platform of this laptop is meant (``sandbox``). Both answer the same questions.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jukebox_helpers import workbench
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.steps.constants import CONNECTION_KEYS, GIT_KEYS
from jukebox_helpers.steps.git import repository_url
from jukebox_helpers.steps.git_password import server_of, server_of_domain

KIT = Path(__file__).resolve().parent.parent
"""The checkout that this library runs from; from an installed wheel, the folder of its packages."""

REPOSITORY = "jukebox"
GITOPS_REPOSITORY = "mlops-gitops"
DATA_PIPELINE = Path("5-data-versioning/4-data_pipeline_with_dvc_versioning.py")
DATA_PIPELINE_YAML = Path("5-data-versioning/song-properties-etl.yaml")
TRAINING_PIPELINE = Path("3-prod_datascience/prod_train_save_pipeline.py")
TRAINING_PIPELINE_YAML = Path("3-prod_datascience/training-pipeline.yaml")
GRID_PIPELINE = Path("3-prod_datascience/grid_pipeline.py")
GRID_PIPELINE_YAML = Path("3-prod_datascience/grid-pipeline.yaml")
STEPS_PACKAGES = Path("charts/steps-image/files/packages.txt")
DEFAULT_PARAMETERS = Path("3-prod_datascience/default_parameters.json")
"""The pipelines' files, in every checkout of the kit."""


def is_checkout() -> bool:
    """Whether the library runs from a checkout of the kit, with its notebooks and pipelines around it."""
    return (KIT / "notebooks").is_dir() and (KIT / "5-data-versioning").is_dir()


def need_checkout() -> None:
    """Refuse what works in a checkout of the kit only: a `JukeboxError` where the library is an installed wheel."""
    if not is_checkout():
        raise JukeboxError(
            f"This needs a checkout of the kit, and {KIT} holds the installed package only.",
            "Clone the kit's repository with git (jukebox.git on your Gitea), and run ./jukebox there.",
        )


@dataclass(frozen=True)
class Settings:
    """One platform's addresses.

    ``state`` is the folder that holds everything the sandbox knows; in a workbench, the runs made there. ``namespace``
    is the data science project, e.g. ``user1-toolings``. ``cluster_domain`` is ``apps.<cluster>``, or the sandbox's
    base URL, which begins with ``http://``; empty in a workbench where it could not be found. ``s3_endpoint`` is empty
    in a workbench without a connection. ``token_file`` has the token for the pipeline server and the registry: in a
    workbench, the service account's. ``notes`` are what the reader should know of a sandbox that was just started.
    """

    platform: Literal["sandbox", "rhoai"]
    state: Path
    namespace: str
    cluster_domain: str
    s3_endpoint: str
    pipeline_server: str = ""
    token_file: Path | None = None
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def user(self) -> str:
        """The attendee: what comes before the first ``-`` of the namespace."""
        return self.namespace.split("-")[0]

    @property
    def is_sandbox(self) -> bool:
        """Whether this is a laptop, whose platform the kit starts itself, with its Secrets in files."""
        return self.platform == "sandbox"

    def repository_url(self, repository: str = REPOSITORY) -> str:
        """The HTTP address of one of the user's git repositories. It never holds a password."""
        return repository_url(self.known_cluster_domain(), self.namespace, repository)

    @property
    def git_server(self) -> str:
        """The platform's git server, the only one that gets the git password; empty where it is unknown."""
        named = server_of(self.environment.get("JUKEBOX_GIT_SERVER", ""))
        return named or (server_of_domain(self.cluster_domain) if self.cluster_domain else "")

    @property
    def token(self) -> str:
        """The token for the pipeline server and the registry; empty where there is none."""
        return self.token_file.read_text().strip() if self.token_file and self.token_file.is_file() else ""

    def known_cluster_domain(self) -> str:
        """The cluster domain, or a `JukeboxError` that says how to tell it."""
        if not self.cluster_domain:
            raise JukeboxError(
                "This workbench does not know its cluster domain, apps.<cluster>.",
                "Run ./jukebox doctor in a terminal, which asks for it once; in a notebook: "
                "from jukebox_helpers.workshop import ask_cluster_domain; ask_cluster_domain()",
            )
        return self.cluster_domain

    @property
    def secrets(self) -> Path:
        """The sandbox's secrets: a folder for each, a file for each key, as Kubernetes mounts them."""
        return self.state / "secrets"

    def clone(self, repository: str = REPOSITORY) -> Path:
        """The attendee's clone of a repository: where the workshop's edits and commits are made."""
        if self.platform == "sandbox":
            return self.state / "work" / repository
        need_checkout()
        return KIT

    def has_secret(self, name: str, key: str = "") -> bool:
        """Whether a Secret, or one key of it, is there; a workbench cannot look, so it says yes."""
        return not self.is_sandbox or (self.secrets / name / key).exists()

    def secret(self, name: str) -> dict[str, str]:
        """The values of a secret, e.g. ``aws-connection-data`` or ``git-auth``, by key; or a JukeboxError."""
        if self.platform == "rhoai":
            if name.startswith("aws-connection-") and not self.s3_endpoint:
                raise JukeboxError(
                    "This workbench has no S3 connection: AWS_S3_ENDPOINT is not set.",
                    "In the OpenShift AI dashboard, attach the connection aws-connection-data to the workbench.",
                )
            return {key: self.environment[key] for key in (*CONNECTION_KEYS, *GIT_KEYS) if key in self.environment}
        folder = self.secrets / name
        if not folder.is_dir():
            bucket = name.removeprefix("aws-connection-")
            raise JukeboxError(
                f"There is no Secret {name!r}.",
                f"Add the bucket {bucket!r} to mlops-gitops/toolings/minio/config.yaml, commit and push it: "
                "each bucket comes with its connection."
                if bucket != name
                else "Run ./jukebox up.",
            )
        # As Kubernetes mounts a Secret, there are folders beside the keys, "..data" among them.
        return {file.name: file.read_text() for file in sorted(folder.iterdir()) if file.is_file()}


def state_folder() -> Path:
    """The state folder: ``JUKEBOX_STATE``, or ``.jukebox`` in the checkout.

    To a sandbox's own clone, which is in a state folder, it is that one. Without a checkout it is the user's own,
    e.g. ``~/.local/state/jukebox``: https://platformdirs.readthedocs.io/
    """
    around = KIT.parent.parent
    if (around / "supervisor.lock").is_file():
        own = around
    elif is_checkout():
        own = KIT / ".jukebox"
    else:
        import platformdirs  # not in the image of ct-pipeline's tasks, which have a checkout

        own = platformdirs.user_state_path("jukebox")
    return Path(os.environ.get("JUKEBOX_STATE") or own).resolve()


def find_settings() -> Settings:
    """Find the platform that this process runs on: the workbench, or the running sandbox of the state folder.

    A laptop on which no sandbox is running is a JukeboxError.
    """
    if workbench.NAMESPACE_FILE.is_file():
        namespace = workbench.NAMESPACE_FILE.read_text().strip()
        return Settings(
            platform="rhoai",
            state=state_folder(),
            namespace=namespace,
            cluster_domain=workbench.find_cluster_domain(state_folder(), KIT),
            s3_endpoint=os.environ.get("AWS_S3_ENDPOINT", ""),
            pipeline_server=workbench.pipeline_server(namespace),
            token_file=workbench.service_account("token"),
            environment=dict(os.environ),
        )
    return read_sandbox_settings(state_folder())


def read_sandbox_settings(state: Path, notes: tuple[str, ...] = ()) -> Settings:
    """Read the settings that a running sandbox, or it is a JukeboxError, wrote into its state folder.

    The notes are what the reader should know.
    """
    description = state / "platform.json"
    if not description.is_file():
        raise JukeboxError(f"No sandbox is running in {state}.", "Start it with ./jukebox up.")
    known = json.loads(description.read_text())
    return Settings(
        platform="sandbox",
        state=state,
        namespace=known["namespace"],
        cluster_domain=known["base_url"],
        s3_endpoint=known["s3_endpoint"],
        pipeline_server=known["pipeline_server"],
        token_file=state / "secrets" / "pipeline-server" / "token",
        notes=notes,
    )
