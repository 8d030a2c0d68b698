"""Installs a lock into this environment: run by the launcher as a file, before any package is there.

The lock is installed by uv, in seconds, or where uv cannot, by pip, in minutes. uv reads nothing of pip's
configuration (https://docs.astral.sh/uv/pip/compatibility/), so it gets it from here.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

SIZES = {
    "requirements.txt": "the kit's packages into .venv (once: 0.4 GB to download, 1.5 GB on the disk)",
    "requirements-development.txt": "what the tests need into .venv (once: 0.1 GB to download, 0.3 GB on the disk)",
}
"""What is installed, by lock, in the words of the message."""


def pip_configuration(python: str = sys.executable) -> dict[str, str]:
    """The configuration of pip by key, e.g. ``index-url``, from files and environment in pip's order of precedence.

    The values may hold credentials: never print them.
    """
    asked = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True)
    found: dict[str, str] = {}
    for scope in ("global", "install", ":env:"):
        for line in asked.stdout.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(f"{scope}."):
                found[key.removeprefix(f"{scope}.")] = str(ast.literal_eval(value))
    return found


def uv_environment(configured: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment that makes uv install as pip is configured; what is set for uv itself wins.

    Addresses with credentials are in it and nowhere else.
    """
    found = {
        "UV_DEFAULT_INDEX": configured.get("index-url", ""),
        "UV_INDEX": " ".join(configured.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(filter(there, configured.get("find-links", "").split())),
        "UV_INSECURE_HOST": " ".join(configured.get("trusted-host", "").split()),
        "SSL_CERT_FILE": configured.get("cert", ""),
        "SSL_CLIENT_CERT": configured.get("client-cert", ""),
        "ALL_PROXY": configured.get("proxy", ""),
    }
    if found["UV_INDEX"]:
        # As pip does, and without its danger: the lock holds the hashes.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    older = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
    wanted = {name: value for name, value in found.items() if value and not environment.get(older.get(name, name))}
    return {**wanted, **environment}


def there(link: str) -> bool:
    """Whether a folder of wheels exists: pip passes over one that does not, uv fails."""
    return "://" in link or Path(link).exists()


def locked(lock: Path, package: str) -> str:
    """The lines of a lock that name one package and its hashes; empty where it names none."""
    found = re.search(rf"^{re.escape(package)}==(?:[^\n]*\\\n)*[^\n]*\n?", lock.read_text(), re.MULTILINE)
    return found[0] if found else ""


def install(lock: Path, wheels: Path | None = None, show_progress: bool = False) -> bool:
    """Install a lock, a requirements file with hashes, into the environment of this interpreter.

    A folder of wheels holds all of them: then no network is used. Returns whether all of it is installed; where not, uv
    and pip have printed why.
    """
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes"]
    quiet = [] if show_progress else ["--quiet"]
    source = ["--no-index", "--find-links", str(wheels)] if wheels else []
    uv = Path(sys.executable).with_name("uv")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "uv.txt")
        file.write_text(locked(lock, "uv"))
        if file.stat().st_size:
            subprocess.run([*pip, "--quiet", *source, "-r", str(file)], capture_output=True)
    if uv.is_file():
        command = [str(uv), "pip", "install", "--python", sys.executable, "--compile-bytecode", "--require-hashes"]
        environment = None if wheels else uv_environment(pip_configuration(), os.environ)
        if subprocess.run([*command, *quiet, *source, "-r", str(lock)], env=environment).returncode == 0:
            return True
        print("uv could not install the packages. Trying pip, which takes minutes ...", file=sys.stderr)
    return subprocess.run([*pip, *quiet, *source, "-r", str(lock)]).returncode == 0


def main() -> None:
    """Install the lock that the argument names; ``JUKEBOX_WHEELS`` is the folder to install from."""
    lock = Path(sys.argv[1])
    named = os.environ.get("JUKEBOX_WHEELS", "")
    wheels = Path(named).resolve() if named else None
    if wheels and not wheels.is_dir():
        sys.exit(f"jukebox: there is no folder {wheels}. Next: set JUKEBOX_WHEELS to the wheels of a packed kit.")
    origin = f" from {wheels}" if wheels else ""
    print(f"Installing {SIZES.get(lock.name, lock.name)}{origin} ...", file=sys.stderr, flush=True)
    if install(lock, wheels, sys.stderr.isatty()):
        return
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    next_action = (
        f"check that {wheels} was packed for {lock.name} of this kit, on a machine like this one and for {python}"
        if wheels
        else "check the network and pip's index (pip config list), or install from a packed kit with JUKEBOX_WHEELS"
    )
    sys.exit(
        f"jukebox: the packages could not be installed; the reason is above. Next: {next_action}, "
        "then run this command again."
    )


if __name__ == "__main__":
    main()
