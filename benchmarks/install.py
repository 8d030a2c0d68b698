"""What each step installs before it works: megabytes and CPU, on a bare image and on the steps image."""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import Figure, Result
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.compile import compile_file
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.settings import (
    DATA_PIPELINE,
    DATA_PIPELINE_YAML,
    KIT,
    TRAINING_PIPELINE,
    TRAINING_PIPELINE_YAML,
)
from jukebox_helpers.workshop.edits import train_on_versioned_data

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS = {"kB": 0.001, "MB": 1.0, "GB": 1000.0}
BEFORE = {"MB": 1098, "CPU s": 292}
"""Both pipelines, when each step resolved its packages anew, with two more steps in the training."""


@dataclass(frozen=True)
class Installed:
    """What one ``pip install`` took: megabytes of packages, seconds of CPU and of the clock."""

    mb: float
    cpu: float
    seconds: float


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Install what each step of both pipelines installs.

    Args:
        scale: Below 1, only the first two steps.
        folder: For environments.
        say: Told what is being measured.

    Returns:
        The result.
    """
    python, commands = find_python(), step_commands(folder / "kit")
    commands = commands if scale >= 1 else commands[:2]
    say("the steps image")
    bare, image, used = folder / "bare", folder / "image", folder / "used"
    subprocess.run([python, "-m", "venv", bare], check=True)
    shutil.copytree(bare, image, symlinks=True)
    pip_install(image, image_command(*(command for *_, command in commands)))
    rows = []
    for pipeline, step, command in commands:
        say(f"{pipeline}: {step}")
        shutil.copytree(bare, used, symlinks=True)
        alone, satisfied = pip_install(used, command), pip_install(image, command)
        if satisfied.mb:
            raise JukeboxError(f"{step} installs something on the steps image, too.", "Install it in the image.")
        rows.append(
            {"pipeline": pipeline, "step": step, "MB": round(alone.mb, 1), "CPU s": round(alone.cpu, 1),
             "seconds": round(alone.seconds, 1), "image: CPU s": round(satisfied.cpu, 2),
             "image: seconds": round(satisfied.seconds, 2)}
        )  # fmt: skip
        shutil.rmtree(used)
    total = {name: sum(row[name] for row in rows) for name in ("MB", "CPU s", "image: CPU s")}
    slowest = max(row["image: seconds"] for row in rows)
    return Result(
        name="install",
        title="What the steps install before they work",
        scale=scale,
        figures=[
            Figure("downloaded by both pipelines", round(total["MB"], 1), "MB", "lower"),
            Figure("downloaded, before / now", BEFORE["MB"] / total["MB"], "x", "higher", 5),
            Figure("CPU of both pipelines", round(total["CPU s"], 1), "s", "lower"),
            Figure("CPU, before / now", BEFORE["CPU s"] / total["CPU s"], "x", "higher", 5),
            Figure("CPU, a bare image / the steps image", total["CPU s"] / total["image: CPU s"], "x", "higher"),
            Figure("the slowest step on the steps image", slowest, "s", "lower", 3),
        ],
        rows=rows,
        notes=[
            f"Each step's own command, in an environment of {version(python)} that holds pip alone, without a cache.",
            "MB are those of the packages; the pages of the index come on top. Seconds depend on the network.",
            "image: the same command where all packages of both pipelines are installed, as in charts/steps-image.",
            f"Before: {BEFORE['MB']:,} MB and {BEFORE['CPU s']} s of CPU, measured on another machine.",
        ],
    )


def find_python() -> str:
    """Python 3.12, as in the image of the steps; where there is none, this one."""
    found = shutil.which("python3.12") or sys.executable
    works = subprocess.run([found, "-c", "import ensurepip"], capture_output=True).returncode == 0
    return found if works else sys.executable


def version(python: str) -> str:
    """The version of a Python."""
    return subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def step_commands(folder: Path) -> list[tuple[str, str, str]]:
    """Pipeline, step and the command with which it begins, of both pipelines with the workshop's edit."""
    for name in ("3-prod_datascience", "5-data-versioning"):
        shutil.copytree(KIT / name, folder / name)
    train_on_versioned_data(folder / TRAINING_PIPELINE)
    found = []
    for source, compiled in ((DATA_PIPELINE, DATA_PIPELINE_YAML), (TRAINING_PIPELINE, TRAINING_PIPELINE_YAML)):
        compile_file(folder / source, KIT)
        pipeline = read_pipeline((folder / compiled).read_text())
        commands = {name.removeprefix("exec-"): one["command"][2] for name, one in pipeline.executors.items()}
        found += [(pipeline.name, step, commands[step]) for step in pipeline.steps()]
    return found


def image_command(*commands: str) -> str:
    """The command that installs what others install, all of it."""
    pins = sorted({pin for command in commands for pin in re.findall(r"'[a-z0-9-]+==[^']*'", command)})
    return " ".join(["python3 -m pip install --quiet --no-deps --no-compile", *pins])


def pip_install(environment: Path, command: str) -> Installed:
    """Run a step's command as the launcher does, but for the program at its end."""
    home = environment.with_name("home")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    # Beside the command's --quiet: so pip says what it downloads, and no more.
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "HOME": str(home), "XDG_CACHE_HOME": str(home), "PIP_VERBOSE": "1"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(["sh", "-c", command, "true"], env=variables, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise JukeboxError(f"pip failed: {done.stderr.strip()[-2000:]}", "Fix what pip reports, then run it again.")
    sizes = re.findall(r"^ *Downloading .*\(([0-9.]+) ([kMG]B)\)$", done.stdout, re.MULTILINE)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Installed(sum(float(size) * UNITS[unit] for size, unit in sizes), cpu, seconds)


def draw(result: Result, axes: "Axes") -> None:
    """CPU as bars."""
    steps = [row["step"] for row in result.rows][::-1]
    axes.barh(steps, [row["CPU s"] for row in result.rows][::-1], label="a bare image")
    axes.barh(steps, [row["image: CPU s"] for row in result.rows][::-1], height=0.4, label="the steps image")
    axes.set_xlabel("seconds of CPU")
    axes.tick_params(axis="y", labelsize=7)
    axes.legend(fontsize=8, frameon=False)
