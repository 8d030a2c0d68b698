"""Throw-away environments for tests that need other versions than ours."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import DEADLINE


def find_uv() -> str:
    """The uv that ./jukebox installs with; the test is skipped where there is none."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        pytest.skip("uv is not installed here")
    return found


@functools.cache
def need_the_package_index() -> None:
    """Skip the test where the package index cannot be reached; one answer is enough."""
    command = [find_uv(), "pip", "compile", "--quiet", "--no-cache", "--no-deps", "-"]
    asked = subprocess.run(command, input="six", capture_output=True, text=True, timeout=DEADLINE)
    if asked.returncode != 0:
        pytest.skip(f"the package index cannot be reached: {asked.stderr.strip().splitlines()[-1]}")


def environment_with(folder: Path, *packages: str, dependencies: bool = True) -> Path:
    """Make an environment with exactly these packages, and with what they need unless told otherwise.

    Returns:
        Its Python.
    """
    need_the_package_index()
    quiet = {"check": True, "capture_output": True, "text": True}
    subprocess.run([find_uv(), "venv", "--quiet", "--python", sys.executable, folder], **quiet)
    python = folder / "bin" / "python"
    install = [find_uv(), "pip", "install", "--quiet", "--python", python, *packages]
    subprocess.run(install + ["--no-deps"] * (not dependencies), env={**os.environ, "VIRTUAL_ENV": ""}, **quiet)
    return python
