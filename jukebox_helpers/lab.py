"""The door to the workshop: the sandbox, and JupyterLab on the attendee's clone."""

import json
import os
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
        "JUKEBOX_STATE": str(settings.state),
        "JUPYTERLAB_SETTINGS_DIR": str(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }


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
    try:
        return subprocess.run(
            lab_command(settings, arguments), cwd=settings.clone(), env=lab_environment(settings)
        ).returncode
    except KeyboardInterrupt:
        return 0
    finally:
        if not running:
            sandbox.down(state)
