"""Measuring one call in a process of its own: seconds, peak memory, bytes written.

A fresh process owes nothing to what ran before it: no warm import, no memory that another call took. Run as a
module, this is that process: it reads one order as JSON on standard input.
"""

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT


@dataclass(frozen=True)
class Measurement:
    """What one call took.

    Attributes:
        seconds: Wall clock, with the imports that the call itself makes.
        peak_mb: The most memory that its process held, in MB (10^6 bytes).
        written_mb: Size of the files that it left in its folder, in MB.
        result: What it returned; JSON only.
        folder: Its folder, with what it wrote.
    """

    seconds: float
    peak_mb: float
    written_mb: float
    result: Any
    folder: Path


def measure(
    function: Callable[..., Any],
    folder: Path,
    repeat: int = 1,
    environment: dict[str, str] | None = None,
    **arguments: Any,
) -> Measurement:
    """Measure a call, in a fresh process each time.

    Args:
        function: A module-level function; its argument ``folder`` is a new, empty folder.
        folder: Where to make these folders.
        repeat: How often; the run with the median of the seconds is reported.
        environment: Variables to add to this process's own.
        arguments: The other arguments; JSON only.

    Returns:
        The measurement.

    Raises:
        JukeboxError: If the call fails, with the end of its own words.
    """
    runs = []
    for _ in range(repeat):
        place = Path(tempfile.mkdtemp(prefix=f"{function.__name__}-", dir=folder))
        answer = place.with_suffix(".json")
        order = {
            "module": function.__module__,
            "function": function.__name__,
            "arguments": {**arguments, "folder": str(place)},
            "answer": str(answer),
        }
        search = os.pathsep.join(filter(None, [str(KIT), os.environ.get("PYTHONPATH")]))
        child = subprocess.run(
            [sys.executable, "-P", "-m", "benchmarks.measure"],
            input=json.dumps(order),
            env={**os.environ, "PYTHONPATH": search, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if child.returncode:
            raise JukeboxError(
                f"The benchmarked call {function.__module__}.{function.__name__} failed: "
                f"{child.stdout[-2000:].strip()}",
                "Fix what is reported here, then run the benchmark again.",
            )
        written = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        found = json.loads(answer.read_text())
        runs.append(Measurement(**found, written_mb=round(written / 1e6, 3), folder=place))
    middle = statistics.median_low(run.seconds for run in runs)
    return next(run for run in runs if run.seconds == middle)


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB (10^6 bytes)."""
    try:
        # getrusage also counts what the parent held at the fork; the kernel's own mark starts anew with exec.
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024 / 1e6
    except (FileNotFoundError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Carry out one order."""
    order = json.loads(sys.stdin.read())
    function = getattr(importlib.import_module(order["module"]), order["function"])
    started = time.perf_counter()
    result = function(**order["arguments"])
    seconds = time.perf_counter() - started
    answer = {"seconds": round(seconds, 4), "peak_mb": round(peak_memory(), 1), "result": result}
    Path(order["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
