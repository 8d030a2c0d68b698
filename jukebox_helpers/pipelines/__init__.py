"""Pipelines: declared, compiled, read, imported and run; the training of a pushed revision; lineage.

Runs where a person or the trigger is: a workbench, a laptop, a task of ct-pipeline.
May use: settings, workbench, errors, steps.
"""

from importlib import import_module
from typing import Any

FORMER_NAMES = {
    "CompiledPipeline": "pipelines.read",
    "DATA_PIPELINE": "settings",
    "DATA_PIPELINE_YAML": "settings",
    "DEFAULT_PARAMETERS": "settings",
    "TRAINING_PIPELINE": "settings",
    "TRAINING_PIPELINE_YAML": "settings",
    "compile_file": "pipelines.compile",
    "compile_pipeline": "pipelines.compile",
    "read_pipeline": "pipelines.read",
    "requirements": "pipelines.declare",
    "step": "pipelines.declare",
}
"""Where the names of the old module ``pipelines`` are now. Kept for one release, as `jukebox_helpers.former_names`."""


def __getattr__(name: str) -> Any:
    if name not in FORMER_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"jukebox_helpers.{FORMER_NAMES[name]}"), name)
