"""Pipelines: declared, compiled, read, imported and run; the training of a pushed revision; lineage.

Runs where a person or the trigger is: a workbench, a laptop, a task of ct-pipeline.
May use: settings, workbench, errors, steps.
"""

from importlib import import_module
from typing import Any

FORMER_NAMES = {
    "settings": "DATA_PIPELINE DATA_PIPELINE_YAML DEFAULT_PARAMETERS TRAINING_PIPELINE TRAINING_PIPELINE_YAML",
    "pipelines.compile": "compile_file compile_pipeline",
    "pipelines.declare": "requirements step",
    "pipelines.read": "CompiledPipeline read_pipeline",
}
"""Where the names of the old module ``pipelines`` are now. Kept for one release, as `jukebox_helpers.former_names`."""


def __getattr__(name: str) -> Any:
    for module, names in FORMER_NAMES.items():
        if name in names.split():
            return getattr(import_module(f"jukebox_helpers.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
