"""Packs the kit: all that an installation without a network needs, in one folder."""

import platform
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from jukebox_helpers.about import kit_version
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT
from jukebox_helpers.steps.git import git
from jukebox_helpers.steps.messages import parts

LOCK = KIT / "requirements.txt"
DEVELOPMENT_LOCK = KIT / "requirements-development.txt"

README = """\
Jukebox {version}, packed for {system} and Python {python}.

Install it on a machine of that kind, which needs git and no network. PACKED is this folder:

    PACKED={folder}
    git clone "$PACKED/jukebox.bundle" jukebox
    cd jukebox
    JUKEBOX_WHEELS="$PACKED/wheels" ./jukebox demo

JUKEBOX_WHEELS is needed for the first command only{tests}.
"""


def pack(folder: Path, locks: list[Path], say: Callable[[str], None], show_progress: bool = False) -> None:
    """Put the wheels of locks, the kit as a git bundle and a README into a folder, which is made where it is missing.

    What a folder of an earlier pack holds already is not downloaded again. ``say`` is called with each line for the
    reader; ``show_progress`` lets pip show what it downloads. A package that cannot be downloaded, or a kit that is no
    complete git repository, is a JukeboxError.
    """
    folder = folder.resolve()
    wheels = folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    bundle_kit(folder / "jukebox.bundle", say)
    for lock in locks:
        say(f"Downloading the packages of {lock.name} to {wheels} …")
        download(wheels, ["--require-hashes", "-r", str(lock)], show_progress)
    if any(not file.name.endswith(".whl") for file in wheels.iterdir()):
        # The packages that publish no wheel are built when they are installed.
        download(wheels, [f"setuptools=={metadata.version('setuptools')}", "wheel"], show_progress)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    system = f"{platform.system()} {platform.machine()}"
    with_tests = DEVELOPMENT_LOCK in locks
    tests = ", and for the first ./jukebox test" if with_tests else "; ./jukebox test needs a pack made with --tests"
    text = README.format(version=kit_version(), system=system, python=python, folder=folder, tests=tests)
    (folder / "README.txt").write_text(text)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    say(f"Packed {len(list(wheels.iterdir()))} packages for {system}, Python {python}: {folder}, {size / 1e6:,.0f} MB")
    say(f"How to install it: {folder}/README.txt")


def bundle_kit(bundle: Path, say: Callable[[str], None]) -> None:
    """Write the kit's last commit and its whole history into a git bundle."""
    kit = str(KIT)
    try:
        whole = git("rev-parse", "--is-shallow-repository", folder=kit) == "false"
    except RuntimeError:
        whole = False
    if not whole:
        raise JukeboxError(
            f"{KIT} is not a git clone with its whole history, which a bundle is made of.",
            "Clone the kit with git; in a shallow clone, run git fetch --unshallow. Then pack again.",
        )
    if git("status", "--porcelain", folder=kit):
        say("The kit has uncommitted changes. The last commit is packed, without them.")
    branch = git("rev-parse", "--symbolic-full-name", "HEAD", folder=kit)  # HEAD itself where none is checked out
    try:
        git("bundle", "create", "--quiet", str(bundle), *dict.fromkeys(("HEAD", branch)), folder=kit)
    except RuntimeError as error:
        why = parts(str(error))[0]
        raise JukeboxError(f"{KIT} cannot be bundled: {why}", "Check the folder and the disk.") from None


def download(wheels: Path, arguments: list[str], show_progress: bool) -> None:
    """Download packages with pip, as it is configured."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--dest", str(wheels), *arguments]
    printed = None if show_progress else subprocess.PIPE
    run = subprocess.run(command, stdout=printed, stderr=printed, text=True)
    if run.returncode != 0:
        said = re.findall(r"^ERROR: .*", run.stderr or "", re.MULTILINE)
        raise JukeboxError(
            f"pip could not download the packages{': ' + said[-1][7:] if said else '; its reason is above'}",
            "Check the network and pip's index (pip config list), then pack again: what is there stays.",
        )
