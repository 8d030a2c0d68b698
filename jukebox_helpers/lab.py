"""The door to the workshop: the sandbox, and JupyterLab on the attendee's clone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from jukebox_helpers import sandbox
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, NAMESPACE_FILE, Settings


def lab_command(settings: Settings, arguments: tuple[str, ...] = ()) -> list[str]:
    """The command that starts JupyterLab, on loopback and with a token of its own.

    Its files are the attendee's clones; it opens the first notebook.

    Args:
        settings: The platform.
        arguments: More arguments for JupyterLab.

    Returns:
        The command.
    """
    clone = settings.clone()
    return [
        sys.executable, "-m", "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={clone.parent}",
        f"--FileContentsManager.preferred_dir={clone}",
        f"--LabApp.default_url=/lab/tree/{clone.name}/notebooks/0-welcome.ipynb",
        "--LabApp.extension_manager=readonly",
        # In a container one is often root, and JupyterLab asks to be told.
        *["--allow-root"] * (os.geteuid() == 0),
        *arguments,
    ]  # fmt: skip


def lab_environment(settings: Settings, theme: str = "") -> dict[str, str]:
    """The environment of JupyterLab, which its kernels and terminals inherit.

    Args:
        settings: The platform.
        theme: A theme to begin with, e.g. ``JupyterLab Dark``.

    Returns:
        The environment.
    """
    # Settings of its own: no question about news, and the attendee's other JupyterLab stays as it is.
    folder = settings.state / "jupyterlab"
    plugin = folder / "@jupyterlab" / "apputils-extension"
    plugin.mkdir(parents=True, exist_ok=True)
    (plugin / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    if theme:
        (plugin / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
    return {
        **os.environ,
        **terminal_connection(settings),
        "DVC_NO_ANALYTICS": "1",
        "JUKEBOX_STATE": str(settings.state),
        "JUPYTERLAB_SETTINGS_DIR": str(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }


def terminal_connection(settings: Settings) -> dict[str, str]:
    """What DVC and boto3 look for in a terminal; git asks a helper of its own.

    Not ``AWS_S3_ENDPOINT``: a sandbox that is started in such a terminal starts its own S3 server.
    """
    folders = sorted(settings.secrets.glob("aws-connection-*"))  # all have the same keys
    if not folders:
        return {}
    secret = settings.secret(folders[0].name)
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    return {key: secret[key] for key in keys} | {"AWS_ENDPOINT_URL": secret["AWS_S3_ENDPOINT"]}


def open_lab(state: Path, arguments: tuple[str, ...] = ()) -> int:
    """Start the sandbox and JupyterLab, and wait for JupyterLab's end.

    The sandbox is stopped then, unless it was running before.

    Args:
        state: The state folder.
        arguments: More arguments for JupyterLab.

    Returns:
        JupyterLab's exit code.

    Raises:
        JukeboxError: If this is a workbench, which is a JupyterLab already.
    """
    if NAMESPACE_FILE.is_file():
        raise JukeboxError(
            "This is a workbench of OpenShift AI: its JupyterLab is open already.",
            f"Open {KIT.name}/notebooks/0-welcome.ipynb in the file browser on the left.",
        )
    running = bool(sandbox.status(state)["running"])
    settings = sandbox.up(state, lifeline=True)
    lab = subprocess.Popen(lab_command(settings, arguments), cwd=settings.clone(), env=lab_environment(settings))
    # Control-C reaches JupyterLab, too, which asks before it ends; what ends this process ends JupyterLab.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: lab.terminate())
    try:
        return lab.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not running:
            sandbox.down(state)
