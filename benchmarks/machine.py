"""The machine that a result was measured on. Its name is nobody's business."""

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from jukebox_helpers import __version__


def describe_machine() -> dict[str, Any]:
    """What a reader needs to judge a result: cores, memory, processor, system, Python, load, date, kit version."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load before": round(psutil.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "kit version": __version__,
    }


def processor() -> str:
    """The processor's name."""
    description = Path("/proc/cpuinfo")
    if description.is_file():
        for line in description.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
