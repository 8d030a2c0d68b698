"""The door to the workshop: the sandbox, and JupyterLab on the attendee's clone."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from jukebox_helpers import sandbox, workbench
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, Settings
from jukebox_helpers.workshop.dashboard_card import launcher_card


def lab_command(settings: Settings, arguments: tuple[str, ...] = ()) -> list[str]:
    """The command that starts JupyterLab, on loopback and with a token of its own.

    Its files are the attendee's clones; it opens the first notebook. The arguments are further ones for JupyterLab.
    """
    clone = settings.clone()
    return [
        sys.executable, "-m", "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={clone.parent}",
        f"--FileContentsManager.preferred_dir={clone}",
        f"--ServerApp.terminado_settings=shell_command={shlex.join(terminal_shell(settings))}",
        f"--LabApp.default_url=/lab/tree/{clone.name}/notebooks/0-a-model-nobody-can-explain.ipynb",
        "--LabApp.extension_manager=readonly",
        f"--ServerProxy.servers={ {'dashboard': launcher_card()}!r}",
        # In a container one is often root, and JupyterLab asks to be told.
        *["--allow-root"] * (os.geteuid() == 0),
        *arguments,
    ]  # fmt: skip


def lab_environment(settings: Settings, theme: str = "") -> dict[str, str]:
    """The environment of JupyterLab, which its kernels and terminals inherit; a theme is e.g. ``JupyterLab Dark``."""
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
        # What the command kfp looks for: https://kubeflow-pipelines.readthedocs.io/ (kfp --help).
        "KFP_ENDPOINT": settings.pipeline_server,
        "KFP_EXISTING_TOKEN": settings.token,
        "DVC_NO_ANALYTICS": "1",
        "JUKEBOX_STATE": str(settings.state),
        "JUPYTERLAB_SETTINGS_DIR": str(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }


def terminal_shell(settings: Settings) -> list[str]:
    """The command that a terminal starts: the user's own shell, with the kit's programs before all others.

    The files that a shell reads first may put another Python there, or set PATH anew (as Debian's ``/etc/profile``
    does for the login shells that JupyterLab starts otherwise). So a file of ours is read after the user's own.
    """
    shell = os.environ.get("SHELL") or "/bin/sh"
    folder = settings.state / "jupyterlab" / "terminal"
    folder.mkdir(parents=True, exist_ok=True)
    path = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n'
    match Path(shell).name:
        case "bash":
            (folder / "bashrc").write_text(f"[ -r ~/.bashrc ] && . ~/.bashrc\n{path}")
            return [shell, "--rcfile", str(folder / "bashrc"), "-i"]
        case "zsh":
            # It looks for its files in $ZDOTDIR, which the user's .zshenv may set:
            # https://zsh.sourceforge.io/Doc/Release/Files.html
            (folder / ".zshenv").write_text(
                f"ZDOTDIR={shlex.quote(os.environ.get('ZDOTDIR') or str(Path.home()))}\n"
                '[ -r "$ZDOTDIR/.zshenv" ] && . "$ZDOTDIR/.zshenv"\n'
                f"users_zdotdir=$ZDOTDIR ZDOTDIR={shlex.quote(str(folder))}\n"
            )
            (folder / ".zshrc").write_text(
                f'ZDOTDIR=$users_zdotdir; unset users_zdotdir\n[ -r "$ZDOTDIR/.zshrc" ] && . "$ZDOTDIR/.zshrc"\n{path}'
            )
            return ["env", f"ZDOTDIR={folder}", shell, "-i"]
    return [shell]


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


def start_lab(
    command: list[str], settings: Settings, environment: dict[str, str], log: IO[str] | None = None
) -> subprocess.Popen[bytes]:
    """Start JupyterLab; the log takes what it prints, this process's output where not given."""
    # In its root folder: JupyterLab looks for a terminal's folder relative to where it runs first, and in the clone
    # "jukebox" is the launcher.
    folder = settings.clone().parent
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def open_lab(state: Path, arguments: tuple[str, ...] = ()) -> int:
    """Start the sandbox and JupyterLab, wait for JupyterLab's end, and return its exit code.

    The sandbox is stopped then, unless it was running before. The arguments are further ones for JupyterLab. A
    workbench, which is a JupyterLab already, is a JukeboxError.
    """
    if workbench.NAMESPACE_FILE.is_file():
        raise JukeboxError(
            "This is a workbench of OpenShift AI: its JupyterLab is open already.",
            f"Open {KIT.name}/notebooks/0-a-model-nobody-can-explain.ipynb in the file browser on the left.",
        )
    running = bool(sandbox.status(state)["running"])
    settings = sandbox.up(state, lifeline=True)
    lab = start_lab(lab_command(settings, arguments), settings, lab_environment(settings))
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
